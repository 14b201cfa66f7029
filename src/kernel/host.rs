//! Reads the host for walks: links, addresses, routes, policy rules, and whether it forwards.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{fs, io};

use ipnetwork::IpNetwork;
use netlink_packet_core::Parseable;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleHeader, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::links::interfaces;
use super::route_messages as messages;
use super::rtnetlink::{Failure, Rtnetlink, unreadable};
use crate::error::{Error, Result};
use crate::model::{AddrType, IpFamily};
use crate::sim::{Host, Interface, Link, PolicyRule, ReversePath, Route, SourceChecks};

/// Reads the host from the network namespace of the calling thread. Listening sockets are not
/// read: a socket is assumed to listen on every port that a rule names.
///
/// # Errors
/// When the kernel cannot be queried, or `/proc` is not mounted.
pub fn host() -> Result<Host> {
    let failed = |what: &'static str| move |failure: Failure| unreadable(what, &failure);
    let mut host = Host::default();
    for (index, name) in interfaces()? {
        host.links.push(Link::new(Interface::new(index, name), []));
    }
    let mut netlink = Rtnetlink::open().map_err(|cause| Error::io("open a route socket", cause))?;
    let addresses: Vec<(IpAddr, u32, u8)> = netlink
        .dump(messages::addresses(), |found: &mut Vec<_>, object| {
            let address = messages::recognise_address(object)?;
            found.extend(address.map(|(address, interface, prefix, _)| (address, interface, prefix)));
            Ok(())
        })
        .map_err(failed("addresses"))?;
    for (address, interface, prefix) in addresses {
        let link = host.links.iter_mut().find(|link| link.interface.index == interface);
        if let (Some(link), Ok(address)) = (link, IpNetwork::new(address, prefix)) {
            link.addresses.push(address);
        }
    }
    for link in &mut host.links {
        link.checks = source_checks(&link.interface.name)?;
    }
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        let request = RouteNetlinkMessage::GetRoute(message);
        let routes = netlink.dump(request, |found: &mut Vec<Route>, object| {
            found.extend(route(object)?);
            Ok(())
        });
        host.routes.extend(routes.map_err(failed("routes"))?);
        let mut message = RuleMessage::default();
        message.header.family = family;
        let rules = netlink.dump(RouteNetlinkMessage::GetRule(message), |found: &mut Vec<PolicyRule>, object| {
            found.extend(rule(object)?);
            Ok(())
        });
        // A kernel without IPv6 or policy rules answers for the families it has, or not at all.
        host.rules.extend(match rules {
            Err(Failure::Refused { errno: libc::EOPNOTSUPP | libc::EAFNOSUPPORT, .. }) => Vec::new(),
            rules => rules.map_err(failed("policy rules"))?,
        });
    }
    host.rules.sort_by_key(|rule| rule.priority);
    host.rules.dedup();
    host.routes.dedup();
    host.forwards_ipv4 = is_on("/proc/sys/net/ipv4/ip_forward")?;
    host.forwards_ipv6 = is_on("/proc/sys/net/ipv6/conf/all/forwarding")?;
    host.route_localnet = is_on("/proc/sys/net/ipv4/conf/all/route_localnet")?;
    Ok(host)
}

/// Decodes a route; `None` if it is not of IP.
fn route(object: &[u8]) -> Result<Option<Route>, Failure> {
    // The header comes first: a message that this decoder cannot parse must not hide the others.
    let header = RouteHeader::parse(object).map_err(malformed)?;
    let Some(nothing) = unspecified(header.address_family) else { return Ok(None) };
    let RouteMessage { attributes, .. } = RouteMessage::parse(object).map_err(malformed)?;
    let (mut table, mut interface, mut metric, mut destination) = (u32::from(header.table), 0, 0, nothing);
    let mut others = Vec::new();
    for attribute in attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = address.into(),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => destination = address.into(),
            RouteAttribute::MultiPath(hops) => {
                let mut hops = hops.iter().map(|hop| hop.interface_index);
                interface = hops.next().unwrap_or(interface);
                others = hops.collect();
            }
            RouteAttribute::Oif(index) => interface = index,
            RouteAttribute::Priority(priority) => metric = priority,
            RouteAttribute::Table(number) => table = number,
            _ => {}
        }
    }
    let Ok(destination) = IpNetwork::new(destination, header.destination_prefix_length) else { return Ok(None) };
    let kind = AddrType(u32::from(u8::from(header.kind)));
    Ok(Some(Route::new(destination, interface).table(table).kind(kind).metric(metric).others(others)))
}

