//! The register programs that nf_tables runs for rules: what `nft --debug=netlink` prints.
//!
//! A [`Program`] is what a rule is lowered to, what is sent, and what is compared. Numbers are in
//! the byte order in which the kernel keeps them in its registers.

mod codes;
mod data;
mod elements;
mod expr;
mod fields;
mod kept;
mod keys;
mod lower;
mod modes;
mod objects;
mod raise;
mod raw;
mod same;
mod set;
pub(crate) mod xtables;

pub use codes::*;
pub use data::Bytes;
pub(crate) use data::predecessor;
pub(crate) use elements::INTERVAL_END;
pub use elements::{ElementCode, ElementDataCode, ElementExtras, element_at, lower_elements};
pub use expr::Expr;
pub(crate) use kept::{
    KeptElement, KeptParts, KeptRule, commented, parts_userdata, rule_userdata, text as userdata_text,
    userdata_comment, without_learned,
};
#[cfg(feature = "serde")]
pub(crate) use kept::{KeptSet, WholeSet};
pub use keys::{CmpOp, CtKey, FibFlags, FibResult, MetaKey, PayloadBase, Register, SocketKey};
pub use lower::{NoSets, Program, Sets, Unlowerable, lower};
pub(crate) use lower::{can_be_set, is_set_to_constants, lower_into};
pub(crate) use modes::Modes;
pub(crate) use objects::{lower_object, raise_object};
pub(crate) use raise::raise_timed;
pub(crate) use raise::{Declared, declaration, declared, in_order, is_for_all, opaque_set, raise_each, raise_in_full};
pub use raise::{Unraisable, raise, raise_elements, raise_set};
pub use raw::RawExpr;
pub(crate) use raw::fault as raw_fault;
pub use same::same_programs;
pub(crate) use same::{attributes, same_attributes};
pub use set::{AnonymousSet, SetCode, SetMode, lower_set};
