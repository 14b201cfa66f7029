//! The values that the inputs of a packet can have at a hook before any rule has run: everything
//! that the kernel can pass in.
//!
//! Inputs are independent of each other except for a few links (such as "the first packet of a
//! connection has direction original"). Links are applied both ways whenever a domain shrinks;
//! since they form no cycle, every value that is left belongs to a whole packet that is left. Two
//! apparent dependencies are deliberately not links: a packet that has a conntrack entry may come
//! in by any interface (a copy of a broadcast or multicast packet, by the link it was sent on), and
//! a packet that a local socket sent into a tunnel leaves as if it had come in by the tunnel.

use super::bdd::{Bdd, Node};
use super::bits::{equal, number, width};
use super::usual::usual;
use crate::model::{Hook, IpFamily};
use crate::sim::cells::{Cell, Input};

/// The values that each input can still have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Domains([Node; Input::ALL.len()]);

/// If the first input is in its set, so is the second.
#[derive(Clone, Copy, Debug)]
struct Link {
    when: (Input, Node),
    then: (Input, Node),
}

/// The domains at the start, and the links between them.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) start: Domains,
    /// The most usual value of each input.
    pub(super) usual: Domains,
    links: Vec<Link>,
}

impl Domains {
    pub(super) fn get(&self, input: Input) -> Node {
        self.0.get(input as usize).copied().unwrap_or(Node::NOTHING)
    }

    fn set(&mut self, input: Input, to: Node) {
        if let Some(slot) = self.0.get_mut(input as usize) {
            *slot = to;
        }
    }
}

impl Frame {
    /// `excludes` is whether rules exclude packets from tracking on their way out; such packets are
    /// then untracked from the first chain on when they come in.
    pub(super) fn new(bdd: &mut Bdd, hook: Hook, family: IpFamily, excludes: bool) -> Self {
        let nothing = Domains([Node::NOTHING; Input::ALL.len()]);
        let mut frame = Frame { start: nothing, usual: nothing, links: Vec::new() };
        for input in Input::ALL {
            let domain = domain(bdd, hook, family, input, excludes);
            frame.start.set(input, domain);
            for number in usual(hook, family, input).into_iter().rev() {
                let one = constants(bdd, input, &[number]);
                if bdd.and(domain, one) == one {
                    frame.usual.set(input, one);
                }
            }
        }
        frame.link(bdd, hook, excludes);
        frame
    }

    fn link(&mut self, bdd: &mut Bdd, hook: Hook, excludes: bool) {
        let mut implies = |when, then| self.links.push(Link { when, then });
        let (new, original) = (constants(bdd, Input::CtState, &[8]), constants(bdd, Input::CtDirection, &[0]));
        implies((Input::CtState, new), (Input::CtDirection, original));
        for (index, name) in [(Input::Iif, Input::Iifname), (Input::Oif, Input::Oifname)] {
            let classes = classes(bdd, index, name);
            for (of_index, of_name) in classes {
                implies((index, of_index), (name, of_name));
                implies((name, of_name), (index, of_index));
            }
        }
        // A packet that comes in with a conntrack entry has a connection, or was excluded from
        // tracking.
        let attached = constants(bdd, Input::Attached, &[1]);
        if matches!(hook, Hook::Prerouting | Hook::Output) {
            let [untracked, known] = [&[64][..], &[2, 4, 8, 64]].map(|states| constants(bdd, Input::CtState, states));
            implies((Input::CtState, untracked), (Input::Attached, attached));
            implies((Input::Attached, attached), (Input::CtState, known));
            if !excludes {
                implies((Input::CtState, untracked), (Input::L4proto, constants(bdd, Input::L4proto, &[58])));
            }
        }
    }

