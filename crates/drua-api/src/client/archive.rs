//! Files into a container and away from it: what `compose` needs beside the client of `docker cp`.

use super::{Call, Client, RequestBody};
use crate::query::segment;
use crate::{ClientError, Query};

/// How an archive is unpacked into a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct PutArchive {
    /// A folder does not replace what is not a folder, nor the other way round.
    pub keep_kinds: bool,
    /// Owners are those of the archive instead of the container's user.
    pub copy_owners: bool,
}

/// Every method fails with [`ClientError`]; the daemon's refusals are [`ClientError::Api`].
#[expect(clippy::missing_errors_doc, reason = "said once for all on the impl block")]
impl Client {
    /// Unpacks a tar archive below a folder of a container, running or not.
    pub async fn container_archive_put(
        &self,
        id: &str,
        path: &str,
        archive: RequestBody,
        options: PutArchive,
    ) -> Result<(), ClientError> {
        let query = Query::new()
            .with("path", path)
            .flag("noOverwriteDirNonDir", options.keep_kinds)
            .flag("copyUIDGID", options.copy_owners);
        let call = Call::new(hyper::Method::PUT, format!("/containers/{}/archive", segment(id)));
        self.done(call.query(query).body(archive, "application/x-tar")).await
    }

    /// Removes paths from a container, running or not: drua's own, where Docker's API has no word for it. Paths that are
    /// not there are no failure. Other engines answer 404.
    pub async fn container_paths_remove(&self, id: &str, paths: &[String]) -> Result<(), ClientError> {
        let call = Call::post(format!("/drua/v1/containers/{}/remove-paths", segment(id)));
        self.done(call.json(&serde_json::json!({ "paths": paths }))).await
    }
}
