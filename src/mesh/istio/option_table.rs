//! The options of `istio-iptables` that configure rules: names, variables, defaults and help. The
//! flags that control how that program runs are left to programs.
//!
//! Source: <https://istio.io/latest/docs/reference/commands/pilot-agent/#pilot-agent-istio-iptables>.

use super::option::{OptionSpec, Takes};

/// Every option: those with a flag first, then those that only a variable sets.
pub const OPTIONS: &[OptionSpec] = &[
    ENVOY_PORT,
    INBOUND_CAPTURE_PORT,
    INBOUND_TUNNEL_PORT,
    PROXY_UID,
    PROXY_GID,
    INTERCEPTION_MODE,
    INBOUND_PORTS,
    LOCAL_EXCLUDE_PORTS,
    EXCLUDE_INTERFACES,
    SERVICE_CIDR,
    SERVICE_EXCLUDE_CIDR,
    OUTBOUND_PORTS,
    OUTBOUND_PORTS_EXCLUDE,
    KUBE_VIRT_INTERFACES,
    TPROXY_MARK,
    TPROXY_ROUTE_TABLE,
    REDIRECT_DNS,
    CAPTURE_ALL_DNS,
    DROP_INVALID,
    DROP_INVALID_OUTBOUND,
    DUAL_STACK,
    OWNER_GROUPS,
    OWNER_GROUPS_EXCLUDE,
    LOOPBACK_CIDR,
    ENVOY_USER,
];

pub(super) const ENVOY_PORT: OptionSpec =
    OptionSpec::flag("envoy-port", &[], "15001", "port that captured outbound TCP goes to").short('p');
pub(super) const INBOUND_CAPTURE_PORT: OptionSpec = OptionSpec::flag(
    "inbound-capture-port",
    &["INBOUND_CAPTURE_PORT"],
    "15006",
    "port that captured inbound TCP goes to",
)
.short('z');
pub(super) const INBOUND_TUNNEL_PORT: OptionSpec =
    OptionSpec::flag("inbound-tunnel-port", &["INBOUND_TUNNEL_PORT"], "15008", "port of the HBONE tunnel").short('e');
