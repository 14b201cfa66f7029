//! Calls between chains and sets by number: what is kept of a table after its names were resolved.

/// For every node, the nodes that it calls, in the order of its rules or elements.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    /// For every node, where its part of `to` ends.
    ends: Vec<usize>,
    to: Vec<u32>,
}

impl Links {
    /// Returns a graph without nodes, with room for these.
    pub(super) fn of_nodes(nodes: usize, calls: usize) -> Self {
        Links { ends: Vec::with_capacity(nodes), to: Vec::with_capacity(calls) }
    }

    /// Returns the number of calls.
    pub(super) fn calls(&self) -> usize {
        self.to.len()
    }

    pub(super) fn nodes(&self) -> usize {
        self.ends.len()
    }

    /// Adds a node that calls the nodes passed to the argument of `add`.
    pub(super) fn node(&mut self, add: impl FnOnce(&mut dyn FnMut(usize))) {
        let to = &mut self.to;
        // A table with more chains does not fit in memory.
        add(&mut |node| to.push(u32::try_from(node).unwrap_or(u32::MAX)));
        self.ends.push(self.to.len());
    }

    /// Returns the node of a node's call with this index.
    pub(super) fn call(&self, node: usize, number: usize) -> Option<usize> {
        self.slice(node).get(number).map(as_index)
    }

    /// Returns the nodes that a node calls.
    pub(super) fn from(&self, node: usize) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator + '_ {
        self.slice(node).iter().map(as_index)
    }

    fn slice(&self, node: usize) -> &[u32] {
        let start = node.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(node).copied().unwrap_or(start);
        self.to.get(start..end).unwrap_or_default()
    }
}

fn as_index(node: &u32) -> usize {
    usize::try_from(*node).unwrap_or(usize::MAX)
}
