//! Two pods with sidecars, on a node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{fs, thread};

use nftmesh::mesh::istio::IstioConfig;
use nftmesh::mesh::kuma::{KumaFacts, KumaFlags};
use nftmesh::pod::Pod;

use super::app::{Answer, App, PATIENCE, call};
use super::config::{INBOUND, Mode, OUTBOUND, Sidecar};
use super::logs::{Hop, Logged, logged};
use super::net::{APP, EXCLUDED_INBOUND, EXCLUDED_OUTBOUND, V4, V6};
use super::process::Envoy;
use crate::support::patience::comes_true;
use crate::support::running::Running;
use crate::support::{NetNs, command, example, ip, wait_until_local};
use crate::traffic::Who;

/// A pod: its namespace, its application and its sidecar.
#[derive(Debug)]
pub struct Meshed {
    pub namespace: NetNs,
    pub app: App,
    pub envoy: Option<Envoy>,
    pub folder: PathBuf,
    /// The lines of the log that no test has asked for yet.
    unread: Vec<Logged>,
    read: usize,
}

/// Two pods on a node.
#[derive(Debug)]
pub struct Mesh {
    pub mode: Mode,
    pub node: NetNs,
    pub outside: App,
    pub pods: [Meshed; 2],
    _folder: tempfile::TempDir,
}

impl Mesh {
    /// Makes the pods, installs the rules, and starts everything.
    pub fn new(mode: Mode) -> Mesh {
        let folder = tempfile::tempdir().expect("a folder");
        open_to_all(folder.path());
        let node = NetNs::fresh();
        node.run(|| {
            write("net/ipv6/conf/default/accept_dad", "0");
            write("net/ipv6/conf/all/accept_dad", "0");
            write("net/ipv4/ip_forward", "1");
            write("net/ipv6/conf/all/forwarding", "1");
            ip("addr add 10.77.3.1/32 dev lo");
            ip("-6 addr add fd77:3::1/128 dev lo nodad");
        });
        let options = options(mode);
        let pods = [0, 1].map(|pod| {
            let namespace = namespace(&node, pod);
            let folder = folder.path().join(format!("pod{pod}"));
            fs::create_dir(&folder).expect("a folder");
            open_to_all(&folder);
            let services = [V4, V6].into_iter().flat_map(|net| [0, 1].map(|of| (net.service(of), net.pod(of))));
            let sidecar = Sidecar { mode, services: services.collect() };
            fs::write(folder.join("config.json"), sidecar.config(&folder).to_string()).expect("written");
            // One by the library, one by the program.
            if mode == Mode::Kuma {
                namespace.run(kuma);
            } else if pod == 0 {
                let config: IstioConfig = crate::sidecar::config(&options, "");
                namespace.run(|| crate::sidecar::apply(&config));
            } else {
                namespace.run(|| istio_init(&options));
            }
            let app = App::start(&namespace, Who::App, &format!("app{pod}"), [APP, EXCLUDED_INBOUND]);
            Meshed { namespace, app, envoy: None, folder, unread: Vec::new(), read: 0 }
        });
        node.run(|| wait_until_local(&["fd77:1::1", "fd77:2::1"]));
        let outside = App::start(&node, Who::Gateway, "outside", [APP, EXCLUDED_OUTBOUND]);
        let mut mesh = Mesh { mode, node, outside, pods, _folder: folder };
        thread::scope(|scope| {
            for pod in &mut mesh.pods {
                scope.spawn(move || pod.start(mode));
            }
        });
        mesh
    }

    /// Starts a guard in a pod, with the options of its rules and these.
    pub fn guard(&self, pod: usize, more: &[&str]) -> Running {
        let options = options(self.mode).replace("ISTIO_DUAL_STACK=true", "--dual-stack").replace('\'', "");
        let words: Vec<&str> = options.split_whitespace().chain(more.iter().copied()).collect();
        self.pods[pod].namespace.run(|| Running::start("guard", &words, Stdio::inherit()))
    }

    /// Connects from the application of a pod.
    #[track_caller]
    pub fn app_calls(&self, pod: usize, to: SocketAddr) -> Answer {
        let answer = call(&self.pods[pod].namespace, Who::App, to, None, PATIENCE);
        answer.unwrap_or_else(|why| panic!("{:?}: app{pod} to {to}: {why}\n{}", self.mode, self.report()))
    }

    /// Connects from outside of the mesh.
    #[track_caller]
    pub fn client_calls(&self, to: SocketAddr, next: Option<SocketAddr>) -> Answer {
        let answer = call(&self.node, Who::Gateway, to, next, PATIENCE);
        answer.unwrap_or_else(|why| panic!("{:?}: outside to {to}: {why}\n{}", self.mode, self.report()))
    }

