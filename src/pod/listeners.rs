//! Whether anything listens in a pod.

use std::fs;

use super::Pod;
use crate::error::{Error, Kind, Result};

impl Pod {
    /// Returns whether a TCP socket of the pod listens on this port, on whatever address.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or its sockets cannot be read.
    pub fn listens(&self, port: u16) -> Result<bool> {
        self.namespace.run(|| {
            for file in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
                match fs::read_to_string(file) {
                    Ok(text) => {
                        if text.lines().any(|line| is_listener(line, port)) {
                            return Ok(true);
                        }
                    }
                    // A kernel without IPv6.
                    Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
                    Err(why) => return Err(Error::new(Kind::Other, format!("{file}: {why}"))),
                }
            }
            Ok(false)
        })?
    }
}

/// Reads a line such as `0: 0100007F:3A99 00000000:0000 0A ...` (`get_tcp4_sock`,
/// net/ipv4/tcp_ipv4.c, v6.12).
fn is_listener(line: &str, port: u16) -> bool {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = words.next().and_then(|local| local.rsplit_once(':'));
    let number = local.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    number == Some(port) && words.nth(1) == Some(LISTEN)
}

/// `TCP_LISTEN`, include/net/tcp_states.h.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_listen_on_the_port_count() {
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
