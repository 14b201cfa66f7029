//! The JSON of nft(8): what `nft -j list ruleset` prints is what this crate makes of a snapshot,
//! for whatever nft can load.
//!
//! A table is exact if both are equal as JSON values, opaque if ours says that a part is unknown,
//! and wrong otherwise. The numbers may only get better: the constants here are the worst that is
//! accepted.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use nftmesh::json::ToJson;
use nftmesh::kernel::{Kernel, interfaces};
use nftmesh::model::{Family, TableId};
use nftmesh::plan::diff;
use nftmesh::state::{Listing, Snapshot};
use nftmesh::text::Reader;
use serde_json::{Value, json};

use super::dice::Dice;
use super::text::Interfaces;
use crate::support::corpus::{EVERYTHING, as_this_kernel, corpus, files_of, loads, rules_of};
use crate::support::{self, in_fresh_netns, nft, say};

/// Fewest exact tables of the rules of nft's own tests, by family.
const EXACT: [(&str, usize); 6] =
    [("arp", 143), ("bridge", 200), ("inet", 532), ("ip", 492), ("ip6", 534), ("netdev", 721)];
/// Fewest real rule sets that are exact as a whole.
const REAL: usize = 80;

/// Fewest tables of which nft's JSON is read to nft's programs.
const READ: usize = 2600;
const REAL_READ: usize = 120;

/// Number of tables in a namespace: the kernel takes at most 1,024 chains at a hook.
const BATCH: usize = 200;

#[test]
fn the_rules_of_nfts_own_tests_are_listed_in_json_as_nft_does() {
    let Some(file) = corpus("rules.tsv") else { return };
    let (mut count, mut back) = (Count::default(), Back::default());
    for batch in rules_of(&file).chunks(BATCH) {
        in_fresh_netns(|| {
            if !loads(&batch.concat()) {
                count.refused += batch.iter().filter(|rule| !loads(rule)).count();
            }
            back.see("");
            count.see("");
        });
    }
    say(format_args!("JSON of nft's own rules:\n{count}"));
    back.conclude("JSON of nft's own rules", READ);
    if support::needs_namespaces() {
        for (family, exact) in EXACT {
            assert!(count.exact(family) >= exact, "{family}: fewer than {exact} are exact\n{count}");
        }
    }
    assert!(count.wrong.is_empty(), "{}", count.wrong.join("\n"));
}

#[test]
fn real_rule_sets_are_listed_in_json_as_nft_does() {
    let Some(folder) = corpus("real") else { return };
    let (mut count, mut whole, files) = (Count::default(), 0, files_of(&folder));
    let mut back = Back::default();
    for file in &files {
        in_fresh_netns(|| {
            support::ip("link add eth0 type ifb");
            if loads(&fs::read_to_string(file).expect("text")) {
                let before = count.not_exact();
                back.see(&file.display().to_string());
                count.see(&file.display().to_string());
                whole += usize::from(count.not_exact() == before);
            } else {
                count.refused += 1;
            }
        });
    }
    say(format_args!("{whole} of {} real rule sets have nft's JSON; their tables:\n{count}", files.len()));
    back.conclude("JSON of real rule sets", REAL_READ);
    assert!(count.wrong.is_empty(), "{}", count.wrong.join("\n"));
    assert!(whole >= REAL || !support::needs_namespaces(), "fewer than {REAL} are exact\n{count}");
}

#[test]
fn one_of_everything_is_listed_in_json_as_nft_does_or_is_unknown() {
    let mut count = Count::default();
    for script in EVERYTHING {
        in_fresh_netns(|| {
            support::ip("link set lo up");
            support::nft_script(&as_this_kernel(script));
            count.see("");
        });
    }
    say(format_args!("JSON of one of everything:\n{count}"));
    assert!(count.wrong.is_empty(), "{}", count.wrong.join("\n"));
}

