//! Directories: walked here, looked into by the scanner. Only files that may matter are opened, links never followed.

use std::ffi::CStr;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::Context as _;
use drua_scout::{Entry, EntryKind, MAGIC_LENGTH, is_candidate, is_program, is_program_name, needs_mode, write_entry};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// Files larger than this are not sent to the scanner, which would refuse them.
const MAX_FILE: u64 = 512 << 20;
/// Deeper trees are loops of mounts.
const MAX_DEPTH: usize = 512;

/// What a walk could not do.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Paths that could not be read, with the reason; only the first hundred.
    pub(super) unreadable: Vec<(String, String)>,
}

/// Sends the entries below a directory to a scanner.
pub(super) fn walk(root: &Path, out: &mut dyn io::Write) -> anyhow::Result<Walked> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags, Mode::empty())
        .with_context(|| format!("cannot open directory `{}`", root.display()))?;
    let mut walk = Walk { out, walked: Walked::default(), buffer: Vec::new() };
    walk.directory(top, "", 0)?;
    Ok(walk.walked)
}

/// Sends one file as the only one of its tree.
pub(super) fn single(path: &Path, out: &mut dyn io::Write) -> anyhow::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let bytes = fs_err::read(path)?;
    let entry = Entry { path: &format!("/{name}"), kind: EntryKind::File, size: bytes.len() as u64 };
    Ok(write_entry(&mut Sink(out), &entry, &bytes)?)
}

struct Walk<'o> {
    out: &'o mut dyn io::Write,
    walked: Walked,
    buffer: Vec<u8>,
}

/// `write_entry` wants a sized writer.
struct Sink<'o>(&'o mut dyn io::Write);

impl io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Walk<'_> {
    fn directory(&mut self, fd: OwnedFd, path: &str, depth: usize) -> anyhow::Result<()> {
        let entries = match Dir::read_from(&fd) {
            Ok(entries) => entries,
            Err(error) => {
                self.unreadable(path, error);
                return Ok(());
            }
        };
        let mut below = Vec::new();
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.unreadable(path, error);
                    break;
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let child = format!("{path}/{}", name.to_string_lossy());
            let kind = match entry.file_type() {
                FileType::Unknown => rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                kind => kind,
            };
            match kind {
                FileType::Directory => below.push((name.to_owned(), child)),
                FileType::RegularFile => self.file(&fd, name, &child)?,
                _ => {}
            }
        }
        for (name, child) in below {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(&fd, name.as_c_str(), flags, Mode::empty()) {
                Ok(opened) if depth < MAX_DEPTH => self.directory(opened, &child, depth + 1)?,
                Ok(_) => self.note(&child, "it lies too deep".to_owned()),
                Err(error) => self.unreadable(&child, error),
            }
        }
        Ok(())
    }

    fn file(&mut self, dir: impl AsFd, name: &CStr, path: &str) -> anyhow::Result<()> {
        let is_executable = || {
            rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| stat.st_mode & 0o111 != 0 && stat.st_size >= MAGIC_LENGTH as _)
        };
        if !is_candidate(path, needs_mode(path) && is_executable()) {
            return Ok(());
        }
        // Not blocking: a pipe may have taken the file's place.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&dir, name, flags, Mode::empty()).map_err(io::Error::from);
        let result = opened.and_then(|fd| self.read(std::fs::File::from(fd), path));
        match result {
            Ok(Some(size)) => {
                let entry = Entry { path, kind: EntryKind::File, size };
                Ok(write_entry(&mut Sink(self.out), &entry, &self.buffer)?)
            }
            Ok(None) => Ok(()),
            Err(error) => {
                self.unreadable(path, error);
                Ok(())
            }
        }
    }

    /// Reads a file that matters into the buffer.
    fn read(&mut self, mut file: std::fs::File, path: &str) -> io::Result<Option<u64>> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        self.buffer.clear();
        if is_program_name(path) {
            file.by_ref().take(MAGIC_LENGTH as u64).read_to_end(&mut self.buffer)?;
            if !is_program(&self.buffer) {
                return Ok(None);
            }
        }
        if metadata.len() > MAX_FILE {
            self.note(path, format!("its {} bytes are more than the limit of {MAX_FILE}", metadata.len()));
            return Ok(None);
        }
        file.take(MAX_FILE).read_to_end(&mut self.buffer)?;
        Ok(Some(self.buffer.len() as u64).filter(|size| *size > 0))
    }

    fn unreadable(&mut self, path: &str, error: impl Into<io::Error>) {
        self.note(path, error.into().to_string());
    }

    fn note(&mut self, path: &str, reason: String) {
        if self.walked.unreadable.len() < 100 {
            self.walked.unreadable.push((path.to_owned(), reason));
        }
    }
}