    /// Restricts `input` to the values in `kept`; returns `false` if no packet is left.
    pub(super) fn narrow(&self, bdd: &mut Bdd, domains: &mut Domains, input: Input, kept: Node) -> bool {
        let kept = bdd.and(domains.get(input), kept);
        domains.set(input, kept);
        let mut changed = kept != Node::NOTHING && self.links.iter().any(|link| link.is_of(input));
        while changed {
            changed = false;
            for Link { when, then } in &self.links {
                let (cause, effect) = (domains.get(when.0), domains.get(then.0));
                if bdd.less(cause, when.1) == Node::NOTHING {
                    let left = bdd.and(effect, then.1);
                    changed |= left != effect;
                    domains.set(then.0, left);
                } else if bdd.and(effect, then.1) == Node::NOTHING {
                    let left = bdd.less(cause, when.1);
                    changed |= left != cause;
                    domains.set(when.0, left);
                }
            }
        }
        Input::ALL.iter().all(|input| domains.get(*input) != Node::NOTHING)
    }

    /// Returns whether an index or a name has been narrowed further than to lo, no interface, or
    /// any other one.
    pub(super) fn is_distinguished(
        &self,
        bdd: &mut Bdd,
        domains: &Domains,
        index: Input,
        name: Input,
        which: Input,
    ) -> bool {
        let [_, _, (of_index, of_name)] = classes(bdd, index, name);
        let others = if which == index { of_index } else { of_name };
        let [left, all] = [domains.get(which), self.start.get(which)].map(|domain| bdd.and(domain, others));
        left != Node::NOTHING && left != all
    }
}

impl Link {
    fn is_of(&self, input: Input) -> bool {
        self.when.0 == input || self.then.0 == input
    }
}

/// Returns index and name of no interface, of lo, which has index 1 in every namespace, and of all
/// others.
fn classes(bdd: &mut Bdd, index: Input, name: Input) -> [(Node, Node); 3] {
    let none = (constants(bdd, index, &[0]), constants(bdd, name, &[0]));
    let lo = (constants(bdd, index, &[1]), constants(bdd, name, &[name_number(b"lo")]));
    let both = (bdd.or(none.0, lo.0), bdd.or(none.1, lo.1));
    [none, lo, (bdd.less(Node::ALL, both.0), bdd.less(Node::ALL, both.1))]
}

/// Returns the number of an interface name.
pub(super) fn name_number(name: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(name).for_each(|(slot, byte)| *slot = *byte);
    number(Input::Iifname, &bytes)
}

pub(super) fn constants(bdd: &mut Bdd, input: Input, numbers: &[u128]) -> Node {
    let sets: Vec<Node> = numbers.iter().map(|number| bdd.number(*number, width(input))).collect();
    bdd.union(&sets)
}

