//! Names of projects and services.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// The text cannot name a project.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "invalid project name `{0}`: it must consist of lower-case letters, digits, hyphens and underscores, and start with a letter or digit"
)]
pub struct InvalidProjectName(String);

/// The text cannot name a service.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("invalid name `{0}`: only letters, digits, `.`, `_` and `-` are allowed")]
pub struct InvalidServiceName(String);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $error:ident, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err($error(text.chars().take(80).collect())) }
            }
        }
    };
}

name! {
    /// A project's name: `[a-z0-9][a-z0-9_-]*`.
    ProjectName, InvalidProjectName, |text| {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        first && text.len() <= 128 && text.bytes().all(word)
    }
}

name! {
    /// A service's name, the key below `services`: `[a-zA-Z0-9._-]+`.
    ServiceName, InvalidServiceName, is_key
}

impl ProjectName {
    /// Makes a name out of any text, as Docker Compose does with a folder's: lower case, characters that are not allowed
    /// dropped, leading `_` and `-` trimmed. `None` when nothing is left.
    pub fn normalize(text: &str) -> Option<Self> {
        let kept: String = text
            .to_lowercase()
            .chars()
            .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
            .collect();
        kept.trim_start_matches(['_', '-']).parse().ok()
    }
}

/// Whether the text can be a key below `services`, `networks` or `volumes`.
pub(crate) fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
