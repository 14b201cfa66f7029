//! The text that JSON becomes, and where in the JSON each word of it comes from.

use serde_json::Value;

use super::error::JsonError;
use crate::error::Quoted;

/// Text in the making. Words are separated by spaces, and a command is a line.
#[derive(Default)]
pub(super) struct Script<'v> {
    text: String,
    nodes: Vec<Node<'v>>,
    /// Where words begin, and what they come from.
    places: Vec<(usize, usize)>,
    depth: usize,
}

struct Node<'v> {
    parent: usize,
    step: Step<'v>,
}

enum Step<'v> {
    Index(usize),
    Key(&'v str),
    Root,
}

/// A value of the JSON, and its place.
#[derive(Clone, Copy)]
pub(super) struct At<'v> {
    pub(super) value: &'v Value,
    node: usize,
}

pub(super) type Written<T = ()> = Result<T, JsonError>;

impl<'v> Script<'v> {
    pub(super) fn root(&mut self, value: &'v Value) -> At<'v> {
        self.nodes.push(Node { parent: 0, step: Step::Root });
        At { value, node: self.nodes.len() - 1 }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn child(&mut self, of: At<'v>, step: Step<'v>, value: &'v Value) -> At<'v> {
        self.nodes.push(Node { parent: of.node, step });
        At { value, node: self.nodes.len() - 1 }
    }

    /// Returns a property of an object; one that is null counts as absent.
    pub(super) fn get(&mut self, at: At<'v>, key: &'static str) -> Option<At<'v>> {
        let value = at.value.get(key).filter(|value| !value.is_null())?;
        Some(self.child(at, Step::Key(key), value))
    }

    /// Returns a property that must be there.
    pub(super) fn need(&mut self, at: At<'v>, key: &'static str) -> Written<At<'v>> {
        match self.get(at, key) {
            Some(found) => Ok(found),
            None => Err(self.wrong(at, format!("no property {key:?}"))),
        }
    }

    /// Returns name and value of the only property of an object.
    pub(super) fn only(&mut self, at: At<'v>, what: &str) -> Written<(&'v str, At<'v>)> {
        let mut properties = at.value.as_object().into_iter().flatten();
        match (properties.next(), properties.next()) {
            (Some((key, value)), None) => Ok((key, self.child(at, Step::Key(key), value))),
            _ => Err(self.unexpected(at, &format!("an object with one property, {what}"))),
        }
    }

    /// Returns the values of an array, or the value itself if it is none.
    pub(super) fn items(&mut self, at: At<'v>) -> Vec<At<'v>> {
        match at.value {
            Value::Array(values) => {
                values.iter().enumerate().map(|(index, value)| self.child(at, Step::Index(index), value)).collect()
            }
            _ => vec![at],
        }
    }

    /// Returns both values of an array of two.
    pub(super) fn pair(&mut self, at: At<'v>, what: &str) -> Written<[At<'v>; 2]> {
        match <[At<'v>; 2]>::try_from(if at.value.is_array() { self.items(at) } else { Vec::new() }) {
            Ok(pair) => Ok(pair),
            Err(_) => Err(self.unexpected(at, &format!("an array of {what}"))),
        }
    }

    pub(super) fn string(&self, at: At<'v>) -> Written<&'v str> {
        at.value.as_str().ok_or_else(|| self.unexpected(at, "a string"))
    }

    pub(super) fn number(&self, at: At<'v>) -> Written<u64> {
        at.value.as_u64().ok_or_else(|| self.unexpected(at, "a number that is not negative"))
    }

    pub(super) fn boolean(&self, at: At<'v>) -> Written<bool> {
        at.value.as_bool().ok_or_else(|| self.unexpected(at, "true or false"))
    }

    /// Writes a word of nft's language.
    pub(super) fn word(&mut self, word: &str) {
        self.text.push(' ');
        self.text.push_str(word);
    }

    /// Writes words that come from this value.
    pub(super) fn word_of(&mut self, at: At<'v>, word: &str) {
        self.places.push((self.text.len() + 1, at.node));
        self.word(word);
    }

    /// Writes a string as a word, which can be nothing else.
    pub(super) fn name(&mut self, at: At<'v>) -> Written {
        let text = self.string(at)?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '[' | ']');
        if text.is_empty() || !text.chars().all(is_word) {
            return Err(self.wrong(at, format!("{} is no name of nft's language", Quoted::new(text))));
        }
        self.word_of(at, text);
        Ok(())
    }

    /// Writes a string that consists of several words.
    pub(super) fn names(&mut self, at: At<'v>) -> Written {
        let text = self.string(at)?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
        if text.trim().is_empty() || !text.chars().all(is_word) {
            return Err(self.wrong(at, format!("{} are no words of nft's language", Quoted::new(text))));
        }
        self.word_of(at, text);
        Ok(())
    }

    /// Writes a string in quotes, in which it is nothing but a text.
    pub(super) fn quoted(&mut self, at: At<'v>) -> Written {
        let text = self.string(at)?;
        if text.contains(|c: char| c == '"' || c.is_control()) {
            let why = format!("{} has a quote or a control character, which nft's text cannot have", Quoted::new(text));
            return Err(self.wrong(at, why));
        }
        self.word_of(at, &format!("\"{text}\""));
        Ok(())
    }

    /// Ends a command.
    pub(super) fn end_line(&mut self) {
        self.text.push('\n');
    }

    /// Runs `write` one level deeper, which the nesting of the JSON decides.
    pub(super) fn deeper<T>(&mut self, at: At<'v>, write: impl FnOnce(&mut Self) -> Written<T>) -> Written<T> {
        if self.depth == DEPTH {
            return Err(self.wrong(at, format!("nested more than {DEPTH} deep, which nothing in nft needs")));
        }
        self.depth += 1;
        let written = write(self);
        self.depth -= 1;
        written
    }

    /// Returns the fault of a value.
    pub(super) fn wrong(&self, at: At<'v>, fault: impl Into<String>) -> JsonError {
        JsonError::wrong(self.path(at.node), fault)
    }

    /// Returns the fault of a value that may be valid.
    pub(super) fn unsupported(&self, at: At<'v>, what: impl std::fmt::Display) -> JsonError {
        let fault = format!("{what} may be valid in nft, but is not known here");
        JsonError::unsupported(self.path(at.node), fault)
    }

    /// Returns the fault of a value where another is expected.
    pub(super) fn unexpected(&self, at: At<'v>, expected: &str) -> JsonError {
        let found = match at.value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => Quoted::new(text).to_string(),
            Value::Array(values) => format!("an array of {}", values.len()),
            Value::Object(object) => match object.keys().next() {
                Some(key) => format!("an object with {}", Quoted::new(key)),
                None => "an empty object".to_owned(),
            },
        };
        self.wrong(at, format!("found {found}, expected {expected}"))
    }

    /// Returns where the word comes from that is at a column of a line, both from 1.
    pub(super) fn path_of(&self, line: usize, column: usize) -> String {
        let before: usize = self.text.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let rest = self.text.get(before..).unwrap_or_default();
        let at = rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at) + before;
        let index = self.places.partition_point(|(start, _)| *start <= at);
        let found = index.checked_sub(1).and_then(|index| self.places.get(index));
        self.path(found.map_or(0, |(_, node)| *node))
    }

    fn path(&self, node: usize) -> String {
        let mut steps = Vec::new();
        let mut next = node;
        while let Some(Node { parent, step }) = self.nodes.get(next) {
            match step {
                Step::Root => break,
                Step::Index(index) => steps.push(format!("[{index}]")),
                Step::Key(key) if is_plain(key) => steps.push(format!(".{key}")),
                Step::Key(key) => steps.push(format!("[{}]", Quoted::new(key))),
            }
            next = *parent;
        }
        let path: String = steps.into_iter().rev().collect();
        path.strip_prefix('.').map_or(path.clone(), str::to_owned)
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Expressions in expressions; nft needs less than ten.
const DEPTH: usize = 32;
