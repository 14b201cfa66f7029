//! The names that nft(8) has for fields, types and constants, found in the model's tables by what
//! they print.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::model::{DataType, Field, Value};

/// A name of a field: its words, and the field.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) words: Vec<&'static str>,
    pub(super) field: Field,
}

/// Returns the fields whose names begin with this word, those with more words first.
pub(super) fn fields(first: &str) -> &'static [Named] {
    static FIELDS: OnceLock<HashMap<&'static str, Vec<Named>>> = OnceLock::new();
    let fields = FIELDS.get_or_init(|| {
        let mut fields: HashMap<&'static str, Vec<Named>> = HashMap::new();
        for field in Field::ALL {
            let words: Vec<&'static str> = field.name().split(' ').collect();
            let other = match words.as_slice() {
                ["meta", key] if UNQUALIFIED.contains(key) => Some(vec![*key]),
                [key] if UNQUALIFIED.contains(key) => Some(vec!["meta", *key]),
                _ => None,
            };
            let name = field.name();
            let further = FURTHER.iter().filter(|(_, usual)| *usual == name).map(|(words, _)| words.to_vec());
            for words in std::iter::once(words).chain(other).chain(further) {
                let Some(first) = words.first() else { continue };
                fields.entry(first).or_default().push(Named { words, field: *field });
            }
        }
        fields.values_mut().for_each(|named| named.sort_by_key(|named| std::cmp::Reverse(named.words.len())));
        fields
    });
    fields.get(first).map_or(&[], Vec::as_slice)
}

/// The keys that may stand without `meta` (src/parser_bison.y, `meta_key_unqualified`, 1.0.6).
const UNQUALIFIED: &[&str] = &[
    "cgroup",
    "cpu",
    "day",
    "hour",
    "ibrname",
    "iif",
    "iifgroup",
    "iifname",
    "iiftype",
    "ipsec",
    "mark",
    "nftrace",
    "obrname",
    "oif",
    "oifgroup",
    "oifname",
    "oiftype",
    "pkttype",
    "rtclassid",
    "skgid",
    "skuid",
    "time",
];

/// Further names of fields that nft reads, and never prints.
const FURTHER: &[(&[&str], &str)] = &[
    (&["ibriport"], "meta ibrname"),
    (&["meta", "ibriport"], "meta ibrname"),
    (&["meta", "obriport"], "meta obrname"),
    (&["meta", "secpath"], "meta ipsec"),
    (&["obriport"], "meta obrname"),
    (&["vlan", "cfi"], "vlan dei"),
];

/// Returns the type with that name.
pub(super) fn data_type(name: &str) -> Option<DataType> {
    // Of the two that nft calls time, it takes the span.
    DataType::NAMED.iter().copied().find(|data| data.name() == name && *data != DataType::Date)
}

/// Returns the names of all types.
pub(super) fn data_types() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = DataType::NAMED.iter().map(|data| data.name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns the constant of that type with that name.
pub(super) fn constant(of: DataType, name: &str) -> Option<Value> {
    of_type(of).get(name).cloned()
}

/// Returns the names of a type's constants.
pub(super) fn constants(of: DataType) -> Vec<&'static str> {
    let mut named: Vec<(&Value, &'static str)> =
        of_type(of).iter().map(|(name, value)| (value, name.as_str())).collect();
    named.sort();
    named.into_iter().map(|(_, name)| name).collect()
}

type Names = HashMap<String, Value>;

fn of_type(of: DataType) -> &'static Names {
    static CONSTANTS: OnceLock<HashMap<DataType, Names>> = OnceLock::new();
    static NONE: OnceLock<Names> = OnceLock::new();
    let constants = CONSTANTS.get_or_init(|| DataType::NAMED.iter().map(|of| (*of, named(*of))).collect());
    constants.get(&of).unwrap_or_else(|| NONE.get_or_init(Names::new))
}

/// Returns the constants of a type that print as a name.
fn named(of: DataType) -> Names {
    let bits = |width: u32| (0..width).map(|bit| 1_u128 << bit);
    let numbers: Vec<u128> = match of {
        DataType::CtEvent | DataType::CtState | DataType::CtStatus => bits(32).collect(),
        DataType::TcpFlags => bits(8).collect(),
        DataType::AddrType => (0..=32).collect(),
        DataType::Classid | DataType::Devgroup | DataType::Realm => vec![0, u32::MAX.into()],
        DataType::Bitmask
        | DataType::CtLabel
        | DataType::Integer { .. }
        | DataType::NetworkInteger { .. }
        | DataType::Port => Vec::new(),
        of if of.bytes() <= 2 => (0..1 << (8 * of.bytes())).collect(),
        _ => Vec::new(),
    };
    let mut names: Names = numbers
        .into_iter()
        .filter_map(|number| Value::of_number(number, of))
        .map(|value| (value.to_string().trim_matches('"').to_owned(), value))
        .filter(|(name, _)| !name.starts_with("0x") && name.contains(|c: char| c.is_ascii_alphabetic()))
        .collect();
    // Further names that nft reads, and never prints.
    for (of_these, other, usual) in OTHERS {
        if let (true, Some(value)) = (*of_these == of, names.get(*usual).cloned()) {
            names.insert((*other).to_owned(), value);
        }
    }
    names
}

const OTHERS: &[(DataType, &str, &str)] = &[
    (DataType::Dscp, "be", "cs0"),
    (DataType::Dscp, "df", "cs0"),
    (DataType::EtherType, "vlan", "8021q"),
    (DataType::PktType, "unicast", "host"),
    (DataType::Protocol, "comp", "ipcomp"),
    (DataType::Protocol, "icmpv6", "ipv6-icmp"),
];
