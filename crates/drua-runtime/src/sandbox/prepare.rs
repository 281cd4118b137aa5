//! Reads a specification: everything that can be decided before there is a process.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use drua_sys::root_fs::Root;
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, LinuxNamespaceType, LinuxResources, Process, Spec};
use rustix::fs::FileType;
use rustix::mount::MountPropagationFlags;

use super::credentials::Credentials;
use super::error::CreateError;
use super::namespaces::Namespaces;
use super::options::Wanted;
use super::rootfs::{DEVICES, Device, Layout};
use crate::spec::DEFAULT_CGROUP_PARENT;
use crate::users;

/// A specification, understood.
pub(super) struct Prepared {
    /// For the workload, with a complete environment.
    pub(super) spec: Spec,
    pub(super) namespaces: Namespaces,
    /// Without the cgroups, which do not exist yet.
    pub(super) layout: Layout,
    pub(super) credentials: Credentials,
    pub(super) cgroup_path: PathBuf,
    pub(super) resources: LinuxResources,
}

pub(super) fn prepare(mut spec: Spec, id: &str, bundle: &Path) -> Result<Prepared, CreateError> {
    let missing = |what: &str| CreateError::Spec(format!("it has no `{what}` section"));
    let root = spec.root().clone().ok_or_else(|| missing("root"))?;
    let rootfs = bundle.join(root.path());
    let mut process = spec.process().clone().ok_or_else(|| missing("process"))?;
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(CreateError::Spec("it has no command".to_owned()));
    }
    home_variable(&mut process, &rootfs);
    let linux = spec.linux().clone().ok_or_else(|| missing("linux"))?;
    let credentials = Credentials::of(&process, linux.seccomp().as_ref())?;
    let cgroup_path = linux.cgroups_path().clone().unwrap_or_else(|| Path::new(DEFAULT_CGROUP_PARENT).join(id));
    let namespaces = Namespaces::of(linux.namespaces().as_deref().unwrap_or_default())?;
    let layout = Layout {
        root: rootfs,
        readonly: root.readonly().unwrap_or(false),
        propagation: propagation(&linux)?,
        mounts: spec.mounts().iter().flatten().map(Wanted::of).collect(),
        cgroups: Vec::new(),
        devices: devices(&linux),
        sysctls: sysctls(&linux)?,
        readonly_paths: linux.readonly_paths().clone().unwrap_or_default(),
        masked_paths: linux.masked_paths().clone().unwrap_or_default(),
        hides_proc: false,
    };
    if spec.hooks().is_some() {
        return Err(CreateError::Spec("hooks are not supported".to_owned()));
    }
    let resources = linux.resources().clone().unwrap_or_default();
    spec.set_process(Some(process));
    Ok(Prepared { spec, namespaces, layout, credentials, cgroup_path, resources })
}

fn propagation(linux: &Linux) -> Result<Option<MountPropagationFlags>, CreateError> {
    let Some(text) = linux.rootfs_propagation().as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
    Ok(Some(match text.strip_prefix('r').unwrap_or(text) {
        "private" => MountPropagationFlags::PRIVATE,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "shared" => MountPropagationFlags::SHARED,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        _ => return Err(CreateError::Spec(format!("unknown propagation of the root file system `{text}`"))),
    }))
}

fn devices(linux: &Linux) -> Vec<Device> {
    let standard = DEVICES.into_iter().map(|(path, major, minor)| Device {
        path: path.into(),
        kind: FileType::CharacterDevice,
        major,
        minor,
        mode: 0o666,
        owner: (0, 0),
    });
    standard.chain(linux.devices().iter().flatten().map(device)).collect()
}

fn device(device: &LinuxDevice) -> Device {
    Device {
        path: device.path().clone(),
        kind: match device.typ() {
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::P => FileType::Fifo,
            LinuxDeviceType::A | LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        },
        major: u32::try_from(device.major()).unwrap_or(0),
        minor: u32::try_from(device.minor()).unwrap_or(0),
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
    }
}

/// What of `/proc/sys` belongs to the IPC namespace.
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Only sysctls of namespaces that the container has for itself: all others are the host's.
fn sysctls(linux: &Linux) -> Result<Vec<(PathBuf, String)>, CreateError> {
    let has = |kind| linux.namespaces().iter().flatten().any(|namespace| namespace.typ() == kind);
    let mut sysctls = Vec::new();
    for (key, value) in linux.sysctl().iter().flatten() {
        // `net.ipv4.conf.eth0/1.forwarding` means the interface eth0.1; a key with slashes first is a path already.
        let slashes_first = key.find(['.', '/']).is_some_and(|at| key[at..].starts_with('/'));
        let path: String = if slashes_first {
            key.clone()
        } else {
            key.chars()
                .map(|c| {
                    if c == '.' {
                        '/'
                    } else if c == '/' {
                        '.'
                    } else {
                        c
                    }
                })
                .collect()
        };
        let dotted = path.replace('/', ".");
        let own = if path.starts_with("net/") {
            has(LinuxNamespaceType::Network)
        } else if path.starts_with("fs/mqueue/") || IPC_SYSCTLS.contains(&dotted.as_str()) {
            has(LinuxNamespaceType::Ipc)
        } else {
            path == "kernel/domainname" && has(LinuxNamespaceType::Uts)
        };
        if !own || path.split('/').any(|part| part.is_empty() || part == "..") {
            return Err(CreateError::Spec(format!("sysctl \"{key}\" is not in a separate kernel namespace")));
        }
        sysctls.push((path.into(), value.clone()));
    }
    sysctls.sort();
    Ok(sysctls)
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
