//! The words of a statement, as the listing prints it.

/// A position in a list of words. Whatever is not understood is `None`, and then the whole
/// statement has no form in JSON.
#[derive(Clone, Debug)]
pub(super) struct Words<'t> {
    words: Vec<&'t str>,
    at: usize,
}

impl<'t> Words<'t> {
    /// Divides a text at its spaces. Commas after a word, parentheses, and the colon before a port
    /// are words of their own; what is in quotes belongs to one word.
    pub(super) fn of(text: &'t str) -> Self {
        let mut words = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let mut quoted = false;
            let end = rest.find(|c: char| {
                quoted ^= c == '"';
                c.is_whitespace() && !quoted
            });
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            divide(word, &mut words);
            rest = after.trim_start();
        }
        Words { words, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<&'t str> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, index: usize) -> Option<&'t str> {
        self.words.get(self.at + index).copied()
    }

    pub(super) fn next(&mut self) -> Option<&'t str> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    /// Passes over these words, if they are next.
    pub(super) fn take(&mut self, words: &str) -> bool {
        let mut count = 0;
        for (index, word) in words.split(' ').enumerate() {
            if self.peek_at(index) != Some(word) {
                return false;
            }
            count += 1;
        }
        self.at += count;
        true
    }

    pub(super) fn expect(&mut self, word: &str) -> Option<()> {
        self.take(word).then_some(())
    }

    /// Divides the word that was read last: what is after its colon is read next.
    pub(super) fn read_again(&mut self, port: &'t str) {
        if let Some(word) = self.at.checked_sub(1).and_then(|at| self.words.get_mut(at)) {
            *word = port;
            self.at -= 1;
        }
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        self.next()?.parse().ok()
    }

    /// Returns the text between the quotes of the next word.
    pub(super) fn quoted(&mut self) -> Option<&'t str> {
        unquoted(self.next()?)
    }

    pub(super) fn is_end(&self) -> bool {
        self.at == self.words.len()
    }

    /// Reads something, and goes back if it is not there.
    pub(super) fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let at = self.at;
        let found = read(self);
        if found.is_none() {
            self.at = at;
        }
        found
    }
}

fn divide<'t>(mut word: &'t str, words: &mut Vec<&'t str>) {
    // A port after a map with a name or with elements.
    let of_map = word.starts_with(['@', '}']).then(|| word.split_once(':')).flatten();
    // One after the name of a field, which has letters that no address has.
    let is_field =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase()) && name.bytes().any(|byte| byte > b'f');
    let of_field = || word.split_once(':').filter(|(name, _)| is_field(name));
    if let Some((map, port)) = of_map.or_else(of_field).filter(|(_, port)| !port.is_empty()) {
        words.extend([map, ":"]);
        word = port;
    }
    for open in ["(", ":"] {
        if let Some(rest) = word.strip_prefix(open).filter(|rest| !rest.is_empty() && !rest.starts_with(':')) {
            words.extend(word.get(..1));
            word = rest;
        }
    }
    let mut end = word.len();
    while let Some(close) = word.get(..end).filter(|kept| kept.len() > 1 && kept.ends_with([',', ')'])) {
        end = close.len() - 1;
    }
    words.extend(word.get(..end));
    words.extend((end..word.len()).filter_map(|at| word.get(at..=at)));
}

/// Returns what is in quotes, if that is all of the word and holds no other quotes.
pub(super) fn unquoted(word: &str) -> Option<&str> {
    word.strip_prefix('"')?.strip_suffix('"').filter(|text| !text.contains('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_after_maps_are_words_of_their_own() {
        for (text, words) in [
            ("ip saddr map @m:80", vec!["ip", "saddr", "map", "@m", ":", "80"]),
            ("{ 1 : 2 }:tcp dport", vec!["{", "1", ":", "2", "}", ":", "tcp", "dport"]),
            ("@s : 1", vec!["@s", ":", "1"]),
            ("ip saddr:tcp dport", vec!["ip", "saddr", ":", "tcp", "dport"]),
            ("aa:bb:cc:dd:ee:ff ::1", vec!["aa:bb:cc:dd:ee:ff", "::1"]),
        ] {
            assert_eq!(Words::of(text).words, words, "{text}");
        }
    }
}
