//! Lines of nft and the Rust that makes them: `docs/cookbook.md` is written from this file, and nft
//! itself has to agree.

mod support;

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

// What the page says that a program imports.
use nftmesh::prelude::matches::*;
use nftmesh::prelude::*;
use support::{golden_page, in_fresh_netns, nft, nft_script};

/// A line as nft lists it, the rule that makes it, and how that was written.
struct Entry {
    nft: &'static str,
    rule: Rule,
    rust: &'static str,
}

struct Group {
    title: &'static str,
    chain: Chain,
    entries: Vec<Entry>,
}

macro_rules! group {
    ($title:literal, $chain:expr; $($nft:literal => $rule:expr;)*) => {
        Group { title: $title, chain: $chain, entries: vec![$(Entry { nft: $nft, rule: $rule, rust: stringify!($rule) },)*] }
    };
}

fn net(text: &str) -> IpNetwork {
    text.parse().expect("a network")
}

/// The sets that the rules look up, as a program would declare them.
fn sets() -> Vec<Set> {
    vec![
        Set::new("blocked", [DataType::Ipv4]).interval().elements([net("198.51.100.0/24")]),
        Set::new("blocked6", [DataType::Ipv6]).elements([Ipv6Addr::LOCALHOST]),
        Set::new("ports", [DataType::Port]).elements([22_u16, 443]),
        Set::new("seen", [DataType::Ipv4]).dynamic().timeout(Duration::from_secs(60)),
        Set::new("peers", [DataType::Ipv4, DataType::Port]).elements([(Ipv4Addr::new(10, 0, 0, 2), 443)]),
        Set::map("marks", [DataType::Ipv4], DataType::Mark),
        Set::verdict_map("services", [DataType::Ipv4, DataType::Protocol, DataType::Port]).elements([Element::new((
            Ipv4Addr::new(10, 96, 0, 1),
            Protocol::TCP,
            443,
        ))
        .verdict(Verdict::Jump("other".into()))]),
    ]
}

fn filter(hook: Hook) -> Chain {
    Chain::base("c", ChainType::Filter, hook, Priority::FILTER)
}

fn translate(hook: Hook, priority: Priority) -> Chain {
    Chain::base("c", ChainType::Nat, hook, priority)
}

