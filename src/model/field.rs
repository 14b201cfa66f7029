//! What a rule can match: the fields of a packet, its socket and its connection.

use super::data_type::DataType;

mod table;

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
        }

        impl Field {
            /// Every field, those of one protocol before those of any.
            pub(crate) const ALL: &[Field] = &[$(Field::$field),*];

            /// Returns the type of its values.
            #[must_use]
            pub fn data_type(self) -> DataType {
                match self {
                    $(Field::$field => DataType::$type $({ bytes: $bytes })?,)*
                }
            }

            /// Returns the field as nft(8) spells it: `meta skuid`, `ip saddr`, `ct state`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Field::$field => $name,)*
                }
            }
        }
    };
}

field_table!(fields);
