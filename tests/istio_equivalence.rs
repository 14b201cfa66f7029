//! The rules of the sidecar against those that the reference would install: the same decision for
//! any packet and any options.

#![cfg(all(feature = "mesh", feature = "sim"))]

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use nftmesh::mesh::istio::{
    Cidrs, DnsCapture, InboundPorts, Interception, IstioConfig, OwnerGroups, PortRanges, SELF_CALL_MARK, ServiceCidrs,
};
use nftmesh::model::{CtState, CtStatus, Hook, Protocol, Ruleset, TcpFlags};
use nftmesh::sim::{self, Change, End, Fate, Rules, Situation, Step, walk_hook};
use proptest::prelude::*;

/// What rules can see of a packet. `interface` is the incoming or the outgoing one, whichever the
/// hook knows.
#[derive(Clone, Debug)]
struct Packet {
    interface: &'static str,
    protocol: Protocol,
    source: IpAddr,
    destination: IpAddr,
    sport: u16,
    dport: u16,
    /// `None` for sockets of the kernel.
    owner: Option<(u32, u32)>,
    mark: u32,
    ct_mark: u32,
    state: CtState,
    status: CtStatus,
    flags: TcpFlags,
}

/// The outcome; `None` and the original marks when no rule changed anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    mark: u32,
    ct_mark: u32,
    zone: Option<u16>,
    redirect: Option<u16>,
    tproxy: Option<u16>,
    dropped: bool,
    refused: bool,
}

impl Outcome {
    fn of(packet: &Packet) -> Self {
        Outcome { mark: packet.mark, ct_mark: packet.ct_mark, ..Outcome::default() }
    }
}

impl Packet {
    fn is_of_user(&self, user: u32) -> bool {
        self.owner.is_some_and(|(uid, _)| uid == user)
    }

    fn is_of_group(&self, group: u32) -> bool {
        self.owner.is_some_and(|(_, gid)| gid == group)
    }

    /// A segment with ACK, RST or FIN belongs to an existing connection.
    fn begins(&self) -> bool {
        self.flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN) == TcpFlags::SYN
    }

    /// NAT does not see it, and the connection of its entry is not translated.
    fn goes_on_as_an_old_one(&self) -> bool {
        let old = self.status.contains(CtStatus::CONFIRMED) && !self.status.contains(CtStatus::DNAT);
        self.begins() && (self.state == CtState::INVALID || old)
    }

    /// Returns whether it is tracked and belongs to a connection.
    fn is_connected(&self) -> bool {
        self.state != CtState::INVALID
    }

    fn at(&self, hook: Hook) -> Situation {
        let ends = [(self.source, self.sport), (self.destination, self.dport)];
        let [source, destination] = ends.map(std::net::SocketAddr::from);
        let mut packet = sim::Packet::udp(source, destination);
        if let Some((uid, gid)) = self.owner {
            packet = packet.owner(uid, gid);
        }
        (packet.protocol, packet.mark, packet.tcp_flags) = (self.protocol, self.mark, self.flags);
        packet.length = 80; // a whole header, of every protocol
        let mut situation = Situation::new(packet);
        let interface = Some(sim::Interface::new(if self.interface == "lo" { 1 } else { 2 }, self.interface));
        match hook {
            Hook::Output => situation.outgoing = interface,
            _ => situation.incoming = interface,
        }
        let connection = &mut situation.connection;
        (connection.state, connection.status, connection.mark) = (self.state, self.status, self.ct_mark);
        situation
    }
}

/// Walks a packet through all chains of a hook, with a listener for tproxy.
fn walk(rules: &Rules, hook: Hook, packet: &Packet) -> Outcome {
    let mut outcome = Outcome::of(packet);
    let walk = walk_hook(rules, hook, &packet.at(hook));
    for step in &walk.steps {
        match step {
            Step::Change(Change::CtMark { to, .. }) => outcome.ct_mark = *to,
            Step::Change(Change::Dnat { to, .. }) => outcome.redirect = Some(to.port()),
            Step::Change(Change::Mark { to, .. }) => outcome.mark = *to,
            Step::Change(Change::Tproxy { port, .. }) => outcome.tproxy = *port,
            Step::Change(Change::Zone(zone)) => outcome.zone = Some(*zone),
            Step::Change(Change::Tracked { .. }) | Step::Chain { .. } | Step::Hook { .. } | Step::Policy { .. } => {}
            Step::Rule { fate: Fate::Failed(_) | Fate::Matched(_), .. } => {}
            other => panic!("{other:?}\n{walk}"),
        }
    }
    match walk.end {
        End::DroppedByRule(_) => outcome.dropped = true,
        End::Passed => {}
        End::Rejected(_) => outcome.refused = true,
        _ => panic!("{walk}"),
    }
    outcome
}

