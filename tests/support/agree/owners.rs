//! Other programs with rules at the same hooks: iptables and ip6tables of both kinds, and tables
//! added later.

use super::dice::Dice;
use crate::support::{NetNs, command, nft_takes};

/// Adds rules of some programs, and returns the commands.
pub fn add(pod: &NetNs, dice: &mut Dice) -> String {
    let mut printed = String::new();
    for _ in 0..dice.from(1, 3) {
        if dice.chance(25) {
            let hook = dice.pick(&["prerouting", "input", "forward", "output", "postrouting"]);
            let rule = dice.pick(&[
                "counter",
                "meta mark set 0x1",
                "meta mark 0x1 drop",
                "udp dport 53 accept",
                "ip daddr 10.77.0.1 drop",
            ]);
            let text = format!(
                "table inet later {{ chain {hook} {{ type filter hook {hook} priority {}; {rule}; }}; }}",
                dice.pick(&[-300, -150, 0, 0])
            );
            // The same chain may exist with another priority.
            if pod.run(|| nft_takes(&text)).is_ok() {
                printed += &format!("\n{text}");
            }
            continue;
        }
        let program = dice.pick(&["iptables-nft", "iptables-nft", "ip6tables-nft", "iptables-legacy"]);
        let words = dice.pick(RULES);
        let done = pod.run(|| command(program).arg("-w").args(words.split(' ')).output());
        if done.is_ok_and(|done| done.status.success()) {
            printed += &format!("\n{program} {words}");
        }
    }
    printed
}

const RULES: &[&str] = &[
    "-t filter -A INPUT -p tcp --dport 8080 -j ACCEPT",
    "-t filter -A FORWARD -p udp -j DROP",
    "-t filter -A OUTPUT -m conntrack --ctstate NEW -j RETURN",
    "-t filter -A INPUT -m addrtype --dst-type LOCAL",
    "-t filter -A INPUT -m length --length 28:60",
    "-t filter -A OUTPUT -m owner --uid-owner 1000 -j ACCEPT",
    "-t filter -P FORWARD DROP",
    "-t mangle -A PREROUTING -p udp -j MARK --set-mark 7",
    "-t mangle -A OUTPUT -m mark --mark 0x1/0xff -j ACCEPT",
    "-t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN",
    "-t mangle -A POSTROUTING -m ttl --ttl-lt 10",
    "-t mangle -A INPUT -m comment --comment x -j CONNMARK --save-mark",
    "-t raw -A PREROUTING -p tcp -j CT --notrack",
    "-t nat -A PREROUTING -p udp --dport 9000 -j REDIRECT --to-ports 8080",
    "-t nat -A OUTPUT -p udp --dport 9001 -j REDIRECT --to-ports 8080",
    "-t nat -A POSTROUTING -o eth1 -j MASQUERADE",
];
