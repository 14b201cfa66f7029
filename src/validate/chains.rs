//! Checks a chain: its name, where it is hooked, and its rules.

use super::graph::Graph;
use super::problem::Problem;
use super::{ChainView, Checked, Fault, families, names};
use crate::model::{Base, ChainKind, ChainType, DeviceBase, Hook};

/// Type nat must come after connection tracking: `NF_IP_PRI_CONNTRACK`,
/// include/uapi/linux/netfilter_ipv4.h; the kernel answers EOPNOTSUPP to this priority and any
/// lower one.
const CONNTRACK: i32 = -200;

impl Checked<'_, '_> {
    pub(super) fn chain(&self, index: usize, chain: &ChainView<'_>, graph: &Graph, faults: &mut Vec<Fault>) {
        let at = self.at.chain(chain.name);
        // The kernel chooses the name of a chain that belongs to a rule.
        if chain.kind != Some(&ChainKind::Bound) {
            names::name(at, chain.name, faults);
        }
        names::comment(at, chain.comment, faults);
        if let Some(ChainKind::Base(base)) = chain.kind {
            // The kernel accepts any policy for any type, nat included.
            let Base { chain_type, hook, priority, policy: _ } = *base;
            let (family, inner) = (self.view.family, families::is_internet(self.view.family));
            if !Hook::of(family).contains(&hook) || !inner && chain_type != ChainType::Filter {
                at.report(faults, Problem::HookNotInFamily { chain_type, hook: hook.name(), family });
            } else if !chain_type.hooks().contains(&hook) {
                at.report(faults, Problem::ChainTypeAtHook { chain_type, hook });
            }
            if chain_type == ChainType::Nat && priority.0 <= CONNTRACK {
                at.report(faults, Problem::NatPriority { priority: priority.0 });
            }
        }
        if let Some(ChainKind::Device(DeviceBase { hook, devices, priority: _, policy: _ })) = chain.kind {
            let family = self.view.family;
            if hook.number(family).is_none() {
                let problem = Problem::HookNotInFamily { chain_type: ChainType::Filter, hook: hook.name(), family };
                at.report(faults, problem);
            }
            names::devices(at, devices, faults);
        }
        for (number, rule) in chain.rules.iter().enumerate() {
            self.rule(at.rule(number), index, rule, graph, faults);
        }
    }
}
