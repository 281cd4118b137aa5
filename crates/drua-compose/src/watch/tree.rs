//! Which paths change, told by inotify: one watch a folder, none where nothing counts.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bytes of events that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// What counts of a folder: everything but access and attributes, which change nothing that is copied.
fn flags() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::MODIFY
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::ONLYDIR
        | WatchFlags::DONT_FOLLOW
}

/// What was seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Paths that may have changed.
    pub(super) paths: BTreeSet<PathBuf>,
    /// Events were lost: anything may have changed.
    pub(super) overflow: bool,
}

/// Folders under watch.
pub(super) struct Tree {
    fd: AsyncFd<OwnedFd>,
    folders: HashMap<i32, PathBuf>,
    /// Whether a folder is of interest.
    wanted: Box<dyn Fn(&Path) -> bool + Send + Sync>,
}

impl Tree {
    /// Watches folders and what is below them, as far as `wanted` says.
    pub(super) fn new(roots: &BTreeSet<PathBuf>, wanted: Box<dyn Fn(&Path) -> bool + Send + Sync>) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        #[expect(deprecated, reason = "its replacement is unsafe since a descriptor might change; an OwnedFd does not")]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        let mut tree = Self { fd, folders: HashMap::new(), wanted };
        let mut found = BTreeSet::new();
        for root in roots {
            tree.add(root, &mut found)?;
        }
        Ok(tree)
    }

    /// How many folders are watched.
    pub(super) fn len(&self) -> usize {
        self.folders.len()
    }

    /// Watches a folder and those below it; the files in them are added to `found`, since they may be older than the watch.
    fn add(&mut self, root: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            if folder != root && !(self.wanted)(&folder) {
                continue;
            }
            match inotify::add_watch(self.fd.get_ref(), &folder, flags()) {
                Ok(watch) => {
                    self.folders.insert(watch, folder.clone());
                }
                // It went, or is none of our business.
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::ACCESS) => continue,
                Err(error) => return Err(error.into()),
            }
            let Ok(listed) = std::fs::read_dir(&folder) else { continue };
            for item in listed.flatten() {
                match item.file_type() {
                    Ok(kind) if kind.is_dir() => open.push(item.path()),
                    Ok(_) => {
                        found.insert(item.path());
                    }
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// The next changes. Cancellation safe.
    pub(super) async fn next(&mut self) -> io::Result<Seen> {
        loop {
            let mut seen = Seen::default();
            let mut new_folders = Vec::new();
            {
                let mut guard = self.fd.readable().await?;
                let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
                let mut reader = inotify::Reader::new(self.fd.get_ref(), &mut buffer);
                loop {
                    let event = match reader.next() {
                        Ok(event) => event,
                        Err(rustix::io::Errno::WOULDBLOCK) => {
                            guard.clear_ready();
                            break;
                        }
                        Err(rustix::io::Errno::INTR) => continue,
                        Err(error) => return Err(error.into()),
                    };
                    if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                        seen.overflow = true;
                        continue;
                    }
                    if event.events().contains(ReadFlags::IGNORED) {
                        self.folders.remove(&event.wd());
                        continue;
                    }
                    let Some(folder) = self.folders.get(&event.wd()) else { continue };
                    let Some(name) = event.file_name() else { continue };
                    let path = folder.join(OsStr::from_bytes(name.to_bytes()));
                    let is_new = event.events().intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
                    if event.events().contains(ReadFlags::ISDIR) && is_new {
                        new_folders.push(path.clone());
                    }
                    seen.paths.insert(path);
                }
            }
            for folder in new_folders {
                if (self.wanted)(&folder) {
                    let mut found = BTreeSet::new();
                    self.add(&folder, &mut found)?;
                    seen.paths.extend(found);
                }
            }
            if seen.overflow || !seen.paths.is_empty() {
                return Ok(seen);
            }
        }
    }
}
