//! From a challenge to an `Authorization` header: Basic, or a token from the server that the registry names.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::Instant;

use crate::RegistryError;
use crate::challenge::Challenge;
use crate::credentials::{Credentials, Secret};
use crate::origin::{Origin, Scheme};
use crate::request::answer_error;
use crate::transport::{Outgoing, Payload, Transport};

/// What token servers are told about us.
const CLIENT_ID: &str = "drua";
/// A token is renewed so long before it ends.
const MARGIN: Duration = Duration::from_secs(10);
/// How long a token lives where the server does not say (distribution, spec/auth/token.md).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// What stays as it is in queries and forms: RFC 3986's unreserved characters.
pub(crate) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const MAX_TOKEN_BYTES: usize = 1 << 20;

/// Whether a login wants a refresh token to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offline {
    Yes,
    No,
}

/// Proves who we are to one registry; remembers its challenge and the tokens.
#[derive(Debug)]
pub(crate) struct Authenticator {
    credentials: Credentials,
    offline: Offline,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    challenge: Option<Challenge>,
    tokens: HashMap<String, (Secret, Instant)>,
    refresh: Option<Secret>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    refresh_token: Option<Secret>,
    expires_in: Option<u64>,
}

impl Authenticator {
    pub(crate) fn new(credentials: Credentials, offline: Offline) -> Self {
        Self { credentials, offline, state: Mutex::default() }
    }

    /// Remembers how the registry wants to be spoken to. Tokens that it has just refused are forgotten.
    pub(crate) fn learn(&self, challenge: Challenge) {
        let mut state = self.lock();
        state.challenge = Some(challenge);
        state.tokens.clear();
    }

    /// The refresh token that a login was given.
    pub(crate) fn refresh_token(&self) -> Option<Secret> {
        self.lock().refresh.clone()
    }

    /// The header for a request with these scopes; `None` before any challenge, and for registries without one.
    pub(crate) async fn header(
        &self,
        transport: &Transport,
        registry: &Origin,
        scopes: &[String],
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let challenge = self.lock().challenge.clone();
        let (realm, service, scope) = match challenge {
            None => return Ok(None),
            Some(Challenge::Basic) => return self.basic(registry).map(Some),
            Some(Challenge::Bearer { realm, service, scope, .. }) => (realm, service, scope),
        };
        if let Credentials::RegistryToken(token) = &self.credentials {
            return bearer(registry, token).map(Some);
        }
        let scopes: Vec<String> = match (scopes, scope) {
            ([], Some(scope)) => vec![scope],
            (scopes, _) => scopes.to_vec(),
        };
        let key = scopes.join(" ");
        let known =
            self.lock().tokens.get(&key).filter(|(_, end)| *end > Instant::now()).map(|(token, _)| token.clone());
        if let Some(token) = known {
            return bearer(registry, &token).map(Some);
        }
        let answer = self.fetch(transport, registry, &realm, service.as_deref(), &scopes).await?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.expose().is_empty());
        let Some(token) = token else {
            return Err(unauthorized(registry, format!("the token server `{realm}` sent no token")));
        };
        let life = answer
            .expires_in
            .map_or(DEFAULT_LIFE, Duration::from_secs)
            .clamp(DEFAULT_LIFE, Duration::from_secs(86_400));
        let mut state = self.lock();
        state.refresh = answer.refresh_token.or(state.refresh.take());
        state.tokens.insert(key, (token.clone(), Instant::now() + life - MARGIN));
        drop(state);
        bearer(registry, &token).map(Some)
    }

    fn basic(&self, registry: &Origin) -> Result<HeaderValue, RegistryError> {
        let value = self.credentials.basic();
        let value = value.ok_or_else(|| unauthorized(registry, "no basic auth credentials".to_owned()))?;
        sensitive(registry, value.expose())
    }

    async fn fetch(
        &self,
        transport: &Transport,
        registry: &Origin,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<TokenAnswer, RegistryError> {
        let Some((origin, path)) = Origin::of_url(realm) else {
            return Err(unauthorized(registry, format!("it names the token server `{realm}`, which is no URL")));
        };
        // A registry that we reach safely must not make us send a password in the clear.
        if registry.scheme == Scheme::Https && origin.scheme == Scheme::Http && !transport.settings.is_insecure(&origin)
        {
            let message = format!("it names the token server `{origin}`, which would see the password unencrypted");
            return Err(unauthorized(registry, message));
        }
        let outgoing = match &self.credentials {
            Credentials::IdentityToken(token) => refresh_request(&path, service, scopes, token),
            credentials => {
                let mut outgoing = Outgoing::new(Method::GET, self.token_target(&path, service, scopes));
                if let Some(value) = credentials.basic() {
                    outgoing.headers.insert(header::AUTHORIZATION, sensitive(registry, value.expose())?);
                }
                outgoing
            }
        };
        let reply = transport.exchange(&origin, &outgoing).await?;
        let request = reply.request.clone();
        if !reply.status.is_success() {
            return Err(answer_error(reply).await);
        }
        let body: Bytes = reply.collect(MAX_TOKEN_BYTES).await?;
        serde_json::from_slice(&body)
            .map_err(|error| RegistryError::Protocol { request, reason: format!("its token is no JSON: {error}") })
    }

    fn token_target(&self, path: &str, service: Option<&str>, scopes: &[String]) -> String {
        let mut target = path.to_owned();
        let mut separator = if path.contains('?') { '&' } else { '?' };
        let mut add = |key: &str, value: &str| {
            target.push(separator);
            target.push_str(key);
            target.push('=');
            target.extend(utf8_percent_encode(value, RESERVED));
            separator = '&';
        };
        if let Credentials::Password { username, .. } = &self.credentials {
            add("account", username);
        }
        if self.offline == Offline::Yes {
            add("client_id", CLIENT_ID);
            add("offline_token", "true");
        }
        service.into_iter().for_each(|service| add("service", service));
        scopes.iter().for_each(|scope| add("scope", scope));
        target
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Single assignments inside: a panic cannot leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// distribution, spec/auth/oauth.md: a refresh token becomes an access token.
fn refresh_request(path: &str, service: Option<&str>, scopes: &[String], token: &Secret) -> Outgoing {
    let scope = scopes.join(" ");
    let fields = [
        ("grant_type", "refresh_token"),
        ("service", service.unwrap_or_default()),
        ("client_id", CLIENT_ID),
        ("scope", &scope),
        ("refresh_token", token.expose()),
    ];
    let form: Vec<String> =
        fields.iter().map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, RESERVED))).collect();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Outgoing { method: Method::POST, target: path.to_owned(), headers, payload: Payload::Bytes(form.join("&").into()) }
}

fn bearer(registry: &Origin, token: &Secret) -> Result<HeaderValue, RegistryError> {
    sensitive(registry, &format!("Bearer {}", token.expose()))
}

fn sensitive(registry: &Origin, text: &str) -> Result<HeaderValue, RegistryError> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| unauthorized(registry, "the credentials have control characters".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(crate) fn unauthorized(registry: &Origin, message: String) -> RegistryError {
    RegistryError::Unauthorized { server: registry.authority(), message }
}
