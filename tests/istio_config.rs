//! The configuration from flags and variables: accepted values, the resulting configuration, and
//! the text of refusals.

#![cfg(feature = "mesh")]

use std::net::IpAddr;

use nftmesh::mesh::istio::{
    Cidrs, DnsCapture, InboundPorts, Interception, IstioConfig, OPTIONS, OwnerGroups, PodFacts, PortRanges, RawOptions,
    ServiceCidrs, Takes, parse_group, parse_passwd, parse_resolv_conf,
};
use proptest::prelude::*;

fn addresses(text: &str) -> Vec<IpAddr> {
    text.split_whitespace().map(|address| address.parse().expect("the test gives addresses")).collect()
}

/// A pod with both families, IPv4 first.
fn pod() -> PodFacts {
    PodFacts {
        addresses: addresses("127.0.0.1 10.77.0.2 ::1 fd77::2 fe80::1"),
        nameservers: parse_resolv_conf("nameserver 10.255.255.53\n"),
        users: parse_passwd("root:x:0:0::/:\nalice:x:1000:1000::/:\n"),
        groups: parse_group("root:x:0:\njava:x:202:\n"),
    }
}

/// `-b *` is a flag, `NAME=value` a variable, as on a command line.
fn options(given: &[&str]) -> nftmesh::Result<RawOptions> {
    let vars = given.iter().filter(|word| !word.starts_with('-')).filter_map(|word| word.split_once('='));
    let mut options = RawOptions::from_vars(vars)?;
    for flag in given.iter().filter(|word| word.starts_with('-')) {
        let (name, value) = flag.split_once([' ', '=']).unwrap_or((flag, "true"));
        options.set_flag(name, value)?;
    }
    Ok(options)
}

fn resolve(given: &[&str], host: &PodFacts) -> nftmesh::Result<IstioConfig> {
    IstioConfig::resolve(&options(given)?, host)
}

fn config(given: &[&str]) -> IstioConfig {
    resolve(given, &pod()).unwrap_or_else(|error| panic!("{given:?}: {error}"))
}

