//! The effects that the rules of a chain can have on a packet and that matter to later chains.

use std::collections::BTreeSet;
use std::fmt;

use crate::attr::Attributes;
use crate::bytecode::{AnonymousSet, CtKey, ElementCode, ElementDataCode, Expr, LookupSet, MetaKey};
use crate::error::Escaped;
use crate::model::{Hook, Name, Verdict};
use crate::state::TableState;
use crate::xt::Extension;

/// Something that a rule can do to a packet. Whether it ever happens is not considered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Power {
    /// Drop or reject it.
    Drop,
    /// Translate its addresses or ports; the first chain that does so wins.
    Translate,
    /// Assign it to a socket that it was not sent to.
    Tproxy,
    /// Pass it to a program, which decides.
    Queue,
    /// Exclude it from connection tracking, without which it is not translated.
    Untrack,
    /// Put its connection into a zone; the first zone is final.
    Zone,
    /// Set its mark.
    Mark,
    /// Set the mark of its connection.
    ConnectionMark,
    /// Rewrite its headers.
    Rewrite,
    /// Something unknown here: an expression or an extension of xtables.
    Unknown(String),
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Power::ConnectionMark => "set the connection's mark",
            Power::Drop => "drop packets",
            Power::Mark => "set the packet's mark",
            Power::Queue => "hand packets to a program (queue)",
            Power::Rewrite => "rewrite headers",
            Power::Tproxy => "give packets to another socket (tproxy)",
            Power::Translate => "translate connections first (dnat, redirect)",
            Power::Unknown(what) => return write!(f, "do what is not known here ({})", Escaped::new(what)),
            Power::Untrack => "exclude packets from connection tracking (notrack)",
            Power::Zone => "set the connection tracking zone",
        })
    }
}

/// Returns what a base chain can do, including all chains that its verdicts lead to.
pub(super) fn of_chain(table: &TableState, name: &Name, hook: Hook, priority: i32) -> BTreeSet<Power> {
    let mut can = BTreeSet::new();
    let base = table.chain(name.as_str());
    if base.and_then(|chain| chain.hook.as_ref()).is_some_and(|hook| hook.policy == POLICY_DROP) {
        can.insert(Power::Drop);
    }
    let (mut seen, mut next) = (BTreeSet::from([name]), vec![name]);
    while let Some(chain) = next.pop().and_then(|name| table.chain(name.as_str())) {
        if chain.unlisted > 0 {
            can.insert(Power::Unknown("rules that the kernel does not list".to_owned()));
        }
        for expr in chain.rules.iter().flat_map(|rule| &rule.exprs) {
            of_expr(expr, &mut can);
            for verdict in verdicts(table, expr) {
                can.extend((*verdict == Verdict::Drop).then_some(Power::Drop));
                next.extend(verdict.target().filter(|target| seen.insert(target)));
            }
        }
    }
    // After connection tracking neither has any effect.
    if priority > CONNTRACK || !matches!(hook, Hook::Prerouting | Hook::Output) {
        can.remove(&Power::Untrack);
        can.remove(&Power::Zone);
    }
    can
}

/// Returns the verdicts that an expression can give, including those of a map.
pub(super) fn verdicts<'t>(table: &'t TableState, expr: &'t Expr) -> Vec<&'t Verdict> {
    let of = |elements: &'t [ElementCode]| {
        let verdict = |element: &'t ElementCode| match element.data.as_deref() {
            Some(ElementDataCode::Verdict(verdict)) => Some(verdict),
            Some(ElementDataCode::Value(_)) | None => None,
        };
        elements.iter().filter_map(verdict).collect()
    };
    match expr {
        Expr::Verdict(verdict) => vec![verdict],
        Expr::Lookup { set: LookupSet::Anonymous(set), .. } => {
            let AnonymousSet { elements, .. } = &**set;
            of(elements)
        }
        Expr::Lookup { set: LookupSet::Named(name), .. } => {
            table.set(name.as_str()).map_or_else(Vec::new, |set| of(&set.elements))
        }
        _ => Vec::new(),
    }
}

