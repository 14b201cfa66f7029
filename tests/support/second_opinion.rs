//! Compares our listing of a live rule set with nft's: the same, unknown in parts in a form that
//! nft refuses, or wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::process::Stdio;

use nftmesh::kernel::{Kernel, interfaces};
use nftmesh::state::{Listing, Snapshot};

use super::{command, in_fresh_netns, ip, nft, nft_lists, nft_takes, say, timeless};

/// Counts of tables by the result of the comparison.
#[derive(Debug, Default)]
pub struct Score {
    pub identical: usize,
    pub opaque: usize,
    pub unclear: usize,
    pub wrong: Vec<String>,
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Score { identical, opaque, unclear, wrong } = self;
        write!(
            f,
            "{identical} listed as nft lists them, {opaque} with unknown parts, {unclear} that nft lists as something else, "
        )?;
        write!(f, "{} WRONG", wrong.len())
    }
}

impl Score {
    /// Prints the score, and fails when a table is listed wrong.
    #[track_caller]
    pub fn conclude(self, what: &str) {
        say(format_args!("{what}: {self}"));
        assert!(self.wrong.is_empty(), "{what}: {self}\n{}", self.wrong.join("\n"));
    }

    /// Lists every table in this thread's network namespace, compares it with nft's listing, and
    /// empties the namespace.
    #[track_caller]
    pub fn add_live(&mut self, what: impl Fn(&str) -> String) -> Snapshot {
        let (snapshot, ours) = our_listing();
        let theirs = timeless(&nft_lists().expect("nft lists"));
        // nft reads the whole rule set at every call.
        nft("flush ruleset");
        let mut ours_by_table = tables(&ours);
        for (header, theirs) in tables(&theirs) {
            let ours = ours_by_table.remove(header).unwrap_or_default();
            self.add(&theirs, &ours, || what(header));
        }
        self.wrong.extend(ours_by_table.into_values().map(|ours| format!("nft lists no such table\n{ours}")));
        snapshot
    }

    fn add(&mut self, theirs: &str, ours: &str, what: impl Fn() -> String) {
        if theirs == ours {
            self.identical += 1;
            return;
        }
        let wrong = if !ours.contains(UNKNOWN) {
            Some("differs and says nothing of it")
        } else if !agrees(theirs, ours) {
            Some("differs beside what is unknown")
        } else if nft_reads(ours) {
            Some("nft reads around what is unknown")
        } else {
            None
        };
        match wrong {
            None => self.opaque += 1,
            // nft's listing is not evidence where it means something else than what was loaded.
            Some(_) if nft_lists_wrong(theirs, ours) => self.unclear += 1,
            Some(wrong) => self.wrong.push(format!("{}: {wrong}\n{}", what(), difference(theirs, ours))),
        }
    }
}

/// Beginning of a part without a name.
const UNKNOWN: &str = "<unknown";

/// Returns the tables of a listing by their first line.
fn tables(listing: &str) -> BTreeMap<&str, String> {
    let mut tables: BTreeMap<&str, String> = BTreeMap::new();
    let mut header = "";
    for line in listing.lines() {
        if line.starts_with("table ") {
            header = line;
        }
        let text = tables.entry(header).or_default();
        text.push_str(line);
        text.push('\n');
    }
    tables
}

/// Returns the lines that differ.
fn difference(theirs: &str, ours: &str) -> String {
    let (mut left, right): (Vec<&str>, Vec<&str>) = (theirs.lines().collect(), ours.lines().collect());
    let mut added = Vec::new();
    for line in right {
        match left.iter().position(|other| *other == line) {
            Some(at) => drop(left.remove(at)),
            None => added.push(line),
        }
    }
    let lines = |sign: char, lines: &[&str]| lines.iter().map(|line| format!("  {sign}{line}\n")).collect::<String>();
    lines('-', &left) + &lines('+', &added)
}

/// Returns whether our listing equals theirs except for unknown parts: the blocks are the same, and
/// every line of ours equals theirs, with something else in place of the unknown part.
fn agrees(theirs: &str, ours: &str) -> bool {
    let (theirs, ours) = (blocks(theirs), blocks(ours));
    let same = |theirs: &[&str], ours: &[&str]| {
        // A set or an object may be unknown as a whole.
        let all = ours.iter().any(|line| line.starts_with("\t\t<unknown ")) && ours.len() == 3;
        let lines = ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| line(theirs, ours));
        lines || all && !theirs.first().is_some_and(|line| line.starts_with("\tchain"))
    };
    theirs.keys().eq(ours.keys()) && theirs.values().zip(ours.values()).all(|(theirs, ours)| same(theirs, ours))
}

/// Returns the lines of every chain, set and object of a table, by their first line.
fn blocks(table: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut blocks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut name = "";
    for line in table.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('\t') && !line.starts_with("\t\t") && line.ends_with('{') {
            name = line;
        }
        blocks.entry(name).or_default().push(line);
    }
    blocks
}

/// Returns whether the known parts of our line occur in theirs, in that order. Ours may have a
/// check of the protocol for the unknown part, which nft omits; and nft names a port after the
/// protocol.
fn line(theirs: &str, ours: &str) -> bool {
    if theirs == ours {
        return true;
    }
    let mut rest = plain(theirs);
    let mut first = true;
    let mut parts = ours.split(UNKNOWN);
    ours.contains(UNKNOWN)
        && parts.all(|part| {
            let first = std::mem::take(&mut first);
            let known = plain(if first { part } else { part.split_once('>').map_or("", |(_, known)| known) });
            let Some((_, after)) = rest.split_once(known.as_str()) else { return false };
            rest = after.to_owned();
            true
        })
}

fn plain(text: &str) -> String {
    let mut words: Vec<&str> = text.trim().split(' ').collect();
    for word in &mut words {
        *word = if ["tcp", "udp", "dccp", "sctp", "udplite"].contains(word) { "th" } else { word };
    }
    const CHECKS: [[&str; 2]; 9] = [
        ["ether", "type"],
        ["meta", "iiftype"],
        ["vlan", "type"],
        ["meta", "l4proto"],
        ["meta", "nfproto"],
        ["ip", "protocol"],
        ["meta", "protocol"],
        ["icmp", "type"],
        ["icmpv6", "type"],
    ];
    for check in CHECKS {
        while let Some(at) = words.windows(2).position(|two| two == check) {
            words.drain(at..(at + 3).min(words.len()));
        }
    }
    words.join(" ")
}

/// Returns whether nft accepts this text.
fn nft_reads(text: &str) -> bool {
    let mut command = command("nft");
    command.args(["-c", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("nft runs");
    let mut input = child.stdin.take().expect("stdin is a pipe");
    drop(input.write_all(text.as_bytes()));
    drop(input);
    child.wait().expect("a child that was started can be waited for").success()
}

/// Returns whether nft cannot read its own listing, or reads it as something else, which we would
/// list differently.
fn nft_lists_wrong(theirs: &str, ours: &str) -> bool {
    let mut wrong = true;
    in_fresh_netns(|| {
        ip("link add eth0 type ifb");
        wrong = nft_takes(theirs).is_err() || our_listing().1 != ours;
    });
    wrong
}

fn our_listing() -> (Snapshot, String) {
    let snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
    let listing = Listing::new(&snapshot).interfaces(interfaces().expect("a netlink socket"));
    let text = timeless(&listing.to_string());
    (snapshot, text)
}
