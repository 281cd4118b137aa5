//! Image content, metadata and unpacked layers on disk.
//!
//! ```text
//! <data-root>/content/             OCI image layout (image-spec image-layout.md), readable by skopeo
//!             content/blobs/sha256/<hex>
//!             content/index.json   every image and its names; written from state.db
//!             content/ingest/      blobs on their way in; emptied at open
//!             content/partial/     downloads that were interrupted, or go on now; kept for a day
//! <data-root>/layers/<chain id>/fs one unpacked layer, shared by all images and containers (overlay lower dir)
//!             layers/<chain id>/layer.json
//!             layers/.tmp-*        layers on their way in or out; emptied at open
//! <data-root>/state.db             tables `image_*`: ids, names, references of blobs and layers
//! ```
//!
//! Content goes in by the same three steps everywhere, so that `kill -9` or a full disk at any point leaves the store as
//! it was: (1) write and verify under a temporary name, (2) sync and rename, (3) one database transaction. What steps 1
//! and 2 left behind without 3 is swept later. An image's id is the digest of its top-level descriptor, index or
//! manifest, as in Docker's containerd store.
//!
//! The crate does no networking, knows no containers (callers say which images are in use) and is synchronous: call it
//! through `spawn_blocking`. [`Store`] is `Send + Sync`; one process at a time has a data root open. Needs root, or
//! `CAP_CHOWN`, `CAP_DAC_OVERRIDE`, `CAP_FOWNER`, `CAP_MKNOD` and `CAP_SYS_ADMIN`, to unpack layers.

mod archive;
mod changes;
mod check;
mod compare;
mod config;
mod content;
mod contents;
mod db;
mod decode;
mod history;
mod holds;
mod image;
mod import;
mod index;
mod layers;
mod limits;
pub mod live;
mod load;
mod lookup;
mod manifests;
mod media;
mod pack;
pub mod partial;
pub mod receive;
mod remove;
mod remove_platform;
mod save;
mod select;
mod sparse;
mod storage;
mod store;
mod sweep;
mod tar_stream;
mod tree;
mod unpack;
mod usage;
mod wire;

pub use changes::{ChangeError, apply_changes};
pub use check::{CheckReport, Problem, Repair};
pub use config::{DockerFields, Healthcheck};
pub use contents::Contents;
pub use history::HistoryEntry;
pub use holds::Lease;
pub use image::{Image, Layer, LayerContent};
pub use import::{Import, ImportError};
pub use index::{Annotate, IndexError};
pub use layers::UnpackError;
pub use limits::Limits;
pub use load::{LoadError, LoadEvent, Loaded};
pub use lookup::LookupError;
pub use manifests::{ManifestInfo, ManifestKind};
pub use pack::{PackError, Packed};
pub use partial::{Begin, BlobWriter, ReceiveError};
pub use receive::{Blob, LinkedLayer, NewImage, Plan, Receiving, Selection};
pub use remove::{Force, ImageUse, RemoveError, Removed};
pub use save::SaveError;
pub use storage::StorageError;
pub use store::{OpenError, Store};
pub use sweep::{DiskUsage, Swept};
pub use tar_stream::TarError;
pub use tree::TreeError;
pub use unpack::ApplyError;
pub use usage::ImageUsage;
