//! Keeps the Istio sidecar's rules in this pod true: installs them, watches, and puts back what others change.
//!
//! ```text
//! guard -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020
//! guard: "nft" (pid 4711) made generation 12:
//!   delete rule ip istio-proxy-nat istio-output counter packets 0 bytes 0 return # handle 9
//! guard: restored after 4.1 ms
//! ```
//! The same flags and variables as `istio-init`. It runs until SIGTERM or SIGINT, and leaves the rules installed. Exit codes: 0 told to
//! stop, 1 error.
//!
//! Where capture may be missing, it is put back at once, as often as somebody insists; to who undoes it faster than it is done, after as
//! much time as that took, at most 50 ms. What merely differs, such as a chain that nothing leads to, waits
//! for what comes with it, and longer and longer while somebody insists, up to some seconds. Routes count like rules.
//!
//! A second guard in the same network namespace, and whoever wants to install something else there, is refused while this one runs.

mod common;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{drop_in, say};
use nftmesh::kernel::{NetNs, Pod, Precedence, RouteTable, RouteWatch, Watch};
use nftmesh::mesh::istio::{IstioConfig, RawOptions, RunMode, RunOptions};
use nftmesh::plan::{Event, TableId};
use nftmesh::routes::RoutePlan;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn main() -> ExitCode {
    let outcome =
        common::options("guard", "Keeps the Istio sidecar's rules in this pod true", &[]).and_then(|options| {
            let Some((options, _)) = options else { return Ok(()) };
            run(&options)
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::complain("guard", error);
            ExitCode::FAILURE
        }
    }
}

