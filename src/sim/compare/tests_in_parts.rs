//! Comparisons of packets in parts give the same result as comparisons of all packets at once.

use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use proptest::prelude::*;

use super::*;
use crate::model::{DataType, Element, Field, Interval, MarkKey, MarkValue, Set, Value, Verdict, concat, set};

/// Returns a rule with a few possible values, chosen by a number.
fn rule(number: u32) -> Rule {
    let digit = |place: u32, below: u32| number / place % below;
    let address = Ipv4Addr::from_bits(0x0a00_0000 + digit(1, 16));
    let net = Ipv4Network::new(address, u8::try_from(27 + digit(16, 6)).expect("small")).expect("a prefix");
    let net = Ipv4Network::new(net.network(), net.prefix()).expect("a prefix");
    let port = u16::try_from(digit(96, 8)).expect("small");
    let rule = match digit(768, 13) {
        0 => Rule::new().ip_saddr(net).tcp_dport(port),
        1 => Rule::new().ip_daddr(address).udp_dport(port..=port + 3),
        2 => Rule::new().ip_saddr(net).ip_daddr(address),
        3 => Rule::new().not(crate::model::ip_saddr(net)).tcp_dport(port),
        4 => Rule::new().iifname(if port > 3 { "eth0" } else { "eth1" }).ip_saddr(net),
        5 => Rule::new().mark(u32::from(port)).ip_daddr(net),
        6 => Rule::new().ip_daddr([address, Ipv4Addr::from_bits(0x0a00_0003)]).tcp_sport(port),
        7 => Rule::new().ct_state(crate::model::CtState::NEW).ip_saddr(address),
        8 => Rule::new().ip_saddr(set("some")),
        9 => Rule::new().not(crate::model::ip_saddr(set("some"))).tcp_dport(port),
        10 => Rule::new()
            .l4proto(crate::model::Protocol::TCP)
            .matches(concat([Field::IpSaddr, Field::ThDport], set("pairs"))),
        11 => Rule::new().set_mark(MarkValue::Map { selector: Field::IpSaddr.into(), map: set("marks") }),
        _ => Rule::new().set_mark(MarkValue::masked(MarkKey::Meta, port.into(), port.into())).ip_saddr(address),
    };
    match digit(9984, 6) {
        0 => rule.accept(),
        1 => rule.drop(),
        2 => rule.jump("sub"),
        3 => rule.vmap([Field::IpDaddr, Field::L4proto], set("map")),
        4 => rule.mark(u32::from(port)).jump("sub"),
        _ => rule.counter(),
    }
}

