//! The 40 connections that distinguish sets of rules, and the answers recorded with the reference.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, fs, io, thread};

use super::{Listeners, PATIENCE, POD_V4, POD_V6, Pod, REMOTE_V4, REMOTE_V6, Who, connect, failure, read_answer, text};
use crate::support::patience::patience;
use crate::support::{command, golden_recorded, say, shared_dir, sys};

/// 40 connections, from app, proxy, an app with the proxy's group, and the gateway: one line for
/// each, `who what TAB answer`.
///
/// `apply` runs in the pod, before any server.
pub fn probe_matrix(apply: impl FnOnce() + Send, listeners: Listeners) -> String {
    let pod = Pod::new();
    pod.run(apply);
    pod.serving(listeners, || pod.probe_all())
}

/// Returns the same table from the scripts that made the recordings, for a command that applies
/// rules; `None`, after a printed skip, without them.
pub fn reference_matrix(command_line: &str, listeners: Listeners) -> Option<String> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let script = shared_dir()?.join("probe/matrix.sh");
    if !command("sh").args(["-c", "command -v python3 >/dev/null"]).status().is_ok_and(|status| status.success()) {
        say("SKIP: the scripts of the reference need python3");
        return None;
    }
    let name = format!("matrix-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
    let out = env::temp_dir().join(name);
    let log = out.with_extension("apply");
    let word = match listeners {
        Listeners::All => "yes",
        Listeners::NoInbound => "no-in",
        Listeners::None => "none",
        Listeners::NoOutbound => "no-out",
    };
    // The script names its namespaces by mounts: in a private mount namespace, the host sees none
    // of them.
    let output = command("unshare")
        .args(["--mount", "bash"])
        .arg(script)
        .arg(&out)
        .args([word, command_line])
        .stdin(Stdio::null())
        .output()
        .expect("unshare is part of every Linux system");
    let applied = fs::read_to_string(&log).unwrap_or_default();
    let table = fs::read_to_string(&out).unwrap_or_default();
    for file in [&out, &log] {
        fs::remove_file(file).unwrap_or_else(|error| panic!("{}: {error}\n{output:?}", file.display()));
    }
    assert!(applied.ends_with("rc=0\n"), "{command_line}\n{applied}");
    Some(table)
}

/// One recording of the reference: its 40 answers are `tests/golden/probes-NAME.txt`.
#[derive(Debug)]
pub struct Recording {
    pub name: &'static str,
    pub listeners: Listeners,
    pub environment: &'static str,
    /// As a shell reads them.
    pub flags: &'static str,
}

/// Every recording.
pub const RECORDINGS: &[Recording] = &[
    Recording {
        name: "redirect-ds",
        listeners: Listeners::All,
        environment: "ISTIO_DUAL_STACK=true",
        flags: "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020",
    },
    Recording {
        name: "redirect-v4-dns",
        listeners: Listeners::All,
        environment: "",
        flags: "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020 --redirect-dns --capture-all-dns",
    },
    Recording {
        name: "tproxy-ds",
        listeners: Listeners::All,
        environment: "ISTIO_DUAL_STACK=true",
        flags: "-p 15001 -z 15006 -u 1337 -m TPROXY -i '*' -x '' -b '*' -d 15090,15021,15020",
    },
    Recording {
        name: "tproxy-ds-noin",
        listeners: Listeners::NoInbound,
        environment: "ISTIO_DUAL_STACK=true",
        flags: "-p 15001 -z 15006 -u 1337 -m TPROXY -i '*' -x '' -b '*' -d 15090,15021,15020",
    },
];

impl Recording {
    /// Returns the shell command that runs `program` with the recorded options.
    pub fn command(&self, program: &Path) -> String {
        format!("env {} '{}' {}", self.environment, program.display(), self.flags)
    }

    /// Compares 40 answers with the recorded ones.
    #[track_caller]
    pub fn assert_answers(&self, answers: &str) {
        golden_recorded(&format!("probes-{}.txt", self.name), answers);
    }
}

impl Pod {
    /// Opens one TCP connection and returns who answers.
    pub fn connect(&self, who: Who, to: SocketAddr) -> String {
        self.ask(&Probe { who, what: String::new(), way: Way::Tcp, from: None, to })
    }

    /// Sends one datagram from this port of the pod, which is free again afterwards, and returns
    /// who answers.
    pub fn send_from(&self, who: Who, port: u16, to: SocketAddr) -> String {
        self.of(who).run(|| {
            who.assume();
            ask_udp_from(port, to).unwrap_or_else(|error| failure(&error))
        })
    }

