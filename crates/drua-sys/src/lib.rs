//! The one unsafe crate: system calls that need care, behind owned file descriptors.

#![expect(unsafe_code, reason = "this is the crate that holds it")]

pub mod bpf;
pub mod child;
pub mod clone;
pub mod fork;
pub mod mount_attr;
pub mod mount_ns;
pub mod netns;
pub mod overlay;
pub mod pidfd;
pub mod root_fs;
pub mod seccomp;
