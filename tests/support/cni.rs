//! Calls of the example `mesh-cni` as a runtime makes them, and pods to call it for.
#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::support::{NetNs, example, ip};

/// What a call answered.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub printed: String,
    pub log: String,
}

impl Answer {
    /// Returns the error, which is all that was printed.
    #[track_caller]
    pub fn error(&self) -> (u64, String) {
        assert_eq!(self.code, Some(1), "{self:?}");
        let error: Value = serde_json::from_str(&self.printed).expect("an object");
        let text = |key: &str| error.get(key).and_then(Value::as_str).expect("a text").to_owned();
        assert!(!text("cniVersion").is_empty());
        let line = format!("{}: {}", text("msg"), text("details"));
        assert_eq!(line.lines().count(), 1, "{line}");
        (error.get("code").and_then(Value::as_u64).expect("a number"), line)
    }

    #[track_caller]
    pub fn succeeds(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.printed
    }
}

pub fn path_of(pod: &NetNs) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), pod.file.as_raw_fd())
}

pub fn start(program: &Path, command: &str, netns: &str, more: &[(&str, &str)], input: &str) -> Child {
    let mut call = Command::new(program);
    call.env_clear().env("CNI_COMMAND", command).env("CNI_NETNS", netns);
    call.env("CNI_CONTAINERID", "c1").env("CNI_IFNAME", "eth0").env("CNI_PATH", "/usr/lib/cni");
    call.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(more.iter().copied());
    let mut child = call
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|why| panic!("{}: {why}", program.display()));
    // A program that does not read it ends early.
    drop(child.stdin.take().expect("a pipe").write_all(input.as_bytes()));
    child
}

pub fn end(child: Child) -> Answer {
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Answer { code: output.status.code(), printed: text(output.stdout), log: text(output.stderr) }
}

pub fn call_with(command: &str, netns: &str, more: &[(&str, &str)], input: &str) -> Answer {
    end(start(&example("mesh-cni"), command, netns, more, input))
}

/// A pod with an address.
pub fn pod() -> NetNs {
    let pod = NetNs::fresh();
    pod.run(|| {
        ip("link add eth0 type veth peer name peer");
        ip("addr add 10.88.0.2/16 dev eth0");
        ip("link set eth0 up");
    });
    pod
}
