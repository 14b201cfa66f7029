//! The example `mesh-node` under vandals, which break rules and routes of its pods at random, while
//! it is killed and stopped at random, and every pod makes connections all the time: none passes
//! the proxy while the rules are there, and in the end every pod is as it was.
//!
//! `NFTMESH_SOAK=1` (make soak, make soak-node) goes on for ten minutes; `NFTMESH_SOAK_SECONDS` and
//! `NFTMESH_SOAK_PODS` say how long and over how many pods, `NFTMESH_SOAK_SEED` repeats the
//! sequence of one pod.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

#[path = "support/node.rs"]
mod node;
mod support;

use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{scope, sleep, spawn};
use std::time::{Duration, Instant};

use nftmesh::kernel::Kernel;
use nftmesh::model::{Generation, Ruleset, TableId};
use nftmesh::pod::Pod as Installed;
use nftmesh::state::Snapshot;
use node::Node;
use support::patience::{comes_true_within, patience};
use support::{NetNs, example, in_fresh_netns, ip, nft, say, succeed, sys};

/// What a pod has, by the beginning of its name.
const CONFIG: &str = "\
istio-*    istio:-i '*' -b '*' -d 15090,15021,15020
tproxy-*   istio:ISTIO_DUAL_STACK=true -i '*' -b '*' -m TPROXY
linkerd-*  linkerd:-p 4143 -o 4140 -u 2102
kuma-*     kuma:--redirect-all-dns-traffic
ambient-*  ambient:AMBIENT_DNS_CAPTURE=true AMBIENT_IPV6=true
";
const KINDS: [&str; 5] = ["istio", "tproxy", "linkerd", "kuma", "ambient"];
/// The ports of the proxies of all of them.
const PROXIES: [u16; 2] = [15001, 4140];

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    /// Returns a number below this.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len() as u64) as usize)
    }
}

#[derive(Debug, Default)]
struct Figures {
    acts: u64,
    proxied: u64,
    /// Past the proxy while the rules were broken.
    past_broken_rules: u64,
    /// Past the proxy while the rules were there.
    past_whole_rules: Vec<String>,
    failed: u64,
    /// Until the rules were seen whole again, while mesh-node ran.
    healed_ms: Vec<f64>,
    never_healed: Vec<String>,
}

struct Pod {
    name: String,
    namespace: NetNs,
    remote: SocketAddr,
    /// Even while the rules are whole.
    epoch: AtomicU64,
}

/// mesh-node, as it is now.
struct Service {
    child: Child,
    /// Changes whenever it is killed, stopped, or back.
    epoch: u64,
    works: bool,
}

impl Pod {
    fn new(node: &Node, outside: &NetNs, number: usize) -> Pod {
        let name = format!("{}-{number}", KINDS[number % KINDS.len()]);
        let namespace = node.pod(&name);
        let link = format!("link add p{number} type veth peer name eth0 netns /proc/self/fd/0");
        outside.run(|| {
            let mut command = support::command("ip");
            let inside = namespace.file.try_clone().expect("a descriptor");
            assert!(command.args(link.split(' ')).stdin(inside).status().expect("ip runs").success(), "{link}");
            ip(&format!("addr add 10.100.{number}.1/24 dev p{number}"));
            ip(&format!("link set p{number} up"));
        });
        namespace.run(|| {
            ip(&format!("addr add 10.100.{number}.2/24 dev eth0"));
            ip("link set eth0 up");
            PROXIES.iter().for_each(|port| serve(*port, b"proxy"));
        });
        let remote = SocketAddr::from((Ipv4Addr::new(10, 100, number as u8, 1), 9000));
        Pod { name, namespace, remote, epoch: AtomicU64::new(0) }
    }