#[test]
fn a_whole_listing_is_one_value_that_nft_takes_back() {
    in_fresh_netns(|| {
        support::nft_script(OWN);
        let (ours, text) = (listing(), nft("list ruleset"));
        assert_eq!(timeless(ours.clone()), timeless(listed()));
        nft("flush ruleset");
        support::succeed("nft", "-j -f -", &ours.to_string());
        support::assert_same(&support::timeless(&text), &support::timeless(&nft("list ruleset")), "what nft took back");
    });
}

/// nft takes what a rule set is written as, and lists it as before. What its JSON has no form for is
/// refused or unknown.
#[test]
fn rule_sets_are_written_as_nft_takes_them() {
    let mut scripts = vec![("of this repository".to_owned(), OWN.to_owned())];
    for file in corpus("real").iter().flat_map(|folder| files_of(folder)) {
        scripts.push((file.display().to_string(), fs::read_to_string(&file).expect("text")));
    }
    let (mut same, mut unknown, mut refused, mut wrong) = (0, 0, Vec::new(), Vec::new());
    for (name, script) in &scripts {
        in_fresh_netns(|| {
            support::ip("link add eth0 type ifb");
            if !loads(script) {
                return;
            }
            let ruleset = Kernel::open().expect("a socket").snapshot().expect("a snapshot").raise().ruleset;
            let (json, text) = (ruleset.to_json().to_string(), support::timeless(&nft("list ruleset")));
            nft("flush ruleset");
            match taken(&json) {
                Err(why) => {
                    assert_eq!(nft("list ruleset"), "", "{name}: all or nothing");
                    if json.contains("<unknown ") { unknown += 1 } else { refused.push(format!("{name}: {why}")) }
                }
                Ok(()) if json.contains("<unknown ") => wrong.push(format!("{name}: taken without a part of it")),
                Ok(()) => {
                    let again = support::timeless(&nft("list ruleset"));
                    let kept = |line: &&str| {
                        line.contains(" hook ") || !LEFT_OUT.iter().any(|word| line.trim_start().starts_with(word))
                    };
                    let lines = |text: &str| text.lines().filter(kept).map(str::to_owned).collect::<Vec<_>>();
                    let (before, after) = (lines(&text), lines(&again));
                    match before.iter().zip(&after).find(|(before, after)| before != after) {
                        None if before.len() == after.len() => same += 1,
                        differ => wrong.push(format!("{name}: {differ:?} of {} and {}", before.len(), after.len())),
                    }
                }
            }
        });
    }
    say(format_args!(
        "{same} of {} rule sets are written as JSON that nft lists as before, {unknown} have unknown parts, {} it \
         refuses, {} are wrong\n{}",
        scripts.len(),
        refused.len(),
        wrong.len(),
        refused.join("\n")
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(scripts.len() == 1 || same >= WRITTEN || !support::needs_namespaces(), "fewer than {WRITTEN}");
}

/// What lines begin with that nft does not take from JSON: how a set is declared, and the comments
/// of tables and chains.
const LEFT_OUT: [&str; 5] = ["type ", "typeof ", "auto-merge", "comment ", "flags "];
/// Fewest rule sets that nft lists as before.
const WRITTEN: usize = 80;

/// Loads JSON, and returns nft's complaint.
fn taken(json: &str) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), json).expect("a temporary file can be written");
    let output = support::command("nft").arg("-j").arg("-f").arg(file.path()).output().expect("nft is installed");
    let first = |text: &[u8]| String::from_utf8_lossy(text).lines().next().unwrap_or_default().to_owned();
    if output.status.success() { Ok(()) } else { Err(first(&output.stderr)) }
}

