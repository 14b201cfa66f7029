//! Builds the rules: one table, in the order in which Kuma decides. Only the first packet of a
//! connection reaches a chain of nat.
//!
//! ```text
//! hook        raw -301       mangle -151         nat -101
//! prerouting  zones of DNS   invalid: dropped    virtual networks, then inbound to 15006
//! output      zones of DNS                       DNS to 15053, then outbound to 15001
//! ```

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::config::{KumaConfig, KumaConfigBuilder, VirtualNetwork};
use super::exclusion::{Protocols, UidExclusion};
use crate::mesh::dns::{DnsCapture, Loopback, Zones};
use crate::mesh::sets::{Destinations, End, interfaces, ports};
use crate::mesh::{InterfacePattern, Mesh, Original, PortRanges, Priorities, ports as well_known, with};
use crate::model::{
    Chain, ChainType, CtState, Family, Hook, Match, Nfproto, Protocol, Rule, Ruleset, Table, TableId, ip_daddr,
    ip_saddr, ip6_daddr, ip6_saddr, nfproto, not, skuid,
};
use crate::routes::RoutePlan;

/// The name of the table; its family is inet with IPv6 and ip without.
pub const TABLE: &str = "kuma-mesh";

/// Returns every table that an installation may own, for any configuration.
#[must_use]
pub fn tables() -> Vec<TableId> {
    [Family::Inet, Family::Ip].map(|family| TableId::new(family, TABLE)).to_vec()
}

impl Mesh for KumaConfig {
    fn rules(&self) -> Ruleset {
        Ruleset::from(self)
    }

    /// With IPv6 the proxy binds `::6`, which must be an address of lo, as with `kumactl`.
    fn routes(&self) -> RoutePlan {
        if self.given.ipv6 { RoutePlan::new().passthrough6().ipv6_where_enabled() } else { RoutePlan::new() }
    }

    fn tables(&self) -> Vec<TableId> {
        tables()
    }

    fn warnings(&self) -> Vec<String> {
        KumaConfig::warnings(self).to_vec()
    }

    fn dns_port(&self) -> Option<u16> {
        (self.given.captured_dns() != DnsCapture::Off).then_some(self.given.dns_port)
    }

    fn outbound_port(&self) -> Option<u16> {
        self.given.captures_outbound.then_some(self.given.outbound_port)
    }

    fn original(&self) -> Original {
        Original {
            program: "kumactl",
            chains: "KUMA_MESH",
            exclusions: "--exclude-outbound-ips, --exclude-outbound-ports or --exclude-outbound-ports-for-uids",
            captures_in: Original::tables(&["nat"], self.given.ipv6),
            ..Original::default()
        }
    }
}

/// Returns the table `kuma-mesh`: of family inet with IPv6, of family ip without.
impl From<&KumaConfig> for Ruleset {
    fn from(config: &KumaConfig) -> Self {
        let given = &config.given;
        let sources = Destinations::of("excluded-sources", &given.exclude_inbound_ips, given.ipv6, End::Source);
        let destinations =
            Destinations::of("excluded-destinations", &given.exclude_outbound_ips, given.ipv6, End::Destination);
        let mut table = Table::new(if given.ipv6 { Family::Inet } else { Family::Ip }, TABLE);
        let dns = given.captured_dns();
        if given.dns_zones {
            let owners = vec![skuid(given.proxy_uid)];
            let (agent, families) = (given.dns_port, given.families_with(&dns));
            let chains = ["prerouting-zones", "output-zones", "zones"];
            let loopback = Loopback::OfAgent;
            table = Zones { dns: &dns, owners, agent, families, chains, loopback }.add_to(table);
        }
        if given.drop_invalid {
            let invalid = Rule::new().ct_state(CtState::INVALID).counter().drop();
            let chain = Chain::base("prerouting-invalid", ChainType::Filter, Hook::Prerouting, Priorities::MANGLE);
            table = table.chain(chain.rules([invalid.comment("of no connection")]));
        }
        let base = |name, hook| Chain::base(name, ChainType::Nat, hook, Priorities::NAT);
        let table = table.chain(base("prerouting", Hook::Prerouting).rules(given.inbound(&sources)));
        let table = table.chain(base("output", Hook::Output).rules(given.output(&destinations, &dns)));
        let mut table = with(table, Chain::regular(OUTBOUND), given.outbound());
        table.sets = sources.sets.into_iter().chain(destinations.sets).collect();
        [table].into_iter().collect()
    }
}

