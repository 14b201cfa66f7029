//! The sidecar as a pod takes it, and the traces of `istio-iptables`.

use super::rules::{FAMILIES, TABLES};
use super::{Interception, InterfacePattern, IstioConfig};
use crate::mesh::{DnsCapture, Mesh, Original, ports};
use crate::model::{Ruleset, TableId};
use crate::routes::RoutePlan;

/// Returns every table that an installation may own, for any configuration.
#[must_use]
pub fn tables() -> Vec<TableId> {
    FAMILIES.iter().flat_map(|family| TABLES.map(|name| TableId::new(*family, name))).collect()
}

impl Mesh for IstioConfig {
    fn rules(&self) -> Ruleset {
        Ruleset::from(self)
    }

    fn routes(&self) -> RoutePlan {
        RoutePlan::from(self)
    }

    fn tables(&self) -> Vec<TableId> {
        tables()
    }

    fn warnings(&self) -> Vec<String> {
        IstioConfig::warnings(self).iter().map(ToString::to_string).collect()
    }

    fn outbound_port(&self) -> Option<u16> {
        Some(self.outbound_port)
    }

    fn dns_port(&self) -> Option<u16> {
        (self.dns != DnsCapture::Off).then_some(ports::AGENT_DNS)
    }

    /// Its chains are those named `ISTIO_*`. For TPROXY it has rules in the base chains of mangle,
    /// and for excluded interfaces rules in those of nat.
    fn original(&self) -> Original {
        let tables: &[&str] = match self.interception {
            Interception::Redirect => &["nat"],
            Interception::Tproxy => &["nat", "mangle"],
        };
        let whole = |patterns: &[InterfacePattern]| -> Vec<String> {
            let names = patterns.iter().filter(|pattern| !pattern.is_prefix());
            names.map(|pattern| pattern.name().to_owned()).collect()
        };
        Original {
            program: "istio-iptables",
            chains: "ISTIO_",
            exclusions: "-x, -o, -d or -c",
            captures_in: Original::tables(tables, self.ipv6),
            marks: vec![IN_MARK, self.tproxy.mark()],
            arriving: [whole(&self.exclude_interfaces), whole(&self.kube_virt_interfaces)].concat(),
            leaving: whole(&self.exclude_interfaces),
            ..Original::default()
        }
    }
}

/// The mark of captured inbound packets (`constants.go` of istio-iptables).
const IN_MARK: u32 = 0x539;
