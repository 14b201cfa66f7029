//! Kuma's rules against those that `kumactl install transparent-proxy` installed: the same for every
//! packet of both families, but for the defects of that program, which are tests here.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]

#[path = "support/kuma.rs"]
mod kuma;
#[path = "support/proven.rs"]
mod proven;
mod support;

use std::fs;
use std::path::Path;

use kuma::{BOTH, original};
use nftmesh::mesh::Mesh;
use nftmesh::mesh::kuma::{ConfigSource, KumaConfig, KumaFacts, KumaFlags, TABLE, tables};
use nftmesh::model::{Family, Ruleset};
use nftmesh::pod::{Leftovers, Pod};
use proven::{assert_equal, saved};
use support::{in_fresh_netns, say};

/// The pod of the recordings.
fn facts() -> KumaFacts {
    kuma::facts(BOTH)
}

fn given(words: &str, facts: &KumaFacts) -> nftmesh::Result<KumaConfig> {
    let (variables, flags): (Vec<&str>, Vec<&str>) =
        words.split_whitespace().partition(|word| word.starts_with("KUMA_TRANSPARENT_PROXY_"));
    let variables = variables.iter().filter_map(|word| word.split_once('='));
    KumaFlags::parse(flags, variables)?.resolve(facts)
}

fn rules(words: &str) -> Ruleset {
    Ruleset::from(&given(words, &facts()).unwrap_or_else(|error| panic!("{words}: {error}")))
}

#[track_caller]
fn refused(words: &str, named: &str) {
    let error = given(words, &facts()).expect_err(words);
    assert!(error.is_invalid() && error.to_string().contains(named), "{words}: {error}");
    assert_eq!(error.to_string().lines().count(), 1);
}

#[test]
fn the_recorded_cases_equal_the_rules_of_the_original() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/kuma-reference/cases");
    let Ok(entries) = fs::read_dir(cases) else { return say("SKIP: no recordings of kumactl") };
    let mut proven = 0;
    for case in entries {
        let case = case.expect("a folder can be listed").path();
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let read = |file: &str| fs::read_to_string(case.join(file)).expect("a recording");
        let command = read("cmd");
        let last = command.rsplit("transparent-proxy").next().expect("words").trim();
        let ours = match name.as_str() {
            // Nothing was installed.
            "dry-run" | "uninstall" => Ruleset::new(),
            _ => rules(last),
        };
        assert_equal(&name, &ours, &saved([&read("iptables-nft.save"), &read("ip6tables-nft.save")]));
        proven += 1;
    }
    assert!(proven >= 15, "{proven}");
}

#[test]
fn dns_of_a_family_without_nameserver_is_left_alone_and_warned_of() {
    for (server, ipv6) in [("10.255.255.53", false), ("fd77::53", true)] {
        let facts = KumaFacts { nameservers: vec![server.parse().expect("an address")], ..facts() };
        let config = given("--redirect-dns", &facts).expect("valid");
        assert!(config.warnings().concat().contains(if ipv6 { "no IPv4 nameserver" } else { "no IPv6 nameserver" }));
        let theirs = [false, true].map(|of_ipv6| original("--redirect-dns", of_ipv6, &facts));
        assert_equal(server, &Ruleset::from(&config), &saved(theirs.each_ref().map(String::as_str)));
    }
    let none = given("--redirect-dns", &KumaFacts { nameservers: vec![], ..facts() }).expect("valid");
    assert_eq!(none.warnings().len(), 2);
}

#[test]
fn without_an_ipv6_address_ipv6_is_left_alone_and_warned_of() {
    let facts =
        KumaFacts { addresses: vec!["10.77.0.2".parse().expect("valid"), "::1".parse().expect("valid")], ..facts() };
    let config = given("", &facts).expect("valid");
    assert_eq!(config.warnings(), ["IPv6 is off: no interface has an IPv6 address"]);
    assert!(Ruleset::from(&config).find(Family::Ip, TABLE).is_some());
}