impl KumaConfigBuilder {
    /// Returns what is captured in the families that are.
    fn captured_dns(&self) -> DnsCapture {
        match &self.dns {
            DnsCapture::Servers(servers) => {
                let captured: Vec<_> = servers.iter().filter(|server| self.ipv6 || server.is_ipv4()).copied().collect();
                if captured.is_empty() { DnsCapture::Off } else { DnsCapture::Servers(captured) }
            }
            dns => dns.clone(),
        }
    }

    /// Returns a rule for each family with captured DNS; one for both where both are.
    fn families_with(&self, dns: &DnsCapture) -> Vec<Rule> {
        match dns {
            DnsCapture::Off => vec![],
            DnsCapture::All => vec![Rule::new()],
            DnsCapture::Servers(servers) => {
                let (v4, v6) = (servers.iter().any(|one| one.is_ipv4()), servers.iter().any(|one| one.is_ipv6()));
                match (v4, v6) {
                    (true, false) if self.ipv6 => vec![Rule::new().matches(nfproto(Nfproto::IPV4))],
                    (false, true) => vec![Rule::new().matches(nfproto(Nfproto::IPV6))],
                    _ => vec![Rule::new()],
                }
            }
        }
    }

    fn inbound(&self, sources: &Destinations) -> Vec<Rule> {
        // By name, and the last network of a name counts.
        let named = self.virtual_networks.iter().filter(|network| self.ipv6 || network.network.is_ipv4());
        let networks: BTreeMap<_, _> = named.map(|of| ((written(&of.interface), of.network.is_ipv6()), of)).collect();
        let mut rules: Vec<Rule> = networks.values().flat_map(|network| self.of_virtual(network)).collect();
        let Some(port) = self.inbound else { return rules };
        let alone = |rule: Rule, why: &str| rule.counter().r#return().comment(why);
        rules.extend(sources.matches.iter().map(|from| {
            let rule = from.iter().cloned().fold(Rule::new().l4proto(Protocol::TCP), Rule::matches);
            alone(rule, "sources that are left alone")
        }));
        if self.include_inbound_ports.is_empty() && !self.exclude_inbound_ports.is_empty() {
            let rule = Rule::new().tcp_dport(ports(self.exclude_inbound_ports.iter()));
            rules.push(alone(rule, "inbound ports that are left alone"));
        }
        let captured = captured(&self.include_inbound_ports).counter().redirect_to(port);
        rules.push(captured.comment("inbound, to the proxy"));
        rules
    }

    /// What arrives on a virtual network of a family is outbound there; DNS goes to the proxy also
    /// where that of the pod does not.
    fn of_virtual(&self, of: &VirtualNetwork) -> [Rule; 2] {
        let (family, own) = match of.network {
            ipnetwork::IpNetwork::V4(network) => (Nfproto::IPV4, ip_daddr(network)),
            ipnetwork::IpNetwork::V6(network) => (Nfproto::IPV6, ip6_daddr(network)),
        };
        let from = || Rule::new().iifname(interfaces(std::slice::from_ref(&of.interface)));
        let dns = if self.ipv6 { from().matches(nfproto(family)) } else { from() };
        let dns = dns.udp_dport(well_known::DNS).counter().redirect_to(self.dns_port);
        let tcp = from().matches(not(own)).l4proto(Protocol::TCP).counter().redirect_to(self.outbound_port);
        [dns.comment("DNS of a virtual network, to the proxy"), tcp.comment("of a virtual network: outbound")]
    }

