//! Comparisons of rules that draw, count and remember: a proof holds for every packet, whatever
//! came before.
//!
//! A stateful object is the same on both sides when the same packets reach it at all hooks. They do
//! where the programs of both sides are the same everywhere and share the same objects.

#![cfg(feature = "sim")]

mod support;

use nftmesh::kernel::Kernel;
use nftmesh::sim::{Comparison, Rules, compare};
use support::{NetNs, in_fresh_netns, nft_takes};

/// Returns the rules as the kernel holds them after nft loaded the text in a fresh namespace.
fn rules(text: &str) -> Rules {
    NetNs::fresh().run(|| {
        nft_takes(text).unwrap_or_else(|printed| panic!("{printed}\n{text}"));
        let snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
        Rules::try_from(&snapshot).expect("rules of a kernel").made_at_once()
    })
}

/// Returns the kind of the answer. Each test has cases that must be decided beside those that
/// cannot be, so that neither a guess nor a loss of precision passes.
fn printed(a: &str, b: &str) -> &'static str {
    let found = compare(&rules(a), &rules(b));
    match &found {
        Comparison::CannotTell(_) => "cannot tell",
        Comparison::Differs(_) => "differs",
        Comparison::Equivalent { .. } => "the same",
        _ => "something new",
    }
}

/// Writes a table with these chains, after its declarations.
fn table(family: &str, name: &str, declared: &str, chains: &[(&str, &str)]) -> String {
    let mut text = format!("table {family} {name} {{\n{declared}\n");
    for (hook, rules) in chains {
        let base = if hook.starts_with("sub") {
            String::new()
        } else {
            format!("type filter hook {hook} priority 0; policy accept;")
        };
        text += &format!("chain {hook} {{ {base}\n{rules}\n}}\n");
    }
    text + "}\n"
}

/// Rules that drop some packets, depending on those that came before, or on what was drawn.
const REMEMBER: &[&str] = &[
    "limit rate 1/second drop",
    "limit rate over 10 bytes/second drop",
    "numgen inc mod 2 0 drop",
    "numgen inc mod 3 offset 7 vmap { 7 : drop, 8 : accept }",
    "quota over 100 bytes drop",
    "ct count over 2 drop",
    "jhash ip saddr mod 2 0 drop",
    "ip protocol . numgen inc mod 2 { tcp . 0 } drop",
];

/// Rules that find the same in every packet that is the same, or draw for each packet alone.
const FORGET: &[&str] = &[
    "numgen random mod 2 0 drop",
    "meta random 1-100 drop",
    "jhash ip saddr mod 2 seed 0x7 0 drop",
    "symhash mod 2 0 drop",
];

#[test]
fn stateful_rule_sets_equal_themselves() {
    in_fresh_netns(|| {
        for rule in REMEMBER.iter().chain(FORGET) {
            let text = table("ip", "t", "", &[("subs", rule), ("input", "jump subs"), ("forward", "jump subs")]);
            assert_eq!(printed(&text, &text), "the same", "{text}");
            let text = table("ip", "t", "", &[("output", rule)]);
            assert_eq!(printed(&text, &text), "the same", "{text}");
        }
    });
}

#[test]
fn one_shared_state_is_not_two_separate_ones() {
    in_fresh_netns(|| {
        for rule in REMEMBER {
            // One for both families, or one for each.
            let one = table("inet", "t", "", &[("output", rule)]);
            let two = table("ip", "t", "", &[("output", rule)]) + &table("ip6", "t", "", &[("output", rule)]);
            if !rule.contains("ip ") {
                assert_eq!(printed(&one, &two), "cannot tell", "{one}{two}");
            }
            // One for two hooks, or one for each.
            let shared = table("ip", "t", "", &[("subs", rule), ("input", "jump subs"), ("forward", "jump subs")]);
            let alone = table("ip", "t", "", &[("input", rule), ("forward", rule)]);
            assert_eq!(printed(&shared, &alone), "cannot tell", "{shared}{alone}");
            // Two for one hook, or one.
            let twice = format!("tcp dport 1-99 {rule}\ntcp dport 100-199 {rule}");
            let once = format!("tcp dport 1-199 {rule}");
            assert_eq!(
                printed(&table("ip", "t", "", &[("input", &twice)]), &table("ip", "t", "", &[("input", &once)])),
                "cannot tell"
            );
            // Where no packet reaches the state, it decides nothing; where every packet is dropped
            // on one side alone, the sides differ whatever the state is.
            let unreached = |after: &str| table("ip", "t", "", &[("input", &format!("accept\n{after}"))]);
            assert_eq!(printed(&unreached(rule), &unreached("")), "the same", "{rule}");
            let other = |verdict: &str| table("ip", "t", "", &[("input", &format!("tcp dport 7 {verdict}\n{rule}"))]);
            assert_eq!(printed(&other("accept"), &other("drop")), "differs", "{rule}");
        }
    });
}

