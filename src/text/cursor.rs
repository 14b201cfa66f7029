//! The tokens of all texts in their order: those of included files in place of the `include`, and
//! those of its value in place of a variable.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::error::{Fault, Parsed};
use super::lexer::{Kind, Lexer, Token};
use super::source::Sources;
use crate::error::Quoted;

/// Where reading is. Looks ahead as far as needed.
pub(super) struct Cursor<'t> {
    sources: &'t Sources,
    /// The text that is read, after those that include it.
    open: Vec<Lexer<'t>>,
    /// The rest of the value of a variable.
    value: Option<(Value<'t>, usize)>,
    ahead: VecDeque<Token<'t>>,
    /// Values by name, of every block that is open.
    scopes: Vec<HashMap<&'t str, Value<'t>>>,
    /// How many tokens of values were put into other values.
    copied: usize,
    /// How deep braces and parentheses are nested.
    depth: usize,
}

/// The value of a variable, in which no variables are left.
type Value<'t> = Rc<[Token<'t>]>;

impl<'t> Cursor<'t> {
    /// Starts at the text with that index.
    pub(super) fn new(sources: &'t Sources, index: usize) -> Self {
        Cursor {
            sources,
            open: vec![sources.lexer(index)],
            value: None,
            ahead: VecDeque::new(),
            scopes: vec![HashMap::new()],
            copied: 0,
            depth: 0,
        }
    }

    /// Returns the next token without taking it.
    pub(super) fn peek(&mut self) -> Token<'t> {
        self.peek_at(0)
    }

    /// Returns the token that comes after `index` others.
    pub(super) fn peek_at(&mut self, index: usize) -> Token<'t> {
        while self.ahead.len() <= index {
            let token = self.read();
            self.ahead.push_back(token);
        }
        self.ahead.get(index).copied().unwrap_or(END)
    }

    pub(super) fn next(&mut self) -> Token<'t> {
        match self.ahead.pop_front() {
            Some(token) => token,
            None => self.read(),
        }
    }

    /// Takes so many tokens.
    pub(super) fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    /// Returns whether the next token is this keyword or symbol.
    pub(super) fn at(&mut self, text: &str) -> bool {
        self.peek().is(text)
    }

    /// Takes the next token if it is this keyword or symbol.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.at(text);
        if found {
            self.next();
        }
        found
    }

    /// Takes this keyword or symbol.
    pub(super) fn expect(&mut self, text: &str) -> Parsed<Token<'t>> {
        if self.at(text) { Ok(self.next()) } else { self.unexpected(&format!("{text:?}")) }
    }

    /// Takes a name or keyword.
    pub(super) fn word(&mut self, what: &str) -> Parsed<Token<'t>> {
        if self.peek().kind == Kind::Word { Ok(self.next()) } else { self.unexpected(what) }
    }

    /// Takes a text in quotes, or a word.
    pub(super) fn text(&mut self, what: &str) -> Parsed<Token<'t>> {
        match self.peek().kind {
            Kind::Quoted | Kind::Word => Ok(self.next()),
            _ => self.unexpected(what),
        }
    }

    /// Takes one of these keywords; returns what belongs to it.
    pub(super) fn one_of<T: Copy>(&mut self, what: &str, all: &[(&str, T)]) -> Parsed<T> {
        let token = self.peek();
        match all.iter().find(|(word, _)| token.is(word)) {
            Some((_, found)) => {
                self.next();
                Ok(*found)
            }
            None => {
                let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
                self.unexpected(&format!("{what} ({})", words.join(", ")))
            }
        }
    }

    pub(super) fn skip_newlines(&mut self) {
        while self.peek().kind == Kind::Newline {
            self.next();
        }
    }

    /// Fails because the next token is not what is expected.
    pub(super) fn unexpected<T>(&mut self, expected: &str) -> Parsed<T> {
        let token = self.peek();
        Err(unexpected(token, expected))
    }

    /// Enters a level, which the nesting of a text decides.
    pub(super) fn enter(&mut self) -> Parsed<()> {
        if self.depth == DEPTH {
            let token = self.peek();
            let why = format!("nested more than {DEPTH} deep, which nothing in nft needs");
            return Err(Fault::wrong(token.at, token.length(), why));
        }
        self.depth += 1;
        Ok(())
    }

    /// Leaves the level.
    pub(super) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Opens a block with variables of its own.
    pub(super) fn open_scope(&mut self) {
        self.scopes.push(HashMap::new());
    }

    /// Closes it, and forgets them.
    pub(super) fn close_scope(&mut self) {
        self.scopes.pop();
    }

    fn read(&mut self) -> Token<'t> {
        loop {
            if let Some((value, index)) = &mut self.value {
                if let Some(token) = value.get(*index) {
                    *index += 1;
                    return *token;
                }
                self.value = None;
            }
            let Some(lexer) = self.open.last_mut() else { return END };
            let token = lexer.next();
            match token.kind {
                Kind::End if self.open.len() > 1 => {
                    self.open.pop();
                    // A file is as good as its lines.
                    return Token { kind: Kind::Newline, ..token };
                }
                Kind::Variable => match self.scopes.iter().rev().find_map(|scope| scope.get(token.text)) {
                    Some(value) => self.value = Some((Rc::clone(value), 0)),
                    None => return token,
                },
                _ => return token,
            }
        }
    }
}

