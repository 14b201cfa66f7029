//! How `istio-init` runs, as opposed to what it installs: the flags of `istio-iptables` that do
//! not affect rules.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use nftmesh::Quoted;
use nftmesh::mesh::istio::{parse_boolean, parse_port};

use super::duration::duration;

/// How to run: what to do with the rules, where, and whether to validate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// What to do with the rules.
    pub mode: RunMode,
    /// Print what would be done and touch nothing.
    pub dry_run: bool,
    /// The pod's network namespace; `None` is the current one.
    pub network_namespace: Option<PathBuf>,
    /// Run on the node for a pod, as a CNI plugin does.
    pub cni_mode: bool,
    /// Check afterwards that capture works; `None` if not asked for.
    pub validation: Option<Validation>,
    /// Warnings about what was given without effect, one line each.
    pub warnings: Vec<String>,
}

/// What to do with the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// Install the rules of the configuration.
    Apply,
    /// Remove what was installed and install nothing (`--cleanup-only`).
    Cleanup,
    /// Leave the rules as they are (`--skip-rule-apply`).
    Skip,
}

/// How to check that capture works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validation {
    /// The port to connect to, never 0.
    pub probe_port: u16,
    /// How long to try, never 0.
    pub timeout: Duration,
}

/// A flag, and the variable that sets it if the flag is not given.
#[derive(Clone, Copy, Debug)]
pub struct RunFlag {
    pub name: &'static str,
    pub short: Option<char>,
    pub variable: &'static str,
    pub default: &'static str,
    pub is_switch: bool,
    pub help: &'static str,
}

/// All flags of this kind.
pub const RUN_FLAGS: &[&RunFlag] = &[
    &DRY_RUN,
    &SKIP_RULE_APPLY,
    &RUN_VALIDATION,
    &IPTABLES_PROBE_PORT,
    &PROBE_TIMEOUT,
    &RECONCILE,
    &FORCE_APPLY,
    &CLEANUP_ONLY,
    &NETWORK_NAMESPACE,
    &CNI_MODE,
    &NATIVE_NFTABLES,
    &FORCE_IPTABLES_BINARY,
    &IPTABLES_TRACE_LOGGING,
];

const DRY_RUN: RunFlag =
    RunFlag { short: Some('n'), ..switch("dry-run", "DRY_RUN", "print what would be done, touch nothing") };
const SKIP_RULE_APPLY: RunFlag =
    switch("skip-rule-apply", "SKIP_RULE_APPLY", "apply nothing; with --run-validation: only validate");
const RUN_VALIDATION: RunFlag = switch("run-validation", "RUN_VALIDATION", "check that capture works; exit 126 if not");
const IPTABLES_PROBE_PORT: RunFlag =
    value("iptables-probe-port", "IPTABLES_PROBE_PORT", "15002", "port that validation connects to");
const PROBE_TIMEOUT: RunFlag =
    value("probe-timeout", "PROBE_TIMEOUT", "5s", "how long validation may take, such as 5s or 1m30s");
const RECONCILE: RunFlag = switch("reconcile", "RECONCILE", "accepted: what differs is always replaced");
const FORCE_APPLY: RunFlag = switch("force-apply", "FORCE_APPLY", "accepted: what differs is always replaced");
const CLEANUP_ONLY: RunFlag = switch("cleanup-only", "CLEANUP_ONLY", "remove what was installed, install nothing");
const NETWORK_NAMESPACE: RunFlag = value(
    "network-namespace",
    "NETWORK_NAMESPACE",
    "",
    "path of the pod's network namespace [default: the current one]",
);
const CNI_MODE: RunFlag = switch("cni-mode", "CNI_MODE", "run on the node for a pod, as a CNI plugin does");
const NATIVE_NFTABLES: RunFlag =
    switch("native-nftables", "NATIVE_NFTABLES", "accepted, without effect: there is one backend");
const FORCE_IPTABLES_BINARY: RunFlag =
    value("force-iptables-binary", "FORCE_IPTABLES_BINARY", "", "accepted, without effect: no binary is run");
const IPTABLES_TRACE_LOGGING: RunFlag =
    switch("iptables-trace-logging", "IPTABLES_TRACE_LOGGING", "accepted, without effect: nothing is logged");

const fn switch(name: &'static str, variable: &'static str, help: &'static str) -> RunFlag {
    RunFlag { name, short: None, variable, default: "false", is_switch: true, help }
}

const fn value(name: &'static str, variable: &'static str, default: &'static str, help: &'static str) -> RunFlag {
    RunFlag { name, short: None, variable, default, is_switch: false, help }
}

