//! Whether two rule sets do the same with one packet, judged from walks alone: what comparisons are
//! held against.
//!
//! It shares nothing with them but the machine, which is held against the kernel elsewhere. What a
//! rule decided it reads from the rule, and what became of the packet from the steps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::Error;
use crate::model::{
    Chain, ChainKind, ChainType, CtState, CtStatus, Family, Field, Hook, IpFamily, MarkKey, MarkValue, Match, Nat,
    NatFlags, NatKind, PortRange, Ports, Priority, Queue, Reject, Rule, Ruleset, Selector, Statement, Table, Verdict,
};
use crate::sim::{CannotTell, Change, End, Fate, Rules, Situation, Step, Walk, walk_hook};

/// Two rule sets, each in a namespace where what either switches on is on.
#[derive(Clone, Debug)]
pub struct Judge {
    sides: [Rules; 2],
    /// For IPv4 and IPv6, which sides switch tracking on by themselves.
    tracks: [[bool; 2]; 2],
}

impl Judge {
    /// Of these.
    ///
    /// # Errors
    ///
    /// When one of them has no program.
    pub fn new(a: &Ruleset, b: &Ruleset) -> Result<Self, Error> {
        let (mut both, mut tracks) = ([a.clone(), b.clone()], [[false; 2]; 2]);
        let families = [(Family::Ip, IpFamily::Ipv4), (Family::Ip6, IpFamily::Ipv6)];
        for ((table, family), tracks) in families.into_iter().zip(&mut tracks) {
            let of = |ruleset: &Ruleset| {
                let fits = |known: &&Table| known.family == Family::Inet || known.family == table;
                ruleset.tables.iter().filter(fits).cloned().collect::<Vec<_>>()
            };
            *tracks = [a, b].map(|ruleset| of(ruleset).iter().any(|table| looks_at_connections(table, family)));
            let mut switches = Table::new(table, "switches");
            if tracks.contains(&true) {
                switches = switches.chain(Chain::regular("tracking").rule(Rule::new().ct_mark(0)));
            }
            if [a, b].into_iter().any(|ruleset| of(ruleset).iter().any(translates)) {
                let chain = Chain::base("translation", ChainType::Nat, Hook::Output, Priority::SRCNAT);
                switches = switches.chain(chain);
            }
            both.iter_mut().for_each(|ruleset| ruleset.tables.push(switches.clone()));
        }
        let [a, b] = both;
        Ok(Judge { sides: [Rules::try_from(&a)?, Rules::try_from(&b)?], tracks })
    }

    /// Whether they do not do the same with this packet.
    ///
    /// # Errors
    ///
    /// When something on its way is not known.
    pub fn differ(&self, hook: Hook, situation: &Situation) -> Result<bool, CannotTell> {
        let [a, b] = self.sides.each_ref().map(|rules| deed(&walk_hook(rules, hook, situation), hook, situation));
        let (a, b) = (a?, b?);
        if a.end != b.end {
            return Ok(true);
        }
        if matches!(a.end, Ending::Dropped | Ending::Rejected(_)) {
            // A connection that is known already keeps its mark.
            return Ok(a.ct_mark != b.ct_mark && situation.connection.status.contains(CtStatus::CONFIRMED));
        }
        let [ipv4, ipv6] = self.tracks;
        let tracks = if situation.packet.family() == IpFamily::Ipv4 { ipv4 } else { ipv6 };
        let untracked = [a.is_untracked, b.is_untracked];
        // What only one side tracks, and takes back itself, is as on the other side.
        let is_taken_back = tracks != [true; 2] && tracks != [false; 2] && untracked == tracks;
        let is_read = !a.is_unread && !b.is_unread;
        let same = |mut deed: Deed| {
            deed.is_untracked &= !is_taken_back;
            deed.is_unread = false;
            if is_read {
                deed.moves.clear()
            } else {
                deed.decided = None
            }
            deed
        };
        Ok(same(a) != same(b))
    }
}

/// What was done with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Deed {
    end: Ending,
    decided: Option<Decided>,
    /// A rule decided whose translation is not a constant, such as one whose address is in a map.
    is_unread: bool,
    /// Where translations sent it: what counts when one could not be read.
    moves: Vec<(NatKind, SocketAddr)>,
    /// The kernel chooses among several, as above.
    is_chosen: bool,
    tproxy: Option<(Option<IpAddr>, u16)>,
    mark: u32,
    /// The mark by which it was routed last.
    routed: u32,
    ct_mark: u32,
    zone: u16,
    /// It has a zone, and tracking did not look there.
    is_late: bool,
    is_untracked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    Dropped,
    Goes(Option<Queue>),
    Rejected(Reject),
}

