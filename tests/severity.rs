//! Odd rule sets are accepted by the kernel, are warnings when written, and no obstacle when read
//! back; what would silently lose something is refused.

mod support;

use nftmesh::kernel::Kernel;
use nftmesh::model::{
    Chain, ChainType, DataType, Family, Hook, PortRange, Priority, Protocol, Rule, Ruleset, Set, SetFlags, Table,
    TableId, iifname, set,
};
use nftmesh::plan::Transaction;
use support::{in_fresh_netns, nft};

fn at(chain_type: ChainType, hook: Hook, rule: Rule) -> Ruleset {
    let chain = Chain::base("c", chain_type, hook, Priority::FILTER).rule(rule);
    Ruleset::new().table(Table::new(Family::Inet, "t").chain(chain))
}

fn odd() -> Vec<(&'static str, Ruleset)> {
    let input = |rule| at(ChainType::Filter, Hook::Input, rule);
    let table = |table| Ruleset::new().table(table);
    let with = |set: Set| table(Table::new(Family::Inet, "t").set(set));
    let mut merged = Set::map("m", [DataType::Ipv4], DataType::Mark).interval();
    merged.flags |= SetFlags::AUTO_MERGE;
    vec![
        ("after a verdict", input(Rule::new().accept().counter())),
        ("merging a map", with(merged)),
        ("a quote in a comment", input(Rule::new().counter().comment("\"quoted\""))),
        ("a long comment", input(Rule::new().counter().comment("x".repeat(253)))),
        ("no name of an interface", input(Rule::new().matches(iifname("/never/")).accept())),
        ("a keyword as a name", table(Table::new(Family::Inet, "t").chain(Chain::regular("dnat")))),
        ("a name with a blank", table(Table::new(Family::Inet, "a table"))),
        ("an interface that is not known", at(ChainType::Filter, Hook::Output, Rule::new().iifname("eth0").accept())),
        ("a set of numbers", with(Set::new("n", [DataType::Integer { bytes: 2 }]))),
        (
            "ports without a protocol",
            at(ChainType::Nat, Hook::Prerouting, Rule::new().redirect_to(PortRange { low: 100, high: 200 })),
        ),
        ("two protocols", input(Rule::new().l4proto(Protocol::UDP).tcp_dport(80).accept())),
    ]
}

#[test]
fn odd_rule_sets_apply_with_a_warning_and_are_in_sync_once_read() {
    in_fresh_netns(|| {
        for (what, ruleset) in odd() {
            let mut kernel = Kernel::open().expect("a socket");
            assert_eq!(ruleset.validate(), Ok(()), "{what}");
            assert!(ruleset.validate_strictly().is_err(), "{what}");
            let applied = kernel.apply(&ruleset).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((applied.warnings.len(), &applied.warnings), (1, &ruleset.warnings()), "{what}");
            let raised = kernel.snapshot().expect("a snapshot").raise().ruleset;
            assert!(kernel.plan(&raised).expect("what was read").is_empty(), "{what}");
            kernel.commit(&Transaction::replace(raised)).unwrap_or_else(|error| panic!("{what}: {error}"));
            let gone = ruleset.tables.iter().fold(Transaction::new(), |all, table| all.delete_table(&table.into()));
            kernel.commit(&gone).expect("it was there");
        }
    });
}

#[test]
fn two_tables_of_one_name_are_refused() {
    let table = |chain: &str| Table::new(Family::Inet, "p").chain(Chain::regular(chain));
    let two = Ruleset::new().table(table("a")).table(table("b"));
    for transaction in [Transaction::replace(two.clone()), Transaction::add(two)] {
        let invalid = transaction.validate().expect_err("the second would delete the first");
        assert!(invalid.to_string().contains("table inet p: is defined twice"), "{invalid}");
    }
    let again = TableId::new(Family::Inet, "p");
    let composed = Transaction::new().create(table("a")).delete_table(&again).create(table("b"));
    assert!(composed.validate().is_err());
    assert_eq!(Transaction::replace(Ruleset::new().table(table("a"))).validate(), Ok(()));
}

#[test]
fn a_rule_on_a_set_of_another_type_is_refused_where_the_kernel_holds_the_set() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let table = Table::new(Family::Ip, "t").set(Set::new("s", [DataType::Ipv4])).chain(Chain::regular("c"));
        kernel.commit(&Transaction::add(Ruleset::new().table(table))).expect("a set");
        let chain = TableId::new(Family::Ip, "t").chain("c");
        let error = kernel
            .commit(&Transaction::new().add_rule(&chain, Rule::new().tcp_dport(set("s")).accept()))
            .expect_err("ports in a set of addresses");
        assert!(error.is_invalid() && error.to_string().contains("looks up inet_service"), "{error}");
        kernel
            .commit(&Transaction::new().add_rule(&chain, Rule::new().ip_saddr(set("s")).accept()))
            .expect("addresses in a set of addresses");
        assert_eq!(nft("list table ip t").matches("@s").count(), 1);
    });
}

#[test]
fn a_list_of_touching_intervals_reads_back_equal() {
    in_fresh_netns(|| {
        let rules = [
            Rule::new().tcp_dport([4190..=4190, 4191..=4191, 4567..=4568]).accept(),
            Rule::new().tcp_dport([1..=9, 5..=20]).accept(),
            Rule::new().iifname(["eth*", "eth1", "lo"]).accept(),
        ];
        let chain = Chain::regular("c").rules(rules.clone());
        let mut kernel = Kernel::open().expect("a socket");
        let table = Table::new(Family::Inet, "t").chain(chain);
        kernel.commit(&Transaction::add(Ruleset::new().table(table))).expect("valid");
        let raised = kernel.snapshot().expect("a snapshot").raise().ruleset;
        let read = raised.find(Family::Inet, "t").and_then(|table| table.chains.first()).expect("it is there");
        assert_eq!(read.rules, rules);
    });
}
