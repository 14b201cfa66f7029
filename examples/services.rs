//! The rules of one service as kube-proxy writes them: verdict maps lead to its chain, one of its
//! endpoints is drawn, and a client stays with the endpoint it had.
//!
//! `unshare -rn target/debug/examples/services`

use std::net::Ipv4Addr;
use std::time::Duration;

use nftmesh::model::kind::Integer;
use nftmesh::model::{Numgen, NumgenMode, Update};
use nftmesh::prelude::matches::{daddr, ip_saddr, masked, saddr, set};
use nftmesh::prelude::*;

const MASQUERADE: u32 = 0x4000;
const SERVICE: &str = "service-ns1/svc1/tcp/p80";
const EXTERNAL: &str = "external-ns1/svc1/tcp/p80";
const ENDPOINTS: [(&str, Ipv4Addr); 2] = [
    ("endpoint-ns1/svc1/tcp/p80__10.180.0.1/80", Ipv4Addr::new(10, 180, 0, 1)),
    ("endpoint-ns1/svc1/tcp/p80__10.180.0.2/80", Ipv4Addr::new(10, 180, 0, 2)),
];

/// Addresses with protocol and port, and protocols with ports, that lead somewhere.
fn maps() -> [Set; 6] {
    let triple = |name| Set::verdict_map(name, [DataType::Ipv4, DataType::Protocol, DataType::Port]);
    let pair = |name| Set::verdict_map(name, [DataType::Protocol, DataType::Port]);
    let at = |address: [u8; 4], port| Element::new((Ipv4Addr::from(address), Protocol::TCP, port));
    let port = |port| Element::new((Protocol::TCP, port));
    [
        Set::new("nodeport-ips", [DataType::Ipv4]).elements([Ipv4Addr::new(192, 168, 0, 2)]),
        triple("no-endpoint-services").elements([at([172, 30, 0, 46], 80).goto("reject").comment("ns4/svc4")]),
        pair("no-endpoint-nodeports").elements([port(3003).verdict(Verdict::Drop).comment("ns5/svc5:p80")]),
        triple("firewall-ips").elements([at([5, 6, 7, 8], 80).goto("firewall").comment("ns5/svc5:p80")]),
        triple("service-ips").elements([at([172, 30, 0, 41], 80).goto(SERVICE)]),
        pair("service-nodeports").elements([port(3001).goto(EXTERNAL)]),
    ]
}

/// `numgen random mod COUNT vmap @MAP`.
fn drawn(count: u32, map: &str) -> Rule {
    Rule::new().vmap(Field::from(Numgen { mode: NumgenMode::Random, modulus: count, offset: 0 }), set(map))
}

/// `update @SET { ip saddr }`.
fn remembered(name: &str) -> Rule {
    Rule::new().update(Update::update(set(name), Field::IpSaddr))
}

