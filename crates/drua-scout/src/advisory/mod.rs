//! Advisories: feeds of many shapes in, one compact indexed database out.
//!
//! ```text
//!  OSV · Debian tracker, DSA, DLA · secdb · KEV · EPSS · end of life · official images
//!        │  bytes of files, members of archives                     ▲
//!        ▼                                                          │ lookups by package, by id
//!  Importer ──► SegmentBuilder ──► one segment a source ──► Database (all segments)
//! ```
//!
//! A segment is one immutable file for one source: sorted keys in compressed blocks, an index at the end, a checksum over the
//! index and one in each block. Updating a source replaces its segment and touches no other. This module reads and writes
//! bytes; where they lie, and what is downloaded when, is its caller's business.

pub mod archive;
mod csaf;
mod cvss;
mod database;
mod debian;
mod ecosystem;
mod eol;
mod epss;
mod importer;
mod kev;
mod nvd;
mod official;
mod osv;
mod record;
mod secdb;
mod segment;
mod severity;
mod sources;
#[cfg(test)]
mod tests;
pub(crate) mod yaml;

pub use archive::ArchiveError;
pub use database::{Database, DatabaseError, Hit, SourceDate};
pub use ecosystem::{Coverage, normalized_name, of_distro, of_kind};
pub use eol::Cycle;
pub use importer::{Format, Import, ImportProblem, Importer};
pub use official::TagGroup;
pub use record::{Advisory, Affected, Bound, Epss, Event, Exploited, Range, RangeKind, Reference, Status};
pub use segment::{ReadAt, Segment, SegmentBuilder, SegmentError, SegmentInfo, VERSION};
pub use severity::{Cvss, Severity};
pub use sources::{SOURCES, Source};
