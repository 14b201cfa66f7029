//! A CNI plugin, chained behind the one that makes a pod's interface: it installs a mesh's
//! rules in the pod's network namespace from outside, so that the pod needs no privileged init
//! container.
//!
//! ```json
//! {"cniVersion": "1.0.0", "name": "podnet", "plugins": [
//!   {"type": "bridge", "bridge": "br0", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]]}},
//!   {"type": "mesh-cni", "mesh": "istio", "options": {"istio-service-cidr": "*", "istio-inbound-ports": "*"},
//!    "exclude_namespaces": ["kube-system"]}]}
//! ```
//! It speaks versions 0.3.0 to 1.1.0 of the protocol, starts no processes, logs only to standard
//! error or to the file that `log_file` names, and never touches the namespace that it runs in.
//! `mesh-cni --check FILE` checks such a file. Specification:
//! <https://www.cni.dev/docs/spec/>.

mod ambient;
mod commands;
mod config;
mod environment;
mod failure;
mod istio;
mod kuma;
mod linkerd;
mod mesh;
mod pod;
mod version;

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use environment::Environment;
use failure::Failure;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let [flag, file] = arguments.as_slice() {
        if flag == "--check" {
            return check(Path::new(file));
        }
    }
    if std::env::var_os("CNI_COMMAND").is_none() {
        eprintln!("mesh-cni: a container runtime starts this with CNI_COMMAND; to check a file, give --check FILE");
        return ExitCode::FAILURE;
    }
    let (printed, code) = match answer() {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(failure) => (failure.to_json(), ExitCode::FAILURE),
    };
    // A runtime that does not read the answer has no use for an error either.
    drop(std::io::stdout().lock().write_all(printed.as_bytes()));
    code
}

fn answer() -> Result<String, Failure> {
    let environment = Environment::read()?;
    let mut input = Vec::new();
    // More than any runtime sends; a limit, since the memory is the node's.
    std::io::stdin()
        .lock()
        .take(LONGEST + 1)
        .read_to_end(&mut input)
        .map_err(|why| Failure::new(failure::IO, "standard input cannot be read", why))?;
    if input.len() as u64 > LONGEST {
        return Err(Failure::new(
            failure::DECODE,
            "the configuration is too long",
            format!("give at most {LONGEST} bytes"),
        ));
    }
    commands::run(&environment, &input)
}

fn check(file: &Path) -> ExitCode {
    match config::check(file) {
        Ok(found) => {
            println!("{found} entries of mesh-cni, no errors");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("mesh-cni: {why}");
            ExitCode::FAILURE
        }
    }
}

const LONGEST: u64 = 16 << 20;