/// `-A PREROUTING` and `-A OUTPUT` of the reference, each packet from the top: nothing is derived,
/// nothing is merged.
struct Reference<'a>(&'a IstioConfig, &'a Packet);

impl Reference<'_> {
    fn is(&self, protocol: Protocol) -> bool {
        self.1.protocol == protocol
    }
    fn tcp_to(&self, port: u16) -> bool {
        self.is(Protocol::TCP) && self.1.dport == port
    }
    fn on_lo(&self) -> bool {
        self.1.interface == "lo"
    }
    fn to_loopback(&self) -> bool {
        match self.1.destination {
            IpAddr::V4(address) => self.0.loopback.contains(address),
            IpAddr::V6(address) => address.is_loopback(),
        }
    }
    fn passed_on(&self) -> bool {
        self.on_lo() && ["127.0.0.6", "::6"].contains(&self.1.source.to_string().as_str())
    }
    /// Returns whether the proxy's user and the proxy's group own the packet.
    fn owned(&self) -> [bool; 2] {
        let Reference(config, packet) = self;
        [
            config.proxy_uids.iter().any(|uid| packet.is_of_user(*uid)),
            config.proxy_gids.iter().any(|gid| packet.is_of_group(*gid)),
        ]
    }
    /// Returns whether no rules are installed for this family.
    fn untouched(&self) -> bool {
        self.1.destination.is_ipv6() && !self.0.ipv6
    }
    fn on_excluded(&self) -> bool {
        self.0.exclude_interfaces.iter().any(|pattern| pattern.matches(self.1.interface))
    }
    fn in_ranges(&self, ranges: &Cidrs) -> bool {
        ranges.contains(self.1.destination)
    }
    fn captured_destination(&self) -> bool {
        match &self.0.service_cidrs {
            ServiceCidrs::All => true,
            ServiceCidrs::Only { ranges, .. } => self.in_ranges(ranges),
            _ => false,
        }
    }
    fn redirect(&self, to: u16) -> Option<u16> {
        self.is(Protocol::TCP).then_some(to)
    }

    fn nat_prerouting(&self) -> Option<u16> {
        let Reference(config, packet) = *self;
        if self.untouched() {
            return None;
        }
        if config.kube_virt_interfaces.iter().any(|pattern| pattern.matches(packet.interface)) {
            return if self.captured_destination() { self.redirect(config.outbound_port) } else { None };
        }
        if self.on_excluded() || config.interception == Interception::Tproxy || self.tcp_to(config.tunnel_port) {
            return None;
        }
        match &config.inbound_ports {
            InboundPorts::All { except } if !except.contains(packet.dport) => self.redirect(config.inbound_port),
            InboundPorts::Only(ports) if ports.contains(packet.dport) => self.redirect(config.inbound_port),
            _ => None,
        }
    }

    fn nat_output(&self) -> Option<u16> {
        let Reference(config, packet) = *self;
        let dns = config.dns != DnsCapture::Off;
        let loopback = matches!(config.service_cidrs, ServiceCidrs::Only { loopback: true, .. });
        let has_ports = self.is(Protocol::TCP) || self.is(Protocol::UDP);
        if self.untouched() || self.on_excluded() {
            return None;
        }
        if has_ports && config.outbound_ports_exclude.contains(packet.dport) {
            return None;
        }
        if self.passed_on() {
            return None;
        }
        let self_call =
            self.on_lo() && !self.to_loopback() && self.is(Protocol::TCP) && packet.dport != config.tunnel_port;
        let to_itself = !loopback && self.on_lo() && (!dns || self.is(Protocol::TCP) && packet.dport != 53);
        for uid in &config.proxy_uids {
            if self_call && packet.is_of_user(*uid) && !(dns && packet.dport == 53) {
                return Some(config.inbound_port);
            }
            if to_itself && !packet.is_of_user(*uid) {
                return None;
            }
            if packet.is_of_user(*uid) {
                return None;
            }
        }
        for gid in &config.proxy_gids {
            if self_call && packet.is_of_group(*gid) {
                return Some(config.inbound_port);
            }
            if to_itself && !packet.is_of_group(*gid) {
                return None;
            }
            if packet.is_of_group(*gid) {
                return None;
            }
        }
        match &config.owner_groups {
            OwnerGroups::Except(groups) if groups.iter().any(|group| packet.is_of_group(*group)) => return None,
            OwnerGroups::Only(groups) if !groups.iter().any(|group| packet.is_of_group(*group)) => return None,
            _ => {}
        }
        let to_server = match &config.dns {
            DnsCapture::All => true,
            DnsCapture::Servers(servers) => servers.contains(&packet.destination),
            _ => false,
        };
        if to_server && has_ports && packet.dport == 53 {
            return Some(15053);
        }
        if self.to_loopback() || self.in_ranges(&config.exclude_cidrs) {
            return None;
        }
        let by_port = self.is(Protocol::TCP) && config.outbound_ports.contains(packet.dport);
        if by_port || self.captured_destination() { self.redirect(config.outbound_port) } else { None }
    }

    fn mangle_prerouting(&self) -> Outcome {
        let Reference(config, packet) = *self;
        let mut outcome = Outcome::of(packet);
        let is_tproxy = config.interception == Interception::Tproxy;
        let mark = config.tproxy.mark();
        if self.untouched() || (is_tproxy && self.on_excluded()) {
            return outcome;
        }
        if config.drop_invalid && packet.state == CtState::INVALID {
            outcome.dropped = true;
            return outcome;
        }
        if !is_tproxy || !self.is(Protocol::TCP) {
            return outcome;
        }
        let direct = self.on_lo() && packet.mark != SELF_CALL_MARK;
        let captured = match &config.inbound_ports {
            InboundPorts::All { except } => !except.contains(packet.dport),
            InboundPorts::Only(ports) => ports.contains(packet.dport),
            _ => false,
        };
        if captured && packet.mark != mark && !self.passed_on() && !direct {
            if (CtState::ESTABLISHED | CtState::RELATED).contains(packet.state) && !packet.begins() {
                outcome.mark = mark;
                return outcome;
            }
            if !self.to_loopback() {
                outcome.mark = mark;
                outcome.tproxy = Some(config.inbound_port);
                return outcome;
            }
        }
        if packet.mark == mark && packet.is_connected() {
            outcome.ct_mark = mark;
        }
        outcome
    }

    fn mangle_output(&self) -> Outcome {
        let Reference(config, packet) = *self;
        let mut outcome = Outcome::of(packet);
        let mark = config.tproxy.mark();
        let owned = self.owned().into_iter().any(|owned| owned);
        let excluded = config.interception == Interception::Tproxy && self.on_excluded();
        let leaves = self.is(Protocol::TCP) && !self.on_lo() && !excluded && !self.untouched();
        if config.drop_invalid_outbound && packet.state == CtState::INVALID && leaves && !owned {
            outcome.dropped = true;
            return outcome;
        }
        let off = config.interception != Interception::Tproxy || !self.is(Protocol::TCP);
        if off || self.untouched() || self.on_excluded() || (self.on_lo() && packet.mark == mark) {
            return outcome;
        }
        if self.on_lo() && !self.to_loopback() && owned {
            outcome.mark = SELF_CALL_MARK;
        }
        if packet.ct_mark == mark && packet.is_connected() {
            outcome.mark = mark;
        }
        outcome
    }

    /// Runs the tables of a hook in order: only the first packet of a connection reaches nat.
    fn prerouting(&self) -> Outcome {
        let nat = self.nat_prerouting();
        let outcome = self.then(self.mangle_prerouting(), self.raw_prerouting(), nat);
        self.mended(nat.filter(|_| !self.on_lo()), outcome)
    }
    fn output(&self) -> Outcome {
        let nat = self.nat_output();
        self.mended(nat, self.then(self.mangle_output(), self.raw_output(), nat))
    }
    fn then(&self, mangle: Outcome, zone: Option<u16>, nat: Option<u16>) -> Outcome {
        let begins = (CtState::NEW | CtState::RELATED).contains(self.1.state) && self.1.status.bits() & NAT_DONE == 0;
        let redirect = if begins && !mangle.dropped { nat } else { None };
        Outcome { zone, redirect, ..mangle }
    }
    /// Corrects the outcome where the reference lets the packet bypass the proxy.
    fn mended(&self, nat: Option<u16>, outcome: Outcome) -> Outcome {
        match self.is(Protocol::TCP) && nat.is_some() && self.1.goes_on_as_an_old_one() && !outcome.dropped {
            true => Outcome { redirect: None, refused: true, ..outcome },
            false => outcome,
        }
    }

    fn raw_prerouting(&self) -> Option<u16> {
        let Reference(config, packet) = *self;
        let from_server = match &config.dns {
            DnsCapture::All => true,
            DnsCapture::Servers(servers) => servers.contains(&packet.source),
            _ => false,
        };
        (from_server && self.is(Protocol::UDP) && packet.sport == 53 && !self.untouched()).then_some(1)
    }

    fn raw_output(&self) -> Option<u16> {
        let Reference(config, packet) = *self;
        if config.dns == DnsCapture::Off || self.untouched() || !self.is(Protocol::UDP) {
            return None;
        }
        for _ in self.owned().into_iter().filter(|owned| *owned) {
            if packet.dport == 53 {
                return Some(1);
            }
            if packet.sport == 15053 {
                return Some(2);
            }
        }
        let to_server = match &config.dns {
            DnsCapture::Servers(servers) => servers.contains(&packet.destination),
            _ => true,
        };
        (to_server && packet.dport == 53).then_some(2)
    }
}

