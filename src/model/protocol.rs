//! Transport-layer protocols, their numbers and names.

/// Transport-layer protocol (`IPPROTO_*`, include/uapi/linux/in.h).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Protocol(pub u8);

impl Protocol {
    /// Internet control messages.
    pub const ICMP: Protocol = Protocol(1);
    /// Internet group management.
    pub const IGMP: Protocol = Protocol(2);
    /// Transmission control.
    pub const TCP: Protocol = Protocol(6);
    /// User datagrams.
    pub const UDP: Protocol = Protocol(17);
    /// Datagram congestion control.
    pub const DCCP: Protocol = Protocol(33);
    /// Generic routing encapsulation.
    pub const GRE: Protocol = Protocol(47);
    /// Encapsulating security payload.
    pub const ESP: Protocol = Protocol(50);
    /// Authentication header.
    pub const AH: Protocol = Protocol(51);
    /// Internet control messages of IPv6.
    pub const ICMPV6: Protocol = Protocol(58);
    /// Payload compression.
    pub const COMP: Protocol = Protocol(108);
    /// Stream control transmission.
    pub const SCTP: Protocol = Protocol(132);
    /// Lightweight user datagrams.
    pub const UDPLITE: Protocol = Protocol(136);

    /// Returns the name that nft(8) prints: the one in /etc/protocols, here that of Debian 12.
    /// Number 0, which nft calls `ip`, has none.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES
            .binary_search_by_key(&self.0, |(number, _)| *number)
            .ok()
            .and_then(|at| NAMES.get(at))
            .map(|(_, name)| *name)
    }

    /// Returns whether its header begins with a source and a destination port.
    #[must_use]
    pub fn has_ports(self) -> bool {
        [Protocol::DCCP, Protocol::SCTP, Protocol::TCP, Protocol::UDP, Protocol::UDPLITE].contains(&self)
    }
}

/// In ascending order.
const NAMES: &[(u8, &str)] = &[
    (1, "icmp"),
    (2, "igmp"),
    (3, "ggp"),
    (4, "ipencap"),
    (5, "st"),
    (6, "tcp"),
    (8, "egp"),
    (9, "igp"),
    (12, "pup"),
    (17, "udp"),
    (20, "hmp"),
    (22, "xns-idp"),
    (27, "rdp"),
    (29, "iso-tp4"),
    (33, "dccp"),
    (36, "xtp"),
    (37, "ddp"),
    (38, "idpr-cmtp"),
    (41, "ipv6"),
    (43, "ipv6-route"),
    (44, "ipv6-frag"),
    (45, "idrp"),
    (46, "rsvp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (57, "skip"),
    (58, "ipv6-icmp"),
    (59, "ipv6-nonxt"),
    (60, "ipv6-opts"),
    (73, "rspf"),
    (81, "vmtp"),
    (88, "eigrp"),
    (89, "ospf"),
    (93, "ax.25"),
    (94, "ipip"),
    (97, "etherip"),
    (98, "encap"),
    (103, "pim"),
    (108, "ipcomp"),
    (112, "vrrp"),
    (115, "l2tp"),
    (124, "isis"),
    (132, "sctp"),
    (133, "fc"),
    (135, "mobility-header"),
    (136, "udplite"),
    (137, "mpls-in-ip"),
    (138, "manet"),
    (139, "hip"),
    (140, "shim6"),
    (141, "wesp"),
    (142, "rohc"),
    (143, "ethernet"),
];
