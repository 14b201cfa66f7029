//! The types that most programs name, and no functions: `use nftmesh::prelude::*;`.
//!
//! Functions that make matches (`not`, `set`, `masked`, `daddr` and one for every field) are in
//! [`model::matches`], which is here as `matches`: `Rule::new().not(matches::daddr(net)).drop()`.

pub use crate::bytecode::RawExpr;
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::kernel::{Fake, Kernel, NetNs, Nftables, TraceFilter, Watch};
pub use crate::model::{
    AddrType, Chain, ChainId, ChainType, CtDirection, CtState, CtStatus, DataType, Element, Family, Field, Hook,
    IcmpType, Icmpv6Type, IfName, IpFamily, Limit, LimitUnit, Log, LogFlags, LogLevel, MarkKey, MarkValue, Name, Nat,
    NatFlags, Nfproto, PktType, Policy, PortRange, Position, Priority, Protocol, QueueFlags, Reject, Rule, RuleHandle,
    Ruleset, Set, SetId, Statement, Table, TableId, TcpFlags, Tproxy, Verdict, matches,
};
pub use crate::plan::Transaction;
#[cfg(feature = "mesh")]
pub use crate::pod::Pod;
pub use crate::state::{Event, Snapshot};
pub use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

#[cfg(doc)]
use crate::model;
