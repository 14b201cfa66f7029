//! Keeps the Istio sidecar's rules in this pod in place: installs them, watches, and restores what
//! others change.
//!
//! ```text
//! guard -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020
//! guard: "nft" (pid 4711) made generation 12:
//!   delete rule ip istio-proxy-nat istio-output counter packets 0 bytes 0 return # handle 9
//! guard: restored after 4.1 ms
//! ```
//! It takes the same flags and variables as `istio-init`, runs until SIGTERM or SIGINT, and leaves
//! the rules installed. Exit codes: 0 stopped by a signal, 1 error.
//!
//! A deleted table is added whole as soon as the kernel reports it, without reading anything
//! first. Where capture may be missing otherwise, it is restored at once, as often as another
//! program changes it; if that program undoes the repair faster than it is made, the next one
//! waits as long as the last took, at most 50 ms. Harmless differences, such as a chain that
//! nothing leads to, are collected first, and wait longer and longer while another program repeats
//! them, up to some seconds. Routes are treated like rules.
//!
//! A second guard in the same network namespace, or any program that wants to install something
//! else there, is refused while this one runs.

mod common;
#[path = "common/drift.rs"]
mod drift;
#[path = "common/keeper.rs"]
mod keeper;
#[path = "common/pace.rs"]
mod pace;

use std::error::Error;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use common::containers::{EXCLUDE, INCLUDE, limited};
use common::duration::duration;
use common::run::{RunMode, RunOptions};
use common::{Own, drop_in, say};
use keeper::{Keeper, Note};
use nftmesh::kernel::NetNs;
use nftmesh::mesh::istio::{IstioConfig, RawOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn main() -> ExitCode {
    let outcome =
        common::options("guard", "Keeps the Istio sidecar's rules in this pod in place", OURS).and_then(|options| {
            let Some((options, matches)) = options else { return Ok(()) };
            run(&options, &matches)
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::complain("guard", error);
            ExitCode::FAILURE
        }
    }
}

fn run(options: &RawOptions, matches: &ArgMatches) -> Result<(), Box<dyn Error>> {
    let run = RunOptions::resolve(matches)?;
    run.warnings.iter().for_each(|warning| say::warn("guard", warning));
    if run.mode != RunMode::Apply || run.dry_run {
        return Err("there is nothing to keep in place with --cleanup-only, --skip-rule-apply or --dry-run".into());
    }
    let stop = stop_signals()?;
    if drop_in::captures_nothing(options) {
        return Err("there is nothing to keep in place with interception mode NONE".into());
    }
    let namespace = drop_in::namespace(&run)?.map_or_else(NetNs::current, Ok)?;
    let mut pod = namespace.pod()?;
    // Two guards with different configurations would undo each other's work forever.
    pod.hold()?;
    let config = IstioConfig::resolve(options, &pod.facts(options)?)?;
    config.warnings().iter().for_each(|warning| say::warn("guard", warning));
    let given = |(name, _): (&str, &str)| matches.get_one::<String>(name).map(String::as_str);
    let mesh = limited(Arc::new(config), given(EXCLUDE), given(INCLUDE))?;
    let hold = match given(HOLD).map(|text| (text, duration(text))) {
        None => None,
        Some((_, Some(time))) => Some(time),
        Some((text, None)) => return Err(format!("--hold {text:?}: no duration; give one such as 30s").into()),
    };
    let (mut keeper, changes) = Keeper::new(namespace, pod, mesh, hold)?;
    say(&changes.to_string());
    let mut talk = Talk::default();
    keeper.turn()?.iter().for_each(|note| talk.note(note));
    say("guard: watching\n");
    watch(&mut keeper, &mut talk, &stop)
}

fn watch(keeper: &mut Keeper, talk: &mut Talk, stop: &UnixStream) -> Result<(), Box<dyn Error>> {
    let mut look_at_others = Instant::now() + OTHERS_EVERY;
    loop {
        let until = keeper.due().map_or(look_at_others, |due| due.min(look_at_others));
        if wait([&keeper.watch, &keeper.route_watch], stop, until)? == Woken::ToStop {
            say("guard: stopping; the rules stay\n");
            return Ok(());
        }
        if Instant::now() >= look_at_others {
            keeper.see_others();
            look_at_others = Instant::now() + OTHERS_EVERY;
        }
        keeper.turn()?.iter().for_each(|note| talk.note(note));
        talk.catch_up();
    }
}

/// Prints up to a limit per second, and then how much was left out.
#[derive(Default)]
struct Talk {
    since: Option<Instant>,
    printed: usize,
    omitted: usize,
}

impl Talk {
    fn note(&mut self, note: &Note) {
        match note {
            Note::Changed(report) => self.say(&format!("guard: {report}")),
            Note::Failed(why) => self.say(&format!("guard: {why}\n")),
            Note::LetGo(line) => say(&format!("guard: {line}\n")),
            Note::Others(line) => say(&format!("guard: {line}\n")),
            Note::Restored(None) => self.say("guard: nothing had to be restored\n"),
            Note::Restored(Some(took)) => self.say(&format!("guard: restored after {took:.1} ms\n")),
        }
    }

    fn say(&mut self, text: &str) {
        self.catch_up();
        self.since.get_or_insert_with(Instant::now);
        if self.printed < MOST_LINES {
            self.printed += 1;
            say(text);
        } else {
            self.omitted += 1;
        }
    }

    fn catch_up(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= SECOND) {
            let Talk { omitted, .. } = std::mem::take(self);
            if omitted > 0 {
                say(&format!("guard: {omitted} more messages of the last second are left out\n"));
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Woken {
    ToSee,
    ToStop,
}

/// Waits until there are events, the time has come, or a signal arrived.
fn wait(watched: [&dyn AsFd; 2], stop: &UnixStream, until: Instant) -> Result<Woken, Box<dyn Error>> {
    // Rounded up, or the last fraction of a millisecond is spent polling.
    let left = until.saturating_duration_since(Instant::now()) + Duration::from_micros(100);
    let [rules, routes] = watched.map(|watched| PollFd::from_borrowed_fd(watched.as_fd(), PollFlags::IN));
    let mut fds = [rules, routes, PollFd::new(stop, PollFlags::IN)];
    match poll(&mut fds, Some(&Timespec::try_from(left)?)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let [.., stopped] = fds;
    Ok(if stopped.revents().is_empty() { Woken::ToSee } else { Woken::ToStop })
}

/// Becomes readable with the first SIGTERM or SIGINT.
fn stop_signals() -> std::io::Result<UnixStream> {
    let (readable, signalled) = UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, signalled.try_clone()?)?;
    }
    Ok(readable)
}

/// Prints a text; it does not matter to the guard whether it is read.
fn say(text: &str) {
    drop(say::tell("guard", text));
}

const OURS: Own = Own { switches: &[], values: &[HOLD, EXCLUDE, INCLUDE] };
const HOLD: (&str, &str) =
    ("hold", "until the proxy listens, but no longer than this, outbound connections wait instead of being refused");
/// The most lines printed in one second.
const MOST_LINES: usize = 40;
const SECOND: Duration = Duration::from_secs(1);
const OTHERS_EVERY: Duration = Duration::from_secs(1);
