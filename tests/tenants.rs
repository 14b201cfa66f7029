//! A tenant that a program brings itself: the one of `docs/tenants.md`, which shows its file.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

#[path = "tenants/consul.rs"]
#[expect(unreachable_pub, reason = "a program shows it to others")]
mod consul;
mod support;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use clap::Parser;
use consul::Consul;
use nftmesh::import::{Unknown, iptables_save};
use nftmesh::mesh::linkerd::LinkerdConfig;
use nftmesh::mesh::{Held, Mesh};
use nftmesh::model::IpFamily;
use nftmesh::pod::{Leftovers, Pod};
use nftmesh::proxy::original_destination;
use nftmesh::sim::{Comparison, Rules, compare};
use support::patience::patience;
use support::{assert_same, in_fresh_netns, ip, nft, succeed};

fn parse(words: &str) -> Consul {
    let words = ["consul"].into_iter().chain(words.split_whitespace());
    Consul::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"))
}

/// The rules of `consul connect redirect-traffic -proxy-uid 1234 -proxy-inbound-port 20000` with
/// these inserted or added, in the form of iptables-save.
fn original(more: &[&str]) -> String {
    let chains: String = [
        "PREROUTING ACCEPT",
        "OUTPUT ACCEPT",
        "CONSUL_PROXY_INBOUND -",
        "CONSUL_PROXY_IN_REDIRECT -",
        "CONSUL_PROXY_OUTPUT -",
        "CONSUL_PROXY_REDIRECT -",
        "CONSUL_DNS_REDIRECT -",
    ]
    .map(|chain| format!(":{chain} [0:0]\n"))
    .concat();
    let rules = [
        "-A CONSUL_PROXY_REDIRECT -p tcp -j REDIRECT --to-ports 15001",
        "-A OUTPUT -p tcp -j CONSUL_PROXY_OUTPUT",
        "-A CONSUL_PROXY_OUTPUT -m owner --uid-owner 1234 -j RETURN",
        "-A CONSUL_PROXY_OUTPUT -d 127.0.0.1/32 -j RETURN",
        "-A CONSUL_PROXY_OUTPUT -j CONSUL_PROXY_REDIRECT",
        "-A CONSUL_PROXY_IN_REDIRECT -p tcp -j REDIRECT --to-ports 20000",
        "-A PREROUTING -p tcp -j CONSUL_PROXY_INBOUND",
        "-A CONSUL_PROXY_INBOUND -p tcp -j CONSUL_PROXY_IN_REDIRECT",
    ];
    // What is inserted names a chain that has its own rules by then.
    let rules: String = rules.iter().chain(more).map(|rule| format!("{rule}\n")).collect();
    format!("*nat\n{chains}{rules}COMMIT\n")
}

const BASIC: &str = "--proxy-uid 1234 --proxy-inbound-port 20000";

#[test]
fn the_fifth_tenant_equals_the_program_that_it_replaces() {
    let cases = [
        ("", &[][..]),
        (
            "--exclude-inbound-port 8080 --exclude-inbound-port 9000-9010",
            &[
                "-I CONSUL_PROXY_INBOUND -p tcp --dport 8080 -j RETURN",
                "-I CONSUL_PROXY_INBOUND -p tcp --dport 9000:9010 -j RETURN",
            ],
        ),
        (
            "--exclude-outbound-port 22 --exclude-outbound-cidr 10.0.0.0/8 --exclude-outbound-cidr 10.1.0.0/16 \
             --exclude-uid 5678",
            &[
                "-I CONSUL_PROXY_OUTPUT -p tcp --dport 22 -j RETURN",
                "-I CONSUL_PROXY_OUTPUT -d 10.0.0.0/8 -j RETURN",
                "-I CONSUL_PROXY_OUTPUT -d 10.1.0.0/16 -j RETURN",
                "-I CONSUL_PROXY_OUTPUT -m owner --uid-owner 5678 -j RETURN",
            ],
        ),
        (
            "--consul-dns-ip 10.0.0.53",
            &[
                "-A CONSUL_DNS_REDIRECT -p udp --dport 53 -j DNAT --to-destination 10.0.0.53",
                "-A CONSUL_DNS_REDIRECT -p tcp --dport 53 -j DNAT --to-destination 10.0.0.53",
                "-I OUTPUT -p udp --dport 53 -j CONSUL_DNS_REDIRECT",
                "-I OUTPUT -p tcp --dport 53 -j CONSUL_DNS_REDIRECT",
            ],
        ),
    ];
    for (words, more) in cases {
        let theirs = iptables_save(&original(more), IpFamily::Ipv4, Unknown::Refuse).expect("rules of iptables");
        let ours = parse(&format!("{BASIC} {words}")).rules();
        ours.validate_strictly().unwrap_or_else(|problems| panic!("{problems}\n{ours}"));
        let [ours, theirs] = [&ours, &theirs.ruleset].map(|rules| Rules::try_from(rules).expect("a program"));
        match compare(&ours, &theirs) {
            Comparison::Equivalent { outside: 0, .. } => {}
            other => panic!("{words}: {other}"),
        }
    }
}

