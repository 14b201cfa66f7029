//! All packets of a family at a hook, a box at a time.
//!
//! A box holds, for every input, the values it still stands for. Where a rule asks something that
//! holds for a part of them only, the box becomes that part, and the other goes on the list of
//! boxes still to do. At the end of a run all packets of the box took one way. So packets are only
//! told apart where a rule does it, and the boxes of all runs together are all packets, each once.

mod asked;

use smallvec::SmallVec;

use super::bdd::{Bdd, Map, Node};
use super::bits::{before, between, equal, pieces};
use super::domains::{Domains, Frame};
use super::members::Members;
use super::memory::Memory;
use crate::bytecode::{FibFlags, FibResult};
use crate::model::{Hook, IpFamily};
use crate::sim::cells::{Cell, Input};
use crate::sim::fib::Query;
use crate::sim::flow::{Header, Translation, cells};
use crate::sim::inputs::Target;
use crate::xt::Question;

/// One of the two rule sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

/// Packets that no question has told apart, and what else was assumed.
#[derive(Clone, Debug)]
pub(super) struct PacketBox {
    pub(super) domains: Domains,
    pub(super) choices: Vec<(Choice, bool)>,
}

/// Something that is no property of a packet and may be so or not.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    /// What a match of xtables asks is so.
    Asked { question: Question, by: AskedBy },
    /// What the routing tables say of an address, by a mark: whether it is this number.
    Fib { query: Query, result: FibResult, flags: FibFlags, address: [Cell; 16], mark: Option<[Cell; 4]>, answer: u32 },
    /// The packet comes within the rate: the how manieth limit that it meets on a side, and the
    /// address of its code.
    Limit { side: Side, number: usize, code: usize },
    /// A transparent socket listens there.
    Listener(Target),
    /// An open translation of what this host sends leads to another destination than it had.
    Moved,
}

/// What the answer to a question of xtables depends on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AskedBy {
    /// The how manieth draw of a run.
    Draw(usize),
    /// The packet as it is now, and its mark.
    Now(Box<Header>, Option<[Cell; 4]>),
    /// The packet as it came.
    Packet,
    /// The how manieth question of one side.
    Side(Side, usize),
}

pub(super) struct Explorer {
    pub(super) bdd: Bdd,
    pub(super) frame: Frame,
    pub(super) hook: Hook,
    pub(super) family: IpFamily,
    pub(super) here: PacketBox,
    pub(super) todo: Vec<PacketBox>,
    tests: Map<Test, Node>,
    members: Members,
    /// Whether anything looks at the header behind its translation.
    is_header_read: bool,
    run: Run,
    /// Inputs that stood for what a translation gave, by side and by what it could give.
    given: SmallVec<[(Side, Input, Given); 4]>,
    /// A side may exclude packets from tracking that would have taken them up.
    pub(super) excludes: bool,
    pub(super) steps: u64,
    /// What remembers earlier packets and ran.
    pub(super) memory: Memory,
}

/// What a translation chose from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    /// The checksum of ICMP, which follows what was decided.
    Checksum(Option<Translation>),
    /// It was decided with an earlier packet.
    Earlier,
    /// Any port, where the packet's own was taken.
    Free,
    /// An address of this host.
    Own,
    Range(SmallVec<[Cell; 16]>, SmallVec<[Cell; 16]>),
}

/// What belongs to the run of one side.
#[derive(Clone, Copy, Debug)]
struct Run {
    side: Side,
    limits: usize,
    draws: usize,
    asked: bool,
    /// Translation drops it.
    lost: bool,
    /// Tracking leaves it alone.
    never_tracked: bool,
}

impl Run {
    fn of(side: Side) -> Self {
        Run { side, limits: 0, draws: 0, asked: false, lost: false, never_tracked: false }
    }
}

/// A question that was answered before.
#[derive(PartialEq, Eq, Hash)]
struct Test {
    kind: Kind,
    cells: SmallVec<[Cell; 16]>,
    data: SmallVec<[u8; 16]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Before,
    Between,
    Equal,
    UpTo,
}

impl Explorer {
    pub(super) fn new(hook: Hook, family: IpFamily, is_header_read: bool, excludes: bool) -> Self {
        let mut bdd = Bdd::new();
        let frame = Frame::new(&mut bdd, hook, family, excludes);
        let here = PacketBox { domains: frame.start, choices: Vec::new() };
        let run = Run::of(Side::A);
        let given = SmallVec::new();
        let (todo, tests, members) = (vec![here.clone()], Map::default(), Members::default());
        Explorer {
            bdd,
            frame,
            hook,
            family,
            here,
            todo,
            tests,
            members,
            is_header_read,
            run,
            given,
            excludes: false,
            steps: 0,
            memory: Memory::default(),
        }
    }

    /// Begins the run of a side.
    pub(super) fn begin(&mut self, side: Side) {
        self.run = Run::of(side);
        if side == Side::A {
            self.given.clear();
        }
    }

