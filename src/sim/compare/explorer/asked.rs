//! What the machine asks of open packets. Each question narrows the box to the packets with the
//! same answer.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{AskedBy, Choice, Explorer, Given, Run};
use crate::bytecode::{CmpOp, Expr, LimitCode};
use crate::model::{CtState, CtStatus, Hook, IcmpType, IpFamily, NatKind, Protocol};
use crate::sim::addresses::bytes_of;
use crate::sim::cells::{Cell, Input, bitwise};
use crate::sim::compare::bits::{depend_on, filled, pieces, width};
use crate::sim::compare::domains::constants;
use crate::sim::compare::members::KeyRange;
use crate::sim::connections::{NEVER_TRACKED, nat_done, side};
use crate::sim::fib::{ByMark, Query, Wanted};
use crate::sim::flow::{Flow, NewAddress, Tracking, Translation, address_bytes, cells, loopback};
use crate::sim::inputs::{CannotTell, Inputs, Target};
use crate::sim::rules::ChainCode;
use crate::sim::series::Series;
use crate::sim::sets::{Keys, SetIndex};
use crate::xt::{Answers, Beyond, Question};

impl Explorer {
    fn is_icmp(&mut self) -> bool {
        let protocol = self.cell(Input::L4proto, 0);
        [Protocol::ICMP, Protocol::ICMPV6].into_iter().any(|icmp| self.is_equal(&[protocol], &[icmp.0]))
    }

    /// Like [`Situation`](crate::sim::Situation): an ICMP redirect about a translated packet.
    fn is_redirect_of_translated(&mut self) -> bool {
        let related = constants(&mut self.bdd, Input::CtState, &[CtState::RELATED.bits().into()]);
        let [protocol, kind] = [self.cell(Input::L4proto, 0), self.cell(Input::Sport, 0)];
        if self.family != IpFamily::Ipv4
            || !self.decide(Input::CtState, related)
            || !self.is_equal(&[protocol], &[Protocol::ICMP.0])
            || !self.is_equal(&[kind], &[IcmpType::REDIRECT.0])
        {
            return false;
        }
        let done = nat_done(Hook::Output) | nat_done(Hook::Postrouting);
        let is_done = self.status(done, done);
        !is_done || !self.status((CtStatus::SNAT | CtStatus::DNAT).bits(), 0)
    }

    /// Returns whether these bits of the status have these values.
    fn status(&mut self, mask: u32, bits: u32) -> bool {
        let mut status: [Cell; 4] = cells(self, Input::CtStatus);
        bitwise(&mut status, &mask.to_ne_bytes(), &[0; 4]);
        self.is_equal(&status, &bits.to_ne_bytes())
    }

    /// Returns whether a translation changes the address.
    fn is_moved(&mut self, from: &[Cell; 16], to: &[Cell; 16]) -> bool {
        if from == to {
            return false;
        }
        let bytes = address_bytes(self.family);
        let (from, to) = (from.get(..bytes).unwrap_or(from), to.get(..bytes).unwrap_or(to));
        match to.iter().map(|cell| cell.known()).collect::<Option<Vec<u8>>>() {
            Some(to) => !self.is_equal(from, &to),
            None => self.choose(Choice::Moved),
        }
    }

    /// Returns the element of a key that consists of one input: a value that is still possible
    /// shows which one to ask for.
    fn find_by(&mut self, input: Input, cells: &[Cell], set: &SetIndex) -> Option<usize> {
        let groups = self.members.groups(&mut self.bdd, cells, set);
        loop {
            let value = self.bdd.lowest(self.here.domains.get(input), width(input))?;
            let group = set.find_key(&filled(cells, value)).and_then(|element| groups.of(element));
            let (values, element) = group.map_or((groups.none, None), |(values, element)| (values, Some(element)));
            if self.decide(input, values) {
                return element;
            }
        }
    }

    /// Returns whether this side of the connection has its translation, possibly the identity
    /// translation.
    fn has_nat(&mut self, hook: Hook) -> bool {
        !self.status(nat_done(hook), 0)
    }
}

impl Inputs for Explorer {
    fn family(&self) -> IpFamily {
        self.family
    }

    fn cell(&self, input: Input, byte: u8) -> Cell {
        let is_address = matches!(input, Input::Daddr | Input::Saddr | Input::TranslatedDaddr | Input::TranslatedSaddr);
        if is_address && self.family == IpFamily::Ipv4 && byte >= 4 {
            return Cell::Known(0);
        }
        Cell::open(input, byte)
    }

