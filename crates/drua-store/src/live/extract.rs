//! Tar → a directory of a root that may be in use.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use drua_sys::root_fs::{Root, remove_tree};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::{is_kernel_fs, mount_id};
use crate::decode::Decoder;
use crate::limits::{Budget, Limits};
use crate::tar_stream::{Entry, Kind, TarError, TarReader};
use crate::unpack::{ApplyError, failed, metadata, refused, relative};

const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How an archive is unpacked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extract {
    /// Refuse to replace a directory by something else, and the other way round.
    pub keep_kinds: bool,
    /// Who owns everything, instead of the archive's ids.
    pub owner: Option<(u32, u32)>,
}

/// Unpacks a tar stream (plain, or in a compression that the store knows) into the directory `dest` below `root`.
///
/// What is there already is replaced as `tar` does; what the archive does not name stays. `..` in names is refused; links on
/// the way are followed as a process in the root would. Nothing is undone after a failure.
///
/// # Errors
/// [`ApplyError`]; kind invalid for what the archive or its client can mend.
pub fn extract(stream: &mut dyn Read, root: &Root, dest: &Path, options: Extract) -> Result<(), ApplyError> {
    let tar_error = |source| ApplyError::Tar { source };
    let decoder = Decoder::new(stream).map_err(|source| tar_error(TarError::Read { source }))?;
    // A client that may copy is root on this machine anyway: the limits are there against accidents.
    let limits = Limits { entries: 50_000_000, unpacked_bytes: i64::MAX.unsigned_abs(), ..Limits::default() };
    let mut reader = TarReader::new(decoder, Budget::new(limits));
    let mut extractor = Extractor { root, dest: dest.to_owned(), options, parent: None, directories: Vec::new() };
    while let Some(entry) = reader.next_entry().map_err(tar_error)? {
        extractor.apply(&entry, &mut reader)?;
    }
    extractor.finish();
    Ok(())
}

struct Extractor<'a> {
    root: &'a Root,
    dest: PathBuf,
    options: Extract,
    /// The directory of the last entry: neighbors in a tar are neighbors on disk.
    parent: Option<(PathBuf, OwnedFd)>,
    directories: Vec<(PathBuf, (i64, u32))>,
}

struct Place<'a> {
    dir: OwnedFd,
    name: &'a OsStr,
}

