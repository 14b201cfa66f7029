//! Tables, chains and sets in braces.

use super::error::{Fault, Parsed};
use super::lexer::Kind;
use super::names;
use super::parser::{Parser, unsupported};
use crate::error::Quoted;
use crate::model::{
    Base, Chain, ChainKind, ChainType, DataType, DeviceBase, DeviceHook, Field, Hook, Policy, Priority, Set, SetData,
    SetFlags, SetPolicy, Table, TableFlags, TableId,
};

/// A hook by its name.
#[derive(Clone, Copy)]
enum HookName {
    Device(DeviceHook),
    Hook(Hook),
}

/// The words with which named objects begin.
pub(super) const OBJECTS: [&str; 7] = ["counter", "ct", "flowtable", "limit", "quota", "secmark", "synproxy"];

impl<'t> Parser<'t> {
    /// Reads the block of a table.
    pub(super) fn table_block(&mut self, id: &TableId) -> Parsed<Table> {
        let mut table = Table::new(id.family, &id.name);
        self.block(|parser| parser.part_of_table(&mut table))?;
        Ok(table)
    }

    fn part_of_table(&mut self, table: &mut Table) -> Parsed<()> {
        const FLAGS: [(&str, TableFlags); 3] =
            [("dormant", TableFlags::DORMANT), ("owner", TableFlags::OWNER), ("persist", TableFlags::PERSIST)];
        let word = self.peek();
        match word.text {
            "chain" if word.kind == Kind::Word => {
                self.next();
                let chain = self.name("the name of a chain")?;
                let chain = self.chain_block(Chain::regular(chain))?;
                table.chains.push(chain);
                table.chains.append(&mut self.bound);
            }
            "set" | "map" if word.kind == Kind::Word => {
                self.next();
                let name = self.name("the name of a set")?;
                let set = self.set_block(Set::new(name, []), word.is("map"))?;
                let id = TableId::from(&*table).set(&set.name);
                self.sets.insert(id, (set.key.clone(), set.data.clone()));
                table.sets.push(set);
            }
            "flags" => {
                self.next();
                table.flags |= self.list("a flag", &FLAGS)?.into_iter().collect();
            }
            "comment" => {
                self.next();
                table.comment = Some(self.comment()?.to_owned());
            }
            object if OBJECTS.contains(&object) => {
                let kind = self.object_kind()?;
                let name = self.name("the name of the object")?;
                if !self.at("{") {
                    return self.unexpected("\"{\"");
                }
                table.objects.push(self.object_of(kind, name)?);
            }
            _ => return self.unexpected("chain, set, map, counter, quota, limit, ct helper, ct timeout, ct expectation, synproxy, secmark, flowtable, \
                     flags, comment or the end of the table"),
        }
        self.end_of_part()
    }

    /// Reads the block of a chain: its hook, and its rules.
    pub(super) fn chain_block(&mut self, mut chain: Chain) -> Parsed<Chain> {
        self.block(|parser| parser.part_of_chain(&mut chain))?;
        Ok(chain)
    }

    fn part_of_chain(&mut self, chain: &mut Chain) -> Parsed<()> {
        let word = self.peek();
        if word.is("type") {
            chain.kind = self.hook()?;
        } else if self.take("policy") {
            let policies = [Policy::Accept, Policy::Drop].map(|policy| (policy.name(), policy));
            let policy = self.one_of("a policy", &policies)?;
            match &mut chain.kind {
                ChainKind::Base(base) => base.policy = policy,
                ChainKind::Device(base) => base.policy = policy,
                _ => return Err(Fault::wrong(word.at, word.length(), "only a chain with a hook has a policy")),
            }
        } else if self.take("comment") {
            chain.comment = Some(self.comment()?.to_owned());
        } else if self.take("devices") {
            self.expect("=")?;
            let devices = self.devices()?;
            match &mut chain.kind {
                ChainKind::Device(base) => base.devices.extend(devices),
                _ => return Err(Fault::wrong(word.at, word.length(), "only a chain at ingress or egress has devices")),
            }
        } else if word.is("flags") {
            return self.unsupported(format_args!("{} of a chain", word.text));
        } else {
            chain.rules.push(self.rule()?);
        }
        self.end_of_part()
    }

