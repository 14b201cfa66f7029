//! Real containers: podman sets them up with bridge, host-local and `mesh-cni`.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

#[path = "support/podman.rs"]
mod podman;
mod support;

use podman::{Node, can_run};
use serde_json::json;

#[test]
fn containers_of_podman_are_captured_and_a_failing_add_says_why() {
    if !can_run() {
        return;
    }
    let node = Node::new();
    node.network(&json!({"istio-service-cidr": "*", "istio-inbound-ports": "*"}));
    if !node.runs_containers() {
        return;
    }
    let output = node.run(
        "for n in 1 2 3; do $P run -d --network podnet --name c$n img /bin/sleep 60 >/dev/null; done
         for n in 1 2 3; do nsenter --net=$($P inspect -f '{{.NetworkSettings.SandboxKey}}' c$n) nft list tables; done
         $P rm -f -t 0 -a >/dev/null; ls /run/netns | wc -l",
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text, format!("{}0\n", "table ip istio-proxy-nat\n".repeat(3)), "{errors}");

    node.network(&json!({"istio-service-cidr": "*", "istio-inbound-ports": "x"}));
    let output = node.run("$P run -d --network podnet --name c4 img /bin/sleep 60");
    assert_eq!(output.status.code(), Some(126));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("an option of the mesh is not valid: --istio-inbound-ports \"x\""), "{errors}");
}
