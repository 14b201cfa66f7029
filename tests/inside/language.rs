//! Counts how much of nft's language this crate says: every rule of nft's own tests, in a table of
//! its own, and every real rule set.
//!
//! A table is exact if our listing of the kernel's state is nft's, opaque if ours leaves a part
//! unknown and a copy from the raised form is the same table to nft, and wrong otherwise. The
//! numbers may only get better: the constants here are the worst that is accepted.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use nftmesh::bytecode::Expr;
use nftmesh::kernel::{Kernel, interfaces};
use nftmesh::model::{Chain, DataType, Family, Field, Match, Nfproto, Op, Operand, Rule, Ruleset, Table, Value};
use nftmesh::plan::Transaction;
use nftmesh::state::{Listing, TableState};

use crate::support::corpus::{corpus, files_of, loads, rules_of};
use crate::support::{self, in_fresh_netns, nft, say, timeless};

/// Fewest exact tables of each family, of the rules that nft takes.
const EXACT: [(&str, usize); 6] =
    [("arp", 143), ("bridge", 200), ("inet", 532), ("ip", 488), ("ip6", 533), ("netdev", 721)];
/// Fewest real rule sets that are exact as a whole.
const REAL: usize = 83;

/// Number of tables in a namespace: the kernel takes at most 1,024 chains at a hook.
const BATCH: usize = 200;

#[test]
fn the_rules_of_nfts_own_tests_are_listed_exactly_or_are_opaque() {
    let Some(file) = corpus("rules.tsv") else { return };
    let mut count = Count::default();
    for batch in rules_of(&file).chunks(BATCH) {
        in_fresh_netns(|| {
            if !loads(&batch.concat()) {
                count.refused += batch.iter().filter(|rule| !loads(rule)).count();
            }
            let rule = |name: &str| batch.iter().find(|rule| rule.starts_with(&format!("add table {name}\n")));
            count.see(|name| rule(name).and_then(|rule| rule.lines().last()).unwrap_or(name).to_owned());
        });
    }
    say(format_args!("{count}"));
    if support::needs_namespaces() {
        for (family, exact) in EXACT {
            assert!(count.exact(family) >= exact, "{family}: fewer than {exact} are exact\n{count}");
        }
    }
    assert!(count.wrong.is_empty(), "{}", count.wrong.join("\n"));
}

#[test]
fn real_rule_sets_are_listed_exactly_or_are_opaque() {
    let Some(folder) = corpus("real") else { return };
    let (mut count, mut whole, files) = (Count::default(), 0, files_of(&folder));
    for file in &files {
        in_fresh_netns(|| {
            support::ip("link add eth0 type ifb");
            if loads(&fs::read_to_string(file).expect("text")) {
                let before = count.not_exact();
                count.see(|name| format!("{}: {name}", file.display()));
                whole += usize::from(count.not_exact() == before);
            } else {
                count.refused += 1;
            }
        });
    }
    say(format_args!("{whole} of {} real rule sets are exact as a whole; their tables:\n{count}", files.len()));
    assert!(whole >= REAL || !support::needs_namespaces(), "fewer than {REAL} are exact\n{count}");
    assert!(count.wrong.is_empty(), "{}", count.wrong.join("\n"));
}

