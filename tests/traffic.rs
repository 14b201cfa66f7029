//! The traffic harness itself: its answers without rules and with recorded rules, and whether its
//! load sees a connection that bypasses the proxy.

mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::fs;

use support::{assert_same, golden, ip, needs_root, nft, nft_script, shared_dir, succeed};
use traffic::{Listeners, Pod, RECORDINGS, probe_matrix, reference_matrix, under_load};

#[test]
fn without_rules_every_listener_answers_for_itself() {
    if needs_root() {
        golden("probes-no-rules.txt", &probe_matrix(|| {}, Listeners::All));
    }
}

#[test]
fn without_rules_and_proxy_only_the_ports_of_the_proxy_are_closed() {
    if needs_root() {
        golden("probes-no-rules-no-proxy.txt", &probe_matrix(|| {}, Listeners::None));
    }
}

#[test]
fn the_recorded_rules_give_the_recorded_answers() {
    let Some(shared) = shared_dir() else { return };
    if !needs_root() {
        return;
    }
    for recording in RECORDINGS {
        // Several recordings were made with the same rules, and the rules of one were not kept.
        let case = recording.name.trim_end_matches("-noin");
        let dir = shared.join("cases").join(case);
        if !dir.exists() {
            continue;
        }
        let restore = || {
            for (program, file) in
                [("iptables-restore", "iptables-nft.save"), ("ip6tables-restore", "ip6tables-nft.save")]
            {
                succeed(program, "", &fs::read_to_string(dir.join(file)).expect("a recorded case has both families"));
            }
            ip("addr add ::6/128 dev lo nodad");
            if case.starts_with("tproxy") {
                for (family, everything) in [("-4", "0.0.0.0/0"), ("-6", "::/0")] {
                    ip(&format!("{family} rule add fwmark 1337 lookup 133"));
                    ip(&format!("{family} route add local {everything} dev lo table 133"));
                }
            }
        };
        recording.assert_answers(&probe_matrix(restore, recording.listeners));
    }
}

#[test]
fn the_harness_and_the_scripts_that_made_the_recordings_agree() {
    if !needs_root() {
        return;
    }
    if let Some(answers) = reference_matrix("true", Listeners::All) {
        assert_same(&answers, &probe_matrix(|| {}, Listeners::All), "the 40 answers");
    }
}

#[test]
fn no_connection_bypasses_fails_or_breaks_while_rules_are_replaced() {
    if !needs_root() {
        return;
    }
    let pod = Pod::new();
    pod.run(|| nft_script(CAPTURE));
    let replace = format!("delete table inet capture\n{CAPTURE}");
    let (load, ()) = under_load(&pod, 4, || {
        for _ in 0..50 {
            nft_script(&replace);
        }
    });
    assert_eq!((load.escaped, load.failed, load.broken), (0, 0, 0), "{load:?}");
    assert!(load.proxied >= 50, "the load is no load: {load:?}");
}

#[test]
fn the_load_sees_escapes_and_broken_connections_when_the_rules_are_gone() {
    if !needs_root() {
        return;
    }
    let pod = Pod::new();
    pod.run(|| nft_script(CAPTURE));
    let (load, _) = under_load(&pod, 4, || nft("delete table inet capture"));
    assert!(load.escaped > 0, "{load:?}");
    assert!(load.broken > 0, "{load:?}");
}

const CAPTURE: &str = "\
table inet capture {
    chain output {
        type nat hook output priority -100; policy accept;
        meta skuid 1000 tcp dport 9000 redirect to :15001
    }
}
";