#[test]
fn the_user_is_found_by_name_or_number_and_has_to_exist() {
    let uid = |words: &str, users: &[(&str, u32)]| {
        let users = users.iter().map(|(name, uid)| ((*name).to_owned(), *uid)).collect();
        let config = given(words, &KumaFacts { users: Some(users), ..facts() })?;
        let text = config.rules().to_string();
        let uid = text.split("skuid ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
        Ok::<_, nftmesh::Error>(uid.expect("an owner"))
    };
    assert_eq!(uid("", &[("x", 5678), ("kuma-dp", 7)]).expect("valid"), "5678");
    assert_eq!(uid("", &[("kuma-dp", 7)]).expect("valid"), "7");
    assert_eq!(uid("--kuma-dp-user kuma-dp", &[("kuma-dp", 7)]).expect("valid"), "7");
    assert_eq!(uid("--kuma-dp-user 7", &[("kuma-dp", 7)]).expect("valid"), "7");
    for (words, users) in
        [("", &[][..]), ("--kuma-dp-user 8", &[("kuma-dp", 7)]), ("--kuma-dp-user x", &[("kuma-dp", 7)])]
    {
        let error = uid(words, users).expect_err(words);
        assert!(error.is_invalid() && error.to_string().contains("--kuma-dp-user"), "{error}");
    }
}

/// Words do not say which users a pod has.
#[test]
fn where_users_are_not_known_numbers_and_usual_names_are() {
    let facts = KumaFacts { users: None, ..facts() };
    for (words, uid) in
        [("", 5678), ("--kuma-dp-user kuma-dp", 5678), ("--kuma-dp-user 12", 12), ("--kuma-dp-user root", 0)]
    {
        let text = given(words, &facts).expect(words).rules().to_string();
        assert!(text.contains(&format!("skuid {uid} ")), "{words}: {text}");
    }
    assert!(given("--kuma-dp-user somebody", &facts).is_err());
}

#[test]
fn exclusions_for_users_in_a_variable_have_commas_between_them() {
    const NAME: &str = "KUMA_TRANSPARENT_PROXY_REDIRECT_OUTBOUND_EXCLUDE_PORTS_FOR_UIDS";
    let variable = given(&format!("{NAME}=tcp:22:1000,1001-1005"), &facts()).expect("valid");
    let flags = "--exclude-outbound-ports-for-uids tcp:22:1000 --exclude-outbound-ports-for-uids 1001-1005";
    assert_eq!(variable, given(flags, &facts()).expect("valid"));
    let usual = "KUMA_TRANSPARENT_PROXY_REDIRECT_OUTBOUND_ENABLED=true KUMA_TRANSPARENT_PROXY_EBPF_ENABLED=false";
    assert_eq!(given(usual, &facts()).expect("it changes nothing"), given("", &facts()).expect("valid"));
}

#[test]
fn oddities_that_are_kept_are_warned_of() {
    for (words, warning) in [
        ("--vnet docker0:172.17.0.0/16", "DNS over UDP that arrives goes to port 15053"),
        ("--exclude-inbound-ports 22 --exclude-inbound-ports 80", "only the last list counts: 80"),
        ("--ip-family-mode ipv4 --vnet docker0:fd17::/64 --redirect-dns", "no effect without IPv6"),
    ] {
        let config = given(words, &facts()).expect(words);
        assert!(config.warnings().concat().contains(warning), "{words}: {:?}", config.warnings());
    }
}

#[test]
fn ports_that_are_included_exclude_all_others_and_those_that_are_left_out_are_warned_of() {
    let include = "KUMA_TRANSPARENT_PROXY_REDIRECT_INBOUND_INCLUDE_PORTS=80,8000-8010 \
                   KUMA_TRANSPARENT_PROXY_REDIRECT_OUTBOUND_INCLUDE_PORTS=443";
    let exclude = "--exclude-inbound-ports 22 --exclude-outbound-ports 443";
    let config = given(&format!("{include} {exclude}"), &facts()).expect("valid");
    assert_eq!(config.rules(), rules(include), "what is left out besides has no effect");
    assert_eq!(config.warnings().len(), 2, "{:?}", config.warnings());
    assert!(config.rules().to_string().contains("8010"), "a range of ours");
    let off = given("KUMA_TRANSPARENT_PROXY_REDIRECT_OUTBOUND_ENABLED=false", &facts()).expect("valid");
    assert_eq!(Mesh::outbound_port(&off), None, "nothing waits for a proxy");
    assert!(!off.rules().to_string().contains("redirect to :15001"), "{}", off.rules());
    assert!(off.rules().to_string().contains("redirect to :15006"), "{}", off.rules());
    let file = |name: &str, value: &str| {
        let flags = KumaFlags::parse([""; 0], [("", ""); 0]).expect("valid");
        let flags = flags.with_file([(name.to_owned(), value.to_owned())]);
        flags.and_then(|flags| flags.resolve(&facts())).expect("valid").rules()
    };
    assert_eq!(file("redirect-outbound", "false"), off.rules());
    let inbound = "KUMA_TRANSPARENT_PROXY_REDIRECT_INBOUND_INCLUDE_PORTS=80";
    assert_eq!(file("include-inbound-ports", "80"), rules(inbound));
}

#[test]
fn of_several_configurations_the_later_one_counts() {
    let flags =
        KumaFlags::parse(["--config", "/a.yaml", "--config={\"redirect\": {}}", "--config", "-"], [("", ""); 0]);
    let flags = flags.expect("valid");
    let text = ConfigSource::Text("{\"redirect\": {}}".to_owned());
    assert_eq!(flags.configs, [ConfigSource::File("/a.yaml".into()), text, ConfigSource::File("-".into())]);
    let values = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let first = flags.with_file(values(&[("exclude-inbound-ports", "22,80"), ("redirect-inbound-port", "16006")]));
    let both =
        first.and_then(|flags| flags.with_file(values(&[("exclude-inbound-ports", "443"), ("dry-run", "true")])));
    let both = both.expect("valid");
    let wanted = given("--exclude-inbound-ports 443 --redirect-inbound-port 16006", &facts()).expect("valid");
    assert_eq!(both.resolve(&facts()).expect("valid"), wanted);
    assert!(both.dry_run);
}

#[test]
fn the_recorded_commands_are_sources_as_they_stand() {
    let Some(reference) = support::skip_without("kuma-reference") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (compare, resolv) = (support::example("compare"), dir.path().join("resolv.conf"));
    fs::write(&resolv, "nameserver 10.255.255.53\nnameserver fd77::53\n").expect("may be written");
    for case in fs::read_dir(reference.join("cases")).expect("it can be listed") {
        let case = case.expect("a folder can be listed").path();
        if case.ends_with("dry-run") {
            continue;
        }
        let words = fs::read_to_string(case.join("cmd")).expect("a command");
        let [v4, v6] = ["iptables-nft.save", "ip6tables-nft.save"].map(|file| case.join(file).display().to_string());
        let mut command = support::command(&compare.to_string_lossy());
        command.arg(format!("save:{v4},{v6}")).arg(format!("kuma:{}", words.trim()));
        command.args(["--addresses", "10.77.0.2,fd77::2", "--resolv-conf"]).arg(&resolv);
        let output = command.output().expect("the example runs");
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words}: {printed}");
    }
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let variable =
        "KUMA_TRANSPARENT_PROXY_REDIRECT_DNS_PORT=10002 KUMA_TRANSPARENT_PROXY_REDIRECT_DNS_CAPTURE_ALL=true";
    let port = |config: KumaConfig| {
        let text = config.rules().to_string();
        ["10001", "10002", "10003"]
            .into_iter()
            .find(|port| text.contains(&format!("redirect to :{port}")))
            .map(str::to_owned)
    };
    assert_eq!(
        port(given(&format!("--redirect-dns-port 10003 {variable}"), &facts()).expect("valid")).as_deref(),
        Some("10003")
    );
    assert_eq!(port(given(variable, &facts()).expect("valid")).as_deref(), Some("10002"));
    let file = || [("redirect-dns-port", "10001"), ("redirect-all-dns-traffic", "true")];
    let of_file = |variables: &[(&str, &str)]| {
        let flags = KumaFlags::parse([""; 0], variables.iter().copied()).expect("valid");
        let file = file().map(|(name, value)| (name.to_owned(), value.to_owned()));
        port(flags.with_file(file).and_then(|flags| flags.resolve(&facts())).expect("valid"))
    };
    assert_eq!(of_file(&[]).as_deref(), Some("10001"));
    assert_eq!(of_file(&[("KUMA_TRANSPARENT_PROXY_REDIRECT_DNS_PORT", "10002")]).as_deref(), Some("10002"));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (words, named) in [
        ("--redirect-dns --redirect-all-dns-traffic", "--redirect-dns and --redirect-all-dns-traffic"),
        ("--redirect-inbound-port 0", "--redirect-inbound-port \"0\""),
        ("--redirect-outbound-port 70000", "70000"),
        ("--redirect-dns-port x", "--redirect-dns-port"),
        ("--ip-family-mode ipv6", "dualstack or ipv4"),
        ("--exclude-inbound-ports 0", "0"),
        ("--exclude-outbound-ports http", "http"),
        ("--exclude-inbound-ips 10.0.0.0/33", "--exclude-inbound-ips"),
        ("--exclude-outbound-ips x", "--exclude-outbound-ips"),
        ("--exclude-outbound-ports-for-uids icmp:1:2", "tcp or udp"),
        ("--exclude-outbound-ports-for-uids tcp:1:2:3", "too many colons"),
        ("--exclude-outbound-ports-for-uids tcp:22:", "no user"),
        ("--exclude-outbound-ports-for-uids tcp:22:9-5", "reversed"),
        ("--exclude-outbound-ports-for-uids *", "--exclude-outbound-ports-for-uids"),
        ("--vnet docker0", "no colon"),
        ("--vnet docker0:172.17.0.0", "prefix length"),
        ("--vnet docker0:172.17.0.0/64", "--vnet"),
        ("--vnet a-name-that-is-too-long:10.0.0.0/8", "16"),
        ("--redirect-inbound=maybe", "--redirect-inbound \"maybe\""),
        ("--no-such-flag", "--no-such-flag"),
        ("--wait x", "--wait \"x\""),
        ("--max-retries=-1", "--max-retries"),
        ("KUMA_TRANSPARENT_PROXY_REDIRECT_OUTBOUND_ENABLED=maybe", "KUMA_TRANSPARENT_PROXY_REDIRECT_OUTBOUND_ENABLED"),
        ("KUMA_TRANSPARENT_PROXY_REDIRECT_INBOUND_INCLUDE_PORTS=0", "REDIRECT_INBOUND_INCLUDE_PORTS \"0\""),
        ("KUMA_TRANSPARENT_PROXY_REDIRECT_OUTBOUND_INCLUDE_PORTS=x", "REDIRECT_OUTBOUND_INCLUDE_PORTS \"x\""),
        ("KUMA_TRANSPARENT_PROXY_REDIRECT_INBOUND_EXCLUDE_PORTS_FOR_UIDS=1000", "not supported"),
        ("--include-inbound-ports 80", "--include-inbound-ports"),
        ("--redirect-outbound=false", "--redirect-outbound"),
        ("KUMA_TRANSPARENT_PROXY_IP_FAMILY_MODE=v4", "KUMA_TRANSPARENT_PROXY_IP_FAMILY_MODE"),
        ("KUMA_TRANSPARENT_PROXY_EBPF_ENABLED=true", "not supported"),
    ] {
        refused(words, named);
    }
}

