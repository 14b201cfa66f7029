//! Commands: what is added, changed and deleted, and where.

use std::collections::HashSet;

use super::blocks::OBJECTS;
use super::error::{Fault, Parsed};
use super::lexer::{Kind, Token};
use super::parser::{Parser, unsupported};
use crate::model::{
    Chain, ChainId, DataType, Family, Position, Rule, RuleHandle, Set, SetData, SetFlags, SetId, Table, TableId,
};
use crate::plan::{Operation, with_chains};

/// A command, and the word it begins with.
pub(super) struct Command<'t> {
    pub(super) at: Token<'t>,
    pub(super) what: What,
}

pub(super) enum What {
    /// Adds a table with everything in its block.
    Table(Table),
    Operations(Vec<Operation>),
}

/// What a command does with its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Create,
    Delete,
    Destroy,
    Flush,
    Insert,
    Replace,
}

const VERBS: [(&str, Verb); 7] = [
    ("add", Verb::Add),
    ("create", Verb::Create),
    ("delete", Verb::Delete),
    ("destroy", Verb::Destroy),
    ("flush", Verb::Flush),
    ("insert", Verb::Insert),
    ("replace", Verb::Replace),
];

impl<'t> Parser<'t> {
    /// Reads all commands of the text.
    pub(super) fn commands(&mut self) -> Parsed<Vec<Command<'t>>> {
        let (mut commands, mut changed) = (Vec::new(), HashSet::new());
        loop {
            self.skip_separators();
            if self.peek().kind == Kind::End {
                self.check_maps()?;
                commands.iter_mut().for_each(|command: &mut Command<'_>| self.make_dynamic(&mut command.what));
                return Ok(commands);
            }
            if self.directive()? {
                continue;
            }
            let at = self.peek();
            let what = self.command(&mut changed)?;
            self.end_of_part()?;
            commands.push(Command { at, what });
        }
    }

    /// Marks the sets that rules of the text change.
    fn make_dynamic(&self, what: &mut What) {
        if self.updated.is_empty() {
            return;
        }
        let mark = |table: &TableId, set: &mut Set| {
            if self.updated.contains(&table.set(&set.name)) {
                set.flags |= SetFlags::DYNAMIC;
            }
        };
        match what {
            What::Table(table) => {
                let id = TableId::from(&*table);
                table.sets.iter_mut().for_each(|set| mark(&id, set));
            }
            What::Operations(operations) => {
                for operation in operations {
                    if let Operation::AddSet { table, set } = operation {
                        mark(table, set);
                    }
                }
            }
        }
    }

    fn command(&mut self, changed: &mut HashSet<ChainId>) -> Parsed<What> {
        let first = self.peek();
        let verb = VERBS.iter().find(|(word, _)| first.is(word)).map(|(_, verb)| *verb);
        if verb.is_some() {
            self.next();
        } else if ["describe", "export", "get", "import", "list", "monitor", "rename", "reset"]
            .iter()
            .any(|word| first.is(word))
        {
            return Err(Fault::unsupported(first.at, first.length(), no_change(first.text)));
        }
        let (said, verb) = (verb.is_some(), verb.unwrap_or(Verb::Add));
        let object = self.peek();
        match object.text {
            _ if object.kind != Kind::Word => {
                self.unexpected("a command such as table inet NAME { ... } or add rule inet TABLE CHAIN ...")
            }
            "table" => self.table(verb),
            "chain" => self.chain(verb, changed),
            "rule" => {
                self.next();
                self.rule_command(verb, changed)
            }
            "set" | "map" => self.set(verb),
            "element" => self.element_command(verb),
            "ruleset" if verb == Verb::Flush => {
                self.next();
                let family = self.family_word_of_table();
                Ok(What::Operations(vec![Operation::FlushRuleset(family)]))
            }
            word if OBJECTS.contains(&word) => self.object(verb),
            "meter" | "hook" => self.unsupported(format_args!("the object {}", object.text)),
            // The word may be left out.
            _ if said && matches!(verb, Verb::Add | Verb::Insert | Verb::Replace) && self.begins_rule() => {
                self.rule_command(verb, changed)
            }
            _ => self.unexpected(
                "a command: add, create, insert, replace, delete, destroy, flush; or table, chain, rule, set, map, element",
            ),
        }
    }

