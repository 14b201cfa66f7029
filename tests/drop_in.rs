//! The example `istio-init` in place of `istio-iptables`: started as Istio starts that program,
//! with the privileges of its container.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::anyone::runnable_by_anyone;
use support::patience::patience;
use support::running::{PATIENCE, Running};
use support::{NetNs, command, example, in_fresh_netns, ip, needs_root, nft};

/// The arguments that Istio's injection template writes for a pod with default settings.
const TEMPLATE: &[&str] = &[
    "istio-iptables",
    "-p",
    "15001",
    "-z",
    "15006",
    "-u",
    "1337",
    "-m",
    "REDIRECT",
    "-i",
    "*",
    "-x",
    "",
    "-b",
    "*",
    "-d",
    "15090,15021,15020",
    "--log_output_level=default:info",
];

/// Adds an address as a pod has one, so that there is no warning about its absence.
fn with_an_address() {
    ip("link add eth0 type veth peer name eth1");
    ip("addr add 10.77.0.2/24 dev eth0");
}

fn istio_init() -> Command {
    command(&example("istio-init").to_string_lossy())
}

fn run(words: &[&str]) -> Output {
    istio_init().args(words).output().expect("the example runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Parses the lines of both streams as JSON objects with the four fields, and returns levels and
/// messages.
#[track_caller]
fn objects(output: &Output) -> Vec<(String, String)> {
    let lines = text(&output.stdout) + &text(&output.stderr);
    let field = |object: &Value, name: &str| {
        object.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no {name}: {object}")).to_owned()
    };
    let object = |line: &str| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(field(&object, "scope"), "istio-init");
        assert!(field(&object, "time").ends_with('Z'), "{line}");
        (field(&object, "level"), field(&object, "msg"))
    };
    lines.lines().map(object).collect()
}

#[test]
fn the_argument_lines_of_the_injection_template_work() {
    in_fresh_netns(|| {
        with_an_address();
        let output = run(&[TEMPLATE, &["--log_as_json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let printed = objects(&output);
        assert!(
            printed.contains(&("info".into(), "installed table inet istio-proxy-nat".into()))
                || nft("list tables").contains("istio-proxy-nat")
        );
        assert!(printed.iter().all(|(level, _)| level == "info"), "{printed:?}");
        let rules = nft("-s list ruleset");
        for more in [
            &["--log_as_json", "--force-apply"][..],
            &["--force-apply", "--native-nftables"],
            &["--native-nftables=true", "--log_as_json=false"],
            &["--run-validation", "--probe-timeout=100ms", "--skip-rule-apply", "--log_as_json"],
        ] {
            let output = run(&[TEMPLATE, more].concat());
            // This user's connections are not captured here, so validation fails, with the code of
            // that program.
            let expected = if more.contains(&"--run-validation") { 126 } else { 0 };
            assert_eq!(output.status.code(), Some(expected), "{more:?}: {}", text(&output.stderr));
            assert_eq!(nft("-s list ruleset"), rules, "{more:?}");
        }
        let flags_first = run(&[&["--log_as_json"], TEMPLATE, &["--verify"]].concat());
        assert_eq!(flags_first.status.code(), Some(0), "{}", text(&flags_first.stderr));
    });
}

/// Flags of `istio-iptables` of any release that have no effect here.
const INERT: &[&str] = &[
    "--log_as_json",
    "--log_as_json=false",
    "--log_caller=default,all",
    "--log_output_level default:debug,all:info",
    "--log_rotate /var/log/x",
    "--log_rotate_max_age 30",
    "--log_rotate_max_backups=1000",
    "--log_rotate_max_size 104857600",
    "--log_stacktrace_level=default:none",
    "--log_target stdout",
    "--log_target stdout --log_target /tmp/x",
    "--vklog 9",
    "--vklog=9",
    "-v 2",
    "--v=2",
    "--stderrthreshold=INFO",
    "--logtostderr",
    "--alsologtostderr=true",
    "--native-nftables",
    "--force-iptables-binary nft",
    "--iptables-trace-logging",
    "--iptables-version 1.8.7",
    "--restore-format=false",
    "-f",
    "--host-nsenter-exec",
    "--reconcile",
    "--force-apply",
];

#[test]
fn every_flag_of_istio_iptables_is_accepted_with_at_most_a_warning() {
    in_fresh_netns(|| {
        with_an_address();
        assert!(run(TEMPLATE).status.success());
        for flag in INERT {
            let words: Vec<&str> = TEMPLATE.iter().copied().chain(flag.split(' ')).chain(["--plan"]).collect();
            let output = run(&words);
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(0), "{flag}: {err}");
            assert!(out.contains("in sync"), "{flag}: {out}");
            assert!(err.lines().count() <= 1, "{flag}: {err}");
            assert!(err.is_empty() || err.contains("no effect"), "{flag}: {err}");
        }
        // Misspelt flags are still refused.
        for (flag, expected) in [("--log_as_jason", "--log_as_jason"), ("istio-ip6tables", "istio-ip6tables")] {
            let output = run(&[TEMPLATE, &[flag]].concat());
            let err = text(&output.stderr);
            assert!(output.status.code() == Some(1) && err.lines().count() == 1 && err.contains(expected), "{err}");
        }
    });
}

#[test]
fn json_lines_are_valid_for_any_input() {
    in_fresh_netns(|| {
        for value in ["a\"b\\c", "a\nb\tc", "a\u{202e}b\u{1b}[2J", "a\u{2028}b", "caf\u{e9}", "{\"msg\":\"x\"}"] {
            for words in
                [&["-c", value, "-b", value][..], &["--network-namespace", value], &["-p", value], &["--x", value]]
            {
                let output = run(&[words, &["--log_as_json"]].concat());
                assert_eq!(output.status.code(), Some(1), "{words:?}");
                let printed = objects(&output);
                let errors: Vec<&(String, String)> = printed.iter().filter(|(level, _)| level == "error").collect();
                assert_eq!(errors.len(), 1, "{words:?}: {printed:?}");
                assert!(text(&output.stderr).lines().all(is_printable), "{words:?}");
            }
        }
        nft("add table inet istio-proxy-nat { comment \"x\"; }");
        let output = run(&[TEMPLATE, &["--verify", "--log_as_json"]].concat());
        assert_eq!(output.status.code(), Some(3));
        assert!(objects(&output).len() > 5, "a plan is told line by line");
        let output = run(&[TEMPLATE, &["--dry-run", "--log_as_json"]].concat());
        let script: String =
            objects(&output).into_iter().filter(|(level, _)| level == "info").map(|(_, line)| line + "\n").collect();
        support::nft_script(&script);
    });
}

/// Returns whether a line is free of control characters and of marks that change the direction of
/// writing.
fn is_printable(line: &str) -> bool {
    let turns =
        ['\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}'];
    !line.contains(|c: char| c.is_control() || turns.contains(&c) || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'))
}

#[test]
fn paths_and_values_are_escaped_wherever_they_are_printed() {
    in_fresh_netns(|| {
        let bad = "x\u{202e}y\u{1b}[2Kz\nw";
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(bad);
        fs::write(&file, "not what is looked for \u{202e}\n").expect("written");
        let file = file.to_string_lossy().into_owned();
        let run = |program: &str, words: &[&str]| {
            let output = command(&example(program).to_string_lossy()).args(words).output().expect("the example runs");
            let printed = text(&output.stderr);
            assert!(!output.status.success(), "{program} {words:?}");
            assert!(printed.lines().all(is_printable), "{program} {words:?}: {printed:?}");
            assert!(printed.lines().count() <= 2 && printed.contains("\\u{202e}"), "{program} {words:?}: {printed:?}");
        };
        for program in ["istio-init", "guard"] {
            run(program, &["--network-namespace", &file]);
            run(program, &["--network-namespace", bad]);
            run(program, &["-u", bad]);
            run(program, &["-d", &format!("80,{bad}")]);
            run(program, &[bad]);
        }
        let packet = "tcp 10.77.0.2:40000 -> 10.0.0.1:80";
        for source in
            [format!("save:{file}"), format!("netns:{file}"), format!("netns:{bad}"), format!("istio:-u '{bad}'")]
        {
            run("walk", &[&source, "--packet", packet]);
            run("compare", &[&source, "live"]);
        }
        run("trace", &[&format!("netns:{file}")]);
    });
}

#[test]
fn foreign_names_are_escaped_in_plans() {
    in_fresh_netns(|| {
        with_an_address();
        assert!(run(TEMPLATE).status.success());
        nft("add rule ip istio-proxy-nat istio-inbound counter comment \"a\u{202e}b\"");
        let output = run(&[TEMPLATE, &["--plan"]].concat());
        let plan = text(&output.stdout);
        assert!(plan.lines().all(is_printable) && plan.contains("a\\u{202e}b"), "{plan:?}");
        let output = run(&[TEMPLATE, &["--verify"]].concat());
        assert!(text(&output.stderr).lines().all(is_printable));
    });
}

#[test]
fn foreign_comments_are_escaped_in_walks() {
    in_fresh_netns(|| {
        with_an_address();
        ip("link set eth0 up");
        let script = "table ip t {\n chain o {\n type filter hook output priority 0;\n tcp dport 80 counter comment \"a\u{202e}b\" \n }\n}";
        support::nft_script(script);
        let packet = "tcp 10.77.0.2:40000 -> 10.77.0.9:80";
        let output = command(&example("walk").to_string_lossy()).args(["--packet", packet]).output().expect("it runs");
        let printed = text(&output.stdout) + &text(&output.stderr);
        assert!(printed.lines().all(|line| is_printable(&line.replace('\t', " "))), "{printed:?}");
        assert!(printed.contains("\\u{202e}"), "{printed}");
    });
}

#[test]
fn guard_prints_every_line_as_json_when_asked() {
    in_fresh_netns(|| {
        with_an_address();
        let words = [TEMPLATE, &["--log_as_json"]].concat();
        let mut guard = Running::start("guard", &words, Stdio::inherit());
        let until = |part: &str| loop {
            let line = guard.printed.recv_timeout(patience(PATIENCE)).unwrap_or_else(|error| panic!("{part}: {error}"));
            let object: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(object.get("scope").and_then(Value::as_str), Some("guard"), "{line}");
            if object.get("msg").and_then(Value::as_str).is_some_and(|msg| msg.contains(part)) {
                return;
            }
        };
        until("watching");
        nft("add rule ip istio-proxy-nat output counter comment \"a\u{202e}\"");
        until("a\\u{202e}");
        until("restored");
        guard.signal("TERM");
        until("stopping");
        assert_eq!(guard.child.wait().expect("it ends").code(), Some(0));
    });
}

#[test]
fn a_message_names_the_item_and_its_position_but_not_the_list() {
    in_fresh_netns(|| {
        let list = |good: &dyn Fn(usize) -> String, bad: &str| {
            let item = |n| if n == 6_543 { bad.to_owned() } else { good(n) };
            (0..8_000).map(item).collect::<Vec<_>>().join(",")
        };
        let cidrs = list(&|n| format!("10.{}.{}.0/24", n / 256, n % 256), "10.0.0.0/33");
        let ports = list(&|n| (n + 1).to_string(), "70000");
        let gids = list(&|n| (n + 1).to_string(), "nobody-knows-me");
        let names = list(&|n| format!("veth{n}"), "a/b");
        let word = "y".repeat(100_000);
        let cases: &[(&[&str], &str)] = &[
            (&["-i", &cidrs], "item 6544, \"10.0.0.0/33\""),
            (&["-x", &cidrs], "item 6544, \"10.0.0.0/33\""),
            (&["-b", &ports], "item 6544, \"70000\""),
            (&["-q", &ports], "item 6544, \"70000\""),
            (&["-g", &gids], "item 6544, \"nobody-knows-me\""),
            (&["-c", &names], "item 6544, \"a/b\""),
            (&["-b", &word], "100000 bytes"),
            (&["-p", &word], "100000 bytes"),
            (&["-m", &word], "100000 bytes"),
            (&["-d", &format!("80,{word}")], "item 2, "),
            (&["--probe-timeout", &word], "100000 bytes"),
            (&["--redirect-dns", &format!("--drop-invalid={word}")], "100000 bytes"),
            (&[&word], "not a flag"),
            (&[&format!("--{word}")], "unexpected argument"),
            (&["--network-namespace", &word], "File name too long"),
        ];
        for (words, expected) in cases {
            let output = run(words);
            let printed = text(&output.stderr);
            let error = printed.lines().last().unwrap_or_default();
            assert_eq!(output.status.code(), Some(1), "{error}");
            assert!(error.contains(expected) && error.len() < 600, "{expected}: {} bytes: {error:.900}", error.len());
        }
        for (name, value) in [
            ("ISTIO_SERVICE_CIDR", &cidrs),
            ("ISTIO_INBOUND_PORTS", &ports),
            ("ISTIO_OUTBOUND_OWNER_GROUPS", &gids),
            ("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", &word),
        ] {
            let output = istio_init().env(name, value).output().expect("the example runs");
            let printed = text(&output.stderr);
            assert!(output.status.code() == Some(1) && printed.contains(name) && printed.len() < 900, "{printed:.900}");
        }
        // Warnings do not quote the list either.
        let output =
            istio_init().env("ENVOY_USER", &word).args(["-b", &format!("{},,", ports.replace("70000", "7"))]).output();
        let output = output.expect("the example runs");
        assert!(output.status.success() && text(&output.stderr).len() < 1_200, "{:.900}", text(&output.stderr));
    });
}

#[test]
fn a_plugin_without_a_namespace_changes_nothing() {
    in_fresh_netns(|| {
        let missing: [&[&str]; 4] = [&[], &["--network-namespace", ""], &["--network-namespace="], &["--cleanup-only"]];
        for words in missing {
            for program in ["istio-init", "guard"] {
                let output = command(&example(program).to_string_lossy())
                    .args([TEMPLATE, &["--cni-mode"], words].concat())
                    .output()
                    .expect("the example runs");
                let printed = text(&output.stderr);
                assert!(output.status.code() == Some(1), "{program} {words:?}: {printed}");
                assert!(
                    printed.contains("--cni-mode") && printed.contains("--network-namespace"),
                    "{program}: {printed}"
                );
                assert_eq!(nft("list ruleset"), "", "{program} {words:?}");
            }
        }
        // With variables too, and with the path of the caller's own namespace.
        let output = istio_init().env("CNI_MODE", "true").env("NETWORK_NAMESPACE", "").args(TEMPLATE).output();
        assert_eq!(output.expect("the example runs").status.code(), Some(1));
        let own = fs::read_link("/proc/thread-self").expect("/proc is mounted");
        let own = format!("/proc/{}/ns/net", own.display());
        for program in ["istio-init", "guard"] {
            let output = command(&example(program).to_string_lossy())
                .args([TEMPLATE, &["--cni-mode", "--network-namespace", &own]].concat())
                .output()
                .expect("the example runs");
            let printed = text(&output.stderr);
            assert!(output.status.code() == Some(1) && printed.contains("give the pod's"), "{program}: {printed}");
        }
        assert_eq!(nft("list ruleset"), "");
        let pod = NetNs::fresh();
        let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&pod.file));
        assert!(run(&[TEMPLATE, &["--cni-mode", "--network-namespace", &path]].concat()).status.success());
        assert!(pod.run(|| nft("list tables")).contains("istio-proxy-nat"));
        assert_eq!(nft("list ruleset"), "");
    });
}

#[test]
fn mode_none_installs_nothing_and_reports_it() {
    in_fresh_netns(|| {
        let words: Vec<&str> = TEMPLATE.iter().map(|word| if *word == "REDIRECT" { "NONE" } else { word }).collect();
        let output = run(&words);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("nothing was changed"), "{}", text(&output.stdout));
        assert_eq!(nft("list ruleset"), "");
    });
}

/// Runs a shell script in its own mount namespace.
fn in_own_mounts(script: &str, arguments: &[&str]) -> Output {
    let mut shell = command("unshare");
    shell.args(["--mount", "sh", "-eu", "-c", script, "sh"]).args(arguments).output().expect("unshare runs")
}

#[test]
fn resolv_conf_is_read_when_dns_is_captured_and_only_a_regular_file() {
    in_fresh_netns(|| {
        with_an_address();
        let program = example("istio-init").to_string_lossy().into_owned();
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().to_string_lossy().into_owned();
        // $1 replaces /etc/resolv.conf, the rest is run, and ended if it hangs.
        let script = "cd \"$1\"; mkfifo pipe; mkdir -p folder; \
            head -c 1048577 /dev/zero | tr '\\0' '#' > large; head -c 1048000 large > most; \
            printf '\\nnameserver 10.0.0.10\\n' >> most; mount --bind \"$2\" \"$(readlink -f /etc/resolv.conf)\"; \
            shift 2; exec timeout -s KILL 60 \"$@\"";
        if !Path::new("/etc/resolv.conf").exists() {
            support::skip("there is no /etc/resolv.conf to put something else in the place of");
            return;
        }
        let with = |file: &str, more: &[&str]| {
            drop(fs::remove_dir_all(&dir));
            fs::create_dir(&dir).expect("a directory");
            in_own_mounts(script, &[&[&dir, file, &program], TEMPLATE, more].concat())
        };
        for (file, expected) in
            [("pipe", "a pipe (FIFO)"), ("/dev/zero", "a device"), ("large", "larger than 1048576 bytes")]
        {
            let output = with(file, &["--redirect-dns"]);
            let printed = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{file}: {printed}");
            assert!(printed.contains("/etc/resolv.conf") && printed.contains(expected), "{file}: {printed}");
            assert_eq!(nft("list ruleset"), "", "{file}");
            for unread in [&[][..], &["--redirect-dns", "--capture-all-dns"]] {
                let output = with(file, &[unread, &["--dry-run"]].concat());
                assert_eq!(output.status.code(), Some(0), "{file} {unread:?}: {}", text(&output.stderr));
            }
        }
        let output = with("most", &["--redirect-dns", "--dry-run"]);
        assert!(text(&output.stdout).contains("10.0.0.10"), "{}", text(&output.stderr));
    });
}

#[test]
fn the_capabilities_of_the_init_container_are_enough() {
    if !needs_root() {
        return;
    }
    // As a container runtime does: everything read-only, /proc/sys too, no new privileges, two
    // capabilities.
    let contained = "mount --make-rprivate /; \
        mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; mount -o remount,bind,ro /; \
        exec setpriv --no-new-privs --inh-caps -all --bounding-set -all,+net_admin,+net_raw \"$@\"";
    // The validation in a pod set up by a plugin: the proxy's user, without any capability.
    let unprivileged = "exec setpriv --no-new-privs --inh-caps -all --bounding-set -all \
        --reuid 1337 --regid 1337 --clear-groups \"$@\"";
    // Neither user may enter a private directory.
    let program = runnable_by_anyone(&example("istio-init")).to_string_lossy().into_owned();
    let program = program.as_str();
    for mode in ["REDIRECT", "TPROXY"] {
        in_fresh_netns(|| {
            with_an_address();
            let words: Vec<&str> = TEMPLATE.iter().map(|word| if *word == "REDIRECT" { mode } else { word }).collect();
            let status = text(&in_own_mounts(contained, &["cat", "/proc/self/status"]).stdout);
            assert!(status.contains("CapEff:\t0000000000003000") && status.contains("NoNewPrivs:\t1"), "{status}");
            let writes = in_own_mounts(contained, &["sh", "-c", "touch /x || echo 1 > /proc/sys/net/ipv4/ip_forward"]);
            assert!(!writes.status.success(), "nothing can be written");
            for more in [&["--log_as_json"][..], &["--force-apply"], &["--native-nftables"], &["--verify"], &["--plan"]]
            {
                let output = in_own_mounts(contained, &[&[program], &words[..], more].concat());
                assert_eq!(output.status.code(), Some(0), "{mode} {more:?}: {}", text(&output.stderr));
            }
            assert!(nft("list tables").contains("istio-proxy-nat"));
            assert_eq!(ip("rule").contains("fwmark 0x539"), mode == "TPROXY");
            let output = in_own_mounts(
                unprivileged,
                &[&[program], &words[..], &["--run-validation", "--skip-rule-apply"]].concat(),
            );
            assert_eq!(output.status.code(), Some(0), "{mode}: {}", text(&output.stderr));
            let output = in_own_mounts(contained, &[program, "istio-iptables", "--cleanup-only"]);
            assert_eq!(output.status.code(), Some(0), "{mode}: {}", text(&output.stderr));
            assert_eq!(nft("list ruleset"), "");
            // Without capabilities the error names the missing one.
            let mut command = Command::new(program);
            let output = command.args(&words).uid(1337).gid(1337).output().expect("the example runs");
            assert!(text(&output.stderr).contains("CAP_NET_ADMIN"), "{}", text(&output.stderr));
        });
    }
}
