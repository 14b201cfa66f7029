//! How `istio-init` runs, as opposed to what it installs: the options of a drop-in that no rule
//! depends on.

use std::path::PathBuf;
use std::time::Duration;

use super::error::{Invalid, Problem};
use super::options::{OptionSpec, RawOptions};
use super::warning::Warning;
use super::{option_table as table, parse};
use crate::Result;

/// How to run: what to do with the rules, where, and whether to validate.
///
/// ```
/// use nftmesh::mesh::istio::{RawOptions, RunMode, RunOptions};
///
/// let mut options = RawOptions::default();
/// options.set_flag("--dry-run", "true")?;
/// options.set_flag("--network-namespace", "/var/run/netns/pod-1")?;
/// let run = RunOptions::resolve(&options)?;
/// assert_eq!(run.mode, RunMode::Apply);
/// assert!(run.dry_run && run.validation.is_none());
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunOptions {
    /// What to do with the rules.
    pub mode: RunMode,
    /// Print what would be done and touch nothing.
    pub dry_run: bool,
    /// Replace what is installed if it differs (`--reconcile`).
    pub reconcile: bool,
    /// Apply even if it is installed already (`--force-apply`).
    pub force_apply: bool,
    /// The pod's network namespace; `None` is the current one.
    pub network_namespace: Option<PathBuf>,
    /// Run on the node for a pod, as a CNI plugin does.
    pub cni_mode: bool,
    /// Check afterwards that capture works; `None` if not asked for.
    pub validation: Option<Validation>,
    pub(crate) warnings: Vec<Warning>,
}

/// What to do with the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunMode {
    /// Make the installed rules those of the configuration.
    Apply,
    /// Remove what was installed, install nothing (`--cleanup-only`).
    Cleanup,
    /// Leave the rules as they are (`--skip-rule-apply`).
    Skip,
}

/// How to check that capture works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Validation {
    /// The port to connect to, in host byte order, never 0.
    pub probe_port: u16,
    /// How long to try, never 0.
    pub timeout: Duration,
}

impl RunOptions {
    /// Checks what was given.
    ///
    /// # Errors
    ///
    /// A value is not acceptable, or two options exclude each other; one line that names the option
    /// as it was given.
    pub fn resolve(options: &RawOptions) -> Result<Self> {
        run_options(options).map_err(Into::into)
    }

    /// What was given and has no effect.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

fn run_options(options: &RawOptions) -> Result<RunOptions, Invalid> {
    let is_on = |spec: &'static OptionSpec| options.read(spec, parse::boolean);
    let mode = match (is_on(&table::CLEANUP_ONLY)?, is_on(&table::SKIP_RULE_APPLY)?) {
        (false, false) => RunMode::Apply,
        (true, false) => RunMode::Cleanup,
        (false, true) => RunMode::Skip,
        (true, true) => {
            let (one, other) = (options.name(&table::CLEANUP_ONLY), options.name(&table::SKIP_RULE_APPLY));
            return Err(Invalid::Both { one, other });
        }
    };
    let probe_port = options.read(&table::IPTABLES_PROBE_PORT, parse::port)?;
    let timeout = options.read(&table::PROBE_TIMEOUT, parse::timeout)?;
    let validation = is_on(&table::RUN_VALIDATION)?.then_some(Validation { probe_port, timeout });
    let mut warnings = Vec::new();
    if is_on(&table::NATIVE_NFTABLES)? {
        let option = options.name(&table::NATIVE_NFTABLES);
        warnings.push(Warning::NoEffect { option, reason: "there is one backend" });
    }
    if is_on(&table::IPTABLES_TRACE_LOGGING)? {
        let option = options.name(&table::IPTABLES_TRACE_LOGGING);
        warnings.push(Warning::NoEffect { option, reason: "nothing is logged" });
    }
    if !options.value(&table::FORCE_IPTABLES_BINARY).is_empty() {
        let option = options.name(&table::FORCE_IPTABLES_BINARY);
        warnings.push(Warning::NoEffect { option, reason: "no binary is run" });
    }
    let network_namespace = options.read(&table::NETWORK_NAMESPACE, parse::path)?;
    let cni_mode = is_on(&table::CNI_MODE)?;
    if cni_mode && network_namespace.is_none() {
        // Who runs on the node for a pod would change the node.
        let problem = Problem::new("no network namespace is given; give the path of the pod's (--network-namespace)");
        return Err(Invalid::Incomplete { name: options.name(&table::CNI_MODE), problem });
    }
    Ok(RunOptions {
        mode,
        dry_run: is_on(&table::DRY_RUN)?,
        reconcile: is_on(&table::RECONCILE)?,
        force_apply: is_on(&table::FORCE_APPLY)?,
        network_namespace,
        cni_mode,
        validation,
        warnings,
    })
}
