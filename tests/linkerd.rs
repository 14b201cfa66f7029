//! Linkerd's rules against those that the real `proxy-init` installed: the same for every packet
//! of both families, but for the defects of that program, which are tests here.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]

#[path = "support/proven.rs"]
mod proven;
mod support;

use std::fs;
use std::path::PathBuf;

use nftmesh::mesh::istio::{Interception, IstioConfig};
use nftmesh::mesh::linkerd::{LinkerdConfig, LinkerdFlags, TABLE, tables};
use nftmesh::model::{Family, Ruleset};
use nftmesh::pod::{Leftovers, Pod};
use proven::{assert_differ, assert_equal, saved};
use support::in_fresh_netns;

fn parse(words: &str) -> nftmesh::Result<LinkerdFlags> {
    LinkerdFlags::parse(words.split_whitespace())
}

fn rules(words: &str) -> Ruleset {
    Ruleset::from(&parse(words).unwrap_or_else(|error| panic!("{words}: {error}")).config)
}

#[track_caller]
fn refused(words: &str, named: &str) {
    let error = parse(words).expect_err(words);
    assert!(error.is_invalid() && error.to_string().contains(named), "{words}: {error}");
    assert_eq!(error.to_string().lines().count(), 1);
}

const BASIC: &str = "-p 4143 -o 4140 -u 2102";

/// A small set of `proxy-init`, for where the recordings are missing.
fn recorded(leave_out: &str) -> String {
    let rules = [
        "-A PREROUTING -j PROXY_INIT_REDIRECT",
        "-A OUTPUT -j PROXY_INIT_OUTPUT",
        "-A PROXY_INIT_OUTPUT -m owner --uid-owner 2102 -j RETURN",
        "-A PROXY_INIT_OUTPUT -o lo -j RETURN",
        "-A PROXY_INIT_OUTPUT -p tcp -m multiport --dports 4567,5000:6000 -j RETURN",
        "-A PROXY_INIT_OUTPUT -p tcp -j REDIRECT --to-ports 4140",
        "-A PROXY_INIT_REDIRECT -p tcp -m multiport --dports 4190 -j RETURN",
        "-A PROXY_INIT_REDIRECT -p tcp -j REDIRECT --to-ports 4143",
    ];
    let chains =
        ":PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:PROXY_INIT_OUTPUT - [0:0]\n:PROXY_INIT_REDIRECT - [0:0]\n";
    let rules: String = rules.iter().filter(|rule| **rule != leave_out).map(|rule| format!("{rule}\n")).collect();
    format!("*nat\n{chains}{rules}COMMIT\n")
}

#[test]
fn a_small_set_equals_that_of_the_original_and_no_rule_is_needless() {
    let ours = rules(&format!("{BASIC} --inbound-ports-to-ignore 4190 --outbound-ports-to-ignore 4567,5000-6000"));
    let whole = recorded("");
    assert_equal("small", &ours, &saved([&whole, &whole]));
    for rule in whole.lines().filter(|line| line.starts_with("-A")) {
        assert_differ(rule, &ours, &saved([&whole, &recorded(rule)]));
    }
}

#[test]
fn the_recorded_cases_equal_the_rules_of_the_original() {
    let cases = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/linkerd-reference/cases");
    let Ok(entries) = fs::read_dir(&cases) else {
        support::say(format_args!("SKIP: no recordings of proxy-init"));
        return;
    };
    let mut proven = 0;
    for case in entries {
        let case = case.expect("a directory can be listed");
        let name = case.file_name().to_string_lossy().into_owned();
        let read = |file: &str| fs::read_to_string(case.path().join(file)).unwrap_or_default();
        let command = read("cmd");
        let last = command.rsplit("proxy-init ").next().expect("a command").trim();
        match name.as_str() {
            "bad-port" => refused(last, "70000"),
            "bare" => refused(last, "proxy-uid"),
            // It failed half way, and simulating changed nothing.
            "subnets-mixed" | "simulate" => drop(rules(last)),
            _ => {
                let variant = if read("iptables-legacy.save").is_empty() { "nft" } else { "legacy" };
                let [v4, v6] = ["iptables", "ip6tables"].map(|program| read(&format!("{program}-{variant}.save")));
                assert_equal(&name, &rules(last), &saved([&v4, &v6]));
                proven += 1;
            }
        }
    }
    assert!(proven >= 10, "{proven}");
}

