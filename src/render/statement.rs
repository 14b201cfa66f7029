//! The actions of a rule: counters, limits, logs, verdicts and targets.

use std::fmt::{self, Display};
use std::net::IpAddr;

use crate::model::{
    Computed, Family, Interval, IpFamily, Limit, LimitOf, LimitUnit, LimitWhen, Log, LogFlags, LogLevel, MapTo,
    MarkKey, MarkValue, Nat, NatFlags, NatKind, Opaque, PortRange, Ports, Protocol, Queue, QueueFlags, Reject, SetRef,
    Statement, Tproxy, Value, Verdict,
};

use super::action::action;
use super::rule::InRule;
use super::set::map_of;
use super::value::ipv6;
use super::{Style, Text, joined, matches, quoted, unknown};

impl Display for InRule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InRule { family, transport, of_network, statement, style } = *self;
        match statement {
            Statement::Counter { packets, bytes } => write!(f, "counter packets {packets} bytes {bytes}"),
            Statement::Limit(limit) => limit.fmt(f),
            Statement::Log(log) => log.fmt(f),
            Statement::Masquerade { ports, flags } => {
                to_ports(f, "masquerade", ports.as_ref(), *flags, transport, style)
            }
            Statement::Match(matches) => matches::comparison(matches, transport, style).fmt(f),
            Statement::Nat(value) => nat(f, family, value, transport, style),
            Statement::Notrack => f.write_str("notrack"),
            Statement::Opaque(opaque) => opaque.fmt(f),
            Statement::Queue(queue) => queue.fmt(f),
            Statement::QueueTo { to, flags } => {
                queue_flags(f, *flags)?;
                write!(f, " to {}", computed(to, transport, style))
            }
            Statement::Redirect { ports, flags } => to_ports(f, "redirect", ports.as_ref(), *flags, transport, style),
            Statement::Reject(reason) => reject(f, family, *reason, of_network && !matches!(style, Style::Listed(_))),
            Statement::SetMark { key, value } => write!(f, "{key} set {}", mark(value, transport, style)),
            Statement::SetNftrace(on) => write!(f, "meta nftrace set {}", u8::from(*on)),
            Statement::SetZone(zone) => write!(f, "ct zone set {zone}"),
            Statement::Tproxy(value) => tproxy(f, family, value, transport, style),
            Statement::Verdict(verdict) => self::verdict(f, verdict, style),
            Statement::ConnLimit(_) | Statement::Dup(_) | Statement::FlowAdd(_) | Statement::Fwd(_) => {
                action(f, statement, transport, style)
            }
            Statement::ObjectRef(_) => action(f, statement, transport, style),
            Statement::Quota(_) | Statement::ResetTcpOption(_) | Statement::Set { .. } | Statement::Synproxy(_) => {
                action(f, statement, transport, style)
            }
            Statement::Meter(_) | Statement::Update(_) => action(f, statement, transport, style),
            Statement::VerdictMap { selector, map } => {
                write!(f, "{} vmap {}", matches::selector(selector, transport, style), map_of(selector, map, style))
            }
        }
    }
}

/// Prints an xtables extension as nft names one that it cannot translate, and anything else by the
/// kernel's name. nft refuses either.
impl Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.extension()) {
            (kind @ ("match" | "target"), Some(extension)) => write!(f, "xt {kind} {}", quoted(extension)),
            (name, _) => write!(f, "{}", unknown(name)),
        }
    }
}

/// Writes a verdict; a bound chain is listed in its place.
fn verdict(f: &mut fmt::Formatter<'_>, verdict: &Verdict, style: Style<'_>) -> fmt::Result {
    let blocks = match style {
        Style::InTable(blocks) => Some(blocks),
        Style::Listed(known) => Some(known.blocks),
        Style::Loadable => None,
    };
    let (word, block) = match (verdict, blocks) {
        (Verdict::Goto(chain), Some(blocks)) => ("goto", blocks.get(chain)),
        (Verdict::Jump(chain), Some(blocks)) => ("jump", blocks.get(chain)),
        _ => ("", None),
    };
    match block {
        Some(block) => write!(f, "{word} {block}"),
        None => verdict.fmt(f),
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept => f.write_str("accept"),
            Verdict::Continue => f.write_str("continue"),
            Verdict::Drop => f.write_str("drop"),
            Verdict::Goto(chain) => write!(f, "goto {chain}"),
            Verdict::Jump(chain) => write!(f, "jump {chain}"),
            Verdict::Return => f.write_str("return"),
        }
    }
}

