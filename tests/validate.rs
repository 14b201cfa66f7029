//! Compares validation with nft(8) and the running kernel: the same places for the same targets,
//! the same depth and limits.
//!
//! The texts are written by hand, so that a fault of the renderer cannot hide one of validation.
//! Each runs in its own network namespace.

mod support;

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use nftmesh::model::{
    Chain, ChainType, DataType, Element, Family, Field, Hook, Interval, IpFamily, Limit, LimitUnit, Log, LogLevel,
    MarkKey, MarkValue, Nat, Nfproto, Policy, PortRange, Priority, Protocol, QueueFlags, Reject, Rule, Ruleset, Set,
    SetRef, Table, Tproxy, Value, Verdict, set,
};
use support::version::{Version, needs_linux};

/// Returns nft's answer to a rule set; `None` when nft cannot be run.
fn nft(text: &str) -> Option<Result<(), String>> {
    let spawned = Command::new("unshare")
        .args(["-n", "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.ok()?;
    child.stdin.take()?.write_all(text.as_bytes()).ok();
    let output = child.wait_with_output().ok()?;
    if output.status.success() {
        return Some(Ok(()));
    }
    Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Returns whether nft can be run; otherwise prints why not, and fails where that is not allowed.
fn kernel_is_here() -> bool {
    let reason = match nft("add table inet probe\n") {
        Some(Ok(())) => return true,
        Some(Err(printed)) => printed.lines().next().unwrap_or("nft failed").to_owned(),
        None => "unshare or nft is not installed".to_owned(),
    };
    assert!(std::env::var_os("NFTMESH_REQUIRE_KERNEL").is_none_or(|value| value != "1"), "no kernel: {reason}");
    println!("SKIP: {reason}");
    false
}

const TYPES: [ChainType; 3] = [ChainType::Filter, ChainType::Nat, ChainType::Route];
const HOOKS: [Hook; 5] = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];
const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// `table inet t` with one base chain `c` of this head and body.
fn text(sets: &str, head: &str, rule: &str) -> String {
    format!("table inet t {{\n{sets}\nchain c {{\n{head}\n{rule}\n}}\n}}\n")
}

fn tcp() -> Rule {
    Rule::new().l4proto(Protocol::TCP)
}

/// Compares both over every case, and reports all disagreements.
fn agree(cases: impl IntoIterator<Item = (Ruleset, String)>) -> usize {
    let mut asked = 0;
    let mut differ = Vec::new();
    for (rules, text) in cases {
        if !CAME_LATER.iter().all(|(part, since, what)| !text.contains(part) || needs_linux(*since, what)) {
            continue;
        }
        let kernel = nft(&text).expect("nft was there before");
        // The kernel is built without the statement, so the case shows nothing.
        if kernel.as_ref().is_err_and(|printed| printed.contains("No such file") && text.contains("queue")) {
            println!("SKIP: this kernel has no nft_queue");
            continue;
        }
        // A refusal because of a misspelt text would not count as agreement.
        let misspelt =
            kernel.as_ref().is_err_and(|printed| printed.contains("syntax error")) && !text.contains("auto-merge");
        assert!(!misspelt, "{kernel:?}\n{text}");
        asked += 1;
        let ours = rules.validate_strictly();
        if ours.is_ok() != kernel.is_ok() {
            differ.push(format!("ours: {ours:?}\nnft: {kernel:?}\n{text}"));
        }
    }
    assert!(differ.is_empty(), "{} of {asked} differ:\n{}", differ.len(), differ.join("\n"));
    asked
}

/// Differences of older kernels: a part of a text, and the version since which they are gone.
const CAME_LATER: [(&str, Version, &str); 5] = [
    // Before, both ends of an interval counted against the size of a set of one field (fixed by
    // 8d738c1869f6, in v6.14 and later 6.12).
    ("size 2; elements = { 1-2, 9 }", (6, 12), "size of a set that counts intervals"),
    // Before, the second one was accepted silently and not added (fixed by 7711f4bb4b36, in v6.19
    // and later 6.12).
    ("{ 1-2 . 1-2, 1-2 . 2-3 }", (6, 12), "refusal of every concatenation that overlaps another"),
    // Before, a limit whose arithmetic overflows was accepted (fixed by c9d9eb9c53d3, in v6.8 and
    // later 6.1).
    ("30600 bytes/week", (6, 1), "check of limits that overflow"),
    ("1/week burst 40000", (6, 1), "check of limits that overflow"),
    ("30000 bytes/week", (6, 1), "check of limits that overflow"),
];

fn statements() -> Vec<(Rule, &'static str)> {
    vec![
        (Rule::new().accept(), "accept"),
        (Rule::new().redirect(), "redirect"),
        (Rule::new().nat(Nat::dnat().to(LOCALHOST)), "dnat ip to 127.0.0.1"),
        (Rule::new().nat(Nat::snat().to(LOCALHOST)), "snat ip to 127.0.0.1"),
        (Rule::new().masquerade(), "masquerade"),
        (tcp().tproxy(Tproxy::to_port(1)), "meta l4proto tcp tproxy to :1"),
        (Rule::new().reject(), "reject"),
        (tcp().reject_with(Reject::TcpReset), "meta l4proto tcp reject with tcp reset"),
        (Rule::new().reject_with(Reject::Icmp(3)), "reject with icmp type port-unreachable"),
        (Rule::new().reject_with(Reject::Icmpv6(4)), "reject with icmpv6 type port-unreachable"),
        (Rule::new().reject_with(Reject::Icmpx(1)), "reject with icmpx type port-unreachable"),
        (Rule::new().socket_transparent(1), "socket transparent 1"),
        (Rule::new().socket_wildcard(1), "socket wildcard 1"),
        (Rule::new().socket_mark(1), "socket mark 1"),
        (Rule::new().skuid(1), "meta skuid 1"),
        (Rule::new().skgid(1), "meta skgid 1"),
        (Rule::new().cgroup(1), "meta cgroup 1"),
        (Rule::new().queue(1..=1, QueueFlags::empty()), "queue num 1"),
        (Rule::new().notrack(), "notrack"),
        (Rule::new().set_zone(1), "ct zone set 1"),
        (Rule::new().set_mark(MarkValue::Constant(1)), "meta mark set 1"),
        (Rule::new().set_ct_mark(MarkValue::copy(MarkKey::Meta)), "ct mark set meta mark"),
        (Rule::new().fib_daddr_type(nftmesh::model::AddrType::LOCAL), "fib daddr type local"),
        (Rule::new().log(Log::default()), "log"),
        (Rule::new().log(Log::default().group(1)), "log group 1"),
        (Rule::new().audit(), "log level audit"),
        (Rule::new().limit(Limit::packets(1, LimitUnit::Second)), "limit rate 1/second"),
        (Rule::new().nftrace(), "meta nftrace set 1"),
        (Rule::new().counter().drop(), "counter drop"),
    ]
}

#[test]
fn validation_accepts_targets_at_the_hooks_where_the_kernel_does() {
    if !kernel_is_here() {
        return;
    }
    let mut cases = Vec::new();
    for (rule, typed) in statements() {
        for chain_type in TYPES {
            for hook in HOOKS {
                let chain = Chain::base("c", chain_type, hook, Priority::FILTER).rule(rule.clone());
                let head = format!("type {} hook {} priority 0;", chain_type.name(), hook.name());
                let rules = Ruleset::new().table(Table::new(Family::Inet, "t").chain(chain));
                cases.push((rules, text("", &head, typed)));
            }
        }
    }
    let asked = agree(cases);
    assert!(asked >= 28 * 15, "{asked} places asked about");
}

#[test]
fn validation_follows_targets_through_jumps_and_maps_as_the_kernel_does() {
    if !kernel_is_here() {
        return;
    }
    let mut cases = Vec::new();
    for (chain_type, hook) in [(ChainType::Nat, Hook::Prerouting), (ChainType::Filter, Hook::Input)] {
        let head = format!("type {} hook {} priority 0;", chain_type.name(), hook.name());
        let target = || Chain::regular("a").rule(Rule::new().redirect());
        let element = || Element::new(Value::Port(1)).verdict(Verdict::Jump("a".into()));
        let base = |rule| Chain::base("c", chain_type, hook, Priority::FILTER).rule(rule);
        let table = |rule| Ruleset::new().table(Table::new(Family::Inet, "t").chain(target()).chain(base(rule)));
        let a = "chain a {\nredirect\n}";
        cases.push((table(Rule::new().jump("a")), text(a, &head, "jump a")));
        cases.push((table(Rule::new().goto("a")), text(a, &head, "goto a")));
        cases.push((table(Rule::new()), text(a, &head, "")));
        let anonymous = Rule::new().vmap(Field::TcpDport, SetRef::Anonymous(vec![element()]));
        cases.push((table(anonymous), text(a, &head, "tcp dport vmap { 1 : jump a }")));
        let map = Set::verdict_map("m", [DataType::Port]).elements([element()]);
        let named = Table::new(Family::Inet, "t").set(map).chain(target());
        let named = named.chain(base(Rule::new().vmap(Field::TcpDport, set("m"))));
        let typed = format!("{a}\nmap m {{\ntype inet_service : verdict; elements = {{ 1 : jump a }}\n}}");
        cases.push((Ruleset::new().table(named), text(&typed, &head, "tcp dport vmap @m")));
    }
    agree(cases);
}

#[test]
fn limits_of_depth_priority_and_policy_are_those_of_the_kernel() {
    if !kernel_is_here() {
        return;
    }
    let mut cases = Vec::new();
    for depth in [14, 15, 16, 17] {
        let mut table = Table::new(Family::Inet, "t");
        let mut typed = String::new();
        for number in (1..=depth).rev() {
            let (name, next) = (format!("r{number}"), format!("r{}", number + 1));
            let last = number == depth;
            typed += &format!("chain {name} {{\n{}\n}}\n", if last { String::new() } else { format!("jump {next}") });
            let chain = Chain::regular(name);
            table = table.chain(if last { chain } else { chain.rule(Rule::new().jump(next)) });
        }
        let base = Chain::base("c", ChainType::Filter, Hook::Input, Priority::FILTER).rule(Rule::new().jump("r1"));
        let head = "type filter hook input priority 0;";
        cases.push((Ruleset::new().table(table.chain(base)), text(&typed, head, "jump r1")));
    }
    for priority in [-300, -201, -200, -199, 300] {
        let chain = Chain::base("c", ChainType::Nat, Hook::Prerouting, Priority(priority)).policy(Policy::Drop);
        let head = format!("type nat hook prerouting priority {priority}; policy drop;");
        cases.push((Ruleset::new().table(Table::new(Family::Inet, "t").chain(chain)), text("", &head, "")));
    }
    for (bytes, log) in [(127, true), (128, true), (128, false), (129, false)] {
        let value = "x".repeat(bytes);
        let (rule, typed) = match log {
            true => (Rule::new().log(Log::default().prefix(value.clone())), format!("log prefix \"{value}\"")),
            false => (Rule::new().accept().comment(value.clone()), format!("accept comment \"{value}\"")),
        };
        let chain = Chain::base("c", ChainType::Filter, Hook::Input, Priority::FILTER).rule(rule);
        let rules = Ruleset::new().table(Table::new(Family::Inet, "t").chain(chain));
        cases.push((rules, text("", "type filter hook input priority 0;", &typed)));
    }
    agree(cases);
}

#[test]
fn statements_that_do_not_fit_together_are_refused_by_both() {
    if !kernel_is_here() {
        return;
    }
    let (v4, v6) = (LOCALHOST, Ipv6Addr::LOCALHOST);
    let (most, too_many) = ("counter ".repeat(128), "counter ".repeat(129));
    let nat: Vec<(Rule, &str)> = vec![
        (Rule::new().redirect_to(80), "redirect to :80"),
        (Rule::new().th_dport(1).redirect_to(80), "th dport 1 redirect to :80"),
        (Rule::new().tcp_dport(1).redirect_to(80), "tcp dport 1 redirect to :80"),
        (tcp().redirect_to(80), "meta l4proto tcp redirect to :80"),
        (
            Rule::new().l4proto([Protocol::TCP, Protocol::UDP]).redirect_to(80),
            "meta l4proto { tcp, udp } redirect to :80",
        ),
        (Rule::new().ip_protocol(Protocol::TCP).redirect_to(80), "ip protocol tcp redirect to :80"),
        (
            Rule::new().not(nftmesh::model::l4proto(Protocol::TCP)).redirect_to(80),
            "meta l4proto != tcp redirect to :80",
        ),
        (tcp().redirect_to(PortRange { low: 9, high: 8 }), "meta l4proto tcp redirect to :9-8"),
        (Rule::new().ip6_daddr(v6).nat(Nat::dnat().to(v4)), "ip6 daddr ::1 dnat ip to 127.0.0.1"),
        (tcp().nat(Nat::dnat().ports(80)), "meta l4proto tcp dnat to :80"),
        (tcp().tproxy(Tproxy::to_port(1)), "meta l4proto tcp tproxy to :1"),
        (Rule::new().tproxy(Tproxy::to_port(1)), "tproxy to :1"),
        (tcp().ip_daddr(v4).tproxy(Tproxy::to_port(1)), "meta l4proto tcp ip daddr 127.0.0.1 tproxy to :1"),
        (
            tcp().ip_daddr(v4).tproxy(Tproxy::to_port(1).family(IpFamily::Ipv4)),
            "meta l4proto tcp ip daddr 127.0.0.1 tproxy ip to :1",
        ),
        (tcp().nfproto(Nfproto::IPV4).tproxy(Tproxy::to_port(1)), "meta l4proto tcp meta nfproto ipv4 tproxy to :1"),
        (Rule::new().redirect().counter(), "redirect counter"),
        (tcp().tproxy(Tproxy::to_port(1)).counter(), "meta l4proto tcp tproxy to :1 counter"),
        (Rule::new().r#continue().counter(), "continue counter"),
        (Rule::new().r#return().counter(), "return counter"),
        (Rule::new().reject().counter(), "reject counter"),
        (Rule::new().tcp_dport(1).udp_dport(1), "tcp dport 1 udp dport 1"),
        (Rule::new().ip_saddr(v4).ip6_saddr(v6), "ip saddr 127.0.0.1 ip6 saddr ::1"),
        (Rule::new().udp_dport(1).reject_with(Reject::TcpReset), "udp dport 1 reject with tcp reset"),
        (Rule::new().reject_with(Reject::Icmpx(4)), "reject with icmpx type 4"),
        (Rule::new().limit(Limit::packets(0, LimitUnit::Second)), "limit rate 0/second"),
        (Rule::new().limit(Limit::bytes(30_000, LimitUnit::Week)), "limit rate 30000 bytes/week"),
        (Rule::new().limit(Limit::bytes(30_600, LimitUnit::Week)), "limit rate 30600 bytes/week"),
        (Rule::new().limit(Limit::packets(1, LimitUnit::Week).burst(40_000)), "limit rate 1/week burst 40000 packets"),
        (Rule::new().log(Log::default().group(1).level(LogLevel::Info)), "log group 1 level info"),
        (Rule::new().log(Log::default().group(1).prefix("a").snaplen(9)), "log prefix \"a\" group 1 snaplen 9"),
        (Rule::new().log(Log::default().prefix("a").level(LogLevel::Audit)), "log prefix \"a\" level audit"),
        (Rule::new().log(Log::default().prefix("a$b")), "log prefix \"a$b\""),
        (Rule::new().jump("c"), "jump c"),
        (Rule::new().jump("gone"), "jump gone"),
        (Rule::new().tcp_dport(set("gone")), "tcp dport @gone"),
        ((0..128).fold(Rule::new(), |rule, _| rule.counter()), &most),
        ((0..129).fold(Rule::new(), |rule, _| rule.counter()), &too_many),
    ];
    agree(nat.into_iter().map(|(rule, typed)| {
        let chain = Chain::base("c", ChainType::Nat, Hook::Prerouting, Priority::DSTNAT).rule(rule);
        let rules = Ruleset::new().table(Table::new(Family::Inet, "t").chain(chain));
        (rules, text("", "type nat hook prerouting priority -100;", typed))
    }));
}

fn ports(low: u16, high: u16) -> Interval {
    Interval { low: Value::Port(low), high: Value::Port(high) }
}

#[test]
fn elements_that_the_kernel_refuses_are_refused() {
    if !kernel_is_here() {
        return;
    }
    let one = || Set::new("s", [DataType::Port]);
    let two = || Set::new("s", [DataType::Port, DataType::Port]).interval();
    let map = || Set::map("s", [DataType::Port], DataType::Mark);
    let port = |port: u16| Element::new(Value::Port(port));
    let second = std::time::Duration::from_secs(1);
    let constant = |mut set: Set| {
        set.flags |= nftmesh::model::SetFlags::CONSTANT;
        set
    };
    let dynamic = |mut set: Set| {
        set.flags |= nftmesh::model::SetFlags::DYNAMIC;
        set
    };
    let cases: Vec<(Set, &str)> = vec![
        (
            one().interval().elements([ports(1, 5), ports(3, 7)]),
            "set s { type inet_service; flags interval; elements = { 1-5, 3-7 }",
        ),
        (
            one().auto_merge().elements([ports(1, 5), ports(3, 7)]),
            "set s { type inet_service; flags interval; auto-merge; elements = { 1-5, 3-7 }",
        ),
        (
            one().interval().elements([ports(1, 5), ports(6, 7)]),
            "set s { type inet_service; flags interval; elements = { 1-5, 6-7 }",
        ),
        (
            one().interval().elements([ports(1, 5), ports(1, 5)]),
            "set s { type inet_service; flags interval; elements = { 1-5, 1-5 }",
        ),
        (
            one().interval().elements([ports(1, 5), ports(1, 1)]),
            "set s { type inet_service; flags interval; elements = { 1-5, 1 }",
        ),
        (one().elements([port(3), port(3)]), "set s { type inet_service; elements = { 3, 3 }"),
        (one().elements([ports(3, 4)]), "set s { type inet_service; elements = { 3-4 }"),
        (one().size(1).elements([port(3), port(4)]), "set s { type inet_service; size 1; elements = { 3, 4 }"),
        (one().size(1).elements([port(3), port(3)]), "set s { type inet_service; size 1; elements = { 3, 3 }"),
        (
            one().interval().size(2).elements([ports(1, 2), ports(9, 9)]),
            "set s { type inet_service; flags interval; size 2; elements = { 1-2, 9 }",
        ),
        (
            one().interval().size(1).elements([port(3), port(4)]),
            "set s { type inet_service; flags interval; size 1; elements = { 3, 4 }",
        ),
        (one().elements([port(1).timeout(second)]), "set s { type inet_service; elements = { 1 timeout 1s }"),
        (
            one().timeout(second).elements([port(1).timeout(second)]),
            "set s { type inet_service; timeout 1s; elements = { 1 timeout 1s }",
        ),
        (constant(one().timeout(second)), "set s { type inet_service; flags constant,timeout; timeout 1s"),
        (constant(dynamic(one())), "set s { type inet_service; flags constant,dynamic"),
        (dynamic(one().interval()), "set s { type inet_service; flags dynamic,interval"),
        (
            two().elements([[ports(1, 2), ports(1, 2)], [ports(1, 2), ports(1, 2)]]),
            "set s { type inet_service . inet_service; flags interval; elements = { 1-2 . 1-2, 1-2 . 1-2 }",
        ),
        (
            two().elements([[ports(1, 2), ports(1, 2)], [ports(1, 2), ports(2, 3)]]),
            "set s { type inet_service . inet_service; flags interval; elements = { 1-2 . 1-2, 1-2 . 2-3 }",
        ),
        (
            two().elements([[ports(2, 3), ports(1, 5)], [ports(1, 5), ports(2, 3)]]),
            "set s { type inet_service . inet_service; flags interval; elements = { 2-3 . 1-5, 1-5 . 2-3 }",
        ),
        (
            two().elements([[ports(1, 5), ports(1, 5)], [ports(2, 3), ports(2, 3)]]),
            "set s { type inet_service . inet_service; flags interval; elements = { 1-5 . 1-5, 2-3 . 2-3 }",
        ),
        (
            two().size(1).elements([[ports(1, 2), ports(1, 2)], [ports(3, 4), ports(1, 2)]]),
            "set s { type inet_service . inet_service; flags interval; size 1; elements = { 1-2 . 1-2, 3-4 . 1-2 }",
        ),
        (
            map().elements([port(1).value(Value::Mark(1)), port(1).value(Value::Mark(2))]),
            "map s { type inet_service : mark; elements = { 1 : 1, 1 : 2 }",
        ),
        (
            map().elements([port(1).value(Value::Mark(1)), port(1).value(Value::Mark(1))]),
            "map s { type inet_service : mark; elements = { 1 : 1, 1 : 1 }",
        ),
        (map().elements([port(1)]), "map s { type inet_service : mark; elements = { 1 }"),
        (map().auto_merge(), "map s { type inet_service : mark; flags interval; auto-merge"),
        (Set::new("s", [DataType::Ipv6; 4]), "set s { type ipv6_addr . ipv6_addr . ipv6_addr . ipv6_addr"),
        (
            Set::new("s", [DataType::Ipv6, DataType::Ipv6, DataType::Ipv6, DataType::Ipv6, DataType::Port]),
            "set s { type ipv6_addr . ipv6_addr . ipv6_addr . ipv6_addr . inet_service",
        ),
        (
            Set::new("s", [DataType::Ifname])
                .interval()
                .elements([Value::Ifname("eth0".into()), Value::Ifname("eth*".into())]),
            "set s { type ifname; flags interval; elements = { \"eth0\", \"eth*\" }",
        ),
    ];
    agree(cases.into_iter().map(|(set, typed)| {
        let typed = typed.replacen('{', "{\n", 1);
        (Ruleset::new().table(Table::new(Family::Inet, "t").set(set)), format!("table inet t {{\n{typed}\n}}\n}}\n"))
    }));
}
