//! Statements: what a rule does when everything in front of it matched.

use std::net::IpAddr;

use super::matches::{Match, Selector};
use super::name::Name;
use super::opaque::Opaque;
use super::operand::SetRef;

/// One part of a rule. Statements run in order; a match that does not hold ends the rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Statement {
    /// Counts packets and bytes, starting from these.
    Counter {
        /// Packets.
        packets: u64,
        /// Bytes.
        bytes: u64,
    },
    /// Goes on while a rate is kept, or once it is exceeded.
    Limit(Limit),
    /// Writes to the kernel log, to a netlink group or to the audit log.
    Log(Log),
    /// A comparison.
    Match(Match),
    /// Translates the source or destination address.
    Nat(Nat),
    /// Translates the source address to that of the outgoing interface.
    Masquerade {
        /// Source ports to choose from; needs a match on a transport protocol.
        ports: Option<PortRange>,
        /// How a port is chosen.
        flags: NatFlags,
    },
    /// Excludes the packet from connection tracking; useful in front of it, at priority raw.
    Notrack,
    /// Something read from a kernel that has no name here.
    Opaque(Opaque),
    /// Hands the packet to a program.
    Queue(Queue),
    /// Translates the destination to this host.
    Redirect {
        /// Port to redirect to; the packet's own when absent. Needs a match on a transport protocol.
        ports: Option<PortRange>,
        /// How a port is chosen from a range.
        flags: NatFlags,
    },
    /// Drops the packet and tells the sender; without a reason, port unreachable.
    Reject(Option<Reject>),
    /// Sets the mark of the packet or of its connection.
    SetMark {
        /// Which mark.
        key: MarkKey,
        /// To what.
        value: MarkValue,
    },
    /// Turns tracing of the packet on or off.
    SetNftrace(bool),
    /// Sets the conntrack zone; useful in front of connection tracking, at priority raw. The first zone given to a packet stays.
    SetZone(u16),
    /// Hands the packet to a local socket without changing it.
    Tproxy(Tproxy),
    /// Decides what happens to the packet.
    Verdict(Verdict),
    /// Looks the verdict up in a verdict map; goes on when there is none.
    VerdictMap {
        /// What is looked up.
        selector: Selector,
        /// Where.
        map: SetRef,
    },
}

/// What happens to a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the verdicts of nf_tables")]
pub enum Verdict {
    /// Ends this hook's chain; chains of later priority still see the packet.
    Accept,
    /// Goes on with the next rule.
    Continue,
    /// Ends everything.
    Drop,
    /// Goes on in another chain and does not come back.
    Goto(Name),
    /// Goes on in another chain and comes back.
    Jump(Name),
    /// Goes back to the calling chain; in a base chain, its policy decides.
    Return,
}

impl Verdict {
    /// The chain it goes to, for jump and goto.
    #[must_use]
    pub fn target(&self) -> Option<&Name> {
        match self {
            Verdict::Goto(chain) | Verdict::Jump(chain) => Some(chain),
            Verdict::Accept | Verdict::Continue | Verdict::Drop | Verdict::Return => None,
        }
    }
}

/// Ports from `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "two ends")]
pub struct PortRange {
    /// The lowest port.
    pub low: u16,
    /// The highest port.
    pub high: u16,
}

impl From<u16> for PortRange {
    fn from(port: u16) -> Self {
        PortRange { low: port, high: port }
    }
}

impl From<std::ops::RangeInclusive<u16>> for PortRange {
    fn from(ports: std::ops::RangeInclusive<u16>) -> Self {
        let (low, high) = ports.into_inner();
        PortRange { low, high }
    }
}

bitflags::bitflags! {
    /// How network address translation chooses (`NF_NAT_RANGE_*`, include/uapi/linux/netfilter/nf_nat.h).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct NatFlags: u32 {
        /// A port by hash of the connection.
        const RANDOM = 0x4;
        /// The same client gets the same address.
        const PERSISTENT = 0x8;
        /// A port at random.
        const FULLY_RANDOM = 0x10;
    }
}

