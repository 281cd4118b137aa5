use std::fmt;
use std::str::FromStr;

use crate::{Digest, serde_by_str};

/// The text is not an image reference.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum InvalidImageRef {
    /// It does not follow the grammar of `distribution/reference`.
    #[error("invalid reference format: `{0}`")]
    Format(String),
    /// Repository names are lower case.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
}

/// A name for an image, normalised as Docker does it: `redis` is `docker.io/library/redis:latest`.
///
/// The tag defaults to `latest` unless there is a digest. At most 255 characters before the tag, 128 in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageRef {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageRef {
    /// The registry, for example `docker.io` or `localhost:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry, for example `library/redis`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; `None` only when there is a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when the image is named by it.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Repository as people write it: `redis`, `bitnami/redis`, `localhost:5000/x`.
    pub fn familiar_repository(&self) -> String {
        match (self.domain.as_str(), self.path.strip_prefix("library/")) {
            ("docker.io", Some(official)) if !official.contains('/') => official.to_owned(),
            ("docker.io", _) => self.path.clone(),
            _ => format!("{}/{}", self.domain, self.path),
        }
    }

    /// As people write it: `redis:latest`.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_repository(), self.suffix())
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{tag}{digest}")
    }
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = text.bytes();
    text.len() <= 128 && bytes.next().is_some_and(word) && bytes.all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or dashes (distribution/reference, path-component).
fn is_path_component(text: &str) -> bool {
    let alnum = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    if bytes.is_empty() || !alnum(bytes[0]) || !alnum(bytes[bytes.len() - 1]) {
        return false;
    }
    let separators_ok = text
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'));
    separators_ok && bytes.iter().all(|&b| alnum(b) || matches!(b, b'.' | b'_' | b'-'))
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_ok = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_ok = match v6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    port_ok && host_ok
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl FromStr for ImageRef {
    type Err = InvalidImageRef;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidImageRef::Format(text.chars().take(300).collect());
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|_| invalid())?)),
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before it belongs to the registry's port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) || name.is_empty() || name.len() > 255 {
            return Err(invalid());
        }
        let (domain, path) = match name.split_once('/') {
            Some((first, path))
                if first.contains(['.', ':']) || first == "localhost" || first.to_ascii_lowercase() != first =>
            {
                (first, path.to_owned())
            }
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidImageRef::Uppercase(name.to_owned()));
        }
        if !is_domain(domain) || !path.split('/').all(is_path_component) {
            return Err(invalid());
        }
        let path = if domain == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path };
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { domain: domain.to_owned(), path, tag, digest })
    }
}

serde_by_str!(ImageRef);
