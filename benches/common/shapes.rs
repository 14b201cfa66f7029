//! Rule sets of shapes that make proofs expensive: many rules that have an effect on the same
//! packets, or that are reached in many ways. Each takes a number of rules, and what is left out or
//! otherwise.

use std::net::Ipv4Addr;

use ipnetwork::{IpNetwork, Ipv4Network};
use nftmesh::model::{
    Chain, ChainType, DataType, Element, Family, Field, Hook, Interval, MarkKey, MarkValue, Priority, Protocol, Rule,
    Ruleset, Set, Table, Value, Verdict, concat, ip_saddr, set,
};

/// A rule set of this many rules; `without` is the index of what it does not have.
pub type Shape = fn(u32, Option<u32>) -> Ruleset;

/// All shapes, by name.
pub const SHAPES: [(&str, Shape); 10] = [
    ("a map that every rule looks at", one_map),
    ("base chains at one hook", base_chains),
    ("verdict maps in chains of chains", chains_of_chains),
    ("concatenations of ranges", ranges),
    ("sets and chains, one of each for a rule", sets_and_chains),
    ("marks set and tested", marks),
    ("negated addresses", negated),
    ("negated sets", negated_sets),
    ("deep jumps", jumps),
    ("a map to marks, then tested", map_to_marks),
];

fn kept(count: u32, without: Option<u32>) -> impl Iterator<Item = u32> {
    (0..count).filter(move |index| Some(*index) != without)
}

fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + index)
}

fn base(name: &str) -> Chain {
    Chain::base(name, ChainType::Filter, Hook::Forward, Priority::FILTER)
}

fn filter() -> Table {
    Table::new(Family::Ip, "filter")
}

fn port(index: u32) -> u16 {
    u16::try_from(1 + index % 60_000).unwrap_or(1)
}

fn only(table: Table) -> Ruleset {
    Ruleset::new().table(table)
}

fn one_map(count: u32, without: Option<u32>) -> Ruleset {
    let elements = kept(count, without).map(|index| {
        let verdict = if index % 2 == 0 { Verdict::Drop } else { Verdict::Jump("sub".into()) };
        Element::new(address(index)).verdict(verdict)
    });
    let map = Set::verdict_map("m", [DataType::Ipv4]).elements(elements);
    let rules = (0..count).map(|_| Rule::new().vmap(Field::IpSaddr, set("m")));
    only(filter().set(map).chain(Chain::regular("sub").rule(Rule::new().counter())).chain(base("forward").rules(rules)))
}

/// The kernel takes 1,024 at a hook.
fn base_chains(count: u32, without: Option<u32>) -> Ruleset {
    let chain = |index| base(&format!("c{index:04}")).rule(Rule::new().ip_saddr(address(index)).drop());
    only(kept(count, without).map(chain).fold(filter(), Table::chain))
}

/// Each of 32 chains has a map to 32 others, and so on; the last have a rule each.
fn chains_of_chains(count: u32, without: Option<u32>) -> Ruleset {
    let (mut table, mut level) = (filter(), Vec::new());
    for index in kept(count, without) {
        let name = format!("c0-{index}");
        let rule = Rule::new().ip_saddr(address(index)).tcp_dport(port(index)).drop();
        table = table.chain(Chain::regular(name.as_str()).rule(rule));
        level.push((index, name));
    }
    let (mut shift, mut depth) = (5, 1);
    while level.len() > 1 {
        let mut next: Vec<(u32, String)> = Vec::new();
        for group in level.chunk_by(|(a, _), (b, _)| a >> shift == b >> shift) {
            let Some((first, _)) = group.first() else { continue };
            let name = format!("c{depth}-{}", first >> shift);
            let elements = group.iter().map(|(index, to)| {
                let net =
                    Ipv4Network::new(address(*index >> (shift - 5) << (shift - 5)), 37 - shift).expect("a prefix");
                Element::new(IpNetwork::V4(net)).verdict(Verdict::Jump(to.as_str().into()))
            });
            let map = Set::verdict_map(format!("m{name}"), [DataType::Ipv4]).interval().elements(elements);
            let look = Rule::new().vmap(Field::IpSaddr, set(map.name.as_str()));
            table = table.set(map).chain(Chain::regular(name.as_str()).rule(look));
            next.push((*first, name));
        }
        (level, shift, depth) = (next, shift + 5, depth + 1);
    }
    let jumps = level.into_iter().map(|(_, name)| Rule::new().jump(name.as_str()));
    only(table.chain(base("forward").rules(jumps)))
}

