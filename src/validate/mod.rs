//! Static validation: everything that can be known to be wrong before the kernel sees it.
//!
//! A rule set that passes is accepted by the kernel and can be read back by nft(8); a fault is
//! located by table, chain, rule and statement. A dry run is no substitute: the kernel looks for
//! targets in the wrong place and for jump loops only when it commits.
//!
//! ```
//! use nftmesh::model::{Chain, ChainType, Family, Hook, Priority, Rule, Ruleset, Table};
//!
//! let chain = Chain::base("in", ChainType::Filter, Hook::Input, Priority::FILTER).rule(Rule::new().counter().redirect());
//! let rules = Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(chain));
//! let invalid = rules.validate().expect_err("redirect is for nat chains");
//! assert_eq!(
//!     invalid.to_string(),
//!     "rule 1 of inet mesh/in, statement 2 (redirect): works only in type nat at prerouting or output, this is type filter at input"
//! );
//! ```

mod actions;
mod chains;
mod concat;
mod families;
mod graph;
mod intervals;
mod links;
mod location;
mod matches;
mod names;
mod objects;
mod part;
mod place;
mod problem;
mod protocols;
mod rules;
mod sets;
mod severity;
mod statements;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::bytecode::{SetMode, Sets};
use crate::error::{Error, Kind};
use crate::model::{self, Chain, ChainKind, Family, Name, Object, Rule, Ruleset, Set};

pub use location::Location;
pub(crate) use part::{Calls, Judgement, Stayed, Was};
pub use place::Target;
pub use problem::Problem;
pub use severity::Severity;

use links::Links;
use location::At;

/// A rule set that the kernel or nft(8) would refuse, or that has another effect than it states,
/// with every fault that was found.
///
/// Prints as one line: the first fault, and the number of others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    faults: Vec<Fault>,
}

/// One fault, and its location.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {problem}")]
#[non_exhaustive]
pub struct Fault {
    /// Where it is wrong.
    pub location: Location,
    /// What is wrong, and the remedy.
    pub problem: Problem,
}

impl Fault {
    /// Returns the fault of a table that is defined twice.
    pub(crate) fn twice(family: Family, name: &Name) -> Self {
        let mut faults = Vec::with_capacity(1);
        At::table(family, name).report(&mut faults, Problem::Duplicate);
        faults.pop().expect("it was reported")
    }
}

impl Invalid {
    /// Returns every fault, in the order of the rule set; at least one.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.as_slice() {
            [] => f.write_str("no fault"),
            [one] => one.fmt(f),
            [first, others @ ..] => write!(f, "{first} (and {} more)", others.len()),
        }
    }
}

impl Error {
    /// Returns every fault that validation found, in the order of the rule set; empty for every
    /// other error.
    ///
    /// What the kernel refused is returned by [`refusals`](Error::refusals).
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        self.inner::<Invalid>().map(Invalid::faults).unwrap_or_default()
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Error::new(Kind::Invalid, invalid)
    }
}

impl Ruleset {
    /// Checks names, chains, rules, sets and how they refer to each other. [Odd](Severity::Odd)
    /// faults pass; see [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// [`Invalid`] with every fault that prevents sending.
    pub fn validate(&self) -> Result<(), Invalid> {
        refuse(self.faults())
    }

    /// Returns the odd faults, which the kernel accepts: rules that never match, names that nft(8)
    /// could not read back.
    #[must_use]
    pub fn warnings(&self) -> Vec<Fault> {
        self.faults().into_iter().filter(|fault| fault.problem.severity() == Severity::Odd).collect()
    }

    /// Checks that there are no faults, not even odd ones: for rule sets that people write.
    ///
    /// # Errors
    /// [`Invalid`] with every fault that was found.
    pub fn validate_strictly(&self) -> Result<(), Invalid> {
        let faults = self.faults();
        if faults.is_empty() { Ok(()) } else { Err(Invalid { faults }) }
    }

    fn faults(&self) -> Vec<Fault> {
        faults(&self.tables.iter().map(TableView::whole).collect::<Vec<_>>())
    }
}

/// Returns the faults that prevent a table from being sent.
pub(crate) fn refused(table: &model::Table) -> Vec<Fault> {
    let faults = faults(&[TableView::whole(table)]);
    faults.into_iter().filter(|fault| fault.problem.severity() == Severity::Refused).collect()
}

/// Returns an error if any of these faults prevents sending.
pub(crate) fn refuse(mut faults: Vec<Fault>) -> Result<(), Invalid> {
    faults.retain(|fault| fault.problem.severity() == Severity::Refused);
    if faults.is_empty() { Ok(()) } else { Err(Invalid { faults }) }
}

/// Whether a view contains all chains and sets of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complete {
    /// There are others: a name that is not in the view is not a fault.
    Part,
    /// There are no others.
    Whole,
}

/// The part of a table that is checked: all of it, or as much as a transaction names.
#[derive(Clone, Debug)]
pub(crate) struct TableView<'a> {
    pub(crate) family: Family,
    pub(crate) name: &'a Name,
    pub(crate) comment: Option<&'a str>,
    pub(crate) complete: Complete,
    /// The number of rules that could not be read, if the chains are to be recreated.
    pub(crate) unread: Option<u32>,
    pub(crate) objects: Vec<&'a Object>,
    pub(crate) sets: Vec<&'a Set>,
    pub(crate) chains: Vec<ChainView<'a>>,
}

