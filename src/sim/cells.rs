//! The contents of registers: known bytes, and bytes of the packet that are still open.
//!
//! In a walk, every byte is known. In a comparison of two rule sets, the packet is open: a byte
//! that no rule has tested yet stands for all its values, and is split where a program tests it.
//! Masks and xors apply bit by bit, so an open byte keeps them.

use crate::bytecode::Register;

/// A property of a packet or its surroundings that programs read and do not change.
///
/// Booleans are one byte, 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Input {
    /// Whether the packet reaches the first chain with a conntrack entry, because it re-entered
    /// through lo.
    Attached,
    Cgroup,
    CtDirection,
    CtMark,
    CtState,
    CtStatus,
    CtZone,
    Daddr,
    DaddrType,
    Dport,
    Iif,
    Iifname,
    L4proto,
    Length,
    Mark,
    /// The first bytes of the IP header that no other input covers, at their offsets: 12 of IPv4, 8
    /// of IPv6.
    Network,
    Oif,
    Oifname,
    PktType,
    /// Whether the `socket` expression finds a local socket that would receive the packet: 0 none,
    /// 1 one, 2 one of a TCP handshake in progress.
    Received,
    Saddr,
    Skgid,
    Skuid,
    /// The local socket that sent the packet or was assigned to it: 0 none, 1 one, 2 one without an
    /// owner, which is a kernel socket or was closed.
    Socket,
    SocketMark,
    SocketTransparent,
    SocketWildcard,
    Sport,
    TcpFlags,
    /// The addresses and ports after the translation that an earlier packet of the connection was
    /// given.
    TranslatedDaddr,
    TranslatedDport,
    TranslatedSaddr,
    TranslatedSport,
    /// Bytes 4 to 19 after the IP header, except for the flags of TCP.
    Transport,
}

impl Input {
    /// All inputs, in the order of their numbers.
    pub(crate) const ALL: [Input; 34] = [
        Input::Attached,
        Input::Cgroup,
        Input::CtDirection,
        Input::CtMark,
        Input::CtState,
        Input::CtStatus,
        Input::CtZone,
        Input::Daddr,
        Input::DaddrType,
        Input::Dport,
        Input::Iif,
        Input::Iifname,
        Input::L4proto,
        Input::Length,
        Input::Mark,
        Input::Network,
        Input::Oif,
        Input::Oifname,
        Input::PktType,
        Input::Received,
        Input::Saddr,
        Input::Skgid,
        Input::Skuid,
        Input::Socket,
        Input::SocketMark,
        Input::SocketTransparent,
        Input::SocketWildcard,
        Input::Sport,
        Input::TcpFlags,
        Input::TranslatedDaddr,
        Input::TranslatedDport,
        Input::TranslatedSaddr,
        Input::TranslatedSport,
        Input::Transport,
    ];

    /// Returns the width in bytes; addresses have 16, of which IPv4 uses the first 4.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Input::Attached | Input::CtDirection | Input::L4proto | Input::PktType | Input::Received => 1,
            Input::Socket | Input::SocketTransparent | Input::SocketWildcard | Input::TcpFlags => 1,
            Input::CtZone | Input::Dport | Input::Sport | Input::TranslatedDport | Input::TranslatedSport => 2,
            Input::Cgroup | Input::CtMark | Input::CtState | Input::CtStatus | Input::DaddrType | Input::Iif => 4,
            Input::Length | Input::Mark | Input::Oif | Input::Skgid | Input::Skuid | Input::SocketMark => 4,
            Input::Daddr | Input::Iifname | Input::Oifname | Input::Saddr => 16,
            Input::Network | Input::TranslatedDaddr | Input::TranslatedSaddr | Input::Transport => 16,
        }
    }

    /// Returns whether the kernel keeps it as a number in host byte order.
    pub(crate) fn is_host_order(self) -> bool {
        match self {
            Input::Cgroup | Input::CtMark | Input::CtState | Input::CtStatus | Input::CtZone | Input::DaddrType => true,
            Input::Iif | Input::Length | Input::Mark | Input::Oif | Input::Skgid | Input::Skuid => true,
            Input::SocketMark => true,
            Input::Attached | Input::CtDirection | Input::L4proto | Input::PktType | Input::Received => false,
            Input::Socket | Input::SocketTransparent | Input::SocketWildcard | Input::TcpFlags => false,
            Input::Daddr | Input::Dport | Input::Iifname | Input::Oifname | Input::Saddr | Input::Sport => false,
            Input::TranslatedDaddr | Input::TranslatedDport | Input::TranslatedSaddr | Input::TranslatedSport => false,
            Input::Network | Input::Transport => false,
        }
    }
}