/// `IPS_DST_NAT_DONE`, include/uapi/linux/netfilter/nf_conntrack_common.h: NAT has decided,
/// possibly for no translation.
const NAT_DONE: u32 = 256;

fn nets(text: &str) -> Vec<IpNetwork> {
    text.split_whitespace().map(|net| net.parse().expect("a CIDR")).collect()
}

/// Picks from few values, so that packets and options match often.
fn some_config() -> impl Strategy<Value = IstioConfig> {
    let owners = (
        prop::sample::select(vec![vec![1337], vec![1337, 0], vec![0, 1337], vec![7, 1337]]),
        prop::sample::select(vec![vec![1337], vec![1337, 7], vec![0]]),
        prop::sample::select(vec![
            OwnerGroups::All,
            OwnerGroups::Except(vec![8]),
            OwnerGroups::Except(vec![8, 9]),
            OwnerGroups::Only(vec![8]),
            OwnerGroups::Only(vec![8, 9]),
            OwnerGroups::Only(vec![]),
        ]),
    );
    let ports = || prop::sample::select(vec![vec![], vec![80], vec![53], vec![53, 80, 15008], (1..=60).collect()]);
    let destinations = (
        prop::sample::select(vec![
            "*",
            "",
            "10.0.0.0/8",
            "10.0.0.0/8 fd00::/8 127.0.0.0/8",
            "0.0.0.0/0 ::/0",
            "::1/128",
        ]),
        prop::sample::select(vec!["", "10.9.0.0/16", "10.9.0.0/16 192.168.0.0/16 fd09::/16 fe80::/10", "::/0"]),
        prop::sample::select(vec!["127.0.0.1/32", "127.0.0.0/8"]),
    );
    let dns = prop::sample::select(vec!["off", "all", "10.0.0.53", "127.0.0.53 10.0.0.53 fd00::53", "fd00::53"]);
    let inbound = (0..3_u8, ports()).prop_map(|(kind, ports)| match kind {
        0 => InboundPorts::None,
        1 => InboundPorts::Only(ports.into_iter().collect()),
        _ => InboundPorts::All { except: ports.into_iter().collect() },
    });
    let interfaces =
        || prop::sample::select(vec![vec![], vec!["eth0"], vec!["tap+", "eth1"], vec!["lo"], vec!["eth0", "tap1"]]);
    let modes = (any::<bool>(), any::<bool>(), any::<(bool, bool)>(), prop::sample::select(vec![15008, 53, 80]));
    let lists = (ports(), ports(), interfaces(), interfaces());
    (owners, destinations, dns, inbound, lists, modes).prop_map(
        |((uids, gids, groups), (services, excluded, loopback), dns, inbound, lists, modes)| {
            let (left_alone, captured, interfaces, machines) = lists;
            let (ipv6, tproxy, drop_invalid, tunnel) = modes;
            let servers: Vec<IpAddr> = match dns {
                "off" | "all" => Vec::new(),
                text => {
                    let servers = text.split(' ').map(|server| server.parse().expect("an address"));
                    servers.filter(|server: &IpAddr| ipv6 || server.is_ipv4()).collect()
                }
            };
            let dns = match dns {
                "all" => DnsCapture::All,
                _ if servers.is_empty() => DnsCapture::Off,
                _ => DnsCapture::Servers(servers),
            };
            let services = if services == "*" { ServiceCidrs::All } else { ServiceCidrs::only(nets(services)) };
            let mut builder = IstioConfig::builder()
                .proxy_uids(uids)
                .proxy_gids(gids)
                .owner_groups(groups)
                .service_cidrs(services)
                .exclude_cidrs(nets(excluded))
                .loopback(loopback.parse().expect("a CIDR"))
                .dns(dns)
                .inbound_ports(inbound)
                .outbound_ports_exclude(left_alone.into_iter().collect::<PortRanges>())
                .outbound_ports(captured.into_iter().collect::<PortRanges>())
                .exclude_interfaces(interfaces)
                .kube_virt_interfaces(machines)
                .tunnel_port(tunnel)
                .interception(if tproxy { Interception::Tproxy } else { Interception::Redirect });
            if ipv6 {
                builder = builder.ipv6();
            }
            if drop_invalid.0 {
                builder = builder.drop_invalid();
            }
            if drop_invalid.1 {
                builder = builder.drop_invalid_outbound();
            }
            builder.build().expect("every choice is valid")
        },
    )
}

