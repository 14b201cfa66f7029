//! A rule in the making: statements from its matches and its target, and the rules that one line
//! becomes.

use super::error::Fault;
use super::words::Piece;
use crate::model::{Classic, IpFamily, Match, Protocol, Rule, Statement, Verdict};

/// What matches and targets of one line add to.
pub(super) struct Making {
    pub(super) family: IpFamily,
    pub(super) table: Classic,
    /// The protocol that `-p` gave, where it is not negated.
    pub(super) protocol: Option<Protocol>,
    matches: Vec<Alternatives>,
    actions: Vec<Statement>,
    comment: Option<String>,
    /// A match that remembers packets: asking it twice is not asking it once.
    remembers: Option<&'static str>,
    /// What is not captured by a `TPROXY` is dropped.
    else_drop: bool,
    in_two: bool,
}

/// Statements of which one list holds for each rule that the line becomes.
enum Alternatives {
    One(Statement),
    Several(Vec<Vec<Statement>>),
}

/// A rule of the text as rules of nft, at least one.
pub(super) struct Made {
    pub(super) first: Rule,
    pub(super) more: Vec<Rule>,
}

/// How far one can go back.
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

    /// A statement that stands among the matches.
    pub(super) fn statement(&mut self, statement: Statement) {
        self.matches.push(Alternatives::One(statement));
    }

    /// One of two lists, which exclude each other.
    pub(super) fn either(&mut self, alternatives: [Vec<Statement>; 2]) {
        self.in_two = true;
        self.matches.push(Alternatives::Several(alternatives.into()));
    }

    /// A match that remembers packets.
    pub(super) fn remembering(&mut self, name: &'static str, statement: Statement) {
        self.remembers = Some(name);
        self.statement(statement);
    }

    pub(super) fn action(&mut self, statement: Statement) {
        self.actions.push(statement);
    }

    /// Another rule drops what this one did not take.
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

    /// Takes back what was added since.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.matches.truncate(mark.matches);
        self.actions.truncate(mark.actions);
    }

    /// The rules, one for each of `addresses`, with the same statements behind them.
    pub(super) fn finish(
        self,
        addresses: Vec<Vec<Statement>>,
        counter: Option<(u64, u64)>,
        at: usize,
    ) -> Result<Vec<Made>, Fault> {
        let Making { mut matches, mut actions, comment, remembers, else_drop, in_two, .. } = self;
        if let Some(name) = remembers.filter(|_| else_drop || in_two) {
            let what = if else_drop { "target TPROXY" } else { "match multiport --ports" };
            let what = format!("match {name} together with {what} would be two rules, each with a {name} of its own");
            return Err(Fault::unknown(at, format!("{what}; put {name} in a rule in front")));
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
                    // All of it was counted with the first.
                    (*packets, *bytes) = (0, 0);
                }
                let rule = |statements| Rule { statements, comment: comment.clone(), ..Rule::new() };
                rules.push(rule(statements));
                rules.extend(dropping.map(rule));
            }
            let mut rules = rules.into_iter();
            made.extend(rules.next().map(|first| Made { first, more: rules.collect() }));
        }
        Ok(made)
    }

    /// The protocol of the rule, which has to be one of these.
    pub(super) fn needs_protocol(&self, at: Piece<'_>, what: &str, among: &[Protocol]) -> Result<Protocol, Fault> {
        self.protocol.filter(|protocol| among.contains(protocol)).ok_or_else(|| {
            let names: Vec<_> = among.iter().filter_map(|protocol| protocol.name()).collect();
            let names = names.join(" or -p ");
            at.wrong(format!("{what} works only with one protocol; add -p {names}"))
        })
    }

    /// The table of the rule, which has to be this one.
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

/// The only choice there is, without a copy: nearly every line.
fn moved(mut start: Vec<Statement>, parts: &mut Vec<Alternatives>) -> Vec<Statement> {
    for part in parts.drain(..) {
        match part {
            Alternatives::One(statement) => start.push(statement),
            Alternatives::Several(lists) => start.extend(lists.into_iter().flatten()),
        }
    }
    start
}

/// Every choice, the first alternatives first.
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

/// Rules that one line may become.
const MOST: usize = 1024;
