//! What a rule can look at: the fields of a packet, its socket and its connection.

/// A field of a packet, of the socket that sends or will receive it, or of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Field {
    /// Control group (version 1, net_cls) of the socket.
    #[doc(alias = "NFT_META_CGROUP")]
    Cgroup,
    /// Direction within the connection.
    #[doc(alias = "NFT_CT_DIRECTION")]
    CtDirection,
    /// Mark of the connection.
    #[doc(alias = "NFT_CT_MARK")]
    CtMark,
    /// State of the connection, a set of bits of which one is on.
    #[doc(alias = "NFT_CT_STATE")]
    CtState,
    /// Status bits of the connection.
    #[doc(alias = "NFT_CT_STATUS")]
    CtStatus,
    /// Zone of the connection.
    #[doc(alias = "NFT_CT_ZONE")]
    CtZone,
    /// What the routing tables say of the destination address.
    #[doc(alias = "NFT_FIB_RESULT_ADDRTYPE")]
    FibDaddrType,
    /// What the routing tables say of the source address.
    #[doc(alias = "NFTA_FIB_F_SADDR")]
    FibSaddrType,
    /// ICMP type.
    IcmpType,
    /// ICMPv6 type.
    Icmpv6Type,
    /// Index of the interface it came in on; none at output.
    #[doc(alias = "NFT_META_IIF")]
    Iif,
    /// Name of the interface it came in on.
    #[doc(alias = "NFT_META_IIFNAME")]
    Iifname,
    /// IPv4 destination address.
    IpDaddr,
    /// Protocol field of the IPv4 header.
    IpProtocol,
    /// IPv4 source address.
    IpSaddr,
    /// IPv6 destination address.
    Ip6Daddr,
    /// IPv6 source address.
    Ip6Saddr,
    /// Transport-layer protocol, behind all extension headers.
    #[doc(alias = "NFT_META_L4PROTO")]
    L4proto,
    /// Length of the packet in bytes.
    #[doc(alias = "NFT_META_LEN")]
    Length,
    /// Mark of the packet.
    #[doc(alias = "NFT_META_MARK")]
    Mark,
    /// Network-layer family.
    #[doc(alias = "NFT_META_NFPROTO")]
    Nfproto,
    /// Index of the interface it leaves on; none before routing.
    #[doc(alias = "NFT_META_OIF")]
    Oif,
    /// Name of the interface it leaves on.
    #[doc(alias = "NFT_META_OIFNAME")]
    Oifname,
    /// Link-layer packet type.
    #[doc(alias = "NFT_META_PKTTYPE")]
    PktType,
    /// SCTP destination port.
    SctpDport,
    /// SCTP source port.
    SctpSport,
    /// Group of the process that created the socket; a packet without a socket matches no
    /// comparison.
    #[doc(alias = "NFT_META_SKGID")]
    Skgid,
    /// User of the process that created the socket; a packet without a socket matches no
    /// comparison.
    #[doc(alias = "NFT_META_SKUID")]
    Skuid,
    /// Mark of the socket that would receive the packet.
    #[doc(alias = "NFT_SOCKET_MARK")]
    SocketMark,
    /// 1 when the socket that would receive the packet is transparent.
    #[doc(alias = "NFT_SOCKET_TRANSPARENT")]
    SocketTransparent,
    /// 1 when the socket that would receive the packet is bound to the unspecified address.
    #[doc(alias = "NFT_SOCKET_WILDCARD")]
    SocketWildcard,
    /// TCP destination port.
    TcpDport,
    /// TCP flags.
    TcpFlags,
    /// TCP source port.
    TcpSport,
    /// Destination port of any transport protocol that has ports.
    ThDport,
    /// Source port of any transport protocol that has ports.
    ThSport,
    /// UDP destination port.
    UdpDport,
    /// UDP source port.
    UdpSport,
}

impl Field {
    /// The type of its values.
    #[must_use]
    pub fn data_type(self) -> DataType {
        match self {
            Field::Cgroup | Field::Length => DataType::Integer { bytes: 4 },
            Field::CtDirection => DataType::CtDirection,
            Field::CtMark | Field::Mark | Field::SocketMark => DataType::Mark,
            Field::CtState => DataType::CtState,
            Field::CtStatus => DataType::CtStatus,
            Field::CtZone => DataType::Integer { bytes: 2 },
            Field::FibDaddrType | Field::FibSaddrType => DataType::AddrType,
            Field::IcmpType => DataType::IcmpType,
            Field::Icmpv6Type => DataType::Icmpv6Type,
            Field::Iif | Field::Oif => DataType::Ifindex,
            Field::Iifname | Field::Oifname => DataType::Ifname,
            Field::IpDaddr | Field::IpSaddr => DataType::Ipv4,
            Field::Ip6Daddr | Field::Ip6Saddr => DataType::Ipv6,
            Field::IpProtocol | Field::L4proto => DataType::Protocol,
            Field::Nfproto => DataType::Nfproto,
            Field::PktType => DataType::PktType,
            Field::SctpDport | Field::SctpSport | Field::TcpDport | Field::TcpSport => DataType::Port,
            Field::ThDport | Field::ThSport | Field::UdpDport | Field::UdpSport => DataType::Port,
            Field::Skgid => DataType::Gid,
            Field::Skuid => DataType::Uid,
            Field::SocketTransparent | Field::SocketWildcard => DataType::Integer { bytes: 1 },
            Field::TcpFlags => DataType::TcpFlags,
        }
    }

