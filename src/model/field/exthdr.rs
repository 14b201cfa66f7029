//! Parts of extension headers of IPv6, options of TCP and IPv4, and chunks of SCTP: one table, by
//! nft's names.

use std::fmt;

use super::super::data_type::DataType;

/// A part of an extension header, an option or a chunk, or whether it is there: `frag id`,
/// `tcp option maxseg size`, `exthdr hbh exists`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a header and a part of it")]
pub struct Exthdr {
    /// What it is part of.
    pub of: ExthdrOf,
    /// Type of the header, option or chunk.
    pub kind: u8,
    /// The part.
    pub part: ExthdrPart,
}

/// What carries headers, options or chunks of several types (`enum nft_exthdr_op`).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ExthdrOf {
    /// Options of IPv4.
    Ipv4,
    /// Extension headers of IPv6.
    Ipv6,
    /// Chunks of SCTP.
    Sctp,
    /// Options of TCP.
    Tcp,
}

/// A part of a header, option or chunk.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "its bytes, or that it is there")]
pub enum ExthdrPart {
    /// Bytes of it, or a part of them.
    Bits {
        /// Offset in bits.
        offset: u16,
        /// Length in bits.
        bits: u16,
    },
    /// Whether it is there: 1 or 0.
    Exists,
}

impl Exthdr {
    /// Returns the part with nft's name, such as `frag id`, `tcp option maxseg size`, `ip option rr
    /// ptr`, `sctp chunk data tsn`; `None` if nft has no such name.
    ///
    /// ```
    /// use nftmesh::model::Exthdr;
    ///
    /// let size = Exthdr::named("tcp option maxseg size").expect("nft has it");
    /// assert_eq!((size.kind, size.to_string()), (2, "tcp option maxseg size".to_owned()));
    /// assert_eq!(Exthdr::named("tcp option maxseg color"), None);
    /// ```
    #[must_use]
    pub fn named(name: &str) -> Option<Exthdr> {
        let (of, rest) = ExthdrOf::PREFIXES.iter().find_map(|(of, words)| Some((*of, name.strip_prefix(words)?)))?;
        let (header, part) = rest.split_once(' ')?;
        let headers = HEADERS.iter().filter(|entry| entry.of == of && entry.name == header);
        let found = headers.flat_map(|entry| entry.parts().map(|part| (entry.kind, part)));
        let (kind, &Part { offset, bits, .. }) = { found }.find(|(_, entry)| entry.name == part)?;
        Some(Exthdr { of, kind, part: ExthdrPart::Bits { offset, bits } })
    }

    /// Returns whether a header, option or chunk is there, by nft's name: `exthdr frag`, `tcp
    /// option sack`, `ip option rr`, `sctp chunk data`; `None` if nft has no such name.
    #[must_use]
    pub fn presence(name: &str) -> Option<Exthdr> {
        let name = name.strip_prefix("exthdr ").unwrap_or(name);
        let (of, header) = ExthdrOf::PREFIXES.iter().find_map(|(of, words)| Some((*of, name.strip_prefix(words)?)))?;
        let found = HEADERS.iter().find(|entry| entry.of == of && entry.name == header)?;
        Some(Exthdr { of, kind: found.kind, part: ExthdrPart::Exists })
    }

    /// Returns nft's name of the header, and of the part if it is one of several bytes.
    fn names(self) -> Option<(&'static str, Option<&'static str>)> {
        let mut headers = HEADERS.iter().filter(|entry| entry.of == self.of && entry.kind == self.kind);
        match self.part {
            ExthdrPart::Exists => headers.next().map(|entry| (entry.name, None)),
            ExthdrPart::Bits { offset, bits } => headers.find_map(|entry| {
                let part = entry.parts().find(|part| (part.offset, part.bits) == (offset, bits))?;
                Some((entry.name, Some(part.name)))
            }),
        }
    }

    /// Returns whether nft has words for it: any part of an unknown option of TCP, and what is in
    /// the table.
    pub(crate) fn has_words(self) -> bool {
        let is_known = || HEADERS.iter().any(|entry| entry.of == self.of && entry.kind == self.kind);
        self.names().is_some() || self.of == ExthdrOf::Tcp && !is_known()
    }