fn warnings(config: &IstioConfig) -> Vec<String> {
    config.warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn no_options_give_the_defaults_of_the_reference() {
    let given = config(&[]);
    assert_eq!(given, IstioConfig::builder().build().expect("the defaults are valid"));
    assert_eq!((given.outbound_port, given.inbound_port, given.tunnel_port), (15001, 15006, 15008));
    assert_eq!((given.proxy_uids.as_slice(), given.proxy_gids.as_slice()), ([1337].as_slice(), [1337].as_slice()));
    assert_eq!((given.tproxy.mark(), given.tproxy.table()), (1337, 133));
    assert_eq!(given.loopback.to_string(), "127.0.0.1/32");
    assert!(given.counters && !given.ipv6 && !given.drop_invalid && given.warnings().is_empty());
}

#[test]
fn the_command_lines_of_real_sidecars_are_understood() {
    let usual = ["-p 15001", "-z 15006", "-u 1337", "-m REDIRECT", "-i *", "-x ", "-b *", "-d 15090,15021,15020"];
    let redirect = config(&usual);
    let InboundPorts::All { except } = &redirect.inbound_ports else { panic!("{redirect:?}") };
    assert_eq!(except.to_string(), "15020-15021,15090");
    assert_eq!(redirect.service_cidrs, ServiceCidrs::All);
    assert!(redirect.exclude_cidrs.is_empty() && !redirect.ipv6 && redirect.warnings().is_empty());

    let tproxy = config(&["ISTIO_DUAL_STACK=true", "-m TPROXY", "-i *", "-b 80,443", "-d 15090"]);
    assert!(tproxy.ipv6 && tproxy.interception == Interception::Tproxy);
    assert!(matches!(&tproxy.inbound_ports, InboundPorts::Only(ports) if ports.to_string() == "80,443"));
    assert_eq!(warnings(&tproxy), ["-d: no effect, not all inbound ports are captured (-b '*')"]);

    let cidr = config(&["-i 172.16.0.0/12,10.0.0.0/8", "-x 10.9.0.1/16", "-o 22,3306", "-q 8080"]);
    assert!(matches!(&cidr.service_cidrs, ServiceCidrs::Only { ranges, loopback: false }
        if ranges.to_string() == "10.0.0.0/8,172.16.0.0/12"));
    assert_eq!(cidr.exclude_cidrs.to_string(), "10.9.0.0/16");
    assert_eq!(
        (cidr.outbound_ports_exclude.to_string(), cidr.outbound_ports.to_string()),
        ("22,3306".into(), "8080".into())
    );

    let several = config(&["-u 1337,0", "-g 0,1337,java,0", "-c veth+,eth6,veth1,eth5", "-k tap0,tap*"]);
    assert_eq!(
        (several.proxy_uids.as_slice(), several.proxy_gids.as_slice()),
        ([1337, 0].as_slice(), [0, 202, 1337].as_slice())
    );
    let printed: Vec<_> = several.exclude_interfaces.iter().map(ToString::to_string).collect();
    assert_eq!(printed, ["eth5", "eth6", "veth*"]);
    assert_eq!(several.kube_virt_interfaces.len(), 1);
}

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_default() {
    assert_eq!(config(&["INBOUND_CAPTURE_PORT=1", "-z 2"]).inbound_port, 2);
    assert_eq!(config(&["INBOUND_CAPTURE_PORT=1"]).inbound_port, 1);
    assert_eq!(config(&["INBOUND_CAPTURE_PORT="]).inbound_port, 15006);
    assert_eq!(config(&["ENVOY_PORT=1"]).outbound_port, 15001, "envoy-port has no variable");
    assert!(config(&["INVALID_DROP=1"]).drop_invalid);
    assert!(config(&["DROP_INVALID=T"]).drop_invalid);
    assert!(!config(&["INVALID_DROP=false", "DROP_INVALID=true"]).drop_invalid);
    assert!(!config(&["INVALID_DROP=true", "--drop-invalid=false"]).drop_invalid);
    assert_eq!(config(&["ISTIO_META_DNS_CAPTURE=true", "--capture-all-dns"]).dns, DnsCapture::All);
    assert_eq!(config(&["ISTIO_SERVICE_CIDR=*", "-i "]).service_cidrs, ServiceCidrs::None);
    assert_eq!(config(&["-b 80", "-b *"]).inbound_ports, config(&["-b *"]).inbound_ports, "the last flag wins");
}

#[test]
fn the_proxy_user_is_looked_up_when_no_uid_is_given() {
    let mut host = pod();
    host.users.insert("istio-proxy".to_owned(), 42);
    let uids = |given: &[&str], host: &PodFacts| {
        let config = resolve(given, host).expect("valid");
        (config.proxy_uids.clone(), config.proxy_gids.clone(), warnings(&config).len())
    };
    assert_eq!(uids(&[], &host), (vec![42], vec![42], 0));
    assert_eq!(uids(&["ENVOY_USER=alice"], &host), (vec![1000], vec![1000], 0));
    assert_eq!(uids(&["ENVOY_USER=nobody-here"], &host), (vec![1337], vec![1337], 1));
    assert_eq!(uids(&["-u 7", "ENVOY_USER=alice"], &host), (vec![7], vec![7], 0));
    assert_eq!(uids(&["-u alice", "-g java"], &host), (vec![1000], vec![202], 0));
    assert_eq!(uids(&[], &pod()), (vec![1337], vec![1337], 0));
}

#[test]
fn dns_goes_to_the_nameservers_that_the_pod_can_reach() {
    let v4: IpAddr = "10.255.255.53".parse().expect("an address");
    let v6: IpAddr = "fd00::53".parse().expect("an address");
    let mut host = pod();
    host.nameservers.addresses = vec![v6, v4];
    let dns = |given: &[&str], host: &PodFacts| {
        let config = resolve(given, host).expect("valid");
        (config.dns.clone(), warnings(&config))
    };
    assert_eq!(dns(&[], &host), (DnsCapture::Off, vec![]));
    let ignored = "nameserver fd00::53: ignored, the pod has no IPv6".to_owned();
    assert_eq!(dns(&["--redirect-dns"], &host), (DnsCapture::Servers(vec![v4]), vec![ignored.clone()]));
    assert_eq!(dns(&["--redirect-dns", "--dual-stack"], &host), (DnsCapture::Servers(vec![v6, v4]), vec![]));
    assert_eq!(dns(&["--redirect-dns", "--capture-all-dns"], &host), (DnsCapture::All, vec![]));
    let (off, warned) = dns(&["--capture-all-dns"], &host);
    assert_eq!((off, warned.len()), (DnsCapture::Off, 1));

    host.nameservers = parse_resolv_conf("nameserver fd00::53\nnameserver nonsense\n");
    let (off, warned) = dns(&["--redirect-dns"], &host);
    assert_eq!((off, warned.len()), (DnsCapture::Off, 3), "{warned:?}");
    assert!(
        warned.contains(&ignored) && warned.iter().any(|line| line.starts_with("DNS capture is off")),
        "{warned:?}"
    );
}

#[test]
fn ipv6_is_captured_in_an_ipv6_pod_or_with_dual_stack() {
    for (text, alone, dual_stack) in
        [("10.0.0.2 fd77::2", false, true), ("fd77::2", true, true), ("10.0.0.2", false, false)]
    {
        let host = PodFacts { addresses: addresses(text), ..pod() };
        let ipv6 = |given: &[&str]| resolve(given, &host).expect("valid").ipv6;
        assert_eq!((ipv6(&[]), ipv6(&["--dual-stack"])), (alone, dual_stack), "{text}");
    }
}

#[test]
fn ipv6_ranges_are_kept_with_a_warning_when_they_have_no_effect() {
    let without = config(&["-i 10.0.0.0/8,fd00::/8", "-x fd01::/16"]);
    assert!(matches!(&without.service_cidrs, ServiceCidrs::Only { ranges, .. } if ranges.v6().count() == 1));
    assert_eq!(warnings(&without).len(), 2);
    assert!(config(&["-i 10.0.0.0/8,fd00::/8", "--dual-stack"]).warnings().is_empty());
}

#[test]
fn a_loopback_range_is_remembered_even_inside_a_wider_one() {
    for (text, expected) in
        [("127.0.0.1/32", true), ("0.0.0.0/0,127.0.0.0/8", true), ("::1/128", true), ("0.0.0.0/0", false)]
    {
        let config = config(&[&format!("-i {text}")]);
        assert!(matches!(config.service_cidrs, ServiceCidrs::Only { loopback, .. } if loopback == expected), "{text}");
    }
}

#[test]
fn owner_groups_are_all_or_a_list_or_all_except_a_list() {
    let groups = |given: &[&str]| config(given).owner_groups;
    assert_eq!(groups(&[]), OwnerGroups::All);
    assert_eq!(groups(&["ISTIO_OUTBOUND_OWNER_GROUPS=*"]), OwnerGroups::All);
    assert_eq!(groups(&["ISTIO_OUTBOUND_OWNER_GROUPS="]), OwnerGroups::Only(vec![]));
    assert_eq!(groups(&["ISTIO_OUTBOUND_OWNER_GROUPS=java,101"]), OwnerGroups::Only(vec![101, 202]));
    assert_eq!(groups(&["ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=java, 0,202"]), OwnerGroups::Except(vec![0, 202]));
}

/// Given values, and what the message must contain besides the option and the value.
const REFUSED: &[(&str, &str)] = &[
    // ports
    ("-p 0", "1 to 65535"),
    ("-p ", "1 to 65535"),
    ("--inbound-capture-port 65536", "1 to 65535"),
    ("-z 80-90", "1 to 65535"),
    ("-e http", "1 to 65535"),
    ("INBOUND_TUNNEL_PORT=-1", "1 to 65535"),
    ("-b 0", "1 to 65535"),
    ("--istio-inbound-ports 65536", "1 to 65535"),
    ("ISTIO_INBOUND_PORTS=80,http", "item 2"),
    ("-b 80,,http", "item 3"),
    ("-b 80,*", "must stand alone"),
    ("-b 90-80", "80-90"),
    ("-b 80-", "not a port"),
    ("-b 1-2-3", "not a port"),
    ("-d *", "not a port"),
    ("-d 80;443", "1 to 65535"),
    ("-q 0-5", "not a port"),
    ("-o 5:65536", "not a port"),
    // ranges of addresses
    ("-i 10.0.0.0/33", "from 0 to 32"),
    ("-i 10.0.0/8", "CIDRs such as 10.0.0.0/8"),
    ("-i 10.0.0.1", "10.0.0.1/32"),
    ("-i *,10.0.0.0/8", "must stand alone"),
    ("-i fd00::/129", "from 0 to 128"),
    ("-i ::ffff:10.0.0.0/104", "write it as IPv4"),
    ("-i 10.0.0.0/255.0.0.0", "from 0 to 32"),
    ("--istio-service-cidr 10.0.0.0/+8", "from 0 to 32"),
    ("--istio-service-exclude-cidr *", "not accepted here; give a comma list of CIDRs such as 10.0.0.0/8"),
    ("-x 10.0.0.0/8,example.com/8", "item 2"),
    ("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=10.0.0.0/8", "127.0.0.0/8"),
    ("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=127.0.0.0/7", "127.0.0.0/8"),
    ("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=127.0.0.1", "127.0.0.1/32"),
    ("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=::1/128", "not IPv4"),
    // owners
    ("-u -1", "no such user"),
    ("-u 4294967295", "not the number of a user"),
    ("-u 4294967296", "not the number of a user"),
    ("PROXY_UID=nobody-here", "no such user"),
    ("-g wheel", "no such group"),
    ("-g 1,,wheel", "item 3"),
    ("ISTIO_OUTBOUND_OWNER_GROUPS=ftp", "no such group"),
    ("ISTIO_OUTBOUND_OWNER_GROUPS=*,7", "must stand alone"),
    ("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=*", "no such group"),
    // interfaces
    ("-c abcdefghijklmnop", "1 to 15 characters"),
    ("-c eth0,et/h", "item 2"),
    ("-c eth 0", "not an interface name"),
    ("-k +", "every interface"),
    ("-k eth0,,e\"", "item 3"),
    ("-c a\\b", "not an interface name"),
    // TPROXY
    ("-m FOO", "REDIRECT or TPROXY"),
    ("-m tproxy", "REDIRECT or TPROXY"),
    ("-t 0", "unmarked"),
    ("-t 0x1ffffffff", "4294967295"),
    ("-t 0x", "4294967295"),
    ("-t 0755", "4294967295"),
    ("ISTIO_INBOUND_TPROXY_MARK=mark", "4294967295"),
    ("-r 0", "belongs to the system"),
    ("-r 253", "belongs to the system"),
    ("-r 255", "belongs to the system"),
    ("-r 4294967296", "not a routing table"),
    ("-r main", "not a routing table"),
    // switches
    ("--redirect-dns=yes", "true or false"),
    ("ISTIO_META_DNS_CAPTURE=on", "true or false"),
    ("--dual-stack=tRuE", "true or false"),
    ("INVALID_DROP=2", "true or false"),
];

#[test]
fn every_bad_value_is_refused_in_one_line_that_names_the_option_and_the_value() {
    for (given, expected) in REFUSED {
        let (name, value) = given.split_once([' ', '=']).expect("the table gives a name and a value");
        let raw = options(&[given]).expect("the option exists");
        let error = IstioConfig::resolve(&raw, &pod()).expect_err(given);
        let message = error.to_string();
        assert!(error.is_invalid(), "{given:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(message.starts_with(&format!("{name} {value:?}: ")), "{given:?}: {message}");
        assert!(message.contains(expected), "{given:?}: {message}");
        assert!(!message.ends_with('.'), "{message}");
    }
}

#[test]
fn the_error_names_option_value_and_remedy() {
    let message = |given: &[&str]| resolve(given, &pod()).expect_err("refused").to_string();
    assert_eq!(
        message(&["--istio-service-exclude-cidr *"]),
        r#"--istio-service-exclude-cidr "*": not accepted here; give a comma list of CIDRs such as 10.0.0.0/8"#
    );
    assert_eq!(
        message(&["ISTIO_EXCLUDE_INTERFACES=eth0,a\nb\"c"]),
        r#"ISTIO_EXCLUDE_INTERFACES "eth0,a\nb\"c": item 2, "a\nb\"c": not an interface name; give interface names of 1 to 15 characters, or a prefix such as veth+"#
    );
}

#[test]
fn values_that_conflict_are_refused_together() {
    assert_eq!(config(&["-t 1338"]).tproxy.mark(), 1338, "nothing else uses the mark when redirecting");
    for mark in ["1338", "0x53a"] {
        let error = resolve(&[&format!("-t {mark}"), "-m TPROXY"], &pod()).expect_err("refused").to_string();
        assert!(error.starts_with(&format!("-t {mark:?}: ")) && error.contains("own pod"), "{error}");
    }
    let both = config(&["ISTIO_OUTBOUND_OWNER_GROUPS=1", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=2"]);
    assert_eq!(both.owner_groups, OwnerGroups::Only(vec![1]));
    let reason = "no effect, not all groups are captured (ISTIO_OUTBOUND_OWNER_GROUPS=*)";
    assert_eq!(warnings(&both), [format!("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: {reason}")]);
}

#[test]
fn a_pod_without_an_address_is_treated_as_ipv4_with_a_warning() {
    for text in ["", "127.0.0.1 ::1", "169.254.0.1 fe80::1"] {
        let host = PodFacts { addresses: addresses(text), ..pod() };
        for given in [&[][..], &["--dual-stack"]] {
            let config = resolve(given, &host).expect(text);
            assert!(!config.ipv6);
            let warned = warnings(&config);
            assert!(warned.len() == 1 && warned.iter().all(|line| line.starts_with("IPv6 is off: ")), "{warned:?}");
        }
    }
}

#[test]
fn empty_list_items_are_ignored_with_a_warning() {
    let given = ["-d 15090,15021,", "-b *,", "ISTIO_EXCLUDE_INTERFACES=,eth1", "-x ,", "PROXY_UID=,,"];
    let lists = config(&given);
    let plain = config(&["-d 15090,15021", "-b *", "-c eth1"]);
    assert_eq!(
        warnings(&lists),
        [
            r#"PROXY_UID ",,": empty items ignored"#,
            r#"-b "*,": empty items ignored"#,
            r#"-d "15090,15021,": empty items ignored"#,
            r#"ISTIO_EXCLUDE_INTERFACES ",eth1": empty items ignored"#,
            r#"-x ",": empty items ignored"#,
        ]
    );
    assert_eq!(
        (lists.inbound_ports, lists.exclude_interfaces, lists.exclude_cidrs, lists.proxy_uids),
        (plain.inbound_ports, plain.exclude_interfaces, plain.exclude_cidrs, plain.proxy_uids)
    );
    for text in ["80,", ",80", "80,,81", ","] {
        assert!(text.parse::<PortRanges>().is_err_and(|error| error.to_string().contains("is empty")), "{text:?}");
    }
    assert!("10.0.0.0/8,".parse::<Cidrs>().is_err());
}

#[test]
fn an_unknown_flag_or_a_variable_that_is_not_text_is_refused() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    for flag in ["--no-such", "-Z", "-", "--", "", "-bb", "--b", "--ENVOY_USER", "ISTIO_INBOUND_PORTS"] {
        let error = RawOptions::default().set_flag(flag, "1").expect_err(flag);
        assert!(error.is_invalid() && error.to_string().contains(&format!("{flag:?}")), "{error}");
    }
    let garbage = || OsString::from_vec(vec![b'8', 0xff, b'\n']);
    let error = RawOptions::from_vars([("ISTIO_INBOUND_PORTS".into(), garbage())] as [(OsString, OsString); 1]);
    let message = error.expect_err("not UTF-8").to_string();
    assert!(message.starts_with("ISTIO_INBOUND_PORTS ") && message.lines().count() == 1, "{message}");
    assert!(RawOptions::from_vars([(garbage(), garbage())]).is_ok(), "other variables are none of our business");
}

#[test]
fn the_builder_refuses_what_the_flags_refuse() {
    let builder = IstioConfig::builder;
    let loopback = "10.0.0.0/8".parse().expect("a CIDR");
    let v6 = "fd00::53".parse().expect("an address");
    let cases = [
        ("outbound_port \"0\": ", builder().outbound_port(0)),
        ("inbound_ports \"0,80\": ", builder().inbound_ports(InboundPorts::Only([80, 0].into()))),
        ("outbound_ports_exclude \"0-1\": ", builder().outbound_ports_exclude([0, 1])),
        ("proxy_uids \"\": ", builder().proxy_uids([])),
        ("proxy_gids \"4294967295\": ", builder().proxy_gids([0, u32::MAX])),
        ("exclude_interfaces \"a b\": ", builder().exclude_interfaces(["eth0", "a b"])),
        ("tproxy_mark \"0\": ", builder().tproxy_mark(0)),
        ("tproxy_mark \"1338\": ", builder().tproxy_mark(1338).interception(Interception::Tproxy)),
        ("tproxy_route_table \"254\": ", builder().tproxy_route_table(254)),
        ("loopback \"10.0.0.0/8\": ", builder().loopback(loopback)),
        ("dns \"fd00::53\": ", builder().dns(DnsCapture::Servers(vec![v6]))),
        ("dns \"\": ", builder().dns(DnsCapture::Servers(vec![]))),
    ];
    for (start, builder) in cases {
        let error = builder.build().expect_err(start);
        assert!(error.is_invalid() && error.to_string().starts_with(start), "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}

#[test]
fn empty_lists_mean_none_or_all_in_the_builder_too() {
    let built = IstioConfig::builder()
        .inbound_ports(InboundPorts::Only([].into()))
        .service_cidrs(ServiceCidrs::Only { ranges: "".parse().expect("no range"), loopback: true })
        .owner_groups(OwnerGroups::Except(vec![]))
        .build();
    assert_eq!(built.expect("valid"), config(&[]));
}

#[test]
fn the_builder_and_the_flags_agree() {
    let built = IstioConfig::builder()
        .proxy_uids([1337, 0, 1337])
        .interception(Interception::Tproxy)
        .inbound_ports(InboundPorts::All { except: [15090, 15021].into() })
        .exclude_interfaces(["veth+", "eth1"])
        .service_cidrs(ServiceCidrs::only(["10.1.2.3/8".parse().expect("a CIDR")]))
        .outbound_ports([8080])
        .tproxy_mark(7)
        .dns(DnsCapture::All)
        .drop_invalid()
        .ipv6()
        .owner_groups(OwnerGroups::Except(vec![202, 0]))
        .loopback("127.9.9.9/8".parse().expect("a CIDR"))
        .build()
        .expect("valid");
    let given = config(&[
        "-u 1337,0,1337",
        "-m TPROXY",
        "-b *",
        "-d 15021,15090",
        "-c eth1,veth*",
        "-i 10.0.0.0/8",
        "-q 8080",
        "-t 0x7",
        "--redirect-dns",
        "--capture-all-dns=T",
        "--drop-invalid",
        "--dual-stack",
        "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=root,java",
        "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=127.0.0.0/8",
    ]);
    assert_eq!(built, given);
}

#[test]
fn the_table_of_options_has_no_name_twice_and_its_defaults_are_valid() {
    let mut names: Vec<&str> = OPTIONS.iter().flat_map(|spec| spec.env.iter().copied().chain([spec.name])).collect();
    names.sort_unstable();
    // An option without a flag is named by its variable.
    names.dedup_by(|one, other| one == other && OPTIONS.iter().any(|spec| !spec.is_flag && spec.name == *one));
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    let mut shorts: Vec<char> = OPTIONS.iter().filter_map(|spec| spec.short).collect();
    let count = shorts.len();
    shorts.sort_unstable();
    shorts.dedup();
    assert_eq!(shorts.len(), count);
    for spec in OPTIONS {
        assert_eq!(spec.takes == Takes::Switch, spec.default == "false", "{}", spec.name);
        let conventional = spec.name.to_uppercase().replace('-', "_");
        assert!(spec.name == "envoy-port" || spec.env.contains(&conventional.as_str()), "{}", spec.name);
        if spec.is_flag {
            let mut options = RawOptions::default();
            options.set_flag(spec.name, spec.default).expect("the flag exists");
            assert!(IstioConfig::resolve(&options, &pod()).is_ok(), "{}", spec.name);
        }
    }
}

proptest! {
    #[test]
    fn any_text_for_any_option_is_read_or_refused_in_one_line_that_names_it(
        spec in prop::sample::select(OPTIONS),
        value in prop_oneof![".*", "[0-9,:*+./x -]{0,24}"],
    ) {
        let mut raw = RawOptions::from_vars(spec.env.iter().map(|&name| (name, value.as_str()))).expect("text");
        if spec.is_flag {
            raw.set_flag(spec.name, value.as_str()).expect("the flag exists");
        }
        if let Err(error) = IstioConfig::resolve(&raw, &pod()) {
            let message = error.to_string();
            prop_assert_eq!(message.lines().count(), 1, "{}", message);
            prop_assert!(!message.contains(char::is_control), "{:?}", message);
            prop_assert!(message.contains(spec.name), "{}: {}", spec.name, message);
        }
    }
}
