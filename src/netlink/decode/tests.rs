//! Dumps of the real kernel: whole, truncated at every length, and with every byte changed.

mod beyond;

use super::super::encode::message;
use super::super::flag;
use super::{Assembly, Item, datagram};
use crate::attr::Messages;
use crate::bytecode::{Expr, LookupSet};
use crate::model::{Family, Generation, TableId};
use crate::netlink::{NFNL_SUBSYS_NFTABLES, kind};
use crate::state::Snapshot;
use crate::sys::socket::{Bus, NetlinkSocket, Wait};
use crate::testing::{attribute, in_namespace, nft};

/// Something of every kind that dumps contain.
const SCRIPT: &str = r#"table inet t {
    comment "of the table"
    counter hits { packets 5 bytes 6 }
    set s { type ipv4_addr; flags interval,timeout; timeout 1h; counter; elements = { 10.0.0.0/8 comment "x", 192.168.1.1-192.168.1.9 timeout 5m }; }
    set c { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 80-90, 1.2.3.4 . 22 }; }
    map m { type inet_service : verdict; elements = { 80 : accept, 443 : jump r }; }
    map o { type inet_service : counter; elements = { 80 : "hits" }; }
    chain r { comment "of the chain"; }
    chain base { type nat hook prerouting priority -100;
        ip saddr . tcp dport { 10.0.0.1 . 80 } dnat ip to 1.2.3.4-1.2.3.9:80-90 random
        tcp dport vmap @m
        iifname { "eth0", "veth*" } meta mark set meta mark and 0xff or 0x100 redirect
        ct original ip saddr 10.0.0.1 quota over 10 mbytes drop
        limit rate over 10/minute burst 5 packets log prefix "hi" group 3 counter jump r comment "of the rule"
    }
}"#;

/// Returns the datagrams of every dump, with the elements of named sets.
fn captured() -> Vec<Vec<u8>> {
    nft(SCRIPT);
    let socket = NetlinkSocket::open(Bus::Netfilter).expect("a socket");
    let mut assembly = Assembly::new(None);
    let kinds = [kind::GETTABLE, kind::GETCHAIN, kind::GETSET, kind::GETRULE, kind::GETOBJ, kind::GETFLOWTABLE];
    let mut datagrams: Vec<Vec<u8>> =
        kinds.into_iter().flat_map(|kind| dump(&socket, kind, 0, &[], &mut assembly)).collect();
    for request in assembly.element_requests() {
        datagrams.extend(dump(&socket, kind::GETSETELEM, request.family, &request.attributes, &mut assembly));
    }
    datagrams
}

fn dump(socket: &NetlinkSocket, kind: u16, family: u8, attributes: &[u8], assembly: &mut Assembly<'_>) -> Vec<Vec<u8>> {
    let request = message(NFNL_SUBSYS_NFTABLES << 8 | kind, flag::REQUEST | flag::DUMP, 7, family, 0, attributes);
    socket.send(&request).expect("a short request");
    let mut buffer = Vec::new();
    let mut datagrams = Vec::new();
    while let Some(datagram) = socket.recv_fitting(&mut buffer, Wait::DontWait).expect("a dump") {
        for message in Messages::new(datagram) {
            assembly.read(&message.expect("whole")).expect("whole");
        }
        datagrams.push(datagram.to_vec());
    }
    datagrams
}

/// Returns what an assembly makes of datagrams, whatever they contain.
fn assembled(datagrams: &[Vec<u8>]) -> Snapshot {
    let mut assembly = Assembly::new(None);
    for message in datagrams.iter().flat_map(|datagram| Messages::new(datagram)).flatten() {
        let _malformed = assembly.read(&message);
    }
    for request in assembly.element_requests() {
        assembly.settle(&request);
    }
    assembly.rule_requests();
    assembly.finish(Generation(1))
}

#[test]
fn a_dump_is_read_completely() {
    in_namespace(|| {
        let datagrams = captured();
        // The end of each dump is not an item.
        let items = datagrams.iter().flat_map(|bytes| datagram(bytes).expect("whole"));
        let count = items.filter(|item| !matches!(item, Item::Opaque)).count();
        // 1 table, 2 chains, 6 sets, 5 rules, 1 object, and for each set its elements.
        assert!(count >= 21, "{count}");
        let snapshot = assembled(&datagrams);
        let [table] = snapshot.tables.as_slice() else { panic!("{snapshot:#?}") };
        assert_eq!((table.sets.len(), table.chains.len(), table.objects.len()), (4, 2, 1));
    });
}

#[test]
fn a_datagram_that_is_cut_is_an_error_at_every_length() {
    in_namespace(|| {
        for bytes in captured() {
            let mut ends: Vec<usize> = vec![0];
            for message in Messages::new(&bytes) {
                let length = 16 + message.expect("whole").payload.len();
                ends.push(ends.last().copied().unwrap_or(0) + length.next_multiple_of(4));
            }
            for length in 0..bytes.len() {
                let cut = datagram(bytes.get(..length).expect("shorter"));
                // The padding after the last message carries no information.
                let whole = ends.iter().any(|end| (end.saturating_sub(3)..=*end).contains(&length));
                assert!(cut.is_err() || whole, "{length} of {}: {cut:?}", bytes.len());
            }
        }
    });
}

