//! Which files matter: by their path, and for programs by their first bytes.

use crate::catalog::{self, Cataloger};

/// What to do with a file.
#[derive(Clone, Copy)]
pub(crate) enum Interest {
    /// Read it whole and give it to these catalogers.
    Document(Cataloger),
    /// An archive of classes or of packages.
    Archive,
    /// A program, if its first bytes say so.
    Program,
    /// Nothing but perhaps a secret.
    Other,
}

/// How many bytes of a file [`is_program`] wants to see.
pub const MAGIC_LENGTH: usize = 8;

/// Whether the first bytes are those of an executable or a Wasm file.
pub fn is_program(first: &[u8]) -> bool {
    const MAGICS: [&[u8]; 7] = [
        b"\x7fELF",
        b"\0asm",
        b"MZ",
        b"\xcf\xfa\xed\xfe",
        b"\xce\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe\x00\x00\x00\x02",
        b"\xfe\xed\xfa\xcf",
    ];
    MAGICS.iter().any(|magic| first.starts_with(magic))
}

/// Whether a file of a directory is worth opening; `executable` is its execute bit.
pub fn is_candidate(path: &str, executable: bool) -> bool {
    match of(path) {
        Interest::Document(_) | Interest::Archive => true,
        Interest::Program => executable || has_program_extension(path),
        Interest::Other => false,
    }
}

/// Whether only a look at the execute bit tells if the file is a candidate.
pub fn needs_mode(path: &str) -> bool {
    matches!(of(path), Interest::Program) && !has_program_extension(path)
}

/// Whether only a file's first bytes tell if it matters.
pub fn is_program_name(path: &str) -> bool {
    matches!(of(path), Interest::Program)
}

pub(crate) fn of(path: &str) -> Interest {
    if let Some(cataloger) = catalog::for_path(path) {
        return Interest::Document(cataloger);
    }
    let name = file_name(path);
    match extension(name) {
        Some("jar" | "war" | "ear" | "par" | "sar" | "nar" | "jpi" | "hpi" | "kar" | "lpkg") => Interest::Archive,
        None => Interest::Program,
        Some(_) if has_program_extension(path) => Interest::Program,
        // `python3.12`, `redis-server-7.2`: what follows the dot is a number.
        Some(extension) if extension.starts_with(|c: char| c.is_ascii_digit()) => Interest::Program,
        Some(_) => Interest::Other,
    }
}

fn has_program_extension(path: &str) -> bool {
    let name = file_name(path);
    name.contains(".so.")
        || matches!(extension(name), Some("so" | "dll" | "exe" | "wasm" | "cwasm" | "node" | "dylib" | "bin" | "elf"))
}

pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What follows the last dot, unless that begins the name.
pub(crate) fn extension(name: &str) -> Option<&str> {
    name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, extension)| extension)
}
