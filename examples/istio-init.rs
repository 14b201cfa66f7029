//! Drop-in for `istio-iptables`: the same flags, short forms and environment variables; one
//! transaction instead of up to 21 programs.
//!
//! ```text
//! istio-init -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020
//! istio-init --dry-run -b '*'    prints the rule set as nft text and the routes; changes nothing
//! istio-init --plan -b '*'       prints what would change: +, - and ~; changes nothing
//! istio-init --verify -b '*'     the same as a check: prints nothing when in sync
//! istio-init --migrate -b '*'    also removes the rules that istio-iptables left behind
//! istio-init --cleanup-only      removes everything that it ever installed
//! ```
//! Only differences are changed, with or without --reconcile and --force-apply; a second run
//! changes nothing. Exit codes: 0 done or in sync, 1 error, 3 not in sync (--plan, --verify), 126
//! the requested validation failed.

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgMatches;
use common::containers::{EXCLUDE, INCLUDE, limited};
use common::run::{RunMode, RunOptions, Validation};
use common::{Own, drop_in, say};
use nftmesh::Result;
use nftmesh::kernel::NetNs;
use nftmesh::mesh::Mesh;
use nftmesh::mesh::istio::{self, IstioConfig, PodFacts, RawOptions};
use nftmesh::pod::{Leftovers, Pod};
use nftmesh::proxy::CaptureProbe;

fn main() -> ExitCode {
    let about = "Installs the Istio sidecar's rules in this pod, in one transaction";
    let (options, matches) = match common::options(PROGRAM, about, OURS) {
        Ok(Some(given)) => given,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => return failed(error),
    };
    run(&options, &matches).unwrap_or_else(failed)
}

fn failed(why: impl std::fmt::Display) -> ExitCode {
    say::complain(PROGRAM, why);
    ExitCode::FAILURE
}

fn run(options: &RawOptions, matches: &ArgMatches) -> Result<ExitCode> {
    let run = match RunOptions::resolve(matches) {
        Ok(run) => run,
        Err(why) => return Ok(failed(why)),
    };
    run.warnings.iter().for_each(|warning| say::warn(PROGRAM, warning));
    let namespace = match drop_in::namespace(&run) {
        Ok(namespace) => namespace,
        Err(why) => return Ok(failed(why)),
    };
    let mut pod = namespace.as_ref().map_or_else(Pod::open, NetNs::pod)?;
    if run.mode == RunMode::Cleanup {
        return print(&if run.dry_run { removal() } else { pod.remove_tables(&istio::tables())?.to_string() });
    }

    if drop_in::captures_nothing(options) {
        return print("nothing is captured with interception mode NONE, and nothing was changed\n");
    }
    let host = pod.facts(options)?;
    let config = IstioConfig::resolve(options, &host)?;
    config.warnings().iter().for_each(|warning| say::warn(PROGRAM, warning));
    let given = |(name, _): (&str, &str)| matches.get_one::<String>(name).map(String::as_str);
    let mesh = match limited(Arc::new(config.clone()), given(EXCLUDE), given(INCLUDE)) {
        Ok(mesh) => mesh,
        Err(why) => return Ok(failed(why)),
    };
    let leftovers = if matches.get_flag(MIGRATE) { Leftovers::Remove } else { Leftovers::Keep };
    if matches.get_flag(PLAN) || matches.get_flag(VERIFY) {
        let plan = pod.plan(&*mesh, leftovers)?;
        if matches.get_flag(PLAN) {
            let remedy = "# --migrate removes what istio-iptables left behind\n";
            print(&format!("{plan}{}", if plan.leftovers.is_empty() { "" } else { remedy }))?;
        } else if !plan.is_in_sync() {
            say::complain(PROGRAM, "not in sync:");
            say::complain_of(PROGRAM, &plan.to_string());
        } else {
            plan.precedence.lines().for_each(|line| say::warn(PROGRAM, line));
        }
        return Ok(if plan.is_in_sync() { ExitCode::SUCCESS } else { ExitCode::from(NOT_IN_SYNC) });
    }
    if run.dry_run {
        return print(&plan(&*mesh));
    }
    if run.mode == RunMode::Apply {
        pod.legacy().iter().for_each(|advice| say::warn(PROGRAM, advice));
        let changes = pod.install_over(&*mesh, leftovers)?;
        print(&changes.to_string())?;
        changes.precedence.lines().for_each(|line| say::warn(PROGRAM, line));
    }
    let Some(validation) = run.validation else { return Ok(ExitCode::SUCCESS) };
    let probe = probe(&config, &host, validation);
    let verdict = match &namespace {
        Some(namespace) => namespace.run(|| probe.run())?,
        None => probe.run(),
    };
    Ok(match verdict {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failed(error);
            ExitCode::from(VALIDATION_FAILED)
        }
    })
}

/// Returns where the validation listens and connects; in an IPv6 pod it uses IPv6.
fn probe(config: &IstioConfig, host: &PodFacts, validation: Validation) -> CaptureProbe {
    let (from, to): (IpAddr, IpAddr) = match host.pod_address() {
        Some(IpAddr::V6(_)) => (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6).into()),
        Some(IpAddr::V4(_)) | None => (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, 0, 0, 6).into()),
    };
    let ports = [config.outbound_port, config.inbound_port];
    CaptureProbe::new(from, SocketAddr::new(to, validation.probe_port), ports).timeout(validation.timeout)
}

/// Returns the rule set as nft reads it; the routes are comments, so that the whole can be loaded.
fn plan(mesh: &dyn Mesh) -> String {
    let routes = mesh.routes().to_string();
    let routes: String = routes.lines().map(|line| format!("# {line}\n")).collect();
    format!("{}{routes}", mesh.rules())
}

fn removal() -> String {
    let commands: String =
        istio::tables().iter().map(|table| format!("add table {table}\ndelete table {table}\n")).collect();
    format!("{commands}# and the routes, policy rules and addresses that were added with the rules\n")
}

fn print(text: &str) -> Result<ExitCode> {
    Ok(say::tell(PROGRAM, text).map_or_else(failed, |_| ExitCode::SUCCESS))
}

/// Flags that `istio-iptables` does not have.
const OURS: Own = Own { switches: SWITCHES, values: &[EXCLUDE, INCLUDE] };

const SWITCHES: &[(&str, &str)] = &[
    (PLAN, "print what would change and touch nothing; exit 3 if anything would"),
    (VERIFY, "the same as a check: exit 3 if anything is not as wanted"),
    (MIGRATE, "also remove what istio-iptables left behind, in the same transaction"),
];

/// The exit code of `istio-iptables` in this case.
const VALIDATION_FAILED: u8 = 126;
const NOT_IN_SYNC: u8 = 3;
const PROGRAM: &str = "istio-init";
const PLAN: &str = "plan";
const VERIFY: &str = "verify";
const MIGRATE: &str = "migrate";
