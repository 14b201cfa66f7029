//! What a program asks that was written from the documentation alone: elements of maps by key,
//! times that are left, and the rules and elements of events.

mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use nftmesh::prelude::*;
use support::{in_fresh_netns, nft, nft_script};

fn table() -> TableId {
    TableId::new(Family::Inet, "t")
}

const MAPS: &str = "table inet t {
    chain web { }
    map verdicts { type ipv4_addr : verdict; elements = { 10.0.0.1 : jump web, 10.0.0.2 : drop, 10.0.0.3 : accept }; }
    map marks { type ipv4_addr . inet_service : mark; elements = { 10.0.0.1 . 80 : 7, 10.0.0.2 . 80 : 8 }; }
    map ranges { type ipv4_addr : verdict; flags interval; elements = { 10.0.0.0/24 : drop, 10.0.2.0/24 : accept }; }
}";

/// Deletes, and destroys, elements of maps by their keys.
fn by_key(kernel: &mut impl Nftables) -> Result<()> {
    let (one, two) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let verdicts = table().set("verdicts");
    let range: Ipv4Network = "10.0.0.0/24".parse().expect("a prefix");
    kernel.commit(
        &Transaction::new()
            .delete_elements(&verdicts, [one])
            .delete_chain(&table().chain("web"))
            .delete_elements(&table().set("marks"), [(one, 80_u16)])
            .delete_elements(&table().set("ranges"), [range]),
    )?;
    // What an element maps to does not matter where it is deleted, as with nft.
    kernel.commit(&Transaction::new().delete_elements(&verdicts, [Element::new(two).verdict(Verdict::Accept)]))
}

#[test]
fn an_element_of_a_map_is_deleted_by_its_key() {
    in_fresh_netns(|| {
        nft_script(MAPS);
        let mut kernel = Kernel::open().expect("a socket");
        let mut fake = Fake::from(kernel.snapshot().expect("a snapshot"));
        by_key(&mut kernel).expect("committed");
        by_key(&mut fake).expect("committed");
        let listed = nft("list table inet t");
        assert!(listed.contains("elements = { 10.0.0.3 : accept }"), "{listed}");
        assert!(listed.contains("elements = { 10.0.0.2 . 80 : 0x00000008 }"), "{listed}");
        assert!(listed.contains("elements = { 10.0.2.0/24 : accept }"), "{listed}");
        for name in ["verdicts", "marks", "ranges"] {
            let set = table().set(name);
            assert_eq!(fake.set(&set).expect("an answer"), kernel.set(&set).expect("an answer"), "{listed}");
        }
        // One that may be absent.
        let gone = [Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 3)];
        let destroy = Transaction::new().destroy_elements(&table().set("verdicts"), gone);
        kernel.commit(&destroy).expect("committed");
        let set = kernel.set(&table().set("verdicts")).expect("an answer").expect("the map stays");
        assert_eq!(set.elements, []);
    });
}

#[test]
fn an_element_that_a_map_gets_needs_what_it_maps_to() {
    in_fresh_netns(|| {
        nft_script(MAPS);
        let mut kernel = Kernel::open().expect("a socket");
        let add = Transaction::new().add_elements(&table().set("verdicts"), [Ipv4Addr::new(10, 0, 0, 7)]);
        let error = kernel.commit(&add).expect_err("no verdict");
        let text = "element 1 of set inet t/verdicts: has no data, but the elements of a map need a verdict";
        assert!(error.is_invalid() && error.to_string() == text, "{error}");
        assert_eq!(error.faults().len(), 1, "{error}");
    });
}

#[test]
fn an_element_that_does_not_fit_is_named() {
    in_fresh_netns(|| {
        nft_script(MAPS);
        let wrong = Transaction::new().delete_elements(&table().set("verdicts"), [80_u16]);
        let error = Kernel::open().expect("a socket").commit(&wrong).expect_err("a port is not an address");
        assert!(error.is_invalid() && error.to_string().contains("element 80"), "{error}");
    });
}

#[test]
fn a_snapshot_has_the_time_that_is_left_to_each_element() {
    in_fresh_netns(|| {
        nft_script(
            "table inet t {
                set plain { type ipv4_addr; flags timeout; elements = { 10.0.0.1 timeout 1h, 10.0.0.2 }; }
                set ranges { type ipv4_addr; flags interval,timeout; elements = { 10.0.0.0/24, 10.0.2.0/24 timeout 2h }; }
                set pairs { type ipv4_addr . inet_service; flags interval,timeout; elements = { 10.0.0.0/8 . 80 timeout 1h }; }
            }",
        );
        let mut kernel = Kernel::open().expect("a socket");
        let snapshot = kernel.snapshot().expect("a snapshot");
        let hours_of = |elements: &[(Element, Option<Duration>)]| {
            let hours = |left: Duration| left.as_secs().div_ceil(3600);
            let lines = elements.iter().map(|(element, left)| format!("{} {:?}", element.key, left.map(hours)));
            lines.collect::<Vec<_>>()
        };
        let hours = |set: &str| hours_of(&snapshot.elements(&table().set(set)).expect("there is such a set"));
        assert_eq!(hours("plain"), ["10.0.0.1 Some(1)", "10.0.0.2 None"]);
        assert_eq!(hours("ranges"), ["10.0.0.0/24 None", "10.0.2.0/24 Some(2)"]);
        assert_eq!(hours("pairs"), ["10.0.0.0/8 . 80 Some(1)"]);
        assert_eq!(snapshot.elements(&table().set("other")), None);
        for set in ["plain", "ranges", "pairs"] {
            let alone = kernel.elements(&table().set(set)).expect("an answer").expect("there is such a set");
            assert_eq!(hours_of(&alone), hours(set));
        }
        assert_eq!(kernel.elements(&table().set("other")).expect("an answer"), None);
    });
}

#[test]
fn an_event_has_its_rule_with_handle_and_its_elements() {
    in_fresh_netns(|| {
        nft_script(&format!("{MAPS}\nadd set inet t ports {{ type inet_service; flags interval; }}"));
        let mut kernel = Kernel::open().expect("a socket");
        let mut watch = kernel.watch().expect("a socket");
        nft_script(
            "add rule inet t web tcp dport 22 accept comment \"ssh\"
            add element inet t marks { 10.0.0.3 . 80 : 9 }
            add element inet t ports { 80-90 }
            delete element inet t verdicts { 10.0.0.2 : drop }",
        );
        let (mut rules, mut elements) = (Vec::new(), Vec::new());
        while let Some(event) = watch.try_next().expect("readable") {
            rules.extend(event.rule().map(|(handle, rule)| (handle, rule.to_string())));
            if let Event::ElementsAdded { set, .. } | Event::ElementsDeleted { set, .. } = &event {
                let declared = kernel.set(&table().set(set)).expect("an answer").expect("it is there");
                let found = event.elements(&declared).unwrap_or_default();
                elements.extend(found.iter().map(|element| format!("{set} {element}")));
                let other = Set::new("other", [DataType::Ipv4]);
                assert_eq!(event.elements(&other), None, "{event}");
            }
        }
        let held = kernel.rules(&table().chain("web")).expect("an answer").expect("there is such a chain");
        let held: Vec<_> = held.into_iter().map(|(handle, rule)| (handle, rule.to_string())).collect();
        assert_eq!(rules, held, "added, and no other event has a rule");
        assert_eq!(elements, ["marks 10.0.0.3 . 80 : 0x00000009", "verdicts 10.0.0.2 : drop"], "ports has intervals");
    });
}
