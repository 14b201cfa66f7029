//! Owners of packets: sockets of the kernel, which have none, and packets from raw sockets.

#![cfg(all(feature = "mesh", feature = "sim"))]

#[path = "support/sidecar.rs"]
mod sidecar;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nftmesh::mesh::istio::{IstioConfig, OwnerGroups, ServiceCidrs};
use nftmesh::model::Ruleset;
use nftmesh::sim::{End, Host, Rules, Walker};
use sidecar::{apply, config};
use support::patience::comes_true_within;
use support::version::built_without;
use support::{command, ip, needs_root, nft, nft_script, skip, sys};
use traffic::{Pod, Who};

#[test]
fn with_a_list_of_captured_groups_a_socket_of_the_kernel_is_left_alone() {
    let groups = [vec![1000], vec![1000, 2000]];
    for (groups, services) in groups.iter().flat_map(|groups| ["*", "10.0.0.0/8"].map(|services| (groups, services))) {
        let services = match services {
            "*" => ServiceCidrs::All,
            range => ServiceCidrs::only([range.parse().expect("a CIDR")]),
        };
        let config = IstioConfig::builder().service_cidrs(services).owner_groups(OwnerGroups::Only(groups.clone()));
        let config = config.dns(nftmesh::mesh::istio::DnsCapture::All).build().expect("valid");
        let rules = Rules::try_from(&Ruleset::from(&config)).expect("rules that can be lowered");
        let host = Host::pod(["10.77.0.2/24".parse().expect("an address")]);
        for (to, proxy) in
            [("tcp 10.77.0.2:40000 -> 10.77.0.1:9000", 15001), ("udp 10.77.0.2:40000 -> 10.77.0.1:53", 15053)]
        {
            for (owner, captured) in [("", false), (" uid 7 gid 1000", true), (" uid 7 gid 7", false)] {
                let walk = Walker::new(&rules, &host).send(format!("{to}{owner}").parse().expect("a packet"));
                let is_captured = matches!(&walk.end, End::Delivered(to) if to.port == proxy);
                let is_sent = matches!(&walk.end, End::Sent { .. });
                assert_eq!((is_captured, is_sent), (captured, !captured), "{to}{owner}: {walk}");
            }
        }
    }
}

/// `IPPROTO_MPTCP`, include/uapi/linux/in.h.
const MPTCP: libc::c_int = 262;

fn second_flows() -> String {
    nft("list chain ip seen in")
}

#[test]
fn mptcp_subflows_of_excluded_groups_are_left_alone_too() {
    // Debian 11 builds 5.10 without it; later distributions have it.
    if !needs_root() || built_without("/proc/sys/net/mptcp", (6, 1), "MPTCP (CONFIG_MPTCP)") {
        return;
    }
    let pod = Pod::new();
    let can = pod.run(|| command("ip").args(["mptcp", "limits", "set", "subflow", "2"]).output());
    if !can.is_ok_and(|output| output.status.success()) {
        return skip("no MPTCP, the only opener of TCP connections in the kernel that is always there");
    }
    pod.run(|| {
        ip("addr add 10.77.0.3/24 dev eth0");
        ip("mptcp endpoint add 10.77.0.3 dev eth0 subflow");
        apply(&config("-i '*' ISTIO_OUTBOUND_OWNER_GROUPS=2000", ""));
    });
    let server = SocketAddr::from(([10, 77, 0, 1], 9100));
    let listener = pod.gateway.run(|| {
        ip("mptcp limits set subflow 2");
        nft_script(
            "table ip seen { chain in {
                type filter hook input priority 0;
                ip saddr 10.77.0.3 tcp flags & (syn | ack) == syn counter;
            }; }",
        );
        let socket = sys::socket_of(server, libc::SOCK_STREAM, MPTCP).expect("this kernel has it");
        sys::bind(&socket, server).expect("nobody else listens");
        sys::listen(&socket).expect("it can listen");
        TcpListener::from(socket)
    });
    let mut client = pod.run(|| {
        Who::App.assume();
        let socket = sys::socket_of(server, libc::SOCK_STREAM, MPTCP).expect("this kernel has it");
        sys::connect(&socket, server).expect("its group is not captured");
        TcpStream::from(socket)
    });
    let (mut served, _) = listener.accept().expect("the connection is there");
    client.write_all(b"a question").expect("it is open");
    served.read_exact(&mut [0; 10]).expect("it is open");
    served.write_all(b"an answer ").expect("it is open");
    client.read_exact(&mut [0; 10]).expect("it is open");
    let has_come = || {
        if !pod.gateway.run(second_flows).contains("packets 0 ") {
            return true;
        }
        client.write_all(b"more").expect("it is open");
        false
    };
    let rules = || pod.run(|| nft("list ruleset"));
    assert!(comes_true_within(Duration::from_secs(10), has_come), "its further flow did not come: {}", rules());
}

