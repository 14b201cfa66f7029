//! Expressions: fields and what is computed of them, constants, sets.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::statement::{state_of, verdict};
use super::words::{Words, unquoted};
use crate::model::{DataType, Exthdr, ExthdrOf, Field, Value as Model};

/// How nft writes constants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// As those of this type.
    Of(DataType),
    /// As text, of a type that has no name here.
    Text,
    #[default]
    Plain,
}

impl Kind {
    /// Returns whether one is compared as bits: `ct state new` compares some and `ct state == new`
    /// all.
    fn is_bits(self) -> bool {
        let types = [DataType::CtLabel, DataType::CtState, DataType::CtStatus, DataType::TcpFlags];
        types.iter().any(|of| self == Kind::Of(*of))
    }

    /// Returns whether numbers are text: the index of an interface that has no name.
    fn is_text(self) -> bool {
        [Kind::Text, Kind::Of(DataType::Ifindex), Kind::Of(DataType::Realm)].contains(&self)
    }

    /// Returns the constant with a number that is an end of a range. nft's text has numbers there,
    /// its JSON the names of what is in network order.
    fn named(self, number: u64) -> Option<Value> {
        let Kind::Of(of) = self else { return None };
        let has_names = !of.is_host_order() && of != DataType::Protocol || of == DataType::Devgroup;
        let text = Model::of_number(number.into(), of).filter(|_| has_names)?.to_string();
        constant(&text, self)
    }
}

/// An expression, and the kinds of its constants: several for a concatenation.
pub(super) struct Expression {
    pub(super) json: Value,
    pub(super) kinds: Vec<Kind>,
}

impl Expression {
    fn of(json: Value, kind: Kind) -> Self {
        Expression { json, kinds: vec![kind] }
    }

    /// Returns whether it is one field that is compared as bits.
    pub(super) fn is_bits(&self) -> bool {
        matches!(self.kinds.as_slice(), [kind] if kind.is_bits())
    }
}

/// Reads fields: one, several with dots between, or what is computed of them.
pub(super) fn fields(words: &mut Words<'_>) -> Option<Expression> {
    let first = computed(words)?;
    if words.peek() != Some(".") {
        return Some(first);
    }
    let (mut parts, mut kinds) = (vec![first.json], first.kinds);
    while words.take(".") {
        let Expression { json, kinds: more } = computed(words)?;
        parts.push(json);
        kinds.extend(more);
    }
    Some(Expression { json: json!({ "concat": parts }), kinds })
}

/// Reads a field, and operations on its bits.
fn computed(words: &mut Words<'_>) -> Option<Expression> {
    let Expression { mut json, kinds } = if words.take("(") {
        let inner = computed(words)?;
        words.expect(")")?;
        inner
    } else {
        field(words)?
    };
    let kind = kinds.first().copied().unwrap_or_default();
    while let Some(operator @ ("&" | "|" | "^" | "<<" | ">>")) = words.peek() {
        words.next();
        let right = match words.maybe(field) {
            Some(other) => other.json,
            None if words.take("(") => {
                let inner = constants(words, &[kind])?;
                words.expect(")")?;
                inner
            }
            None => constant(words.next()?, kind)?,
        };
        json = json!({ operator: [json, right] });
    }
    Some(Expression { json, kinds })
}

/// Reads one field by nft's name.
fn field(words: &mut Words<'_>) -> Option<Expression> {
    let first = words.peek()?;
    if let Some(raw) = first.strip_prefix('@') {
        let raw = words.maybe(|words| {
            words.next();
            let (base, place) = raw.split_once(',')?;
            let (offset, bits) = place.split_once(',')?;
            let (offset, bits): (u64, u64) = (offset.parse().ok()?, bits.parse().ok()?);
            Some(json!({ "payload": { "base": base, "offset": offset, "len": bits } }))
        });
        return raw.map(|json| Expression::of(json, Kind::Plain));
    }
    if let Some(found) = parameters(words, first) {
        return Some(found);
    }
    // The longest name first. `meta nftrace` is no field that is compared.
    let named = (1..=3).rev().find_map(|count| {
        let name = (0..count).map(|index| words.peek_at(index)).collect::<Option<Vec<_>>>()?.join(" ");
        let field = Field::ALL.iter().find(|field| field.name() == name)?;
        Some((Kind::Of(field.data_type()), name))
    });
    let nameless = || Some((Kind::Plain, format!("meta {}", words.peek_at(1).filter(|_| first == "meta")?)));
    let (kind, name) = named.or_else(nameless)?;
    words.take(&name).then_some(())?;
    let json = match name.split_once(' ') {
        None => json!({ "meta": { "key": name } }),
        Some((of @ ("ct" | "meta" | "rt" | "socket"), key)) => json!({ of: { "key": key } }),
        Some((protocol, field)) => json!({ "payload": { "protocol": protocol, "field": field } }),
    };
    Some(Expression::of(json, kind))
}

