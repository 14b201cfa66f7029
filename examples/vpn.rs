//! The firewall of a VPN's client: what leaves the host goes through the tunnel or not at all, but
//! for the tunnel itself, DHCP, neighbour discovery and the local network.
//!
//! `unshare -rn target/debug/examples/vpn lo` takes lo for the tunnel.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use nftmesh::prelude::matches::{iif, oif};
use nftmesh::prelude::*;

/// Mark of connections that may go around the tunnel.
const SPLIT: u32 = 0xf41;
/// Mark of packets that the routing policy sends outside of the tunnel.
const OUTSIDE: u32 = 0x6d6f_6c65;
/// net_cls group of processes that may go around the tunnel.
const EXCLUDED: u32 = 0x4d_9f41;
const LANS: [&str; 6] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fe80::/10", "fc00::/7"];
const GROUPS: [&str; 8] = [
    "224.0.0.0/24",
    "239.0.0.0/8",
    "255.255.255.255/32",
    "ff01::/16",
    "ff02::/16",
    "ff03::/16",
    "ff04::/16",
    "ff05::/16",
];

/// A transport protocol with the methods that compare its ports.
struct Transport {
    sport: fn(Rule, u16) -> Rule,
    dport: fn(Rule, u16) -> Rule,
}

const UDP: Transport = Transport { sport: Rule::udp_sport, dport: Rule::udp_dport };
const TCP: Transport = Transport { sport: Rule::tcp_sport, dport: Rule::tcp_dport };

fn drops(name: &str, hook: Hook) -> Chain {
    Chain::base(name, ChainType::Filter, hook, Priority::FILTER).policy(Policy::Drop)
}

fn firewall(lo: u32, tunnel: u32) -> Result<Table, Box<dyn std::error::Error>> {
    let peer: SocketAddr = "185.213.154.68:51820".parse()?;
    let dns = Ipv4Addr::new(10, 64, 0, 1);
    let lan_dns = Ipv4Addr::new(192, 168, 1, 1);
    let link_local: IpNetwork = "fe80::/10".parse()?;
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse()).collect::<Result<Vec<IpNetwork>, _>>();
    let (lans, groups) = (networks(&LANS)?, networks(&GROUPS)?);
    let rule = Rule::new;
    let established = CtState::ESTABLISHED;

    let mut prerouting = Chain::base("prerouting", ChainType::Filter, Hook::Prerouting, Priority::RAW + 101);
    let mut output = drops("output", Hook::Output).rule(rule().oif(lo).accept());
    let mut input = drops("input", Hook::Input).rule(rule().iif(lo).accept());
    let mut forward = drops("forward", Hook::Forward);
    let mut mangle = Chain::base("mangle", ChainType::Route, Hook::Output, Priority::MANGLE);
    let mut nat = Chain::base("nat", ChainType::Nat, Hook::Postrouting, Priority::SRCNAT);

    // Excluded processes, but for their DNS.
    for Transport { dport, .. } in [UDP, TCP] {
        mangle = mangle.rule(dport(rule().oif(tunnel), 53).daddr(dns).accept());
    }
    mangle = mangle.rule(rule().cgroup(EXCLUDED).set_ct_mark(SPLIT).set_mark(OUTSIDE).counter());
    for chain in [&mut input, &mut output, &mut forward] {
        chain.rules.push(rule().ct_mark(SPLIT).accept());
    }
    nat = nat.rule(rule().oif(tunnel).ct_mark(SPLIT).drop()).rule(rule().not(oif(lo)).ct_mark(SPLIT).masquerade());
    prerouting = prerouting.rule(rule().not(iif(tunnel)).ct_mark(SPLIT).set_mark(OUTSIDE));

    // DHCP and neighbour discovery.
    for chain in [&mut output, &mut forward] {
        chain.rules.push(rule().daddr(Ipv4Addr::BROADCAST).udp_sport(68).udp_dport(67).accept());
        for server in ["ff02::1:2", "ff05::1:3"] {
            let server: Ipv6Addr = server.parse()?;
            chain.rules.push(rule().saddr(link_local).daddr(server).udp_sport(546).udp_dport(547).accept());
        }
        let asked: IpNetwork = "ff02::1:ff00:0/104".parse()?;
        let routers: Ipv6Addr = "ff02::2".parse()?;
        chain.rules.push(rule().daddr(routers).icmpv6_type(Icmpv6Type::ND_ROUTER_SOLICIT).accept());
        chain.rules.push(rule().daddr(asked).icmpv6_type(Icmpv6Type::ND_NEIGHBOR_SOLICIT).accept());
        chain.rules.push(rule().daddr(link_local).icmpv6_type(Icmpv6Type::ND_NEIGHBOR_ADVERT).accept());
    }
    for chain in [&mut input, &mut forward] {
        chain.rules.push(rule().udp_sport(67).udp_dport(68).accept());
        for kind in [Icmpv6Type::ND_ROUTER_ADVERT, Icmpv6Type::ND_REDIRECT, Icmpv6Type::ND_NEIGHBOR_SOLICIT] {
            chain.rules.push(rule().saddr(link_local).icmpv6_type(kind).accept());
        }
    }

    // The tunnel itself.
    let from_peer = || rule().saddr(peer.ip()).udp_sport(peer.port());
    let to_peer = || rule().daddr(peer.ip()).udp_dport(peer.port());
    prerouting = prerouting.rule(from_peer().set_mark(OUTSIDE));
    input = input
        .rule(from_peer().ct_state(established).accept())
        .rule(from_peer().ct_state(established).skuid(0).accept());
    output = output.rule(to_peer().mark(OUTSIDE).accept()).rule(to_peer().skuid(0).accept());

    // DNS goes to one server in the tunnel and one in the local network.
    for Transport { sport, dport } in [UDP, TCP] {
        for chain in [&mut output, &mut forward] {
            chain.rules.push(dport(rule().oif(tunnel), 53).daddr(dns).accept());
            chain.rules.push(dport(rule().not(oif(tunnel)), 53).daddr(lan_dns).accept());
        }
        for chain in [&mut input, &mut forward] {
            chain.rules.push(sport(rule().not(iif(tunnel)), 53).saddr(lan_dns).ct_state(established).accept());
        }
    }
    for chain in [&mut output, &mut forward] {
        chain.rules.push(rule().udp_dport(53).reject());
        chain.rules.push(rule().tcp_dport(53).reject_with(Reject::TcpReset));
        chain.rules.push(rule().oif(tunnel).accept());
    }
    input = input.rule(rule().iif(tunnel).accept()).rule(rule().daddr(Ipv4Addr::new(10, 65, 1, 2)).drop());
    forward = forward.rule(rule().iif(tunnel).ct_state(established).accept());

    // The local network.
    for chain in [&mut output, &mut forward] {
        chain.rules.extend(lans.iter().chain(&groups).map(|net| rule().daddr(*net).accept()));
        chain.rules.push(rule().reject());
    }
    input = input.rules(lans.iter().map(|net| rule().saddr(*net).accept()));

    let chains = [prerouting, output, input, forward, mangle, nat];
    Ok(chains.into_iter().fold(Table::new(Family::Inet, "vpn"), Table::chain))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let namespace = NetNs::current()?;
    let tunnel = namespace.interface(&std::env::args().nth(1).unwrap_or("wg0".into()))?;
    let ruleset = Ruleset::new().table(firewall(namespace.interface("lo")?, tunnel)?);
    namespace.kernel()?.apply(&ruleset)?;
    print!("{ruleset}");
    Ok(())
}
