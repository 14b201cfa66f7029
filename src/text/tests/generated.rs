//! Rule sets and texts that are drawn at random.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use crate::bytecode::{Expr, lower};
use crate::fuzz;
use crate::model::{Element, Family, Rule, Ruleset, SetFlags, SetPolicy, SetRef, Statement, Table, TableId};
use crate::plan::Transaction;

/// Returns the programs of the rules of every chain.
fn programs(ruleset: &Ruleset) -> BTreeMap<String, Vec<Vec<Expr>>> {
    let mut all = BTreeMap::new();
    for table in &ruleset.tables {
        for chain in &table.chains {
            let programs = chain.rules.iter().map(|rule| {
                lower(rule, table.family, table.sets.as_slice()).expect("a valid rule has a program").exprs
            });
            all.insert(format!("{} {} {}", table.family, table.name, chain.name), programs.collect());
        }
    }
    all
}

/// Returns the plan from what one makes of nothing to the other; nothing if the fake kernel cannot
/// tell what it makes.
fn differences(held: &Ruleset, wanted: &Ruleset) -> Option<Transaction> {
    let held = fuzz::held(held)?;
    let ours: Vec<TableId> = held.tables.iter().map(|table| table.id.clone()).collect();
    Some(crate::plan::diff(&held, wanted, &ours).expect("what is valid has a program"))
}

fn has_a_key_twice(ruleset: &Ruleset) -> bool {
    let twice = |elements: &[Element]| {
        let mut seen = HashSet::new();
        !elements.iter().all(|element| seen.insert(&element.key))
    };
    let anonymous = |statement: &Statement| {
        statement.sets().any(|set| match set {
            SetRef::Anonymous(elements) => twice(elements),
            SetRef::Named(_) => false,
        })
    };
    let rules = |table: &Table| {
        table.chains.iter().flat_map(|chain| &chain.rules).any(|rule| rule.statements.iter().any(anonymous))
    };
    ruleset.tables.iter().any(|table| table.sets.iter().any(|set| twice(&set.elements)) || rules(table))
}

/// Reads what a rule set prints. It prints the same; it is the same, if nft's text says all of it.
fn reads_back(ruleset: &Ruleset) -> bool {
    // A rule without statements prints as nothing, or as the comment of its chain.
    let mut ruleset = ruleset.clone();
    for chain in ruleset.tables.iter_mut().flat_map(|table| &mut table.chains) {
        chain.rules.retain(|rule| !rule.statements.is_empty());
    }
    // nft says nothing of what only decides about elements that are added, where none can be.
    for set in ruleset.tables.iter_mut().flat_map(|table| &mut table.sets) {
        if set.flags.contains(SetFlags::CONSTANT) {
            (set.size, set.policy) = (None, SetPolicy::Performance);
        }
    }
    let ruleset = &ruleset;
    let text = ruleset.to_string();
    let read = match text.parse::<Ruleset>() {
        Ok(read) => read,
        // nft asks for the network layer before that field, which the model does not say, and has
        // no words for maps to some objects.
        Err(error)
            if ["after a field of the link layer", "a map with a name leads to"]
                .iter()
                .any(|known| error.to_string().contains(known)) =>
        {
            return false;
        }
        Err(error) => panic!("{error}\n{text}"),
    };
    // What nft does not say of the order of a rule is settled by reading it once, and elements with
    // the same key have no order.
    if has_a_key_twice(ruleset) {
        return false;
    }
    let (text, same) = (read.to_string(), read.to_string() == text && programs(&read) == programs(ruleset));
    let again = text.parse::<Ruleset>().unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again.to_string(), text);
    assert_eq!(programs(&again), programs(&read), "{text}");
    if same {
        if let Some(plan) = differences(ruleset, &read) {
            assert!(plan.is_empty(), "{plan}of\n{text}");
        }
    }
    same
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_rule_sets_are_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Some(ruleset) = fuzz::ruleset(&bytes, None) {
            reads_back(&ruleset);
        }
    }

    #[test]
    fn no_text_panics(words in proptest::collection::vec(0..WORDS.len(), 0..60), odd in any::<String>()) {
        let text: Vec<&str> = words.into_iter().filter_map(|index| WORDS.get(index).copied()).collect();
        for text in [text.join(" "), text.concat(), odd.clone(), format!("table t {{ chain c {{ {}", text.join(" "))] {
            drop((text.parse::<Ruleset>(), text.parse::<Transaction>(), text.parse::<Rule>()));
        }
    }
}

const WORDS: &[&str] = &[
    "table",
    "inet",
    "t",
    "{",
    "}",
    "chain",
    "c",
    "ip",
    "saddr",
    "10.0.0.1",
    "/",
    "8",
    "tcp",
    "dport",
    "22",
    "-",
    "80",
    "@",
    "s",
    ";",
    "\n",
    ",",
    "set",
    "type",
    "ipv4_addr",
    "elements",
    "=",
    ".",
    "ct",
    "state",
    "new",
    "|",
    "(",
    ")",
    "mark",
    "meta",
    "and",
    "0xff",
    "==",
    "jump",
    "vmap",
    ":",
    "accept",
    "map",
    "define",
    "x",
    "$x",
    "include",
    "\"a\"",
    "flags",
    "syn",
    "dnat",
    "to",
    "limit",
    "rate",
    "5/second",
    "log",
    "prefix",
    "add",
    "rule",
    "element",
    "index",
    "*",
    "::1",
    "comment",
    "1h30m",
    "\\",
    "#",
    "\"",
    "timeout",
    "hook",
    "input",
    "priority",
    "filter",
    "+",
];

#[test]
fn most_generated_rule_sets_are_the_same_when_read_back() {
    let (mut same, mut all, mut state) = (0, 0, 1_u64);
    for _ in 0..1000 {
        let bytes = crate::testing::bytes(&mut state, 500);
        let Some(ruleset) = fuzz::ruleset(&bytes, None) else { continue };
        all += 1;
        same += usize::from(reads_back(&ruleset));
    }
    println!("{same} of {all} generated rule sets are the same when read back");
    assert!(same * 10 > all * 5, "{same} of {all}");
}

#[test]
fn a_table_without_anything_is_read_back() {
    let empty = Ruleset::new().table(Table::new(Family::Netdev, "t"));
    assert_eq!(empty.to_string().parse::<Ruleset>(), Ok(empty));
    assert_eq!("".parse::<Ruleset>(), Ok(Ruleset::new()));
}
