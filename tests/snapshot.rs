//! Snapshots of the real kernel: rules of other programs are kept, with names, comments and times,
//! and unknown parts are opaque in their place. (tests/render.rs checks over every statement that
//! what this crate commits reads back as it was lowered.)
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

mod support;

use std::time::Duration;

use nftmesh::bytecode::{CmpOp, DynsetCode, ElementCode, ElementDataCode, Expr, LookupSet, QuotaCode, Register};
use nftmesh::kernel::Kernel;
use nftmesh::model::{DataType, Element, Family, RuleHandle, Ruleset, Set, Table, TableId, Value, Verdict};
use nftmesh::plan::Transaction;
use nftmesh::state::{Counters, RuleState, Snapshot, TableState};
use support::patience::comes_true;
use support::readback::assert_reads_back;
use support::version::{CATCH_ALL, EVENT_POSITIONS, OWNED_TABLES, linux, needs_linux};
use support::{in_fresh_netns, nft, nft_script, succeed};

fn snapshot() -> Snapshot {
    Kernel::open().expect("a socket").snapshot().expect("nobody else commits")
}

#[track_caller]
fn table<'s>(snapshot: &'s Snapshot, family: Family, name: &str) -> &'s TableState {
    snapshot.table(&TableId::new(family, name)).expect("the table is there")
}

/// Returns the names of the expressions that stayed opaque.
fn opaque(rule: &RuleState) -> Vec<&str> {
    let names = rule.exprs.iter().filter_map(|expr| match expr {
        Expr::Opaque { name, .. } => Some(&**name),
        _ => None,
    });
    names.collect()
}

/// Type, length, text, NUL.
fn comment(kind: u8, text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).expect("short");
    [&[kind, length], text.as_bytes(), &[0]].concat()
}

#[test]
fn an_empty_namespace_is_an_empty_snapshot() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let read = kernel.snapshot().expect("nobody else commits");
        assert_eq!((read.tables.len(), read.opaque.len()), (0, 0));
        assert_eq!(read.generation, kernel.generation().expect("a generation"));
    });
}

/// Rules of nft(8) in an inet table.
const RULES: &[&str] = &[
    "iif lo accept",
    "iifname { \"eth0\", \"veth*\" } accept",
    "meta mark and 0xff == 0x1 accept",
    "meta mark set meta mark and 0xff or 0x100",
    "meta mark != 1-10 accept",
    "meta skuid 1000-2000 accept",
    "meta cpu 1 meta priority 1:2 meta rtclassid 3 meta iifgroup 7",
    "meta protocol ip ether saddr 00:01:02:03:04:05",
    "ip saddr { 10.0.0.0/8, 192.168.0.0/16 } accept",
    "ip saddr != 10.0.0.1-10.0.0.9 tcp dport 80-90",
    "ip6 saddr fd00::/9 ip6 nexthdr tcp",
    "ip dscp cs1 ip ttl 5 ip length 100 ip frag-off 0x1fff",
    "tcp flags & (fin|syn) == syn tcp sequence 7 @th,0,8 1",
    "icmp type { echo-request, echo-reply } icmp code 1",
    "ct state established,related ct status dnat ct mark 5 ct zone 1",
    "ct state vmap { established : accept, invalid : drop }",
    "ct original saddr 10.0.0.1",
    "ct original packets > 5",
    "ct bytes > 500",
    "ct expiration 5",
    "socket mark 1 socket transparent 1",
    "fib saddr . iif oif missing drop",
    "fib daddr . iif type local",
    "ip saddr . tcp dport { 10.0.0.1 . 80, 10.0.0.2 . 90-100 }",
    "ip saddr . tcp dport vmap { 10.0.0.1 . 80 : accept, 10.0.0.2 . 90-100 : drop }",
    "limit rate over 10/minute burst 5 packets drop",
    "log prefix \"hi \" group 3 snaplen 100 queue-threshold 5",
    "reject with icmpx type admin-prohibited",
    "quota over 10 mbytes drop",
    "ip ttl set 5",
    "tcp option maxseg size 1000",
    "tcp option maxseg size set 1000",
    "exthdr frag exists",
    "add @seen { ip saddr }",
    "update @seen { ip saddr timeout 30s } accept",
    "ct count over 5 drop",
    "counter name \"hits\" accept",
    "meta mark set jhash ip saddr mod 16",
    "meta mark set numgen inc mod 2",
    "meta mark set (meta mark << 3)",
    "rt classid 5",
    "last",
    "dup to 10.0.0.1",
];