/// Whatever is changed in JSON that is read, it is read or refused with a reason in one line.
#[test]
fn any_change_of_json_is_read_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/json");
    let texts = fs::read_dir(folder).expect("a corpus").map(|file| fs::read(file.expect("readable").path()));
    let seeds: Vec<Value> = texts.filter_map(|text| serde_json::from_slice(&text.expect("readable")).ok()).collect();
    let mut pool = vec![json!(null), json!(-1), json!(1.5), json!(u64::MAX), json!("a b\n\""), json!("@"), json!([[]])];
    seeds.iter().for_each(|seed| parts(seed, &mut pool));
    let mut dice = Dice::new(0x6a73_6f6e);
    for seed in seeds.iter().cycle().take(4000) {
        let mut changed = seed.clone();
        for _ in 0..dice.from(1, 3) {
            let pointers = pointers(&changed);
            let other = dice.pick(&pool);
            *changed.pointer_mut(&dice.pick(&pointers)).expect("it is there") = other;
        }
        nftmesh::fuzz::json(changed.to_string().as_bytes());
    }
}

/// Adds all values in a value.
fn parts(of: &Value, pool: &mut Vec<Value>) {
    pool.push(of.clone());
    match of {
        Value::Array(values) => values.iter().for_each(|value| parts(value, pool)),
        Value::Object(object) => object.values().for_each(|value| parts(value, pool)),
        _ => {}
    }
}

/// Returns where all values are in a value.
fn pointers(of: &Value) -> Vec<String> {
    let below = |step: String, value: &Value| {
        let step = step.replace('~', "~0").replace('/', "~1");
        pointers(value).into_iter().map(|rest| format!("/{step}{rest}")).collect::<Vec<_>>()
    };
    let mut all = vec![String::new()];
    match of {
        Value::Array(values) => {
            all.extend(values.iter().enumerate().flat_map(|(index, value)| below(index.to_string(), value)));
        }
        Value::Object(object) => all.extend(object.iter().flat_map(|(key, value)| below(key.clone(), value))),
        _ => {}
    }
    all
}

/// Returns the listing of this crate.
fn listing() -> Value {
    let snapshot = Kernel::open().expect("a socket").snapshot().expect("a snapshot");
    Listing::new(&snapshot).interfaces(interfaces().expect("a netlink socket")).to_json()
}

/// Returns the listing of nft.
fn listed() -> Value {
    parsed(&nft("-j list ruleset"))
}

/// Reads a listing of nft. For the flags of a table nft 1.0.6 prints what it finds in its memory.
pub(super) fn parsed(text: &str) -> Value {
    let mut listed: Value = serde_json::from_str(text).expect("nft prints JSON");
    for object in objects(&mut listed) {
        if let Some(flags) = object.pointer_mut("/table/flags") {
            *flags = json!("dormant");
        }
    }
    listed
}

/// Removes the time that is left to elements.
pub(super) fn timeless(json: Value) -> Value {
    without("expires", json)
}

/// Removes that and the handles.
fn unnumbered(json: Value) -> Value {
    without("handle", timeless(json))
}

fn without(key: &str, mut json: Value) -> Value {
    match &mut json {
        Value::Array(values) => values.iter_mut().for_each(|value| *value = without(key, value.take())),
        Value::Object(object) => {
            object.remove(key);
            object.values_mut().for_each(|value| *value = without(key, value.take()));
        }
        _ => {}
    }
    json
}

/// Tables by family and result.
#[derive(Default)]
struct Count {
    exact: BTreeMap<String, usize>,
    opaque: BTreeMap<String, usize>,
    wrong: Vec<String>,
    refused: usize,
}

