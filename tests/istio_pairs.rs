//! The rules of the sidecar with every option alone and with every other one, against those that
//! `istio-iptables` makes of the same words: the same for every packet of both families, but for a
//! SYN on an old entry, which is mended in theirs as in `proof`.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

#[path = "support/istio.rs"]
mod istio;
#[path = "support/proven.rs"]
mod proven;
#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/sidecar.rs"]
mod sidecar;
mod support;

use istio::original;
use nftmesh::model::{IpFamily, Ruleset};
use proven::{proven, saved};
use recorded::{mended, refusals};
use sidecar::CASES;

const NAMESERVERS: &[&str] = &["10.255.255.53"];

#[track_caller]
fn assert_original(words: &str, nameservers: &[&str]) {
    let resolv_conf: String = nameservers.iter().map(|server| format!("nameserver {server}\n")).collect();
    let ours = Ruleset::from(&sidecar::config(words, &resolv_conf));
    ours.validate_strictly().unwrap_or_else(|problems| panic!("{words}: {problems}"));
    let texts = [false, true].map(|ipv6| mended(&original(words, ipv6, nameservers)));
    let mut theirs = saved(texts.each_ref().map(String::as_str));
    for (text, family) in texts.iter().zip([IpFamily::Ipv4, IpFamily::Ipv6]) {
        theirs.tables.extend(refusals(text, family).tables);
    }
    proven(&format!("{words} ({nameservers:?})"), &ours, &theirs);
}

/// What Istio's template gives, in each mode.
const USUAL: &[&str] = &[
    "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020",
    "-p 15001 -z 15006 -u 1337 -m TPROXY -i '*' -x '' -b '*' -d 15090,15021,15020",
];

const OPTIONS: &[&str] = &[
    "-p 16001 -z 16006",
    "-e 16008",
    "-e 53",
    "-u 1337,0",
    "-u 7 -g 8",
    "-g 2000,1337",
    "-b ''",
    "-b 80,443,8000:8010",
    "-b 15008,80",
    "-d ''",
    "-d 22,15008,1:1024",
    "-c eth5,eth6",
    "-c veth+,lo",
    "-c tap+",
    "-k tap0,tap1",
    "-k tap+",
    "-i ''",
    "-i 10.0.0.0/8,172.16.0.1/12,fd00::/8",
    "-i 127.0.0.0/8,10.0.0.0/8",
    "-i ::1/128,0.0.0.0/0",
    "-x 10.9.0.0/16,fd09::/16",
    "-x 0.0.0.0/0",
    "-q 8080,3306:3310",
    "-q 53",
    "-o 22,3306",
    "-o 53,15008",
    "-o 1:65535",
    "-t 4919 -r 100",
    "-t 0x2",
    "--redirect-dns",
    "--redirect-dns --capture-all-dns",
    "--capture-all-dns",
    "--drop-invalid",
    "INVALID_DROP=true",
    "ISTIO_DUAL_STACK=true",
    "ISTIO_OUTBOUND_OWNER_GROUPS=100,200",
    "ISTIO_OUTBOUND_OWNER_GROUPS=1337",
    "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=100,200",
    "ISTIO_OUTBOUND_OWNER_GROUPS=100 ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=100",
    "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=127.0.0.0/8",
];

/// Options of which one decides what another one means.
const TOGETHER: &[&str] = &[
    "-c tap+ -k tap0,tap1",
    "-k tap+ -c tap0,eth5 -i 10.0.0.0/8,fd00::/8",
    "-k tap0 -i ''",
    "-o 53 --redirect-dns --capture-all-dns -q 53 -e 53",
    "-u 7,1337 -g 8,2000 --redirect-dns -i 127.0.0.0/8,10.0.0.0/8",
    "--drop-invalid -c eth5 ISTIO_OUTBOUND_OWNER_GROUPS=",
];

/// Options in twos, so that each is given once; with `NFTMESH_SOAK=1` (`make soak`), each alone and
/// all pairs.
#[test]
fn every_option_and_every_pair_equals_the_original() {
    let (first, second) = OPTIONS.split_at(OPTIONS.len() / 2);
    let twos = || first.iter().zip(second).map(|(one, other)| vec![*one, *other]).collect();
    let given: Vec<Vec<&str>> = if proven::soak() { proven::singles_and_pairs(OPTIONS, 1) } else { twos() };
    let mut all: Vec<String> = Vec::new();
    for (index, options) in given.iter().enumerate() {
        // One mode, and of each mode both families every second time.
        let families = if index / 2 % 2 == 0 { "ISTIO_DUAL_STACK=true " } else { "" };
        all.push(format!("{families}{} {}", USUAL[index % 2], options.join(" ")));
    }
    let modes = USUAL.iter().flat_map(|usual| TOGETHER.iter().map(move |options| format!("{usual} {options}")));
    all.extend(modes.enumerate().filter(|(index, _)| proven::soak() || index % 3 != 2).map(|(_, words)| words));
    proven::each(&all, |words| assert_original(words, NAMESERVERS));
    support::say(format_args!("{} combinations are the same", all.len()));
}

#[test]
fn nameservers_of_any_family_equal_the_original() {
    for nameservers in [&["10.255.255.53", "10.0.0.53"][..], &["fd77::53"], &["127.0.0.53", "::1"], &[]] {
        let words = "-i 10.0.0.0/8,127.0.0.1/32 -q 53 --redirect-dns";
        assert_original(&format!("ISTIO_DUAL_STACK=true {} {words}", USUAL[0]), nameservers);
    }
}

#[test]
fn the_recordings_prove_what_the_original_makes() {
    for case in CASES {
        let recorded = ["ipv4", "ipv6"].map(|family| recorded::as_save(case.name, family));
        let made = [false, true].map(|ipv6| original(case.options, ipv6, NAMESERVERS));
        let [made, recorded] = [&made, &recorded].map(|texts| saved(texts.each_ref().map(String::as_str)));
        proven(case.name, &made, &recorded);
    }
}

#[test]
fn the_recorded_commands_are_sources_as_they_stand() {
    let Some(reference) = support::shared_dir() else { return };
    let resolv_conf = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(resolv_conf.path(), "nameserver 10.255.255.53\n").expect("written");
    let syn = "tcp flags syn / fin,syn,rst,ack";
    for name in ["redirect-dns", "redirect-groupsex", "tproxy"] {
        let case = reference.join("cases").join(name);
        let words = std::fs::read_to_string(case.join("cmd")).expect("a command");
        let [v4, v6] = ["iptables-nft.save", "ip6tables-nft.save"].map(|file| case.join(file).display().to_string());
        let mut compare = support::command(&support::example("compare").to_string_lossy());
        compare.arg(format!("save:{v4},{v6}")).arg(format!("istio:{}", words.trim()));
        compare.args(["--addresses", "10.77.0.2,fd77::2", "--resolv-conf"]).arg(resolv_conf.path());
        for outside in ["ct status confirmed", "ct state established,related,invalid"] {
            compare.arg("--outside").arg(format!("{syn} {outside}"));
        }
        let output = compare.output().expect("the example runs");
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && printed.contains("left out"), "{words}: {printed}");
    }
}
