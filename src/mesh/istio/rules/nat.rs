//! Traffic that the application sends and, with REDIRECT, traffic that comes in. NAT chains only
//! see the first packet of a connection; [`syn`] handles a SYN that is not the first.
//!
//! Only TCP, and UDP to port 53, reaches the chain `istio-output`: nothing else is ever captured.
//! There `th dport` is the port of both protocols without another check.
//!
//! For each owner of the proxy the reference has three rules: (1) of this owner, on lo, TCP, not
//! to loopback, not to the tunnel: captured as inbound; (2) on lo and not of this owner: not
//! captured; (3) of this owner: not captured. After the three rules of the first owner no packet
//! on lo is left, so for all other owners (1) and (2) never match. Hence: (1) of the first owner,
//! then everything on lo is left alone, then every owner. Two options change that. With DNS
//! capture, (2) excludes port 53, and (1) for users does not match it: after the first owner, (1)
//! matches only for groups and port 53. With a loopback range in `-i` there is no (2), and (1)
//! matches for every owner.

mod syn;

use super::sets::{Destinations, End, addresses, captured, excluded, interfaces, owner_groups, ports, without};
use super::{
    IN_REDIRECT, INBOUND, OUTPUT, OUTPUT_DNS, OUTPUT_GROUPS, Priorities, REDIRECT, from_passthrough, to_loopback, with,
};
use crate::mesh::istio::{DnsCapture, InboundPorts, Interception, IstioConfig, OwnerGroups, ServiceCidrs};
use crate::mesh::ports as known;
use crate::model::{
    Chain, ChainType, Hook, Match, Operand, Protocol, Rule, Set, SetRef, Statement, Table, not, skgid, skuid, th_dport,
};

pub(super) fn table(config: &IstioConfig) -> Table {
    let nat = Nat {
        config,
        captured: captured(config),
        // Excluded ports take precedence.
        dns: config.dns != DnsCapture::Off && !config.outbound_ports_exclude.contains(known::DNS),
        loopback: matches!(config.service_cidrs, ServiceCidrs::Only { loopback: true, .. }),
    };
    let base = |name, hook| Chain::base(name, ChainType::Nat, hook, Priorities::NAT);
    let to = |port| Rule::new().l4proto(Protocol::TCP).counter().redirect_to(port);
    let inbound = nat.inbound();
    let (output, of_groups) = (nat.output(), nat.of_groups());
    let to_agent = output.iter().chain(&of_groups).any(|rule| goes_to(rule, OUTPUT_DNS));
    let mut chains = vec![
        (base("prerouting", Hook::Prerouting), nat.prerouting(&inbound)),
        (base("output", Hook::Output), nat.leaving(to_agent)),
        (Chain::regular(INBOUND), inbound),
        (Chain::regular(OUTPUT), output),
        (Chain::regular(OUTPUT_GROUPS), of_groups),
        (Chain::regular(OUTPUT_DNS), nat.to_agent()),
        (Chain::regular(REDIRECT), vec![to(config.outbound_port).comment("outbound, to the proxy")]),
        (Chain::regular(IN_REDIRECT), vec![to(config.inbound_port).comment("inbound, to the proxy")]),
    ];
    chains.extend(syn::chains(&chains));
    let used = |name: &str| chains.iter().flat_map(|(_, rules)| rules).any(|rule| goes_to(rule, name));
    let needed: Vec<_> =
        chains.iter().filter(|(chain, _)| chain.hooked().is_some() || used(chain.name.as_str())).cloned().collect();
    let looked_up = |set: &Set| needed.iter().flat_map(|(_, rules)| rules).any(|rule| looks_up(rule, set));
    let sets = nat.sets().into_iter().filter(looked_up).collect();
    let table = Table { sets, ..super::table(config, super::NAT) };
    needed.into_iter().fold(table, |table, (chain, rules)| with(table, chain, rules))
}

fn goes_to(rule: &Rule, chain: &str) -> bool {
    rule.statements
        .iter()
        .any(|part| matches!(part, Statement::Verdict(verdict) if verdict.target().is_some_and(|to| to == chain)))
}

fn looks_up(rule: &Rule, set: &Set) -> bool {
    let named = |part: &Match| matches!(&part.operand, Operand::Set(SetRef::Named(name)) if *name == set.name);
    rule.statements.iter().any(|part| matches!(part, Statement::Match(part) if named(part)))
}

struct Nat<'a> {
    config: &'a IstioConfig,
    captured: Destinations,
    /// Whether DNS to the servers reaches the agent.
    dns: bool,
    /// Whether a loopback range is captured (`-i`).
    loopback: bool,
}

