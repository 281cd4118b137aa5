//! `wasi:keyvalue` in both drafts, kept in memory for as long as the container runs.
//!
//! All instances of a container share its stores, so an HTTP component finds what an earlier request left. Drafts differ
//! in the cursor of `list-keys` (a number, then a text), in the type of `increment` and in compare-and-swap.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};

use super::guest::State;

/// The draft that wasmtime has, with numbers for cursors.
const FIRST: &str = "0.2.0-draft";
/// The draft that Spin has, with texts for cursors.
const SECOND: &str = "0.2.0-draft2";

/// What all stores of a container may hold, in bytes.
const MAX_BYTES: usize = 64 << 20;
const MAX_KEY: usize = 4096;
/// How many keys one `list-keys` returns.
const PAGE: usize = 1000;

/// The stores of a container.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyValue(Arc<Mutex<Stores>>);

#[derive(Debug, Default)]
struct Stores {
    buckets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    bytes: usize,
}

/// `bucket`: the name of a store.
#[derive(Debug)]
pub(super) struct Bucket(String);

/// `cas`: what a key had when the guest looked.
#[derive(Debug)]
pub(super) struct Cas {
    bucket: String,
    key: String,
    seen: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum CasError {
    #[component(name = "store-error")]
    Store(Error),
    #[component(name = "cas-failed")]
    Failed(Resource<Cas>),
}

#[derive(Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct KeysByNumber {
    keys: Vec<String>,
    cursor: Option<u64>,
}

#[derive(Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct KeysByText {
    keys: Vec<String>,
    cursor: Option<String>,
}

type Value = Vec<u8>;

impl KeyValue {
    fn stores(&self) -> MutexGuard<'_, Stores> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stores {
    fn get(&self, bucket: &str, key: &str) -> Option<Value> {
        self.buckets.get(bucket)?.get(key).cloned()
    }

    fn set(&mut self, bucket: &str, key: &str, value: Value) -> Result<(), Error> {
        if key.len() > MAX_KEY {
            return Err(Error::Other(format!("a key has at most {MAX_KEY} bytes")));
        }
        let old = self.buckets.get(bucket).and_then(|bucket| bucket.get(key)).map_or(0, |old| old.len() + key.len());
        let bytes = self.bytes - old + value.len() + key.len();
        if bytes > MAX_BYTES {
            return Err(Error::Other(format!("the stores of a container hold at most {} MiB", MAX_BYTES >> 20)));
        }
        self.bytes = bytes;
        self.buckets.entry(bucket.to_owned()).or_default().insert(key.to_owned(), value);
        Ok(())
    }

    fn delete(&mut self, bucket: &str, key: &str) {
        if let Some(old) = self.buckets.get_mut(bucket).and_then(|bucket| bucket.remove(key)) {
            self.bytes -= old.len() + key.len();
        }
    }

    /// Adds to a number, which is eight bytes, little-endian; a missing one is zero.
    fn increment(&mut self, bucket: &str, key: &str, delta: i64) -> Result<i64, Error> {
        let old = match self.get(bucket, key) {
            None => 0,
            Some(bytes) => {
                let bytes = bytes.as_slice().try_into();
                i64::from_le_bytes(bytes.map_err(|_| Error::Other("the value is not a number".to_owned()))?)
            }
        };
        let new = old.checked_add(delta).ok_or_else(|| Error::Other("the number is too large".to_owned()))?;
        self.set(bucket, key, new.to_le_bytes().to_vec())?;
        Ok(new)
    }

    /// A page of keys after `after`.
    fn page(&self, bucket: &str, after: Option<&str>) -> Vec<String> {
        let Some(bucket) = self.buckets.get(bucket) else { return Vec::new() };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        bucket.range::<str, _>((start, Bound::Unbounded)).take(PAGE).map(|(key, _)| key.clone()).collect()
    }
}

/// The stores and the names of some buckets, which are the guest's handles.
fn named(store: &mut StoreContextMut<'_, State>, bucket: &Resource<Bucket>) -> wasmtime::Result<(KeyValue, String)> {
    let state = store.data_mut();
    let name = state.table().get(bucket)?.0.clone();
    Ok((state.keyvalue(), name))
}

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for version in [FIRST, SECOND] {
        store(linker, version)?;
        batch(linker, version)?;
    }
    atomics(linker)
}