#[test]
fn a_second_install_changes_nothing_and_what_kumactl_left_is_removed_with_it() {
    in_fresh_netns(|| {
        let words = "--redirect-dns --exclude-outbound-ports-for-uids tcp:22,80-90:1000-1005 \
                     --exclude-outbound-ports-for-uids udp:*:7";
        support::succeed("iptables-nft-restore", "", &original(words, false, &facts()));
        let mut pod = Pod::open().expect("netlink sockets");
        let config = given("--redirect-dns --drop-invalid-packets", &facts()).expect("valid");
        let plan = pod.plan(&config, Leftovers::Keep).expect("it reads");
        assert!(plan.to_string().contains("left behind by kumactl"), "{plan}");
        pod.install_over(&config, Leftovers::Remove).expect("it installs");
        assert!(pod.plan(&config, Leftovers::Keep).expect("it reads").is_in_sync());
        assert!(!support::nft("list ruleset").contains("KUMA_MESH"));
        assert!(pod.install(&config).expect("it installs").is_empty());
        // The proxy can bind the address from which it passes inbound connections on.
        drop(std::net::TcpListener::bind("[::6]:0").expect("it is an address of lo"));
        let v4 = given("--ip-family-mode ipv4", &facts()).expect("valid");
        pod.install(&v4).expect("it installs");
        // Before that version, whose an address is cannot be told, and it stays.
        let is_left = support::version::linux() < support::version::ADDRESS_PROTOCOLS;
        assert_eq!(support::ip("-6 addr show dev lo").contains("::6/"), is_left);
        assert!(support::nft("list tables").contains("table ip kuma-mesh"));
        pod.remove_tables(&tables()).expect("it removes");
        assert!(!support::nft("list tables").contains("kuma-mesh"));
    });
}
