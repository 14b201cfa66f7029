//! The connections, where each must arrive, and the table of where it did.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::thread;

use nftmesh::mesh::istio::Interception;
use nftmesh::mesh::ports;
use socket2::{Domain, Socket, Type};

use crate::Round;
use crate::namespaces::Family;
use crate::servers::{APP, Capture, PATIENCE, REMOTE, Way, ask_udp};
use crate::users::{Users, Who};

/// A connection, and its expected result.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) who: Who,
    way: Way,
    to: SocketAddr,
    expected: Landing,
}

/// Where a connection arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Landing {
    captured: Option<Capture>,
    /// Which server answered, and the client that it saw.
    answer: Result<(String, String), String>,
}

pub(crate) const HEADER: &str = "\
who    uid:gid    connects to        captured by  original destination  answered by  client seen as
------ ---------  -----------------  -----------  --------------------  -----------  --------------";

impl Connection {
    /// Returns the connections of this round, except those that cannot be distinguished from the
    /// proxy's.
    pub(crate) fn all(round: &Round) -> Vec<Connection> {
        let all = round.net.families().flat_map(|family| match round.mode {
            Interception::Tproxy => tproxy(family),
            _ => redirect(family),
        });
        all.filter(|connection| round.users == Users::All || connection.who != Who::App).collect()
    }

    /// Returns its line of the table.
    pub(crate) fn row(&self, round: &Round, landing: &Landing) -> String {
        let id = match self.who {
            Who::Remote => String::new(),
            who => round.users.id(who, round.mode).to_string(),
        };
        let to = match self.way {
            Way::Tcp => self.to.to_string(),
            Way::Udp => format!("{}/udp", self.to),
        };
        let captured = landing.captured.map_or("nobody".to_owned(), |capture| format!("proxy:{}", capture.port));
        let original = landing.captured.and_then(|capture| capture.original);
        let original = original.map_or("-".to_owned(), |original| original.to_string());
        let answer = match &landing.answer {
            Ok((by, sees)) => format!("{by:<11}  {sees}"),
            Err(failure) => failure.clone(),
        };
        format!("{:<6} {id:<9}  {to:<17}  {captured:<11}  {original:<20}  {answer}", self.who)
    }

    /// Returns the expected line, if the connection arrived elsewhere.
    pub(crate) fn complaint(&self, round: &Round, landing: &Landing) -> Option<String> {
        (landing != &self.expected).then(|| format!("  WRONG, and should be\n{}", self.row(round, &self.expected)))
    }

    fn make(&self, round: &Round) -> Landing {
        let namespace = if self.who == Who::Remote { &round.net.gateway } else { &round.net.pod };
        let asked = namespace.run(|| {
            round.users.id(self.who, round.mode).assume()?;
            self.ask()
        });
        match asked.map_err(io::Error::other).and_then(|answer| answer) {
            Ok((client, reply)) => {
                let (by, sees) = reply.trim().split_once(' ').unwrap_or((reply.trim(), ""));
                Landing {
                    captured: round.captures.take(self.way, client),
                    answer: Ok((by.to_owned(), sees.to_owned())),
                }
            }
            Err(error) => Landing { captured: None, answer: Err(error.to_string()) },
        }
    }

    /// Makes the connection; returns the client's own address, and the reply.
    fn ask(&self) -> io::Result<(SocketAddr, String)> {
        let any = if self.to.is_ipv4() { SocketAddr::from(([0; 4], 0)) } else { SocketAddr::from(([0; 16], 0)) };
        if self.way == Way::Udp {
            let socket = UdpSocket::bind(any)?;
            let reply = ask_udp(&socket, self.to, b"who\n")?;
            return Ok((socket.local_addr()?, reply));
        }
        let socket = Socket::new(Domain::for_address(self.to), Type::STREAM, None)?;
        // Otherwise clients of different servers may share a port, and the proxy records clients
        // by port.
        socket.bind(&any.into())?;
        socket.connect_timeout(&self.to.into(), PATIENCE)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"who\n")?;
        stream.shutdown(Shutdown::Write)?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok((stream.local_addr()?, reply))
    }
}

/// Returns the connections with REDIRECT: both directions are captured, but not loopback, the
/// proxy's own traffic and its health check.
fn redirect(family: Family) -> Vec<Connection> {
    use Who::{App, Proxy, Remote};
    let Family { any: _, gateway, loopback, passthrough, pod } = family;
    let outbound = Some(ports::OUTBOUND);
    let inbound = Some(ports::INBOUND);
    vec![
        connection(App, (gateway, REMOTE), outbound, ("remote:9000", pod)),
        dns(App, gateway, ("remote:53", pod)),
        connection(App, (pod, APP), None, ("app:8080", pod)),
        connection(App, (loopback, APP), None, ("app:8080", loopback)),
        connection(Proxy, (gateway, REMOTE), None, ("remote:9000", pod)),
        connection(Proxy, (pod, APP), inbound, ("app:8080", passthrough)),
        connection(Remote, (pod, APP), inbound, ("app:8080", passthrough)),
        connection(Remote, (pod, ports::HEALTH), None, ("proxy:15021", gateway)),
    ]
}

/// Returns the connections with TPROXY that differ: the app sees its real clients.
fn tproxy(family: Family) -> Vec<Connection> {
    use Who::{App, Proxy, Remote};
    let Family { any: _, gateway, loopback: _, passthrough: _, pod } = family;
    vec![
        connection(App, (gateway, REMOTE), Some(ports::OUTBOUND), ("remote:9000", pod)),
        connection(Proxy, (pod, APP), Some(ports::INBOUND), ("app:8080", pod)),
        connection(Remote, (pod, APP), Some(ports::INBOUND), ("app:8080", gateway)),
    ]
}

fn connection(who: Who, to: (IpAddr, u16), captured_by: Option<u16>, (by, sees): (&str, IpAddr)) -> Connection {
    let to = SocketAddr::from(to);
    let captured = captured_by.map(|port| Capture { port, original: Some(to) });
    let expected = Landing { captured, answer: Ok((by.to_owned(), sees.to_string())) };
    Connection { who, way: Way::Tcp, to, expected }
}

fn dns(who: Who, nameserver: IpAddr, (by, sees): (&str, IpAddr)) -> Connection {
    let captured = Some(Capture { port: ports::AGENT_DNS, original: None });
    let expected = Landing { captured, answer: Ok((by.to_owned(), sees.to_string())) };
    Connection { who, way: Way::Udp, to: (nameserver, ports::DNS).into(), expected }
}

/// Makes all connections at the same time, so that all timeouts together take as long as one.
pub(crate) fn make(connections: &[Connection], round: &Round) -> Vec<Landing> {
    thread::scope(|scope| {
        let made: Vec<_> = connections.iter().map(|connection| scope.spawn(|| connection.make(round))).collect();
        made.into_iter().map(|made| made.join().expect("a connection that fails says so")).collect()
    })
}
