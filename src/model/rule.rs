//! A rule: statements in order, and a comment.

use super::limit::Limit;
use super::log::{Log, LogLevel};
use super::matches::Match;
use super::name::Name;
use super::nat::{Nat, NatFlags, PortRange, Ports, Tproxy};
use super::opaque::{Kept, Opaque};
use super::operand::SetRef;
use super::selector::Selector;
use super::statement::{MarkKey, MarkValue, Queue, QueueFlags, Reject, Statement, Verdict};

/// A rule, which reads like nft(8).
///
/// The methods add statements in the order in which they run. A match has a method for `==`, and a
/// function of the same name in [`matches`](super::matches) for [`not`](Rule::not) and other
/// comparisons. See [`IntoOperand`](super::IntoOperand) for what a match can be compared with.
///
/// ```
/// use nftmesh::prelude::*;
///
/// let rule = Rule::new().oifname("lo").not(matches::daddr(std::net::Ipv4Addr::LOCALHOST)).tcp_dport((22, 8000..=8080));
/// let rule = rule.counter().jump("local").comment("to ourselves");
/// assert_eq!(
///     rule.to_string(),
///     "oifname \"lo\" ip daddr != 127.0.0.1 tcp dport { 22, 8000-8080 } counter packets 0 bytes 0 jump local comment \"to \
///      ourselves\""
/// );
/// assert!(rule.has(&matches::oifname("lo")));
/// assert_eq!(rule.target().map(|chain| chain.as_str()), Some("local"));
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Rule {
    /// Its statements, in order.
    pub statements: Vec<Statement>,
    /// Its comment, at most 128 bytes, stored by the kernel.
    pub comment: Option<Box<str>>,
    /// Further data read with it.
    pub(crate) kept: Kept,
}

impl Rule {
    /// Longest comment in bytes, as of tables, chains, sets and elements.
    /// `NFTNL_UDATA_COMMENT_MAXLEN`, include/libnftnl/udata.h; nft 1.0.6 refuses 129.
    pub(crate) const MAX_COMMENT: usize = 128;

    /// Creates a rule that matches every packet and does nothing.
    #[must_use]
    pub fn new() -> Self {
        Rule::default()
    }

    /// Adds any statement.
    #[must_use]
    pub fn statement(mut self, statement: Statement) -> Self {
        self.statements.push(statement);
        self
    }

    /// Sets the comment.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into().into());
        self
    }
}

impl Rule {
    /// Returns whether it has exactly this match: `rule.has(&saddr(subnet))`.
    #[must_use]
    pub fn has(&self, wanted: &Match) -> bool {
        self.statements.iter().any(|part| matches!(part, Statement::Match(found) if found == wanted))
    }

    /// Returns the chain that its verdict leads to, by jump or goto.
    #[must_use]
    pub fn target(&self) -> Option<&Name> {
        self.statements.iter().find_map(|part| match part {
            Statement::Verdict(verdict) => verdict.target(),
            _ => None,
        })
    }
}

/// Verdicts and targets.
impl Rule {
    /// Accepts the packet: `accept`.
    #[must_use]
    pub fn accept(self) -> Self {
        self.verdict(Verdict::Accept)
    }

    /// Writes an audit record: `log level audit`.
    #[must_use]
    pub fn audit(self) -> Self {
        self.log(Log::default().level(LogLevel::Audit))
    }

