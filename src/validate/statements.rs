//! Checks statements: whether their parts fit together, the table's family, and what the rule
//! established about the packet.

use std::net::IpAddr;

use super::location::At;
use super::problem::Problem;
use super::protocols::Packets;
use super::{Checked, Fault, families, names};
use crate::bytecode::raw_fault;
use crate::model::{
    Computed, DataType, Family, Field, Interval, IpFamily, Limit, LimitOf, Log, LogLevel, MarkValue, Nat, NatFlags,
    PortRange, Ports, Queue, QueueFlags, Reject, Selector, SetData, Statement, Tproxy,
};

impl Checked<'_, '_> {
    pub(super) fn statement(&self, at: At<'_>, statement: &Statement, packets: &mut Packets, faults: &mut Vec<Fault>) {
        families::check(at, self.view.family, statement, faults);
        match statement {
            Statement::Limit(limit) => check_limit(at, limit, faults),
            Statement::Log(log) => check_log(at, log, faults),
            Statement::Match(matches) => self.matches(at, matches, packets, faults),
            Statement::Nat(nat) => self.nat(at, nat, packets, faults),
            Statement::Masquerade { ports, flags } | Statement::Redirect { ports, flags } => {
                if flags.contains(NatFlags::NETMAP) {
                    at.report(faults, Problem::Nat { fault: "it has no address, of which other bits could stay" });
                }
                self.ports(at, ports.as_ref(), packets, faults);
            }
            Statement::Queue(queue) => check_queue(at, queue, faults),
            Statement::QueueTo { to, flags } => {
                self.source(at, to, DataType::Integer { bytes: 2 }, packets, faults);
                let is_number = |selector: &Selector| match selector {
                    Selector::Hash(_) => true,
                    Selector::Field(field) => matches!(field, Field::Numgen(_) | Field::Symhash(_)),
                    Selector::Bits(_) | Selector::Concat(_) => false,
                };
                if matches!(&**to, Computed::From(selector) if !is_number(selector)) {
                    let fault = "nft queues to a made number, a hash or one out of a map; look the field up in a map";
                    at.report(faults, Problem::Queue { fault });
                }
                if flags.contains(QueueFlags::FANOUT) {
                    let fault = "fanout spreads over a range of queues, and the number is computed; leave it out";
                    at.report(faults, Problem::Queue { fault });
                }
            }
            Statement::Reject(reject) => self.reject(at, reject.as_ref(), packets, faults),
            Statement::SetMark { key: _, value: MarkValue::Map { selector, map } } => {
                packets.read(at, selector, faults);
                self.lookup(at, selector, map, &SetData::Value(DataType::Mark), faults);
            }
            Statement::Tproxy(tproxy) => self.tproxy(at, tproxy, packets, faults),
            Statement::Verdict(verdict) => self.verdict(at, verdict, faults),
            Statement::VerdictMap { selector, map } => {
                packets.read(at, selector, faults);
                self.lookup(at, selector, map, &SetData::Verdict, faults);
            }
            Statement::SetMark { key: _, value: MarkValue::Constant(_) | MarkValue::From { .. } } => {}
            Statement::Opaque(opaque) => {
                if let Some(fault) = raw_fault(opaque) {
                    at.report(faults, Problem::RawExpr { fault });
                }
            }
            Statement::Counter { .. } | Statement::Notrack => {}
            Statement::FlowAdd(_) => self.named_object(at, statement, faults),
            Statement::ConnLimit(_) | Statement::Dup(_) | Statement::Fwd(_) => {
                self.action(at, statement, packets, faults);
            }
            Statement::ObjectRef(_) => {
                self.named_object(at, statement, faults);
                self.action(at, statement, packets, faults);
            }
            Statement::Quota(_) | Statement::ResetTcpOption(_) | Statement::Set { .. } | Statement::Synproxy(_) => {
                self.action(at, statement, packets, faults);
            }
            Statement::Meter(_) | Statement::Update(_) => self.action(at, statement, packets, faults),
            Statement::SetNftrace(_) | Statement::SetZone(_) => {}
        }
    }

