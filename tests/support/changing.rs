//! Connections while the rules of a pod change: each must be answered by the proxy.

#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nftmesh::kernel::NetNs;
use nftmesh::mesh::Mesh;
use nftmesh::pod::Pod;

use crate::support::patience::patience;
use crate::support::{ip, say};

/// Makes an interface with an address, whose neighbours answer nothing.
pub fn with_an_address() {
    ip("link add out0 type veth peer name out1");
    ip("link set out1 up");
    ip("addr add 10.77.0.2/24 dev out0");
    ip("link set out0 up");
}

/// Installs one configuration after the other, 60 times, each twice in a row as by an init
/// container that runs again, while connections are made to a neighbour that is not there: past the
/// proxy there is no answer.
#[track_caller]
pub fn none_passes_while_changing(configs: &[impl Mesh]) {
    let first = configs.first().expect("a configuration");
    let proxy = SocketAddr::from(([127, 0, 0, 1], first.outbound_port().expect("a port")));
    let listener = TcpListener::bind(proxy).expect("the port is free");
    let mut pod = Pod::open().expect("netlink sockets");
    pod.install(first).expect("it installs");
    let (done, place) = (AtomicBool::new(false), NetNs::current().expect("a namespace"));
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            place.run(|| {
                let mut connections = 0;
                while !done.load(Ordering::Relaxed) {
                    let to = SocketAddr::from(([10, 77, 0, 9], 9000));
                    let stream = TcpStream::connect_timeout(&to, patience(Duration::from_secs(10)));
                    drop(stream.expect("the proxy answers every connection"));
                    connections += 1;
                }
                connections
            })
        });
        scope.spawn(|| {
            for stream in listener.incoming() {
                drop(stream.expect("a connection"));
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let rounds = configs.iter().flat_map(|config| [config, config]).cycle().take(60);
        let changed = rounds.map(|config| pod.install(config).map(drop)).collect::<nftmesh::Result<Vec<()>>>();
        done.store(true, Ordering::Relaxed);
        let connections = client.join().expect("the client").expect("its namespace");
        // Wakes the listener.
        drop(TcpStream::connect(proxy));
        changed.expect("it installs");
        say(format_args!("{connections} connections while rules changed 60 times"));
    });
}
