//! Decodes dumps into snapshots, in safe Rust that shares no code with the encoder.
//!
//! Decoding is total: whatever is well formed is kept. What has no meaning here stays byte for
//! byte in its place: an opaque expression in its rule, attributes next to what they belong to,
//! whole messages in the snapshot. An attribute with unknown contents is kept whole in addition to
//! its decoded parts, so that a message sent back can end with it. Truncated input is an error;
//! nothing panics.

mod assembly;
mod canonical;
mod event;
mod expr;
mod parts;
mod plain;
mod set;
#[cfg(test)]
mod tests;
mod trace;
mod uses;

pub(crate) use assembly::{Assembly, ElementRequest, RuleRequest, chain_attributes, set_attributes, table_attribute};
pub(crate) use event::event;
pub(super) use expr::{NFT_DYNSET_F_EXPR, known_expr};
pub(crate) use set::Elements;
pub(crate) use trace::trace;

use super::{NFNL_SUBSYS_NFTABLES, kind};
use crate::attr::nfta::*;
use crate::attr::{Attribute, Attributes, Malformed, Message};
use crate::bytecode::raise_set;
use crate::model::{ChainHandle, Family, Name, ObjectHandle, RuleHandle, Set, TableHandle, TableId};
use crate::state::{ChainState, Counters, HookState, OpaqueState, RuleState, SetState, TableState};

/// One message of a dump.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    Chain(InTable<'a>, ChainState),
    Elements(InTable<'a>, &'a [u8], Elements),
    Object(InTable<'a>, OpaqueState),
    /// A message that cannot be named, or is of another kind.
    Opaque,
    Rule(InTable<'a>, &'a [u8], RuleState),
    Set(InTable<'a>, SetState),
    Table(TableState),
}

/// The table that something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InTable<'a> {
    family: u8,
    table: &'a [u8],
}

impl<'a> InTable<'a> {
    /// Returns `None` when the name is not terminated.
    fn of(family: u8, attribute: &Attribute<'a>) -> Option<Self> {
        attribute.value.strip_suffix(&[0]).map(|table| InTable { family, table })
    }

    /// Returns `None` when family or name is unknown here.
    fn id(&self) -> Option<TableId> {
        let name = std::str::from_utf8(self.table).ok()?;
        Some(TableId { family: Family::from_number(self.family)?, name: Name::from(name) })
    }

    fn is(&self, id: &TableId) -> bool {
        self.family == id.family.number() && self.table == id.name.as_str().as_bytes()
    }
}

/// Decodes everything in a datagram of a dump; the first truncated message ends it.
#[cfg(any(test, fuzzing))]
pub(crate) fn datagram(bytes: &[u8]) -> Result<Vec<Item<'_>>, Malformed> {
    crate::attr::Messages::new(bytes).map(|read| item(&read?)).collect()
}

/// Decodes the set that a message declares, if the model can represent it.
pub(crate) fn declared_set(message: &Message<'_>) -> Result<Option<Set>, Malformed> {
    Ok(match item(message)? {
        Item::Set(_, SetState { name, code, .. }) => raise_set(&name, &code, &[]).ok(),
        _ => None,
    })
}

/// Decodes one message.
fn item<'a>(message: &Message<'a>) -> Result<Item<'a>, Malformed> {
    let Some((family, attributes)) = message.netfilter() else { return Err(Malformed { at: 0 }) };
    let [subsystem, kind] = message.kind.to_be_bytes();
    if u16::from(subsystem) != NFNL_SUBSYS_NFTABLES {
        return Ok(Item::Opaque);
    }
    let item = match u16::from(kind) {
        kind::NEWCHAIN => chain(family, attributes)?.map(|(place, chain)| Item::Chain(place, chain)),
        kind::NEWFLOWTABLE => {
            object(family, attributes, &FLOWTABLE)?.map(|(place, object)| Item::Object(place, object))
        }
        kind::NEWOBJ => object(family, attributes, &OBJECT)?.map(|(place, object)| Item::Object(place, object)),
        kind::NEWRULE => rule(family, attributes)?.map(|(place, chain, rule)| Item::Rule(place, chain, rule)),
        kind::NEWSET => set::set(family, attributes)?.map(|(place, set)| Item::Set(place, set)),
        kind::NEWSETELEM => {
            set::elements(family, attributes)?.map(|(place, set, elements)| Item::Elements(place, set, elements))
        }
        kind::NEWTABLE => table(family, attributes)?.map(Item::Table),
        _ => None,
    };
    Ok(item.unwrap_or(Item::Opaque))
}

fn name(attribute: &Attribute<'_>) -> Option<Name> {
    attribute.text().map(Name::from)
}

