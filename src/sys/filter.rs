//! A socket filter (classic BPF) that drops what some sockets caused, so that it never takes room
//! in the receive buffer.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Drops every datagram whose first message has one of these numbers in `nlmsg_pid`, and replaces
/// an earlier filter.
///
/// A datagram only contains events of one commit, so its first message stands for all:
/// nft_commit_notify, net/netfilter/nf_tables_api.c, v6.12.
pub(super) fn leave_out(fd: BorrowedFd<'_>, ports: &[u32]) -> io::Result<()> {
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let mut program = vec![statement(LOAD_WORD, NLMSG_PID)];
    for port in ports {
        // A load swaps the bytes from network to host order.
        let k = u32::from_be_bytes(port.to_ne_bytes());
        program.push(libc::sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: 1, k });
        program.push(statement(RETURN, 0));
    }
    program.push(statement(RETURN, u32::MAX));
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let filter = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    let length = size_of_val(&filter) as libc::socklen_t;
    // SAFETY: the kernel reads one sock_fprog and, through its pointer, `len` instructions, all
    // live; it keeps a copy.
    let code = unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, (&raw const filter).cast(), length)
    };
    super::check(code).map(drop)
}

/// Offset of `nlmsg_pid` in `struct nlmsghdr`.
const NLMSG_PID: u32 = 12;
// include/uapi/linux/filter.h and bpf_common.h
/// `BPF_LD | BPF_W | BPF_ABS`
const LOAD_WORD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`
const RETURN: u16 = 0x06;
