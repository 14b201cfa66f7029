//! The 16 steps of a request through a sidecar, as Istio's documentation and Jimmy Song's diagram of
//! sidecar traffic show them.
#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

use nftmesh::sim::{Delivery, End, Step, Walk};

/// The steps of the first pair in the diagram: number, its name there, our name, and which of the
/// four walks.
pub const DIAGRAM: [(usize, &str, &str, usize); 16] = [
    (1, "PREROUTING", "PREROUTING", 0),
    (2, "ISTIO_INBOUND", "istio-inbound", 0),
    (3, "ISTIO_IN_REDIRECT", "istio-in-redirect", 0),
    (4, "Envoy, inbound, 15006", ":15006", 0),
    (5, "OUTPUT", "OUTPUT", 1),
    (6, "ISTIO_OUTPUT", "istio-output", 1),
    (7, "POSTROUTING", "POSTROUTING", 1),
    (8, "the application", ":9000", 1),
    (9, "OUTPUT", "OUTPUT", 2),
    (10, "ISTIO_OUTPUT", "istio-output", 2),
    (11, "ISTIO_REDIRECT", "istio-redirect", 2),
    (12, "Envoy, outbound, 15001", ":15001", 2),
    (13, "OUTPUT", "OUTPUT", 3),
    (14, "ISTIO_OUTPUT", "istio-output", 3),
    (15, "POSTROUTING", "POSTROUTING", 3),
    (16, "the remote service", "eth0", 3),
];

/// Returns the hooks in capitals, the chains they call except those that only refuse a SYN on an
/// old entry, `lo` where the packet re-enters, and the port or interface of the end.
pub fn way(walk: &Walk) -> Vec<String> {
    let mut way = through(&walk.steps);
    way.push(match &walk.end {
        End::Delivered(Delivery { port, transparent, .. }) => {
            format!("{}{port}", if *transparent { "tproxy:" } else { ":" })
        }
        End::Sent(interface) => interface.name.clone(),
        _ => panic!("{walk}"),
    });
    way
}

/// Returns the same for the steps of a walk or of a trace, without the end.
pub fn through<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Vec<String> {
    let mut way: Vec<String> = Vec::new();
    for step in steps {
        match step {
            Step::Hook { hook, .. } => way.push(hook.name().to_uppercase()),
            Step::Loopback => way.push("lo".to_owned()),
            Step::Rule { rule, .. } if rule.chain.name.as_str().starts_with("istio") => {
                let table = rule.chain.table.name.as_str().trim_start_matches("istio-proxy-");
                let chain = match table {
                    "nat" => rule.chain.name.to_string(),
                    other => format!("{other}/{}", rule.chain.name),
                };
                let refuses = chain.ends_with("-syn") || chain == "istio-refuse";
                if !refuses && way.last() != Some(&chain) {
                    way.push(chain);
                }
            }
            _ => {}
        }
    }
    way
}
