//! DNAT, SNAT, MASQUERADE, REDIRECT: targets that change addresses and ports.

use super::super::address;
use super::super::error::Fault;
use super::super::extension::Instance;
use super::super::making::Making;
use super::super::value::{port, range};
use super::super::words::Piece;
use crate::model::{Classic, IpFamily, Nat, NatFlags, PortRange, Protocol, Statement};

pub(super) fn dnat(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    translate(instance, making, Nat::dnat(), "--to-destination")
}

pub(super) fn snat(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    translate(instance, making, Nat::snat(), "--to-source")
}

fn translate(instance: &Instance<'_>, making: &mut Making, mut nat: Nat, option: &str) -> Result<(), Fault> {
    making.needs_table(instance.at, instance.extension.name, Classic::Nat)?;
    let piece = instance.required(option)?.piece();
    let (addresses, ports) = parts(piece, making.family)?;
    if let Some(addresses) = addresses {
        let (low, high) = range(addresses, '-', None, |piece| address::address(piece, making.family))?.into_inner();
        nat = nat.to_range(low, high);
    }
    if let Some(ports) = ports {
        if ports.text.contains('/') {
            return Err(instance.unknown(ports.at, "a base port after a slash is not supported; remove it"));
        }
        nat = nat.ports(to_ports(ports, instance, making)?);
    } else if addresses.is_none() {
        return Err(piece.wrong(format!("neither address nor port; give {option} one")));
    }
    making.action(Statement::Nat(nat.flags(flags(instance))));
    Ok(())
}

/// Splits `address:ports`, either of which may be missing; an IPv6 address is in brackets when
/// ports follow.
fn parts(piece: Piece<'_>, family: IpFamily) -> Result<(Option<Piece<'_>>, Option<Piece<'_>>), Fault> {
    let (address, ports) = match (family, piece.text.strip_prefix('[')) {
        (IpFamily::Ipv6, Some(text)) => {
            let inside = Piece { text, at: piece.at + 1 };
            let closed = || piece.wrong("the bracket is never closed; close it after the address with ]");
            let (address, after) = inside.split(']').ok_or_else(closed)?;
            let ports = match after.text.strip_prefix(':') {
                Some(text) => Some(Piece { text, at: after.at + 1 }),
                None if after.text.is_empty() => None,
                None => return Err(after.wrong("only a colon and a port may follow the bracket; correct it")),
            };
            (address, ports)
        }
        (IpFamily::Ipv6, None) => match piece.text.strip_prefix(':').filter(|text| !text.contains(':')) {
            Some(text) => (Piece { text: "", at: piece.at }, Some(Piece { text, at: piece.at + 1 })),
            None => (piece, None),
        },
        (IpFamily::Ipv4, _) => match piece.split(':') {
            Some((address, ports)) => (address, Some(ports)),
            None => (piece, None),
        },
    };
    Ok((Some(address).filter(|address| !address.text.is_empty()), ports))
}

pub(super) fn masquerade(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.needs_table(instance.at, instance.extension.name, Classic::Nat)?;
    let ports = given_ports(instance, making)?;
    making.action(Statement::Masquerade { ports: ports.map(Into::into), flags: flags(instance) });
    Ok(())
}

pub(super) fn redirect(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.needs_table(instance.at, instance.extension.name, Classic::Nat)?;
    let ports = given_ports(instance, making)?;
    making.action(Statement::Redirect { ports: ports.map(Into::into), flags: flags(instance) });
    Ok(())
}

fn given_ports(instance: &Instance<'_>, making: &Making) -> Result<Option<PortRange>, Fault> {
    let given = instance.get("--to-ports");
    given.map(|given| to_ports(given.piece(), instance, making)).transpose()
}

/// Reads a port range; ports are translated only where `-p` names a protocol that has them.
fn to_ports(piece: Piece<'_>, instance: &Instance<'_>, making: &Making) -> Result<PortRange, Fault> {
    const TRANSLATED: [Protocol; 5] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::DCCP, Protocol::ICMP];
    making.needs_protocol(piece, &format!("a port in target {}", instance.extension.name), &TRANSLATED)?;
    Ok(range(piece, '-', None, port)?.into())
}

fn flags(instance: &Instance<'_>) -> NatFlags {
    let mut flags = NatFlags::empty();
    flags.set(NatFlags::RANDOM, instance.has("--random"));
    flags.set(NatFlags::FULLY_RANDOM, instance.has("--random-fully"));
    flags.set(NatFlags::PERSISTENT, instance.has("--persistent"));
    flags
}
