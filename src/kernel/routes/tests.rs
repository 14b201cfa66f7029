//! Tests against the real kernel, with `ip` as a second opinion.

use super::*;
use crate::kernel::NetNs;
use crate::routes::{Families, MarkRoute};
use crate::testing::{as_nobody, in_namespace, ip, sysctl};

fn tproxy(mark: u32, table: u32) -> MarkRoute {
    MarkRoute::new(mark, table).expect("is valid")
}

fn istio() -> RoutePlan {
    RoutePlan::new().tproxy(Families::Both, tproxy(1337, 133)).passthrough6()
}

fn up() -> RouteTable {
    ip("link set lo up");
    RouteTable::open().expect("opens")
}

/// Returns everything present, of all authors, as `ip` prints it.
fn state() -> String {
    ["-4 -d rule", "-6 -d rule", "-4 -d route show table all", "-6 -d route show table all", "-d addr show"]
        .map(ip)
        .join("\n")
}

/// Waits for the changes that the kernel makes after `lo` came up.
fn settled() -> String {
    let mut before = state();
    loop {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let after = state();
        if before == after {
            return after;
        }
        before = after;
    }
}

#[test]
fn a_plan_is_added_with_our_protocol_number_and_undone() {
    in_namespace(|| {
        let mut routes = up();
        let before = settled();
        assert_eq!(routes.missing(&istio()).expect("is read"), istio().entries());
        let added = routes.add(&istio()).expect("is added");
        assert_eq!(added.to_string(), istio().to_string());
        let present = state();
        assert_eq!(present.matches("from all fwmark 0x539 lookup 133 proto 146").count(), 2, "{present}");
        assert_eq!(present.matches("local default dev lo table 133 proto 146").count(), 2, "{present}");
        assert_eq!(present.matches("inet6 ::6/128 scope global").count(), 1, "{present}");
        assert!(routes.missing(&istio()).expect("is read").is_empty());
        routes.undo(added).expect("is removed");
        assert_eq!(state(), before);
    });
}

#[test]
fn adding_a_plan_equals_running_its_ip_commands() {
    let without_authors =
        |state: String| state.replace(" proto 146", " proto boot").replace(" proto unspec", " proto boot");
    let mut by_hand = String::new();
    in_namespace(|| {
        ip("link set lo up");
        for line in istio().to_string().lines() {
            ip(line.strip_prefix("ip ").expect("is an ip command"));
        }
        by_hand = without_authors(settled());
        assert!(RouteTable::open().expect("opens").missing(&istio()).expect("is read").is_empty(), "{by_hand}");
    });
    in_namespace(|| {
        let _added = up().add(&istio()).expect("is added");
        let ours = settled();
        assert_eq!(without_authors(ours.replace(" proto 0x92", "")), by_hand);
    });
}

#[test]
fn adding_again_changes_nothing() {
    in_namespace(|| {
        let mut routes = up();
        let _first = routes.add(&istio()).expect("is added");
        let before = settled();
        for _ in 0..3 {
            let again = RouteTable::open().expect("opens").add(&istio()).expect("is there");
            assert!(again.entries().is_empty(), "{again}");
        }
        assert_eq!(state(), before);
    });
}

#[test]
fn matching_entries_of_others_count_as_present_and_are_not_removed() {
    in_namespace(|| {
        let mut routes = up();
        ip("rule add fwmark 1337 lookup 133");
        ip("-6 route add local default dev lo table 133");
        ip("-6 addr add ::6/128 dev lo");
        let before = settled();
        let added = routes.add(&istio()).expect("is added");
        assert_eq!(
            added.to_string(),
            "ip route add local default dev lo table 133\nip -6 rule add fwmark 1337 lookup 133\n"
        );
        let removed = RouteTable::open().expect("opens").remove_all().expect("is removed");
        // What is removed has the priority that the kernel chose.
        let as_added = removed.iter().zip(added.entries().iter().rev()).all(|(gone, added)| gone.is_wanted_as(added));
        assert!(as_added && removed.len() == added.entries().len(), "{removed:?}");
        assert_eq!(state(), before);
        assert!(routes.remove_all().expect("nothing is left").is_empty());
        // An entry that is gone is not an error.
        routes.undo(added).expect("nothing is left");
        assert_eq!(state(), before);
    });
}