/// Variables and included files.
impl<'t> Cursor<'t> {
    /// Reads a command that concerns only reading: `define`, `redefine`, `undefine`, `include`.
    /// Returns whether there was one.
    pub(super) fn directive(&mut self) -> Parsed<bool> {
        let word = self.peek();
        if word.is("include") {
            self.include()?;
        } else if word.is("define") || word.is("redefine") {
            self.next();
            self.define(word.is("redefine"))?;
        } else if word.is("undefine") {
            self.next();
            let name = self.word("the name of a variable")?;
            if self.scopes.last_mut().and_then(|scope| scope.remove(name.text)).is_none() {
                return Err(undefined(name));
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn include(&mut self) -> Parsed<()> {
        let word = self.next();
        if self.peek().kind != Kind::Quoted {
            return self.unexpected("a path in quotes");
        }
        let path = self.next();
        if self.open.len() > OPEN {
            return Err(Fault::wrong(path.at, path.length(), "include: too many files are open"));
        }
        // What was looked at already comes after the files.
        if let (Some(seen), Some(lexer)) = (self.ahead.front(), self.open.last_mut()) {
            lexer.rewind(seen.at);
            self.ahead.clear();
        }
        self.open.extend(self.sources.included(word.at).iter().rev().map(|index| self.sources.lexer(*index)));
        Ok(())
    }

    fn define(&mut self, again: bool) -> Parsed<()> {
        let name = self.word("the name of a variable")?;
        self.expect("=")?;
        let (mut value, mut depth) = (Vec::new(), 0_usize);
        loop {
            let token = self.peek();
            match token.kind {
                Kind::End if depth > 0 => return self.unexpected("\"}\""),
                Kind::Newline if depth > 0 => {
                    self.next();
                    continue;
                }
                Kind::End | Kind::Newline => break,
                Kind::Variable => return Err(undefined(token)),
                Kind::Unclosed | Kind::Unknown => return self.unexpected("a value"),
                _ => {}
            }
            match token.text {
                _ if token.kind != Kind::Symbol => {}
                "{" => depth += 1,
                "}" if depth > 0 => depth -= 1,
                "}" | ";" if depth == 0 => break,
                _ => {}
            }
            let foreign = token.at.source != name.at.source || token.at.offset < name.at.offset;
            self.copied += usize::from(foreign);
            if self.copied > COPIED {
                let why = format!("variables within variables: their values have more than {COPIED} words in all");
                return Err(Fault::wrong(name.at, name.length(), why));
            }
            value.push(self.next());
        }
        if value.is_empty() {
            return self.unexpected("a value");
        }
        let Some(scope) = self.scopes.last_mut() else { return Ok(()) };
        if !again && scope.contains_key(name.text) {
            let why = format!("variable {} is defined already; redefine changes it", Quoted::new(name.text));
            return Err(Fault::wrong(name.at, name.length(), why));
        }
        scope.insert(name.text, value.into());
        Ok(())
    }

    /// Defines a variable of the caller's by the text with that index.
    pub(super) fn predefine(&mut self, name: &'t str, index: usize) -> Parsed<()> {
        let mut lexer = self.sources.lexer(index);
        let mut value = Vec::new();
        loop {
            let token = lexer.next();
            match token.kind {
                Kind::End => break,
                Kind::Newline => {}
                Kind::Unclosed | Kind::Unknown | Kind::Variable => return Err(unexpected(token, "a value")),
                _ => value.push(token),
            }
        }
        if let Some(scope) = self.scopes.first_mut() {
            scope.insert(name, value.into());
        }
        Ok(())
    }

    /// Returns the text that a variable stands for, if it is one word.
    pub(super) fn text_of(&self, name: &str) -> Option<&'t str> {
        let value = self.scopes.iter().rev().find_map(|scope| scope.get(name))?;
        match &**value {
            [token] => Some(token.text),
            _ => None,
        }
    }
}

fn undefined(token: Token<'_>) -> Box<Fault> {
    let why = format!("no variable {} is defined here; define it before", Quoted::new(token.text));
    Fault::wrong(token.at, token.length(), why)
}

/// Returns the fault of a token where something else is expected.
pub(super) fn unexpected(token: Token<'_>, expected: &str) -> Box<Fault> {
    let found = match token.kind {
        Kind::End => "the text ends".to_owned(),
        Kind::Newline => "the line ends".to_owned(),
        Kind::Unclosed => return Fault::wrong(token.at, 1, "this quote is not closed"),
        Kind::Unknown => format!("character {} begins nothing in nft", Quoted::new(token.text)),
        Kind::Variable => return undefined(token),
        _ => format!("found {}", Quoted::new(token.text)),
    };
    Fault::wrong(token.at, token.length(), format!("{found}, expected {expected}"))
}

const END: Token<'_> = Token { kind: Kind::End, text: "", at: super::source::Place { source: 0, offset: 0 } };
/// Nested blocks, sets and parentheses.
const DEPTH: usize = 16;
/// Files that are open at once, with those that wait.
const OPEN: usize = 4096;
/// Tokens of values of variables that are copied into others.
const COPIED: usize = 1 << 22;
