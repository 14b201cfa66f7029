//! Large snapshots, and snapshots while others commit.
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use nftmesh::kernel::{Kernel, NetNs};
use nftmesh::model::{
    Chain, ChainType, DataType, Element, Family, Hook, Interval, Priority, Rule, Ruleset, Set, Table, TableId, Value,
    set,
};
use nftmesh::plan::Transaction;
use support::in_fresh_netns;
use support::readback::assert_reads_back;

/// Many rules, every tenth with its own set.
fn rules(count: u32) -> Ruleset {
    let rule = |index| {
        let rule = Rule::new().ip_daddr(std::net::Ipv4Addr::from(0x0a00_0000 + index));
        match index % 10 {
            0 => rule.tcp_dport([80, 443]).counter().accept().comment("both"),
            _ => rule.tcp_dport(80).counter().accept(),
        }
    };
    Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(Chain::regular("many").rules((0..count).map(rule))))
}

fn v4(address: u32) -> Value {
    Value::Ipv4(address.into())
}

#[test]
fn ten_thousand_rules_are_read() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let ruleset = rules(10_000);
        kernel.commit(&Transaction::add(ruleset.clone())).expect("room for all");
        assert_reads_back(&ruleset, &kernel.snapshot().expect("nobody else commits"));
        let mut fresh = Kernel::open().expect("a socket that has received nothing yet");
        assert_reads_back(&ruleset, &fresh.snapshot_of(&[TableId::new(Family::Inet, "mesh")]).expect("nobody else"));
    });
}

#[test]
fn large_sets_of_every_kind_are_read() {
    const COUNT: u32 = 100_000;
    let interval = |index| Interval { low: v4(0x0a00_0000 + 8 * index), high: v4(0x0a00_0003 + 8 * index) };
    let address = |index: u32| Element::new(v4(index.wrapping_mul(2_654_435_761)));
    let pair = |index: u32| Element::new([v4(0x0a00_0000 + index), Value::Port(80)]);
    let ranges = |index| Element::new([interval(index), Interval { low: Value::Port(80), high: Value::Port(90) }]);
    let sets = [
        Set::new("tree", [DataType::Ipv4]).interval().elements((0..COUNT).map(|index| Element::new(interval(index)))),
        Set::new("hash", [DataType::Ipv4]).elements((0..COUNT).map(address)),
        Set::new("sized", [DataType::Ipv4]).size(COUNT).elements((0..20_000).map(address)),
        Set::new("pairs", [DataType::Ipv4, DataType::Port]).elements((0..50_000).map(pair)),
        Set::new("ranges", [DataType::Ipv4, DataType::Port]).interval().elements((0..10_000).map(ranges)),
    ];
    for set in sets {
        in_fresh_netns(|| {
            let mut kernel = Kernel::open().expect("a socket");
            let ruleset = Ruleset::new().table(Table::new(Family::Inet, "mesh").set(set));
            kernel.commit(&Transaction::add(ruleset.clone())).expect("room for all");
            // Immediately, while the kernel may still be resizing the set.
            assert_reads_back(&ruleset, &kernel.snapshot().expect("nobody else commits"));
        });
    }
}

/// A rule set in which every part contains its version number.
fn version(number: u32) -> Ruleset {
    let rule = |index: u32| Rule::new().mark([number, 1000 + index]).ip_saddr(set("s")).counter().accept();
    let chain = |name: &str| Chain::regular(name).rules((0..20).map(rule));
    let base = Chain::base("in", ChainType::Filter, Hook::Input, Priority::FILTER).rule(Rule::new().jump("a"));
    let set =
        Set::new("s", [DataType::Ipv4]).interval().elements([Interval::point(v4(number)), Interval::point(v4(9))]);
    Ruleset::new()
        .table(Table::new(Family::Inet, "mesh").set(set).chain(base).chain(chain("a")).chain(chain("b")))
        .table(Table::new(Family::Ip, "other").chain(Chain::regular("c").rule(Rule::new().mark(number))))
}

#[test]
fn a_snapshot_is_never_a_mixture_of_two_versions() {
    in_fresh_netns(|| {
        let here = NetNs::current().expect("a namespace");
        let versions = [version(1), version(2)];
        let mut kernel = Kernel::open().expect("a socket");
        kernel.commit(&Transaction::replace(versions[0].clone())).expect("nothing wrong with it");
        let done = AtomicBool::new(false);
        let mut seen = [0; 2];
        let mut conflicts = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = here.kernel().expect("a socket");
                let transactions = versions.each_ref().map(|version| Transaction::replace(version.clone()));
                for round in 0..500 {
                    writer.commit(&transactions[round % 2]).expect("nothing wrong with it");
                }
                done.store(true, Ordering::Release);
            });
            let mut last = false;
            while !last {
                last = done.load(Ordering::Acquire);
                match kernel.snapshot() {
                    Ok(read) => {
                        let chain = read.table(&TableId::new(Family::Ip, "other")).and_then(|table| table.chain("c"));
                        let exprs = &chain.expect("it is always there").rules[0].exprs;
                        let index = usize::from(format!("{exprs:?}").contains("data: [2, 0, 0, 0]"));
                        assert_reads_back(&versions[index], &read);
                        seen[index] += 1;
                    }
                    Err(error) => {
                        assert!(error.is_conflict(), "{error}");
                        assert!(error.to_string().contains("20 attempts"), "{error}");
                        conflicts += 1;
                    }
                }
            }
        });
        assert!(seen.iter().all(|&count| count > 0), "{seen:?}, {conflicts} conflicts");
        println!("snapshots of either version: {seen:?}, given up: {conflicts}");
    });
}

#[test]
fn reading_without_the_capability_is_a_permission_error() {
    if std::env::var_os("NFTMESH_AS_NOBODY").is_none() {
        return support::as_nobody("reading_without_the_capability_is_a_permission_error");
    }
    in_fresh_netns(|| {
        support::sys::drop_capabilities().expect("a thread may give up what it has");
        let mut kernel = Kernel::open().expect("anybody may open the socket");
        let error = kernel.snapshot().expect_err("no capability");
        assert!(error.is_permission(), "{error}");
    });
}
