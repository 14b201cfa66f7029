//! DNS over UDP that goes to an agent in the pod: which servers, and the conntrack zones that it
//! needs.
//!
//! The application queries a server and is answered by the agent, which queries the same server,
//! possibly from the same port: two connections that look alike. Separate zones keep them apart.
//! The first zone that a packet gets is final (`nft_ct_set_zone_eval`, net/netfilter/nft_ct.c,
//! v6.12).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
    /// What answers of servers on loopback are.
    pub(super) loopback: Loopback,
}

/// The answers of nameservers on loopback, such as Docker's at 127.0.0.11. Docker translates their
/// ports, so they are not recognised by them, and they never arrive from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loopback {
    /// Answers as any.
    AsAny,
    /// All that they send to the loopback address belongs to the agent.
    OfAgent,
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
        let queries = |rule: Rule| {
            let rule = rule.th_dport(ports::DNS).counter().set_zone(APPLICATION);
            rule.comment("queries of the application, for the agent")
        };
        match self.dns {
            DnsCapture::Servers(servers) if self.loopback == Loopback::OfAgent && has_loopback(servers) => {
                for server in servers {
                    let one = std::slice::from_ref(server);
                    rules.extend(
                        addresses(one, End::Destination).into_iter().map(|to| queries(Rule::new().matches(to))),
                    );
                    if !server.is_loopback() {
                        continue;
                    }
                    let local: IpAddr = match server {
                        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                    };
                    let ends = addresses(one, End::Source).into_iter().chain(addresses(&[local], End::Destination));
                    let rule = ends.fold(Rule::new(), Rule::matches).counter().set_zone(AGENT);
                    rules.push(rule.comment("answers of a server on loopback to the agent"));
                }
            }
            _ => rules.extend(self.dns.rules(Rule::new(), End::Destination).map(queries)),
        }
        rules
    }
}

fn has_loopback(servers: &[IpAddr]) -> bool {
    servers.iter().any(IpAddr::is_loopback)
}

/// Between the agent and DNS servers.
const AGENT: u16 = 1;
/// Between the application and the agent.
const APPLICATION: u16 = 2;
