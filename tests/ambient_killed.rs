//! `ambient-init`, and `mesh-cni` for an ambient pod, killed at one system call after the other: a
//! captured pod stays captured, and the next run leaves exactly the configuration.
//!
//! strace kills them; `NFTMESH_SOAK=1` takes every system call, otherwise it is every eleventh.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::json;
use support::patience::patience;
use support::{NetNs, command, example, in_fresh_netns, ip, nft, say};

const REMOTE: &str = "10.77.0.9:9000";
const BEFORE: [&str; 2] = ["AMBIENT_DNS_CAPTURE=false", "AMBIENT_IPV6=false"];
const AFTER: [&str; 2] = ["AMBIENT_DNS_CAPTURE=true", "AMBIENT_IPV6=true"];

/// A pod that reaches a server.
struct Pod {
    pod: NetNs,
    _remote: NetNs,
}

impl Pod {
    fn new() -> Pod {
        let (pod, remote) = (NetNs::fresh(), NetNs::fresh());
        pod.run(|| {
            let words = "link add eth0 type veth peer name eth0 netns /proc/self/fd/0";
            let inside = remote.file.try_clone().expect("a descriptor");
            let status = command("ip").args(words.split(' ')).stdin(inside).status();
            assert!(status.is_ok_and(|status| status.success()), "{words}");
            ip("addr add 10.77.0.2/24 dev eth0");
            ip("link set eth0 up");
        });
        let listener = remote.run(|| {
            ip("addr add 10.77.0.9/24 dev eth0");
            ip("link set eth0 up");
            TcpListener::bind(REMOTE).expect("the port is free")
        });
        std::thread::spawn(move || listener.incoming().for_each(drop));
        Pod { pod, _remote: remote }
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.pod.file.as_raw_fd())
    }

    /// Returns whether what the pod sends is captured: nobody listens in place of ztunnel.
    fn is_captured(&self) -> bool {
        let to: SocketAddr = REMOTE.parse().expect("an address");
        let answer = self.pod.run(|| TcpStream::connect_timeout(&to, patience(Duration::from_secs(10))));
        answer.is_err_and(|why| why.kind() == ErrorKind::ConnectionRefused)
    }

    fn tables(&self) -> String {
        self.pod.run(|| nft("list tables"))
    }

    /// Returns all rules and routes; tables in one order.
    fn state(&self) -> String {
        self.pod.run(|| {
            let text = nft("-s list ruleset");
            let mut tables: Vec<&str> = text.split("\n}").map(str::trim).collect();
            tables.sort_unstable();
            let routes = ["rule", "-6 rule", "route show table 100", "-6 route show table 100"].map(ip);
            format!("{}{}", tables.join("\n"), routes.concat())
        })
    }
}

/// A program that sets a pod up.
#[derive(Clone, Copy, Debug)]
enum Program {
    Init,
    Plugin,
}

impl Program {
    /// Runs it; where a number is given it is killed at that system call of one of its threads.
    fn run(self, pod: &Pod, words: &[&str], at: Option<usize>) -> Output {
        let name = if let Program::Init = self { "ambient-init" } else { "mesh-cni" };
        let program = example(name);
        let mut run = match at {
            None => Command::new(program),
            Some(number) => {
                let mut strace = command("strace");
                let kill = format!("inject=all:signal=KILL:when={number}");
                strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &kill]).arg(program);
                strace
            }
        };
        let mut input = String::new();
        match self {
            Program::Init => {
                run.args(["--netns", &pod.path()]).args(words);
            }
            Program::Plugin => {
                run.env("CNI_COMMAND", "ADD").env("CNI_NETNS", pod.path()).env("CNI_CONTAINERID", "c1");
                run.env("CNI_IFNAME", "eth0");
                let options = words.iter().filter_map(|word| word.split_once('='));
                let options: serde_json::Map<_, _> =
                    options.map(|(name, value)| (name.to_owned(), json!(value == "true"))).collect();
                let config = json!({"cniVersion": "1.0.0", "name": "n", "type": "mesh-cni", "mesh": "ambient",
                                    "options": options, "prevResult": {"cniVersion": "1.0.0"}});
                input = config.to_string();
            }
        }
        let mut child = run
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|why| panic!("{name}: {why}"));
        // What is killed does not read it.
        drop(child.stdin.take().expect("a pipe").write_all(input.as_bytes()));
        child.wait_with_output().expect("it ends")
    }

    #[track_caller]
    fn succeed(self, pod: &Pod, words: &[&str]) {
        let output = self.run(pod, words, None);
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{self:?}: {printed}{}", String::from_utf8_lossy(&output.stdout));
    }
}

fn can_kill() -> bool {
    let words = ["-qq", "-o", "/dev/null", "-e", "inject=all:signal=KILL:when=1", "true"];
    let outcome = command("strace").args(words).stderr(Stdio::null()).status();
    let killed = outcome.is_ok_and(|status| !status.success());
    if !killed {
        say("SKIP: programs that are killed: strace is not there, or may not trace (apt-get install strace)");
    }
    killed
}

fn killed_everywhere(program: Program) {
    if !can_kill() {
        return;
    }
    let step = if std::env::var_os("NFTMESH_SOAK").is_some_and(|value| value == "1") { 1 } else { 11 };
    in_fresh_netns(|| {
        let wanted = {
            let pod = Pod::new();
            program.succeed(&pod, &AFTER);
            pod.state()
        };
        let [mut killed, mut between] = [0, 0];
        for at in (1..).step_by(step) {
            let [empty, held] = [(); 2].map(|()| Pod::new());
            Program::Init.succeed(&held, &BEFORE);
            let before = held.tables();
            let ended = [&empty, &held].map(|pod| program.run(pod, &AFTER, Some(at)).status.success());
            assert!(held.is_captured(), "{program:?}, killed at system call {at}: {}", held.state());
            // The tables of one configuration, never some of each.
            let after = [&empty, &held].map(Pod::tables);
            let whole = "table inet istio-ambient-";
            let is_whole =
                |tables: &str| tables.lines().count() == 3 && tables.lines().all(|line| line.starts_with(whole));
            let [of_empty, of_held] = &after;
            assert!(of_empty.is_empty() || is_whole(of_empty), "{program:?}, {at}: {of_empty}");
            assert!(*of_held == before || is_whole(of_held), "{program:?}, {at}: {of_held}");
            killed += ended.iter().filter(|ended| !**ended).count();
            between += usize::from(!ended[1] && is_whole(of_held));
            for pod in [&empty, &held] {
                program.succeed(pod, &AFTER);
                assert_eq!(pod.state(), wanted, "{program:?}, killed at system call {at}");
            }
            if ended == [true; 2] {
                break;
            }
        }
        say(format_args!("{program:?}: killed {killed} times, {between} of them after the rules were in"));
        assert!(killed > 10);
    });
}

#[test]
fn a_captured_pod_stays_captured_wherever_ambient_init_is_killed_and_the_next_run_ends_it() {
    killed_everywhere(Program::Init);
}

#[test]
fn a_captured_pod_stays_captured_wherever_an_add_is_killed_and_the_next_one_ends_it() {
    killed_everywhere(Program::Plugin);
}
