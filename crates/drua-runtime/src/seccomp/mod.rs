//! System call filters: Docker's default profile, profiles in Docker's JSON format, and a compiler to BPF.
//!
//! ```text
//! Profile (rules that depend on capabilities, kernel, architecture)
//!    │ resolve(capabilities, kernel)         in the engine
//!    ▼
//! oci LinuxSeccomp (rules)                   in the bundle's config.json
//!    │ compile                               in the shim
//!    ▼
//! Filter (classic BPF, a balanced tree)      loaded in the container's init
//! ```
//!
//! libseccomp emits a linear list for the same profile and takes 10 ms to do so; loading the list takes another 450 µs,
//! the tree 35 µs, because the kernel runs a new filter once for each system call number.
//!
//! Pure: loading is `drua_sys::seccomp`.

mod arch;
mod compile;
mod default_profile;
mod docker_json;
mod profile;
mod syscalls;
#[cfg(test)]
mod tests;

pub use compile::{CompileError, Filter, compile};
pub use docker_json::ProfileError;
pub use profile::{Profile, Rule};
pub use syscalls::{syscall_name, syscall_number};
