//! The configuration: one entry of a list of plugins, with what the runtime adds to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nftmesh::Escaped;
use nftmesh::mesh::istio::{IstioConfig, OPTIONS, PodFacts, RawOptions};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::failure::{CONFIGURATION, DECODE, Failure, KEY};
use super::version;

/// What this plugin reads; a runtime adds other keys, which mean nothing here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    #[serde(rename = "cniVersion")]
    version: Option<String>,
    mesh: Option<String>,
    /// The options of the mesh, by the names of its flags or variables.
    options: Map<String, Value>,
    /// The same under the name of the mesh.
    istio: Map<String, Value>,
    #[serde(alias = "excludeNamespaces")]
    exclude_namespaces: Vec<String>,
    #[serde(alias = "logFile")]
    pub(crate) log_file: Option<String>,
    /// Of the plugin before this one, as it came.
    #[serde(rename = "prevResult")]
    pub(crate) previous: Option<Box<RawValue>>,
    #[serde(rename = "runtimeConfig")]
    runtime: Map<String, Value>,
    args: Map<String, Value>,
    /// All keys, of which some may be options of the mesh.
    #[serde(skip)]
    all: BTreeMap<String, Box<RawValue>>,
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
        let config = Config { all, ..serde_json::from_slice(input).map_err(invalid)? };
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

    /// Returns the options of the mesh: those of the configuration, then those of the pod.
    pub(crate) fn options(&self) -> Result<RawOptions, Failure> {
        match self.mesh.as_deref() {
            Some("istio") => {}
            Some(other) => {
                let details = "known is istio";
                return Err(Failure::new(CONFIGURATION, format!("mesh {other:?} is not known"), details));
            }
            None => {
                let details = r#"add "mesh": "istio""#;
                return Err(Failure::new(CONFIGURATION, "the configuration names no mesh", details));
            }
        }
        let inline = self.all.iter().filter(|(name, _)| OPTIONS.iter().any(|option| option.name == name.as_str()));
        let mut all = Map::new();
        for (name, value) in inline {
            let value = serde_json::from_str(value.get())
                .map_err(|why| Failure::new(DECODE, format!("{name} is not JSON"), why))?;
            all.insert(name.clone(), value);
        }
        all.extend(self.options.clone());
        all.extend(self.istio.clone());
        let of_pod = [self.runtime.get("mesh"), self.args.get("cni").and_then(|args| args.get("mesh"))];
        for options in of_pod.into_iter().flatten() {
            let Some(options) = options.as_object() else {
                return Err(Failure::new(CONFIGURATION, "the pod's options are no object", "write {\"NAME\": VALUE}"));
            };
            all.extend(options.clone());
        }
        raw(&all)
    }
}

fn raw(options: &Map<String, Value>) -> Result<RawOptions, Failure> {
    let mut variables = Vec::new();
    let mut flags = Vec::new();
    for (name, value) in options {
        let known = OPTIONS.iter().find(|option| option.name == name || option.env.contains(&name.as_str()));
        let Some(option) = known else {
            let details = format!("{} is not an option of istio; see istio-init --help", Escaped::new(name));
            return Err(Failure::new(KEY, format!("unknown option {}", Escaped::new(name)), details));
        };
        let text = text(name, value)?;
        if option.is_flag && option.name == name { flags.push((name, text)) } else { variables.push((name, text)) }
    }
    let invalid = |error: nftmesh::Error| Failure::new(CONFIGURATION, "an option of the mesh is not valid", error);
    let mut raw = RawOptions::from_vars(variables).map_err(invalid)?;
    for (name, value) in flags {
        raw.set_flag(name, value).map_err(invalid)?;
    }
    Ok(raw)
}

/// Returns a value as the flag takes it; a list has commas.
fn text(name: &str, value: &Value) -> Result<String, Failure> {
    let wrong = || {
        let details = "give a text, a number, a boolean, or a list of texts and numbers";
        Failure::new(CONFIGURATION, format!("the value of {} is not valid", Escaped::new(name)), details)
    };
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Array(items) => {
            let simple = items.iter().all(|item| item.is_string() || item.is_number());
            let texts = items.iter().map(|item| text(name, item)).collect::<Result<Vec<_>, _>>()?;
            if simple { Ok(texts.join(",")) } else { Err(wrong()) }
        }
        Value::Null | Value::Object(_) => Err(wrong()),
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
        let options = config.options().map_err(failed)?;
        IstioConfig::resolve(&options, &some_pod()).map_err(|error| at(error.to_string()))?;
        found += 1;
    }
    if found == 0 {
        return Err(format!("{name}: no entry has the type mesh-cni, or a mesh"));
    }
    Ok(found)
}

/// A pod with addresses of both families, for checks without one.
fn some_pod() -> PodFacts {
    let addresses = [[10, 0, 0, 2].into(), [0xfd00, 0, 0, 0, 0, 0, 0, 2].into()];
    PodFacts { addresses: addresses.to_vec(), ..PodFacts::default() }
}
