//! Tests against the real kernel: connections that nft rules capture.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use super::*;
use crate::kernel::RouteTable;
use crate::routes::{Families, MarkRoute, RoutePlan};
use crate::support::patience::patience;
use crate::testing::{as_nobody, in_namespace, ip, nft};

fn address(text: &str) -> SocketAddr {
    text.parse().expect("is an address")
}

/// Connects to an address without a listener, lets the proxy accept, and passes a byte each way.
#[track_caller]
fn captured(to: SocketAddr, proxy: &TcpListener) -> TcpStream {
    let mut client = TcpStream::connect_timeout(&to, patience(Duration::from_secs(3))).expect("is captured");
    let (mut accepted, _) = proxy.accept().expect("arrives");
    let mut byte = [0];
    client.write_all(b">").expect("goes out");
    accepted.read_exact(&mut byte).expect("comes in");
    accepted.write_all(b"<").expect("goes back");
    client.read_exact(&mut byte).expect("comes back");
    accepted
}

const REDIRECT: &str =
    "table inet t { chain output { type nat hook output priority -100; tcp dport 80 redirect to :15001; }; }";

#[test]
fn a_redirected_connection_has_its_original_destination() {
    for (listen, to) in [
        ("0.0.0.0:15001", "127.0.0.5:80"),
        ("[::]:15001", "[::1]:80"),
        // IPv4 on a dual-stack listener: the socket is IPv6, the conntrack record is IPv4.
        ("[::]:15001", "127.0.0.5:80"),
    ] {
        in_namespace(|| {
            ip("link set lo up");
            nft(REDIRECT);
            let proxy = TcpListener::bind(listen).expect("listens");
            let accepted = captured(address(to), &proxy);
            assert_eq!(accepted.local_addr().expect("has one").port(), 15001, "{to} at {listen}");
            assert_eq!(original_destination(&accepted).expect("has a record"), address(to), "{to} at {listen}");
        });
    }
}

#[test]
fn without_conntrack_the_original_destination_is_not_found() {
    in_namespace(|| {
        ip("link set lo up");
        for listen in ["127.0.0.1:15001", "[::1]:15001"] {
            let proxy = TcpListener::bind(listen).expect("listens");
            let accepted = captured(address(listen), &proxy);
            let error = original_destination(&accepted).expect_err("has no record");
            assert!(error.is_not_found(), "{error}");
        }
    });
}

#[test]
fn an_unredirected_connection_has_its_own_address_as_destination() {
    in_namespace(|| {
        ip("link set lo up");
        nft(REDIRECT);
        let proxy = TcpListener::bind("127.0.0.1:8080").expect("listens");
        let accepted = captured(address("127.0.0.1:8080"), &proxy);
        assert_eq!(original_destination(&accepted).expect("is followed"), address("127.0.0.1:8080"));
    });
}

#[test]
fn a_descriptor_that_is_not_a_tcp_socket_is_refused() {
    in_namespace(|| {
        ip("link set lo up");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let (unix, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let file = std::fs::File::open("/dev/null").expect("opens");
        for outcome in [original_destination(&udp), original_destination(&unix), original_destination(&file)] {
            let error = outcome.expect_err("is no TCP socket");
            assert!(error.is_invalid(), "{error}");
        }
    });
}

#[test]
fn a_transparent_listener_accepts_connections_from_tproxy() {
    for (listen, to) in [("0.0.0.0:15006", "192.0.2.9:80"), ("[::]:15006", "[2001:db8::9]:80")] {
        in_namespace(|| {
            ip("link set lo up");
            ip("link add veth0 type veth peer name veth1");
            ip("link set veth0 up");
            ip("link set veth1 up");
            ip("addr add 192.0.2.1/24 dev veth0");
            ip("-6 addr add 2001:db8::1/64 dev veth0 nodad");
            let plan = RoutePlan::new().tproxy(Families::Both, MarkRoute::new(1337, 133).expect("is valid"));
            let _added = RouteTable::open().expect("opens").add(&plan).expect("is added");
            nft("table inet t { \
                 chain output { type route hook output priority -150; tcp dport 80 meta mark set 1337; }; \
                 chain prerouting { type filter hook prerouting priority -150; \
                 meta l4proto tcp tcp dport 80 tproxy to :15006 accept; }; }");
            let proxy = transparent_listener(address(listen)).expect("listens");
            let accepted = captured(address(to), &proxy);
            assert_eq!(accepted.local_addr().expect("has one"), address(to));
            let error = original_destination(&accepted).expect_err("nothing was rewritten");
            assert!(error.is_not_found(), "{error}");
        });
    }
}

#[test]
fn both_families_listen_side_by_side_and_a_taken_port_is_a_conflict() {
    in_namespace(|| {
        ip("link set lo up");
        let v4 = transparent_listener(address("0.0.0.0:15006")).expect("listens");
        let v6 = transparent_listener(address("[::]:15006")).expect("listens");
        for listener in [&v4, &v6] {
            let error = transparent_listener(listener.local_addr().expect("has one")).expect_err("is taken");
            assert!(error.is_conflict(), "{error}");
        }
        let any = transparent_listener(address("127.0.0.1:0")).expect("listens");
        assert_ne!(any.local_addr().expect("has one").port(), 0);
    });
}

#[test]
fn a_transparent_listener_needs_a_capability() {
    in_namespace(|| {
        as_nobody(|| {
            for any in ["127.0.0.1:15006", "[::1]:15006"] {
                let error = transparent_listener(address(any)).expect_err("may not");
                assert!(error.is_permission(), "{error}");
                assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
            }
        });
    });
}
