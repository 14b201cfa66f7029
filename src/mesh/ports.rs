//! The ports of an Istio sidecar, in host byte order.
//!
//! Source: "Ports used by Istio", <https://istio.io/latest/docs/ops/deployment/application-requirements/#ports-used-by-istio>.

/// DNS, [RFC 1035 section 4.2](https://www.rfc-editor.org/rfc/rfc1035#section-4.2): UDP and TCP.
pub const DNS: u16 = 53;

/// Envoy's administration and command line, on loopback only.
pub const PROXY_ADMIN: u16 = 15000;

/// The port for captured outbound TCP; Envoy's `virtualOutbound` listener.
pub const OUTBOUND: u16 = 15001;

/// The port that validation connects to, and the original destination that must be observed.
pub const PROBE: u16 = 15002;

/// The agent's debug interface.
pub const AGENT_DEBUG: u16 = 15004;

/// The port for captured inbound TCP; Envoy's `virtualInbound` listener.
pub const INBOUND: u16 = 15006;

/// The HBONE tunnel: HTTP CONNECT over mTLS, carrying TCP between pods.
#[doc(alias = "HBONE")]
pub const TUNNEL: u16 = 15008;

/// Prometheus metrics of Envoy, the agent and the application, merged.
pub const MERGED_METRICS: u16 = 15020;

/// Health checks of the sidecar.
pub const HEALTH: u16 = 15021;

/// The agent's DNS proxy, UDP and TCP, when DNS capture is on.
pub const AGENT_DNS: u16 = 15053;

/// Envoy's own Prometheus metrics.
pub const PROXY_METRICS: u16 = 15090;
