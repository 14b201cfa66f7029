//! Log entries.

/// A log entry.
///
/// ```
/// use nftmesh::prelude::*;
///
/// let log = Log::new().prefix("dropped: ").level(LogLevel::Info);
/// let rule = Rule::new().limit(Limit::packets(5, LimitUnit::Minute)).log(log);
/// assert_eq!(rule.to_string(), "limit rate 5/minute log prefix \"dropped: \" level info");
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Log {
    /// Text before the entry, at most 127 bytes.
    pub prefix: Option<Box<str>>,
    /// The severity in the kernel log; excludes `group`.
    pub level: Option<LogLevel>,
    /// The netlink group, to which a program listens.
    pub group: Option<u16>,
    /// How many bytes of the packet the group gets.
    pub snaplen: Option<u32>,
    /// How many packets are collected before the group gets them.
    pub queue_threshold: Option<u16>,
    /// Additional contents of the entry in the kernel log.
    pub flags: LogFlags,
}

/// Severity of a log entry (`NFT_LOGLEVEL_*`, include/uapi/linux/netfilter/nf_tables.h).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the levels of syslog and audit")]
pub enum LogLevel {
    /// 0.
    Emerg,
    /// 1.
    Alert,
    /// 2.
    Crit,
    /// 3.
    Err,
    /// 4, the kernel's default.
    Warn,
    /// 5.
    Notice,
    /// 6.
    Info,
    /// 7.
    Debug,
    /// 8: the audit log, which excludes everything else.
    Audit,
}

impl LogLevel {
    /// Each with its name, in the order of the kernel's numbers.
    pub(crate) const ALL: [(&'static str, LogLevel); 9] = [
        ("emerg", LogLevel::Emerg),
        ("alert", LogLevel::Alert),
        ("crit", LogLevel::Crit),
        ("err", LogLevel::Err),
        ("warn", LogLevel::Warn),
        ("notice", LogLevel::Notice),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("audit", LogLevel::Audit),
    ];
}

bitflags::bitflags! {
    /// Additional contents of a log entry (`NF_LOG_*`, include/uapi/linux/netfilter/nf_log.h).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct LogFlags: u32 {
        /// TCP sequence numbers.
        const TCP_SEQUENCE = 0x1;
        /// TCP options.
        const TCP_OPTIONS = 0x2;
        /// IP options.
        const IP_OPTIONS = 0x4;
        /// The user that owns the socket.
        const SKUID = 0x8;
        /// Link-layer header.
        const ETHER = 0x20;
    }
}

impl Log {
    /// Longest prefix in bytes: `NF_LOG_PREFIXLEN` - 1, include/uapi/linux/netfilter/nf_log.h; the
    /// kernel answers ERANGE to 128.
    pub(crate) const MAX_PREFIX: usize = 127;

    /// Creates a log entry without a prefix, at the kernel's default severity.
    #[must_use]
    pub fn new() -> Self {
        Log::default()
    }

    /// Sets the text before the entry.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into().into());
        self
    }

    /// Sets the severity.
    #[must_use]
    pub fn level(mut self, level: LogLevel) -> Self {
        self.level = Some(level);
        self
    }

    /// Sends the entry to this netlink group.
    #[must_use]
    pub fn group(mut self, group: u16) -> Self {
        self.group = Some(group);
        self
    }

    /// Sets additional contents of the entry.
    #[must_use]
    pub fn flags(mut self, flags: LogFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Sets how many packets are collected for a group.
    #[must_use]
    pub fn queue_threshold(mut self, packets: u16) -> Self {
        self.queue_threshold = Some(packets);
        self
    }

    /// Sets how many bytes of the packet a group gets.
    #[must_use]
    pub fn snaplen(mut self, bytes: u32) -> Self {
        self.snaplen = Some(bytes);
        self
    }
}
