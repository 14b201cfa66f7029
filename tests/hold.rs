//! Outbound connections wait for a proxy that starts late, and containers are captured or left
//! alone by control group: real sockets, and the programs that users run.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{scope, sleep};
use std::time::Duration;

use support::patience::{comes_true_within, patience};
use support::running::{PATIENCE, Running};
use support::{NetNs, example, in_fresh_netns, ip, needs_root, nft, say};

const DESTINATION: &str = "10.77.0.9:9000";
const DROPPED: &str = "tcp dport 15001";

/// A pod with a route to everywhere.
fn pod() {
    ip("link add eth0 type veth peer name peer");
    ip("addr add 10.77.0.2/24 dev eth0");
    ip("link set eth0 up");
}

fn connect() -> std::io::Result<TcpStream> {
    let to: SocketAddr = DESTINATION.parse().expect("an address");
    TcpStream::connect_timeout(&to, patience(PATIENCE))
}

fn greet(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.write_all(b"the proxy").expect("it is read");
}

fn greeting(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    text
}

#[test]
fn connections_wait_for_a_proxy_that_starts_late() {
    in_fresh_netns(|| {
        pod();
        let mut guard = Running::start("guard", &["--hold", "1h", "-i", "*"], Stdio::null());
        guard.until("guard: watching");
        assert!(nft("list table ip mesh-hold").contains(DROPPED));
        scope(|scope| {
            let application = scope.spawn(|| connect().map(greeting));
            // The first packet of the connection has been dropped.
            let is_held = || !nft("list table ip mesh-hold").contains("packets 0 bytes 0 drop");
            assert!(comes_true_within(patience(PATIENCE), is_held), "{}", nft("list ruleset"));
            assert!(!application.is_finished(), "it waits");
            let proxy = TcpListener::bind("127.0.0.1:15001").expect("nobody listens there");
            guard.until("guard: connections to port 15001 are held no longer: the proxy listens");
            greet(&proxy);
            assert_eq!(application.join().expect("it ends").expect("it is not refused"), "the proxy");
            assert!(!nft("list tables").contains("mesh-hold"));
            // From then on a proxy that is gone refuses, as before.
            drop(proxy);
            assert_eq!(connect().expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
        });
        assert_eq!(guard.end("TERM").0, Some(0));
    });
}

#[test]
fn a_proxy_that_takes_too_long_or_is_there_already_holds_nothing() {
    in_fresh_netns(|| {
        pod();
        let mut guard = Running::start("guard", &["--hold", "200ms", "-i", "*"], Stdio::null());
        guard.until("guard: connections to port 15001 are held no longer: the proxy took too long");
        let is_gone = || !nft("list tables").contains("mesh-hold");
        assert!(comes_true_within(patience(PATIENCE), is_gone));
        assert_eq!(connect().expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
        assert_eq!(guard.end("TERM").0, Some(0));
        let proxy = TcpListener::bind("127.0.0.1:15001").expect("nobody listens there");
        let mut guard = Running::start("guard", &["--hold", "1h", "-i", "*"], Stdio::null());
        let printed = guard.until("guard: watching");
        assert!(!printed.concat().contains("mesh-hold") && !nft("list tables").contains("mesh-hold"), "{printed:?}");
        drop(proxy);
        assert_eq!(guard.end("TERM").0, Some(0));
    });
}

#[test]
fn what_is_deleted_while_connections_wait_is_put_back() {
    in_fresh_netns(|| {
        pod();
        let mut guard = Running::start("guard", &["--hold", "1h", "-i", "*"], Stdio::null());
        guard.until("guard: watching");
        nft("delete table ip mesh-hold");
        let is_back = || nft("list ruleset").contains("held until the proxy listens");
        assert!(comes_true_within(patience(PATIENCE), is_back));
        assert_eq!(guard.end("TERM").0, Some(0));
    });
}

/// A resolver asks again after its time-out; it gives up on a refusal.
#[test]
fn dns_queries_wait_too_and_arrive_when_they_are_sent_again() {
    in_fresh_netns(|| {
        pod();
        let words = ["--hold", "1h", "-i", "*", "--redirect-dns", "--capture-all-dns"];
        let mut guard = Running::start("guard", &words, Stdio::null());
        guard.until("guard: watching");
        let resolver = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
        resolver.connect("10.77.0.9:53").expect("a route");
        resolver.set_read_timeout(Some(Duration::from_millis(300))).expect("a time");
        let ask = || {
            resolver.send(b"query")?;
            resolver.recv(&mut [0; 9])
        };
        for _ in 0..2 {
            assert_eq!(ask().expect_err("nobody answers").kind(), ErrorKind::WouldBlock, "{}", nft("list ruleset"));
        }
        let dropped = nft("list table ip mesh-hold");
        assert!(dropped.contains("udp dport 15053") && dropped.contains("packets 2 "), "{dropped}");
        scope(|scope| {
            let over_tcp = scope.spawn(|| {
                let to: SocketAddr = "10.77.0.9:53".parse().expect("an address");
                TcpStream::connect_timeout(&to, patience(PATIENCE)).map(greeting)
            });
            let is_held = || {
                !nft("list table ip mesh-hold")
                    .contains("tcp dport 15053 tcp flags syn / fin,syn,rst,ack ct status dnat counter packets 0")
            };
            assert!(comes_true_within(patience(PATIENCE), is_held), "{}", nft("list ruleset"));
            let (queries, connections) = (
                UdpSocket::bind("127.0.0.1:15053").expect("nobody listens there"),
                TcpListener::bind("127.0.0.1:15053").expect("nobody listens there"),
            );
            let _proxy = TcpListener::bind("127.0.0.1:15001").expect("nobody listens there");
            guard.until("guard: connections to port 15001 are held no longer: the proxy listens");
            greet(&connections);
            assert_eq!(over_tcp.join().expect("it ends").expect("it is not refused"), "the proxy");
            // The same socket asks again.
            resolver.send(b"query").expect("it is sent");
            assert_eq!(queries.recv_from(&mut [0; 9]).expect("it arrives").0, 5);
            assert!(!nft("list tables").contains("mesh-hold"));
        });
        assert_eq!(guard.end("TERM").0, Some(0));
    });
}

/// A control group of version 2, removed in the end.
struct Group(PathBuf, String);

impl Group {
    /// Returns `None` where there can be none.
    fn new() -> Option<Group> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let of_v2 = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
        let name = format!("nftmesh-test-{}", std::process::id());
        let path = Path::new(of_v2.split(' ').nth(1)?).join(&name);
        fs::create_dir(&path).ok()?;
        Some(Group(path, name))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that has just ended may still be counted.
        while fs::remove_dir(&self.0).is_err_and(|why| why.kind() == ErrorKind::ResourceBusy) {
            sleep(Duration::from_millis(10));
        }
    }
}

/// Answers every connection with a line.
fn serve(listener: TcpListener, answer: &'static str) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that is gone has failed already.
            drop(stream.expect("a connection").write_all(format!("{answer}\n").as_bytes()));
        }
    });
}

