//! Runs a command, or one named function, once.

use wasmtime::component::{InstancePre, Val as ComponentVal};
use wasmtime::{Func, Store, Val};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p3::bindings::CommandPre as NewCommandPre;

use super::guest::{self, Guest, State};
use super::report::RunError;
use super::{WasmRun, links};
use crate::artifact::{Kind, Target};
use crate::engine;

/// The function that a WASI preview 1 command starts with.
const START: &str = "_start";

/// Runs the guest and returns its exit code.
pub(super) fn call(run: &WasmRun) -> Result<i32, RunError> {
    // One thread: the guest runs on it, and nothing that it waits for needs another.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    let code = runtime.block_on(async {
        match run.prepared.metadata.kind {
            Kind::Module => call_module(run).await,
            Kind::Component => call_component(run).await,
        }
    });
    // A thread that reads stdin may be blocked for ever; the process ends anyway.
    runtime.shutdown_background();
    code
}

async fn call_module(run: &WasmRun) -> Result<i32, RunError> {
    let engine = engine::runner(run.prepared.metadata.profile, None).map_err(RunError::Engine)?;
    let module = engine::load_module(&engine, &run.prepared.artifact).map_err(RunError::Load)?;
    let linker = guest::module_linker(&module).map_err(RunError::Engine)?;
    let mut store = guest::core_store(&engine, Guest::of(run)?.core_state()?);
    links::check_module(&module, &linker, &mut store)?;
    let linked = linker.instantiate_pre(&module).map_err(RunError::Link)?;
    let instance = match linked.instantiate_async(&mut store).await {
        Ok(instance) => instance,
        // A start section may exit, too.
        Err(error) => return exit_code(Err(error)),
    };
    let name = run.prepared.function.as_deref().unwrap_or(START);
    if name != START
        && let Some(initialize) = instance.get_func(&mut store, "_initialize")
    {
        call_core(&mut store, initialize).await.map_err(RunError::of_guest)?;
    }
    let function = instance.get_func(&mut store, name).ok_or_else(|| no_function(run, name))?;
    let wanted = function.ty(&store).params().len();
    if wanted > 0 {
        return Err(RunError::Parameters { name: name.to_owned(), wanted });
    }
    exit_code(call_core(&mut store, function).await)
}

async fn call_core<T: Send>(store: &mut Store<T>, function: Func) -> wasmtime::Result<()> {
    let results = function.ty(&*store).results().len();
    function.call_async(store, &[], &mut vec![Val::I32(0); results]).await
}

async fn call_component(run: &WasmRun) -> Result<i32, RunError> {
    let metadata = &run.prepared.metadata;
    let engine = engine::runner(metadata.profile, None).map_err(RunError::Engine)?;
    let component = engine::load_component(&engine, &run.prepared.artifact).map_err(RunError::Load)?;
    let linker = guest::component_linker(&engine, metadata.profile).map_err(RunError::Engine)?;
    let linked = guest::link(&linker, &component)?;
    let guest = Guest::of(run)?;
    let mut store = guest::store(&engine, guest.state(guest.wasi()?.build()));
    if metadata.profile.interruptible {
        // Nobody else waits for its turn, and no clock ticks.
        store.set_epoch_deadline(u64::MAX / 2);
    }
    let named = run.prepared.function.as_deref();
    if metadata.target == Target::Command && named.is_none_or(|name| name == START) {
        return run_command(linked, &mut store).await;
    }
    let name = named.ok_or_else(|| no_function(run, "wasi:cli/run"))?;
    let instance = linked.instantiate_async(&mut store).await.map_err(RunError::of_guest)?;
    let function = instance.get_func(&mut store, name).ok_or_else(|| no_function(run, name))?;
    let wanted = function.ty(&store).params().len();
    if wanted > 0 {
        return Err(RunError::Parameters { name: name.to_owned(), wanted });
    }
    let results = function.ty(&store).results().len();
    let mut results = vec![ComponentVal::Bool(false); results];
    exit_code(function.call_async(&mut store, &[], &mut results).await)
}

/// Runs `wasi:cli/run`, of WASI 0.3 where the component has it.
async fn run_command(linked: InstancePre<State>, store: &mut Store<State>) -> Result<i32, RunError> {
    let newer = NewCommandPre::new(linked.clone()).ok().filter(|_| store.engine().get_concurrency_support());
    let ended = if let Some(newer) = newer {
        let command = match newer.instantiate_async(&mut *store).await {
            Ok(command) => command,
            Err(error) => return exit_code(Err(error)),
        };
        let called = store.run_concurrent(async |store| command.wasi_cli_run().call_run(store).await).await;
        called.and_then(|result| result)
    } else {
        let linked = CommandPre::new(linked).map_err(RunError::Link)?;
        let command = match linked.instantiate_async(&mut *store).await {
            Ok(command) => command,
            Err(error) => return exit_code(Err(error)),
        };
        command.wasi_cli_run().call_run(store).await
    };
    exit_code(ended.and_then(|result| result.map_err(|()| I32Exit(1).into())))
}

/// The end of a guest as an exit code, when it is one.
fn exit_code(result: wasmtime::Result<()>) -> Result<i32, RunError> {
    match result {
        Ok(()) => Ok(0),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => Ok(*code),
            None => Err(RunError::of_guest(error)),
        },
    }
}

fn no_function(run: &WasmRun, name: &str) -> RunError {
    RunError::NoFunction { name: name.to_owned(), entrypoint: run.args.first().cloned().unwrap_or_default() }
}
