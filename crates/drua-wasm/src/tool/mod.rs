//! What can be said about a module without running it, for `drua wasm`.
//!
//! Everything works on untrusted bytes: wasmparser checks what it reads and all walks are bounded by the file's length.

mod capabilities;
mod inspect;
mod offers;
mod size;

use std::io;
use std::path::{Path, PathBuf};

use drua_types::wasm::Magic;
use drua_types::{Classify, ErrorKind, Hint};
use wasmparser::{Validator, WasmFeatures};

pub use inspect::{Inspection, Part, inspect};
pub use offers::{Offer, offers};
pub use size::Share;

use crate::compile::MODULE_LIMIT;

/// A file cannot be looked into.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// It cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is larger than [`MODULE_LIMIT`].
    #[error("`{}` is larger than {} MiB", .0.display(), MODULE_LIMIT >> 20)]
    TooLarge(PathBuf),
    /// It does not begin as WebAssembly does.
    #[error("`{}` is not WebAssembly: it begins with `{}`", path.display(), first.escape_ascii())]
    NotWasm {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        first: Vec<u8>,
    },
    /// It is not valid; the reason says where.
    #[error("not a valid module: {0}")]
    Invalid(String),
    /// A core module has no WIT.
    #[error("`{}` is a core module, which has no WIT; `drua wasm inspect` lists its imports", .0.display())]
    NoWit(PathBuf),
}

impl Classify for ToolError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Read { .. } => ErrorKind::Internal,
            Self::TooLarge(_) | Self::NotWasm { .. } | Self::Invalid(_) | Self::NoWit(_) => ErrorKind::Invalid,
        }
    }
}

impl Hint for ToolError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotWasm { first, .. } if Magic::of(first) == Magic::Text => {
                vec!["this is WebAssembly text: `wasm-tools parse` makes a module of it".to_owned()]
            }
            Self::Invalid(reason) if reason.contains("requires") || reason.contains("not enabled") => {
                vec![
                    "the module uses a proposal that wasmtime 48 does not enable; build it with fewer features"
                        .to_owned(),
                ]
            }
            _ => Vec::new(),
        }
    }
}

/// Reads a module or component.
///
/// # Errors
/// The file cannot be read, is too large, or is not binary WebAssembly.
pub fn read(path: &Path) -> Result<Vec<u8>, ToolError> {
    let fail = |source| ToolError::Read { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(fail)?.len();
    if length > MODULE_LIMIT {
        return Err(ToolError::TooLarge(path.to_owned()));
    }
    let bytes = std::fs::read(path).map_err(fail)?;
    if !Magic::of(&bytes).is_wasm() {
        return Err(ToolError::NotWasm { path: path.to_owned(), first: bytes[..bytes.len().min(16)].to_vec() });
    }
    Ok(bytes)
}

/// Checks a module or component against every rule of the specification, with the proposals that drua runs.
///
/// # Errors
/// What is wrong, and where in the file.
pub fn validate(bytes: &[u8]) -> Result<(), ToolError> {
    let features = WasmFeatures::default() | WasmFeatures::CM_ASYNC;
    Validator::new_with_features(features)
        .validate_all(bytes)
        .map(drop)
        .map_err(|error| ToolError::Invalid(error.to_string().replace('\n', " ")))
}

/// The interface of a component as WIT.
///
/// # Errors
/// It is a core module, or not valid.
pub fn wit(path: &Path, bytes: &[u8]) -> Result<String, ToolError> {
    if Magic::of(bytes) != Magic::Component {
        return Err(ToolError::NoWit(path.to_owned()));
    }
    print_wit(bytes).map_err(|error| ToolError::Invalid(format!("{error:#}")))
}

fn print_wit(bytes: &[u8]) -> anyhow::Result<String> {
    let decoded = wit_component::decode(bytes)?;
    let resolve = decoded.resolve();
    let main = decoded.package();
    let others: Vec<_> = resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != main).collect();
    let mut printer = wit_component::WitPrinter::default();
    printer.print(resolve, main, &others)?;
    Ok(printer.output.to_string())
}
