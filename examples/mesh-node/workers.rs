//! Threads that open namespaces: entering one and installing there may take long, for example while
//! another program writes there.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{io, thread};

use nftmesh::Escaped;
use nftmesh::kernel::{LocalAddress, NetNs};
use nftmesh::pod::Changes;

use super::common::say;
use super::common::tenants::{Facts, Tenant};
use super::discover::Identity;
use super::keeper::Keeper;

/// A namespace that is to be kept.
pub(crate) struct Job {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) tenant: Tenant,
}

/// What came of it.
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) took: Duration,
    pub(crate) outcome: nftmesh::Result<(Keeper, Changes)>,
}

pub(crate) struct Workers {
    jobs: Sender<Job>,
    opened: Receiver<Opened>,
    /// Readable when something was opened.
    pub(crate) woken: UnixStream,
}

impl Workers {
    pub(crate) fn new(hold: Option<Duration>) -> io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let (done, opened) = channel();
        let (woken, wake) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..THREADS {
            let (queue, done, wake) = (Arc::clone(&queue), done.clone(), wake.try_clone()?);
            thread::spawn(move || {
                loop {
                    let job = queue.lock().map(|queue| queue.recv());
                    let Ok(Ok(Job { path, identity, tenant })) = job else { return };
                    let begun = Instant::now();
                    let outcome = open(&path, &tenant, hold);
                    if done.send(Opened { path, identity, took: begun.elapsed(), outcome }).is_err() {
                        return;
                    }
                    // When the pipe is full, it is readable already.
                    drop(io::Write::write(&mut &wake, &[0]));
                }
            });
        }
        Ok(Workers { jobs, opened, woken })
    }

    pub(crate) fn open(&self, job: Job) {
        // The threads live as long as the channel.
        drop(self.jobs.send(job));
    }

    /// Returns what was opened since.
    pub(crate) fn opened(&self) -> Vec<Opened> {
        let mut bytes = [0; 1024];
        while io::Read::read(&mut &self.woken, &mut bytes).is_ok_and(|read| read > 0) {}
        self.opened.try_iter().collect()
    }
}

fn open(path: &Path, tenant: &Tenant, hold: Option<Duration>) -> nftmesh::Result<(Keeper, Changes)> {
    // All of it on one thread inside: each of its parts would start one of its own.
    NetNs::from_path(path)?.run(|| inside(path, tenant, hold))?
}

fn inside(path: &Path, tenant: &Tenant, hold: Option<Duration>) -> nftmesh::Result<(Keeper, Changes)> {
    let namespace = NetNs::current()?;
    let mut pod = namespace.pod()?;
    pod.hold()?;
    // The files of this process are the node's, not the pod's.
    let local = namespace.routes()?.local_addresses()?.into_iter().filter(|local| !local.is_loopback());
    let (link_local, others): (Vec<_>, Vec<_>) = local.partition(LocalAddress::is_link_local);
    let [addresses, link_local] = [others, link_local].map(|list| list.iter().map(|local| local.address).collect());
    let facts = Facts { addresses, link_local, ..Facts::default() };
    let mesh = tenant.resolve(&facts)?;
    let of = |warning: &String| format!("{}: {warning}", Escaped::new(path));
    mesh.warnings().iter().for_each(|warning| say::warn("mesh-node", of(warning)));
    Keeper::new(namespace, pod, mesh.into(), hold)
}

/// One that waits for another writer leaves the others to go on.
const THREADS: usize = 4;
