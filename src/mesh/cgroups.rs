//! A mesh for some containers of a pod: outbound traffic is captured or left alone by the control
//! group (version 2) of its socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::{Mesh, Original, Site};
use crate::error::{Error, Escaped, Kind, Result};
use crate::model::matches::socket_cgroup;
use crate::model::{Chain, ChainKind, ChainType, Hook, Name, Priority, Rule, Ruleset, SocketCgroup, Table, TableId};
use crate::routes::RoutePlan;

/// A control group of version 2, as the kernel compares it: by number, at a depth below the root.
///
/// A group that is removed and made again has another number, so that rules with the old one no
/// longer match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
    level: u8,
    id: u64,
}

impl Cgroup {
    /// Finds a group by its path below the root of the hierarchy, such as
    /// `kubepods.slice/pod7.slice/app.scope`.
    ///
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) when no hierarchy of version 2 is mounted, or has no such
    /// group, and for the root itself.
    pub fn find(path: impl AsRef<Path>) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")
            .map_err(|why| Error::new(Kind::Invalid, format!("/proc/self/mounts: {why}")))?;
        let root = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let place = words.next()?;
            (words.next()? == "cgroup2").then_some(place)
        });
        let root = root.ok_or_else(|| {
            Error::new(Kind::Invalid, "no hierarchy of control groups of version 2 is mounted: mount cgroup2")
        })?;
        Self::below(Path::new(root), path.as_ref())
    }

    fn below(root: &Path, path: &Path) -> Result<Self> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let failed = |why: &dyn std::fmt::Display| {
            let name = Escaped::new(path);
            Error::new(Kind::Invalid, format!("control group {name}: {why}; give its path below {}", root.display()))
        };
        let parts = relative.components().map(|part| match part {
            std::path::Component::Normal(_) => Ok(()),
            _ => Err(failed(&"a path without . and .. is needed")),
        });
        let level = parts.collect::<Result<Vec<()>>>()?.len();
        let level = u8::try_from(level).ok().filter(|level| *level > 0);
        let level = level.ok_or_else(|| failed(&"it is the root, or too deep"))?;
        let found = fs::metadata(root.join(relative)).map_err(|why| failed(&why))?;
        if !found.is_dir() {
            return Err(failed(&io::Error::from(io::ErrorKind::NotADirectory)));
        }
        Ok(Cgroup { path: relative.to_owned(), level, id: std::os::unix::fs::MetadataExt::ino(&found) })
    }

    fn rule(&self) -> Rule {
        Rule::new().matches(socket_cgroup(SocketCgroup { level: self.level }, self.id)).counter()
    }

    fn name(&self) -> String {
        // What a comment can hold.
        Escaped::new(&self.path).to_string().chars().filter(|c| *c != '"').take(80).collect()
    }
}

/// Whose outbound traffic is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "those or the others")]
pub enum Containers {
    /// That of sockets in none of these groups.
    AllBut(Vec<Cgroup>),
    /// That of sockets in one of these groups, and below.
    Only(Vec<Cgroup>),
}

/// A mesh whose outbound rules are for some containers. Traffic that arrives is not affected.
pub struct ByCgroup {
    mesh: Arc<dyn Mesh>,
    containers: Containers,
}

impl ByCgroup {
    /// Limits this mesh.
    pub fn new(mesh: Arc<dyn Mesh>, containers: Containers) -> Self {
        ByCgroup { mesh, containers }
    }

    fn limit(&self, table: &mut Table) {
        let mut moved = Vec::new();
        for chain in table.chains.iter_mut().filter(|chain| is_outbound(chain)) {
            let own = std::mem::take(&mut chain.rules);
            match &self.containers {
                Containers::AllBut(groups) => {
                    let rules = groups.iter().map(|group| group.rule().r#return().comment(group.name()));
                    chain.rules = rules.chain(own).collect();
                }
                Containers::Only(groups) => {
                    let name = Name::from(format!("{}-of-containers", chain.name));
                    let to = |group: &Cgroup| group.rule().goto(name.clone()).comment(group.name());
                    chain.rules = groups.iter().map(to).collect();
                    moved.push(Chain::regular(name).rules(own));
                }
            }
        }
        table.chains.extend(moved);
    }
}

/// Returns whether the rules of a chain decide what of the traffic that leaves is captured. Chains
/// of type route are for the answers to what was captured where it arrived, and chains before
/// connection tracking set the zones of DNS, of the proxy's queries and answers too.
fn is_outbound(chain: &Chain) -> bool {
    match &chain.kind {
        ChainKind::Base(base) => {
            base.hook == Hook::Output && base.chain_type != ChainType::Route && base.priority > Priority::RAW
        }
        _ => false,
    }
}

impl std::fmt::Debug for ByCgroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByCgroup").field("containers", &self.containers).finish_non_exhaustive()
    }
}