fn store(linker: &mut Linker<State>, version: &str) -> wasmtime::Result<()> {
    let mut interface = linker.instance(&format!("wasi:keyvalue/store@{version}"))?;
    interface.resource("bucket", ResourceType::host::<Bucket>(), |mut store, bucket| {
        store.data_mut().table().delete(Resource::<Bucket>::new_own(bucket))?;
        Ok(())
    })?;
    interface.func_wrap("open", |mut store: StoreContextMut<'_, State>, (name,): (String,)| {
        if name.len() > MAX_KEY {
            return Ok((Err(Error::NoSuchStore),));
        }
        let bucket = store.data_mut().table().push(Bucket(name))?;
        Ok((Ok::<Resource<Bucket>, Error>(bucket),))
    })?;
    type Key = (Resource<Bucket>, String);
    interface.func_wrap("[method]bucket.get", |mut store: StoreContextMut<'_, State>, (bucket, key): Key| {
        let (stores, bucket) = named(&mut store, &bucket)?;
        Ok((Ok::<Option<Value>, Error>(stores.stores().get(&bucket, &key)),))
    })?;
    interface.func_wrap(
        "[method]bucket.set",
        |mut store: StoreContextMut<'_, State>, (bucket, key, value): (Resource<Bucket>, String, Value)| {
            let (stores, bucket) = named(&mut store, &bucket)?;
            Ok((stores.stores().set(&bucket, &key, value),))
        },
    )?;
    interface.func_wrap("[method]bucket.delete", |mut store: StoreContextMut<'_, State>, (bucket, key): Key| {
        let (stores, bucket) = named(&mut store, &bucket)?;
        stores.stores().delete(&bucket, &key);
        Ok((Ok::<(), Error>(()),))
    })?;
    interface.func_wrap("[method]bucket.exists", |mut store: StoreContextMut<'_, State>, (bucket, key): Key| {
        let (stores, bucket) = named(&mut store, &bucket)?;
        Ok((Ok::<bool, Error>(stores.stores().get(&bucket, &key).is_some()),))
    })?;
    if version == FIRST {
        interface.func_wrap(
            "[method]bucket.list-keys",
            |mut store: StoreContextMut<'_, State>, (bucket, cursor): (Resource<Bucket>, Option<u64>)| {
                let (stores, bucket) = named(&mut store, &bucket)?;
                let stores = stores.stores();
                let skip = usize::try_from(cursor.unwrap_or(0)).unwrap_or(usize::MAX);
                let keys: Vec<String> = stores
                    .buckets
                    .get(&bucket)
                    .map(|bucket| bucket.keys().skip(skip).take(PAGE).cloned().collect())
                    .unwrap_or_default();
                let cursor = (keys.len() == PAGE).then_some((skip + PAGE) as u64);
                Ok((Ok::<KeysByNumber, Error>(KeysByNumber { keys, cursor }),))
            },
        )
    } else {
        interface.func_wrap(
            "[method]bucket.list-keys",
            |mut store: StoreContextMut<'_, State>, (bucket, cursor): (Resource<Bucket>, Option<String>)| {
                let (stores, bucket) = named(&mut store, &bucket)?;
                let keys = stores.stores().page(&bucket, cursor.as_deref());
                let cursor = if keys.len() == PAGE { keys.last().cloned() } else { None };
                Ok((Ok::<KeysByText, Error>(KeysByText { keys, cursor }),))
            },
        )
    }
}