/// Source or destination network address translation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Nat {
    /// Which address is translated.
    pub kind: NatKind,
    /// Family; in an inet table that of the packet, when neither this nor an address says it.
    pub family: Option<Family4or6>,
    /// Lowest and highest address to choose from.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// Ports to choose from; needs a match on a transport protocol.
    pub ports: Option<PortRange>,
    /// How they are chosen.
    pub flags: NatFlags,
}

/// Which address is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "source or destination")]
pub enum NatKind {
    /// The destination.
    Dnat,
    /// The source.
    Snat,
}

impl Nat {
    /// Translates the destination address.
    #[must_use]
    pub fn dnat() -> Self {
        Nat { kind: NatKind::Dnat, family: None, addresses: None, ports: None, flags: NatFlags::empty() }
    }

    /// Translates the source address.
    #[must_use]
    pub fn snat() -> Self {
        Nat { kind: NatKind::Snat, ..Nat::dnat() }
    }

    /// To this address.
    #[must_use]
    pub fn to(self, address: impl Into<IpAddr>) -> Self {
        let address = address.into();
        self.to_range(address, address)
    }

    /// To an address between these two.
    #[must_use]
    pub fn to_range(mut self, low: impl Into<IpAddr>, high: impl Into<IpAddr>) -> Self {
        let (low, high) = (low.into(), high.into());
        self.family = Some(Family4or6::of(low));
        self.addresses = Some((low, high));
        self
    }

    /// To these ports.
    #[must_use]
    pub fn ports(mut self, ports: impl Into<PortRange>) -> Self {
        self.ports = Some(ports.into());
        self
    }

    /// In this family, when no address says it.
    #[must_use]
    pub fn family(mut self, family: Family4or6) -> Self {
        self.family = Some(family);
        self
    }

    /// Chosen so.
    #[must_use]
    pub fn flags(mut self, flags: NatFlags) -> Self {
        self.flags = flags;
        self
    }
}

/// IPv4 or IPv6, where both would be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "these two")]
pub enum Family4or6 {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family4or6 {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Family4or6::Ipv4,
            IpAddr::V6(_) => Family4or6::Ipv6,
        }
    }
}

/// Hands a packet to a transparent socket. Without a listener the rule ends and the packet goes on: put a `drop` with the same matches
/// behind it to fail closed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Tproxy {
    /// Only packets of this family; both when absent.
    pub family: Option<Family4or6>,
    /// Address the socket listens on; that of the incoming interface when absent.
    pub address: Option<IpAddr>,
    /// Port it listens on; the packet's own when absent.
    pub port: Option<u16>,
}

impl Tproxy {
    /// To the listener on this port, whatever its address and family.
    #[must_use]
    pub fn to_port(port: u16) -> Self {
        Tproxy { family: None, address: None, port: Some(port) }
    }

    /// To the listener on this address and, if given, port.
    pub fn to(address: impl Into<IpAddr>, port: Option<u16>) -> Self {
        let address = address.into();
        Tproxy { family: Some(Family4or6::of(address)), address: Some(address), port }
    }

    /// Only packets of this family.
    #[must_use]
    pub fn family(mut self, family: Family4or6) -> Self {
        self.family = Some(family);
        self
    }
}

/// Why a packet is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the reject types of nf_tables")]
pub enum Reject {
    /// ICMP destination unreachable with this code (RFC 792).
    Icmp(u8),
    /// ICMPv6 destination unreachable with this code (RFC 4443, section 3.1).
    Icmpv6(u8),
    /// ICMP or ICMPv6, by the packet (`NFT_REJECT_ICMPX_*`): 0 no route, 1 port, 2 host unreachable, 3 prohibited.
    Icmpx(u8),
    /// TCP reset.
    TcpReset,
}

