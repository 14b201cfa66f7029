//! Listings: what `nft -j list ruleset` prints.

use serde_json::{Value, json};

use super::expression::{Kind, insert, seconds};
use super::statement::{element_of, statement};
use crate::model::{Set, SetData, SetFlags, TableFlags, TableId};
use crate::render::listing::{Notes, elements, properties};
use crate::state::listing::{Within, chains, hook_name, keyword, policy_name, sets};
use crate::state::{ChainState, Listing, OpaqueState, RuleState, SetState, TableState, raised_object};

/// Returns the objects of a listing, the first of which describes the format.
pub(super) fn objects(listing: &Listing<'_>) -> Vec<Value> {
    let snapshot = listing.snapshot();
    let mut objects = vec![metainfo()];
    for table in &snapshot.tables {
        self::table(listing, table, &mut objects);
    }
    let nameless = |kind: u16, family: u8| json!({ format!("<unknown message {kind} of family {family}>"): null });
    objects.extend(snapshot.opaque.iter().map(|opaque| nameless(opaque.kind, opaque.family)));
    objects
}

/// Returns what the dialect of nft says of itself.
pub(super) fn metainfo() -> Value {
    json!({ "metainfo": { "version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1 } })
}

/// Adds a table, its objects, sets and chains, and then the rules of all of its chains.
fn table(listing: &Listing<'_>, table: &TableState, objects: &mut Vec<Value>) {
    let TableState { id, handle, flags, .. } = table;
    let mut json = json!({ "family": id.family.name(), "name": id.name.as_str(), "handle": handle.0 });
    insert(&mut json, "flags", flag_names(TableFlags::from_bits_truncate(*flags)));
    objects.push(json!({ "table": json }));
    let nameless = flags & !TableFlags::all().bits();
    if nameless != 0 {
        objects.push(json!({ format!("<unknown flags {nameless:#x}>"): in_table(id) }));
    }
    let named = |state: &OpaqueState| super::object::object(id, &raised_object(state), Some(state.handle.0));
    objects.extend(table.objects.iter().flat_map(named));
    objects.extend(sets(table).map(|set| self::set(listing, id, set)));
    objects.extend(chains(table).flat_map(|chain| self::chain(id, chain)));
    let within = listing.within(table);
    let rules = chains(table).flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)));
    objects.extend(rules.map(|(chain, rule)| self::rule(listing, &within, id, chain, rule)));
}

pub(super) fn in_table(table: &TableId) -> Value {
    json!({ "family": table.family.name(), "table": table.name.as_str() })
}

/// Returns one flag as it is and several in an array.
pub(super) fn flag_names(flags: TableFlags) -> Option<Value> {
    let names = flags.to_string();
    match names.split_once(',') {
        _ if names.is_empty() => None,
        None => Some(json!(names)),
        Some(_) => Some(names.split(',').collect()),
    }
}

fn set(listing: &Listing<'_>, table: &TableId, state: &SetState) -> Value {
    let mut json = in_table(table);
    insert(&mut json, "name", Some(state.name.as_str()));
    insert(&mut json, "handle", Some(state.handle.0));
    let known = listing.noted(state, |set, notes| declared(&mut json, set, notes));
    match known {
        Ok(()) => json!({ keyword(state): json }),
        Err(_) => json!({ format!("<unknown {}>", keyword(state)): json }),
    }
}

