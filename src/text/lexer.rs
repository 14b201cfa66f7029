//! Splits a text into words, numbers, addresses and symbols, as nft(8) does (src/scanner.l, 1.0.6):
//! the longest match wins. Never fails: what is none of these is a token of its own.

use std::net::Ipv6Addr;

use super::source::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An IPv4 or IPv6 address.
    Address,
    /// The end of the text.
    End,
    /// A link-layer address.
    Mac,
    Newline,
    /// Decimal, octal with a leading 0, or hexadecimal with `0x`.
    Number,
    /// A text in quotes, without them.
    Quoted,
    /// An operator or a bracket.
    Symbol,
    /// A quote without its end.
    Unclosed,
    /// A character that begins nothing.
    Unknown,
    /// `$name`, without the `$`.
    Variable,
    /// A name, a keyword or a time.
    Word,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    pub(super) at: Place,
}

impl Token<'_> {
    /// Returns whether it is this keyword or symbol.
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Symbol) && self.text == text
    }

    /// Returns how many bytes of the text it takes.
    pub(super) fn length(&self) -> usize {
        match self.kind {
            Kind::Quoted => self.text.len() + 2,
            Kind::Unclosed | Kind::Variable => self.text.len() + 1,
            _ => self.text.len(),
        }
    }
}

/// Reads one token after the other.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'t> {
    source: usize,
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(source: usize, text: &'t str) -> Self {
        Lexer { source, text, at: 0 }
    }

    pub(super) fn next(&mut self) -> Token<'t> {
        self.skip_blanks();
        let rest = self.rest();
        let (kind, length) = measure(rest);
        let at = Place { source: self.source, offset: self.at };
        self.at += length;
        let text = rest.get(..length).unwrap_or(rest);
        let text = match kind {
            Kind::Quoted => text.get(1..length - 1).unwrap_or_default(),
            Kind::Unclosed | Kind::Variable => text.get(1..).unwrap_or_default(),
            _ => text,
        };
        Token { kind, text, at }
    }

    /// Continues at a place where it was before.
    pub(super) fn rewind(&mut self, to: Place) {
        if to.source == self.source {
            self.at = to.offset;
        }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips blanks, comments and line ends after a backslash.
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
            self.at += blank;
            let rest = rest.get(blank..).unwrap_or_default();
            if rest.starts_with('#') {
                self.at += rest.bytes().take_while(|byte| *byte != b'\n').count();
            } else if rest.starts_with("\\\n") {
                self.at += 2;
            } else if rest.starts_with("\\\r\n") {
                self.at += 3;
            } else {
                return;
            }
        }
    }
}

/// Returns kind and length of the token at the start of a text.
fn measure(text: &str) -> (Kind, usize) {
    let bytes = text.as_bytes();
    let Some(first) = bytes.first().copied() else { return (Kind::End, 0) };
    if first.is_ascii_hexdigit() || first == b':' {
        if let Some(found) = address_with_colons(text) {
            return found;
        }
        if let Some(end) = class(bytes) {
            return (Kind::Word, end);
        }
    }
    match first {
        b'\n' => (Kind::Newline, 1),
        b'"' => match text.get(1..).and_then(|rest| rest.find('"')) {
            Some(end) => (Kind::Quoted, end + 2),
            None => (Kind::Unclosed, text.find('\n').unwrap_or(text.len())),
        },
        b'0'..=b'9' => number(text),
        b'$' => match run(bytes, 1, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/')) {
            1 => (Kind::Symbol, 1),
            end => (Kind::Variable, end),
        },
        b'n' if starts_classes(bytes) => (Kind::Word, 4),
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Word, word(bytes)),
        b'.' if bytes.get(1).is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_') => {
            (Kind::Word, word(bytes))
        }
        b'=' | b'!' if bytes.get(1) == Some(&b'=') => (Kind::Symbol, 2),
        b'<' | b'>' if bytes.get(1).is_some_and(|next| *next == b'=' || *next == first) => (Kind::Symbol, 2),
        b'{' | b'}' | b'(' | b')' | b'[' | b']' | b',' | b';' | b':' | b'.' | b'@' | b'=' | b'<' | b'>' | b'&'
        | b'|' | b'^' | b'!' | b'/' | b'*' | b'-' | b'+' => (Kind::Symbol, 1),
        _ => (Kind::Unknown, text.chars().next().map_or(1, char::len_utf8)),
    }
}

/// Returns where the bytes from `start` on stop being such ones.
fn run(bytes: &[u8], start: usize, is: impl Fn(u8) -> bool) -> usize {
    start + bytes.iter().skip(start).take_while(|byte| is(**byte)).count()
}

