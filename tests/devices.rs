//! Chains of devices, of bridges and of ARP: built, read, printed and changed as nft does.

#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

mod support;

use nftmesh::model::{ChainKind, DeviceBase, DeviceHook};
use nftmesh::prelude::*;
use nftmesh::text::Reader;
use support::{assert_lists_as_nft, in_fresh_netns, ip, nft, nft_script};

const TABLES: &str = "table netdev n {
	chain in {
		type filter hook ingress device \"lo\" priority filter; policy accept;
		ip saddr 10.0.0.1 drop
	}

	chain both {
		type filter hook ingress devices = { d0, lo } priority filter - 5; policy drop;
		accept
	}

	chain out {
		type filter hook egress devices = { d0, d1 } priority filter + 7; policy accept;
		meta mark 0x00000001 drop
	}
}
table inet i {
	chain early {
		type filter hook ingress device \"d1\" priority raw; policy accept;
		tcp dport 22 counter packets 0 bytes 0
	}
}
table bridge b {
	chain pre {
		type filter hook prerouting priority dstnat; policy accept;
		ip saddr 10.0.0.1 drop
	}

	chain out {
		type filter hook output priority out; policy drop;
	}
}
table arp a {
	chain in {
		type filter hook input priority filter; policy accept;
		arp operation request accept
	}

	chain out {
		type filter hook output priority filter - 1; policy accept;
	}
}
";

fn built() -> Ruleset {
    let saddr = || Rule::new().ip_saddr("10.0.0.1".parse::<std::net::Ipv4Addr>().expect("an address"));
    let netdev = Table::new(Family::Netdev, "n")
        .chain(Chain::ingress("in", ["lo"], Priority::FILTER).rule(saddr().drop()))
        .chain(Chain::ingress("both", ["lo", "d0"], Priority(-5)).policy(Policy::Drop).rule(Rule::new().accept()))
        .chain(Chain::egress("out", ["d0", "d1"], Priority(7)).rule(Rule::new().mark(1).drop()));
    let early = Chain::ingress("early", ["d1"], Priority(-300)).rule(Rule::new().tcp_dport(22).counter());
    let filter = |name: &str, hook, priority| Chain::base(name, ChainType::Filter, hook, Priority(priority));
    let bridge = Table::new(Family::Bridge, "b")
        .chain(filter("pre", Hook::Prerouting, -300).rule(saddr().drop()))
        .chain(filter("out", Hook::Output, 100).policy(Policy::Drop));
    let request: Rule = Reader::new().rule(Family::Arp, "arp operation request accept").expect("valid");
    let arp = Table::new(Family::Arp, "a").chain(filter("in", Hook::Input, 0).rule(request)).chain(filter(
        "out",
        Hook::Output,
        -1,
    ));
    Ruleset::new().table(netdev).table(Table::new(Family::Inet, "i").chain(early)).table(bridge).table(arp)
}

fn in_a_place_with_devices(body: impl FnOnce() + Send) {
    in_fresh_netns(|| {
        ip("link add d0 type ifb");
        ip("link add d1 type ifb");
        body();
    });
}

#[test]
fn what_is_built_is_what_nft_loads_and_lists() {
    let built = built();
    assert_eq!(built.validate(), Ok(()));
    support::assert_same(TABLES, &built.to_string(), "what is built");
    let sorted: Ruleset = TABLES.parse().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(sorted.to_string().parse::<Ruleset>(), Ok(sorted.clone()));
    in_a_place_with_devices(|| {
        let mut kernel = Kernel::open().expect("a socket");
        for made in [&built, &sorted] {
            kernel.apply(made).unwrap_or_else(|error| panic!("{error}"));
            let snapshot = assert_lists_as_nft();
            support::assert_same(TABLES, &nft("list ruleset"), "what nft lists");
            let raised = snapshot.raise().ruleset;
            support::assert_same(TABLES, &raised.to_string(), "what is raised");
            let opaque = raised
                .tables
                .iter()
                .flat_map(|table| &table.chains)
                .find(|chain| matches!(chain.kind, ChainKind::Opaque(_)));
            assert_eq!(opaque, None);
            for same in [&built, &sorted, &raised] {
                let plan = kernel.plan(same).expect("valid");
                assert!(plan.is_empty(), "{plan}");
            }
            nft_script("flush ruleset");
            nft_script(TABLES);
            let plan = kernel.plan(made).expect("valid");
            assert!(plan.is_empty(), "{plan}");
        }
    });
}