impl Count {
    /// Compares the listings of this namespace, and empties it.
    fn see(&mut self, of: &str) {
        let (ours, theirs) = (tables(timeless(listing())), tables(timeless(listed())));
        let text = nft("list ruleset");
        nft("flush ruleset");
        for (name, theirs) in &theirs {
            let family = name.split(' ').next().unwrap_or_default().to_owned();
            let ours = ours.get(name).map(Vec::as_slice).unwrap_or_default();
            let kind = if ours == theirs {
                &mut self.exact
            } else if ours.iter().any(|object| object.to_string().contains("<unknown ")) {
                &mut self.opaque
            } else {
                let differ = |here: &[Value], there: &[Value]| -> String {
                    here.iter().filter(|object| !there.contains(object)).map(|object| format!("  {object}\n")).collect()
                };
                let text = text.split("\n}\n").find(|text| text.starts_with(&format!("table {name} ")));
                self.wrong.push(format!(
                    "{of} {name}: it has\n{}and not\n{}{}",
                    differ(ours, theirs),
                    differ(theirs, ours),
                    text.filter(|text| text.len() < 1000).unwrap_or_default()
                ));
                continue;
            };
            *kind.entry(family).or_default() += 1;
        }
    }

    fn exact(&self, family: &str) -> usize {
        self.exact.get(family).copied().unwrap_or_default()
    }

    fn not_exact(&self) -> usize {
        self.opaque.values().sum::<usize>() + self.wrong.len()
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (exact, opaque): (usize, usize) = (self.exact.values().sum(), self.opaque.values().sum());
        writeln!(f, "exact: {:?}, opaque: {:?}", self.exact, self.opaque)?;
        let (wrong, all) = (self.wrong.len(), exact + opaque + self.wrong.len());
        write!(f, "all: {exact} of {all} exact, {opaque} opaque, {wrong} WRONG; {} not taken by nft", self.refused)
    }
}

fn objects(listing: &mut Value) -> &mut Vec<Value> {
    listing.get_mut("nftables").and_then(Value::as_array_mut).expect("an array of objects")
}

