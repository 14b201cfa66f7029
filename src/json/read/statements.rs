//! Statements: JSON to text.

use serde_json::Value;

use super::script::{At, Script, Written};
use crate::error::Quoted;

/// What elements carry.
pub(super) const STATE: [&str; 5] = ["counter", "limit", "quota", "ct count", "last"];

/// Writes a verdict.
pub(super) fn verdict<'v>(script: &mut Script<'v>, kind: &'v str, of: At<'v>) -> Written {
    script.word_of(of, kind);
    if !matches!(kind, "jump" | "goto") {
        return Ok(());
    }
    let target = script.need(of, "target")?;
    script.name(target)
}

/// Writes what elements carry as well as rules.
pub(super) fn state<'v>(script: &mut Script<'v>, kind: &str, of: At<'v>) -> Written {
    script.word_of(of, kind);
    match kind {
        "counter" => numbers(script, of, &["packets", "bytes"]),
        "ct count" => {
            if inverted(script, of)? {
                script.word("over");
            }
            let count = script.need(of, "val")?;
            let number = script.number(count)?;
            script.word_of(count, &number.to_string());
            Ok(())
        }
        "limit" => script.rate(of),
        "quota" => {
            if inverted(script, of)? {
                script.word("over");
            }
            script.size(of, "val", "val_unit")?;
            if script.get(of, "used").is_some_and(|used| used.value.as_u64() != Some(0)) {
                script.word("used");
                script.size(of, "used", "used_unit")?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Writes those of these properties that are there, by name and number.
fn numbers<'v>(script: &mut Script<'v>, of: At<'v>, keys: &[&'static str]) -> Written {
    for key in keys {
        if let Some(value) = script.get(of, key) {
            let number = script.number(value)?;
            script.word_of(value, &format!("{key} {number}"));
        }
    }
    Ok(())
}

pub(super) fn inverted<'v>(script: &mut Script<'v>, of: At<'v>) -> Written<bool> {
    script.get(of, "inv").map_or(Ok(false), |inverted| script.boolean(inverted))
}

impl<'v> Script<'v> {
    /// Writes a statement.
    pub(super) fn statement(&mut self, at: At<'v>) -> Written {
        if let Value::String(text) = at.value {
            let why = format!("{} is a statement that has no form in JSON; read it from nft's text", Quoted::new(text));
            return Err(self.wrong(at, why));
        }
        let (kind, of) = self.only(at, "a statement such as match, accept, counter, mangle or dnat")?;
        match kind {
            "accept" | "drop" | "continue" | "return" | "jump" | "goto" => verdict(self, kind, of),
            "match" => self.comparison(of),
            "counter" | "limit" | "quota" | "synproxy" if of.value.is_string() || of.value.get("map").is_some() => {
                self.word(kind);
                self.word("name");
                self.named_object(of)
            }
            "counter" | "limit" | "quota" | "ct count" | "last" => state(self, kind, of),
            "ct helper" | "ct timeout" | "ct expectation" => {
                self.word(kind);
                self.word("set");
                self.named_object(of)
            }
            "secmark" => {
                self.word("meta secmark set");
                self.named_object(of)
            }
            "notrack" => {
                self.word("notrack");
                Ok(())
            }
            "mangle" => {
                let (key, value) = (self.need(of, "key")?, self.need(of, "value")?);
                self.expression(key)?;
                self.word("set");
                self.expression(value)
            }
            "vmap" => {
                let (key, data) = (self.need(of, "key")?, self.need(of, "data")?);
                self.expression(key)?;
                self.word("vmap");
                self.expression(data)
            }
            "log" => self.log(of),
            "reject" => self.reject(of),
            "snat" | "dnat" | "masquerade" | "redirect" | "tproxy" => self.nat(kind, of),
            "queue" => {
                self.word_of(of, "queue");
                if let Some(flags) = self.get(of, "flags") {
                    self.word("flags");
                    self.flags(flags)?;
                }
                let Some(number) = self.get(of, "num") else { return Ok(()) };
                self.word("to");
                self.expression(number)
            }
            "dup" => {
                self.word_of(of, "dup to");
                let address = self.need(of, "addr")?;
                self.expression(address)?;
                let Some(device) = self.get(of, "dev") else { return Ok(()) };
                self.word("device");
                self.expression(device)
            }
            "fwd" => self.forward(of),
            "set" | "map" => self.update(kind, of),
            "meter" => self.meter(of),
            "flow" => {
                let table = self.need(of, "flowtable")?;
                self.word_of(of, "flow add");
                let name = self.string(table)?;
                self.set_name(table, name.strip_prefix('@').unwrap_or(name))
            }
            "synproxy" => {
                self.word_of(of, "synproxy");
                numbers(self, of, &["mss", "wscale"])?;
                self.spaced_flags(of)
            }
            "reset" => {
                self.word("reset");
                self.expression(of)
            }
            "xt" => {
                let why = "a match or target of xtables is read by nftmesh::import, from iptables-save";
                Err(self.wrong(of, why))
            }
            _ => Err(self.unsupported(at, format_args!("a statement {kind:?}"))),
        }
    }

