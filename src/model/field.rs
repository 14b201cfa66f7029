//! What a rule can match: the fields of a packet, its socket and its connection.

use super::data_type::DataType;

mod directed;
mod exthdr;
mod fib;
mod generated;
mod ipsec;
mod payload;
mod table;

pub use directed::{CtDirected, CtDirectedKey};
pub use exthdr::{Exthdr, ExthdrOf, ExthdrPart};
pub use fib::{Fib, FibKey, FibResult};
pub use generated::{Numgen, NumgenMode, Symhash};
pub use ipsec::{Ipsec, IpsecDirection, IpsecKey};
pub use payload::{RawBase, RawPayload};

pub(crate) use table::field_table;

macro_rules! fields {
    ($($field:ident $method:ident($kind:ty) $name:literal: $type:ident $({ bytes: $bytes:literal })?,
        $protocol:ident $load:ident($($from:tt)*), $doc:literal $(, $alias:literal)?;)*) => {
        /// A field of a packet, of the socket that sends or will receive it, or of its connection.
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Field {
            $(
                #[doc = concat!($doc, ".")]
                $(#[doc(alias = $alias)])?
                $field,
            )*
            /// A property of one direction of the connection.
            CtDirected(CtDirected),
            /// A part of an extension header, an option or a chunk, or whether it is there.
            Exthdr(Exthdr),
            /// A lookup in the routing tables.
            Fib(Fib),
            /// A property of the transformation (IPsec).
            Ipsec(Ipsec),
            /// A number that counts up or is random.
            Numgen(Numgen),
            /// Bytes of a header by their place.
            Payload(RawPayload),
            /// Maximum segment size that fits the route of the packet.
            #[doc(alias = "NFT_RT_TCPMSS")]
            RtMtu,
            /// A hash of the packet that is the same in both directions.
            Symhash(Symhash),
        }

        impl Field {
            /// Every field without parameters, those of one protocol before those of any.
            pub(crate) const ALL: &[Field] = &[$(Field::$field),*];

            /// Returns the type of its values.
            #[must_use]
            pub fn data_type(self) -> DataType {
                match self {
                    $(Field::$field => DataType::$type $({ bytes: $bytes })?,)*
                    Field::CtDirected(of) => of.data_type(),
                    Field::Exthdr(of) => of.data_type(),
                    Field::Fib(of) => of.data_type(),
                    Field::Ipsec(of) => of.data_type(),
                    Field::Numgen(_) | Field::Symhash(_) => DataType::Integer { bytes: 4 },
                    Field::Payload(of) => of.data_type(),
                    Field::RtMtu => DataType::Integer { bytes: 2 },
                }
            }

            /// Returns the field as nft(8) spells it: `meta skuid`, `ip saddr`, `ct state`; of a
            /// field with parameters its first words. `Display` prints all of it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Field::$field => $name,)*
                    Field::CtDirected(_) => "ct",
                    Field::Exthdr(Exthdr { of: ExthdrOf::Ipv4, .. }) => "ip option",
                    Field::Exthdr(Exthdr { of: ExthdrOf::Ipv6, .. }) => "exthdr",
                    Field::Exthdr(Exthdr { of: ExthdrOf::Sctp, .. }) => "sctp chunk",
                    Field::Exthdr(Exthdr { of: ExthdrOf::Tcp, .. }) => "tcp option",
                    Field::Fib(_) => "fib",
                    Field::Ipsec(_) => "ipsec",
                    Field::Numgen(_) => "numgen",
                    Field::Payload(of) => of.base.entry().1,
                    Field::RtMtu => "rt mtu",
                    Field::Symhash(_) => "symhash",
                }
            }
        }
    };
}

field_table!(fields);

impl Field {
    /// Returns whether it tells that something is there, which nft writes as `exists` and
    /// `missing`.
    pub(crate) fn is_presence(self) -> bool {
        matches!(
            self,
            Field::Exthdr(Exthdr { part: ExthdrPart::Exists, .. }) | Field::Fib(Fib { result: FibResult::Exists, .. })
        )
    }
}

/// A field with parameters.
macro_rules! with_parameters {
    ($($type:ident)*) => {
        $(
            impl From<$type> for Field {
                fn from(of: $type) -> Field {
                    Field::$type(of)
                }
            }
        )*
    };
}

with_parameters!(CtDirected Exthdr Fib Ipsec Numgen Symhash);

impl From<RawPayload> for Field {
    fn from(of: RawPayload) -> Field {
        Field::Payload(of)
    }
}