/// Adds what a set declares, and its elements.
pub(super) fn declared(json: &mut Value, set: &Set, notes: &Notes<'_>) {
    let Set { key, data, flags, comment, .. } = set;
    let mut types: Vec<&str> = key.iter().map(|part| part.name()).collect();
    match types.len() {
        1 => insert(json, "type", types.pop()),
        _ => insert(json, "type", Some(types)),
    }
    let (maps_to, of) = match data {
        SetData::None => (None, Vec::new()),
        SetData::Concat(types) | SetData::Interval(types) => {
            let names: Vec<&str> = types.iter().map(|part| part.name()).collect();
            (Some(names.join(" . ")), types.iter().map(|part| Kind::Of(*part)).collect())
        }
        SetData::Object(kind) => (Some(kind.name().to_owned()), Vec::new()),
        SetData::Value(data) => (Some(data.name().to_owned()), vec![Kind::Of(*data)]),
        SetData::Verdict => (Some("verdict".to_owned()), Vec::new()),
    };
    insert(json, "map", maps_to);
    insert(json, "comment", comment.as_deref());
    // nft does not mention the others.
    let flags = (*flags & (SetFlags::CONSTANT | SetFlags::INTERVAL | SetFlags::TIMEOUT)).to_string();
    if !flags.is_empty() {
        insert(json, "flags", Some(flags.split(',').collect::<Vec<_>>()));
    }
    let mut carried = Vec::new();
    for property in properties(set, notes) {
        match property.split_once(' ') {
            Some(("type" | "typeof" | "flags" | "comment", _)) => {}
            Some(("policy", policy)) => insert(json, "policy", Some(policy)),
            Some(("size", size)) => insert(json, "size", size.parse::<u64>().ok()),
            Some((span @ ("timeout" | "gc-interval"), time)) => insert(json, span, seconds(time)),
            None if property == "auto-merge" => {}
            _ => carried.push(statement(&property, crate::model::Family::Inet)),
        }
    }
    if !carried.is_empty() {
        insert(json, "stmt", Some(carried));
    }
    let kinds: Vec<Kind> = key.iter().map(|part| Kind::Of(*part)).collect();
    let elements: Vec<Value> = elements(set, notes).iter().map(|element| element_of(element, &kinds, &of)).collect();
    if !elements.is_empty() {
        insert(json, "elem", Some(elements));
    }
}

fn chain(table: &TableId, state: &ChainState) -> Vec<Value> {
    let ChainState { name, handle, hook, flags, unlisted, .. } = state;
    let mut json = in_table(table);
    insert(&mut json, "name", Some(name.as_str()));
    insert(&mut json, "handle", Some(handle.0));
    if let Some(hook) = hook {
        insert(&mut json, "type", Some(hook.chain_type.as_str()));
        insert(&mut json, "hook", Some(hook_name(table.family, hook)));
        insert(&mut json, "prio", Some(hook.priority));
        insert(&mut json, "policy", Some(policy_name(hook)));
    }
    let mut objects = vec![json!({ "chain": json })];
    let nameless = flags & !(NFT_CHAIN_BASE | NFT_CHAIN_BINDING);
    let mut unknown = |what: String| {
        let mut json = in_table(table);
        insert(&mut json, "chain", Some(name.as_str()));
        objects.push(json!({ what: json }));
    };
    if nameless != 0 {
        unknown(format!("<unknown flags {nameless:#x}>"));
    }
    if hook.as_ref().is_some_and(|hook| !hook.opaque.is_empty()) {
        unknown("<unknown attribute>".to_owned());
    }
    if *unlisted > 0 {
        unknown(format!("<unknown rules: {unlisted}>"));
    }
    objects
}

fn rule(listing: &Listing<'_>, within: &Within<'_>, table: &TableId, chain: &ChainState, rule: &RuleState) -> Value {
    let mut json = in_table(table);
    insert(&mut json, "chain", Some(chain.name.as_str()));
    insert(&mut json, "handle", Some(rule.handle.0));
    let (statements, comment) = listing.statements(within, rule);
    insert(&mut json, "comment", comment);
    let statements: Vec<Value> = statements.iter().map(|text| statement(text, table.family)).collect();
    insert(&mut json, "expr", Some(statements));
    json!({ "rule": json })
}

const NFT_CHAIN_BASE: u32 = 1;
const NFT_CHAIN_BINDING: u32 = 4;
