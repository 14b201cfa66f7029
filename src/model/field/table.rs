//! The table of fields: each entry defines all properties of a field.

/// Passes the table to a macro, which generates the part for its module: the enum and its names
/// (`model/field`), functions and methods (`model/matches`), the expressions that load a field
/// (`bytecode/fields`).
///
/// An entry has the field, its method with the operand type, nft's name, the type of its values,
/// the protocol that it requires (`any` for none), the place it is loaded from, its documentation,
/// and the kernel's name. Of two fields loaded from the same place, the one with a protocol comes
/// first.
macro_rules! field_table {
    ($with:ident) => {
        $with! {
            Cgroup cgroup(kind::Integer) "meta cgroup": Integer { bytes: 4 }, any meta(CGROUP),
                "Control group (version 1, net_cls) of the socket", "NFT_META_CGROUP";
            CtDirection ct_direction(CtDirection) "ct direction": CtDirection, any ct(DIRECTION),
                "Direction within the connection", "NFT_CT_DIRECTION";
            CtMark ct_mark(kind::Mark) "ct mark": Mark, any ct(MARK), "Mark of the connection", "NFT_CT_MARK";
            CtState ct_state(CtState) "ct state": CtState, any ct(STATE),
                "State of the connection, a set of bits of which one is on: it is one of these", "NFT_CT_STATE";
            CtStatus ct_status(CtStatus) "ct status": CtStatus, any ct(STATUS),
                "Status bits of the connection: it has one of these", "NFT_CT_STATUS";
            CtZone ct_zone(kind::Integer) "ct zone": Integer { bytes: 2 }, any ct(ZONE),
                "Zone of the connection, 0 to 65535", "NFT_CT_ZONE";
            FibDaddrType fib_daddr_type(AddrType) "fib daddr type": AddrType, any fib(DADDR, ADDRTYPE),
                "What the routing tables say of the destination address", "NFT_FIB_RESULT_ADDRTYPE";
            FibSaddrType fib_saddr_type(AddrType) "fib saddr type": AddrType, any fib(SADDR, ADDRTYPE),
                "What the routing tables say of the source address", "NFTA_FIB_F_SADDR";
            IcmpType icmp_type(IcmpType) "icmp type": IcmpType, icmp transport(0, 1), "ICMP type";
            Icmpv6Type icmpv6_type(Icmpv6Type) "icmpv6 type": Icmpv6Type, icmpv6 transport(0, 1),
                "ICMPv6 type";
            Iif iif(kind::Ifindex) "iif": Ifindex, any meta(IIF),
                "Index of the interface it came in on; none at output", "NFT_META_IIF";
            Iifname iifname(IfName) "iifname": Ifname, any meta(IIFNAME),
                "Name of the interface it came in on, or a prefix such as `veth*`", "NFT_META_IIFNAME";
            IpDaddr ip_daddr(Ipv4Addr) "ip daddr": Ipv4, ip network(16, 4), "IPv4 destination address";
            IpProtocol ip_protocol(Protocol) "ip protocol": Protocol, ip network(9, 1),
                "Protocol field of the IPv4 header";
            IpSaddr ip_saddr(Ipv4Addr) "ip saddr": Ipv4, ip network(12, 4), "IPv4 source address";
            Ip6Daddr ip6_daddr(Ipv6Addr) "ip6 daddr": Ipv6, ip6 network(24, 16), "IPv6 destination address";
            Ip6Saddr ip6_saddr(Ipv6Addr) "ip6 saddr": Ipv6, ip6 network(8, 16), "IPv6 source address";
            L4proto l4proto(Protocol) "meta l4proto": Protocol, any meta(L4PROTO),
                "Transport-layer protocol, after all extension headers", "NFT_META_L4PROTO";
            Length length(kind::Integer) "meta length": Integer { bytes: 4 }, any meta(LEN),
                "Length of the packet in bytes", "NFT_META_LEN";
            Mark mark(kind::Mark) "meta mark": Mark, any meta(MARK), "Mark of the packet", "NFT_META_MARK";
            Nfproto nfproto(Nfproto) "meta nfproto": Nfproto, any meta(NFPROTO),
                "Network-layer family", "NFT_META_NFPROTO";
            Oif oif(kind::Ifindex) "oif": Ifindex, any meta(OIF),
                "Index of the interface it leaves on; none before routing", "NFT_META_OIF";
            Oifname oifname(IfName) "oifname": Ifname, any meta(OIFNAME),
                "Name of the interface it leaves on, or a prefix such as `veth*`", "NFT_META_OIFNAME";
            PktType pkttype(PktType) "meta pkttype": PktType, any meta(PKTTYPE),
                "Link-layer packet type", "NFT_META_PKTTYPE";
            SctpDport sctp_dport(kind::Port) "sctp dport": Port, sctp transport(2, 2),
                "SCTP destination port";
            SctpSport sctp_sport(kind::Port) "sctp sport": Port, sctp transport(0, 2), "SCTP source port";
            Skgid skgid(kind::Gid) "meta skgid": Gid, any meta(SKGID),
                "Group of the process that created the socket; a packet without a socket matches no comparison",
                "NFT_META_SKGID";
            Skuid skuid(kind::Uid) "meta skuid": Uid, any meta(SKUID),
                "User of the process that created the socket; a packet without a socket matches no comparison",
                "NFT_META_SKUID";
            SocketMark socket_mark(kind::Mark) "socket mark": Mark, any socket(MARK),
                "Mark of the socket that would receive the packet", "NFT_SOCKET_MARK";
            SocketTransparent socket_transparent(kind::Integer) "socket transparent": Integer { bytes: 1 }, any socket(TRANSPARENT),
                "1 when the socket that would receive the packet is transparent", "NFT_SOCKET_TRANSPARENT";
            SocketWildcard socket_wildcard(kind::Integer) "socket wildcard": Integer { bytes: 1 }, any socket(WILDCARD),
                "1 when the socket that would receive the packet is bound to the unspecified address",
                "NFT_SOCKET_WILDCARD";
            TcpDport tcp_dport(kind::Port) "tcp dport": Port, tcp transport(2, 2), "TCP destination port";
            TcpFlags tcp_flags(TcpFlags) "tcp flags": TcpFlags, tcp transport(13, 1),
                "TCP flags: any of these, or exactly `masked(these, among_those)`";
            TcpSport tcp_sport(kind::Port) "tcp sport": Port, tcp transport(0, 2), "TCP source port";
            UdpDport udp_dport(kind::Port) "udp dport": Port, udp transport(2, 2), "UDP destination port";
            UdpSport udp_sport(kind::Port) "udp sport": Port, udp transport(0, 2), "UDP source port";
            ThDport th_dport(kind::Port) "th dport": Port, any transport(2, 2),
                "Destination port of any transport protocol that has ports";
            ThSport th_sport(kind::Port) "th sport": Port, any transport(0, 2),
                "Source port of any transport protocol that has ports";
        }
    };
}

pub(crate) use field_table;
