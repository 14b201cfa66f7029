//! What the kernel holds: rule sets as bytecode, with handles, counters and everything that has no meaning here kept byte for byte.

use super::operation::TableId;
use super::transaction::Generation;
use crate::bytecode::{ElementCode, Expr, SetCode};
use crate::model::Name;

/// The rule sets of a network namespace at one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The state this is; nobody committed while it was read.
    pub generation: Generation,
    /// The tables, in the kernel's order.
    pub tables: Vec<TableState>,
}

/// A table in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableState {
    /// Family and name.
    pub id: TableId,
    /// The kernel's number for it.
    pub handle: u64,
    /// `NFT_TABLE_F_*`.
    pub flags: u32,
    /// Port id of the socket that owns it.
    pub owner: Option<u32>,
    /// What a program left with it: TLVs, a comment of type 0.
    pub userdata: Vec<u8>,
    /// Its named sets and maps, in the kernel's order; anonymous ones are in their rules.
    pub sets: Vec<SetState>,
    /// Its chains, in the kernel's order.
    pub chains: Vec<ChainState>,
    /// Its stateful objects and flowtables, as they are.
    pub objects: Vec<OpaqueState>,
}

/// A chain in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainState {
    /// Its name.
    pub name: Name,
    /// The kernel's number for it.
    pub handle: u64,
    /// Where it is hooked; `None` for a regular chain.
    pub hook: Option<HookState>,
    /// `NFT_CHAIN_*` flags.
    pub flags: u32,
    /// What a program left with it.
    pub userdata: Vec<u8>,
    /// Its rules, in order.
    pub rules: Vec<RuleState>,
}

/// Where a base chain is hooked, as the kernel says it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookState {
    /// `filter`, `nat`, `route`, or what the kernel may add.
    pub chain_type: String,
    /// Number of the hook in the family of the table.
    pub hook: u32,
    /// Priority.
    pub priority: i32,
    /// 0 drop, 1 accept.
    pub policy: u32,
    /// Devices of a netdev or ingress chain.
    pub devices: Vec<String>,
}

/// A rule in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleState {
    /// The kernel's number for it.
    pub handle: u64,
    /// Its program, with counters as they stand and anonymous sets inside.
    pub exprs: Vec<Expr>,
    /// What a program left with it: TLVs, a comment of type 0.
    pub userdata: Vec<u8>,
}

/// A named set in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetState {
    /// Its name.
    pub name: Name,
    /// The kernel's number for it.
    pub handle: u64,
    /// How it is declared.
    pub code: SetCode,
    /// Its elements in the canonical order of [`lower_elements`](crate::bytecode::lower_elements).
    pub elements: Vec<ElementCode>,
    /// Attributes of the set that have no meaning here, as they are.
    pub opaque: Vec<u8>,
}

/// Something whose inside has no meaning here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpaqueState {
    /// What it is: `counter`, `quota`, `flowtable`, ...
    pub kind: String,
    /// Its name.
    pub name: Name,
    /// The kernel's number for it.
    pub handle: u64,
    /// Its attributes.
    pub attributes: Vec<u8>,
}