#[test]
fn other_devices_are_another_chain_and_another_policy_is_not() {
    in_a_place_with_devices(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let table = |devices: &[&str], policy| {
            let chain = Chain::ingress("c", devices.iter().copied(), Priority::FILTER).policy(policy);
            let other = Chain::egress("o", ["lo"], Priority::FILTER).rule(Rule::new().counter());
            let table = Table::new(Family::Netdev, "n").chain(chain.rule(Rule::new().counter().accept())).chain(other);
            Ruleset::new().table(table)
        };
        kernel.apply(&table(&["lo", "d0"], Policy::Accept)).expect("valid");
        assert!(kernel.plan(&table(&["d0", "lo"], Policy::Accept)).expect("valid").is_empty());
        let drop = table(&["lo", "d0"], Policy::Drop);
        assert_eq!(kernel.plan(&drop).expect("valid").operations().len(), 1);
        kernel.apply(&drop).expect("valid");
        let wanted = table(&["lo", "d1"], Policy::Drop);
        let plan = kernel.plan(&wanted).expect("valid").to_string();
        assert!(plan.contains("delete chain netdev n c\n") && !plan.contains("netdev n o"), "{plan}");
        kernel.apply(&wanted).expect("valid");
        assert!(nft("list ruleset").contains("devices = { d1, lo } priority filter; policy drop;"));
        assert!(kernel.plan(&wanted).expect("valid").is_empty());
        assert_lists_as_nft();
    });
}

#[test]
fn a_hook_that_a_family_lacks_is_refused_with_those_it_has() {
    let in_table = |family, chain| Ruleset::new().table(Table::new(family, "t").chain(chain));
    let ingress = || Chain::ingress("c", ["lo"], Priority::FILTER);
    let at = |hook| Chain::base("c", ChainType::Filter, hook, Priority::FILTER);
    let cases = [
        (in_table(Family::Ip, ingress()), "no chain of type filter hooks ingress of family ip"),
        (in_table(Family::Inet, Chain::egress("c", ["lo"], Priority(1))), "hooks egress of family inet"),
        (in_table(Family::Netdev, at(Hook::Input)), "family netdev (type filter hooks: ingress, egress)"),
        (in_table(Family::Arp, at(Hook::Forward)), "family arp (type filter hooks: input, output)"),
        (in_table(Family::Netdev, Chain::ingress("c", ["lo", "lo"], Priority(0))), "device lo is named twice"),
        (in_table(Family::Netdev, Chain::ingress("c", ["an-interface-name"], Priority(0))), "longer than the 15 bytes"),
    ];
    for (ruleset, says) in cases {
        let invalid = ruleset.validate().expect_err(says).to_string();
        assert!(invalid.contains(says), "{invalid}");
    }
    let none: [&str; 0] = [];
    let odd = in_table(Family::Netdev, Chain::ingress("c", none, Priority(0)));
    assert_eq!(odd.validate(), Ok(()));
    assert!(odd.validate_strictly().expect_err("no device").to_string().contains("it names no device"));
}

#[test]
fn the_text_of_a_hook_is_read_as_nft_reads_it() {
    let hook = |text: &str| {
        let ruleset: Ruleset = format!("table netdev n {{\n chain c {{\n {text}\n }}\n}}").parse()?;
        Ok::<_, nftmesh::text::TextError>(ruleset.tables[0].chains[0].kind.clone())
    };
    let base = |devices: &[&str]| {
        let devices = devices.iter().map(|device| (*device).to_owned()).collect();
        ChainKind::Device(DeviceBase {
            hook: DeviceHook::Ingress,
            devices,
            priority: Priority(3),
            policy: Policy::Accept,
        })
    };
    for (text, devices) in [
        ("type filter hook ingress device lo priority 3;", &["lo"][..]),
        ("type filter hook ingress device \"eth0.1\" priority 3; policy accept", &["eth0.1"]),
        ("type filter hook ingress devices = { lo } priority 3", &["lo"]),
        ("type filter hook ingress devices = { lo, eth0, \"e-1\" } priority filter + 3;", &["lo", "eth0", "e-1"]),
        ("define d = { lo, eth0 }\n type filter hook ingress devices = $d priority 3;", &["lo", "eth0"]),
        ("define d = lo\n type filter hook ingress device $d priority 3;", &["lo"]),
        ("define d = lo\n type filter hook ingress devices = { $d, eth0 } priority 3;", &["lo", "eth0"]),
    ] {
        assert_eq!(hook(text).unwrap_or_else(|error| panic!("{error}")), base(devices), "{text}");
    }
    for (text, says) in [
        ("type filter hook ingress priority 0;", "expected device and its name"),
        ("type filter hook input priority 0;", "expected a hook (egress, ingress)"),
        ("type nat hook ingress device lo priority 0;", "ingress has chains of type filter alone"),
        ("type filter hook ingress device lo priority dstnat;", "expected a priority"),
    ] {
        let error = hook(text).expect_err(text).to_string();
        assert!(error.contains(says), "{error}");
    }
}