    /// Returns offset and length in bits, if it is not whole bytes.
    pub(crate) fn part_of_byte(self) -> Option<(u32, u32)> {
        match self.part {
            ExthdrPart::Bits { offset, bits } if offset % 8 != 0 || bits % 8 != 0 => Some((offset.into(), bits.into())),
            ExthdrPart::Bits { .. } | ExthdrPart::Exists => None,
        }
    }

    /// Returns all that are not whole bytes.
    pub(crate) fn parts_of_bytes() -> impl Iterator<Item = Exthdr> {
        let all = HEADERS.iter().flat_map(|entry| {
            entry.parts().map(|part| Exthdr {
                of: entry.of,
                kind: entry.kind,
                part: ExthdrPart::Bits { offset: part.offset, bits: part.bits },
            })
        });
        all.filter(|part| part.part_of_byte().is_some())
    }

    pub(super) fn data_type(self) -> DataType {
        let ExthdrPart::Bits { offset, bits } = self.part else { return DataType::Integer { bytes: 1 } };
        match (self.of, bits) {
            (_, 128) => DataType::Ipv6,
            (ExthdrOf::Ipv6, 8) if (self.kind, offset) == (135, 16) => DataType::MhType,
            (ExthdrOf::Ipv6, 8) if offset == 0 => DataType::Protocol,
            _ => DataType::NetworkInteger { bytes: u8::try_from(bits.div_ceil(8)).unwrap_or(u8::MAX) },
        }
    }
}

impl fmt::Display for Exthdr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exthdr { of, kind, part } = self;
        let words = of.words();
        match (self.names(), part) {
            (Some((header, Some(part))), _) => write!(f, "{words}{header} {part}"),
            (Some((header, None)), _) if *of == ExthdrOf::Ipv6 => write!(f, "exthdr {header}"),
            (Some((header, None)), _) => write!(f, "{words}{header}"),
            (None, ExthdrPart::Exists) => write!(f, "{words}{kind}"),
            (None, ExthdrPart::Bits { offset, bits }) => write!(f, "{words}@{kind},{offset},{bits}"),
        }
    }
}

impl ExthdrOf {
    /// The words before a name; those of IPv6, which has none, come last.
    const PREFIXES: [(ExthdrOf, &str); 4] = [
        (ExthdrOf::Tcp, "tcp option "),
        (ExthdrOf::Ipv4, "ip option "),
        (ExthdrOf::Sctp, "sctp chunk "),
        (ExthdrOf::Ipv6, ""),
    ];

    fn words(self) -> &'static str {
        ExthdrOf::PREFIXES.iter().find(|(of, _)| *of == self).map_or("", |(_, words)| words)
    }
}

/// A header, option or chunk: what all of its kind have, and what it has.
struct Header {
    of: ExthdrOf,
    kind: u8,
    name: &'static str,
    all: &'static [Part],
    own: &'static [Part],
}

impl Header {
    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.all.iter().chain(self.own)
    }
}

struct Part {
    name: &'static str,
    offset: u16,
    bits: u16,
}

macro_rules! headers {
    ($($of:ident $kind:literal $name:literal $all:ident: $($part:literal $offset:literal $bits:literal),*;)*) => {
        const HEADERS: &[Header] = &[
            $(Header {
                of: ExthdrOf::$of,
                kind: $kind,
                name: $name,
                all: $all,
                own: &[$(Part { name: $part, offset: $offset, bits: $bits }),*],
            },)*
        ];
    };
}

macro_rules! parts {
    ($($name:ident: $($part:literal $offset:literal $bits:literal),*;)*) => {
        $(const $name: &[Part] = &[$(Part { name: $part, offset: $offset, bits: $bits }),*];)*
    };
}

parts! {
    NONE: ;
    NEXT: "nexthdr" 0 8, "hdrlength" 8 8;
    LENGTH: "length" 8 8;
    TYPE_LENGTH: "type" 0 8, "length" 8 8;
    CHUNK: "type" 0 8, "flags" 8 8, "length" 16 16;
}