fn of_expr(expr: &Expr, can: &mut BTreeSet<Power>) {
    let power = match expr {
        Expr::Bitwise(_)
        | Expr::BitwiseTo(_)
        | Expr::Shift(_)
        | Expr::Combine(_)
        | Expr::ByteorderTo(_)
        | Expr::Connlimit(_)
        | Expr::CtDirected(_)
        | Expr::Dup(_)
        | Expr::Dynset(_)
        | Expr::Exthdr(_)
        | Expr::ExthdrSet(_)
        | Expr::ExthdrReset(_)
        | Expr::Inner(_)
        | Expr::Jhash(_)
        | Expr::Symhash(_)
        | Expr::Last(_)
        | Expr::Numgen(_)
        | Expr::Objref(_)
        | Expr::ObjrefMap(_)
        | Expr::Osf(_)
        | Expr::Quota(_)
        | Expr::Rt(_)
        | Expr::SocketCgroup(_)
        | Expr::Tunnel(_)
        | Expr::Xfrm(_)
        | Expr::Byteorder { .. }
        | Expr::Cmp { .. }
        | Expr::Counter { .. }
        | Expr::Ct { .. }
        | Expr::Fib { .. }
        | Expr::Immediate { .. }
        | Expr::Limit(_)
        | Expr::Log(_)
        | Expr::Lookup { .. }
        | Expr::Meta { .. }
        | Expr::Payload { .. }
        | Expr::Range { .. }
        | Expr::Socket { .. }
        | Expr::Verdict(_) => return,
        Expr::CtSet { key: CtKey::MARK, .. } => Power::ConnectionMark,
        Expr::CtSet { key: CtKey::ZONE, .. } => Power::Zone,
        Expr::MetaSet { key: MetaKey::MARK, .. } => Power::Mark,
        Expr::CtSet { .. } | Expr::MetaSet { .. } => return,
        Expr::CtDirectedSet(code) if code.key == CtKey::ZONE => Power::Zone,
        Expr::CtDirectedSet(_) => return,
        Expr::PayloadSet(_) => Power::Rewrite,
        Expr::QueueTo(_) => Power::Queue,
        Expr::FlowOffload(_) | Expr::Fwd(_) | Expr::Synproxy(_) => Power::Unknown(expr.name().to_owned()),
        Expr::Masq { .. } | Expr::Nat(_) | Expr::Redir { .. } => Power::Translate,
        Expr::Notrack => Power::Untrack,
        Expr::Opaque { name, data, .. } => return can.extend(of_opaque(name, data)),
        Expr::Queue(_) => Power::Queue,
        Expr::Reject(_) => Power::Drop,
        Expr::Tproxy(_) => Power::Tproxy,
    };
    can.insert(power);
}

/// Handles an expression that the bytecode does not decode in full. For expressions that either
/// load or set, attribute 1 is the destination register.
fn of_opaque(name: &str, data: &[u8]) -> Vec<Power> {
    let attribute = |kind| Attributes::new(data).find(kind);
    let unknown = || vec![Power::Unknown(name.to_owned())];
    match name {
        // These only match, count or copy.
        "connlimit" | "counter" | "dup" | "dynset" | "exthdr" | "fib" | "hash" | "last" | "limit" | "log" | "match"
        | "numgen" | "objref" | "osf" | "quota" | "rt" | "socket" | "tunnel" | "xfrm" => Vec::new(),
        "ct" | "meta" | "payload" if attribute(1).is_some() => Vec::new(),
        "payload" => vec![Power::Rewrite],
        "meta" => match attribute(2).and_then(|key| key.be32()) {
            Some(key) if MetaKey(key) != MetaKey::MARK => Vec::new(),
            _ => vec![Power::Mark],
        },
        "reject" => vec![Power::Drop],
        "nat" | "masq" | "redir" => vec![Power::Translate],
        "queue" => vec![Power::Queue],
        "tproxy" => vec![Power::Tproxy],
        "target" => match Extension::read(data) {
            Some(Extension { name, info, .. }) => of_target(&name, info),
            None => unknown(),
        },
        _ => unknown(),
    }
}

