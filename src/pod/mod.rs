//! A mesh in a pod: rules and routes are installed together, all or nothing, and only where
//! something differs.
//!
//! Routes are added first and removed last. A route in a separate table is inert until a packet
//! carries the mark, and only the rules set marks, so a partial installation cannot misroute
//! packets; what a failing commit leaves behind is undone.

mod leftovers;
mod listeners;
mod lock;
mod overruled;
mod powers;
mod precedence;
mod report;
mod writer;

pub use overruled::Overruled;
pub use powers::Power;
pub use precedence::{Precedent, Who, precedents};
pub use report::{Changes, PodPlan, Precedence};

use lock::WriterLock;

use crate::error::Result;
use crate::kernel::{Committed, Kernel, LocalAddress, NetNs, RouteTable, legacy_names, plan};
use crate::mesh::istio::{IstioConfig, PodFacts, RawOptions};
use crate::mesh::{self, Mesh, Site};
use crate::model::{Ruleset, TableId};
use crate::plan::{Transaction, differences};
use crate::state::Snapshot;

/// The network namespace of a pod, in which a mesh is installed or removed. A pod has one mesh:
/// installing another replaces it in the same transaction. What belongs on the node itself
/// ([`Site::Node`]) replaces only its own tables.
///
/// ```no_run
/// use nftmesh::kernel::NetNs;
/// use nftmesh::mesh::istio::{IstioConfig, RawOptions};
/// use nftmesh::pod::Leftovers;
///
/// let mut pod = NetNs::from_path("/var/run/netns/pod-1")?.pod()?;
/// let options = RawOptions::from_env()?;
/// let config = IstioConfig::resolve(&options, &pod.facts(&options)?)?;
/// print!("{}", pod.install(&config)?); // what was changed
/// let plan = pod.plan(&config, Leftovers::Keep)?;
/// assert!(plan.is_in_sync(), "{plan}");
/// pod.remove()?;
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Debug)]
pub struct Pod {
    kernel: Kernel,
    routes: RouteTable,
    /// Tables of iptables-legacy, which nf_tables does not show: those of IPv4 and of IPv6.
    legacy: [Vec<String>; 2],
    namespace: NetNs,
    /// Held since [`hold`](Pod::hold).
    held: Option<WriterLock>,
}

impl NetNs {
    /// Opens the rules and routes of a pod.
    ///
    /// # Errors
    /// Those of [`Pod::open`].
    pub fn pod(&self) -> Result<Pod> {
        self.run(Pod::open)?
    }
}

/// What to do with the rules that the program of a mesh left behind through iptables-nft, see
/// [`Pod::plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "they stay or they go")]
pub enum Leftovers {
    /// They stay, and capture in addition to ours.
    Keep,
    /// They are removed in the transaction that installs ours.
    Remove,
}

impl Pod {
    /// Opens the rules and routes of the calling thread's network namespace.
    ///
    /// # Errors
    /// When no netlink socket can be opened.
    pub fn open() -> Result<Self> {
        // Without permission to list legacy tables, installing fails anyway.
        let legacy = legacy_names().unwrap_or_default();
        let namespace = NetNs::current()?;
        Ok(Pod { kernel: Kernel::open()?, routes: RouteTable::open()?, legacy, namespace, held: None })
    }

    /// Returns the handle for its nf_tables.
    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// Returns every table that an installation of a mesh of this crate may own, with any
    /// configuration.
    #[must_use]
    pub fn tables() -> Vec<TableId> {
        mesh::tables()
    }

    /// Returns its addresses as a configuration expects them: in the kernel's order, without those
    /// of lo.
    ///
    /// # Errors
    /// When the kernel cannot be queried.
    pub fn addresses(&mut self) -> Result<Vec<std::net::IpAddr>> {
        let local = self.routes.local_addresses()?;
        let outside = |address: &LocalAddress| !address.is_loopback() && !address.is_link_local();
        Ok(local.into_iter().filter(outside).map(|address| address.address).collect())
    }

    /// Returns the facts of the pod and of this machine's files that a configuration of `options`
    /// depends on, see [`PodFacts::read`].
    ///
    /// # Errors
    /// When the kernel cannot be queried, or a file cannot be read.
    pub fn facts(&mut self, options: &RawOptions) -> Result<PodFacts> {
        PodFacts::read(options, self.addresses()?)
    }

