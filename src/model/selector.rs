//! What is compared, looked up or copied: a field, something computed from fields, or several as
//! one key.

use super::data_type::DataType;
use super::field::Field;
use super::value::Value;

/// A field, something computed from fields, or several as one key: `ip saddr . tcp dport`.
///
/// ```
/// use nftmesh::model::{Hash, Selector, Value};
/// use nftmesh::prelude::*;
///
/// let low = Selector::from(Field::Mark).and(Value::Mark(0xff));
/// assert_eq!(low.to_string(), "meta mark & 0x000000ff");
/// let side = Hash::of([Field::IpSaddr, Field::IpDaddr], 2).seed(1);
/// assert_eq!(Selector::from(side).to_string(), "jhash ip saddr . ip daddr mod 2 seed 0x1");
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a field, what is computed from it, or several")]
pub enum Selector {
    /// Operations on the bits of a value.
    Bits(Box<Bits>),
    /// Several, looked up together in a set whose key is as many values.
    Concat(Box<[Selector]>),
    /// One field.
    Field(Field),
    /// A hash of fields.
    Hash(Box<Hash>),
}

/// Operations on the bits of a value: `meta mark & 0xff | 0x10`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a value and what is done with it")]
pub struct Bits {
    /// The value.
    pub of: Selector,
    /// What is done with it, in this order.
    pub ops: Vec<BitOp>,
}

/// An operation on the bits of a value.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the operations of nft_bitwise with a constant")]
pub enum BitOp {
    /// Keeps these bits.
    And(Value),
    /// Sets these bits.
    Or(Value),
    /// Moves them to the left.
    ShiftLeft(u32),
    /// Moves them to the right.
    ShiftRight(u32),
    /// Flips these bits.
    Xor(Value),
}

/// A hash of fields: `jhash ip saddr . tcp dport mod 8 seed 1`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_jhash")]
pub struct Hash {
    /// What is hashed.
    pub of: Selector,
    /// Number of different hashes.
    pub modulus: u32,
    /// Seed; drawn when the rule is loaded if absent.
    pub seed: Option<u32>,
    /// The lowest hash.
    pub offset: u32,
}

impl Selector {
    /// Returns the fields that it reads, in the order of the key.
    pub fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        Fields { rest: smallvec::smallvec![self] }
    }

    /// Returns the parts of the key: one, or those of a concatenation.
    #[must_use]
    pub fn parts(&self) -> &[Selector] {
        match self {
            Selector::Concat(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }

    /// Returns the field, if it is one as it is.
    #[must_use]
    pub fn as_field(&self) -> Option<Field> {
        match self {
            Selector::Field(field) => Some(*field),
            Selector::Bits(_) | Selector::Concat(_) | Selector::Hash(_) => None,
        }
    }

    /// Returns the types of the key, one for each part.
    pub fn key(&self) -> impl Iterator<Item = DataType> + '_ {
        self.parts().iter().map(Selector::data_type)
    }

    /// Returns the type of the value; of a concatenation that of its first part.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        match self {
            Selector::Bits(bits) => bits.of.data_type(),
            Selector::Concat(parts) => parts.first().map_or(DataType::Integer { bytes: 4 }, Selector::data_type),
            Selector::Field(field) => field.data_type(),
            Selector::Hash(_) => DataType::Integer { bytes: 4 },
        }
    }

    /// Keeps these bits: `meta mark & 0xff`.
    #[must_use]
    pub fn and(self, bits: impl Into<Value>) -> Self {
        self.op(BitOp::And(bits.into()))
    }

    /// Sets these bits: `meta mark | 0x10`.
    #[must_use]
    pub fn or(self, bits: impl Into<Value>) -> Self {
        self.op(BitOp::Or(bits.into()))
    }

    /// Flips these bits: `meta mark ^ 0x10`.
    #[must_use]
    pub fn xor(self, bits: impl Into<Value>) -> Self {
        self.op(BitOp::Xor(bits.into()))
    }

    /// Moves the bits to the left: `meta mark << 8`.
    #[must_use]
    pub fn shift_left(self, by: u32) -> Self {
        self.op(BitOp::ShiftLeft(by))
    }

    /// Moves the bits to the right: `meta mark >> 8`.
    #[must_use]
    pub fn shift_right(self, by: u32) -> Self {
        self.op(BitOp::ShiftRight(by))
    }

    fn op(self, op: BitOp) -> Self {
        match self {
            Selector::Bits(mut bits) => {
                bits.ops.push(op);
                Selector::Bits(bits)
            }
            of => Selector::Bits(Box::new(Bits { of, ops: vec![op] })),
        }
    }
}

/// The fields of a selector, from left to right.
struct Fields<'s> {
    rest: smallvec::SmallVec<[&'s Selector; 4]>,
}

impl Iterator for Fields<'_> {
    type Item = Field;

    fn next(&mut self) -> Option<Field> {
        loop {
            match self.rest.pop()? {
                Selector::Bits(bits) => self.rest.push(&bits.of),
                Selector::Concat(parts) => self.rest.extend(parts.iter().rev()),
                Selector::Field(field) => return Some(*field),
                Selector::Hash(hash) => self.rest.push(&hash.of),
            }
        }
    }
}

impl Hash {
    /// Hashes these fields to a number below `modulus`.
    pub fn of(of: impl Into<Selector>, modulus: u32) -> Self {
        Hash { of: of.into(), modulus, seed: None, offset: 0 }
    }

    /// Sets the seed, so that the same fields have the same hash whenever the rule is loaded.
    #[must_use]
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets the lowest hash.
    #[must_use]
    pub fn offset(mut self, offset: u32) -> Self {
        self.offset = offset;
        self
    }
}

impl From<Field> for Selector {
    fn from(field: Field) -> Self {
        Selector::Field(field)
    }
}

impl From<Hash> for Selector {
    fn from(hash: Hash) -> Self {
        Selector::Hash(Box::new(hash))
    }
}

impl From<Vec<Selector>> for Selector {
    fn from(mut parts: Vec<Selector>) -> Self {
        match parts.pop() {
            Some(one) if parts.is_empty() => one,
            last => {
                parts.extend(last);
                Selector::Concat(parts.into())
            }
        }
    }
}

impl From<Vec<Field>> for Selector {
    fn from(fields: Vec<Field>) -> Self {
        fields.into_iter().map(Selector::Field).collect::<Vec<_>>().into()
    }
}

impl<const N: usize> From<[Field; N]> for Selector {
    fn from(fields: [Field; N]) -> Self {
        Vec::from(fields).into()
    }
}

impl<const N: usize> From<[Selector; N]> for Selector {
    fn from(parts: [Selector; N]) -> Self {
        Vec::from(parts).into()
    }
}
