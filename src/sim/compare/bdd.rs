//! Sets of numbers of up to 128 bits, as binary decision diagrams, ordered and reduced (Bryant,
//! 1986).
//!
//! A set is a node: two sets are equal exactly when their nodes are, and the empty set is one known
//! node. Nothing is ever freed; a comparison owns its diagrams and drops them as a whole. Variable
//! 0 is the most significant bit.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A set of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node(u32);

impl Node {
    pub(super) const NOTHING: Node = Node(0);
    pub(super) const ALL: Node = Node(1);
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Branch {
    variable: u8,
    /// The numbers whose bit is 0.
    low: Node,
    high: Node,
}

impl Branch {
    fn is_half(&self) -> bool {
        self.low == Node::NOTHING || self.high == Node::NOTHING
    }

    fn hash(&self) -> u64 {
        let mut mix = Mix::default();
        mix.write_u64(u64::from(self.low.0) << 32 | u64::from(self.high.0));
        mix.write_u8(self.variable);
        mix.finish()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    And,
    Less,
    Or,
}

pub(super) struct Bdd {
    branches: Vec<Branch>,
    /// The nodes by the hash of their branches, each in the first free place from there on; 0 is a
    /// free place, since no leaf is looked up. At least half of them are free.
    places: Vec<u32>,
    done: Map<(Operation, Node, Node), Node>,
}

impl Bdd {
    pub(super) fn new() -> Self {
        // The two leaves, whose variable comes after all others.
        let leaf = |of| Branch { variable: LEAF, low: of, high: of };
        let branches = vec![leaf(Node::NOTHING), leaf(Node::ALL)];
        Bdd { branches, places: vec![0; FIRST_PLACES], done: Map::default() }
    }

    /// Returns the number of nodes.
    pub(super) fn len(&self) -> usize {
        self.branches.len()
    }

    /// Returns the numbers of `high` whose bit `variable` is 1, and those of `low` whose bit is 0.
    pub(super) fn choose(&mut self, variable: u8, high: Node, low: Node) -> Node {
        if variable < self.branch(high).variable && variable < self.branch(low).variable {
            return self.node(variable, low, high);
        }
        let bit = self.node(variable, Node::NOTHING, Node::ALL);
        let (high, low) = (self.and(high, bit), self.less(low, bit));
        self.or(high, low)
    }

    pub(super) fn and(&mut self, a: Node, b: Node) -> Node {
        self.apply(Operation::And, a, b)
    }

    /// Returns what is in `a` and not in `b`.
    pub(super) fn less(&mut self, a: Node, b: Node) -> Node {
        self.apply(Operation::Less, a, b)
    }

    pub(super) fn or(&mut self, a: Node, b: Node) -> Node {
        self.apply(Operation::Or, a, b)
    }

    /// Returns the union of all sets.
    pub(super) fn union(&mut self, sets: &[Node]) -> Node {
        match sets {
            [] => Node::NOTHING,
            [one] => *one,
            several => {
                let (front, back) = several.split_at(several.len() / 2);
                let (front, back) = (self.union(front), self.union(back));
                self.or(front, back)
            }
        }
    }

    /// Returns the lowest number in a set of numbers of `bits` bits; `None` if it is empty.
    pub(super) fn lowest(&self, set: Node, bits: u32) -> Option<u128> {
        if set == Node::NOTHING {
            return None;
        }
        let (mut at, mut number) = (set, 0);
        while at != Node::ALL {
            let branch = self.branch(at);
            at = if branch.low == Node::NOTHING { branch.high } else { branch.low };
            if branch.low == Node::NOTHING {
                number |= place(branch.variable, bits);
            }
        }
        Some(number)
    }

    /// Returns whether all numbers of a set that is not empty are in another (`Some(true)`), or
    /// none (`Some(false)`), if the bits that are the same in all its numbers show it.
    pub(super) fn all_or_none(&self, set: Node, other: Node) -> Option<bool> {
        let (mut set, mut other) = (set, other);
        loop {
            if other == Node::NOTHING || other == Node::ALL {
                return Some(other == Node::ALL);
            }
            let (of_set, of_other) = (self.branch(set), self.branch(other));
            if of_set.variable > of_other.variable || !of_set.is_half() {
                return None;
            }
            let is_high = of_set.low == Node::NOTHING;
            set = if is_high { of_set.high } else { of_set.low };
            if of_set.variable == of_other.variable {
                other = if is_high { of_other.high } else { of_other.low };
            }
        }
    }

