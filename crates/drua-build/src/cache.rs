//! What earlier builds have done: results by key, cache mounts, and their limits.
//!
//! ```text
//! <data-root>/build/
//!   snapshots/<id>/fs              the changes of one step, as an overlay's lower directory
//!   snapshots/<id>/snapshot.json   its size; written before the directory gets its name
//!   keys/<hex>.json                what a step with this key resulted in; its time is when it was last used
//!   mounts/<hex>/fs                cache mounts, by the digest of their id; mounts/<hex>/mount.json says which
//!   tmp/ contexts/                 work of builds that are under way; emptied at open
//! ```
//!
//! A snapshot gets its name only when it is complete, and a key is written after it: `kill -9` at any point leaves whole
//! results or none. An image's layer may be a link to a snapshot (see [`crate::export`]); such a snapshot is not removed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use drua_types::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{BuildError, Result};
use crate::fsutil::{self, random_id};
use crate::ports::Cancel;

/// What a key's file says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// The snapshot; `None` for a step that changed no file.
    pub(crate) snapshot: Option<String>,
    /// The instruction.
    pub(crate) description: String,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// Bytes of the snapshot's files.
    pub(crate) size: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct SnapshotRecord {
    version: u32,
    size: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct MountRecord {
    version: u32,
    id: String,
}

/// Something that the cache keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheItem {
    /// Its id: a snapshot's, a key's, or a mount's.
    pub id: String,
    /// `regular` or `exec.cachemount`
    pub kind: &'static str,
    /// The instruction, or the mount's id.
    pub description: String,
    /// Bytes.
    pub size: u64,
    /// Whether a build uses it now.
    pub in_use: bool,
    /// Whether an image has it as a layer.
    pub shared: bool,
    /// When it was used last.
    pub last_used: SystemTime,
}

/// What is removed.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// Also what images share.
    pub all: bool,
    /// Only what was not used for so long.
    pub unused_for: Option<Duration>,
    /// Stop when no more than this is left.
    pub keep_bytes: Option<u64>,
    /// Only these ids.
    pub ids: Vec<String>,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids of it.
    pub ids: Vec<String>,
    /// Bytes of it.
    pub bytes: u64,
}

/// The cache on disk.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    /// The store's layers, some of which are links to snapshots.
    layers: PathBuf,
    in_use: Mutex<HashMap<String, usize>>,
    /// Keys that somebody works on.
    working: Mutex<HashSet<String>>,
    done: Condvar,
}

/// Keeps others from doing the same work, and prune from removing its result; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    cache: Arc<Cache>,
    key: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.cache.working).remove(&self.key);
        self.cache.done.notify_all();
    }
}

/// Keeps snapshots and mounts while a build uses them.
#[derive(Debug)]
pub(crate) struct Uses {
    cache: Arc<Cache>,
    ids: Mutex<Vec<String>>,
}

impl Uses {
    pub(crate) fn new(cache: &Arc<Cache>) -> Self {
        Self { cache: Arc::clone(cache), ids: Mutex::default() }
    }

    pub(crate) fn add(&self, id: &str) {
        *lock(&self.cache.in_use).entry(id.to_owned()).or_default() += 1;
        lock(&self.ids).push(id.to_owned());
    }
}

impl Drop for Uses {
    fn drop(&mut self) {
        let mut counts = lock(&self.cache.in_use);
        for id in lock(&self.ids).drain(..) {
            if let Some(count) = counts.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&id);
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section is one operation on a map.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    pub(crate) fn open(data_root: &Path) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let dir = data_root.join("build");
        let cache = Self {
            layers: data_root.join("layers"),
            dir,
            in_use: Mutex::default(),
            working: Mutex::default(),
            done: Condvar::new(),
        };
        for name in ["tmp", "contexts"] {
            let path = cache.dir.join(name);
            fsutil::remove(&path).map_err(BuildError::io("empty", &path))?;
        }
        for name in ["", "snapshots", "keys", "mounts", "tmp", "contexts"] {
            let path = cache.dir.join(name);
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(BuildError::io("create", &path))?;
        }
        Ok(cache)
    }

    pub(crate) fn contexts(&self) -> PathBuf {
        self.dir.join("contexts")
    }

    /// A directory with nothing in it.
    pub(crate) fn empty(&self) -> Result<PathBuf> {
        let path = self.dir.join("empty");
        fs_err::create_dir_all(&path).map_err(BuildError::io("create", &path))?;
        Ok(path)
    }

