//! The language of nft(8), its words and the Rust that says them: `docs/language.md` is written
//! from what is held here. nft loads each text as the program of the rule beside it, and lists that
//! text.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use nftmesh::bytecode::{lower, same_programs};
use nftmesh::kernel::interfaces;
use nftmesh::model::matches::*;
use nftmesh::model::*;
use nftmesh::text::Reader;

use super::text::{Interfaces, snapshot};
use crate::model::field_table;
use crate::support::{self, golden_page, in_fresh_netns, nft_takes, say};

/// A rule, how it was written, and where it can be.
struct Row {
    chapter: &'static str,
    chain: Chained,
    rule: Rule,
    rust: String,
    /// The first kernel that has it, if 5.10 has it not.
    since: &'static str,
}

/// The family of a table, and its base chain.
type Chained = (Family, &'static str);

const INPUT: &str = "type filter hook input priority 0";
const FILTER: Chained = (Family::Inet, INPUT);
const PREROUTING: Chained = (Family::Inet, "type filter hook prerouting priority -300");
const DNAT: Chained = (Family::Inet, "type nat hook prerouting priority -100");
const SNAT: Chained = (Family::Inet, "type nat hook postrouting priority 100");
const DEVICE: Chained = (Family::Netdev, "type filter hook ingress device lo priority 0");

/// A value that a field of that kind is compared with, and how it was written.
trait Sample: Sized {
    type Of: IntoOperand<Self>;
    const RUST: &'static str;

    fn sample() -> Self::Of;
}

macro_rules! samples {
    ($($kind:ty: $of:ty = $value:expr;)*) => {
        $(
            impl Sample for $kind {
                type Of = $of;
                const RUST: &'static str = stringify!($value);

                fn sample() -> $of {
                    $value
                }
            }
        )*
    };
}

samples! {
    AddrType: AddrType = AddrType::LOCAL;
    ArpOp: ArpOp = ArpOp::REQUEST;
    CtDirection: CtDirection = CtDirection::Original;
    CtLabel: CtLabel = CtLabel::from_bits(1 << 7);
    CtState: CtState = CtState::NEW;
    CtStatus: CtStatus = CtStatus::ASSURED;
    Day: Day = Day(1);
    DccpType: DccpType = DccpType::RESET;
    Dscp: Dscp = Dscp::CS1;
    Ecn: Ecn = Ecn::CE;
    EtherAddr: EtherAddr = EtherAddr([2, 0, 0, 0, 0, 1]);
    EtherType: EtherType = EtherType::ARP;
    IcmpCode: IcmpCode = IcmpCode::HOST_UNREACHABLE;
    IcmpType: IcmpType = IcmpType::ECHO_REQUEST;
    Icmpv6Code: Icmpv6Code = Icmpv6Code::NO_ROUTE;
    Icmpv6Type: Icmpv6Type = Icmpv6Type::ECHO_REQUEST;
    IfaceType: IfaceType = IfaceType::LOOPBACK;
    IfName: &'static str = "eth0";
    IgmpType: IgmpType = IgmpType::LEAVE_GROUP;
    Ipv4Addr: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    Ipv6Addr: Ipv6Addr = Ipv6Addr::LOCALHOST;
    Nfproto: Nfproto = Nfproto::IPV4;
    PktType: PktType = PktType::MULTICAST;
    Protocol: Protocol = Protocol(47);
    TcpFlags: TcpFlags = TcpFlags::SYN;
    kind::Bitmask: u8 = 2;
    kind::Boolean: bool = true;
    kind::Classid: u32 = 0x1_0002;
    kind::Date: u64 = 1_580_464_800_000_000_000;
    kind::Devgroup: u32 = 7;
    kind::Duration: Duration = Duration::from_secs(30);
    kind::Gid: u32 = 1337;
    kind::Hour: u32 = 3600;
    kind::Ifindex: u32 = 1;
    kind::Integer: u32 = 1;
    kind::Long: u64 = 1000;
    kind::Mark: u32 = 0x1;
    kind::Port: u16 = 443;
    kind::Realm: u32 = 5;
    kind::Text: &'static str = "Linux";
    kind::Uid: u32 = 1337;
}

macro_rules! fields {
    ($($field:ident $name:ident($kind:ty) $words:literal: $type:ident $({ bytes: $bytes:literal })?,
        $protocol:ident $load:ident($($from:tt)*), $doc:literal $(, $alias:literal)?;)*) => {
        /// A comparison of every field without parameters.
        fn fields() -> Vec<Row> {
            vec![$(Row {
                chapter: chapter(stringify!($load)),
                chain: place(Field::$field),
                rule: Rule::new().$name(<$kind as Sample>::sample()),
                rust: format!(".{}({})", stringify!($name), <$kind as Sample>::RUST),
                since: "",
            }),*]
        }
    };
}

field_table!(fields);

/// Returns the chapter of what is loaded so.
fn chapter(load: &str) -> &'static str {
    match load {
        "meta" => "Meta expressions",
        "ct" => "Conntrack expressions",
        "socket" | "fib" | "rt" => "Socket, fib and routing expressions",
        _ => "Payload expressions",
    }
}

