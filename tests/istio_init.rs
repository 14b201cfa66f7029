//! The drop-in program as its users run it: recorded answers, every recorded case, idempotence,
//! clean-up, bad input, load.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::fs;
use std::process::Output;

use nftmesh::kernel;
use nftmesh::mesh::istio::{DnsCapture, InboundPorts, Interception, IstioConfig, ServiceCidrs};
use nftmesh::pod::{self, Leftovers};
use support::anyone::runnable_by_anyone;
use support::version::{OWNED_TABLES, needs_linux};
use support::{NetNs, example, in_fresh_netns, ip, needs_root, nft, nft_script, shared_dir};
use traffic::{Pod, RECORDINGS, probe_matrix, reference_matrix, under_load};

/// Runs the example in this thread's namespace.
fn istio_init(words: &[&str]) -> Output {
    support::command(&example("istio-init").to_string_lossy()).args(words).output().expect("the example runs")
}

#[track_caller]
fn istio_init_ok(words: &[&str]) -> String {
    let output = istio_init(words);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "istio-init {words:?}: {}: {printed}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command line as a shell reads it.
#[track_caller]
fn shell(line: &str) {
    let output = support::command("sh").args(["-c", line]).output().expect("there is a shell");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

const REDIRECT: &[&str] = &["-m", "REDIRECT", "-i", "*", "-b", "*", "-d", "15090,15021,15020"];
const TPROXY: &[&str] = &["-m", "TPROXY", "-i", "*", "-b", "*", "-d", "15090,15021,15020"];

#[test]
fn connections_get_the_recorded_answers() {
    if !needs_root() {
        return;
    }
    for recording in RECORDINGS {
        let apply = || shell(&recording.command(&example("istio-init")));
        recording.assert_answers(&probe_matrix(apply, recording.listeners));
    }
}

#[test]
fn the_probe_scripts_of_the_reference_get_the_recorded_answers() {
    if !needs_root() {
        return;
    }
    for recording in RECORDINGS {
        let command = recording.command(&example("istio-init"));
        if let Some(answers) = reference_matrix(&command, recording.listeners) {
            recording.assert_answers(&answers);
        }
    }
}

#[test]
fn every_recorded_case_applies() {
    let Some(shared) = shared_dir() else { return };
    if !needs_root() {
        return;
    }
    let cases = fs::read_dir(shared.join("cases")).expect("the recordings have cases");
    let mut count = 0;
    for case in cases {
        let dir = case.expect("a directory").path();
        let command = fs::read_to_string(dir.join("cmd")).expect("every case has its command");
        let command = command.replace("istio-iptables", &example("istio-init").to_string_lossy());
        Pod::new().run(|| {
            shell(&command);
            let family = if command.contains("DUAL_STACK=true") { "inet" } else { "ip" };
            assert!(nft("list ruleset").contains(&format!("table {family} istio-proxy-nat")), "{command}");
            let rules = fs::read_to_string(dir.join("routes")).expect("every case has its routes");
            let wanted = rules.lines().filter(|line| line.contains("fwmark")).count();
            let there = format!("{}{}", ip("rule"), ip("-6 rule"));
            assert_eq!(there.matches("fwmark 0x539 lookup 133").count(), wanted, "{command}: {there}");
            let passthrough = rules.contains("::6/128");
            assert_eq!(ip("addr show lo").contains("::6/128"), passthrough, "{command}");
        });
        count += 1;
    }
    assert_eq!(count, 12);
}

#[test]
fn running_again_leaves_exactly_one_set() {
    in_fresh_netns(|| {
        istio_init_ok(TPROXY);
        let (rules, routes) = (nft("list ruleset"), format!("{}{}", ip("rule"), ip("route show table 133")));
        let mut kernel = kernel::Kernel::open().expect("a socket");
        let generation = kernel.generation().expect("a generation");
        for flag in ["--reconcile", "--force-apply", "--dual-stack=false"] {
            assert_eq!(istio_init_ok(&[TPROXY, &[flag]].concat()), "", "nothing to say where nothing is done");
        }
        assert_eq!(nft("list ruleset"), rules);
        assert_eq!(format!("{}{}", ip("rule"), ip("route show table 133")), routes);
        assert_eq!(kernel.generation().expect("a generation"), generation, "no commit");
    });
}

#[test]
fn plan_lists_what_would_change_and_verify_whether_anything_would() {
    in_fresh_netns(|| {
        let code = |words: &[&str]| {
            let output = istio_init(&[REDIRECT, words].concat());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let (status, plan, _) = code(&["--plan"]);
        assert_eq!(status, Some(3));
        assert!(plan.lines().all(|line| line.starts_with("+ ")), "{plan}");
        assert_eq!(nft("list ruleset"), "", "nothing is touched");
        istio_init_ok(REDIRECT);
        assert_eq!(code(&["--plan"]).0, Some(0));
        assert_eq!(code(&["--plan"]).1, "in sync\n");
        assert_eq!((code(&["--verify"]).0, code(&["--verify"]).1.as_str()), (Some(0), ""));

        nft("add rule ip istio-proxy-nat istio-inbound tcp dport 7 accept");
        let drifted = nft("list ruleset");
        let (status, plan, _) = code(&["--plan"]);
        assert_eq!(status, Some(3));
        assert!(plan.starts_with("- delete rule ip istio-proxy-nat istio-inbound handle "), "{plan}");
        assert!(plan.ends_with(" # tcp dport 7 accept\n") && plan.lines().count() == 1, "{plan}");
        let (status, _, printed) = code(&["--verify"]);
        assert!(status == Some(3) && printed.contains("tcp dport 7 accept"), "{status:?} {printed}");
        assert_eq!(nft("list ruleset"), drifted);
        assert_eq!(istio_init_ok(REDIRECT), "changed table ip istio-proxy-nat\n");
        assert_eq!(code(&["--verify"]).0, Some(0));
        ip("rule add fwmark 99 lookup 99");
        assert_eq!(code(&["--verify"]).0, Some(0), "the rules of others are theirs");
    });
}

#[test]
fn leftovers_of_istio_iptables_are_reported_and_removed_only_by_migrate() {
    let Some(shared) = shared_dir() else { return };
    let cases = fs::read_dir(shared.join("cases")).expect("the recordings have cases");
    for case in cases {
        let dir = case.expect("a directory").path();
        in_fresh_netns(|| {
            let command = fs::read_to_string(dir.join("cmd")).expect("every case has its command");
            let command = command.replace("istio-iptables", &example("istio-init").to_string_lossy());
            let run = |flag: &str| {
                let line = format!("{} {flag}", command.trim());
                support::command("sh").args(["-c", &line]).output().expect("there is a shell")
            };
            // Tables as iptables-nft makes them, with foreign rules before and after.
            let saved = |program: &str| fs::read_to_string(dir.join(format!("{program}-nft.save"))).unwrap_or_default();
            let foreign = "*nat\n-A OUTPUT -p tcp --dport 1 -j RETURN\n-A OUTPUT -o eth9 -j RETURN\nCOMMIT\n\
                *mangle\n-A OUTPUT -o lo -p tcp -m mark --mark 0x17 -j RETURN\n\
                -A OUTPUT -p tcp -m mark --mark 0x539 -j ACCEPT\n-A PREROUTING -m mark --mark 0x539 -j RETURN\nCOMMIT\n";
            let restore = |text: &str| {
                for program in ["iptables", "ip6tables"] {
                    support::succeed(
                        &format!("{program}-nft-restore"),
                        "--noflush",
                        &text.replace("SAVED", &saved(program)),
                    );
                }
            };
            let lists = || {
                ["ip", "ip6"]
                    .map(|family| support::nft(&format!("list tables {family}")))
                    .concat()
                    .lines()
                    .filter(|line| !line.contains(" istio-proxy-"))
                    .map(|line| support::nft(&format!("list {line}")))
                    .collect::<String>()
            };
            restore(foreign);
            let others = lists();
            restore("SAVED");
            let left = lists();
            assert!(left.contains("ISTIO_"), "{left}");

            let output = run("--plan");
            let plan = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(plan.contains("# left behind by istio-iptables") && plan.contains("# - delete chain ip"), "{plan}");
            assert_eq!(output.status.code(), Some(3));
            assert_eq!(lists(), left, "nothing is touched");
            assert!(run("").status.success());
            assert_eq!(lists(), left, "not without being asked to");
            assert_eq!(run("--verify").status.code(), Some(3));
            let mut kernel = kernel::Kernel::open().expect("a socket");
            let generation = kernel.generation().expect("a generation").0;
            let output = run("--migrate");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(kernel.generation().expect("a generation").0, generation + 1, "one transaction");
            let now = lists();
            assert!(!now.contains("ISTIO_"), "{command}: {now}");
            let of_rules = |text: &str| {
                text.lines()
                    .filter(|line| line.starts_with("\t\t") && !line.contains("type "))
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert_eq!(of_rules(&now), of_rules(&others), "{command}: {now}");
            assert!(run("--verify").status.success());
            assert_eq!(run("--migrate").stdout, b"");
        });
    }
}

#[test]
fn a_smaller_configuration_leaves_nothing_of_the_larger_one() {
    in_fresh_netns(|| {
        let rules_before = ip("rule");
        istio_init_ok(&[TPROXY, &["--drop-invalid", "--redirect-dns", "--capture-all-dns"]].concat());
        assert_eq!(nft("list tables").lines().count(), 3);
        istio_init_ok(REDIRECT);
        assert_eq!(nft("list tables"), "table ip istio-proxy-nat\n");
        assert_eq!(ip("rule"), rules_before);
        assert_eq!(ip("route show table all").matches("table 133").count(), 0);
    });
}

#[test]
fn clean_up_removes_what_was_added_and_nothing_else() {
    in_fresh_netns(|| {
        nft_script("table inet mine {\n chain c {\n }\n}");
        ip("rule add fwmark 7 lookup 100");
        let (rules, policy) = (nft("list ruleset"), ip("rule"));
        istio_init_ok(TPROXY);
        istio_init_ok(&["--cleanup-only"]);
        assert_eq!(nft("list ruleset"), rules);
        assert_eq!(ip("rule"), policy);
        istio_init_ok(&["--cleanup-only"]);
        assert_eq!(ip("rule"), policy);
    });
}

#[test]
fn clean_up_leaves_the_routes_of_others() {
    in_fresh_netns(|| {
        ip("rule add fwmark 1337 lookup 133");
        ip("route add local default dev lo table 133");
        let before = format!("{}{}", ip("rule"), ip("route show table 133"));
        istio_init_ok(TPROXY);
        assert_eq!(format!("{}{}", ip("rule"), ip("route show table 133")), before, "not added a second time");
        istio_init_ok(&["--cleanup-only"]);
        assert_eq!(format!("{}{}", ip("rule"), ip("route show table 133")), before);
    });
}

#[test]
fn a_dry_run_touches_nothing_and_nft_can_load_it() {
    in_fresh_netns(|| {
        let routes = ip("rule");
        let text = istio_init_ok(&[TPROXY, &["--dry-run"]].concat());
        assert_eq!((nft("list ruleset").as_str(), ip("rule")), ("", routes));
        assert!(text.contains("# ip rule add fwmark 1337 lookup 133"), "{text}");
        nft_script(&text);
        let loaded = nft("list ruleset");
        nft("flush ruleset");
        istio_init_ok(TPROXY);
        assert_eq!(nft("list ruleset"), loaded);
    });
}

#[test]
fn a_refused_transaction_undoes_its_routes() {
    if !needs_linux(OWNED_TABLES, "tables with an owner") {
        return;
    }
    in_fresh_netns(|| {
        // A table of that name with an owner, which cannot be deleted.
        let owned = nftmesh::model::Table::new(nftmesh::model::Family::Ip, "istio-proxy-nat");
        let mut owner = kernel::Kernel::open().expect("a socket");
        let table = nftmesh::model::Ruleset::new().table(owned.flags(nftmesh::model::TableFlags::OWNER));
        owner.commit(&nftmesh::plan::Transaction::add(table)).expect("a table of our own");
        let before = (nft("list ruleset"), ip("rule"), ip("route show table all"));
        let output = istio_init(TPROXY);
        assert_eq!(output.status.code(), Some(1));
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(printed.contains("istio-proxy-nat belongs to another program"), "{printed}");
        assert_eq!((nft("list ruleset"), ip("rule"), ip("route show table all")), before);
    });
}

#[test]
fn bad_input_is_one_line_and_exit_1_and_changes_nothing() {
    in_fresh_netns(|| {
        let cases: &[(&[&str], &str)] = &[
            (&["-b", "70000"], "--istio-inbound-ports \"70000\""),
            (&["-d", "80-70"], "--istio-local-exclude-ports \"80-70\""),
            (&["-i", "10.0.0.0/33"], "--istio-service-cidr \"10.0.0.0/33\""),
            (&["-x", "*"], "--istio-service-exclude-cidr \"*\""),
            (&["-u", "-1"], "--proxy-uid \"-1\""),
            (&["-u", "nobody-knows-me"], "no such user"),
            (&["-g", "nobody-knows-me"], "no such group"),
            (&["-c", "abcdefghijklmnop"], "16 bytes"),
            (&["-m", "FOO"], "REDIRECT or TPROXY"),
            (&["-t", "0x1ffffffff"], "--istio-inbound-tproxy-mark \"0x1ffffffff\""),
            (&["-c", "a\nb"], "\"a\\nb\""),
            (&["-c", "a\"b"], "a\\\"b"),
            (&["-c", &"x".repeat(300)], "1 to 15 characters"),
            (&["--network-namespace", "/no/such/namespace"], "no such network namespace"),
            (&["--no-such-flag"], "--no-such-flag"),
            (&["-p"], "--envoy-port"),
        ];
        let routes = ip("rule");
        for (words, expected) in cases {
            let output = istio_init(words);
            let printed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{words:?}: {printed}");
            let errors: Vec<&str> = printed.lines().filter(|line| !line.contains("IPv6 is off")).collect();
            assert!(errors.len() == 1 && printed.contains(expected), "{words:?}: {printed}");
            assert_eq!((nft("list ruleset").as_str(), ip("rule")), ("", routes.clone()), "{words:?}");
        }
    });
}

#[test]
fn without_privilege_the_error_names_the_capability() {
    use std::os::unix::process::CommandExt;
    if !needs_root() {
        return;
    }
    in_fresh_netns(|| {
        let mut command = std::process::Command::new(runnable_by_anyone(&example("istio-init")));
        let output = command.args(REDIRECT).uid(65534).gid(65534).output().expect("the example runs");
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert!(printed.contains("CAP_NET_ADMIN"), "{printed}");
        assert_eq!(nft("list ruleset"), "");
    });
}

#[test]
fn another_namespace_is_reached_by_its_path() {
    in_fresh_netns(|| {
        let pod = NetNs::fresh();
        let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&pod.file));
        istio_init_ok(&[REDIRECT, &["--network-namespace", &path, "--cni-mode"]].concat());
        assert_eq!(nft("list ruleset"), "");
        assert!(pod.run(|| nft("list tables")).contains("istio-proxy-nat"));
    });
}

#[test]
fn a_plugin_never_captures_the_node_it_runs_on() {
    in_fresh_netns(|| {
        let node = format!(
            "/proc/self/task/{}/ns/net",
            std::fs::read_link("/proc/thread-self").expect("/proc").file_name().expect("a thread").to_string_lossy()
        );
        // The example is a separate process in this thread's namespace: both paths lead there.
        let path = format!("/proc/{}{}", std::process::id(), node.trim_start_matches("/proc/self"));
        let output = istio_init(&[REDIRECT, &["--network-namespace", &path, "--cni-mode"]].concat());
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && printed.contains("give the pod's"), "{printed}");
        assert_eq!(nft("list ruleset"), "");
    });
}

#[test]
fn validation_fails_with_126_where_nothing_is_captured() {
    in_fresh_netns(|| {
        let output = istio_init(&["--skip-rule-apply", "--run-validation", "--probe-timeout", "200ms"]);
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(126), "{printed}");
        // With uid 0 among the proxy's uids, this program's own connections are captured.
        istio_init_ok(&[REDIRECT, &["-u", "0,1337", "--run-validation"]].concat());
    });
}