    /// Where a snapshot's files are.
    pub(crate) fn snapshot(&self, id: &str) -> PathBuf {
        self.dir.join("snapshots").join(id).join("fs")
    }

    /// Waits until nobody else works on a key.
    pub(crate) fn claim(self: &Arc<Self>, key: &Digest, cancel: &Cancel) -> Result<Claim> {
        loop {
            if let Some(claim) = self.try_claim(key) {
                return Ok(claim);
            }
            if cancel.is_canceled() {
                return Err(BuildError::Canceled);
            }
            let working = lock(&self.working);
            // Now and then whoever waits looks whether it still should.
            drop(self.done.wait_timeout(working, Duration::from_millis(200)));
        }
    }

    /// Claims a key that nobody works on.
    pub(crate) fn try_claim(self: &Arc<Self>, key: &Digest) -> Option<Claim> {
        let key = key.hex().to_owned();
        lock(&self.working).insert(key.clone()).then(|| Claim { cache: Arc::clone(self), key })
    }

    /// What a step with this key resulted in, if that is still here. Counts as use.
    pub(crate) fn find(&self, key: &Digest, uses: &Uses) -> Option<Record> {
        let path = self.key_path(key);
        let record: Record = serde_json::from_slice(&fs_err::read(&path).ok()?).ok()?;
        if let Some(id) = &record.snapshot {
            uses.add(id);
            if record.version != 1 || !self.snapshot(id).is_dir() {
                return None;
            }
        }
        let now = std::fs::FileTimes::new().set_modified(SystemTime::now());
        // Only its age in the eyes of prune depends on it.
        let _ = fs_err::File::options().write(true).open(&path).map(|file| file.file().set_times(now));
        Some(record)
    }

    /// Directories to work in: changes and overlay's own.
    pub(crate) fn begin(&self) -> Result<Draft> {
        let dir = self.dir.join("tmp").join(random_id());
        let make = |path: &Path| fs_err::create_dir(path).map_err(BuildError::io("create", path));
        make(&dir)?;
        let draft = Draft { dir };
        make(&draft.upper())?;
        make(&draft.work())?;
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(draft.upper(), mode).map_err(BuildError::io("set the mode of", &draft.dir))?;
        Ok(draft)
    }

