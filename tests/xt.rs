//! Compares what iptables-nft(8) puts into the kernel with the text that it was given: xtables
//! extensions have the meaning that the import gives them, and unknown ones are named by the
//! comparison.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/sidecar.rs"]
mod sidecar;
mod support;

use std::fs;
use std::io::{Seek, Write};

use nftmesh::import::{Unknown, iptables_save};
use nftmesh::kernel::Kernel;
use nftmesh::model::{IpFamily, Ruleset};
use nftmesh::sim::{Comparison, Rules, compare};
use recorded::{mended, refusals};
use sidecar::CASES;
use support::{command, in_fresh_netns, ip, succeed};

use IpFamily::{Ipv4 as V4, Ipv6 as V6};

fn restore(family: IpFamily) -> &'static str {
    match family {
        V4 => "iptables-nft-restore",
        V6 => "ip6tables-nft-restore",
    }
}

/// Reads the rules of this thread's namespace.
fn live() -> Rules {
    let snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
    let rules = Rules::try_from(&snapshot).expect("every rule has a program");
    assert!(rules.unknown().is_empty(), "{:?}", rules.unknown());
    rules
}

#[track_caller]
fn install(rules: &Ruleset) {
    Kernel::open().and_then(|mut kernel| kernel.apply(rules)).expect("rules that the kernel takes");
}

#[track_caller]
fn imported<'a>(texts: impl IntoIterator<Item = (IpFamily, &'a str)>) -> Rules {
    let mut all = Ruleset::new();
    for (family, text) in texts {
        let imported = iptables_save(text, family, Unknown::Refuse).unwrap_or_else(|error| panic!("{error}\n{text}"));
        all.tables.extend(imported.ruleset.tables);
    }
    Rules::try_from(&all).expect("every rule has a program")
}

#[track_caller]
fn assert_same(what: &str, a: &Rules, b: &Rules) -> usize {
    match compare(a, b) {
        Comparison::Equivalent { classes, outside: 0 } => classes,
        other => panic!("{what}: {other}"),
    }
}

/// Runs an example, and returns its exit code and output.
fn run(example: &str, words: &[&str]) -> (Option<i32>, String) {
    let output = command(&support::example(example).to_string_lossy()).args(words).output().expect("the example runs");
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).expect("it prints text"))
}

#[test]
fn recorded_cases_in_the_kernel_equal_their_text_and_our_rules() {
    // owner_check, net/netfilter/xt_owner.c: only users that the namespace has.
    if !support::needs_root() {
        return;
    }
    let mut proven = 0;
    for case in CASES {
        let [ipv4, ipv6] = ["ipv4", "ipv6"].map(|family| mended(&recorded::as_save(case.name, family)));
        let texts = [(V4, ipv4.as_str()), (V6, ipv6.as_str())];
        in_fresh_netns(|| {
            texts.iter().for_each(|(family, text)| drop(succeed(restore(*family), "", text)));
            let classes = assert_same(case.name, &live(), &imported(texts));
            // What the reference lacks cannot be expressed in an xtables table: see `refusals`.
            let refusals = texts.iter().flat_map(|(family, text)| refusals(text, *family).tables);
            let refusals: Ruleset = refusals.collect();
            install(&refusals);
            let live = live();
            let ours = Ruleset::from(&sidecar::config(case.options, "nameserver 10.255.255.53"));
            let ours = Rules::try_from(&ours).expect("every rule has a program");
            let with_ours = assert_same(case.name, &live, &ours);
            println!("{}: the text, {classes} classes; our rules, {with_ours} classes", case.name);
            proven += 1;
        });
    }
    assert_eq!(proven, 12);
}

