//! Expressions that are no more than their attributes: structures made from the table.

use super::super::expr::Expr;
use super::table::code_table;
use super::{Bytes, Register};
use crate::bytecode::{CtKey, PayloadBase, SocketKey};
use crate::model::Name;

macro_rules! structures {
    ($($doc:literal $variant:ident($code:ident) $name:literal without($($without:ident)*) {
        $($field_doc:literal $field:ident: $type:ty = $attribute:ident $(or $zero:tt)?, $lib:ident;)*
    })*) => {
        $(
            #[doc = concat!("See [`Expr::", stringify!($variant), "`].")]
            #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
            #[derive(Clone, Debug, PartialEq, Eq, Hash)]
            #[expect(clippy::exhaustive_structs, reason = "the attributes of the expression")]
            pub struct $code {
                $(
                    #[doc = concat!($field_doc, ".")]
                    pub $field: $type,
                )*
            }

            impl From<$code> for Expr {
                fn from(code: $code) -> Expr {
                    Expr::$variant(code)
                }
            }
        )*

        /// Returns the kernel's name for an expression of the table.
        pub(in crate::bytecode) fn plain_name(expr: &Expr) -> Option<&'static str> {
            match expr {
                $(Expr::$variant(_) => Some($name),)*
                _ => None,
            }
        }
    };
}

code_table!(structures);
