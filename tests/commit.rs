//! Transactions against the real kernel.

mod support;

use nftmesh::kernel::Kernel;
use nftmesh::model::*;
use nftmesh::plan::{TableId, Transaction};
use support::{in_fresh_netns, nft};

#[test]
fn smoke() {
    in_fresh_netns(|| {
        let ruleset = Ruleset::new().table(
            Table::new(Family::Inet, "mesh")
                .set(Set::new("s", [DataType::Ipv4]).interval().elements(["10.0.0.0/8".parse::<ipnetwork::IpNetwork>().expect("net")]))
                .chain(Chain::base("out", ChainType::Nat, Hook::Output, Priority::DSTNAT)
                    .rule(Rule::new().skuid(1337).counter().r#return().comment("hello"))
                    .rule(Rule::new().tcp_dport([80, 443]).redirect_to(15001))
                    .rule(Rule::new().ip_daddr(set("s")).l4proto(Protocol::TCP).redirect_to(15001))
                    .rule(Rule::new().jump("x")))
                .chain(Chain::regular("x").rule(Rule::new().iifname("veth*").mark(masked(1, 0xff)).ct_state(CtState::ESTABLISHED | CtState::RELATED).accept())),
        );
        let mut kernel = Kernel::open().expect("open");
        println!("{:?}", kernel.generation());
        kernel.commit(&Transaction::replace(ruleset.clone())).expect("commit");
        println!("{:?} {:?}", kernel.generation(), kernel.tables());
        println!("{}", nft("list ruleset"));
        let t = TableId::new(Family::Inet, "mesh");
        let bad = Transaction::new()
            .add_rule(&t.chain("nope"), Rule::new().accept())
            .add_rule(&t.chain("x"), Rule::new().counter().jump("nowhere"))
            .add_rule(&t.chain("x"), Rule::new().counter().queue(0..=3, QueueFlags::empty()))
            .add_rule(&t.chain("x"), Rule::new().tproxy(Tproxy::to_port(1)))
            .add_rule(&t.chain("x"), Rule::new().ip_daddr(set("noset")).accept())
            .add_elements(&t, &Set::new("s", [DataType::Ipv4]).interval(), [Element::new("10.1.0.0/16".parse::<ipnetwork::IpNetwork>().expect("net"))]);
        let error = kernel.commit(&bad).expect_err("bad");
        println!("{error}");
        for r in error.refusals() { println!("{r:?}"); }
        let error = kernel.check(&bad).expect_err("bad");
        println!("{error}");
        let stale = Transaction::new().add_table(&t).at_generation(nftmesh::plan::Generation(1));
        println!("{}", kernel.commit(&stale).expect_err("stale"));
        kernel.commit(&Transaction::new().delete_table(&t)).expect("del");
    });
}
