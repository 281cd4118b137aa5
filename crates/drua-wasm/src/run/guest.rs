//! What a guest sees of its container, and the host state behind it.

use std::sync::Arc;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Module, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::outgoing::Outgoing;
use super::report::RunError;
use super::resolve::Resolver;
use super::stdio::Output;
use super::{WasmRun, lookup};

/// Arguments, environment and directory, read once and given to each instance.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    args: Vec<String>,
    env: Vec<(String, String)>,
    cwd: String,
}

impl Guest {
    pub(super) fn of(run: &WasmRun) -> Self {
        let pair = |entry: &String| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            args: run.args.clone(),
            env: run.env.iter().filter_map(pair).collect(),
            cwd: run.cwd.to_string_lossy().into_owned(),
        }
    }

    /// The value of an environment variable; the last one wins, as in a shell.
    pub(super) fn env(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A context with everything that the container has.
    pub(super) fn wasi(&self) -> Result<WasiCtxBuilder, RunError> {
        let mut builder = WasiCtxBuilder::new();
        builder
            .args(&self.args)
            .envs(&self.env)
            .initial_cwd(&self.cwd)
            .inherit_stdin()
            .stdout(Output::Stdout)
            .stderr(Output::Stderr)
            .inherit_network()
            .allow_tcp(true)
            .allow_udp(true)
            .allow_ip_name_lookup(true)
            // A file operation that waits delays one guest; a thread pool for them would cost every idle container.
            .allow_blocking_current_thread(true)
            .preopened_dir("/", "/", FsPerms::ReadWrite)
            .map_err(RunError::Root)?;
        Ok(builder)
    }
}

/// Host state of a component's store.
pub(super) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outgoing: Outgoing,
    resolver: Arc<Resolver>,
}

impl State {
    pub(super) fn new(wasi: WasiCtx, resolver: Arc<Resolver>) -> Self {
        Self {
            wasi,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            outgoing: Outgoing::new(resolver.clone()),
            resolver,
        }
    }

    pub(super) fn resolver(&self) -> Arc<Resolver> {
        self.resolver.clone()
    }

    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outgoing }
    }
}

/// Everything that drua offers to a component: WASI 0.2 and outgoing `wasi:http`, with our own name look-up.
pub(super) fn component_linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    linker.allow_shadowing(true);
    lookup::add_to_linker(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// Links a component, or says which of its imports nobody offers.
pub(super) fn link(
    linker: &Linker<State>,
    component: &Component,
) -> Result<wasmtime::component::InstancePre<State>, RunError> {
    linker.instantiate_pre(component).map_err(RunError::Link)
}

/// Everything that drua offers to a core module: WASI preview 1, and its predecessor `wasi_unstable` to whom it matters.
pub(super) fn module_linker(module: &Module) -> wasmtime::Result<wasmtime::Linker<WasiP1Ctx>> {
    const OLD: &str = "wasi_unstable";
    let mut linker = wasmtime::Linker::new(module.engine());
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |state: &mut WasiP1Ctx| state)?;
    let old = module.imports().any(|import| import.module() == OLD);
    if old {
        wasmtime_wasi::p0::add_to_linker_async(&mut linker, |state: &mut WasiP1Ctx| state)?;
    }
    linker.allow_shadowing(true);
    for interface in ["wasi_snapshot_preview1"].into_iter().chain(old.then_some(OLD)) {
        // wasmtime-wasi turns 126 and above into a trap; for a container they are exit codes like any other.
        linker.func_wrap(interface, "proc_exit", |code: i32| -> wasmtime::Result<()> {
            Err(wasmtime_wasi::I32Exit(code).into())
        })?;
    }
    linker.allow_shadowing(false);
    Ok(linker)
}

/// A store without limits of its own: the container's cgroup is the wall.
pub(super) fn store<T: Send + 'static>(engine: &Engine, state: T) -> Store<T> {
    Store::new(engine, state)
}
