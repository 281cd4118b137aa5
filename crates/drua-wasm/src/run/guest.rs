//! What a guest sees of its container, and the host state behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use drua_types::grants::{Access, Class};
use wasmtime::component::{Component, InstancePre, Linker, ResourceTable};
use wasmtime::{Engine, Module, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, HostMonotonicClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::config::Values;
use super::keyvalue::KeyValue;
use super::limits::Limits;
use super::outgoing::Outgoing;
use super::reach::Reach;
use super::report::RunError;
use super::stdio::Output;
use super::wasmedge::Sockets;
use super::{Directory, Settings, WasmRun, config, keyvalue, links, lookup, wasmedge};
use crate::engine::Profile;

/// Arguments, environment, directories and what all instances share, read once and given to each instance.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    args: Vec<String>,
    env: Vec<(String, String)>,
    cwd: String,
    directories: Vec<Directory>,
    reach: Arc<Reach>,
    config: Values,
    keyvalue: KeyValue,
    memory: Option<u64>,
    zero: Instant,
}

impl Guest {
    pub(super) fn of(run: &WasmRun) -> Result<Self, RunError> {
        let settings = &run.settings;
        let reach = Reach::new(settings.grants.clone());
        let pair = |entry: &String| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let env: Vec<(String, String)> = run.env.iter().filter_map(pair).collect();
        let env: Vec<(String, String)> = env.into_iter().filter(|(name, _)| settings.grants.env(name)).collect();
        let config = settings.config.clone().unwrap_or_else(|| env.iter().cloned().collect::<BTreeMap<_, _>>());
        Ok(Self {
            args: run.args.clone(),
            env,
            cwd: run.cwd.to_string_lossy().into_owned(),
            directories: settings.directories.clone().unwrap_or_else(|| granted(settings)),
            reach,
            config: Arc::new(config),
            keyvalue: KeyValue::default(),
            memory: settings.memory,
            zero: Instant::now(),
        })
    }

    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// A context with everything that the container has and grants leave.
    pub(super) fn wasi(&self) -> Result<WasiCtxBuilder, RunError> {
        let mut builder = WasiCtxBuilder::new();
        builder
            .args(&self.args)
            .envs(&self.env)
            .initial_cwd(&self.cwd)
            .inherit_stdin()
            .stdout(Output::Stdout)
            .stderr(Output::Stderr)
            .monotonic_clock(Clock(self.zero))
            // A file operation that waits delays one guest; a thread pool for them would cost every idle container.
            .allow_blocking_current_thread(true);
        for Directory { host, guest, read_only } in &self.directories {
            let permissions = if *read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            builder
                .preopened_dir(host, guest, permissions)
                .map_err(|source| RunError::Directory { path: guest.clone(), source })?;
        }
        if self.reach.has_sockets() {
            builder.allow_tcp(true).allow_udp(true);
            let grants = self.reach.grants();
            let everything = [Class::Net, Class::Listen].into_iter().all(|class| grants.class(class) == Access::All);
            if everything {
                builder.inherit_network();
            } else {
                let reach = self.reach.clone();
                builder.socket_addr_check(move |address, usage| {
                    let reach = reach.clone();
                    Box::pin(async move {
                        match usage {
                            // The kernel chooses the port of whoever connects; listening is asked for by itself.
                            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind if address.port() == 0 => true,
                            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind | SocketAddrUse::TcpListen => {
                                reach.may_listen(address.port())
                            }
                            SocketAddrUse::TcpAccept => true,
                            SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend => reach.may_connect(address).await,
                            SocketAddrUse::UdpReceive => {
                                reach.grants().class(Class::Listen) != Access::None || reach.may_connect(address).await
                            }
                        }
                    })
                });
            }
        }
        // Which names is asked with each of them.
        builder.allow_ip_name_lookup(true);
        Ok(builder)
    }

    /// The state of a component's store.
    pub(super) fn state(&self, wasi: WasiCtx) -> State {
        State {
            wasi,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            outgoing: Outgoing::new(self.reach.clone()),
            reach: self.reach.clone(),
            config: self.config.clone(),
            keyvalue: self.keyvalue.clone(),
            limits: Limits::new(self.memory),
        }
    }

