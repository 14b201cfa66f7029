//! Reads what is loaded into registers: one field, or the key of a lookup.

use super::super::codes::{BitwiseCode, JhashCode, LookupSet, RtCode};
use super::super::data::{self, Bytes, Order};
use super::super::expr::Expr;
use super::super::fields::{Part, field_of, load, part};
use super::super::keys::{PayloadBase, Register};
use super::super::lower::{FIRST_HASHED, Known, LEFT, RIGHT};
use super::super::set::SetMode;
use super::Declared;
use super::declared::KeyPart;
use super::{in_order, raise_elements};
use crate::model::{
    BitOp, Bits, DataType, Element, Exthdr, Family, Field, Hash, Interval, Key, Link, Needs, Nfproto, Protocol,
    RawBase, RawPayload, Selector, SetData, SetFlags, SetRef, Value,
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
            | Expr::Rt(RtCode { dreg: to, .. })
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
        let partly = || {
            let mask = mask.filter(|_| matches!(expr, Expr::Exthdr(_)))?;
            let mut all = Exthdr::parts_of_bytes().map(Field::Exthdr);
            let is_it = |field: &Field| {
                load(*field, dreg) == *expr && part(*field).is_some_and(|part| part.mask() == *mask) && self.has(*field)
            };
            let field = all.find(is_it)?;
            Some((field, part(field)))
        };
        plain.or_else(partly).or_else(|| other().map(|(field, _)| (field, None)))
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
    pub(super) fn keyed<'e>(&self, exprs: &'e [Expr]) -> Option<Keyed<'e>> {
        self.keyed_from(exprs, Register::FIRST)
    }

    /// Reads loads into the registers of a key that starts at one of 16 bytes.
    pub(super) fn keyed_from<'e>(&self, exprs: &'e [Expr], start: Register) -> Option<Keyed<'e>> {
        if let Some(Computed { selector, len, placed: _ }) = self.hash(exprs) {
            let len = len + usize::from(matches!(exprs.get(len), Some(Expr::Byteorder { .. })));
            let by = exprs.get(len).filter(|by| matches!(by, Expr::Lookup { .. } | Expr::ObjrefMap(_)))?;
            return Some(Keyed { selector, part: None, value: None, by, len: len + 1 });
        }
        let (mut parts, mut value, mut bits): (Vec<Selector>, _, Vec<Part>) = (Vec::new(), None, Vec::new());
        let (mut len, mut slot) = (0, 4 * start.0.checked_sub(1)?);
        let by = loop {
            let rest = exprs.get(len..)?;
            let first = rest.first()?;
            if matches!(first, Expr::Dynset(_) | Expr::Lookup { .. } | Expr::ObjrefMap(_)) {
                len += 1;
                break first;
            }
            match self.computed(rest, Register::at_slot(slot)).filter(|_| value.is_none()) {
                Some(Computed { selector, len: read, placed }) => {
                    bits.extend(placed);
                    len += read;
                    slot += u32::try_from(selector.data_type().bytes().div_ceil(4)).ok()?;
                    parts.push(selector);
                    len += usize::from(matches!(exprs.get(len), Some(Expr::Byteorder { .. } | Expr::ByteorderTo(_))));
                }
                None => {
                    let register = Register(1 + slot.div_ceil(4));
                    let found = self.computed(rest, register).filter(|_| value.is_none())?;
                    len += found.len;
                    value = Some(found.selector);
                }
            }
        };
        // Several keys of which one is part of its bytes are shifted.
        let is_plain = parts.len() == 1 || bits.iter().all(|part| part.shift == 0);
        let part = bits.pop().filter(|_| parts.len() == 1);
        (is_plain && !parts.is_empty()).then_some(Keyed { selector: parts.into(), part, value, by, len })
    }

    /// Reads what loads a field into a register, or computes a value there.
    pub(super) fn computed(&self, exprs: &[Expr], dreg: Register) -> Option<Computed> {
        let (first, rest) = exprs.split_first()?;
        let ops = rest.iter().take_while(|expr| operates(expr, dreg)).count();
        let field = match self.loaded(first, rest.first(), dreg) {
            Some((field, None)) => Some((field, 0, None)),
            Some((field, Some(part))) => match rest.get(1) {
                _ if part.shift == 0 => Some((field, 1, Some(part))),
                Some(Expr::Shift(code)) if code.op == RIGHT && code.data.as_slice() == part.shift.to_ne_bytes() => {
                    Some((field, 2, None))
                }
                _ => Some((field, 1, Some(part))),
            },
            None => None,
        };
        if let Some((field, _, placed)) = field.filter(|(_, used, _)| *used == ops) {
            return Some(Computed { selector: field.into(), len: 1 + ops, placed });
        }
        let of = match field {
            Some((field, 0, None)) => field,
            // nft lists the bytes in which a part of them is computed with.
            _ => self.raw(first, dreg, rest.get(..ops)?)?,
        };
        let rest = rest.get(..ops)?;
        if rest.is_empty() {
            return Some(Computed { selector: of.into(), len: 1, placed: None });
        }
        let bits = rest.iter().map(|expr| operations(expr, of.data_type())).collect::<Option<Vec<_>>>()?;
        let selector = Selector::Bits(Box::new(Bits { of: of.into(), ops: bits.into_iter().flatten().collect() }));
        Some(Computed { selector, len: 1 + ops, placed: None })
    }

    /// Returns the bytes that an expression loads, by their place; `None` where nft names fields in
    /// them, for which it looks through one operation at most.
    pub(super) fn raw(&self, expr: &Expr, to: Register, ops: &[Expr]) -> Option<Field> {
        let Expr::Payload { base, offset, len: len @ 1..=16, dreg } = expr else { return None };
        let (of, ..) = *RawBase::ALL.iter().find(|(_, number, _)| *number == base.0)?;
        let bits = |bytes: u32| u16::try_from(bytes).ok()?.checked_mul(8);
        let raw = RawPayload { base: of, offset: bits(*offset)?, bits: bits(*len)?.try_into().ok()? };
        let (whole, mut range) = ((8 * *offset, 8 * (*offset + len)), Some((8 * *offset, 8 * (*offset + len))));
        if let [Expr::Bitwise(BitwiseCode { reg: _, mask, xor: _ })] = ops {
            let leading = data::number(mask, Order::Sorted) << (128 - 8 * len);
            let (skipped, kept) = (leading.leading_zeros(), leading.count_ones());
            let is_one = (leading << skipped.min(127)).leading_ones() == kept;
            range = Some((whole.0 + skipped, whole.0 + skipped + kept)).filter(|range| is_one && *range != whole);
        } else if !ops.is_empty() {
            range = None;
        }
        // A header after a VLAN tag is another one to nft, and so may be what follows it.
        let is_elsewhere = self.known.vlan && (*base == PayloadBase::LINK || self.known.network.is_none());
        // The first bytes of a header without fields here may have names.
        let transport = self.known.transport.filter(|_| *base == PayloadBase::TRANSPORT);
        let is_nameless = |of: Protocol| Field::ALL.iter().all(|field| field.needs().transport != Some(of));
        let is_unsure = transport.is_some_and(is_nameless) && whole.0 < 32;
        let is_named = |(first, last): (u32, u32)| {
            Field::ALL.iter().copied().any(|field| {
                let Expr::Payload { base: other, offset, len, .. } = load(field, to) else { return false };
                let (skipped, width) =
                    part(field).map_or((0, 8 * len), |part| (8 * len - part.shift - part.bits, part.bits));
                let start = 8 * offset + skipped;
                let is_port = matches!(field, Field::ThDport | Field::ThSport);
                other == *base && start == first && (!is_port || start + width == last) && self.may_have(field)
            })
        };
        (*dreg == to && !is_elsewhere && !is_unsure && !range.is_some_and(is_named)).then_some(Field::Payload(raw))
    }

    /// Returns whether a packet at this place has that field, if it is a message of the right type.
    fn may_have(&self, field: Field) -> bool {
        let known = Known { message: field.needs().message.first().copied(), ..self.known };
        See { family: self.family, known }.has(field)
    }

    /// Reads a hash, or another value in the first register.
    pub(super) fn value(&self, exprs: &[Expr]) -> Option<Computed> {
        self.hash(exprs).or_else(|| self.computed(exprs, Register::FIRST))
    }

    /// Reads what is hashed, and the hash.
    fn hash(&self, exprs: &[Expr]) -> Option<Computed> {
        let (mut parts, mut len, mut slot) = (Vec::new(), 0, FIRST_HASHED);
        loop {
            let rest = exprs.get(len..)?;
            if let Some(Expr::Jhash(code)) = rest.first() {
                let JhashCode { sreg: _, dreg: _, len: _, modulus, seed, offset } = *code;
                let hash = Hash { of: parts.into(), modulus, seed, offset };
                return Some(Computed { selector: hash.into(), len: len + 1, placed: None });
            }
            let found = self.computed(rest, Register::at_slot(slot))?;
            len += found.len;
            slot += u32::try_from(found.selector.data_type().bytes().div_ceil(4)).ok()?;
            parts.push(found.selector);
        }
    }
}

