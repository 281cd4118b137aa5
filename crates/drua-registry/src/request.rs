//! A request to a registry until it is answered: authentication, redirects, retries, errors in words.

use std::time::Duration;

use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::RegistryError;
use crate::auth::{Authenticator, unauthorized};
use crate::challenge;
use crate::origin::{Origin, Scheme};
use crate::transport::{Outgoing, Reply, Transport};

/// How often a request is sent before its passing failure is final.
pub(crate) const ATTEMPTS: u32 = 5;
const MAX_REDIRECTS: usize = 5;
/// A longer wait is left to the user.
const MAX_WAIT: Duration = Duration::from_secs(20);
const MAX_ERROR_BYTES: usize = 32 << 10;

/// Sends a request until its answer is final. Statuses below 400 come back; others are errors.
pub(crate) async fn send(
    transport: &Transport,
    auth: &Authenticator,
    origin: &Origin,
    outgoing: &Outgoing,
    scopes: &[String],
) -> Result<Reply, RegistryError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match once(transport, auth, origin, outgoing, scopes).await {
            Ok(reply) => return Ok(reply),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(error) => error,
        };
        let wait = match &error {
            RegistryError::RateLimited { retry_after, .. } => match retry_after {
                Some(wait) if *wait <= MAX_WAIT => *wait,
                // Where it does not say how long, two more attempts are polite.
                None if attempt < 3 => back_off(transport, attempt),
                _ => return Err(error),
            },
            // Nobody there, or nobody to be trusted: that does not pass in a second.
            RegistryError::Connect { .. } if attempt > 1 => return Err(error),
            error if error.is_passing() => back_off(transport, attempt),
            _ => return Err(error),
        };
        tracing::debug!(%error, attempt, ?wait, "trying again");
        tokio::time::sleep(wait).await;
    }
}

/// The pause after a failed attempt: doubling, with some chance in it, so that many clients do not come back together.
pub(crate) fn back_off(transport: &Transport, attempt: u32) -> Duration {
    let base = transport.settings.timeouts.back_off * 2_u32.saturating_pow(attempt.saturating_sub(1)).min(32);
    base.mul_f64(rand::random_range(0.5..1.5))
}

/// Sends a request once, with whatever authentication and redirects that takes.
pub(crate) async fn once(
    transport: &Transport,
    auth: &Authenticator,
    registry: &Origin,
    outgoing: &Outgoing,
    scopes: &[String],
) -> Result<Reply, RegistryError> {
    let mut challenged = false;
    loop {
        let mut request = outgoing.clone();
        if let Some(value) = auth.header(transport, registry, scopes).await? {
            request.headers.insert(header::AUTHORIZATION, value);
        }
        let reply = follow(transport, registry, request).await?;
        if reply.status != StatusCode::UNAUTHORIZED || reply.origin != *registry {
            return if reply.status.as_u16() < 400 { Ok(reply) } else { Err(answer_error(reply).await) };
        }
        let offered = reply.headers.get_all(header::WWW_AUTHENTICATE);
        let challenge = challenge::choose(offered.iter().filter_map(|value| value.to_str().ok()));
        match challenge {
            // Once: a registry that refuses what its own token server gave will refuse it again.
            Some(challenge) if !challenged => {
                challenged = true;
                auth.learn(challenge);
            }
            Some(_) => return Err(answer_error(reply).await),
            None => {
                let error = answer_error(reply).await;
                return Err(match error {
                    RegistryError::Unauthorized { message, .. } => unauthorized(registry, message),
                    other => other,
                });
            }
        }
    }
}

