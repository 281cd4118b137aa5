//! Ignore files: what a team has decided not to act upon, why, and until when.
//!
//! ```yaml
//! ignore:
//!   - id: CVE-2023-1234          # or an alias; required
//!     package: openssl           # name or purl, `*` for any run of characters; all packages without it
//!     path: /usr/lib/*           # only where it lies there
//!     reason: TLS is not used    # required
//!     expires: 2026-12-31        # last day on which it holds
//! ```

use serde_json::Value;

use crate::advisory::yaml;
use crate::matching::{Finding, Suppression, SuppressionKind};
use crate::model::Sbom;
use crate::text::clean;

const MAX_BYTES: usize = 4 << 20;

/// An ignore file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// It is neither YAML nor JSON, or too long.
    #[error("cannot read the ignore file `{path}`: {reason}")]
    Syntax {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// An entry is wrong.
    #[error("entry {number} of the ignore file `{path}` {reason}")]
    Entry {
        /// The file.
        path: String,
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IgnoreEntry {
    /// The vulnerability.
    pub id: String,
    /// Pattern for names or purls of packages.
    pub package: Option<String>,
    /// Pattern for paths.
    pub path: Option<String>,
    /// Why.
    pub reason: String,
    /// Last day on which it holds; empty for ever.
    pub expires: String,
}

/// A file of decisions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IgnoreFile {
    /// Its path.
    pub path: String,
    /// The decisions.
    pub entries: Vec<IgnoreEntry>,
}

impl IgnoreEntry {
    /// Whether it holds no longer.
    pub fn is_expired(&self, today: &str) -> bool {
        !self.expires.is_empty() && self.expires.as_str() < today
    }
}

impl IgnoreFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no YAML or JSON; an entry lacks its id or its reason, has an unknown key, or a date that is none.
    pub fn parse(path: &str, text: &str) -> Result<Self, IgnoreError> {
        let syntax = |reason: String| IgnoreError::Syntax { path: path.to_owned(), reason };
        if text.len() > MAX_BYTES {
            return Err(syntax("it has more than 4 MiB".to_owned()));
        }
        let value = yaml::parse(text).map_err(syntax)?;
        let list = value.get("ignore").and_then(Value::as_array);
        let list = list.ok_or_else(|| syntax("it has no list `ignore`".to_owned()))?;
        let entries = list.iter().enumerate().map(|(index, value)| {
            entry(value).map_err(|reason| IgnoreError::Entry { path: path.to_owned(), number: index + 1, reason })
        });
        Ok(Self { path: path.to_owned(), entries: entries.collect::<Result<_, _>>()? })
    }

    /// The first entry that still holds and means a finding, with its place.
    pub(super) fn find(&self, finding: &Finding, sbom: &Sbom, today: &str) -> Option<(usize, Suppression)> {
        let package = &sbom.packages[finding.package];
        let purl = package.purl(sbom.distro.as_ref()).to_string();
        let index = self.entries.iter().position(|entry| {
            let named = |pattern: &String| {
                glob(pattern, &package.name) || glob(pattern, &purl) || purl.starts_with(&format!("{pattern}?"))
            };
            let lies = |pattern: &String| package.locations.iter().any(|location| glob(pattern, &location.path));
            !entry.is_expired(today)
                && finding.is(&entry.id)
                && entry.package.as_ref().is_none_or(named)
                && entry.path.as_ref().is_none_or(lies)
        })?;
        let reason = self.entries[index].reason.clone();
        Some((index, Suppression { kind: SuppressionKind::Ignored, reason, by: self.path.clone() }))
    }
}

fn entry(value: &Value) -> Result<IgnoreEntry, String> {
    let fields = value.as_object().ok_or("is no mapping")?;
    let mut entry = IgnoreEntry::default();
    for (key, value) in fields {
        let text =
            value.as_str().map(|text| clean(text, 2000)).ok_or_else(|| format!("has a `{key}` that is no text"))?;
        match key.as_str() {
            "id" => entry.id = text,
            "package" => entry.package = Some(text),
            "path" => entry.path = Some(text),
            "reason" => entry.reason = text,
            "expires" => entry.expires = text,
            _ => return Err(format!("has the unknown key `{key}`; known are id, package, path, reason and expires")),
        }
    }
    if entry.id.is_empty() {
        return Err("has no `id`".to_owned());
    }
    if entry.reason.is_empty() {
        return Err(format!("has no `reason` for ignoring {}", entry.id));
    }
    if !entry.expires.is_empty() && entry.expires.parse::<jiff::civil::Date>().is_err() {
        return Err(format!("has `expires: {}`, which is no date like 2026-12-31", entry.expires));
    }
    Ok(entry)
}

/// `*` for any run of characters, everything else for itself. Linear but for the stars, of which each is tried once.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return text.is_empty() };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