    /// Connects until the end.
    fn connect(&self, stop: &AtomicBool, figures: &Mutex<Figures>) {
        self.namespace.enter();
        let mut ports = (2000..=u16::MAX).cycle();
        while !stop.load(SeqCst) {
            let before = self.epoch.load(SeqCst);
            let answer = ask(self.remote, &mut ports);
            let after = self.epoch.load(SeqCst);
            let mut figures = figures.lock().expect("nobody panics with it");
            match answer.as_deref() {
                Ok("proxy") => figures.proxied += 1,
                Ok("remote") if before == after && before % 2 == 0 => figures.past_whole_rules.push(self.name.clone()),
                Ok("remote") => figures.past_broken_rules += 1,
                _ => figures.failed += 1,
            }
            drop(figures);
            sleep(Duration::from_millis(2));
        }
    }

    /// Breaks something again and again, and waits until it is whole.
    fn vandalise(&self, seed: u64, service: &Mutex<Service>, stop: &AtomicBool, figures: &Mutex<Figures>) {
        self.namespace.enter();
        let mut dice = Dice(seed);
        let mut looked = Looked::new();
        while !stop.load(SeqCst) {
            sleep(Duration::from_millis(50 + dice.below(700)));
            self.epoch.fetch_add(1, SeqCst);
            let begun = Instant::now();
            let state = |service: &Service| (service.epoch, service.works);
            let before = state(&service.lock().expect("nobody panics with it"));
            let acts: Vec<String> = (0..1 + dice.below(3)).filter_map(|_| act(&mut dice, &looked)).collect();
            let is_whole = comes_true_within(patience(Duration::from_secs(30)), || looked.is_whole());
            let took = begun.elapsed().as_secs_f64() * 1e3;
            let after = state(&service.lock().expect("nobody panics with it"));
            let mut figures = figures.lock().expect("nobody panics with it");
            figures.acts += acts.len() as u64;
            if !is_whole {
                figures.never_healed.push(format!("{} (seed {seed}): {acts:?}", self.name));
                return;
            }
            if before == after && before.1 {
                figures.healed_ms.push(took);
            }
            drop(figures);
            self.epoch.fetch_add(1, SeqCst);
        }
    }
}

/// What a pod had when it was whole.
struct Looked {
    kernel: Kernel,
    rules: Ruleset,
    routes: String,
    /// The last generation at which the rules were whole.
    whole: Option<Generation>,
}

impl Looked {
    fn new() -> Looked {
        let mut kernel = Kernel::open().expect("a socket");
        let rules = kernel.snapshot_of(&Installed::tables()).expect("it reads").raise().ruleset;
        assert!(!rules.tables.is_empty());
        Looked { kernel, rules, routes: routes(), whole: None }
    }

    fn is_whole(&mut self) -> bool {
        let Ok(generation) = self.kernel.generation() else { return false };
        if self.whole != Some(generation) {
            let ours: Vec<TableId> = Installed::tables();
            if !self.kernel.plan_owned(&self.rules, &ours).is_ok_and(|plan| plan.is_empty()) {
                return false;
            }
            self.whole = Some(generation);
        }
        routes() == self.routes
    }
}

/// Returns the routes that a mesh may have.
fn routes() -> String {
    let all = ["rule", "-6 rule", "route show table all proto 146", "-6 route show table all proto 146"];
    all.map(ip).join("")
}

/// Does something to the tables of the mesh here, and returns what.
fn act(dice: &mut Dice, looked: &Looked) -> Option<String> {
    let held: Snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot_of(&Installed::tables())).ok()?;
    let table = dice.one_of(&held.tables)?;
    let chain = dice.one_of(&table.chains)?;
    let (of_table, of_chain) = (table.id.to_string(), format!("{} {}", table.id, chain.name));
    let has_routes = looked.routes.contains("fwmark");
    let script = match dice.below(if has_routes { 9 } else { 6 }) {
        0 => format!("delete table {of_table}"),
        1 => format!("flush chain {of_chain}"),
        2 => format!("delete rule {of_chain} handle {}", dice.one_of(&chain.rules)?.handle.0),
        3 => format!("insert rule {of_chain} accept"),
        4 => "flush ruleset".to_owned(),
        5 => format!("add rule {of_chain} counter"),
        number => {
            let family = if number % 2 == 0 { "" } else { "-6 " };
            let rules = ip(&format!("{family}rule"));
            let rule = rules.lines().find(|line| line.contains("fwmark"))?;
            let (priority, _) = rule.split_once(':')?;
            let table = rule.split_whitespace().last()?;
            let words = match number {
                6 | 7 => format!("{family}rule del priority {priority}"),
                _ => format!("route flush table {table}"),
            };
            // Somebody may have been first.
            drop(support::command("ip").args(words.split_whitespace()).stderr(Stdio::null()).status());
            return Some(format!("ip {words}"));
        }
    };
    // What it names may be gone.
    drop(support::command("nft").arg(&script).stdout(Stdio::null()).stderr(Stdio::null()).status());
    Some(script)
}

