//! Expressions whose result depends on what a walk does not know.

use super::super::inputs::CannotTell;
use crate::bytecode::*;

/// Returns why a walk ends at the expression.
pub(super) fn beyond_a_walk(expr: &Expr) -> CannotTell {
    let reason = match expr {
        Expr::Connlimit(ConnlimitCode { count, flags: _ }) => {
            format!("whether there are more than {count} connections is not known here")
        }
        Expr::CtDirected(CtDirectedCode { key, dreg: _, direction }) => {
            format!("ct key {} of direction {direction} is not part of a connection here", key.0)
        }
        Expr::CtDirectedSet(CtDirectedSetCode { key, direction, sreg: _ }) => {
            format!("ct key {} of direction {direction} cannot be set here", key.0)
        }
        Expr::Dup(DupCode { address: _, device: _ }) => "where a copy of the packet goes is not walked".to_owned(),
        Expr::Dynset(code) => {
            let DynsetCode { set, anonymous: _, op: _, key: _, data: _, timeout: _, exprs: _, flags: _ } = code;
            format!("whether an element of set {set} can be added, and what it counts, is not known here")
        }
        Expr::Exthdr(ExthdrCode { dreg: _, kind, offset: _, len: _, op, flags: _ }) => match op {
            0 => format!("extension header {kind} of IPv6 is not part of a packet here"),
            1 => format!("option {kind} of TCP is not part of a packet here"),
            2 => format!("option {kind} of IPv4 is not part of a packet here"),
            3 => format!("chunk {kind} of SCTP is not part of a packet here"),
            _ => format!("option {kind} of DCCP is not part of a packet here"),
        },
        Expr::ExthdrReset(ExthdrResetCode { kind, op: _ })
        | Expr::ExthdrSet(ExthdrSetCode { sreg: _, kind, offset: _, len: _, op: _ }) => {
            format!("option {kind} of TCP is not part of a packet here")
        }
        Expr::FlowOffload(FlowOffloadCode { table }) => {
            format!("which packets flowtable {table} sends past the rules is not known here")
        }
        Expr::Fwd(FwdCode { device: _, address: _, family: _ }) => {
            "the packet is sent out of another interface, which is not walked".to_owned()
        }
        Expr::Inner(InnerCode { num: _, kind: _, flags: _, header_size: _, expr: _ }) => {
            "a packet in a tunnel is not part of a packet here".to_owned()
        }
        Expr::Jhash(JhashCode { sreg: _, dreg: _, len: _, modulus: _, seed: _, offset: _ }) => {
            "a hash of the packet is not computed here".to_owned()
        }
        Expr::Symhash(SymhashCode { dreg: _, modulus: _, offset: _, kind: _ }) => {
            "a hash with the seed of the running kernel is not known here".to_owned()
        }
        Expr::Numgen(NumgenCode { dreg: _, modulus: _, kind, offset: _ }) => match kind {
            0 => "how many packets a rule has met is not known here".to_owned(),
            _ => "a random number is not known here".to_owned(),
        },
        Expr::Objref(ObjrefCode { kind: _, name }) => format!("what object {name} does is not known here"),
        Expr::ObjrefMap(ObjrefMapCode { sreg: _, set: _, anonymous: _ }) => {
            "what an object does is not known here".to_owned()
        }
        Expr::Osf(OsfCode { dreg: _, ttl: _, flags: _ }) => {
            "the operating system of the sender is not part of a packet here".to_owned()
        }
        Expr::PayloadSet(PayloadSetCode {
            sreg: _,
            base: _,
            offset: _,
            len: _,
            csum_type: _,
            csum_offset: _,
            csum_flags: _,
        }) => "what a rule writes to the packet is not walked".to_owned(),
        Expr::QueueTo(QueueToCode { flags: _, sreg: _ }) => "the queue is computed from the packet".to_owned(),
        Expr::Quota(QuotaCode { bytes, flags: _, consumed: _ }) => {
            format!("whether {bytes} bytes were met is not known here")
        }
        Expr::Rt(RtCode { key, dreg: _ }) => format!("rt key {key} is not part of a packet here"),
        Expr::SocketCgroup(SocketCgroupCode { key: _, dreg: _, level: _ }) => {
            "the control group (version 2) of a socket is not part of a packet here".to_owned()
        }
        Expr::Synproxy(SynproxyCode { mss: _, wscale: _, flags: _ }) => {
            "what a proxy for SYNs answers is not known here".to_owned()
        }
        Expr::Tunnel(TunnelCode { key: _, dreg: _, mode: _ }) => {
            "the tunnel of a packet is not part of it here".to_owned()
        }
        Expr::Xfrm(XfrmCode { key: _, direction: _, spnum: _, dreg: _ }) => {
            "the transformation (IPsec) of a packet is not part of it here".to_owned()
        }
        other => format!("expression {} has no meaning here", other.name()),
    };
    CannotTell::new(reason)
}
