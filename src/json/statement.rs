//! Statements: from nft's text, as it is listed, to nft's JSON.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::expression::{Kind, constant, constants, element, fields, insert, map, one_or_several, seconds, set, value};
use super::words::{Words, unquoted};
use crate::model::{DataType, Family, ObjectKind};

/// Returns a statement that is listed with this text in a table of that family.
///
/// A statement without a form in JSON is its text: for what nft has no form for, nft prints the
/// same; a part that this crate does not know is the name of an object, `{"<unknown fib>": null}`.
/// nft takes neither back.
pub(super) fn statement(text: &str, family: Family) -> Value {
    if text.contains("<unknown ") {
        return json!({ text: null });
    }
    let mut words = Words::of(text);
    match read(&mut words, family).filter(|_| words.is_end()) {
        Some(json) => json,
        None => json!(text),
    }
}

fn read(words: &mut Words<'_>, family: Family) -> Option<Value> {
    if let Some(verdict) = words.maybe(verdict) {
        return Some(verdict);
    }
    if let Some((kind, object)) = words.maybe(object) {
        return Some(json!({ kind: object }));
    }
    match words.peek()? {
        "counter" | "last" | "limit" | "quota" => {
            let (kind, state) = state_of(words)?;
            Some(json!({ kind: state }))
        }
        "ct" if words.peek_at(1) == Some("count") => {
            let (kind, state) = state_of(words)?;
            Some(json!({ kind: state }))
        }
        "notrack" => {
            words.next();
            Some(json!({ "notrack": null }))
        }
        "log" => log(words),
        "reject" => reject(words, family),
        kind @ ("masquerade" | "redirect" | "dnat" | "snat" | "tproxy") => {
            words.next();
            nat(words, kind)
        }
        "queue" => queue(words),
        "dup" => dup(words),
        "fwd" => fwd(words),
        "add" | "update" | "delete" => update(words),
        "meter" => meter(words),
        "flow" => {
            words.expect("flow")?;
            words.expect("add")?;
            Some(json!({ "flow": { "op": "add", "flowtable": words.next()? } }))
        }
        "synproxy" => synproxy(words),
        "xt" => {
            words.next();
            let (kind, name) = (words.next()?, words.quoted()?);
            Some(json!({ "xt": { "type": kind, "name": name } }))
        }
        "reset" => {
            words.next();
            words.expect("tcp option")?;
            let name = words.next()?;
            let option = match name.parse::<u64>() {
                Ok(kind) => json!({ "base": kind, "offset": 0, "len": 0 }),
                Err(_) => json!({ "name": name }),
            };
            Some(json!({ "reset": { "tcp option": option } }))
        }
        _ => of_fields(words),
    }
}

/// Reads a statement that begins with fields: a match, a verdict map, or setting a field.
fn of_fields(words: &mut Words<'_>) -> Option<Value> {
    if words.take("ct event set") {
        return Some(json!({ "mangle": { "key": { "ct": { "key": "event" } }, "value": constants(words, &[])? } }));
    }
    let left = words.maybe(fields)?;
    if words.take("vmap") {
        let data = set(words, &left.kinds, &[])?;
        return Some(json!({ "vmap": { "key": left.json, "data": data } }));
    }
    if words.take("set") {
        let value = value(words, &left.kinds)?;
        return Some(json!({ "mangle": { "key": left.json, "value": value } }));
    }
    let operator = words.peek().filter(|word| matches!(*word, "==" | "!=" | "<" | ">" | "<=" | ">=" | "!"));
    if operator.is_some() {
        words.next();
    }
    if matches!(words.peek()?, "{") || words.peek()?.starts_with('@') {
        let set = set(words, &left.kinds, &[])?;
        return Some(comparison(operator.unwrap_or("=="), left.json, set));
    }
    let right = constants(words, &left.kinds)?;
    if words.take("/") {
        let mask = constants(words, &left.kinds)?;
        return Some(comparison(operator.unwrap_or("=="), json!({ "&": [left.json, mask] }), right));
    }
    let exact = right.get("|").is_some();
    let implied = if left.is_bits() && !exact && left.json.get("&").is_none() { "in" } else { "==" };
    Some(comparison(operator.unwrap_or(implied), left.json, right))
}

