//! The options of a node, from the environment variables of Istio's agent.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::annotations::annotated;
use super::config::{AmbientConfig, PROBE_V4, PROBE_V6, checked_source};
use super::host::AmbientHost;
use crate::Result;
use crate::mesh::error::{Invalid, Problem};
use crate::mesh::parse::{self, Parsed};

/// The variables that are read, and what they mean. All are checked, also those without effect.
pub const VARIABLES: &[(&str, &str)] = &[
    (DNS_CAPTURE, "boolean, false: DNS goes to ztunnel"),
    (IPV6, "boolean, false: IPv6 besides IPv4"),
    (PROBE_IP, "the address from which the node connects to pods, 169.254.7.127"),
    (PROBE_IPV6, "the same for IPv6, fd16:9254:7127:1337:ffff:ffff:ffff:ffff"),
    (EXCLUDED, "comma list of namespaces whose pods are left out"),
    (SELECTOR, "kept as it is given; who is in the mesh is decided by whoever sets pods up"),
    (RECONCILE, "boolean, no effect: what differs is always changed"),
    (NATIVE, "boolean, no effect: there is one backend"),
    (BINARY, "legacy, nft or empty, no effect: no program is run"),
    (LOCKING, "boolean, no effect: there is no lock of xtables"),
    (AWS, "boolean, no effect: the rules for branch interfaces of AWS are not made"),
    (HOST_NS, "boolean, no effect"),
];

/// The options of a node, which hold for all its pods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AmbientNode {
    /// Whether DNS is captured, unless a pod's annotation says otherwise.
    pub dns_capture: bool,
    /// Whether IPv6 is captured besides IPv4.
    pub ipv6: bool,
    /// The source address of the node's own connections to pods.
    pub probe_v4: Ipv4Addr,
    /// The same for IPv6.
    pub probe_v6: Ipv6Addr,
    /// The namespaces whose pods are left out.
    pub excluded_namespaces: Vec<String>,
    /// What selects pods, as it was given.
    pub enablement_selector: Option<String>,
}

impl AmbientNode {
    /// Reads the options from the environment of this process.
    ///
    /// # Errors
    /// Those of [`from_vars`](Self::from_vars).
    pub fn from_env() -> Result<Self> {
        AmbientNode::from_vars(std::env::vars_os())
    }

