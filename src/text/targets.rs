//! Statements with arguments of their own: limits, logs, rejections, address translation, queues.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use super::error::{Fault, Parsed};
use super::lexer::{Kind, Token};
use super::parser::Parser;
use super::selector::key;
use super::values::prefix;
use crate::error::Quoted;
use crate::model::{
    Computed, DataType, Family, IpFamily, Limit, LimitOf, LimitUnit, LimitWhen, Log, LogFlags, LogLevel, MapTo, Nat,
    NatFlags, NatKind, ObjectKind, PortRange, Ports, Queue, QueueFlags, Reject, SetData, SetRef, Statement, Tproxy,
    Value,
};

/// Rates and logs.
impl<'t> Parser<'t> {
    /// Reads `limit rate over 5/second burst 7 packets`.
    pub(super) fn limit(&mut self) -> Parsed<Statement> {
        self.expect("limit")?;
        if self.take("name") {
            return self.object_ref(ObjectKind::Limit);
        }
        Ok(Statement::Limit(self.limit_of()?))
    }

    /// Reads it behind `limit`.
    pub(super) fn limit_of(&mut self) -> Parsed<Limit> {
        self.expect("rate")?;
        // Only a quota has `until`.
        let when = if self.take("over") { LimitWhen::Over } else { LimitWhen::Until };
        let rate = self.number("a rate such as 5/second or 1 mbytes/second", u64::MAX)?;
        let token = self.peek();
        let (size, unit) = if self.take("/") {
            (None, self.word(UNITS)?.text)
        } else {
            let word = self.word("/ and a unit of time, or bytes/, kbytes/ or mbytes/ and one")?;
            match word.text.split_once('/') {
                Some((size, unit)) => (Some(size), unit),
                None => {
                    self.expect("/")?;
                    (Some(word.text), self.word(UNITS)?.text)
                }
            }
        };
        let Some(per) = LimitUnit::ALL.into_iter().find(|known| known.to_string() == unit) else {
            return Err(Fault::wrong(token.at, token.length(), format!("no {}, expected {UNITS}", Quoted::new(unit))));
        };
        let (rate, of) = match size {
            None => (rate, LimitOf::Packets),
            Some(size) => (bytes(rate, size, token)?, LimitOf::Bytes),
        };
        let start = self.peek();
        let burst = if self.take("burst") { self.burst(of)? } else { u32::from(of == LimitOf::Packets) * 5 };
        if of == LimitOf::Packets && burst == 0 {
            return Err(Fault::wrong(start.at, start.length(), "a burst is at least one packet"));
        }
        Ok(Limit { rate, per, of, burst, when })
    }

    fn burst(&mut self, of: LimitOf) -> Parsed<u32> {
        let token = self.peek();
        let number = self.number("a burst", u32::MAX.into())?;
        let unit = self.peek();
        let burst = match of {
            LimitOf::Packets => {
                self.expect("packets")?;
                number
            }
            LimitOf::Bytes => {
                self.word("bytes, kbytes or mbytes")?;
                bytes(number, unit.text, unit)?
            }
        };
        u32::try_from(burst)
            .map_err(|_| Fault::wrong(token.at, token.length(), format!("{burst} is too large a burst")))
    }

    /// Reads `log prefix "x" level debug flags all`.
    pub(super) fn log(&mut self) -> Parsed<Statement> {
        let start = self.expect("log")?;
        let mut log = Log::default();
        loop {
            if self.take("prefix") {
                log.prefix = Some(self.log_prefix()?.into());
            } else if self.take("level") {
                log.level = Some(self.one_of("a log level", &LogLevel::ALL)?);
            } else if self.take("group") {
                log.group = Some(self.number_u16("a group of 0 to 65535")?);
            } else if self.take("snaplen") {
                log.snaplen = Some(self.number_u32("a number of bytes")?);
            } else if self.take("queue-threshold") {
                log.queue_threshold = Some(self.number_u16("a number of packets of 0 to 65535")?);
            } else if self.take("flags") {
                log.flags |= self.log_flags()?;
            } else {
                break;
            }
        }
        if log.level.is_some() && log.group.is_some() {
            return Err(Fault::wrong(start.at, start.length(), "log: level and group exclude each other"));
        }
        Ok(Statement::Log(log))
    }

