//! What users do with drua, done by the clients that users have.
//!
//! Every test runs a daemon of its own and needs root. Tests that need a client which is not installed say so and
//! pass, or fail where `DRUA_E2E_STRICT=1` is set, as `make test` does.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says why it was skipped")]

mod bad_pulls;
mod build;
mod clients;
mod compose;
mod compose_config;
mod compose_more;
mod config;
mod containerd;
mod contract;
mod crash;
mod crowds;
mod exec;
mod faults;
mod files;
mod images;
mod init;
mod init_cli;
mod lifecycle;
mod linux;
mod living;
mod network;
mod options;
mod pushes;
mod registry;
mod shapes;
mod shims;
mod support;
mod system;
mod verbs;
mod volumes;
mod walk;
mod wasm;