    /// Connects from the application of a pod, or from outside, but does not wait long.
    ///
    /// # Errors
    /// What failed, in words.
    pub fn try_call(&self, from: Option<usize>, to: SocketAddr) -> Result<Answer, String> {
        let (namespace, who) = from.map_or((&self.node, Who::Gateway), |pod| (&self.pods[pod].namespace, Who::App));
        call(namespace, who, to, None, SOON)
    }

    /// Asserts that no connection comes to an answer.
    #[track_caller]
    pub fn fails(&self, from: Option<usize>, to: SocketAddr) {
        let answer = self.try_call(from, to);
        assert!(answer.is_err(), "{:?}: {from:?} to {to}: {answer:?}", self.mode);
    }

    /// Waits until the proxy of a pod has logged a connection to there that came to nothing, and
    /// leaves that line out.
    #[track_caller]
    pub fn forget_attempt(&mut self, pod: usize, to: SocketAddr) {
        let mut line = None;
        comes_true(|| {
            let pod = &mut self.pods[pod];
            pod.read();
            let at = pod.unread.iter().position(|line| line.to == to);
            line = at.map(|at| pod.unread.swap_remove(at));
            line.is_some()
        });
        let line = line.unwrap_or_else(|| panic!("{to}: no attempt was logged\n{}", self.report()));
        assert!(line.listener.starts_with("outbound") && line.flags != "-", "{line}");
    }

    /// Asserts that a connection was logged by these proxies and reached the application over them,
    /// each taking it from the one before; returns the lines.
    #[track_caller]
    pub fn assert_way(&mut self, answer: &Answer, name: &str, hops: &[Hop]) -> Vec<Logged> {
        let mode = self.mode;
        assert_eq!(answer.name, name, "{mode:?}: {answer:?}");
        let mut from = answer.from;
        let mut lines = Vec::new();
        for hop in hops {
            let line = self.pods[hop.pod].wait_for(from);
            let line = line.unwrap_or_else(|| panic!("{mode:?}: {hop:?} from {from}: not logged\n{}", self.report()));
            assert_eq!((&line.listener, line.to), (&hop.listener, hop.to), "{mode:?}: {line}");
            let (is_inbound, is_tproxied) = (line.listener.starts_with("inbound"), mode == Mode::Tproxy);
            let taken_at = line.at.port();
            match (is_inbound, is_tproxied) {
                (true, true) => assert_eq!(line.at, line.to, "{line}"),
                (true, false) => assert_eq!(taken_at, INBOUND, "{line}"),
                (false, _) => assert_eq!(taken_at, OUTBOUND, "{line}"),
            }
            let (onward_from, onward_to) = line.onward.unwrap_or_else(|| panic!("{mode:?}: {line}: went nowhere"));
            if is_inbound {
                let passthrough = if from.is_ipv4() { "127.0.0.6" } else { "::6" };
                let source = if is_tproxied { from.ip() } else { passthrough.parse().expect("an address") };
                assert_eq!((onward_from.ip(), onward_to), (source, hop.to), "{mode:?}: {line}");
            }
            from = onward_from;
            lines.push(line);
        }
        assert_eq!(answer.peer, from, "{mode:?}: the application saw somebody else: {answer:?} {lines:?}");
        lines
    }

    /// Asserts that everything logged was asked for, and that every connection of an application
    /// was: those that `answers` have. Ends the Envoys, which write all that they have.
    #[track_caller]
    pub fn assert_nothing_more(mut self, answers: &[Answer]) {
        for pod in &mut self.pods {
            pod.envoy.take().into_iter().for_each(Envoy::end);
            pod.read();
            let more: Vec<String> = pod.unread.iter().map(Logged::to_string).collect();
            assert!(more.is_empty(), "{:?}: logged beside what was expected: {more:#?}", self.mode);
        }
        let mut expected: Vec<_> = answers.iter().flat_map(ends).collect();
        let apps = [&self.outside, &self.pods[0].app, &self.pods[1].app];
        let mut taken: Vec<_> = apps.into_iter().flat_map(App::taken).collect();
        expected.sort_unstable();
        taken.sort_unstable();
        assert_eq!(taken, expected, "{:?}", self.mode);
    }

    fn report(&self) -> String {
        let pods = self.pods.iter().map(|pod| {
            let lines: String = logged(&pod.folder).iter().map(|line| format!("{line}\n")).collect();
            let rules = pod.namespace.run(|| crate::support::nft("list ruleset"));
            format!("{lines}{}\n{rules}", pod.envoy.as_ref().map(Envoy::complaints).unwrap_or_default())
        });
        pods.collect()
    }
}