headers! {
    Ipv6 0 "hbh" NEXT: ;
    Ipv6 43 "rt" NEXT: "type" 16 8, "seg-left" 24 8;
    Ipv6 43 "srh" NONE: "last-entry" 32 8, "flags" 40 8, "tag" 48 16, "sid[1]" 64 128, "sid[2]" 192 128;
    Ipv6 43 "rt0" NONE: "addr[1]" 64 128;
    Ipv6 43 "rt2" NONE: "addr" 64 128;
    Ipv6 44 "frag" NONE: "nexthdr" 0 8, "reserved" 8 8, "frag-off" 16 13, "reserved2" 29 2, "more-fragments" 31 1,
        "id" 32 32;
    Ipv6 60 "dst" NEXT: ;
    Ipv6 135 "mh" NEXT: "type" 16 8, "reserved" 24 8, "checksum" 32 16;
    Tcp 0 "eol" NONE: ;
    Tcp 1 "nop" NONE: ;
    Tcp 2 "maxseg" LENGTH: "size" 16 16;
    Tcp 3 "window" LENGTH: "count" 16 8;
    Tcp 4 "sack-perm" LENGTH: ;
    Tcp 5 "sack" LENGTH: "left" 16 32, "right" 48 32;
    Tcp 5 "sack1" NONE: "left" 80 32, "right" 112 32;
    Tcp 5 "sack2" NONE: "left" 144 32, "right" 176 32;
    Tcp 5 "sack3" NONE: "left" 208 32, "right" 240 32;
    Tcp 8 "timestamp" LENGTH: "tsval" 16 32, "tsecr" 48 32;
    Tcp 19 "md5sig" LENGTH: ;
    Tcp 30 "mptcp" LENGTH: "subtype" 16 4;
    Tcp 34 "fastopen" LENGTH: ;
    Ipv4 7 "rr" TYPE_LENGTH: "ptr" 16 8, "addr" 24 32;
    Ipv4 131 "lsrr" TYPE_LENGTH: "ptr" 16 8, "addr" 24 32;
    Ipv4 137 "ssrr" TYPE_LENGTH: "ptr" 16 8, "addr" 24 32;
    Ipv4 148 "ra" TYPE_LENGTH: "value" 16 16;
    Sctp 0 "data" CHUNK: "tsn" 32 32, "stream" 64 16, "ssn" 80 16, "ppid" 96 32;
    Sctp 1 "init" CHUNK: "init-tag" 32 32, "a-rwnd" 64 32, "num-outbound-streams" 96 16, "num-inbound-streams" 112 16,
        "initial-tsn" 128 32;
    Sctp 2 "init-ack" CHUNK: "init-tag" 32 32, "a-rwnd" 64 32, "num-outbound-streams" 96 16,
        "num-inbound-streams" 112 16, "initial-tsn" 128 32;
    Sctp 3 "sack" CHUNK: "cum-tsn-ack" 32 32, "a-rwnd" 64 32, "num-gap-ack-blocks" 96 16, "num-dup-tsns" 112 16;
    Sctp 4 "heartbeat" CHUNK: ;
    Sctp 5 "heartbeat-ack" CHUNK: ;
    Sctp 6 "abort" CHUNK: ;
    Sctp 7 "shutdown" CHUNK: "cum-tsn-ack" 32 32;
    Sctp 8 "shutdown-ack" CHUNK: ;
    Sctp 9 "error" CHUNK: ;
    Sctp 10 "cookie-echo" CHUNK: ;
    Sctp 11 "cookie-ack" CHUNK: ;
    Sctp 12 "ecne" CHUNK: "lowest-tsn" 32 32;
    Sctp 13 "cwr" CHUNK: "lowest-tsn" 32 32;
    Sctp 14 "shutdown-complete" CHUNK: ;
    Sctp 128 "asconf-ack" CHUNK: "seqno" 32 32;
    Sctp 192 "forward-tsn" CHUNK: "new-cum-tsn" 32 32;
    Sctp 193 "asconf" CHUNK: "seqno" 32 32;
}
