//! Flags as programs written with pflag read them: `--name value`, `--name=value`, `-n value`,
//! `-n=value`, `-nvalue`; a switch takes its value only after `=`, and other short flags may follow
//! its letter. Which flags there are is a table of the mesh.

use super::error::{Invalid, Problem};

/// A flag of a mesh's own program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flag {
    /// The name, after `--`.
    pub name: &'static str,
    /// The short form, after `-`.
    pub short: Option<char>,
    /// Whether it stands alone, and then means true.
    pub is_switch: bool,
    /// What it does, in one line.
    pub help: &'static str,
}

impl Flag {
    pub(super) const fn value(name: &'static str, help: &'static str) -> Self {
        Flag { name, short: None, is_switch: false, help }
    }

    pub(super) const fn switch(name: &'static str, help: &'static str) -> Self {
        Flag { name, short: None, is_switch: true, help }
    }

    pub(super) const fn short(self, short: char) -> Self {
        Flag { short: Some(short), ..self }
    }
}

/// A flag that was given, as it was spelled, and its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Given {
    pub(super) name: &'static str,
    pub(super) spelled: String,
    pub(super) value: String,
}

impl Given {
    /// Names the flag and its value in an error.
    pub(super) fn wrong(&self, problem: Problem) -> Invalid {
        problem.of(&self.spelled, &self.value)
    }
}

/// Reads arguments in their order.
pub(super) fn read<S: Into<String>>(
    table: &[Flag],
    arguments: impl IntoIterator<Item = S>,
) -> Result<Vec<Given>, Invalid> {
    let mut arguments = arguments.into_iter().map(Into::into);
    let mut given = Vec::new();
    while let Some(argument) = arguments.next() {
        if let Some(long) = argument.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let flag = table.iter().find(|flag| flag.name == name);
            given.push(one(flag, format!("--{name}"), value, &mut arguments)?);
            continue;
        }
        let mut letters = argument.strip_prefix('-').unwrap_or_default().chars();
        if letters.as_str().is_empty() {
            return Err(fault(argument, "not a flag; every argument is a flag or its value"));
        }
        while let Some(letter) = letters.next() {
            let flag = table.iter().find(|flag| flag.short == Some(letter));
            let rest = letters.as_str();
            let value = match rest.strip_prefix('=') {
                None if rest.is_empty() || flag.is_some_and(|flag| flag.is_switch) => None,
                value => Some(value.unwrap_or(rest)),
            };
            given.push(one(flag, format!("-{letter}"), value, &mut arguments)?);
            if value.is_some() {
                break;
            }
        }
    }
    Ok(given)
}

/// Reads one flag; a value that does not follow it directly is the next argument.
fn one(
    flag: Option<&Flag>,
    spelled: String,
    value: Option<&str>,
    arguments: &mut impl Iterator<Item = String>,
) -> Result<Given, Invalid> {
    let Some(flag) = flag else { return Err(fault(spelled, "there is no such flag; --help lists all")) };
    let value = match value {
        Some(value) => value.to_owned(),
        None if flag.is_switch => "true".to_owned(),
        None => arguments.next().ok_or_else(|| fault(spelled.clone(), "its value is missing"))?,
    };
    Ok(Given { name: flag.name, spelled, value })
}

pub(super) fn fault(name: impl Into<String>, what: impl Into<String>) -> Invalid {
    Invalid::Flag { name: name.into(), problem: Problem::new(what) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Flag] = &[Flag::value("uid", "").short('u'), Flag::switch("wait", "").short('w')];

    #[test]
    fn a_value_follows_in_every_way_of_pflag() {
        for arguments in [&["--uid", "-1"][..], &["--uid=-1"], &["-u", "-1"], &["-u=-1"], &["-u-1"]] {
            let given = read(TABLE, arguments.iter().copied()).expect("valid");
            let given: Vec<_> = given.iter().map(|given| (given.name, given.value.as_str())).collect();
            assert_eq!(given, [("uid", "-1")], "{arguments:?}");
        }
        let given = read(TABLE, ["-w", "--wait=false", "-wu7", "-wwu", "8", "-w=F"]).expect("valid");
        let given: Vec<_> = given.iter().map(|given| given.value.as_str()).collect();
        assert_eq!(given, ["true", "false", "true", "7", "true", "true", "8", "F"]);
    }

    #[test]
    fn what_is_no_flag_is_named() {
        for (arguments, named) in [
            (["x"], "x: not"),
            (["--none"], "--none: there"),
            (["-wu"], "-u: its"),
            (["-wx"], "-x: there"),
            (["-"], "-: not"),
        ] {
            let error = read(TABLE, arguments).expect_err("invalid").to_string();
            assert!(error.starts_with(named), "{error}");
        }
    }
}
