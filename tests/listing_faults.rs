//! Parts that were once listed wrongly, each with the smallest input that shows it.

mod support;

use nftmesh::bytecode::{Expr, lower};
use nftmesh::kernel::Kernel;
use nftmesh::model::{DataType, Element, Field, Match, Statement, Value};
use nftmesh::state::Listing;

use support::{assert_lists_as_nft, assert_same, in_fresh_netns, ip, nft, nft_fails, nft_script, nft_takes, say};

/// Asserts that every rule set is listed as nft lists it, with handles and without.
#[track_caller]
fn lists_as_nft(rule_sets: &[&str]) {
    for text in rule_sets {
        in_fresh_netns(|| {
            ip("link add eth0 type ifb");
            nft_script(text);
            assert_lists_as_nft();
        });
    }
}

#[test]
fn a_blank_line_follows_the_flags_of_a_table_but_not_its_comment() {
    lists_as_nft(&[
        "table inet t { comment \"x\"; chain c { }; }",
        "table inet t { comment \"x\"; set s { type mark; }; chain c { }; }",
        "table inet t { flags dormant; chain c { }; }",
        "table inet t { flags dormant; comment \"x\"; set s { type mark; }; chain c { }; }",
        "table inet t { chain c { }; }",
    ]);
}

#[test]
fn headers_without_ports_are_not_listed_as_ports() {
    let rules = [
        "ah reserved 22",
        "ah reserved { 22, 23 }",
        "comp cpi 22",
        "comp cpi != 33-45",
        "esp spi 100",
        "igmp checksum 12343",
        "icmp checksum 12343",
        "icmp type destination-unreachable icmp code port-unreachable",
        "icmpv6 checksum 2222",
        "icmpv6 type parameter-problem icmpv6 code no-route",
        "meta l4proto gre @th,0,16 0 drop",
        "meta l4proto 99 @th,16,16 80",
        "ip protocol icmp @th,16,16 80",
        "meta l4proto esp th dport vmap { 80 : accept }",
        "meta l4proto esp meta mark set th dport map { 80 : 0x1 }",
    ];
    let lines: String = rules.iter().map(|rule| format!("\t\t{rule}\n")).collect();
    in_fresh_netns(|| {
        nft_script(&format!("table inet t {{\n\tchain c {{\n{lines}\t}}\n}}\n"));
        let snapshot = Kernel::open().expect("a socket").snapshot().expect("a snapshot");
        let raised = snapshot.raise().ruleset;
        let table = raised.tables.first().expect("the table");
        let states = &snapshot.tables.first().expect("the table").chains.first().expect("the chain").rules;
        let of_model = &table.chains.first().expect("the chain").rules;
        assert_eq!(of_model.len(), rules.len());
        for ((rule, state), text) in of_model.iter().zip(states).zip(rules) {
            let is_opaque = rule.statements.iter().any(|statement| matches!(statement, Statement::Opaque(_)));
            let has_no_name = ["gre @th", "99 @th", "esp th", "esp meta"].iter().any(|part| text.contains(part));
            assert_eq!(is_opaque, has_no_name, "{text}: {rule}");
            let fields = rule.statements.iter().flat_map(|statement| match statement {
                Statement::Match(Match { selector, .. }) | Statement::VerdictMap { selector, .. } => {
                    selector.fields().collect()
                }
                _ => Vec::new(),
            });
            let ports = fields.filter(|field| matches!(field, Field::ThDport | Field::ThSport)).count();
            assert_eq!(ports, 0, "{text}: {rule}");
            let program = lower(rule, table.family, table.sets.as_slice()).expect("what was read can be lowered");
            assert_eq!(program.exprs, state.exprs, "{text}");
        }
    });
}

#[test]
fn headers_of_protocols_with_ports_are_listed_as_ports() {
    lists_as_nft(&["table inet t { chain c {
        meta l4proto udplite th dport 80
        meta l4proto dccp th sport 80
        meta l4proto { esp, ah } th dport 80
        th dport 80
        @th,16,16 80
    }; }"]);
}

