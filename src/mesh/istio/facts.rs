//! What the configuration depends on in the machine, as plain data. One function reads it; the
//! rest parses text.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::file;
use super::option::OptionSpec;
use super::option_table as table;
use super::options::RawOptions;
use crate::Result;
use crate::mesh::parse;

/// The facts of a pod that determine defaults: addresses, nameservers, users and groups.
///
/// ```
/// use nftmesh::mesh::istio::{PodFacts, parse_passwd};
///
/// let host = PodFacts {
///     addresses: vec!["127.0.0.1".parse()?, "fe80::1".parse()?, "fd77::2".parse()?],
///     users: parse_passwd("istio-proxy:x:1337:1337::/:/bin/false"),
///     ..PodFacts::default()
/// };
/// assert_eq!(host.pod_address(), Some("fd77::2".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Every address of every interface of the pod, in the kernel's order (all IPv4 before all
    /// IPv6), loopback included.
    pub addresses: Vec<IpAddr>,
    /// The nameservers, and the entries that could not be read.
    pub nameservers: Nameservers,
    /// The uid of each user by name.
    pub users: BTreeMap<String, u32>,
    /// The gid of each group by name.
    pub groups: BTreeMap<String, u32>,
}

/// The nameservers of a `resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nameservers {
    /// Each address once, in the order of the file.
    pub addresses: Vec<IpAddr>,
    /// Text after `nameserver` that is not an address.
    pub unreadable: Vec<String>,
}

impl PodFacts {
    /// Reads `/etc/passwd` and `/etc/group`, and `/etc/resolv.conf` when `options` capture queries
    /// to its nameservers. A file that does not exist counts as empty.
    ///
    /// The caller supplies the `addresses` of the pod's namespace, in the kernel's order.
    ///
    /// # Errors
    ///
    /// Fails if a file exists but cannot be read, is not a regular file, or is larger than 1 MiB
    /// (`/etc/resolv.conf`) or 64 MiB.
    pub fn read(options: &RawOptions, addresses: Vec<IpAddr>) -> Result<Self> {
        let resolv_conf = match needs_nameservers(options) {
            true => file::text("/etc/resolv.conf", 1 << 20)?,
            false => String::new(),
        };
        Ok(PodFacts {
            addresses,
            nameservers: parse_resolv_conf(&resolv_conf),
            users: parse_passwd(&file::text("/etc/passwd", 64 << 20)?),
            groups: parse_group(&file::text("/etc/group", 64 << 20)?),
        })
    }

    /// Returns the first address that is neither loopback nor link-local: the address of the pod.
    #[must_use]
    pub fn pod_address(&self) -> Option<IpAddr> {
        self.pod_addresses().next()
    }

    /// Returns whether any address that is neither loopback nor link-local is IPv6. With
    /// dual-stack this decides whether IPv6 is captured.
    ///
    /// Without dual-stack the [`pod_address`](Self::pod_address) decides. `getLocalIP`,
    /// <https://github.com/istio/istio/blob/04c9569dc63cf02c99a13079d22cf6fdd69a34a0/tools/common/config/config.go>.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        self.pod_addresses().any(|address| address.is_ipv6())
    }

    fn pod_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses
            .iter()
            .map(IpAddr::to_canonical)
            .filter(|address| !address.is_loopback() && !is_link_local(*address))
    }
}

