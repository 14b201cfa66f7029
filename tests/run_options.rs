//! Options that control how `istio-init` and `guard` run: flags, variables, and the text of
//! refusals.

#![cfg(feature = "mesh")]

#[path = "../examples/common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use common::duration::duration;
use common::run::{RUN_FLAGS, RunMode, RunOptions};
use nftmesh::mesh::istio::OPTIONS;
use nftmesh::mesh::ports;
use proptest::prelude::*;

/// `-n` is a flag, `NAME=value` a variable, as on a command line.
fn resolve(given: &[&str]) -> Result<RunOptions, String> {
    let (flags, variables): (Vec<&str>, Vec<&str>) = given.iter().partition(|word| word.starts_with('-'));
    let variables: HashMap<&str, &str> = variables.iter().filter_map(|word| word.split_once('=')).collect();
    let command = common::drop_in::command("test", "", common::Own::default()).no_binary_name(true);
    let matches = command.try_get_matches_from(flags).map_err(|error| common::first_line(&error))?;
    RunOptions::with_environment(&matches, |name| variables.get(name).map(OsString::from))
}

#[test]
fn flags_and_variables_set_the_mode_and_the_namespace() {
    let run = |given: &[&str]| resolve(given).unwrap_or_else(|error| panic!("{given:?}: {error}"));
    let plain = run(&[]);
    assert_eq!((plain.mode, plain.validation, plain.network_namespace.clone()), (RunMode::Apply, None, None));
    assert!(!plain.dry_run && !plain.cni_mode && plain.warnings.is_empty());

    let all = run(&["-n", "--reconcile", "--cni-mode", "--network-namespace=/proc/1/ns/net", "CLEANUP_ONLY=t"]);
    assert!(all.dry_run && all.cni_mode && all.mode == RunMode::Cleanup);
    assert_eq!(all.network_namespace.as_deref(), Some(Path::new("/proc/1/ns/net")));
    assert!(!run(&["DRY_RUN=true", "--dry-run=false"]).dry_run, "a flag beats the environment");
    assert!(!run(&["DRY_RUN="]).dry_run, "a variable that is empty counts as not set");

    let validating = run(&["--run-validation", "--skip-rule-apply", "--probe-timeout=1m30s"]);
    assert_eq!(validating.mode, RunMode::Skip);
    let probe = validating.validation.expect("asked for");
    assert_eq!((probe.probe_port, probe.timeout), (ports::PROBE, Duration::from_secs(90)));

    let ignored = run(&["--native-nftables", "--force-iptables-binary=nft", "IPTABLES_TRACE_LOGGING=1"]);
    assert_eq!(
        ignored.warnings,
        [
            "--native-nftables: no effect, there is one backend",
            "IPTABLES_TRACE_LOGGING: no effect, nothing is logged",
            "--force-iptables-binary: no effect, no binary is run",
        ]
    );
}

#[test]
fn a_bad_value_is_refused_in_one_line_that_names_the_flag_or_the_variable() {
    for (given, expected) in [
        ("--iptables-probe-port=0", "1 to 65535"),
        ("--iptables-probe-port=+80", "1 to 65535"),
        ("IPTABLES_PROBE_PORT=65536", "1 to 65535"),
        ("--dry-run=", "true or false"),
        ("RECONCILE=maybe", "true or false"),
        ("--force-apply=2", "true or false"),
        ("--probe-timeout=5", "5s, 500ms or 1m30s"),
        ("--probe-timeout=-5s", "5s, 500ms or 1m30s"),
        ("PROBE_TIMEOUT=0s", "a timeout of 0"),
        ("--network-namespace=/run/\0", "NUL"),
    ] {
        let (name, value) = given.split_once('=').expect("the table gives a name and a value");
        let message = resolve(&[given]).expect_err(given);
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(message.starts_with(&format!("{name} {value:?}: ")), "{given:?}: {message}");
        assert!(message.contains(expected), "{given:?}: {message}");
    }
    let both = resolve(&["--cleanup-only", "SKIP_RULE_APPLY=1"]).expect_err("they exclude each other");
    assert!(both.starts_with("--cleanup-only and SKIP_RULE_APPLY are both given"), "{both}");
    let nowhere = resolve(&["--cni-mode"]).expect_err("no namespace is given");
    assert!(nowhere.starts_with("--cni-mode: no network namespace is given"), "{nowhere}");
}

#[test]
fn a_variable_that_is_not_utf_8_is_refused() {
    let matches =
        common::drop_in::command("test", "", common::Own::default()).no_binary_name(true).get_matches_from([""; 0]);
    let garbage = |name: &str| (name == "DRY_RUN").then(|| OsString::from_vec(vec![b'a', 0xff]));
    let message = RunOptions::with_environment(&matches, garbage).expect_err("not UTF-8");
    assert!(message.starts_with("DRY_RUN ") && message.contains("not UTF-8"), "{message}");
}

#[test]
fn flag_names_are_unique_and_every_default_is_valid() {
    let mut names: Vec<&str> = RUN_FLAGS.iter().flat_map(|flag| [flag.name, flag.variable]).collect();
    names.extend(OPTIONS.iter().filter(|option| option.is_flag).map(|option| option.name));
    names.extend(OPTIONS.iter().flat_map(|option| option.env.iter().copied()));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for flag in RUN_FLAGS {
        assert_eq!(flag.variable, flag.name.to_uppercase().replace('-', "_"));
        let given = format!("--{}={}", flag.name, flag.default);
        assert!(resolve(&[&given]).is_ok(), "{given}");
    }
}

proptest! {
    #[test]
    fn any_text_for_any_flag_is_read_or_refused_in_one_line_that_names_it(
        flag in prop::sample::select(RUN_FLAGS),
        value in prop_oneof![".*", "[0-9a-z,:*+./x -]{0,24}"],
    ) {
        for name in [format!("--{}", flag.name), flag.variable.to_owned()] {
            let given = format!("{name}={value}");
            if let Err(message) = resolve(&[&given]) {
                prop_assert_eq!(message.lines().count(), 1, "{}", message);
                prop_assert!(!message.contains(char::is_control), "{:?}", message);
                prop_assert!(message.contains(&name), "{}: {}", name, message);
            }
        }
    }
}

#[test]
fn durations_are_read_as_go_reads_them() {
    let cases = [
        ("5s", 5_000_000_000),
        ("500ms", 500_000_000),
        ("1m30s", 90_000_000_000),
        ("1.5h", 5_400_000_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("+1us", 1_000),
        ("1\u{b5}s2ns", 1_002),
        ("0", 0),
        ("0.000000001s", 1),
    ];
    for (text, nanoseconds) in cases {
        assert_eq!(duration(text), Some(Duration::from_nanos(nanoseconds)), "{text:?}");
    }
    for text in ["", "5", "s", ".s", "-5s", "5 s", "5d", "1e3s", "9223372037s", "99999999999999999999999h"] {
        assert!(duration(text).is_none(), "{text:?}");
    }
}
