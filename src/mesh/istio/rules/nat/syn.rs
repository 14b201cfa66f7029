//! Rejects a SYN that should be captured but that NAT will not examine.
//!
//! NAT decides on the first packet of a connection. A SYN between the same two ports as an earlier
//! connection, whose conntrack entry outlives its sockets, is not the first packet: it follows the
//! entry. If that connection was not translated (it was the proxy's own, or older than the rules,
//! or to a port excluded at the time), the SYN bypasses the proxy. The same holds for a SYN
//! against the direction of an entry: connection tracking considers it invalid, and NAT never sees
//! it (`tcp_conntracks`, net/netfilter/nf_conntrack_proto_tcp.c, v6.12).
//!
//! A rule can neither remove an entry nor translate it later, so such a SYN is answered with a
//! reset. Since Linux 6.3 the reset also closes the entry (`nf_conntrack_tcp_set_closing`), so the
//! same port works again after 10 s; another port works at once.
//!
//! At each hook a base chain repeats the decision of NAT, with every capture replaced by a
//! rejection. It runs before NAT, while packets still have the addresses that NAT would decide on.

use super::goes_to;
use crate::mesh::istio::rules::{
    BEGINNING, IN_REDIRECT, INBOUND, OUTPUT, OUTPUT_DNS, OUTPUT_GROUPS, Priorities, REDIRECT,
};
use crate::model::{
    Chain, ChainType, CtState, CtStatus, Hook, Protocol, Reject, Rule, Statement, TcpFlags, Verdict, ct_status,
    iifname, masked,
};

/// Returns the chains that accompany those of NAT: at each hook where NAT captures TCP, one that
/// rejects.
pub(super) fn chains(nat: &[(Chain, Vec<Rule>)]) -> Vec<(Chain, Vec<Rule>)> {
    let rules = |name: &str| nat.iter().find(|(chain, _)| chain.name == name).map_or(&[][..], |(_, rules)| rules);
    // A base chain's own rules come before the rules of its target; both become one chain.
    let decision = |base: &str, target: &str| -> Vec<Rule> {
        let own = rules(base).iter().filter(|rule| !goes_to(rule, target));
        own.chain(rules(target)).cloned().map(refusing).collect()
    };
    let groups = rules(OUTPUT_GROUPS).iter().cloned().map(refusing).collect();
    let arriving = vec![(INBOUND_SYN, decision("prerouting", INBOUND))];
    let leaving = vec![(OUTPUT_SYN, decision("output", OUTPUT)), (OUTPUT_GROUPS_SYN, groups)];

    // Within the pod, NAT at output decides for prerouting too.
    let hooks = [
        ("prerouting-syn", Hook::Prerouting, Rule::new().not(iifname("lo")), arriving),
        ("output-syn", Hook::Output, Rule::new(), leaving),
    ];
    let mut chains = Vec::new();
    for (name, hook, start, decisions) in hooks {
        let captures = decisions.iter().flat_map(|(_, rules)| rules).any(|rule| goes_to(rule, REFUSE));
        let Some((first, _)) = decisions.first().filter(|_| captures) else { continue };
        let begins = start.tcp_flags(masked(TcpFlags::SYN, BEGINNING)).counter().jump(*first);
        let begins = begins.comment("a SYN begins a connection, whatever is known of an old one");
        chains.push((Chain::base(name, ChainType::Filter, hook, Priorities::NAT), vec![begins]));
        chains.extend(decisions.into_iter().map(|(name, rules)| (Chain::regular(name), rules)));
    }
    chains.push((Chain::regular(REFUSE), refuse()));
    chains
}

/// Returns the rule with every capture replaced by a rejection.
fn refusing(mut rule: Rule) -> Rule {
    for part in &mut rule.statements {
        let Statement::Verdict(Verdict::Goto(chain)) = part else { continue };
        match chain.as_str() {
            REDIRECT | IN_REDIRECT | OUTPUT_DNS => *chain = REFUSE.into(),
            OUTPUT_GROUPS => *chain = OUTPUT_GROUPS_SYN.into(),
            _ => {}
        }
    }
    rule
}

/// Only a SYN that would be captured reaches this chain. The first packet of a connection, which
/// NAT examines next, has an entry that is not confirmed yet; an untracked packet has none.
fn refuse() -> Vec<Rule> {
    let tcp = || Rule::new().l4proto(Protocol::TCP);
    let reset = |rule: Rule| rule.counter().reject_with(Reject::TcpReset);
    let old = tcp().matches(ct_status(CtStatus::CONFIRMED)).not(ct_status(CtStatus::DNAT));
    vec![
        reset(old).comment("on the entry of a connection that was not captured: it would go the same way"),
        reset(tcp().ct_state(CtState::INVALID)).comment("against the direction of an old entry: NAT will not see it"),
    ]
}

const INBOUND_SYN: &str = "istio-inbound-syn";
const OUTPUT_SYN: &str = "istio-output-syn";
const OUTPUT_GROUPS_SYN: &str = "istio-output-groups-syn";
const REFUSE: &str = "istio-refuse";
