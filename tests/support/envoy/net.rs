//! The addresses of pods, node and services.

use std::net::{IpAddr, SocketAddr};

use super::logs::Hop;

/// Addresses of one family: of pods and services, all of one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    pub family: char,
    pods: [&'static str; 2],
    /// The node, as each pod sees it.
    nodes: [&'static str; 2],
    /// The services of the pods.
    services: [&'static str; 2],
    /// An address of the node in the excluded range.
    excluded: &'static str,
}

pub const V4: Net = Net {
    family: '4',
    pods: ["10.77.1.2", "10.77.2.2"],
    nodes: ["10.77.1.1", "10.77.2.1"],
    services: ["10.96.0.1", "10.96.0.2"],
    excluded: "10.77.3.1",
};
pub const V6: Net = Net {
    family: '6',
    pods: ["fd77:1::2", "fd77:2::2"],
    nodes: ["fd77:1::1", "fd77:2::1"],
    services: ["fd96::1", "fd96::2"],
    excluded: "fd77:3::1",
};

impl Net {
    pub fn pod(&self, pod: usize) -> SocketAddr {
        at(self.pods[pod], APP)
    }

    /// The port of the pod that inbound capture leaves out.
    pub fn excluded_inbound(&self, pod: usize) -> SocketAddr {
        at(self.pods[pod], EXCLUDED_INBOUND)
    }

    pub fn node(&self, pod: usize) -> SocketAddr {
        at(self.nodes[pod], APP)
    }

    /// The port of the node that outbound capture leaves out.
    pub fn excluded_outbound(&self, pod: usize) -> SocketAddr {
        at(self.nodes[pod], EXCLUDED_OUTBOUND)
    }

    pub fn excluded_range(&self) -> SocketAddr {
        at(self.excluded, APP)
    }

    pub fn service(&self, pod: usize) -> SocketAddr {
        at(self.services[pod], 80)
    }

    pub fn inbound(&self, pod: usize) -> Hop {
        Hop { pod, listener: format!("inbound{}", self.family), to: self.pod(pod) }
    }

    pub fn outbound(&self, pod: usize, to: SocketAddr) -> Hop {
        Hop { pod, listener: format!("outbound{}", self.family), to }
    }

    /// The proxy of a pod that chooses an instance of a service.
    pub fn service_at(&self, pod: usize, of: usize) -> Hop {
        let to = self.service(of);
        Hop { pod, listener: format!("service {to}"), to }
    }
}

fn at(address: &str, port: u16) -> SocketAddr {
    (address.parse::<IpAddr>().expect("an address"), port).into()
}

pub const APP: u16 = 9000;
pub const EXCLUDED_INBOUND: u16 = 8081;
pub const EXCLUDED_OUTBOUND: u16 = 9001;