/// Reads a field that has parameters.
fn parameters(words: &mut Words<'_>, first: &str) -> Option<Expression> {
    let plain = |json| Expression::of(json, Kind::Plain);
    words
        .maybe(|words| match first {
            "ct" => {
                words.next();
                let direction = words.next().filter(|word| matches!(*word, "original" | "reply"))?;
                let key = match words.next()? {
                    family @ ("ip" | "ip6") => format!("{family} {}", words.next()?),
                    key => key.to_owned(),
                };
                Some(plain(json!({ "ct": { "key": key, "dir": direction } })))
            }
            "fib" => fib(words),
            "ipsec" => ipsec(words).map(plain),
            "jhash" => jhash(words).map(plain),
            "numgen" => {
                words.next();
                let mode = words.next()?;
                words.expect("mod")?;
                let (modulus, offset) = (words.number()?, offset(words)?.unwrap_or(0));
                Some(plain(json!({ "numgen": { "mode": mode, "mod": modulus, "offset": offset } })))
            }
            "osf" => {
                words.next();
                let ttl = if words.take("ttl") { Some(words.next()?) } else { None };
                let key = words.next()?;
                let mut json = json!({ "key": key });
                insert(&mut json, "ttl", ttl);
                Some(plain(json!({ "osf": json })))
            }
            "rt" => {
                words.next();
                match words.next()? {
                    family @ ("ip" | "ip6") => Some(plain(json!({ "rt": { "key": words.next()?, "family": family } }))),
                    "classid" => Some(Expression::of(json!({ "rt": { "key": "classid" } }), Kind::Of(DataType::Realm))),
                    key @ ("ipsec" | "mtu") => Some(plain(json!({ "rt": { "key": key } }))),
                    _ => None,
                }
            }
            // nft omits the level.
            "socket" if words.take("socket cgroupv2 level") => {
                words.number()?;
                Some(Expression::of(json!({ "socket": { "key": "cgroupv2" } }), Kind::Text))
            }
            "symhash" => {
                words.next();
                words.expect("mod")?;
                let modulus = words.number()?;
                let mut json = json!({ "mod": modulus });
                insert(&mut json, "offset", offset(words)?);
                Some(plain(json!({ "symhash": json })))
            }
            _ => None,
        })
        .or_else(|| words.maybe(exthdr).map(plain))
}

fn offset(words: &mut Words<'_>) -> Option<Option<u64>> {
    if words.take("offset") { words.number().map(Some) } else { Some(None) }
}

fn fib(words: &mut Words<'_>) -> Option<Expression> {
    words.next();
    let mut flags = vec![words.next()?];
    while words.take(".") {
        flags.push(words.next()?);
    }
    let result = words.next().filter(|word| matches!(*word, "oif" | "oifname" | "type"))?;
    let kind = match result {
        "oif" => Kind::Of(DataType::Ifindex),
        "type" => Kind::Of(DataType::AddrType),
        _ => Kind::Plain,
    };
    Some(Expression::of(json!({ "fib": { "result": result, "flags": flags } }), kind))
}

