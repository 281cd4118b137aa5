//! Builds: `/build`.

use hyper::header::HeaderName;
use serde::Deserialize;

use super::{Call, Client, JsonStream, RequestBody};
use crate::{ClientError, Filters, Query};

/// What `POST /build/prune` removed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BuildPruned {
    /// Ids of the removed parts.
    pub caches_deleted: Option<Vec<String>>,
    /// Bytes that are free again.
    pub space_reclaimed: i64,
}

/// Every method fails with [`ClientError`]; the daemon's refusals are [`ClientError::Api`].
#[expect(clippy::missing_errors_doc, reason = "said once for all on the impl block")]
impl Client {
    /// Builds an image; `context` is a tar, or empty when `extra` names a directory. `extra` is drua's own header.
    pub async fn image_build(
        &self,
        query: Query,
        extra: &str,
        context: RequestBody,
    ) -> Result<JsonStream<serde_json::Value>, ClientError> {
        let call = Call::post("/build").query(query).body(context, "application/x-tar");
        let call = call.header(HeaderName::from_static("x-drua-build"), extra);
        Ok(JsonStream::new(self.send(call).await?.into_body()))
    }

    /// Removes build cache.
    pub async fn build_prune(
        &self,
        all: bool,
        max_used: Option<u64>,
        filters: &Filters,
    ) -> Result<BuildPruned, ClientError> {
        let max_used = max_used.map(|bytes| bytes.to_string());
        let query = Query::new().flag("all", all).with_some("max-used-space", max_used.as_deref()).filters(filters);
        self.decode(Call::post("/build/prune").query(query)).await
    }
}
