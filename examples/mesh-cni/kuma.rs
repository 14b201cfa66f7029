//! Kuma's proxy, by the options of `kumactl install transparent-proxy` and the annotations of pods.

use nftmesh::mesh::istio::parse_boolean;
use nftmesh::mesh::kuma::{FLAGS, KumaFacts, KumaFlags};

use super::failure::Failure;
use super::istio::nameservers;
use super::mesh::{Network, Options, Wanted, invalid};
use super::pod::Pod;

pub(crate) fn is_option(name: &str) -> bool {
    // Where a configuration is read from, and whether it is installed, is decided here.
    !["config", "config-file", "dry-run"].contains(&name) && FLAGS.iter().any(|flag| flag.name == name)
}

pub(crate) fn wanted(options: Options, pod: &Pod<'_>, network: &Network<'_>) -> Result<Wanted, Failure> {
    if let Some(why) = left_alone(pod)? {
        return Ok(Wanted::Nothing(why.to_owned()));
    }
    let mut words = options.0;
    for annotation in ANNOTATIONS {
        if let Some(value) = pod.annotation_around(&format!("traffic.kuma.io/{annotation}"))? {
            words.retain(|(name, _)| name != annotation);
            words.push((annotation.to_owned(), value.to_owned()));
        }
    }
    let words = words.into_iter().filter(|(_, value)| !value.is_empty());
    let words = words.map(|(name, value)| format!("--{name}={value}"));
    let flags = KumaFlags::parse(words, [("", ""); 0]).map_err(invalid)?;
    // The users of the pod are not known here.
    let facts = KumaFacts {
        users: None,
        addresses: network.addresses.clone(),
        nameservers: nameservers(network.previous).addresses,
    };
    let config = flags.resolve(&facts).map_err(invalid)?;
    Ok(Wanted::Rules(Box::new(config), Vec::new()))
}

fn left_alone(pod: &Pod<'_>) -> Result<Option<&'static str>, Failure> {
    if !pod.is_described() {
        return Ok(None);
    }
    if pod.has_init("kuma-init") {
        return Ok(Some("its init container kuma-init installs the rules"));
    }
    let injected = pod.annotation("kuma.io/sidecar-injected")?;
    let is_injected = injected.is_some_and(|value| parse_boolean("kuma.io/sidecar-injected", value).unwrap_or(false));
    Ok((!is_injected).then_some("it has no annotation kuma.io/sidecar-injected, so no sidecar was added to it"))
}

/// Annotations, below `traffic.kuma.io/`, that replace the options of their names.
const ANNOTATIONS: [&str; 5] = [
    "exclude-inbound-ports",
    "exclude-outbound-ports",
    "exclude-inbound-ips",
    "exclude-outbound-ips",
    "exclude-outbound-ports-for-uids",
];
