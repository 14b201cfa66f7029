//! Fields, alone or several as one key.

use super::error::Parsed;
use super::lexer::{Kind, Token};
use super::names;
use super::parser::{Parser, unsupported};
use crate::error::Quoted;
use crate::model::{Field, Protocol, Selector};

impl<'t> Parser<'t> {
    /// Reads one field, or several joined by a dot.
    pub(super) fn selector(&mut self) -> Parsed<(Selector, Option<Protocol>)> {
        let (first, mut transport) = self.field()?;
        let mut fields = vec![first];
        while self.take(".") {
            let (field, protocol) = self.field()?;
            fields.push(field);
            transport = transport.or(protocol);
        }
        Ok((fields.into(), transport))
    }

    /// Reads a field, and the protocol that its name says beyond the field.
    pub(super) fn field(&mut self) -> Parsed<(Field, Option<Protocol>)> {
        let first = self.peek();
        if first.kind != Kind::Word {
            return self.unexpected("a field such as tcp dport");
        }
        for named in names::fields(first.text) {
            let mut words = named.words.iter().enumerate();
            if words.all(|(index, word)| self.peek_at(index).is(word)) {
                for _ in &named.words {
                    self.next();
                }
                return Ok((named.field, None));
            }
        }
        let second = self.peek_at(1);
        let port = PORTS.iter().find(|(word, _)| second.is(word));
        if let (Some(protocol), Some((_, field))) = (portly(first), port) {
            self.next();
            self.next();
            return Ok((*field, Some(protocol)));
        }
        Err(unknown(first, second))
    }
}

/// Returns the protocol of a field whose port has no field of its own.
fn portly(first: Token<'_>) -> Option<Protocol> {
    [("dccp", Protocol::DCCP), ("udplite", Protocol::UDPLITE)]
        .into_iter()
        .find(|(word, _)| first.is(word))
        .map(|(_, protocol)| protocol)
}

const PORTS: [(&str, Field); 2] = [("sport", Field::ThSport), ("dport", Field::ThDport)];

/// Returns the fault of words that are no field.
fn unknown(first: Token<'_>, second: Token<'_>) -> Box<super::error::Fault> {
    let mut known: Vec<&str> =
        names::fields(first.text).iter().filter_map(|named| named.words.get(1).copied()).collect();
    known.sort_unstable();
    match known.as_slice() {
        [] => unsupported(first, format_args!("a statement or field that begins with {}", Quoted::new(first.text))),
        [..] if second.kind != Kind::Word => {
            super::cursor::unexpected(second, &format!("a field of {} ({})", first.text, known.join(", ")))
        }
        [..] => {
            let what = format!("{} {} (known: {})", first.text, Quoted::new(second.text), known.join(", "));
            unsupported(second, what)
        }
    }
}
