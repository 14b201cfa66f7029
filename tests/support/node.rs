//! The example `mesh-node` over pods that are links in a folder.
#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;

use super::support::running::Running;
use super::support::{NetNs, nft};

/// A node: a folder with its configuration and its namespaces.
pub struct Node {
    pub folder: TempDir,
    pub pods: PathBuf,
}

impl Node {
    pub fn new(config: &str) -> Node {
        let folder = tempfile::tempdir().expect("a folder");
        let pods = folder.path().join("pods");
        fs::create_dir(&pods).expect("a folder");
        fs::write(folder.path().join("config"), config).expect("written");
        Node { folder, pods }
    }

    /// Adds a pod by this name.
    pub fn pod(&self, name: &str) -> NetNs {
        let pod = NetNs::fresh();
        symlink(path_of(&pod), self.pods.join(name)).expect("a link");
        pod
    }

    pub fn start(&self, more: &[&str]) -> Running {
        let (config, pods) = (self.folder.path().join("config"), self.pods.clone());
        let (config, pods) = (config.to_string_lossy().into_owned(), pods.to_string_lossy().into_owned());
        let words = ["--config", &config, "--directory", &pods];
        Running::start("mesh-node", &[&words, more].concat(), Stdio::null())
    }
}

/// Returns a path by which other processes find it.
pub fn path_of(pod: &NetNs) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), pod.file.as_raw_fd()).into()
}

pub fn tables(pod: &NetNs) -> String {
    pod.run(|| nft("list tables"))
}
