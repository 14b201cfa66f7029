//! A table being read: its chains, their policies and their rules.

use std::collections::{HashMap, VecDeque};

use super::commands::{self, Done, Named};
use super::error::{Fault, Shown};
use super::line::{self, RuleSlot};
use super::making::Made;
use super::tables::{family_of, name};
use super::words::{self, Piece, Word};
use super::{ChainCounters, Unknown, targets, value};
use crate::model::{Chain, Classic, Hook, IpFamily, Name, Policy, Rule, Table};

/// The table between `*name` and `COMMIT`, or one that commands refer to.
pub(super) struct Open {
    pub(super) classic: Classic,
    /// Whether no line named it.
    by_default: bool,
    chains: Vec<OpenChain>,
    by_name: HashMap<Box<str>, usize>,
}

struct OpenChain {
    name: Name,
    hook: Option<Hook>,
    declared: bool,
    policy: Policy,
    /// Rules of the text, each one or more of nft: `-I` counts the rules of the text.
    rules: VecDeque<Made>,
}

impl Open {
    pub(super) fn new(classic: Classic, named: Named) -> Self {
        Open { classic, by_default: named == Named::ByDefault, chains: Vec::new(), by_name: HashMap::new() }
    }

    /// Reads a command or a rule, and returns the counters that it gives.
    pub(super) fn line(
        &mut self,
        words: &[Word<'_>],
        end: usize,
        family: IpFamily,
        unknown: Unknown,
    ) -> Result<Option<ChainCounters>, Fault> {
        match commands::run(words, end, self)? {
            Done::Chains(counters) => Ok(counters),
            Done::Rule => {
                let (chain, place, rules) = line::read(words, end, self, family, unknown)?;
                self.put(chain, place, rules)?;
                Ok(None)
            }
        }
    }

    /// Runs `-N`.
    pub(super) fn make(&mut self, chain: &Word<'_>) -> Result<(), Fault> {
        let piece = chain.piece();
        if let Some(fault) = name_fault(piece.text) {
            return Err(piece.wrong(format!("chain name {} {fault}", Shown(piece.text))));
        }
        if self.by_name.contains_key(piece.text) || hook(self.classic, piece.text).is_some() {
            return Err(piece.wrong(format!("chain {} is there already; make it once", Shown(piece.text))));
        }
        self.ensure(piece.text, None);
        Ok(())
    }

    /// Runs `-P`.
    pub(super) fn policy(
        &mut self,
        chain: &Word<'_>,
        policy: &Word<'_>,
        counters: Option<(u64, u64)>,
    ) -> Result<Option<ChainCounters>, Fault> {
        let Some(hook) = hook(self.classic, &chain.text) else {
            let what = format!("table {} has no built-in chain {}", name(self.classic), Shown(&chain.text));
            return Err(chain.piece().wrong(format!("{what}, and only those have a policy{}", self.hint())));
        };
        let given = match &*policy.text {
            "ACCEPT" => Policy::Accept,
            "DROP" => Policy::Drop,
            other => {
                let what = format!("unknown policy {}; there are ACCEPT and DROP", Shown(other));
                return Err(policy.piece().wrong(what));
            }
        };
        let index = self.ensure(&chain.text, Some(hook));
        let Some(chain) = self.chains.get_mut(index) else { return Ok(None) };
        chain.policy = given;
        let counted = |(packets, bytes)| {
            let (table, chain) = (Name::from(name(self.classic)), chain.name.clone());
            ChainCounters { table, chain, packets, bytes }
        };
        Ok(counters.map(counted))
    }

    /// Runs `-F` without a chain.
    pub(super) fn flush(&mut self) {
        self.chains.iter_mut().for_each(|chain| chain.rules.clear());
    }

    /// Runs `-F` for one chain.
    pub(super) fn flush_chain(&mut self, chain: &Word<'_>) -> Result<(), Fault> {
        let index = self.chain(chain)?;
        self.chains.get_mut(index).into_iter().for_each(|chain| chain.rules.clear());
        Ok(())
    }

    /// Returns a hint for a chain that is not found.
    fn hint(&self) -> &'static str {
        if self.by_default {
            " (a line without -t is about filter; put -t TABLE into it, or *TABLE above and COMMIT below)"
        } else {
            ""
        }
    }

    /// Reads `:CHAIN POLICY [packets:bytes]` from after the colon.
    pub(super) fn declare(&mut self, line: &str, start: usize) -> Result<Option<ChainCounters>, Fault> {
        let mut words = Vec::new();
        words::split(line, start, &mut words)?;
        let end = Piece { text: "", at: line.len() };
        let [chain, policy, rest @ ..] = words.as_slice() else {
            return Err(end.wrong("a chain is declared as in :NAME - [0:0]; give name and policy"));
        };
        let (chain, policy) = (chain.piece(), policy.piece());
        let hook = hook(self.classic, chain.text);
        if let Some(fault) = name_fault(chain.text) {
            return Err(chain.wrong(format!("chain name {} {fault}", Shown(chain.text))));
        }
        let index = self.ensure(chain.text, hook);
        let Some(declared) = self.chains.get_mut(index) else { return Ok(None) };
        if declared.declared {
            return Err(chain.wrong(format!("chain {} is declared twice; remove one", Shown(chain.text))));
        }
        declared.declared = true;
        match (hook, policy.text) {
            (_, "-") => {}
            (Some(_), "ACCEPT") => declared.policy = Policy::Accept,
            (Some(_), "DROP") => declared.policy = Policy::Drop,
            (Some(_), other) => {
                return Err(policy.wrong(format!("unknown policy {}; there are ACCEPT and DROP", Shown(other))));
            }
            (None, _) => {
                let what = format!("chain {} is not a built-in one, so it has no policy; write -", Shown(chain.text));
                return Err(policy.wrong(what));
            }
        }
        let counters = match rest {
            [] => return Ok(None),
            [counters] => value::counters(counters.piece())?,
            [_, more, ..] => return Err(more.piece().wrong("nothing may follow the counters; remove it")),
        };
        let (packets, bytes) = counters;
        let table = Name::from(name(self.classic));
        Ok(Some(ChainCounters { table, chain: declared.name.clone(), packets, bytes }))
    }

