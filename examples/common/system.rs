//! What a text of nft names outside of itself, looked up as nft does: services, interfaces, users,
//! groups and files of this system.

use std::fs;
use std::path::{Path, PathBuf};

use nftmesh::Escaped;
use nftmesh::kernel::NetNs;
use nftmesh::text::{Reader, Resolve, WellKnown};

/// This system, and the interfaces of a network namespace.
#[derive(Debug, Default)]
pub struct System {
    /// The namespace; without one, interfaces have no names.
    pub namespace: Option<NetNs>,
}

impl System {
    /// Returns the text of a file, or of standard input for `-`, and its name in errors.
    pub fn read(path: &Path) -> Result<(String, Vec<u8>), String> {
        if path == Path::new("-") {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin(), &mut text)
                .map_err(|why| format!("standard input: {why}"))?;
            return Ok(("standard input".to_owned(), text));
        }
        let name = path.display().to_string();
        let text = fs::read(path).map_err(|why| format!("{}: {why}", Escaped::new(path)))?;
        Ok((name, text))
    }

    /// Returns a reader that asks this system.
    pub fn reader(&self, name: &str) -> Reader<'_> {
        Reader::new().named(name).resolver(self)
    }
}

impl Resolve for System {
    fn service(&self, name: &str) -> Option<u16> {
        let in_file = named("/etc/services", name).and_then(|line| line.get(1)?.split('/').next()?.parse().ok());
        in_file.or_else(|| WellKnown.service(name))
    }

    fn interface(&self, name: &str) -> Option<u32> {
        match &self.namespace {
            Some(namespace) => namespace.interface(name).ok(),
            None => WellKnown.interface(name),
        }
    }

    fn user(&self, name: &str) -> Option<u32> {
        id("/etc/passwd", name)
    }

    fn group(&self, name: &str) -> Option<u32> {
        id("/etc/group", name)
    }

    fn include(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        let mut files = Vec::new();
        for file in matching(Path::new(path))? {
            let text = fs::read_to_string(&file).map_err(|why| format!("{}: {why}", Escaped::new(&file)))?;
            files.push((file.display().to_string(), text));
        }
        Ok(files)
    }
}

/// Returns the words of the line that begins with this word or has it as another name.
fn named(file: &str, name: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(file).ok()?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut lines = lines.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    lines.find(|words| words.iter().enumerate().any(|(index, word)| index != 1 && word == name))
}

fn id(file: &str, name: &str) -> Option<u32> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// Returns the file, or those that a pattern with `*` in its last part matches, in the order of
/// their names; like nft, none whose name begins with a dot.
fn matching(path: &Path) -> Result<Vec<PathBuf>, String> {
    let pattern = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !pattern.contains('*') {
        return Ok(vec![path.to_owned()]);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).map_err(|why| format!("{}: {why}", Escaped::new(folder)))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            !name.starts_with('.') && matches(&pattern, &name) && file.is_file()
        })
        .collect();
    files.sort();
    Ok(files)
}

/// Returns whether a name fits a pattern of plain parts and `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}
