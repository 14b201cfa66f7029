//! The targets and their options, by name. Chains of the table are not among them.
//!
//! ```text
//! logs    what is recorded         nat        address translation
//! marks   marks, zones, TPROXY     verdicts   the fate of the packet
//! ```

mod logs;
mod marks;
mod nat;
mod verdicts;

use super::extension::{Extension, Opt};

/// Returns the target of this name.
pub(super) fn find(name: &str) -> Option<&'static Extension> {
    TARGETS.iter().find(|extension| extension.name == name)
}

#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    TARGETS.iter().map(|extension| extension.name).collect()
}

const RANDOM: Opt = Opt::flag("--random");
const PERSISTENT: Opt = Opt::flag("--persistent");
const FULLY: Opt = Opt::flag("--random-fully");

static TARGETS: [Extension; 19] = [
    Extension { name: "ACCEPT", options: &[], read: verdicts::accept },
    Extension { name: "DROP", options: &[], read: verdicts::drop },
    Extension { name: "RETURN", options: &[], read: verdicts::r#return },
    Extension { name: "REJECT", options: &[Opt::value("--reject-with")], read: verdicts::reject },
    Extension {
        name: "NFQUEUE",
        options: &[
            Opt::value("--queue-num"),
            Opt::value("--queue-balance"),
            Opt::flag("--queue-bypass"),
            Opt::flag("--queue-cpu-fanout"),
        ],
        read: verdicts::queue,
    },
    Extension {
        name: "LOG",
        options: &[
            Opt::value("--log-level"),
            Opt::value("--log-prefix"),
            Opt::flag("--log-tcp-sequence"),
            Opt::flag("--log-tcp-options"),
            Opt::flag("--log-ip-options"),
            Opt::flag("--log-uid"),
            Opt::flag("--log-macdecode"),
        ],
        read: logs::log,
    },
    Extension {
        name: "NFLOG",
        options: &[
            Opt::value("--nflog-group"),
            Opt::value("--nflog-prefix"),
            Opt::value("--nflog-size"),
            Opt::value("--nflog-threshold"),
            Opt::value("--nflog-range"),
        ],
        read: logs::nflog,
    },
    Extension { name: "AUDIT", options: &[Opt::value("--type")], read: logs::audit },
    Extension { name: "TRACE", options: &[], read: logs::trace },
    Extension { name: "DNAT", options: &[Opt::value("--to-destination"), RANDOM, PERSISTENT], read: nat::dnat },
    Extension { name: "SNAT", options: &[Opt::value("--to-source"), RANDOM, FULLY, PERSISTENT], read: nat::snat },
    Extension { name: "MASQUERADE", options: &[Opt::value("--to-ports"), RANDOM, FULLY], read: nat::masquerade },
    Extension { name: "REDIRECT", options: &[Opt::value("--to-ports"), RANDOM], read: nat::redirect },
    Extension {
        name: "TPROXY",
        options: &[Opt::value("--on-port"), Opt::value("--on-ip"), Opt::value("--tproxy-mark")],
        read: marks::tproxy,
    },
    Extension {
        name: "MARK",
        options: &[
            Opt::value("--set-xmark"),
            Opt::value("--set-mark"),
            Opt::value("--and-mark"),
            Opt::value("--or-mark"),
            Opt::value("--xor-mark"),
        ],
        read: marks::mark,
    },
    Extension {
        name: "CONNMARK",
        options: &[
            Opt::value("--set-xmark"),
            Opt::value("--set-mark"),
            Opt::value("--and-mark"),
            Opt::value("--or-mark"),
            Opt::value("--xor-mark"),
            Opt::flag("--save-mark"),
            Opt::flag("--restore-mark"),
            Opt::value("--nfmask"),
            Opt::value("--ctmask"),
            Opt::value("--mask"),
            Opt::value("--left-shift-mark"),
            Opt::value("--right-shift-mark"),
        ],
        read: marks::connmark,
    },
    Extension {
        name: "CT",
        options: &[
            Opt::flag("--notrack"),
            Opt::value("--zone"),
            Opt::value("--zone-orig"),
            Opt::value("--zone-reply"),
            Opt::value("--helper"),
            Opt::value("--timeout"),
            Opt::value("--ctevents"),
            Opt::value("--expevents"),
        ],
        read: marks::ct,
    },
    Extension {
        name: "TCPMSS",
        options: &[Opt::value("--set-mss"), Opt::flag("--clamp-mss-to-pmtu")],
        read: verdicts::segment,
    },
    Extension { name: "NOTRACK", options: &[], read: marks::notrack },
];
