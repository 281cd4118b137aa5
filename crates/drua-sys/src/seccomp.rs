//! Installing a seccomp filter. What the filter says is decided elsewhere (`drua_runtime::seccomp`).

use std::io;

/// One instruction of a classic BPF program, as the kernel takes it (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a comparison is true.
    pub jt: u8,
    /// Instructions to skip when it is false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// `SECCOMP_FILTER_FLAG_*` values that make sense for a process with one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FilterFlags {
    /// Log every action except allow (`SECCOMP_FILTER_FLAG_LOG`).
    pub log: bool,
    /// Do not turn on the mitigation against speculative store bypass (`SECCOMP_FILTER_FLAG_SPEC_ALLOW`).
    pub spec_allow: bool,
}

/// Installs `program` for the calling thread and everything it starts. It cannot be removed again.
///
/// Needs `no_new_privs`, or CAP_SYS_ADMIN in the user namespace of the caller.
///
/// # Errors
/// `EACCES` without either of those, `EINVAL` for a program that the kernel's verifier refuses.
pub fn install_filter(program: &[Instruction], flags: FilterFlags) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    let mut bits = 0;
    if flags.log {
        bits |= libc::SECCOMP_FILTER_FLAG_LOG;
    }
    if flags.spec_allow {
        bits |= libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    }
    // SAFETY: the kernel reads `len` instructions of the layout of `sock_filter`, which `Instruction` has (`repr(C)`, same
    // fields), copies them and writes nothing; `program` outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, bits, std::ptr::from_ref(&program)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
