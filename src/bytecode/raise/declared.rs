//! How a set was declared, such as `typeof ip saddr . tcp dport`, which nft(8) keeps in the set's
//! userdata.
//!
//! Numbers are in host byte order. Layout and numbers were measured with nft 1.0.6, with a set for
//! every field. They come from src/netlink.c (`set_make_key`), the `udata` functions of
//! src/payload.c, src/meta.c, src/ct.c, src/fib.c and others, and the tables of fields in
//! src/proto.c.

use super::super::kept::entry;
use super::super::set::{NFT_DATA_VERDICT, SetCode, UDATA_KEY_TYPEOF};

/// How a set was declared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    /// By these expressions: one for each part of the key, and one for the value of an element.
    Expressions(Vec<KeyPart>, Option<KeyPart>),
    /// By types.
    Types,
    /// By an expression that this crate does not know.
    Unknown,
}

/// An expression as nft spells it, and the kind of number it is if its type does not determine
/// that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPart {
    pub(crate) text: String,
    pub(crate) number: Number,
}

/// A number whose type is just `integer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// A number of that many bytes in host byte order.
    Host(u8),
    /// A number of that many bytes in network byte order.
    Network(u8),
    /// Bytes of a packet, which nft writes in hexadecimal, or a value whose type determines what it
    /// is.
    None,
}

/// Returns how the set was declared. nft keeps only as much of an expression as it has room for;
/// without the rest, the types are used.
pub(crate) fn declared(code: &SetCode) -> Declared {
    let Some(expr) = entry(&code.userdata, UDATA_KEY_TYPEOF) else { return Declared::Types };
    let key = match parts(expr) {
        Some(parts) if parts.len() < types(code) => return Declared::Types,
        Some(parts) => parts.into_iter().map(part).collect::<Option<Vec<KeyPart>>>(),
        None => None,
    };
    let value = code.data.is_some_and(|(number, _)| number != NFT_DATA_VERDICT);
    let data = entry(&code.userdata, UDATA_DATA_TYPEOF).filter(|_| value).map(joined);
    match (key, data) {
        (Some(key), None) => Declared::Expressions(key, None),
        (Some(key), Some(Some(data))) => Declared::Expressions(key, Some(data)),
        (None, _) | (Some(_), Some(None)) => Declared::Unknown,
    }
}

/// Returns the number of types in the key: each takes six bits of the number.
fn types(code: &SetCode) -> usize {
    usize::try_from((32 - code.key_type.leading_zeros()).div_ceil(6)).unwrap_or(0)
}

/// Returns one expression, or those of a concatenation.
fn parts(expr: &[u8]) -> Option<Vec<&[u8]>> {
    if number(expr, EXPR)? != EXPR_CONCAT {
        return Some(vec![expr]);
    }
    let parts = entry(expr, DATA)?;
    Some((0..u8::MAX).map_while(|index| entry(parts, index)).collect())
}

/// Returns what the elements of a map are, which may be several values.
fn joined(expr: &[u8]) -> Option<KeyPart> {
    let several = parts(expr)?;
    if let [one] = several.as_slice() {
        return part(one);
    }
    let texts: Vec<String> = several.into_iter().map(|one| Some(part(one)?.text)).collect::<Option<_>>()?;
    Some(KeyPart { text: texts.join(" . "), number: Number::None })
}

fn part(expr: &[u8]) -> Option<KeyPart> {
    let data = entry(expr, DATA)?;
    let get = |kind| number(data, kind);
    let (text, number) = match number(expr, EXPR)? {
        EXPR_PAYLOAD if get(0)? == 0 => {
            let base = ["ll", "nh", "th", "ih"].get(usize::try_from(get(2)?).ok()?.checked_sub(1)?)?;
            (format!("@{base},{},{}", get(3)?, get(4)?), Number::None)
        }
        EXPR_PAYLOAD => {
            let bits = get(4).and_then(|bits| u8::try_from(bits.div_ceil(8)).ok());
            (header_field(get(0)?, get(1)?)?, bits.map_or(Number::None, Number::Network))
        }
        EXPR_META => meta(get(0)?)?,
        EXPR_SOCKET => socket(get(0)?)?,
        EXPR_CT => ct(get(0)?, get(1)?)?,
        EXPR_FIB => (fib(get(0)?, get(1)?)?, Number::None),
        EXPR_NUMGEN => {
            let kind = ["inc", "random"].get(usize::try_from(get(0)?).ok()?)?;
            let offset =
                get(2).filter(|offset| *offset != 0).map_or_else(String::new, |offset| format!(" offset {offset}"));
            (format!("numgen {kind} mod {}{offset}", get(1)?), Number::Host(4))
        }
        _ => return None,
    };
    Some(KeyPart { text, number })
}

/// Returns a field of a header, given nft's numbers of the header and of the field in it.
fn header_field(header: u32, field: u32) -> Option<String> {
    let (_, name, fields) = HEADERS.iter().find(|(number, ..)| *number == header)?;
    let field = fields.get(usize::try_from(field).ok()?.checked_sub(1)?).filter(|field| !field.is_empty())?;
    Some(format!("{name} {field}"))
}

