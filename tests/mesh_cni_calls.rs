//! Calls of the example `mesh-cni` that a runtime should not make, or makes late, or again: each
//! has the answer of the specification, and none changes what it should not.
//!
//! Source: <https://www.cni.dev/docs/spec/>, version 1.1.0.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

#[path = "support/cni.rs"]
mod cni;
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use cni::{Answer, call_with, path_of, pod};
use serde_json::{Value, json};
use support::{NetNs, example, in_fresh_netns, ip, nft, nft_script};

fn call(command: &str, netns: &str, input: &str) -> Answer {
    call_with(command, netns, &[], input)
}

/// TPROXY, which has routes besides.
fn config() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "n", "type": "mesh-cni", "mesh": "istio",
        "options": {
            "istio-service-cidr": "*", "istio-inbound-ports": "*", "istio-inbound-interception-mode": "TPROXY",
            "proxy-uid": 1337,
        },
        "prevResult": {"cniVersion": "1.1.0", "ips": [{"address": "10.88.0.2/16"}]},
    })
}

fn with(key: &str, value: Value) -> String {
    let mut config = config();
    config[key] = value;
    config.to_string()
}

fn rules(pod: &NetNs) -> String {
    pod.run(|| nft("list ruleset"))
}

#[track_caller]
fn assert_refused(answer: &Answer, code: u64, part: &str, what: &str) {
    let (found, text) = answer.error();
    assert_eq!(found, code, "{what}: {text}");
    assert!(text.contains(part), "{what}: {text}");
}

