//! A raised snapshot equals the kernel's state: a plan from the kernel to itself is empty, applying
//! it changes nothing, and a copy of a table from its raised form is the same to nft and to the
//! next plan.

use std::fs;

use ipnetwork::IpNetwork;
use nftmesh::model::{DataType, Element, Family, Ruleset, Set, Table, Value, Verdict};

use super::laws::{opened, raised_changes_nothing, raised_is_copied, raised_is_made_again};
use crate::support::corpus::{EVERYTHING, XTABLES, as_this_kernel, corpus, files_of, loads, rules_of};
use crate::support::{self, in_fresh_netns, nft, nft_script, say};

#[test]
fn rule_sets_loaded_by_nft_are_in_sync_with_themselves() {
    in_fresh_netns(|| {
        for script in EVERYTHING.iter().chain(FINDINGS) {
            nft_script("flush ruleset");
            nft_script(&as_this_kernel(script));
            raised_changes_nothing(&mut opened());
            raised_is_copied(&mut opened());
        }
    });
}

/// What nft notes beside a set for its listing (the expression of a type, the byte order, whether
/// to merge) is no part of what the set means.
#[test]
fn a_set_that_nft_declared_is_in_sync_with_one_of_the_same_types() {
    in_fresh_netns(|| {
        nft_script(
            "table inet t {
                set pairs { typeof ip saddr . tcp dport; elements = { 10.0.0.1 . 80 }; }
                set merged { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.0.0/8 }; }
                map marks { typeof ip saddr : meta mark; elements = { 10.0.0.1 : 0x7 }; }
                map verdicts { type ipv4_addr . inet_service : verdict; elements = { 10.0.0.1 . 80 : drop }; }
            }",
        );
        let listed = nft("list ruleset");
        let address = || Value::Ipv4([10, 0, 0, 1].into());
        let network: IpNetwork = "10.0.0.0/8".parse().expect("a network");
        let pair = || [DataType::Ipv4, DataType::Port];
        let table = Table::new(Family::Inet, "t")
            .set(Set::new("pairs", pair()).elements([Element::new([address(), Value::Port(80)])]))
            .set(Set::new("merged", [DataType::Ipv4]).interval().elements([Element::new(network)]))
            .set(
                Set::map("marks", [DataType::Ipv4], DataType::Mark)
                    .elements([Element::new(address()).value(Value::Mark(7))]),
            )
            .set(
                Set::verdict_map("verdicts", pair())
                    .elements([Element::new([address(), Value::Port(80)]).verdict(Verdict::Drop)]),
            );
        let mut kernel = opened();
        let wanted = Ruleset::new().table(table);
        let plan = kernel.plan(&wanted).expect("readable");
        assert!(plan.is_empty(), "{plan}");
        assert!(kernel.apply(&wanted).expect("valid").was_in_sync());
        assert_eq!(nft("list ruleset"), listed);
    });
}

#[test]
fn rule_sets_loaded_by_iptables_are_in_sync_with_themselves() {
    // Their owners are users that only the host's root may name.
    if !support::needs_root() {
        return;
    }
    in_fresh_netns(|| {
        for (program, rule) in XTABLES {
            support::succeed(program, rule, "");
        }
        raised_changes_nothing(&mut opened());
        raised_is_made_again(&mut opened());
    });
}

#[test]
fn real_rule_sets_are_in_sync_with_themselves() {
    let Some(folder) = corpus("real") else { return };
    let (mut read, mut refused) = (0, Vec::new());
    for path in files_of(&folder) {
        in_fresh_netns(|| {
            if loads(&fs::read_to_string(&path).expect("text")) {
                raised_changes_nothing(&mut opened());
                raised_is_copied(&mut opened());
                raised_is_made_again(&mut opened());
                read += 1;
            } else {
                refused.push(path.clone());
            }
        });
    }
    say(format_args!("{read} real rule sets raised, {} not taken by nft: {refused:?}", refused.len()));
}

#[test]
fn every_rule_of_the_corpus_is_in_sync_with_itself() {
    let Some(file) = corpus("rules.tsv") else { return };
    let (mut read, mut refused) = (0, 0);
    let rules = rules_of(&file);
    for some in rules.chunks(100) {
        in_fresh_netns(|| {
            if loads(&some.concat()) {
                read += some.len();
            } else {
                let taken = some.iter().filter(|script| loads(script)).count();
                read += taken;
                refused += some.len() - taken;
            }
            raised_changes_nothing(&mut opened());
            raised_is_copied(&mut opened());
        });
    }
    say(format_args!("{read} rules raised, {refused} not taken by nft"));
}

/// Small rule sets of which something was once lost or refused.
const FINDINGS: &[&str] = &[
    "table inet t {
        comment \"kept\"
        set a { type ipv4_addr; counter; elements = { 10.0.0.1 }; }
        set b { type ipv4_addr; size 100; flags dynamic; limit rate 10/second; }
        set p { type ipv4_addr; policy memory; }
        set k { typeof ip saddr . tcp dport; }
        set n { typeof vlan id; elements = { 2, 3 }; }
        set l { type ipv4_addr; flags timeout; timeout 1h; elements = { 10.0.0.1 timeout 2h, 10.0.0.2 }; }
        set o { type ipv4_addr; flags interval; elements = { 255.0.0.0/8 }; }
    }",
    "table netdev n {
        chain c { type filter hook ingress device \"lo\" priority 0; policy accept; tcp dport 23 drop; }
        chain r { counter; }
        chain e { type filter hook egress device \"lo\" priority 0; policy drop; jump r; }
    }
    table inet t {
        quota q { over 25 mbytes }
        map m { type ipv4_addr : verdict; elements = { 10.0.0.1 : accept, * : drop } }
        chain c { type filter hook ingress device \"lo\" priority 0; policy accept; tcp dport 23 drop; }
    }",
    "table inet t {
        map m { type ipv4_addr : mark; elements = { 10.0.0.1 : 5 }; }
        set s { type ipv4_addr . inet_service; elements = { 10.0.0.1 . 22 }; }
        map v { type ct_dir : verdict; elements = { original : accept } ; }
        set q { type inet_proto; elements = { tcp }; }
        chain c {
            type filter hook input priority 0;
            tcp dport { 22, 80 } counter accept
            ip saddr . tcp dport @s accept
            meta mark set ip saddr map @m
        }
    }",
    "table inet t {
        chain o {
            type filter hook output priority 0;
            iifname \"eth0\" accept
            ct mark and 0x23 == 0x11 accept
            meta nfproto ipv6 icmp type echo-request accept
        }
        chain i { type filter hook input priority 0; iifname \"/never/\" accept; }
        chain nat { type nat hook prerouting priority 0; ip6 nexthdr tcp redirect to :100-200; }
    }",
    "table ip t {
        chain c {
            type filter hook input priority 0;
            ip saddr vmap { 1.1.1.1 : drop, * : accept }
            tcp dport 22 jump { counter; tcp sport { 1, 2 } accept; }
            tcp dport 23 jump { counter; tcp sport { 1, 2 } accept; }
            tcp dport 24 goto { drop; }
            ct original saddr 10.0.0.1
            numgen inc mod 2 vmap { 0 : accept, 1 : drop }
            quota 1 mbytes
        }
    }",
];
