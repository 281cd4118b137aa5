//! What differs between the architectures that we build for.

use oci_spec::runtime::Arch;

/// `AUDIT_ARCH_*` of this build, as `seccomp_data.arch` has it.
#[cfg(target_arch = "x86_64")]
pub(super) const AUDIT_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const AUDIT_ARCH: u32 = 0xc000_00b7;

/// System call numbers from here on belong to another ABI that shares `AUDIT_ARCH`: x32.
#[cfg(target_arch = "x86_64")]
pub(super) const FOREIGN_ABI_FROM: Option<u32> = Some(0x4000_0000);
#[cfg(target_arch = "aarch64")]
pub(super) const FOREIGN_ABI_FROM: Option<u32> = None;

/// This architecture in OCI's words, and in Go's, which Docker's JSON uses.
#[cfg(target_arch = "x86_64")]
pub(super) const NAMES: (Arch, &str) = (Arch::ScmpArchX86_64, "amd64");
#[cfg(target_arch = "aarch64")]
pub(super) const NAMES: (Arch, &str) = (Arch::ScmpArchAarch64, "arm64");
