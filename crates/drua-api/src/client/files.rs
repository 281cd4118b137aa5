//! Files of containers: archive, changes, commit.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::Method;
use serde::Deserialize;

use super::body::Incoming;
use super::{ByteStream, Call, Client, RequestBody};
use crate::query::segment;
use crate::{ClientError, Query};

const STAT_HEADER: &str = "x-docker-container-path-stat";
/// Go's bit for directories in a file mode.
const GO_DIR: u32 = 1 << 31;

/// What is at a path of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathStat {
    /// Last name of the path.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Go's `os.FileMode`.
    pub mode: u32,
    /// Where a symbolic link leads to; empty for anything else.
    pub link_target: String,
}

impl PathStat {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & GO_DIR != 0
    }
}

/// How a container becomes an image.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// `repository[:tag]`.
    pub image: Option<String>,
    /// Author.
    pub author: String,
    /// Message.
    pub comment: String,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// Freeze the container meanwhile.
    pub pause: bool,
}

fn archive(method: Method, name: &str, path: &str) -> Call {
    Call::new(method, format!("/containers/{}/archive", segment(name))).query(Query::new().with("path", path))
}

fn stat_of(response: &hyper::Response<Incoming>, request: &str) -> Result<PathStat, ClientError> {
    let header = response.headers().get(STAT_HEADER).map(|value| value.as_bytes()).unwrap_or_default();
    let json = BASE64_STANDARD.decode(header).unwrap_or_default();
    serde_json::from_slice(&json).map_err(|source| ClientError::Decode { request: request.to_owned(), source })
}

/// Every method fails with [`ClientError`]; the daemon's refusals are [`ClientError::Api`].
#[expect(clippy::missing_errors_doc, reason = "said once for all on the impl block")]
impl Client {
    /// What is at a path of a container; a link at its end is not followed.
    pub async fn container_stat(&self, name: &str, path: &str) -> Result<PathStat, ClientError> {
        let call = archive(Method::HEAD, name, path);
        let request = call.name();
        stat_of(&self.send(call).await?, &request)
    }

    /// A path of a container as a tar archive.
    pub async fn container_archive(&self, name: &str, path: &str) -> Result<(PathStat, ByteStream), ClientError> {
        let call = archive(Method::GET, name, path);
        let request = call.name();
        let response = self.send(call).await?;
        let stat = stat_of(&response, &request)?;
        Ok((stat, ByteStream(response.into_body())))
    }

    /// Unpacks a tar archive into a directory of a container; with `as_user`, for the container's user.
    pub async fn container_extract(
        &self,
        name: &str,
        path: &str,
        as_user: bool,
        tar: RequestBody,
    ) -> Result<(), ClientError> {
        let query = Query::new().with("path", path).with("noOverwriteDirNonDir", "true").flag("copyUIDGID", as_user);
        let call = Call::new(Method::PUT, format!("/containers/{}/archive", segment(name))).query(query);
        self.done(call.body(tar, "application/x-tar")).await
    }

    /// Makes an image of a container; returns its id.
    pub async fn container_commit(&self, name: &str, options: &CommitOptions) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Id")]
            id: String,
        }
        let (repo, tag) = match &options.image {
            None => (None, None),
            Some(image) => match image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
                Some((repo, tag)) => (Some(repo.to_owned()), Some(tag.to_owned())),
                None => (Some(image.clone()), None),
            },
        };
        let query = Query::new()
            .with("container", name)
            .with_some("repo", repo.as_deref())
            .with_some("tag", tag.as_deref())
            .with("author", &options.author)
            .with("comment", &options.comment)
            .with("changes", &options.changes.join("\n"))
            .with("pause", if options.pause { "1" } else { "0" });
        let answer: Answer = self.decode(Call::post("/commit").query(query)).await?;
        Ok(answer.id)
    }
}
