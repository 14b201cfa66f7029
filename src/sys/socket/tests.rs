//! Tests against the real kernel: what netlink(7) promises, and the sizes it does not mention.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::testing::in_namespace;

/// `NLMSG_NOOP` with `NLM_F_REQUEST | NLM_F_ACK`: below `NLMSG_MIN_TYPE`, so the kernel
/// acknowledges and does nothing.
fn noop(length: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).expect("fits").to_ne_bytes());
    message.extend(1u16.to_ne_bytes());
    message.extend(5u16.to_ne_bytes());
    message.extend([7, 0, 0, 0, 0, 0, 0, 0]);
    message.resize(length, 0);
    message
}

#[test]
fn a_request_is_answered_at_once_and_then_the_queue_is_empty() {
    in_namespace(|| {
        let socket = NetlinkSocket::open(Bus::Route).expect("opens");
        let mut buffer = Vec::new();
        assert_eq!(socket.recv(&mut buffer, Wait::DontWait).expect("empty"), None);
        socket.send(&noop(16)).expect("sent");
        // NLMSG_ERROR with errno 0 and the header of the request.
        let answer = socket.recv(&mut buffer, Wait::Block).expect("received").expect("there is one");
        assert_eq!(answer.len(), 36);
        assert_eq!(answer.get(4..6), Some(&2u16.to_ne_bytes()[..]));
        assert_eq!(answer.get(16..20), Some(&[0; 4][..]));
        assert_eq!(socket.recv(&mut buffer, Wait::DontWait).expect("empty"), None);
    });
}

#[test]
fn the_answer_to_a_long_request_does_not_repeat_it() {
    in_namespace(|| {
        let socket = NetlinkSocket::open(Bus::Route).expect("opens");
        let mut request = noop(4096);
        // RTM_NEWROUTE of family 255, refused.
        if let Some(kind) = request.get_mut(4..6) {
            kind.copy_from_slice(&24u16.to_ne_bytes());
        }
        if let Some(family) = request.get_mut(16) {
            *family = 255;
        }
        socket.send(&request).expect("sent");
        let mut buffer = Vec::new();
        let answer = socket.recv(&mut buffer, Wait::Block).expect("received").expect("there is one");
        assert!(answer.len() < 512, "NETLINK_CAP_ACK is off: {} bytes", answer.len());
    });
}

#[test]
fn a_send_may_have_exactly_the_bytes_that_are_allowed() {
    in_namespace(|| {
        for bytes in [1000, 212_961, 1_000_001, 5_000_000] {
            let socket = NetlinkSocket::open(Bus::Route).expect("opens");
            let allowed = socket.ensure_send_buffer(bytes).expect("is set");
            assert!(allowed >= bytes.min(212_960), "{bytes} asked for, {allowed} allowed");
            socket.send(&noop(allowed)).expect("what is allowed goes");
            let error = socket.send(&noop(allowed + 1)).expect_err("one more does not");
            assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
            assert!(socket.ensure_send_buffer(10).expect("is kept") >= allowed, "a buffer never shrinks");
        }
    });
}

#[test]
fn the_receive_buffer_has_the_requested_size() {
    in_namespace(|| {
        let socket = NetlinkSocket::open(Bus::Route).expect("opens");
        for bytes in [8_192, 400_000, 20_000] {
            assert_eq!(socket.set_receive_buffer(bytes).expect("is set"), bytes);
        }
    });
}

#[test]
fn events_of_sockets_that_are_left_out_do_not_arrive() {
    in_namespace(|| {
        let events = NetlinkSocket::open(Bus::Usersock).expect("opens");
        events.leave_out(&[7, 11]).expect("is set");
        let [from, to] = [events.port_id(), 0].map(u32::to_ne_bytes);
        let mut buffer = Vec::new();
        for (port, arrives) in [(7u32, false), (8, true), (11, false), (0x0700_0000, true), (0, true)] {
            let mut message = noop(16);
            message.splice(12.., port.to_ne_bytes());
            let address = [[16, 0, 0, 0], from, to].concat();
            let sender = NetlinkSocket::open(Bus::Usersock).expect("opens");
            // SAFETY: the message and the address are live and their lengths are given.
            let sent = unsafe {
                let (bytes, name) = (message.as_ptr().cast(), address.as_ptr().cast());
                libc::sendto(sender.as_fd().as_raw_fd(), bytes, message.len(), 0, name, 12)
            };
            let arrived = events.receive(&mut buffer, libc::MSG_DONTWAIT).is_ok();
            assert_eq!((sent, arrived), (16, arrives), "{port}");
        }
    });
}