impl Extractor<'_> {
    fn apply(&mut self, entry: &Entry, data: &mut TarReader<impl Read>) -> Result<(), ApplyError> {
        let path = relative(&entry.path, entry)?;
        // The directory that is unpacked into is its owner's.
        let Some(name) = path.file_name() else { return Ok(()) };
        let dir = self.parent_dir(path.parent().unwrap_or(Path::new("")), entry)?;
        let place = Place { dir, name };
        if entry.kind == Kind::Directory {
            return self.directory(&place, &path, entry);
        }
        self.make_way(&place, entry)?;
        match entry.kind {
            Kind::File => self.file(&place, entry, data),
            Kind::Symlink => {
                let target = OsStr::from_bytes(&entry.link);
                rustix::fs::symlinkat(target, &place.dir, place.name).map_err(failed("create", entry))?;
                self.finish_node(&place, entry, false)
            }
            Kind::HardLink => self.hard_link(&place, entry),
            Kind::CharDevice => self.node(&place, entry, FileType::CharacterDevice),
            Kind::BlockDevice => self.node(&place, entry, FileType::BlockDevice),
            Kind::Fifo => self.node(&place, entry, FileType::Fifo),
            Kind::Directory | Kind::Other(_) => Ok(()),
        }
    }

    /// The directory at `path` below the destination, made when missing.
    fn parent_dir(&mut self, path: &Path, entry: &Entry) -> Result<OwnedFd, ApplyError> {
        let attempt = "open the directory of";
        if let Some((cached, fd)) = &self.parent
            && cached == path
        {
            return fd.try_clone().map_err(failed(attempt, entry));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let whole = self.dest.join(path);
        let dir = match self.root.open_at(&whole, flags, Mode::empty()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.file_name().is_some() => {
                let parent = self.parent_dir(path.parent().unwrap_or(Path::new("")), entry)?;
                let name = path.file_name().unwrap_or_default();
                match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                    Err(Errno::EXIST) => {}
                    made => made.map_err(failed("create the directory of", entry))?,
                }
                self.root.open_at(&whole, flags, Mode::empty()).map_err(failed(attempt, entry))?
            }
            found => found.map_err(failed(attempt, entry))?,
        };
        if is_kernel_fs(&dir) {
            return Err(refused(entry, "it is in a file system of the kernel"));
        }
        self.parent = Some((path.to_owned(), dir.try_clone().map_err(failed(attempt, entry))?));
        Ok(dir)
    }

    fn kind_at(place: &Place<'_>, entry: &Entry) -> Result<Option<FileType>, ApplyError> {
        match rustix::fs::statat(&place.dir, place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("look up", entry)(error)),
        }
    }

    fn directory(&mut self, place: &Place<'_>, path: &Path, entry: &Entry) -> Result<(), ApplyError> {
        match Self::kind_at(place, entry)? {
            Some(FileType::Directory) => {}
            None => self.make_directory(place, entry)?,
            Some(_) if self.options.keep_kinds => {
                return Err(refused(entry, "cannot overwrite non-directory with directory"));
            }
            Some(_) => {
                self.clear(place, entry)?;
                self.make_directory(place, entry)?;
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&place.dir, place.name, flags, Mode::empty()).map_err(failed("open", entry))?;
        if is_kernel_fs(&dir) {
            return Err(refused(entry, "it is in a file system of the kernel"));
        }
        self.metadata(&dir, entry)?;
        self.directories.push((self.dest.join(path), entry.mtime));
        Ok(())
    }

    fn make_directory(&self, place: &Place<'_>, entry: &Entry) -> Result<(), ApplyError> {
        rustix::fs::mkdirat(&place.dir, place.name, Mode::RWXU).map_err(failed("create directory", entry))
    }

    /// Removes what has the name of an entry that is no directory.
    fn make_way(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), ApplyError> {
        match Self::kind_at(place, entry)? {
            None => Ok(()),
            Some(FileType::Directory) if self.options.keep_kinds => {
                Err(refused(entry, "cannot overwrite directory with non-directory"))
            }
            Some(_) if is_mount_point(place) => match entry.kind {
                // It cannot be replaced, but it can be written (`/etc/hosts`).
                Kind::File => Ok(()),
                _ => Err(refused(entry, "something is mounted there")),
            },
            Some(_) => self.clear(place, entry),
        }
    }

    fn clear(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), ApplyError> {
        // The cached parent may be below what is removed.
        self.parent = None;
        match remove_tree(place.dir.as_fd(), place.name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(failed("replace", entry)),
        }
    }

    fn file(&mut self, place: &Place<'_>, entry: &Entry, data: &mut TarReader<impl Read>) -> Result<(), ApplyError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created = rustix::fs::openat(&place.dir, place.name, flags, Mode::RUSR | Mode::WUSR);
        let fd = match created {
            Err(Errno::EXIST) => mounted_file(place).map_err(failed("open", entry))?,
            fd => fd.map_err(failed("create", entry))?,
        };
        let file = std::fs::File::from(fd);
        match &entry.sparse {
            None => copy(&file, 0, entry.size, entry, data)?,
            Some((extents, size)) => {
                file.set_len(*size).map_err(failed("extend", entry))?;
                for extent in extents {
                    copy(&file, extent.offset, extent.bytes, entry, data)?;
                }
            }
        }
        self.metadata(file.as_fd(), entry)?;
        metadata::set_times(file.as_fd(), entry.mtime).map_err(failed("set the times of", entry))
    }

    fn hard_link(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), ApplyError> {
        let target = relative(&entry.link, entry)?;
        let found = self.root.parent(&self.dest.join(&target)).map_err(failed("find the link target of", entry))?;
        let (dir, name) = found.ok_or_else(|| refused(entry, "a hard link to a directory"))?;
        // Without AT_SYMLINK_FOLLOW a symbolic link itself is linked, never what it points to.
        rustix::fs::linkat(&dir, &name, &place.dir, place.name, AtFlags::empty()).map_err(failed("create", entry))
    }

    fn node(&self, place: &Place<'_>, entry: &Entry, kind: FileType) -> Result<(), ApplyError> {
        let device = if kind == FileType::Fifo { 0 } else { rustix::fs::makedev(entry.device.0, entry.device.1) };
        rustix::fs::mknodat(&place.dir, place.name, kind, Mode::RUSR | Mode::WUSR, device)
            .map_err(failed("create", entry))?;
        self.finish_node(place, entry, true)
    }

    /// Owner, mode and times of what cannot be opened: by a descriptor of the name itself, since the container may put a
    /// link in its place at any time.
    fn finish_node(&self, place: &Place<'_>, entry: &Entry, has_mode: bool) -> Result<(), ApplyError> {
        let fd = rustix::fs::openat(&place.dir, place.name, PATH_ONLY, Mode::empty()).map_err(failed("open", entry))?;
        let (uid, gid) = self.owner(entry);
        rustix::fs::chownat(&fd, "", uid, gid, AtFlags::EMPTY_PATH).map_err(failed("set the owner of", entry))?;
        if has_mode {
            let itself = format!("/proc/self/fd/{}", fd.as_raw_fd());
            rustix::fs::chmodat(CWD, itself, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                .map_err(failed("set the mode of", entry))?;
        }
        let times = metadata::timestamps(entry.mtime);
        rustix::fs::utimensat(&place.dir, place.name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("set the times of", entry))
    }

    fn metadata(&self, fd: impl std::os::fd::AsFd, entry: &Entry) -> Result<(), ApplyError> {
        let fd = fd.as_fd();
        let (uid, gid) = self.owner(entry);
        rustix::fs::fchown(fd, uid, gid).map_err(failed("set the owner of", entry))?;
        rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode)).map_err(failed("set the mode of", entry))?;
        for (name, value) in entry.xattrs.iter().filter(|(name, _)| metadata::is_allowed(name)) {
            metadata::set_xattr(fd, name, value).map_err(failed("set an extended attribute of", entry))?;
        }
        Ok(())
    }

    fn owner(&self, entry: &Entry) -> (Option<Uid>, Option<Gid>) {
        let (uid, gid) = self.options.owner.unwrap_or((entry.uid, entry.gid));
        (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
    }

    /// The times of directories, which change while they are filled. Nobody misses one that has gone meanwhile.
    fn finish(&mut self) {
        for (path, mtime) in self.directories.iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            if let Ok(dir) = self.root.open_at(path, flags, Mode::empty()) {
                let _ = metadata::set_times(dir.as_fd(), *mtime);
            }
        }
    }
}