/// Returns a chain in which nft takes the field.
fn place(field: Field) -> Chained {
    let words = field.name();
    let is = |words_of: &[&str]| words_of.iter().any(|start| words.starts_with(start));
    if is(&["arp "]) {
        (Family::Arp, INPUT)
    } else if is(&["meta ibr", "meta obr"]) {
        (Family::Bridge, INPUT)
    } else if is(&["oif", "meta oif", "rt "]) {
        (Family::Inet, "type filter hook output priority 0")
    } else {
        FILTER
    }
}

macro_rules! rows {
    ($($chapter:literal in $chain:expr; { $($rule:expr $(, since $since:literal)?;)* })*) => {
        vec![$($(Row {
            chapter: $chapter,
            chain: $chain,
            rule: $rule,
            rust: stringify!($rule).split_whitespace().collect::<Vec<_>>().join(" "),
            since: concat!("" $(, $since)?),
        }),*),*]
    };
}

/// Everything else.
fn others() -> Vec<Row> {
    let tcp = || Rule::new().l4proto(Protocol::TCP);
    rows! {
        "Comparisons" in FILTER; {
            Rule::new().not(tcp_dport(22));
            Rule::new().tcp_dport(1024..=2048);
            Rule::new().tcp_dport([22, 443]);
            Rule::new().tcp_dport((22, 8000..=8080));
            Rule::new().matches(lt(th_dport(1024)));
            Rule::new().mark(masked(0x1, 0xff));
            Rule::new().tcp_flags(masked(TcpFlags::SYN, TcpFlags::SYN | TcpFlags::ACK));
            Rule::new().matches(concat([Field::IpSaddr, Field::TcpDport], anonymous([(Ipv4Addr::new(10, 0, 0, 1), 22_u16)])));
            Rule::new().vmap(Field::TcpDport, anonymous([Element::new(22_u16).verdict(Verdict::Accept)]));
            Rule::new().vmap(Field::TcpDport, anonymous([Element::new(22_u16).verdict(Verdict::Accept), Element::catch_all().verdict(Verdict::Drop)])), since "5.13";
        }
        "Other expressions" in FILTER; {
            Rule::new().payload(RawPayload { base: RawBase::Transport, offset: 160, bits: 32 }, 1);
            Rule::new().numgen(Numgen { mode: NumgenMode::Random, modulus: 10, offset: 0 }, 1);
            Rule::new().symhash(Symhash { modulus: 2, offset: 0 }, 1);
            Rule::new().exists(Exthdr { of: ExthdrOf::Ipv6, kind: 44, part: ExthdrPart::Exists });
            Rule::new().fib_type(FibKey::DADDR | FibKey::IIF, AddrType::LOCAL);
        }
        "Verdicts" in FILTER; {
            Rule::new().accept();
            Rule::new().drop();
            Rule::new().r#return();
            Rule::new().r#continue();
            Rule::new().jump("other");
            Rule::new().goto("other");
        }
        "Statements" in FILTER; {
            Rule::new().counter();
            Rule::new().limit(Limit::packets(10, LimitUnit::Second));
            Rule::new().limit(Limit::bytes(1 << 20, LimitUnit::Second).over());
            Rule::new().quota(25 << 20, LimitWhen::Over);
            Rule::new().ct_count(20, LimitWhen::Over);
            Rule::new().log(Log::default().prefix("in: ").level(LogLevel::Info));
            Rule::new().log(Log::default().group(2).snaplen(128));
            Rule::new().reject();
            Rule::new().reject_with(Reject::ADMIN_PROHIBITED);
            Rule::new().l4proto(Protocol::TCP).reject_with(Reject::TcpReset);
            Rule::new().tcp_dport(22).meter(Meter::new("ssh", Field::IpSaddr, Statement::Limit(Limit::packets(5, LimitUnit::Second))).size(65_535));
            Rule::new().update(Update::update(set("seen"), Field::IpSaddr).timeout(Duration::from_secs(60)));
            Rule::new().object(ObjectKind::Counter, "hits");
            Rule::new().tcp_flags(masked(TcpFlags::SYN, TcpFlags::SYN | TcpFlags::ACK)).set(Exthdr { of: ExthdrOf::Tcp, kind: 2, part: ExthdrPart::Bits { offset: 16, bits: 16 } }, Value::Integer(1360));
            Rule::new().reset_tcp_option(4), since "5.18";
        }
        "Setting fields" in FILTER; {
            Rule::new().set_mark(0x1);
            Rule::new().set_mark(MarkValue::or(MarkKey::Meta, 0x1));
            Rule::new().set_mark(MarkValue::copy(MarkKey::Ct));
            Rule::new().set_ct_mark(MarkValue::copy(MarkKey::Meta));
            Rule::new().set(Field::Priority, Value::Classid(0x1_0002));
            Rule::new().set(Field::IpDscp, Value::Dscp(Dscp::CS1));
            Rule::new().set(Field::IpTtl, Value::Integer(64));
        }
        "Before connection tracking" in PREROUTING; {
            Rule::new().notrack();
            Rule::new().set_zone(7);
            Rule::new().nftrace();
            Rule::new().l4proto(Protocol::TCP).tproxy(Tproxy::to_port(15006));
        }
        "Destination translation" in DNAT; {
            Rule::new().nat(Nat::dnat().to(Ipv4Addr::new(192, 0, 2, 1)));
            tcp().nat(Nat::dnat().to(Ipv4Addr::new(192, 0, 2, 1)).ports(80));
            Rule::new().nat(Nat::dnat().to_map(IpFamily::Ipv4, Field::IpSaddr, anonymous([Element::new(Ipv4Addr::new(10, 0, 0, 1)).value(Ipv4Addr::new(192, 0, 2, 1))])));
            tcp().nat(Nat::dnat().to_map(IpFamily::Ipv4, Field::IpSaddr, anonymous([Element::new(Ipv4Addr::new(10, 0, 0, 1)).several((Ipv4Addr::new(192, 0, 2, 1), 80_u16))])).map_to(MapTo::AddressAndPort));
            Rule::new().nat(Nat::dnat().to_map(IpFamily::Ipv4, Field::IpSaddr, anonymous([Element::new(Ipv4Addr::new(10, 0, 0, 1)).several(Interval::new(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 9)))])).map_to(MapTo::Range));
            tcp().redirect_to(8080);
        }
        "Source translation" in SNAT; {
            Rule::new().masquerade();
            Rule::new().masquerade_with(NatFlags::FULLY_RANDOM);
            Rule::new().nat(Nat::snat().to_range(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 9)));
        }
        "At devices" in DEVICE; {
            Rule::new().fwd_to(Value::Ifindex(1));
            Rule::new().statement(Statement::Dup(Dup { address: None, device: Some(SetValue::Constant(Value::Ifindex(1))) }));
        }
    }
}