#[test]
fn protocols_are_named_as_in_etc_protocols() {
    let rules: String = (0..=255).map(|number| format!("meta l4proto {number}\nip protocol {number}\n")).collect();
    let all: Vec<String> = (0..=255).map(|number: u8| number.to_string()).collect();
    let script = format!(
        "table inet t {{ set s {{ type inet_proto; elements = {{ {0} }}; }}; chain c {{\n{rules}meta l4proto {{ {0} }}\n}}; }}",
        all.join(", ")
    );
    in_fresh_netns(|| {
        nft_script(&script);
        let snapshot = assert_lists_as_nft();
        let listed = nft("list ruleset");
        nft("flush ruleset");
        nft_script(&snapshot.raise().ruleset.to_string());
        assert_same(&listed, &nft("list ruleset"), "read back");
    });
}

#[test]
fn a_mask_of_the_first_bits_of_a_mark_is_listed_as_a_prefix() {
    let rules = "meta mark 0xffffff00/24
        meta mark & 0xff000000 == 0x1
        meta mark & 0xff000000 != 0x01000000
        meta mark & 0x80000000 == 0
        meta mark & 0 == 0
        meta mark & 0 == 5
        meta mark & 0 != 0
        ct mark & 0xffff0000 == 0x10000
        socket mark & 0xfffffffe != 0
        meta mark & 0xff == 0x1
        meta mark & 0xffffffff == 0x1";
    lists_as_nft(&[&format!("table inet t {{ chain c {{\n{rules}\n}}; }}")]);
    // Printed rule sets read back the same, even where nft's own listing does not.
    in_fresh_netns(|| {
        nft_script(&format!("table inet t {{ chain c {{\n{rules}\n}}; }}"));
        let mut kernel = Kernel::open().expect("a socket");
        let exprs = |kernel: &mut Kernel| -> Vec<Vec<Expr>> {
            let snapshot = kernel.snapshot().expect("a snapshot");
            let rules = snapshot.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
            rules.map(|rule| rule.exprs.clone()).collect()
        };
        let before = exprs(&mut kernel);
        let text = kernel.snapshot().expect("a snapshot").raise().ruleset.to_string();
        nft("flush ruleset");
        nft_script(&text);
        // A mask of all bits has no effect and is not made again.
        let last = before.len() - 1;
        assert_eq!(before.get(..last), exprs(&mut kernel).get(..last), "{text}");
    });
}

#[test]
fn a_chain_that_belongs_to_a_rule_is_listed_in_its_place() {
    lists_as_nft(&[
        "table inet t { comment \"x\"; chain c { type filter hook input priority 0;
            tcp dport 22 jump {
                counter accept comment \"inner\"
                udp dport 5 drop
            }
            counter accept
        }; chain d {
            tcp dport 22 goto {
                accept
            }
        }; }",
        "table ip t { chain c {
            jump {
                ip saddr 1.2.3.4 reject
            }
        }; }",
    ]);
}

#[test]
fn several_devices_are_listed_in_order_and_without_quotes() {
    lists_as_nft(&[
        "table netdev t { chain c { type filter hook ingress devices = { lo, eth0 } priority 0; policy accept; }; }",
        "table netdev t { chain c { type filter hook ingress devices = { eth0, lo } priority 0; policy drop; }; }",
        "table netdev t { chain c { type filter hook egress device eth0 priority 0; }; }",
        "table inet t { chain c { type filter hook ingress devices = { lo, eth0 } priority 5; }; }",
    ]);
}

#[test]
fn a_tcp_reset_names_the_protocol_where_nft_does() {
    for (family, hook) in [("netdev", "ingress device lo"), ("inet", "input"), ("ip", "input"), ("ip6", "input")] {
        // Debian's kernels are built without CONFIG_NFT_REJECT_NETDEV.
        if family == "netdev" && !rejects_at_devices() {
            say("SKIP: a_tcp_reset_names_the_protocol_where_nft_does: this kernel has no reject in netdev");
            continue;
        }
        lists_as_nft(&[&format!(
            "table {family} n {{ chain c {{ type filter hook {hook} priority 0;
                meta mark 12345 reject with tcp reset
                meta l4proto tcp reject with tcp reset
                tcp dport 80 reject with tcp reset
                meta l4proto tcp counter reject with tcp reset
            }}; }}"
        )]);
    }
}

