//! Drop-in for `proxy-init` of Linkerd: the same flags; one transaction instead of 19 programs.
//!
//! ```text
//! linkerd-init -p 4143 -o 4140 -u 2102 --inbound-ports-to-ignore 4190,4191
//! linkerd-init --simulate ...     prints the rule set as nft text; changes nothing
//! linkerd-init --plan ...         prints what would change; changes nothing
//! linkerd-init --verify ...       the same as a check: exit 3 if anything would change
//! linkerd-init --migrate ...      also removes the rules that proxy-init left behind
//! linkerd-init --remove           removes what it installed; --netns PATH may go with it
//! ```
//! Only differences are changed; a second run changes nothing. With --netns the timeout for
//! CLOSE_WAIT is set in that namespace, where `proxy-init` sets it in its own.
//!
//! Exit codes: 0 done or in sync, 1 error, 3 not in sync (--plan, --verify).

mod common;

use std::process::ExitCode;

use common::init::{self, Given, Mode, SWITCHES};
use common::say;
use nftmesh::kernel::NetNs;
use nftmesh::mesh::linkerd::{FLAGS, LinkerdFlags};

fn main() -> ExitCode {
    init::arguments().and_then(run).unwrap_or_else(|why| init::failed(PROGRAM, why))
}

fn run(mut arguments: Vec<String>) -> Result<ExitCode, String> {
    if arguments.iter().any(|argument| ["-h", "--help"].contains(&argument.as_str())) {
        return init::print(PROGRAM, &help());
    }
    let mut given = Given::take(&mut arguments)?;
    if given.mode == Mode::Remove {
        // Nothing is captured, so no owner and no port is needed.
        arguments.extend(["-p", "4143", "-o", "4140", "-u", "2102"].map(str::to_owned));
    }
    let flags = LinkerdFlags::parse(arguments).map_err(init::line)?;
    if flags.json {
        say::as_json();
    }
    match given.mode {
        // There is no rule to print.
        Mode::Remove if flags.simulate => return Ok(ExitCode::SUCCESS),
        Mode::Install if flags.simulate => given.mode = Mode::Print,
        _ => {}
    }
    let namespace = init::namespace(flags.netns.as_deref())?;
    let done = init::run(PROGRAM, &flags.config, given, &namespace)?;
    if let (Mode::Install, Some(seconds)) = (given.mode, flags.close_wait_timeout) {
        set_close_wait(&namespace, seconds)?;
    }
    Ok(done)
}

fn set_close_wait(namespace: &NetNs, seconds: u32) -> Result<(), String> {
    let written = namespace.run(|| std::fs::write(CLOSE_WAIT, seconds.to_string())).map_err(init::line)?;
    written.map_err(|cause| format!("{CLOSE_WAIT}: {cause}; the rules are installed"))
}

fn help() -> String {
    let mut text = "Installs the rules of Linkerd's proxy in this pod, in one transaction\n\n".to_owned();
    for flag in FLAGS {
        let short = flag.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
        text += &format!("  {short}--{:<28}{}\n", flag.name, flag.help);
    }
    SWITCHES.iter().for_each(|(name, what)| text += &format!("      --{name:<28}{what}\n"));
    text
}

const PROGRAM: &str = "linkerd-init";
const CLOSE_WAIT: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait";
