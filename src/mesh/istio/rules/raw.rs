//! Conntrack zones for DNS over UDP.

use super::OUTPUT_DNS;
use crate::mesh::dns::{Loopback, Zones};
use crate::mesh::istio::IstioConfig;
use crate::mesh::ports;
use crate::model::{Rule, Table, skgid, skuid};

pub(super) fn table(config: &IstioConfig) -> Table {
    let owners = vec![skuid(config.proxy_uids.clone()), skgid(config.proxy_gids.clone())];
    let chains = ["prerouting", "output", OUTPUT_DNS];
    let zones = Zones {
        dns: &config.dns,
        owners,
        agent: ports::AGENT_DNS,
        families: vec![Rule::new()],
        chains,
        loopback: Loopback::AsAny,
    };
    zones.add_to(super::table(config, super::RAW))
}
