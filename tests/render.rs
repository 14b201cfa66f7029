//! This crate prints what nft lists: every rule set goes into the kernel twice, as text through nft
//! and committed by this crate. nft must list the same text both times, and the snapshot must equal
//! the lowered rule set.

mod support;

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Stdio;
use std::time::Duration;

use ipnetwork::{Ipv4Network, Ipv6Network};
use nftmesh::kernel::Kernel;
use nftmesh::model::*;
use nftmesh::plan::Transaction;

use support::readback::assert_reads_back;
use support::{assert_lists_as_nft, assert_same, command, in_fresh_netns, nft, nft_script};

fn v4(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn net4(text: &str) -> Ipv4Network {
    text.parse().expect("a network")
}

fn net6(text: &str) -> Ipv6Network {
    text.parse().expect("a network")
}

fn new() -> Rule {
    Rule::new()
}

fn anonymous(elements: impl IntoIterator<Item = impl Into<Element>>) -> SetRef {
    SetRef::Anonymous(elements.into_iter().map(Into::into).collect())
}

/// Puts the rules into one chain, with the sets and chains that they refer to, and compares texts
/// and programs.
fn nft_lists(family: Family, base: Chain, cases: &[(Rule, &str)]) {
    round_trip(&around(family, base, cases), Programs::Same);
}

/// The same for rules that nft prints without what is implied, and reads back in another order: the
/// same packets match.
fn nft_lists_less(family: Family, base: Chain, cases: &[(Rule, &str)]) {
    round_trip(&around(family, base, cases), Programs::Differ);
}

/// Whether nft makes the same program from the text.
#[derive(PartialEq)]
enum Programs {
    Same,
    Differ,
}

fn around(family: Family, base: Chain, cases: &[(Rule, &str)]) -> Ruleset {
    for (rule, expected) in cases {
        let table = Table::new(family, "t").chain(Chain::regular("c").rule(rule.clone()));
        assert_eq!(table.to_string(), format!("table {family} t {{\n\tchain c {{\n\t\t{expected}\n\t}}\n}}\n"));
    }
    let mut table = Table::new(family, "t")
        .set(Set::verdict_map("ports", [DataType::Port]))
        .set(Set::map("marks", [DataType::Ipv4], DataType::Mark))
        .set(Set::new("pairs", [DataType::Ipv4, DataType::Port]).interval());
    if family != Family::Ip6 {
        table = table.set(Set::new("blocked", [DataType::Ipv4]));
    }
    let rules = cases.iter().map(|(rule, _)| rule.clone());
    Ruleset::new().table(table.chain(Chain::regular("r")).chain(base.rules(rules)))
}

/// Asserts that text and programs are the same both ways.
fn round_trip(ruleset: &Ruleset, programs_are: Programs) {
    let text = ruleset.to_string();
    let mut read = String::new();
    in_fresh_netns(|| {
        nft_script(&text);
        assert_same(&text, &nft("list ruleset"), "read by nft, nft lists");
        read = programs();
    });
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a netlink socket");
        kernel.commit(&Transaction::add(ruleset.clone())).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_same(&text, &nft("list ruleset"), "committed, nft lists");
        if programs_are == Programs::Same {
            assert_same(&read, &programs(), "committed, the kernel runs");
        }
        assert_reads_back(ruleset, &assert_lists_as_nft());
    });
}

/// Returns the expressions of all rules as nft reads them back; the kernel numbers anonymous sets.
fn programs() -> String {
    let debug = nft("--debug=netlink list ruleset");
    let unnumbered = |word: &str| match word {
        set if set.starts_with("__set") => "__set".to_owned(),
        map if map.starts_with("__map") => "__map".to_owned(),
        word => word.to_owned(),
    };
    let expressions = debug.lines().filter(|line| line.starts_with("  ["));
    expressions.map(|line| line.split(' ').map(unnumbered).collect::<Vec<_>>().join(" ") + "\n").collect()
}

fn nft_reads(ruleset: &Ruleset) {
    let text = ruleset.to_string();
    in_fresh_netns(|| {
        nft_script(&text);
        assert_same(&text, &nft("list ruleset"), "read by nft, nft lists");
        assert_lists_as_nft();
    });
}

fn input() -> Chain {
    Chain::base("c", ChainType::Filter, Hook::Input, Priority::FILTER).policy(Policy::Drop)
}

fn prerouting() -> Chain {
    Chain::base("c", ChainType::Nat, Hook::Prerouting, Priority::DSTNAT)
}