fn is_mount_point(place: &Place<'_>) -> bool {
    let found = rustix::fs::openat(&place.dir, place.name, PATH_ONLY, Mode::empty());
    found.is_ok_and(|found| mount_id(&found) != mount_id(&place.dir))
}

/// A regular file that is mounted at this place (`/etc/hosts`), emptied. Nothing else is opened.
fn mounted_file(place: &Place<'_>) -> rustix::io::Result<OwnedFd> {
    let found = rustix::fs::openat(&place.dir, place.name, PATH_ONLY, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::RegularFile || is_kernel_fs(&found) {
        return Err(Errno::EXIST);
    }
    let again = OsString::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    rustix::fs::openat(CWD, again, OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC, Mode::empty())
}

fn copy(
    file: &std::fs::File,
    mut offset: u64,
    mut left: u64,
    entry: &Entry,
    data: &mut TarReader<impl Read>,
) -> Result<(), ApplyError> {
    let mut buffer = vec![0; (128 << 10).min(usize::try_from(left).unwrap_or(128 << 10))];
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = data.read(&mut buffer[..want]).map_err(|source| ApplyError::Tar { source })?;
        if read == 0 {
            return Err(refused(entry, "its sparse map is longer than its data"));
        }
        file.write_all_at(&buffer[..read], offset).map_err(failed("write", entry))?;
        offset += read as u64;
        left -= read as u64;
    }
    Ok(())
}
