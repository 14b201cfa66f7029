//! Packets as text: `tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000 mark 0x539 flags syn
//! length 60`.
//!
//! A printed packet reads back as the same packet. Anything left out is as in the first packet of a
//! connection: `flags syn` for TCP, the length of a packet without payload, no socket, no mark.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::str::{FromStr, SplitWhitespace};

use super::header::{HeaderBytes, Hex, hex};
use super::icmp::{is_error, is_icmp};
use super::packet::{Owner, Packet};
use crate::error::{Error, Kind};
use crate::model::{IcmpType, Icmpv6Type, PktType, Protocol, TcpFlags};

impl Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Packet {
            protocol,
            source,
            destination,
            sport,
            dport,
            icmp_id,
            tcp_flags,
            owner,
            mark,
            length,
            pkttype,
            bytes,
            about,
        } = self;
        match protocol.name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "{}", protocol.0)?,
        }
        let plain = Packet::plain(*protocol, *source, *destination);
        if is_icmp(*protocol) {
            let [kind, code] = sport.to_be_bytes();
            write!(f, " {source} -> {destination} type {}", Type(*protocol, kind))?;
            unless(f, "code", u16::from(code), 0)?;
            unless(f, "checksum", *dport, 0)?;
            unless(f, "id", *icmp_id, 0)?;
        } else if protocol.has_ports() || (*sport, *dport) != (0, 0) {
            write!(f, " {} -> {}", SocketAddr::new(*source, *sport), SocketAddr::new(*destination, *dport))?;
        } else {
            write!(f, " {source} -> {destination}")?;
        }
        if let Some(Owner { uid, gid, cgroup }) = owner {
            write!(f, " uid {uid} gid {gid}")?;
            unless(f, "cgroup", *cgroup, 0)?;
        }
        if *mark != 0 {
            write!(f, " mark {mark:#x}")?;
        }
        if *tcp_flags != plain.tcp_flags {
            write!(f, " flags {}", Flags(*tcp_flags))?;
        }
        unless(f, "length", *length, plain.length)?;
        match pkttype.name() {
            _ if *pkttype == PktType::HOST => {}
            Some(name) => write!(f, " pkttype {name}")?,
            None => write!(f, " pkttype {}", pkttype.0)?,
        }
        let HeaderBytes { network, transport } = bytes;
        let about = |f: &mut fmt::Formatter<'_>| about.as_ref().map_or(Ok(()), |about| write!(f, " about {about}"));
        for (word, bytes) in [("network", network), ("transport", transport)] {
            if !bytes.is_empty() {
                write!(f, " {word} {}", Hex(bytes))?;
            }
        }
        about(f)
    }
}

fn unless<T: Display + PartialEq>(f: &mut fmt::Formatter<'_>, word: &str, value: T, usual: T) -> fmt::Result {
    if value == usual { Ok(()) } else { write!(f, " {word} {value}") }
}

/// Prints flags as `syn,ack`, or `none`.
struct Flags(TcpFlags);

impl Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let names: Vec<String> = self.0.iter_names().map(|(name, _)| name.to_lowercase()).collect();
        f.write_str(&names.join(","))
    }
}

/// Prints an ICMP type by its name, or number.
struct Type(Protocol, u8);

impl Type {
    fn name(&self) -> Option<&'static str> {
        if self.0 == Protocol::ICMPV6 { Icmpv6Type(self.1).name() } else { IcmpType(self.1).name() }
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.1),
        }
    }
}

impl Packet {
    /// Returns the first packet of this protocol between these addresses, without payload.
    pub(super) fn plain(protocol: Protocol, source: IpAddr, destination: IpAddr) -> Packet {
        let (source, destination) = (SocketAddr::new(source, 0), SocketAddr::new(destination, 0));
        match protocol {
            Protocol::TCP => Packet::tcp(source, destination),
            protocol => Packet { protocol, ..Packet::udp(source, destination) },
        }
    }
}

/// See [`Packet`] for the words. A text that cannot be read is [`is_invalid`](Error::is_invalid),
/// in one line with the remedy.
impl FromStr for Packet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|why| Error::new(Kind::Invalid, format!("packet {text:?}: {why}")))
    }
}

