//! What must survive a sweep although the database does not reference it yet.
//!
//! Whoever brings content in, or is about to use it, holds its digests first, then looks whether it is there, then
//! records it, then lets go; the sweep looks at holds before the database. So nothing can be swept between "it is already
//! here" and "it is recorded".
//!
//! Holds live in memory and end with the process. That is enough, because the store belongs to one process: what another
//! one held had either been recorded, or its work ended with it. What it had downloaded is kept apart (see
//! [`crate::partial`]) and needs no hold.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drua_types::Digest;

/// Counts of what is held.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    counts: Mutex<HashMap<Held, usize>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Held {
    /// A blob or a chain id.
    Content(Digest),
    /// An image, which may not be removed by hand either.
    Image(Digest),
}

impl Holds {
    /// No hold can be taken or released while the guard lives.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        Frozen { counts: self.lock() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Held, usize>> {
        // Each critical section is one map operation; a panic elsewhere cannot leave the map half changed.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The holds at one moment.
#[derive(Debug)]
pub(crate) struct Frozen<'a> {
    counts: MutexGuard<'a, HashMap<Held, usize>>,
}

impl Frozen<'_> {
    /// Whether somebody needs a blob or a chain id.
    pub(crate) fn is_held(&self, digest: &Digest) -> bool {
        self.counts.contains_key(&Held::Content(digest.clone()))
    }

    /// Whether somebody is about to use an image.
    pub(crate) fn is_image_held(&self, id: &Digest) -> bool {
        self.counts.contains_key(&Held::Image(id.clone()))
    }
}

/// Keeps blobs, unpacked layers and images from being removed, until it is dropped.
///
/// [`crate::Store::acquire`] and [`crate::Store::lease`] give one out. Whoever uses content that no record of an image
/// and no container protects must have one: a build's intermediate layers, a push, a container that is being created.
#[derive(Debug)]
pub struct Lease {
    holds: Arc<Holds>,
    mine: HashSet<Held>,
}

impl Lease {
    pub(crate) fn new(holds: &Arc<Holds>) -> Self {
        Self { holds: Arc::clone(holds), mine: HashSet::new() }
    }

    /// Holds a blob or a chain id. Holding it again changes nothing.
    ///
    /// Hold first, then look whether it is there: the other way round it can vanish in between.
    pub fn hold(&mut self, digest: &Digest) {
        self.add(Held::Content(digest.clone()));
    }

    /// Holds an image: as long as the lease lives, removing it is a conflict. Its content needs holds of its own.
    pub fn hold_image(&mut self, id: &Digest) {
        self.add(Held::Image(id.clone()));
    }

    fn add(&mut self, held: Held) {
        if self.mine.insert(held.clone()) {
            *self.holds.lock().entry(held).or_default() += 1;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut counts = self.holds.lock();
        for held in &self.mine {
            if let Some(count) = counts.get_mut(held) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(held);
                }
            }
        }
    }
}