#[test]
fn the_examples_walk_and_compare_a_pod_that_iptables_set_up() {
    let Some(dir) = support::shared_dir() else { return };
    if !support::needs_root() {
        return;
    }
    let case = CASES.iter().find(|case| case.name == "redirect").expect("one of the twelve");
    let text = fs::read_to_string(dir.join("cases/redirect/iptables-nft.save")).expect("a recording");
    in_fresh_netns(|| {
        ip("link add eth0 type veth peer name eth1");
        ip("link set eth1 up");
        ip("addr add 10.77.0.2/24 dev eth0");
        ip("link set eth0 up");
        succeed(restore(V4), "", &text);
        for (packet, end) in [
            ("tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000", "DELIVERED to 127.0.0.1:15001\n"),
            ("tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1337 gid 1337", "SENT out by eth0\n"),
        ] {
            let (code, printed) = run("walk", &["live", "--packet", packet]);
            assert!(code == Some(0) && printed.ends_with(end), "{printed}");
        }
        let arriving = ["live", "--in", "eth0", "--packet", "tcp 10.77.0.9:40000 -> 10.77.0.2:9000"];
        let (code, printed) = run("walk", &arriving);
        assert!(code == Some(0) && printed.ends_with("DELIVERED to 10.77.0.2:15006\n"), "{printed}");
        let ours = format!("istio:{}", case.options);
        let (code, printed) = run("compare", &["live", &ours]);
        assert!(code == Some(1) && printed.contains("REJECTED by ip istio-proxy-nat istio-refuse"), "{printed}");
        install(&refusals(&text, V4));
        let (code, printed) = run("compare", &["live", &ours]);
        assert_eq!(code, Some(0), "{printed}");
        let (code, printed) = run("compare", &["live", &format!("{ours} -o 3306")]);
        assert_eq!(code, Some(1), "{printed}");
    });
}

/// Writes a table with these rules, which are separated by `;`.
fn text(table: &str, rules: &str) -> String {
    let hooks = match table {
        "filter" => &["INPUT", "FORWARD", "OUTPUT"][..],
        "nat" => &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
        "raw" => &["PREROUTING", "OUTPUT"],
        _ => &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
    };
    let hooks: String = hooks.iter().map(|hook| format!(":{hook} ACCEPT [0:0]\n")).collect();
    let rules: String = rules.split(';').map(|rule| format!("-A {}\n", rule.trim())).collect();
    format!("*{table}\n{hooks}{rules}COMMIT\n")
}

