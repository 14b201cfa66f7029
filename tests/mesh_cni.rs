//! The example `mesh-cni`: the protocol by hand, behind Debian's own plugins, and what it leaves.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

#[path = "support/cni.rs"]
mod cni;
mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use cni::{Answer, end, path_of, pod, start};
use serde_json::{Value, json};
use support::{NetNs, example, in_fresh_netns, nft, nft_script, say};

fn call(command: &str, netns: &str, input: &str) -> Answer {
    end(start(&example("mesh-cni"), command, netns, &[], input))
}

fn config(version: &str) -> Value {
    json!({
        "cniVersion": version, "name": "n", "type": "mesh-cni", "mesh": "istio", "unknown": {"kept": 1},
        "options": {"istio-service-cidr": "*", "istio-inbound-ports": "*", "proxy-uid": 1337},
        "prevResult": previous(version),
    })
}

/// A result with keys that nobody knows, and numbers that a float would change.
fn previous(version: &str) -> Value {
    json!({"cniVersion": version, "ips": [{"address": "10.88.0.2/16"}], "zzz": {"b": 12345678901234567890_u64, "a": []}})
}

fn tables(pod: &NetNs) -> String {
    pod.run(|| nft("list tables"))
}

#[test]
fn a_pod_is_added_checked_and_deleted_in_every_version() {
    in_fresh_netns(|| {
        for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let (pod, config) = (pod(), config(version));
            let text = config.to_string();
            let printed = call("ADD", &path_of(&pod), &text).succeeds();
            // As it came, byte for byte.
            assert_eq!(printed, format!("{}\n", config["prevResult"]));
            assert_eq!(tables(&pod), "table ip istio-proxy-nat\n");
            let before = pod.run(|| nft("-a list ruleset"));
            call("ADD", &path_of(&pod), &text).succeeds();
            assert_eq!(pod.run(|| nft("-a list ruleset")), before, "nothing differs the second time");
            let check = call("CHECK", &path_of(&pod), &text);
            if version.starts_with("0.3") {
                assert!(matches!(check.error(), (1, text) if text.starts_with("config version does not allow CHECK")));
            } else {
                assert_eq!(check.succeeds(), "");
                pod.run(|| nft("flush chain ip istio-proxy-nat istio-output"));
                let (code, text) = call("CHECK", &path_of(&pod), &text).error();
                assert_eq!(code, 101);
                assert!(text.contains("istio-output"), "{text}");
            }
            nft_in(&pod, "table ip others { }");
            assert_eq!(call("DEL", &path_of(&pod), &text).succeeds(), "");
            assert_eq!(tables(&pod), "table ip others\n", "exactly ours is gone");
            assert_eq!(call("DEL", &path_of(&pod), &text).succeeds(), "", "twice");
            for command in ["GC", "STATUS"] {
                let answer = call(command, "", &text);
                if version == "1.1.0" {
                    assert_eq!(answer.succeeds(), "");
                } else {
                    let allowed = format!("config version does not allow {command}");
                    assert!(matches!(answer.error(), (1, text) if text.starts_with(&allowed)));
                }
            }
        }
    });
}

fn nft_in(pod: &NetNs, script: &str) {
    pod.run(|| nft_script(script));
}

