//! Sets, maps and named objects, and the parts of rules that use them.

use super::Dice;
use super::fields::{Kind, field, value};
use super::rules::{concatenation, elements, verdict};
use super::statements::carried;

/// The types that a set can be declared with.
const TYPES: &[(&str, Kind, &str)] = &[
    ("ipv4_addr", Kind::Ip, "ip saddr"),
    ("ipv6_addr", Kind::Ip6, "ip6 daddr"),
    ("ether_addr", Kind::Ether, "ether saddr"),
    ("inet_proto", Kind::Names(&["tcp", "udp", "icmp"], 8), "meta l4proto"),
    ("inet_service", Kind::Names(&["ssh", "http"], 16), "tcp dport"),
    ("mark", Kind::Mark, "meta mark"),
    ("ifname", Kind::Ifname, "iifname"),
    ("iface_index", Kind::Iface, "iif"),
    ("uid", Kind::Names(&["root"], 16), "meta skuid"),
    ("ct_state", Kind::Texts(&["new", "established", "related"]), "ct state"),
    ("icmp_type", Kind::Names(&["echo-request", "redirect"], 8), "icmp type"),
    ("icmpv6_type", Kind::Names(&["echo-request", "nd-redirect"], 8), "icmpv6 type"),
    ("dscp", Kind::Names(&["cs1", "ef"], 6), "ip dscp"),
    ("ether_type", Kind::Names(&["ip", "arp"], 16), "ether type"),
    ("pkt_type", Kind::Texts(&["host", "multicast"]), "meta pkttype"),
    ("tcp_flag", Kind::Texts(&["syn", "syn | ack", "fin"]), "tcp flags"),
    ("nf_proto", Kind::Texts(&["ipv4", "ipv6"]), "meta nfproto"),
    ("fib_addrtype", Kind::Texts(&["local", "unicast"]), "fib daddr type"),
    ("devgroup", Kind::Number(16), "meta iifgroup"),
    ("classid", Kind::Texts(&["1:2", "none"]), "meta priority"),
];

/// A declaration, and how rules use it.
pub(super) struct Declared {
    pub(super) keyword: &'static str,
    pub(super) name: String,
    pub(super) body: Vec<String>,
    /// The elements, which may be added by a command of their own.
    pub(super) elements: Option<String>,
    pub(super) uses: Vec<String>,
}

pub(super) fn object(dice: &mut Dice, index: usize) -> Declared {
    let name = format!("o{index}");
    let (keyword, body, uses): (_, &[&str], &[&str]) = match dice.below(9) {
        0 => ("counter", &[], &["counter name \"NAME\"", "counter name NAME"]),
        1 => ("counter", &["packets 7 bytes 900"], &["counter name tcp dport map { 80 : \"NAME\" }"]),
        2 => ("quota", &["over 25 mbytes used 1 kbytes"], &["quota name \"NAME\""]),
        3 => ("limit", &["rate over 400/minute burst 9 packets"], &["limit name \"NAME\"", "limit name NAME drop"]),
        4 => ("limit", &["rate 7 kbytes/second"], &["limit name ip saddr map { 10.0.0.0/8 : \"NAME\" }"]),
        5 => ("ct helper", &["type \"ftp\" protocol tcp", "l3proto ip"], &["ct helper set \"NAME\""]),
        6 => (
            "ct timeout",
            &["protocol tcp", "l3proto ip", "policy = { established : 2m, close : 20s }"],
            &["ct timeout set \"NAME\""],
        ),
        7 => (
            "ct expectation",
            &["protocol udp", "dport 9876", "timeout 2m", "size 12", "l3proto ip"],
            &["ct expectation set \"NAME\""],
        ),
        _ => ("synproxy", &["mss 1460", "wscale 7", "timestamp sack-perm"], &["synproxy name \"NAME\""]),
    };
    let mut body: Vec<String> = body.iter().map(|part| (*part).to_owned()).collect();
    if dice.chance(20) {
        body.push("comment \"an object\"".to_owned());
    }
    let uses = uses.iter().map(|used| used.replace("NAME", &name)).collect();
    Declared { keyword, name, body, elements: None, uses }
}