#[test]
fn every_expression_of_rules_of_nft_is_known() {
    in_fresh_netns(|| {
        nft_script(
            "table inet t { counter hits { }; set seen { type ipv4_addr; flags dynamic,timeout; timeout 1m; }; chain c { type filter hook input priority 0; }; }",
        );
        // A kernel may lack some expressions; what it accepts is read.
        let mut taken = Vec::new();
        for rule in RULES {
            let added = support::command("nft").args(["add rule inet t c", rule]).output().expect("nft is installed");
            if added.status.success() {
                taken.push(rule);
            }
        }
        assert!(taken.len() >= 35, "this kernel takes only {taken:#?}");
        let read = snapshot();
        let rules = &table(&read, Family::Inet, "t").chain("c").expect("it is there").rules;
        assert_eq!(rules.len(), taken.len());
        let mut last_handle = RuleHandle(0);
        for (rule, read) in taken.iter().zip(rules) {
            assert!(opaque(read).is_empty(), "{rule}: {:#?}", read.exprs);
            assert!(read.opaque.is_empty(), "{rule}: {:?}", read.opaque);
            assert!(read.handle > last_handle, "{rule}");
            last_handle = read.handle;
            assert!(
                !read.exprs.iter().any(|expr| matches!(expr, Expr::Lookup { set: LookupSet::Named(_), .. })),
                "{rule}: the anonymous set is in the rule"
            );
        }
        assert_eq!(table(&read, Family::Inet, "t").chains[0].unlisted, 0);
        assert_eq!(table(&read, Family::Inet, "t").sets.len(), 1, "only the named set is beside the rules");
        assert_eq!(read.opaque, []);
    });
}

#[test]
fn what_a_quota_counted_is_read() {
    in_fresh_netns(|| {
        nft_script("table ip t { chain c { quota over 10 mbytes used 3 bytes drop; }; }");
        let read = snapshot();
        let rule = &table(&read, Family::Ip, "t").chain("c").expect("it is there").rules[0];
        assert_eq!(rule.exprs[0], QuotaCode { bytes: 10 << 20, flags: 1, consumed: 3 }.into());
        assert_eq!(rule.exprs[1], Expr::Verdict(Verdict::Drop));
    });
}

#[test]
fn names_comments_hooks_and_handles_are_read() {
    in_fresh_netns(|| {
        nft_script(
            r#"table inet t {
                comment "of the table"
                set s { type ipv4_addr; comment "of the set"; elements = { 1.2.3.4 comment "of the element" }; }
                chain base { type nat hook prerouting priority -100; policy accept; }
                chain in { type filter hook ingress device lo priority 5; policy drop; }
                chain other { comment "of the chain"; counter packets 5 bytes 6 accept comment "of the rule"; }
            }
            table ip6 dormant { flags dormant; }
            table netdev n { chain c { type filter hook ingress devices = { lo } priority 0; }; }"#,
        );
        let read = snapshot();
        assert_eq!(read.tables.len(), 3);
        let t = table(&read, Family::Inet, "t");
        assert_eq!((t.flags, t.owner, t.uses), (0, None, 4));
        assert_eq!(t.userdata, comment(0, "of the table"));
        let set = t.set("s").expect("it is there");
        assert!(set.code.userdata.ends_with(&comment(7, "of the set")), "{:?}", set.code.userdata);
        assert_eq!(set.elements[0].userdata, comment(0, "of the element"));
        let base = t.chain("base").expect("it is there").hook.as_ref().expect("it is a base chain");
        assert_eq!((&*base.chain_type, base.hook, base.priority, base.policy), ("nat", 0, -100, 1));
        let ingress = t.chain("in").expect("it is there").hook.as_ref().expect("it is a base chain");
        assert_eq!((ingress.hook, ingress.priority, ingress.policy), (5, 5, 0));
        assert_eq!(ingress.devices, ["lo"]);
        let other = t.chain("other").expect("it is there");
        assert_eq!((&other.hook, &other.userdata), (&None, &comment(0, "of the chain")));
        assert_eq!(other.rules[0].userdata, comment(0, "of the rule"));
        assert_eq!(other.rules[0].exprs[0], Expr::Counter { packets: 5, bytes: 6 });
        assert_eq!(table(&read, Family::Ip6, "dormant").flags, 1);
        let device = table(&read, Family::Netdev, "n").chain("c").expect("it is there");
        assert_eq!(device.hook.as_ref().expect("it is a base chain").devices, ["lo"]);
        for handle in [set.handle.0, other.handle.0, other.rules[0].handle.0, t.handle.0] {
            assert!(nft("-a list ruleset").contains(&format!("# handle {handle}\n")), "{handle}");
        }
    });
}

