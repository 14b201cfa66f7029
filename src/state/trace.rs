//! Traced packets reported by the kernel, as values: one message for each rule that matched and
//! for each chain that the packet left.
//!
//! A packet is traced from the moment its `nftrace` is set. From then on every base chain that it
//! enters reports, in order:
//!
//! - each rule that ran to its end, with its verdict; a rule that does not match is not reported;
//! - the end of each chain that ran out of rules, including the base chain. `return` reports no
//!   end, nor does a chain left by `goto`;
//! - the policy, when the base chain ended without a verdict, at its end or by `return`.
//!
//! The first of these messages contains the packet, and no later one does, which distinguishes one
//! base chain from the next. The hook of a base chain is not reported. A translation by a nat
//! chain takes effect after it: the next chain that reports shows the packet with its new
//! addresses. A packet that is rerouted at output shows its new interface at postrouting. A packet
//! that the kernel sends in reply (to `reject`) is a separate packet, reported in the middle of
//! the one it answers. A drop elsewhere (routing, conntrack, a full queue) is not reported: the
//! packet just ends.
//!
//! Source: nft_do_chain (net/netfilter/nf_tables_core.c), nft_trace_notify
//! (net/netfilter/nf_tables_trace.c), v6.18; tests/trace.rs checks this against the kernel.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::snapshot::OpaqueMessage;
use crate::model::{
    CtDirection, CtState, CtStatus, Name, Nfproto, Policy, Protocol, QueueFlags, RuleHandle, TableId, Verdict,
};

/// An event while packets are traced.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceEvent {
    /// A step of a packet.
    Message(TraceMessage),
    /// A message that this crate does not know, as it came.
    Opaque(OpaqueMessage),
    /// Messages were lost because they were not read fast enough: some steps of current packets
    /// are missing.
    #[doc(alias = "ENOBUFS")]
    Overflow,
}

/// One step of a packet.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceMessage {
    /// The number that nft(8) prints as `trace id`. It is the same from prerouting or output to
    /// postrouting or input, through NAT and routing; over lo, a packet has one number on the way
    /// out and another on the way in. It is only a hash of the packet's memory address, its flow
    /// and its input interface, so a later packet may have it again, about one in twenty of the
    /// same flow.
    #[doc(alias = "NFTA_TRACE_ID")]
    pub id: u32,
    /// Table of the chain.
    pub table: TableId,
    /// The chain it is in: the base chain, or one reached from it.
    pub chain: Name,
    /// What happened.
    pub step: TraceStep,
    /// The mark of the packet after the step; 0 where the kernel no longer owns the packet
    /// (`NF_STOLEN`).
    #[doc(alias = "NFTA_TRACE_MARK")]
    pub mark: u32,
    /// Its network-layer family.
    #[doc(alias = "NFTA_TRACE_NFPROTO")]
    pub nfproto: Option<Nfproto>,
    /// The packet, in the first message of every base chain it enters, as it is after that step.
    pub packet: Option<Box<TracedPacket>>,
    /// Attributes that are not decoded here.
    pub opaque: Vec<u8>,
}

/// What happened to a packet in a chain.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceStep {
    /// The chain has no more rules, or none at all. The packet continues after the rule that
    /// jumped here; in a base chain, the policy comes next.
    End,
    /// No verdict was given in this base chain, so its policy decides.
    #[doc(alias = "NFTA_TRACE_POLICY")]
    Policy(Policy),
    /// A rule ran to its end.
    Rule {
        /// The handle of the rule.
        handle: RuleHandle,
        /// Its verdict; `continue` when it gave none.
        verdict: TraceVerdict,
    },
}

/// The verdict of a rule.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceVerdict {
    /// A verdict of the rule, or the effect of its target: address translation accepts, reject
    /// drops.
    Given(Verdict),
    /// Any other, as the kernel's number (`NF_*`, include/uapi/linux/netfilter.h).
    Other(u32),
    /// Passed to a program, whose verdict only shows in what happens next.
    Queued {
        /// Number of the queue.
        queue: u16,
        /// The flags.
        flags: QueueFlags,
    },
    /// Taken by the kernel, to send a reply.
    #[doc(alias = "NF_STOLEN")]
    Stolen,
}

/// A packet as a message contains it.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedPacket {
    /// The input interface; unknown at output, and at postrouting for packets that this host
    /// sends.
    pub iif: Option<TracedDevice>,
    /// The output interface; unknown at prerouting and input.
    pub oif: Option<TracedDevice>,
    /// Link-layer header, if there is one yet: up to 20 bytes.
    pub link: Vec<u8>,
    /// Network header: up to 40 bytes.
    pub network: Vec<u8>,
    /// The first bytes after the network header, up to 20; empty in a fragment that is not the
    /// first.
    pub transport: Vec<u8>,
    /// The connection; `None` before connection tracking, for a packet it considers invalid, where
    /// it is off, and before Linux 6.16.
    pub ct: Option<TracedConnection>,
}

