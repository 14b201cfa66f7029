//! What tests against the real kernel share: a fresh network namespace each, and `ip` as a second opinion.

use std::io;
use std::process::Command;

/// Runs `test` in a network namespace of its own; says why when it can't.
pub(crate) fn in_namespace(test: impl FnOnce() + Send) {
    let _ran = or_skip(crate::sys::netns::in_new_namespace(test));
}

/// Runs `test` as a user without any capability, in the namespace of the calling thread; says why when it can't.
pub(crate) fn as_nobody(test: impl FnOnce() + Send) {
    let _ran = or_skip(crate::sys::netns::as_nobody(test));
}

/// A missing capability skips the test, unless `NFTMESH_REQUIRE_KERNEL=1`; every other error fails it.
pub(crate) fn or_skip<T>(outcome: io::Result<T>) -> Result<T, ()> {
    outcome.map_err(|error| {
        let may_skip = std::env::var_os("NFTMESH_REQUIRE_KERNEL").is_none_or(|value| value != "1");
        assert!(may_skip && error.kind() == io::ErrorKind::PermissionDenied, "no network namespace: {error}");
        eprintln!("SKIP: no network namespace: {error}");
    })
}

/// Runs `ip` with these words in the namespace of the calling thread and returns what it prints.
#[track_caller]
pub(crate) fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split_whitespace()).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs one command of nft in the namespace of the calling thread and returns what it prints.
#[track_caller]
pub(crate) fn nft(script: &str) -> String {
    let output = Command::new("nft").arg(script).output().expect("nftables is installed");
    assert!(output.status.success(), "nft {script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a sysctl of the calling thread's namespace, `net/ipv6/conf/lo/disable_ipv6`.
#[track_caller]
pub(crate) fn sysctl(path: &str, value: &str) {
    std::fs::write(format!("/proc/sys/{path}"), value).expect("the sysctl can be written");
}
