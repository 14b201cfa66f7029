//! Which mesh a configuration names, and what it wants in a pod.

use std::net::IpAddr;

use nftmesh::mesh::Mesh;
use nftmesh::{Escaped, Quoted};
use serde_json::{Map, Value};

use super::config::Config;
use super::failure::{CONFIGURATION, DECODE, Failure, KEY};
use super::pod::Pod;
use super::{ambient, istio, kuma, linkerd};

/// What is wanted in a pod.
pub(crate) enum Wanted {
    /// It is left alone, and why.
    Nothing(String),
    /// These rules and routes, and what was given without effect.
    Rules(Box<dyn Mesh>, Vec<String>),
}

/// What a mesh may ask of the pod's network.
pub(crate) struct Network<'c> {
    /// The addresses of the pod.
    pub(crate) addresses: Vec<IpAddr>,
    /// What the plugins before this one answered.
    pub(crate) previous: &'c Value,
}

/// A mesh that this plugin knows.
struct Kind {
    name: &'static str,
    /// Where its options are described.
    described: &'static str,
    is_option: fn(&str) -> bool,
    wanted: fn(Options, &Pod<'_>, &Network<'_>) -> Result<Wanted, Failure>,
}

const KINDS: &[Kind] = &[
    Kind { name: "ambient", described: "ambient-init --help", is_option: ambient::is_option, wanted: ambient::wanted },
    Kind { name: "kuma", described: "kuma-init --help", is_option: kuma::is_option, wanted: kuma::wanted },
    Kind { name: "istio", described: "istio-init --help", is_option: istio::is_option, wanted: istio::wanted },
    Kind { name: "linkerd", described: "linkerd-init --help", is_option: linkerd::is_option, wanted: linkerd::wanted },
];

/// Returns what the configuration wants in this pod.
pub(crate) fn wanted(config: &Config, pod: &Pod<'_>, network: &Network<'_>) -> Result<Wanted, Failure> {
    let kind = kind(config)?;
    let options = Options::of(config, kind)?;
    if config.excludes(&pod.namespace) {
        return Ok(Wanted::Nothing(format!("its namespace {} is excluded", pod.namespace)));
    }
    (kind.wanted)(options, pod, network)
}

/// Checks what can be checked without a pod.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    Options::of(config, kind(config)?).map(drop)
}

fn kind(config: &Config) -> Result<&'static Kind, Failure> {
    let known = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    match config.mesh.as_deref() {
        Some(name) => KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let message = format!("mesh {} is not known", Quoted::new(name));
            Failure::new(CONFIGURATION, message, format!("known are {}", known()))
        }),
        None => {
            let details = format!(r#"add "mesh": "istio"; known are {}"#, known());
            Err(Failure::new(CONFIGURATION, "the configuration names no mesh", details))
        }
    }
}

/// The options of a mesh, by name, as texts.
pub(crate) struct Options(pub(crate) Vec<(String, String)>);

impl Options {
    /// Collects those of the configuration, then those of the pod.
    fn of(config: &Config, kind: &Kind) -> Result<Self, Failure> {
        let mut all = Map::new();
        for (name, value) in config.all.iter().filter(|(name, _)| (kind.is_option)(name)) {
            let value = serde_json::from_str(value.get())
                .map_err(|why| Failure::new(DECODE, format!("{name} is not JSON"), why))?;
            all.insert(name.clone(), value);
        }
        all.extend(config.options.clone());
        if let Some(own) = config.all.get(kind.name) {
            let own: Map<String, Value> = serde_json::from_str(own.get())
                .map_err(|why| Failure::new(CONFIGURATION, format!("{} is not an object", kind.name), why))?;
            all.extend(own);
        }
        if let Some(options) = config.of_pod("mesh") {
            let Some(options) = options.as_object() else {
                return Err(Failure::new(CONFIGURATION, "the pod's options are no object", "write {\"NAME\": VALUE}"));
            };
            all.extend(options.clone());
        }
        let mut options = Vec::new();
        for (name, value) in all {
            if !(kind.is_option)(&name) {
                let name = Escaped::new(&name);
                let details = format!("{name} is not an option of {}; see {}", kind.name, kind.described);
                return Err(Failure::new(KEY, format!("unknown option {name}"), details));
            }
            let value = text(&name, &value)?;
            options.push((name, value));
        }
        Ok(Options(options))
    }
}

/// Returns an error about an option or an annotation.
pub(crate) fn invalid(error: nftmesh::Error) -> Failure {
    Failure::new(CONFIGURATION, "an option of the mesh is not valid", error)
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
