//! Containers of podman with real Envoys as sidecars, captured through `mesh-cni`.
//!
//! Runs only with `make e2e`, which installs Envoy, see `docs/testing.md`.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

#[path = "support/envoy/mod.rs"]
mod envoy;
#[path = "support/podman.rs"]
mod podman;
#[path = "support/sidecar.rs"]
mod sidecar;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use envoy::{Logged, Mode, Sidecar, logged};
use podman::{Node, can_run};
use serde_json::json;
use support::say;

#[test]
fn containers_with_envoy_as_sidecar_are_captured_both_ways_through_the_plugin() {
    if !envoy::is_long() {
        return say("SKIP: containers with Envoy: only with make e2e");
    }
    let Some(envoy) = envoy::path() else { return };
    if !can_run() {
        return;
    }
    for mode in [Mode::Redirect, Mode::Tproxy] {
        let node = Node::new();
        add_libraries(&node, envoy);
        if !node.runs_containers() {
            return;
        }
        let options = json!({
            "istio-service-cidr": "*", "istio-inbound-ports": "*", "dual-stack": true,
            "istio-local-exclude-ports": "8081", "istio-inbound-interception-mode": mode.name(),
        });
        node.network(&options);
        let pods = ["1", "2"].map(|pod| node.folder.path().join(format!("pod{pod}")));
        for pod in &pods {
            fs::create_dir(pod).expect("a folder");
            fs::set_permissions(pod, Permissions::from_mode(0o777)).expect("it is ours");
            let mut config = Sidecar { mode, services: Vec::new() }.config(Path::new("/pod"));
            config["admin"] = json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}});
            fs::write(pod.join("config.json"), config.to_string()).expect("written");
        }
        let output = node.run(&script(envoy, mode));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{mode:?}:\n{printed}\n{stderr}");
        assert_as_expected(mode, &printed, [logged(&pods[0]), logged(&pods[1])]);
    }
}

/// Adds what Envoy is linked with to the image: it is from scratch.
fn add_libraries(node: &Node, envoy: &Path) {
    let output = Command::new("ldd").arg(envoy).output().expect("ldd is part of glibc");
    let listed = String::from_utf8(output.stdout).expect("text");
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let into = node.folder.path().join(format!("img{library}"));
        fs::create_dir_all(into.parent().expect("it is absolute")).expect("a folder");
        fs::copy(library, &into).unwrap_or_else(|error| panic!("{library}: {error}"));
    }
    let pages = node.folder.path().join("img/www");
    fs::create_dir(&pages).expect("a folder");
    fs::write(pages.join("index.html"), "the application\n").expect("written");
}

/// Prints the addresses of the pods, then each step and what came of it.
fn script(envoy: &Path, mode: Mode) -> String {
    // Istio runs the proxy as root with TPROXY, which needs capabilities.
    let user = if mode == Mode::Tproxy { "--user 0:1337 --cap-add NET_ADMIN" } else { "--user 1337:1337" };
    format!(
        r#"
        sidecar() {{
            $P run -d --network container:app$1 --name $2$1 {user} -v {envoy}:/bin/envoy:ro -v $PWD/pod$1:/pod img \
                /bin/envoy -c /pod/config.json --disable-hot-restart --concurrency 1 \
                --file-flush-interval-msec 20 -l warn >/dev/null
            tries=0
            until $P exec app$1 /bin/wget -q -O - http://127.0.0.1:15000/ready >/dev/null 2>&1; do
                tries=$((tries + 1))
                [ $tries -lt 200 ] || {{ $P logs $2$1 >&2; exit 1; }}
                sleep 0.1
            done
        }}
        said() {{ if text=$("$@" 2>/dev/null); then echo "$what: $text"; else echo "$what: nothing"; fi; }}
        for n in 1 2; do
            $P run -d --network podnet --name app$n --user 1000 img /bin/sh -c \
                '/bin/httpd -p 8081 -h /www; exec /bin/httpd -f -p 9000 -h /www' >/dev/null
            sidecar $n envoy
        done
        for n in 1 2; do
            net="$P inspect -f {{{{.NetworkSettings.Networks.podnet.IPAddress}}}}+{{{{.NetworkSettings.Networks.podnet.GlobalIPv6Address}}}} app$n"
            both=$($net)
            eval "v4_$n=${{both%+*}} v6_$n=${{both#*+}}"
        done
        echo "$v4_1 $v4_2 $v6_1 $v6_2"
        tries=0
        while ip -6 addr show dev br9 | grep -q tentative; do
            tries=$((tries + 1))
            [ $tries -lt 300 ] || exit 1
            sleep 0.1
        done
        for net in 4 6; do
            if [ $net = 4 ]; then one=$v4_1 two=$v4_2; else one="[$v6_1]" two="[$v6_2]"; fi
            what="outside to app1" said busybox timeout 20 busybox wget -q -O - http://$one:9000/
            what="app1 to app2" said $P exec app1 /bin/timeout 20 /bin/wget -q -O - http://$two:9000/
            what="outside to app1, excluded" said busybox timeout 20 busybox wget -q -O - http://$one:8081/
        done
        $P kill envoy1 >/dev/null
        what="outside to app1, killed" said busybox timeout 2 busybox wget -q -O - http://$v4_1:9000/
        what="app1 to app2, killed" said $P exec app1 /bin/timeout 2 /bin/wget -q -O - http://$v4_2:9000/
        what="outside to app1, excluded" said busybox timeout 20 busybox wget -q -O - http://$v4_1:8081/
        sidecar 1 again
        what="outside to app1" said busybox timeout 20 busybox wget -q -O - http://$v4_1:9000/
        $P stop -t 10 again1 envoy2 >/dev/null
        "#,
        envoy = envoy.display(),
    )
}