    /// Writes flags that nft separates by spaces.
    pub(super) fn spaced_flags(&mut self, of: At<'v>) -> Written {
        let Some(flags) = self.get(of, "flags") else { return Ok(()) };
        self.items(flags).into_iter().try_for_each(|flag| self.name(flag))
    }

    /// Writes flags with commas between.
    pub(super) fn flags(&mut self, at: At<'v>) -> Written {
        for (index, flag) in self.items(at).into_iter().enumerate() {
            if index > 0 {
                self.word(",");
            }
            self.name(flag)?;
        }
        Ok(())
    }

    /// Writes the name of an object, or the map in which it is looked up.
    fn named_object(&mut self, of: At<'v>) -> Written {
        if of.value.is_string() { self.quoted(of) } else { self.expression(of) }
    }

    fn comparison(&mut self, of: At<'v>) -> Written {
        let (left, right) = (self.need(of, "left")?, self.need(of, "right")?);
        let operator = self.get(of, "op");
        self.expression(left)?;
        if let Some(operator) = operator {
            match self.string(operator)? {
                "in" => {}
                text @ ("==" | "!=" | "<" | ">" | "<=" | ">=" | "!") => self.word_of(operator, text),
                _ => return Err(self.unexpected(operator, "an operator: ==, !=, <, >, <=, >=, in, !")),
            }
        }
        // Behind a mask, a list of bits is all of them.
        if left.value.get("&").is_some() { self.operand(right) } else { self.expression(right) }
    }

    /// Writes a rate, for statements and objects.
    pub(super) fn rate(&mut self, of: At<'v>) -> Written {
        self.word("rate");
        if inverted(self, of)? {
            self.word("over");
        }
        let (rate, per) = (self.need(of, "rate")?, self.get(of, "per"));
        let unit = match self.get(of, "rate_unit") {
            Some(unit) => self.string(unit)?,
            None => "packets",
        };
        let (number, per_text) = (self.number(rate)?, per.map_or(Ok("second"), |per| self.string(per))?);
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
        if !is_name(per_text) || !is_name(unit) {
            return Err(
                self.unexpected(per.unwrap_or(of), "a unit such as second, and packets, bytes, kbytes or mbytes")
            );
        }
        self.word_of(rate, &number.to_string());
        let place = per.unwrap_or(of);
        match unit {
            "packets" => self.word_of(place, &format!("/ {per_text}")),
            unit => self.word_of(place, &format!("{unit}/{per_text}")),
        }
        let Some(burst) = self.get(of, "burst") else { return Ok(()) };
        let number = self.number(burst)?;
        let burst_unit = match self.get(of, "burst_unit") {
            _ if unit == "packets" => "packets",
            Some(unit) => self.string(unit)?,
            None => "bytes",
        };
        if !is_name(burst_unit) {
            return Err(self.unexpected(burst, "a unit: bytes, kbytes or mbytes"));
        }
        // Without one, the kernel has its own.
        if number != 0 {
            self.word_of(burst, &format!("burst {number} {burst_unit}"));
        }
        Ok(())
    }

    /// Writes a number of bytes with its unit.
    pub(super) fn size(&mut self, of: At<'v>, key: &'static str, unit: &'static str) -> Written {
        let size = self.need(of, key)?;
        let number = self.number(size)?;
        self.word_of(size, &number.to_string());
        match self.get(of, unit) {
            Some(unit) => self.name(unit),
            None => {
                self.word("bytes");
                Ok(())
            }
        }
    }

    fn log(&mut self, of: At<'v>) -> Written {
        self.word_of(of, "log");
        if let Some(prefix) = self.get(of, "prefix") {
            self.word("prefix");
            self.quoted(prefix)?;
        }
        numbers(self, of, &["group", "snaplen", "queue-threshold"])?;
        if let Some(level) = self.get(of, "level") {
            self.word("level");
            self.name(level)?;
        }
        let Some(flags) = self.get(of, "flags") else { return Ok(()) };
        for flag in self.items(flags) {
            self.word("flags");
            self.names(flag)?;
        }
        Ok(())
    }

