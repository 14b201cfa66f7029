//! Reports what live packets do in the rule sets of this host, in the format of `walk`.
//!
//! ```text
//! trace --protocol tcp --port 15001
//! trace netns:/var/run/netns/pod-1 --uid 1000 --address 10.77.0.0/24 --count 10
//! ```
//! The kernel reports rules that matched and ends of chains; rules that did not match are omitted,
//! and so is what happens between hooks. It runs until SIGINT or SIGTERM, or until its output is
//! no longer read, and leaves nothing behind, even when killed. Exit codes: 0 stopped or enough
//! seen, 1 error.

mod common;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use common::source::{Complaint, Source};
use ipnetwork::IpNetwork;
use nftmesh::kernel::{NetNs, Trace, TraceFilter, TraceSteps, TracedSteps};
use nftmesh::model::{Protocol, Rule, daddr, saddr, th_dport, th_sport};
use nftmesh::sim::{Packet, Step, Story};
use nftmesh::state::{TraceEvent, TraceMessage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Reports what live packets do in the rule sets; a packet is reported when all given conditions
/// match
#[derive(Parser)]
#[command(name = "trace", after_help = "Exit codes: 0 stopped or enough seen, 1 error.")]
struct Args {
    /// live, or netns:PATH
    #[arg(default_value = "live")]
    source: Source,
    /// User whose socket sends it; incoming packets have none, unless they came through lo
    #[arg(long)]
    uid: Option<u32>,
    /// Group whose socket sends it
    #[arg(long)]
    gid: Option<u32>,
    /// tcp, udp, icmp, ipv6-icmp or another by its name or number
    #[arg(long, value_parser = protocol)]
    protocol: Option<Protocol>,
    /// Source or destination port; of TCP and UDP when no protocol is given
    #[arg(long)]
    port: Option<u16>,
    /// Source or destination address or network
    #[arg(long, value_name = "ADDRESS[/LENGTH]", value_parser = common::network)]
    address: Option<IpNetwork>,
    /// Input interface, or its first letters and *
    #[arg(long = "in", value_name = "IFNAME")]
    incoming: Option<String>,
    /// Output interface; a forwarded packet is reported from forward on
    #[arg(long = "out", value_name = "IFNAME")]
    outgoing: Option<String>,
    /// Stops after this many packets
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

fn main() -> ExitCode {
    let outcome = match Args::try_parse() {
        Ok(args) => run(&args),
        Err(help) if !help.use_stderr() => common::print(&help.to_string()).map_err(|error| error.to_string()),
        Err(error) => Err(format!("{}; --help lists all options", common::first_line(&error))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            common::complain("trace", why);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Complaint> {
    if args.port.is_some() && args.protocol.is_some_and(|protocol| !protocol.has_ports()) {
        return Err("--port: this --protocol has no ports; leave one of them out".to_owned());
    }
    let stop = stop_signals().map_err(|error| error.to_string())?;
    let failed = |error: nftmesh::Error| error.to_string();
    let namespace = match &args.source {
        Source::Live => NetNs::current(),
        Source::NetNs(path) => NetNs::from_path(path),
        Source::Mesh(_) | Source::Nft(_) | Source::Save(..) => {
            return Err("only a kernel has packets to trace; give live or netns:PATH".to_owned());
        }
    };
    let namespace = namespace.map_err(failed)?;
    let mut trace = namespace.trace(filter(args)).map_err(failed)?;
    let mut reporter = Reporter::new(namespace.trace_steps().map_err(failed)?);
    eprintln!("trace: tracing by table {}", trace.table());
    let enough = |reporter: &Reporter| args.count.is_some_and(|count| reporter.packets >= count);
    loop {
        // The remaining messages about the last packet come at once.
        let patience = enough(&reporter).then_some(LAST);
        if wait(&trace, &stop, patience).map_err(|error| error.to_string())? != Woken::ToSee {
            return Ok(());
        }
        while let Some(event) = trace.try_next().map_err(failed)? {
            let text = match event {
                TraceEvent::Message(message) => {
                    let traced = reporter.steps.take(&message).map_err(failed)?;
                    if traced.begins.is_some() && enough(&reporter) {
                        return Ok(());
                    }
                    reporter.tell(&message, &traced)
                }
                TraceEvent::Overflow => "messages were lost: more came than could be read\n".to_owned(),
                other => format!("{other}\n"),
            };
            if !common::write(&text).map_err(|error| error.to_string())? {
                return Ok(());
            }
        }
    }
}

/// Returns one alternative for each meaning of port and address.
fn filter(args: &Args) -> TraceFilter {
    let Args { uid, gid, protocol, port, address, incoming, outgoing, .. } = args;
    let mut rule = Rule::new();
    if let Some(name) = incoming {
        rule = rule.iifname(name.as_str());
    }
    if let Some(name) = outgoing {
        rule = rule.oifname(name.as_str());
    }
    rule = match (protocol, port) {
        (Some(protocol), _) => rule.l4proto(*protocol),
        (None, Some(_)) => rule.l4proto([Protocol::TCP, Protocol::UDP]),
        (None, None) => rule,
    };
    rule = uid.map_or(rule.clone(), |uid| rule.skuid(uid));
    rule = gid.map_or(rule.clone(), |gid| rule.skgid(gid));
    let mut rules = vec![rule];
    if let Some(port) = port {
        rules = either(&rules, th_dport(*port), th_sport(*port));
    }
    if let Some(net) = address {
        rules = either(&rules, daddr(*net), saddr(*net));
    }
    rules.into_iter().fold(TraceFilter::new(), TraceFilter::or)
}

fn either(rules: &[Rule], one: nftmesh::model::Match, other: nftmesh::model::Match) -> Vec<Rule> {
    let both = |rule: &Rule| [rule.clone().matches(one.clone()), rule.clone().matches(other.clone())];
    rules.iter().flat_map(both).collect()
}

fn protocol(text: &str) -> Result<Protocol, String> {
    let named = (0..=u8::MAX).map(Protocol).find(|protocol| protocol.name() == Some(text));
    let known = named.or_else(|| text.parse().ok().map(Protocol));
    known.ok_or_else(|| format!("{text:?} is not a protocol; give tcp, udp, icmp, ipv6-icmp or a number up to 255"))
}

/// Prints packets in the kernel's order, each with a number.
struct Reporter {
    steps: TraceSteps,
    packets: u64,
    /// By the kernel's trace id.
    stories: HashMap<u32, (u64, Story)>,
    last: u64,
}

impl Reporter {
    fn new(steps: TraceSteps) -> Self {
        Reporter { steps, packets: 0, stories: HashMap::new(), last: 0 }
    }

    fn tell(&mut self, message: &TraceMessage, traced: &TracedSteps) -> String {
        let mut text = String::new();
        let TracedSteps { begins, steps, end, unknown, .. } = traced;
        if let Some(packet) = begins {
            self.packets += 1;
            let blank = if self.packets == 1 { "" } else { "\n" };
            self.begin(message.id, self.packets, packet);
            self.last = self.packets;
            text = format!("{blank}packet {}: {packet}\n", self.packets);
        }
        if !self.stories.contains_key(&message.id) {
            // Through lo, it is the packet that left last with a new id.
            let packet = steps.iter().find_map(|step| match step {
                Step::Hook { packet, .. } => Some(packet),
                _ => None,
            });
            if let Some(packet) = packet {
                self.begin(message.id, self.last, packet);
            }
        }
        if let Some((number, story)) = self.stories.get_mut(&message.id) {
            if *number != self.last {
                self.last = *number;
                text.push_str(&format!("\npacket {number} goes on\n"));
            }
            steps.iter().for_each(|step| text.push_str(&story.tell(step)));
        }
        if let Some(end) = end {
            text.push_str(&format!("{end}\n"));
            self.stories.remove(&message.id);
        }
        if let Some(unknown) = unknown {
            let _ = writeln!(text, "    {unknown}");
        }
        text
    }

    fn begin(&mut self, id: u32, number: u64, packet: &Packet) {
        if self.stories.len() >= MOST_STORIES {
            self.stories.clear();
        }
        self.stories.insert(id, (number, Story::new(packet.clone())));
    }
}

#[derive(PartialEq, Eq)]
enum Woken {
    ToSee,
    ToStop,
    TooLate,
}

/// Waits until something is reported, a signal arrived, or the timeout is over.
fn wait(trace: &Trace, stop: &UnixStream, patience: Option<Duration>) -> io::Result<Woken> {
    let timeout = patience.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
    let mut fds = [PollFd::new(trace, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
    let ready = match poll(&mut fds, timeout.as_ref()) {
        Err(rustix::io::Errno::INTR) => return Ok(Woken::ToSee),
        outcome => outcome?,
    };
    let [_, stopped] = fds;
    Ok(match ready {
        0 => Woken::TooLate,
        _ if stopped.revents().is_empty() => Woken::ToSee,
        _ => Woken::ToStop,
    })
}

/// Becomes readable with the first SIGTERM or SIGINT.
fn stop_signals() -> io::Result<UnixStream> {
    let (readable, signalled) = UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, signalled.try_clone()?)?;
    }
    Ok(readable)
}

/// The remaining messages about the last packet come within this time.
const LAST: Duration = Duration::from_millis(100);
/// Above this number, packets without further reports are forgotten.
const MOST_STORIES: usize = 4096;