fn batch(linker: &mut Linker<State>, version: &str) -> wasmtime::Result<()> {
    let mut interface = linker.instance(&format!("wasi:keyvalue/batch@{version}"))?;
    type Keys = (Resource<Bucket>, Vec<String>);
    interface.func_wrap("get-many", |mut store: StoreContextMut<'_, State>, (bucket, keys): Keys| {
        let (stores, bucket) = named(&mut store, &bucket)?;
        let stores = stores.stores();
        let pair = |key: String| stores.get(&bucket, &key).map(|value| (key, value));
        Ok((Ok::<Vec<Option<(String, Value)>>, Error>(keys.into_iter().map(pair).collect()),))
    })?;
    interface.func_wrap(
        "set-many",
        |mut store: StoreContextMut<'_, State>, (bucket, pairs): (Resource<Bucket>, Vec<(String, Value)>)| {
            let (stores, bucket) = named(&mut store, &bucket)?;
            let mut stores = stores.stores();
            Ok((pairs.into_iter().try_for_each(|(key, value)| stores.set(&bucket, &key, value)),))
        },
    )?;
    interface.func_wrap("delete-many", |mut store: StoreContextMut<'_, State>, (bucket, keys): Keys| {
        let (stores, bucket) = named(&mut store, &bucket)?;
        let mut stores = stores.stores();
        keys.iter().for_each(|key| stores.delete(&bucket, key));
        Ok((Ok::<(), Error>(()),))
    })
}

fn atomics(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(&format!("wasi:keyvalue/atomics@{FIRST}"))?;
    interface.func_wrap(
        "increment",
        |mut store: StoreContextMut<'_, State>, (bucket, key, delta): (Resource<Bucket>, String, u64)| {
            let (stores, bucket) = named(&mut store, &bucket)?;
            let delta = i64::try_from(delta).map_err(|_| Error::Other("the number is too large".to_owned()));
            let sum = delta.and_then(|delta| stores.stores().increment(&bucket, &key, delta));
            Ok((sum.map(i64::cast_unsigned),))
        },
    )?;
    let mut interface = linker.instance(&format!("wasi:keyvalue/atomics@{SECOND}"))?;
    interface.func_wrap(
        "increment",
        |mut store: StoreContextMut<'_, State>, (bucket, key, delta): (Resource<Bucket>, String, i64)| {
            let (stores, bucket) = named(&mut store, &bucket)?;
            Ok((stores.stores().increment(&bucket, &key, delta),))
        },
    )?;
    interface.resource("cas", ResourceType::host::<Cas>(), |mut store, cas| {
        store.data_mut().table().delete(Resource::<Cas>::new_own(cas))?;
        Ok(())
    })?;
    interface.func_wrap(
        "[static]cas.new",
        |mut store: StoreContextMut<'_, State>, (bucket, key): (Resource<Bucket>, String)| {
            let (stores, bucket) = named(&mut store, &bucket)?;
            let seen = stores.stores().get(&bucket, &key);
            let cas = store.data_mut().table().push(Cas { bucket, key, seen })?;
            Ok((Ok::<Resource<Cas>, Error>(cas),))
        },
    )?;
    interface.func_wrap("[method]cas.current", |mut store: StoreContextMut<'_, State>, (cas,): (Resource<Cas>,)| {
        let seen = store.data_mut().table().get(&cas)?.seen.clone();
        Ok((Ok::<Option<Value>, Error>(seen),))
    })?;
    interface.func_wrap("swap", |mut store: StoreContextMut<'_, State>, (cas, value): (Resource<Cas>, Value)| {
        let state = store.data_mut();
        let Cas { bucket, key, seen } = state.table().delete(cas)?;
        let stores = state.keyvalue();
        let mut stores = stores.stores();
        let now = stores.get(&bucket, &key);
        if now == seen {
            return Ok((stores.set(&bucket, &key, value).map_err(CasError::Store),));
        }
        drop(stores);
        let again = state.table().push(Cas { bucket, key, seen: now })?;
        Ok((Err(CasError::Failed(again)),))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_bounded_and_counted() {
        let mut stores = Stores::default();
        stores.set("b", "k", vec![0; 1000]).expect("room");
        stores.set("b", "k", vec![0; 10]).expect("room");
        assert_eq!(stores.bytes, 11);
        assert!(stores.set("b", "big", vec![0; MAX_BYTES]).is_err());
        stores.delete("b", "k");
        assert_eq!(stores.bytes, 0);
        assert_eq!(stores.increment("b", "n", 5), Ok(5));
        assert_eq!(stores.increment("b", "n", -7), Ok(-2));
        stores.set("b", "t", b"text".to_vec()).expect("room");
        assert!(stores.increment("b", "t", 1).is_err());
        assert_eq!(stores.page("b", None), ["n", "t"]);
        assert_eq!(stores.page("b", Some("n")), ["t"]);
    }
}
