//! The content of messages about rule sets, for either backend.

use std::borrow::Cow;

use crate::bytecode::{ElementCode, Expr, SetCode, Unlowerable};
use crate::model::RuleHandle;
use crate::state::Counters;

/// The content of a message about one object.
#[derive(Clone, Copy, Debug)]
pub(in crate::netlink) enum Body<'a> {
    Chain(ChainBody<'a>),
    Object(ObjectBody<'a>),
    Rule(RuleBody<'a>),
    Set(SetBody<'a>),
    Table(TableBody<'a>),
}

/// `enum nft_table_attributes`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::netlink) struct TableBody<'a> {
    pub(in crate::netlink) name: &'a str,
    /// 0 when not set.
    pub(in crate::netlink) flags: u32,
    pub(in crate::netlink) userdata: &'a [u8],
    /// Attributes as the kernel gave them.
    pub(in crate::netlink) opaque: &'a [u8],
}

/// `enum nft_chain_attributes`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::netlink) struct ChainBody<'a> {
    pub(in crate::netlink) table: &'a str,
    pub(in crate::netlink) name: &'a str,
    pub(in crate::netlink) hook: Option<HookBody<'a>>,
    /// 0 when not set.
    pub(in crate::netlink) flags: u32,
    /// The counters of the policy, if it has them.
    pub(in crate::netlink) counters: Option<Counters>,
    pub(in crate::netlink) userdata: &'a [u8],
    /// Attributes as the kernel gave them.
    pub(in crate::netlink) opaque: &'a [u8],
}

/// `enum nft_hook_attributes`, and what only a base chain has.
#[derive(Clone, Copy, Debug)]
pub(in crate::netlink) struct HookBody<'a> {
    pub(in crate::netlink) chain_type: &'a str,
    pub(in crate::netlink) hook: u32,
    pub(in crate::netlink) priority: i32,
    pub(in crate::netlink) policy: u32,
    pub(in crate::netlink) devices: &'a [String],
    /// Attributes of the hook as the kernel gave them.
    pub(in crate::netlink) opaque: &'a [u8],
}

/// A stateful object or a flowtable, `enum nft_object_attributes` and `enum
/// nft_flowtable_attributes`.
#[derive(Clone, Copy, Debug)]
pub(in crate::netlink) struct ObjectBody<'a> {
    pub(in crate::netlink) table: &'a str,
    /// Everything but the table, as the kernel gave it.
    pub(in crate::netlink) attributes: &'a [u8],
    /// Attributes that the kernel reports but does not accept.
    pub(in crate::netlink) without: &'static [u16],
}

/// `enum nft_rule_attributes`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::netlink) struct RuleBody<'a> {
    pub(in crate::netlink) table: &'a str,
    pub(in crate::netlink) chain: Option<&'a str>,
    pub(in crate::netlink) handle: Option<RuleHandle>,
    pub(in crate::netlink) position: Option<RuleHandle>,
    pub(in crate::netlink) exprs: &'a [Expr],
    /// The id with which the first anonymous set of the expressions was declared; the others count
    /// up from it.
    pub(in crate::netlink) first_set: u32,
    pub(in crate::netlink) userdata: &'a [u8],
    /// Attributes as the kernel gave them.
    pub(in crate::netlink) opaque: &'a [u8],
}

/// `enum nft_set_attributes`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::netlink) struct SetBody<'a> {
    pub(in crate::netlink) table: &'a str,
    pub(in crate::netlink) name: &'a str,
    pub(in crate::netlink) id: Option<u32>,
    /// `None` where a set is only named.
    pub(in crate::netlink) code: Option<&'a SetCode>,
}

/// The set of a list of elements, `enum nft_set_elem_list_attributes`.
#[derive(Clone, Copy, Debug)]
pub(in crate::netlink) struct ElementsBody<'a> {
    pub(in crate::netlink) table: &'a str,
    pub(in crate::netlink) set: &'a str,
    pub(in crate::netlink) id: Option<u32>,
    /// The most elements there can be.
    pub(in crate::netlink) most: usize,
    /// Whether an element may carry expressions, objects, unknown attributes or a remaining time.
    #[cfg_attr(not(feature = "nftnl"), expect(dead_code, reason = "only libnftnl has no place for them"))]
    pub(in crate::netlink) extras: bool,
}

/// One element and the milliseconds left for it, if known.
pub(in crate::netlink) type Elem<'a> = Result<(Cow<'a, ElementCode>, Option<u64>), Unlowerable>;

/// The most bytes that the elements of one message may take.
pub(in crate::netlink) const LIST: usize = 65_500;
/// The most that an element without extras takes: key, key end, value or verdict, timeout, flags,
/// userdata. A message ends before an element if less than this is left.
pub(in crate::netlink) const ELEMENT: usize = 815;
