//! The state of the kernel: rule sets as bytecode, with handles and counters; everything without a
//! meaning here is kept byte for byte.
//!
//! The identity of an object (its declaration, its expressions) is separate from what the kernel
//! counts and measures (uses, counters, remaining times), so that two states can be compared by
//! the former and printed with the latter.

use crate::bytecode::{ElementCode, Expr, SetCode};
use crate::model::{
    Base, ChainHandle, ChainKind, ChainType, DeviceBase, Family, Generation, Name, ObjectHandle, Policy, RuleHandle,
    SetHandle, TableHandle, TableId,
};

/// The rule sets of a network namespace at one generation.
///
/// It holds what the kernel holds, in the kernel's terms. [`raise`](Snapshot::raise) returns it in
/// terms of the model, with counters and quotas as they are now; [`rules`](Snapshot::rules) the
/// rules of a chain with their handles, [`elements`](Snapshot::elements) those of a set with the
/// time that is left to them. Prints as `nft list ruleset`; a [`Listing`](super::Listing) also has
/// handles and the names of interfaces.
#[doc(alias("list ruleset", "dump"))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The generation; no commit happened while it was read.
    pub generation: Generation,
    /// The tables, in the kernel's order.
    pub tables: Vec<TableState>,
    /// Messages that cannot even be named here: of another family, or with a name that is not
    /// text.
    pub opaque: Vec<OpaqueMessage>,
}

impl Snapshot {
    /// Returns the table with that family and name.
    #[must_use]
    pub fn table(&self, id: &TableId) -> Option<&TableState> {
        self.tables.iter().find(|table| table.id == *id)
    }
}

/// A table in the kernel.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableState {
    /// Family and name.
    pub id: TableId,
    /// The handle.
    pub handle: TableHandle,
    /// `NFT_TABLE_F_*`.
    pub flags: u32,
    /// Port id of the socket that owns it.
    pub owner: Option<u32>,
    /// The number of chains, sets, objects and flowtables in it, as the kernel counts them.
    pub uses: u32,
    /// Data that a program stored with it: TLVs, a comment of type 0.
    pub userdata: Vec<u8>,
    /// Its named sets and maps, in the kernel's order; anonymous ones are in the rules that use
    /// them. One without a visible rule is listed here, with `NFT_SET_ANONYMOUS` in its flags.
    pub sets: Vec<SetState>,
    /// Its chains, in the kernel's order.
    pub chains: Vec<ChainState>,
    /// Its stateful objects and flowtables, undecoded; [`Snapshot::raise`] decodes them.
    pub objects: Vec<OpaqueState>,
    /// Attributes that are not decoded here.
    pub opaque: Vec<u8>,
}

impl TableState {
    /// Returns an empty table without anything that only the kernel assigns.
    pub(crate) fn bare(id: TableId, flags: u32) -> Self {
        TableState {
            id,
            handle: TableHandle::default(),
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

    /// Returns the chain of that name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&ChainState> {
        self.chains.iter().find(|chain| chain.name == *name)
    }

    /// Returns the set or map of that name.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&SetState> {
        self.sets.iter().find(|set| set.name == *name)
    }
}

/// A chain in the kernel.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainState {
    /// Its name.
    pub name: Name,
    /// The handle.
    pub handle: ChainHandle,
    /// Its hook; `None` for a regular chain.
    pub hook: Option<HookState>,
    /// `NFT_CHAIN_*` flags.
    pub flags: u32,
    /// The number of its rules plus the verdicts that lead to it, as the kernel counts them.
    pub uses: u32,
    /// The number of rules the kernel did not list: a dump stops before a rule larger than its
    /// datagram of 32 KiB, which rules of iptables-nft can be. Inferred from the uses that neither
    /// the listed rules nor the verdicts of the table explain, so jumps of such a rule count too.
    /// That rule and all after it cannot be read; 0 when the chain is complete.
    pub unlisted: u32,
    /// The counters of its policy, if it has them (chains of iptables-nft).
    pub counters: Option<Counters>,
    /// Data that a program stored with it.
    pub userdata: Vec<u8>,
    /// Its rules, in order.
    pub rules: Vec<RuleState>,
    /// Attributes that are not decoded here.
    pub opaque: Vec<u8>,
}

