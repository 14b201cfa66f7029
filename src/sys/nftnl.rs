//! libnftnl as an encoder: objects are filled and written as netlink messages, one at a time.
//!
//! Every object tracks the most bytes it can need, and the message has that much room before C
//! writes to it. Strings are bounded and without NUL, and values have at most 64 bytes
//! (`NFT_DATA_VALUE_MAXLEN`); anything else is an error before C is called.

use std::ffi::CStr;
use std::io;
use std::ptr::NonNull;

use mnl::mnl_sys::{mnl_attr_nest_end, mnl_attr_nest_start};
pub(crate) use nftnl::nftnl_sys as c;
use smallvec::SmallVec;

use super::Header;

/// Room for one message at a time, aligned to 4 bytes.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    words: Vec<u32>,
}

impl Scratch {
    /// Returns the message that was written last.
    fn message_of(&self, length: usize) -> &[u8] {
        let words = self.words.get(..length.div_ceil(WORD)).unwrap_or_default();
        // SAFETY: the pointer and length are those of a live slice, whose every byte is
        // initialised; u8 has no alignment.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * WORD) }
    }

    /// Writes one message: the header, and at most `bound` bytes that `build` writes after it.
    fn message(&mut self, header: Header, bound: usize, build: impl FnOnce(*mut c::libc::nlmsghdr)) -> &[u8] {
        let room = HEADERS + bound.next_multiple_of(WORD);
        self.words.clear();
        self.words.resize(room / WORD, 0);
        let Header { kind, family, flags, sequence } = header;
        let flags = flags | c::libc::NLM_F_REQUEST as u16;
        let space = self.words.as_mut_ptr().cast();
        // SAFETY: `space` has at least HEADERS zeroed bytes, 4-byte aligned.
        let message = unsafe { c::nftnl_nlmsg_build_hdr(space, kind, u16::from(family), flags, sequence) };
        build(message);
        // SAFETY: `message` is the start of `words`, and C keeps nlmsg_len within what the
        // objects' bounds allow.
        let length = unsafe { (*message).nlmsg_len } as usize;
        // C has already written by now, and continuing with a corrupt heap would be worse.
        assert!(length <= room, "a bound was too small: {length} > {room}");
        self.message_of(length)
    }
}

/// A C object: one pointer, freed on drop, and the most bytes that writing it can take.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $type:ident, $alloc:ident, $free:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name {
            raw: NonNull<c::$type>,
            bound: usize,
        }

        impl $name {
            /// Creates an empty object.
            pub(crate) fn new() -> io::Result<Self> {
                // SAFETY: takes nothing, returns an owned pointer or null.
                let raw = NonNull::new(unsafe { c::$alloc() }).ok_or(io::ErrorKind::OutOfMemory)?;
                Ok($name { raw, bound: 0 })
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: `raw` is owned, never handed out, and not used after this.
                unsafe { c::$free(self.raw.as_ptr()) };
            }
        }
    };
}

/// Setters of an object: a number is passed by value, and C copies bytes and strings before it
/// returns.
macro_rules! setters {
    ($name:ident { $($method:ident($value:ty) => $set:ident;)* }) => {
        impl $name {
            $(
                /// Sets the attribute, which must be of this width.
                pub(crate) fn $method(&mut self, attribute: u32, value: $value) {
                    // SAFETY: `raw` is live; the number is passed by value, with its width.
                    unsafe { c::$set(self.raw.as_ptr(), attribute as u16, value) };
                    self.bound += ATTRIBUTE + size_of::<u64>();
                }
            )*
        }
    };
    ($name:ident text $set:ident) => {
        impl $name {
            /// Sets the attribute to a string.
            pub(crate) fn text(&mut self, attribute: u32, text: &str) -> io::Result<()> {
                let text = CText::new(text)?;
                self.bound += ATTRIBUTE + text.0.len().next_multiple_of(WORD);
                // SAFETY: `raw` is live and the string is NUL terminated; C makes a copy.
                check(unsafe { c::$set(self.raw.as_ptr(), attribute as u16, text.as_ptr()) })
            }
        }
    };
    ($name:ident data $set:ident up to $max:expr) => {
        impl $name {
            /// Sets the attribute to bytes.
            pub(crate) fn data(&mut self, attribute: u32, bytes: &[u8]) -> io::Result<()> {
                if bytes.len() > $max {
                    return Err(too_long(bytes.len(), $max));
                }
                self.bound += 2 * ATTRIBUTE + bytes.len().next_multiple_of(WORD);
                let length = bytes.len() as u32;
                // SAFETY: `raw` is live, the pointer and length are of one slice, and C copies no
                // more than its field holds.
                check(unsafe { c::$set(self.raw.as_ptr(), attribute as u16, bytes.as_ptr().cast(), length) })
            }
        }
    };
}

