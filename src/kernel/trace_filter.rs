//! Which packets are traced, and the table that marks them.

use crate::error::{Error, Kind, Result};
use crate::model::{
    Chain, ChainType, Family, Field, Hook, Name, Priority, Rule, Ruleset, Statement, Table, TableFlags,
};

/// Which packets are traced: those that any of the alternatives matches, without one every packet.
///
/// An alternative is a rule of matches, and of `limit` where a busy machine has to be spared. Sets
/// by name cannot be looked up, lists can. A packet is looked at once on the way in (prerouting)
/// and once on the way out (output), before everything else; but
///
/// - a match on the interface it comes in on is asked only at prerouting; one on the interface it
///   leaves on only at forward and output: of a forwarded packet, nothing is told of prerouting;
/// - a match on the connection (`ct ...`) is asked right behind connection tracking, which it
///   switches on; chains in front of that (`raw`) are not told of;
/// - a packet that was marked at output stays marked over lo, and is traced where it comes in,
///   whether or not it matches there too.
///
/// ```
/// use nftmesh::kernel::TraceFilter;
/// use nftmesh::model::{Limit, LimitUnit, Rule};
///
/// let filter = TraceFilter::new()
///     .or(Rule::new().tcp_dport([80, 443]).skuid(1000))
///     .or(Rule::new().udp_dport(53).limit(Limit::packets(10, LimitUnit::Second)));
/// filter.validate()?;
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceFilter {
    alternatives: Vec<Rule>,
}

impl TraceFilter {
    /// Every packet.
    #[must_use]
    pub fn new() -> Self {
        TraceFilter::default()
    }

    /// Those too that this rule matches; the first alternative leaves only its own.
    #[must_use]
    pub fn or(mut self, rule: Rule) -> Self {
        self.alternatives.push(rule);
        self
    }

    /// Checks everything that can be known without a kernel.
    ///
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) with the first alternative that is no rule of matches and
    /// limits, or that a kernel would not take.
    pub fn validate(&self) -> Result<()> {
        self.table("nftmesh-trace").map(drop)
    }

    /// The table that marks what matches, and nothing else; it dies with its owner.
    pub(super) fn table(&self, name: impl Into<Name>) -> Result<Table> {
        let name = name.into();
        let empty = || Table::new(Family::Inet, &name);
        let mut chains: Vec<Chain> = Vec::new();
        let every = [Rule::new()];
        let alternatives = if self.alternatives.is_empty() { &every[..] } else { &self.alternatives };
        for rule in alternatives {
            let wrong = |statement: &Statement| !matches!(statement, Statement::Match(_) | Statement::Limit(_));
            if rule.statements.iter().any(wrong) {
                return Err(invalid(rule, "says more than which packets; leave only matches and limits"));
            }
            let marking = rule.clone().nftrace().accept();
            let own: Vec<Chain> = places(rule)
                .map(|(name, hook, priority)| {
                    Chain::base(name, ChainType::Filter, hook, priority).rule(marking.clone())
                })
                .collect();
            let alone = own.iter().cloned().fold(empty(), Table::chain);
            Ruleset::new().table(alone).validate_strictly().map_err(|wrong| match wrong.faults() {
                [fault, ..] => invalid(rule, &fault.problem.to_string()),
                [] => invalid(rule, &wrong.to_string()),
            })?;
            for chain in own {
                match chains.iter_mut().find(|known| known.name == chain.name) {
                    Some(known) => known.rules.extend(chain.rules),
                    None => chains.push(chain),
                }
            }
        }
        Ok(chains.into_iter().fold(empty().flags(TableFlags::OWNER), Table::chain))
    }
}

impl From<Rule> for TraceFilter {
    fn from(rule: Rule) -> Self {
        TraceFilter::new().or(rule)
    }
}

/// Where a rule can first tell whether it matches.
fn places(rule: &Rule) -> impl Iterator<Item = (&'static str, Hook, Priority)> {
    let asks = |of: fn(&Field) -> bool| {
        let selectors = rule.statements.iter().filter_map(|statement| match statement {
            Statement::Match(matches) => Some(&matches.selector),
            _ => None,
        });
        selectors.flat_map(|selector| selector.fields()).any(of)
    };
    let came_in = asks(|field| matches!(field, Field::Iif | Field::Iifname));
    let leaves = asks(|field| matches!(field, Field::Oif | Field::Oifname));
    let connection = asks(is_of_connection);
    let hooks: &[Hook] = match (came_in, leaves) {
        (false, false) => &[Hook::Prerouting, Hook::Output],
        (true, false) => &[Hook::Prerouting],
        (false, true) => &[Hook::Forward, Hook::Output],
        (true, true) => &[Hook::Forward],
    };
    hooks.iter().map(move |hook| match (connection, hook) {
        (true, Hook::Prerouting) => ("prerouting-tracked", Hook::Prerouting, TRACKED),
        (true, Hook::Output) => ("output-tracked", Hook::Output, TRACKED),
        (_, hook) => (hook.name(), *hook, FIRST),
    })
}

fn is_of_connection(field: &Field) -> bool {
    matches!(field, Field::CtDirection | Field::CtMark | Field::CtState | Field::CtStatus | Field::CtZone)
}

fn invalid(rule: &Rule, why: &str) -> Error {
    Error::new(Kind::Invalid, format!("trace filter, {rule}: {why}"))
}

/// `NF_IP_PRI_FIRST`: before defragmentation (-400), raw (-300) and all else. Of equals, the last
/// to come is the first to run.
const FIRST: Priority = Priority(i32::MIN);
/// Right behind `NF_IP_PRI_CONNTRACK` (-200).
const TRACKED: Priority = Priority(-199);
