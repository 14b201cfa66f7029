//! The full path of a packet through a host.
//!
//! ```text
//! from a socket:  route -> output [-> route again] -> postrouting -> out of an interface
//! from a wire:    prerouting -> route -> input -> a socket
//!                                     -> forward -> postrouting -> out of an interface
//! out of lo:      comes in again at prerouting, with its connection and its way
//! ```
//! From ip_output.c, ip_input.c, ip_forward.c, netfilter.c (net/ipv4) and their counterparts in
//! net/ipv6, v6.12.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use super::addresses::listening_at;
use super::cells::Cell;
use super::connections::{Connections, Tracked, Tuple};
use super::devices::At as DeviceHook;
use super::flow::{Flow, Segment, Tracking};
use super::hook::pass;
use super::host::{Host, LO, Target};
use super::inputs::CannotTell;
use super::one_hook::ending;
use super::packet::{Interface, Packet, Receiver};
use super::place::{Doubt, OnHost, leaves_by};
use super::recorder::Recorder;
use super::rules::Rules;
use super::situation::Situation;
use super::walk::{Delivery, End, Lost, Step, Walk, Way};
use crate::model::{AddrType, Hook, IpFamily, PktType, Protocol, TcpFlags};

/// Sends packets through the rules of a host and remembers connections, as the host does.
///
/// A packet without an owner is one that the kernel sends. Received packets have none: rules that
/// ask for the owner do not learn which socket will get the packet.
///
/// ```
/// use nftmesh::mesh::istio::{IstioConfig, ServiceCidrs};
/// use nftmesh::model::Ruleset;
/// use nftmesh::sim::{End, Host, Rules, Walker};
///
/// let config = IstioConfig::builder().service_cidrs(ServiceCidrs::All).build()?;
/// let rules = Rules::try_from(&Ruleset::from(&config))?;
/// let host = Host::pod(["10.77.0.2/24".parse().expect("a network")]);
/// let mut walker = Walker::new(&rules, &host);
/// let walk = walker.send("tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000".parse()?);
/// assert!(matches!(walk.end, End::Delivered(to) if to.port == 15001));
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Walker<'a> {
    rules: &'a Rules,
    host: &'a Host,
    connections: Connections,
    limits: HashMap<usize, u64>,
    /// The tuples of packets that transparent sockets receive, with the port of the socket, which
    /// may differ from the packet's.
    transparent: HashMap<Tuple, u16>,
    /// The tuples of packets that other sockets receive.
    plain: HashSet<Tuple>,
    /// The tuples, at the beginning and at the end, of packets whose walks could not be completed:
    /// their effects are not known.
    doubtful: HashSet<Tuple>,
}

impl<'a> Walker<'a> {
    /// Returns a walker on a host that has seen no packets yet.
    #[must_use]
    pub fn new(rules: &'a Rules, host: &'a Host) -> Self {
        Walker {
            rules,
            host,
            connections: Connections::default(),
            limits: HashMap::new(),
            transparent: HashMap::new(),
            plain: HashSet::new(),
            doubtful: HashSet::new(),
        }
    }

    /// Walks a packet that a local socket sends.
    pub fn send(&mut self, packet: Packet) -> Walk {
        if !self.host.is_local(packet.source) && packet.protocol.has_ports() {
            // Only a transparent socket can send from a foreign address; it receives the replies.
            self.transparent.insert(Tuple::of(&packet).reversed(), packet.sport);
        } else if packet.protocol == Protocol::TCP && packet.owner.is_some() && !self.host.is_transparent(packet.sport)
        {
            let tuple = Tuple::of(&packet).reversed();
            if !self.transparent.contains_key(&tuple) {
                self.plain.insert(tuple);
            }
        }
        let mut passage = self.passage(packet.clone());
        let end = passage.depart();
        passage.over(packet, end)
    }