#[test]
fn similar_entries_do_not_count_as_present() {
    let others = [
        "rule add fwmark 1337/0xffff lookup 133",
        "rule add fwmark 1337 lookup 134",
        "rule add fwmark 1338 lookup 133",
        "rule add fwmark 1337 iif lo lookup 133",
        "rule add fwmark 1337 from 10.0.0.0/8 lookup 133",
        "rule add fwmark 1337 uidrange 0-0 lookup 133",
        "rule add fwmark 1337 ipproto udp lookup 133",
        "rule add not fwmark 1337 lookup 133",
        "rule add fwmark 1337 lookup 133 suppress_prefixlength 0",
        "rule add fwmark 1337 prohibit",
        "rule add fwmark 1337 lookup 133 pref 40000",
        "route add local default dev lo table 134",
        "route add local 10.0.0.0/8 dev lo table 133",
        "route add local default dev veth0 table 133 metric 7",
        "route add local default dev lo table 133 metric 9",
        "route add local default dev lo table 133 tos 0x10",
        "-6 addr add ::6/128 dev veth0",
        "-6 addr add ::7/128 dev lo",
    ];
    let mut cases = 0;
    for other in others {
        in_namespace(|| {
            let mut routes = up();
            ip("link add veth0 type veth peer name veth1");
            ip("link set veth0 up");
            ip(other);
            assert_eq!(routes.missing(&istio()).expect("is read"), istio().entries(), "{other}");
            cases += 1;
        });
    }
    assert!(cases == 0 || cases == others.len());
}

#[test]
fn remove_stale_removes_only_entries_that_are_not_wanted() {
    in_namespace(|| {
        let mut routes = up();
        ip("rule add fwmark 7 lookup 133");
        let before = settled();
        let _added = routes.add(&istio()).expect("is added");
        let smaller = RoutePlan::new().tproxy(Families::Ipv4, tproxy(1337, 133));
        let removed = routes.remove_stale(&smaller).expect("is removed");
        let [rule, route, address] = removed.as_slice() else { panic!("{removed:?}") };
        assert!(matches!(rule, RouteEntry::Rule { family: IpFamily::Ipv6, .. }), "{removed:?}");
        assert!(matches!(route, RouteEntry::Route { family: IpFamily::Ipv6, .. }), "{removed:?}");
        assert_eq!(*address, RouteEntry::Passthrough6);
        assert!(routes.missing(&smaller).expect("is read").is_empty());
        assert_eq!(routes.remove_all().expect("is removed").len(), 2);
        assert_eq!(state(), before);
    });
}

#[test]
fn a_plan_with_another_mark_and_table_replaces_the_old_entries() {
    in_namespace(|| {
        let mut routes = up();
        let before = settled();
        let _added = routes.add(&istio()).expect("is added");
        for (mark, table) in [(0xdead_beef, 1000), (u32::MAX, u32::MAX), (1, 1)] {
            let plan = RoutePlan::new().tproxy(Families::Both, tproxy(mark, table));
            let added = routes.add(&plan).expect("is added");
            assert_eq!(added.entries().len(), 4, "{added}");
            let _stale = routes.remove_stale(&plan).expect("is removed");
            let present = state();
            assert_eq!(present.matches(&format!("fwmark {mark:#x} lookup {table} proto 146")).count(), 2, "{present}");
            assert_eq!(present.matches("proto 146").count(), 4, "{present}");
        }
        assert_eq!(routes.remove_all().expect("is removed").len(), 4);
        assert_eq!(state(), before);
    });
}

#[test]
fn a_plan_that_fails_half_way_leaves_nothing() {
    in_namespace(|| {
        let mut routes = up();
        ip("link add veth0 type veth peer name veth1");
        ip("link set veth0 up");
        // Conflicts with the second route.
        ip("-6 route add unreachable default dev lo table 133 metric 1024");
        let before = settled();
        let error = routes.add(&istio()).expect_err("the table is taken");
        assert!(error.is_conflict(), "{error}");
        assert_eq!(
            error.to_string(),
            "ip -6 route add local default dev lo table 133: the table has another default route (EEXIST); see \
             \"ip route show table 133\", or choose another table"
        );
        assert_eq!(state(), before);
    });
}

#[test]
fn a_loopback_that_is_down_is_reported_and_left_down() {
    in_namespace(|| {
        let mut routes = RouteTable::open().expect("opens");
        let before = settled();
        let tproxy = RoutePlan::new().tproxy(Families::Ipv4, tproxy(1337, 133));
        for (plan, command) in
            [(istio(), "ip -6 addr add ::6/128 dev lo nodad"), (tproxy, "ip route add local default dev lo table 133")]
        {
            let error = routes.add(&plan).expect_err("lo is down");
            let remedy = r#"lo is down (ENETDOWN); bring it up with "ip link set lo up""#;
            assert_eq!(error.to_string(), format!("{command}: {remedy}"));
            assert_eq!(state(), before);
        }
    });
}

