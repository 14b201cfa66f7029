//! Expressions that a user wrote as attributes, read as those of the kernel are.

use super::decode;
use crate::bytecode::{Expr, RawExpr};
use crate::model::Opaque;

/// As the kernel would report it: an expression that is known becomes that one.
impl From<RawExpr> for Expr {
    fn from(raw: RawExpr) -> Self {
        let (name, attributes) = raw.into_parts();
        let known = decode::known_expr(&name, &attributes);
        known.unwrap_or_else(|| Expr::Opaque { name, data: attributes.into(), set: None })
    }
}

impl From<RawExpr> for Opaque {
    fn from(raw: RawExpr) -> Self {
        Expr::from(raw).into()
    }
}
