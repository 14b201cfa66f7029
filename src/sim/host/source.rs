//! Whether a host accepts a packet from its source: `rp_filter` and `accept_local`
//! (ip_route_input_slow, net/ipv4/route.c, and fib_validate_source, net/ipv4/fib_frontend.c,
//! v6.12). IPv6 has no such checks.

use std::net::{IpAddr, Ipv4Addr};

use super::{Host, LO};
use crate::model::{AddrType, IpFamily};
use crate::sim::inputs::CannotTell;

/// How an interface checks the sources of IPv4 packets, including the settings for all interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the three switches of fib_validate_source")]
pub struct SourceChecks {
    /// `net.ipv4.conf.*.rp_filter`.
    pub reverse_path: ReversePath,
    /// `net.ipv4.conf.*.accept_local`: whether packets may come from an address of this host.
    pub accepts_local: bool,
    /// `net.ipv4.conf.*.src_valid_mark`: whether the reverse path is looked up with the packet's
    /// mark.
    pub by_mark: bool,
}

/// Whether there must be a reverse path to the source of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the values of rp_filter")]
pub enum ReversePath {
    /// By any interface (2).
    Loose,
    /// Not required (0).
    #[default]
    Off,
    /// By the incoming interface (1).
    Strict,
}

impl Host {
    /// Returns whether a packet from this source is accepted on an interface.
    pub(in crate::sim) fn takes(&self, source: IpAddr, incoming: u32, mark: u32) -> Result<bool, CannotTell> {
        let IpAddr::V4(source) = source else { return Ok(true) };
        if source.is_multicast() || source.is_broadcast() || source.octets().first() == Some(&0) {
            return Ok(false);
        }
        let link = self.links.iter().find(|link| link.interface.index == incoming);
        if let Some(checks) = link.and_then(|link| link.checks) {
            return self.takes_by(source, incoming, mark, checks);
        }
        let paths = [ReversePath::Off, ReversePath::Loose, ReversePath::Strict];
        let all = paths.into_iter().flat_map(|reverse_path| {
            let with = move |(accepts_local, by_mark)| SourceChecks { reverse_path, accepts_local, by_mark };
            [(false, false), (true, false), (false, true), (true, true)].map(with)
        });
        let mut answers = all.map(|checks| self.takes_by(source, incoming, mark, checks));
        let first = answers.next().unwrap_or(Ok(true))?;
        let unknown =
            || CannotTell::new(format!("whether {source} may come in here: rp_filter and accept_local are not known"));
        answers.try_fold(first, |first, answer| if answer? == first { Ok(first) } else { Err(unknown()) })
    }

    fn takes_by(&self, source: Ipv4Addr, incoming: u32, mark: u32, checks: SourceChecks) -> Result<bool, CannotTell> {
        let SourceChecks { reverse_path, accepts_local, by_mark } = checks;
        let by_routes = || self.has_way_back(source, incoming, if by_mark { mark } else { 0 }, checks);
        if reverse_path != ReversePath::Off {
            return by_routes();
        }
        if accepts_local {
            return Ok(true);
        }
        let is_own = self.links.iter().flat_map(|link| &link.addresses).any(|own| own.ip() == IpAddr::V4(source));
        if self.has_own_rules(IpFamily::Ipv4) {
            return by_routes();
        }
        // The routes decide if any local route was added; otherwise only the addresses do.
        let by_routes = by_routes()?;
        if by_routes != is_own {
            return Ok(by_routes);
        }
        Err(CannotTell::new(format!("whether {source} may come in here: it depends on who made a local route")))
    }

    /// __fib_validate_source
    fn has_way_back(
        &self,
        source: Ipv4Addr,
        incoming: u32,
        mark: u32,
        checks: SourceChecks,
    ) -> Result<bool, CannotTell> {
        let SourceChecks { reverse_path, accepts_local, by_mark: _ } = checks;
        let is_off = reverse_path == ReversePath::Off;
        let refuses = |kind| [AddrType::BLACKHOLE, AddrType::PROHIBIT, AddrType::UNREACHABLE].contains(&kind);
        let route = self.route_by(source.into(), mark, None)?.filter(|route| !refuses(route.kind));
        let Some(route) = route else { return Ok(is_off) };
        let is_local = route.kind == AddrType::LOCAL;
        if route.kind != AddrType::UNICAST && !(is_local && accepts_local) {
            return Ok(false);
        }
        if route.interface == incoming || route.others.contains(&incoming) || (is_local && incoming == LO) {
            return Ok(true);
        }
        let mut own =
            self.links.iter().filter(|link| link.interface.index == incoming).flat_map(|link| &link.addresses);
        if !own.any(|own| own.is_ipv4()) {
            return Ok(is_off);
        }
        Ok(reverse_path != ReversePath::Strict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::host::{Link, Route};
    use crate::sim::packet::Interface;

    #[test]
    fn sources_are_checked_as_rp_filter_and_accept_local_demand() {
        let net = |text: &str| text.parse().expect("a network");
        let host = |checks: Option<SourceChecks>| {
            let link = |index, name, address| Link { checks, ..Link::new(Interface::new(index, name), [net(address)]) };
            let host = Host::new().link(link(1, "lo", "127.0.0.1/8")).link(link(2, "eth0", "10.77.0.2/24"));
            host.link(link(3, "eth1", "10.78.0.2/24")).route(Route::new(net("0.0.0.0/0"), 2))
        };
        let checks = |reverse_path, accepts_local| Some(SourceChecks { reverse_path, accepts_local, by_mark: false });
        use ReversePath::{Loose, Off, Strict};
        let cases = [
            // By the interface that leads there.
            ("10.77.0.9", 2, checks(Strict, false), Ok(true)),
            ("8.8.8.8", 2, checks(Strict, false), Ok(true)),
            ("10.77.0.9", 2, None, Ok(true)),
            // By another interface.
            ("8.8.8.8", 3, checks(Strict, false), Ok(false)),
            ("8.8.8.8", 3, checks(Loose, false), Ok(true)),
            ("8.8.8.8", 3, checks(Off, false), Ok(true)),
            ("8.8.8.8", 3, None, Err(())),
            // From this host.
            ("10.77.0.2", 3, checks(Off, false), Ok(false)),
            ("10.77.0.2", 3, checks(Off, true), Ok(true)),
            ("10.77.0.2", 3, checks(Strict, true), Ok(false)),
            ("10.77.0.2", 3, checks(Loose, true), Ok(true)),
            ("10.77.0.2", 3, None, Err(())),
            // From a source that no host has.
            ("224.0.0.1", 2, None, Ok(false)),
            ("0.0.0.0", 2, None, Ok(false)),
            ("10.77.0.255", 2, checks(Strict, false), Ok(false)),
        ];
        for (source, incoming, checks, expected) in cases {
            let found = host(checks).takes(source.parse().expect("an address"), incoming, 0).map_err(drop);
            assert_eq!(found, expected, "{source} by {incoming}, {checks:?}");
        }
    }
}
