//! Named objects, as nft lists and takes them.

use serde_json::{Map, Value, json};

use super::expression::insert;
use super::listing::in_table;
use super::statement::statement;
use crate::model::{
    CtExpectation, CtHelper, CtTimeout, Flowtable, LimitWhen, Object, ObjectContent, Quota, Statement, Synproxy,
    SynproxyFlags, TableId,
};

/// Returns an object of a table, and what nft has no form for as objects that it refuses.
pub(super) fn object(table: &TableId, object: &Object, handle: Option<u64>) -> Vec<Value> {
    let Object { name, content, comment } = object;
    let mut json = in_table(table);
    insert(&mut json, "name", Some(name.as_str()));
    insert(&mut json, "handle", handle);
    insert(&mut json, "comment", comment.as_deref());
    if let ObjectContent::Opaque(read) = content {
        return vec![json!({ format!("<unknown {}>", read.name()): json })];
    }
    let mut objects = Vec::new();
    if let ObjectContent::Flowtable(Flowtable { flags, .. }) = content {
        if !flags.is_empty() {
            let mut named = in_table(table);
            insert(&mut named, "name", Some(name.as_str()));
            objects.push(json!({ "<unknown flags of a flowtable>": named }));
        }
    }
    if let (Value::Object(json), Value::Object(content)) = (&mut json, content_of(content)) {
        json.extend(content);
    }
    objects.insert(0, json!({ object.kind(): json }));
    objects
}

fn content_of(content: &ObjectContent) -> Value {
    match content {
        ObjectContent::Counter { packets, bytes } => json!({ "packets": packets, "bytes": bytes }),
        ObjectContent::CtExpectation(CtExpectation { protocol, dport, timeout, size, family }) => json!({
            "protocol": protocol.to_string(), "dport": dport, "timeout": timeout, "size": size,
            "l3proto": family.name(),
        }),
        ObjectContent::CtHelper(CtHelper { helper, protocol, family }) => {
            json!({ "type": helper, "protocol": protocol.to_string(), "l3proto": family.name() })
        }
        ObjectContent::CtTimeout(timeout) => {
            let CtTimeout { protocol, family, policy: _ } = timeout;
            let states = CtTimeout::states(*protocol).iter().zip(timeout.seconds());
            let changed = states.filter(|((_, usual), seconds)| usual != seconds);
            let policy: Map<String, Value> =
                changed.map(|((state, _), seconds)| ((*state).to_owned(), seconds.into())).collect();
            let policy = if policy.is_empty() { Value::Null } else { Value::Object(policy) };
            json!({ "protocol": protocol.to_string(), "l3proto": family.name(), "policy": policy })
        }
        ObjectContent::Flowtable(Flowtable { priority, devices, flags: _ }) => {
            let mut json = json!({ "hook": "ingress", "prio": priority.0 });
            match devices.as_slice() {
                [] => {}
                [one] => insert(&mut json, "dev", Some(one.as_str())),
                several => insert(&mut json, "dev", Some(several.to_vec())),
            }
            json
        }
        // The same words follow the keyword in a rule.
        ObjectContent::Limit(limit) => {
            let text = Statement::Limit(*limit).to_string();
            let mut json = statement(&text, crate::model::Family::Inet).get("limit").cloned().unwrap_or_default();
            if let Some(json) = json.as_object_mut().filter(|_| limit.burst == 0) {
                json.remove("burst");
                json.remove("burst_unit");
            }
            json
        }
        ObjectContent::Opaque(_) => Value::Null,
        ObjectContent::Quota(Quota { bytes, when, used }) => {
            json!({ "bytes": bytes, "used": used, "inv": *when == LimitWhen::Over })
        }
        ObjectContent::Secmark(context) => json!({ "context": context }),
        ObjectContent::Synproxy(Synproxy { mss, wscale, flags }) => {
            let mut json = json!({ "mss": mss.unwrap_or(0), "wscale": wscale.unwrap_or(0) });
            let named = [(SynproxyFlags::TIMESTAMP, "timestamp"), (SynproxyFlags::SACK_PERM, "sack-perm")];
            let options: Vec<&str> =
                named.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name).collect();
            insert(&mut json, "flags", (!options.is_empty()).then_some(options));
            json
        }
    }
}
