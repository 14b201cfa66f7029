//! Comparisons over all packets: the rule sets of the twelve cases, equivalent rule sets written
//! differently, and large ones.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

#[path = "support/sidecar.rs"]
mod sidecar;
mod support;

use std::io::Read;
use std::process::{Child, Stdio};

use ipnetwork::{IpNetwork, Ipv4Network};
use nftmesh::mesh::istio::{IstioConfig, ServiceCidrs};
use nftmesh::model::{
    Chain, ChainType, DataType, Element, Family, Hook, Priority, Protocol, Rule, Ruleset, Set, Table, set,
};
use nftmesh::sim::{Comparison, Rules, compare};
use rustix::pty::OpenptFlags;
use sidecar::CASES;

fn rules(ruleset: &Ruleset) -> Rules {
    Rules::try_from(ruleset).expect("a rule set with programs")
}

#[track_caller]
fn assert_equivalent(name: &str, a: &Rules, b: &Rules) {
    let compared = compare(a, b);
    assert!(matches!(compared, Comparison::Equivalent { .. }), "{name}: {compared:?}");
}

#[track_caller]
fn assert_differ(name: &str, a: &Rules, b: &Rules, shown: &str) {
    match compare(a, b) {
        Comparison::Differs(example) => assert!(example.to_string().contains(shown), "{example}\nlacks {shown}"),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_case_is_equivalent_to_itself_and_to_no_other() {
    let of = |options| rules(&Ruleset::from(&sidecar::config(options, "nameserver 10.96.0.10")));
    let all: Vec<_> = CASES.iter().map(|case| (case.name, of(case.options))).collect();
    for (name, a) in &all {
        for (other, b) in &all {
            let both = format!("{name} and {other}");
            if name == other { assert_equivalent(&both, a, b) } else { assert_differ(&both, a, b, "at ") }
        }
    }
}

fn nets(count: u32) -> Vec<Ipv4Network> {
    let net = |at: u32| format!("{}.{}.{}.0/24", 11 + at % 7, at / 256, at % 256).parse().expect("a network");
    (0..count).map(net).collect()
}

#[test]
fn a_thousand_excluded_networks_are_compared_and_one_more_is_found() {
    let excluding = |count| {
        let config = IstioConfig::builder().service_cidrs(ServiceCidrs::All);
        let config = config.exclude_cidrs(nets(count).into_iter().map(IpNetwork::V4)).build();
        rules(&Ruleset::from(&config.expect("a configuration")))
    };
    let (a, b) = (excluding(1000), excluding(1001));
    assert_equivalent("1000 networks", &a, &a);
    assert_differ(
        "1000 and 1001 networks",
        &a,
        &b,
        "-> 17.3.232.0:9000 uid 1000 gid 1000 out eth0: a redirects to :15001",
    );
}

#[test]
fn a_set_and_as_many_rules_in_any_order_are_equivalent() {
    let around = |first: Vec<Rule>, set: Option<Set>| {
        let output = Chain::base("output", ChainType::Nat, Hook::Output, Priority::DSTNAT)
            .rule(Rule::new().oifname("lo").r#return())
            .rule(Rule::new().skuid(1337).r#return())
            .rules(first)
            .rule(Rule::new().l4proto(Protocol::TCP).redirect_to(15001));
        let table = Table::new(Family::Ip, "t").chain(output);
        rules(&Ruleset::new().table(set.into_iter().fold(table, Table::set)))
    };
    let nets = nets(if cfg!(debug_assertions) { 100 } else { 1000 });
    let one_by_one = |nets: &[Ipv4Network]| nets.iter().map(|net| Rule::new().ip_daddr(*net).r#return()).collect();
    let forward = around(one_by_one(&nets), None);
    let backward: Vec<_> = nets.iter().copied().rev().collect();
    let backward = around(one_by_one(&backward), None);
    let elements: Vec<_> = nets.iter().map(|net| Element::new(IpNetwork::V4(*net))).collect();
    let as_set = Set::new("nets", [DataType::Ipv4]).interval().elements(elements);
    let as_set = around(vec![Rule::new().ip_daddr(set("nets")).r#return()], Some(as_set));
    assert_equivalent("rules and a set", &forward, &as_set);
    assert_equivalent("a set and rules", &as_set, &forward);
    assert_equivalent("rules and the same backwards", &forward, &backward);
    let short = around(one_by_one(nets.get(1..).unwrap_or_default()), None);
    assert_differ("one rule less", &short, &as_set, "-> 11.0.0.0:9000");
}

/// Exit code, standard output and standard error of the example.
fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let output = support::command(&support::example("compare").to_string_lossy()).args(words).output();
    let output = output.expect("the example runs");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_exit_code_of_the_example_distinguishes_equal_different_and_unknown() {
    let istio = |words: &str| format!("istio:-i '*' -b '*' -d 15090,15021,15020 {words}");
    let (code, printed, complaint) = run(&[&istio(""), &istio("-o 3306")]);
    assert_eq!((code, complaint.as_str()), (Some(1), ""), "{printed}");
    support::golden("compare-counterexample.txt", &printed);

    let (code, printed, _) = run(&[&istio("-x 10.0.0.0/8"), &istio("-x 10.0.0.0/9,10.128.0.0/9")]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.starts_with("the same for every packet ("), "{printed}");

    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let save = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m recent --name seen --rcheck -j DROP\nCOMMIT\n";
    std::fs::write(file.path(), save).expect("it can be written");
    let source = format!("save:{}", file.path().display());
    let (code, printed, _) = run(&[&source, &istio("-i ''")]);
    assert_eq!(code, Some(1), "a difference that is certain comes first: {printed}");
    let other = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(other.path(), save.replace("DROP", "ACCEPT")).expect("it can be written");
    let (code, printed, _) = run(&[&source, &format!("save:{}", other.path().display())]);
    assert_eq!(code, Some(2), "{printed}");
    assert!(printed.starts_with("cannot tell: ip filter INPUT, rule 1: "), "{printed}");
}

#[test]
fn two_versions_of_a_file_of_nft_are_compared() {
    let file = |text: &str| {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("it can be written");
        file
    };
    let rules = |body: &str| {
        format!("table inet t {{\n chain c {{\n type filter hook input priority 0\n {body} }}\n}}\n")
            .replace("; ", "\n")
    };
    let old = file(&rules("tcp dport 80 accept; tcp dport 81 accept; drop; "));
    let same = file(&format!("define p = {{ 80, 81 }}\n{}", rules("tcp dport $p accept; drop; ")));
    let other = file(&rules("tcp dport 80-82 accept; drop; "));
    let source = |file: &tempfile::NamedTempFile| format!("nft:{}", file.path().display());
    let (code, printed, complaint) = run(&[&source(&old), &source(&same)]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{printed}");
    let (code, printed, _) = run(&[&source(&old), &source(&other)]);
    assert!(code == Some(1) && printed.contains(":82"), "{printed}");
    let faulty = file("table inet t { chain c { tcp dprot 1; } }");
    let (code, _, complaint) = run(&[&source(&faulty), "live"]);
    assert!(code == Some(2) && complaint.lines().count() == 1, "{complaint}");
    assert!(complaint.contains("line 1, column 30: tcp \"dprot\""), "{complaint}");
}

/// The same, where standard error is a terminal.
fn run_on_terminal(words: &[&str]) -> (Option<i32>, String, String) {
    let terminal = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    rustix::pty::grantpt(&terminal).expect("it is ours");
    rustix::pty::unlockpt(&terminal).expect("it is ours");
    let name = rustix::pty::ptsname(&terminal, Vec::new()).expect("it has a name");
    let mut options = std::fs::File::options();
    let stderr = options.read(true).write(true).open(name.to_str().expect("it is text")).expect("it opens");
    let mut program = support::command(&support::example("compare").to_string_lossy());
    let child = program.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn();
    // Close our end, so that only the child writes to the terminal.
    drop(program);
    let reader = std::thread::spawn(move || {
        let mut printed = Vec::new();
        // Reading ends with an error when nobody writes any more.
        drop(std::fs::File::from(terminal).read_to_end(&mut printed));
        printed
    });
    let output = child.and_then(Child::wait_with_output).expect("the example runs");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    (output.status.code(), text(output.stdout), text(reader.join().expect("it reads")))
}

#[test]
fn the_example_shows_progress_only_on_a_terminal() {
    let list = |length| (0..200).map(|net| format!("10.{net}.0.0/{length}")).collect::<Vec<_>>().join(",");
    let [many, others] = [16, 17].map(|length| format!("istio:-i '*' -x {}", list(length)));
    let short = "istio:-i '*'".to_owned();
    for (a, b, expected) in [(&many, &many, 0), (&many, &others, 1), (&short, &short, 0)] {
        let (code, printed, progress) = run_on_terminal(&[a, b]);
        assert_eq!(code, Some(expected), "{printed}{progress}");
        assert!(progress.starts_with("\rcompare: at output, IPv4: "), "{progress:?}");
        assert!(progress.contains(" of packets\x1b[K"), "{progress:?}");
        assert!(progress.ends_with("\r\x1b[K") && !progress.contains('\n'), "{progress:?}");
        let (code, same, nothing) = run(&[a, b]);
        assert_eq!((code, nothing.as_str()), (Some(expected), ""));
        assert_eq!(printed, same, "the answer is the same");
    }
    let (code, _, complaint) = run_on_terminal(&["save:/nonexistent/file", "live"]);
    assert_eq!((code, complaint.lines().count()), (Some(2), 1), "{complaint}");
}

#[test]
fn bad_input_of_the_example_is_one_line_and_exit_2() {
    let cases: [(&[&str], &str); 6] = [
        (&[], "compare: the following required arguments were not provided: <A>, <B>; --help lists all options"),
        (&["live"], "compare: the following required arguments were not provided: <B>; --help lists all options"),
        (&["save:", "live"], "no source \"save:\""),
        (&["save:/nonexistent/file", "live"], "/nonexistent/file: No such file"),
        (&["istio:-m TPROXYY", "istio:"], "no such interception mode; give REDIRECT or TPROXY"),
        (&["istio:-i '*", "istio:"], "' is not closed"),
    ];
    for (words, expected) in cases {
        let (code, printed, complaint) = run(words);
        assert_eq!((code, printed.as_str(), complaint.lines().count()), (Some(2), "", 1), "{complaint}");
        assert!(complaint.contains(expected), "{complaint}");
    }
}

#[test]
fn the_live_kernel_equals_the_installed_rule_set() {
    support::in_fresh_netns(|| {
        let words = "-i '*' -b '*' -d 15090,15021,15020 --redirect-dns --capture-all-dns -c eth5,veth+";
        let config = sidecar::config(words, "");
        nftmesh::kernel::Kernel::open()
            .and_then(|mut kernel| kernel.apply(&Ruleset::from(&config)))
            .expect("the rules can be installed");
        let (code, printed, complaint) = run(&["live", &format!("istio:{words}")]);
        assert_eq!((code, complaint.as_str()), (Some(0), ""), "{printed}");
        support::nft("insert rule ip istio-proxy-nat output tcp dport 8443 return");
        let (code, printed, _) = run(&["live", &format!("istio:{words}")]);
        assert_eq!(code, Some(1), "{printed}");
        assert!(printed.contains("10.77.0.1:8443"), "{printed}");
    });
}
