//! Puts files into a root filesystem: the second half of COPY and ADD.
//!
//! The root is an overlay whose changes become the layer, or with `--link` an empty directory. All paths are resolved in
//! the root; nothing that is already there is followed out of it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use drua_sys::root_fs::Root;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};

use crate::chmod::Chmod;
use crate::error::{BuildError, Result};
use crate::fsutil;
use crate::tree::{Found, Selected, Tree};

/// How files change on their way.
#[derive(Debug, Clone, Default)]
pub(crate) struct CopyOptions {
    /// Owner of everything; without it root, or the source's where owners count.
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) chmod: Option<Chmod>,
}

/// Where files go.
pub(crate) struct Target<'t> {
    root: &'t Root,
    /// As written, absolute.
    text: String,
    options: &'t CopyOptions,
}

impl<'t> Target<'t> {
    pub(crate) fn new(root: &'t Root, destination: &str, options: &'t CopyOptions) -> Self {
        Self { root, text: destination.to_owned(), options }
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> BuildError + use<> {
        BuildError::io("write", Path::new(&self.text))
    }

    /// Copies a source: a directory's content into the destination, a file into or onto it.
    pub(crate) fn copy(&self, tree: &Tree, source: &Selected, into_directory: bool) -> Result<()> {
        let below = |path: &Path| crate::tree::inside(&self.text).join(path);
        let top = source.files.first().ok_or_else(|| BuildError::Value("nothing to copy".to_owned()))?;
        let keeps_parents = source.with_parents;
        if source.is_dir() {
            let path = below(&source.parents);
            let path = if keeps_parents { path.join(&source.name) } else { path };
            let dir = self.directory(&path)?;
            return self.content(tree, source, dir);
        }
        let directory = into_directory || keeps_parents;
        let (dir, name) = self.place(&below(&source.parents), directory, &source.name)?;
        let mut top = top.clone();
        if top.kind() == FileType::Symlink {
            // Only what is found inside a directory stays a link.
            top.link = None;
        }
        self.file(tree, &top, &dir, &name)
    }

    /// Writes bytes as a file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], into_directory: bool, mode: u32, time: i64) -> Result<()> {
        let path = crate::tree::inside(&self.text);
        let (dir, name) = self.place(&path, into_directory, OsStr::new(name))?;
        let write = || -> io::Result<()> {
            let mut file = std::fs::File::from(self.create(&dir, &name)?);
            file.write_all(bytes)?;
            let (uid, gid) = self.options.owner.unwrap_or((0, 0));
            rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            let mode = self.options.chmod.as_ref().map_or(Mode::from_raw_mode(mode), |chmod| chmod.apply(mode, false));
            rustix::fs::fchmod(&file, mode)?;
            let at = Timespec { tv_sec: time, tv_nsec: 0 };
            Ok(rustix::fs::futimens(&file, &Timestamps { last_access: at, last_modification: at })?)
        };
        write().map_err(self.failed())
    }