    /// Reads the prefix of a log entry, in which variables stand for their values.
    fn log_prefix(&mut self) -> Parsed<String> {
        let token = self.text("a prefix in quotes")?;
        let mut parts = token.text.split('$');
        let mut prefix = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
            let (name, rest) = part.split_at_checked(end).unwrap_or((part, ""));
            let Some(value) = self.text_of(name) else {
                let why = format!("prefix: no variable {} with one word as its value is defined", Quoted::new(name));
                return Err(Fault::wrong(token.at, token.length(), why));
            };
            prefix.push_str(value);
            prefix.push_str(rest);
        }
        if prefix.len() > Log::MAX_PREFIX {
            let why = format!("a prefix has at most {} bytes", Log::MAX_PREFIX);
            return Err(Fault::wrong(token.at, token.length(), why));
        }
        Ok(prefix)
    }

    fn log_flags(&mut self) -> Parsed<LogFlags> {
        const FLAGS: [(&str, LogFlags); 5] = [
            ("all", LogFlags::all()),
            ("ether", LogFlags::ETHER),
            ("ip", LogFlags::IP_OPTIONS),
            ("skuid", LogFlags::SKUID),
            ("tcp", LogFlags::empty()),
        ];
        const TCP: [(&str, LogFlags); 2] = [("sequence", LogFlags::TCP_SEQUENCE), ("options", LogFlags::TCP_OPTIONS)];
        let word = self.peek();
        let flags = self.one_of("what is logged", &FLAGS)?;
        match word.text {
            "ip" => {
                self.expect("options")?;
                Ok(flags)
            }
            "tcp" => Ok(self.list("flags", &TCP)?.into_iter().collect()),
            _ => Ok(flags),
        }
    }

    /// Reads `reject with icmp host-unreachable`.
    pub(super) fn reject(&mut self) -> Parsed<Statement> {
        self.expect("reject")?;
        if !self.take("with") {
            return Ok(Statement::Reject(None));
        }
        if self.take("tcp") {
            self.expect("reset")?;
            return Ok(Statement::Reject(Some(Reject::TcpReset)));
        }
        let of: fn(u8) -> Reject = self.one_of(
            "what is sent",
            &[
                ("icmp", Reject::Icmp as fn(u8) -> Reject),
                ("icmpv6", Reject::Icmpv6),
                ("icmpx", Reject::Icmpx),
                ("tcp", |_| Reject::TcpReset),
            ],
        )?;
        self.take("type");
        let token = self.peek();
        if token.kind == Kind::Number {
            let code = self.number("a code of 0 to 255", u8::MAX.into())?;
            return Ok(Statement::Reject(Some(of(u8::try_from(code).unwrap_or(u8::MAX)))));
        }
        let names = reasons(of(0));
        match names.iter().find(|(name, _)| token.text == name && matches!(token.kind, Kind::Word | Kind::Quoted)) {
            Some((_, code)) => {
                self.next();
                Ok(Statement::Reject(Some(of(*code))))
            }
            None => {
                let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
                self.unexpected(&format!("a reason ({})", names.join(", ")))
            }
        }
    }

    /// Reads `queue flags bypass to 0-3` and `queue num 0-3 bypass`.
    pub(super) fn queue(&mut self) -> Parsed<Statement> {
        const FLAGS: [(&str, QueueFlags); 2] = [("bypass", QueueFlags::BYPASS), ("fanout", QueueFlags::FANOUT)];
        self.expect("queue")?;
        let mut queue = Queue { from: 0, to: 0, flags: QueueFlags::empty() };
        loop {
            if self.take("flags") || FLAGS.iter().any(|(word, _)| self.at(word)) {
                queue.flags |= self.list("a flag", &FLAGS)?.into_iter().collect();
            } else if self.take("num") || self.take("to") {
                if self.begins_computed() {
                    let to = Box::new(self.computed_value(DataType::Integer { bytes: 2 })?);
                    return Ok(Statement::QueueTo { to, flags: queue.flags });
                }
                queue.from = self.number_u16("a queue of 0 to 65535")?;
                queue.to = if self.take("-") { self.number_u16("a queue of 0 to 65535")? } else { queue.from };
                if queue.to < queue.from {
                    return self.unexpected("a range whose end is not before its start");
                }
            } else {
                return Ok(Statement::Queue(queue));
            }
        }
    }
}