fn ipsec(words: &mut Words<'_>) -> Option<Value> {
    words.next();
    let direction = words.next()?;
    let number = if words.take("spnum") { words.number()? } else { 0 };
    let family = words.peek().filter(|word| matches!(*word, "ip" | "ip6"));
    if family.is_some() {
        words.next();
    }
    let mut json = json!({ "key": words.next()?, "dir": direction, "spnum": number });
    insert(&mut json, "family", family);
    Some(json!({ "ipsec": json }))
}

fn jhash(words: &mut Words<'_>) -> Option<Value> {
    words.next();
    let of = fields(words)?.json;
    words.expect("mod")?;
    let mut json = json!({ "mod": words.number()?, "expr": of });
    if words.take("seed") {
        insert(&mut json, "seed", Some(number(words.next()?)?));
    }
    insert(&mut json, "offset", offset(words)?);
    Some(json!({ "jhash": json }))
}

/// Reads a part of an extension header, an option or a chunk, or that it is there.
fn exthdr(words: &mut Words<'_>) -> Option<Value> {
    if words.take("exthdr") {
        return Some(json!({ "exthdr": { "name": words.next()? } }));
    }
    for of in ["tcp option", "ip option", "sctp chunk"] {
        if !words.take(of) {
            continue;
        }
        let name = words.next()?;
        if let Some(raw) = name.strip_prefix('@') {
            let mut numbers = raw.split(',').map(|part| part.parse::<u64>().ok());
            let (base, offset, bits) = (numbers.next()??, numbers.next()??, numbers.next()??);
            return Some(json!({ of: { "base": base, "offset": offset, "len": bits } }));
        }
        if let Ok(base) = name.parse::<u64>() {
            return Some(json!({ of: { "base": base, "offset": 0, "len": 8 } }));
        }
        let part = words.peek().filter(|part| Exthdr::named(&format!("{of} {name} {part}")).is_some());
        let mut json = json!({ "name": name });
        if part.is_some() {
            words.next();
        }
        insert(&mut json, "field", part);
        return Some(json!({ of: json }));
    }
    let (name, part) = (words.next()?, words.next()?);
    let found = Exthdr::named(&format!("{name} {part}")).filter(|found| found.of == ExthdrOf::Ipv6);
    found.map(|_| json!({ "exthdr": { "name": name, "field": part } }))
}

/// Reads what a rule computes: fields, a map of them, or constants.
pub(super) fn value(words: &mut Words<'_>, kinds: &[Kind]) -> Option<Value> {
    match words.maybe(fields) {
        Some(key) if words.take("map") => Some(map(words, key, kinds)?),
        Some(of) => Some(of.json),
        None => constants(words, kinds),
    }
}

/// Reads the map that a key is looked up in.
pub(super) fn map(words: &mut Words<'_>, key: Expression, data: &[Kind]) -> Option<Value> {
    let set = set(words, &key.kinds, data)?;
    Some(json!({ "map": { "key": key.json, "data": set } }))
}

/// Reads `@name` or elements in braces.
pub(super) fn set(words: &mut Words<'_>, key: &[Kind], data: &[Kind]) -> Option<Value> {
    if let Some(name) = words.peek().filter(|word| word.starts_with('@')) {
        words.next();
        return Some(json!(name));
    }
    words.expect("{")?;
    let mut elements = vec![element(words, key, data)?];
    while words.take(",") {
        elements.push(element(words, key, data)?);
    }
    words.expect("}")?;
    Some(json!({ "set": elements }))
}

/// Reads an element, with what it carries and maps to.
pub(super) fn element(words: &mut Words<'_>, key: &[Kind], data: &[Kind]) -> Option<Value> {
    let value = constants(words, key)?;
    let mut carried = Map::new();
    while let Some(word) = words.peek() {
        let (name, what) = match word {
            "timeout" | "expires" => (word, words.next().and_then(|_| seconds(words.next()?)).map(Value::from)?),
            "comment" => (word, words.next().and_then(|_| words.quoted()).map(Value::from)?),
            "counter" | "ct" | "last" | "limit" | "quota" => state_of(words)?,
            _ => break,
        };
        carried.insert(name.to_owned(), what);
    }
    let left = match carried.is_empty() {
        true => value,
        false => {
            carried.insert("val".to_owned(), value);
            json!({ "elem": carried })
        }
    };
    if !words.take(":") {
        return Some(left);
    }
    let right = match words.maybe(verdict) {
        Some(verdict) => verdict,
        None => constants(words, data)?,
    };
    Some(json!([left, right]))
}