    fn ensure(&mut self, name: &str, hook: Option<Hook>) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = self.chains.len();
        let (policy, rules) = (Policy::Accept, VecDeque::new());
        self.chains.push(OpenChain { name: name.into(), hook, declared: false, policy, rules });
        self.by_name.insert(name.into(), index);
        index
    }

    /// Returns the chain that a rule goes to, a declared or a built-in one.
    pub(super) fn chain(&mut self, word: &Word<'_>) -> Result<usize, Fault> {
        if let Some(index) = self.by_name.get(&*word.text) {
            return Ok(*index);
        }
        match hook(self.classic, &word.text) {
            Some(hook) => Ok(self.ensure(&word.text, Some(hook))),
            None => {
                let (shown, table) = (Shown(&word.text), name(self.classic));
                let hint = self.hint();
                let what = format!("table {table} has no chain {shown}; declare it with :{shown} - [0:0]{hint}");
                Err(word.piece().wrong(what))
            }
        }
    }

    /// Returns the name of a chain that rules may jump to, or `None`.
    pub(super) fn callable(&self, word: &Word<'_>) -> Result<Option<Name>, Fault> {
        let piece = word.piece();
        let base =
            |name: &str| piece.wrong(format!("chain {name} is called by the kernel only; jump to a chain of your own"));
        match self.by_name.get(piece.text).and_then(|index| self.chains.get(*index)) {
            Some(OpenChain { hook: None, name, .. }) => Ok(Some(name.clone())),
            Some(OpenChain { hook: Some(_), name, .. }) => Err(base(name.as_str())),
            None if hook(self.classic, piece.text).is_some() => Err(base(piece.text)),
            None => Ok(None),
        }
    }

    fn put(&mut self, chain: usize, place: RuleSlot, made: Vec<Made>) -> Result<(), Fault> {
        let Some(OpenChain { rules, name, .. }) = self.chains.get_mut(chain) else { return Ok(()) };
        match place {
            RuleSlot::Last => rules.extend(made),
            RuleSlot::At { index, at } => {
                if index > rules.len() {
                    let (count, last) = (rules.len(), rules.len() + 1);
                    let what = format!("chain {} has {count} rules; insert at 1 to {last}", Shown(name.as_str()));
                    return Err(Fault::wrong(at, what));
                }
                // One by one at the same index, as iptables inserts them: the last becomes the
                // first.
                made.into_iter().for_each(|made| rules.insert(index, made));
            }
        }
        Ok(())
    }

    pub(super) fn close(self, family: IpFamily) -> Table {
        let Open { classic, by_default: _, chains, by_name: _ } = self;
        let mut table = Table::new(family_of(family), name(classic));
        table.chains = chains.into_iter().map(|chain| chain.close(classic)).collect();
        table
    }
}

impl OpenChain {
    fn close(self, classic: Classic) -> Chain {
        let OpenChain { name, hook, declared: _, policy, rules } = self;
        let base = hook.and_then(|hook| classic.chain(&name, hook)).map(|chain| chain.policy(policy));
        let mut chain = base.unwrap_or_else(|| Chain::regular(&name));
        let all = |Made { first, more }: Made| std::iter::once(first).chain(more);
        chain.rules = rules.into_iter().flat_map(all).collect::<Vec<Rule>>();
        chain
    }
}

/// Returns the hook of a built-in chain.
fn hook(classic: Classic, chain: &str) -> Option<Hook> {
    let hook = match chain {
        "PREROUTING" => Hook::Prerouting,
        "INPUT" => Hook::Input,
        "FORWARD" => Hook::Forward,
        "OUTPUT" => Hook::Output,
        "POSTROUTING" => Hook::Postrouting,
        _ => return None,
    };
    classic.hooks().contains(&hook).then_some(hook)
}

/// Returns why iptables(8) rejects the name of a chain.
fn name_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty; give it one")
    } else if name.len() > LONGEST {
        Some("is longer than 28 bytes; shorten it")
    } else if name.starts_with(['-', '!']) {
        Some("begins with - or !; rename it")
    } else if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Some("holds a blank; rename it")
    } else if targets::find(name).is_some() {
        Some("is that of a target; rename it")
    } else {
        None
    }
}

/// `XT_EXTENSION_MAXNAMELEN` - 1, include/uapi/linux/netfilter/x_tables.h.
const LONGEST: usize = 28;