#[test]
fn a_truncated_message_is_an_error_or_a_shorter_message() {
    in_namespace(|| {
        let mut errors = 0;
        let mut total = 0;
        for bytes in captured() {
            for message in Messages::new(&bytes) {
                let message = message.expect("whole");
                for length in 0..message.payload.len() {
                    let total_length = u32::try_from(16 + length).expect("short").to_ne_bytes();
                    let header = [total_length.as_slice(), &message.kind.to_ne_bytes(), &[0; 10]].concat();
                    let cut = [header.as_slice(), message.payload.get(..length).expect("shorter")].concat();
                    errors += usize::from(datagram(&cut).is_err());
                    total += 1;
                    drop(assembled(&[cut]));
                }
            }
        }
        // A cut between two attributes gives a valid shorter message.
        assert!(errors * 10 > total * 8, "{errors} of {total}");
    });
}

#[test]
fn no_changed_byte_makes_the_decoder_panic() {
    in_namespace(|| {
        let datagrams = captured();
        for (index, bytes) in datagrams.iter().enumerate() {
            for at in 0..bytes.len() {
                for change in [0x01, 0x80, 0xff] {
                    let mut changed = bytes.clone();
                    *changed.get_mut(at).expect("inside") ^= change;
                    drop(datagram(&changed));
                    if at % 7 == 0 {
                        let mut all = datagrams.clone();
                        *all.get_mut(index).expect("inside") = changed;
                        drop(assembled(&all));
                    }
                }
            }
        }
    });
}

#[test]
fn an_anonymous_set_is_only_in_its_rule() {
    in_namespace(|| {
        let snapshot = assembled(&captured());
        let [table] = snapshot.tables.as_slice() else { panic!("{snapshot:#?}") };
        let rules = table.chains.iter().flat_map(|chain| &chain.rules);
        let anonymous = rules.flat_map(|rule| &rule.exprs).filter(
            |expr| matches!(expr, Expr::Lookup { set: LookupSet::Anonymous(set), .. } if !set.elements.is_empty()),
        );
        assert_eq!(anonymous.count(), 2);
        let names: Vec<_> = table.sets.iter().map(|set| set.name.as_str()).collect();
        assert_eq!(names, ["s", "c", "m", "o"]);
    });
}

/// Sends a batch of these messages: kind and attributes, of family ip.
fn send(messages: &[(u16, Vec<u8>)]) {
    let socket = NetlinkSocket::open(Bus::Netfilter).expect("a socket");
    let mut batch = message(16, flag::REQUEST, 1, 0, NFNL_SUBSYS_NFTABLES, &[]);
    for (index, (kind, attributes)) in messages.iter().enumerate() {
        let sequence = u32::try_from(index + 2).expect("few");
        let flags = flag::REQUEST | flag::CREATE;
        batch.extend(message(NFNL_SUBSYS_NFTABLES << 8 | kind, flags, sequence, 2, 0, attributes));
    }
    batch.extend(message(17, flag::REQUEST, 99, 0, NFNL_SUBSYS_NFTABLES, &[]));
    socket.send(&batch).expect("a short batch");
    let refused = socket.recv_fitting(&mut Vec::new(), Wait::DontWait).expect("a socket").map(<[u8]>::to_vec);
    assert_eq!(refused, None, "the kernel takes it");
}

#[test]
fn objects_whose_names_are_not_utf_8_are_kept_opaque() {
    in_namespace(|| {
        nft("table ip good { chain c { accept; }; }");
        let odd = attribute(1, b"b\xff\0");
        let chain = [attribute(1, b"good\0"), attribute(3, b"\xfe\0")].concat();
        let set = [
            odd.clone(),
            attribute(2, b"s\xff\0"),
            attribute(3, &[0; 4]),
            attribute(4, &7_u32.to_be_bytes()),
            attribute(5, &4_u32.to_be_bytes()),
            attribute(10, &1_u32.to_be_bytes()),
        ];
        let element = attribute(1, &attribute(0x8001, &attribute(1, &[1, 2, 3, 4])));
        let elements = [odd.clone(), attribute(2, b"s\xff\0"), attribute(0x8003, &element)].concat();
        let messages = [
            (kind::NEWTABLE, odd),
            (kind::NEWCHAIN, chain),
            (kind::NEWSET, set.concat()),
            (kind::NEWSETELEM, elements),
        ];
        send(&messages);
        let mut kernel = crate::kernel::Kernel::open().expect("a socket");
        let good = [TableId::new(Family::Ip, "good")];
        let within = kernel.snapshot_of(&good).expect("nobody else commits").opaque;
        assert_eq!(within.iter().map(|message| message.kind).collect::<Vec<_>>(), [kind::NEWCHAIN]);
        let read = kernel.snapshot().expect("nobody else commits");
        assert_eq!(read.tables.len(), 1);
        let kinds: Vec<_> = read.opaque.iter().map(|message| (message.kind, message.family)).collect();
        let expected = [kind::NEWTABLE, kind::NEWCHAIN, kind::NEWSET, kind::NEWSETELEM].map(|kind| (kind, 2));
        assert_eq!(kinds.get(..4), Some(expected.as_slice()), "{read:#?}");
        let key = [1, 2, 3, 4];
        let holds = |bytes: &[u8]| bytes.windows(4).any(|window| window == key);
        assert!(read.opaque.iter().any(|message| message.kind == kind::NEWSETELEM && holds(&message.attributes)));
    });
}
