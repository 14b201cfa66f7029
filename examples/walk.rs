//! Prints which rules a packet meets, and what happens to it. Nothing is sent.
//!
//! ```text
//! walk --packet 'tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000'
//! walk netns:/var/run/netns/pod-1 --in eth0 --packet 'tcp 10.77.0.9:40000 -> 10.77.0.2:9000'
//! walk save:rules.v4,rules.v6 --short --packet 'udp [fd77::2]:5000 -> [fd00::1]:53'
//! walk "istio:ISTIO_DUAL_STACK=true -m TPROXY -i '*' -b '*'" --addresses 10.77.0.2/24,fd77::2/64 --packet ...
//! ```
//! The packet is sent by this host, or with --in arrives there. Exit codes: 0 walked, 1 bad input,
//! 2 cannot tell.

mod common;

use std::process::ExitCode;

use clap::Parser;
use common::source::{Complaint, Loaded, Pod, Source};
use nftmesh::model::Protocol;
use nftmesh::sim::{End, Host, Packet, Walker};

/// Walks a packet through a rule set and prints what happens to it
#[derive(Parser)]
#[command(name = "walk", after_help = MORE_HELP)]
struct Args {
    /// live, netns:PATH, save:FILE4[,FILE6[,IPSETS]], nft:FILE, 'istio:ENV=VALUE... FLAGS...',
    /// 'linkerd:FLAGS...', 'kuma:FLAGS...', 'ambient:ENV=VALUE... ANNOTATION=VALUE...', or
    /// 'ambient-host:ENV=VALUE...'
    #[arg(default_value = "live")]
    source: Source,
    /// For example 'tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000'
    #[arg(long)]
    packet: Packet,
    /// The input interface; without it, this host sends the packet
    #[arg(long = "in", value_name = "IFNAME")]
    incoming: Option<String>,
    /// Print only what matched
    #[arg(long)]
    short: bool,
    #[command(flatten)]
    pod: Pod,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(help) if !help.use_stderr() => return done(common::print(&help.to_string()), ExitCode::SUCCESS),
        Err(error) => return failed(format!("{}; --help lists all options", common::first_line(&error))),
    };
    run(args).unwrap_or_else(failed)
}

fn run(args: Args) -> Result<ExitCode, Complaint> {
    let Args { source, packet, incoming, short, pod } = args;
    let Loaded { rules, host, warnings } = source.load(&pod)?;
    warnings.iter().for_each(|warning| common::complain("walk", warning));
    let doubt = doubt(&source, &packet, &host, incoming.as_deref());
    let mut walker = Walker::new(&rules, &host);
    let walk = match incoming {
        None => walker.send(packet),
        Some(_) if packet.owner.is_some() => {
            return Err("--in: what arrives has no socket here yet; leave out uid, gid and cgroup".to_owned());
        }
        Some(name) if host.interface(&name).is_none() => {
            let known: Vec<&str> = host.links.iter().map(|link| link.interface.name.as_str()).collect();
            return Err(format!("--in {name:?}: no such interface; there are {}", known.join(", ")));
        }
        Some(name) => walker.receive(packet, &name),
    };
    doubt.iter().for_each(|doubt| common::complain("walk", doubt));
    let text = if short { walk.short().to_string() } else { walk.to_string() };
    let code = if matches!(walk.end, End::CannotTell(_)) { ExitCode::from(CANNOT_TELL) } else { ExitCode::SUCCESS };
    Ok(done(common::print(&text), code))
}

/// Returns a warning about what was probably not intended.
fn doubt(rules: &Source, packet: &Packet, host: &Host, incoming: Option<&str>) -> Option<String> {
    let Packet { protocol, source, .. } = packet;
    match (*protocol, source.is_ipv4(), rules) {
        (Protocol::ICMP, false, _) => return Some("IPv6 has no icmp; give icmpv6".to_owned()),
        (Protocol::ICMPV6, true, _) => return Some("IPv4 has no icmpv6; give icmp".to_owned()),
        (_, false, Source::Save(_, None, _)) => {
            return Some(
                "there are no rules for IPv6; give what ip6tables-save prints as well, save:FILE4,FILE6".to_owned(),
            );
        }
        _ => {}
    }
    match incoming {
        None if !host.is_local(*source) => Some(format!(
            "{source} is not an address of this host, which sends the packet; give --in IFNAME for one that arrives"
        )),
        // fib_validate_source, net/ipv4/fib_frontend.c, v6.12.
        Some(name) if name != "lo" && source.is_ipv4() && !source.is_loopback() && host.is_local(*source) => {
            Some(format!(
                "{source} is an address of this host; what comes in from it is dropped, unless sysctl accept_local is on"
            ))
        }
        _ => None,
    }
}

fn done(printed: std::io::Result<()>, code: ExitCode) -> ExitCode {
    printed.map_or_else(failed, |()| code)
}

fn failed(why: impl std::fmt::Display) -> ExitCode {
    common::complain("walk", why);
    ExitCode::FAILURE
}

const CANNOT_TELL: u8 = 2;
const MORE_HELP: &str = "\
A packet is PROTOCOL SOURCE -> DESTINATION, with ports where the protocol has them, and then any of:
  uid N gid N [cgroup N]         the socket that sends it
  mark N, length N               N may be 0x539
  flags LIST                     of tcp, such as syn,ack; only syn if not given
  pkttype WORD                   host, broadcast, multicast or other
  type WORD, code N              of icmp and icmpv6, such as type echo-request
  checksum N, id N               of these too
Exit codes: 0 walked, 1 bad input, 2 cannot tell.";
