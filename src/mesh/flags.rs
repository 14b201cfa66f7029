//! Flags as programs written with pflag read them: `--name value`, `--name=value`, `-n value`,
//! `-n=value`, `-nvalue`; a switch takes its value only after `=`. Which flags there are is a
//! table of the mesh.

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
        let (flag, spelled, value) = match (argument.strip_prefix("--"), argument.strip_prefix('-')) {
            (Some(long), _) => {
                let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                (table.iter().find(|flag| flag.name == name), format!("--{name}"), value)
            }
            (None, Some(short)) if !short.is_empty() => {
                let mut rest = short.chars();
                let letter = rest.next();
                let flag = table.iter().find(|flag| flag.short.is_some() && flag.short == letter);
                let rest = rest.as_str();
                let value = (!rest.is_empty()).then(|| rest.strip_prefix('=').unwrap_or(rest));
                (flag, letter.map_or_else(String::new, |letter| format!("-{letter}")), value)
            }
            (None, _) => return Err(fault(argument, "not a flag; every argument is a flag or its value")),
        };
        let Some(flag) = flag else { return Err(fault(spelled, "there is no such flag; --help lists all")) };
        let value = match value {
            Some(value) => value.to_owned(),
            None if flag.is_switch => "true".to_owned(),
            None => arguments.next().ok_or_else(|| fault(spelled.clone(), "its value is missing"))?,
        };
        given.push(Given { name: flag.name, spelled, value });
    }
    Ok(given)
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
        let given = read(TABLE, ["-w", "--wait=false"]).expect("valid");
        assert_eq!(given.iter().map(|given| given.value.as_str()).collect::<Vec<_>>(), ["true", "false"]);
    }

    #[test]
    fn what_is_no_flag_is_named() {
        for (arguments, named) in
            [(["x"], "x: not"), (["--none"], "--none: there"), (["-u"], "-u: its"), (["-"], "-: not")]
        {
            let error = read(TABLE, arguments).expect_err("invalid").to_string();
            assert!(error.starts_with(named), "{error}");
        }
    }
}
