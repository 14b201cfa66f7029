//! TCP as connection tracking sees it: the effect of a segment on a connection (tcp_conntracks and
//! nf_conntrack_tcp_packet, net/netfilter/nf_conntrack_proto_tcp.c, v6.12).
//!
//! Sequence numbers, windows and time are not modelled. Each segment is taken as the next one of
//! its sender, after all earlier ones were acknowledged.

use super::Entry;
use crate::model::{CtDirection, CtStatus, TcpFlags};
use crate::sim::connections::tcp::Segment::{Ack, Fin, Rst, Syn, SynAck};
use crate::sim::connections::tcp::Stage::{
    CloseWait, Closed, Established, FinWait, LastAck, SynReceived, SynSent, SynSentByBoth, TimeWait,
};

/// The state that tracking keeps of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Tcp {
    stage: Stage,
    /// The last segment that was not invalid, and its direction.
    last: (CtDirection, Segment),
    /// Whether the connection was established when the first side closed it.
    is_closed_by_fin: bool,
    /// Whether both sides sent a SYN.
    is_simultaneous: bool,
    /// Whether an acknowledgement may answer a SYN that was ignored.
    is_challenged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    SynSent,
    SynSentByBoth,
    SynReceived,
    Established,
    FinWait,
    CloseWait,
    LastAck,
    TimeWait,
    Closed,
}

/// A segment, by the flag that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Ack,
    Fin,
    Rst,
    Syn,
    SynAck,
}

/// The relation of a segment to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The first segment of another connection; this one is over.
    Again,
    Invalid,
    /// A segment of this connection.
    Known,
    /// A refusal, and the only answer: the connection is over at once.
    Refusal,
}

/// The effect of a segment.
enum Next {
    /// It may be valid or not; the receiver decides.
    Ignored,
    Invalid,
    To(Stage),
}

impl Tcp {
    /// Returns the state after a first segment; `None` if the segment cannot be the first that
    /// tracking sees of a connection. A connection that began before tracking is picked up
    /// (nf_conntrack_tcp_loose).
    pub(super) fn begin(flags: TcpFlags) -> Option<Self> {
        let segment = Segment::of(flags)?;
        let stage = match segment {
            Syn => SynSent,
            Ack => Established,
            Fin | Rst | SynAck => return None,
        };
        let last = (CtDirection::Original, segment);
        Some(Tcp { stage, last, is_closed_by_fin: false, is_simultaneous: false, is_challenged: false })
    }

    /// Returns whether the connection may be over.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Closed | LastAck | TimeWait)
    }

    /// Records a segment; also returns whether it makes the connection an assured one.
    fn see(&mut self, segment: Segment, direction: CtDirection, status: CtStatus) -> (Seen, bool) {
        let before = self.stage;
        let mut next = match direction {
            CtDirection::Original => forth(before, segment),
            CtDirection::Reply => back(before, segment),
        };
        let answers = |asked: Segment| self.last.1 == asked && self.last.0 != direction;
        match next {
            Next::To(SynSent) if matches!(before, Closed | TimeWait) => {
                if self.is_closed_by_fin || self.last == (direction, Rst) {
                    return (Seen::Again, false);
                }
                next = Next::Ignored;
            }
            Next::To(TimeWait) if before == LastAck && segment == Ack && answers(Syn) && self.is_challenged => {
                self.is_challenged = false;
                return (Seen::Known, false);
            }
            Next::To(SynSentByBoth) => self.is_simultaneous = true,
            Next::To(SynReceived) if segment == Ack && direction == CtDirection::Reply && self.is_simultaneous => {
                next = Next::To(Established);
            }
            // It answers a SYN that was ignored: the hosts know of a connection that tracking did
            // not see begin.
            Next::Ignored if segment == SynAck && answers(Syn) => {
                (next, self.is_closed_by_fin) = (Next::To(SynReceived), false);
            }
            _ => {}
        }
        match next {
            Next::Invalid => return (Seen::Invalid, false),
            Next::Ignored => {
                if (segment, direction) == (Syn, CtDirection::Original) {
                    (self.is_challenged, self.is_simultaneous) = (before == LastAck, false);
                }
                self.last = (direction, segment);
                return (Seen::Known, false);
            }
            Next::To(stage) => self.stage = stage,
        }
        self.last = (direction, segment);
        self.is_closed_by_fin |= before != FinWait && self.stage == FinWait;
        if !status.contains(CtStatus::SEEN_REPLY) {
            return (if segment == Rst { Seen::Refusal } else { Seen::Known }, false);
        }
        let is_assured = matches!(before, Established | SynReceived) && self.stage == Established;
        (Seen::Known, is_assured)
    }
}

