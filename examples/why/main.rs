//! Answers why a connection goes to the proxy of a mesh, or why it does not.
//!
//! ```text
//! why --pid 4711 'tcp 10.77.0.2:* -> 10.96.0.10:443 uid 1000'
//! why --netns /var/run/netns/pod-1 --in eth0 'tcp 10.77.0.9:* -> 10.77.0.2:9000'
//! why --netns /var/run/netns/pod-1 --live 'tcp 10.77.0.2:* -> 10.96.0.10:443 uid 1000'
//! why --picture way.svg --report bug.html 'udp 10.77.0.2:* -> 10.96.0.10:53 uid 1000'
//! why
//! ```
//! Without a packet it lists whose chains there are, in the order in which they run. Nothing is
//! sent. Exit codes: 0 captured, or nothing was asked; 1 bad input; 2 cannot tell; 3 not captured;
//! 4 the trace differs from the walk, or no such packet came.

mod answer;
#[path = "../common/mod.rs"]
mod common;
mod html;
mod live;
mod namespace;
mod owner;
mod picture;

use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use answer::{Answer, Outcome};
use clap::Parser;
use common::source::Complaint;
use namespace::{Asked, Namespace};
use nftmesh::Escaped;

/// Says whether a connection is captured, by which rule, and what would have to change
#[derive(Parser)]
#[command(name = "why", after_help = MORE_HELP)]
struct Args {
    /// For example 'tcp 10.77.0.2:* -> 10.96.0.10:443 uid 1000'
    #[arg(value_name = "PACKET")]
    packet: Option<Asked>,
    /// The network namespace of this process
    #[arg(long, value_name = "N", conflicts_with = "netns")]
    pid: Option<u32>,
    /// This network namespace; the current one if neither is given
    #[arg(long, value_name = "PATH")]
    netns: Option<PathBuf>,
    /// The input interface; without it, the namespace sends the packet
    #[arg(long = "in", value_name = "IFNAME", requires = "packet")]
    incoming: Option<String>,
    /// Waits for such a connection, and compares what the kernel does with it
    #[arg(long, requires = "packet")]
    live: bool,
    /// With --live, waits this long
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Draws the hooks, chains, rules and the packet's way
    #[arg(long, value_name = "FILE.svg")]
    picture: Option<PathBuf>,
    /// Writes all of it into one page, for a bug report
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match Args::try_parse() {
        Ok(args) => run(args),
        Err(help) if !help.use_stderr() => {
            common::print(&help.to_string()).map(|()| ExitCode::SUCCESS).map_err(|why| why.to_string())
        }
        Err(error) => Err(format!("{}; --help lists all options", common::first_line(&error))),
    };
    outcome.unwrap_or_else(|why| {
        common::complain("why", why);
        ExitCode::FAILURE
    })
}

fn run(args: Args) -> Result<ExitCode, Complaint> {
    let path = match (args.pid, args.netns) {
        (Some(pid), _) => Some(format!("/proc/{pid}/ns/net").into()),
        (None, path) => path,
    };
    let namespace = Namespace::read(path)?;
    namespace.warnings.iter().for_each(|warning| common::complain("why", warning));
    let mut text = String::new();
    let mut code = ExitCode::SUCCESS;
    let walk = match &args.packet {
        None => None,
        Some(asked) => {
            let walk = namespace.walk(&asked.packet, args.incoming.as_deref())?;
            let answer = Answer::new(&walk, &namespace);
            code = ExitCode::from(match answer.outcome {
                Outcome::Captured { .. } => 0,
                Outcome::CannotTell(_) => CANNOT_TELL,
                Outcome::NotCaptured => NOT_CAPTURED,
            });
            text.push_str(&answer.to_string());
            text.push_str(&asked.remark(&walk));
            Some(walk)
        }
    };
    let order = namespace.order();
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&order);
    common::print(&text).map_err(failed)?;

    let picture = picture::draw(&namespace, walk.as_ref());
    if let Some(path) = &args.picture {
        write(path, &picture)?;
    }
    let mut seen = None;
    if let (true, Some(asked)) = (args.live, &args.packet) {
        let found = live::watch(&namespace, asked, args.incoming.as_deref(), args.seconds)?;
        common::print(&format!("\n{}", found.text)).map_err(failed)?;
        if !found.agrees {
            code = ExitCode::from(DIFFERS);
        }
        seen = Some(found.text);
    }
    if let Some(path) = &args.report {
        write(path, &html::page(&namespace, &text, walk.as_ref(), seen.as_deref(), &picture))?;
    }
    Ok(code)
}

fn write(path: &PathBuf, text: &str) -> Result<(), Complaint> {
    fs::write(path, text).map_err(|why| format!("{}: {why}; give a file that can be written", Escaped::new(path)))
}

fn failed(why: io::Error) -> Complaint {
    why.to_string()
}

const CANNOT_TELL: u8 = 2;
const NOT_CAPTURED: u8 = 3;
const DIFFERS: u8 = 4;
const MORE_HELP: &str = "\
A packet is PROTOCOL SOURCE -> DESTINATION, with ports where the protocol has them, as for walk; the
port of the source may be *. Then any of: uid N gid N, mark N, flags LIST, type WORD, code N.
Exit codes: 0 captured, 1 bad input, 2 cannot tell, 3 not captured, 4 the kernel did something else,
or no such packet came.";
