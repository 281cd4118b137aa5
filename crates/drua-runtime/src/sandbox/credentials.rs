//! Who a container's process is and what it may do, from a process that is root to one that is confined.
//!
//! ```text
//!   limits ─ bounding set ─ cwd (as root) ─ groups, gid, uid ─ cwd (as the user) ─ [filter] ─ capabilities ─ [filter]
//! ```
//!
//! Without `no_new_privs` a filter can be loaded only while CAP_SYS_ADMIN is in effect; otherwise it comes last, so that it
//! need not allow what dropping capabilities takes.
//!
//! Everything is worked out before the clone; [`Credentials::assume`] makes system calls only.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use oci_spec::runtime::{Capability, LinuxCapabilities, LinuxSeccomp, PosixRlimit, PosixRlimitType, Process};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Uid, chdir, getcwd, prlimit, umask};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

use super::error::StartError;
use crate::seccomp::{self, CompileError, Filter};

/// What `process` says about itself, in the kernel's terms.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    umask: Mode,
    cwd: PathBuf,
    limits: Vec<(Resource, Rlimit)>,
    /// `None` leaves the capabilities alone.
    capabilities: Option<Masks>,
    no_new_privileges: bool,
    filter: Option<Filter>,
}

#[derive(Debug, Clone, Copy)]
struct Masks {
    bounding: CapabilitySet,
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
    ambient: CapabilitySet,
}

impl Credentials {
    /// Without a umask it is 022, and without additional groups those are the primary one: otherwise ours would stay.
    pub(super) fn of(process: &Process, profile: Option<&LinuxSeccomp>) -> Result<Self, CompileError> {
        let user = process.user();
        let groups = user.additional_gids().as_deref().unwrap_or_default();
        let gid = user.gid();
        let groups = if groups.is_empty() { &[gid] } else { groups };
        Ok(Self {
            uid: Uid::from_raw(user.uid()),
            gid: Gid::from_raw(gid),
            groups: groups.iter().copied().map(Gid::from_raw).collect(),
            umask: Mode::from_raw_mode(user.umask().unwrap_or(0o022)),
            cwd: process.cwd().clone(),
            limits: process.rlimits().iter().flatten().map(limit).collect(),
            capabilities: process.capabilities().as_ref().map(Masks::of),
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            filter: profile.map(seccomp::compile).transpose()?,
        })
    }

    /// Owner of standard input, output and error.
    pub(super) fn uid(&self) -> Uid {
        self.uid
    }

    /// Becomes that. In the container, as root, with all file descriptors closed that are not the container's business.
    pub(super) fn assume(&self) -> Result<(), StartError> {
        let failed = |what: &str| {
            let what = format!("cannot {what}");
            move |errno: Errno| StartError::Confine(format!("{what}: {errno}"))
        };
        umask(self.umask);
        for (resource, limit) in &self.limits {
            prlimit(None, *resource, *limit).map_err(failed(&format!("set the limit {resource:?}")))?;
        }
        if let Some(masks) = &self.capabilities {
            masks.bound().map_err(failed("limit the capabilities"))?;
        }
        let entered = self.enter_cwd()?;
        self.switch_user().map_err(failed("become the user"))?;
        if !entered {
            // Only the user may go there: a directory on a network, for instance.
            self.enter_cwd()?.then_some(()).ok_or_else(|| self.cwd_error(Errno::ACCESS))?;
        }
        let keeps_admin = self.capabilities.is_none_or(|masks| masks.effective.contains(CapabilitySet::SYS_ADMIN));
        let filter_last = self.no_new_privileges || keeps_admin;
        if !filter_last {
            self.load_filter()?;
        }
        if let Some(masks) = &self.capabilities {
            masks.assume().map_err(failed("set the capabilities"))?;
        }
        if self.no_new_privileges {
            thread::set_no_new_privs(true).map_err(failed("give up new privileges"))?;
        }
        if filter_last { self.load_filter() } else { Ok(()) }
    }

