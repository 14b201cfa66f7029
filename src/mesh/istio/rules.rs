//! Builds the rules of the sidecar from a configuration: at most three tables, with only the rules
//! that the configuration needs.
//!
//! ```text
//! hook        raw -301          mangle -151                      nat -101
//! prerouting  answers of DNS    invalid: dropped                 REDIRECT: inbound to 15006
//!             servers: zone 1   TPROXY: inbound to 15006         -k: outbound to 15001
//! output      queries and       TPROXY: marks of self calls and  self calls to 15006, DNS to
//!             answers: zones    of answers to captured clients   15053, outbound to 15001
//! ```
//! Where the reference has one rule for each entry of a list, one rule with a set is used here; a
//! packet meets the same decision as with the reference's iptables backend. There a negated owner
//! matches a packet without an owning process, and in nftables it does not (nft_meta.c), so no
//! rule negates an owner. Names are those of the reference's nftables backend, so operators find
//! what they know.
//!
//! Lists of addresses and of owner groups become named sets, which operators can read and edit and
//! of which an update sends only the changed elements. Ports, interfaces and owners of the proxy
//! are few and become anonymous sets.
//!
//! Every base chain has a priority one below the usual one of its kind ([`Priorities`]), so that
//! it runs before the chains of other programs regardless of who registered first: among equal
//! priorities the chain registered last runs first.
//!
//! Without IPv6 the tables are of family ip, with IPv6 of family inet, under the same names: a
//! table of family ip neither sees IPv6 packets nor enables their tracking.
//!
//! Sources: <https://github.com/istio/istio/blob/c15acc40a282ea55d2b59a90074f8ef580eaf2a5/tools/istio-iptables/pkg/capture/run.go>,
//! and `pkg/nftables` next to it.

mod mangle;
mod nat;
mod raw;
mod sets;

use super::config::{INBOUND_PASSTHROUGH_V4, INBOUND_PASSTHROUGH_V6, IstioConfig};
use super::interception::Interception;
use crate::mesh::{BEGINNING, Priorities, with};
use crate::model::{Family, Match, Ruleset, Statement, Table, ip_daddr, ip_saddr, ip6_daddr, ip6_saddr};
use crate::routes::{Families, RoutePlan};

/// Returns the tables `istio-proxy-raw`, `-mangle` and `-nat`, in the order in which a packet
/// meets them: family inet with IPv6, family ip without.
///
/// ```
/// use nftmesh::mesh::istio::{IstioConfig, ServiceCidrs};
/// use nftmesh::model::{Family, Ruleset};
///
/// let config = IstioConfig::builder().service_cidrs(ServiceCidrs::All).build()?;
/// let rules = Ruleset::from(&config);
/// assert!(rules.find(Family::Ip, "istio-proxy-nat").is_some());
/// assert!(rules.find(Family::Ip, "istio-proxy-mangle").is_none(), "REDIRECT needs nothing there");
///
/// let config = IstioConfig::builder().service_cidrs(ServiceCidrs::All).ipv6().build()?;
/// assert!(Ruleset::from(&config).find(Family::Inet, "istio-proxy-nat").is_some());
/// # Ok::<(), nftmesh::Error>(())
/// ```
impl From<&IstioConfig> for Ruleset {
    fn from(config: &IstioConfig) -> Self {
        let mut tables = vec![raw::table(config), mangle::table(config), nat::table(config)];
        tables.retain(|table| !table.chains.is_empty());
        if !config.counters {
            let rules = tables.iter_mut().flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules);
            rules.for_each(|rule| rule.statements.retain(|part| !matches!(part, Statement::Counter { .. })));
        }
        tables.into_iter().collect()
    }
}

/// Returns the routes that the rules depend on: TPROXY routes marked packets to this machine, and
/// with IPv6 the proxy binds `::6`.
///
/// ```
/// use nftmesh::mesh::istio::{Interception, IstioConfig};
/// use nftmesh::routes::RoutePlan;
///
/// let config = IstioConfig::builder().interception(Interception::Tproxy).build()?;
/// let routes = "ip route add local default dev lo table 133\nip rule add fwmark 1337 lookup 133\n";
/// assert_eq!(RoutePlan::from(&config).to_string(), routes);
/// # Ok::<(), nftmesh::Error>(())
/// ```
impl From<&IstioConfig> for RoutePlan {
    fn from(config: &IstioConfig) -> Self {
        let mut plan = RoutePlan::new();
        if config.ipv6 {
            plan = plan.passthrough6();
        }
        match config.interception {
            Interception::Redirect => plan,
            Interception::Tproxy => {
                let families = if config.ipv6 { Families::Both } else { Families::Ipv4 };
                plan.tproxy(families, config.tproxy)
            }
        }
    }
}

/// The names of all tables that a configuration may need; their family is one of [`FAMILIES`].
pub const TABLES: [&str; 3] = [RAW, MANGLE, NAT];

/// The families that the tables of a configuration can have: inet with IPv6, ip without.
pub const FAMILIES: [Family; 2] = [Family::Inet, Family::Ip];

const RAW: &str = "istio-proxy-raw";
const MANGLE: &str = "istio-proxy-mangle";
const NAT: &str = "istio-proxy-nat";

/// Returns an empty table of this name.
fn table(config: &IstioConfig, name: &str) -> Table {
    Table::new(if config.ipv6 { Family::Inet } else { Family::Ip }, name)
}

/// Returns a match of the loopback range for each family.
fn to_loopback(config: &IstioConfig) -> impl Iterator<Item = Match> + use<> {
    let ipv6 = config.ipv6.then(|| ip6_daddr(std::net::Ipv6Addr::LOCALHOST));
    [ip_daddr(config.loopback)].into_iter().chain(ipv6)
}

/// Returns a match, for each family, of the address that the proxy binds when it passes inbound
/// traffic on unproxied.
fn from_passthrough(config: &IstioConfig) -> impl Iterator<Item = Match> + use<> {
    let ipv6 = config.ipv6.then(|| ip6_saddr(INBOUND_PASSTHROUGH_V6));
    [ip_saddr(INBOUND_PASSTHROUGH_V4)].into_iter().chain(ipv6)
}

const INBOUND: &str = "istio-inbound";
const OUTPUT: &str = "istio-output";
const OUTPUT_DNS: &str = "istio-output-dns";
const OUTPUT_GROUPS: &str = "istio-output-groups";
const OUTPUT_INVALID: &str = "istio-output-invalid";
const REDIRECT: &str = "istio-redirect";
const IN_REDIRECT: &str = "istio-in-redirect";
const TPROXY: &str = "istio-tproxy";