/// Answers every connection to a port with this.
fn serve(port: u16, answer: &'static [u8]) {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("the port is free");
    spawn(move || {
        for stream in listener.incoming() {
            // A client may be gone.
            drop(stream.and_then(|mut stream| stream.write_all(answer)));
        }
    });
}

/// Connects from a port that nothing was sent from for minutes: conntrack may take a new connection
/// for one that was made from the same port while the rules were broken.
fn ask(remote: SocketAddr, ports: &mut impl Iterator<Item = u16>) -> std::io::Result<String> {
    let socket = loop {
        let socket = sys::socket(remote, libc::SOCK_STREAM)?;
        let port = ports.next().expect("it is a cycle");
        // A server may have it.
        if sys::bind(&socket, (Ipv4Addr::UNSPECIFIED, port).into()).is_ok() {
            break socket;
        }
    };
    let limit = libc::timeval { tv_sec: patience(Duration::from_secs(6)).as_secs() as libc::time_t, tv_usec: 0 };
    sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &limit)?;
    sys::connect(&socket, remote)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(patience(Duration::from_secs(6))))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    // Closed with a reset: TIME_WAIT would use up the local ports.
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    sys::set_option(&OwnedFd::from(stream), libc::SOL_SOCKET, libc::SO_LINGER, &linger)?;
    Ok(text)
}

fn start(node: &Node, program: &Path) -> Child {
    let (config, log) = (node.folder.path().join("config"), node.folder.path().join("log"));
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a file");
    let mut command = Command::new(program);
    let command = command.arg("--config").arg(config).arg("--directory").arg(&node.pods);
    let lines = log.try_clone().expect("a descriptor");
    command.stdout(lines).stderr(log).spawn().expect("it starts")
}

/// Kills or stops mesh-node at random; it works in the end.
fn disturb(again: impl Fn() -> Child, service: &Mutex<Service>, seed: u64, until: Instant) -> [u64; 2] {
    let mut dice = Dice(seed);
    let mut count = [0; 2];
    while Instant::now() < until {
        sleep(Duration::from_millis(700 + dice.below(4000)).min(until.saturating_duration_since(Instant::now())));
        let pause = Duration::from_millis(dice.below(600));
        let mut held = service.lock().expect("nobody panics with it");
        (held.epoch, held.works) = (held.epoch + 1, false);
        let is_killed = dice.below(2) == 0;
        if is_killed {
            held.child.kill().expect("it runs");
            held.child.wait().expect("it ends");
        } else {
            succeed("kill", &format!("-STOP {}", held.child.id()), "");
        }
        drop(held);
        sleep(pause);
        let mut held = service.lock().expect("nobody panics with it");
        if is_killed {
            held.child = again();
        } else {
            succeed("kill", &format!("-CONT {}", held.child.id()), "");
        }
        (held.epoch, held.works) = (held.epoch + 1, true);
        count[usize::from(!is_killed)] += 1;
    }
    count
}

/// Ends the threads when dropped, even by a panic.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}: not a number")))
}

