//! All namespaces of the node, waited for with one epoll.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nftmesh::Escaped;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::common::say;
use super::common::source::Complaint;
use super::common::tenants::Tenant;
use super::config::{Config, Wanted};
use super::discover::{Discovery, Identity};
use super::host::Host;
use super::keeper::{Keeper, Note};
use super::metrics::Metrics;
use super::workers::{Job, Opened, Workers};

/// A namespace of the node.
struct Place {
    /// `None` while the file is not a namespace.
    identity: Option<Identity>,
    state: State,
    /// Waited so long before the last attempt.
    patience: Duration,
}

enum State {
    /// Being opened by a worker.
    Opening,
    /// Kept, under this number.
    Kept(u64),
    /// Left alone, as the configuration says.
    Left,
    /// It could not be opened; the next attempt.
    Refused(Instant),
}

pub(crate) struct Node {
    config: Config,
    discovery: Discovery,
    metrics: Metrics,
    /// The node's own namespace, where that is kept too.
    host: Option<Host>,
    workers: Workers,
    epoll: OwnedFd,
    stop: UnixStream,
    places: BTreeMap<PathBuf, Place>,
    keepers: HashMap<u64, (PathBuf, Keeper)>,
    /// What is known not to be as wanted.
    drifted: HashMap<u64, Instant>,
    next: u64,
    /// Whose rules somebody else may have changed, and when that is looked at.
    visited: BTreeSet<u64>,
    look_at_others: Option<Instant>,
    look_again: Option<Instant>,
    opening: usize,
    begun: Instant,
}

