//! The example `mesh-cni` with Linkerd: after each recorded call of `linkerd-cni` the pod has rules
//! that are equal for every packet, but for that program's defects.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

#[path = "support/cni.rs"]
mod cni;
mod support;

use std::fs;
use std::path::Path;

use cni::{call_with, path_of, pod};
use nftmesh::import::{Unknown, iptables_save};
use nftmesh::kernel::Kernel;
use nftmesh::model::{IpFamily, Ruleset};
use nftmesh::sim::{Comparison, Rules, compare};
use serde_json::{Value, json};
use support::{in_fresh_netns, nft, say};

const ARGS: &str = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p";

/// A configuration as `linkerd-cni` takes it, with the objects that it would ask for.
fn config(linkerd: &Value, objects: Value) -> String {
    let config = json!({
        "cniVersion": "1.0.0", "name": "n", "type": "mesh-cni", "mesh": "linkerd", "linkerd": linkerd,
        "kubernetes": {"kubeconfig": "/nowhere"}, "prevResult": {"cniVersion": "1.0.0"}, "runtimeConfig": objects,
    });
    config.to_string()
}

fn options() -> Value {
    json!({
        "incoming-proxy-port": 4143, "outgoing-proxy-port": 4140, "proxy-uid": 2102, "ports-to-redirect": [],
        "inbound-ports-to-ignore": ["4191", "4190"], "outbound-ports-to-ignore": ["4567"], "simulate": false,
        "use-wait-flag": false, "iptables-mode": "nft", "ipv6": true,
    })
}

fn meshed(annotations: Value) -> Value {
    json!({
        "metadata": {"annotations": annotations},
        "spec": {"containers": [{"name": "app"}, {"name": "linkerd-proxy"}]},
    })
}

/// Returns the rules of the calling thread's namespace.
fn held() -> Rules {
    Rules::try_from(&Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("they can be read")).expect("rules")
}

fn recorded(case: &Path) -> Rules {
    let mut theirs = Ruleset::new();
    for (file, family) in [("iptables-nft.save", IpFamily::Ipv4), ("ip6tables-nft.save", IpFamily::Ipv6)] {
        let text = fs::read_to_string(case.join(file)).expect("a recording");
        theirs.tables.extend(iptables_save(&text, family, Unknown::Refuse).expect("rules").ruleset.tables);
    }
    Rules::try_from(&theirs).expect("rules")
}

#[test]
fn the_recorded_calls_leave_the_same_rules() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/linkerd-reference/cni-cases");
    let Ok(cases) = fs::read_dir(cases) else {
        return say("SKIP: no recordings of linkerd-cni");
    };
    in_fresh_netns(|| {
        let mut seen = 0;
        for case in cases {
            let case = case.expect("a folder can be listed").path();
            let name = case.file_name().expect("a name").to_string_lossy().into_owned();
            let read = |file: &str| fs::read_to_string(case.join(file)).ok();
            let object = |file: &str| read(file).map(|text| serde_json::from_str::<Value>(&text).expect("JSON"));
            let mut objects = json!({});
            for (key, file) in [("pod", "pod.json"), ("namespace", "namespace.json")] {
                if let Some(object) = object(file) {
                    objects[key] = object;
                }
            }
            let config = config(&object("linkerd.json").expect("options"), objects);
            let command = read("cmd").expect("a command");
            let args = command.lines().find_map(|line| line.strip_prefix("CNI_ARGS=")).expect("arguments");
            let pod = pod();
            let answer = call_with("ADD", &path_of(&pod), &[("CNI_ARGS", args)], &config);
            let failed = read("rc").expect("a code").trim() != "0";
            match name.as_str() {
                // It failed half way, and dropped a port that has a blank before it.
                "subnet-v4-with-ipv6" | "bad-port" => drop(answer.succeeds()),
                _ if failed => {
                    let (_, why) = answer.error();
                    assert_eq!(pod.run(|| nft("list ruleset")), "", "{name}: {why}");
                }
                _ => {
                    answer.succeeds();
                    match compare(&pod.run(held), &recorded(&case)) {
                        Comparison::Equivalent { classes, outside: 0 } => {
                            say(format_args!("{name}: the same, {classes} classes of packets"));
                        }
                        other => panic!("{name}: {other}"),
                    }
                }
            }
            seen += 1;
        }
        assert!(seen >= 12, "{seen} cases");
    });
}