    fn nat(&self, at: At<'_>, nat: &Nat, packets: &mut Packets, faults: &mut Vec<Fault>) {
        let Nat { kind: _, family, addresses, computed, ports, flags: _, .. } = nat;
        if let Some(computed) = computed {
            self.nat_computed(at, nat, computed, packets, faults);
        }
        self.ports(at, ports.as_ref(), packets, faults);
        match addresses {
            None if computed.is_some() => {}
            None if ports.is_none() => {
                let fault = "it has neither address nor port, so nothing is translated; give it one";
                at.report(faults, Problem::Nat { fault });
            }
            None => {}
            Some((IpAddr::V4(low), IpAddr::V4(high))) if low <= high => {}
            Some((IpAddr::V6(low), IpAddr::V6(high))) if low <= high => {}
            Some((IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_))) => {
                at.report(faults, Problem::Reversed);
            }
            Some(_) => {
                at.report(faults, Problem::Nat { fault: "the ends of the range are of two families; give it one" })
            }
        }
        let is_prefix = |(low, high): (IpAddr, IpAddr)| {
            low != high && Interval { low: low.into(), high: high.into() }.prefix_len().is_some()
        };
        let is_map = computed.as_deref().is_some_and(|computed| computed.map().is_some());
        if nat.flags.contains(NatFlags::NETMAP) && !is_map && !addresses.is_some_and(is_prefix) {
            let fault = "what keeps the other bits of an address translates to a prefix; give it one";
            at.report(faults, Problem::Nat { fault });
        }
        let address = addresses.map(|(low, _)| IpFamily::of(low));
        check_family(at, *family, address, packets, faults);
    }

    fn ports(&self, at: At<'_>, ports: Option<&Ports>, packets: &mut Packets, faults: &mut Vec<Fault>) {
        match ports {
            None => return,
            Some(Ports::Computed(computed)) => self.source(at, computed, DataType::Port, packets, faults),
            Some(Ports::Range(PortRange { low, high })) if low > high => at.report(faults, Problem::Reversed),
            Some(Ports::Range(_)) => {}
        }
        if !packets.transport_known() {
            at.report(faults, Problem::NeedsTransport);
        }
    }

    fn tproxy(&self, at: At<'_>, tproxy: &Tproxy, packets: &mut Packets, faults: &mut Vec<Fault>) {
        let Tproxy { family, address, port, address_from, port_from, .. } = tproxy;
        for (from, is_address) in [(address_from, true), (port_from, false)] {
            let Some(from) = from else { continue };
            let of = if is_address { self.address_type(*family) } else { Some(DataType::Port) };
            match of {
                Some(of) => self.source(at, from, of, packets, faults),
                None => at
                    .report(faults, Problem::Tproxy { fault: "a computed address needs its family; add .family(...)" }),
            }
        }
        if address.is_some() && address_from.is_some() || port.is_some() && port_from.is_some() {
            at.report(faults, Problem::Tproxy { fault: "it has a constant and a computed one; give it one of them" });
        }
        if !packets.transport_known() {
            at.report(faults, Problem::NeedsTransport);
        }
        if address.is_none() && port.is_none() && address_from.is_none() && port_from.is_none() {
            at.report(faults, Problem::Tproxy { fault: "it has neither address nor port; give it one" });
        }
        let address = address.map(IpFamily::of);
        check_family(at, *family, address, packets, faults);
        // nft(8) refuses to read either of these back.
        let fault = match (self.view.family, family, packets.network(), address) {
            (Family::Inet, None, Some(_), _) => {
                "the rule matches one family only; give the tproxy the same family with .family(...)"
            }
            (Family::Inet, None, None, Some(_)) => "an address in an inet table needs its family; add .family(...)",
            _ => return,
        };
        at.report(faults, Problem::Tproxy { fault });
    }

    fn reject(&self, at: At<'_>, reject: Option<&Reject>, packets: &Packets, faults: &mut Vec<Fault>) {
        let fault = match (reject, packets.network()) {
            (Some(Reject::Icmp(_)), Some(IpFamily::Ipv6)) => "icmp cannot answer IPv6; use Reject::Icmpv6",
            (Some(Reject::Icmpv6(_)), Some(IpFamily::Ipv4)) => "icmpv6 cannot answer IPv4; use Reject::Icmp",
            (Some(Reject::Icmpx(_)), _) if matches!(self.view.family, Family::Ip | Family::Ip6) => {
                "icmpx is for tables of several families; use Reject::Icmp or Reject::Icmpv6"
            }
            (Some(Reject::Icmpx(4..)), _) => "icmpx has the codes 0 to 3",
            (Some(Reject::TcpReset), _) if !packets.may_be_reset() => {
                "a tcp reset answers only tcp; match tcp alone in the same rule"
            }
            _ => return,
        };
        at.report(faults, Problem::Reject { fault });
    }
}