/// Both ends of each connection of an answer, as applications see them.
fn ends(answer: &Answer) -> Vec<(SocketAddr, SocketAddr)> {
    let onward = answer.onward.as_deref().map(ends).unwrap_or_default();
    [vec![(answer.local, answer.peer)], onward].concat()
}

impl Meshed {
    /// Starts its Envoy.
    #[track_caller]
    pub fn start(&mut self, mode: Mode) {
        self.envoy = Some(Envoy::start(&self.namespace, &self.folder, mode));
    }

    /// Reads what was logged since.
    fn read(&mut self) {
        let all = logged(&self.folder);
        self.unread.extend(all.iter().skip(self.read).cloned());
        self.read = all.len();
    }

    /// Waits until a connection from there is logged.
    fn wait_for(&mut self, from: SocketAddr) -> Option<Logged> {
        let mut found = None;
        comes_true(|| {
            let at = self.unread.iter().position(|line| line.from == from);
            found = at.map(|at| self.unread.swap_remove(at));
            if found.is_none() {
                self.read();
            }
            found.is_some()
        });
        found
    }
}

/// The options of both pods.
fn options(mode: Mode) -> String {
    format!(
        "ISTIO_DUAL_STACK=true -m {} -i '*' -x 10.77.3.0/24,fd77:3::/64 -b '*' -d 15090,15021,{EXCLUDED_INBOUND} \
         -o {EXCLUDED_OUTBOUND}",
        mode.name()
    )
}

/// Installs Kuma's rules in this thread's namespace. The program would look for its user in
/// `/etc/passwd`.
#[track_caller]
fn kuma() {
    let exclusions = ["10.77.3.0/24", "fd77:3::/64"].map(|range| format!("--exclude-outbound-ips={range}"));
    let ports = [
        format!("--exclude-inbound-ports={EXCLUDED_INBOUND}"),
        format!("--exclude-outbound-ports={EXCLUDED_OUTBOUND}"),
    ];
    let addresses = ["127.0.0.1", "::1", "10.77.1.2", "fd77:1::2"].map(|text| text.parse().expect("an address"));
    let users = [("kuma-dp".to_owned(), 5678)];
    let facts = KumaFacts { users: Some(users.into()), addresses: addresses.to_vec(), nameservers: Vec::new() };
    let flags = KumaFlags::parse(exclusions.into_iter().chain(ports), [("", ""); 0]);
    let config = flags.and_then(|flags| flags.resolve(&facts)).expect("flags that exist");
    Pod::open().and_then(|mut pod| pod.install(&config)).expect("a configuration can be installed");
}

/// Runs the program in this thread's namespace.
#[track_caller]
fn istio_init(options: &str) {
    let options = options.replace('\'', "");
    let (variables, flags): (Vec<_>, Vec<_>) = options.split_whitespace().partition(|word| word.contains('='));
    let mut command = command(&example("istio-init").to_string_lossy());
    command.args(flags).envs(variables.iter().filter_map(|variable| variable.split_once('=')));
    let output = command.output().expect("the example runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes the namespace of a pod and joins it to the node.
fn namespace(node: &NetNs, pod: usize) -> NetNs {
    let namespace = NetNs::fresh();
    let number = pod + 1;
    namespace.run(|| {
        write("net/ipv6/conf/default/accept_dad", "0");
        write("net/ipv6/conf/all/accept_dad", "0");
        // The peer's namespace is passed as standard input: no name, no pid.
        let words = format!("link add eth0 type veth peer name pod{number} netns /proc/self/fd/0");
        let stdin = node.file.try_clone().expect("a descriptor can be copied");
        let status = command("ip").args(words.split(' ')).stdin(stdin).status();
        assert!(status.is_ok_and(|status| status.success()), "ip {words}");
        ip(&format!("addr add 10.77.{number}.2/24 dev eth0"));
        ip(&format!("-6 addr add fd77:{number}::2/64 dev eth0 nodad"));
        ip("link set eth0 up");
        ip(&format!("route add default via 10.77.{number}.1"));
        ip(&format!("-6 route add default via fd77:{number}::1"));
    });
    node.run(|| {
        ip(&format!("addr add 10.77.{number}.1/24 dev pod{number}"));
        ip(&format!("-6 addr add fd77:{number}::1/64 dev pod{number} nodad"));
        ip(&format!("link set pod{number} up"));
    });
    namespace.run(|| wait_until_local(&[&format!("fd77:{number}::2")]));
    namespace
}

fn write(name: &str, value: &str) {
    let path = format!("/proc/sys/{name}");
    fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Lets the proxy, whoever it is, make files there.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("it is ours");
}

/// Long enough for an answer that should not come: the kernel repeats a SYN after a second.
const SOON: Duration = Duration::from_millis(1500);