/// A value in a register: what it is, and from how many expressions.
pub(super) struct Computed {
    pub(super) selector: Selector,
    pub(super) len: usize,
    /// The bits of a field that are in their place within its bytes.
    pub(super) placed: Option<Part>,
}

/// Returns whether an expression changes the bits of that register.
fn operates(expr: &Expr, reg: Register) -> bool {
    match expr {
        Expr::Bitwise(code) => code.reg == reg,
        Expr::Shift(code) => code.sreg == reg && code.dreg == reg,
        _ => false,
    }
}

/// Returns the operations of one expression, in the order and with the constants of nft: a flipped
/// bit that the mask has cleared is a set bit.
pub(super) fn operations(expr: &Expr, of: DataType) -> Option<Vec<BitOp>> {
    let constant = |bytes: &[u8]| data::value(bytes, of, Order::Register);
    match expr {
        Expr::Bitwise(BitwiseCode { reg: _, mask, xor }) => {
            let each = |combine: fn(u8, u8) -> u8| -> Bytes {
                mask.iter().zip(xor).map(|(mask, xor)| combine(*mask, *xor)).collect()
            };
            let (kept, flipped, set) =
                (each(|mask, xor| mask | xor), each(|mask, xor| mask & xor), each(|mask, xor| xor & !mask));
            let mut ops = Vec::new();
            if kept.iter().any(|byte| *byte != 0xff) {
                ops.push(BitOp::And(constant(&kept)?));
            }
            if flipped.iter().any(|byte| *byte != 0) {
                ops.push(BitOp::Xor(constant(&flipped)?));
            }
            if set.iter().any(|byte| *byte != 0) {
                ops.push(BitOp::Or(constant(&set)?));
            }
            Some(ops)
        }
        Expr::Shift(code) => {
            let by = code.data.as_slice().try_into().map(u32::from_ne_bytes).ok()?;
            match code.op {
                LEFT => Some(vec![BitOp::ShiftLeft(by)]),
                RIGHT => Some(vec![BitOp::ShiftRight(by)]),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The key of a lookup, and what uses it.
pub(super) struct Keyed<'e> {
    pub(super) selector: Selector,
    /// The bits of the only field, if it is part of its bytes.
    pub(super) part: Option<Part>,
    /// The value that an element maps to.
    pub(super) value: Option<Selector>,
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
        let key: Vec<DataType> = self.selector.key().collect();
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
        // nft writes numbers as they were declared, whatever it names the bytes.
        if let Declared::Expressions(parts, _) = super::declared(&set.code) {
            let is_other = |(part, selector): (&KeyPart, &Selector)| {
                let field = selector.as_field().filter(|field| !matches!(field, Field::Payload(_)));
                part.text.starts_with('@') && field.is_some_and(|field| field.data_type() != DataType::Port)
            };
            if parts.iter().zip(self.selector.parts()).any(is_other) {
                return None;
            }
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
