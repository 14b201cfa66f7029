//! Log entries.

/// A log entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Log {
    /// Text in front of the entry, at most 127 bytes.
    pub prefix: Option<Box<str>>,
    /// Severity, to the kernel log; not together with `group`.
    pub level: Option<LogLevel>,
    /// Netlink group, to a program.
    pub group: Option<u16>,
    /// Bytes of the packet that go to the group.
    pub snaplen: Option<u32>,
    /// Packets that are collected before the group gets them.
    pub queue_threshold: Option<u16>,
    /// What else is written to the kernel log.
    pub flags: LogFlags,
}

/// Severity of a log entry (`NFT_LOGLEVEL_*`, include/uapi/linux/netfilter/nf_tables.h).
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
    /// 8: to the audit log, with nothing else.
    Audit,
}

bitflags::bitflags! {
    /// What else a log entry says (`NF_LOG_*`, include/uapi/linux/netfilter/nf_log.h).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct LogFlags: u32 {
        /// TCP sequence numbers.
        const TCP_SEQUENCE = 0x1;
        /// TCP options.
        const TCP_OPTIONS = 0x2;
        /// IP options.
        const IP_OPTIONS = 0x4;
        /// User that owns the socket.
        const SKUID = 0x8;
        /// Link-layer header.
        const ETHER = 0x20;
    }
}

impl Log {
    /// With this text in front.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into().into());
        self
    }

    /// With this severity.
    #[must_use]
    pub fn level(mut self, level: LogLevel) -> Self {
        self.level = Some(level);
        self
    }

    /// To this netlink group.
    #[must_use]
    pub fn group(mut self, group: u16) -> Self {
        self.group = Some(group);
        self
    }

    /// With this in the entry too.
    #[must_use]
    pub fn flags(mut self, flags: LogFlags) -> Self {
        self.flags = flags;
        self
    }

    /// After this many packets, to a group.
    #[must_use]
    pub fn queue_threshold(mut self, packets: u16) -> Self {
        self.queue_threshold = Some(packets);
        self
    }

    /// With this many bytes of the packet, to a group.
    #[must_use]
    pub fn snaplen(mut self, bytes: u32) -> Self {
        self.snaplen = Some(bytes);
        self
    }
}
