//! Events: the messages that the kernel multicasts, one for each change of a commit and one for
//! the commit.
//!
//! Decoding is total: a message that cannot be read is opaque.

use super::super::{NFNL_SUBSYS_NFTABLES, flag, kind};
use super::{FLOWTABLE, InTable, OBJECT, chain, object, rule, set, table};
use crate::attr::nfta::{NFTA_GEN_ID, NFTA_GEN_PROC_NAME, NFTA_GEN_PROC_PID, NFTA_RULE_POSITION};
use crate::attr::{Attributes, Malformed, Message};
use crate::model::{ChainId, Generation, Name, Position, RuleHandle, TableId};
use crate::state::{AddedAt, ChainState, Commit, Event, OpaqueMessage, OpaqueState, SetState, TableState};

/// Decodes one message.
pub(crate) fn event(message: &Message<'_>) -> Event {
    match read(message) {
        Ok(Some(event)) => event,
        Ok(None) | Err(Malformed { .. }) => Event::Opaque(opaque(message)),
    }
}

fn read(message: &Message<'_>) -> Result<Option<Event>, Malformed> {
    let [subsystem, number] = message.kind.to_be_bytes();
    let Some((family, attributes)) = message.netfilter() else { return Ok(None) };
    if u16::from(subsystem) != NFNL_SUBSYS_NFTABLES {
        return Ok(None);
    }
    let number = u16::from(number);
    Ok(match number {
        kind::NEWTABLE => table(family, attributes)?.map(Event::TableAdded),
        kind::DELTABLE => {
            table(family, attributes)?.map(|TableState { id: table, handle, .. }| Event::TableDeleted { table, handle })
        }
        kind::NEWCHAIN | kind::DELCHAIN => chain(family, attributes)?.and_then(|(place, chain)| {
            let table = place.id()?;
            Some(if number == kind::NEWCHAIN {
                Event::ChainAdded { table, chain }
            } else {
                let ChainState { name, handle, .. } = chain;
                Event::ChainDeleted { chain: ChainId { table, name }, handle }
            })
        }),
        kind::NEWRULE | kind::DELRULE => {
            let position = added_at(message.flags, attributes.clone());
            rule(family, attributes)?.and_then(|(place, chain, rule)| {
                let chain = ChainId { table: place.id()?, name: text(chain)? };
                Some(if number == kind::NEWRULE {
                    Event::RuleAdded { chain, position, rule }
                } else {
                    Event::RuleDeleted { chain, rule }
                })
            })
        }
        kind::NEWSET | kind::DELSET => set::set(family, attributes)?.and_then(|(place, set)| {
            let table = place.id()?;
            Some(if number == kind::NEWSET {
                Event::SetAdded { table, set }
            } else {
                let SetState { name: set, handle, .. } = set;
                Event::SetDeleted { table, set, handle }
            })
        }),
        kind::NEWSETELEM | kind::DELSETELEM => {
            set::elements(family, attributes)?.and_then(|(place, set, set::Elements { elements, expires })| {
                let (table, set) = (place.id()?, text(set)?);
                Some(if number == kind::NEWSETELEM {
                    Event::ElementsAdded { table, set, elements, expires }
                } else {
                    Event::ElementsDeleted { table, set, elements }
                })
            })
        }
        kind::NEWOBJ | kind::DELOBJ => {
            object(family, attributes, &OBJECT)?.and_then(|found| changed(number == kind::NEWOBJ, found))
        }
        kind::NEWFLOWTABLE | kind::DELFLOWTABLE => {
            object(family, attributes, &FLOWTABLE)?.and_then(|found| changed(number == kind::NEWFLOWTABLE, found))
        }
        kind::NEWGEN => commit(message.port, attributes)?.map(Event::Committed),
        _ => None,
    })
}

/// Returns where a rule was added, from an event: nf_tables_rule_notify,
/// net/netfilter/nf_tables_api.c, v5.15.
///
/// The kernel names the preceding rule, but not for the last rule of a chain or the first. The
/// flags are those of the request; before v5.15 there are no flags and no rule is named.
fn added_at(flags: u16, attributes: Attributes<'_>) -> AddedAt {
    let after = attributes.find(NFTA_RULE_POSITION).and_then(|after| after.need_be64().ok());
    match (after, flags & flag::CREATE != 0, flags & flag::APPEND != 0) {
        (Some(handle), _, _) => AddedAt::Position(Position::After(RuleHandle(handle))),
        (None, false, false) => AddedAt::NotReported,
        (None, false, true) => AddedAt::Replaced,
        (None, true, false) => AddedAt::Position(Position::First),
        (None, true, true) => AddedAt::Position(Position::Last),
    }
}

fn changed(added: bool, (place, object): (InTable<'_>, OpaqueState)) -> Option<Event> {
    let table: TableId = place.id()?;
    Some(if added { Event::ObjectAdded { table, object } } else { Event::ObjectDeleted { table, object } })
}

/// Decodes `enum nft_gen_attributes`; the last two since Linux 4.13.
fn commit(port: u32, attributes: Attributes<'_>) -> Result<Option<Commit>, Malformed> {
    let (mut generation, mut pid, mut command) = (None, 0, String::new());
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_GEN_ID => generation = Some(Generation(attribute.need_be32()?)),
            NFTA_GEN_PROC_PID => pid = attribute.need_be32()?,
            // Any bytes but NUL: prctl(2), PR_SET_NAME.
            NFTA_GEN_PROC_NAME => command = String::from_utf8_lossy(attribute.value).trim_end_matches('\0').to_owned(),
            _ => {}
        }
    }
    Ok(generation.map(|generation| Commit { generation, pid, command, port }))
}

