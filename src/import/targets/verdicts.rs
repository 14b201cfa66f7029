//! ACCEPT, DROP, RETURN, REJECT, NFQUEUE, TCPMSS: the fate of the packet.

use super::super::error::{Fault, Shown};
use super::super::extension::Instance;
use super::super::making::Making;
use super::super::raw;
use super::super::value::{number, range, short};
use super::super::words::Piece;
use crate::model::{Classic, IpFamily, Protocol, Queue, QueueFlags, Reject, Statement, Verdict};
use crate::xt::Blob;

pub(super) fn accept(_: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.action(Statement::Verdict(Verdict::Accept));
    Ok(())
}

pub(super) fn drop(_: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.action(Statement::Verdict(Verdict::Drop));
    Ok(())
}

pub(super) fn r#return(_: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.action(Statement::Verdict(Verdict::Return));
    Ok(())
}

/// Encodes TCPMSS: `struct xt_tcpmss_info`, include/uapi/linux/netfilter/xt_TCPMSS.h.
pub(super) fn segment(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    /// The largest size that iptables(8) takes, and `XT_TCPMSS_CLAMP_PMTU`.
    const MOST: u32 = 65_515;
    const CLAMP: u16 = 0xffff;
    let [given] = instance.given.as_slice() else {
        return Err(instance.wrong("needs one of --set-mss, --clamp-mss-to-pmtu"));
    };
    making.needs_protocol(Piece { text: "", at: instance.at }, "target TCPMSS", &[Protocol::TCP])?;
    let size = match given.name {
        "--set-mss" => {
            let size = number(given.piece(), "segment size", 0, MOST)?;
            u16::try_from(size).map_err(|_| given.piece().wrong("does not fit 16 bits"))?
        }
        _ => CLAMP,
    };
    making.action(raw::xtables_target("TCPMSS", 0, &Blob::default().u16(size).finish()));
    Ok(())
}

pub(super) fn reject(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.needs_table(instance.at, "REJECT", Classic::Filter)?;
    let names = match making.family {
        IpFamily::Ipv4 => ICMP,
        IpFamily::Ipv6 => ICMPV6,
    };
    let reject = match (instance.get("--reject-with").map(|given| given.piece()), making.family) {
        (None, IpFamily::Ipv4) => Reject::Icmp(3),
        (None, IpFamily::Ipv6) => Reject::Icmpv6(4),
        (Some(piece), _) if matches!(piece.text, "tcp-reset" | "tcp-rst") => {
            making.needs_protocol(piece, "tcp-reset", &[Protocol::TCP])?;
            Reject::TcpReset
        }
        (Some(piece), family) => {
            let named = names.iter().find(|(_, all)| all.contains(&piece.text));
            let (code, _) = named.ok_or_else(|| {
                let names: Vec<_> = names.iter().filter_map(|(_, all)| all.first().copied()).collect();
                piece.wrong(format!("unknown reason {}; there are {}, tcp-reset", Shown(piece.text), names.join(", ")))
            })?;
            match family {
                IpFamily::Ipv4 => Reject::Icmp(*code),
                IpFamily::Ipv6 => Reject::Icmpv6(*code),
            }
        }
    };
    making.action(Statement::Reject(Some(reject)));
    Ok(())
}

/// The codes of destination unreachable (RFC 792, RFC 1812, section 5.2.7.1), each with its names.
const ICMP: &[(u8, &[&str])] = &[
    (0, &["icmp-net-unreachable", "net-unreach"]),
    (1, &["icmp-host-unreachable", "host-unreach"]),
    (2, &["icmp-proto-unreachable", "proto-unreach"]),
    (3, &["icmp-port-unreachable", "port-unreach"]),
    (9, &["icmp-net-prohibited", "net-prohib"]),
    (10, &["icmp-host-prohibited", "host-prohib"]),
    (13, &["icmp-admin-prohibited", "admin-prohib"]),
];

/// The codes of ICMPv6 destination unreachable (RFC 4443, section 3.1).
const ICMPV6: &[(u8, &[&str])] = &[
    (0, &["icmp6-no-route", "no-route"]),
    (1, &["icmp6-adm-prohibited", "adm-prohibited"]),
    (3, &["icmp6-addr-unreachable", "addr-unreach"]),
    (4, &["icmp6-port-unreachable", "port-unreach"]),
    (5, &["icmp6-policy-fail", "policy-fail"]),
    (6, &["icmp6-reject-route", "reject-route"]),
];

pub(super) fn queue(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let queue = |piece: Piece<'_>| short(piece, "queue");
    let (from, to) = match (instance.get("--queue-num"), instance.get("--queue-balance")) {
        (None, None) => (0, 0),
        (Some(given), None) => {
            let queue = queue(given.piece())?;
            (queue, queue)
        }
        (None, Some(given)) => range(given.piece(), ':', None, queue)?.into_inner(),
        (Some(_), Some(given)) => {
            return Err(Fault::wrong(given.at, "--queue-num and --queue-balance exclude each other; remove one"));
        }
    };
    let mut flags = QueueFlags::empty();
    flags.set(QueueFlags::BYPASS, instance.has("--queue-bypass"));
    if let Some(given) = instance.get("--queue-cpu-fanout") {
        if from == to {
            return Err(Fault::wrong(given.at, "--queue-cpu-fanout spreads over several queues; add --queue-balance"));
        }
        flags |= QueueFlags::FANOUT;
    }
    making.action(Statement::Queue(Queue { from, to, flags }));
    Ok(())
}
