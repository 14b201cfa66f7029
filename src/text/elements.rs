//! The elements of sets, maps and verdict maps.

use super::error::{Fault, Parsed};
use super::lexer::Kind;
use super::parser::Parser;
use crate::model::{DataType, Element, ElementData, Interval, Key, MapTo, Name, SetData, Statement, Value, Verdict};

/// Whether the elements of a map need their values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Of a map for a translation, which may be an interval or have a port.
    Open,
    Optional,
    Required,
}

impl<'t> Parser<'t> {
    /// Reads `{ ... }`, over as many lines as it takes. A variable in it may be a list itself.
    pub(super) fn elements(&mut self, key: &[DataType], data: &SetData) -> Parsed<Vec<Element>> {
        let mut elements = Vec::new();
        self.elements_into(&mut elements, key, data, Values::Required)?;
        Ok(elements)
    }

    /// As [`elements`](Self::elements), of an anonymous set.
    pub(super) fn anonymous(&mut self, key: &[DataType], data: &SetData) -> Parsed<Vec<Element>> {
        let mut elements = Vec::new();
        self.elements_into(&mut elements, key, data, Values::Required)?;
        Ok(elements)
    }

    /// As [`elements`](Self::elements), where those of a map may have no value.
    pub(super) fn keys(&mut self, key: &[DataType], data: &SetData) -> Parsed<Vec<Element>> {
        let mut elements = Vec::new();
        self.elements_into(&mut elements, key, data, Values::Optional)?;
        Ok(elements)
    }

    fn elements_into(
        &mut self,
        elements: &mut Vec<Element>,
        key: &[DataType],
        data: &SetData,
        values: Values,
    ) -> Parsed<()> {
        self.skip_newlines();
        self.expect("{")?;
        self.deeper(|parser| {
            loop {
                parser.skip_newlines();
                if parser.take("}") {
                    return Ok(());
                }
                if parser.at("{") {
                    parser.elements_into(elements, key, data, values)?;
                } else {
                    elements.push(parser.element(key, data, values)?);
                }
                parser.skip_newlines();
                if !parser.take(",") && !parser.at("}") {
                    return parser.unexpected("\",\" or \"}\"");
                }
                // nft takes commas without an element between them.
                while parser.take(",") {
                    parser.skip_newlines();
                }
            }
        })
    }

    fn element(&mut self, key: &[DataType], data: &SetData, values: Values) -> Parsed<Element> {
        let key = match key {
            _ if self.take("*") => Element::catch_all().key,
            [of] => Key::Single(self.interval(*of)?),
            several => {
                let mut parts: Vec<Interval> = Vec::with_capacity(several.len());
                for (index, of) in several.iter().enumerate() {
                    if index > 0 {
                        self.skip_newlines();
                        self.expect(".")?;
                        self.skip_newlines();
                    }
                    let start = self.peek();
                    let part = self.interval(*of)?;
                    // nft takes the bits of a mark in the order of the host for a prefix.
                    if *of == DataType::Mark && self.is_prefix(&part) {
                        let why = "a prefix of a mark among several values is another one to nft; write a range";
                        return Err(Fault::unsupported(start.at, start.length(), why));
                    }
                    parts.push(part);
                }
                Key::Concat(parts.into())
            }
        };
        let mut element = Element::new(key);
        self.options(&mut element)?;
        match data {
            SetData::Concat(_) | SetData::Interval(_) | SetData::Object(_) | SetData::Value(_) | SetData::Verdict
                if values == Values::Optional && !self.at(":") => {}
            SetData::None => {}
            SetData::Concat(types) | SetData::Interval(types) => {
                self.colon()?;
                let start = self.peek();
                let key = self.several(types, values)?;
                let is_wrong = values != Values::Open && matches!(data, SetData::Interval(_)) != key.is_interval();
                if is_wrong {
                    let why = match data {
                        SetData::Interval(_) => "expected an interval, as of every element of the map",
                        _ => "expected single values, as the map is not one to intervals",
                    };
                    return Err(Fault::wrong(start.at, start.length(), why));
                }
                element = element.several(key);
            }
            SetData::Object(_) => {
                self.colon()?;
                element = element.object(self.text("the name of an object")?.text);
            }
            SetData::Value(of) => {
                self.colon()?;
                element = element.value(self.value(*of)?);
                if self.at("/") || self.at("-") || self.at(".") {
                    return self.unsupported("an interval or concatenation as the value of an element");
                }
            }
            SetData::Verdict => {
                self.colon()?;
                element = element.verdict(self.verdict()?);
            }
        }
        Ok(element)
    }

    /// Returns whether an interval of marks could have been written as a prefix.
    fn is_prefix(&self, part: &Interval) -> bool {
        let (Value::Mark(low), Value::Mark(high)) = (&part.low, &part.high) else { return false };
        let bits = low ^ high;
        low < high && bits & bits.wrapping_add(1) == 0 && low & bits == 0
    }