    /// The directory and name that a single file goes to.
    fn place(&self, path: &Path, into_directory: bool, name: &OsStr) -> Result<(OwnedFd, OsString)> {
        let is_dir = || self.root.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).is_ok();
        if into_directory || path.as_os_str().is_empty() || is_dir() {
            return Ok((self.directory(path)?, name.to_owned()));
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.directory(parent)?, path.file_name().unwrap_or_default().to_owned()))
    }

    /// Opens a directory, after making what is missing of it.
    pub(crate) fn directory(&self, path: &Path) -> Result<OwnedFd> {
        let open = |path: &Path| self.root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        if let Ok(dir) = open(path) {
            return Ok(dir);
        }
        let mut here = PathBuf::new();
        let mut dir = open(Path::new("")).map_err(self.failed())?;
        for part in path {
            here.push(part);
            match open(&here) {
                Ok(next) => dir = next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let made = rustix::fs::mkdirat(&dir, part, Mode::from_raw_mode(0o755));
                    made.map_err(|error| self.failed()(error.into()))?;
                    dir = fsutil::open_below(dir.as_fd(), part).map_err(self.failed())?;
                    let (uid, gid) = self.options.owner.unwrap_or((0, 0));
                    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                    rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o755))
                        .and_then(|()| rustix::fs::fchown(&dir, Some(uid), Some(gid)))
                        .map_err(|error| self.failed()(error.into()))?;
                }
                Err(error) if matches!(error.raw_os_error(), Some(20)) => {
                    let (from, to) = (String::new(), format!("/{}", here.display()));
                    return Err(BuildError::Copy { from, to, reason: "it is not a directory" });
                }
                Err(error) => return Err(self.failed()(error)),
            }
        }
        Ok(dir)
    }

    /// Copies what is in a directory.
    fn content(&self, tree: &Tree, source: &Selected, dir: OwnedFd) -> Result<()> {
        // Directories on the way down: path below the source, descriptor, and the facts to set when they are done.
        let mut stack: Vec<(PathBuf, OwnedFd, Option<Stat>)> = vec![(PathBuf::new(), dir, None)];
        for file in &source.files[1..] {
            let parent = file.below.parent().unwrap_or(Path::new(""));
            while stack.last().is_some_and(|(path, ..)| path != parent) {
                let Some((_, dir, stat)) = stack.pop() else { break };
                self.leave(&dir, stat.as_ref())?;
            }
            let Some((_, dir, _)) = stack.last() else {
                return Err(BuildError::Value(format!("`{}` has no parent directory", file.below.display())));
            };
            let name = file.below.file_name().unwrap_or_default();
            if file.kind() == FileType::Directory {
                let (next, made) = self.subdirectory(tree, file, dir, name)?;
                stack.push((file.below.clone(), next, made.then_some(file.stat)));
            } else {
                self.file(tree, file, dir, name)?;
            }
        }
        while let Some((_, dir, stat)) = stack.pop() {
            self.leave(&dir, stat.as_ref())?;
        }
        Ok(())
    }

    /// A directory's time is set when nothing more is put into it.
    fn leave(&self, dir: &OwnedFd, stat: Option<&Stat>) -> Result<()> {
        let Some(stat) = stat else { return Ok(()) };
        rustix::fs::futimens(dir, &times(stat)).map_err(|error| self.failed()(error.into()))
    }

    fn subdirectory(&self, tree: &Tree, file: &Found, dir: &OwnedFd, name: &OsStr) -> Result<(OwnedFd, bool)> {
        match rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {
                let made = fsutil::open_below(dir.as_fd(), name).map_err(self.failed())?;
                self.describe(tree, &file.stat, &made, true).map_err(self.failed())?;
                Ok((made, true))
            }
            Err(rustix::io::Errno::EXIST) => match fsutil::open_below(dir.as_fd(), name) {
                Ok(there) => Ok((there, false)),
                Err(_) => Err(BuildError::Copy {
                    from: file.path.display().to_string(),
                    to: format!("{}/{}", self.text.trim_end_matches('/'), file.below.display()),
                    reason: "cannot copy to non-directory",
                }),
            },
            Err(error) => Err(self.failed()(error.into())),
        }
    }

    fn file(&self, tree: &Tree, file: &Found, dir: &OwnedFd, name: &OsStr) -> Result<()> {
        let onto_directory = || BuildError::Copy {
            from: file.path.display().to_string(),
            to: format!("{}/{}", self.text.trim_end_matches('/'), file.below.display()),
            reason: "cannot copy to directory",
        };
        let stat = &file.stat;
        let result = match (file.kind(), &file.link) {
            (FileType::Symlink, Some(link)) => self.free(dir, name).and_then(|()| {
                rustix::fs::symlinkat(link.as_os_str(), dir, name)?;
                let (uid, gid) = self.owner(tree, stat);
                rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(rustix::fs::utimensat(dir, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
            }),
            (FileType::RegularFile | FileType::Symlink, _) => (|| {
                let mut from = tree.file(&file.path)?;
                let mut to = std::fs::File::from(self.create(dir, name)?);
                io::copy(&mut from, &mut to)?;
                if tree.owners {
                    for (key, value) in fsutil::xattrs(from.as_fd())? {
                        rustix::fs::fsetxattr(&to, key.as_slice(), &value, rustix::fs::XattrFlags::empty())?;
                    }
                }
                let stat = rustix::fs::fstat(&from)?;
                self.describe(tree, &stat, &to.into(), false)
            })(),
            (kind @ (FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo), _) => {
                self.free(dir, name).and_then(|()| {
                    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                    rustix::fs::mknodat(dir, name, kind, mode, stat.st_rdev)?;
                    let (uid, gid) = self.owner(tree, stat);
                    Ok(rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
                })
            }
            // Sockets mean nothing without who listens.
            _ => Ok(()),
        };
        match result {
            Err(error) if matches!(error.raw_os_error(), Some(21)) => Err(onto_directory()),
            result => result.map_err(BuildError::io("copy", &file.path)),
        }
    }

    /// Makes room for a file; a directory stays.
    fn free(&self, dir: &OwnedFd, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn create(&self, dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600));
        match create() {
            Err(rustix::io::Errno::EXIST) => {
                self.free(dir, name)?;
                Ok(create()?)
            }
            result => Ok(result?),
        }
    }

    fn owner(&self, tree: &Tree, stat: &Stat) -> (Uid, Gid) {
        let (uid, gid) = match self.options.owner {
            Some(owner) => owner,
            None if tree.owners => (stat.st_uid, stat.st_gid),
            None => (0, 0),
        };
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }

    /// Owner first: it takes set-id bits away. Times last.
    fn describe(&self, tree: &Tree, stat: &Stat, file: &OwnedFd, is_dir: bool) -> io::Result<()> {
        let (uid, gid) = self.owner(tree, stat);
        rustix::fs::fchown(file, Some(uid), Some(gid))?;
        let mode = stat.st_mode & 0o7777;
        let mode = self.options.chmod.as_ref().map_or(Mode::from_raw_mode(mode), |chmod| chmod.apply(mode, is_dir));
        rustix::fs::fchmod(file, mode)?;
        Ok(rustix::fs::futimens(file, &times(stat))?)
    }
}

fn times(stat: &Stat) -> Timestamps {
    let at = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    Timestamps { last_access: at, last_modification: at }
}

/// The base name of a path or URL.
pub(crate) fn base_name(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    String::from_utf8_lossy(OsStr::new(name).as_bytes()).into_owned()
}
