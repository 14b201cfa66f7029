//! Keeps the rules of a mesh in every pod of a node in place, in one process.
//!
//! ```text
//! mesh-node --config /etc/mesh-node.conf --metrics 127.0.0.1:15090 --log_as_json
//! ```
//! Each line of the configuration is the beginning of a namespace's name or path with `*`, or a
//! whole one, and what belongs there; the first line that fits counts:
//!
//! ```text
//! cni-7f3a*            istio:-i '*' -b '*' -d 15090,15021,15020
//! /run/netns/gateway   none
//! linked-*             linkerd:-p 4143 -o 4140 -u 2102
//! *                    istio:ISTIO_DUAL_STACK=true -i '*' -b '*'
//! ```
//! Namespaces are those in /run/netns (`--directory`), those that a file lists (`--list`), and
//! those of all processes (`--processes`). Those that come and go are followed. The namespace in
//! which it runs is left alone, but for the rules of a node of ambient pods with `--host`. It runs
//! until SIGTERM or SIGINT, and leaves the rules installed. Exit codes: 0 stopped by a signal or
//! checked, 1 error.

#[path = "../common/mod.rs"]
mod common;
mod config;
mod discover;
#[path = "../common/drift.rs"]
mod drift;
mod host;
#[path = "../common/keeper.rs"]
mod keeper;
mod metrics;
mod node;
#[path = "../common/pace.rs"]
mod pace;
mod workers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use common::say;
use common::source::Complaint;
use config::Config;
use discover::Discovery;
use host::Host;
use metrics::Metrics;
use node::Node;

/// Keeps the rules of a mesh in every pod of a node in place
#[derive(Parser)]
#[command(name = "mesh-node", after_help = "Exit codes: 0 stopped by a signal or checked, 1 error.")]
struct Args {
    /// Which namespace has which rules, line by line: a name with or without *, and istio:WORDS,
    /// linkerd:WORDS, kuma:WORDS, ambient:WORDS or none
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Checks the configuration, and ends
    #[arg(long)]
    check: bool,
    /// A directory with network namespaces; /run/netns if none is given
    #[arg(long, value_name = "PATH")]
    directory: Vec<PathBuf>,
    /// A file with paths of network namespaces, one a line; it is read again when it changes
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Also the network namespaces of all processes, looked for every two seconds
    #[arg(long)]
    processes: bool,
    /// Serves /metrics and /healthz here
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    /// Until the proxy of a pod listens, but no longer than this, its outbound connections wait instead
    /// of being refused
    #[arg(long, value_name = "DURATION", value_parser = time)]
    hold: Option<Duration>,
    /// Also keeps, in the namespace in which it runs, the rules of a node of ambient pods, with the
    /// addresses of all ambient pods in their sets. Variables of Istio's agent may follow:
    /// 'AMBIENT_IPV6=true HOST_PROBE_SNAT_IP=169.254.7.127'
    #[arg(long, value_name = "ENV=VALUE...", num_args = 0..=1, default_missing_value = "")]
    host: Option<String>,
    /// Logs are JSON, one object a line
    #[arg(long = "log_as_json", alias = "log-as-json")]
    log_as_json: bool,
}

fn main() -> ExitCode {
    let outcome = match Args::try_parse() {
        Ok(args) => run(args),
        Err(help) if !help.use_stderr() => common::print(&help.to_string()).map_err(|why| why.to_string()),
        Err(error) => Err(format!("{}; --help lists all options", common::first_line(&error))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say::complain("mesh-node", why);
            ExitCode::FAILURE
        }
    }
}

fn time(text: &str) -> Result<Duration, Complaint> {
    common::duration::duration(text).ok_or_else(|| format!("{text:?} is no duration; give one such as 30s"))
}

fn run(args: Args) -> Result<(), Complaint> {
    if args.log_as_json {
        say::as_json();
    }
    let config = Config::read(&args.config)?;
    let host = args.host.as_deref().map(common::tenants::ambient_host).transpose()?;
    if args.check {
        let lines = config.lines();
        return common::print(&format!("{lines} lines, no errors\n")).map_err(|why| why.to_string());
    }
    let directories = if args.directory.is_empty() { vec!["/run/netns".into()] } else { args.directory };
    let discovery = Discovery::new(directories, args.list, args.processes)?;
    let metrics = Metrics::default();
    if let Some(address) = args.metrics {
        metrics::serve(&metrics, address)?;
    }
    let host = host.map(Host::new).transpose()?;
    Node::new(config, discovery, metrics, host, args.hold)?.run()
}
