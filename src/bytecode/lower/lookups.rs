//! Lookups: the keys they load, and the anonymous sets in which they look.

use super::{Lowering, Sets, Unlowerable};
use crate::bytecode::codes::{ByteorderToCode, LookupSet};
use crate::bytecode::data::{self, Order};
use crate::bytecode::expr::Expr;
use crate::bytecode::fields::{Part, part};
use crate::bytecode::keys::Register;
use crate::bytecode::set::{SetMode, anonymous, note_raw};
use crate::model::{
    DataType, Element, ExthdrOf, Field, IcmpType, Icmpv6Type, Interval, Key, RawBase, RawPayload, Selector, Set,
    SetData, SetFlags, SetRef, Value,
};

impl<S: Sets + ?Sized> Lowering<'_, S> {
    /// Loads the key and looks it up.
    pub(super) fn lookup(
        &mut self,
        selector: &Selector,
        set: &SetRef,
        dreg: Option<Register>,
        inverted: bool,
        data: &SetData,
    ) -> Result<(), Unlowerable> {
        self.lookup_at(Register::FIRST, selector, set, dreg, inverted, data)
    }

    /// Loads the key into the registers from `sreg`, one of 16 bytes, and looks it up.
    pub(super) fn lookup_at(
        &mut self,
        sreg: Register,
        selector: &Selector,
        set: &SetRef,
        dreg: Option<Register>,
        inverted: bool,
        data: &SetData,
    ) -> Result<(), Unlowerable> {
        let key: Vec<DataType> = selector.key().collect();
        let host_order = key.iter().any(|field| field.is_host_order());
        let message = echoes(set);
        let placed = match (selector.as_field(), set) {
            (Some(field), SetRef::Anonymous(_)) => part(field).map(|part| (field, part)),
            _ => None,
        };
        let (mode, set) = match set {
            SetRef::Named(name) => {
                let mode = match self.sets.mode(name) {
                    Some(mode) => mode,
                    None if host_order => return Err(Unlowerable::UnknownSet(name.clone())),
                    None => SetMode::Plain,
                };
                (mode, LookupSet::Named(name.clone()))
            }
            SetRef::Anonymous(elements) if placed.is_some() => {
                let (elements, of) = placed
                    .and_then(|(field, part)| placed_elements(elements, field, part))
                    .ok_or(Unlowerable::Operand { field: "bits of a field" })?;
                let set = anonymous_model(vec![of], &elements, data);
                let mut made = anonymous(&set)?;
                made.code.key_type = key.first().map_or(0, |key| key.number());
                (SetMode::of(set.flags, 1), LookupSet::Anonymous(Box::new(made)))
            }
            SetRef::Anonymous(elements) => {
                let set = anonymous_model(key.clone(), elements, data);
                let mut made = anonymous(&set)?;
                // For nft, whether a header of IPv6 is there is a protocol, and any other a boolean.
                let number = |part: &Selector| match part.as_field() {
                    Some(Field::Exthdr(of)) if part.fields().all(Field::is_presence) => match of.of {
                        ExthdrOf::Ipv6 => DataType::Protocol.number(),
                        _ => DataType::Boolean.number(),
                    },
                    _ => part.data_type().number(),
                };
                made.code.key_type = selector.parts().iter().fold(0, |all, part| all << 6 | number(part));
                // nft takes the places of ports for ports.
                let is_port =
                    |raw: &RawPayload| raw.base == RawBase::Transport && raw.bits == 16 && matches!(raw.offset, 0 | 16);
                match selector.as_field() {
                    Some(Field::Payload(raw)) if !is_port(&raw) => note_raw(&mut made.code, raw),
                    _ => {}
                }
                (SetMode::of(set.flags, key.len()), LookupSet::Anonymous(Box::new(made)))
            }
        };
        self.depend_all(selector);
        self.keys(sreg, selector, mode, placed)?;
        self.push(Expr::Lookup { sreg, dreg, set, inverted });
        if let (None, false, Some(Field::IcmpType | Field::Icmpv6Type), Some(message)) =
            (dreg, inverted, selector.as_field(), message)
        {
            self.known.message = Some(message);
        }
        Ok(())
    }

    /// Loads the parts of a key into the registers from `sreg`; of a field that is `placed`, its bits
    /// where they are in their bytes.
    pub(super) fn keys(
        &mut self,
        sreg: Register,
        selector: &Selector,
        mode: SetMode,
        placed: Option<(Field, Part)>,
    ) -> Result<(), Unlowerable> {
        // The bits of any other key are shifted to the end of their bytes.
        let is_wider = |field: Field| part(field).is_some_and(|part| part.bytes != field.data_type().bytes());
        if placed.is_none() && selector.parts().iter().filter_map(Selector::as_field).any(is_wider) {
            return Err(Unlowerable::Operand { field: "bits of a field in a key" });
        }
        let mut slot = 4 * sreg.0.saturating_sub(1);
        for (part, data_type) in selector.parts().iter().zip(selector.key()) {
            let register = Register::at_slot(slot);
            match placed {
                Some((field, bits)) => {
                    self.load(field, register);
                    self.and(register, bits.mask());
                }
                None => self.compute(part, register)?,
            }
            if mode != SetMode::Plain && data_type.is_host_order() && data_type.bytes() > 1 {
                self.byteorder(data_type, register);
            }
            if mode == SetMode::Ranges && part.as_field().is_some_and(is_converted_byte) {
                self.push(Expr::ByteorderTo(ByteorderToCode {
                    sreg: register,
                    dreg: register,
                    op: TO_NETWORK,
                    len: 1,
                    size: 2,
                }));
            }
            slot += u32::try_from(data_type.bytes().div_ceil(4)).unwrap_or(0);
        }
        Ok(())
    }
}