impl Display for MarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MarkKey::Ct => "ct mark",
            MarkKey::Meta => "meta mark",
        })
    }
}

impl Display for MarkValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        mark(self, None, Style::Loadable).fmt(f)
    }
}

fn mark<'a>(value: &'a MarkValue, transport: Option<Protocol>, style: Style<'a>) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| match value {
        MarkValue::Constant(mark) => Value::Mark(*mark).fmt(f),
        MarkValue::From { from, mask, xor } => {
            // A flipped bit that the mask has cleared is a set bit: nft writes it with `|` and
            // keeps it in the mask.
            let (set, flipped) = (xor & !mask, xor & mask);
            let kept = mask | set;
            write!(f, "{from}")?;
            if kept != u32::MAX {
                write!(f, " & {}", Value::Mark(kept))?;
            }
            if flipped != 0 {
                write!(f, " ^ {}", Value::Mark(flipped))?;
            }
            if set != 0 {
                write!(f, " | {}", Value::Mark(set))?;
            }
            Ok(())
        }
        MarkValue::Map { selector, map } => {
            write!(f, "{} map {}", matches::selector(selector, transport, style), map_of(selector, map, style))
        }
    })
}

/// Prints the limit in the units of nft: 1,024 bytes are a kbyte.
impl Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limit { rate, per, of, burst, when } = self;
        f.write_str(match when {
            LimitWhen::Over => "limit rate over ",
            LimitWhen::Until => "limit rate ",
        })?;
        match of {
            LimitOf::Bytes => write!(f, "{}/{per}", bytes(*rate))?,
            LimitOf::Packets => write!(f, "{rate}/{per}")?,
        }
        match (of, burst) {
            (LimitOf::Bytes, 0) | (LimitOf::Packets, 0 | 5) => Ok(()),
            (LimitOf::Bytes, burst) => write!(f, " burst {}", bytes(u64::from(*burst))),
            (LimitOf::Packets, burst) => write!(f, " burst {burst} packets"),
        }
    }
}

pub(super) fn bytes(count: u64) -> impl Display {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    Text(move |f: &mut fmt::Formatter<'_>| match count {
        count if count != 0 && count % MIB == 0 => write!(f, "{} mbytes", count / MIB),
        count if count != 0 && count % KIB == 0 => write!(f, "{} kbytes", count / KIB),
        count => write!(f, "{count} bytes"),
    })
}

impl Display for LimitUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LimitUnit::Day => "day",
            LimitUnit::Hour => "hour",
            LimitUnit::Minute => "minute",
            LimitUnit::Second => "second",
            LimitUnit::Week => "week",
        })
    }
}

impl Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Log { prefix, level, group, snaplen, queue_threshold, flags } = self;
        f.write_str("log")?;
        if let Some(prefix) = prefix {
            write!(f, " prefix {}", quoted(prefix))?;
        }
        if let Some(group) = group {
            write!(f, " group {group}")?;
        }
        if let Some(snaplen) = snaplen {
            write!(f, " snaplen {snaplen}")?;
        }
        if let Some(threshold) = queue_threshold {
            write!(f, " queue-threshold {threshold}")?;
        }
        if let Some(level) = level.filter(|level| *level != LogLevel::Warn) {
            write!(f, " level {level}")?;
        }
        log_flags(f, *flags)
    }
}

fn log_flags(f: &mut fmt::Formatter<'_>, flags: LogFlags) -> fmt::Result {
    if flags.contains(LogFlags::all()) {
        return f.write_str(" flags all");
    }
    let names = [
        (LogFlags::TCP_SEQUENCE | LogFlags::TCP_OPTIONS, "tcp sequence,options"),
        (LogFlags::TCP_SEQUENCE, "tcp sequence"),
        (LogFlags::TCP_OPTIONS, "tcp options"),
        (LogFlags::IP_OPTIONS, "ip options"),
        (LogFlags::SKUID, "skuid"),
        (LogFlags::ETHER, "ether"),
    ];
    let mut rest = flags;
    for (flag, name) in names {
        if rest.contains(flag) {
            write!(f, " flags {name}")?;
            rest.remove(flag);
        }
    }
    Ok(())
}

impl Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = LogLevel::ALL.iter().find(|(_, level)| level == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

impl Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Queue { from, to, flags } = self;
        queue_flags(f, *flags)?;
        write!(f, " to {}", PortRange { low: *from, high: *to })
    }
}

