//! Outbound ports that are left alone for some users.

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::mesh::PortRanges;
use crate::mesh::error::Problem;
use crate::mesh::parse::{self, Parsed};

/// Outbound ports that are left alone for some users, as `tcp:22,80-90:1000-1005` says it.
///
/// Protocol and ports may be missing, or `*`: `1000`, `22:1000`.
///
/// ```
/// use nftmesh::mesh::kuma::{Protocols, UidExclusion};
///
/// let exclusion: UidExclusion = "22:1000-1005".parse()?;
/// assert_eq!(exclusion.protocols, Protocols::Both);
/// assert_eq!(exclusion.uids, [1000..=1005]);
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UidExclusion {
    /// The protocols.
    pub protocols: Protocols,
    /// The ports, never empty; all but 0 if none were named.
    pub ports: PortRanges,
    /// The users, never empty.
    pub uids: Vec<RangeInclusive<u32>>,
}

/// The protocols that an exclusion is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the protocols that are captured")]
pub enum Protocols {
    /// Both.
    Both,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl UidExclusion {
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        let (protocols, ports, uids) = match parts.as_slice() {
            [uids] => ("", "", *uids),
            [ports, uids] => ("", *ports, *uids),
            [protocols, ports, uids] => (*protocols, *ports, *uids),
            _ => return Err(Problem::new(format!("too many colons; {ACCEPTED}"))),
        };
        let protocols = match protocols.to_ascii_lowercase().as_str() {
            "" | "*" | "tcp,udp" | "udp,tcp" => Protocols::Both,
            "tcp" => Protocols::Tcp,
            "udp" => Protocols::Udp,
            _ => return Err(Problem::new(format!("the protocol is not tcp or udp; {ACCEPTED}"))),
        };
        let ports = PortRanges::parse_or_wildcard(ports)?.filter(|ports| !ports.is_empty());
        let ports = ports.unwrap_or_else(|| [1..=u16::MAX].into_iter().collect());
        let uids = parse::list(uids, ACCEPTED, users)?;
        if uids.is_empty() {
            return Err(Problem::new(format!("no user is named; {ACCEPTED}")));
        }
        Ok(UidExclusion { protocols, ports, uids })
    }
}

fn users(text: &str) -> Parsed<RangeInclusive<u32>> {
    let user = |text: &str| {
        let number = parse::decimal(text.trim()).and_then(|number| u32::try_from(number).ok());
        parse::checked_owner(number.unwrap_or(u32::MAX), "user")
    };
    let Some((first, last)) = text.split_once('-') else { return user(text).map(|user| user..=user) };
    let (first, last) = (user(first)?, user(last)?);
    if first > last {
        return Err(Problem::new(format!("the range is reversed, write {last}-{first}")));
    }
    Ok(first..=last)
}

impl FromStr for UidExclusion {
    type Err = crate::Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        UidExclusion::parse(text).map_err(|problem| problem.of("exclusion", text).into())
    }
}

const ACCEPTED: &str = "give UIDS, PORTS:UIDS or PROTOCOL:PORTS:UIDS, such as tcp:22,80-90:1000-1005";