    fn output(&self, destinations: &Destinations, dns: &DnsCapture) -> Vec<Rule> {
        let alone = |rule: Rule, why: &str| rule.counter().r#return().comment(why);
        let mut rules = Vec::new();
        rules.extend(destinations.matches.iter().map(|to| {
            let rule = to.iter().cloned().fold(Rule::new(), Rule::matches);
            alone(rule, "destinations that are left alone")
        }));
        for exclusion in &self.exclude_for_uids {
            rules.extend(of_users(exclusion).map(|rule| alone(rule, "ports that are left alone for some users")));
        }
        for start in self.families_with(dns) {
            let own = start.udp_dport(well_known::DNS).skuid(self.proxy_uid);
            rules.push(alone(own, "DNS of the proxy"));
        }
        rules.extend(dns.rules(Rule::new(), End::Destination).map(|rule| {
            let rule = rule.udp_dport(well_known::DNS).counter().redirect_to(self.dns_port);
            rule.comment("DNS over UDP, to the proxy")
        }));
        if !self.captures_outbound {
            return rules;
        }
        for start in self.families_with(dns).into_iter().filter(|_| !self.dns_over_tcp) {
            let tcp = start.tcp_dport(well_known::DNS);
            let own = tcp.clone().skuid(self.proxy_uid).counter().goto(OUTBOUND);
            rules.push(own.comment("DNS over TCP of the proxy is as all it sends"));
            rules.push(alone(tcp, "DNS over TCP leaves past the proxy"));
        }
        rules.push(Rule::new().l4proto(Protocol::TCP).counter().goto(OUTBOUND));
        rules
    }

    /// Only TCP gets here.
    fn outbound(&self) -> Vec<Rule> {
        if !self.captures_outbound {
            return Vec::new();
        }
        let alone = |rule: Rule, why: &str| rule.counter().r#return().comment(why);
        let lo = || Rule::new().oifname("lo");
        let mut rules = Vec::new();
        if self.include_outbound_ports.is_empty() && !self.exclude_outbound_ports.is_empty() {
            let rule = Rule::new().tcp_dport(ports(self.exclude_outbound_ports.iter()));
            rules.push(alone(rule, "outbound ports that are left alone"));
        }
        let passed = self.each(ip_saddr(PASSTHROUGH_V4), ip6_saddr(PASSTHROUGH_V6));
        rules.extend(passed.map(|from| alone(lo().matches(from), "inbound that the proxy passes on unproxied")));
        let elsewhere = self.each(not(ip_daddr(Ipv4Addr::LOCALHOST)), not(ip6_daddr(Ipv6Addr::LOCALHOST)));
        rules.extend(elsewhere.map(|to| {
            let rule = lo().matches(to).l4proto(Protocol::TCP).skuid(self.proxy_uid).counter();
            rule.redirect_to(self.self_port).comment("the proxy to its own pod is inbound")
        }));
        rules.push(alone(lo(), "what stays in the pod"));
        rules.push(alone(Rule::new().skuid(self.proxy_uid), "what the proxy sends"));
        let loopback = self.each(ip_daddr(Ipv4Addr::LOCALHOST), ip6_daddr(Ipv6Addr::LOCALHOST));
        rules.extend(loopback.map(|to| alone(Rule::new().matches(to), "to loopback")));
        let captured = captured(&self.include_outbound_ports).counter().redirect_to(self.outbound_port);
        rules.push(captured.comment("outbound, to the proxy"));
        rules
    }

    fn each(&self, v4: Match, v6: Match) -> impl Iterator<Item = Match> + use<> {
        [v4].into_iter().chain(self.ipv6.then_some(v6))
    }
}

/// Returns the beginning of a rule for what is captured: these ports, or all without any.
fn captured(included: &PortRanges) -> Rule {
    match included.is_empty() {
        true => Rule::new().l4proto(Protocol::TCP),
        false => Rule::new().tcp_dport(ports(included.iter())),
    }
}

fn of_users(exclusion: &UidExclusion) -> impl Iterator<Item = Rule> {
    let UidExclusion { protocols, ports: given, uids } = exclusion;
    let of = || Rule::new().skuid(uids.clone());
    let tcp = (*protocols != Protocols::Udp).then(|| of().tcp_dport(ports(given.iter())));
    let udp = (*protocols != Protocols::Tcp).then(|| of().udp_dport(ports(given.iter())));
    tcp.into_iter().chain(udp)
}

/// Returns an interface as Kuma writes it, and orders it.
fn written(interface: &InterfacePattern) -> String {
    format!("{}{}", interface.name(), if interface.is_prefix() { "+" } else { "" })
}

/// The source of inbound connections that the proxy passes on unproxied.
const PASSTHROUGH_V4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);
const PASSTHROUGH_V6: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6);
const OUTBOUND: &str = "outbound";
