//! Network namespaces for containers.
//!
//! Namespaces as such are `drua_sys::netns`; this adds what a container expects to find in a fresh one. Links, addresses
//! and routes come with endpoints.

use std::path::Path;

pub use drua_sys::netns::{NetnsError, enter, is_pinned, remove};

use crate::NetError;
use crate::netlink::Route;
use crate::sysctl;

/// Creates a network namespace with `lo` up and pins it at `path`, which must not exist yet; its directory must.
///
/// As in Docker's containers, ports below 1024 need no privilege and every group may send ICMP echo requests.
///
/// # Errors
/// [`NetError::Netns`], [`NetError::Netlink`], [`NetError::Sysctl`]. Nothing is left behind after one.
pub fn create(path: &Path) -> Result<(), NetError> {
    let prepared = drua_sys::netns::create(path, || -> Result<(), NetError> {
        Route::open()?.loopback_up()?;
        sysctl::set("net/ipv4/ip_unprivileged_port_start", "0")?;
        sysctl::set("net/ipv4/ping_group_range", "0 2147483647")
    })?;
    if prepared.is_err() {
        remove(path)?;
    }
    prepared
}