/// Returns whether nft converts the single byte of a field to network order in a key of several
/// with intervals, which changes nothing.
fn is_converted_byte(field: Field) -> bool {
    matches!(
        field,
        Field::CtDirection
            | Field::CtL3proto
            | Field::Day
            | Field::L4proto
            | Field::Nfproto
            | Field::PktType
            | Field::RtIpsec
            | Field::Secpath
            | Field::SocketTransparent
            | Field::SocketWildcard
    )
}

/// Returns one of the types of a set of both echoes of ICMP or ICMPv6.
fn echoes(set: &SetRef) -> Option<u8> {
    let SetRef::Anonymous(elements) = set else { return None };
    let number = |element: &Element| match element.key.parts() {
        [Interval { low: Value::IcmpType(IcmpType(number)), .. }] => Some(*number),
        [Interval { low: Value::Icmpv6Type(Icmpv6Type(number)), .. }] => Some(*number),
        _ => None,
    };
    let numbers: Vec<u8> = elements.iter().filter_map(number).collect();
    let echoes = |wanted: &[u8]| numbers.len() == 2 && wanted.iter().all(|number| numbers.contains(number));
    [[0, 8], [128, 129]].iter().find(|wanted| echoes(&wanted[..])).map(|wanted| wanted[0])
}

/// Returns elements whose keys are bits of a field as they are in the loaded bytes, and the type of
/// these.
fn placed_elements(elements: &[Element], field: Field, part: Part) -> Option<(Vec<Element>, DataType)> {
    let of = DataType::NetworkInteger { bytes: u8::try_from(part.bytes).ok()? };
    let place = |value: &Value| {
        let number = value.number().filter(|_| value.is_of(field.data_type()))?;
        data::value(&part.place(number)?, of, Order::Sorted)
    };
    let placed = elements.iter().map(|element| {
        let [Interval { low, high }] = element.key.parts() else { return None };
        let key = Key::Single(Interval { low: place(low)?, high: place(high)? });
        Some(Element { key, ..element.clone() })
    });
    Some((placed.collect::<Option<_>>()?, of))
}

/// Returns the anonymous set for these elements, with intervals only if one needs them.
pub(super) fn anonymous_model(key: Vec<DataType>, elements: &[Element], data: &SetData) -> Set {
    let interval = elements.iter().any(|element| element.key.is_interval());
    let mut set = Set::new("__set%d", key);
    set.data = data.clone();
    set.elements = elements.to_vec();
    if interval {
        set.flags |= SetFlags::INTERVAL;
        if set.key.len() == 1 && set.data == SetData::None {
            set.flags |= SetFlags::AUTO_MERGE;
        }
    }
    set
}

/// `NFT_BYTEORDER_HTON`.
const TO_NETWORK: u32 = 1;