#[test]
fn a_datagram_longer_than_the_buffer_is_not_cut() {
    in_namespace(|| {
        // Without NETLINK_CAP_ACK a refusal repeats the whole request.
        let socket = NetlinkSocket::open(Bus::Route).expect("opens");
        super::super::set_option(socket.as_fd(), libc::SOL_NETLINK, NETLINK_CAP_ACK, 0).expect("is set");
        let mut request = noop(100_000);
        if let Some(kind) = request.get_mut(4..6) {
            kind.copy_from_slice(&24u16.to_ne_bytes());
        }
        if let Some(family) = request.get_mut(16) {
            *family = 255;
        }
        socket.send(&request).expect("sent");
        let mut buffer = vec![0; 10];
        let answer = socket.recv(&mut buffer, Wait::Block).expect("received").expect("there is one");
        assert!(answer.len() >= 100_000, "cut to {}", answer.len());
    });
}

#[test]
fn datagrams_from_other_processes_are_ignored() {
    in_namespace(|| {
        let socket = NetlinkSocket::open(Bus::Usersock).expect("opens");
        let other = NetlinkSocket::open(Bus::Usersock).expect("opens");
        let mut to = [0u8; 12];
        for (byte, value) in to
            .iter_mut()
            .zip(16u16.to_ne_bytes().into_iter().chain([0, 0]).chain(socket.port_id().to_ne_bytes()).chain([0; 4]))
        {
            *byte = value;
        }
        let message = noop(16);
        // SAFETY: the message and the address are live and their lengths are given.
        let sent = unsafe {
            libc::sendto(other.as_fd().as_raw_fd(), message.as_ptr().cast(), message.len(), 0, to.as_ptr().cast(), 12)
        };
        assert_eq!(sent, 16, "{}", io::Error::last_os_error());
        let mut buffer = Vec::new();
        assert_eq!(socket.recv(&mut buffer, Wait::DontWait).expect("received"), None);
        // It was queued, and was discarded.
        let error = socket.receive(&mut [], libc::MSG_DONTWAIT).map(drop).expect_err("nothing is left");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_group_delivers_the_events_of_this_namespace() {
    in_namespace(|| {
        let events = NetlinkSocket::open(Bus::Route).expect("opens");
        // RTNLGRP_LINK
        events.join(1).expect("joins");
        crate::testing::ip("link set lo up");
        let mut buffer = Vec::new();
        let event = events.recv(&mut buffer, Wait::DontWait).expect("received").expect("there is one");
        // RTM_NEWLINK
        assert_eq!(event.get(4..6), Some(&16u16.to_ne_bytes()[..]));
    });
}

#[test]
fn no_child_process_inherits_a_socket() {
    // Sockets that this program inherited are inherited again.
    let inherited = sockets("self");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                drop(NetlinkSocket::open(Bus::Netfilter).expect("opens"));
            }
        });
        for _ in 0..200 {
            // The child waits for its standard input to end.
            let mut child =
                Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat is there");
            let held = sockets(&child.id().to_string());
            drop(child.stdin.take());
            child.wait().expect("a child that was started can be waited for");
            let held: Vec<_> = held.iter().filter(|socket| !inherited.contains(socket)).collect();
            if !held.is_empty() {
                done.store(true, Ordering::Relaxed);
                panic!("a child holds {held:?}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Returns the sockets that a process holds, as `socket:[inode]`.
fn sockets(process: &str) -> Vec<String> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).expect("a process of ours");
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let links = links.map(|link| link.to_string_lossy().into_owned());
    links.filter(|link| link.starts_with("socket:")).collect()
}

#[test]
fn a_wait_continues_after_a_signal() {
    in_namespace(|| {
        let events = NetlinkSocket::open(Bus::Route).expect("opens");
        // RTNLGRP_LINK
        events.join(1).expect("joins");
        let mut buffer = Vec::new();
        crate::sys::signal::interrupted(|signals| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let many = || signals() > 100;
                    assert!(crate::support::patience::comes_true(many), "signals arrive");
                    crate::testing::ip("link set lo up");
                });
                let event = events.recv(&mut buffer, Wait::Block).expect("received").expect("there is one");
                assert_eq!(event.get(4..6), Some(&16u16.to_ne_bytes()[..]));
            });
        });
    });
}
