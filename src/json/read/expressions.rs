//! Expressions: JSON to text.

use serde_json::Value;

use super::script::{At, Script, Written};
use super::statements::{STATE, state, verdict};

impl<'v> Script<'v> {
    /// Writes any expression, one level deeper.
    pub(super) fn expression(&mut self, at: At<'v>) -> Written {
        self.deeper(at, |script| script.of_any_kind(at))
    }

    fn of_any_kind(&mut self, at: At<'v>) -> Written {
        match at.value {
            Value::Bool(there) => self.word_of(at, if *there { "exists" } else { "missing" }),
            Value::Number(_) => {
                let number = self.number(at)?;
                self.word_of(at, &number.to_string());
            }
            Value::String(text) => match text.strip_prefix('@') {
                Some(name) => self.set_name(at, name)?,
                None if text == "*" => self.word_of(at, "*"),
                None => self.quoted(at)?,
            },
            Value::Array(_) => self.list(at, ",")?,
            Value::Object(_) => {
                let (kind, of) = self.only(at, "an expression such as payload, meta, ct, prefix, range, set or map")?;
                self.object(at, kind, of)?;
            }
            Value::Null => return Err(self.unexpected(at, "an expression")),
        }
        Ok(())
    }

    /// Writes `@name`.
    pub(super) fn set_name(&mut self, at: At<'v>, name: &str) -> Written {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
        if name.is_empty() || !name.chars().all(is_word) {
            return Err(self.wrong(at, "expected @ and the name of a set"));
        }
        self.word_of(at, &format!("@{name}"));
        Ok(())
    }