object!(
    /// A table.
    Table, nftnl_table, nftnl_table_alloc, nftnl_table_free
);
setters!(Table { u32(u32) => nftnl_table_set_u32; });
setters!(Table text nftnl_table_set_str);
setters!(Table data nftnl_table_set_data up to USERDATA);

object!(
    /// A chain.
    Chain, nftnl_chain, nftnl_chain_alloc, nftnl_chain_free
);
setters!(Chain { u32(u32) => nftnl_chain_set_u32; i32(i32) => nftnl_chain_set_s32; });
setters!(Chain text nftnl_chain_set_str);
setters!(Chain data nftnl_chain_set_data up to USERDATA);

object!(
    /// A rule, which owns its expressions.
    Rule, nftnl_rule, nftnl_rule_alloc, nftnl_rule_free
);
setters!(Rule { u32(u32) => nftnl_rule_set_u32; u64(u64) => nftnl_rule_set_u64; });
setters!(Rule text nftnl_rule_set_str);
setters!(Rule data nftnl_rule_set_data up to USERDATA);

object!(
    /// A set without its elements.
    Set, nftnl_set, nftnl_set_alloc, nftnl_set_free
);
setters!(Set { u32(u32) => nftnl_set_set_u32; u64(u64) => nftnl_set_set_u64; });
setters!(Set text nftnl_set_set_str);
setters!(Set data nftnl_set_set_data up to USERDATA);

object!(
    /// An element of a set.
    Element, nftnl_set_elem, nftnl_set_elem_alloc, nftnl_set_elem_free
);
setters!(Element { u32(u32) => nftnl_set_elem_set_u32; u64(u64) => nftnl_set_elem_set_u64; });
setters!(Element text nftnl_set_elem_set_str);

impl Element {
    /// Sets a key, value or userdata.
    pub(crate) fn data(&mut self, attribute: u32, bytes: &[u8]) -> io::Result<()> {
        let max = if attribute == c::NFTNL_SET_ELEM_USERDATA { USERDATA } else { VALUE };
        if bytes.len() > max {
            return Err(too_long(bytes.len(), max));
        }
        self.bound += 2 * ATTRIBUTE + bytes.len().next_multiple_of(WORD);
        let length = bytes.len() as u32;
        // SAFETY: `raw` is live, the pointer and length are of one slice, and no longer than the
        // field it is copied to.
        check(unsafe { c::nftnl_set_elem_set(self.raw.as_ptr(), attribute as u16, bytes.as_ptr().cast(), length) })
    }

    /// Removes an attribute, so that the object can be reused for the next element.
    pub(crate) fn unset(&mut self, attribute: u32) {
        // SAFETY: `raw` is live; unsetting what is not set does nothing.
        unsafe { c::nftnl_set_elem_unset(self.raw.as_ptr(), attribute as u16) };
    }
}

/// An expression, to be owned by a rule.
#[derive(Debug)]
pub(crate) struct Expr {
    raw: NonNull<c::nftnl_expr>,
    bound: usize,
}

impl Expr {
    /// Creates an empty expression of this kind.
    pub(crate) fn new(kind: &CStr) -> io::Result<Self> {
        // SAFETY: the name is NUL terminated; returns an owned pointer or null.
        let raw = NonNull::new(unsafe { c::nftnl_expr_alloc(kind.as_ptr()) }).ok_or_else(|| {
            let kind = kind.to_string_lossy();
            io::Error::new(
                io::ErrorKind::Unsupported,
                format!("libnftnl knows no {kind} expression; install a newer one"),
            )
        })?;
        Ok(Expr { raw, bound: 3 * ATTRIBUTE + 2 * VALUE })
    }

