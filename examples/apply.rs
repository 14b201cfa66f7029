//! Makes the kernel hold what a file in nft's language says, without nft and without starting anew:
//! only what differs changes, so that counters, elements and connections stay.
//!
//! ```text
//! apply /etc/nftables.conf            # as nft -f, but only the difference
//! apply --plan /etc/nftables.conf     # prints the difference
//! apply --check -                     # reads standard input and lets the kernel check it
//! apply --netns /var/run/netns/pod-1 rules.nft
//! ```
//! The tables that the file names are made to be as the file says. Other tables stay, unless the
//! file flushes them: `flush ruleset`, `flush ruleset ip`.
//!
//! Exit codes: 0 done, or nothing to do; 1 an error, in few lines with the place in the file.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::system::System;
use nftmesh::kernel::{Kernel, NetNs};
use nftmesh::model::TableId;
use nftmesh::plan::Transaction;
use nftmesh::text::Wanted;

/// Makes the kernel hold what a file in nft's language says, changing only what differs
#[derive(Parser)]
#[command(name = "apply")]
struct Args {
    /// The file; - is standard input
    file: PathBuf,
    /// Changes nothing; the kernel checks the change
    #[arg(long)]
    check: bool,
    /// Changes nothing; prints what would change as commands of nft
    #[arg(long)]
    plan: bool,
    /// The network namespace, by path
    #[arg(long, value_name = "PATH")]
    netns: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(help) if !help.use_stderr() => {
            return done(common::print(&help.to_string()).map_err(|why| why.to_string()));
        }
        Err(error) => return done(Err(format!("{}; --help lists all options", common::first_line(&error)))),
    };
    done(run(&args))
}

fn run(Args { file, check, plan, netns }: &Args) -> Result<(), String> {
    let line = |error: nftmesh::Error| error.to_string();
    let namespace = match netns {
        Some(path) => NetNs::from_path(path),
        None => NetNs::current(),
    };
    let namespace = namespace.map_err(line)?;
    let mut kernel = namespace.kernel().map_err(line)?;
    let system = System::new(Some(namespace));
    let (name, text) = System::read(file)?;
    let wanted = system.reader(&name).wanted(&text).map_err(|error| error.to_string())?;
    let ours = tables(&mut kernel, &wanted).map_err(line)?;
    let wanted = wanted.ruleset;
    if *plan || *check {
        let change: Transaction = kernel.plan_owned(&wanted, &ours).map_err(line)?;
        if *check {
            kernel.check(&change).map_err(line)?;
        }
        return if *plan { common::print(&change.to_string()).map_err(|why| why.to_string()) } else { Ok(()) };
    }
    kernel.apply_owned(&wanted, &ours).map(drop).map_err(line)
}

/// Returns the tables that the file decides about: its own, and those that it flushes.
fn tables(kernel: &mut Kernel, wanted: &Wanted) -> nftmesh::Result<Vec<TableId>> {
    let mut tables = wanted.tables.clone();
    if !wanted.flushed.is_empty() {
        tables.extend(kernel.tables()?.into_iter().filter(|table| wanted.decides(table)));
    }
    Ok(tables.into_iter().collect())
}

fn done(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // The place of a fault in the text is a line of its own.
            why.lines().for_each(|line| common::complain("apply", line));
            ExitCode::FAILURE
        }
    }
}
