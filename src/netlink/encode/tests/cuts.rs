//! How elements are split into messages: to the byte, and equally by both backends.

use std::borrow::Cow;

use super::*;
use crate::netlink::encode::body::{ELEMENT, Elem, ElementsBody, LIST};
use crate::netlink::encode::own;

/// Returns the element indexes at which messages begin.
fn begins(encoded: &Encoded) -> Vec<usize> {
    let parts = encoded.origins.iter().filter_map(|origin| match origin.part {
        MessagePart::Elements { first } => Some(first),
        _ => None,
    });
    parts.collect()
}

/// Returns elements of the given lengths in bytes: 16 without a comment, otherwise 4 more plus the
/// comment with its 3 bytes.
fn commented(lengths: &[usize]) -> Transaction {
    let element = |(index, bytes): (u32, &usize)| {
        let element = Element::new(Value::Ipv4((0x0a00_0000 + index).into()));
        if *bytes == 16 { element } else { element.comment("c".repeat(bytes - 20 - 3)) }
    };
    let set = Set::new("s", [DataType::Ipv4]);
    let set = set.elements((0..).zip(lengths).map(element));
    Transaction::new().operation(Operation::AddElements { table: table(), set })
}

#[test]
fn a_message_ends_before_an_element_without_enough_space() {
    // The last position at which one may begin, and the next.
    let last = (LIST - ELEMENT) / 4 * 4;
    let full = [276; 234];
    for (bytes, expected) in [(last, vec![0, 236]), (last + 4, vec![0, 235])] {
        let rest = bytes - full.iter().sum::<usize>();
        let lengths = [full.as_slice(), &[rest, 16, 16]].concat();
        assert_eq!(begins(&both(&commented(&lengths))), expected, "{bytes} bytes in front of the last two");
    }
}

#[test]
fn every_element_is_sent_once_and_no_element_list_is_too_long() {
    for bytes in [16, 24, 52, 100, 104, 148, 276] {
        // As many as fill three messages, and some more.
        let count = 3 * (LIST - ELEMENT) / bytes + 5;
        let encoded = both(&commented(&vec![bytes; count]));
        let each = (LIST - ELEMENT) / bytes + 1;
        let expected: Vec<usize> = (0..count).step_by(each).collect();
        assert_eq!(begins(&encoded), expected, "elements of {bytes} bytes");
        let mut sent = 0;
        for message in attr::Messages::new(encoded.messages.as_bytes()) {
            let message = message.expect("whole");
            let Some((_, attributes)) = message.netfilter() else { continue };
            let list = attributes.find(3).filter(|_| message.kind & 0xff == kind::NEWSETELEM);
            let Some(list) = list else { continue };
            assert!(list.value.len() <= LIST, "{}", list.value.len());
            sent += list.nested().count();
        }
        assert_eq!(sent, count, "elements of {bytes} bytes");
    }
}

/// Returns how many elements of these lengths fit into one message of our own, and the length of
/// their list.
fn taken(lengths: &[usize]) -> (usize, usize) {
    let long = |bytes: &usize| -> Elem<'static> {
        let opaque = if *bytes == 16 { Vec::new() } else { crate::testing::attribute(200, &vec![7; bytes - 16 - 4]) };
        let extras = ElementExtras { opaque, ..ElementExtras::default() };
        let key = Bytes::from_slice(&[1, 2, 3, 4]);
        Ok((Cow::Owned(ElementCode { key, extras: Some(Box::new(extras)), ..ElementCode::default() }), None))
    };
    let to = ElementsBody { table: "t", set: "s", id: None, most: lengths.len(), extras: true };
    let header = Header { kind: kind::NEWSETELEM, family: 1, flags: 0, sequence: 1 };
    let (mut messages, mut elements) = (Messages::default(), lengths.iter().map(long).peekable());
    let (count, failed) = own::elements(&mut messages, header, &to, &mut elements).expect("it fits");
    assert_eq!((failed, elements.count()), (None, lengths.len() - count), "what does not go in is still there");
    let message = attr::Messages::new(messages.as_bytes()).next().expect("a message").expect("whole");
    let list = message.netfilter().and_then(|(_, attributes)| attributes.find(3)).expect("a list");
    assert_eq!(list.nested().count(), count);
    (count, list.value.len())
}

#[test]
fn an_element_that_does_not_fit_starts_the_next_message() {
    let half = 32_748;
    for (lengths, expected) in [
        (vec![half, LIST - half], (2, LIST)),
        (vec![half, LIST - half + 4], (1, half)),
        // Alone it may be as long as the kernel's length field allows.
        (vec![LIST + 4, 16], (1, LIST + 4)),
        (vec![65_528, 16], (1, 65_528)),
        (vec![16, 65_528], (1, 16)),
        (vec![16; 3], (3, 48)),
    ] {
        assert_eq!(taken(&lengths), expected, "{lengths:?}");
    }
}
