//! Real connections in a pod with Linkerd's rules, against those that the recordings have with the
//! rules of `proxy-init`: who answers, and with which original destination.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::process::Command;
use std::{env, fs, process, thread};

const PORTS: &str = "-p 4143 -o 4140 -u 2102 --iptables-mode nft";
const IGNORED: &str = "--inbound-ports-to-ignore 4190,4191,4567,4568 --outbound-ports-to-ignore 4567,4568";

#[test]
fn connections_go_the_recorded_ways() {
    if !support::needs_root() {
        return;
    }
    let Some(reference) = support::skip_without("linkerd-reference") else { return };
    let program = support::example("linkerd-init");
    let matrices = [
        ("default", "yes", format!("{PORTS} {IGNORED}")),
        ("default-noproxy", "none", format!("{PORTS} {IGNORED}")),
        ("gid", "yes", format!("{PORTS} {IGNORED} -g 2102")),
        ("v4-only", "yes", format!("{PORTS} {IGNORED} --ipv6=false")),
        ("subnets-v4", "yes", format!("{PORTS} {IGNORED} --subnets-to-ignore 10.99.0.0/16 --ipv6=false")),
        ("ports-to-redirect", "yes", format!("{PORTS} --inbound-ports-to-ignore 4190,4191 -r 8080,9090")),
    ];
    let dir = env::temp_dir().join(format!("linkerd-probes-{}", process::id()));
    fs::create_dir_all(&dir).expect("a temporary directory");
    thread::scope(|scope| {
        for (name, listeners, flags) in &matrices {
            let (out, reference) = (dir.join(name), &reference);
            let apply = format!("{} {flags}", program.display());
            scope.spawn(move || {
                // Named namespaces are seen in this mount namespace only.
                let inside = "mount -t tmpfs none /run && mkdir /run/netns && exec bash \"$@\"";
                let mut command = Command::new("unshare");
                command.args(["--mount", "--net", "bash", "-c", inside, "bash"]);
                command.arg(reference.join("probe/matrix.sh")).arg(&out).args([*listeners, &apply]);
                let status = command.output().expect("unshare and bash are installed").status;
                assert!(status.success(), "{name}: {status}");
                let expected = reference.join("probes").join(format!("{name}.expected"));
                let [expected, actual] = [&expected, &out].map(|path| fs::read_to_string(path).expect("a matrix"));
                support::assert_same(&expected, &actual, name);
                support::say(format_args!("{name}: {} connections as recorded", actual.lines().count()));
            });
        }
    });
    drop(fs::remove_dir_all(&dir));
}