/// Every field is sent, listed and read back; nft makes the same program of its text.
#[test]
fn every_field_is_sent_listed_and_read_as_nft_does() {
    in_fresh_netns(|| {
        // Not in every kernel, and not compared with constants by nft.
        let left_out = [Field::Ibrname, Field::Ibrpvid, Field::Ibrvproto, Field::Obrname];
        let left_out = [left_out.as_slice(), &[Field::CtSecmark, Field::Secmark]].concat();
        let fields: Vec<Field> = Field::ALL.iter().copied().filter(|field| !left_out.contains(field)).collect();
        let rule = |field: &Field| {
            let fits = |number: &u128| field.bits().is_none_or(|bits| number >> bits == 0);
            let value = match field.data_type() {
                DataType::Ifname => "lo".into(),
                DataType::Text => Value::Text("ftp".into()),
                DataType::Date => Value::Date(5_000_000_000),
                DataType::CtLabel
                | DataType::CtState
                | DataType::CtStatus
                | DataType::TcpFlags
                | DataType::Ifindex
                | DataType::Integer { bytes: 1 } => Value::of_number(1, field.data_type()).expect("a bit"),
                of => {
                    let value =
                        [5, 1].iter().filter(|number| fits(number)).find_map(|number| Value::of_number(*number, of));
                    value.expect("every type has 1")
                }
            };
            Rule::new().matches(Match::new(*field, Op::Eq, Operand::Value(value)))
        };
        let table = |name: &str, field: &Field| {
            let family = if field.needs().network == Some(Nfproto::ARP) { Family::Arp } else { Family::Inet };
            Table::new(family, name).chain(Chain::regular("c").rule(rule(field)))
        };
        let tables: Vec<Table> =
            fields.iter().map(|field| table(&format!("f-{}", field.name().replace(' ', "-")), field)).collect();
        let ruleset: Ruleset = tables.iter().cloned().collect();
        assert_eq!(ruleset.validate(), Ok(()));
        let mut kernel = Kernel::open().expect("a socket");
        kernel.commit(&Transaction::add(ruleset)).expect("every field is taken");
        let ours = kernel.snapshot().expect("a snapshot");
        let listing = Listing::new(&ours).interfaces(interfaces().expect("a netlink socket")).to_string();
        support::assert_same(&nft("list ruleset"), &listing, "every field");
        for (table, field) in tables.iter().zip(&fields) {
            let id = table.into();
            let read: Vec<Rule> = ours.table(&id).expect("it was added").rules("c").map(|(_, rule)| rule).collect();
            assert_eq!(read, [rule(field)], "{field:?}");
        }
        nft("flush ruleset");
        support::nft_script(&tables.iter().map(Table::to_string).collect::<String>());
        let theirs = kernel.snapshot().expect("a snapshot");
        for (ours, theirs) in ours.tables.iter().zip(&theirs.tables) {
            let program = |table: &TableState| -> Vec<Expr> {
                let exprs = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| rule.exprs.clone());
                // How a set was declared is noted beside it.
                exprs.filter(|expr| !matches!(expr, Expr::Lookup { .. })).collect()
            };
            assert_eq!(program(ours), program(theirs), "{}", ours.id);
        }
    });
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
    /// Reads the tables of this namespace, copies them, and compares. `what` describes a table.
    #[track_caller]
    fn see(&mut self, what: impl Fn(&str) -> String) {
        let mut kernel = Kernel::open().expect("a socket");
        let snapshot = kernel.snapshot().expect("a snapshot");
        let ours = timeless(&Listing::new(&snapshot).interfaces(interfaces().expect("a netlink socket")).to_string());
        let theirs = timeless(&nft("list ruleset"));
        let copies: Ruleset = snapshot.raise().ruleset.tables.into_iter().map(copy).collect();
        kernel.commit(&Transaction::add(copies)).unwrap_or_else(|error| panic!("{error}\nof\n{theirs}"));
        let all = timeless(&nft("list ruleset"));
        nft("flush ruleset");
        let (ours, all) = (tables(&ours), tables(&all));
        for (name, theirs) in tables(&theirs) {
            let copy = all.get(&format!("{name}-copy")).map(String::as_str).unwrap_or_default();
            let ours = ours.get(&name).map(String::as_str).unwrap_or_default();
            let family = name.split(' ').next().unwrap_or_default().to_owned();
            let kind = if copy.replacen("-copy {", " {", 1) != theirs {
                self.wrong.push(format!("{}: its copy is another\n{theirs}{copy}", what(&name)));
                continue;
            } else if ours == theirs {
                &mut self.exact
            } else if ours.contains("<unknown ") {
                note(&what(&name), &theirs, ours);
                &mut self.opaque
            } else {
                self.wrong.push(format!("{}: it is listed as\n{ours}and not as\n{theirs}", what(&name)));
                note(&what(&name), &theirs, ours);
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
        let Count { exact, opaque, wrong, refused } = self;
        let families: Vec<&String> =
            exact.keys().chain(opaque.keys()).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        for family in families {
            let (exact, opaque) = (self.exact(family), opaque.get(family).copied().unwrap_or_default());
            writeln!(f, "{family:>7}: {exact} exact, {opaque} opaque and restorable")?;
        }
        let (exact, opaque): (usize, usize) = (exact.values().sum(), opaque.values().sum());
        let (wrong, all) = (wrong.len(), exact + opaque + wrong.len());
        write!(f, "    all: {exact} exact of {all}, {opaque} opaque and restorable, {wrong} WRONG; ")?;
        write!(f, "{refused} not taken by nft")
    }
}

/// Appends what is not exact to the file named by `NFTMESH_LANGUAGE_OUT`.
fn note(what: &str, theirs: &str, ours: &str) {
    let Ok(path) = std::env::var("NFTMESH_LANGUAGE_OUT") else { return };
    let mut text = format!("## {what}\n");
    let mut left: Vec<&str> = theirs.lines().collect();
    let mut added = Vec::new();
    for line in ours.lines() {
        match left.iter().position(|other| *other == line) {
            Some(at) => drop(left.remove(at)),
            None => added.push(line),
        }
    }
    text.extend(left.iter().map(|line| format!("-{line}\n")));
    text.extend(added.iter().map(|line| format!("+{line}\n")));
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    std::io::Write::write_all(&mut file.expect("a file that can be written"), text.as_bytes()).expect("writable");
}

/// Returns the tables of a listing by family and name.
fn tables(listing: &str) -> BTreeMap<String, String> {
    let mut tables: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in listing.lines() {
        if let Some(header) = line.strip_prefix("table ") {
            name = header.split(" {").next().unwrap_or_default().to_owned();
        }
        let text = tables.entry(name.clone()).or_default();
        text.push_str(line);
        text.push('\n');
    }
    tables
}

fn copy(mut table: Table) -> Table {
    table.name = format!("{}-copy", table.name).into();
    table
}
