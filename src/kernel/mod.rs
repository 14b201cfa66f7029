//! The live kernel: network namespaces, policy routes, addresses.

mod netns;
mod route_messages;
mod routes;
mod rtnetlink;

pub use netns::NetNs;
pub use routes::{Added, LocalAddress, RouteTable};