/// Returns a TCP header of 20 bytes with these flags and no checksum: connection tracking finds it
/// invalid by its flags.
fn segment(flags: u8) -> Vec<u8> {
    vec![0x27, 0x0f, 0x1f, 0x90, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]
}

/// Returns the number of packets that reached the gateway, of IPv4 and of IPv6.
fn arrived(pod: &Pod) -> [u32; 2] {
    let listed = pod.gateway.run(|| nft("list chain inet seen in"));
    let packets = |family: &str| {
        let rule = listed.lines().find(|line| line.contains(family)).expect("a rule");
        let (_, rest) = rule.split_once("packets ").expect("a counter");
        rest.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    [packets("nfproto ipv4"), packets("nfproto ipv6")]
}

#[test]
fn outbound_invalid_tcp_is_dropped_only_when_asked_and_not_for_the_proxy() {
    if !needs_root() {
        return;
    }
    // No flags, FIN with SYN, RST with SYN, all flags.
    const FLAGS: [u8; 4] = [0x00, 0x03, 0x06, 0x3f];
    for (options, app, proxy) in [
        ("ISTIO_DUAL_STACK=true -i '*'", 4, 4),
        ("ISTIO_DUAL_STACK=true -i '*' --drop-invalid", 4, 4),
        ("ISTIO_DUAL_STACK=true -i '*' --drop-invalid --drop-invalid-outbound", 0, 4),
        ("ISTIO_DUAL_STACK=true -i '*' -b '*' -m TPROXY DROP_INVALID_OUTBOUND=true", 0, 4),
        ("ISTIO_DUAL_STACK=true -i '*' -b '*' -m TPROXY -c eth0 --drop-invalid-outbound", 4, 4),
    ] {
        let pod = Pod::new();
        pod.run(|| apply(&config(options, "")));
        let send = |uid: u32, gid: u32| {
            pod.run(|| {
                sys::become_user(uid, gid, sys::Capabilities::Network).expect("root may become any user");
                for flags in FLAGS {
                    for to in ["10.77.0.1:0", "[fd77::1]:0"] {
                        let to = to.parse().expect("an address");
                        // Sending fails where a rule drops the packet, which is fine.
                        drop(sys::send_raw(to, libc::IPPROTO_TCP, &segment(flags)));
                    }
                }
            });
        };
        // Neighbour discovery first, since raw packets are not repeated.
        for to in ["10.77.0.1:9", "[fd77::1]:9"] {
            let answers = std::iter::repeat_with(|| pod.connect(Who::Proxy, to.parse().expect("an address")));
            assert!(answers.take(5).any(|answer| answer == "REFUSED"), "{to} is not reached");
        }
        pod.gateway.run(|| {
            nft_script(
                "table inet seen { chain in {
                    type filter hook prerouting priority -310;
                    meta nfproto ipv4 meta l4proto tcp counter;
                    meta nfproto ipv6 meta l4proto tcp counter;
                }; }",
            )
        });
        send(1000, 1000);
        assert_eq!(arrived(&pod), [app; 2], "{options}: the application's");
        send(1337, 1000);
        send(1000, 1337);
        assert_eq!(arrived(&pod), [app + 2 * proxy; 2], "{options}: the proxy's");
    }
}

#[test]
fn valid_connections_work_when_invalid_tcp_is_dropped() {
    if !needs_root() {
        return;
    }
    for mode in ["REDIRECT", "TPROXY"] {
        let pod = Pod::new();
        let options =
            format!("ISTIO_DUAL_STACK=true -i 10.99.0.0/16 -b '*' -m {mode} --drop-invalid --drop-invalid-outbound");
        pod.run(|| apply(&config(&options, "")));
        pod.serving(traffic::Listeners::All, || {
            for (who, to, expected) in [
                (Who::App, "10.77.0.1:9000", "REMOTE "),
                (Who::App, "[fd77::1]:9000", "REMOTE "),
                (Who::Gateway, "10.77.0.2:8080", "ENVOY_IN "),
                (Who::Gateway, "[fd77::2]:8080", "ENVOY_IN "),
                (Who::Gateway, "10.77.0.2:15021", "ENVOY_"),
                (Who::Proxy, "10.77.0.2:8080", "ENVOY_IN "),
            ] {
                let answer = pod.connect(who, to.parse().expect("an address"));
                assert!(answer.starts_with(expected), "{options}: {who} to {to}: {answer}");
            }
        });
    }
}