    /// The tar of a snapshot, if it has been made before: digest and size. `variant` tells tars apart.
    pub(crate) fn tar_of(&self, id: &str, variant: &str) -> Option<(Digest, u64)> {
        let json = fs_err::read(self.dir.join("snapshots").join(id).join(format!("tar{variant}.json"))).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Remembers a snapshot's tar.
    pub(crate) fn set_tar_of(&self, id: &str, variant: &str, tar: &(Digest, u64)) {
        let path = self.dir.join("snapshots").join(id).join(format!("tar{variant}.json"));
        // Without it the tar is made again.
        let _ = serde_json::to_vec(tar).map(|json| fsutil::write_atomic(&path, &json));
    }

    /// Bytes of a snapshot's files.
    pub(crate) fn size_of(&self, id: &str) -> u64 {
        let json = fs_err::read(self.dir.join("snapshots").join(id).join("snapshot.json")).ok();
        json.and_then(|json| serde_json::from_slice::<SnapshotRecord>(&json).ok()).map_or(0, |record| record.size)
    }

    /// Makes a draft a snapshot and remembers it under a key.
    pub(crate) fn keep(&self, key: &Digest, description: &str, draft: Draft, uses: &Uses) -> Result<Record> {
        let id = draft.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (path, _) in entries(&draft.dir)?.iter().filter(|(path, _)| *path != draft.upper()) {
            fsutil::remove(path).map_err(BuildError::io("remove", path))?;
        }
        let size = tree_bytes(&draft.upper()).map_err(BuildError::io("read", &draft.dir))?;
        let json = serde_json::to_vec(&SnapshotRecord { version: 1, size }).expect("two numbers serialize");
        fs_err::write(draft.dir.join("snapshot.json"), json).map_err(BuildError::io("write in", &draft.dir))?;
        uses.add(&id);
        let target = self.dir.join("snapshots").join(&id);
        fs_err::rename(&draft.dir, &target).map_err(BuildError::io("keep", &draft.dir))?;
        self.remember(key, Some(id), description, size)
    }

    /// Remembers that a step with this key changes no file.
    pub(crate) fn remember(&self, key: &Digest, snapshot: Option<String>, text: &str, size: u64) -> Result<Record> {
        let created = jiff::Timestamp::now().as_second();
        let description: String = text.chars().take(2000).collect();
        let record = Record { version: 1, snapshot, description, created, size };
        let json = serde_json::to_vec(&record).expect("strings and numbers serialize");
        let path = self.key_path(key);
        fsutil::write_atomic(&path, &json).map_err(BuildError::io("write", &path))?;
        Ok(record)
    }

    fn key_path(&self, key: &Digest) -> PathBuf {
        self.dir.join("keys").join(format!("{}.json", key.hex()))
    }

    /// The directory of a cache mount, made when missing; and whether it was.
    pub(crate) fn mount(&self, id: &str) -> Result<(PathBuf, String, bool)> {
        let name = Digest::of(id.as_bytes()).hex()[..24].to_owned();
        let dir = self.dir.join("mounts").join(&name);
        let fs = dir.join("fs");
        if fs.is_dir() {
            let _ = fs_err::File::open(&fs)
                .map(|file| file.file().set_times(std::fs::FileTimes::new().set_accessed(SystemTime::now())));
            return Ok((fs, name, false));
        }
        fs_err::create_dir_all(&fs).map_err(BuildError::io("create", &fs))?;
        let record = MountRecord { version: 1, id: id.chars().take(500).collect() };
        let json = serde_json::to_vec(&record).expect("a string serializes");
        let path = dir.join("mount.json");
        fsutil::write_atomic(&path, &json).map_err(BuildError::io("write", &path))?;
        Ok((fs, name, true))
    }

    /// What the cache keeps, least recently used first.
    pub(crate) fn items(&self) -> Result<Vec<CacheItem>> {
        let shared = self.shared();
        let used = lock(&self.in_use).clone();
        let mut items: HashMap<String, CacheItem> = HashMap::new();
        for (path, modified) in entries(&self.dir.join("keys"))? {
            let Some(record) = fs_err::read(&path).ok().and_then(|json| serde_json::from_slice::<Record>(&json).ok())
            else {
                continue;
            };
            let key = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let id = record.snapshot.clone().unwrap_or(key);
            let in_use = used.contains_key(&id);
            let item = items.entry(id.clone()).or_insert_with(|| CacheItem {
                shared: shared.contains(&id),
                id,
                kind: "regular",
                description: record.description,
                size: record.size,
                in_use,
                last_used: modified,
            });
            item.last_used = item.last_used.max(modified);
        }
        for (path, modified) in entries(&self.dir.join("snapshots"))? {
            // A kill between the snapshot and its key leaves one that nobody will ask for.
            let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let size = self.size_of(&id);
            items.entry(id.clone()).or_insert_with(|| CacheItem {
                shared: shared.contains(&id),
                in_use: used.contains_key(&id),
                id,
                kind: "regular",
                description: String::new(),
                size,
                last_used: modified,
            });
        }
        for (path, modified) in entries(&self.dir.join("mounts"))? {
            let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let record = fs_err::read(path.join("mount.json")).ok();
            let record = record.and_then(|json| serde_json::from_slice::<MountRecord>(&json).ok());
            let accessed = fs_err::metadata(path.join("fs")).and_then(|m| m.accessed()).unwrap_or(modified);
            let item = CacheItem {
                kind: "exec.cachemount",
                description: record.map(|record| record.id).unwrap_or_default(),
                size: tree_bytes(&path.join("fs")).unwrap_or(0),
                in_use: used.contains_key(&id),
                shared: false,
                last_used: modified.max(accessed),
                id: id.clone(),
            };
            items.insert(id, item);
        }
        let mut items: Vec<CacheItem> = items.into_values().collect();
        items.sort_by(|a, b| a.last_used.cmp(&b.last_used).then_with(|| a.id.cmp(&b.id)));
        Ok(items)
    }

    /// Removes what is asked for, least recently used first; never what a build uses now.
    pub(crate) fn prune(&self, options: &PruneOptions) -> Result<Pruned> {
        let items = self.items()?;
        let mut left: u64 = items.iter().map(|item| item.size).sum();
        let now = SystemTime::now();
        let mut pruned = Pruned::default();
        for item in items {
            if options.keep_bytes.is_some_and(|keep| left <= keep) {
                break;
            }
            let age = now.duration_since(item.last_used).unwrap_or_default();
            let wanted = !item.in_use
                && (options.all || !item.shared)
                && options.unused_for.is_none_or(|least| age >= least)
                && (options.ids.is_empty() || options.ids.contains(&item.id));
            if wanted && self.remove(&item)? {
                left = left.saturating_sub(item.size);
                if !item.shared {
                    pruned.bytes += item.size;
                }
                pruned.ids.push(item.id);
            }
        }
        Ok(pruned)
    }

    /// As [`Cache::prune`], but looks only when there is more than the limit.
    pub(crate) fn prune_beyond(&self, options: &PruneOptions) -> Result<Pruned> {
        let limit = options.keep_bytes.unwrap_or(u64::MAX);
        let snapshots = entries(&self.dir.join("snapshots"))?;
        let id = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let snapshots: u64 = snapshots.iter().map(|(path, _)| self.size_of(&id(path))).sum();
        let mounts = entries(&self.dir.join("mounts"))?;
        let mounts: u64 = mounts.iter().filter_map(|(path, _)| tree_bytes(&path.join("fs")).ok()).sum();
        if snapshots + mounts <= limit { Ok(Pruned::default()) } else { self.prune(options) }
    }

    fn remove(&self, item: &CacheItem) -> Result<bool> {
        let retired = self.dir.join("tmp").join(format!("old-{}", random_id()));
        {
            // Nobody can begin to use it in here.
            let used = lock(&self.in_use);
            if used.contains_key(&item.id) {
                return Ok(false);
            }
            self.forget_keys(&item.id)?;
            let parent = if item.kind == "regular" { "snapshots" } else { "mounts" };
            let path = self.dir.join(parent).join(&item.id);
            // An image needs the files of a snapshot that it shares.
            if !item.shared && path.is_dir() && !self.shared().contains(&item.id) {
                fs_err::rename(&path, &retired).map_err(BuildError::io("remove", &path))?;
            }
        }
        fsutil::remove(&retired).map_err(BuildError::io("remove", &retired))?;
        Ok(true)
    }

    fn forget_keys(&self, id: &str) -> Result<()> {
        for (path, _) in entries(&self.dir.join("keys"))? {
            let record = fs_err::read(&path).ok().and_then(|json| serde_json::from_slice::<Record>(&json).ok());
            let own = path.file_stem().is_some_and(|stem| *stem == *id);
            if own || record.is_none_or(|record| record.snapshot.as_deref() == Some(id)) {
                let _ = fs_err::remove_file(&path);
            }
        }
        Ok(())
    }

    /// Snapshots that images have as layers.
    fn shared(&self) -> HashSet<String> {
        let snapshots = self.dir.join("snapshots");
        let links = fs_err::read_dir(&self.layers).into_iter().flatten().flatten();
        let targets = links.filter_map(|entry| fs_err::read_link(entry.path().join("fs")).ok());
        let id = |target: PathBuf| {
            let snapshot = target.parent().filter(|dir| dir.parent() == Some(&snapshots))?;
            Some(snapshot.file_name()?.to_string_lossy().into_owned())
        };
        targets.filter_map(id).collect()
    }
}

/// A snapshot that is being made. Dropped, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Draft {
    dir: PathBuf,
}

