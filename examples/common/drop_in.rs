//! The command line of `istio-iptables`: its options from the library's table, and further flags
//! that callers of that program pass and that must be accepted.
//!
//! Sources:
//! <https://istio.io/latest/docs/reference/commands/pilot-agent/#pilot-agent-istio-iptables> of
//! every release since 1.0, and Istio's injection template, which writes `istio-iptables -p 15001
//! -z 15006 ... --log_output_level=default:info --log_as_json`.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};
use nftmesh::kernel::NetNs;
use nftmesh::mesh::istio::{OPTIONS, RawOptions, Takes};

use super::run::{RUN_FLAGS, RunOptions};
use super::{Own, say};

/// A flag of that program that has no effect here.
struct Inert {
    name: &'static str,
    short: Option<char>,
    takes: Takes,
    /// The reason, unless nobody could be misled.
    reason: Option<&'static str>,
}

const INERT: &[Inert] = &[
    // Levels and origins of log lines: there are few lines here, and each matters.
    Inert::silent("log_caller", Takes::Value),
    Inert::silent("log_output_level", Takes::Value),
    Inert::silent("log_stacktrace_level", Takes::Value),
    Inert::silent("vklog", Takes::Value),
    Inert::silent("v", Takes::Value).short('v'),
    Inert::silent("stderrthreshold", Takes::Value),
    Inert::silent("logtostderr", Takes::Switch),
    Inert::silent("alsologtostderr", Takes::Switch),
    Inert::warned("log_target", Takes::Value, STREAMS),
    Inert::warned("log_rotate", Takes::Value, STREAMS),
    Inert::warned("log_rotate_max_age", Takes::Value, STREAMS),
    Inert::warned("log_rotate_max_backups", Takes::Value, STREAMS),
    Inert::warned("log_rotate_max_size", Takes::Value, STREAMS),
    Inert::warned("restore-format", Takes::Switch, "--dry-run prints what nft reads").short('f'),
    Inert::warned("iptables-version", Takes::Value, "no program is run"),
    Inert::warned("host-nsenter-exec", Takes::Switch, "no program is run"),
];

const STREAMS: &str = "lines go to standard output and standard error";

impl Inert {
    const fn silent(name: &'static str, takes: Takes) -> Self {
        Inert { name, short: None, takes, reason: None }
    }

    const fn warned(name: &'static str, takes: Takes, reason: &'static str) -> Self {
        Inert { name, short: None, takes, reason: Some(reason) }
    }

    const fn short(self, short: char) -> Self {
        Inert { short: Some(short), ..self }
    }
}

/// Returns the command: the flags of the library's table of options, those that control how to
/// run, those without effect, the leading word, and the program's own switches.
pub fn command(name: &'static str, about: &'static str, own: Own) -> Command {
    let options = OPTIONS.iter().filter(|option| option.is_flag);
    let flags = options.map(|option| flag(option.name, option.short, option.takes).help(option.help));
    let takes = |is_switch| if is_switch { Takes::Switch } else { Takes::Value };
    let run = RUN_FLAGS.iter().map(|run| flag(run.name, run.short, takes(run.is_switch)).help(run.help));
    let json = flag(AS_JSON, None, Takes::Switch).help("report everything as JSON, one object per line");
    let inert = INERT.iter().map(|inert| flag(inert.name, inert.short, inert.takes).hide(true));
    let switch = |(name, help): &(&'static str, &'static str)| {
        Arg::new(*name).long(*name).help(*help).action(ArgAction::SetTrue)
    };
    let values = own.values.iter().map(|(name, help)| flag(name, None, Takes::Value).help(*help));
    let own = own.switches.iter().map(switch).chain(values).collect::<Vec<_>>();
    let leading = |word: &str| match word {
        WORD => Ok(()),
        _ => Err("not a flag; all arguments but a leading istio-iptables are flags and their values"),
    };
    let word = Arg::new(WORD).value_name("ARGUMENT").value_parser(leading).hide(true);
    Command::new(name)
        .about(about)
        .arg(word)
        .args(flags)
        .args(run)
        .arg(json)
        .args(inert)
        .args(own)
        .args_override_self(true)
}

fn flag(name: &'static str, short: Option<char>, takes: Takes) -> Arg {
    let arg = Arg::new(name).long(name).action(ArgAction::Set);
    let arg = short.map_or(arg.clone(), |short| arg.short(short));
    match takes {
        Takes::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg.num_args(1).allow_hyphen_values(true).value_name("VALUE"),
    }
}

/// Applies the given flags, which override the options.
pub fn with_flags(mut options: RawOptions, matches: &ArgMatches) -> nftmesh::Result<RawOptions> {
    for option in OPTIONS.iter().filter(|option| option.is_flag) {
        if let Some(value) = matches.get_one::<String>(option.name) {
            options.set_flag(&format!("--{}", option.name), value)?;
        }
    }
    Ok(options)
}

/// Returns what was given and has no effect here.
pub fn without_effect(matches: &ArgMatches) -> impl Iterator<Item = String> {
    let given = |inert: &&Inert| matches.contains_id(inert.name);
    INERT
        .iter()
        .filter(given)
        .filter_map(|Inert { name, reason, .. }| Some(format!("--{name}: no effect, {}", (*reason)?)))
}

/// Returns the value of the last `--log_as_json`. It is read before the other flags, so that
/// errors in these have the requested form too.
pub fn wants_json(mut arguments: impl Iterator<Item = OsString>) -> bool {
    let mut wanted = false;
    arguments.try_for_each(|argument| {
        match argument.to_str().and_then(|text| text.strip_prefix("--log_as_json")) {
            Some("" | "=1" | "=t" | "=T" | "=true" | "=TRUE" | "=True") => wanted = true,
            Some(value) if value.starts_with('=') => wanted = false,
            _ => {}
        }
        (argument != "--").then_some(())
    });
    wanted
}

/// Returns whether nothing is to be captured at all. Istio adds no init container to such a pod;
/// if it starts one, that has nothing to do.
pub fn captures_nothing(options: &RawOptions) -> bool {
    options.given("istio-inbound-interception-mode").is_some_and(|(_, mode)| mode.trim() == "NONE")
}

/// Returns the pod's network namespace, if it is not the current one.
///
/// A plugin runs on the node, whose traffic the rules of a pod must never capture.
pub fn namespace(run: &RunOptions) -> Result<Option<NetNs>, String> {
    let line = |error: nftmesh::Error| error.to_string();
    let Some(path) = &run.network_namespace else { return Ok(None) };
    let namespace = NetNs::from_path(path).map_err(line)?;
    match run.cni_mode && namespace.is_current().map_err(line)? {
        true => Err("--network-namespace: that is the namespace this runs in; give the pod's (--cni-mode)".to_owned()),
        false => Ok(Some(namespace)),
    }
}

/// Selects the form of all output that these arguments ask for.
pub fn speak_as_asked() {
    if wants_json(std::env::args_os().skip(1)) {
        say::as_json();
    }
}

const AS_JSON: &str = "log_as_json";
const WORD: &str = "istio-iptables";
