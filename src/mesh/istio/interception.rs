//! How inbound connections reach the proxy, and the word for it.

use crate::mesh::error::Problem;
use crate::mesh::parse::Parsed;

/// How inbound connections reach the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interception {
    /// The destination is rewritten (nat); the application sees the proxy's address instead of the
    /// client's.
    #[default]
    Redirect,
    /// The packet is handed over as it is (mangle and policy routing); the client's address is
    /// kept.
    Tproxy,
}

/// Parses `REDIRECT` or `TPROXY`; empty means `REDIRECT`.
pub(super) fn interception(text: &str) -> Parsed<Interception> {
    match text.trim() {
        "" | "REDIRECT" => Ok(Interception::Redirect),
        "TPROXY" => Ok(Interception::Tproxy),
        _ => Err(Problem::new("no such interception mode; give REDIRECT or TPROXY")),
    }
}
