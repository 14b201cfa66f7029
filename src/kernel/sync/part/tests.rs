//! Compares remembered state with state read again, on the real kernel.

use std::cell::RefCell;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::kernel::Applied;
use crate::model::{
    Chain, ChainType, DataType, Element, Family, Hook, Nat, Priority, Protocol, Rule, Ruleset, Set, Table, Value,
    Verdict, set,
};
use crate::plan::{Operation, Transaction};
use crate::testing::{in_namespace, nft, rulesets};

fn ours() -> [TableId; 2] {
    [TableId::new(Family::Inet, "mesh"), TableId::new(Family::Ip, "other")]
}

/// Returns every committed operation, transaction by transaction.
fn committed(applied: &Applied) -> Vec<&[Operation]> {
    applied.staged.iter().chain([&applied.transaction]).map(Transaction::operations).collect()
}

/// Applies the same rule sets in two namespaces: by a kernel that remembers and by one that does
/// not.
fn alike(remembers: &mut Kernel, reads: &mut Kernel, wanted: &Ruleset, ours: &[TableId]) -> Result<(), TestCaseError> {
    reads.remembered = None;
    let (remembered, read) = (remembers.apply_owned(wanted, ours), reads.apply_owned(wanted, ours));
    match (remembered, read) {
        (Ok(remembered), Ok(read)) => {
            prop_assert_eq!(committed(&remembered), committed(&read), "{}", wanted);
            prop_assert_eq!(remembered.warnings, read.warnings, "{}", wanted);
        }
        (Err(remembered), Err(read)) => prop_assert_eq!(remembered.to_string(), read.to_string(), "{}", wanted),
        (remembered, read) => return Err(TestCaseError::fail(format!("{remembered:?}\n{read:?}\n{wanted}"))),
    }
    let (held, other) = (remembers.snapshot().expect("readable"), reads.snapshot().expect("readable"));
    prop_assert_eq!(held.tables, other.tables, "{}", wanted);
    let left = remembers.plan_owned(wanted, ours);
    prop_assert!(left.is_err() || left.is_ok_and(|plan| plan.is_empty()), "{}", wanted);
    Ok(())
}

#[test]
fn plans_from_memory_equal_plans_from_a_new_snapshot() {
    in_namespace(|| {
        let remembers = RefCell::new(Kernel::open().expect("a socket"));
        in_namespace(move || {
            let reads = RefCell::new(Kernel::open().expect("a socket"));
            let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
            let cases = (rulesets::pair(), rulesets::pair(), prop::collection::vec((0..6_usize, 0..4_u8), 2..9));
            let outcome = TestRunner::new(config).run(&cases, |((a, b), (c, d), steps)| {
                let none = Ruleset::new();
                let (mut remembers, mut reads) = (remembers.borrow_mut(), reads.borrow_mut());
                for kernel in [&mut *remembers, &mut *reads] {
                    let gone = ours().iter().fold(Transaction::new(), |gone, id| gone.add_table(id).delete_table(id));
                    kernel.commit(&gone).expect("tables can go");
                }
                for (which, how) in steps {
                    let raised = remembers.snapshot().expect("readable").raise().ruleset;
                    let all = [&a, &b, &c, &d, &none, &raised];
                    let wanted = all.into_iter().nth(which).expect("six");
                    // Another program commits in between.
                    if how == 0 {
                        for kernel in [&mut *remembers, &mut *reads] {
                            let chain = ours().map(|id| id.chain("foreign"));
                            let other = chain.iter().fold(Transaction::new(), |other, chain| {
                                let foreign = Chain::regular("foreign").rule(Rule::new().counter());
                                other.add_table(&chain.table).add_chain(&chain.table, foreign)
                            });
                            kernel.commit(&other).expect("a chain");
                        }
                    }
                    let owned = ours();
                    alike(&mut remembers, &mut reads, wanted, if how == 1 { &[] } else { &owned })?;
                }
                Ok(())
            });
            outcome.unwrap_or_else(|error| panic!("{error}"));
        });
    });
}

/// Returns services as kube-proxy has them, each with a map entry, two chains and a set.
fn services(count: u32, moved: Option<u32>) -> Table {
    let mut map = Set::verdict_map("services", [DataType::Ipv4]);
    let mut table = Table::new(Family::Ip, "many");
    for index in 0..count {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + index);
        let (service, clients) = (format!("service-{index}"), format!("clients-{index}"));
        map.elements.push(Element::new(Value::Ipv4(address)).verdict(Verdict::Goto(service.as_str().into())));
        let at = Ipv4Addr::from_bits(0x0b00_0000 + index + if moved == Some(index) { 0x1_0000 } else { 0 });
        let endpoint = format!("endpoint-{at}");
        let dnat = Rule::new().l4proto(Protocol::TCP).nat(Nat::dnat().to(at).ports(80));
        let jump = Rule::new().ip_saddr(set(clients.as_str())).goto(endpoint.as_str());
        let clients = Set::new(clients.as_str(), [DataType::Ipv4]);
        table = table.set(clients).chain(Chain::regular(endpoint.as_str()).rule(dnat));
        table = table.chain(Chain::regular(service.as_str()).rule(jump));
    }
    let dispatch = Rule::new().vmap(crate::model::Field::IpDaddr, set("services"));
    let hook = Chain::base("in", ChainType::Nat, Hook::Prerouting, Priority::DSTNAT);
    table.set(map).chain(hook.rule(dispatch))
}

