//! Sources of rules: `live`, `netns:PATH`, `save:FILE4[,FILE6]`, `nft:FILE`,
//! `istio:ENV=VALUE... FLAGS...`, `linkerd:FLAGS...`; and the host on which they run.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fs, io};

use clap::Args;
use ipnetwork::IpNetwork;
use nftmesh::Escaped;
use nftmesh::import::{Imported, Unknown, iptables_save};
use nftmesh::kernel::{self, Kernel, NetNs};
use nftmesh::mesh::istio::{self, IstioConfig, OPTIONS, RawOptions, parse_resolv_conf};
use nftmesh::mesh::linkerd::LinkerdFlags;
use nftmesh::model::{IpFamily, Ruleset};
use nftmesh::routes::RoutePlan;
use nftmesh::sim::{Host, Rules};

use super::run::RUN_FLAGS;
use super::system::System;

/// An argument that selects a source of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The rules that istio-init would install with these arguments.
    Istio(String),
    /// The rules that linkerd-init would install with these flags.
    Linkerd(String),
    /// The current network namespace.
    Live,
    /// Another network namespace.
    NetNs(PathBuf),
    /// A file in nft's language.
    Nft(PathBuf),
    /// The output of iptables-save and ip6tables-save.
    Save(PathBuf, Option<PathBuf>),
}

/// The pod, where the rules do not come from a kernel. With `live` and `netns:` the host is read,
/// and these options are ignored.
#[derive(Args, Clone, Debug)]
pub struct Pod {
    /// For istio:, save: and nft:, addresses of the pod's eth0, separated by commas, with or without
    /// a prefix length
    #[arg(long, value_name = "LIST", default_value = "10.77.0.2", value_delimiter = ',', value_parser = super::network)]
    pub addresses: Vec<IpNetwork>,
    /// For istio:, the pod's resolv.conf; without it the pod has no nameserver
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
        match text.split_once(':') {
            None if text == "live" => Ok(Source::Live),
            Some(("istio", words)) => Ok(Source::Istio(words.to_owned())),
            Some(("linkerd", words)) => Ok(Source::Linkerd(words.to_owned())),
            Some(("netns", path)) if !path.is_empty() => Ok(Source::NetNs(path.into())),
            Some(("nft", path)) if !path.is_empty() => Ok(Source::Nft(path.into())),
            Some(("save", "-,-")) => {
                Err("save:-,-: standard input can be read once; give one of the two as a file".to_owned())
            }
            Some(("save", files)) if files.split(',').all(|file| !file.is_empty()) => Ok(match files.split_once(',') {
                Some((v4, v6)) => Source::Save(v4.into(), Some(v6.into())),
                None => Source::Save(files.into(), None),
            }),
            _ => Err(format!(
                "no source {text:?}; give live, netns:PATH, save:FILE4[,FILE6], nft:FILE, 'istio:ENV=VALUE... FLAGS...' or 'linkerd:FLAGS...'"
            )),
        }
    }
}

impl Source {
    /// Reads the rules and the host.
    pub fn load(&self, pod: &Pod) -> Result<Loaded, Complaint> {
        let (rules, host, mut warnings) = match self {
            Source::Istio(words) => {
                let config = config(words, pod)?;
                let host = kernel::routed(pod.host(), &RoutePlan::from(&config));
                let warnings = config.warnings().iter().map(ToString::to_string).collect();
                (Rules::try_from(&Ruleset::from(&config)).map_err(line)?, host, warnings)
            }
            Source::Linkerd(words) => {
                let words = split("linkerd", words)?;
                let named = words.first().is_some_and(|word| word == "proxy-init");
                let flags = words.into_iter().skip(usize::from(named));
                let config = LinkerdFlags::parse(flags).map_err(|error| format!("linkerd: {error}"))?.config;
                (Rules::try_from(&Ruleset::from(&config)).map_err(line)?, pod.host(), config.warnings())
            }
            Source::Live => read(&NetNs::current().map_err(line)?)?,
            Source::NetNs(path) => read(&NetNs::from_path(path).map_err(line)?)?,
            Source::Nft(path) => {
                let (name, text) = System::read(path)?;
                let system = System::new(NetNs::current().ok());
                let ruleset = system.reader(&name).ruleset(text).map_err(|error| error.one_line())?;
                (Rules::try_from(&ruleset).map_err(line)?, pod.host(), Vec::new())
            }
            Source::Save(v4, v6) => {
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

/// Returns the options that words such as `ISTIO_DUAL_STACK=true -i '*'` give, independent of this
/// program's environment.
pub fn istio_options(words: &str) -> Result<RawOptions, Complaint> {
    let words = split("istio", words)?;
    let is_variable = |word: &&String| !word.starts_with('-') && word.contains('=');
    let variables: Vec<&String> = words.iter().take_while(is_variable).collect();
    let flags = words.iter().skip(variables.len());
    let is_known = |name: &str| {
        OPTIONS.iter().any(|option| option.env.contains(&name)) || RUN_FLAGS.iter().any(|flag| flag.variable == name)
    };
    if let Some(odd) = variables.iter().filter_map(|word| word.split('=').next()).find(|name| !is_known(name)) {
        return Err(format!("istio: {odd} is not a variable of istio-iptables; correct it or leave it out"));
    }
    let options = RawOptions::from_vars(variables.iter().filter_map(|word| word.split_once('='))).map_err(line)?;
    let command = super::drop_in::command("istio", "", &[]).no_binary_name(true).disable_help_flag(true);
    let matches = command.try_get_matches_from(flags).map_err(|error| {
        format!("istio: {}; variables come first, then flags, which istio-init --help lists", super::first_line(&error))
    })?;
    super::drop_in::with_flags(options, &matches).map_err(line)
}

/// Returns the configuration that these words give in the pod.
fn config(words: &str, pod: &Pod) -> Result<IstioConfig, Complaint> {
    let options = istio_options(words)?;
    let nameservers = match &pod.resolv_conf {
        Some(path) => file(path, "what the pod has as /etc/resolv.conf")?,
        None => String::new(),
    };
    let mut addresses: Vec<IpAddr> = vec![[127, 0, 0, 1].into()];
    addresses.extend(pod.addresses.iter().map(IpNetwork::ip));
    let host =
        istio::PodFacts { addresses, nameservers: parse_resolv_conf(&nameservers), ..istio::PodFacts::default() };
    IstioConfig::resolve(&options, &host).map_err(line)
}

/// Splits words as a shell does: at white space, but not within quotes or after a backslash.
fn split(mesh: &str, text: &str) -> Result<Vec<String>, Complaint> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(rest.next()),
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    match quote {
        Some(open) => Err(format!("{mesh}:{text}: {open} is not closed")),
        None => Ok(words),
    }
}

fn line(cause: nftmesh::Error) -> Complaint {
    cause.to_string()
}
