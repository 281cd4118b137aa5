//! The embedded DNS server: containers ask 127.0.0.11 and find each other by name.
//!
//! The sockets live in each container's namespace, the one server in the daemon. What names there are is a [`Zone`], a
//! snapshot that the engine replaces whenever something changes; how to answer is a pure function of zone and packet.
//!
//! ```text
//! container ─ 127.0.0.11:53 udp, tcp ─► task per container ─ known name ───► answer, TTL 600, addresses take turns
//!                                                          ├ unknown name ─► the host's name servers, 3 of them, 4 s each
//!                                                          └ unknown name, container without a way out ─► NXDOMAIN
//! ```
//!
//! What is known is never asked outside, whatever the record type, and a container on internal networks only asks nobody at
//! all (CVE-2024-29018). There, "does not exist" is both true and quick; SERVFAIL would make musl's resolver wait for 5 s.
//!
//! Does not cache: the host's resolver does.

mod answer;
mod forward;
mod resolv_conf;
mod server;
mod zone;

pub use resolv_conf::{HostResolver, host_resolver};
pub use server::{DnsServer, DnsSockets};
pub use zone::{Zone, ZoneEndpoint};

#[cfg(test)]
mod tests;