pub(super) fn set(dice: &mut Dice, family: &str, index: usize) -> Declared {
    let name = format!("s{index}");
    let (declared, key, kinds) = match dice.below(5) {
        0 | 1 => {
            let (data, kind, field) = dice.pick(TYPES);
            (format!("type {data}"), field.to_owned(), vec![kind])
        }
        2 => {
            let parts: Vec<_> = (0..dice.from(2, 3)).map(|_| dice.pick(TYPES)).collect();
            let join = |part: fn(&(&'static str, Kind, &'static str)) -> &'static str| {
                parts.iter().map(part).collect::<Vec<_>>().join(" . ")
            };
            (format!("type {}", join(|part| part.0)), join(|part| part.2), parts.iter().map(|part| part.1).collect())
        }
        3 => {
            let (field, kind) = field(dice, family);
            (format!("typeof {field}"), field.to_owned(), vec![kind])
        }
        _ => {
            let (names, kinds) = concatenation(dice, family);
            (format!("typeof {names}"), names, kinds)
        }
    };
    let (intervals, timeout) = (dice.chance(40), dice.chance(20));
    let dynamic = !intervals && dice.chance(30);
    let flags = [("interval", intervals), ("timeout", timeout), ("dynamic", dynamic), ("constant", dice.chance(5))];
    let flags: Vec<&str> = flags.iter().filter(|(_, on)| *on).map(|(flag, _)| *flag).collect();
    let mut body = Vec::new();
    if !flags.is_empty() {
        body.push(format!("flags {}", flags.join(",")));
    }
    let mut property = |dice: &mut Dice, chance: usize, text: &str| {
        if dice.chance(chance) {
            body.push(text.to_owned());
        }
    };
    property(dice, 20, "size 1000");
    property(dice, if intervals { 20 } else { 0 }, "auto-merge");
    property(dice, if timeout { 50 } else { 0 }, "timeout 1h5m");
    property(dice, if timeout { 15 } else { 0 }, "gc-interval 7s");
    property(dice, 10, "policy memory");
    property(dice, 10, "comment \"a set, of {things}\"");
    let carries = dice.chance(15).then(|| carried(dice));
    body.extend(carries.clone());
    let extra = move |dice: &mut Dice| {
        let mut text = String::new();
        if timeout && dice.chance(30) {
            text += dice.pick(&[" timeout 30m", " timeout 1h5m", " timeout 1d expires 23h"]);
        }
        if dice.chance(10) {
            text += " comment \"e\"";
        }
        text
    };
    let empty = dice.chance(20);
    let mut uses = Vec::new();
    let (keyword, data, all) = match dice.below(5) {
        0 => {
            uses.push(format!("{key} vmap @{name}"));
            let all = elements(dice, &kinds, intervals, |dice| format!("{} : {}", extra(dice), verdict(dice)));
            ("map", Some("verdict".to_owned()), all)
        }
        1 => {
            let (data, kind, field) = dice.pick(TYPES);
            let by_field = declared.starts_with("typeof");
            match field {
                "meta mark" => uses.push(format!("meta mark set {key} map @{name}")),
                "ip saddr" => uses.push(format!("dnat ip to {key} map @{name}")),
                "tcp dport" => uses.push(format!("meta l4proto tcp redirect to {key} map @{name}")),
                "meta priority" => uses.push(format!("meta priority set {key} map @{name}")),
                _ => {}
            }
            let all = elements(dice, &kinds, intervals, |dice| format!("{} : {}", extra(dice), value(dice, kind)));
            ("map", Some(if by_field { field } else { data }.to_owned()), all)
        }
        _ => {
            uses.extend([format!("{key} @{name}"), format!("{key} != @{name}")]);
            if dynamic {
                let time = dice.pick(&["", " timeout 30s", " timeout 1h"]);
                let with =
                    carries.clone().unwrap_or_else(|| if dice.chance(40) { carried(dice) } else { String::new() });
                let verb = dice.pick(&["add", "update", "update", "delete"]);
                uses = vec![format!("{verb} @{name} {{ {key}{time} {with} }}")];
            }
            ("set", None, elements(dice, &kinds, intervals, extra))
        }
    };
    let declared = match data {
        Some(data) => format!("{declared} : {data}"),
        None => declared,
    };
    body.insert(0, declared);
    Declared { keyword, name, body, elements: (!empty).then_some(all), uses }
}