    /// Whether an input has one of some values. Where both can be, the more ordinary case comes
    /// first, and what is left later.
    pub(super) fn decide(&mut self, input: Input, values: Node) -> bool {
        self.steps += 1;
        let Explorer { bdd, frame, here, todo, .. } = self;
        let domain = here.domains.get(input);
        let yes = bdd.and(domain, values);
        if yes == Node::NOTHING || yes == domain {
            return yes == domain;
        }
        let no = bdd.less(domain, yes);
        let is = bdd.and(no, frame.usual.get(input)) == Node::NOTHING;
        let (first, later) = if is { (yes, no) } else { (no, yes) };
        let mut other = here.clone();
        if frame.narrow(bdd, &mut other.domains, input, later) {
            todo.push(other);
        }
        frame.narrow(bdd, &mut here.domains, input, first);
        is
    }

    fn choose(&mut self, choice: Choice) -> bool {
        if let Some((_, is)) = self.here.choices.iter().find(|(known, _)| *known == choice) {
            return *is;
        }
        let mut other = self.here.clone();
        other.choices.push((choice.clone(), false));
        self.todo.push(other);
        self.here.choices.push((choice, true));
        true
    }

    /// Whether cells, all of one input or known, answer a question with yes.
    fn piece(&mut self, input: Option<Input>, kind: Kind, cells: &[Cell], data: &[&[u8]]) -> bool {
        let key = Test { kind, cells: cells.into(), data: data.iter().flat_map(|data| data.iter().copied()).collect() };
        let test = match (self.tests.get(&key), data) {
            (Some(known), _) => *known,
            (None, data) => {
                let (first, last) = (data.first().copied().unwrap_or(&[]), data.last().copied().unwrap_or(&[]));
                let bdd = &mut self.bdd;
                let test = match kind {
                    Kind::Before => before(bdd, cells, first, Node::NOTHING),
                    Kind::Between => between(bdd, cells, first, last),
                    Kind::Equal => equal(bdd, cells, first),
                    Kind::UpTo => before(bdd, cells, first, Node::ALL),
                };
                self.tests.insert(key, test);
                test
            }
        };
        match input {
            Some(input) => self.decide(input, test),
            None => test == Node::ALL,
        }
    }

    fn is_equal(&mut self, cells: &[Cell], data: &[u8]) -> bool {
        pieces(cells).into_iter().all(|(input, range)| match (cells.get(range.clone()), data.get(range)) {
            (Some(cells), Some(data)) => self.piece(input, Kind::Equal, cells, &[data]),
            _ => false,
        })
    }

    /// Whether cells come before these bytes: piece by piece, the first that differs decides.
    fn is_before(&mut self, cells: &[Cell], data: &[u8], or_equal: bool) -> bool {
        let pieces = pieces(cells);
        let last = pieces.len().saturating_sub(1);
        for (at, (input, range)) in pieces.into_iter().enumerate() {
            let (Some(cells), Some(data)) = (cells.get(range.clone()), data.get(range)) else { return false };
            if at == last {
                let kind = if or_equal { Kind::UpTo } else { Kind::Before };
                return self.piece(input, kind, cells, &[data]);
            }
            if self.piece(input, Kind::Before, cells, &[data]) {
                return true;
            }
            if !self.piece(input, Kind::Equal, cells, &[data]) {
                return false;
            }
        }
        or_equal
    }

    fn is_within(&mut self, cells: &[Cell], low: &[u8], high: &[u8]) -> bool {
        if low == high {
            return self.is_equal(cells, low);
        }
        match pieces(cells).as_slice() {
            [(input, _)] => self.piece(*input, Kind::Between, cells, &[low, high]),
            _ => !self.is_before(cells, low, false) && self.is_before(cells, high, true),
        }
    }

    /// Whether tracking left the packets of the last run alone by itself.
    pub(super) fn is_never_tracked(&self) -> bool {
        self.run.never_tracked
    }

    /// Whether the sides looked at different choices as if they were one.
    pub(super) fn mixes_given(&self) -> bool {
        let mixed = |(side, input, given): &(Side, Input, Given)| {
            self.given.iter().any(|(other, same, other_given)| side != other && input == same && given != other_given)
        };
        self.given.iter().any(mixed)
    }

    /// An input that stands for what a translation gives.
    fn open<const N: usize>(&mut self, input: Input, given: Given) -> [Cell; N] {
        self.given.push((self.run.side, input, given));
        cells(self, input)
    }

    /// An address or port that a translation gives: known, or open between two ends.
    fn given<const N: usize>(&mut self, input: Input, low: &[Cell], high: &[Cell]) -> [Cell; N] {
        if low == high {
            let mut cells = [Cell::Known(0); N];
            cells.iter_mut().zip(low).for_each(|(slot, cell)| *slot = *cell);
            return cells;
        }
        let open: [Cell; N] = self.open(input, Given::Range(low.into(), high.into()));
        let bytes = |cells: &[Cell]| cells.iter().map(|cell| cell.known()).collect::<Option<Vec<u8>>>();
        if let (Some(low), Some(high), Some(cells)) = (bytes(low), bytes(high), open.get(..low.len())) {
            let range = between(&mut self.bdd, cells, &low, &high);
            let mut narrowed = self.here.domains;
            // Another choice than the other side's: see `mixes_given`.
            if self.frame.narrow(&mut self.bdd, &mut narrowed, input, range) {
                self.here.domains = narrowed;
            }
        }
        open
    }
}