fn only(table: Table) -> Ruleset {
    Ruleset::new().table(table)
}

/// Returns how many requests the kernel received.
fn questions(kernel: &mut Kernel, work: impl FnOnce(&mut Kernel)) -> u32 {
    let before = kernel.sequence;
    work(kernel);
    kernel.sequence.wrapping_sub(before)
}

#[test]
fn a_change_of_one_endpoint_reads_only_what_it_needs() {
    const COUNT: u32 = 500;
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        kernel.apply(&only(services(COUNT, None))).expect("installed");
        let mut operations = 0;
        let asked = questions(&mut kernel, |kernel| {
            let applied = kernel.apply(&only(services(COUNT, Some(77)))).expect("applied");
            operations = applied.transaction.operations().len();
        });
        assert!((1..20).contains(&operations) && asked < 60, "{operations} operations, {asked} questions");
        assert!(kernel.verify(&only(services(COUNT, Some(77)))).expect("readable").is_empty());
        // The same rule set again is one request, and a foreign change is found.
        let again = |kernel: &mut Kernel| {
            assert!(kernel.apply(&only(services(COUNT, Some(77)))).expect("in sync").was_in_sync());
        };
        assert_eq!(questions(&mut kernel, again), 1);
        nft("flush chain ip many service-400");
        let asked = questions(&mut kernel, |kernel| {
            assert!(!kernel.apply(&only(services(COUNT, Some(78)))).expect("applied").was_in_sync());
        });
        assert!(asked > COUNT, "{asked} questions");
        assert!(kernel.verify(&only(services(COUNT, Some(78)))).expect("readable").is_empty());
    });
}

/// Returns a table of many chains that stay, and these chains.
fn stays(chains: impl IntoIterator<Item = Chain>) -> Ruleset {
    let table = (0..100).fold(Table::new(Family::Ip, "t"), |table, index| {
        let next = Rule::new().ip_saddr(Ipv4Addr::from_bits(index)).counter();
        table.chain(Chain::regular(format!("stays-{index}")).rule(next))
    });
    only(chains.into_iter().fold(table, Table::chain))
}

#[test]
fn faults_in_unchanged_parts_are_found_before_anything_is_sent() {
    let jump = |to: &str| Rule::new().jump(to);
    let base = |to: &str| Chain::base("in", ChainType::Filter, Hook::Input, Priority::FILTER).rule(jump(to));
    let masquerade = || Chain::regular("masquerade").rule(Rule::new().masquerade());
    let line = |last: usize| {
        (0..last).map(move |index| {
            let chain = Chain::regular(format!("line-{index}"));
            if index + 1 < last { chain.rule(jump(&format!("line-{}", index + 1))) } else { chain }
        })
    };
    let a = |rule: Option<Rule>| Chain::regular("a").rules(rule);
    let b = || Chain::regular("b").rule(jump("a"));
    let named = || Rule::new().ip_saddr(set("s"));
    let user = || Chain::regular("user").rule(named());
    let with = |ruleset: Ruleset, keys: &[DataType]| {
        only(ruleset.tables.into_iter().next().expect("one").set(Set::new("s", keys.iter().copied())))
    };
    let cases: Vec<(&str, Ruleset, Ruleset)> = vec![
        ("loop", stays([a(None), b()]), stays([a(Some(jump("b"))), b()])),
        ("from input", stays([base("stays-1"), masquerade()]), stays([base("masquerade"), masquerade()])),
        ("deep", stays(line(16).chain([base("line-1")])), stays(line(16).chain([base("line-0")]))),
        ("no chain", stays([a(None), b()]), stays([b()])),
        ("base", stays([a(None), b()]), stays([base("stays-1"), Chain { name: "in".into(), ..b() }])),
        ("no set", with(stays([user()]), &[DataType::Ipv4]), stays([user()])),
        ("other set", with(stays([user()]), &[DataType::Ipv4]), with(stays([user()]), &[DataType::Port])),
        ("twice", stays([a(None), b()]), stays([a(None), a(Some(Rule::new().counter())), b()])),
    ];
    in_namespace(move || {
        for (name, before, after) in cases {
            let mut kernel = Kernel::open().expect("a socket");
            kernel.apply(&before).unwrap_or_else(|error| panic!("{name}: {error}"));
            let generation = kernel.generation().expect("a generation");
            let error = kernel.apply(&after).expect_err(name);
            let fresh = Kernel::open().expect("a socket").apply(&after).expect_err(name);
            assert!(error.is_invalid(), "{name}: {error}");
            assert_eq!(error.to_string(), fresh.to_string(), "{name}");
            assert_eq!(kernel.generation().expect("a generation"), generation, "{name}: something was sent");
            assert!(kernel.apply(&before).expect("as before").was_in_sync(), "{name}");
        }
    });
}