    /// Returns whether a table and a chain are named here.
    fn begins_rule(&mut self) -> bool {
        let family = usize::from(Family::ALL.iter().any(|family| self.at(family.name())));
        (0..family + 2).all(|index| self.peek_at(index).kind == Kind::Word)
    }

    fn family_word_of_table(&mut self) -> Option<Family> {
        let token = self.peek();
        let found = Family::ALL.into_iter().find(|family| token.is(family.name()));
        if found.is_some() {
            self.next();
        }
        found
    }

    /// Reads family and name; without a family it is ip.
    fn table_id(&mut self) -> Parsed<TableId> {
        let family = self.family_word_of_table().unwrap_or(Family::Ip);
        self.family = family;
        if self.at("handle") {
            return self.unsupported("a table by its handle");
        }
        let id = TableId::new(family, self.name("the name of a table")?);
        self.table = Some(id.clone());
        Ok(id)
    }

    fn chain_id(&mut self) -> Parsed<ChainId> {
        let table = self.table_id()?;
        if self.at("handle") {
            return self.unsupported("a chain by its handle");
        }
        Ok(table.chain(self.name("the name of a chain")?))
    }

    fn set_id(&mut self) -> Parsed<SetId> {
        let table = self.table_id()?;
        if self.at("handle") {
            return self.unsupported("a set by its handle");
        }
        Ok(table.set(self.name("the name of a set")?))
    }

    fn table(&mut self, verb: Verb) -> Parsed<What> {
        let word = self.next();
        let id = self.table_id()?;
        let one = |operation| Ok(What::Operations(vec![operation]));
        match verb {
            Verb::Add | Verb::Create => {
                if verb == Verb::Create {
                    self.absent(word, |snapshot| snapshot.table(&id).is_some())?;
                }
                let table = if self.at("{") { self.table_block(&id)? } else { Table::new(id.family, &id.name) };
                Ok(What::Table(table))
            }
            Verb::Delete => one(Operation::DeleteTable(id)),
            Verb::Destroy => one(Operation::DestroyTable(id)),
            Verb::Flush => one(Operation::FlushTable(id)),
            Verb::Insert | Verb::Replace => Err(no_such(word, "table")),
        }
    }

    fn chain(&mut self, verb: Verb, changed: &mut HashSet<ChainId>) -> Parsed<What> {
        let word = self.next();
        let id = self.chain_id()?;
        changed.insert(id.clone());
        let operation = match verb {
            Verb::Add | Verb::Create => {
                if verb == Verb::Create {
                    self.absent(word, |snapshot| snapshot.chain(&id).is_some())?;
                }
                let chain = Chain::regular(&id.name);
                let chain = if self.at("{") { self.chain_block(chain)? } else { chain };
                let bound = std::mem::take(&mut self.bound);
                let mut operations = vec![Operation::add_chain(&id.table, &chain)];
                let add = |rule| Operation::AddRule { chain: id.clone(), position: Position::Last, rule };
                let rules = chain.rules.into_iter().map(add).collect();
                operations.extend(with_chains(rules, &id.table, &bound));
                return Ok(What::Operations(operations));
            }
            Verb::Delete | Verb::Destroy if self.at("{") => return self.unsupported("deleting a part of a chain"),
            Verb::Delete => Operation::DeleteChain(id),
            Verb::Destroy => Operation::DestroyChain(id),
            Verb::Flush => Operation::FlushChain(id),
            Verb::Insert | Verb::Replace => return Err(no_such(word, "chain")),
        };
        Ok(What::Operations(vec![operation]))
    }

