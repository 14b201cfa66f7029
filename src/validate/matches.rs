//! Checks comparisons and lookups: whether operand, operator and fields fit together.

use super::location::At;
use super::problem::Problem;
use super::protocols::Packets;
use super::sets::{Elements, Of, data_name};
use super::{Checked, Complete, Fault, names};
use crate::model::{BitOp, Bits, DataType, Field, Hash, Match, Op, Operand, Selector, SetData, SetRef, Value};

impl Checked<'_, '_> {
    pub(super) fn matches(&self, at: At<'_>, matches: &Match, packets: &mut Packets, faults: &mut Vec<Fault>) {
        let Match { selector, op, operand } = matches;
        packets.read(at, selector, faults);
        packets.compared(at, selector, *op, operand, faults);
        if let Operand::Set(set) = operand {
            if !matches!(op, Op::Eq | Op::Ne) {
                at.report(
                    faults,
                    Problem::Operand { fault: "nothing is less or greater than a set; use Op::Eq or Op::Ne" },
                );
            }
            self.lookup(at, selector, set, &SetData::None, faults);
            return;
        }
        self.computed(at, selector, faults);
        if matches!(selector, Selector::Concat(_)) {
            let fault = "several fields are looked up in a set; give one, named or anonymous";
            at.report(faults, Problem::Operand { fault });
            return;
        }
        comparison(at, selector.data_type(), *op, operand, faults);
        match selector.as_field() {
            Some(Field::CtSecmark | Field::Secmark) => {
                at.report(
                    faults,
                    Problem::Operand { fault: "nft compares no security marks; copy them with .set(...)" },
                );
            }
            Some(Field::CtEvent | Field::Nftrace) => {
                at.report(faults, Problem::Operand { fault: "it can only be set; match something else" });
            }
            Some(field) => {
                if let Some(bits) = field.bits() {
                    part(at, bits, operand, faults);
                }
            }
            None if matches!(operand, Operand::Range(..) | Operand::Value(_)) => {}
            None => {
                let fault = "what is computed is compared with a value, a range or a set";
                at.report(faults, Problem::Operand { fault });
            }
        }
    }

    /// Checks bit arithmetic and hashes.
    pub(super) fn computed(&self, at: At<'_>, selector: &Selector, faults: &mut Vec<Fault>) {
        let mut fault = |fault| at.report(faults, Problem::Operand { fault });
        match selector {
            Selector::Field(_) => {}
            Selector::Concat(parts) => {
                if parts.len() > 1 && parts.iter().any(|part| matches!(part, Selector::Concat(_) | Selector::Hash(_))) {
                    fault("a part of a key is a field or bits of one; hash or join the fields of the whole key");
                }
                parts.iter().for_each(|part| self.computed(at, part, faults));
            }
            Selector::Hash(hash) => {
                let Hash { of, modulus, seed: _, offset } = &**hash;
                let bytes: usize = of.key().map(|part| part.bytes().next_multiple_of(4)).sum();
                if *modulus == 0 || modulus.checked_add(*offset).is_none() {
                    fault("a hash has 1 to 2^32 - 1 results, with the offset too");
                } else if !(1..=48).contains(&bytes) {
                    fault("12 words of 4 bytes at most are hashed at once; hash fewer fields");
                }
                self.computed(at, of, faults);
            }
            Selector::Bits(bits) => {
                let Bits { of, ops } = &**bits;
                let wanted = of.data_type();
                if ops.is_empty() || !matches!(of, Selector::Field(_) | Selector::Hash(_)) {
                    fault("operations on bits are of one field, one after the other");
                } else if matches!(wanted, DataType::Ifname | DataType::Text) {
                    fault("a text has no bits; compare it as it is");
                }
                for op in ops {
                    match op {
                        BitOp::And(value) | BitOp::Or(value) | BitOp::Xor(value) => {
                            is_of(at, value, wanted, faults);
                        }
                        BitOp::ShiftLeft(by) | BitOp::ShiftRight(by) => {
                            if !(1..32).contains(by) {
                                at.report(faults, Problem::Operand { fault: "a shift is by 1 to 31 bits" });
                            }
                        }
                    }
                }
                self.computed(at, of, faults);
            }
        }
    }

