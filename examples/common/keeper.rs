//! Keeps one network namespace as it is wanted: sees what others change, and restores it.
#![allow(dead_code, reason = "a module of programs, of which each uses its part")]

use std::collections::BTreeSet;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nftmesh::kernel::{NetNs, RouteWatch, Watch};
use nftmesh::mesh::{Held, Mesh};
use nftmesh::model::{Ruleset, TableId};
use nftmesh::plan::Transaction;
use nftmesh::pod::{Changes, Pod, Precedence};
use nftmesh::state::{Commit, Event};

use super::drift::{Drift, Seen};
use super::pace::{Due, Harm, LONGEST_GAP, Pace};

/// What happened in the namespace, to be reported.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// Others changed what is kept: who, and what, in lines.
    Changed(String),
    /// It could not be restored; it is tried again.
    Failed(String),
    /// Connections are held no longer, and why.
    LetGo(String),
    /// Rules of others run before these.
    Others(String),
    /// It is as wanted again, after this many milliseconds; or nothing had to be done.
    Restored(Option<f64>),
}

/// A namespace that is kept.
pub(crate) struct Keeper {
    pod: Pod,
    pub(crate) watch: Watch,
    pub(crate) route_watch: RouteWatch,
    mesh: Arc<dyn Mesh>,
    /// Connections that wait for the proxy.
    holding: Option<Holding>,
    drift: Drift,
    pace: Pace,
    /// When deleted tables were added again, since the last answer.
    made_again: Option<Instant>,
    /// Whether addresses or routes changed since this was taken.
    moved: bool,
    others: Others,
    namespace: NetNs,
    notes: Vec<Note>,
}

impl Keeper {
    /// Installs what is wanted, and watches it from then on. `pod` should be held. Until the proxy
    /// listens, but no longer than `hold`, outbound connections are held back.
    pub(crate) fn new(
        namespace: NetNs,
        mut pod: Pod,
        mesh: Arc<dyn Mesh>,
        hold: Option<Duration>,
    ) -> nftmesh::Result<(Self, Changes)> {
        // Watching starts before installing, so that nothing is missed. The commits of a second
        // socket of this process would count as foreign.
        let mut watch = namespace.watch()?;
        watch.leave_out(pod.kernel())?;
        let route_watch = namespace.route_watch()?;
        let holding = Holding::begin(&pod, &mesh, hold)?;
        let changes = pod.install(holding.as_ref().map_or(&*mesh, |holding| &holding.held))?;
        let mut keeper = Keeper {
            pod,
            watch,
            route_watch,
            drift: Drift::of(&*mesh),
            mesh,
            holding,
            pace: Pace::default(),
            made_again: None,
            moved: false,
            others: Others::default(),
            namespace,
            notes: Vec::new(),
        };
        keeper.others.tell(&changes.precedence, &mut keeper.notes);
        Ok((keeper, changes))
    }

