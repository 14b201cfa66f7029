//! Decodes trace messages: what a packet did in a chain (`NFT_MSG_TRACE`).
//!
//! Decoding is total: a message that cannot be read is opaque. An end of chain is recognised by
//! its verdict, `continue`, without a rule: kernels before 6.7 report it as a return, later ones
//! as a rule (`NFTA_TRACE_TYPE`; these mask the verdict to its lowest byte, which no negative code
//! equals, __nft_trace_verdict, net/netfilter/nf_tables_core.c). Likewise a rule's `return` is
//! treated like any other rule.

use super::super::{NFNL_SUBSYS_NFTABLES, kind};
use super::{InTable, event};
use crate::attr::nfta::*;
use crate::attr::{Attribute, Attributes, Malformed, Message};
use crate::model::{CtDirection, CtState, CtStatus, Nfproto, Policy, QueueFlags, RuleHandle, Verdict};
use crate::state::{TraceEvent, TraceMessage, TraceStep, TraceVerdict, TracedConnection, TracedDevice, TracedPacket};

/// Decodes one message.
pub(crate) fn trace(message: &Message<'_>) -> TraceEvent {
    match read(message) {
        Ok(Some(message)) => TraceEvent::Message(message),
        Ok(None) | Err(Malformed { .. }) => TraceEvent::Opaque(event::opaque(message)),
    }
}

/// Decodes `enum nft_trace_attributes`, include/uapi/linux/netfilter/nf_tables.h, v6.18.
fn read(message: &Message<'_>) -> Result<Option<TraceMessage>, Malformed> {
    let Some((family, attributes)) = message.netfilter() else { return Ok(None) };
    if message.kind != NFNL_SUBSYS_NFTABLES << 8 | kind::TRACE {
        return Ok(None);
    }
    let (mut place, mut chain, mut id, mut mark, mut nfproto) = (None, None, None, 0, None);
    let (mut kind, mut handle, mut verdict, mut policy) = (None, None, None, None);
    let (mut shown, mut opaque) = (Shown::default(), Vec::new());
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_TRACE_TABLE => place = InTable::of(family, &attribute),
            NFTA_TRACE_CHAIN => chain = attribute.value.strip_suffix(&[0]).and_then(event::text),
            NFTA_TRACE_RULE_HANDLE => handle = Some(attribute.need_be64()?),
            NFTA_TRACE_TYPE => kind = Some(attribute.need_be32()?),
            NFTA_TRACE_VERDICT => verdict = self::verdict(attribute.nested())?,
            // The bytes of a hash in the kernel's own order, read as nft(8) does, so that both
            // print the same number.
            NFTA_TRACE_ID => id = Some(attribute.need_be32()?),
            NFTA_TRACE_MARK => mark = attribute.need_be32()?,
            NFTA_TRACE_NFPROTO => {
                nfproto = Some(Nfproto(u8::try_from(attribute.need_be32()?).map_err(|_| malformed(&attribute))?))
            }
            NFTA_TRACE_POLICY => policy = Some(attribute.need_be32()?),
            NFTA_TRACE_PAD if attribute.value.is_empty() => {}
            _ if shown.take(&attribute)? => {}
            _ => opaque.extend(attribute.raw),
        }
    }
    let step = match (kind, handle, verdict, policy) {
        (Some(RULE | RETURN), Some(handle), Some(verdict), None) => {
            TraceStep::Rule { handle: RuleHandle(handle), verdict }
        }
        (Some(RULE | RETURN), None, Some(TraceVerdict::Given(Verdict::Continue)), None) => TraceStep::End,
        (Some(POLICY), None, None, Some(NF_DROP)) => TraceStep::Policy(Policy::Drop),
        (Some(POLICY), None, None, Some(NF_ACCEPT)) => TraceStep::Policy(Policy::Accept),
        _ => return Ok(None),
    };
    let (Some(table), Some(chain), Some(id)) = (place.and_then(|place| place.id()), chain, id) else { return Ok(None) };
    let packet = shown.packet().map(Box::new);
    Ok(Some(TraceMessage { id, table, chain, step, mark, nfproto, packet, opaque }))
}

