//! The attributes of an xtables extension: `enum nft_match_attributes`,
//! include/uapi/linux/netfilter/nf_tables_compat.h. The attributes of a target have the same
//! numbers.

use std::borrow::Cow;

use crate::attr::nfta::{NFTA_MATCH_INFO, NFTA_MATCH_NAME, NFTA_MATCH_REV};
use crate::attr::{AttributeWriter, Attributes};

/// A match or a target, as iptables-nft(8) passes it to nf_tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extension<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) revision: u32,
    /// The extension's own structure.
    pub(crate) info: &'a [u8],
}

impl<'a> Extension<'a> {
    /// Reads the attributes; `None` when one of the three is missing.
    pub(crate) fn read(attributes: &'a [u8]) -> Option<Self> {
        let find = |kind| Attributes::new(attributes).find(kind);
        Some(Extension {
            name: name(attributes)?,
            revision: find(NFTA_MATCH_REV)?.be32()?,
            info: find(NFTA_MATCH_INFO)?.value,
        })
    }

    /// Writes the attributes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let Extension { name, revision, info } = self;
        let mut data = named(name);
        AttributeWriter::new(&mut data).be32(NFTA_MATCH_REV, *revision);
        append(&mut data, NFTA_MATCH_INFO, info);
        data
    }
}

/// Returns the name of an extension, even if its other attributes are missing.
pub(crate) fn name(attributes: &[u8]) -> Option<Cow<'_, str>> {
    let name = Attributes::new(attributes).find(NFTA_MATCH_NAME)?.value;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    Some(String::from_utf8_lossy(name.get(..end)?))
}

/// Writes an extension of which only the options are known. It has no structure, so the kernel
/// would refuse it; the options are in an attribute that the kernel does not have, so that two
/// extensions with different options differ.
pub(crate) fn write_options(name: &str, options: &str) -> Vec<u8> {
    let mut data = named(name);
    options.as_bytes().chunks(LONGEST).for_each(|part| append(&mut data, UNSPEC, part));
    data
}

/// Returns the options that [`write_options`] wrote, as far as they are in the first attribute.
pub(crate) fn options(attributes: &[u8]) -> Option<&[u8]> {
    Some(Attributes::new(attributes).find(UNSPEC)?.value)
}

fn named(name: &str) -> Vec<u8> {
    let name: Vec<u8> = name.bytes().filter(|byte| *byte != 0).chain([0]).collect();
    let mut data = Vec::new();
    append(&mut data, NFTA_MATCH_NAME, &name);
    data
}

/// Appends an attribute, cutting a value that is longer than any extension's.
fn append(data: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let value = value.get(..LONGEST).unwrap_or(value);
    AttributeWriter::new(data).bytes(kind, value, LONGEST).expect("no longer than an attribute can be");
}

const UNSPEC: u16 = 0;
/// The longest value; its length fits in the 16 bits of an attribute.
const LONGEST: usize = 65_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_reads_as_it_was_written() {
        for (name, info) in [("tcp", &[1, 2, 3][..]), ("", &[]), ("a name of any length", &[0; 400])] {
            let extension = Extension { name: name.into(), revision: 3, info };
            assert_eq!(Extension::read(&extension.write()).as_ref(), Some(&extension));
        }
        assert_eq!(Extension::read(&write_options("set", "--match-set x src")), None);
        assert_eq!(options(&write_options("set", "--match-set x src")), Some(&b"--match-set x src"[..]));
        assert_eq!(Extension::read(&[3, 0, 1, 0]), None);
    }
}