/// Returns the length of a name; a backslash is part of it unless it continues the line, and an
/// asterisk ends it.
fn word(bytes: &[u8]) -> usize {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    let mut end = 0;
    loop {
        end = run(bytes, end, plain);
        match (bytes.get(end), bytes.get(end + 1)) {
            (Some(b'\\'), Some(b'*')) => return end + 2,
            (Some(b'\\'), Some(b'\n' | b'\r') | None) => return end,
            (Some(b'\\'), Some(_)) => end += 1,
            (Some(b'*'), _) => return end + 1,
            _ => return end,
        }
    }
}

/// Returns an IPv6 or link-layer address.
fn address_with_colons(text: &str) -> Option<(Kind, usize)> {
    let bytes = text.as_bytes();
    let first = bytes.iter().take(5).position(|byte| *byte == b':')?;
    let end = run(bytes, first, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')).min(LONGEST);
    let found = text.get(..end)?;
    if found.bytes().filter(|byte| *byte == b':').count() < 2
        || !found.get(..first)?.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return None;
    }
    (2..=end).rev().find_map(|end| {
        let found = text.get(..end)?;
        if found.parse::<Ipv6Addr>().is_ok() {
            return Some((Kind::Address, end));
        }
        is_mac(found).then_some((Kind::Mac, end))
    })
}

/// Returns the length of a class of traffic control, `1:2`, which ends before white space or a sign
/// that separates values (`classid`, src/scanner.l, 1.0.6).
fn class(bytes: &[u8]) -> Option<usize> {
    let colon = run(bytes, 0, |byte| byte.is_ascii_hexdigit());
    let end = run(bytes, colon + 1, |byte| byte.is_ascii_hexdigit());
    let digits = |length: usize| (1..=4).contains(&length);
    let is_class = bytes.get(colon) == Some(&b':') && digits(colon) && digits(end.saturating_sub(colon + 1));
    let is_apart = bytes.get(end).is_none_or(|byte| byte.is_ascii_whitespace() || b":-},;".contains(byte));
    (is_class && is_apart).then_some(end)
}

/// Returns whether a range of classes begins with the lowest one: nft lists `none-1:2`, though
/// it does not read it.
fn starts_classes(bytes: &[u8]) -> bool {
    bytes.strip_prefix(b"none-").and_then(class).is_some()
}

fn is_mac(text: &str) -> bool {
    let group = |group: &str| (1..=2).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split(':').count() == 6 && text.split(':').all(group)
}

/// Returns an IPv4 address, a time or a number.
fn number(text: &str) -> (Kind, usize) {
    let bytes = text.as_bytes();
    if text.starts_with("0x") || text.starts_with("0X") {
        let end = run(bytes, 2, |byte| byte.is_ascii_hexdigit());
        return if end > 2 { (Kind::Number, end) } else { (Kind::Number, 1) };
    }
    // The two protocols whose names begin with a digit.
    if let Some(name) = ["8021ad", "8021q"].iter().find(|name| text.starts_with(**name)) {
        return (Kind::Word, name.len());
    }
    let digits = run(bytes, 0, |byte| byte.is_ascii_digit());
    if bytes.get(digits) == Some(&b'.') {
        let dotted = run(bytes, 0, |byte| byte.is_ascii_digit() || byte == b'.').min(LONGEST);
        let dots = text.get(..dotted).map_or(0, |text| text.bytes().filter(|byte| *byte == b'.').count());
        // One with a number that is too large is an address all the same, for what is said of it.
        if dots == 3 && bytes.get(dotted - 1).is_some_and(u8::is_ascii_digit) {
            return (Kind::Address, dotted);
        }
    }
    match time(bytes) {
        0 => (Kind::Number, digits),
        end => (Kind::Word, end),
    }
}

/// Returns the length of a time, `1d2h3m4s5ms`; 0 if it is none.
fn time(bytes: &[u8]) -> usize {
    let (mut end, mut units) = (0, UNITS.iter());
    loop {
        let digits = run(bytes, end, |byte| byte.is_ascii_digit());
        let unit = |unit: &&str| bytes.get(digits..).is_some_and(|rest| rest.starts_with(unit.as_bytes()));
        // Of "m" and "ms", the longer one.
        let longest = |unit: &&str| bytes.get(digits..).is_some_and(|rest| *unit != "m" || !rest.starts_with(b"ms"));
        match units.find(|name| unit(name) && longest(name)) {
            Some(name) if digits > end => end = digits + name.len(),
            _ => return end,
        }
    }
}

/// In the order in which they must come.
pub(super) const UNITS: [&str; 5] = ["d", "h", "m", "s", "ms"];

/// Longest address in bytes.
const LONGEST: usize = 45;