#[test]
fn state_that_other_packets_reach_is_unknown() {
    in_fresh_netns(|| {
        for rule in REMEMBER {
            // The same at forward; at input, where all is dropped, different packets reach the
            // state.
            let of = |input: &str| table("ip", "t", "", &[("subs", rule), ("input", input), ("forward", "jump subs")]);
            let [before, after] = [of("jump subs\ndrop"), of("drop")];
            assert_eq!(printed(&before, &after), "cannot tell", "{before}{after}");
            // The same in parts.
            let many: String = (1000..1200).map(|port| format!("tcp dport {port} counter\n")).collect();
            let first = format!("{many}ip protocol {{ tcp, udp }} {rule}\nip protocol udp drop");
            let later = format!("{many}ip protocol udp drop\nip protocol {{ tcp, udp }} {rule}");
            let [first, later] = [first, later].map(|rules| table("ip", "t", "", &[("input", &rules)]));
            assert_eq!(printed(&first, &later), "cannot tell", "{rule}");
        }
    });
}

#[test]
fn a_reordering_that_no_state_depends_on_is_no_difference() {
    in_fresh_netns(|| {
        for rule in REMEMBER {
            let many: Vec<String> = (1000..1200).map(|port| format!("tcp dport {port} drop")).collect();
            let [mut one, mut other] = [many.clone(), many];
            for rules in [&mut one, &mut other] {
                rules.insert(0, format!("tcp dport 5000 {rule}"));
            }
            other.swap(7, 9);
            let [one, other] = [one, other].map(|rules| {
                let (sub, base) = (rules.join("\n"), "tcp dport 1000-1100 drop\njump subs");
                table("ip", "t", "", &[("subs", &sub), ("input", "jump subs"), ("output", base)])
            });
            assert_eq!(printed(&one, &other), "the same", "{rule}");
        }
    });
}

#[test]
fn a_set_that_rules_fill_is_not_its_current_contents() {
    in_fresh_netns(|| {
        let set = "set s { type ipv4_addr; flags dynamic; }";
        let adds = ("output", "add @s { ip daddr }");
        let looked_up = table("ip", "t", set, &[adds, ("input", "ip saddr @s accept\ndrop")]);
        let dropped = table("ip", "t", set, &[adds, ("input", "drop")]);
        assert_eq!(printed(&looked_up, &looked_up), "the same");
        assert_eq!(printed(&looked_up, &dropped), "cannot tell");
        // Nothing fills the set, so it is empty.
        let looked_up = table("ip", "t", set, &[("input", "ip saddr @s accept\ndrop")]);
        let dropped = table("ip", "t", set, &[("input", "drop")]);
        assert_eq!(printed(&looked_up, &dropped), "the same");
    });
}

#[test]
fn stateless_rules_are_equal_in_one_table_or_two() {
    in_fresh_netns(|| {
        for rule in FORGET.iter().filter(|rule| !rule.contains("ip ")) {
            let one = table("inet", "t", "", &[("output", rule)]);
            let two = table("ip", "t", "", &[("output", rule)]) + &table("ip6", "t", "", &[("output", rule)]);
            assert_eq!(printed(&one, &two), "the same", "{one}{two}");
        }
        // Two draws are independent: both must succeed where one alone decides in the other.
        let twice = table("ip", "t", "", &[("input", "numgen random mod 2 0 numgen random mod 2 0 drop")]);
        let once = table("ip", "t", "", &[("input", "numgen random mod 2 0 drop")]);
        assert_eq!(printed(&twice, &once), "cannot tell");
    });
}
