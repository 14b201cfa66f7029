//! What a kernel that destroys does, and what is done where it cannot, held against each other.

use super::*;
use crate::model::{Chain, DataType, RuleHandle, Value};
use crate::netlink::Ending;
use crate::testing::{in_namespace, linux, nft};

const RULES: &str = "table inet t {
    set s { type inet_service; elements = { 1, 2, 3 }; }
    set i { type ipv4_addr; flags interval; elements = { 10.0.0.0-10.0.0.9, 10.1.0.0/16 }; }
    set r { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 80-90 }; }
    quota q { 25 mbytes; }
    chain b { type filter hook input priority 0; policy accept; tcp dport 1 accept; tcp dport 2 accept; }
    chain c { udp dport @s accept; }
    chain d { }
    set unused { type mark; }
}
table ip u { chain c { drop; }; }";

fn t() -> TableId {
    TableId::new(Family::Inet, "t")
}

fn v4(text: &str) -> std::net::Ipv4Addr {
    text.parse().expect("an address")
}

fn begin(kernel: &mut Kernel, rules: &str) {
    kernel.flush_ruleset().expect("emptied");
    nft(rules);
}

/// What is listed, and what became of the transaction, by a kernel that destroys and by one that
/// cannot.
fn both(rules: &str, transaction: &Transaction) -> [(String, String); 2] {
    [None, Some(false)].map(|destroys| {
        let mut kernel = Kernel::open().expect("a socket");
        begin(&mut kernel, rules);
        kernel.destroys = destroys;
        let outcome = kernel.commit(transaction).map_or_else(|error| error.to_string(), |()| "taken".to_owned());
        (outcome, nft("list ruleset"))
    })
}

/// Commits, and returns the listing; both kernels agree.
#[track_caller]
fn taken(transaction: &Transaction) -> String {
    let [native, settled] = both(RULES, transaction);
    assert_eq!(native.0, "taken", "{transaction}");
    assert_eq!(native, settled, "{transaction}");
    native.1
}

#[test]
fn a_kernel_is_asked_once_whether_it_can_destroy_and_nothing_changes() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        begin(&mut kernel, RULES);
        let before = (kernel.generation().expect("a number"), nft("list ruleset"));
        let can = kernel.can_destroy().expect("an answer");
        assert_eq!(can, linux() >= (6, 3), "Linux {:?}", linux());
        assert_eq!((kernel.generation().expect("a number"), nft("list ruleset")), before);
        assert_eq!(kernel.destroys, Some(can));
    });
}

#[test]
fn what_is_destroyed_is_gone_and_what_is_absent_is_not_an_error() {
    in_namespace(|| {
        let (b, c) = (t().chain("b"), t().chain("c"));
        nft(RULES);
        let absent = TableId::new(Family::Ip6, "absent");
        assert!(!taken(&Transaction::new().destroy_table(&t()).destroy_table(&absent)).contains("table inet t"));
        let listed = taken(&Transaction::new().destroy_chain(&b).destroy_chain(&t().chain("absent")));
        assert!(!listed.contains("chain b") && listed.contains("chain c"), "{listed}");
        let listed =
            taken(&Transaction::new().destroy_chain(&c).destroy_set(&t().set("s")).destroy_set(&t().set("no")));
        assert!(!listed.contains("set s"), "{listed}");
        let held = Kernel::open().and_then(|mut kernel| kernel.rules(&b)).expect("an answer").expect("it is there");
        let [(first, _), _] = held.as_slice() else { panic!("{held:?}") };
        let rules = [RuleHandle(9999), *first];
        let listed = taken(&rules.iter().fold(Transaction::new(), |all, rule| all.destroy_rule(&b, *rule)));
        assert!(!listed.contains("tcp dport 1 accept") && listed.contains("tcp dport 2 accept"), "{listed}");
        taken(&Transaction::new().destroy_rule(&t().chain("absent"), *first));
        let listed = taken(&Transaction::new().destroy_elements(&t().set("s"), [2_u16, 7, 3]));
        assert!(listed.contains("elements = { 1 }"), "{listed}");
        let ranges =
            [v4("10.0.0.0")..=v4("10.0.0.9"), v4("10.0.0.0")..=v4("10.0.0.5"), v4("10.9.0.0")..=v4("10.9.0.5")];
        let listed = taken(&Transaction::new().destroy_elements(&t().set("i"), ranges));
        assert!(listed.contains("elements = { 10.1.0.0/16 }"), "{listed}");
        for (kind, name) in [("quota", "q"), ("quota", "no"), ("counter", "q"), ("flowtable", "q")] {
            let destroy = Operation::DestroyObject { table: t(), kind: kind.into(), name: name.into() };
            let listed = taken(&Transaction::new().operation(destroy));
            assert_eq!(listed.contains("quota q"), (kind, name) != ("quota", "q"), "{kind} {name}: {listed}");
        }
    });
}

#[test]
fn the_ends_of_another_interval_stay() {
    in_namespace(|| {
        let part = Transaction::new().destroy_elements(&t().set("i"), [v4("10.0.0.0")..=v4("10.0.0.5")]);
        assert!(taken(&part).contains("elements = { 10.0.0.0-10.0.0.9, 10.1.0.0/16 }"));
    });
}

