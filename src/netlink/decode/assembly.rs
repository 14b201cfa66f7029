//! Assembles the messages of several dumps: tables, then their contents, then the anonymous sets
//! into their rules.

use std::collections::{HashMap, HashSet};
use std::mem::take;

use super::canonical::{canonical, kernel_order};
use super::set::Elements;
use super::uses::count_unlisted;
use super::{InTable, Item, item};
use crate::attr::{AttributeWriter, Attributes, Malformed, Message};
use crate::bytecode::{AnonymousSet, Expr, LookupSet};
use crate::bytecode::{DynsetCode, ObjrefMapCode};
use crate::model::{Generation, Name, TableId};
use crate::state::{ChainState, OpaqueMessage, SetState, Snapshot, TableState};

/// A snapshot being assembled. Messages come in the order of the kernel's dumps: tables, chains,
/// sets, elements, rules, objects; a message that precedes what it belongs to is kept undecoded.
#[derive(Debug, Default)]
pub(crate) struct Assembly<'w> {
    /// Only these tables, or all when `None`.
    wanted: Option<HashSet<&'w TableId>>,
    snapshot: Snapshot,
    /// Whether there is a table that is not wanted.
    left_out: bool,
    /// The indexes that the last message belonged to; most often the next one belongs there too.
    table: usize,
    chain: usize,
    set: usize,
}

/// The request for the elements of a set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ElementRequest {
    /// The indexes of table and set in the assembly; `None` for a set that cannot be named.
    set: Option<(usize, usize)>,
    /// `NFPROTO_*`.
    pub(crate) family: u8,
    /// Attributes that name table and set.
    pub(crate) attributes: Vec<u8>,
}

/// The request for the rules of one chain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RuleRequest {
    /// The indexes of table and chain in the assembly.
    chain: (usize, usize),
    /// `NFPROTO_*`.
    pub(crate) family: u8,
    /// Attributes that name table and chain.
    pub(crate) attributes: Vec<u8>,
}

impl<'w> Assembly<'w> {
    /// Assembles these tables, or all.
    pub(crate) fn new(wanted: Option<&'w [TableId]>) -> Self {
        Assembly { wanted: wanted.map(|wanted| wanted.iter().collect()), ..Assembly::default() }
    }

    /// Assembles parts of tables: messages about other contents are added to these.
    pub(crate) fn of_parts(tables: Vec<TableState>) -> Self {
        Assembly { snapshot: Snapshot { tables, ..Snapshot::default() }, ..Assembly::default() }
    }

    /// Returns the names of sets that rules so far look up and that are missing, each with its
    /// table.
    pub(crate) fn sets_missing(&self) -> Vec<(TableId, Name)> {
        let mut missing = Vec::new();
        for table in &self.snapshot.tables {
            let exprs = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
            let named = exprs.filter_map(|expr| match expr {
                Expr::Opaque { name, data, .. } => set_named_in(name, data),
                expr => expr.named_set().cloned(),
            });
            let here: HashSet<&Name> = table.sets.iter().map(|set| &set.name).collect();
            let mut names: Vec<Name> = named.filter(|name| !here.contains(name)).collect();
            names.sort_unstable();
            names.dedup();
            missing.extend(names.into_iter().map(|name| (table.id.clone(), name)));
        }
        missing
    }

    /// Removes the set that was read last, unless it is anonymous.
    pub(crate) fn keep_anonymous(&mut self) {
        if let Some(sets) = self.snapshot.tables.get_mut(self.table).map(|table| &mut table.sets) {
            if sets.last().is_some_and(|set| !is_anonymous(set)) {
                sets.pop();
            }
        }
    }