fn run(options: &RawOptions) -> Result<(), Box<dyn Error>> {
    let run = RunOptions::resolve(options)?;
    run.warnings().iter().for_each(|warning| say::warn("guard", warning));
    if run.mode != RunMode::Apply || run.dry_run {
        return Err("there is nothing to keep true with --cleanup-only, --skip-rule-apply or --dry-run".into());
    }
    let stop = stop_signals()?;
    if drop_in::captures_nothing(options) {
        return Err("there is nothing to keep true with interception mode NONE".into());
    }
    let namespace = drop_in::namespace(&run)?.map_or_else(NetNs::current, Ok)?;
    let mut pod = namespace.pod()?;
    // Two that want different things would undo each other's work for ever.
    pod.hold()?;
    let config = IstioConfig::resolve(options, &pod.host(options)?)?;
    config.warnings().iter().for_each(|warning| say::warn("guard", warning));
    // Watched first and installed then: nothing happens unseen. A second socket of this process would not be us.
    let mut watch = namespace.watch()?;
    watch.leave_out(pod.kernel())?;
    let (routes, route_watch) = (namespace.routes()?, namespace.route_watch()?);
    let changes = pod.install(&config)?;
    say(&common::report(&changes));
    let mut others = Others::default();
    others.tell(&changes.precedence);
    say("guard: watching\n");
    let mut guard = Guard {
        pod,
        watch,
        routes,
        route_watch,
        wanted_routes: RoutePlan::from(&config),
        config,
        drift: Drift::default(),
        pace: Pace::default(),
        talk: Talk::default(),
        due: None,
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
    wanted_routes: RoutePlan,
    drift: Drift,
    pace: Pace,
    talk: Talk,
    /// Something changed then, and is to be put back then.
    due: Option<Due>,
    others: Others,
    namespace: NetNs,
}

#[derive(Clone, Copy)]
struct Due {
    since: Instant,
    at: Instant,
}

impl Guard {
    fn run(&mut self, stop: &UnixStream) -> Result<(), Box<dyn Error>> {
        let mut look_at_others = Instant::now() + OTHERS_EVERY;
        loop {
            let until = self.due.map_or(look_at_others, |due| due.at.min(look_at_others));
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
            if let Some(due) = self.due.filter(|due| Instant::now() >= due.at) {
                self.put_back(due);
            }
            self.talk.catch_up();
        }
    }

    /// Takes what waits, but not for longer than until something is to be put back.
    fn see(&mut self) -> nftmesh::Result<()> {
        while self.due.is_none_or(|due| Instant::now() < due.at) {
            let Some(event) = self.watch.try_next()? else { break };
            self.others.committed |= matches!(event, Event::Committed(_) | Event::Overflow);
            if let Some((report, harm)) = self.drift.take(&event) {
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

    /// Whether somebody has put rules before ours: they are told and left alone.
    fn see_others(&mut self) {
        // Nobody is told of tables of the older kind.
        let legacy = self.namespace.legacy_tables().unwrap_or_default();
        let came = std::mem::replace(&mut self.others.legacy, legacy) != self.others.legacy;
        if std::mem::take(&mut self.others.committed) || came {
            match self.pod.precedence(&self.config) {
                Ok(precedence) => self.others.tell(&precedence),
                Err(error) => say(&format!("guard: {error}\n")),
            }
        }
    }

    fn changed(&mut self, report: &str, harm: Harm) {
        self.talk.say(report);
        let now = Instant::now();
        let at = now + self.pace.delay(now, harm);
        let due = self.due.get_or_insert(Due { since: now, at });
        due.at = due.at.min(at);
    }

    fn put_back(&mut self, due: Due) {
        self.due = None;
        let begun = Instant::now();
        let outcome = self.pod.install(&self.config);
        let now = Instant::now();
        self.pace.answered(begun, now);
        match outcome {
            Ok(changes) if changes.is_empty() => self.talk.say("guard: nothing had to be restored\n"),
            Ok(_) => {
                let took = (now - due.since).as_secs_f64() * 1e3;
                self.talk.say(&format!("guard: restored after {took:.1} ms\n"));
            }
            Err(error) => {
                self.talk.say(&format!("guard: not restored, next try in {} ms: {error}\n", LONGEST_GAP.as_millis()));
                self.due = Some(Due { since: due.since, at: now + LONGEST_GAP });
            }
        }
    }
}

/// What a change may have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    /// Something more is there that no packet meets.
    Differs,
    /// Packets may go past the proxy.
    Missing,
}

impl Harm {
    fn of(change: &Event) -> Harm {
        match change {
            Event::ChainAdded { chain, .. } if chain.hook.is_none() => Harm::Differs,
            Event::SetAdded { .. } | Event::TableAdded(_) | Event::ObjectAdded { .. } => Harm::Differs,
            _ => Harm::Missing,
        }
    }
}

/// Rules of others that run before ours.
#[derive(Default)]
struct Others {
    /// Somebody committed since they were looked at.
    committed: bool,
    /// Tables of iptables-legacy.
    legacy: Vec<TableId>,
    /// What is known of them, so that it is told once.
    told: Vec<String>,
}

impl Others {
    fn tell(&mut self, precedence: &Precedence) {
        let lines: Vec<String> = precedence.lines().collect();
        lines.iter().filter(|line| !self.told.contains(line)).for_each(|line| say(&format!("guard: {line}\n")));
        self.told = lines;
    }
}

/// What a commit of somebody else has changed so far in the tables of ours.
#[derive(Default)]
struct Drift {
    tables: BTreeMap<TableId, Told>,
    worst: Option<Harm>,
}

/// Lines, and how many there would be more.
#[derive(Default)]
struct Told {
    lines: String,
    count: usize,
}

impl Drift {
    /// At the end of a commit that changed something of ours, who it was and what they did.
    fn take(&mut self, event: &Event) -> Option<(String, Harm)> {
        match event {
            Event::Committed(commit) => {
                let Drift { tables, worst } = std::mem::take(self);
                let (who, pid, generation) = (&commit.command, commit.pid, commit.generation.0);
                let told: String = tables.values().map(ToString::to_string).collect();
                Some((format!("guard: {who:?} (pid {pid}) made generation {generation}:\n{told}"), worst?))
            }
            Event::Overflow => {
                *self = Drift::default();
                Some(("guard: more happened than could be followed\n".to_owned(), Harm::Missing))
            }
            change => {
                if let Some(table) = change.table().filter(|table| is_ours(table)) {
                    let told = self.tables.entry(table.clone()).or_default();
                    if matches!(change, Event::TableDeleted { .. }) {
                        // That everything in it was deleted goes without saying.
                        *told = Told::default();
                    }
                    told.add(change);
                    self.worst = self.worst.max(Some(Harm::of(change)));
                }
                None
            }
        }
    }
}

impl Told {
    fn add(&mut self, change: &Event) {
        self.count += 1;
        if self.count <= LINES {
            self.lines.push_str(&format!("  {change}\n"));
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { lines, count } = self;
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

/// How soon to answer.
#[derive(Default)]
struct Pace {
    last: Option<Instant>,
    answers: u32,
    /// How long the last answer took.
    took: Duration,
}

impl Pace {
    fn delay(&mut self, now: Instant, harm: Harm) -> Duration {
        if self.last.is_none_or(|last| now.duration_since(last) >= PEACE) {
            (self.answers, self.took) = (0, Duration::ZERO);
        }
        match harm {
            // Who undoes faster than it is done would have all of both processors.
            Harm::Missing if self.last.is_some_and(|last| now.duration_since(last) < self.took) => {
                self.took.min(LONGEST_GAP)
            }
            Harm::Missing => Duration::ZERO,
            Harm::Differs => {
                let doublings = self.answers.saturating_sub(FREE_ANSWERS).min(16);
                (TOGETHER * 2_u32.pow(doublings)).min(LONGEST)
            }
        }
    }

    fn answered(&mut self, begun: Instant, now: Instant) {
        (self.last, self.took) = (Some(now), now - begun);
        self.answers += 1;
    }
}

/// Says so much in a second, and then how much more there was.
#[derive(Default)]
struct Talk {
    since: Option<Instant>,
    said: usize,
    unsaid: usize,
}

impl Talk {
    fn say(&mut self, text: &str) {
        self.catch_up();
        self.since.get_or_insert_with(Instant::now);
        if self.said < SAID {
            self.said += 1;
            say(text);
        } else {
            self.unsaid += 1;
        }
    }

    fn catch_up(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= SECOND) {
            let Talk { unsaid, .. } = std::mem::take(self);
            if unsaid > 0 {
                say(&format!("guard: {unsaid} more messages of the last second are left out\n"));
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Woken {
    ToSee,
    ToStop,
}

/// Until there are events, it is time, or a signal came.
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

/// Whether anybody reads it is not the guard's business.
fn say(text: &str) {
    drop(say::tell("guard", text));
}

/// Between two answers while capture is missing, at most.
const LONGEST_GAP: Duration = Duration::from_millis(50);
/// Time for what belongs together to come together.
const TOGETHER: Duration = Duration::from_millis(2);
/// So many answers are given soon before each waits twice as long as the one before.
const FREE_ANSWERS: u32 = 8;
const LONGEST: Duration = Duration::from_secs(4);
/// After so long without any answer, whoever insisted has gone.
const PEACE: Duration = Duration::from_secs(10);
/// So many changes of one commit are told of each table.
const LINES: usize = 20;
/// So much is said in one second.
const SAID: usize = 40;
const SECOND: Duration = Duration::from_secs(1);
const OTHERS_EVERY: Duration = Duration::from_secs(1);
