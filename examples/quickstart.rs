//! A rule set as types, committed as one transaction: `unshare -rn target/debug/examples/quickstart`.

use nftmesh::kernel::Kernel;
use nftmesh::model::{
    Chain, ChainType, DataType, Element, Family, Hook, Priority, Protocol, Rule, Ruleset, Set, Table, set,
};
use nftmesh::plan::Transaction;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let excluded = ["10.96.0.0/12", "169.254.169.254/32"].map(|net| net.parse::<ipnetwork::IpNetwork>());
    let excluded = excluded.into_iter().collect::<Result<Vec<_>, _>>()?;

    let ruleset = Ruleset::new().table(
        Table::new(Family::Inet, "mesh")
            .set(Set::new("excluded", [DataType::Ipv4]).interval().elements(excluded.into_iter().map(Element::new)))
            .chain(
                Chain::base("output", ChainType::Nat, Hook::Output, Priority::DSTNAT)
                    .rule(Rule::new().skuid(1337).counter().r#return().comment("the proxy itself"))
                    .rule(Rule::new().ip_daddr(set("excluded")).counter().r#return())
                    .rule(Rule::new().l4proto(Protocol::TCP).counter().jump("to-proxy")),
            )
            .chain(Chain::regular("to-proxy").rule(Rule::new().l4proto(Protocol::TCP).counter().redirect_to(15001))),
    );

    let mut kernel = Kernel::open()?;
    kernel.commit(&Transaction::replace(ruleset.clone()))?;
    print!("{ruleset}");

    // All or nothing, and the error says which and why.
    let mesh = nftmesh::plan::TableId::new(Family::Inet, "mesh");
    let refused = Transaction::new()
        .add_rule(&mesh.chain("output"), Rule::new().counter().accept())
        .add_rule(&mesh.chain("outptu"), Rule::new().counter().accept());
    println!("# {}", kernel.commit(&refused).expect_err("there is no such chain"));
    Ok(())
}
