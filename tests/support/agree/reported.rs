//! Assembles the kernel's trace messages: packets at hooks, base chain by base chain.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::time::Duration;

use nftmesh::kernel::Trace;
use nftmesh::model::{Base, ChainId, Hook, Protocol};
use nftmesh::sim::Rules;
use nftmesh::state::{TraceEvent, TraceMessage, TraceStep, TraceVerdict, TracedPacket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::laws;

/// A packet at a hook.
#[derive(Debug)]
pub struct AtHook {
    pub id: u32,
    pub hook: Hook,
    pub runs: Vec<Run>,
}

/// The decisions of a base chain.
#[derive(Debug)]
pub struct Run {
    pub chain: ChainId,
    pub shown: TracedPacket,
    /// The mark after the first step.
    pub first_mark: u32,
    pub last_mark: u32,
    /// Rules that ran to their end, and policies: `inet t b: rule 3, accept`.
    pub decisions: Vec<String>,
    /// Comments of the rules that ran to their end.
    pub comments: Vec<String>,
}

impl AtHook {
    /// Returns the ids of its connection, without the template that stands for one between zone and
    /// tracking.
    pub fn connections(&self) -> impl Iterator<Item = u32> {
        let known = self.runs.iter().filter_map(|run| run.shown.ct);
        known.filter(|ct| ct.status.bits() & TEMPLATE == 0).filter_map(|ct| ct.id)
    }

    /// Returns the decisions, in the order of chain names where the order is not compared.
    pub fn decisions(&self, is_unordered: bool) -> Vec<String> {
        let mut runs: Vec<&Run> = self.runs.iter().collect();
        if is_unordered {
            runs.sort_by_cached_key(|run| run.chain.to_string());
        }
        runs.into_iter().flat_map(|run| run.decisions.iter().cloned()).collect()
    }
}

/// Reads all messages until none comes for `quiet`; `None` when the socket overflowed.
pub fn drain(trace: &mut Trace, quiet: Duration) -> Option<Vec<TraceMessage>> {
    let mut reported = Vec::new();
    loop {
        let fd = trace.as_fd();
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        let timeout = Timespec::try_from(quiet).expect("short");
        if poll(&mut fds, Some(&timeout)).expect("a descriptor can be polled") == 0 {
            return Some(reported);
        }
        while let Some(event) = trace.try_next().expect("the socket can be read") {
            if reported.len() >= MOST {
                return None;
            }
            match event {
                TraceEvent::Message(message) => reported.push(message),
                TraceEvent::Overflow => return None,
                other => panic!("{other}"),
            }
        }
    }
}

/// `IPS_TEMPLATE`, include/uapi/linux/netfilter/nf_conntrack_common.h.
pub const TEMPLATE: u32 = 1 << 11;
/// Rules can make hosts send to each other for ever.
const MOST: usize = 5000;

/// Returns whether a packet is neighbour discovery or group membership of IPv6, which no test
/// sends.
pub fn is_noise(shown: &TracedPacket) -> bool {
    let kind = shown.transport.first().copied().unwrap_or(0);
    // The kernel sends membership reports after a hop-by-hop header, to groups.
    let is_to_group = shown.addresses().is_some_and(|(_, to)| to.is_ipv6() && to.is_multicast());
    let is_report = shown.protocol() == Some(Protocol(0)) && is_to_group;
    is_report || (shown.protocol() == Some(Protocol::ICMPV6) && (130..=143).contains(&kind))
}

/// Assembles messages, in the order in which packets reached hooks.
pub fn at_hooks(rules: &Rules, messages: &[TraceMessage]) -> Vec<AtHook> {
    let mut packets: Vec<AtHook> = Vec::new();
    let mut open: HashMap<u32, usize> = HashMap::new();
    for message in messages {
        // Device chains run before and after hooks, and are not walked.
        if message.table.name.as_str() == laws::OF_DEVICES {
            continue;
        }
        let chain = message.table.chain(&message.chain);
        if let Some(shown) = &message.packet {
            let (_, Base { hook, .. }) = rules.base(&chain).unwrap_or_else(|| panic!("a packet is shown in {chain}"));
            let place = open.get(&message.id).copied().filter(|at| {
                packets
                    .get(*at)
                    .is_some_and(|known| known.hook == *hook && !known.runs.iter().any(|run| run.chain == chain))
            });
            let place = place.unwrap_or_else(|| {
                packets.push(AtHook { id: message.id, hook: *hook, runs: Vec::new() });
                packets.len() - 1
            });
            open.insert(message.id, place);
            if let Some(packet) = packets.get_mut(place) {
                packet.runs.push(Run {
                    chain: chain.clone(),
                    shown: (**shown).clone(),
                    first_mark: message.mark,
                    last_mark: 0,
                    decisions: Vec::new(),
                    comments: Vec::new(),
                });
            }
        }
        let run = open.get(&message.id).and_then(|at| packets.get_mut(*at)).and_then(|packet| packet.runs.last_mut());
        let run = run.unwrap_or_else(|| panic!("the first message of a chain shows the packet: {message}"));
        run.last_mark = message.mark;
        match &message.step {
            TraceStep::End => {}
            TraceStep::Policy(policy) => run.decisions.push(format!("{chain}: policy {}", policy.name())),
            TraceStep::Rule { handle, verdict } => {
                let rule = rules.rule(&message.table, *handle).unwrap_or_else(|| panic!("no such rule: {message}"));
                run.decisions.push(format!("{}: rule {}, {verdict}", rule.chain, rule.number));
                run.comments.extend(rule.rule.comment.as_deref().map(str::to_owned));
            }
            other => panic!("{other}"),
        }
    }
    packets
}