pub(super) const PROXY_UID: OptionSpec = OptionSpec::flag(
    "proxy-uid",
    &["PROXY_UID"],
    "",
    "users that are the proxy, comma list of uids or names [default: uid of $ENVOY_USER, else 1337]",
)
.short('u')
.takes(Takes::List);
pub(super) const PROXY_GID: OptionSpec = OptionSpec::flag(
    "proxy-gid",
    &["PROXY_GID"],
    "",
    "groups that are the proxy, comma list of gids or names [default: the same as --proxy-uid]",
)
.short('g')
.takes(Takes::List);
pub(super) const INTERCEPTION_MODE: OptionSpec = OptionSpec::flag(
    "istio-inbound-interception-mode",
    &["ISTIO_INBOUND_INTERCEPTION_MODE"],
    "",
    "how inbound connections are captured: REDIRECT or TPROXY [default: REDIRECT]",
)
.short('m');
pub(super) const INBOUND_PORTS: OptionSpec = OptionSpec::flag(
    "istio-inbound-ports",
    &["ISTIO_INBOUND_PORTS"],
    "",
    "inbound ports to capture, comma list of ports and ranges; * is all, empty is none",
)
.short('b')
.takes(Takes::List);
pub(super) const LOCAL_EXCLUDE_PORTS: OptionSpec = OptionSpec::flag(
    "istio-local-exclude-ports",
    &["ISTIO_LOCAL_EXCLUDE_PORTS"],
    "",
    "inbound ports to leave alone, comma list of ports and ranges; only with -b '*'",
)
.short('d')
.takes(Takes::List);
pub(super) const EXCLUDE_INTERFACES: OptionSpec = OptionSpec::flag(
    "istio-exclude-interfaces",
    &["ISTIO_EXCLUDE_INTERFACES"],
    "",
    "interfaces on which nothing is captured, comma list; veth+ is a prefix",
)
.short('c')
.takes(Takes::List);
pub(super) const SERVICE_CIDR: OptionSpec = OptionSpec::flag(
    "istio-service-cidr",
    &["ISTIO_SERVICE_CIDR"],
    "",
    "outbound destinations to capture, comma list of CIDRs; * is all, empty is none",
)
.short('i')
.takes(Takes::List);
pub(super) const SERVICE_EXCLUDE_CIDR: OptionSpec = OptionSpec::flag(
    "istio-service-exclude-cidr",
    &["ISTIO_SERVICE_EXCLUDE_CIDR"],
    "",
    "outbound destinations to leave alone, comma list of CIDRs",
)
.short('x')
.takes(Takes::List);
pub(super) const OUTBOUND_PORTS: OptionSpec = OptionSpec::flag(
    "istio-outbound-ports",
    &["ISTIO_OUTBOUND_PORTS"],
    "",
    "outbound TCP ports to capture even if -i does not cover them, comma list of ports and ranges",
)
.short('q')
.takes(Takes::List);
pub(super) const OUTBOUND_PORTS_EXCLUDE: OptionSpec = OptionSpec::flag(
    "istio-local-outbound-ports-exclude",
    &["ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE"],
    "",
    "outbound TCP and UDP ports to leave alone, comma list of ports and ranges",
)
.short('o')
.takes(Takes::List);
pub(super) const KUBE_VIRT_INTERFACES: OptionSpec = OptionSpec::flag(
    "kube-virt-interfaces",
    &["KUBE_VIRT_INTERFACES"],
    "",
    "interfaces whose incoming traffic is treated as outbound, comma list; tap+ is a prefix",
)
.short('k')
.takes(Takes::List);
pub(super) const TPROXY_MARK: OptionSpec = OptionSpec::flag(
    "istio-inbound-tproxy-mark",
    &["ISTIO_INBOUND_TPROXY_MARK"],
    "1337",
    "mark of packets on their way to the proxy in TPROXY mode, decimal or 0x hex",
)
.short('t');
pub(super) const TPROXY_ROUTE_TABLE: OptionSpec = OptionSpec::flag(
    "istio-inbound-tproxy-route-table",
    &["ISTIO_INBOUND_TPROXY_ROUTE_TABLE"],
    "133",
    "routing table for that mark",
)
.short('r');
pub(super) const REDIRECT_DNS: OptionSpec = OptionSpec::flag(
    "redirect-dns",
    &["ISTIO_META_DNS_CAPTURE", "REDIRECT_DNS"],
    "false",
    "send DNS to the agent on port 15053",
)
.takes(Takes::Switch);
pub(super) const CAPTURE_ALL_DNS: OptionSpec = OptionSpec::flag(
    "capture-all-dns",
    &["CAPTURE_ALL_DNS"],
    "false",
    "with --redirect-dns: all DNS, not only to the nameservers of /etc/resolv.conf",
)
.takes(Takes::Switch);
/// Not in the reference, which only drops invalid packets that arrive.
pub(super) const DROP_INVALID_OUTBOUND: OptionSpec = OptionSpec::flag(
    "drop-invalid-outbound",
    &["DROP_INVALID_OUTBOUND"],
    "false",
    "drop TCP that leaves the pod, is not the proxy's, and that connection tracking finds invalid",
)
.takes(Takes::Switch);
pub(super) const DROP_INVALID: OptionSpec = OptionSpec::flag(
    "drop-invalid",
    &["INVALID_DROP", "DROP_INVALID"],
    "false",
    "drop packets that connection tracking finds invalid",
)
.takes(Takes::Switch);
pub(super) const DUAL_STACK: OptionSpec = OptionSpec::flag(
    "dual-stack",
    &["ISTIO_DUAL_STACK", "DUAL_STACK"],
    "false",
    "capture IPv6 when any address of the pod is IPv6, not only the first",
)
.takes(Takes::Switch);
pub(super) const OWNER_GROUPS: OptionSpec = OptionSpec::variable(
    &["ISTIO_OUTBOUND_OWNER_GROUPS"],
    "*",
    "groups whose outbound traffic is captured, comma list of gids or names; * is all",
)
.takes(Takes::List);
pub(super) const OWNER_GROUPS_EXCLUDE: OptionSpec = OptionSpec::variable(
    &["ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"],
    "",
    "groups whose outbound traffic is left alone, comma list of gids or names; only if all are captured",
)
.takes(Takes::List);
pub(super) const LOOPBACK_CIDR: OptionSpec = OptionSpec::variable(
    &["ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"],
    "127.0.0.1/32",
    "IPv4 loopback destinations that stay in the pod, /8 to /32",
);
pub(super) const ENVOY_USER: OptionSpec =
    OptionSpec::variable(&["ENVOY_USER"], "istio-proxy", "name of the user whose uid is the default of --proxy-uid");
