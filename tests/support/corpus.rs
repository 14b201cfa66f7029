//! Rule sets to read: one of everything that nft can express, and the corpus beside the project
//! (`../shared/nft-corpus`).

use std::fs;
use std::path::{Path, PathBuf};

use super::version::{CATCH_ALL, Version, needs_linux};
use super::{command, say};

/// One of everything.
pub const EVERYTHING: &[&str] = &[
    r#"table inet t {
        comment "of the table"
        counter seen { packets 7 bytes 900 }
        quota most { over 5 mbytes used 3 kbytes }
        limit often { rate 10/second burst 20 packets }
        limit much { rate over 1 mbytes/second }
        ct helper ftp { type "ftp" protocol tcp; l3proto ip; }
        ct timeout slow { protocol tcp; l3proto ip; policy = { established: 100, close: 4 }; }
        ct expectation expected { protocol tcp; dport 9876; timeout 2m; size 12; l3proto ip; }
        synproxy shield { mss 1460; wscale 7; timestamp sack-perm; }
        chain c {
            type filter hook input priority -7; policy drop;
            comment "of the chain"
            counter name "seen" limit name "often" quota name "most" accept
            tcp dport 21 ct helper set "ftp"
            ct timeout set "slow" ct expectation set "expected"
            synproxy name "shield"
            numgen random mod 10 < 3 drop comment "of the rule"
            ip saddr and 255.255.0.0 == 10.0.0.0 meta mark set jhash ip saddr mod 7 seed 0x55 offset 3
            tcp option maxseg size set 1400
            ct count over 5 reject with tcp reset
            exthdr frag exists drop
            ip dscp set cs1 ip ttl set 3
            quota over 3 mbytes used 1 kbytes drop
            meta random > 7 log prefix "x" group 2 snaplen 32 queue-threshold 3
            socket cgroupv2 level 1 "/" accept
        }
    }"#,
    r#"table ip t {
        map objects { type inet_service : counter; elements = { 80 : "one", * : "two" } }
        counter one { packets 0 bytes 0 }
        counter two { packets 3 bytes 4 }
        set counted { type ipv4_addr; counter; elements = { 10.0.0.1 counter packets 5 bytes 6, 10.0.0.2 } }
        set limited { type ipv4_addr . inet_service; flags dynamic,timeout; timeout 1h; size 1000; }
        set both { type ipv4_addr; flags dynamic; counter limit rate 3/second; }
        set every { type ipv4_addr; flags interval; counter; elements = { 10.0.0.0/8, * comment "every other" } }
        set small { typeof ip saddr; policy memory; flags interval,timeout; auto-merge; elements = { 10.0.0.1 timeout 1h, 10.2.0.0/16 } }
        set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 1-9, 10.1.0.0-10.1.0.9 . 80 } }
        map verdicts { type ipv4_addr : verdict; flags interval; elements = { 10.0.0.0/8 : jump r, * : drop } }
        map values { type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = { 10.0.0.1 . 80 : 10.0.0.2 . 81 } }
        map prefixes { type ipv4_addr : interval ipv4_addr; flags interval; elements = { 10.0.0.0/8 : 192.168.0.0/16 } }
        chain r { counter; }
        chain c {
            type nat hook prerouting priority -7; policy accept;
            counter name tcp dport map @objects
            add @limited { ip saddr . tcp dport timeout 5m limit rate 9/minute burst 5 packets }
            update @both { ip saddr counter limit rate 3/second }
            ip saddr vmap @verdicts
            dnat to ip saddr . tcp dport map @values
            counter name ip saddr map { 10.0.0.1 : "one", 10.0.0.2 : "two" }
            ip saddr { 10.0.0.1, 10.0.0.2 } tcp dport { 1-9, 80 } accept
            ip saddr . tcp dport { 10.0.0.0/8 . 1-5, 10.9.0.0/16 . 80 } accept
            meter old { ip saddr limit rate 5/second } accept
            ip protocol tcp redirect to :80-90 random
        }
    }"#,
    r#"table netdev t {
        chain in { type filter hook ingress device lo priority 5; policy accept; counter; meta mark set 4; fwd to lo; }
        chain several { type filter hook ingress devices = { lo } priority 6; policy accept; dup to lo; }
        chain out { type filter hook egress device lo priority 7; policy drop; ip saddr 10.0.0.1 accept; }
    }
    table inet t {
        chain in { type filter hook ingress device lo priority 8; policy accept; counter; }
    }
    table bridge t {
        chain c { type filter hook input priority 0; ether type ip drop; counter; }
    }
    table arp t {
        chain c { type filter hook input priority 0; arp operation request arp saddr ip 10.0.0.1 counter; }
    }"#,
    r#"table ip t {
        flags dormant
        chain c {
            type filter hook input priority 0;
            tcp dport 1 jump { ip saddr 10.0.0.1 accept; counter; }
            tcp dport 2 goto { ip saddr { 10.0.0.1, 10.0.0.2 } counter; drop; }
        }
    }"#,
];

