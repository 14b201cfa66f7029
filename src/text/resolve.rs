//! Names that a text uses and that only the system knows: services, interfaces, users, files.

/// What a text names outside of itself. The defaults know [`WellKnown`] services, `lo` and `root`,
/// and read no files.
///
/// nft(8) asks the system (getservbyname(3), if_nametoindex(3), getpwnam(3), files); this crate
/// asks only what the caller gives. Without one, the services of [`WellKnown`] have names, `lo` is
/// interface 1 and `root` is user and group 0, and `include` is an error.
///
/// ```
/// use nftmesh::kernel::NetNs;
/// use nftmesh::text::{Reader, Resolve};
///
/// /// This machine, for files that are included by their full name.
/// struct System;
///
/// impl Resolve for System {
///     fn interface(&self, name: &str) -> Option<u32> {
///         NetNs::current().ok()?.interface(name).ok()
///     }
///
///     fn include(&self, path: &str) -> Result<Vec<(String, String)>, String> {
///         let text = std::fs::read_to_string(path).map_err(|why| format!("{path}: {why}"))?;
///         Ok(vec![(path.to_owned(), text)])
///     }
/// }
///
/// let reader = Reader::new().named("main.nft").resolver(&System);
/// let error = reader.ruleset("include \"/nowhere/vars.nft\"").unwrap_err();
/// assert!(error.one_line().starts_with("main.nft: line 1, column 1: /nowhere/vars.nft: "));
/// ```
///
/// `examples/common/system.rs` looks up all of it, with wildcards in `include`.
pub trait Resolve {
    /// Returns the port of a service: `ssh` is 22.
    fn service(&self, name: &str) -> Option<u16> {
        WellKnown.service(name)
    }

    /// Returns the index of an interface, for `iif` and `oif`.
    fn interface(&self, name: &str) -> Option<u32> {
        (name == "lo").then_some(1)
    }

    /// Returns the id of a user.
    fn user(&self, name: &str) -> Option<u32> {
        (name == "root").then_some(0)
    }

    /// Returns the id of a group.
    fn group(&self, name: &str) -> Option<u32> {
        (name == "root").then_some(0)
    }

    /// Returns the number of a control group of version 2, for `socket cgroupv2`: the inode of this
    /// path below its root.
    fn cgroup(&self, path: &str) -> Option<u64> {
        let _ = path;
        None
    }

    /// Returns name and text of each file that `include "path"` stands for. A path with wildcards
    /// may stand for none; nft reads the others in alphabetical order.
    ///
    /// # Errors
    /// Why it cannot be read, in one line.
    fn include(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        let _ = path;
        Err("include: no files are read here; give a resolver (Reader::resolver) that does".to_owned())
    }
}

/// Well-known services by their names in the registry of IANA, and nothing of the system.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "nothing in it")]
pub struct WellKnown;

impl Resolve for WellKnown {
    fn service(&self, name: &str) -> Option<u16> {
        SERVICES
            .binary_search_by_key(&name, |(name, _)| name)
            .ok()
            .and_then(|at| SERVICES.get(at))
            .map(|(_, port)| *port)
    }
}

/// Sorted. Those of /etc/services that rule sets use; the same port for every protocol.
const SERVICES: &[(&str, u16)] = &[
    ("amqp", 5672),
    ("bgp", 179),
    ("bootpc", 68),
    ("bootps", 67),
    ("dhcpv6-client", 546),
    ("dhcpv6-server", 547),
    ("discard", 9),
    ("domain", 53),
    ("domain-s", 853),
    ("echo", 7),
    ("finger", 79),
    ("ftp", 21),
    ("ftp-data", 20),
    ("git", 9418),
    ("gopher", 70),
    ("http", 80),
    ("http-alt", 8080),
    ("https", 443),
    ("imap2", 143),
    ("imaps", 993),
    ("ipp", 631),
    ("ipsec-nat-t", 4500),
    ("isakmp", 500),
    ("kerberos", 88),
    ("l2f", 1701),
    ("ldap", 389),
    ("ldaps", 636),
    ("mdns", 5353),
    ("microsoft-ds", 445),
    ("ms-sql-s", 1433),
    ("mysql", 3306),
    ("netbios-dgm", 138),
    ("netbios-ns", 137),
    ("netbios-ssn", 139),
    ("nfs", 2049),
    ("nntp", 119),
    ("ntp", 123),
    ("openvpn", 1194),
    ("pop3", 110),
    ("pop3s", 995),
    ("postgresql", 5432),
    ("printer", 515),
    ("radius", 1812),
    ("radius-acct", 1813),
    ("rsync", 873),
    ("sip", 5060),
    ("sip-tls", 5061),
    ("smtp", 25),
    ("snmp", 161),
    ("snmp-trap", 162),
    ("ssh", 22),
    ("submission", 587),
    ("submissions", 465),
    ("sunrpc", 111),
    ("svn", 3690),
    ("syslog", 514),
    ("syslog-tls", 6514),
    ("tacacs", 49),
    ("telnet", 23),
    ("telnets", 992),
    ("tftp", 69),
    ("whois", 43),
    ("xmpp-client", 5222),
    ("xmpp-server", 5269),
];

#[cfg(test)]
mod tests {
    #[test]
    fn services_are_sorted_for_binary_search() {
        assert!(super::SERVICES.is_sorted());
    }
}
