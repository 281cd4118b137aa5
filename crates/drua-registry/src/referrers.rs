//! What says something about an image: signatures, SBOMs (distribution-spec 1.1, "Listing Referrers").

use std::collections::BTreeMap;

use bytes::Bytes;
use drua_types::Digest;
use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::RegistryError;
use crate::manifest::{Descriptor, Document, Manifest, media};
use crate::repository::Repository;

const MAX_REFERRERS_BYTES: usize = 4 << 20;
/// Pages that are followed.
const MAX_PAGES: usize = 32;

/// Whether a registry has listed a manifest among its subject's referrers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    Yes,
    /// It does not know of referrers.
    No,
}

/// A manifest that is about another one, as that one's list has it.
#[derive(Debug)]
pub(crate) struct Referrer {
    subject: Digest,
    entry: Descriptor,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

/// The list that clients keep under a tag.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewIndex {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

impl Referrer {
    /// `None` for a manifest that is about no other.
    pub(crate) fn of(media_type: &str, bytes: &Bytes) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(bytes).ok()?;
        let entry = Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            platform: None,
            annotations: wire.annotations,
            // Older artifacts say what they are by the type of their configuration.
            artifact_type: wire.artifact_type.or(wire.config.map(|config| config.media_type)),
        };
        Some(Self { subject: wire.subject?.digest, entry })
    }
}

/// Where clients keep the list of an image's referrers when the registry does not.
fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

impl Repository {
    /// Adds a manifest to the list of its subject's referrers that clients keep under a tag. Two clients that do so at one
    /// moment may lose one of both: the specification has no better way.
    pub(crate) async fn list_referrer(&self, referrer: Referrer) -> Result<(), RegistryError> {
        let tag = fallback_tag(&referrer.subject);
        let mut manifests = match self.manifest(&tag).await {
            Ok(document) => index_entries(document),
            Err(RegistryError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        if manifests.iter().any(|entry| entry.digest == referrer.entry.digest) {
            return Ok(());
        }
        manifests.push(referrer.entry);
        let index = NewIndex { schema_version: 2, media_type: media::OCI_INDEX, manifests };
        let bytes = serde_json::to_vec(&index).expect("strings and numbers serialize");
        self.put_document(&tag, media::OCI_INDEX, bytes.into()).await.map(drop)
    }

    /// Manifests whose `subject` is this one, optionally of one artifact type. Registries that do not know the question
    /// are asked for the tag `sha256-<hex>`, where clients keep the list instead.
    ///
    /// # Errors
    /// Whatever keeps us from knowing; no referrers is an empty list.
    pub async fn referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let mut found = match self.referrers_api(digest).await {
            Ok(found) => found,
            Err(
                RegistryError::NotFound { .. }
                | RegistryError::Protocol { .. }
                | RegistryError::Status { status: 400..=499, .. },
            ) => match self.manifest(&fallback_tag(digest)).await {
                Ok(document) => index_entries(document),
                Err(RegistryError::NotFound { .. }) => Vec::new(),
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        // Servers may ignore the filter, and the fallback has none.
        if let Some(wanted) = artifact_type {
            found.retain(|descriptor| descriptor.artifact_type.as_deref() == Some(wanted));
        }
        Ok(found)
    }

    async fn referrers_api(&self, digest: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        let mut outgoing = self.request(Method::GET, &format!("referrers/{digest}"));
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let reply = self.send(&outgoing).await?;
            let next = self.next_page(&reply);
            let bytes = reply.collect(MAX_REFERRERS_BYTES).await?;
            let page = Document::parse(digest.as_str(), None, bytes).map_err(|error| RegistryError::Protocol {
                request: outgoing.target.clone(),
                reason: error.to_string(),
            })?;
            found.extend(index_entries(page));
            match next {
                Some(target) => outgoing.target = target,
                None => break,
            }
        }
        Ok(found)
    }
}

fn index_entries(document: Document) -> Vec<Descriptor> {
    match document.manifest {
        Manifest::Index { manifests } => manifests,
        Manifest::Image { .. } => Vec::new(),
    }
}
