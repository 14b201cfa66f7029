//! What a text of nft names outside of itself, looked up as nft does: services, interfaces, users,
//! groups and files of this system.

use std::cell::OnceCell;
use std::collections::HashMap;
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
    /// The ports of services by name, once one was asked for.
    services: OnceCell<HashMap<String, u16>>,
}

impl System {
    /// Creates one with the interfaces of a namespace.
    pub fn new(namespace: Option<NetNs>) -> Self {
        System { namespace, services: OnceCell::new() }
    }
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
        let known = self.services.get_or_init(services);
        known.get(name).copied().or_else(|| WellKnown.service(name))
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

    fn cgroup(&self, path: &str) -> Option<u64> {
        let path = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
        fs::metadata(path).ok().map(|folder| std::os::unix::fs::MetadataExt::ino(&folder))
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

/// Returns the ports of /etc/services by all of their names; the first of a name counts.
fn services() -> HashMap<String, u16> {
    let text = fs::read_to_string("/etc/services").unwrap_or_default();
    let mut ports = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
        let Some(port) = port.split('/').next().and_then(|port| port.parse().ok()) else { continue };
        for name in std::iter::once(name).chain(words) {
            ports.entry(name.to_owned()).or_insert(port);
        }
    }
    ports
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