fn rules(numbers: &[u32], hook: Hook) -> Rules {
    let key = |index: u32| {
        [Value::Ipv4(Ipv4Addr::from_bits(0x0a00_0000 + index)), Value::Protocol(crate::model::Protocol::TCP)]
    };
    let elements = numbers.iter().enumerate().map(|(at, number)| (u32::try_from(at).expect("few"), number)).take(14);
    let elements = elements.map(|(at, number)| {
        let verdict = if number % 3 == 0 { Verdict::Drop } else { Verdict::Jump("sub".into()) };
        Element::new(key(at)).verdict(verdict)
    });
    let map = Set::verdict_map("map", [DataType::Ipv4, DataType::Protocol]).elements(elements);
    let pick = |every: u32| numbers.iter().filter(move |number| *number % every == 0).map(|number| number % 16);
    let mut few: Vec<u32> = pick(3).collect();
    few.sort_unstable();
    few.dedup();
    let address = |index: &u32| Ipv4Addr::from_bits(0x0a00_0000 + index);
    let some = Set::new("some", [DataType::Ipv4]).elements(few.iter().map(|index| Element::new(address(index))));
    let marks = few.iter().map(|index| Element::new(address(index)).value(Value::Mark(index % 8)));
    let marks = Set::map("marks", [DataType::Ipv4], DataType::Mark).elements(marks);
    let pairs = few.iter().map(|index| {
        let port = u16::try_from(index % 8).expect("small");
        Element::new([
            Interval { low: Value::Ipv4(address(index)), high: Value::Ipv4(address(index)) },
            Interval { low: Value::Port(port), high: Value::Port(port + 2) },
        ])
    });
    let pairs = Set::new("pairs", [DataType::Ipv4, DataType::Port]).interval().elements(pairs);
    let leaves = Set::verdict_map("leaves", [DataType::Ipv4]);
    let leaves = leaves.elements(few.iter().map(|index| Element::new(address(index)).jump("leaf")));
    let leaf = numbers.first().map(|number| rule(number % 768 + 9984));
    let (sub, base) = numbers.split_at(numbers.len() / 4);
    let called = |number: &u32| match rule(*number) {
        _ if number % 5 == 0 => Rule::new().vmap(Field::IpSaddr, set("leaves")),
        rule if rule.to_string().contains("jump") || rule.to_string().contains("vmap") => Rule::new().counter(),
        rule => rule,
    };
    let sub = Chain::regular("sub").rules(sub.iter().map(called));
    let base =
        Chain::base("base", ChainType::Filter, hook, Priority::FILTER).rules(base.iter().map(|number| rule(*number)));
    let sets = [map, some, marks, pairs, leaves];
    let table = sets.into_iter().fold(Table::new(Family::Inet, "t"), Table::set);
    let table = table.chain(Chain::regular("leaf").rules(leaf)).chain(sub).chain(base);
    Rules::try_from(&Ruleset::new().table(table)).expect("it is valid")
}

/// Returns a map of verdicts that many rules look at, without one of its elements.
fn looked_at(rules: u32, elements: u32, without: u32) -> Rules {
    let elements = (0..elements).filter(|index| *index != without);
    let elements = elements.map(|index| Element::new(Ipv4Addr::from_bits(0x0a00_0000 + index)).jump("sub"));
    let map = Set::verdict_map("map", [DataType::Ipv4]).elements(elements);
    let look = (0..rules).map(|_| Rule::new().vmap(Field::IpSaddr, set("map")));
    let base = Chain::base("base", ChainType::Filter, Hook::Forward, Priority::FILTER).rules(look);
    let sub = Chain::regular("sub").rule(Rule::new().counter()).rule(Rule::new().tcp_dport(7).drop());
    let table = Table::new(Family::Inet, "t").set(map).chain(sub).chain(base);
    Rules::try_from(&Ruleset::new().table(table)).expect("it is valid")
}

#[test]
fn only_packets_that_meet_a_difference_are_explored() {
    let (all, less) = (looked_at(1500, 1500, 1500), looked_at(1500, 1500, 700));
    let Comparison::Equivalent { classes, outside: 0 } = compare(&all, &looked_at(1500, 1500, 1500)) else {
        panic!("they are the same")
    };
    assert!(classes < 10, "{classes} classes of packets");
    let Comparison::Differs(example) = compare(&all, &less) else { panic!("an element is missing") };
    assert_eq!(example.situation.packet.source.to_string(), "10.0.2.188");
}

#[test]
fn rules_that_the_kernel_does_not_list_are_not_proven_the_same() {
    let with_unlisted = || {
        let base = Chain::base("base", ChainType::Filter, Hook::Forward, Priority::FILTER);
        let table = Table::new(Family::Ip, "t").chain(base.rule(Rule::new().tcp_dport(7).drop()));
        let mut rules = Rules::try_from(&Ruleset::new().table(table)).expect("it is valid");
        rules.tables.iter_mut().flat_map(|table| &mut table.chains).for_each(|chain| chain.unlisted = 1);
        rules
    };
    let (a, b) = (with_unlisted(), with_unlisted());
    for few in [0, usize::MAX] {
        let found = Compare::new(&a, &b).cut_above(few).run().to_string();
        assert!(found.contains("the kernel does not list 1 more of its rules"), "{found}");
    }
}