/// Reads constants with dots between, each of its kind, perhaps with bars between several of it.
pub(super) fn constants(words: &mut Words<'_>, kinds: &[Kind]) -> Option<Value> {
    let kind = |index: usize| kinds.get(index).copied().unwrap_or_default();
    let mut parts = vec![joined(words, kind(0))?];
    while words.take(".") {
        parts.push(joined(words, kind(parts.len()))?);
    }
    if parts.len() > 1 { Some(json!({ "concat": parts })) } else { parts.pop() }
}

/// Reads constants of a kind with bars between.
fn joined(words: &mut Words<'_>, kind: Kind) -> Option<Value> {
    let mut joined = constant(words.next()?, kind)?;
    while words.take("|") {
        let next = constant(words.next()?, kind)?;
        joined = json!({ "|": [joined, next] });
    }
    Some(joined)
}

/// Reads one word as a value, a prefix, a range or a list of bits.
pub(super) fn constant(word: &str, kind: Kind) -> Option<Value> {
    if let Some(text) = unquoted(word) {
        return Some(json!(text));
    }
    if let Some((low, high)) = ends(word) {
        let end = |end| number(end).and_then(|number| kind.named(number)).or_else(|| constant(end, kind));
        return Some(json!({ "range": [end(low)?, end(high)?] }));
    }
    if let Some((address, length)) = word.rsplit_once('/') {
        let length: u64 = length.parse().ok()?;
        return Some(json!({ "prefix": { "addr": constant(address, kind)?, "len": length } }));
    }
    if word.contains(',') {
        let bits = word.split(',').map(|bit| constant(bit, kind)).collect::<Option<Vec<_>>>()?;
        return Some(Value::Array(bits));
    }
    match word {
        "exists" => return Some(json!(true)),
        "missing" => return Some(json!(false)),
        _ if word.contains(['{', '}', '"', '<', '(', ')', ';']) => return None,
        _ => {}
    }
    Some(match number(word).or_else(|| seconds(word)) {
        Some(number) if !kind.is_text() => json!(number),
        _ => json!(word),
    })
}

/// Returns the two ends of a range. Names have hyphens too.
fn ends(word: &str) -> Option<(&str, &str)> {
    let is_end = |end: &&str| end.starts_with(|c: char| c.is_ascii_digit() || c == '"') || end.contains(':');
    let mut quoted = false;
    let at = word.find(|c| {
        quoted ^= c == '"';
        c == '-' && !quoted
    })?;
    let (low, high) = (word.get(..at)?, word.get(at + 1..)?);
    (is_end(&low) && is_end(&high)).then_some((low, high))
}

/// Returns a number in decimal or hexadecimal that fits in 64 bits.
pub(super) fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if word.starts_with(|c: char| c.is_ascii_digit()) => word.parse().ok(),
        None => None,
    }
}

/// Returns the seconds of a time such as `1m30s`; nft omits what is left of a second.
pub(super) fn seconds(word: &str) -> Option<u64> {
    let (mut rest, mut milliseconds) = (word, 0_u64);
    let mut before = u64::MAX;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let of = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        // The units come in this order, each once.
        if of >= before {
            return None;
        }
        before = of;
        milliseconds = count.parse::<u64>().ok()?.checked_mul(of)?.checked_add(milliseconds)?;
        rest = after;
    }
    (!word.is_empty()).then_some(milliseconds / 1_000)
}

/// Adds a property, if there is one.
pub(super) fn insert(json: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let (Value::Object(object), Some(value)) = (json, value) {
        object.insert(name.to_owned(), value.into());
    }
}

/// Returns one as it is and several in an array, as nft writes flags.
pub(super) fn one_or_several(mut values: Vec<Cow<'_, str>>) -> Option<Value> {
    match values.len() {
        0 => None,
        1 => values.pop().map(|one| json!(one)),
        _ => Some(json!(values)),
    }
}
