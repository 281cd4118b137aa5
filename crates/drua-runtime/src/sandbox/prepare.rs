//! Splits a specification into what libcontainer does and what init does itself.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use caps::CapsHashSet;
use drua_sys::root_fs::Root;
use oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec};

use super::error::CreateError;
use crate::seccomp::{self, Filter};
use crate::spec::DEFAULT_CGROUP_PARENT;
use crate::users;

/// Both halves.
pub(super) struct Prepared {
    /// For libcontainer: absolute root path, no capabilities, no seccomp, no OOM score.
    pub(super) spec: Spec,
    pub(super) confinement: Confinement,
    pub(super) cgroup_path: PathBuf,
    pub(super) oom_score_adj: Option<i32>,
    pub(super) terminal: bool,
}

/// What init does to itself before the container counts as created.
#[derive(Debug, Clone, Default)]
pub(super) struct Confinement {
    /// `None` leaves the capabilities alone.
    pub(super) capabilities: Option<CapabilitySets>,
    pub(super) filter: Option<Filter>,
    pub(super) no_new_privileges: bool,
    /// Owner of standard input, output and error.
    pub(super) uid: u32,
}

#[derive(Debug, Clone, Default)]
pub(super) struct CapabilitySets {
    pub(super) bounding: CapsHashSet,
    pub(super) effective: CapsHashSet,
    pub(super) permitted: CapsHashSet,
    pub(super) inheritable: CapsHashSet,
    pub(super) ambient: CapsHashSet,
}

pub(super) fn prepare(mut spec: Spec, id: &str, bundle: &Path) -> Result<Prepared, CreateError> {
    let missing = |what: &str| CreateError::Spec(format!("it has no `{what}` section"));
    let mut root = spec.root().clone().ok_or_else(|| missing("root"))?;
    let rootfs = bundle.join(root.path());
    root.set_path(rootfs.clone());
    let mut process = spec.process().clone().ok_or_else(|| missing("process"))?;
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(CreateError::Spec("it has no command".to_owned()));
    }
    let mut linux = spec.linux().clone().ok_or_else(|| missing("linux"))?;

    let filter = linux.seccomp().as_ref().map(seccomp::compile).transpose()?;
    let cgroup_path = linux.cgroups_path().clone().unwrap_or_else(|| Path::new(DEFAULT_CGROUP_PARENT).join(id));
    linux.set_seccomp(None).set_cgroups_path(Some(cgroup_path.clone()));

    let confinement = Confinement {
        capabilities: process.capabilities().as_ref().map(capability_sets),
        filter,
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        uid: process.user().uid(),
    };
    let oom_score_adj = process.oom_score_adj();
    let terminal = process.terminal().unwrap_or(false);
    complete_user(&mut process, &rootfs);
    // libcontainer would write the score to our own file in /proc before it forks.
    process.set_capabilities(None).set_oom_score_adj(None);
    spec.set_root(Some(root)).set_process(Some(process)).set_linux(Some(linux));
    Ok(Prepared { spec, confinement, cgroup_path, oom_score_adj, terminal })
}

/// What runc does and libcontainer leaves out or does through NSS, which would load code from the container.
fn complete_user(process: &mut Process, rootfs: &Path) {
    let user = process.user_mut();
    if user.umask().is_none() {
        user.set_umask(Some(0o022));
    }
    // Without this the container would keep our own supplementary groups.
    if user.additional_gids().as_ref().is_none_or(Vec::is_empty) {
        let gid = user.gid();
        user.set_additional_gids(Some(vec![gid]));
    }
    home_variable(process, rootfs);
}

/// Adds `HOME` where it is missing, from the passwd file below `rootfs`.
pub(super) fn home_variable(process: &mut Process, rootfs: &Path) {
    let uid = process.user().uid();
    let env = process.env_mut().get_or_insert_default();
    if !env.iter().any(|variable| variable.strip_prefix("HOME=").is_some_and(|home| !home.is_empty())) {
        env.retain(|variable| !variable.starts_with("HOME="));
        env.push(format!("HOME={}", users::home_of(uid, &read_passwd(rootfs))));
    }
}

/// The container's passwd file, empty when there is none.
fn read_passwd(rootfs: &Path) -> Vec<u8> {
    let Ok(root) = Root::open(rootfs) else { return Vec::new() };
    let Ok(fd) = root.open_regular(Path::new("/etc/passwd")) else { return Vec::new() };
    let mut content = Vec::new();
    // A file that cannot be read counts as missing.
    let _ = std::fs::File::from(fd).take(users::MAX_FILE_BYTES as u64).read_to_end(&mut content);
    content
}

fn capability_sets(sets: &LinuxCapabilities) -> CapabilitySets {
    let convert = |set: &Option<HashSet<Capability>>| -> CapsHashSet {
        let names = set.iter().flatten().map(|capability| format!("CAP_{capability}"));
        names.filter_map(|name| name.parse().ok()).collect()
    };
    CapabilitySets {
        bounding: convert(sets.bounding()),
        effective: convert(sets.effective()),
        permitted: convert(sets.permitted()),
        inheritable: convert(sets.inheritable()),
        ambient: convert(sets.ambient()),
    }
}