    /// Adds one message where it belongs.
    pub(crate) fn read(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let misplaced = match item(message)? {
            Item::Chain(place, chain) => match self.table(place) {
                Some(table) => {
                    table.chains.push(chain);
                    false
                }
                None => true,
            },
            Item::Elements(place, set, read) => match self.set(place, set) {
                Some(set) => {
                    add(set, read);
                    false
                }
                None => true,
            },
            Item::Object(place, object) => match self.table(place) {
                Some(table) => {
                    table.objects.push(object);
                    false
                }
                None => true,
            },
            Item::Opaque => true,
            Item::Rule(place, chain, rule) => match self.chain(place, chain) {
                Some(chain) => {
                    chain.rules.push(rule);
                    false
                }
                None => true,
            },
            Item::Set(place, set) => match self.table(place) {
                Some(table) => {
                    table.sets.push(set);
                    false
                }
                None => true,
            },
            Item::Table(table) => {
                if self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&table.id)) {
                    self.snapshot.tables.push(table);
                } else {
                    self.left_out = true;
                }
                false
            }
        };
        // A caller that wants some tables does not want what is outside them.
        if misplaced && (self.wanted.is_none() || self.is_within(message)) {
            self.snapshot.opaque.extend(opaque(message));
        }
        Ok(())
    }

    /// Returns whether a table was skipped because it is not wanted.
    pub(crate) fn left_out(&self) -> bool {
        self.left_out
    }

    /// Returns whether a table holds more than the chains and sets so far: objects or flowtables,
    /// by the kernel's count, which excludes anonymous sets once they are committed
    /// (nf_tables_commit, net/netfilter/nf_tables_api.c).
    pub(crate) fn has_more(&self) -> bool {
        let counted = |table: &TableState| {
            let named = table.sets.iter().filter(|set| !is_anonymous(set)).count();
            usize::try_from(table.uses) == Ok(table.chains.len() + named)
        };
        !self.snapshot.tables.iter().all(counted)
    }

    /// Returns whether a message is about something in a table of the assembly; attribute 1 names
    /// it in every message.
    fn is_within(&self, message: &Message<'_>) -> bool {
        let place = message.netfilter().and_then(|(family, attributes)| InTable::of(family, &attributes.find(1)?));
        place.is_some_and(|place| self.tables().any(|id| place.is(id)))
    }

    /// Returns the tables so far.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &TableId> {
        self.snapshot.tables.iter().map(|table| &table.id)
    }

    /// Returns the requests for the elements of all sets so far, including those that cannot be
    /// named.
    pub(crate) fn element_requests(&self) -> Vec<ElementRequest> {
        let named = self.snapshot.tables.iter().enumerate().flat_map(|(table_index, table)| {
            let TableId { family, name } = &table.id;
            table.sets.iter().enumerate().map(move |(index, set)| ElementRequest {
                set: Some((table_index, index)),
                family: family.number(),
                attributes: names(name.as_str().as_bytes(), set.name.as_str().as_bytes()),
            })
        });
        let sets = self.snapshot.opaque.iter().filter(|message| message.kind == super::kind::NEWSET);
        let unnamed = sets.filter_map(|message| {
            let find = |kind| Attributes::new(&message.attributes).find(kind)?.value.strip_suffix(&[0]);
            Some(ElementRequest { set: None, family: message.family, attributes: names(find(1)?, find(2)?) })
        });
        named.chain(unnamed).collect()
    }

    /// Returns the requests for anonymous sets only, which are part of their rules.
    pub(crate) fn anonymous_element_requests(&self) -> Vec<ElementRequest> {
        let is_wanted = |request: &ElementRequest| {
            let set = request.set.and_then(|(table, set)| self.snapshot.tables.get(table)?.sets.get(set));
            set.is_some_and(is_anonymous)
        };
        self.element_requests().into_iter().filter(is_wanted).collect()
    }

    /// Sorts the elements of a set once all were read. Returns `false` when some are missing
    /// because the kernel moved them meanwhile; all are then removed and have to be requested
    /// again.
    pub(crate) fn settle(&mut self, request: &ElementRequest) -> bool {
        let Some((table, set)) = request.set else { return true };
        let table = self.snapshot.tables.get_mut(table);
        let Some(set) = table.and_then(|table| table.sets.get_mut(set)) else { return true };
        let read = Elements { elements: take(&mut set.elements), expires: take(&mut set.expires) };
        set.order = kernel_order(&set.code, &read.elements);
        let Some(Elements { elements, expires }) = canonical(&set.code, read) else { return false };
        set.elements = elements;
        set.expires = expires;
        true
    }

    /// Returns a request for every chain whose rules seem incomplete.
    ///
    /// A dump silently stops before a rule that does not fit a datagram; the rules after that
    /// chain can still be read.
    pub(crate) fn rule_requests(&mut self) -> Vec<RuleRequest> {
        let mut requests = Vec::new();
        for (index, table) in self.snapshot.tables.iter_mut().enumerate() {
            count_unlisted(table);
            let short = table.chains.iter().enumerate().filter(|(_, chain)| chain.unlisted > 0);
            requests.extend(short.map(|(chain_index, chain)| RuleRequest {
                chain: (index, chain_index),
                family: table.id.family.number(),
                attributes: names(table.id.name.as_str().as_bytes(), chain.name.as_str().as_bytes()),
            }));
        }
        requests
    }

    /// Removes the rules of a chain, which will be read again.
    pub(crate) fn forget_rules(&mut self, request: &RuleRequest) {
        let (table, chain) = request.chain;
        if let Some(chain) = self.snapshot.tables.get_mut(table).and_then(|table| table.chains.get_mut(chain)) {
            chain.rules.clear();
        }
    }

    /// Returns the snapshot, with anonymous sets in the rules that look them up.
    pub(crate) fn finish(self, generation: Generation) -> Snapshot {
        let mut snapshot = self.snapshot;
        snapshot.generation = generation;
        for table in &mut snapshot.tables {
            if table.chains.iter().any(|chain| chain.unlisted > 0) {
                count_unlisted(table);
            }
            bind(table);
        }
        snapshot
    }

    fn table(&mut self, place: InTable<'_>) -> Option<&mut TableState> {
        let tables = &mut self.snapshot.tables;
        let found = position(tables, self.table, |table| place.is(&table.id))?;
        if found != self.table {
            (self.table, self.chain, self.set) = (found, 0, 0);
        }
        tables.get_mut(found)
    }

    fn chain(&mut self, place: InTable<'_>, name: &[u8]) -> Option<&mut ChainState> {
        self.table(place)?;
        let chains = &mut self.snapshot.tables.get_mut(self.table)?.chains;
        self.chain = position(chains, self.chain, |chain| chain.name.as_str().as_bytes() == name)?;
        chains.get_mut(self.chain)
    }

    fn set(&mut self, place: InTable<'_>, name: &[u8]) -> Option<&mut SetState> {
        self.table(place)?;
        let sets = &mut self.snapshot.tables.get_mut(self.table)?.sets;
        self.set = position(sets, self.set, |set| set.name.as_str().as_bytes() == name)?;
        sets.get_mut(self.set)
    }
}

