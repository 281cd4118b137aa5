//! Who follows which log: one `inotify(7)` instance for all followers, since a user has 128 of them by default.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::{Error, Result};

/// Tells followers when something in a directory is written or renamed.
#[derive(Debug, Default)]
pub(crate) struct LogChanges {
    shared: Mutex<Weak<Instance>>,
}

#[derive(Debug)]
struct Instance {
    fd: AsyncFd<OwnedFd>,
    watched: Mutex<HashMap<i32, Arc<watch::Sender<()>>>>,
}

/// One follower's interest in a directory; ends when dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    changes: watch::Receiver<()>,
    watch: i32,
    instance: Arc<Instance>,
}

impl LogChanges {
    /// Begins to follow a directory. Must be called within the runtime.
    pub(crate) fn follow(&self, dir: &Path) -> Result<Follower> {
        let instance = self.instance().map_err(Error::io("watch", dir))?;
        let mut watched = crate::lock(&instance.watched);
        let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
        // The same directory gives the same number.
        let watch =
            inotify::add_watch(&instance.fd, dir, events).map_err(|errno| Error::io("watch", dir)(errno.into()))?;
        let changes = watched.entry(watch).or_insert_with(|| Arc::new(watch::channel(()).0)).subscribe();
        drop(watched);
        Ok(Follower { changes, watch, instance })
    }

    /// The one instance; made when somebody follows and gone when nobody does.
    fn instance(&self) -> std::io::Result<Arc<Instance>> {
        let mut shared = crate::lock(&self.shared);
        if let Some(instance) = shared.upgrade() {
            return Ok(instance);
        }
        let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "an `OwnedFd` stays open as long as it is registered; the other way is unsafe")]
        let instance = Arc::new(Instance { fd: AsyncFd::new(fd)?, watched: Mutex::default() });
        *shared = Arc::downgrade(&instance);
        let reader = Arc::downgrade(&instance);
        tokio::spawn(async move {
            loop {
                // Held while waiting; the last follower wakes us by removing its watch.
                let Some(instance) = reader.upgrade() else { return };
                if !instance.dispatch().await {
                    return;
                }
            }
        });
        Ok(instance)
    }
}

impl Instance {
    /// Waits for events and passes them on. False when nothing is watched any more.
    async fn dispatch(&self) -> bool {
        let Ok(mut ready) = self.fd.readable().await else { return false };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(self.fd.get_ref().as_fd(), &mut buffer);
        let mut drained = false;
        while !drained {
            match events.next() {
                Ok(event) => {
                    let listener = crate::lock(&self.watched).get(&event.wd()).cloned();
                    if let Some(listener) = listener {
                        listener.send_replace(());
                    }
                }
                Err(_) => drained = true,
            }
        }
        ready.clear_ready();
        !crate::lock(&self.watched).is_empty()
    }
}

impl Follower {
    /// Returns when something changed since the last call.
    pub(crate) async fn changed(&mut self) {
        // The sender lives as long as a follower does.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut watched = crate::lock(&self.instance.watched);
        if watched.get(&self.watch).is_some_and(|listener| listener.receiver_count() <= 1) {
            watched.remove(&self.watch);
            // The directory may be gone, and the watch with it.
            let _ = inotify::remove_watch(&self.instance.fd, self.watch);
        }
    }
}
