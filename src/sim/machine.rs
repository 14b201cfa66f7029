//! One program, run on one packet: the expressions of nf_tables (nft_do_chain and the `eval` of every expression, net/netfilter/, v6.12).
//!
//! Total: whatever is not known ends the run with [`CannotTell`].

pub(super) mod connection;
mod xtables;

use smallvec::SmallVec;

use super::cells::{Cell, Input, Registers, bitwise};
use super::flow::{Flow, NewAddress, Translation, address_bytes};
use super::inputs::{CannotTell, Inputs, Target};
use super::rules::{Op, RuleCode};
use super::sets::SetIndex;
use super::xt;
use crate::bytecode::{
    CmpOp, ElementDataCode, Expr, MetaKey, NatCode, PayloadBase, QueueCode, Register, RegisterRange, RejectCode,
    SocketKey, TproxyCode,
};
use crate::model::{Family4or6, NatKind, Verdict};

/// How the run of a rule ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// Expression number `at` did not hold.
    Broke {
        at: usize,
    },
    Queue(QueueCode),
    Reject(RejectCode),
    /// To the end, without a verdict.
    Through,
    /// An address was translated, which accepts.
    Translated,
    Verdict(Verdict),
}

/// What an expression does to the run.
enum Next {
    Break,
    Go,
    End(Ran),
}

type Step = Result<Next, CannotTell>;

pub(crate) struct Machine<'a, I> {
    pub(crate) inputs: &'a mut I,
    pub(crate) flow: &'a mut Flow,
    registers: Registers,
}