fn queue_flags(f: &mut fmt::Formatter<'_>, flags: QueueFlags) -> fmt::Result {
    let named = [(QueueFlags::BYPASS, "bypass"), (QueueFlags::FANOUT, "fanout")];
    f.write_str("queue")?;
    if flags.intersects(QueueFlags::all()) {
        f.write_str(" flags ")?;
        joined(f, named.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| name), ",")?;
    }
    Ok(())
}

impl Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PortRange { low, high } = self;
        if low == high { write!(f, "{low}") } else { write!(f, "{low}-{high}") }
    }
}

impl Display for NatFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            (NatFlags::RANDOM, "random"),
            (NatFlags::FULLY_RANDOM, "fully-random"),
            (NatFlags::PERSISTENT, "persistent"),
        ];
        joined(f, named.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| name), ",")
    }
}

fn nat_flags(f: &mut fmt::Formatter<'_>, flags: NatFlags) -> fmt::Result {
    let flags = flags - NatFlags::NETMAP;
    if flags.intersects(NatFlags::all()) { write!(f, " {flags}") } else { Ok(()) }
}

fn to_ports(
    f: &mut fmt::Formatter<'_>,
    target: &str,
    ports: Option<&Ports>,
    flags: NatFlags,
    transport: Option<Protocol>,
    style: Style<'_>,
) -> fmt::Result {
    f.write_str(target)?;
    if let Some(ports) = ports {
        write!(f, " to :{}", written(ports, transport, style))?;
    }
    nat_flags(f, flags)
}

fn written<'a>(ports: &'a Ports, transport: Option<Protocol>, style: Style<'a>) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| match ports {
        Ports::Computed(from) => computed(from, transport, style).fmt(f),
        Ports::Range(range) => range.fmt(f),
    })
}

/// Returns what an address or a port comes from.
fn computed<'a>(from: &'a Computed, transport: Option<Protocol>, style: Style<'a>) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| match from {
        Computed::From(selector) => matches::selector(selector, transport, style).fmt(f),
        Computed::Map { selector, map } => {
            write!(f, "{} map {}", matches::selector(selector, transport, style), map_of(selector, map, style))
        }
    })
}

fn nat(
    f: &mut fmt::Formatter<'_>,
    table: Family,
    nat: &Nat,
    transport: Option<Protocol>,
    style: Style<'_>,
) -> fmt::Result {
    let Nat { kind, family, addresses, computed: from, map_to, ports, flags } = nat;
    let prefix = if flags.contains(NatFlags::NETMAP) { " prefix" } else { "" };
    let kind = match kind {
        NatKind::Dnat => "dnat",
        NatKind::Snat => "snat",
    };
    if let Some(from) = from {
        f.write_str(kind)?;
        if let (true, Some(family)) = (table == Family::Inet || *map_to != MapTo::Address, family) {
            write!(f, " {family}")?;
        }
        // What a map with a name holds is told by its declaration, which is not always there.
        let is_named = matches!(from.map(), Some(SetRef::Named(_))) && !matches!(style, Style::Listed(_));
        match map_to {
            MapTo::Range if is_named && prefix.is_empty() => f.write_str(" interval")?,
            MapTo::AddressAndPort if is_named && prefix.is_empty() => f.write_str(" addr . port")?,
            MapTo::Address | MapTo::AddressAndPort | MapTo::IntervalsOfBoth | MapTo::Range => {}
        }
        write!(f, "{prefix} to {}", computed(from, transport, style))?;
        if let Some(ports) = ports {
            write!(f, ":{}", written(ports, transport, style))?;
        }
        return nat_flags(f, *flags);
    }
    let Some((low, high)) = addresses else {
        // nft lists a family without an address, but cannot read it.
        return match (style, family, table) {
            (Style::Listed(_), Some(family), Family::Inet) => {
                to_ports(f, &format!("{kind} {family}"), ports.as_ref(), *flags, transport, style)
            }
            (Style::InTable(_) | Style::Loadable | Style::Listed(_), _, _) => {
                to_ports(f, kind, ports.as_ref(), *flags, transport, style)
            }
        };
    };
    f.write_str(kind)?;
    if table == Family::Inet {
        write!(f, " {}", IpFamily::of(*low))?;
    }
    write!(f, "{prefix} to ")?;
    let ports = ports.as_ref().map(|ports| written(ports, transport, style));
    let range = Interval { low: address(*low), high: address(*high) };
    match ports {
        Some(ports) if low != high && matches!(style, Style::Listed(_)) && range.prefix_len().is_some() => {
            write!(f, "{range}:{ports}")?;
        }
        Some(ports) if low == high => write!(f, "{}:{ports}", bracketed(*low))?,
        Some(ports) => write!(f, "{}-{}:{ports}", bracketed(*low), bracketed(*high))?,
        None => range.fmt(f)?,
    }
    nat_flags(f, *flags)
}

