//! The options of reading, and its entry.

use std::fmt;

use super::assemble::{self, Wanted};
use super::commands::Command;
use super::error::{Fault, Parsed, TextError};
use super::parser::Parser;
use super::resolve::{Resolve, WellKnown};
use super::source::{Place, Sources};
use crate::model::{Family, Rule, Ruleset, Set, SetId};
use crate::plan::Transaction;
use crate::state::Snapshot;

/// Reads text of nft(8) with options: variables, names and files of the system, the state of the
/// kernel.
///
/// ```
/// use nftmesh::text::Reader;
///
/// let reader = Reader::new().define("ports", "{ 80, 443 }");
/// let ruleset = reader.ruleset("table inet t { chain c { tcp dport $ports accept; }; }")?;
/// assert_eq!(ruleset.tables[0].chains[0].rules[0].to_string(), "tcp dport { 80, 443 } accept");
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Reader<'a> {
    name: Option<String>,
    variables: Vec<(String, String)>,
    pub(super) resolver: Option<&'a dyn Resolve>,
    pub(super) snapshot: Option<&'a Snapshot>,
}

impl<'a> Reader<'a> {
    /// Creates a reader without options.
    #[must_use]
    pub fn new() -> Self {
        Reader::default()
    }

    /// Names the text in errors.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Defines a variable as `define name = value` does; the text may redefine it.
    #[must_use]
    pub fn define(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Asks this for services, interfaces, users and files.
    #[must_use]
    pub fn resolver(mut self, resolver: &'a dyn Resolve) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// Takes the declarations of sets and the rules that `index` counts from this state of the
    /// kernel, and checks that what is created is not there; commit what is read
    /// [at its generation](Transaction::at_generation).
    #[must_use]
    pub fn snapshot(mut self, snapshot: &'a Snapshot) -> Self {
        self.snapshot = Some(snapshot);
        self
    }

    /// Reads a rule set: blocks of tables, and commands that make one of an empty rule set.
    ///
    /// Bytes that are not UTF-8 are an error. `flush ruleset` and tables that are deleted and added
    /// again are as in a file of nft.
    ///
    /// # Errors
    /// The first fault of the text.
    pub fn ruleset(&self, text: impl AsRef<[u8]>) -> Result<Ruleset, TextError> {
        self.wanted(text).map(|wanted| wanted.ruleset)
    }

    /// Reads a rule set, and which tables the text decides about: what a program needs that makes
    /// the kernel hold what a file says.
    ///
    /// ```
    /// use nftmesh::model::{Family, TableId};
    /// use nftmesh::text::Reader;
    ///
    /// let wanted = Reader::new().wanted("flush ruleset ip\ntable inet t { }\n")?;
    /// assert_eq!(wanted.ruleset.tables.len(), 1);
    /// assert!(wanted.decides(&TableId::new(Family::Ip, "other")));
    /// assert!(!wanted.decides(&TableId::new(Family::Inet, "other")));
    /// # Ok::<(), nftmesh::Error>(())
    /// ```
    ///
    /// # Errors
    /// The first fault of the text.
    pub fn wanted(&self, text: impl AsRef<[u8]>) -> Result<Wanted, TextError> {
        self.read(text.as_ref(), |parser| assemble::wanted(parser.commands()?))
    }

    /// Reads commands, and blocks of tables, which add what is in them.
    ///
    /// # Errors
    /// The first fault of the text.
    pub fn transaction(&self, text: impl AsRef<[u8]>) -> Result<Transaction, TextError> {
        let commands = |parser: &mut Parser<'_>| {
            let commands: Vec<Command<'_>> = parser.commands()?;
            Ok(assemble::transaction(commands))
        };
        let transaction = self.read(text.as_ref(), commands)?;
        Ok(match self.snapshot {
            Some(snapshot) => transaction.at_generation(snapshot.generation),
            None => transaction,
        })
    }

    /// Reads a rule as in a table of this family.
    ///
    /// # Errors
    /// The first fault of the text. A rule with a chain in braces is one: read its table.
    pub fn rule(&self, family: Family, text: impl AsRef<[u8]>) -> Result<Rule, TextError> {
        self.read(text.as_ref(), |parser| {
            parser.family = family;
            parser.skip_newlines();
            let start = parser.peek();
            let rule = parser.rule()?;
            parser.skip_separators();
            if parser.peek().kind != super::lexer::Kind::End {
                return parser.unexpected("the end of the rule");
            }
            if !parser.bound.is_empty() {
                let why = "a rule alone cannot hold the chain in its braces; read it within its table";
                return Err(Fault::unsupported(start.at, start.length(), why));
            }
            Ok(rule)
        })
    }

    fn read<T>(&self, bytes: &[u8], read: impl FnOnce(&mut Parser<'_>) -> Parsed<T>) -> Result<T, TextError> {
        let mut sources = Sources::default();
        let text = String::from_utf8_lossy(bytes).into_owned();
        let main = sources.add(self.name.clone(), text);
        let located = |fault: Box<Fault>, sources: &Sources| fault.located(sources);
        if let Err(odd) = std::str::from_utf8(bytes) {
            let at = Place { source: main, offset: odd.valid_up_to() };
            return Err(located(Fault::wrong(at, 1, "these bytes are not UTF-8"), &sources));
        }
        let values: Vec<usize> = self
            .variables
            .iter()
            .map(|(name, value)| sources.add(Some(format!("variable {name}")), value.clone()))
            .collect();
        let resolver = self.resolver.unwrap_or(&WellKnown);
        if let Err(fault) = sources.add_includes(main, resolver) {
            return Err(located(fault, &sources));
        }
        let mut parser = Parser::new(self, &sources, main, Family::Inet);
        let mut variables = self.variables.iter().zip(&values);
        let made = variables
            .try_for_each(|((name, _), index)| parser.predefine(name, *index))
            .and_then(|()| read(&mut parser));
        made.map_err(|fault| located(fault, &sources))
    }

    /// Returns a set as the kernel holds it.
    pub(super) fn held(&self, id: &SetId) -> Option<Set> {
        let table = self.snapshot?.table(&id.table)?;
        let state = table.set(id.name.as_str())?;
        crate::bytecode::raise_set(&state.name, &state.code, &[]).ok()
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reader { name, variables, resolver, snapshot } = self;
        let generation = snapshot.map(|snapshot| snapshot.generation);
        f.debug_struct("Reader")
            .field("name", name)
            .field("variables", variables)
            .field("resolver", &resolver.map(|_| ".."))
            .field("snapshot", &generation)
            .finish()
    }
}
