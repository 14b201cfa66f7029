//! The versions of the protocol.

use super::failure::{Failure, VERSION};

pub(crate) const SUPPORTED: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
pub(crate) const NEWEST: &str = "1.1.0";

/// Checks a version that a configuration names.
pub(crate) fn supported(version: &str) -> Result<(), Failure> {
    if SUPPORTED.contains(&version) {
        return Ok(());
    }
    let details = format!("cniVersion {version:?}; supported are {}", SUPPORTED.join(", "));
    Err(Failure::new(VERSION, "incompatible CNI versions", details))
}

/// Checks that a command exists in that version.
pub(crate) fn allows(version: &str, command: &str) -> Result<(), Failure> {
    let since = match command {
        "CHECK" => "0.4.0",
        "GC" | "STATUS" => "1.1.0",
        _ => return Ok(()),
    };
    let place = |version: &str| SUPPORTED.iter().position(|known| *known == version);
    if place(version) >= place(since) {
        return Ok(());
    }
    let details = format!("{command} came with version {since}, and the configuration is of {version}");
    Err(Failure::new(VERSION, format!("config version does not allow {command}"), details).in_version(version))
}
