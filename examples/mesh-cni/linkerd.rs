//! Linkerd's proxy, by the options and annotations of `linkerd-cni`.

use nftmesh::mesh::linkerd::{FLAGS, LinkerdFlags};

use super::failure::Failure;
use super::mesh::{Network, Options, Wanted, invalid};
use super::pod::Pod;

pub(crate) fn is_option(name: &str) -> bool {
    // How the program runs is decided here.
    name != "netns" && FLAGS.iter().any(|flag| flag.name == name)
}

pub(crate) fn wanted(options: Options, pod: &Pod<'_>, _: &Network<'_>) -> Result<Wanted, Failure> {
    if let Some(why) = left_alone(pod)? {
        return Ok(Wanted::Nothing(why.to_owned()));
    }
    let mut flags = Flags(options.0);
    // As in `linkerd-cni`: the flag's default is the other.
    if flags.get("ipv6").is_none() {
        flags.set("ipv6", "false");
    }
    for (annotation, flag) in REPLACED {
        if let Some(value) = pod.annotation_around(&format!("config.linkerd.io/{annotation}"))? {
            flags.set(flag, value);
        }
    }
    if let Some(ports) = pod.annotation_around("config.linkerd.io/skip-inbound-ports")? {
        flags.add("inbound-ports-to-ignore", ports);
    }
    if pod.label("linkerd.io/control-plane-component")?.is_some() {
        flags.add("outbound-ports-to-ignore", API_SERVER);
    }
    let words = flags.0.into_iter().filter(|(_, value)| !value.is_empty());
    let flags = LinkerdFlags::parse(words.map(|(name, value)| format!("--{name}={value}"))).map_err(invalid)?;
    if flags.simulate {
        return Ok(Wanted::Nothing("simulate is true".to_owned()));
    }
    Ok(Wanted::Rules(Box::new(flags.config), Vec::new()))
}

fn left_alone(pod: &Pod<'_>) -> Result<Option<&'static str>, Failure> {
    if pod.has_containers() {
        if pod.has_init("linkerd-init") {
            return Ok(Some("its init container linkerd-init installs the rules"));
        }
        let is_meshed = pod.containers().any(|container| container.name() == "linkerd-proxy");
        return Ok((!is_meshed).then_some("it has no container linkerd-proxy"));
    }
    let is_meshed = !pod.is_described() || pod.annotation("linkerd.io/proxy-version")?.is_some();
    Ok((!is_meshed).then_some("it has no annotation linkerd.io/proxy-version, so no proxy was added to it"))
}

/// Options by the names of flags.
struct Flags(Vec<(String, String)>);

impl Flags {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(flag, _)| flag == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(flag, _)| flag != name);
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn add(&mut self, name: &str, value: &str) {
        let more = match self.get(name) {
            Some(given) if !given.is_empty() => format!("{given},{value}"),
            _ => value.to_owned(),
        };
        self.set(name, &more);
    }
}

/// Annotations, below `config.linkerd.io/`, that replace an option.
const REPLACED: [(&str, &str); 4] = [
    ("skip-outbound-ports", "outbound-ports-to-ignore"),
    ("skip-subnets", "subnets-to-ignore"),
    ("proxy-uid", "proxy-uid"),
    ("proxy-gid", "proxy-gid"),
];
/// The ports of Kubernetes' API server, which the control plane reaches without a proxy.
const API_SERVER: &str = "443,6443";
