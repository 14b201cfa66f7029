//! A pod and its gateway: two network namespaces, a veth pair between them, addresses and default
//! routes.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::{env, fs};

use nftmesh::kernel::NetNs;
use nftmesh::mesh::istio::{INBOUND_PASSTHROUGH_V4, INBOUND_PASSTHROUGH_V6};

use crate::Outcome;

/// The two ends; neither is the namespace in which this program was started.
pub(crate) struct Net {
    pub(crate) pod: NetNs,
    pub(crate) gateway: NetNs,
    /// Whether this kernel has IPv6.
    pub(crate) ipv6: bool,
}

/// The addresses of one family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) any: IpAddr,
    pub(crate) gateway: IpAddr,
    pub(crate) loopback: IpAddr,
    /// The proxy's source address when it passes inbound connections on.
    pub(crate) passthrough: IpAddr,
    pub(crate) pod: IpAddr,
}

/// Returns only where network namespaces can be created: directly, or after restarting in a user
/// namespace, as its root.
pub(crate) fn enter() -> Outcome<()> {
    if can_unshare(&["--net"]) {
        return Ok(());
    }
    let one_user: &[&str] = &["--user", "--map-root-user"];
    let all_users: &[&str] = &["--user", "--map-root-user", "--map-auto"];
    for namespace in [all_users, one_user] {
        let started_over = env::args_os().nth(1).is_some_and(|word| word == STARTED_OVER);
        if !started_over && can_unshare(&[namespace, &["--net"]].concat()) {
            let myself = env::current_exe()?;
            return Err(Command::new("unshare").args(namespace).arg(myself).arg(STARTED_OVER).exec().into());
        }
    }
    Err("no network namespace can be made (unshare --user --map-root-user --net); run it as root, or allow user namespaces: \
         sysctl kernel.apparmor_restrict_unprivileged_userns=0; a container needs CAP_SYS_ADMIN"
        .into())
}

fn can_unshare(namespaces: &[&str]) -> bool {
    let mut probe = Command::new("unshare");
    probe.args(namespaces).arg("true").stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

impl Net {
    pub(crate) fn new() -> Outcome<Net> {
        let (pod, gateway) = (fresh()?, fresh()?);
        let ipv6 = pod.run(|| sysctl("ipv6/conf/default/disable_ipv6"))?.is_ok_and(|disabled| disabled == "0");
        let net = Net { pod, gateway, ipv6 };
        // The peer's namespace is passed as standard input, without a name or pid.
        let peer = Stdio::from(net.gateway.as_fd().try_clone_to_owned()?);
        ip(&net.pod, "link add eth0 type veth peer name eth0 netns /proc/self/fd/0", peer)?;
        for (namespace, host) in [(&net.pod, 2), (&net.gateway, 1)] {
            let ip = |words: &str| ip(namespace, words, Stdio::null());
            ip("link set lo up")?;
            ip(&format!("addr add 10.77.0.{host}/24 dev eth0"))?;
            if net.ipv6 {
                ip(&format!("addr add fd77::{host}/64 dev eth0 nodad"))?;
            }
            ip("link set eth0 up")?;
        }
        ip(&net.pod, "route add default via 10.77.0.1", Stdio::null())?;
        if net.ipv6 {
            ip(&net.pod, "route add default via fd77::1", Stdio::null())?;
        }
        Ok(net)
    }

    /// Returns IPv4, and IPv6 where the kernel has it.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        let v4 = Family {
            any: Ipv4Addr::UNSPECIFIED.into(),
            gateway: Ipv4Addr::new(10, 77, 0, 1).into(),
            loopback: Ipv4Addr::LOCALHOST.into(),
            passthrough: INBOUND_PASSTHROUGH_V4.into(),
            pod: Ipv4Addr::new(10, 77, 0, 2).into(),
        };
        let v6 = Family {
            any: Ipv6Addr::UNSPECIFIED.into(),
            gateway: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1).into(),
            loopback: Ipv6Addr::LOCALHOST.into(),
            passthrough: INBOUND_PASSTHROUGH_V6.into(),
            pod: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2).into(),
        };
        [Some(v4), self.ipv6.then_some(v6)].into_iter().flatten()
    }
}

/// Returns a setting of this thread's network namespace.
fn sysctl(name: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/sys/net/{name}")).map(|value| value.trim().to_owned())
}

/// Returns a new network namespace, which exists as long as the value and the sockets in it.
fn fresh() -> Outcome<NetNs> {
    let mut cat =
        Command::new("unshare").args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    echo(&mut cat.stdin, &mut cat.stdout)?;
    let namespace = NetNs::from_pid(cat.id())?;
    drop(cat.stdin.take()); // closing its input ends cat
    cat.wait()?;
    Ok(namespace)
}

/// Waits until the program at the other end has started.
fn echo(to: &mut Option<impl Write>, from: &mut Option<impl Read>) -> io::Result<()> {
    let (Some(to), Some(from)) = (to, from) else { return Err(io::ErrorKind::BrokenPipe.into()) };
    to.write_all(b"\n")?;
    from.read_exact(&mut [0])
}

fn ip(namespace: &NetNs, words: &str, stdin: Stdio) -> Outcome<()> {
    let path = env::var("PATH").unwrap_or_default();
    let mut ip = Command::new("ip");
    // A user's PATH on Debian lacks sbin.
    ip.args(words.split(' ')).env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(stdin);
    let output = namespace.run(|| ip.output())?.map_err(|error| format!("ip (package iproute2): {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

const STARTED_OVER: &str = "started-over";
