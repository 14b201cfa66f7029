//! Packets written byte by byte: every protocol with fields in rules, options, fragments, extension
//! headers, and truncated packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::dice::Dice;

/// Returns a packet of any protocol with these addresses. Some headers are cut, and some checksums
/// are wrong.
pub fn packet(dice: &mut Dice, from: IpAddr, to: IpAddr) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => v4(dice, from, to),
        (IpAddr::V6(from), IpAddr::V6(to)) => v6(dice, from, to),
        _ => unreachable!("both are of one family"),
    }
}

fn v4(dice: &mut Dice, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let protocol = dice.pick(&[1, 1, 1, 2, 6, 6, 6, 17, 17, 17, 33, 47, 50, 51, 108, 132, 136, 253]);
    let payload = payload(dice, protocol, from.into(), to.into());
    let options = dice.pick(&[&[][..], &[], &[], &[], &[1, 1, 1, 0], &[7, 7, 4, 0, 0, 0, 0, 0], &[148, 4, 0, 0]]);
    let flags: u16 = match dice.below(20) {
        0 => 0x2000,
        1 => dice.pick(&[1, 2, 0x1fff]),
        2 => 0x2001,
        3..=10 => 0x4000,
        _ => 0,
    };
    let words = 5 + options.len() / 4;
    let mut bytes = vec![0x40 + u8::try_from(words).expect("a few"), dice.pick(&[0, 0, 1, 2, 3, 32, 40, 184])];
    let length = words * 4 + payload.len();
    bytes.extend(u16::try_from(length).expect("short").to_be_bytes());
    bytes.extend(dice.pick(&[1_u16, 7, 0x1234]).to_be_bytes());
    bytes.extend(flags.to_be_bytes());
    bytes.extend([dice.pick(&[64, 64, 64, 64, 1, 2, 9, 128]), protocol, 0, 0]);
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes.extend(options);
    bytes.extend(payload);
    bytes
}

fn v6(dice: &mut Dice, from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
    let protocol = dice.pick(&[58, 58, 58, 6, 6, 6, 17, 17, 17, 33, 47, 50, 51, 108, 132, 136, 253]);
    let mut payload = payload(dice, protocol, from.into(), to.into());
    let mut next = protocol;
    if dice.chance(12) {
        let (kind, header) = match dice.below(5) {
            0 => (0, [next, 0, 1, 4, 0, 0, 0, 0]),
            1 => (60, [next, 0, 1, 4, 0, 0, 0, 0]),
            2 => (43, [next, 0, 0, 0, 0, 0, 0, 0]),
            3 => (44, [next, 0, 0, 1, 0, 0, 0, 7]),
            _ => (44, [next, 0, 0, 8, 0, 0, 0, 9]),
        };
        payload.splice(0..0, header);
        next = kind;
    }
    let class = dice.pick(&[0_u32, 0, 1, 2, 3, 40, 184]);
    let label = dice.pick(&[0_u32, 0, 1, 0x12345]);
    let mut bytes = (6 << 28 | class << 20 | label).to_be_bytes().to_vec();
    bytes.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
    bytes.extend([next, dice.pick(&[64, 64, 64, 64, 1, 2, 9, 128])]);
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes.extend(payload);
    bytes
}

fn port(dice: &mut Dice) -> [u8; 2] {
    dice.pick(&[53_u16, 8080, 9000, 9001, 15001, 40000, 40001, 40002]).to_be_bytes()
}

/// Returns random bytes, or ones that rules match.
fn word(dice: &mut Dice) -> [u8; 4] {
    if dice.chance(40) {
        return dice.pick(&[0_u32, 1, 7, 0x0102_0304, 0xffff_ffff]).to_be_bytes();
    }
    u32::try_from(dice.below(1 << 32)).expect("below").to_be_bytes()
}

