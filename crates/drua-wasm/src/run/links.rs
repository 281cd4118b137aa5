//! What a module wants and nobody here offers: who does, and what to do about it.

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{Module, Store};

use super::guest::CoreState;
use super::report::RunError;

/// An import that nobody offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    /// The module's or the interface's name.
    pub(super) module: String,
    /// The function's, when the interface is there but lacks it; empty for a whole interface.
    pub(super) name: String,
}

impl std::fmt::Display for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "`{}`", self.module),
            name => write!(f, "`{}` `{name}`", self.module),
        }
    }
}

/// What is known of the owner of an import.
pub(super) fn advice(import: &Import) -> String {
    let module = import.module.as_str();
    let is = |prefix: &str| module.starts_with(prefix);
    let plugin = |plugin: &str| {
        format!(
            "`{module}` is WasmEdge's plugin {plugin}, which drua does not have; run that part as a Linux container"
        )
    };
    match module {
        "env" => format!(
            "`{}` was left for the linker: the module was built without a library, or for a browser; build it for wasm32-wasip1",
            import.name
        ),
        "wasi_snapshot_preview1" if import.name.starts_with("sock_") => format!(
            "WASI preview 1 has no `{}` of this type; WasmEdge's extension has (see docs/wasm.md for both versions)",
            import.name
        ),
        "wasi_snapshot_preview1" | "wasi_unstable" => format!("no version of WASI preview 1 has `{}`", import.name),
        "wasi" => "`wasi` `thread-spawn` is wasi-threads; drua runs one thread a guest: build for wasm32-wasip1 without threads".to_owned(),
        "wasi_ephemeral_nn" => "wasi-nn is not offered yet".to_owned(),
        "wasmedge_process" => plugin("wasmedge_process"),
        _ if is("wasi_ephemeral_crypto") => plugin("wasi_crypto"),
        _ if is("wasmedge_tensorflow") => plugin("wasmedge_tensorflow"),
        _ if is("wasmedge_image") => plugin("wasmedge_image"),
        _ if is("wasmedge_ffmpeg") => plugin("wasmedge_ffmpeg"),
        _ if is("wasmedge_opencvmini") => plugin("wasmedge_opencvmini"),
        _ if is("wasmedge_zlib") => plugin("wasmedge_zlib"),
        _ if is("wasmedge_llmc") => plugin("wasmedge_llmc"),
        _ if is("wasmedge_stablediffusion") => plugin("wasmedge_stablediffusion"),
        _ if is("wasm_bpf") => plugin("wasm_bpf"),
        _ if is("wasix_32v1") || is("wasix_64v1") => "WASIX is Wasmer's; build for wasm32-wasip1 or wasm32-wasip2 instead".to_owned(),
        _ if is("wasi:cli/") || is("wasi:http/") || is("wasi:io/") || is("wasi:sockets/") || is("wasi:filesystem/")
            || is("wasi:clocks/") || is("wasi:random/") =>
        {
            format!("drua offers WASI 0.2.0 to 0.2.12 and 0.3.0; `{module}` is another version: build with a released one")
        }
        _ if is("wasi:nn/") => "wasi:nn is not offered yet".to_owned(),
        _ if is("wasi:keyvalue/") => "drua offers wasi:keyvalue@0.2.0-draft and @0.2.0-draft2".to_owned(),
        _ if is("wasi:config/") => "drua offers wasi:config@0.2.0-draft, -draft-2024-09-27 and -rc.1".to_owned(),
        _ if is("fermyon:spin") || is("spin:") || is("spin-") || module == "spin-http" => {
            format!("`{module}` is Spin's: run it as a Spin application (`--runtime io.containerd.spin.v2`)")
        }
        _ if is("wasmcloud:") => format!("`{module}` is wasmCloud's, and its host offers it"),
        _ if is("wasi:messaging") || is("wasi:blobstore") => {
            format!("`{module}` is a proposal that wasmCloud offers; drua does not")
        }
        _ => format!("nobody that drua knows offers `{module}`; compose the component with one that does (`wac plug`)"),
    }
}

/// Fails with everything that a core module imports and a linker does not have.
pub(super) fn check_module(
    module: &Module,
    linker: &wasmtime::Linker<CoreState>,
    store: &mut Store<CoreState>,
) -> Result<(), RunError> {
    let missing: Vec<Import> = module
        .imports()
        .filter(|import| linker.get_by_import(&mut *store, import).is_none())
        .map(|import| Import { module: import.module().to_owned(), name: import.name().to_owned() })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(RunError::Imports(missing)) }
}

/// Turns wasmtime's refusal to link a component into the list of what is missing, when that is why.
pub(super) fn explain_component(component: &Component, error: wasmtime::Error) -> RunError {
    let engine = component.engine();
    let ty = component.component_type();
    let missing: Vec<Import> = ty
        .imports(engine)
        .filter(|(name, item)| {
            // What is only types needs no host.
            let is_instance = matches!(item.ty, ComponentItem::ComponentInstance(_) | ComponentItem::ComponentFunc(_));
            is_instance && !is_offered(name)
        })
        .map(|(name, _)| Import { module: name.to_owned(), name: String::new() })
        .collect();
    if missing.is_empty() { RunError::Link(error) } else { RunError::Imports(missing) }
}

/// Whether an interface is one of those that drua offers, by its name and version.
fn is_offered(name: &str) -> bool {
    let Some((interface, version)) = name.split_once('@') else { return false };
    let package = interface.split('/').next().unwrap_or_default();
    match package {
        "wasi:cli" | "wasi:clocks" | "wasi:filesystem" | "wasi:http" | "wasi:random" | "wasi:sockets" | "wasi:io" => {
            version == "0.3.0" || version.strip_prefix("0.2.").is_some_and(|patch| patch.parse::<u32>().is_ok())
        }
        "wasi:keyvalue" => matches!(version, "0.2.0-draft" | "0.2.0-draft2"),
        "wasi:config" => matches!(version, "0.2.0-draft" | "0.2.0-draft-2024-09-27" | "0.2.0-rc.1"),
        _ => false,
    }
}

/// What to do about each owner once.
pub(super) fn hints(missing: &[Import]) -> Vec<String> {
    const SHOWN: usize = 4;
    let mut hints: Vec<String> = Vec::new();
    for advice in missing.iter().map(advice) {
        if hints.len() < SHOWN && !hints.contains(&advice) {
            hints.push(advice);
        }
    }
    hints.push("`drua wasm inspect` lists what a module imports, `drua wasm runtimes` what drua offers".to_owned());
    hints
}
