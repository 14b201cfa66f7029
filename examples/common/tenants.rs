//! Meshes by the words that configure them: `istio:ENV=VALUE... FLAGS...`, `linkerd:FLAGS...`,
//! `kuma:FLAGS...`, `ambient:ENV=VALUE... ANNOTATION=VALUE...`, `ambient-host:ENV=VALUE...`.

use std::net::IpAddr;

use nftmesh::mesh::Mesh;
use nftmesh::mesh::ambient::{AmbientConfig, AmbientHost};
use nftmesh::mesh::istio::{IstioConfig, OPTIONS, PodFacts, RawOptions, parse_resolv_conf};
use nftmesh::mesh::kuma::{KumaFacts, KumaFlags};
use nftmesh::mesh::linkerd::{LinkerdConfig, LinkerdFlags};
use nftmesh::model::{Ruleset, TableId};

use super::Own;
use super::run::RUN_FLAGS;
use super::source::Complaint;
use super::{ambient, kuma};

/// A mesh with its options. What a pod has to do with it is decided for each pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenant {
    Istio(Box<RawOptions>),
    Linkerd(Box<LinkerdConfig>),
    /// `None` after it was uninstalled.
    Kuma(Option<Box<KumaFlags>>),
    Ambient(Box<AmbientConfig>),
    /// The node of ambient pods.
    AmbientHost(Box<AmbientHost>),
}

/// A mesh that has been removed.
struct Nothing;

impl Mesh for Nothing {
    fn rules(&self) -> Ruleset {
        Ruleset::new()
    }

    fn tables(&self) -> Vec<TableId> {
        Vec::new()
    }
}

/// What a configuration may depend on.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The pod's addresses, without those that are link-local.
    pub addresses: Vec<IpAddr>,
    /// Its link-local addresses.
    pub link_local: Vec<IpAddr>,
    /// The text of its resolv.conf.
    pub resolv_conf: String,
}

/// The words of each mesh, for messages.
pub const WORDS: &str = "'istio:ENV=VALUE... FLAGS...', 'linkerd:FLAGS...', 'kuma:FLAGS...', \
     'ambient:ENV=VALUE... ANNOTATION=VALUE...' or 'ambient-host:ENV=VALUE...'";

impl Tenant {
    /// Reads the words after the name of a mesh, independent of this program's environment; `None`
    /// when there is no such mesh.
    pub fn parse(mesh: &str, words: &str) -> Option<Result<Self, Complaint>> {
        let read = match mesh {
            "istio" => |words| istio_options(words).map(|options| Tenant::Istio(Box::new(options))),
            "linkerd" => linkerd,
            "kuma" => |words| kuma::flags(words).map(|flags| Tenant::Kuma(flags.map(Box::new))),
            "ambient" => |words| ambient::pod(words).map(|config| Tenant::Ambient(Box::new(config))),
            "ambient-host" => |words| ambient::host(words).map(|host| Tenant::AmbientHost(Box::new(host))),
            _ => return None,
        };
        let command = split(words).map(last_command).map(without_env);
        Some(command.and_then(read).map_err(|why| format!("{mesh}: {why}")))
    }

    /// Returns the mesh in a pod.
    pub fn resolve(&self, facts: &Facts) -> nftmesh::Result<Box<dyn Mesh>> {
        Ok(match self {
            Tenant::Istio(options) => {
                let facts = PodFacts {
                    addresses: facts.addresses.clone(),
                    nameservers: parse_resolv_conf(&facts.resolv_conf),
                    ..PodFacts::default()
                };
                Box::new(IstioConfig::resolve(options, &facts)?)
            }
            Tenant::Linkerd(config) => config.clone(),
            Tenant::Kuma(None) => Box::new(Nothing),
            Tenant::Kuma(Some(flags)) => {
                let facts = KumaFacts {
                    users: None,
                    addresses: [facts.addresses.as_slice(), &facts.link_local].concat(),
                    nameservers: parse_resolv_conf(&facts.resolv_conf).addresses,
                };
                Box::new(flags.resolve(&facts)?)
            }
            Tenant::Ambient(config) => config.clone(),
            Tenant::AmbientHost(host) => host.clone(),
        })
    }
}

/// Reads the words of `ambient-host:`.
pub fn ambient_host(words: &str) -> Result<AmbientHost, Complaint> {
    split(words).and_then(ambient::host).map_err(|why| format!("ambient-host: {why}"))
}

/// Returns the options that words such as `ISTIO_DUAL_STACK=true -i '*'` give.
fn istio_options(words: Vec<String>) -> Result<RawOptions, Complaint> {
    let is_variable = |word: &&String| !word.starts_with('-') && word.contains('=');
    let variables: Vec<&String> = words.iter().take_while(is_variable).collect();
    let flags = words.iter().skip(variables.len());
    let is_known = |name: &str| {
        OPTIONS.iter().any(|option| option.env.contains(&name)) || RUN_FLAGS.iter().any(|flag| flag.variable == name)
    };
    if let Some(odd) = variables.iter().filter_map(|word| word.split('=').next()).find(|name| !is_known(name)) {
        return Err(format!("{odd} is not a variable of istio-iptables; correct it or leave it out"));
    }
    let options = RawOptions::from_vars(variables.iter().filter_map(|word| word.split_once('='))).map_err(line)?;
    let command = super::drop_in::command("istio", "", Own::default()).no_binary_name(true).disable_help_flag(true);
    let matches = command.try_get_matches_from(flags).map_err(|error| {
        format!("{}; variables come first, then flags, which istio-init --help lists", super::first_line(&error))
    })?;
    super::drop_in::with_flags(options, &matches).map_err(line)
}

fn linkerd(words: Vec<String>) -> Result<Tenant, Complaint> {
    let named = words.first().is_some_and(|word| word == "proxy-init");
    let flags = LinkerdFlags::parse(words.into_iter().skip(usize::from(named))).map_err(line)?;
    Ok(Tenant::Linkerd(Box::new(flags.config)))
}

/// Of several commands with `&&` between them the last one counts: each replaces what was there.
fn last_command(mut words: Vec<String>) -> Vec<String> {
    if let Some(end) = words.iter().rposition(|word| word == "&&") {
        words.drain(..=end);
    }
    words
}

/// Variables may come after `env`, as on a command line.
fn without_env(mut words: Vec<String>) -> Vec<String> {
    if words.first().is_some_and(|word| word == "env") {
        words.remove(0);
    }
    words
}

/// Splits words as a shell does: at white space, but not within quotes or after a backslash.
fn split(text: &str) -> Result<Vec<String>, Complaint> {
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
        Some(open) => Err(format!("{text}: {open} is not closed")),
        None => Ok(words),
    }
}

fn line(cause: nftmesh::Error) -> Complaint {
    cause.to_string()
}
