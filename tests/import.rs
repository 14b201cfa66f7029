//! iptables-save texts as rule sets: compared with what iptables loads and prints again, with
//! iptables-translate and with the kernel; and every refusal with its position.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::Write as _;

use nftmesh::bytecode::{Expr, lower};
use nftmesh::import::{Imported, Unknown, iptables_save};
use nftmesh::kernel::Kernel;
use nftmesh::model::{
    Family, Field, IpFamily, Match, Op, Operand, Protocol, Reject, Rule, Ruleset, Selector, Statement, Value, Verdict,
};
use nftmesh::plan::Transaction;
use nftmesh::state::Snapshot;
use support::{in_fresh_netns, shared_dir, succeed};

const V4: IpFamily = IpFamily::Ipv4;
const V6: IpFamily = IpFamily::Ipv6;

/// Rules for IPv4 and their tables; `@` is a chain of the table that they may call.
const RULES4: &[(&str, &str)] = &[
    ("filter", include_str!("import/filter-4.rules")),
    ("mangle", include_str!("import/mangle-4.rules")),
    ("nat", include_str!("import/nat-4.rules")),
    ("raw", include_str!("import/raw-4.rules")),
    ("security", "-A INPUT -p tcp -j ACCEPT\n-A FORWARD -j RETURN\n-A OUTPUT -d 10.0.0.0/8 -j DROP\n"),
];

/// The same for IPv6.
const RULES6: &[(&str, &str)] = &[
    ("filter", include_str!("import/filter-6.rules")),
    ("mangle", include_str!("import/mangle-6.rules")),
    ("nat", include_str!("import/nat-6.rules")),
    ("raw", include_str!("import/raw-6.rules")),
];

/// Options that iptables does not print as they were written, so that the rules differ.
const NORMALISED: &[(&str, &str)] = &[("--dport 0:65535", "it leaves out a range of all ports")];

fn rules(family: IpFamily) -> &'static [(&'static str, &'static str)] {
    match family {
        IpFamily::Ipv4 => RULES4,
        IpFamily::Ipv6 => RULES6,
    }
}