#[test]
fn warnings_are_complete_whatever_is_remembered() {
    let odd = |index: u8| Rule::new().accept().comment(format!("{index}")).counter();
    let chain = |rule: Rule| Chain::regular("x").rule(rule);
    in_namespace(move || {
        let mut kernel = Kernel::open().expect("a socket");
        let plain = Rule::new().counter();
        for (rules, expected) in [
            ([plain.clone(), plain.clone()], 0),
            ([odd(1), plain.clone()], 1),
            ([odd(1), odd(2)], 2),
            ([plain.clone(), odd(2)], 1),
            ([plain.clone().comment("c"), plain.clone()], 0),
        ] {
            let [one, other] = rules;
            let wanted = stays([chain(one), Chain { name: "y".into(), ..chain(other) }]);
            let applied = kernel.apply(&wanted).expect("applied");
            assert_eq!(applied.warnings, wanted.warnings());
            assert_eq!(applied.warnings.len(), expected, "{:?}", applied.warnings);
        }
    });
}

#[test]
fn sets_with_expiring_elements_are_read_at_every_apply() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let element = Element::new(Value::Ipv4(Ipv4Addr::LOCALHOST));
        let expires = Set::new("expires", [DataType::Ipv4]).timeout(std::time::Duration::from_millis(300));
        let user = Chain::regular("user").rule(Rule::new().ip_saddr(set("expires")));
        let wanted = stays([user]).tables.into_iter().next().expect("one").set(expires.elements([element]));
        let wanted = only(wanted);
        kernel.apply(&wanted).expect("installed");
        // It expires sooner or later, without a new generation.
        let is_gone = || !kernel.apply(&wanted).expect("applied").was_in_sync();
        assert!(crate::support::patience::comes_true(is_gone), "nothing expired");
    });
}

#[test]
fn a_failed_or_overtaken_stage_discards_the_memory() {
    let nets = |count: u32| {
        let net = |index| ipnetwork::Ipv4Network::new(Ipv4Addr::from_bits(index << 8), 24).expect("a prefix");
        let elements = (0..count).map(|index| Element::new(ipnetwork::IpNetwork::V4(net(index))));
        Set::new("nets", [DataType::Ipv4]).interval().elements(elements)
    };
    let wanted = |count: u32, rule: Rule| {
        let chain = Chain::base("out", ChainType::Filter, Hook::Output, Priority::FILTER);
        let table = stays([chain.rule(Rule::new().ip_daddr(set("nets")).counter()).rule(rule)]);
        only(table.tables.into_iter().next().expect("one").set(nets(count)))
    };
    in_namespace(move || {
        let (mut kernel, mut other) = (Kernel::open().expect("a socket"), Kernel::open().expect("a socket"));
        let (one, two) = (wanted(3, Rule::new().accept()), wanted(5, Rule::new().drop()));
        kernel.apply(&one).expect("installed");
        let applied = kernel.apply(&two).expect("applied");
        assert!(!applied.staged.is_empty(), "the contents go first");
        assert!(kernel.verify(&two).expect("readable").is_empty());
        // Both apply in turn: each finds the change of the other.
        for _ in 0..10 {
            for (kernel, wanted) in [(&mut other, &one), (&mut kernel, &two)] {
                assert!(!kernel.apply(wanted).expect("applied").was_in_sync());
                assert!(kernel.verify(wanted).expect("readable").is_empty());
            }
        }
        // The second step is refused: the table is owned by another socket, or the rule is
        // impossible.
        let unknown = Statements::of("no such thing");
        let refused = wanted(7, unknown);
        let before = nft("list ruleset");
        kernel.apply(&two).expect("in sync");
        kernel.apply(&refused).expect_err("the kernel knows no such expression");
        assert_eq!(nft("list ruleset"), before);
        assert!(kernel.remembered.is_none());
        assert!(kernel.apply(&two).expect("as before").was_in_sync());
    });
}

/// Rules that no kernel accepts.
struct Statements;

impl Statements {
    fn of(name: &str) -> Rule {
        let data: Box<[u8]> = Box::default();
        let exprs = vec![crate::bytecode::Expr::Opaque { name: name.into(), data, set: None }];
        let opaque = crate::model::Opaque::new(name, None, exprs);
        Rule::new().statement(crate::model::Statement::Opaque(opaque))
    }
}
