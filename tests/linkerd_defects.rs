//! The defects of `proxy-init`, each shown not to be here. Their numbers are those of the
//! recordings; 3 to 7 are faults of values, which are in `linkerd`, and 14 is one of the plugin, in
//! `mesh_cni_linkerd`. Users rely on 15 and 16, so they are kept (UDP and calls of the pod to itself
//! pass by, and init containers after the plugin have no proxy), and docs/mesh-cni.md tells.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

#[path = "support/changing.rs"]
mod changing;
#[path = "support/proven.rs"]
mod proven;
mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::time::Duration;

use changing::{none_passes_while_changing, with_an_address};
use nftmesh::kernel::Kernel;
use nftmesh::mesh::linkerd::{LinkerdConfig, LinkerdFlags};
use nftmesh::model::{Family, Ruleset, Table, TableFlags};
use nftmesh::plan::Transaction;
use nftmesh::pod::{Leftovers, Pod};
use nftmesh::proxy::original_destination;
use proven::{assert_equal, saved};
use support::patience::patience;
use support::version::{OWNED_TABLES, needs_linux};
use support::{in_fresh_netns, ip, nft, nft_script, succeed};

const BASIC: &str = "-p 4143 -o 4140 -u 2102";
const LONG: Duration = Duration::from_secs(10);

fn config(more: &str) -> LinkerdConfig {
    let words = format!("{BASIC} {more}");
    LinkerdFlags::parse(words.split_whitespace()).unwrap_or_else(|error| panic!("{words}: {error}")).config
}

fn open() -> Pod {
    Pod::open().expect("netlink sockets")
}

#[track_caller]
fn assert_in_sync(config: &LinkerdConfig) {
    let plan = open().plan(config, Leftovers::Keep).expect("it reads");
    assert!(plan.is_in_sync(), "{plan}");
}

/// Runs `linkerd-init` in this thread's namespace, without any other program to run.
fn linkerd_init(words: &str) -> Output {
    let program = support::example("linkerd-init");
    let mut command = support::command(&program.to_string_lossy());
    command.args(words.split_whitespace()).env("PATH", "/nowhere").output().expect("the example runs")
}

const CHAINS: &str =
    ":PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:PROXY_INIT_OUTPUT - [0:0]\n:PROXY_INIT_REDIRECT - [0:0]\n";

/// The rules of `proxy-init` in nat, with one that comes before the jumps, and the given ones.
fn original(before: &str, output: &str, redirect: &str) -> String {
    format!(
        "*nat\n{CHAINS}{before}-A PREROUTING -j PROXY_INIT_REDIRECT\n-A OUTPUT -j PROXY_INIT_OUTPUT\n\
         -A PROXY_INIT_OUTPUT -m owner --uid-owner 2102 -j RETURN\n-A PROXY_INIT_OUTPUT -o lo -j RETURN\n{output}\
         -A PROXY_INIT_OUTPUT -p tcp -j REDIRECT --to-ports 4140\n{redirect}\
         -A PROXY_INIT_REDIRECT -p tcp -j REDIRECT --to-ports 4143\nCOMMIT\n"
    )
}

/// Defect 1: 19 programs, and what a failure half way leaves.
#[test]
fn an_installation_is_one_transaction_or_nothing() {
    let lists = "--inbound-ports-to-ignore 4190,4191,4567,4568 --outbound-ports-to-ignore 4567,4568";
    in_fresh_netns(|| {
        let mut pod = open();
        for more in ["", lists, "--ipv6=false", "-r 80,443", "-g 2102"] {
            let (config, before) = (config(more), pod.kernel().generation().expect("it reads"));
            pod.install(&config).expect("it installs");
            let after = pod.kernel().generation().expect("it reads");
            assert_eq!(after.0, before.0 + 1, "{more}: one commit");
            assert_in_sync(&config);
        }
    });
    if !needs_linux(OWNED_TABLES, "tables with an owner") {
        return;
    }
    in_fresh_netns(|| {
        // A table of our name that belongs to somebody else, who has not finished.
        let owned = Table::new(Family::Ip, "linkerd-proxy").flags(TableFlags::OWNER);
        let mut owner = Kernel::open().expect("a socket");
        owner.commit(&Transaction::add(Ruleset::new().table(owned))).expect("a table of our own");
        let before = nft("list ruleset");
        for more in ["", lists, "--ipv6=false"] {
            let error = open().install(&config(more)).expect_err("the table is not ours");
            assert!(error.to_string().contains("linkerd-proxy"), "{error}");
            assert_eq!(nft("list ruleset"), before, "neither family has half of it");
        }
        drop(owner);
        open().install(&config("")).expect("it installs");
        assert_in_sync(&config(""));
    });
}

