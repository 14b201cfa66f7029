//! How every field is loaded, and which protocols it belongs to.

use super::expr::Expr;
use super::keys::{CtKey, FibFlags, FibResult, MetaKey, PayloadBase, Register, SocketKey};
use crate::model::{Field, Nfproto, Protocol};

/// Every field, those of one protocol before those of any.
pub(crate) const FIELDS: [Field; 38] = [
    Field::Cgroup,
    Field::CtDirection,
    Field::CtMark,
    Field::CtState,
    Field::CtStatus,
    Field::CtZone,
    Field::FibDaddrType,
    Field::FibSaddrType,
    Field::IcmpType,
    Field::Icmpv6Type,
    Field::Iif,
    Field::Iifname,
    Field::IpDaddr,
    Field::IpProtocol,
    Field::IpSaddr,
    Field::Ip6Daddr,
    Field::Ip6Saddr,
    Field::L4proto,
    Field::Length,
    Field::Mark,
    Field::Nfproto,
    Field::Oif,
    Field::Oifname,
    Field::PktType,
    Field::SctpDport,
    Field::SctpSport,
    Field::Skgid,
    Field::Skuid,
    Field::SocketMark,
    Field::SocketTransparent,
    Field::SocketWildcard,
    Field::TcpDport,
    Field::TcpFlags,
    Field::TcpSport,
    Field::UdpDport,
    Field::UdpSport,
    Field::ThDport,
    Field::ThSport,
];

/// The network and transport protocol without which a field is not there.
pub(super) fn protocols(field: Field) -> (Option<Nfproto>, Option<Protocol>) {
    match field {
        Field::IcmpType => (Some(Nfproto::IPV4), Some(Protocol::ICMP)),
        Field::Icmpv6Type => (Some(Nfproto::IPV6), Some(Protocol::ICMPV6)),
        Field::IpDaddr | Field::IpProtocol | Field::IpSaddr => (Some(Nfproto::IPV4), None),
        Field::Ip6Daddr | Field::Ip6Saddr => (Some(Nfproto::IPV6), None),
        Field::SctpDport | Field::SctpSport => (None, Some(Protocol::SCTP)),
        Field::TcpDport | Field::TcpFlags | Field::TcpSport => (None, Some(Protocol::TCP)),
        Field::UdpDport | Field::UdpSport => (None, Some(Protocol::UDP)),
        Field::Cgroup | Field::CtDirection | Field::CtMark | Field::CtState | Field::CtStatus | Field::CtZone => {
            (None, None)
        }
        Field::FibDaddrType
        | Field::FibSaddrType
        | Field::Iif
        | Field::Iifname
        | Field::L4proto
        | Field::Length
        | Field::Mark => (None, None),
        Field::Nfproto | Field::Oif | Field::Oifname | Field::PktType | Field::Skgid | Field::Skuid => (None, None),
        Field::SocketMark | Field::SocketTransparent | Field::SocketWildcard => (None, None),
        Field::ThDport | Field::ThSport => (None, None),
    }
}

/// The expression that loads a field.
pub(super) fn load(field: Field, dreg: Register) -> Expr {
    let ct = |key| Expr::Ct { key, dreg };
    let meta = |key| Expr::Meta { key, dreg };
    let network = |offset, len| Expr::Payload { base: PayloadBase::NETWORK, offset, len, dreg };
    let socket = |key| Expr::Socket { key, dreg };
    let transport = |offset, len| Expr::Payload { base: PayloadBase::TRANSPORT, offset, len, dreg };
    match field {
        Field::Cgroup => meta(MetaKey::CGROUP),
        Field::CtDirection => ct(CtKey::DIRECTION),
        Field::CtMark => ct(CtKey::MARK),
        Field::CtState => ct(CtKey::STATE),
        Field::CtStatus => ct(CtKey::STATUS),
        Field::CtZone => ct(CtKey::ZONE),
        Field::FibDaddrType => Expr::Fib { result: FibResult::ADDRTYPE, flags: FibFlags::DADDR, dreg },
        Field::FibSaddrType => Expr::Fib { result: FibResult::ADDRTYPE, flags: FibFlags::SADDR, dreg },
        Field::IcmpType | Field::Icmpv6Type => transport(0, 1),
        Field::Iif => meta(MetaKey::IIF),
        Field::Iifname => meta(MetaKey::IIFNAME),
        Field::IpDaddr => network(16, 4),
        Field::IpProtocol => network(9, 1),
        Field::IpSaddr => network(12, 4),
        Field::Ip6Daddr => network(24, 16),
        Field::Ip6Saddr => network(8, 16),
        Field::L4proto => meta(MetaKey::L4PROTO),
        Field::Length => meta(MetaKey::LEN),
        Field::Mark => meta(MetaKey::MARK),
        Field::Nfproto => meta(MetaKey::NFPROTO),
        Field::Oif => meta(MetaKey::OIF),
        Field::Oifname => meta(MetaKey::OIFNAME),
        Field::PktType => meta(MetaKey::PKTTYPE),
        Field::SctpDport | Field::TcpDport | Field::ThDport | Field::UdpDport => transport(2, 2),
        Field::SctpSport | Field::TcpSport | Field::ThSport | Field::UdpSport => transport(0, 2),
        Field::Skgid => meta(MetaKey::SKGID),
        Field::Skuid => meta(MetaKey::SKUID),
        Field::SocketMark => socket(SocketKey::MARK),
        Field::SocketTransparent => socket(SocketKey::TRANSPARENT),
        Field::SocketWildcard => socket(SocketKey::WILDCARD),
        Field::TcpFlags => transport(13, 1),
    }
}
