//! Files of a container: `/containers/{}/archive`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{ByteStream, Call, Client, RequestBody};
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

/// What a path in a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PathStat {
    /// Its last part.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Go's `FileMode`: the highest bit says folder.
    pub mode: u32,
    /// Where a symbolic link leads.
    #[serde(rename = "linkTarget")]
    pub link_target: String,
}

impl PathStat {
    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.mode & (1 << 31) != 0
    }
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

    /// A path of a container as a tar archive, and what it is.
    pub async fn container_archive_get(&self, id: &str, path: &str) -> Result<(PathStat, ByteStream), ClientError> {
        let call = Call::get(format!("/containers/{}/archive", segment(id))).query(Query::new().with("path", path));
        let response = self.send(call).await?;
        let header = response.headers().get("X-Docker-Container-Path-Stat");
        let stat = header
            .and_then(|value| STANDARD.decode(value.as_bytes()).ok())
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default();
        Ok((stat, ByteStream(response.into_body())))
    }

    /// Removes paths from a container, running or not: drua's own, where Docker's API has no word for it. Paths that are
    /// not there are no failure. Other engines answer 404.
    pub async fn container_paths_remove(&self, id: &str, paths: &[String]) -> Result<(), ClientError> {
        let call = Call::post(format!("/drua/v1/containers/{}/remove-paths", segment(id)));
        self.done(call.json(&serde_json::json!({ "paths": paths }))).await
    }

    /// What a path of a container is.
    pub async fn container_path_stat(&self, id: &str, path: &str) -> Result<PathStat, ClientError> {
        let call = Call::new(hyper::Method::HEAD, format!("/containers/{}/archive", segment(id)));
        let response = self.send(call.query(Query::new().with("path", path))).await?;
        let header = response.headers().get("X-Docker-Container-Path-Stat");
        let stat = header.and_then(|value| STANDARD.decode(value.as_bytes()).ok());
        Ok(stat.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default())
    }
}