#[test]
fn versions_are_listed_even_without_input() {
    for (input, version) in
        [("", "1.1.0"), (r#"{"cniVersion":"0.4.0"}"#, "0.4.0"), (r#"{"cniVersion":"9.0.0"}"#, "1.1.0")]
    {
        let answer = end(start(&example("mesh-cni"), "VERSION", "dummy", &[("CNI_IFNAME", "dummy")], input));
        let printed: Value = serde_json::from_str(&answer.succeeds()).expect("an object");
        assert_eq!(printed["cniVersion"], version);
        assert_eq!(printed["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
    }
}

#[test]
fn what_is_wrong_has_the_code_of_the_protocol_and_changes_nothing() {
    in_fresh_netns(|| {
        let pod = pod();
        let netns = path_of(&pod);
        let with = |key: &str, value: Value| {
            let mut config = config("1.0.0");
            config[key] = value;
            config.to_string()
        };
        let without = |key: &str| {
            let mut config = config("1.0.0");
            config.as_object_mut().expect("an object").remove(key);
            config.to_string()
        };
        for (input, code, part) in [
            ("{".to_owned(), 6, "not JSON"),
            ("[1]".to_owned(), 7, "not valid"),
            (with("cniVersion", json!("2.0.0")), 1, "supported are 0.3.0, "),
            (without("cniVersion"), 1, "\"0.1.0\""),
            (without("prevResult"), 7, "required prevResult missing"),
            (without("mesh"), 7, "names no mesh"),
            (with("mesh", json!("none")), 7, "mesh \"none\" is not known"),
            (with("options", json!({"no-such": 1})), 2, "unknown option no-such"),
            (with("options", json!({"istio-inbound-ports": "x"})), 7, "istio-inbound-ports"),
            (with("options", json!({"istio-inbound-ports": {"a": 1}})), 7, "istio-inbound-ports"),
            (with("options", json!({"proxy-uid": "nobody-knows"})), 7, "nobody-knows"),
            (with("options", json!(7)), 7, "not valid"),
        ] {
            let (found, text) = call("ADD", &netns, &input).error();
            assert_eq!(found, code, "{input}: {text}");
            assert!(text.contains(part), "{input}: {text}");
        }
        let good = config("1.0.0").to_string();
        for (command, netns, more, code, part) in [
            ("ADD", "/nowhere", ("A", ""), 3, "there is no network namespace /nowhere"),
            ("ADD", "/proc/self/ns/net", ("A", ""), 4, "the node's own namespace"),
            ("ADD", "/etc/passwd", ("A", ""), 3, "/etc/passwd"),
            ("NONE", netns.as_str(), ("A", ""), 4, "unknown CNI_COMMAND: NONE"),
            ("ADD", "", ("A", ""), 4, "[CNI_NETNS] missing"),
            ("ADD", "", ("CNI_CONTAINERID", ""), 4, "[CNI_CONTAINERID,CNI_NETNS] missing"),
            ("ADD", netns.as_str(), ("CNI_IFNAME", "a/b"), 4, "invalid CNI_IFNAME"),
            ("ADD", netns.as_str(), ("CNI_CONTAINERID", "-x"), 4, "invalid CNI_CONTAINERID"),
            ("ADD", netns.as_str(), ("CNI_ARGS", "a"), 4, "invalid CNI_ARGS"),
        ] {
            let answer = end(start(&example("mesh-cni"), command, netns, &[more], &good));
            let (found, text) = answer.error();
            assert_eq!(found, code, "{text}");
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(tables(&pod), "");
        assert_eq!(nft("list tables"), "", "the node's");
    });
}

#[test]
fn deleting_succeeds_when_nothing_is_left_to_delete() {
    in_fresh_netns(|| {
        let good = config("1.0.0").to_string();
        for netns in ["", "/nowhere"] {
            assert_eq!(call("DEL", netns, &good).succeeds(), "");
        }
        let mut bare = config("0.3.1");
        bare.as_object_mut().expect("an object").remove("prevResult");
        assert_eq!(call("DEL", &path_of(&pod()), &bare.to_string()).succeeds(), "");
    });
}

#[test]
fn pods_are_left_alone_by_namespace_and_annotation_and_the_result_goes_on() {
    in_fresh_netns(|| {
        let annotations = |annotations: Value| {
            let mut config = config("1.0.0");
            config["options"] = json!({});
            config["exclude_namespaces"] = json!(["kube-system"]);
            config["runtimeConfig"] = json!({"io.kubernetes.cri.pod-annotations": annotations});
            config.to_string()
        };
        let added = json!({"sidecar.istio.io/status": "{}"});
        for (namespace, config) in [
            ("kube-system", annotations(added.clone())),
            ("default", annotations(json!({}))),
            ("default", annotations(json!({"sidecar.istio.io/status": "{}", "sidecar.istio.io/inject": "false"}))),
        ] {
            let pod = pod();
            let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME=p");
            let answer = end(start(&example("mesh-cni"), "ADD", &path_of(&pod), &[("CNI_ARGS", &args)], &config));
            assert!(answer.log.contains("the pod is left alone"), "{answer:?}");
            assert_eq!(answer.succeeds(), format!("{}\n", previous("1.0.0")));
            assert_eq!(tables(&pod), "");
        }
        let pod = pod();
        let ports =
            json!({"sidecar.istio.io/status": "{}", "traffic.sidecar.istio.io/excludeInboundPorts": "9000,15090"});
        call("ADD", &path_of(&pod), &annotations(ports)).succeeds();
        let listed = pod.run(|| nft("list ruleset"));
        assert!(listed.contains("9000, 15008, 15020, 15021, 15090"), "{listed}");
        let bad = json!({"sidecar.istio.io/status": "{}", "traffic.sidecar.istio.io/excludeInboundPorts": "80-90"});
        let (code, text) = call("ADD", &path_of(&pod), &annotations(bad)).error();
        assert!(code == 7 && text.contains("traffic.sidecar.istio.io/excludeInboundPorts"), "{text}");
    });
}

#[test]
fn fifty_pods_at_once_and_one_pod_fifty_times_get_their_rules() {
    in_fresh_netns(|| {
        let text = config("1.0.0").to_string();
        let pods: Vec<NetNs> = (0..50).map(|_| pod()).collect();
        let calls: Vec<Child> =
            pods.iter().map(|pod| start(&example("mesh-cni"), "ADD", &path_of(pod), &[], &text)).collect();
        calls.into_iter().for_each(|call| drop(end(call).succeeds()));
        pods.iter().for_each(|pod| assert_eq!(tables(pod), "table ip istio-proxy-nat\n"));
        let one = pod();
        let calls: Vec<Child> =
            (0..50).map(|_| start(&example("mesh-cni"), "ADD", &path_of(&one), &[], &text)).collect();
        calls.into_iter().for_each(|call| drop(end(call).succeeds()));
        assert_eq!(call("CHECK", &path_of(&one), &text).succeeds(), "");
    });
}

#[test]
fn a_killed_call_leaves_all_or_nothing_and_the_next_one_repairs_it() {
    in_fresh_netns(|| {
        let text = config("1.0.0").to_string();
        let pod = pod();
        for round in 0..40 {
            let mut killed = start(&example("mesh-cni"), "ADD", &path_of(&pod), &[], &text);
            std::thread::sleep(std::time::Duration::from_micros(150 * round));
            killed.kill().expect("it is our child");
            killed.wait().expect("it ends");
            let chains = pod.run(|| nft("list ruleset")).matches("chain ").count();
            call("ADD", &path_of(&pod), &text).succeeds();
            let whole = pod.run(|| nft("list ruleset")).matches("chain ").count();
            assert!(chains == 0 || chains == whole, "{chains} of {whole} chains");
            call("DEL", &path_of(&pod), &text).succeeds();
        }
    });
}

#[test]
fn files_are_checked_before_a_node_uses_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("10-net.conflist");
    let run = |text: &str| {
        fs::write(&file, text).expect("written");
        let output = Command::new(example("mesh-cni")).arg("--check").arg(&file).output().expect("it starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let list =
        |entry: Value| json!({"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge"}, entry]}).to_string();
    let good =
        list(json!({"type": "mesh-cni", "mesh": "istio", "istio": {"ISTIO_DUAL_STACK": true}, "proxy-uid": "1,2"}));
    assert_eq!(run(&good), (Some(0), "1 entries of mesh-cni, no errors\n".to_owned(), String::new()));
    for (text, why) in [
        ("{".to_owned(), "not JSON"),
        (list(json!({"type": "portmap"})), "no entry has the type mesh-cni"),
        (list(json!({"type": "mesh-cni"})), "plugin 2: the configuration names no mesh"),
        (list(json!({"type": "mesh-cni", "mesh": "istio", "options": {"x": 1}})), "plugin 2: unknown option x"),
        (list(json!({"type": "mesh-cni", "mesh": "istio", "options": {"envoy-port": 70000}})), "plugin 2: "),
    ] {
        let (code, _, stderr) = run(&text);
        assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
}

#[test]
fn it_is_chained_behind_bridge_and_host_local() {
    if !Path::new("/usr/lib/cni/bridge").exists() {
        return say("SKIP: chain: there is no /usr/lib/cni/bridge (sh scripts/setup.sh test installs it)");
    }
    in_fresh_netns(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let pod = NetNs::fresh();
        let bridge = json!({
            "cniVersion": "1.0.0", "name": "n", "type": "bridge", "bridge": "br9",
            "ipam": {"type": "host-local", "dataDir": folder.path(), "ranges": [[{"subnet": "10.88.11.0/24"}]]},
        });
        let plugin = Path::new("/usr/lib/cni/bridge");
        let result = end(start(plugin, "ADD", &path_of(&pod), &[], &bridge.to_string())).succeeds();
        let mut ours = config("1.0.0");
        ours["prevResult"] = serde_json::from_str(&result).expect("an object");
        let printed = call("ADD", &path_of(&pod), &ours.to_string()).succeeds();
        assert_eq!(serde_json::from_str::<Value>(&printed).expect("an object"), ours["prevResult"]);
        call("CHECK", &path_of(&pod), &ours.to_string()).succeeds();
        assert_eq!(tables(&pod), "table ip istio-proxy-nat\n");
        call("DEL", &path_of(&pod), &ours.to_string()).succeeds();
        assert_eq!(tables(&pod), "");
        end(start(plugin, "DEL", &path_of(&pod), &[], &bridge.to_string())).succeeds();
    });
}

/// A pod as Kubernetes describes it, whose sidecar has these variables and arguments.
fn object(annotations: Value, sidecar: Value) -> Value {
    let mut proxy = json!({"name": "istio-proxy", "args": ["proxy", "sidecar"]});
    proxy.as_object_mut().expect("an object").extend(sidecar.as_object().expect("an object").clone());
    json!({"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "app"}, proxy]}})
}

#[test]
fn the_object_of_a_pod_decides_as_in_istio_cni() {
    in_fresh_netns(|| {
        let status = || json!({"sidecar.istio.io/status": "{}"});
        let added = |object: Value| {
            let mut config = config("1.0.0");
            config["options"] = json!({});
            config["kubernetes"] = json!({"kubeconfig": "/nowhere"});
            config["prevResult"]["dns"] = json!({"nameservers": ["10.96.0.10"]});
            config["args"] = json!({"cni": {"pod": object}});
            let pod = pod();
            let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p";
            let answer =
                end(start(&example("mesh-cni"), "ADD", &path_of(&pod), &[("CNI_ARGS", args)], &config.to_string()));
            let log = answer.log.clone();
            answer.succeeds();
            (pod.run(|| nft("list ruleset")), log)
        };
        for (object, why) in [
            (object(json!({}), json!({})), "no annotation sidecar.istio.io/status"),
            (object(status(), json!({"name": "other"})), "no container istio-proxy"),
            (object(status(), json!({"name": "istio-init"})), "istio-init installs the rules"),
            (object(status(), json!({"args": ["proxy", "router"]})), "is no sidecar"),
            (object(status(), json!({"env": [{"name": "DISABLE_ENVOY", "value": "true"}]})), "without Envoy"),
        ] {
            let (rules, log) = added(object);
            assert!(rules.is_empty() && log.contains(why), "{log}{rules}");
        }
        let (rules, _) = added(object(status(), json!({})));
        assert!(rules.contains("skuid 1337") && !rules.contains("dport 53"), "{rules}");
        assert!(rules.contains("15020, 15021, 15090") || rules.contains("15020-15021, 15090"), "{rules}");
        let variables =
            json!([{"name": "ISTIO_META_DNS_CAPTURE", "value": "true"}, {"name": "INVALID_DROP", "value": "maybe"}]);
        let (rules, log) = added(object(
            status(),
            json!({"env": variables, "securityContext": {"runAsUser": 1500, "runAsGroup": 0}, "name": "istio-proxy"}),
        ));
        assert!(rules.contains("skuid 1500") && rules.contains("skgid 1337") && rules.contains("dport 53"), "{rules}");
        assert!(log.contains("INVALID_DROP") && log.contains("counts as false"), "{log}");
    });
}

#[test]
fn a_pod_with_its_own_user_namespace_is_set_up_and_one_without_kubernetes_name_is_left_alone() {
    if !support::needs_root() {
        return;
    }
    in_fresh_netns(|| {
        let mut owner = Command::new("unshare").args(["-Urn", "sleep", "60"]).spawn().expect("unshare is installed");
        let netns = format!("/proc/{}/ns/net", owner.id());
        let own = fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
        let is_apart = || fs::read_link(&netns).is_ok_and(|other| other != own);
        assert!(support::patience::comes_true(is_apart), "it has a namespace");
        let mut asked = config("1.0.0");
        asked["mesh"] = json!("linkerd");
        asked["options"] = json!({"incoming-proxy-port": 4143, "outgoing-proxy-port": 4140, "proxy-uid": 2102});
        call("ADD", &netns, &asked.to_string()).succeeds();
        assert_eq!(call("CHECK", &netns, &asked.to_string()).succeeds(), "");
        asked["kubernetes"] = json!({});
        let pod = pod();
        let answer = call("ADD", &path_of(&pod), &asked.to_string());
        assert!(answer.log.contains("CNI_ARGS has no K8S_POD_NAMESPACE"), "{answer:?}");
        assert_eq!(tables(&pod), "");
        owner.kill().expect("it is our child");
        owner.wait().expect("it ends");
    });
}

#[test]
fn connections_are_held_until_somebody_lets_them_go() {
    in_fresh_netns(|| {
        let mut asked = config("1.0.0");
        asked["hold"] = json!(true);
        let (pod, asked) = (pod(), asked.to_string());
        call("ADD", &path_of(&pod), &asked).succeeds();
        assert!(tables(&pod).contains("mesh-hold"));
        assert_eq!(call("CHECK", &path_of(&pod), &asked).succeeds(), "");
        nft_in(&pod, "delete table ip mesh-hold");
        assert_eq!(call("CHECK", &path_of(&pod), &asked).succeeds(), "");
        let _listener = pod.run(|| std::net::TcpListener::bind("127.0.0.1:15001").expect("nobody listens there"));
        call("ADD", &path_of(&pod), &asked).succeeds();
        assert!(!tables(&pod).contains("mesh-hold"), "the proxy listens already");
        assert_eq!(call("DEL", &path_of(&pod), &asked).succeeds(), "");
        assert_eq!(tables(&pod), "");
    });
}

/// Adds a pod to a mesh; returns its rules, and the log.
fn added_to(mesh: &str, options: &Value, object: Option<&Value>) -> (String, String) {
    let mut asked = config("1.0.0");
    asked["mesh"] = json!(mesh);
    asked["options"] = options.clone();
    if let Some(object) = object {
        asked["runtimeConfig"] = json!({ "pod": object });
    }
    let pod = pod();
    let answer = call("ADD", &path_of(&pod), &asked.to_string());
    let log = answer.log.clone();
    answer.succeeds();
    assert_eq!(call("CHECK", &path_of(&pod), &asked.to_string()).succeeds(), "");
    let rules = pod.run(|| nft("list ruleset"));
    assert_eq!(call("DEL", &path_of(&pod), &asked.to_string()).succeeds(), "");
    assert_eq!(tables(&pod), "");
    (rules, log)
}

#[test]
fn ambient_pods_are_chosen_by_label_and_configured_by_annotation() {
    in_fresh_netns(|| {
        let options = json!({"AMBIENT_DNS_CAPTURE": true, "AMBIENT_IPV6": "true"});
        let object = |labels: Value, annotations: Value| json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": {"containers": [{"name": "app"}]}});
        let ambient = || json!({"istio.io/dataplane-mode": "ambient"});
        for (object, why) in [
            (object(json!({}), json!({})), "has the label istio.io/dataplane-mode"),
            (object(json!({"istio.io/dataplane-mode": "none"}), json!({})), "is not ambient"),
            (object(ambient(), json!({"sidecar.istio.io/status": "{}"})), "it has a sidecar"),
        ] {
            let (rules, log) = added_to("ambient", &options, Some(&object));
            assert!(rules.is_empty() && log.contains(why), "{log}{rules}");
        }
        let (rules, _) = added_to("ambient", &options, Some(&object(ambient(), json!({}))));
        assert!(rules.contains("table inet istio-ambient-raw") && rules.contains("redirect to :15006"), "{rules}");
        let annotations =
            json!({"ambient.istio.io/dns-capture": "false", "ambient.istio.io/bypass-inbound-capture": "true"});
        let (rules, _) = added_to("ambient", &options, Some(&object(ambient(), annotations)));
        assert!(!rules.contains("istio-ambient-raw") && !rules.contains("redirect to :15006"), "{rules}");
        // The rules of Istio's agent are replaced, not kept beside ours.
        let pod = pod();
        nft_in(
            &pod,
            "table ip nat { chain ISTIO_OUTPUT { }; chain OUTPUT { type nat hook output priority -100\n jump ISTIO_OUTPUT\n }\n }",
        );
        let mut asked = config("1.0.0");
        (asked["mesh"], asked["options"]) = (json!("ambient"), options);
        call("ADD", &path_of(&pod), &asked.to_string()).succeeds();
        let rules = pod.run(|| nft("list ruleset"));
        assert!(rules.contains("istio-ambient-nat") && !rules.contains("ISTIO_OUTPUT"), "{rules}");
    });
}

#[test]
fn kuma_pods_are_chosen_and_configured_by_annotation() {
    in_fresh_netns(|| {
        let options = json!({"redirect-all-dns-traffic": true, "exclude-inbound-ports": [22, "80-90"]});
        let object = |annotations: Value| json!({"metadata": {"annotations": annotations}, "spec": {"containers": []}});
        let (rules, log) = added_to("kuma", &options, Some(&object(json!({}))));
        assert!(rules.is_empty() && log.contains("kuma.io/sidecar-injected"), "{log}");
        let (rules, _) = added_to("kuma", &options, None);
        assert!(rules.contains("80, 81, 82") && rules.contains("redirect to :15053"), "{rules}");
        let annotations = json!({"kuma.io/sidecar-injected": "true", "traffic.kuma.io/exclude-inbound-ports": "9090"});
        let (rules, _) = added_to("kuma", &options, Some(&object(annotations)));
        assert!(rules.contains("tcp dport 9090") && !rules.contains("80, 81"), "{rules}");
    });
}
