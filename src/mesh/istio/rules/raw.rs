//! Conntrack zones for DNS over UDP.
//!
//! The application queries a server and is answered by the agent, which queries the same server,
//! possibly from the same port: two connections that look alike. Separate zones keep them apart.
//! The first zone that a packet gets is final (`nft_ct_set_zone_eval`, net/netfilter/nft_ct.c,
//! v6.12).

use super::sets::{End, addresses};
use super::{OUTPUT_DNS, Priorities, with};
use crate::mesh::istio::{DnsCapture, IstioConfig};
use crate::mesh::ports;
use crate::model::{Chain, ChainType, Hook, Match, Protocol, Rule, Table, skgid, skuid};

pub(super) fn table(config: &IstioConfig) -> Table {
    let raw = super::table(config, super::RAW);
    let prerouting = Chain::base("prerouting", ChainType::Filter, Hook::Prerouting, Priorities::RAW);
    let output = Chain::base("output", ChainType::Filter, Hook::Output, Priorities::RAW);
    let raw = with(raw, prerouting, answers(config));
    let raw = with(raw, output, queries(config));
    with(raw, Chain::regular(OUTPUT_DNS), zones(config))
}

fn queries(config: &IstioConfig) -> Vec<Rule> {
    let rule = || Rule::new().l4proto(Protocol::UDP).counter().jump(OUTPUT_DNS);
    (config.dns != DnsCapture::Off).then(|| rule().comment("DNS over UDP gets conntrack zones")).into_iter().collect()
}

/// Answers of servers to the agent; the application gets its answers from the agent.
fn answers(config: &IstioConfig) -> Vec<Rule> {
    let from = servers(config, Rule::new(), End::Source);
    let zone = |rule: Rule| rule.udp_sport(ports::DNS).counter().set_zone(AGENT);
    from.map(|rule| zone(rule).comment("answers of DNS servers to the agent")).collect()
}

fn zones(config: &IstioConfig) -> Vec<Rule> {
    if config.dns == DnsCapture::Off {
        return Vec::new();
    }
    let owners = [skuid(config.proxy_uids.clone()), skgid(config.proxy_gids.clone())];
    let mut rules = Vec::new();
    for owner in owners {
        let of = |rule: Rule, owner: &Match| rule.matches(owner.clone()).counter();
        let queries = of(Rule::new().th_dport(ports::DNS), &owner).set_zone(AGENT);
        rules.push(queries.comment("queries of the agent to DNS servers"));
        let answers = of(Rule::new().th_sport(ports::AGENT_DNS), &owner).set_zone(APPLICATION);
        rules.push(answers.comment("answers of the agent to the application"));
    }
    let to = servers(config, Rule::new(), End::Destination);
    rules.extend(to.map(|rule| {
        rule.th_dport(ports::DNS).counter().set_zone(APPLICATION).comment("queries of the application, for the agent")
    }));
    rules
}

/// Returns a rule for each family that has servers, or one for all.
fn servers(config: &IstioConfig, start: Rule, end: End) -> impl Iterator<Item = Rule> {
    let matches = match &config.dns {
        DnsCapture::All => vec![None],
        DnsCapture::Off => vec![],
        DnsCapture::Servers(servers) => addresses(servers, end).into_iter().map(Some).collect(),
    };
    matches.into_iter().map(move |server| match server {
        Some(server) => start.clone().matches(server),
        None => start.clone(),
    })
}

/// Between the agent and DNS servers.
const AGENT: u16 = 1;
/// Between the application and the agent.
const APPLICATION: u16 = 2;
