//! Continuous connections while rules change, and who answered them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::{Listeners, Pod, REMOTE_V4, StopOnDrop, Who, connect, failure, read_answer};
use crate::support::patience::patience;
use crate::support::sys;

/// Outcomes of the connections of a load.
#[derive(Debug, Default)]
pub struct Load {
    /// Answered by the proxy.
    pub proxied: u64,
    /// Answered by the remote itself, bypassing the proxy.
    pub escaped: u64,
    /// Not answered.
    pub failed: u64,
    /// Connections made before the work began that no longer answered while it ran or after it.
    pub broken: u64,
    /// The first few answers that are not the proxy's, for the report of a test.
    pub samples: Vec<String>,
}

/// Opens connections from the app to the remote, continuously from `clients` threads, while `work`
/// runs in the pod.
///
/// The caller installs the rules that redirect before. `work` begins after every client was served
/// once and holds a connection open.
pub fn under_load<T: Send>(pod: &Pod, clients: usize, work: impl FnOnce() -> T + Send) -> (Load, T) {
    let remote = SocketAddr::from((REMOTE_V4, 9000));
    let load = Mutex::new(Load::default());
    let (stop, (started, starts)) = (AtomicBool::new(false), mpsc::channel());
    let client = || {
        pod.pod.enter();
        Who::App.assume();
        let mut held = connect(remote, None).expect("the remote, or the proxy for it, answers before the work begins");
        assert!(read_answer(&mut held).is_ok(), "the connection to hold was not answered");
        let mut held = Some(held);
        for round in 0_u64.. {
            let last = stop.load(Ordering::Relaxed); // before connecting: one round sees what the work left
            let answer = connect(remote, None).and_then(|mut stream| {
                let answer = read_answer(&mut stream);
                // Close with a reset: TIME_WAIT would use up the local ports within seconds.
                let linger = libc::linger { l_onoff: 1, l_linger: 0 };
                sys::set_option(&OwnedFd::from(stream), libc::SOL_SOCKET, libc::SO_LINGER, &linger)?;
                answer
            });
            let asked = last || round % 8 == 0;
            let broken = asked && held.take_if(|stream| !echoes(stream)).is_some();
            load.lock().expect("no client panics with the lock").count(answer, broken);
            if round == 0 {
                started.send(()).expect("the caller waits for all clients");
            }
            if last {
                break;
            }
        }
    };
    let done = pod.serving(Listeners::All, || {
        thread::scope(|scope| {
            let stop_at_last = StopOnDrop(&stop);
            let running: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            for _ in &running {
                starts.recv_timeout(patience(Duration::from_secs(20))).expect("every client was served once");
            }
            let done = pod.run(work);
            drop(stop_at_last);
            done
        })
    });
    (load.into_inner().expect("no client panics with the lock"), done)
}

impl Load {
    fn count(&mut self, answer: io::Result<String>, broken: bool) {
        let answer = answer.unwrap_or_else(|error| failure(&error));
        let counter = match answer.split(' ').next() {
            Some("ENVOY_OUT") => &mut self.proxied,
            Some("REMOTE") => &mut self.escaped,
            _ => &mut self.failed,
        };
        *counter += 1;
        self.broken += u64::from(broken);
        if !answer.starts_with("ENVOY_OUT") && self.samples.len() < 5 {
            self.samples.push(answer);
        }
    }
}

/// Returns whether a connection that was answered before still passes bytes both ways.
fn echoes(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"?").and_then(|()| stream.read_exact(&mut byte)).is_ok() && byte == *b"?"
}
