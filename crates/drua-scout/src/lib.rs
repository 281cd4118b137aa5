//! What is in an image and what is wrong with it: file trees in, documents out.
//!
//! ```text
//!  layers, directories ──scan──► LayerFacts ──assemble──► Sbom ──┬─► sbom:: CycloneDX, SPDX, JSON, table
//!  (tar streams)        (child)  (cached by digest)              └─► matching with advisories ──► report
//! ```
//!
//! The crate opens no files and no sockets: readers and bytes come from its callers. What it reads is untrusted, so that
//! every parser has limits, and what it could not read becomes a [`Note`] of the document instead of silence.

mod assemble;
mod catalog;
mod facts;
mod interest;
mod limits;
mod model;
mod purl;
mod scan;
mod secrets;
mod text;

pub use assemble::{ScannedLayer, assemble};
pub use facts::{FileFacts, Finding, FoundPackage, LayerFacts, path_hash};
pub use interest::{MAGIC_LENGTH, is_candidate, is_program, needs_mode};
pub use limits::Limits;
pub use model::{
    Distro, Evidence, Layer, Location, Note, NoteKind, Package, PackageKind, Relation, RelationKind, Sbom,
    SourcePackage, Target, TargetKind,
};
pub use purl::{InvalidPurl, Purl};
pub use scan::{Entry, EntryKind, Scanned, Scanner, Whiteouts, listing_line};