    fn compare(&mut self, cells: &[Cell], op: CmpOp, data: &[u8]) -> Result<bool, CannotTell> {
        Ok(match op {
            CmpOp::Eq => self.is_equal(cells, data),
            CmpOp::Ne => !self.is_equal(cells, data),
            CmpOp::Lt => self.is_before(cells, data, false),
            CmpOp::Le => self.is_before(cells, data, true),
            CmpOp::Gt => !self.is_before(cells, data, true),
            CmpOp::Ge => !self.is_before(cells, data, false),
        })
    }

    fn within(&mut self, cells: &[Cell], low: &[u8], high: &[u8]) -> Result<bool, CannotTell> {
        Ok(self.is_within(cells, low, high))
    }

    fn find(&mut self, cells: &[Cell], set: &SetIndex) -> Result<Option<usize>, CannotTell> {
        // Of elements with ranges of fields, which may overlap, the first one counts.
        let has_ranges = matches!(set.keys, Keys::Ranges { .. });
        if let ([(Some(input), _)], false) = (pieces(cells).as_slice(), has_ranges) {
            return Ok(self.find_by(*input, cells, set).or(set.catch_all));
        }
        let elements = self.members.elements(set);
        let found = elements.iter().find(|(fields, _)| {
            fields.iter().all(|KeyRange { range, low, high }| {
                cells.get(range.clone()).is_some_and(|cells| self.is_within(cells, low, high))
            })
        });
        Ok(found.map(|(_, element)| *element).or(set.catch_all))
    }

    /// Tries one possible answer after the other.
    fn fib(&mut self, _: Hook, flow: &Flow, query: Query, expr: &Expr) -> Result<SmallVec<[Cell; 16]>, CannotTell> {
        let Expr::Fib { result, flags, dreg: _ } = expr else {
            return Err(CannotTell::new("what the routing tables say"));
        };
        let address = match query.end {
            NatKind::Dnat => flow.header.daddr,
            NatKind::Snat => flow.header.saddr,
        };
        let mark = (query.by_mark == ByMark::Yes).then_some(flow.mark);
        let choice = |answer| Choice::Fib { query, result: *result, flags: *flags, address, mark, answer };
        let numbers: &[u32] = match query.wanted {
            Wanted::Exists => &[1, 0],
            Wanted::Index | Wanted::Name => {
                return Err(CannotTell::new("which interface the routing tables of a host name"));
            }
            // The types that packets commonly have come first.
            Wanted::Kind => &[1, 2, 3, 5, 0, 4, 6, 7, 8, 9, 10, 11],
        };
        let (last, others) = numbers.split_last().unwrap_or((&0, &[]));
        let found = others.iter().find(|number| self.choose(choice(**number))).unwrap_or(last);
        Ok(found.to_ne_bytes().map(Cell::Known).into_iter().collect())
    }

    fn ask(&mut self, _: Hook, flow: &Flow, question: &Question) -> Result<bool, CannotTell> {
        let now = |mark| AskedBy::Now(Box::new(flow.header.clone()), mark);
        let by = match question {
            Question::Beyond(Beyond { what: _, answers: Answers::Alike }) => now(None),
            Question::Beyond(Beyond { what: _, answers: Answers::Anew }) => {
                self.run.limits += 1;
                AskedBy::Side(self.run.side, self.run.limits)
            }
            Question::Beyond(Beyond { what: _, answers: Answers::Drawn(_) }) => {
                self.run.draws += 1;
                AskedBy::Draw(self.run.draws)
            }
            // A translation here changes what its replies look like.
            Question::Connection(_) if flow.translation.is_some() => {
                return Err(CannotTell::new(question.to_string()));
            }
            Question::Connection(_) | Question::Segment { .. } => AskedBy::Packet,
            Question::ReversePath(path) => now(path.by_mark.then_some(flow.mark)),
        };
        Ok(self.choose(Choice::Asked { question: question.clone(), by }))
    }

    fn series(&mut self, chain: &ChainCode, at: usize) -> Option<Arc<Series>> {
        self.series.at(chain, at)
    }

    fn only_value(&self, cells: &[Cell]) -> Option<SmallVec<[u8; 16]>> {
        match pieces(cells).as_slice() {
            [(None, _)] => Some(filled(cells, 0)),
            [(Some(input), _)] => {
                let (number, which) = self.bdd.common(self.here.domains.get(*input), width(*input));
                depend_on(cells, which).then(|| filled(cells, number))
            }
            _ => None,
        }
    }

    /// Any packet may have come before.
    fn knows_filled(&self) -> Result<(), CannotTell> {
        Err(CannotTell::new("what rules have put into a set by then"))
    }

    /// Open bytes may be kept.
    fn keeps(&self, _: &[Cell]) -> Result<(), CannotTell> {
        Ok(())
    }

