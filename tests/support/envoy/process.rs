//! Where Envoy is, and running ones.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::{env, fs};

use rustix::io::{FdFlags, fcntl_setfd};

use super::config::Mode;
use crate::support::patience::comes_true;
use crate::support::{NetNs, command, say};

/// Returns the path of Envoy; `None` after a printed SKIP. That is never a failure: Envoy is not
/// part of the crate, and only `make e2e` insists on it.
#[must_use]
pub fn path() -> Option<&'static Path> {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PATH.get_or_init(|| {
        let test = env::current_exe().expect("a running program has a path");
        let named = env::var_os("NFTMESH_ENVOY").map(PathBuf::from);
        let installed = test.ancestors().map(|folder| folder.join(INSTALLED));
        named.into_iter().chain(installed).find(|path| path.is_file())
    });
    if found.is_none() {
        say("SKIP: there is no Envoy (make e2e installs it, or NFTMESH_ENVOY names it)");
    }
    found.as_deref()
}

/// Where `scripts/setup.sh e2e` puts it, in the target folder.
const INSTALLED: &str = "envoy/envoy/_bin/envoy";

/// Returns false, after a printed SKIP, without Envoy or without root, which runs as several users.
#[must_use]
pub fn needs_envoy() -> bool {
    path().is_some() && crate::support::needs_root()
}

/// A running Envoy; it ends with this value.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    folder: PathBuf,
}

impl Envoy {
    /// Starts Envoy in a namespace with `config.json` of a folder, and waits until it listens.
    #[track_caller]
    pub fn start(namespace: &NetNs, folder: &Path, mode: Mode) -> Envoy {
        let envoy = Envoy::start_at_once(namespace, folder, mode);
        assert!(comes_true(|| envoy.listens()), "Envoy does not listen:\n{}", envoy.complaints());
        envoy
    }

    /// Starts Envoy, which listens some time later.
    pub fn start_at_once(namespace: &NetNs, folder: &Path, mode: Mode) -> Envoy {
        let file = |name: &str| folder.join(name);
        drop(fs::remove_file(file("admin")));
        let stderr = File::options().create(true).append(true).open(file("stderr")).expect("a file can be made");
        let [uid, gid] = mode.owner();
        let mut command = command("setpriv");
        command.args(["--reuid", uid, "--regid", gid, "--clear-groups", "--"]).arg(runnable());
        command.arg("-c").arg(file("config.json"));
        command.args(["--disable-hot-restart", "--concurrency", "1", "--file-flush-interval-msec", "20", "-l", "warn"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = namespace.run(|| command.spawn()).expect("setpriv is part of every Linux system");
        Envoy { child, folder: folder.to_owned() }
    }

    /// Returns whether its listeners accept connections.
    pub fn listens(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut admin = UnixStream::connect(self.folder.join("admin"))?;
            admin
                .write_all(b"GET /stats?filter=workers_started HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            admin.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.contains("workers_started: 1"))
    }

    /// What it printed.
    pub fn complaints(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// Ends it so that it writes what it has to log.
    #[track_caller]
    pub fn end(mut self) {
        crate::support::succeed("kill", &format!("-TERM {}", self.child.id()), "");
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "Envoy: {status}\n{}", self.complaints());
    }
}

/// Kills it.
impl Drop for Envoy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns a path by which any user can run Envoy: folders on the way to it may be closed, which
/// matters not to a descriptor that children inherit.
fn runnable() -> &'static Path {
    static RUNNABLE: OnceLock<PathBuf> = OnceLock::new();
    RUNNABLE.get_or_init(|| {
        let path = path().expect("tests ask for it first");
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fcntl_setfd(&file, FdFlags::empty()).expect("an open descriptor has flags");
        PathBuf::from(format!("/proc/self/fd/{}", file.into_raw_fd()))
    })
}
