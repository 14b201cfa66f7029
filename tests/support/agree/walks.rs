//! Walks of one packet at one hook, in which a rule that cannot be told is left out when it decides
//! nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use nftmesh::bytecode::{CmpOp, Expr, Register};
use nftmesh::model::{ChainId, Hook, RuleHandle, TableId};
use nftmesh::sim::{End, Packet, Rules, Situation, Walk, walk_hook};
use nftmesh::state::Snapshot;

/// The rules of a kernel, complete or without some.
pub struct Walks {
    rules: Arc<Rules>,
    snapshot: Option<Snapshot>,
    finish: Finish,
    without: HashMap<BTreeSet<Left>, Arc<Rules>>,
    /// Rules with rates that earlier packets used: `inet t c: rule 3,`.
    limited: Vec<String>,
    /// Bytes after the network header of sent packets, of which a trace shows the first.
    pub sent: Vec<Vec<u8>>,
    /// Orders of chains that have one priority are not compared.
    pub is_unordered: bool,
}

/// Adds what is known of rules besides a snapshot.
pub type Finish = Arc<dyn Fn(Rules) -> Rules>;
/// A rule that is left out.
pub type Left = (TableId, RuleHandle);

impl Walks {
    /// Returns walks that never leave out a rule.
    pub fn whole(rules: Rules) -> Self {
        Walks {
            rules: Arc::new(rules),
            snapshot: None,
            finish: Arc::new(|rules| rules),
            without: HashMap::new(),
            limited: Vec::new(),
            sent: Vec::new(),
            is_unordered: false,
        }
    }

    /// `finish`: what else is known of the rules.
    pub fn of(snapshot: Snapshot, finish: &Finish) -> Self {
        let rules = finish(Rules::try_from(&snapshot).expect("rules of a kernel"));
        let limited = snapshot.tables.iter().flat_map(|table| {
            table.chains.iter().flat_map(|chain| {
                let is_it = |expr: &Expr| matches!(expr, Expr::Limit(_));
                let limited = (1..).zip(&chain.rules).filter(move |(_, rule)| rule.exprs.iter().any(is_it));
                limited.map(|(number, _)| format!("{}: rule {number},", table.id.chain(&chain.name)))
            })
        });
        let limited = limited.collect();
        Walks { snapshot: Some(snapshot), finish: Arc::clone(finish), limited, ..Walks::whole(rules) }
    }

    /// Whether the first decision that differs is one of a rule with a rate.
    pub fn is_of_rate(&self, kernel: &[String], simulator: &[String]) -> bool {
        let same = kernel.iter().zip(simulator).take_while(|(a, b)| a == b).count();
        let first = [kernel.get(same), simulator.get(same)];
        first.into_iter().flatten().any(|text| self.limited.iter().any(|rule| text.starts_with(rule)))
    }

    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Walks a packet, and returns the walk and the rules that were left out: `inet t c: rule 3,`.
    pub fn walk(&mut self, hook: Hook, situation: &Situation) -> (Walk, Vec<String>) {
        let (mut left, mut lines) = (BTreeSet::new(), Vec::new());
        loop {
            let rules = self.without(&left);
            let walk = walk_hook(&rules, hook, situation);
            let End::CannotTell(reason) = &walk.end else { return (walk, lines) };
            let Some(rule) = reason.rule() else { return (walk, lines) };
            let Some(handle) = rule.handle.filter(|handle| self.decides_nothing(&rule.chain, *handle)) else {
                return (walk, lines);
            };
            if !left.insert((rule.chain.table.clone(), handle)) {
                return (walk, lines);
            }
            lines.push(format!("{}: rule {},", rule.chain, rule.number));
        }
    }

    pub fn without(&mut self, left: &BTreeSet<Left>) -> Arc<Rules> {
        let (Some(snapshot), false) = (&self.snapshot, left.is_empty()) else { return Arc::clone(&self.rules) };
        let finish = Arc::clone(&self.finish);
        let made = || Arc::new(finish(Rules::try_from(&leave_out(snapshot.clone(), left)).expect("fewer rules")));
        Arc::clone(self.without.entry(left.clone()).or_insert_with(made))
    }