/// Returns the index of a match, searching from `from` on first.
fn position<T>(all: &[T], from: usize, is: impl Fn(&T) -> bool) -> Option<usize> {
    let (before, after) = all.split_at_checked(from)?;
    after.iter().position(&is).map(|index| from + index).or_else(|| before.iter().position(&is))
}

fn add(set: &mut SetState, read: Elements) {
    let Elements { mut elements, expires } = read;
    if !expires.is_empty() || !set.expires.is_empty() {
        set.expires.resize(set.elements.len(), None);
        set.expires.extend(expires);
        set.expires.resize(set.elements.len() + elements.len(), None);
    }
    set.elements.append(&mut elements);
}

fn opaque(message: &Message<'_>) -> Option<OpaqueMessage> {
    let (family, _) = message.netfilter()?;
    let attributes = message.payload.get(4..).unwrap_or_default().to_vec();
    Some(OpaqueMessage { kind: message.kind & 0xff, family, attributes })
}

/// Attributes 1 and 2, which name table and set in messages about sets and elements, and table and
/// chain in messages about rules.
fn names(table: &[u8], set: &[u8]) -> Vec<u8> {
    [text(1, table), text(2, set)].concat()
}

/// Returns the attributes that request one chain by its name.
pub(crate) fn chain_attributes(table: &Name, chain: &Name) -> Vec<u8> {
    [table_attribute(table), text(3, chain.as_str().as_bytes())].concat()
}

