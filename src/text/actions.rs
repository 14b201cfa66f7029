//! Statements that count, answer, copy, use objects, and change sets and packets.

use super::computed::{Computed, mark};
use super::error::{Fault, Parsed};
use super::lexer::Kind;
use super::parser::{Parser, unsupported};
use super::selector::key;
use super::targets::bytes;
use crate::bytecode::can_be_set;
use crate::model::{
    ConnLimit, DataType, Dup, Family, Field, Fwd, IpFamily, LimitWhen, MarkKey, MarkValue, Meter, Name, ObjectKind,
    ObjectRef, ObjectTo, Quota, Selector, SetData, SetRef, SetValue, Statement, Synproxy, SynproxyFlags, Update,
    UpdateOp, Value,
};

/// Statements that count, and objects that do.
impl<'t> Parser<'t> {
    /// Reads `ct count over 20`.
    pub(super) fn ct_count(&mut self) -> Parsed<Statement> {
        self.expect("ct")?;
        self.expect("count")?;
        let when = if self.take("over") { LimitWhen::Over } else { LimitWhen::Until };
        Ok(Statement::ConnLimit(ConnLimit { count: self.number_u32("a number of connections")?, when }))
    }

    /// Reads `over`, `until` or nothing.
    pub(super) fn mode(&mut self) -> LimitWhen {
        if self.take("over") {
            return LimitWhen::Over;
        }
        self.take("until");
        LimitWhen::Until
    }

    /// Reads `quota over 25 mbytes used 1 kbytes`.
    pub(super) fn quota(&mut self) -> Parsed<Statement> {
        self.expect("quota")?;
        if self.take("name") {
            return self.object_ref(ObjectKind::Quota);
        }
        Ok(Statement::Quota(self.quota_of()?))
    }

    pub(super) fn quota_of(&mut self) -> Parsed<Quota> {
        let when = self.mode();
        let most = self.size("a number of bytes such as 25 mbytes")?;
        let used = if self.take("used") { self.size("a number of bytes such as 1 kbytes")? } else { 0 };
        Ok(Quota { bytes: most, when, used })
    }

    fn size(&mut self, what: &str) -> Parsed<u64> {
        let number = self.number(what, u64::MAX)?;
        let unit = self.word("bytes, kbytes or mbytes")?;
        bytes(number, unit.text, unit)
    }

    /// Reads which object of this kind: its name, or a map to such.
    pub(super) fn object_ref(&mut self, kind: ObjectKind) -> Parsed<Statement> {
        let to = if self.begins_field() {
            let selector = self.selector()?;
            self.expect("map")?;
            self.is_moved(&selector)?;
            let key: Vec<DataType> = selector.key().collect();
            let map = self.set_ref(&key, &SetData::Object(kind))?;
            ObjectTo::Map(selector, map)
        } else {
            ObjectTo::Name(self.text("the name of an object, or a map to objects")?.text.into())
        };
        Ok(Statement::ObjectRef(ObjectRef { kind, to }))
    }

    /// Reads an object that is set: `ct helper set "ftp"`; nothing if none is here.
    pub(super) fn set_object(&mut self) -> Parsed<Option<Statement>> {
        const KINDS: [(&str, &str, ObjectKind); 4] = [
            ("ct", "expectation", ObjectKind::CtExpectation),
            ("ct", "helper", ObjectKind::CtHelper),
            ("ct", "timeout", ObjectKind::CtTimeout),
            ("meta", "secmark", ObjectKind::Secmark),
        ];
        let (first, second) = (self.peek(), self.peek_at(1));
        let found = KINDS.iter().find(|(word, key, _)| first.is(word) && second.is(key));
        let Some((_, _, kind)) = found.filter(|_| self.peek_at(2).is("set")) else { return Ok(None) };
        self.skip(3);
        self.object_ref(*kind).map(Some)
    }

    /// Reads `synproxy mss 1460 wscale 7 timestamp sack-perm`.
    pub(super) fn synproxy(&mut self) -> Parsed<Statement> {
        self.expect("synproxy")?;
        if self.take("name") {
            return self.object_ref(ObjectKind::Synproxy);
        }
        let mut synproxy = Synproxy::default();
        while self.synproxy_option(&mut synproxy)? {}
        Ok(Statement::Synproxy(synproxy))
    }

