//! The example `mesh-node`: the rules of many namespaces are kept in place by one process.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

#[path = "support/node.rs"]
mod node;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};

use node::{Node, path_of, tables};
use support::patience::{comes_true_within, patience};
use support::running::{PATIENCE, Running};
use support::{NetNs, example, in_fresh_netns, ip, nft, sys};

#[track_caller]
fn gets_rules(pod: &NetNs) {
    assert!(comes_true_within(patience(PATIENCE), || tables(pod).contains("istio-proxy-nat")), "{}", tables(pod));
}

fn run(words: &[&str]) -> Output {
    Command::new(example("mesh-node")).args(words).output().expect("it starts")
}

const SIDECAR: &str = "* istio:-i '*' -b '*'\n";

#[test]
fn every_pod_gets_its_rules_and_keeps_them_and_what_is_undone_names_who_did_it() {
    in_fresh_netns(|| {
        let node = Node::new(SIDECAR);
        let pods: Vec<NetNs> = (0..5).map(|number| node.pod(&format!("pod-{number}"))).collect();
        let mut running = node.start(&[]);
        running.until("mesh-node: 5 namespaces are kept");
        pods.iter().for_each(gets_rules);
        // One rule, and a whole table.
        pods[1].run(|| nft("flush chain ip istio-proxy-nat istio-output"));
        let printed = running.until(&format!("mesh-node: {}: restored", node.pods.join("pod-1").display())).join("\n");
        assert!(printed.contains("pod-1: \"nft\" (pid "), "{printed}");
        assert!(printed.contains("pod-1:   delete rule ip istio-proxy-nat istio-output"), "{printed}");
        assert!(!printed.contains("pod-2"), "only the pod that was changed: {printed}");
        pods[2].run(|| nft("delete table ip istio-proxy-nat"));
        running.until(&format!("mesh-node: {}: restored", node.pods.join("pod-2").display()));
        pods.iter().for_each(|pod| assert!(tables(pod).contains("istio-proxy-nat")));
        assert_eq!(running.end("TERM").0, Some(0));
        pods.iter().for_each(|pod| assert!(tables(pod).contains("istio-proxy-nat"), "the rules stay"));
    });
}

#[test]
fn pods_that_come_are_kept_and_pods_that_go_are_forgotten() {
    in_fresh_netns(|| {
        let node = Node::new(SIDECAR);
        let first = node.pod("first");
        let mut running = node.start(&[]);
        running.until("mesh-node: 1 namespaces are kept");
        let late = node.pod("late");
        gets_rules(&late);
        running.until("mesh-node: 2 namespaces are kept");
        // A runtime makes the file first, and mounts the namespace on it later.
        let soon = node.pods.join("soon");
        fs::write(&soon, "").expect("written");
        let third = NetNs::fresh();
        let link = node.folder.path().join("link");
        symlink(path_of(&third), &link).expect("a link");
        fs::rename(&link, &soon).expect("renamed");
        gets_rules(&third);
        fs::remove_file(node.pods.join("first")).expect("it is there");
        running.until(&format!("mesh-node: {}: gone", node.pods.join("first").display()));
        // Nobody keeps it any more.
        first.run(|| nft("delete table ip istio-proxy-nat"));
        late.run(|| nft("delete table ip istio-proxy-nat"));
        gets_rules(&late);
        assert_eq!(tables(&first), "");
        assert_eq!(running.end("TERM").0, Some(0));
    });
}

#[test]
fn a_restart_changes_nothing_and_the_counters_stay() {
    in_fresh_netns(|| {
        let node = Node::new(SIDECAR);
        let pod = node.pod("pod");
        let mut running = node.start(&[]);
        running.until("mesh-node: 1 namespaces are kept");
        running.child.kill().expect("it runs");
        running.child.wait().expect("it ends");
        let handles = || pod.run(|| nft("-a list ruleset"));
        let before = handles();
        let mut running = node.start(&[]);
        let printed = running.until("mesh-node: 1 namespaces are kept").join("\n");
        assert!(!printed.contains("installed") && !printed.contains("changed"), "{printed}");
        assert_eq!(handles(), before);
        assert_eq!(running.end("INT").0, Some(0));
    });
}

#[test]
fn the_first_line_that_fits_a_pod_counts() {
    in_fresh_netns(|| {
        let node = Node::new(
            "# a comment\nplain none\nblue-*  istio:-i 10.0.0.0/8\nlink linkerd:-p 4143 -o 4140 -u 2102\n* istio:ISTIO_DUAL_STACK=true -i '*'\n",
        );
        let [plain, blue, link, other] = ["plain", "blue-1", "link", "other"].map(|name| node.pod(name));
        let mut running = node.start(&[]);
        running.until("mesh-node: 3 namespaces are kept");
        assert_eq!(tables(&plain), "");
        assert_eq!(tables(&link), "table inet linkerd-proxy\n");
        link.run(|| nft("delete table inet linkerd-proxy"));
        let is_back = || tables(&link) == "table inet linkerd-proxy\n";
        assert!(comes_true_within(patience(PATIENCE), is_back), "{}", tables(&link));
        assert!(blue.run(|| nft("list ruleset")).contains("10.0.0.0/8"));
        assert!(!other.run(|| nft("list ruleset")).contains("10.0.0.0/8"));
        assert_eq!(running.end("TERM").0, Some(0));
    });
}

