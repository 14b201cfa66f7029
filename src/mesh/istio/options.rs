//! The options of `istio-iptables` that configure rules, as the raw text that was given for them.
//!
//! A flag overrides the environment, and the environment overrides the default. Where two
//! variables set one option, the one listed first wins, as in the reference. A variable that is
//! set and empty gives a list option the empty list; for other options it counts as not set.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::option::{OptionSpec, Takes};
use super::option_table::OPTIONS;
use crate::Result;
use crate::mesh::error::{Invalid, Problem};
use crate::mesh::parse::Parsed;

/// The raw text given for each option and the name that gave it, not checked yet.
///
/// ```
/// use nftmesh::mesh::istio::RawOptions;
///
/// let mut options = RawOptions::from_vars([("ISTIO_INBOUND_PORTS", "80,443"), ("HOME", "/")])?;
/// options.set_flag("--istio-inbound-ports", "*")?;
/// assert_eq!(options.given("istio-inbound-ports"), Some(("--istio-inbound-ports", "*")));
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawOptions {
    given: BTreeMap<&'static str, Raw>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Raw {
    name: String,
    value: String,
}

impl RawOptions {
    /// Reads the options from the environment of this process.
    ///
    /// # Errors
    ///
    /// Fails if the variable of an option is not UTF-8.
    pub fn from_env() -> Result<Self> {
        RawOptions::from_vars(std::env::vars_os())
    }

    /// Reads the options from these environment variables; other variables are ignored.
    ///
    /// # Errors
    ///
    /// Fails if the variable of an option is not UTF-8.
    pub fn from_vars<N, V>(vars: impl IntoIterator<Item = (N, V)>) -> Result<Self>
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let vars: BTreeMap<OsString, OsString> =
            vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let mut options = RawOptions::default();
        for spec in OPTIONS {
            for &name in spec.env {
                let Some(value) = vars.get(&OsString::from(name)) else { continue };
                let Some(value) = value.to_str() else {
                    let value = value.to_string_lossy().into_owned();
                    return Err(Invalid::NotUtf8 { name: name.to_owned(), value }.into());
                };
                if value.is_empty() && spec.takes != Takes::List {
                    continue;
                }
                options
                    .given
                    .entry(spec.name)
                    .or_insert_with(|| Raw { name: name.to_owned(), value: value.to_owned() });
            }
        }
        Ok(options)
    }

    /// Sets the value of a flag, which overrides the environment; the last call wins.
    ///
    /// `flag` is `istio-inbound-ports`, `--istio-inbound-ports` or `-b`; messages name it as given
    /// here (the first like the second).
    ///
    /// # Errors
    ///
    /// Fails if there is no such flag, or if the value is not UTF-8.
    pub fn set_flag(&mut self, flag: &str, value: impl Into<OsString>) -> Result<()> {
        let matches = |spec: &&OptionSpec| match flag.strip_prefix("--") {
            Some(long) => spec.name == long,
            None => match flag.strip_prefix('-') {
                Some(short) => spec.short.is_some_and(|known| short.chars().eq([known])),
                None => spec.name == flag,
            },
        };
        let spec = OPTIONS
            .iter()
            .filter(|spec| spec.is_flag)
            .find(matches)
            .ok_or_else(|| Invalid::UnknownOption { name: flag.to_owned() })?;
        let name = if flag.starts_with('-') { flag.to_owned() } else { format!("--{flag}") };
        let value = value
            .into()
            .into_string()
            .map_err(|value| Invalid::NotUtf8 { name: name.clone(), value: value.to_string_lossy().into_owned() })?;
        self.given.insert(spec.name, Raw { name, value });
        Ok(())
    }

    /// Returns the name by which an option was given (`-b`, `ISTIO_INBOUND_PORTS`) and its raw
    /// value; `None` when the default applies.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<(&str, &str)> {
        self.given.get(name).map(|raw| (raw.name.as_str(), raw.value.as_str()))
    }

    pub(super) fn read<T>(&self, spec: &'static OptionSpec, parse: impl Fn(&str) -> Parsed<T>) -> Result<T, Invalid> {
        parse(self.value(spec)).map_err(|problem: Problem| problem.of(self.name(spec), self.value(spec)))
    }

    /// Returns the given value, or the default.
    pub(super) fn value(&self, spec: &'static OptionSpec) -> &str {
        self.given(spec.name).map_or(spec.default, |(_, value)| value)
    }

    /// Returns the name by which the option was given, or its usual name.
    pub(super) fn name(&self, spec: &'static OptionSpec) -> String {
        match self.given(spec.name) {
            Some((name, _)) => name.to_owned(),
            None if spec.is_flag => format!("--{}", spec.name),
            None => spec.name.to_owned(),
        }
    }
}
