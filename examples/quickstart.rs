//! The program of the README: `unshare -rn target/debug/examples/quickstart`.

use nftmesh::kernel::Kernel;
use nftmesh::model::{Chain, ChainType, Family, Hook, Priority, Protocol, Rule, Ruleset, Table, TableId};
use nftmesh::plan::Transaction;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let output = Chain::base("output", ChainType::Nat, Hook::Output, Priority::DSTNAT)
        .rule(Rule::new().skuid(1337).counter().r#return().comment("the proxy itself"))
        .rule(Rule::new().l4proto(Protocol::TCP).counter().redirect_to(15001));
    let ruleset = Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(output));

    let mut kernel = Kernel::open()?;
    kernel.commit(&Transaction::replace(ruleset.clone()))?; // all of it or nothing
    print!("{ruleset}"); // what `nft list ruleset` prints now

    let typo = TableId::new(Family::Inet, "mesh").chain("outptu");
    let refused = kernel.commit(&Transaction::new().add_rule(&typo, Rule::new().accept()));
    println!("# {}", refused.expect_err("there is no such chain"));
    Ok(())
}
