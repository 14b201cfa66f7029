//! Inbound capture without NAT (TPROXY), and packets that connection tracking considers invalid.
//!
//! ```text
//! client ──> eth0 ──> prerouting: tproxy, mark 1337 ──> table 133: lo ──> proxy
//! proxy, as the client ──> lo, mark 1337: kept on the connection ──> application
//! application ──> output: connection has mark 1337, so has the answer ──> table 133: lo ──> proxy
//! proxy to its own pod ──> output: mark 1338 ──> lo ──> prerouting: tproxy
//! ```
//!
//! A SYN without ACK, RST and FIN begins a connection, even if connection tracking disagrees. The
//! entry of an earlier connection between the same two ports outlives its sockets: for 10 s when
//! the proxy reset it, for a minute when the proxy closed first, for days when the proxy is gone
//! (`tcp_conntracks`, net/netfilter/nf_conntrack_proto_tcp.c, v6.12). Such a SYN counts as
//! established, and would reach the application's listener if it were treated as a packet that the
//! proxy has a socket for.

use super::sets::{interfaces, ports};
use super::{BEGINNING, INBOUND, OUTPUT, OUTPUT_INVALID, Priorities, TPROXY, from_passthrough, to_loopback, with};
use crate::mesh::istio::{InboundPorts, Interception, IstioConfig, SELF_CALL_MARK};
use crate::model::{
    Chain, ChainType, CtState, Hook, MarkKey, MarkValue, Protocol, Rule, Table, TcpFlags, Tproxy, mark, masked,
    oifname, skgid, skuid, th_dport,
};

pub(super) fn table(config: &IstioConfig) -> Table {
    let table = super::table(config, super::MANGLE);
    let base = |name, chain_type, hook| Chain::base(name, chain_type, hook, Priorities::MANGLE);
    let is_tproxy = config.interception == Interception::Tproxy;
    let when = |rules: fn(&IstioConfig) -> Vec<Rule>| if is_tproxy { rules(config) } else { Vec::new() };

    let mut prerouting = when(|config| {
        let excluded = |rule: Rule| rule.counter().r#return().comment("nothing is captured on these interfaces (-c)");
        let interfaces = interfaces(&config.exclude_interfaces);
        (!interfaces.is_empty()).then(|| excluded(Rule::new().iifname(interfaces))).into_iter().collect()
    });
    if config.drop_invalid {
        let invalid = Rule::new().ct_state(CtState::INVALID).counter().drop();
        prerouting.push(invalid.comment("the proxy would reset a connection over a packet out of window"));
    }
    prerouting.extend(when(|_| {
        let inbound = Rule::new().l4proto(Protocol::TCP).counter().jump(INBOUND);
        vec![inbound.comment("inbound TCP")]
    }));

    let table = with(table, base("prerouting", ChainType::Filter, Hook::Prerouting), prerouting);
    let table = with(table, base("output", ChainType::Route, Hook::Output), output(config));
    let table = with(table, Chain::regular(OUTPUT_INVALID), invalid_outbound(config));
    let table = with(table, Chain::regular(INBOUND), when(inbound));
    let table = with(table, Chain::regular(TPROXY), when(tproxy));
    with(table, Chain::regular(OUTPUT), when(self_calls))
}

/// Only TCP reaches this chain.
fn inbound(config: &IstioConfig) -> Vec<Rule> {
    let captured = config.tproxy.mark();
    let keep = Rule::new().mark(captured).counter().set_ct_mark(MarkValue::copy(MarkKey::Meta)).r#return();
    let mut rules = vec![keep.comment("from the proxy in a client's name: answers must find back to it")];
    if config.inbound_ports == InboundPorts::None {
        return rules;
    }
    rules.extend(from_passthrough(config).map(|source| {
        let passed_on = Rule::new().iifname("lo").matches(source).counter().r#return();
        passed_on.comment("inbound that the proxy passes on unproxied")
    }));
    let direct = Rule::new().iifname("lo").not(mark(SELF_CALL_MARK)).counter().r#return();
    rules.push(direct.comment("the application to itself"));
    rules.extend(match &config.inbound_ports {
        InboundPorts::All { except } if except.is_empty() => None,
        InboundPorts::All { except } => {
            let alone = Rule::new().th_dport(ports(except.iter())).counter().r#return();
            Some(alone.comment("inbound ports that are left alone (-d)"))
        }
        InboundPorts::None => None,
        InboundPorts::Only(captured) => {
            let alone = Rule::new().not(th_dport(ports(captured.iter()))).counter().r#return();
            Some(alone.comment("only these inbound ports are captured (-b)"))
        }
    });
    let begins = Rule::new().tcp_flags(masked(TcpFlags::SYN, BEGINNING)).counter().goto(TPROXY);
    rules.push(begins.comment("a SYN begins a connection, whatever is known of an old one"));
    let known = Rule::new().ct_state(CtState::ESTABLISHED | CtState::RELATED).counter();
    let known = known.set_mark(MarkValue::Constant(captured)).accept();
    rules.push(known.comment("of a connection that the proxy has: routed to it by its mark"));
    rules.push(Rule::new().counter().goto(TPROXY).comment("a new connection"));
    rules
}