#[test]
fn input_that_cannot_be_read_has_code_6_or_7_and_changes_nothing() {
    in_fresh_netns(|| {
        let (pod, good) = (pod(), config().to_string());
        let netns = path_of(&pod);
        let nested =
            |depth: usize| format!(r#"{{"cniVersion":"1.1.0","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        for (input, code) in [
            (String::new(), 6),
            (" \n".to_owned(), 6),
            ("\u{feff}{}".to_owned(), 6),
            (good.replace('}', ""), 6),
            (format!("{good}{good}"), 6),
            (format!("{good},"), 6),
            (good.replace("1337", "NaN"), 6),
            (good.replace("1337", "01337"), 6),
            (good.replace(r#""name""#, "'name'"), 6),
            ("null".to_owned(), 7),
            ("7".to_owned(), 7),
            (r#""{}""#.to_owned(), 7),
            ("[{}]".to_owned(), 7),
            (with("cniVersion", json!(1.1)), 7),
            (with("cniVersion", Value::Null), 7),
            (with("cniVersion", json!(["1.1.0"])), 7),
            (with("mesh", json!(["istio"])), 7),
            (with("hold", json!("yes")), 7),
            (with("options", json!([])), 7),
            (with("args", json!([])), 7),
            (with("args", json!({"cni": {"mesh": []}})), 7),
            (with("args", json!({"cni": {"pod": "p"}})), 7),
            (with("runtimeConfig", json!("x")), 7),
            (with("exclude_namespaces", json!("kube-system")), 7),
            (with("prevResult", json!(7)), 7),
            (with("prevResult", json!([])), 7),
            (with("prevResult", json!("{}")), 7),
            (with("prevResult", Value::Null), 7),
            (nested(100_000), 7),
            (good.replace(r#""*""#, &nested(100_000)), 7),
            (good.replacen('{', r#"{"mesh":"linkerd","#, 1), 7),
            (good.replacen('{', r#"{"hold":true,"hold":false,"#, 1), 7),
        ] {
            for command in ["ADD", "CHECK"] {
                let shown: String = input.chars().take(200).collect();
                assert_refused(&call(command, &netns, &input), code, "", &format!("{command} {shown}"));
            }
            assert_eq!(rules(&pod), "");
        }
        assert_eq!(nft("list ruleset"), "", "the node's");
    });
}

#[test]
fn null_is_as_if_it_were_not_given() {
    in_fresh_netns(|| {
        let pod = pod();
        let mut asked = config();
        for key in ["hold", "exclude_namespaces", "log_file", "runtimeConfig", "args", "kubernetes", "capabilities"] {
            asked[key] = Value::Null;
        }
        call("ADD", &path_of(&pod), &asked.to_string()).succeeds();
        assert_eq!(call("CHECK", &path_of(&pod), &config().to_string()).succeeds(), "");
    });
}

#[test]
fn a_version_that_is_not_known_has_code_1_whatever_the_command() {
    in_fresh_netns(|| {
        let pod = pod();
        for version in ["", "1", "0.1.0", "0.2.0", "0.5.0", "1.0", "v1.0.0", "1.0.0 ", "1.0.1", "1.2.0", "99.0.0"] {
            for command in ["ADD", "CHECK", "DEL", "GC", "STATUS"] {
                let answer = call(command, &path_of(&pod), &with("cniVersion", json!(version)));
                assert_refused(&answer, 1, "0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0", &format!("{command} {version:?}"));
            }
        }
        assert_eq!(rules(&pod), "");
    });
}

#[test]
fn variables_that_are_missing_are_all_named_and_those_that_cannot_be_are_refused() {
    in_fresh_netns(|| {
        let (pod, good) = (pod(), config().to_string());
        let netns = path_of(&pod);
        let none = [("CNI_CONTAINERID", ""), ("CNI_IFNAME", ""), ("CNI_NETNS", ""), ("CNI_PATH", "")];
        for (command, named) in [
            ("ADD", "[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME] missing"),
            ("CHECK", "[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME] missing"),
            ("DEL", "[CNI_CONTAINERID,CNI_IFNAME] missing"),
            ("GC", "[CNI_PATH] missing"),
            ("", "unknown CNI_COMMAND"),
            ("add", "unknown CNI_COMMAND: add"),
            ("ADD ", "unknown CNI_COMMAND"),
            ("UPDATE", "unknown CNI_COMMAND: UPDATE"),
        ] {
            assert_refused(&call_with(command, "", &none, &good), 4, named, command);
        }
        for more in [
            ("CNI_CONTAINERID", "_x"),
            ("CNI_CONTAINERID", "a b"),
            ("CNI_CONTAINERID", "a/../b"),
            ("CNI_CONTAINERID", "é"),
            ("CNI_IFNAME", "."),
            ("CNI_IFNAME", ".."),
            ("CNI_IFNAME", "sixteen-bytes-it"),
            ("CNI_IFNAME", "a:b"),
            ("CNI_IFNAME", "a b"),
            ("CNI_IFNAME", "a\nb"),
        ] {
            for command in ["ADD", "CHECK", "DEL"] {
                assert_refused(&call_with(command, &netns, &[more], &good), 4, more.0, &format!("{command} {more:?}"));
            }
        }
        for arguments in ["x", "=x", "a=b;c", "IgnoreUnknown=1;K8S_POD_NAME"] {
            let more = [("CNI_ARGS", arguments)];
            assert_refused(&call_with("ADD", &netns, &more, &good), 4, "invalid CNI_ARGS", arguments);
            // Nothing that a pod's end does not need may keep it from it.
            assert_eq!(call_with("DEL", &netns, &more, &good).succeeds(), "");
        }
        assert_eq!(rules(&pod), "");
    });
}

#[test]
fn arguments_of_kubernetes_may_be_absent_empty_doubled_or_odd() {
    in_fresh_netns(|| {
        let mut asked = config();
        asked["exclude_namespaces"] = json!(["kube-system"]);
        for (arguments, captured) in [
            ("", true),
            (";;", true),
            ("IgnoreUnknown=1", true),
            ("K8S_POD_NAMESPACE=", true),
            ("K8S_POD_NAMESPACE=default;K8S_POD_NAME=p;", true),
            ("K8S_POD_NAMESPACE=kube-system", false),
            // As for the reference library, the last one counts.
            ("K8S_POD_NAMESPACE=default;K8S_POD_NAMESPACE=kube-system", false),
            ("K8S_POD_NAMESPACE=kube-system;K8S_POD_NAMESPACE=default", true),
            ("k8s_pod_namespace=kube-system", true),
            ("K8S_POD_NAMESPACE=kube-system=x", true),
            ("A=b=c;d==;IP=10.9.9.9", true),
        ] {
            let pod = pod();
            let printed = call_with("ADD", &path_of(&pod), &[("CNI_ARGS", arguments)], &asked.to_string()).succeeds();
            assert_eq!(printed, format!("{}\n", asked["prevResult"]), "{arguments}");
            assert_eq!(!rules(&pod).is_empty(), captured, "{arguments}");
        }
        asked["kubernetes"] = json!(true);
        for arguments in ["", "K8S_POD_NAMESPACE=default", "K8S_POD_NAME=p", "K8S_POD_NAME=p;K8S_POD_NAMESPACE="] {
            let pod = pod();
            call_with("ADD", &path_of(&pod), &[("CNI_ARGS", arguments)], &asked.to_string()).succeeds();
            assert_eq!(rules(&pod), "", "{arguments}");
        }
        // A pod of which nothing else is known is not guessed about.
        let more = [("CNI_ARGS", "K8S_POD_NAMESPACE=default;K8S_POD_NAME=p")];
        assert_refused(&call_with("ADD", &path_of(&pod()), &more, &asked.to_string()), 11, "default", "unknown");
    });
}

#[test]
fn a_path_that_is_no_network_namespace_has_code_3_and_is_no_obstacle_to_del() {
    in_fresh_netns(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").expect("written");
        symlink(at("loop"), at("loop")).expect("a link");
        symlink("/nowhere", at("broken")).expect("a link");
        let made = Command::new("mkfifo").arg(at("fifo")).status();
        assert!(made.is_ok_and(|status| status.success()));
        let names =
            ["file", "loop", "broken", "fifo", "none", "file/below", "."].map(|name| at(name).display().to_string());
        let others = ["/proc/self/ns/mnt", "/proc/self/ns/uts", "/proc/4194305/ns/net", "relative", "/dev/null"];
        let good = config().to_string();
        for path in names.iter().map(String::as_str).chain(others) {
            for command in ["ADD", "CHECK"] {
                assert_refused(&call(command, path, &good), 3, "", path);
            }
            assert_eq!(call("DEL", path, &good).succeeds(), "", "{path}");
        }
        // The runtime calls DEL after an ADD that was refused.
        for path in ["/proc/self/ns/net", "/proc/thread-self/ns/net"] {
            nft_script("table inet istio-proxy-nat { }");
            assert_refused(&call("ADD", path, &good), 4, "the node's own namespace", path);
            assert_eq!(call("DEL", path, &good).succeeds(), "");
            assert_eq!(nft("list tables"), "table inet istio-proxy-nat\n", "the node's");
        }
    });
}

#[test]
fn del_succeeds_again_without_result_with_another_configuration_and_after_the_namespace() {
    in_fresh_netns(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("netns");
        let pod = pod();
        symlink(path_of(&pod), &path).expect("a link");
        let netns = path.display().to_string();
        let mut others = vec![config().to_string(), with("prevResult", Value::Null), with("prevResult", json!([]))];
        others.push(with("options", json!({"no-such": 1})));
        others.push(with("options", json!(7)));
        others.push(with("mesh", json!("none")));
        others.push(with("mesh", json!("linkerd")));
        others.push(with("hold", json!("yes")));
        others.push(r#"{"cniVersion":"0.3.1"}"#.to_owned());
        for input in &others {
            call("ADD", &netns, &config().to_string()).succeeds();
            assert!(!rules(&pod).is_empty());
            for _ in 0..3 {
                assert_eq!(call("DEL", &netns, input).succeeds(), "", "{input}");
                assert_eq!(rules(&pod), "", "{input}");
                assert!(!pod.run(|| ip("rule")).contains("fwmark"), "{input}");
            }
        }
        call("ADD", &netns, &config().to_string()).succeeds();
        fs::remove_file(&path).expect("it is there");
        drop(pod);
        for input in &others {
            assert_eq!(call("DEL", &netns, input).succeeds(), "", "{input}");
        }
        assert_refused(&call("CHECK", &netns, &config().to_string()), 3, "netns", "the namespace is gone");
    });
}

#[test]
fn check_names_what_drifted_until_add_repairs_it() {
    in_fresh_netns(|| {
        let (pod, good) = (pod(), config().to_string());
        let netns = path_of(&pod);
        assert_refused(&call("CHECK", &netns, &good), 101, "not in place", "never added");
        for drift in [
            "flush chain ip istio-proxy-nat istio-output",
            "add rule ip istio-proxy-nat istio-output tcp dport 1 accept",
            "insert rule ip istio-proxy-nat output accept",
            "delete table ip istio-proxy-mangle",
            "add chain ip istio-proxy-nat other",
            "add table ip istio-proxy-raw",
            "flush ruleset",
        ] {
            call("ADD", &netns, &good).succeeds();
            assert_eq!(call("CHECK", &netns, &good).succeeds(), "");
            pod.run(|| nft_script(drift));
            assert_refused(&call("CHECK", &netns, &good), 101, "istio-proxy", drift);
        }
        for drift in ["rule del fwmark 1337", "route flush table 133", "rule add fwmark 1337 lookup 134 priority 1"] {
            call("ADD", &netns, &good).succeeds();
            assert_eq!(call("CHECK", &netns, &good).succeeds(), "");
            pod.run(|| ip(drift));
            let answer = call("CHECK", &netns, &good);
            if drift.contains("add") {
                // It is somebody else's.
                assert_eq!(answer.succeeds(), "");
            } else {
                assert_refused(&answer, 101, "", drift);
            }
        }
        // Of others, and other options.
        pod.run(|| nft_script("table ip others { chain c { type filter hook output priority 0; }; }"));
        assert_eq!(call("CHECK", &netns, &good).succeeds(), "");
        let other = with("options", json!({"istio-service-cidr": "*", "proxy-uid": 1337}));
        assert_refused(&call("CHECK", &netns, &other), 101, "istio-proxy", "other options");
    });
}

#[test]
fn gc_succeeds_with_every_list_and_leaves_pods_alone() {
    in_fresh_netns(|| {
        let (pod, good) = (pod(), config().to_string());
        call("ADD", &path_of(&pod), &good).succeeds();
        let before = rules(&pod);
        let one = |id: &str| json!({"containerID": id, "ifname": "eth0"});
        for list in [json!([]), json!([one("c1")]), json!([one("c2"), one("c3"), one("c2")]), Value::Null] {
            let asked = with("cni.dev/valid-attachments", list);
            assert_eq!(call_with("GC", "", &[("CNI_CONTAINERID", ""), ("CNI_IFNAME", "")], &asked).succeeds(), "");
        }
        assert_eq!(call("GC", "", &good).succeeds(), "");
        assert_eq!(rules(&pod), before);
        for command in ["GC", "STATUS"] {
            for version in ["0.3.1", "0.4.0", "1.0.0"] {
                let answer = call(command, "", &with("cniVersion", json!(version)));
                assert_refused(&answer, 1, &format!("config version does not allow {command}"), version);
            }
        }
    });
}

#[test]
fn status_has_code_50_where_nf_tables_may_not_be_used() {
    if !support::needs_root() {
        return;
    }
    in_fresh_netns(|| {
        let none = [("CNI_CONTAINERID", ""), ("CNI_IFNAME", ""), ("CNI_PATH", "")];
        assert_eq!(call_with("STATUS", "", &none, &config().to_string()).succeeds(), "");
        assert_refused(&call("STATUS", "", &with("mesh", json!("none"))), 7, "none", "no such mesh");
        let program = support::anyone::runnable_by_anyone(&example("mesh-cni"));
        let mut asked = Command::new(program);
        asked.env_clear().env("CNI_COMMAND", "STATUS").uid(65534).gid(65534);
        asked.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = asked.spawn().expect("it starts");
        let mut input = child.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut input, config().to_string().as_bytes()).expect("it reads");
        drop(input);
        assert_refused(&cni::end(child), 50, "nf_tables cannot be used here", "nobody");
    });
}
