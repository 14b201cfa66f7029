//! The users of connections: on Linux a user is a property of a thread, so one program can be app,
//! proxy and remote at once.

use std::{fmt, io, thread};

use nftmesh::mesh::istio::Interception;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

/// The party that opens a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    App,
    Proxy,
    Remote,
}

/// The users that are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Users {
    All,
    /// Everything runs as root of a user namespace.
    One,
}

/// The user and the group that a thread runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    uid: u32,
    gid: u32,
    capabilities: CapabilitySet,
}

impl Users {
    /// Tries to become each user, on short-lived threads.
    pub(crate) fn find() -> Users {
        let can_be = |who| {
            let id = Users::All.id(who, Interception::Redirect);
            thread::spawn(move || id.assume()).join().is_ok_and(|outcome| outcome.is_ok())
        };
        if can_be(Who::App) && can_be(Who::Proxy) { Users::All } else { Users::One }
    }

    /// Returns the user. With TPROXY, Istio runs its proxy as uid 0 and identifies it by its
    /// group: rules that identified it by its user would take its connections in a client's name
    /// for calls of its own.
    pub(crate) fn id(self, who: Who, mode: Interception) -> Id {
        let transparent = mode == Interception::Tproxy;
        let capabilities = CapabilitySet::empty();
        match (self, who) {
            (Users::One, _) | (_, Who::Remote) => Id { uid: 0, gid: 0, capabilities: CapabilitySet::all() },
            (Users::All, Who::App) => Id { uid: 1000, gid: 1000, capabilities },
            (Users::All, Who::Proxy) if transparent => Id { uid: 0, gid: 1337, capabilities: CapabilitySet::NET_ADMIN },
            (Users::All, Who::Proxy) => Id { uid: 1337, gid: 1337, capabilities },
        }
    }
}

impl Id {
    /// Makes this thread, and those it starts, run as this user, permanently.
    pub(crate) fn assume(self) -> io::Result<()> {
        let Id { uid, gid, capabilities } = self;
        if (uid, gid) == (0, 0) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        set_keep_capabilities(true)?;
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        let (effective, permitted) = (capabilities, capabilities);
        Ok(set_capabilities(None, CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() })?)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Id { uid, gid, capabilities: _ } = self;
        f.pad(&format!("{uid}:{gid}"))
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Who::App => "app",
            Who::Proxy => "proxy",
            Who::Remote => "remote",
        })
    }
}
