//! What the types of ICMP and ICMPv6 mean for other headers.

use crate::model::Protocol;

pub(super) fn is_icmp(protocol: Protocol) -> bool {
    [Protocol::ICMP, Protocol::ICMPV6].contains(&protocol)
}

pub(super) fn is_error(protocol: Protocol, kind: u8) -> bool {
    if protocol == Protocol::ICMPV6 { kind < 128 || kind == 137 } else { [3, 4, 5, 11, 12].contains(&kind) }
}
