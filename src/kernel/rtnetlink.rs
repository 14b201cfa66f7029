//! Requests to rtnetlink(7): acknowledged changes, and dumps. Calls block only briefly: the kernel
//! works inside send, so an answer is queued when send returns; a missing answer is an error, not
//! a reason to wait.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkMessage, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;

use crate::error::{Error, Kind};
use crate::sys::scratch::Scratch;
use crate::sys::socket::{Bus, NetlinkSocket, Wait};

/// A route socket and what it needs to match answers to requests.
#[derive(Debug)]
pub(crate) struct Rtnetlink {
    socket: NetlinkSocket,
    sequence: u32,
}

/// A refusal by the kernel, or a failure to reach it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the kernel's answer is not understood: {0}")]
    Malformed(String),
    /// A positive errno, and the kernel's message if there is one (`NLMSGERR_ATTR_MSG`).
    #[error("{}{}", io::Error::from_raw_os_error(*.errno), .words.as_ref().map(|words| format!(", {words}")).unwrap_or_default())]
    Refused { errno: i32, words: Option<String> },
    #[error("the kernel sent no answer")]
    Silent,
    #[error("changed by others during each of {DUMP_ATTEMPTS} attempts to read")]
    Unstable,
}

/// Returns an error with what could not be read, and why.
pub(super) fn unreadable(what: &str, failure: &Failure) -> Error {
    let kind = match failure {
        Failure::Refused { errno, .. } => Kind::of_errno(*errno),
        Failure::Unstable => Kind::Conflict,
        Failure::Io(_) | Failure::Malformed(_) | Failure::Silent => Kind::Other,
    };
    Error::new(kind, format!("read the {what} in the network namespace: {failure}"))
}

impl Rtnetlink {
    /// Opens a socket in the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = NetlinkSocket::open(Bus::Route)?;
        match socket.filter_dumps() {
            // Linux before 4.20 sends everything; callers check each object anyway.
            Err(error) if error.raw_os_error() != Some(libc::ENOPROTOOPT) => return Err(error),
            _ => {}
        }
        Ok(Rtnetlink { socket, sequence: 0 })
    }

    /// Sends one request that changes something and returns the kernel's answer.
    pub(crate) fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Failure> {
        self.exchange(message, NLM_F_ACK | flags, |_| Ok(())).map(drop)
    }

    /// Sends a request for one object and passes it (without netlink header) to `read`.
    pub(crate) fn query(
        &mut self,
        message: RouteNetlinkMessage,
        read: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.exchange(message, NLM_F_ACK, read).map(drop)
    }

    /// Sends a dump request and passes each object to `each`, in the kernel's order. Starts again
    /// with a fresh `T` when the kernel reports an interruption.
    pub(crate) fn dump<T: Default>(
        &mut self,
        request: RouteNetlinkMessage,
        mut each: impl FnMut(&mut T, &[u8]) -> Result<(), Failure>,
    ) -> Result<T, Failure> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut result = T::default();
            if self.exchange(request.clone(), NLM_F_DUMP, |object| each(&mut result, object))? == Answer::Whole {
                return Ok(result);
            }
        }
        Err(Failure::Unstable)
    }

    /// Sends one request and reads the objects of its answer and the final acknowledgement or end
    /// of dump.
    fn exchange(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Answer, Failure> {
        let sequence = self.send(request, NLM_F_REQUEST | flags)?;
        let mut answer = Answer::Whole;
        // Always read to the end: leftovers would disturb the next request.
        let mut failure = None;
        let mut memory = Scratch::lent();
        loop {
            let datagram = self.socket.recv(&mut memory, Wait::DontWait)?.ok_or(Failure::Silent)?;
            for message in messages(datagram) {
                let message = message?;
                if message.sequence != sequence {
                    continue;
                }
                if message.flags & NLM_F_DUMP_INTR != 0 {
                    answer = Answer::Interrupted;
                }
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => {
                        acknowledgement(&message)?;
                        return failure.map_or(Ok(answer), Err);
                    }
                    _ => failure = failure.or_else(|| each(message.payload).err()),
                }
            }
        }
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<u32, Failure> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes)?;
        Ok(self.sequence)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Interrupted,
    Whole,
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

/// Returns the messages of one datagram; a length that does not fit ends them with an error.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Failure>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let here = std::mem::take(&mut rest);
        let header = match NetlinkBuffer::new_checked(here) {
            Ok(header) => header,
            Err(error) => return Some(Err(Failure::Malformed(error.to_string()))),
        };
        let length = header.length() as usize;
        rest = here.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Message {
            kind: header.message_type(),
            flags: header.flags(),
            sequence: header.sequence_number(),
            payload: here.get(HEADER..length).unwrap_or_default(),
        }))
    })
}

/// Decodes `struct nlmsgerr`: errno, negative; the header of the request; extended
/// acknowledgement.
fn acknowledgement(message: &Message<'_>) -> Result<(), Failure> {
    let Some((errno, rest)) = message.payload.split_first_chunk() else {
        return Err(Failure::Malformed(format!("an acknowledgement of {} bytes", message.payload.len())));
    };
    match i32::from_ne_bytes(*errno) {
        0 => Ok(()),
        errno => Err(Failure::Refused { errno: -errno, words: words(message, rest) }),
    }
}

fn words(message: &Message<'_>, rest: &[u8]) -> Option<String> {
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    // NETLINK_CAP_ACK is on, so only the header of the request is repeated. The end of a dump
    // repeats nothing.
    let skip = if message.kind == NLMSG_ERROR { HEADER } else { 0 };
    NlasIterator::new(rest.get(skip..)?)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)
        .map(|attribute| String::from_utf8_lossy(attribute.value()).trim_end_matches('\0').to_owned())
}

/// Size of `struct nlmsghdr`.
const HEADER: usize = 16;
/// How often others may interrupt a dump before it is an error.
const DUMP_ATTEMPTS: u32 = 16;
/// include/uapi/linux/netlink.h
const NLMSGERR_ATTR_MSG: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_with_a_wrong_length_is_an_error() {
        let whole = [20, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(messages(&whole).filter(Result::is_ok).count(), 1);
        for length in 1..whole.len() {
            let cut = whole.get(..length).expect("is shorter");
            assert!(messages(cut).all(|message| message.is_err()), "{length}");
        }
        for lie in [0, 15, 21, 255] {
            let mut bytes = whole;
            bytes[0] = lie;
            assert!(messages(&bytes).all(|message| message.is_err()), "{lie}");
        }
    }

    #[test]
    fn the_extended_ack_message_is_in_the_error() {
        let mut payload = vec![0xea, 0xff, 0xff, 0xff];
        payload.extend([0; HEADER]);
        payload.extend([8, 0, 1, 0, b'n', b'o', b'!', 0]);
        let message = Message { kind: NLMSG_ERROR, flags: NLM_F_ACK_TLVS, sequence: 1, payload: &payload };
        let failure = acknowledgement(&message).expect_err("is a refusal");
        assert_eq!(failure.to_string(), "Invalid argument (os error 22), no!");
    }
}
