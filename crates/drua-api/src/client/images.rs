//! Images: `/images/…`.

use bytes::Bytes;
use drua_types::ImageRef;

use super::{ByteStream, Call, Client, JsonStream, RequestBody};
use crate::models::{
    ImageDeleteResponseItem, ImageHistoryResponseItem, ImageInspect, ImagePruneResponse, ImageSearchResponseItem,
    ImageSummary, LoginAnswer, Progress,
};
use crate::query::segment;
use crate::{ClientError, Filters, Query};

/// What `GET /images/json` lists.
#[derive(Debug, Clone, Default)]
pub struct ListImages {
    /// Intermediate images too.
    pub all: bool,
    /// With their digests.
    pub digests: bool,
    /// Only those that match.
    pub filters: Filters,
}

/// What to make of an imported root file system.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Name for the image.
    pub repository: Option<String>,
    /// Tag for the image.
    pub tag: Option<String>,
    /// Comment in its history.
    pub message: Option<String>,
    /// Dockerfile instructions that set its configuration.
    pub changes: Vec<String>,
    /// Platform of its programs.
    pub platform: Option<String>,
}

fn path(name: &str, verb: &str) -> String {
    format!("/images/{}{verb}", segment(name))
}

/// Every method fails with [`ClientError`]; the daemon's refusals are [`ClientError::Api`].
#[expect(clippy::missing_errors_doc, reason = "said once for all on the impl block")]
impl Client {
    /// Lists images.
    pub async fn image_list(&self, options: &ListImages) -> Result<Vec<ImageSummary>, ClientError> {
        let query = Query::new().flag("all", options.all).flag("digests", options.digests).filters(&options.filters);
        self.decode(Call::get("/images/json").query(query)).await
    }

    /// Everything about an image.
    pub async fn image_inspect(&self, name: &str) -> Result<ImageInspect, ClientError> {
        self.decode(Call::get(path(name, "/json"))).await
    }

    /// Everything about an image, as the daemon wrote it.
    ///
    /// `platform` is OCI's JSON object, here and below.
    pub async fn image_inspect_raw(&self, name: &str, platform: Option<&str>) -> Result<Bytes, ClientError> {
        self.bytes(Call::get(path(name, "/json")).query(Query::new().with_some("platform", platform))).await
    }

    /// Images with their manifests (`images --tree`), as the daemon wrote them.
    pub async fn image_tree_raw(&self, filters: &Filters) -> Result<Bytes, ClientError> {
        let query = Query::new().flag("manifests", true).filters(filters);
        self.bytes(Call::get("/images/json").query(query)).await
    }

    /// Makes an index of images that are here.
    pub async fn manifest_create(&self, name: &ImageRef, images: &[String]) -> Result<(), ClientError> {
        let query = Query::new().with("name", &name.to_string());
        let query = images.iter().fold(query, |query, image| query.with("image", image));
        self.done(Call::post("/drua/v1/manifests/create").query(query)).await
    }

    /// Changes what an index says about one of its manifests.
    pub async fn manifest_annotate(
        &self,
        name: &ImageRef,
        manifest: &str,
        platform: Option<&str>,
        annotations: &[String],
    ) -> Result<(), ClientError> {
        let query =
            Query::new().with("name", &name.to_string()).with("manifest", manifest).with_some("platform", platform);
        let query = annotations.iter().fold(query, |query, pair| query.with("annotation", pair));
        self.done(Call::post("/drua/v1/manifests/annotate").query(query)).await
    }

    /// An image's top-level document and its descriptor.
    pub async fn manifest_inspect(&self, name: &str) -> Result<serde_json::Value, ClientError> {
        self.decode(Call::get("/drua/v1/manifests/inspect").query(Query::new().with("name", name))).await
    }

    /// What an image consists of: manifest, configuration, layers and attestations. Other engines answer 404.
    pub async fn image_contents(&self, name: &str, platform: Option<&str>) -> Result<serde_json::Value, ClientError> {
        let query = Query::new().with("name", name).with_some("platform", platform);
        self.decode(Call::get("/drua/v1/images/contents").query(query)).await
    }

    /// One blob of an image, as it is stored. Other engines answer 404.
    pub async fn image_blob(&self, name: &str, digest: &str) -> Result<ByteStream, ClientError> {
        let query = Query::new().with("name", name).with("digest", digest);
        Ok(ByteStream(self.send(Call::get("/drua/v1/images/blob").query(query)).await?.into_body()))
    }

    /// How an image was made, newest step first.
    pub async fn image_history(
        &self,
        name: &str,
        platform: Option<&str>,
    ) -> Result<Vec<ImageHistoryResponseItem>, ClientError> {
        self.decode(Call::get(path(name, "/history")).query(Query::new().with_some("platform", platform))).await
    }

    /// Gives an image another name.
    pub async fn image_tag(&self, name: &str, repository: &str, tag: Option<&str>) -> Result<(), ClientError> {
        let query = Query::new().with("repo", repository).with_some("tag", tag);
        self.done(Call::post(path(name, "/tag")).query(query)).await
    }