#[test]
fn a_pod_takes_the_fifth_tenant_as_any_other() {
    in_fresh_netns(|| {
        ip("link add out0 type veth peer name out1");
        ip("link set out1 up");
        ip("addr add 10.77.0.2/24 dev out0");
        ip("link set out0 up");
        succeed("iptables-nft-restore", "", &original(&[]));
        let (consul, mut pod) = (parse(BASIC), Pod::open().expect("netlink sockets"));
        let changes = pod.install_over(&consul, Leftovers::Remove).expect("it installs");
        assert!(!changes.leftovers_removed.is_empty() && !nft("list ruleset").contains("CONSUL_"), "{changes}");
        assert!(pod.install(&consul).expect("it installs").is_empty(), "the second time changes nothing");
        assert!(pod.plan(&consul, Leftovers::Keep).expect("it reads").is_in_sync());
        let held = Held::new(Arc::new(parse(BASIC))).rules().to_string();
        assert!(held.contains("tcp dport 15001"), "{held}");

        let proxy = TcpListener::bind("127.0.0.1:15001").expect("the port is free");
        let to = "10.77.0.9:9000".parse().expect("an address");
        let app = TcpStream::connect_timeout(&to, patience(std::time::Duration::from_secs(10)));
        app.expect("the proxy answers every connection");
        let (accepted, _) = proxy.accept().expect("the connection");
        assert_eq!(original_destination(&accepted).expect("conntrack knows it"), to);

        pod.remove_tables(&consul.tables()).expect("it removes");
        assert!(!nft("list ruleset").contains("consul"));
    });
}

/// What belongs to a program alone is not replaced by meshes of this crate, nor removed with them.
#[test]
fn a_mesh_of_this_crate_leaves_the_fifth_tenant_there() {
    in_fresh_netns(|| {
        let (consul, mut pod) = (parse(BASIC), Pod::open().expect("netlink sockets"));
        pod.install(&LinkerdConfig::builder().build().expect("valid")).expect("it installs");
        pod.install(&consul).expect("it installs");
        assert_eq!(pod.kernel().tables().expect("they list"), consul.tables(), "it replaces a mesh of this crate");
        pod.install(&LinkerdConfig::builder().build().expect("valid")).expect("it installs");
        pod.remove().expect("it removes");
        assert_eq!(pod.kernel().tables().expect("they list"), consul.tables());
    });
}

#[test]
fn the_page_shows_the_tenant_that_is_tested() {
    let read = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let (page, tenant) = (read("docs/tenants.md"), read("tests/tenants/consul.rs"));
    let (_, rest) = page.split_once("```rust\n").expect("a program");
    let (shown, _) = rest.split_once("```\n").expect("its end");
    assert_same(&tenant, shown, "tests/tenants/consul.rs and docs/tenants.md");
    assert!(tenant.lines().count() <= 60, "the page promises 60 lines");
}
