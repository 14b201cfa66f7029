//! Code shared by the integration tests: private network namespaces, the real `nft` and `ip`,
//! golden files, and skipping.
//!
//! A test program with `mod support;` leaves the host's network before its `main` runs (see `sys`);
//! a test body then gets its own namespace from [`in_fresh_netns`]. Nothing here can touch the
//! host's rules, routes or addresses.
#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

pub mod anyone;
pub mod corpus;
pub mod patience;
pub mod readback;
pub mod running;
pub mod second_opinion;
pub mod stale;
pub mod sys;
pub mod version;

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, thread};

use anyone::runnable_by_anyone;
use nftmesh::kernel::{Kernel, interfaces};
use nftmesh::state::{Listing, Snapshot};

/// Runs `body` on a new thread, in a new network namespace with lo up. A panic of the body is
/// propagated.
///
/// Skips (see [`skip`]) where namespaces cannot be made.
pub fn in_fresh_netns(body: impl FnOnce() + Send) {
    if needs_namespaces() {
        on_own_thread(|| {
            sys::unshare_net().expect("the process has all capabilities in its namespaces");
            sys::loopback_up().expect("lo exists in every namespace");
            body();
        });
    }
}

/// A network namespace that lives as long as this value, or a socket in it.
#[derive(Debug)]
pub struct NetNs {
    pub file: File,
}

impl NetNs {
    /// Makes a new namespace with lo up.
    pub fn fresh() -> NetNs {
        on_own_thread(|| {
            sys::unshare_net().expect("the process has all capabilities in its namespaces");
            sys::loopback_up().expect("lo exists in every namespace");
            NetNs { file: File::open("/proc/thread-self/ns/net").expect("a thread may open its own namespace") }
        })
    }

    /// Runs `body` on a new thread inside this namespace; processes and threads that it starts are
    /// inside too.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        on_own_thread(|| {
            self.enter();
            body()
        })
    }

    /// Moves this thread into the namespace.
    pub fn enter(&self) {
        sys::set_net(&self.file).expect("the namespace was made in this user namespace");
    }
}

