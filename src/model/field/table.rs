//! The table of fields: each entry defines all properties of a field.

/// Passes the table to a macro, which generates the part for its module: the enum and its names
/// (`model/field`), functions and methods (`model/matches`), the expressions that load a field
/// (`bytecode/fields`).
///
/// An entry has the field, its method with the operand type, nft's name, the type of its values,
/// the protocol that it requires (`any` for none; [`Needs`](super::Needs)), the place it is loaded
/// from (`bits` with the offset and width in bits, for part of a byte), its documentation, and the
/// kernel's name. Of two fields loaded from the same place, the one with a protocol comes
/// first.
macro_rules! field_table {
    ($with:ident) => {
        $with! {
            AhHdrlength ah_hdrlength(kind::Integer) "ah hdrlength": NetworkInteger { bytes: 1 }, ah transport(1, 1),
                "Length of the authentication header";
            AhNexthdr ah_nexthdr(Protocol) "ah nexthdr": Protocol, ah transport(0, 1),
                "Protocol after the authentication header";
            AhReserved ah_reserved(kind::Integer) "ah reserved": NetworkInteger { bytes: 2 }, ah transport(2, 2),
                "Reserved bytes of the authentication header";
            AhSequence ah_sequence(kind::Integer) "ah sequence": NetworkInteger { bytes: 4 }, ah transport(8, 4),
                "Sequence number of the authentication header";
            AhSpi ah_spi(kind::Integer) "ah spi": NetworkInteger { bytes: 4 }, ah transport(4, 4),
                "Security parameters index of the authentication header";
            ArpDaddrEther arp_daddr_ether(EtherAddr) "arp daddr ether": EtherAddr, arp network(18, 6),
                "Hardware address of the target in ARP";
            ArpDaddrIp arp_daddr_ip(Ipv4Addr) "arp daddr ip": Ipv4, arp network(24, 4),
                "IPv4 address of the target in ARP";
            ArpHlen arp_hlen(kind::Integer) "arp hlen": NetworkInteger { bytes: 1 }, arp network(4, 1),
                "Length of hardware addresses of ARP";
            ArpHtype arp_htype(kind::Integer) "arp htype": NetworkInteger { bytes: 2 }, arp network(0, 2),
                "Type of hardware addresses of ARP";
            ArpOperation arp_operation(ArpOp) "arp operation": ArpOp, arp network(6, 2),
                "Operation of ARP";
            ArpPlen arp_plen(kind::Integer) "arp plen": NetworkInteger { bytes: 1 }, arp network(5, 1),
                "Length of protocol addresses of ARP";
            ArpPtype arp_ptype(EtherType) "arp ptype": EtherType, arp network(2, 2),
                "Type of protocol addresses of ARP";
            ArpSaddrEther arp_saddr_ether(EtherAddr) "arp saddr ether": EtherAddr, arp network(8, 6),
                "Hardware address of the sender in ARP";
            ArpSaddrIp arp_saddr_ip(Ipv4Addr) "arp saddr ip": Ipv4, arp network(14, 4),
                "IPv4 address of the sender in ARP";
            Cgroup cgroup(kind::Integer) "meta cgroup": Integer { bytes: 4 }, any meta(CGROUP),
                "Control group (version 1, net_cls) of the socket", "NFT_META_CGROUP";
            CompCpi comp_cpi(kind::Integer) "comp cpi": NetworkInteger { bytes: 2 }, comp transport(2, 2),
                "Compression parameter index";
            CompFlags comp_flags(kind::Bitmask) "comp flags": Bitmask, comp transport(1, 1),
                "Flags of payload compression";
            CompNexthdr comp_nexthdr(Protocol) "comp nexthdr": Protocol, comp transport(0, 1),
                "Protocol of the compressed payload";
            Cpu cpu(kind::Integer) "meta cpu": Integer { bytes: 4 }, any meta(CPU),
                "Processor on which the rule runs", "NFT_META_CPU";
            CtAvgpkt ct_avgpkt(kind::Long) "ct avgpkt": Integer { bytes: 8 }, any ct(AVGPKT),
                "Average bytes of a packet of the connection", "NFT_CT_AVGPKT";
            CtBytes ct_bytes(kind::Long) "ct bytes": Integer { bytes: 8 }, any ct(BYTES),
                "Bytes of the connection in both directions", "NFT_CT_BYTES";
            CtDirection ct_direction(CtDirection) "ct direction": CtDirection, any ct(DIRECTION),
                "Direction within the connection", "NFT_CT_DIRECTION";
            CtExpiration ct_expiration(kind::Duration) "ct expiration": Duration, any ct(EXPIRATION),
                "Time until the connection is forgotten", "NFT_CT_EXPIRATION";
            CtHelper ct_helper(kind::Text) "ct helper": Text, any ct(HELPER),
                "Name of the connection's helper", "NFT_CT_HELPER";
            CtId ct_id(kind::Integer) "ct id": NetworkInteger { bytes: 4 }, any ct(ID),
                "Number of the connection", "NFT_CT_ID";
            CtL3proto ct_l3proto(Nfproto) "ct l3proto": Nfproto, any ct(L3PROTOCOL),
                "Network-layer family of the connection", "NFT_CT_L3PROTOCOL";
            CtLabel ct_label(CtLabel) "ct label": CtLabel, any ct(LABELS),
                "Labels of the connection: it has one of these", "NFT_CT_LABELS";
            CtMark ct_mark(kind::Mark) "ct mark": Mark, any ct(MARK), "Mark of the connection", "NFT_CT_MARK";
            CtPackets ct_packets(kind::Long) "ct packets": Integer { bytes: 8 }, any ct(PKTS),
                "Packets of the connection in both directions", "NFT_CT_PKTS";
            CtProtocol ct_protocol(Protocol) "ct protocol": Protocol, any ct(PROTOCOL),
                "Transport-layer protocol of the connection", "NFT_CT_PROTOCOL";
            CtSecmark ct_secmark(kind::Integer) "ct secmark": Integer { bytes: 4 }, any ct(SECMARK),
                "Security mark of the connection", "NFT_CT_SECMARK";
            CtState ct_state(CtState) "ct state": CtState, any ct(STATE),
                "State of the connection, a set of bits of which one is on: it is one of these", "NFT_CT_STATE";
            CtStatus ct_status(CtStatus) "ct status": CtStatus, any ct(STATUS),
                "Status bits of the connection: it has one of these", "NFT_CT_STATUS";
            CtZone ct_zone(kind::Integer) "ct zone": Integer { bytes: 2 }, any ct(ZONE),
                "Zone of the connection, 0 to 65535", "NFT_CT_ZONE";
            Date date(kind::Date) "meta time": Date, any meta(TIME_NS),
                "Moment at which the packet came in, in nanoseconds since 1970", "NFT_META_TIME_NS";
            Day day(Day) "meta day": Day, any meta(TIME_DAY),
                "Day of the week, in UTC", "NFT_META_TIME_DAY";
            DccpDport dccp_dport(kind::Port) "dccp dport": Port, dccp transport(2, 2),
                "DCCP destination port";
            DccpSport dccp_sport(kind::Port) "dccp sport": Port, dccp transport(0, 2),
                "DCCP source port";
            DccpType dccp_type(DccpType) "dccp type": DccpType, dccp bits(TRANSPORT, 67, 4),
                "Type of the DCCP packet";
            EspSequence esp_sequence(kind::Integer) "esp sequence": NetworkInteger { bytes: 4 }, esp transport(4, 4),
                "Sequence number of ESP";
            EspSpi esp_spi(kind::Integer) "esp spi": NetworkInteger { bytes: 4 }, esp transport(0, 4),
                "Security parameters index of ESP";
            EtherDaddr ether_daddr(EtherAddr) "ether daddr": EtherAddr, ether link(0, 6),
                "Ethernet destination address";
            EtherSaddr ether_saddr(EtherAddr) "ether saddr": EtherAddr, ether link(6, 6),
                "Ethernet source address";
            EtherType ether_type(EtherType) "ether type": EtherType, ether link(12, 2),
                "Protocol of the Ethernet frame";
            FibDaddrType fib_daddr_type(AddrType) "fib daddr type": AddrType, any fib(DADDR, ADDRTYPE),
                "What the routing tables say of the destination address", "NFT_FIB_RESULT_ADDRTYPE";
            FibSaddrType fib_saddr_type(AddrType) "fib saddr type": AddrType, any fib(SADDR, ADDRTYPE),
                "What the routing tables say of the source address", "NFTA_FIB_F_SADDR";
            Hour hour(kind::Hour) "meta hour": Hour, any meta(TIME_HOUR),
                "Second of the day, in UTC", "NFT_META_TIME_HOUR";
            Ibrname ibrname(IfName) "meta ibrname": Ifname, any meta(BRI_IIFNAME),
                "Name of the bridge it came in on", "NFT_META_BRI_IIFNAME";
            Ibrpvid ibrpvid(kind::Integer) "meta ibrpvid": Integer { bytes: 2 }, any meta(BRI_IIFPVID),
                "VLAN of the bridge port it came in on", "NFT_META_BRI_IIFPVID";
            Ibrvproto ibrvproto(EtherType) "meta ibrvproto": EtherType, any meta(BRI_IIFVPROTO),
                "VLAN protocol of the bridge it came in on", "NFT_META_BRI_IIFVPROTO";
            IcmpChecksum icmp_checksum(kind::Integer) "icmp checksum": NetworkInteger { bytes: 2 }, icmp transport(2, 2),
                "ICMP checksum";
            IcmpCode icmp_code(IcmpCode) "icmp code": IcmpCode, icmp transport(1, 1),
                "ICMP code";
            IcmpGateway icmp_gateway(kind::Integer) "icmp gateway": NetworkInteger { bytes: 4 }, icmp_redirect transport(4, 4),
                "Gateway in an ICMP redirect";
            IcmpId icmp_id(kind::Integer) "icmp id": NetworkInteger { bytes: 2 }, icmp_echo transport(4, 2),
                "Identifier of an ICMP echo";
            IcmpMtu icmp_mtu(kind::Integer) "icmp mtu": NetworkInteger { bytes: 2 }, icmp_unreachable transport(6, 2),
                "MTU in an ICMP message of destination unreachable";
            IcmpSequence icmp_sequence(kind::Integer) "icmp sequence": NetworkInteger { bytes: 2 }, icmp_echo transport(6, 2),
                "Sequence number of an ICMP echo";
            IcmpType icmp_type(IcmpType) "icmp type": IcmpType, icmp transport(0, 1), "ICMP type";
            Icmpv6Checksum icmpv6_checksum(kind::Integer) "icmpv6 checksum": NetworkInteger { bytes: 2 }, icmpv6 transport(2, 2),
                "ICMPv6 checksum";
            Icmpv6Code icmpv6_code(Icmpv6Code) "icmpv6 code": Icmpv6Code, icmpv6 transport(1, 1),
                "ICMPv6 code";
            Icmpv6Id icmpv6_id(kind::Integer) "icmpv6 id": NetworkInteger { bytes: 2 }, icmpv6_echo transport(4, 2),
                "Identifier of an ICMPv6 echo";
            Icmpv6MaxDelay icmpv6_max_delay(kind::Integer) "icmpv6 max-delay": NetworkInteger { bytes: 2 }, icmpv6_query transport(4, 2),
                "Longest delay of answers to a multicast listener query";
            Icmpv6Mtu icmpv6_mtu(kind::Integer) "icmpv6 mtu": NetworkInteger { bytes: 4 }, icmpv6_too_big transport(4, 4),
                "MTU in an ICMPv6 message of packet too big";
            Icmpv6Sequence icmpv6_sequence(kind::Integer) "icmpv6 sequence": NetworkInteger { bytes: 2 }, icmpv6_echo transport(6, 2),
                "Sequence number of an ICMPv6 echo";
            Icmpv6Type icmpv6_type(Icmpv6Type) "icmpv6 type": Icmpv6Type, icmpv6 transport(0, 1),
                "ICMPv6 type";
            IgmpChecksum igmp_checksum(kind::Integer) "igmp checksum": NetworkInteger { bytes: 2 }, igmp transport(2, 2),
                "IGMP checksum";
            IgmpGroup igmp_group(kind::Integer) "igmp group": NetworkInteger { bytes: 4 }, igmp transport(4, 4),
                "Group address of IGMP, which nft takes as a number";
            IgmpMrt igmp_mrt(kind::Integer) "igmp mrt": NetworkInteger { bytes: 1 }, igmp transport(1, 1),
                "Longest time of answers to an IGMP query";
            IgmpType igmp_type(IgmpType) "igmp type": IgmpType, igmp transport(0, 1),
                "IGMP type";
            Iif iif(kind::Ifindex) "iif": Ifindex, any meta(IIF),
                "Index of the interface it came in on; none at output", "NFT_META_IIF";
            Iifgroup iifgroup(kind::Devgroup) "iifgroup": Devgroup, any meta(IIFGROUP),
                "Group of the incoming interface", "NFT_META_IIFGROUP";
            Iifkind iifkind(IfName) "meta iifkind": Ifname, any meta(IIFKIND),
                "Kind of the incoming interface, such as `veth`", "NFT_META_IIFKIND";
            Iifname iifname(IfName) "iifname": Ifname, any meta(IIFNAME),
                "Name of the interface it came in on, or a prefix such as `veth*`", "NFT_META_IIFNAME";
            Iiftype iiftype(IfaceType) "meta iiftype": IfaceType, any meta(IIFTYPE),
                "Type of the incoming interface", "NFT_META_IIFTYPE";
            Ip6Daddr ip6_daddr(Ipv6Addr) "ip6 daddr": Ipv6, ip6 network(24, 16), "IPv6 destination address";
            Ip6Dscp ip6_dscp(Dscp) "ip6 dscp": Dscp, ip6 bits(NETWORK, 4, 6),
                "Differentiated services code point of IPv6";
            Ip6Ecn ip6_ecn(Ecn) "ip6 ecn": Ecn, ip6 bits(NETWORK, 10, 2),
                "Explicit congestion notification of IPv6";
            Ip6Flowlabel ip6_flowlabel(kind::Integer) "ip6 flowlabel": NetworkInteger { bytes: 3 }, ip6 bits(NETWORK, 12, 20),
                "Flow label of IPv6";
            Ip6Hoplimit ip6_hoplimit(kind::Integer) "ip6 hoplimit": NetworkInteger { bytes: 1 }, ip6 network(7, 1),
                "Hop limit of IPv6";
            Ip6Length ip6_length(kind::Integer) "ip6 length": NetworkInteger { bytes: 2 }, ip6 network(4, 2),
                "Length of what follows the IPv6 header";
            Ip6Nexthdr ip6_nexthdr(Protocol) "ip6 nexthdr": Protocol, ip6 network(6, 1),
                "Next header field of IPv6";
            Ip6Saddr ip6_saddr(Ipv6Addr) "ip6 saddr": Ipv6, ip6 network(8, 16), "IPv6 source address";
            Ip6Version ip6_version(kind::Integer) "ip6 version": NetworkInteger { bytes: 1 }, ip6 bits(NETWORK, 0, 4),
                "Version field of the IPv6 header";
            IpChecksum ip_checksum(kind::Integer) "ip checksum": NetworkInteger { bytes: 2 }, ip network(10, 2),
                "Checksum of the IPv4 header";
            IpDaddr ip_daddr(Ipv4Addr) "ip daddr": Ipv4, ip network(16, 4), "IPv4 destination address";
            IpDscp ip_dscp(Dscp) "ip dscp": Dscp, ip bits(NETWORK, 8, 6),
                "Differentiated services code point of IPv4";
            IpEcn ip_ecn(Ecn) "ip ecn": Ecn, ip bits(NETWORK, 14, 2),
                "Explicit congestion notification of IPv4";
            IpFragOff ip_frag_off(kind::Integer) "ip frag-off": NetworkInteger { bytes: 2 }, ip network(6, 2),
                "Fragment flags and offset of IPv4";
            IpHdrlength ip_hdrlength(kind::Integer) "ip hdrlength": NetworkInteger { bytes: 1 }, ip bits(NETWORK, 4, 4),
                "Length of the IPv4 header, in words of 4 bytes";
            IpId ip_id(kind::Integer) "ip id": NetworkInteger { bytes: 2 }, ip network(4, 2),
                "Identification of the IPv4 packet";
            IpLength ip_length(kind::Integer) "ip length": NetworkInteger { bytes: 2 }, ip network(2, 2),
                "Length of the IPv4 packet in bytes";
            IpProtocol ip_protocol(Protocol) "ip protocol": Protocol, ip network(9, 1),
                "Protocol field of the IPv4 header";
            IpSaddr ip_saddr(Ipv4Addr) "ip saddr": Ipv4, ip network(12, 4), "IPv4 source address";
            IpTtl ip_ttl(kind::Integer) "ip ttl": NetworkInteger { bytes: 1 }, ip network(8, 1),
                "Time to live of IPv4";
            IpVersion ip_version(kind::Integer) "ip version": NetworkInteger { bytes: 1 }, ip bits(NETWORK, 0, 4),
                "Version field of the IPv4 header";
            Secpath secpath(kind::Boolean) "meta ipsec": Boolean, any meta(SECPATH),
                "Whether the packet was decrypted by IPsec", "NFT_META_SECPATH";
            L4proto l4proto(Protocol) "meta l4proto": Protocol, any meta(L4PROTO),
                "Transport-layer protocol, after all extension headers", "NFT_META_L4PROTO";
            Length length(kind::Integer) "meta length": Integer { bytes: 4 }, any meta(LEN),
                "Length of the packet in bytes", "NFT_META_LEN";
            Mark mark(kind::Mark) "meta mark": Mark, any meta(MARK), "Mark of the packet", "NFT_META_MARK";
            MetaProtocol meta_protocol(EtherType) "meta protocol": EtherType, any meta(PROTOCOL),
                "Protocol of the network layer, by its Ethernet number", "NFT_META_PROTOCOL";
            Nfproto nfproto(Nfproto) "meta nfproto": Nfproto, any meta(NFPROTO),
                "Network-layer family", "NFT_META_NFPROTO";
            Obrname obrname(IfName) "meta obrname": Ifname, any meta(BRI_OIFNAME),
                "Name of the bridge it leaves on", "NFT_META_BRI_OIFNAME";
            Oif oif(kind::Ifindex) "oif": Ifindex, any meta(OIF),
                "Index of the interface it leaves on; none before routing", "NFT_META_OIF";
            Oifgroup oifgroup(kind::Devgroup) "oifgroup": Devgroup, any meta(OIFGROUP),
                "Group of the outgoing interface", "NFT_META_OIFGROUP";
            Oifkind oifkind(IfName) "meta oifkind": Ifname, any meta(OIFKIND),
                "Kind of the outgoing interface, such as `veth`", "NFT_META_OIFKIND";
            Oifname oifname(IfName) "oifname": Ifname, any meta(OIFNAME),
                "Name of the interface it leaves on, or a prefix such as `veth*`", "NFT_META_OIFNAME";
            Oiftype oiftype(IfaceType) "meta oiftype": IfaceType, any meta(OIFTYPE),
                "Type of the outgoing interface", "NFT_META_OIFTYPE";
            PktType pkttype(PktType) "meta pkttype": PktType, any meta(PKTTYPE),
                "Link-layer packet type", "NFT_META_PKTTYPE";
            Priority priority(kind::Classid) "meta priority": Classid, any meta(PRIORITY),
                "Priority of the packet, a class of traffic control", "NFT_META_PRIORITY";
            Random random(kind::Integer) "meta random": NetworkInteger { bytes: 4 }, any meta(PRANDOM),
                "A random number", "NFT_META_PRANDOM";
            Rtclassid rtclassid(kind::Realm) "meta rtclassid": Realm, any meta(RTCLASSID),
                "Realm of the packet's route", "NFT_META_RTCLASSID";
            RtClassid rt_classid(kind::Realm) "rt classid": Realm, any rt(CLASSID),
                "Realm of the route", "NFT_RT_CLASSID";
            RtIpsec rt_ipsec(kind::Boolean) "rt ipsec": Boolean, any rt(XFRM),
                "Whether the route goes through IPsec", "NFT_RT_XFRM";
            RtMtu rt_mtu(kind::Integer) "rt mtu": Integer { bytes: 2 }, any rt(TCPMSS),
                "Maximum segment size that fits the route", "NFT_RT_TCPMSS";
            RtIpNexthop rt_ip_nexthop(Ipv4Addr) "rt ip nexthop": Ipv4, any rt(NEXTHOP4),
                "IPv4 address of the next hop", "NFT_RT_NEXTHOP4";
            RtIp6Nexthop rt_ip6_nexthop(Ipv6Addr) "rt ip6 nexthop": Ipv6, any rt(NEXTHOP6),
                "IPv6 address of the next hop", "NFT_RT_NEXTHOP6";
            SctpChecksum sctp_checksum(kind::Integer) "sctp checksum": NetworkInteger { bytes: 4 }, sctp transport(8, 4),
                "SCTP checksum";
            SctpDport sctp_dport(kind::Port) "sctp dport": Port, sctp transport(2, 2),
                "SCTP destination port";
            SctpSport sctp_sport(kind::Port) "sctp sport": Port, sctp transport(0, 2), "SCTP source port";
            SctpVtag sctp_vtag(kind::Integer) "sctp vtag": NetworkInteger { bytes: 4 }, sctp transport(4, 4),
                "SCTP verification tag";
            Sdif sdif(kind::Ifindex) "meta sdif": Ifindex, any meta(SDIF),
                "Index of the interface before its VRF", "NFT_META_SDIF";
            Sdifname sdifname(IfName) "meta sdifname": Ifname, any meta(SDIFNAME),
                "Name of the interface before its VRF", "NFT_META_SDIFNAME";
            Secmark secmark(kind::Integer) "meta secmark": Integer { bytes: 4 }, any meta(SECMARK),
                "Security mark of the packet", "NFT_META_SECMARK";
            Skgid skgid(kind::Gid) "meta skgid": Gid, any meta(SKGID),
                "Group of the process that created the socket; a packet without a socket matches no comparison",
                "NFT_META_SKGID";
            Skuid skuid(kind::Uid) "meta skuid": Uid, any meta(SKUID),
                "User of the process that created the socket; a packet without a socket matches no comparison",
                "NFT_META_SKUID";
            SocketMark socket_mark(kind::Mark) "socket mark": Mark, any socket(MARK),
                "Mark of the packet's socket: the one that sends it at output, else the one that would receive it", "NFT_SOCKET_MARK";
            SocketTransparent socket_transparent(kind::Integer) "socket transparent": Integer { bytes: 1 }, any socket(TRANSPARENT),
                "1 when the packet's socket (see `socket mark`) is transparent", "NFT_SOCKET_TRANSPARENT";
            SocketWildcard socket_wildcard(kind::Integer) "socket wildcard": Integer { bytes: 1 }, any socket(WILDCARD),
                "1 when the packet's socket (see `socket mark`) is bound to the unspecified address",
                "NFT_SOCKET_WILDCARD";
            TcpAckseq tcp_ackseq(kind::Integer) "tcp ackseq": NetworkInteger { bytes: 4 }, tcp transport(8, 4),
                "TCP acknowledgement number";
            TcpChecksum tcp_checksum(kind::Integer) "tcp checksum": NetworkInteger { bytes: 2 }, tcp transport(16, 2),
                "TCP checksum";
            TcpDoff tcp_doff(kind::Integer) "tcp doff": NetworkInteger { bytes: 1 }, tcp bits(TRANSPORT, 96, 4),
                "Length of the TCP header, in words of 4 bytes";
            TcpDport tcp_dport(kind::Port) "tcp dport": Port, tcp transport(2, 2), "TCP destination port";
            TcpFlags tcp_flags(TcpFlags) "tcp flags": TcpFlags, tcp transport(13, 1),
                "TCP flags: any of these, or exactly `masked(these, among_those)`";
            TcpReserved tcp_reserved(kind::Integer) "tcp reserved": NetworkInteger { bytes: 1 }, tcp bits(TRANSPORT, 100, 4),
                "Reserved bits of TCP";
            TcpSequence tcp_sequence(kind::Integer) "tcp sequence": NetworkInteger { bytes: 4 }, tcp transport(4, 4),
                "TCP sequence number";
            TcpSport tcp_sport(kind::Port) "tcp sport": Port, tcp transport(0, 2), "TCP source port";
            TcpUrgptr tcp_urgptr(kind::Integer) "tcp urgptr": NetworkInteger { bytes: 2 }, tcp transport(18, 2),
                "TCP urgent pointer";
            TcpWindow tcp_window(kind::Integer) "tcp window": NetworkInteger { bytes: 2 }, tcp transport(14, 2),
                "TCP window";
            UdpChecksum udp_checksum(kind::Integer) "udp checksum": NetworkInteger { bytes: 2 }, udp transport(6, 2),
                "UDP checksum";
            UdpDport udp_dport(kind::Port) "udp dport": Port, udp transport(2, 2), "UDP destination port";
            UdpLength udp_length(kind::Integer) "udp length": NetworkInteger { bytes: 2 }, udp transport(4, 2),
                "Length of the UDP datagram with its header";
            UdpSport udp_sport(kind::Port) "udp sport": Port, udp transport(0, 2), "UDP source port";
            UdpliteChecksum udplite_checksum(kind::Integer) "udplite checksum": NetworkInteger { bytes: 2 }, udplite transport(6, 2),
                "UDP-Lite checksum";
            UdpliteCsumcov udplite_csumcov(kind::Integer) "udplite csumcov": NetworkInteger { bytes: 2 }, udplite transport(4, 2),
                "Bytes of UDP-Lite that its checksum covers";
            UdpliteDport udplite_dport(kind::Port) "udplite dport": Port, udplite transport(2, 2),
                "UDP-Lite destination port";
            UdpliteSport udplite_sport(kind::Port) "udplite sport": Port, udplite transport(0, 2),
                "UDP-Lite source port";
            VlanDei vlan_dei(kind::Integer) "vlan dei": NetworkInteger { bytes: 1 }, vlan bits(LINK, 115, 1),
                "Whether the VLAN tag allows dropping";
            VlanId vlan_id(kind::Integer) "vlan id": NetworkInteger { bytes: 2 }, vlan bits(LINK, 116, 12),
                "VLAN";
            VlanPcp vlan_pcp(kind::Integer) "vlan pcp": NetworkInteger { bytes: 1 }, vlan bits(LINK, 112, 3),
                "Priority of the VLAN tag";
            VlanType vlan_type(EtherType) "vlan type": EtherType, vlan link(16, 2),
                "Protocol after the VLAN tag";
            ThDport th_dport(kind::Port) "th dport": Port, any transport(2, 2),
                "Destination port of any transport protocol that has ports";
            ThSport th_sport(kind::Port) "th sport": Port, any transport(0, 2),
                "Source port of any transport protocol that has ports";
        }
    };
}

pub(crate) use field_table;