/// Rules of iptables-nft and ip6tables-nft.
pub const XTABLES: &[(&str, &str)] = &[
    ("iptables-nft", "-A INPUT -p tcp -m tcp --dport 22 --tcp-flags SYN,ACK SYN -j ACCEPT"),
    ("iptables-nft", "-A INPUT -p tcp -m multiport --dports 80,443,1000:2000 -m comment --comment words -j ACCEPT"),
    ("iptables-nft", "-A INPUT -p udp -m udp --sport 53 -m limit --limit 3/min -j DROP"),
    ("iptables-nft", "-A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT"),
    ("iptables-nft", "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
    ("iptables-nft", "-A INPUT -m addrtype --dst-type LOCAL -m statistic --mode random --probability 0.5 -j ACCEPT"),
    ("iptables-nft", "-A OUTPUT -p tcp -m owner ! --uid-owner 1337 -j REJECT --reject-with tcp-reset"),
    ("iptables-nft", "-A OUTPUT -m owner --gid-owner 1337 -m mark --mark 0x1/0xff -j LOG --log-prefix x"),
    ("iptables-nft", "-P FORWARD DROP"),
    ("iptables-nft", "-t mangle -A PREROUTING -p tcp -j TPROXY --on-port 15006 --tproxy-mark 0x539/0xffffffff"),
    ("iptables-nft", "-t mangle -A FORWARD -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu"),
    ("iptables-nft", "-t mangle -A OUTPUT -p tcp --sport 7 -j CONNMARK --restore-mark"),
    ("iptables-nft", "-t nat -N own"),
    ("iptables-nft", "-t nat -A PREROUTING ! -i lo -p tcp -j own"),
    ("iptables-nft", "-t nat -A own -p tcp -j REDIRECT --to-ports 15006"),
    ("iptables-nft", "-t nat -A own -p tcp --dport 80 -j DNAT --to-destination 10.0.0.1:8080"),
    ("iptables-nft", "-t nat -A POSTROUTING -s 10.0.0.0/8 ! -o lo -j MASQUERADE"),
    ("iptables-nft", "-t raw -A OUTPUT -p udp --dport 53 -j CT --zone 1"),
    ("ip6tables-nft", "-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT"),
    ("ip6tables-nft", "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT"),
    ("ip6tables-nft", "-t nat -A OUTPUT -p tcp -m multiport --dports 80,443 -j REDIRECT --to-ports 15001"),
];

/// Returns the script without what came after the running version of Linux; each part is a printed
/// skip.
pub fn as_this_kernel(script: &str) -> String {
    let mut kept = script.to_owned();
    for (part, instead, since, what) in CAME_LATER {
        if kept.contains(part) && !needs_linux(since, what) {
            kept = kept.replace(part, instead);
        }
    }
    kept
}

/// A part of a script, its replacement on older kernels, and the version that brought it.
const CAME_LATER: [(&str, &str, Version, &str); 8] = [
    ("counter limit rate 3/second", "counter", (5, 11), "sets with two expressions"),
    (r#"socket cgroupv2 level 1 "/" accept"#, "", (5, 13), "socket cgroupv2"),
    (r#", * : "two""#, "", CATCH_ALL, "catch-all elements"),
    (r#", * comment "every other""#, "", CATCH_ALL, "catch-all elements"),
    (", * : accept", "", CATCH_ALL, "catch-all elements"),
    (", * : drop", "", CATCH_ALL, "catch-all elements"),
    (
        "chain out { type filter hook egress device lo priority 7; policy drop; ip saddr 10.0.0.1 accept; }",
        "",
        (5, 16),
        "egress",
    ),
    (r#"chain e { type filter hook egress device "lo" priority 0; policy drop; jump r; }"#, "", (5, 16), "egress"),
];

/// Returns, for every rule of a list, the commands that make a table with it. No element expires
/// while a test works with it.
pub fn rules_of(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("text");
    let text = ["5", "30", "60"]
        .iter()
        .fold(text, |text, short| text.replace(&format!("timeout {short}s"), &format!("timeout {short}000s")));
    text.lines().filter(|line| !line.starts_with('#')).enumerate().map(|(n, line)| loading(n, line)).collect()
}

/// Returns the files of a folder, by name.
pub fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    files
}

/// Returns the commands that make a table with one rule of the corpus.
fn loading(number: usize, line: &str) -> String {
    let mut columns = line.split('\t');
    let mut column = || columns.next().unwrap_or_default();
    let (family, chain, rule, before) = (column(), column(), column(), column());
    let (name, hook) = chain.split_once(';').expect("a chain has a hook");
    let table = format!("{family} t{number}");
    let before: String = before
        .split(" ;; ")
        .map(|command| command.replacen(&format!("{family} t "), &format!("{table} "), 1) + "\n")
        .collect();
    format!("add table {table}\nadd chain {table} {name} {{ {hook}; }}\n{before}add rule {table} {name} {rule}\n")
}

/// Loads a script, and returns whether nft accepts it.
pub fn loads(script: &str) -> bool {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), script).expect("a temporary file can be written");
    let output = command("nft").arg("-f").arg(file.path()).output().expect("nft is installed");
    output.status.success()
}

pub fn corpus(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/nft-corpus").join(name);
    if path.exists() {
        return Some(path);
    }
    say(format_args!("SKIP: no {}", path.display()));
    None
}