fn groups() -> Vec<Group> {
    vec![
        group! { "Addresses", filter(Hook::Input);
            "ip saddr 10.0.0.1 drop" => Rule::new().saddr(Ipv4Addr::new(10, 0, 0, 1)).drop();
            "ip6 saddr ::1 accept" => Rule::new().saddr(Ipv6Addr::LOCALHOST).accept();
            "ip daddr 10.0.0.0/8 accept" => Rule::new().daddr(net("10.0.0.0/8")).accept();
            "ip6 daddr fd00::/8 accept" => Rule::new().daddr(net("fd00::/8")).accept();
            "ip daddr != 127.0.0.0/8 drop" => Rule::new().not(daddr(net("127.0.0.0/8"))).drop();
            "ip saddr 10.0.0.1-10.0.0.9 drop" => Rule::new().saddr(Ipv4Addr::new(10, 0, 0, 1)..=Ipv4Addr::new(10, 0, 0, 9)).drop();
            "ip saddr { 10.0.0.0/8, 192.168.0.0/16 } accept" => Rule::new().saddr([net("10.0.0.0/8"), net("192.168.0.0/16")]).accept();
            "ip saddr @blocked drop" => Rule::new().ip_saddr(set("blocked")).drop();
            "ip6 saddr @blocked6 drop" => Rule::new().ip6_saddr(set("blocked6")).drop();
            "ip saddr != @blocked accept" => Rule::new().not(ip_saddr(set("blocked"))).accept();
            "meta nfproto ipv6 drop" => Rule::new().nfproto(Nfproto::IPV6).drop();
            "fib daddr type local accept" => Rule::new().fib_daddr_type(AddrType::LOCAL).accept();
            "fib saddr type local drop" => Rule::new().fib_saddr_type(AddrType::LOCAL).drop();
        },
        group! { "Ports and protocols", filter(Hook::Input);
            "tcp dport 22 accept" => Rule::new().tcp_dport(22).accept();
            "tcp dport { 22, 443 } accept" => Rule::new().tcp_dport([22, 443]).accept();
            "tcp dport 8000-8080 accept" => Rule::new().tcp_dport(8000..=8080).accept();
            "tcp dport { 22, 8000-8080 } accept" => Rule::new().tcp_dport((22, 8000..=8080)).accept();
            "tcp dport @ports accept" => Rule::new().tcp_dport(set("ports")).accept();
            "tcp dport != 22 drop" => Rule::new().not(tcp_dport(22)).drop();
            "udp sport 53 accept" => Rule::new().udp_sport(53).accept();
            "meta l4proto { tcp, udp } th dport 53 accept" => Rule::new().l4proto([Protocol::TCP, Protocol::UDP]).th_dport(53).accept();
            "meta l4proto != tcp drop" => Rule::new().not(l4proto(Protocol::TCP)).drop();
            "tcp flags syn / fin,syn,rst,ack counter packets 0 bytes 0" => Rule::new().tcp_flags(masked(TcpFlags::SYN, TcpFlags::FIN | TcpFlags::SYN | TcpFlags::RST | TcpFlags::ACK)).counter();
            "icmp type echo-request accept" => Rule::new().icmp_type(IcmpType::ECHO_REQUEST).accept();
            "icmp type { echo-reply, echo-request } accept" => Rule::new().icmp_type([IcmpType::ECHO_REPLY, IcmpType::ECHO_REQUEST]).accept();
            "icmpv6 type nd-neighbor-solicit accept" => Rule::new().icmpv6_type(Icmpv6Type::ND_NEIGHBOR_SOLICIT).accept();
            "th dport < 1024 drop" => Rule::new().matches(lt(th_dport(1024))).drop();
            "meta length > 1400 drop" => Rule::new().matches(gt(length(1400))).drop();
        },
        group! { "Interfaces, owners, marks", filter(Hook::Output);
            "oifname \"lo\" accept" => Rule::new().oifname("lo").accept();
            "oifname \"veth*\" accept" => Rule::new().oifname("veth*").accept();
            "oifname != \"eth0\" drop" => Rule::new().not(oifname("eth0")).drop();
            "oifname { \"wg0\", \"eth0\" } accept" => Rule::new().oifname(["eth0", "wg0"]).accept();
            "meta skuid 1337 return" => Rule::new().skuid(1337).r#return();
            "meta skgid 1337 return" => Rule::new().skgid(1337).r#return();
            "meta mark 0x00000001 accept" => Rule::new().mark(1).accept();
            "meta mark & 0x000000ff == 0x00000001 accept" => Rule::new().mark(masked(0x1, 0xff)).accept();
            "meta mark != 0x00000001 drop" => Rule::new().not(mark(1)).drop();
            "ct mark 0x00000f41 accept" => Rule::new().ct_mark(0xf41).accept();
            "meta mark set 0x00000001" => Rule::new().set_mark(1);
            "meta mark set ct mark" => Rule::new().set_mark(MarkValue::copy(MarkKey::Ct));
            "meta mark set meta mark | 0x00004000" => Rule::new().set_mark(MarkValue::or(MarkKey::Meta, 0x4000));
            "meta mark set meta mark & 0x000000ff" => Rule::new().set_mark(MarkValue::and(MarkKey::Meta, 0xff));
            "meta mark set meta mark ^ 0x00004000" => Rule::new().set_mark(MarkValue::xor(MarkKey::Meta, 0x4000));
            "ct mark set meta mark" => Rule::new().set_ct_mark(MarkValue::copy(MarkKey::Meta));
        },
        group! { "Connections", filter(Hook::Forward);
            "ct state established,related accept" => Rule::new().ct_state(CtState::ESTABLISHED | CtState::RELATED).accept();
            "ct state invalid drop" => Rule::new().ct_state(CtState::INVALID).drop();
            "ct state != new accept" => Rule::new().not(ct_state([CtState::NEW])).accept();
            "ct status dnat accept" => Rule::new().ct_status(CtStatus::DNAT).accept();
            "ct direction original counter packets 0 bytes 0" => Rule::new().ct_direction(CtDirection::Original).counter();
            "meta pkttype multicast drop" => Rule::new().pkttype(PktType::MULTICAST).drop();
        },
        group! { "What happens to the packet", filter(Hook::Input);
            "counter packets 0 bytes 0 accept comment \"counted\"" => Rule::new().counter().accept().comment("counted");
            "jump other" => Rule::new().jump("other");
            "goto other" => Rule::new().goto("other");
            "reject" => Rule::new().reject();
            "reject with icmpx admin-prohibited" => Rule::new().reject_with(Reject::ADMIN_PROHIBITED);
            "meta l4proto tcp reject with tcp reset" => Rule::new().l4proto(Protocol::TCP).reject_with(Reject::TcpReset);
            "limit rate 10/second accept" => Rule::new().limit(Limit::packets(10, LimitUnit::Second)).accept();
            "limit rate 3/minute burst 10 packets accept" => Rule::new().limit(Limit::packets(3, LimitUnit::Minute).burst(10)).accept();
            "limit rate over 1 mbytes/second drop" => Rule::new().limit(Limit::bytes(1 << 20, LimitUnit::Second).over()).drop();
            "log prefix \"in: \" level info" => Rule::new().log(Log::default().prefix("in: ").level(LogLevel::Info));
            "log group 2 snaplen 128" => Rule::new().log(Log::default().group(2).snaplen(128));
            "log flags skuid" => Rule::new().log(Log::default().flags(LogFlags::SKUID));
            "ip daddr . meta l4proto . th dport vmap @services" => Rule::new().vmap([Field::IpDaddr, Field::L4proto, Field::ThDport], set("services"));
            "tcp dport vmap { 22 : accept, 443 : jump other }" => Rule::new().vmap(Field::TcpDport, anonymous([Element::new(22).verdict(Verdict::Accept), Element::new(443).verdict(Verdict::Jump("other".into()))]));
            "ip saddr . tcp dport @peers accept" => Rule::new().matches(concat([Field::IpSaddr, Field::TcpDport], set("peers"))).accept();
        },
        group! { "Destination translation", translate(Hook::Prerouting, Priority::DSTNAT);
            "tcp dport 8443 dnat ip to 10.0.0.5:443" => Rule::new().tcp_dport(8443).nat(Nat::dnat().to(Ipv4Addr::new(10, 0, 0, 5)).ports(443));
            "udp dport 53 dnat ip to 10.0.0.53" => Rule::new().udp_dport(53).nat(Nat::dnat().to(Ipv4Addr::new(10, 0, 0, 53)));
            "tcp dport 8443 dnat ip6 to [fd00::5]:443" => Rule::new().tcp_dport(8443).nat(Nat::dnat().to(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 5)).ports(443));
            "tcp dport 80 redirect to :15006" => Rule::new().tcp_dport(80).redirect_to(15006);
        },
        group! { "Source translation", translate(Hook::Postrouting, Priority::SRCNAT);
            "oifname \"eth0\" masquerade" => Rule::new().oifname("eth0").masquerade();
            "meta l4proto tcp masquerade to :32768-60999" => Rule::new().l4proto(Protocol::TCP).masquerade_to(32768..=60999, NatFlags::empty());
            "masquerade fully-random" => Rule::new().masquerade_with(NatFlags::FULLY_RANDOM);
            "ip saddr 10.0.0.0/8 snat ip to 192.0.2.1" => Rule::new().saddr(net("10.0.0.0/8")).nat(Nat::snat().to(Ipv4Addr::new(192, 0, 2, 1)));
            "snat ip to 192.0.2.1-192.0.2.9" => Rule::new().nat(Nat::snat().to_range(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 9)));
        },
    ]
}

