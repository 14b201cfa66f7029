//! The twelve cases of the reference, as the options that made them, and the rules that this crate
//! makes from the same options.

#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

use std::net::IpAddr;

use nftmesh::mesh::istio::{IstioConfig, PodFacts, RawOptions, parse_resolv_conf};
use nftmesh::pod::Pod;
use nftmesh::routes::RoutePlan;

use crate::support::ip;

/// A command line of `istio-iptables`: variables, then flags with values, as a shell reads them.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub options: &'static str,
}

/// The options of the reference's runs; `NAME/cmd` of the recordings.
pub const CASES: &[Case] = &[
    Case { name: "inbound-none", options: "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '' -d ''" },
    Case {
        name: "redirect",
        options: "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020",
    },
    Case {
        name: "redirect-cidr",
        options: "-p 15001 -z 15006 -u 1337 -m REDIRECT -i 10.0.0.0/8,172.16.0.0/12 -x 10.9.0.0/16 -b 80,443 \
                  -d 15090,15021,15020 -o 22,3306 -q 8080",
    },
    Case {
        name: "redirect-dns",
        options: "ISTIO_DUAL_STACK=true -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' \
                  -d 15090,15021,15020 --redirect-dns",
    },
    Case {
        name: "redirect-ds",
        options: "ISTIO_DUAL_STACK=true -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' \
                  -d 15090,15021,15020",
    },
    Case {
        name: "redirect-exclif",
        options: "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020 -c eth5,eth6",
    },
    Case {
        name: "redirect-groupsex",
        options: "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=100,200 -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' \
                  -b '*' -d 15090,15021,15020",
    },
    Case {
        name: "redirect-kubevirt",
        options: "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020 -k tap0,tap1",
    },
    Case {
        name: "redirect-multiuid",
        options: "-p 15001 -z 15006 -u 1337,0 -g 1337,0 -m REDIRECT -i '*' -x '' -b '*' -d 15090",
    },
    Case { name: "tproxy", options: "-p 15001 -z 15006 -u 1337 -m TPROXY -i '*' -x '' -b '*' -d 15090,15021,15020" },
    Case {
        name: "tproxy-ds",
        options: "ISTIO_DUAL_STACK=true -p 15001 -z 15006 -u 1337 -m TPROXY -i '*' -x '' -b '*' -d 15090,15021,15020",
    },
    Case {
        name: "tproxy-ports",
        options: "ISTIO_DUAL_STACK=true -p 15001 -z 15006 -u 1337 -m TPROXY -i '*' -x '' -b 80,443 -d 15090",
    },
];

/// Returns the configuration that these options make in the pod of the traffic tests, whose
/// `resolv.conf` names `nameservers`.
#[track_caller]
pub fn config(options: &str, nameservers: &str) -> IstioConfig {
    let words: Vec<String> = options.split_whitespace().map(|word| word.replace('\'', "")).collect();
    let is_flag = |word: &str| word.starts_with('-');
    let vars = words.iter().filter(|word| !is_flag(word)).filter_map(|word| word.split_once('='));
    let mut raw = RawOptions::from_vars(vars).expect("the test gives text");
    let mut rest = words.iter().peekable();
    while let Some(word) = rest.next() {
        if is_flag(word) {
            let value = rest.next_if(|next| !is_flag(next) && !next.contains('=')).map_or("true", String::as_str);
            raw.set_flag(word, value).expect("the test gives flags that exist");
        }
    }
    let addresses = ["127.0.0.1", "10.77.0.2", "::1", "fd77::2", "fe80::1"];
    let addresses: Vec<IpAddr> = addresses.map(|address| address.parse().expect("an address")).into();
    let host = PodFacts { addresses, nameservers: parse_resolv_conf(nameservers), ..PodFacts::default() };
    IstioConfig::resolve(&raw, &host).unwrap_or_else(|error| panic!("{options}: {error}"))
}

/// Installs the rules and routes of a configuration in this thread's namespace.
#[track_caller]
pub fn apply(config: &IstioConfig) {
    Pod::open().and_then(|mut pod| pod.install(config)).expect("a configuration can be installed");
}

/// Installs only the routes.
#[track_caller]
pub fn route(config: &IstioConfig) {
    for line in RoutePlan::from(config).to_string().lines() {
        ip(line.strip_prefix("ip ").expect("a route plan prints ip commands"));
    }
}