/// Decodes `enum nft_verdict_attributes`; `None` for a jump without a target.
fn verdict(attributes: Attributes<'_>) -> Result<Option<TraceVerdict>, Malformed> {
    let (mut code, mut chain) = (None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_VERDICT_CODE => code = Some(attribute.need_be32()?),
            NFTA_VERDICT_CHAIN => chain = attribute.value.strip_suffix(&[0]).and_then(event::text),
            _ => return Ok(None),
        }
    }
    let Some(code) = code else { return Ok(None) };
    let given = match (i32::from_ne_bytes(code.to_ne_bytes()), chain) {
        (NFT_CONTINUE, None) => Verdict::Continue,
        (NFT_JUMP, Some(chain)) => Verdict::Jump(chain),
        (NFT_GOTO, Some(chain)) => Verdict::Goto(chain),
        (NFT_RETURN, None) => Verdict::Return,
        (_, Some(_)) | (NFT_JUMP | NFT_GOTO, None) => return Ok(None),
        (_, None) => return Ok(Some(hook_verdict(code))),
    };
    Ok(Some(TraceVerdict::Given(given)))
}

/// Decodes `NF_*`: the number in the lowest byte, flags in the next, an argument in the upper
/// half; include/uapi/linux/netfilter.h.
fn hook_verdict(code: u32) -> TraceVerdict {
    let [argument_high, argument_low, flags, number] = code.to_be_bytes();
    let queue = u16::from_be_bytes([argument_high, argument_low]);
    match (u32::from(number), flags) {
        (NF_DROP, 0) if queue == 0 => TraceVerdict::Given(Verdict::Drop),
        (NF_ACCEPT, 0) if queue == 0 => TraceVerdict::Given(Verdict::Accept),
        (NF_STOLEN, 0) if queue == 0 => TraceVerdict::Stolen,
        (NF_QUEUE, 0) => TraceVerdict::Queued { queue, flags: QueueFlags::empty() },
        (NF_QUEUE, QUEUE_BYPASS) => TraceVerdict::Queued { queue, flags: QueueFlags::BYPASS },
        _ => TraceVerdict::Other(code),
    }
}

/// What a message contains of its packet.
#[derive(Default)]
struct Shown {
    any: bool,
    packet: TracedPacket,
    state: Option<u32>,
    status: u32,
    id: Option<u32>,
    direction: Option<CtDirection>,
}

impl Shown {
    /// Reads an attribute; returns whether it is a part of the packet.
    fn take(&mut self, attribute: &Attribute<'_>) -> Result<bool, Malformed> {
        let device = |device: &mut Option<TracedDevice>, index: Option<u32>, kind: Option<u16>| {
            let known = device.get_or_insert(TracedDevice { index: 0, kind: 0 });
            known.index = index.unwrap_or(known.index);
            known.kind = kind.unwrap_or(known.kind);
        };
        match attribute.kind {
            NFTA_TRACE_LL_HEADER => self.packet.link = attribute.value.to_vec(),
            NFTA_TRACE_NETWORK_HEADER => self.packet.network = attribute.value.to_vec(),
            NFTA_TRACE_TRANSPORT_HEADER => self.packet.transport = attribute.value.to_vec(),
            NFTA_TRACE_IIF => device(&mut self.packet.iif, Some(attribute.need_be32()?), None),
            NFTA_TRACE_IIFTYPE => device(&mut self.packet.iif, None, Some(attribute.need_be16()?)),
            NFTA_TRACE_OIF => device(&mut self.packet.oif, Some(attribute.need_be32()?), None),
            NFTA_TRACE_OIFTYPE => device(&mut self.packet.oif, None, Some(attribute.need_be16()?)),
            NFTA_TRACE_CT_ID => self.id = Some(attribute.need_be32()?),
            NFTA_TRACE_CT_DIRECTION => {
                self.direction = Some(match attribute.value {
                    [0] => CtDirection::Original,
                    [1] => CtDirection::Reply,
                    _ => return Err(malformed(attribute)),
                });
            }
            NFTA_TRACE_CT_STATUS => self.status = attribute.need_be32()?,
            NFTA_TRACE_CT_STATE => self.state = Some(attribute.need_be32()?),
            _ => return Ok(false),
        }
        self.any = true;
        Ok(true)
    }

    fn packet(self) -> Option<TracedPacket> {
        let Shown { any, mut packet, state, status, id, direction } = self;
        let state = state.map(CtState::from_bits_retain);
        let status = CtStatus::from_bits_retain(status);
        packet.ct = state.map(|state| TracedConnection { state, id, direction, status });
        any.then_some(packet)
    }
}

