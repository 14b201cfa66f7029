//! The rules that `istio-iptables` left in each of the twelve cases, from
//! `tests/golden/istio-iptables.rules`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use nftmesh::import::{Unknown, iptables_save};
use nftmesh::model::{Base, ChainKind, Hook, IpFamily, Priority, Ruleset};

/// Returns the rules of a case and family as `iptables-save` would print them; only the built-in
/// chains where there are none.
#[track_caller]
pub(crate) fn as_save(case: &str, family: &str) -> String {
    let mut tables: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let file = file();
    for line in section(&file, case, family) {
        let (table, rule) = line.split_once(' ').expect("a line is a table, a chain and a rule");
        tables.entry(table).or_default().push(rule);
    }
    let mut text = String::new();
    for (table, rules) in tables {
        let own = rules.iter().filter_map(|rule| rule.split(' ').next());
        // A chain may exist only to be jumped to.
        let jumped_to = rules.iter().flat_map(|rule| rule.split_once("-j ")).filter_map(|(_, to)| to.split(' ').next());
        let mut chains: Vec<&str> = own.chain(jumped_to.filter(|name| name.starts_with("ISTIO_"))).collect();
        chains.sort_unstable();
        chains.dedup();
        writeln!(text, "*{table}").expect("a string takes any text");
        for chain in chains {
            let policy = if chain.starts_with("ISTIO_") { "-" } else { "ACCEPT" };
            writeln!(text, ":{chain} {policy} [0:0]").expect("a string takes any text");
        }
        rules.iter().for_each(|rule| writeln!(text, "-A {rule}").expect("a string takes any text"));
        text.push_str("COMMIT\n");
    }
    text
}

/// Adds a rule that the reference lacks, before those for established connections: a SYN without
/// ACK, RST and FIN is a new connection.
pub(crate) fn mended(text: &str) -> String {
    let known = "-m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT";
    let begins = "-m tcp --tcp-flags FIN,SYN,RST,ACK SYN -g ISTIO_TPROXY";
    let mend = |line: &str| match line.contains(known) {
        true => format!("{}\n{line}\n", line.replace(known, begins)),
        false => format!("{line}\n"),
    };
    text.lines().map(mend).collect()
}

/// Returns what the reference lacks besides: the rules of its nat table once more, before NAT, for
/// a SYN that NAT does not see, with refusals in place of redirects. iptables accepts REJECT only
/// in the table filter, so the chains are moved afterwards.
#[track_caller]
pub(crate) fn refusals(text: &str, family: IpFamily) -> Ruleset {
    let syn = "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN";
    let refuse = "-j REJECT --reject-with tcp-reset";
    let mut rules = vec![
        format!("-A INPUT ! -i lo {syn} -j PREROUTING_SYN"),
        format!("-A OUTPUT {syn} -j OUTPUT_SYN"),
        format!("-A REFUSE -p tcp -m conntrack --ctstate INVALID {refuse}"),
        "-A REFUSE -m conntrack --ctstate DNAT -j RETURN".to_owned(),
        format!("-A REFUSE -p tcp -m conntrack --ctstatus CONFIRMED {refuse}"),
    ];
    let nat = text.lines().skip_while(|line| *line != "*nat").take_while(|line| *line != "COMMIT");
    for line in nat.filter(|line| line.starts_with("-A ")) {
        let words = line.split(' ').map(|word| match word {
            "PREROUTING" | "OUTPUT" => format!("{word}_SYN"),
            chain if chain.starts_with("ISTIO_") => format!("{chain}_SYN"),
            word => word.to_owned(),
        });
        let line = words.collect::<Vec<_>>().join(" ");
        // Options of the target follow it.
        rules.push(line.split_once("-j REDIRECT ").map_or(line.clone(), |(before, _)| format!("{before}-g REFUSE")));
    }
    let mut chains: Vec<&str> = vec!["PREROUTING_SYN", "OUTPUT_SYN", "REFUSE"];
    let places = rules.iter().flat_map(|rule| rule.split(' ').filter(|word| word.starts_with("ISTIO_")));
    chains.extend(places);
    chains.sort_unstable();
    chains.dedup();
    let mut save = String::from("*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n");
    chains.iter().for_each(|chain| writeln!(save, ":{chain} - [0:0]").expect("a string takes any text"));
    rules.iter().for_each(|rule| writeln!(save, "{rule}").expect("a string takes any text"));
    save.push_str("COMMIT\n");

    let mut ruleset =
        iptables_save(&save, family, Unknown::Refuse).unwrap_or_else(|error| panic!("{error}\n{save}")).ruleset;
    for table in &mut ruleset.tables {
        table.name = "mended".into();
        for chain in &mut table.chains {
            let ChainKind::Base(Base { hook, priority, .. }) = &mut chain.kind else { continue };
            *priority = Priority(-101);
            if *hook == Hook::Input {
                *hook = Hook::Prerouting;
            }
        }
    }
    ruleset
}

/// Returns the lines of a section, `table chain rule`.
pub(crate) fn section<'a>(file: &'a str, case: &str, family: &str) -> impl Iterator<Item = &'a str> {
    let title = format!("[{case} {family}]");
    file.lines().skip_while(move |line| *line != title).skip(1).take_while(|line| !line.is_empty())
}

/// Reads the whole file.
#[track_caller]
pub(crate) fn file() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/istio-iptables.rules");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
