//! Tar archives out of and into file systems that somebody else may be changing at the same time: the roots of containers.
//!
//! Everything is found by descriptor, below a [`drua_sys::root_fs::Root`] and without following the last link of a path, so
//! a hostile container can at most send us elsewhere within itself. Nothing but directories and regular files is ever
//! opened. Kernel file systems (`/proc`, `/sys`, …) are shown as empty directories and never written to: what the daemon
//! may do there, a container may not.

mod extract;
mod pack;

pub use extract::{Extract, extract};
pub use pack::{PackError, Packer, Skip};

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags};

/// Whether a directory belongs to a file system that the kernel makes up (`linux/magic.h`).
pub fn is_kernel_fs(dir: impl AsFd) -> bool {
    const MAGIC: [i64; 15] = [
        0x9fa0,      // proc
        0x6265_6572, // sysfs
        0x6367_7270, // cgroup2
        0x0027_e0eb, // cgroup
        0x1cd1,      // devpts
        0x1980_0202, // mqueue
        0x6462_6720, // debugfs
        0x7472_6163, // tracefs
        0x7363_6673, // securityfs
        0xf97c_ff8c, // selinuxfs
        0xcafe_4a11, // bpf
        0x6265_7070, // configfs
        0x6e73_6673, // nsfs
        0x5049_4446, // pidfs
        0xde5e_81e4, // efivarfs
    ];
    // A file system that says nothing about itself is not trusted either.
    rustix::fs::fstatfs(dir).map_or(true, |stat| MAGIC.contains(&stat.f_type))
}

/// Which mount a descriptor is on (Linux 5.8).
pub fn mount_id(fd: impl AsFd) -> Option<u64> {
    let found = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID).ok()?;
    (found.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(found.stx_mnt_id)
}
