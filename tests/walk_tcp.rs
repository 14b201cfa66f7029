//! Connection tracking of segments in every order: a walk has the same states as the kernel's
//! trace.
//!
//! Segments with correct sequence numbers go through a pod between two unused addresses, so that
//! only this test answers. `NFTMESH_SEED=7 NFTMESH_SETS=1` runs one sequence again; a failure names
//! it.

#![cfg(feature = "sim")]

#[path = "support/agree/mod.rs"]
mod agree;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::env;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use agree::dice::Dice;
use agree::world::World;
use agree::{hooks, reported, wires};
use nftmesh::kernel::{Kernel, Trace, TraceFilter, host};
use nftmesh::model::CtState;
use nftmesh::sim::{Packet, Rules, Walker};
use support::patience::patience;
use support::version::{TRACED_CONNECTIONS, in_traced_netns, needs_linux};
use support::{ip, nft_script, sys};

#[test]
fn segments_in_any_order_have_the_states_of_the_kernel() {
    if !needs_linux(TRACED_CONNECTIONS, "connections in traces") {
        return;
    }
    in_traced_netns(|| {
        let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        let (first, sets) = (number("NFTMESH_SEED").unwrap_or(1), number("NFTMESH_SETS").unwrap_or(60));
        let world = World::new();
        world.pod.run(|| {
            ip("neigh add 10.77.0.77 lladdr 02:00:00:00:01:01 dev eth0");
            ip("neigh add 10.78.0.77 lladdr 02:00:00:00:00:01 dev eth1");
            nft_script(ASKS);
        });
        let (mut trace, rules, host) = world.pod.run(|| {
            let trace = Trace::open(TraceFilter::new()).expect("may be opened");
            let mut snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
            snapshot.tables.retain(|table| table.id != *trace.table());
            (trace, Rules::try_from(&snapshot).expect("rules of a kernel"), host().expect("a netlink socket"))
        });
        let mut walker = Walker::new(&rules, &host);
        let (mut segments, mut wrong) = (0, 0);
        for seed in first..first + sets {
            let mut dice = Dice::new(seed);
            let mut ends = [End::new([10, 77, 0, 77], seed), End::new([10, 78, 0, 77], 80)];
            let mut story = String::new();
            for _ in 0..SEGMENTS {
                let (from, flags) = (usize::from(dice.chance(45)), dice.pick(FLAGS));
                let before = ends;
                let bytes = segment(&mut ends, from, flags);
                let [client, server] = ends;
                let to = SocketAddr::from((if from == 0 { server } else { client }.address, 0));
                let sender = if from == 0 { &world.gateway } else { &world.beyond };
                sender.run(|| {
                    let socket = sys::socket_of(to, libc::SOCK_RAW, libc::IPPROTO_RAW).expect("root may");
                    UdpSocket::from(socket).send_to(&bytes, to).expect("there is a way");
                });
                let messages = reported::drain(&mut trace, patience(QUIET)).expect("a few messages");
                let reported = reported::at_hooks(&rules, &messages);
                let at_hook = reported.first().unwrap_or_else(|| panic!("seed {seed}: nothing came\n{story}"));
                let shown = &at_hook.runs.first().expect("the chain ran").shown;
                let packet = Packet::traced(shown, 0).expect("a packet of TCP");
                match shown.ct.map(|ct| ct.state) {
                    // Invalid segments are not acknowledged.
                    None | Some(CtState::INVALID) => ends = before,
                    // Nothing of an earlier connection remains to be acknowledged.
                    Some(CtState::NEW) => {
                        for (at, end) in ends.iter_mut().enumerate() {
                            end.is_heard = flags != SYN || at == from;
                        }
                    }
                    Some(_) => {}
                }
                let walk = walker.receive(packet.clone(), if from == 0 { "eth0" } else { "eth1" });
                let kernel = at_hook.decisions(false);
                let simulator = hooks::decisions(&walk.steps);
                let _ = writeln!(story, "{packet}: {shown}");
                segments += 1;
                // Who reset it, or was, and of whom no number is known, says nothing more that
                // fits.
                let is_over = flags & RST != 0 && shown.ct.is_some() && ends.iter().any(|end| !end.is_heard);
                if kernel != simulator {
                    wrong += 1;
                    eprintln!("seed {seed}\n{story}  kernel:    {kernel:?}\n  simulator: {simulator:?}\n{walk}");
                }
                if kernel != simulator || is_over {
                    break;
                }
            }
        }
        support::say(format!(
            "{sets} sequences, {segments} segments, {wrong} are not to the walk what they are to the kernel"
        ));
        assert_eq!(wrong, 0, "see above");
    });
}

/// What one end has sent so far.
#[derive(Clone, Copy, Debug)]
struct End {
    address: Ipv4Addr,
    port: u16,
    /// The number of its SYN, and of what it sends next.
    first: u32,
    next: u32,
    is_finished: bool,
    /// The other end may know its numbers.
    is_heard: bool,
}

impl End {
    fn new(address: [u8; 4], port: u64) -> Self {
        let port = u16::try_from(port % 60_000).expect("small") + 1;
        let first = u32::from(port) * 1000 + 1_000_000;
        End { address: address.into(), port, first, next: first + 1, is_finished: false, is_heard: true }
    }
}

/// Returns a packet with the sequence numbers that its sender would use.
fn segment(ends: &mut [End; 2], from: usize, flags: u8) -> Vec<u8> {
    let [a, b] = ends;
    let (sender, receiver) = if from == 0 { (a, b) } else { (b, a) };
    let number = match flags & (SYN | FIN) {
        0 => sender.next,
        FIN if sender.is_finished => sender.next - 1,
        FIN => {
            sender.is_finished = true;
            sender.next += 1;
            sender.next - 1
        }
        _ => {
            (sender.next, sender.is_finished) = (sender.first + 1, false);
            sender.first
        }
    };
    sender.is_heard |= flags & SYN != 0;
    let acknowledged = if flags & ACK == 0 || !receiver.is_heard { 0 } else { receiver.next };
    let mut bytes = Vec::new();
    bytes.extend(sender.port.to_be_bytes());
    bytes.extend(receiver.port.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend(acknowledged.to_be_bytes());
    bytes.extend([5 << 4, flags, 0xf0, 0, 0, 0, 0, 0]);
    let sum = wires::checksum(6, sender.address.into(), receiver.address.into(), &bytes).to_be_bytes();
    bytes.splice(16..18, sum);
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    packet.extend(sender.address.octets());
    packet.extend(receiver.address.octets());
    packet.extend(bytes);
    packet
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const FLAGS: &[u8] = &[SYN, SYN, SYN, SYN | ACK, SYN | ACK, ACK, ACK, ACK, ACK, FIN | ACK, FIN | ACK, RST, RST | ACK];
const SEGMENTS: usize = 14;
/// Long enough for what the kernel does by itself after a system call.
const QUIET: Duration = Duration::from_millis(2);
/// No rule decides; each that matches is traced.
const ASKS: &str = "table ip asks { chain c { type filter hook prerouting priority 0; policy accept;
  ct state new
  ct state established
  ct state invalid
  ct direction reply
  ct status seen-reply
  ct status assured
  ct status confirmed
  ct status dying
}
}";
