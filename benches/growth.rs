//! How cost grows with the work: everything at n, 2n and 4n, beside what nft(8) takes for the same,
//! in one run.
//!
//! ```text
//! cargo bench --bench growth               everything
//! cargo bench --bench growth -- chains     what has this in its name
//! ```
//! A line is a median over rounds, in a network namespace of its own. What grows with the work
//! shows `x2` or a little more for each doubling; `x4` would be quadratic. A floor is what the
//! kernel alone takes: the same bytes sent again, or the time of our own call that was spent in the
//! kernel. Nobody can be below it.

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use common::{Script, Times, shapes};
use ipnetwork::{IpNetwork, Ipv4Network};
use nftmesh::bytecode::{lower, lower_elements};
use nftmesh::kernel::Kernel;
use nftmesh::model::{
    Chain, ChainType, DataType, Element, Family, Field, Hook, MarkKey, MarkValue, Nat, Priority, Protocol, Rule,
    Ruleset, Set, Table, TableId, Value, Verdict, set,
};
use nftmesh::plan::{Transaction, diff};
use nftmesh::sim::{Comparison, Rules, compare};
use nftmesh::state::{Listing, Snapshot};

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let cases: [Case; 19] = [
        ("services, replaced (3 chains and a set each)", replaced, 2_000),
        ("services, read and compared", read, 1_250),
        ("services, one endpoint changed", changed, 1_250),
        ("sets, a rule each", sets, 2_000),
        ("sets of intervals, filled anew", renewed, 500),
        ("elements of one set of intervals, destroyed one by one", destroyed, 500),
        ("tables, a chain and a rule each", tables, 250),
        ("counters, one by one", objects, 1_000),
        ("rules of a chain, all new", refilled, 12_500),
        ("rules of a chain, in another order", reordered, 12_500),
        ("rules of a chain, of seven kinds, in another order", kinds, 12_500),
        ("rules of a chain, distinguished by comments, in another order", comments, 12_500),
        ("text: rules, read and lowered", text_of_rules, 2_500),
        ("text: elements of a set", text_of_elements, 250_000),
        ("text: statements on one line", text_of_a_line, 25_000),
        ("compare: networks, a rule each and as a set", networks, 1_000),
        ("compare: pairs of addresses, in any order", pairs, 25_000),
        ("compare: services, one endpoint moved", moved, 1_250),
        ("compare: a firewall with itself and a rule less", firewalls, 1_000),
    ];
    for (name, case, smallest) in cases {
        if name.contains(&wanted) {
            grown(name, smallest, case);
        }
    }
    for (name, shape) in shapes::SHAPES {
        let name = format!("compare: {name}, one less");
        // The kernel takes 1,024 base chains at a hook.
        let smallest = if name.contains("base chains") { 250 } else { 1_000 };
        if name.contains(&wanted) {
            grown(&name, smallest, |count| compared(&shape(count, None), &shape(count, Some(count / 3)), None));
        }
    }
}

fn grown(name: &str, smallest: u32, case: impl Fn(u32) -> Lines + Sync) {
    println!("{name}");
    let runs = [1, 2, 4].map(|times| {
        let mut lines = Lines::new();
        support::in_fresh_netns(|| lines = case(times * smallest));
        lines
    });
    print(smallest, &runs);
}