#[test]
fn a_proof_that_takes_too_many_steps_ends_with_the_reason() {
    let rule = |index: u32| {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + index);
        Rule::new().not(crate::model::ip_saddr(address)).set_mark(index)
    };
    let of = |count| {
        let base = Chain::base("base", ChainType::Filter, Hook::Forward, Priority::FILTER).rules((0..count).map(rule));
        let table = Table::new(Family::Ip, "t").chain(base.rule(Rule::new().set_mark(7)));
        Rules::try_from(&Ruleset::new().table(table)).expect("it is valid")
    };
    let (a, b) = (of(100), of(99));
    assert!(matches!(compare(&a, &b), Comparison::Equivalent { .. }));
    let few = Compare::new(&a, &b).steps_at_most(1000).run().to_string();
    assert!(few.starts_with("cannot tell: at forward: too many rules that each have an effect"), "{few}");
}

/// The packet that meets the rule of one side only is another one when it arrives.
#[test]
fn a_rewritten_packet_that_meets_a_difference_is_not_overlooked() {
    let addresses = [1_u32, 2].map(|last| Ipv4Addr::from_bits(0x0a00_0000 + last));
    let rewrites = || {
        Rule::new()
            .ip_daddr(addresses[0])
            .set(Field::IpDaddr, crate::model::SetValue::Constant(Value::Ipv4(addresses[1])))
    };
    let of = |more: Option<Rule>| {
        let base = Chain::base("base", ChainType::Filter, Hook::Forward, Priority::FILTER).rule(rewrites());
        let table = Table::new(Family::Ip, "t").chain(base.rules(more));
        Rules::try_from(&Ruleset::new().table(table)).expect("it is valid")
    };
    let (a, b) = (of(Some(Rule::new().ip_daddr(addresses[1]).drop())), of(None));
    for few in [0, usize::MAX] {
        let found = Compare::new(&a, &b).cut_above(few).run();
        assert!(!matches!(found, Comparison::Equivalent { .. }), "{found}");
    }
}

/// Checks that progress never decreases at a hook, and is complete in the end unless a difference
/// was found first.
fn check_progress(seen: &[Progress], found: &Comparison) -> Result<(), TestCaseError> {
    let ends = seen.chunk_by(|a, b| (a.hook, a.family) == (b.hook, b.family));
    for at_hook in ends {
        prop_assert!(at_hook.is_sorted_by(|a, b| a.classes <= b.classes && a.share <= b.share), "{seen:?}");
        prop_assert!(at_hook.iter().all(|progress| progress.share.is_none_or(|share| (0.0..=1.0).contains(&share))));
    }
    if let Comparison::Equivalent { classes, outside } = found {
        let last = |at_hook: &[Progress]| at_hook.last().map_or(0, |progress| progress.classes);
        let all = seen.chunk_by(|a, b| (a.hook, a.family) == (b.hook, b.family)).map(last).sum::<usize>();
        prop_assert_eq!(all, classes + outside);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_comparison_in_parts_agrees_with_one_of_the_whole(
        numbers in prop::collection::vec(0..59_904_u32, 8..22),
        (at, to, swap) in (0..22_usize, 0..59_904_u32, any::<bool>()),
        hook in prop::sample::select(vec![Hook::Forward, Hook::Output, Hook::Prerouting]),
    ) {
        let mut changed = numbers.clone();
        let at = at % numbers.len();
        if swap { changed.swap(at, 0) } else { changed.splice(at..=at, [to]); }
        let (a, b) = (rules(&numbers, hook), rules(&changed, hook));
        let whole = Compare::new(&a, &b).cut_above(usize::MAX).run();
        for few in [0, 8] {
            let seen = std::cell::RefCell::new(Vec::new());
            let parts = Compare::new(&a, &b).cut_above(few).watched_by(&|progress| seen.borrow_mut().push(*progress)).run();
            check_progress(&seen.into_inner(), &parts)?;
            prop_assert_eq!(
                std::mem::discriminant(&whole), std::mem::discriminant(&parts),
                "{}\nin parts of {}: {}\n{:?} and {:?}", whole, few, parts, numbers, changed
            );
        }
    }
}