#[test]
fn legacy_tables_are_reported_with_the_command_that_lists_them() {
    in_fresh_netns(|| {
        let legacy = support::command("iptables-legacy").args("-t nat -A OUTPUT -j RETURN".split(' ')).output();
        if !legacy.is_ok_and(|output| output.status.success()) {
            // A kernel without legacy xtables, or a machine without the program, has no such
            // tables.
            eprintln!("SKIP: no legacy xtables here");
            return;
        }
        let output = istio_init(&[REDIRECT, &["--plan"]].concat());
        let plan = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            plan.contains("# legacy xtables have tables here (nat)") && plan.contains("iptables-legacy-save"),
            "{plan}"
        );
        istio_init_ok(REDIRECT);
        assert_eq!(
            istio_init(&[REDIRECT, &["--verify"]].concat()).status.code(),
            Some(0),
            "whose they are cannot be told"
        );
    });
}

/// Configurations that follow each other, each with another difference.
fn configurations() -> Vec<IstioConfig> {
    let cidrs = |texts: &[&str]| ServiceCidrs::only(texts.iter().map(|text| text.parse().expect("a network")));
    let mut all = Vec::new();
    for interception in [Interception::Redirect, Interception::Tproxy] {
        for services in [ServiceCidrs::All, cidrs(&["10.77.0.0/16", "10.96.0.0/12", "172.16.0.0/12"])] {
            for ports in [
                InboundPorts::All { except: [15021, 15090].into_iter().collect() },
                InboundPorts::Only([8080, 9090].into_iter().collect()),
                InboundPorts::None,
            ] {
                for dns in [false, true] {
                    let builder = IstioConfig::builder().ipv6().interception(interception);
                    let builder = builder.service_cidrs(services.clone()).inbound_ports(ports.clone());
                    let builder = if dns { builder.dns(DnsCapture::All) } else { builder };
                    all.push(builder.build().expect("a valid configuration"));
                }
            }
        }
    }
    all
}

