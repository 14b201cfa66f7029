//! Base chains that packets are not walked through: at ingress and egress of devices, of bridges,
//! and at hooks that are not modelled.
//!
//! A walk that reaches one cannot continue, unless nothing in the chain, or in a chain of its table
//! that it could call, has an effect on a packet.

use super::inputs::CannotTell;
use super::rules::is_walked_chain;
use crate::bytecode::{BitwiseCode, CtKey, Expr, LimitCode, LogCode, MetaKey};
use crate::model::{ChainId, Family, TableFlags, Verdict};
use crate::state::{ChainState, HookState, TableState, chain_kind};

#[derive(Clone, Debug)]
pub(super) struct DeviceChain {
    chain: ChainId,
    at: At,
    /// Names of devices; empty for any device.
    devices: Vec<String>,
    is_harmless: bool,
}

/// The place where such a chain sees a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Bridge,
    Egress,
    Ingress,
    /// The place is not known.
    Unknown,
}

impl DeviceChain {
    /// Returns the chains of a table.
    pub(super) fn of(table: &TableState) -> Vec<DeviceChain> {
        let is_dormant = TableFlags::from_bits_truncate(table.flags).contains(TableFlags::DORMANT);
        if is_dormant || table.id.family == Family::Arp {
            return Vec::new();
        }
        let unwalked = table
            .chains
            .iter()
            .filter(|chain| !is_walked_chain(table.id.family, chain_kind(table.id.family, chain).as_ref()));
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
            // A list that is not understood may name any device.
            devices: if opaque.is_empty() { devices.clone() } else { Vec::new() },
            is_harmless,
        })
    }

    pub(super) fn is_harmless_chain(&self, chain: &ChainId) -> bool {
        self.is_harmless && self.chain == *chain
    }

    /// Fails if the chain sees a packet there, on that device.
    pub(super) fn stands(&self, at: At, device: &str) -> Result<(), CannotTell> {
        let is_there = match self.at {
            At::Unknown => true,
            // Packets reach these through a bridge, which is never lo.
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

/// Returns whether an expression leaves every packet unchanged.
pub(super) fn is_harmless(table: &TableState, expr: &Expr) -> bool {
    match expr {
        // What these load and compare only decides where the rule ends.
        Expr::Bitwise(BitwiseCode { reg: _, mask: _, xor: _ }) | Expr::Byteorder { reg: _, len: _ } => true,
        Expr::Cmp { sreg: _, op: _, data: _ } | Expr::Range { sreg: _, op: _, low: _, high: _ } => true,
        Expr::Ct { key: CtKey(_), dreg: _ } | Expr::Meta { key: MetaKey(_), dreg: _ } => true,
        Expr::Fib { result: _, flags: _, dreg: _ } | Expr::Socket { key: _, dreg: _ } => true,
        Expr::Immediate { dreg: _, data: _ } | Expr::Payload { base: _, offset: _, len: _, dreg: _ } => true,
        Expr::Limit(LimitCode { rate: _, unit: _, burst: _, kind: _, flags: _ }) => true,
        // Counting and logging do not affect the packet.
        Expr::Counter { packets: _, bytes: _ } => true,
        Expr::Log(LogCode { prefix: _, level: _, group: _, snaplen: _, queue_threshold: _, flags: _ }) => true,
        // The data of a map, and the statements of an element, may be anything.
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
        Expr::BitwiseTo(_) | Expr::Shift(_) | Expr::Combine(_) | Expr::ByteorderTo(_) | Expr::CtDirected(_) => true,
        Expr::Connlimit(_) | Expr::Exthdr(_) | Expr::Inner(_) | Expr::Jhash(_) | Expr::Symhash(_) => true,
        Expr::Last(_) | Expr::Numgen(_) | Expr::Osf(_) | Expr::Quota(_) | Expr::Rt(_) => true,
        Expr::SocketCgroup(_) | Expr::Tunnel(_) | Expr::Xfrm(_) => true,
        Expr::CtDirectedSet(_) | Expr::Dup(_) | Expr::Dynset(_) | Expr::ExthdrSet(_) | Expr::ExthdrReset(_) => false,
        Expr::FlowOffload(_) | Expr::Fwd(_) | Expr::Objref(_) | Expr::ObjrefMap(_) | Expr::PayloadSet(_) => false,
        Expr::QueueTo(_) | Expr::Synproxy(_) => false,
    }
}

/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;