    /// Reads `type filter hook input priority filter + 1`.
    fn hook(&mut self) -> Parsed<ChainKind> {
        self.next();
        let types = [ChainType::Filter, ChainType::Nat, ChainType::Route].map(|known| (known.name(), known));
        let chain_type = self.one_of("a chain type", &types)?;
        self.expect("hook")?;
        let sides = [DeviceHook::Egress, DeviceHook::Ingress];
        let sides = sides.into_iter().filter(|hook| hook.number(self.family).is_some());
        let hooks: Vec<(&str, HookName)> = Hook::of(self.family)
            .iter()
            .map(|hook| (hook.name(), HookName::Hook(*hook)))
            .chain(sides.map(|hook| (hook.name(), HookName::Device(hook))))
            .collect();
        let at = self.peek();
        match self.one_of("a hook", &hooks)? {
            HookName::Hook(hook) => {
                let priority = self.hook_priority(hook.name())?;
                Ok(ChainKind::Base(Base { chain_type, hook, priority, policy: Policy::Accept }))
            }
            HookName::Device(_) if chain_type != ChainType::Filter => {
                Err(Fault::wrong(at.at, at.length(), format!("{} has chains of type filter alone", at.text)))
            }
            HookName::Device(hook) => {
                let devices = if self.take("device") {
                    vec![self.text("the name of a device")?.text.to_owned()]
                } else if self.take("devices") {
                    self.expect("=")?;
                    self.devices()?
                } else {
                    return self.unexpected("device and its name, or devices = { ... }");
                };
                let priority = self.hook_priority(hook.name())?;
                Ok(ChainKind::Device(DeviceBase { hook, devices, priority, policy: Policy::Accept }))
            }
        }
    }

    fn hook_priority(&mut self, hook: &str) -> Parsed<Priority> {
        self.expect("priority")?;
        self.priority(hook)
    }

    pub(super) fn priority(&mut self, hook: &str) -> Parsed<Priority> {
        let token = self.peek();
        let named = |(name, base, at): &(&str, i32, Option<&str>)| {
            (token.is(name) && at.is_none_or(|at| at == hook)).then_some(i64::from(*base))
        };
        let known = Priority::names(self.family);
        let base = match (known.iter().find_map(named), token.kind) {
            (Some(base), _) => {
                self.next();
                base
            }
            (None, Kind::Number) => 0,
            (None, _) if self.at("-") || self.at("+") => 0,
            (None, _) => {
                let here = known.iter().filter(|(_, _, at)| at.is_none_or(|at| at == hook));
                let names: Vec<&str> = here.map(|(name, ..)| *name).collect();
                return self.unexpected(&format!("a priority: a number, or {} and + or - a number", names.join(", ")));
            }
        };
        let plus = self.take("+");
        let sign = if !plus && self.take("-") { -1 } else { 1 };
        let offset = match self.peek().kind {
            Kind::Number => i64::try_from(self.number("a number", 1 << 32)?).unwrap_or(i64::MAX),
            _ if plus || sign < 0 => return self.unexpected("a number"),
            _ => 0,
        };
        match i32::try_from(base + sign * offset) {
            Ok(priority) => Ok(Priority(priority)),
            Err(_) => Err(Fault::wrong(token.at, token.length(), "this priority does not fit 32 bits")),
        }
    }

    /// Reads the block of a set or map.
    pub(super) fn set_block(&mut self, mut set: Set, is_map: bool) -> Parsed<Set> {
        let brace = self.peek();
        self.is_partial = false;
        self.block(|parser| parser.part_of_set(&mut set))?;
        if set.key.is_empty() {
            return Err(Fault::wrong(brace.at, brace.length(), "a set needs a type, such as type ipv4_addr"));
        }
        if self.is_partial && set.flags.contains(SetFlags::INTERVAL) {
            return Err(unsupported(brace, "a set of intervals of a part of a byte"));
        }
        // nft sends no policy of a set that never changes.
        if set.flags.contains(SetFlags::CONSTANT) {
            set.policy = SetPolicy::Performance;
        }
        match (&set.data, is_map) {
            (SetData::None, true) => {
                Err(Fault::wrong(brace.at, brace.length(), "a map has two types, such as type ipv4_addr : verdict"))
            }
            (SetData::None, false) => Ok(set),
            (_, false) => Err(Fault::wrong(brace.at, brace.length(), "a set has no values; what has them is a map")),
            (_, true) => Ok(set),
        }
    }