fn ranges(count: u32, without: Option<u32>) -> Ruleset {
    let elements = kept(count, without).map(|index| {
        let ends = |from, to| Interval { low: from, high: to };
        let port = port(index * 7);
        Element::new([
            ends(Value::Ipv4(address(index * 16)), Value::Ipv4(address(index * 16 + 7))),
            ends(Value::Port(port), Value::Port(port + 3)),
        ])
    });
    let set_of = Set::new("s", [DataType::Ipv4, DataType::Port]).interval().elements(elements);
    let rule = Rule::new().l4proto(Protocol::TCP).matches(concat([Field::IpSaddr, Field::ThDport], set("s"))).drop();
    only(filter().set(set_of).chain(base("forward").rule(rule)))
}

fn sets_and_chains(count: u32, without: Option<u32>) -> Ruleset {
    let (mut table, mut rules) = (filter(), Vec::new());
    for index in 0..count {
        let addresses = (0..4).map(|member| address(index * 4 + member));
        let addresses = addresses.filter(|_| Some(index) != without).map(Element::new);
        let name = format!("s{index}");
        table = table
            .set(Set::new(name.as_str(), [DataType::Ipv4]).elements(addresses))
            .chain(Chain::regular(format!("c{index}")).rule(Rule::new().tcp_dport(port(index)).drop()));
        rules.push(Rule::new().ip_saddr(set(name.as_str())).jump(format!("c{index}").as_str()));
    }
    only(table.chain(base("forward").rules(rules)))
}

fn marks(count: u32, without: Option<u32>) -> Ruleset {
    let set_mark = |index| Rule::new().ip_saddr(address(index)).set_mark(index + 1);
    let test = |index| Rule::new().mark(index + 1).tcp_dport(port(index)).drop();
    only(filter().chain(base("forward").rules((0..count / 2).map(set_mark).chain(kept(count / 2, without).map(test)))))
}

fn negated(count: u32, without: Option<u32>) -> Ruleset {
    let rule = |index| Rule::new().not(ip_saddr(address(index))).tcp_dport(port(index)).drop();
    only(filter().chain(base("forward").rules(kept(count, without).map(rule))))
}

fn negated_sets(count: u32, without: Option<u32>) -> Ruleset {
    let rule = |index| {
        let not = [address(index), address(index + 1), address(index + 2)];
        Rule::new().not(ip_saddr(not)).set_mark(MarkValue::masked(MarkKey::Meta, 1 << (index % 32), 1 << (index % 32)))
    };
    only(filter().chain(base("forward").rules(kept(count, without).map(rule))))
}

/// Chains of 15 jumps.
fn jumps(count: u32, without: Option<u32>) -> Ruleset {
    let (mut table, mut rules) = (filter(), Vec::new());
    for index in 0..count / 15 {
        for depth in 0..15 {
            let number = index * 15 + depth;
            let leaf = Rule::new().ip_saddr(address(number)).drop();
            let next =
                Rule::new().tcp_dport(port(index)..=port(index) + 20).jump(format!("c{index}-{}", depth + 1).as_str());
            let chain = Chain::regular(format!("c{index}-{depth}"));
            let chain = if Some(number) == without { chain } else { chain.rule(leaf) };
            table = table.chain(if depth < 14 { chain.rule(next) } else { chain });
        }
        rules.push(Rule::new().jump(format!("c{index}-0").as_str()));
    }
    only(table.chain(base("forward").rules(rules)))
}

fn map_to_marks(count: u32, without: Option<u32>) -> Ruleset {
    let elements = (0..count / 2).map(|index| Element::new(address(index)).value(Value::Mark(index + 1)));
    let map = Set::map("m", [DataType::Ipv4], DataType::Mark).elements(elements);
    let looked = MarkValue::Map { selector: Field::IpSaddr.into(), map: set("m") };
    let test = |index| Rule::new().mark(index + 1).drop();
    let rules = std::iter::once(Rule::new().set_mark(looked)).chain(kept(count / 2, without).map(test));
    only(filter().set(map).chain(base("forward").rules(rules)))
}
