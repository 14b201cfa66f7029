//! How every field is loaded, and the protocols it belongs to.

mod parameters;

pub(super) use parameters::field_of;

use super::codes::RtCode;
use super::expr::Expr;
use super::keys::{CtKey, FibFlags, FibResult, MetaKey, PayloadBase, Register, SocketKey};
use crate::model::{ExthdrOf, Field, Nfproto, Protocol, field_table};

macro_rules! loads {
    ($($field:ident $method:ident($kind:ty) $name:literal: $type:ident $({ bytes: $bytes:literal })?,
        $protocol:ident $load:ident($($from:tt)*), $doc:literal $(, $alias:literal)?;)*) => {
        /// Returns the network and transport protocols that a packet must have to contain the
        /// field.
        pub(crate) fn protocols(field: Field) -> (Option<Nfproto>, Option<Protocol>) {
            match field {
                $(Field::$field => protocol!($protocol),)*
                Field::Exthdr(of) => match of.of {
                    ExthdrOf::Ipv4 => protocol!(ip),
                    ExthdrOf::Ipv6 => protocol!(ip6),
                    // nft adds no check of the transport protocol: without it there is no option.
                    _ => protocol!(any),
                },
                Field::CtDirected(_) | Field::Fib(_) | Field::Ipsec(_) | Field::Numgen(_) => protocol!(any),
                Field::Payload(_) | Field::RtMtu | Field::Symhash(_) => protocol!(any),
            }
        }

        /// Returns the expression that loads a field.
        pub(super) fn load(field: Field, dreg: Register) -> Expr {
            match field {
                $(Field::$field => from!(dreg, $load($($from)*)),)*
                Field::CtDirected(of) => parameters::directed(of, dreg),
                Field::Exthdr(of) => parameters::exthdr(of, dreg),
                Field::Fib(of) => parameters::fib(of, dreg),
                Field::Ipsec(of) => parameters::ipsec(of, dreg),
                Field::Numgen(of) => parameters::numgen(of, dreg),
                Field::Payload(of) => parameters::payload(of, dreg),
                Field::RtMtu => Expr::Rt(RtCode { key: RtCode::TCPMSS, dreg }),
                Field::Symhash(of) => parameters::symhash(of, dreg),
            }
        }
    };
}

/// A protocol of the table, with the network protocol that it implies.
macro_rules! protocol {
    (any) => {
        (None, None)
    };
    (icmp) => {
        (Some(Nfproto::IPV4), Some(Protocol::ICMP))
    };
    (icmpv6) => {
        (Some(Nfproto::IPV6), Some(Protocol::ICMPV6))
    };
    (ip) => {
        (Some(Nfproto::IPV4), None)
    };
    (ip6) => {
        (Some(Nfproto::IPV6), None)
    };
    (sctp) => {
        (None, Some(Protocol::SCTP))
    };
    (tcp) => {
        (None, Some(Protocol::TCP))
    };
    (udp) => {
        (None, Some(Protocol::UDP))
    };
}

/// The place from which the table loads a field.
macro_rules! from {
    ($dreg:ident, ct($key:ident)) => {
        Expr::Ct { key: CtKey::$key, dreg: $dreg }
    };
    ($dreg:ident, fib($flags:ident, $result:ident)) => {
        Expr::Fib { result: FibResult::$result, flags: FibFlags::$flags, dreg: $dreg }
    };
    ($dreg:ident, meta($key:ident)) => {
        Expr::Meta { key: MetaKey::$key, dreg: $dreg }
    };
    ($dreg:ident, network($offset:literal, $len:literal)) => {
        Expr::Payload { base: PayloadBase::NETWORK, offset: $offset, len: $len, dreg: $dreg }
    };
    ($dreg:ident, socket($key:ident)) => {
        Expr::Socket { key: SocketKey::$key, dreg: $dreg }
    };
    ($dreg:ident, transport($offset:literal, $len:literal)) => {
        Expr::Payload { base: PayloadBase::TRANSPORT, offset: $offset, len: $len, dreg: $dreg }
    };
}

field_table!(loads);
