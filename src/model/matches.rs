//! Matches: a field, an operator, an operand. The functions here and the methods of [`Rule`] have
//! the same names.

use std::net::{Ipv4Addr, Ipv6Addr};

pub use super::address::{daddr, saddr};
use super::field::Field;
use super::name::IfName;
use super::operand::{IntoOperand, Operand, SetRef, kind};
pub use super::operand::{anonymous, masked, set};
use super::rule::Rule;
use super::statement::Statement;
use super::value::{
    AddrType, CtDirection, CtState, CtStatus, IcmpType, Icmpv6Type, Nfproto, PktType, Protocol, TcpFlags, Value,
};

/// A comparison; a rule goes on to its next statement only when it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a comparison has these three parts")]
pub struct Match {
    /// What is looked at.
    pub selector: Selector,
    /// How it is compared.
    pub op: Op,
    /// What it is compared with.
    pub operand: Operand,
}

/// One field, or several as one key: `ip saddr . tcp dport`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "one field or several")]
pub enum Selector {
    /// Several fields, looked up together in a set whose key is as many values.
    Concat(Box<[Field]>),
    /// One field.
    Field(Field),
}

impl Selector {
    /// The fields, in the order of the key.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match self {
            Selector::Concat(fields) => fields,
            Selector::Field(field) => std::slice::from_ref(field),
        }
    }
}

impl From<Field> for Selector {
    fn from(field: Field) -> Self {
        Selector::Field(field)
    }
}

