//! Keeps a table as it is wanted, in a program that runs on tokio: every commit of others is an
//! event, and what differs afterwards is put back.
//!
//! A `Watch` never blocks where its descriptor says that something is there, so it waits in
//! `AsyncFd`. A `Kernel` blocks for as long as the kernel works; it lives in one task, and goes to
//! a thread that may block for every call. `unshare -rn target/debug/examples/heal`, until Ctrl-C.

use nftmesh::kernel::Watch;
use nftmesh::prelude::*;
use nftmesh::state::Event;
use tokio::io::unix::AsyncFd;
use tokio::signal;
use tokio::task::spawn_blocking;

fn wanted() -> Ruleset {
    let input = Chain::base("input", ChainType::Filter, Hook::Input, Priority::FILTER)
        .rule(Rule::new().ct_state(CtState::ESTABLISHED | CtState::RELATED).accept())
        .rule(Rule::new().tcp_dport((23, 2323)).counter().drop());
    Ruleset::new().table(Table::new(Family::Inet, "guarded").chain(input))
}

/// Waits until somebody has committed something, or so much that events were lost.
async fn commit_of_others(watch: &mut AsyncFd<Watch>) -> Result<(), Box<dyn std::error::Error>> {
    loop {
        let mut ready = watch.readable_mut().await?;
        while let Some(event) = ready.get_inner_mut().try_next()? {
            if let Event::Committed(_) | Event::Overflow = event {
                println!("seen: {event}");
                return Ok(());
            }
        }
        ready.clear_ready();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let namespace = NetNs::current()?;
    let mut kernel = namespace.kernel()?;
    let mut watch = namespace.watch()?;
    watch.leave_out(&kernel)?; // its own commits are left out
    let mut watch = AsyncFd::new(watch)?;
    loop {
        let applied;
        (kernel, applied) = spawn_blocking(move || {
            let applied = kernel.apply(&wanted());
            (kernel, applied)
        })
        .await?;
        match applied? {
            applied if applied.was_in_sync() => println!("in sync"),
            applied => print!("healed:\n{}", applied.transaction),
        }
        tokio::select! {
            outcome = commit_of_others(&mut watch) => outcome?,
            outcome = signal::ctrl_c() => return Ok(outcome?),
        }
    }
}
