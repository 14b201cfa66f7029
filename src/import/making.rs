//! A rule under construction: statements from its matches and its target, and the rules that one
//! line becomes.

use super::error::Fault;
use super::raw::in_statements;
use super::words::Piece;
use crate::model::{Classic, IpFamily, Match, Protocol, Rule, Statement, Verdict};

/// Collects the statements of the matches and the target of one line.
pub(super) struct Making {
    pub(super) family: IpFamily,
    pub(super) table: Classic,
    /// The protocol given by `-p`, unless negated.
    pub(super) protocol: Option<Protocol>,
    matches: Vec<Alternatives>,
    actions: Vec<Statement>,
    comment: Option<String>,
    /// A stateful match: evaluating it twice per packet changes the result.
    remembers: Option<&'static str>,
    /// Packets that a `TPROXY` does not capture are dropped.
    else_drop: bool,
    in_two: bool,
}

/// Alternative lists of statements: each rule that the line becomes has one of them.
enum Alternatives {
    One(Statement),
    Several(Vec<Vec<Statement>>),
}

/// A rule of the text as one or more rules of nft.
pub(super) struct Made {
    pub(super) first: Rule,
    pub(super) more: Vec<Rule>,
}

/// A state that [`Making::back_to`] restores.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    matches: usize,
    actions: usize,
}

impl Making {
    pub(super) fn new(family: IpFamily, table: Classic, protocol: Option<Protocol>) -> Self {
        Making {
            family,
            table,
            protocol,
            matches: Vec::new(),
            actions: Vec::new(),
            comment: None,
            remembers: None,
            else_drop: false,
            in_two: false,
        }
    }

    pub(super) fn matches(&mut self, matches: Match) {
        self.statement(Statement::Match(matches));
    }

    /// Adds a statement among the matches.
    pub(super) fn statement(&mut self, statement: Statement) {
        self.matches.push(Alternatives::One(statement));
    }

    /// Adds two mutually exclusive lists of statements.
    pub(super) fn either(&mut self, alternatives: [Vec<Statement>; 2]) {
        self.in_two = true;
        self.matches.push(Alternatives::Several(alternatives.into()));
    }

    /// Adds a stateful match.
    pub(super) fn remembering(&mut self, name: &'static str, statement: Statement) {
        self.remembers = Some(name);
        self.statement(statement);
    }

    pub(super) fn action(&mut self, statement: Statement) {
        self.actions.push(statement);
    }

    /// Adds a second rule that drops what the first one did not take.
    pub(super) fn else_drop(&mut self) {
        self.else_drop = true;
    }

    pub(super) fn comment(&mut self, text: &str) {
        match &mut self.comment {
            Some(comment) => {
                comment.push_str("; ");
                comment.push_str(text);
            }
            None => self.comment = Some(text.to_owned()),
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { matches: self.matches.len(), actions: self.actions.len() }
    }

    /// Removes everything added since `mark`.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.matches.truncate(mark.matches);
        self.actions.truncate(mark.actions);
    }

    /// Returns the rules, one for each of `addresses`, with the same statements after them.
    pub(super) fn finish(
        self,
        addresses: Vec<Vec<Statement>>,
        counter: Option<(u64, u64)>,
        at: usize,
    ) -> Result<Vec<Made>, Fault> {
        let Making { family, mut matches, mut actions, comment, remembers, else_drop, in_two, .. } = self;
        if let Some(name) = remembers.filter(|_| else_drop || in_two) {
            let what = if else_drop { "target TPROXY" } else { "match multiport --ports" };
            let what = format!("match {name} together with {what} would be two rules, each with a {name} of its own");
            return Err(Fault::unknown(at, format!("{what}; put {name} in a rule before this one")));
        }
        let counter = counter.or(actions.is_empty().then_some((0, 0)));
        let counts = |(packets, bytes)| Statement::Counter { packets, bytes };
        actions.splice(0..0, counter.map(counts));
        let comment = comment.map(String::into_boxed_str);
        let mut made = Vec::with_capacity(addresses.len());
        let most = matches.iter().fold(addresses.len(), |most, part| most.saturating_mul(part.count()));
        if most > MOST {
            return Err(Fault::wrong(at, format!("this line is {most} rules, and one may be {MOST}; split it")));
        }
        let only = most == 1;
        for address in addresses {
            let mut rules = Vec::with_capacity(2);
            let variants = if only { vec![moved(address, &mut matches)] } else { variants(address, &matches) };
            for (index, mut statements) in variants.into_iter().enumerate() {
                let dropping = else_drop.then(|| {
                    let mut statements = statements.clone();
                    statements.push(Statement::Verdict(Verdict::Drop));
                    statements
                });
                if only {
                    statements.append(&mut actions);
                } else {
                    statements.extend(actions.iter().cloned());
                }
                if let (1.., Some(Statement::Counter { packets, bytes })) =
                    (index, statements.iter_mut().find(|statement| matches!(statement, Statement::Counter { .. })))
                {
                    // The first rule holds the whole count.
                    (*packets, *bytes) = (0, 0);
                }
                let rule =
                    |statements| in_statements(Rule { statements, comment: comment.clone(), ..Rule::new() }, family);
                rules.push(rule(statements));
                rules.extend(dropping.map(rule));
            }
            let mut rules = rules.into_iter();
            made.extend(rules.next().map(|first| Made { first, more: rules.collect() }));
        }
        Ok(made)
    }

    /// Returns the protocol of the rule, which must be one of these.
    pub(super) fn needs_protocol(&self, at: Piece<'_>, what: &str, among: &[Protocol]) -> Result<Protocol, Fault> {
        self.protocol.filter(|protocol| among.contains(protocol)).ok_or_else(|| {
            let names: Vec<_> = among.iter().filter_map(|protocol| protocol.name()).collect();
            let names = names.join(" or -p ");
            at.wrong(format!("{what} works only with one protocol; add -p {names}"))
        })
    }

    /// Fails unless the rule is in this table.
    pub(super) fn needs_table(&self, at: usize, what: &str, table: Classic) -> Result<(), Fault> {
        let what = || format!("target {what} works only in table {}; move the rule there", super::tables::name(table));
        if self.table == table { Ok(()) } else { Err(Fault::wrong(at, what())) }
    }
}

impl Alternatives {
    fn count(&self) -> usize {
        match self {
            Alternatives::One(_) => 1,
            Alternatives::Several(lists) => lists.len(),
        }
    }
}

/// Returns the only variant without copying, which suffices for nearly every line.
fn moved(mut start: Vec<Statement>, parts: &mut Vec<Alternatives>) -> Vec<Statement> {
    for part in parts.drain(..) {
        match part {
            Alternatives::One(statement) => start.push(statement),
            Alternatives::Several(lists) => start.extend(lists.into_iter().flatten()),
        }
    }
    start
}

/// Returns every variant, the first alternatives first.
fn variants(start: Vec<Statement>, parts: &[Alternatives]) -> Vec<Vec<Statement>> {
    let mut variants = vec![start];
    for part in parts {
        match part {
            Alternatives::One(statement) => variants.iter_mut().for_each(|variant| variant.push(statement.clone())),
            Alternatives::Several(lists) => {
                let chosen = |variant: &Vec<Statement>| {
                    let lists = lists.iter();
                    lists.map(|list| variant.iter().chain(list).cloned().collect()).collect::<Vec<_>>()
                };
                variants = variants.iter().flat_map(chosen).collect();
            }
        }
    }
    variants
}

/// The most rules that one line may become.
const MOST: usize = 1024;
