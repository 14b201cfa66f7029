//! Sets and their elements.

use std::time::Duration;

use super::made::*;
use crate::model::*;

pub(super) fn cases() -> Vec<(Ruleset, &'static str)> {
    let two = |a: Interval, b: Interval| {
        Set::new("s", [DataType::Port, DataType::Port]).interval().elements([[a.clone(), a], [b.clone(), b]])
    };
    let zero = Duration::ZERO;
    vec![
        // Sets.
        (with(Set::new("s", [])), "set inet t/s: a key has 1 to 64 bytes, each part padded to 4; this one has 0"),
        (
            with(Set::new("s", [DataType::Ipv6, DataType::Ipv6, DataType::Ipv6, DataType::Ipv6, DataType::Port])),
            "set inet t/s: a key has 1 to 64 bytes, each part padded to 4; this one has 68",
        ),
        (
            with(port_set().elements([Value::Mark(1)])),
            "element 1 of set inet t/s: expected a value of type inet_service, found mark",
        ),
        (
            with(port_set().elements([[Value::Port(1), Value::Port(2)]])),
            "element 1 of set inet t/s: has 2 parts, but the key of the set has 1",
        ),
        (
            with(port_set().elements([ports(1, 2)])),
            "element 1 of set inet t/s: is more than one value, but the set has no intervals; add .interval()",
        ),
        (
            with(Set::new("s", [DataType::Ifname]).elements([Value::Ifname("veth*".into())])),
            "element 1 of set inet t/s: is more than one value, but the set has no intervals; add .interval()",
        ),
        (
            with(port_set().interval().elements([ports(2, 1)])),
            "element 1 of set inet t/s: the range ends before it starts; swap its ends",
        ),
        (
            with(port_set().interval().elements([ports(1, 5), ports(3, 7)])),
            "element 2 of set inet t/s: overlaps element 1; merge them or use .auto_merge()",
        ),
        (
            with(port_set().interval().elements([ports(9, 9), ports(3, 9)])),
            "element 2 of set inet t/s: overlaps element 1; merge them or use .auto_merge()",
        ),
        (
            with(Set::new("s", [DataType::Ipv4]).interval().elements([
                v4("10.0.0.1").into(),
                Key::from("10.0.0.0/8".parse::<ipnetwork::IpNetwork>().expect("a network")),
            ])),
            "element 2 of set inet t/s: overlaps element 1; merge them or use .auto_merge()",
        ),
        (
            with(
                Set::new("s", [DataType::Ifname])
                    .interval()
                    .elements([Value::Ifname("eth0".into()), Value::Ifname("eth*".into())]),
            ),
            "element 2 of set inet t/s: overlaps element 1; merge them or use .auto_merge()",
        ),
        (
            with(port_set().auto_merge().elements([ports(1, 5).into(), Element::new(ports(3, 7)).comment("why")])),
            "element 2 of set inet t/s: overlaps element 1; merge them",
        ),
        (with(two(ports(1, 5), ports(2, 3))), "element 2 of set inet t/s: overlaps element 1; merge them"),
        (with(two(ports(2, 3), ports(1, 5))), "element 2 of set inet t/s: overlaps element 1; merge them"),
        (with(two(ports(3, 5), ports(1, 3))), "element 2 of set inet t/s: overlaps element 1; merge them"),
        (
            with(
                Set::map("s", [DataType::Port], DataType::Mark)
                    .elements([port(1).value(Value::Mark(1)), port(1).value(Value::Mark(2))]),
            ),
            "element 2 of set inet t/s: has the key of element 1 and other data; keep one of them",
        ),
        (
            with(Set::map("s", [DataType::Port, DataType::Port], DataType::Mark).elements([
                Element::new([Value::Port(1), Value::Port(1)]).value(Value::Mark(1)),
                Element::new([Value::Port(1), Value::Port(1)]).value(Value::Mark(2)),
            ])),
            "element 2 of set inet t/s: has the key of element 1 and other data; keep one of them",
        ),
        (
            with(Set::map("s", [DataType::Port], DataType::Mark).elements([port(1)])),
            "element 1 of set inet t/s: has no data, but the elements of a map need mark",
        ),
        (
            with(Set::map("s", [DataType::Port], DataType::Mark).elements([port(1).verdict(Verdict::Drop)])),
            "element 1 of set inet t/s: has a verdict as data, but should have mark",
        ),
        (
            with(port_set().elements([port(1).value(Value::Mark(1))])),
            "element 1 of set inet t/s: has mark as data, but should have nothing",
        ),
        (
            with(port_set().elements([port(1).timeout(Duration::from_secs(5))])),
            "element 1 of set inet t/s: has a timeout, but the elements of the set never expire; add .timeout() to the set",
        ),
        (with(port_set().timeout(zero)), "set inet t/s: the timeout must be between 1 millisecond and 584 years"),
        (with(port_set().size(1).elements([port(1), port(2)])), "set inet t/s: has 2 elements, but its size is 1"),
        (
            with(Set::map("s", [DataType::Port], DataType::Mark).auto_merge()),
            "set inet t/s: the intervals of a map cannot be merged; drop auto-merge",
        ),
        (
            with(flagged(SetFlags::empty(), Some(Duration::from_secs(5)))),
            "set inet t/s: has a timeout or gc interval without the timeout flag; use .timeout()",
        ),
        (
            with(flagged(SetFlags::CONSTANT | SetFlags::TIMEOUT, None)),
            "set inet t/s: elements that never change cannot expire; drop one flag",
        ),
        (
            with(flagged(SetFlags::DYNAMIC | SetFlags::INTERVAL, None)),
            "set inet t/s: rules cannot add to intervals; drop one flag",
        ),
    ]
}

fn flagged(flags: SetFlags, timeout: Option<Duration>) -> Set {
    Set { flags, timeout, ..port_set() }
}
