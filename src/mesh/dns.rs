//! DNS over UDP that goes to an agent in the pod: which servers, and the conntrack zones that it
//! needs.
//!
//! The application queries a server and is answered by the agent, which queries the same server,
//! possibly from the same port: two connections that look alike. Separate zones keep them apart.
//! The first zone that a packet gets is final (`nft_ct_set_zone_eval`, net/netfilter/nft_ct.c,
//! v6.12).

use std::net::IpAddr;

use super::sets::{End, addresses};
use super::{Priorities, ports, with};
use crate::model::{Chain, ChainType, Hook, Match, Protocol, Rule, Table};

/// Which DNS queries go to the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DnsCapture {
    /// Those to any server.
    All,
    /// None.
    #[default]
    Off,
    /// Those to these servers; never empty in a configuration.
    Servers(Vec<IpAddr>),
}

impl DnsCapture {
    /// Returns a rule for each family that has servers, or one for all.
    pub(super) fn rules(&self, start: Rule, end: End) -> impl Iterator<Item = Rule> + use<> {
        let matches = match self {
            DnsCapture::All => vec![None],
            DnsCapture::Off => vec![],
            DnsCapture::Servers(servers) => addresses(servers, end).into_iter().map(Some).collect(),
        };
        matches.into_iter().map(move |server| match server {
            Some(server) => start.clone().matches(server),
            None => start.clone(),
        })
    }
}

/// What the zones depend on.
pub(super) struct Zones<'c> {
    pub(super) dns: &'c DnsCapture,
    /// The owners of the agent.
    pub(super) owners: Vec<Match>,
    /// The port of the agent.
    pub(super) agent: u16,
    /// The beginnings of rules for the families that are concerned.
    pub(super) families: Vec<Rule>,
    /// The names of the chains at prerouting, at output, and of the one that decides on what leaves.
    pub(super) chains: [&'static str; 3],
}

impl Zones<'_> {
    /// Adds the chains to the table; none when no DNS is captured.
    pub(super) fn add_to(&self, table: Table) -> Table {
        let [arriving, leaving, decides] = self.chains;
        let prerouting = Chain::base(arriving, ChainType::Filter, Hook::Prerouting, Priorities::RAW);
        let output = Chain::base(leaving, ChainType::Filter, Hook::Output, Priorities::RAW);
        let table = with(table, prerouting, self.answers());
        let table = with(table, output, self.queries());
        with(table, Chain::regular(decides), self.zones())
    }

    fn queries(&self) -> Vec<Rule> {
        let [.., decides] = self.chains;
        let to = |start: &Rule| start.clone().l4proto(Protocol::UDP).counter().jump(decides);
        let rules = self.families.iter().filter(|_| *self.dns != DnsCapture::Off).map(to);
        rules.map(|rule| rule.comment("DNS over UDP gets conntrack zones")).collect()
    }

    /// Answers of servers to the agent; the application gets its answers from the agent.
    fn answers(&self) -> Vec<Rule> {
        let zone = |rule: Rule| rule.udp_sport(ports::DNS).counter().set_zone(AGENT);
        let from = self.dns.rules(Rule::new(), End::Source);
        from.map(|rule| zone(rule).comment("answers of DNS servers to the agent")).collect()
    }

    fn zones(&self) -> Vec<Rule> {
        if *self.dns == DnsCapture::Off {
            return Vec::new();
        }
        let mut rules = Vec::new();
        for owner in &self.owners {
            let of = |rule: Rule, owner: &Match| rule.matches(owner.clone()).counter();
            let queries = of(Rule::new().th_dport(ports::DNS), owner).set_zone(AGENT);
            rules.push(queries.comment("queries of the agent to DNS servers"));
            let answers = of(Rule::new().th_sport(self.agent), owner).set_zone(APPLICATION);
            rules.push(answers.comment("answers of the agent to the application"));
        }
        let to = self.dns.rules(Rule::new(), End::Destination);
        rules.extend(to.map(|rule| {
            let rule = rule.th_dport(ports::DNS).counter().set_zone(APPLICATION);
            rule.comment("queries of the application, for the agent")
        }));
        rules
    }
}

/// Between the agent and DNS servers.
const AGENT: u16 = 1;
/// Between the application and the agent.
const APPLICATION: u16 = 2;
