//! Netlink messages: encodes transactions, recording the operation of every sequence number, and
//! decodes replies.
//!
//! Either libnftnl or this crate's own writer encodes; decoding is always this crate's own safe
//! Rust. Nothing here opens a socket.

mod decode;
mod encode;
mod expr;
#[cfg(feature = "nftnl")]
mod libnftnl;
mod raw;
mod refusal;
mod reply;
mod write;

#[cfg(any(test, fuzzing))]
pub(crate) use decode::datagram;
pub(crate) use decode::{
    Assembly, ElementRequest, RuleRequest, chain_attributes, declared_set, event, object_number, set_attributes,
    table_attribute, trace,
};
#[cfg(any(test, fuzzing))]
pub(crate) use encode::{Backend, encode_with};
pub(crate) use encode::{Encoded, Ending, KnownSets, MessagePart, barrier, batch_of, encode, message};
pub(crate) use refusal::{Lost, refused};
pub(crate) use reply::{Ack, acks};

/// `NFT_MSG_*`, include/uapi/linux/netfilter/nf_tables.h.
pub(crate) mod kind {
    pub(crate) const NEWTABLE: u16 = 0;
    pub(crate) const GETTABLE: u16 = 1;
    pub(crate) const DELTABLE: u16 = 2;
    pub(crate) const NEWCHAIN: u16 = 3;
    pub(crate) const GETCHAIN: u16 = 4;
    pub(crate) const DELCHAIN: u16 = 5;
    pub(crate) const NEWRULE: u16 = 6;
    pub(crate) const GETRULE: u16 = 7;
    pub(crate) const DELRULE: u16 = 8;
    pub(crate) const NEWSET: u16 = 9;
    pub(crate) const GETSET: u16 = 10;
    pub(crate) const DELSET: u16 = 11;
    pub(crate) const NEWSETELEM: u16 = 12;
    pub(crate) const GETSETELEM: u16 = 13;
    pub(crate) const DELSETELEM: u16 = 14;
    pub(crate) const NEWGEN: u16 = 15;
    pub(crate) const GETGEN: u16 = 16;
    pub(crate) const TRACE: u16 = 17;
    pub(crate) const NEWOBJ: u16 = 18;
    pub(crate) const GETOBJ: u16 = 19;
    pub(crate) const DELOBJ: u16 = 20;
    pub(crate) const NEWFLOWTABLE: u16 = 22;
    pub(crate) const GETFLOWTABLE: u16 = 23;
    pub(crate) const DELFLOWTABLE: u16 = 24;
    pub(crate) const DESTROYTABLE: u16 = 26;
    pub(crate) const DESTROYCHAIN: u16 = 27;
    pub(crate) const DESTROYRULE: u16 = 28;
    pub(crate) const DESTROYSET: u16 = 29;
    pub(crate) const DESTROYSETELEM: u16 = 30;
    pub(crate) const DESTROYOBJ: u16 = 31;
    pub(crate) const DESTROYFLOWTABLE: u16 = 32;
}

/// `NFNL_SUBSYS_NFTABLES`, include/uapi/linux/netfilter/nfnetlink.h.
pub(crate) const NFNL_SUBSYS_NFTABLES: u16 = 10;

/// `NLM_F_*`, include/uapi/linux/netlink.h.
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const ECHO: u16 = 0x8;
    pub(crate) const DUMP_INTR: u16 = 0x10;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
}
