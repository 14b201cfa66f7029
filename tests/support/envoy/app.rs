//! Applications that say who reached them and pass on what they are asked to, and their clients.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::patience::patience;
use crate::support::{NetNs, sys};
use crate::traffic::Who;

/// An application; it ends with this value.
#[derive(Debug)]
pub struct App {
    taken: Arc<Mutex<Vec<(SocketAddr, SocketAddr)>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl App {
    /// Listens in a namespace, on these ports of both families, and answers with this name.
    pub fn start(namespace: &NetNs, who: Who, name: &str, ports: [u16; 2]) -> App {
        let (taken, stop) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let sockets = namespace.run(|| {
            who.assume();
            let addresses = ["0.0.0.0", "::"].map(|any| any.parse::<IpAddr>().expect("an address"));
            let ends = addresses.into_iter().flat_map(|any| ports.map(|port| SocketAddr::from((any, port))));
            ends.map(|end| listen(end).unwrap_or_else(|error| panic!("{end}: {error}"))).collect::<Vec<_>>()
        });
        let threads = sockets.into_iter().map(|socket| {
            let (taken, stop, name) = (Arc::clone(&taken), Arc::clone(&stop), name.to_owned());
            let namespace = namespace.file.try_clone().expect("a descriptor can be copied");
            thread::spawn(move || {
                // What it asks others is asked by its threads, too.
                sys::set_net(&namespace).expect("a namespace of this test");
                who.assume();
                while !stop.load(Ordering::Relaxed) {
                    let Ok((stream, peer)) = socket.accept() else { continue };
                    let local = stream.local_addr().expect("it is connected");
                    taken.lock().expect("no thread panics with the lock").push((local, peer));
                    let name = name.clone();
                    thread::spawn(move || drop(answer(stream, &name, local, peer)));
                }
            })
        });
        let threads = threads.collect();
        App { taken, stop, threads }
    }

    /// Returns the connections that it has taken since this was asked last: its own end, and the
    /// other one.
    pub fn taken(&self) -> Vec<(SocketAddr, SocketAddr)> {
        std::mem::take(&mut *self.taken.lock().expect("no thread panics with the lock"))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = sys::socket(address, libc::SOCK_STREAM)?;
    sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &sys::ON)?;
    // accept() returns this often to check whether to stop.
    let tick = libc::timeval { tv_sec: 0, tv_usec: 50_000 };
    sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &tick)?;
    sys::bind(&socket, address)?;
    sys::listen(&socket)?;
    Ok(socket.into())
}

/// Reads one line: empty, or where to ask next. Answers `NAME LOCAL PEER`, then the local end of
/// the connection that it made and the answer there.
fn answer(mut stream: TcpStream, name: &str, local: SocketAddr, peer: SocketAddr) -> io::Result<()> {
    // Accepted sockets inherit the tick.
    stream.set_read_timeout(Some(patience(PATIENCE)))?;
    let mut line = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut line)?;
    let mut said = format!("{name} {local} {peer}");
    if let Ok(next) = line.trim().parse() {
        match ask(next, None, PATIENCE) {
            Ok((from, answer)) => said.push_str(&format!(" {from} {answer}")),
            Err(error) => said.push_str(&format!(" failed {error}")),
        }
    }
    said.push('\n');
    stream.write_all(said.as_bytes())?;
    // Waits for the client to close, so that the server has no TIME_WAIT.
    drop(stream.read(&mut [0]));
    Ok(())
}

/// An answer to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The client's own end.
    pub from: SocketAddr,
    /// The name of the application that answered.
    pub name: String,
    /// The end of the application.
    pub local: SocketAddr,
    /// Who connected, as the application sees it.
    pub peer: SocketAddr,
    /// The answer to the connection that the application made.
    pub onward: Option<Box<Answer>>,
}

impl Answer {
    fn parse(from: SocketAddr, line: &str) -> Option<Answer> {
        let mut words = line.splitn(5, ' ');
        let name = words.next()?.to_owned();
        let (local, peer) = (words.next()?.parse().ok()?, words.next()?.trim().parse().ok()?);
        let onward = match words.next() {
            None => None,
            Some(from) => Some(Box::new(Answer::parse(from.parse().ok()?, words.next()?)?)),
        };
        Some(Answer { from, name, local, peer, onward })
    }
}

/// Connects once, and asks the application to ask `next`.
///
/// # Errors
/// What failed, in words.
pub fn call(
    namespace: &NetNs,
    who: Who,
    to: SocketAddr,
    next: Option<SocketAddr>,
    limit: Duration,
) -> Result<Answer, String> {
    namespace.run(|| {
        who.assume();
        let (from, line) = ask(to, next, limit).map_err(|error| error.to_string())?;
        Answer::parse(from, &line).ok_or_else(|| format!("answered {line:?}"))
    })
}

/// Connects in this thread's namespace; returns the own end and the answer.
pub fn ask(to: SocketAddr, next: Option<SocketAddr>, limit: Duration) -> io::Result<(SocketAddr, String)> {
    let limit = patience(limit);
    let mut stream = TcpStream::connect_timeout(&to, limit)?;
    stream.set_read_timeout(Some(limit))?;
    let from = stream.local_addr()?;
    stream.write_all(format!("{}\n", next.map(|next| next.to_string()).unwrap_or_default()).as_bytes())?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::Error::other("closed without an answer"));
    }
    Ok((from, line.trim_end().to_owned()))
}

/// Long enough for an answer on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);