impl<'a, I: Inputs> Machine<'a, I> {
    pub(crate) fn new(inputs: &'a mut I, flow: &'a mut Flow) -> Self {
        Machine { inputs, flow, registers: Registers::new() }
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

    fn op(&mut self, op: &Op) -> Step {
        match op {
            Op::Expr(expr) => self.expr(expr),
            Op::Lookup { sreg, dreg, inverted, set } => self.lookup(*sreg, *dreg, *inverted, set.as_deref()),
            Op::XtLists(lists) => self.first(lists),
            Op::XtOwner(owner) => self.owner(owner),
        }
    }

    fn expr(&mut self, expr: &Expr) -> Step {
        match expr {
            Expr::Bitwise(code) => {
                let len = code.mask.len();
                let window = self.registers.window(code.reg, len).ok_or_else(beyond)?;
                bitwise(window, &code.mask, &code.xor);
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
            Expr::Counter { .. } | Expr::Log(_) => Ok(Next::Go),
            Expr::Ct { key, dreg } => self.ct(*key, *dreg),
            Expr::CtSet { key, sreg } => self.ct_set(*key, *sreg),
            Expr::Fib { dreg, .. } => self.store(*dreg, self.inputs.daddr_type(self.flow)?.into_iter()),
            Expr::Immediate { dreg, data } => self.store(*dreg, data.iter().copied().map(Cell::Known)),
            Expr::Limit(limit) => self.inputs.limit(limit).map(go),
            Expr::Lookup { sreg, dreg, inverted, .. } => self.lookup(*sreg, *dreg, *inverted, None),
            Expr::Masq { ports, flags } => self.translated(NatKind::Snat, NewAddress::Own, *ports, *flags),
            Expr::Meta { key, dreg } => self.meta(*key, *dreg),
            Expr::MetaSet { key, sreg } => self.meta_set(*key, *sreg),
            Expr::Nat(code) => self.nat(code),
            Expr::Notrack => self.notrack(),
            Expr::Opaque { name, data } => Err(CannotTell::new(match xt::extension(name, data) {
                Some(extension) => format!("xtables {name} {extension} is not known here"),
                None => format!("expression {name} has no meaning here"),
            })),
            Expr::Payload { base, offset, len, dreg } => self.payload(*base, *offset, *len, *dreg),
            Expr::Queue(queue) => Ok(Next::End(Ran::Queue(*queue))),
            Expr::Range { sreg, op, low, high } => {
                let cells = read(&self.registers, *sreg, low.len())?;
                let inside = within(self.inputs, cells, low, high)?;
                Ok(go(inside == (*op != CmpOp::Ne)))
            }
            Expr::Redir { ports, flags } => self.translated(NatKind::Dnat, NewAddress::Own, *ports, *flags),
            Expr::Reject(code) => Ok(Next::End(Ran::Reject(*code))),
            Expr::Socket { key, dreg } => self.socket(*key, *dreg),
            Expr::Tproxy(code) => self.tproxy(code),
            Expr::Verdict(verdict) => Ok(end(verdict)),
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

    /// Whether an input that is true or false is true.
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
            MetaKey::LEN => self.load(Input::Length, dreg),
            MetaKey::MARK => self.store(dreg, self.flow.mark.into_iter()),
            MetaKey::NFPROTO => self.store(dreg, [Cell::Known(self.inputs.family().number())].into_iter()),
            MetaKey::NFTRACE => self.store(dreg, [self.flow.traced].into_iter()),
            MetaKey::OIF => self.load(Input::Oif, dreg),
            MetaKey::OIFNAME => self.load(Input::Oifname, dreg),
            MetaKey::PKTTYPE => self.load(Input::PktType, dreg),
            MetaKey::SKGID => self.of_owner(Input::Skgid, dreg),
            MetaKey::SKUID => self.of_owner(Input::Skuid, dreg),
            MetaKey(other) => Err(CannotTell::new(format!("meta key {other} is not part of a packet here"))),
        }
    }

    /// Breaks when no socket of this host sent the packet, or one without an owner.
    fn of_owner(&mut self, input: Input, dreg: Register) -> Step {
        if self.has_owner()? { self.load(input, dreg) } else { Ok(Next::Break) }
    }

    /// nft_meta_get_eval_cgroup, net/netfilter/nft_meta.c, v6.12: sockets of the kernel, and those that were closed, have one too.
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

    fn take<const N: usize>(&self, sreg: Register) -> Result<[Cell; N], CannotTell> {
        self.registers.read(sreg, N).and_then(|cells| cells.try_into().ok()).ok_or_else(beyond)
    }

    /// Only the parts of headers that have a name: what else is in a packet is not known.
    fn payload(&mut self, base: PayloadBase, offset: u32, len: u32, dreg: Register) -> Step {
        let family = self.inputs.family();
        let unknown = || {
            CannotTell::new(format!("payload base {}, offset {offset}, {len} bytes: not a field known here", base.0))
        };
        let end = offset.checked_add(len).filter(|end| *end <= 256).ok_or_else(unknown)?;
        let mut loaded = SmallVec::<[Cell; 16]>::new();
        for at in offset..end {
            loaded.push(self.header_byte(base, family, at).ok_or_else(unknown)?);
        }
        self.store(dreg, loaded.into_iter())
    }

    fn header_byte(&self, base: PayloadBase, family: Family4or6, at: u32) -> Option<Cell> {
        let header = &self.flow.header;
        let of = |field: &[Cell], start: u32| field.get(usize::try_from(at - start).ok()?).copied();
        match (base, family, at) {
            (PayloadBase::NETWORK, Family4or6::Ipv4, 9) | (PayloadBase::NETWORK, Family4or6::Ipv6, 6) => {
                Some(self.inputs.cell(Input::L4proto, 0))
            }
            (PayloadBase::NETWORK, Family4or6::Ipv4, 12..16) => of(&header.saddr, 12),
            (PayloadBase::NETWORK, Family4or6::Ipv4, 16..20) => of(&header.daddr, 16),
            (PayloadBase::NETWORK, Family4or6::Ipv6, 8..24) => of(&header.saddr, 8),
            (PayloadBase::NETWORK, Family4or6::Ipv6, 24..40) => of(&header.daddr, 24),
            (PayloadBase::TRANSPORT, _, 0..2) => of(&header.sport, 0),
            (PayloadBase::TRANSPORT, _, 2..4) => of(&header.dport, 2),
            (PayloadBase::TRANSPORT, _, 13) => Some(self.inputs.cell(Input::TcpFlags, 0)),
            _ => None,
        }
    }

    fn lookup(&mut self, sreg: Register, dreg: Option<Register>, inverted: bool, set: Option<&SetIndex>) -> Step {
        let Some(set) = set else { return Err(CannotTell::new("a set is looked up that is not there")) };
        let cells = read(&self.registers, sreg, set.key_bytes)?;
        let found = match bytes(cells) {
            Some(key) => set.find(&key),
            None => self.inputs.find(cells, set)?,
        };
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

    /// net/netfilter/nft_socket.c: breaks when there is no socket.
    fn socket(&mut self, key: SocketKey, dreg: Register) -> Step {
        self.inputs.knows_receiver()?;
        let received = [self.inputs.cell(Input::Received, 0)];
        let (input, wanted) = match key {
            // Of a handshake under way, neither is known.
            SocketKey::MARK => (Input::SocketMark, CmpOp::Eq),
            SocketKey::WILDCARD => (Input::SocketWildcard, CmpOp::Eq),
            SocketKey::TRANSPARENT => (Input::SocketTransparent, CmpOp::Ge),
            SocketKey(other) => {
                return Err(CannotTell::new(format!("socket key {other} is not part of a packet here")));
            }
        };
        if compare(self.inputs, &received, wanted, &[1])? { self.load(input, dreg) } else { Ok(Next::Break) }
    }

    /// net/netfilter/nft_tproxy.c: breaks when there is no listener, and for what is neither TCP nor UDP.
    fn tproxy(&mut self, code: &TproxyCode) -> Step {
        let family = self.inputs.family();
        if code.family.is_some_and(|wanted| wanted != family) {
            return Ok(Next::Break);
        }
        let protocol = [self.inputs.cell(Input::L4proto, 0)];
        if !compare(self.inputs, &protocol, CmpOp::Eq, &[TCP])? && !compare(self.inputs, &protocol, CmpOp::Eq, &[UDP])?
        {
            return Ok(Next::Break);
        }
        let address =
            code.address.map(|register| read(&self.registers, register, address_bytes(family)).map(<[_]>::to_vec));
        let port = code.port.map(|register| self.take(register)).transpose()?;
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
                let low = read(&self.registers, min, address_bytes(packet))?.to_vec();
                let high = read(&self.registers, addresses.max.unwrap_or(min), low.len())?.to_vec();
                NewAddress::Range(low, high)
            }
            None => NewAddress::Kept,
        };
        self.translated(kind, address, ports, flags)
    }

    fn translated(&mut self, kind: NatKind, address: NewAddress, ports: RegisterRange, flags: u32) -> Step {
        let ports = match ports.min {
            Some(min) => Some((self.take(min)?, self.take(ports.max.unwrap_or(min))?)),
            None => None,
        };
        self.flow.translation = Some(Translation { kind, address, ports, flags: flags & !GIVEN });
        Ok(Next::End(Ran::Translated))
    }
}

fn go(holds: bool) -> Next {
    if holds { Next::Go } else { Next::Break }
}

/// `continue` is no verdict: the run goes on.
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

/// Whether an order of bytes is one that an operator asks for.
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
/// `NF_NAT_RANGE_MAP_IPS` and `NF_NAT_RANGE_PROTO_SPECIFIED`, include/uapi/linux/netfilter/nf_nat.h.
const GIVEN: u32 = 3;
