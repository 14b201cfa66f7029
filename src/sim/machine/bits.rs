//! Arithmetic on registers: shifts, two registers at once, and byte order (nft_bitwise.c and
//! nft_byteorder.c, net/netfilter, v6.12).

use super::super::cells::{Cell, bitwise};
use super::super::inputs::{CannotTell, Inputs};
use super::{Machine, Step, beyond, bytes, read};
use crate::bytecode::{BitwiseToCode, ByteorderToCode, CombineCode, Register, ShiftCode};

impl<I: Inputs> Machine<'_, I> {
    pub(super) fn bitwise_to(&mut self, code: &BitwiseToCode) -> Step {
        let BitwiseToCode { sreg, dreg, len, mask, xor } = code;
        let mut cells = self.words(*sreg, *len)?;
        bitwise(&mut cells, mask, xor);
        self.store(*dreg, cells.into_iter())
    }

    /// Shifts words of 4 bytes in host order, the first as the most significant.
    pub(super) fn shift(&mut self, code: &ShiftCode) -> Step {
        let ShiftCode { sreg, dreg, op, len, data } = code;
        let by = <[u8; 4]>::try_from(data.as_slice()).map(u32::from_ne_bytes).ok().filter(|by| *by < u32::BITS);
        let Some(by) = by else { return Err(CannotTell::new("a shift by no number of bits")) };
        let mut words = self.numbers(*sreg, *len)?;
        let mut carry = 0;
        let each: &mut dyn Iterator<Item = &mut u32> = match *op {
            LEFT => &mut words.iter_mut().rev(),
            RIGHT => &mut words.iter_mut(),
            other => return Err(CannotTell::new(format!("bitwise operation {other} has no meaning here"))),
        };
        for word in each {
            let (shifted, over) = match *op {
                LEFT => (*word << by, word.checked_shr(u32::BITS - by)),
                _ => (*word >> by, word.checked_shl(u32::BITS - by)),
            };
            *word = shifted | carry;
            carry = over.unwrap_or(0);
        }
        self.store(*dreg, cells(words).into_iter())
    }

    pub(super) fn combine(&mut self, code: &CombineCode) -> Step {
        let CombineCode { sreg, sreg2, dreg, op, len } = *code;
        let (words, others) = (self.numbers(sreg, len)?, self.numbers(sreg2, len)?);
        let combine: fn(u32, u32) -> u32 = match op {
            AND => |a, b| a & b,
            OR => |a, b| a | b,
            XOR => |a, b| a ^ b,
            other => return Err(CannotTell::new(format!("bitwise operation {other} has no meaning here"))),
        };
        let combined = words.into_iter().zip(others).map(|(a, b)| combine(a, b)).collect();
        self.store(dreg, cells(combined).into_iter())
    }

    pub(super) fn byteorder_to(&mut self, code: &ByteorderToCode) -> Step {
        let ByteorderToCode { sreg, dreg, op, len, size } = *code;
        let (len, size) = (usize::try_from(len).unwrap_or(usize::MAX), usize::try_from(size).unwrap_or(0));
        // The kernel converts as many numbers as fit: none of a single byte.
        if (op, len, size) == (TO_NETWORK, 1, 2) && sreg == dreg {
            return Ok(super::Next::Go);
        }
        if !matches!((op, size), (TO_HOST | TO_NETWORK, 2 | 4 | 8)) || len % size != 0 {
            return Err(CannotTell::new("a byte order of numbers of another width"));
        }
        let mut cells = read(&self.registers, sreg, len)?.to_vec();
        if cfg!(target_endian = "little") {
            cells.chunks_mut(size).for_each(<[Cell]>::reverse);
        }
        self.store(dreg, cells.into_iter())
    }

    /// Returns the words of 4 bytes that hold `len` bytes.
    fn words(&self, sreg: Register, len: u32) -> Result<Vec<Cell>, CannotTell> {
        let len = usize::try_from(len).map_err(|_| beyond())?;
        Ok(read(&self.registers, sreg, len.checked_next_multiple_of(4).ok_or_else(beyond)?)?.to_vec())
    }

    fn numbers(&self, sreg: Register, len: u32) -> Result<Vec<u32>, CannotTell> {
        let words = self.words(sreg, len)?;
        let Some(bytes) = bytes(&words) else {
            return Err(CannotTell::new("arithmetic with bits of the packet that are open"));
        };
        let word = |word: &[u8]| <[u8; 4]>::try_from(word).map(u32::from_ne_bytes).map_err(|_| beyond());
        bytes.chunks(4).map(word).collect()
    }
}

fn cells(words: Vec<u32>) -> Vec<Cell> {
    words.into_iter().flat_map(u32::to_ne_bytes).map(Cell::Known).collect()
}

// `enum nft_bitwise_ops` and `enum nft_byteorder_ops`.
const LEFT: u32 = 1;
const RIGHT: u32 = 2;
const AND: u32 = 3;
const OR: u32 = 4;
const XOR: u32 = 5;
const TO_HOST: u32 = 0;
const TO_NETWORK: u32 = 1;