fn comparison(operator: &str, left: Value, right: Value) -> Value {
    json!({ "match": { "op": operator, "left": left, "right": right } })
}

/// Reads a verdict, of a rule or an element.
pub(super) fn verdict(words: &mut Words<'_>) -> Option<Value> {
    match words.next()? {
        word @ ("accept" | "drop" | "continue" | "return") => Some(json!({ word: null })),
        word @ ("jump" | "goto") => {
            let target = words.next().filter(|target| *target != "{")?;
            Some(json!({ word: { "target": target } }))
        }
        _ => None,
    }
}

/// Reads the use of a named object.
fn object(words: &mut Words<'_>) -> Option<(&'static str, Value)> {
    let (_, _, text) = ObjectKind::ALL.iter().find(|(_, _, text)| words.take(text))?;
    let (kind, _) = text.rsplit_once(' ')?;
    let kind = kind.strip_prefix("meta ").unwrap_or(kind);
    if let Some(name) = words.peek().and_then(unquoted) {
        words.next();
        return Some((kind, json!(name)));
    }
    let key = fields(words)?;
    words.expect("map")?;
    Some((kind, map(words, key, &[])?))
}

/// Reads what elements carry as well as rules: a counter, a limit, a quota, a number of
/// connections, a time.
pub(super) fn state_of<'t>(words: &mut Words<'t>) -> Option<(&'t str, Value)> {
    match words.next()? {
        "counter" if words.take("packets") => {
            let packets = words.number()?;
            words.expect("bytes")?;
            Some(("counter", json!({ "packets": packets, "bytes": words.number()? })))
        }
        "counter" => Some(("counter", Value::Null)),
        "ct" => {
            words.expect("count")?;
            let over = words.take("over");
            let mut json = json!({ "val": words.number()? });
            insert(&mut json, "inv", over.then_some(true));
            Some(("ct count", json))
        }
        "last" => {
            if words.take("used") {
                return None;
            }
            Some(("last", Value::Null))
        }
        "limit" => Some(("limit", limit(words)?)),
        "quota" => {
            let over = words.take("over");
            let mut json = json!({ "val": words.number()?, "val_unit": words.next()? });
            insert(&mut json, "inv", over.then_some(true));
            if words.take("used") {
                insert(&mut json, "used", words.number());
                insert(&mut json, "used_unit", words.next());
            }
            Some(("quota", json))
        }
        _ => None,
    }
}

/// Reads a limit after its first word. nft's text omits the burst that a limit has by default.
pub(super) fn limit(words: &mut Words<'_>) -> Option<Value> {
    words.expect("rate")?;
    let over = words.take("over");
    let rate = words.next()?;
    let mut json = match rate.split_once('/') {
        Some((rate, per)) => {
            let burst = if words.take("burst") {
                let burst = words.number()?;
                words.expect("packets")?;
                burst
            } else {
                5
            };
            json!({ "rate": rate.parse::<u64>().ok()?, "per": per, "burst": burst })
        }
        None => {
            let (unit, per) = words.next()?.split_once('/')?;
            let (burst, burst_unit) = if words.take("burst") { (words.number()?, words.next()?) } else { (0, "bytes") };
            json!({
                "rate": rate.parse::<u64>().ok()?,
                "rate_unit": unit,
                "per": per,
                "burst": burst,
                "burst_unit": burst_unit,
            })
        }
    };
    insert(&mut json, "inv", over.then_some(true));
    Some(json)
}

fn log(words: &mut Words<'_>) -> Option<Value> {
    words.next();
    let (mut json, mut flags) = (json!({}), Vec::new());
    while let Some(word) = words.next() {
        match word {
            "prefix" => insert(&mut json, word, Some(words.quoted()?)),
            "group" | "snaplen" | "queue-threshold" => insert(&mut json, word, Some(words.number()?)),
            "level" => insert(&mut json, word, Some(words.next()?)),
            "flags" => match words.next()? {
                "tcp" => flags.extend(words.next()?.split(',').map(|flag| Cow::Owned(format!("tcp {flag}")))),
                "ip" => flags.push(format!("ip {}", words.next()?).into()),
                flag => flags.push(flag.into()),
            },
            _ => return None,
        }
    }
    insert(&mut json, "flags", one_or_several(flags));
    let is_bare = json == json!({});
    Some(json!({ "log": if is_bare { Value::Null } else { json } }))
}

