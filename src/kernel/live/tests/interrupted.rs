//! Signals arrive continuously while long messages are sent and read.

use super::super::*;
use crate::kernel::watch::Watch;
use crate::model::{Chain, DataType, Element, Interval, Rule, Ruleset, Table, Value};
use crate::plan::diff;
use crate::state::Event;
use crate::sys::signal::interrupted;
use crate::testing::{in_namespace, nft};

/// Returns a rule set with many messages, whose dump has many datagrams.
fn long() -> Ruleset {
    let v4 = |address: u32| Value::Ipv4(address.into());
    let interval = |index: u32| Element::new(Interval { low: v4(8 * index), high: v4(8 * index + 3) });
    let set = Set::new("many", [DataType::Ipv4]).interval().elements((1..20_000).map(interval));
    let rule = |index: u32| Rule::new().ip_daddr(std::net::Ipv4Addr::from_bits(index)).counter().accept();
    let table = Table::new(Family::Ip, "long").set(set).chain(Chain::regular("c").rules((0..5_000).map(rule)));
    Ruleset::new().table(table)
}

#[test]
fn signals_during_a_long_commit_and_a_long_read_lose_nothing() {
    in_namespace(|| {
        let wanted = long();
        let (mut kernel, mut others) = (Kernel::open().expect("a socket"), Kernel::open().expect("a socket"));
        let mut watch = Watch::open().expect("a socket");
        watch.receive_buffer(64 << 20).expect("room for events");
        let (held, added) = interrupted(|signals| {
            let begun = signals();
            kernel.commit(&Transaction::replace(wanted.clone())).expect("committed");
            let sent = signals();
            let held = others.snapshot().expect("read");
            let read = signals();
            assert!(begun < sent && sent < read, "signals: {begun} {sent} {read}");
            assert!(others.apply(&wanted).expect("applied").was_in_sync());
            let mut added = 0;
            while let Some(event) = watch.try_next().expect("an event") {
                added += usize::from(matches!(event, Event::RuleAdded { .. }));
            }
            (held, added)
        });
        assert!(diff(&held, &wanted, &[]).expect("planned").is_empty());
        assert_eq!(added, 5_000, "every event arrives");
        let listed = nft("list ruleset");
        assert_eq!(listed.matches(" accept").count(), 5_000);
        assert_eq!(listed.matches("0.0.0.0-").count() + listed.matches("/30").count(), 19_999);
    });
}

#[test]
fn signals_do_not_cut_a_refusal() {
    in_namespace(|| {
        let table = TableId::new(Family::Ip, "long");
        let mut kernel = Kernel::open().expect("a socket");
        let fill = Transaction::replace(long());
        let wrong = (0..1_000).fold(fill, |plan, _| plan.add_rule(&table.chain("nope"), Rule::new()));
        let error = interrupted(|_| kernel.commit(&wrong)).expect_err("no such chain");
        assert!(!error.refusals().is_empty(), "{error}");
        assert_eq!(nft("list ruleset"), "");
    });
}
