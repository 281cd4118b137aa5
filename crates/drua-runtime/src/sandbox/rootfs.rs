//! From a directory of the host to the container's root.
//!
//! ```text
//!   host's mounts become slaves ─ bind the root onto itself ─ mounts ─ device nodes ─ sysctls ─ read-only paths ─ masks
//!   ─ pivot_root ─ detach the host's mounts ─ read-only root
//! ```

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use drua_sys::mount_attr::{Change, change};
use drua_sys::root_fs::Root;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, chownat, fchmod, fstat, makedev, mknodat, openat, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};

use super::mounts::{self, Result, attach_at, clone_of, failed};
use super::options::{Source, Wanted};
use crate::cgroup::View;

/// Everything about the container's files, read from its specification before the clone.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
    pub(super) readonly: bool,
    /// Of the root mount; `None` is slave.
    pub(super) propagation: Option<MountPropagationFlags>,
    pub(super) mounts: Vec<Wanted>,
    pub(super) cgroups: Vec<View>,
    pub(super) devices: Vec<Device>,
    /// Below `/proc/sys`, with values.
    pub(super) sysctls: Vec<(PathBuf, String)>,
    pub(super) readonly_paths: Vec<String>,
    pub(super) masked_paths: Vec<String>,
    /// Whether an empty directory hides `/proc` in the end.
    pub(super) hides_proc: bool,
}

/// A device node.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) path: PathBuf,
    pub(super) kind: FileType,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
}

/// What every container has, besides the links.
pub(super) const DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

impl Layout {
    /// Makes all of it and goes there. In the container's own mount namespace, as root, with umask 0.
    pub(super) fn enter(&self) -> Result<()> {
        let root = self.open_root()?;
        for wanted in &self.mounts {
            mounts::mount(&root, wanted, &self.cgroups)?;
        }
        if self.makes_devices() {
            self.devices.iter().try_for_each(|device| device.make(&root))?;
            make_links(&root).map_err(failed("make the links in", "/dev"))?;
        }
        self.write_sysctls(&root)?;
        if self.hides_proc {
            let empty = mounts::empty_directory().map_err(failed("make", "an empty directory"))?;
            let proc = root.make_dirs(Path::new("/proc")).map_err(failed("find", "/proc"))?;
            attach_at(&empty, &proc).map_err(failed("hide", "/proc"))?;
        }
        let visible = |paths: &[String]| -> Vec<String> {
            paths.iter().filter(|path| !(self.hides_proc && path.starts_with("/proc/"))).cloned().collect()
        };
        mounts::protect(&root, &visible(&self.readonly_paths))?;
        mounts::mask(&root, &visible(&self.masked_paths))?;
        self.pivot(&root)
    }

    fn open_root(&self) -> Result<Root> {
        let host = self.propagation.unwrap_or(MountPropagationFlags::DOWNSTREAM);
        mount_change("/", host | MountPropagationFlags::REC).map_err(failed("change the propagation of", "/"))?;
        if host == MountPropagationFlags::SHARED {
            // `pivot_root` refuses a root whose parent mount is shared.
            let private = |path: &Path| mount_change(path, MountPropagationFlags::PRIVATE).is_ok();
            if !self.root.ancestors().any(private) {
                return Err(format!("cannot find the mount that `{}` is on", self.root.display()));
            }
        }
        let open = || -> io::Result<Root> {
            let directory = open_directory(&self.root)?;
            let tree = clone_of(&directory, true)?;
            attach_at(&tree, &directory)?;
            Ok(Root::from_fd(tree))
        };
        open().map_err(failed("make a mount of the root file system", self.root.display()))
    }

    /// A `/dev` of the user's own stays as it is, as with runc.
    fn makes_devices(&self) -> bool {
        !self.mounts.iter().any(|mount| {
            matches!(mount.source, Source::Bind { .. })
                && mount.destination.components().eq(Path::new("/dev").components())
        })
    }

    fn write_sysctls(&self, root: &Root) -> Result<()> {
        for (path, value) in &self.sysctls {
            let write = || -> io::Result<()> {
                let file = root.open_no_links(&Path::new("/proc/sys").join(path), OFlags::WRONLY)?;
                rustix::io::write(&file, value.as_bytes())?;
                Ok(())
            };
            write().map_err(failed("set the sysctl", path.display()))?;
        }
        Ok(())
    }

    /// Without a directory for the old root: it is stacked on the new one, and detached from there (pivot_root(2)).
    fn pivot(&self, root: &Root) -> Result<()> {
        let pivot = || -> io::Result<()> {
            let old = open_directory(Path::new("/"))?;
            rustix::process::fchdir(root)?;
            rustix::process::pivot_root(".", ".")?;
            rustix::process::fchdir(&old)?;
            // What is detached must not be unmounted for the host as well.
            mount_change(".", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
            unmount(".", UnmountFlags::DETACH)?;
            Ok(rustix::process::chdir("/")?)
        };
        pivot().map_err(failed("change the root to", self.root.display()))?;
        if let Some(propagation) = self.propagation {
            mount_change("/", propagation).map_err(failed("change the propagation of", "the new root"))?;
        }
        if self.readonly {
            change(root, &Change { set: MountAttrFlags::MOUNT_ATTR_RDONLY, ..Change::NONE })
                .map_err(failed("make read-only", "/"))?;
        }
        Ok(())
    }
}

impl Device {
    fn make(&self, root: &Root) -> Result<()> {
        let make = || -> io::Result<()> {
            drop(root.make_dirs(self.path.parent().unwrap_or(Path::new("/")))?);
            let Some((parent, name)) = root.parent(&self.path)? else { return Err(io::ErrorKind::InvalidInput.into()) };
            let device = makedev(self.major, self.minor);
            match mknodat(&parent, name.as_os_str(), self.kind, Mode::from_raw_mode(self.mode), device) {
                Ok(()) => {}
                // The image's own, or made twice: as with runc it stays, if it is the same.
                Err(Errno::EXIST) => {
                    let found = openat(&parent, name.as_os_str(), OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
                    let stat = fstat(&found)?;
                    if FileType::from_raw_mode(stat.st_mode) != self.kind || stat.st_rdev != device {
                        return Err(Errno::EXIST.into());
                    }
                }
                Err(errno) => return Err(errno.into()),
            }
            let (uid, gid) = self.owner;
            if (uid, gid) != (0, 0) {
                let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                chownat(&parent, name.as_os_str(), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Ok(())
        };
        make().map_err(failed("make the device", self.path.display()))
    }
}

fn make_links(root: &Root) -> io::Result<()> {
    let dev = root.make_dirs(Path::new("/dev"))?;
    let core = root.open_at(Path::new("/proc/kcore"), OFlags::PATH, Mode::empty()).is_ok();
    for (name, target) in LINKS.into_iter().chain(core.then_some(("core", "/proc/kcore"))) {
        match symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Makes the container's terminal its `/dev/console` as well. After the pivot, so that `/` is the container's.
pub(super) fn mount_console(terminal: &OwnedFd) -> io::Result<()> {
    let root = Root::open(Path::new("/"))?;
    let Some((dev, name)) = root.parent(Path::new("/dev/console"))? else { return Ok(()) };
    let flags =
        OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match openat(&dev, name.as_os_str(), flags | OFlags::EXCL, Mode::from_raw_mode(0o600)) {
        Ok(file) => fchmod(&file, Mode::from_raw_mode(0o600))?,
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let place = root.open_no_links(Path::new("/dev/console"), OFlags::PATH)?;
    attach_at(&clone_of(&terminal.as_fd(), false)?, &place)
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}
