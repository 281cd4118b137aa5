//! The container's mounts, made below its root directory while the host's files are still in sight.
//!
//! Every mount is made unattached (`fsopen`, `open_tree`), gets its attributes, and is then attached to a place that was
//! found by `openat2` in the root: no link of the image leads anywhere else, and nobody sees a mount that is not finished.

use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use drua_sys::mount_attr::{Change, change};
use drua_sys::root_fs::Root;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, makedev, mkdirat, openat, symlinkat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::options::{Source, Wanted};
use crate::cgroup::View;

/// What was attempted, on what, and why it failed: text, since it goes through a pipe.
pub(super) type Result<T> = std::result::Result<T, String>;

pub(super) fn failed<E: Display>(action: &str, what: impl Display) -> impl FnOnce(E) -> String {
    let text = format!("cannot {action} `{what}`");
    move |err| format!("{text}: {err}")
}

/// Makes `wanted` in the container's `root`.
pub(super) fn mount(root: &Root, wanted: &Wanted, cgroups: &[View]) -> Result<()> {
    let destination = &wanted.destination;
    match &wanted.source {
        Source::Bind { path, recursive } => {
            let tree = clone_tree(path, *recursive).map_err(failed("mount", path.display()))?;
            let stat = fstat(&tree).map_err(failed("examine", path.display()))?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            set_attributes(&tree, wanted).map_err(failed("set the options of the mount of", path.display()))?;
            attach(root, &tree, destination, is_directory)
        }
        Source::FileSystem { kind, name, data } => {
            let place = place(root, destination, kind)?;
            let tree = make(kind, name, data, wanted, &place)
                .map_err(failed(&format!("mount {kind} at"), destination.display()))?;
            attach_at(&tree, &place).map_err(failed("mount at", destination.display()))
        }
        Source::Cgroup => {
            mount_cgroups(root, wanted, cgroups).map_err(failed("mount the cgroups at", destination.display()))
        }
    }
}

/// Attaches `tree` at `destination`, which is made where it is missing.
fn attach(root: &Root, tree: &OwnedFd, destination: &Path, is_directory: bool) -> Result<()> {
    let place = if is_directory { root.make_dirs(destination) } else { make_file(root, destination) };
    let place = place.map_err(failed("make the mount point", destination.display()))?;
    attach_at(tree, &place).map_err(failed("mount at", destination.display()))
}

pub(super) fn attach_at(tree: &impl AsFd, place: &impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree, c"", place, c"", flags)?)
}

/// A copy of the mount at `path`, unattached.
fn clone_tree(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    Ok(open_tree(CWD, path, flags)?)
}

/// The same of an open file or directory.
pub(super) fn clone_of(fd: &impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    Ok(open_tree(fd, c"", flags)?)
}

/// Where a file system of its own goes. `/proc` and `/sys` are trusted later, so no link may stand in for them.
fn place(root: &Root, destination: &Path, kind: &str) -> Result<OwnedFd> {
    let made = root.make_dirs(destination).map_err(failed("make the mount point", destination.display()))?;
    if matches!(kind, "proc" | "sysfs") {
        let found = root.open_no_links(destination, OFlags::PATH | OFlags::DIRECTORY);
        return found.map_err(failed("mount on anything but an ordinary directory", destination.display()));
    }
    Ok(made)
}

fn make(kind: &str, name: &str, data: &[String], wanted: &Wanted, place: &OwnedFd) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if !name.is_empty() {
        fsconfig_set_string(&context, c"source", name)?;
    }
    for option in data {
        match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(&context, key, value)?,
            None => fsconfig_set_flag(&context, option.as_str())?,
        }
    }
    if kind == "tmpfs" && !data.iter().any(|option| option.starts_with("mode=")) {
        // As runc does: what is covered keeps its mode.
        fsconfig_set_string(&context, c"mode", format!("{:o}", fstat(place)?.st_mode & 0o7777))?;
    }
    let is_virtual = matches!(kind, "proc" | "sysfs" | "tmpfs" | "devpts" | "mqueue");
    if wanted.is_readonly() && !is_virtual {
        fsconfig_set_flag(&context, c"ro")?;
    }
    fsconfig_create(&context)?;
    let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, wanted.own.set)?;
    if !wanted.all.is_none() {
        change(&tree, &wanted.all)?;
    }
    set_propagation(&tree, wanted)?;
    Ok(tree)
}

fn set_attributes(tree: &OwnedFd, wanted: &Wanted) -> io::Result<()> {
    for attributes in [&wanted.own, &wanted.all] {
        if !attributes.is_none() {
            change(tree, attributes)?;
        }
    }
    set_propagation(tree, wanted)
}

