//! What a hook did with all packets of a box, and where two such outcomes differ.
//!
//! Only what the host or a later hook can observe counts: for a packet that was dropped or
//! rejected, the mark of its connection, if the connection exists without it; for one that
//! continues, its translation, its transparent socket, both marks, its zone, whether it is tracked,
//! the mark by which it was last routed, and the limit of its maximum segment size.

use std::sync::Arc;

use super::bdd::{Bdd, Node};
use super::bits::{Bit, bits};
use super::domains::Domains;
use crate::bytecode::{QueueCode, RejectCode};
use crate::model::{ChainId, CtStatus, Hook, IpFamily, NatKind};
use crate::sim::addresses::bytes_of;
use crate::sim::cells::{Cell, Input, bitwise};
use crate::sim::flow::{Flow, NewAddress, Tracking, Translation, address_bytes, loopback};
use crate::sim::hook::Passed;
use crate::sim::inputs::Target;

pub(super) struct Outcome {
    pub(super) passed: Passed,
    pub(super) flow: Flow,
    /// The base chain that was entered last.
    pub(super) last: Option<Arc<ChainId>>,
}

/// The context in which two outcomes are compared.
pub(super) struct Comparer<'a> {
    pub(super) bdd: &'a mut Bdd,
    /// The remaining values of inputs; not used if everything is known.
    pub(super) domains: Option<&'a Domains>,
    pub(super) hook: Hook,
    pub(super) family: IpFamily,
    /// Whether each side enables tracking by itself.
    pub(super) tracks: [bool; 2],
    /// The status of the connection.
    pub(super) status: [Cell; 4],
    /// The destination port with which the packets arrived.
    pub(super) dport: [Cell; 2],
}

/// The packets that differ: all if it is empty; otherwise those whose inputs have these values.
pub(super) type Where = Vec<(Input, Node)>;

/// The end of a hook, without the rule or policy that decided.
#[derive(PartialEq, Eq)]
enum Ending {
    Dropped,
    Goes(Option<QueueCode>),
    Rejected(RejectCode),
}

