//! Writes the expressions that are no more than their attributes, from their table.

use std::io;

use crate::attr::AttributeWriter;
use crate::attr::nfta::*;
use crate::bytecode::{Bytes, CtKey, Expr, PayloadBase, Register, SocketKey, code_table};
use crate::model::Name;

/// A type that an attribute can have.
trait Part {
    fn write(&self, a: &mut AttributeWriter<'_>, kind: u16) -> io::Result<()>;
}

macro_rules! numbers {
    ($($type:ty: $method:ident $(of $field:tt)?;)*) => {
        $(
            impl Part for $type {
                fn write(&self, a: &mut AttributeWriter<'_>, kind: u16) -> io::Result<()> {
                    a.$method(kind, self.clone() $(.$field)?);
                    Ok(())
                }
            }
        )*
    };
}

numbers! {
    u8: u8;
    u16: be16;
    u32: be32;
    u64: be64;
    CtKey: be32 of 0;
    PayloadBase: be32 of 0;
    Register: be32 of 0;
    SocketKey: be32 of 0;
}

impl Part for Bytes {
    fn write(&self, a: &mut AttributeWriter<'_>, kind: u16) -> io::Result<()> {
        super::data(a, kind, self)
    }
}

impl Part for Name {
    fn write(&self, a: &mut AttributeWriter<'_>, kind: u16) -> io::Result<()> {
        a.text(kind, self.as_str())
    }
}

impl<T: Part> Part for Option<T> {
    fn write(&self, a: &mut AttributeWriter<'_>, kind: u16) -> io::Result<()> {
        self.as_ref().map_or(Ok(()), |value| value.write(a, kind))
    }
}

macro_rules! write_one {
    ($a:ident, $field:ident, $attribute:ident) => {
        $field.write($a, $attribute)?
    };
    ($a:ident, $field:ident, $attribute:ident, 0) => {
        if *$field != 0 {
            $field.write($a, $attribute)?;
        }
    };
}

macro_rules! writers {
    ($($doc:literal $variant:ident($code:ident) $name:literal without($($without:ident)*) {
        $($field_doc:literal $field:ident: $type:ty = $attribute:ident $(or $zero:tt)?, $lib:ident;)*
    })*) => {
        /// Writes the attributes of an expression of the table.
        pub(super) fn plain(a: &mut AttributeWriter<'_>, expr: &Expr) -> io::Result<()> {
            match expr {
                $(Expr::$variant(crate::bytecode::$code { $($field),* }) => {
                    $(write_one!(a, $field, $attribute $(, $zero)?);)*
                })*
                _ => {}
            }
            Ok(())
        }
    };
}

code_table!(writers);
