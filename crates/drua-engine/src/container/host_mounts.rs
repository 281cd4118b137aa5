//! What has to be mounted on the host before a container can start, and is unmounted when it has ended.
//!
//! ```text
//! <exec-root>/mnt/<first 32 digits of the id>/shm   /dev/shm of a container that shares it
//!                                            /<n>   the part of a volume that mount number n shows
//! <data-root>/volumes/<name>/_data                  volumes with driver options: for as long as somebody uses them
//! ```
//!
//! The shim copies the daemon's mount namespace when it starts, so all of this must be there before.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use drua_sys::root_fs::Root;
use drua_types::ContainerId;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

use super::{Container, IpcMode, MountKind};
use crate::config::EngineConfig;
use crate::engine::Shared;
use crate::{Error, Result};

/// Size of /dev/shm unless the container says otherwise.
const SHM_BYTES: u64 = 64 << 20;

fn dir(config: &EngineConfig, id: &ContainerId) -> PathBuf {
    config.exec_root.join("mnt").join(&id.as_str()[..32])
}

/// Where a container's shared /dev/shm is on the host.
pub(super) fn shm(config: &EngineConfig, id: &ContainerId) -> PathBuf {
    dir(config, id).join("shm")
}

/// What is mounted for mount number `index` of a container: its source, or the part of it that was asked for.
pub(super) fn source(config: &EngineConfig, container: &Container, index: usize) -> PathBuf {
    let mount = &container.mounts[index];
    match mount.subpath {
        Some(_) => dir(config, &container.id).join(index.to_string()),
        None => mount.source.clone(),
    }
}

/// Mounts what the container needs. Blocking; what was mounted before a failure is [`release`]d by the caller.
pub(super) fn prepare(shared: &Shared, container: &Container) -> Result<()> {
    shared.volumes.acquire(container)?;
    let config = &shared.config;
    let top = dir(config, &container.id);
    let needs_shm = container.host.ipc_mode == IpcMode::Shareable;
    let parts =
        container.mounts.iter().enumerate().filter_map(|(index, mount)| Some((index, mount, mount.subpath.as_ref()?)));
    let parts: Vec<_> = parts.collect();
    if !needs_shm && parts.is_empty() {
        return Ok(());
    }
    unmount_all(&top);
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&top).map_err(Error::io("create", &top))?;
    if needs_shm {
        let path = shm(config, &container.id);
        let size = container.host.shm_size.unwrap_or(SHM_BYTES);
        let options = std::ffi::CString::new(format!("mode=1777,size={size}")).unwrap_or_default();
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let mounted = std::fs::create_dir(&path)
            .and_then(|()| Ok(rustix::mount::mount("shm", &path, "tmpfs", flags, &*options)?));
        mounted.map_err(Error::io("mount the shared memory at", &path))?;
    }
    for (index, mount, part) in parts {
        let target = top.join(index.to_string());
        mount_part(&mount.source, part, &target).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Invalid(format!(
                "cannot access path {}: no such file or directory in the volume {}",
                part.display(),
                mount.name.as_deref().unwrap_or_default()
            )),
            _ => Error::Io { action: "mount a part of the volume at", path: mount.source.join(part), source: error },
        })?;
    }
    Ok(())
}

/// Mounts what is at `part` of a volume at `target`. Links in the volume, which containers write to, stay inside of it.
fn mount_part(volume: &Path, part: &Path, target: &Path) -> io::Result<()> {
    let found = Root::open(volume)?.open_at(part, OFlags::PATH, Mode::empty())?;
    let is_dir = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) == FileType::Directory;
    if is_dir {
        std::fs::create_dir(target)?;
    } else {
        drop(std::fs::File::create_new(target)?);
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(found.as_fd(), c"", flags)?;
    rustix::mount::move_mount(&tree, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// Unmounts what [`prepare`] has mounted. Blocking; failures are logged, and the next start tries again.
pub(crate) fn release(shared: &Shared, container: &Container) {
    shared.volumes.give_back(container);
    let shares = container.host.ipc_mode == IpcMode::Shareable;
    if shares || container.mounts.iter().any(|mount| mount.kind == MountKind::Volume && mount.subpath.is_some()) {
        unmount_all(&dir(&shared.config, &container.id));
    }
}

/// Removes what containers that are gone have left mounted.
pub(crate) fn sweep(config: &EngineConfig, alive: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(config.exec_root.join("mnt")).into_iter().flatten().flatten() {
        if !alive(&entry.file_name().to_string_lossy()) {
            unmount_all(&entry.path());
        }
    }
}

fn unmount_all(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        while rustix::mount::unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
        // One that is still mounted is not empty, or busy: nothing of it is lost.
        let _ = std::fs::remove_dir(&path).or_else(|_| std::fs::remove_file(&path));
    }
    let _ = std::fs::remove_dir(dir);
}