/// A name, what is measured, and the smallest size.
type Case = (&'static str, fn(u32) -> Lines, u32);

/// What was measured: the first is the peer's, the others are told in terms of it.
type Lines = Vec<(&'static str, Duration)>;

fn print(smallest: u32, runs: &[Lines; 3]) {
    println!("  {:<34} {:>10} {:>10} {:>10}   per doubling", "", smallest, 2 * smallest, 4 * smallest);
    let [small, middle, large] = runs;
    for (index, (name, time)) in small.iter().enumerate() {
        let of = |lines: &Lines| lines.get(index).map_or(Duration::ZERO, |(_, time)| *time);
        let peer = |lines: &Lines| lines.first().map_or(1.0, |(_, time)| time.as_secs_f64());
        let (middle_time, large_time) = (of(middle), of(large));
        let growth = |a: Duration, b: Duration| b.as_secs_f64() / a.as_secs_f64();
        let ratios = [small, middle, large].map(|lines| of(lines).as_secs_f64() / peer(lines));
        let against = match index {
            0 => "the peer".to_owned(),
            _ => format!("{:.3} {:.3} {:.3} of it", ratios[0], ratios[1], ratios[2]),
        };
        println!(
            "  {name:<34} {time:>10.1?} {middle_time:>10.1?} {large_time:>10.1?}   x{:.1} x{:.1}   {against}",
            growth(*time, middle_time),
            growth(middle_time, large_time)
        );
    }
}

const ROUNDS: usize = 3;

fn kernel() -> Kernel {
    Kernel::open().expect("a socket")
}

/// What the kernel takes for what a commit sends.
fn again(kernel: &mut Kernel, transaction: &Transaction, floor: &mut Times) {
    let prepared = kernel.prepare(transaction).expect("valid");
    floor.time(|| kernel.commit_prepared(&prepared).expect("it was taken before"));
}

fn nft_list(times: &mut Times, words: &[&str]) {
    times.time(|| {
        let status = support::command("nft").args(words).stdout(Stdio::null()).status();
        assert!(status.expect("nft is installed").success(), "nft {words:?}");
    });
}

/// The shape of kube-proxy's rules: a service has a chain, two endpoints with a chain each, and a
/// set of clients.
fn services(count: u32, moved: Option<u32>) -> Ruleset {
    let rule = Rule::new;
    let mark = MarkValue::masked(MarkKey::Meta, 0x4000, 0x4000);
    let mut map = Set::verdict_map("service-ips", [DataType::Ipv4, DataType::Protocol, DataType::Port]);
    let mut table =
        Table::new(Family::Ip, "services").chain(Chain::regular("to-masquerade").rule(rule().set_mark(mark)));
    for index in 0..count {
        let address = Ipv4Addr::from_bits(0xac1e_0000 + index);
        let service = format!("service-{index:08}");
        let key = [Value::Ipv4(address), Value::Protocol(Protocol::TCP), Value::Port(80)];
        map.elements.push(Element::new(key).verdict(Verdict::Goto(service.as_str().into())));
        let mut endpoints = Vec::new();
        for endpoint in 0..2 {
            let elsewhere = if moved == Some(index) { 0x10_0000 } else { 0 };
            let at = Ipv4Addr::from_bits(0x0ab4_0000 + index * 2 + endpoint + elsewhere);
            let name = format!("endpoint-{index:08}-{at}/80");
            let dnat = rule().l4proto(Protocol::TCP).nat(Nat::dnat().to(at).ports(80));
            table =
                table.chain(Chain::regular(name.as_str()).rule(rule().ip_saddr(at).jump("to-masquerade")).rule(dnat));
            endpoints.push(name);
        }
        let clients = format!("clients-{index:08}");
        let to = |endpoint: usize| endpoints.get(endpoint).map(String::as_str).unwrap_or_default();
        table = table.set(Set::new(clients.as_str(), [DataType::Ipv4])).chain(
            Chain::regular(service.as_str())
                .rule(rule().ip_daddr(address).tcp_dport(80).jump("to-masquerade"))
                .rule(rule().ip_saddr(set(clients.as_str())).goto(to(0)))
                .rule(rule().goto(to(1))),
        );
    }
    let dispatch = rule().vmap([Field::IpDaddr, Field::L4proto, Field::ThDport], set("service-ips"));
    let hook = Chain::base("nat-prerouting", ChainType::Nat, Hook::Prerouting, Priority::DSTNAT);
    Ruleset::new().table(table.set(map).chain(hook.rule(dispatch)))
}

fn replaced(count: u32) -> Lines {
    let ruleset = services(count, None);
    let script = Script::new(&ruleset);
    let transaction = Transaction::replace(ruleset);
    let mut kernel = kernel();
    let (mut nft, mut checked, mut ours) = (Times::default(), Times::default(), Times::default());
    let mut floor = Times::default();
    for _ in 0..ROUNDS {
        nft.time(|| script.load());
        checked.time(|| transaction.validate().expect("valid"));
        ours.time(|| kernel.commit(&transaction).expect("valid"));
        again(&mut kernel, &transaction, &mut floor);
    }
    vec![
        ("nft -f", nft.median()),
        ("floor: the same bytes again", floor.median()),
        ("validate", checked.median()),
        ("commit (goal <= 0.5)", ours.median()),
    ]
}

fn read(count: u32) -> Lines {
    let ruleset = services(count, None);
    kernel().commit(&Transaction::replace(ruleset.clone())).expect("valid");
    let (mut json, mut list) = (Times::default(), Times::default());
    let (mut first, mut snapshot, mut listed) = (Times::default(), Times::default(), Times::default());
    let mut floor = Times::default();
    for _ in 0..ROUNDS {
        nft_list(&mut json, &["-j", "list", "ruleset"]);
        nft_list(&mut list, &["list", "ruleset"]);
        let mut kernel = kernel();
        floor.time_in_kernel(|| first.time(|| assert!(kernel.apply(&ruleset).expect("applied").was_in_sync())));
        let mut held = None;
        snapshot.time(|| held = kernel.snapshot().ok());
        let held = held.expect("readable");
        listed.time(|| assert!(Listing::new(&held).to_string().len() > 100));
    }
    vec![
        ("nft -j list ruleset", json.median()),
        ("nft list ruleset", list.median()),
        ("floor: apply, in the kernel", floor.median()),
        ("first apply, in sync (goal <= 0.7)", first.median()),
        ("snapshot", snapshot.median()),
        ("its listing", listed.median()),
    ]
}

fn changed(count: u32) -> Lines {
    let (one, other) = (services(count, None), services(count, Some(count / 2)));
    let replace = Transaction::replace(one.clone());
    let (mut full, mut delta, mut floor) = (Times::default(), Times::default(), Times::default());
    let mut kernel = kernel();
    for _ in 0..ROUNDS {
        full.time(|| kernel.commit(&replace).expect("valid"));
        kernel.apply(&one).expect("applied");
        for next in [&other, &one] {
            let mut made = None;
            delta.time(|| made = kernel.apply(next).ok());
            let made = made.expect("applied").transaction;
            let operations = made.operations().len();
            assert!((1..100).contains(&operations), "{operations}");
        }
        // The same change once more, as nothing but bytes: there and back.
        let mut other_kernel = self::kernel();
        for next in [&other, &one] {
            let plan = other_kernel.plan(next).expect("planned");
            again(&mut other_kernel, &plan, &mut floor);
        }
        // It was somebody else: the next round begins with what is known.
        kernel.apply(&one).expect("applied");
    }
    vec![
        ("replace", full.median()),
        ("floor: the same bytes again", floor.median()),
        ("apply (goal <= 0.05)", delta.median()),
    ]
}

fn sets(count: u32) -> Lines {
    let mut table = Table::new(Family::Ip, "sets");
    let mut chain = Chain::regular("c");
    for index in 0..count {
        let name = format!("clients-{index:08}");
        table = table.set(Set::new(name.as_str(), [DataType::Ipv4]));
        chain = chain.rule(Rule::new().ip_saddr(set(name.as_str())).accept());
    }
    let ruleset = Ruleset::new().table(table.chain(chain));
    let script = Script::new(&ruleset);
    let transaction = Transaction::replace(ruleset.clone());
    let (mut load, mut list) = (Times::default(), Times::default());
    let (mut commit, mut first, mut floor) = (Times::default(), Times::default(), Times::default());
    let mut reading = Times::default();
    for _ in 0..ROUNDS {
        load.time(|| script.load());
        nft_list(&mut list, &["list", "ruleset"]);
        let mut kernel = kernel();
        commit.time(|| kernel.commit(&transaction).expect("valid"));
        again(&mut kernel, &transaction, &mut floor);
        reading.time_in_kernel(|| first.time(|| assert!(kernel.apply(&ruleset).expect("applied").was_in_sync())));
    }
    vec![
        ("nft list ruleset", list.median()),
        ("floor: apply, in the kernel", reading.median()),
        ("nft -f", load.median()),
        ("floor: the same bytes again", floor.median()),
        ("commit", commit.median()),
        ("first apply, in sync", first.median()),
    ]
}

fn rules(rules: impl Iterator<Item = u32>) -> Ruleset {
    let rule = |index: u32| Rule::new().ip_saddr(Ipv4Addr::from_bits(0x0a00_0000 + index)).counter().accept();
    Ruleset::new().table(Table::new(Family::Ip, "rules").chain(Chain::regular("c").rules(rules.map(rule))))
}

/// Nothing stays: every rule of the chain goes and as many others come.
fn refilled(count: u32) -> Lines {
    let (one, other) = (rules(0..count), rules(count..2 * count));
    let flush = |ruleset: &Ruleset| Script::of(&format!("flush chain ip rules c\n{ruleset}"));
    let (flush_one, flush_other) = (flush(&one), flush(&other));
    let mut kernel = kernel();
    let (mut nft, mut ours) = (Times::default(), Times::default());
    kernel.apply(&one).expect("applied");
    for _ in 0..ROUNDS {
        nft.time(|| flush_other.load());
        nft.time(|| flush_one.load());
        ours.time(|| drop(kernel.apply(&other).expect("applied")));
        ours.time(|| drop(kernel.apply(&one).expect("applied")));
    }
    vec![("nft -f: flush chain, add", nft.median()), ("apply, which reads first", ours.median())]
}

/// Sets of intervals that rules look at, each with other contents: they are filled by the side, and
/// rules switch over.
fn renewed(count: u32) -> Lines {
    let ruleset = |shift: u32| {
        let mut table = Table::new(Family::Ip, "nets");
        let mut chain = Chain::regular("c");
        for index in 0..count {
            let name = format!("nets-{index:08}");
            let net = Ipv4Network::new(Ipv4Addr::from_bits(0x0a00_0000 + (index << 8) + shift), 28).expect("a prefix");
            let net = Element::new(IpNetwork::V4(net));
            table = table.set(Set::new(name.as_str(), [DataType::Ipv4]).interval().elements([net]));
            chain = chain.rule(Rule::new().ip_saddr(set(name.as_str())).accept());
        }
        Ruleset::new().table(table.chain(chain))
    };
    let (one, other) = (ruleset(0), ruleset(64));
    let (script_one, script_other) = (Script::new(&one), Script::new(&other));
    let mut kernel = kernel();
    let (mut nft, mut ours, mut floor) = (Times::default(), Times::default(), Times::default());
    for _ in 0..ROUNDS {
        script_one.load();
        nft.time(|| script_other.load());
        let mut steps = 0;
        floor.time_in_kernel(|| ours.time(|| steps = kernel.apply(&one).expect("applied").staged.len()));
        assert!(steps > 1, "{steps}");
    }
    vec![
        ("nft -f, replaced at once", nft.median()),
        ("floor: apply, in the kernel", floor.median()),
        ("apply, in steps", ours.median()),
    ]
}

/// As many operations as elements: the kernel is asked what is there, since it would look for the
/// two ends of each one by one.
fn destroyed(count: u32) -> Lines {
    let id = TableId::new(Family::Ip, "nets").set("nets");
    let net = |index: u32| {
        let first = Ipv4Addr::from_bits(0x0a00_0000 + (index << 8));
        IpNetwork::V4(Ipv4Network::new(first, 28).expect("a prefix"))
    };
    let set = Set::new("nets", [DataType::Ipv4]).interval().elements((0..count).map(net).map(Element::new));
    let ruleset = Ruleset::new().table(Table::new(Family::Ip, "nets").set(set));
    let alone = |index| format!("delete element ip nets nets {{ {} }}\n", net(index));
    let script = Script::of(&(0..count).map(alone).collect::<String>());
    let transaction =
        (0..count).fold(Transaction::new(), |all, index| all.destroy_elements(&id, [Element::new(net(index))]));
    let mut kernel = kernel();
    let (mut nft, mut ours) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        kernel.apply(&ruleset).expect("applied");
        nft.time(|| script.load());
        kernel.apply(&ruleset).expect("applied");
        ours.time(|| kernel.commit(&transaction).expect("they are there"));
    }
    vec![("nft -f: delete element", nft.median()), ("commit of destroy_elements", ours.median())]
}

fn tables(count: u32) -> Lines {
    let ruleset = |moved: u32| {
        let table = |index: u32| {
            let port = if index == moved { 81 } else { 80 };
            let rule = Rule::new().tcp_dport(port).accept();
            Table::new(Family::Ip, format!("table-{index:08}")).chain(Chain::regular("c").rule(rule))
        };
        (0..count).map(table).fold(Ruleset::new(), Ruleset::table)
    };
    let (one, other) = (ruleset(count), ruleset(count / 2));
    let script = Script::new(&one);
    let transaction = Transaction::replace(one.clone());
    let mut kernel = kernel();
    let (mut nft, mut list, mut commit) = (Times::default(), Times::default(), Times::default());
    let (mut floor, mut first, mut changed) = (Times::default(), Times::default(), Times::default());
    for _ in 0..ROUNDS {
        nft.time(|| script.load());
        commit.time(|| kernel.commit(&transaction).expect("valid"));
        again(&mut kernel, &transaction, &mut floor);
        nft_list(&mut list, &["list", "ruleset"]);
        first.time(|| assert!(kernel.apply(&one).expect("applied").was_in_sync()));
        changed.time(|| assert!(!kernel.apply(&other).expect("applied").was_in_sync()));
    }
    vec![
        ("nft -f", nft.median()),
        ("floor: the same bytes again", floor.median()),
        ("commit", commit.median()),
        ("nft list ruleset", list.median()),
        ("first apply, in sync", first.median()),
        ("one rule changed", changed.median()),
    ]
}

/// Held counters against wanted ones, of which one is no more.
fn objects(count: u32) -> Lines {
    let script = |count: u32| {
        let one = |index| format!("counter c{index:08} {{ }}\n");
        Script::of(&format!("table ip counted {{\n{}}}\n", (0..count).map(one).collect::<String>()))
    };
    let script = script(count);
    let mut kernel = kernel();
    let (mut nft, mut ours) = (Times::default(), Times::default());
    script.load();
    let held = kernel.snapshot().expect("readable");
    let mut wanted = held.raise();
    for table in &mut wanted.ruleset.tables {
        table.objects.pop();
    }
    for _ in 0..ROUNDS {
        nft.time(|| script.check());
        ours.time(|| assert_eq!(diff(&held, &wanted.ruleset, &[]).expect("valid").operations().len(), 1));
    }
    vec![("nft -c -f", nft.median()), ("diff", ours.median())]
}

/// Rules that are all there, shuffled: only what does not stay in place is planned.
fn reordered(count: u32) -> Lines {
    let rule = |index: u32| Rule::new().ip_saddr(Ipv4Addr::from_bits(0x0a00_0000 + index)).counter().accept();
    shuffled(count, &rule)
}

fn kinds(count: u32) -> Lines {
    let port = |index: u32| u16::try_from(80 + index % 7).expect("a port");
    shuffled(count, &|index| Rule::new().tcp_dport(port(index)).counter().accept())
}

fn comments(count: u32) -> Lines {
    shuffled(count, &|index| Rule::new().counter().accept().comment(format!("rule {index}")))
}

fn shuffled(count: u32, rule: &dyn Fn(u32) -> Rule) -> Lines {
    let of = |rules: &mut dyn Iterator<Item = Rule>| {
        Ruleset::new().table(Table::new(Family::Ip, "rules").chain(Chain::regular("c").rules(rules)))
    };
    let one = of(&mut (0..count).map(rule));
    let other = of(&mut (0..count).map(|index| rule(index * 7919 % count)));
    let script = Script::new(&other);
    let mut kernel = kernel();
    kernel.apply(&one).expect("applied");
    let held = kernel.snapshot().expect("readable");
    let (mut nft, mut ours) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        nft.time(|| script.load());
        ours.time(|| assert!(!diff(&held, &other, &[]).expect("valid").is_empty()));
    }
    vec![("nft -f, replaced", nft.median()), ("diff", ours.median())]
}