    /// Runs all probes at the same time, so that several timeouts take as long as one.
    fn probe_all(&self) -> String {
        // Neighbour discovery first, so that no probe is delayed by it.
        for (who, address) in
            [(Who::Gateway, POD_V4), (Who::Gateway, POD_V6), (Who::Proxy, REMOTE_V4), (Who::Proxy, REMOTE_V6)]
        {
            self.ask(&Probe { who, what: String::new(), way: Way::Udp, from: None, to: (address, 9).into() });
        }
        thread::scope(|scope| {
            let asked: Vec<_> = probes()
                .map(|probe| scope.spawn(move || format!("{} {}\t{}\n", probe.who, probe.what, self.ask(&probe))))
                .collect();
            asked.into_iter().map(|line| line.join().expect("a probe answers or says what failed")).collect()
        })
    }

    fn ask(&self, probe: &Probe) -> String {
        self.of(probe.who).run(|| {
            probe.who.assume();
            let answer = match probe.way {
                Way::Tcp => connect(probe.to, probe.from).and_then(|mut stream| read_answer(&mut stream)),
                Way::Udp => ask_udp(probe.to),
            };
            answer.unwrap_or_else(|error| failure(&error))
        })
    }
}

#[derive(Debug)]
struct Probe {
    who: Who,
    what: String,
    way: Way,
    from: Option<IpAddr>,
    to: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Tcp,
    Udp,
}

fn probes() -> impl Iterator<Item = Probe> {
    let v4 = ("v4", REMOTE_V4, POD_V4, Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, 0, 0, 6).into());
    let v6 = ("v6", REMOTE_V6, POD_V6, Ipv6Addr::LOCALHOST.into(), Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6).into());
    [v4, v6].into_iter().flat_map(|(v, remote, pod, loopback, passthrough): (_, IpAddr, IpAddr, IpAddr, IpAddr)| {
        use Way::{Tcp, Udp};
        use Who::{App, AppOfProxyGroup, Gateway, Proxy};
        let src = format!("self-podip:8080 src {passthrough}");
        [
            (App, "remote:9000", Tcp, remote, 9000, None),
            (App, "remote:15008", Tcp, remote, 15008, None),
            (App, "self-podip:8080", Tcp, pod, 8080, None),
            (App, "lo:8080", Tcp, loopback, 8080, None),
            (App, "remote udp", Udp, remote, 9001, None),
            (App, "dns udp", Udp, remote, 53, None),
            (App, "dns tcp", Tcp, remote, 53, None),
            (App, "closed remote:9999", Tcp, remote, 9999, None),
            (Proxy, "remote:9000", Tcp, remote, 9000, None),
            (Proxy, "self-podip:8080", Tcp, pod, 8080, None),
            (Proxy, "lo:8080", Tcp, loopback, 8080, None),
            (Proxy, src.as_str(), Tcp, pod, 8080, Some(passthrough)),
            (Proxy, "self:15008", Tcp, pod, 15008, None),
            (Proxy, "dns udp", Udp, remote, 53, None),
            (AppOfProxyGroup, "remote:9000 (gid1337)", Tcp, remote, 9000, None),
            (AppOfProxyGroup, "self-podip:8080 (gid1337)", Tcp, pod, 8080, None),
            (Gateway, "pod:8080", Tcp, pod, 8080, None),
            (Gateway, "pod:15021", Tcp, pod, 15021, None),
            (Gateway, "pod:15008", Tcp, pod, 15008, None),
            (Gateway, "pod:7777(closed)", Tcp, pod, 7777, None),
        ]
        .map(|(who, what, way, to, port, from)| Probe {
            who,
            what: format!("{v}->{what}"),
            way,
            from,
            to: (to, port).into(),
        })
    })
}

fn ask_udp(to: SocketAddr) -> io::Result<String> {
    ask_udp_from(0, to)
}

fn ask_udp_from(port: u16, to: SocketAddr) -> io::Result<String> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = sys::udp((any, port).into())?;
    socket.set_read_timeout(Some(patience(PATIENCE)))?;
    socket.connect(to)?;
    socket.send(b"x")?;
    let mut buffer = [0; 300];
    let length = socket.recv(&mut buffer)?;
    Ok(text(buffer.get(..length)))
}
