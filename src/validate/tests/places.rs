//! Names, comments, chains, and targets in the wrong place.

use super::made::*;
use crate::model::*;

pub(super) fn cases() -> Vec<(Ruleset, &'static str)> {
    vec![
        // Names and text.
        (
            of(Table::new(Family::Ip, "a\nb")),
            "table ip a\\nb: the name may hold only letters, digits, '/', '\\', '_', '.' and '-'",
        ),
        (of(Table::new(Family::Ip, "")), "table ip \"\": the name is empty; give 1 to 255 characters"),
        (
            of(Table::new(Family::Ip, "t")).table(Table::new(Family::Ip, "t")),
            "table ip t: is defined twice; rename one or merge them",
        ),
        (
            of(Table::new(Family::Ip, "t").chain(Chain::regular("c")).chain(Chain::regular("c"))),
            "chain ip t/c: is defined twice; rename one or merge them",
        ),
        (
            of(Table::new(Family::Ip, "t").set(port_set()).set(port_set())),
            "set ip t/s: is defined twice; rename one or merge them",
        ),
        // Objects, and what names them.
        (
            of(Table::new(Family::Ip, "t").object(Object::counter("c")).object(Object::counter("c"))),
            "counter ip t/c: is defined twice; rename one or merge them",
        ),
        (
            of(Table::new(Family::Ip, "t").object(Object::new("e", CtHelper::new("", Protocol::TCP)))),
            "ct helper ip t/e: the name of a helper has 1 to 15 bytes; give one such as ftp",
        ),
        (
            of(Table::new(Family::Ip, "t").object(Object::new("y", Synproxy::default()))),
            "synproxy ip t/y: nft reads no synproxy without mss and wscale; give both",
        ),
        (
            of(Table::new(Family::Ip, "t").object(Object::new("t", CtTimeout::new(Protocol::TCP).after("open", 1)))),
            "ct timeout ip t/t: no such state; tcp has syn_sent, syn_recv, established, fin_wait, close_wait, last_ack, \
             time_wait, close, syn_sent2, retrans, unack, and udp has unreplied, replied",
        ),
        (
            input(Rule::new().object(ObjectKind::CtHelper, "none")),
            "rule 1 of inet t/in, statement 1 (ct helper set): there is no ct helper none in the table; define it or \
             correct the name",
        ),
        (
            input(Rule::new().comment("x".repeat(129))),
            "rule 1 of inet t/in: the comment has 129 bytes; at most 128 are allowed",
        ),
        (
            input(Rule::new().comment("a\"b")),
            "rule 1 of inet t/in: the comment holds '\"', which nft cannot read back; leave it out",
        ),
        (
            with(port_set().comment("a\nb")),
            "set inet t/s: the comment holds '\\n', which nft cannot read back; leave it out",
        ),
        (
            with(port_set().elements([port(1).comment("\0")])),
            "element 1 of set inet t/s: the comment holds '\\0', which nft cannot read back; leave it out",
        ),
        (
            input(Rule::new().log(Log::default().prefix("x".repeat(128)))),
            "rule 1 of inet t/in, statement 1 (log): the log prefix has 128 bytes; at most 127 are allowed",
        ),
        (
            input(Rule::new().log(Log::default().prefix("$5"))),
            "rule 1 of inet t/in, statement 1 (log): the log prefix holds '$', which nft cannot read back; leave it out",
        ),
        (
            input(Rule::new().iifname("a/b")),
            "rule 1 of inet t/in, statement 1 (iifname): interface name a/b may not hold blanks, control characters, '/', ':' or quotes",
        ),
        (
            input(Rule::new().log(Log::default().prefix("a\0"))),
            "rule 1 of inet t/in, statement 1 (log): the log prefix holds '\\0', which nft cannot read back; leave it out",
        ),
        (
            input(Rule::new().iifname("an-interface-name")),
            "rule 1 of inet t/in, statement 1 (iifname): interface name an-interface-name is longer than the 15 bytes of an interface name",
        ),
        (
            of(Table::new(Family::Ip, "a\0")),
            "table ip a\\0: the name may hold only letters, digits, '/', '\\', '_', '.' and '-'",
        ),
        (
            input(Rule::new().comment("x".repeat(254))),
            "rule 1 of inet t/in: the comment has 254 bytes; at most 128 are allowed",
        ),
        // Chains.
        (
            inet(base("forward", ChainType::Nat, Hook::Forward)),
            "chain inet t/forward: type nat cannot hook forward (nat hooks: prerouting, input, output, postrouting)",
        ),
        (
            inet(base("pre", ChainType::Route, Hook::Prerouting)),
            "chain inet t/pre: type route cannot hook prerouting (route hooks: output)",
        ),
        (
            inet(Chain::base("pre", ChainType::Nat, Hook::Prerouting, Priority(-200))),
            "chain inet t/pre: priority -200 is not after connection tracking (-200), as type nat requires; use -100 (dstnat) or 100 (srcnat)",
        ),
        (
            of(Table::new(Family::Arp, "t").chain(base("f", ChainType::Filter, Hook::Forward))),
            "chain arp t/f: no chain of type filter hooks forward of family arp (type filter hooks: input, output)",
        ),
        (
            of(Table::new(Family::Netdev, "t").chain(base("i", ChainType::Filter, Hook::Input))),
            "chain netdev t/i: no chain of type filter hooks input of family netdev (type filter hooks: ingress, egress)",
        ),
        (
            of(Table::new(Family::Bridge, "t").chain(base("o", ChainType::Route, Hook::Output))),
            "chain bridge t/o: no chain of type route hooks output of family bridge (type filter hooks: prerouting, \
             input, forward, output, postrouting)",
        ),
        (
            of(Table::new(Family::Netdev, "t").chain(Chain::ingress("i", ["lo", "lo"], Priority::FILTER))),
            "chain netdev t/i: device lo is named twice; keep one of them",
        ),
        (
            of(Table::new(Family::Netdev, "t").chain(Chain::ingress("i", [""; 0], Priority::FILTER))),
            "chain netdev t/i: it names no device, so that it sees no packet; name one, as nft needs it",
        ),
        (
            input(Rule::new().counter().jump("gone")),
            "rule 1 of inet t/in, statement 2 (jump): there is no chain gone in the table; define it or correct the name",
        ),
        (
            to_base(),
            "rule 1 of inet t/a, statement 1 (jump): chain in is a base chain, which only the kernel calls; jump to a regular chain",
        ),
        (circle(), "rule 1 of inet t/b, statement 1 (goto): jumps in a circle: a, b, a; remove one of the jumps"),
        (
            nested(16),
            "chain inet t/b: jumps 16 chains deep, and the kernel follows 15: b, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15, r16",
        ),
        // Targets.
        (
            input(Rule::new().counter().redirect()),
            "rule 1 of inet t/in, statement 2 (redirect): works only in type nat at prerouting or output, this is type filter at input",
        ),
        (
            far_target(),
            "rule 1 of inet t/c, statement 1 (dnat): works only in type nat at prerouting or output, it runs in type filter at input (reached through in, a, b)",
        ),
        (
            nat(Rule::new().masquerade()),
            "rule 1 of inet t/nat, statement 1 (masquerade): works only in type nat at postrouting, this is type nat at prerouting",
        ),
        (
            inet(base("f", ChainType::Filter, Hook::Forward).rule(Rule::new().socket_transparent(1))),
            "rule 1 of inet t/f, statement 1 (socket transparent): works only at prerouting, input or output, this is type filter at forward",
        ),
        (
            input(Rule::new().oifname("eth0")),
            "rule 1 of inet t/in, statement 1 (oifname): no packet has one at input; oifname is known at forward, output, postrouting",
        ),
        (
            inet(base("o", ChainType::Filter, Hook::Output).rule(Rule::new().iif(1))),
            "rule 1 of inet t/o, statement 1 (iif): no packet has one at output; iif is known at prerouting, input, forward, postrouting",
        ),
        (
            input(Rule::new().accept().counter()),
            "rule 1 of inet t/in, statement 2 (counter): never runs, because it follows accept, which ends the rule; move it before that",
        ),
        (
            (0..129).fold(Rule::new(), |rule, _| rule.counter()).into_input(),
            "rule 1 of inet t/in: needs 129 expressions; a rule holds 128, split it",
        ),
    ]
}