fn program(ruleset: &Ruleset) -> Rules {
    Rules::try_from(ruleset).expect("a rule set with programs")
}

/// Compares both ways; `nft -c -f` of the first is the peer.
fn compared(a: &Ruleset, b: &Ruleset, is_same: Option<bool>) -> Lines {
    let script = Script::of(&a.to_string());
    let (a, b) = (program(a), program(b));
    let (mut nft, mut ours) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        nft.time(|| script.check());
        ours.time(|| match compare(&a, &b) {
            Comparison::Equivalent { .. } => assert_ne!(is_same, Some(false)),
            Comparison::Differs(example) => assert_ne!(is_same, Some(true), "{example}"),
            other => panic!("{other}"),
        });
    }
    vec![("nft -c -f of one side", nft.median()), ("compare", ours.median())]
}

fn filter(rules: impl IntoIterator<Item = Rule>) -> Table {
    let chain = Chain::base("forward", ChainType::Filter, Hook::Forward, Priority::FILTER);
    Table::new(Family::Ip, "filter").chain(chain.rules(rules))
}

/// A firewall as people write it, checked by nft, and read and lowered here.
fn text_of_rules(count: u32) -> Lines {
    let rule = |index: u32| {
        let (a, b, port) = (index >> 8 & 0xff, index & 0xff, 1024 + index % 60_000);
        match index % 4 {
            0 => format!("ip saddr 10.{a}.{b}.0/24 tcp dport {{ 22, {port} }} counter accept\n"),
            1 => format!("iifname \"eth{}\" ip daddr 10.{a}.{b}.1-10.{a}.{b}.9 udp dport {port} accept\n", a % 8),
            2 => format!("ct state new,established ip6 saddr fd00:{a:x}::{b:x} log prefix \"no {index}: \" drop\n"),
            _ => format!("meta mark and 0xff == {b} tcp flags syn / syn,ack limit rate {port}/second accept\n"),
        }
    };
    let rules: String = (0..count).map(rule).collect();
    read_and_lowered(&format!("table inet t {{\nchain c {{\ntype filter hook input priority 0;\n{rules}}}\n}}\n"))
}

