//! Loads bytes of headers (net/netfilter/nft_payload.c, v6.12), wherever they are kept.

use smallvec::SmallVec;

use super::{Machine, Next, Step, compare};
use crate::bytecode::{CmpOp, PayloadBase, Register};
use crate::model::{IpFamily, Protocol};
use crate::sim::cells::{Cell, Input, bitwise};
use crate::sim::flow::cells;
use crate::sim::header::{IPV4_CHECKSUM, TCP_FLAGS, TRANSPORT_FROM, checksum};
use crate::sim::inputs::{CannotTell, Inputs};

impl<I: Inputs> Machine<'_, I> {
    pub(super) fn payload(&mut self, base: PayloadBase, offset: u32, len: u32, dreg: Register) -> Step {
        let unknown = || {
            CannotTell::new(format!("payload base {}, offset {offset}, {len} bytes: not a field known here", base.0))
        };
        let end = offset.checked_add(len).filter(|end| *end <= 256).ok_or_else(unknown)?;
        match self.inputs.ends_before(base, end) {
            Some(true) => return Ok(Next::Break),
            Some(false) => {}
            None => {
                return Err(CannotTell::new("whether the packet is as long as what is asked for; give it with length"));
            }
        }
        if base == PayloadBase::TRANSPORT {
            self.inputs.knows_transport()?;
        }
        let mut loaded = SmallVec::<[Cell; 16]>::new();
        for at in offset..end {
            let at = usize::try_from(at).map_err(|_| unknown())?;
            loaded.push(self.header_byte(base, at)?.ok_or_else(unknown)?);
        }
        self.store(dreg, loaded.into_iter())
    }

    fn header_byte(&mut self, base: PayloadBase, at: usize) -> Result<Option<Cell>, CannotTell> {
        self.knows_checksum(base, at)?;
        if self.is_of_options(base, at) {
            self.knows_length()?;
        }
        let header = &self.flow.header;
        let of = |field: &[Cell], start: usize| field.get(at - start).copied();
        let input = |input: Input, byte: usize| u8::try_from(byte).ok().map(|byte| self.inputs.cell(input, byte));
        // The length field of IPv6 excludes the header.
        let network = |len: usize| (at < len).then(|| input(Input::Network, at)).flatten();
        Ok(match (base, self.inputs.family()) {
            (PayloadBase::NETWORK, IpFamily::Ipv4) => match at {
                2 | 3 => self.inputs.ip_length(at - 2),
                9 => input(Input::L4proto, 0),
                12..16 => of(&header.saddr, 12),
                16..20 => of(&header.daddr, 16),
                0..12 => network(12),
                _ => self.inputs.further(base, at),
            },
            (PayloadBase::NETWORK, IpFamily::Ipv6) => match at {
                4 | 5 => self.inputs.ip_length(at - 4),
                6 => self.inputs.further(base, at).or_else(|| input(Input::L4proto, 0)),
                8..24 => of(&header.saddr, 8),
                24..40 => of(&header.daddr, 24),
                0..8 => network(8),
                _ => self.inputs.further(base, at),
            },
            (PayloadBase::TRANSPORT, _) => match at {
                0..2 => of(&header.sport, 0),
                2..4 => of(&header.dport, 2),
                TCP_FLAGS => input(Input::TcpFlags, 0),
                TRANSPORT_FROM..20 => input(Input::Transport, at - TRANSPORT_FROM),
                _ => self.inputs.further(base, at),
            },
            _ => self.inputs.further(base, at),
        })
    }

    /// Returns whether TCPMSS may have changed a byte: the lengths, the checksums, and the TCP
    /// options.
    fn is_of_options(&self, base: PayloadBase, at: usize) -> bool {
        match (base, self.inputs.family()) {
            (PayloadBase::NETWORK, IpFamily::Ipv4) => (2..4).contains(&at) || IPV4_CHECKSUM.contains(&at),
            (PayloadBase::NETWORK, IpFamily::Ipv6) => (4..6).contains(&at) || at >= 40,
            (PayloadBase::TRANSPORT, _) => at == DATA_OFFSET || (16..18).contains(&at) || at >= 20,
            _ => false,
        }
    }

    /// Fails if TCPMSS may have added an option to the packet.
    pub(super) fn knows_length(&self) -> Result<(), CannotTell> {
        let is_limited = self.flow.segment.is_limited();
        let reason = || CannotTell::new("how long a packet of TCP is, and its options, after TCPMSS");
        if is_limited { Err(reason()) } else { Ok(()) }
    }

    /// Returns whether a TCP header gives a length that is too short. If the length was not given,
    /// the header is assumed to be valid.
    pub(super) fn is_malformed(&mut self) -> Result<bool, CannotTell> {
        if self.inputs.ends_before(PayloadBase::TRANSPORT, 20) == Some(true) {
            return Ok(true);
        }
        let Some(mut length) = self.header_byte(PayloadBase::TRANSPORT, DATA_OFFSET)? else { return Ok(false) };
        bitwise(std::slice::from_mut(&mut length), &[0xf0], &[0]);
        Ok(compare(self.inputs, &[length], CmpOp::Lt, &[5 << 4]).unwrap_or(false))
    }

    /// Fails for a byte that a translation changes: a checksum, or the id of ICMP.
    fn knows_checksum(&mut self, base: PayloadBase, at: usize) -> Result<(), CannotTell> {
        let is_of_ipv4 = base == PayloadBase::NETWORK && self.inputs.family() == IpFamily::Ipv4;
        let may_change = match base {
            PayloadBase::NETWORK => is_of_ipv4 && IPV4_CHECKSUM.contains(&at),
            PayloadBase::TRANSPORT => (TRANSPORT_FROM..18).contains(&at) && at != TCP_FLAGS,
            _ => false,
        };
        if !may_change || !self.is_rewritten() {
            return Ok(());
        }
        let cannot_tell = || Err(CannotTell::new(format!("byte {at} of a header after its translation")));
        if base == PayloadBase::NETWORK {
            return cannot_tell();
        }
        let protocol = [self.inputs.cell(Input::L4proto, 0)];
        for of in [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ICMPV6].into_iter().chain([
            Protocol::UDPLITE,
            Protocol::DCCP,
            Protocol::SCTP,
        ]) {
            let is_id = [Protocol::ICMP, Protocol::ICMPV6].contains(&of) && (4..6).contains(&at);
            let is_changed = is_id || checksum(of).is_some_and(|range| range.contains(&at));
            if is_changed && compare(self.inputs, &protocol, CmpOp::Eq, &[of.0])? {
                return cannot_tell();
            }
        }
        Ok(())
    }

    fn is_rewritten(&self) -> bool {
        let header = &self.flow.header;
        header.saddr != self.inputs.all(Input::Saddr)
            || header.daddr != self.inputs.all(Input::Daddr)
            || header.sport != cells(self.inputs, Input::Sport)
            || header.dport != cells(self.inputs, Input::Dport)
    }
}

/// The offset of the TCP header's length.
pub(super) const DATA_OFFSET: usize = 12;