    /// Returns when something is to be restored.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pace.due().into_iter().chain(self.holding.as_ref().map(|holding| holding.look)).min()
    }

    /// Returns whether addresses or routes changed since it was asked last.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Returns the addresses by which others reach the namespace.
    pub(crate) fn addresses(&mut self) -> nftmesh::Result<Vec<IpAddr>> {
        self.pod.addresses()
    }

    /// Keeps this from now on, and installs it.
    pub(crate) fn replace(&mut self, mesh: Arc<dyn Mesh>) -> nftmesh::Result<Changes> {
        self.mesh = mesh;
        self.pod.install(&*self.mesh)
    }

    /// Returns what has to be installed now.
    fn wanted(&self) -> &dyn Mesh {
        self.holding.as_ref().map_or(&*self.mesh, |holding| &holding.held)
    }

    /// Handles what happened, and restores what is due; returns what is to be reported.
    pub(crate) fn turn(&mut self) -> Result<Vec<Note>, Box<dyn Error>> {
        self.see()?;
        if self.route_watch.changed()? {
            self.moved = true;
            self.see_routes();
        }
        self.let_go();
        if let Some(due) = self.pace.take(Instant::now()) {
            self.put_back(due);
        }
        Ok(std::mem::take(&mut self.notes))
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
        let wanted = self.wanted().routes();
        if wanted.is_empty() {
            return;
        }
        match self.namespace.routes().and_then(|mut routes| routes.missing(&wanted)) {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => {
                let lines: String = missing.iter().map(|entry| format!("  {entry}\n")).collect();
                self.changed(&format!("somebody undid:\n{lines}"), Harm::Missing);
            }
            Err(error) => self.changed(&format!("{error}\n"), Harm::Missing),
        }
    }

    /// Checks whether others have put rules before ours; these are reported and left alone.
    pub(crate) fn see_others(&mut self) {
        // There are no events for tables of iptables-legacy.
        let legacy = self.namespace.legacy_tables().unwrap_or_default();
        let came = std::mem::replace(&mut self.others.legacy, legacy) != self.others.legacy;
        if std::mem::take(&mut self.others.committed) || came {
            match self.pod.precedence(&*Arc::clone(&self.mesh)) {
                Ok(precedence) => self.others.tell(&precedence, &mut self.notes),
                Err(error) => self.notes.push(Note::Others(error.to_string())),
            }
        }
    }

    /// Adds tables that a commit deleted, unless another commit happened since: nothing has to be
    /// read for that. All other differences are restored with the next answer, which reads
    /// everything.
    fn make_again(&mut self, deleted: &BTreeSet<TableId>, commit: &Commit) {
        if deleted.is_empty() {
            return;
        }
        let wanted = self.wanted().rules().tables.into_iter();
        let tables: Ruleset = wanted.filter(|table| deleted.contains(&TableId::from(table))).collect();
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
        self.notes.push(Note::Changed(report.to_owned()));
        self.pace.changed(Instant::now(), harm);
    }

    /// Lets connections go once the proxy listens, or has taken too long.
    fn let_go(&mut self) {
        let now = Instant::now();
        let Some(holding) = self.holding.as_mut().filter(|holding| holding.look <= now) else { return };
        holding.look = now + LOOK_EVERY;
        let why = match self.pod.listens(holding.port) {
            Ok(true) => "the proxy listens".to_owned(),
            Ok(false) | Err(_) if now < holding.until => return,
            Ok(false) => "the proxy took too long".to_owned(),
            Err(error) => error.to_string(),
        };
        let port = holding.port;
        self.holding = None;
        self.notes.push(Note::LetGo(format!("connections to port {port} are held no longer: {why}")));
        self.pace.changed(now, Harm::Missing);
    }

    fn put_back(&mut self, due: Due) {
        let begun = Instant::now();
        let wanted = self.holding.as_ref().map_or(&*self.mesh, |holding| &holding.held as &dyn Mesh);
        let outcome = self.pod.install(wanted);
        let now = Instant::now();
        self.pace.answered(begun, now);
        let made_again = self.made_again.take();
        match outcome {
            Ok(changes) if changes.is_empty() && made_again.is_none() => self.notes.push(Note::Restored(None)),
            Ok(_) => self.notes.push(Note::Restored(Some((now - due.since).as_secs_f64() * 1e3))),
            Err(error) => {
                let next = LONGEST_GAP.as_millis();
                self.notes.push(Note::Failed(format!("not restored, next try in {next} ms: {error}")));
                self.pace.failed(due.since, now);
            }
        }
    }
}

/// Outbound connections are held back until the proxy listens.
struct Holding {
    held: Held,
    port: u16,
    until: Instant,
    /// When it is looked next whether the proxy listens.
    look: Instant,
}

impl Holding {
    fn begin(pod: &Pod, mesh: &Arc<dyn Mesh>, hold: Option<Duration>) -> nftmesh::Result<Option<Self>> {
        let (Some(time), Some(port)) = (hold, mesh.outbound_port()) else { return Ok(None) };
        if pod.listens(port)? {
            return Ok(None);
        }
        let now = Instant::now();
        let held = Held::new(Arc::clone(mesh));
        Ok(Some(Holding { held, port, until: now + time, look: now + LOOK_EVERY }))
    }
}

/// The kernel tells nobody that a socket listens. A look reads the pod's list of sockets.
const LOOK_EVERY: Duration = Duration::from_millis(50);

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
    fn tell(&mut self, precedence: &Precedence, notes: &mut Vec<Note>) {
        let lines: Vec<String> = precedence.lines().collect();
        notes.extend(lines.iter().filter(|line| !self.reported.contains(line)).cloned().map(Note::Others));
        self.reported = lines;
    }
}
