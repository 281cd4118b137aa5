//! Volumes: `/volumes/…`.

use bytes::Bytes;

use super::{Call, Client};
use crate::models::{Volume, VolumeCreateRequest, VolumeListResponse, VolumePruneResponse};
use crate::query::segment;
use crate::{ClientError, Filters, Query};

fn path(name: &str) -> String {
    format!("/volumes/{}", segment(name))
}

/// Every method fails with [`ClientError`]; the daemon's refusals are [`ClientError::Api`].
#[expect(clippy::missing_errors_doc, reason = "said once for all on the impl block")]
impl Client {
    /// Lists volumes.
    pub async fn volume_list(&self, filters: &Filters) -> Result<VolumeListResponse, ClientError> {
        self.decode(Call::get("/volumes").query(Query::new().filters(filters))).await
    }

    /// Creates a volume; one of the same name and driver is left alone.
    pub async fn volume_create(&self, body: &VolumeCreateRequest) -> Result<Volume, ClientError> {
        self.decode(Call::post("/volumes/create").json(body)).await
    }

    /// Everything about a volume.
    pub async fn volume_inspect(&self, name: &str) -> Result<Volume, ClientError> {
        self.decode(Call::get(path(name))).await
    }

    /// Everything about a volume, as the daemon wrote it.
    pub async fn volume_inspect_raw(&self, name: &str) -> Result<Bytes, ClientError> {
        self.bytes(Call::get(path(name))).await
    }

    /// Removes a volume that nobody uses; with `force` a missing one is no error.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<(), ClientError> {
        self.done(Call::delete(path(name)).query(Query::new().flag("force", force))).await
    }

    /// Removes unused volumes that match; only anonymous ones without an `all=true` filter.
    pub async fn volume_prune(&self, filters: &Filters) -> Result<VolumePruneResponse, ClientError> {
        self.decode(Call::post("/volumes/prune").query(Query::new().filters(filters))).await
    }
}
