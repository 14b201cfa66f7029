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
#[path = "common/pace.rs"]
mod pace;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use common::run::{RunMode, RunOptions};
use common::{drop_in, say};
use nftmesh::kernel::{NetNs, RouteTable, RouteWatch, Watch};
use nftmesh::mesh::istio::{IstioConfig, RawOptions};
use nftmesh::model::{Ruleset, TableId};
use nftmesh::plan::Transaction;
use nftmesh::pod::{Pod, Precedence};
use nftmesh::routes::RoutePlan;
use nftmesh::state::{Commit, Event};
use pace::{Due, Harm, LONGEST_GAP, Pace};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn main() -> ExitCode {
    let outcome =
        common::options("guard", "Keeps the Istio sidecar's rules in this pod in place", &[]).and_then(|options| {
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
    // Watching starts before installing, so that nothing is missed. The commits of a second socket
    // of this process would count as foreign.
    let mut watch = namespace.watch()?;
    watch.leave_out(pod.kernel())?;
    let (routes, route_watch) = (namespace.routes()?, namespace.route_watch()?);
    let changes = pod.install(&config)?;
    say(&changes.to_string());
    let mut others = Others::default();
    others.tell(&changes.precedence);
    say("guard: watching\n");
    let mut guard = Guard {
        pod,
        watch,
        routes,
        route_watch,
        wanted: Ruleset::from(&config),
        wanted_routes: RoutePlan::from(&config),
        config,
        drift: Drift::default(),
        pace: Pace::default(),
        talk: Talk::default(),
        made_again: None,
        others,
        namespace,
    };
    guard.run(&stop)
}

struct Guard {
    pod: Pod,
    watch: Watch,
    routes: RouteTable,
    route_watch: RouteWatch,
    config: IstioConfig,
    wanted: Ruleset,
    wanted_routes: RoutePlan,
    drift: Drift,
    pace: Pace,
    talk: Talk,
    /// When deleted tables were added again, since the last answer.
    made_again: Option<Instant>,
    others: Others,
    namespace: NetNs,
}

impl Guard {
    fn run(&mut self, stop: &UnixStream) -> Result<(), Box<dyn Error>> {
        let mut look_at_others = Instant::now() + OTHERS_EVERY;
        loop {
            let until = self.pace.due().map_or(look_at_others, |due| due.min(look_at_others));
            if wait([&self.watch, &self.route_watch], stop, until)? == Woken::ToStop {
                say("guard: stopping; the rules stay\n");
                return Ok(());
            }
            self.see()?;
            if self.route_watch.changed()? {
                self.see_routes();
            }
            if Instant::now() >= look_at_others {
                self.see_others();
                look_at_others = Instant::now() + OTHERS_EVERY;
            }
            if let Some(due) = self.pace.take(Instant::now()) {
                self.put_back(due);
            }
            self.talk.catch_up();
        }
    }

    /// Handles queued events, but no longer than until something has to be restored.
    fn see(&mut self) -> nftmesh::Result<()> {
        while self.pace.due().is_none_or(|due| Instant::now() < due) {
            let Some(event) = self.watch.try_next()? else { break };
            self.others.committed |= matches!(event, Event::Committed(_) | Event::Overflow);
            if let Some(seen) = self.drift.take(&event) {
                let Seen { report, harm, deleted } = seen;
                if let Event::Committed(commit) = &event {
                    self.make_again(&deleted, commit);
                }
                self.changed(&report, harm);
            }
        }
        Ok(())
    }

    fn see_routes(&mut self) {
        match self.routes.missing(&self.wanted_routes) {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => {
                let lines: String = missing.iter().map(|entry| format!("  {entry}\n")).collect();
                self.changed(&format!("guard: somebody undid:\n{lines}"), Harm::Missing);
            }
            Err(error) => self.changed(&format!("guard: {error}\n"), Harm::Missing),
        }
    }

    /// Checks whether others have put rules before ours; these are reported and left alone.
    fn see_others(&mut self) {
        // There are no events for tables of iptables-legacy.
        let legacy = self.namespace.legacy_tables().unwrap_or_default();
        let came = std::mem::replace(&mut self.others.legacy, legacy) != self.others.legacy;
        if std::mem::take(&mut self.others.committed) || came {
            match self.pod.precedence(&self.config) {
                Ok(precedence) => self.others.tell(&precedence),
                Err(error) => say(&format!("guard: {error}\n")),
            }
        }
    }

    /// Adds tables that a commit deleted, unless another commit happened since: nothing has to be
    /// read for that. All other differences are restored with the next answer, which reads
    /// everything.
    fn make_again(&mut self, deleted: &BTreeSet<TableId>, commit: &Commit) {
        let tables = self.wanted.tables.iter().filter(|table| deleted.contains(&TableId::from(*table)));
        let tables: Ruleset = tables.cloned().collect();
        if tables.tables.is_empty() {
            return;
        }
        let add = Transaction::add(tables).at_generation(commit.generation);
        // The answer detects a conflict or any other failure, too.
        if self.pod.kernel().commit(&add).is_ok() {
            self.made_again = Some(Instant::now());
        }
    }

    fn changed(&mut self, report: &str, harm: Harm) {
        self.talk.say(report);
        self.pace.changed(Instant::now(), harm);
    }

    fn put_back(&mut self, due: Due) {
        let begun = Instant::now();
        let outcome = self.pod.install(&self.config);
        let now = Instant::now();
        self.pace.answered(begun, now);
        let made_again = self.made_again.take();
        match outcome {
            Ok(changes) if changes.is_empty() && made_again.is_none() => {
                self.talk.say("guard: nothing had to be restored\n")
            }
            Ok(_) => {
                let took = (now - due.since).as_secs_f64() * 1e3;
                self.talk.say(&format!("guard: restored after {took:.1} ms\n"));
            }
            Err(error) => {
                self.talk.say(&format!("guard: not restored, next try in {} ms: {error}\n", LONGEST_GAP.as_millis()));
                self.pace.failed(due.since, now);
            }
        }
    }
}

/// Returns the possible effect of a change to our tables.
fn harm_of(change: &Event) -> Harm {
    match change {
        Event::ChainAdded { chain, .. } if chain.hook.is_none() => Harm::Differs,
        Event::SetAdded { .. } | Event::TableAdded(_) | Event::ObjectAdded { .. } => Harm::Differs,
        _ => Harm::Missing,
    }
}

/// Rules of others that run before ours.
#[derive(Default)]
struct Others {
    /// Whether another program committed since they were read.
    committed: bool,
    /// Tables of iptables-legacy.
    legacy: Vec<TableId>,
    /// The reported lines, so that each is reported once.
    reported: Vec<String>,
}

impl Others {
    fn tell(&mut self, precedence: &Precedence) {
        let lines: Vec<String> = precedence.lines().collect();
        lines.iter().filter(|line| !self.reported.contains(line)).for_each(|line| say(&format!("guard: {line}\n")));
        self.reported = lines;
    }
}

/// What a foreign commit has changed so far in our tables.
#[derive(Default)]
struct Drift {
    tables: BTreeMap<TableId, Reported>,
    /// The tables that it deleted and did not add again.
    deleted: BTreeSet<TableId>,
    worst: Option<Harm>,
}

/// What a foreign commit has changed.
struct Seen {
    report: String,
    harm: Harm,
    deleted: BTreeSet<TableId>,
}

/// Lines, and the number of further ones.
#[derive(Default)]
struct Reported {
    lines: String,
    count: usize,
}

impl Drift {
    /// At the end of a commit that changed our tables, returns who made it and what it changed.
    fn take(&mut self, event: &Event) -> Option<Seen> {
        match event {
            Event::Committed(commit) => {
                let Drift { tables, deleted, worst } = std::mem::take(self);
                let (who, pid, generation) = (&commit.command, commit.pid, commit.generation.0);
                let reported: String = tables.values().map(ToString::to_string).collect();
                let report = format!("guard: {who:?} (pid {pid}) made generation {generation}:\n{reported}");
                Some(Seen { report, harm: worst?, deleted })
            }
            Event::Overflow => {
                *self = Drift::default();
                let report = "guard: more happened than could be followed\n".to_owned();
                Some(Seen { report, harm: Harm::Missing, deleted: BTreeSet::new() })
            }
            change => {
                if let Some(table) = change.table().filter(|table| is_ours(table)) {
                    let reported = self.tables.entry(table.clone()).or_default();
                    if matches!(change, Event::TableDeleted { .. }) {
                        // The deletion of its contents is implied.
                        *reported = Reported::default();
                        self.deleted.insert(table.clone());
                    } else {
                        self.deleted.remove(table);
                    }
                    reported.add(change);
                    self.worst = self.worst.max(Some(harm_of(change)));
                }
                None
            }
        }
    }
}

impl Reported {
    fn add(&mut self, change: &Event) {
        self.count += 1;
        if self.count <= LINES {
            self.lines.push_str(&format!("  {change}\n"));
        }
    }
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reported { lines, count } = self;
        f.write_str(lines)?;
        match count.saturating_sub(LINES) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more"),
        }
    }
}

fn is_ours(table: &TableId) -> bool {
    Pod::tables().contains(table)
}

/// Prints up to a limit per second, and then how much was left out.
#[derive(Default)]
struct Talk {
    since: Option<Instant>,
    printed: usize,
    omitted: usize,
}

impl Talk {
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

/// The most changes of one commit that are printed for each table.
const LINES: usize = 20;
/// The most lines printed in one second.
const MOST_LINES: usize = 40;
const SECOND: Duration = Duration::from_secs(1);
const OTHERS_EVERY: Duration = Duration::from_secs(1);
