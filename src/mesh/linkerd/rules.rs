//! Builds the rules: one table with two chains, in the order in which `proxy-init` decides.
//! Only the first packet of a connection reaches a chain of nat.

use super::config::{LinkerdConfig, LinkerdConfigBuilder};
use crate::mesh::sets::{Destinations, End, ports};
use crate::mesh::{Mesh, Original, Priorities};
use crate::model::{Chain, ChainType, Family, Hook, Protocol, Rule, Ruleset, Table, TableId};

/// The name of the table; its family is inet with IPv6 and ip without.
pub const TABLE: &str = "linkerd-proxy";

/// Returns every table that an installation may own, for any configuration.
#[must_use]
pub fn tables() -> Vec<TableId> {
    [Family::Inet, Family::Ip].map(|family| TableId::new(family, TABLE)).to_vec()
}

impl Mesh for LinkerdConfig {
    fn rules(&self) -> Ruleset {
        Ruleset::from(self)
    }

    fn tables(&self) -> Vec<TableId> {
        tables()
    }

    fn warnings(&self) -> Vec<String> {
        LinkerdConfig::warnings(self)
    }

    fn outbound_port(&self) -> Option<u16> {
        Some(self.given.outgoing_port)
    }

    fn original(&self) -> Original {
        Original {
            program: "proxy-init",
            chains: "PROXY_INIT_",
            exclusions: "--outbound-ports-to-ignore, --outbound-subnets-to-ignore, --inbound-ports-to-ignore or \
                         --subnets-to-ignore",
            captures_in: Original::tables(&["nat"], self.given.ipv6),
            ..Original::default()
        }
    }
}

/// Returns the table `linkerd-proxy`: of family inet with IPv6, of family ip without.
impl From<&LinkerdConfig> for Ruleset {
    fn from(config: &LinkerdConfig) -> Self {
        let LinkerdConfigBuilder {
            incoming_port,
            outgoing_port,
            proxy_uid,
            proxy_gid,
            inbound_ports,
            inbound_ports_ignore,
            outbound_ports_ignore,
            subnets_ignore,
            outbound_subnets_ignore,
            ipv6,
        } = &config.given;
        let sources = Destinations::of("ignored-sources", subnets_ignore, *ipv6, End::Source);
        let destinations = Destinations::of("ignored-destinations", outbound_subnets_ignore, *ipv6, End::Destination);
        let alone = |rule: Rule, why: &str| rule.counter().r#return().comment(why);
        let tcp = || Rule::new().l4proto(Protocol::TCP);

        let mut output = Vec::new();
        output.extend(proxy_uid.map(|uid| alone(Rule::new().skuid(uid), "what the proxy sends")));
        output.extend(proxy_gid.map(|gid| alone(Rule::new().skgid(gid), "what the proxy's group sends")));
        output.push(alone(Rule::new().oifname("lo"), "what stays in the pod"));
        if !outbound_ports_ignore.is_empty() {
            let rule = Rule::new().tcp_dport(ports(outbound_ports_ignore.iter()));
            output.push(alone(rule, "outbound ports that are left alone"));
        }
        output.extend(destinations.matches.iter().map(|to| {
            let rule = to.iter().cloned().fold(Rule::new(), Rule::matches);
            alone(rule, "destinations that are left alone")
        }));
        output.push(tcp().counter().redirect_to(*outgoing_port).comment("outbound, to the proxy"));

        let mut prerouting = Vec::new();
        if !inbound_ports_ignore.is_empty() {
            let rule = Rule::new().tcp_dport(ports(inbound_ports_ignore.iter()));
            prerouting.push(alone(rule, "inbound ports that are left alone"));
        }
        prerouting.extend(sources.matches.iter().map(|from| {
            let rule = from.iter().cloned().fold(Rule::new(), Rule::matches);
            alone(rule, "sources that are left alone")
        }));
        let captured = match inbound_ports {
            None => Some(tcp()),
            Some(only) if only.is_empty() => None,
            Some(only) => Some(Rule::new().tcp_dport(ports(only.iter()))),
        };
        prerouting
            .extend(captured.map(|rule| rule.counter().redirect_to(*incoming_port).comment("inbound, to the proxy")));

        let base = |name, hook| Chain::base(name, ChainType::Nat, hook, Priorities::NAT);
        let mut table = Table::new(if *ipv6 { Family::Inet } else { Family::Ip }, TABLE);
        table.sets = sources.sets.into_iter().chain(destinations.sets).collect();
        let table = table.chain(base("prerouting", Hook::Prerouting).rules(prerouting));
        [table.chain(base("output", Hook::Output).rules(output))].into_iter().collect()
    }
}
