//! Whether a match `rpfilter` finds a reverse path: net/ipv4/netfilter/ipt_rpfilter.c and
//! net/ipv6/netfilter/ip6t_rpfilter.c, v6.12.
//!
//! Unlike `fib saddr . iif oif`, it looks up sources of 0.0.0.0/8, and does not accept a route to a
//! group.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Host, LO};
use crate::model::AddrType;
use crate::sim::fib::Asked;
use crate::sim::inputs::CannotTell;
use crate::xt::ReversePath;

impl Host {
    /// Returns whether a packet at prerouting has a reverse path.
    pub(in crate::sim) fn has_way_back_for(&self, path: ReversePath, asked: Asked) -> Result<bool, CannotTell> {
        let mark = if path.by_mark { asked.mark } else { 0 };
        match (asked.source, asked.destination) {
            _ if asked.incoming == LO => Ok(true),
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.has_way4(path, source, destination, mark, asked.incoming)
            }
            (IpAddr::V6(source), _) => self.has_way6(path, source, mark, asked.incoming),
            (IpAddr::V4(_), IpAddr::V6(_)) => Err(CannotTell::new("addresses of two families")),
        }
    }

    fn has_way4(
        &self,
        path: ReversePath,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        mark: u32,
        incoming: u32,
    ) -> Result<bool, CannotTell> {
        let is_everybody = destination.is_broadcast() || destination.octets().starts_with(&[224, 0, 0]);
        if source.octets().first() == Some(&0) && is_everybody {
            return Ok(true);
        }
        let Some(route) = self.route_by(source.into(), mark, None)? else { return Ok(false) };
        Ok(match route.kind {
            AddrType::LOCAL if !path.takes_local => false,
            AddrType::LOCAL | AddrType::UNICAST => {
                path.is_loose || route.interface == incoming || route.others.contains(&incoming)
            }
            _ => false,
        })
    }

    /// Among the routes with the longest prefix, one by the interface is preferred
    /// (rt6_device_match, net/ipv6/route.c).
    fn has_way6(&self, path: ReversePath, source: Ipv6Addr, mark: u32, incoming: u32) -> Result<bool, CannotTell> {
        if source.is_unspecified() {
            return Ok(true);
        }
        let Some(first) = self.route_by(source.into(), mark, None)? else { return Ok(false) };
        let is_near = source.is_unicast_link_local();
        let mut alike =
            self.routes.iter().filter(|route| (route.table, route.destination) == (first.table, first.destination));
        let by_it = alike.find(|route| route.interface == incoming);
        let route = match by_it.filter(|_| is_near || !path.is_loose) {
            Some(route) => route,
            None if is_near => return Ok(false),
            None => first,
        };
        if !route.others.is_empty() {
            return Err(CannotTell::new(format!("which of several ways to {source} counts")));
        }
        Ok(match route.kind {
            AddrType::LOCAL => path.takes_local,
            AddrType::UNICAST | AddrType::MULTICAST => path.is_loose || route.interface == incoming,
            _ => false,
        })
    }
}