#[test]
fn no_connection_passes_the_proxy_while_the_rules_are_there_and_all_pods_are_in_sync_at_the_end() {
    let is_long = env::var_os("NFTMESH_SOAK").is_some_and(|value| value == "1");
    let seconds = number("NFTMESH_SOAK_SECONDS").unwrap_or(if is_long { 600 } else { 5 });
    let count = number("NFTMESH_SOAK_PODS").unwrap_or(if is_long { 20 } else { 10 }).min(250) as usize;
    let seed = number("NFTMESH_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1);
    in_fresh_netns(|| {
        // Looked for once: a build may go on beside this.
        let program = example("mesh-node");
        let (node, outside) = (Node::new(CONFIG), NetNs::fresh());
        outside.run(|| serve(9000, b"remote"));
        let pods: Vec<Pod> = (0..count).map(|number| Pod::new(&node, &outside, number)).collect();
        let service = Mutex::new(Service { child: start(&node, &program), epoch: 0, works: true });
        // Whoever connects, the proxy answers.
        let is_captured = |pod: &Pod| {
            pod.namespace.run(|| ask(pod.remote, &mut (1024..2000).cycle()).is_ok_and(|answer| answer == "proxy"))
        };
        for pod in &pods {
            assert!(comes_true_within(patience(Duration::from_secs(30)), || is_captured(pod)), "{}", pod.name);
        }
        let listed = |pod: &Pod| {
            let (text, routes) = pod.namespace.run(|| (nft("-s list ruleset"), routes()));
            // A table that was added again is listed last.
            let mut tables: Vec<&str> =
                text.split("\ntable ").map(|table| table.trim_start_matches("table ").trim_end()).collect();
            tables.sort_unstable();
            format!("{}{routes}", tables.join("\ntable "))
        };
        let wanted: Vec<String> = pods.iter().map(listed).collect();
        let (figures, stop) = (Mutex::new(Figures::default()), AtomicBool::new(false));
        let disturbed = scope(|scope| {
            let stop_at_last = StopOnDrop(&stop);
            for (seed, pod) in (seed..).zip(&pods) {
                scope.spawn(|| pod.connect(&stop, &figures));
                let (service, stop, figures) = (&service, &stop, &figures);
                scope.spawn(move || pod.vandalise(seed.wrapping_mul(0x9e37_79b9) | 1, service, stop, figures));
            }
            let until = Instant::now() + Duration::from_secs(seconds);
            let disturbed = disturb(|| start(&node, &program), &service, seed | 1, until);
            drop(stop_at_last);
            disturbed
        });
        let mut differing: Vec<String> = Vec::new();
        for (pod, wanted) in pods.iter().zip(&wanted) {
            if !comes_true_within(patience(Duration::from_secs(10)), || listed(pod) == *wanted) {
                differing.push(format!("{}:\n{}\ninstead of:\n{wanted}", pod.name, listed(pod)));
            }
        }
        let mut service = service.into_inner().expect("nobody panics with it");
        drop(service.child.kill());
        drop(service.child.wait());
        let Figures { acts, proxied, past_broken_rules, past_whole_rules, failed, mut healed_ms, never_healed } =
            figures.into_inner().expect("nobody panics with it");
        healed_ms.sort_by(f64::total_cmp);
        let at = |part: usize| healed_ms.get((healed_ms.len() * part / 100).min(healed_ms.len().saturating_sub(1)));
        let [median, most, longest] = [50, 99, 100].map(|part| at(part).copied().unwrap_or_default());
        let [kills, stops] = disturbed;
        say(format_args!(
            "soak: {count} pods, {seconds} s, seed {seed}: {acts} acts of vandalism, {kills} kills, {stops} stops; \
             connections: {proxied} to the proxy, {} past it while its rules were there, \
             {past_broken_rules} while they were broken, {failed} failed; seen whole again after {median:.1} ms \
             (median, with the acts), {most:.1} ms (99 of 100), {longest:.1} ms at most, while mesh-node ran; \
             pods not in sync in the end: {}",
            past_whole_rules.len(),
            differing.len()
        ));
        let log = std::fs::read_to_string(node.folder.path().join("log")).unwrap_or_default();
        assert!(never_healed.is_empty() && differing.is_empty(), "{never_healed:#?}\n{}\n{log}", differing.join("\n"));
        assert!(proxied > 0 && acts > 0);
        assert!(past_whole_rules.is_empty(), "{past_whole_rules:?}\n{log}");
    });
}