/// Decodes a policy rule; conditions other than a mark become text.
fn rule(object: &[u8]) -> Result<Option<PolicyRule>, Failure> {
    let RuleMessage { header, attributes, .. } = RuleMessage::parse(object).map_err(malformed)?;
    let RuleHeader { family, dst_len, src_len, tos, table, action, flags } = header;
    let Some(nothing) = unspecified(family) else { return Ok(None) };
    let mut rule = PolicyRule::all(IpFamily::of(nothing), 0, u32::from(table));
    let mut asks: Vec<String> = Vec::new();
    if (dst_len, src_len, tos) != (0, 0, 0) {
        asks.push("it selects by address or type of service".to_owned());
    }
    if flags.contains(RuleFlags::Invert) {
        asks.push("it is inverted".to_owned());
    }
    if action != RuleAction::ToTable {
        asks.push(format!("its action is {action:?}"));
    }
    for attribute in attributes {
        match attribute {
            RuleAttribute::FwMark(mark) => rule.mark = mark,
            RuleAttribute::FwMask(mask) => rule.mask = mask,
            RuleAttribute::Priority(priority) => rule.priority = priority,
            RuleAttribute::Table(number) => rule.table = number,
            RuleAttribute::Protocol(_) | RuleAttribute::SuppressPrefixLen(u32::MAX) => {}
            // Handled above, by their lengths.
            RuleAttribute::Destination(_) | RuleAttribute::Source(_) => {}
            other => asks.push(format!("it has {other:?}")),
        }
    }
    rule.unknown = (!asks.is_empty()).then(|| asks.join(", "));
    Ok(Some(rule))
}

fn unspecified(family: AddressFamily) -> Option<IpAddr> {
    match family {
        AddressFamily::Inet => Some(Ipv4Addr::UNSPECIFIED.into()),
        AddressFamily::Inet6 => Some(Ipv6Addr::UNSPECIFIED.into()),
        _ => None,
    }
}

/// Returns how an interface validates sources; `None` where the kernel has no such switches, or
/// where the interface cannot be named in their path.
fn source_checks(name: &str) -> Result<Option<SourceChecks>> {
    // A dot in a name would be a slash there, and `all` is not an interface.
    if name.contains(['/', '.']) || ["all", "default"].contains(&name) {
        return Ok(None);
    }
    let number = |switch: &str| -> Result<Option<u32>> {
        let mut highest = None;
        for of in ["all", name] {
            let path = format!("/proc/sys/net/ipv4/conf/{of}/{switch}");
            match fs::read_to_string(&path) {
                Ok(text) => highest = highest.max(text.trim().parse::<u32>().ok()),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(cause) => return Err(Error::io(format_args!("read {path}"), cause)),
            }
        }
        Ok(highest)
    };
    let (Some(path), Some(local), Some(mark)) =
        (number("rp_filter")?, number("accept_local")?, number("src_valid_mark")?)
    else {
        return Ok(None);
    };
    let reverse_path = match path {
        0 => ReversePath::Off,
        1 => ReversePath::Strict,
        _ => ReversePath::Loose,
    };
    Ok(Some(SourceChecks { reverse_path, accepts_local: local != 0, by_mark: mark != 0 }))
}

/// Returns a switch of the namespace; off where the kernel lacks it.
fn is_on(path: &str) -> Result<bool> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim() != "0"),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(Error::io(format_args!("read {path}"), cause)),
    }
}

fn malformed(error: netlink_packet_core::DecodeError) -> Failure {
    Failure::Malformed(error.to_string())
}