fn text_of_elements(count: u32) -> Lines {
    let elements: String =
        (0..count).map(|index| format!("{}, ", Ipv4Addr::from_bits(0x0a00_0000 + index * 7919 % count))).collect();
    read_and_lowered(&format!("table ip t {{\nset s {{\ntype ipv4_addr;\nelements = {{ {elements}}}\n}}\n}}\n"))
}

fn text_of_a_line(count: u32) -> Lines {
    let rules: String = (0..count).map(|index| format!("tcp dport {} accept; ", index % 65_536)).collect();
    read_and_lowered(&format!("table ip t {{ chain c {{ {rules}}}; }}\n"))
}

fn read_and_lowered(text: &str) -> Lines {
    let (mut nft, mut reads, mut both) = (Times::default(), Times::default(), Times::default());
    for _ in 0..3 {
        nft.time(|| drop(support::succeed("nft", "-c -f -", text)));
        reads.time(|| drop(text.parse::<Ruleset>().expect("what nft takes")));
        both.time(|| {
            let ruleset: Ruleset = text.parse().expect("what nft takes");
            let plan = diff(&Snapshot::default(), &ruleset, &[]).expect("what is valid has a program");
            for table in &ruleset.tables {
                let rules = table.chains.iter().flat_map(|chain| &chain.rules);
                rules.for_each(|rule| drop(lower(rule, table.family, table.sets.as_slice()).expect("a program")));
                table.sets.iter().for_each(|set| assert!(lower_elements(set).all(|element| element.is_ok())));
            }
            drop(plan);
        });
    }
    vec![("nft -c -f", nft.median()), ("read", reads.median()), ("read, lowered, planned", both.median())]
}

