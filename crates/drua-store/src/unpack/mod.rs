//! A layer's tar becomes a directory that overlayfs can use as a lower layer.
//!
//! Every path is resolved by fd inside the new directory ([`drua_sys::root_fs`]); nothing outside it can be read, changed
//! or created, whatever names and links the tar has. Whiteouts become overlayfs' own marks (character device 0:0,
//! `trusted.overlay.opaque`; kernel Documentation/filesystems/overlayfs.rst, OCI image-spec layer.md#whiteouts).
//!
//! Does not decompress, verify digests or know images. Needs root (see the crate's docs). The target must be private to
//! the caller until this is done.

pub(crate) mod metadata;
mod parents;

pub(crate) use metadata::OPAQUE_XATTR;
pub(crate) use parents::{Settled, settle};

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};

use drua_sys::root_fs::{Root, remove_tree};
use drua_types::{Classify, ErrorKind, Hint};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::limits::Budget;
use crate::storage::disk_full_hints;
use crate::tar_stream::{Entry, Kind, TarError, TarReader, printable};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const COPY_BYTES: usize = 128 << 10;

/// A layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The stream is no good.
    #[error("failed to read the layer")]
    Tar {
        /// What is wrong with it.
        #[source]
        source: TarError,
    },
    /// An entry wants to be outside the layer.
    #[error("refused the entry `{entry}`: {reason}")]
    Refused {
        /// The entry's name.
        entry: String,
        /// Why.
        reason: &'static str,
    },
    /// An entry could not be created.
    #[error("failed to {action} `{entry}`")]
    Entry {
        /// What was attempted, for example `create`.
        action: &'static str,
        /// The entry's name.
        entry: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Classify for ApplyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Tar { .. } | Self::Refused { .. } => ErrorKind::Invalid,
            Self::Entry { source, .. } => match source.raw_os_error().map(Errno::from_raw_os_error) {
                // What the tar asks for is impossible: a missing link target, a file where a directory should be, a name
                // that is too long, links in a circle.
                Some(
                    Errno::NOENT
                    | Errno::NOTDIR
                    | Errno::NAMETOOLONG
                    | Errno::LOOP
                    | Errno::INVAL
                    | Errno::MLINK
                    | Errno::FBIG
                    | Errno::ROFS,
                ) => ErrorKind::Invalid,
                _ => ErrorKind::Internal,
            },
        }
    }
}

impl Hint for ApplyError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Entry { source, .. } => disk_full_hints(source),
            Self::Tar { .. } | Self::Refused { .. } => Vec::new(),
        }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Bytes of file data.
    pub(crate) bytes: u64,
    /// Whether the archive's end marker was there.
    pub(crate) ended: bool,
    /// Directories that the tar takes for granted and that were made without looking at the layers below, which were not
    /// there yet: [`settle`] makes them right.
    pub(crate) implied: BTreeSet<PathBuf>,
}

/// The layers below the one to be unpacked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Below<'a> {
    /// Their root directories, topmost first.
    Here(&'a [PathBuf]),
    /// They are unpacked at the same time.
    Later,
}

/// Unpacks a tar stream into the empty directory `target`.
///
/// Reads the stream to its very end, so that the caller can compare its digest.
pub(crate) fn unpack(
    stream: &mut dyn Read,
    target: &Path,
    below: Below<'_>,
    budget: &Budget,
) -> Result<Unpacked, ApplyError> {
    let lowers = match below {
        Below::Here(lowers) => lowers.iter().map(|path| parents::Lower::open(path)).collect::<Result<_, _>>()?,
        Below::Later => Vec::new(),
    };
    let mut unpacker = Unpacker {
        root: open_root(target)?,
        lowers,
        parent: None,
        directories: Vec::new(),
        bytes: 0,
        implied: BTreeSet::new(),
        budget: budget.clone(),
    };
    let mut reader = TarReader::new(stream, budget.clone());
    let tar_error = |source| ApplyError::Tar { source };
    while let Some(entry) = reader.next_entry().map_err(tar_error)? {
        unpacker.apply(&entry, &mut reader)?;
    }
    unpacker.finish()?;
    let implied = match below {
        Below::Here(_) => BTreeSet::new(),
        Below::Later => unpacker.implied,
    };
    let done = Unpacked { bytes: unpacker.bytes, ended: reader.ended(), implied };
    let rest = io::copy(reader.into_inner(), &mut io::sink());
    rest.map_err(|source| tar_error(TarError::Read { source }))?;
    Ok(done)
}

