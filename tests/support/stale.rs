//! Detects programs that are older than their sources.
//!
//! `cargo test` builds the examples, `cargo test --test NAME` does not: it would run those of an
//! earlier build, and pass or fail for outdated code.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Returns a source that changed after the program was built from it.
///
/// Cargo writes the sources of `PROFILE/examples/NAME` to `NAME.d` beside it, those of the library
/// included. Missing files are ignored, as on another machine to which the program was copied.
pub fn newer_source(program: &Path) -> Option<PathBuf> {
    let built = fs::metadata(program).and_then(|metadata| metadata.modified()).ok()?;
    let listed = fs::read_to_string(program.with_extension("d")).ok()?;
    let (_, sources) = listed.lines().next()?.split_once(": ")?;
    // A space in a name is escaped, as make wants it.
    let sources = sources.replace("\\ ", "\0");
    let mut sources = sources.split(' ').map(|source| PathBuf::from(source.replace('\0', " ")));
    sources.find(|source| {
        let changed = File::open(source).and_then(|file| file.metadata()?.modified());
        changed.is_ok_and(|changed| changed > built)
    })
}
