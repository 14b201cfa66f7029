//! Rule sets as plain data: families, tables, chains, rules and sets.
//!
//! Nothing here does I/O, reads a clock or calls C. Values can be built in any state and are
//! checked as a whole by [`Ruleset::validate`], which reports table, chain, rule and statement of
//! every fault; a rule set that validates can be lowered.

mod action;
mod address;
mod chain;
mod classic;
mod data_type;
mod element;
mod field;
mod id;
#[cfg(feature = "ipnet")]
mod ipnet;
mod keywords;
mod limit;
mod log;
pub mod matches;
mod meter;
mod name;
mod nat;
mod object;
mod opaque;
mod operand;
mod parameters;
mod protocol;
mod rule;
mod ruleset;
mod selector;
mod set;
mod statement;
mod table;
mod tracking;
mod value;

pub use action::{
    ConnLimit, Dup, Fwd, ObjectKind, ObjectRef, ObjectTo, Quota, SetValue, Synproxy, SynproxyFlags, Update, UpdateOp,
};
pub use address::{IntoAddress, daddr, saddr};
pub use chain::{Base, Chain, ChainKind, ChainType, DeviceBase, DeviceHook, Hook, Policy, Priority};
pub use classic::Classic;
pub use data_type::DataType;
pub(crate) use element::Extra;
pub use element::{Element, ElementData, Interval, Key};
pub use field::{
    CtDirected, CtDirectedKey, Exthdr, ExthdrOf, ExthdrPart, Fib, FibKey, FibResult, Field, Ipsec, IpsecDirection,
    IpsecKey, Numgen, NumgenMode, Osf, OsfKey, OsfTtl, RawBase, RawPayload, SocketCgroup, Symhash,
};
pub(crate) use field::{Link, Needs, ether_type_of, field_table, network_of};
pub use id::{
    ChainHandle, ChainId, Generation, ObjectHandle, Position, RuleHandle, SetHandle, SetId, TableHandle, TableId,
};
pub use limit::{Limit, LimitOf, LimitUnit, LimitWhen};
pub use log::{Log, LogFlags, LogLevel};
pub use matches::{
    Match, Op, cgroup, concat, ct_direction, ct_mark, ct_state, ct_status, ct_zone, fib_daddr_type, fib_saddr_type,
    icmp_type, icmpv6_type, iif, iifname, ip_daddr, ip_protocol, ip_saddr, ip6_daddr, ip6_saddr, l4proto, length, mark,
    nfproto, not, oif, oifname, pkttype, sctp_dport, sctp_sport, skgid, skuid, socket_exists, socket_mark,
    socket_transparent, socket_wildcard, tcp_dport, tcp_flags, tcp_sport, th_dport, th_sport, udp_dport, udp_sport,
};
pub use meter::Meter;
pub use name::{IfName, Name};
pub use nat::{Computed, IpFamily, MapTo, Nat, NatFlags, NatKind, PortRange, Ports, Tproxy};
pub use object::{Flowtable, FlowtableFlags, Object, ObjectContent};
pub(crate) use opaque::Kept;
pub use opaque::Opaque;
pub use operand::{IntoOperand, Item, Masked, Operand, SetRef, anonymous, kind, masked, set};
pub use rule::Rule;
pub use ruleset::Ruleset;
pub use selector::{BitOp, Bits, Hash, Selector};
pub use set::{Set, SetData, SetFlags, SetPolicy};
pub use statement::{MarkKey, MarkValue, Queue, QueueFlags, Reject, Statement, Verdict};
pub use table::{Family, Table, TableFlags};
pub use tracking::{CtExpectation, CtHelper, CtTimeout};
pub use value::{
    AddrType, ArpOp, CtDirection, CtEvent, CtLabel, CtState, CtStatus, Day, DccpType, Dscp, Ecn, EtherAddr, EtherType,
    IcmpCode, IcmpType, Icmpv6Code, Icmpv6Type, IfaceType, IgmpType, MhType, Nfproto, PktType, Protocol, TcpFlags,
    Value, Wide,
};
