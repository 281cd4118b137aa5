//! The values of options, from text to the API's types. Pure functions, except for reading files that an option names.

mod container;
mod duration;
mod env;
mod filter;
mod health;
mod host;
mod limits;
mod mount;
mod network;
mod port;
mod tokens;
mod volume;

pub(crate) use container::{ContainerArgs, CreateRequest, PullPolicy, Streams};
pub(crate) use duration::{go_duration, point_in_time};
pub(crate) use env::variables;
pub(crate) use filter::{api_filters, key_values};
pub(crate) use limits::{nano_cpus, restart_policy};
pub(crate) use tokens::{image_display_name, remote_image};

#[cfg(test)]
pub(crate) use {
    limits::ulimit,
    mount::parse as parse_mount,
    network::attachment,
    port::published,
    volume::{Volume, parse as parse_volume},
};
