//! Sources of rules: `live`, `netns:PATH`, `save:FILE4[,FILE6[,IPSETS]]`, `nft:FILE`, the words of
//! a mesh; and the host on which they run.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fs, io};

use clap::Args;
use ipnetwork::IpNetwork;
use nftmesh::Escaped;
use nftmesh::import::{Imported, IpSets, Unknown, iptables_save};
use nftmesh::kernel::{self, Kernel, NetNs};
use nftmesh::model::{IpFamily, Ruleset};
use nftmesh::sim::{Host, Rules};

use super::system::System;
use super::tenants::{Facts, Tenant, WORDS};

/// An argument that selects a source of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The rules of a mesh with these options.
    Mesh(Tenant),
    /// The current network namespace.
    Live,
    /// Another network namespace.
    NetNs(PathBuf),
    /// A file in nft's language.
    Nft(PathBuf),
    /// The output of iptables-save, ip6tables-save and `ipset save`.
    Save(PathBuf, Option<PathBuf>, Option<PathBuf>),
}

/// The pod, where the rules do not come from a kernel. With `live` and `netns:` the host is read,
/// and these options are ignored.
#[derive(Args, Clone, Debug)]
pub struct Pod {
    /// For a mesh, save: and nft:, addresses of the pod's eth0, separated by commas, with or without
    /// a prefix length
    #[arg(long, value_name = "LIST", default_value = "10.77.0.2", value_delimiter = ',', value_parser = super::network)]
    pub addresses: Vec<IpNetwork>,
    /// For a mesh, the pod's resolv.conf; without it the pod has no nameserver
    #[arg(long, value_name = "FILE")]
    pub resolv_conf: Option<PathBuf>,
}

/// Rules, and the host on which they run.
#[derive(Debug)]
pub struct Loaded {
    pub rules: Rules,
    pub host: Host,
    /// Warnings, one line each.
    pub warnings: Vec<String>,
}

/// An error in one line, with the remedy.
pub type Complaint = String;

impl FromStr for Source {
    type Err = Complaint;

    fn from_str(text: &str) -> Result<Self, Complaint> {
        let tenant = text.split_once(':').and_then(|(mesh, words)| Tenant::parse(mesh, words));
        if let Some(tenant) = tenant {
            return tenant.map(Source::Mesh);
        }
        match text.split_once(':') {
            None if text == "live" => Ok(Source::Live),
            Some(("netns", path)) if !path.is_empty() => Ok(Source::NetNs(path.into())),
            Some(("nft", path)) if !path.is_empty() => Ok(Source::Nft(path.into())),
            Some(("save", "-,-")) => {
                Err("save:-,-: standard input can be read once; give one of the two as a file".to_owned())
            }
            Some(("save", files)) if files.split(',').all(|file| !file.is_empty()) => {
                let mut files = files.splitn(3, ',').map(PathBuf::from);
                Ok(Source::Save(files.next().unwrap_or_default(), files.next(), files.next()))
            }
            _ => Err(format!(
                "no source {text:?}; give live, netns:PATH, save:FILE4[,FILE6[,IPSETS]], nft:FILE, {WORDS}"
            )),
        }
    }
}

