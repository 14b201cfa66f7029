//! TCP, as far as connection tracking looks into it: nf_conntrack_tcp_packet, net/netfilter/nf_conntrack_proto_tcp.c, v6.12.
//!
//! Without sequence numbers, windows and time: what those alone decide is not told here.

use super::Entry;
use crate::model::{CtDirection, CtStatus, Protocol, TcpFlags};
use crate::sim::packet::Packet;

/// The two directions of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sim) struct Ends {
    original: bool,
    reply: bool,
}

impl Entry {
    /// Takes a segment; `true` when it is a refusal, and the only answer: then the connection is over at once.
    pub(super) fn see(&mut self, flags: TcpFlags, direction: CtDirection) -> bool {
        *self.reset.of(direction) |= flags.contains(TcpFlags::RST);
        *self.finished.of(direction) |= flags.contains(TcpFlags::FIN);
        let has_reply = self.status.contains(CtStatus::SEEN_REPLY);
        self.answered |= direction == CtDirection::Reply && flags.contains(TcpFlags::SYN);
        let answered = self.answered || !self.opened && has_reply;
        let closing = flags.intersects(TcpFlags::SYN | TcpFlags::RST | TcpFlags::FIN);
        if answered && direction == CtDirection::Original && flags.contains(TcpFlags::ACK) && !closing {
            self.status |= CtStatus::ASSURED;
        }
        flags.contains(TcpFlags::RST) && !has_reply
    }

    /// Whether a segment cannot be, because the SYN has no answer yet: the column of SYN_SENT of tcp_conntracks,
    /// net/netfilter/nf_conntrack_proto_tcp.c, v6.12.
    pub(super) fn is_out_of_place(&self, packet: &Packet, direction: CtDirection) -> bool {
        let waits = self.opened && !self.answered;
        let flags = packet.tcp_flags;
        let goes_on = match direction {
            CtDirection::Original => TcpFlags::ACK | TcpFlags::FIN,
            CtDirection::Reply => TcpFlags::FIN,
        };
        waits && !flags.intersects(TcpFlags::SYN | TcpFlags::RST) && flags.intersects(goes_on)
    }

    fn is_over(&self) -> bool {
        let Entry { reset, finished, .. } = self;
        (finished.original && finished.reply) || reset.original || reset.reply
    }

    pub(super) fn makes_room(&self) -> bool {
        self.is_over() && self.status.contains(CtStatus::SNAT)
    }

    /// Whether a segment begins the connection anew: nf_conntrack_tcp_packet, net/netfilter/nf_conntrack_proto_tcp.c, v6.12.
    pub(super) fn is_opened_again(&self, packet: &Packet, direction: CtDirection) -> bool {
        let Entry { mut reset, finished, .. } = *self;
        let by_sender = *reset.of(direction);
        let begins = packet.tcp_flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST) == TcpFlags::SYN;
        packet.protocol == Protocol::TCP
            && begins
            && self.is_over()
            && (finished.original || finished.reply || by_sender)
    }
}

impl Ends {
    fn of(&mut self, direction: CtDirection) -> &mut bool {
        match direction {
            CtDirection::Original => &mut self.original,
            CtDirection::Reply => &mut self.reply,
        }
    }
}

/// Whether a segment begins a connection, or may be of one that began before tracking did: tcp_conntracks, row of sNO,
/// net/netfilter/nf_conntrack_proto_tcp.c, v6.12, with nf_conntrack_tcp_loose.
pub(super) fn begins(flags: TcpFlags) -> bool {
    if flags.contains(TcpFlags::RST) {
        return false;
    }
    match (flags.contains(TcpFlags::SYN), flags.contains(TcpFlags::FIN), flags.contains(TcpFlags::ACK)) {
        (true, _, ack) => !ack,
        (false, true, _) => false,
        (false, false, ack) => ack,
    }
}