/// Returns whether capturing depends on the nameservers. A value that is not acceptable counts as
/// off here; reading all options reports it.
fn needs_nameservers(options: &RawOptions) -> bool {
    let is_on = |spec: &'static OptionSpec| options.read(spec, parse::boolean).unwrap_or(false);
    is_on(&table::REDIRECT_DNS) && !is_on(&table::CAPTURE_ALL_DNS)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Parses the `nameserver` lines of a resolv.conf(5) and drops the zone of a link-local address.
///
/// ```
/// use nftmesh::mesh::istio::parse_resolv_conf;
///
/// let nameservers = parse_resolv_conf("search svc.local\nnameserver 10.96.0.10 # cluster\n; nameserver 9.9.9.9\n");
/// assert_eq!(nameservers.addresses, ["10.96.0.10".parse::<std::net::IpAddr>()?]);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub fn parse_resolv_conf(text: &str) -> Nameservers {
    let mut nameservers = Nameservers::default();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let word = words.next().unwrap_or_default();
        let address = word.split_once('%').map_or(word, |(address, _zone)| address);
        match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) if !seen.insert(address) => {}
            Ok(address) => nameservers.addresses.push(address),
            Err(_) => nameservers.unreadable.push(word.to_owned()),
        }
    }
    nameservers
}

/// Returns the uid of each user of a passwd(5). The first line with a name wins; malformed lines
/// are ignored.
#[must_use]
pub fn parse_passwd(text: &str) -> BTreeMap<String, u32> {
    names(text)
}

/// Returns the gid of each group of a group(5). The first line with a name wins; malformed lines
/// are ignored.
#[must_use]
pub fn parse_group(text: &str) -> BTreeMap<String, u32> {
    names(text)
}

/// Parses `name:password:number:...`, the start of a line of both files.
fn names(text: &str) -> BTreeMap<String, u32> {
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(_password), Some(number)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        // `+` and `-` lines are for NIS, passwd(5).
        if name.is_empty() || name.starts_with(['+', '-', '#']) {
            continue;
        }
        if let Ok(number) = number.parse() {
            names.entry(name.to_owned()).or_insert(number);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(addresses: &[&str]) -> PodFacts {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        PodFacts { addresses, ..PodFacts::default() }
    }

    #[test]
    fn ipv6_follows_the_first_pod_address_or_any_with_dual_stack() {
        let cases: [(&[&str], bool, bool); 10] = [
            (&["127.0.0.1", "10.77.0.2", "::1", "fd77::2"], false, true),
            (&["127.0.0.1", "::1", "fd77::2"], true, true),
            (&["fd77::2", "10.77.0.2"], true, true),
            (&["10.77.0.2"], false, false),
            (&["10.77.0.2", "::1", "fe80::1"], false, false),
            (&["169.254.1.1", "fd77::2"], true, true),
            (&["::ffff:10.0.0.1", "fd77::2"], false, true),
            (&["10.0.0.1", "::ffff:10.0.0.2"], false, false),
            (&["127.0.0.1", "::1"], false, false),
            (&[], false, false),
        ];
        for (addresses, alone, dual_stack) in cases {
            let host = host(addresses);
            let first = host.pod_address().is_some_and(|address| address.is_ipv6());
            assert_eq!((first, host.has_ipv6()), (alone, dual_stack), "{addresses:?}");
        }
    }

    #[test]
    fn nameservers_keep_their_order_and_unreadable_ones_are_returned() {
        let text = "# c\nnameserver 10.0.0.10\n\tnameserver\tfd00::a\nnameserver fe80::1%eth0\nnameserver 10.0.0.10\n\
            nameserver dns.local\nnameserver\nnameservers 9.9.9.9\n#nameserver 1.1.1.1\noptions ndots:5\n";
        let Nameservers { addresses, unreadable } = parse_resolv_conf(text);
        let printed: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(printed, ["10.0.0.10", "fd00::a", "fe80::1"]);
        assert_eq!(unreadable, ["dns.local", ""]);
    }

    #[test]
    fn the_first_line_with_a_name_wins() {
        let text = "root:x:0:0:root:/root:/bin/sh\nistio-proxy:x:1337:1337::/:\nistio-proxy:x:7:7::/:\n+nis:x:5:\nbad:x:y:\nshort:x\n";
        let users = parse_passwd(text);
        assert_eq!(users.into_iter().collect::<Vec<_>>(), [("istio-proxy".to_owned(), 1337), ("root".to_owned(), 0)]);
    }
}