struct Unpacker {
    root: Root,
    lowers: Vec<parents::Lower>,
    /// The directory of the last entry: neighbors in a tar are neighbors on disk.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Their times are set last, since creating what is in them changes them.
    directories: Vec<(PathBuf, (i64, u32))>,
    bytes: u64,
    /// Directories that neither this tar nor, as far as was looked, the layers below have.
    implied: BTreeSet<PathBuf>,
    budget: Budget,
}

/// Where an entry goes: its parent directory and its name in it.
struct Place<'a> {
    dir: OwnedFd,
    name: &'a OsStr,
}

impl Unpacker {
    fn apply(&mut self, entry: &Entry, data: &mut TarReader<impl Read>) -> Result<(), ApplyError> {
        if let Kind::Other(flag) = entry.kind {
            tracing::debug!(flag, entry = printable(&entry.path), "skipping a tar entry that is no file");
            return Ok(());
        }
        let path = relative(&entry.path, entry)?;
        let Some(name) = path.file_name() else { return self.apply_root(entry) };
        let dir = self.parent_dir(path.parent().unwrap_or(Path::new("")), entry)?;
        let place = Place { dir, name };
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            return self.whiteout(&place, name.as_bytes(), hidden, entry);
        }
        match entry.kind {
            Kind::Directory => self.directory(&place, &path, entry),
            Kind::File => self.file(&place, entry, data),
            Kind::Symlink => self.symlink(&place, entry),
            Kind::HardLink => self.hard_link(&place, entry),
            Kind::CharDevice => self.node(&place, entry, FileType::CharacterDevice),
            Kind::BlockDevice => self.node(&place, entry, FileType::BlockDevice),
            Kind::Fifo => self.node(&place, entry, FileType::Fifo),
            Kind::Other(_) => Ok(()),
        }
    }

    /// `./`: the root directory's own mode, owner and times.
    fn apply_root(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        if entry.kind != Kind::Directory {
            return Err(refused(entry, "only a directory can be the root"));
        }
        let root = self.root.open_no_links(Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY);
        let root = root.map_err(failed("open", entry))?;
        metadata::apply(&root, entry)?;
        self.remember(PathBuf::from("."), entry.mtime, entry)
    }

    fn directory(&mut self, place: &Place<'_>, path: &Path, entry: &Entry) -> Result<(), ApplyError> {
        let existing = file_type(place).map_err(failed("look up", entry))?;
        let replaces_whiteout = existing == Some(FileType::CharacterDevice) && is_whiteout(place);
        if existing != Some(FileType::Directory) {
            self.clear(place, entry)?;
            rustix::fs::mkdirat(&place.dir, place.name, Mode::RWXU).map_err(failed("create directory", entry))?;
        }
        let dir = open_dir(place).map_err(failed("open", entry))?;
        metadata::apply(&dir, entry)?;
        if replaces_whiteout {
            metadata::set_opaque(&dir).map_err(failed("mark opaque", entry))?;
        }
        self.implied.remove(path);
        self.remember(path.to_owned(), entry.mtime, entry)
    }

    fn remember(&mut self, path: PathBuf, mtime: (i64, u32), entry: &Entry) -> Result<(), ApplyError> {
        self.charge(&path, entry)?;
        self.directories.push((path, mtime));
        Ok(())
    }

    /// Counts a name that is kept in memory.
    fn charge(&self, path: &Path, entry: &Entry) -> Result<(), ApplyError> {
        self.budget.name(path.as_os_str().len()).map_err(|error| {
            let source = TarError::Limit { entry: printable(&entry.path), reason: error.to_string() };
            ApplyError::Tar { source }
        })
    }

    fn file(&mut self, place: &Place<'_>, entry: &Entry, data: &mut TarReader<impl Read>) -> Result<(), ApplyError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(&place.dir, place.name, flags, Mode::RUSR | Mode::WUSR);
        let fd = match create() {
            Err(Errno::EXIST) => {
                self.clear(place, entry)?;
                create()
            }
            result => result,
        };
        let mut file = std::fs::File::from(fd.map_err(failed("create", entry))?);
        match &entry.sparse {
            None => self.copy_all(&mut file, entry, data)?,
            Some((extents, size)) => {
                file.set_len(*size).map_err(failed("extend", entry))?;
                for extent in extents {
                    self.copy_extent(&file, extent.offset, extent.bytes, entry, data)?;
                }
            }
        }
        metadata::apply(file.as_fd(), entry)?;
        metadata::set_times(file.as_fd(), entry.mtime).map_err(failed("set the times of", entry))
    }

    fn copy_all(
        &mut self,
        file: &mut std::fs::File,
        entry: &Entry,
        data: &mut TarReader<impl Read>,
    ) -> Result<(), ApplyError> {
        let mut buffer = vec![0; COPY_BYTES.min(usize::try_from(entry.size).unwrap_or(COPY_BYTES))];
        let mut left = entry.size;
        while left > 0 {
            let read = data.read(&mut buffer).map_err(|source| ApplyError::Tar { source })?;
            file.write_all(&buffer[..read]).map_err(failed("write", entry))?;
            left -= read as u64;
            self.bytes += read as u64;
        }
        Ok(())
    }

    fn copy_extent(
        &mut self,
        file: &std::fs::File,
        mut offset: u64,
        mut left: u64,
        entry: &Entry,
        data: &mut TarReader<impl Read>,
    ) -> Result<(), ApplyError> {
        let mut buffer = vec![0; COPY_BYTES];
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = data.read(&mut buffer[..want]).map_err(|source| ApplyError::Tar { source })?;
            if read == 0 {
                return Err(refused(entry, "its sparse map is longer than its data"));
            }
            file.write_all_at(&buffer[..read], offset).map_err(failed("write", entry))?;
            offset += read as u64;
            left -= read as u64;
            self.bytes += read as u64;
        }
        Ok(())
    }

    fn symlink(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), ApplyError> {
        let target = OsStr::from_bytes(&entry.link);
        self.create(place, entry, || rustix::fs::symlinkat(target, &place.dir, place.name))?;
        metadata::apply_to_link(&place.dir, place.name, entry)
    }

    fn hard_link(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), ApplyError> {
        let path = relative(&entry.link, entry)?;
        let found = self.root.parent(&path).map_err(failed("find the link target of", entry))?;
        let (dir, name) = found.ok_or_else(|| refused(entry, "a hard link to a directory"))?;
        let target = Place { dir, name: &name };
        match file_type(&target).map_err(failed("find the link target of", entry))? {
            Some(FileType::Directory) => return Err(refused(entry, "a hard link to a directory")),
            Some(_) if !is_whiteout(&target) => {}
            Some(_) | None => return Err(failed("find the link target of", entry)(Errno::NOENT)),
        }
        self.create(place, entry, || {
            // Without AT_SYMLINK_FOLLOW a symbolic link itself is linked, never what it points to.
            rustix::fs::linkat(&target.dir, target.name, &place.dir, place.name, AtFlags::empty())
        })
    }

    fn node(&mut self, place: &Place<'_>, entry: &Entry, kind: FileType) -> Result<(), ApplyError> {
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        let device = if kind == FileType::Fifo { 0 } else { device };
        self.create(place, entry, || {
            rustix::fs::mknodat(&place.dir, place.name, kind, Mode::RUSR | Mode::WUSR, device)
        })?;
        metadata::apply_to_node(&place.dir, place.name, entry)
    }

    /// Creates by one system call; what is already there under the name gives way.
    fn create(
        &mut self,
        place: &Place<'_>,
        entry: &Entry,
        create: impl Fn() -> rustix::io::Result<()>,
    ) -> Result<(), ApplyError> {
        let result = match create() {
            Err(Errno::EXIST) => {
                self.clear(place, entry)?;
                create()
            }
            result => result,
        };
        result.map_err(failed("create", entry))
    }

    /// `.wh.<name>` hides a name of the layers below, `.wh..wh..opq` all that they have in this directory.
    fn whiteout(&mut self, place: &Place<'_>, name: &[u8], hidden: &[u8], entry: &Entry) -> Result<(), ApplyError> {
        if name == OPAQUE {
            let dir = rustix::fs::openat(
                &place.dir,
                ".",
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            );
            let dir = dir.map_err(failed("open the directory of", entry))?;
            return metadata::set_opaque(&dir).map_err(failed("mark opaque the directory of", entry));
        }
        if hidden.starts_with(WHITEOUT) {
            // AUFS' own bookkeeping, `.wh..wh.plnk` and the like.
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refused(entry, "a whiteout of no name"));
        }
        let place =
            Place { dir: place.dir.try_clone().map_err(failed("open", entry))?, name: OsStr::from_bytes(hidden) };
        match file_type(&place).map_err(failed("look up", entry))? {
            // Whiteouts concern lower layers only, wherever in the tar they stand; what this layer has stays.
            Some(FileType::Directory) => {
                let dir = open_dir(&place).map_err(failed("open", entry))?;
                metadata::set_opaque(&dir).map_err(failed("mark opaque", entry))
            }
            Some(_) => Ok(()),
            None => rustix::fs::mknodat(&place.dir, place.name, FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(failed("create the whiteout", entry)),
        }
    }

    /// Removes what has the entry's name now.
    fn clear(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), ApplyError> {
        match remove_tree(place.dir.as_fd(), place.name) {
            Ok(()) => {
                // The cached parent may be what was just removed.
                self.parent = None;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("replace", entry)(error)),
        }
    }

    fn finish(&mut self) -> Result<(), ApplyError> {
        for (path, mtime) in self.directories.iter().rev() {
            // It may have been replaced by something else since.
            let Ok(dir) = self.root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) else { continue };
            let entry = || path.display().to_string();
            metadata::set_times(dir.as_fd(), *mtime).map_err(|error| ApplyError::Entry {
                action: "set the times of",
                entry: entry(),
                source: error.into(),
            })?;
        }
        Ok(())
    }
}

