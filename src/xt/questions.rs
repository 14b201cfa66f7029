//! Matches that ask what no nft statement asks: about the connection, the reverse path to the
//! source, TCP options, and what neither the packet nor the host determines.
//!
//! Sources: net/netfilter/xt_conntrack.c, xt_statistic.c, xt_recent.c, xt_set.c, xt_tcpmss.c,
//! xt_physdev.c and net/ipv4/netfilter/ipt_rpfilter.c, v6.12.

use std::fmt;
use std::net::IpAddr;

use super::extension;
use super::info::Info;
use crate::error::Escaped;
use crate::model::{CtDirection, IpFamily, NatKind};

/// A question of a match, and whether the match holds when the answer is no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) not: bool,
}

/// What a match asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Something that neither the packet nor its host determines.
    Beyond(Beyond),
    /// Something about the packet's connection; without one, the match does not hold.
    Connection(OfConnection),
    /// Whether there is a reverse path to the source (`rpfilter`).
    ReversePath(ReversePath),
    /// Whether the packet announces a maximum segment size in this range.
    Segment { low: u16, high: u16 },
}

/// A property of a connection (conntrack_mt).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfConnection {
    Address {
        of: End,
        mask: IpAddr,
        value: IpAddr,
    },
    /// The remaining lifetime in seconds.
    Expires {
        low: u32,
        high: u32,
    },
    Port {
        of: End,
        low: u16,
        high: u16,
    },
    Protocol(u16),
}

/// An end of the packets of one direction, before any translation of that direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) direction: CtDirection,
    pub(crate) side: NatKind,
}

/// How a match `rpfilter` looks for a reverse path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReversePath {
    /// Whether any interface is accepted.
    pub(crate) is_loose: bool,
    /// Whether the lookup uses the packet's mark.
    pub(crate) by_mark: bool,
    /// Whether local source addresses are accepted.
    pub(crate) takes_local: bool,
}

/// A question about something that is not modelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// What is not known, after the name of the match.
    pub(crate) what: String,
    pub(crate) answers: Answers,
}

/// When two answers are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// For the same packet.
    Alike,
    /// Never: the match remembers earlier packets.
    Anew,
    /// For the same random draw of the packet, with this many chances in 2^31.
    Drawn(u32),
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("xtables match ")?;
        match self {
            Question::Beyond(Beyond { what, answers: _ }) => f.write_str(what),
            Question::Connection(OfConnection::Address { .. }) => {
                f.write_str("conntrack: which addresses its connection has")
            }
            Question::Connection(OfConnection::Expires { .. }) => {
                f.write_str("conntrack: how long its connection is kept is a matter of time")
            }
            Question::Connection(OfConnection::Port { .. }) => f.write_str("conntrack: which ports its connection has"),
            Question::Connection(OfConnection::Protocol(_)) => {
                f.write_str("conntrack: which protocol its connection has")
            }
            Question::ReversePath(_) => f.write_str("rpfilter: whether there is a way back to the source"),
            Question::Segment { .. } => {
                f.write_str("tcpmss: which maximum segment size the packet announces; give transport and its bytes")
            }
        }
    }
}

fn beyond(what: impl Into<String>, answers: Answers) -> Question {
    Question::Beyond(Beyond { what: what.into(), answers })
}

/// Returns what conntrack_mt and its port check ask besides state, status and direction.
pub(super) fn of_connection(mut info: Info<'_>, family: Option<IpFamily>) -> Option<Vec<Asked>> {
    use CtDirection::{Original, Reply};
    use NatKind::{Dnat, Snat};
    let ends = [(Original, Snat), (Original, Dnat), (Reply, Snat), (Reply, Dnat)];
    let ends = ends.map(|(direction, side)| End { direction, side });
    let mut addresses = info;
    info.skip(128)?;
    let (low, high, protocol) = (info.u32()?, info.u32()?, info.u16()?);
    let lows = [info.u16()?, info.u16()?, info.u16()?, info.u16()?];
    let (asked, negated, _states, _status) = (info.u16()?, info.u16()?, info.u16()?, info.u16()?);
    let highs = [info.u16()?, info.u16()?, info.u16()?, info.u16()?];
    let mut all = Vec::new();
    let mut ask = |bit: u16, question| {
        if asked & bit != 0 {
            all.push(Asked { question: Question::Connection(question), not: negated & bit != 0 });
        }
    };
    for (of, bit) in ends.into_iter().zip([ORIGSRC, ORIGSRC << 1, ORIGSRC << 2, ORIGSRC << 3]) {
        // In a table of both families, no address is known.
        let family = family.or((asked & bit == 0).then_some(IpFamily::Ipv4))?;
        let (value, mask) = (addresses.address(family)?, addresses.address(family)?);
        ask(bit, OfConnection::Address { of, mask, value });
    }
    ask(PROTOCOL, OfConnection::Protocol(protocol));
    for (((of, low), high), bit) in ends.into_iter().zip(lows).zip(highs).zip([
        ORIGSRC_PORT,
        ORIGSRC_PORT << 1,
        ORIGSRC_PORT << 2,
        ORIGSRC_PORT << 3,
    ]) {
        ask(bit, OfConnection::Port { of, low, high });
    }
    ask(EXPIRES, OfConnection::Expires { low, high });
    Some(all)
}

