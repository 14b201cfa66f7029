//! Types and codes of ICMP, IGMP and mobility messages.

use super::{Number, numbers};

numbers! {
    /// ICMP code (RFC 792; the names are those of nft(8), for destination unreachable).
    IcmpCode(u8) {
        /// Network unreachable.
        NET_UNREACHABLE = 0 "net-unreachable",
        /// Host unreachable.
        HOST_UNREACHABLE = 1 "host-unreachable",
        /// Protocol unreachable.
        PROT_UNREACHABLE = 2 "prot-unreachable",
        /// Port unreachable.
        PORT_UNREACHABLE = 3 "port-unreachable",
        /// Fragmentation needed.
        FRAG_NEEDED = 4 "frag-needed",
        /// Network prohibited.
        NET_PROHIBITED = 9 "net-prohibited",
        /// Host prohibited.
        HOST_PROHIBITED = 10 "host-prohibited",
        /// Administratively prohibited.
        ADMIN_PROHIBITED = 13 "admin-prohibited",
    }
}

numbers! {
    /// ICMPv6 code (RFC 4443; the names are those of nft(8), for destination unreachable).
    Icmpv6Code(u8) {
        /// No route.
        NO_ROUTE = 0 "no-route",
        /// Administratively prohibited.
        ADMIN_PROHIBITED = 1 "admin-prohibited",
        /// Address unreachable.
        ADDR_UNREACHABLE = 3 "addr-unreachable",
        /// Port unreachable.
        PORT_UNREACHABLE = 4 "port-unreachable",
        /// Source address failed policy.
        POLICY_FAIL = 5 "policy-fail",
        /// Rejected route.
        REJECT_ROUTE = 6 "reject-route",
    }
}

numbers! {
    /// ICMP type (RFC 792; the names are those of nft(8)).
    IcmpType(u8) {
        /// Echo reply.
        ECHO_REPLY = 0 "echo-reply",
        /// Destination unreachable.
        DESTINATION_UNREACHABLE = 3 "destination-unreachable",
        /// Source quench.
        SOURCE_QUENCH = 4 "source-quench",
        /// Redirect.
        REDIRECT = 5 "redirect",
        /// Echo request.
        ECHO_REQUEST = 8 "echo-request",
        /// Router advertisement.
        ROUTER_ADVERTISEMENT = 9 "router-advertisement",
        /// Router solicitation.
        ROUTER_SOLICITATION = 10 "router-solicitation",
        /// Time exceeded.
        TIME_EXCEEDED = 11 "time-exceeded",
        /// Parameter problem.
        PARAMETER_PROBLEM = 12 "parameter-problem",
        /// Timestamp request.
        TIMESTAMP_REQUEST = 13 "timestamp-request",
        /// Timestamp reply.
        TIMESTAMP_REPLY = 14 "timestamp-reply",
        /// Information request.
        INFO_REQUEST = 15 "info-request",
        /// Information reply.
        INFO_REPLY = 16 "info-reply",
        /// Address mask request.
        ADDRESS_MASK_REQUEST = 17 "address-mask-request",
        /// Address mask reply.
        ADDRESS_MASK_REPLY = 18 "address-mask-reply",
    }
}

numbers! {
    /// ICMPv6 type (RFC 4443, RFC 4861; the names are those of nft(8)).
    Icmpv6Type(u8) {
        /// Destination unreachable.
        DESTINATION_UNREACHABLE = 1 "destination-unreachable",
        /// Packet too big.
        PACKET_TOO_BIG = 2 "packet-too-big",
        /// Time exceeded.
        TIME_EXCEEDED = 3 "time-exceeded",
        /// Parameter problem.
        PARAMETER_PROBLEM = 4 "parameter-problem",
        /// Echo request.
        ECHO_REQUEST = 128 "echo-request",
        /// Echo reply.
        ECHO_REPLY = 129 "echo-reply",
        /// Multicast listener query.
        MLD_LISTENER_QUERY = 130 "mld-listener-query",
        /// Multicast listener report.
        MLD_LISTENER_REPORT = 131 "mld-listener-report",
        /// Multicast listener done.
        MLD_LISTENER_DONE = 132 "mld-listener-done",
        /// Router solicitation.
        ND_ROUTER_SOLICIT = 133 "nd-router-solicit",
        /// Router advertisement.
        ND_ROUTER_ADVERT = 134 "nd-router-advert",
        /// Neighbour solicitation.
        ND_NEIGHBOR_SOLICIT = 135 "nd-neighbor-solicit",
        /// Neighbour advertisement.
        ND_NEIGHBOR_ADVERT = 136 "nd-neighbor-advert",
        /// Redirect.
        ND_REDIRECT = 137 "nd-redirect",
        /// Router renumbering.
        ROUTER_RENUMBERING = 138 "router-renumbering",
        /// Inverse neighbour discovery solicitation.
        IND_NEIGHBOR_SOLICIT = 141 "ind-neighbor-solicit",
        /// Inverse neighbour discovery advertisement.
        IND_NEIGHBOR_ADVERT = 142 "ind-neighbor-advert",
        /// Multicast listener report, version 2.
        MLD2_LISTENER_REPORT = 143 "mld2-listener-report",
    }
}

numbers! {
    /// IGMP type (RFC 3376, section 4; the names are those of nft(8)).
    IgmpType(u8) {
        /// Membership query.
        MEMBERSHIP_QUERY = 17 "membership-query",
        /// Membership report, version 1.
        MEMBERSHIP_REPORT_V1 = 18 "membership-report-v1",
        /// Membership report, version 2.
        MEMBERSHIP_REPORT_V2 = 22 "membership-report-v2",
        /// Leave group.
        LEAVE_GROUP = 23 "leave-group",
        /// Membership report, version 3.
        MEMBERSHIP_REPORT_V3 = 34 "membership-report-v3",
    }
}

numbers! {
    /// Type of a mobility header (RFC 6275, section 6.1; the names are those of nft(8)).
    MhType(u8) {
        /// Binding refresh request.
        BINDING_REFRESH_REQUEST = 0 "binding-refresh-request",
        /// Home test init.
        HOME_TEST_INIT = 1 "home-test-init",
        /// Care-of test init.
        CAREOF_TEST_INIT = 2 "careof-test-init",
        /// Home test.
        HOME_TEST = 3 "home-test",
        /// Care-of test.
        CAREOF_TEST = 4 "careof-test",
        /// Binding update.
        BINDING_UPDATE = 5 "binding-update",
        /// Binding acknowledgement.
        BINDING_ACKNOWLEDGEMENT = 6 "binding-acknowledgement",
        /// Binding error.
        BINDING_ERROR = 7 "binding-error",
        /// Fast binding update.
        FAST_BINDING_UPDATE = 8 "fast-binding-update",
        /// Fast binding acknowledgement.
        FAST_BINDING_ACKNOWLEDGEMENT = 9 "fast-binding-acknowledgement",
        /// Fast neighbour advertisement.
        FAST_BINDING_ADVERTISEMENT = 10 "fast-binding-advertisement",
        /// Experimental.
        EXPERIMENTAL_MOBILITY_HEADER = 11 "experimental-mobility-header",
        /// Home agent switch message.
        HOME_AGENT_SWITCH_MESSAGE = 12 "home-agent-switch-message",
    }
}