#[test]
fn an_owned_table_has_its_owner() {
    if !needs_linux(OWNED_TABLES, "tables with an owner") {
        return;
    }
    in_fresh_netns(|| {
        let mut nft = support::command("nft");
        let mut nft = nft.arg("-i").stdin(std::process::Stdio::piped()).spawn().expect("nft is installed");
        let mut stdin = nft.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut stdin, b"add table inet owned { flags owner; }\n").expect("nft reads");
        let mut kernel = Kernel::open().expect("a socket");
        let owned = [TableId::new(Family::Inet, "owned")];
        let mut found = None;
        comes_true(|| {
            found = kernel.snapshot_of(&owned).expect("nobody commits all the time").tables.pop();
            found.is_some() || nft.try_wait().expect("it is our child").is_some()
        });
        drop(stdin);
        nft.wait().expect("it ends with its input");
        let Some(found) = found else { return support::skip("nft without a terminal takes no commands") };
        assert_eq!(found.flags, 2);
        assert!(found.owner.is_some());
    });
}

#[test]
fn intervals_are_sorted_without_the_leading_end_element_of_nft() {
    if !needs_linux(CATCH_ALL, "catch-all elements") {
        return;
    }
    in_fresh_netns(|| {
        nft_script(
            "table inet t {
                set s { type ipv4_addr; flags interval; elements = { 192.168.1.1-192.168.1.9, 10.0.0.0/8, 11.0.0.0/8, 255.0.0.0/8 }; }
                set catch { type inet_service; flags interval; elements = { 80, 90-100 }; }
                map m { type ipv4_addr : verdict; flags interval; elements = { 10.0.0.0/8 : drop, * : accept }; }
            }",
        );
        let read = snapshot();
        let t = table(&read, Family::Inet, "t");
        let elements = |name: &str| {
            let set = t.set(name).expect("it is there");
            set.elements.iter().map(|element| (element.key.to_vec(), element.flags)).collect::<Vec<_>>()
        };
        let expected = [
            ([10, 0, 0, 0], 0),
            ([11, 0, 0, 0], 1),
            ([11, 0, 0, 0], 0),
            ([12, 0, 0, 0], 1),
            ([192, 168, 1, 1], 0),
            ([192, 168, 1, 10], 1),
            ([255, 0, 0, 0], 0),
        ];
        assert_eq!(elements("s"), expected.map(|(key, flags)| (key.to_vec(), flags)));
        let ports = [([0, 80], 0), ([0, 81], 1), ([0, 90], 0), ([0, 101], 1)];
        assert_eq!(elements("catch"), ports.map(|(key, flags)| (key.to_vec(), flags)));
        assert_eq!(elements("m"), [(vec![], 2), (vec![10, 0, 0, 0], 0), (vec![11, 0, 0, 0], 1)]);
        let every_other = &t.set("m").expect("it is there").elements[0];
        assert_eq!(every_other.data, Some(Box::new(ElementDataCode::Verdict(Verdict::Accept))));
    });
}

