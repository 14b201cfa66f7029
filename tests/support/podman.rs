//! Containers of podman in namespaces that stand for a node, set up with bridge, host-local and
//! `mesh-cni`.
#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{example, needs_root, say};

/// A node with podman, whose files are all in one folder.
#[derive(Debug)]
pub struct Node {
    pub folder: tempfile::TempDir,
}

impl Node {
    pub fn new() -> Node {
        let folder = tempfile::tempdir().expect("a folder");
        let node = Node { folder };
        let at = |name: &str| node.folder.path().join(name);
        for name in ["plug", "net.d", "img/bin", "root", "run", "ipam"] {
            fs::create_dir_all(at(name)).expect("a folder");
        }
        fs::copy(example("mesh-cni"), at("plug/mesh-cni")).expect("it is there");
        fs::copy("/usr/bin/busybox", at("img/bin/busybox"))
            .or_else(|_| fs::copy("/bin/busybox", at("img/bin/busybox")))
            .expect("it is there");
        for name in ["sh", "sleep", "httpd", "timeout", "wget"] {
            symlink("busybox", at("img/bin").join(name)).expect("a link");
        }
        let path = node.folder.path().display();
        let config = format!(
            "[network]\nnetwork_backend=\"cni\"\ncni_plugin_dirs=[\"/usr/lib/cni\",\"{path}/plug\"]\n\
             network_config_dir=\"{path}/net.d\"\ndefault_network=\"podnet\"\n[containers]\n\
             default_ulimits=[\"nofile=512:512\",\"nproc=512:512\"]\n[engine]\ncgroup_manager=\"cgroupfs\"\n\
             events_logger=\"file\"\nruntime=\"runc\"\n"
        );
        fs::write(at("node.conf"), config).expect("written");
        node
    }

    /// Writes the configuration of the network, with these options of the mesh.
    pub fn network(&self, options: &Value) {
        let bridge = json!({
            "type": "bridge", "bridge": "br9", "isGateway": true,
            "ipam": {"type": "host-local", "dataDir": self.folder.path().join("ipam"),
                     "ranges": [[{"subnet": "10.88.9.0/24"}], [{"subnet": "fd88:9::/64"}]],
                     "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]},
        });
        let mesh = json!({"type": "mesh-cni", "mesh": "istio", "options": options});
        let list = json!({"cniVersion": "0.4.0", "name": "podnet", "plugins": [bridge, mesh]});
        fs::write(self.folder.path().join("net.d/87-podnet.conflist"), list.to_string()).expect("written");
    }

    /// Returns whether podman can run a container without a network; prints SKIP and why if not.
    pub fn runs_containers(&self) -> bool {
        let alone = self.run("$P run --rm --network none img /bin/sleep 0");
        if !alone.status.success() {
            let why = String::from_utf8_lossy(&alone.stderr).trim().replace('\n', ": ");
            say(format_args!("SKIP: containers: podman runs none here, even without a network: {why}"));
        }
        alone.status.success()
    }

    /// Runs a script in namespaces that stand for the node; `$P` is podman.
    pub fn run(&self, script: &str) -> Output {
        let path = self.folder.path().display();
        let whole = format!(
            "set -e; mount --make-rprivate /; mount -t tmpfs tmpfs /run; mkdir -p /run/netns; ip link set lo up; cd {path}
             export CONTAINERS_CONF={path}/node.conf
             P='podman --root {path}/root --runroot {path}/run --storage-driver vfs --cgroup-manager cgroupfs'
             # Twice: a container whose namespace others share is removed after them.
             trap '$P rm -f -t 0 -a >/dev/null 2>&1 || $P rm -f -t 0 -a >/dev/null 2>&1' EXIT
             tar c -C img . | $P import -q - img >/dev/null
             {script}"
        );
        let path = "/usr/sbin:/usr/bin:/sbin:/bin";
        Command::new("unshare").args(["-n", "-m", "sh", "-c", &whole]).env("PATH", path).output().expect("it starts")
    }
}

/// Returns whether there is all that podman needs; says so where there is not.
#[must_use]
pub fn can_run() -> bool {
    let exists = |paths: &[&str]| paths.iter().any(|path| Path::new(path).exists());
    let missing = [
        ("podman", exists(&["/usr/bin/podman"])),
        ("runc", exists(&["/usr/sbin/runc", "/usr/bin/runc"])),
        ("CNI's plugins", exists(&["/usr/lib/cni/bridge"])),
        ("busybox", exists(&["/usr/bin/busybox", "/bin/busybox"])),
        ("cgroups", exists(&["/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/pids"])),
    ];
    match missing.iter().find(|(_, is_there)| !is_there) {
        Some((what, _)) => say(format!("SKIP: containers: there is no {what} (sh scripts/setup.sh test installs it)")),
        None => return needs_root(),
    }
    false
}
