//! Images that are built by parameters that every engine knows.

use std::collections::BTreeMap;

use super::{Call, Client, JsonStream, RequestBody};
use crate::models::Progress;
use crate::{ClientError, Query};

/// How an image is built of a context.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// Names of the image.
    pub tags: Vec<String>,
    /// The Dockerfile within the context; `Dockerfile` when absent.
    pub dockerfile: Option<String>,
    /// The context, where it is a URL instead of an archive.
    pub remote: Option<String>,
    /// Build arguments; `None` is taken from the image.
    pub args: BTreeMap<String, Option<String>>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// The stage to build.
    pub target: Option<String>,
    /// The platform to build for.
    pub platform: Option<String>,
    /// Network of build steps.
    pub network: Option<String>,
    /// `host:address` lines of `/etc/hosts`.
    pub extra_hosts: Vec<String>,
    /// Images whose layers may be reused.
    pub cache_from: Vec<String>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<i64>,
    /// Run every step.
    pub no_cache: bool,
    /// Pull base images even where they are there.
    pub pull: bool,
}

/// Every method fails with [`ClientError`]; the daemon's refusals are [`ClientError::Api`].
#[expect(clippy::missing_errors_doc, reason = "said once for all on the impl block")]
impl Client {
    /// Builds an image of a tar archive, by parameters that every engine knows.
    pub async fn image_build_context(
        &self,
        context: RequestBody,
        options: &BuildOptions,
    ) -> Result<JsonStream<Progress>, ClientError> {
        let json = |value: serde_json::Value| value.to_string();
        let shm_size = options.shm_size.map(|size| size.to_string());
        let args = (!options.args.is_empty()).then(|| json(serde_json::json!(options.args)));
        let labels = (!options.labels.is_empty()).then(|| json(serde_json::json!(options.labels)));
        let cache_from = (!options.cache_from.is_empty()).then(|| json(serde_json::json!(options.cache_from)));
        let hosts = (!options.extra_hosts.is_empty()).then(|| options.extra_hosts.join(","));
        let query = options.tags.iter().fold(Query::new(), |query, tag| query.with("t", tag));
        let query = query
            .with("rm", "1")
            .with_some("dockerfile", options.dockerfile.as_deref())
            .with_some("remote", options.remote.as_deref())
            .with_some("buildargs", args.as_deref())
            .with_some("labels", labels.as_deref())
            .with_some("target", options.target.as_deref())
            .with_some("platform", options.platform.as_deref())
            .with_some("networkmode", options.network.as_deref())
            .with_some("extrahosts", hosts.as_deref())
            .with_some("cachefrom", cache_from.as_deref())
            .with_some("shmsize", shm_size.as_deref())
            .flag("nocache", options.no_cache)
            .flag("pull", options.pull);
        let response = self.send(Call::post("/build").query(query).body(context, "application/x-tar")).await?;
        Ok(JsonStream::new(response.into_body()))
    }
}
