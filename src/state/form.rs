//! What an opaque part of a rule set was read from, for the feature `serde`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

use super::snapshot::{HookState, OpaqueState};
use crate::bytecode::{Expr, KeptElement, KeptParts, KeptRule, KeptSet, WholeSet};
use crate::model::Opaque;

#[derive(Serialize)]
struct Written<'o> {
    name: &'o str,
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<&'o str>,
    code: WrittenCode<'o>,
}

#[derive(Deserialize)]
struct Read {
    name: String,
    extension: Option<String>,
    code: ReadCode,
}

macro_rules! codes {
    ($($name:ident($type:ty)),*) => {
        #[derive(Serialize)]
        enum WrittenCode<'o> {
            $($name(&'o $type)),*
        }

        #[derive(Deserialize)]
        enum ReadCode {
            $($name($type)),*
        }

        impl<'o> WrittenCode<'o> {
            fn of(opaque: &'o Opaque) -> Option<Self> {
                $(if let Some(code) = opaque.code::<$type>() {
                    return Some(WrittenCode::$name(code));
                })*
                None
            }
        }

        impl ReadCode {
            fn into_opaque(self, name: &str, extension: Option<Box<str>>) -> Opaque {
                match self {
                    $(ReadCode::$name(code) => Opaque::new(name, extension, code)),*
                }
            }
        }
    };
}

codes! {
    Element(KeptElement),
    Exprs(Vec<Expr>),
    Hook(HookState),
    Object(OpaqueState),
    Parts(KeptParts),
    Rule(KeptRule),
    Set(WholeSet),
    SetParts(KeptSet)
}

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let code = WrittenCode::of(self).ok_or_else(|| ser::Error::custom(format!("{} has no form", self.name())))?;
        Written { name: self.name(), extension: self.extension(), code }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Read { name, extension, code } = Read::deserialize(deserializer)?;
        Ok(code.into_opaque(&name, extension.map(Into::into)))
    }
}
