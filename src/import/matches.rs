//! The matches: their options, by name.
//!
//! ```text
//! connection  conntrack: state, status, mark     packet  the packet and its socket
//! drawn       lists, ipsets and probabilities    ports   ports, TCP flags, ICMP messages
//! header      the network header                 tuple   conntrack in full
//! owner       the owner of the socket            way     bridge ports, reverse path, segment sizes
//! ```

mod connection;
mod drawn;
mod header;
mod owner;
mod packet;
mod ports;
mod tuple;
mod way;

use super::extension::{Extension, Opt};
use crate::model::IpFamily;

/// Returns the match of this name for this family.
pub(super) fn find(name: &str, family: IpFamily) -> Option<&'static Extension> {
    let only = match name {
        "icmp" | "ttl" => Some(IpFamily::Ipv4),
        "hl" | "icmp6" | "icmpv6" => Some(IpFamily::Ipv6),
        _ => None,
    };
    let name = if name == "icmpv6" { "icmp6" } else { name };
    MATCHES.iter().find(|extension| extension.name == name && only.is_none_or(|only| only == family))
}

#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    MATCHES.iter().map(|extension| extension.name).collect()
}

const DPORT: Opt = Opt::value("--dport").also("--destination-port").or_not();
const SPORT: Opt = Opt::value("--sport").also("--source-port").or_not();

static MATCHES: [Extension; 28] = [
    Extension {
        name: "tcp",
        options: &[
            SPORT,
            DPORT,
            Opt::two("--tcp-flags").or_not(),
            Opt::flag("--syn").or_not(),
            Opt::value("--tcp-option").or_not(),
        ],
        read: ports::tcp,
    },
    Extension { name: "udp", options: &[SPORT, DPORT], read: ports::udp },
    Extension { name: "sctp", options: &[SPORT, DPORT, Opt::two("--chunk-types").or_not()], read: ports::sctp },
    Extension {
        name: "multiport",
        options: &[
            Opt::value("--sports").also("--source-ports").or_not(),
            Opt::value("--dports").also("--destination-ports").or_not(),
            Opt::value("--ports").or_not(),
        ],
        read: ports::multiport,
    },
    Extension { name: "icmp", options: &[Opt::value("--icmp-type").or_not()], read: ports::icmp },
    Extension {
        name: "icmp6",
        options: &[Opt::value("--icmpv6-type").also("--icmp6-type").or_not()],
        read: ports::icmpv6,
    },
    Extension {
        name: "owner",
        options: &[
            Opt::value("--uid-owner").or_not(),
            Opt::value("--gid-owner").or_not(),
            Opt::flag("--socket-exists").or_not(),
            Opt::flag("--suppl-groups"),
        ],
        read: owner::read,
    },
    Extension { name: "mark", options: &[Opt::value("--mark").or_not()], read: packet::mark },
    Extension { name: "connmark", options: &[Opt::value("--mark").or_not()], read: connection::mark },
    Extension {
        name: "conntrack",
        options: &[
            Opt::value("--ctstate").or_not(),
            Opt::value("--ctstatus").or_not(),
            Opt::value("--ctdir"),
            Opt::value("--ctproto").or_not(),
            Opt::value("--ctorigsrc").or_not(),
            Opt::value("--ctorigdst").or_not(),
            Opt::value("--ctreplsrc").or_not(),
            Opt::value("--ctrepldst").or_not(),
            Opt::value("--ctorigsrcport").or_not(),
            Opt::value("--ctorigdstport").or_not(),
            Opt::value("--ctreplsrcport").or_not(),
            Opt::value("--ctrepldstport").or_not(),
            Opt::value("--ctexpire").or_not(),
        ],
        read: connection::conntrack,
    },
    Extension { name: "state", options: &[Opt::value("--state").or_not()], read: connection::state },
    Extension { name: "comment", options: &[Opt::value("--comment")], read: packet::comment },
    Extension {
        name: "addrtype",
        options: &[
            Opt::value("--dst-type").or_not(),
            Opt::value("--src-type").or_not(),
            Opt::flag("--limit-iface-in"),
            Opt::flag("--limit-iface-out"),
        ],
        read: packet::addrtype,
    },
    Extension { name: "pkttype", options: &[Opt::value("--pkt-type").or_not()], read: packet::pkttype },
    Extension { name: "limit", options: &[Opt::value("--limit"), Opt::value("--limit-burst")], read: packet::limit },
    Extension { name: "length", options: &[Opt::value("--length").or_not()], read: packet::length },
    Extension {
        name: "cgroup",
        options: &[Opt::value("--cgroup").or_not(), Opt::value("--path").or_not()],
        read: packet::cgroup,
    },
    Extension {
        name: "socket",
        options: &[Opt::flag("--transparent"), Opt::flag("--nowildcard"), Opt::flag("--restore-skmark")],
        read: packet::socket,
    },
    Extension {
        name: "ttl",
        options: &[Opt::value("--ttl-eq").also("--ttl").or_not(), Opt::value("--ttl-lt"), Opt::value("--ttl-gt")],
        read: header::ttl,
    },
    Extension {
        name: "hl",
        options: &[Opt::value("--hl-eq").or_not(), Opt::value("--hl-lt"), Opt::value("--hl-gt")],
        read: header::hl,
    },
    Extension {
        name: "dscp",
        options: &[Opt::value("--dscp").or_not(), Opt::value("--dscp-class").or_not()],
        read: header::dscp,
    },
    Extension {
        name: "recent",
        options: &[
            Opt::flag("--set").or_not(),
            Opt::flag("--rcheck").or_not(),
            Opt::flag("--update").or_not(),
            Opt::flag("--remove").or_not(),
            Opt::value("--seconds"),
            Opt::value("--hitcount"),
            Opt::flag("--rttl"),
            Opt::flag("--reap"),
            Opt::value("--name"),
            Opt::flag("--rsource"),
            Opt::flag("--rdest"),
            Opt::value("--mask"),
        ],
        read: drawn::recent,
    },
    Extension {
        name: "statistic",
        options: &[
            Opt::value("--mode"),
            Opt::value("--probability").or_not(),
            Opt::value("--every").or_not(),
            Opt::value("--packet"),
        ],
        read: drawn::statistic,
    },
    Extension {
        name: "set",
        options: &[
            Opt::two("--match-set").or_not(),
            Opt::flag("--return-nomatch"),
            Opt::flag("--update-counters").or_not(),
            Opt::flag("--update-subcounters").or_not(),
            Opt::value("--packets-eq").or_not(),
            Opt::value("--packets-lt"),
            Opt::value("--packets-gt"),
            Opt::value("--bytes-eq").or_not(),
            Opt::value("--bytes-lt"),
            Opt::value("--bytes-gt"),
        ],
        read: drawn::set,
    },
    Extension {
        name: "rpfilter",
        options: &[Opt::flag("--loose"), Opt::flag("--validmark"), Opt::flag("--accept-local"), Opt::flag("--invert")],
        read: way::rpfilter,
    },
    Extension { name: "tcpmss", options: &[Opt::value("--mss").or_not()], read: way::tcpmss },
    Extension {
        name: "physdev",
        options: &[
            Opt::value("--physdev-in").or_not(),
            Opt::value("--physdev-out").or_not(),
            Opt::flag("--physdev-is-bridged").or_not(),
            Opt::flag("--physdev-is-in").or_not(),
            Opt::flag("--physdev-is-out").or_not(),
        ],
        read: way::physdev,
    },
    Extension {
        name: "iprange",
        options: &[Opt::value("--src-range").or_not(), Opt::value("--dst-range").or_not()],
        read: packet::iprange,
    },
];