/// Kuma captures IPv6 where an interface has any address of it, as `kumactl` and `kuma-init` do.
#[test]
fn a_pod_with_a_link_local_address_alone_has_ipv6_for_kuma() {
    in_fresh_netns(|| {
        let node = Node::new("* kuma:--redirect-all-dns-traffic\n");
        let [without, with] = ["without", "with"].map(|name| node.pod(name));
        with.run(|| {
            ip("link add out0 type veth peer name out1");
            ip("link set out1 up");
            ip("link set out0 up");
            assert!(comes_true_within(patience(PATIENCE), || ip("-6 addr show dev out0").contains("fe80")));
        });
        let mut running = node.start(&[]);
        running.until("mesh-node: 2 namespaces are kept");
        assert_eq!(tables(&without), "table ip kuma-mesh\n");
        assert_eq!(tables(&with), "table inet kuma-mesh\n");
        assert_eq!(running.end("TERM").0, Some(0));
    });
}

#[test]
fn a_list_is_followed_and_the_namespace_of_the_node_is_left_alone() {
    in_fresh_netns(|| {
        let node = Node::new(SIDECAR);
        let list = node.folder.path().join("list");
        let (one, two) = (NetNs::fresh(), NetNs::fresh());
        let write = |pods: &[&NetNs]| {
            let lines: String = pods.iter().map(|pod| format!("{}\n", path_of(pod).display())).collect();
            let new = node.folder.path().join("list.new");
            fs::write(&new, format!("# the node itself\n/proc/self/ns/net\n{lines}")).expect("written");
            fs::rename(new, &list).expect("renamed");
        };
        write(&[&one]);
        let mut running = node.start(&["--list", &list.to_string_lossy()]);
        running.until("mesh-node: 1 namespaces are kept");
        gets_rules(&one);
        write(&[&two]);
        gets_rules(&two);
        one.run(|| nft("delete table ip istio-proxy-nat"));
        two.run(|| nft("delete table ip istio-proxy-nat"));
        gets_rules(&two);
        assert_eq!(tables(&one), "");
        assert_eq!(nft("list tables"), "", "the namespace in which it runs");
        assert_eq!(running.end("TERM").0, Some(0));
    });
}

#[test]
fn a_pod_that_somebody_else_keeps_is_refused_until_that_one_ends() {
    in_fresh_netns(|| {
        let node = Node::new(SIDECAR);
        let pod = node.pod("pod");
        let mut guard = pod.run(|| Running::start("guard", &["-i", "10.0.0.0/8"], Stdio::null()));
        guard.until("guard: watching");
        let mut running = node.start(&["--metrics", "127.0.0.1:15090"]);
        assert!(comes_true_within(patience(PATIENCE), || metrics()
            .is_some_and(|text| text.contains("mesh_node_pods_refused 1\n"))));
        assert!(http("/healthz").expect("it serves").starts_with("HTTP/1.1 503"));
        assert_eq!(guard.end("TERM").0, Some(0));
        running.until("mesh-node: 1 namespaces are kept");
        assert!(!pod.run(|| nft("list ruleset")).contains("10.0.0.0/8"));
        assert_eq!(running.end("TERM").0, Some(0));
    });
}

#[test]
fn metrics_count_pods_and_repairs_and_name_the_last_drift() {
    in_fresh_netns(|| {
        sys::loopback_up().expect("lo exists");
        let node = Node::new(SIDECAR);
        let pods = [node.pod("a"), node.pod("b")];
        let mut running = node.start(&["--metrics", "127.0.0.1:15090", "--log_as_json"]);
        let ready = || metrics().is_some_and(|text| text.contains("mesh_node_pods_in_sync 2\n"));
        assert!(comes_true_within(patience(PATIENCE), ready));
        pods[0].run(|| nft("delete table ip istio-proxy-nat"));
        assert!(comes_true_within(patience(PATIENCE), || metrics()
            .is_some_and(|text| text.contains("mesh_node_healed_total 1\n"))));
        let text = metrics().expect("it serves");
        for part in [
            "mesh_node_pods 2\n",
            "mesh_node_pods_refused 0\n",
            "mesh_node_install_seconds_count 2\n",
            "mesh_node_restore_seconds_count 1\n",
            "/a\",by=\"\\\"nft\\\" (pid ",
            "# EOF",
        ] {
            assert!(text.contains(part), "without {part:?}: {text}");
        }
        assert!(http("/healthz").expect("it serves").ends_with("ok\n"));
        assert!(http("/else").expect("it serves").starts_with("HTTP/1.1 404"));
        running.child.kill().expect("it runs");
        running.child.wait().expect("it ends");
        let lines: Vec<String> = running.printed.try_iter().collect();
        assert!(lines.len() > 3, "{lines:?}");
        for line in lines {
            let object: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line}"));
            assert_eq!(object["scope"], "mesh-node", "{line}");
        }
    });
}

fn metrics() -> Option<String> {
    http("/metrics")
}

fn http(path: &str) -> Option<String> {
    let mut stream = TcpStream::connect("127.0.0.1:15090").ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn a_wrong_configuration_is_one_line_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config");
    let name = file.to_string_lossy().into_owned();
    for (text, why) in [
        ("", "it has no line"),
        ("pod", "line 1: only a name"),
        ("\n\n* linker:x", "line 3: "),
        ("a*b none", "line 1: * is only known at the end"),
        ("* istio:-i", "line 1: "),
        ("* istio:NO_SUCH=1", "line 1: istio: NO_SUCH is not a variable"),
        ("* istio:-i 'x", "is not closed"),
    ] {
        fs::write(&file, text).expect("written");
        let output = run(&["--config", &name, "--check"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{text:?}: {stderr}");
        assert!(stderr.contains(why), "{text:?}: {stderr}");
    }
    fs::write(&file, "* istio:-i '*'\n").expect("written");
    let output = run(&["--config", &name, "--check"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 lines, no errors\n");
    let output = run(&["--config", "/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
}