fn parse(text: &str) -> Result<Packet, String> {
    let Some((text, about)) = text.split_once(" about ") else { return plain(text) };
    let packet = plain(text)?;
    let [kind, _] = packet.sport.to_be_bytes();
    if !is_icmp(packet.protocol) || !is_error(packet.protocol, kind) {
        return Err("only an error of ICMP is about a packet; leave out about and what follows".to_owned());
    }
    let about = plain(about).map_err(|why| format!("about {about:?}: {why}"))?;
    if about.family() != packet.family() {
        return Err("what it is about is of the other family".to_owned());
    }
    Ok(Packet { about: Some(Box::new(about)), ..packet })
}

fn plain(text: &str) -> Result<Packet, String> {
    let mut words = text.split_whitespace();
    let protocol = protocol(words.next().ok_or(SHAPE)?)?;
    let source = words.next().ok_or(SHAPE)?;
    let source_has_port = source.parse::<SocketAddr>().is_ok();
    let source = end(protocol, source)?;
    if words.next() != Some("->") {
        return Err(SHAPE.to_owned());
    }
    let destination = end(protocol, words.next().ok_or(SHAPE)?)?;
    if source.is_ipv4() != destination.is_ipv4() {
        return Err("source and destination are of two families; give both as IPv4, or both as IPv6".to_owned());
    }
    let mut packet = Packet::plain(protocol, source.ip(), destination.ip());
    (packet.sport, packet.dport) = (source.port(), destination.port());
    let (mut owner, mut icmp) = ((None, None, None), (None, 0));
    let mut seen = Vec::new();
    // Offsets of zeros that were given explicitly, because a zero alone means not known.
    let mut zeros: Vec<usize> = Vec::new();
    if source_has_port && !protocol.has_ports() && (source.port(), destination.port()) == (0, 0) {
        zeros.extend([0, 2]);
    }
    while let Some(word) = words.next() {
        if seen.contains(&word) {
            return Err(format!("{word} is given twice"));
        }
        seen.push(word);
        match word {
            "cgroup" => owner.2 = Some(number(word, &mut words)?),
            "checksum" if is_icmp(protocol) => {
                packet.dport = number(word, &mut words)?;
                zeros.extend((packet.dport == 0).then_some(2));
            }
            "code" if is_icmp(protocol) => icmp.1 = number(word, &mut words)?,
            "flags" => packet.tcp_flags = flags(value(word, &mut words)?)?,
            "gid" => owner.1 = Some(number(word, &mut words)?),
            "id" if is_icmp(protocol) => {
                packet.icmp_id = number(word, &mut words)?;
                zeros.extend((packet.icmp_id == 0).then_some(4));
            }
            "length" => packet.length = number(word, &mut words)?,
            "network" => packet.bytes.network = hex(word, value(word, &mut words)?)?,
            "mark" => packet.mark = number(word, &mut words)?,
            "pkttype" => packet.pkttype = pkttype(value(word, &mut words)?)?,
            "transport" => packet.bytes.transport = hex(word, value(word, &mut words)?)?,
            "type" if is_icmp(protocol) => icmp.0 = Some(icmp_type(protocol, value(word, &mut words)?)?),
            "uid" => owner.0 = Some(number(word, &mut words)?),
            _ => return Err(format!("{word:?} is not a word of a packet; there are {WORDS}")),
        }
    }
    packet.owner = match owner {
        (None, None, None) => None,
        (Some(uid), Some(gid), cgroup) => Some(Owner { uid, gid, cgroup: cgroup.unwrap_or(0) }),
        _ => return Err("a socket has a user and a group; give both, such as uid 1000 gid 1000".to_owned()),
    };
    match icmp {
        (Some(kind), code) => packet.sport = u16::from_be_bytes([kind, code]),
        (None, _) if is_icmp(protocol) => return Err("no type; give one, such as type echo-request".to_owned()),
        (None, _) => {}
    }
    for at in zeros {
        HeaderBytes::set(&mut packet.bytes.transport, at, &[Some(0); 2]);
    }
    Ok(packet)
}

fn protocol(word: &str) -> Result<Protocol, String> {
    let named = (0..=u8::MAX).map(Protocol).find(|protocol| protocol.name() == Some(word));
    let by_number = || word.parse().ok().map(Protocol);
    let other = || (word == "icmpv6").then_some(Protocol::ICMPV6);
    named.or_else(by_number).or_else(other).ok_or_else(|| {
        format!("{word:?} is not a protocol; give tcp, udp, icmp, icmpv6, sctp or another by its name or number")
    })
}