const HEADERS: &[(u32, &str, &[&str])] = &[
    (1, "ah", &["nexthdr", "hdrlength", "reserved", "spi", "sequence"]),
    (2, "esp", &["spi", "sequence"]),
    (3, "comp", &["nexthdr", "flags", "cpi"]),
    (4, "icmp", &["type", "code", "checksum", "id", "sequence", "gateway", "mtu"]),
    (5, "igmp", &["type", "checksum", "mrt", "group"]),
    (6, "udp", &["sport", "dport", "length", "checksum"]),
    (7, "udplite", &["sport", "dport", "csumcov", "checksum"]),
    (8, "tcp", &["sport", "dport", "sequence", "ackseq", "doff", "reserved", "flags", "window", "checksum", "urgptr"]),
    (9, "dccp", &["sport", "dport", "type"]),
    (10, "sctp", &["sport", "dport", "vtag", "checksum"]),
    (11, "th", &["sport", "dport"]),
    (
        12,
        "ip",
        &[
            "version",
            "hdrlength",
            "dscp",
            "ecn",
            "length",
            "id",
            "frag-off",
            "ttl",
            "protocol",
            "checksum",
            "saddr",
            "daddr",
        ],
    ),
    (13, "ip6", &["version", "dscp", "ecn", "flowlabel", "length", "nexthdr", "hoplimit", "saddr", "daddr"]),
    (14, "icmpv6", &["type", "code", "checksum", "", "mtu", "id", "sequence", "max-delay"]),
    (15, "arp", &["htype", "ptype", "hlen", "plen", "operation", "saddr ether", "saddr ip", "daddr ether", "daddr ip"]),
    (16, "vlan", &["pcp", "dei", "cfi", "id", "type"]),
    (17, "ether", &["daddr", "saddr", "type"]),
];

fn meta(key: u32) -> Option<(String, Number)> {
    let (text, number) = match key {
        0 => ("meta length", Number::Host(4)),
        1 => ("meta protocol", Number::None),
        2 => ("meta priority", Number::None),
        3 => ("meta mark", Number::None),
        4 => ("iif", Number::None),
        5 => ("oif", Number::None),
        6 => ("iifname", Number::None),
        7 => ("oifname", Number::None),
        8 => ("meta iiftype", Number::None),
        9 => ("meta oiftype", Number::None),
        10 => ("meta skuid", Number::None),
        11 => ("meta skgid", Number::None),
        12 => ("meta nftrace", Number::Host(1)),
        13 => ("meta rtclassid", Number::None),
        14 => ("meta secmark", Number::Host(4)),
        15 => ("meta nfproto", Number::None),
        16 => ("meta l4proto", Number::None),
        17 => ("meta ibrname", Number::None),
        18 => ("meta obrname", Number::None),
        19 => ("meta pkttype", Number::None),
        20 => ("meta cpu", Number::Host(4)),
        21 => ("iifgroup", Number::None),
        22 => ("oifgroup", Number::None),
        23 => ("meta cgroup", Number::Host(4)),
        24 => ("meta random", Number::Network(4)),
        25 => ("meta ipsec", Number::None),
        26 => ("meta iifkind", Number::None),
        27 => ("meta oifkind", Number::None),
        30 => ("meta time", Number::None),
        31 => ("meta day", Number::None),
        32 => ("meta hour", Number::None),
        33 => ("meta sdif", Number::None),
        34 => ("meta sdifname", Number::None),
        _ => return None,
    };
    Some((text.to_owned(), number))
}

fn socket(key: u32) -> Option<(String, Number)> {
    let (text, number) = match key {
        0 => ("socket transparent", Number::Host(1)),
        1 => ("socket mark", Number::None),
        2 => ("socket wildcard", Number::Host(1)),
        _ => return None,
    };
    Some((text.to_owned(), number))
}

fn ct(key: u32, direction: u32) -> Option<(String, Number)> {
    let direction = match direction {
        0 => "original ",
        1 => "reply ",
        u32::MAX => "",
        _ => return None,
    };
    let (text, number) = match key {
        0 => ("state", Number::None),
        1 => ("direction", Number::None),
        2 => ("status", Number::None),
        3 => ("mark", Number::None),
        5 => ("expiration", Number::None),
        6 => ("helper", Number::None),
        7 => ("l3proto", Number::None),
        10 => ("protocol", Number::None),
        11 => ("proto-src", Number::None),
        12 => ("proto-dst", Number::None),
        14 => ("packets", Number::Host(8)),
        15 => ("bytes", Number::Host(8)),
        16 => ("avgpkt", Number::Host(8)),
        17 => ("zone", Number::Host(2)),
        19 => ("ip saddr", Number::None),
        20 => ("ip daddr", Number::None),
        21 => ("ip6 saddr", Number::None),
        22 => ("ip6 daddr", Number::None),
        23 => ("id", Number::Network(4)),
        _ => return None,
    };
    Some((format!("ct {direction}{text}"), number))
}

/// Returns `fib saddr . iif oif`: the flags in nft's order, then the result.
fn fib(result: u32, flags: u32) -> Option<String> {
    const FLAGS: [(u32, &str); 5] = [(1, "saddr"), (2, "daddr"), (4, "mark"), (8, "iif"), (16, "oif")];
    if flags & !0x1f != 0 {
        return None;
    }
    let flags: Vec<&str> = FLAGS.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name).collect();
    let result = ["oif", "oifname", "type"].get(usize::try_from(result).ok()?.checked_sub(1)?)?;
    Some(format!("fib {} {result}", flags.join(" . ")))
}

fn number(userdata: &[u8], kind: u8) -> Option<u32> {
    entry(userdata, kind)?.try_into().map(u32::from_ne_bytes).ok()
}

const UDATA_DATA_TYPEOF: u8 = 4;

/// `NFTNL_UDATA_SET_TYPEOF_EXPR` and `NFTNL_UDATA_SET_TYPEOF_DATA`.
const EXPR: u8 = 0;
const DATA: u8 = 1;

/// `enum expr_types`, nftables include/expression.h, v1.0.6.
const EXPR_PAYLOAD: u32 = 7;
const EXPR_META: u32 = 9;
const EXPR_SOCKET: u32 = 10;
const EXPR_CT: u32 = 12;
const EXPR_CONCAT: u32 = 13;
const EXPR_NUMGEN: u32 = 23;
const EXPR_FIB: u32 = 26;
