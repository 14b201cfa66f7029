//! Runs one program on one packet: the expressions of nf_tables (nft_do_chain and the `eval` of
//! every expression, net/netfilter/, v6.12).
//!
//! Total: anything that is not known ends the run with [`CannotTell`].

#[cfg(test)]
mod attributes;
mod beyond;
mod bits;
pub(super) mod connection;
mod payload;
mod xtables;

use smallvec::SmallVec;

use super::cells::{Cell, Input, Registers, bitwise};
use super::fib::Query;
use super::flow::{Flow, NewAddress, Translation, address_bytes};
use super::inputs::{CannotTell, Inputs, Target};
use super::rules::{Op, RuleCode};
use super::sets::SetIndex;
use crate::bytecode::{
    BitwiseCode, CmpOp, ElementDataCode, Expr, LastCode, LogCode, MetaKey, NatCode, ObjrefCode, QueueCode, Register,
    RegisterRange, RejectCode, SocketKey, TproxyCode,
};
use crate::model::{EtherType, Hook, IpFamily, NatKind, Verdict};
use crate::xt;

/// How the run of a rule ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// The expression at index `at` did not match.
    Broke {
        at: usize,
    },
    Queue(QueueCode),
    Reject(RejectCode),
    /// At the end of the rule, without a verdict.
    Through,
    /// With a translation, which accepts.
    Translated,
    Verdict(Verdict),
}

/// The effect of an expression on the run.
enum Next {
    Break,
    Go,
    End(Ran),
}

type Step = Result<Next, CannotTell>;

pub(crate) struct Machine<'a, I> {
    pub(crate) inputs: &'a mut I,
    pub(crate) flow: &'a mut Flow,
    hook: Hook,
    registers: Registers,
}

impl<'a, I: Inputs> Machine<'a, I> {
    pub(crate) fn new(hook: Hook, inputs: &'a mut I, flow: &'a mut Flow) -> Self {
        Machine { inputs, flow, hook, registers: Registers::new() }
    }

    /// Runs a rule.
    pub(crate) fn run(&mut self, rule: &RuleCode) -> Result<Ran, CannotTell> {
        for (at, op) in rule.ops.iter().enumerate() {
            match self.op(op).map_err(|reason| reason.at(&rule.line))? {
                Next::Go => {}
                Next::Break => return Ok(Ran::Broke { at }),
                Next::End(ran) => return Ok(ran),
            }
        }
        Ok(Ran::Through)
    }

