//! LOG, NFLOG, AUDIT, TRACE: targets that record the packet and let the rule go on.

use super::super::error::{Fault, Shown};
use super::super::extension::Instance;
use super::super::making::Making;
use super::super::value::{number, short};
use super::super::words::Piece;
use crate::model::{Classic, Log, LogFlags, LogLevel, Statement};

pub(super) fn log(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let mut log = Log::default();
    if let Some(given) = instance.get("--log-level") {
        // The kernel's default level does not appear in a listing.
        log.level = Some(level(given.piece())?).filter(|level| *level != LogLevel::Warn);
    }
    log.prefix = prefix(instance, "--log-prefix", LONGEST)?;
    for (name, flag) in [
        ("--log-tcp-sequence", LogFlags::TCP_SEQUENCE),
        ("--log-tcp-options", LogFlags::TCP_OPTIONS),
        ("--log-ip-options", LogFlags::IP_OPTIONS),
        ("--log-uid", LogFlags::SKUID),
        ("--log-macdecode", LogFlags::ETHER),
    ] {
        log.flags.set(flag, instance.has(name));
    }
    making.action(Statement::Log(log));
    Ok(())
}

/// `NF_LOG_PREFIXLEN` - 1, include/net/netfilter/nf_log.h; iptables-legacy(8) takes 29.
const LONGEST: usize = 127;

fn prefix(instance: &Instance<'_>, name: &str, most: usize) -> Result<Option<Box<str>>, Fault> {
    let Some(given) = instance.get(name) else { return Ok(None) };
    let piece = given.piece();
    if piece.text.len() > most {
        return Err(
            piece.wrong(format!("a prefix of {} bytes, where {most} are allowed; shorten it", piece.text.len()))
        );
    }
    Ok(Some(piece.text).filter(|text| !text.is_empty()).map(Into::into))
}

fn level(piece: Piece<'_>) -> Result<LogLevel, Fault> {
    Ok(match piece.text {
        "emerg" | "panic" | "0" => LogLevel::Emerg,
        "alert" | "1" => LogLevel::Alert,
        "crit" | "2" => LogLevel::Crit,
        "err" | "error" | "3" => LogLevel::Err,
        "warning" | "warn" | "4" => LogLevel::Warn,
        "notice" | "5" => LogLevel::Notice,
        "info" | "6" => LogLevel::Info,
        "debug" | "7" => LogLevel::Debug,
        other => {
            let names = "emerg, alert, crit, err, warning, notice, info, debug";
            return Err(piece.wrong(format!("unknown level {}; give 0 to 7, or {names}", Shown(other))));
        }
    })
}

pub(super) fn nflog(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    if let Some(given) = instance.get("--nflog-range") {
        return Err(instance.unknown(given.at, "--nflog-range has no effect in the kernel; use --nflog-size"));
    }
    let value = |name| instance.get(name).map(|given| given.piece());
    let log = Log {
        prefix: prefix(instance, "--nflog-prefix", LONGEST_TO_GROUP)?,
        group: Some(value("--nflog-group").map_or(Ok(0), |piece| short(piece, "group"))?),
        snaplen: value("--nflog-size").map(|piece| number(piece, "size", 0, u32::MAX)).transpose()?,
        queue_threshold: value("--nflog-threshold").map(|piece| short(piece, "threshold")).transpose()?,
        ..Log::default()
    };
    making.action(Statement::Log(log));
    Ok(())
}

/// `char prefix[64]`, include/uapi/linux/netfilter/xt_NFLOG.h.
const LONGEST_TO_GROUP: usize = 63;

/// Reads AUDIT; since v4.12 the record is the same for every type.
pub(super) fn audit(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let piece = instance.required("--type")?.piece();
    if !matches!(piece.text, "accept" | "drop" | "reject") {
        return Err(piece.wrong(format!("unknown type {}; there are accept, drop and reject", Shown(piece.text))));
    }
    making.action(Statement::Log(Log::default().level(LogLevel::Audit)));
    Ok(())
}

pub(super) fn trace(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.needs_table(instance.at, "TRACE", Classic::Raw)?;
    making.action(Statement::SetNftrace(true));
    Ok(())
}