/// Packets and bytes.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a counter has these two")]
pub struct Counters {
    /// Packets so far.
    pub packets: u64,
    /// Bytes so far.
    pub bytes: u64,
}

/// The hook of a base chain, as the kernel reports it.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookState {
    /// `filter`, `nat`, `route`, or a type that a later kernel adds.
    pub chain_type: String,
    /// Number of the hook in the family of the table.
    pub hook: u32,
    /// Priority.
    pub priority: i32,
    /// 0 drop, 1 accept.
    pub policy: u32,
    /// Devices of a netdev or ingress chain.
    pub devices: Vec<String>,
    /// Attributes of the hook that are not decoded here.
    pub opaque: Vec<u8>,
}

impl HookState {
    /// Returns what the kernel reports for a base chain of that kind; `None` for one that it does
    /// not call.
    pub(crate) fn of(family: Family, kind: &ChainKind) -> Option<Self> {
        let policy = |policy: Policy| u32::from(policy == Policy::Accept);
        match kind {
            ChainKind::Base(Base { chain_type, hook, priority, policy: fate }) => Some(HookState {
                chain_type: chain_type.name().to_owned(),
                hook: hook.number_in(family),
                priority: priority.0,
                policy: policy(*fate),
                devices: Vec::new(),
                opaque: Vec::new(),
            }),
            ChainKind::Device(DeviceBase { hook, devices, priority, policy: fate }) => Some(HookState {
                chain_type: ChainType::Filter.name().to_owned(),
                hook: hook.number(family).unwrap_or(UNKNOWN_HOOK),
                priority: priority.0,
                policy: policy(*fate),
                devices: devices.clone(),
                opaque: Vec::new(),
            }),
            ChainKind::Opaque(read) => read.code::<HookState>().cloned(),
            ChainKind::Bound | ChainKind::Regular => None,
        }
    }

    /// Returns whether both are the same but for the policy; the order of devices has no meaning.
    pub(crate) fn is_at(&self, other: &HookState) -> bool {
        let HookState { chain_type, hook, priority, policy: _, devices, opaque } = self;
        let sorted = |devices: &[String]| {
            let mut sorted: Vec<String> = devices.to_vec();
            sorted.sort_unstable();
            sorted
        };
        (chain_type, hook, priority, opaque) == (&other.chain_type, &other.hook, &other.priority, &other.opaque)
            && (*devices == other.devices || sorted(devices) == sorted(&other.devices))
    }
}

/// No hook of any family has this number: the kernel refuses it.
const UNKNOWN_HOOK: u32 = 255;

/// A rule in the kernel.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleState {
    /// The handle.
    pub handle: RuleHandle,
    /// Its expressions, with current counters and anonymous sets inside.
    pub exprs: Vec<Expr>,
    /// Data that a program stored with it: TLVs, a comment of type 0.
    pub userdata: Vec<u8>,
    /// Attributes that are not decoded here.
    pub opaque: Vec<u8>,
}

/// A named set in the kernel.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetState {
    /// Its name.
    pub name: Name,
    /// The handle.
    pub handle: SetHandle,
    /// Its declaration.
    pub code: SetCode,
    /// Its elements in the canonical order of [`lower_elements`](crate::bytecode::lower_elements).
    pub elements: Vec<ElementCode>,
    /// The position of each element in the kernel's order, where it differs and nft(8) lists it:
    /// ranges of concatenations.
    pub order: Vec<u32>,
    /// The milliseconds left for each element, `None` for those that stay; empty when all stay.
    pub expires: Vec<Option<u64>>,
    /// The set's implementation, where the kernel reports it (Linux 6.17): the name of a function,
    /// for people.
    pub backend: Option<String>,
    /// The number of elements, where the kernel reports it (Linux 6.17); an interval counts as
    /// one.
    pub count: Option<u32>,
}

/// An object whose contents are not decoded here.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpaqueState {
    /// Its kind: `counter`, `quota`, `flowtable`, ...
    pub kind: String,
    /// Its name.
    pub name: Name,
    /// The handle.
    pub handle: ObjectHandle,
    /// All of its attributes, undecoded.
    pub attributes: Vec<u8>,
}

/// A message of a dump, undecoded.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