fn some_packet() -> impl Strategy<Value = Packet> {
    let v4 = (
        prop::sample::select(vec!["10.1.1.1", "127.0.0.1", "127.0.0.6", "10.0.0.53"]),
        prop::sample::select(vec!["127.0.0.1", "127.0.0.53", "10.0.0.53", "10.9.1.1", "192.168.1.1", "11.1.1.1"]),
    );
    let v6 = (
        prop::sample::select(vec!["fd01::1", "::1", "::6", "fd00::53"]),
        prop::sample::select(vec!["::1", "fd00::53", "fd09::1", "fe80::1", "2001:db8::1"]),
    );
    let port = || prop::sample::select(vec![22, 53, 80, 8080, 15008, 15053]);
    let number = || prop::sample::select(vec![0, 7, 8, 9, 1000, 1337]);
    let owner = prop_oneof![9 => (number(), number()).prop_map(Some), 1 => Just(None)];
    let mark = || prop::sample::select(vec![0, 1, 1337, 1338]);
    let states = vec![CtState::NEW, CtState::ESTABLISHED, CtState::RELATED, CtState::INVALID];
    let decided = CtStatus::CONFIRMED | CtStatus::from_bits_retain(NAT_DONE);
    let statuses = vec![CtStatus::empty(), CtStatus::CONFIRMED, decided, decided | CtStatus::DNAT];
    let (syn, ack) = (TcpFlags::SYN, TcpFlags::ACK);
    let flags = vec![syn, ack, syn | ack, syn | TcpFlags::ECN, syn | TcpFlags::FIN, TcpFlags::RST, TcpFlags::empty()];
    (
        prop::sample::select(vec!["lo", "lo", "eth0", "eth1", "tap1"]),
        prop::sample::select(vec![Protocol::TCP, Protocol::TCP, Protocol::UDP, Protocol::ICMP]),
        prop_oneof![v4, v6],
        (port(), port()),
        owner,
        (mark(), mark()),
        (prop::sample::select(states), prop::sample::select(statuses), prop::sample::select(flags)),
    )
        .prop_map(
            |(interface, protocol, (source, destination), (sport, dport), owner, marks, (state, status, flags))| {
                Packet {
                    interface,
                    protocol,
                    source: source.parse().expect("an address"),
                    destination: destination.parse().expect("an address"),
                    sport,
                    dport,
                    owner,
                    mark: marks.0,
                    ct_mark: marks.1,
                    state,
                    status,
                    flags,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn every_packet_gets_the_decision_of_the_reference(
        config in some_config(),
        packets in prop::collection::vec(some_packet(), 200),
    ) {
        let ruleset = Ruleset::from(&config);
        let rules = Rules::try_from(&ruleset).expect("rules that can be lowered");
        for packet in &packets {
            let reference = Reference(&config, packet);
            for (hook, expected) in [(Hook::Prerouting, reference.prerouting()), (Hook::Output, reference.output())] {
                if reference.untouched() {
                    let walk = walk_hook(&rules, hook, &packet.at(hook));
                    let met = walk.steps.iter().filter(|step| !matches!(step, Step::Hook { .. })).count();
                    prop_assert_eq!(met, 0, "a chain or the tracking of a family that is off: {}\n{}", walk, ruleset);
                }
                let found = walk(&rules, hook, packet);
                prop_assert_eq!(&found, &expected, "{}: {:?}\n{:#?}\n{}", hook, packet, config, ruleset);
            }
        }
    }
}
