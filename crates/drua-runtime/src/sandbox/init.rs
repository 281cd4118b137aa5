//! The container's init, from where libcontainer leaves it to where the workload begins.
//!
//! ```text
//! validate: mount fix-ups → stdio ownership → capabilities and seccomp → Workload::validate    ⇒ created
//!           (libcontainer waits for the start signal)
//! exec:     close file descriptors → default signals → Workload::run                         ⇒ running
//! ```

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use caps::{CapSet, Capability, CapsHashSet};
use drua_sys::{child, mount_attr};
use drua_types::exit;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::mount::{MsFlags, mount};
use oci_spec::runtime::{Mount, Spec};
use rustix::fs::{FileType, Uid};

use super::error::StartError;
use super::prepare::{CapabilitySets, Confinement};
use super::report::Reporter;
use super::workload::{StartSignal, Workload};

/// libcontainer's view of us.
#[derive(Clone)]
pub(super) struct Init {
    pub(super) workload: Arc<dyn Workload>,
    pub(super) confinement: Arc<Confinement>,
    pub(super) reporter: Arc<Reporter>,
}

impl Executor for Init {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        self.enter(spec).map_err(|error| {
            self.reporter.error(&error);
            ExecutorValidationError::ArgValidationError(error.to_string())
        })
    }

    /// The workload gets its environment from the specification. Ours stays as it is: code of ours that runs on in this
    /// process must not take settings from the container.
    fn setup_envs(&self, _envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let guard = ExitGuard;
        let error = match self.leave_creator_behind() {
            Ok(mut signal) => {
                let error = self.workload.run(spec, &mut signal);
                match &signal.0 {
                    Some(reporter) => reporter.error(&error),
                    None => complain(&error),
                }
                error
            }
            Err(err) => {
                let error = StartError::Confine(format!("cannot close file descriptors: {err}"));
                self.reporter.error(&error);
                error
            }
        };
        std::mem::forget(guard);
        child::exit_now(error.exit_code().into())
    }
}

/// A workload that panics must not unwind into libcontainer and from there into the creator's code.
struct ExitGuard;

impl Drop for ExitGuard {
    fn drop(&mut self) {
        child::exit_now(exit::ENGINE.into());
    }
}

impl Init {
    fn enter(&self, spec: &Spec) -> Result<(), StartError> {
        let failed = |what: &str, err: &dyn std::fmt::Display| StartError::Confine(format!("{what}: {err}"));
        for mount in spec.mounts().iter().flatten() {
            finish_mount(mount)
                .map_err(|err| failed(&format!("cannot finish mount `{}`", mount.destination().display()), &err))?;
        }
        for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
            give_to(fd, Uid::from_raw(self.confinement.uid))
                .map_err(|err| failed("cannot change the owner of standard I/O", &err))?;
        }
        confine(&self.confinement, self.workload.sees_proc())?;
        self.workload.validate(spec)
    }

    fn leave_creator_behind(&self) -> io::Result<StartSignal> {
        // The reporter that libcontainer's copies of us share is closed with everything else; this one can be dropped.
        let reporter = self.reporter.try_clone()?;
        let mut keep = self.workload.keep_fds();
        keep.push(reporter.fd());
        child::close_fds_except(&keep)?;
        child::reset_signals();
        Ok(StartSignal(Some(reporter)))
    }
}

fn complain(error: &StartError) {
    let _ = rustix::io::write(rustix::stdio::stderr(), format!("{error}\n").as_bytes());
}

/// Does what libcontainer leaves out: propagation of bind mounts, and read-only cgroups with cgroup v1.
fn finish_mount(spec: &Mount) -> io::Result<()> {
    let has = |option: &str| spec.options().iter().flatten().any(|own| own == option);
    let target = spec.destination();
    if spec.typ().as_deref() == Some("cgroup") {
        return if has("ro") { mount_attr::set_readonly_recursive(target) } else { Ok(()) };
    }
    let propagation = [
        ("private", MsFlags::MS_PRIVATE),
        ("rprivate", MsFlags::MS_PRIVATE | MsFlags::MS_REC),
        ("slave", MsFlags::MS_SLAVE),
        ("rslave", MsFlags::MS_SLAVE | MsFlags::MS_REC),
        ("shared", MsFlags::MS_SHARED),
        ("rshared", MsFlags::MS_SHARED | MsFlags::MS_REC),
        ("unbindable", MsFlags::MS_UNBINDABLE),
        ("runbindable", MsFlags::MS_UNBINDABLE | MsFlags::MS_REC),
    ];
    for (_, flags) in propagation.into_iter().filter(|(option, _)| has(option)) {
        mount(None::<&Path>, target, None::<&Path>, flags, None::<&Path>)?;
    }
    Ok(())
}

