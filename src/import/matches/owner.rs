//! owner: the owner of the packet's socket.
//!
//! Without negation these are nft's `meta skuid` and `meta skgid`: neither matches without a
//! socket. A negated option also matches packets without a socket (owner_mt,
//! net/netfilter/xt_owner.c), unless another option requires a user or group. nft cannot express
//! that, so the match stays the xtables match itself, byte for byte as iptables-nft(8) encodes it.

use std::ops::RangeInclusive;

use super::super::error::Fault;
use super::super::extension::Instance;
use super::super::making::Making;
use super::super::raw;
use super::super::value::{matching, number, operand, range};
use super::super::words::Piece;
use crate::model::{Field, kind, socket_exists};

pub(super) fn read(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let ids = |name: &str, what: &str| {
        let Some(given) = instance.get(name) else { return Ok(None) };
        let one = |piece: Piece<'_>| number(piece, what, 0, u32::MAX - 1);
        Ok::<_, Fault>(Some((given.not, range(given.piece(), '-', None, one)?)))
    };
    let user = ids("--uid-owner", "user id (names are not looked up)")?;
    let group = ids("--gid-owner", "group id (names are not looked up)")?;
    let socket = instance.get("--socket-exists").map(|given| given.not);
    let supplementary = instance.get("--suppl-groups");
    if let Some(given) = supplementary.filter(|_| group.is_none()) {
        return Err(Fault::wrong(given.at, "--suppl-groups changes how --gid-owner matches; add --gid-owner"));
    }
    if user.is_none() && group.is_none() && socket.is_none() {
        return Err(instance.wrong("needs --uid-owner, --gid-owner or --socket-exists"));
    }
    let is =
        |ids: &Option<(bool, RangeInclusive<u32>)>, wanted: bool| ids.as_ref().is_some_and(|(not, _)| *not == wanted);
    let negated = is(&user, true) || is(&group, true);
    let positive = is(&user, false) || is(&group, false);
    if supplementary.is_some() || socket == Some(true) || negated && !positive {
        making.statement(blob(user.as_ref(), group.as_ref(), socket, supplementary.is_some()));
        return Ok(());
    }
    if socket.is_some() && !positive {
        making.matches(socket_exists());
    }
    if let Some((not, range)) = user {
        making.matches(matching(Field::Skuid, not, operand::<kind::Uid, _>(range)));
    }
    if let Some((not, range)) = group {
        making.matches(matching(Field::Skgid, not, operand::<kind::Gid, _>(range)));
    }
    Ok(())
}

type Ids = (bool, RangeInclusive<u32>);

/// Encodes `struct xt_owner_match_info`, include/uapi/linux/netfilter/xt_owner.h: four ids and two
/// bytes of flags, in host order, padded to 8.
fn blob(user: Option<&Ids>, group: Option<&Ids>, socket: Option<bool>, supplementary: bool) -> crate::model::Statement {
    let mut info = Vec::with_capacity(SIZE);
    let (mut asked, mut inverted) = (0_u8, 0_u8);
    let mut flag = |bit, not: Option<bool>| {
        asked |= if not.is_some() { bit } else { 0 };
        inverted |= if not == Some(true) { bit } else { 0 };
    };
    flag(UID, user.map(|(not, _)| *not));
    flag(GID, group.map(|(not, _)| *not));
    flag(SOCKET, socket);
    flag(SUPPL_GROUPS, supplementary.then_some(false));
    for ids in [user, group] {
        let (low, high) = ids.map_or((0, 0), |(_, range)| (*range.start(), *range.end()));
        info.extend(low.to_ne_bytes());
        info.extend(high.to_ne_bytes());
    }
    info.extend([asked, inverted]);
    info.resize(SIZE, 0);
    raw::xtables_match("owner", 1, &info)
}

const UID: u8 = 1;
const GID: u8 = 2;
const SOCKET: u8 = 4;
const SUPPL_GROUPS: u8 = 8;
const SIZE: usize = 24;
