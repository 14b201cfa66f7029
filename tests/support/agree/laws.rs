//! Random tables as nft text, one rule per line; lines that nft or the kernel refuses are left out.

use std::io::Write as _;
use std::process::Stdio;

use nftmesh::bytecode::Expr;
use nftmesh::model::{RuleHandle, Verdict};
use nftmesh::state::Snapshot;

use super::dice::Dice;
use super::words::{self, Named};
use crate::support::{command, nft_takes};

/// A script of which some lines may be left out.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The text of each line, and whether it may be left out.
    lines: Vec<(String, bool)>,
}

impl Script {
    /// Returns a script of which nothing may be left out.
    pub fn whole(text: &str) -> Self {
        Script { lines: text.lines().map(|line| (line.to_owned(), false)).collect() }
    }

    fn line(&mut self, line: impl Into<String>) {
        self.lines.push((line.into(), false));
    }

    fn optional(&mut self, line: impl Into<String>) {
        self.lines.push((line.into(), true));
    }

    pub fn text(&self) -> String {
        self.lines.iter().map(|(line, _)| format!("{line}\n")).collect()
    }

    /// Loads the lines that nft accepts, and returns how many were left out; `None` when nothing
    /// can be loaded.
    pub fn load(&mut self) -> Option<usize> {
        let before = self.lines.len();
        for _ in 0..TRIES {
            let Err(printed) = nft_takes(&self.text()) else { return Some(before - self.lines.len()) };
            let number = |line: &str| line.strip_prefix("/dev/stdin:")?.split(':').next()?.parse::<usize>().ok();
            let mut wrong: Vec<usize> = printed.lines().filter_map(number).map(|number| number - 1).collect();
            if wrong.is_empty() {
                wrong.push(self.breaks_nft()?);
            }
            wrong.sort_unstable();
            wrong.dedup();
            let known = self.lines.len();
            for at in wrong.into_iter().rev() {
                if self.lines.get(at).is_some_and(|(_, is_optional)| *is_optional) {
                    let (line, _) = self.lines.remove(at);
                    if std::env::var_os("NFTMESH_LEFT_OUT").is_some() {
                        eprintln!("left out: {line}: {}", printed.lines().next().unwrap_or_default());
                    }
                }
            }
            if self.lines.len() == known {
                return None;
            }
        }
        None
    }

