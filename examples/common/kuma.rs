//! Kuma by words: `VARIABLE=VALUE... FLAGS...`, with or without `kumactl install transparent-proxy`
//! before the flags, and by the files that its configuration may be in.

use std::io::Read;
use std::path::Path;
use std::{fs, io};

use nftmesh::mesh::kuma::{ConfigSource, KumaFlags};
use nftmesh::{Escaped, Quoted};
use serde_yaml_ng::Value;

use super::source::Complaint;

/// Takes the words of the original program off the front; returns whether it is to install.
pub fn command(words: &mut Vec<String>) -> Result<bool, Complaint> {
    if words.first().is_some_and(|word| word == "kumactl") {
        words.remove(0);
    }
    let installs = match words.first().map(String::as_str) {
        Some("install") => true,
        Some("uninstall") => false,
        _ => return Ok(true),
    };
    let word = words.remove(0);
    match words.first().map(String::as_str) {
        Some("transparent-proxy") => {
            words.remove(0);
            Ok(installs)
        }
        other => {
            let other = Quoted::new(other.unwrap_or_default()).to_string();
            Err(format!("{word} {other}: only transparent-proxy can be installed"))
        }
    }
}

/// Reads words; `None` if they uninstall.
pub fn flags(mut words: Vec<String>) -> Result<Option<KumaFlags>, Complaint> {
    let count = words.iter().take_while(|word| !word.starts_with('-') && word.contains('=')).count();
    let variables: Vec<(String, String)> = words
        .drain(..count)
        .filter_map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    if !command(&mut words)? {
        return Ok(None);
    }
    with_files(KumaFlags::parse(words, variables).map_err(|error| error.to_string())?).map(Some)
}

/// Reads what `--config` and `--config-file` give.
pub fn with_files(flags: KumaFlags) -> Result<KumaFlags, Complaint> {
    let mut flags = flags;
    for config in flags.configs.clone() {
        let text = match config {
            ConfigSource::File(file) => read(&file)?,
            ConfigSource::Text(text) => text,
        };
        let whole: Value = serde_yaml_ng::from_str(&text).map_err(|why| format!("the configuration: {why}"))?;
        if !matches!(whole, Value::Mapping(_) | Value::Null) {
            return Err("the configuration: it has no keys; give YAML or JSON, such as redirect: {dns: ...}".to_owned());
        }
        let mut values = Vec::new();
        collect("", &whole, &mut values)?;
        flags = flags.with_file(values).map_err(|error| error.to_string())?;
    }
    Ok(flags)
}

fn read(file: &Path) -> Result<String, Complaint> {
    let failed = |why: io::Error| format!("{}: {why}; give a file with the configuration", Escaped::new(file));
    if file == Path::new("-") {
        let mut text = String::new();
        return io::stdin().take(1 << 20).read_to_string(&mut text).map(|_| text).map_err(failed);
    }
    fs::read_to_string(file).map_err(failed)
}

/// Goes through the configuration; what is not about capture has no effect.
fn collect(path: &str, value: &Value, into: &mut Vec<(String, String)>) -> Result<(), Complaint> {
    if let Value::Mapping(entries) = value {
        for (key, value) in entries {
            let key = key.as_str().ok_or_else(|| format!("the configuration: {path}: a key is not a text"))?;
            let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            collect(&path, value, into)?;
        }
        return Ok(());
    }
    if let Some((_, flag)) = KEYS.iter().find(|(key, _)| *key == path) {
        into.push(((*flag).to_owned(), text(path, value)?));
        return Ok(());
    }
    let changes = ["inbound.excludePortsForUIDs", "ebpf.enabled"];
    let is_off = matches!(value, Value::Null | Value::Bool(false));
    if changes.iter().any(|end| path.ends_with(end)) && !is_off {
        return Err(format!("the configuration: {path}: this is not supported; leave it out"));
    }
    Ok(())
}

fn text(path: &str, value: &Value) -> Result<String, Complaint> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.clone()),
        Value::Sequence(items) => {
            let items = items.iter().map(|item| text(path, item)).collect::<Result<Vec<_>, _>>()?;
            Ok(items.join(if path.ends_with("excludePortsForUIDs") { ";" } else { "," }))
        }
        Value::Mapping(_) | Value::Tagged(_) => {
            Err(format!("the configuration: {path}: give a text, a number, a boolean or a list"))
        }
    }
}

/// Keys of the configuration, and the flags that say the same.
const KEYS: &[(&str, &str)] = &[
    ("kumaDPUser", "kuma-dp-user"),
    ("ipFamilyMode", "ip-family-mode"),
    ("redirect.inbound.enabled", "redirect-inbound"),
    ("redirect.inbound.port", "redirect-inbound-port"),
    ("redirect.outbound.port", "redirect-outbound-port"),
    ("redirect.inbound.excludePorts", "exclude-inbound-ports"),
    ("redirect.outbound.excludePorts", "exclude-outbound-ports"),
    ("redirect.outbound.enabled", "redirect-outbound"),
    ("redirect.inbound.includePorts", "include-inbound-ports"),
    ("redirect.outbound.includePorts", "include-outbound-ports"),
    ("redirect.inbound.excludePortsForIPs", "exclude-inbound-ips"),
    ("redirect.outbound.excludePortsForIPs", "exclude-outbound-ips"),
    ("redirect.outbound.excludePortsForUIDs", "exclude-outbound-ports-for-uids"),
    ("redirect.dns.enabled", "redirect-dns"),
    ("redirect.dns.captureAll", "redirect-all-dns-traffic"),
    ("redirect.dns.port", "redirect-dns-port"),
    ("redirect.dns.skipConntrackZoneSplit", "skip-dns-conntrack-zone-split"),
    ("redirect.vnet.networks", "vnet"),
    ("dropInvalidPackets", "drop-invalid-packets"),
    ("redirect.outbound.insertRedirectInsteadOfAppend", "redirect-outbound-insert-instead-of-append"),
    ("dryRun", "dry-run"),
];
