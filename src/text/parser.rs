//! What a parser of any part needs: the tokens, what the caller gave, and what was declared so far.

use std::collections::{HashMap, HashSet};
use std::ops::{Deref, DerefMut};

use super::cursor::Cursor;
use super::error::{Fault, Parsed};
use super::lexer::{Kind, Token};
use super::reader::Reader;
use super::resolve::{Resolve, WellKnown};
use super::source::Sources;
use crate::model::{Chain, DataType, Family, MapTo, Name, Rule, SetData, SetId, TableId};

pub(super) struct Parser<'t> {
    cursor: Cursor<'t>,
    reader: &'t Reader<'t>,
    /// The family of the table.
    pub(super) family: Family,
    /// The table.
    pub(super) table: Option<TableId>,
    /// Keys and data of the sets of the text.
    pub(super) sets: HashMap<SetId, (Vec<DataType>, SetData)>,
    /// Maps that translations look in before their declaration: where, which, what they are taken
    /// to hold, and whether the rule says that.
    pub(super) maps: Vec<(Token<'t>, SetId, MapTo, bool)>,
    /// The sets that rules of the text change.
    pub(super) updated: HashSet<SetId>,
    /// The chains in braces of rules that were read.
    pub(super) bound: Vec<Chain>,
    /// How many chains in braces the text has so far.
    pub(super) braces: usize,
    /// Whether the rule that is read is in such a chain.
    pub(super) is_in_braces: bool,
    /// Whether the set that is read is of fields that are parts of a byte.
    pub(super) is_partial: bool,
}

impl<'t> Deref for Parser<'t> {
    type Target = Cursor<'t>;

    fn deref(&self) -> &Cursor<'t> {
        &self.cursor
    }
}

impl<'t> DerefMut for Parser<'t> {
    fn deref_mut(&mut self) -> &mut Cursor<'t> {
        &mut self.cursor
    }
}

impl<'t> Parser<'t> {
    pub(super) fn new(reader: &'t Reader<'t>, sources: &'t Sources, index: usize, family: Family) -> Self {
        let cursor = Cursor::new(sources, index);
        Parser {
            cursor,
            reader,
            family,
            table: None,
            sets: HashMap::new(),
            maps: Vec::new(),
            updated: HashSet::new(),
            bound: Vec::new(),
            braces: 0,
            is_in_braces: false,
            is_partial: false,
        }
    }

    pub(super) fn resolver(&self) -> &'t dyn Resolve {
        self.reader.resolver.unwrap_or(&WellKnown)
    }

    /// Returns key and data of a set of this table that is declared before or known to the kernel.
    pub(super) fn declared_here(&self, name: &Name) -> Option<(Vec<DataType>, SetData)> {
        let id = self.table.as_ref()?.set(name);
        let known = || self.reader.held(&id).map(|set| (set.key, set.data));
        self.sets.get(&id).cloned().or_else(known)
    }

    pub(super) fn reader(&self) -> &'t Reader<'t> {
        self.reader
    }

    /// Runs `read` one level deeper, which the nesting of a text decides.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.enter()?;
        let read = read(self);
        self.leave();
        read
    }

    /// Runs `read` in a block with variables of its own.
    pub(super) fn scope<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.open_scope();
        let read = self.deeper(read);
        self.close_scope();
        read
    }

    /// Reads a block in braces: `read` is called at the start of each line or part, and reads its
    /// end.
    pub(super) fn block(&mut self, mut read: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        self.expect("{")?;
        self.scope(|parser| {
            loop {
                parser.skip_separators();
                if parser.take("}") {
                    return Ok(());
                }
                if parser.peek().kind == Kind::End {
                    return parser.unexpected("\"}\"");
                }
                if !parser.directive()? {
                    read(parser)?;
                }
            }
        })
    }

    /// Skips what separates the parts of a block or the commands of a text.
    pub(super) fn skip_separators(&mut self) {
        while self.peek().kind == Kind::Newline || self.at(";") {
            self.next();
        }
    }

    /// Returns whether a rule or command ends here.
    pub(super) fn ends(&mut self) -> bool {
        matches!(self.peek().kind, Kind::Newline | Kind::End) || self.at(";") || self.at("}")
    }

    /// Fails if something follows on the line. A closing brace is on a line of its own, or after a
    /// semicolon.
    pub(super) fn end_of_part(&mut self) -> Parsed<()> {
        if self.ends() && !self.at("}") { Ok(()) } else { self.unexpected("the end of the line or \";\"") }
    }

    /// Reads the name of a table, chain or set.
    pub(super) fn name(&mut self, what: &str) -> Parsed<Name> {
        let token = self.peek();
        if token.kind != Kind::Word || token.text.starts_with(|c: char| c.is_ascii_digit()) || token.text.ends_with('*')
        {
            return self.unexpected(what);
        }
        if token.text.len() > Name::MAX {
            let why = format!("{what} has at most {} bytes", Name::MAX);
            return Err(Fault::wrong(token.at, token.length(), why));
        }
        self.next();
        Ok(token.text.into())
    }

    /// Reads `comment "..."` behind the word.
    pub(super) fn comment(&mut self) -> Parsed<&'t str> {
        let token = self.text("a comment in quotes")?;
        if token.text.len() > Rule::MAX_COMMENT {
            let why = format!("a comment has at most {} bytes", Rule::MAX_COMMENT);
            return Err(Fault::wrong(token.at, token.length(), why));
        }
        if token.text.contains(char::is_control) {
            return Err(unsupported(token, "a comment of several lines"));
        }
        Ok(token.text)
    }

    /// Reads comma-separated keywords; returns what belongs to each.
    pub(super) fn list<T: Copy>(&mut self, what: &str, all: &[(&str, T)]) -> Parsed<Vec<T>> {
        let mut found = vec![self.one_of(what, all)?];
        while self.take(",") {
            found.push(self.one_of(what, all)?);
        }
        Ok(found)
    }

    /// Fails because the model has no form for what begins here.
    pub(super) fn unsupported<T>(&mut self, what: impl std::fmt::Display) -> Parsed<T> {
        let token = self.peek();
        Err(unsupported(token, what))
    }
}

pub(super) fn unsupported(token: Token<'_>, what: impl std::fmt::Display) -> Box<Fault> {
    Fault::unsupported(token.at, token.length(), format!("{what} may be valid in nft, but is not known here"))
}
