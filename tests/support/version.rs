//! Features of the running kernel, by its version.

use std::fs;
use std::path::Path;

/// Major and minor number of a version of Linux.
pub type Version = (u32, u32);

/// Returns the running version.
pub fn linux() -> Version {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("every Linux has a release");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    (numbers.next().expect("a major number"), numbers.next().expect("a minor number"))
}

/// Returns false, after a printed SKIP, on a kernel older than `since`, the first version that has
/// `what`.
///
/// `NFTMESH_REQUIRE_KERNEL` does not make it a failure: this version lacks nothing that it should
/// have.
#[must_use]
pub fn needs_linux(since: Version, what: &str) -> bool {
    let running = linux();
    if running < since {
        super::say_skip(format_args!(
            "Linux {}.{} has no {what}, which came with {}.{}",
            running.0, running.1, since.0, since.1
        ));
    }
    running >= since
}

/// Returns true, after a printed SKIP, on a kernel before `since` without a file at `path`, since
/// it was built without `what`.
///
/// `NFTMESH_REQUIRE_KERNEL` does not make it a failure: this kernel lacks nothing that it should
/// have.
#[must_use]
pub fn built_without(path: &str, since: Version, what: &str) -> bool {
    let missing = linux() < since && !Path::new(path).exists();
    if missing {
        super::say_skip(format_args!("this Linux {}.{} was built without {what}", linux().0, linux().1));
    }
    missing
}

/// Runs `body` in a new network namespace, on a kernel that can trace there: the table of a trace
/// has an owner.
pub fn in_traced_netns(body: impl FnOnce() + Send) {
    if needs_linux(OWNED_TABLES, "tables with an owner") {
        super::in_fresh_netns(body);
    }
}

/// The first version that has tables with an owner (`NFT_TABLE_F_OWNER`).
pub const OWNED_TABLES: Version = (5, 12);
/// The first version that has catch-all elements of sets (`NFT_SET_ELEM_CATCHALL`).
pub const CATCH_ALL: Version = (5, 13);
/// The first version whose events report where a rule was added, and where ends of intervals do not
/// expire.
pub const EVENT_POSITIONS: Version = (5, 15);
/// The first version whose traces report the state of connections (`NFTA_TRACE_CT_STATE`).
pub const TRACED_CONNECTIONS: Version = (6, 16);
/// The first version that records who added an address (`IFA_PROTO`).
pub const ADDRESS_PROTOCOLS: Version = (5, 18);
