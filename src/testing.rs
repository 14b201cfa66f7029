//! What tests against the real kernel share: a fresh network namespace each, and `ip` as a second
//! opinion.

pub(crate) mod exprs;

use std::io;
use std::process::Command;

use crate::attr::AttributeWriter;

/// Runs `test` in a network namespace of its own; says why when it can't.
pub(crate) fn in_namespace(test: impl FnOnce() + Send) {
    let _ran = or_skip(crate::sys::netns::in_new_namespace(test));
}

/// Runs `test` as a user without any capability, in the namespace of the calling thread; says why
/// when it can't.
pub(crate) fn as_nobody(test: impl FnOnce() + Send) {
    let _ran = or_skip(crate::sys::netns::as_nobody(test));
}

/// A missing capability skips the test, unless `NFTMESH_REQUIRE_KERNEL=1`; every other error fails
/// it.
pub(crate) fn or_skip<T>(outcome: io::Result<T>) -> Result<T, ()> {
    outcome.map_err(|error| {
        let may_skip = std::env::var_os("NFTMESH_REQUIRE_KERNEL").is_none_or(|value| value != "1");
        assert!(may_skip && error.kind() == io::ErrorKind::PermissionDenied, "no network namespace: {error}");
        eprintln!("SKIP: no network namespace: {error}");
    })
}

