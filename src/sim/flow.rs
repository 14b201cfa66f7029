//! The parts of a packet that rules change: marks, the connection, the header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cells::{Cell, Input};
use super::inputs::{Inputs, Target};
use crate::model::{IpFamily, NatKind};
use crate::xt::SegmentLimit;

/// The part of a packet that programs change on its way through a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) mark: [Cell; 4],
    pub(crate) ct_mark: [Cell; 4],
    pub(crate) tracking: Tracking,
    /// The zone that a rule set.
    pub(crate) zone: Option<[Cell; 2]>,
    pub(crate) header: Header,
    /// The decision of the nat chains of this hook.
    pub(crate) translation: Option<Translation>,
    /// The socket to which `tproxy` sent it.
    pub(crate) tproxy: Option<Target>,
    pub(crate) traced: Cell,
    /// The mark by which the packet was last routed: after a chain of type route that changed it,
    /// or with another destination.
    pub(crate) routed: [Cell; 4],
    /// The limits that TCPMSS set for the maximum segment size.
    pub(crate) segment: Segment,
    /// Whether the kernel would have chosen the new port at random.
    pub(crate) is_guess: bool,
}

/// Addresses and ports, which translations change. An IPv4 address uses the first 4 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) saddr: [Cell; 16],
    pub(crate) daddr: [Cell; 16],
    pub(crate) sport: [Cell; 2],
    pub(crate) dport: [Cell; 2],
}

/// Limits of the maximum segment size that a TCP packet announces; the least of them applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) to: Option<u16>,
    /// Whether it is limited to the path MTU.
    pub(crate) by_path: bool,
}

impl Segment {
    pub(crate) fn limit(&mut self, limit: SegmentLimit) {
        match limit {
            SegmentLimit::Path => self.by_path = true,
            SegmentLimit::To(size) => self.to = Some(self.to.map_or(size, |to| to.min(size))),
        }
    }

    /// Returns whether the TCP options, and fields that depend on them, may have changed.
    pub(crate) fn is_limited(self) -> bool {
        self != Segment::default()
    }
}

/// The state of a packet in connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// Not tracked yet in this hook; only a packet from lo may have a connection already.
    Before,
    /// No connection, and a rule has read that.
    Nothing,
    /// A rule set a zone, in which tracking will begin.
    Template,
    Tracked,
    /// A rule excluded the packet.
    Untracked,
}

/// A translation that a nat chain decided for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    pub(crate) kind: NatKind,
    pub(crate) address: NewAddress,
    /// Lowest and highest port; the packet's own when absent.
    pub(crate) ports: Option<([Cell; 2], [Cell; 2])>,
    /// Options (`NF_NAT_RANGE_*`), without the bits that tell which of the above are given.
    pub(crate) flags: u32,
}

/// The address that a translation gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NewAddress {
    Kept,
    /// The address of this host: loopback for local packets, otherwise the address of the
    /// interface.
    Own,
    /// The lowest and the highest address.
    Range(Vec<Cell>, Vec<Cell>),
}

impl Translation {
    /// Rewrites a header to the lowest address and port that this allows; `own` is the address of
    /// this host, if it is known.
    pub(crate) fn lowest(&self, own: Option<[Cell; 16]>, header: &mut Header) {
        let Translation { kind, address, ports, flags: _ } = self;
        let (at, port) = match kind {
            NatKind::Dnat => (&mut header.daddr, &mut header.dport),
            NatKind::Snat => (&mut header.saddr, &mut header.sport),
        };
        match address {
            NewAddress::Kept => {}
            NewAddress::Own => *at = own.unwrap_or(*at),
            NewAddress::Range(low, _) => at.iter_mut().zip(low).for_each(|(slot, cell)| *slot = *cell),
        }
        if let Some((low, _)) = ports {
            *port = *low;
        }
    }
}

impl Flow {
    pub(crate) fn new(inputs: &impl Inputs) -> Self {
        Flow {
            mark: cells(inputs, Input::Mark),
            ct_mark: cells(inputs, Input::CtMark),
            tracking: Tracking::Before,
            zone: None,
            header: Header {
                saddr: cells(inputs, Input::Saddr),
                daddr: cells(inputs, Input::Daddr),
                sport: cells(inputs, Input::Sport),
                dport: cells(inputs, Input::Dport),
            },
            translation: None,
            tproxy: None,
            traced: Cell::Known(0),
            routed: cells(inputs, Input::Mark),
            segment: Segment::default(),
            is_guess: false,
        }
    }
}

/// Returns the address to which `redirect` sends local packets (nf_nat_redirect.c, net/netfilter,
/// v6.12).
pub(crate) fn loopback(family: IpFamily) -> IpAddr {
    match family {
        IpFamily::Ipv4 => Ipv4Addr::LOCALHOST.into(),
        IpFamily::Ipv6 => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Returns the number of register bytes that hold an address.
pub(crate) fn address_bytes(family: IpFamily) -> usize {
    match family {
        IpFamily::Ipv4 => 4,
        IpFamily::Ipv6 => 16,
    }
}

/// Returns the first bytes of an input.
pub(crate) fn cells<const N: usize>(inputs: &impl Inputs, input: Input) -> [Cell; N] {
    let all = inputs.all(input);
    all.first_chunk().copied().unwrap_or([Cell::Known(0); N])
}
