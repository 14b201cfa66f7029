//! Selects the packets to trace, and builds the table that marks them.

use crate::error::{Error, Kind, Result};
use crate::model::{
    Chain, ChainType, Family, Field, Hook, Name, Priority, Rule, Ruleset, Statement, Table, TableFlags,
};

/// Selects the packets to trace: those that any alternative matches, or every packet if there is
/// none.
///
/// An alternative is a rule of matches, with a `limit` if a busy machine must be spared. It cannot
/// look up named sets, but it can contain lists. A packet is checked once on the way in
/// (prerouting) and once on the way out (output), before everything else, with these exceptions:
///
/// - a match of the input interface is checked only at prerouting; one of the output interface
///   only at forward and output, so prerouting is not reported for a forwarded packet;
/// - a match of the connection (`ct ...`) is checked right after connection tracking, which it
///   enables; chains before that (`raw`) are not reported;
/// - a packet that was marked at output stays marked over lo, and is traced where it comes in even
///   if it does not match there.
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
    /// Creates a filter for every packet.
    #[must_use]
    pub fn new() -> Self {
        TraceFilter::default()
    }

    /// Adds the packets that this rule matches; the first alternative restricts the filter to its
    /// packets.
    #[must_use]
    pub fn or(mut self, rule: Rule) -> Self {
        self.alternatives.push(rule);
        self
    }

    /// Checks everything that can be known without a kernel.
    ///
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) with the first alternative that has anything but matches
    /// and limits, or that a kernel would not accept.
    pub fn validate(&self) -> Result<()> {
        self.table("nftmesh-trace").map(drop)
    }

    /// Returns the table that marks matching packets and does nothing else; it is deleted with its
    /// owner.
    pub(super) fn table(&self, name: impl Into<Name>) -> Result<Table> {
        let name = name.into();
        let empty = || Table::new(Family::Inet, &name);
        let mut chains: Vec<Chain> = Vec::new();
        let every = [Rule::new()];
        let alternatives = if self.alternatives.is_empty() { &every[..] } else { &self.alternatives };
        for rule in alternatives {
            let wrong = |statement: &Statement| !matches!(statement, Statement::Match(_) | Statement::Limit(_));
            if rule.statements.iter().any(wrong) {
                return Err(invalid(rule, "does more than select packets; keep only matches and limits"));
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

/// Returns the hooks at which it is first known whether a rule matches.
fn places(rule: &Rule) -> impl Iterator<Item = (&'static str, Hook, Priority)> {
    let asks = |of: fn(Field) -> bool| {
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

fn is_of_connection(field: Field) -> bool {
    matches!(field, Field::CtDirection | Field::CtMark | Field::CtState | Field::CtStatus | Field::CtZone)
        || matches!(field, Field::CtDirected(_))
}

fn invalid(rule: &Rule, why: &str) -> Error {
    Error::new(Kind::Invalid, format!("trace filter, {rule}: {why}"))
}

/// `NF_IP_PRI_FIRST`: before defragmentation (-400), raw (-300) and everything else. Among equals,
/// the last to register runs first.
const FIRST: Priority = Priority(i32::MIN);
/// Right after `NF_IP_PRI_CONNTRACK` (-200).
const TRACKED: Priority = Priority(-199);
