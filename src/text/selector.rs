//! Fields, alone or several as one key.

use super::error::Parsed;
use super::lexer::{Kind, Token};
use super::names;
use super::parser::{Parser, unsupported};
use crate::error::Quoted;
use crate::model::{DataType, Field, Selector};

impl<'t> Parser<'t> {
    /// Reads one field or what is computed from fields, or several of them joined by a dot.
    pub(super) fn selector(&mut self) -> Parsed<Selector> {
        let mut parts = vec![self.basic()?];
        while self.take(".") {
            parts.push(self.basic()?);
        }
        Ok(parts.into())
    }

    /// Reads a field.
    pub(super) fn field(&mut self) -> Parsed<Field> {
        let first = self.peek();
        if first.kind != Kind::Word && !self.begins_field() {
            return self.unexpected("a field such as tcp dport");
        }
        if let Some(field) = self.field_with_parameters()? {
            return Ok(field);
        }
        if let Some(named) = self.named_field(0) {
            self.skip(named.words.len());
            return Ok(named.field);
        }
        let second = self.peek_at(1);
        Err(unknown(first, second))
    }

    /// Returns whether a field begins here, and not only a constant with the name of a protocol.
    pub(super) fn begins_field(&mut self) -> bool {
        self.begins_field_at(0)
    }

    /// As [`begins_field`](Self::begins_field), after so many tokens.
    pub(super) fn begins_field_at(&mut self, index: usize) -> bool {
        let (first, second) = (self.peek_at(index), self.peek_at(index + 1));
        let parameters = match first.text {
            "ct" => second.is("event") || second.is("original") || second.is("reply"),
            "ip" | "tcp" => second.is("option"),
            "ipsec" => second.is("in") || second.is("out"),
            "sctp" => second.is("chunk"),
            "fib" | "frag" | "hbh" | "jhash" | "mh" | "numgen" | "osf" | "rt" | "rt0" | "rt2" | "socket" | "srh"
            | "symhash" => true,
            "dst" => second.is("nexthdr") || second.is("hdrlength"),
            _ => false,
        };
        first.kind == Kind::Word && (parameters || self.named_field(index).is_some())
            || first.is("@") && self.peek_at(index + 2).is(",")
    }

    /// Returns the field without parameters whose name is there.
    pub(super) fn named_field(&mut self, at: usize) -> Option<&'static names::Named> {
        let first = self.peek_at(at);
        names::fields(first.text).iter().find(|named| {
            let mut words = named.words.iter().enumerate();
            words.all(|(index, word)| self.peek_at(at + index).is(word))
        })
    }
}

/// Returns the types of a key.
pub(super) fn key(selector: &Selector) -> Vec<DataType> {
    selector.key().collect()
}

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