/// So that a user other than root can open `/dev/stdout`, `/proc/self/fd/1` and the terminal, as with runc.
pub(super) fn give_to(fd: BorrowedFd<'_>, uid: Uid) -> io::Result<()> {
    let stat = rustix::fs::fstat(fd)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let is_null = kind == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3);
    if stat.st_uid == uid.as_raw() || is_null {
        return Ok(());
    }
    match rustix::fs::fchown(fd.as_fd(), Some(uid), None) {
        // Sockets and files on file systems that do not take owners stay as they are.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM | rustix::io::Errno::ROFS) => Ok(()),
        other => Ok(other?),
    }
}

/// Without `no_new_privs` a filter can be loaded only while CAP_SYS_ADMIN is in effect; otherwise it comes last, so that
/// it need not allow what dropping capabilities takes.
fn confine(confinement: &Confinement, sees_proc: bool) -> Result<(), StartError> {
    let sets = confinement.capabilities.as_ref();
    let keeps_admin = sets.is_none_or(|sets| sets.effective.contains(&Capability::CAP_SYS_ADMIN));
    let filter_last = confinement.no_new_privileges || keeps_admin;
    let capabilities = |error| StartError::Confine(format!("cannot set capabilities: {error}"));
    if let Some(sets) = sets {
        limit_capabilities(sets).map_err(capabilities)?;
    }
    if !sees_proc {
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("tmpfs"), "/proc", Some("tmpfs"), flags, Some("size=0,nr_inodes=1,mode=555"))
            .map_err(|errno| StartError::Confine(format!("cannot hide /proc: {errno}")))?;
    }
    if !filter_last {
        load_filter(confinement)?;
    }
    if let Some(sets) = sets {
        drop_capabilities(sets).map_err(capabilities)?;
    }
    if filter_last {
        load_filter(confinement)?;
    }
    Ok(())
}

fn load_filter(confinement: &Confinement) -> Result<(), StartError> {
    let Some(filter) = &confinement.filter else { return Ok(()) };
    drua_sys::seccomp::install_filter(filter.program(), filter.flags())
        .map_err(|err| StartError::Confine(format!("cannot load the seccomp filter: {err}")))
}

/// The sets that bound what can ever be had. Needs CAP_SETPCAP.
fn limit_capabilities(sets: &CapabilitySets) -> Result<(), caps::errors::CapsError> {
    for capability in caps::read(None, CapSet::Bounding)?.difference(&sets.bounding) {
        caps::drop(None, CapSet::Bounding, *capability)?;
    }
    caps::clear(None, CapSet::Ambient)?;
    let bounding = caps::read(None, CapSet::Bounding)?;
    caps::set(None, CapSet::Inheritable, &intersection(&sets.inheritable, &bounding))
}

/// The sets in force. What we do not have ourselves cannot be handed on and is left out.
fn drop_capabilities(sets: &CapabilitySets) -> Result<(), caps::errors::CapsError> {
    let own = caps::read(None, CapSet::Permitted)?;
    let permitted = intersection(&sets.permitted, &own);
    caps::set(None, CapSet::Effective, &intersection(&sets.effective, &permitted))?;
    caps::set(None, CapSet::Permitted, &permitted)?;
    let inheritable = caps::read(None, CapSet::Inheritable)?;
    for capability in intersection(&sets.ambient, &permitted).intersection(&inheritable) {
        caps::raise(None, CapSet::Ambient, *capability)?;
    }
    Ok(())
}

fn intersection(a: &CapsHashSet, b: &CapsHashSet) -> CapsHashSet {
    a.intersection(b).copied().collect()
}
