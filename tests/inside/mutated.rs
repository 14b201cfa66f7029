//! Rule sets of others with one change each: where a comparison proves the two equal, packets drawn
//! at random walk alike; where it shows a packet, that one walks differently.
//!
//! The rule sets are what the kernel holds after nft loaded a script: those here, and the corpus
//! beside the project (`../shared/nft-corpus/real`). Who judges is the machine of walks, which is
//! held against the kernel elsewhere; see [`super::mutants`] for the same on the sidecar's rules.

#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

mod change;
mod packets;

use std::{env, fs};

use super::mutants::Random;
use crate::support::corpus::{as_this_kernel, corpus, files_of, loads};
use crate::support::{in_fresh_netns, say};
use nftmesh::Snapshot;
use nftmesh::fuzz::Judge;
use nftmesh::kernel::Kernel;
use nftmesh::model::{Family, Hook};
use nftmesh::sim::{Comparison, Rules, compare};

/// Packets that are drawn for each change.
const PACKETS: usize = 400;

/// Changes of each rule set; more with `NFTMESH_SOAK=1`.
fn changes() -> usize {
    if env::var_os("NFTMESH_SOAK").is_some_and(|value| value == "1") { 40 } else { 2 }
}

#[test]
fn one_change_of_a_rule_set_is_found_exactly_when_a_packet_shows_it() {
    let mut score = Score::default();
    for (name, script) in OWN {
        of_script(name, script, 6 * changes(), &mut score);
    }
    score.holds();
    assert!(score.differ > OWN.len() * changes() && score.equivalent > 0, "changes of both kinds are made: {score:?}");
}

#[test]
fn one_change_of_a_real_rule_set_is_found_exactly_when_a_packet_shows_it() {
    let Some(folder) = corpus("real") else { return };
    let mut score = Score::default();
    for path in files_of(&folder) {
        let text = fs::read_to_string(&path).expect("text");
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        of_script(&name, &text, changes(), &mut score);
    }
    score.holds();
    assert!(score.differ > score.cannot_tell, "most changes are told: {score:?}");
}

#[derive(Debug, Default)]
struct Score {
    sets: usize,
    differ: usize,
    /// Of these, with packets so rare that none was drawn.
    rare: usize,
    equivalent: usize,
    cannot_tell: usize,
    wrong: Vec<String>,
    not_loaded: Vec<String>,
}

impl Score {
    #[track_caller]
    fn holds(&self) {
        let Score { sets, differ, rare, equivalent, cannot_tell, wrong, not_loaded } = self;
        say(format_args!(
            "{sets} rule sets, changed {} times: {differ} differ ({rare} of them with packets that were not drawn), \
             {equivalent} are equivalent, {cannot_tell} cannot be told; not loaded: {not_loaded:?}",
            differ + equivalent + cannot_tell
        ));
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
}

fn of_script(name: &str, script: &str, changes: usize, score: &mut Score) {
    let mut held = None;
    in_fresh_netns(|| {
        if loads(&as_this_kernel(script)) {
            held = Some(Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot"));
        }
    });
    let Some(mut original) = held else { return score.not_loaded.push(name.to_owned()) };
    // Other families have packets of their own.
    original.tables.retain(|table| matches!(table.id.family, Family::Inet | Family::Ip | Family::Ip6));
    if original.tables.iter().all(|table| table.chains.is_empty() && table.sets.is_empty()) {
        return;
    }
    score.sets += 1;
    let mut random = Random(name.bytes().fold(7, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())));
    for _ in 0..changes {
        let (changed, what) = change::changed(&original, &mut random);
        one(&format!("{name}: {what}"), [&original, &changed], &mut random, score);
    }
}

fn one(what: &str, snapshots: [&Snapshot; 2], random: &mut Random, score: &mut Score) {
    let [original, changed] = snapshots.map(|snapshot| Rules::try_from(snapshot).expect("it was read").made_at_once());
    let [a, b] = snapshots.map(|snapshot| snapshot.raise().ruleset);
    let judge = match Judge::new(&a, &b) {
        Ok(judge) => judge,
        Err(error) => return score.wrong.push(format!("{what}: what was raised has no program: {error}")),
    };
    for rules in [&original, &changed] {
        if let Comparison::Differs(example) = compare(rules, rules) {
            score.wrong.push(format!("{what}: it differs from itself: {example}"));
        }
    }
    let found = compare(&original, &changed);
    let back = compare(&changed, &original);
    if std::mem::discriminant(&found) != std::mem::discriminant(&back) {
        score.wrong.push(format!("{what}: the other way round it is said otherwise: {found} / {back}"));
    }
    let seen = packets::Seen::of(snapshots);
    let mut reported = None;
    for _ in 0..PACKETS {
        let hook = *random.of(&HOOKS);
        let situation = seen.situation(hook, random);
        if judge.differ(hook, &situation).is_ok_and(|differs| differs) {
            reported = Some((hook, situation));
            break;
        }
    }
    match (found, reported) {
        (Comparison::Differs(example), reported) => {
            score.differ += 1;
            score.rare += usize::from(reported.is_none());
            match judge.differ(example.hook, &example.situation) {
                Ok(true) => {}
                printed => score.wrong.push(format!("{what}: no counterexample ({printed:?}): {example}")),
            }
        }
        (Comparison::Equivalent { .. }, None) => score.equivalent += 1,
        (Comparison::Equivalent { .. }, Some((hook, at))) => {
            score.wrong.push(format!("{what}: not equivalent at {}: {at:?}", hook.name()));
        }
        (Comparison::CannotTell(_), _) => score.cannot_tell += 1,
    }
}

const HOOKS: [Hook; 5] = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];

