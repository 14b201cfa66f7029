//! Drop-in for `proxy-init` of Linkerd: the same flags; one transaction instead of 19 programs.
//!
//! ```text
//! linkerd-init -p 4143 -o 4140 -u 2102 --inbound-ports-to-ignore 4190,4191
//! linkerd-init --simulate ...     prints the rule set as nft text; changes nothing
//! linkerd-init --plan ...         prints what would change; changes nothing
//! linkerd-init --verify ...       the same as a check: exit 3 if anything would change
//! linkerd-init --remove           removes what it installed; --netns PATH may go with it
//! ```
//! Only differences are changed; a second run changes nothing. With --netns the timeout for
//! CLOSE_WAIT is set in that namespace, where `proxy-init` sets it in its own.
//!
//! Exit codes: 0 done or in sync, 1 error, 3 not in sync (--plan, --verify).

mod common;

use std::process::ExitCode;

use common::say;
use nftmesh::kernel::{Kernel, NetNs};
use nftmesh::mesh::linkerd::{FLAGS, LinkerdFlags, tables};
use nftmesh::model::Ruleset;
use nftmesh::pod::precedents;

fn main() -> ExitCode {
    let mut arguments = Vec::new();
    for argument in std::env::args_os().skip(1) {
        match argument.into_string() {
            Ok(argument) => arguments.push(argument),
            Err(_) => return failed("an argument is not UTF-8; give plain text"),
        }
    }
    if arguments.iter().any(|argument| ["-h", "--help"].contains(&argument.as_str())) {
        return print(&help());
    }
    run(arguments).unwrap_or_else(failed)
}

fn failed(why: impl std::fmt::Display) -> ExitCode {
    say::complain(PROGRAM, why);
    ExitCode::FAILURE
}

fn run(mut arguments: Vec<String>) -> Result<ExitCode, String> {
    let mut own = |name: &str| {
        let before = arguments.len();
        arguments.retain(|argument| argument != name);
        arguments.len() < before
    };
    let (plan, verify, remove) = (own("--plan"), own("--verify"), own("--remove"));
    if remove {
        // Nothing is captured, so no owner and no port is needed.
        arguments.extend(["-p", "4143", "-o", "4140", "-u", "2102"].map(str::to_owned));
    }
    let flags = LinkerdFlags::parse(arguments).map_err(line)?;
    if flags.json {
        say::as_json();
    }
    flags.config.warnings().iter().for_each(|warning| say::warn(PROGRAM, warning));
    let wanted = Ruleset::from(&flags.config);
    if flags.simulate && !remove {
        return Ok(print(&wanted.to_string()));
    }
    let namespace = flags.netns.as_ref().map_or_else(NetNs::current, NetNs::from_path).map_err(line)?;
    let mut kernel = namespace.kernel().map_err(line)?;
    if remove {
        if !flags.simulate {
            kernel.remove(&tables()).map_err(line)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if plan || verify {
        let change = kernel.plan_owned(&wanted, &tables()).map_err(line)?;
        let text = change.to_string();
        report(&mut kernel, &wanted)?;
        if plan {
            print(&text);
        } else if !change.is_empty() {
            say::complain(PROGRAM, "not in sync:");
            say::complain_of(PROGRAM, &text);
        }
        return Ok(if change.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(NOT_IN_SYNC) });
    }
    kernel.apply_owned(&wanted, &tables()).map_err(line)?;
    if let Some(seconds) = flags.close_wait_timeout {
        let written = namespace.run(|| std::fs::write(CLOSE_WAIT, seconds.to_string())).map_err(line)?;
        written.map_err(|cause| format!("{CLOSE_WAIT}: {cause}; the rules are installed"))?;
    }
    report(&mut kernel, &wanted)?;
    Ok(ExitCode::SUCCESS)
}

/// Warns of rules of others that come before ours, and of those that `proxy-init` left.
fn report(kernel: &mut Kernel, wanted: &Ruleset) -> Result<(), String> {
    let held = kernel.snapshot().map_err(line)?;
    precedents(&held, wanted, &tables()).iter().for_each(|precedent| say::warn(PROGRAM, precedent));
    for table in &held.tables {
        if table.chains.iter().any(|chain| chain.name.as_str().starts_with("PROXY_INIT_")) {
            let what = format!("table {} has chains of proxy-init (PROXY_INIT_*), which capture too", table.id);
            say::warn(PROGRAM, what);
        }
    }
    Ok(())
}

fn help() -> String {
    let mut text = "Installs the rules of Linkerd's proxy in this pod, in one transaction\n\n".to_owned();
    for flag in FLAGS {
        let short = flag.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
        text += &format!("  {short}--{:<28}{}\n", flag.name, flag.help);
    }
    for (name, what) in [
        ("plan", "print what would change and change nothing; exit 3 if anything would"),
        ("verify", "the same as a check: exit 3 if anything is not as wanted"),
        ("remove", "remove what this program installed"),
    ] {
        text += &format!("      --{name:<28}{what}\n");
    }
    text
}

fn print(text: &str) -> ExitCode {
    say::tell(PROGRAM, text).map_or_else(failed, |_| ExitCode::SUCCESS)
}

fn line(error: nftmesh::Error) -> String {
    error.to_string()
}

const PROGRAM: &str = "linkerd-init";
const NOT_IN_SYNC: u8 = 3;
const CLOSE_WAIT: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait";