/// Also one that runs twice: the second run replaces what the first installed.
#[test]
fn the_recorded_commands_are_sources_as_they_stand() {
    let Some(reference) = support::skip_without("linkerd-reference") else { return };
    for name in ["default", "twice", "ranges", "v4-only"] {
        let case = reference.join("cases").join(name);
        let words = fs::read_to_string(case.join("cmd")).expect("a command");
        let [v4, v6] = ["iptables-nft.save", "ip6tables-nft.save"].map(|file| case.join(file).display().to_string());
        let mut compare = support::command(&support::example("compare").to_string_lossy());
        compare.arg(format!("save:{v4},{v6}")).arg(format!("linkerd:{}", words.trim()));
        let output = compare.args(["--addresses", "10.77.0.2,fd77::2"]).output().expect("the example runs");
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words}: {printed}");
    }
}

#[test]
fn ranges_of_both_families_are_sorted_by_family() {
    let ours = rules(&format!("{BASIC} --subnets-to-ignore 10.0.0.0/8,fd00::/8"));
    let with = |range| {
        let rule = format!("-A PROXY_INIT_REDIRECT -s {range} -j RETURN");
        let end = "-A PROXY_INIT_REDIRECT -p tcp -m multiport --dports 4190 -j RETURN";
        let ports = "-A PROXY_INIT_OUTPUT -p tcp -m multiport --dports 4567,5000:6000 -j RETURN\n";
        recorded("").replace(end, &rule).replace(ports, "")
    };
    assert_equal("mixed", &ours, &saved([&with("10.0.0.0/8"), &with("fd00::/8")]));
}

#[test]
fn what_the_original_drops_or_fails_at_half_way_is_refused_by_name() {
    for port in ["http", "70000", "90-80", "80:90", "-80", "4190,x", "080", "+80"] {
        refused(&format!("{BASIC} --inbound-ports-to-ignore {port}"), "--inbound-ports-to-ignore");
        refused(&format!("{BASIC} --outbound-ports-to-ignore={port}"), "--outbound-ports-to-ignore");
    }
    for port in ["70000", "80-90", "http"] {
        refused(&format!("{BASIC} -r {port}"), "-r");
    }
    for range in ["10.0.0.0", "10.0.0.0/33", "x/8", "fd00::/129"] {
        refused(&format!("{BASIC} --subnets-to-ignore {range}"), "--subnets-to-ignore");
    }
    for (words, named) in [
        ("-p 4143 -u 1", "--outgoing-proxy-port"),
        ("-o 4140 -u 1", "--incoming-proxy-port"),
        ("-p 0 -o 4140 -u 1", "-p \"0\""),
        ("-p 4143 -o 4140", "proxy-uid"),
        ("-p 4143 -o 4140 -u -1", "proxy-uid"),
        ("-p 4143 -o 4140 -u -2", "-u \"-2\""),
        ("-p 4143 -o 4140 -g root", "-g \"root\""),
        ("-p 4143 -o 4140 -u 4294967295", "4294967295"),
        ("-p 4143 -o 4140 -u 1 --ipv6=maybe", "--ipv6 \"maybe\""),
        ("-p 4143 -o 4140 -u 1 --iptables-mode new", "--iptables-mode \"new\""),
        ("-p 4143 -o 4140 -u 1 --firewall-bin-path nft", "--firewall-bin-path \"nft\""),
        ("-p 4143 -o 4140 -u 1 --timeout-close-wait-secs x", "--timeout-close-wait-secs"),
        ("-p 4143 -o 4140 -u 1 --log-level loud", "--log-level \"loud\""),
        ("-p 4143 -o 4140 -u 1 --nothing", "--nothing"),
        ("-p 4143 -o 4140 -u", "-u"),
    ] {
        refused(words, named);
    }
}

#[test]
fn blanks_around_an_item_are_no_fault_and_a_list_is_continued() {
    let spaced = [
        "-p",
        "4143",
        "-o",
        "4140",
        "-u",
        "2102",
        "--inbound-ports-to-ignore",
        "80, 443",
        "--inbound-ports-to-ignore",
        "90",
        "--subnets-to-ignore",
        " 10.0.0.0/8 ",
    ];
    let spaced = LinkerdFlags::parse(spaced).expect("blanks are trimmed");
    let plain = parse(&format!("{BASIC} --inbound-ports-to-ignore 80,90,443 --subnets-to-ignore 10.0.0.0/8"));
    assert_eq!(spaced, plain.expect("valid"));
}

#[test]
fn user_0_and_group_0_are_left_alone_too() {
    let text = rules("-p 4143 -o 4140 -u 0 -g 0").to_string();
    assert!(text.contains("skuid 0 ") && text.contains("skgid 0 "), "{text}");
}

