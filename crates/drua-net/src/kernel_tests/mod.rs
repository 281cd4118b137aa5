//! The whole crate against the real kernel: a "host", containers and an "outside", each a network namespace of its own.
//!
//! Needs root. Nothing outside these namespaces is touched; they and their pins go with the test's threads.

mod dns;
mod ipv6;
mod publish;
mod reconcile;
mod topology;
mod world;
