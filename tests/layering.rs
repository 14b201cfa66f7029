//! Enforces the order of the modules: what a room may use is written here, and nowhere else.
//!
//! Every path that begins with `crate::` counts, in `use` lines and elsewhere. Comments do not, nor
//! do unit tests: code after `mod tests` in a file, files named `tests.rs`, and `testing.rs`, which
//! they share.

use std::fs;
use std::path::Path;

/// A room of src/, or a part of one (the longest prefix wins), and the rooms that it may use
/// besides itself.
const MAY_USE: &[(&str, &str)] = &[
    (
        "lib",
        "error fuzz model attr bytecode validate render state xt sim plan text json netlink sys kernel import mesh routes proxy prelude pod",
    ),
    ("pages", ""),
    ("prelude", "error model bytecode state plan kernel pod"),
    ("error", ""),
    ("model", "error"),
    ("attr", ""),
    ("import", "error model bytecode xt"),
    ("routes", "error model"),
    ("mesh", "error model routes"),
    ("bytecode", "error attr model"),
    ("validate", "error model bytecode"),
    ("render", "error model bytecode"),
    ("state", "attr model bytecode validate render"),
    ("plan", "error attr model bytecode validate render state"),
    ("text", "error model bytecode render plan state"),
    ("json", "error model bytecode render state plan text"),
    ("xt", "error attr model bytecode"),
    ("sim", "error attr model bytecode render state xt"),
    ("sys", "error"),
    ("netlink", "error attr model bytecode render state plan sys"),
    ("kernel", "error attr model bytecode validate render sim state plan netlink sys routes"),
    ("pod", "error attr model bytecode render xt state plan netlink sys mesh routes kernel"),
    ("proxy", "error sys"),
    ("fuzz", "error attr model bytecode validate render state sim plan text json netlink mesh routes import kernel"),
];

#[test]
fn every_module_uses_only_what_is_below_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut complaints = Vec::new();
    for_each_file(&src, &mut |path| {
        let text = fs::read_to_string(path).expect("a source file is readable text");
        let name = path.strip_prefix(&src).expect("below src").with_extension("");
        if !name.iter().any(|part| part == "tests" || part == "testing") {
            complaints.extend(violations(&name.to_string_lossy(), &text));
        }
    });
    assert!(complaints.is_empty(), "{}\nThe table is in tests/layering.rs.", complaints.join("\n"));
}

#[test]
fn a_made_up_violation_is_found() {
    let cases = [
        ("model/rule", "use crate::netlink::encode;", 1),
        ("model/rule", "use crate::{error::Error, kernel::{Kernel, Watch}, model::Chain};", 1),
        ("model/rule", "use crate::{\n    error::Error,\n    plan::Transaction,\n    sim,\n};", 2),
        ("model/rule", "fn f() -> crate::kernel::Kernel {}", 1),
        ("model/rule", "/// See [`crate::kernel`].\nuse crate::error::Error; // not crate::kernel", 0),
        ("model/rule", "use super::chain;\n#[cfg(test)]\nmod tests { use crate::kernel; }", 0),
        ("kernel/watch", "use crate::mesh::istio;", 1),
        ("pod/report", "use crate::mesh::istio;", 0),
        ("sim/walk", "use crate::sys::Socket;", 1),
        ("mesh/istio", "use crate::Result;", 0),
        ("error", "use crate::Ruleset;", 1),
        ("simulator", "", 1),
    ];
    for (module, text, expected) in cases {
        let found = violations(module, text);
        assert_eq!(found.len(), expected, "{module}: {text}\n{found:?}");
    }
}

fn violations(module: &str, text: &str) -> Vec<String> {
    let own = module.split('/').next().unwrap_or_default();
    let is_owner = |room: &str| room == own || (room.contains('/') && module.starts_with(room));
    let owner = MAY_USE.iter().filter(|(room, _)| is_owner(room)).max_by_key(|(room, _)| room.len());
    let Some((_, allowed)) = owner else { return vec![format!("src/{module}.rs: this room is not in the table")] };
    let lines: Vec<_> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = lines.join("\n");
    let code = code.split("\nmod tests").next().unwrap_or_default();
    let used = code.split("crate::").skip(1).flat_map(first_names);
    // The crate's face re-exports these four of `error`; every other name of the face hides its
    // room.
    let used =
        used.map(
            |name| {
                if ["Error", "ErrorKind", "Refusal", "Result"].contains(&&*name) { "error".to_owned() } else { name }
            },
        );
    let foreign = used.filter(|name| name != own && !allowed.split(' ').any(|room| room == name));
    foreign.map(|name| format!("src/{module}.rs: may not use crate::{name}")).collect()
}

/// Returns `a` for `a::b`, and `a`, `c` and `f` for `{a::b, c::{d, e}, f}`.
fn first_names(path: &str) -> Vec<String> {
    let name = |part: &str| part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names) = (0, vec![String::new()]);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            _ if depth == 0 => names.last_mut().expect("begins with one").push(c),
            _ => {}
        }
    }
    names.iter().map(|part| name(part)).filter(|part| !part.is_empty()).collect()
}

fn for_each_file(dir: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(dir).expect("src is a directory") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            for_each_file(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            visit(&path);
        }
    }
}
