//! Paths inside somebody else's root directory, resolved by the kernel so that they cannot leave it.
//!
//! Every lookup is `openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)` on an owned fd (openat2(2)): absolute links and
//! `..` are taken relative to the root, `/proc`-style magic links are refused. Callers never join such paths as strings.
//! Needs no privilege by itself. Does not create, parse or limit anything: that is the caller's policy.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, renameat, unlinkat};
use rustix::io::Errno;

/// A directory that is the root of every path looked up through it: a layer, a volume, a container's root filesystem.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
}

impl Root {
    /// Opens the directory at `path` as a root; the path itself is the caller's and is trusted.
    ///
    /// # Errors
    /// As open(2); `ENOTDIR` when it is no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { dir: rustix::fs::openat(CWD, path, flags, Mode::empty())? })
    }

    /// Takes an open directory as a root.
    pub fn from_fd(dir: OwnedFd) -> Self {
        Self { dir }
    }

    /// Opens `path` inside the root, following symbolic links as a process that is confined to the root would.
    ///
    /// `flags` are open(2)'s; `O_CLOEXEC` is always added. `mode` counts only with `O_CREAT`. The parent must exist.
    ///
    /// # Errors
    /// As openat2(2): `ENOENT`, `ENOTDIR`, `ELOOP` for too many or magic links.
    pub fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        self.resolve(path, flags, mode, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }

    /// Opens the regular file at `path` for reading, and nothing else: opening a device node, which an image may bring
    /// along, can already do something to the machine (a watchdog starts, a tape rewinds).
    ///
    /// # Errors
    /// As [`Root::open_at`]; `InvalidInput` when it is no regular file.
    pub fn open_regular(&self, path: &Path) -> io::Result<OwnedFd> {
        let found = self.open_at(path, OFlags::PATH, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let again = format!("/proc/self/fd/{}", found.as_raw_fd());
        Ok(rustix::fs::openat(CWD, again, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Opens `path` inside the root when no component of it is a symbolic link, except that the last one may be a link
    /// that `O_PATH | O_NOFOLLOW` opens as such.
    ///
    /// # Errors
    /// As openat2(2); `ELOOP` when a component is a symbolic link.
    pub fn open_no_links(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        self.resolve(path, flags, Mode::empty(), resolve)
    }

    /// Opens the directory that holds `path`'s last component, and returns that component's name beside it.
    ///
    /// The name is safe for the `*at` calls with `AT_SYMLINK_NOFOLLOW`. `None` when the path names the root itself or
    /// ends in `..`.
    ///
    /// # Errors
    /// As openat2(2) for the parent.
    pub fn parent(&self, path: &Path) -> io::Result<Option<(OwnedFd, OsString)>> {
        let Some(Component::Normal(name)) = path.components().next_back() else { return Ok(None) };
        let parent = path.parent().unwrap_or(Path::new(""));
        let dir = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Some((dir, name.to_owned())))
    }

    /// Opens the directory at `path` as [`Root::open_at`] does with `O_PATH`, and makes it and its parents where they are
    /// missing, with mode 0755 less the umask.
    ///
    /// # Errors
    /// As openat2(2) and mkdirat(2); `ENOTDIR` when a component is something else.
    pub fn make_dirs(&self, path: &Path) -> io::Result<OwnedFd> {
        let open = |path: &Path| self.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
        match open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        for path in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            match open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let Some((parent, name)) = self.parent(path)? else { return Err(error) };
                    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                        // Somebody else was faster.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                found => drop(found?),
            }
        }
        open(path)
    }

    fn resolve(&self, path: &Path, flags: OFlags, mode: Mode, resolve: ResolveFlags) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        loop {
            match openat2(&self.dir, path, flags | OFlags::CLOEXEC, mode, resolve) {
                // A rename elsewhere raced with the walk of `..`; the kernel asks us to try again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// Removes `name` in `dir` with everything below it, without following links and whatever its depth.
///
/// Directories are moved up into `dir` (names `.drua-rm-<n>`) before they are emptied, so that neither the stack, nor open
/// files, nor `PATH_MAX` bound the depth. `dir` should be one that nobody else writes to.
///
/// # Errors
/// As unlinkat(2), renameat(2); `NotFound` when there is no such name.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let mut pending = vec![name.to_owned()];
    let mut moved = 0_u64;
    while let Some(name) = pending.last().cloned() {
        if remove_one(dir, &name)? {
            pending.pop();
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::openat(dir, &name, flags, Mode::empty())?;
        for entry in Dir::read_from(&open)? {
            let entry = entry?;
            let child = OsStr::from_bytes(entry.file_name().to_bytes());
            if child == "." || child == ".." || remove_one(open.as_fd(), child)? {
                continue;
            }
            pending.push(move_up(open.as_fd(), child, dir, &mut moved)?);
        }
    }
    Ok(())
}

/// Unlinks a file or an empty directory; `false` when it is a directory with content.
fn remove_one(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) => return Ok(true),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    match unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Ok(()) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn move_up(from: BorrowedFd<'_>, name: &OsStr, dir: BorrowedFd<'_>, moved: &mut u64) -> io::Result<OsString> {
    loop {
        let parked = OsString::from(format!(".drua-rm-{moved}"));
        *moved += 1;
        match rustix::fs::renameat_with(from, name, dir, &parked, rustix::fs::RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(parked),
            Err(Errno::EXIST) => {}
            // Old or foreign filesystems lack RENAME_NOREPLACE; a name left by a crashed run is an empty directory.
            Err(Errno::INVAL) => return renameat(from, name, dir, &parked).map(|()| parked).map_err(Into::into),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn scratch(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("drua-root-fs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn links_and_dots_stay_inside_the_root() {
        let scratch = scratch("inside");
        let root_path = scratch.join("root");
        std::fs::create_dir_all(root_path.join("etc")).unwrap();
        std::fs::write(root_path.join("etc/name"), "inside").unwrap();
        std::fs::write(scratch.join("secret"), "outside").unwrap();
        symlink("/etc/name", root_path.join("absolute")).unwrap();
        symlink("../../../../etc/name", root_path.join("dots")).unwrap();
        symlink("../secret", root_path.join("escape")).unwrap();
        symlink("/proc/self/root", root_path.join("magic")).unwrap();
        let root = Root::open(&root_path).unwrap();
        for name in ["absolute", "dots", "/etc/name", "../etc/name"] {
            let fd = root.open_at(Path::new(name), OFlags::RDONLY, Mode::empty()).unwrap();
            let text = io::read_to_string(std::fs::File::from(fd)).unwrap();
            assert_eq!(text, "inside", "{name}");
        }
        for name in ["escape", "magic/etc/passwd", "../secret"] {
            assert!(root.open_at(Path::new(name), OFlags::RDONLY, Mode::empty()).is_err(), "{name}");
        }
        assert!(root.open_no_links(Path::new("absolute"), OFlags::RDONLY).is_err());
        assert!(root.parent(Path::new("/")).unwrap().is_none());
        assert_eq!(root.parent(Path::new("etc/new")).unwrap().unwrap().1, "new");
        std::fs::remove_dir_all(&scratch).unwrap();
    }

    #[test]
    fn remove_tree_takes_any_depth_and_follows_no_link() {
        let scratch = scratch("deep");
        std::fs::write(scratch.join("kept"), "").unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::openat(CWD, &scratch, flags, Mode::empty()).unwrap();
        let mut here = top.try_clone().unwrap();
        let name = "a-rather-long-name-so-that-the-whole-path-is-longer-than-path-max";
        for _ in 0..2_000 {
            rustix::fs::mkdirat(&here, name, Mode::from(0o755)).unwrap();
            here = rustix::fs::openat(&here, name, flags, Mode::empty()).unwrap();
            rustix::fs::symlinkat(scratch.join("kept"), &here, "link").unwrap();
        }
        remove_tree(top.as_fd(), OsStr::new(name)).unwrap();
        let left: Vec<_> = std::fs::read_dir(&scratch).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["kept"]);
        std::fs::remove_dir_all(&scratch).unwrap();
    }
}