    /// Sets the data of an xtables extension; C owns a copy that it frees
    /// (`nftnl_expr_match_set`).
    pub(crate) fn information(&mut self, attribute: u32, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > INFORMATION {
            return Err(too_long(bytes.len(), INFORMATION));
        }
        self.bound += 2 * ATTRIBUTE + bytes.len().next_multiple_of(WORD);
        // SAFETY: any size may be requested; the result is checked for null.
        let copy = unsafe { c::libc::malloc(bytes.len().max(1)) };
        let copy = NonNull::new(copy).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: the copy is new and has room for as many bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy.as_ptr().cast(), bytes.len()) };
        let length = bytes.len() as u32;
        // SAFETY: `raw` is live and owns the copy from here on, which came from malloc(3) and is
        // released by free(3).
        check(unsafe { c::nftnl_expr_set(self.raw.as_ptr(), attribute as u16, copy.as_ptr().cast_const(), length) })
    }
}

setters!(Expr {
    u8(u8) => nftnl_expr_set_u8;
    u16(u16) => nftnl_expr_set_u16;
    u32(u32) => nftnl_expr_set_u32;
    u64(u64) => nftnl_expr_set_u64;
});
setters!(Expr text nftnl_expr_set_str);
setters!(Expr data nftnl_expr_set up to VALUE);

impl Drop for Expr {
    fn drop(&mut self) {
        // SAFETY: `raw` is owned; a rule that takes the expression forgets this value.
        unsafe { c::nftnl_expr_free(self.raw.as_ptr()) };
    }
}

impl Rule {
    /// Adds an expression at the end.
    pub(crate) fn push(&mut self, expr: Expr) {
        self.bound += expr.bound;
        // SAFETY: both pointers are live; the rule owns the expression from here on and frees it.
        unsafe { c::nftnl_rule_add_expr(self.raw.as_ptr(), expr.raw.as_ptr()) };
        std::mem::forget(expr);
    }
}

impl Set {
    /// Sets the width of every field of the key, for a concatenation of intervals.
    pub(crate) fn fields(&mut self, widths: &[u8]) -> io::Result<()> {
        // libnftnl copies into an array of NFT_REG32_COUNT and then looks for a zero after the
        // last.
        if widths.len() >= FIELDS {
            return Err(too_long(widths.len(), FIELDS - 1));
        }
        self.data(c::NFTNL_SET_DESC_CONCAT, widths)
    }
}

impl Scratch {
    /// Writes a message about a table.
    pub(crate) fn table(&mut self, header: Header, table: &Table) -> &[u8] {
        // SAFETY: `message` has room for the table's bound, and the table is live.
        self.message(header, table.bound, |message| unsafe {
            c::nftnl_table_nlmsg_build_payload(message, table.raw.as_ptr());
        })
    }

    /// Writes a message about a chain.
    pub(crate) fn chain(&mut self, header: Header, chain: &Chain) -> &[u8] {
        // SAFETY: `message` has room for the chain's bound, and the chain is live.
        self.message(header, chain.bound + 2 * ATTRIBUTE, |message| unsafe {
            c::nftnl_chain_nlmsg_build_payload(message, chain.raw.as_ptr());
        })
    }

    /// Writes a message about a rule.
    pub(crate) fn rule(&mut self, header: Header, rule: &Rule) -> io::Result<&[u8]> {
        if rule.bound > NEST {
            return Err(too_long(rule.bound, NEST));
        }
        // SAFETY: `message` has room for the bound of the rule and its expressions; the rule is
        // live.
        Ok(self.message(header, rule.bound + 4 * ATTRIBUTE, |message| unsafe {
            c::nftnl_rule_nlmsg_build_payload(message, rule.raw.as_ptr());
        }))
    }

    /// Writes a message about a set.
    pub(crate) fn set(&mut self, header: Header, set: &Set) -> &[u8] {
        // SAFETY: `message` has room for the set's bound and its description, and the set is live.
        self.message(header, set.bound + VALUE * 8, |message| unsafe {
            c::nftnl_set_nlmsg_build_payload(message, set.raw.as_ptr());
        })
    }