/// Runs `ip` with these words in the namespace of the calling thread and returns what it prints.
#[track_caller]
pub(crate) fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split_whitespace()).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs one command of nft in the namespace of the calling thread and returns what it prints.
#[track_caller]
pub(crate) fn nft(script: &str) -> String {
    let output = Command::new("nft").arg(script).output().expect("nftables is installed");
    assert!(output.status.success(), "nft {script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a sysctl of the calling thread's namespace, `net/ipv6/conf/lo/disable_ipv6`.
#[track_caller]
pub(crate) fn sysctl(path: &str, value: &str) {
    std::fs::write(format!("/proc/sys/{path}"), value).expect("the sysctl can be written");
}

/// One attribute as bytes.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    AttributeWriter::new(&mut bytes).bytes(kind, value, value.len()).expect("short");
    bytes
}

/// Rule sets of every shape, from numbers: similar numbers make similar rule sets. All of them are
/// valid.
#[expect(clippy::indexing_slicing, reason = "what is not there fails the test")]
pub(crate) mod rulesets {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use crate::model::{
        Chain, ChainType, DataType, Element, ElementData, Family, Field, Hook, Interval, Key, MarkValue, Policy,
        Priority, Rule, Ruleset, Set, SetFlags, Table, TableFlags, Value, Verdict, set,
    };

    /// Two rule sets, the second the first with some numbers changed.
    pub(crate) fn pair() -> impl Strategy<Value = (Ruleset, Ruleset)> {
        let numbers = prop::collection::vec(any::<u16>(), 90);
        let changes = prop::collection::vec((0..90_usize, any::<u16>()), 0..12);
        (numbers, changes).prop_map(|(numbers, changes)| {
            let mut others = numbers.clone();
            for (index, number) in changes {
                others[index] = number;
            }
            (ruleset(numbers), ruleset(others))
        })
    }

    struct Numbers(std::iter::Cycle<std::vec::IntoIter<u16>>);

    impl Numbers {
        fn below(&mut self, end: usize) -> usize {
            usize::from(self.0.next().unwrap_or(0)) % end
        }

        fn one_in(&mut self, count: usize) -> bool {
            self.below(count) == 1
        }
    }

    fn ruleset(numbers: Vec<u16>) -> Ruleset {
        let mut numbers = Numbers(numbers.into_iter().cycle());
        let tables = [(Family::Inet, "mesh"), (Family::Ip, "other")];
        let all: Vec<Table> = tables.into_iter().map(|(family, name)| table(&mut numbers, family, name)).collect();
        let wanted = numbers.below(6);
        let ruleset: Ruleset =
            all.into_iter().enumerate().filter(|(index, _)| wanted != *index).map(|(_, table)| table).collect();
        ruleset.validate_strictly().expect("made to be valid");
        ruleset
    }

    fn table(numbers: &mut Numbers, family: Family, name: &str) -> Table {
        let mut table = Table::new(family, name);
        if numbers.one_in(12) {
            table = table.flags(TableFlags::DORMANT);
        }
        let sets = sets(numbers);
        let names: Vec<String> = sets.iter().map(|set| set.name.to_string()).collect();
        // Those that can be jumped to come last, so that jumps only lead forward.
        let regular = 1 + numbers.below(4);
        for index in 0..3 {
            if numbers.below(4) != 0 {
                table = table.chain(base(numbers, index).rules(rules(numbers, &names, 0, regular)));
            }
        }
        for index in 0..regular {
            let chain = Chain::regular(format!("r{index}"));
            table = table.chain(chain.rules(rules(numbers, &names, index + 1, regular)));
        }
        sets.into_iter().fold(table, Table::set)
    }

    fn base(numbers: &mut Numbers, index: usize) -> Chain {
        let hook = [Hook::Prerouting, Hook::Input, Hook::Output][numbers.below(16).min(2)];
        let priority = Priority(-i32::try_from(numbers.below(12).min(2)).unwrap_or(0));
        let chain = Chain::base(format!("b{index}"), ChainType::Filter, hook, priority);
        if numbers.one_in(5) { chain.policy(Policy::Drop) } else { chain }
    }

    fn rules(numbers: &mut Numbers, sets: &[String], first: usize, regular: usize) -> Vec<Rule> {
        (0..numbers.below(9)).filter_map(|_| rule(numbers, sets, first, regular)).collect()
    }

    fn rule(numbers: &mut Numbers, sets: &[String], first: usize, regular: usize) -> Option<Rule> {
        let known = |name: &str| sets.iter().any(|set| set == name);
        let port = u16::try_from(80 + numbers.below(4)).unwrap_or(80);
        let rule = Rule::new();
        let rule = match numbers.below(13) {
            0 => rule.tcp_dport(port).counter().accept(),
            1 => rule.tcp_dport([port, 443]).accept(),
            2 if known("hosts") => rule.ip_saddr(set("hosts")).counter().drop(),
            3 if known("nets") => rule.ip_daddr(set("nets")).accept(),
            4 if known("marks") => rule.mark(set("marks")).counter(),
            5 if known("ports") => rule.tcp_dport(set("ports")).r#return(),
            6 if first < regular => rule.counter().jump(format!("r{}", first + numbers.below(regular - first))),
            7 => rule.skuid(1337).r#return(),
            8 => rule.udp_dport(port).comment(format!("number {}", numbers.below(3))).counter(),
            9 => rule.skgid(7).accept(),
            10 => rule.counter(),
            11 => rule.ip_daddr(Ipv4Addr::new(10, 0, 0, 1)).set_mark(MarkValue::Constant(7)),
            12 if known("go") && first == 0 => rule.vmap(Field::TcpDport, set("go")),
            _ => return None,
        };
        Some(rule)
    }

    fn sets(numbers: &mut Numbers) -> Vec<Set> {
        let v4 = |last: usize| Value::Ipv4(Ipv4Addr::from(0x0a00_0000 + u32::try_from(last).unwrap_or(0)));
        let mut sets = Vec::new();
        if numbers.below(5) != 0 {
            let hosts = (0..10).filter(|_| numbers.below(3) != 0).map(|host| Element::new(v4(host)));
            let set = Set::new("hosts", [DataType::Ipv4]).elements(hosts.collect::<Vec<_>>());
            sets.push(if numbers.one_in(6) { set.size(100) } else { set });
        }
        if numbers.below(5) != 0 {
            let set = Set::new("nets", [DataType::Ipv4]);
            let set = if numbers.one_in(4) { set.auto_merge() } else { set.interval() };
            let net = |from: usize, length: usize| Element::new(Interval { low: v4(from), high: v4(from + length) });
            let nets = (0..8).map(|slot| (slot * 8, numbers.below(9)));
            let mut nets: Vec<_> =
                nets.filter(|(_, length)| *length < 8).map(|(from, length)| net(from, length)).collect();
            if numbers.one_in(3) {
                let last = |number| Value::Ipv4(Ipv4Addr::from(number));
                nets.push(Element::new(Interval { low: last(0xff00_0000), high: last(u32::MAX) }));
            }
            sets.push(set.elements(nets));
        }
        if numbers.below(4) != 0 {
            let set = Set::new("marks", [DataType::Mark]);
            let set = if numbers.one_in(4) { set.interval() } else { set };
            let marks =
                (0..6).filter(|_| numbers.below(2) == 0).map(|mark| Element::new(Value::Mark(0x100 * mark + 3)));
            sets.push(set.elements(marks.collect::<Vec<_>>()));
        }
        if numbers.below(4) != 0 {
            let mut set = Set::new("ports", [DataType::Port]);
            if numbers.one_in(6) {
                set.flags |= SetFlags::CONSTANT;
            }
            for port in (1..6).map(|port| Element::new(Value::Port(port))) {
                set = match numbers.below(5) {
                    0 | 1 => set.elements([port]),
                    2 => set.elements([port.comment("one")]),
                    _ => set,
                };
            }
            sets.push(set);
        }
        if numbers.below(3) != 0 {
            let mut set = Set::new("pairs", [DataType::Ipv4, DataType::Port]);
            let ranges = numbers.below(3) != 0;
            if ranges {
                set = set.interval();
            }
            for slot in 0..5 {
                let port = Interval::point(Value::Port(80));
                let length = numbers.below(12);
                let high = if ranges { slot * 8 + length } else { slot * 8 };
                let part = Interval { low: v4(slot * 8), high: v4(high) };
                if length < 8 {
                    set = set.elements([Element::new(Key::Concat([part, port].into_iter().collect()))]);
                }
            }
            sets.push(set);
        }
        if numbers.below(3) != 0 {
            let element = |port, verdict| {
                let mut element = Element::new(Value::Port(port));
                element.data = Some(Box::new(ElementData::Verdict(verdict)));
                element
            };
            let mut elements = Vec::new();
            for port in 1..6 {
                match numbers.below(5) {
                    0 => elements.push(element(port, Verdict::Accept)),
                    1 => elements.push(element(port, Verdict::Drop)),
                    2 => elements.push(element(port, Verdict::Jump("r0".into()))),
                    _ => {}
                }
            }
            sets.push(Set::verdict_map("go", [DataType::Port]).elements(elements));
        }
        sets
    }
}

/// Major and minor number of the running kernel's version.
pub(crate) fn linux() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("every Linux has a release");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    (numbers.next().expect("a major number"), numbers.next().expect("a minor number"))
}

/// Returns the next bytes of a stream of numbers (Knuth's MMIX).
pub(crate) fn bytes(state: &mut u64, count: usize) -> Vec<u8> {
    let step = || {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes().first().copied().unwrap_or(0)
    };
    std::iter::repeat_with(step).take(count).collect()
}
