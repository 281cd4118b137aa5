//! Which images there are, what they are called, and which blobs and layers they need: tables `image_*` of `state.db`.
//!
//! The file is shared with the engine, which has tables of its own; write-ahead logging lets both work side by side. One
//! connection behind a mutex: statements take microseconds. Every change that belongs together is one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drua_types::{Digest, ImageRef};
use rusqlite::types::{FromSqlError, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use crate::storage::StorageError;
use crate::wire::Descriptor;

/// Migrations, in order; the schema's version is how many have been applied. Never edit one, append.
const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE image_image (
        id TEXT PRIMARY KEY,            -- digest of the top-level descriptor
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,          -- of the top-level document
        removed INTEGER NOT NULL DEFAULT 0  -- forcibly removed while a container uses it: kept, but nobody sees it
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE image_name (
        reference TEXT PRIMARY KEY,     -- canonical, with tag or digest
        id TEXT NOT NULL REFERENCES image_image(id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX image_name_id ON image_name(id);
    CREATE TABLE image_blob (
        id TEXT NOT NULL REFERENCES image_image(id),
        digest TEXT NOT NULL,
        PRIMARY KEY (id, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE image_layer (
        id TEXT NOT NULL REFERENCES image_image(id),
        chain_id TEXT NOT NULL,
        PRIMARY KEY (id, chain_id)
    ) STRICT, WITHOUT ROWID;
    ",
    "
    CREATE TABLE image_packed (
        plain TEXT PRIMARY KEY,         -- digest of a blob that is a plain tar
        packed TEXT NOT NULL,           -- digest of the same, compressed for registries
        size INTEGER NOT NULL           -- of that
    ) STRICT, WITHOUT ROWID;
    ",
];

/// An image as recorded.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) descriptor: Descriptor,
    pub(crate) names: Vec<ImageRef>,
    pub(crate) blobs: BTreeSet<Digest>,
    pub(crate) chain_ids: BTreeSet<Digest>,
}

/// Why the database could not be opened.
#[derive(Debug)]
pub(crate) enum OpenDbError {
    Storage(StorageError),
    /// A newer drua has changed the schema.
    TooNew {
        found: i64,
        known: i64,
    },
}

/// The tables `image_*`.
#[derive(Debug)]
pub(crate) struct Db {
    connection: Mutex<Connection>,
}

impl Db {
    /// Opens the database and brings its schema up to date.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenDbError> {
        let prepare = || -> rusqlite::Result<(Connection, i64)> {
            let mut connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // An image that was acknowledged survives a power failure too.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            let version = migrate(&mut connection)?;
            Ok((connection, version))
        };
        let result = prepare().map_err(StorageError::database("open the tables"));
        let (connection, version) = result.map_err(OpenDbError::Storage)?;
        if version > schema_version() {
            return Err(OpenDbError::TooNew { found: version, known: schema_version() });
        }
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Records images, all or none. A name that another image had moves.
    pub(crate) fn record(&self, records: &[Record]) -> Result<(), StorageError> {
        self.change("record images", |tx| records.iter().try_for_each(|record| put(tx, record)))
    }

    /// Every image that can be seen, as its top-level descriptor.
    pub(crate) fn images(&self) -> Result<Vec<Descriptor>, StorageError> {
        self.query("list images", "SELECT id, media_type, size FROM image_image WHERE NOT removed", [], descriptor)
    }

    /// Images that were forcibly removed while in use.
    pub(crate) fn removed_images(&self) -> Result<Vec<Digest>, StorageError> {
        self.query("list removed images", "SELECT id FROM image_image WHERE removed", [], |row| parse(row, 0))
    }

    /// One image, when it can be seen.
    pub(crate) fn image(&self, id: &Digest) -> Result<Option<Descriptor>, StorageError> {
        let sql = "SELECT id, media_type, size FROM image_image WHERE id = ?1 AND NOT removed";
        Ok(self.query("look up an image", sql, params![id.as_str()], descriptor)?.pop())
    }

    /// Images whose id's digits start so; at most two, which is enough to know that it is not unique.
    pub(crate) fn images_by_prefix(&self, hex: &str) -> Result<Vec<Digest>, StorageError> {
        let sql = "SELECT id FROM image_image WHERE id >= ?1 AND id < ?2 AND NOT removed LIMIT 2";
        // `g` follows `f`, the last digit.
        let range = params![format!("sha256:{hex}"), format!("sha256:{hex}g")];
        self.query("look up an image", sql, range, |row| parse(row, 0))
    }

    /// The image that has this very name.
    pub(crate) fn id_of(&self, name: &ImageRef) -> Result<Option<Digest>, StorageError> {
        let sql = "SELECT id FROM image_name WHERE reference = ?1";
        Ok(self.query("look up a name", sql, params![name.to_string()], |row| parse(row, 0))?.pop())
    }

    /// All names, by image.
    pub(crate) fn names(&self) -> Result<BTreeMap<Digest, Vec<ImageRef>>, StorageError> {
        let sql = "SELECT id, reference FROM image_name ORDER BY reference";
        let pairs =
            self.query("list names", sql, [], |row| Ok((parse::<Digest>(row, 0)?, parse::<ImageRef>(row, 1)?)))?;
        let mut names: BTreeMap<Digest, Vec<ImageRef>> = BTreeMap::new();
        for (id, name) in pairs {
            names.entry(id).or_default().push(name);
        }
        Ok(names)
    }

    /// The names of one image, sorted.
    pub(crate) fn names_of(&self, id: &Digest) -> Result<Vec<ImageRef>, StorageError> {
        let sql = "SELECT reference FROM image_name WHERE id = ?1 ORDER BY reference";
        self.query("list names", sql, params![id.as_str()], |row| parse(row, 0))
    }

    /// The names of images that need a blob, or what it is the compressed copy of, sorted.
    pub(crate) fn names_with_blob(&self, digest: &Digest) -> Result<Vec<ImageRef>, StorageError> {
        let sql = "SELECT DISTINCT reference FROM image_name JOIN image_blob USING (id)
                   WHERE digest = ?1 OR digest IN (SELECT plain FROM image_packed WHERE packed = ?1)
                   ORDER BY reference";
        self.query("list names", sql, params![digest.as_str()], |row| parse(row, 0))
    }

    /// Gives an image a name; another image loses it.
    pub(crate) fn set_name(&self, name: &ImageRef, id: &Digest) -> Result<(), StorageError> {
        self.change("set a name", |tx| put_name(tx, name, id))
    }

    /// Takes names away.
    pub(crate) fn remove_names(&self, names: &[ImageRef]) -> Result<(), StorageError> {
        self.change("remove names", |tx| {
            let mut statement = tx.prepare_cached("DELETE FROM image_name WHERE reference = ?1")?;
            names.iter().try_for_each(|name| statement.execute(params![name.to_string()]).map(|_| ()))
        })
    }

    /// Forgets an image, its names and its references.
    pub(crate) fn remove_image(&self, id: &Digest) -> Result<(), StorageError> {
        self.change("remove an image", |tx| {
            for table in ["image_name", "image_blob", "image_layer", "image_image"] {
                tx.execute(&format!("DELETE FROM {table} WHERE id = ?1"), params![id.as_str()])?;
            }
            Ok(())
        })
    }

    /// Replaces what an image needs, after some of its platforms went.
    pub(crate) fn set_parts(
        &self,
        id: &Digest,
        blobs: &BTreeSet<Digest>,
        chain_ids: &BTreeSet<Digest>,
    ) -> Result<(), StorageError> {
        self.change("remove platforms", |tx| {
            for table in ["image_blob", "image_layer"] {
                tx.execute(&format!("DELETE FROM {table} WHERE id = ?1"), params![id.as_str()])?;
            }
            put_parts(tx, id, blobs, chain_ids)
        })
    }

    /// What a plain blob became when it was compressed: digest and size.
    pub(crate) fn packed(&self, plain: &Digest) -> Result<Option<(Digest, u64)>, StorageError> {
        let sql = "SELECT packed, size FROM image_packed WHERE plain = ?1";
        let mut rows = self.query("look up a compressed layer", sql, params![plain.as_str()], |row| {
            Ok((parse(row, 0)?, row.get::<_, i64>(1)?.unsigned_abs()))
        })?;
        Ok(rows.pop())
    }

    /// Records what a plain blob became when it was compressed.
    pub(crate) fn set_packed(&self, plain: &Digest, packed: &Digest, size: u64) -> Result<(), StorageError> {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.change("record a compressed layer", |tx| {
            let sql = "INSERT OR REPLACE INTO image_packed (plain, packed, size) VALUES (?1, ?2, ?3)";
            tx.execute(sql, params![plain.as_str(), packed.as_str(), size]).map(|_| ())
        })
    }

    /// Takes an image from sight, names and all, but keeps its content.
    pub(crate) fn hide_image(&self, id: &Digest) -> Result<(), StorageError> {
        self.change("hide an image", |tx| {
            tx.execute("DELETE FROM image_name WHERE id = ?1", params![id.as_str()])?;
            tx.execute("UPDATE image_image SET removed = 1 WHERE id = ?1", params![id.as_str()])?;
            Ok(())
        })
    }

    /// Which image needs which blob; images that were removed while in use included.
    pub(crate) fn image_blobs(&self) -> Result<Vec<(Digest, Digest)>, StorageError> {
        self.query("list blobs", "SELECT id, digest FROM image_blob", [], |row| Ok((parse(row, 0)?, parse(row, 1)?)))
    }

    /// As [`Db::image_blobs`], compressed copies included.
    pub(crate) fn image_content(&self) -> Result<Vec<(Digest, Digest)>, StorageError> {
        let sql = "SELECT id, digest FROM image_blob
                   UNION SELECT id, packed FROM image_blob JOIN image_packed ON plain = digest";
        self.query("list blobs", sql, [], |row| Ok((parse(row, 0)?, parse(row, 1)?)))
    }

    /// Forgets compressed copies of what no image needs any more.
    pub(crate) fn forget_packed(&self) -> Result<(), StorageError> {
        let sql = "DELETE FROM image_packed WHERE plain NOT IN (SELECT digest FROM image_blob)";
        self.change("forget compressed layers", |tx| tx.execute(sql, []).map(|_| ()))
    }

    /// Which image needs which layer; images that were removed while in use included.
    pub(crate) fn image_layers(&self) -> Result<Vec<(Digest, Digest)>, StorageError> {
        self.query("list layers", "SELECT id, chain_id FROM image_layer", [], |row| {
            Ok((parse(row, 0)?, parse(row, 1)?))
        })
    }

    /// Every blob that some image needs, and compressed copies of those.
    pub(crate) fn blobs(&self) -> Result<BTreeSet<Digest>, StorageError> {
        let sql = "SELECT digest FROM image_blob
                   UNION SELECT packed FROM image_packed WHERE plain IN (SELECT digest FROM image_blob)";
        let rows = self.query("list blobs", sql, [], |row| parse(row, 0))?;
        Ok(rows.into_iter().collect())
    }

    /// Every layer that some image needs.
    pub(crate) fn chain_ids(&self) -> Result<BTreeSet<Digest>, StorageError> {
        let rows = self.query("list layers", "SELECT DISTINCT chain_id FROM image_layer", [], |row| parse(row, 0))?;
        Ok(rows.into_iter().collect())
    }

    fn query<T>(
        &self,
        action: &'static str,
        sql: &str,
        params: impl rusqlite::Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StorageError> {
        let connection = self.lock();
        let rows = || -> rusqlite::Result<Vec<T>> { connection.prepare_cached(sql)?.query_map(params, map)?.collect() };
        rows().map_err(StorageError::database(action))
    }

    fn change(
        &self,
        action: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StorageError> {
        let mut connection = self.lock();
        let run = || {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            change(&tx)?;
            tx.commit()
        };
        run().map_err(StorageError::database(action))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic inside rolls its transaction back; the connection itself stays good.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn schema_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a handful")
}

/// Applies what is missing; returns the version, which is higher than ours when a newer drua was here.
fn migrate(connection: &mut Connection) -> rusqlite::Result<i64> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch("CREATE TABLE IF NOT EXISTS image_schema (version INTEGER NOT NULL) STRICT")?;
    let found: Option<i64> =
        tx.query_row("SELECT max(version) FROM image_schema", [], |row| row.get(0)).optional()?.flatten();
    let found = found.unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        tx.execute_batch(migration)?;
    }
    if found < schema_version() {
        tx.execute("DELETE FROM image_schema", [])?;
        tx.execute("INSERT INTO image_schema (version) VALUES (?1)", params![schema_version()])?;
    }
    tx.commit()?;
    Ok(found.max(schema_version()))
}

fn put(tx: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    let Descriptor { media_type, digest: id, size, .. } = &record.descriptor;
    let size = i64::try_from(*size).unwrap_or(i64::MAX);
    // Loaded again, an image that was removed while in use is back.
    let image = "INSERT INTO image_image (id, media_type, size) VALUES (?1, ?2, ?3)
                 ON CONFLICT (id) DO UPDATE SET removed = 0";
    tx.prepare_cached(image)?.execute(params![id.as_str(), media_type, size])?;
    // Added to what is there: the same index may come in platform by platform.
    put_parts(tx, id, &record.blobs, &record.chain_ids)?;
    record.names.iter().try_for_each(|name| put_name(tx, name, id))
}

fn put_parts(
    tx: &Transaction<'_>,
    id: &Digest,
    blobs: &BTreeSet<Digest>,
    chain_ids: &BTreeSet<Digest>,
) -> rusqlite::Result<()> {
    let mut blob = tx.prepare_cached("INSERT OR IGNORE INTO image_blob (id, digest) VALUES (?1, ?2)")?;
    for digest in blobs {
        blob.execute(params![id.as_str(), digest.as_str()])?;
    }
    let mut layer = tx.prepare_cached("INSERT OR IGNORE INTO image_layer (id, chain_id) VALUES (?1, ?2)")?;
    for chain_id in chain_ids {
        layer.execute(params![id.as_str(), chain_id.as_str()])?;
    }
    Ok(())
}

fn put_name(tx: &Transaction<'_>, name: &ImageRef, id: &Digest) -> rusqlite::Result<()> {
    let sql = "INSERT INTO image_name (reference, id) VALUES (?1, ?2) ON CONFLICT (reference) DO UPDATE SET id = ?2";
    tx.prepare_cached(sql)?.execute(params![name.to_string(), id.as_str()]).map(|_| ())
}

fn descriptor(row: &Row<'_>) -> rusqlite::Result<Descriptor> {
    let size: i64 = row.get(2)?;
    let media_type: String = row.get(1)?;
    Ok(Descriptor::new(&media_type, parse(row, 0)?, size.unsigned_abs()))
}

fn parse<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let value: ValueRef<'_> = row.get_ref(column)?;
    let parsed = value.as_str().and_then(|text| text.parse().map_err(|error| FromSqlError::Other(Box::new(error))));
    parsed.map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, value.data_type(), Box::new(error)))
}
