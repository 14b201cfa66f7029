//! `Fake` against the kernel where elements overlap: few keys, many intervals, and several changes
//! of one set in a transaction.

#[path = "support/both.rs"]
#[allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]
mod both;
mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use both::dice::Dice;
use nftmesh::model::{DataType, Element, Family, Interval, Key, Set, Table, TableId, Value};
use nftmesh::plan::{Operation, Transaction};
use nftmesh::state::Snapshot;

#[test]
fn the_fake_treats_overlapping_and_repeated_elements_as_the_kernel_does() {
    both::agree(2_000, transaction);
}

const SETS: [&str; 6] = ["nets", "nets", "few", "map", "timed", "boxes"];

fn transaction(dice: &mut Dice, held: &Snapshot) -> Transaction {
    let table = TableId::new(Family::Ip, "t");
    if held.table(&table).is_none() {
        let sets = SETS.iter().skip(1).map(|name| declared(name));
        return Transaction::new().create(sets.fold(Table::new(Family::Ip, "t"), Table::set));
    }
    let mut transaction = Transaction::new();
    // Mostly one set, so that changes to it interact.
    let name = dice.pick(&SETS);
    for _ in 0..dice.from(1, 4) {
        let name = if dice.chance(20) { dice.pick(&SETS) } else { name };
        let elements: Vec<Element> = (0..dice.pick(&[1, 1, 1, 2, 3])).map(|_| element(dice, name)).collect();
        let (table, set) = (table.clone(), declared(name).elements(elements));
        transaction.extend([match dice.below(12) {
            0 => Operation::FlushSet { table, set: name.into() },
            1..=3 => Operation::DeleteElements { table, set },
            4 | 5 => Operation::DestroyElements { table, set },
            _ => Operation::AddElements { table, set },
        }]);
    }
    transaction
}

fn declared(name: &str) -> Set {
    match name {
        "boxes" => Set::new(name, [DataType::Ipv4, DataType::Port]).interval(),
        "few" => Set::new(name, [DataType::Ipv4]).interval().size(3),
        "map" => Set::map(name, [DataType::Ipv4], DataType::Mark).interval(),
        "timed" => Set::new(name, [DataType::Ipv4]).interval().timeout(Duration::from_secs(3600)),
        _ => Set::new(name, [DataType::Ipv4]).interval(),
    }
}

fn element(dice: &mut Dice, name: &str) -> Element {
    let address = |last: usize| Value::Ipv4(Ipv4Addr::from(0x0a00_0000 + u32::try_from(last).expect("small")));
    let low = dice.below(8);
    let last = if dice.chance(6) { Value::Ipv4(Ipv4Addr::BROADCAST) } else { address(low + dice.below(6)) };
    let range = Interval { low: address(low), high: last };
    match name {
        "boxes" => {
            let low = u16::try_from(dice.below(6)).expect("small");
            let high = low + u16::try_from(dice.below(4)).expect("small");
            let ports = Interval { low: Value::Port(low), high: Value::Port(high) };
            Element::new(Key::Concat([range, ports].into_iter().collect()))
        }
        "map" => Element::new(range).value(Value::Mark(u32::from(dice.chance(30)))),
        "timed" if dice.chance(40) => Element::new(range).timeout(Duration::from_secs(600)),
        _ => Element::new(range),
    }
}
