//! Lists: the tags of a repository, and searches among repositories.

use hyper::{Method, header};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;

use crate::RegistryError;
use crate::auth::{Authenticator, Offline, RESERVED};
use crate::credentials::Credentials;
use crate::origin::InvalidServer;
use crate::repository::{Registry, Repository, Server};
use crate::request;
use crate::transport::{Outgoing, Reply};

const MAX_PAGE_BYTES: usize = 8 << 20;
const MAX_PAGES: usize = 100;
/// Docker Hub's search is not where its images are.
const HUB_SEARCH: &str = "index.docker.io";

/// A repository that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct SearchResult {
    /// Name, within its registry.
    pub name: String,
    /// In its owner's words.
    pub description: String,
    /// How many people like it.
    pub star_count: i64,
    /// Whether Docker keeps it.
    pub is_official: bool,
    /// Whether a service builds it.
    pub is_automated: bool,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchResults {
    /// Best first.
    pub results: Vec<SearchResult>,
    /// The registry cannot search: its list of repositories was looked through for the name.
    pub from_catalog: bool,
}

#[derive(Deserialize)]
struct SearchWire {
    #[serde(default)]
    results: Vec<SearchResult>,
}

#[derive(Deserialize)]
struct TagsWire {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct CatalogWire {
    repositories: Option<Vec<String>>,
}

impl Repository {
    /// Every tag, in the registry's order.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] when there is no such repository.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let mut outgoing = self.request(Method::GET, "tags/list");
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let reply = self.send(&outgoing).await?;
            let next = self.next_page(&reply);
            let page: TagsWire = json(reply).await?;
            found.extend(page.tags.unwrap_or_default());
            match next {
                Some(target) => outgoing.target = target,
                None => break,
            }
        }
        Ok(found)
    }

    pub(crate) fn next_page(&self, reply: &Reply) -> Option<String> {
        next_page(reply)
    }
}

impl Registry {
    /// Searches a registry (`None`: Docker Hub) for repositories.
    ///
    /// Asks the search of registry v1, which Docker Hub and some others still have. Registries without it are asked for
    /// their catalog, where names that contain the term count.
    ///
    /// # Errors
    /// When the registry has neither.
    pub async fn search(
        &self,
        domain: Option<&str>,
        term: &str,
        limit: usize,
        credentials: Credentials,
    ) -> Result<SearchResults, RegistryError> {
        let settings = &self.transport.settings;
        let server = Server::of_domain(settings, domain.unwrap_or(HUB_SEARCH))
            .map_err(|error: InvalidServer| RegistryError::Unsupported { reason: error.to_string() })?;
        let origin = server.origin(&self.transport).await?;
        let auth = Authenticator::new(credentials, Offline::No);
        let query: String = utf8_percent_encode(term, RESERVED).collect();
        let outgoing = Outgoing::new(Method::GET, format!("/v1/search?q={query}&n={limit}"));
        let found = async {
            let reply = request::send(&self.transport, &auth, origin, &outgoing, &[]).await?;
            json::<SearchWire>(reply).await
        };
        match found.await {
            Ok(mut wire) => {
                wire.results.truncate(limit);
                Ok(SearchResults { results: wire.results, from_catalog: false })
            }
            Err(
                RegistryError::NotFound { .. }
                | RegistryError::Protocol { .. }
                | RegistryError::Status { status: 400..=499, .. },
            ) if domain.is_some() => {
                let auth_scope = ["registry:catalog:*".to_owned()];
                let mut outgoing = Outgoing::new(Method::GET, "/v2/_catalog?n=1000");
                let mut results = Vec::new();
                for _ in 0..MAX_PAGES {
                    let reply = request::send(&self.transport, &auth, origin, &outgoing, &auth_scope).await?;
                    let next = next_page(&reply);
                    let page: CatalogWire = json(reply).await?;
                    let names = page.repositories.unwrap_or_default().into_iter().filter(|name| name.contains(term));
                    results.extend(names.map(|name| SearchResult { name, ..SearchResult::default() }));
                    match next {
                        Some(target) if results.len() < limit => outgoing.target = target,
                        _ => break,
                    }
                }
                results.truncate(limit);
                Ok(SearchResults { results, from_catalog: true })
            }
            Err(error) => Err(error),
        }
    }
}

/// `Link: </v2/…>; rel="next"` (RFC 8288), on the same server.
fn next_page(reply: &Reply) -> Option<String> {
    let link = reply.header(header::LINK)?;
    let (url, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let (origin, target) = reply.origin.resolve(&reply.target, url)?;
    (parameters.contains("next") && origin.host == reply.origin.host).then_some(target)
}

async fn json<T: serde::de::DeserializeOwned>(reply: Reply) -> Result<T, RegistryError> {
    let request = reply.request.clone();
    let bytes = reply.collect(MAX_PAGE_BYTES).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| RegistryError::Protocol { request, reason: format!("it is no JSON: {error}") })
}