impl Nat<'_> {
    fn sets(&self) -> Vec<Set> {
        let (_, groups) = owner_groups(self.config);
        let excluded = excluded(self.config).sets;
        excluded.into_iter().chain(self.captured.sets.clone()).chain(groups).collect()
    }

    /// As in the reference, an interface of a virtual machine (`-k`) is one also where it is
    /// excluded (`-c`).
    fn prerouting(&self, inbound: &[Rule]) -> Vec<Rule> {
        let machines = interfaces(&self.config.kube_virt_interfaces);
        let mut rules = Vec::new();
        if !machines.is_empty() {
            for destination in &self.captured.matches {
                let start = Rule::new().iifname(machines.clone()).l4proto(Protocol::TCP);
                let rule = narrowed(start, destination.clone()).counter().goto(REDIRECT);
                rules.push(rule.comment("what virtual machines send is outbound (-k)"));
            }
        }
        if !inbound.is_empty() {
            if !machines.is_empty() {
                let rest = Rule::new().iifname(machines).counter().r#return();
                rules.push(rest.comment("what virtual machines send is not inbound (-k)"));
            }
            let excluded = interfaces(&self.config.exclude_interfaces);
            if !excluded.is_empty() {
                let rule = Rule::new().iifname(excluded).counter().r#return();
                rules.push(rule.comment("nothing is captured on these interfaces (-c)"));
            }
            let jump = Rule::new().l4proto(Protocol::TCP).counter().jump(INBOUND);
            rules.push(jump.comment("inbound TCP"));
        }
        rules
    }

    /// Returns the rules of the base chain at output.
    fn leaving(&self, dns: bool) -> Vec<Rule> {
        let mut rules = Vec::new();
        let excluded = interfaces(&self.config.exclude_interfaces);
        if !excluded.is_empty() {
            let rule = Rule::new().oifname(excluded).counter().r#return();
            rules.push(rule.comment("nothing is captured on these interfaces (-c)"));
        }
        let tcp = Rule::new().l4proto(Protocol::TCP).counter().jump(OUTPUT);
        rules.push(tcp.comment("outbound TCP"));
        if dns {
            let udp = Rule::new().udp_dport(known::DNS).counter().jump(OUTPUT);
            rules.push(udp.comment("DNS over UDP"));
        }
        rules
    }

    /// Only TCP reaches this chain; it is empty when NAT captures nothing inbound.
    fn inbound(&self) -> Vec<Rule> {
        let IstioConfig { inbound_ports, tunnel_port, interception, .. } = self.config;
        let tunnel = *tunnel_port..=*tunnel_port;
        match (interception, inbound_ports) {
            (Interception::Tproxy, _) | (Interception::Redirect, InboundPorts::None) => Vec::new(),
            (Interception::Redirect, InboundPorts::All { except }) => {
                let alone = Rule::new().th_dport(ports(except.iter().chain([tunnel]))).counter().r#return();
                let rest = Rule::new().counter().goto(IN_REDIRECT);
                vec![
                    alone.comment("the tunnel, and inbound ports that are left alone (-d)"),
                    rest.comment("every other inbound port (-b)"),
                ]
            }
            (Interception::Redirect, InboundPorts::Only(captured)) => {
                let captured = ports(without(captured, *tunnel_port).iter());
                if captured.is_empty() {
                    return Vec::new();
                }
                let rule = Rule::new().th_dport(captured).counter().goto(IN_REDIRECT);
                vec![rule.comment("these inbound ports (-b)")]
            }
        }
    }

    fn output(&self) -> Vec<Rule> {
        let config = self.config;
        let users = match (config.proxy_uids.first(), self.loopback) {
            (Some(&first), false) => vec![first],
            _ => config.proxy_uids.clone(),
        };
        let mut rules = Vec::new();
        if !config.outbound_ports_exclude.is_empty() {
            let rule = Rule::new().th_dport(ports(config.outbound_ports_exclude.iter())).counter().r#return();
            rules.push(rule.comment("outbound ports that are left alone (-o)"));
        }
        if self.loopback_comes_first() {
            rules.extend(self.to_loopback());
        }
        rules.extend(from_passthrough(config).map(|source| {
            let rule = Rule::new().oifname("lo").matches(source).counter().r#return();
            rule.comment("inbound that the proxy passes on unproxied")
        }));
        let not_tunnel = not(th_dport(config.tunnel_port));
        // Two comparisons are cheaper than a set of two.
        let ports = if self.dns { vec![not_dns(), not_tunnel.clone()] } else { vec![not_tunnel.clone()] };
        rules.extend(self.self_calls(&skuid(users), &ports));

        let calls_of_groups = match (self.loopback, self.dns) {
            (true, _) => self.self_calls(&skgid(config.proxy_gids.clone()), &[not_tunnel]),
            (false, true) if config.tunnel_port != known::DNS => {
                self.self_calls(&skgid(config.proxy_gids.clone()), &[th_dport(known::DNS)])
            }
            (false, _) => Vec::new(),
        };
        let rest = self.of_the_application();
        if !rest.is_empty() || !calls_of_groups.is_empty() {
            if !self.loopback {
                let lo = Rule::new().oifname("lo");
                let lo = if self.dns { lo.matches(not_dns()) } else { lo };
                rules.push(lo.counter().r#return().comment("the application to itself"));
            }
            rules.push(own(skuid(config.proxy_uids.clone())));
        }
        rules.extend(calls_of_groups);
        if !rest.is_empty() {
            rules.push(own(skgid(config.proxy_gids.clone())));
        }
        rules.extend(rest);
        rules
    }

    /// Returns the rules for traffic that is not the proxy's; empty when none of it is captured.
    fn of_the_application(&self) -> Vec<Rule> {
        let captured = self.captured_of_the_application();
        let (false, Some(groups)) = (captured.is_empty(), owner_groups(self.config).0) else { return captured };
        let groups = Rule::new().matches(groups).counter();
        match &self.config.owner_groups {
            OwnerGroups::All => captured,
            OwnerGroups::Except(_) => {
                let alone = groups.r#return().comment("groups that are left alone");
                [alone].into_iter().chain(captured).collect()
            }
            OwnerGroups::Only(_) => vec![groups.goto(OUTPUT_GROUPS).comment("only these groups are captured")],
        }
    }

    /// Packets of the kernel's own sockets have no group: with a list of captured groups they must
    /// not get here, and a negated match would let them through.
    fn of_groups(&self) -> Vec<Rule> {
        match &self.config.owner_groups {
            OwnerGroups::All | OwnerGroups::Except(_) => Vec::new(),
            OwnerGroups::Only(_) => self.captured_of_the_application(),
        }
    }

    /// Returns the rules for captured traffic, whatever its group.
    fn captured_of_the_application(&self) -> Vec<Rule> {
        let config = self.config;
        let by_destination = !config.outbound_ports.is_empty() || !self.captured.matches.is_empty();
        let nobody = matches!(&config.owner_groups, OwnerGroups::Only(groups) if groups.is_empty());
        let mut rules = Vec::new();
        if nobody || !(self.dns || by_destination) {
            return rules;
        }
        if self.dns {
            let to_agent =
                |rule: Rule| rule.th_dport(known::DNS).counter().goto(OUTPUT_DNS).comment("DNS, to the agent");
            match &config.dns {
                DnsCapture::All => rules.push(to_agent(Rule::new())),
                DnsCapture::Off => {}
                DnsCapture::Servers(servers) => {
                    let servers = addresses(servers, End::Destination);
                    rules.extend(servers.into_iter().map(|servers| to_agent(Rule::new().matches(servers))));
                }
            }
        }
        if !by_destination {
            return rules;
        }
        if !self.loopback_comes_first() {
            rules.extend(self.to_loopback());
        }
        for excluded in excluded(config).matches {
            let alone = narrowed(Rule::new(), excluded).counter().r#return();
            rules.push(alone.comment("destinations that are left alone (-x)"));
        }
        if !config.outbound_ports.is_empty() {
            let rule = Rule::new().th_dport(ports(config.outbound_ports.iter())).counter().goto(REDIRECT);
            rules.push(rule.comment("ports that are captured whatever their destination (-q)"));
        }
        for captured in &self.captured.matches {
            let rule = narrowed(Rule::new(), captured.clone()).counter().goto(REDIRECT);
            rules.push(rule.comment("destinations that are captured (-i)"));
        }
        rules
    }

    /// Captures TCP from the proxy to its own pod, as when the application calls itself by its
    /// service, so that it arrives like any other inbound traffic.
    fn self_calls(&self, owner: &Match, ports: &[Match]) -> Vec<Rule> {
        let lo = Rule::new().oifname("lo");
        let starts: Vec<Rule> = match self.loopback_comes_first() {
            true => vec![lo],
            false => to_loopback(self.config).map(|loopback| lo.clone().not(loopback)).collect(),
        };
        let captured = |rule: Rule| {
            let rule = ports.iter().cloned().fold(rule, Rule::matches);
            rule.matches(owner.clone()).counter().goto(IN_REDIRECT)
        };
        starts.into_iter().map(|rule| captured(rule).comment("the proxy to its own pod is inbound")).collect()
    }

    fn to_loopback(&self) -> impl Iterator<Item = Rule> + use<> {
        to_loopback(self.config)
            .map(|range| Rule::new().matches(range).counter().r#return().comment("loopback stays in the pod"))
    }

    /// Returns whether traffic to the loopback range is handled first: without DNS capture no rule
    /// captures it.
    fn loopback_comes_first(&self) -> bool {
        !self.dns
    }

    /// Only TCP and UDP reach this chain. The agent listens on loopback.
    fn to_agent(&self) -> Vec<Rule> {
        let to_agent = |protocol| Rule::new().l4proto(protocol).counter().redirect_to(known::AGENT_DNS);
        vec![
            to_agent(Protocol::TCP).comment("DNS over TCP, to the agent"),
            to_agent(Protocol::UDP).comment("DNS over UDP, to the agent"),
        ]
    }
}

fn not_dns() -> Match {
    not(th_dport(known::DNS))
}

/// Leaves the proxy's own traffic alone: if captured, it would return to the proxy in a loop.
fn own(owner: Match) -> Rule {
    Rule::new().matches(owner).counter().r#return().comment("what the proxy sends is not captured again")
}

fn narrowed(rule: Rule, matches: Option<Match>) -> Rule {
    match matches {
        Some(matches) => rule.matches(matches),
        None => rule,
    }
}
