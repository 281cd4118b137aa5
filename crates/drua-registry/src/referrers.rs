//! What says something about an image: signatures, SBOMs (distribution-spec 1.1, "Listing Referrers").

use drua_types::Digest;
use hyper::Method;

use crate::RegistryError;
use crate::manifest::{Descriptor, Document, Manifest};
use crate::repository::Repository;

const MAX_REFERRERS_BYTES: usize = 4 << 20;
/// Pages that are followed.
const MAX_PAGES: usize = 32;

impl Repository {
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
            ) => match self.manifest(&format!("sha256-{}", digest.hex())).await {
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