    /// Returns the first bits that are the same in all numbers of a set that is not empty, and
    /// which these are.
    pub(super) fn common(&self, set: Node, bits: u32) -> (u128, u128) {
        let (mut at, mut number, mut which) = (set, 0, 0);
        while at != Node::ALL {
            let branch = self.branch(at);
            if !branch.is_half() {
                break;
            }
            let is_high = branch.low == Node::NOTHING;
            which |= place(branch.variable, bits);
            if is_high {
                number |= place(branch.variable, bits);
            }
            at = if is_high { branch.high } else { branch.low };
        }
        (number, which)
    }

    /// Returns the set of one number of `bits` bits.
    pub(super) fn number(&mut self, number: u128, bits: u32) -> Node {
        let width = u8::try_from(bits).unwrap_or(LEAF);
        (0..width).rev().fold(Node::ALL, |rest, variable| {
            let is_set = number & place(variable, bits) != 0;
            let (low, high) = if is_set { (Node::NOTHING, rest) } else { (rest, Node::NOTHING) };
            self.node(variable, low, high)
        })
    }

    fn branch(&self, node: Node) -> Branch {
        let index = usize::try_from(node.0).unwrap_or(usize::MAX);
        *self.branches.get(index).expect("a node is only made with its branch")
    }

    fn node(&mut self, variable: u8, low: Node, high: Node) -> Node {
        if low == high {
            return low;
        }
        let branch = Branch { variable, low, high };
        let place = match self.find(&branch) {
            Ok(found) => return found,
            Err(place) => place,
        };
        let made = u32::try_from(self.branches.len()).expect("memory ends before 2^32 nodes");
        self.branches.push(branch);
        self.put(place, made);
        if self.branches.len() * 2 > self.places.len() {
            self.places = vec![0; self.places.len() * 4];
            for node in 2..=made {
                if let Err(place) = self.find(&self.branch(Node(node))) {
                    self.put(place, node);
                }
            }
        }
        Node(made)
    }

    /// Returns the node of a branch, or the place that it would have.
    fn find(&self, branch: &Branch) -> Result<Node, usize> {
        // Their number is a power of two.
        let last = self.places.len() - 1;
        let mut place = branch.hash() as usize & last;
        loop {
            match self.places.get(place).copied().unwrap_or(0) {
                0 => return Err(place),
                node if self.branch(Node(node)) == *branch => return Ok(Node(node)),
                _ => place = (place + 1) & last,
            }
        }
    }

    fn put(&mut self, place: usize, node: u32) {
        if let Some(free) = self.places.get_mut(place) {
            *free = node;
        }
    }

    fn apply(&mut self, operation: Operation, a: Node, b: Node) -> Node {
        let (nothing, all) = (Node::NOTHING, Node::ALL);
        match operation {
            Operation::And if a == nothing || b == nothing => return nothing,
            Operation::And if a == all || a == b => return b,
            Operation::And if b == all => return a,
            Operation::Less if a == nothing || b == all || a == b => return nothing,
            Operation::Less if b == nothing => return a,
            Operation::Or if a == all || b == all => return all,
            Operation::Or if a == nothing || a == b => return b,
            Operation::Or if b == nothing => return a,
            Operation::And | Operation::Less | Operation::Or => {}
        }
        let (in_a, in_b) = (self.branch(a), self.branch(b));
        let variable = in_a.variable.min(in_b.variable);
        // With one half empty there is only one branch to follow, which is as fast as looking up
        // the result; a half of a later variable would be met on both.
        let is_half = |branch: Branch| branch.variable == variable && branch.is_half();
        let is_one_way = is_half(in_a) || is_half(in_b);
        if !is_one_way {
            if let Some(done) = self.done.get(&(operation, a, b)) {
                return *done;
            }
        }
        let of =
            |branch: Branch, node| if branch.variable == variable { (branch.low, branch.high) } else { (node, node) };
        let ((a_low, a_high), (b_low, b_high)) = (of(in_a, a), of(in_b, b));
        let low = self.apply(operation, a_low, b_low);
        let high = self.apply(operation, a_high, b_high);
        let node = self.node(variable, low, high);
        if !is_one_way {
            self.done.insert((operation, a, b), node);
        }
        node
    }
}

/// Returns the bit of a variable.
fn place(variable: u8, bits: u32) -> u128 {
    bits.checked_sub(u32::from(variable) + 1).and_then(|shift| 1_u128.checked_shl(shift)).unwrap_or(0)
}

const LEAF: u8 = u8::MAX;
const FIRST_PLACES: usize = 1 << 8;

pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// A hash of multiplications and rotations. The keys are small numbers of this module, so nobody
/// can choose them to collide.
#[derive(Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    /// A multiplication mixes the high bits best, but a map uses the low ones first.
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        for eight in bytes.chunks(8) {
            let mut padded = [0; 8];
            padded.iter_mut().zip(eight).for_each(|(slot, byte)| *slot = *byte);
            self.write_u64(u64::from_le_bytes(padded));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 over the golden ratio
        self.0 = (self.0.rotate_left(26) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "what is not there fails the test")]
mod tests {
    use super::*;

