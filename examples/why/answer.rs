//! One answer: captured or not, by which rule, whose rule, and what would have to change.

use std::fmt;
use std::sync::Arc;

use nftmesh::model::{ChainId, Statement, Verdict};
use nftmesh::sim::{CannotTell, Change, End, Fate, RuleLine, Step, Walk};

use super::namespace::{Namespace, cut, matched, plain};
use super::owner::Owner;

pub(crate) enum Outcome {
    /// A rule sends it to a socket of this namespace.
    Captured {
        to: String,
    },
    CannotTell(CannotTell),
    NotCaptured,
}

pub(crate) struct Answer {
    pub outcome: Outcome,
    end: String,
    /// The rule that decided, and whose it is.
    by: Option<(Arc<RuleLine>, Owner)>,
    /// The rules that would have captured it, and what did not match.
    nearest: Vec<(Arc<RuleLine>, String)>,
    has_mesh: bool,
}

impl Answer {
    pub(crate) fn new(walk: &Walk, namespace: &Namespace) -> Self {
        let owner = |chain: &ChainId| Owner::of(chain, &namespace.ruleset);
        let mut last: Option<&Arc<RuleLine>> = None;
        let mut captured: Option<(String, Arc<RuleLine>)> = None;
        // The mesh's rule that let it pass: the last one that returned or accepted.
        let mut passed: Option<Arc<RuleLine>> = None;
        let mut nearest = Vec::new();
        for step in &walk.steps {
            match step {
                Step::Rule { rule, fate: Fate::Failed(index), .. }
                    if leads_to_proxy(rule) && owner(&rule.chain).is_mesh() =>
                {
                    nearest.push((Arc::clone(rule), rule.statement(*index).unwrap_or_default()));
                }
                Step::Rule { rule, fate, .. } if matched(step) => {
                    last = Some(rule);
                    let passes = matches!(fate, Fate::Matched(Verdict::Accept | Verdict::Return));
                    if passes && owner(&rule.chain).is_mesh() {
                        passed = Some(Arc::clone(rule));
                    }
                }
                Step::Change(change) => {
                    let to = match change {
                        Change::Dnat { from, to } if namespace.host.is_local(to.ip()) && from != to => {
                            Some(to.to_string())
                        }
                        Change::Tproxy { address, port } => {
                            let port = port.map_or("its own port".to_owned(), |port| format!("port {port}"));
                            Some(address.map_or(port.clone(), |address| format!("{address}, {port}")))
                        }
                        _ => None,
                    };
                    if let Some((to, rule)) = to.zip(last) {
                        captured.get_or_insert((to, Arc::clone(rule)));
                    }
                }
                _ => {}
            }
        }
        let decided = |rule: Arc<RuleLine>| {
            let owner = owner(&rule.chain);
            (rule, owner)
        };
        let mut by = passed.map(decided);
        let outcome = match (&walk.end, captured) {
            (End::CannotTell(why), None) => Outcome::CannotTell(why.clone()),
            (_, Some((to, rule))) => {
                by = Some(decided(rule));
                Outcome::Captured { to }
            }
            (End::DroppedByRule(rule) | End::Queued(rule) | End::Rejected(rule), None) => {
                by = Some(decided(Arc::clone(rule)));
                Outcome::NotCaptured
            }
            (_, None) => Outcome::NotCaptured,
        };
        let mut tables = namespace.ruleset.tables.iter();
        let has_mesh =
            tables.any(|table| table.chains.iter().any(|chain| owner(&table.id().chain(&chain.name)).is_mesh()));
        Answer { outcome, end: walk.end.to_string(), by, nearest, has_mesh }
    }

    fn remedy(&self) -> String {
        let stopped =
            self.end.starts_with("DROPPED") || self.end.starts_with("REJECTED") || self.end.starts_with("QUEUED");
        match (&self.outcome, &self.by) {
            (Outcome::CannotTell(_), _) => "trace such a packet: --live".to_owned(),
            (Outcome::Captured { .. }, Some((_, Owner::Mesh(_)))) => {
                "to leave it alone, exclude its address, port or user in the configuration of the mesh".to_owned()
            }
            (Outcome::Captured { .. }, Some((_, owner))) => {
                format!(
                    "to give it to the mesh, remove this rule, or have the mesh's chain run before it (it is of {owner})"
                )
            }
            (Outcome::NotCaptured, Some((rule, Owner::Mesh(_)))) if !stopped => match rule.rule.comment.as_deref() {
                Some(comment) => format!("to capture it, change what this rule stands for: {}", cut(comment, 100)),
                None => "to capture it, remove this rule from the configuration of the mesh".to_owned(),
            },
            (Outcome::NotCaptured, Some(_)) if stopped => {
                "this rule ends the way of the packet; change it first".to_owned()
            }
            (Outcome::NotCaptured, _) if !self.has_mesh => {
                "there are no rules of a mesh here; install them, for example with istio-init".to_owned()
            }
            (Outcome::NotCaptured, _) if self.nearest.is_empty() => {
                "no rule of the mesh is about such packets; look at its configuration".to_owned()
            }
            (Outcome::NotCaptured | Outcome::Captured { .. }, _) => {
                "to capture it, one of the rules above has to match".to_owned()
            }
        }
    }
}

/// Returns whether a rule captures, or leads to rules that may.
fn leads_to_proxy(rule: &RuleLine) -> bool {
    rule.rule.statements.iter().any(|statement| {
        matches!(
            statement,
            Statement::Redirect { .. } | Statement::Tproxy(_) | Statement::Verdict(Verdict::Goto(_) | Verdict::Jump(_))
        )
    })
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Captured { to } => writeln!(f, "CAPTURED: it goes to {to}")?,
            Outcome::CannotTell(why) => writeln!(f, "CANNOT TELL: {why}")?,
            Outcome::NotCaptured => writeln!(f, "NOT CAPTURED: {}", self.end)?,
        }
        if let Some((rule, owner)) = &self.by {
            writeln!(f, "  by      {}", line(rule))?;
            writeln!(f, "  whose   {owner}")?;
        } else if matches!(self.outcome, Outcome::NotCaptured) {
            for (rule, missing) in &self.nearest {
                writeln!(f, "  not     {}", line(rule))?;
                writeln!(f, "          since this does not match: {}", cut(missing, 80))?;
            }
        }
        writeln!(f, "  remedy  {}", self.remedy())
    }
}

fn line(rule: &RuleLine) -> String {
    let handle = rule.handle.map(|handle| format!(" (handle {handle})")).unwrap_or_default();
    format!("{}, rule {}{handle}: {}", rule.chain, rule.number, cut(&plain(rule), 160))
}