impl RunOptions {
    /// Reads the flags, and the environment of this process for those that were not given.
    ///
    /// # Errors
    ///
    /// A value is not acceptable, or two flags exclude each other; the message is one line and
    /// names the flag or the variable.
    pub fn resolve(matches: &ArgMatches) -> Result<Self, String> {
        RunOptions::with_environment(matches, |name| env::var_os(name))
    }

    /// Reads the flags, and this environment.
    pub fn with_environment(matches: &ArgMatches, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let given = |flag: &RunFlag| Given::of(flag, matches, &variable);
        let is_on = |flag: &RunFlag| given(flag)?.parse(parse_boolean);
        let mode = match (is_on(&CLEANUP_ONLY)?, is_on(&SKIP_RULE_APPLY)?) {
            (false, false) => RunMode::Apply,
            (true, false) => RunMode::Cleanup,
            (false, true) => RunMode::Skip,
            (true, true) => {
                let (one, other) = (given(&CLEANUP_ONLY)?.name, given(&SKIP_RULE_APPLY)?.name);
                return Err(format!("{one} and {other} are both given: they exclude each other; drop one of them"));
            }
        };
        let probe_port = given(&IPTABLES_PROBE_PORT)?.parse(parse_port)?;
        let timeout = given(&PROBE_TIMEOUT)?.read(timeout)?;
        let validation = is_on(&RUN_VALIDATION)?.then_some(Validation { probe_port, timeout });
        // Accepted without effect, but a value that is not a boolean is still an error.
        is_on(&RECONCILE)?;
        is_on(&FORCE_APPLY)?;
        let mut warnings = Vec::new();
        for (flag, is_given, reason) in [
            (&NATIVE_NFTABLES, is_on(&NATIVE_NFTABLES)?, "there is one backend"),
            (&IPTABLES_TRACE_LOGGING, is_on(&IPTABLES_TRACE_LOGGING)?, "nothing is logged"),
            (&FORCE_IPTABLES_BINARY, !given(&FORCE_IPTABLES_BINARY)?.value.is_empty(), "no binary is run"),
        ] {
            if is_given {
                warnings.push(format!("{}: no effect, {reason}", given(flag)?.name));
            }
        }
        let network_namespace = given(&NETWORK_NAMESPACE)?.read(path)?;
        let cni_mode = is_on(&CNI_MODE)?;
        if cni_mode && network_namespace.is_none() {
            // Without one, the program would change the node.
            let name = given(&CNI_MODE)?.name;
            let remedy = "give the path of the pod's (--network-namespace)";
            return Err(format!("{name}: no network namespace is given; {remedy}"));
        }
        Ok(RunOptions { mode, dry_run: is_on(&DRY_RUN)?, network_namespace, cni_mode, validation, warnings })
    }
}

/// The given value, and the name that gave it.
struct Given {
    name: String,
    value: String,
}

impl Given {
    fn of(flag: &RunFlag, matches: &ArgMatches, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        if let Some(value) = matches.get_one::<String>(flag.name) {
            return Ok(Given { name: format!("--{}", flag.name), value: value.clone() });
        }
        // A variable that is set and empty counts as not set.
        match variable(flag.variable).filter(|value| !value.is_empty()) {
            Some(value) => match value.into_string() {
                Ok(value) => Ok(Given { name: flag.variable.to_owned(), value }),
                Err(value) => {
                    let value = value.to_string_lossy();
                    Err(format!("{} {}: not UTF-8; give plain text", flag.variable, Quoted::new(&value)))
                }
            },
            None => Ok(Given { name: format!("--{}", flag.name), value: flag.default.to_owned() }),
        }
    }

    fn parse<T>(&self, parse: impl Fn(&str, &str) -> nftmesh::Result<T>) -> Result<T, String> {
        parse(&self.name, &self.value).map_err(|error| error.to_string())
    }

    fn read<T>(&self, parse: impl Fn(&str) -> Result<T, &'static str>) -> Result<T, String> {
        let Given { name, value } = self;
        parse(value).map_err(|why| format!("{name} {}: {why}", Quoted::new(value)))
    }
}

fn timeout(text: &str) -> Result<Duration, &'static str> {
    let duration = duration(text.trim()).ok_or("not a duration; give numbers with units such as 5s, 500ms or 1m30s")?;
    if duration.is_zero() {
        return Err("a timeout of 0 can't pass; give one such as 5s, 500ms or 1m30s");
    }
    Ok(duration)
}

fn path(text: &str) -> Result<Option<PathBuf>, &'static str> {
    match text {
        "" => Ok(None),
        _ if text.contains('\0') => Err("a path has no NUL byte; give the path of a network namespace"),
        _ => Ok(Some(PathBuf::from(text))),
    }
}
