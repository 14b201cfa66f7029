//! What is computed from fields: bit arithmetic and hashes.

use super::super::codes::{BitwiseCode, JhashCode, ShiftCode};
use super::super::data::{self, Bytes, Order};
use super::super::expr::Expr;
use super::super::fields::part;
use super::super::keys::Register;
use super::{Lowering, Sets, Unlowerable};
use crate::model::{self, BitOp, DataType, Hash, Selector, Value};

impl<S: Sets + ?Sized> Lowering<'_, S> {
    /// Adds the checks without which the fields would be read from packets of other protocols.
    pub(super) fn depend_all(&mut self, selector: &Selector) {
        for field in selector.fields() {
            self.depend(field);
        }
    }

    /// Loads the value of a selector, which is no concatenation, into a register; a field that is
    /// part of its bytes is shifted to their end.
    pub(super) fn compute(&mut self, selector: &Selector, dreg: Register) -> Result<(), Unlowerable> {
        match selector {
            Selector::Bits(bits) => self.bits(bits, dreg),
            Selector::Concat(_) => Err(Unlowerable::Operand { field: "concatenation" }),
            Selector::Field(field) => {
                self.load(*field, dreg);
                if let Some(part) = part(*field) {
                    self.and(dreg, part.mask());
                    self.shift(dreg, RIGHT, part.shift);
                }
                Ok(())
            }
            Selector::Hash(hash) => self.hash(hash, dreg),
        }
    }

    fn bits(&mut self, bits: &model::Bits, dreg: Register) -> Result<(), Unlowerable> {
        let data_type = bits.of.data_type();
        let mut pending = None;
        let of = bits.of.as_field().and_then(|field| Some((field, part(field)?)));
        match of {
            // nft keeps the bits of a field at the end of its bytes and changes them at once.
            Some((field, part)) if part.shift == 0 => {
                self.load(field, dreg);
                let mask = part.mask();
                let zero = mask.iter().map(|_| 0).collect();
                pending = Some((mask, zero));
            }
            _ => self.compute(&bits.of, dreg)?,
        }
        let wide = of.map_or(0, |(_, part)| part.bytes);
        for op in &bits.ops {
            match op {
                BitOp::And(value) | BitOp::Or(value) | BitOp::Xor(value) => {
                    let constant =
                        constant(value, data_type).ok_or(Unlowerable::Operand { field: "bits of a field" })?;
                    // A field is combined in as many bytes as were loaded.
                    let before = wide.saturating_sub(constant.len());
                    let constant: Bytes = std::iter::repeat_n(0, before).chain(constant.iter().copied()).collect();
                    let (mask, xor) = pending.get_or_insert_with(|| {
                        (
                            of.map_or_else(|| constant.iter().map(|_| 0xff).collect(), |(_, part)| part.ones()),
                            constant.iter().map(|_| 0).collect::<Bytes>(),
                        )
                    });
                    for ((mask, xor), byte) in mask.iter_mut().zip(xor).zip(&constant) {
                        (*mask, *xor) = match op {
                            BitOp::And(_) => (*mask & byte, *xor & byte),
                            BitOp::Or(_) => (*mask & !byte, *xor | byte),
                            _ => (*mask, *xor ^ byte),
                        };
                    }
                }
                BitOp::ShiftLeft(by) | BitOp::ShiftRight(by) => {
                    self.flush(&mut pending, dreg);
                    self.shift(dreg, if matches!(op, BitOp::ShiftLeft(_)) { LEFT } else { RIGHT }, *by);
                }
            }
        }
        self.flush(&mut pending, dreg);
        Ok(())
    }

    /// Adds what several operations do at once.
    fn flush(&mut self, pending: &mut Option<(Bytes, Bytes)>, reg: Register) {
        if let Some((mask, xor)) = pending.take() {
            self.push(Expr::Bitwise(BitwiseCode { reg, mask, xor }));
        }
    }

    fn shift(&mut self, reg: Register, op: u32, by: u32) {
        if by > 0 {
            let len = self.shifted_len();
            let data = Bytes::from_slice(&by.to_ne_bytes());
            self.push(Expr::Shift(ShiftCode { sreg: reg, dreg: reg, op, len, data }));
        }
    }

    /// Returns the length of what the last expression left in its register.
    fn shifted_len(&self) -> u32 {
        let len = |bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(4);
        match self.exprs.last() {
            Some(Expr::Bitwise(code)) => len(&code.mask),
            Some(Expr::Payload { len, .. }) => *len,
            Some(Expr::Exthdr(code)) => code.len,
            Some(Expr::Shift(code)) => code.len,
            _ => 4,
        }
    }

    /// Keeps these bits; adds no expression if they are all.
    pub(super) fn and(&mut self, reg: Register, mask: Bytes) {
        if mask.iter().any(|byte| *byte != 0xff) {
            let xor = mask.iter().map(|_| 0).collect();
            self.push(Expr::Bitwise(BitwiseCode { reg, mask, xor }));
        }
    }

    /// Loads what is hashed behind the register of the hash.
    fn hash(&mut self, hash: &Hash, dreg: Register) -> Result<(), Unlowerable> {
        let Hash { of, modulus, seed, offset } = hash;
        let sreg = Register(dreg.0 + 1);
        if dreg != Register::FIRST {
            return Err(Unlowerable::Operand { field: "a hash in a key of several" });
        }
        let (parts, mut slot, mut len) = (of.parts(), FIRST_HASHED, 0);
        for part in parts {
            let bytes = u32::try_from(part.data_type().bytes()).unwrap_or(0);
            self.compute(part, Register::at_slot(slot))?;
            slot += bytes.div_ceil(4);
            len += if parts.len() == 1 { bytes } else { bytes.next_multiple_of(4) };
        }
        let (modulus, seed, offset) = (*modulus, *seed, *offset);
        self.push(Expr::Jhash(JhashCode { sreg, dreg, len, modulus, seed, offset }));
        Ok(())
    }
}

/// Returns a constant as it is combined with a value of that type; for a part of a byte, after it was
/// shifted.
fn constant(value: &Value, data_type: DataType) -> Option<Bytes> {
    data::bytes(value, data_type, Order::Register)
}

/// The slot of 4 bytes from which the fields of a hash are loaded: the second register.
pub(in crate::bytecode) const FIRST_HASHED: u32 = 4;
/// `NFT_BITWISE_LSHIFT` and `NFT_BITWISE_RSHIFT`.
pub(in crate::bytecode) const LEFT: u32 = 1;
pub(in crate::bytecode) const RIGHT: u32 = 2;