#[test]
fn expressions_objects_and_data_of_elements_are_read() {
    in_fresh_netns(|| {
        nft_script(
            r#"table ip t {
                counter web { packets 1 bytes 2 }
                set counted { type ipv4_addr; counter; elements = { 1.2.3.4 counter packets 3 bytes 4 }; }
                set saved { type inet_service; policy memory; size 10; gc-interval 7s; timeout 1h; elements = { 80 }; }
                map objects { type inet_service : counter; elements = { 80 : "web" }; }
                map marks { typeof ip saddr : meta mark; elements = { 1.2.3.4 : 7 }; }
                set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 80-90, 1.2.3.4 . 22 }; }
            }"#,
        );
        let read = snapshot();
        let t = table(&read, Family::Ip, "t");
        let set = |name: &str| t.set(name).expect("it is there");
        let carried = |name: &str| set(name).elements[0].extras.clone().expect("it carries something");
        assert_eq!(carried("counted").exprs, [Expr::Counter { packets: 3, bytes: 4 }]);
        assert_eq!(set("counted").code.exprs, [Expr::Counter { packets: 0, bytes: 0 }]);
        assert_eq!(carried("objects").object, Some("web".into()));
        assert_eq!((set("objects").code.object, set("objects").code.data), (Some(1), None));
        let saved = &set("saved").code;
        assert_eq!(
            (saved.policy, saved.size, saved.gc_interval, saved.timeout),
            (1, Some(10), Some(7000), Some(3_600_000))
        );
        assert_eq!(
            set("marks").elements[0].data,
            Some(Box::new(ElementDataCode::Value(7_u32.to_ne_bytes()[..].into())))
        );
        assert_eq!(set("pairs").code.fields, [4, 2]);
        let ends = |element: &ElementCode| (element.key.to_vec(), element.key_end.as_ref().map(|end| end.to_vec()));
        let pairs = [
            (vec![1, 2, 3, 4, 0, 22, 0, 0], Some(vec![1, 2, 3, 4, 0, 22, 0, 0])),
            (vec![10, 0, 0, 0, 0, 80, 0, 0], Some(vec![10, 255, 255, 255, 0, 90, 0, 0])),
        ];
        assert_eq!(set("pairs").elements.iter().map(ends).collect::<Vec<_>>(), pairs);
        for set in &t.sets {
            assert!(set.code.opaque.is_empty(), "{}: {:?}", set.name, set.code.opaque);
        }
    });
}

#[test]
fn remaining_times_are_separate_from_the_elements() {
    in_fresh_netns(|| {
        let element = |port, seconds| Element::new(Value::Port(port)).timeout(Duration::from_secs(seconds));
        let odd = Element::new(Value::Port(79)).timeout(Duration::from_millis(90_061_005));
        let same_as_set = element(78, 3600);
        let set = Set::new("s", [DataType::Port]).timeout(Duration::from_secs(3600)).elements([
            Element::new(Value::Port(80)),
            element(81, 300),
            odd,
            same_as_set,
        ]);
        let ranges = Set::new("r", [DataType::Port])
            .timeout(Duration::from_millis(3_600_001))
            .interval()
            .elements([Element::new(80..=90), Element::new(95..=100).timeout(Duration::from_secs(7200))]);
        let ruleset = Ruleset::new().table(Table::new(Family::Inet, "t").set(set).set(ranges));
        let mut kernel = Kernel::open().expect("a socket");
        kernel.commit(&Transaction::add(ruleset.clone())).expect("nothing wrong with it");
        let read = kernel.snapshot().expect("nobody else commits");
        assert_reads_back(&ruleset, &read);
        let t = table(&read, Family::Inet, "t");
        let set = t.set("s").expect("it is there");
        let timeouts: Vec<_> = set.elements.iter().map(|element| element.timeout).collect();
        assert_eq!((timeouts[0], timeouts[2], timeouts[3]), (None, None, Some(300_000)));
        for (left, most) in set.expires.iter().zip([3_600_000, 90_061_010, 3_600_000, 300_000]) {
            assert!(left.is_some_and(|left| left <= most && left > most / 2), "{left:?} of {most}");
        }
        let ranges = t.set("r").expect("it is there");
        let expiring: Vec<_> = ranges.expires.iter().map(Option::is_some).collect();
        // Before, the end had the timeout of the set, whatever its element has.
        let end = linux() < EVENT_POSITIONS;
        assert_eq!(expiring, [true, end, true, end], "whether the end of an interval expires");
    });
}