    /// Reads an option; returns whether there was one.
    pub(super) fn synproxy_option(&mut self, synproxy: &mut Synproxy) -> Parsed<bool> {
        if self.take("mss") {
            synproxy.mss = Some(self.number_u16("a segment size of 0 to 65535")?);
        } else if self.take("wscale") {
            let scale = self.number("a window scale of 0 to 255", u8::MAX.into())?;
            synproxy.wscale = u8::try_from(scale).ok();
        } else if self.take("timestamp") {
            synproxy.flags |= SynproxyFlags::TIMESTAMP;
        } else if self.take("sack-perm") || self.take("sack-permitted") {
            synproxy.flags |= SynproxyFlags::SACK_PERM;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// Statements that send packets elsewhere or change them.
impl<'t> Parser<'t> {
    /// Reads `dup to 10.0.0.1 device "eth0"`; in a table of family netdev the device alone.
    pub(super) fn dup(&mut self) -> Parsed<Statement> {
        self.expect("dup")?;
        self.expect("to")?;
        if self.family == Family::Netdev {
            let device = self.set_value(DataType::Ifindex)?;
            return Ok(Statement::Dup(Dup { address: None, device: Some(device) }));
        }
        let address = self.neighbour(None)?;
        let device = if self.take("device") { Some(self.set_value(DataType::Ifindex)?) } else { None };
        Ok(Statement::Dup(Dup { address: Some(address), device }))
    }

    /// Reads `fwd to "eth0"` or `fwd ip to 10.0.0.1 device "eth0"`.
    pub(super) fn fwd(&mut self) -> Parsed<Statement> {
        self.expect("fwd")?;
        let family = self.family_word();
        self.expect("to")?;
        let address = match family {
            Some(_) => {
                let address = self.neighbour(family)?;
                self.expect("device")?;
                Some(address)
            }
            None => None,
        };
        Ok(Statement::Fwd(Fwd { device: self.set_value(DataType::Ifindex)?, address, family }))
    }

    /// Reads an address, or a map to such.
    fn neighbour(&mut self, family: Option<IpFamily>) -> Parsed<SetValue> {
        let of = match (family, self.family) {
            (Some(IpFamily::Ipv6), _) | (None, Family::Ip6) => DataType::Ipv6,
            (Some(IpFamily::Ipv4), _) | (None, Family::Ip) => DataType::Ipv4,
            _ if self.peek().text.contains(':') => DataType::Ipv6,
            _ => DataType::Ipv4,
        };
        self.set_value(of)
    }

    /// Reads `flow add @table`.
    pub(super) fn flow_add(&mut self) -> Parsed<Statement> {
        self.expect("flow")?;
        if !self.take("add") && !self.take("offload") {
            return self.unexpected("add, and @ with the name of a flowtable");
        }
        self.expect("@")?;
        Ok(Statement::FlowAdd(self.text("the name of a flowtable")?.text.into()))
    }

    /// Reads `reset tcp option sack-perm`.
    pub(super) fn reset_option(&mut self) -> Parsed<Statement> {
        self.expect("reset")?;
        Ok(Statement::ResetTcpOption(self.tcp_option()?))
    }

    /// Reads what a field is set to, behind `set`.
    pub(super) fn set_field(&mut self, target: Field) -> Parsed<Statement> {
        let word = self.expect("set")?;
        if target == Field::CtZone && self.peek().kind == Kind::Number {
            return Ok(Statement::SetZone(self.number_u16("a zone of 0 to 65535")?));
        }
        if !can_be_set(target) {
            return Err(unsupported(word, format_args!("setting {target}")));
        }
        let value = self.set_value(target.data_type())?;
        let key = match target {
            Field::CtMark => MarkKey::Ct,
            Field::Mark => MarkKey::Meta,
            _ => return Ok(Statement::Set { target, value }),
        };
        Ok(match value {
            SetValue::Constant(Value::Mark(mark)) => Statement::SetMark { key, value: MarkValue::Constant(mark) },
            SetValue::Map { selector, map } => Statement::SetMark { key, value: MarkValue::Map { selector, map } },
            SetValue::From(selector) => match mark(&selector) {
                Some(value) => Statement::SetMark { key, value },
                None => Statement::Set { target, value: SetValue::From(selector) },
            },
            value => Statement::Set { target, value },
        })
    }

    /// Reads a constant, a field to copy, or a map to look in.
    fn set_value(&mut self, of: DataType) -> Parsed<SetValue> {
        if !self.begins_computed() {
            return Ok(SetValue::Constant(self.constant(of)?));
        }
        let start = self.peek();
        let selector = self.selector()?;
        if self.take("map") {
            self.is_moved(&selector)?;
            let map = self.set_ref(&key(&selector), &SetData::Value(of))?;
            return Ok(SetValue::Map { selector, map });
        }
        match selector {
            Selector::Concat(_) => Err(Fault::wrong(start.at, start.length(), "several fields need a map")),
            one => Ok(SetValue::From(one)),
        }
    }

    /// Reads a constant; several bits may be joined by commas.
    fn constant(&mut self, of: DataType) -> Parsed<Value> {
        let start = self.peek();
        let Computed::Constant(mut value) = self.computed(of)? else {
            return Err(super::cursor::unexpected(start, "a constant"));
        };
        while self.at(",") {
            let comma = self.next();
            let more = self.value(of)?;
            value = super::values::either(&value, &more)
                .ok_or_else(|| Fault::wrong(comma.at, comma.length(), "only bits are joined by commas"))?;
        }
        Ok(value)
    }

    /// Reads `update @seen { ip saddr timeout 1m counter : 5 }`.
    pub(super) fn update(&mut self) -> Parsed<Statement> {
        let op = self.update_op()?;
        self.expect("@")?;
        let name = self.name("the name of a set")?;
        self.expect("{")?;
        let mut update = self.updated(op)?;
        if self.take(":") {
            let of = match self.declared_here(&name) {
                Some((_, SetData::Value(of))) => Some(of),
                _ => None,
            };
            let start = self.peek();
            update.value = Some(match of {
                Some(of) => self.set_value(of)?,
                None if self.begins_field() => self.set_value(DataType::Mark)?,
                None => {
                    let why = format!("map {name} is not declared before, so that the type of the value is open");
                    return Err(Fault::unsupported(start.at, start.length(), why));
                }
            });
        }
        self.expect("}")?;
        Ok(self.of_set(update, name))
    }

    /// Reads `meter ssh size 65535 { ip saddr timeout 1m limit rate 5/second }`; `flow table` is
    /// its older name.
    pub(super) fn meter(&mut self) -> Parsed<Statement> {
        if self.next().is("flow") {
            self.expect("table")?;
        }
        let name = self.name("the name of a meter")?;
        let size = if self.take("size") { Some(self.number_u32("a number of keys")?) } else { None };
        self.expect("{")?;
        let Update { key, timeout, mut statements, .. } = self.updated(UpdateOp::Update)?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
            return self.unexpected("one of counter, limit, quota and ct count");
        };
        self.expect("}")?;
        let (size, timeout) = (size.filter(|size| *size > 0), timeout.filter(|timeout| !timeout.is_zero()));
        Ok(Statement::Meter(Meter { name, size, key, timeout, statement: Box::new(statement) }))
    }

    /// nft makes a set dynamic that a rule changes, and leaves a map as it is.
    fn of_set(&mut self, mut update: Update, name: Name) -> Statement {
        if let (None, Some(table)) = (&update.value, &self.table) {
            let id = table.set(&name);
            self.updated.insert(id);
        }
        update.set = SetRef::Named(name);
        Statement::Update(Box::new(update))
    }

    /// Reads `set add ip saddr timeout 1m @seen`, the older order of words.
    pub(super) fn set_update(&mut self) -> Parsed<Statement> {
        self.expect("set")?;
        let op = self.update_op()?;
        let update = self.updated(op)?;
        self.expect("@")?;
        let name = self.name("the name of a set")?;
        Ok(self.of_set(update, name))
    }

    fn update_op(&mut self) -> Parsed<UpdateOp> {
        self.one_of(
            "what is done with the element",
            &[("add", UpdateOp::Add), ("delete", UpdateOp::Delete), ("update", UpdateOp::Update)],
        )
    }

    /// Reads key, time and statements of an element.
    fn updated(&mut self, op: UpdateOp) -> Parsed<Update> {
        let key = self.selector()?;
        let set = SetRef::Named(String::new().into());
        let mut update = Update { op, set, key, timeout: None, statements: Vec::new(), value: None };
        loop {
            match self.peek().text {
                "timeout" => {
                    self.next();
                    update.timeout = Some(self.time()?);
                }
                "counter" | "ct" | "limit" | "quota" => {
                    let statement = self.carried()?;
                    update.statements.push(statement);
                }
                "comment" | "expires" => {
                    let word = self.next();
                    return Err(unsupported(word, format_args!("{} of an element that a rule adds", word.text)));
                }
                _ => return Ok(update),
            }
        }
    }
}
