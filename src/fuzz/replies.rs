//! What the kernel answers to a batch.

use std::collections::BTreeSet;

use super::assert_one_line;
use crate::model::{
    Chain, ChainType, DataType, Element, Family, Hook, Limit, LimitUnit, Log, Priority, Rule, RuleHandle, Set, Table,
    TableId, Value, Verdict, set,
};
use crate::netlink::{self, Ack, Encoded, Ending, KnownSets, Lost};
use crate::plan::Transaction;

/// A datagram of acknowledgements: read or an error, and whatever they say of a batch becomes one
/// line.
pub fn replies(datagram: &[u8]) {
    let acks: Vec<Ack> = netlink::acks(datagram).map_while(Result::ok).collect();
    BATCH.with(|(transaction, known, encoded)| {
        let error = netlink::refused(transaction, known, encoded, &acks, (Lost::Some, &BTreeSet::new()));
        assert_one_line(&error.to_string());
        for refusal in error.refusals() {
            assert_one_line(&refusal.to_string());
            assert!(refusal.operation.is_none_or(|index| index < transaction.operations().len()), "{refusal:?}");
        }
    });
}

thread_local! {
    static BATCH: (Transaction, KnownSets, Encoded) = batch();
}

/// One operation of most kinds; sequence numbers count from 1.
fn batch() -> (Transaction, KnownSets, Encoded) {
    let ports = Set::new("ports", [DataType::Port]).elements([Value::Port(80), Value::Port(443)]);
    let marks = Set::verdict_map("marks", [DataType::Mark])
        .elements([Element::new(Value::Mark(1)).verdict(Verdict::Jump("sub".into()))]);
    let rules = [
        Rule::new().tcp_dport(set("ports")).counter().jump("sub"),
        Rule::new().udp_dport([53, 5353]).log(Log::default().prefix("dns")).limit(Limit::packets(9, LimitUnit::Day)),
        Rule::new().skuid(1337).comment("the proxy").reject(),
    ];
    let table = Table::new(Family::Inet, "mesh")
        .set(ports)
        .set(marks)
        .chain(Chain::regular("sub"))
        .chain(Chain::base("in", ChainType::Filter, Hook::Input, Priority::FILTER).rules(rules));
    let id = TableId::from(&table);
    let chain = id.chain("in");
    let transaction = Transaction::new()
        .create(table)
        .delete_rule(&chain, RuleHandle(7))
        .replace_rule(&chain, RuleHandle(8), Rule::new().notrack())
        .flush_chain(&id.chain("sub"))
        .delete_chain(&id.chain("sub"))
        .delete_set(&id.set("marks"))
        .flush_table(&id)
        .delete_table(&id);
    let known = KnownSets::of(&transaction);
    let encoded = netlink::encode(&transaction, &known, Ending::AcknowledgedEnd, 1).expect("a fixed batch");
    (transaction, known, encoded)
}
