//! Whether a registry accepts a name and a password.

use hyper::Method;

use crate::RegistryError;
use crate::auth::{Authenticator, Offline};
use crate::credentials::{Credentials, Secret};
use crate::origin::InvalidServer;
use crate::repository::{Registry, Server};
use crate::request;
use crate::transport::Outgoing;

/// A login that the registry accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// To be kept instead of the password, where the registry's token server gives one.
    pub identity_token: Option<Secret>,
}

impl Registry {
    /// Tries credentials on a server: a domain as in image names, or the URL that Docker Hub's clients store.
    ///
    /// # Errors
    /// [`RegistryError::Unauthorized`] when it does not accept them.
    pub async fn login(&self, server: &str, credentials: Credentials) -> Result<Login, RegistryError> {
        let domain = server_domain(server);
        let server = Server::of_domain(&self.transport.settings, &domain)
            .map_err(|error: InvalidServer| RegistryError::Unsupported { reason: error.to_string() })?;
        let auth = Authenticator::new(credentials, Offline::Yes);
        let origin = server.origin(&self.transport).await?;
        let ping = Outgoing::new(Method::GET, "/v2/");
        let reply = request::send(&self.transport, &auth, origin, &ping, &[]).await?;
        let html = reply.header(hyper::header::CONTENT_TYPE).is_some_and(|text| text.starts_with("text/html"));
        if html || !reply.status.is_success() {
            let reason = "it does not speak the registry's protocol, version 2".to_owned();
            return Err(RegistryError::Protocol { request: reply.request, reason });
        }
        drop(reply.start(64 << 10).await);
        Ok(Login { identity_token: auth.refresh_token() })
    }
}

/// The domain of a server address as clients send it: with or without scheme and path.
pub(crate) fn server_domain(server: &str) -> String {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    match host {
        "" | "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}
