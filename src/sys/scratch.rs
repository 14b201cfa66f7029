//! The memory into which a thread receives: one piece for all of its sockets, since a program may
//! have thousands of them.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// Memory that is the thread's again when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    /// Takes what the thread has; while somebody else has it, new memory.
    pub(crate) fn lent() -> Self {
        Scratch(MEMORY.try_with(Cell::take).unwrap_or_default())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.0.capacity() <= KEPT {
            let memory = std::mem::take(&mut self.0);
            // Where the thread ends, so does the memory.
            let _ = MEMORY.try_with(|kept| kept.set(memory));
        }
    }
}

impl Deref for Scratch {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

thread_local! {
    static MEMORY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The datagrams of dumps fit; a longer one is rare.
const KEPT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_lent_once_at_a_time_and_kept_unless_it_is_large() {
        let mut first = Scratch::lent();
        first.resize(1000, 1);
        let address = first.as_ptr();
        assert!(Scratch::lent().is_empty(), "it is lent");
        drop(first);
        let mut again = Scratch::lent();
        assert_eq!((again.as_ptr(), again.len()), (address, 1000));
        again.reserve(KEPT + 1);
        drop(again);
        assert_eq!(Scratch::lent().capacity(), 0);
    }
}