/// An interface.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedDevice {
    /// Its index.
    pub index: u32,
    /// Its type, `ARPHRD_*`, include/uapi/linux/if_arp.h: 1 Ethernet, 772 loopback.
    pub kind: u16,
}

/// The connection of a packet.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedConnection {
    /// The packet's state.
    pub state: CtState,
    /// Number of the connection, as `conntrack -o id` prints it; `None` for an untracked packet.
    pub id: Option<u32>,
    /// Its direction; `None` for an untracked packet.
    pub direction: Option<CtDirection>,
    /// The connection's status.
    pub status: CtStatus,
}

impl TracedPacket {
    /// Returns source and destination address.
    #[must_use]
    pub fn addresses(&self) -> Option<(IpAddr, IpAddr)> {
        let octets = |from: usize, length: usize| self.network.get(from..from + length);
        match self.network.first()? >> 4 {
            4 => {
                let address = |from| Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(octets(from, 4)?).ok()?)));
                Some((address(12)?, address(16)?))
            }
            6 => {
                let address = |from| Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(octets(from, 16)?).ok()?)));
                Some((address(8)?, address(24)?))
            }
            _ => None,
        }
    }

    /// Returns the protocol in the network header; for IPv6 this may be an extension header.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        let at = match self.network.first()? >> 4 {
            4 => 9,
            6 => 6,
            _ => return None,
        };
        self.network.get(at).copied().map(Protocol)
    }

    /// Returns source and destination port of TCP, UDP, UDP-Lite, DCCP or SCTP right after the
    /// network header.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        let protocol = self.protocol()?;
        if !protocol.has_ports() {
            return None;
        }
        let port = |at: usize| Some(u16::from_be_bytes(self.transport.get(at..at + 2)?.try_into().ok()?));
        Some((port(0)?, port(2)?))
    }
}

/// Prints one line.
impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceEvent::Message(message) => message.fmt(f),
            TraceEvent::Opaque(message) => write!(f, "message {} of family {}", message.kind, message.family),
            TraceEvent::Overflow => f.write_str("messages were lost"),
        }
    }
}

/// `4e5b1d0b inet mesh out: rule 5, jump sub, mark 0x1; oif 1, udp 10.0.0.1:4000 -> 10.0.0.2:53, ct
/// new original id 7`
impl fmt::Display for TraceMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceMessage { id, table, chain, step, mark, nfproto: _, packet, opaque: _ } = self;
        write!(f, "{id:08x} {table} {chain}: {step}")?;
        if *mark != 0 {
            write!(f, ", mark {mark:#x}")?;
        }
        match packet {
            Some(packet) => write!(f, "; {packet}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for TraceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceStep::End => f.write_str("end"),
            TraceStep::Policy(policy) => write!(f, "policy {}", policy.name()),
            TraceStep::Rule { handle, verdict } => write!(f, "rule {handle}, {verdict}"),
        }
    }
}

impl fmt::Display for TraceVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceVerdict::Given(verdict) => verdict.fmt(f),
            TraceVerdict::Other(code) => write!(f, "verdict {code:#x}"),
            TraceVerdict::Queued { queue, flags } if flags.contains(QueueFlags::BYPASS) => {
                write!(f, "queue flags bypass to {queue}")
            }
            TraceVerdict::Queued { queue, flags: _ } => write!(f, "queue to {queue}"),
            TraceVerdict::Stolen => f.write_str("stolen"),
        }
    }
}

impl fmt::Display for TracedPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TracedPacket { iif, oif, link: _, network: _, transport: _, ct } = self;
        for (name, device) in [("iif", iif), ("oif", oif)] {
            if let Some(TracedDevice { index, kind: _ }) = device {
                write!(f, "{name} {index}, ")?;
            }
        }
        match self.protocol().map(|protocol| (protocol.name(), protocol.0)) {
            Some((Some(name), _)) => write!(f, "{name} ")?,
            Some((None, number)) => write!(f, "protocol {number} ")?,
            None => {}
        }
        match (self.addresses(), self.ports()) {
            (Some((from, to)), Some((sport, dport))) => {
                write!(f, "{} -> {}", SocketAddr::from((from, sport)), SocketAddr::from((to, dport)))?;
            }
            (Some((from, to)), None) => write!(f, "{from} -> {to}")?,
            (None, _) => write!(f, "{} bytes of a network header", self.network.len())?,
        }
        match ct {
            Some(ct) => write!(f, ", {ct}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for TracedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TracedConnection { state, id, direction, status } = self;
        write!(f, "ct {state}")?;
        if let Some(direction) = direction {
            write!(f, " {direction}")?;
        }
        if !status.is_empty() {
            write!(f, " status {status}")?;
        }
        match id {
            Some(id) => write!(f, " id {id}"),
            None => Ok(()),
        }
    }
}
