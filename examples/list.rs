//! Prints the rule sets of this network namespace as `nft list ruleset` does; with `-a` also the
//! handles.

mod common;

use std::fs;
use std::io::{self, IsTerminal};

use nftmesh::Result;
use nftmesh::kernel::{Kernel, interfaces};
use nftmesh::state::Listing;

fn main() -> Result<()> {
    let snapshot = Kernel::open()?.snapshot()?;
    let owners = snapshot.tables.iter().filter_map(|table| table.owner);
    let mut listing = Listing::new(&snapshot).interfaces(interfaces()?).programs(owners.filter_map(program));
    if std::env::args().any(|argument| argument == "-a") {
        listing = listing.with_handles();
    }
    listing.warnings().for_each(|warning| eprintln!("{warning}"));
    // The text is nft's byte for byte, also where a comment of somebody holds what a terminal would
    // obey.
    if io::stdout().is_terminal() {
        drop(common::print(&listing.to_string()));
    } else {
        print!("{listing}");
    }
    Ok(())
}

/// The program behind a port id, as long as it is the process id of its first socket.
fn program(port: u32) -> Option<(u32, String)> {
    let name = fs::read_to_string(format!("/proc/{port}/comm")).ok()?;
    Some((port, name.trim_end().to_owned()))
}