/// Defect 2: a second run empties the chains before it fills them.
#[test]
fn no_connection_passes_the_proxy_while_rules_change() {
    in_fresh_netns(|| {
        with_an_address();
        let configs = [
            "",
            "--outbound-ports-to-ignore 1-300,7000-8999",
            "--ipv6=false",
            "-g 2102 --inbound-ports-to-ignore 4190,4191",
            "--outbound-subnets-to-ignore 10.78.0.0/16,10.80.0.0/16 --subnets-to-ignore 10.0.0.0/8,fd00::/8",
        ];
        none_passes_while_changing(&configs.map(config));
    });
}

/// Defect 8: the timeout is set by a run that should change nothing.
#[test]
fn simulating_changes_nothing() {
    const CLOSE_WAIT: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait";
    in_fresh_netns(|| {
        // The sysctl of a namespace is there once something tracks connections.
        nft_script("table ip t { chain c { type filter hook output priority 0; ct state new counter; }; }");
        let (rules, timeout) = (nft("list ruleset"), fs::read_to_string(CLOSE_WAIT));
        let Ok(timeout) = timeout else { return support::skip("no sysctl of conntrack here") };
        let words = format!("{BASIC} --timeout-close-wait-secs 77");
        let simulated = linkerd_init(&format!("{words} --simulate"));
        assert!(simulated.status.success(), "{simulated:?}");
        assert!(String::from_utf8_lossy(&simulated.stdout).contains("table inet linkerd-proxy"), "{simulated:?}");
        assert_eq!((nft("list ruleset"), fs::read_to_string(CLOSE_WAIT).expect("it reads")), (rules, timeout));
        let done = linkerd_init(&words);
        assert!(done.status.success(), "{done:?}");
        assert_eq!(fs::read_to_string(CLOSE_WAIT).expect("it reads"), "77\n");
        assert_in_sync(&config(""));
    });
}

/// Defect 9: another mode on the second run makes a second set of rules.
#[test]
fn every_mode_installs_the_same_rules_and_legacy_ones_are_reported() {
    in_fresh_netns(|| {
        let mut pod = open();
        for (index, mode) in ["legacy", "nft", "plain"].iter().enumerate() {
            let changes = pod.install(&config(&format!("--iptables-mode {mode}"))).expect("it installs");
            assert_eq!(changes.is_empty(), index > 0, "{mode}: {changes}");
        }
        let tables = pod.kernel().tables().expect("they list");
        assert_eq!(tables.len(), 1, "{tables:?}");
        let legacy = "-t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 4140";
        let output = support::command("iptables-legacy").args(legacy.split(' ')).output();
        if !output.is_ok_and(|output| output.status.success()) {
            return support::skip("no legacy xtables here");
        }
        let warned = linkerd_init(BASIC);
        assert!(warned.status.success(), "{warned:?}");
        let warned = String::from_utf8_lossy(&warned.stderr).into_owned();
        assert!(warned.contains("iptables-legacy-save") && warned.contains("PROXY_INIT_"), "{warned}");
    });
}

/// Defect 10: an ACCEPT that was there before keeps connections from the proxy, silently.
#[test]
fn an_accept_of_others_captures_less_nowhere_and_is_reported() {
    in_fresh_netns(|| {
        with_an_address();
        let accepts = "-A OUTPUT -d 10.77.0.9/32 -j ACCEPT\n-A PREROUTING -s 10.77.0.9/32 -j ACCEPT\n";
        succeed("iptables-nft-restore", "", &original(accepts, "", ""));
        let changes = open().install_over(&config(""), Leftovers::Remove).expect("it installs");
        let report: Vec<String> = changes.precedence.lines().collect();
        for rule in ["ip daddr 10.77.0.9", "ip saddr 10.77.0.9"] {
            let named = report.iter().any(|line| line.contains(rule) && line.contains("--outbound-ports-to-ignore"));
            assert!(named, "{rule}: {report:#?}");
        }
        let proxy = TcpListener::bind("127.0.0.1:4140").expect("the port is free");
        let to: SocketAddr = "10.77.0.9:9000".parse().expect("an address");
        TcpStream::connect_timeout(&to, patience(LONG)).expect("the proxy answers");
        let (accepted, _) = proxy.accept().expect("the connection");
        assert_eq!(original_destination(&accepted).expect("conntrack knows it"), to);
        // What translates before our rules do wins, and is reported too.
        nft_script("table ip t { chain c { type nat hook output priority -150; tcp dport 80 redirect to :7; }; }");
        let precedence = open().precedence(&config("")).expect("it reads").lines().collect::<Vec<_>>();
        assert!(precedence.iter().any(|line| line.contains("chain ip t c")), "{precedence:#?}");
    });
}