#[test]
fn every_transition_is_one_transaction_that_no_connection_bypasses() {
    if !needs_root() {
        return;
    }
    let configurations = configurations();
    let pod = Pod::new();
    let (mut installer, mut kernel) =
        pod.run(|| (pod::Pod::open().expect("sockets in the pod"), kernel::Kernel::open().expect("a socket")));
    let first = configurations.first().expect("there are some");
    installer.install(first).expect("installed");
    let (load, count) = under_load(&pod, 4, || {
        let mut count = 0;
        for from in &configurations {
            for to in &configurations {
                installer.install(from).expect("installed");
                let generation = kernel.generation().expect("a generation").0;
                installer.install(to).expect("changed");
                let commits = kernel.generation().expect("a generation").0 - generation;
                // New sets are added first, where no rule uses them; then everything changes at
                // once.
                let most =
                    if from.service_cidrs != to.service_cidrs || from.interception != to.interception { 2 } else { 1 };
                assert!(commits <= most && (commits == 0) == (from == to), "{commits}: {from:?} to {to:?}");
                count += commits;
                assert!(installer.plan(to, Leftovers::Keep).expect("readable").is_in_sync());
            }
        }
        count
    });
    println!("{count} transitions: {load:?}");
    assert_eq!((load.escaped, load.failed, load.broken), (0, 0, 0), "{load:?}");
    assert!(load.proxied > 1_000, "{load:?}");
}

#[test]
fn no_connection_bypasses_or_breaks_during_a_thousand_replaces() {
    if !needs_root() {
        return;
    }
    let config = |interception, exclude: u16| {
        let ports = InboundPorts::All { except: [15021, exclude].into_iter().collect() };
        let builder = IstioConfig::builder().ipv6().service_cidrs(ServiceCidrs::All).inbound_ports(ports);
        builder.interception(interception).build().expect("a valid configuration")
    };
    let pod = Pod::new();
    let mut kernel = pod.run(|| pod::Pod::open().expect("sockets in the pod"));
    kernel.install(&config(Interception::Redirect, 15090)).expect("installed");
    let (load, ()) = under_load(&pod, 4, || {
        for round in 0..1_000 {
            let interception = if round % 4 == 3 { Interception::Tproxy } else { Interception::Redirect };
            kernel.install(&config(interception, 15_000 + round % 20)).expect("replaced");
        }
    });
    println!("{load:?}");
    assert_eq!((load.escaped, load.failed, load.broken), (0, 0, 0), "{load:?}");
    assert!(load.proxied > 1_000, "{load:?}");
}