fn domain(bdd: &mut Bdd, hook: Hook, family: IpFamily, input: Input, excludes: bool) -> Node {
    let is_first = matches!(hook, Hook::Prerouting | Hook::Output);
    let mut boolean = |can_be: bool| constants(bdd, input, if can_be { &[0, 1] } else { &[0] });
    match input {
        Input::Attached => boolean(is_first || hook == Hook::Input),
        Input::Received => constants(bdd, input, &[0, 1, 2]),
        Input::CtDirection | Input::SocketTransparent | Input::SocketWildcard => boolean(true),
        // A tc filter may assign a socket before all hooks (skb_sk_is_prefetched,
        // include/net/sock.h, v6.12); a packet with a socket is not forwarded (ip_forward,
        // net/ipv4/ip_forward.c).
        Input::Socket if hook != Hook::Forward => constants(bdd, input, &[0, 1, 2]),
        Input::Socket => boolean(false),
        // Copies of neighbour discovery come in untracked, too.
        Input::CtState => match (hook, family) {
            (Hook::Output, _) => constants(bdd, input, &[1, 2, 4, 8]),
            (Hook::Prerouting, IpFamily::Ipv4) if !excludes => constants(bdd, input, &[1, 2, 4, 8]),
            _ => constants(bdd, input, &[1, 2, 4, 8, 64]),
        },
        // `RTN_*`, include/uapi/linux/rtnetlink.h
        Input::DaddrType => constants(bdd, input, &(0..=11).collect::<Vec<u128>>()),
        Input::Iif | Input::Iifname => match hook {
            Hook::Output => constants(bdd, input, &[0]),
            Hook::Postrouting => interface(bdd, input, true),
            Hook::Forward | Hook::Input | Hook::Prerouting => interface(bdd, input, false),
        },
        Input::Oif | Input::Oifname => match hook {
            Hook::Input | Hook::Prerouting => constants(bdd, input, &[0]),
            Hook::Forward | Hook::Output | Hook::Postrouting => interface(bdd, input, false),
        },
        Input::Daddr | Input::Saddr | Input::TranslatedDaddr | Input::TranslatedSaddr => match family {
            IpFamily::Ipv4 => {
                let rest: Vec<Cell> = (4..16).map(|byte| Cell::open(input, byte)).collect();
                equal(bdd, &rest, &[0; 12])
            }
            IpFamily::Ipv6 => Node::ALL,
        },
        // A packet has at least a header.
        Input::Length => {
            let header = match family {
                IpFamily::Ipv4 => 20,
                IpFamily::Ipv6 => 40,
            };
            let shorter = constants(bdd, input, &(0..header).collect::<Vec<u128>>());
            bdd.less(Node::ALL, shorter)
        }
        Input::Cgroup | Input::CtMark | Input::CtStatus | Input::CtZone | Input::Dport => Node::ALL,
        Input::L4proto | Input::Mark | Input::PktType | Input::Skgid | Input::Skuid | Input::SocketMark => Node::ALL,
        Input::Sport | Input::TcpFlags | Input::TranslatedDport | Input::TranslatedSport => Node::ALL,
        Input::Transport => Node::ALL,
        Input::Network => header(bdd, family),
    }
}

/// Returns the possible headers: the version is the family's, and a header of IPv4 has at least
/// five words.
fn header(bdd: &mut Bdd, family: IpFamily) -> Node {
    let open = |mask| Cell::Open { input: Input::Network, byte: 0, mask, xor: 0 };
    match family {
        IpFamily::Ipv4 => {
            let words: Vec<Node> = (0x45..=0x4f).map(|first| equal(bdd, &[open(0xff)], &[first])).collect();
            bdd.union(&words)
        }
        IpFamily::Ipv6 => equal(bdd, &[open(0xf0)], &[0x60]),
    }
}

fn interface(bdd: &mut Bdd, input: Input, or_none: bool) -> Node {
    let none = constants(bdd, input, &[0]);
    let some = match input {
        Input::Iifname | Input::Oifname => names(bdd, input, |byte| !b"\0/: \t\n\x0b\x0c\r".contains(&byte)),
        _ => bdd.less(Node::ALL, none),
    };
    if or_none { bdd.or(some, none) } else { some }
}

/// Returns names of 1 to 15 of these bytes, padded with zeros (dev_valid_name, net/core/dev.c).
pub(super) fn names(bdd: &mut Bdd, input: Input, valid: impl Fn(u8) -> bool) -> Node {
    let mut padding = equal(bdd, &[Cell::open(input, 15)], &[0]);
    let mut rest = padding;
    for byte in (0..15).rev() {
        let (after, end) = (rest, if byte == 0 { Node::NOTHING } else { padding });
        rest = by_byte(bdd, (byte * 8, byte * 8 + 8), 0, &|value| match value {
            0 => end,
            value if valid(value) => after,
            _ => Node::NOTHING,
        });
        let zero = equal(bdd, &[Cell::open(input, byte)], &[0]);
        padding = bdd.and(zero, padding);
    }
    rest
}

/// Builds a node from the bits from `from` to before `to`; `value` has the bits before `from`, and
/// `of` returns the node for each full value.
fn by_byte(bdd: &mut Bdd, (from, to): (u8, u8), value: u8, of: &impl Fn(u8) -> Node) -> Node {
    if from == to {
        return of(value);
    }
    let [low, high] = [0, 1].map(|bit| by_byte(bdd, (from + 1, to), value << 1 | bit, of));
    bdd.choose(from, high, low)
}