#[test]
fn elements_that_rules_add_are_read() {
    in_fresh_netns(|| {
        nft_script(
            "table ip t {
                set seen { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 10; }
                chain out { type filter hook output priority 0; update @seen { ip daddr counter }; }
                chain metered { type filter hook output priority 1; meter m { ip daddr limit rate 10/second } accept; }
            }",
        );
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.send_to(b"x", "127.0.0.1:9").expect("lo is up");
        let read = snapshot();
        let t = table(&read, Family::Ip, "t");
        let seen = t.set("seen").expect("it is there");
        let key = [127, 0, 0, 1];
        assert!(seen.elements.iter().any(|element| *element.key == key), "{seen:?}");
        assert_eq!(seen.expires.len(), seen.elements.len());
        let metered = t.chain("metered").expect("it is there").rules.iter().flat_map(|rule| &rule.exprs);
        let meter = metered.filter_map(|expr| match expr {
            Expr::Dynset(DynsetCode { anonymous: Some(set), .. }) => Some(set),
            _ => None,
        });
        let elements: Vec<_> = meter.flat_map(|set| &set.elements).collect();
        assert!(elements.iter().any(|element| *element.key == key && element.extras.is_some()), "{elements:?}");
    });
}

#[test]
fn objects_and_flowtables_are_kept_as_bytes() {
    in_fresh_netns(|| {
        nft_script(
            "table inet t {
                counter hits { packets 5 bytes 6 }
                quota much { over 10 mbytes used 3 bytes }
                limit slow { rate 5/second }
            }",
        );
        // Not every kernel has these.
        let optional = [
            ("ct helper", "table inet t { ct helper ftp { type \"ftp\" protocol tcp; }; }"),
            ("ct timeout", "table inet t { ct timeout fast { protocol tcp; policy = { established : 5s }; }; }"),
            ("synproxy", "table inet t { synproxy guard { mss 1460; wscale 7; }; }"),
            ("flowtable", "table inet t { flowtable ft { hook ingress priority 0; devices = { lo }; }; }"),
        ];
        let mut expected = vec!["counter", "quota", "limit"];
        for (kind, script) in optional {
            let mut nft = support::command("nft");
            if nft.arg(script).output().expect("nft is installed").status.success() {
                expected.push(kind);
            }
        }
        let read = snapshot();
        let objects = &table(&read, Family::Inet, "t").objects;
        let mut kinds: Vec<&str> = objects.iter().map(|object| &*object.kind).collect();
        kinds.sort_unstable();
        expected.sort_unstable();
        assert_eq!(kinds, expected);
        let hits = objects.iter().find(|object| object.name == "hits").expect("it is there");
        assert!(hits.handle.0 > 0);
        assert!(hits.attributes.windows(8).any(|bytes| bytes == 6_u64.to_be_bytes()), "{:?}", hits.attributes);
    });
}

#[test]
fn only_extensions_in_rules_of_iptables_nft_are_opaque() {
    // Their owners are users that only the host's root may name.
    if !support::needs_root() {
        return;
    }
    in_fresh_netns(|| {
        let run = |words: &str| succeed("iptables-nft", words, "");
        succeed("iptables-nft-restore", "--counters", "*nat\n:OUTPUT ACCEPT [5:6]\nCOMMIT\n");
        run("-t nat -N ISTIO_OUTPUT");
        run("-t nat -A OUTPUT -p tcp -j ISTIO_OUTPUT");
        run("-t nat -A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN");
        run("-t nat -A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -p tcp ! --dport 53 -j REDIRECT --to-ports 15001");
        run("-t nat -A ISTIO_OUTPUT -d 127.0.0.1/32 -m comment --comment why -j ACCEPT");
        let read = snapshot();
        let nat = table(&read, Family::Ip, "nat");
        let output = nat.chain("OUTPUT").expect("it is there");
        assert_eq!(output.hook.as_ref().expect("it is a base chain").priority, -100);
        assert_eq!(output.counters, Some(Counters { packets: 5, bytes: 6 }));
        assert_eq!(output.rules[0].exprs.last(), Some(&Expr::Verdict(Verdict::Jump("ISTIO_OUTPUT".into()))));
        assert!(nat.chains.iter().all(|chain| chain.unlisted == 0), "{:#?}", nat.chains);
        let rules = &nat.chain("ISTIO_OUTPUT").expect("it is there").rules;
        let targets: Vec<_> = rules.iter().map(opaque).collect();
        let owner = targets.first().expect("three rules");
        assert!(*owner == ["match"], "{owner:?}");
        assert!(targets[1] == ["target"] || targets[1] == ["match", "target"], "{:?}", targets[1]);
        let blob = rules.iter().flat_map(|rule| &rule.exprs).find_map(|expr| match expr {
            Expr::Opaque { name, data, .. } if &**name == "target" => Some(data),
            _ => None,
        });
        assert!(blob.expect("a target").windows(9).any(|bytes| bytes == b"REDIRECT\0"));
        assert!(rules[1].exprs.iter().any(|expr| matches!(expr, Expr::Cmp { op: CmpOp::Eq, .. })));
    });
}