impl Draft {
    pub(crate) fn upper(&self) -> PathBuf {
        self.dir.join("fs")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// A place for files that belong to the step but not to its result.
    pub(crate) fn extra(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Kept drafts have another name by now.
        let _ = fsutil::remove(&self.dir);
    }
}

fn entries(dir: &Path) -> Result<Vec<(PathBuf, SystemTime)>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(dir).map_err(BuildError::io("list", dir))? {
        let entry = entry.map_err(BuildError::io("list", dir))?;
        if let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) {
            found.push((entry.path(), modified));
        }
    }
    Ok(found)
}

/// Bytes of the files below a directory that nobody writes to but a command of ours.
fn tree_bytes(path: &Path) -> std::io::Result<u64> {
    use std::os::fd::AsFd as _;
    let mut total = 0;
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        // One that is removed meanwhile counts nothing.
        let Ok(dir) = fsutil::open_dir(&path) else { continue };
        for name in fsutil::names(dir.as_fd())? {
            let Ok(stat) = fsutil::stat(dir.as_fd(), &name) else { continue };
            match fsutil::kind(&stat) {
                rustix::fs::FileType::RegularFile => total += u64::try_from(stat.st_size).unwrap_or(0),
                rustix::fs::FileType::Directory => pending.push(path.join(&name)),
                _ => {}
            }
        }
    }
    Ok(total)
}