impl<const N: usize> From<[Field; N]> for Selector {
    fn from(fields: [Field; N]) -> Self {
        match fields.as_slice() {
            [field] => Selector::Field(*field),
            several => Selector::Concat(several.into()),
        }
    }
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the operators of nft_cmp")]
pub enum Op {
    /// Is it, or is in it.
    Eq,
    /// Greater than or equal.
    Ge,
    /// Greater than.
    Gt,
    /// Less than or equal.
    Le,
    /// Less than.
    Lt,
    /// Is not it, or is not in it.
    Ne,
}

impl Match {
    /// `field op operand`.
    pub fn new(selector: impl Into<Selector>, op: Op, operand: Operand) -> Self {
        Match { selector: selector.into(), op, operand }
    }
}

/// The opposite: `not(daddr(loopback))` is `ip daddr != 127.0.0.0/8`.
///
/// A packet without that field (another protocol, no socket) matches neither a match nor its
/// opposite.
#[must_use]
pub fn not(mut matches: Match) -> Match {
    matches.op = match matches.op {
        Op::Eq => Op::Ne,
        Op::Ge => Op::Lt,
        Op::Gt => Op::Le,
        Op::Le => Op::Gt,
        Op::Lt => Op::Ge,
        Op::Ne => Op::Eq,
    };
    matches
}

/// Greater than: `gt(length(1400))` is `meta length > 1400`. The operand has to be one value.
#[must_use]
pub fn gt(matches: Match) -> Match {
    Match { op: Op::Gt, ..matches }
}

/// Greater than or equal: `ge(skuid(1000))` is `meta skuid >= 1000`. The operand has to be one
/// value.
#[must_use]
pub fn ge(matches: Match) -> Match {
    Match { op: Op::Ge, ..matches }
}

/// Less than: `lt(th_dport(1024))` is `th dport < 1024`. The operand has to be one value.
#[must_use]
pub fn lt(matches: Match) -> Match {
    Match { op: Op::Lt, ..matches }
}

/// Less than or equal: `le(th_dport(1023))` is `th dport <= 1023`. The operand has to be one value.
#[must_use]
pub fn le(matches: Match) -> Match {
    Match { op: Op::Le, ..matches }
}

/// Several fields looked up together: `concat([Field::IpSaddr, Field::TcpDport], set("allowed"))`.
pub fn concat<const N: usize>(fields: [Field; N], set: SetRef) -> Match {
    Match::new(fields, Op::Eq, Operand::Set(set))
}

/// The packet belongs to a socket of this host, so that its owner is known: `meta skuid >= 0`.
///
/// A packet without one matches neither this nor its opposite; put the rule for those behind.
#[must_use]
pub fn socket_exists() -> Match {
    Match::new(Field::Skuid, Op::Ge, Operand::Value(Value::Uid(0)))
}

/// A function per field, and the method of [`Rule`] that adds the same match.
macro_rules! fields {
    ($($name:ident => $field:ident: $kind:ty, $doc:literal;)*) => {
        $(
            #[doc = $doc]
            pub fn $name(operand: impl IntoOperand<$kind>) -> Match {
                Match::new(Field::$field, Op::Eq, operand.into_operand())
            }
        )*

        /// Matches. Each has the name of a function of this module, which makes the same match for [`Rule::not`].
        impl Rule {
            $(
                #[doc = $doc]
                #[must_use]
                pub fn $name(self, operand: impl IntoOperand<$kind>) -> Self {
                    self.matches($name(operand))
                }
            )*
        }
    };
}

fields! {
    cgroup => Cgroup: kind::Integer, "Control group id of the socket (`meta cgroup`).";
    ct_direction => CtDirection: CtDirection, "Direction within the connection (`ct direction`).";
    ct_mark => CtMark: kind::Mark, "Mark of the connection (`ct mark`).";
    ct_state => CtState: CtState, "State of the connection is one of these (`ct state`).";
    ct_status => CtStatus: CtStatus, "Status of the connection has one of these bits (`ct status`).";
    ct_zone => CtZone: kind::Integer, "Zone of the connection, 0 to 65535 (`ct zone`).";
    fib_daddr_type => FibDaddrType: AddrType, "Kind of the destination address (`fib daddr type`).";
    fib_saddr_type => FibSaddrType: AddrType, "Kind of the source address (`fib saddr type`).";
    icmp_type => IcmpType: IcmpType, "ICMP type (`icmp type`).";
    icmpv6_type => Icmpv6Type: Icmpv6Type, "ICMPv6 type (`icmpv6 type`).";
    iif => Iif: kind::Ifindex, "Index of the interface it came in on (`iif`).";
    iifname => Iifname: IfName, "Name of the interface it came in on, or a prefix such as `veth*` (`iifname`).";
    ip_daddr => IpDaddr: Ipv4Addr, "IPv4 destination address (`ip daddr`).";
    ip_protocol => IpProtocol: Protocol, "Protocol field of the IPv4 header (`ip protocol`).";
    ip_saddr => IpSaddr: Ipv4Addr, "IPv4 source address (`ip saddr`).";
    ip6_daddr => Ip6Daddr: Ipv6Addr, "IPv6 destination address (`ip6 daddr`).";
    ip6_saddr => Ip6Saddr: Ipv6Addr, "IPv6 source address (`ip6 saddr`).";
    l4proto => L4proto: Protocol, "Transport-layer protocol (`meta l4proto`).";
    length => Length: kind::Integer, "Length of the packet in bytes (`meta length`).";
    mark => Mark: kind::Mark, "Mark of the packet (`meta mark`).";
    nfproto => Nfproto: Nfproto, "Network-layer family (`meta nfproto`).";
    oif => Oif: kind::Ifindex, "Index of the interface it leaves on (`oif`).";
    oifname => Oifname: IfName, "Name of the interface it leaves on, or a prefix such as `veth*` (`oifname`).";
    pkttype => PktType: PktType, "Link-layer packet type (`meta pkttype`).";
    sctp_dport => SctpDport: kind::Port, "SCTP destination port (`sctp dport`).";
    sctp_sport => SctpSport: kind::Port, "SCTP source port (`sctp sport`).";
    skgid => Skgid: kind::Gid, "Group that owns the socket (`meta skgid`).";
    skuid => Skuid: kind::Uid, "User that owns the socket (`meta skuid`).";
    socket_mark => SocketMark: kind::Mark, "Mark of the receiving socket (`socket mark`).";
    socket_transparent => SocketTransparent: kind::Integer, "1: the receiving socket is transparent (`socket transparent`).";
    socket_wildcard => SocketWildcard: kind::Integer, "1: the receiving socket is bound to the unspecified address (`socket wildcard`).";
    tcp_dport => TcpDport: kind::Port, "TCP destination port (`tcp dport`).";
    tcp_flags => TcpFlags: TcpFlags, "TCP flags (`tcp flags`): any of these, or exactly `masked(these, among_those)`.";
    tcp_sport => TcpSport: kind::Port, "TCP source port (`tcp sport`).";
    th_dport => ThDport: kind::Port, "Destination port, whatever the transport protocol (`th dport`).";
    th_sport => ThSport: kind::Port, "Source port, whatever the transport protocol (`th sport`).";
    udp_dport => UdpDport: kind::Port, "UDP destination port (`udp dport`).";
    udp_sport => UdpSport: kind::Port, "UDP source port (`udp sport`).";
}

impl Rule {
    /// Adds any match.
    #[must_use]
    pub fn matches(self, matches: Match) -> Self {
        self.statement(Statement::Match(matches))
    }

    /// Adds the opposite of a match: `Rule::new().not(daddr(loopback))`.
    #[must_use]
    pub fn not(self, matches: Match) -> Self {
        self.matches(not(matches))
    }

    /// The packet belongs to a socket of this host; see [`socket_exists`].
    #[must_use]
    pub fn socket_exists(self) -> Self {
        self.matches(socket_exists())
    }
}