/// Address translation.
impl<'t> Parser<'t> {
    /// Reads `dnat ip to 10.0.0.1-10.0.0.9:80-90 random`.
    pub(super) fn nat(&mut self) -> Parsed<Statement> {
        let kind = self.one_of("a translation", &[("dnat", NatKind::Dnat), ("snat", NatKind::Snat)])?;
        let mut nat = Nat { kind, ..Nat::dnat() };
        let family = self.family_word();
        nat.family = family;
        let keeps = if self.take("prefix") { NatFlags::NETMAP } else { NatFlags::empty() };
        let mut said = None;
        if keeps.is_empty() && self.take("interval") {
            said = Some(MapTo::Range);
        } else if keeps.is_empty() && family.is_some() && self.take("addr") {
            self.expect(".")?;
            self.expect("port")?;
            said = Some(MapTo::AddressAndPort);
        }
        if !self.take("to") && (family.is_some() || self.ends()) {
            return self.unexpected("to, and an address or :PORT");
        }
        let start = self.peek();
        if self.begins_computed() {
            nat = self.nat_computed(nat, said)?;
        } else if said.is_some() {
            return self.unexpected("a map");
        } else if !self.at(":") {
            let (low, high) = self.addresses()?;
            self.fits(start, low, family)?;
            self.fits(start, high, Some(IpFamily::of(low)))?;
            nat = nat.to_range(low, high);
        }
        if self.take(":") {
            nat.ports = Some(self.new_ports()?);
        }
        // nft forgets the prefix where flags follow.
        nat.flags = Some(self.nat_flags()?).filter(|flags| !flags.is_empty()).unwrap_or(keeps);
        Ok(Statement::Nat(nat))
    }

    /// Reads `ip saddr map @servers`.
    fn nat_computed(&mut self, nat: Nat, said: Option<MapTo>) -> Parsed<Nat> {
        let start = self.peek();
        let selector = self.selector()?;
        let of_table = match self.family {
            Family::Ip6 => Some(IpFamily::Ipv6),
            Family::Ip => Some(IpFamily::Ipv4),
            Family::Arp | Family::Bridge | Family::Inet | Family::Netdev => None,
        };
        // Where nothing says the family, the fields that are looked up do.
        let of_key = selector.key().find_map(|of| match of {
            DataType::Ipv4 => Some(IpFamily::Ipv4),
            DataType::Ipv6 => Some(IpFamily::Ipv6),
            _ => None,
        });
        let Some(family) = nat.family.or(of_table).or(of_key) else {
            return Err(Fault::wrong(start.at, start.length(), "the family is open: write ip or ip6 before to"));
        };
        if !self.take("map") {
            return Ok(nat.to_computed(family, selector));
        }
        self.is_moved(&selector)?;
        let data = if family == IpFamily::Ipv4 { DataType::Ipv4 } else { DataType::Ipv6 };
        let token = self.peek();
        if !self.at("@") {
            let (elements, holds) = self.translated(&key(&selector), data)?;
            if said.is_some_and(|said| said.has_ports() && !holds.has_ports()) {
                return Err(Fault::wrong(token.at, token.length(), "the elements of this map have no ports"));
            }
            return Ok(nat.to_map(family, selector, crate::model::anonymous(elements)).map_to(holds));
        }
        let map = self.set_ref(&key(&selector), &SetData::Value(data))?;
        let SetRef::Named(name) = &map else { return Ok(nat.to_map(family, selector, map)) };
        let holds = match self.declared_here(name) {
            Some((_, data)) => MapTo::of(&data),
            None => {
                let holds = said.unwrap_or_default();
                if let Some(table) = &self.table {
                    self.maps.push((token, table.set(name), holds, said.is_some()));
                }
                holds
            }
        };
        Ok(nat.to_map(family, selector, map).map_to(holds))
    }