    /// Writes a message about elements of a set. `fill` sets the one element object for every
    /// element and returns whether there is one (there are at most `most`); the message ends with
    /// the last, or before it would exceed what one nest of attributes can hold. Returns how many
    /// were written.
    pub(crate) fn elements(
        &mut self,
        header: Header,
        set: &Set,
        element: &mut Element,
        most: usize,
        mut fill: impl FnMut(&mut Element) -> io::Result<bool>,
    ) -> io::Result<(usize, &[u8])> {
        let mut count = 0;
        let mut outcome = Ok(());
        let room = NEST.min(most.saturating_mul(ELEMENT));
        // SAFETY (of the calls below): `message` has room for the set's names and one nest of at
        // most `room` bytes, which is ended before the next element could pass it; both objects
        // are live.
        let message = self.message(header, set.bound + ATTRIBUTE + room, |message| {
            // SAFETY: see above; a set without elements writes its names only.
            unsafe { c::nftnl_set_elems_nlmsg_build_payload(message, set.raw.as_ptr()) };
            // SAFETY: see above.
            let list = unsafe { mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS) };
            let mut used = 0;
            while used + ELEMENT <= room {
                element.bound = 0;
                match fill(element) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        outcome = Err(error);
                        break;
                    }
                }
                // SAFETY: see above.
                let nest = unsafe { mnl_attr_nest_start(message, NFTA_LIST_ELEM) };
                // SAFETY: see above.
                unsafe { c::nftnl_set_elem_nlmsg_build_payload(message, element.raw.as_ptr()) };
                // SAFETY: `nest` was started in this message and nothing else is open.
                unsafe { mnl_attr_nest_end(message, nest) };
                // SAFETY: `nest` points into the message, where its length was just written.
                used += usize::from(unsafe { (*nest).nla_len }).next_multiple_of(WORD);
                count += 1;
            }
            // SAFETY: `list` was started in this message and everything in it has ended.
            unsafe { mnl_attr_nest_end(message, list) };
        });
        outcome.map(|()| (count, message))
    }
}

/// A NUL-terminated copy, on the stack if it is short.
struct CText(SmallVec<[u8; 64]>);

impl CText {
    fn new(text: &str) -> io::Result<Self> {
        if text.len() > TEXT {
            return Err(too_long(text.len(), TEXT));
        }
        if text.as_bytes().contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name or text holds a NUL byte"));
        }
        let mut bytes = SmallVec::from_slice(text.as_bytes());
        bytes.push(0);
        Ok(CText(bytes))
    }

    fn as_ptr(&self) -> *const c::libc::c_char {
        self.0.as_ptr().cast()
    }
}

fn too_long(length: usize, max: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{length} bytes where the kernel takes {max}"))
}

fn check(code: i32) -> io::Result<()> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `NFT_REG32_COUNT`, include/uapi/linux/netfilter/nf_tables.h.
const FIELDS: usize = 16;
const WORD: usize = 4;
/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADERS: usize = 20;
/// Header of an attribute and its padding.
const ATTRIBUTE: usize = 8;
/// `NFT_DATA_VALUE_MAXLEN`, include/uapi/linux/netfilter/nf_tables.h.
const VALUE: usize = 64;
/// `NFT_USERDATA_MAXLEN`, the same file.
const USERDATA: usize = 256;
/// More than any xtables extension needs.
const INFORMATION: usize = 8192;
/// Longest string: `NFT_NAME_MAXLEN` - 1.
const TEXT: usize = 255;
/// The most that one nest of attributes may hold: its length has 16 bits.
const NEST: usize = 65_500;
/// The most that one element takes: key, key end, value or verdict, timeout, flags, userdata.
const ELEMENT: usize = 3 * (VALUE + 2 * ATTRIBUTE) + TEXT + 2 * ATTRIBUTE + USERDATA + 6 * ATTRIBUTE;
/// `NFTA_SET_ELEM_LIST_ELEMENTS`.
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
/// `NFTA_LIST_ELEM`.
const NFTA_LIST_ELEM: u16 = 1;
