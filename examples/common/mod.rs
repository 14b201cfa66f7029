//! Shared parts of the examples: the command line of `istio-iptables`, and the sources of rules.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "a module of programs, of which each uses its part")]

pub mod ambient;
pub mod containers;
pub mod drop_in;
pub mod duration;
pub mod init;
pub mod kuma;
pub mod run;
pub mod say;
pub mod source;
pub mod system;
pub mod tenants;

use std::error::Error;
use std::io::{self, Write};

use clap::ArgMatches;
use clap::error::{ContextKind, ErrorKind};
use ipnetwork::IpNetwork;
use nftmesh::Quoted;
use nftmesh::mesh::istio::RawOptions;
pub use say::complain;

/// A program's own flags: switches, and flags with a value, by name and description.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    pub switches: &'static [(&'static str, &'static str)],
    pub values: &'static [(&'static str, &'static str)],
}

/// Returns the options from flags and environment, and the program's own switches; `None` after
/// printing the help.
pub fn options(
    name: &'static str,
    about: &'static str,
    own: Own,
) -> Result<Option<(RawOptions, ArgMatches)>, Box<dyn Error>> {
    drop_in::speak_as_asked();
    match drop_in::command(name, about, own).try_get_matches() {
        Ok(matches) => {
            drop_in::without_effect(&matches).for_each(|warning| say::warn(name, warning));
            Ok(Some((drop_in::with_flags(RawOptions::from_env()?, &matches)?, matches)))
        }
        Err(help) if !help.use_stderr() => Ok(print(&help.to_string()).map(|()| None)?),
        Err(error) => Err(format!("{}; --help lists all options", first_line(&error)).into()),
    }
}

/// Returns the error without the usage after it.
pub fn first_line(error: &clap::Error) -> String {
    if let (ErrorKind::ValueValidation, Some(why)) = (error.kind(), error.source()) {
        let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
        let (option, value, why) =
            (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue), why.to_string());
        // The value is named only once.
        let names_it = why.contains(&format!("{value:?}"));
        return if names_it { format!("{option}: {why}") } else { format!("{option} {}: {why}", Quoted::new(&value)) };
    }
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim);
    let mut line = lines.find(|line| !line.is_empty()).unwrap_or_default().trim_start_matches("error: ").to_owned();
    // clap puts the entries of a list on separate lines.
    if line.ends_with(':') {
        let entries: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
        line = format!("{line} {}", entries.join(", "));
    }
    cut(&line)
}

/// Shortens a text, so that a long argument does not hide what is reported about it.
fn cut(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Prints a text. A reader that has seen enough, such as `head`, is not an error.
pub fn print(text: &str) -> io::Result<()> {
    write(text).map(drop)
}

/// Writes a text; returns whether it is still being read. The lines contain foreign rules and
/// comments, so unprintable characters are escaped.
pub fn write(text: &str) -> io::Result<bool> {
    let text: String = text.split_inclusive('\n').map(say::escaped).collect();
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(io::Error::new(error.kind(), format!("standard output: {error}"))),
    }
}

/// Parses an address or network.
pub fn network(text: &str) -> Result<IpNetwork, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not an address; give one such as 10.77.0.2, 10.77.0.2/24 or fd77::2/64"))
}
