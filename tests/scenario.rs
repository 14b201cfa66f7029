//! The examples in the life of a pod, from the first installation to the clean-up, in both modes
//! with four sets of options.
//!
//! `make kernels` runs this on every kernel: it needs nothing that came after Linux 5.2.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::process::{Output, Stdio};

use nftmesh::kernel::Kernel;
use nftmesh::model::Generation;
use support::running::Running;
use support::version::{ADDRESS_PROTOCOLS, linux};
use support::{assert_lists_as_nft, assert_same, command, example, ip, needs_root, nft, succeed};
use traffic::{Listeners, Pod, Who};

/// Returns both modes, each with four sets of options.
fn options() -> Vec<String> {
    let options = [
        "-i * -b * -d 15090,15021,15020",
        "-i * -b * -d 15090,15021,15020 --dual-stack",
        "-i 10.0.0.0/8,172.16.0.0/12,10.77.0.0/24 -x 10.9.0.0/16 -b 80,8080 -o 22,3306 -q 9001",
        "-i * -b * --dual-stack --redirect-dns --capture-all-dns --drop-invalid",
    ];
    let with = |mode: &str| options.map(|options| format!("-m {mode} {options}"));
    ["REDIRECT", "TPROXY"].map(with).concat()
}

/// Runs an example in this thread's namespace.
fn run<'a>(name: &str, words: impl IntoIterator<Item = &'a str>) -> Output {
    command(&example(name).to_string_lossy()).args(words).output().expect("the example runs")
}

/// Runs an example, asserts its exit code, and returns its output.
#[track_caller]
fn ends<'a>(code: i32, name: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    let Output { status, stdout, stderr } = run(name, words);
    let (printed, complaints) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.code(), Some(code), "{name}: {printed}{complaints}{}", nft("list ruleset"));
    printed.into_owned()
}

#[track_caller]
fn istio_init(code: i32, options: &str, flag: &str) -> String {
    ends(code, "istio-init", options.split_whitespace().chain(flag.split_whitespace()))
}

/// Returns the rules without counters, sorted by table and chain, since both are listed in order of
/// creation.
fn rules() -> Vec<Vec<String>> {
    let sorted = |text: &str, end: &str| {
        let mut parts: Vec<String> = text.split(end).map(str::to_owned).collect();
        parts.sort_unstable();
        parts
    };
    let table = |table: &String| {
        let (head, chains) = table.split_once('\n').unwrap_or((table, ""));
        [vec![head.to_owned()], sorted(chains, "\n\n")].concat()
    };
    sorted(&nft("-s list ruleset"), "\n}\n").iter().map(table).collect()
}

/// Returns what an installation changes besides rules.
fn routes() -> [String; 5] {
    ["rule", "-6 rule", "route show table 133", "-6 route show table 133", "-6 addr show dev lo"].map(ip_if_there)
}

