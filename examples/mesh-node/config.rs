//! The configuration: which namespace has which rules.

use std::fs;
use std::path::Path;

use nftmesh::Escaped;

use super::common::source::Complaint;
use super::common::tenants::{Tenant, WORDS};

/// What is wanted in a namespace.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// A mesh with these options.
    Mesh(Tenant),
    /// It is left alone.
    Nothing,
}

/// Patterns and what belongs to them; the first that fits counts.
#[derive(Clone, Debug)]
pub(crate) struct Config(Vec<(String, Wanted)>);

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self, Complaint> {
        let name = Escaped::new(path);
        let text = fs::read_to_string(path).map_err(|why| format!("{name}: {why}; give a file of text"))?;
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |why: String| format!("{name}: line {number}: {why}");
            let Some((pattern, wanted)) = line.split_once(char::is_whitespace) else {
                return Err(at(
                    "only a name; add istio:WORDS, linkerd:WORDS, kuma:WORDS, ambient:WORDS or none".to_owned()
                ));
            };
            if pattern.trim_end_matches('*').contains('*') {
                return Err(at("* is only known at the end of a name".to_owned()));
            }
            let wanted = match wanted.trim() {
                "none" => Wanted::Nothing,
                words => match words.split_once(':').and_then(|(mesh, words)| Tenant::parse(mesh, words)) {
                    Some(tenant) => Wanted::Mesh(tenant.map_err(at)?),
                    None => return Err(at(format!("{words:?}; give {WORDS}, without the quotes, or none"))),
                },
            };
            entries.push((pattern.to_owned(), wanted));
        }
        if entries.is_empty() {
            return Err(format!("{name}: it has no line; add one such as: * istio:-i '*' -b '*'"));
        }
        Ok(Config(entries))
    }

    /// Returns the number of lines that say something.
    pub(crate) fn lines(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the namespace with this path is that of an ambient pod.
    pub(crate) fn is_ambient(&self, path: &Path) -> bool {
        matches!(self.wanted(path), Some(Wanted::Mesh(Tenant::Ambient(_))))
    }

    /// Returns what is wanted in the namespace with this path.
    pub(crate) fn wanted(&self, path: &Path) -> Option<&Wanted> {
        let whole = path.to_string_lossy();
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start) || whole.starts_with(start),
            None => name == pattern || whole == pattern,
        };
        self.0.iter().find(|(pattern, _)| fits(pattern)).map(|(_, wanted)| wanted)
    }
}