fn on_own_thread<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let name = thread::current().name().unwrap_or("test").to_owned();
    thread::scope(|scope| {
        let started = thread::Builder::new().name(name).spawn_scoped(scope, body);
        started.expect("a thread can be started").join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Reports that a test does not run, and why. With `NFTMESH_REQUIRE_KERNEL=1` this is a failure.
pub fn skip(reason: impl Display) {
    assert!(env::var_os("NFTMESH_REQUIRE_KERNEL").is_none_or(|value| value != "1"), "cannot run here: {reason}");
    say_skip(reason);
}

/// Prints a skip even when the test passes.
fn say_skip(reason: impl Display) {
    say(format_args!("SKIP: {}: {reason}", thread::current().name().unwrap_or("test")));
}

/// Prints a line past the capture of test output, so that a score shows even when the test passes.
pub fn say(what: impl Display) {
    let line = format!("{what}\n"); // one write, or lines of parallel tests mix
    drop(io::stderr().write_all(line.as_bytes()));
}

/// Returns false, after a [`skip`], where network namespaces cannot be made.
#[must_use]
pub fn needs_namespaces() -> bool {
    sys::entered().map_err(skip).is_ok()
}

/// Returns false, after a [`skip`], without the users that only real root can become.
#[must_use]
pub fn needs_root() -> bool {
    match sys::entered() {
        Ok(sys::Entered::AsRoot) => return true,
        Ok(sys::Entered::UserNamespace) => skip("needs root: it runs as several users"),
        Err(reason) => skip(reason),
    }
    false
}

/// Runs one test of this program again as nobody, with `NFTMESH_AS_NOBODY` set: before `main` it
/// enters a new user namespace.
#[track_caller]
pub fn as_nobody(test: &str) {
    if !needs_root() {
        return;
    }
    let program = env::current_exe().expect("a running program has a path");
    let mut command = Command::new(runnable_by_anyone(&program));
    command.args(["--exact", test, "--nocapture"]).env("NFTMESH_AS_NOBODY", "1").uid(65534).gid(65534);
    let output = command.output().expect("this program runs again");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Returns the directory of the recordings of the real `istio-iptables`: `NFTMESH_REFERENCE`, or
/// `../shared/istio-reference` beside the crate.
///
/// They are not part of the crate, so `None` is a printed skip and never a failure.
#[must_use]
pub fn shared_dir() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/istio-reference");
    let dir = env::var_os("NFTMESH_REFERENCE").map_or_else(beside, PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    say_skip(format_args!("no recordings of the reference (NFTMESH_REFERENCE names their directory)"));
    None
}

/// Returns a directory of `../shared`, beside the crate and not part of it; `None` is a printed
/// skip and never a failure.
#[must_use]
pub fn skip_without(name: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name);
    let found = dir.is_dir().then_some(dir);
    if found.is_none() {
        say_skip(format_args!("no {name} beside the crate"));
    }
    found
}

/// Runs the real nft with these words (`nft("list ruleset")`) in this thread's namespace and
/// returns what it printed.
#[track_caller]
pub fn nft(words: &str) -> String {
    succeed("nft", words, "")
}

/// Loads an nft script (`nft -f -`).
#[track_caller]
pub fn nft_script(script: &str) -> String {
    succeed("nft", "-f -", script)
}

/// Loads an nft script that must be refused; returns nft's complaint.
#[track_caller]
pub fn nft_fails(script: &str) -> String {
    let output = tool("nft", "-f -", script);
    assert!(!output.status.success(), "nft accepted:\n{script}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Loads an nft script, or returns nft's complaint, which is empty when nft crashes.
#[track_caller]
pub fn nft_takes(script: &str) -> Result<(), String> {
    let output = tool("nft", "-f -", script);
    let printed = || String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(printed()) }
}

/// Returns nft's listing, unless nft crashes over it.
#[track_caller]
pub fn nft_lists() -> Option<String> {
    let output = tool("nft", "list ruleset", "");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs the real ip with these words (`ip("route add default dev lo")`) in this thread's namespace.
#[track_caller]
pub fn ip(words: &str) -> String {
    succeed("ip", words, "")
}

/// Runs any program with words split at white space; panics, with its complaint, unless it
/// succeeds.
#[track_caller]
pub fn succeed(program: &str, words: &str, stdin: &str) -> String {
    let output = tool(program, words, stdin);
    assert!(
        output.status.success(),
        "{program} {words}: {}\n{}\n{stdin}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the tools print UTF-8")
}

#[track_caller]
fn tool(program: &str, words: &str, stdin: &str) -> Output {
    let mut command = command(program);
    command.args(words.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{program}: {error} (sh scripts/setup.sh test installs it)"));
    let mut input = child.stdin.take().expect("stdin is a pipe");
    thread::scope(|scope| {
        // A child that refuses early closes its end: its exit status is more informative than
        // EPIPE.
        scope.spawn(move || drop(input.write_all(stdin.as_bytes())));
        child.wait_with_output().expect("a child that was started can be waited for")
    })
}

/// Reads this thread's namespace and asserts that it lists as nft lists it, with handles and
/// without.
#[track_caller]
pub fn assert_lists_as_nft() -> Snapshot {
    let snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
    let names = interfaces().expect("a netlink socket");
    let listing = Listing::new(&snapshot).interfaces(names);
    assert_same(&timeless(&nft("list ruleset")), &timeless(&listing.to_string()), "nft list ruleset, and ours");
    let listing = listing.with_handles();
    assert_same(&timeless(&nft("-a list ruleset")), &timeless(&listing.to_string()), "nft -a list ruleset, and ours");
    snapshot
}

/// Returns a listing without the remaining times of elements.
pub fn timeless(listing: &str) -> String {
    let mut words = listing.split(' ').peekable();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if word == "#" && words.peek() == Some(&"progname") {
            // The name of the thread that owns a table, up to the end of the line.
            let name = words.nth(1).unwrap_or_default();
            kept.push(name.trim_start_matches(|c| c != '\n').to_owned());
        } else if word == "expires" {
            // The comma or line end after it stays.
            let time = words.next().unwrap_or_default();
            let end = time.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            kept.push(format!("expires{end}"));
        } else {
            kept.push(word.to_owned());
        }
    }
    kept.join(" ")
}

/// Returns a command that is also found in the sbin directories, which a user's PATH on Debian
/// lacks.
pub fn command(program: &str) -> Command {
    let path = env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Returns the path of an example, as `cargo test` builds it beside the test programs.
#[track_caller]
pub fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    let profile = test.parent().and_then(Path::parent).expect("a test program lies in PROFILE/deps");
    let path = profile.join("examples").join(name);
    assert!(path.exists(), "{} is missing: cargo build --examples", path.display());
    if let Some(source) = stale::newer_source(&path) {
        panic!("{} is older than {}: cargo build --examples", path.display(), source.display());
    }
    path
}

/// Compares with `tests/golden/NAME`; with `NFTMESH_BLESS=1` rewrites it.
///
/// The leading `#` lines of the file name what made it; they are kept and not compared.
#[track_caller]
pub fn golden(name: &str, actual: &str) {
    let path = golden_path(name);
    let file = fs::read_to_string(&path).unwrap_or_default();
    let (header, expected) = split_header(&file);
    if env::var_os("NFTMESH_BLESS").is_none_or(|value| value != "1") {
        assert_same(expected, actual, &format!("{} (NFTMESH_BLESS=1 rewrites it)", path.display()));
        return;
    }
    assert!(!actual.starts_with('#'), "the text of a golden cannot begin with #, its header does");
    let made_by = format!("# made by {}\n", std::panic::Location::caller().file());
    let header = if header.is_empty() { &made_by } else { header };
    fs::write(&path, format!("{header}{actual}")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Waits until the IPv6 addresses of this namespace are in its local table, which they enter a
/// moment after they are added.
#[track_caller]
pub fn wait_until_local(addresses: &[&str]) {
    let is_local = |table: &str, address: &str| table.contains(&format!("local {address} "));
    let are_local = || {
        let output = command("ip").args("-6 route show table local".split(' ')).output().expect("ip runs");
        let table = String::from_utf8_lossy(&output.stdout);
        addresses.iter().all(|address| is_local(&table, address))
    };
    assert!(patience::comes_true(are_local), "{addresses:?} do not become addresses of this host");
}

/// Compares the part of a page of the documentation that follows `marker`; with `NFTMESH_BLESS=1`
/// rewrites it.
#[track_caller]
pub fn golden_page(name: &str, marker: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let file = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (head, expected) = file.split_once(marker).unwrap_or_else(|| panic!("{name} has no line {marker}"));
    if env::var_os("NFTMESH_BLESS").is_none_or(|value| value != "1") {
        return assert_same(expected, actual, &format!("{name} (NFTMESH_BLESS=1 rewrites it)"));
    }
    fs::write(&path, format!("{head}{marker}{actual}")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Compares with `tests/golden/NAME`, a recording of another program, which is never rewritten.
#[track_caller]
pub fn golden_recorded(name: &str, actual: &str) {
    let path = golden_path(name);
    let file = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (_header, expected) = split_header(&file);
    assert_same(expected, actual, &path.display().to_string());
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn split_header(file: &str) -> (&str, &str) {
    let header = file.split_inclusive('\n').take_while(|line| line.starts_with('#')).map(str::len).sum();
    file.split_at(header)
}

/// Panics with the lines that differ, then with the whole of `actual`.
#[track_caller]
pub fn assert_same(expected: &str, actual: &str, what: &str) {
    if expected == actual {
        return;
    }
    let (mut want, mut got) = (expected.lines(), actual.lines());
    let mut differences = String::new();
    loop {
        match (want.next(), got.next()) {
            (None, None) => break,
            (want, got) if want == got => {}
            (want, got) => {
                differences.extend(want.map(|line| format!("-{line}\n")));
                differences.extend(got.map(|line| format!("+{line}\n")));
            }
        }
    }
    panic!("{what}: differs\n{differences}all of it:\n{actual}");
}
