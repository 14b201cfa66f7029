//! What the kernel holds: rule sets as bytecode, with handles, counters and everything that has no
//! meaning here kept byte for byte.
//!
//! What identifies a thing (its declaration, its program) is apart from what the kernel counts and
//! measures (uses, counters, remaining times), so that two states can be compared by the one and
//! printed with the other.

use crate::bytecode::{ElementCode, Expr, SetCode};
use crate::model::{Base, Generation, Name, Policy, RuleHandle, TableId};

/// The rule sets of a network namespace at one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The state this is; nobody committed while it was read.
    pub generation: Generation,
    /// The tables, in the kernel's order.
    pub tables: Vec<TableState>,
    /// What cannot even be named here: of another family, or with a name that is no text.
    pub opaque: Vec<OpaqueMessage>,
}

impl Snapshot {
    /// The table with that family and name.
    #[must_use]
    pub fn table(&self, id: &TableId) -> Option<&TableState> {
        self.tables.iter().find(|table| table.id == *id)
    }
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
    /// How many chains, sets, objects and flowtables are in it, as the kernel counts.
    pub uses: u32,
    /// What a program left with it: TLVs, a comment of type 0.
    pub userdata: Vec<u8>,
    /// Its named sets and maps, in the kernel's order; anonymous ones are in the rules that name
    /// them. One that no rule is seen to name is here, with `NFT_SET_ANONYMOUS` in its flags.
    pub sets: Vec<SetState>,
    /// Its chains, in the kernel's order.
    pub chains: Vec<ChainState>,
    /// Its stateful objects and flowtables, as they are.
    pub objects: Vec<OpaqueState>,
    /// Attributes that have no meaning here, as they are.
    pub opaque: Vec<u8>,
}

impl TableState {
    /// A table with nothing in it, and nothing that only the kernel says.
    pub(crate) fn bare(id: TableId, flags: u32) -> Self {
        TableState {
            id,
            handle: 0,
            flags,
            owner: None,
            uses: 0,
            userdata: Vec::new(),
            sets: Vec::new(),
            chains: Vec::new(),
            objects: Vec::new(),
            opaque: Vec::new(),
        }
    }

    /// The chain of that name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&ChainState> {
        self.chains.iter().find(|chain| chain.name == *name)
    }

    /// The set or map of that name.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&SetState> {
        self.sets.iter().find(|set| set.name == *name)
    }
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
    /// How many rules are in it and how many verdicts lead to it, together, as the kernel counts.
    pub uses: u32,
    /// Uses that neither its rules nor the verdicts of its table explain: the kernel ends the list
    /// of a chain's rules in front of one that is longer than a datagram of a dump, 32 KiB,
    /// which rules of iptables-nft can be. (What such a rule jumps to is not explained either.)
    /// Nobody can read those, nor what is behind them; 0 for every chain that is read whole.
    pub unlisted: u32,
    /// What its policy has decided so far, where that is counted (chains of iptables-nft).
    pub counters: Option<Counters>,
    /// What a program left with it.
    pub userdata: Vec<u8>,
    /// Its rules, in order.
    pub rules: Vec<RuleState>,
    /// Attributes that have no meaning here, as they are.
    pub opaque: Vec<u8>,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a counter has these two")]
pub struct Counters {
    /// Packets so far.
    pub packets: u64,
    /// Bytes so far.
    pub bytes: u64,
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
    /// Attributes of the hook that have no meaning here, as they are.
    pub opaque: Vec<u8>,
}

impl HookState {
    /// What the kernel says of a base chain that is made so.
    pub(crate) fn of(base: &Base) -> Self {
        let Base { chain_type, hook, priority, policy } = base;
        HookState {
            chain_type: chain_type.name().to_owned(),
            hook: hook.number(),
            priority: priority.0,
            policy: u32::from(*policy == Policy::Accept),
            devices: Vec::new(),
            opaque: Vec::new(),
        }
    }
}

/// A rule in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleState {
    /// The kernel's number for it.
    pub handle: RuleHandle,
    /// Its program, with counters as they stand and anonymous sets inside.
    pub exprs: Vec<Expr>,
    /// What a program left with it: TLVs, a comment of type 0.
    pub userdata: Vec<u8>,
    /// Attributes that have no meaning here, as they are.
    pub opaque: Vec<u8>,
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
    /// For every element its place in the kernel's order, where that is another and nft(8) lists
    /// it: ranges of concatenations.
    pub order: Vec<u32>,
    /// For every element the milliseconds that are left to it, `None` when it stays; empty when all
    /// stay.
    pub expires: Vec<Option<u64>>,
    /// How the kernel keeps it, where it says so (Linux 6.17): the name of a function, for people.
    pub backend: Option<String>,
    /// How many elements the kernel counts, where it says so (Linux 6.17); an interval is one.
    pub count: Option<u32>,
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
    /// All of its attributes, as they are.
    pub attributes: Vec<u8>,
}

/// A message of a dump as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpaqueMessage {
    /// `NFT_MSG_NEW*`.
    pub kind: u16,
    /// `NFPROTO_*`.
    pub family: u8,
    /// Its attributes.
    pub attributes: Vec<u8>,
}