pub(super) fn text(name: &[u8]) -> Option<Name> {
    std::str::from_utf8(name).ok().map(Name::from)
}

/// Keeps the whole message; its type is without the subsystem only where that is nf_tables.
pub(super) fn opaque(message: &Message<'_>) -> OpaqueMessage {
    let [subsystem, number] = message.kind.to_be_bytes();
    let ours = u16::from(subsystem) == NFNL_SUBSYS_NFTABLES;
    let kind = if ours { u16::from(number) } else { message.kind };
    let (family, attributes) = match message.payload.split_at_checked(4) {
        Some(([family, ..], attributes)) => (*family, attributes),
        _ => (0, message.payload),
    };
    OpaqueMessage { kind, family, attributes: attributes.to_vec() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::attr::Messages;
    use crate::testing::attribute;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len() + 16).expect("short");
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 2], &[0; 4], &77u32.to_ne_bytes(), payload].concat()
    }

    fn read(bytes: &[u8]) -> Vec<Event> {
        Messages::new(bytes).map_while(Result::ok).map(|message| event(&message)).collect()
    }

    fn of_nftables(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        message(NFNL_SUBSYS_NFTABLES << 8 | kind, &[&[1, 0, 0, 0][..], &attributes.concat()].concat())
    }

    fn table() -> TableId {
        TableId::new(crate::model::Family::Inet, "t")
    }

    #[test]
    fn a_commit_event_has_pid_command_and_generation() {
        let attributes =
            [attribute(1, &7u32.to_be_bytes()), attribute(2, &4711u32.to_be_bytes()), attribute(3, b"nft\0")];
        let commit = Commit { generation: Generation(7), pid: 4711, command: "nft".into(), port: 77 };
        assert_eq!(commit.to_string(), r#"generation 7 by "nft" (pid 4711)"#);
        assert_eq!(read(&of_nftables(kind::NEWGEN, &attributes)), [Event::Committed(commit)]);
    }

    #[test]
    fn deletion_events_print_from_the_attributes_that_remain() {
        let (name, handle) = (|kind| attribute(kind, b"n\0"), |kind| attribute(kind, &9u64.to_be_bytes()));
        let place = attribute(1, b"t\0");
        let cases = [
            (kind::DELTABLE, vec![place.clone(), handle(4)], "delete table inet t"),
            (kind::DELCHAIN, vec![place.clone(), name(3), handle(2)], "delete chain inet t n"),
            (kind::DELRULE, vec![place.clone(), name(2), handle(3)], "delete rule inet t n # handle 9"),
            (kind::DELSET, vec![place.clone(), name(2), handle(16)], "delete set inet t n"),
            (kind::DELSETELEM, vec![place.clone(), name(2)], "delete 0 elements inet t n"),
            (kind::DELOBJ, vec![place.clone(), name(2), attribute(3, &[0, 0, 0, 1])], "delete counter inet t n"),
            (kind::DELFLOWTABLE, vec![place.clone(), name(2), handle(5)], "delete flowtable inet t n"),
        ];
        for (kind, attributes, expected) in cases {
            let events = read(&of_nftables(kind, &attributes));
            let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
            assert_eq!(lines, [expected]);
            assert_eq!(events.first().and_then(Event::table), Some(&table()), "{expected}");
        }
    }

    #[test]
    fn unreadable_messages_are_kept_as_opaque_events() {
        let unnamed = attribute(4, &9u64.to_be_bytes());
        let cut = [&attribute(1, b"t\0")[..], &[9, 0]].concat();
        let number = NFNL_SUBSYS_NFTABLES << 8;
        let cases = [
            (number | 200, [&[1, 0, 0, 0][..], &unnamed].concat(), (200, 1, unnamed.clone())),
            (number | kind::NEWTABLE, [&[1, 0, 0, 0][..], &unnamed].concat(), (kind::NEWTABLE, 1, unnamed.clone())),
            (number | kind::NEWTABLE, [&[2, 0, 0, 0][..], &cut].concat(), (kind::NEWTABLE, 2, cut.clone())),
            (number | kind::NEWGEN, vec![1, 2], (kind::NEWGEN, 0, vec![1, 2])),
            (0x0101, vec![0; 4], (0x0101, 0, vec![])),
        ];
        for (number, payload, (kind, family, attributes)) in cases {
            let kept = OpaqueMessage { kind, family, attributes };
            assert_eq!(read(&message(number, &payload)), [Event::Opaque(kept)]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_event_decoder_panic(kind in 0u16..30, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let events = read(&message(NFNL_SUBSYS_NFTABLES << 8 | kind, &bytes));
            prop_assert_eq!(events.len(), 1);
            events.iter().for_each(|event| drop(event.to_string()));
            read(&bytes);
        }

        #[test]
        fn no_attributes_make_the_event_decoder_panic(
            kind in 0u16..30,
            attributes in prop::collection::vec((0u16..22, prop::collection::vec(0u8..20, 0..40)), 0..8),
        ) {
            let attributes: Vec<_> = attributes.iter().map(|(kind, value)| attribute(*kind, value)).collect();
            let events = read(&of_nftables(kind, &attributes));
            prop_assert_eq!(events.len(), 1);
            events.iter().for_each(|event| drop(event.to_string()));
        }
    }
}