fn rejects_at_devices() -> bool {
    let mut takes = false;
    in_fresh_netns(|| {
        let script = "table netdev n { chain c { type filter hook ingress device lo priority 0; reject; }; }";
        takes = nft_takes(script).is_ok();
    });
    takes
}

#[test]
fn catch_all_elements_are_listed_with_the_others() {
    lists_as_nft(&[
        "table ip t { set s { type ipv4_addr; elements = { 192.168.3.5, * }; }; }",
        "table ip t { set s { type ipv4_addr; elements = { * }; }; }",
        "table ip t { set s { type ipv4_addr; counter; elements = { 1.2.3.4, * counter packets 3 bytes 4 }; }; }",
        "table ip t { set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 255.0.0.0/8, * comment \"x\" }; }; }",
        "table ip t { map m { type ipv4_addr : verdict; elements = { 1.1.1.1 : drop, * : accept }; }; }",
        "table ip t { map m { type ipv4_addr : mark; flags interval; elements = { 0.0.0.0/1 : 0x1, * : 0x2 }; }; }",
        "table ip t { map m { type ipv4_addr . inet_service : verdict; elements = { 1.1.1.1 . 1 : drop, * : accept }; }; }",
        "table ip t { map m { type ipv4_addr . inet_service : verdict; flags interval; elements = { 9.0.0.0/8 . 1-5 : drop, 1.1.1.1 . 1 : drop, * : accept }; }; }",
        "table ip t { set s { type inet_service; elements = { 1, 2, 3, 4, *, 5, 6 }; }; }",
        "table ip t { set s { type ipv4_addr; timeout 1h; elements = { 192.168.3.5, * timeout 5m }; }; }",
    ]);
}

#[test]
fn an_unknown_element_leaves_the_others_in_the_listing() {
    in_fresh_netns(|| {
        nft_script("table ip t { set s { type ct_dir; elements = { original }; }; }");
        let mut snapshot = Kernel::open().expect("a socket").snapshot().expect("a snapshot");
        let elements = &mut snapshot.tables.first_mut().expect("a table").sets.first_mut().expect("a set").elements;
        let mut odd = elements.first().expect("an element").clone();
        odd.key = std::iter::once(7).collect();
        elements.push(odd);
        let listed = Listing::new(&snapshot).to_string();
        let expected =
            "table ip t {\n\tset s {\n\t\ttype ct_dir\n\t\telements = { original, <unknown element> }\n\t}\n}\n";
        assert_same(expected, &listed, "listing");
        assert!(nft_fails(&listed).contains("syntax error"));
    });
}

#[test]
fn header_fields_in_sets_keep_their_byte_order() {
    lists_as_nft(&[
        "table bridge t { set nodes { typeof vlan id; elements = { 1, 4094 }; }; }",
        "table inet t { set s { typeof vlan id; elements = { 2, 3 }; }; set u { typeof udp length; elements = { 20 }; }; }",
        "table inet t { set s { typeof ip length; flags interval; elements = { 1-5, 700 }; }; }",
        "table inet t { set s { typeof tcp sequence; elements = { 1, 70000, 4294967295, * }; }; }",
        "table inet t { set s { typeof ip6 flowlabel; elements = { 1, 70000 }; }; }",
        "table inet t { set s { typeof ip id . meta length . ct zone; elements = { 1 . 2 . 3, 258 . 259 . 260 }; }; }",
        "table inet t { set s { typeof ip frag-off . th dport; flags interval; elements = { 12 . 1, 276-7027 . 0-6 }; }; }",
        "table inet t { map m { typeof ip saddr : ip id; elements = { 1.2.3.4 : 5 }; }; }",
        "table inet t { map m { typeof udp length . ip saddr : verdict; elements = { 20 . 1.2.3.4 : drop }; }; }",
    ]);
    in_fresh_netns(|| {
        nft_script("table inet t { set s { typeof udp length; elements = { 20 }; }; }");
        let raised = Kernel::open().expect("a socket").snapshot().expect("a snapshot").raise();
        assert_eq!(raised.unnamed, []);
        let set = raised.ruleset.tables.first().and_then(|table| table.sets.first()).expect("the set");
        assert_eq!(set.key, [DataType::NetworkInteger { bytes: 2 }]);
        assert_eq!(set.elements, [Element::new(Value::Integer(20))]);
        let listed = nft("list ruleset").replace("typeof udp length", "typeof ip length");
        nft("flush ruleset");
        nft_script(&raised.ruleset.to_string());
        assert_same(&listed, &nft("list ruleset"), "read back");
    });
}