/// Handles a target of xtables: net/netfilter/xt_*.c, net/ipv4/netfilter/ipt_*.c,
/// net/ipv6/netfilter/ip6t_*.c, v6.12.
fn of_target(name: &str, info: &[u8]) -> Vec<Power> {
    let half = |index: usize| info.get(2 * index..2 * index + 2)?.try_into().ok().map(u16::from_ne_bytes);
    match name {
        "AUDIT" | "CHECKSUM" | "CLASSIFY" | "CONNSECMARK" | "DSCP" | "ECN" | "HL" | "IDLETIMER" | "LED" | "LOG"
        | "NFLOG" | "RATEEST" | "SECMARK" | "SET" | "TCPMSS" | "TCPOPTSTRIP" | "TEE" | "TOS" | "TRACE" | "TTL" => {
            Vec::new()
        }
        // struct xt_ct_target_info: flags, zone.
        "CT" => match (half(0), half(1)) {
            (Some(flags), Some(zone)) => {
                let untracks = (flags & XT_CT_NOTRACK != 0).then_some(Power::Untrack);
                untracks.into_iter().chain((zone != 0).then_some(Power::Zone)).collect()
            }
            _ => vec![Power::Untrack, Power::Zone],
        },
        "CONNMARK" => vec![Power::ConnectionMark, Power::Mark],
        "DNAT" | "MASQUERADE" | "NETMAP" | "REDIRECT" | "SNAT" => vec![Power::Translate],
        "DNPT" | "SNPT" => vec![Power::Rewrite],
        "HMARK" | "MARK" => vec![Power::Mark],
        "NFQUEUE" => vec![Power::Queue],
        "NOTRACK" => vec![Power::Untrack],
        "REJECT" | "SYNPROXY" => vec![Power::Drop],
        // Without a socket it drops the packet, see xt_TPROXY.c.
        "TPROXY" => vec![Power::Tproxy, Power::Mark, Power::Drop],
        _ => vec![Power::Unknown(format!("target {name}"))],
    }
}

/// The hook and priority of a table of iptables-legacy.
pub(super) struct LegacyPlace {
    pub(super) table: &'static str,
    pub(super) hook: Hook,
    pub(super) priority: i32,
}

impl LegacyPlace {
    pub(super) fn is_nat(&self) -> bool {
        self.table == "nat"
    }

    pub(super) fn can(&self) -> BTreeSet<Power> {
        let all = [Power::Drop, Power::Queue];
        let more: &[Power] = match (self.table, self.hook) {
            ("raw", _) => &[Power::Untrack, Power::Zone],
            ("mangle", Hook::Prerouting) => &[Power::Mark, Power::ConnectionMark, Power::Tproxy],
            ("mangle", _) => &[Power::Mark, Power::ConnectionMark],
            ("nat", _) => &[Power::Translate],
            _ => &[],
        };
        all.iter().chain(more).cloned().collect()
    }
}

