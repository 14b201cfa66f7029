//! The texts that are read: the text itself, the values of variables that the caller gives, and
//! what it includes.

use std::collections::HashMap;

use super::error::{Fault, Parsed};
use super::lexer::{Kind, Lexer};
use super::resolve::Resolve;

/// A byte of one of the texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Index of the text.
    pub(super) source: usize,
    pub(super) offset: usize,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: Option<String>,
    pub(super) text: String,
}

/// All texts of one call, read before any of them is parsed.
#[derive(Debug, Default)]
pub(super) struct Sources {
    list: Vec<Source>,
    /// The texts that an `include` stands for, by the place of its word.
    includes: HashMap<Place, Vec<usize>>,
}

impl Sources {
    pub(super) fn get(&self, index: usize) -> Option<&Source> {
        self.list.get(index)
    }

    pub(super) fn lexer(&self, index: usize) -> Lexer<'_> {
        Lexer::new(index, self.get(index).map_or("", |source| &source.text))
    }

    pub(super) fn included(&self, at: Place) -> &[usize] {
        self.includes.get(&at).map_or(&[], Vec::as_slice)
    }

    /// Adds a text and returns its index.
    pub(super) fn add(&mut self, name: Option<String>, text: String) -> usize {
        self.list.push(Source { name, text });
        self.list.len() - 1
    }

    /// Adds what a text includes, and what that includes.
    pub(super) fn add_includes(&mut self, index: usize, resolver: &dyn Resolve) -> Parsed<()> {
        let mut waiting = vec![(index, 0)];
        while let Some((index, depth)) = waiting.pop() {
            for (at, length, path) in self.inclusions(index) {
                if depth == DEPTH {
                    return Err(Fault::wrong(at, length, format!("include: files include each other {DEPTH} times")));
                }
                let files = resolver.include(&path).map_err(|why| Fault::wrong(at, length, why))?;
                for (name, text) in files {
                    if self.list.len() == FILES {
                        return Err(Fault::wrong(at, length, format!("include: more than {FILES} files")));
                    }
                    let file = self.add(Some(name), text);
                    self.includes.entry(at).or_default().push(file);
                    waiting.push((file, depth + 1));
                }
            }
        }
        Ok(())
    }

    /// Returns the places, lengths and paths of the includes of a text.
    fn inclusions(&self, index: usize) -> Vec<(Place, usize, String)> {
        let mut found = Vec::new();
        if !self.get(index).is_some_and(|source| source.text.contains("include")) {
            return found;
        }
        let (mut lexer, mut starts) = (self.lexer(index), true);
        loop {
            let token = lexer.next();
            if token.kind == Kind::End {
                return found;
            }
            if starts && token.is("include") {
                let path = lexer.next();
                let length = path.at.offset + path.text.len() + 2 - token.at.offset;
                if path.kind == Kind::Quoted {
                    found.push((token.at, length, path.text.to_owned()));
                }
            }
            starts = token.kind == Kind::Newline || [";", "{", "}"].iter().any(|symbol| token.is(symbol));
        }
    }
}

/// As in nft (`MAX_INCLUDE_DEPTH`).
const DEPTH: usize = 16;
const FILES: usize = 4096;
