//! What a container network tool keeps: rules for each network, ports that lead to a container,
//! and the end of a network, found by what its rules say.
//!
//! `unshare -rn target/debug/examples/container` sets two networks up and takes one of them down.

use std::net::Ipv4Addr;

use nftmesh::prelude::matches::{daddr, iifname, masked, oifname, saddr};
use nftmesh::prelude::*;

/// Packets with this mark are masqueraded.
const MASQUERADE: u32 = 0x2000;
/// Connections with this mark lead to a container.
const FORWARDED: u32 = 0x1000;

/// What all networks share.
fn shared() -> Table {
    let filter = |name, hook| Chain::base(name, ChainType::Filter, hook, Priority::FILTER);
    let nat = |name, hook, priority| Chain::base(name, ChainType::Nat, hook, priority);
    let local = || Rule::new().fib_daddr_type(AddrType::LOCAL).jump("ports");
    let forward = filter("forward", Hook::Forward)
        .rule(Rule::new().ct_state(CtState::INVALID).drop())
        .rule(Rule::new().ct_mark(masked(FORWARDED, FORWARDED)).accept())
        .rule(Rule::new().jump("isolation-1"));
    let masquerade = Rule::new().mark(masked(MASQUERADE, MASQUERADE)).masquerade();
    let mark = Rule::new().set_mark(MarkValue::or(MarkKey::Meta, MASQUERADE));
    let table = Table::new(Family::Inet, "containers")
        .chain(filter("input", Hook::Input))
        .chain(forward)
        .chain(nat("postrouting", Hook::Postrouting, Priority::SRCNAT).rule(masquerade))
        .chain(nat("prerouting", Hook::Prerouting, Priority::DSTNAT).rule(local()))
        .chain(nat("output", Hook::Output, Priority::DSTNAT).rule(local()))
        .chain(Chain::regular("mark").rule(mark));
    ["ports", "isolation-1", "isolation-2"].map(Chain::regular).into_iter().fold(table, Table::chain)
}

struct Network {
    chain: ChainId,
    bridge: &'static str,
    subnet: Ipv4Network,
}

impl Network {
    fn set_up(&self) -> Transaction {
        let Network { chain, bridge, subnet } = self;
        let (bridge, subnet, table) = (*bridge, *subnet, &chain.table);
        let multicast = Ipv4Network::new(Ipv4Addr::new(224, 0, 0, 0), 4).expect("a prefix");
        let known = CtState::ESTABLISHED | CtState::RELATED;
        let dns = Rule::new().saddr(subnet).l4proto([Protocol::UDP, Protocol::TCP]).th_dport(53);
        let leaves = Rule::new().iifname(bridge).not(oifname(bridge));
        Transaction::new()
            .add_chain(table, Chain::regular(&chain.name))
            .add_rule(chain, Rule::new().daddr(subnet).accept())
            .add_rule(chain, Rule::new().not(daddr(multicast)).masquerade())
            .add_rule(&table.chain("isolation-1"), leaves.jump("isolation-2"))
            .add_rule(&table.chain("isolation-2"), Rule::new().oifname(bridge).drop())
            .add_rule(&table.chain("input"), dns.accept())
            .add_rule(&table.chain("forward"), Rule::new().daddr(subnet).ct_state(known).accept())
            .add_rule(&table.chain("forward"), Rule::new().saddr(subnet).accept())
            .add_rule(&table.chain("postrouting"), Rule::new().saddr(subnet).jump(&chain.name))
    }

    /// Leads a port of this host to one of a container.
    fn publish(&self, port: u16, (container, inside): (Ipv4Addr, u16)) -> Transaction {
        let (own, ports) = (self.ports(), self.chain.table.chain("ports"));
        let dns = Rule::new().daddr(self.subnet).l4proto([Protocol::UDP, Protocol::TCP]).th_dport(53);
        let marked = Rule::new().tcp_dport(port).set_ct_mark(MarkValue::or(MarkKey::Meta, FORWARDED));
        Transaction::new()
            .add_chain(&own.table, Chain::regular(&own.name))
            .insert_rule(&ports, Position::First, dns.nat(Nat::dnat().ports(1153)))
            .add_rule(&ports, Rule::new().tcp_dport(port).jump(&own.name))
            .add_rule(&own, Rule::new().saddr(self.subnet).tcp_dport(port).jump("mark"))
            .add_rule(&own, marked.nat(Nat::dnat().to(container).ports(inside)))
    }

    fn ports(&self) -> ChainId {
        self.chain.table.chain(format!("{}-ports", self.chain.name))
    }

    /// Deletes every rule that names the network, then its chains.
    fn take_down(&self, snapshot: &Snapshot) -> Transaction {
        let Network { chain: own, bridge, subnet } = self;
        let names = [saddr(*subnet), daddr(*subnet), iifname(*bridge), oifname(*bridge)];
        let ports = self.ports();
        let is_ours = |rule: &Rule| names.iter().any(|name| rule.has(name)) || rule.target() == Some(&ports.name);
        let mut down = Transaction::new().at_generation(snapshot.generation);
        for chain in snapshot.chains(&own.table) {
            for (handle, _) in snapshot.rules(&chain).filter(|(_, rule)| is_ours(rule)) {
                down = down.delete_rule(&chain, handle);
            }
        }
        down.destroy_chain(own).destroy_chain(&ports)
    }
}

fn main() -> Result<()> {
    let table = TableId::new(Family::Inet, "containers");
    let network = |name, bridge, subnet: [u8; 4]| Network {
        chain: table.chain(name),
        bridge,
        subnet: Ipv4Network::new(subnet.into(), 16).expect("a prefix"),
    };
    let [web, data] = [network("web", "web0", [10, 88, 0, 0]), network("data", "data0", [10, 89, 0, 0])];
    let published = web.publish(8080, (Ipv4Addr::new(10, 88, 0, 5), 80));
    let mut kernel = Kernel::open()?;
    kernel.apply(&Ruleset::new().table(shared()))?;
    [web.set_up(), data.set_up(), published].iter().try_for_each(|transaction| kernel.commit(transaction))?;
    let down = web.take_down(&kernel.snapshot()?);
    print!("{down}");
    kernel.commit(&down)
}