fn payload(dice: &mut Dice, protocol: u8, from: IpAddr, to: IpAddr) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    // Where the checksum is, and what covers it.
    let mut sum = None;
    match protocol {
        1 | 58 => {
            let kinds: &[u8] = if protocol == 1 {
                &[8, 8, 0, 13, 42, 3, 3, 3, 5, 11, 12]
            } else {
                &[128, 128, 129, 200, 1, 1, 2, 3, 4]
            };
            let kind = dice.pick(kinds);
            bytes.extend([kind, dice.pick(&[0, 0, 0, 1, 3]), 0, 0]);
            bytes.extend(dice.pick(&[7_u16, 8, 0x1234]).to_be_bytes());
            bytes.extend(dice.pick(&[1_u16, 2, 0x1234]).to_be_bytes());
            let is_error = if protocol == 1 { [3, 5, 11, 12].contains(&kind) } else { kind < 128 };
            if is_error {
                // An error about a packet in the other direction.
                bytes.extend(inner(dice, to, from));
            } else {
                bytes.extend(word(dice));
            }
            sum = Some(2);
        }
        2 => {
            bytes.extend([dice.pick(&[0x11, 0x12, 0x16, 0x17, 0x22]), dice.pick(&[0, 1, 100]), 0, 0]);
            bytes.extend(dice.pick(&[[224, 0, 0, 251], [10, 77, 0, 1], [0, 0, 0, 0]]));
            sum = Some(2);
        }
        6 => {
            bytes.extend(port(dice));
            bytes.extend(port(dice));
            bytes.extend(word(dice));
            bytes.extend(word(dice));
            let options: &[u8] = dice.pick(&[
                &[][..],
                &[],
                &[2, 4, 0x05, 0xb4],
                &[2, 4, 0x05, 0xb4, 4, 2, 1, 3, 3, 7, 0, 0],
                &[1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 1],
            ]);
            let words = u8::try_from(5 + options.len() / 4).expect("a few");
            let flags = dice.pick(&[2, 2, 2, 0x12, 0x10, 0x18, 0x11, 4, 0x14, 0, 0x29, 0xc2, 0x03]);
            bytes.extend([words << 4, flags]);
            bytes.extend(dice.pick(&[0_u16, 1, 0x1234, 0xffff]).to_be_bytes());
            bytes.extend([0, 0, 0, dice.pick(&[0, 1])]);
            bytes.extend(options);
            if dice.chance(40) {
                bytes.extend(word(dice));
            }
            sum = Some(16);
        }
        17 | 136 => {
            bytes.extend(port(dice));
            bytes.extend(port(dice));
            let more = dice.from(0, 12);
            // For UDP-Lite, the coverage of the checksum: everything.
            let length = if protocol == 17 { 8 + more } else { 0 };
            bytes.extend(u16::try_from(length).expect("short").to_be_bytes());
            bytes.extend([0, 0]);
            bytes.extend(word(dice).into_iter().cycle().take(more));
            sum = Some(6);
        }
        33 => {
            bytes.extend(port(dice));
            bytes.extend(port(dice));
            bytes.extend([4, 0, 0, 0]);
            // A request.
            bytes.extend([dice.pick(&[0x01, 0x03, 0x05, 0x07]), 0, 0, 1]);
            bytes.extend(word(dice));
            bytes.extend(word(dice));
            sum = Some(6);
        }
        132 => {
            bytes.extend(port(dice));
            bytes.extend(port(dice));
            bytes.extend(word(dice));
            bytes.extend(word(dice));
            bytes.extend([dice.pick(&[1, 0, 3]), 0, 0, 20]);
            bytes.extend(word(dice));
            bytes.extend([0; 12]);
        }
        50 => {
            bytes.extend(word(dice));
            bytes.extend(word(dice));
            bytes.extend([1; 16]);
        }
        51 => {
            bytes.extend([dice.pick(&[6, 17, 59]), dice.pick(&[1, 2]), 0, 0]);
            bytes.extend(word(dice));
            bytes.extend(word(dice));
            bytes.extend([0; 12]);
        }
        108 => {
            bytes.extend([dice.pick(&[6, 17]), dice.pick(&[0, 1]), 0, dice.pick(&[1, 7])]);
            bytes.extend(word(dice));
        }
        47 => {
            bytes.extend([dice.pick(&[0x20, 0, 0x30]), 0, 8, 0]);
            bytes.extend(word(dice));
            bytes.extend(word(dice));
        }
        _ => {
            bytes.extend(word(dice));
            bytes.extend(word(dice));
        }
    }
    if dice.chance(6) {
        bytes.truncate(dice.below(bytes.len()));
    }
    if let Some(at) = sum.filter(|at| bytes.len() >= at + 2 && !dice.chance(8)) {
        let right = checksum(protocol, from, to, &bytes).to_be_bytes();
        bytes.splice(at..at + 2, right);
    }
    bytes
}

/// Returns the beginning of a packet, as an error quotes it.
fn inner(dice: &mut Dice, from: IpAddr, to: IpAddr) -> Vec<u8> {
    let protocol = dice.pick(&[17, 17, 6, 1, 50]);
    let mut rest = [port(dice), port(dice), [0, 12], [0, 0]].concat();
    rest.extend(word(dice));
    let mut bytes = Vec::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            bytes.extend([0x45, 0, 0, 40, 0, 1, 0, 0, 64, protocol, 0, 0]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            let right = (!fold(&bytes, 0)).to_be_bytes();
            bytes.splice(10..12, right);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            bytes.extend([0x60, 0, 0, 0, 0, 12, protocol, 64]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
        }
        _ => unreachable!("both are of one family"),
    }
    bytes.extend(rest);
    bytes
}

/// Returns the Internet checksum of a packet (RFC 1071).
pub fn checksum(protocol: u8, from: IpAddr, to: IpAddr, bytes: &[u8]) -> u16 {
    let mut all = Vec::new();
    // The checksums of IGMP and ICMPv4 cover no pseudo-header.
    if ![1, 2].contains(&protocol) {
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => all.extend([from.octets(), to.octets()].concat()),
            (IpAddr::V6(from), IpAddr::V6(to)) => all.extend([from.octets(), to.octets()].concat()),
            _ => unreachable!("both are of one family"),
        }
        all.extend(u32::try_from(bytes.len()).expect("short").to_be_bytes());
        all.extend([0, 0, 0, protocol]);
    }
    all.extend(bytes);
    match !fold(&all, 0) {
        0 => 0xffff,
        sum => sum,
    }
}

fn fold(bytes: &[u8], start: u32) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let [high, low] = [0, 1].map(|at| u32::from(pair.get(at).copied().unwrap_or(0)));
        high << 8 | low
    });
    let mut sum = start + words.sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("folded")
}