/// A routing table that does not exist has no routes; some versions of ip report that as an error.
fn ip_if_there(words: &str) -> String {
    let output = command("ip").args(words.split(' ')).output().expect("there is an ip");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn generation() -> Generation {
    Kernel::open().and_then(|mut kernel| kernel.generation()).expect("a generation")
}

/// Runs `body` in a pod, once for each set of options.
fn in_pods(body: impl Fn(&Pod, &str) + Sync) {
    if needs_root() {
        for options in options() {
            let pod = Pod::new();
            pod.run(|| body(&pod, &options));
        }
    }
}

#[test]
fn an_installation_is_in_force_and_a_second_one_changes_nothing() {
    in_pods(|pod, options| {
        let plan = istio_init(3, options, "--plan");
        assert!(plan.lines().all(|line| line.starts_with("+ ")), "{plan}");
        assert_eq!(nft("list ruleset"), "", "a plan touches nothing");
        istio_init(3, options, "--verify");
        istio_init(0, options, "");
        let (before, installed) = (generation(), (nft("list ruleset"), routes()));
        assert_eq!(istio_init(0, options, ""), "", "nothing to say where nothing is done");
        assert_eq!((nft("list ruleset"), routes()), installed);
        assert_eq!(generation(), before, "no commit");
        assert_eq!(istio_init(0, options, "--plan"), "in sync\n");
        assert_eq!(istio_init(0, options, "--verify"), "");

        assert_lists_as_nft();
        assert_same(&nft("list ruleset"), &ends(0, "list", []), "nft list ruleset, and the example list");
        let other = if options.contains("REDIRECT") { "istio:-m TPROXY -b '*'" } else { "istio:-m REDIRECT" };
        let own = format!("istio:{}", options.replace('*', "'*'"));
        ends(0, "compare", ["live", &own, "--addresses", "10.77.0.2/24,fd77::2/64"]);
        ends(1, "compare", ["live", other]);

        let walk = |packet: &str| ends(0, "walk", ["--packet", packet]);
        let leaving = walk("tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000");
        assert!(leaving.contains("10.77.0.2:15001") || leaving.contains("127.0.0.1:15001"), "{leaving}");
        let own = walk("tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1337 gid 1337");
        assert!(!own.contains(":15001"), "{own}");
        let arriving = ends(0, "walk", ["--in", "eth0", "--packet", "tcp 10.77.0.1:40000 -> 10.77.0.2:8080"]);
        assert!(arriving.contains(":15006"), "{arriving}");
        // The rules take effect.
        pod.serving(Listeners::All, || {
            let ask = |who, to: &str| pod.connect(who, to.parse().expect("an address"));
            let app = ask(Who::App, "10.77.0.1:9000");
            assert!(app.starts_with("ENVOY_OUT "), "{options}: {app}");
            let proxy = ask(Who::Proxy, "10.77.0.1:9000");
            assert!(proxy.starts_with("REMOTE "), "{options}: {proxy}");
            let client = ask(Who::Gateway, "10.77.0.2:8080");
            assert!(client.starts_with("ENVOY_IN "), "{options}: {client}");
        });
    });
}

#[test]
fn a_deletion_is_healed_by_the_guard() {
    in_pods(|_, options| {
        let mut guard = Running::start("guard", &options.split(' ').collect::<Vec<_>>(), Stdio::inherit());
        guard.until("guard: watching");
        let before = rules();
        let family = if options.contains("--dual-stack") { "inet" } else { "ip" };
        nft(&format!("delete table {family} istio-proxy-nat"));
        guard.until("guard: restored");
        assert_eq!(rules(), before, "{options}");
        if options.contains("TPROXY") {
            ip("rule del fwmark 1337 lookup 133");
            guard.until("guard: restored");
        }
        assert_eq!(guard.end("TERM").0, Some(0));
        istio_init(0, options, "--verify");
        assert_eq!(rules(), before, "{options}");
    });
}

#[test]
fn leftovers_of_istio_iptables_are_removed_when_asked() {
    const LEFT: &str = "*nat\n:ISTIO_OUTPUT - [0:0]\n:ISTIO_REDIRECT - [0:0]\n-A OUTPUT -j ISTIO_OUTPUT\n\
        -A OUTPUT -p tcp -m tcp --dport 7 -j RETURN\n-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN\n\
        -A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN\n-A ISTIO_OUTPUT -j ISTIO_REDIRECT\n\
        -A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001\nCOMMIT\n";
    in_pods(|_, options| {
        succeed("iptables-nft-restore", "", LEFT);
        let left = || nft("list table ip nat");
        let before = left();
        let plan = istio_init(3, options, "--plan");
        assert!(plan.contains("# left behind by istio-iptables"), "{plan}");
        istio_init(0, options, "");
        assert_eq!(left(), before, "not without being asked to");
        istio_init(0, options, "--migrate");
        assert!(!left().contains("ISTIO_") && left().contains("tcp dport 7 "), "{}", left());
        istio_init(0, options, "--verify");
    });
}

#[test]
fn every_configuration_follows_every_other() {
    if !needs_root() {
        return;
    }
    let all = options();
    let fresh: Vec<_> = all
        .iter()
        .map(|options| {
            Pod::new().run(|| {
                istio_init(0, options, "");
                (rules(), routes())
            })
        })
        .collect();
    // Every pair of configurations, both ways: from each one to every later one and back.
    let both: Vec<_> = all.iter().zip(&fresh).collect();
    let way = both
        .iter()
        .enumerate()
        .flat_map(|(index, first)| both.iter().skip(index + 1).flat_map(move |other| [first, other]).chain([first]));
    Pod::new().run(|| {
        let mut before = "";
        for (to, (wanted, wanted_routes)) in way {
            istio_init(0, to, "");
            assert_eq!(&rules(), wanted, "{before} to {to}");
            let [rule, rule6, route, route6, lo] = routes();
            let [.., wanted_lo] = wanted_routes;
            assert_eq!([rule, rule6, route, route6], wanted_routes[..4], "{before} to {to}");
            assert!(lo == *wanted_lo || linux() < ADDRESS_PROTOCOLS, "{before} to {to}: {lo}");
            istio_init(0, to, "--verify");
            before = to;
        }
    });
}

#[test]
fn clean_up_restores_the_previous_state() {
    in_pods(|_, options| {
        nft("add table inet mine");
        ip("rule add fwmark 7 lookup 100");
        let before = (nft("list ruleset"), routes());
        istio_init(0, options, "");
        istio_init(0, options, "--cleanup-only");
        let (listed, mut after) = (nft("list ruleset"), routes());
        // Such a kernel does not record who added an address, so it stays.
        if linux() < ADDRESS_PROTOCOLS && options.contains("--dual-stack") {
            assert!(ip("-6 addr show dev lo").contains("inet6 ::6/128"), "{options}");
            ip("-6 addr del ::6/128 dev lo");
            after = routes();
        }
        assert_eq!((listed, after), before, "{options}");
    });
}
