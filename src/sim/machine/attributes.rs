//! Every attribute of every expression is obeyed, ends in "cannot tell", or has a reason here why
//! it does not affect the packet.
//!
//! An expression or attribute cannot be added without such a decision, because [`sample`] and
//! [`changes`] destructure all of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::tests::exprs;
use super::{Machine, Ran};
use crate::bytecode::{
    AnonymousSet, BitwiseCode, Bytes, CmpOp, CtKey, ElementCode, ElementDataCode, ElementExtras, Expr, FibFlags,
    FibResult, LimitCode, LogCode, LookupSet, MetaKey, NatCode, PayloadBase, QueueCode, Register, RegisterRange,
    RejectCode, SetCode, SocketKey, TproxyCode,
};
use crate::model::{Family, Hook, IpFamily, NatKind, TableId, Verdict};
use crate::sim::cells::{Cell, Registers};
use crate::sim::devices::is_harmless;
use crate::sim::fib::FibAnswer;
use crate::sim::flow::{Flow, Tracking};
use crate::sim::packet::{Interface, Packet, Receiver};
use crate::sim::rules::{RuleCode, op};
use crate::sim::situation::Situation;
use crate::state::TableState;

/// Attributes that do not affect the packet.
const NOTHING: &[(&str, &str)] = &[
    ("counter packets", "how often it was met"),
    ("counter bytes", "how much was met"),
    ("limit unit", "how fast the bucket fills: a walk takes only what the bucket holds"),
    ("limit rate", "of packets, how fast the bucket fills"),
    ("log prefix", "what is written"),
    ("log level", "where it is written"),
    ("log group", "who gets it"),
    ("log snaplen", "how much is copied"),
    ("log queue_threshold", "how much is collected"),
    ("log flags", "what is written"),
    ("nat flags", "that an address or a port is given, the registers say"),
    ("redir flags", "that a port is given, the registers say"),
    ("masq flags", "that a port is given, the registers say"),
    ("Last is_set", "when it was met"),
    ("Last msecs", "when it was met"),
    ("set key_type", "a name for people"),
    ("set size", "how many elements may come"),
    ("set timeout", "elements that are there are there"),
    ("set gc_interval", "elements that are there are there"),
    ("set userdata", "for people"),
    ("set policy", "in what it is kept"),
    ("set object", "of elements that are looked up by another expression"),
    ("set exprs", "of elements that come later"),
    ("set data", "the elements have their own"),
    ("set order", "how they are listed"),
    ("element timeout", "elements that are there are there"),
    ("element userdata", "for people"),
    ("element key_end", "of a set without intervals"),
];

const R1: Register = Register::FIRST;
const R2: Register = Register::SECOND;

fn bytes(bytes: &[u8]) -> Bytes {
    Bytes::from_slice(bytes)
}