    /// Walks a packet that comes in by an interface. Its owner is ignored, because no local socket
    /// sent it.
    pub fn receive(&mut self, mut packet: Packet, interface: &str) -> Walk {
        packet.owner = None;
        let Some(incoming) = self.host.interface(interface) else {
            let end = End::Lost(Lost::UnknownInterface(interface.to_owned()));
            return Walk { packet, steps: Vec::new(), end };
        };
        let mut passage = self.passage(packet.clone());
        let end = passage.arrive(incoming);
        passage.over(packet, end)
    }

    fn passage(&mut self, packet: Packet) -> Passage<'_> {
        let Walker { rules, host, connections, limits, transparent, plain, doubtful } = self;
        let situation = Situation::new(packet.clone());
        let place = OnHost {
            situation,
            hook: Hook::Output,
            host,
            connections,
            limits,
            held: Tracked::Nothing,
            target: None,
            lost: None,
            is_copy: false,
            has_receiver: false,
            is_connected: false,
            is_plain: false,
            segment: Segment::default(),
            after_doubt: Doubt::of(doubtful, &packet),
        };
        Passage {
            rules,
            place,
            transparent,
            plain,
            doubtful,
            socket: None,
            steps: Vec::with_capacity(32),
            rounds: Vec::new(),
        }
    }
}

/// A packet on its way. Every part of the path ends in an [`End`], or continues with the next part.
struct Passage<'a> {
    rules: &'a Rules,
    place: OnHost<'a>,
    transparent: &'a mut HashMap<Tuple, u16>,
    plain: &'a mut HashSet<Tuple>,
    doubtful: &'a mut HashSet<Tuple>,
    /// The port of the socket that `tproxy` chose.
    socket: Option<u16>,
    steps: Vec<Step>,
    /// The packet each time it came in by lo.
    rounds: Vec<Packet>,
}

