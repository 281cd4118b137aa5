//! Documents that others read: CycloneDX 1.6, SPDX 2.3 and 3.0, Syft's JSON, a table; and the way back from them.
//!
//! Equal inputs give equal bytes: times, serial numbers and identifiers come from what was scanned.

mod cyclonedx;
mod license;
mod native;
mod read;
mod spdx2;
mod spdx3;
mod table;

use std::str::FromStr;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::model::{Package, Sbom, TargetKind};

pub use read::{ReadError, read_document};

/// A form of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DocumentFormat {
    /// Name, version and type, one package a line.
    #[default]
    Table,
    /// Package URLs, one a line.
    Purls,
    /// CycloneDX 1.6, JSON.
    CycloneDx,
    /// SPDX 2.3, JSON.
    Spdx,
    /// SPDX 3.0.1, JSON-LD.
    Spdx3,
    /// Syft's own JSON, as far as the fields mean the same.
    Json,
    /// drua's own model, with everything that is known.
    Drua,
}

impl DocumentFormat {
    /// Every form with its names, the first of which is the one to show.
    pub const NAMES: [(Self, &'static [&'static str]); 7] = [
        (Self::Table, &["table", "list"]),
        (Self::Purls, &["purls"]),
        (Self::CycloneDx, &["cyclonedx", "cyclonedx-json"]),
        (Self::Spdx, &["spdx", "spdx-json", "spdx-2.3"]),
        (Self::Spdx3, &["spdx3", "spdx-3.0"]),
        (Self::Json, &["json", "syft-json"]),
        (Self::Drua, &["drua-json"]),
    ];
}

/// The text names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no format of an SBOM; known are table, purls, cyclonedx, spdx, spdx3, json and drua-json")]
pub struct UnknownFormat(String);

impl FromStr for DocumentFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = text.to_ascii_lowercase();
        let found = Self::NAMES.into_iter().find(|(_, names)| names.contains(&wanted.as_str()));
        found.map(|(format, _)| format).ok_or_else(|| UnknownFormat(text.chars().take(60).collect()))
    }
}

/// Writes a document. `created` is its time in RFC 3339, UTC, to the second: `2026-01-31T00:00:00Z`.
pub fn write_document(sbom: &Sbom, format: DocumentFormat, created: &str) -> String {
    let json = |value: &Value| format!("{value:#}\n");
    match format {
        DocumentFormat::Table => table::table(sbom),
        DocumentFormat::Purls => table::purls(sbom),
        DocumentFormat::CycloneDx => json(&cyclonedx::document(sbom, created)),
        DocumentFormat::Spdx => json(&spdx2::document(sbom, created)),
        DocumentFormat::Spdx3 => json(&spdx3::document(sbom, created)),
        DocumentFormat::Json => json(&native::syft(sbom)),
        DocumentFormat::Drua => json(&native::drua(sbom)),
    }
}

/// Which program made the document.
const TOOL: &str = "drua-scout";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A short identifier that stays the same as long as the package does.
fn package_id(package: &Package) -> String {
    let mut hash = Sha256::new();
    for part in [package.kind.name(), &package.name, &package.version, package.arch.as_deref().unwrap_or_default()] {
        hash.update(part);
        hash.update([0]);
    }
    for location in &package.locations {
        hash.update(&location.path);
        hash.update([0]);
    }
    for (key, value) in &package.qualifiers {
        hash.update(format!("{key}={value}\0"));
    }
    hex(&hash.finalize()[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A UUID (RFC 9562, version 8: its bits are our own business) of the document's content.
fn uuid(sbom: &Sbom) -> String {
    let mut hash = Sha256::new();
    let target = &sbom.target;
    let name = target.digest.as_ref().or(target.image_id.as_ref()).unwrap_or(&target.name);
    hash.update(name);
    hash.update(VERSION);
    sbom.packages.iter().for_each(|package| hash.update(package_id(package)));
    let mut bytes: [u8; 16] = std::array::from_fn(|_| 0);
    bytes.copy_from_slice(&hash.finalize()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// The target's version in documents: its digest.
fn target_version(sbom: &Sbom) -> Option<&str> {
    sbom.target.digest.as_deref().or(sbom.target.image_id.as_deref())
}

/// The target's name; never empty.
fn target_name(sbom: &Sbom) -> &str {
    match (sbom.target.name.as_str(), sbom.target.kind) {
        ("", TargetKind::Directory) => "directory",
        ("", _) => "target",
        (name, _) => name,
    }
}

#[cfg(test)]
mod tests;