fn table() -> Table {
    let filter = |name, hook| Chain::base(name, ChainType::Filter, hook, Priority::DSTNAT - 10);
    let nat = |name, hook, priority| Chain::base(name, ChainType::Nat, hook, priority);
    let new = || Rule::new().ct_state(CtState::NEW);
    let triple = [Field::IpDaddr, Field::L4proto, Field::ThDport];
    let pair = [Field::L4proto, Field::ThDport];
    let (affinity, drawing) = (|endpoint: &str| format!("affinity-{endpoint}"), "endpoints-ns1/svc1/tcp/p80");
    let loopback = Ipv4Network::new(Ipv4Addr::LOCALHOST, 8).expect("a prefix");
    let pods = Ipv4Network::new(Ipv4Addr::new(10, 0, 0, 0), 8).expect("a prefix");
    let clients = Ipv4Network::new(Ipv4Addr::new(203, 0, 113, 0), 25).expect("a prefix");
    let numbered = (0_u32..).zip(ENDPOINTS).map(|(number, (endpoint, _))| Element::new(Integer(number)).goto(endpoint));

    let service = Rule::new().daddr(Ipv4Addr::new(172, 30, 0, 41)).tcp_dport(80).not(saddr(pods));
    let returning = ENDPOINTS.map(|(endpoint, _)| Rule::new().ip_saddr(set(affinity(endpoint))).goto(endpoint));
    let table = Table::new(Family::Ip, "kube-proxy")
        .comment("rules for kube-proxy")
        .set(Set::verdict_map(drawing, [DataType::Integer { bytes: 4 }]).elements(numbered))
        .chain(filter("filter-prerouting", Hook::Prerouting).rule(new().jump("firewall-check")))
        .chain(filter("filter-input", Hook::Input).rule(new().jump("endpoints-check")))
        .chain(filter("filter-forward", Hook::Forward).rule(new().jump("endpoints-check")))
        .chain(
            filter("filter-output", Hook::Output)
                .rule(new().jump("endpoints-check"))
                .rule(new().jump("firewall-check")),
        )
        .chain(nat("nat-prerouting", Hook::Prerouting, Priority::DSTNAT).rule(Rule::new().jump("services")))
        .chain(nat("nat-output", Hook::Output, Priority::DSTNAT).rule(Rule::new().jump("services")))
        .chain(nat("nat-postrouting", Hook::Postrouting, Priority::SRCNAT).rule(Rule::new().jump("masquerading")))
        .chain(Chain::regular("mark").rule(Rule::new().set_mark(MarkValue::or(MarkKey::Meta, MASQUERADE))))
        .chain(
            Chain::regular("masquerading")
                .rule(Rule::new().mark(masked(0, MASQUERADE)).r#return())
                .rule(Rule::new().set_mark(MarkValue::xor(MarkKey::Meta, MASQUERADE)))
                .rule(Rule::new().masquerade_with(NatFlags::FULLY_RANDOM)),
        )
        .chain(Chain::regular("reject").rule(Rule::new().reject()))
        .chain(Chain::regular("endpoints-check").rule(Rule::new().vmap(triple, set("no-endpoint-services"))).rule(
            Rule::new().fib_daddr_type(AddrType::LOCAL).not(daddr(loopback)).vmap(pair, set("no-endpoint-nodeports")),
        ))
        .chain(Chain::regular("firewall-check").rule(Rule::new().vmap(triple, set("firewall-ips"))))
        .chain(Chain::regular("firewall").rule(Rule::new().not(ip_saddr(clients)).drop()))
        .chain(
            Chain::regular("services")
                .rule(Rule::new().vmap(triple, set("service-ips")))
                .rule(Rule::new().ip_daddr(set("nodeport-ips")).vmap(pair, set("service-nodeports"))),
        )
        .chain(
            Chain::regular(EXTERNAL)
                .rule(Rule::new().fib_saddr_type(AddrType::LOCAL).jump("mark"))
                .rule(Rule::new().goto(SERVICE)),
        )
        .chain(Chain::regular(SERVICE).rule(service.jump("mark")).rules(returning).rule(drawn(2, drawing)));
    let table = maps().into_iter().fold(table, Table::set);
    ENDPOINTS.into_iter().fold(table, |table, (endpoint, address)| {
        let stays = Set::new(affinity(endpoint), [DataType::Ipv4]).dynamic().timeout(Duration::from_secs(10800));
        let chain = Chain::regular(endpoint)
            .rule(Rule::new().saddr(address).jump("mark"))
            .rule(remembered(&affinity(endpoint)))
            .rule(Rule::new().l4proto(Protocol::TCP).nat(Nat::dnat().to(address).ports(80)));
        table.set(stays).chain(chain)
    })
}

fn main() -> Result<()> {
    let ruleset = Ruleset::new().table(table());
    let mut kernel = Kernel::open()?;
    kernel.apply(&ruleset)?;
    assert!(kernel.plan(&ruleset)?.is_empty(), "the kernel holds what was given to it");
    print!("{ruleset}");
    Ok(())
}