impl Display for IpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IpFamily::Ipv4 => "ip",
            IpFamily::Ipv6 => "ip6",
        })
    }
}

fn address(address: IpAddr) -> Value {
    match address {
        IpAddr::V4(address) => Value::Ipv4(address),
        IpAddr::V6(address) => Value::Ipv6(address),
    }
}

/// Returns an address that a port may follow.
fn bracketed(address: IpAddr) -> impl Display {
    Text(move |f: &mut fmt::Formatter<'_>| match address {
        IpAddr::V4(address) => write!(f, "{address}"),
        IpAddr::V6(address) => write!(f, "[{}]", ipv6(address)),
    })
}

fn tproxy(
    f: &mut fmt::Formatter<'_>,
    table: Family,
    tproxy: &Tproxy,
    transport: Option<Protocol>,
    style: Style<'_>,
) -> fmt::Result {
    let Tproxy { family, address, port, address_from, port_from } = tproxy;
    f.write_str("tproxy")?;
    if let (Some(family), Family::Inet) = (family, table) {
        write!(f, " {family}")?;
    }
    f.write_str(" to")?;
    match (address, address_from) {
        (Some(address), _) => write!(f, " {}", bracketed(*address))?,
        (None, Some(from)) => write!(f, " {}", computed(from, transport, style))?,
        (None, None) => {}
    }
    let has_address = address.is_some() || address_from.is_some();
    let before = if has_address { ":" } else { " :" };
    match (port, port_from) {
        (Some(port), _) => write!(f, "{before}{port}"),
        // nft's text leaves it out, its JSON does not.
        (None, Some(_)) if style.is_brief() => Ok(()),
        (None, Some(from)) => write!(f, "{before}{}", computed(from, transport, style)),
        (None, None) => Ok(()),
    }
}

/// Writes a rejection without the default reason, port unreachable; in an inet table this default
/// is the one for both protocols.
fn reject(f: &mut fmt::Formatter<'_>, table: Family, reason: Option<Reject>, of_network: bool) -> fmt::Result {
    f.write_str("reject")?;
    match reason {
        None => Ok(()),
        Some(Reject::Icmpx(1)) if !of_network => Ok(()),
        Some(Reject::Icmp(3)) if table == Family::Ip => Ok(()),
        Some(Reject::Icmpv6(4)) if table == Family::Ip6 => Ok(()),
        Some(reason) => write!(f, " with {reason}"),
    }
}

/// Prints the reason as after `reject with`.
impl Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, code, name) = match self {
            Reject::TcpReset => return f.write_str("tcp reset"),
            Reject::Icmp(code) => ("icmp", code, icmp_code(*code)),
            Reject::Icmpv6(code) => ("icmpv6", code, icmpv6_code(*code)),
            Reject::Icmpx(code) => ("icmpx", code, icmpx_code(*code)),
        };
        match name {
            Some(name) => write!(f, "{protocol} {name}"),
            None => write!(f, "{protocol} {code}"),
        }
    }
}

/// Returns nft's name for a code of RFC 792, RFC 1122 section 3.2.2.1 and RFC 1812 section
/// 5.2.7.1.
fn icmp_code(code: u8) -> Option<&'static str> {
    Some(match code {
        0 => "net-unreachable",
        1 => "host-unreachable",
        2 => "prot-unreachable",
        3 => "port-unreachable",
        4 => "frag-needed",
        9 => "net-prohibited",
        10 => "host-prohibited",
        13 => "admin-prohibited",
        _ => return None,
    })
}

/// Returns nft's name for a code of RFC 4443, section 3.1.
fn icmpv6_code(code: u8) -> Option<&'static str> {
    Some(match code {
        0 => "no-route",
        1 => "admin-prohibited",
        3 => "addr-unreachable",
        4 => "port-unreachable",
        5 => "policy-fail",
        6 => "reject-route",
        _ => return None,
    })
}

/// Returns nft's name for `NFT_REJECT_ICMPX_*`, include/uapi/linux/netfilter/nf_tables.h.
fn icmpx_code(code: u8) -> Option<&'static str> {
    Some(match code {
        0 => "no-route",
        1 => "port-unreachable",
        2 => "host-unreachable",
        3 => "admin-prohibited",
        _ => return None,
    })
}