/// Reads a rejection; its text omits the usual reason of the family.
fn reject(words: &mut Words<'_>, family: Family) -> Option<Value> {
    words.next();
    let (kind, code) = if !words.take("with") {
        let kind = match family {
            Family::Ip => "icmp",
            Family::Ip6 => "icmpv6",
            Family::Arp | Family::Bridge | Family::Inet | Family::Netdev => "icmpx",
        };
        (kind, json!("port-unreachable"))
    } else if words.take("tcp reset") {
        return Some(json!({ "reject": { "type": "tcp reset" } }));
    } else {
        (words.next()?, constant(words.next()?, Kind::Plain)?)
    };
    Some(json!({ "reject": { "type": kind, "expr": code } }))
}

/// Reads the target of a translation or of tproxy, and its flags.
fn nat(words: &mut Words<'_>, kind: &str) -> Option<Value> {
    let mut json = json!({});
    if let Some(family @ ("ip" | "ip6")) = words.peek() {
        words.next();
        insert(&mut json, "family", Some(family));
    }
    // What a map holds is in nft's text only where it reads that.
    let holds = [("interval", "interval"), ("prefix", "prefix"), ("addr . port", "concat")]
        .into_iter()
        .find_map(|(text, flag)| words.take(text).then_some(flag));
    let is_prefix = holds == Some("prefix");
    if words.take("to") && words.peek().is_some() {
        if words.peek() != Some(":") {
            let (address, has_port) = address(words)?;
            insert(&mut json, "addr", Some(address));
            if has_port {
                insert(&mut json, "port", Some(value(words, &[])?));
            }
        }
        if words.take(":") {
            insert(&mut json, "port", Some(value(words, &[])?));
        }
    }
    let mut flags: Vec<Cow<'_, str>> =
        words.next().map_or(Vec::new(), |flags| flags.split(',').map(Cow::Borrowed).collect());
    if is_prefix {
        flags.push("netmap".into());
    }
    if !flags.is_empty() {
        insert(&mut json, "flags", one_or_several(flags));
    }
    insert(&mut json, "type_flags", holds);
    let is_bare = json == json!({});
    Some(json!({ kind: if is_bare { Value::Null } else { json } }))
}

/// Reads an address, a range, a prefix or a map, and returns whether a port follows that was in the
/// same word.
fn address(words: &mut Words<'_>) -> Option<(Value, bool)> {
    if let Some(key) = words.maybe(fields) {
        let to = if words.take("map") { map(words, key, &[])? } else { key.json };
        return Some((to, false));
    }
    let word = words.next()?;
    let (addresses, port) = match word.rsplit_once("]:") {
        Some((addresses, port)) => (addresses, Some(port)),
        // IPv6 has more than one colon, and brackets before a port.
        None if word.matches(':').count() == 1 => word.rsplit_once(':').map(|(to, port)| (to, Some(port)))?,
        None => (word, None),
    };
    let addresses = addresses.replace(['[', ']'], "");
    if let Some(port) = port {
        words.read_again(port);
    }
    Some((constant(&addresses, Kind::Plain)?, port.is_some()))
}

fn queue(words: &mut Words<'_>) -> Option<Value> {
    words.next();
    let mut json = json!({});
    if words.take("flags") {
        let flags = words.next()?.split(',').map(Cow::Borrowed).collect();
        insert(&mut json, "flags", one_or_several(flags));
    }
    words.expect("to")?;
    insert(&mut json, "num", Some(value(words, &[])?));
    Some(json!({ "queue": json }))
}

fn dup(words: &mut Words<'_>) -> Option<Value> {
    words.next();
    words.expect("to")?;
    let mut json = json!({ "addr": value(words, &[Kind::Of(DataType::Ifindex)])? });
    if words.take("device") {
        insert(&mut json, "dev", Some(value(words, &[Kind::Of(DataType::Ifindex)])?));
    }
    Some(json!({ "dup": json }))
}