fn networks(count: u32) -> Lines {
    let net = |index: u32| {
        let first = Ipv4Addr::from_bits(0x0b00_0000 + (index * 7919 % count) * 512);
        Ipv4Network::new(first, 24).expect("24 bits are a prefix")
    };
    let rules = (0..count).map(|index| Rule::new().ip_daddr(net(index)).accept());
    let elements = (0..count).map(|index| Element::new(IpNetwork::V4(net(index))));
    let all = Set::new("nets", [DataType::Ipv4]).interval().elements(elements);
    let (each, as_set) = (filter(rules), filter([Rule::new().ip_daddr(set("nets")).accept()]).set(all));
    let last = |table: Table| Ruleset::new().table(table);
    compared(&last(each), &last(as_set), Some(true))
}

fn pairs(count: u32) -> Lines {
    let rule = |index: u32| {
        let [from, to] = [0x0a00_0000, 0x0b00_0000].map(|base| Ipv4Addr::from_bits(base + index * 7919 % count));
        Rule::new().ip_saddr(from).ip_daddr(to).accept()
    };
    let (forward, backward) = (filter((0..count).map(rule)), filter((0..count).rev().map(rule)));
    compared(&Ruleset::new().table(forward), &Ruleset::new().table(backward), Some(true))
}

fn moved(count: u32) -> Lines {
    compared(&services(count, None), &services(count, Some(count / 2)), Some(false))
}

