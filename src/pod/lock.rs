//! A lock for one writer per network namespace. Rules are replaced atomically, but rules and
//! routes together are not.
//!
//! The lock is an abstract unix socket. Its name exists once per network namespace, regardless of
//! the mounts, users or processes of a container; it needs no privilege, file or kernel version,
//! and disappears with its holder, even after `kill -9`. A second socket, whose name
//! `/proc/net/unix` shows, reports who the holder is and how long it intends to hold the lock,
//! across process namespaces too.
//!
//! Any process that may open a socket in the namespace can take the name. That blocks writers, but
//! never rules: installed rules stay in force, and the error names process and user of the holder.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::{Duration, Instant};
use std::{fmt, fs, io, thread};

use crate::error::{Error, Kind, Result};
use crate::sys::abstract_socket::{self, Peer};

/// The right to write, held as long as this value lives.
#[derive(Debug)]
pub(super) struct WriterLock {
    // Dropped in this order, so that the announcement is not attributed to the next holder.
    _announced: Option<UnixDatagram>,
    _held: UnixListener,
}

/// How long a holder intends to hold the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// As long as the process lives; waiting is pointless.
    ForLife,
    /// For one piece of work.
    ForNow,
}

impl WriterLock {
    /// Takes the lock of the calling thread's network namespace. Waits for a holder that is
    /// working, but no longer than `patience`, and for one after the other no longer than
    /// [`QUEUE`] times that.
    ///
    /// # Errors
    /// [`is_conflict`](Error::is_conflict), with the holder's name, when the lock stays taken.
    pub(super) fn take(hold: Hold, patience: Duration) -> Result<Self> {
        let begun = Instant::now();
        let (mut holder, mut since) = (Holder::default(), begun);
        loop {
            match abstract_socket::listen(LOCK) {
                Ok(held) => {
                    // A lock without an announcement is still a lock.
                    let announced = abstract_socket::announce(hold.announcement().as_bytes()).ok();
                    return Ok(WriterLock { _announced: announced, _held: held });
                }
                Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => {}
                Err(cause) => return Err(Error::io("take the lock of the network namespace", cause)),
            }
            holder.look();
            let now = Instant::now();
            let left = match left(patience, now - begun, now - since) {
                Some(left) if holder.hold != Some(Hold::ForLife) => left,
                _ => return Err(Error::new(Kind::Conflict, holder.refusal(patience, now - since))),
            };
            let Some(connection) = &holder.connection else {
                thread::sleep(left.min(ABOUT_TO_LISTEN));
                continue;
            };
            // Wakes up now and then: a holder may announce only later that it holds the lock for
            // life.
            let is_gone = abstract_socket::wait_for_hangup(connection.as_fd(), left.min(LOOK_AGAIN))
                .map_err(|cause| Error::io("wait for the lock of the network namespace", cause))?;
            if is_gone {
                (holder, since) = (Holder::default(), Instant::now());
            }
        }
    }
}

impl Hold {
    fn announcement(self) -> String {
        let word = match self {
            Hold::ForLife => FOR_LIFE,
            Hold::ForNow => FOR_NOW,
        };
        // The process id distinguishes the name from that of a holder that is about to exit.
        format!("{ANNOUNCED}{word}{}/{}", std::process::id(), command())
    }
}

/// What is known of the holder of the lock.
#[derive(Debug, Default)]
struct Holder {
    /// Closed when the holder releases the lock.
    connection: Option<OwnedFd>,
    peer: Option<Peer>,
    hold: Option<Hold>,
    /// The name it announces.
    command: Option<String>,
}

impl Holder {
    /// Connects to the holder, once, and reads what it announces now.
    fn look(&mut self) {
        if self.connection.is_none() {
            self.connection = abstract_socket::connect(LOCK).ok();
            self.peer = self.connection.as_ref().and_then(|socket| abstract_socket::peer(socket.as_fd()).ok());
        }
        // The sockets of this thread's namespace: proc_pid_net(5).
        let sockets = fs::read("/proc/thread-self/net/unix").unwrap_or_default();
        (self.hold, self.command) = announced(&String::from_utf8_lossy(&sockets)).unzip();
    }

    /// Says why `patience` is over, `here` after this holder was first seen.
    fn refusal(&self, patience: Duration, here: Duration) -> String {
        let what = "the rules and routes of this network namespace";
        match self.hold {
            Some(Hold::ForLife) => {
                format!("{what} are kept by {self} for as long as it runs; stop it first")
            }
            Some(Hold::ForNow) | None if here >= patience => {
                let waited = patience.as_secs();
                format!("{self} has been at work on {what} for {waited} s; see what holds it up, or end it")
            }
            Some(Hold::ForNow) | None => {
                let waited = patience.saturating_mul(QUEUE).as_secs();
                format!("one writer after the other, now {self}, has been at work on {what} for {waited} s; try again")
            }
        }
    }
}

/// Returns how long to wait for a holder that has been there for the time `here`, after a wait of
/// `all` for it and those before it; `None` when patience is over.
fn left(patience: Duration, all: Duration, here: Duration) -> Option<Duration> {
    let left = patience.saturating_sub(here).min(patience.saturating_mul(QUEUE).saturating_sub(all));
    (!left.is_zero()).then_some(left)
}

/// `guard (pid 4711, uid 0)`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // For a holder that announced nothing, the kernel still knows the process.
        let known = || self.peer.and_then(|peer| fs::read_to_string(format!("/proc/{}/comm", peer.pid)).ok());
        let command = self.command.clone().or_else(|| known().map(|name| name.trim_end().to_owned()));
        write!(f, "{}", command.as_deref().unwrap_or("somebody").escape_debug())?;
        match self.peer {
            Some(Peer { pid: 0, uid }) => write!(f, " (in another process namespace, uid {uid})"),
            Some(Peer { pid, uid }) => write!(f, " (pid {pid}, uid {uid})"),
            None => Ok(()),
        }
    }
}