/// Checks that the family of a translation or proxy, the family of its address, and the family of
/// the packets are the same.
fn check_family(
    at: At<'_>,
    given: Option<IpFamily>,
    address: Option<IpFamily>,
    packets: &Packets,
    faults: &mut Vec<Fault>,
) {
    let name = |family| match family {
        IpFamily::Ipv4 => "ipv4",
        IpFamily::Ipv6 => "ipv6",
    };
    for found in [given, address].into_iter().flatten() {
        if let Some(wanted) = packets.network().or(given).filter(|wanted| *wanted != found) {
            at.report(faults, Problem::AddressFamily { wanted: name(wanted), found: name(found) });
            return;
        }
    }
}

fn check_queue(at: At<'_>, queue: &Queue, faults: &mut Vec<Fault>) {
    let Queue { from, to, flags } = *queue;
    if from > to {
        at.report(faults, Problem::Reversed);
    }
    if from == to && flags.contains(QueueFlags::FANOUT) {
        at.report(
            faults,
            Problem::Queue { fault: "fanout spreads over several queues, and there is one; give a range" },
        );
    }
}

/// Reports what nft_log_init, net/netfilter/nft_log.c, refuses, and what nft(8) refuses in
/// addition.
fn check_log(at: At<'_>, log: &Log, faults: &mut Vec<Fault>) {
    let Log { prefix, level, group, snaplen, queue_threshold, flags, .. } = log;
    if let Some(prefix) = prefix {
        names::log_prefix(at, prefix, faults);
    }
    let to_group = snaplen.is_some() || queue_threshold.is_some();
    let fault =
        if *level == Some(LogLevel::Audit) && (prefix.is_some() || group.is_some() || to_group || !flags.is_empty()) {
            "level audit takes nothing else; write two log statements"
        } else if group.is_some() && level.is_some() {
            "a group has no level; leave out one of them"
        } else if group.is_some() && !flags.is_empty() {
            "flags are for the kernel log, not for a group; leave out one of them"
        } else if group.is_none() && to_group {
            "snaplen and queue threshold are for a group; add .group(...)"
        } else {
            return;
        };
    at.report(faults, Problem::Log { fault });
}

/// Reports what nft_limit_init, net/netfilter/nft_limit.c, refuses with EINVAL or EOVERFLOW.
pub(super) fn check_limit(at: At<'_>, limit: &Limit, faults: &mut Vec<Fault>) {
    let Limit { rate, per, of, burst, when: _, .. } = *limit;
    let nanoseconds = per.seconds() * 1_000_000_000;
    let tokens = |rate| match of {
        LimitOf::Bytes => rate_plus(rate, burst).and_then(|most| nanoseconds.checked_mul(most)),
        LimitOf::Packets => {
            rate_plus(rate, burst).and_then(|_| (nanoseconds.checked_div(rate)?).checked_mul(u64::from(burst)))
        }
    };
    let fault = if rate == 0 {
        "a rate of 0 lets nothing through; drop instead, or give a rate"
    } else if of == LimitOf::Packets && burst == 0 {
        "a burst of 0 packets lets nothing through; give at least 1"
    } else if tokens(rate).is_none() {
        "rate or burst is more than the kernel can count in this unit; use a shorter unit or less"
    } else {
        return;
    };
    at.report(faults, Problem::Limit { fault });
}

fn rate_plus(rate: u64, burst: u32) -> Option<u64> {
    rate.checked_add(u64::from(burst))
}