impl Comparer<'_> {
    /// Returns where two outcomes differ; `None` if they are the same for all packets.
    pub(super) fn difference(&mut self, a: &Outcome, b: &Outcome) -> Option<Where> {
        let [ending, other] = [a, b].map(|outcome| self.ending(&outcome.passed));
        if ending != other {
            return Some(Where::new());
        }
        if !matches!(ending, Ending::Goes(_)) {
            return self.left_behind(&a.flow, &b.flow);
        }
        let (a_flow, b_flow) = (&a.flow, &b.flow);
        let untracked = [a_flow, b_flow].map(|flow| flow.tracking == Tracking::Untracked);
        // A side that alone enables tracking, and then excludes the packet, leaves it as the other
        // side does.
        let taken_back = [[true, false], [false, true]].contains(&self.tracks) && untracked == self.tracks;
        if untracked[0] != untracked[1] && !taken_back {
            return Some(Where::new());
        }
        // A template would only end where the packet is tracked, which happens in no later hook.
        if (a_flow.tracking == Tracking::Template) != (b_flow.tracking == Tracking::Template) {
            return Some(Where::new());
        }
        self.translations(a_flow.translation.as_ref(), b_flow.translation.as_ref())
            .or_else(|| self.targets(a_flow.tproxy.as_ref(), b_flow.tproxy.as_ref()))
            .or_else(|| self.cells(&a_flow.mark, &b_flow.mark))
            .or_else(|| self.cells(&a_flow.ct_mark, &b_flow.ct_mark))
            .or_else(|| self.cells(&zone(a_flow), &zone(b_flow)))
            .or_else(|| self.cells(&a_flow.routed, &b_flow.routed))
            .or_else(|| (a_flow.segment != b_flow.segment).then(Where::new))
    }

    /// Compares what remains of a dropped packet: a connection that is in the table keeps its mark.
    fn left_behind(&mut self, a: &Flow, b: &Flow) -> Option<Where> {
        let marks = self.cells(&a.ct_mark, &b.ct_mark)?;
        let mut confirmed = self.status;
        bitwise(&mut confirmed, &CtStatus::CONFIRMED.bits().to_ne_bytes(), &[0; 4]);
        let is_there = self.cells(&confirmed, &[Cell::Known(0); 4])?;
        Some(marks.into_iter().chain(is_there).collect())
    }

    fn ending(&self, passed: &Passed) -> Ending {
        match passed {
            Passed::Accepted => Ending::Goes(None),
            Passed::Dropped(_) => Ending::Dropped,
            Passed::Queued(queue, _) => Ending::Goes(Some(*queue)),
            Passed::Rejected(code, _) => Ending::Rejected(self.rejection(*code)),
        }
    }

    /// Converts a code for either family to the code for the packet's (nft_reject_icmp_code,
    /// net/netfilter/nft_reject.c, v6.12).
    fn rejection(&self, RejectCode { kind, code }: RejectCode) -> RejectCode {
        let of_family = match (kind, self.family, code) {
            (EITHER, IpFamily::Ipv4, 0) => 0,
            (EITHER, IpFamily::Ipv4, 1) => 3,
            (EITHER, IpFamily::Ipv4, 2) => 1,
            (EITHER, IpFamily::Ipv4, 3) => 13,
            (EITHER, IpFamily::Ipv6, 0) => 0,
            (EITHER, IpFamily::Ipv6, 1) => 4,
            (EITHER, IpFamily::Ipv6, 2) => 3,
            (EITHER, IpFamily::Ipv6, 3) => 1,
            (TCP_RESET, ..) => return RejectCode { kind, code: 0 },
            _ => return RejectCode { kind, code },
        };
        RejectCode { kind: ICMP, code: of_family }
    }

    fn translations(&mut self, a: Option<&Translation>, b: Option<&Translation>) -> Option<Where> {
        let (a, b) = match (a, b) {
            (None, None) => return None,
            (Some(a), Some(b)) => (a, b),
            _ => return Some(Where::new()),
        };
        if a.kind != b.kind || a.flags != b.flags {
            return Some(Where::new());
        }
        let ends = match (self.new_address(a), self.new_address(b)) {
            (NewAddress::Kept, NewAddress::Kept) | (NewAddress::Own, NewAddress::Own) => None,
            (NewAddress::Range(low, high), NewAddress::Range(other_low, other_high)) => {
                self.cells(&low, &other_low).or_else(|| self.cells(&high, &other_high))
            }
            _ => Some(Where::new()),
        };
        let own = (a.kind == NatKind::Dnat).then_some((self.dport, self.dport));
        ends.or_else(|| match (a.ports.or(own), b.ports.or(own)) {
            (None, None) => None,
            (Some((low, high)), Some((other_low, other_high))) => {
                self.cells(&low, &other_low).or_else(|| self.cells(&high, &other_high))
            }
            _ => Some(Where::new()),
        })
    }

    /// Returns the new address; `redirect` of a local packet is a translation to loopback.
    fn new_address(&self, translation: &Translation) -> NewAddress {
        match &translation.address {
            NewAddress::Own if self.hook == Hook::Output && translation.kind == NatKind::Dnat => {
                let bytes = bytes_of(loopback(self.family)).into_iter().take(address_bytes(self.family));
                let address: Vec<Cell> = bytes.map(Cell::Known).collect();
                NewAddress::Range(address.clone(), address)
            }
            other => other.clone(),
        }
    }

    fn targets(&mut self, a: Option<&Target>, b: Option<&Target>) -> Option<Where> {
        let (a, b) = match (a, b) {
            (None, None) => return None,
            (Some(a), Some(b)) => (a, b),
            _ => return Some(Where::new()),
        };
        let addresses = match (&a.address, &b.address) {
            (None, None) => None,
            (Some(a), Some(b)) => self.cells(a, b),
            _ => Some(Where::new()),
        };
        addresses.or_else(|| self.cells(&a.port.unwrap_or(self.dport), &b.port.unwrap_or(self.dport)))
    }

    /// Returns where two registers differ, compared bit by bit: each bit is one bit of one input.
    fn cells(&mut self, a: &[Cell], b: &[Cell]) -> Option<Where> {
        if a.len() != b.len() {
            return Some(Where::new());
        }
        if a == b {
            return None;
        }
        let mut found: Option<Where> = None;
        for (a, b) in bits(a).zip(bits(b)) {
            match (self.bits(a, b), found.as_deref_mut()) {
                (None, _) => {}
                // One differing bit is enough.
                (Some(here), Some([(input, values)])) if matches!(here.as_slice(), [(same, _)] if same == input) => {
                    let all: Vec<Node> = here.iter().map(|(_, values)| *values).chain([*values]).collect();
                    *values = self.bdd.union(&all);
                }
                (Some(here), Some(_)) if !here.is_empty() => {}
                (Some(here), _) => found = Some(here),
            }
        }
        found
    }

    fn bits(&mut self, a: Bit, b: Bit) -> Option<Where> {
        match (a, b) {
            (Bit::Known(a), Bit::Known(b)) => (a != b).then(Where::new),
            (Bit::Known(known), open @ Bit::Open { input, .. })
            | (open @ Bit::Open { input, .. }, Bit::Known(known)) => {
                let other = self.when(open, !known);
                self.possible(vec![(input, other)])
            }
            (Bit::Open { input, .. }, Bit::Open { input: same, .. }) if input == same => {
                let ([a_set, a_clear], [b_set, b_clear]) =
                    ([true, false].map(|is| self.when(a, is)), [true, false].map(|is| self.when(b, is)));
                let (one, other) = (self.bdd.and(a_set, b_clear), self.bdd.and(a_clear, b_set));
                let either = self.bdd.or(one, other);
                self.possible(vec![(input, either)])
            }
            (Bit::Open { input, .. }, Bit::Open { input: other, .. }) => [true, false].into_iter().find_map(|is| {
                let places = vec![(input, self.when(a, is)), (other, self.when(b, !is))];
                self.possible(places)
            }),
        }
    }

    /// Returns the values of a bit's input that give the bit this value.
    fn when(&mut self, bit: Bit, is: bool) -> Node {
        match bit {
            Bit::Known(known) if known == is => Node::ALL,
            Bit::Known(_) => Node::NOTHING,
            Bit::Open { variable, flip, .. } => {
                let (high, low) = if is != flip { (Node::ALL, Node::NOTHING) } else { (Node::NOTHING, Node::ALL) };
                self.bdd.choose(variable, high, low)
            }
        }
    }

    /// Returns these values if packets with all of them are left.
    fn possible(&mut self, places: Where) -> Option<Where> {
        let is_left = |(input, values): &(Input, Node)| {
            self.domains.is_some_and(|domains| self.bdd.and(domains.get(*input), *values) != Node::NOTHING)
        };
        places.iter().all(is_left).then_some(places)
    }
}

/// Returns the zone; without one it is zone 0.
fn zone(flow: &Flow) -> [Cell; 2] {
    flow.zone.unwrap_or([Cell::Known(0); 2])
}

// enum nft_reject_types, include/uapi/linux/netfilter/nf_tables.h
const ICMP: u32 = 0;
const TCP_RESET: u32 = 1;
const EITHER: u32 = 2;
