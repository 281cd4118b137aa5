//! `docker cp` and `docker export`.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use drua_store::live::{self, Extract, Packer};
use jiff::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatVfsMountFlags};
use rustix::io::Errno;

use super::{ContainerFiles, FilesError};

/// What is at a path of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// Last name of the path as asked for; `/` for the root.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Type and permissions, as in stat(2).
    pub mode: u32,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Where a symbolic link leads to, as a path in the container; empty for anything else.
    pub link_target: String,
}

/// A path as a client gives it, cleaned without looking at links, as Docker does.
struct Asked {
    path: PathBuf,
    /// Whether a link at its end is followed: it ends in `/` or `/.`.
    follow: bool,
    /// What the root entry of an archive is called.
    base: Vec<u8>,
}

impl Asked {
    fn parse(text: &str) -> Result<Self, FilesError> {
        if text.contains('\0') {
            return Err(FilesError::BadPath(text.replace('\0', "\\0")));
        }
        let mut path = PathBuf::from("/");
        for component in Path::new(text).components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::ParentDir => drop(path.pop()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        let dot = text.ends_with("/.") || text == ".";
        let follow = dot || text.ends_with('/');
        let base = match path.file_name() {
            _ if dot => b".".to_vec(),
            Some(name) => name.as_bytes().to_vec(),
            None => b"/".to_vec(),
        };
        Ok(Self { path, follow, base })
    }
}

/// Something at a path.
struct Found {
    fd: OwnedFd,
    stat: Stat,
    asked: Asked,
}

impl ContainerFiles {
    fn find(&self, text: &str) -> Result<Found, FilesError> {
        let asked = Asked::parse(text)?;
        let links = if asked.follow { OFlags::DIRECTORY } else { OFlags::NOFOLLOW };
        let missing = || FilesError::NoSuchFile { path: text.to_owned(), container: self.name.clone() };
        let failed = |action, source: std::io::Error| match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => missing(),
            _ => FilesError::Io { action, path: asked.path.clone(), source },
        };
        let fd = self.root.open_at(&asked.path, OFlags::PATH | links, Mode::empty()).map_err(|e| failed("open", e))?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| failed("look up", e.into()))?;
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if !is_link && live::is_kernel_fs(&fd) && !is_root_of_mount(&self.root, &asked.path, &fd) {
            // To us the container's /proc shows more than to the container.
            return Err(missing());
        }
        Ok(Found { fd, stat, asked })
    }

    /// What is at a path. A link at its end is not followed, unless the path ends in `/` or `/.`.
    ///
    /// # Errors
    /// [`FilesError::NoSuchFile`].
    pub fn stat(&self, path: &str) -> Result<PathStat, FilesError> {
        Ok(self.describe(&self.find(path)?))
    }

    fn describe(&self, found: &Found) -> PathStat {
        let stat = &found.stat;
        let link_target = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => self.link_target(found),
            _ => String::new(),
        };
        let nanos = i32::try_from(stat.st_mtime_nsec).unwrap_or(0);
        PathStat {
            name: String::from_utf8_lossy(&found.asked.base).into_owned(),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode,
            mtime: Timestamp::new(stat.st_mtime, nanos).unwrap_or_default(),
            link_target,
        }
    }

    /// Where a link leads to in the end; for one that leads nowhere, where it says.
    fn link_target(&self, found: &Found) -> String {
        let real = self.root.open_at(&found.asked.path, OFlags::PATH, Mode::empty()).ok();
        if let Some(path) = real.and_then(|fd| self.path_of(&fd)) {
            return path.display().to_string();
        }
        let Ok(target) = rustix::fs::readlinkat(&found.fd, "", Vec::new()) else { return String::new() };
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        let parent = found.asked.path.parent().unwrap_or(Path::new("/"));
        let parent = self.root.open_at(parent, OFlags::PATH, Mode::empty()).ok().and_then(|fd| self.path_of(&fd));
        let whole = parent.unwrap_or_else(|| PathBuf::from("/")).join(target);
        let whole = Asked::parse(&whole.display().to_string()).map(|asked| asked.path).unwrap_or_default();
        whole.display().to_string()
    }

    /// The path of a descriptor within the root.
    fn path_of(&self, fd: &OwnedFd) -> Option<PathBuf> {
        let of =
            |fd: &dyn std::os::fd::AsFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())).ok();
        let (root, path) = (of(&self.root)?, of(fd)?);
        Some(Path::new("/").join(path.strip_prefix(&root).ok()?))
    }

    /// Looks up what [`ContainerFiles::read`] would write, without writing.
    ///
    /// # Errors
    /// [`FilesError::NoSuchFile`].
    pub fn open(&self, path: &str) -> Result<Opened<'_>, FilesError> {
        let found = self.find(path)?;
        Ok(Opened { stat: self.describe(&found), files: self, found })
    }

    /// Unpacks a tar stream into a directory of the container. With `as_user`, everything belongs to the container's user.
    ///
    /// # Errors
    /// [`FilesError`]; nothing is undone.
    pub fn write(&self, path: &str, tar: &mut dyn Read, keep_kinds: bool, as_user: bool) -> Result<(), FilesError> {
        let asked = Asked::parse(path)?;
        let failed = |source: std::io::Error| match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::LOOP | Errno::NAMETOOLONG) => {
                FilesError::NoSuchFile { path: path.to_owned(), container: self.name.clone() }
            }
            Some(Errno::NOTDIR) => FilesError::NotADirectory,
            _ => FilesError::Io { action: "open", path: asked.path.clone(), source },
        };
        let dir = self.root.open_at(&asked.path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).map_err(failed)?;
        if live::is_kernel_fs(&dir) {
            return Err(FilesError::KernelFs(path.to_owned()));
        }
        self.check_writable(&dir)?;
        let owner = as_user.then(|| self.owner()).flatten();
        live::extract(tar, &self.root, &asked.path, Extract { keep_kinds, owner })?;
        Ok(())
    }

    /// Removes a file, a link or an empty folder. One that is not there, or a folder that is not empty, is left alone.
    ///
    /// # Errors
    /// [`FilesError`].
    pub fn remove(&self, path: &str) -> Result<(), FilesError> {
        let asked = Asked::parse(path)?;
        let failed = |source: std::io::Error| FilesError::Io { action: "remove", path: asked.path.clone(), source };
        let parent = match self.root.parent(&asked.path) {
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            parent => parent.map_err(failed)?,
        };
        let Some((dir, name)) = parent else { return Err(FilesError::BadPath(path.to_owned())) };
        if live::is_kernel_fs(&dir) {
            return Err(FilesError::KernelFs(path.to_owned()));
        }
        self.check_writable(&dir)?;
        let removed = match rustix::fs::unlinkat(&dir, &name, AtFlags::empty()) {
            Err(Errno::ISDIR) => rustix::fs::unlinkat(&dir, &name, AtFlags::REMOVEDIR),
            removed => removed,
        };
        match removed {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
            Err(error) => Err(failed(error.into())),
        }
    }

    fn check_writable(&self, dir: &OwnedFd) -> Result<(), FilesError> {
        let on_root = live::mount_id(dir) == live::mount_id(self.root.as_fd());
        if on_root && self.container.host.readonly_rootfs {
            return Err(FilesError::ReadOnlyRootfs);
        }
        let read_only = rustix::fs::fstatvfs(dir).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
        match (read_only, on_root) {
            (false, _) => Ok(()),
            (true, true) => Err(FilesError::ReadOnlyRootfs),
            (true, false) => Err(FilesError::ReadOnlyVolume),
        }
    }

    /// The container's user by numbers; `None` when it says none, or one that its files do not know.
    fn owner(&self) -> Option<(u32, u32)> {
        let user = &self.container.config.user;
        if user.is_empty() {
            return None;
        }
        let read = |path: &str| {
            let mut content = Vec::new();
            if let Ok(fd) = self.root.open_regular(Path::new(path)) {
                let limit = drua_runtime::users::MAX_FILE_BYTES as u64;
                // Half a file is as good as none: names are looked up in it.
                let _ = std::fs::File::from(fd).take(limit).read_to_end(&mut content);
            }
            content
        };
        let user = drua_runtime::users::resolve(user, &[], &read("/etc/passwd"), &read("/etc/group")).ok()?;
        Some((user.uid, user.gid))
    }

    /// Writes the whole root filesystem as a tar archive, without an entry for the root itself.
    ///
    /// # Errors
    /// [`FilesError::Pack`].
    pub fn export(&self, out: impl Write) -> Result<(), FilesError> {
        let mut packer = Packer::new(out).one_mount(&self.root);
        packer.add_content(self.root.as_fd(), b"")?;
        packer.finish()?;
        Ok(())
    }
}

/// Something of a container that is about to be copied out.
#[derive(Debug)]
pub struct Opened<'a> {
    /// What it is.
    pub stat: PathStat,
    files: &'a ContainerFiles,
    found: Found,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("path", &self.asked.path).finish_non_exhaustive()
    }
}

impl Opened<'_> {
    /// Writes it as a tar archive whose first entry has the last name of the path.
    ///
    /// # Errors
    /// [`FilesError::Pack`].
    pub fn read(self, out: impl Write) -> Result<(), FilesError> {
        let _files = self.files;
        let mut packer = Packer::new(out);
        packer.add(self.found.fd, &self.found.asked.base)?;
        packer.finish()?;
        Ok(())
    }
}

/// Whether `fd` is the top of what is mounted at `path`: `/proc` itself is an empty directory to clients.
fn is_root_of_mount(root: &drua_sys::root_fs::Root, path: &Path, fd: &OwnedFd) -> bool {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let parent = root.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
    parent.is_ok_and(|parent| live::mount_id(&parent) != live::mount_id(fd) && !live::is_kernel_fs(&parent))
}
