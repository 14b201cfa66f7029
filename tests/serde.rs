//! Rule sets, plans, snapshots, events and walks as JSON and back: nothing is lost.

mod support;

use std::fmt::Debug;

use nftmesh::kernel::Fake;
use nftmesh::model::Value;
use nftmesh::plan::{Operation, State};
use nftmesh::prelude::*;
use nftmesh::sim::{Host, Packet, Rules, Walker};
use serde::Serialize;
use serde::de::DeserializeOwned;
use support::corpus::{EVERYTHING, as_this_kernel, corpus, files_of, loads, rules_of};
use support::{golden, in_fresh_netns, say};

/// Goes to JSON and back; the text is the same too, so what equality leaves out is there.
#[track_caller]
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> T {
    let text = serde_json::to_string(value).expect("every value has a form");
    let back: T = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
    assert_eq!(back, *value);
    assert_eq!(serde_json::to_string(&back).expect("it had one"), text);
    back
}

/// All that is made of one rule set in the kernel.
fn all_of_it_comes_back(kernel: &mut Kernel) {
    let snapshot = comes_back(&kernel.snapshot().expect("a snapshot"));
    let ruleset = snapshot.raise().ruleset;
    let back = comes_back(&ruleset);
    assert_eq!(back.to_string(), ruleset.to_string());
    // What stands in the kernel is in sync with what came back.
    assert!(kernel.plan(&back).expect("it was read").is_empty(), "{ruleset}");
    let transaction = Transaction::replace(ruleset);
    comes_back(&transaction);
    comes_back(&kernel.plan(&Ruleset::new()).expect("nothing is wanted"));
    for table in &snapshot.tables {
        let sets = table.sets.iter().cloned().map(State::Set);
        for state in sets.chain([State::Table(table.clone())]) {
            comes_back(&Operation::Restore { table: table.id.clone(), state: Box::new(state) });
        }
    }
}

#[test]
fn what_nft_loads_comes_back_from_json() {
    let real = corpus("real").map(|folder| files_of(&folder)).unwrap_or_default();
    let real = real.iter().map(|path| std::fs::read_to_string(path).expect("text"));
    // One rule in ten of nft's own tests, which have some thousands.
    let rules = corpus("rules.tsv").map(|file| rules_of(&file)).unwrap_or_default().into_iter().step_by(10);
    let all: Vec<String> = EVERYTHING.iter().map(|script| as_this_kernel(script)).chain(real).chain(rules).collect();
    let mut count = 0;
    for script in &all {
        in_fresh_netns(|| {
            if loads(script) {
                all_of_it_comes_back(&mut Kernel::open().expect("a socket"));
                count += 1;
            }
        });
    }
    say(format_args!("{count} of {} rule sets came back", all.len()));
    assert!(count == 0 || count > EVERYTHING.len() / 2, "nft takes next to nothing");
}

#[test]
fn events_come_back_from_json() {
    in_fresh_netns(|| {
        let mut watch = NetNs::current().expect("a namespace").watch().expect("a socket");
        assert!(EVERYTHING.iter().any(|script| loads(script)) && loads("flush ruleset"));
        let mut count = 0;
        while let Some(event) = watch.try_next().expect("an event") {
            comes_back(&event);
            count += 1;
        }
        assert!(count > 10, "{count}");
    });
}

fn small() -> Ruleset {
    let hosts = Set::new("hosts", [DataType::Ipv4]).elements([Element::new(Value::Ipv4([10, 0, 0, 1].into()))]);
    let input = Chain::base("input", ChainType::Filter, Hook::Input, Priority::FILTER).policy(Policy::Drop);
    let rules = [
        Rule::new().iifname("lo").accept(),
        Rule::new().ip_saddr(nftmesh::model::set("hosts")).tcp_dport((22, 8000..=8080)).counter().accept(),
        Rule::new().mark(7).counter().reject().comment("the rest"),
    ];
    Ruleset::new().table(Table::new(Family::Inet, "guard").set(hosts).chain(input.rules(rules)))
}

/// The form is a promise: what is kept today is read tomorrow.
#[test]
fn the_form_stays_as_it_is() {
    let mut fake = Fake::new();
    fake.apply(&small()).expect("nothing is there");
    let snapshot = fake.snapshot().expect("held");
    let (rules, host) = (Rules::try_from(&small()).expect("it has programs"), Host::new());
    let packet = Packet::tcp("10.0.0.2:1000".parse().expect("an address"), "10.0.0.3:22".parse().expect("an address"));
    let walk = Walker::new(&rules, &host).send(packet);
    let line = |what: &str, json: serde_json::Result<String>| format!("{what} {}\n", json.expect("it has a form"));
    let text = [
        line("ruleset", serde_json::to_string(&small())),
        line("plan", serde_json::to_string(&Transaction::add(small()))),
        line("snapshot", serde_json::to_string(&snapshot)),
        line("walk", serde_json::to_string(&walk)),
    ];
    golden("serde.txt", &text.concat());
    assert_eq!(comes_back(&small()), small());
    assert_eq!(comes_back(&snapshot), snapshot);
}

#[test]
fn bad_input_is_refused_in_one_line() {
    let good = serde_json::to_string(&small()).expect("it has a form");
    for (from, to) in [
        ("\"Inet\"", "\"Innet\""),
        ("\"guard\"", "7"),
        ("\"policy\":\"Drop\"", "\"policy\":3"),
        ("\"tables\"", "\"table\""),
        ("{", "["),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from} in {good}");
        let why = serde_json::from_str::<Ruleset>(&bad).expect_err(&bad).to_string();
        assert!(!why.contains('\n') && why.contains(" at line 1 column "), "{why}");
    }
    // What is read is checked as what is built: before anything is sent.
    let long = good.replace("guard", &"g".repeat(300));
    let read: Ruleset = serde_json::from_str(&long).expect("names are checked where they are used");
    let error = Fake::new().apply(&read).expect_err("300 bytes");
    assert!(error.is_invalid() && error.to_string().contains("longer than 255 bytes"), "{error}");
}