fn lines(rules: &str) -> impl Iterator<Item = &str> {
    rules.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Writes a text with these rules, and chain `CALLED` in each table.
fn text(rules: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (table, rules) in rules {
        let hooks = match *table {
            "filter" | "security" => &["INPUT", "FORWARD", "OUTPUT"][..],
            "nat" => &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
            "raw" => &["PREROUTING", "OUTPUT"],
            _ => &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
        };
        writeln!(text, "*{table}\n:CALLED - [0:0]").expect("a string takes everything");
        hooks.iter().for_each(|hook| writeln!(text, ":{hook} ACCEPT [0:0]").expect("a string takes everything"));
        lines(rules).for_each(|line| writeln!(text, "{line}").expect("a string takes everything"));
        text.push_str("COMMIT\n");
    }
    text
}

#[track_caller]
fn import(text: &str, family: IpFamily) -> Imported {
    iptables_save(text, family, Unknown::Refuse).unwrap_or_else(|error| {
        panic!("{error}\n{}", text.lines().nth(error.line - 1).unwrap_or_default());
    })
}

/// Returns the rules of each chain that has any, without counters.
fn by_chain(ruleset: &Ruleset) -> BTreeMap<String, Vec<Rule>> {
    let mut all = BTreeMap::new();
    for table in &ruleset.tables {
        for chain in table.chains.iter().filter(|chain| !chain.rules.is_empty()) {
            let rules = chain.rules.iter().map(|rule| {
                let mut rule = rule.clone();
                rule.statements.retain(|statement| !matches!(statement, Statement::Counter { .. }));
                rule
            });
            all.insert(format!("{} {}", table.name, chain.name), rules.collect());
        }
    }
    all
}

#[test]
fn the_test_rules_are_in_the_form_that_iptables_prints() {
    // owner_check, net/netfilter/xt_owner.c: only users that the namespace has.
    if !support::needs_root() {
        return;
    }
    for (family, restore, save) in [
        (V4, "iptables-nft-restore", "iptables-nft-save"),
        (V4, "iptables-legacy-restore", "iptables-legacy-save"),
        (V6, "ip6tables-nft-restore", "ip6tables-nft-save"),
        (V6, "ip6tables-legacy-restore", "ip6tables-legacy-save"),
    ] {
        let mut all = rules(family).to_vec();
        if restore.contains("legacy") && !legacy_works(restore) {
            continue;
        }
        let normalised = |line: &&str| !NORMALISED.iter().any(|(option, _)| line.contains(option));
        let kept: Vec<_> = all
            .iter()
            .map(|(table, rules)| (*table, lines(rules).filter(normalised).collect::<Vec<_>>().join("\n")))
            .collect();
        all = kept.iter().map(|(table, rules)| (*table, rules.as_str())).collect();
        let written = text(&all);
        in_fresh_netns(|| {
            succeed(restore, "", &written);
            let saved = succeed(save, "-c", "");
            let (ours, theirs) = (import(&written, family), import(&saved, family));
            let (ours, theirs) = (by_chain(&ours.ruleset), by_chain(&theirs.ruleset));
            for (chain, rules) in &ours {
                let read = theirs.get(chain).unwrap_or_else(|| panic!("{save}: no chain {chain}\n{saved}"));
                let differ = rules.iter().zip(read).filter(|(rule, read)| rule != read);
                let differ: Vec<_> = differ.map(|(rule, read)| format!("written {rule}\nread    {read}")).collect();
                assert!(differ.is_empty(), "{save}: {chain}\n{}\n{saved}", differ.join("\n"));
                assert_eq!(rules.len(), read.len(), "{save}: {chain}\n{saved}");
            }
            assert_eq!(ours.len(), theirs.len(), "{saved}");
        });
    }
    let count: usize = [RULES4, RULES6].concat().iter().map(|(_, rules)| lines(rules).count()).sum();
    assert!(count >= 150, "{count} rules");
}

/// The kernel may be built without the older tables.
fn legacy_works(restore: &str) -> bool {
    let mut works = false;
    in_fresh_netns(|| {
        let program = support::command(restore).arg("--test").stdin(std::process::Stdio::null()).output();
        let tables = ["filter", "mangle", "nat", "raw", "security"];
        let list = |table: &str| {
            support::command(&restore.replace("-restore", ""))
                .args(["-t", table, "-S"])
                .output()
                .expect("it is installed")
        };
        works = program.is_ok_and(|output| output.status.success())
            && tables.iter().all(|table| list(table).status.success());
    });
    if !works {
        // Not every kernel has them any more, so this is never a failure.
        let line = format!("SKIP: {restore}: this kernel or this user has no older tables\n");
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
    works
}

#[test]
fn imported_rules_are_valid_and_read_back_from_the_kernel() {
    // owner_check, net/netfilter/xt_owner.c: only users that the namespace has.
    if !support::needs_root() {
        return;
    }
    for family in [V4, V6] {
        let mut ruleset = import(&text(rules(family)), family).ruleset;
        ruleset.validate().unwrap_or_else(|invalid| panic!("{invalid}\n{ruleset}"));
        // Many kernels are built without CONFIG_NFT_QUEUE.
        let is_queue = |statement: &Statement| matches!(statement, Statement::Queue(_));
        for chain in ruleset.tables.iter_mut().flat_map(|table| &mut table.chains) {
            chain.rules.retain(|rule| !rule.statements.iter().any(is_queue));
        }
        in_fresh_netns(|| {
            let mut kernel = Kernel::open().expect("a netlink socket");
            let transaction = Transaction::add(ruleset.clone());
            kernel.commit(&transaction).unwrap_or_else(|error| panic!("{error}\n{ruleset}"));
            support::readback::assert_reads_back(&ruleset, &kernel.snapshot().expect("a snapshot"));
        });
    }
}

/// Returns the xtables matches of each rule that has any, by chain.
fn blobs<'a>(programs: impl IntoIterator<Item = &'a [Expr]>) -> Vec<(String, Vec<u8>)> {
    let exprs = programs.into_iter().flatten();
    exprs
        .filter_map(|expr| match expr {
            Expr::Opaque { name, data, .. } => Some((name.to_string(), data.to_vec())),
            _ => None,
        })
        .collect()
}

fn held(snapshot: &Snapshot) -> Vec<(String, Vec<u8>)> {
    let chains = snapshot.tables.iter().flat_map(|table| &table.chains);
    blobs(chains.flat_map(|chain| &chain.rules).map(|rule| rule.exprs.as_slice()))
}

#[test]
fn owner_matches_without_an_nft_form_equal_those_of_iptables_nft() {
    // owner_check, net/netfilter/xt_owner.c: only users that the namespace has.
    if !support::needs_root() {
        return;
    }
    let options = [
        "! --uid-owner 1337",
        "! --uid-owner 0",
        "! --gid-owner 1337",
        "! --uid-owner 100-4294967294",
        "! --gid-owner 7-9 ! --uid-owner 3",
        "! --socket-exists",
        "--gid-owner 5 --suppl-groups",
        "! --gid-owner 5-6 --suppl-groups",
        "--uid-owner 4 --gid-owner 5 --suppl-groups",
        "--uid-owner 4 ! --socket-exists",
        "! --uid-owner 4 --socket-exists",
        "! --uid-owner 4 ! --gid-owner 5 ! --socket-exists",
    ];
    let mut written = "*mangle\n:OUTPUT ACCEPT\n".to_owned();
    options.iter().for_each(|options| writeln!(written, "-A OUTPUT -m owner {options}").expect("a string"));
    written.push_str("COMMIT\n");
    for (family, restore) in [(V4, "iptables-nft-restore"), (V6, "ip6tables-nft-restore")] {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        let ruleset = import(&written, family).ruleset;
        in_fresh_netns(|| {
            succeed(restore, "", &written);
            theirs = held(&Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot"));
        });
        in_fresh_netns(|| {
            let mut kernel = Kernel::open().expect("a netlink socket");
            kernel.commit(&Transaction::add(ruleset.clone())).unwrap_or_else(|error| panic!("{error}"));
            ours = held(&kernel.snapshot().expect("a snapshot"));
        });
        assert_eq!(theirs, ours);
        let table = ruleset.tables.first().expect("there is one");
        let lowered = table.chains.iter().flat_map(|chain| &chain.rules).map(|rule| {
            let program = lower(rule, table.family, table.sets.as_slice()).expect("it was committed");
            program.exprs
        });
        let programs: Vec<Vec<Expr>> = lowered.collect();
        let sent = blobs(programs.iter().map(Vec::as_slice));
        assert_eq!(theirs, sent);
        assert_eq!(sent.len(), options.len());
    }
}

#[test]
fn owner_matches_with_an_nft_form_are_imported_as_nft() {
    let cases = [
        ("--uid-owner 1", "meta skuid 1"),
        ("--uid-owner 1-5 --gid-owner 7", "meta skuid 1-5 meta skgid 7"),
        ("--socket-exists", "meta skuid >= 0"),
        ("--socket-exists --gid-owner 3", "meta skgid 3"),
        ("--uid-owner 1 ! --gid-owner 7-9", "meta skuid 1 meta skgid != 7-9"),
        ("! --uid-owner 1 --gid-owner 7", "meta skuid != 1 meta skgid 7"),
    ];
    for (options, expected) in cases {
        assert_eq!(
            one(&format!("-A OUTPUT -m owner {options} -j ACCEPT")),
            [format!("{expected} accept")],
            "{options}"
        );
    }
}

/// Imports one line into table mangle and returns its rules.
#[track_caller]
fn one(line: &str) -> Vec<String> {
    let imported = import(&format!("*mangle\n:CALLED -\n{line}\nCOMMIT\n"), V4);
    by_chain(&imported.ruleset).into_values().flatten().map(|rule| rule.to_string()).collect()
}

#[test]
fn lines_are_imported_with_the_meaning_of_xtables() {
    let cases: &[(&str, &[&str])] = &[
        // Without a listener nft's tproxy lets the packet pass.
        (
            "-A PREROUTING -i lo -p tcp -j TPROXY --on-port 15006 --on-ip 0.0.0.0 --tproxy-mark 0x1/0xff",
            &[
                r#"iifname "lo" meta l4proto tcp tproxy to :15006 meta mark set meta mark & 0xffffff01 | 0x00000001 accept"#,
                r#"iifname "lo" meta l4proto tcp drop"#,
            ],
        ),
        (
            "-A PREROUTING -p udp -j TPROXY --on-port 0 --on-ip 127.0.0.1",
            &["meta l4proto udp tproxy ip to 127.0.0.1 accept", "meta l4proto udp drop"],
        ),
        (
            "-A INPUT -p tcp -m multiport --ports 1,5:7 -j CALLED",
            &["tcp sport { 1, 5-7 } jump CALLED", "tcp sport != { 1, 5-7 } tcp dport { 1, 5-7 } jump CALLED"],
        ),
        (
            "-A INPUT -p tcp -m multiport ! --ports 1,2 -g CALLED",
            &["tcp sport != { 1, 2 } tcp dport != { 1, 2 } goto CALLED"],
        ),
        (
            "-A INPUT -s 10.0.0.1,10.0.0.0/8 -d 1.1.1.1,2.2.2.2 -j DROP",
            &[
                "ip saddr 10.0.0.1 ip daddr 1.1.1.1 drop",
                "ip saddr 10.0.0.1 ip daddr 2.2.2.2 drop",
                "ip saddr 10.0.0.0/8 ip daddr 1.1.1.1 drop",
                "ip saddr 10.0.0.0/8 ip daddr 2.2.2.2 drop",
            ],
        ),
        ("-A INPUT -s 0.0.0.0/0 -i + -p all -j DROP", &["drop"]),
    ];
    for (line, expected) in cases {
        assert_eq!(one(line), *expected, "{line}");
    }
}

#[test]
fn counters_and_remarks_are_not_lost() {
    let text = "# Generated by iptables-save\n# Warning: tables are missing\n*filter\n:INPUT DROP [7:70]\n:X - [1:2]\n\
                [3:30] -A INPUT -j X\n-A INPUT -c 4 40 -p tcp\n-A INPUT\n[5:50] -A X -s 1.1.1.1,2.2.2.2 -j DROP\n\
                [6:60] -A X -p udp -m multiport --ports 1,2 -j DROP\nCOMMIT\n# Completed on a day\n";
    let imported = import(text, V4);
    let counters: Vec<_> =
        imported.counters.iter().map(|of| format!("{} {} {} {}", of.table, of.chain, of.packets, of.bytes)).collect();
    assert_eq!(counters, ["filter INPUT 7 70", "filter X 1 2"]);
    let remarks: Vec<_> = imported.remarks.iter().map(|remark| (remark.line, remark.text.as_str())).collect();
    assert_eq!(remarks, [(2, "Warning: tables are missing")]);
    let rules: Vec<_> = imported
        .ruleset
        .tables
        .iter()
        .flat_map(|table| &table.chains)
        .flat_map(|chain| &chain.rules)
        .map(Rule::to_string)
        .collect();
    assert_eq!(
        rules,
        [
            "counter packets 3 bytes 30 jump X",
            "meta l4proto tcp counter packets 4 bytes 40",
            "counter packets 0 bytes 0",
            "ip saddr 1.1.1.1 counter packets 5 bytes 50 drop",
            "ip saddr 2.2.2.2 counter packets 5 bytes 50 drop",
            "udp sport { 1, 2 } counter packets 6 bytes 60 drop",
            "udp sport != { 1, 2 } udp dport { 1, 2 } counter packets 0 bytes 0 drop",
        ]
    );
}

#[test]
fn comments_of_iptables_about_omissions_are_warnings() {
    in_fresh_netns(|| {
        support::nft_script("table ip nat { chain odd { type nat hook output priority -7; ip ttl 5 accept; }; }");
        let saved = succeed("iptables-nft-save", "", "");
        let remarks = import(&saved, V4).remarks;
        assert!(matches!(remarks.as_slice(), [one] if one.is_warning()), "{remarks:?}\n{saved}");
    });
    // The second is what iptables prints about legacy tables, on standard error.
    let cases = [
        ("Table `nat' is incompatible, use 'nft' tool.", true),
        ("Warning: iptables-legacy tables present, use iptables-legacy-save to see them", true),
        ("Table of the web servers", false),
        ("ssh is open", false),
    ];
    for (text, warns) in cases {
        let found = import(&format!("# {text}\n"), V4).remarks;
        assert_eq!(found.iter().map(|remark| remark.is_warning()).collect::<Vec<_>>(), [warns], "{text}");
    }
}

#[test]
fn rules_are_inserted_where_iptables_inserts_them() {
    let written = "*filter\n:INPUT ACCEPT\n-A INPUT -s 1.0.0.1\n-A INPUT -s 1.0.0.2\n-I INPUT -s 1.0.0.3\n\
                   -I INPUT 2 -s 1.0.0.4,1.0.0.5\n-I INPUT 6 -s 1.0.0.6\n--insert INPUT 1 -s 1.0.0.7\nCOMMIT\n";
    let ours = by_chain(&import(written, V4).ruleset);
    in_fresh_netns(|| {
        succeed("iptables-nft-restore", "", written);
        let saved = succeed("iptables-nft-save", "", "");
        assert_eq!(ours, by_chain(&import(&saved, V4).ruleset), "{saved}");
    });
}

#[test]
fn the_recorded_cases_are_imported_completely() {
    let Some(dir) = shared_dir() else { return };
    let mut cases = 0;
    for entry in fs::read_dir(dir.join("cases")).expect("the recordings have cases") {
        let path = entry.expect("readable").path();
        for (family, name) in [(V4, "iptables-nft.save"), (V6, "ip6tables-nft.save")] {
            let text = fs::read_to_string(path.join(name)).expect("a recording is text");
            let imported = import(&text, family);
            let ruleset = &imported.ruleset;
            ruleset.validate().unwrap_or_else(|invalid| panic!("{}: {invalid}", path.display()));
            let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
            let tproxy = text.lines().filter(|line| line.contains("-j TPROXY")).count();
            let chains = || ruleset.tables.iter().flat_map(|table| &table.chains);
            let rules = chains().map(|chain| chain.rules.len()).sum::<usize>();
            let (tables, chains) = (ruleset.tables.len(), chains().count());
            let found = (tables, chains, rules, imported.counters.len());
            let expected = (lines("*"), lines(":"), lines("-A") + tproxy, lines(":"));
            assert_eq!(found, expected, "{}/{name}\n{ruleset}", path.display());
            assert_eq!(imported.remarks, [], "{}", path.display());
        }
        cases += 1;
    }
    assert_eq!(cases, 12);
}

/// Normalises a rule to protocol and sorted statements, however the protocol is matched, without
/// counters.
fn normal(rule: &Rule) -> (Option<Protocol>, Vec<String>) {
    let mut protocol = None;
    let mut statements = Vec::new();
    for statement in &rule.statements {
        if let Statement::Match(Match { selector: Selector::Field(field), op, operand }) = statement {
            if let (Field::L4proto | Field::IpProtocol, Op::Eq, Operand::Value(Value::Protocol(printed))) =
                (field, op, operand)
            {
                protocol = Some(*printed);
                continue;
            }
            let header = field.name().split_once(' ').map(|(header, _)| header.to_owned());
            let implied = header.and_then(|header| {
                (0..=u8::MAX)
                    .map(Protocol)
                    .find(|protocol| protocol.name() == Some(header.replace("icmpv6", "ipv6-icmp").as_str()))
            });
            protocol = protocol.or(implied);
        }
        match statement {
            Statement::Counter { .. } => {}
            Statement::Reject(Some(Reject::Icmp(3) | Reject::Icmpv6(4))) => statements.push("reject".to_owned()),
            Statement::Verdict(Verdict::Continue) => {}
            other => statements.push(other.to_string().replace("ip protocol", "meta l4proto")),
        }
    }
    statements.sort();
    (protocol, statements)
}

/// Options for which iptables-translate differs, and why.
const TRANSLATED_OTHERWISE: &[(&str, &str)] = &[
    ("--src-type UNICAST ! --dst-type LOCAL", "it loses the second type"),
    ("--limit-iface-", "it loses the interface"),
    ("-m owner ! --", "nft's match leaves out packets without a socket"),
    ("-p tcp -m tcp -j ACCEPT", "it loses the protocol"),
    ("! --icmp-type any", "it loses that it is negated"),
    ("! --sport 53:54 --dport 1", "it negates the second port with the first"),
    ("--ctstate SNAT,DNAT", "it loses the second state"),
    ("CONNMARK --set-xmark 0x1/0xff", "it flips the bits first and then clears them"),
    ("--ports", "it writes one lookup of both ports, of ranges only the ends"),
    ("[fd00::1-fd00::9]:", "nft cannot read what it writes"),
    ("-j CT --zone", "nft tracks what an earlier rule excluded, if it has a zone"),
    ("-j NFQUEUE", "many kernels are built without CONFIG_NFT_QUEUE"),
];

#[test]
fn imported_rules_agree_with_iptables_translate() {
    let (mut compared, mut different) = (0, Vec::new());
    for (family, program) in [(V4, "iptables-restore-translate"), (V6, "ip6tables-restore-translate")] {
        for (table, rules) in rules(family) {
            for line in lines(rules) {
                if NORMALISED.iter().chain(TRANSLATED_OTHERWISE).any(|(option, _)| line.contains(option)) {
                    continue;
                }
                let written = text(&[(*table, line)]);
                let ours = by_chain(&import(&written, family).ruleset);
                in_fresh_netns(|| {
                    let file = tempfile::NamedTempFile::new().expect("a temporary file");
                    fs::write(file.path(), &written).expect("a temporary file takes text");
                    let printed = succeed(program, &format!("-f {}", file.path().display()), "");
                    if printed.lines().any(|line| line.starts_with("# -t")) {
                        return;
                    }
                    support::nft_script(&printed);
                    let theirs = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
                    let theirs = by_chain(&theirs.raise().ruleset);
                    let both =
                        |all: &BTreeMap<String, Vec<Rule>>| -> Vec<_> { all.values().flatten().map(normal).collect() };
                    if both(&ours) != both(&theirs) {
                        let theirs = printed.lines().filter(|line| line.starts_with("add rule")).collect::<Vec<_>>();
                        let (ours, theirs) = (ours.values().flatten(), theirs.join("\n  "));
                        let ours = ours.map(Rule::to_string).collect::<Vec<_>>().join("\n  ");
                        different.push(format!("{line}\n  {ours}\n  {theirs}"));
                    }
                    compared += 1;
                });
            }
        }
    }
    assert!(different.is_empty(), "ours and theirs of\n{}", different.join("\n"));
    eprintln!("{compared} rules compared with iptables-translate");
    assert!(support::sys::entered().is_err() || compared > 80, "{compared} rules compared");
}

#[test]
fn every_fault_has_a_position_and_a_remedy() {
    let in_mangle = include_str!("import/faults.rules").lines();
    let in_mangle = in_mangle.map(|line| (V4, line, format!("*mangle\n:CALLED -\n{line}\nCOMMIT\n")));
    let whole = include_str!("import/fault-texts.txt").lines().map(|line| {
        let (family, text) = line.strip_prefix("6 ").map_or((V4, line), |text| (V6, text));
        (family, line, text.replace('|', "\n"))
    });
    let mut found = String::new();
    for (family, line, text) in in_mangle.chain(whole) {
        match iptables_save(&text, family, Unknown::Refuse) {
            Ok(imported) => panic!("{line} is imported as\n{}", imported.ruleset),
            Err(error) => writeln!(found, "{line}\n    {}", nftmesh::Error::from(error)).expect("a string"),
        }
    }
    support::golden("import-faults.txt", &found);
}

#[test]
fn unknown_extensions_are_kept_when_asked() {
    let cases = [
        ("-A INPUT -m set --match-set x src,dst -j ACCEPT", r#"xt match "set" accept"#),
        (
            "-A INPUT -p tcp ! --tcp-option 5 -m string --string \"-j\" --algo bm -j DROP",
            r#"meta l4proto tcp xt match "tcp" xt match "string" drop"#,
        ),
        ("-A INPUT -p tcp --dport 80 -j TCPOPTSTRIP --strip-options 5", r#"tcp dport 80 xt target "TCPOPTSTRIP""#),
        ("-A OUTPUT -m owner --uid-owner 5 --foo 6 -j DROP", r#"xt match "owner" drop"#),
    ];
    for (line, expected) in cases {
        let text = format!("*mangle\n{line}\nCOMMIT\n");
        let refused = iptables_save(&text, V4, Unknown::Refuse);
        assert!(refused.is_err(), "{line}");
        let kept = iptables_save(&text, V4, Unknown::KeepOpaque).unwrap_or_else(|error| panic!("{line}: {error}"));
        let rules: Vec<_> = by_chain(&kept.ruleset).into_values().flatten().map(|rule| rule.to_string()).collect();
        assert_eq!(rules, [expected], "{line}");
        let other = iptables_save(&text.replace("-j", "--more 1 -j"), V4, Unknown::KeepOpaque);
        if !line.contains("\"-j\"") {
            assert_ne!(Ok(kept.ruleset.clone()), other.map(|other| other.ruleset), "other options: {line}");
        }
        in_fresh_netns(|| {
            let error = Kernel::open().and_then(|mut kernel| kernel.commit(&Transaction::add(kept.ruleset.clone())));
            let error = error.expect_err("nobody knows what it does").to_string();
            assert!(error.contains("its contents are not known here, so it cannot be sent"), "{error}");
        });
    }
}

#[test]
fn a_hundred_thousand_lines_become_a_hundred_thousand_rules() {
    let count = 100_000;
    let mut text = "*filter\n:INPUT ACCEPT [0:0]\n:CALLED - [0:0]\n".to_owned();
    for index in 0..count {
        let (a, b) = (index / 250 % 250, index % 250);
        let line = "-m comment --comment \"rule of many\" -j CALLED";
        writeln!(text, "[1:60] -A INPUT -s 10.1.{a}.{b}/32 -i eth+ -p tcp -m tcp --dport 80:90 {line}")
            .expect("a string");
    }
    text.push_str("COMMIT\n");
    let imported = import(&text, V4);
    let chains = imported.ruleset.tables.iter().flat_map(|table| &table.chains);
    assert_eq!(chains.map(|chain| chain.rules.len()).sum::<usize>(), count);
}

#[test]
fn each_family_is_imported_into_its_own_tables() {
    for (family, expected) in [(V4, Family::Ip), (V6, Family::Ip6)] {
        let ruleset = import("*raw\nCOMMIT\n*nat\n:OUTPUT ACCEPT\nCOMMIT\n", family).ruleset;
        let tables: Vec<_> = ruleset.tables.iter().map(|table| (table.family, table.name.as_str())).collect();
        assert_eq!(tables, [(expected, "raw"), (expected, "nat")]);
    }
}
