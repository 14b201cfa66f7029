//! Sequences from one rule set to another, executed step by step by the kernel's model.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::bytecode::LookupSet;
use crate::fuzz::contents::contents;
use crate::kernel::Fake;
use crate::model::{Family, Match, Operand, Value, Verdict};
use crate::plan::{diff, unstaged};
use crate::state::ChainState;
use crate::state::RuleState;
use crate::testing::rulesets;

fn ours() -> [TableId; 2] {
    [TableId::new(Family::Inet, "mesh"), TableId::new(Family::Ip, "other")]
}

fn installed(ruleset: &Ruleset) -> Fake {
    let mut machine = Fake::new();
    machine.commit(&Transaction::add(ruleset.clone())).expect("a valid rule set");
    machine
}

/// Turns lists of ports into lists with a range.
fn widened(mut ruleset: Ruleset) -> Ruleset {
    let rules = ruleset.tables.iter_mut().flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules);
    for statement in rules.flat_map(|rule| &mut rule.statements) {
        if let Statement::Match(Match { operand: Operand::Set(SetRef::Anonymous(elements)), .. }) = statement {
            let (low, high) = (Value::Port(1000), Value::Port(2000));
            elements.push(Element::new(Interval { low, high }));
        }
    }
    ruleset
}

/// Returns the sets of intervals, named or in a rule, whose contents a rule uses in `after` and
/// that `before` did not have.
fn published_late(before: Option<&TableState>, after: &TableState) -> BTreeSet<String> {
    let interval = SetFlags::INTERVAL.bits();
    let chains = reached(after);
    let rules = || {
        let chains = after.chains.iter().filter(|chain| chains.iter().any(|(name, _)| **name == chain.name));
        chains.flat_map(|chain| before_the_end(&chain.rules))
    };
    let seen: BTreeSet<&Name> = rules()
        .flat_map(|rule| &rule.exprs)
        .filter_map(|expr| match expr {
            Expr::Lookup { set: LookupSet::Named(name), .. } => Some(name),
            _ => None,
        })
        .collect();
    let named = after.sets.iter().filter(|set| {
        let same =
            before.and_then(|before| before.set(set.name.as_str())).is_some_and(|old| old.elements == set.elements);
        seen.contains(&set.name) && set.code.flags & interval != 0 && !set.elements.is_empty() && !same
    });
    let named = named.map(|set| set.name.to_string());
    let known: Vec<&RuleState> = before.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules).collect();
    // A chain that is replaced at another hook, or whose policy decides as soon as it exists, is
    // not put in place first.
    let made_anew = |chain: &ChainState| {
        let old = before.and_then(|before| before.chain(chain.name.as_str()));
        let drops = chain.hook.as_ref().is_some_and(|hook| hook.policy == 0);
        old.map_or(drops, |old| old.handle != chain.handle)
    };
    let new = after.chains.iter().filter(|chain| !made_anew(chain)).flat_map(|chain| before_the_end(&chain.rules));
    let new = new.filter(|rule| !known.contains(rule) && rules().any(|reached| reached.handle == rule.handle));
    let anonymous = new.filter(|rule| {
        rule.exprs.iter().any(|expr| match expr {
            Expr::Lookup { set: LookupSet::Anonymous(set), .. } => set.code.flags & interval != 0,
            _ => false,
        })
    });
    named.chain(anonymous.map(|rule| format!("rule {}", rule.handle))).collect()
}

/// Returns the rules that packets can reach.
fn before_the_end(rules: &[RuleState]) -> &[RuleState] {
    let is_end =
        |rule: &RuleState| matches!(rule.exprs.as_slice(), [Expr::Verdict(verdict)] if *verdict == Verdict::Return);
    rules.get(..rules.iter().position(is_end).unwrap_or(rules.len())).unwrap_or_default()
}

