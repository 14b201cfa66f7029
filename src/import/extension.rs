//! Extensions of xtables as tables: which options a match or target has, and who reads them.

use smallvec::SmallVec;

use super::error::Fault;
use super::making::Making;
use super::words::{Piece, Word};
use crate::model::{IpFamily, Protocol};

/// A match or a target.
pub(super) struct Extension {
    pub(super) name: &'static str,
    pub(super) options: &'static [Opt],
    /// Adds what was given to the rule.
    pub(super) read: fn(&Instance<'_>, &mut Making) -> Result<(), Fault>,
}

/// An option of an extension.
#[derive(Clone, Copy)]
pub(super) struct Opt {
    pub(super) name: &'static str,
    also: &'static str,
    pub(super) values: usize,
    pub(super) negatable: Negatable,
}

/// Whether `!` may stand in front.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Negatable {
    No,
    Yes,
}

impl Opt {
    /// Takes no value.
    pub(super) const fn flag(name: &'static str) -> Opt {
        Opt { name, also: "", values: 0, negatable: Negatable::No }
    }

    /// Takes one value.
    pub(super) const fn value(name: &'static str) -> Opt {
        Opt { values: 1, ..Opt::flag(name) }
    }

    /// Takes two values.
    pub(super) const fn two(name: &'static str) -> Opt {
        Opt { values: 2, ..Opt::flag(name) }
    }

    /// Can be negated.
    pub(super) const fn or_not(self) -> Opt {
        Opt { negatable: Negatable::Yes, ..self }
    }

    /// Has another name besides.
    pub(super) const fn also(self, also: &'static str) -> Opt {
        Opt { also, ..self }
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.also == name
    }

    /// getopt_long(3) takes the beginning of a name for it.
    fn begins_with(&self, name: &str) -> bool {
        name.len() > 3 && (self.name.starts_with(name) || self.also.starts_with(name))
    }
}

impl Extension {
    /// The option with exactly this name.
    pub(super) fn option(&self, name: &str) -> Option<&'static Opt> {
        self.options.iter().find(|option| option.is_called(name))
    }

    /// The one option whose name begins so.
    pub(super) fn abbreviated(&self, name: &str) -> Option<&'static Opt> {
        let mut all = self.options.iter().filter(|option| option.begins_with(name));
        let first = all.next()?;
        all.next().is_none().then_some(first)
    }
}

/// An extension in a rule, with the options that were given to it.
pub(super) struct Instance<'l> {
    pub(super) extension: &'static Extension,
    /// What it is, for messages.
    pub(super) role: Role,
    /// Where its name stands.
    pub(super) at: usize,
    pub(super) given: SmallVec<[Given<'l>; 2]>,
    /// Options that it does not have, with what follows them.
    pub(super) unread: Vec<String>,
}

/// Match or target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Match,
    Target,
}

impl Role {
    /// The kernel's name for the expression, and ours for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Match => "match",
            Role::Target => "target",
        }
    }
}

/// An option as it was given.
pub(super) struct Given<'l> {
    pub(super) name: &'static str,
    pub(super) not: bool,
    pub(super) at: usize,
    pub(super) values: SmallVec<[&'l Word<'l>; 1]>,
}

impl Given<'_> {
    /// Its first value.
    pub(super) fn piece(&self) -> Piece<'_> {
        self.values.first().map_or(Piece { text: "", at: self.at }, |word| word.piece())
    }

    /// Its second value.
    pub(super) fn second(&self) -> Piece<'_> {
        self.values.get(1).map_or(Piece { text: "", at: self.at }, |word| word.piece())
    }
}

impl<'l> Instance<'l> {
    pub(super) fn new(extension: &'static Extension, role: Role, at: usize) -> Self {
        Instance { extension, role, at, given: SmallVec::new(), unread: Vec::new() }
    }

    /// The option of this name, if it was given.
    pub(super) fn get(&self, name: &str) -> Option<&Given<'l>> {
        self.given.iter().find(|given| given.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The option of this name, without which the extension says nothing.
    pub(super) fn required(&self, name: &str) -> Result<&Given<'l>, Fault> {
        self.get(name).ok_or_else(|| self.wrong(format!("needs {name}")))
    }

    /// A fault of the extension as a whole.
    pub(super) fn wrong(&self, what: impl AsRef<str>) -> Fault {
        Fault::wrong(self.at, format!("{} {} {}", self.role.name(), self.extension.name, what.as_ref()))
    }

    /// Something that xtables would take, and nft or the model cannot say.
    pub(super) fn unknown(&self, at: usize, what: impl AsRef<str>) -> Fault {
        Fault::unknown(at, format!("{} {}: {}", self.role.name(), self.extension.name, what.as_ref()))
    }

    /// It with its options, in words.
    pub(super) fn words(&self) -> String {
        let mut words = Vec::new();
        for given in &self.given {
            words.extend(given.not.then_some("!"));
            words.push(given.name);
            words.extend(given.values.iter().map(|value| &*value.text));
        }
        words.extend(self.unread.iter().map(String::as_str));
        words.join(" ")
    }
}

/// The match that a protocol brings along, so that `-p tcp --dport 80` needs no `-m tcp`.
pub(super) fn of_protocol(protocol: Protocol, family: IpFamily) -> Option<&'static str> {
    match (protocol, family) {
        (Protocol::TCP, _) => Some("tcp"),
        (Protocol::UDP, _) => Some("udp"),
        (Protocol::SCTP, _) => Some("sctp"),
        (Protocol::ICMP, IpFamily::Ipv4) => Some("icmp"),
        (Protocol::ICMPV6, IpFamily::Ipv6) => Some("icmp6"),
        _ => None,
    }
}