#[test]
fn disabled_ipv6_is_unsupported_and_ipv4_still_works() {
    in_namespace(|| {
        let mut routes = up();
        sysctl("net/ipv6/conf/lo/disable_ipv6", "1");
        let before = settled();
        for plan in [istio(), RoutePlan::new().tproxy(Families::Ipv6, tproxy(1337, 133))] {
            let error = routes.add(&plan).expect_err("IPv6 is off");
            assert!(error.is_unsupported(), "{error}");
            assert!(error.to_string().contains("IPv6 is disabled on lo (EACCES); "), "{error}");
            assert_eq!(state(), before);
        }
        let added = routes.add(&RoutePlan::new().tproxy(Families::Ipv4, tproxy(1337, 133))).expect("is added");
        assert_eq!(added.entries().len(), 2);
        assert_eq!(routes.remove_all().expect("is removed").len(), 2);
        assert_eq!(state(), before);
    });
}

#[test]
fn only_packets_with_the_mark_are_routed_to_this_host() {
    in_namespace(|| {
        let mut routes = up();
        ip("link add veth0 type veth peer name veth1");
        ip("addr add 192.0.2.1/24 dev veth0");
        ip("link set veth0 up");
        let _added = routes.add(&istio()).expect("is added");
        assert!(ip("route get 192.0.2.9 mark 1337").contains("local 192.0.2.9 dev lo table 133"));
        assert!(ip("route get 192.0.2.9 mark 1338").contains("dev veth0"));
        assert!(ip("route get 192.0.2.9").contains("dev veth0"));
        let _socket = std::net::TcpListener::bind("[::6]:0").expect("the passthrough address can be bound");
    });
}

#[test]
fn the_passthrough_address_can_be_bound_at_once() {
    in_namespace(|| {
        let mut routes = up();
        settled();
        // A proxy that starts right afterwards binds the address; a tentative address would fail.
        for round in 0..50 {
            let added = routes.add(&RoutePlan::new().passthrough6()).expect("is added");
            let bound = std::net::UdpSocket::bind("[::6]:0");
            assert!(bound.is_ok(), "round {round}: {bound:?}");
            assert!(ip("-6 addr show dev lo").contains("inet6 ::6/128 scope global nodad"));
            routes.undo(added).expect("is removed");
        }
    });
}

#[test]
fn other_namespaces_are_not_touched() {
    in_namespace(|| {
        let _here = up();
        let before = settled();
        let there = NetNs::current().expect("opens");
        in_namespace(|| {
            ip("link set lo up");
            let inside = settled();
            let mut routes = there.routes().expect("opens");
            let added = routes.add(&istio()).expect("is added");
            assert_eq!(added.entries().len(), 5);
            assert_eq!(state(), inside, "the namespace of the caller changed");
        });
        let mut routes = RouteTable::open().expect("opens");
        assert_eq!(routes.remove_all().expect("is removed").len(), 5);
        assert_eq!(state(), before);
    });
}

/// The plan of Istio's ambient pods.
fn ambient() -> RoutePlan {
    let answers = tproxy(0x111, 100).masked(0xfff).and_then(|route| route.at_priority(32764)).expect("is valid");
    RoutePlan::new().tproxy(Families::Both, answers).ipv6_where_enabled()
}

#[test]
fn a_masked_mark_and_a_priority_are_added_found_and_removed() {
    in_namespace(|| {
        let mut routes = up();
        ip("-6 rule add fwmark 0x111/0xfff lookup 100 priority 32764");
        // Similar rules of others.
        ip("rule add fwmark 0x111/0xff lookup 100 priority 32764");
        ip("rule add fwmark 0x111/0xfff lookup 100 priority 32763");
        let before = settled();
        let added = routes.add(&ambient()).expect("is added");
        assert_eq!(added.entries().len(), 3, "each family on its own: {added}");
        let present = state();
        assert!(present.contains("32764:\tfrom all fwmark 0x111/0xfff lookup 100 proto 146"), "{present}");
        assert!(routes.is_exact(&ambient()).expect("is read"));
        assert!(routes.add(&ambient()).expect("is there").entries().is_empty());
        assert_eq!(routes.remove_all().expect("is removed").len(), 3);
        assert_eq!(state(), before);
    });
}

#[test]
fn another_priority_of_ours_is_stale() {
    in_namespace(|| {
        let mut routes = up();
        let before = settled();
        let at = |priority| tproxy(7, 7).at_priority(priority).expect("is valid");
        for priority in [100, 99, 200] {
            let plan = RoutePlan::new().tproxy(Families::Ipv4, at(priority));
            let _added = routes.add(&plan).expect("is added");
            let _stale = routes.remove_stale(&plan).expect("is removed");
            let present = ip("rule");
            assert_eq!(present.matches("lookup 7").count(), 1, "{present}");
            assert!(present.contains(&format!("{priority}:\tfrom all fwmark 0x7 lookup 7")), "{present}");
        }
        assert_eq!(routes.remove_all().expect("is removed").len(), 2);
        assert_eq!(state(), before);
    });
}