/// net/ipv4/netfilter/iptable_*.c and net/ipv6/netfilter/ip6table_*.c, v6.12.
pub(super) const LEGACY: &[LegacyPlace] = &[
    LegacyPlace { table: "raw", hook: Hook::Prerouting, priority: -300 },
    LegacyPlace { table: "raw", hook: Hook::Output, priority: -300 },
    LegacyPlace { table: "mangle", hook: Hook::Prerouting, priority: -150 },
    LegacyPlace { table: "mangle", hook: Hook::Input, priority: -150 },
    LegacyPlace { table: "mangle", hook: Hook::Forward, priority: -150 },
    LegacyPlace { table: "mangle", hook: Hook::Output, priority: -150 },
    LegacyPlace { table: "mangle", hook: Hook::Postrouting, priority: -150 },
    LegacyPlace { table: "nat", hook: Hook::Prerouting, priority: -100 },
    LegacyPlace { table: "nat", hook: Hook::Input, priority: 100 },
    LegacyPlace { table: "nat", hook: Hook::Output, priority: -100 },
    LegacyPlace { table: "nat", hook: Hook::Postrouting, priority: 100 },
    LegacyPlace { table: "filter", hook: Hook::Input, priority: 0 },
    LegacyPlace { table: "filter", hook: Hook::Forward, priority: 0 },
    LegacyPlace { table: "filter", hook: Hook::Output, priority: 0 },
    LegacyPlace { table: "security", hook: Hook::Input, priority: 50 },
    LegacyPlace { table: "security", hook: Hook::Forward, priority: 50 },
    LegacyPlace { table: "security", hook: Hook::Output, priority: 50 },
];

/// `NF_IP_PRI_CONNTRACK`, include/uapi/linux/netfilter_ipv4.h.
const CONNTRACK: i32 = -200;
/// `NF_DROP`, include/uapi/linux/netfilter.h.
const POLICY_DROP: u32 = 0;
/// include/uapi/linux/netfilter/xt_CT.h.
const XT_CT_NOTRACK: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::attribute;

    fn target(name: &str, info: &[u8]) -> Vec<Power> {
        let name: Vec<u8> = name.bytes().chain([0]).collect();
        let data = [attribute(1, &name), attribute(2, &[0; 4]), attribute(3, info)].concat();
        of_opaque("target", &data)
    }

    #[test]
    fn the_powers_of_xtables_targets_are_known_by_name() {
        let cases: &[(&str, &[u8], &[Power])] = &[
            ("NFQUEUE", &[0; 4], &[Power::Queue]),
            ("SYNPROXY", &[0; 8], &[Power::Drop]),
            ("NETMAP", &[0; 20], &[Power::Translate]),
            ("DNPT", &[0; 40], &[Power::Rewrite]),
            ("TCPMSS", &[0; 2], &[]),
            ("CT", &[1, 0, 0, 0], &[Power::Untrack]),
            ("CT", &[0, 0, 7, 0], &[Power::Zone]),
            ("CT", &[0, 0, 0, 0], &[]),
            ("CT", &[], &[Power::Untrack, Power::Zone]),
            ("CONNMARK", &[0; 13], &[Power::ConnectionMark, Power::Mark]),
        ];
        for (name, info, expected) in cases {
            // As on the wire of this machine: flags and zone are in host byte order.
            let info: Vec<u8> = info
                .chunks(2)
                .flat_map(|half| match half {
                    [low, high] => u16::from_le_bytes([*low, *high]).to_ne_bytes().to_vec(),
                    other => other.to_vec(),
                })
                .collect();
            assert_eq!(target(name, &info), *expected, "{name}");
        }
        assert!(matches!(target("XYZ", &[]).as_slice(), [Power::Unknown(what)] if what == "target XYZ"));
        assert_eq!(of_opaque("target", &[]), [Power::Unknown("target".into())]);
    }

    #[test]
    fn an_opaque_expression_has_unknown_power_unless_it_only_reads() {
        let key = |number: u32| attribute(2, &number.to_be_bytes());
        assert_eq!(of_opaque("numgen", &[]), []);
        assert_eq!(of_opaque("synproxy", &[]), [Power::Unknown("synproxy".into())]);
        assert_eq!(of_opaque("payload", &attribute(1, &[0; 4])), []);
        assert_eq!(of_opaque("payload", &attribute(5, &[0; 4])), [Power::Rewrite]);
        assert_eq!(of_opaque("meta", &key(6)), [], "a priority is set");
        assert_eq!(of_opaque("meta", &key(3)), [Power::Mark]);
        assert_eq!(of_opaque("meta", &[]), [Power::Mark]);
    }
}