    /// The field as nft(8) spells it, `meta skuid`, `ip saddr`, `ct state`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Field::Cgroup => "meta cgroup",
            Field::CtDirection => "ct direction",
            Field::CtMark => "ct mark",
            Field::CtState => "ct state",
            Field::CtStatus => "ct status",
            Field::CtZone => "ct zone",
            Field::FibDaddrType => "fib daddr type",
            Field::FibSaddrType => "fib saddr type",
            Field::IcmpType => "icmp type",
            Field::Icmpv6Type => "icmpv6 type",
            Field::Iif => "iif",
            Field::Iifname => "iifname",
            Field::IpDaddr => "ip daddr",
            Field::IpProtocol => "ip protocol",
            Field::IpSaddr => "ip saddr",
            Field::Ip6Daddr => "ip6 daddr",
            Field::Ip6Saddr => "ip6 saddr",
            Field::L4proto => "meta l4proto",
            Field::Length => "meta length",
            Field::Mark => "meta mark",
            Field::Nfproto => "meta nfproto",
            Field::Oif => "oif",
            Field::Oifname => "oifname",
            Field::PktType => "meta pkttype",
            Field::SctpDport => "sctp dport",
            Field::SctpSport => "sctp sport",
            Field::Skgid => "meta skgid",
            Field::Skuid => "meta skuid",
            Field::SocketMark => "socket mark",
            Field::SocketTransparent => "socket transparent",
            Field::SocketWildcard => "socket wildcard",
            Field::TcpDport => "tcp dport",
            Field::TcpFlags => "tcp flags",
            Field::TcpSport => "tcp sport",
            Field::ThDport => "th dport",
            Field::ThSport => "th sport",
            Field::UdpDport => "udp dport",
            Field::UdpSport => "udp sport",
        }
    }
}

/// Type of a field or of a set's key or data, as in `type ipv4_addr . inet_service`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// `fib_addrtype`, 4 bytes in host order.
    AddrType,
    /// `ct_dir`, 1 byte.
    CtDirection,
    /// `ct_state`, 4 bytes in host order.
    CtState,
    /// `ct_status`, 4 bytes in host order.
    CtStatus,
    /// `gid`, 4 bytes in host order.
    Gid,
    /// `icmp_type`, 1 byte.
    IcmpType,
    /// `icmpv6_type`, 1 byte.
    Icmpv6Type,
    /// `iface_index`, 4 bytes in host order.
    Ifindex,
    /// `ifname`, 16 bytes, NUL padded.
    Ifname,
    /// `integer` of that many bytes in host order.
    Integer {
        /// Width in bytes: 1, 2 or 4.
        bytes: u8,
    },
    /// `ipv4_addr`, 4 bytes in network order.
    Ipv4,
    /// `ipv6_addr`, 16 bytes in network order.
    Ipv6,
    /// `mark`, 4 bytes in host order.
    Mark,
    /// `nf_proto`, 1 byte.
    Nfproto,
    /// `integer` of that many bytes as they are in a packet, the most significant first.
    NetworkInteger {
        /// Width in bytes: 1 to 4.
        bytes: u8,
    },
    /// `pkt_type`, 1 byte.
    PktType,
    /// `inet_service`, 2 bytes in network order.
    Port,
    /// `inet_proto`, 1 byte.
    Protocol,
    /// `tcp_flag`, 1 byte.
    TcpFlags,
    /// `uid`, 4 bytes in host order.
    Uid,
}

impl DataType {
    /// Width in bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            DataType::AddrType | DataType::CtState | DataType::CtStatus => 4,
            DataType::Gid | DataType::Ifindex | DataType::Ipv4 | DataType::Mark | DataType::Uid => 4,
            DataType::CtDirection | DataType::IcmpType | DataType::Icmpv6Type | DataType::Nfproto => 1,
            DataType::PktType | DataType::Protocol | DataType::TcpFlags => 1,
            DataType::Ifname | DataType::Ipv6 => 16,
            DataType::Integer { bytes } | DataType::NetworkInteger { bytes } => usize::from(bytes),
            DataType::Port => 2,
        }
    }

    /// Whether the kernel keeps it in host byte order, so that a comparison by order needs a
    /// conversion first.
    #[must_use]
    pub fn is_host_order(self) -> bool {
        match self {
            DataType::AddrType | DataType::CtState | DataType::CtStatus | DataType::Gid | DataType::Ifindex => true,
            DataType::Integer { .. } | DataType::Mark | DataType::Uid => true,
            DataType::CtDirection | DataType::IcmpType | DataType::Icmpv6Type | DataType::Ifname => false,
            DataType::Ipv4 | DataType::Ipv6 | DataType::NetworkInteger { .. } | DataType::Nfproto => false,
            DataType::PktType | DataType::Port => false,
            DataType::Protocol | DataType::TcpFlags => false,
        }
    }

    /// The name nft(8) uses in `type ...`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DataType::AddrType => "fib_addrtype",
            DataType::CtDirection => "ct_dir",
            DataType::CtState => "ct_state",
            DataType::CtStatus => "ct_status",
            DataType::Gid => "gid",
            DataType::IcmpType => "icmp_type",
            DataType::Icmpv6Type => "icmpv6_type",
            DataType::Ifindex => "iface_index",
            DataType::Ifname => "ifname",
            DataType::Integer { .. } | DataType::NetworkInteger { .. } => "integer",
            DataType::Ipv4 => "ipv4_addr",
            DataType::Ipv6 => "ipv6_addr",
            DataType::Mark => "mark",
            DataType::Nfproto => "nf_proto",
            DataType::PktType => "pkt_type",
            DataType::Port => "inet_service",
            DataType::Protocol => "inet_proto",
            DataType::TcpFlags => "tcp_flag",
            DataType::Uid => "uid",
        }
    }
}
