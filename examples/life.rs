//! Simulates the life of a request through a sidecar: which rules each leg meets, and where it
//! ends. Nothing is sent.
//!
//! ```text
//! life            REDIRECT
//! life TPROXY     the same requests, with the client's address kept
//! ```

mod common;

use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;

use clap::Parser;
use nftmesh::kernel::routed;
use nftmesh::mesh::istio::{DnsCapture, InboundPorts, Interception, IstioConfig, ServiceCidrs};
use nftmesh::model::Ruleset;
use nftmesh::routes::RoutePlan;
use nftmesh::sim::{Host, Packet, Rules, SourceChecks, Walker};

/// Tells the life of a request through a sidecar; nothing is sent
#[derive(Parser)]
#[command(name = "life")]
struct Args {
    /// REDIRECT or TPROXY
    #[arg(default_value = "REDIRECT", value_parser = mode)]
    mode: Interception,
}

/// The legs: a title, the input interface unless this pod sends the packet, and the packet; PROXY
/// stands for the proxy's owner.
const LEGS: [(&str, Option<&str>, &str); 9] = [
    ("a client calls the application", Some("eth0"), "tcp 10.88.0.9:40000 -> 10.77.0.2:9000"),
    ("the proxy passes that on", None, "tcp 127.0.0.6:40001 -> 10.77.0.2:9000 PROXY"),
    ("the application calls a service", None, "tcp 10.77.0.2:40002 -> 10.96.0.10:80 uid 1000 gid 1000"),
    ("the proxy calls an instance of it", None, "tcp 10.77.0.2:40003 -> 10.88.0.9:9000 PROXY"),
    ("the application calls its own service", None, "tcp 10.77.0.2:40004 -> 10.96.0.20:80 uid 1000 gid 1000"),
    ("the proxy finds that it is this very pod", None, "tcp 10.77.0.2:40005 -> 10.77.0.2:9000 PROXY"),
    ("the application speaks to itself", None, "tcp 127.0.0.1:40006 -> 127.0.0.1:9000 uid 1000 gid 1000"),
    ("the application asks for a name", None, "udp 10.77.0.2:40007 -> 10.255.255.53:53 uid 1000 gid 1000"),
    ("the proxy's agent asks in its place", None, "udp 10.77.0.2:40008 -> 10.255.255.53:53 PROXY"),
];

fn main() -> ExitCode {
    let story = match Args::try_parse() {
        Ok(Args { mode }) => story(mode),
        Err(help) if !help.use_stderr() => Ok(help.to_string()),
        Err(error) => Err(format!("{}; --help lists all options", common::first_line(&error)).into()),
    };
    match story.and_then(|text| Ok(common::print(&text)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            common::complain("life", why);
            ExitCode::FAILURE
        }
    }
}

fn mode(text: &str) -> Result<Interception, String> {
    match text {
        "REDIRECT" => Ok(Interception::Redirect),
        "TPROXY" => Ok(Interception::Tproxy),
        other => Err(format!("{other:?} is not a mode; give REDIRECT or TPROXY")),
    }
}

fn story(interception: Interception) -> Result<String, Box<dyn Error>> {
    // With TPROXY the proxy needs capabilities: it runs as root, with its own group.
    let proxy = match interception {
        Interception::Tproxy => "uid 0 gid 1337",
        _ => "uid 1337 gid 1337",
    };
    let config = IstioConfig::builder()
        .interception(interception)
        .inbound_ports(InboundPorts::All { except: [15090, 15021, 15020].into_iter().collect() })
        .service_cidrs(ServiceCidrs::All)
        .dns(DnsCapture::All)
        .build()?;
    let rules = Rules::try_from(&Ruleset::from(&config))?;
    let mut pod = Host::pod(["10.77.0.2/24".parse()?]);
    // The kernel's defaults; a reverse path lookup with the proxy's mark would give another
    // result.
    pod.links.iter_mut().for_each(|link| link.checks = Some(SourceChecks::default()));
    let host = routed(pod, &RoutePlan::from(&config));
    let mut walker = Walker::new(&rules, &host);
    let mut out = String::new();
    for (number, (title, incoming, text)) in (1..).zip(LEGS) {
        let packet: Packet = text.replace("PROXY", proxy).parse()?;
        let walk = match incoming {
            Some(interface) => walker.receive(packet, interface),
            None => walker.send(packet),
        };
        writeln!(out, "{number}. {title}\n{}", walk.short())?;
    }
    Ok(out)
}
