//! Expressions by the kernel's name and attributes, for what has no type in this crate.

use std::io;

use super::expr::Expr;
use crate::attr::{AttributeWriter, Attributes};
use crate::model::Opaque;

/// An expression by the kernel's name and its attributes, which [`Rule::raw`] puts into a rule.
///
/// It is sent as it is written. What is known of it is checked: its name, and that the attributes
/// are a list of attributes. What they mean is up to the kernel: names and numbers are those of
/// include/uapi/linux/netfilter/nf_tables.h (`enum nft_*_attributes`). An expression that this
/// crate knows, such as `payload`, is compared and walked as that one; any other ends a walk in
/// "cannot tell". Both print as `<unknown numgen>`, which nft refuses, and are read back from the
/// kernel as they were sent.
/// [`Kernel::apply`](crate::Kernel::apply) compares it byte for byte with what the kernel reports,
/// so give the attributes in the kernel's order, and those that it adds.
///
/// Expressions hand values on in registers: 1 to 4 have 16 bytes each, 0 is the verdict. Every
/// other statement of a rule loads what it compares, and begins with register 1.
///
/// ```
/// use nftmesh::bytecode::RawExpr;
/// use nftmesh::prelude::*;
///
/// // numgen random mod 2 vmap @halves
/// let number = RawExpr::new("numgen").be32(1, 1).be32(2, 2).be32(3, 1).be32(4, 0);
/// let lookup = RawExpr::new("lookup").text(1, "halves").be32(2, 1).be32(3, 0);
/// let rule = Rule::new().tcp_dport(80).raw(number).raw(lookup);
/// assert_eq!(rule.to_string(), "tcp dport 80 <unknown numgen> <unknown lookup>");
/// ```
///
/// [`Rule::raw`]: crate::Rule::raw
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct RawExpr {
    name: Box<str>,
    attributes: Vec<u8>,
}

impl RawExpr {
    /// Makes an expression of this name without attributes.
    pub fn new(name: impl Into<String>) -> Self {
        RawExpr { name: name.into().into(), attributes: Vec::new() }
    }

    /// Appends attributes as they stand in a message, headers and padding included.
    pub fn attributes(mut self, bytes: &[u8]) -> Self {
        self.attributes.extend_from_slice(bytes);
        self
    }

    /// Appends an attribute of one byte.
    pub fn u8(self, attribute: u16, value: u8) -> Self {
        self.bytes(attribute, &[value])
    }

    /// Appends an attribute of two bytes, the most significant first.
    pub fn be16(self, attribute: u16, value: u16) -> Self {
        self.bytes(attribute, &value.to_be_bytes())
    }

    /// Appends an attribute of four bytes, the most significant first, as almost all numbers are.
    pub fn be32(self, attribute: u16, value: u32) -> Self {
        self.bytes(attribute, &value.to_be_bytes())
    }

    /// Appends an attribute of eight bytes, the most significant first.
    pub fn be64(self, attribute: u16, value: u64) -> Self {
        self.bytes(attribute, &value.to_be_bytes())
    }

    /// Appends an attribute of a text and the NUL that ends it.
    pub fn text(self, attribute: u16, text: &str) -> Self {
        self.bytes(attribute, &[text.as_bytes(), &[0]].concat())
    }

    /// Appends an attribute of bytes.
    pub fn bytes(mut self, attribute: u16, value: &[u8]) -> Self {
        let written = AttributeWriter::new(&mut self.attributes).bytes(attribute, value, usize::MAX);
        self.noted(written)
    }

    /// Appends an attribute that holds attributes: `.nest(1, |inside| inside.be32(1, 7))`.
    pub fn nest(mut self, attribute: u16, inside: impl FnOnce(RawExpr) -> RawExpr) -> Self {
        let RawExpr { name: _, attributes } = inside(RawExpr::new(""));
        let written = AttributeWriter::new(&mut self.attributes).nest(attribute, |writer| {
            writer.raw(&attributes);
            Ok(())
        });
        self.noted(written)
    }

    /// What does not fit an attribute becomes one that is not an attribute, which validation finds.
    fn noted(mut self, written: io::Result<()>) -> Self {
        if written.is_err() {
            self.attributes.extend_from_slice(&[0; 4]);
        }
        self
    }

    /// Its name and attributes.
    pub(crate) fn into_parts(self) -> (Box<str>, Vec<u8>) {
        let RawExpr { name, attributes } = self;
        (name, attributes)
    }
}

impl From<Expr> for Opaque {
    fn from(expr: Expr) -> Self {
        let name = expr.name().to_owned();
        Opaque::new(&name, None, vec![expr])
    }
}

/// What is wrong with a statement without a meaning here, as far as that is known.
pub(crate) fn fault(opaque: &Opaque) -> Option<String> {
    let Some(exprs) = opaque.code::<Vec<Expr>>() else {
        return Some("was not read from a rule; remove it".to_owned());
    };
    exprs.iter().find_map(|expr| {
        let Expr::Opaque { name, data, set: _ } = expr else { return None };
        let all = Attributes::new(data);
        let length = name.len();
        if length == 0 || length > NAME || name.contains('\0') {
            Some(format!("has no name of an expression; give it one of 1 to {NAME} bytes"))
        } else if data.len() > ATTRIBUTES {
            Some(format!("has {} bytes of attributes; the kernel takes {ATTRIBUTES}", data.len()))
        } else if !all.clone().all(|attribute| attribute.is_ok()) {
            Some("has attributes that end before their length; give the length of each, and its padding".to_owned())
        } else {
            None
        }
    })
}

/// Longest name: `NFT_MODULE_AUTOLOAD_LIMIT`, include/uapi/linux/netfilter/nf_tables.h, on 64 bits.
const NAME: usize = 42;
/// What fits one attribute.
const ATTRIBUTES: usize = 0xffff - 4;