    fn reject(&mut self, of: At<'v>) -> Written {
        self.word_of(of, "reject");
        let Some(kind) = self.get(of, "type") else { return Ok(()) };
        self.word("with");
        self.names(kind)?;
        match self.get(of, "expr") {
            Some(code) => self.expression(code),
            None if kind.value == "tcp reset" => Ok(()),
            None => Err(self.wrong(of, "no property \"expr\" with the code")),
        }
    }

    fn nat(&mut self, kind: &str, of: At<'v>) -> Written {
        self.word_of(of, kind);
        if let Some(family) = self.get(of, "family") {
            self.name(family)?;
        }
        let (address, port) = (self.get(of, "addr"), self.get(of, "port"));
        if let Some(holds) = self.get(of, "type_flags") {
            for flag in self.items(holds) {
                match self.string(flag)? {
                    "concat" => self.word_of(flag, "addr . port"),
                    word @ ("interval" | "prefix") => self.word_of(flag, word),
                    _ => return Err(self.unexpected(flag, "interval, prefix or concat")),
                }
            }
        }
        if address.is_some() || port.is_some() {
            self.word("to");
        }
        if let Some(address) = address {
            self.address(address, port.is_some())?;
        }
        if let Some(port) = port {
            self.word(":");
            self.expression(port)?;
        }
        let Some(flags) = self.get(of, "flags") else { return Ok(()) };
        // A prefix says it already.
        let flags: Vec<_> = self.items(flags).into_iter().filter(|flag| flag.value != "netmap").collect();
        for (index, flag) in flags.into_iter().enumerate() {
            if index > 0 {
                self.word(",");
            }
            self.name(flag)?;
        }
        Ok(())
    }

    /// Writes an address, in brackets if it is one of IPv6 and a port follows.
    fn address(&mut self, at: At<'v>, has_port: bool) -> Written {
        match at.value {
            Value::String(text) if has_port && text.contains(':') => {
                self.word("[");
                self.expression(at)?;
                self.word("]");
                Ok(())
            }
            Value::Object(object) if has_port && object.contains_key("range") => {
                let (_, range) = self.only(at, "range")?;
                let [low, high] = self.pair(range, "the lowest and the highest address")?;
                self.address(low, true)?;
                self.word("-");
                self.address(high, true)
            }
            _ => self.expression(at),
        }
    }

    fn forward(&mut self, of: At<'v>) -> Written {
        let device = self.need(of, "dev")?;
        self.word_of(of, "fwd");
        match (self.get(of, "family"), self.get(of, "addr")) {
            (Some(family), Some(address)) => {
                self.name(family)?;
                self.word("to");
                self.expression(address)?;
                self.word("device");
                self.expression(device)
            }
            (None, None) => {
                self.word("to");
                self.expression(device)
            }
            _ => Err(self.wrong(of, "family and addr belong together")),
        }
    }

    /// Writes a change of an element.
    fn update(&mut self, kind: &'v str, of: At<'v>) -> Written {
        let (op, element) = (self.need(of, "op")?, self.need(of, "elem")?);
        let set = if kind == "map" { self.need(of, "map")? } else { self.need(of, "set")? };
        self.name(op)?;
        let name = self.string(set)?;
        let Some(name) = name.strip_prefix('@') else {
            return Err(self.unexpected(set, "@ and the name of a set"));
        };
        self.set_name(set, name)?;
        self.word("{");
        self.carrying(element)?;
        self.states(of)?;
        if let Some(data) = self.get(of, "data") {
            self.word(":");
            self.expression(data)?;
        }
        self.word("}");
        Ok(())
    }

    /// Writes what every element carries.
    pub(super) fn states(&mut self, of: At<'v>) -> Written {
        let Some(statements) = self.get(of, "stmt") else { return Ok(()) };
        for statement in self.items(statements) {
            let (kind, of) = self.only(statement, "what an element carries, such as counter or limit")?;
            if !STATE.contains(&kind) {
                return Err(
                    self.unexpected(statement, "what an element carries: counter, limit, quota, ct count, last")
                );
            }
            state(self, kind, of)?;
        }
        Ok(())
    }

    fn meter(&mut self, of: At<'v>) -> Written {
        let (name, key) = (self.need(of, "name")?, self.need(of, "key")?);
        self.word_of(of, "meter");
        self.name(name)?;
        numbers(self, of, &["size"])?;
        self.word("{");
        self.carrying(key)?;
        self.states(of)?;
        self.word("}");
        Ok(())
    }
}
