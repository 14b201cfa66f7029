//! Converts the expressions that are no more than their attributes, from their table.

use std::ffi::CStr;
use std::io;

use crate::bytecode::{Bytes, CtKey, Expr, PayloadBase, Register, SocketKey, code_table};
use crate::model::Name;
use crate::sys::nftnl::{self, c};

/// A type that an attribute can have.
trait Part {
    fn set(&self, object: &mut nftnl::Expr, attribute: u32) -> io::Result<()>;
}

macro_rules! numbers {
    ($($type:ty: $method:ident $(of $field:tt)?;)*) => {
        $(
            impl Part for $type {
                fn set(&self, object: &mut nftnl::Expr, attribute: u32) -> io::Result<()> {
                    object.$method(attribute, self.clone() $(.$field)?);
                    Ok(())
                }
            }
        )*
    };
}

numbers! {
    u8: u8;
    u16: u16;
    u32: u32;
    u64: u64;
    CtKey: u32 of 0;
    PayloadBase: u32 of 0;
    Register: u32 of 0;
    SocketKey: u32 of 0;
}

impl Part for Bytes {
    fn set(&self, object: &mut nftnl::Expr, attribute: u32) -> io::Result<()> {
        object.data(attribute, self)
    }
}

impl Part for Name {
    fn set(&self, object: &mut nftnl::Expr, attribute: u32) -> io::Result<()> {
        object.text(attribute, self.as_str())
    }
}

impl<T: Part> Part for Option<T> {
    fn set(&self, object: &mut nftnl::Expr, attribute: u32) -> io::Result<()> {
        self.as_ref().map_or(Ok(()), |value| value.set(object, attribute))
    }
}

macro_rules! set_one {
    ($object:ident, $field:ident, own $(, $zero:tt)?) => {
        let _ = ($field, &$object);
    };
    ($object:ident, $field:ident, $lib:ident) => {
        $field.set($object, c::$lib)?
    };
    ($object:ident, $field:ident, $lib:ident, 0) => {
        if *$field != 0 {
            $field.set($object, c::$lib)?;
        }
    };
}

/// Whether libnftnl has the attribute.
macro_rules! has {
    (own) => {
        false
    };
    ($lib:ident) => {
        true
    };
}

macro_rules! builders {
    ($($doc:literal $variant:ident($code:ident) $name:literal without($($without:ident)*) {
        $($field_doc:literal $field:ident: $type:ty = $attribute:ident $(or $zero:tt)?, $lib:ident;)*
    })*) => {
        /// Converts an expression of the table; `None` if libnftnl does not have all of it.
        pub(super) fn plain(expr: &Expr) -> io::Result<Option<nftnl::Expr>> {
            match expr {
                $(
                    Expr::$variant(crate::bytecode::$code { $($field),* }) => {
                        if [$(has!($lib)),*].contains(&false) {
                            return Ok(None);
                        }
                        let mut made = nftnl::Expr::new(kernel_name(concat!($name, "\0"))?)?;
                        let object = &mut made;
                        $(set_one!(object, $field, $lib $(, $zero)?);)*
                        Ok(Some(made))
                    }
                )*
                _ => Ok(None),
            }
        }
    };
}

fn kernel_name(name: &'static str) -> io::Result<&'static CStr> {
    CStr::from_bytes_with_nul(name.as_bytes()).map_err(io::Error::other)
}

code_table!(builders);