    /// Returns the line over which nft aborts with a failed assertion: the last line of the
    /// shortest prefix that does.
    fn breaks_nft(&self) -> Option<usize> {
        let optional: Vec<usize> =
            (0..self.lines.len()).filter(|at| self.lines.get(*at).is_some_and(|(_, is)| *is)).collect();
        let breaks = |count: usize| {
            let last = optional.get(count - 1).copied().unwrap_or(0);
            let kept = self.lines.iter().enumerate().filter(|(at, (_, is_optional))| !is_optional || *at <= last);
            let text: String = kept.map(|(_, (line, _))| format!("{line}\n")).collect();
            let mut command = command("nft");
            command.args(["-c", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().expect("nft is installed");
            drop(child.stdin.take().expect("stdin is a pipe").write_all(text.as_bytes()));
            child.wait().expect("a child that was started can be waited for").code().is_none()
        };
        let (mut low, mut high) = (0, optional.len());
        while high > low + 1 {
            let middle = (low + high) / 2;
            if breaks(middle) { high = middle } else { low = middle }
        }
        optional.get(high.checked_sub(1)?).copied()
    }
}

/// Returns random tables that packets of any kind meet.
pub fn script(dice: &mut Dice) -> Script {
    let mut script = Script::default();
    let decides = dice.chance(60);
    for number in 0..dice.from(1, 3) {
        let family = dice.pick(&["inet", "inet", "inet", "ip", "ip6"]);
        table(dice, &mut script, family, &format!("t{number}"), decides);
    }
    if dice.chance(15) {
        devices(dice, &mut script);
    }
    script
}

fn table(dice: &mut Dice, script: &mut Script, family: &str, name: &str, decides: bool) {
    script.line(format!("table {family} {name} {{"));
    script.optional("counter c { }");
    if decides && dice.chance(30) {
        let filled = if family == "ip6" { "ipv6_addr" } else { "ipv4_addr" };
        script.optional(format!("set filled {{ type {filled}; flags dynamic,timeout; timeout 1h; }}"));
        script.optional(format!("map filled-map {{ type {filled} : mark; flags dynamic; }}"));
        script.optional("map counters { type inet_service : counter; elements = { 53 : \"c\", 9000 : \"c\" }; }");
    }
    let subs = ["sub0", "sub1", "sub2"];
    let mut uses: Vec<String> = Vec::new();
    for number in 0..dice.from(1, 5) {
        let kind = dice.pick(&[Named::Set, Named::Set, Named::Marks, Named::Verdicts]);
        let kind = if decides || kind == Named::Set { kind } else { Named::Set };
        let (declared, used) = words::named(dice, &format!("s{number}"), kind, &subs[..2]);
        script.optional(declared);
        uses.push(used);
    }
    let mut calls: &[&str] = &subs;
    while let Some((sub, later)) = calls.split_last() {
        // A chain must exist before it is called.
        script.line(format!("chain {sub} {{"));
        let deeper: Vec<&str> = subs.iter().copied().skip(calls.len()).collect();
        for _ in 0..dice.from(1, 4) {
            script.optional(rule(dice, &deeper, &[], decides));
        }
        script.line("}");
        calls = later;
    }
    // No packet has this port; but that NAT is active shows in the status of connections.
    if dice.chance(20) {
        script.line("chain nat0 { type nat hook prerouting priority -100; policy accept;");
        script.optional("udp dport 1 redirect");
        script.line("}");
    }
    for number in 0..dice.from(2, 5) {
        let hook = dice.pick(&["prerouting", "prerouting", "input", "forward", "output", "output", "postrouting"]);
        let priority = dice.pick(&[-450, -300, -300, -150, -100, 0, 0, 0, 10, 99, 102]);
        let policy = if decides && dice.chance(5) { "drop" } else { "accept" };
        let kind = if decides && hook == "output" && priority > -200 && dice.chance(20) { "route" } else { "filter" };
        script.line(format!("chain b{number} {{ type {kind} hook {hook} priority {priority}; policy {policy};"));
        for _ in 0..dice.from(4, 16) {
            script.optional(rule(dice, &subs, &uses, decides));
        }
        script.line("}");
    }
    script.line("}");
}

fn rule(dice: &mut Dice, subs: &[&str], uses: &[String], decides: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    for _ in 0..dice.pick(&[1, 1, 1, 1, 2, 2, 3]) {
        parts.push(words::condition(dice));
    }
    if !uses.is_empty() && dice.chance(25) {
        parts.push(dice.pick(uses));
    }
    if decides && dice.chance(12) {
        parts.push(words::change(dice));
    }
    if decides && dice.chance(3) {
        parts.push(dice.pick(CHANGES).into());
    }
    if decides && dice.chance(18) {
        parts.push(words::verdict(dice, subs));
    } else if dice.chance(20) {
        parts.push("counter".into());
    }
    // A map of verdicts ends a rule.
    let ends = |part: &String| part.contains(" vmap ");
    let end = parts.iter().position(ends).map_or(parts.len(), |at| at + 1);
    parts.truncate(end);
    parts.join(" ")
}

/// Statements that change what later packets find, where walks end.
const CHANGES: &[&str] = &[
    "add @filled { ip saddr }",
    "update @filled { ip daddr timeout 1m }",
    "delete @filled { ip6 saddr }",
    "add @filled-map { ip saddr : 0x7 }",
    "counter name udp dport map @counters",
];

/// Chains of devices, most of which leave every packet as it is.
fn devices(dice: &mut Dice, script: &mut Script) {
    let (family, hooks): (_, &[&str]) =
        if dice.chance(70) { ("netdev", &["ingress", "egress"]) } else { ("inet", &["ingress"]) };
    let acts = dice.chance(30);
    script.line(format!("table {family} {OF_DEVICES} {{"));
    script.line("chain sub { ");
    for _ in 0..dice.from(0, 2) {
        script.optional(words::condition(dice));
    }
    script.line("}");
    for number in 0..dice.from(1, 2) {
        let (hook, device) = (dice.pick(hooks), dice.pick(&["lo", "eth0", "eth1"]));
        script.line(format!("chain d{number} {{ type filter hook {hook} device {device} priority 0; policy accept;"));
        for _ in 0..dice.from(1, 5) {
            let end = match dice.below(10) {
                0 | 1 if acts => dice.pick(&["drop", "meta mark set 0x7"]),
                0 | 1 => "accept",
                2 => "jump sub",
                3 => "counter",
                4 => "return",
                5 => "limit rate 1/hour accept",
                _ => "",
            };
            script.optional(format!("{} {end}", words::condition(dice)));
        }
        script.line("}");
    }
    script.line("}");
}

/// Name of the table with device chains.
pub const OF_DEVICES: &str = "of-devices";
/// Maximum number of attempts; nft names ten faulty lines at a time.
const TRIES: usize = 30;

/// Returns rules of nft's own tests, of families that are walked, without their verdicts.
pub fn of_corpus(dice: &mut Dice, lines: &[&str]) -> Script {
    let mut script = Script::default();
    for family in ["ip", "ip6", "inet"] {
        script.line(format!("table {family} corpus {{"));
        for hook in ["prerouting", "input", "forward", "output", "postrouting"] {
            script.line(format!("chain {hook} {{ type filter hook {hook} priority 5; policy accept;"));
            for line in lines.iter().filter(|line| line.starts_with(&format!("{family}\t"))) {
                let columns: Vec<&str> = line.split('\t').collect();
                let ([_, _, rule], true) = (columns.as_slice(), dice.chance(40)) else { continue };
                let ends = [" accept", " drop", " continue", " return", " queue", " reject"];
                script.optional(ends.iter().fold(*rule, |rule, end| rule.trim_end_matches(end)));
            }
            script.line("}");
        }
        script.line("}");
    }
    script
}

/// Two rules of one chain.
#[derive(Clone, Debug)]
pub struct Pair {
    pub name: String,
    pub chain: String,
    pub handles: [RuleHandle; 2],
}

/// Returns chains in which every rule occurs twice, once with a word changed. Comments name the
/// pairs; no rule decides.
pub fn pairs(dice: &mut Dice, count: usize) -> Script {
    let mut script = Script::default();
    script.line("table inet pairs {");
    for (at, hook) in ["prerouting", "input", "forward", "output", "postrouting"].into_iter().enumerate() {
        script.line(format!("chain {hook} {{ type filter hook {hook} priority 0; policy accept;"));
        for number in 0..count / 5 {
            let rule = (0..dice.from(1, 2)).map(|_| words::condition(dice)).collect::<Vec<_>>().join(" ");
            // Values that the kernel draws or counts separately for each rule.
            if ["jhash", "numgen", "random"].iter().any(|word| rule.contains(word)) {
                continue;
            }
            for rule in [&rule, &changed(dice, &rule)] {
                script.optional(format!("{rule} comment \"{at}-{number}\""));
            }
        }
        script.line("}");
    }
    script.line("}");
    script
}

/// Returns the rule with one word or number changed.
fn changed(dice: &mut Dice, rule: &str) -> String {
    let words: Vec<&str> = rule.split(' ').collect();
    for _ in 0..20 {
        let at = dice.below(words.len());
        let word = words.get(at).copied().unwrap_or_default();
        let other: String = match word {
            "!=" => "==".into(),
            "==" => "!=".into(),
            "saddr" => "daddr".into(),
            "daddr" => "saddr".into(),
            "sport" => "dport".into(),
            "dport" => "sport".into(),
            "tcp" => "udp".into(),
            "iif" => "oif".into(),
            "iifname" => "oifname".into(),
            "skuid" => "skgid".into(),
            "original" => "reply".into(),
            "<" => "<=".into(),
            ">=" => ">".into(),
            "exists" => "missing".into(),
            "local" => "unicast".into(),
            "new" => "established".into(),
            "type" => "id".into(),
            number => match number.trim_end_matches(',').parse::<u64>() {
                Ok(known) => number.replacen(&known.to_string(), &(known ^ (1 << dice.below(8))).to_string(), 1),
                Err(_) if number.contains('-') => {
                    let (first, last) = number.split_once('-').unwrap_or_default();
                    match (first.parse::<u64>(), last.trim_end_matches(',').parse::<u64>()) {
                        (Ok(first), Ok(_)) => format!("{}-{last}", first.saturating_sub(1)),
                        _ => continue,
                    }
                }
                Err(_) => continue,
            },
        };
        let mut all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        if let Some(slot) = all.get_mut(at) {
            *slot = other;
        }
        return all.join(" ");
    }
    rule.to_owned()
}

/// Returns the pairs of which the kernel has both rules.
pub fn known_pairs(snapshot: &Snapshot) -> Vec<Pair> {
    let tables = snapshot.tables.iter().filter(|table| table.id.name == *"pairs");
    let mut all: Vec<Pair> = Vec::new();
    for chain in tables.flat_map(|table| &table.chains) {
        let named = chain.rules.iter().map(|rule| {
            let text: String = rule.userdata.iter().map(|byte| char::from(*byte)).collect();
            (text.trim_matches(|c: char| !c.is_ascii_digit()).to_owned(), rule.handle)
        });
        let named: Vec<_> = named.collect();
        for two in named.windows(2) {
            if let [(a, first), (b, second)] = two {
                if a == b {
                    all.push(Pair { name: a.clone(), chain: chain.name.to_string(), handles: [*first, *second] });
                }
            }
        }
    }
    all
}

/// Returns the rules with only that one, made to drop.
pub fn alone(snapshot: &Snapshot, chain: &str, handle: RuleHandle) -> Snapshot {
    let mut alone = snapshot.clone();
    alone.tables.retain(|table| table.id.name == *"pairs");
    for table in &mut alone.tables {
        table.chains.retain(|known| known.name == *chain);
        for rule in table.chains.iter_mut().map(|chain| &mut chain.rules) {
            rule.retain(|rule| rule.handle == handle);
            rule.iter_mut().for_each(|rule| rule.exprs.push(Expr::Verdict(Verdict::Drop)));
        }
    }
    alone
}
