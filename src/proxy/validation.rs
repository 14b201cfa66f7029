//! Checks that capture works: a connection to an address without a listener must arrive at the
//! proxy's ports, with the original destination preserved.
//!
//! ```text
//! 127.0.0.1 ──> 127.0.0.6:15002 ──(rules)──> 127.0.0.1:15006, original destination 127.0.0.6:15002
//! ```
//! Source: <https://github.com/istio/istio/blob/c15acc40a282ea55d2b59a90074f8ef580eaf2a5/tools/istio-iptables/pkg/validation/validation.go>.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::original_destination;
use crate::error::{Error, Kind, Result};
use crate::sys::inet;

/// Connects repeatedly until one connection is captured.
///
/// Run it in the pod's namespace and as the proxy's user: only that user's connections to its own
/// pod are captured as inbound. The proxy must not run yet, since it takes the ports.
///
/// ```no_run
/// use nftmesh::kernel::NetNs;
/// use nftmesh::proxy::CaptureProbe;
///
/// let from = "127.0.0.1".parse()?;
/// let probe = CaptureProbe::new(from, "127.0.0.6:15002".parse()?, [15001, 15006]);
/// NetNs::from_path("/var/run/netns/pod-1")?.run(|| probe.run())??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureProbe {
    from: IpAddr,
    to: SocketAddr,
    ports: [u16; 2],
    timeout: Duration,
}

impl CaptureProbe {
    /// Listens at `from` on both `ports` and connects from there to `to`, for five seconds. Istio
    /// probes from `127.0.0.1` to `127.0.0.6:15002` and, in an IPv6 pod, from `::1` to
    /// `[::6]:15002`; the ports are 15001 and 15006.
    #[must_use]
    pub fn new(from: IpAddr, to: SocketAddr, ports: [u16; 2]) -> Self {
        CaptureProbe { from, to, ports, timeout: Duration::from_secs(5) }
    }

    /// Sets another timeout.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        CaptureProbe { timeout, ..self }
    }

    /// Returns as soon as one connection arrives whose original destination has the port of `to`.
    ///
    /// # Errors
    /// When none arrived in time, with hints on what to check; [`is_conflict`](Error::is_conflict)
    /// when a port is taken, [`is_invalid`](Error::is_invalid) when `to` has one of the two ports.
    pub fn run(&self) -> Result<()> {
        let CaptureProbe { from, to, ports, timeout } = *self;
        if ports.contains(&to.port()) {
            let remedy =
                "is one of the proxy's own ports and would arrive without capture; choose another, such as 15002";
            return Err(Error::new(Kind::Invalid, format!("probe port {} {remedy}", to.port())));
        }
        let listeners = [listen(SocketAddr::new(from, ports[0]))?, listen(SocketAddr::new(from, ports[1]))?];
        let end = Instant::now() + timeout;
        let mut seen = "nothing arrived".to_owned();
        while Instant::now() < end {
            let next = (Instant::now() + PAUSE).min(end);
            let client = inet::start_connecting(from, to);
            if let Err(cause) = &client {
                seen = cause.to_string();
            }
            while Instant::now() < next {
                for listener in &listeners {
                    match listener.accept() {
                        Ok((connection, _)) => match original_destination(&connection) {
                            Ok(original) if original.port() == to.port() => return Ok(()),
                            Ok(original) => seen = format!("what arrived was going to {original}"),
                            Err(error) => seen = error.to_string(),
                        },
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(cause) => return Err(Error::io("accept a connection", cause)),
                    }
                }
                sleep(TICK);
            }
        }
        let [one, other] = ports;
        Err(Error::new(
            Kind::Other,
            format!(
                "connections from {from} to {to} are not captured to {one} or {other} within {timeout:?} ({seen}); are the \
                 rules there (nft list ruleset), and does this run as the proxy's user?"
            ),
        ))
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listening = TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listening.map_err(|cause| match cause.kind() {
        ErrorKind::AddrInUse => {
            let remedy = r#"in use (EADDRINUSE), see by whom with "ss -ltnp"; validate before the proxy starts"#;
            Error::new(Kind::Conflict, format!("listen on {address}: {remedy}"))
        }
        _ => Error::io(format_args!("listen on {address}"), cause),
    })
}

/// The time between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// The time between two checks of the listeners.
const TICK: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{in_namespace, ip, nft};

    fn probe(from: &str, to: &str) -> CaptureProbe {
        CaptureProbe::new(from.parse().expect("an address"), to.parse().expect("an address"), [15001, 15006])
    }

    #[test]
    fn captured_connections_pass_in_both_families() {
        in_namespace(|| {
            ip("link set lo up");
            ip("-6 addr add ::6/128 dev lo nodad");
            nft(
                "table inet t { chain output { type nat hook output priority -100; tcp dport 15002 redirect to :15006; }; }",
            );
            for (from, to) in [("127.0.0.1", "127.0.0.6:15002"), ("::1", "[::6]:15002")] {
                probe(from, to).run().expect(to);
            }
        });
    }

    #[test]
    fn rules_added_while_the_probe_runs_are_noticed() {
        in_namespace(|| {
            ip("link set lo up");
            std::thread::scope(|scope| {
                let running = scope.spawn(|| probe("127.0.0.1", "127.0.0.6:15002").run());
                sleep(Duration::from_millis(100));
                nft(
                    "table inet t { chain output { type nat hook output priority -100; tcp dport 15002 redirect to :15001; }; }",
                );
                running.join().expect("does not panic").expect("is captured at the second attempt");
            });
        });
    }

    #[test]
    fn without_rules_the_error_names_addresses_and_ports() {
        in_namespace(|| {
            ip("link set lo up");
            let short = |probe: CaptureProbe| probe.timeout(Duration::from_millis(50)).run().expect_err("not captured");
            let error = short(probe("127.0.0.1", "127.0.0.6:15002")).to_string();
            let start =
                "connections from 127.0.0.1 to 127.0.0.6:15002 are not captured to 15001 or 15006 within 50ms (";
            assert!(error.starts_with(start) && error.lines().count() == 1, "{error}");
            let error = short(probe("127.0.0.1", "127.0.0.6:15006"));
            assert!(error.is_invalid() && error.to_string().starts_with("probe port 15006 "), "{error}");
        });
    }

    #[test]
    fn a_port_that_is_taken_is_a_conflict() {
        in_namespace(|| {
            ip("link set lo up");
            let _proxy = TcpListener::bind("127.0.0.1:15006").expect("listens");
            let error = probe("127.0.0.1", "127.0.0.6:15002").run().expect_err("is taken");
            assert!(
                error.is_conflict() && error.to_string().starts_with("listen on 127.0.0.1:15006: in use"),
                "{error}"
            );
        });
    }
}
