//! What can end a guest besides the guest itself, and how that is told on the container's stderr.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use drua_types::Hint;
use wasmtime::WasmBacktrace;

use super::limits::LimitReached;
use super::links::{self, Import};
use super::stdio::Output;

/// A guest did not come to its own end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("cannot watch the container's signals")]
    Signals(#[source] io::Error),
    #[error("cannot start the guest's thread")]
    Thread(#[source] io::Error),
    #[error("cannot start the guest's event loop")]
    Runtime(#[source] io::Error),
    #[error("drua failed inside; please report it")]
    Panicked,
    #[error("cannot set up the WebAssembly engine")]
    Engine(#[source] wasmtime::Error),
    #[error("cannot load the compiled module")]
    Load(#[source] wasmtime::Error),
    #[error("cannot open the directory `{path}` for the guest")]
    Directory {
        path: String,
        #[source]
        source: wasmtime::Error,
    },
    #[error("the module imports what drua does not offer: {}", list(.0))]
    Imports(Vec<Import>),
    #[error("the module cannot be linked")]
    Link(#[source] wasmtime::Error),
    #[error("`{entrypoint}` exports no function `{name}`")]
    NoFunction { name: String, entrypoint: String },
    #[error("`{name}` takes {wanted} arguments, and an entry point takes none")]
    Parameters { name: String, wanted: usize },
    #[error("the guest reached a limit")]
    Limit(#[source] LimitReached),
    #[error("{what} is not granted")]
    NotGranted { what: String, grant: &'static str },
    #[error("the guest trapped")]
    Trap(#[source] wasmtime::Error),
    #[error("`{0}` is not an address to listen on")]
    Address(String),
    #[error("cannot listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
}

impl Hint for RunError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Imports(missing) => return links::hints(missing),
            Self::Link(_) => {
                "the module wants an interface of another shape; `drua wasm inspect` lists what it imports"
            }
            Self::Limit(LimitReached::Memory { .. }) => "give the container more (`-m`), or the guest less to do",
            Self::Limit(_) => return Vec::new(),
            Self::NotGranted { grant, .. } => return vec![format!("allow it with `--wasm-allow {grant}`")],
            Self::Parameters { .. } => "arguments of the command line reach a guest through WASI, not as parameters",
            Self::NoFunction { .. } => {
                "name an exported function after the path, as in `app.wasm#function`; `drua wasm inspect` lists them"
            }
            Self::Address(_) => "set WASMTIME_HTTP_PROXY_SOCKET_ADDR to `address:port`, as in `0.0.0.0:8080`",
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "ports below 1024 take CAP_NET_BIND_SERVICE; WASMTIME_HTTP_PROXY_SOCKET_ADDR chooses another"
            }
            Self::Load(_) => "remove the AOT cache below drua's data root; it is built again as needed",
            Self::Trap(error) => return trap_hint(error).map(str::to_owned).into_iter().collect(),
            Self::Listen { .. }
            | Self::Signals(_)
            | Self::Thread(_)
            | Self::Runtime(_)
            | Self::Panicked
            | Self::Engine(_)
            | Self::Directory { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

impl RunError {
    /// What ended a guest, which may be one of our limits.
    pub(super) fn of_guest(error: wasmtime::Error) -> Self {
        match error.downcast_ref::<LimitReached>() {
            Some(limit) => Self::Limit(limit.clone()),
            None => Self::Trap(error),
        }
    }
}

fn trap_hint(error: &wasmtime::Error) -> Option<&'static str> {
    use wasmtime::Trap;
    Some(match error.downcast_ref::<Trap>()? {
        Trap::UnreachableCodeReached => "this is how a panic or an abort ends; the guest's own message stands above",
        Trap::StackOverflow => "the guest recursed too deeply; drua gives it 4 MiB of stack",
        Trap::MemoryOutOfBounds => "the guest touched memory that it does not have; a debug build shows where",
        _ => "build with debug information (`-g`) to see source lines in the backtrace",
    })
}

/// Writes an error, its causes, its backtrace and what to do about it to descriptor 2.
pub(super) fn print(error: &RunError) {
    // Nobody is left to tell when stderr is gone.
    let _ = Output::Stderr.write_all(render(error).as_bytes());
}

fn render(error: &RunError) -> String {
    let mut text = format!("error: {error}\n");
    let wasm = wasm_error(error);
    match wasm {
        Some(wasm) => causes(wasm).for_each(|cause| push_cause(&mut text, &cause)),
        None => {
            let mut source = error.source();
            while let Some(cause) = source {
                push_cause(&mut text, &cause.to_string());
                source = cause.source();
            }
        }
    }
    if let Some(backtrace) = wasm.and_then(|error| error.downcast_ref::<WasmBacktrace>()) {
        let _ = write!(text, "\n{}\n", backtrace.to_string().trim_end());
    }
    let mut hints = error.hints().into_iter();
    if let Some(first) = hints.next() {
        let _ = write!(text, "\nhint: {first}\n");
    }
    hints.for_each(|hint| {
        let _ = writeln!(text, "hint: {hint}");
    });
    text
}

/// One line for a request that failed.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    causes(error).collect::<Vec<_>>().join(": ").replace('\n', " ")
}

fn push_cause(text: &mut String, cause: &str) {
    let _ = writeln!(text, "  Caused by: {}", cause.trim_end().replace('\n', "\n    "));
}

/// The causes without the backtrace, which wasmtime carries as one of them.
fn causes(error: &wasmtime::Error) -> impl Iterator<Item = String> {
    error.chain().map(ToString::to_string).filter(|cause| !cause.starts_with("error while executing at wasm backtrace"))
}

fn wasm_error(error: &RunError) -> Option<&wasmtime::Error> {
    match error {
        RunError::Engine(error)
        | RunError::Load(error)
        | RunError::Directory { source: error, .. }
        | RunError::Link(error)
        | RunError::Trap(error) => Some(error),
        RunError::Signals(_)
        | RunError::Thread(_)
        | RunError::Runtime(_)
        | RunError::Panicked
        | RunError::Imports(_)
        | RunError::NoFunction { .. }
        | RunError::Parameters { .. }
        | RunError::Limit(_)
        | RunError::NotGranted { .. }
        | RunError::Address(_)
        | RunError::Listen { .. } => None,
    }
}

fn list(imports: &[Import]) -> String {
    const SHOWN: usize = 5;
    let mut names: Vec<String> = imports.iter().take(SHOWN).map(ToString::to_string).collect();
    if imports.len() > SHOWN {
        names.push(format!("and {} more", imports.len() - SHOWN));
    }
    names.join(", ")
}