/// Reads an address, with a port if the protocol has ports.
fn end(protocol: Protocol, word: &str) -> Result<SocketAddr, String> {
    let with_port = word.parse::<SocketAddr>();
    let alone = word.parse::<IpAddr>().map(|address| SocketAddr::new(address, 0));
    match (with_port, alone) {
        (Ok(_), _) if is_icmp(protocol) => Err(format!("{word}: this protocol has no ports; give the address alone")),
        (Ok(end), _) => Ok(end),
        (_, Ok(end)) if !protocol.has_ports() => Ok(end),
        (_, Ok(end)) => Err(format!("{word}: no port; give one, as in {}", SocketAddr::new(end.ip(), 9000))),
        _ => Err(format!("{word:?} is not an address with a port; give one as in 10.77.0.2:40000 or [fd77::2]:40000")),
    }
}

fn value<'a>(word: &str, words: &mut SplitWhitespace<'a>) -> Result<&'a str, String> {
    words.next().ok_or_else(|| format!("{word} lacks its value"))
}

/// Reads a decimal number, or a hexadecimal one with `0x`.
fn number<T: TryFrom<u32>>(word: &str, words: &mut SplitWhitespace<'_>) -> Result<T, String> {
    let text = value(word, words)?;
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u32::from_str_radix(digits, 16)).ok();
    let largest = u32::MAX >> (32 - 8 * size_of::<T>());
    let fits = parsed.and_then(|number| T::try_from(number).ok());
    fits.ok_or_else(|| format!("{word} {text}: not a number from 0 to {largest}"))
}

fn flags(text: &str) -> Result<TcpFlags, String> {
    let mut flags = TcpFlags::empty();
    if text != "none" {
        for name in text.split(',') {
            let flag = TcpFlags::from_name(&name.to_uppercase());
            flags |= flag.ok_or_else(|| {
                format!(
                    "flags {text}: {name:?} is not one; join fin, syn, rst, psh, ack, urg, ecn and cwr by commas, or none"
                )
            })?;
        }
    }
    Ok(flags)
}

fn pkttype(text: &str) -> Result<PktType, String> {
    let named = (0..=u8::MAX).map(PktType).find(|kind| kind.name() == Some(text));
    named
        .or_else(|| text.parse().ok().map(PktType))
        .ok_or_else(|| format!("pkttype {text}: none of host, broadcast, multicast and other"))
}

fn icmp_type(protocol: Protocol, text: &str) -> Result<u8, String> {
    let named = (0..=u8::MAX).find(|kind| Type(protocol, *kind).name() == Some(text));
    named
        .or_else(|| text.parse().ok())
        .ok_or_else(|| format!("type {text}: not known; give one such as echo-request, or its number"))
}