#[test]
fn flags_say_how_to_run() {
    let flags = parse(&format!(
        "{BASIC} -w --simulate --netns /run/netns/pod --timeout-close-wait-secs 3600 --log-format json --log-level \
         debug --firewall-bin-path iptables-nft --firewall-save-bin-path iptables-nft-save --iptables-mode plain"
    ))
    .expect("valid");
    assert!(flags.simulate && flags.json);
    assert_eq!((flags.netns, flags.close_wait_timeout), (Some("/run/netns/pod".into()), Some(3600)));
}

#[test]
fn ranges_without_effect_are_warned_of() {
    let flags = parse(&format!("{BASIC} --ipv6=false --subnets-to-ignore fd00::/8")).expect("valid");
    assert_eq!(flags.config.warnings(), ["subnets-to-ignore: its IPv6 ranges have no effect without IPv6"]);
    assert!(Ruleset::from(&flags.config).find(Family::Ip, TABLE).is_some());
}

#[test]
fn a_second_apply_changes_nothing_and_another_family_leaves_no_table() {
    in_fresh_netns(|| {
        let mut kernel = nftmesh::kernel::Kernel::open().expect("a netlink socket");
        let builder =
            || LinkerdConfig::builder().subnets_ignore("10.0.0.0/8,10.99.0.0/16,fd00::/8".parse().expect("valid"));
        for config in [builder(), builder().ipv6(false), builder().inbound_ports((1..=300).collect())] {
            let wanted = Ruleset::from(&config.build().expect("valid"));
            kernel.apply_owned(&wanted, &tables()).expect("it installs");
            assert!(kernel.plan_owned(&wanted, &tables()).expect("it reads").is_empty());
            assert!(kernel.verify_owned(&wanted, &tables()).expect("it reads").is_empty());
            assert_eq!(kernel.tables().expect("it lists").len(), 1);
        }
        kernel.remove(&tables()).expect("it removes");
        assert!(kernel.tables().expect("it lists").is_empty());
    });
}

/// Installing a mesh replaces whichever was there, with its routes, in one transaction.
#[test]
fn a_pod_has_one_mesh_and_another_replaces_it() {
    in_fresh_netns(|| {
        let mut pod = Pod::open().expect("netlink sockets");
        let tproxy = IstioConfig::builder().interception(Interception::Tproxy).build().expect("valid");
        let linkerd = LinkerdConfig::builder().build().expect("valid");
        let installed = pod.install(&tproxy).expect("it installs");
        assert!(!installed.routes_added.is_empty());
        let changes = pod.install(&linkerd).expect("it installs");
        assert_eq!(changes.routes_removed.len(), installed.routes_added.len(), "{changes}");
        assert_eq!(pod.kernel().tables().expect("they list").len(), 1);
        assert!(pod.plan(&linkerd, Leftovers::Keep).expect("it reads").is_in_sync());
        assert!(!pod.plan(&tproxy, Leftovers::Keep).expect("it reads").is_in_sync());
        // The program of one mesh does not remove another.
        assert!(pod.remove_tables(&nftmesh::mesh::istio::tables()).expect("it removes").is_empty());
        pod.install(&tproxy).expect("it installs");
        assert!(pod.remove_tables(&tables()).expect("it removes").is_empty());
        assert!(pod.plan(&tproxy, Leftovers::Keep).expect("it reads").is_in_sync());
        assert!(!pod.remove().expect("it removes").is_empty());
        assert!(pod.kernel().tables().expect("they list").is_empty());
    });
}

#[test]
fn rules_of_proxy_init_are_reported_and_removed_in_the_same_transaction() {
    in_fresh_netns(|| {
        support::succeed("iptables-nft-restore", "", &recorded(""));
        let mut pod = Pod::open().expect("netlink sockets");
        let linkerd = LinkerdConfig::builder().build().expect("valid");
        let plan = pod.plan(&linkerd, Leftovers::Keep).expect("it reads");
        assert!(!plan.leftovers.is_empty() && plan.to_string().contains("left behind by proxy-init"), "{plan}");
        let changes = pod.install_over(&linkerd, Leftovers::Remove).expect("it installs");
        assert!(!changes.leftovers_removed.is_empty());
        assert!(pod.plan(&linkerd, Leftovers::Keep).expect("it reads").is_in_sync());
        let left = support::nft("list ruleset");
        assert!(!left.contains("PROXY_INIT") && left.contains("chain OUTPUT"), "{left}");
    });
}
