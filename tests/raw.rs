//! Expressions by name and attributes: sent, read back, compared, printed, walked and refused.

#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

mod support;

use nftmesh::bytecode::{Expr, MetaKey, Register};
use nftmesh::prelude::*;
use support::{in_fresh_netns, nft, nft_fails};

fn chain() -> ChainId {
    TableId::new(Family::Inet, "t").chain("c")
}

fn ruleset(rule: Rule) -> Ruleset {
    let chain = Chain::base("c", ChainType::Filter, Hook::Input, Priority::FILTER).rule(rule);
    Ruleset::new().table(Table::new(Family::Inet, "t").chain(chain))
}

/// `numgen inc mod 7` into register 1, as the kernel reports it.
fn numgen() -> RawExpr {
    RawExpr::new("numgen").be32(1, 1).be32(2, 7).be32(3, 0).be32(4, 0)
}

/// `numgen inc mod 7 3 counter drop`.
fn every_seventh() -> Rule {
    let three = RawExpr::new("cmp").be32(1, 1).be32(2, 0).nest(3, |data| data.bytes(1, &3_u32.to_ne_bytes()));
    Rule::new().tcp_dport(80).raw(numgen()).raw(three).counter().drop()
}

#[test]
fn a_raw_expression_is_read_back_as_it_was_sent() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let wanted = ruleset(every_seventh());
        kernel.apply(&wanted).expect("the kernel knows numgen and cmp");
        let plan = kernel.plan(&wanted).expect("readable");
        assert!(plan.is_empty(), "{plan}");
        let listed = nft("list chain inet t c");
        assert!(listed.contains("tcp dport 80 numgen inc mod 7 3 counter packets 0 bytes 0 drop"), "{listed}");
        let rules = kernel.rules(&chain()).expect("an answer").expect("it is there");
        let raised = kernel.snapshot().expect("readable").raise();
        assert!(raised.unnamed.is_empty() && raised.opaque.is_empty());
        for rule in [&rules[0].1, &raised.ruleset.tables[0].chains[0].rules[0]] {
            let text = rule.to_string();
            assert!(text.starts_with("tcp dport 80 numgen inc mod 7 3 counter"), "{text}");
            kernel.commit(&Transaction::replace(ruleset(rule.clone()))).expect("it goes back as it came");
            assert_eq!(nft("list chain inet t c"), listed);
        }
        nft_fails(&wanted.to_string());
    });
}

#[test]
fn a_known_expression_is_known_however_it_is_written() {
    let l4proto = [
        Rule::new().raw(RawExpr::new("meta").be32(2, 16).be32(1, 1)),
        Rule::new().raw(RawExpr::new("meta").attributes(&[8, 0, 1, 0, 0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 16])),
        Rule::new().raw(Expr::Meta { key: MetaKey::L4PROTO, dreg: Register::FIRST }),
    ];
    assert!(cfg!(target_endian = "big") || l4proto.iter().all(|rule| *rule == l4proto[2]), "{l4proto:?}");
    assert_eq!(l4proto[0].to_string(), "<unknown meta>");
}

#[test]
fn what_cannot_be_sent_is_refused_before_and_what_the_kernel_does_not_know_is_named() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let cut = Rule::new().counter().raw(RawExpr::new("numgen").attributes(&[8, 0, 1]));
        let error = kernel.apply(&ruleset(cut)).expect_err("it is not an attribute");
        assert!(error.is_invalid() && error.to_string().contains("statement 2"), "{error}");
        let set = Set::new("s", [DataType::Port]);
        assert!(set.opaque().is_none());
        let unknown = Rule::new().counter().raw(RawExpr::new("teleport").be32(1, 1));
        let error = kernel.apply(&ruleset(unknown)).expect_err("no kernel has it");
        assert!(error.is_unsupported() && error.to_string().contains("no teleport expression"), "{error}");
        let [refusal] = error.refusals() else { panic!("{error}") };
        assert!(refusal.what.ends_with("statement 2 (<unknown teleport>)"), "{}", refusal.what);
        let modulus = Rule::new().raw(RawExpr::new("numgen").be32(1, 1).be32(2, 0).be32(3, 0).be32(4, 0));
        let error = kernel.apply(&ruleset(modulus)).expect_err("a modulus of 0");
        assert!(error.to_string().contains("statement 1 (<unknown numgen>)"), "{error}");
        assert_eq!(nft("list ruleset"), "");
    });
}

#[cfg(feature = "sim")]
#[test]
fn a_walk_that_comes_to_it_cannot_tell() {
    use nftmesh::sim::{Comparison, End, Host, Rules, Walker, compare};
    let (raw, plain) = (ruleset(every_seventh()), ruleset(Rule::new().tcp_dport(81).drop()));
    let [raw, plain] = [raw, plain].map(|ruleset| Rules::try_from(&ruleset).expect("it has programs"));
    let host = Host::pod(["192.0.2.1/24".parse().expect("a prefix")]);
    let walk = |to: &str| {
        let packet = format!("tcp 192.0.2.9:40000 -> 192.0.2.1:{to}").parse().expect("a packet");
        Walker::new(&raw, &host).receive(packet, "eth0")
    };
    let asked = walk("80");
    assert!(matches!(asked.end, End::CannotTell(_)), "{asked}");
    assert!(asked.to_string().contains("numgen"), "{asked}");
    assert!(matches!(walk("81").end, End::Delivered(_)), "{}", walk("81"));
    assert!(!matches!(compare(&raw, &plain), Comparison::Equivalent { .. }));
    assert!(!matches!(compare(&raw, &raw), Comparison::Differs(_)));
}
