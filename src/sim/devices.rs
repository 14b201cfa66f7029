//! Base chains that packets are not walked through: at ingress and egress of devices, of bridges,
//! and at hooks without a name here.
//!
//! A walk that comes to one cannot be told, unless nothing in the chain, or in a chain of its table
//! that it could call, does anything to a packet.

use super::inputs::CannotTell;
use crate::bytecode::{BitwiseCode, CtKey, Expr, LimitCode, LogCode, MetaKey};
use crate::model::{ChainId, Family, TableFlags, Verdict};
use crate::state::{ChainState, HookState, TableState, chain_kind};

#[derive(Clone, Debug)]
pub(super) struct DeviceChain {
    chain: ChainId,
    at: At,
    /// Names of devices; any when it is empty.
    devices: Vec<String>,
    is_harmless: bool,
}

/// Where such a chain meets a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Bridge,
    Egress,
    Ingress,
    /// It is not known where.
    Unknown,
}

impl DeviceChain {
    /// Those of a table.
    pub(super) fn of(table: &TableState) -> Vec<DeviceChain> {
        let is_dormant = TableFlags::from_bits_truncate(table.flags).contains(TableFlags::DORMANT);
        if is_dormant || table.id.family == Family::Arp {
            return Vec::new();
        }
        let unwalked = table.chains.iter().filter(|chain| chain_kind(table.id.family, chain).is_none());
        unwalked.filter_map(|chain| DeviceChain::new(table, chain)).collect()
    }

    fn new(table: &TableState, chain: &ChainState) -> Option<DeviceChain> {
        let HookState { chain_type: _, hook, priority: _, policy, devices, opaque } = chain.hook.as_ref()?;
        let at = match (table.id.family, hook) {
            (Family::Bridge, _) => At::Bridge,
            (Family::Netdev, 0) | (Family::Inet, 5) => At::Ingress,
            (Family::Netdev, 1) => At::Egress,
            _ => At::Unknown,
        };
        let rules = table.chains.iter().filter(|other| other.hook.is_none() || other.name == chain.name);
        let mut exprs = rules.clone().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
        let is_read = rules.clone().all(|chain| chain.unlisted == 0 && chain.rules.iter().all(|r| r.opaque.is_empty()));
        let is_harmless = *policy == ACCEPT && is_read && exprs.all(|expr| is_harmless(table, expr));
        Some(DeviceChain {
            chain: table.id.chain(&chain.name),
            at,
            // A list that is not understood may name any.
            devices: if opaque.is_empty() { devices.clone() } else { Vec::new() },
            is_harmless,
        })
    }

    pub(super) fn is_harmless_chain(&self, chain: &ChainId) -> bool {
        self.is_harmless && self.chain == *chain
    }

    /// Whether it looks at a packet there, by that device.
    pub(super) fn stands(&self, at: At, device: &str) -> Result<(), CannotTell> {
        let is_there = match self.at {
            At::Unknown => true,
            // A packet comes to these by a bridge, which is never lo.
            At::Bridge => device != "lo",
            own => own == at,
        };
        let is_it = |name: &String| match name.strip_suffix('*') {
            Some(start) => device.starts_with(start),
            None => name == device,
        };
        if self.is_harmless || !is_there || !(self.devices.is_empty() || self.devices.iter().any(is_it)) {
            return Ok(());
        }
        let DeviceChain { chain, .. } = self;
        let place = match self.at {
            At::Bridge => "in a bridge".to_owned(),
            At::Egress => format!("at egress of {device}"),
            At::Ingress => format!("at ingress of {device}"),
            At::Unknown => "at a hook that has no name here".to_owned(),
        };
        Err(CannotTell::new(format!("chain {chain} {place}: packets are not walked through it")))
    }
}

/// Whether an expression leaves every packet as it is.
pub(super) fn is_harmless(table: &TableState, expr: &Expr) -> bool {
    match expr {
        // What these load, where to, and what they compare with what: only where the run ends.
        Expr::Bitwise(BitwiseCode { reg: _, mask: _, xor: _ }) | Expr::Byteorder { reg: _, len: _ } => true,
        Expr::Cmp { sreg: _, op: _, data: _ } | Expr::Range { sreg: _, op: _, low: _, high: _ } => true,
        Expr::Ct { key: CtKey(_), dreg: _ } | Expr::Meta { key: MetaKey(_), dreg: _ } => true,
        Expr::Fib { result: _, flags: _, dreg: _ } | Expr::Socket { key: _, dreg: _ } => true,
        Expr::Immediate { dreg: _, data: _ } | Expr::Payload { base: _, offset: _, len: _, dreg: _ } => true,
        Expr::Limit(LimitCode { rate: _, unit: _, burst: _, kind: _, flags: _ }) => true,
        // How much was counted and what is written is nothing to the packet.
        Expr::Counter { packets: _, bytes: _ } => true,
        Expr::Log(LogCode { prefix: _, level: _, group: _, snaplen: _, queue_threshold: _, flags: _ }) => true,
        // What a map holds, and what an element carries, may be anything.
        Expr::Lookup { dreg, set, sreg: _, inverted: _ } => {
            let named = match set {
                crate::bytecode::LookupSet::Named(name) => table.set(name.as_str()).map(|set| set.elements.as_slice()),
                crate::bytecode::LookupSet::Anonymous(set) => Some(set.elements.as_slice()),
            };
            dreg.is_none() && named.is_some_and(|elements| elements.iter().all(|element| element.extras.is_none()))
        }
        Expr::Verdict(verdict) => *verdict != Verdict::Drop,
        Expr::CtSet { key: _, sreg: _ } | Expr::MetaSet { key: _, sreg: _ } | Expr::Notrack => false,
        Expr::Masq { ports: _, flags: _ } | Expr::Redir { ports: _, flags: _ } | Expr::Nat(_) => false,
        Expr::Opaque { name: _, data: _, set: _ } | Expr::Queue(_) | Expr::Reject(_) | Expr::Tproxy(_) => false,
    }
}

/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;
