//! The example `why`: one answer about a connection, whose rule decided, and what the kernel does
//! with it.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Output, Stdio};
use std::time::Duration;

use support::running::Running;
use support::version::in_traced_netns;
use support::{command, example, in_fresh_netns, ip, needs_root, nft_script, succeed};

/// A pod with an address, a way out, and the rules of the sidecar.
fn pod(flags: &[&str]) {
    ip("link set lo up");
    ip("link add eth0 type veth peer name peer");
    ip("addr add 10.77.0.2/24 dev eth0");
    ip("link set eth0 up");
    ip("link set peer up");
    ip("route add default via 10.77.0.1");
    ip("neigh add 10.77.0.1 lladdr 02:00:00:00:00:01 dev eth0");
    let output = command(&example("istio-init").to_string_lossy()).args(flags).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn why(words: &[&str]) -> Output {
    command(&example("why").to_string_lossy()).args(words).output().expect("it starts")
}

/// Returns the exit code and the answer, without the list of chains.
fn asked(words: &[&str]) -> (Option<i32>, String) {
    let output = why(words);
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let answer = text.split("\n\n").next().unwrap_or_default().to_owned();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code(), answer)
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "without {part:?}:\n{text}");
    }
}

#[test]
fn a_captured_connection_names_the_rule_and_whose_it_is() {
    in_fresh_netns(|| {
        pod(&["-i", "*", "-b", "*"]);
        let (code, text) = asked(&["tcp 10.77.0.2:* -> 10.96.0.10:443 uid 1000 gid 1000"]);
        assert_eq!(code, Some(0));
        holds(
            &text,
            &[
                "CAPTURED: it goes to 127.0.0.1:15001\n",
                "ip istio-proxy-nat istio-redirect, rule 1 (handle ",
                "redirect to :15001",
                "Istio's sidecar",
            ],
        );
        let (code, text) = asked(&["--in", "eth0", "tcp 10.77.0.9:* -> 10.77.0.2:9000"]);
        assert_eq!(code, Some(0));
        holds(&text, &["CAPTURED: it goes to 10.77.0.2:15006\n", "istio-in-redirect"]);
    });
}

#[test]
fn a_connection_that_is_left_alone_names_the_rule_that_left_it() {
    in_fresh_netns(|| {
        pod(&["-i", "*", "-x", "10.99.0.0/16"]);
        for (packet, reason) in [
            ("tcp 10.77.0.2:* -> 10.96.0.10:443 uid 1337 gid 1337", "what the proxy sends is not captured again"),
            ("tcp 10.77.0.2:* -> 10.99.0.10:443 uid 1000 gid 1000", "destinations that are left alone (-x)"),
        ] {
            let (code, text) = asked(&[packet]);
            assert_eq!(code, Some(3), "{text}");
            let remedy = format!("remedy  to capture it, change what this rule stands for: {reason}");
            holds(&text, &["NOT CAPTURED: SENT out by eth0\n", " return comment ", "Istio's sidecar", &remedy]);
        }
        // No rule is about it: the ones that were nearest are named with what did not match.
        let (code, text) = asked(&["udp 10.77.0.2:* -> 10.96.0.10:5000 uid 1000 gid 1000"]);
        assert_eq!(code, Some(3));
        holds(&text, &["NOT CAPTURED", "since this does not match: meta l4proto tcp"]);
    });
}

#[test]
fn who_runs_before_the_mesh_and_takes_the_connection_is_named() {
    in_fresh_netns(|| {
        pod(&["-i", "*"]);
        nft_script(
            "table ip docker-nat {\n chain out { type nat hook output priority -150; \
             tcp dport 443 counter redirect to :8443 comment \"<b>\\\u{1b}[31mmine\"; }\n}\n",
        );
        let output = why(&["tcp 10.77.0.2:* -> 10.96.0.10:443 uid 1000 gid 1000"]);
        let text = String::from_utf8(output.stdout).expect("text");
        holds(
            &text,
            &[
                "CAPTURED: it goes to 127.0.0.1:8443\n",
                "  whose   Docker\n",
                "remove this rule, or have the mesh's chain run before it",
            ],
        );
        assert!(!text.contains('\u{1b}'), "controls are escaped: {text}");
        // The order of the hook, without a packet.
        let listed = String::from_utf8(why(&[]).stdout).expect("text");
        let at = |part: &str| listed.find(part).unwrap_or_else(|| panic!("no {part}: {listed}"));
        assert!(at("ip docker-nat out: nat (Docker)") < at("ip istio-proxy-nat output: nat (the mesh"), "{listed}");
    });
}

#[test]
fn without_a_mesh_or_with_a_drop_the_answer_says_so() {
    in_fresh_netns(|| {
        ip("link set lo up");
        let packet = "tcp 127.0.0.1:* -> 127.0.0.1:443 uid 0 gid 0";
        let (code, text) = asked(&[packet]);
        assert_eq!(code, Some(3));
        holds(&text, &["there are no rules of a mesh here"]);
        succeed("iptables-nft", "-A OUTPUT -p tcp --dport 443 -j DROP", "");
        let (code, text) = asked(&[packet]);
        assert_eq!(code, Some(3));
        holds(&text, &["NOT CAPTURED: DROPPED by ip filter OUTPUT, rule 1", "  whose   iptables\n", "change it first"]);
    });
}

