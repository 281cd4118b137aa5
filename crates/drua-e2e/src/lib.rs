//! Drives the built `drua` binary the way its users do: with the genuine `docker` CLI, with Compose's own binary, with
//! docker-py and with `drua` itself.
//!
//! This library is the harness; the tests stand in `tests/it`. `xtask` uses it too, for the demo and the benchmarks.
//! It links none of drua's crates: what it knows about drua, a user knows.
//!
//! - [`Daemon`] is one daemon with its own directories, socket, bridge and address pool, so that many run side by side
//! - [`Image`] and [`guest`] make image archives and Wasm guests without a toolchain
//! - [`registry`] is a real registry, [`scripted`] a server that misbehaves on demand
//! - [`Run`] is what a command printed and how it ended
//! - [`wait`] waits for a condition with a deadline; nothing else here sleeps

pub mod binary;
mod command;
mod daemon;
pub mod guest;
pub mod http;
mod image;
pub mod registry;
pub mod residue;
pub mod scripted;
pub mod wait;

pub use command::{Cmd, Run, Session};
pub use daemon::{Daemon, Options, is_oracle};
pub use image::{Image, Layer, Rootfs};
