//! The operands of matches that only the sidecar has.

use crate::mesh::istio::{IstioConfig, OwnerGroups, ServiceCidrs};
pub(super) use crate::mesh::sets::{Destinations, End, addresses, interfaces, ports, without};
use crate::model::{DataType, Match, Set, Value, set, skgid};

/// Returns the outbound destinations that are captured.
pub(super) fn captured(config: &IstioConfig) -> Destinations {
    match &config.service_cidrs {
        ServiceCidrs::All => Destinations { matches: vec![None], sets: Vec::new() },
        ServiceCidrs::None => Destinations::default(),
        ServiceCidrs::Only { ranges, loopback: _ } => {
            Destinations::of("include-cidrs", ranges, config.ipv6, End::Destination)
        }
    }
}

/// Returns the outbound destinations that are not captured.
pub(super) fn excluded(config: &IstioConfig) -> Destinations {
    Destinations::of("exclude-cidrs", &config.exclude_cidrs, config.ipv6, End::Destination)
}

/// Returns a match of packets of one of the owner groups, and the named set that it refers to.
pub(super) fn owner_groups(config: &IstioConfig) -> (Option<Match>, Option<Set>) {
    match &config.owner_groups {
        OwnerGroups::All => (None, None),
        OwnerGroups::Except(groups) | OwnerGroups::Only(groups) => match groups.as_slice() {
            [] => (None, None),
            [one] => (Some(skgid(*one)), None),
            several => {
                let elements = several.iter().map(|&group| Value::Gid(group));
                (Some(skgid(set(OWNER_GROUPS))), Some(Set::new(OWNER_GROUPS, [DataType::Gid]).elements(elements)))
            }
        },
    }
}

const OWNER_GROUPS: &str = "owner-groups";
