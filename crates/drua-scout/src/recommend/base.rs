//! Which base image this is, and how sure that is.
//!
//! ```text
//!  rung         evidence                                                        sure
//!  provenance   the build's own record of what it pulled                        100 %
//!  annotation   org.opencontainers.image.base.{name,digest}                      95 %
//!  layers       another image's layers are the first layers of this one          90 %
//!  history      instructions of official images, kept in the history             60 %
//!  system       os-release                                                       30 %
//! ```

use serde::Serialize;

use crate::model::Sbom;

/// What a base image was recognised by, the surest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// `os-release`.
    System,
    /// The history's instructions.
    History,
    /// Layers of a known image.
    Layers,
    /// Annotations or labels.
    Annotation,
    /// The build's provenance.
    Provenance,
}

impl Rung {
    /// How sure it is, in percent.
    pub fn confidence_pct(self) -> u8 {
        match self {
            Self::Provenance => 100,
            Self::Annotation => 95,
            Self::Layers => 90,
            Self::History => 60,
            Self::System => 30,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Provenance => "the build's provenance",
            Self::Annotation => "its annotations",
            Self::Layers => "the layers of an image that is here",
            Self::History => "its history",
            Self::System => "its operating system",
        }
    }
}

/// A base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseImage {
    /// `python`, `ghcr.io/acme/base`: without tag.
    pub repository: String,
    /// `3.12-slim`; empty when unknown.
    pub tag: String,
    /// Digest of the index or manifest that was used, when known.
    pub digest: Option<String>,
    /// How many of the image's layers are the base's; none when unknown.
    pub layers: Option<usize>,
    /// By what it was recognised.
    pub rung: Rung,
    /// Bases of the base whose layers are known, the nearest first: name, layers.
    pub hierarchy: Vec<(String, usize)>,
}

impl BaseImage {
    /// `python:3.12-slim`.
    pub fn name(&self) -> String {
        if self.tag.is_empty() { self.repository.clone() } else { format!("{}:{}", self.repository, self.tag) }
    }

    /// Docker's name of an official image, `python`; none for others.
    pub fn official(&self) -> Option<&str> {
        let name = self.repository.strip_prefix("docker.io/").unwrap_or(&self.repository);
        let name = name.strip_prefix("library/").unwrap_or(name);
        (!name.contains('/')).then_some(name)
    }
}

/// An image whose layers are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownImage {
    /// Its names: `python:3.12-slim`.
    pub names: Vec<String>,
    /// `sha256:…` of its layers, the lowest first.
    pub diff_ids: Vec<String>,
}

/// What a provenance says about a base: name and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenanceBase {
    /// `docker.io/library/python:3.12-slim`.
    pub name: String,
    /// `sha256:…`.
    pub digest: Option<String>,
}

/// The base of an image by the best evidence there is. None for what has no base: directories, images from scratch.
pub fn base_image(sbom: &Sbom, known: &[KnownImage], provenance: Option<&ProvenanceBase>) -> Option<BaseImage> {
    let by_layers = by_layers(sbom, known);
    let count = by_layers.as_ref().and_then(|base| base.layers).or_else(|| base_layers(sbom));
    let hierarchy = by_layers.as_ref().map(|base| base.hierarchy.clone()).unwrap_or_default();
    let named = |name: &str, digest: Option<String>, rung| {
        let (repository, tag) = split(name);
        BaseImage { repository, tag, digest, layers: count, rung, hierarchy: hierarchy.clone() }
    };
    if let Some(base) = provenance {
        return Some(named(&base.name, base.digest.clone(), Rung::Provenance));
    }
    let target = &sbom.target;
    let said =
        |key: &str| target.annotations.get(key).or_else(|| target.labels.get(key)).filter(|value| !value.is_empty());
    if let Some(name) = said("org.opencontainers.image.base.name") {
        return Some(named(name, said("org.opencontainers.image.base.digest").cloned(), Rung::Annotation));
    }
    by_layers.or_else(|| by_history(sbom, count)).or_else(|| by_system(sbom, count))
}

/// Image and tag, without digest.
fn split(name: &str) -> (String, String) {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (name.to_owned(), String::new()),
    }
}

/// The longest run of layers that another image is; of several with the same layers official ones first, then the one with
/// the most specific tag.
fn by_layers(sbom: &Sbom, known: &[KnownImage]) -> Option<BaseImage> {
    let own: Vec<&str> = sbom.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    let is_self = |image: &KnownImage| image.names.iter().any(|name| sbom.target.tags.contains(name));
    let mut prefixes: Vec<(usize, &String)> = known
        .iter()
        .filter(|image| {
            let count = image.diff_ids.len();
            // The whole image is a base only of an image that added nothing but configuration, which cannot be told.
            count > 0
                && count < own.len()
                && !is_self(image)
                && image.diff_ids.iter().map(String::as_str).eq(own[..count].iter().copied())
        })
        .flat_map(|image| image.names.iter().map(|name| (image.diff_ids.len(), name)))
        .collect();
    let rank = |name: &str| {
        let (repository, tag) = split(name);
        let plain = repository.strip_prefix("docker.io/library/").unwrap_or(&repository).to_owned();
        (!plain.contains('/'), tag != "latest", tag.len())
    };
    prefixes.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| rank(b.1).cmp(&rank(a.1))).then_with(|| a.1.cmp(b.1)));
    let (layers, name) = *prefixes.first()?;
    let mut hierarchy: Vec<(String, usize)> = Vec::new();
    for (count, name) in prefixes.iter().skip(1) {
        if *count < hierarchy.last().map_or(layers, |(_, last)| *last) {
            hierarchy.push(((*name).clone(), *count));
        }
    }
    let (repository, tag) = split(name);
    Some(BaseImage { repository, tag, digest: None, layers: Some(layers), rung: Rung::Layers, hierarchy })
}