/// Defect 11: users take `subnets-to-ignore` for both directions. It means inbound only, as they
/// rely on; a flag of our own is for the other.
#[test]
fn ignored_subnets_are_sources_and_another_flag_is_for_destinations() {
    for (flag, output, redirect) in [
        ("--subnets-to-ignore", "", "-A PROXY_INIT_REDIRECT -s 10.0.0.0/8 -j RETURN\n"),
        ("--outbound-subnets-to-ignore", "-A PROXY_INIT_OUTPUT -d 10.0.0.0/8 -j RETURN\n", ""),
    ] {
        let text = original("", output, redirect);
        let ours = Ruleset::from(&config(&format!("--ipv6=false {flag} 10.0.0.0/8")));
        assert_equal(flag, &ours, &saved([&text, ""]));
    }
    let help = linkerd_init("--help");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let of = |flag: &str| help.lines().find(|line| line.contains(flag)).unwrap_or_default().to_owned();
    assert!(of("--subnets-to-ignore").contains("inbound connections from them"), "{help}");
    assert!(of("--outbound-subnets-to-ignore").contains("outbound connections to them"), "{help}");
}

/// Defect 12: chains that exist, modules that are not loaded, and programs of the wrong variant or
/// none.
#[test]
fn chains_that_exist_and_missing_programs_are_no_obstacle() {
    in_fresh_netns(|| {
        for family in ["iptables", "ip6tables"] {
            succeed(&format!("{family}-nft-restore"), "", &original("", "", ""));
        }
        // The same names with another meaning.
        nft_script(
            "table inet linkerd-proxy {\nmap output {\ntype ipv4_addr : verdict\n}\nchain prerouting {\n}\n\
             set ignored-sources-v4 {\ntype inet_service\n}\nchain other {\n\
             type filter hook input priority 0; policy drop;\n}\n}\n",
        );
        let words = format!("{BASIC} --subnets-to-ignore 10.0.0.0/8,192.168.0.0/16");
        for _ in 0..2 {
            let done = linkerd_init(&words);
            assert!(done.status.success(), "{done:?}");
        }
        let left = nft("list table inet linkerd-proxy");
        assert!(!left.contains("policy drop") && left.contains("redirect to :4140"), "{left}");
        assert_eq!(linkerd_init(&format!("{words} --verify")).status.code(), Some(3), "{}", "those of iptables stay");
        let migrated = linkerd_init(&format!("{words} --migrate"));
        assert!(migrated.status.success() && !nft("list ruleset").contains("PROXY_INIT"), "{migrated:?}");
        let verified = linkerd_init(&format!("{words} --verify"));
        assert!(verified.status.success(), "{verified:?}");
    });
}

/// Defect 13: IPv6 that cannot be set up is left out, and passes the proxy later.
#[test]
fn ipv6_is_captured_also_where_it_is_switched_on_later() {
    let switch = |to: &str| {
        for interface in ["all", "lo", "out0"] {
            fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), to).expect("a sysctl");
        }
    };
    in_fresh_netns(|| {
        with_an_address();
        switch("1");
        let done = linkerd_init(BASIC);
        assert!(done.status.success(), "{done:?}");
        switch("0");
        ip("addr add fd77::2/64 dev out0 nodad");
        let proxy = TcpListener::bind("[::1]:4140").expect("the port is free");
        let to: SocketAddr = "[fd77::9]:9000".parse().expect("an address");
        TcpStream::connect_timeout(&to, patience(LONG)).expect("the proxy answers");
        let (accepted, _) = proxy.accept().expect("the connection");
        assert_eq!(original_destination(&accepted).expect("conntrack knows it"), to);
    });
}
