//! The drop-in as its users run it: recorded answers, every recorded case, idempotence, clean-up, bad input, load.

mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::fs;
use std::process::Output;

use nftmesh::kernel;
use nftmesh::mesh::istio::{InboundPorts, Interception, IstioConfig, ServiceCidrs};
use support::{NetNs, example, in_fresh_netns, ip, needs_root, nft, nft_script, shared_dir};
use traffic::{Pod, RECORDINGS, probe_matrix, reference_matrix, under_load};

/// Runs the example in this thread's namespace.
fn istio_init(words: &[&str]) -> Output {
    support::command(&example("istio-init").to_string_lossy()).args(words).output().expect("the example runs")
}

#[track_caller]
fn istio_init_ok(words: &[&str]) -> String {
    let output = istio_init(words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "istio-init {words:?}: {}: {said}", output.status);
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
fn the_recorded_answers_are_given() {
    if !needs_root() {
        return;
    }
    for recording in RECORDINGS {
        let apply = || shell(&recording.command(&example("istio-init")));
        recording.assert_answers(&probe_matrix(apply, recording.listeners));
    }
}

#[test]
fn the_scripts_of_the_reference_say_the_same() {
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
            assert!(nft("list ruleset").contains("table inet istio-proxy-nat"), "{command}");
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
        istio_init_ok(TPROXY);
        assert_eq!(nft("list ruleset"), rules);
        assert_eq!(format!("{}{}", ip("rule"), ip("route show table 133")), routes);
    });
}

#[test]
fn a_smaller_configuration_leaves_nothing_of_the_larger_one() {
    in_fresh_netns(|| {
        let rules_before = ip("rule");
        istio_init_ok(&[TPROXY, &["--drop-invalid", "--redirect-dns", "--capture-all-dns"]].concat());
        assert_eq!(nft("list tables").lines().count(), 3);
        istio_init_ok(REDIRECT);
        assert_eq!(nft("list tables"), "table inet istio-proxy-raw\ntable inet istio-proxy-nat\n");
        assert!(!nft("list table inet istio-proxy-raw").contains("zone"), "only IPv6 stays untracked");
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
fn a_refused_transaction_takes_its_routes_back() {
    in_fresh_netns(|| {
        // A table of that name that somebody owns: it can't be deleted.
        let owned = nftmesh::model::Table::new(nftmesh::model::Family::Inet, "istio-proxy-nat");
        let mut owner = kernel::Kernel::open().expect("a socket");
        let table = nftmesh::model::Ruleset::new().table(owned.flags(nftmesh::model::TableFlags::OWNER));
        owner.commit(&nftmesh::plan::Transaction::add(table)).expect("a table of our own");
        let before = (nft("list ruleset"), ip("rule"), ip("route show table all"));
        let output = istio_init(TPROXY);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("istio-proxy-nat belongs to another program"), "{said}");
        assert_eq!((nft("list ruleset"), ip("rule"), ip("route show table all")), before);
    });
}

#[test]
fn bad_input_is_one_line_exit_1_and_nothing_changes() {
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
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
            let errors: Vec<&str> = said.lines().filter(|line| !line.contains("IPv6 is off")).collect();
            assert!(errors.len() == 1 && said.contains(expected), "{words:?}: {said}");
            assert_eq!((nft("list ruleset").as_str(), ip("rule")), ("", routes.clone()), "{words:?}");
        }
    });
}

#[test]
fn without_privilege_the_error_says_so() {
    use std::os::unix::process::CommandExt;
    if !needs_root() {
        return;
    }
    in_fresh_netns(|| {
        let mut command = support::command(&example("istio-init").to_string_lossy());
        let output = command.args(REDIRECT).uid(65534).gid(65534).output().expect("the example runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("CAP_NET_ADMIN"), "{said}");
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
        // The example is a process of its own in this thread's namespace: both paths lead there.
        let path = format!("/proc/{}{}", std::process::id(), node.trim_start_matches("/proc/self"));
        let output = istio_init(&[REDIRECT, &["--network-namespace", &path, "--cni-mode"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("give the pod's"), "{said}");
        assert_eq!(nft("list ruleset"), "");
    });
}

#[test]
fn validation_fails_with_126_where_nothing_is_captured() {
    in_fresh_netns(|| {
        let output = istio_init(&["--skip-rule-apply", "--run-validation", "--probe-timeout", "200ms"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(126), "{said}");
        // As uid 0 among the proxy's uids, this program's own connections are captured.
        istio_init_ok(&[REDIRECT, &["-u", "0,1337", "--run-validation"]].concat());
    });
}

#[test]
fn a_thousand_replaces_under_load_let_nothing_escape_and_break_nothing() {
    if !needs_root() {
        return;
    }
    let config = |interception, exclude: u16| {
        let ports = InboundPorts::All { except: [15021, exclude].into_iter().collect() };
        let builder = IstioConfig::builder().ipv6().service_cidrs(ServiceCidrs::All).inbound_ports(ports);
        builder.interception(interception).build().expect("a valid configuration")
    };
    let pod = Pod::new();
    let mut kernel = pod.run(|| kernel::Pod::open().expect("sockets in the pod"));
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