    /// Reads the configuration of this pod from the environment, as `istio-init` does without
    /// options.
    ///
    /// # Errors
    /// Those of [`IstioConfig::from_env`], and when the pod's addresses can't be read.
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// let mut pod = NetNs::from_path("/var/run/netns/pod-1")?.pod()?;
    /// let config = pod.config_from_env()?;
    /// pod.install(&config)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn config_from_env(&mut self) -> Result<IstioConfig> {
        IstioConfig::from_env(self.addresses()?)
    }

    /// Returns what [`install`](Self::install) would do for `mesh`, without doing it. The plan
    /// includes rules of the mesh's own program, such as `istio-iptables`: its chains (`ISTIO_*`)
    /// in the tables nat, mangle and raw of ip and ip6, the jumps to them, and the rules that set
    /// marks for TPROXY.
    ///
    /// # Errors
    /// Those of [`Kernel::plan`], or when the routes cannot be read.
    pub fn plan(&mut self, mesh: &dyn Mesh, leftovers: Leftovers) -> Result<PodPlan> {
        let (rules, routes, ours, original) = (mesh.rules(), mesh.routes(), owned(mesh), mesh.original());
        let tables: Vec<TableId> = ours.iter().cloned().chain(leftovers::tables()).collect();
        let held = self.kernel.snapshot_of(&tables)?;
        let mut removal = Transaction::new();
        removal.extend(leftovers::removal(&held, &original));
        let removal = differences(&removal, &held);
        let mut changes = differences(&plan(&held, &rules, &ours)?, &held);
        let left = match leftovers {
            Leftovers::Keep => removal,
            Leftovers::Remove => {
                changes.splice(0..0, removal);
                Vec::new()
            }
        };
        let precedence = self.precedence_over(mesh, leftovers).unwrap_or_else(Precedence::unknown);
        Ok(PodPlan {
            changes,
            leftovers: left,
            program: original.program,
            routes_missing: self.routes.missing(&routes)?,
            routes_stale: match mesh.site() {
                Site::Node => Vec::new(),
                Site::Pod => self.routes.stale(&routes)?,
            },
            legacy: self.legacy(),
            precedence,
        })
    }

    /// Returns which rules of others run before ours, and which run too late to keep traffic from
    /// ours. The mesh need not be installed.
    ///
    /// Chains of others are read; of the tables of iptables-legacy only the names are known.
    ///
    /// # Errors
    /// Those of [`Kernel::snapshot`].
    pub fn precedence(&mut self, mesh: &dyn Mesh) -> Result<Precedence> {
        // Without permission to list them now, the list read when this was opened is used.
        if let Ok(Ok(legacy)) = self.namespace.run(legacy_names) {
            self.legacy = legacy;
        }
        self.precedence_over(mesh, Leftovers::Keep)
    }

    fn precedence_over(&mut self, mesh: &dyn Mesh, leftovers: Leftovers) -> Result<Precedence> {
        let (wanted, ours, original) = (mesh.rules(), owned(mesh), mesh.original());
        // Only tables that come before ours are read whole, since foreign tables may be large.
        let outline = self.kernel.outline()?;
        let mut tables = precedence::preceding_tables(&outline, &wanted, &ours);
        let exists = |table: &TableId| outline.table(table).is_some() && !tables.contains(table);
        tables.extend(leftovers::tables().filter(exists).collect::<Vec<_>>());
        let mut held = match tables.is_empty() {
            true => Snapshot::default(),
            false => self.kernel.snapshot_of(&tables)?,
        };
        // The position of the jumps to a mesh shows which rules preceded them.
        let overruled = overruled::overruled(&held, &original);
        if leftovers == Leftovers::Remove {
            held = leftovers::without(&held, &leftovers::removal(&held, &original));
        }
        let mut before = precedents(&held, &wanted, &ours);
        before.extend(precedence::legacy_precedents(&self.legacy, &wanted));
        Ok(Precedence { before, overruled, unknown: None })
    }

    /// Returns the command that shows the tables of iptables-legacy, for each family that has any;
    /// nf_tables does not show them.
    #[must_use]
    pub fn legacy(&self) -> Vec<String> {
        let [ipv4, ipv6] = &self.legacy;
        let advice = |tables: &Vec<String>, program: &str| {
            (!tables.is_empty()).then(|| {
                let tables = tables.join(", ");
                format!(
                    "legacy xtables have tables here ({tables}), which nf_tables does not show: look for chains of a mesh (ISTIO_, PROXY_INIT_, KUMA_MESH_) in the output of \
                     {program}-legacy-save, and remove it with {program}-legacy"
                )
            })
        };
        advice(ipv4, "iptables").into_iter().chain(advice(ipv6, "ip6tables")).collect()
    }

    /// Installs `mesh`, whatever mesh and configuration was installed before: one transaction of the
    /// differences (see [`Kernel::apply`] for sets that are committed first), and none when nothing
    /// differs. Routes are added before the rules that need them and removed after those that did.
    /// Rules that the mesh's own program left stay, unless both cannot be in one pod
    /// ([`Original::excludes_ours`](crate::mesh::Original::excludes_ours)).
    ///
    /// Only one writer at a time works in a network namespace; another waits for it, up to 10
    /// seconds. Before this returns, rules and routes are checked once more, and changes that
    /// other programs made meanwhile without the lock are reverted; a program that
    /// [holds](Self::hold) the namespace is expected to watch it instead.
    ///
    /// # Errors
    /// Those of [`RouteTable::add`] and [`Kernel::apply`]; nothing is changed then. When only
    /// stale routes could not be removed, the error says that the rules are in place.
    /// [`is_conflict`](crate::Error::is_conflict) when another writer does not finish in time, or
    /// holds the namespace for life, see [`hold`](Self::hold), with another configuration
    /// installed.
    pub fn install(&mut self, mesh: &dyn Mesh) -> Result<Changes> {
        let leftovers = if mesh.original().excludes_ours { Leftovers::Remove } else { Leftovers::Keep };
        self.install_over(mesh, leftovers)
    }

    /// Installs like [`install`](Self::install), and decides what to do with the rules that the
    /// program of the mesh left behind.
    ///
    /// # Errors
    /// Those of [`install`](Self::install).
    pub fn install_over(&mut self, mesh: &dyn Mesh, leftovers: Leftovers) -> Result<Changes> {
        let mut changes = self.install_alone(mesh, leftovers)?;
        let overruled = std::mem::take(&mut changes.precedence.overruled);
        changes.precedence = self.precedence(mesh).unwrap_or_else(Precedence::unknown);
        if !changes.leftovers_removed.is_empty() {
            // The jumps to a mesh, which show what preceded them, are gone.
            changes.precedence.overruled = overruled;
        }
        Ok(changes)
    }

    fn install_alone(&mut self, mesh: &dyn Mesh, leftovers: Leftovers) -> Result<Changes> {
        let _writer = match self.writer() {
            Ok(writer) => writer,
            // Where nothing differs there is nothing to write.
            Err(held) => {
                let installed = self.is_installed(mesh, leftovers)?;
                return if installed { Ok(Changes::default()) } else { Err(held) };
            }
        };
        let mut changes = self.install_once(mesh, leftovers)?;
        // A program that holds the lock for life also watches, and reacts to changes itself.
        if self.held.is_some() {
            return Ok(changes);
        }
        for _ in 0..ROUNDS {
            if self.is_installed(mesh, leftovers)? {
                return Ok(changes);
            }
            changes.extend(self.install_once(mesh, leftovers)?);
        }
        Err(writer::undone_by_others())
    }

    fn install_once(&mut self, mesh: &dyn Mesh, leftovers: Leftovers) -> Result<Changes> {
        let routes = mesh.routes();
        let added = self.routes.add(&routes)?;
        let mut changes = match self.apply(mesh, leftovers) {
            Ok(changes) => changes,
            Err(error) => {
                return Err(match self.routes.undo(added) {
                    Ok(()) => error,
                    Err(undo) => undo.after(&error),
                });
            }
        };
        changes.routes_added = added.entries().to_vec();
        if mesh.site() == Site::Pod {
            changes.routes_removed =
                self.routes.remove_stale(&routes).map_err(|error| error.context("the rules are installed"))?;
        }
        Ok(changes)
    }

    /// Removes the mesh of this crate that is installed here, whichever it is, in one transaction,
    /// and then its routes. It waits for another writer as `install` does.
    ///
    /// # Errors
    /// Those of [`Kernel::apply`] and [`RouteTable::remove_all`]; when only routes could not be
    /// removed, the error says that the rules are gone.
    pub fn remove(&mut self) -> Result<Changes> {
        self.remove_tables(&Pod::tables())
    }

    /// Removes what this mesh may own, with any configuration ([`Mesh::tables`]), like
    /// [`remove`](Self::remove). Its routes go too, unless it is on a node
    /// ([`Site::Node`]).
    ///
    /// # Errors
    /// Those of [`remove`](Self::remove).
    pub fn uninstall(&mut self, mesh: &dyn Mesh) -> Result<Changes> {
        self.remove_from(mesh.site(), &mesh.tables())
    }

    /// Removes these tables, which a mesh may own ([`Mesh::tables`]), like
    /// [`remove`](Self::remove). Routes stay while another mesh of this crate is installed here.
    ///
    /// # Errors
    /// Those of [`remove`](Self::remove).
    pub fn remove_tables(&mut self, tables: &[TableId]) -> Result<Changes> {
        self.remove_from(Site::Pod, tables)
    }

    fn remove_from(&mut self, site: Site, tables: &[TableId]) -> Result<Changes> {
        let _writer = self.writer()?;
        let mut changes = self.remove_once(site, tables)?;
        for _ in 0..ROUNDS {
            let again = self.remove_once(site, tables)?;
            if again.is_empty() {
                return Ok(changes);
            }
            changes.extend(again);
        }
        Err(writer::undone_by_others())
    }

    fn remove_once(&mut self, site: Site, tables: &[TableId]) -> Result<Changes> {
        let gone = self.kernel.remove(tables)?;
        if site == Site::Node {
            return Ok(Changes::of(&gone));
        }
        let outline = self.kernel.outline()?;
        if Pod::tables().iter().any(|table| !tables.contains(table) && outline.table(table).is_some()) {
            return Ok(Changes::of(&gone));
        }
        let routes_removed = self.routes.remove_all().map_err(|error| error.context("the rules are removed"))?;
        Ok(Changes { routes_removed, ..Changes::of(&gone) })
    }

    fn apply(&mut self, mesh: &dyn Mesh, leftovers: Leftovers) -> Result<Changes> {
        let (rules, ours, original) = (mesh.rules(), owned(mesh), mesh.original());
        if leftovers == Leftovers::Keep {
            return self.kernel.apply_owned(&rules, &ours).map(|applied| Changes::of(&applied));
        }
        let tables: Vec<TableId> = ours.iter().cloned().chain(leftovers::tables()).collect();
        let removal = |held: &Snapshot| leftovers::removal(held, &original);
        let both = |held: &Snapshot, wanted: &Ruleset| {
            let mut transaction = plan(held, wanted, &ours)?;
            transaction.extend(removal(held));
            Ok(transaction)
        };
        let Committed { first, held, applied, .. } = self.kernel.commit_planned(&tables, &rules, both)?;
        let held = first.unwrap_or(held);
        let mut migrated = Transaction::new();
        migrated.extend(removal(&held));
        let mut changes = Changes::of(&applied);
        changes.changed.retain(|table| ours.contains(table));
        changes.leftovers_removed = differences(&migrated, &held);
        changes.precedence.overruled = overruled::overruled(&held, &original);
        Ok(changes)
    }
}

/// Returns every table that is ours once `mesh` is installed: its own, and in a pod those of the
/// mesh that it replaces.
fn owned(mesh: &dyn Mesh) -> Vec<TableId> {
    if mesh.site() == Site::Node {
        return mesh.tables();
    }
    let mut tables = Pod::tables();
    tables.extend(mesh.tables().into_iter().filter(|table| !mesh::tables().contains(table)));
    tables
}

/// How often changes that others make without taking the lock are reverted.
const ROUNDS: usize = 10;