/// Decodes `enum nft_table_attributes`.
fn table(family: u8, attributes: Attributes<'_>) -> Result<Option<TableState>, Malformed> {
    let mut named = None;
    let (mut handle, mut flags, mut owner, mut uses) = (TableHandle::default(), 0, None, 0);
    let (mut userdata, mut opaque) = (Vec::new(), Vec::new());
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_TABLE_NAME => named = name(&attribute),
            NFTA_TABLE_FLAGS => flags = attribute.need_be32()?,
            NFTA_TABLE_USE => uses = attribute.need_be32()?,
            NFTA_TABLE_HANDLE => handle = TableHandle(attribute.need_be64()?),
            NFTA_TABLE_PAD if attribute.value.is_empty() => {}
            NFTA_TABLE_USERDATA => userdata = attribute.value.to_vec(),
            NFTA_TABLE_OWNER => owner = Some(attribute.need_be32()?),
            _ => opaque.extend(attribute.raw),
        }
    }
    let id = Family::from_number(family).zip(named).map(|(family, name)| TableId { family, name });
    let (sets, chains, objects) = (Vec::new(), Vec::new(), Vec::new());
    Ok(id.map(|id| TableState { id, handle, flags, owner, uses, userdata, sets, chains, objects, opaque }))
}

/// Decodes `enum nft_chain_attributes`.
fn chain<'a>(family: u8, attributes: Attributes<'a>) -> Result<Option<(InTable<'a>, ChainState)>, Malformed> {
    let (mut place, mut named) = (None, None);
    let (mut handle, mut flags, mut uses, mut counters) = (ChainHandle::default(), 0, 0, None);
    let (mut hook, mut policy, mut chain_type) = (None, None, None);
    let (mut userdata, mut opaque) = (Vec::new(), Vec::new());
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_CHAIN_TABLE => place = InTable::of(family, &attribute),
            NFTA_CHAIN_HANDLE => handle = ChainHandle(attribute.need_be64()?),
            NFTA_CHAIN_NAME => named = name(&attribute),
            NFTA_CHAIN_HOOK => hook = Some(self::hook(&attribute)?),
            NFTA_CHAIN_POLICY => policy = Some(attribute.need_be32()?),
            NFTA_CHAIN_USE => uses = attribute.need_be32()?,
            NFTA_CHAIN_TYPE if attribute.text().is_some() => chain_type = attribute.text().map(str::to_owned),
            NFTA_CHAIN_COUNTERS => counters = Some(self::counters(&attribute, &mut opaque)?),
            NFTA_CHAIN_PAD if attribute.value.is_empty() => {}
            NFTA_CHAIN_FLAGS => flags = attribute.need_be32()?,
            NFTA_CHAIN_USERDATA => userdata = attribute.value.to_vec(),
            _ => opaque.extend(attribute.raw),
        }
    }
    let (Some(place), Some(name)) = (place, named) else { return Ok(None) };
    if let Some(hook) = &mut hook {
        hook.policy = policy.unwrap_or_default();
        hook.chain_type = chain_type.unwrap_or_default();
    }
    let (rules, unlisted) = (Vec::new(), 0);
    Ok(Some((place, ChainState { name, handle, hook, flags, uses, unlisted, counters, userdata, rules, opaque })))
}

/// Decodes `enum nft_hook_attributes`.
fn hook(attribute: &Attribute<'_>) -> Result<HookState, Malformed> {
    let (chain_type, policy) = (String::new(), 0);
    let mut state = HookState { chain_type, hook: 0, priority: 0, policy, devices: Vec::new(), opaque: Vec::new() };
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            NFTA_HOOK_HOOKNUM => state.hook = part.need_be32()?,
            NFTA_HOOK_PRIORITY => state.priority = i32::from_ne_bytes(part.need_be32()?.to_ne_bytes()),
            // A chain on one device names it here and again in the list.
            NFTA_HOOK_DEV if part.text().is_some() => {
                let device = part.text().map(str::to_owned);
                state.devices.extend(device.filter(|device| !state.devices.contains(device)));
            }
            NFTA_HOOK_DEVS => {
                let mut whole = true;
                for device in part.nested() {
                    let device = device?;
                    match device.text() {
                        Some(name) if device.kind == NFTA_DEVICE_NAME => {
                            if !state.devices.iter().any(|known| known == name) {
                                state.devices.push(name.to_owned());
                            }
                        }
                        _ => whole = false,
                    }
                }
                if !whole {
                    state.opaque.extend(part.raw);
                }
            }
            _ => state.opaque.extend(part.raw),
        }
    }
    Ok(state)
}