#[test]
fn a_live_connection_is_shown_beside_its_walk() {
    in_traced_netns(|| {
        pod(&["-i", "*", "-b", "*"]);
        let words = ["--live", "--seconds", "20", "tcp 10.77.0.2:* -> 10.96.0.10:443 uid 0 gid 0"];
        let mut running = Running::start("why", &words, Stdio::piped());
        let mut ready = String::new();
        BufReader::new(running.child.stderr.take().expect("a pipe")).read_line(&mut ready).expect("it says so");
        assert!(ready.starts_with("why: waiting up to 20 s"), "{ready}");
        // Nothing listens there: the SYN is captured, and refused by lo.
        let refused = TcpStream::connect_timeout(&([10, 96, 0, 10], 443).into(), Duration::from_secs(10));
        assert_eq!(refused.expect_err("nobody listens").kind(), std::io::ErrorKind::ConnectionRefused);
        let printed = running.until("they agree").join("\n");
        holds(
            &printed,
            &["    both  output: ip istio-proxy-nat istio-redirect, rule 1: ", "  walk:  DELIVERED to 127.0.0.1:15001"],
        );
        assert!(running.child.wait().expect("it ends").success());
    });
}

#[test]
fn a_packet_that_never_comes_is_waited_for_only_so_long() {
    in_traced_netns(|| {
        ip("link set lo up");
        let output = why(&["--live", "--seconds", "1", "udp 127.0.0.1:* -> 127.0.0.1:5000"]);
        assert_eq!(output.status.code(), Some(4));
        holds(&String::from_utf8_lossy(&output.stdout), &["no such packet in 1 s"]);
    });
}

#[test]
fn picture_and_report_hold_the_way_and_escape_what_others_wrote() {
    in_fresh_netns(|| {
        pod(&["-i", "*"]);
        nft_script(
            "table ip t {\n chain out { type filter hook output priority 5; tcp dport 443 counter accept comment \"</pre><script>x&\"; }\n}\n",
        );
        let folder = tempfile::tempdir().expect("a folder");
        let (svg, html) = (folder.path().join("way.svg"), folder.path().join("way.html"));
        let words = [
            "tcp 10.77.0.2:* -> 10.96.0.10:443 uid 1000 gid 1000",
            "--picture",
            &svg.to_string_lossy(),
            "--report",
            &html.to_string_lossy(),
        ];
        assert!(why(&words).status.success());
        let (svg, html) =
            (std::fs::read_to_string(svg).expect("written"), std::fs::read_to_string(html).expect("written"));
        holds(
            &svg,
            &[
                "<svg xmlns=",
                "&lt;/pre&gt;&lt;script&gt;x&amp;",
                "DELIVERED to 127.0.0.1:15001",
                "istio-redirect",
                "0 packets, 0 bytes",
            ],
        );
        // The numbers of the way: the marks of 5 rules.
        assert_eq!(svg.matches("<circle").count(), 5, "{svg}");
        holds(
            &html,
            &[
                "<!DOCTYPE html>",
                "default-src 'none'",
                "CAPTURED",
                "&lt;/pre&gt;&lt;script&gt;",
                "table ip istio-proxy-nat {",
            ],
        );
        assert!(!html.contains("<script") && !svg.contains("<script"), "{html}");
    });
}

#[test]
fn bad_input_is_one_line_with_the_remedy() {
    for (words, part) in [
        (&["tcp 10.0.0.1:*"][..], "packet \"tcp 10.0.0.1:40000\""),
        (&["--pid", "1", "--netns", "/x"], "cannot be used with"),
        (&["--netns", "/nowhere"], "/nowhere"),
        (&["--live"], "required"),
        (&["--seconds", "0", "udp 127.0.0.1:1 -> 127.0.0.1:2"], "--seconds"),
        (&["--picture", "/nowhere/x.svg"], "/nowhere/x.svg: "),
        (&["--in", "eth7", "udp 127.0.0.1:* -> 127.0.0.1:2"], "no such interface"),
    ] {
        if !needs_root() {
            return;
        }
        in_fresh_netns(|| {
            let output = why(words);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{words:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            holds(&stderr, &[part]);
        });
    }
}

#[test]
fn an_unknown_source_port_that_a_rule_asks_for_is_noted() {
    in_fresh_netns(|| {
        ip("link set lo up");
        nft_script("table ip t {\n chain out { type filter hook output priority 0; udp sport 1-1023 drop; }\n}\n");
        let (code, text) = asked(&["udp 127.0.0.1:* -> 127.0.0.1:5000"]);
        assert_eq!(code, Some(3));
        holds(&text, &["note    40000 stands for the source port *, and ip t out, rule 1, asks for it"]);
        // With the port there is nothing to note.
        let (_, text) = asked(&["udp 127.0.0.1:500 -> 127.0.0.1:5000"]);
        holds(&text, &["DROPPED by ip t out, rule 1"]);
        assert!(!text.contains("note"), "{text}");
    });
}