/// Hands packets to programs on queues `from` to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the whole of nft_queue without a map")]
pub struct Queue {
    /// First queue number.
    pub from: u16,
    /// Last queue number.
    pub to: u16,
    /// How.
    pub flags: QueueFlags,
}

bitflags::bitflags! {
    /// How packets are queued (`NFT_QUEUE_FLAG_*`, include/uapi/linux/netfilter/nf_tables.h).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct QueueFlags: u16 {
        /// Accept when no program listens.
        const BYPASS = 1;
        /// Choose the queue by processor.
        const FANOUT = 2;
    }
}

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Limit {
    /// Packets or bytes per unit of time.
    pub rate: u64,
    /// The unit of time.
    pub per: LimitUnit,
    /// What is counted.
    pub of: LimitOf,
    /// Packets or bytes that may come at once; for packets at least 1.
    pub burst: u32,
    /// Whether it matches below or above the rate.
    pub when: LimitWhen,
}

/// What a [`Limit`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "packets or bytes")]
pub enum LimitOf {
    /// Bytes.
    Bytes,
    /// Packets.
    Packets,
}

/// When a [`Limit`] matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "below or above")]
pub enum LimitWhen {
    /// Once the rate is exceeded.
    Over,
    /// While it is kept.
    Until,
}

/// Unit of time of a [`Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the units of nft(8)")]
pub enum LimitUnit {
    /// 86,400 seconds.
    Day,
    /// 3,600 seconds.
    Hour,
    /// 60 seconds.
    Minute,
    /// 1 second.
    Second,
    /// 604,800 seconds.
    Week,
}

impl LimitUnit {
    /// Its length in seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        match self {
            LimitUnit::Day => 86_400,
            LimitUnit::Hour => 3_600,
            LimitUnit::Minute => 60,
            LimitUnit::Second => 1,
            LimitUnit::Week => 604_800,
        }
    }
}

impl Limit {
    /// At most this many packets per unit, 5 of them at once.
    #[must_use]
    pub fn packets(rate: u64, per: LimitUnit) -> Self {
        Limit { rate, per, of: LimitOf::Packets, burst: 5, when: LimitWhen::Until }
    }

    /// At most this many bytes per unit.
    #[must_use]
    pub fn bytes(rate: u64, per: LimitUnit) -> Self {
        Limit { rate, per, of: LimitOf::Bytes, burst: 0, when: LimitWhen::Until }
    }

    /// This many at once.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// Matches above the rate instead of below it.
    #[must_use]
    pub fn over(mut self) -> Self {
        self.when = LimitWhen::Over;
        self
    }
}

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

/// Which mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "packet or connection")]
pub enum MarkKey {
    /// Of the connection (`ct mark`).
    Ct,
    /// Of the packet (`meta mark`).
    Meta,
}

/// What a mark is set to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "constant, computed or looked up")]
pub enum MarkValue {
    /// This number.
    Constant(u32),
    /// Another mark or the same: `(from & mask) ^ xor`. A plain copy has all bits in `mask` and none in `xor`.
    From {
        /// The mark that is read.
        from: MarkKey,
        /// Bits of it that are kept.
        mask: u32,
        /// Bits that are flipped afterwards.
        xor: u32,
    },
    /// What a map says; the rule ends when it says nothing.
    Map {
        /// What is looked up.
        selector: Selector,
        /// Where.
        map: SetRef,
    },
}

impl MarkValue {
    /// The whole of another mark.
    #[must_use]
    pub fn copy(from: MarkKey) -> Self {
        MarkValue::From { from, mask: u32::MAX, xor: 0 }
    }

    /// Its own bits outside of `mask`, those of `value` inside.
    #[must_use]
    pub fn masked(own: MarkKey, value: u32, mask: u32) -> Self {
        MarkValue::From { from: own, mask: !mask, xor: value & mask }
    }
}
