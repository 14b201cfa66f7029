//! The node itself: its own connections to pods of the mesh, such as probes of the kubelet, get
//! one source address, which the rules in pods leave alone.
//!
//! A packet that the node forwards has no socket there, and is captured in the pod.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::config::{PROBE_V4, PROBE_V6};
use super::rules::NAT;
use crate::Result;
use crate::mesh::error::Problem;
use crate::mesh::{Mesh, Priorities, Site};
use crate::model::{
    Chain, ChainType, DataType, Element, Family, Hook, Key, Match, Nat, Protocol, Rule, Ruleset, Set, Table, TableId,
    Value, ip_daddr, ip6_daddr, matches,
};

/// The rules of a node, and the addresses of its pods that are in the mesh.
///
/// ```
/// use nftmesh::mesh::ambient::AmbientNode;
/// use nftmesh::model::Ruleset;
///
/// let mut host = AmbientNode::from_vars([("AMBIENT_IPV6", "true")])?.host();
/// host.set("10.77.0.9".parse()?, "pod-uid-1")?;
/// host.set("10.77.0.9".parse()?, "pod-uid-2")?; // the address has another pod now
/// assert!(!host.unset("10.77.0.9".parse()?, "pod-uid-1"), "it is not that pod's");
/// assert!(Ruleset::from(&host).to_string().contains("10.77.0.9 comment \"pod-uid-2\""));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmbientHost {
    ipv6: bool,
    probe_v4: Ipv4Addr,
    probe_v6: Ipv6Addr,
    /// The uid of the pod that has an address.
    pods: BTreeMap<IpAddr, String>,
}

impl Default for AmbientHost {
    /// Returns a node with IPv6 and Istio's addresses, without pods.
    fn default() -> Self {
        AmbientHost::new(true, PROBE_V4, PROBE_V6)
    }
}

impl AmbientHost {
    pub(super) fn new(ipv6: bool, probe_v4: Ipv4Addr, probe_v6: Ipv6Addr) -> Self {
        AmbientHost { ipv6, probe_v4, probe_v6, pods: BTreeMap::new() }
    }

    /// Returns the addresses of pods, with the uid of the pod that has each.
    pub fn pods(&self) -> impl Iterator<Item = (IpAddr, &str)> {
        self.pods.iter().map(|(address, uid)| (*address, uid.as_str()))
    }

    /// Sets whose address this is, whoever had it before. Returns whether that is new.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid) for an address that no pod can have, and for a uid
    /// that a comment cannot hold: it has 1 to 128 bytes and no blank, quote or control character.
    pub fn set(&mut self, address: IpAddr, uid: &str) -> Result<bool> {
        let address = address.to_canonical();
        if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
            let problem = Problem::new("no pod has this address; give the address of a pod");
            return Err(problem.of("address", address.to_string()).into());
        }
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\');
        if uid.is_empty() || uid.len() > LONGEST_UID || uid.contains(odd) {
            let what = format!("not the uid of a pod; give 1 to {LONGEST_UID} bytes without blanks and quotes");
            return Err(Problem(what).of("uid", uid).into());
        }
        Ok(self.pods.insert(address, uid.to_owned()).is_none_or(|before| before != uid))
    }

    /// Takes an address out, unless it belongs to another pod by now. Returns whether it was there.
    pub fn unset(&mut self, address: IpAddr, uid: &str) -> bool {
        let address = address.to_canonical();
        let is_its = self.pods.get(&address).is_some_and(|held| held == uid);
        is_its && self.pods.remove(&address).is_some()
    }

    /// Takes all addresses of a pod out; returns how many it had.
    pub fn unset_pod(&mut self, uid: &str) -> usize {
        let before = self.pods.len();
        self.pods.retain(|_, held| held != uid);
        before - self.pods.len()
    }

    /// Adds the addresses that a rule set read from the kernel has in the sets of a node, unless
    /// they are known already: after a restart, pods stay in until it is known which there are.
    /// Elements without a comment are left out.
    pub fn adopt(&mut self, held: &Ruleset) {
        let sets = held.tables.iter().filter(|table| host_tables().contains(&TableId::from(*table)));
        let sets = sets.flat_map(|table| &table.sets).filter(|set| [PROBES_V4, PROBES_V6].contains(&set.name.as_str()));
        for element in sets.flat_map(|set| &set.elements) {
            let (Key::Single(key), Some(uid)) = (&element.key, element.get_comment()) else { continue };
            let address = match &key.low {
                Value::Ipv4(address) => IpAddr::V4(*address),
                Value::Ipv6(address) => IpAddr::V6(*address),
                _ => continue,
            };
            if !self.pods.contains_key(&address) {
                // What others put there and no uid can be is not adopted.
                drop(self.set(address, uid));
            }
        }
    }
}