    /// Reads several values, or intervals of them; with open values only the first is needed.
    fn several(&mut self, types: &[DataType], values: Values) -> Parsed<Key> {
        let mut parts: Vec<Interval> = Vec::with_capacity(types.len());
        for (index, of) in types.iter().enumerate() {
            if index > 0 {
                if values == Values::Open && !self.at(".") {
                    break;
                }
                self.skip_newlines();
                self.expect(".")?;
                self.skip_newlines();
            }
            parts.push(self.interval(*of)?);
        }
        Ok(match <[Interval; 1]>::try_from(parts) {
            Ok([one]) => Key::Single(one),
            Err(parts) => Key::Concat(parts.into()),
        })
    }

    /// Reads the elements of a map for a translation to addresses of that type; what they hold
    /// decides what the map is to.
    pub(super) fn translated(&mut self, key: &[DataType], address: DataType) -> Parsed<(Vec<Element>, MapTo)> {
        let start = self.peek();
        let mut elements = Vec::new();
        let open = SetData::Interval(vec![address, DataType::Port]);
        self.elements_into(&mut elements, key, &open, Values::Open)?;
        let held = |element: &Element| match element.data.as_deref() {
            Some(ElementData::Several(key)) => match (key.parts().len(), key.is_interval()) {
                (1, false) => MapTo::Address,
                (1, true) => MapTo::Range,
                (_, false) => MapTo::AddressAndPort,
                (_, true) => MapTo::IntervalsOfBoth,
            },
            _ => MapTo::Address,
        };
        let holds = elements.first().map_or(MapTo::Address, held);
        if elements.iter().any(|element| held(element) != holds) {
            let why = "the elements of this map differ in kind; give each an address, a range, or one with a port";
            return Err(Fault::wrong(start.at, start.length(), why));
        }
        if holds == MapTo::Address {
            for element in &mut elements {
                if let Some(ElementData::Several(Key::Single(Interval { low, .. }))) = element.data.as_deref() {
                    element.data = Some(Box::new(ElementData::Value(low.clone())));
                }
            }
        }
        Ok((elements, holds))
    }

    fn colon(&mut self) -> Parsed<()> {
        self.skip_newlines();
        self.expect(":")?;
        self.skip_newlines();
        Ok(())
    }

    /// Reads what an element has besides its key.
    fn options(&mut self, element: &mut Element) -> Parsed<()> {
        loop {
            let token = self.peek();
            if token.kind != Kind::Word {
                return Ok(());
            }
            match token.text {
                "timeout" => {
                    self.next();
                    element.timeout = Some(self.time()?);
                }
                // The time that is left belongs to the running system, and a new element starts
                // anew.
                "expires" => {
                    self.next();
                    self.time()?;
                }
                "comment" => {
                    self.next();
                    element.extra.get_or_insert_default().comment = Some(self.comment()?.into());
                }
                _ => {
                    let statement = self.carried()?;
                    element.extra.get_or_insert_default().statements.push(statement);
                }
            }
        }
    }

    /// Reads a statement that elements carry: a counter, a limit, a quota or a number of connections.
    pub(super) fn carried(&mut self) -> Parsed<Statement> {
        let token = self.peek();
        match token.text {
            "counter" => self.counter(),
            "ct" => self.ct_count(),
            "limit" => self.limit(),
            "quota" => self.quota(),
            "last" => self.unsupported("last of an element"),
            _ => self.unexpected("counter, limit, quota, ct count, timeout, expires or comment"),
        }
    }

    /// Reads a verdict that may stand in a map.
    pub(super) fn verdict(&mut self) -> Parsed<Verdict> {
        let token = self.peek();
        let plain = [
            ("accept", Verdict::Accept),
            ("continue", Verdict::Continue),
            ("drop", Verdict::Drop),
            ("return", Verdict::Return),
        ];
        if let Some((_, verdict)) = plain.into_iter().find(|(word, _)| token.is(word)) {
            self.next();
            return Ok(verdict);
        }
        let Some(made) = leads(token.text) else {
            return match token.text {
                "queue" => self.unsupported("queue as the value of an element"),
                _ => self.unexpected("a verdict (accept, drop, continue, return, jump CHAIN, goto CHAIN)"),
            };
        };
        self.next();
        if self.at("{") {
            let brace = self.peek();
            return Err(Fault::wrong(brace.at, 1, "a map leads to chains by name; only a rule may have one in braces"));
        }
        Ok(made(self.name("the name of a chain")?))
    }
}

/// Returns the verdict of a word that leads to another chain.
pub(super) fn leads(word: &str) -> Option<fn(Name) -> Verdict> {
    match word {
        "jump" => Some(Verdict::Jump),
        "goto" => Some(Verdict::Goto),
        _ => None,
    }
}