/// Rules of several kinds, of which many packets meet more than one.
fn firewalls(count: u32) -> Lines {
    let rule = |index: u32| {
        let at = |base: u32, step: u32| Ipv4Addr::from_bits(base + index * 7919 % count * step);
        let net = |length| Ipv4Network::new(at(0x0a00_0000, 1 << 10), length).expect("a prefix");
        let port = u16::try_from(1024 + index * 31 % 5000).expect("a port");
        match index % 4 {
            0 => Rule::new().ip_saddr(net(22)).tcp_dport(port).accept(),
            1 => Rule::new().ip_daddr(at(0x0a00_0000, 7)).udp_dport(port).drop(),
            2 => Rule::new().ip_saddr(net(24)).ip_daddr(at(0x0b00_0000, 3)).drop(),
            _ => Rule::new().iifname("eth1").ip_saddr(net(27)).tcp_dport(port..=port + 3).reject(),
        }
    };
    let of = |rules: Vec<Rule>| Ruleset::new().table(filter(rules));
    let whole: Vec<Rule> = (0..count).map(rule).collect();
    let less = whole.iter().enumerate().filter(|(index, _)| *index != whole.len() / 2).map(|(_, rule)| rule.clone());
    compared(&of(whole.clone()), &of(less.collect()), None)
}