/// Of a host, of a container engine, and of a router.
const OWN: &[(&str, &str)] = &[
    (
        "host",
        "table inet filter {
            set blocked { type ipv4_addr; flags interval; elements = { 10.9.0.0/16, 192.0.2.1-192.0.2.9 } }
            set open { type inet_service; elements = { 22, 80, 443 } }
            map by_port { type inet_service : verdict; elements = { 25 : drop, 53 : jump names, 123 : accept } }
            chain names { ip saddr 10.0.0.0/8 accept; ip6 saddr fd00::/8 accept; }
            chain input {
                type filter hook input priority 0; policy drop;
                ct state established,related accept
                ct state invalid drop
                iifname lo accept
                ip saddr @blocked counter drop
                tcp flags & (fin|syn|rst|ack) != syn ct state new drop
                tcp dport @open accept
                udp dport vmap @by_port
                ip protocol icmp icmp type echo-request limit rate 5/second accept
                meta mark and 0xff == 0x10 accept
                ip saddr . tcp dport { 10.1.0.1 . 8080, 10.1.0.2 . 8081 } accept
                reject with icmpx admin-prohibited
            }
            chain output {
                type filter hook output priority 0; policy accept;
                meta skuid 1000 tcp dport 25 drop
                meta skgid { 7, 9 } oifname != lo reject
            }
        }",
    ),
    (
        "containers",
        "table ip nat {
            chain CONTAINERS { iifname docker0 return; tcp dport 8080 iifname != docker0 dnat to 172.17.0.2:80; }
            chain prerouting { type nat hook prerouting priority -100; fib daddr type local jump CONTAINERS; }
            chain output {
                type nat hook output priority -100;
                ip daddr != 127.0.0.0/8 fib daddr type local jump CONTAINERS
            }
            chain postrouting {
                type nat hook postrouting priority 100;
                ip saddr 172.17.0.0/16 oifname != docker0 masquerade
            }
        }
        table ip filter {
            chain USER { return; }
            chain forward {
                type filter hook forward priority 0; policy drop;
                jump USER
                oifname docker0 ct state established,related accept
                iifname docker0 oifname != docker0 accept
                iifname docker0 oifname docker0 accept
                ip daddr 172.17.0.2 tcp dport 80 iifname != docker0 oifname docker0 accept
            }
        }",
    ),
    (
        "router",
        "table inet fw {
            chain from_lan { meta l4proto { tcp, udp } th dport 53 accept; ip daddr 192.168.0.0/16 goto refuse; }
            chain from_wan { ct status dnat accept; udp sport 67 udp dport 68 accept; goto refuse; }
            chain refuse { meta l4proto tcp reject with tcp reset; reject with icmpx port-unreachable; }
            chain input {
                type filter hook input priority 0; policy drop;
                ct state vmap { established : accept, related : accept, invalid : drop }
                iifname vmap { lo : accept, br-lan : jump from_lan, wan : jump from_wan }
            }
            chain forward {
                type filter hook forward priority 0; policy drop;
                ct state established,related accept
                iifname br-lan oifname wan accept
                meta nfproto ipv6 icmpv6 type { destination-unreachable, packet-too-big } accept
            }
            chain mangle {
                type route hook output priority -150;
                ip dscp ef meta mark set 0x1
                tcp dport 1000-2000 meta mark set meta mark or 0x20
            }
            chain zones { type filter hook prerouting priority -300; udp dport 53 ct zone set 7; tcp dport 9 notrack; }
        }",
    ),
];