/// Returns an expression of the kind that follows this one's.
fn sample(after: Option<&Expr>) -> Option<Expr> {
    let one = |min| RegisterRange { min: Some(min), max: None };
    Some(match after {
        None => Expr::Bitwise(BitwiseCode { reg: R1, mask: bytes(&[0xf0; 4]), xor: bytes(&[1; 4]) }),
        Some(Expr::Bitwise(_)) => Expr::Byteorder { reg: R1, len: 4 },
        Some(Expr::Byteorder { .. }) => Expr::Cmp { sreg: R1, op: CmpOp::Eq, data: bytes(&filling()[..4]) },
        Some(Expr::Cmp { .. }) => Expr::Counter { packets: 0, bytes: 0 },
        Some(Expr::Counter { .. }) => Expr::Ct { key: CtKey::MARK, dreg: R1 },
        Some(Expr::Ct { .. }) => Expr::CtSet { key: CtKey::MARK, sreg: R1 },
        Some(Expr::CtSet { .. }) => Expr::Fib { result: FibResult::ADDRTYPE, flags: FibFlags::DADDR, dreg: R1 },
        Some(Expr::Fib { .. }) => Expr::Immediate { dreg: R1, data: bytes(&[9; 4]) },
        Some(Expr::Immediate { .. }) => Expr::Limit(LimitCode { rate: 10, unit: 1, burst: 100, kind: 1, flags: 0 }),
        Some(Expr::Limit(_)) => Expr::Log(LogCode::default()),
        Some(Expr::Log(_)) => {
            Expr::Lookup { sreg: R1, dreg: Some(R2), set: LookupSet::Anonymous(Box::new(set())), inverted: false }
        }
        Some(Expr::Lookup { .. }) => Expr::Masq { ports: one(R1), flags: 2 },
        Some(Expr::Masq { .. }) => Expr::Meta { key: MetaKey::MARK, dreg: R1 },
        Some(Expr::Meta { .. }) => Expr::MetaSet { key: MetaKey::MARK, sreg: R1 },
        Some(Expr::MetaSet { .. }) => Expr::Nat(NatCode {
            kind: NatKind::Snat,
            family: Some(IpFamily::Ipv4),
            addresses: one(R1),
            ports: one(R2),
            flags: 0,
        }),
        Some(Expr::Nat(_)) => Expr::Notrack,
        Some(Expr::Notrack) => Expr::Opaque { name: "x".into(), data: Box::default(), set: None },
        Some(Expr::Opaque { .. }) => Expr::Payload { base: PayloadBase::NETWORK, offset: 12, len: 4, dreg: R1 },
        Some(Expr::Payload { .. }) => Expr::Queue(QueueCode { num: 1, total: 1, flags: 0 }),
        Some(Expr::Queue(_)) => Expr::Range { sreg: R1, op: CmpOp::Eq, low: bytes(&[0; 4]), high: bytes(&[0xff; 4]) },
        Some(Expr::Range { .. }) => Expr::Redir { ports: one(R1), flags: 2 },
        Some(Expr::Redir { .. }) => Expr::Reject(RejectCode { kind: 0, code: 1 }),
        Some(Expr::Reject(_)) => Expr::Socket { key: SocketKey::TRANSPARENT, dreg: R1 },
        Some(Expr::Socket { .. }) => {
            Expr::Tproxy(TproxyCode { family: Some(IpFamily::Ipv4), address: Some(R1), port: Some(R2) })
        }
        Some(Expr::Tproxy(_)) => Expr::Verdict(Verdict::Accept),
        // The last of this list; the others are made from their table.
        Some(_) => return None,
    })
}

/// Returns one of each kind.
fn samples() -> Vec<Expr> {
    let first = std::iter::successors(sample(None), |last| sample(Some(last)));
    first.chain(exprs::all()).collect()
}