/// Where the base ends by the history: official images end in CMD, and what is built on them sets its own later.
///
/// Not surer than a guess: an image without CMD, or one that was built on itself, is read wrongly.
fn base_layers(sbom: &Sbom) -> Option<usize> {
    let history = &sbom.target.history;
    let has_layer: std::collections::HashSet<usize> =
        sbom.layers.iter().filter_map(|layer| layer.history_index).collect();
    if history.is_empty() || has_layer.is_empty() {
        return None;
    }
    let is_cmd = |text: &str| {
        let text = text.trim_start_matches("/bin/sh -c ").trim_start_matches("#(nop)").trim();
        text.starts_with("CMD ")
    };
    // What the image itself sets at its end is not the base's end.
    let mut at = history.len();
    while at > 0 && !has_layer.contains(&(at - 1)) {
        at -= 1;
    }
    let end = (0..at).rev().find(|index| !has_layer.contains(index) && is_cmd(&history[*index]))?;
    let count = sbom.layers.iter().filter(|layer| layer.history_index.is_some_and(|index| index < end)).count();
    (count > 0).then_some(count)
}

/// Variables that official images set, and the image that does.
const VARIABLES: [(&str, &str); 16] = [
    ("PYTHON_VERSION", "python"),
    ("NODE_VERSION", "node"),
    ("GOLANG_VERSION", "golang"),
    ("RUST_VERSION", "rust"),
    ("RUBY_VERSION", "ruby"),
    ("PHP_VERSION", "php"),
    ("JAVA_VERSION", "eclipse-temurin"),
    ("NGINX_VERSION", "nginx"),
    ("REDIS_VERSION", "redis"),
    ("PG_VERSION", "postgres"),
    ("MYSQL_VERSION", "mysql"),
    ("MARIADB_VERSION", "mariadb"),
    ("MONGO_VERSION", "mongo"),
    ("HTTPD_VERSION", "httpd"),
    ("HAPROXY_VERSION", "haproxy"),
    ("ERLANG_VERSION", "erlang"),
];

fn by_history(sbom: &Sbom, layers: Option<usize>) -> Option<BaseImage> {
    let distro = sbom.distro.as_ref();
    let on = match distro.map(|distro| distro.id.as_str()) {
        Some("alpine") => format!("alpine{}", distro.map(|distro| minor(&distro.version_id)).unwrap_or_default()),
        Some("debian") => distro.map(|distro| distro.codename.clone()).unwrap_or_default(),
        _ => String::new(),
    };
    // The last one: `python` is built on images that set variables of their own.
    for entry in sbom.target.history.iter().rev() {
        for (variable, repository) in VARIABLES {
            let Some(at) = entry.find(&format!("{variable}=")) else { continue };
            let value = entry[at + variable.len() + 1..].trim_start_matches(['"', '\'']);
            let version: String =
                value.chars().take_while(|c| c.is_ascii_alphanumeric() || "._".contains(*c)).collect();
            if version.starts_with(|c: char| c.is_ascii_digit()) {
                let slim = if sbom.is_slim() && !on.is_empty() && !on.starts_with("alpine") { "-slim" } else { "" };
                let tag = if on.is_empty() { version } else { format!("{version}{slim}-{on}") };
                return Some(base(repository, &tag, layers, Rung::History));
            }
        }
    }
    // `# debian.sh --arch 'amd64' out/ 'bookworm' '@1731283200'`.
    let line = sbom.target.history.iter().find(|entry| entry.contains("# debian.sh "))?;
    let suite = line.split('\'').nth(3)?;
    Some(base("debian", suite, layers, Rung::History))
}

fn by_system(sbom: &Sbom, layers: Option<usize>) -> Option<BaseImage> {
    let distro = sbom.distro.as_ref()?;
    if sbom.layers.is_empty() {
        return None;
    }
    let (repository, tag) = match distro.id.as_str() {
        "alpine" => ("alpine", distro.version_id.clone()),
        "debian" => ("debian", distro.codename.clone()),
        "ubuntu" => ("ubuntu", distro.version_id.clone()),
        "fedora" => ("fedora", distro.version_id.clone()),
        "almalinux" => ("almalinux", distro.version_id.clone()),
        "rocky" => ("rockylinux", distro.version_id.clone()),
        "amzn" => ("amazonlinux", distro.version_id.clone()),
        _ => return None,
    };
    Some(base(repository, &tag, layers, Rung::System))
}

fn base(repository: &str, tag: &str, layers: Option<usize>, rung: Rung) -> BaseImage {
    BaseImage {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: None,
        layers,
        rung,
        hierarchy: Vec::new(),
    }
}

fn minor(version: &str) -> String {
    version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

impl Sbom {
    /// Whether a Debian image lacks the compilers that the larger of the official images have.
    fn is_slim(&self) -> bool {
        !self.packages.iter().any(|package| matches!(package.name.as_str(), "gcc" | "build-essential" | "libc6-dev"))
    }
}
