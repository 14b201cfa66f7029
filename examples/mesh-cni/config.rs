//! The configuration: one entry of a list of plugins, with what the runtime adds to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nftmesh::Escaped;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::failure::{CONFIGURATION, DECODE, Failure};
use super::{commands, version};

/// What this plugin reads; a runtime adds other keys, which mean nothing here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    #[serde(rename = "cniVersion")]
    version: Option<String>,
    pub(crate) mesh: Option<String>,
    /// The options of the mesh, by the names of its flags or variables.
    #[serde(deserialize_with = "or_default")]
    pub(crate) options: Map<String, Value>,
    /// Outbound connections wait for the proxy.
    #[serde(deserialize_with = "or_default")]
    pub(crate) hold: bool,
    #[serde(alias = "excludeNamespaces", deserialize_with = "or_default")]
    exclude_namespaces: Vec<String>,
    #[serde(alias = "logFile")]
    pub(crate) log_file: Option<String>,
    /// Of the plugin before this one, as it came.
    #[serde(rename = "prevResult")]
    pub(crate) previous: Option<Box<RawValue>>,
    #[serde(rename = "runtimeConfig", deserialize_with = "or_default")]
    runtime: Map<String, Value>,
    #[serde(deserialize_with = "or_default")]
    args: Map<String, Value>,
    /// Whether all pods are Kubernetes' own: one without a name in `CNI_ARGS` is left alone, and one
    /// of which nothing is known is refused.
    #[serde(skip)]
    pub(crate) kubernetes: bool,
    /// All keys, of which some may be options of the mesh.
    #[serde(skip)]
    pub(crate) all: BTreeMap<String, Box<RawValue>>,
}

/// Templates write null for what is not given.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(of: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(of)?.unwrap_or_default())
}

impl Config {
    pub(crate) fn parse(input: &[u8]) -> Result<Self, Failure> {
        if let Err(why) = serde_json::from_slice::<&RawValue>(input) {
            return Err(Failure::new(DECODE, "the configuration is not JSON", why));
        }
        let invalid = |why| Failure::new(CONFIGURATION, "the configuration is not valid", why);
        let all: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(input).map_err(invalid)?;
        if let Some(version) = all.get("cniVersion") {
            version::supported(serde_json::from_str(version.get()).map_err(invalid)?)?;
        }
        let kubernetes = all.get("kubernetes").is_some_and(|value| !["null", "false"].contains(&value.get()));
        let config = Config { kubernetes, all, ..serde_json::from_slice(input).map_err(invalid)? };
        version::supported(config.version())?;
        Ok(config)
    }

    /// Returns the version; a configuration without one is of the first.
    pub(crate) fn version(&self) -> &str {
        self.version.as_deref().unwrap_or("0.1.0")
    }

    /// Returns whether pods of this Kubernetes namespace are left alone.
    pub(crate) fn excludes(&self, namespace: &str) -> bool {
        self.exclude_namespaces.iter().any(|excluded| excluded == namespace)
    }

    /// Returns the annotations of the pod, where the runtime passes them on (containerd: capability
    /// `io.kubernetes.cri.pod-annotations`).
    pub(crate) fn annotations(&self) -> Option<&Map<String, Value>> {
        self.runtime.get("io.kubernetes.cri.pod-annotations")?.as_object()
    }

    /// Returns what the runtime says of the pod under a name, the more particular first.
    pub(crate) fn of_pod(&self, name: &str) -> Option<&Value> {
        self.args.get("cni").and_then(|args| args.get(name)).or_else(|| self.runtime.get(name))
    }
}

/// Checks the entries of this plugin in a file, and returns how many there are.
pub(crate) fn check(file: &Path) -> Result<usize, String> {
    let name = Escaped::new(file);
    let text = fs::read(file).map_err(|why| format!("{name}: {why}; give a file of a network"))?;
    let whole: Value = serde_json::from_slice(&text).map_err(|why| format!("{name}: not JSON: {why}"))?;
    let version = whole.get("cniVersion").cloned();
    let entries: Vec<Value> = match whole.get("plugins") {
        Some(Value::Array(entries)) => entries.clone(),
        Some(_) => return Err(format!("{name}: plugins is no list")),
        None => vec![whole],
    };
    let mut found = 0;
    for (number, mut entry) in (1..).zip(entries) {
        let is_ours = entry.get("mesh").is_some() || entry.get("type").and_then(Value::as_str) == Some("mesh-cni");
        let Some(object) = entry.as_object_mut().filter(|_| is_ours) else { continue };
        if let Some(version) = &version {
            object.entry("cniVersion").or_insert_with(|| version.clone());
        }
        let at = |why: String| format!("{name}: plugin {number}: {why}");
        let failed = |failure: Failure| at(failure.line());
        let config = Config::parse(entry.to_string().as_bytes()).map_err(failed)?;
        commands::check_without_pod(&config).map_err(failed)?;
        found += 1;
    }
    if found == 0 {
        return Err(format!("{name}: no entry has the type mesh-cni, or a mesh"));
    }
    Ok(found)
}
