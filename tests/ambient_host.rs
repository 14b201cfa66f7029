//! The rules of a node of ambient pods, and the defects of Istio's agent there, each shown not to
//! be here. Their numbers are those of the recordings.

#![cfg(feature = "mesh")]

mod support;

use std::io::Read;
use std::net::{IpAddr, TcpListener, TcpStream};

use nftmesh::mesh::Mesh;
use nftmesh::mesh::ambient::{AmbientHost, AmbientNode, host_tables};
use nftmesh::pod::{Leftovers, Pod};
use support::sys::Capabilities;
use support::{NetNs, in_fresh_netns, ip, nft, nft_script, sys};

fn node() -> AmbientNode {
    AmbientNode::from_vars([("AMBIENT_IPV6", "true")]).expect("valid")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[track_caller]
fn set(host: &mut AmbientHost, of: &str, uid: &str) -> bool {
    host.set(address(of), uid).expect("an address and a uid")
}

#[track_caller]
fn install(host: &AmbientHost) {
    let mut pod = Pod::open().expect("netlink sockets");
    pod.install(host).expect("it installs");
    assert!(pod.plan(host, Leftovers::Keep).expect("it reads").is_in_sync());
    assert!(pod.install(host).expect("it installs").is_empty());
}

/// Defects 14 and 16: an address keeps the uid of the pod that had it; sets and rules are made in
/// an order that can fail.
#[test]
fn addresses_change_hands_and_go_with_their_pod_alone() {
    in_fresh_netns(|| {
        let mut host = node().host();
        install(&host);
        assert!(set(&mut host, "10.77.0.9", "one") && set(&mut host, "fd77::9", "one"));
        install(&host);
        let before = nft("-a list ruleset");
        assert!(before.contains("10.77.0.9 comment \"one\"") && before.contains("fd77::9 comment \"one\""), "{before}");
        assert!(!set(&mut host, "10.77.0.9", "one"), "it is its already");
        assert!(set(&mut host, "10.77.0.9", "two") && set(&mut host, "10.77.0.10", "two"));
        install(&host);
        let after = nft("-a list ruleset");
        assert!(after.contains("10.77.0.9 comment \"two\"") && !after.contains("10.77.0.9 comment \"one\""), "{after}");
        // The rules stay what they are while elements change.
        let rule =
            |text: &str| text.lines().filter(|line| line.contains("snat")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(rule(&after), rule(&before));
        assert!(!host.unset(address("10.77.0.9"), "one") && !host.unset(address("10.0.0.1"), "two"));
        assert!(host.unset(address("10.77.0.9"), "two") && !host.unset(address("10.77.0.9"), "two"));
        assert_eq!((host.unset_pod("two"), host.unset_pod("two")), (1, 0));
        install(&host);
        let left = nft("list ruleset");
        assert!(!left.contains("10.77.0.") && left.contains("fd77::9 comment \"one\""), "{left}");
        // A restart knows the pods from the rules.
        let mut again = node().host();
        let held = Pod::open().and_then(|mut pod| pod.kernel().snapshot_of(&host_tables())).expect("it reads");
        again.adopt(&held.raise().ruleset);
        assert_eq!(again, host);
    });
}

/// Defects 17 and 20: rules that others removed stay away; removing leaves a table.
#[test]
fn rules_that_others_removed_are_repaired_and_removing_leaves_nothing() {
    in_fresh_netns(|| {
        nft_script("table inet firewall { chain c { type filter hook input priority 0; }; }");
        let others = nft("list ruleset");
        let mut host = node().host();
        set(&mut host, "10.77.0.9", "one");
        install(&host);
        for destruction in [
            "delete table inet istio-ambient-nat",
            "flush chain inet istio-ambient-nat postrouting",
            "flush set inet istio-ambient-nat istio-inpod-probes-v4",
            "delete element inet istio-ambient-nat istio-inpod-probes-v4 { 10.77.0.9 }",
            "add element inet istio-ambient-nat istio-inpod-probes-v4 { 10.77.0.10 }",
        ] {
            nft_script(destruction);
            let plan = Pod::open().and_then(|mut pod| pod.plan(&host, Leftovers::Keep)).expect("it reads");
            assert!(!plan.is_in_sync(), "{destruction}");
            install(&host);
        }
        let mut pod = Pod::open().expect("netlink sockets");
        pod.remove_tables(&host.tables()).expect("it removes");
        assert_eq!(nft("list ruleset"), others);
        assert!(pod.remove_tables(&host.tables()).expect("it removes").is_empty());
    });
}

/// Defect 15: a dual-stack pod cannot be added with IPv6 off.
#[test]
fn ipv6_addresses_are_ignored_where_ipv6_is_off() {
    in_fresh_netns(|| {
        let mut host = AmbientNode::from_vars([("AMBIENT_IPV6", "false")]).expect("valid").host();
        set(&mut host, "10.77.0.9", "one");
        assert!(host.warnings().is_empty());
        set(&mut host, "fd77::9", "one");
        set(&mut host, "fd77::10", "two");
        assert_eq!(host.warnings(), ["2 IPv6 addresses of pods have no effect without AMBIENT_IPV6"]);
        install(&host);
        let printed = nft("list ruleset");
        assert!(printed.contains("table ip istio-ambient-nat") && !printed.contains("v6"), "{printed}");
        assert_eq!(host.unset_pod("one"), 2);
        // IPv6 later: the old table goes with the same transaction.
        let mut both = node().host();
        both.adopt(&host.rules());
        install(&both);
        assert!(!nft("list ruleset").contains("table ip "));
    });
}

#[test]
fn what_is_no_address_of_a_pod_and_no_uid_is_refused() {
    let mut host = node().host();
    for wrong in ["0.0.0.0", "127.0.0.1", "::1", "224.0.0.1", "::ffff:127.0.0.1"] {
        assert!(host.set(address(wrong), "one").expect_err(wrong).is_invalid(), "{wrong}");
    }
    for wrong in ["", "a b", "a\"b", "a\nb", &"x".repeat(129)] {
        let error = host.set(address("10.0.0.1"), wrong).expect_err(wrong);
        assert!(error.is_invalid() && error.to_string().lines().count() == 1, "{error}");
    }
    assert!(set(&mut host, "::ffff:10.0.0.1", &"x".repeat(128)));
    assert_eq!(host.pods().map(|(address, _)| address).collect::<Vec<_>>(), [address("10.0.0.1")]);
    in_fresh_netns(|| install(&host));
}

#[test]
fn a_node_of_many_pods_is_changed_by_the_difference() {
    in_fresh_netns(|| {
        let mut host = node().host();
        for number in 0..2000_u32 {
            let [.., high, low] = number.to_be_bytes();
            let _new = set(&mut host, &format!("10.9.{high}.{low}"), &format!("pod-{number}"));
        }
        install(&host);
        set(&mut host, "10.9.0.7", "another");
        let plan = Pod::open().and_then(|mut pod| pod.plan(&host, Leftovers::Keep)).expect("it reads");
        assert!(plan.changes.len() <= 2, "{plan}");
        install(&host);
    });
}

/// Defect 13: who asks for what the node sends is the user of a process named kubelet.
#[test]
fn connections_of_every_local_user_have_the_probe_address_and_forwarded_ones_do_not() {
    if !support::needs_root() {
        return;
    }
    let [pod, node_namespace, far] = [(); 3].map(|()| NetNs::fresh());
    let link = |inner: &NetNs, name: &str, number: u8| {
        node_namespace.run(|| {
            // The other namespace is the standard input of ip.
            let words = format!("link add {name} type veth peer name eth0 netns /proc/self/fd/0");
            let mut command = support::command("ip");
            let status = command.args(words.split(' ')).stdin(inner.file.try_clone().expect("a descriptor")).status();
            assert!(status.expect("ip is installed").success(), "{words}");
            ip(&format!("addr add 10.{number}.0.1/24 dev {name}"));
            ip(&format!("-6 addr add fd{number}::1/64 dev {name} nodad"));
            ip(&format!("link set {name} up"));
        });
        inner.run(|| {
            ip(&format!("addr add 10.{number}.0.2/24 dev eth0"));
            ip(&format!("-6 addr add fd{number}::2/64 dev eth0 nodad"));
            ip("link set eth0 up");
            ip(&format!("route add default via 10.{number}.0.1"));
            ip(&format!("-6 route add default via fd{number}::1"));
        });
    };
    link(&pod, "pod0", 77);
    link(&far, "far0", 78);
    node_namespace.run(|| {
        for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{switch}"), "1").expect("a sysctl");
        }
        let mut host = node().host();
        set(&mut host, "10.77.0.2", "pod");
        set(&mut host, "fd77::2", "pod");
        install(&host);
    });
    for (server, probe, remote) in
        [("10.77.0.2", "169.254.7.127", "10.78.0.2"), ("fd77::2", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff", "fd78::2")]
    {
        let listener = pod.run(|| TcpListener::bind((address(server), 8080)).expect("the port is free"));
        let peer = |from: &NetNs, uid: u32| {
            let mut stream = from.run(|| {
                sys::become_user(uid, uid, Capabilities::None).expect("root becomes anyone");
                TcpStream::connect((address(server), 8080)).expect("the pod answers")
            });
            let (accepted, peer) = listener.accept().expect("a connection");
            drop(accepted);
            assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
            peer.ip()
        };
        for uid in [0, 1000, 65534] {
            assert_eq!(peer(&node_namespace, uid), address(probe), "{uid}");
        }
        assert_eq!(peer(&far, 0), address(remote));
        // Rules of others come later, whenever they were added.
        let program = if server.contains(':') { "ip6tables-nft" } else { "iptables-nft" };
        node_namespace.run(|| support::succeed(program, "-t nat -I POSTROUTING -j MASQUERADE", ""));
        assert_eq!(peer(&node_namespace, 0), address(probe));
        assert_ne!(peer(&far, 0), address(remote));
    }
}
