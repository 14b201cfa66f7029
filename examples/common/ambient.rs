//! Ambient by words: `ENV=VALUE... ANNOTATION=VALUE...` for a pod, `ENV=VALUE...`,
//! `set-add=ADDRESS@UID...` and `set-remove=ADDRESS@UID...` for a node.

use nftmesh::Quoted;
use nftmesh::mesh::ambient::{ANNOTATIONS, AmbientConfig, AmbientHost, AmbientNode, VARIABLES};

use super::source::Complaint;

/// Reads a pod.
pub fn pod(words: Vec<String>) -> Result<AmbientConfig, Complaint> {
    let (node, annotations) = node(words)?;
    for (name, _) in &annotations {
        // Pods have annotations of others, in domains of others.
        let is_ambient = name.starts_with("ambient.istio.io/") || !name.contains('/');
        if is_ambient && !ANNOTATIONS.iter().any(|(known, _)| known == name) {
            return Err(unknown(name));
        }
    }
    node.pod(annotations).map_err(line)
}

/// Reads a node.
pub fn host(words: Vec<String>) -> Result<AmbientHost, Complaint> {
    host_with(words, &AmbientHost::default())
}

/// Reads a node that has these pods already.
pub fn host_with(words: Vec<String>, known: &AmbientHost) -> Result<AmbientHost, Complaint> {
    let (node, others) = node(words)?;
    let mut host = node.host();
    known.pods().try_for_each(|(address, uid)| host.set(address, uid).map(drop)).map_err(line)?;
    for (name, value) in &others {
        if ![ADD, REMOVE].contains(&name.as_str()) {
            return Err(unknown(name));
        }
        let added = value.split_once('@').and_then(|(address, uid)| Some((address.parse().ok()?, uid)));
        let Some((address, uid)) = added else {
            return Err(format!("{name} {}: give ADDRESS@UID, such as 10.77.0.9@pod-uid-1", Quoted::new(value)));
        };
        if name == ADD {
            host.set(address, uid).map_err(line)?;
        } else {
            host.unset(address, uid);
        }
    }
    Ok(host)
}

type Named = Vec<(String, String)>;

/// Reads the variables; returns what else is given.
fn node(words: Vec<String>) -> Result<(AmbientNode, Named), Complaint> {
    let mut given: Named = Vec::new();
    for word in words {
        match (word.split_once('='), given.last_mut()) {
            (Some((name, value)), _) => given.push((name.to_owned(), value.to_owned())),
            // The rest of a value with blanks, such as `virt0, virt1`.
            (None, Some((name, value))) if name.contains('/') => *value = format!("{value} {word}"),
            (None, _) => return Err(format!("{}: give NAME=VALUE", Quoted::new(&word))),
        }
    }
    let is_variable = |(name, _): &(String, String)| VARIABLES.iter().any(|(known, _)| known == name);
    let (variables, others) = given.into_iter().partition::<Named, _>(is_variable);
    Ok((AmbientNode::from_vars(variables).map_err(line)?, others))
}

fn unknown(name: &str) -> Complaint {
    format!("{}: no variable of Istio's agent and no annotation; correct it or leave it out", Quoted::new(name))
}

fn line(cause: nftmesh::Error) -> Complaint {
    cause.to_string()
}

const ADD: &str = "set-add";
const REMOVE: &str = "set-remove";
