//! Which server has an image, and the way to one repository there.

use std::sync::Arc;

use drua_types::ImageRef;
use hyper::Method;
use tokio::sync::OnceCell;

use crate::RegistryError;
use crate::auth::{Authenticator, Offline};
use crate::credentials::Credentials;
use crate::origin::{InvalidServer, Origin, Scheme};
use crate::request;
use crate::settings::Settings;
use crate::transport::{Outgoing, Reply, Transport};

/// Docker Hub's name in references, and where it really is.
const HUB: &str = "docker.io";
const HUB_SERVER: &str = "registry-1.docker.io";

/// All registries, as the settings have it. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Registry {
    pub(crate) transport: Arc<Transport>,
}

/// What is going to be done in a repository; tokens are asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Pull,
    /// Read and write.
    Push,
}

/// One repository on one server. Cheap to clone; clones share tokens.
#[derive(Debug, Clone)]
pub struct Repository(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    transport: Arc<Transport>,
    server: Server,
    path: String,
    auth: Authenticator,
    access: Access,
    mirror: bool,
}

/// A server whose scheme may have to be found out.
#[derive(Debug)]
pub(crate) struct Server {
    /// In the order to try.
    candidates: Vec<Origin>,
    chosen: OnceCell<Origin>,
}

impl Server {
    /// Docker's rule: HTTPS, and for insecure registries HTTP where nobody speaks HTTPS.
    pub(crate) fn of_domain(settings: &Settings, domain: &str) -> Result<Self, InvalidServer> {
        let host = if domain == HUB { HUB_SERVER } else { domain };
        let origin = Origin::of_host(Scheme::Https, host).ok_or_else(|| InvalidServer(domain.to_owned()))?;
        let mut candidates = vec![origin.clone()];
        if settings.is_insecure(&origin) {
            candidates.push(origin.with_scheme(Scheme::Http));
        }
        Ok(Self::new(candidates))
    }

    pub(crate) fn new(candidates: Vec<Origin>) -> Self {
        Self { candidates, chosen: OnceCell::new() }
    }

    /// Asks `/v2/`, where there is a choice; learns how to authenticate by the way.
    pub(crate) async fn origin(&self, transport: &Transport) -> Result<&Origin, RegistryError> {
        self.chosen.get_or_try_init(async || self.choose(transport).await).await
    }

    async fn choose(&self, transport: &Transport) -> Result<Origin, RegistryError> {
        let mut failure = None;
        for origin in &self.candidates {
            if self.candidates.len() == 1 {
                return Ok(origin.clone());
            }
            match transport.exchange(origin, &Outgoing::new(Method::GET, "/v2/")).await {
                Ok(reply) => {
                    // Read to its end, so that the connection can be used again.
                    drop(reply.start(64 << 10).await);
                    return Ok(origin.clone());
                }
                Err(error) => {
                    tracing::debug!(%origin, error = drua_types::error_chain(&error), "not there");
                    failure = Some(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| RegistryError::Unsupported { reason: "the registry has no address".to_owned() }))
    }
}

impl Registry {
    /// A client with these settings; nothing is sent yet.
    pub fn new(settings: Settings) -> Self {
        Self { transport: Arc::new(Transport::new(settings)) }
    }

    /// Where to pull an image from, in the order to try: mirrors of Docker Hub, then the registry itself.
    ///
    /// Mirrors are asked without credentials, which belong to the registry.
    ///
    /// # Errors
    /// When the image's domain is no server.
    pub fn sources(&self, image: &ImageRef, credentials: Credentials) -> Result<Vec<Repository>, InvalidServer> {
        let settings = &self.transport.settings;
        let mut found = Vec::new();
        if image.domain() == HUB {
            found.extend(settings.mirror_origins().map(|origin| {
                let auth = Authenticator::new(Credentials::Anonymous, Offline::No);
                self.make(Server::new(vec![origin]), image, auth, Access::Pull, true)
            }));
        }
        found.push(self.repository(image, credentials, Access::Pull)?);
        Ok(found)
    }

    /// The repository of an image in its own registry.
    ///
    /// # Errors
    /// When the image's domain is no server.
    pub fn repository(
        &self,
        image: &ImageRef,
        credentials: Credentials,
        access: Access,
    ) -> Result<Repository, InvalidServer> {
        let server = Server::of_domain(&self.transport.settings, image.domain())?;
        Ok(self.make(server, image, Authenticator::new(credentials, Offline::No), access, false))
    }

    fn make(&self, server: Server, image: &ImageRef, auth: Authenticator, access: Access, mirror: bool) -> Repository {
        let (transport, path) = (Arc::clone(&self.transport), image.path().to_owned());
        Repository(Arc::new(Inner { transport, server, path, auth, access, mirror }))
    }
}

impl Repository {
    /// The repository's name within its registry.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Whether this is a mirror, which may lack things that the registry has.
    pub fn is_mirror(&self) -> bool {
        self.0.mirror
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// A request below `/v2/<name>/`.
    pub(crate) fn request(&self, method: Method, rest: &str) -> Outgoing {
        Outgoing::new(method, format!("/v2/{}/{rest}", self.0.path))
    }

    /// Sends a request with this repository's scope.
    pub(crate) async fn send(&self, outgoing: &Outgoing) -> Result<Reply, RegistryError> {
        self.send_with(outgoing, &[]).await
    }

    /// As [`Repository::send`], but a passing failure is the caller's to cope with.
    pub(crate) async fn send_once(&self, outgoing: &Outgoing) -> Result<Reply, RegistryError> {
        let origin = self.0.server.origin(&self.0.transport).await?;
        request::once(&self.0.transport, &self.0.auth, origin, outgoing, &self.scopes(&[])).await
    }

    /// Sends a request that also reads other repositories here.
    pub(crate) async fn send_with(&self, outgoing: &Outgoing, reads: &[&str]) -> Result<Reply, RegistryError> {
        let origin = self.0.server.origin(&self.0.transport).await?;
        request::send(&self.0.transport, &self.0.auth, origin, outgoing, &self.scopes(reads)).await
    }

    fn scopes(&self, reads: &[&str]) -> Vec<String> {
        let actions = match self.0.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let mut scopes = vec![format!("repository:{}:{actions}", self.0.path)];
        scopes.extend(reads.iter().map(|path| format!("repository:{path}:pull")));
        scopes
    }

    /// Where a `Location` of a reply leads. Only to the registry itself: uploads carry credentials.
    pub(crate) fn location(&self, reply: &Reply) -> Result<String, RegistryError> {
        let protocol =
            |reason: &str| RegistryError::Protocol { request: reply.request.clone(), reason: reason.to_owned() };
        let location = reply.header(hyper::header::LOCATION).ok_or_else(|| protocol("it names no location"))?;
        let (origin, target) =
            reply.origin.resolve(&reply.target, location).ok_or_else(|| protocol("its location is no URL"))?;
        // Behind a proxy that ends TLS, registries name themselves with `http` all the same.
        if origin.host != reply.origin.host {
            return Err(protocol("its location is on another server"));
        }
        Ok(target)
    }
}