/// Returns the attributes that request one set, its elements, or the rules of one chain.
pub(crate) fn set_attributes(table: &Name, set: &Name) -> Vec<u8> {
    names(table.as_str().as_bytes(), set.as_str().as_bytes())
}

/// Returns the attribute that narrows a dump of chains, sets, rules, objects or flowtables to one
/// table: attribute 1 names it in all of them.
pub(crate) fn table_attribute(table: &Name) -> Vec<u8> {
    text(1, table.as_str().as_bytes())
}

fn text(kind: u16, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Longer than any name in the kernel, and short enough for an attribute.
    let text = text.get(..LONGEST).unwrap_or(text);
    AttributeWriter::new(&mut bytes).bytes(kind, &[text, &[0]].concat(), LONGEST + 1).expect("it is cut to fit");
    bytes
}

/// More than `NFT_NAME_MAXLEN`, include/uapi/linux/netfilter/nf_tables.h: the kernel refuses it.
const LONGEST: usize = 1024;

fn is_anonymous(set: &SetState) -> bool {
    set.code.flags & NFT_SET_ANONYMOUS != 0
}

/// Moves every anonymous set into the lookup that uses it.
fn bind(table: &mut TableState) {
    if !table.sets.iter().any(is_anonymous) {
        return;
    }
    let mut anonymous: HashMap<Name, (usize, SetState)> = HashMap::new();
    let mut named = Vec::new();
    for (index, set) in take(&mut table.sets).into_iter().enumerate() {
        if is_anonymous(&set) {
            anonymous.insert(set.name.clone(), (index, set));
        } else {
            named.push((index, set));
        }
    }
    for expr in table.chains.iter_mut().flat_map(|chain| &mut chain.rules).flat_map(|rule| &mut rule.exprs) {
        let mut take = |name: &Name| {
            let (_, SetState { code, elements, order, .. }) = anonymous.remove(name)?;
            Some(Box::new(AnonymousSet { code, elements, order }))
        };
        match expr {
            Expr::Lookup { set: set @ LookupSet::Named(_), .. } => {
                let LookupSet::Named(name) = &*set else { continue };
                if let Some(found) = take(name) {
                    *set = LookupSet::Anonymous(found);
                }
            }
            Expr::Dynset(DynsetCode { set, anonymous, .. }) | Expr::ObjrefMap(ObjrefMapCode { set, anonymous, .. }) => {
                *anonymous = take(set);
                if anonymous.is_some() {
                    *set = Name::from(template(set.as_str()));
                }
            }
            Expr::Opaque { name, data, set } => {
                let Some(named) = set_named_in(name, data) else { continue };
                *set = take(&named);
                if set.is_some() {
                    *data = renamed(name, data, &template(named.as_str()));
                }
            }
            _ => {}
        }
    }
    named.extend(anonymous.into_values());
    named.sort_by_key(|(index, _)| *index);
    table.sets = named.into_iter().map(|(_, set)| set).collect();
}

/// Returns the set that an opaque expression refers to.
fn set_named_in(expr: &str, data: &[u8]) -> Option<Name> {
    let (kind, _) = Expr::set_attributes(expr)?;
    Attributes::new(data).find(kind)?.text().map(Name::from)
}

/// Returns the attributes of an expression with another name for its set.
fn renamed(expr: &str, data: &[u8], name: &str) -> Box<[u8]> {
    let kind = Expr::set_attributes(expr).map(|(kind, _)| kind);
    let attributes = Attributes::new(data).map_while(Result::ok);
    let each = attributes.map(|attribute| match kind {
        Some(kind) if attribute.kind == kind => text(kind, name.as_bytes()),
        _ => attribute.raw.to_vec(),
    });
    each.flatten().collect()
}

/// Returns the template from which the kernel made the name of an anonymous set: `__set%d` for
/// `__set3`.
fn template(name: &str) -> String {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if name.starts_with("__") && stem.len() < name.len() { format!("{stem}%d") } else { name.to_owned() }
}

const NFT_SET_ANONYMOUS: u32 = 0x1;
