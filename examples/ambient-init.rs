//! Installs the rules of Istio's ambient mode by hand: in a pod, or with --host on the node.
//!
//! ```text
//! ambient-init AMBIENT_DNS_CAPTURE=true AMBIENT_IPV6=true ambient.istio.io/dns-capture=false
//! ambient-init --host set-add=10.77.0.9@pod-uid-1    adds a pod; those that are there stay
//! ambient-init --host set-remove=10.77.0.9@pod-uid-1
//! ambient-init --print ...      prints the rule set as nft text; changes nothing
//! ambient-init --plan ...       prints what would change; changes nothing
//! ambient-init --verify ...     the same as a check: exit 3 if anything would change
//! ambient-init --migrate ...    also removes the rules that Istio's agent left behind
//! ambient-init --remove         removes what it installed
//! ```
//! Variables of Istio's agent are read from the environment too; an argument wins. Only differences
//! are changed; a second run changes nothing. --netns PATH names another network namespace than the
//! current one.
//!
//! Exit codes: 0 done or in sync, 1 error, 3 not in sync (--plan, --verify).

mod common;

use std::env::VarError;
use std::path::PathBuf;
use std::process::ExitCode;

use common::ambient;
use common::init::{self, Given, Mode, SWITCHES};
use nftmesh::mesh::Mesh;
use nftmesh::mesh::ambient::{ANNOTATIONS, AmbientHost, VARIABLES, host_tables};

fn main() -> ExitCode {
    init::arguments().and_then(run).unwrap_or_else(|why| init::failed(PROGRAM, why))
}

fn run(mut arguments: Vec<String>) -> Result<ExitCode, String> {
    if arguments.iter().any(|argument| ["-h", "--help"].contains(&argument.as_str())) {
        return init::print(PROGRAM, &help());
    }
    let netns = netns(&mut arguments)?;
    let mut given = Given::take(&mut arguments)?;
    let mut own = |name: &str| {
        let before = arguments.len();
        arguments.retain(|argument| argument != name);
        arguments.len() < before
    };
    if own("--print") {
        given.mode = Mode::Print;
    }
    let on_node = own("--host");
    if let Some(unknown) = arguments.iter().find(|argument| argument.starts_with('-')) {
        return Err(format!("{}: there is no such switch; --help lists all", nftmesh::Quoted::new(unknown)));
    }
    let words = words(arguments)?;
    let namespace = init::namespace(netns.as_deref())?;
    if !on_node {
        return init::run(PROGRAM, &ambient::pod(words)?, given, &namespace);
    }
    let held = match given.mode {
        Mode::Print | Mode::Remove => AmbientHost::default(),
        Mode::Install | Mode::Plan | Mode::Verify => {
            let mut kernel = namespace.kernel().map_err(init::line)?;
            let held = kernel.snapshot_of(&host_tables()).map_err(init::line)?;
            let mut known = AmbientHost::default();
            known.adopt(&held.raise().ruleset);
            known
        }
    };
    let host = ambient::host_with(words, &held)?;
    let mesh: &dyn Mesh = &host;
    init::run(PROGRAM, mesh, given, &namespace)
}

/// Takes the namespace out of the arguments.
fn netns(arguments: &mut Vec<String>) -> Result<Option<PathBuf>, String> {
    let mut path = None;
    while let Some(at) = arguments.iter().position(|word| word == "--netns" || word.starts_with("--netns=")) {
        let word = arguments.remove(at);
        path = match word.strip_prefix("--netns=") {
            Some(path) => Some(PathBuf::from(path)),
            None if at < arguments.len() => Some(PathBuf::from(arguments.remove(at))),
            None => return Err("--netns: its value is missing; give the path of a network namespace".to_owned()),
        };
    }
    Ok(path)
}

/// Returns the variables of the environment, then the arguments: of two values the last counts.
fn words(arguments: Vec<String>) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for (name, _) in VARIABLES {
        match std::env::var(name) {
            Ok(value) => words.push(format!("{name}={value}")),
            Err(VarError::NotPresent) => {}
            Err(VarError::NotUnicode(_)) => return Err(format!("{name}: not UTF-8; give plain text")),
        }
    }
    words.extend(arguments);
    Ok(words)
}

fn help() -> String {
    let mut text = "Installs the rules of Istio's ambient mode in this pod, in one transaction\n\n".to_owned();
    text += "  ambient-init [--netns PATH] [SWITCH...] [NAME=VALUE...]\n\nSwitches:\n";
    let more = [
        ("host", "the rules of the node, with set-add=ADDRESS@UID and set-remove=ADDRESS@UID for its pods"),
        ("print", "print the rules and routes and change nothing"),
    ];
    more.iter().chain(SWITCHES).for_each(|(name, what)| text += &format!("  --{name:<12}{what}\n"));
    text += "\nVariables, also from the environment:\n";
    VARIABLES.iter().for_each(|(name, what)| text += &format!("  {name:<40}{what}\n"));
    text += "\nAnnotations of the pod:\n";
    ANNOTATIONS.iter().for_each(|(name, what)| text += &format!("  {name:<40}{what}\n"));
    text
}

const PROGRAM: &str = "ambient-init";