/// Connects from within a group, or outside it; returns who answered.
fn answer(group: Option<&Group>) -> String {
    let enter = group.map_or(String::new(), |group| format!("echo $$ > {}/cgroup.procs && ", group.0.display()));
    let (address, port) = DESTINATION.split_once(':').expect("a port");
    let script = format!("{enter}exec 3<>/dev/tcp/{address}/{port}; head -n 1 <&3");
    let output = Command::new("bash").args(["-c", &script]).output().expect("bash is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn containers_are_left_out_or_captured_alone_by_control_group() {
    if !needs_root() {
        return;
    }
    let Some(group) = Group::new() else { return say("SKIP: no control group of version 2 can be made") };
    in_fresh_netns(|| {
        let remote = NetNs::fresh();
        let other_end = format!("/proc/{}/fd/{}", std::process::id(), remote.file.as_raw_fd());
        ip("link add eth0 type veth peer name eth1");
        ip(&format!("link set eth1 netns {other_end}"));
        ip("addr add 10.77.0.2/24 dev eth0");
        ip("link set eth0 up");
        let listener = remote.run(|| {
            ip("addr add 10.77.0.9/24 dev eth1");
            ip("link set eth1 up");
            TcpListener::bind(DESTINATION).expect("nobody listens there")
        });
        serve(listener, "remote");
        serve(TcpListener::bind("127.0.0.1:15001").expect("nobody listens there"), "proxy");
        let init = |words: &[&str]| {
            let command = Command::new(example("istio-init")).args(["-i", "*"]).args(words).output();
            let output = command.expect("it starts");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (code, why) = init(&["--exclude-cgroups", "no/such/group"]);
        assert!(code == Some(1) && why.contains("control group no/such/group"), "{why}");
        let (code, why) = init(&["--exclude-cgroups", &group.1, "--include-cgroups", &group.1]);
        assert!(code == Some(1) && why.contains("give one of them"), "{why}");
        assert_eq!(nft("list tables"), "");
        for (option, [within, outside]) in
            [("--exclude-cgroups", ["remote", "proxy"]), ("--include-cgroups", ["proxy", "remote"])]
        {
            let (code, why) = init(&[option, &group.1]);
            assert_eq!(code, Some(0), "{why}");
            assert_eq!([answer(Some(&group)), answer(None)], [within, outside], "{option}: {}", nft("list ruleset"));
            let (code, why) = init(&[option, &group.1, "--verify"]);
            assert_eq!(code, Some(0), "{why}");
        }
    });
}