#[test]
fn matches_on_interfaces_sockets_and_packets_list_as_in_nft() {
    let cases = [
        (new().iif(1).accept(), r#"iif "lo" accept"#),
        (new().iif(77), "iif 77"),
        (new().iif([77, 1]), r#"iif { "lo", 77 }"#),
        (new().iifname("eth0"), r#"iifname "eth0""#),
        (new().iifname("veth*"), r#"iifname "veth*""#),
        (new().not(iifname("veth*")), r#"iifname != "veth*""#),
        (new().iifname("odd\\*"), r#"iifname "odd\*""#),
        (new().iifname(["eth0", "lo", "zz", "abc"]), r#"iifname { "lo", "zz", "abc", "eth0" }"#),
        (new().iifname(["zz", "veth*", "lo"]), r#"iifname { "lo", "veth*", "zz" }"#),
        (new().skuid(1337), "meta skuid 1337"),
        (new().not(skuid(1337)), "meta skuid != 1337"),
        (new().skuid(1000..=2000), "meta skuid 1000-2000"),
        (new().not(skuid(1000..=2000)), "meta skuid != 1000-2000"),
        (new().skuid([70_000, 2, 1000]), "meta skuid { 2, 1000, 70000 }"),
        (new().skuid([1000..=2000, 5..=5]), "meta skuid { 5, 1000-2000 }"),
        (new().socket_exists(), "meta skuid >= 0"),
        (new().skgid(1337), "meta skgid 1337"),
        (new().skgid([1, 2]), "meta skgid { 1, 2 }"),
        (new().cgroup(5), "meta cgroup 5"),
        (new().cgroup([2, 1]), "meta cgroup { 1, 2 }"),
        (new().mark(1), "meta mark 0x00000001"),
        (new().not(mark(1)), "meta mark != 0x00000001"),
        (new().mark(1..=10), "meta mark 0x00000001-0x0000000a"),
        (new().not(mark(1..=10)), "meta mark != 0x00000001-0x0000000a"),
        (new().mark([0x10000, 0x2, 0x100]), "meta mark { 0x00000002, 0x00000100, 0x00010000 }"),
        (new().mark([20..=30, 1..=10]), "meta mark { 0x00000001-0x0000000a, 0x00000014-0x0000001e }"),
        (new().mark(masked(1, 0xff)), "meta mark & 0x000000ff == 0x00000001"),
        (new().not(mark(masked(1, 0xff))), "meta mark & 0x000000ff != 0x00000001"),
        (new().mark(masked(0, 0xff)), "meta mark & 0x000000ff == 0x00000000"),
        (new().mark(masked(5, u32::MAX)), "meta mark 0x00000005"),
        (new().matches(Match::new(Field::Mark, Op::Ge, Operand::Value(Value::Mark(5)))), "meta mark >= 0x00000005"),
        (new().matches(Match::new(Field::Mark, Op::Lt, Operand::Value(Value::Mark(5)))), "meta mark < 0x00000005"),
        (new().length(100), "meta length 100"),
        (new().length(100..=200), "meta length 100-200"),
        (new().not(length(100..=200)), "meta length != 100-200"),
        (new().matches(Match::new(Field::Length, Op::Gt, Operand::Value(Value::Integer(9)))), "meta length > 9"),
        (new().matches(Match::new(Field::Length, Op::Le, Operand::Value(Value::Integer(9)))), "meta length <= 9"),
        (new().length([100..=100, 1..=5]), "meta length { 1-5, 100 }"),
        (new().pkttype(PktType::BROADCAST), "meta pkttype broadcast"),
        (new().pkttype([PktType::OTHER, PktType::HOST]), "meta pkttype { host, other }"),
        (new().nfproto(Nfproto::IPV4).accept(), "meta nfproto ipv4 accept"),
        (new().not(nfproto(Nfproto::IPV6)), "meta nfproto != ipv6"),
        (new().nfproto([Nfproto::IPV6, Nfproto::IPV4]), "meta nfproto { ipv4, ipv6 }"),
        (new().l4proto(Protocol::TCP), "meta l4proto tcp"),
        (new().not(l4proto(Protocol::TCP)), "meta l4proto != tcp"),
        (new().l4proto(Protocol(58)), "meta l4proto ipv6-icmp"),
        (new().l4proto(Protocol(200)), "meta l4proto 200"),
        (
            new().l4proto([Protocol::UDP, Protocol::ICMPV6, Protocol::TCP]).th_dport(53),
            "meta l4proto { tcp, udp, ipv6-icmp } th dport 53",
        ),
        (new().fib_daddr_type(AddrType::LOCAL), "fib daddr type local"),
        (new().fib_saddr_type(AddrType::LOCAL), "fib saddr type local"),
        (new().not(fib_saddr_type([AddrType::MULTICAST, AddrType::LOCAL])), "fib saddr type != { local, multicast }"),
        (new().not(fib_daddr_type(AddrType::LOCAL)), "fib daddr type != local"),
        (new().fib_daddr_type([AddrType::MULTICAST, AddrType::LOCAL]), "fib daddr type { local, multicast }"),
        (new().socket_transparent(1), "socket transparent 1"),
        (new().socket_mark(1), "socket mark 0x00000001"),
        (new().socket_mark(masked(1, 3)), "socket mark & 0x00000003 == 0x00000001"),
        (new().not(socket_wildcard(1)), "socket wildcard != 1"),
    ];
    nft_lists(Family::Inet, input(), &cases);
    let cases = [
        (new().not(oif(77)), "oif != 77"),
        (new().oifname("lo"), r#"oifname "lo""#),
        (new().not(oifname(["lo", "eth0"])), r#"oifname != { "lo", "eth0" }"#),
    ];
    nft_lists(Family::Inet, Chain::base("c", ChainType::Route, Hook::Output, Priority::MANGLE), &cases);
}

#[test]
fn matches_on_connections_list_as_in_nft() {
    use CtState as S;
    let exactly = |op, bits| new().matches(Match::new(Field::CtState, op, Operand::Value(Value::CtState(bits))));
    let cases = [
        (new().ct_state(S::ESTABLISHED), "ct state established"),
        (new().ct_state(S::RELATED | S::ESTABLISHED), "ct state established,related"),
        (new().not(ct_state(S::RELATED | S::ESTABLISHED)), "ct state ! established,related"),
        (new().ct_state(S::INVALID | S::UNTRACKED), "ct state invalid,untracked"),
        (exactly(Op::Eq, S::ESTABLISHED), "ct state == established"),
        (exactly(Op::Ne, S::ESTABLISHED), "ct state != established"),
        (exactly(Op::Ne, S::ESTABLISHED | S::RELATED), "ct state != established | related"),
        (exactly(Op::Eq, S::empty()), "ct state == 0x0"),
        (
            new().ct_state(masked(S::ESTABLISHED, S::ESTABLISHED | S::RELATED)),
            "ct state established / established,related",
        ),
        (new().ct_state([S::NEW, S::ESTABLISHED]), "ct state { established, new }"),
        (new().ct_status(CtStatus::DNAT), "ct status dnat"),
        (new().not(ct_status(CtStatus::DNAT | CtStatus::SNAT)), "ct status ! snat,dnat"),
        (new().ct_status(CtStatus::from_bits_retain(0x400)), "ct status 0x400"),
        (new().ct_mark(1), "ct mark 0x00000001"),
        (new().ct_mark(masked(1, 0xff)), "ct mark & 0x000000ff == 0x00000001"),
        (new().ct_mark([1..=5, 20..=20]), "ct mark { 0x00000001-0x00000005, 0x00000014 }"),
        (new().ct_direction(CtDirection::Original), "ct direction original"),
        (new().not(ct_direction(CtDirection::Reply)), "ct direction != reply"),
        (new().ct_zone(1), "ct zone 1"),
        (new().ct_zone(1..=5), "ct zone 1-5"),
        (new().ct_zone([2, 1]), "ct zone { 1, 2 }"),
    ];
    nft_lists(Family::Inet, input(), &cases);
}

#[test]
fn matches_on_addresses_list_as_in_nft() {
    let mask = |mask, value| {
        let operand = Operand::Masked { mask: Value::Ipv4(v4(mask)), value: Value::Ipv4(v4(value)) };
        new().matches(Match::new(Field::IpSaddr, Op::Eq, operand))
    };
    let cases = [
        (new().ip_saddr(v4("10.0.0.1")), "ip saddr 10.0.0.1"),
        (new().ip_daddr(net4("10.0.0.0/8")), "ip daddr 10.0.0.0/8"),
        (new().ip_saddr(net4("10.0.0.0/9")), "ip saddr 10.0.0.0/9"),
        (new().not(ip_saddr(net4("10.0.0.0/9"))), "ip saddr != 10.0.0.0/9"),
        (new().ip_saddr(net4("0.0.0.0/0")), "ip saddr 0.0.0.0/0"),
        (new().ip_saddr(net4("1.2.3.4/32")), "ip saddr 1.2.3.4"),
        (new().ip_saddr(v4("10.0.0.0")..=v4("10.0.0.255")), "ip saddr 10.0.0.0-10.0.0.255"),
        (new().not(ip_saddr(v4("10.0.0.1")..=v4("10.0.0.9"))), "ip saddr != 10.0.0.1-10.0.0.9"),
        (new().ip_saddr([v4("10.0.0.2"), v4("10.0.0.1")]), "ip saddr { 10.0.0.1, 10.0.0.2 }"),
        (
            new().not(ip_saddr([net4("192.168.0.0/16"), net4("10.0.0.0/8")])),
            "ip saddr != { 10.0.0.0/8, 192.168.0.0/16 }",
        ),
        (
            new().ip_saddr([v4("10.0.0.1")..=v4("10.0.0.9"), v4("9.0.0.0")..=v4("9.0.0.255")]),
            "ip saddr { 9.0.0.0/24, 10.0.0.1-10.0.0.9 }",
        ),
        (
            new().ip_saddr([net4("10.0.1.0/24"), net4("10.0.0.0/24"), net4("8.0.0.0/8")]),
            "ip saddr { 8.0.0.0/8, 10.0.0.0/23 }",
        ),
        (new().ip_saddr([net4("255.0.0.0/8"), net4("0.0.0.0/8")]), "ip saddr { 0.0.0.0/8, 255.0.0.0/8 }"),
        (new().ip_saddr(set("blocked")), "ip saddr @blocked"),
        (new().not(ip_daddr(set("blocked"))), "ip daddr != @blocked"),
        (mask("255.0.255.0", "10.0.1.0"), "ip saddr & 255.0.255.0 == 10.0.1.0"),
        (mask("255.255.0.0", "10.0.0.0"), "ip saddr 10.0.0.0/16"),
        (new().ip6_saddr(v6("fd00::1")), "ip6 saddr fd00::1"),
        (new().ip6_daddr(net6("fd00::/8")), "ip6 daddr fd00::/8"),
        (new().ip6_saddr(net6("fd00::/9")), "ip6 saddr fd00::/9"),
        (new().ip6_saddr(net6("::/0")), "ip6 saddr ::/0"),
        (new().ip6_saddr(v6("fd00::")..=v6("fd00::ff")), "ip6 saddr fd00::-fd00::ff"),
        (new().ip6_saddr([v6("fd00::2"), v6("::1")]), "ip6 saddr { ::1, fd00::2 }"),
        (new().ip6_saddr(v6("::ffff:1.2.3.4")), "ip6 saddr ::ffff:1.2.3.4"),
        (new().ip6_saddr(v6("::1.2.3.4")), "ip6 saddr ::1.2.3.4"),
        (new().ip6_saddr(v6("::1.2.0.0")), "ip6 saddr ::1.2.0.0"),
        (new().ip6_saddr(v6("::ffff")), "ip6 saddr ::ffff"),
        (new().ip6_saddr(v6("1:0:2:0:0:3:0:0")), "ip6 saddr 1:0:2::3:0:0"),
        (new().ip6_saddr(v6("1:0:2:3:4:5:6:7")), "ip6 saddr 1:0:2:3:4:5:6:7"),
        (new().ip6_saddr(v6("64:ff9b::102:304")), "ip6 saddr 64:ff9b::102:304"),
        (new().ip_protocol(Protocol::TCP), "ip protocol tcp"),
        (new().ip_protocol([Protocol::UDP, Protocol::TCP]), "ip protocol { tcp, udp }"),
        (new().not(ip_protocol(Protocol::ICMP)), "ip protocol != icmp"),
    ];
    nft_lists(Family::Inet, input(), &cases);
}

#[test]
fn matches_on_ports_flags_and_types_list_as_in_nft() {
    use TcpFlags as F;
    let exactly = |op, bits| new().matches(Match::new(Field::TcpFlags, op, Operand::Value(Value::TcpFlags(bits))));
    let cases = [
        (new().tcp_dport(80), "tcp dport 80"),
        (new().not(tcp_sport(80)), "tcp sport != 80"),
        (new().tcp_dport(80..=90), "tcp dport 80-90"),
        (new().tcp_dport(0..=65535), "tcp dport 0-65535"),
        (new().tcp_dport(80..=80), "tcp dport 80-80"),
        (new().not(udp_dport(80..=90)), "udp dport != 80-90"),
        (new().tcp_dport([443, 80]), "tcp dport { 80, 443 }"),
        (new().tcp_dport([80, 81, 82]), "tcp dport { 80, 81, 82 }"),
        (new().tcp_dport([443..=443, 80..=90]), "tcp dport { 80-90, 443 }"),
        (new().tcp_dport([91..=100, 80..=90, 60000..=65535]), "tcp dport { 80-100, 60000-65535 }"),
        (new().not(tcp_dport([443, 80])), "tcp dport != { 80, 443 }"),
        (new().matches(Match::new(Field::TcpDport, Op::Ge, Operand::Value(Value::Port(9)))), "tcp dport >= 9"),
        (new().udp_sport(53), "udp sport 53"),
        (new().sctp_dport(53).sctp_sport(53..=54), "sctp dport 53 sctp sport 53-54"),
        (new().th_dport(53), "th dport 53"),
        (new().th_sport([53, 54]), "th sport { 53, 54 }"),
        (new().tcp_flags(F::SYN), "tcp flags syn"),
        (new().tcp_flags(F::SYN | F::FIN), "tcp flags fin,syn"),
        (new().not(tcp_flags(F::SYN)), "tcp flags ! syn"),
        (new().tcp_flags(masked(F::SYN, F::FIN | F::SYN | F::RST | F::ACK)), "tcp flags syn / fin,syn,rst,ack"),
        (
            new().tcp_flags(masked(F::SYN | F::ACK, F::FIN | F::SYN | F::RST | F::ACK)),
            "tcp flags syn,ack / fin,syn,rst,ack",
        ),
        (new().not(tcp_flags(masked(F::SYN, F::FIN | F::SYN))), "tcp flags != syn / fin,syn"),
        (new().tcp_flags(masked(F::FIN | F::SYN, F::FIN | F::SYN)), "tcp flags fin,syn / fin,syn"),
        (new().tcp_flags(masked(F::SYN, F::SYN)), "tcp flags & syn == syn"),
        (new().not(tcp_flags(masked(F::SYN, F::SYN))), "tcp flags & syn != syn"),
        (new().tcp_flags(masked(F::empty(), F::FIN | F::SYN)), "tcp flags ! fin,syn"),
        (new().not(tcp_flags(masked(F::empty(), F::FIN | F::SYN))), "tcp flags fin,syn"),
        (new().tcp_flags(masked(F::SYN, F::all())), "tcp flags == syn"),
        (new().tcp_flags(F::all()), "tcp flags != 0x0"),
        (exactly(Op::Eq, F::SYN), "tcp flags == syn"),
        (exactly(Op::Ne, F::SYN), "tcp flags != syn"),
        (exactly(Op::Eq, F::SYN | F::ACK), "tcp flags == 0x12"),
        (exactly(Op::Ne, F::SYN | F::ACK), "tcp flags != 0x12"),
        (exactly(Op::Eq, F::empty()), "tcp flags == 0x0"),
        (new().tcp_flags([F::ACK, F::FIN]), "tcp flags { fin, ack }"),
        (new().icmp_type(IcmpType::ECHO_REQUEST), "icmp type echo-request"),
        (new().icmp_type(IcmpType(99)), "icmp type 99"),
        (new().not(icmp_type(IcmpType::REDIRECT)), "icmp type != redirect"),
        (new().icmp_type([IcmpType::ECHO_REQUEST, IcmpType::ECHO_REPLY]), "icmp type { echo-reply, echo-request }"),
        (new().icmpv6_type(Icmpv6Type::ND_NEIGHBOR_SOLICIT), "icmpv6 type nd-neighbor-solicit"),
        (
            new().icmpv6_type([Icmpv6Type::MLD_LISTENER_DONE, Icmpv6Type::ECHO_REQUEST]),
            "icmpv6 type { echo-request, mld-listener-done }",
        ),
    ];
    nft_lists(Family::Inet, input(), &cases);
}

/// nft adds no check of the transport protocol before an option of TCP or a chunk of SCTP.
#[test]
fn matches_of_fields_with_parameters_list_as_in_nft() {
    let named = |name| Exthdr::named(name).expect("nft has it");
    let presence = |name| Exthdr::presence(name).expect("nft has it");
    let original = |key| CtDirected { direction: CtDirection::Original, key };
    let sinks = anonymous([Element::new(AddrType::LOCAL).verdict(Verdict::Drop)]);
    let numgen = |mode, modulus, offset| Numgen { mode, modulus, offset };
    let ng = |modulus| numgen(NumgenMode::Inc, modulus, 0);
    let halves = anonymous([Element::new(kind::Integer(0)).verdict(Verdict::Accept)]);
    let vmap = |field: Field, map| Statement::VerdictMap { selector: field.into(), map };
    let tsn = named("sctp chunk data tsn");
    let spi = Ipsec { direction: IpsecDirection::In, spnum: 1, key: IpsecKey::Spi };
    let cases = [
        (new().fib_missing(FibKey::SADDR | FibKey::IIF), "fib saddr . iif oif missing"),
        (new().fib_exists(FibKey::DADDR), "fib daddr oif exists"),
        (new().not(matches::fib_exists(FibKey::DADDR)), "fib daddr oif != exists"),
        (new().fib_oif(FibKey::SADDR | FibKey::MARK | FibKey::IIF, 0), "fib saddr . mark . iif oif 0"),
        (new().fib_oifname(FibKey::SADDR | FibKey::IIF, "lo"), "fib saddr . iif oifname \"lo\""),
        (new().fib_type(FibKey::DADDR | FibKey::IIF, AddrType::LOCAL), "fib daddr . iif type local"),
        (
            new().statement(vmap(Fib { key: FibKey::SADDR | FibKey::IIF, result: FibResult::Type }.into(), sinks)),
            "fib saddr . iif type vmap { local : drop }",
        ),
        (new().exists(presence("exthdr frag")), "exthdr frag exists"),
        (new().missing(presence("exthdr hbh")), "exthdr hbh missing"),
        (new().exists(presence("tcp option sack")), "tcp option sack exists"),
        (new().exists(presence("ip option rr")), "ip option rr exists"),
        (new().exists(presence("sctp chunk data")), "sctp chunk data exists"),
        (new().exthdr(named("frag id"), [1, 7]), "frag id { 1, 7 }"),
        (new().exthdr(named("hbh hdrlength"), 5..=8), "hbh hdrlength 5-8"),
        (
            new().matches(Match::new(Field::from(named("frag nexthdr")), Op::Eq, Operand::Value(Protocol::TCP.into()))),
            "frag nexthdr tcp",
        ),
        (new().ip6_saddr(v6("::1")).exthdr(named("srh tag"), 3), "ip6 saddr ::1 srh tag 3"),
        (new().exthdr(named("tcp option maxseg size"), 1360), "tcp option maxseg size 1360"),
        (
            new().matches(matches::gt(matches::exthdr(named("tcp option timestamp tsval"), 5))),
            "tcp option timestamp tsval > 5",
        ),
        (new().exthdr(named("tcp option sack1 left"), 5), "tcp option sack1 left 5"),
        (new().exthdr(named("ip option lsrr ptr"), 5), "ip option lsrr ptr 5"),
        (new().not(matches::exthdr(tsn, 5)), "sctp chunk data tsn != 5"),
        (new().ct_directed(original(CtDirectedKey::IpSaddr), v4("10.0.0.1")), "ct original ip saddr 10.0.0.1"),
        (new().ct_directed(original(CtDirectedKey::Ip6Daddr), v6("::1")), "ct original ip6 daddr ::1"),
        (new().ct_directed(original(CtDirectedKey::Zone), kind::Integer(4)), "ct original zone 4"),
        (new().ipsec(spi, 5), "ipsec in spnum 1 spi 5"),
        (new().numgen(ng(2), 1), "numgen inc mod 2 1"),
        (new().numgen(numgen(NumgenMode::Random, 9, 5), 5..=7), "numgen random mod 9 offset 5 5-7"),
        (new().statement(vmap(ng(2).into(), halves)), "numgen inc mod 2 vmap { 0 : accept }"),
        (new().symhash(Symhash { modulus: 2, offset: 1 }, 1), "symhash mod 2 offset 1 1"),
        (new().payload(RawPayload { base: RawBase::Inner, offset: 32, bits: 32 }, 20), "@ih,32,32 0x14"),
    ];
    nft_lists(Family::Inet, input(), &cases);
}

#[test]
fn statements_on_sets_connections_and_packets_list_as_in_nft() {
    let named = |name| Exthdr::named(name).expect("nft has it");
    let counter = || Statement::Counter { packets: 0, bytes: 0 };
    let limit = Statement::Limit(Limit::packets(3, LimitUnit::Second));
    let quota = Statement::Quota(Quota { bytes: 5 << 20, when: LimitWhen::Over, used: 0 });
    let seen = || matches::set("seen");
    let of = |key, value: Value| anonymous([Element::new(v4(key)).value(value)]);
    let reply_zone = CtDirected { direction: CtDirection::Reply, key: CtDirectedKey::Zone };
    let map = |selector: Field, map| SetValue::Map { selector: selector.into(), map };
    let inc = Numgen { mode: NumgenMode::Inc, modulus: 2, offset: 0 };
    let cases = [
        (new().update(Update::update(seen(), Field::IpSaddr)), "update @seen { ip saddr }"),
        (
            new().update(Update::add(seen(), Field::IpSaddr).timeout(std::time::Duration::from_secs(65))),
            "add @seen { ip saddr timeout 1m5s }",
        ),
        (
            new().update(Update::add(seen(), Field::IpSaddr).statement(limit)),
            "add @seen { ip saddr limit rate 3/second }",
        ),
        (
            new().update(Update::update(seen(), Field::IpSaddr).statement(counter()).statement(quota)).drop(),
            "update @seen { ip saddr counter quota over 5 mbytes } drop",
        ),
        (new().update(Update::delete(seen(), Field::IpDaddr)), "delete @seen { ip daddr }"),
        (
            new().update(Update::add(matches::set("pairs"), [Field::IpSaddr, Field::TcpDport])),
            "add @pairs { ip saddr . tcp dport }",
        ),
        (
            new().update(
                Update::update(matches::set("ports"), Field::IpSaddr).value(SetValue::From(Field::TcpDport.into())),
            ),
            "update @ports { ip saddr : tcp dport }",
        ),
        (new().quota(25 << 20, LimitWhen::Until), "quota 25 mbytes"),
        (new().quota(100, LimitWhen::Over).drop(), "quota over 100 bytes drop"),
        (new().ct_count(20, LimitWhen::Over).drop(), "ct count over 20 drop"),
        (new().ct_count(3, LimitWhen::Until), "ct count 3"),
        (new().tcp_dport(80).synproxy(Synproxy::default()), "tcp dport 80 synproxy"),
        (
            new().synproxy(Synproxy { mss: Some(1460), wscale: Some(7), flags: SynproxyFlags::all() }),
            "synproxy mss 1460 wscale 7 timestamp sack-perm",
        ),
        (new().reset_tcp_option(4), "reset tcp option sack-perm"),
        (new().set(named("tcp option maxseg size"), kind::Integer(1360)), "tcp option maxseg size set 1360"),
        (new().set(reply_zone, kind::Integer(4)), "ct reply zone set 4"),
        (
            new().set(reply_zone, map(Field::IpSaddr, of("10.0.0.1", kind::Integer(3).into()))),
            "ct reply zone set ip saddr map { 10.0.0.1 : 3 }",
        ),
        (new().set(Field::TcpDport, 22), "tcp dport set 22"),
        (new().set(Field::UdpSport, 53), "udp sport set 53"),
        (new().set(Field::TcpSport, SetValue::From(Field::TcpDport.into())), "tcp sport set tcp dport"),
        (new().set(Field::IpSaddr, v4("10.0.0.1")), "ip saddr set 10.0.0.1"),
        (new().set(Field::Ip6Daddr, v6("::1")), "ip6 daddr set ::1"),
        (
            new().set(Field::IpDaddr, map(Field::IpSaddr, of("10.0.0.1", v4("10.0.0.2").into()))),
            "ip daddr set ip saddr map { 10.0.0.1 : 10.0.0.2 }",
        ),
        (new().set(Field::Mark, Field::from(inc)), "meta mark set numgen inc mod 2"),
    ];
    let filled = |set: Set| set.dynamic().timeout(std::time::Duration::from_secs(60)).size(100);
    let mut table = Table::new(Family::Inet, "t")
        .set(filled(Set::new("seen", [DataType::Ipv4])))
        .set(filled(Set::new("pairs", [DataType::Ipv4, DataType::Port])))
        .set(filled(Set::map("ports", [DataType::Ipv4], DataType::Port)));
    for (rule, expected) in &cases {
        assert_eq!(rule.to_string(), *expected);
    }
    table = table.chain(input().rules(cases.iter().map(|(rule, _)| rule.clone())));
    round_trip(&Ruleset::new().table(table), Programs::Same);
}

#[test]
fn segments_are_made_as_small_as_the_route() {
    let size = Exthdr::named("tcp option maxseg size").expect("nft has it");
    let cases = [
        (new().set(size, Field::RtMtu), "tcp option maxseg size set rt mtu"),
        (new().matches(matches::gt(matches::rt_mtu(500))), "rt mtu > 500"),
    ];
    let forward = Chain::base("c", ChainType::Filter, Hook::Forward, Priority::FILTER);
    nft_lists(Family::Inet, forward, &cases);
}

#[test]
fn addresses_from_maps_list_as_in_nft() {
    let number = |number| Element::new(kind::Integer(number));
    let of = |number: Element, address: &str| number.value(v4(address));
    let halves = || anonymous([of(number(0), "10.0.0.1"), of(number(1), "10.0.0.2")]);
    let inc = Numgen { mode: NumgenMode::Inc, modulus: 2, offset: 0 };
    let by_port = anonymous([Element::new(Value::Port(80)).value(v4("10.0.0.1"))]);
    let cases = [
        (
            new().nat(Nat::dnat().to_map(IpFamily::Ipv4, Field::from(inc), halves())),
            "dnat ip to numgen inc mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }",
        ),
        (
            new().nat(Nat::dnat().to_map(IpFamily::Ipv4, Field::TcpDport, by_port).ports(8080)),
            "dnat ip to tcp dport map { 80 : 10.0.0.1 }:8080",
        ),
    ];
    nft_lists(Family::Inet, prerouting(), &cases);
}

#[test]
fn copies_go_to_neighbours() {
    let cases = [(new().dup_to(v4("10.0.0.1")), "dup to 10.0.0.1")];
    nft_lists(Family::Ip, input(), &cases);
}

#[test]
fn concatenations_and_maps_list_as_in_nft() {
    let pair = |address, port| [Value::Ipv4(v4(address)), Value::Port(port)];
    let range = |address, low, high| {
        [Interval::point(Value::Ipv4(v4(address))), Interval { low: Value::Port(low), high: Value::Port(high) }]
    };
    let port = |port| Element::new(Value::Port(port));
    let ports = [port(443).verdict(Verdict::Jump("r".into())), port(80).verdict(Verdict::Accept)];
    let source_port = [Field::IpSaddr, Field::TcpDport];
    let cases = [
        (
            new().matches(concat(
                source_port,
                anonymous([pair("10.0.0.1", 80), pair("1.2.3.4", 443), pair("10.0.0.2", 22)]),
            )),
            "ip saddr . tcp dport { 10.0.0.2 . 22, 10.0.0.1 . 80, 1.2.3.4 . 443 }",
        ),
        (
            new().not(concat(source_port, anonymous([range("1.2.3.4", 443, 500), range("10.0.0.1", 80, 80)]))),
            "ip saddr . tcp dport != { 1.2.3.4 . 443-500, 10.0.0.1 . 80 }",
        ),
        (
            new().matches(concat(
                [Field::Iifname, Field::Mark],
                anonymous([
                    [Value::Ifname("eth0".into()), Value::Mark(0x2)],
                    [Value::Ifname("lo".into()), Value::Mark(0x100)],
                    [Value::Ifname("lo".into()), Value::Mark(0x2)],
                ]),
            )),
            r#"iifname . meta mark { "lo" . 0x00000002, "eth0" . 0x00000002, "lo" . 0x00000100 }"#,
        ),
        (
            new().matches(concat(source_port, set("pairs"))).counter(),
            "ip saddr . tcp dport @pairs counter packets 0 bytes 0",
        ),
        (new().vmap(Field::TcpDport, set("ports")), "tcp dport vmap @ports"),
        (new().vmap(Field::TcpDport, anonymous(ports)), "tcp dport vmap { 80 : accept, 443 : jump r }"),
        (
            new().vmap(
                source_port,
                anonymous([
                    Element::new(range("10.0.0.1", 80, 80)).verdict(Verdict::Accept),
                    Element::new(range("10.0.0.2", 90, 100)).verdict(Verdict::Goto("r".into())),
                ]),
            ),
            "ip saddr . tcp dport vmap { 10.0.0.1 . 80 : accept, 10.0.0.2 . 90-100 : goto r }",
        ),
        (
            new().set_mark(MarkValue::Map { selector: Field::IpSaddr.into(), map: set("marks") }),
            "meta mark set ip saddr map @marks",
        ),
        (
            new().set_ct_mark(MarkValue::Map {
                selector: Field::TcpDport.into(),
                map: anonymous([
                    Element::new(443..=444).value(Value::Mark(2)),
                    Element::new(80..=80).value(Value::Mark(1)),
                ]),
            }),
            "ct mark set tcp dport map { 80 : 0x00000001, 443-444 : 0x00000002 }",
        ),
    ];
    nft_lists(Family::Inet, input(), &cases);
}

#[test]
fn statements_list_as_in_nft() {
    use LogFlags as L;
    let log = Log::default;
    let with = |flags| {
        let mut log = Log::default();
        log.flags = flags;
        log
    };
    let mut queued = Log::default().group(0);
    queued.queue_threshold = Some(5);
    let verdict_of = |mask, xor| MarkValue::From { from: MarkKey::Meta, mask, xor };
    let cases = [
        (new().counter(), "counter packets 0 bytes 0"),
        (new().statement(Statement::Counter { packets: 5, bytes: 6 }), "counter packets 5 bytes 6"),
        (new().accept(), "accept"),
        (new().drop(), "drop"),
        (new().r#continue(), "continue"),
        (new().r#return(), "return"),
        (new().jump("r"), "jump r"),
        (new().goto("r"), "goto r"),
        (new().notrack(), "notrack"),
        (new().nftrace(), "meta nftrace set 1"),
        (new().statement(Statement::SetNftrace(false)), "meta nftrace set 0"),
        (new().set_zone(7), "ct zone set 7"),
        (new().set_mark(MarkValue::Constant(1)), "meta mark set 0x00000001"),
        (new().set_ct_mark(MarkValue::Constant(5)), "ct mark set 0x00000005"),
        (new().set_mark(MarkValue::copy(MarkKey::Ct)), "meta mark set ct mark"),
        (new().set_ct_mark(MarkValue::copy(MarkKey::Meta)), "ct mark set meta mark"),
        (
            new().set_mark(MarkValue::masked(MarkKey::Meta, 0x100, 0xffff_ff00)),
            "meta mark set meta mark & 0x000001ff | 0x00000100",
        ),
        (new().set_mark(verdict_of(0xff, 0)), "meta mark set meta mark & 0x000000ff"),
        (new().set_mark(verdict_of(0, 0)), "meta mark set meta mark & 0x00000000"),
        (new().set_mark(verdict_of(!0xff, 0xff)), "meta mark set meta mark | 0x000000ff"),
        (new().set_mark(verdict_of(u32::MAX, 0xff)), "meta mark set meta mark ^ 0x000000ff"),
        (new().set_mark(verdict_of(0xff, 0x10f)), "meta mark set meta mark & 0x000001ff ^ 0x0000000f | 0x00000100"),
        (
            new().set_ct_mark(MarkValue::From { from: MarkKey::Ct, mask: 0xf, xor: 0x10 }),
            "ct mark set ct mark & 0x0000001f | 0x00000010",
        ),
        (new().limit(Limit::packets(10, LimitUnit::Second)), "limit rate 10/second"),
        (new().limit(Limit::packets(10, LimitUnit::Minute).over()), "limit rate over 10/minute"),
        (new().limit(Limit::packets(10, LimitUnit::Hour).burst(6)), "limit rate 10/hour burst 6 packets"),
        (new().limit(Limit::packets(10, LimitUnit::Day).burst(1)), "limit rate 10/day burst 1 packets"),
        (new().limit(Limit::packets(10, LimitUnit::Week)), "limit rate 10/week"),
        (new().limit(Limit::bytes(1 << 20, LimitUnit::Second)), "limit rate 1 mbytes/second"),
        (new().limit(Limit::bytes(1023 << 10, LimitUnit::Second)), "limit rate 1023 kbytes/second"),
        (
            new().limit(Limit::bytes(1025, LimitUnit::Minute).burst(2048).over()),
            "limit rate over 1025 bytes/minute burst 2 kbytes",
        ),
        (new().limit(Limit::bytes(1 << 30, LimitUnit::Second).burst(7)), "limit rate 1024 mbytes/second burst 7 bytes"),
        (new().log(log()), "log"),
        (new().log(log().prefix("hi ").level(LogLevel::Warn)), r#"log prefix "hi ""#),
        (new().log(log().prefix("a\\b").level(LogLevel::Debug)), r#"log prefix "a\b" level debug"#),
        (new().log(log().level(LogLevel::Emerg)), "log level emerg"),
        (new().log(log().prefix("x").group(3).snaplen(100)), r#"log prefix "x" group 3 snaplen 100"#),
        (new().log(queued), "log group 0 queue-threshold 5"),
        (new().audit(), "log level audit"),
        (new().log(with(L::all())), "log flags all"),
        (new().log(with(L::TCP_SEQUENCE)), "log flags tcp sequence"),
        (new().log(with(L::TCP_OPTIONS | L::ETHER)), "log flags tcp options flags ether"),
        (
            new().log(with(L::TCP_SEQUENCE | L::TCP_OPTIONS | L::IP_OPTIONS | L::SKUID).level(LogLevel::Err)),
            "log level err flags tcp sequence,options flags ip options flags skuid",
        ),
        (new().reject(), "reject"),
        (new().reject_with(Reject::Icmpx(1)), "reject"),
        (new().reject_with(Reject::Icmpx(0)), "reject with icmpx no-route"),
        (new().reject_with(Reject::Icmpx(2)), "reject with icmpx host-unreachable"),
        (new().reject_with(Reject::Icmpx(3)), "reject with icmpx admin-prohibited"),
        (new().reject_with(Reject::Icmp(3)), "reject with icmp port-unreachable"),
        (new().reject_with(Reject::Icmp(1)), "reject with icmp host-unreachable"),
        (new().reject_with(Reject::Icmp(4)), "reject with icmp frag-needed"),
        (new().reject_with(Reject::Icmp(5)), "reject with icmp 5"),
        (new().reject_with(Reject::Icmpv6(4)), "reject with icmpv6 port-unreachable"),
        (new().reject_with(Reject::Icmpv6(0)), "reject with icmpv6 no-route"),
        (new().reject_with(Reject::Icmpv6(5)), "reject with icmpv6 policy-fail"),
        (new().reject_with(Reject::Icmpv6(2)), "reject with icmpv6 2"),
        (new().tcp_dport(80).reject_with(Reject::TcpReset), "tcp dport 80 reject with tcp reset"),
        (
            new().iifname("lo").ip_saddr(v4("1.2.3.4")).tcp_dport(80).counter().accept().comment("hello \\ world"),
            r#"iifname "lo" ip saddr 1.2.3.4 tcp dport 80 counter packets 0 bytes 0 accept comment "hello \ world""#,
        ),
    ];
    nft_lists(Family::Inet, input(), &cases);
}

#[test]
fn address_translation_lists_as_in_nft() {
    use NatFlags as N;
    let tcp = || new().l4proto(Protocol::TCP);
    let port_only = prerouting().rule(tcp().nat(Nat::dnat().family(IpFamily::Ipv4).ports(80)));
    nft_reads(&Ruleset::new().table(Table::new(Family::Inet, "t").chain(port_only)));
    let redirect = |ports, flags| Statement::Redirect { ports, flags };
    let ports = [Element::new(22).value(8022), Element::new(80).value(8080)];
    let looked_up = Computed::Map { selector: Field::TcpDport.into(), map: matches::anonymous(ports) };
    let numgen = Numgen { mode: NumgenMode::Inc, modulus: 8, offset: 8000 };
    let servers = [(0, "10.0.0.1"), (1, "10.0.0.2")];
    let servers = servers.map(|(number, address)| Element::new(Value::Integer(number)).value(v4(address)));
    let servers = matches::anonymous(servers);
    let cases = [
        (new().redirect(), "redirect"),
        (new().statement(redirect(None, N::RANDOM)), "redirect random"),
        (tcp().redirect_to(15006), "meta l4proto tcp redirect to :15006"),
        (
            tcp().statement(redirect(Some((80..=90).into()), N::all() - N::NETMAP)),
            "meta l4proto tcp redirect to :80-90 random,fully-random,persistent",
        ),
        (new().nat(Nat::dnat().to(v4("1.2.3.4"))), "dnat ip to 1.2.3.4"),
        (
            new().nat(Nat::dnat().to_range(v4("10.0.0.0"), v4("10.0.0.255")).flags(N::NETMAP)),
            "dnat ip prefix to 10.0.0.0/24",
        ),
        (
            tcp().statement(redirect(Some(looked_up.clone().into()), N::empty())),
            "meta l4proto tcp redirect to :tcp dport map { 22 : 8022, 80 : 8080 }",
        ),
        (
            tcp().redirect_to(Computed::From(Field::from(numgen).into())),
            "meta l4proto tcp redirect to :numgen inc mod 8 offset 8000",
        ),
        (
            new().nat(Nat::dnat().to_map(IpFamily::Ipv4, Hash::of(Field::IpSaddr, 2), servers.clone())),
            "dnat ip to jhash ip saddr mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }",
        ),
        (
            new().nat(Nat::dnat().to_computed(IpFamily::Ipv4, Field::from(numgen))),
            "dnat ip to numgen inc mod 8 offset 8000",
        ),
        (new().nat(Nat::dnat().to(v6("fd00::1"))), "dnat ip6 to fd00::1"),
        (new().nat(Nat::dnat().to(v4("1.2.3.4")).flags(N::PERSISTENT)), "dnat ip to 1.2.3.4 persistent"),
        (new().nat(Nat::dnat().to_range(v4("1.2.3.4"), v4("1.2.3.9"))), "dnat ip to 1.2.3.4-1.2.3.9"),
        (new().nat(Nat::dnat().to_range(v4("10.0.0.0"), v4("10.0.0.255"))), "dnat ip to 10.0.0.0/24"),
        (new().nat(Nat::dnat().to_range(v6("fd00::"), v6("fd00::ff"))), "dnat ip6 to fd00::/120"),
        (tcp().nat(Nat::dnat().to(v4("1.2.3.4")).ports(80)), "meta l4proto tcp dnat ip to 1.2.3.4:80"),
        (tcp().nat(Nat::dnat().to(v6("fd00::1")).ports(80)), "meta l4proto tcp dnat ip6 to [fd00::1]:80"),
        (
            tcp().nat(Nat::dnat().to_range(v6("fd00::1"), v6("fd00::5")).ports(80..=90)),
            "meta l4proto tcp dnat ip6 to [fd00::1]-[fd00::5]:80-90",
        ),
        (
            new().tcp_dport(80).nat(
                Nat::dnat().to_range(v4("1.2.3.4"), v4("1.2.3.9")).ports(80..=90).flags(N::RANDOM | N::PERSISTENT),
            ),
            "tcp dport 80 dnat ip to 1.2.3.4-1.2.3.9:80-90 random,persistent",
        ),
        (new().nfproto(Nfproto::IPV4).nat(Nat::dnat().to(v4("1.2.3.4"))), "meta nfproto ipv4 dnat ip to 1.2.3.4"),
    ];
    nft_lists(Family::Inet, prerouting(), &cases);
    let cases = [
        (new().masquerade(), "masquerade"),
        (
            new().tcp_dport(80).masquerade_to(1000..=2000, N::FULLY_RANDOM),
            "tcp dport 80 masquerade to :1000-2000 fully-random",
        ),
        (new().nat(Nat::snat().to(v4("1.2.3.4"))), "snat ip to 1.2.3.4"),
        (tcp().nat(Nat::snat().to(v4("1.2.3.4")).ports(1..=5)), "meta l4proto tcp snat ip to 1.2.3.4:1-5"),
    ];
    let postrouting = Chain::base("c", ChainType::Nat, Hook::Postrouting, Priority::SRCNAT);
    nft_lists(Family::Inet, postrouting, &cases);
    let to_port = || Tproxy::to_port(80);
    let cases = [
        (tcp().tproxy(to_port()), "meta l4proto tcp tproxy to :80"),
        (tcp().tproxy(to_port().family(IpFamily::Ipv4)), "meta l4proto tcp tproxy ip to :80"),
        (tcp().tproxy(Tproxy::to(v4("127.0.0.1"), None)), "meta l4proto tcp tproxy ip to 127.0.0.1"),
        (tcp().tproxy(Tproxy::to(v4("127.0.0.1"), Some(80))), "meta l4proto tcp tproxy ip to 127.0.0.1:80"),
        (new().tcp_dport(80).tproxy(Tproxy::to(v6("::1"), Some(80))), "tcp dport 80 tproxy ip6 to [::1]:80"),
        (tcp().tproxy(Tproxy::to(v6("::1"), None)), "meta l4proto tcp tproxy ip6 to [::1]"),
    ];
    nft_lists(Family::Inet, Chain::base("c", ChainType::Filter, Hook::Prerouting, Priority::MANGLE), &cases);
}

#[test]
fn tables_of_one_family_omit_what_the_family_implies() {
    let cases = [
        (new().nat(Nat::dnat().to(v4("1.2.3.4"))), "dnat to 1.2.3.4"),
        (new().ip_protocol(Protocol::TCP).tcp_dport(80).nat(Nat::dnat().ports(8080)), "tcp dport 80 dnat to :8080"),
        (new().ip_protocol(Protocol::TCP).ip_saddr(v4("1.2.3.4")), "ip protocol tcp ip saddr 1.2.3.4"),
        (new().ip_protocol(Protocol::ICMP).icmp_type(IcmpType::REDIRECT), "icmp type redirect"),
        (new().l4proto(Protocol::TCP), "meta l4proto tcp"),
    ];
    nft_lists_less(Family::Ip, prerouting(), &cases);
    let cases = [
        (new().reject(), "reject"),
        (new().reject_with(Reject::Icmp(3)), "reject"),
        (new().reject_with(Reject::Icmp(13)), "reject with icmp admin-prohibited"),
        (new().ip_protocol(Protocol::TCP).reject_with(Reject::TcpReset), "reject with tcp reset"),
        (new().tcp_dport(80).reject_with(Reject::TcpReset), "tcp dport 80 reject with tcp reset"),
        (new().ip_saddr(v4("1.2.3.4")).icmp_type(IcmpType::ECHO_REPLY), "ip saddr 1.2.3.4 icmp type echo-reply"),
    ];
    nft_lists_less(Family::Ip, input(), &cases);
    let cases = [
        (new().reject(), "reject"),
        (new().reject_with(Reject::Icmpv6(4)), "reject"),
        (new().reject_with(Reject::Icmpv6(3)), "reject with icmpv6 addr-unreachable"),
        (new().icmpv6_type(Icmpv6Type::ND_REDIRECT), "icmpv6 type nd-redirect"),
        (new().ip6_saddr(v6("fd00::1")).tcp_dport(80), "ip6 saddr fd00::1 tcp dport 80"),
    ];
    nft_lists_less(Family::Ip6, input(), &cases);
    let tproxy = new().l4proto(Protocol::TCP).tproxy(Tproxy::to(v4("127.0.0.1"), Some(80)));
    let base = Chain::base("c", ChainType::Filter, Hook::Prerouting, Priority::MANGLE);
    nft_lists_less(Family::Ip, base, &[(tproxy, "meta l4proto tcp tproxy to 127.0.0.1:80")]);
}

/// Rules with implied matches: the rule, its text, and the explicit text for nft.
fn implied() -> Vec<(Rule, &'static str, &'static str)> {
    let tcp = || new().l4proto(Protocol::TCP);
    let ipv4 = || new().nfproto(Nfproto::IPV4);
    let one = || v4("1.2.3.4");
    vec![
        (tcp().tcp_dport(80), "tcp dport 80", "meta l4proto tcp tcp dport 80"),
        (ipv4().ip_saddr(one()), "ip saddr 1.2.3.4", "meta nfproto ipv4 ip saddr 1.2.3.4"),
        (tcp().th_dport(80), "tcp dport 80", "meta l4proto tcp th dport 80"),
        (
            new().ip_protocol(Protocol::TCP).tcp_dport(80),
            "ip protocol tcp tcp dport 80",
            "ip protocol tcp tcp dport 80",
        ),
        (new().ip_protocol(Protocol::TCP).th_dport(80), "ip protocol tcp tcp dport 80", "ip protocol tcp th dport 80"),
        (ipv4().ip_protocol(Protocol::TCP), "ip protocol tcp", "meta nfproto ipv4 ip protocol tcp"),
        (ipv4().tcp_dport(80), "meta nfproto ipv4 tcp dport 80", "meta nfproto ipv4 tcp dport 80"),
        (
            new().ip_saddr(one()).l4proto(Protocol::TCP).tcp_dport(80),
            "ip saddr 1.2.3.4 tcp dport 80",
            "ip saddr 1.2.3.4 meta l4proto tcp tcp dport 80",
        ),
        (ipv4().icmp_type(IcmpType::REDIRECT), "icmp type redirect", "meta nfproto ipv4 icmp type redirect"),
        (
            ipv4().l4proto(Protocol::ICMP).icmp_type(IcmpType::REDIRECT),
            "icmp type redirect",
            "meta nfproto ipv4 meta l4proto icmp icmp type redirect",
        ),
        (
            new().nfproto(Nfproto::IPV6).icmpv6_type(Icmpv6Type::ND_REDIRECT),
            "icmpv6 type nd-redirect",
            "meta nfproto ipv6 icmpv6 type nd-redirect",
        ),
        (
            tcp().counter().tcp_dport(80),
            "meta l4proto tcp counter packets 0 bytes 0 tcp dport 80",
            "meta l4proto tcp counter tcp dport 80",
        ),
        (
            tcp().set_mark(MarkValue::Map {
                selector: Field::ThDport.into(),
                map: anonymous([
                    Element::new(Value::Port(1)).value(Value::Mark(1)),
                    Element::new(Value::Port(2)).value(Value::Mark(2)),
                ]),
            }),
            "meta mark set tcp dport map { 1 : 0x00000001, 2 : 0x00000002 }",
            "meta l4proto tcp meta mark set th dport map { 1 : 1, 2 : 2 }",
        ),
        (tcp().vmap(Field::TcpDport, set("ports")), "tcp dport vmap @ports", "meta l4proto tcp tcp dport vmap @ports"),
        (
            ipv4().reject_with(Reject::Icmp(1)),
            "reject with icmp host-unreachable",
            "meta nfproto ipv4 reject with icmp 1",
        ),
        (
            tcp().reject_with(Reject::TcpReset),
            "meta l4proto tcp reject with tcp reset",
            "meta l4proto tcp reject with tcp reset",
        ),
    ]
}

#[test]
fn implied_matches_are_omitted_as_in_nft() {
    let mut cases: Vec<(Rule, &str)> = implied().into_iter().map(|(rule, text, _)| (rule, text)).collect();
    // Not adjacent: the same packets match, in another order.
    let tcp = || new().l4proto(Protocol::TCP);
    cases.extend([
        (tcp().iifname("lo").tcp_dport(80), "iifname \"lo\" tcp dport 80"),
        (tcp().nfproto(Nfproto::IPV4).ip_saddr(v4("1.2.3.4")).tcp_dport(80), "ip saddr 1.2.3.4 tcp dport 80"),
        (new().nfproto(Nfproto::IPV4).ct_state(CtState::NEW).ip_saddr(v4("1.2.3.4")), "ct state new ip saddr 1.2.3.4"),
        (new().udp_sport(5).th_dport(80), "udp sport 5 udp dport 80"),
        (new().l4proto([Protocol::TCP, Protocol::UDP]).th_dport(53), "meta l4proto { tcp, udp } th dport 53"),
        (new().l4proto(Protocol::DCCP).th_sport(5), "dccp sport 5"),
    ]);
    nft_lists_less(Family::Inet, input(), &cases);
}

/// Where the checks of several fields come is up to their order, so a rule writes the match before
/// them, although nft lists it without.
#[test]
fn a_match_that_several_fields_imply_is_written_but_not_listed() {
    let pair = anonymous([[Value::Ifname("lo".into()), Value::Port(1)]]);
    let rule = Rule::new().l4proto(Protocol::TCP).matches(concat([Field::Iifname, Field::TcpDport], pair));
    let written = "meta l4proto tcp iifname . tcp dport { \"lo\" . 1 }";
    assert_eq!(rule.to_string(), written);
    assert_eq!(written.parse::<Rule>().as_ref(), Ok(&rule));
    in_fresh_netns(|| {
        let table = Table::new(Family::Inet, "t").chain(Chain::regular("c").rule(rule));
        let mut kernel = Kernel::open().expect("a netlink socket");
        kernel.commit(&Transaction::add(Ruleset::new().table(table))).expect("the kernel takes it");
        assert!(assert_lists_as_nft().to_string().contains("\t\tiifname . tcp dport { \"lo\" . 1 }\n"));
    });
}

#[test]
fn omitting_an_implied_match_changes_no_program() {
    in_fresh_netns(|| {
        nft_script("table inet t { map ports { type inet_service : verdict; }; chain c { }; }");
        for (_, text, explicit) in implied() {
            let program = |rule: &str| nft(&format!("--debug=netlink add rule inet t c {rule}"));
            assert_eq!(program(text), program(explicit), "{text}");
        }
    });
}

#[test]
fn priorities_round_trip_at_every_hook() {
    let hooks = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];
    let near = [-310, -300, -289, -155, -150, -140, -110, -101, -100, -90, -10, 0, 5, 11, 40, 50, 60, 89, 90, 100, 110];
    let tables = [Family::Inet, Family::Ip, Family::Ip6].map(|family| {
        let mut table = Table::new(family, "t");
        for hook in hooks {
            for (index, priority) in near.into_iter().chain([111, i32::MAX, i32::MIN]).enumerate() {
                let name = format!("{}{index}", hook.name());
                table = table.chain(Chain::base(name, ChainType::Filter, hook, Priority(priority)));
            }
        }
        let nat = Chain::base("nat", ChainType::Nat, Hook::Output, Priority::DSTNAT);
        let route = Chain::base("route", ChainType::Route, Hook::Output, Priority::MANGLE);
        table.chain(nat).chain(route.policy(Policy::Drop))
    });
    round_trip(&tables.into_iter().collect(), Programs::Same);
}

#[test]
fn sets_and_maps_round_trip_with_their_line_breaks() {
    use DataType as T;
    let ports = |count: u16| (1..=count).map(|port| Element::new(Value::Port(port))).collect::<Vec<_>>();
    let plain = |name: &str, key, values: &[Value]| {
        Set::new(name, [key]).elements(values.iter().cloned().map(Element::new).collect::<Vec<_>>())
    };
    let numbers = |make: fn(u32) -> Value| [70_000, 3, 2, 600, 5, 1, 4].map(make);
    let v4s = ["9.9.9.9", "1.1.1.1", "5.5.5.5", "2.2.2.2", "3.3.3.3"].map(|text| Value::Ipv4(v4(text)));
    let net = |text: &str| Element::new(text.parse::<ipnetwork::IpNetwork>().expect("a network"));
    let range = |low, high| Element::new(Interval { low: Value::Ipv4(v4(low)), high: Value::Ipv4(v4(high)) });
    let pair = |address, port| Element::new([Value::Ipv4(v4(address)), Value::Port(port)]);
    let mut dynamic = Set::new("growing", [T::Ipv4]).size(100).timeout(Duration::from_secs(93_784)).comment("a \\ b");
    dynamic.flags |= SetFlags::DYNAMIC;
    dynamic.gc_interval = Some(Duration::from_millis(90_500));
    let mut constant = plain("fixed", T::Ipv4, &v4s).size(100);
    constant.flags |= SetFlags::CONSTANT;
    let mut timeouts = Set::new("timeouts", [T::Port]).size(65535);
    timeouts.flags |= SetFlags::TIMEOUT;
    let sets = [
        plain("v4", T::Ipv4, &v4s),
        Set::new("five", [T::Port]).elements(ports(5)),
        Set::new("eleven", [T::Port]).elements(ports(11)),
        Set::new("empty", [T::Ipv6]),
        plain("v6", T::Ipv6, &["fd00::1", "::1", "::2"].map(|text| Value::Ipv6(v6(text)))),
        plain("names", T::Ifname, &["eth1", "lo", "xth0", "aeth0"].map(|name| Value::Ifname(name.into()))),
        plain("marks", T::Mark, &numbers(Value::Mark)),
        plain("uids", T::Uid, &numbers(Value::Uid)),
        plain("gids", T::Gid, &numbers(Value::Gid)),
        plain("indexes", T::Ifindex, &[Value::Ifindex(77), Value::Ifindex(1)]),
        plain("states", T::CtState, &[8, 2, 4, 1, 64].map(|bit| Value::CtState(CtState::from_bits_retain(bit)))),
        plain("status", T::CtStatus, &[16, 32, 4].map(|bit| Value::CtStatus(CtStatus::from_bits_retain(bit)))),
        plain("types4", T::IcmpType, &[8, 0, 5].map(|kind| Value::IcmpType(IcmpType(kind)))),
        plain("types6", T::Icmpv6Type, &[129, 128].map(|kind| Value::Icmpv6Type(Icmpv6Type(kind)))),
        plain("protocols", T::Protocol, &[58, 1, 6, 17, 132, 50].map(|number| Value::Protocol(Protocol(number)))),
        plain("families", T::Nfproto, &[Value::Nfproto(Nfproto::IPV6), Value::Nfproto(Nfproto::IPV4)]),
        plain("packets", T::PktType, &[3, 1, 0].map(|kind| Value::PktType(PktType(kind)))),
        plain(
            "bits",
            T::TcpFlags,
            &[64, 1, 2, 4, 8, 16, 32].map(|bit| Value::TcpFlags(TcpFlags::from_bits_retain(bit))),
        ),
        plain("types", T::AddrType, &[Value::AddrType(AddrType::BROADCAST), Value::AddrType(AddrType::LOCAL)]),
        plain(
            "ways",
            T::CtDirection,
            &[Value::CtDirection(CtDirection::Reply), Value::CtDirection(CtDirection::Original)],
        ),
        Set::new("pairs", [T::Ipv4, T::Port]).elements([
            pair("9.9.9.9", 80),
            pair("1.1.1.1", 443),
            pair("1.1.1.2", 80),
        ]),
        Set::new("nets", [T::Ipv4]).interval().elements([
            range("3.0.0.0", "3.0.0.5"),
            net("2.0.0.0/8"),
            net("255.255.255.255/32"),
            net("1.0.0.0/8"),
            range("9.0.0.0", "9.0.0.255"),
        ]),
        Set::new("everything", [T::Ipv6]).interval().elements([net("::/0")]),
        Set::new("merged", [T::Ipv4]).auto_merge().elements([net("2.0.0.0/8"), net("1.0.0.0/8"), net("1.2.0.0/16")]),
        Set::new("links", [T::Ifname])
            .interval()
            .elements(["zz", "veth*", "lo"].map(|name| Element::new(Value::Ifname(name.into())))),
        Set::new("ranges", [T::Ipv4, T::Port]).interval().elements([
            Element::new([Interval::from(Value::Ipv4(v4("1.2.3.4"))), Value::Port(22).into()]).comment("one"),
            Element::new([
                "10.0.0.0/8".parse::<ipnetwork::IpNetwork>().expect("a network").into(),
                Interval { low: Value::Port(80), high: Value::Port(90) },
            ]),
        ]),
        dynamic,
        constant,
        timeouts,
        Set::new("soon", [T::Ipv4]).timeout(Duration::from_secs(60)).interval(),
        Set::new("noted", [T::Ipv4]).elements([Element::new(Value::Ipv4(v4("1.2.3.4"))).comment("why")]),
        Set::map("marked", [T::Ipv4], T::Mark).elements([
            Element::new(Value::Ipv4(v4("2.2.2.2"))).value(Value::Mark(2)),
            Element::new(Value::Ipv4(v4("1.1.1.1"))).value(Value::Mark(1)).comment("first"),
            Element::new(Value::Ipv4(v4("3.3.3.3"))).value(Value::Mark(3)),
        ]),
        Set::verdict_map("verdicts", [T::Port]).elements(
            [
                Verdict::Accept,
                Verdict::Drop,
                Verdict::Jump("r".into()),
                Verdict::Goto("r".into()),
                Verdict::Return,
                Verdict::Continue,
            ]
            .into_iter()
            .zip(1..)
            .map(|(verdict, port)| Element::new(Value::Port(port)).verdict(verdict)),
        ),
        Set::verdict_map("both", [T::Ipv4, T::Port]).interval().comment("x"),
    ];
    let mut table = Table::new(Family::Inet, "t");
    table.sets.extend(sets);
    let mut dormant = Table::new(Family::Ip6, "dormant");
    dormant.flags = TableFlags::DORMANT;
    let full = dormant.clone().chain(input()).set(Set::new("s", [T::Port])).chain(Chain::regular("r"));
    let mut empty = dormant;
    empty.name = "empty".into();
    round_trip(&Ruleset::new().table(table.chain(Chain::regular("r"))).table(full).table(empty), Programs::Same);
}

#[test]
fn the_width_of_an_integer_is_printed_as_a_field() {
    let integer = |bytes| DataType::Integer { bytes };
    let set = |name, bytes, values: &[u32]| {
        Set::new(name, [integer(bytes)]).elements(values.iter().map(|value| Element::new(Value::Integer(*value))))
    };
    let table = Table::new(Family::Inet, "t")
        .set(set("lengths", 4, &[70_000, 3, 2, 600, 5, 1, 4]))
        .set(set("zones", 2, &[7, 300]))
        .set(set("bools", 1, &[1, 0]))
        .set(Set::new("integers", [DataType::Ipv4, integer(4), DataType::Ifname, DataType::Mark]))
        .set(Set::map("back", [integer(4)], DataType::Mark))
        .set(Set::verdict_map("judged", [integer(4)]));
    nft_reads(&Ruleset::new().table(table));
}

#[test]
fn an_element_with_a_timeout_lists_without_the_time_that_is_left() {
    let element = |port, seconds| Element::new(Value::Port(port)).timeout(Duration::from_secs(seconds));
    let mut ports = Set::verdict_map("s", [DataType::Port])
        .timeout(Duration::from_secs(86_400))
        .elements([element(80, 300).verdict(Verdict::Accept).comment("x"), element(443, 3_601).verdict(Verdict::Drop)]);
    ports.flags |= SetFlags::INTERVAL;
    let text = Ruleset::new().table(Table::new(Family::Inet, "t").set(ports)).to_string();
    in_fresh_netns(|| {
        nft_script(&text);
        assert_same(&text, &nft("--stateless list ruleset"), "nft lists");
        assert_lists_as_nft();
    });
}

#[test]
fn queue_statements_parse_even_where_the_kernel_has_no_queues() {
    let rules = [
        (new().queue(0..=0, QueueFlags::empty()), "queue to 0"),
        (new().queue(1..=3, QueueFlags::BYPASS), "queue flags bypass to 1-3"),
        (new().queue(1..=3, QueueFlags::BYPASS | QueueFlags::FANOUT), "queue flags bypass,fanout to 1-3"),
    ];
    for (rule, expected) in rules {
        let text = Ruleset::new().table(Table::new(Family::Inet, "t").chain(input().rule(rule))).to_string();
        assert!(text.contains(&format!("\t\t{expected}\n")), "{text}");
        in_fresh_netns(|| {
            let mut nft_f = command("nft")
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("nft is installed");
            nft_f.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("nft reads");
            let output = nft_f.wait_with_output().expect("nft ends");
            if output.status.success() {
                return assert_same(&text, &nft("list ruleset"), "nft lists");
            }
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(complaint.contains("Could not process rule: No such file or directory"), "{complaint}");
        });
    }
}

#[test]
fn what_is_computed_lists_as_in_nft() {
    let mark = || Selector::from(Field::Mark);
    let is = |selector: Selector, value: Value| Match::new(selector, Op::Eq, Operand::Value(value));
    let hash = Hash::of([Field::IpSaddr, Field::IpDaddr], 2).seed(0xdead_beef).offset(3);
    let cases = [
        (new().matches(is(mark().or(Value::Mark(3)), Value::Mark(1))), "meta mark | 0x00000003 == 0x00000001"),
        (
            new().set(Field::CtMark, mark().or(Value::Mark(0x10)).shift_left(8)),
            "ct mark set (meta mark | 0x00000010) << 8",
        ),
        (
            new().set(Field::Mark, Selector::from(Field::CtMark).shift_right(8).and(Value::Mark(0xff))),
            "meta mark set ct mark >> 8 & 0x000000ff",
        ),
        (
            new().set(Field::Mark, Selector::from(hash)),
            "meta mark set jhash ip saddr . ip daddr mod 2 seed 0xdeadbeef offset 3",
        ),
        (
            new().matches(matches::lt(is(
                Selector::from(Field::TcpFlags).and(TcpFlags::SYN | TcpFlags::ACK),
                TcpFlags::FIN.into(),
            ))),
            "tcp flags & (syn | ack) < fin",
        ),
        (
            new().matches(matches::lt(is(Selector::from(Field::IpSaddr).and(v4("0.0.0.255")), v4("0.0.0.127").into()))),
            "ip saddr & 0.0.0.255 < 0.0.0.127",
        ),
        (new().payload(RawPayload { base: RawBase::Network, offset: 8, bits: 8 }, 255), "@nh,8,8 0xff"),
        (
            new().vmap(
                Field::IpSaddr,
                matches::anonymous([
                    Element::new(v4("1.1.1.1")).verdict(Verdict::Drop),
                    Element::catch_all().verdict(Verdict::Accept),
                ]),
            ),
            "ip saddr vmap { 1.1.1.1 : drop, * : accept }",
        ),
        (
            new().ip_ttl(matches::anonymous([
                Element::new(Value::Integer(54)),
                Element::new(Value::Integer(255)),
                Element::catch_all(),
            ])),
            "ip ttl { 54, *, 255 }",
        ),
    ];
    nft_lists(Family::Inet, input(), &cases);
}

#[test]
fn parts_of_headers_are_set_as_nft_sets_them() {
    let integer = Value::Integer;
    let cases = [
        (new().set(Field::IpDscp, Dscp::AF23), "ip dscp set af23"),
        (new().set(Field::IpEcn, Ecn::CE), "ip ecn set ce"),
        (new().set(Field::IpTtl, integer(23)), "ip ttl set 23"),
        (new().set(Field::Ip6Dscp, Dscp(63)), "ip6 dscp set 0x3f"),
        (new().set(Field::Ip6Flowlabel, integer(12345)), "ip6 flowlabel set 12345"),
        (new().set(Field::TcpFlags, TcpFlags::SYN | TcpFlags::ACK), "tcp flags set syn | ack"),
        (new().set(Field::TcpDoff, integer(5)), "tcp doff set 5"),
        (new().set(Field::SctpVtag, integer(1)), "sctp vtag set 1"),
        (new().set(Field::UdpliteDport, 1), "udplite dport set 1"),
        (new().set(Field::VlanId, integer(5)), "vlan id set 5"),
        (new().set(Field::EtherDaddr, EtherAddr([0, 1, 2, 3, 4, 5])), "ether daddr set 00:01:02:03:04:05"),
        (new().set(Field::CtEvent, CtEvent::NEW | CtEvent::DESTROY), "ct event set new,destroy"),
        (new().set(Field::CtLabel, CtLabel::new(127).expect("below 128")), "ct label set 127"),
        (new().ct_label(CtLabel::new(12).expect("below 128")), "ct label 12"),
        (new().rt_classid(5), "rt classid 5"),
        (new().rt_ipsec(false), "rt ipsec missing"),
        (new().rt_ip_nexthop(v4("1.2.3.4")), "rt ip nexthop 1.2.3.4"),
        (new().osf(Osf { ttl: OsfTtl::Skip, key: OsfKey::Version }, "Linux:3.0"), "osf ttl skip version \"Linux:3.0\""),
    ];
    nft_lists(Family::Inet, input(), &cases);
}
