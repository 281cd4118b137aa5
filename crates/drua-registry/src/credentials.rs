//! Who asks: as the Docker API carries it in `X-Registry-Auth`, and as `config.json` stores it.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

/// Clients pad or do not, and some use the standard alphabet where the URL-safe one is asked for.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The text is not the base64 JSON that the API wants.
#[derive(Debug, thiserror::Error)]
#[error("the registry credentials are not base64 JSON")]
pub struct InvalidCredentials;

/// How to prove who we are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    Anonymous,
    /// With a name and a password.
    Password {
        /// The name.
        username: String,
        /// The password, or a personal access token.
        password: Secret,
    },
    /// With a refresh token (OAuth 2), which a login gave.
    IdentityToken(Secret),
    /// With a bearer token as it is.
    RegistryToken(Secret),
}

/// moby's `registry.AuthConfig`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    username: Option<String>,
    password: Option<Secret>,
    auth: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

impl Credentials {
    /// Reads an `X-Registry-Auth` header.
    ///
    /// # Errors
    /// When it is not base64 JSON. Docker takes such a header for none at all.
    pub fn from_header(text: &str) -> Result<Self, InvalidCredentials> {
        let bytes = decode(text).ok_or(InvalidCredentials)?;
        Self::from_json(&bytes)
    }

    /// Reads the JSON object inside of the header, which is also the body of `POST /auth`.
    ///
    /// # Errors
    /// When it is no such JSON.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidCredentials> {
        let wire: Wire = serde_json::from_slice(bytes).map_err(|_| InvalidCredentials)?;
        let given = |secret: Option<Secret>| secret.filter(|secret| !secret.0.is_empty());
        if let Some(token) = given(wire.registrytoken) {
            return Ok(Self::RegistryToken(token));
        }
        if let Some(token) = given(wire.identitytoken) {
            return Ok(Self::IdentityToken(token));
        }
        match (wire.username.filter(|name| !name.is_empty()), given(wire.password), given(wire.auth)) {
            (Some(username), Some(password), _) => Ok(Self::Password { username, password }),
            (_, _, Some(auth)) => Self::from_basic(auth.expose()).ok_or(InvalidCredentials),
            _ => Ok(Self::Anonymous),
        }
    }

    /// Reads `base64(name:password)`, the `auth` of `config.json`.
    pub fn from_basic(text: &str) -> Option<Self> {
        let decoded = String::from_utf8(decode(text)?).ok()?;
        let (username, password) = decoded.split_once(':')?;
        // Old clients end the password with a NUL byte.
        let password = Secret::new(password.trim_matches('\0'));
        Some(Self::Password { username: username.to_owned(), password })
    }

    /// The value of an `Authorization: Basic` header, where there is a password.
    pub(crate) fn basic(&self) -> Option<Secret> {
        let Self::Password { username, password } = self else { return None };
        let text = format!("{username}:{}", password.expose());
        Some(Secret(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))))
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let url_safe: String = text.trim().replace('+', "-").replace('/', "_");
    GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT).decode(url_safe).ok()
}
