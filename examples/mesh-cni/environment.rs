//! What a runtime says in the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::failure::{ENVIRONMENT, Failure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Add,
    Check,
    Del,
    Gc,
    Status,
    Version,
}

impl Command {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Command::Add => "ADD",
            Command::Check => "CHECK",
            Command::Del => "DEL",
            Command::Gc => "GC",
            Command::Status => "STATUS",
            Command::Version => "VERSION",
        }
    }

    /// The variables that it needs.
    fn needs(self) -> &'static [&'static str] {
        match self {
            Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
            Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
            Command::Gc => &["CNI_PATH"],
            Command::Status | Command::Version => &[],
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) command: Command,
    /// The pod's network namespace.
    pub(crate) namespace: Option<PathBuf>,
    /// `CNI_ARGS`.
    pub(crate) arguments: BTreeMap<String, String>,
}

impl Environment {
    pub(crate) fn read() -> Result<Self, Failure> {
        let get = |name: &str| match std::env::var_os(name) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => match value.into_string() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(Failure::new(ENVIRONMENT, "the environment is not valid", format!("{name} is not text"))),
            },
        };
        let asked = get("CNI_COMMAND")?.unwrap_or_default();
        let all = [Command::Add, Command::Check, Command::Del, Command::Gc, Command::Status, Command::Version];
        let Some(command) = all.into_iter().find(|command| command.name() == asked) else {
            let known = all.map(Command::name).join(", ");
            return Err(Failure::new(
                ENVIRONMENT,
                format!("unknown CNI_COMMAND: {asked}"),
                format!("give one of {known}"),
            ));
        };
        let mut missing = Vec::new();
        for name in command.needs() {
            if get(name)?.is_none() {
                missing.push(*name);
            }
        }
        if !missing.is_empty() {
            let details = format!("{} needs {}", command.name(), command.needs().join(", "));
            return Err(Failure::new(
                ENVIRONMENT,
                format!("required env variables [{}] missing", missing.join(",")),
                details,
            ));
        }
        if command.needs().contains(&"CNI_IFNAME") {
            container(&get("CNI_CONTAINERID")?.unwrap_or_default())?;
            interface(&get("CNI_IFNAME")?.unwrap_or_default())?;
        }
        // The other commands do not need them, and DEL must not fail for their sake.
        let arguments = match command {
            Command::Add | Command::Check => arguments(&get("CNI_ARGS")?.unwrap_or_default())?,
            Command::Del | Command::Gc | Command::Status | Command::Version => BTreeMap::new(),
        };
        Ok(Environment { command, namespace: get("CNI_NETNS")?.map(PathBuf::from), arguments })
    }
}

fn container(id: &str) -> Result<(), Failure> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ['_', '.', '-'].contains(&c);
    let fits = id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(allowed);
    let details = "a letter or digit, then letters, digits, _, . and -";
    if fits { Ok(()) } else { Err(Failure::new(ENVIRONMENT, format!("invalid CNI_CONTAINERID {id:?}"), details)) }
}

fn interface(name: &str) -> Result<(), Failure> {
    let odd = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    let fits = (1..=15).contains(&name.len()) && ![".", ".."].contains(&name) && !name.contains(odd);
    let details = "1 to 15 bytes without /, : and blanks, not . and ..";
    if fits { Ok(()) } else { Err(Failure::new(ENVIRONMENT, format!("invalid CNI_IFNAME {name:?}"), details)) }
}

fn arguments(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let pairs = text.split(';').filter(|pair| !pair.is_empty());
    let split = |pair: &str| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::new(ENVIRONMENT, format!("invalid CNI_ARGS pair {pair:?}"), "write KEY=VALUE;KEY=VALUE")),
    };
    pairs.map(split).collect()
}
