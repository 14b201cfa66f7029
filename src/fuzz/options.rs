//! The options of istio-iptables, and the files of a host.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::assert_one_line;
use crate::mesh::ambient::AmbientNode;
use crate::mesh::istio::{IstioConfig, OPTIONS, PodFacts, RawOptions, parse_group, parse_passwd, parse_resolv_conf};
use crate::model::Ruleset;
use crate::routes::RoutePlan;

/// A text of lines: `VARIABLE=value`, `--flag value`, `nameserver ...` and other lines of
/// resolv.conf(5), passwd(5) and group(5), an address alone. What resolves is a valid rule set;
/// what does not says why in one line.
pub fn options(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let vars = bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        let (name, value) = line.split_at(at);
        Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value.get(1..)?.to_vec())))
    });
    ambient(vars.clone(), &text);
    let mut options = match RawOptions::from_vars(vars) {
        Ok(options) => options,
        Err(error) => return assert_one_line(&error.to_string()),
    };
    for line in text.lines().filter(|line| line.starts_with('-')) {
        let (flag, value) = line.split_once(' ').unwrap_or((line, ""));
        if let Err(error) = options.set_flag(flag, value) {
            assert_one_line(&error.to_string());
        }
    }
    OPTIONS.iter().filter_map(|option| options.given(option.name)).for_each(|(name, _)| assert_one_line(name));
    let host = PodFacts {
        addresses: text.lines().filter_map(|line| line.parse().ok()).collect(),
        nameservers: parse_resolv_conf(&text),
        users: parse_passwd(&text),
        groups: parse_group(&text),
    };
    match IstioConfig::resolve(&options, &host) {
        Ok(config) => {
            config.warnings().iter().for_each(|warning| assert_one_line(&warning.to_string()));
            drop(RoutePlan::from(&config).entries());
            let ruleset = Ruleset::from(&config);
            if let Err(invalid) = ruleset.validate() {
                panic!("{config:?}: {invalid}\n{ruleset}");
            }
        }
        Err(error) => assert_one_line(&error.to_string()),
    }
}

/// The same lines as variables of a node of ambient pods, and as annotations of a pod.
fn ambient(vars: impl IntoIterator<Item = (OsString, OsString)>, text: &str) {
    let node = match AmbientNode::from_vars(vars) {
        Ok(node) => node,
        Err(error) => return assert_one_line(&error.to_string()),
    };
    let mut host = node.host();
    for (address, uid) in text.lines().filter_map(|line| line.split_once('@')) {
        if let Err(error) = address.parse().map_or(Ok(false), |address| host.set(address, uid)) {
            assert_one_line(&error.to_string());
        }
    }
    Ruleset::from(&host).validate().expect("a node gives a valid rule set");
    match node.pod(text.lines().filter_map(|line| line.split_once('='))) {
        Ok(pod) => {
            pod.warnings().iter().for_each(|warning| assert_one_line(warning));
            Ruleset::from(&pod).validate().expect("a pod gives a valid rule set");
        }
        Err(error) => assert_one_line(&error.to_string()),
    }
}