    fn rule_command(&mut self, verb: Verb, changed: &mut HashSet<ChainId>) -> Parsed<What> {
        let start = self.peek();
        let chain = self.chain_id()?;
        let operation = match verb {
            Verb::Add | Verb::Create | Verb::Insert => {
                let position = self.position(verb, &chain, changed)?;
                Operation::AddRule { chain: chain.clone(), position, rule: self.some_rule()? }
            }
            Verb::Replace => {
                let handle = self.handle()?;
                Operation::ReplaceRule { chain: chain.clone(), handle, rule: self.some_rule()? }
            }
            Verb::Delete => Operation::DeleteRule { handle: self.handle()?, chain: chain.clone() },
            Verb::Destroy => Operation::DestroyRule { handle: self.handle()?, chain: chain.clone() },
            Verb::Flush => return Err(no_such(start, "rule")),
        };
        let bound = std::mem::take(&mut self.bound);
        let operations = with_chains(vec![operation], &chain.table, &bound);
        changed.insert(chain);
        Ok(What::Operations(operations))
    }

    fn some_rule(&mut self) -> Parsed<Rule> {
        if self.ends() { self.unexpected("the statements of the rule") } else { self.rule() }
    }

    fn handle(&mut self) -> Parsed<RuleHandle> {
        self.expect("handle")?;
        Ok(RuleHandle(self.number("the handle of a rule", u64::MAX)?))
    }

    /// Reads where a rule is added.
    fn position(&mut self, verb: Verb, chain: &ChainId, changed: &HashSet<ChainId>) -> Parsed<Position> {
        let word = self.peek();
        let handle = if self.at("handle") || self.at("position") {
            self.next();
            RuleHandle(self.number("the handle of a rule", u64::MAX)?)
        } else if self.take("index") {
            let number = self.peek();
            let index = self.number("the index of a rule, from 0", u32::MAX.into())?;
            let Some(snapshot) = self.reader().snapshot else {
                let why = "index: which rule it is decides the kernel; give its state (Reader::snapshot) or a handle";
                return Err(Fault::unsupported(word.at, word.length(), why));
            };
            if changed.contains(chain) {
                let why =
                    "index: this text changes the chain before, so that its rules are not counted here; give a handle";
                return Err(Fault::unsupported(word.at, word.length(), why));
            }
            let rules = snapshot.chain(chain).map_or(&[][..], |chain| &chain.rules);
            match usize::try_from(index).ok().and_then(|index| rules.get(index)) {
                Some(rule) => rule.handle,
                None => {
                    let why = format!("index {index}: chain {chain} has {} rules", rules.len());
                    return Err(Fault::wrong(number.at, number.length(), why));
                }
            }
        } else if verb == Verb::Insert {
            return Ok(Position::First);
        } else {
            return Ok(Position::Last);
        };
        Ok(if verb == Verb::Insert { Position::Before(handle) } else { Position::After(handle) })
    }

    fn set(&mut self, verb: Verb) -> Parsed<What> {
        let word = self.next();
        let id = self.set_id()?;
        let (table, name) = (id.table.clone(), id.name.clone());
        let operation = match verb {
            Verb::Add | Verb::Create => {
                if verb == Verb::Create {
                    self.absent(word, |snapshot| {
                        snapshot.table(&id.table).is_some_and(|table| table.set(id.name.as_str()).is_some())
                    })?;
                }
                if !self.at("{") {
                    return self.unexpected("the block of the set, such as { type ipv4_addr; }");
                }
                let set = self.set_block(Set::new(name, []), word.is("map"))?;
                self.sets.insert(id, (set.key.clone(), set.data.clone()));
                Operation::AddSet { table, set }
            }
            Verb::Delete => Operation::DeleteSet { table, set: name },
            Verb::Destroy => Operation::DestroySet { table, set: name },
            Verb::Flush => Operation::FlushSet { table, set: name },
            Verb::Insert | Verb::Replace => return Err(no_such(word, "set")),
        };
        Ok(What::Operations(vec![operation]))
    }

    fn element_command(&mut self, verb: Verb) -> Parsed<What> {
        let word = self.next();
        let id = self.set_id()?;
        let (key, data) = self.declared(&id)?;
        // To delete an element, its key is enough.
        let deletes = matches!(verb, Verb::Delete | Verb::Destroy);
        let elements = if deletes { self.keys(&key, &data)? } else { self.elements(&key, &data)? };
        let (table, set) = (id.table, Set::new(id.name, []).elements(elements));
        let operation = match verb {
            Verb::Add => Operation::AddElements { table, set },
            Verb::Delete => Operation::DeleteElements { table, set },
            Verb::Destroy => Operation::DestroyElements { table, set },
            Verb::Create => return Err(unsupported(word, "creating elements that must not exist")),
            Verb::Flush | Verb::Insert | Verb::Replace => return Err(no_such(word, "element")),
        };
        Ok(What::Operations(vec![operation]))
    }