/// Counted in requests: nothing here measures time.
#[test]
fn a_set_is_read_once_however_many_operations_destroy_its_elements() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let one = |last: u8| [std::net::Ipv4Addr::new(10, 0, 0, last)..=std::net::Ipv4Addr::new(10, 0, 0, last)];
        let mut requests = |count: u8, destroys| {
            begin(&mut kernel, RULES);
            kernel.destroys = destroys;
            let all = (0..count).fold(Transaction::new(), |all, last| all.destroy_elements(&t().set("i"), one(last)));
            kernel.prepare(&all).expect("they are looked for");
            let before = kernel.sequence;
            kernel.prepare(&all).expect("they are looked for");
            kernel.sequence.wrapping_sub(before)
        };
        for destroys in [None, Some(false)] {
            let of_one = requests(1, destroys);
            assert_eq!([requests(2, destroys), requests(40, destroys)], [of_one + 1, of_one + 39], "{destroys:?}");
        }
    });
}

#[test]
fn an_element_that_is_destroyed_twice_is_deleted_once() {
    in_namespace(|| {
        let range = v4("10.0.0.0")..=v4("10.0.0.9");
        let (i, s) = (t().set("i"), t().set("s"));
        let twice = Transaction::new()
            .destroy_elements(&i, [range.clone(), range.clone()])
            .destroy_elements(&i, [range])
            .destroy_elements(&s, [2_u16, 2])
            .destroy_elements(&s, [2_u16]);
        let listed = taken(&twice);
        assert!(listed.contains("elements = { 10.1.0.0/16 }") && listed.contains("elements = { 1, 3 }"), "{listed}");
    });
}

/// An operation of many kinds, on few things.
fn any(number: &mut u64) -> Operation {
    let mut pick = |count: u64| {
        // Knuth's multiplier for 64 bits.
        *number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*number >> 33) % count
    };
    let table = if pick(8) == 0 { TableId::new(Family::Ip, "u") } else { t() };
    let named = |words: &'static str, at: u64| words.split(' ').nth(at as usize).expect("as many words");
    let chain = table.chain(named("b c d new absent", pick(5)));
    let set = table.set(named("s i unused new", pick(4)));
    let address = |pick: &mut dyn FnMut(u64) -> u64| std::net::Ipv4Addr::new(10, pick(2) as u8, 0, pick(3) as u8 * 9);
    let elements = match set.name.as_str() {
        "i" => Set::new("i", [DataType::Ipv4]).interval().elements([address(&mut pick)..=v4("10.1.255.255")]),
        "s" => Set::new("s", [DataType::Port]).elements([pick(4) as u16 + 1, 7]),
        "unused" => Set::new("unused", [DataType::Mark]).elements([Value::Mark(pick(4) as u32)]),
        _ => Set::new("new", [DataType::Port]).elements([pick(4) as u16]),
    };
    match pick(18) {
        0 => Operation::DestroyTable(table),
        1..=3 => Operation::DestroyChain(chain),
        4..=5 => Operation::DestroyRule { chain, handle: RuleHandle(pick(12)) },
        6..=8 => Operation::DestroySet { table, set: set.name },
        9..=11 => Operation::DestroyElements { table, set: elements },
        12 => Operation::add_table(&crate::model::Table::new(table.family, table.name)),
        13 => Operation::add_chain(&table, &Chain::regular(&chain.name)),
        14 => Operation::AddSet { table, set: elements },
        15 => Operation::AddElements { table, set: elements },
        16 => Operation::FlushSet { table, set: set.name },
        _ => Operation::FlushChain(chain),
    }
}

#[test]
fn a_kernel_that_cannot_destroy_ends_where_one_that_can_does() {
    if linux() < (6, 3) {
        return;
    }
    in_namespace(|| {
        let (mut kept, mut refused) = (0, 0);
        for seed in 0..150 {
            let mut number = seed;
            let mut transaction = Transaction::new();
            transaction.extend((0..1 + seed % 5).map(|_| any(&mut number)));
            let [native, settled] = both(RULES, &transaction);
            let same = (native.0 == "taken") == (settled.0 == "taken") && native.1 == settled.1;
            assert!(same, "seed {seed}\n{transaction}\n{}\n{}", native.0, settled.0);
            if native.0 == "taken" { kept += 1 } else { refused += 1 }
        }
        assert!(kept > 40 && refused > 8, "{kept} taken, {refused} refused");
    });
}

#[test]
fn an_empty_list_of_elements_is_answered_as_the_last_operation() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        begin(&mut kernel, RULES);
        let none: [u16; 0] = [];
        let of = |name: &str| {
            let set = t().set(name);
            [
                Transaction::new().add_elements(&set, none),
                Transaction::new().delete_elements(&set, none),
                Transaction::new().destroy_elements(&set, none),
            ]
        };
        let before = nft("list ruleset");
        for ending in [Ending::AcknowledgedEnd, Ending::AcknowledgedLast] {
            kernel.ending = Some(ending).filter(|ending| *ending == Ending::AcknowledgedLast);
            for transaction in of("s").iter().chain(&of("i")) {
                kernel.commit(transaction).unwrap_or_else(|error| panic!("{transaction}{error}"));
            }
            for transaction in &of("absent") {
                assert!(kernel.commit(transaction).expect_err("no such set").is_not_found());
            }
        }
        assert_eq!(nft("list ruleset"), before);
    });
}