const SHAPE: &str = "a packet is PROTOCOL SOURCE -> DESTINATION and more, as in tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000";
const WORDS: &str =
    "uid, gid, cgroup, mark, flags, length, pkttype, network, transport, and of icmp type, code, checksum and id";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_print_as_they_are_written() {
        let cases = [
            "tcp 10.77.0.2:40000 -> 10.77.0.1:9000",
            "tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000 mark 0x539 flags syn,ack length 1500",
            "tcp 10.77.0.2:0 -> 10.77.0.1:0 uid 0 gid 0 cgroup 7 flags none",
            "udp [fd77::2]:5000 -> [fd00::1]:53",
            "udp 10.0.0.1:68 -> 255.255.255.255:67 pkttype broadcast",
            "icmp 10.0.0.1 -> 10.0.0.2 type echo-request",
            "ipv6-icmp fd77::1 -> fd77::2 type echo-reply id 7",
            "icmp 10.0.0.1 -> 10.0.0.2 type destination-unreachable code 3 checksum 17",
            "ipv6-icmp fe80::1 -> ff02::1 type nd-router-advert",
            "gre 10.0.0.1 -> 10.0.0.2",
            "200 10.0.0.1:1 -> 10.0.0.2:2 pkttype 9",
            "esp 10.0.0.1 -> 10.0.0.2 transport 00000001????",
            "udp 10.0.0.1:1 -> 10.0.0.2:2 network 45b8 transport 000100020008",
            "icmp 10.0.0.1 -> 10.0.0.2 type time-exceeded about tcp 10.0.0.2:1 -> 8.8.8.8:2 flags ack",
        ];
        for text in cases {
            assert_eq!(text.parse::<Packet>().map(|packet| packet.to_string()).expect(text), text);
        }
        let long = "6 10.77.0.2:40000 -> 10.77.0.1:9000 mark 1337 flags syn length 60";
        assert_eq!(long.parse::<Packet>().expect(long).to_string(), "tcp 10.77.0.2:40000 -> 10.77.0.1:9000 mark 0x539");
    }

    #[test]
    fn invalid_packet_text_is_refused_in_one_line_with_the_remedy() {
        let cases = [
            ("", "PROTOCOL SOURCE -> DESTINATION"),
            ("tcp 10.0.0.1:1 10.0.0.2:2", "PROTOCOL SOURCE -> DESTINATION"),
            ("tcq 10.0.0.1:1 -> 10.0.0.2:2", "is not a protocol; give tcp"),
            ("tcp 10.0.0.1 -> 10.0.0.2:2", "no port; give one, as in 10.0.0.1:9000"),
            ("tcp fd77::2:1 -> [fd00::1]:2", "no port; give one, as in [fd77::2:1]:9000"),
            ("tcp 10.0.0.1:1 -> 10.0.0.2:65536", "is not an address with a port"),
            ("icmp 10.0.0.1:1 -> 10.0.0.2 type 8", "give the address alone"),
            ("icmp 10.0.0.1 -> 10.0.0.2", "such as type echo-request"),
            ("icmp 10.0.0.1 -> 10.0.0.2 type ping", "such as echo-request"),
            ("tcp 10.0.0.1:1 -> [::1]:2", "of two families"),
            ("tcp 10.0.0.1:1 -> 10.0.0.2:2 uid 7", "give both"),
            ("tcp 10.0.0.1:1 -> 10.0.0.2:2 uid", "uid lacks its value"),
            ("tcp 10.0.0.1:1 -> 10.0.0.2:2 uid 4294967296 gid 1", "from 0 to 4294967295"),
            ("tcp 10.0.0.1:1 -> 10.0.0.2:2 mark 1 mark 1", "mark is given twice"),
            ("tcp 10.0.0.1:1 -> 10.0.0.2:2 flags sin", "join fin, syn"),
            ("tcp 10.0.0.1:1 -> 10.0.0.2:2 pkttype x", "none of host"),
            ("esp 10.0.0.1 -> 10.0.0.2 transport 012", "in hexadecimal"),
            ("icmp 10.0.0.1 -> 10.0.0.2 type 8 about udp 10.0.0.1:1 -> 10.0.0.2:2", "only an error of ICMP"),
            ("icmp 10.0.0.1 -> 10.0.0.2 type 3 about udp 10.0.0.1 -> 10.0.0.2:2", "no port"),
            ("esp 10.0.0.1 -> 10.0.0.2 transport +1", "in hexadecimal"),
            ("tcp 10.0.0.1:1 -> 10.0.0.2:2 user 7", "is not a word of a packet; there are uid"),
        ];
        for (text, remedy) in cases {
            let error = text.parse::<Packet>().expect_err(text);
            let printed = error.to_string();
            assert!(error.is_invalid() && printed.contains(remedy) && !printed.contains('\n'), "{printed}");
        }
    }

    fn some_packet() -> impl Strategy<Value = Packet> {
        let addresses = prop_oneof![
            any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
            any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        ];
        let protocol = prop_oneof![prop::sample::select(vec![1, 6, 17, 58]), any::<u8>()];
        let owner = prop::option::of(any::<(u32, u32, u32)>());
        let rest = any::<(u16, u16, u16, u8, u32, u32, u8)>();
        let header = || prop::collection::vec(any::<Option<u8>>(), 0..24);
        let bytes = (header(), header()).prop_map(|(network, transport)| HeaderBytes { network, transport });
        (addresses, protocol, owner, rest, bytes).prop_map(|((source, destination), protocol, owner, rest, bytes)| {
            let (sport, dport, id, flags, mark, length, pkttype) = rest;
            Packet {
                protocol: Protocol(protocol),
                source,
                destination,
                sport,
                dport,
                icmp_id: if is_icmp(Protocol(protocol)) { id } else { 0 },
                tcp_flags: TcpFlags::from_bits_retain(flags),
                owner: owner.map(|(uid, gid, cgroup)| Owner { uid, gid, cgroup }),
                mark,
                length,
                pkttype: PktType(pkttype),
                bytes,
                about: None,
            }
        })
    }

    proptest! {
        #[test]
        fn every_packet_reads_back_as_printed(packet in some_packet()) {
            prop_assert_eq!(packet.to_string().parse::<Packet>().expect("it was printed"), packet);
        }

        #[test]
        fn no_text_panics(text in "(tcp|icmp|17)? ?[0-9.:\\[\\]a-f]{0,12} ?(->)? ?\\PC{0,30}") {
            drop(text.parse::<Packet>());
        }
    }
}
