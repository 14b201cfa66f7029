//! Whether a socket listens in the network namespace of the calling thread.
//!
//! The kernel is asked for listening sockets of one port alone: `/proc/net/tcp` would walk the
//! connections of all namespaces, which takes tens of milliseconds on a machine with much memory.
//! Source: sock_diag(7); `inet_diag_dump_icsk`, net/ipv4/inet_diag.c, v6.12.

use std::{fs, io};

use crate::attr::Messages;
use crate::error::{Error, Kind, Result};
use crate::sys::scratch::Scratch;
use crate::sys::socket::{Bus, NetlinkSocket, Wait};

/// Returns whether a TCP socket listens on this port, on whatever address.
pub(crate) fn listens(port: u16) -> Result<bool> {
    // A kernel may have no sock_diag, or may not be allowed to load it.
    diagnosed(port).or_else(|_| listed(port))
}

fn diagnosed(port: u16) -> io::Result<bool> {
    let socket = NetlinkSocket::open(Bus::SocketDiagnosis)?;
    for family in [libc::AF_INET, libc::AF_INET6] {
        socket.send(&request(family as u8, port))?;
        if any(&socket)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns a dump request: `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(family: u8, port: u16) -> [u8; LENGTH] {
    let mut message = [0; LENGTH];
    let parts: [&[u8]; 7] = [
        &(LENGTH as u32).to_ne_bytes(),
        &SOCK_DIAG_BY_FAMILY.to_ne_bytes(),
        &((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes(),
        // Sequence and port of the header.
        &[0; 8],
        &[family, libc::IPPROTO_TCP as u8, 0, 0],
        &(1_u32 << TCP_LISTEN).to_ne_bytes(),
        &port.to_be_bytes(),
    ];
    message.iter_mut().zip(parts.concat()).for_each(|(to, from)| *to = from);
    message
}

/// Returns whether a dump has any socket.
fn any(socket: &NetlinkSocket) -> io::Result<bool> {
    let (mut found, mut memory) = (false, Scratch::lent());
    while let Some(datagram) = socket.recv(&mut memory, Wait::DontWait)? {
        for message in Messages::new(datagram) {
            let malformed = |_| io::Error::from(io::ErrorKind::InvalidData);
            let message = message.map_err(malformed)?;
            match i32::from(message.kind) {
                libc::NLMSG_DONE => return Ok(found),
                libc::NLMSG_ERROR => return Err(io::Error::from_raw_os_error(message.errno().map_err(malformed)?)),
                _ => found |= message.kind == SOCK_DIAG_BY_FAMILY,
            }
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn listed(port: u16) -> Result<bool> {
    for file in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
        match fs::read_to_string(file) {
            Ok(text) => {
                if text.lines().any(|line| is_listener(line, port)) {
                    return Ok(true);
                }
            }
            // A kernel without IPv6.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(Error::new(Kind::Other, format!("{file}: {why}"))),
        }
    }
    Ok(false)
}

/// Reads a line such as `0: 0100007F:3A99 00000000:0000 0A ...` (`get_tcp4_sock`,
/// net/ipv4/tcp_ipv4.c, v6.12).
fn is_listener(line: &str, port: u16) -> bool {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = words.next().and_then(|local| local.rsplit_once(':'));
    let number = local.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    number == Some(port) && words.nth(1) == Some("0A")
}

const LENGTH: usize = 16 + 56;
/// include/uapi/linux/sock_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// include/net/tcp_states.h
const TCP_LISTEN: u32 = 10;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::testing::{in_namespace, ip};

    #[test]
    fn only_sockets_that_listen_on_the_port_count_in_this_namespace() {
        in_namespace(|| {
            ip("link set lo up");
            let both = |port: u16| {
                let answers = [diagnosed(port).ok(), listed(port).ok()];
                // A kernel without sock_diag has no first answer.
                assert!(answers.into_iter().flatten().all(|answer| Some(answer) == answers.last().copied().flatten()));
                listens(port).expect("it is read")
            };
            assert!(!both(15001));
            for address in ["127.0.0.1:15001", "0.0.0.0:15001", "[::]:15001", "[::1]:15001"] {
                let listener = TcpListener::bind(address).expect("the port is free");
                assert!(both(15001) && !both(15006), "{address}");
                let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
                let port = client.local_addr().expect("connected").port();
                assert!(!both(port), "the other end of a connection");
                in_namespace(|| assert!(!both(15001), "another namespace"));
                drop((client, listener));
                // A child of another test has the socket until it runs its program.
                let is_gone = || {
                    thread::sleep(Duration::from_millis(1));
                    !listens(15001).expect("it is read")
                };
                assert!((0..10_000).any(|_| is_gone()), "{address}");
                assert!(!both(15001), "{address}");
            }
        });
    }

    #[test]
    fn lines_of_proc_are_read() {
        let line = "   0: 0100007F:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0";
        assert!(is_listener(line, 15001));
        assert!(!is_listener(line, 15006));
        assert!(!is_listener(&line.replace(" 0A ", " 01 "), 15001));
        assert!(!is_listener("  sl  local_address rem_address   st tx_queue rx_queue", 15001));
        assert!(is_listener(
            "  1: 00000000000000000000000000000000:3A99 00000000000000000000000000000000:0000 0A",
            15001
        ));
    }
}
