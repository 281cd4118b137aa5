//! drua-store through its public API, on real files. Needs root, as the store does.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "these are tests, helpers included")]

mod check;
mod crash;
mod fixture;
mod hostile;
mod import;
mod layers;
mod load;
mod lookup;
mod pack;
mod receive;
mod remove;
mod roundtrip;
mod save;
mod wasm;