fn set_propagation(tree: &OwnedFd, wanted: &Wanted) -> io::Result<()> {
    for (propagation, recursive) in &wanted.propagation {
        change(tree, &Change { propagation: *propagation, recursive: *recursive, ..Change::NONE })?;
    }
    Ok(())
}

/// Opens the file at `path` in the root, empty if it was missing.
fn make_file(root: &Root, path: &Path) -> io::Result<OwnedFd> {
    match root.open_at(path, OFlags::PATH, Mode::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    drop(root.make_dirs(path.parent().unwrap_or(Path::new("/")))?);
    let Some((parent, name)) = root.parent(path)? else { return Err(io::ErrorKind::InvalidInput.into()) };
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    drop(openat(&parent, name.as_os_str(), flags, Mode::from_raw_mode(0o755))?);
    root.open_at(path, OFlags::PATH, Mode::empty())
}

/// Binds the container's own cgroups, from where the host has them. In a cgroup namespace of its own that looks like mounting
/// the hierarchies again, and takes a tenth of the time.
fn mount_cgroups(root: &Root, wanted: &Wanted, views: &[View]) -> io::Result<()> {
    let target = root.make_dirs(&wanted.destination)?;
    let attributes = Change { set: wanted.own.set, ..Change::NONE };
    if let [View { name: None, directory, .. }] = views {
        let tree = clone_tree(directory, false)?;
        change(&tree, &attributes)?;
        return attach_at(&tree, &target);
    }
    let frame = small_tmpfs(c"cgroup", attributes.set - MountAttrFlags::MOUNT_ATTR_RDONLY, "mode=755")?;
    attach_at(&frame, &target)?;
    for view in views {
        let Some(name) = &view.name else { continue };
        mkdirat(&frame, name.as_str(), Mode::from_raw_mode(0o755))?;
        let place = openat(&frame, name.as_str(), OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let tree = clone_tree(&view.directory, false)?;
        change(&tree, &attributes)?;
        attach_at(&tree, &place)?;
        for link in &view.links {
            symlinkat(name.as_str(), &frame, link.as_str())?;
        }
    }
    change(&frame, &attributes)
}

fn small_tmpfs(name: &std::ffi::CStr, attributes: MountAttrFlags, option: &str) -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"source", name)?;
    for option in option.split(',') {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        fsconfig_set_string(&context, key, value)?;
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// An empty directory that nobody can write to, unattached; copies of it hide things.
pub(super) fn empty_directory() -> io::Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    small_tmpfs(c"tmpfs", attributes, "nr_blocks=1,nr_inodes=1,mode=555")
}

/// Hides the paths: directories behind an empty one, everything else behind `/dev/null`. What does not exist needs no hiding.
pub(super) fn mask(root: &Root, paths: &[String]) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    let empty = empty_directory().map_err(failed("make", "an empty directory"))?;
    // The container's own, which may be the image's or a user's mount: a link or another file must not get into /proc
    // (CVE-2025-31133).
    let null = root.open_no_links(Path::new("/dev/null"), OFlags::PATH).ok().filter(|null| {
        fstat(null).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == makedev(1, 3)
        })
    });
    // An unattached mount can be attached once; further copies are made of where it is then.
    let mut first = Some(empty);
    let mut attached: Option<OwnedFd> = None;
    for path in paths {
        let Some(place) = existing(root, path)? else { continue };
        let stat = fstat(&place).map_err(failed("examine", path))?;
        let hidden = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match (first.take(), &attached) {
                (Some(tree), _) => attach_at(&tree, &place).map(|()| attached = Some(tree)),
                (None, Some(tree)) => clone_of(tree, false).and_then(|tree| attach_at(&tree, &place)),
                (None, None) => Ok(()),
            }
        } else {
            let null =
                null.as_ref().ok_or_else(|| format!("cannot hide `{path}`: the container's `/dev/null` is none"))?;
            clone_of(null, false).and_then(|tree| attach_at(&tree, &place))
        };
        hidden.map_err(failed("hide", path))?;
    }
    Ok(())
}

/// Makes the paths read-only. What does not exist needs no protection.
pub(super) fn protect(root: &Root, paths: &[String]) -> Result<()> {
    for path in paths {
        let Some(place) = existing(root, path)? else { continue };
        let protect = || {
            let tree = clone_of(&place, true)?;
            change(&tree, &Change { set: MountAttrFlags::MOUNT_ATTR_RDONLY, recursive: true, ..Change::NONE })?;
            attach_at(&tree, &place)
        };
        protect().map_err(failed("make read-only", path))?;
    }
    Ok(())
}

fn existing(root: &Root, path: &str) -> Result<Option<OwnedFd>> {
    match root.open_at(Path::new(path), OFlags::PATH, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(err) => Err(failed("find", path)(err)),
    }
}
