//! Records what happens at a hook: each rule, and what differs after it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::addresses::{ends, listening_at};
use super::cells::{Cell, Input, known};
use super::flow::{Flow, Header, NewAddress, Tracking, Translation, cells};
use super::hook::Listener;
use super::inputs::{Inputs, Target};
use super::machine::Ran;
use super::packet::{Interface, Packet};
use super::rules::RuleLine;
use super::walk::{Change, Fate, Step};
use crate::model::{Base, ChainId, CtDirection, CtState, Hook, IpFamily, NatKind, Policy, Verdict};

pub(super) struct Recorder<'a> {
    steps: &'a mut Vec<Step>,
    hook: Hook,
    family: IpFamily,
    mark: [Cell; 4],
    ct_mark: [Cell; 4],
    tracking: Tracking,
    header: Header,
    tproxy: Option<Target>,
    with_ports: bool,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(steps: &'a mut Vec<Step>, hook: Hook, family: IpFamily, flow: &Flow) -> Self {
        Recorder {
            steps,
            hook,
            family,
            mark: flow.mark,
            ct_mark: flow.ct_mark,
            tracking: flow.tracking,
            header: flow.header.clone(),
            tproxy: flow.tproxy.clone(),
            with_ports: true,
        }
    }

    /// Records that the packet reaches the hook.
    pub(super) fn hook(&mut self, packet: Packet, incoming: Option<Interface>, outgoing: Option<Interface>) {
        self.with_ports = packet.protocol.has_ports();
        self.steps.push(Step::Hook { hook: self.hook, packet, incoming, outgoing });
    }

    fn change(&mut self, change: Change) {
        self.steps.push(Step::Change(change));
    }

    fn marks(&mut self, flow: &Flow) {
        if self.mark != flow.mark {
            let (from, to) = (number(&self.mark), number(&flow.mark));
            self.mark = flow.mark;
            self.change(Change::Mark { from, to });
        }
        if self.ct_mark != flow.ct_mark {
            let (from, to) = (number(&self.ct_mark), number(&flow.ct_mark));
            self.ct_mark = flow.ct_mark;
            self.change(Change::CtMark { from, to });
        }
    }
}

impl Listener for Recorder<'_> {
    fn chain(&mut self, chain: &Arc<ChainId>, base: &Base, _: &Flow) {
        self.steps.push(Step::Chain { chain: Arc::clone(chain), base: *base });
    }

    fn rule(&mut self, rule: &Arc<RuleLine>, ran: &Ran, flow: &Flow) {
        let fate = match ran {
            Ran::Broke { at } => Fate::Failed(rule.statement_of(*at).unwrap_or_default()),
            Ran::Queue(_) => Fate::Queued,
            Ran::Reject(_) => Fate::Matched(Verdict::Drop),
            Ran::Through => Fate::Matched(Verdict::Continue),
            Ran::Translated => Fate::Matched(Verdict::Accept),
            Ran::Verdict(verdict) => Fate::Matched(verdict.clone()),
        };
        self.steps.push(Step::Rule { hook: self.hook, rule: Arc::clone(rule), fate });
        if let Some(target) = flow.tproxy.as_ref().filter(|target| self.tproxy.as_ref() != Some(target)) {
            self.tproxy = Some(target.clone());
            let (address, port) = listening_at(target, self.family);
            self.change(Change::Tproxy { address, port });
        }
        self.marks(flow);
        if self.tracking != flow.tracking {
            self.tracking = flow.tracking;
            match flow.tracking {
                Tracking::Template => {
                    let zone = flow.zone.and_then(|zone| known(&zone)).map_or(0, u16::from_ne_bytes);
                    self.change(Change::Zone(zone));
                }
                Tracking::Untracked => self.change(Change::Untracked),
                Tracking::Before | Tracking::Nothing | Tracking::Tracked => {}
            }
        }
    }

    fn policy(&mut self, chain: &Arc<ChainId>, policy: Policy, _: &Flow) {
        self.steps.push(Step::Policy { hook: self.hook, chain: Arc::clone(chain), policy });
    }

    fn tracked(&mut self, inputs: &impl Inputs, flow: &Flow) {
        self.tracking = flow.tracking;
        self.ct_mark = flow.ct_mark;
        if flow.tracking == Tracking::Untracked {
            return self.change(Change::Untracked);
        }
        let state = known::<4>(&cells::<4>(inputs, Input::CtState)).map_or(0, u32::from_ne_bytes);
        let zone = flow.zone.unwrap_or_else(|| cells(inputs, Input::CtZone));
        let is_reply = inputs.cell(Input::CtDirection, 0) == Cell::Known(1);
        self.change(Change::Tracked {
            state: CtState::from_bits_retain(state),
            direction: if is_reply { CtDirection::Reply } else { CtDirection::Original },
            zone: known(&zone).map_or(0, u16::from_ne_bytes),
            mark: number(&flow.ct_mark),
        });
    }

    fn between(&mut self, flow: &Flow) {
        self.marks(flow);
        if self.header == flow.header {
            return;
        }
        if flow.is_guess || flow.translation.as_ref().is_some_and(has_choice) {
            self.change(Change::Unpredictable);
        }
        let without_port = |end: SocketAddr| if self.with_ports { end } else { SocketAddr::new(end.ip(), 0) };
        let [before, after] = [&self.header, &flow.header].map(|header| {
            let (source, destination) = ends(header, self.family);
            (without_port(source), without_port(destination))
        });
        self.header = flow.header.clone();
        if before.0 != after.0 {
            self.change(Change::Snat { from: before.0, to: after.0 });
        }
        if before.1 != after.1 {
            self.change(Change::Dnat { from: before.1, to: after.1 });
        }
    }
}

/// Returns whether the result depends on more than the packet.
fn has_choice(translation: &Translation) -> bool {
    let Translation { kind, address, ports, flags } = translation;
    let of_addresses = matches!(address, NewAddress::Range(low, high) if low != high);
    let of_ports = ports.is_some_and(|(low, high)| low != high);
    of_addresses || of_ports || (*flags & RANDOM != 0 && *kind == NatKind::Snat)
}

fn number(cells: &[Cell; 4]) -> u32 {
    known(cells).map_or(0, u32::from_ne_bytes)
}

/// `NF_NAT_RANGE_PROTO_RANDOM_ALL`, include/uapi/linux/netfilter/nf_nat.h.
const RANDOM: u32 = 0x14;
