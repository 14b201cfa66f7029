//! Builds the rules of a pod: three tables at most, in the order in which Istio decides.
//!
//! ```text
//! hook        raw -301              mangle -151                  nat -101
//! prerouting  answers of DNS        of ztunnel: the connection   virtual machines: to 15001
//!             to ztunnel: zone 1    is marked                    inbound: to 15006
//! output      queries of ztunnel:   of a marked connection:      DNS to 15053
//!             zone 1                the packet is marked too     outbound: to 15001
//! ```
//! Without IPv6 the tables are of family ip, with IPv6 of family inet, under the same names.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::config::{AmbientConfig, AmbientConfigBuilder, Inbound};
use crate::mesh::sets::interfaces;
use crate::mesh::{Mesh, Original, Priorities, ports};
use crate::model::{
    Chain, ChainType, Family, Hook, MarkKey, MarkValue, Match, Priority, Protocol, Rule, Ruleset, Table, TableId,
    ip_daddr, ip_saddr, ip6_daddr, ip6_saddr, mark, masked, not, oifname, tcp_dport,
};
use crate::routes::{Families, MarkRoute, RoutePlan};

/// The mark of every packet that ztunnel sends, in the bits of [`MASK`].
///
/// `InpodMark`, <https://github.com/istio/istio/blob/master/cni/pkg/iptables/iptables.go>.
pub const MARK: u32 = 0x539;

/// The mark of connections that ztunnel opened within the pod, in the bits of [`MASK`], and of the
/// application's answers to it.
pub const CONNECTION_MARK: u32 = 0x111;

/// The bits of marks that belong to ambient; the others may belong to anyone.
pub const MASK: u32 = 0xfff;

/// The routing table that delivers the application's answers to ztunnel.
pub const ROUTE_TABLE: u32 = 100;

/// The priority of the policy rules for that table.
pub const ROUTE_PRIORITY: u32 = 32764;

/// The name of the table with address translation; its family is inet with IPv6 and ip without.
pub const NAT: &str = "istio-ambient-nat";

/// The name of the table that marks.
pub const MANGLE: &str = "istio-ambient-mangle";

/// The name of the table with the conntrack zones of DNS.
pub const RAW: &str = "istio-ambient-raw";

/// Returns every table that an installation may own, for any configuration.
#[must_use]
pub fn tables() -> Vec<TableId> {
    let of = |family| [RAW, MANGLE, NAT].map(|name| TableId::new(family, name));
    [Family::Inet, Family::Ip].into_iter().flat_map(of).collect()
}

impl Mesh for AmbientConfig {
    fn rules(&self) -> Ruleset {
        Ruleset::from(self)
    }

    fn routes(&self) -> RoutePlan {
        RoutePlan::from(self)
    }

    fn tables(&self) -> Vec<TableId> {
        tables()
    }

    fn warnings(&self) -> Vec<String> {
        AmbientConfig::warnings(self).to_vec()
    }

    fn dns_port(&self) -> Option<u16> {
        self.given.dns_capture.then_some(ports::AGENT_DNS)
    }

    fn outbound_port(&self) -> Option<u16> {
        Some(ports::OUTBOUND)
    }

    /// Its chains are those named `ISTIO_*`, in nat, mangle and raw.
    fn original(&self) -> Original {
        Original {
            program: "Istio's agent",
            chains: "ISTIO_",
            excludes_ours: true,
            exclusions: "ambient has none for ports and ranges, only for whole pods",
            captures_in: Original::tables(&["nat"], self.given.ipv6),
            ..Original::default()
        }
    }
}

/// Returns the routes by which the application's answers come back to ztunnel, which spoke to it
/// in a client's name. Those of IPv6 are left out where lo has no IPv6, as it has then no one to
/// answer.
impl From<&AmbientConfig> for RoutePlan {
    fn from(config: &AmbientConfig) -> Self {
        let families = if config.given.ipv6 { Families::Both } else { Families::Ipv4 };
        RoutePlan::new().tproxy(families, ANSWERS).ipv6_where_enabled()
    }
}

/// Returns the tables `istio-ambient-raw`, `-mangle` and `-nat`, in the order in which a packet
/// meets them: family inet with IPv6, family ip without. Only DNS needs the first.
impl From<&AmbientConfig> for Ruleset {
    fn from(config: &AmbientConfig) -> Self {
        let AmbientConfigBuilder { dns_capture, ipv6, .. } = config.given;
        let family = if ipv6 { Family::Inet } else { Family::Ip };
        let raw = dns_capture.then(|| raw(Table::new(family, RAW)));
        let tables = [mangle(Table::new(family, MANGLE)), nat(Table::new(family, NAT), &config.given)];
        raw.into_iter().chain(tables).collect()
    }
}

/// ztunnel and the application may query the same server from the same port: the zone keeps their
/// connections apart. The first zone that a packet gets is final.
fn raw(table: Table) -> Table {
    let answers = Rule::new().udp_sport(ports::DNS).matches(not(of_ztunnel())).counter().set_zone(ZTUNNEL);
    let queries = Rule::new().udp_dport(ports::DNS).matches(of_ztunnel()).counter().set_zone(ZTUNNEL);
    let table = hooked(
        table,
        (ChainType::Filter, Hook::Prerouting, Priorities::RAW),
        vec![answers.comment("answers of DNS servers to ztunnel")],
    );
    hooked(
        table,
        (ChainType::Filter, Hook::Output, Priorities::RAW),
        vec![queries.comment("queries of ztunnel to DNS servers")],
    )
}

