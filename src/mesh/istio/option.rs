//! One option of `istio-iptables`: its flag, its variables, its default and its help.

/// One option: its names, its default, and its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionSpec {
    /// The long flag without dashes, or the variable if there is no flag; unique in
    /// [`OPTIONS`](super::OPTIONS).
    pub name: &'static str,
    /// Whether there is a flag.
    pub is_flag: bool,
    /// The short flag.
    pub short: Option<char>,
    /// The environment variables, the strongest first.
    pub env: &'static [&'static str],
    /// The default value; empty can stand for a default that depends on the host.
    pub default: &'static str,
    /// What the option takes.
    pub takes: Takes,
    /// A description in one line.
    pub help: &'static str,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Takes {
    /// A comma-separated list; empty is the empty list.
    List,
    /// A boolean; the flag alone means true, a value follows only after `=`.
    Switch,
    /// One value.
    Value,
}

impl OptionSpec {
    pub(super) const fn flag(
        name: &'static str,
        env: &'static [&'static str],
        default: &'static str,
        help: &'static str,
    ) -> Self {
        OptionSpec { name, is_flag: true, short: None, env, default, takes: Takes::Value, help }
    }

    pub(super) const fn variable(env: &'static [&'static str], default: &'static str, help: &'static str) -> Self {
        let name = match env {
            [name, ..] => *name,
            [] => "",
        };
        OptionSpec { name, is_flag: false, short: None, env, default, takes: Takes::Value, help }
    }

    pub(super) const fn short(self, short: char) -> Self {
        OptionSpec { short: Some(short), ..self }
    }

    pub(super) const fn takes(self, takes: Takes) -> Self {
        OptionSpec { takes, ..self }
    }
}
