//! The firewall: one nftables table of our own, changed by transactions over nfnetlink.
//!
//! Rules are fixed ([`table`]); networks and published ports are elements of the sets and maps that the rules look into
//! ([`Element`]). So one more network is four elements and one more port is one, whatever is there already, and a change is
//! the difference between two sets of elements ([`plan`]).
//!
//! ```text
//! table inet <instance> {
//!   set bridges    { type ifname }                       every bridge of ours
//!   set internal   { type ifname }                       those without a way out
//!   set icc        { type ifname . ifname }              (b . b) where containers may talk to each other
//!   set masquerade { type ipv4_addr; flags interval }    subnets that hide behind the host's address
//!   map ports      { type inet_proto . inet_service : ipv4_addr . inet_service }
//!   map ports_at   { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
//!   masquerade6, ports6, ports_at6                       the same three for IPv6
//!
//!   chain raw         { type filter hook prerouting priority raw
//!                       iifname != "lo" ip daddr 127.0.0.0/8 drop }
//!   chain prerouting  { type nat hook prerouting priority dstnat
//!                       dnat ip to ip daddr . meta l4proto . th dport map @ports_at
//!                       fib daddr type local dnat ip to meta l4proto . th dport map @ports
//!                       the same two for IPv6 }
//!   chain output      { type nat hook output priority dstnat;  the same four rules }
//!   chain postrouting { type nat hook postrouting priority srcnat
//!                       oifname != @bridges ip saddr @masquerade masquerade          (and IPv6)
//!                       oifname @bridges ip saddr @masquerade ct status dnat masquerade    (and IPv6)
//!                       oifname @bridges ip saddr 127.0.0.0/8 masquerade }
//!   chain forward     { type filter hook forward priority filter
//!                       ct state established,related accept
//!                       iifname . oifname @icc accept
//!                       iifname @internal drop
//!                       oifname @internal drop
//!                       oifname @bridges ct status dnat accept
//!                       oifname @bridges drop }
//! }
//! ```
//!
//! `raw` is why `route_localnet` on the bridges is harmless: without it a neighbour could reach services on the host's
//! 127.0.0.1 (CVE-2020-8558, moby#45610). The last rule of `forward` is the isolation between networks and keeps the outside
//! from ports that are not published. All policies are accept: other people's traffic is other people's.
//!
//! IPv6 has no counterpart of `route_localnet`, so a port is reachable at `::1` by nobody; clients that ask for `localhost`
//! then take 127.0.0.1.
//!
//! Does not touch other tables; where one of them drops (a `FORWARD` policy of iptables), our accept cannot overrule it.

mod elements;
mod expression;
mod firewall;
#[cfg(test)]
mod observe;
mod table;
mod watch;

pub(crate) use elements::{Element, of_endpoint, of_network};
pub(crate) use firewall::Firewall;
pub(crate) use watch::Watch;