#[test]
fn unlisted_rules_are_counted_and_hide_no_others() {
    in_fresh_netns(|| {
        let run = |words: &str| succeed("iptables-nft", words, "");
        run("-A INPUT -d 1.1.1.1 -j ACCEPT");
        // Its dump is longer than the kernel's largest datagram of a dump.
        let long = format!("-m comment --comment {} ", "x".repeat(250)).repeat(120);
        run(&format!("-A INPUT {long} -j ACCEPT"));
        run("-A INPUT -d 2.2.2.2 -j ACCEPT");
        run("-N BEHIND");
        run("-A FORWARD -d 3.3.3.3 -j BEHIND");
        run("-A BEHIND -d 4.4.4.4 -j ACCEPT");
        nft_script(
            "table ip z { map m { type inet_service : verdict; elements = { 80 : jump c, 81 : goto d }; }; chain c { accept; }; chain d { }; chain e { jump c; tcp dport vmap { 1 : jump c, 2 : accept }; tcp dport vmap @m; }; }",
        );
        let read = snapshot();
        let counted = |id: &str| {
            let chains = &table(&read, Family::Ip, id).chains;
            chains.iter().map(|chain| (chain.name.to_string(), chain.rules.len(), chain.unlisted)).collect::<Vec<_>>()
        };
        let expected = [("INPUT", 1, 2), ("BEHIND", 1, 0), ("FORWARD", 1, 0)];
        let mut filter = counted("filter");
        filter.sort_by_key(|(name, ..)| expected.iter().position(|(expected, ..)| name == expected));
        assert_eq!(filter, expected.map(|(name, rules, unlisted)| (name.to_owned(), rules, unlisted)));
        let expected = [("c", 1, 0), ("d", 0, 0), ("e", 3, 0)];
        assert_eq!(counted("z"), expected.map(|(name, rules, unlisted)| (name.to_owned(), rules, unlisted)));
    });
}

#[test]
fn registers_are_read_in_one_numbering() {
    in_fresh_netns(|| {
        nft_script(
            "table ip t { chain c { ip saddr . ip daddr . tcp dport . meta mark { 1.2.3.4 . 5.6.7.8 . 9 . 10 }; }; }",
        );
        let read = snapshot();
        let rule = &table(&read, Family::Ip, "t").chain("c").expect("it is there").rules[0];
        let loaded = rule.exprs.iter().filter_map(|expr| match expr {
            Expr::Payload { dreg, .. } | Expr::Meta { dreg, .. } => Some(*dreg),
            _ => None,
        });
        let expected = [0, 0, 1, 2, 3].map(Register::at_slot);
        assert_eq!(loaded.collect::<Vec<_>>(), expected, "{:#?}", rule.exprs);
    });
}

#[test]
fn only_the_tables_asked_for_are_read() {
    in_fresh_netns(|| {
        nft_script(
            "table ip a { set s { type ipv4_addr; elements = { 1.2.3.4 }; }; chain c { ip saddr { 1.1.1.1, 2.2.2.2 } drop; }; counter n { }; }
             table ip b { chain c { accept; }; }
             table inet a { chain c { accept; }; chain d { drop; }; }
             table ip6 a { chain c { accept; }; }",
        );
        let mut kernel = Kernel::open().expect("a socket");
        let all = kernel.snapshot().expect("nobody else commits");
        let ids: Vec<_> = all.tables.iter().map(|table| table.id.clone()).collect();
        assert_eq!(ids.len(), 4);
        let wanted = [ids[0].clone(), ids[1].clone(), ids[2].clone(), TableId::new(Family::Ip, "none")];
        let some = kernel.snapshot_of(&wanted).expect("nobody else commits");
        assert_eq!(some.tables, all.tables[..3]);
        assert_eq!((some.generation, some.opaque.len()), (all.generation, 0));
        for id in &ids {
            assert_eq!(kernel.snapshot_of(std::slice::from_ref(id)).expect("it is there").table(id), all.table(id));
        }
        assert_eq!(kernel.snapshot_of(&[]).expect("nothing to read").tables, []);
    });
}