/// Tables of which nft's JSON is read, by result.
#[derive(Default)]
pub(super) struct Back {
    read: usize,
    /// To another program with the same JSON.
    otherwise: usize,
    /// Why JSON is not read, and how often.
    unsayable: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Back {
    /// Reads nft's JSON of every table of this namespace: it has no plan there.
    pub(super) fn see(&mut self, of: &str) {
        let snapshot = || Kernel::open().expect("a socket").snapshot().expect("a snapshot");
        let mut held = snapshot();
        for (name, objects) in tables(timeless(listed())) {
            let objects: Vec<Value> = objects.into_iter().map(|object| with_devices(object, &held)).collect();
            let json = json!({ "nftables": objects });
            let read = match Reader::new().resolver(&Interfaces).json_ruleset(&json) {
                Ok(read) => read,
                Err(error) => {
                    let known = error.fault.split(" (known").next().unwrap_or_default().to_owned();
                    *self.unsayable.entry(known).or_default() += 1;
                    continue;
                }
            };
            let ids: Vec<TableId> = read.tables.iter().map(TableId::from).collect();
            match read.validate().map_err(|invalid| invalid.to_string()) {
                Ok(()) => {}
                Err(why) => {
                    *self
                        .unsayable
                        .entry(why.split_once("}: ").map_or(why.clone(), |(_, why)| why.to_owned()))
                        .or_default() += 1;
                    continue;
                }
            }
            match diff(&held, &read, &ids) {
                Ok(plan) if plan.is_empty() => self.read += 1,
                // The listing leaves out what nft may have made otherwise: loads of neighbouring
                // fields at once, and that rules change a set.
                Ok(plan) => {
                    Kernel::open().expect("a socket").commit(&plan).unwrap_or_else(|error| panic!("{error}\n{plan}"));
                    held = snapshot();
                    let again = tables(unnumbered(listed())).remove(&name);
                    let objects = tables(unnumbered(json.clone())).remove(&name);
                    let without_devices =
                        objects.map(|objects| objects.into_iter().map(|object| without("dev", object)));
                    if again == without_devices.map(Iterator::collect) {
                        self.otherwise += 1;
                    } else {
                        self.wrong.push(format!("{of} {name}: {json}\nis not\n{plan}"));
                    }
                }
                Err(why) => self.wrong.push(format!("{of} {name}: {json}\n{why}")),
            }
        }
    }

    fn conclude(&self, what: &str, least: usize) {
        self.report(what);
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n\n"));
        assert!(self.read >= least || !support::needs_namespaces(), "fewer than {least} are read");
    }

    /// Says how many tables are read.
    pub(super) fn report(&self, what: &str) {
        let Back { read, otherwise, unsayable, wrong } = self;
        let unread: usize = unsayable.values().sum();
        let all = read + otherwise + unread + wrong.len();
        say(format_args!(
            "{what}: {read} of {all} tables are read to nft's program, {otherwise} to another one with the \
             same JSON, {unread} are not sayable, {} are wrong",
            wrong.len()
        ));
        if std::env::var_os("NFTMESH_TEXT_REASONS").is_some() {
            let mut reasons: Vec<_> = unsayable.iter().map(|(why, count)| (*count, why)).collect();
            reasons.sort_unstable_by(|a, b| b.cmp(a));
            reasons.iter().for_each(|(count, why)| say(format_args!("{count:5} {why}")));
            wrong.iter().for_each(|text| say(format_args!("WRONG {text}")));
        }
    }
}

/// Gives a chain its devices, which nft's JSON leaves out.
fn with_devices(mut object: Value, held: &Snapshot) -> Value {
    let Some(chain) = object.get_mut("chain") else { return object };
    let text = |key: &str| chain[key].as_str().expect("a name").to_owned();
    let family = Family::ALL.into_iter().find(|family| family.name() == text("family")).expect("a family");
    let id = TableId::new(family, text("table")).chain(text("name"));
    let hook = held.chain(&id).and_then(|held| held.hook.as_ref());
    match hook.map(|hook| hook.devices.as_slice()).unwrap_or_default() {
        [] => {}
        [device] => chain["dev"] = json!(device),
        devices => chain["dev"] = json!(devices),
    }
    object
}

/// Returns the objects of each table, by family and name.
fn tables(mut listing: Value) -> BTreeMap<String, Vec<Value>> {
    let mut tables: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in objects(&mut listing).drain(..) {
        let (kind, inner) = object.as_object().and_then(|object| object.iter().next()).expect("an object");
        let name = inner.get(if kind == "table" { "name" } else { "table" }).and_then(Value::as_str);
        let Some(name) = name else { continue };
        let name = format!("{} {name}", inner["family"].as_str().expect("a family"));
        tables.entry(name).or_default().push(object);
    }
    tables
}

/// A rule set of this repository.
const OWN: &str = r#"
table inet filter {
    set blocked {
        type ipv4_addr
        flags interval,timeout
        timeout 1h
        elements = { 10.0.0.0/8, 192.168.1.1-192.168.1.9, 172.16.0.1 timeout 2h comment "for now" }
    }
    map ports { type inet_service : mark; elements = { 80 : 0x1, 443 : 0x2 } }
    map services { type ipv4_addr . inet_service : verdict; elements = { 10.0.0.1 . 80 : continue, 10.0.0.2 . 81 : drop } }
    chain web { counter accept; }
    chain input {
        type filter hook input priority filter - 5; policy drop;
        ct state vmap { established : accept, invalid : drop }
        ct state new,related tcp dport { 22, 8000-8080 } counter accept comment "from anywhere"
        tcp flags syn / fin,syn,rst,ack limit rate 10/second burst 20 packets accept
        iifname "eth*" ip saddr @blocked drop
        ip daddr . tcp dport vmap @services
        meta mark set tcp dport map @ports
        ip6 saddr fe80::/64 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        log prefix "dropped: " level info flags tcp sequence,options
        reject with icmpx admin-prohibited
    }
}
table ip nat {
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        tcp dport 8080 dnat to 10.0.0.2:80
        meta l4proto udp redirect to :53-54 random,persistent
    }
}
"#;
