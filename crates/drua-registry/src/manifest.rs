//! Manifests and indexes: how they come, what they say. Digests are verified here, limits on images are the caller's.

use std::collections::BTreeMap;

use bytes::Bytes;
use drua_types::{Digest, Platform};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::RegistryError;
use crate::referrers::{Listed, Referrer};
use crate::repository::Repository;
use crate::transport::{Payload, Reply};

/// Media types of documents and layers (OCI image-spec media-types.md, Docker's image manifest v2.2).
pub mod media {
    /// An OCI index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// Docker's manifest list.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

    /// Whether a media type is one of an index.
    pub fn is_index(media_type: &str) -> bool {
        matches!(media_type, OCI_INDEX | DOCKER_INDEX)
    }

    /// Whether a media type is one of a manifest.
    pub fn is_manifest(media_type: &str) -> bool {
        matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
    }

    /// Whether a layer may not be in registries but somewhere else ("foreign", "nondistributable").
    pub fn is_foreign(media_type: &str) -> bool {
        media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
            || media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
    }
}

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, */*;q=0.1";
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// With it a registry says that it has put a manifest into the list of its subject's referrers.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// Registries accept 4 MiB at most (distribution-spec, "Pushing Manifests").
const MAX_MANIFEST_BYTES: usize = 4 << 20;

/// A platform as documents have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformFields {
    /// Processor.
    #[serde(default)]
    pub architecture: String,
    /// Operating system.
    #[serde(default)]
    pub os: String,
    /// Kind of processor, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Version of Windows.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
}

impl PlatformFields {
    /// As the rest of drua knows platforms.
    pub fn platform(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, self.variant.as_deref())
    }
}

/// Names content (OCI image-spec descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What it runs on, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformFields>,
    /// Remarks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Type of the artifact, among referrers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// A manifest or an index, verified against its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its digest, size and media type.
    pub descriptor: Descriptor,
    /// The very bytes.
    pub bytes: Bytes,
    /// What they say.
    pub manifest: Manifest,
}

/// What a document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// One image, or artifact.
    Image {
        /// The configuration.
        config: Box<Descriptor>,
        /// The layers, lowest first.
        layers: Vec<Descriptor>,
    },
    /// Images for several platforms, or other indexes.
    Index {
        /// In the order of preference.
        manifests: Vec<Descriptor>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads a document that is known to be this long and to have this digest.
    ///
    /// # Errors
    /// [`RegistryError::Manifest`] when it contradicts itself or its media type, [`RegistryError::Unsupported`] for schema 1.
    pub fn parse(reference: &str, media_type: Option<&str>, bytes: Bytes) -> Result<Self, RegistryError> {
        let invalid = |reason: String| RegistryError::Manifest { reference: reference.to_owned(), reason };
        let announced = media_type.map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
        if announced
            .as_deref()
            .is_some_and(|announced| announced.starts_with("application/vnd.docker.distribution.manifest.v1+"))
        {
            return Err(schema_1(reference));
        }
        let wire: Wire =
            serde_json::from_slice(&bytes).map_err(|error| invalid(format!("it is no manifest: {error}")))?;
        if wire.schema_version == 1 {
            return Err(schema_1(reference));
        }
        let known = |text: &String| media::is_index(text) || media::is_manifest(text);
        let inferred = match (&wire.manifests, &wire.config) {
            (Some(_), _) => media::OCI_INDEX,
            (None, _) => media::OCI_MANIFEST,
        };
        let media_type = match (wire.media_type, announced.filter(known)) {
            (Some(own), Some(announced)) if own != announced => {
                return Err(invalid(format!("its media type is `{own}`, the registry says `{announced}`")));
            }
            (Some(own), _) => own,
            (None, Some(announced)) => announced,
            (None, None) => inferred.to_owned(),
        };
        if !known(&media_type) {
            return Err(RegistryError::Unsupported {
                reason: format!("`{reference}` is a `{media_type}`, which is neither an image nor an index of images"),
            });
        }
        // CVE-2021-41190: the same bytes must not mean one thing to us and another to the next reader.
        let manifest = match (wire.config, wire.layers, wire.manifests) {
            (Some(config), layers, None) if media::is_manifest(&media_type) => {
                Manifest::Image { config: Box::new(config), layers: layers.unwrap_or_default() }
            }
            (None, None, Some(manifests)) if media::is_index(&media_type) => Manifest::Index { manifests },
            (_, Some(_), Some(_)) => return Err(invalid("it has both `layers` and `manifests`".to_owned())),
            _ => return Err(invalid(format!("its content does not fit its media type `{media_type}`"))),
        };
        let descriptor = Descriptor {
            media_type,
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            platform: None,
            annotations: None,
            artifact_type: None,
        };
        Ok(Self { descriptor, bytes, manifest })
    }
}

fn schema_1(reference: &str) -> RegistryError {
    RegistryError::Unsupported {
        reason: format!(
            "`{reference}` is an image manifest of schema 1, which is obsolete and insecure: \
             push the image again with a current client"
        ),
    }
}

impl Repository {
    /// Which manifest a tag or digest stands for, without reading it; `None` where the registry does not say. Cheap, and
    /// Docker Hub does not count it.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] and what the network does.
    pub async fn resolve(&self, reference: &str) -> Result<Option<Digest>, RegistryError> {
        let reply = self.manifest_request(Method::HEAD, reference).await?;
        Ok(reply.header(CONTENT_DIGEST).and_then(|text| text.parse().ok()))
    }

    /// Reads the manifest or index that a tag or digest stands for.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Damaged`] when it is not what its digest says, and the rest.
    pub async fn manifest(&self, reference: &str) -> Result<Document, RegistryError> {
        let reply = self.manifest_request(Method::GET, reference).await?;
        let media_type = reply.header(header::CONTENT_TYPE).map(str::to_owned);
        if media_type.as_deref().is_some_and(|text| text.starts_with("text/html")) {
            let reason = "a web page; is this a registry?".to_owned();
            return Err(RegistryError::Protocol { request: reply.request, reason });
        }
        let told: Option<Digest> = reply.header(CONTENT_DIGEST).and_then(|text| text.parse().ok());
        let bytes = reply.collect(MAX_MANIFEST_BYTES).await?;
        let actual = Digest::of(&bytes);
        for wanted in reference.parse().ok().into_iter().chain(told) {
            if wanted != actual {
                return Err(RegistryError::Damaged { digest: wanted, reason: format!("it has digest `{actual}`") });
            }
        }
        Document::parse(reference, media_type.as_deref(), bytes)
    }

    async fn manifest_request(&self, method: Method, reference: &str) -> Result<Reply, RegistryError> {
        let mut outgoing = self.request(method, &format!("manifests/{reference}"));
        outgoing.headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        self.send(&outgoing).await
    }

    /// Writes a manifest or index under a tag or its digest. Where it is about another one (`subject`) and the registry
    /// does not keep lists of such referrers, the list that clients keep instead gets it, too.
    ///
    /// # Errors
    /// When the registry refuses it, for example because it lacks content that is named there.
    pub async fn put_manifest(&self, reference: &str, media_type: &str, bytes: Bytes) -> Result<(), RegistryError> {
        let referrer = Referrer::of(media_type, &bytes);
        let listed = self.put_document(reference, media_type, bytes).await?;
        match (referrer, listed) {
            (Some(referrer), Listed::No) => self.list_referrer(referrer).await,
            _ => Ok(()),
        }
    }

    pub(crate) async fn put_document(
        &self,
        reference: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Listed, RegistryError> {
        let digest = Digest::of(&bytes);
        let mut outgoing = self.request(Method::PUT, &format!("manifests/{reference}"));
        let content_type = HeaderValue::from_str(media_type).map_err(|_| RegistryError::Manifest {
            reference: reference.to_owned(),
            reason: "its media type has control characters".to_owned(),
        })?;
        outgoing.headers.insert(header::CONTENT_TYPE, content_type);
        outgoing.payload = Payload::Bytes(bytes);
        let reply = self.send(&outgoing).await?;
        let (status, request) = (reply.status, reply.request.clone());
        let told: Option<Digest> = reply.header(CONTENT_DIGEST).and_then(|text| text.parse().ok());
        let listed = if reply.headers.contains_key(OCI_SUBJECT) { Listed::Yes } else { Listed::No };
        drop(reply.start(64 << 10).await);
        match told {
            Some(told) if told != digest => {
                Err(RegistryError::Damaged { digest, reason: format!("the registry stored it as `{told}`") })
            }
            _ if status == StatusCode::CREATED || status == StatusCode::OK || status == StatusCode::ACCEPTED => {
                Ok(listed)
            }
            _ => Err(RegistryError::Status { request, status: status.as_u16(), message: "unexpected".to_owned() }),
        }
    }
}
