//! Statements that count connections and bytes, answer, copy, use objects, and change sets and
//! packets.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::model::{
    ConnLimit, Dup, Exthdr, ExthdrOf, ExthdrPart, Field, Fwd, LimitWhen, Meter, ObjectRef, ObjectTo, Protocol, Quota,
    SetValue, Statement, Synproxy, SynproxyFlags, Update, UpdateOp, Value,
};

use super::set::{map_of, set_ref};
use super::statement::bytes;
use super::value::{Bits, hexadecimal, time};
use super::{Style, Text, matches, quoted};

/// Writes a statement of this room.
pub(super) fn action(
    f: &mut fmt::Formatter<'_>,
    statement: &Statement,
    transport: Option<Protocol>,
    style: Style<'_>,
) -> fmt::Result {
    match statement {
        Statement::ConnLimit(ConnLimit { count, when }) => write!(f, "ct count {}{count}", over(*when)),
        Statement::Dup(dup) => write_dup(f, dup, transport, style),
        Statement::Fwd(fwd) => write_fwd(f, fwd, transport, style),
        Statement::FlowAdd(table) => write!(f, "flow add @{table}"),
        Statement::ObjectRef(ObjectRef { kind, to }) => {
            write!(f, "{} ", kind.entry().1)?;
            match to {
                ObjectTo::Map(selector, map) => {
                    write!(f, "{} map {}", matches::selector(selector, transport, style), map_of(selector, map, style))
                }
                ObjectTo::Name(name) => quoted(name.as_str()).fmt(f),
            }
        }
        Statement::Meter(Meter { name, size, key, timeout, statement }) => {
            write!(f, "meter {name}")?;
            if let Some(size) = size {
                write!(f, " size {size}")?;
            }
            write!(f, " {{ {}", matches::selector(key, transport, style))?;
            // nft lists how it takes such bits out of their bytes.
            if let (true, Some(shift @ 1..)) = (is_listed(style), key.as_field().and_then(Field::shift)) {
                write!(f, " >> {shift}")?;
            }
            carried(f, *timeout, std::slice::from_ref(&**statement), transport, style)?;
            f.write_str(" }")
        }
        Statement::Quota(Quota { bytes: most, when, used }) => {
            write!(f, "quota {}{}", over(*when), bytes(*most))?;
            if *used == 0 { Ok(()) } else { write!(f, " used {}", bytes(*used)) }
        }
        Statement::ResetTcpOption(kind) => {
            write!(f, "reset {}", Exthdr { of: ExthdrOf::Tcp, kind: *kind, part: ExthdrPart::Exists })
        }
        Statement::Set { target: target @ Field::Payload(_), value: SetValue::Constant(value) } => {
            write!(f, "{target} set {}", hexadecimal(value))
        }
        Statement::Set { target, value } => write!(f, "{target} set {}", set_value(value, transport, style)),
        Statement::Synproxy(Synproxy { mss, wscale, flags }) => {
            f.write_str("synproxy")?;
            // nft lists both, and reads each alone; its JSON has only what is given.
            let listed = |value: Option<u16>| value.or_else(|| style.is_brief().then_some(0));
            if mss.is_some() || wscale.is_some() {
                listed(*mss).map_or(Ok(()), |mss| write!(f, " mss {mss}"))?;
                listed(wscale.map(u16::from)).map_or(Ok(()), |wscale| write!(f, " wscale {wscale}"))?;
            }
            if flags.contains(SynproxyFlags::TIMESTAMP) {
                f.write_str(" timestamp")?;
            }
            if flags.contains(SynproxyFlags::SACK_PERM) {
                f.write_str(" sack-perm")?;
            }
            Ok(())
        }
        Statement::Update(update) => write_update(f, update, transport, style),
        _ => Ok(()),
    }
}

fn is_listed(style: Style<'_>) -> bool {
    matches!(style, Style::Listed(_))
}

fn over(when: LimitWhen) -> &'static str {
    match when {
        LimitWhen::Over => "over ",
        LimitWhen::Until => "",
    }
}

fn write_dup(f: &mut fmt::Formatter<'_>, dup: &Dup, transport: Option<Protocol>, style: Style<'_>) -> fmt::Result {
    let Dup { address, device } = dup;
    f.write_str("dup to")?;
    if let Some(address) = address {
        write!(f, " {}", set_value(address, transport, style))?;
    }
    let Some(device) = device else { return Ok(()) };
    if address.is_some() {
        f.write_str(" device")?;
    }
    write!(f, " {}", set_value(device, transport, style))
}

fn write_fwd(f: &mut fmt::Formatter<'_>, fwd: &Fwd, transport: Option<Protocol>, style: Style<'_>) -> fmt::Result {
    let Fwd { device, address, family } = fwd;
    f.write_str("fwd")?;
    if let Some(family) = family {
        write!(f, " {family}")?;
    }
    f.write_str(" to ")?;
    if let Some(address) = address {
        write!(f, "{} device ", set_value(address, transport, style))?;
    }
    set_value(device, transport, style).fmt(f)
}

fn write_update(
    f: &mut fmt::Formatter<'_>,
    update: &Update,
    transport: Option<Protocol>,
    style: Style<'_>,
) -> fmt::Result {
    let Update { op, set, key, timeout, statements, value } = update;
    let op = match op {
        UpdateOp::Add => "add",
        UpdateOp::Delete => "delete",
        UpdateOp::Update => "update",
    };
    write!(f, "{op} {} {{ {}", set_ref(set, style), matches::selector(key, transport, style))?;
    carried(f, *timeout, statements, transport, style)?;
    if let Some(value) = value {
        write!(f, " : {}", set_value(value, transport, style))?;
    }
    f.write_str(" }")
}

/// Writes what the key of a changed element carries.
fn carried(
    f: &mut fmt::Formatter<'_>,
    timeout: Option<Duration>,
    statements: &[Statement],
    transport: Option<Protocol>,
    style: Style<'_>,
) -> fmt::Result {
    if let Some(timeout) = timeout {
        write!(f, " timeout {}", time(timeout))?;
    }
    for statement in statements {
        match statement {
            // nft lists no numbers here.
            Statement::Counter { .. } => f.write_str(" counter")?,
            Statement::Limit(limit) => write!(f, " {limit}")?,
            Statement::Quota(quota) => {
                f.write_str(" ")?;
                action(f, &Statement::Quota(Quota { used: 0, ..*quota }), transport, style)?;
            }
            other => {
                f.write_str(" ")?;
                action(f, other, transport, style)?;
            }
        }
    }
    Ok(())
}

fn set_value<'a>(value: &'a SetValue, transport: Option<Protocol>, style: Style<'a>) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| match value {
        SetValue::Constant(value @ Value::CtEvent(_)) => Bits::of(value).map_or(Ok(()), |bits| bits.list().fmt(f)),
        // nft lists a name, but reads most of them only in comparisons.
        SetValue::Constant(Value::Protocol(protocol)) if !matches!(style, Style::Listed(_)) => {
            write!(f, "{}", protocol.0)
        }
        SetValue::Constant(value) => style.named(value).fmt(f),
        SetValue::From(selector) => matches::selector(selector, transport, style).fmt(f),
        SetValue::Map { selector, map } => {
            write!(f, "{} map {}", matches::selector(selector, transport, style), map_of(selector, map, style))
        }
    })
}
