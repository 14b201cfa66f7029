//! Named objects: what nft loads is read as types and listed, and what is built is what nft would
//! load.
#![cfg(feature = "json")]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

mod support;

use nftmesh::json::{self, ToJson};
use nftmesh::model::set;
use nftmesh::model::{
    CtExpectation, CtHelper, CtTimeout, Flowtable, FlowtableFlags, Limit, LimitUnit, LimitWhen, Object, ObjectContent,
    ObjectKind, Quota, Synproxy, SynproxyFlags,
};
use nftmesh::prelude::*;
use nftmesh::text::Reader;
use support::{assert_lists_as_nft, in_fresh_netns, nft, nft_script, nft_takes, say};

/// Objects that every kernel of the tests has, in nft's words.
const TABLE: &str = "table inet t {
    counter idle { }
    counter web { comment \"a b\"; packets 3 bytes 7; }
    quota monthly { over 25 mbytes used 1 kbytes; comment \"q\"; }
    quota few { until 100 bytes; }
    limit slow { rate 400/minute; comment \"l\"; }
    limit wide { rate over 1 kbytes/second burst 3 kbytes; }
    ct helper ftp4 { type \"ftp\" protocol tcp; l3proto ip; comment \"h\"; }
    ct helper ftp { type \"ftp\" protocol tcp; }
    ct timeout usual { protocol tcp; }
    ct timeout short { protocol tcp; l3proto ip; policy = { established : 120, close : 20 }; comment \"t\"; }
    ct timeout asked { protocol udp; policy = { unreplied : 60, replied : 100000 }; }
    ct expectation more { protocol tcp; dport 8888; timeout 1500ms; size 12; l3proto ip; comment \"e\"; }
    synproxy both { mss 1460; wscale 7; timestamp sack-perm; comment \"s\"; }
    synproxy plain { mss 5; wscale 3; }
    synproxy one { mss 5; wscale 3; sack-perm; }
    chain c {
        counter name \"web\" quota name \"few\" limit name \"slow\" accept
        meta l4proto tcp ct helper set \"ftp\" ct timeout set \"usual\" ct expectation set \"more\"
    }
}";

fn table() -> TableId {
    TableId::new(Family::Inet, "t")
}

fn input(table: Table, rule: Rule) -> Ruleset {
    let chain = Chain::base("in", ChainType::Filter, Hook::Input, Priority::FILTER).rule(rule);
    Ruleset::new().table(table.chain(chain))
}

#[test]
fn objects_that_nft_loads_are_types_and_go_back_the_same() {
    in_fresh_netns(|| {
        nft_script(TABLE);
        let snapshot = assert_lists_as_nft();
        let raised = snapshot.raise().ruleset;
        let objects = &raised.find(Family::Inet, "t").expect("it exists").objects;
        assert_eq!(objects.len(), 15);
        assert!(objects.iter().all(|object| object.opaque().is_none()), "{objects:#?}");

        let mut kernel = Kernel::open().expect("a socket");
        assert!(kernel.plan(&raised).expect("what was read").is_empty());
        let (listed, listed_json) = (nft("list ruleset"), nft("-j list ruleset"));
        let ours: serde_json::Value = snapshot.to_json();
        assert_eq!(ours, serde_json::from_str::<serde_json::Value>(&listed_json).expect("JSON"));

        // By the kernel's bytes, by our text and by our JSON.
        let read = Reader::new().ruleset(raised.to_string()).unwrap_or_else(|error| panic!("{error}\n{raised}"));
        assert_eq!(read, raised, "{raised}");
        let read = json::ruleset(raised.to_json().to_string()).unwrap_or_else(|error| panic!("{error}\n{raised}"));
        assert_eq!(read, raised, "{raised}");
        kernel.commit(&Transaction::replace(raised.clone())).expect("what was read");
        assert_eq!(nft("list ruleset"), listed);
        nft_script("flush ruleset");
        nft_script(&raised.to_string());
        assert_eq!(nft("list ruleset"), listed);
        let script = Transaction::replace(raised).to_string();
        nft_script(&script);
        assert_eq!(nft("list ruleset"), listed, "{script}");
    });
}

const MAPS: &str = "table inet t {
    counter a { packets 0 bytes 0; }
    counter b { packets 0 bytes 0; }
    limit l { rate 1/second; }
    ct helper ftp { type \"ftp\" protocol tcp; }
    map ports { type inet_service : counter; elements = { 80 : \"a\", 443 : \"b\" }; }
    map nets { type ipv4_addr : counter; flags interval; elements = { 10.0.0.0/8 : \"a\", 192.0.2.0/24 : \"b\" }; }
    map pairs { type ipv4_addr . inet_service : limit; elements = { 192.0.2.1 . 22 : \"l\" }; }
    chain c {
        counter name tcp dport map @ports
        counter name ip saddr map @nets
        limit name ip saddr . tcp dport map @pairs accept
        counter name tcp dport map { 22 : \"a\", 80 : \"b\" }
        counter name ip saddr map { 10.0.0.0/8 : \"a\", 192.0.2.1 : \"b\" }
        ct helper set tcp dport map { 21 : \"ftp\" }
    }
}";

#[test]
fn maps_to_objects_are_types_and_go_back_the_same() {
    in_fresh_netns(|| {
        nft_script(MAPS);
        let snapshot = assert_lists_as_nft();
        let raised = snapshot.raise().ruleset;
        let table = raised.find(Family::Inet, "t").expect("it exists");
        assert!(table.sets.iter().all(|set| set.opaque().is_none()), "{table}");
        let printed = raised.to_string();
        assert!(!printed.contains("unknown"), "{printed}");

        let mut kernel = Kernel::open().expect("a socket");
        assert!(kernel.plan(&raised).expect("what was read").is_empty());
        let listed = nft("list ruleset");
        let json = serde_json::from_str::<serde_json::Value>(&nft("-j list ruleset")).expect("JSON");
        assert_eq!(snapshot.to_json(), json);
        for (words, read) in [
            ("nft's", Reader::new().ruleset(MAPS).map_err(|error| error.to_string())),
            ("ours", Reader::new().ruleset(&printed).map_err(|error| error.to_string())),
            ("JSON", json::ruleset(raised.to_json().to_string()).map_err(|error| error.to_string())),
        ] {
            let read = read.unwrap_or_else(|error| panic!("{words}: {error}\n{printed}"));
            assert_eq!(read.validate(), Ok(()), "{words}");
            assert!(kernel.plan(&read).expect("valid").is_empty(), "{words}: {}", kernel.plan(&read).expect("valid"));
            nft_script("flush ruleset");
            kernel.apply(&read).unwrap_or_else(|error| panic!("{words}: {error}"));
            assert_eq!(nft("list ruleset"), listed, "{words}");
        }
        // An object that is another now, with its map and the rules that use it.
        let mut changed = raised.clone();
        changed.tables[0].objects[0].comment = Some("new".into());
        kernel.apply(&changed).expect("valid");
        assert!(kernel.plan(&changed).expect("valid").is_empty());
        assert!(nft("list ruleset").contains("comment \"new\""));
    });
}

#[test]
fn what_no_object_map_can_hold_is_a_fault() {
    let table = || Table::new(Family::Inet, "t").object(Object::counter("a"));
    let map = Set::object_map("m", [DataType::Port], ObjectKind::Counter);
    let fault = |set: Set| Ruleset::new().table(table().set(set)).validate().expect_err("a fault").to_string();
    assert_eq!(
        fault(map.clone().elements([Element::new(80).object("b")])),
        "element 1 of set inet t/m: there is no counter b in the table; define it or correct the name"
    );
    assert_eq!(
        fault(map.clone().elements([Element::new(80)])),
        "element 1 of set inet t/m: has no data, but the elements of a map need counter"
    );
    let quota = Rule::new().statement(nftmesh::model::Statement::ObjectRef(nftmesh::model::ObjectRef {
        kind: ObjectKind::Quota,
        to: nftmesh::model::ObjectTo::Map(Field::TcpDport.into(), set("m")),
    }));
    let wanted = input(table().set(map.elements([Element::new(80).object("a")])), quota);
    let invalid = wanted.validate().expect_err("a map to counters");
    assert!(invalid.to_string().ends_with("set m has counter as data, but quota is looked up"), "{invalid}");
}

fn built() -> Vec<Object> {
    let quota = Quota { bytes: 25 << 20, when: LimitWhen::Over, used: 0 };
    let synproxy = Synproxy { mss: Some(1460), wscale: Some(7), flags: SynproxyFlags::TIMESTAMP };
    let (protocol, family) = (Protocol::TCP, Family::Ip);
    let expected = CtExpectation { protocol, dport: 8888, timeout: 1500, size: 12, family };
    vec![
        Object::counter("web").comment("requests"),
        Object::new("monthly", quota),
        Object::new("slow", Limit::packets(4, LimitUnit::Second)),
        Object::new("ftp", CtHelper::new("ftp", Protocol::TCP)),
        Object::new("short", CtTimeout::new(Protocol::TCP).after("established", 7200).family(Family::Ip)),
        Object::new("more", expected),
        Object::new("syn", synproxy),
    ]
}

#[test]
fn built_objects_are_created_changed_and_deleted() {
    in_fresh_netns(|| {
        let with = |objects: Vec<Object>| objects.into_iter().fold(Table::new(Family::Inet, "t"), Table::object);
        let rule = Rule::new().object(ObjectKind::Counter, "web").object(ObjectKind::Quota, "monthly").accept();
        let wanted = input(with(built()), rule.clone());
        let mut kernel = Kernel::open().expect("a socket");
        kernel.apply(&wanted).expect("valid");
        assert_lists_as_nft();
        assert_eq!(kernel.snapshot().expect("a snapshot").raise().ruleset, wanted);
        assert!(kernel.plan(&wanted).expect("the same").is_empty());

        // Counts are not a difference; a larger quota is, and the rule that uses it stays.
        let mut counted = wanted.clone();
        counted.tables[0].objects[0].content = ObjectContent::Counter { packets: 9, bytes: 9 };
        assert!(kernel.plan(&counted).expect("the same").is_empty());
        let mut changed = wanted.clone();
        changed.tables[0].objects[1].content =
            ObjectContent::Quota(Quota { bytes: 50 << 20, when: LimitWhen::Over, used: 0 });
        changed.tables[0].objects[0].comment = None;
        kernel.apply(&changed).expect("valid");
        let listed = nft("list ruleset");
        assert!(listed.contains("over 50 mbytes") && !listed.contains("requests"), "{listed}");
        assert!(kernel.plan(&changed).expect("the same").is_empty(), "{listed}");

        kernel.apply(&input(Table::new(Family::Inet, "t"), Rule::new().accept())).expect("valid");
        let listed = nft("list ruleset");
        assert!(!listed.contains("counter") && !listed.contains("quota"), "{listed}");
    });
}

#[test]
fn an_object_of_the_same_name_and_another_kind_is_another() {
    in_fresh_netns(|| {
        let quota = Quota { bytes: 1, when: LimitWhen::Until, used: 0 };
        let both = Table::new(Family::Inet, "t").object(Object::counter("x")).object(Object::new("x", quota));
        let both = Ruleset::new().table(both);
        let mut kernel = Kernel::open().expect("a socket");
        kernel.apply(&both).expect("two objects");
        assert!(kernel.plan(&both).expect("the same").is_empty());
        kernel.apply(&Ruleset::new().table(Table::new(Family::Inet, "t").object(Object::counter("x")))).expect("one");
        let listed = nft("list ruleset");
        assert!(listed.contains("counter x") && !listed.contains("quota"), "{listed}");
    });
}

#[test]
fn commands_add_and_delete_objects_as_nft_does() {
    const COMMANDS: &str = "add table ip t
add counter ip t a
add counter ip t b { packets 1 bytes 2; comment \"b\"; }
add quota ip t q { over 3 mbytes; }
add limit ip t l { rate 5/second; }
add ct helper ip t h { type \"ftp\" protocol tcp; }
create counter ip t c
delete counter ip t a
destroy counter ip t none
";
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let snapshot = kernel.snapshot().expect("a snapshot");
        let reader = Reader::new().snapshot(&snapshot);
        kernel.commit(&reader.transaction(COMMANDS).expect("nft's words")).expect("valid");
        let listed = nft("list ruleset");
        nft_script("flush ruleset");
        if nft_takes(COMMANDS).is_err() {
            nft_script(&COMMANDS.replace("destroy counter ip t none\n", ""));
        }
        assert_eq!(nft("list ruleset"), listed);
    });
}

#[test]
fn objects_that_the_kernel_lacks_are_refused_with_a_remedy() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let mut refused =
            |object: Object| kernel.apply(&Ruleset::new().table(Table::new(Family::Inet, "t").object(object))).err();
        let error = refused(Object::new("h", CtHelper::new("nobody", Protocol::TCP))).expect("no such helper");
        assert!(error.to_string().contains("has no helper nobody"), "{error}");
        let context = ObjectContent::Secmark("nobody".into());
        let error = refused(Object::new("s", context)).expect("no such context");
        assert!(error.to_string().contains("secmark"), "{error}");
        let flowtable = Flowtable::new(Priority::FILTER, ["lo"]).flags(FlowtableFlags::COUNTER);
        match refused(Object::new("f", flowtable)) {
            Some(error) => {
                assert!(error.to_string().contains("flowtables (CONFIG_NF_FLOW_TABLE)"), "{error}");
                say("SKIP: this kernel has no flowtables");
            }
            None => drop(assert_lists_as_nft()),
        }
        let missing = Transaction::new()
            .add_table(&table())
            .add_chain(&table(), Chain::regular("c").rule(Rule::new().object(ObjectKind::Counter, "none")));
        let error = kernel.commit(&missing).expect_err("no such counter");
        assert!(error.to_string().contains("there is no object none"), "{error}");
    });
}

#[test]
fn a_flowtable_prints_and_reads_as_in_nft() {
    let flags = FlowtableFlags::OFFLOAD | FlowtableFlags::COUNTER;
    let flowtable = Flowtable::new(Priority::FILTER + 10, ["eth0", "lan*x"]).flags(flags);
    let table = Table::new(Family::Inet, "t").object(Object::new("f", flowtable));
    let rule = Rule::new().statement(nftmesh::model::Statement::FlowAdd("f".into()));
    let wanted = input(table, rule);
    assert_eq!(
        wanted.to_string(),
        "table inet t {
\tflowtable f {
\t\thook ingress priority filter + 10
\t\tdevices = { eth0, lan*x }
\t\tflags offload
\t\tcounter
\t}

\tchain in {
\t\ttype filter hook input priority filter; policy accept;
\t\tflow add @f
\t}
}
"
    );
    let text = "table inet t { flowtable f { hook ingress priority filter + 10; devices = { \"eth0\", lan0 }; counter
            flags offload\n}\n}";
    let read = Reader::new().ruleset(text).expect("nft's words");
    assert_eq!(Reader::new().ruleset(read.to_string()).expect("our own"), read);
}
