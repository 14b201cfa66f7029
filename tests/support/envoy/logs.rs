//! Access logs.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

/// A connection that Envoy logged when it ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Logged {
    pub listener: String,
    pub from: SocketAddr,
    /// Its original destination.
    pub to: SocketAddr,
    /// Where Envoy took it.
    pub at: SocketAddr,
    /// The connection that Envoy made for it.
    pub onward: Option<(SocketAddr, SocketAddr)>,
    pub flags: String,
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Logged { listener, from, to, at, onward, flags } = self;
        write!(f, "{listener}: {from} -> {to}, taken at {at}")?;
        if let Some((from, to)) = onward {
            write!(f, ", onward {from} -> {to}")?;
        }
        if flags == "-" { Ok(()) } else { write!(f, ", {flags}") }
    }
}

/// One proxy on the way of a connection: the pod, counted from 0, its listener, and the original
/// destination.
#[derive(Clone, Debug)]
pub struct Hop {
    pub pod: usize,
    pub listener: String,
    pub to: SocketAddr,
}

/// Returns what the Envoy with this folder has logged so far.
#[track_caller]
pub fn logged(folder: &Path) -> Vec<Logged> {
    let text = std::fs::read_to_string(folder.join("access.log")).unwrap_or_default();
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| parse(line).unwrap_or_else(|| panic!("not as it was asked to log: {line}"))).collect()
}

fn parse(line: &str) -> Option<Logged> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| line.get(key).and_then(Value::as_str);
    let address = |key: &str| text(key)?.parse().ok();
    Some(Logged {
        listener: text("listener")?.to_owned(),
        from: address("from")?,
        to: address("to")?,
        at: address("at")?,
        onward: address("onward_from").zip(address("onward_to")),
        flags: text("flags").unwrap_or("-").to_owned(),
    })
}
