//! Istio's sidecar, by the options and annotations of `istio-cni`.

use nftmesh::Escaped;
use nftmesh::mesh::istio::{IstioConfig, Nameservers, OPTIONS, PodFacts, RawOptions, parse_boolean, parse_resolv_conf};
use serde_json::Value;

use super::failure::{CONFIGURATION, Failure};
use super::mesh::{Network, Options, Wanted, invalid};
use super::pod::{Container, Pod};

pub(crate) fn is_option(name: &str) -> bool {
    OPTIONS.iter().any(|option| option.name == name || option.env.contains(&name))
}

pub(crate) fn wanted(options: Options, pod: &Pod<'_>, network: &Network<'_>) -> Result<Wanted, Failure> {
    if let Some(why) = left_alone(pod)? {
        return Ok(Wanted::Nothing(why.to_owned()));
    }
    let mut options = raw(options)?;
    if pod.is_described() {
        annotated(&mut options, pod)?;
    }
    let remarks = proxy(pod).map_or(Ok(Vec::new()), |proxy| of_proxy(&mut options, &proxy))?;
    // The files of this process are the node's, not the pod's.
    let facts = PodFacts {
        addresses: network.addresses.clone(),
        nameservers: nameservers(network.previous),
        ..PodFacts::default()
    };
    let config = IstioConfig::resolve(&options, &facts).map_err(invalid)?;
    Ok(Wanted::Rules(Box::new(config), remarks))
}

/// Flags win over variables, as in `istio-init`.
fn raw(options: Options) -> Result<RawOptions, Failure> {
    let is_flag = |(name, _): &(String, String)| OPTIONS.iter().any(|option| option.is_flag && option.name == name);
    let (flags, variables): (Vec<_>, Vec<_>) = options.0.into_iter().partition(is_flag);
    let mut raw = RawOptions::from_vars(variables).map_err(invalid)?;
    for (name, value) in flags {
        raw.set_flag(&name, value).map_err(invalid)?;
    }
    Ok(raw)
}

fn proxy<'c>(pod: &Pod<'c>) -> Option<Container<'c>> {
    pod.containers().find(|container| container.name() == "istio-proxy")
}

/// Returns why a pod is left alone; `None` for one that is captured.
fn left_alone(pod: &Pod<'_>) -> Result<Option<&'static str>, Failure> {
    if !pod.is_described() {
        return Ok(None);
    }
    if pod.has_containers() {
        if pod.containers().any(|container| container.name() == "istio-init") {
            return Ok(Some("its container istio-init installs the rules"));
        }
        let Some(proxy) = proxy(pod) else { return Ok(Some("it has no container istio-proxy")) };
        if proxy.variable("DISABLE_ENVOY").is_some_and(|value| parse_boolean("DISABLE_ENVOY", value).unwrap_or(false)) {
            return Ok(Some("its istio-proxy runs without Envoy"));
        }
        let mut arguments = proxy.arguments();
        if arguments.next() == Some("proxy") && arguments.next().is_some_and(|role| role != "sidecar") {
            return Ok(Some("its istio-proxy is no sidecar"));
        }
    }
    let inject = match pod.label(INJECT)? {
        None => pod.annotation(INJECT)?,
        label => label,
    };
    if inject.is_some_and(|value| !parse_boolean(INJECT, value).unwrap_or(true)) {
        return Ok(Some("sidecar.istio.io/inject is false"));
    }
    let is_added = pod.annotation("sidecar.istio.io/status")?.is_some();
    Ok((!is_added).then_some("it has no annotation sidecar.istio.io/status, so no sidecar was added to it"))
}

/// Adds what the definition of the proxy's container says; returns what in it has no effect.
fn of_proxy(options: &mut RawOptions, proxy: &Container<'_>) -> Result<Vec<String>, Failure> {
    let mut remarks = Vec::new();
    for (key, flag) in [("runAsUser", "proxy-uid"), ("runAsGroup", "proxy-gid")] {
        // 0 counts as not given. The group is not that of the user, as it is without a pod.
        match proxy.owner(key).filter(|owner| *owner != 0) {
            Some(owner) => set(options, flag, &owner.to_string(), key)?,
            None if options.given(flag).is_none() => set(options, flag, "1337", key)?,
            None => {}
        }
    }
    for (variable, flags) in VARIABLES {
        match proxy.variable(variable).map(|value| parse_boolean(variable, value)) {
            Some(Ok(true)) => flags.iter().try_for_each(|flag| set(options, flag, "true", variable))?,
            Some(Err(odd)) => remarks.push(format!("{odd}; it counts as false")),
            Some(Ok(false)) | None => {}
        }
    }
    Ok(remarks)
}

/// Adds what the annotations say to the options.
fn annotated(options: &mut RawOptions, pod: &Pod<'_>) -> Result<(), Failure> {
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
        let Some(value) = pod.annotation(annotation)? else { continue };
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
pub(crate) fn nameservers(previous: &Value) -> Nameservers {
    let listed = previous.pointer("/dns/nameservers").and_then(Value::as_array);
    let lines = listed.into_iter().flatten().filter_map(Value::as_str);
    parse_resolv_conf(&lines.map(|server| format!("nameserver {server}\n")).collect::<String>())
}

const INJECT: &str = "sidecar.istio.io/inject";
/// Variables of the proxy's container, and the options that they switch on.
const VARIABLES: &[(&str, &[&str])] = &[
    ("ISTIO_META_DNS_CAPTURE", &["redirect-dns", "capture-all-dns"]),
    ("ISTIO_DUAL_STACK", &["dual-stack"]),
    ("INVALID_DROP", &["drop-invalid"]),
];
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
