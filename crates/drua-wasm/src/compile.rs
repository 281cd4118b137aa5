//! The `wasm-compile` role: a module comes in on stdin, its artifact goes out on stdout.
//!
//! One clear line on stderr and exit status 1 say that the module cannot be compiled; status 2 says that the role itself
//! failed. The process is confined before it reads the first byte of the module (see [`crate::confine`]).

use std::io::{self, Read, Write};
use std::process::ExitCode;

use drua_types::error_chain;
use drua_types::wasm::Magic;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::artifact::{self, Kind, Metadata, Resources, Target};
use crate::confine::{ConfineError, confine};
use crate::engine::{self, Profile};

/// Modules larger than this, in bytes, are refused: 512 MiB.
pub const MODULE_LIMIT: u64 = 512 << 20;
/// Exit status for a module that cannot be compiled.
pub(crate) const REJECTED: u8 = 1;
/// Exit status for a failure of the role itself.
const FAILED: u8 = 2;

/// Runs the `wasm-compile` role in a process of its own; call it before any thread exists.
///
/// It closes every descriptor above 2, gives up root, and never gets any of it back.
pub fn compile_main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}", error_chain(&error).replace('\n', " "));
            ExitCode::from(error.exit_code())
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum CompileError {
    #[error("cannot confine the compiler")]
    Confine(#[source] ConfineError),
    #[error("cannot read the module")]
    Read(#[source] io::Error),
    #[error("the module is larger than {} MiB", MODULE_LIMIT >> 20)]
    TooLarge,
    #[error("not a WebAssembly module: it begins with {}", first_bytes(.0))]
    NotWasm(Vec<u8>),
    #[error("not a WebAssembly module: {0}")]
    Invalid(String),
    #[error("cannot set up the compiler: {0}")]
    Engine(String),
    #[error("cannot write the compiled module")]
    Write(#[source] io::Error),
}

impl CompileError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::TooLarge | Self::NotWasm(_) | Self::Invalid(_) => REJECTED,
            Self::Confine(_) | Self::Read(_) | Self::Engine(_) | Self::Write(_) => FAILED,
        }
    }
}

fn run() -> Result<(), CompileError> {
    confine().map_err(CompileError::Confine)?;
    let module = read_module(io::stdin().lock())?;
    let (image, metadata) = compile(&module)?;
    artifact::write(&mut io::stdout().lock(), &image, &metadata).map_err(CompileError::Write)
}

fn read_module(input: impl Read) -> Result<Vec<u8>, CompileError> {
    let mut module = Vec::new();
    input.take(MODULE_LIMIT + 1).read_to_end(&mut module).map_err(CompileError::Read)?;
    if module.len() as u64 > MODULE_LIMIT { Err(CompileError::TooLarge) } else { Ok(module) }
}

fn compile(module: &[u8]) -> Result<(Vec<u8>, Metadata), CompileError> {
    let engine = |profile| engine::compiler(profile).map_err(|error| CompileError::Engine(format!("{error:#}")));
    match Magic::of(module) {
        Magic::Module => compile_module(&engine(Profile::default())?, module),
        Magic::Component => {
            let plain = Profile { concurrent: false, interruptible: serves_http(module) };
            let concurrent = Profile { concurrent: true, ..plain };
            // What does not even validate without the component model's `async` may do so with it; that costs no code
            // generation. What validates may still import WASI 0.3.
            match compile_component(&engine(plain)?, plain, module) {
                Ok((image, metadata)) if !metadata.profile.concurrent => Ok((image, metadata)),
                Ok(_) | Err(_) => compile_component(&engine(concurrent)?, concurrent, module),
            }
        }
        Magic::Text | Magic::Elf | Magic::Script | Magic::Other => {
            return Err(CompileError::NotWasm(module.iter().copied().take(8).collect()));
        }
    }
    .map_err(|error| CompileError::Invalid(reason(&error)))
}

/// Whether a component may be an HTTP server; a name among its bytes that is no export costs nothing but a little speed.
fn serves_http(module: &[u8]) -> bool {
    [&b"wasi:http/incoming-handler"[..], b"wasi:http/handler"]
        .iter()
        .any(|name| module.windows(name.len()).any(|window| window == *name))
}

fn compile_module(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<(Vec<u8>, Metadata)> {
    let module = Module::from_binary(engine, bytes)?;
    let starts = module.get_export("_start").is_some_and(|export| export.func().is_some());
    let target = if starts { Target::Command } else { Target::Library };
    let resources = Some(resources(module.resources_required()));
    let metadata = Metadata { kind: Kind::Module, target, profile: Profile::default(), resources };
    Ok((module.serialize()?, metadata))
}

/// Compiles a component; where its imports or exports show that `profile` was too small, says so instead of a result that
/// could not be linked.
fn compile_component(engine: &Engine, profile: Profile, bytes: &[u8]) -> wasmtime::Result<(Vec<u8>, Metadata)> {
    let component = Component::from_binary(engine, bytes)?;
    let ty = component.component_type();
    let exports = |interface: &str| ty.exports(engine).any(|(name, _)| is_interface(name, interface));
    let target = if exports("wasi:http/incoming-handler") || exports("wasi:http/handler") {
        Target::Serve
    } else if exports("wasi:cli/run") {
        Target::Command
    } else {
        Target::Library
    };
    let newer = |name: &str| name.starts_with("wasi:") && name.contains("@0.3.");
    let needs_async =
        ty.imports(engine).any(|(name, _)| newer(name)) || ty.exports(engine).any(|(name, _)| newer(name));
    let profile = Profile { concurrent: profile.concurrent || needs_async, ..profile };
    let resources = component.resources_required().map(resources);
    Ok((component.serialize()?, Metadata { kind: Kind::Component, target, profile, resources }))
}

/// Whether `name` is `interface` in some version.
fn is_interface(name: &str, interface: &str) -> bool {
    name.strip_prefix(interface).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

fn resources(required: wasmtime::ResourcesRequired) -> Resources {
    Resources {
        memories: required.num_memories,
        tables: required.num_tables,
        table_elements: required.max_initial_table_size.unwrap_or(0),
    }
}

/// wasmtime's chain of reasons without the generic head, which our own message replaces.
fn reason(error: &wasmtime::Error) -> String {
    let reasons: Vec<String> = error.chain().map(ToString::to_string).collect();
    let generic = |reason: &&String| reason.starts_with("failed to parse") || reason.starts_with("failed to compile");
    let first = usize::from(reasons.len() > 1 && reasons.first().as_ref().is_some_and(generic));
    reasons[first..].join(": ")
}

fn first_bytes(bytes: &[u8]) -> String {
    if bytes.is_empty() { "nothing: the file is empty".to_owned() } else { format!("`{}`", bytes.escape_ascii()) }
}