impl Entry {
    /// Records a segment of TCP; for other protocols, every packet belongs to the connection.
    pub(super) fn see(&mut self, flags: TcpFlags, direction: CtDirection) -> Seen {
        let Some(tcp) = &mut self.tcp else { return Seen::Known };
        let Some(segment) = Segment::of(flags) else { return Seen::Invalid };
        let (seen, is_assured) = tcp.see(segment, direction, self.status);
        if is_assured {
            self.status |= CtStatus::ASSURED;
        }
        if seen == Seen::Refusal {
            self.status |= CtStatus::DYING;
        }
        seen
    }

    pub(super) fn makes_room(&self) -> bool {
        self.tcp.as_ref().is_some_and(Tcp::is_over) && self.status.contains(CtStatus::SNAT)
    }
}

impl Segment {
    /// get_conntrack_index; `None` for a segment with none of these flags.
    fn of(flags: TcpFlags) -> Option<Self> {
        let has = |flag| flags.contains(flag);
        match () {
            () if has(TcpFlags::RST) => Some(Rst),
            () if has(TcpFlags::SYN) => Some(if has(TcpFlags::ACK) { SynAck } else { Syn }),
            () if has(TcpFlags::FIN) => Some(Fin),
            () if has(TcpFlags::ACK) => Some(Ack),
            () => None,
        }
    }
}

/// The effect of a segment from the side that opened the connection.
fn forth(stage: Stage, segment: Segment) -> Next {
    match (segment, stage) {
        (Syn, SynSent | Closed | TimeWait) => Next::To(SynSent),
        (Syn, SynSentByBoth) => Next::To(SynSentByBoth),
        (Syn, _) => Next::Ignored,
        (SynAck, SynSentByBoth | SynReceived) => Next::To(SynReceived),
        (SynAck, _) | (Fin | Ack, SynSent | SynSentByBoth) => Next::Invalid,
        (Ack, SynReceived) => Next::To(Established),
        (Fin | Ack | Rst, _) => both(stage, segment),
    }
}

/// The effect of a segment to the side that opened the connection.
fn back(stage: Stage, segment: Segment) -> Next {
    match (segment, stage) {
        (Syn, SynSent | SynSentByBoth) => Next::To(SynSentByBoth),
        (Syn, TimeWait) => Next::To(SynSent),
        (Syn, _) | (Fin, SynSent | SynSentByBoth) => Next::Invalid,
        (SynAck, SynSent | SynSentByBoth) => Next::To(SynReceived),
        (SynAck, _) | (Ack, SynSent | SynSentByBoth) => Next::Ignored,
        (Ack, SynReceived) => Next::To(SynReceived),
        (Fin | Ack | Rst, _) => both(stage, segment),
    }
}

/// The effect of a segment that is the same in both directions, once there was an answer.
fn both(stage: Stage, segment: Segment) -> Next {
    Next::To(match (segment, stage) {
        (Rst, _) | (_, Closed) => Closed,
        (_, TimeWait) => TimeWait,
        (Fin, SynReceived | Established) => FinWait,
        (Fin, FinWait | CloseWait | LastAck) => LastAck,
        (Ack, LastAck) => TimeWait,
        (Ack, FinWait | CloseWait) => CloseWait,
        (_, stage) => stage,
    })
}