fn mangle(table: Table) -> Table {
    let marked = MarkValue::masked(MarkKey::Ct, CONNECTION_MARK, MASK);
    let opened = Rule::new().matches(of_ztunnel()).counter().set_ct_mark(marked);
    let answered = Rule::new().ct_mark(masked(CONNECTION_MARK, MASK)).counter().set_mark(MarkValue::copy(MarkKey::Ct));
    let table = hooked(
        table,
        (ChainType::Filter, Hook::Prerouting, Priorities::MANGLE),
        vec![opened.comment("from ztunnel in a client's name: answers must find back to it")],
    );
    hooked(
        table,
        (ChainType::Route, Hook::Output, Priorities::MANGLE),
        vec![answered.comment("answers to ztunnel that spoke in a client's name")],
    )
}

fn nat(table: Table, config: &AmbientConfigBuilder) -> Table {
    let families = ByFamily { ipv6: config.ipv6 };
    let table = hooked(table, (ChainType::Nat, Hook::Prerouting, Priorities::NAT), inbound(config, &families));
    hooked(table, (ChainType::Nat, Hook::Output, Priorities::NAT), outbound(config, &families))
}

fn inbound(config: &AmbientConfigBuilder, families: &ByFamily) -> Vec<Rule> {
    let AmbientConfigBuilder { inbound, probe_v4, probe_v6, virtual_interfaces, .. } = config;
    let mut rules = Vec::new();
    if !virtual_interfaces.is_empty() {
        let machines = Rule::new().iifname(interfaces(virtual_interfaces)).l4proto(Protocol::TCP);
        let machines = machines.counter().redirect_to(ports::OUTBOUND);
        rules.push(machines.comment("what virtual machines send is outbound"));
    }
    if *inbound == Inbound::Captured {
        rules.extend(families.each(ip_saddr(*probe_v4), ip6_saddr(*probe_v6)).map(|probe| {
            let probe = Rule::new().l4proto(Protocol::TCP).matches(probe).counter().accept();
            probe.comment("probes of the node")
        }));
        rules.extend(families.not_to_loopback().map(|destination| {
            let rule = Rule::new().matches(destination).matches(not(tcp_dport(ports::TUNNEL)));
            rule.matches(not(of_ztunnel())).counter().redirect_to(ports::INBOUND).comment("inbound, to ztunnel")
        }));
    }
    rules
}

fn outbound(config: &AmbientConfigBuilder, families: &ByFamily) -> Vec<Rule> {
    let AmbientConfigBuilder { dns_capture, probe_v4, probe_v6, .. } = config;
    let mut rules = Vec::new();
    rules.extend(families.each(ip_daddr(*probe_v4), ip6_daddr(*probe_v6)).map(|probe| {
        let probe = Rule::new().l4proto(Protocol::TCP).matches(probe).counter().accept();
        probe.comment("to the node, as probes come from it")
    }));
    if *dns_capture {
        let udp = Rule::new().matches(not(oifname("lo"))).udp_dport(ports::DNS).matches(not(of_ztunnel()));
        rules.push(udp.counter().redirect_to(ports::AGENT_DNS).comment("DNS over UDP, to ztunnel"));
        rules.extend(families.not_to_loopback().map(|destination| {
            let tcp = Rule::new().matches(destination).tcp_dport(ports::DNS).matches(not(of_ztunnel()));
            tcp.counter().redirect_to(ports::AGENT_DNS).comment("DNS over TCP, to ztunnel")
        }));
    }
    let answers = Rule::new().l4proto(Protocol::TCP).mark(masked(CONNECTION_MARK, MASK)).counter().accept();
    rules.push(answers.comment("answers to ztunnel that spoke in a client's name"));
    rules.extend(families.not_to_loopback().map(|destination| {
        let itself = Rule::new().oifname("lo").matches(destination).counter().accept();
        itself.comment("the application to itself")
    }));
    rules.extend(families.not_to_loopback().map(|destination| {
        let tcp = Rule::new().l4proto(Protocol::TCP).matches(destination).matches(not(of_ztunnel()));
        tcp.counter().redirect_to(ports::OUTBOUND).comment("outbound, to ztunnel")
    }));
    rules
}

/// The families that are captured.
struct ByFamily {
    ipv6: bool,
}

impl ByFamily {
    fn each(&self, v4: Match, v6: Match) -> impl Iterator<Item = Match> + use<> {
        [v4].into_iter().chain(self.ipv6.then_some(v6))
    }

    /// Exactly these addresses are loopback to Istio, not 127.0.0.2.
    fn not_to_loopback(&self) -> impl Iterator<Item = Match> + use<> {
        self.each(not(ip_daddr(Ipv4Addr::LOCALHOST)), not(ip6_daddr(Ipv6Addr::LOCALHOST)))
    }
}

fn of_ztunnel() -> Match {
    mark(masked(MARK, MASK))
}

/// Adds a base chain and the chain that it jumps to, unless there are no rules.
fn hooked(table: Table, (kind, hook, priority): (ChainType, Hook, Priority), rules: Vec<Rule>) -> Table {
    if rules.is_empty() {
        return table;
    }
    let (base, own) = match hook {
        Hook::Prerouting => ("prerouting", "istio-prerouting"),
        _ => ("output", "istio-output"),
    };
    let base = Chain::base(base, kind, hook, priority).rule(Rule::new().jump(own));
    table.chain(base).chain(Chain::regular(own).rules(rules))
}

/// The route of the application's answers.
const ANSWERS: MarkRoute = MarkRoute::of_constants(CONNECTION_MARK, MASK, ROUTE_PRIORITY, ROUTE_TABLE);
/// Between ztunnel and DNS servers.
const ZTUNNEL: u16 = 1;