/// Returns every table that the rules of a node may be in. A pod's rules have tables of the same
/// names, in its own network namespace.
#[must_use]
pub fn host_tables() -> Vec<TableId> {
    [Family::Inet, Family::Ip].map(|family| TableId::new(family, NAT)).to_vec()
}

impl Mesh for AmbientHost {
    fn rules(&self) -> Ruleset {
        Ruleset::from(self)
    }

    fn tables(&self) -> Vec<TableId> {
        host_tables()
    }

    fn site(&self) -> Site {
        Site::Node
    }

    fn warnings(&self) -> Vec<String> {
        let ignored = self.pods.keys().filter(|address| address.is_ipv6() && !self.ipv6).count();
        let warning = || format!("{ignored} IPv6 addresses of pods have no effect without AMBIENT_IPV6");
        (ignored > 0).then(warning).into_iter().collect()
    }
}

/// Returns the table `istio-ambient-nat` with the chain `postrouting` and the sets of addresses:
/// of family inet with IPv6, of family ip without. The chain runs before the usual source
/// translation, and the first translation of a connection is final.
impl From<&AmbientHost> for Ruleset {
    fn from(host: &AmbientHost) -> Self {
        let AmbientHost { ipv6, probe_v4, probe_v6, pods: _ } = host;
        let family = if *ipv6 { Family::Inet } else { Family::Ip };
        let mut table = Table::new(family, NAT).set(self::set(host, PROBES_V4, DataType::Ipv4));
        let mut rules = vec![own(ip_daddr(matches::set(PROBES_V4)), Nat::snat().to(*probe_v4))];
        if *ipv6 {
            table = table.set(self::set(host, PROBES_V6, DataType::Ipv6));
            rules.push(own(ip6_daddr(matches::set(PROBES_V6)), Nat::snat().to(*probe_v6)));
        }
        let chain = Chain::base("postrouting", ChainType::Nat, Hook::Postrouting, Priorities::SOURCE_NAT);
        [table.chain(chain.rules(rules))].into_iter().collect()
    }
}

fn own(destination: Match, to: Nat) -> Rule {
    let rule = Rule::new().matches(destination).l4proto(Protocol::TCP).socket_exists().counter().nat(to);
    rule.comment("what the node itself sends to pods of the mesh")
}

fn set(host: &AmbientHost, name: &str, key: DataType) -> Set {
    let of = host.pods.iter().filter(|(address, _)| address.is_ipv6() == (key == DataType::Ipv6));
    let elements = of.map(|(address, uid)| Element::new(*address).comment(uid.as_str()));
    Set::new(name, [key]).comment("addresses of pods of the mesh, and their uids").elements(elements)
}

/// The set of IPv4 addresses of pods.
pub const PROBES_V4: &str = "istio-inpod-probes-v4";

/// The set of IPv6 addresses of pods.
pub const PROBES_V6: &str = "istio-inpod-probes-v6";

/// What the comment of an element can hold.
const LONGEST_UID: usize = 128;
