//! Reads what is loaded into registers: one field, or the key of a lookup.

use super::super::codes::LookupSet;
use super::super::expr::Expr;
use super::super::fields::{Part, field_of, load, part};
use super::super::keys::Register;
use super::super::lower::Known;
use super::super::set::SetMode;
use super::{in_order, raise_elements};
use crate::model::{
    DataType, Element, Family, Field, Interval, Key, Link, Needs, Nfproto, Selector, SetData, SetFlags, SetRef, Value,
};

/// What is known at a place: the family of the table and the protocols decide what a load means.
pub(super) struct See {
    pub(super) family: Family,
    pub(super) known: Known,
}

impl See {
    /// Returns the field that an expression loads into that register; for one that is part of its
    /// bytes, the next expression keeps its bits.
    pub(super) fn loaded(&self, expr: &Expr, next: Option<&Expr>, dreg: Register) -> Option<(Field, Option<Part>)> {
        let mask = match next {
            Some(Expr::Bitwise(code)) if code.reg == dreg && code.xor.iter().all(|byte| *byte == 0) => Some(&code.mask),
            _ => None,
        };
        let plain = match expr {
            Expr::Ct { dreg: to, .. }
            | Expr::Fib { dreg: to, .. }
            | Expr::Meta { dreg: to, .. }
            | Expr::Payload { dreg: to, .. }
            | Expr::Socket { dreg: to, .. }
                if *to == dreg =>
            {
                let mut loaded = Field::ALL.iter().filter(|field| load(**field, dreg) == *expr && self.has(**field));
                loaded.find_map(|field| match part(*field) {
                    None => Some((*field, None)),
                    Some(part) => (mask == Some(&part.mask())).then_some((*field, Some(part))),
                })
            }
            _ => None,
        };
        let other = || field_of(expr).filter(|(field, to)| *to == dreg && self.has(*field));
        plain.or_else(|| other().map(|(field, _)| (field, None)))
    }

    /// Returns the field of whole bytes that an expression loads into that register.
    pub(super) fn field(&self, expr: &Expr, dreg: Register) -> Option<Field> {
        self.loaded(expr, None, dreg).map(|(field, _)| field)
    }

    /// Returns whether every packet at this place has that field.
    pub(super) fn has(&self, field: Field) -> bool {
        let Needs { link, network, transport, message } = field.needs();
        // The first bytes of any other header are not ports.
        if matches!(field, Field::ThDport | Field::ThSport)
            && self.known.transport.is_some_and(|known| !known.has_ports())
        {
            return false;
        }
        let asked = transport.is_some() && self.known.transport == transport;
        let network = network.is_none_or(|network| match self.family {
            Family::Bridge | Family::Inet | Family::Netdev => asked || self.known.network == Some(network),
            Family::Arp => network == Nfproto::ARP,
            Family::Ip => asked || network == Nfproto::IPV4,
            Family::Ip6 => asked || network == Nfproto::IPV6,
        });
        let link = link.is_none_or(|link| {
            (self.family == Family::Bridge || self.known.ether) && (link == Link::Ether || self.known.vlan)
        });
        let message = message.is_empty() || self.known.message.is_some_and(|known| message.contains(&known));
        link && network && message && (transport.is_none() || asked)
    }

    /// Reads loads into the registers of a key, up to the expression that uses it.
    pub(super) fn keyed<'e>(&self, exprs: impl Iterator<Item = &'e Expr>) -> Option<Keyed<'e>> {
        let (mut fields, mut value, mut part) = (Vec::new(), None, None);
        let mut exprs = exprs.peekable();
        let (mut len, mut slot) = (0, 0);
        let by = loop {
            len += 1;
            let expr = exprs.next()?;
            if matches!(expr, Expr::Dynset(_) | Expr::Lookup { .. } | Expr::ObjrefMap(_)) {
                break expr;
            }
            match self.loaded(expr, exprs.peek().copied(), Register::at_slot(slot)) {
                Some((field, bits)) if value.is_none() && !matches!(field, Field::Payload(_)) => {
                    if bits.is_some() {
                        part = bits;
                        len += usize::from(exprs.next().is_some());
                    }
                    slot += u32::try_from(field.data_type().bytes().div_ceil(4)).ok()?;
                    fields.push(field);
                    len += usize::from(exprs.next_if(|next| matches!(next, Expr::Byteorder { .. })).is_some());
                }
                _ => {
                    let register = Register(1 + slot.div_ceil(4));
                    value = Some(self.field(expr, register).filter(|_| value.is_none())?);
                }
            }
        };
        // Several keys of which one is part of its bytes are shifted.
        let is_plain = part.is_none() || fields.len() == 1;
        (is_plain && !fields.is_empty()).then_some(Keyed { fields, part, value, by, len })
    }
}

/// The key of a lookup, and what uses it.
pub(super) struct Keyed<'e> {
    pub(super) fields: Vec<Field>,
    /// The bits of the only field, if it is part of its bytes.
    pub(super) part: Option<Part>,
    /// The value that an element maps to.
    pub(super) value: Option<Field>,
    pub(super) by: &'e Expr,
    pub(super) len: usize,
}

impl Keyed<'_> {
    /// Returns the set of the lookup; an anonymous one with its elements, if they have a form.
    pub(super) fn set(&self, set: &LookupSet, data: &SetData) -> Option<SetRef> {
        let set = match set {
            LookupSet::Named(name) => return Some(SetRef::Named(name.clone())),
            LookupSet::Anonymous(set) => set,
        };
        let key: Vec<DataType> = self.fields.iter().map(|field| field.data_type()).collect();
        let mode = SetMode::of(SetFlags::from_bits_truncate(set.code.flags), key.len());
        if let Some(part) = self.part {
            let of = *key.first()?;
            let read = [DataType::NetworkInteger { bytes: u8::try_from(part.bytes).ok()? }];
            let elements = raise_elements(&set.elements, &read, data, mode)?;
            return elements
                .into_iter()
                .map(|element| taken(element, part, of))
                .collect::<Option<_>>()
                .map(SetRef::Anonymous);
        }
        // Whoever made the set meant something else by the bytes of a plain number.
        let plain = DataType::NetworkInteger { bytes: 1 }.number();
        let declared = key.iter().fold(0, |number, part| number << 6 | part.number());
        if key.iter().any(|part| part.number() == plain) && set.code.key_type != declared {
            return None;
        }
        Some(SetRef::Anonymous(in_order(raise_elements(&set.elements, &key, data, mode)?, &set.order)))
    }
}

/// Returns an element whose key is read as bits of a field in their place.
fn taken(element: Element, part: Part, of: DataType) -> Option<Element> {
    let [Interval { low, high }] = element.key.parts() else { return None };
    let take = |value: &Value| {
        let number = value.number()?;
        let found = number >> part.shift;
        (found << part.shift == number && found >> part.bits == 0).then(|| Value::of_number(found, of))?
    };
    let key = Key::Single(Interval { low: take(low)?, high: take(high)? });
    Some(Element { key, ..element })
}

/// Returns the fields as they are written.
pub(super) fn selector(fields: Vec<Field>) -> Selector {
    match fields.as_slice() {
        [field] => Selector::Field(*field),
        _ => Selector::Concat(fields.into()),
    }
}
