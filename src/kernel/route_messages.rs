//! Converts between the entries of a route plan and rtnetlink messages. The object that an entry's
//! `add` message creates is always recognised by `recognise_*` as that entry, with [`PROTOCOL`] as
//! its author.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Parseable};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressProtocol};
use netlink_packet_route::link::{AfSpecInet6, AfSpecUnspec, LinkAttribute, LinkFlags, LinkHeader, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleHeader, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::rtnetlink::Failure;
use crate::model::IpFamily;
use crate::routes::{MAIN_PRIORITY, PASSTHROUGH6, RouteEntry};

/// Identifies what this crate added: our number in `rtm_protocol`, `FRA_PROTOCOL` and `IFA_PROTO`.
/// It is unused in include/uapi/linux/rtnetlink.h and in the rt_protos of iproute2.
pub(crate) const PROTOCOL: u8 = 146;

/// Flags of the request that adds an entry.
pub(crate) const ADD: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// The author of an object, if the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    Other,
    Us,
}

/// Returns the request that adds an entry, with our number.
pub(crate) fn add(entry: RouteEntry) -> RouteNetlinkMessage {
    match entry {
        RouteEntry::Passthrough6 => RouteNetlinkMessage::NewAddress(passthrough6()),
        RouteEntry::Route { family, table } => RouteNetlinkMessage::NewRoute(route(family, table)),
        RouteEntry::Rule { family, mark, mask, priority, table } => {
            RouteNetlinkMessage::NewRule(rule(family, (mark, mask), priority, table))
        }
    }
}

/// Returns the request that removes an entry; for rules and routes the kernel compares our number
/// too.
pub(crate) fn remove(entry: RouteEntry) -> RouteNetlinkMessage {
    match entry {
        RouteEntry::Passthrough6 => RouteNetlinkMessage::DelAddress(passthrough6()),
        RouteEntry::Route { family, table } => RouteNetlinkMessage::DelRoute(route(family, table)),
        RouteEntry::Rule { family, mark, mask, priority, table } => {
            RouteNetlinkMessage::DelRule(rule(family, (mark, mask), priority, table))
        }
    }
}

/// Returns the request that dumps the rules of a family.
pub(crate) fn rules(family: IpFamily) -> RouteNetlinkMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(family);
    RouteNetlinkMessage::GetRule(message)
}

/// Returns the request that dumps the local routes of a family, in all tables.
pub(crate) fn routes(family: IpFamily) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    message.header.kind = RouteType::Local;
    RouteNetlinkMessage::GetRoute(message)
}

/// Returns the request for the state of `lo`.
pub(crate) fn loopback() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = LOOPBACK;
    RouteNetlinkMessage::GetLink(message)
}

/// Returns whether an interface is up.
pub(crate) fn is_up(object: &[u8]) -> Result<bool, Failure> {
    LinkHeader::parse(object).map(|header| header.flags.contains(LinkFlags::Up)).map_err(malformed)
}

/// Returns the request that dumps all addresses.
pub(crate) fn addresses() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

/// Returns whether an interface has IPv6; `true` where that cannot be read.
pub(crate) fn has_ipv6(object: &[u8]) -> bool {
    let Ok(LinkMessage { attributes, .. }) = LinkMessage::parse(object) else { return true };
    attributes.iter().any(|attribute| {
        let LinkAttribute::AfSpecUnspec(families) = attribute else { return false };
        families.iter().any(|family| {
            let AfSpecUnspec::Inet6(of_ipv6) = family else { return false };
            of_ipv6.iter().any(|of| matches!(of, AfSpecInet6::DevConf(switches) if switches.disable_ipv6 == 0))
        })
    })
}

/// Recognises a rule whose only selector is a mark, and that precedes the table main; with its
/// priority.
pub(crate) fn recognise_rule(object: &[u8]) -> Result<Option<(RouteEntry, Author)>, Failure> {
    let RuleMessage { header, attributes, .. } = RuleMessage::parse(object).map_err(malformed)?;
    let RuleHeader { family, dst_len, src_len, tos, table, action, flags } = header;
    let Some(family) = ip_family(family) else { return Ok(None) };
    if (dst_len, src_len, tos, action) != (0, 0, 0, RuleAction::ToTable) || flags.contains(RuleFlags::Invert) {
        return Ok(None);
    }
    let (mut mark, mut mask, mut table, mut by, mut priority) = (0, 0, u32::from(table), Author::Other, None);
    for attribute in attributes {
        match attribute {
            RuleAttribute::FwMark(number) => mark = number,
            RuleAttribute::FwMask(bits) => mask = bits,
            RuleAttribute::Table(number) => table = number,
            RuleAttribute::Protocol(protocol) => by = author(protocol.into()),
            RuleAttribute::Priority(number) if number < MAIN_PRIORITY => priority = Some(number),
            RuleAttribute::SuppressPrefixLen(u32::MAX) => {}
            _ => return Ok(None),
        }
    }
    Ok((mask != 0).then_some((RouteEntry::Rule { family, mark, mask, priority, table }, by)))
}

