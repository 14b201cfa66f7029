//! Istio's ambient mode, by the variables of Istio's agent and the annotations of pods.

use nftmesh::mesh::ambient::{AmbientNode, VARIABLES};

use super::failure::Failure;
use super::mesh::{Network, Options, Wanted, invalid};
use super::pod::Pod;

pub(crate) fn is_option(name: &str) -> bool {
    VARIABLES.iter().any(|(variable, _)| *variable == name)
}

pub(crate) fn wanted(options: Options, pod: &Pod<'_>, _: &Network<'_>) -> Result<Wanted, Failure> {
    let node = AmbientNode::from_vars(options.0).map_err(invalid)?;
    if node.excluded_namespaces.contains(&pod.namespace) {
        return Ok(Wanted::Nothing(format!("its namespace {} is excluded", pod.namespace)));
    }
    if let Some(why) = left_alone(pod)? {
        return Ok(Wanted::Nothing(why.to_owned()));
    }
    let config = node.pod(pod.annotations()?).map_err(invalid)?;
    Ok(Wanted::Rules(Box::new(config), Vec::new()))
}

fn left_alone(pod: &Pod<'_>) -> Result<Option<&'static str>, Failure> {
    if pod.annotation("sidecar.istio.io/status")?.is_some() {
        return Ok(Some("it has a sidecar"));
    }
    if pod.is_on_host_network() {
        return Ok(Some("its network is the node's"));
    }
    // Labels are only in the object of a pod.
    if !pod.has_containers() {
        return Ok(None);
    }
    Ok(match pod.label_around(MODE)? {
        Some("ambient") => None,
        Some(_) => Some("its label istio.io/dataplane-mode is not ambient"),
        None => Some("neither it nor its namespace has the label istio.io/dataplane-mode"),
    })
}

const MODE: &str = "istio.io/dataplane-mode";
