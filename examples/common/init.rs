//! What the init programs of meshes do with a configuration: install it, print it, compare it with
//! what is there, or remove it.

use std::path::Path;
use std::process::ExitCode;

use nftmesh::kernel::NetNs;
use nftmesh::mesh::Mesh;
use nftmesh::pod::{Leftovers, Pod};

use super::say;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Install,
    /// Print what would change.
    Plan,
    /// Print the rules and routes.
    Print,
    Remove,
    /// Report what differs.
    Verify,
}

/// Switches of our own that select a mode, and their descriptions.
pub const SWITCHES: &[(&str, &str)] = &[
    ("plan", "print what would change and change nothing; exit 3 if anything would"),
    ("verify", "the same as a check: exit 3 if anything is not as wanted"),
    ("remove", "remove what this program installed"),
    (MIGRATE, "also remove what the original program left behind, in the same transaction"),
];

/// The switches that were given.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    pub mode: Mode,
    pub leftovers: Leftovers,
}

impl Given {
    /// Takes the switches of our own out of the arguments.
    pub fn take(arguments: &mut Vec<String>) -> Result<Self, String> {
        let mut own = |name: &str| {
            let before = arguments.len();
            arguments.retain(|argument| argument.strip_prefix("--") != Some(name));
            arguments.len() < before
        };
        let leftovers = if own(MIGRATE) { Leftovers::Remove } else { Leftovers::Keep };
        let modes = [("plan", Mode::Plan), ("verify", Mode::Verify), ("remove", Mode::Remove)];
        let given: Vec<(&str, Mode)> = modes.into_iter().filter(|(name, _)| own(name)).collect();
        match given.as_slice() {
            [] => Ok(Given { mode: Mode::Install, leftovers }),
            [(_, mode)] => Ok(Given { mode: *mode, leftovers }),
            [(one, _), (other, _), ..] => Err(format!("--{one} and --{other}: give one of them")),
        }
    }
}

/// Does that in a network namespace; returns the exit code.
pub fn run(program: &str, mesh: &dyn Mesh, given: Given, namespace: &NetNs) -> Result<ExitCode, String> {
    let Given { mode, leftovers } = given;
    if mode != Mode::Remove {
        mesh.warnings().iter().for_each(|warning| say::warn(program, warning));
    }
    if mode == Mode::Print {
        let routes = mesh.routes().to_string();
        let routes: String = routes.lines().map(|line| format!("# {line}\n")).collect();
        return print(program, &format!("{}{routes}", mesh.rules()));
    }
    let mut pod = namespace.pod().map_err(line)?;
    match mode {
        Mode::Install => {
            pod.legacy().iter().for_each(|advice| say::warn(program, advice));
            let changes = pod.install_over(mesh, leftovers).map_err(line)?;
            print(program, &changes.to_string())?;
            changes.precedence.lines().for_each(|line| say::warn(program, line));
            if leftovers == Leftovers::Keep {
                warn_of_leftovers(program, &mut pod, mesh)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Mode::Plan | Mode::Verify => {
            let plan = pod.plan(mesh, leftovers).map_err(line)?;
            if mode == Mode::Plan {
                let remedy = format!("# --{MIGRATE} removes what {} left behind\n", plan.program);
                print(program, &format!("{plan}{}", if plan.leftovers.is_empty() { "" } else { &remedy }))?;
            } else if !plan.is_in_sync() {
                say::complain(program, "not in sync:");
                say::complain_of(program, &plan.to_string());
            } else {
                plan.precedence.lines().for_each(|line| say::warn(program, line));
            }
            Ok(if plan.is_in_sync() { ExitCode::SUCCESS } else { ExitCode::from(NOT_IN_SYNC) })
        }
        Mode::Remove => print(program, &pod.uninstall(mesh).map_err(line)?.to_string()),
        Mode::Print => Ok(ExitCode::SUCCESS),
    }
}

/// Rules of the original program capture too, beside ours.
fn warn_of_leftovers(program: &str, pod: &mut Pod, mesh: &dyn Mesh) -> Result<(), String> {
    let plan = pod.plan(mesh, Leftovers::Keep).map_err(line)?;
    let count = plan.leftovers.len();
    if count > 0 {
        let original = plan.program;
        say::warn(
            program,
            format!("{original} left {count} rules and chains here, which capture too: give --{MIGRATE}"),
        );
    }
    Ok(())
}

/// Reads the arguments of a program.
pub fn arguments() -> Result<Vec<String>, String> {
    let arguments = std::env::args_os().skip(1).map(std::ffi::OsString::into_string);
    arguments.collect::<Result<_, _>>().map_err(|_| "an argument is not UTF-8; give plain text".to_owned())
}

/// Reports why a program ends.
pub fn failed(program: &str, why: impl std::fmt::Display) -> ExitCode {
    say::complain(program, why);
    ExitCode::FAILURE
}

/// Prints a text, line by line.
pub fn print(program: &str, text: &str) -> Result<ExitCode, String> {
    say::tell(program, text).map(|_| ExitCode::SUCCESS).map_err(|error| error.to_string())
}

/// Opens the namespace of a pod; the current one without a path.
pub fn namespace(path: Option<&Path>) -> Result<NetNs, String> {
    path.map_or_else(NetNs::current, NetNs::from_path).map_err(line)
}

/// Returns an error as a line.
pub fn line(error: nftmesh::Error) -> String {
    error.to_string()
}

const MIGRATE: &str = "migrate";
const NOT_IN_SYNC: u8 = 3;