impl Node {
    pub(crate) fn new(
        config: Config,
        discovery: Discovery,
        metrics: Metrics,
        host: Option<Host>,
        hold: Option<Duration>,
    ) -> Result<Self, Complaint> {
        let failed = |why: std::io::Error| why.to_string();
        // A namespace takes six descriptors.
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).map_err(|why| why.to_string())?;
        let stop = stop_signals().map_err(failed)?;
        let workers = Workers::new(hold).map_err(failed)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|why| why.to_string())?;
        let add = |fd: &dyn rustix::fd::AsFd, number| {
            epoll::add(&epoll, fd.as_fd(), epoll::EventData::new_u64(number), epoll::EventFlags::IN)
                .map_err(|why| why.to_string())
        };
        add(&stop, STOP)?;
        add(&workers.woken, OPENED)?;
        add(&discovery, FOUND)?;
        Ok(Node {
            config,
            discovery,
            metrics,
            host,
            workers,
            epoll,
            stop,
            places: BTreeMap::new(),
            keepers: HashMap::new(),
            drifted: HashMap::new(),
            next: 0,
            visited: BTreeSet::new(),
            look_at_others: None,
            look_again: Some(Instant::now()),
            opening: 0,
            begun: Instant::now(),
        })
    }

    pub(crate) fn run(mut self) -> Result<(), Complaint> {
        let mut events = Vec::with_capacity(256);
        loop {
            let timeout = self.next_time().map(|at| {
                // Rounded up, or the last fraction of a millisecond is spent polling.
                at.saturating_duration_since(Instant::now()) + Duration::from_micros(100)
            });
            let timeout = timeout.map(Timespec::try_from).transpose().map_err(|why| why.to_string())?;
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(why) => return Err(format!("epoll: {why}")),
            }
            let mut woken = BTreeSet::new();
            for event in &events {
                match { event.data }.u64() {
                    STOP => {
                        drop(std::io::Read::read(&mut &self.stop, &mut [0; 1]));
                        log("stopping; the rules stay");
                        return Ok(());
                    }
                    OPENED => self.take_opened(),
                    FOUND if self.discovery.changed() => self.look_again = Some(Instant::now()),
                    FOUND => {}
                    number => {
                        woken.insert(number);
                        self.visited.insert(number);
                        self.look_at_others.get_or_insert_with(|| Instant::now() + OTHERS_EVERY);
                    }
                }
            }
            let now = Instant::now();
            let due = |(_, keeper): &(PathBuf, Keeper)| keeper.due().is_some_and(|due| due <= now);
            woken.extend(self.keepers.iter().filter(|(_, kept)| due(kept)).map(|(number, _)| *number));
            woken.into_iter().for_each(|number| self.turn(number));
            if self.look_at_others.take_if(|at| *at <= now).is_some() {
                for number in std::mem::take(&mut self.visited) {
                    if let Some((_, keeper)) = self.keepers.get_mut(&number) {
                        keeper.see_others();
                    }
                    self.turn(number);
                }
            }
            if self.look_again.is_some_and(|at| at <= now) {
                self.look();
            }
            self.change_host();
            self.count();
        }
    }

    /// Returns when something has to be done without an event.
    fn next_time(&self) -> Option<Instant> {
        let due = self.keepers.values().filter_map(|(_, keeper)| keeper.due());
        let host = self.host.as_ref().and_then(|host| host.due);
        due.chain(self.look_again).chain(self.look_at_others).chain(host).min()
    }

    /// Compares what is there with what is kept.
    fn look(&mut self) {
        let mut there = self.discovery.namespaces();
        if self.host.is_some() {
            there.insert(Host::PATH.into(), self.discovery.own());
        }
        let gone: Vec<PathBuf> = self
            .places
            .iter()
            .filter(|(path, place)| there.get(*path).is_none_or(|identity| *identity != place.identity))
            .map(|(path, _)| path.clone())
            .collect();
        gone.iter().for_each(|path| self.forget(path));
        let now = Instant::now();
        let mut again: Option<Instant> = self.discovery.processes.then(|| now + PROCESSES_EVERY);
        let mut later = |at: Instant| again = Some(again.map_or(at, |known| known.min(at)));
        for (path, identity) in there {
            let Some(tenant) = self.wanted(&path) else {
                self.places.entry(path).or_insert(Place { identity, state: State::Left, patience: FIRST });
                continue;
            };
            let place = self.places.entry(path.clone()).or_insert_with(|| Place {
                identity,
                state: State::Refused(now),
                patience: FIRST,
            });
            let State::Refused(at) = place.state else { continue };
            if at > now {
                later(at);
                continue;
            }
            match identity {
                Some(identity) => {
                    place.state = State::Opening;
                    self.opening += 1;
                    self.workers.open(Job { path, identity, tenant });
                }
                // The file is made first, and the namespace is mounted on it then.
                None => {
                    place.state = State::Refused(now + place.patience);
                    later(now + place.patience);
                    place.patience = (place.patience * 2).min(LONGEST);
                }
            }
        }
        self.look_again = again;
    }

    /// Returns what is wanted in a namespace.
    fn wanted(&self, path: &Path) -> Option<Tenant> {
        match &self.host {
            Some(host) if path == Path::new(Host::PATH) => Some(Tenant::AmbientHost(Box::new(host.wanted()))),
            _ => match self.config.wanted(path)? {
                Wanted::Mesh(tenant) => Some(tenant.clone()),
                Wanted::Nothing => None,
            },
        }
    }

    fn forget(&mut self, path: &Path) {
        if let Some(host) = &mut self.host {
            host.forget(path);
        }
        if let Some(Place { state: State::Kept(number), .. }) = self.places.remove(path) {
            self.let_go(number);
            log_of(path, "gone");
        }
        self.metrics.forget(&path.to_string_lossy());
    }

    fn let_go(&mut self, number: u64) {
        if let Some((_, keeper)) = self.keepers.remove(&number) {
            // Closing them ends it anyway.
            let _ = epoll::delete(&self.epoll, &keeper.watch);
            let _ = epoll::delete(&self.epoll, &keeper.route_watch);
        }
        self.drifted.remove(&number);
        self.visited.remove(&number);
    }

    fn take_opened(&mut self) {
        for Opened { path, identity, took, outcome } in self.workers.opened() {
            self.opening -= 1;
            // It may be gone by now, or another one.
            let Some(place) = self.places.get_mut(&path).filter(|place| place.identity == Some(identity)) else {
                continue;
            };
            match outcome {
                Ok((keeper, changes)) => {
                    self.next += 1;
                    let number = self.next;
                    let data = || epoll::EventData::new_u64(number);
                    let added = epoll::add(&self.epoll, &keeper.watch, data(), epoll::EventFlags::IN)
                        .and_then(|()| epoll::add(&self.epoll, &keeper.route_watch, data(), epoll::EventFlags::IN));
                    if let Err(why) = added {
                        place.state = State::Refused(Instant::now() + LONGEST);
                        say::complain("mesh-node", format!("{}: epoll: {why}", Escaped::new(&path)));
                        continue;
                    }
                    place.state = State::Kept(number);
                    place.patience = FIRST;
                    self.metrics.installed.observe(took.as_secs_f64());
                    changes.to_string().lines().for_each(|line| log_of(&path, line));
                    self.keepers.insert(number, (path, keeper));
                    // Reports of the installation are waiting.
                    self.turn(number);
                    self.see_addresses(number);
                }
                Err(error) => {
                    let at = Instant::now() + place.patience;
                    place.state = State::Refused(at);
                    if place.patience == FIRST {
                        say::complain("mesh-node", format!("{}: {error}", Escaped::new(&path)));
                    }
                    place.patience = (place.patience * 2).min(LONGEST);
                    self.look_again = Some(self.look_again.map_or(at, |known| known.min(at)));
                }
            }
        }
        if self.opening == 0 && !self.keepers.is_empty() {
            self.host.iter_mut().for_each(Host::change);
            let took = self.begun.elapsed().as_secs_f64() * 1e3;
            log(&format!("{} namespaces are kept, {took:.0} ms after the start", self.keepers.len()));
        }
    }

    fn turn(&mut self, number: u64) {
        let Some((path, keeper)) = self.keepers.get_mut(&number) else { return };
        let notes = match keeper.turn() {
            Ok(notes) => notes,
            Err(error) => {
                let path = path.clone();
                say::complain("mesh-node", format!("{}: {error}; it is opened again", Escaped::new(&path)));
                self.let_go(number);
                self.refuse(&path);
                return;
            }
        };
        let moved = keeper.take_moved();
        for note in notes {
            match note {
                Note::Changed(report) => {
                    self.drifted.entry(number).or_insert_with(Instant::now);
                    self.metrics.drifted(&path.to_string_lossy(), report.lines().next().unwrap_or_default());
                    report.lines().for_each(|line| log_of(path, line));
                }
                Note::Failed(why) => {
                    self.metrics.failed.inc();
                    log_of(path, &why);
                }
                Note::LetGo(line) | Note::Others(line) => log_of(path, &line),
                Note::Restored(took) => {
                    self.drifted.remove(&number);
                    if let Some(took) = took {
                        self.metrics.healed.inc();
                        self.metrics.restored.observe(took / 1e3);
                        log_of(path, &format!("restored after {took:.1} ms"));
                    }
                }
            }
        }
        if moved {
            self.see_addresses(number);
        }
    }

    /// Reads the addresses of a pod that is in the sets of the node.
    fn see_addresses(&mut self, number: u64) {
        let (Some(host), Some((path, keeper))) = (&mut self.host, self.keepers.get_mut(&number)) else { return };
        if path == Path::new(Host::PATH) {
            // Pods may have come while it was opened.
            return host.change();
        }
        if !self.config.is_ambient(path) {
            return;
        }
        match keeper.addresses() {
            Ok(addresses) => host.see(path, addresses),
            Err(error) => say::complain("mesh-node", format!("{}: {error}", Escaped::new(path))),
        }
    }

    /// Brings the sets of the node up to date.
    fn change_host(&mut self) {
        let Some(host) = &mut self.host else { return };
        if host.due.is_none() {
            return;
        }
        let Some(Place { state: State::Kept(number), .. }) = self.places.get(Path::new(Host::PATH)) else { return };
        let Some((path, keeper)) = self.keepers.get_mut(number).filter(|_| host.take_due()) else { return };
        let is_missing = |(path, place): (&PathBuf, &Place)| {
            let is_there = place.identity.is_some() && !matches!(place.state, State::Kept(_));
            is_there && self.config.is_ambient(path)
        };
        if !self.places.iter().any(is_missing) {
            host.settle();
        }
        match keeper.replace(Arc::new(host.wanted())) {
            Ok(changes) => changes.to_string().lines().for_each(|line| log_of(path, line)),
            Err(error) => {
                host.failed();
                say::complain("mesh-node", format!("{}: {error}", Escaped::new(path)));
            }
        }
    }

    fn refuse(&mut self, path: &Path) {
        if let Some(place) = self.places.get_mut(path) {
            let at = Instant::now() + place.patience;
            place.state = State::Refused(at);
            place.patience = (place.patience * 2).min(LONGEST);
            self.look_again = Some(self.look_again.map_or(at, |known| known.min(at)));
        }
    }

    fn count(&self) {
        let wanted = self.places.values().filter(|place| !matches!(place.state, State::Left)).count();
        let refused = self.places.values().filter(|place| matches!(place.state, State::Refused(_))).count();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.pods.set(number(wanted));
        self.metrics.in_sync.set(number(self.keepers.len() - self.drifted.len()));
        self.metrics.refused.set(number(refused));
    }
}

fn log(line: &str) {
    // It does not matter whether it is read.
    drop(say::tell("mesh-node", &format!("mesh-node: {line}\n")));
}

fn log_of(path: &Path, line: &str) {
    log(&format!("{}: {line}", path.display()));
}

/// Becomes readable with the first SIGTERM or SIGINT.
fn stop_signals() -> std::io::Result<UnixStream> {
    let (readable, signalled) = UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, signalled.try_clone()?)?;
    }
    Ok(readable)
}

const STOP: u64 = u64::MAX;
const OPENED: u64 = u64::MAX - 1;
const FOUND: u64 = u64::MAX - 2;
/// Before the second attempt, and before any later one at most.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(10);
const OTHERS_EVERY: Duration = Duration::from_secs(1);
const PROCESSES_EVERY: Duration = Duration::from_secs(2);
