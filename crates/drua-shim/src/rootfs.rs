//! Mounts the container's root file system, in a mount namespace of the shim's own.
//!
//! Nobody else sees these mounts, and the kernel takes them away with the last process of the namespace: a shim that is
//! killed leaves none behind. The namespace is made here and not when the shim starts, so that it has all that the engine
//! has mounted for the container until then.
//!
//! `mount(2)` takes one page of options. An overlay of many layers needs more, so a long `lowerdir` goes layer by layer
//! through the new mount API (`fsconfig` with `lowerdir+`, Linux 6.7).

use std::io;
use std::path::{Path, PathBuf};

use drua_types::{Classify, ErrorKind};
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    mount_change,
};

/// What `mount(2)` takes, less room for the terminating zero.
const MAX_DATA_BYTES: usize = 4095;

/// One mount, as containerd describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) kind: String,
    pub(crate) source: String,
    pub(crate) options: Vec<String>,
}

/// A mounted root file system; unmounts when told to.
#[derive(Debug)]
pub(crate) struct Rootfs {
    path: PathBuf,
    mounts: usize,
}

/// The root file system could not be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootfsError {
    #[error("cannot make a mount namespace of the shim's own")]
    Namespace(#[source] io::Error),
    #[error("cannot create mount point `{path}`")]
    MountPoint {
        path: PathBuf,
        #[source]
        err: io::Error,
    },
    #[error("cannot mount {kind} `{mounted}` at `{target}`")]
    Mount {
        kind: String,
        mounted: String,
        target: PathBuf,
        #[source]
        err: io::Error,
    },
    #[error("cannot unmount `{path}`")]
    Unmount {
        path: PathBuf,
        #[source]
        err: io::Error,
    },
}

impl Classify for RootfsError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}

impl Rootfs {
    /// Mounts `mounts` over each other at `path`, which is created if missing. None is fine: then the bundle brings its
    /// root file system along. Needs CAP_SYS_ADMIN.
    pub(crate) fn mount(path: &Path, mounts: &[Mount]) -> Result<Self, RootfsError> {
        let mount_point = |err| RootfsError::MountPoint { path: path.to_owned(), err };
        let mut rootfs = Self { path: path.to_owned(), mounts: 0 };
        own_namespace().map_err(RootfsError::Namespace)?;
        if mounts.is_empty() {
            return Ok(rootfs);
        }
        fs_err::create_dir_all(path).map_err(mount_point)?;
        for mount in mounts {
            if let Err(error) = mount.at(path) {
                // The first failure is the one to report.
                let _ = rootfs.unmount();
                return Err(error);
            }
            rootfs.mounts += 1;
        }
        Ok(rootfs)
    }

    /// Unmounts what was mounted. A busy mount is detached: it goes away with whoever uses it.
    pub(crate) fn unmount(&mut self) -> Result<(), RootfsError> {
        while self.mounts > 0 {
            let unmount = |flags| rustix::mount::unmount(&self.path, flags | UnmountFlags::NOFOLLOW);
            unmount(UnmountFlags::empty())
                .or_else(|_busy| unmount(UnmountFlags::DETACH))
                .map_err(|err| RootfsError::Unmount { path: self.path.clone(), err: err.into() })?;
            self.mounts -= 1;
        }
        Ok(())
    }
}

/// Mounts of ours stay ours, while unmounts on the host still reach us.
fn own_namespace() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    Ok(mount_change("/", flags)?)
}

impl Mount {
    fn at(&self, target: &Path) -> Result<(), RootfsError> {
        let options = Options::parse(&self.options);
        let data = options.data.join(",");
        let mounted = if options.flags.contains(MountFlags::BIND) {
            bind(&self.source, target, options.flags)
        } else if self.kind == "overlay" && data.len() > MAX_DATA_BYTES {
            overlay(target, &options)
        } else {
            let data = std::ffi::CString::new(data).map_err(|_| rustix::io::Errno::INVAL);
            data.and_then(|data| {
                rustix::mount::mount(self.source.as_str(), target, self.kind.as_str(), options.flags, &*data)
            })
        };
        mounted.map_err(|err| RootfsError::Mount {
            kind: self.kind.clone(),
            mounted: self.source.clone(),
            target: target.to_owned(),
            err: err.into(),
        })
    }
}

