//! What the examples share: the command line of `istio-iptables`, and where rules come from.
#![allow(dead_code, unreachable_pub, reason = "a module of programs, of which each uses its part")]

pub mod source;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};

use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use ipnetwork::IpNetwork;
use nftmesh::kernel::Changes;
use nftmesh::mesh::istio::{OPTIONS, RawOptions, Takes};

/// Names of switches of a program's own, and what they are for.
pub type Switches = &'static [(&'static str, &'static str)];

/// What flags and environment say, and the switches of the program's own; `None` when that was to print the help, which is done.
pub fn options(
    name: &'static str,
    about: &'static str,
    own: Switches,
) -> Result<Option<(RawOptions, ArgMatches)>, Box<dyn Error>> {
    match command(name, about, own).try_get_matches() {
        Ok(matches) => Ok(Some((with_flags(RawOptions::from_env()?, &matches)?, matches))),
        Err(help) if !help.use_stderr() => Ok(print(&help.to_string()).map(|()| None)?),
        Err(error) => Err(format!("{}; --help lists all options", first_line(&error)).into()),
    }
}

/// What is wrong, without the usage behind it.
pub fn first_line(error: &clap::Error) -> String {
    if let (ErrorKind::ValueValidation, Some(why)) = (error.kind(), error.source()) {
        let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
        let (option, value, why) =
            (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue), why.to_string());
        // Once is enough.
        let says_it = why.contains(&format!("{value:?}"));
        return if says_it { format!("{option}: {why}") } else { format!("{option} {value:?}: {why}") };
    }
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim);
    let mut line = lines.find(|line| !line.is_empty()).unwrap_or_default().trim_start_matches("error: ").to_owned();
    // Of a list, clap puts the entries on lines of their own.
    if line.ends_with(':') {
        let entries: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
        line = format!("{line} {}", entries.join(", "));
    }
    line
}

/// Says it on standard error in one line, whatever names are in it.
pub fn complain(program: &str, what: impl Display) {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let line: String = what.to_string().chars().map(escaped).collect();
    eprintln!("{program}: {line}");
}

/// A reader that has seen enough, such as `head`, is no error.
pub fn print(text: &str) -> io::Result<()> {
    write(text).map(drop)
}

/// Whether anybody reads on.
pub fn write(text: &str) -> io::Result<bool> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(io::Error::new(error.kind(), format!("standard output: {error}"))),
    }
}

/// An address or network.
pub fn network(text: &str) -> Result<IpNetwork, String> {
    text.parse().map_err(|_| format!("{text:?} is no address; give one such as 10.77.0.2, 10.77.0.2/24 or fd77::2/64"))
}

/// What was done, line by line.
pub fn report(changes: &Changes) -> String {
    let Changes { changed, installed, removed, leftovers_removed, routes_added, routes_removed, .. } = changes;
    let gone =
        removed.iter().filter(|table| !installed.contains(table)).map(|table| format!("removed table {table}\n"));
    let made = installed.iter().map(|table| format!("installed table {table}\n"));
    let changed = changed.iter().map(|table| format!("changed table {table}\n"));
    let left = leftovers_removed.iter().map(|left| format!("removed: {}\n", left.remedy));
    let added = routes_added.iter().map(|entry| format!("{entry}\n"));
    let undone = routes_removed.iter().map(|entry| format!("{entry}\n").replacen(" add ", " del ", 1));
    gone.chain(made).chain(changed).chain(left).chain(added).chain(undone).collect()
}

/// The flags of the library's table of options, and the program's own.
pub fn command(name: &'static str, about: &'static str, own: Switches) -> Command {
    let flags = OPTIONS.iter().filter(|option| option.is_flag).map(|option| {
        let arg = Arg::new(option.name).long(option.name).help(option.help);
        let arg = option.short.map_or(arg.clone(), |short| arg.short(short));
        match option.takes {
            Takes::Switch => {
                arg.num_args(0..=1).require_equals(true).default_missing_value("true").action(ArgAction::Set)
            }
            _ => arg.num_args(1).allow_hyphen_values(true).action(ArgAction::Set).value_name("VALUE"),
        }
    });
    let own = own.iter().map(|(name, help)| Arg::new(*name).long(*name).help(*help).action(ArgAction::SetTrue));
    Command::new(name).about(about).args(flags).args(own).args_override_self(true)
}

/// The options, with the flags that were given, which beat them.
pub fn with_flags(mut options: RawOptions, matches: &ArgMatches) -> nftmesh::Result<RawOptions> {
    for option in OPTIONS.iter().filter(|option| option.is_flag) {
        if let Some(value) = matches.get_one::<String>(option.name) {
            options.set_flag(&format!("--{}", option.name), value)?;
        }
    }
    Ok(options)
}