/// One byte of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cell {
    Known(u8),
    /// `(byte number `byte` of `input`, as it is loaded) & mask ^ xor`.
    Open {
        input: Input,
        byte: u8,
        mask: u8,
        xor: u8,
    },
}

impl Cell {
    /// Returns an unchanged byte of an input.
    pub(crate) fn open(input: Input, byte: u8) -> Cell {
        Cell::Open { input, byte, mask: 0xff, xor: 0 }
    }

    pub(crate) fn known(self) -> Option<u8> {
        match self {
            Cell::Known(byte) => Some(byte),
            Cell::Open { .. } => None,
        }
    }

    fn masked(self, keep: u8, flip: u8) -> Cell {
        match self {
            Cell::Known(byte) => Cell::Known(byte & keep ^ flip),
            Cell::Open { mask, .. } if mask & keep == 0 => {
                let Cell::Open { xor, .. } = self else { return self };
                Cell::Known(xor & keep ^ flip)
            }
            Cell::Open { input, byte, mask, xor } => {
                Cell::Open { input, byte, mask: mask & keep, xor: xor & keep ^ flip }
            }
        }
    }
}

/// Returns the bytes, if all are known.
pub(crate) fn known<const N: usize>(cells: &[Cell]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if cells.len() != N {
        return None;
    }
    for (byte, cell) in bytes.iter_mut().zip(cells) {
        *byte = cell.known()?;
    }
    Some(bytes)
}

/// Computes `cells & mask ^ xor`, byte by byte.
pub(crate) fn bitwise(cells: &mut [Cell], mask: &[u8], xor: &[u8]) {
    for (cell, (mask, xor)) in cells.iter_mut().zip(mask.iter().zip(xor)) {
        *cell = cell.masked(*mask, *xor);
    }
}

/// The registers of a program: 64 bytes, of which each register is a window (`struct nft_regs`,
/// include/net/netfilter/nf_tables.h, v6.12).
#[derive(Clone, Debug)]
pub(crate) struct Registers([Cell; REGISTER_BYTES]);

impl Registers {
    pub(crate) fn new() -> Self {
        Registers([Cell::Known(0); REGISTER_BYTES])
    }

    /// Returns `len` bytes from the start of a register; `None` past the last one, which no kernel
    /// accepts.
    pub(crate) fn read(&self, register: Register, len: usize) -> Option<&[Cell]> {
        let start = offset(register)?;
        self.0.get(start..start.checked_add(len)?)
    }

    pub(crate) fn window(&mut self, register: Register, len: usize) -> Option<&mut [Cell]> {
        let start = offset(register)?;
        self.0.get_mut(start..start.checked_add(len)?)
    }

    /// Stores `cells` and zeroes the rest of the last 4 bytes, as the kernel does; `None` if they
    /// do not fit.
    pub(crate) fn store(&mut self, register: Register, cells: impl ExactSizeIterator<Item = Cell>) -> Option<()> {
        let window = self.window(register, cells.len().next_multiple_of(4))?;
        let padded = cells.chain(std::iter::repeat(Cell::Known(0)));
        window.iter_mut().zip(padded).for_each(|(slot, cell)| *slot = cell);
        Some(())
    }
}

fn offset(register: Register) -> Option<usize> {
    let slot = match register.0 {
        1..=4 => (register.0 - 1) * 4,
        8..=23 => register.0 - 8,
        _ => return None,
    };
    usize::try_from(slot * 4).ok()
}

const REGISTER_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_overlap_as_in_the_kernel() {
        let mut registers = Registers::new();
        registers.store(Register::SECOND, [1, 2, 3].map(Cell::Known).into_iter()).expect("fits");
        let same = registers.read(Register::at_slot(4), 4).expect("the same four bytes");
        assert_eq!(known(same), Some([1, 2, 3, 0]));
        assert_eq!(registers.read(Register(4), 17), None);
        assert_eq!(registers.read(Register(0), 1), None);
    }

    #[test]
    fn a_byte_without_open_bits_after_masks_is_known() {
        let mut cells = [Cell::open(Input::Mark, 0), Cell::open(Input::Mark, 1)];
        bitwise(&mut cells, &[0x0f, 0xff], &[0, 1]);
        bitwise(&mut cells, &[0xf0, 0xff], &[3, 1]);
        assert_eq!(cells, [Cell::Known(3), Cell::open(Input::Mark, 1)]);
    }
}
