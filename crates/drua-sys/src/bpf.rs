//! Loading eBPF programs that decide which devices a cgroup may use (bpf(2), cgroup v2). What they say is decided
//! elsewhere (`drua_runtime::cgroup`).
//!
//! Both calls need CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, in the first user namespace.

use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};

/// One instruction of an eBPF program, as the kernel takes it (`struct bpf_insn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the lower four bits, source register in the upper ones (little-endian machines).
    pub registers: u8,
    /// Of a jump: instructions to skip. Of a load: bytes from the address.
    pub offset: i16,
    /// Operand.
    pub immediate: i32,
}

// From linux/bpf.h.
const BPF_PROG_LOAD: c_int = 5;
const BPF_PROG_ATTACH: c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// No helper is called that would take a GPL-compatible program.
const LICENSE: &CStr = c"Apache-2.0";
/// What `bpftool` shows.
const NAME: &[u8; 16] = b"drua_devices\0\0\0\0";
/// The verifier gives up with EAGAIN when a signal arrives.
const ATTEMPTS: usize = 5;

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes the rest as zero.
#[repr(C)]
struct LoadAttributes {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// The same for `BPF_PROG_ATTACH`.
#[repr(C)]
struct AttachAttributes {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// Loads `program` into the kernel, which forgets it when the descriptor is closed and nothing is
/// [attached](attach_device_filter).
///
/// # Errors
/// `EPERM` without the capabilities, `EACCES` or `EINVAL` for a program that the kernel's verifier refuses, `E2BIG` for
/// one that is too long, `EINVAL` or `ENOSYS` from a kernel without `CONFIG_CGROUP_BPF`.
pub fn load_device_filter(program: &[Instruction]) -> io::Result<OwnedFd> {
    let count = u32::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let attributes = LoadAttributes {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: count,
        insns: program.as_ptr().addr() as u64,
        license: LICENSE.as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: *NAME,
    };
    let mut loaded = Err(io::Error::from_raw_os_error(libc::EAGAIN));
    for _ in 0..ATTEMPTS {
        // SAFETY: `attributes` has the layout of `bpf_attr` up to `prog_name` and the given size. `insns` points to
        // `insn_cnt` instructions with the layout of `bpf_insn` (`repr(C)`, same fields), `license` to a C string; all
        // outlive the call, which only reads them: there is no log.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, std::ptr::from_ref(&attributes), size_of::<LoadAttributes>())
        };
        loaded = c_int::try_from(result).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error);
        if !loaded.as_ref().is_err_and(|err| err.raw_os_error() == Some(libc::EAGAIN)) {
            break;
        }
    }
    let fd = loaded?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a loaded program decide about every device that a process in `cgroup`, a directory of a cgroup v2 file system,
/// or below it opens or makes from now on, together with what is attached already: all have to agree. It stays as long as
/// the cgroup does.
///
/// # Errors
/// `EPERM` without the capabilities, or when a cgroup above has a program that allows no others; `EBADF` when `cgroup`
/// is something else.
pub fn attach_device_filter(program: &impl AsFd, cgroup: &impl AsFd) -> io::Result<()> {
    let attributes = AttachAttributes {
        target_fd: cgroup.as_fd().as_raw_fd().cast_unsigned(),
        attach_bpf_fd: program.as_fd().as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: `attributes` has the layout of `bpf_attr` up to `attach_flags` and the given size, holds no pointer and
    // outlives the call, which only reads it; both descriptors are open.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, std::ptr::from_ref(&attributes), size_of::<AttachAttributes>())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