/// Returns the chains whose rules decide about packets: those at a hook, and where these lead.
fn reached(table: &TableState) -> Vec<(&Name, &[RuleState])> {
    let mut names: Vec<&Name> =
        table.chains.iter().filter(|chain| chain.hook.is_some()).map(|chain| &chain.name).collect();
    let mut next = 0;
    while let Some(name) = names.get(next).copied() {
        next += 1;
        let Some(chain) = table.chain(name.as_str()) else { continue };
        for expr in before_the_end(&chain.rules).iter().flat_map(|rule| &rule.exprs) {
            let targets: Vec<&Name> = match expr {
                Expr::Verdict(verdict) => verdict.target().into_iter().collect(),
                Expr::Lookup { set: LookupSet::Named(name), .. } => {
                    let elements = table.set(name.as_str()).map(|set| set.elements.as_slice()).unwrap_or_default();
                    elements
                        .iter()
                        .filter_map(|element| match element.data.as_deref() {
                            Some(crate::bytecode::ElementDataCode::Verdict(verdict)) => verdict.target(),
                            _ => None,
                        })
                        .collect()
                }
                _ => Vec::new(),
            };
            names.extend(targets.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
        }
    }
    let reached = names.iter().filter_map(|name| table.chain(name.as_str()));
    let reached = reached.map(|chain| (&chain.name, before_the_end(&chain.rules)));
    // A chain without rules decides nothing.
    reached.filter(|(_, rules): &(&Name, &[RuleState])| !rules.is_empty()).collect()
}

/// Returns the sets that rules use before and after, with other contents.
fn changed_sets(before: &TableState, after: &TableState) -> Vec<String> {
    let (old, new) = (looked_up(before), looked_up(after));
    let sets = after.sets.iter().filter(|set| old.contains(&set.name) && new.contains(&set.name));
    let same =
        |set: &crate::state::SetState| before.set(set.name.as_str()).is_some_and(|old| old.elements == set.elements);
    sets.filter(|set| !same(set)).map(|set| set.name.to_string()).collect()
}

/// Returns what packets observe of a step as more than one switch.
fn moments(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let (mut late, mut changed, mut switched) = (Vec::new(), Vec::new(), false);
    for table in &after.tables {
        let held = before.table(&table.id);
        // A table with other flags is replaced.
        if held.is_some_and(|held| held.handle != table.handle) {
            continue;
        }
        late.extend(published_late(held, table));
        changed.extend(held.into_iter().flat_map(|held| changed_sets(held, table)));
        let (old, new) = (held.map(reached).unwrap_or_default(), reached(table));
        let at_a_hook = |name: &Name| table.chain(name.as_str()).is_some_and(|chain| chain.hook.is_some());
        // A chain that an element leads to is added with the element.
        switched |= new.iter().any(|(name, rules)| match old.iter().find(|(held, _)| held == name) {
            Some((_, held)) => held != rules,
            None => at_a_hook(name),
        });
    }
    if switched {
        late.extend(changed);
    }
    if usize::from(switched) + late.len() > 1 && !late.is_empty() { late } else { Vec::new() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_step_is_atomic_and_the_last_gives_the_wanted_rule_set((a, b) in rulesets::pair()) {
        let (a, b) = (widened(a), widened(b));
        let mut machine = installed(&a);
        let mut log = String::new();
        for number in 0.. {
            prop_assert!(number < 8, "from\n{}\nto\n{}\nby\n{}", a, b, log);
            let next = step(&machine.held(), &b, |held, wanted| diff(held, wanted, &ours())).expect("valid");
            log.push_str(&format!("-- {:?}\n{}", next.kind, next.transaction));
            let before = machine.held();
            machine.commit(&next.transaction).map_err(|why| TestCaseError::fail(format!("{why}\nfrom\n{a}\nto\n{b}\nby\n{log}")))?;
            let late = if before.tables.iter().all(|table| table.chains.is_empty()) { Vec::new() } else { moments(&before, &machine.held()) };
            prop_assert!(late.is_empty(), "{:?}\nfrom\n{}\nto\n{}\nby\n{}", late, a, b, log);
            prop_assert!(next.transaction.validate().is_ok(), "{:?}\n{}", next.transaction.validate(), log);
            if next.kind == StepKind::First {
                let reach = |snapshot: &Snapshot| -> Vec<String> {
                    snapshot.tables.iter().map(|table| format!("{:?}", reached(table))).filter(|reached| reached != "[]").collect()
                };
                prop_assert_eq!(reach(&before), reach(&machine.held()), "{}", log);
                let mut undone = machine.clone();
                let undo = unstaged(std::slice::from_ref(&next.transaction), &before, &machine.held());
                undone.commit(&undo).map_err(|why| TestCaseError::fail(format!("{why}\n{log}\nundone by\n{undo}")))?;
            }
            if next.kind == StepKind::Last {
                break;
            }
        }
        prop_assert_eq!(contents(&machine.held()), contents(&installed(&b).held()), "by\n{}", log);
    }
}
