//! What the runtime and the pod's annotations say of a pod: whether it has a sidecar, and with
//! which options.

use nftmesh::Escaped;
use nftmesh::mesh::istio::{RawOptions, parse_resolv_conf};
use serde_json::{Map, Value};

use super::config::Config;
use super::environment::Environment;
use super::failure::{CONFIGURATION, Failure};

/// Returns why a pod is left alone; `None` for one that is captured.
pub(crate) fn left_alone(config: &Config, environment: &Environment) -> Option<String> {
    let namespace = environment.arguments.get("K8S_POD_NAMESPACE").map(String::as_str).unwrap_or_default();
    if config.excludes(namespace) {
        return Some(format!("its namespace {namespace} is excluded"));
    }
    let annotations = config.annotations()?;
    let get = |name: &str| annotations.get(name).and_then(Value::as_str);
    if get("sidecar.istio.io/inject") == Some("false") {
        return Some("sidecar.istio.io/inject is false".to_owned());
    }
    if get("sidecar.istio.io/status").is_none() {
        return Some("it has no annotation sidecar.istio.io/status, so no sidecar was added to it".to_owned());
    }
    None
}

/// Adds what the annotations say to the options.
pub(crate) fn annotated(options: &mut RawOptions, annotations: &Map<String, Value>) -> Result<(), Failure> {
    let defaults = [
        ("istio-service-cidr", "*"),
        ("istio-inbound-ports", "*"),
        ("istio-local-exclude-ports", ""),
        ("istio-local-outbound-ports-exclude", "15020"),
    ];
    for (flag, default) in defaults {
        if options.given(flag).is_none() {
            set(options, flag, default, flag)?;
        }
    }
    for (annotation, flag) in ANNOTATIONS {
        let Some(value) = annotations.get(annotation) else { continue };
        let Some(value) = value.as_str() else {
            let details = "annotations are texts";
            return Err(Failure::new(CONFIGURATION, format!("annotation {annotation} is not valid"), details));
        };
        if annotation.ends_with("Ports") && annotation != INBOUND {
            ports(annotation, value)?;
        }
        set(options, flag, value, annotation)?;
    }
    // The agent's own ports are never captured.
    let (_, given) = options.given("istio-local-exclude-ports").unwrap_or_default();
    let mut ports: Vec<&str> = given.split(',').map(str::trim).filter(|port| !port.is_empty()).collect();
    for port in ["15020", "15021", "15090"] {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    let ports = ports.join(",");
    set(options, "istio-local-exclude-ports", &ports, EXCLUDE_INBOUND)
}

fn set(options: &mut RawOptions, flag: &str, value: &str, name: &str) -> Result<(), Failure> {
    let invalid = |error| Failure::new(CONFIGURATION, format!("{name} is not valid"), error);
    options.set_flag(flag, value).map_err(invalid)
}

/// Checks ports, which are single numbers in annotations.
fn ports(annotation: &str, value: &str) -> Result<(), Failure> {
    let is_port = |port: &str| port.trim().is_empty() || port.trim() == "*" || port.trim().parse::<u16>().is_ok();
    match value.split(',').find(|port| !is_port(port)) {
        None => Ok(()),
        Some(port) => {
            let details = format!("{} is not a port; give numbers up to 65535", Escaped::new(port));
            Err(Failure::new(CONFIGURATION, format!("annotation {annotation} is not valid"), details))
        }
    }
}

/// Returns the nameservers of the pod that the result of the plugins before names.
pub(crate) fn nameservers(previous: &Value) -> nftmesh::mesh::istio::Nameservers {
    let listed = previous.pointer("/dns/nameservers").and_then(Value::as_array);
    let lines = listed.into_iter().flatten().filter_map(Value::as_str);
    parse_resolv_conf(&lines.map(|server| format!("nameserver {server}\n")).collect::<String>())
}

const INBOUND: &str = "traffic.sidecar.istio.io/includeInboundPorts";
const EXCLUDE_INBOUND: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
/// The annotations of a pod, and the options that they set.
const ANNOTATIONS: [(&str, &str); 10] = [
    ("sidecar.istio.io/interceptionMode", "istio-inbound-interception-mode"),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", "istio-service-cidr"),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "istio-service-exclude-cidr"),
    (INBOUND, "istio-inbound-ports"),
    (EXCLUDE_INBOUND, "istio-local-exclude-ports"),
    ("traffic.sidecar.istio.io/includeOutboundPorts", "istio-outbound-ports"),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", "istio-local-outbound-ports-exclude"),
    ("traffic.sidecar.istio.io/excludeInterfaces", "istio-exclude-interfaces"),
    ("traffic.sidecar.istio.io/kubevirtInterfaces", "kube-virt-interfaces"),
    ("istio.io/reroute-virtual-interfaces", "kube-virt-interfaces"),
];