/// Loads rules into this thread's namespace; `None`, after a printed line, when the kernel has no
/// such extension.
fn load(family: IpFamily, text: &str) -> Option<Rules> {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("it can be written");
    let output = command(restore(family)).stdin(file).output().expect("iptables is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    let is_missing = ["missing kernel module", "No such file or directory"].iter().any(|why| complaint.contains(why));
    if is_missing && !output.status.success() {
        let line = format!("SKIP: this kernel has no extension for\n{text}{complaint}");
        drop(std::io::stderr().write_all(line.as_bytes()));
        return None;
    }
    assert!(output.status.success(), "{complaint}{text}");
    Some(live())
}

/// Table; rules; the same with one constant changed. After `=` are equivalent rules for those that
/// the import refuses.
const RULES: &[(&str, &str, &str)] = &[
    ("filter", "INPUT -p tcp -m tcp -j DROP", "INPUT -p udp -m udp -j DROP"),
    ("filter", "INPUT -p tcp --dport 80 -j DROP", "INPUT -p tcp --dport 81 -j DROP"),
    ("filter", "INPUT -p tcp ! --sport 80:90 -j DROP", "INPUT -p tcp ! --sport 80:91 -j DROP"),
    ("filter", "INPUT -p tcp ! --syn -j DROP", "INPUT -p tcp --syn -j DROP"),
    ("filter", "INPUT -p tcp --tcp-flags ALL FIN,PSH -j DROP", "INPUT -p tcp --tcp-flags ALL FIN -j DROP"),
    ("filter", "INPUT -p udp --sport :1023 ! --dport 5:6 -j DROP", "INPUT -p udp --sport :1023 ! --dport 5:7 -j DROP"),
    (
        "filter",
        "INPUT -p tcp -m multiport --dports 443,80 -j DROP",
        "INPUT -p tcp -m multiport --dports 443,81 -j DROP",
    ),
    (
        "filter",
        "INPUT -p tcp -m multiport ! --dports 53,15008 -j DROP",
        "INPUT -p tcp -m multiport ! --dports 53,15009 -j DROP",
    ),
    (
        "filter",
        "INPUT -p udp -m multiport --sports 1,5:9,20 -j DROP",
        "INPUT -p udp -m multiport --sports 1,5:9,21 -j DROP",
    ),
    ("filter", "INPUT -p udp -m multiport ! --sports 7:9 -j DROP", "INPUT -p udp -m multiport ! --sports 7:10 -j DROP"),
    (
        "filter",
        "INPUT -p tcp -m multiport --ports 1,20:22 -j DROP",
        "INPUT -p tcp -m multiport --ports 1,20:21 -j DROP",
    ),
    (
        "filter",
        "INPUT -p tcp -m multiport ! --ports 1,2:4 -j DROP",
        "INPUT -p tcp -m multiport ! --ports 1,2:5 -j DROP",
    ),
    (
        "filter",
        "INPUT -p tcp -m multiport --dports 1:5,3:9 -j DROP = INPUT -p tcp --dport 1:9 -j DROP",
        "INPUT -p tcp --dport 1:8 -j DROP",
    ),
    ("filter", "INPUT -m mark --mark 5 -j DROP", "INPUT -m mark --mark 6 -j DROP"),
    ("filter", "INPUT -p sctp --dport 5:9 ! --sport 7 -j DROP", "INPUT -p sctp --dport 5:9 ! --sport 8 -j DROP"),
    (
        "mangle",
        "POSTROUTING -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu; OUTPUT -p tcp --syn -j TCPMSS --set-mss 1400",
        "POSTROUTING -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu; OUTPUT -p tcp --syn -j TCPMSS --set-mss 1401",
    ),
    ("filter", "INPUT -m mark ! --mark 0x1/0xff -j DROP", "INPUT -m mark ! --mark 0x2/0xff -j DROP"),
    ("filter", "INPUT -m connmark --mark 5 -j DROP", "INPUT -m connmark --mark 6 -j DROP"),
    ("filter", "INPUT -m connmark ! --mark 0x10/0xf0 -j DROP", "INPUT -m connmark ! --mark 0x10/0xf8 -j DROP"),
    ("filter", "INPUT -m conntrack --ctstate NEW -j DROP", "INPUT -m conntrack --ctstate RELATED -j DROP"),
    (
        "filter",
        "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j DROP",
        "INPUT -m conntrack --ctstate ESTABLISHED -j DROP",
    ),
    (
        "filter",
        "INPUT -m conntrack ! --ctstate INVALID,UNTRACKED -j DROP",
        "INPUT -m conntrack ! --ctstate UNTRACKED -j DROP",
    ),
    ("filter", "INPUT -m conntrack --ctstate DNAT -j DROP", "INPUT -m conntrack --ctstate SNAT -j DROP"),
    ("filter", "INPUT -m conntrack --ctstate SNAT,DNAT -j DROP", "INPUT -m conntrack --ctstate DNAT -j DROP"),
    (
        "filter",
        "INPUT -m conntrack --ctstate NEW,DNAT -j DROP
         = INPUT -m conntrack --ctstate NEW -j DROP; INPUT -m conntrack --ctstate DNAT -j DROP",
        "INPUT -m conntrack --ctstate NEW -j DROP; INPUT -m conntrack --ctstate SNAT -j DROP",
    ),
    (
        "filter",
        "INPUT -m conntrack ! --ctstate DNAT -j DROP = INPUT -m conntrack --ctstate DNAT -j ACCEPT; INPUT -j DROP",
        "INPUT -m conntrack --ctstate SNAT -j ACCEPT; INPUT -j DROP",
    ),
    (
        "filter",
        "INPUT -m conntrack ! --ctstate NEW,DNAT -j DROP
         = INPUT -m conntrack --ctstate DNAT -j ACCEPT; INPUT -m conntrack ! --ctstate NEW -j DROP",
        "INPUT -m conntrack --ctstate DNAT -j ACCEPT; INPUT -m conntrack ! --ctstate ESTABLISHED -j DROP",
    ),
    (
        "filter",
        "INPUT -m conntrack --ctstate INVALID --ctdir REPLY -j DROP = INPUT -m conntrack --ctstate INVALID -j DROP",
        "INPUT -m conntrack --ctstate UNTRACKED -j DROP",
    ),
    (
        "filter",
        "INPUT -m conntrack ! --ctstate NEW --ctdir REPLY -j DROP
         = INPUT -m conntrack --ctstate INVALID,UNTRACKED -j DROP;
           INPUT -m conntrack --ctstate ESTABLISHED,RELATED --ctdir REPLY -j DROP",
        "INPUT -m conntrack --ctstate INVALID,UNTRACKED -j DROP;
         INPUT -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j DROP",
    ),
    (
        "filter",
        "INPUT -m conntrack --ctstate ESTABLISHED,DNAT ! --ctstatus ASSURED -j DROP
         = INPUT -m conntrack --ctstate ESTABLISHED ! --ctstatus ASSURED -j DROP;
           INPUT -m conntrack --ctstate DNAT ! --ctstatus ASSURED -j DROP",
        "INPUT -m conntrack --ctstate ESTABLISHED ! --ctstatus ASSURED -j DROP",
    ),
    (
        "filter",
        "INPUT -m conntrack --ctstate ESTABLISHED --ctdir ORIGINAL -j DROP",
        "INPUT -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j DROP",
    ),
    ("filter", "INPUT -m conntrack --ctdir REPLY -j DROP", "INPUT -m conntrack --ctdir ORIGINAL -j DROP"),
    (
        "filter",
        "INPUT -m conntrack --ctstatus ASSURED,SEEN_REPLY -j DROP",
        "INPUT -m conntrack --ctstatus ASSURED -j DROP",
    ),
    ("filter", "INPUT -m conntrack ! --ctstatus CONFIRMED -j DROP", "INPUT -m conntrack --ctstatus CONFIRMED -j DROP"),
    ("filter", "INPUT -m state --state INVALID -j DROP", "INPUT -m state --state UNTRACKED -j DROP"),
    ("filter", "INPUT -m state ! --state NEW,RELATED -j DROP", "INPUT -m state ! --state NEW -j DROP"),
    ("filter", "OUTPUT -m owner --uid-owner 1337 -j DROP", "OUTPUT -m owner --uid-owner 1338 -j DROP"),
    ("filter", "OUTPUT -m owner ! --gid-owner 7-9 -j DROP", "OUTPUT -m owner ! --gid-owner 7-8 -j DROP"),
    ("filter", "OUTPUT -m owner --socket-exists -j DROP", "OUTPUT -m owner ! --socket-exists -j DROP"),
    (
        "filter",
        "OUTPUT -m owner --uid-owner 7 ! --gid-owner 7 -j DROP",
        "OUTPUT -m owner --uid-owner 7 ! --gid-owner 8 -j DROP",
    ),
    ("filter", "INPUT -m comment --comment \"several words\" -j DROP", "INPUT -m comment --comment other -j ACCEPT"),
    ("filter", "INPUT -m addrtype --dst-type LOCAL -j DROP", "INPUT -m addrtype ! --dst-type LOCAL -j DROP"),
    ("filter", "INPUT -m addrtype --src-type LOCAL -j DROP", "INPUT -m addrtype ! --src-type LOCAL -j DROP"),
    ("filter", "INPUT -m dscp --dscp 46 -j DROP", "INPUT -m dscp --dscp 47 -j DROP"),
    ("filter", "INPUT -m dscp ! --dscp-class AF21 -j DROP", "INPUT -m dscp ! --dscp-class AF22 -j DROP"),
    ("filter", "INPUT -m length --length 40:80 -j DROP", "INPUT -m length --length 40:81 -j DROP"),
    ("filter", "INPUT -m length ! --length 1500 -j DROP", "INPUT -m length --length 1500 -j DROP"),
    ("filter", "INPUT -m pkttype --pkt-type broadcast -j DROP", "INPUT -m pkttype --pkt-type multicast -j DROP"),
    ("filter", "INPUT -m pkttype ! --pkt-type unicast -j DROP", "INPUT -m pkttype --pkt-type unicast -j DROP"),
    ("filter", "INPUT -p tcp -j REJECT --reject-with tcp-reset", "INPUT -p tcp -j REJECT"),
    ("filter", "INPUT -j LOG --log-prefix in; INPUT -p tcp -j DROP", "INPUT -j LOG; INPUT -p udp -j DROP"),
    ("filter", "INPUT -j NFLOG --nflog-group 3; INPUT -p tcp -j DROP", "INPUT -j NFLOG; INPUT -p udp -j DROP"),
    ("filter", "INPUT -j AUDIT --type drop; INPUT -p tcp -j DROP", "INPUT -p udp -j DROP"),
    ("filter", "INPUT -p tcp -j RETURN; INPUT -j DROP", "INPUT -p udp -j RETURN; INPUT -j DROP"),
    ("mangle", "OUTPUT -j MARK --set-mark 5", "OUTPUT -j MARK --set-mark 6"),
    ("mangle", "OUTPUT -j MARK --set-mark 0x5/0xf0", "OUTPUT -j MARK --set-mark 0x5/0xf8"),
    ("mangle", "OUTPUT -j MARK --set-xmark 0x1/0xff", "OUTPUT -j MARK --set-xmark 0x3/0xff"),
    ("mangle", "OUTPUT -j MARK --and-mark 0xff", "OUTPUT -j MARK --and-mark 0xfe"),
    ("mangle", "OUTPUT -j MARK --or-mark 0x10", "OUTPUT -j MARK --or-mark 0x11"),
    ("mangle", "OUTPUT -j MARK --xor-mark 0x11", "OUTPUT -j MARK --xor-mark 0x10"),
    ("mangle", "INPUT -j CONNMARK --set-mark 7", "INPUT -j CONNMARK --set-mark 8"),
    ("mangle", "INPUT -j CONNMARK --set-xmark 0x1/0xff", "INPUT -j CONNMARK --set-xmark 0x1/0xfe"),
    ("mangle", "INPUT -j CONNMARK --save-mark", "INPUT -j CONNMARK --restore-mark"),
    (
        "mangle",
        "INPUT -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xffffffff",
        "INPUT -j CONNMARK --save-mark --nfmask 0xfe --ctmask 0xffffffff",
    ),
    (
        "mangle",
        "INPUT -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xff",
        "INPUT -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xfe",
    ),
    (
        "mangle",
        "INPUT -m mark --mark 0x539 -j CONNMARK --save-mark; OUTPUT -m connmark --mark 0x539 -j CONNMARK --restore-mark",
        "INPUT -m mark --mark 0x53a -j CONNMARK --save-mark; OUTPUT -m connmark --mark 0x539 -j CONNMARK --restore-mark",
    ),
    ("mangle", "PREROUTING -p udp -j TPROXY --on-port 15001", "PREROUTING -p udp -j TPROXY --on-port 15002"),
    ("nat", "PREROUTING -p tcp -j REDIRECT --to-ports 15006", "PREROUTING -p tcp -j REDIRECT --to-ports 15007"),
    ("nat", "OUTPUT -p udp -j REDIRECT --to-ports 5-9 --random", "OUTPUT -p udp -j REDIRECT --to-ports 5-9"),
    ("nat", "OUTPUT -j REDIRECT", "OUTPUT -p tcp -j REDIRECT"),
    ("nat", "OUTPUT -p tcp -j DNAT --to-destination :53", "OUTPUT -p tcp -j DNAT --to-destination :54"),
    ("nat", "POSTROUTING -j MASQUERADE", "POSTROUTING -p tcp -j MASQUERADE"),
    (
        "nat",
        "POSTROUTING -p tcp -j MASQUERADE --to-ports 1024-2048 --random",
        "POSTROUTING -p tcp -j MASQUERADE --to-ports 1024-2049 --random",
    ),
    ("nat", "POSTROUTING -j MASQUERADE --random-fully", "POSTROUTING -j MASQUERADE --random"),
    ("raw", "PREROUTING -p udp -j CT --zone 1", "PREROUTING -p udp -j CT --zone 2"),
    ("raw", "PREROUTING -p udp -j CT --notrack", "PREROUTING -p tcp -j CT --notrack"),
    ("raw", "OUTPUT -p udp -j NOTRACK", "OUTPUT -p tcp -j NOTRACK"),
    ("raw", "OUTPUT -p udp -j NOTRACK; OUTPUT -j CT --zone 3", "OUTPUT -p udp -j NOTRACK; OUTPUT -j CT --zone 4"),
    ("raw", "PREROUTING -p tcp -j TRACE; PREROUTING -p tcp -j DROP", "PREROUTING -p tcp -j TRACE"),
];

/// The same for IPv4 only.
const RULES4: &[(&str, &str, &str)] = &[
    ("filter", "INPUT -s 10.0.0.0/9 ! -d 10.0.0.1 -i eth+ -j DROP", "INPUT -s 10.0.0.0/8 ! -d 10.0.0.1 -i eth+ -j DROP"),
    (
        "filter",
        "INPUT -m addrtype --dst-type BROADCAST,MULTICAST -j DROP",
        "INPUT -m addrtype --dst-type BROADCAST,UNICAST -j DROP",
    ),
    (
        "filter",
        "INPUT -m addrtype ! --dst-type UNICAST,LOCAL -j DROP",
        "INPUT -m addrtype ! --dst-type UNICAST -j DROP",
    ),
    (
        "filter",
        "INPUT -m addrtype --src-type UNICAST ! --dst-type LOCAL -j DROP",
        "INPUT -m addrtype --src-type UNICAST -j DROP",
    ),
    (
        "filter",
        "OUTPUT -m addrtype ! --src-type LOCAL --limit-iface-out -j DROP",
        "OUTPUT -m addrtype --src-type LOCAL --limit-iface-out -j DROP",
    ),
    (
        "filter",
        "INPUT -m iprange --src-range 10.0.0.1-10.0.0.9 ! --dst-range 10.1.0.1 -j DROP",
        "INPUT -m iprange --src-range 10.0.0.1-10.0.0.9 ! --dst-range 10.1.0.2 -j DROP",
    ),
    ("filter", "INPUT -m ttl --ttl-eq 5 -j DROP", "INPUT -m ttl --ttl-eq 6 -j DROP"),
    ("filter", "INPUT -m ttl ! --ttl-eq 5 -j DROP", "INPUT -m ttl --ttl-eq 5 -j DROP"),
    ("filter", "INPUT -m ttl --ttl-lt 5 -j DROP", "INPUT -m ttl --ttl-lt 6 -j DROP"),
    ("filter", "INPUT -m ttl --ttl-gt 5 -j DROP", "INPUT -m ttl --ttl-gt 6 -j DROP"),
    ("filter", "INPUT -p icmp -m icmp --icmp-type 8 -j DROP", "INPUT -p icmp -m icmp --icmp-type 0 -j DROP"),
    ("filter", "INPUT -p icmp -m icmp ! --icmp-type 8 -j DROP", "INPUT -p icmp -m icmp --icmp-type 8 -j DROP"),
    ("filter", "INPUT -p icmp -m icmp --icmp-type 3/4 -j DROP", "INPUT -p icmp -m icmp --icmp-type 3 -j DROP"),
    ("filter", "INPUT -p icmp -m icmp ! --icmp-type 3/4 -j DROP", "INPUT -p icmp -m icmp ! --icmp-type 3/3 -j DROP"),
    ("filter", "INPUT -p icmp -m icmp --icmp-type any -j DROP", "INPUT -p icmp -m icmp --icmp-type 254 -j DROP"),
    ("filter", "INPUT -p icmp -m icmp ! --icmp-type any -j DROP", "INPUT -p icmp -j DROP"),
    ("filter", "INPUT -j REJECT", "INPUT -j REJECT --reject-with icmp-host-prohibited"),
    (
        "filter",
        "INPUT -p tcp -j REJECT --reject-with icmp-net-unreachable; INPUT -p udp -j REJECT --reject-with icmp-proto-unreachable;
         INPUT -p icmp -j REJECT --reject-with icmp-net-prohibited; INPUT -j REJECT --reject-with icmp-admin-prohibited",
        "INPUT -p tcp -j REJECT --reject-with icmp-net-unreachable; INPUT -p udp -j REJECT --reject-with icmp-proto-unreachable;
         INPUT -p icmp -j REJECT --reject-with icmp-net-prohibited; INPUT -j REJECT --reject-with icmp-host-unreachable",
    ),
    (
        "mangle",
        "PREROUTING ! -d 127.0.0.1/32 -p tcp -j TPROXY --on-port 15006 --on-ip 0.0.0.0 --tproxy-mark 0x539/0xffffffff",
        "PREROUTING ! -d 127.0.0.1/32 -p tcp -j TPROXY --on-port 15006 --on-ip 0.0.0.0 --tproxy-mark 0x539/0xfff",
    ),
    (
        "mangle",
        "PREROUTING -p udp -j TPROXY --on-port 15001 --on-ip 127.0.0.1",
        "PREROUTING -p udp -j TPROXY --on-port 15001 --on-ip 127.0.0.2",
    ),
    (
        "nat",
        "OUTPUT -p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.9:80-90 --random --persistent",
        "OUTPUT -p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.9:80-90 --random",
    ),
    ("nat", "OUTPUT -j DNAT --to-destination 10.0.0.1", "OUTPUT -j DNAT --to-destination 10.0.0.2"),
    ("nat", "POSTROUTING -p tcp -j SNAT --to-source 10.0.0.1:80-90", "POSTROUTING -p tcp -j SNAT --to-source 10.0.0.1:80"),
    ("nat", "INPUT -j SNAT --to-source 10.0.0.1-10.0.0.3", "INPUT -j SNAT --to-source 10.0.0.1-10.0.0.4"),
];

/// And for IPv6.
const RULES6: &[(&str, &str, &str)] = &[
    (
        "filter",
        "INPUT -m iprange ! --src-range fd00::1-fd00::9 -j DROP",
        "INPUT -m iprange ! --src-range fd00::1-fd00::a -j DROP",
    ),
    ("filter", "INPUT -s fd00::/9 -j DROP", "INPUT -s fd00::/8 -j DROP"),
    (
        "filter",
        "INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j DROP",
        "INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 129 -j DROP",
    ),
    (
        "filter",
        "INPUT -p ipv6-icmp -m icmp6 ! --icmpv6-type 1/4 -j DROP",
        "INPUT -p ipv6-icmp -m icmp6 ! --icmpv6-type 1 -j DROP",
    ),
    ("filter", "INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 255 -j DROP", "INPUT -p ipv6-icmp -j DROP"),
    ("filter", "INPUT -j REJECT", "INPUT -j REJECT --reject-with icmp6-no-route"),
    (
        "filter",
        "INPUT -p tcp -j REJECT --reject-with icmp6-adm-prohibited; INPUT -j REJECT --reject-with icmp6-addr-unreachable",
        "INPUT -p tcp -j REJECT --reject-with icmp6-adm-prohibited; INPUT -j REJECT --reject-with icmp6-no-route",
    ),
    (
        "mangle",
        "PREROUTING -p tcp -j TPROXY --on-port 15006 --on-ip :: --tproxy-mark 0x539/0xffffffff",
        "PREROUTING -p tcp -j TPROXY --on-port 15006 --on-ip :: --tproxy-mark 0x538/0xffffffff",
    ),
    (
        "mangle",
        "PREROUTING -p tcp -j TPROXY --on-port 15006 --on-ip ::1",
        "PREROUTING -p tcp -j TPROXY --on-port 15006 --on-ip ::2",
    ),
    (
        "nat",
        "OUTPUT -p tcp -j DNAT --to-destination [fd00::1-fd00::9]:80-90",
        "OUTPUT -p tcp -j DNAT --to-destination [fd00::1-fd00::8]:80-90",
    ),
    ("nat", "POSTROUTING -j SNAT --to-source fd00::1-fd00::2", "POSTROUTING -j SNAT --to-source fd00::1"),
];

#[test]
fn every_live_extension_equals_its_text_and_differs_from_a_changed_one() {
    if !support::needs_root() {
        return;
    }
    let (mut held, mut wrong) = (0, Vec::new());
    for (family, rules) in [(V4, RULES), (V6, RULES), (V4, RULES4), (V6, RULES6)] {
        for (table, rules, changed) in rules {
            let (loaded, same) = rules.split_once('=').unwrap_or((rules, rules));
            in_fresh_netns(|| {
                let Some(live) = load(family, &text(table, loaded)) else { return };
                let of = |rules| imported([(family, text(table, rules).as_str())]);
                match compare(&live, &of(same)) {
                    Comparison::Equivalent { .. } => held += 1,
                    other => wrong.push(format!("{family:?} {loaded}: {other}")),
                }
                match compare(&live, &of(changed)) {
                    Comparison::Differs(_) => {}
                    other => wrong.push(format!("{family:?} {loaded} and {changed}: {other}")),
                }
            });
        }
    }
    println!("{held} rules do what their text says");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let cases = 2 * RULES.len() + RULES4.len() + RULES6.len();
    assert!(held * 10 >= cases * 9, "only {held} of {cases} could be loaded");
}

#[test]
fn an_unknown_extension_is_named() {
    let cases = [
        (V4, "filter", "INPUT -m hashlimit --hashlimit-upto 5/sec --hashlimit-name x -j DROP", "match hashlimit"),
        (V4, "filter", "INPUT -m connlimit --connlimit-above 5 -j DROP", "match connlimit"),
        (V4, "filter", "INPUT -m string --algo bm --string x -j DROP", "match string"),
        (V4, "filter", "INPUT -m u32 --u32 0&0xff=1 -j DROP", "match u32"),
        (V4, "filter", "INPUT -m time --timestart 10:00 -j DROP", "match time"),
        (V4, "filter", "INPUT -m quota --quota 500 -j DROP", "match quota"),
        (V4, "filter", "INPUT -m mac --mac-source 00:11:22:33:44:55 -j DROP", "match mac"),
        (V4, "mangle", "INPUT -j DSCP --set-dscp 1", "target DSCP"),
        (V4, "nat", "OUTPUT -j NETMAP --to 10.0.0.0/8", "target NETMAP"),
        // Known extensions with unknown options.
        (V4, "filter", "INPUT -p tcp --tcp-option 5 -j DROP", "match tcp"),
        (V4, "filter", "INPUT -m addrtype --dst-type LOCAL,BROADCAST --limit-iface-in -j DROP", "match addrtype"),
        (V6, "filter", "INPUT -m addrtype --dst-type LOCAL --limit-iface-in -j DROP", "match addrtype"),
        (V6, "filter", "INPUT -m addrtype --dst-type UNICAST -j DROP", "match addrtype"),
        (V4, "filter", "OUTPUT -m owner --gid-owner 5 --suppl-groups -j DROP", "match owner"),
        (V4, "mangle", "INPUT -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff", "target CONNMARK"),
        (V4, "mangle", "INPUT -j CONNMARK --save-mark --left-shift-mark 4", "target CONNMARK"),
        (V4, "raw", "PREROUTING -j CT --zone-orig 5", "target CT"),
        (V4, "raw", "PREROUTING -j CT --zone mark", "target CT"),
        (V4, "nat", "OUTPUT -p tcp -j DNAT --to-destination 10.0.0.1:80-90/1000", "target DNAT"),
    ];
    if !support::needs_root() {
        return;
    }
    let mut named = 0;
    for (family, table, rule, name) in cases {
        in_fresh_netns(|| {
            let Some(live) = load(family, &text(table, rule)) else { return };
            let chain = rule.split(' ').next().unwrap_or_default();
            match compare(&live, &Rules::default()) {
                Comparison::CannotTell(why) => {
                    let why = why.to_string();
                    let whole = format!(" {table} {chain}, rule 1: xtables {name} is not known here");
                    assert!(why.ends_with(&whole), "{rule}: {why}");
                    named += 1;
                }
                other => panic!("{rule}: {other}"),
            }
        });
    }
    assert!(named >= 12, "only {named} of {} could be loaded", cases.len());
}