/// Finds the announcement in `/proc/net/unix`, where `@` stands for the zero byte that begins an
/// abstract name.
fn announced(sockets: &str) -> Option<(Hold, String)> {
    sockets.lines().find_map(|line| {
        let (_, text) = line.split_once(&format!(" @{ANNOUNCED}"))?;
        let life = text.strip_prefix(FOR_LIFE).map(|who| (Hold::ForLife, who));
        let (hold, who) = life.or_else(|| text.strip_prefix(FOR_NOW).map(|who| (Hold::ForNow, who)))?;
        let (_pid, command) = who.split_once('/')?;
        Some((hold, command.to_owned()))
    })
}

/// Returns the name of this program, at most 15 bytes: proc_pid_comm(5).
fn command() -> String {
    fs::read_to_string("/proc/self/comm").map_or_else(|_| "nftmesh".to_owned(), |name| name.trim_end().to_owned())
}

const LOCK: &[u8] = b"nftmesh/writer";
const ANNOUNCED: &str = "nftmesh/writer/";
const FOR_LIFE: &str = "for-life/";
const FOR_NOW: &str = "for-now/";
/// How many holders one waits for, each of which uses up all patience.
const QUEUE: u32 = 6;
/// Only one system call separates taking a name from listening on it.
const ABOUT_TO_LISTEN: Duration = Duration::from_millis(5);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_namespace;

    const LONG: Duration = Duration::from_secs(60);

    fn refused(patience: Duration) -> String {
        let error = WriterLock::take(Hold::ForNow, patience).expect_err("it is held");
        assert!(error.is_conflict(), "{error}");
        error.to_string()
    }

    #[test]
    fn a_holder_for_life_is_named_without_waiting() {
        in_namespace(|| {
            let _held = WriterLock::take(Hold::ForLife, LONG).expect("it is free");
            let whose = format!("{} (pid {}, uid ", command().escape_debug(), std::process::id());
            let printed = refused(LONG);
            assert!(
                printed.contains(&whose) && printed.ends_with("for as long as it runs; stop it first"),
                "{printed}"
            );
            in_namespace(|| drop(WriterLock::take(Hold::ForNow, Duration::ZERO).expect("another namespace")));
        });
    }

    #[test]
    fn the_lock_needs_no_capability() {
        in_namespace(|| {
            crate::testing::as_nobody(|| drop(WriterLock::take(Hold::ForNow, Duration::ZERO).expect("free")))
        });
    }

    #[test]
    fn a_holder_at_work_is_waited_for_and_named_on_timeout() {
        in_namespace(|| {
            let held = WriterLock::take(Hold::ForNow, LONG).expect("it is free");
            let printed = refused(Duration::from_millis(20));
            assert!(
                printed.contains(" has been at work on the rules and routes of this network namespace for 0 s"),
                "{printed}"
            );
            thread::scope(|scope| {
                let waiting = scope.spawn(|| {
                    // A thread starts in its parent's namespace.
                    WriterLock::take(Hold::ForNow, LONG).map(drop)
                });
                thread::sleep(Duration::from_millis(20));
                drop(held);
                waiting.join().expect("no panic").expect("it is free again");
            });
        });
    }

    #[test]
    fn patience_is_with_one_holder_and_bounded_for_many() {
        let seconds = |number| Duration::from_secs(number);
        for (all, here, expected) in [
            (0, 0, Some(10)),
            (9, 9, Some(1)),
            (10, 10, None),
            // It has just taken over.
            (10, 0, Some(10)),
            (55, 1, Some(5)),
            (60, 0, None),
        ] {
            assert_eq!(left(seconds(10), seconds(all), seconds(here)), expected.map(seconds), "{all} {here}");
        }
        let holder = Holder { hold: Some(Hold::ForNow), command: Some("x".to_owned()), ..Holder::default() };
        let printed = holder.refusal(seconds(10), seconds(10));
        assert!(printed.starts_with("x has been at work on ") && printed.contains(" for 10 s; "), "{printed}");
        let printed = holder.refusal(seconds(10), seconds(2));
        assert!(
            printed.starts_with("one writer after the other, now x, ") && printed.contains(" for 60 s; "),
            "{printed}"
        );
    }

    #[test]
    fn a_holder_that_announced_nothing_is_named_by_its_pid() {
        in_namespace(|| {
            let _squatter = abstract_socket::listen(LOCK).expect("it is free");
            let printed = refused(Duration::ZERO);
            assert!(printed.contains(&format!(" (pid {}, uid ", std::process::id())), "{printed}");
        });
    }

    #[test]
    fn the_announced_name_of_a_holder_is_read_from_proc_net_unix() {
        let line = "0000: 00000002 00000000 00000000 0002 01 20021";
        for (name, expected) in [
            ("@nftmesh/writer/for-life/7/guard", Some((Hold::ForLife, "guard".to_owned()))),
            ("@nftmesh/writer/for-now/8/a b/c", Some((Hold::ForNow, "a b/c".to_owned()))),
            ("@nftmesh/writer/for-now/guard", None),
            ("@nftmesh/writer/otherwise/x", None),
            ("@nftmesh/writer", None),
            ("/run/nftmesh/writer/for-life/7/file", None),
        ] {
            assert_eq!(announced(&format!("Num RefCount\n{line}\n{line} {name}\n")), expected, "{name}");
        }
        let shown = Holder { command: Some("\u{1b}[2J".to_owned()), ..Holder::default() }.to_string();
        assert_eq!(shown, "\\u{1b}[2J");
    }
}