impl Source {
    /// Reads the rules and the host.
    pub fn load(&self, pod: &Pod) -> Result<Loaded, Complaint> {
        let (rules, host, mut warnings) = match self {
            Source::Mesh(tenant) => {
                let mesh = tenant.resolve(&pod.facts()?).map_err(line)?;
                let host = kernel::routed(pod.host(), &mesh.routes());
                (Rules::try_from(&mesh.rules()).map_err(line)?, host, mesh.warnings())
            }
            Source::Live => read(&NetNs::current().map_err(line)?)?,
            Source::NetNs(path) => read(&NetNs::from_path(path).map_err(line)?)?,
            Source::Nft(path) => {
                let (name, text) = System::read(path)?;
                let system = System::new(NetNs::current().ok());
                let ruleset = system.reader(&name).ruleset(text).map_err(|error| error.one_line())?;
                (Rules::try_from(&ruleset).map_err(line)?, pod.host(), Vec::new())
            }
            Source::Save(v4, v6, sets) => {
                let (mut ruleset, mut warnings, mut left_out) = (Ruleset::new(), Vec::new(), Vec::new());
                for (path, family) in [(Some(v4), IpFamily::Ipv4), (v6.as_ref(), IpFamily::Ipv6)] {
                    let Some(path) = path else { continue };
                    let imported = imported(path, family)?;
                    let name = Escaped::new(path);
                    if imported.ruleset.tables.is_empty() {
                        warnings.push(format!("{name}: it has no tables, so it decides nothing"));
                    }
                    let remarks = imported.remarks.iter().filter(|remark| remark.is_warning());
                    left_out.extend(remarks.map(|remark| format!("{name}: line {}: {}", remark.line, remark.text)));
                    ruleset.tables.extend(imported.ruleset.tables);
                }
                if let Some(path) = sets {
                    let text = file(path, "what ipset save prints")?;
                    let sets: IpSets = text.parse().map_err(|cause| format!("{}: {cause}", Escaped::new(path)))?;
                    sets.fill(&mut ruleset);
                }
                let rules = Rules::try_from(&ruleset).map_err(line)?;
                (left_out.into_iter().fold(rules, Rules::with_unknown), pod.host(), warnings)
            }
        };
        warnings.extend(rules.unknown().iter().map(|unknown| format!("not walked: {unknown}")));
        Ok(Loaded { rules, host, warnings })
    }
}

impl Pod {
    fn host(&self) -> Host {
        Host::pod(self.addresses.iter().copied())
    }

    fn facts(&self) -> Result<Facts, Complaint> {
        let resolv_conf = match &self.resolv_conf {
            Some(path) => file(path, "what the pod has as /etc/resolv.conf")?,
            None => String::new(),
        };
        let mut addresses: Vec<IpAddr> = vec![[127, 0, 0, 1].into()];
        addresses.extend(self.addresses.iter().map(IpNetwork::ip));
        Ok(Facts { addresses, resolv_conf, ..Facts::default() })
    }
}

fn read(namespace: &NetNs) -> Result<(Rules, Host, Vec<String>), Complaint> {
    let mut rules = rules(&mut namespace.kernel().map_err(line)?).map_err(line)?;
    match namespace.legacy_tables() {
        Ok(older) if older.is_empty() => {}
        Ok(older) => {
            let names: Vec<String> = older.iter().map(ToString::to_string).collect();
            rules = rules.with_legacy_tables(older.iter().cloned());
            let saved = "give what iptables-legacy-save and ip6tables-legacy-save print as save:FILE4,FILE6";
            rules = rules.with_unknown(format!("tables of iptables-legacy ({}); {saved}", names.join(", ")));
        }
        Err(cause) => {
            rules = rules.with_unknown(format!("tables of iptables-legacy, if there are any: {cause}; run as root"));
        }
    }
    Ok((rules, namespace.host().map_err(line)?, Vec::new()))
}

/// Reads the rules and their order in the kernel at one moment.
fn rules(kernel: &mut Kernel) -> nftmesh::Result<Rules> {
    loop {
        let (snapshot, hooks) = (kernel.snapshot()?, kernel.hooks()?);
        if kernel.generation()? == snapshot.generation {
            let rules = Rules::try_from(&snapshot)?;
            return Ok(hooks.map_or(rules.clone(), |hooks| rules.with_hooks(hooks)));
        }
    }
}

/// Imports a file. Unknown matches and targets become opaque statements, which a walk reports.
fn imported(path: &Path, family: IpFamily) -> Result<Imported, Complaint> {
    let program = match family {
        IpFamily::Ipv4 => "iptables-save",
        IpFamily::Ipv6 => "ip6tables-save",
    };
    let text = file(path, &format!("what {program} prints"))?;
    iptables_save(&text, family, Unknown::KeepOpaque).map_err(|cause| format!("{}: {cause}", Escaped::new(path)))
}

/// Reads a file that should contain `what`; `-` is standard input.
fn file(path: &Path, what: &str) -> Result<String, Complaint> {
    let text = if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
    text.map_err(|cause| match cause.kind() {
        io::ErrorKind::InvalidData => format!("{}: not text; give {what}", Escaped::new(path)),
        _ => format!("{}: {cause}; give a file with {what}", Escaped::new(path)),
    })
}

fn line(cause: nftmesh::Error) -> Complaint {
    cause.to_string()
}