/// A translation as a rule says it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Decided {
    kind: NatKind,
    /// An address of this host; no other is said then.
    is_own: bool,
    addresses: Option<(IpAddr, IpAddr)>,
    ports: Option<PortRange>,
    flags: NatFlags,
}

fn deed(walk: &Walk, hook: Hook, situation: &Situation) -> Result<Deed, CannotTell> {
    let mark = situation.packet.mark;
    let end = match &walk.end {
        End::CannotTell(reason) => return Err(reason.clone()),
        End::DroppedByPolicy(_) | End::DroppedByRule(_) | End::Lost(_) => Ending::Dropped,
        End::Queued(rule) => Ending::Goes(rule.rule.statements.iter().find_map(queue)),
        End::Rejected(rule) => {
            let reject = rule.rule.statements.iter().find_map(reject);
            Ending::Rejected(of_family(reject.unwrap_or(Reject::Icmpx(1)), situation.packet.family()))
        }
        End::Delivered(_) | End::Passed | End::Sent(_) => Ending::Goes(None),
    };
    let mut deed = Deed {
        end,
        decided: None,
        is_unread: false,
        moves: Vec::new(),
        is_chosen: false,
        tproxy: None,
        mark,
        routed: mark,
        ct_mark: situation.connection.mark,
        zone: 0,
        is_late: false,
        is_untracked: situation.connection.state == CtState::UNTRACKED,
    };
    // The mark with which a chain of type route was entered.
    let mut entered = None;
    for step in &walk.steps {
        match step {
            Step::Chain { base, .. } => {
                deed.leave(&mut entered);
                entered = (base.chain_type == ChainType::Route).then_some(deed.mark);
            }
            Step::Change(Change::Dnat { from, to }) => {
                deed.leave(&mut entered);
                if hook == Hook::Output && from.ip() != to.ip() {
                    deed.routed = deed.mark;
                }
                deed.moves.push((NatKind::Dnat, *to));
            }
            Step::Change(Change::Snat { from: _, to }) => deed.moves.push((NatKind::Snat, *to)),
            Step::Change(change) => deed.take(change, situation),
            Step::Rule { rule, fate: Fate::Matched(Verdict::Accept), .. } => {
                let found = rule.rule.statements.iter().find_map(|statement| decided(statement, hook, situation));
                deed.is_unread |= found.is_none() && rule.rule.statements.iter().any(is_unread);
                deed.decided = found.or(deed.decided);
            }
            _ => {}
        }
    }
    deed.leave(&mut entered);
    Ok(deed)
}

impl Deed {
    /// Behind a chain: of one of type route, what has another mark than before is routed again.
    fn leave(&mut self, entered: &mut Option<u32>) {
        if entered.take().is_some_and(|before| before != self.mark) {
            self.routed = self.mark;
        }
    }

    fn take(&mut self, change: &Change, situation: &Situation) {
        match change {
            Change::CtMark { to, .. } => self.ct_mark = *to,
            Change::Mark { to, .. } => self.mark = *to,
            Change::Tproxy { address, port } => {
                self.tproxy = Some((*address, port.unwrap_or(situation.packet.dport)));
            }
            Change::Tracked { mark, .. } => (self.ct_mark, self.is_late) = (*mark, false),
            Change::Untracked => (self.is_untracked, self.is_late, self.zone) = (true, false, 0),
            Change::Zone(zone) => (self.zone, self.is_late) = (*zone, true),
            Change::Unpredictable => self.is_chosen = true,
            Change::Dnat { .. } | Change::Snat { .. } => {}
        }
    }
}

/// Whether it may translate to what the packet or a map decides.
fn is_unread(statement: &Statement) -> bool {
    match statement {
        Statement::Opaque(_) => true,
        Statement::Masquerade { ports, .. } | Statement::Redirect { ports, .. } => is_computed(ports),
        Statement::Nat(nat) => nat.computed.is_some() || is_computed(&nat.ports),
        _ => false,
    }
}

