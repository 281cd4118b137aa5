//! Files to copy from: a context directory, or the root filesystem of a stage or an image.
//!
//! Every lookup is `openat2(RESOLVE_IN_ROOT)`: symbolic links are followed as a process confined to the root would, so
//! none leaves it. What `.dockerignore` names is not there.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use drua_dockerfile::{Glob, Ignore};
use drua_sys::root_fs::Root;
use drua_types::Digest;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use sha2::{Digest as _, Sha256};

use crate::error::{BuildError, Result};
use crate::fsutil;

/// Entries of one context or filesystem that a COPY may name.
const MAX_ENTRIES: usize = 2_000_000;
/// Hashes that are remembered.
const MAX_HASHES: usize = 1_000_000;

/// Where files come from.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Root,
    ignore: Ignore,
    /// Owners count: those of a context are the builder's user and mean nothing.
    pub(crate) owners: bool,
}

/// A file of a tree.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Path below the source that was asked for; empty for the source itself.
    pub(crate) below: PathBuf,
    /// Path in the tree.
    pub(crate) path: PathBuf,
    pub(crate) stat: Stat,
    /// Target of a symbolic link.
    pub(crate) link: Option<OsString>,
}

impl Found {
    pub(crate) fn kind(&self) -> FileType {
        fsutil::kind(&self.stat)
    }
}

/// A source of COPY: a file, or a directory with all that is in it.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    /// Its name in the tree, for the destination.
    pub(crate) name: OsString,
    /// Directories to make above it, with `--parents`.
    pub(crate) parents: PathBuf,
    /// `--parents`: a directory keeps its name, too.
    pub(crate) with_parents: bool,
    /// The source itself, then what is below it; directories before their content.
    pub(crate) files: Vec<Found>,
}

impl Selected {
    pub(crate) fn is_dir(&self) -> bool {
        self.files.first().is_some_and(|file| file.kind() == FileType::Directory)
    }
}

impl Tree {
    pub(crate) fn new(root: OwnedFd, ignore: Ignore, owners: bool) -> Self {
        Self { root: Root::from_fd(root), ignore, owners }
    }

    pub(crate) fn open(path: &Path, ignore: Ignore) -> Result<Self> {
        let root = fsutil::open_dir(path).map_err(BuildError::io("open", path))?;
        Ok(Self::new(root, ignore, false))
    }

    /// The files that a source of COPY names; none when a pattern matches nothing.
    pub(crate) fn select(&self, source: &str, exclude: &Ignore, parents: bool) -> Result<Vec<Selected>> {
        let (pivot, source) = split_pivot(source, parents);
        let path = inside(&source);
        let text = path.to_string_lossy().into_owned();
        if !Glob::is_pattern(&text) && !text.contains("**") {
            let mut one = self.source(&path, exclude)?;
            if parents {
                (one.parents, one.with_parents) = (above(&path, &pivot), true);
            }
            return Ok(vec![one]);
        }
        let mut selected = Vec::new();
        for path in self.matches(&text, parents)? {
            let mut one = self.source(&path, exclude)?;
            if parents {
                (one.parents, one.with_parents) = (above(&path, &pivot), true);
            }
            selected.push(one);
        }
        Ok(selected)
    }