    /// Checks a lookup of the fields in a set whose elements have `data`.
    pub(super) fn lookup(
        &self,
        at: At<'_>,
        selector: &Selector,
        set: &SetRef,
        data: &SetData,
        faults: &mut Vec<Fault>,
    ) {
        self.computed(at, selector, faults);
        let key: smallvec::SmallVec<[DataType; 4]> = selector.key().collect();
        key_width(at, &key, faults);
        let parts: smallvec::SmallVec<[u32; 4]> =
            selector.parts().iter().filter_map(Selector::as_field).filter_map(Field::bits).collect();
        match (parts.first(), set) {
            (Some(bits), SetRef::Anonymous(elements)) if key.len() == 1 => {
                let ends =
                    elements.iter().flat_map(|element| element.key.parts()).flat_map(|part| [&part.low, &part.high]);
                bits_fit(at, *bits, ends, faults);
            }
            (Some(_), _) => {
                let is_wide = |field: Field| {
                    field.bits().zip(field.shift()).is_some_and(|(bits, shift)| {
                        usize::try_from((bits + shift).div_ceil(8)).ok() != Some(field.data_type().bytes())
                    })
                };
                if selector.parts().iter().filter_map(Selector::as_field).any(is_wide) {
                    let fault = "a field whose bits are in two bytes is looked up alone, in an anonymous set";
                    at.report(faults, Problem::Operand { fault });
                }
            }
            (None, _) => {}
        }
        match set {
            SetRef::Anonymous(elements) if elements.is_empty() => at.report(faults, Problem::EmptySet),
            SetRef::Anonymous(elements) => {
                let elements = Elements { of: Of::Rule, key: &key, data, elements };
                self.elements(at, &elements, faults);
            }
            SetRef::Named(name) => match self.find_set(name) {
                None if self.view.complete == Complete::Part => {}
                None => at.report(faults, Problem::UnknownSet { name: name.clone() }),
                // The types of a set that is kept as it was read are not known.
                Some(found) if found.opaque().is_some() => {}
                Some(found) => {
                    if found.key.as_slice() != key.as_slice() {
                        let (wanted, found) = (types(&found.key), types(&key));
                        at.report(faults, Problem::KeyMismatch { wanted, found });
                    }
                    // A map can be asked for a key, too.
                    if *data != SetData::None && found.data != *data {
                        let (wanted, found) = (data_name(data), data_name(&found.data));
                        at.report(faults, Problem::NotThatMap { set: name.clone(), wanted, found });
                    }
                }
            },
        }
    }
}

/// Checks that a key fits in sixteen registers of four bytes: `NFT_REG32_COUNT`,
/// include/uapi/linux/netfilter/nf_tables.h.
pub(super) fn key_width(at: At<'_>, key: &[DataType], faults: &mut Vec<Fault>) {
    let bytes = key.iter().map(|part| part.bytes().next_multiple_of(4)).sum();
    if !(1..=64).contains(&bytes) {
        at.report(faults, Problem::KeyWidth { bytes });
    }
}

/// Returns a key as nft(8) writes it, `ipv4_addr . inet_service`.
fn types(key: &[DataType]) -> String {
    key.iter().map(|part| part.name()).collect::<Vec<_>>().join(" . ")
}