    /// Returns whether later rules and the outcome of a packet are the same with and without the
    /// rule.
    pub fn decides_nothing(&self, chain: &ChainId, handle: RuleHandle) -> bool {
        let Some(table) =
            self.snapshot.as_ref().and_then(|known| known.tables.iter().find(|known| known.id == chain.table))
        else {
            return false;
        };
        let rule = table.chains.iter().flat_map(|chain| &chain.rules).find(|rule| rule.handle == handle);
        rule.is_some_and(|rule| rule.exprs.iter().all(only_asks))
    }

    /// Completes the bytes of a packet whose first bytes are those of a sent one; returns whether
    /// it did.
    pub fn complete(&self, packet: &mut Packet) -> bool {
        let shown: Option<Vec<u8>> = packet.bytes.transport.iter().copied().collect();
        let Some(shown) = shown.filter(|shown| shown.len() >= SHOWN) else { return false };
        let mut sent = self.sent.iter().filter(|sent| sent.starts_with(&shown));
        let (Some(only), None) = (sent.next(), sent.next()) else { return false };
        packet.bytes.transport = only.iter().copied().map(Some).collect();
        true
    }
}

/// `NFT_TRACETYPE_TRANSPORT_HSIZE`, include/net/netfilter/nf_tables.h.
const SHOWN: usize = 20;

/// Replaces rules by ones that never match, so that the others keep their numbers.
pub fn leave_out(mut snapshot: Snapshot, left: &BTreeSet<Left>) -> Snapshot {
    for table in &mut snapshot.tables {
        let id = table.id.clone();
        for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            if left.contains(&(id.clone(), rule.handle)) {
                rule.exprs = vec![
                    Expr::Immediate { dreg: Register::FIRST, data: [0].as_slice().into() },
                    Expr::Cmp { sreg: Register::FIRST, op: CmpOp::Eq, data: [1].as_slice().into() },
                ];
                rule.opaque = Vec::new();
            }
        }
    }
    snapshot
}

/// Returns whether an expression only reads.
fn only_asks(expr: &Expr) -> bool {
    match expr {
        Expr::Bitwise(_) | Expr::Byteorder { .. } | Expr::Cmp { .. } | Expr::Counter { .. } | Expr::Ct { .. } => true,
        Expr::Fib { .. } | Expr::Immediate { .. } | Expr::Limit(_) | Expr::Log(_) | Expr::Meta { .. } => true,
        Expr::Payload { .. } | Expr::Range { .. } | Expr::Socket { .. } => true,
        Expr::BitwiseTo(_) | Expr::Shift(_) | Expr::Combine(_) | Expr::ByteorderTo(_) | Expr::CtDirected(_) => true,
        Expr::Connlimit(_) | Expr::Exthdr(_) | Expr::Inner(_) | Expr::Jhash(_) | Expr::Symhash(_) => true,
        Expr::Last(_) | Expr::Numgen(_) | Expr::Objref(_) | Expr::Osf(_) | Expr::Quota(_) | Expr::Rt(_) => true,
        Expr::SocketCgroup(_) | Expr::Tunnel(_) | Expr::Xfrm(_) => true,
        Expr::Lookup { dreg, .. } => dreg.is_none(),
        Expr::Opaque { name, data, .. } => match &**name {
            "hash" | "numgen" | "quota" | "connlimit" | "osf" | "last" | "rt" | "xfrm" | "tunnel" | "objref" => true,
            "match" | "bitwise" | "byteorder" | "range" | "cmp" | "fib" | "socket" => true,
            "exthdr" | "payload" | "meta" | "ct" => !writes(name, data),
            _ => false,
        },
        _ => false,
    }
}

/// Returns whether an expression that loads or stores has a source register (`NFTA_EXTHDR_SREG` and
/// the like).
fn writes(name: &str, mut data: &[u8]) -> bool {
    let wanted = match name {
        "exthdr" => 7,
        "payload" => 5,
        "ct" => 4,
        _ => 3,
    };
    while let [a, b, c, d, ..] = data {
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        if u16::from_ne_bytes([*c, *d]) & 0x3fff == wanted {
            return true;
        }
        data = data.get(length.next_multiple_of(4).max(4)..).unwrap_or_default();
    }
    false
}