#[test]
fn sets_list_the_expressions_of_their_typeof() {
    lists_as_nft(&["table inet t {
        set a { typeof fib daddr . iif type; }
        set b { typeof meta l4proto . th dport; }
        set c { typeof numgen inc mod 2; }
        set d { typeof ct original ip saddr; }
        set e { typeof udplite sport . dccp dport . sctp dport; }
        set g { typeof iifname . iif . meta mark; }
        map m { typeof ct state : verdict; }
        map n { typeof tcp dport : ct mark; }
    }"]);
    // A type that cannot be named prints in a form that nft refuses.
    in_fresh_netns(|| {
        nft_script(
            "table inet t { set s { typeof udp length . @ih,32,32; elements = { 20 . 0x36 }; }; set r { typeof ip option rr addr; }; }",
        );
        let snapshot = Kernel::open().expect("a socket").snapshot().expect("a snapshot");
        let listed = Listing::new(&snapshot).to_string();
        assert!(listed.contains("<unknown type") && !listed.contains("integer"), "{listed}");
        assert!(nft_fails(&listed).contains("syntax error"), "{listed}");
    });
}

#[test]
fn sets_of_bits_with_the_same_lowest_one_are_in_the_order_of_the_kernel() {
    let flags = "syn, syn|ack, syn|ack|urg, syn|psh|ack, fin|ack, fin|psh|ack, fin|ack|urg, rst, ack, psh|ack";
    lists_as_nft(&[
        &format!("table ip test {{ set t {{ type tcp_flag; flags constant; elements = {{ {flags} }}; }}; }}"),
        &format!("table ip test {{ chain c {{ tcp flags {{ {flags} }} accept\n }}; }}"),
        "table ip test { set t { type tcp_flag; timeout 1h; elements = { rst, rst | cwr, syn }; }; }",
        "table ip test { set t { type ct_status; elements = { snat | dying, expected, expected | assured | confirmed comment \"e\" }; }; }",
        "table ip test { map t { type ct_state : verdict; elements = { new | related : accept, related : drop }; }; }",
    ]);
}

#[test]
fn ordered_and_masked_comparisons_use_the_names_of_nft() {
    lists_as_nft(&["table inet t { chain c {
        ct status <= dying
        ct state > new
        tcp flags <= urg
        fib daddr type < blackhole
        fib daddr type local
        iif & 0xff != eth0
        iif & 1 == eth0
        icmp type > redirect
        ct direction < reply
        meta mark { 0xff000000/8, 0x0-0x1, 5-9 }
        meta nfproto ipv4 meta l4proto tcp iifname vmap { \"lo\" : accept } tcp dport 80
        meta nfproto ipv4 iifname vmap { \"lo\" : accept } reject with icmp port-unreachable
        meta nfproto ipv4 meta mark set 5 reject with icmp port-unreachable
        }; set s { type ipv4_addr; flags interval; counter; auto-merge; elements = { 10.0.0.0/8 }; }; }"]);
}

#[test]
fn a_range_that_is_unknown_at_one_end_is_unknown() {
    in_fresh_netns(|| {
        nft_script("table inet t { chain c { ct direction 0-115 accept\n th sport 1 th dport 2 accept\n }; }");
        let snapshot = Kernel::open().expect("a socket").snapshot().expect("a snapshot");
        let listed = Listing::new(&snapshot).to_string();
        let expected =
            "table inet t {\n\tchain c {\n\t\t<unknown ct,cmp,cmp> accept\n\t\t@th,0,32 0x10002 accept\n\t}\n}\n";
        assert_same(expected, &listed, "listing");
    });
}