/// Without a listener `tproxy` lets the packet continue to the application; the drop after it
/// fails closed.
fn tproxy(config: &IstioConfig) -> Vec<Rule> {
    if config.inbound_ports == InboundPorts::None {
        return Vec::new();
    }
    let local = |range| Rule::new().matches(range).counter().r#return().comment("loopback stays in the pod");
    let mut rules: Vec<Rule> = to_loopback(config).map(local).collect();
    let mark = MarkValue::Constant(config.tproxy.mark());
    let to_proxy = Tproxy::to_port(config.inbound_port);
    let captured = Rule::new().l4proto(Protocol::TCP).tproxy(to_proxy).counter().set_mark(mark).accept();
    rules.push(captured.comment("inbound, to the proxy"));
    rules.push(
        Rule::new().counter().drop().comment("the proxy does not listen: the application must not be reached past it"),
    );
    rules
}

/// Every packet that leaves passes here; in the common case each rule fails at its first
/// comparison.
fn output(config: &IstioConfig) -> Vec<Rule> {
    let is_tproxy = config.interception == Interception::Tproxy;
    let mut rules = Vec::new();
    let interfaces = interfaces(&config.exclude_interfaces);
    if is_tproxy && !interfaces.is_empty() {
        let excluded = Rule::new().oifname(interfaces).counter().r#return();
        rules.push(excluded.comment("nothing is captured on these interfaces (-c)"));
    }
    if config.drop_invalid_outbound {
        let invalid = Rule::new().ct_state(CtState::INVALID).l4proto(Protocol::TCP).not(oifname("lo"));
        rules.push(invalid.counter().jump(OUTPUT_INVALID).comment("TCP that leaves the pod and is of no connection"));
    }
    if is_tproxy {
        let answers = Rule::new().ct_mark(config.tproxy.mark()).l4proto(Protocol::TCP).counter();
        let answers = answers.set_mark(MarkValue::copy(MarkKey::Ct)).r#return();
        rules.push(answers.comment("answers to the proxy that spoke in a client's name"));
        let local = Rule::new().oifname("lo").l4proto(Protocol::TCP);
        rules.push(local.counter().jump(OUTPUT).comment("TCP within the pod"));
    }
    rules
}

/// Only TCP that leaves the pod outside any connection reaches this chain. A packet without an
/// owner cannot be attributed to the proxy, and no rule translates it: it would leave unchanged
/// and bypass the proxy.
fn invalid_outbound(config: &IstioConfig) -> Vec<Rule> {
    if !config.drop_invalid_outbound {
        return Vec::new();
    }
    let owners = [skuid(config.proxy_uids.clone()), skgid(config.proxy_gids.clone())];
    let own = |owner| Rule::new().matches(owner).counter().r#return().comment("what the proxy sends goes on");
    let rest = Rule::new().counter().drop().comment("of no connection: it would leave past the proxy");
    owners.into_iter().map(own).chain([rest]).collect()
}

/// Only TCP on lo reaches this chain.
fn self_calls(config: &IstioConfig) -> Vec<Rule> {
    let captured = Rule::new().mark(config.tproxy.mark()).counter().r#return();
    let mut rules = vec![captured.comment("from the proxy in a client's name, to the application")];
    let local = |range| Rule::new().matches(range).counter().r#return().comment("loopback stays in the pod");
    rules.extend(to_loopback(config).map(local));
    rules.extend([skuid(config.proxy_uids.clone()), skgid(config.proxy_gids.clone())].map(|owner| {
        let marked = Rule::new().matches(owner).counter().set_mark(MarkValue::Constant(SELF_CALL_MARK));
        marked.comment("the proxy to its own pod: is to come in through the proxy")
    }));
    rules
}
