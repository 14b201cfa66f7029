//! What is in the network namespace, read once: rules, host, and who owns the chains.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::str::FromStr;

use nftmesh::kernel::NetNs;
use nftmesh::model::{Base, ChainId, ChainKind, ChainType, Hook, Ruleset, Statement};
use nftmesh::sim::{Fate, Host, Packet, RuleLine, Rules, Step, Walk, Walker};

use super::common;
use super::common::source::{Complaint, Loaded, Pod, Source};
use super::owner::Owner;

/// A packet that is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub packet: Packet,
    /// Whether the port of its source is `*`.
    pub any_port: bool,
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let source = words.get_mut(1).filter(|word| word.ends_with(":*"));
        let any_port = source.is_some();
        if let Some(word) = source {
            *word = format!("{}{SOME_PORT}", word.trim_end_matches('*'));
        }
        let packet = words.join(" ").parse().map_err(|error: nftmesh::Error| error.to_string())?;
        Ok(Asked { packet, any_port })
    }
}

impl Asked {
    /// Returns what was assumed, in lines.
    pub(crate) fn remark(&self, walk: &Walk) -> String {
        if !self.any_port {
            return String::new();
        }
        let asks = |rule: &str| ["sport", "@th,0,16"].iter().any(|word| rule.contains(word));
        let asking = walk.steps.iter().find_map(|step| match step {
            Step::Rule { rule, .. } if asks(&rule.to_string()) => Some(rule),
            _ => None,
        });
        match asking {
            Some(rule) => format!(
                "  note    {SOME_PORT} stands for the source port *, and {}, rule {}, asks for it; give the port\n",
                rule.chain, rule.number
            ),
            None => String::new(),
        }
    }
}

/// The namespace and what was read there.
pub(crate) struct Namespace {
    pub path: Option<PathBuf>,
    pub netns: NetNs,
    pub rules: Rules,
    pub host: Host,
    /// The rules as the model says them, with counters.
    pub ruleset: Ruleset,
    pub warnings: Vec<String>,
}

impl Namespace {
    pub(crate) fn read(path: Option<PathBuf>) -> Result<Self, Complaint> {
        let line = |error: nftmesh::Error| error.to_string();
        let netns = match &path {
            Some(path) => NetNs::from_path(path),
            None => NetNs::current(),
        };
        let netns = netns.map_err(line)?;
        let source = path.clone().map_or(Source::Live, Source::NetNs);
        let Loaded { rules, host, warnings } = source.load(&Pod { addresses: Vec::new(), resolv_conf: None })?;
        let ruleset = netns.kernel().and_then(|mut kernel| kernel.snapshot()).map_err(line)?.raise().ruleset;
        Ok(Namespace { path, netns, rules, host, ruleset, warnings })
    }

    pub(crate) fn walk(&self, packet: &Packet, incoming: Option<&str>) -> Result<Walk, Complaint> {
        let mut walker = Walker::new(&self.rules, &self.host);
        match incoming {
            None => Ok(walker.send(packet.clone())),
            Some(_) if packet.owner.is_some() => {
                Err("--in: what arrives has no socket here yet; leave out uid, gid and cgroup".to_owned())
            }
            Some(name) if self.host.interface(name).is_none() => {
                let known: Vec<&str> = self.host.links.iter().map(|link| link.interface.name.as_str()).collect();
                Err(format!("--in {name:?}: no such interface; there are {}", known.join(", ")))
            }
            Some(name) => Ok(walker.receive(packet.clone(), name)),
        }
    }

    /// Returns the base chains at a hook, in the order in which they run; those of equal priority
    /// in the order of their tables.
    pub(crate) fn chains_at(&self, hook: Hook) -> Vec<(ChainId, Base)> {
        let mut chains: Vec<(ChainId, Base)> = Vec::new();
        for table in &self.ruleset.tables {
            for chain in &table.chains {
                match &chain.kind {
                    ChainKind::Base(base) if base.hook == hook => {
                        chains.push((table.id().chain(&chain.name), *base));
                    }
                    _ => {}
                }
            }
        }
        chains.sort_by_key(|(_, base)| place(base));
        chains
    }

    /// Returns, for each hook, which chains run and whose they are.
    pub(crate) fn order(&self) -> String {
        let mut text = String::new();
        for hook in HOOKS {
            let chains = self.chains_at(hook);
            if chains.is_empty() {
                continue;
            }
            let _ = writeln!(text, "{hook}");
            let mut before: Option<(i32, i32)> = None;
            for (id, base) in &chains {
                let same = if before == Some(place(base)) { ", perhaps before the one above" } else { "" };
                before = Some(place(base));
                let owner = Owner::of(id, &self.ruleset);
                let _ = writeln!(text, "  {:>5}  {id}: {} ({owner}){same}", base.priority.0, base.chain_type.name());
            }
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "  {warning}");
        }
        if text.is_empty() {
            text.push_str("no chain of nf_tables is at any hook here\n");
        }
        text
    }
}

/// Returns where a chain runs at its hook, and where it runs among those there. Chains of type nat
/// run within address translation (nf_nat_register_fn, net/netfilter/nf_nat_core.c).
fn place(base: &Base) -> (i32, i32) {
    let at = match (base.chain_type, base.hook) {
        (ChainType::Nat, Hook::Prerouting | Hook::Output) => -100,
        (ChainType::Nat, _) => 100,
        _ => base.priority.0,
    };
    (at, base.priority.0)
}

/// Returns the text of a rule without its counters.
pub(crate) fn plain(rule: &RuleLine) -> String {
    let mut rule = rule.clone();
    rule.rule.statements.retain(|statement| !matches!(statement, Statement::Counter { .. }));
    rule.to_string()
}

/// Returns whether a step is a rule that matched.
pub(crate) fn matched(step: &Step) -> bool {
    matches!(step, Step::Rule { fate: Fate::Matched(_) | Fate::Queued, .. })
}

/// In the order in which a packet passes them.
pub(crate) const HOOKS: [Hook; 5] = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];
/// One that clients use (net.ipv4.ip_local_port_range).
const SOME_PORT: u16 = 40_000;

/// Prints a text in one line, shortened.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    let text = common::say::escaped(text);
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
