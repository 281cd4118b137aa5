//! Everything that reaches the user: what is printed, and how it looks.
//!
//! stdout is data, stderr is conversation. [`Printer`] is the only place in drua that writes to either.

mod error;
mod layers;
mod printer;
mod progress;
mod units;

pub(crate) use error::render_failure;
pub(crate) use layers::LayerProgress;
pub(crate) use printer::{Paint, Printer};
pub(crate) use progress::ByteProgress;
pub(crate) use units::{
    binary_size, decimal_size, ellipsis, go_timestamp, local_time, rfc3339_local, rfc3339_nanos, since_unix,
};

#[cfg(test)]
pub(crate) use units::human_duration;
