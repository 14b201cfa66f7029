//! Extensions of xtables as tables: the options of each match or target, and the function that
//! reads them.

use smallvec::SmallVec;

use super::error::Fault;
use super::making::Making;
use super::words::{Piece, Word};
use crate::model::{IpFamily, Protocol};

/// A match or a target.
pub(super) struct Extension {
    pub(super) name: &'static str,
    pub(super) options: &'static [Opt],
    /// Adds the given options to the rule.
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

/// Whether `!` may precede the option.
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

    /// Allows negation.
    pub(super) const fn or_not(self) -> Opt {
        Opt { negatable: Negatable::Yes, ..self }
    }

    /// Has a second name.
    pub(super) const fn also(self, also: &'static str) -> Opt {
        Opt { also, ..self }
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.also == name
    }

    /// Returns whether `name` abbreviates this option, as getopt_long(3) allows.
    fn begins_with(&self, name: &str) -> bool {
        name.len() > 3 && (self.name.starts_with(name) || self.also.starts_with(name))
    }
}

impl Extension {
    /// Returns the option with exactly this name.
    pub(super) fn option(&self, name: &str) -> Option<&'static Opt> {
        self.options.iter().find(|option| option.is_called(name))
    }

    /// Returns the only option that this name abbreviates.
    pub(super) fn abbreviated(&self, name: &str) -> Option<&'static Opt> {
        let mut all = self.options.iter().filter(|option| option.begins_with(name));
        let first = all.next()?;
        all.next().is_none().then_some(first)
    }
}

/// An extension in a rule, with the options given to it.
pub(super) struct Instance<'l> {
    pub(super) extension: &'static Extension,
    /// Its role, for messages.
    pub(super) role: Role,
    /// The offset of its name in the line.
    pub(super) at: usize,
    pub(super) given: SmallVec<[Given<'l>; 2]>,
    /// Options that it does not have, with the words after them.
    pub(super) unread: Vec<String>,
}

/// Match or target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Match,
    Target,
}

impl Role {
    /// Returns the kernel's name of the expression, which messages use too.
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Match => "match",
            Role::Target => "target",
        }
    }
}

/// An option as given.
pub(super) struct Given<'l> {
    pub(super) name: &'static str,
    pub(super) not: bool,
    pub(super) at: usize,
    pub(super) values: SmallVec<[&'l Word<'l>; 1]>,
}

impl Given<'_> {
    /// Returns its first value.
    pub(super) fn piece(&self) -> Piece<'_> {
        self.values.first().map_or(Piece { text: "", at: self.at }, |word| word.piece())
    }

    /// Returns its second value.
    pub(super) fn second(&self) -> Piece<'_> {
        self.values.get(1).map_or(Piece { text: "", at: self.at }, |word| word.piece())
    }
}

impl<'l> Instance<'l> {
    pub(super) fn new(extension: &'static Extension, role: Role, at: usize) -> Self {
        Instance { extension, role, at, given: SmallVec::new(), unread: Vec::new() }
    }

    /// Returns the option of this name, if it was given.
    pub(super) fn get(&self, name: &str) -> Option<&Given<'l>> {
        self.given.iter().find(|given| given.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the option of this name, which the extension requires.
    pub(super) fn required(&self, name: &str) -> Result<&Given<'l>, Fault> {
        self.get(name).ok_or_else(|| self.wrong(format!("needs {name}")))
    }

    /// Returns a fault of the extension as a whole.
    pub(super) fn wrong(&self, what: impl AsRef<str>) -> Fault {
        Fault::wrong(self.at, format!("{} {} {}", self.role.name(), self.extension.name, what.as_ref()))
    }

    /// Returns a fault for something that xtables accepts but nft or the model cannot express.
    pub(super) fn unknown(&self, at: usize, what: impl AsRef<str>) -> Fault {
        Fault::unknown(at, format!("{} {}: {}", self.role.name(), self.extension.name, what.as_ref()))
    }

    /// Returns the name and the options as words.
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

/// Returns the match that a protocol loads, so that `-p tcp --dport 80` needs no `-m tcp`.
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
