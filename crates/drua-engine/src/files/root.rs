//! A container's root directory as a descriptor.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use drua_sys::{mount_attr, mount_ns, pidfd, root_fs::Root};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use tokio::sync::OwnedRwLockReadGuard;

use super::FilesError;
use crate::config::EngineConfig;
use crate::container::{Container, MountKind};
use crate::engine::Engine;
use crate::{Error, Result, blocking};

const DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The files of one container, as it sees or would see them. Its calls block.
#[derive(Debug)]
pub struct ContainerFiles {
    pub(super) container: Arc<Container>,
    /// As the client named it, for messages.
    pub(super) name: String,
    pub(super) root: Root,
    /// Keeps the mounts of a stopped container together.
    _namespace: Option<OwnedFd>,
    _lease: Option<OwnedRwLockReadGuard<()>>,
}

/// What of a container is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything, with what is mounted into it.
    Whole,
    /// The root filesystem without what is mounted into it.
    RootOnly,
}

impl Engine {
    /// Opens the files of a container, running or not. A stopped one cannot be started until the answer is dropped.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::Files`].
    pub async fn container_files(&self, name: &str) -> Result<ContainerFiles> {
        self.open_files(name, Part::Whole).await
    }

    /// As [`Engine::container_files`], without volumes and other mounts: what `export` writes.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::Files`].
    pub async fn container_rootfs(&self, name: &str) -> Result<ContainerFiles> {
        self.open_files(name, Part::RootOnly).await
    }

    async fn open_files(&self, name: &str, part: Part) -> Result<ContainerFiles> {
        let handle = self.shared.registry.find(name)?;
        let id = handle.snapshot().id.clone();
        let lease = self.shared.leases.share(&id).await;
        // With the lease it cannot start any more; it may have been removed or started before.
        let container = self.shared.registry.find(id.as_str())?.snapshot();
        let (shared, name) = (self.shared.clone(), name.to_owned());
        blocking::run(move || {
            let (pid, id) = (container.state.pid, container.id.as_str());
            let running = container.state.status.is_running() && pid != 0;
            let (root, namespace, lease) = if running {
                (running_root(pid, id, part).map_err(Error::Files)?, None, None)
            } else {
                let (root, namespace) = stopped_root(&shared.config, &container, part).map_err(Error::Files)?;
                (root, Some(namespace), Some(lease))
            };
            Ok(ContainerFiles { container, name, root, _namespace: namespace, _lease: lease })
        })
        .await
    }
}

/// The root of a running process, if it is still the container's.
fn running_root(pid: u32, id: &str, part: Part) -> Result<Root, FilesError> {
    let path = PathBuf::from(format!("/proc/{pid}/root"));
    let failed = |source: io::Error| match source.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH) => FilesError::Moved,
        _ => FilesError::Io { action: "open", path: path.clone(), source },
    };
    let process = pidfd::open(pid).map_err(failed)?;
    let root = match part {
        Part::Whole => Root::open(&path).map_err(failed)?,
        Part::RootOnly => {
            let clone = mount_ns::in_that_of(process.as_fd(), || {
                let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                Ok(rustix::mount::open_tree(CWD, "/", flags)?)
            });
            Root::from_fd(clone.map_err(failed)?)
        }
    };
    // The number may have been given to another process before the descriptor was made, but not since.
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(failed)?;
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    let alive =
        poll(&mut ended, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count == 0);
    if alive && cgroups.contains(id) { Ok(root) } else { Err(FilesError::Moved) }
}

/// The root of a container that does not run: its overlay, with its volumes and binds.
fn stopped_root(config: &EngineConfig, container: &Container, part: Part) -> Result<(Root, OwnedFd), FilesError> {
    let dir = config.container_dir(&container.id);
    let target = dir.join("files");
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| FilesError::Io { action, path, source }
    };
    match std::fs::create_dir(&target) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("create", &target)(error)),
        _ => {}
    }
    let options = overlay(config, container);
    let mounted = mount_ns::in_new(|| {
        mount_overlay(&options, &target)?;
        let root = Root::from_fd(rustix::fs::openat(CWD, &target, DIR, Mode::empty())?);
        if part == Part::Whole {
            for mount in &container.mounts {
                if matches!(mount.kind, MountKind::Bind | MountKind::Volume) {
                    attach(&root, &mount.source, &mount.destination, mount.writable)?;
                }
            }
        }
        Ok(root)
    });
    mounted.map_err(failed("mount the files of the container at", &target))
}

/// The container's overlay, as key and value.
pub(crate) fn overlay(config: &EngineConfig, container: &Container) -> Vec<(&'static str, PathBuf)> {
    let dir = config.container_dir(&container.id);
    let mut options: Vec<(&'static str, PathBuf)> =
        container.layers.iter().map(|layer| ("lowerdir", layer.clone())).collect();
    options.push(("upperdir", dir.join("upper")));
    options.push(("workdir", dir.join("work")));
    options
}

/// Mounts an overlay by the new mount API where it takes layer by layer (Linux 6.7), else by mount(2).
fn mount_overlay(options: &[(&'static str, PathBuf)], target: &Path) -> io::Result<()> {
    let layers: Vec<&PathBuf> = options.iter().filter(|(key, _)| *key == "lowerdir").map(|(_, path)| path).collect();
    let layers: Vec<String> = layers.iter().map(|layer| layer.display().to_string()).collect();
    let others = options.iter().filter(|(key, _)| *key != "lowerdir");
    let others: Vec<String> = others.map(|(key, path)| format!("{key}={}", path.display())).collect();
    let data = format!("lowerdir={},{}", layers.join(":"), others.join(","));
    if data.len() < 4000 {
        let data = std::ffi::CString::new(data)?;
        return Ok(rustix::mount::mount("overlay", target, "overlay", rustix::mount::MountFlags::empty(), &*data)?);
    }
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, path) in options {
        let key = if *key == "lowerdir" { "lowerdir+" } else { key };
        rustix::mount::fsconfig_set_string(&context, key, path.as_os_str())?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    rustix::mount::move_mount(&mount, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// Mounts a directory or file of the host at a path of the container, by descriptors.
fn attach(root: &Root, source: &Path, destination: &Path, writable: bool) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = match rustix::mount::open_tree(CWD, source, flags) {
        // A bind source that has gone: the container could not be started either, but its files can be had.
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        tree => tree?,
    };
    if !writable {
        mount_attr::set_readonly_recursive_fd(&tree)?;
    }
    let is_dir = FileType::from_raw_mode(rustix::fs::fstat(&tree)?.st_mode) == FileType::Directory;
    let target = mount_point(root, destination, is_dir)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&tree, c"", &target, c"", flags)?;
    Ok(())
}

/// The directory (or file) at a path of the container, made with its parents when it is missing.
pub(crate) fn mount_point(root: &Root, path: &Path, is_dir: bool) -> io::Result<OwnedFd> {
    let mut walked = PathBuf::from("/");
    let names: Vec<_> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    for (index, name) in names.iter().enumerate() {
        let is_last = index + 1 == names.len();
        let parent = root.open_at(&walked, DIR, Mode::empty())?;
        walked.push(name);
        match root.open_at(&walked, OFlags::PATH, Mode::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if is_last && !is_dir {
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                    drop(rustix::fs::openat(&parent, *name, flags, Mode::from_raw_mode(0o755))?);
                } else {
                    rustix::fs::mkdirat(&parent, *name, Mode::from_raw_mode(0o755))?;
                }
            }
            found => drop(found?),
        }
    }
    root.open_at(&walked, OFlags::PATH, Mode::empty())
}
