//! The attributes of one expression, taken one by one: an attribute that is left over, repeated or
//! of another width makes the expression opaque, and truncated input is an error.

use crate::attr::nfta::{NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE};
use crate::attr::{Attribute, Attributes, Malformed};
use crate::bytecode::{Bytes, Register, RegisterRange};
use crate::model::{Name, Verdict};

/// Attributes by their number. Every method that takes one returns `None` when it is not as
/// expected.
pub(super) struct Parts<'a> {
    slots: [Option<&'a [u8]>; SLOTS],
    /// Set when something inside was truncated.
    malformed: Option<Malformed>,
}

/// Larger than any attribute number of an expression known here.
const SLOTS: usize = 12;

impl<'a> Parts<'a> {
    /// Returns `None` when an attribute is repeated or its number is not that of any known
    /// expression.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut slots = [None; SLOTS];
        let mut fits = true;
        for attribute in Attributes::new(bytes) {
            let attribute = attribute?;
            match slots.get_mut(usize::from(attribute.kind)) {
                Some(slot @ None) => *slot = Some(attribute.value),
                Some(Some(_)) | None => fits = false,
            }
        }
        Ok(fits.then_some(Parts { slots, malformed: None }))
    }

    /// Finishes: `Some` when no attribute is left, an error when something was truncated.
    pub(super) fn end(self) -> Result<Option<()>, Malformed> {
        match self.malformed {
            Some(malformed) => Err(malformed),
            None => Ok(self.slots.iter().all(Option::is_none).then_some(())),
        }
    }

    fn take(&mut self, kind: u16) -> Option<&'a [u8]> {
        self.slots.get_mut(usize::from(kind))?.take()
    }

    pub(super) fn u8(&mut self, kind: u16) -> Option<u8> {
        self.take(kind)?.try_into().ok().map(u8::from_be_bytes)
    }

    pub(super) fn be16(&mut self, kind: u16) -> Option<u16> {
        self.take(kind)?.try_into().ok().map(u16::from_be_bytes)
    }

    pub(super) fn be32(&mut self, kind: u16) -> Option<u32> {
        self.take(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(super) fn be64(&mut self, kind: u16) -> Option<u64> {
        self.take(kind)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// Takes an attribute that may be missing.
    pub(super) fn optional<T>(
        &mut self,
        kind: u16,
        take: impl FnOnce(&mut Self, u16) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.slots.get(usize::from(kind)) {
            Some(Some(_)) => take(self, kind).map(Some),
            _ => Some(None),
        }
    }

    /// Takes a number that is 0 when missing.
    pub(super) fn flags(&mut self, kind: u16) -> Option<u32> {
        self.optional(kind, Self::be32).map(Option::unwrap_or_default)
    }

    pub(super) fn register(&mut self, kind: u16) -> Option<Register> {
        Register::from_number(self.be32(kind)?)
    }

    /// Takes two registers; the kernel repeats the lowest where there is no highest.
    pub(super) fn registers(&mut self, min: u16, max: u16) -> Option<RegisterRange> {
        let min = self.optional(min, Self::register)?;
        let max = self.optional(max, Self::register)?;
        Some(RegisterRange { min, max: max.filter(|max| Some(*max) != min) })
    }

    pub(super) fn text(&mut self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.take(kind)?.strip_suffix(&[0])?).ok()
    }

    /// Takes an empty attribute: padding before a number of 8 bytes.
    pub(super) fn padding(&mut self, kind: u16) {
        if self.slots.get(usize::from(kind)) == Some(&Some(&[])) {
            self.take(kind);
        }
    }

    /// Takes an attribute that says nothing: it is empty or 0.
    pub(super) fn zero(&mut self, kind: u16) {
        if self.slots.get(usize::from(kind)).copied().flatten().is_some_and(|value| value.iter().all(|byte| *byte == 0))
        {
            self.take(kind);
        }
    }

    /// Takes what is inside an attribute that holds attributes.
    pub(super) fn nested(&mut self, kind: u16) -> Option<&'a [u8]> {
        self.take(kind)
    }

    pub(super) fn value(&mut self, kind: u16) -> Option<Bytes> {
        match self.data(kind)? {
            Data::Value(bytes) => Some(bytes),
            Data::Verdict(_) => None,
        }
    }

    pub(super) fn data(&mut self, kind: u16) -> Option<Data> {
        let bytes = self.take(kind)?;
        data(bytes).unwrap_or_else(|malformed| {
            self.malformed = Some(malformed);
            None
        })
    }
}

/// A constant or a verdict.
pub(super) enum Data {
    Value(Bytes),
    Verdict(Verdict),
}

/// Decodes `enum nft_data_attributes`; `None` when it is neither a value nor a known verdict.
pub(super) fn data(bytes: &[u8]) -> Result<Option<Data>, Malformed> {
    let Some(attribute) = only(bytes)? else { return Ok(None) };
    Ok(match attribute.kind {
        NFTA_DATA_VALUE => Some(Data::Value(Bytes::from_slice(attribute.value))),
        NFTA_DATA_VERDICT => verdict(attribute.value)?.map(Data::Verdict),
        _ => None,
    })
}

/// Returns the attribute if it is the only one.
fn only(bytes: &[u8]) -> Result<Option<Attribute<'_>>, Malformed> {
    let mut attributes = Attributes::new(bytes);
    let first = attributes.next().transpose()?;
    let second = attributes.next().transpose()?;
    Ok(first.filter(|_| second.is_none()))
}

/// Decodes `enum nft_verdict_attributes`.
fn verdict(bytes: &[u8]) -> Result<Option<Verdict>, Malformed> {
    let Some(mut parts) = Parts::read(bytes)? else { return Ok(None) };
    let verdict = (|| {
        let code = parts.be32(NFTA_VERDICT_CODE)?;
        let chain = parts.optional(NFTA_VERDICT_CHAIN, |parts, kind| parts.text(kind).map(Name::from))?;
        // include/uapi/linux/netfilter.h and nf_tables.h
        Some(match (i32::from_ne_bytes(code.to_ne_bytes()), chain) {
            (0, None) => Verdict::Drop,
            (1, None) => Verdict::Accept,
            (-1, None) => Verdict::Continue,
            (-3, Some(chain)) => Verdict::Jump(chain),
            (-4, Some(chain)) => Verdict::Goto(chain),
            (-5, None) => Verdict::Return,
            _ => return None,
        })
    })();
    Ok(parts.end()?.and(verdict))
}
