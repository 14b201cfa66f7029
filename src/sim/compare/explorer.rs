//! Explores all packets of a family at a hook, one box at a time.
//!
//! A box holds, for every input, the values it still stands for. If a rule tests something that
//! holds only for part of them, the box becomes that part, and the rest is put on the list of boxes
//! still to do. At the end of a run, all packets of the box have taken the same path. So packets
//! are only distinguished where a rule distinguishes them, and the boxes of all runs together
//! contain every packet exactly once.

mod asked;

use smallvec::SmallVec;

use super::bdd::{Bdd, Map, Node};
use super::bits::{before, between, equal, pieces};
use super::domains::{Domains, Frame};
use super::members::Members;
use super::memory::Memory;
use super::series::Known;
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

/// Packets that no test has distinguished, with the assumptions made.
#[derive(Clone, Debug)]
pub(super) struct PacketBox {
    pub(super) domains: Domains,
    pub(super) choices: Vec<(Choice, bool)>,
}

/// An assumption that is not a property of a packet.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    /// The answer to the question of an xtables match is yes.
    Asked { question: Question, by: AskedBy },
    /// The routing tables give this number for an address, by a mark.
    Fib { query: Query, result: FibResult, flags: FibFlags, address: [Cell; 16], mark: Option<[Cell; 4]>, answer: u32 },
    /// The packet is within the limit. `number` is the index of this limit among those met on this
    /// side, `code` the address of its code.
    Limit { side: Side, number: usize, code: usize },
    /// A transparent socket listens on this address and port.
    Listener(Target),
    /// An open translation of a local packet changes its destination.
    Moved,
}

/// What the answer to an xtables question depends on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AskedBy {
    /// The random draw with this number in a run.
    Draw(usize),
    /// The packet as it is now, and its mark.
    Now(Box<Header>, Option<[Cell; 4]>),
    /// The packet as it arrived.
    Packet,
    /// The question with this number on one side.
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
    series: Known,
    /// Whether any rule reads the header after its translation.
    is_header_read: bool,
    run: Run,
    /// Inputs that stand for the result of a translation, by side and by the possible results.
    given: SmallVec<[(Side, Input, Given); 4]>,
    /// Whether a side may exclude packets from tracking that tracking would have accepted.
    pub(super) excludes: bool,
    pub(super) steps: u64,
    /// What was found about rules that remember earlier packets.
    pub(super) memory: Memory,
}

/// The choices that a translation has.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    /// The checksum of ICMP, which depends on the decision.
    Checksum(Option<Translation>),
    /// It was decided with an earlier packet.
    Earlier,
    /// Any port, because the packet's own was taken.
    Free,
    /// An address of this host.
    Own,
    Range(SmallVec<[Cell; 16]>, SmallVec<[Cell; 16]>),
}

/// The state of a run of one side.
#[derive(Clone, Copy, Debug)]
struct Run {
    side: Side,
    limits: usize,
    draws: usize,
    asked: bool,
    /// Whether the packet is dropped by translation.
    lost: bool,
    /// Whether tracking ignores the packet.
    never_tracked: bool,
}

impl Run {
    fn of(side: Side) -> Self {
        Run { side, limits: 0, draws: 0, asked: false, lost: false, never_tracked: false }
    }
}

/// A test whose set was computed before.
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
            series: Known::default(),
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

    /// Returns whether an input has one of some values. If both are possible, the more usual case
    /// is followed first, and the rest later.
    pub(super) fn decide(&mut self, input: Input, values: Node) -> bool {
        self.steps += 1;
        let Explorer { bdd, frame, here, todo, .. } = self;
        let domain = here.domains.get(input);
        if let Some(is) = bdd.all_or_none(domain, values) {
            return is;
        }
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

    /// Returns whether cells, all of one input or known, pass a test.
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

    /// Returns whether cells come before these bytes: the first piece that differs decides.
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

    /// Returns whether tracking ignored the packets of the last run without a rule.
    pub(super) fn is_never_tracked(&self) -> bool {
        self.run.never_tracked
    }

    /// Returns whether one input stood for different choices on the two sides.
    pub(super) fn mixes_given(&self) -> bool {
        let mixed = |(side, input, given): &(Side, Input, Given)| {
            self.given.iter().any(|(other, same, other_given)| side != other && input == same && given != other_given)
        };
        self.given.iter().any(mixed)
    }

    /// Returns an input that stands for the result of a translation.
    fn open<const N: usize>(&mut self, input: Input, given: Given) -> [Cell; N] {
        self.given.push((self.run.side, input, given));
        cells(self, input)
    }

    /// Returns an address or port that a translation gives: known, or open between two ends.
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
            // If that leaves nothing, the other side made another choice: see `mixes_given`.
            if self.frame.narrow(&mut self.bdd, &mut narrowed, input, range) {
                self.here.domains = narrowed;
            }
        }
        open
    }
}