/// Mount options, sorted into flags and the file system's own words.
#[derive(Debug, PartialEq, Eq)]
struct Options<'a> {
    flags: MountFlags,
    data: Vec<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(options: &'a [String]) -> Self {
        let mut flags = MountFlags::empty();
        let mut data = Vec::new();
        for option in options {
            match option.as_str() {
                "bind" => flags |= MountFlags::BIND,
                "rbind" => flags |= MountFlags::BIND | MountFlags::REC,
                "ro" => flags |= MountFlags::RDONLY,
                "nosuid" => flags |= MountFlags::NOSUID,
                "nodev" => flags |= MountFlags::NODEV,
                "noexec" => flags |= MountFlags::NOEXEC,
                "noatime" => flags |= MountFlags::NOATIME,
                "relatime" => flags |= MountFlags::RELATIME,
                "rw" | "defaults" | "" => {}
                other => data.push(other),
            }
        }
        Self { flags, data }
    }
}

/// A bind mount takes other flags only when it is mounted again (`mount(2)`, "Remounting").
fn bind(source: &str, target: &Path, flags: MountFlags) -> rustix::io::Result<()> {
    if flags.contains(MountFlags::REC) {
        rustix::mount::mount_bind_recursive(source, target)?;
    } else {
        rustix::mount::mount_bind(source, target)?;
    }
    if flags.difference(MountFlags::BIND | MountFlags::REC).is_empty() {
        return Ok(());
    }
    let remounted = rustix::mount::mount_remount(target, flags.difference(MountFlags::REC), c"");
    if remounted.is_err() {
        // The bind must not stay without the flags that were asked for.
        let _ = rustix::mount::unmount(target, UnmountFlags::DETACH);
    }
    remounted
}

fn overlay(target: &Path, options: &Options<'_>) -> rustix::io::Result<()> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for option in &options.data {
        match option.split_once('=') {
            Some(("lowerdir", layers)) => {
                for layer in split_layers(layers) {
                    rustix::mount::fsconfig_set_string(&context, "lowerdir+", layer)?;
                }
            }
            Some((key, value)) => rustix::mount::fsconfig_set_string(&context, key, value)?,
            None => rustix::mount::fsconfig_set_flag(&context, *option)?,
        }
    }
    rustix::mount::fsconfig_create(&context)?;
    let mut attributes = MountAttrFlags::empty();
    for (flag, attribute) in [
        (MountFlags::RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (MountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (MountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
        (MountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        (MountFlags::NOATIME, MountAttrFlags::MOUNT_ATTR_NOATIME),
    ] {
        if options.flags.contains(flag) {
            attributes |= attribute;
        }
    }
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&mount, c"", rustix::fs::CWD, target, flags)
}

/// Splits `a:b\:c` at the colons that are not escaped, and undoes the escapes, which `lowerdir+` does not know.
fn split_layers(layers: &str) -> Vec<String> {
    let mut split = vec![String::new()];
    let mut letters = layers.chars();
    while let Some(letter) = letters.next() {
        let last = split.last_mut().expect("never empty");
        match letter {
            '\\' => last.extend(letters.next()),
            ':' => split.push(String::new()),
            other => last.push(other),
        }
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted() {
        let words = ["ro", "lowerdir=/a:/b", "rbind", "rw", "index=off"].map(str::to_owned);
        let options = Options::parse(&words);
        assert_eq!(options.flags, MountFlags::RDONLY | MountFlags::BIND | MountFlags::REC);
        assert_eq!(options.data, ["lowerdir=/a:/b", "index=off"]);
    }

    #[test]
    fn layers_are_split() {
        assert_eq!(split_layers("/a:/b"), ["/a", "/b"]);
        assert_eq!(split_layers(r"/a\:x:/b\\"), ["/a:x", r"/b\"]);
    }
}
