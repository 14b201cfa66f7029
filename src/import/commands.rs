//! Lines that are commands to the chains of a table, and lines of iptables(8) itself, which name
//! their table with `-t`.
//!
//! iptables-restore(8) takes every command within a table; `iptables -S` prints commands without a
//! table; logs of programs that run iptables list one command after the other. A text starts from
//! empty built-in chains, so a command can only remove what the text itself added.

use super::error::{Fault, Shown};
use super::line::end_of;
use super::open::Open;
use super::words::Word;
use super::{ChainCounters, tables, value};
use crate::model::{Classic, IpFamily};

/// The kind of a command.
pub(super) enum Done {
    /// It changed chains, or gave the counters of a chain.
    Chains(Option<ChainCounters>),
    /// It is a rule, not a command.
    Rule,
}

/// Runs a command on chains.
pub(super) fn run(words: &[Word<'_>], end: usize, open: &mut Open) -> Result<Done, Fault> {
    let Some((first, rest)) = words.split_first().filter(|(first, _)| !first.quoted) else { return Ok(Done::Rule) };
    let counters = match (&*first.text, rest) {
        ("-N" | "--new-chain", [chain]) => {
            open.make(chain)?;
            None
        }
        ("-P" | "--policy", [chain, policy, counters @ ..]) => {
            let counters = match counters {
                [] => None,
                [option, packets, bytes] if matches!(&*option.text, "-c" | "--set-counters") => {
                    Some((value::count(packets.piece())?, value::count(bytes.piece())?))
                }
                [more, ..] => return Err(more.piece().wrong("only -c PACKETS BYTES may follow a policy")),
            };
            open.policy(chain, policy, counters)?
        }
        ("-F" | "--flush", []) => {
            open.flush();
            None
        }
        ("-F" | "--flush", [chain]) => {
            open.flush_chain(chain)?;
            None
        }
        ("-Z" | "--zero", [] | [_]) => None,
        ("-N" | "--new-chain" | "-F" | "--flush" | "-P" | "--policy", rest) => {
            let needs = if first.text.contains('P') || first.text.contains("policy") {
                "a built-in chain and ACCEPT or DROP"
            } else {
                "one chain"
            };
            let at = rest.get(1).map_or(end, |word| word.at);
            return Err(Fault::wrong(at, format!("command {} needs {needs}", first.text)));
        }
        ("-D" | "--delete" | "-R" | "--replace" | "-X" | "--delete-chain" | "-E" | "--rename-chain", _) => {
            let what = format!("command {} changes what an earlier line made; give the text that results", first.text);
            return Err(first.piece().wrong(what));
        }
        _ => return Ok(Done::Rule),
    };
    Ok(Done::Chains(counters))
}

/// Removes the program and the options that do not concern the rule from a line of iptables(8),
/// and returns its table: `filter` where none is named.
pub(super) fn take_table(words: &mut Vec<Word<'_>>, family: IpFamily) -> Result<Named, Fault> {
    if let Some(program) = words.first().and_then(|word| program(&word.text)) {
        if program != family {
            let (word, own) = words.first().map_or(("", 0), |word| (&*word.text, word.at));
            let what = format!("{} is for the other family; give its lines as a text of their own", Shown(word));
            return Err(Fault::wrong(own, what));
        }
        words.remove(0);
    }
    let mut named = Named::ByDefault;
    while let Some(index) = words.iter().position(|word| !word.quoted && is_general(&word.text)) {
        let option = words.remove(index);
        match &*option.text {
            "-t" | "--table" => {
                if words.len() <= index {
                    return Err(Fault::wrong(end_of(words, option.at), "option -t needs the name of a table"));
                }
                let table = words.remove(index);
                named = Named::Table(tables::find(table.piece())?);
            }
            // The number of seconds is optional.
            "-w" | "--wait" if words.get(index).is_some_and(|word| word.text.bytes().all(|b| b.is_ascii_digit())) => {
                words.remove(index);
            }
            _ => {}
        }
    }
    Ok(named)
}

/// The table of a line of iptables(8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// No table is named, which means `filter`.
    ByDefault,
    /// Named with `-t`.
    Table(Classic),
}

impl Named {
    pub(super) fn table(self) -> Classic {
        match self {
            Named::ByDefault => Classic::Filter,
            Named::Table(classic) => classic,
        }
    }
}

/// Returns whether a line outside a table is a command.
pub(super) fn is_command(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    first.starts_with('-') || program(first).is_some()
}

/// Returns the family of the program with this name or path.
fn program(word: &str) -> Option<IpFamily> {
    let name = word.rsplit('/').next().unwrap_or(word);
    let name = name.strip_suffix("-nft").or_else(|| name.strip_suffix("-legacy")).unwrap_or(name);
    match name {
        "iptables" => Some(IpFamily::Ipv4),
        "ip6tables" => Some(IpFamily::Ipv6),
        _ => None,
    }
}

/// Options of iptables(8) that do not affect a rule.
fn is_general(option: &str) -> bool {
    matches!(option, "-t" | "--table" | "-w" | "--wait" | "-n" | "--numeric" | "-v" | "--verbose")
}