fn assert_as_expected(mode: Mode, printed: &str, logs: [Vec<Logged>; 2]) {
    let (addresses, came) = printed.split_once('\n').expect("a line of addresses");
    let answered = "the application";
    let both =
        format!("outside to app1: {answered}\napp1 to app2: {answered}\noutside to app1, excluded: {answered}\n");
    let killed = format!(
        "outside to app1, killed: nothing\napp1 to app2, killed: nothing\noutside to app1, excluded: {answered}\n"
    );
    let shown = logs.each_ref().map(|log| log.iter().map(|line| format!("{line}\n")).collect::<String>());
    support::assert_same(
        &format!("{both}{both}{killed}outside to app1: {answered}\n"),
        came,
        &format!("{mode:?}\n{}", shown.join("\n")),
    );

    let addresses: Vec<IpAddr> = addresses.split(' ').map(|text| text.parse().expect("an address")).collect();
    let [v4_one, v4_two, v6_one, v6_two] = addresses.try_into().expect("two pods, two families");
    let all = |address: IpAddr| SocketAddr::from((address, 9000));
    // Listener and original destination, in the order in which they were asked for.
    let expected = [
        vec![
            ("inbound4", all(v4_one)),
            ("outbound4", all(v4_two)),
            ("inbound6", all(v6_one)),
            ("outbound6", all(v6_two)),
            ("inbound4", all(v4_one)),
        ],
        vec![("inbound4", all(v4_two)), ("inbound6", all(v6_two))],
    ];
    for (log, expected) in logs.iter().zip(&expected) {
        let found: Vec<_> = log.iter().map(|line| (line.listener.as_str(), line.to)).collect();
        assert_eq!(&found, expected, "{mode:?}:\n{}", shown.join("\n"));
    }
    for line in logs.iter().flatten().filter(|line| line.listener.starts_with("inbound")) {
        let (source, to) = line.onward.unwrap_or_else(|| panic!("{mode:?}: {line}: went nowhere"));
        let passthrough: IpAddr = if line.to.is_ipv4() { "127.0.0.6" } else { "::6" }.parse().expect("an address");
        let expected = if mode == Mode::Tproxy { line.from.ip() } else { passthrough };
        assert_eq!((source.ip(), to), (expected, line.to), "{mode:?}: {line}");
    }
    // What the first proxy sent is what the second took.
    let sent = logs[0].iter().filter(|line| line.listener.starts_with("outbound"));
    let sent: Vec<_> = sent.filter_map(|line| line.onward).map(|(from, _)| from).collect();
    let taken: Vec<_> = logs[1].iter().map(|line| line.from).collect();
    assert_eq!(sent, taken, "{mode:?}:\n{}", shown.join("\n"));
    say(format_args!("{}, containers of podman:\n{}", mode.name(), shown.join("\n")));
}