fn is_computed(ports: &Option<Ports>) -> bool {
    ports.as_ref().is_some_and(|ports| ports.computed().is_some())
}

fn queue(statement: &Statement) -> Option<Queue> {
    match statement {
        Statement::Queue(queue) => Some(*queue),
        _ => None,
    }
}

fn reject(statement: &Statement) -> Option<Reject> {
    match statement {
        Statement::Reject(reject) => *reject,
        _ => None,
    }
}

/// RFC 792, and RFC 4443, section 3.1.
fn of_family(reject: Reject, family: IpFamily) -> Reject {
    match (reject, family) {
        (Reject::Icmpx(0), IpFamily::Ipv4) => Reject::Icmp(0),
        (Reject::Icmpx(1), IpFamily::Ipv4) => Reject::Icmp(3),
        (Reject::Icmpx(2), IpFamily::Ipv4) => Reject::Icmp(1),
        (Reject::Icmpx(3), IpFamily::Ipv4) => Reject::Icmp(13),
        (Reject::Icmpx(0), IpFamily::Ipv6) => Reject::Icmpv6(0),
        (Reject::Icmpx(1), IpFamily::Ipv6) => Reject::Icmpv6(4),
        (Reject::Icmpx(2), IpFamily::Ipv6) => Reject::Icmpv6(3),
        (Reject::Icmpx(3), IpFamily::Ipv6) => Reject::Icmpv6(1),
        (other, _) => other,
    }
}

fn decided(statement: &Statement, hook: Hook, situation: &Situation) -> Option<Decided> {
    if is_unread(statement) {
        return None;
    }
    let family = situation.packet.family();
    let own = situation.packet.dport;
    let range = |ports: &Option<Ports>| ports.as_ref().and_then(Ports::range);
    let decided = match statement {
        Statement::Masquerade { ports, flags } => {
            let (ports, flags) = (range(ports), *flags);
            Decided { kind: NatKind::Snat, is_own: true, addresses: None, ports, flags }
        }
        Statement::Nat(Nat { kind, family: of, addresses, computed: None, map_to: _, ports, flags })
            if of.is_none_or(|of| of == family) =>
        {
            let (kind, addresses, ports, flags) = (*kind, *addresses, range(ports), *flags);
            Decided { kind, is_own: false, addresses, ports, flags }
        }
        Statement::Redirect { ports, flags } => {
            let (ports, flags) = (range(ports), *flags);
            let loopback: IpAddr = match family {
                IpFamily::Ipv4 => Ipv4Addr::LOCALHOST.into(),
                IpFamily::Ipv6 => Ipv6Addr::LOCALHOST.into(),
            };
            let at_output = hook == Hook::Output;
            let addresses = at_output.then_some((loopback, loopback));
            Decided { kind: NatKind::Dnat, is_own: !at_output, addresses, ports, flags }
        }
        _ => return None,
    };
    let ports = decided.ports.or_else(|| (decided.kind == NatKind::Dnat).then(|| PortRange::from(own)));
    Some(Decided { ports, ..decided })
}

fn translates(table: &Table) -> bool {
    table.chains.iter().any(|chain| match &chain.kind {
        ChainKind::Base(base) => base.chain_type == ChainType::Nat,
        ChainKind::Bound | ChainKind::Device(_) | ChainKind::Opaque(_) | ChainKind::Regular => false,
    })
}

/// Whether a table switches tracking on for a family.
fn looks_at_connections(table: &Table, family: IpFamily) -> bool {
    let selects = |selector: &Selector| {
        let of = [Field::CtDirection, Field::CtMark, Field::CtState, Field::CtStatus, Field::CtZone];
        selector.fields().any(|field| of.contains(&field))
    };
    let looks = |statement: &Statement| match statement {
        Statement::Masquerade { .. } | Statement::Redirect { .. } | Statement::SetZone(_) => true,
        Statement::Match(Match { selector, .. }) | Statement::VerdictMap { selector, .. } => selects(selector),
        Statement::Nat(nat) => nat.family.is_none_or(|of| of == family),
        Statement::SetMark { key: MarkKey::Ct, .. } => true,
        Statement::SetMark { value: MarkValue::From { from, .. }, .. } => *from == MarkKey::Ct,
        Statement::SetMark { value: MarkValue::Map { selector, .. }, .. } => selects(selector),
        _ => false,
    };
    table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements).any(looks)
}
