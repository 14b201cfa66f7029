//! The annotations of a pod.

use super::config::{AmbientConfigBuilder, Inbound};
use crate::error::Quoted;
use crate::mesh::InterfacePattern;
use crate::mesh::error::Invalid;
use crate::mesh::parse;

/// The annotations of a pod that are read, and what they mean.
pub const ANNOTATIONS: &[(&str, &str)] = &[
    (BYPASS_INBOUND, "true: inbound TCP is not captured (ingress mode)"),
    (DNS_CAPTURE, "true or false: overrides AMBIENT_DNS_CAPTURE"),
    (VIRTUAL_INTERFACES, "interfaces, or prefixes such as virt+; TCP that comes in on them is outbound"),
    (REDIRECTION, "no effect, written when a pod is set up; what is installed is read from the kernel"),
];

/// Sets what an annotation says. As in Istio, a boolean that is none counts as absent; the warning
/// names it. Annotations of others are ignored.
pub(super) fn annotated(
    config: AmbientConfigBuilder,
    name: &str,
    value: &str,
) -> Result<AmbientConfigBuilder, Invalid> {
    let warned = |mut config: AmbientConfigBuilder, what: &str| {
        config.warnings.push(format!("{name} {}: {what}", Quoted(value)));
        config
    };
    let ignored = "ignored, not a boolean; give true or false";
    Ok(match name {
        BYPASS_INBOUND => match parse::exact_boolean(value) {
            Ok(true) => config.inbound(Inbound::Bypassed),
            Ok(false) => config.inbound(Inbound::Captured),
            Err(_) => warned(config, ignored),
        },
        DNS_CAPTURE => match parse::exact_boolean(value) {
            Ok(dns_capture) => config.dns_capture(dns_capture),
            Err(_) => warned(config, ignored),
        },
        VIRTUAL_INTERFACES => {
            let interfaces = InterfacePattern::parse_list(value).map_err(|problem| problem.of(name, value))?;
            config.virtual_interfaces(interfaces)
        }
        _ if name.starts_with(SIDECAR) => {
            warned(config, "no effect in ambient mode, where no port and no range is left out")
        }
        _ => config,
    })
}

const BYPASS_INBOUND: &str = "ambient.istio.io/bypass-inbound-capture";
const DNS_CAPTURE: &str = "ambient.istio.io/dns-capture";
const REDIRECTION: &str = "ambient.istio.io/redirection";
const VIRTUAL_INTERFACES: &str = "istio.io/reroute-virtual-interfaces";
/// Annotations that configure a sidecar.
const SIDECAR: &str = "traffic.sidecar.istio.io/";
