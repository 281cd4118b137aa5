//! From a container specification to a confined process.
//!
//! | module      | job                                                                                  | I/O  |
//! |-------------|--------------------------------------------------------------------------------------|------|
//! | [`spec`]    | [`spec::ContainerSpec`] → OCI runtime specification with Docker's defaults            | none |
//! | [`users`]   | `name\|uid[:group]` against a passwd and a group file, with limits                    | none |
//! | [`seccomp`] | Docker's profile as data, profiles in Docker's JSON, and a compiler to BPF            | none |
//! | [`sandbox`] | a container's processes: create, start, exec, kill, pause, delete                     | yes  |
//! | [`cgroup`]  | pids, freezer, statistics and removal for cgroup v1, v2 and hybrid                    | yes  |
//! | [`logs`]    | the json-file codec, rotation, a writer and a reader that follows                     | yes  |
//!
//! The crate is synchronous. It does not know HTTP, ttrpc, images or networks, and it does not set up network
//! namespaces: it joins the one that the specification names.

pub mod cgroup;
pub mod logs;
pub mod sandbox;
pub mod seccomp;
pub mod spec;
pub mod users;

/// The OCI runtime specification's types, so that callers need no dependency of their own on `oci-spec`.
pub use oci_spec::runtime as oci;
