//! Reads what is loaded into registers: one field, or the key of a lookup.

use super::super::codes::LookupSet;
use super::super::expr::Expr;
use super::super::fields::{field_of, load, protocols};
use super::super::keys::Register;
use super::super::lower::Known;
use super::super::set::SetMode;
use super::{in_order, raise_elements};
use crate::model::{DataType, Family, Field, Nfproto, Selector, SetData, SetFlags, SetRef};

/// What is known at a place: the family of the table and the protocols decide what a load means.
pub(super) struct See {
    pub(super) family: Family,
    pub(super) known: Known,
}

impl See {
    /// Returns the field that an expression loads into that register.
    pub(super) fn field(&self, expr: &Expr, dreg: Register) -> Option<Field> {
        let plain = match expr {
            Expr::Ct { dreg: to, .. }
            | Expr::Fib { dreg: to, .. }
            | Expr::Meta { dreg: to, .. }
            | Expr::Payload { dreg: to, .. }
            | Expr::Socket { dreg: to, .. }
                if *to == dreg =>
            {
                Field::ALL.iter().copied().find(|field| load(*field, dreg) == *expr && self.has(*field))
            }
            _ => None,
        };
        plain.or_else(|| field_of(expr).filter(|(field, to)| *to == dreg && self.has(*field)).map(|(field, _)| field))
    }

    /// Returns whether every packet at this place has that field.
    pub(super) fn has(&self, field: Field) -> bool {
        let (network, transport) = protocols(field);
        // The first bytes of any other header are not ports.
        if matches!(field, Field::ThDport | Field::ThSport)
            && self.known.transport.is_some_and(|known| !known.has_ports())
        {
            return false;
        }
        let asked = transport.is_some() && self.known.transport == transport;
        let network = network.is_none_or(|network| match self.family {
            Family::Inet => asked || self.known.network == Some(network),
            Family::Ip => network == Nfproto::IPV4,
            Family::Ip6 => network == Nfproto::IPV6,
            Family::Arp | Family::Bridge | Family::Netdev => false,
        });
        network && (transport.is_none() || asked)
    }

    /// Reads loads into the registers of a key, up to the expression that uses it.
    pub(super) fn keyed<'e>(&self, exprs: impl Iterator<Item = &'e Expr>) -> Option<Keyed<'e>> {
        let (mut fields, mut value) = (Vec::new(), None);
        let mut exprs = exprs.peekable();
        let (mut len, mut slot) = (0, 0);
        let by = loop {
            len += 1;
            let expr = exprs.next()?;
            if matches!(expr, Expr::Dynset(_) | Expr::Lookup { .. } | Expr::ObjrefMap(_)) {
                break expr;
            }
            match self.field(expr, Register::at_slot(slot)) {
                Some(field) if value.is_none() && !matches!(field, Field::Payload(_)) => {
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
        (!fields.is_empty()).then_some(Keyed { fields, value, by, len })
    }
}

/// The key of a lookup, and what uses it.
pub(super) struct Keyed<'e> {
    pub(super) fields: Vec<Field>,
    /// The value that an element maps to.
    pub(super) value: Option<Field>,
    pub(super) by: &'e Expr,
    pub(super) len: usize,
}

/// Returns the fields as they are written.
pub(super) fn selector(fields: Vec<Field>) -> Selector {
    match fields.as_slice() {
        [field] => Selector::Field(*field),
        _ => Selector::Concat(fields.into()),
    }
}

/// Returns the set of a lookup; of an anonymous one with its elements, if they have a form.
pub(super) fn set_of(set: &LookupSet, fields: &[Field], data: &SetData) -> Option<SetRef> {
    Some(match set {
        LookupSet::Named(name) => SetRef::Named(name.clone()),
        LookupSet::Anonymous(set) => {
            let key: Vec<DataType> = fields.iter().map(|field| field.data_type()).collect();
            let mode = SetMode::of(SetFlags::from_bits_truncate(set.code.flags), key.len());
            SetRef::Anonymous(in_order(raise_elements(&set.elements, &key, data, mode)?, &set.order))
        }
    })
}