/// Returns changed copies of an expression, each with the name of the changed attribute.
fn changes(expr: &Expr) -> Vec<(&'static str, Expr)> {
    let mut all: Vec<(&'static str, Expr)> = Vec::new();
    macro_rules! change {
        ($name:literal, $changed:expr) => {
            all.push(($name, $changed))
        };
    }
    match expr.clone() {
        Expr::Bitwise(code) => {
            let BitwiseCode { reg: _, mask: _, xor: _ } = &code;
            change!("bitwise reg", Expr::Bitwise(BitwiseCode { reg: R2, ..code.clone() }));
            change!("bitwise mask", Expr::Bitwise(BitwiseCode { mask: bytes(&[0x0f; 4]), ..code.clone() }));
            change!("bitwise xor", Expr::Bitwise(BitwiseCode { xor: bytes(&[2; 4]), ..code }));
        }
        Expr::Byteorder { reg, len } => {
            change!("byteorder reg", Expr::Byteorder { reg: R2, len });
            change!("byteorder len", Expr::Byteorder { reg, len: 2 });
        }
        Expr::Cmp { sreg, op, data } => {
            change!("cmp sreg", Expr::Cmp { sreg: R2, op, data: data.clone() });
            for op in [CmpOp::Ne, CmpOp::Lt, CmpOp::Gt] {
                change!("cmp op", Expr::Cmp { sreg, op, data: data.clone() });
            }
            change!("cmp data", Expr::Cmp { sreg, op, data: bytes(&[3; 4]) });
        }
        Expr::Counter { packets, bytes } => {
            change!("counter packets", Expr::Counter { packets: 7, bytes });
            change!("counter bytes", Expr::Counter { packets, bytes: 7 });
        }
        Expr::Ct { key, dreg } => {
            for key in (0..40).map(CtKey).filter(|other| *other != key) {
                change!("ct key", Expr::Ct { key, dreg });
            }
            change!("ct dreg", Expr::Ct { key, dreg: R2 });
        }
        Expr::CtSet { key, sreg } => {
            for key in (0..40).map(CtKey).filter(|other| *other != key) {
                change!("ct set key", Expr::CtSet { key, sreg });
            }
            change!("ct set sreg", Expr::CtSet { key, sreg: R2 });
        }
        Expr::Fib { result, flags, dreg } => {
            for flags in (0..256).map(FibFlags).filter(|other| *other != flags) {
                change!("fib flags", Expr::Fib { result, flags, dreg });
            }
            for result in (0..9).map(FibResult).filter(|other| *other != result) {
                change!("fib result", Expr::Fib { result, flags, dreg });
            }
            change!("fib dreg", Expr::Fib { result, flags, dreg: R2 });
        }
        Expr::Immediate { dreg, data } => {
            change!("immediate dreg", Expr::Immediate { dreg: R2, data });
            change!("immediate data", Expr::Immediate { dreg, data: bytes(&[8; 4]) });
        }
        Expr::Limit(code) => {
            let LimitCode { rate: _, unit: _, burst: _, kind: _, flags: _ } = code;
            change!("limit unit", Expr::Limit(LimitCode { unit: 60, ..code }));
            change!("limit burst", Expr::Limit(LimitCode { burst: 1, ..code }));
            for kind in [2, 3] {
                change!("limit kind", Expr::Limit(LimitCode { kind, ..code }));
            }
            for flags in [1, 2] {
                change!("limit flags", Expr::Limit(LimitCode { flags, ..code }));
            }
            change!("limit bytes rate", Expr::Limit(LimitCode { rate: 1, burst: 50, ..code }));
            change!("limit rate", Expr::Limit(LimitCode { rate: 20, ..code }));
        }
        Expr::Log(code) => {
            let LogCode { prefix: _, level: _, group: _, snaplen: _, queue_threshold: _, flags: _ } = &code;
            change!("log prefix", Expr::Log(LogCode { prefix: Some("x".into()), ..code.clone() }));
            change!("log level", Expr::Log(LogCode { level: Some(1), ..code.clone() }));
            change!("log group", Expr::Log(LogCode { group: Some(1), ..code.clone() }));
            change!("log snaplen", Expr::Log(LogCode { snaplen: Some(1), ..code.clone() }));
            change!("log queue_threshold", Expr::Log(LogCode { queue_threshold: Some(1), ..code.clone() }));
            change!("log flags", Expr::Log(LogCode { flags: 1, ..code }));
        }
        Expr::Lookup { sreg, dreg, set, inverted } => {
            change!("lookup sreg", Expr::Lookup { sreg: R2, dreg, set: set.clone(), inverted });
            change!("lookup dreg", Expr::Lookup { sreg, dreg: None, set: set.clone(), inverted });
            change!("lookup inverted", Expr::Lookup { sreg, dreg, set: set.clone(), inverted: !inverted });
            let named = LookupSet::Named("missing".into());
            change!("lookup set", Expr::Lookup { sreg, dreg, set: named, inverted });
            let LookupSet::Anonymous(set) = set else { return all };
            for (name, set) in set_changes(&set) {
                all.push((name, Expr::Lookup { sreg, dreg, set: LookupSet::Anonymous(Box::new(set)), inverted }));
            }
        }
        Expr::Masq { ports, flags } => {
            for (name, ports) in ranges(ports) {
                change!("masq ports", Expr::Masq { ports, flags });
                let _ = name;
            }
            for flags in [6, 10, 18, 34, 0x82] {
                change!("masq kinds of flags", Expr::Masq { ports, flags });
            }
            change!("masq flags", Expr::Masq { ports, flags: 3 });
        }
        Expr::Meta { key, dreg } => {
            for key in (0..64).map(MetaKey).filter(|other| *other != key) {
                change!("meta key", Expr::Meta { key, dreg });
            }
            change!("meta dreg", Expr::Meta { key, dreg: R2 });
        }
        Expr::MetaSet { key, sreg } => {
            for key in (0..64).map(MetaKey).filter(|other| *other != key) {
                change!("meta set key", Expr::MetaSet { key, sreg });
            }
            change!("meta set sreg", Expr::MetaSet { key, sreg: R2 });
        }
        Expr::Nat(code) => {
            let NatCode { kind: _, family: _, addresses, ports, flags: _ } = code;
            change!("nat kind", Expr::Nat(NatCode { kind: NatKind::Dnat, ..code }));
            change!("nat family", Expr::Nat(NatCode { family: Some(IpFamily::Ipv6), ..code }));
            for (_, addresses) in ranges(addresses) {
                change!("nat addresses", Expr::Nat(NatCode { addresses, ..code }));
            }
            for (_, ports) in ranges(ports) {
                change!("nat ports", Expr::Nat(NatCode { ports, ..code }));
            }
            for flags in [4, 8, 16, 32, 64, 128] {
                change!("nat kinds of flags", Expr::Nat(NatCode { flags, ..code }));
            }
            change!("nat flags", Expr::Nat(NatCode { flags: 1, ..code }));
        }
        Expr::Notrack => {}
        Expr::Opaque { name, data, set } => {
            change!("opaque name", Expr::Opaque { name: "y".into(), data: data.clone(), set: set.clone() });
            change!("opaque data", Expr::Opaque { name: name.clone(), data: [1].into(), set });
            change!("opaque set", Expr::Opaque { name, data, set: Some(Box::new(self::set())) });
        }
        Expr::Payload { base, offset, len, dreg } => {
            for base in (0..9).map(PayloadBase).filter(|other| *other != base) {
                change!("payload base", Expr::Payload { base, offset, len, dreg });
            }
            for offset in (0..60).filter(|other| *other != offset) {
                change!("payload offset", Expr::Payload { base, offset, len, dreg });
            }
            for len in [1, 2, 8, 200] {
                change!("payload len", Expr::Payload { base, offset, len, dreg });
            }
            change!("payload dreg", Expr::Payload { base, offset, len, dreg: R2 });
        }
        Expr::Queue(code) => {
            let QueueCode { num: _, total: _, flags: _ } = code;
            change!("queue num", Expr::Queue(QueueCode { num: 2, ..code }));
            change!("queue total", Expr::Queue(QueueCode { total: 2, ..code }));
            change!("queue flags", Expr::Queue(QueueCode { flags: 1, ..code }));
        }
        Expr::Range { sreg, op, low, high } => {
            let other =
                |sreg, op, low: &Bytes, high: &Bytes| Expr::Range { sreg, op, low: low.clone(), high: high.clone() };
            for op in [CmpOp::Ne, CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge] {
                change!("range op", other(sreg, op, &low, &high));
            }
            change!("range low", other(sreg, op, &bytes(&[0xf0; 4]), &high));
            change!("range high", other(sreg, op, &low, &bytes(&[0; 4])));
            // A register that does not exist.
            change!("range sreg", other(Register(99), op, &low, &high));
        }
        Expr::Redir { ports, flags } => {
            for (_, ports) in ranges(ports) {
                change!("redir ports", Expr::Redir { ports, flags });
            }
            for flags in [6, 10, 18, 34, 0x82] {
                change!("redir kinds of flags", Expr::Redir { ports, flags });
            }
            change!("redir flags", Expr::Redir { ports, flags: 3 });
        }
        Expr::Reject(code) => {
            let RejectCode { kind: _, code: _ } = code;
            change!("reject kind", Expr::Reject(RejectCode { kind: 2, ..code }));
            change!("reject code", Expr::Reject(RejectCode { code: 2, ..code }));
        }
        Expr::Socket { key, dreg } => {
            for key in (0..9).map(SocketKey).filter(|other| *other != key) {
                change!("socket key", Expr::Socket { key, dreg });
            }
            change!("socket dreg", Expr::Socket { key, dreg: R2 });
        }
        Expr::Tproxy(code) => {
            let TproxyCode { family: _, address: _, port: _ } = code;
            change!("tproxy family", Expr::Tproxy(TproxyCode { family: Some(IpFamily::Ipv6), ..code }));
            change!("tproxy address", Expr::Tproxy(TproxyCode { address: None, ..code }));
            change!("tproxy port", Expr::Tproxy(TproxyCode { port: Some(R1), ..code }));
        }
        Expr::Verdict(_) => {
            let jump = |name: &str| Verdict::Jump(name.into());
            for verdict in [Verdict::Continue, Verdict::Drop, Verdict::Return, jump("x"), Verdict::Goto("x".into())] {
                change!("verdict", Expr::Verdict(verdict));
            }
        }
        expr => all = exprs::changes(&expr),
    }
    all
}

fn ranges(range: RegisterRange) -> Vec<(&'static str, RegisterRange)> {
    let RegisterRange { min, max } = range;
    let other = Some(if min == Some(R1) { R2 } else { R1 });
    vec![("min", RegisterRange { min: other, max }), ("max", RegisterRange { min, max: other })]
}

/// Maps the value of the register to 7.
fn set() -> AnonymousSet {
    let element = ElementCode {
        key: bytes(&filling()[..4]),
        data: Some(Box::new(ElementDataCode::Value(bytes(&[7; 4])))),
        ..ElementCode::default()
    };
    let code = SetCode { key_len: 4, flags: 8, data: Some((0, 4)), ..SetCode::default() };
    AnonymousSet { code, elements: vec![element], order: Vec::new() }
}

fn set_changes(set: &AnonymousSet) -> Vec<(&'static str, AnonymousSet)> {
    let AnonymousSet { code, elements, order: _ } = set;
    let SetCode {
        flags: _,
        key_type: _,
        key_len: _,
        data: _,
        fields: _,
        size: _,
        timeout: _,
        gc_interval: _,
        userdata: _,
        policy: _,
        object: _,
        exprs: _,
        opaque: _,
    } = code;
    let mut all = Vec::new();
    let mut declared = |name, change: &dyn Fn(&mut SetCode)| {
        let mut changed = set.clone();
        change(&mut changed.code);
        all.push((name, changed));
    };
    declared("set key_type", &|code| code.key_type = 9);
    declared("set key_len", &|code| code.key_len = 2);
    declared("set data", &|code| code.data = Some((1, 2)));
    declared("set size", &|code| code.size = Some(1));
    declared("set timeout", &|code| code.timeout = Some(1));
    declared("set gc_interval", &|code| code.gc_interval = Some(1));
    declared("set userdata", &|code| code.userdata = vec![1]);
    declared("set policy", &|code| code.policy = 1);
    declared("set object", &|code| code.object = Some(1));
    declared("set exprs", &|code| code.exprs = vec![Expr::Notrack]);
    declared("set opaque", &|code| code.opaque = vec![1]);
    // Intervals of fields of 2 bytes each.
    declared("set flags and fields", &|code| (code.flags, code.fields) = (4, vec![2, 2]));
    all.push(("set order", AnonymousSet { order: vec![0], ..set.clone() }));
    let Some(element) = elements.first() else { return all };
    let ElementCode { key: _, key_end: _, flags: _, data: _, timeout: _, userdata: _, extras: _ } = element;
    let mut of_element = |name, change: &dyn Fn(&mut ElementCode)| {
        let mut changed = set.clone();
        changed.elements.iter_mut().for_each(change);
        all.push((name, changed));
    };
    of_element("element key", &|element| element.key = bytes(&[3; 4]));
    of_element("element key_end", &|element| element.key_end = Some(bytes(&[0xff; 4])));
    of_element("element flags", &|element| element.flags = 4);
    of_element("element data", &|element| element.data = None);
    of_element("element value", &|element| {
        element.data = Some(Box::new(ElementDataCode::Verdict(Verdict::Drop)));
    });
    of_element("element timeout", &|element| element.timeout = Some(1));
    of_element("element userdata", &|element| element.userdata = vec![1]);
    let ElementExtras { exprs: _, object: _, opaque: _ } = ElementExtras::default();
    let extras =
        |extras: ElementExtras| move |element: &mut ElementCode| element.extras = Some(Box::new(extras.clone()));
    let limit = Expr::Limit(LimitCode { rate: 1, unit: 1, burst: 0, kind: 0, flags: 0 });
    of_element("element exprs", &extras(ElementExtras { exprs: vec![limit], ..ElementExtras::default() }));
    of_element("element object", &extras(ElementExtras { object: Some("x".into()), ..ElementExtras::default() }));
    of_element("element opaque", &extras(ElementExtras { opaque: vec![1], ..ElementExtras::default() }));
    all
}

/// Returns bytes of which no two are the same.
fn filling() -> [u8; 64] {
    std::array::from_fn(|at| u8::try_from(at).unwrap_or(0) * 3 + 1)
}

/// Everything that a run can leave behind.
#[derive(Debug, PartialEq)]
struct Left {
    ran: Ran,
    flow: Flow,
    registers: Vec<Cell>,
}

fn beginning(tracking: Tracking) -> (Flow, Situation) {
    let mut packet: Packet = "tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1001 cgroup 5 mark 0x9 flags syn,ack"
        .parse()
        .expect("a packet");
    packet.bytes.network = (0x40..0x54).map(Some).collect();
    packet.bytes.transport = (0x80..0x94).map(Some).collect();
    let mut situation = Situation::new(packet);
    situation.incoming = Some(Interface::new(3, "eth1"));
    situation.outgoing = Some(Interface::new(2, "eth0"));
    situation.receiver = Some(Receiver { transparent: true, mark: 77, ..Receiver::default() });
    (situation.connection.mark, situation.connection.zone) = (0x55, 6);
    let saddr = FibFlags::SADDR;
    situation.fib = vec![FibAnswer::new(FibResult::ADDRTYPE, saddr, [5, 0, 0, 0])];
    let mut flow = Flow::new(&situation);
    flow.tracking = tracking;
    (flow, situation)
}

/// Runs an expression with filled registers; `None` if the result is not known.
fn run(expr: &Expr, tracking: Tracking) -> Option<Left> {
    let (mut flow, mut situation) = beginning(tracking);
    let line = Arc::new(crate::sim::rules::RuleLine::without_text(TableId::new(Family::Inet, "t").chain("c")));
    let code = RuleCode { ops: [op(expr.clone(), Family::Inet, &HashMap::new())].into(), line };
    let mut machine = Machine::new(Hook::Forward, &mut situation, &mut flow);
    machine.registers = Registers::new();
    machine.registers.store(R1, filling().map(Cell::Known).into_iter()).expect("64 bytes");
    let ran = machine.run(&code).ok()?;
    let registers = machine.registers.read(R1, 64).expect("64 bytes").to_vec();
    Some(Left { ran, flow, registers })
}

#[test]
fn every_attribute_is_obeyed_or_unknown_or_has_a_reason() {
    let mut excused = BTreeSet::new();
    let mut tried = 0;
    for expr in samples() {
        for (attribute, changed) in changes(&expr) {
            assert_ne!(expr, changed, "{attribute}");
            tried += 1;
            let is_seen = [Tracking::Before, Tracking::Tracked, Tracking::Untracked].into_iter().any(|tracking| {
                let after = run(&changed, tracking);
                after.is_none() || after != run(&expr, tracking)
            });
            match NOTHING.iter().find(|(name, _)| *name == attribute) {
                Some((name, reason)) => {
                    assert!(!is_seen, "{attribute} is obeyed, and listed as nothing to a packet: {reason}");
                    excused.insert(*name);
                }
                None => assert!(is_seen, "{attribute}: {expr:?} and {changed:?} are walked alike"),
            }
        }
    }
    let listed: BTreeSet<&str> = NOTHING.iter().map(|(name, _)| *name).collect();
    assert_eq!(excused, listed, "a reason for an attribute that is not there");
    assert!(tried > 500, "{tried}");
}

/// Chains of devices that packets may skip consist of these: see [`is_harmless`].
#[test]
fn expressions_considered_harmless_change_no_packet() {
    let table = TableState::bare(TableId::new(Family::Netdev, "t"), 0);
    let mut harmless = 0;
    for expr in samples() {
        let all = std::iter::once(("as it is", expr.clone())).chain(changes(&expr));
        for (attribute, expr) in all.filter(|(_, expr)| is_harmless(&table, expr)) {
            harmless += 1;
            for tracking in [Tracking::Before, Tracking::Tracked, Tracking::Untracked] {
                let Some(Left { ran, flow, registers: _ }) = run(&expr, tracking) else { continue };
                let (before, _) = beginning(tracking);
                let asked = Flow { tracking: flow.tracking, ..before };
                assert_eq!(flow, asked, "{attribute}: {expr:?}");
                let is_let_through = match &ran {
                    Ran::Broke { at: _ } | Ran::Through => true,
                    Ran::Verdict(verdict) => *verdict != Verdict::Drop,
                    Ran::Queue(_) | Ran::Reject(_) | Ran::Translated => false,
                };
                assert!(is_let_through, "{attribute}: {expr:?} ends in {ran:?}");
            }
        }
    }
    assert!(harmless > 400, "{harmless}");
}