#[test]
fn ipv6_entries_may_be_left_out_where_lo_has_none() {
    in_namespace(|| {
        let mut routes = up();
        sysctl("net/ipv6/conf/lo/disable_ipv6", "1");
        let before = settled();
        let added = routes.add(&ambient()).expect("is added");
        assert_eq!(added.entries().len(), 2, "{added}");
        assert!(routes.is_exact(&ambient()).expect("is read"));
        sysctl("net/ipv6/conf/lo/disable_ipv6", "0");
        assert_eq!(routes.missing(&ambient()).expect("is read").len(), 2);
        let _later = routes.add(&ambient()).expect("is added");
        sysctl("net/ipv6/conf/lo/disable_ipv6", "1");
        // The rule stays when IPv6 goes.
        assert_eq!(routes.remove_stale(&ambient()).expect("is removed").len(), 1);
        assert_eq!(routes.remove_all().expect("is removed").len(), 2);
        assert_eq!(settled(), before);
    });
}

#[test]
fn thousands_of_rules_and_routes_are_read_completely() {
    in_namespace(|| {
        let mut routes = up();
        let mut commands = String::new();
        for n in 0..3000 {
            commands += &format!("rule add fwmark {} lookup 9999\n", 10_000 + n);
            commands += &format!("route add local 10.{}.{}.0/24 dev lo table 9999\n", n / 256, n % 256);
        }
        let file = std::env::temp_dir().join(format!("nftmesh-routes-{}", std::process::id()));
        std::fs::write(&file, commands).expect("is written");
        ip(&format!("-batch {}", file.display()));
        std::fs::remove_file(&file).expect("is removed");
        let _added = routes.add(&istio()).expect("is added");
        assert!(routes.missing(&istio()).expect("is read").is_empty());
        let last = RoutePlan::new().tproxy(Families::Ipv4, tproxy(12_999, 9999));
        assert_eq!(routes.missing(&last).expect("is read").len(), 1, "only the default route is missing");
        assert_eq!(routes.remove_all().expect("is removed").len(), 5);
    });
}

#[test]
fn local_addresses_are_classified_and_listed_ipv4_first() {
    in_namespace(|| {
        let mut routes = up();
        ip("link add veth0 type veth peer name veth1");
        ip("addr add 192.0.2.1 peer 192.0.2.2 dev veth0");
        ip("-6 addr add 2001:db8::1/64 dev veth0 nodad");
        ip("-6 addr add fe80::1/64 dev veth0 nodad");
        let _added = routes.add(&istio()).expect("is added");
        let found: Vec<_> = routes
            .local_addresses()
            .expect("is read")
            .iter()
            .map(|found| (found.address.to_string(), found.is_loopback(), found.is_link_local(), found.prefix))
            .collect();
        for (address, loopback, link_local, prefix) in [
            ("127.0.0.1", true, false, 8),
            ("192.0.2.1", false, false, 32),
            ("::6", true, false, 128),
            ("::1", true, false, 128),
            ("2001:db8::1", false, false, 64),
            ("fe80::1", false, true, 64),
        ] {
            assert!(found.contains(&(address.to_owned(), loopback, link_local, prefix)), "{address}: {found:?}");
        }
        assert!(found.first().is_some_and(|(address, ..)| address == "127.0.0.1"), "IPv4 comes first: {found:?}");
    });
}

#[test]
fn without_the_capability_reading_works_and_adding_is_not_permitted() {
    in_namespace(|| {
        let _root = up();
        let before = settled();
        as_nobody(|| {
            let mut routes = RouteTable::open().expect("opens");
            assert_eq!(routes.missing(&istio()).expect("is read").len(), 5);
            let error = routes.add(&istio()).expect_err("may not");
            assert!(error.is_permission(), "{error}");
            assert!(error.to_string().contains("(EPERM); needs CAP_NET_ADMIN"), "{error}");
        });
        assert_eq!(state(), before);
    });
}

#[test]
fn undo_leaves_entries_that_replaced_ours() {
    in_namespace(|| {
        let mut routes = up();
        let plan = RoutePlan::new().tproxy(Families::Both, tproxy(1337, 133));
        let added = routes.add(&plan).expect("is added");
        for family in ["", "-6 "] {
            // The rule exists twice, once before ours.
            ip(&format!("{family}rule add fwmark 1337 lookup 133 pref 100"));
            ip(&format!("{family}route del local default dev lo table 133"));
            ip(&format!("{family}route add local default dev lo table 133"));
        }
        routes.undo(added).expect("is removed");
        assert!(!state().contains("proto 146"), "{}", state());
        assert!(routes.missing(&plan).expect("is read").is_empty(), "{}", state());
    });
}