    /// Runs the first expressions of a rule, which only look; returns whether all of them matched.
    pub(crate) fn begin(&mut self, rule: &RuleCode, count: usize) -> Result<bool, CannotTell> {
        for op in rule.ops.iter().take(count) {
            if !matches!(self.op(op).map_err(|reason| reason.at(&rule.line))?, Next::Go) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the only value that a register can have, if that is known.
    pub(crate) fn only_value(&self, register: Register, len: usize) -> Option<SmallVec<[u8; 16]>> {
        self.inputs.only_value(self.registers.read(register, len)?)
    }

    fn op(&mut self, op: &Op) -> Step {
        match op {
            Op::Expr(expr) => self.expr(expr),
            Op::Lookup { sreg, dreg, inverted, set } => self.lookup(*sreg, *dreg, *inverted, set.as_deref()),
            Op::XtAsks(asked) => self.asks(asked),
            Op::XtLimits(limit) => self.limits(*limit),
            Op::XtLists(lists) => self.first(lists),
            Op::XtOwner(owner) => self.owner(owner),
        }
    }

    fn expr(&mut self, expr: &Expr) -> Step {
        match expr {
            Expr::Bitwise(BitwiseCode { reg, mask, xor }) => {
                let window = self.registers.window(*reg, mask.len()).ok_or_else(beyond)?;
                bitwise(window, mask, xor);
                Ok(Next::Go)
            }
            Expr::Byteorder { reg, len } => {
                let len = usize::try_from(*len).map_err(|_| beyond())?;
                let window = self.registers.window(*reg, len).ok_or_else(beyond)?;
                if cfg!(target_endian = "little") {
                    window.reverse();
                }
                Ok(Next::Go)
            }
            Expr::Cmp { sreg, op, data } => {
                let cells = read(&self.registers, *sreg, data.len())?;
                compare(self.inputs, cells, *op, data).map(go)
            }
            Expr::Counter { packets: _, bytes: _ } => Ok(Next::Go),
            Expr::Ct { key, dreg } => self.ct(*key, *dreg),
            Expr::CtSet { key, sreg } => self.ct_set(*key, *sreg),
            Expr::Fib { result, flags, dreg } => {
                let query = Query::new(*result, *flags)?;
                if query == Query::PLAIN {
                    return self.store(*dreg, self.inputs.daddr_type(self.flow)?.into_iter());
                }
                let loads = self.inputs.fib(self.hook, self.flow, query, expr)?;
                self.store(*dreg, loads.into_iter())
            }
            Expr::Immediate { dreg, data } => self.store(*dreg, data.iter().copied().map(Cell::Known)),
            Expr::Limit(limit) => self.inputs.limit(limit).map(go),
            // Logging does not affect the packet.
            Expr::Log(LogCode { prefix: _, level: _, group: _, snaplen: _, queue_threshold: _, flags: _ }) => {
                Ok(Next::Go)
            }
            // A set that exists is an `Op::Lookup`.
            Expr::Lookup { sreg, dreg, inverted, set: _ } => self.lookup(*sreg, *dreg, *inverted, None),
            Expr::Masq { ports, flags } => self.translated(NatKind::Snat, NewAddress::Own, *ports, *flags),
            Expr::Meta { key, dreg } => self.meta(*key, *dreg),
            Expr::MetaSet { key, sreg } => self.meta_set(*key, *sreg),
            Expr::Nat(code) => self.nat(code),
            Expr::Notrack => self.notrack(),
            Expr::Opaque { name, data, set: _ } => Err(CannotTell::new(match xt::extension(name, data) {
                Some(extension) => format!("xtables {name} {extension} is not known here"),
                None => format!("expression {name} has no meaning here"),
            })),
            Expr::Payload { base, offset, len, dreg } => self.payload(*base, *offset, *len, *dreg),
            // A user-space program decides, whichever it is.
            Expr::Queue(QueueCode { num, total, flags }) => {
                Ok(Next::End(Ran::Queue(QueueCode { num: *num, total: *total, flags: *flags })))
            }
            Expr::Range { sreg, op, low, high } => {
                let cells = read(&self.registers, *sreg, low.len())?;
                let inside = within(self.inputs, cells, low, high)?;
                match op {
                    CmpOp::Eq => Ok(go(inside)),
                    CmpOp::Ne => Ok(go(!inside)),
                    CmpOp::Lt | CmpOp::Le | CmpOp::Gt | CmpOp::Ge => Err(CannotTell::new("a range that asks an order")),
                }
            }
            Expr::Redir { ports, flags } => self.translated(NatKind::Dnat, NewAddress::Own, *ports, *flags),
            Expr::Reject(RejectCode { kind, code }) => {
                Ok(Next::End(Ran::Reject(RejectCode { kind: *kind, code: *code })))
            }
            Expr::Socket { key, dreg } => self.socket(*key, *dreg),
            Expr::Tproxy(code) => self.tproxy(code),
            Expr::Verdict(verdict) => Ok(end(verdict)),
            Expr::BitwiseTo(code) => self.bitwise_to(code),
            Expr::Shift(code) => self.shift(code),
            Expr::Combine(code) => self.combine(code),
            Expr::ByteorderTo(code) => self.byteorder_to(code),
            // Neither affects the packet.
            Expr::Last(LastCode { is_set: _, msecs: _ })
            | Expr::Objref(ObjrefCode { kind: ObjrefCode::COUNTER, name: _ }) => Ok(Next::Go),
            Expr::Connlimit(_) | Expr::CtDirected(_) | Expr::CtDirectedSet(_) | Expr::Dup(_) | Expr::Dynset(_) => {
                Err(beyond::beyond_a_walk(expr))
            }
            Expr::Exthdr(_) | Expr::ExthdrReset(_) | Expr::ExthdrSet(_) | Expr::FlowOffload(_) | Expr::Fwd(_) => {
                Err(beyond::beyond_a_walk(expr))
            }
            Expr::Inner(_) | Expr::Jhash(_) | Expr::Symhash(_) | Expr::Numgen(_) | Expr::Objref(_) => {
                Err(beyond::beyond_a_walk(expr))
            }
            Expr::ObjrefMap(_) | Expr::Osf(_) | Expr::PayloadSet(_) | Expr::QueueTo(_) | Expr::Quota(_) => {
                Err(beyond::beyond_a_walk(expr))
            }
            Expr::Rt(_) | Expr::SocketCgroup(_) | Expr::Synproxy(_) | Expr::Tunnel(_) | Expr::Xfrm(_) => {
                Err(beyond::beyond_a_walk(expr))
            }
        }
    }

    fn store(&mut self, dreg: Register, cells: impl ExactSizeIterator<Item = Cell>) -> Step {
        self.registers.store(dreg, cells).ok_or_else(beyond)?;
        Ok(Next::Go)
    }

    fn load(&mut self, input: Input, dreg: Register) -> Step {
        let all = self.inputs.all(input);
        let loaded = all.get(..input.bytes()).ok_or_else(beyond)?;
        self.store(dreg, loaded.iter().copied())
    }

    /// Returns whether a boolean input is true.
    fn is(&mut self, input: Input) -> Result<bool, CannotTell> {
        let cell = self.inputs.cell(input, 0);
        compare(self.inputs, &[cell], CmpOp::Eq, &[1])
    }

    fn meta(&mut self, key: MetaKey, dreg: Register) -> Step {
        match key {
            MetaKey::CGROUP => self.cgroup(dreg),
            MetaKey::IIF => self.load(Input::Iif, dreg),
            MetaKey::IIFNAME => self.load(Input::Iifname, dreg),
            MetaKey::L4PROTO => self.load(Input::L4proto, dreg),
            MetaKey::LEN => {
                self.knows_length()?;
                self.load(Input::Length, dreg)
            }
            MetaKey::MARK => self.store(dreg, self.flow.mark.into_iter()),
            MetaKey::NFPROTO => self.store(dreg, [Cell::Known(self.inputs.family().number())].into_iter()),
            MetaKey::NFTRACE => self.store(dreg, [self.flow.traced].into_iter()),
            MetaKey::OIF => self.load(Input::Oif, dreg),
            MetaKey::OIFNAME => self.load(Input::Oifname, dreg),
            MetaKey::PKTTYPE => self.load(Input::PktType, dreg),
            MetaKey::PROTOCOL => {
                let protocol = match self.inputs.family() {
                    IpFamily::Ipv4 => EtherType::IP,
                    IpFamily::Ipv6 => EtherType::IP6,
                };
                self.store(dreg, protocol.0.to_be_bytes().map(Cell::Known).into_iter())
            }
            MetaKey::SKGID => self.of_owner(Input::Skgid, dreg),
            MetaKey::SKUID => self.of_owner(Input::Skuid, dreg),
            MetaKey(other) => Err(CannotTell::new(format!("meta key {other} is not part of a packet here"))),
        }
    }

    /// Breaks if no local socket sent the packet, or one without an owner.
    fn of_owner(&mut self, input: Input, dreg: Register) -> Step {
        if self.has_owner()? { self.load(input, dreg) } else { Ok(Next::Break) }
    }

    /// nft_meta_get_eval_cgroup, net/netfilter/nft_meta.c, v6.12: kernel sockets and closed sockets
    /// have one too.
    fn cgroup(&mut self, dreg: Register) -> Step {
        if self.has_owner()? {
            return self.load(Input::Cgroup, dreg);
        }
        self.inputs.knows_no_socket()?;
        let socket = [self.inputs.cell(Input::Socket, 0)];
        if compare(self.inputs, &socket, CmpOp::Eq, &[0])? { Ok(Next::Break) } else { self.load(Input::Cgroup, dreg) }
    }

    fn has_owner(&mut self) -> Result<bool, CannotTell> {
        if self.flow.tproxy.is_some() {
            return Err(CannotTell::new("whose transparent socket it is that tproxy gave the packet to"));
        }
        self.inputs.knows_owner()?;
        self.is(Input::Socket)
    }

    fn meta_set(&mut self, key: MetaKey, sreg: Register) -> Step {
        match key {
            MetaKey::MARK => self.flow.mark = self.take(sreg)?,
            MetaKey::NFTRACE => [self.flow.traced] = self.take(sreg)?,
            MetaKey(other) => return Err(CannotTell::new(format!("meta key {other} is not part of a packet here"))),
        }
        Ok(Next::Go)
    }

    /// Returns bytes that a program keeps beyond the rule.
    fn take<const N: usize>(&self, sreg: Register) -> Result<[Cell; N], CannotTell> {
        let cells = read(&self.registers, sreg, N)?;
        self.inputs.keeps(cells)?;
        cells.try_into().map_err(|_| beyond())
    }

    fn take_address(&self, sreg: Register, len: usize) -> Result<Vec<Cell>, CannotTell> {
        let cells = read(&self.registers, sreg, len)?;
        self.inputs.keeps(cells)?;
        Ok(cells.to_vec())
    }

    fn lookup(&mut self, sreg: Register, dreg: Option<Register>, inverted: bool, set: Option<&SetIndex>) -> Step {
        let Some(set) = set else { return Err(CannotTell::new("a set is looked up that is not there")) };
        if set.is_filled {
            self.inputs.knows_filled()?;
        }
        if set.is_odd {
            return Err(CannotTell::new("a set has attributes that have no meaning here"));
        }
        let cells = read(&self.registers, sreg, set.key_bytes)?;
        let found = match bytes(cells) {
            Some(key) => set.find(&key),
            None => self.inputs.find(cells, set)?,
        };
        if found.is_some_and(|found| set.odd.contains(&found)) {
            return Err(CannotTell::new("what an element of a set carries has no meaning here"));
        }
        if found.is_some() == inverted {
            return Ok(Next::Break);
        }
        match (dreg, found.and_then(|found| set.data.get(found))) {
            (None, _) | (Some(_), None) => Ok(Next::Go),
            (Some(dreg), Some(Some(ElementDataCode::Value(data)))) => {
                self.store(dreg, data.iter().copied().map(Cell::Known))
            }
            (Some(_), Some(Some(ElementDataCode::Verdict(verdict)))) => Ok(end(verdict)),
            (Some(_), Some(None)) => Err(CannotTell::new("an element maps to something that has no meaning here")),
        }
    }

    /// net/netfilter/nft_socket.c: breaks if there is no socket.
    fn socket(&mut self, key: SocketKey, dreg: Register) -> Step {
        self.inputs.knows_receiver(self.hook)?;
        let received = [self.inputs.cell(Input::Received, 0)];
        let (input, wanted) = match key {
            // During a handshake, neither of these is known.
            SocketKey::MARK => (Input::SocketMark, CmpOp::Eq),
            SocketKey::WILDCARD => (Input::SocketWildcard, CmpOp::Eq),
            SocketKey::TRANSPARENT => (Input::SocketTransparent, CmpOp::Ge),
            SocketKey(other) => {
                return Err(CannotTell::new(format!("socket key {other} is not part of a packet here")));
            }
        };
        if compare(self.inputs, &received, wanted, &[1])? { self.load(input, dreg) } else { Ok(Next::Break) }
    }

    /// net/netfilter/nft_tproxy.c: breaks if there is no listener, or the packet is neither TCP nor
    /// UDP.
    fn tproxy(&mut self, code: &TproxyCode) -> Step {
        let family = self.inputs.family();
        let TproxyCode { family: wanted, address, port } = *code;
        if wanted.is_some_and(|wanted| wanted != family) {
            return Ok(Next::Break);
        }
        let protocol = [self.inputs.cell(Input::L4proto, 0)];
        if !compare(self.inputs, &protocol, CmpOp::Eq, &[TCP])? && !compare(self.inputs, &protocol, CmpOp::Eq, &[UDP])?
        {
            return Ok(Next::Break);
        }
        let address = address.map(|register| self.take_address(register, address_bytes(family)));
        let port = port.map(|register| self.take(register)).transpose()?;
        let target = Target { address: address.transpose()?, port };
        if !self.inputs.listener(&target)? {
            return Ok(Next::Break);
        }
        self.flow.tproxy = Some(target);
        Ok(Next::Go)
    }

    fn nat(&mut self, code: &NatCode) -> Step {
        let NatCode { kind, family, addresses, ports, flags } = *code;
        let packet = self.inputs.family();
        if family.is_some_and(|wanted| wanted != packet) {
            return Ok(Next::Go);
        }
        let address = match addresses.min {
            Some(min) => {
                let low = self.take_address(min, address_bytes(packet))?;
                let high = self.take_address(addresses.max.unwrap_or(min), low.len())?;
                if flags & NETMAP == 0 { NewAddress::Range(low, high) } else { self.netmap(kind, &low, &high)? }
            }
            None => NewAddress::Kept,
        };
        self.translated(kind, address, ports, flags)
    }

    /// Maps one network to another (nft_nat_setup_netmap, net/netfilter/nft_nat.c, v6.12): bits in
    /// which the ends differ are kept.
    fn netmap(&self, kind: NatKind, low: &[Cell], high: &[Cell]) -> Result<NewAddress, CannotTell> {
        let (Some(low), Some(high)) = (bytes(low), bytes(high)) else {
            return Err(CannotTell::new("a network that is not known is translated to"));
        };
        let header = &self.flow.header;
        let now = if kind == NatKind::Snat { &header.saddr } else { &header.daddr };
        let kept: Vec<u8> = low.iter().zip(&high).map(|(low, high)| low ^ high).collect();
        let given: Vec<u8> = low.iter().zip(&kept).map(|(low, kept)| low & !kept).collect();
        let mut address: Vec<Cell> = now.iter().take(low.len()).copied().collect();
        bitwise(&mut address, &kept, &given);
        Ok(NewAddress::Range(address.clone(), address))
    }

    fn translated(&mut self, kind: NatKind, address: NewAddress, ports: RegisterRange, flags: u32) -> Step {
        if flags & !KNOWN_FLAGS != 0 {
            return Err(CannotTell::new(format!("how flags {flags:#x} translate is not known here")));
        }
        let RegisterRange { min, max } = ports;
        let ports = match min {
            Some(min) => Some((self.take(min)?, self.take(max.unwrap_or(min))?)),
            None => None,
        };
        self.flow.translation = Some(Translation { kind, address, ports, flags: flags & !GIVEN });
        Ok(Next::End(Ran::Translated))
    }
}

fn go(holds: bool) -> Next {
    if holds { Next::Go } else { Next::Break }
}

/// Returns how a verdict ends the run; with `continue`, the run goes on.
fn end(verdict: &Verdict) -> Next {
    match verdict {
        Verdict::Continue => Next::Go,
        Verdict::Accept | Verdict::Drop | Verdict::Goto(_) | Verdict::Jump(_) | Verdict::Return => {
            Next::End(Ran::Verdict(verdict.clone()))
        }
    }
}

fn read(registers: &Registers, register: Register, len: usize) -> Result<&[Cell], CannotTell> {
    registers.read(register, len).ok_or_else(beyond)
}

fn beyond() -> CannotTell {
    CannotTell::new("it uses registers that do not exist")
}

fn bytes(cells: &[Cell]) -> Option<crate::bytecode::Bytes> {
    cells.iter().map(|cell| cell.known()).collect()
}

pub(crate) fn compare(inputs: &mut impl Inputs, cells: &[Cell], op: CmpOp, data: &[u8]) -> Result<bool, CannotTell> {
    let mut order = cells.len().cmp(&data.len());
    for (cell, byte) in cells.iter().zip(data).rev() {
        match cell {
            Cell::Known(known) if known == byte => {}
            Cell::Known(known) => order = known.cmp(byte),
            Cell::Open { .. } => return inputs.compare(cells, op, data),
        }
    }
    Ok(holds(op, order))
}

fn within(inputs: &mut impl Inputs, cells: &[Cell], low: &[u8], high: &[u8]) -> Result<bool, CannotTell> {
    match bytes(cells) {
        Some(bytes) => Ok(low <= bytes.as_slice() && bytes.as_slice() <= high),
        None => inputs.within(cells, low, high),
    }
}

/// Returns whether an operator accepts an order of bytes.
pub(crate) fn holds(op: CmpOp, order: std::cmp::Ordering) -> bool {
    match op {
        CmpOp::Eq => order.is_eq(),
        CmpOp::Ne => order.is_ne(),
        CmpOp::Lt => order.is_lt(),
        CmpOp::Le => order.is_le(),
        CmpOp::Gt => order.is_gt(),
        CmpOp::Ge => order.is_ge(),
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
/// `NF_NAT_RANGE_MAP_IPS` and `NF_NAT_RANGE_PROTO_SPECIFIED`,
/// include/uapi/linux/netfilter/nf_nat.h.
const GIVEN: u32 = 3;
/// `NF_NAT_RANGE_NETMAP`.
const NETMAP: u32 = 0x40;
/// All except `NF_NAT_RANGE_PROTO_OFFSET`, with which the new port depends on another one.
const KNOWN_FLAGS: u32 = 0x5f;

#[cfg(test)]
mod tests {
    pub(super) use crate::testing::exprs;
}