impl Mesh for ByCgroup {
    fn rules(&self) -> Ruleset {
        let mut rules = self.mesh.rules();
        rules.tables.iter_mut().for_each(|table| self.limit(table));
        rules
    }

    fn routes(&self) -> RoutePlan {
        self.mesh.routes()
    }

    fn tables(&self) -> Vec<TableId> {
        self.mesh.tables()
    }

    fn warnings(&self) -> Vec<String> {
        self.mesh.warnings()
    }

    fn dns_port(&self) -> Option<u16> {
        self.mesh.dns_port()
    }

    fn site(&self) -> Site {
        self.mesh.site()
    }

    fn original(&self) -> Original {
        self.mesh.original()
    }

    fn outbound_port(&self) -> Option<u16> {
        self.mesh.outbound_port()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::istio::IstioConfig;

    fn some() -> Cgroup {
        Cgroup { path: "pod/app".into(), level: 2, id: 42 }
    }

    fn rules(containers: Containers) -> String {
        let mesh = IstioConfig::builder().dns(crate::mesh::istio::DnsCapture::All).build().expect("valid");
        ByCgroup::new(Arc::new(mesh), containers).rules().to_string()
    }

    #[test]
    fn groups_are_left_out_first_where_traffic_leaves_and_only_there() {
        let text = rules(Containers::AllBut(vec![some()]));
        let of_group = "socket cgroupv2 level 2 42 counter packets 0 bytes 0 return";
        let chains = text.matches("hook output").count() - text.matches("hook output priority raw").count();
        assert_eq!(text.matches(of_group).count(), chains, "{text}");
    }

    #[test]
    fn with_groups_that_are_captured_nothing_else_is() {
        let text = rules(Containers::Only(vec![some(), Cgroup { id: 43, ..some() }]));
        let of_group = "level 2 42 counter packets 0 bytes 0 goto output-of-containers";
        assert_eq!(text.matches(of_group).count(), 1, "{text}");
        assert!(text.contains("chain output-of-containers {") && text.contains("level 2 43"), "{text}");
    }

    /// The proxy is in none of the groups, and its DNS has zones of its own.
    #[test]
    fn zones_of_dns_are_set_whatever_the_group() {
        let ambient = || crate::mesh::ambient::AmbientConfig::builder().build().expect("valid");
        let sidecar = || IstioConfig::builder().dns(crate::mesh::istio::DnsCapture::All).build().expect("valid");
        let meshes: [(Arc<dyn Mesh>, &str); 2] =
            [(Arc::new(ambient()), "istio-ambient-raw"), (Arc::new(sidecar()), "istio-proxy-raw")];
        for (mesh, raw) in meshes {
            let zones = |rules: Ruleset| rules.tables.into_iter().find(|table| table.name.as_str() == raw);
            let limited = ByCgroup::new(mesh.clone(), Containers::Only(vec![some()]));
            assert!(zones(mesh.rules()).is_some());
            assert_eq!(zones(limited.rules()), zones(mesh.rules()));
        }
    }

    #[test]
    fn a_group_that_is_not_there_or_is_the_root_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("pod/app")).expect("made");
        let at = |path: &str| Cgroup::below(folder.path(), Path::new(path));
        assert_eq!(at("/pod/app").expect("it is there").level, 2);
        for path in ["", "/", "pod/none", "pod/../pod", "../x"] {
            let error = at(path).expect_err(path);
            assert!(error.is_invalid() && error.to_string().starts_with("control group "), "{error}");
        }
    }
}
