//! `wasi:config` in the versions that are about: texts that the user gives (`dev.drua.wasm.config`), or else the
//! environment of the container.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::guest::State;

/// The interface was `runtime` in its first draft; functions and types are the same.
pub(super) const INTERFACES: [&str; 4] = [
    "wasi:config/runtime@0.2.0-draft",
    "wasi:config/store@0.2.0-draft",
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:config/store@0.2.0-rc.1",
];

/// What can be asked for.
pub(super) type Values = Arc<BTreeMap<String, String>>;

/// `error` of the interface; reading a map never fails.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for interface in INTERFACES {
        let mut interface = linker.instance(interface)?;
        interface.func_wrap("get", |store: StoreContextMut<'_, State>, (key,): (String,)| {
            let value = store.data().config().get(&key).cloned();
            Ok((Ok::<Option<String>, ConfigError>(value),))
        })?;
        interface.func_wrap("get-all", |store: StoreContextMut<'_, State>, (): ()| {
            let all: Vec<(String, String)> =
                store.data().config().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            Ok((Ok::<Vec<(String, String)>, ConfigError>(all),))
        })?;
    }
    Ok(())
}
