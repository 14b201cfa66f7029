//! The program of `make demo`: it prints where each connection arrived, and fails when that is not
//! the expected place.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use support::{command, example, in_fresh_netns, ip, needs_root, nft, skip, sys};

#[test]
fn every_connection_reaches_its_expected_listener() {
    if !needs_root() {
        return;
    }
    let printed = succeed(Command::new(example("demo")));
    for row in [
        "app 1000:1000 10.77.0.1:9000 proxy:15001 10.77.0.1:9000 remote:9000 10.77.0.2",
        "app 1000:1000 10.77.0.1:53/udp proxy:15053 - remote:53 10.77.0.2",
        "app 1000:1000 [fd77::1]:9000 proxy:15001 [fd77::1]:9000 remote:9000 fd77::2",
        "proxy 1337:1337 10.77.0.1:9000 nobody - remote:9000 10.77.0.2",
        "remote 10.77.0.2:8080 proxy:15006 10.77.0.2:8080 app:8080 127.0.0.6",
        "remote [fd77::2]:8080 proxy:15006 [fd77::2]:8080 app:8080 ::6",
        "remote 10.77.0.2:15021 nobody - proxy:15021 10.77.0.1",
        "remote 10.77.0.2:8080 proxy:15006 10.77.0.2:8080 app:8080 10.77.0.1",
        "remote [fd77::2]:8080 proxy:15006 [fd77::2]:8080 app:8080 fd77::1",
        "22 of 22 connections went where they should.",
    ] {
        assert_has(&printed, row);
    }
    assert!(printed.contains("\ntable inet istio-proxy-nat {\n"), "{printed}");
    assert!(!printed.contains("Left out"), "{printed}");
}

#[test]
fn with_one_user_the_demo_reports_what_it_left_out() {
    // Not every user may read the directory that the program was built in.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = dir.path().join("demo");
    fs::copy(example("demo"), &program).expect("a copy of the program");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("an own directory");
    let as_one_user = |program: &mut Command| match sys::entered() {
        Ok(sys::Entered::AsRoot) => drop(program.uid(NOBODY).gid(NOBODY)),
        Ok(sys::Entered::UserNamespace) | Err(_) => {}
    };
    let mut unshare = command("unshare");
    as_one_user(unshare.args(["--user", "--map-root-user", "--net", "true"]));
    if !unshare.status().is_ok_and(|status| status.success()) {
        return skip("user namespaces are not for everybody here");
    }

    let mut demo = Command::new(program);
    as_one_user(&mut demo);
    let printed = succeed(demo);
    for row in [
        "proxy 0:0 10.77.0.1:9000 nobody - remote:9000 10.77.0.2",
        "remote 10.77.0.2:8080 proxy:15006 10.77.0.2:8080 app:8080 127.0.0.6",
        "remote [fd77::2]:15021 nobody - proxy:15021 fd77::1",
        "remote [fd77::2]:8080 proxy:15006 [fd77::2]:8080 app:8080 fd77::1",
        "12 of 12 connections went where they should.",
    ] {
        assert_has(&printed, row);
    }
    assert!(printed.contains("\nLeft out: the application's own connections."), "{printed}");
}

#[test]
fn the_namespace_of_the_demo_is_unchanged() {
    in_fresh_netns(|| {
        let state = || [nft("list ruleset"), ip("-o addr"), ip("route"), ip("-6 route"), ip("rule")].concat();
        let before = state();
        succeed(Command::new(example("demo")));
        assert_eq!(state(), before);
    });
}

#[track_caller]
fn succeed(mut demo: Command) -> String {
    let output = demo.output().expect("the demo starts");
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && errors.is_empty(), "{}\n{printed}{errors}", output.status);
    printed.into_owned()
}

/// Ignores the spaces between columns.
#[track_caller]
fn assert_has(printed: &str, row: &str) {
    let rows = || printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    assert!(rows().any(|line| line == row), "no row {row:?} in\n{printed}");
}

const NOBODY: u32 = 65534;