    /// Paths that fit a pattern, sorted; what is below one of them does not count again.
    fn matches(&self, pattern: &str, doublestar: bool) -> Result<Vec<PathBuf>> {
        let plain: PathBuf = Path::new(pattern).iter().take_while(|part| !is_pattern(part)).collect();
        let matcher: Box<dyn Fn(&str) -> bool> = if doublestar {
            let patterns = Ignore::new(&[pattern]).map_err(BuildError::Ignore)?;
            Box::new(move |path| patterns.matches(path))
        } else {
            let glob = Glob::new(pattern).map_err(|error| BuildError::Value(error.to_string()))?;
            Box::new(move |path| glob.matches(path))
        };
        let start = match self.walk(&plain, &Ignore::default()) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(BuildError::io("read", &plain)(error)),
        };
        let mut matches: Vec<PathBuf> = Vec::new();
        for found in start {
            let covered = matches.last().is_some_and(|last| found.path.starts_with(last));
            if !covered && !found.path.as_os_str().is_empty() && matcher(&found.path.to_string_lossy()) {
                matches.push(found.path);
            }
        }
        Ok(matches)
    }

    fn source(&self, path: &Path, exclude: &Ignore) -> Result<Selected> {
        let missing = |ignored| BuildError::NotFound { path: path.display().to_string(), ignored };
        let text = path.to_string_lossy();
        let files = match self.walk(path, exclude) {
            Ok(files) => files,
            Err(error) if matches!(error.raw_os_error(), Some(2 | 20 | 40)) => return Err(missing(false)),
            Err(error) => return Err(BuildError::io("read", path)(error)),
        };
        // An excluded directory may hold files that are taken back.
        if self.ignore.matches(&text) && files.len() <= 1 {
            return Err(missing(true));
        }
        let name = path.file_name().unwrap_or_default().to_owned();
        Ok(Selected { name, parents: PathBuf::new(), with_parents: false, files })
    }

    /// A file or directory and everything below it, sorted. The path itself may be a link, which is followed.
    fn walk(&self, path: &Path, exclude: &Ignore) -> io::Result<Vec<Found>> {
        let file = self.root.open_at(path, OFlags::PATH, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        let top = Found { below: PathBuf::new(), path: path.to_owned(), stat, link: None };
        let mut found = vec![top];
        if fsutil::kind(&stat) == FileType::Directory {
            let dir = self.root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            self.below(dir.as_fd(), path, Path::new(""), exclude, &mut found, 0)?;
        }
        Ok(found)
    }

    fn below(
        &self,
        dir: BorrowedFd<'_>,
        path: &Path,
        below: &Path,
        exclude: &Ignore,
        found: &mut Vec<Found>,
        depth: usize,
    ) -> io::Result<()> {
        if depth > 200 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "directories are nested more than 200 deep"));
        }
        for name in fsutil::names(dir)? {
            if found.len() > MAX_ENTRIES {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("more than {MAX_ENTRIES} files")));
            }
            let (path, below) = (path.join(&name), below.join(&name));
            let ignored = !self.ignore.is_empty() && self.ignore.matches(&path.to_string_lossy());
            // Excluded relative to the source and to the whole tree alike.
            let left_out = !exclude.is_empty()
                && (exclude.matches(&below.to_string_lossy()) || exclude.matches(&path.to_string_lossy()));
            let skipped = ignored || left_out;
            let stat = match fsutil::stat(dir, &name) {
                Ok(stat) => stat,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if fsutil::kind(&stat) != FileType::Directory {
                if !skipped {
                    let is_link = fsutil::kind(&stat) == FileType::Symlink;
                    let link = is_link.then(|| rustix::fs::readlinkat(dir, &name, Vec::new())).transpose()?;
                    let link = link.map(|link| std::ffi::OsStr::from_bytes(link.to_bytes()).to_owned());
                    found.push(Found { below, path, stat, link });
                }
                continue;
            }
            let may_hold = !skipped
                || ignored && self.ignore.may_take_back_below(&path.to_string_lossy())
                || left_out && exclude.may_take_back_below(&below.to_string_lossy());
            if !may_hold {
                continue;
            }
            let at = found.len();
            found.push(Found { below: below.clone(), path: path.clone(), stat, link: None });
            self.below(fsutil::open_below(dir, &name)?.as_fd(), &path, &below, exclude, found, depth + 1)?;
            if skipped && found.len() == at + 1 {
                found.pop();
            }
        }
        Ok(())
    }

    /// Opens a regular file that a walk has found.
    pub(crate) fn file(&self, path: &Path) -> io::Result<File> {
        Ok(File::from(self.root.open_regular(path)?))
    }

    /// The root's descriptor.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }
}

fn is_pattern(part: &std::ffi::OsStr) -> bool {
    Glob::is_pattern(&part.to_string_lossy())
}

/// A path inside the root: absolute is from the root, and `..` stops there.
pub(crate) fn inside(path: &str) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// `a/./b/c` with `--parents`: what stands before the pivot is not made in the destination.
fn split_pivot(source: &str, parents: bool) -> (PathBuf, String) {
    match source.split_once("/./") {
        Some((before, _)) if parents => (inside(before), source.to_owned()),
        _ => (PathBuf::new(), source.to_owned()),
    }
}

fn above(path: &Path, pivot: &Path) -> PathBuf {
    let parent = path.parent().unwrap_or(Path::new(""));
    parent.strip_prefix(pivot).unwrap_or(parent).to_owned()
}

/// Hashes of files by what identifies their content, so that unchanged files are not read again.
#[derive(Debug, Default)]
pub(crate) struct Hashes {
    known: Mutex<HashMap<Identity, [u8; 32]>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Hashes {
    fn of(&self, tree: &Tree, file: &Found) -> io::Result<[u8; 32]> {
        let stat = &file.stat;
        let identity = Identity {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        };
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = lock().get(&identity) {
            return Ok(*hash);
        }
        let mut hasher = Sha256::new();
        io::copy(&mut tree.file(&file.path)?, &mut hasher)?;
        let hash = hasher.finalize().into();
        // Within the clock's grain a file may change and keep its times.
        let age = jiff::Timestamp::now().as_second() - stat.st_ctime;
        let mut known = lock();
        if age > 1 && known.len() < MAX_HASHES {
            known.insert(identity, hash);
        }
        Ok(hash)
    }

    /// Digest of what COPY would take over of a source: names, modes, owners, contents, links; not times.
    pub(crate) fn source(&self, tree: &Tree, source: &Selected) -> Result<Digest> {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(source.parents.as_os_str().as_bytes());
        for file in &source.files {
            let stat = &file.stat;
            let failed = || BuildError::io("read", &file.path);
            part(file.below.as_os_str().as_bytes());
            part(&stat.st_mode.to_le_bytes());
            if tree.owners {
                part(&stat.st_uid.to_le_bytes());
                part(&stat.st_gid.to_le_bytes());
            }
            match file.kind() {
                FileType::RegularFile => part(&self.of(tree, file).map_err(failed())?),
                FileType::Symlink => part(file.link.as_ref().map(|link| link.as_bytes()).unwrap_or_default()),
                FileType::CharacterDevice | FileType::BlockDevice => part(&stat.st_rdev.to_le_bytes()),
                _ => {}
            }
        }
        Ok(Digest::from_sha256(hasher.finalize().into()))
    }
}