    /// Continues with the next rule: `continue`.
    #[must_use]
    pub fn r#continue(self) -> Self {
        self.verdict(Verdict::Continue)
    }

    /// Counts from zero: `counter`.
    #[must_use]
    pub fn counter(self) -> Self {
        self.statement(Statement::Counter { packets: 0, bytes: 0 })
    }

    /// Drops the packet: `drop`.
    #[must_use]
    pub fn drop(self) -> Self {
        self.verdict(Verdict::Drop)
    }

    /// Continues in another chain without returning: `goto chain`.
    #[must_use]
    pub fn goto(self, chain: impl Into<Name>) -> Self {
        self.verdict(Verdict::Goto(chain.into()))
    }

    /// Continues in another chain and returns: `jump chain`.
    #[must_use]
    pub fn jump(self, chain: impl Into<Name>) -> Self {
        self.verdict(Verdict::Jump(chain.into()))
    }

    /// Continues while the rate is not exceeded, or once it is: `limit rate ...`.
    #[must_use]
    pub fn limit(self, limit: Limit) -> Self {
        self.statement(Statement::Limit(limit))
    }

    /// Writes a log entry: `log ...`.
    #[must_use]
    pub fn log(self, log: Log) -> Self {
        self.statement(Statement::Log(log))
    }

    /// Translates the source to the address of the outgoing interface: `masquerade`.
    #[must_use]
    pub fn masquerade(self) -> Self {
        self.statement(Statement::Masquerade { ports: None, flags: NatFlags::empty() })
    }

    /// Masquerades with flags: `masquerade fully-random`.
    #[must_use]
    pub fn masquerade_with(self, flags: NatFlags) -> Self {
        self.statement(Statement::Masquerade { ports: None, flags })
    }

    /// Masquerades with these ports: `masquerade to :1024-2048`.
    #[must_use]
    pub fn masquerade_to(self, ports: impl Into<Ports>, flags: NatFlags) -> Self {
        self.statement(Statement::Masquerade { ports: Some(ports.into()), flags })
    }

    /// Translates an address: `dnat to ...`, `snat to ...`; see [`Nat`].
    #[doc(alias("dnat", "port forward", "snat"))]
    #[must_use]
    pub fn nat(self, nat: Nat) -> Self {
        self.statement(Statement::Nat(nat))
    }

    /// Excludes the packet from connection tracking: `notrack`.
    #[must_use]
    pub fn notrack(self) -> Self {
        self.statement(Statement::Notrack)
    }

    /// Turns tracing on: `meta nftrace set 1`.
    #[must_use]
    pub fn nftrace(self) -> Self {
        self.statement(Statement::SetNftrace(true))
    }

    /// Passes the packet to a program: `queue num 0-3`.
    #[must_use]
    pub fn queue(self, queues: std::ops::RangeInclusive<u16>, flags: QueueFlags) -> Self {
        let (from, to) = queues.into_inner();
        self.statement(Statement::Queue(Queue { from, to, flags }))
    }

    /// Adds an expression that has no method here, by the kernel's name and attributes; see
    /// [`RawExpr`](crate::bytecode::RawExpr).
    #[must_use]
    pub fn raw(self, expr: impl Into<Opaque>) -> Self {
        self.statement(Statement::Opaque(expr.into()))
    }

    /// Redirects to this host, keeping the port: `redirect`.
    #[must_use]
    pub fn redirect(self) -> Self {
        self.statement(Statement::Redirect { ports: None, flags: NatFlags::empty() })
    }

    /// Redirects to this host, to this port: `redirect to :15001`.
    #[must_use]
    pub fn redirect_to(self, ports: impl Into<Ports>) -> Self {
        self.statement(Statement::Redirect { ports: Some(ports.into()), flags: NatFlags::empty() })
    }

    /// Redirects to this host with flags: `redirect to :8000-8010 random`.
    #[must_use]
    pub fn redirect_with(self, ports: impl Into<Option<PortRange>>, flags: NatFlags) -> Self {
        self.statement(Statement::Redirect { ports: ports.into().map(Ports::Range), flags })
    }

    /// Drops the packet and reports port unreachable to the sender: `reject`.
    #[must_use]
    pub fn reject(self) -> Self {
        self.statement(Statement::Reject(None))
    }

    /// Drops the packet and reports the reason to the sender: `reject with tcp reset`.
    #[must_use]
    pub fn reject_with(self, reject: Reject) -> Self {
        self.statement(Statement::Reject(Some(reject)))
    }

    /// Returns to the calling chain: `return`.
    #[must_use]
    pub fn r#return(self) -> Self {
        self.verdict(Verdict::Return)
    }

    /// Sets the connection mark: `ct mark set ...`.
    #[must_use]
    pub fn set_ct_mark(self, value: impl Into<MarkValue>) -> Self {
        self.statement(Statement::SetMark { key: MarkKey::Ct, value: value.into() })
    }

    /// Sets the packet mark: `meta mark set ...`.
    #[must_use]
    pub fn set_mark(self, value: impl Into<MarkValue>) -> Self {
        self.statement(Statement::SetMark { key: MarkKey::Meta, value: value.into() })
    }

    /// Sets the conntrack zone: `ct zone set 1`.
    #[must_use]
    pub fn set_zone(self, zone: u16) -> Self {
        self.statement(Statement::SetZone(zone))
    }

    /// Diverts the packet to a transparent socket: `tproxy to :15006`.
    #[must_use]
    pub fn tproxy(self, tproxy: Tproxy) -> Self {
        self.statement(Statement::Tproxy(tproxy))
    }

    /// Adds any verdict.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        self.statement(Statement::Verdict(verdict))
    }

    /// Looks the verdict up: `tcp dport vmap @ports`. See
    /// [`Set::verdict_map`](super::Set::verdict_map) for a map with a name,
    /// [`anonymous`](super::anonymous) for one of the rule.
    #[doc(alias = "verdict map")]
    #[must_use]
    pub fn vmap(self, selector: impl Into<Selector>, map: SetRef) -> Self {
        self.statement(Statement::VerdictMap { selector: selector.into(), map })
    }
}