impl Passage<'_> {
    fn over(self, packet: Packet, end: Result<End, End>) -> Walk {
        let (Ok(end) | Err(end)) = end;
        // The walk is undecided, but the packet may have reached the socket that `tproxy` chose, so
        // it is remembered.
        if let (End::CannotTell(_), Some(port)) = (&end, self.socket) {
            self.transparent.insert(Tuple::of(self.packet()), port);
        }
        if matches!(end, End::CannotTell(_)) {
            for tuple in [&packet, self.packet()].map(Tuple::of) {
                self.doubtful.extend([tuple, tuple.reversed()]);
            }
        }
        Walk { packet, steps: self.steps, end }
    }

    fn packet(&self) -> &Packet {
        &self.place.situation.packet
    }

    fn depart(&mut self) -> Result<End, End> {
        let Packet { source, destination, mark, .. } = *self.packet();
        self.knows_interface()?;
        let target = self.route(self.place.host.way_from(source, destination, mark))?;
        if self.place.host.keeps(source, target) {
            return Err(End::Lost(Lost::Martian));
        }
        self.leave_by(target);
        self.place.target = Some(target);
        self.hook(Hook::Output)?;
        let again = self.place.target.unwrap_or(target);
        if again != target {
            self.leave_by(again);
        }
        self.leave(again)
    }

    /// The kernel's own answer to ::1 leaves by the interface of the address that was asked, which
    /// is not lo (tcp_v6_send_response, net/ipv6/tcp_ipv6.c, v6.12). A SYN is never an answer.
    fn knows_interface(&self) -> Result<(), End> {
        let Packet { source, destination, owner, tcp_flags, .. } = self.packet();
        let begins = tcp_flags.contains(TcpFlags::SYN) && !tcp_flags.intersects(TcpFlags::ACK | TcpFlags::RST);
        let is_answer = tcp_flags.contains(TcpFlags::RST) || (owner.is_none() && !begins);
        if destination.is_ipv6() && destination.is_loopback() && !source.is_loopback() && is_answer {
            return Err(End::CannotTell(CannotTell::new(
                "by which interface the kernel answers to a loopback address",
            )));
        }
        Ok(())
    }

    /// The packet comes in by an interface, except from this host through lo.
    fn arrive(&mut self, incoming: &Interface) -> Result<End, End> {
        self.place.situation.incoming = Some(incoming.clone());
        self.devices(DeviceHook::Ingress, incoming)?;
        let is_lo = incoming.index == LO;
        if self.packet().family() == IpFamily::Ipv6 && !is_lo && self.has_loopback() {
            return Err(End::Lost(Lost::Martian));
        }
        self.hook(Hook::Prerouting)?;
        let target = match self.packet().family() {
            _ if is_lo || !self.has_loopback() => self.route_in()?,
            IpFamily::Ipv4 if self.place.host.route_localnet => self.route_in()?,
            IpFamily::Ipv4 => return Err(End::Lost(Lost::Martian)),
            // It may only go where it came from (rt6_need_strict, net/ipv6/route.c, v6.12).
            IpFamily::Ipv6 => {
                let Packet { destination, mark, .. } = *self.packet();
                let found = self.place.host.way_by(destination, mark, Some(incoming.index)).map_err(End::CannotTell)?;
                found.ok_or(End::Lost(Lost::Martian))?
            }
        };
        self.go_on(target)
    }

    /// The packet comes in again by lo, with its connection, and with its route unless its
    /// destination changes here.
    fn come_back(&mut self, target: Target) -> Result<End, End> {
        if self.rounds.contains(self.packet()) || self.rounds.len() >= TIME_TO_LIVE {
            return Err(End::Lost(Lost::Loop));
        }
        self.rounds.push(self.packet().clone());
        self.steps.push(Step::Loopback);
        let situation = &mut self.place.situation;
        situation.packet.owner = None;
        situation.incoming = situation.outgoing.take();
        situation.connection.attached = matches!(self.place.held, Tracked::Connection(_));
        let before = self.packet().destination;
        self.hook(Hook::Prerouting)?;
        let target = if self.packet().destination == before { target } else { self.route_in()? };
        // Its route leads in only if this host is in the group (__mkroute_output, net/ipv4/route.c,
        // v6.12).
        self.is_of_everybody()?;
        self.go_on(target)
    }

    fn go_on(&mut self, target: Target) -> Result<End, End> {
        match target {
            Target::Local => {
                self.steps.push(Step::Routed(Way::Local));
                self.hook(Hook::Input)?;
                self.confirm()?;
                Ok(self.deliver())
            }
            Target::Out(_) if self.socket.is_some() => Err(End::Lost(Lost::NotRoutedHere)),
            Target::Out(_) if !self.forwards() => Err(End::Lost(Lost::NotForwarding)),
            Target::Out(_) if self.packet().pkttype != PktType::HOST => Err(End::Lost(Lost::Shared)),
            Target::Out(_) | Target::Refused => {
                if !self.place.situation.packet.hop() {
                    return Err(End::Lost(Lost::TimeToLive));
                }
                self.leave_by(target);
                self.hook(Hook::Forward)?;
                self.leave(target)
            }
        }
    }

    fn leave(&mut self, target: Target) -> Result<End, End> {
        let Packet { destination, .. } = *self.packet();
        let is_broadcast = destination.is_ipv4() && self.place.host.kind_of(destination) == AddrType::BROADCAST;
        if is_broadcast && self.place.situation.incoming.is_none() {
            self.copy();
        }
        self.hook(Hook::Postrouting)?;
        self.confirm()?;
        let outgoing = self.place.situation.outgoing.clone();
        if let Some(interface) = &outgoing {
            self.devices(DeviceHook::Egress, interface)?;
        }
        match outgoing {
            Some(lo) if lo.index == LO => {
                self.devices(DeviceHook::Ingress, &lo)?;
                self.come_back(target)
            }
            Some(interface) => Ok(End::Sent(interface)),
            None => Err(End::Lost(Lost::NoRoute)),
        }
    }

    /// Passes the chains of a device, which are not walked.
    fn devices(&self, at: DeviceHook, device: &Interface) -> Result<(), End> {
        let mut chains = self.rules.devices.iter();
        chains.try_for_each(|chain| chain.stands(at, &device.name)).map_err(End::CannotTell)
    }

    /// Sends the host's own copy through postrouting. The copy's fate does not affect the original,
    /// except through their connection (ip_mc_output, net/ipv4/ip_output.c, v6.12).
    fn copy(&mut self) {
        let before = self.packet().clone();
        self.steps.push(Step::Copied);
        // A clone has no socket (skb_clone).
        self.place.situation.packet.owner = None;
        self.place.is_copy = true;
        drop(self.hook(Hook::Postrouting).and_then(|()| self.confirm()));
        self.place.is_copy = false;
        self.place.situation.packet = before;
        self.place.lost = None;
    }

    fn deliver(&mut self) -> End {
        let packet = &self.place.situation.packet;
        let tuple = Tuple::of(packet);
        if let Some(port) = self.socket {
            self.transparent.insert(tuple, port);
        } else if packet.protocol == Protocol::TCP && !self.place.host.is_transparent(packet.dport) {
            self.plain.insert(tuple);
        }
        let found = self.transparent.get(&tuple).copied();
        let destination =
            SocketAddr::new(packet.destination, if packet.protocol.has_ports() { packet.dport } else { 0 });
        End::Delivered(Delivery {
            destination,
            port: found.unwrap_or(destination.port()),
            transparent: found.is_some(),
        })
    }

    /// Sends the packet through the chains of a hook.
    fn hook(&mut self, hook: Hook) -> Result<(), End> {
        self.place.hook = hook;
        let situation = &mut self.place.situation;
        situation.daddr_type = self.place.host.kind_of(situation.packet.destination);
        let receiver = self.transparent.get(&Tuple::of(&situation.packet));
        situation.receiver = receiver.map(|_| Receiver { transparent: true, ..Receiver::default() });
        situation.hold(self.place.held);
        // A packet that begins a connection finds only listening sockets, which are not looked up
        // on its way in (tcp_v4_early_demux, net/ipv4/tcp_ipv4.c, and udp_v4_early_demux, udp.c,
        // v6.12).
        let is_segment = situation.packet.is_segment();
        let is_sought = is_segment || situation.packet.protocol == Protocol::UDP;
        // Established on this host, by packets sent or received earlier.
        let tuple = Tuple::of(&situation.packet);
        self.place.is_connected = is_segment;
        self.place.is_plain = self.plain.contains(&tuple);
        self.place.has_receiver = self.socket.is_some() || (hook == Hook::Input && is_sought);
        let situation = &self.place.situation;
        let (packet, incoming, outgoing) =
            (situation.packet.clone(), situation.incoming.clone(), situation.outgoing.clone());

        let mut flow = Flow::new(&self.place);
        match self.place.held {
            Tracked::Untracked => flow.tracking = Tracking::Untracked,
            Tracked::Template(zone) => {
                flow.tracking = Tracking::Template;
                flow.zone = Some(zone.to_ne_bytes().map(Cell::Known));
            }
            Tracked::Connection(_) | Tracked::Invalid | Tracked::Nothing => {}
        }
        flow.segment = self.place.segment;
        let mut recorder = Recorder::new(&mut self.steps, hook, packet.family(), &flow);
        recorder.hook(packet, incoming, outgoing);
        let passed = pass(self.rules, hook, &mut self.place, &mut flow, &mut recorder);
        self.place.take(&flow);
        if let (Tracked::Connection(attached), true) = (self.place.held, passed.is_ok()) {
            self.place.connections.update(&attached);
        }
        if let Some(target) = &flow.tproxy {
            let (_, port) = listening_at(target, self.packet().family());
            let found = self.transparent.get(&Tuple::of(self.packet())).copied();
            self.socket = found.or(port).or(Some(self.packet().dport));
        }
        let lost = self.place.lost.clone().unwrap_or(Lost::NoRoute);
        ending(passed, lost).map_or(Ok(()), Err)
    }

    /// Records the connection of a packet that passed.
    fn confirm(&mut self) -> Result<(), End> {
        let Tracked::Connection(attached) = &mut self.place.held else { return Ok(()) };
        if self.place.connections.confirm(attached) { Ok(()) } else { Err(End::Lost(Lost::Clash)) }
    }

    fn leave_by(&mut self, target: Target) {
        let interface = self.place.host.by_index(leaves_by(target)).cloned();
        self.steps.extend(interface.clone().map(|interface| Step::Routed(Way::Out(interface))));
        self.place.situation.outgoing = interface;
    }

    fn route_in(&mut self) -> Result<Target, End> {
        let Packet { destination, mark, .. } = *self.packet();
        // Broadcast and multicast packets are for this host too.
        let kind = self.place.host.kind_of(destination);
        if [AddrType::BROADCAST, AddrType::MULTICAST].contains(&kind) {
            self.is_of_everybody()?;
            // A host without an address broadcasts to get one.
            if self.packet().source != IpAddr::from([0, 0, 0, 0]) {
                self.is_taken()?;
            }
            return Ok(Target::Local);
        }
        let target = self.route(self.place.host.way(destination, mark));
        if target.is_ok() {
            self.is_taken()?;
        }
        // tcp_v4_early_demux, net/ipv4/tcp_ipv4.c, v6.12, and its IPv6 counterpart: a socket
        // remembers the route of the packets it received before.
        if target != Ok(Target::Local) && self.place.is_connected && self.has_socket() {
            let reason = CannotTell::new("whether the socket of the connection remembers that its packets stay here");
            return Err(End::CannotTell(reason));
        }
        target
    }

    /// Checks the source of an incoming packet.
    fn is_taken(&self) -> Result<(), End> {
        let incoming = self.place.situation.incoming.as_ref().map_or(LO, |interface| interface.index);
        let Packet { source, mark, .. } = *self.packet();
        match self.place.host.takes(source, incoming, mark) {
            Ok(true) => Ok(()),
            // A packet of a connection that a socket knows is not routed again.
            Ok(false) if self.place.is_connected && self.has_socket() => {
                let reason =
                    CannotTell::new("whether the socket of the connection remembers where its packets come from");
                Err(End::CannotTell(reason))
            }
            Ok(false) => Err(End::Lost(Lost::Source)),
            Err(reason) => Err(End::CannotTell(reason)),
        }
    }

    /// Fails if it is not known whether this host is in the packet's group (ip_route_input_rcu,
    /// net/ipv4/route.c, and ip6_mc_input, net/ipv6/ip6_input.c, v6.12): only the group of all
    /// hosts is certain.
    fn is_of_everybody(&self) -> Result<(), End> {
        let group = self.packet().destination;
        let all = [IpAddr::from([224, 0, 0, 1]), IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 1])];
        if group.is_multicast() && !all.contains(&group) {
            return Err(End::CannotTell(CannotTell::new("whether this host is in the group that the packet is for")));
        }
        Ok(())
    }

    /// Returns whether a local socket is known to have the packet's connection.
    fn has_socket(&self) -> bool {
        let tuple = Tuple::of(self.packet());
        self.plain.contains(&tuple) || self.transparent.contains_key(&tuple)
    }

    fn route(&self, found: Result<Option<Target>, CannotTell>) -> Result<Target, End> {
        match found {
            Ok(Some(Target::Refused)) => Err(End::Lost(Lost::Refused)),
            Ok(Some(target)) => Ok(target),
            Ok(None) => Err(End::Lost(Lost::NoRoute)),
            Err(reason) => Err(End::CannotTell(reason)),
        }
    }

    fn forwards(&self) -> bool {
        match self.packet().family() {
            IpFamily::Ipv4 => self.place.host.forwards_ipv4,
            IpFamily::Ipv6 => self.place.host.forwards_ipv6,
        }
    }

    fn has_loopback(&self) -> bool {
        self.packet().source.is_loopback() || self.packet().destination.is_loopback()
    }
}

/// How often a packet may come in by lo: `IPDEFTTL`, include/uapi/linux/ip.h.
const TIME_TO_LIVE: usize = 64;