    fn limit(&mut self, limit: &LimitCode) -> Result<bool, CannotTell> {
        let Run { side, limits: number, .. } = self.run;
        self.run.limits += 1;
        Ok(self.choose(Choice::Limit { side, number, code: std::ptr::from_ref(limit).addr() }))
    }

    fn listener(&mut self, target: &Target) -> Result<bool, CannotTell> {
        Ok(self.choose(Choice::Listener(target.clone())))
    }

    /// Like [`Situation`](crate::sim::Situation).
    fn track(&mut self, _: Hook, flow: &mut Flow) -> Result<(), CannotTell> {
        let [protocol, kind] = [self.cell(Input::L4proto, 0), self.cell(Input::Sport, 0)];
        let attached = self.cell(Input::Attached, 0);
        if self.family == IpFamily::Ipv6
            && self.is_equal(&[protocol], &[Protocol::ICMPV6.0])
            && NEVER_TRACKED.iter().any(|(first, last)| self.is_within(&[kind], &[*first], &[*last]))
            && !self.is_equal(&[attached], &[1])
        {
            self.run.never_tracked = true;
            (flow.tracking, flow.zone) = (Tracking::Untracked, None);
        }
        Ok(())
    }

    fn is_lost(&self) -> bool {
        self.run.lost
    }

    /// Like [`Situation`](crate::sim::Situation).
    fn asks_nat(&mut self, hook: Hook) -> Result<bool, CannotTell> {
        let new = constants(&mut self.bdd, Input::CtState, &[CtState::NEW.bits().into()]);
        let related = constants(&mut self.bdd, Input::CtState, &[CtState::RELATED.bits().into()]);
        let begins = self.decide(Input::CtState, new) || (self.decide(Input::CtState, related) && !self.is_icmp());
        let attached = self.cell(Input::Attached, 0);
        self.run.asked = begins && !self.is_equal(&[attached], &[1]) && !self.has_nat(hook);
        Ok(self.run.asked)
    }

    /// The known parts of a decision are known. The other parts, and the translation that an
    /// earlier packet of the connection was given, are open: the same inputs on both sides, because
    /// the same decision gives the same choice, and different decisions distinguish the sides
    /// anyway.
    fn translate(&mut self, hook: Hook, flow: &mut Flow, decided: Option<&Translation>) -> Result<(), CannotTell> {
        self.run.lost |= self.is_redirect_of_translated();
        let is_rerouted = hook == Hook::Output && flow.routed != flow.mark;
        if !self.is_header_read && !is_rerouted {
            return Ok(());
        }
        let side = decided.map_or(side(hook), |translation| translation.kind);
        let (address, port) = match side {
            NatKind::Dnat => (Input::TranslatedDaddr, Input::TranslatedDport),
            NatKind::Snat => (Input::TranslatedSaddr, Input::TranslatedSport),
        };
        let at: Option<[Cell; 16]> = match decided.map(|translation| &translation.address) {
            Some(NewAddress::Kept) => None,
            Some(NewAddress::Own) if hook == Hook::Output => Some(bytes_of(loopback(self.family)).map(Cell::Known)),
            Some(NewAddress::Own) => Some(self.open(address, Given::Own)),
            Some(NewAddress::Range(low, high)) => Some(self.given(address, low, high)),
            None if self.run.asked => None,
            None => {
                let invalid = constants(&mut self.bdd, Input::CtState, &[CtState::INVALID.bits().into()]);
                if self.decide(Input::CtState, invalid) {
                    return Ok(());
                }
                Some(self.open(address, Given::Earlier))
            }
        };
        // Without a translation, a source port may still be replaced by a free one.
        let is_kept = decided.is_none() && self.run.asked && side == NatKind::Dnat;
        let to = match decided {
            _ if is_kept => None,
            _ if self.is_icmp() => {
                flow.header.dport = self.open(Input::TranslatedDport, Given::Checksum(decided.cloned()));
                None
            }
            Some(Translation { ports: Some((low, high)), .. }) => Some(self.given(port, low, high)),
            Some(_) if side == NatKind::Dnat => None,
            None if !self.run.asked => Some(self.open(port, Given::Earlier)),
            Some(_) | None => Some(self.open(port, Given::Free)),
        };
        if is_rerouted && at.is_some_and(|at| self.is_moved(&flow.header.daddr, &at)) {
            flow.routed = flow.mark;
        }
        let header = &mut flow.header;
        let (address, port) = match side {
            NatKind::Dnat => (&mut header.daddr, &mut header.dport),
            NatKind::Snat => (&mut header.saddr, &mut header.sport),
        };
        (*address, *port) = (at.unwrap_or(*address), to.unwrap_or(*port));
        Ok(())
    }
}