fn fwd(words: &mut Words<'_>) -> Option<Value> {
    words.next();
    let family = words.peek().filter(|word| matches!(*word, "ip" | "ip6"));
    if family.is_some() {
        words.next();
    }
    words.expect("to")?;
    let first = value(words, &[Kind::Of(DataType::Ifindex)])?;
    let json = match family {
        None => json!({ "dev": first }),
        Some(family) => {
            words.expect("device")?;
            json!({ "dev": value(words, &[Kind::Of(DataType::Ifindex)])?, "family": family, "addr": first })
        }
    };
    Some(json!({ "fwd": json }))
}

/// Reads a change of an element. nft has no form for one of a map.
fn update(words: &mut Words<'_>) -> Option<Value> {
    let (op, name) = (words.next()?, words.next()?);
    let (key, state) = in_braces(words)?;
    let mut json = json!({ "op": op, "elem": key, "set": name });
    if !state.is_empty() {
        insert(&mut json, "stmt", Some(state));
    }
    Some(json!({ "set": json }))
}

fn meter(words: &mut Words<'_>) -> Option<Value> {
    words.next();
    let name = words.next()?;
    let mut json = json!({ "name": name });
    if words.take("size") {
        insert(&mut json, "size", Some(words.number()?));
    }
    let (key, mut state) = in_braces(words)?;
    insert(&mut json, "key", Some(key));
    insert(&mut json, "stmt", state.pop().filter(|_| state.is_empty()));
    Some(json!({ "meter": json }))
}

/// Reads `{ ip saddr timeout 1m counter }`: the element, and what it carries.
fn in_braces(words: &mut Words<'_>) -> Option<(Value, Vec<Value>)> {
    words.expect("{")?;
    let mut key = fields(words)?.json;
    if words.take("timeout") {
        key = json!({ "elem": { "val": key, "timeout": seconds(words.next()?)? } });
    }
    let mut state = Vec::new();
    while words.peek()? != "}" {
        let (kind, carried) = state_of(words)?;
        state.push(json!({ kind: carried }));
    }
    words.expect("}")?;
    Some((key, state))
}

fn synproxy(words: &mut Words<'_>) -> Option<Value> {
    words.next();
    let (mut json, mut flags) = (json!({}), Vec::new());
    while let Some(word) = words.next() {
        match word {
            "mss" | "wscale" => insert(&mut json, word, Some(words.number()?)),
            flag => flags.push(flag),
        }
    }
    if !flags.is_empty() {
        insert(&mut json, "flags", Some(flags));
    }
    let is_bare = json == json!({});
    Some(json!({ "synproxy": if is_bare { Value::Null } else { json } }))
}

/// Reads an element of a named set.
pub(super) fn element_of(text: &str, key: &[Kind], data: &[Kind]) -> Value {
    let mut words = Words::of(text);
    match element(&mut words, key, data).filter(|_| words.is_end()) {
        Some(json) => json,
        // An object, which is no element to nft whatever the type of the set; a text could be one.
        None => json!({ text: null }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_translation_has_its_address_and_port_apart() {
        let map = |key: &str, of: &str, data: Value| json!({ "map": { "key": { "payload": { "protocol": of, "field": key } }, "data": data } });
        let ports = || map("dport", "tcp", json!({ "set": [[1, 2]] }));
        for (text, addr, port) in [
            ("dnat to 10.0.0.1:80", json!("10.0.0.1"), json!(80)),
            ("dnat to [fe80::1]:80-90", json!("fe80::1"), json!({ "range": [80, 90] })),
            ("dnat to 10.0.0.1:tcp dport map { 1 : 2 }", json!("10.0.0.1"), ports()),
            ("dnat to [fe80::1]:tcp dport map { 1 : 2 }", json!("fe80::1"), ports()),
            ("dnat to ip saddr map @m:80", map("saddr", "ip", json!("@m")), json!(80)),
            ("dnat to ip saddr map @m:tcp dport map { 1 : 2 }", map("saddr", "ip", json!("@m")), ports()),
            (
                "dnat to ip saddr map { 1.1.1.1 : 2.2.2.2 }:tcp dport map { 1 : 2 }",
                map("saddr", "ip", json!({ "set": [["1.1.1.1", "2.2.2.2"]] })),
                ports(),
            ),
        ] {
            assert_eq!(statement(text, Family::Ip), json!({ "dnat": { "addr": addr, "port": port } }), "{text}");
        }
    }
}
