//! Drop-in for `kumactl install transparent-proxy`: the same flags, variables and configuration
//! files; one transaction instead of 30 programs.
//!
//! ```text
//! kuma-init install transparent-proxy --redirect-dns --exclude-inbound-ports 22
//! kuma-init --dry-run ...         prints the rule set as nft text; changes nothing
//! kuma-init --plan ...            prints what would change; changes nothing
//! kuma-init --verify ...          the same as a check: exit 3 if anything would change
//! kuma-init --migrate ...         also removes the rules that kumactl left behind
//! kuma-init uninstall transparent-proxy   (or --remove) removes what it installed
//! ```
//! A leading `kumactl` is accepted too. Only differences are changed; a second run changes nothing.
//!
//! Exit codes: 0 done or in sync, 1 error, 3 not in sync (--plan, --verify).

mod common;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use common::init::{self, Given, Mode, SWITCHES};
use common::kuma;
use nftmesh::kernel::NetNs;
use nftmesh::mesh::istio::{parse_passwd, parse_resolv_conf};
use nftmesh::mesh::kuma::{FLAGS, KumaConfig, KumaFacts, KumaFlags, variable};

fn main() -> ExitCode {
    init::arguments().and_then(run).unwrap_or_else(|why| init::failed(PROGRAM, why))
}

fn run(mut arguments: Vec<String>) -> Result<ExitCode, String> {
    if arguments.iter().any(|argument| ["-h", "--help"].contains(&argument.as_str())) {
        return init::print(PROGRAM, &help());
    }
    let mut given = Given::take(&mut arguments)?;
    if !kuma::command(&mut arguments)? {
        given.mode = Mode::Remove;
    }
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let variables = variables.map(|(name, value)| match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(_) if name.starts_with("KUMA_") => Err(format!("{name}: not UTF-8; give plain text")),
        Err(_) => Ok((name, String::new())),
    });
    let flags = KumaFlags::parse(arguments, variables.collect::<Result<Vec<_>, _>>()?).map_err(init::line)?;
    let namespace = init::namespace(None)?;
    if given.mode == Mode::Remove {
        if flags.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        let any = KumaConfig::builder().build().map_err(init::line)?;
        return init::run(PROGRAM, &any, given, &namespace);
    }
    let flags = kuma::with_files(flags)?;
    if flags.dry_run && given.mode == Mode::Install {
        given.mode = Mode::Print;
    }
    let config = flags.resolve(&facts(&namespace)?).map_err(init::line)?;
    init::run(PROGRAM, &config, given, &namespace)
}

/// Reads what the original reads: users, addresses and nameservers.
fn facts(namespace: &NetNs) -> Result<KumaFacts, String> {
    let read = |path: &str| {
        let text = fs::read_to_string(Path::new(path));
        text.or_else(|why| if why.kind() == std::io::ErrorKind::NotFound { Ok(String::new()) } else { Err(why) })
            .map_err(|why| format!("{path}: {why}"))
    };
    let addresses = namespace.routes().and_then(|mut routes| routes.local_addresses()).map_err(init::line)?;
    // The passthrough address on lo does not make a pod one with IPv6.
    let addresses = addresses.into_iter().filter(|local| !local.is_loopback());
    Ok(KumaFacts {
        users: Some(parse_passwd(&read("/etc/passwd")?)),
        addresses: addresses.map(|local| local.address).collect(),
        nameservers: parse_resolv_conf(&read("/etc/resolv.conf")?).addresses,
    })
}

fn help() -> String {
    let mut text = "Installs the rules of Kuma's proxy in this pod, in one transaction\n\n".to_owned();
    for flag in FLAGS {
        text += &format!("  --{:<44}{}\n", flag.name, flag.help);
        text += &variable(flag.name).map(|variable| format!("{:48}[{variable}]\n", "")).unwrap_or_default();
    }
    SWITCHES.iter().for_each(|(name, what)| text += &format!("  --{name:<44}{what}\n"));
    text
}

const PROGRAM: &str = "kuma-init";