    fn part_of_set(&mut self, set: &mut Set) -> Parsed<()> {
        const FLAGS: [(&str, SetFlags); 4] = [
            ("constant", SetFlags::CONSTANT),
            ("dynamic", SetFlags::DYNAMIC),
            ("interval", SetFlags::INTERVAL),
            ("timeout", SetFlags::TIMEOUT),
        ];
        let word = self.peek();
        match word.text {
            "type" => {
                self.next();
                set.key = self.types()?;
                if self.take(":") {
                    set.data = self.data(|parser| parser.named_type())?;
                }
            }
            "typeof" => {
                self.next();
                set.key = self.types_of()?;
                if self.take(":") {
                    set.data = self.data(|parser| parser.type_of())?;
                }
            }
            "flags" => {
                self.next();
                set.flags |= self.list("a flag", &FLAGS)?.into_iter().collect();
            }
            "timeout" => {
                self.next();
                set.timeout = Some(self.time()?);
                set.flags |= SetFlags::TIMEOUT;
            }
            "gc-interval" => {
                self.next();
                set.gc_interval = Some(self.time()?);
            }
            "size" => {
                self.next();
                set.size = Some(self.number_u32("a number of elements")?);
            }
            "policy" => {
                self.next();
                let all = [("memory", SetPolicy::Memory), ("performance", SetPolicy::Performance)];
                set.policy = self.one_of("a policy", &all)?;
            }
            "auto-merge" => {
                self.next();
                set.flags |= SetFlags::AUTO_MERGE;
                return Ok(());
            }
            "comment" => {
                self.next();
                set.comment = Some(self.comment()?.to_owned());
            }
            "elements" => {
                self.next();
                self.expect("=")?;
                if set.key.is_empty() {
                    return Err(Fault::wrong(word.at, word.length(), "the type of a set comes before its elements"));
                }
                let (key, data) = (set.key.clone(), set.data.clone());
                set.elements.append(&mut self.elements(&key, &data)?);
                return Ok(());
            }
            "counter" | "limit" | "quota" | "last" | "ct" => set.statements.push(self.carried()?),
            _ => {
                const PARTS: &str = "type, typeof, flags, timeout, gc-interval, size, policy, auto-merge, counter, limit, \
                                     comment, elements or the end of the set";
                return self.unexpected(PARTS);
            }
        }
        self.end_of_part()
    }

    fn data(&mut self, read: impl Fn(&mut Self) -> Parsed<DataType>) -> Parsed<SetData> {
        if self.take("verdict") {
            return Ok(SetData::Verdict);
        }
        let is_interval = self.take("interval");
        if OBJECTS.iter().any(|object| self.at(object))
            && (!self.at("ct") || ["helper", "timeout", "expectation"].iter().any(|of| self.peek_at(1).is(of)))
        {
            let kind = self.object_kind_of_map()?;
            return Ok(SetData::Object(kind));
        }
        let mut types = vec![read(self)?];
        while self.take(".") {
            types.push(read(self)?);
        }
        Ok(match types.as_slice() {
            _ if is_interval => SetData::Interval(types),
            [one] => SetData::Value(*one),
            _ => SetData::Concat(types),
        })
    }

    fn types(&mut self) -> Parsed<Vec<DataType>> {
        let mut types = vec![self.named_type()?];
        while self.take(".") {
            types.push(self.named_type()?);
        }
        Ok(types)
    }

    fn named_type(&mut self) -> Parsed<DataType> {
        let token = self.peek();
        match names::data_type(token.text) {
            Some(data) if token.kind == Kind::Word => {
                self.next();
                Ok(data)
            }
            _ if token.kind == Kind::Word => {
                let what = format!("type {} (known: {})", Quoted::new(token.text), names::data_types().join(", "));
                self.unsupported(what)
            }
            _ => self.unexpected("a type such as ipv4_addr"),
        }
    }

    fn types_of(&mut self) -> Parsed<Vec<DataType>> {
        let mut types = vec![self.type_of()?];
        while self.take(".") {
            types.push(self.type_of()?);
        }
        Ok(types)
    }

    /// Reads a field for its type.
    fn type_of(&mut self) -> Parsed<DataType> {
        let start = self.peek();
        let of = self.basic()?;
        if of.fields().any(Field::is_presence) {
            return Err(unsupported(start, "a set of whether something is there"));
        }
        self.is_partial |= of.as_field().is_some_and(|field| field.bits().is_some());
        Ok(of.data_type())
    }
}
