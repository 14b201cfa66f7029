//! The rules that `istio-iptables` left in each of the twelve cases, from `tests/golden/istio-iptables.rules`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The rules of a case and family as `iptables-save` would print them; only the built-in chains where there are none.
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
        // A chain may be there only to be jumped to.
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

/// With a rule that the reference lacks, before those for established connections: a SYN without ACK, RST and FIN is a new one.
pub(crate) fn mended(text: &str) -> String {
    let known = "-m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT";
    let begins = "-m tcp --tcp-flags FIN,SYN,RST,ACK SYN -g ISTIO_TPROXY";
    let mend = |line: &str| match line.contains(known) {
        true => format!("{}\n{line}\n", line.replace(known, begins)),
        false => format!("{line}\n"),
    };
    text.lines().map(mend).collect()
}

/// The lines of a section, `table chain rule`.
pub(crate) fn section<'a>(file: &'a str, case: &str, family: &str) -> impl Iterator<Item = &'a str> {
    let title = format!("[{case} {family}]");
    file.lines().skip_while(move |line| *line != title).skip(1).take_while(|line| !line.is_empty())
}

/// The whole file.
#[track_caller]
pub(crate) fn file() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/istio-iptables.rules");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