/// Follows redirects of GET and HEAD. Credentials stay with the registry (CVE-2020-15157 was that they did not).
pub(crate) async fn follow(
    transport: &Transport,
    registry: &Origin,
    mut request: Outgoing,
) -> Result<Reply, RegistryError> {
    let mut origin = registry.clone();
    for _ in 0..=MAX_REDIRECTS {
        let reply = transport.exchange(&origin, &request).await?;
        let redirected = matches!(reply.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        if !redirected || !matches!(request.method, Method::GET | Method::HEAD) {
            return Ok(reply);
        }
        let protocol = |reason: String| RegistryError::Protocol { request: reply.request.clone(), reason };
        let location = reply.header(header::LOCATION).ok_or_else(|| protocol("a redirect to nowhere".to_owned()))?;
        let (next, target) = origin
            .resolve(&request.target, location)
            .ok_or_else(|| protocol("a redirect to something that is no URL".to_owned()))?;
        if origin.scheme == Scheme::Https && next.scheme == Scheme::Http && !transport.settings.is_insecure(&next) {
            return Err(protocol(format!("a redirect to `{next}`, which is not encrypted")));
        }
        if next != origin {
            request.headers.remove(header::AUTHORIZATION);
        }
        (origin, request.target) = (next, target);
    }
    Err(RegistryError::Protocol {
        request: request.describe(registry),
        reason: format!("more than {MAX_REDIRECTS} redirects"),
    })
}

#[derive(Deserialize)]
struct ErrorsWire {
    #[serde(default)]
    errors: Vec<ErrorWire>,
    /// Token servers say it so.
    #[serde(default)]
    details: Option<String>,
}

#[derive(Deserialize)]
struct ErrorWire {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What a failed answer means, in the registry's words.
pub(crate) async fn answer_error(reply: Reply) -> RegistryError {
    let (status, request, server) = (reply.status, reply.request.clone(), reply.origin.authority());
    let retry_after = reply.headers.get(header::RETRY_AFTER).and_then(retry_after);
    let html = reply.header(header::CONTENT_TYPE).is_some_and(|content| content.starts_with("text/html"));
    let body = reply.start(MAX_ERROR_BYTES).await;
    let message = words(status, html, &body);
    match status {
        StatusCode::UNAUTHORIZED => RegistryError::Unauthorized { server, message },
        StatusCode::FORBIDDEN => RegistryError::Denied { server, message },
        StatusCode::NOT_FOUND if html => {
            RegistryError::Protocol { request, reason: "a web page; is this a registry?".to_owned() }
        }
        StatusCode::NOT_FOUND => RegistryError::NotFound { message, repository: has_code(&body, "NAME_UNKNOWN") },
        StatusCode::TOO_MANY_REQUESTS => RegistryError::RateLimited { server, message, retry_after },
        _ => RegistryError::Status { request, status: status.as_u16(), message },
    }
}

/// Whether the registry gives this code (distribution-spec, "Error Codes").
fn has_code(body: &[u8], code: &str) -> bool {
    serde_json::from_slice::<ErrorsWire>(body).is_ok_and(|wire| wire.errors.iter().any(|error| error.code == code))
}

/// Docker's form: `code in words: message`.
fn words(status: StatusCode, html: bool, body: &[u8]) -> String {
    let reason = status.canonical_reason().unwrap_or("an unknown status");
    if html {
        return format!("{reason} (a web page; is this a registry?)");
    }
    if let Ok(wire) = serde_json::from_slice::<ErrorsWire>(body) {
        let one = |error: &ErrorWire| {
            let code = error.code.to_ascii_lowercase().replace('_', " ");
            let message = clean(&error.message);
            match (code.is_empty(), message.is_empty()) {
                (false, false) => format!("{code}: {message}"),
                (false, true) => code,
                (true, _) => message,
            }
        };
        let all: Vec<String> = wire.errors.iter().take(3).map(one).filter(|text| !text.is_empty()).collect();
        if !all.is_empty() {
            return all.join("; ");
        }
        if let Some(details) = wire.details {
            return clean(&details);
        }
    }
    match clean(&String::from_utf8_lossy(body)) {
        text if text.is_empty() => reason.to_lowercase(),
        text => text,
    }
}

/// One line of printable characters.
fn clean(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
    text.trim().to_owned()
}

/// Seconds, or a date (RFC 9110 §10.2.3).
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = then.as_second() - jiff::Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}