    /// Reads the options from these environment variables; other variables are ignored. A variable
    /// that is empty counts as not set. Defaults are those of Istio's agent, with which neither DNS
    /// nor IPv6 is captured; Istio's chart sets both.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid), with the variable and its value, for a value that
    /// cannot be. Where Istio's agent ignores it, as a boolean that is none or a probe address of
    /// the wrong family, it is an error too.
    ///
    /// ```
    /// use nftmesh::mesh::ambient::AmbientNode;
    ///
    /// let error = AmbientNode::from_vars([("HOST_PROBE_SNAT_IP", "fd99::1")]).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "HOST_PROBE_SNAT_IP \"fd99::1\": not an IPv4 address; give one such as 169.254.7.127"
    /// );
    /// # Ok::<(), nftmesh::Error>(())
    /// ```
    pub fn from_vars<N, V>(vars: impl IntoIterator<Item = (N, V)>) -> Result<Self>
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let vars: BTreeMap<OsString, OsString> =
            vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let mut node = AmbientNode {
            dns_capture: false,
            ipv6: false,
            probe_v4: PROBE_V4,
            probe_v6: PROBE_V6,
            excluded_namespaces: Vec::new(),
            enablement_selector: None,
        };
        for (name, _) in VARIABLES {
            let Some(value) = vars.get(&OsString::from(name)).filter(|value| !value.is_empty()) else { continue };
            let value = value.to_str().ok_or_else(|| Invalid::NotUtf8 {
                name: (*name).to_owned(),
                value: value.to_string_lossy().into_owned(),
            })?;
            node.set(name, value)?;
        }
        Ok(node)
    }

    fn set(&mut self, name: &str, value: &str) -> std::result::Result<(), Invalid> {
        let wrong = |problem: Problem| problem.of(name, value);
        match name {
            DNS_CAPTURE => self.dns_capture = parse::exact_boolean(value).map_err(wrong)?,
            IPV6 => self.ipv6 = parse::exact_boolean(value).map_err(wrong)?,
            PROBE_IP => self.probe_v4 = checked_source(name, ipv4(value).map_err(wrong)?)?,
            PROBE_IPV6 => self.probe_v6 = checked_source(name, ipv6(value).map_err(wrong)?)?,
            EXCLUDED => self.excluded_namespaces = parse::list(value, NAMESPACES, namespace).map_err(wrong)?,
            SELECTOR => self.enablement_selector = Some(value.to_owned()),
            BINARY => match value {
                "legacy" | "nft" => {}
                _ => return Err(wrong(Problem::new("no such backend; give legacy or nft, or leave it empty"))),
            },
            _ => drop(parse::exact_boolean(value).map_err(wrong)?),
        }
        Ok(())
    }

    /// Returns the configuration of a pod with these annotations. Annotations of others are
    /// ignored.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid), with the annotation and its value, for what is not
    /// the name of an interface. A boolean that is none is a [warning](AmbientConfig::warnings).
    pub fn pod<N, V>(&self, annotations: impl IntoIterator<Item = (N, V)>) -> Result<AmbientConfig>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let AmbientNode { dns_capture, ipv6, probe_v4, probe_v6, .. } = *self;
        let config = AmbientConfig::builder().dns_capture(dns_capture).ipv6(ipv6);
        let mut config = config.probe_v4(probe_v4).probe_v6(probe_v6);
        for (name, value) in annotations {
            config = annotated(config, name.as_ref(), value.as_ref())?;
        }
        config.build()
    }

    /// Returns the configuration of the node itself, without pods yet.
    #[must_use]
    pub fn host(&self) -> AmbientHost {
        AmbientHost::new(self.ipv6, self.probe_v4, self.probe_v6)
    }
}

fn ipv4(text: &str) -> Parsed<Ipv4Addr> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => Ok(address),
        _ => Err(Problem(format!("not an IPv4 address; give one such as {PROBE_V4}"))),
    }
}

fn ipv6(text: &str) -> Parsed<Ipv6Addr> {
    match text.parse() {
        Ok(IpAddr::V6(address)) => Ok(address),
        _ => Err(Problem(format!("not an IPv6 address; give one such as {PROBE_V6}"))),
    }
}

/// Parses the name of a namespace of Kubernetes: a label of RFC 1123.
fn namespace(text: &str) -> Parsed<String> {
    let letters = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    match letters && text.len() <= 63 && !text.starts_with('-') && !text.ends_with('-') {
        true => Ok(text.to_owned()),
        false => Err(Problem::new("not the name of a namespace")),
    }
}

const NAMESPACES: &str = "give a comma list of names such as kube-system";
const AWS: &str = "AMBIENT_ENABLE_AWS_BRANCH_ENI_PROBE";
const BINARY: &str = "FORCE_IPTABLES_BINARY";
const DNS_CAPTURE: &str = "AMBIENT_DNS_CAPTURE";
const EXCLUDED: &str = "EXCLUDE_NAMESPACES";
const HOST_NS: &str = "ALLOW_SWITCH_TO_HOST_NS";
const IPV6: &str = "AMBIENT_IPV6";
const LOCKING: &str = "AMBIENT_USE_SCOPED_XTABLES_LOCKING";
const NATIVE: &str = "NATIVE_NFTABLES";
const PROBE_IP: &str = "HOST_PROBE_SNAT_IP";
const PROBE_IPV6: &str = "HOST_PROBE_SNAT_IPV6";
const RECONCILE: &str = "AMBIENT_RECONCILE_POD_RULES_ON_STARTUP";
const SELECTOR: &str = "AMBIENT_ENABLEMENT_SELECTOR";