fn table(group: &Group) -> Table {
    let table = sets().into_iter().fold(Table::new(Family::Inet, "cookbook"), Table::set);
    let chain = group.entries.iter().fold(group.chain.clone(), |chain, entry| chain.rule(entry.rule.clone()));
    table.chain(Chain::regular("other")).chain(chain)
}

#[test]
fn every_cookbook_line_lists_and_loads_in_nft() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        for group in groups() {
            let ruleset = Ruleset::new().table(table(&group));
            kernel
                .commit(&Transaction::replace(ruleset.clone()))
                .unwrap_or_else(|error| panic!("{}: {error}", group.title));
            let listed = nft("list chain inet cookbook c");
            let listed: Vec<_> = listed.lines().map(str::trim).collect();
            let is_listed = |entry: &&Entry| listed.contains(&entry.nft) && entry.rule.to_string() == entry.nft;
            let others: Vec<_> = group.entries.iter().filter(|entry| !is_listed(entry)).collect();
            let others: Vec<_> = others.iter().map(|entry| (entry.nft, entry.rule.to_string())).collect();
            assert!(others.is_empty(), "{others:#?}\nnft lists\n{}", listed.join("\n"));
            // The other direction: nft's lines load as the same rules.
            let lines: String =
                group.entries.iter().map(|entry| format!("add rule inet cookbook c {}\n", entry.nft)).collect();
            nft_script(&format!("flush chain inet cookbook c\n{lines}"));
            assert!(
                kernel.plan(&ruleset).expect("readable").is_empty(),
                "{}\n{}",
                group.title,
                kernel.plan(&ruleset).expect("readable")
            );
        }
    });
}

#[test]
fn the_cookbook_page_is_generated_from_the_tested_lines() {
    let mut page = String::new();
    let groups = groups();
    let count: usize = groups.iter().map(|group| group.entries.len()).sum();
    assert!(count >= 60, "{count} lines");
    for group in &groups {
        writeln!(page, "\n## {}\n\n```rust,ignore", group.title).expect("a string takes all");
        for entry in &group.entries {
            let rust: String = entry.rust.split_whitespace().collect::<Vec<_>>().join(" ");
            writeln!(page, "// {}\n{rust}", entry.nft).expect("a string takes all");
        }
        page.push_str("```\n");
    }
    golden_page("docs/cookbook.md", "<!-- written by tests/cookbook.rs -->\n", &page);
}