/// Adds a pod; returns its rules as nft lists them, or the error.
fn added(objects: Value) -> Result<String, (u64, String)> {
    let pod = pod();
    let answer = call_with("ADD", &path_of(&pod), &[("CNI_ARGS", ARGS)], &config(&options(), objects));
    if answer.code == Some(0) { Ok(pod.run(|| nft("list ruleset"))) } else { Err(answer.error()) }
}

#[test]
fn annotations_of_the_pod_replace_or_add_to_options_and_the_namespace_comes_second() {
    in_fresh_netns(|| {
        let around = json!({"metadata": {"annotations": {
            "config.linkerd.io/skip-outbound-ports": "9999", "config.linkerd.io/skip-inbound-ports": "7777"}}});
        let text = |objects: Value| added(objects).expect("it is added");
        let plain = text(json!({"pod": meshed(json!({}))}));
        assert!(plain.contains("tcp dport { 4190, 4191 }") && plain.contains("tcp dport 4567"), "{plain}");
        let of_namespace = text(json!({"pod": meshed(json!({})), "namespace": around}));
        assert!(of_namespace.contains("9999") && !of_namespace.contains("4567"), "replaced: {of_namespace}");
        assert!(of_namespace.contains("4190, 4191, 7777"), "added: {of_namespace}");
        let own = json!({"config.linkerd.io/skip-outbound-ports": "25, 443"});
        let own = text(json!({"pod": meshed(own), "namespace": around}));
        assert!(own.contains("25, 443") && !own.contains("9999"), "{own}");
        let both = text(json!({"pod": meshed(json!({"config.linkerd.io/skip-subnets": "10.9.0.0/16,fd00::/8"}))}));
        assert!(both.contains("10.9.0.0/16") && both.contains("fd00::/8"), "{both}");
    });
}

#[test]
fn a_pod_of_which_nothing_is_known_is_not_captured_by_a_guess() {
    in_fresh_netns(|| {
        let (code, why) = added(json!({})).expect_err("nothing is known");
        assert!(code == 11 && why.contains("nothing is known of pod p of namespace default"), "{why}");
        for (annotation, code) in [("proxy-uid", 7), ("proxy-gid", 7), ("skip-inbound-ports", 7), ("skip-subnets", 7)] {
            let annotation = format!("config.linkerd.io/{annotation}");
            let (found, why) = added(json!({"pod": meshed(json!({ annotation: "x" }))})).expect_err("not valid");
            assert_eq!(found, code, "{why}");
        }
        let annotated = |annotations: Value| json!({"io.kubernetes.cri.pod-annotations": annotations});
        assert_eq!(added(annotated(json!({}))), Ok(String::new()));
        let added = added(annotated(json!({"linkerd.io/proxy-version": "edge-26.7.3"}))).expect("it is meshed");
        assert!(added.contains("linkerd-proxy"), "{added}");
    });
}

/// Defect 14 of `linkerd-cni`: a check succeeds with the rules gone, and a deletion leaves them.
#[test]
fn a_check_reads_the_rules_back_and_a_deletion_removes_them() {
    in_fresh_netns(|| {
        let pod = pod();
        let config = config(&options(), json!({"pod": meshed(json!({}))}));
        let call = |command: &str| call_with(command, &path_of(&pod), &[("CNI_ARGS", ARGS)], &config);
        call("ADD").succeeds();
        assert_eq!(call("CHECK").succeeds(), "");
        for destruction in ["flush chain inet linkerd-proxy output", "delete table inet linkerd-proxy"] {
            pod.run(|| nft(destruction));
            let (_, why) = call("CHECK").error();
            assert!(why.contains("linkerd-proxy"), "{why}");
            call("ADD").succeeds();
            assert_eq!(call("CHECK").succeeds(), "");
        }
        call("DEL").succeeds();
        assert_eq!(pod.run(|| nft("list ruleset")), "");
    });
}