fn open_root(path: &Path) -> Result<Root, ApplyError> {
    let entry = || path.display().to_string();
    Root::open(path).map_err(|source| ApplyError::Entry { action: "open", entry: entry(), source })
}

/// The entry's path without leading `/` and without `.`; `..` is refused.
pub(crate) fn relative(path: &[u8], entry: &Entry) -> Result<PathBuf, ApplyError> {
    if path.contains(&0) {
        return Err(refused(entry, "its name has a NUL byte"));
    }
    let mut clean = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => return Err(refused(entry, "`..` leads out of the layer")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(clean)
}

fn open_dir(place: &Place<'_>) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&place.dir, place.name, flags, Mode::empty())
}

fn file_type(place: &Place<'_>) -> rustix::io::Result<Option<FileType>> {
    match rustix::fs::statat(&place.dir, place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_whiteout(place: &Place<'_>) -> bool {
    rustix::fs::statat(&place.dir, place.name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| metadata::is_whiteout(&stat))
}

pub(crate) fn refused(entry: &Entry, reason: &'static str) -> ApplyError {
    ApplyError::Refused { entry: printable(&entry.path), reason }
}

/// For `map_err`: says what was attempted on which entry.
pub(crate) fn failed<E: Into<io::Error>>(action: &'static str, entry: &Entry) -> impl FnOnce(E) -> ApplyError {
    move |error| ApplyError::Entry { action, entry: printable(&entry.path), source: error.into() }
}