/// A chain to check.
#[derive(Clone, Debug)]
pub(crate) struct ChainView<'a> {
    pub(crate) name: &'a Name,
    /// `None` if the chain exists already and its kind was not given.
    pub(crate) kind: Option<&'a ChainKind>,
    pub(crate) comment: Option<&'a str>,
    pub(crate) rules: Vec<&'a Rule>,
}

impl<'a> TableView<'a> {
    fn whole(table: &'a model::Table) -> Self {
        let chain = |chain: &'a Chain| ChainView { rules: chain.rules.iter().collect(), ..ChainView::of(chain) };
        TableView::of(table, table.chains.iter().map(chain))
    }

    /// Returns a view of the table with these chains.
    fn of(table: &'a model::Table, chains: impl IntoIterator<Item = ChainView<'a>>) -> Self {
        TableView {
            family: table.family,
            name: &table.name,
            comment: table.comment.as_deref(),
            complete: Complete::Whole,
            unread: None,
            objects: table.objects.iter().collect(),
            sets: table.sets.iter().collect(),
            chains: chains.into_iter().collect(),
        }
    }
}

impl<'a> ChainView<'a> {
    /// Returns a view of the chain without its rules.
    fn of(chain: &'a Chain) -> Self {
        let Chain { name, kind, comment, rules: _, kept: _ } = chain;
        ChainView { name, kind: Some(kind), comment: comment.as_deref(), rules: Vec::new() }
    }
}

/// Returns every fault of these tables. Each table is checked by itself, because names do not reach
/// beyond a table.
pub(crate) fn faults(views: &[TableView<'_>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for view in views {
        let at = At::table(view.family, view.name);
        if !seen.insert((view.family, view.name)) {
            at.report(&mut faults, Problem::Duplicate);
        }
        let checked = Checked::new(view);
        checked.check(Links::named(&checked), &Everything, &mut faults);
    }
    faults
}

/// The part of a table to check.
trait Scope {
    /// Returns whether to check this chain.
    fn chain(&self, index: usize) -> bool;
    /// Returns whether to check this set.
    fn set(&self, index: usize) -> bool;
}

struct Everything;

impl Scope for Everything {
    fn chain(&self, _: usize) -> bool {
        true
    }

    fn set(&self, _: usize) -> bool {
        true
    }
}

/// A table with its names indexed.
struct Checked<'v, 'a> {
    view: &'v TableView<'a>,
    at: At<'v>,
    chains: HashMap<&'a str, usize>,
    sets: HashMap<&'a str, usize>,
    /// Whether no name occurs twice.
    are_unique: bool,
    /// The names of the meters so far.
    meters: RefCell<HashSet<Name>>,
}

impl<'v, 'a> Checked<'v, 'a> {
    fn new(view: &'v TableView<'a>) -> Self {
        let chains: HashMap<_, _> =
            view.chains.iter().enumerate().map(|(index, chain)| (chain.name.as_str(), index)).collect();
        let sets: HashMap<_, _> = view.sets.iter().enumerate().map(|(index, set)| (set.name.as_str(), index)).collect();
        let are_unique = chains.len() == view.chains.len() && sets.len() == view.sets.len();
        Checked { view, at: At::table(view.family, view.name), chains, sets, are_unique, meters: RefCell::default() }
    }

    /// Reports the faults in this scope; the calls between chains (`links`) are checked in the
    /// whole table. Returns the calls, and the places from which the kernel reaches each chain.
    fn check(&self, links: Links, scope: &impl Scope, faults: &mut Vec<Fault>) -> Calls {
        names::name(self.at, self.view.name, faults);
        names::comment(self.at, self.view.comment, faults);
        if let Some(rules) = self.view.unread {
            self.at.report(faults, Problem::Unread { rules });
        }
        self.objects(faults);
        let mut seen = HashSet::new();
        for (index, set) in self.view.sets.iter().enumerate() {
            if !self.are_unique && !seen.insert(&set.name) {
                self.at.set(&set.name).report(faults, Problem::Duplicate);
            }
            if scope.set(index) {
                self.set(set, faults);
            }
        }
        let graph = graph::Graph::of(self, links);
        graph.loops_and_depth(self, faults);
        let mut seen = HashSet::new();
        for (index, chain) in self.view.chains.iter().enumerate() {
            if !self.are_unique && !seen.insert(chain.name) {
                self.at.chain(chain.name).report(faults, Problem::Duplicate);
            }
            if scope.chain(index) {
                self.chain(index, chain, &graph, faults);
            }
        }
        graph.into_calls()
    }

    fn find_set(&self, name: &Name) -> Option<&'a Set> {
        self.sets.get(name.as_str()).and_then(|index| self.view.sets.get(*index)).copied()
    }
}

impl Sets for Checked<'_, '_> {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        self.find_set(name).map(SetMode::of_set)
    }
}