    /// Removes a name, and the image with its last one.
    pub async fn image_remove(
        &self,
        name: &str,
        force: bool,
        prune_parents: bool,
    ) -> Result<Vec<ImageDeleteResponseItem>, ClientError> {
        let query = Query::new().flag("force", force).flag("noprune", !prune_parents);
        self.decode(Call::delete(path(name, "")).query(query)).await
    }

    /// Removes some platforms of an image, each an OCI platform as JSON; the image stays.
    pub async fn image_remove_platforms(
        &self,
        name: &str,
        platforms: &[String],
        force: bool,
    ) -> Result<Vec<ImageDeleteResponseItem>, ClientError> {
        let query = Query::new().flag("force", force);
        let query = platforms.iter().fold(query, |query, platform| query.with("platforms", platform));
        self.decode(Call::delete(path(name, "")).query(query)).await
    }

    /// The WebAssembly module that an image runs.
    pub async fn image_module(&self, name: &str) -> Result<ByteStream, ClientError> {
        let call = Call::get("/drua/v1/images/module").query(Query::new().with("name", name));
        Ok(ByteStream(self.send(call).await?.into_body()))
    }

    /// Loads the images of an archive (`docker save` or an OCI layout, also compressed).
    pub async fn image_load(
        &self,
        archive: RequestBody,
        quiet: bool,
        platform: Option<&str>,
    ) -> Result<JsonStream<Progress>, ClientError> {
        let query = Query::new().with("quiet", if quiet { "1" } else { "0" }).with_some("platform", platform);
        let response = self.send(Call::post("/images/load").query(query).body(archive, "application/x-tar")).await?;
        Ok(JsonStream::new(response.into_body()))
    }

    /// An archive of images.
    pub async fn image_save(&self, names: &[String], platform: Option<&str>) -> Result<ByteStream, ClientError> {
        let query = names.iter().fold(Query::new(), |query, name| query.with("names", name));
        let query = query.with_some("platform", platform);
        Ok(ByteStream(self.send(Call::get("/images/get").query(query)).await?.into_body()))
    }

    /// Makes an image of a root file system's archive.
    pub async fn image_import(
        &self,
        archive: RequestBody,
        options: &ImportOptions,
    ) -> Result<JsonStream<Progress>, ClientError> {
        self.import("-", archive, options).await
    }

    /// Makes an image of a root file system's archive that the daemon fetches from a URL.
    pub async fn image_import_url(
        &self,
        url: &str,
        options: &ImportOptions,
    ) -> Result<JsonStream<Progress>, ClientError> {
        self.import(url, RequestBody::empty(), options).await
    }

    async fn import(
        &self,
        source: &str,
        archive: RequestBody,
        options: &ImportOptions,
    ) -> Result<JsonStream<Progress>, ClientError> {
        let query = Query::new()
            .with("fromSrc", source)
            .with_some("repo", options.repository.as_deref())
            .with_some("tag", options.tag.as_deref())
            .with_some("message", options.message.as_deref())
            .with_some("platform", options.platform.as_deref());
        let query = options.changes.iter().fold(query, |query, change| query.with("changes", change));
        let response = self.send(Call::post("/images/create").query(query).body(archive, "application/x-tar")).await?;
        Ok(JsonStream::new(response.into_body()))
    }

    /// Pulls an image from its registry; without a tag, all of its repository.
    pub async fn image_pull(
        &self,
        repository: &str,
        tag: Option<&str>,
        platform: Option<&str>,
    ) -> Result<JsonStream<Progress>, ClientError> {
        let query = Query::new().with("fromImage", repository).with_some("tag", tag).with_some("platform", platform);
        let call = self.authorized(Call::post("/images/create").query(query), repository);
        Ok(JsonStream::new(self.send(call).await?.into_body()))
    }

    /// Pushes an image to the registry that its name says; without a tag, all of its repository. The platform is JSON.
    pub async fn image_push(
        &self,
        repository: &str,
        tag: Option<&str>,
        platform: Option<&str>,
    ) -> Result<JsonStream<Progress>, ClientError> {
        let query = Query::new().with_some("tag", tag).with_some("platform", platform);
        let call = self.authorized(Call::post(path(repository, "/push")).query(query), repository);
        Ok(JsonStream::new(self.send(call).await?.into_body()))
    }

    /// Searches a registry for repositories.
    pub async fn image_search(
        &self,
        term: &str,
        limit: Option<u32>,
        filters: &Filters,
    ) -> Result<Vec<ImageSearchResponseItem>, ClientError> {
        let limit = limit.map(|limit| limit.to_string());
        let query = Query::new().with("term", term).with_some("limit", limit.as_deref()).filters(filters);
        self.decode(self.authorized(Call::get("/images/search").query(query), term)).await
    }

    /// Tries credentials (`username`, `password`, `serveraddress`, …) on a registry.
    pub async fn registry_login<T: serde::Serialize>(&self, credentials: &T) -> Result<LoginAnswer, ClientError> {
        self.decode(Call::post("/auth").json(credentials)).await
    }

    /// Removes unused images that match; only dangling ones without a `dangling=false` filter.
    pub async fn image_prune(&self, filters: &Filters) -> Result<ImagePruneResponse, ClientError> {
        self.decode(Call::post("/images/prune").query(Query::new().filters(filters))).await
    }
}