    /// Checks maps that were declared after a rule that looks in them: what they hold decides what
    /// the rule does.
    pub(super) fn check_maps(&mut self) -> Parsed<()> {
        for (token, id, holds, is_said) in std::mem::take(&mut self.maps) {
            let why = match self.sets.get(&id) {
                Some((_, data)) if MapTo::of(data) == holds => continue,
                Some(_) => format!("map {id} holds more than addresses; declare it before this rule"),
                None if is_said => continue,
                None => format!(
                    "map {id} is not declared in this text, so that it is open whether it holds ports or ranges; declare it \
                     before, or give the kernel's state (Reader::snapshot)"
                ),
            };
            return Err(Fault::unsupported(token.at, token.length(), why));
        }
        Ok(())
    }

    /// Reads ports, a map to them, or how one is computed.
    fn new_ports(&mut self) -> Parsed<Ports> {
        if !self.begins_computed() {
            return self.ports().map(Ports::Range);
        }
        self.computed_value(DataType::Port).map(Into::into)
    }

    /// Reads fields, or a map of them to values of that type.
    fn computed_value(&mut self, of: DataType) -> Parsed<Computed> {
        let selector = self.selector()?;
        if !self.take("map") {
            return Ok(Computed::From(selector));
        }
        self.is_moved(&selector)?;
        let map = self.set_ref(&key(&selector), &SetData::Value(of))?;
        Ok(Computed::Map { selector, map })
    }

    /// Reads `redirect to :80` or `masquerade to :1024-2048`.
    pub(super) fn ports_only(&mut self) -> Parsed<Statement> {
        let redirects = self.next().is("redirect");
        let mut ports = None;
        if self.take("to") {
            if !self.take(":") && !redirects {
                return self.unexpected("\":\" and a port");
            }
            ports = Some(self.new_ports()?);
        }
        let flags = self.nat_flags()?;
        Ok(if redirects { Statement::Redirect { ports, flags } } else { Statement::Masquerade { ports, flags } })
    }

    /// Reads `tproxy ip to 127.0.0.1:15001`.
    pub(super) fn tproxy(&mut self) -> Parsed<Statement> {
        self.expect("tproxy")?;
        let family = self.family_word();
        self.expect("to")?;
        let start = self.peek();
        let mut tproxy = Tproxy { family, ..Tproxy::default() };
        if self.begins_computed() {
            let of_table = match self.family {
                Family::Ip => Some(DataType::Ipv4),
                Family::Ip6 => Some(DataType::Ipv6),
                Family::Arp | Family::Bridge | Family::Inet | Family::Netdev => None,
            };
            let of = match family {
                Some(IpFamily::Ipv4) => Some(DataType::Ipv4),
                Some(IpFamily::Ipv6) => Some(DataType::Ipv6),
                None => of_table,
            };
            let Some(of) = of else {
                let why = "the family is open: write tproxy ip to or tproxy ip6 to";
                return Err(Fault::wrong(start.at, start.length(), why));
            };
            tproxy.address_from = Some(Box::new(self.computed_value(of)?));
        } else if matches!(start.kind, Kind::Address | Kind::Quoted) || self.at("[") {
            let address = self.bracketed()?;
            self.fits(start, address, family)?;
            (tproxy.address, tproxy.family) = (Some(address), Some(IpFamily::of(address)));
        } else if !self.at(":") {
            return self.unexpected("an address or :PORT");
        }
        if self.take(":") {
            if self.begins_computed() {
                tproxy.port_from = Some(Box::new(self.computed_value(DataType::Port)?));
            } else {
                tproxy.port = Some(self.port()?);
            }
        }
        Ok(Statement::Tproxy(tproxy))
    }

    pub(super) fn family_word(&mut self) -> Option<IpFamily> {
        if self.take("ip") {
            Some(IpFamily::Ipv4)
        } else if self.take("ip6") {
            Some(IpFamily::Ipv6)
        } else {
            None
        }
    }

    /// Fails if an address is of another family than the statement or the table.
    pub(super) fn fits(&mut self, token: Token<'t>, address: IpAddr, family: Option<IpFamily>) -> Parsed<()> {
        let of_table = match self.family {
            Family::Ip => Some(IpFamily::Ipv4),
            Family::Ip6 => Some(IpFamily::Ipv6),
            Family::Arp | Family::Bridge | Family::Inet | Family::Netdev => None,
        };
        match family.or(of_table) {
            Some(wanted) if wanted != IpFamily::of(address) => {
                let why = format!("expected an address of family {wanted}");
                Err(Fault::wrong(token.at, token.length(), why))
            }
            _ => Ok(()),
        }
    }