fn malformed(attribute: &Attribute<'_>) -> Malformed {
    Malformed { at: attribute.at }
}

// `enum nft_trace_types`
const POLICY: u32 = 1;
const RETURN: u32 = 2;
const RULE: u32 = 3;
// `enum nft_verdicts`
const NFT_CONTINUE: i32 = -1;
const NFT_JUMP: i32 = -3;
const NFT_GOTO: i32 = -4;
const NFT_RETURN: i32 = -5;
// include/uapi/linux/netfilter.h
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NF_STOLEN: u32 = 2;
const NF_QUEUE: u32 = 3;
/// `NF_VERDICT_FLAG_QUEUE_BYPASS`, its second byte.
const QUEUE_BYPASS: u8 = 0x80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::attr::Messages;
    use crate::state::OpaqueMessage;
    use crate::testing::attribute;

    fn message(kind: u16, family: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let payload = [&[family, 0, 0, 0][..], &attributes.concat()].concat();
        let length = u32::try_from(payload.len() + 16).expect("short");
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], &payload].concat()
    }

    fn read(bytes: &[u8]) -> Vec<TraceEvent> {
        Messages::new(bytes).map_while(Result::ok).map(|message| trace(&message)).collect()
    }

    fn number(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_be_bytes())
    }

    fn verdict(code: i32, chain: Option<&str>) -> Vec<u8> {
        let chain = chain.map(|chain| attribute(2, [chain.as_bytes(), &[0]].concat().as_slice()));
        attribute(5, &[attribute(1, &code.to_be_bytes()), chain.unwrap_or_default()].concat())
    }

    fn handle() -> Vec<u8> {
        attribute(3, &9u64.to_be_bytes())
    }

    /// Returns the text of a message of table and chain `inet t c` with these attributes.
    fn reported(attributes: &[Vec<u8>]) -> String {
        let place = [attribute(1, b"t\0"), attribute(2, b"c\0"), number(6, 0xabc)];
        let events = read(&message(TRACE, 1, &[&place[..], attributes].concat()));
        events.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    const TRACE: u16 = NFNL_SUBSYS_NFTABLES << 8 | kind::TRACE;

    #[test]
    fn messages_of_old_and_new_kernels_read_the_same() {
        let cases = [
            (vec![number(4, RETURN), verdict(NFT_CONTINUE, None)], "end"),
            (vec![number(4, RULE), verdict(NFT_CONTINUE, None)], "end"),
            (vec![number(4, RETURN), handle(), verdict(NFT_RETURN, None)], "rule 9, return"),
            (vec![number(4, RULE), handle(), verdict(NFT_RETURN, None)], "rule 9, return"),
        ];
        for (attributes, expected) in cases {
            assert_eq!(reported(&attributes), format!("00000abc inet t c: {expected}"));
        }
    }

    #[test]
    fn every_verdict_has_a_name_or_keeps_its_number() {
        let cases = [
            (NFT_CONTINUE, None, "continue"),
            (NFT_JUMP, Some("d"), "jump d"),
            (NFT_GOTO, Some("d"), "goto d"),
            (0, None, "drop"),
            (1, None, "accept"),
            (2, None, "stolen"),
            (0x0007_0003, None, "queue to 7"),
            (0x0007_8003, None, "queue flags bypass to 7"),
            (0x0007_4003, None, "verdict 0x74003"),
            (4, None, "verdict 0x4"),
            (0x0001_0000, None, "verdict 0x10000"),
            (-2, None, "verdict 0xfffffffe"),
        ];
        for (code, chain, expected) in cases {
            let attributes = [number(4, RULE), handle(), verdict(code, chain)];
            assert_eq!(reported(&attributes), format!("00000abc inet t c: rule 9, {expected}"));
        }
    }

    #[test]
    fn a_traced_packet_prints_as_far_as_its_headers_are_known() {
        let step = [number(4, POLICY), number(16, NF_ACCEPT), number(14, 0x1337)];
        let front = [0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0];
        let ipv4 = [&front[..], &[10, 0, 0, 1, 10, 0, 0, 2]].concat();
        let ports = [&4000u16.to_be_bytes()[..], &53u16.to_be_bytes()].concat();
        let ipv6 = |next| [&[0x60, 0, 0, 0, 0, 8, next, 64][..], &[0; 15], &[1], &[0xfd; 16]].concat();
        let line = "00000abc inet t c: policy accept, mark 0x1337";
        let device = |kind| [number(kind, 3), attribute(kind + 1, &1u16.to_be_bytes())];
        let ct = [number(18, 7), attribute(19, &[1]), number(20, 10), number(21, 2)];
        let cases = [
            (vec![], ""),
            (vec![attribute(8, &ipv4), attribute(9, &ports)], "; udp 10.0.0.1:4000 -> 10.0.0.2:53"),
            (vec![attribute(8, &ipv4), attribute(9, &[1])], "; udp 10.0.0.1 -> 10.0.0.2"),
            (vec![attribute(8, &front)], "; udp 12 bytes of a network header"),
            (vec![attribute(8, &[0x45; 9])], "; 9 bytes of a network header"),
            (
                vec![attribute(8, &ipv6(6)), attribute(9, &ports)],
                "; tcp [::1]:4000 -> [fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:53",
            ),
            (vec![attribute(8, &ipv6(0))], "; protocol 0 ::1 -> fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd"),
            (device(10).into(), "; iif 3, 0 bytes of a network header"),
            (device(12).into(), "; oif 3, 0 bytes of a network header"),
            (
                [vec![attribute(8, &ipv4)], ct.into()].concat(),
                "; udp 10.0.0.1 -> 10.0.0.2, ct established reply status seen-reply,confirmed id 7",
            ),
            (vec![attribute(8, &ipv4), number(21, 64)], "; udp 10.0.0.1 -> 10.0.0.2, ct untracked"),
        ];
        for (shown, expected) in cases {
            assert_eq!(reported(&[&step[..], &shown].concat()), format!("{line}{expected}"));
        }
    }

    #[test]
    fn unknown_attributes_and_unreadable_messages_are_kept() {
        let new = attribute(99, &[1, 2, 3]);
        let place = [attribute(1, b"t\0"), attribute(2, b"c\0"), number(6, 1), number(4, POLICY)];
        let policy = number(16, NF_DROP);
        let whole = [&place[..], &[policy.clone(), new.clone()]].concat();
        match read(&message(TRACE, 1, &whole)).as_slice() {
            [TraceEvent::Message(message)] => assert_eq!(message.opaque, new),
            events => panic!("{events:?}"),
        }
        let cases: &[(u16, u8, &[Vec<u8>])] = &[
            (TRACE, 99, &whole),
            (TRACE, 1, &place),
            (TRACE, 1, &[policy]),
            (TRACE, 1, &[&place[..], &[number(16, 7)]].concat()),
            (TRACE, 1, &[&place[..], &[attribute(16, &[1])]].concat()),
            (TRACE, 1, &[&place[..3], &[number(4, RULE), handle(), verdict(NFT_JUMP, None)]].concat()),
            (TRACE, 1, &[&place[..3], &[number(4, RULE), verdict(1, None)]].concat()),
            (TRACE - 1, 1, &whole),
        ];
        for (kind, family, attributes) in cases {
            let kept = OpaqueMessage { kind: *kind & 0xff, family: *family, attributes: attributes.concat() };
            assert_eq!(read(&message(*kind, *family, attributes)), [TraceEvent::Opaque(kept)]);
        }
    }

    proptest! {
        #[test]
        fn no_attributes_make_the_trace_decoder_panic(
            attributes in prop::collection::vec((0u16..24, prop::collection::vec(0u8..20, 0..40)), 0..12),
            sensible in any::<bool>(),
        ) {
            let mut attributes: Vec<_> = attributes.iter().map(|(kind, value)| attribute(*kind, value)).collect();
            if sensible {
                attributes.retain(|bytes| !(1..=5).contains(bytes.get(2).expect("a header")));
                attributes.extend([attribute(1, b"t\0"), attribute(2, b"c\0"), number(4, RULE), verdict(-1, None)]);
            }
            let events = read(&message(TRACE, 1, &attributes));
            prop_assert_eq!(events.len(), 1);
            events.iter().for_each(|event| drop(event.to_string()));
        }

        #[test]
        fn no_bytes_make_the_trace_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let events = read(&message(TRACE, 1, std::slice::from_ref(&bytes)));
            prop_assert_eq!(events.len(), 1);
            events.iter().for_each(|event| drop(event.to_string()));
            read(&bytes);
        }
    }
}