    /// A set of bytes, as 256 booleans and as a diagram.
    fn both(bdd: &mut Bdd, seed: u64, members: impl Fn(u64, u128) -> bool) -> (Vec<bool>, Node) {
        let flags: Vec<bool> = (0..256).map(|number| members(seed, number)).collect();
        let numbers: Vec<Node> = (0..256_u128)
            .filter(|number| flags[usize::try_from(*number).expect("a byte")])
            .map(|number| bdd.number(number, 8))
            .collect();
        (flags, bdd.union(&numbers))
    }

    fn mixed(seed: u64, number: u128) -> bool {
        let mut mix = Mix(seed);
        (u64::try_from(number >> (seed % 5)).expect("small")).hash(&mut mix);
        mix.0 >> 62 == 0
    }

    fn members(bdd: &mut Bdd, set: Node) -> Vec<bool> {
        (0..256)
            .map(|number| {
                let one = bdd.number(number, 8);
                bdd.and(set, one) == one
            })
            .collect()
    }

    #[test]
    fn bdd_operations_agree_with_256_booleans() {
        let mut bdd = Bdd::new();
        for seed in 0..100 {
            let (a, a_set) = both(&mut bdd, seed, mixed);
            let (b, b_set) = both(&mut bdd, seed + 1000, mixed);
            let (and, less, or) = (bdd.and(a_set, b_set), bdd.less(a_set, b_set), bdd.or(a_set, b_set));
            let zipped = |f: fn(bool, bool) -> bool| a.iter().zip(&b).map(|(a, b)| f(*a, *b)).collect::<Vec<_>>();
            assert_eq!(members(&mut bdd, and), zipped(|a, b| a && b), "{seed}");
            assert_eq!(members(&mut bdd, less), zipped(|a, b| a && !b), "{seed}");
            assert_eq!(members(&mut bdd, or), zipped(|a, b| a || b), "{seed}");
            let lowest = a.iter().position(|is_in| *is_in).map(|number| number as u128);
            assert_eq!(bdd.lowest(a_set, 8), lowest, "{seed}");
            let again = bdd.less(a_set, and);
            assert_eq!(again, less, "{seed}: one set, one node");
        }
    }

    #[test]
    fn shared_branches_are_followed_once() {
        let mut bdd = Bdd::new();
        // The numbers with an odd number of ones among their first 60 bits: 2^60 paths.
        let (mut odd, mut even) = (Node::NOTHING, Node::ALL);
        for variable in (0..60).rev() {
            (odd, even) = (bdd.choose(variable, even, odd), bdd.choose(variable, odd, even));
        }
        let ends_in_one = bdd.node(63, Node::NOTHING, Node::ALL);
        let both = bdd.and(odd, ends_in_one);
        let (none, rest) = (bdd.less(both, odd), bdd.less(odd, both));
        assert_eq!((none, bdd.or(both, rest)), (Node::NOTHING, odd));
        assert_eq!(bdd.lowest(both, 64), Some(1 << 4 | 1));
    }

    #[test]
    fn choosing_by_a_bit_combines_one_half_of_each_set() {
        let mut bdd = Bdd::new();
        for variable in 0..8 {
            let (a, a_set) = both(&mut bdd, 3, mixed);
            let (b, b_set) = both(&mut bdd, 4, mixed);
            let chosen = bdd.choose(variable, a_set, b_set);
            let expected: Vec<bool> =
                (0..256_usize).map(|n| if n & (0x80 >> variable) != 0 { a[n] } else { b[n] }).collect();
            assert_eq!(members(&mut bdd, chosen), expected, "{variable}");
        }
    }
}