/// Recognises a local default route to `lo`, with the metric that `ip route add` sets.
pub(crate) fn recognise_route(object: &[u8]) -> Result<Option<(RouteEntry, Author)>, Failure> {
    // The header comes first: a foreign route may contain something this decoder cannot parse.
    let header = RouteHeader::parse(object).map_err(malformed)?;
    let Some(family) = ip_family(header.address_family) else { return Ok(None) };
    if header.kind != RouteType::Local || header.destination_prefix_length != 0 || header.tos != 0 {
        return Ok(None);
    }
    let Ok(RouteMessage { attributes, .. }) = RouteMessage::parse(object) else { return Ok(None) };
    let (mut table, mut interface, mut metric) = (u32::from(header.table), None, 0);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Table(number) => table = number,
            RouteAttribute::Oif(index) => interface = Some(index),
            RouteAttribute::Priority(priority) => metric = priority,
            RouteAttribute::Source(_) | RouteAttribute::Gateway(_) | RouteAttribute::MultiPath(_) => return Ok(None),
            _ => {}
        }
    }
    let ours = interface == Some(LOOPBACK) && metric == default_metric(family);
    Ok(ours.then_some((RouteEntry::Route { family, table }, author(header.protocol.into()))))
}

/// Decodes an address: the address, its interface, its prefix length, and its author.
pub(crate) fn recognise_address(object: &[u8]) -> Result<Option<(IpAddr, u32, u8, Author)>, Failure> {
    let AddressMessage { header, attributes, .. } = AddressMessage::parse(object).map_err(malformed)?;
    let (mut local, mut address, mut by) = (None, None, Author::Other);
    for attribute in attributes {
        match attribute {
            // On a point-to-point link IFA_ADDRESS is the other end.
            AddressAttribute::Local(ip) => local = Some(ip),
            AddressAttribute::Address(ip) => address = Some(ip),
            AddressAttribute::Protocol(protocol) => by = author(protocol.into()),
            _ => {}
        }
    }
    Ok(local.or(address).map(|ip| (ip, header.index, header.prefix_len, by)))
}

/// Returns whether this is the passthrough address on `lo`.
pub(crate) fn is_passthrough6(address: IpAddr, interface: u32) -> bool {
    address == IpAddr::V6(PASSTHROUGH6) && interface == LOOPBACK
}

fn rule(family: IpFamily, (mark, mask): (u32, u32), priority: Option<u32>, table: u32) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(family);
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::FwMark(mark),
        RuleAttribute::FwMask(mask),
        RuleAttribute::Table(table),
        RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
    ];
    message.attributes.extend(priority.map(RuleAttribute::Priority));
    message
}

fn route(family: IpFamily, table: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message.header.kind = RouteType::Local;
    message.header.scope = match family {
        IpFamily::Ipv4 => RouteScope::Host,
        // IPv6 routes have no scope.
        IpFamily::Ipv6 => RouteScope::Universe,
    };
    message.attributes = vec![RouteAttribute::Table(table), RouteAttribute::Oif(LOOPBACK)];
    match default_metric(family) {
        0 => {}
        metric => message.attributes.push(RouteAttribute::Priority(metric)),
    }
    message
}

fn passthrough6() -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.prefix_len = 128;
    message.header.index = LOOPBACK;
    // Without duplicate address detection the address is never tentative, so bind(2) accepts it at
    // once: ipv6_add_addr, net/ipv6/addrconf.c.
    message.header.flags = AddressHeaderFlags::Nodad;
    let address = IpAddr::V6(PASSTHROUGH6);
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
        AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)),
    ];
    message
}

fn address_family(family: IpFamily) -> AddressFamily {
    match family {
        IpFamily::Ipv4 => AddressFamily::Inet,
        IpFamily::Ipv6 => AddressFamily::Inet6,
    }
}

/// A kernel without a family answers its dump with objects of other families, so each object is
/// checked.
fn ip_family(family: AddressFamily) -> Option<IpFamily> {
    match family {
        AddressFamily::Inet => Some(IpFamily::Ipv4),
        AddressFamily::Inet6 => Some(IpFamily::Ipv6),
        _ => None,
    }
}

/// IPv4: none. IPv6: IP6_RT_PRIO_USER, include/net/ip6_fib.h, which the kernel substitutes for 0.
fn default_metric(family: IpFamily) -> u32 {
    match family {
        IpFamily::Ipv4 => 0,
        IpFamily::Ipv6 => 1024,
    }
}

fn author(protocol: u8) -> Author {
    if protocol == PROTOCOL { Author::Us } else { Author::Other }
}

fn malformed(error: netlink_packet_core::DecodeError) -> Failure {
    Failure::Malformed(error.to_string())
}

/// `lo` is the first interface of every namespace: LOOPBACK_IFINDEX, include/net/flow.h.
pub(crate) const LOOPBACK: u32 = 1;
