//! What an init container of a mesh sets up, in one commit: TCP that comes in and TCP that goes
//! out passes the proxy, but for its own and what is left alone.
//!
//! `unshare -rn target/debug/examples/mesh_init`

use nftmesh::prelude::*;

const PROXY: u32 = 2102;

fn table(family: Family, ignored: IpNetwork) -> Table {
    let nat = |name, hook| Chain::base(name, ChainType::Nat, hook, Priority::DSTNAT);
    let rule = |comment: &str| Rule::new().comment(format!("proxy-init/{comment}"));
    let redirect = Chain::regular("redirect")
        .rule(rule("ignore-ports").tcp_dport((4190, 4191, 4567..=4568)).r#return())
        .rule(rule("ignore-subnet").saddr(ignored).r#return())
        .rule(rule("all-incoming").l4proto(Protocol::TCP).redirect_to(4143));
    let output = Chain::regular("outgoing")
        .rule(rule("ignore-proxy-user").skuid(PROXY).r#return())
        .rule(rule("ignore-proxy-group").skgid(PROXY).r#return())
        .rule(rule("ignore-loopback").oifname("lo").r#return())
        .rule(rule("ignore-ports").tcp_dport(4567..=4568).r#return())
        .rule(rule("all-outgoing").l4proto(Protocol::TCP).redirect_to(4140));
    Table::new(family, "mesh")
        .chain(redirect)
        .chain(output)
        .chain(nat("prerouting", Hook::Prerouting).rule(rule("prerouting").jump("redirect")))
        .chain(nat("output", Hook::Output).rule(rule("output").jump("outgoing")))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ruleset = Ruleset::new()
        .table(table(Family::Ip, "192.168.0.0/16".parse()?))
        .table(table(Family::Ip6, "fd00::/8".parse()?));
    Kernel::open()?.commit(&Transaction::replace(ruleset.clone()))?;
    print!("{ruleset}");
    Ok(())
}
