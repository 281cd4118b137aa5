//! Runs a command, or one named function, once.

use std::sync::Arc;

use wasmtime::component::{Instance, Val as ComponentVal};
use wasmtime::{Func, Store, Val};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::{Command, CommandPre};

use super::WasmRun;
use super::guest::{self, Guest, State};
use super::report::{Import, RunError};
use super::resolve::Resolver;
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
    let engine = engine::runner(None).map_err(RunError::Engine)?;
    let module = engine::load_module(&engine, &run.prepared.artifact).map_err(RunError::Load)?;
    let linker = guest::module_linker(&module).map_err(RunError::Engine)?;
    let mut store = guest::store(&engine, Guest::of(run).wasi()?.build_p1());
    let missing: Vec<Import> = module
        .imports()
        .filter(|import| linker.get_by_import(&mut store, import).is_none())
        .map(|import| Import { module: import.module().to_owned(), name: import.name().to_owned() })
        .collect();
    if !missing.is_empty() {
        return Err(RunError::Imports(missing));
    }
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
        call_core(&mut store, initialize).await.map_err(RunError::Trap)?;
    }
    let function = instance.get_func(&mut store, name).ok_or_else(|| no_function(run, name))?;
    exit_code(call_core(&mut store, function).await)
}

async fn call_core<T: Send>(store: &mut Store<T>, function: Func) -> wasmtime::Result<()> {
    let results = function.ty(&*store).results().len();
    function.call_async(store, &[], &mut vec![Val::I32(0); results]).await
}

async fn call_component(run: &WasmRun) -> Result<i32, RunError> {
    let engine = engine::runner(None).map_err(RunError::Engine)?;
    let component = engine::load_component(&engine, &run.prepared.artifact).map_err(RunError::Load)?;
    let linker = guest::component_linker(&engine).map_err(RunError::Engine)?;
    let linked = guest::link(&linker, &component)?;
    let resolver = Arc::new(Resolver::of_container());
    let mut store = guest::store(&engine, State::new(Guest::of(run).wasi()?.build(), resolver));
    if run.prepared.metadata.target == Target::Command {
        let linked = CommandPre::new(linked).map_err(RunError::Link)?;
        let command = match linked.instantiate_async(&mut store).await {
            Ok(command) => command,
            Err(error) => return exit_code(Err(error)),
        };
        return exit_code(run_command(&command, &mut store).await);
    }
    let name = run.prepared.function.as_deref().ok_or_else(|| no_function(run, "wasi:cli/run"))?;
    let instance = linked.instantiate_async(&mut store).await.map_err(RunError::Trap)?;
    exit_code(call_export(&instance, &mut store, name).await.ok_or_else(|| no_function(run, name))?)
}

async fn run_command(command: &Command, store: &mut Store<State>) -> wasmtime::Result<()> {
    match command.wasi_cli_run().call_run(store).await? {
        Ok(()) => Ok(()),
        Err(()) => Err(I32Exit(1).into()),
    }
}

async fn call_export(instance: &Instance, store: &mut Store<State>, name: &str) -> Option<wasmtime::Result<()>> {
    let function = instance.get_func(&mut *store, name)?;
    let results = function.ty(&*store).results().len();
    let mut results = vec![ComponentVal::Bool(false); results];
    Some(function.call_async(store, &[], &mut results).await)
}

/// The end of a guest as an exit code, when it is one.
fn exit_code(result: wasmtime::Result<()>) -> Result<i32, RunError> {
    match result {
        Ok(()) => Ok(0),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => Ok(*code),
            None => Err(RunError::Trap(error)),
        },
    }
}

fn no_function(run: &WasmRun, name: &str) -> RunError {
    RunError::NoFunction { name: name.to_owned(), entrypoint: run.args.first().cloned().unwrap_or_default() }
}