// XT_CONNTRACK_*, include/uapi/linux/netfilter/xt_conntrack.h
const PROTOCOL: u16 = 1 << 1;
const ORIGSRC: u16 = 1 << 2;
const EXPIRES: u16 = 1 << 7;
const ORIGSRC_PORT: u16 = 1 << 8;
/// All the bits that [`of_connection`] reads.
pub(super) const OF_CONNECTION: u16 = PROTOCOL | (ORIGSRC * 15) | EXPIRES | (ORIGSRC_PORT * 15);

/// rpfilter_mt.
pub(super) fn reverse_path(mut info: Info<'_>) -> Option<Asked> {
    let flags = info.u8()?;
    let is = |flag: u8| flags & flag != 0;
    let path = ReversePath { is_loose: is(1), by_mark: is(2), takes_local: is(4) };
    (flags < 16).then_some(Asked { question: Question::ReversePath(path), not: is(8) })
}

/// tcpmss_mt.
pub(super) fn segment(mut info: Info<'_>) -> Option<Asked> {
    let (low, high, not) = (info.u16()?, info.u16()?, info.u8()?);
    Some(Asked { question: Question::Segment { low, high }, not: not != 0 })
}

/// physdev_mt.
pub(super) fn bridge_port(mut info: Info<'_>) -> Option<Asked> {
    let mut names = [String::new(), String::new()];
    for shown in &mut names {
        let (name, mask) = (info.bytes(IFNAMSIZ)?, info.bytes(IFNAMSIZ)?);
        let used = name.iter().zip(mask).map(|(byte, mask)| byte & mask).collect::<Vec<_>>();
        *shown = text(&used);
    }
    let [incoming, outgoing] = names;
    let (inverted, asked) = (info.u8()?, info.u8()?);
    let what = format!("physdev: which port of a bridge ({incoming:?}, {outgoing:?}; {asked:#x}, {inverted:#x})");
    Some(Asked { question: beyond(what, Answers::Alike), not: false })
}

/// match_set_v1 to match_set_v4: an ipset set by its index, which only this kernel knows.
pub(super) fn set(mut info: Info<'_>) -> Option<Asked> {
    let (index, fields, flags) = (info.u16()?, info.u8()?, info.u8()?);
    let rest = info.rest();
    // The remaining fields compare and update the counters of an element.
    let answers = if rest.iter().all(|byte| *byte == 0) { Answers::Alike } else { Answers::Anew };
    let what =
        format!("set: what is in the set of ipset with number {index} ({fields} fields, {:#x})", flags & !INVERTED_SET);
    Some(Asked { question: beyond(what, answers), not: flags & INVERTED_SET != 0 })
}

/// `IPSET_INV_MATCH`, include/uapi/linux/netfilter/ipset/ip_set.h.
const INVERTED_SET: u8 = 1;

/// statistic_mt; `Err` with the result if it is always the same.
pub(super) fn statistic(mut info: Info<'_>) -> Option<Result<Asked, bool>> {
    let (mode, flags, first, packet) = (info.u16()?, info.u16()?, info.u32()?, info.u32()?);
    let not = match flags {
        0 => false,
        1 => true,
        _ => return None,
    };
    let question = match (mode, first) {
        (RANDOM, 0) => return Some(Err(not)),
        (RANDOM, ALWAYS..) | (NTH, 0) => return Some(Err(!not)),
        (RANDOM, chances) => {
            let of_hundred = f64::from(chances) / f64::from(ALWAYS) * 100.0;
            beyond(format!("statistic: it is drawn, with a probability of {of_hundred:.3} %"), Answers::Drawn(chances))
        }
        (NTH, every) => {
            let every = u64::from(every) + 1;
            beyond(format!("statistic: which of every {every} packets this is, from {packet} on"), Answers::Anew)
        }
        _ => return None,
    };
    Some(Ok(Asked { question, not }))
}

const RANDOM: u16 = 0;
const NTH: u16 = 1;
/// All of the 2^31 chances.
const ALWAYS: u32 = 1 << 31;

/// recent_mt: a match that only adds to a list always holds; `Err` with the result if it is always
/// the same.
pub(super) fn recent(mut info: Info<'_>) -> Option<Result<Asked, bool>> {
    let (_seconds, _hits, asked, not) = (info.u32()?, info.u32()?, info.u8()?, info.u8()? != 0);
    let name = text(info.bytes(XT_RECENT_NAME_LEN)?);
    if asked & XT_RECENT_SET != 0 {
        return Some(Err(!not));
    }
    let question = beyond(format!("recent: whom the list {} remembers", Escaped::new(&name)), Answers::Anew);
    Some(Ok(Asked { question, not }))
}

/// Returns the question of a match of which an import kept only the options.
pub(super) fn kept(name: &str, attributes: &[u8]) -> Option<Asked> {
    let options = extension::options(attributes).filter(|options| options.len() <= LONGEST)?;
    let options = String::from_utf8_lossy(options).into_owned();
    let mut words = options.split(' ').skip_while(|word| *word != "--match-set").skip(1);
    let set = words.next().filter(|_| name == "set")?;
    // The options include everything that matters to the rule, and whether the match is negated.
    let answers =
        if options.contains("--update-counters") || options.contains("-eq") { Answers::Anew } else { Answers::Alike };
    let what = format!("set: what is in the set {} of ipset ({})", Escaped::new(set), Escaped::new(&options));
    Some(Asked { question: beyond(what, answers), not: false })
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes)).into_owned()
}

const IFNAMSIZ: usize = 16;
// include/uapi/linux/netfilter/xt_recent.h
const XT_RECENT_NAME_LEN: usize = 200;
const XT_RECENT_SET: u8 = 2;
/// The longest options that fit in one attribute.
const LONGEST: usize = 4096;
