//! Foreign text, escaped so that it can be shown in one line.
//!
//! Characters that do not print are written as in a Rust string literal: control characters, the
//! marks that change the direction of writing (Unicode Standard Annex 9), and bytes that are not
//! UTF-8. A name or a path can therefore neither break a line, nor hide a part of it, nor move the
//! cursor of a terminal.

use std::ffi::OsStr;
use std::fmt::{self, Write};

/// Displays a name, a path or a whole line with all unprintable characters escaped.
///
/// ```
/// use std::path::Path;
///
/// use nftmesh::Escaped;
///
/// assert_eq!(Escaped::new("caf\u{e9} \"a\\b\"").to_string(), "caf\u{e9} \"a\\b\"");
/// assert_eq!(Escaped::new(Path::new("a\n\u{202e}b")).to_string(), "a\\n\\u{202e}b");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escaped<'a>(&'a OsStr);

impl<'a> Escaped<'a> {
    /// Wraps a text, which can also be a path.
    pub fn new(text: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Escaped(text.as_ref())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_encoded_bytes();
        if let (true, Some(text)) = (bytes.iter().all(|byte| (b' '..=b'~').contains(byte)), self.0.to_str()) {
            return f.write_str(text);
        }
        for chunk in bytes.utf8_chunks() {
            chunk.valid().chars().try_for_each(|c| escape(f, c))?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Displays a value in quotes and escaped. A value longer than a line is cut and followed by its
/// length.
///
/// ```
/// use nftmesh::Quoted;
///
/// assert_eq!(Quoted::new("a\nb").to_string(), r#""a\nb""#);
/// assert!(Quoted::new(&"y".repeat(1_000)).to_string().ends_with("... (1000 bytes)"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub(crate) &'a str);

impl<'a> Quoted<'a> {
    /// Shows this value.
    #[must_use]
    pub fn new(value: &'a str) -> Self {
        Quoted(value)
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quoted(text) = self;
        let Some((end, _)) = text.char_indices().nth(LONGEST) else { return write!(f, "{text:?}") };
        write!(f, "{:?}... ({} bytes)", text.get(..end).unwrap_or_default(), text.len())
    }
}

/// Displays a name: escaped, and cut where it exceeds the length of any kernel name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(text) = self;
        if text.is_empty() {
            return f.write_str("\"\"");
        }
        match text.char_indices().nth(LONGEST_NAME) {
            Some((end, _)) => write!(f, "{}...", Escaped::new(text.get(..end).unwrap_or_default())),
            None => Escaped::new(*text).fmt(f),
        }
    }
}

fn escape(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\'' | '"' | '\\' => f.write_char(c),
        c => write!(f, "{}", c.escape_debug()),
    }
}

/// The number of characters shown of a value.
const LONGEST: usize = 80;
/// `NFT_NAME_MAXLEN` - 1, include/uapi/linux/netfilter/nf_tables.h.
const LONGEST_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// Everything that moves a cursor, changes the direction of writing, or is invisible.
    const UNSEEN: &str = "\0\u{7}\u{8}\t\n\r\u{1b}[2K\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{180e}\u{200b}\u{200e}\u{200f}\u{2028}\
        \u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}\u{e0001}";

    #[test]
    fn unprintable_characters_are_escaped_in_every_form() {
        for shown in [Escaped::new(UNSEEN).to_string(), Quoted(UNSEEN).to_string(), Shown(UNSEEN).to_string()] {
            assert!(shown.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{shown}");
            assert!(shown.contains("\\u{202e}") && shown.contains("\\n"), "{shown}");
        }
        assert_eq!(Escaped::new(OsStr::from_bytes(b"/a\xff\n\xc3\xa9")).to_string(), "/a\\xff\\n\u{e9}");
        assert_eq!(Escaped::new("/var/run/netns/pod 1").to_string(), "/var/run/netns/pod 1");
    }

    #[test]
    fn a_long_value_is_cut_and_its_length_is_given() {
        let long = "\u{e9}".repeat(100_000);
        let shown = Quoted(&long).to_string();
        assert!(shown.len() < 200 && shown.ends_with("\"... (200000 bytes)"), "{shown}");
        let exact = "x".repeat(LONGEST);
        assert_eq!(Quoted(&exact).to_string(), format!("{exact:?}"));
        assert!(Shown(&long).to_string().ends_with("\u{e9}..."));
    }
}
