//! What must survive a sweep although the database does not reference it yet.
//!
//! Whoever brings content in holds its digests first, then looks whether it is there, then records it, then lets go; the
//! sweep looks at holds before the database. So nothing can be swept between "it is already here" and "it is recorded".
//! Holds end with the process; a lease that survives it would be a table beside this.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drua_types::Digest;

/// Counts of held digests, blobs and chain ids alike.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    counts: Mutex<HashMap<Digest, usize>>,
}

impl Holds {
    /// No hold can be taken or released while the guard lives.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        Frozen { counts: self.lock() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        // Each critical section is one map operation; a panic elsewhere cannot leave the map half changed.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The holds at one moment.
#[derive(Debug)]
pub(crate) struct Frozen<'a> {
    counts: MutexGuard<'a, HashMap<Digest, usize>>,
}

impl Frozen<'_> {
    pub(crate) fn is_held(&self, digest: &Digest) -> bool {
        self.counts.contains_key(digest)
    }
}

/// One operation's holds; released on drop.
#[derive(Debug)]
pub(crate) struct HoldSet {
    holds: Arc<Holds>,
    mine: HashSet<Digest>,
}

impl HoldSet {
    pub(crate) fn new(holds: &Arc<Holds>) -> Self {
        Self { holds: Arc::clone(holds), mine: HashSet::new() }
    }

    /// Holds a digest; holding it again changes nothing.
    pub(crate) fn hold(&mut self, digest: &Digest) {
        if self.mine.insert(digest.clone()) {
            *self.holds.lock().entry(digest.clone()).or_default() += 1;
        }
    }
}

impl Drop for HoldSet {
    fn drop(&mut self) {
        let mut counts = self.holds.lock();
        for digest in &self.mine {
            if let Some(count) = counts.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(digest);
                }
            }
        }
    }
}
