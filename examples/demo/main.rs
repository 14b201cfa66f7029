//! Shows a sidecar at work: a pod and its gateway in separate network namespaces, real connections
//! through the rules, and where they arrived.
//!
//! ```text
//! pod                                                     gateway
//!   app    uid 1000   :8080                                 remote      :9000
//!   proxy  uid 1337   :15001 :15006 :15021 :15053           nameserver  :53
//!   eth0   10.77.0.2  fd77::2  =========== veth ===========  eth0        10.77.0.1  fd77::1
//! ```
//! Nothing on the machine changes and nothing is left behind: the namespaces end with this
//! program. It needs no root, but without root there may be only one user, and then the
//! application's traffic cannot be distinguished from the proxy's. `ip` (iproute2) creates the
//! link and `unshare` (util-linux) the namespaces; the sidecar needs neither.

mod connections;
mod namespaces;
mod servers;
mod users;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use nftmesh::mesh::istio::{Interception, IstioConfig, PodFacts, RawOptions, parse_resolv_conf};
use nftmesh::model::Ruleset;
use nftmesh::plan::Transaction;
use nftmesh::pod::Pod;

use connections::{Connection, HEADER};
use namespaces::Net;
use servers::Captures;
use users::Users;

fn main() -> ExitCode {
    match demo(&mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A result whose error ends the demo with a message.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Returns whether every connection arrived where it should.
fn demo(out: &mut impl Write) -> Outcome<bool> {
    namespaces::enter()?;
    let users = Users::find();
    let (mut made, mut astray, mut ipv6) = (0, 0, false);
    for mode in [Interception::Redirect, Interception::Tproxy] {
        let round = Round { net: Net::new()?, users, mode, captures: Captures::default() };
        let rules = round.install(out)?;
        let connections = Connection::all(&round);
        astray += round.connect(&connections, out)?;
        made += connections.len();
        if mode == Interception::Redirect {
            writeln!(out, "\n{rules}")?;
        }
        ipv6 = round.net.ipv6;
    }
    if !ipv6 {
        writeln!(out, "\nLeft out: IPv6, which this kernel does not have or has switched off.")?;
    }
    if users == Users::One {
        writeln!(out, "\n{LEFT_OUT}")?;
    }
    writeln!(out, "\n{} of {made} connections went where they should.", made - astray)?;
    Ok(astray == 0)
}

/// A pod and its gateway, their users, and what the proxy captured.
pub(crate) struct Round {
    pub(crate) net: Net,
    pub(crate) users: Users,
    pub(crate) mode: Interception,
    pub(crate) captures: Captures,
}

impl Round {
    /// Installs the sidecar's rules in the pod, and prints how long that took; then installs the
    /// rules alone once more, live.
    fn install(&self, out: &mut impl Write) -> Outcome<Ruleset> {
        let title = if self.mode == Interception::Tproxy { TPROXY } else { REDIRECT };
        writeln!(out, "{title}\n\n$ istio-init{}", self.command_line())?;
        let mut pod = self.net.pod.pod()?;
        let config = self.config(&mut pod)?;
        let rules = Ruleset::from(&config);
        let replace = Transaction::replace(rules.clone());

        let installed = timed(|| pod.install(&config))?;
        let committed = timed(|| pod.kernel().commit(&replace))?;
        let count: usize = rules.tables.iter().flat_map(|table| &table.chains).map(|chain| chain.rules.len()).sum();
        let tables = rules.tables.len();
        writeln!(
            out,
            "{count} rules in {tables} tables installed with their routes in {installed}; the commit alone: {committed}\n"
        )?;
        Ok(rules)
    }

    /// Starts all servers, makes the connections, and prints the results; returns how many arrived
    /// elsewhere.
    fn connect(&self, connections: &[Connection], out: &mut impl Write) -> Outcome<usize> {
        servers::start(self)?;
        writeln!(out, "{HEADER}")?;
        let mut astray = 0;
        for (connection, landing) in connections.iter().zip(connections::make(connections, self)) {
            writeln!(out, "{}", connection.row(self, &landing))?;
            if let Some(complaint) = connection.complaint(self, &landing) {
                astray += 1;
                writeln!(out, "{complaint}")?;
            }
        }
        Ok(astray)
    }

    /// Returns the configuration that `istio-init` would use, except that the nameservers are the
    /// pod's and not this machine's.
    fn config(&self, pod: &mut Pod) -> nftmesh::Result<IstioConfig> {
        let nameservers = parse_resolv_conf("nameserver 10.77.0.1\nnameserver fd77::1\n");
        let host = PodFacts { addresses: pod.addresses()?, nameservers, ..PodFacts::default() };
        let mut options = RawOptions::default();
        for (flag, value) in self.flags() {
            options.set_flag(flag, value)?;
        }
        IstioConfig::resolve(&options, &host)
    }

    /// Returns the flags that the injector of a mesh passes, plus DNS. The group defaults to the
    /// proxy's user.
    fn flags(&self) -> Vec<(&'static str, &'static str)> {
        let (mode, user, group) = match (self.mode == Interception::Tproxy, self.users) {
            (false, Users::All) => ("REDIRECT", "1337", None),
            (false, Users::One) => ("REDIRECT", "0", None),
            (true, Users::All) => ("TPROXY", "1337", None),
            (true, Users::One) => ("TPROXY", "1337", Some(("-g", "0"))),
        };
        let mut flags = vec![("-p", "15001"), ("-z", "15006"), ("-u", user)];
        flags.extend(group);
        flags.extend([("-m", mode), ("-i", "*"), ("-x", ""), ("-b", "*"), ("-d", "15090,15021,15020")]);
        flags.extend([("--redirect-dns", "true"), ("--dual-stack", "true")]);
        flags
    }

    fn command_line(&self) -> String {
        let words = self.flags().into_iter().map(|(flag, value)| match value {
            "true" => format!(" {flag}"),
            "" | "*" => format!(" {flag} '{value}'"),
            plain => format!(" {flag} {plain}"),
        });
        words.collect()
    }
}

fn timed<T>(work: impl FnOnce() -> nftmesh::Result<T>) -> nftmesh::Result<String> {
    let started = Instant::now();
    work().map(|_| format!("{:.2} ms", started.elapsed().as_secs_f64() * 1000.0))
}

const REDIRECT: &str =
    "REDIRECT: the proxy takes what the pod sends and gets, and passes inbound on from 127.0.0.6 and ::6";
const TPROXY: &str = "TPROXY: inbound keeps its addresses, so that the application sees who calls";
const LEFT_OUT: &str = "\
Left out: the application's own connections. Only one user exists here and it is the proxy, so nothing distinguishes the two.
They are shown as root, and where newuidmap (Debian package uidmap) finds a range for you in /etc/subuid and /etc/subgid.";