    /// Reads an address, a prefix or a range.
    fn addresses(&mut self) -> Parsed<(IpAddr, IpAddr)> {
        let low = self.bracketed()?;
        if self.take("-") {
            let start = self.peek();
            let high = self.bracketed()?;
            return match high < low {
                true => Err(Fault::wrong(start.at, start.length(), "this range ends before it begins")),
                false => Ok((low, high)),
            };
        }
        if !self.take("/") {
            return Ok((low, low));
        }
        let (of, value) = match low {
            IpAddr::V4(address) => (DataType::Ipv4, Value::Ipv4(address)),
            IpAddr::V6(address) => (DataType::Ipv6, Value::Ipv6(address)),
        };
        let length = self.prefix_length(of)?;
        Ok(match prefix(&value, length).map(|range| (range.low, range.high)) {
            Some((Value::Ipv4(low), Value::Ipv4(high))) => (low.into(), high.into()),
            Some((Value::Ipv6(low), Value::Ipv6(high))) => (low.into(), high.into()),
            _ => (low, low),
        })
    }

    fn bracketed(&mut self) -> Parsed<IpAddr> {
        if !self.take("[") {
            return self.ip_address();
        }
        let address = self.ip_address()?;
        self.expect("]")?;
        Ok(address)
    }

    fn ports(&mut self) -> Parsed<PortRange> {
        let start = self.peek();
        let low = self.port()?;
        let high = if self.take("-") { self.port()? } else { low };
        if high < low {
            return Err(Fault::wrong(start.at, start.length(), "this range ends before it begins"));
        }
        Ok(PortRange { low, high })
    }

    fn port(&mut self) -> Parsed<u16> {
        match self.value(DataType::Port)? {
            Value::Port(port) => Ok(port),
            _ => self.unexpected("a port"),
        }
    }

    fn nat_flags(&mut self) -> Parsed<NatFlags> {
        const FLAGS: [(&str, NatFlags); 3] = [
            ("random", NatFlags::RANDOM),
            ("fully-random", NatFlags::FULLY_RANDOM),
            ("persistent", NatFlags::PERSISTENT),
        ];
        if !FLAGS.iter().any(|(word, _)| self.at(word)) {
            return Ok(NatFlags::empty());
        }
        Ok(self.list("a flag", &FLAGS)?.into_iter().collect())
    }
}

/// Returns so many bytes, kbytes or mbytes in bytes.
pub(super) fn bytes(number: u64, unit: &str, token: Token<'_>) -> Parsed<u64> {
    let each = match unit {
        "bytes" => 1,
        "kbytes" => 1024,
        "mbytes" => 1024 * 1024,
        _ => {
            let why = format!("no {}, expected bytes, kbytes or mbytes", Quoted::new(unit));
            return Err(Fault::wrong(token.at, token.length(), why));
        }
    };
    number.checked_mul(each).ok_or_else(|| Fault::wrong(token.at, token.length(), "more bytes than 64 bits can count"))
}

/// Returns the names of the codes of this protocol, as they are printed.
fn reasons(of: Reject) -> &'static [(String, u8)] {
    static REASONS: OnceLock<HashMap<Reject, Vec<(String, u8)>>> = OnceLock::new();
    let reasons = REASONS.get_or_init(|| {
        let all = [Reject::Icmp as fn(u8) -> Reject, Reject::Icmpv6, Reject::Icmpx];
        let named = |made: fn(u8) -> Reject| {
            (0..=u8::MAX).filter_map(move |code| {
                let text = made(code).to_string();
                let name = text.split(' ').next_back().unwrap_or_default();
                name.starts_with(|c: char| c.is_ascii_alphabetic()).then(|| (name.to_owned(), code))
            })
        };
        all.into_iter().map(|made| (made(0), named(made).collect())).collect()
    });
    reasons.get(&of).map_or(&[], Vec::as_slice)
}

const UNITS: &str = "a unit of time (second, minute, hour, day, week)";