/// What the rules of a table name.
const DECLARED: &str = "
    set seen { type ipv4_addr; size 65535; flags dynamic,timeout; timeout 1m; }
    counter hits { }
    chain other { }";

#[test]
fn the_page_of_the_language_is_what_nft_loads_and_lists() {
    let mut page = String::new();
    let (mut chapter, mut wrong, mut lacking, mut count) = ("", Vec::new(), BTreeSet::new(), 0);
    let mut rows: Vec<Row> = fields();
    // nft compares these with no constant.
    rows.retain(|row| !row.rust.starts_with(".secmark") && !row.rust.starts_with(".ct_secmark"));
    rows.sort_by_key(|row| row.chapter);
    rows.extend(others());
    for row in &rows {
        let (family, hook) = row.chain;
        // As nft spells it in a table of that family.
        let table = Table::new(family, "t").chain(Chain::regular("c").rule(row.rule.clone()));
        let printed = table.to_string();
        let text = printed.lines().nth(2).unwrap_or_default().trim().to_owned();
        if chapter != row.chapter {
            chapter = row.chapter;
            write!(page, "\n## {chapter}\n\n| nft | Rust | since Linux |\n|---|---|---|\n")
                .expect("a string takes all");
        }
        let cell = |text: &str| text.replace('|', "\\|");
        writeln!(page, "| `{}` | `{}` | {} |", cell(&text), cell(&row.rust), row.since).expect("a string takes all");
        count += 1;
        in_fresh_netns(|| {
            support::ip("link add eth0 type ifb");
            let script = format!("table {family} t {{{DECLARED}\n\tchain c {{\n\t\t{hook};\n\t\t{text}\n\t}}\n}}\n");
            if let Err(why) = nft_takes(&script) {
                if why.contains("Could not process rule") {
                    lacking.insert(text.clone());
                } else {
                    wrong.push(format!("{text}: nft does not take it: {why}"));
                }
                return;
            }
            let held = snapshot();
            let chain = TableId::new(family, "t").chain("c");
            let theirs = held.chain(&chain).and_then(|chain| chain.rules.first()).expect("the rule");
            let sets: Vec<Set> = held.set(&TableId::new(family, "t").set("seen")).into_iter().collect();
            let ours = lower(&row.rule, family, sets.as_slice()).expect("a program");
            if !same_programs(&ours.exprs, &theirs.exprs) {
                wrong.push(format!("{text}: nft made {:?}, not {:?}", theirs.exprs, ours.exprs));
            }
            let read = Reader::new().resolver(&Interfaces).ruleset(&script);
            let read = read.unwrap_or_else(|error| panic!("{error}"));
            let mut chains = read.tables.iter().flat_map(|table| &table.chains);
            let again = chains.find(|chain| chain.name == "c").and_then(|chain| chain.rules.first());
            let again = lower(again.expect("the rule"), family, sets.as_slice()).expect("a program");
            if !same_programs(&again.exprs, &theirs.exprs) {
                wrong.push(format!("{text}: it is read otherwise"));
            }
            let names = interfaces().expect("a netlink socket");
            let listed = support::nft_lists().unwrap_or_default();
            let shown = nftmesh::state::Listing::new(&held).interfaces(names).to_string();
            support::assert_same(&listed, &shown, "as nft lists it");
            let said = |line: &str| line.trim().replace("iif \"lo\"", "iif 1").replace("\"lo\"", "1");
            // nft lists what it adds to a field of messages or of the frame.
            if !listed.lines().any(|line| said(line).ends_with(&text.replace("\"lo\"", "1"))) {
                wrong.push(format!("{text} is listed as {}", listed.lines().rev().nth(2).unwrap_or_default().trim()));
            }
        });
    }
    say(format_args!("{count} lines; this kernel lacks what {} of them need: {lacking:?}", lacking.len()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    golden_page("docs/language.md", "<!-- written by tests/inside/language_page.rs -->\n", &page);
}