    /// Returns key and data of a set: as the text declares it, as the kernel has it, or by the
    /// first element, if that is an address.
    fn declared(&mut self, id: &SetId) -> Parsed<(Vec<DataType>, SetData)> {
        if let Some(known) = self.sets.get(id) {
            return Ok(known.clone());
        }
        if let Some(set) = self.reader().held(id) {
            self.sets.insert(id.clone(), (set.key.clone(), set.data.clone()));
            return Ok((set.key, set.data));
        }
        let mut index = 0;
        while self.peek_at(index).is("{") || self.peek_at(index).kind == Kind::Newline {
            index += 1;
        }
        let (first, then) = (self.peek_at(index), self.peek_at(index + 1));
        let of = if first.text.contains(':') { DataType::Ipv6 } else { DataType::Ipv4 };
        if first.kind == Kind::Address && !then.is(".") {
            return Ok((vec![of], SetData::None));
        }
        let why = format!(
            "set {id} is not declared in this text, so that the type of its elements is open; declare it before, or give \
             the kernel's state (Reader::snapshot)"
        );
        Err(Fault::unsupported(first.at, first.length(), why))
    }

    fn object(&mut self, verb: Verb) -> Parsed<What> {
        let word = self.peek();
        let kind = self.object_kind()?;
        let made: fn(TableId, String, crate::model::Name) -> Operation = match verb {
            Verb::Delete => |table, kind, name| Operation::DeleteObject { table, kind, name },
            Verb::Destroy => |table, kind, name| Operation::DestroyObject { table, kind, name },
            Verb::Add | Verb::Create => {
                let table = self.table_id()?;
                let name = self.name("the name of the object")?;
                if verb == Verb::Create {
                    self.absent(word, |snapshot| {
                        let there = snapshot.table(&table).map(|table| table.objects.as_slice()).unwrap_or_default();
                        there.iter().any(|object| object.kind == kind && object.name == name)
                    })?;
                }
                let object = self.object_of(kind, name)?;
                return Ok(What::Operations(vec![Operation::AddObject { table, object }]));
            }
            Verb::Flush | Verb::Insert | Verb::Replace => return Err(no_such(word, "named object")),
        };
        let table = self.table_id()?;
        if self.at("handle") {
            return self.unsupported("an object by its handle");
        }
        let name = self.name("the name of the object")?;
        Ok(What::Operations(vec![made(table, kind.to_owned(), name)]))
    }

    /// Checks that what is created is not there.
    fn absent(&self, word: Token<'t>, exists: impl FnOnce(&crate::state::Snapshot) -> bool) -> Parsed<()> {
        match self.reader().snapshot {
            Some(snapshot) if exists(snapshot) => {
                Err(Fault::wrong(word.at, word.length(), "what is created exists already"))
            }
            Some(_) => Ok(()),
            None => {
                let why = "create: whether it exists decides the kernel; give its state (Reader::snapshot), or use add";
                Err(Fault::unsupported(word.at, word.length(), why))
            }
        }
    }
}

fn no_such(word: Token<'_>, object: &str) -> Box<Fault> {
    Fault::wrong(word.at, word.length(), format!("no such command of a {object}"))
}

/// Returns what to do instead of a command that is no change, or one that has no form here.
fn no_change(command: &str) -> String {
    match command {
        "rename" => {
            "rename: a transaction has no form for it; add the chain under its new name with its rules, move the \
                     jumps to it, and delete the old one"
                .to_owned()
        }
        "reset" => {
            "reset: reading counters and setting them to 0 is no change of rules; list them with state::Listing, \
                    and delete and add what should count anew"
                .to_owned()
        }
        "import" | "export" => format!("{command}: nft has this command no more; read or write files with a Reader"),
        question => format!("{question}: a question, and a text here only changes rules; state::Listing prints them"),
    }
}
