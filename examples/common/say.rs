//! The output of a program, line by line: as text, or as JSON objects with `--log_as_json`.
//!
//! The lines contain foreign names, paths and comments, so unprintable characters are escaped in
//! both forms. JSON has the fields of Istio's logs: `level`, `time`, `scope` (the program) and
//! `msg`.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use nftmesh::Escaped;

/// The severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Info,
    Warn,
}

/// Prints everything as JSON from now on.
pub fn as_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Reports why the program ends, in one line on standard error.
pub fn complain(program: &str, what: impl Display) {
    on_standard_error(program, Level::Error, what);
}

/// Reports a warning, in one line on standard error.
pub fn warn(program: &str, what: impl Display) {
    on_standard_error(program, Level::Warn, what);
}

/// Prints on standard output, line by line, what was done or would be; returns whether it is still
/// being read.
pub fn tell(program: &str, text: &str) -> io::Result<bool> {
    super::write(&lines(program, Level::Info, text))
}

/// Prints lines on standard error that report what is wrong.
pub fn complain_of(program: &str, text: &str) {
    drop(io::stderr().lock().write_all(lines(program, Level::Error, text).as_bytes()));
}

fn on_standard_error(program: &str, level: Level, what: impl Display) {
    let what = what.to_string();
    let line = match JSON.load(Ordering::Relaxed) {
        true => object(program, level, &what),
        false => format!("{program}: {}\n", Escaped::new(&what)),
    };
    // A failure to write to standard error cannot be reported.
    drop(io::stderr().lock().write_all(line.as_bytes()));
}

fn lines(program: &str, level: Level, text: &str) -> String {
    match JSON.load(Ordering::Relaxed) {
        true => text.lines().map(|line| object(program, level, line)).collect(),
        false => text.lines().map(|line| format!("{}\n", escaped(line))).collect(),
    }
}

fn object(program: &str, level: Level, line: &str) -> String {
    let level = match level {
        Level::Error => "error",
        Level::Info => "info",
        Level::Warn => "warn",
    };
    let time = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    let object = serde_json::json!({ "level": level, "time": time, "scope": program, "msg": escaped(line) });
    format!("{object}\n")
}

/// Escapes everything except the tabs of nft's text and the end of the line.
pub fn escaped(line: &str) -> String {
    let kept = |part: &str| match part.chars().next_back() {
        Some(end @ ('\t' | '\n')) => format!("{}{end}", Escaped::new(part.strip_suffix(end).unwrap_or(part))),
        _ => Escaped::new(part).to_string(),
    };
    line.split_inclusive(['\t', '\n']).map(kept).collect()
}

static JSON: AtomicBool = AtomicBool::new(false);
