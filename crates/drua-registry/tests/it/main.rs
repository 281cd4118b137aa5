//! The client against a real registry (Debian's `docker-registry`, where it is installed) and against servers that
//! misbehave. Only loopback is used.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says why it was skipped")]

mod auth;
mod faults;
mod fixture;
mod real;
