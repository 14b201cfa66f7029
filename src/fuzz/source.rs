//! Values out of bytes. When the bytes have run out every answer is the first or smallest one, so
//! that any input ends.

/// What is left of an input.
#[derive(Debug)]
pub(super) struct Source<'a> {
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Source { rest: bytes }
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let (taken, rest) = self.rest.split_at(N.min(self.rest.len()));
        for (byte, taken) in bytes.iter_mut().zip(taken) {
            *byte = *taken;
        }
        self.rest = rest;
        bytes
    }

    /// What was not taken yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.bytes())
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u8) -> u8 {
        self.byte() % end.max(1)
    }

    /// True for one byte of `of`.
    pub(super) fn rarely(&mut self, of: u8) -> bool {
        self.byte() % of.max(1) == of - 1
    }

    pub(super) fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        let index = usize::from(self.byte()) % all.len();
        all.get(index).cloned().expect("an index below the length")
    }

    pub(super) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.rarely(2) { Some(make(self)) } else { None }
    }

    /// At most `most`.
    pub(super) fn several<T>(&mut self, most: u8, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(most + 1);
        (0..count).map(|_| make(self)).collect()
    }

    /// Mostly letters, sometimes anything.
    pub(super) fn text(&mut self) -> String {
        let count = self.below(12);
        let letters = (0..count).map(|_| {
            let byte = self.byte();
            if byte < 224 { char::from(b'a' + byte % 26) } else { self.pick(&ODD) }
        });
        letters.collect()
    }
}

/// What quoting, patterns, C strings and lines must mind.
const ODD: [char; 12] = ['"', '\\', '\n', '\0', '\t', '*', '/', ':', ' ', '9', '-', 'ä'];
