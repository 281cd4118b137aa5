//! JSON documents as they stand in blobs and archives; only here does the crate meet serde for them.
//!
//! Our own structs rather than oci-spec's: digests are validated as they are read, and only fields that we use exist.

use std::collections::BTreeMap;

use drua_types::{Digest, Platform};
use serde::{Deserialize, Serialize};

use crate::media;

/// `org.opencontainers.image.ref.name`: the tag, or the whole reference, of an image in a layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// `io.containerd.image.name`: the whole reference.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
/// `org.opencontainers.image.title`: a layer's file name.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";
/// On a descriptor: this manifest is no image but says something about one (BuildKit's attestations).
pub(crate) const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// On such a descriptor: the digest of the manifest that it is about.
pub(crate) const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// OCI image-spec, descriptor.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<WirePlatform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, platform: None, annotations: None }
    }

    /// Whether it is of no image, but says something about one: where it was built, what is in it.
    pub(crate) fn is_attestation(&self) -> bool {
        self.annotation(REFERENCE_TYPE).is_some()
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// A platform as descriptors carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WirePlatform {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

impl WirePlatform {
    pub(crate) fn to_platform(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, self.variant.as_deref())
    }
}

/// OCI image-spec, manifest.md and image-index.md in one, to notice documents that claim to be both (CVE-2021-41190).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    pub(crate) media_type: Option<String>,
    pub(crate) config: Option<Descriptor>,
    pub(crate) layers: Option<Vec<Descriptor>>,
    pub(crate) manifests: Option<Vec<Descriptor>>,
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

/// A manifest that we write.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewManifest {
    pub(crate) schema_version: u32,
    pub(crate) media_type: &'static str,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

impl NewManifest {
    pub(crate) fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: media::OCI_MANIFEST, config, layers }
    }
}

/// An `index.json` that we write.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewIndex {
    pub(crate) schema_version: u32,
    pub(crate) media_type: &'static str,
    pub(crate) manifests: Vec<Descriptor>,
}

impl NewIndex {
    pub(crate) fn new(manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: media::OCI_INDEX, manifests }
    }
}

/// One image in a docker-archive's `manifest.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ArchiveItem {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) layers: Option<Vec<String>>,
}
