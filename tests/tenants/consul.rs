//! Consul's sidecar, as `consul connect redirect-traffic` set it up with iptables: IPv4 only.

use nftmesh::mesh::{Cidrs, Mesh, Original, PortRanges};
use nftmesh::prelude::*;
use std::{net::Ipv4Addr, num::NonZeroU16};

#[derive(Debug, clap::Parser)]
pub struct Consul {
    #[arg(long)]
    proxy_uid: u32,
    #[arg(long)]
    proxy_inbound_port: NonZeroU16,
    #[arg(long, default_value = "15001")]
    proxy_outbound_port: NonZeroU16,
    #[arg(long)]
    exclude_inbound_port: Vec<PortRanges>,
    #[arg(long)]
    exclude_outbound_port: Vec<PortRanges>,
    #[arg(long)]
    exclude_outbound_cidr: Vec<Cidrs>,
    #[arg(long)]
    exclude_uid: Vec<u32>,
    #[arg(long)]
    consul_dns_ip: Option<Ipv4Addr>,
}

impl Mesh for Consul {
    fn rules(&self) -> Ruleset {
        let nat = |name, hook| Chain::base(name, ChainType::Nat, hook, Priority(Priority::DSTNAT.0 - 1));
        let to = |port: NonZeroU16| Rule::new().l4proto(Protocol::TCP).counter().redirect_to(port.get());
        let not_to = |lists: &[PortRanges]| {
            let ports: Vec<_> = lists.iter().flat_map(PortRanges::iter).collect();
            (!ports.is_empty()).then(|| Rule::new().tcp_dport(ports).counter().r#return())
        };
        let query = Rule::new().l4proto([Protocol::TCP, Protocol::UDP]).th_dport(53);
        let dns = self.consul_dns_ip.map(|ip| query.counter().nat(Nat::dnat().to(ip)));
        let users = Rule::new().skuid([vec![self.proxy_uid], self.exclude_uid.clone()].concat()).counter().r#return();
        let ranges = self.exclude_outbound_cidr.iter().flat_map(Cidrs::v4).chain([Ipv4Addr::LOCALHOST.into()]);
        let ranges = Rule::new().ip_daddr(ranges.collect::<Vec<_>>()).counter().r#return();
        let output = nat("output", Hook::Output).rules(dns).rules([users, ranges]);
        let output = output.rules(not_to(&self.exclude_outbound_port)).rule(to(self.proxy_outbound_port));
        let prerouting = nat("prerouting", Hook::Prerouting).rules(not_to(&self.exclude_inbound_port));
        let table = Table::new(Family::Ip, "consul").chain(prerouting.rule(to(self.proxy_inbound_port))).chain(output);
        Ruleset::new().table(table)
    }

    fn tables(&self) -> Vec<TableId> {
        vec![TableId::new(Family::Ip, "consul")]
    }

    fn outbound_port(&self) -> Option<u16> {
        Some(self.proxy_outbound_port.get())
    }

    fn original(&self) -> Original {
        let mut original = Original::default();
        (original.program, original.chains) = ("consul connect redirect-traffic", "CONSUL_");
        original
    }
}
