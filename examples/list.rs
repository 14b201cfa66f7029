//! Prints the rule sets of this network namespace as `nft list ruleset` does, and the handles with
//! `-a`.

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
    // The text is nft's byte for byte, even where a foreign comment contains control characters of
    // a terminal.
    if io::stdout().is_terminal() {
        drop(common::print(&listing.to_string()));
    } else {
        print!("{listing}");
    }
    Ok(())
}

/// Returns the program of a port id, if that is the process id of its first socket.
fn program(port: u32) -> Option<(u32, String)> {
    let name = fs::read_to_string(format!("/proc/{port}/comm")).ok()?;
    Some((port, name.trim_end().to_owned()))
}
