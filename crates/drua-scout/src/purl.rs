//! Package URLs (github.com/package-url/purl-spec): `pkg:type/namespace/name@version?qualifiers#subpath`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::{Distro, Package, PackageKind};

/// Texts longer than this are no purls but attacks.
const MAX_LENGTH: usize = 8192;

/// A package URL. [`fmt::Display`] gives the canonical spelling: qualifiers sorted, everything percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Purl {
    /// `deb`, `npm`, in lower case.
    pub ty: String,
    /// `debian`, `@scope`, `org.apache.commons`, `github.com/a`; empty when there is none.
    pub namespace: String,
    /// Name without the namespace.
    pub name: String,
    /// Version; empty when there is none.
    pub version: String,
    /// Qualifiers; none is empty.
    pub qualifiers: BTreeMap<String, String>,
    /// Path inside the package; empty when there is none.
    pub subpath: String,
}

/// The text is not a package URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a package URL: {reason}")]
pub struct InvalidPurl {
    text: String,
    reason: &'static str,
}

impl Purl {
    /// The purl of a package. OS packages get `arch`, `distro` and, when it differs, `upstream`, by which other tools
    /// find advisories of source packages.
    pub fn of(package: &Package, distro: Option<&Distro>) -> Self {
        let kind = package.kind;
        let (namespace, name) = split(kind, &package.name);
        let namespace = package.namespace.clone().unwrap_or(namespace);
        let mut qualifiers = package.qualifiers.clone();
        if let Some(arch) = package.arch.as_ref().filter(|arch| !arch.is_empty()) {
            qualifiers.entry("arch".to_owned()).or_insert_with(|| arch.clone());
        }
        let mut version = package.version.clone();
        if kind.is_os() {
            if let Some(distro) = distro.filter(|distro| !distro.id.is_empty()) {
                let id = match distro.version_id.as_str() {
                    "" => distro.id.clone(),
                    version => format!("{}-{version}", distro.id),
                };
                qualifiers.entry("distro".to_owned()).or_insert(id);
            }
            if let Some(source) = &package.source {
                let upstream = match (source.name == package.name, source.version == package.version) {
                    (true, true) => None,
                    (_, true) => Some(source.name.clone()),
                    (_, false) => Some(format!("{}@{}", source.name, source.version)),
                };
                if let Some(upstream) = upstream {
                    qualifiers.entry("upstream".to_owned()).or_insert(upstream);
                }
            }
        }
        if kind == PackageKind::Rpm
            && let Some((epoch, rest)) = package.version.split_once(':')
        {
            qualifiers.entry("epoch".to_owned()).or_insert_with(|| epoch.to_owned());
            version = rest.to_owned();
        }
        Self { ty: kind.purl_type().to_owned(), namespace, name, version, qualifiers, subpath: String::new() }
    }

    /// The kind of package that this type stands for; [`PackageKind::Generic`] for types drua does not know.
    pub fn kind(&self) -> PackageKind {
        match self.ty.as_str() {
            "opkg" => PackageKind::Deb,
            ty => ty.parse().unwrap_or(PackageKind::Generic),
        }
    }

    /// Namespace and name in the ecosystem's own spelling, as [`Package::name`] has it.
    pub fn full_name(&self) -> String {
        match self.kind() {
            _ if self.namespace.is_empty() => self.name.clone(),
            kind if kind.is_os() => self.name.clone(),
            PackageKind::Maven => format!("{}:{}", self.namespace, self.name),
            _ => format!("{}/{}", self.namespace, self.name),
        }
    }
}

/// Namespace and name of a purl, from a full name.
fn split(kind: PackageKind, full: &str) -> (String, String) {
    let owned = |(namespace, name): (&str, &str)| (namespace.to_owned(), name.to_owned());
    let last = || full.rsplit_once('/').map_or_else(|| (String::new(), full.to_owned()), owned);
    match kind {
        PackageKind::Maven => full.split_once(':').map_or_else(|| (String::new(), full.to_owned()), owned),
        PackageKind::Golang | PackageKind::Composer | PackageKind::Github | PackageKind::Npm | PackageKind::Swift => {
            last()
        }
        // PEP 503: names are the same whatever stands between their words.
        PackageKind::Pypi => (String::new(), full.to_ascii_lowercase().replace(['_', '.'], "-")),
        PackageKind::Pub | PackageKind::Hex => (String::new(), full.to_ascii_lowercase()),
        PackageKind::Apk
        | PackageKind::Alpm
        | PackageKind::Deb
        | PackageKind::Rpm
        | PackageKind::Cargo
        | PackageKind::Conan
        | PackageKind::Cocoapods
        | PackageKind::Gem
        | PackageKind::Generic
        | PackageKind::Nuget
        | PackageKind::Oci
        | PackageKind::Wasm => (String::new(), full.to_owned()),
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:{}/", self.ty)?;
        for part in self.namespace.split('/').filter(|part| !part.is_empty()) {
            write!(f, "{}/", encode(part, ""))?;
        }
        f.write_str(&encode(&self.name, ""))?;
        if !self.version.is_empty() {
            write!(f, "@{}", encode(&self.version, ":"))?;
        }
        let mut separator = '?';
        for (key, value) in self.qualifiers.iter().filter(|(_, value)| !value.is_empty()) {
            write!(f, "{separator}{key}={}", encode(value, ":/"))?;
            separator = '&';
        }
        if !self.subpath.is_empty() {
            write!(f, "#{}", encode(&self.subpath, "/:"))?;
        }
        Ok(())
    }
}

/// Percent-encodes everything but unreserved characters and those of `keep`.
fn encode(text: &str, keep: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl FromStr for Purl {
    type Err = InvalidPurl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidPurl { text: text.chars().take(120).collect(), reason };
        if text.len() > MAX_LENGTH {
            return Err(invalid("too long"));
        }
        let rest = text.strip_prefix("pkg:").ok_or_else(|| invalid("it does not begin with `pkg:`"))?;
        let (rest, subpath) = rest.rsplit_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.rsplit_once('?').unwrap_or((rest, ""));
        let rest = rest.trim_matches('/');
        let (ty, path) = rest.split_once('/').ok_or_else(|| invalid("it has no name"))?;
        // A scope may stand there unencoded (`pkg:npm/@scope/name@1`): only an `@` after the last slash begins a version.
        let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
        let version_at = path[name_at..].find('@').map(|at| name_at + at).filter(|at| *at > 0);
        let (path, version) = version_at.map_or((path, ""), |at| (&path[..at], &path[at + 1..]));
        let (namespace, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() || ty.is_empty() {
            return Err(invalid("it has no name"));
        }
        let qualifiers = query.split('&').filter_map(|pair| pair.split_once('='));
        Ok(Self {
            ty: ty.to_ascii_lowercase(),
            namespace: decode(namespace),
            name: decode(name),
            version: decode(version),
            qualifiers: qualifiers
                .map(|(key, value)| (key.to_ascii_lowercase(), decode(value)))
                .filter(|(_, value)| !value.is_empty())
                .collect(),
            subpath: decode(subpath.trim_matches('/')),
        })
    }
}
