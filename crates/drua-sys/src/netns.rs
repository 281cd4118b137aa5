//! Network namespaces pinned at a path, and running code inside one.
//!
//! A namespace belongs to a thread, and a thread cannot be trusted to find its way back. So everything here happens on a
//! short-lived helper thread that ends inside the other namespace; the caller's own never changes. Sockets opened there
//! stay in that namespace for life and may be used by any thread, which is what callers take out of the closure.
//!
//! The module knows nothing of addresses, links or `lo`: that is netlink, and belongs to `drua-net`.
//!
//! Needs CAP_SYS_ADMIN in the user namespace that owns the network namespace.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where a thread finds the network namespace that it is in.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace could not be made, entered or removed.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// No helper thread.
    #[error("failed to start a thread for network namespace `{path}`")]
    Thread {
        /// The namespace's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// `unshare(CLONE_NEWNET)` failed.
    #[error("failed to create network namespace `{path}`")]
    Create {
        /// The namespace's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The namespace exists but could not be bound to its path.
    #[error("failed to pin a network namespace at `{path}`")]
    Pin {
        /// The namespace's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The path could not be opened, or is no namespace.
    #[error("failed to enter network namespace `{path}`")]
    Enter {
        /// The namespace's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The pin could not be undone.
    #[error("failed to remove network namespace `{path}`")]
    Remove {
        /// The namespace's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Creates a network namespace, runs `setup` in it, and pins it at `path` by a bind mount.
///
/// `path` must not exist; its directory must. The namespace lives until [`remove`] and until the last process in it ends.
///
/// # Errors
/// Every [`NetnsError`] but `Enter` and `Remove`. Nothing is left behind after one.
///
/// # Panics
/// With `setup`'s own panic.
pub fn create<T: Send>(path: &Path, setup: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
    File::create_new(path).map_err(|source| NetnsError::Pin { path: path.to_owned(), source })?;
    let made = on_thread(path, || {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|errno| NetnsError::Create { path: path.to_owned(), source: errno.into() })?;
        let value = setup();
        mount(Some(OWN), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|errno| NetnsError::Pin { path: path.to_owned(), source: errno.into() })?;
        Ok(value)
    });
    if made.is_err() {
        // The error that matters is the first one; an empty file that stays behind hurts nobody.
        let _ = std::fs::remove_file(path);
    }
    made
}

/// Runs a closure on a thread that is in the namespace pinned at `path`.
///
/// # Errors
/// [`NetnsError::Thread`] and [`NetnsError::Enter`].
///
/// # Panics
/// With the closure's own panic.
pub fn enter<T: Send>(path: &Path, run: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
    let failed = |source: io::Error| NetnsError::Enter { path: path.to_owned(), source };
    let namespace = File::open(path).map_err(failed)?;
    on_thread(path, || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|errno| failed(errno.into()))?;
        Ok(run())
    })
}

/// Unpins the namespace at `path` and removes the file; a path that does not exist is fine.
///
/// The kernel takes the namespace and its interfaces down in the background once nothing else holds it.
///
/// # Errors
/// [`NetnsError::Remove`].
pub fn remove(path: &Path) -> Result<(), NetnsError> {
    use nix::errno::Errno;
    let failed = |source: io::Error| NetnsError::Remove { path: path.to_owned(), source };
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        // EINVAL: a plain file, left by a crash between creating and mounting, or by a reboot.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(failed(errno.into())),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Whether a namespace is pinned at `path`, and not merely a file left there.
pub fn is_pinned(path: &Path) -> bool {
    /// `NSFS_MAGIC` of linux/magic.h.
    const NSFS: i64 = 0x6e73_6673;
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type == NSFS)
}

fn on_thread<T: Send>(path: &Path, run: impl FnOnce() -> Result<T, NetnsError> + Send) -> Result<T, NetnsError> {
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, run)
            .map_err(|source| NetnsError::Thread { path: path.to_owned(), source })?;
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, read_link, remove_dir, write};

    use super::*;

    /// The namespace that the calling thread is in.
    fn own() -> PathBuf {
        read_link(OWN).unwrap()
    }

    #[test]
    fn a_namespace_is_made_entered_and_removed() {
        let dir = std::env::temp_dir().join(format!("drua-netns-{}", std::process::id()));
        create_dir(&dir).unwrap();
        let path = dir.join("one");
        let before = own();

        let inside = create(&path, own).unwrap();
        assert!(is_pinned(&path) && inside != before);
        assert_eq!(enter(&path, own).unwrap(), inside);
        assert_eq!(own(), before, "the caller stays where it is");
        assert!(matches!(create(&path, || ()), Err(NetnsError::Pin { .. })), "nothing is pinned over");
        assert!(is_pinned(&path));

        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        assert!(matches!(enter(&path, || ()), Err(NetnsError::Enter { .. })));
        write(&path, "").unwrap();
        assert!(!is_pinned(&path));
        assert!(matches!(enter(&path, || ()), Err(NetnsError::Enter { .. })), "a plain file is none");
        remove(&path).unwrap();
        remove_dir(&dir).unwrap();
    }
}
