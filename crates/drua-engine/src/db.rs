//! What must survive a restart: containers, networks and volumes as versioned JSON records in SQLite.
//!
//! WAL with `synchronous=NORMAL`: a commit costs no fsync, and a power cut loses the last commits, never consistency. A
//! container whose record is lost that way is one that nobody could have used.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Bumped when a record changes in a way that an older reader would get wrong.
const RECORD_VERSION: u32 = 1;

/// What kind of record; the table's name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Table {
    Containers,
    Networks,
    Volumes,
    Execs,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Containers => "engine_containers",
            Self::Networks => "engine_networks",
            Self::Volumes => "engine_volumes",
            Self::Execs => "engine_execs",
        }
    }
}

/// The state database. Calls take microseconds and are made directly, also from async code.
#[derive(Debug)]
pub(crate) struct Db {
    connection: Mutex<Connection>,
}

impl Db {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let failed = |source| Error::Database { action: "open", source };
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
        for table in [Table::Containers, Table::Networks, Table::Volumes, Table::Execs] {
            let name = table.name();
            connection
                .execute_batch(&format!(
                    "CREATE TABLE IF NOT EXISTS {name} (key TEXT PRIMARY KEY, version INTEGER NOT NULL, record TEXT NOT NULL) STRICT"
                ))
                .map_err(failed)?;
        }
        Ok(Self { connection: Mutex::new(connection) })
    }

    pub(crate) fn put<T: Serialize>(&self, table: Table, key: &str, record: &T) -> Result<()> {
        let json = serde_json::to_string(record).map_err(|source| Error::Record { what: table.name(), source })?;
        let connection = crate::lock(&self.connection);
        connection
            .prepare_cached(&format!("INSERT OR REPLACE INTO {} VALUES (?1, ?2, ?3)", table.name()))
            .and_then(|mut insert| insert.execute(params![key, RECORD_VERSION, json]))
            .map_err(|source| Error::Database { action: "save a record", source })?;
        Ok(())
    }

    pub(crate) fn delete(&self, table: Table, key: &str) -> Result<()> {
        let connection = crate::lock(&self.connection);
        connection
            .execute(&format!("DELETE FROM {} WHERE key = ?1", table.name()), params![key])
            .map_err(|source| Error::Database { action: "delete a record", source })?;
        Ok(())
    }

    /// The keys of all records, readable or not.
    pub(crate) fn keys(&self, table: Table) -> Result<Vec<String>> {
        let failed = |source| Error::Database { action: "list records", source };
        let connection = crate::lock(&self.connection);
        let mut select = connection.prepare(&format!("SELECT key FROM {}", table.name())).map_err(failed)?;
        let keys = select.query_map([], |row| row.get(0)).map_err(failed)?;
        keys.collect::<Result<_, _>>().map_err(failed)
    }

    /// Every readable record. One that cannot be read is reported and skipped, and stays in the database.
    pub(crate) fn all<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<T>> {
        let failed = |source| Error::Database { action: "read records", source };
        let connection = crate::lock(&self.connection);
        let mut select =
            connection.prepare(&format!("SELECT key, version, record FROM {}", table.name())).map_err(failed)?;
        let rows = select
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, row.get::<_, String>(2)?)))
            .map_err(failed)?;
        let mut records = Vec::new();
        for row in rows {
            let (key, version, json) = row.map_err(failed)?;
            if version > RECORD_VERSION {
                tracing::error!(key, version, table = table.name(), "a newer drua wrote this record: left alone");
                continue;
            }
            match serde_json::from_str(&json) {
                Ok(record) => records.push(record),
                Err(error) => tracing::error!(key, %error, table = table.name(), "unreadable record: left alone"),
            }
        }
        Ok(records)
    }
}
