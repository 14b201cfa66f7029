//! Splits lines into words as iptables-restore(8) does: blanks separate words, double quotes group
//! them, and within quotes a backslash takes the next character literally. A closing quote ends
//! the word.

use std::borrow::Cow;

use super::error::Fault;

/// A word and its position.
#[derive(Clone, Debug)]
pub(super) struct Word<'t> {
    pub(super) text: Cow<'t, str>,
    /// Byte offset in the line of its first character, after any quote.
    pub(super) at: usize,
    pub(super) quoted: bool,
}

/// A part of a word, and its position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

impl Word<'_> {
    /// Returns the whole word.
    pub(super) fn piece(&self) -> Piece<'_> {
        Piece { text: &self.text, at: self.at }
    }

    /// Returns whether it is the negation sign.
    pub(super) fn is_not(&self) -> bool {
        self.text == "!" && !self.quoted
    }

    /// Returns whether it looks like the name of an option.
    pub(super) fn is_option(&self) -> bool {
        !self.quoted && self.text.len() > 1 && self.text.starts_with('-')
    }
}

impl<'t> Piece<'t> {
    pub(super) fn wrong(self, what: impl Into<String>) -> Fault {
        Fault::wrong(self.at, what)
    }

    /// Returns the parts between commas.
    pub(super) fn list(self) -> impl Iterator<Item = Piece<'t>> {
        let mut at = self.at;
        self.text.split(',').map(move |text| {
            let piece = Piece { text, at };
            at += text.len() + 1;
            piece
        })
    }

    /// Returns the parts before and after the first `separator`.
    pub(super) fn split(self, separator: char) -> Option<(Piece<'t>, Piece<'t>)> {
        let (before, after) = self.text.split_once(separator)?;
        let at = self.at + before.len() + separator.len_utf8();
        Some((Piece { text: before, at: self.at }, Piece { text: after, at }))
    }
}

/// Appends the words of a line, from byte `start` on, to `words`.
pub(super) fn split<'t>(line: &'t str, start: usize, words: &mut Vec<Word<'t>>) -> Result<(), Fault> {
    let mut at = start;
    while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
        let bare = rest.find(is_blank_or_quote).unwrap_or(rest.len());
        let (text, after) = rest.split_at(bare);
        let quoted = after.starts_with('"');
        if !quoted {
            bare_word(text, at, words);
            at += bare + 1;
            continue;
        }
        let from = at + bare + 1;
        let (inside, length) = inside(line.get(from..).unwrap_or_default())
            .ok_or_else(|| Fault::wrong(from - 1, "this quote is never closed; close it with another \""))?;
        let (text, at_word) = if text.is_empty() { (inside, from) } else { (format!("{text}{inside}").into(), at) };
        words.push(Word { text, at: at_word, quoted });
        at = from + length + 1;
    }
    Ok(())
}

/// Appends a word without quotes; getopt_long(3) also accepts `--option=value`.
fn bare_word<'t>(text: &'t str, at: usize, words: &mut Vec<Word<'t>>) {
    if text.is_empty() {
        return;
    }
    let split = text.split_once('=').filter(|_| text.starts_with("--"));
    let (option, value) = split.map_or((text, None), |(option, value)| (option, Some(value)));
    words.push(Word { text: option.into(), at, quoted: false });
    let value = value.map(|value| Word { text: value.into(), at: at + option.len() + 1, quoted: true });
    words.extend(value);
}

fn is_blank_or_quote(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '"')
}

/// Returns the text before the closing quote, and its length in bytes.
fn inside(text: &str) -> Option<(Cow<'_, str>, usize)> {
    let end = text.find(['"', '\\'])?;
    if text.get(end..)?.starts_with('"') {
        return Some((text.get(..end)?.into(), end));
    }
    let mut plain = text.get(..end)?.to_owned();
    let mut chars = text.get(end..)?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((plain.into(), end + at)),
            '\\' => plain.push(chars.next()?.1),
            c => plain.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_iptables_restore_splits_them() {
        let cases: &[(&str, &[(&str, usize)])] = &[
            ("-A a  -j\tb", &[("-A", 0), ("a", 3), ("-j", 6), ("b", 9)]),
            (r#"-c "a b" d"#, &[("-c", 0), ("a b", 4), ("d", 9)]),
            (r#""a \"b\" \\ \'c\'""#, &[(r#"a "b" \ 'c'"#, 1)]),
            (r#"a"b"c"#, &[("ab", 0), ("c", 4)]),
            (r#""" x"#, &[("", 1), ("x", 3)]),
            (r"a\b", &[(r"a\b", 0)]),
            ("ä b\r", &[("ä", 0), ("b", 3)]),
            ("", &[]),
            ("--to=1 -p=x --x=", &[("--to", 0), ("1", 5), ("-p=x", 7), ("--x", 12), ("", 16)]),
        ];
        for (line, expected) in cases {
            let mut words = Vec::new();
            split(line, 0, &mut words).unwrap_or_else(|fault| panic!("{line}: {fault:?}"));
            let found: Vec<_> = words.iter().map(|word| (&*word.text, word.at)).collect();
            assert_eq!(found, *expected, "{line}");
        }
        for open in ["\"", "a \"b", r#"a "b\"#, r#"a "b\""#] {
            assert!(split(open, 0, &mut Vec::new()).is_err(), "{open}");
        }
    }
}