    /// The state of a core module's store.
    pub(super) fn core_state(&self) -> Result<CoreState, RunError> {
        Ok(CoreState {
            wasi: self.wasi()?.build_p1(),
            sockets: Sockets::new(self.zero),
            reach: self.reach.clone(),
            limits: Limits::new(self.memory),
        })
    }
}

/// The directories of a container that grants leave.
fn granted(settings: &Settings) -> Vec<Directory> {
    let same = |(path, read_only): (String, bool)| Directory { host: path.clone().into(), guest: path, read_only };
    settings.grants.directories().into_iter().map(same).collect()
}

/// A monotonic clock whose zero we know, since our own polling compares deadlines with it.
#[derive(Debug, Clone, Copy)]
struct Clock(Instant);

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Host state of a component's store.
pub(super) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outgoing: Outgoing,
    reach: Arc<Reach>,
    config: Values,
    keyvalue: KeyValue,
    limits: Limits,
}

impl State {
    pub(super) fn reach(&self) -> Arc<Reach> {
        self.reach.clone()
    }

    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    pub(super) fn config(&self) -> &BTreeMap<String, String> {
        &self.config
    }

    pub(super) fn keyvalue(&self) -> KeyValue {
        self.keyvalue.clone()
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

/// Host state of a core module's store.
pub(super) struct CoreState {
    pub(super) wasi: WasiP1Ctx,
    pub(super) sockets: Sockets,
    pub(super) reach: Arc<Reach>,
    limits: Limits,
}

/// Everything that drua offers to a component: WASI 0.2 and 0.3, `wasi:http`, `wasi:keyvalue` and `wasi:config`, with our
/// own name look-up.
pub(super) fn component_linker(engine: &Engine, profile: Profile) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    if profile.concurrent {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    linker.allow_shadowing(true);
    lookup::add_to_linker(&mut linker)?;
    if profile.concurrent {
        lookup::add_newer_to_linker(&mut linker)?;
    }
    linker.allow_shadowing(false);
    config::add_to_linker(&mut linker)?;
    keyvalue::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Links a component, or says which of its imports nobody offers.
pub(super) fn link(linker: &Linker<State>, component: &Component) -> Result<InstancePre<State>, RunError> {
    linker.instantiate_pre(component).map_err(|error| links::explain_component(component, error))
}

/// Everything that drua offers to a core module: WASI preview 1, its predecessor `wasi_unstable` and WasmEdge's extensions
/// to whom they matter.
pub(super) fn module_linker(module: &Module) -> wasmtime::Result<wasmtime::Linker<CoreState>> {
    const OLD: &str = "wasi_unstable";
    let mut linker = wasmtime::Linker::new(module.engine());
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |state: &mut CoreState| &mut state.wasi)?;
    let imports = |name: &str| module.imports().any(|import| import.module() == name);
    let old = imports(OLD);
    if old {
        wasmtime_wasi::p0::add_to_linker_async(&mut linker, |state: &mut CoreState| &mut state.wasi)?;
    }
    linker.allow_shadowing(true);
    if wasmedge::is_wanted(module) {
        wasmedge::add_to_linker(&mut linker, module)?;
    }
    for interface in ["wasi_snapshot_preview1"].into_iter().chain(old.then_some(OLD)) {
        // wasmtime-wasi turns 126 and above into a trap; for a container they are exit codes like any other.
        linker.func_wrap(interface, "proc_exit", |code: i32| -> wasmtime::Result<()> {
            Err(wasmtime_wasi::I32Exit(code).into())
        })?;
    }
    linker.allow_shadowing(false);
    Ok(linker)
}

/// A component's store; with `interruptible`, its guest gives way to others at every tick of the engine's clock.
pub(super) fn store(engine: &Engine, state: State) -> Store<State> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limits);
    store
}

/// A core module's store.
pub(super) fn core_store(engine: &Engine, state: CoreState) -> Store<CoreState> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limits);
    store
}