    /// Writes several expressions with a sign between.
    fn list(&mut self, at: At<'v>, between: &str) -> Written {
        let items = self.items(at);
        if items.is_empty() {
            return Err(self.unexpected(at, "at least one value"));
        }
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.word(between);
            }
            self.expression(item)?;
        }
        Ok(())
    }

    fn object(&mut self, at: At<'v>, kind: &'v str, of: At<'v>) -> Written {
        match kind {
            "concat" => self.list(of, "."),
            "elem" => self.element(at),
            "set" => self.elements(of),
            "map" => {
                let (key, data) = (self.need(of, "key")?, self.need(of, "data")?);
                self.expression(key)?;
                self.word("map");
                self.expression(data)
            }
            "prefix" => {
                let (address, length) = (self.need(of, "addr")?, self.need(of, "len")?);
                self.expression(address)?;
                let length = self.number(length)?;
                self.word_of(of, &format!("/ {length}"));
                Ok(())
            }
            "range" => {
                let [low, high] = self.pair(of, "the lowest and the highest value")?;
                self.expression(low)?;
                self.word("-");
                self.expression(high)
            }
            "&" | "|" | "^" | "<<" | ">>" => self.operation(kind, of),
            "accept" | "drop" | "continue" | "return" | "jump" | "goto" => verdict(self, kind, of),
            _ => self.field(at, kind, of),
        }
    }

    /// Writes an operation on bits. nft allows any number of operands.
    fn operation(&mut self, operator: &str, of: At<'v>) -> Written {
        let operands = self.items(of);
        if operands.len() < 2 {
            return Err(self.unexpected(of, "an array of two values"));
        }
        for (index, operand) in operands.into_iter().enumerate() {
            if index > 0 {
                self.word(operator);
            }
            self.operand(operand)?;
        }
        Ok(())
    }

    /// Writes an operand: what has operators of its own is in parentheses, and a list of bits is
    /// all of them.
    pub(super) fn operand(&mut self, at: At<'v>) -> Written {
        let operators = ["&", "|", "^", "<<", ">>"];
        let has_operators = operators.iter().any(|operator| at.value.get(operator).is_some());
        match at.value {
            Value::Array(bits) if bits.len() > 1 => {
                self.word("(");
                self.list(at, "|")?;
            }
            Value::Object(_) if has_operators => {
                self.word("(");
                self.expression(at)?;
            }
            _ => return self.expression(at),
        }
        self.word(")");
        Ok(())
    }

    /// Writes a field by nft's name.
    fn field(&mut self, at: At<'v>, kind: &'v str, of: At<'v>) -> Written {
        match kind {
            "payload" => match self.get(of, "base") {
                Some(base) => {
                    let (offset, length) = (self.need(of, "offset")?, self.need(of, "len")?);
                    let (base, offset, length) = (self.string(base)?, self.number(offset)?, self.number(length)?);
                    if !matches!(base, "ll" | "nh" | "th" | "ih") {
                        return Err(self.unexpected(of, "the base ll, nh, th or ih"));
                    }
                    self.word_of(of, &format!("@{base},{offset},{length}"));
                    Ok(())
                }
                None => {
                    let (protocol, field) = (self.need(of, "protocol")?, self.need(of, "field")?);
                    self.name(protocol)?;
                    self.names(field)
                }
            },
            "meta" => {
                let key = self.need(of, "key")?;
                self.word("meta");
                self.name(key)
            }
            "ct" | "rt" | "ipsec" => self.directed(kind, of),
            "exthdr" => {
                let name = self.need(of, "name")?;
                let Some(field) = self.get(of, "field") else {
                    self.word("exthdr");
                    return self.name(name);
                };
                self.name(name)?;
                self.name(field)
            }
            "tcp option" | "ip option" | "sctp chunk" => {
                self.word(kind);
                if let Some(number) = self.get(of, "base") {
                    let number = self.number(number)?;
                    let (offset, length) = (self.get(of, "offset"), self.get(of, "len"));
                    let offset = offset.map_or(Ok(0), |offset| self.number(offset))?;
                    let length = length.map_or(Ok(8), |length| self.number(length))?;
                    let word = match (offset, length) {
                        (0, 0 | 8) => number.to_string(),
                        _ => format!("@{number},{offset},{length}"),
                    };
                    self.word_of(of, &word);
                    return Ok(());
                }
                let name = self.need(of, "name")?;
                self.name(name)?;
                match self.get(of, "field") {
                    Some(field) => self.name(field),
                    None => Ok(()),
                }
            }
            "socket" => {
                let key = self.need(of, "key")?;
                if key.value == "cgroupv2" {
                    return Err(self.unsupported(of, "socket cgroupv2, whose level nft's JSON leaves out,"));
                }
                self.word("socket");
                self.name(key)
            }
            "osf" => {
                let key = self.need(of, "key")?;
                self.word("osf");
                if let Some(ttl) = self.get(of, "ttl") {
                    self.word("ttl");
                    self.name(ttl)?;
                }
                self.name(key)
            }
            "fib" => {
                let (result, flags) = (self.need(of, "result")?, self.need(of, "flags")?);
                self.word("fib");
                for (index, flag) in self.items(flags).into_iter().enumerate() {
                    if index > 0 {
                        self.word(".");
                    }
                    self.name(flag)?;
                }
                self.name(result)
            }
            "numgen" | "symhash" | "jhash" => self.number_made(kind, of),
            _ => Err(self.unsupported(at, format_args!("an expression {kind:?}"))),
        }
    }

    /// Writes a field of a direction or family.
    fn directed(&mut self, kind: &str, of: At<'v>) -> Written {
        let key = self.need(of, "key")?;
        self.word(kind);
        if let Some(direction) = self.get(of, "dir") {
            self.name(direction)?;
        }
        if let Some(number) = self.get(of, "spnum") {
            let number = self.number(number)?;
            self.word(&format!("spnum {number}"));
        }
        if let Some(family) = self.get(of, "family") {
            self.name(family)?;
        }
        self.names(key)
    }

    fn number_made(&mut self, kind: &str, of: At<'v>) -> Written {
        let modulus = self.need(of, "mod")?;
        self.word(kind);
        match kind {
            "numgen" => {
                let mode = self.need(of, "mode")?;
                self.name(mode)?;
            }
            "jhash" => {
                let expression = self.need(of, "expr")?;
                self.expression(expression)?;
            }
            _ => {}
        }
        let number = self.number(modulus)?;
        self.word_of(modulus, &format!("mod {number}"));
        for key in ["seed", "offset"] {
            if let Some(number) = self.get(of, key) {
                let value = self.number(number)?;
                if value != 0 || key == "seed" {
                    self.word_of(number, &format!("{key} {value}"));
                }
            }
        }
        Ok(())
    }

    /// Writes elements in braces.
    pub(super) fn elements(&mut self, at: At<'v>) -> Written {
        self.word_of(at, "{");
        for (index, element) in self.items(at).into_iter().enumerate() {
            if index > 0 {
                self.word(",");
            }
            self.element(element)?;
        }
        self.word("}");
        Ok(())
    }

    /// Writes an element: an expression, one with what it carries, or a pair of key and value.
    pub(super) fn element(&mut self, at: At<'v>) -> Written {
        if at.value.is_array() {
            let [key, value] = self.pair(at, "a key and a value")?;
            self.carrying(key)?;
            self.word(":");
            return self.expression(value);
        }
        self.carrying(at)
    }

    /// Writes the key of an element and what it carries, in the order of nft's text.
    pub(super) fn carrying(&mut self, at: At<'v>) -> Written {
        let Some(element) = self.get(at, "elem") else { return self.expression(at) };
        let key = self.need(element, "val")?;
        self.expression(key)?;
        for kind in STATE {
            if let Some(value) = element.value.get(kind) {
                let value = if value.is_null() { element } else { self.need(element, kind)? };
                state(self, kind, value)?;
            }
        }
        for span in ["timeout", "expires"] {
            if let Some(seconds) = self.get(element, span) {
                let number = self.number(seconds)?;
                self.word_of(seconds, &format!("{span} {number}s"));
            }
        }
        if let Some(comment) = self.get(element, "comment") {
            self.word("comment");
            self.quoted(comment)?;
        }
        Ok(())
    }
}
