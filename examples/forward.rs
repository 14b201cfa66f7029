//! Ports of this host that lead elsewhere, for IPv4 and for IPv6, and who may use them.
//!
//! `unshare -rn target/debug/examples/forward`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nftmesh::prelude::*;

fn tables(family: Family, to: IpAddr, refused: IpNetwork) -> [Table; 2] {
    let new = || Rule::new().ct_state(CtState::NEW);
    let both = || new().l4proto([Protocol::TCP, Protocol::UDP]);
    let prerouting = Chain::base("prerouting", ChainType::Nat, Hook::Prerouting, Priority::DSTNAT - 10)
        .rule(both().th_dport(10000..=10100).counter().nat(Nat::dnat().to(to).ports(10000..=10100)).comment("range"))
        .rule(new().tcp_dport(8443).counter().nat(Nat::dnat().to(to).ports(443)).comment("single"))
        .rule(both().th_dport(8000).redirect_to(3128))
        .rule(new().tcp_dport(30001..=39999).redirect_to(45678));
    let postrouting = Chain::base("postrouting", ChainType::Nat, Hook::Postrouting, Priority::SRCNAT + 10)
        .rule(both().daddr(to).th_dport((443, 10000..=10100)).counter().masquerade());
    let filter = |name, hook| Chain::base(name, ChainType::Filter, hook, Priority::FILTER - 1);
    let input = Rule::new().saddr(refused).tcp_dport(22).counter().drop().comment("no shell from there");
    let forward = Rule::new().daddr(to).udp_sport(53..=54).counter().drop();
    [
        Table::new(family, "forward-nat").chain(prerouting).chain(postrouting),
        Table::new(family, "forward-filter")
            .chain(filter("input", Hook::Input).rule(input))
            .chain(filter("forward", Hook::Forward).rule(forward)),
    ]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
    let ip = tables(Family::Ip, Ipv4Addr::new(203, 0, 113, 9).into(), "198.51.100.0/24".parse()?);
    let ip6 = tables(Family::Ip6, server.into(), "2001:db8:dead::/48".parse()?);
    let ruleset = ip.into_iter().chain(ip6).fold(Ruleset::new(), Ruleset::table);
    Kernel::open()?.apply(&ruleset)?;
    print!("{ruleset}");
    Ok(())
}
