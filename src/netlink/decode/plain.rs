//! Decodes the expressions that are no more than their attributes, from their table.

use super::parts::Parts;
use crate::attr::Malformed;
use crate::attr::nfta::*;
use crate::bytecode::{Bytes, CtKey, Expr, PayloadBase, Register, SocketKey, code_table};
use crate::model::Name;

/// A type that an attribute can have.
trait Part: Sized {
    fn take(parts: &mut Parts<'_>, kind: u16) -> Option<Self>;
}

macro_rules! parts {
    ($($type:ty: $take:expr;)*) => {
        $(
            impl Part for $type {
                fn take(parts: &mut Parts<'_>, kind: u16) -> Option<Self> {
                    $take(parts, kind)
                }
            }
        )*
    };
}

parts! {
    u8: Parts::u8;
    u16: Parts::be16;
    u32: Parts::be32;
    u64: Parts::be64;
    Bytes: Parts::value;
    Register: Parts::register;
    CtKey: |parts: &mut Parts<'_>, kind| parts.be32(kind).map(CtKey);
    PayloadBase: |parts: &mut Parts<'_>, kind| parts.be32(kind).map(PayloadBase);
    SocketKey: |parts: &mut Parts<'_>, kind| parts.be32(kind).map(SocketKey);
    Name: |parts: &mut Parts<'_>, kind| parts.text(kind).map(Name::from);
}

impl<T: Part> Part for Option<T> {
    fn take(parts: &mut Parts<'_>, kind: u16) -> Option<Self> {
        parts.optional(kind, T::take)
    }
}

macro_rules! take {
    ($parts:ident, $attribute:ident) => {
        Part::take($parts, $attribute)?
    };
    ($parts:ident, $attribute:ident, 0) => {
        $parts.optional($attribute, Part::take)?.unwrap_or_default()
    };
}

macro_rules! readers {
    ($($doc:literal $variant:ident($code:ident) $name:literal without($($without:ident)*) {
        $($field_doc:literal $field:ident: $type:ty = $attribute:ident $(or $zero:tt)?, $lib:ident;)*
    })*) => {
        /// Decodes an expression of the table; `None` if its attributes are those of no entry.
        pub(super) fn plain(name: &str, data: &[u8]) -> Result<Option<Expr>, Malformed> {
            $(
                if name == $name {
                    let Some(mut parts) = Parts::read(data)? else { return Ok(None) };
                    let read = |p: &mut Parts<'_>| {
                        $(p.zero($without);)*
                        Some(crate::bytecode::$code { $($field: take!(p, $attribute $(, $zero)?),)* })
                    };
                    let code = read(&mut parts);
                    if let Some(code) = parts.end()?.and(code) {
                        return Ok(Some(Expr::$variant(code)));
                    }
                }
            )*
            Ok(None)
        }
    };
}

code_table!(readers);
