//! Tests without nft: text that nft cannot make or read, one-line forms, handles, and items
//! outside a table.

use std::net::Ipv4Addr;

use super::table::{Handles, WithHandles};
use super::{InFamily, quoted};
use crate::model::{
    Base, Chain, ChainKind, ChainType, CtState, DataType, Family, Field, Hook, IcmpType, Limit, LimitUnit, Log,
    MarkKey, MarkValue, Match, Nat, Nfproto, Op, Operand, PktType, Policy, Priority, Protocol, Queue, QueueFlags,
    Reject, Rule, Set, Statement, Table, TcpFlags, Value, mark, masked, nfproto, not, tcp_dport, tcp_flags,
};

fn in_family(family: Family, rule: &Rule) -> String {
    InFamily { family, value: rule }.to_string()
}

#[test]
fn a_quote_or_a_newline_in_a_string_cannot_end_it() {
    let rule = Rule::new().log(Log::default().prefix("a\"b")).accept().comment("x\"\ndrop\t\u{7}");
    assert_eq!(rule.to_string(), r#"log prefix "a\"b" accept comment "x\"\ndrop\t\u{7}""#);
    assert_eq!(quoted("plain ä $ \\").to_string(), r#""plain ä $ \""#);
    let name = Match::new(Field::Iifname, Op::Eq, Operand::Value(Value::Ifname("a\"\n*".into())));
    assert_eq!(name.to_string(), r#"iifname "a\"\n*""#);
}

#[test]
fn parts_without_a_table_print_as_in_an_inet_table() {
    assert_eq!(Statement::Nat(Nat::dnat().to([1, 2, 3, 4])).to_string(), "dnat ip to 1.2.3.4");
    assert_eq!(Statement::Reject(Some(Reject::Icmp(3))).to_string(), "reject with icmp port-unreachable");
    assert_eq!(Statement::Limit(Limit::packets(3, LimitUnit::Day)).to_string(), "limit rate 3/day");
    assert_eq!(not(tcp_dport([80, 443])).to_string(), "tcp dport != { 80, 443 }");
    assert_eq!(mark(masked(1, 0xff)).operand.to_string(), "0x00000001 / 0x000000ff");
    assert_eq!(tcp_flags(TcpFlags::SYN | TcpFlags::ACK).operand.to_string(), "syn,ack");
    assert_eq!(CtState::all().to_string(), "invalid,established,related,new,untracked");
    assert_eq!(CtState::empty().to_string(), "0x0");
    assert_eq!(Op::Ge.to_string(), ">=");
    assert_eq!((Protocol(58).to_string(), Protocol(200).to_string()), ("ipv6-icmp".into(), "200".into()));
    assert_eq!(Priority::DSTNAT.to_string(), "-100");
    assert_eq!(Chain::regular("c").rule(Rule::new().drop()).to_string(), "\tchain c {\n\t\tdrop\n\t}\n");
    assert_eq!(Set::new("s", [DataType::Port]).to_string(), "\tset s {\n\t\ttype inet_service\n\t}\n");
}

#[test]
fn what_the_family_implies_is_not_printed() {
    let cases = [
        (Rule::new().nat(Nat::dnat().to([1, 2, 3, 4])), "dnat ip to 1.2.3.4", "dnat to 1.2.3.4"),
        (Rule::new().reject_with(Reject::Icmp(3)), "reject with icmp port-unreachable", "reject"),
        (
            Rule::new().ip_protocol(Protocol::TCP).tcp_dport(80).drop(),
            "ip protocol tcp tcp dport 80 drop",
            "tcp dport 80 drop",
        ),
        (
            Rule::new().l4proto(Protocol::TCP).reject_with(Reject::TcpReset),
            "meta l4proto tcp reject with tcp reset",
            "reject with tcp reset",
        ),
    ];
    for (rule, inet, ip) in cases {
        assert_eq!((in_family(Family::Inet, &rule).as_str(), in_family(Family::Ip, &rule).as_str()), (inet, ip));
    }
}

#[test]
fn a_match_that_nft_would_not_add_again_is_printed() {
    let cases = [
        (Rule::new().nfproto(Nfproto::IPV4).l4proto(Protocol::ICMP), "meta nfproto ipv4 meta l4proto icmp"),
        (Rule::new().nfproto(Nfproto::IPV6).ip_saddr(Ipv4Addr::new(1, 2, 3, 4)), "meta nfproto ipv6 ip saddr 1.2.3.4"),
        (Rule::new().l4proto(Protocol::UDP).tcp_dport(80), "meta l4proto udp tcp dport 80"),
        (
            Rule::new().not(nfproto(Nfproto::IPV4)).ip_saddr(Ipv4Addr::new(1, 2, 3, 4)),
            "meta nfproto != ipv4 ip saddr 1.2.3.4",
        ),
        (
            Rule::new().counter().nfproto(Nfproto::IPV4).reject_with(Reject::Icmp(1)),
            "counter packets 0 bytes 0 meta nfproto ipv4 reject with icmp host-unreachable",
        ),
        (
            Rule::new().nfproto(Nfproto::IPV4).l4proto(Protocol::TCP).reject_with(Reject::TcpReset),
            "meta nfproto ipv4 meta l4proto tcp reject with tcp reset",
        ),
        (Rule::new().l4proto(Protocol::ESP).th_dport(80), "meta l4proto esp th dport 80"),
    ];
    for (rule, text) in cases {
        assert_eq!(rule.to_string(), text);
    }
}

#[test]
fn listings_that_nft_cannot_read_back_print_in_another_form() {
    let states = |op| Match::new(Field::CtState, op, Operand::Value(Value::CtState(CtState::NEW | CtState::RELATED)));
    assert_eq!(states(Op::Eq).to_string(), "ct state == related | new");
    assert_eq!(states(Op::Ne).to_string(), "ct state != related | new");
    let range = Nat::dnat().to_range([10, 0, 0, 0], [10, 0, 0, 255]);
    assert_eq!(Statement::Nat(range.clone()).to_string(), "dnat ip to 10.0.0.0/24");
    assert_eq!(Statement::Nat(range.ports(80)).to_string(), "dnat ip to 10.0.0.0-10.0.0.255:80");
    let family = Nat::dnat().family(crate::model::IpFamily::Ipv4).ports(80);
    assert_eq!(Statement::Nat(family).to_string(), "dnat to :80");
    let index = |index| Match::new(Field::Iif, Op::Eq, Operand::Value(Value::Ifindex(index)));
    assert_eq!((index(1).to_string(), index(2).to_string()), ("iif \"lo\"".into(), "iif 2".into()));
    let queue = Queue { from: 0, to: 3, flags: QueueFlags::BYPASS | QueueFlags::FANOUT };
    assert_eq!(queue.to_string(), "queue flags bypass,fanout to 0-3");
}

#[test]
fn ranges_print_numbers_instead_of_names() {
    let range = |field, low, high| Match::new(field, Op::Eq, Operand::Range(low, high)).to_string();
    let types = (Value::IcmpType(IcmpType::ECHO_REPLY), Value::IcmpType(IcmpType::ECHO_REQUEST));
    assert_eq!(range(Field::IcmpType, types.0, types.1), "icmp type 0-8");
    let types = (Value::PktType(PktType::HOST), Value::PktType(PktType::OTHER));
    assert_eq!(range(Field::PktType, types.0, types.1), "meta pkttype 0-3");
    let protocols = (Value::Protocol(Protocol::TCP), Value::Protocol(Protocol::UDP));
    assert_eq!(range(Field::L4proto, protocols.0, protocols.1), "meta l4proto 6-17");
}

#[test]
fn handles_print_where_nft_prints_them() {
    let table = Table::new(Family::Inet, "t")
        .set(Set::new("s", [DataType::Port]))
        .chain(Chain::regular("c").rule(Rule::new().drop().comment("x")).rule(Rule::new().accept()));
    let handles = Handles { table: Some(7), sets: vec![1], chains: vec![(2, vec![4, 5])] };
    let expected = "table inet t { # handle 7\n\tset s { # handle 1\n\t\ttype inet_service\n\t}\n\n\
                    \tchain c { # handle 2\n\t\tdrop comment \"x\" # handle 4\n\t\taccept # handle 5\n\t}\n}\n";
    assert_eq!(WithHandles { table: &table, handles: &handles }.to_string(), expected);
    assert_eq!(WithHandles { table: &table, handles: &Handles::default() }.to_string(), table.to_string());
}

#[test]
fn a_priority_has_a_name_only_at_its_hook() {
    let cases = [
        (Family::Inet, Hook::Output, -100, "-100"),
        (Family::Inet, Hook::Prerouting, -91, "dstnat + 9"),
        (Family::Ip, Hook::Input, 100, "100"),
        (Family::Ip6, Hook::Postrouting, 90, "srcnat - 10"),
        (Family::Inet, Hook::Output, 11, "11"),
        (Family::Inet, Hook::Input, i32::MIN, "-2147483648"),
        (Family::Netdev, Hook::Input, 1, "filter + 1"),
        (Family::Netdev, Hook::Input, -300, "-300"),
        (Family::Bridge, Hook::Input, 0, "0"),
    ];
    for (family, hook, priority, text) in cases {
        let base = Base { chain_type: ChainType::Filter, hook, priority: Priority(priority), policy: Policy::Drop };
        let expected = format!("type filter hook {hook} priority {text}; policy drop;");
        assert_eq!(InFamily { family, value: &base }.to_string(), expected);
    }
    assert_eq!(Chain::regular("c").kind, ChainKind::Regular);
}

#[test]
fn every_mark_computation_has_a_text() {
    let cases = [
        (u32::MAX, 0, "ct mark"),
        (0xff, 0, "ct mark & 0x000000ff"),
        (0xff, 0x100, "ct mark & 0x000001ff | 0x00000100"),
        (0xffff_ff00, 0xff, "ct mark | 0x000000ff"),
        (u32::MAX, 0xff, "ct mark ^ 0x000000ff"),
        (0xff, 0x10f, "ct mark & 0x000001ff ^ 0x0000000f | 0x00000100"),
        (0, 0, "ct mark & 0x00000000"),
        (0, 5, "ct mark & 0x00000005 | 0x00000005"),
    ];
    for (mask, xor, text) in cases {
        assert_eq!(MarkValue::From { from: MarkKey::Ct, mask, xor }.to_string(), text);
    }
}