fn comparison(at: At<'_>, wanted: DataType, op: Op, operand: &Operand, faults: &mut Vec<Fault>) {
    if !matches!(op, Op::Eq | Op::Ne) {
        if !matches!(operand, Operand::Value(_)) {
            let fault = "an order compares with one value; use Op::Eq or Op::Ne for everything else";
            at.report(faults, Problem::Operand { fault });
        } else if !is_ordered(wanted) && wanted != DataType::TcpFlags {
            at.report(faults, Problem::NotOrderable { of: wanted });
        }
    }
    match operand {
        // Looked up, not compared.
        Operand::Set(_) => {}
        Operand::Value(value) => {
            if is_of(at, value, wanted, faults) {
                names::interface(at, value, faults);
            }
        }
        Operand::Range(low, high) => {
            if is_of(at, low, wanted, faults) && is_of(at, high, wanted, faults) {
                if !is_ordered(wanted) {
                    at.report(faults, Problem::NotOrderable { of: wanted });
                } else if low > high {
                    at.report(faults, Problem::Reversed);
                }
            }
        }
        Operand::Prefix(address, length) => {
            let width = match wanted {
                DataType::Ipv4 => 32,
                DataType::Ipv6 => 128,
                _ => {
                    at.report(
                        faults,
                        Problem::Operand { fault: "only addresses have prefixes; use a range or a mask" },
                    );
                    return;
                }
            };
            if is_of(at, address, wanted, faults) && *length > width {
                at.report(faults, Problem::BadPrefix { length: *length, width });
            }
        }
        Operand::Flags(value) => {
            if is_of(at, value, wanted, faults) {
                match bits(value) {
                    Some(0) => {
                        let fault = "there are no bits in it, so no packet has one of them; name at least one";
                        at.report(faults, Problem::NeverMatches { fault });
                    }
                    Some(_) if is_bitmask(wanted) => {}
                    Some(_) | None => {
                        let fault =
                            "only ct label, ct state, ct status and tcp flags are sets of bits; use a value or a mask";
                        at.report(faults, Problem::Operand { fault });
                    }
                }
            }
        }
        Operand::Masked { mask, value } => {
            if is_of(at, mask, wanted, faults) && is_of(at, value, wanted, faults) {
                match (bits(mask), bits(value)) {
                    (Some(mask), Some(value)) if value & !mask == 0 => {}
                    (Some(_), Some(_)) => {
                        let fault = "the value has bits that the mask takes away, so it is never equal; widen the mask";
                        at.report(faults, Problem::NeverMatches { fault });
                    }
                    _ => at.report(faults, Problem::Operand { fault: "this field has no mask; use a value or a set" }),
                }
            }
        }
    }
}

/// Checks a comparison of a field that is part of its bytes.
fn part(at: At<'_>, bits: u32, operand: &Operand, faults: &mut Vec<Fault>) {
    let values: &[&Value] = match operand {
        Operand::Value(value) => &[value],
        Operand::Range(low, high) => &[low, high],
        Operand::Flags(_) | Operand::Masked { .. } | Operand::Prefix(..) | Operand::Set(_) => {
            let fault = "this field is a part of a byte, which has no mask; use a value, a range or an anonymous set";
            at.report(faults, Problem::Operand { fault });
            return;
        }
    };
    bits_fit(at, bits, values.iter().copied(), faults);
}

fn bits_fit<'v>(at: At<'_>, bits: u32, values: impl Iterator<Item = &'v Value>, faults: &mut Vec<Fault>) {
    for number in values.filter_map(|value| value.number()).filter(|number| number >> bits != 0) {
        at.report(faults, Problem::TooManyBits { number, bits });
    }
}

/// Returns whether the value can be compared with the type; reports the reason if not.
pub(super) fn is_of(at: At<'_>, value: &Value, wanted: DataType, faults: &mut Vec<Fault>) -> bool {
    let fault = match value {
        Value::Text(text) if text.len() > DataType::Text.bytes() => Some("a text has at most 16 bytes; shorten it"),
        Value::Text(text) if text.contains(|c: char| c == '"' || c.is_control()) => {
            Some("nft has no words for a text with quotes or control characters; remove these")
        }
        Value::Date(nanoseconds) if nanoseconds % 1_000_000_000 != 0 => {
            Some("nft has no words for parts of a second of a moment; use whole seconds")
        }
        Value::Hour(seconds) if *seconds >= 24 * 3600 => Some("a day ends before 24:00:00; use an earlier hour"),
        _ => None,
    };
    if let Some(fault) = fault {
        at.report(faults, Problem::Operand { fault });
        return false;
    }
    let good = value.is_of(wanted);
    if !good {
        let problem = match (value, wanted) {
            (Value::Integer(value), DataType::Integer { bytes } | DataType::NetworkInteger { bytes }) => {
                Problem::ValueTooLarge { value: *value, bytes }
            }
            _ => Problem::WrongType { wanted, found: value.type_name() },
        };
        at.report(faults, problem);
    }
    good
}

/// Returns whether the order of a type's values is meaningful; names and sets of bits have none.
pub(super) fn is_ordered(of: DataType) -> bool {
    of != DataType::Ifname && of != DataType::Text && !is_bitmask(of)
}

fn is_bitmask(of: DataType) -> bool {
    matches!(of, DataType::CtEvent | DataType::CtLabel | DataType::CtState | DataType::CtStatus | DataType::TcpFlags)
}

/// Returns a value as bits, for the types that can be masked.
fn bits(value: &Value) -> Option<u128> {
    value.number()
}