    /// Whether that worked; `false` when it is forbidden.
    fn enter_cwd(&self) -> Result<bool, StartError> {
        match chdir(&self.cwd) {
            Ok(()) => {}
            Err(Errno::ACCESS) => return Ok(false),
            Err(errno) => return Err(self.cwd_error(errno)),
        }
        // A descriptor of ours that leads out of the root file system would leave us there (CVE-2024-21626); the kernel then
        // says `(unreachable)`.
        match getcwd(Vec::new()) {
            Ok(path) if path.to_bytes().starts_with(b"/") => Ok(true),
            Ok(_) | Err(_) => {
                let text = "current working directory is outside of container mount namespace root";
                Err(StartError::Confine(text.to_owned()))
            }
        }
    }

    fn cwd_error(&self, errno: Errno) -> StartError {
        StartError::Cwd {
            cwd: String::from_utf8_lossy(self.cwd.as_os_str().as_bytes()).into_owned(),
            reason: nix::errno::Errno::from_raw(errno.raw_os_error()).desc().to_lowercase(),
            missing: errno == Errno::NOENT,
        }
    }

    /// Keeps the permitted capabilities, and has all of them in effect afterwards.
    fn switch_user(&self) -> rustix::io::Result<()> {
        thread::set_keep_capabilities(true)?;
        thread::set_thread_groups(&self.groups)?;
        thread::set_thread_res_gid(self.gid, self.gid, self.gid)?;
        thread::set_thread_res_uid(self.uid, self.uid, self.uid)?;
        thread::set_keep_capabilities(false)?;
        let mut own = thread::capabilities(None)?;
        own.effective = own.permitted;
        thread::set_capabilities(None, own)
    }

    fn load_filter(&self) -> Result<(), StartError> {
        let Some(filter) = &self.filter else { return Ok(()) };
        drua_sys::seccomp::install_filter(filter.program(), filter.flags())
            .map_err(|err| StartError::Confine(format!("cannot load the seccomp filter: {err}")))
    }
}

impl Masks {
    fn of(sets: &LinuxCapabilities) -> Self {
        Self {
            bounding: mask(sets.bounding()),
            effective: mask(sets.effective()),
            permitted: mask(sets.permitted()),
            inheritable: mask(sets.inheritable()),
            ambient: mask(sets.ambient()),
        }
    }

    /// Bounds what can ever be had. Needs CAP_SETPCAP.
    fn bound(&self) -> rustix::io::Result<()> {
        for capability in (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number)) {
            match thread::capability_is_in_bounding_set(capability) {
                Ok(true) if !self.bounding.contains(capability) => {
                    thread::remove_capability_from_bounding_set(capability)?;
                }
                Ok(_) => {}
                // The kernel knows no more.
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Puts the sets in force. What we do not have ourselves cannot be handed on and is left out.
    fn assume(&self) -> rustix::io::Result<()> {
        thread::clear_ambient_capability_set()?;
        let own = thread::capabilities(None)?.permitted;
        let permitted = self.permitted & own;
        let effective = self.effective & permitted;
        let inheritable = self.inheritable & self.bounding & own;
        thread::set_capabilities(None, CapabilitySets { effective, permitted, inheritable })?;
        for capability in (self.ambient & permitted & inheritable).iter() {
            thread::configure_capability_in_ambient_set(capability, true)?;
        }
        Ok(())
    }
}

fn mask(set: &Option<HashSet<Capability>>) -> CapabilitySet {
    let names = set.iter().flatten().map(|capability| format!("CAP_{capability}"));
    let numbers = names.filter_map(|name| name.parse::<caps::Capability>().ok());
    CapabilitySet::from_bits_retain(numbers.fold(0, |bits, capability| bits | 1 << capability.index()))
}

fn limit(limit: &PosixRlimit) -> (Resource, Rlimit) {
    let number = |number: u64| (number != u64::MAX).then_some(number);
    (resource(limit.typ()), Rlimit { current: number(limit.soft()), maximum: number(limit.hard()) })
}

fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitStack => Resource::Stack,
    }
}