/// Decodes `enum nft_counter_attributes`.
fn counters(attribute: &Attribute<'_>, opaque: &mut Vec<u8>) -> Result<Counters, Malformed> {
    let mut counters = Counters::default();
    let mut whole = true;
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            NFTA_COUNTER_BYTES => counters.bytes = part.need_be64()?,
            NFTA_COUNTER_PACKETS => counters.packets = part.need_be64()?,
            NFTA_COUNTER_PAD if part.value.is_empty() => {}
            _ => whole = false,
        }
    }
    if !whole {
        opaque.extend(attribute.raw);
    }
    Ok(counters)
}

/// A rule with its table and chain.
type RuleOf<'a> = (InTable<'a>, &'a [u8], RuleState);

/// Decodes `enum nft_rule_attributes`.
fn rule<'a>(family: u8, attributes: Attributes<'a>) -> Result<Option<RuleOf<'a>>, Malformed> {
    let (mut place, mut chain) = (None, None);
    let mut rule =
        RuleState { handle: RuleHandle::default(), exprs: Vec::new(), userdata: Vec::new(), opaque: Vec::new() };
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_RULE_TABLE => place = InTable::of(family, &attribute),
            NFTA_RULE_CHAIN => chain = attribute.value.strip_suffix(&[0]),
            NFTA_RULE_HANDLE => rule.handle = RuleHandle(attribute.need_be64()?),
            NFTA_RULE_EXPRESSIONS => rule.exprs = expr::exprs(&attribute, &mut rule.opaque)?,
            // The handle of the preceding rule, which the order already implies.
            NFTA_RULE_POSITION => drop(attribute.need_be64()?),
            NFTA_RULE_USERDATA => rule.userdata = attribute.value.to_vec(),
            NFTA_RULE_PAD if attribute.value.is_empty() => {}
            _ => rule.opaque.extend(attribute.raw),
        }
    }
    Ok(place.zip(chain).map(|(place, chain)| (place, chain, rule)))
}

/// The attribute numbers of a kind of object.
struct ObjectLayout {
    name: u16,
    kind: Option<u16>,
    handle: u16,
}

/// `enum nft_object_attributes`.
const OBJECT: ObjectLayout = ObjectLayout { name: NFTA_OBJ_NAME, kind: Some(NFTA_OBJ_TYPE), handle: NFTA_OBJ_HANDLE };
/// `enum nft_flowtable_attributes`.
const FLOWTABLE: ObjectLayout = ObjectLayout { name: NFTA_FLOWTABLE_NAME, kind: None, handle: NFTA_FLOWTABLE_HANDLE };

/// Decodes a stateful object or flowtable, whose attributes stay undecoded.
fn object<'a>(
    family: u8,
    attributes: Attributes<'a>,
    layout: &ObjectLayout,
) -> Result<Option<(InTable<'a>, OpaqueState)>, Malformed> {
    let (mut place, mut named, mut number, mut handle) = (None, None, None, ObjectHandle::default());
    let mut all = Vec::new();
    for attribute in attributes {
        let attribute = attribute?;
        all.extend(attribute.raw);
        match attribute.kind {
            NFTA_OBJ_TABLE => place = InTable::of(family, &attribute),
            kind if kind == layout.name => named = name(&attribute),
            kind if kind == layout.handle => handle = ObjectHandle(attribute.need_be64()?),
            kind if Some(kind) == layout.kind => number = Some(attribute.need_be32()?),
            _ => {}
        }
    }
    let (Some(place), Some(name)) = (place, named) else { return Ok(None) };
    let kind = match layout.kind {
        None => "flowtable".to_owned(),
        Some(_) => object_kind(number.unwrap_or_default()),
    };
    Ok(Some((place, OpaqueState { kind, name, handle, attributes: all })))
}

/// `NFT_OBJECT_*`, include/uapi/linux/netfilter/nf_tables.h, by their names in nft(8), from 1.
const OBJECTS: [&str; 10] = [
    "counter",
    "quota",
    "ct helper",
    "limit",
    "ct count",
    "tunnel",
    "ct timeout",
    "secmark",
    "ct expectation",
    "synproxy",
];

fn object_kind(number: u32) -> String {
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    match index.and_then(|index| OBJECTS.get(index)) {
        Some(known) => (*known).to_owned(),
        None => format!("object {number}"),
    }
}

/// Returns the number of a kind of object, the inverse of its name in a snapshot.
pub(crate) fn object_number(kind: &str) -> Option<u32> {
    match (1..).zip(OBJECTS).find(|(_, known)| *known == kind) {
        Some((number, _)) => Some(number),
        None => kind.strip_prefix("object ")?.parse().ok(),
    }
}
