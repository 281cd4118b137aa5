//! What is in an image and what is wrong with it: file trees in, documents out.
//!
//! ```text
//!  layers, directories ──scan──► LayerFacts ──assemble──► Sbom ──┬─► sbom:: CycloneDX, SPDX, JSON, table
//!  (tar streams)        (child)  (cached by digest)              └─► matching with advisories ──► report
//! ```
//!
//! The crate opens no files and no sockets: readers and bytes come from its callers. What it reads is untrusted, so that
//! every parser has limits, and what it could not read becomes a [`Note`] of the document instead of silence.

pub mod advisory;
mod assemble;
mod catalog;
mod facts;
mod interest;
mod layers;
mod limits;
pub mod matching;
mod model;
mod purl;
mod sbom;
mod scan;
mod secrets;
mod text;
pub mod version;
mod wire;

pub use assemble::{ScannedLayer, assemble};
pub use facts::{FileFacts, Finding, FoundPackage, LayerFacts, path_hash};
pub use interest::{MAGIC_LENGTH, is_candidate, is_program, is_program_name, needs_mode};
pub use layers::{ImageLayers, LayerReport, LayerSecret, PackageChange, WastedFile, is_visible, layer_reports};
pub use limits::Limits;
pub use model::{
    Distro, Evidence, Layer, Location, Note, NoteKind, Package, PackageKind, Relation, RelationKind, Sbom,
    SourcePackage, Target, TargetKind,
};
pub use purl::{InvalidPurl, Purl};
pub use sbom::{DocumentFormat, ReadError, UnknownFormat, read_document, write_document};
pub use scan::{Entry, EntryKind, Scanned, Scanner, Whiteouts, listing_line};
pub use wire::{Request, RequestWriter, read_answer, read_scanned, serve, write_entry, write_scanned};

/// Changes whenever catalogers find something else in the same bytes: what was cached before is then scanned anew.
pub const CATALOG_VERSION: u32 = 1;
