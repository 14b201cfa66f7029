//! Rule sets as commands: what `nft -j -f -` takes.

use serde_json::{Value, json};

use super::expression::insert;
use super::listing::{declared, flag_names, in_table, metainfo};
use super::statement::statement;
use crate::bytecode::KeptParts;
use crate::model::{Chain, ChainKind, ChainType, Ruleset, SetData, Table, TableId};
use crate::render::listing::Notes;
use crate::render::{Style, script};

/// Returns the commands that add a rule set: what is named comes before what names it.
pub(super) fn commands(ruleset: &Ruleset) -> Vec<Value> {
    let mut commands = vec![metainfo()];
    let added = ruleset.tables.iter().flat_map(objects).map(|object| json!({ "add": object }));
    commands.extend(added);
    commands
}

fn objects(table: &Table) -> Vec<Value> {
    let Table { family, name, flags, comment, objects: read, sets, chains, kept: _ } = table;
    let id = TableId::from(table);
    let mut json = json!({ "family": family.name(), "name": name.as_str() });
    insert(&mut json, "flags", flag_names(*flags));
    insert(&mut json, "comment", comment.as_deref());
    let mut objects = vec![json!({ "table": json })];
    objects.extend(read.iter().flat_map(|object| super::object::object(&id, object, None)));
    objects.extend(chains.iter().flat_map(|chain| self::chain(&id, chain)));
    for set in sets {
        let keyword = if set.data == SetData::None { "set" } else { "map" };
        if set.opaque().is_some() {
            objects.push(named(&id, &format!("<unknown {keyword}>"), set.name.as_str()));
            continue;
        }
        let mut json = in_table(&id);
        insert(&mut json, "name", Some(set.name.as_str()));
        declared(&mut json, set, &Notes::new(Style::Loadable));
        objects.push(json!({ keyword: json }));
    }
    for chain in chains {
        objects.extend(chain.rules.iter().map(|rule| {
            let mut json = in_table(&id);
            insert(&mut json, "chain", Some(chain.name.as_str()));
            insert(&mut json, "comment", rule.comment.as_deref());
            let statements: Vec<Value> =
                script::statements(*family, rule).iter().map(|text| statement(text, *family)).collect();
            insert(&mut json, "expr", Some(statements));
            json!({ "rule": json })
        }));
    }
    objects
}

fn named(table: &TableId, kind: &str, name: &str) -> Value {
    let mut json = in_table(table);
    insert(&mut json, "name", Some(name));
    json!({ kind: json })
}

fn chain(table: &TableId, chain: &Chain) -> Vec<Value> {
    let Chain { name, kind, comment, rules: _, kept } = chain;
    let mut json = in_table(table);
    insert(&mut json, "name", Some(name.as_str()));
    insert(&mut json, "comment", comment.as_deref());
    let mut objects = Vec::new();
    match kind {
        ChainKind::Regular => objects.push(json!({ "chain": json })),
        ChainKind::Base(base) => {
            insert(&mut json, "type", Some(base.chain_type.name()));
            insert(&mut json, "hook", Some(base.hook.name()));
            insert(&mut json, "prio", Some(base.priority.0));
            insert(&mut json, "policy", Some(base.policy.name()));
            objects.push(json!({ "chain": json }));
        }
        ChainKind::Device(base) => {
            insert(&mut json, "type", Some(ChainType::Filter.name()));
            insert(&mut json, "hook", Some(base.hook.name()));
            insert(&mut json, "prio", Some(base.priority.0));
            match base.devices.as_slice() {
                [] => {}
                [device] => insert(&mut json, "dev", Some(device.as_str())),
                devices => insert(&mut json, "dev", Some(devices)),
            }
            insert(&mut json, "policy", Some(base.policy.name()));
            objects.push(json!({ "chain": json }));
        }
        ChainKind::Bound => objects.push(json!({ "<unknown chain in braces>": json })),
        ChainKind::Opaque(opaque) => objects.push(json!({ format!("<unknown {}>", opaque.name()): json })),
    }
    let unlisted = kept.code::<KeptParts>().map_or(0, |read| read.unlisted);
    if unlisted > 0 {
        objects.push(named(table, &format!("<unknown rules: {unlisted}>"), name.as_str()));
    }
    objects
}
