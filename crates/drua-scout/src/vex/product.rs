//! Whether a name in a VEX document means the image, or one of its packages.

use crate::model::{Package, Sbom, Target};
use crate::purl::Purl;

/// Whether an id means the scanned image: by digest, or by name and tag, however the registry is spelled.
pub(super) fn is_target(id: &str, target: &Target) -> bool {
    let digests = [target.digest.as_deref(), target.image_id.as_deref()];
    let wanted = match id.parse::<Purl>() {
        Ok(purl) if matches!(purl.ty.as_str(), "oci" | "docker") => Wanted::of_purl(&purl),
        Ok(_) => return false,
        Err(_) => Wanted::of_reference(id),
    };
    if wanted.digest.as_deref().is_some_and(|digest| digests.contains(&Some(digest))) {
        return true;
    }
    if wanted.digest.is_some() {
        return false;
    }
    let names = target.tags.iter().chain([&target.name]).map(|name| Wanted::of_reference(name));
    names.into_iter().any(|name| name.means(&wanted))
}

/// Whether an id means a package: the same type, namespace and name; version and qualifiers as far as the id has them.
pub(super) fn is_package(id: &str, package: &Package, sbom: &Sbom) -> bool {
    let Ok(wanted) = id.parse::<Purl>() else { return false };
    let own = package.purl(sbom.distro.as_ref());
    let version = |purl: &Purl| match purl.qualifiers.get("epoch").filter(|epoch| *epoch != "0") {
        Some(epoch) if !purl.version.contains(':') => format!("{epoch}:{}", purl.version),
        _ => purl.version.clone(),
    };
    let plain = |name: &str| name.to_lowercase();
    wanted.ty == own.ty
        && plain(&wanted.name) == plain(&own.name)
        && (wanted.namespace.is_empty() || plain(&wanted.namespace) == plain(&own.namespace))
        && (wanted.version.is_empty() || version(&wanted) == version(&own))
        && ["arch", "distro"].iter().all(|key| match (wanted.qualifiers.get(*key), own.qualifiers.get(*key)) {
            (Some(wanted), Some(own)) => wanted == own || own.starts_with(&format!("{wanted}.")),
            _ => true,
        })
}

/// An image's name, in parts.
struct Wanted {
    /// With registry and namespace where they are said: `docker.io/library/alpine`.
    repository: String,
    /// Whether the registry was said.
    is_full: bool,
    tag: Option<String>,
    digest: Option<String>,
}

impl Wanted {
    fn of_purl(purl: &Purl) -> Self {
        let (digest, tag) = match purl.version.starts_with("sha256:") {
            true => (Some(purl.version.clone()), None),
            false => (None, Some(purl.version.clone()).filter(|version| !version.is_empty())),
        };
        let tag = purl.qualifiers.get("tag").cloned().or(tag);
        let repository = match purl.qualifiers.get("repository_url") {
            Some(url) if url.ends_with(&purl.name) => url.clone(),
            Some(url) => format!("{url}/{}", purl.full_name()),
            None => purl.full_name(),
        };
        let is_full = purl.ty == "docker" || purl.qualifiers.contains_key("repository_url");
        Self { repository: full_repository(&repository), is_full, tag, digest }
    }

    fn of_reference(reference: &str) -> Self {
        let (rest, digest) = match reference.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (reference, None),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag.to_owned())),
            _ => (rest, None),
        };
        Self { repository: full_repository(repository), is_full: true, tag, digest }
    }

    /// Whether this name of the image is what a document means: without a tag it means every tag.
    fn means(&self, wanted: &Self) -> bool {
        let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let same = if wanted.is_full {
            self.repository == wanted.repository
        } else {
            last(&self.repository) == last(&wanted.repository)
        };
        let own_tag = self.tag.as_deref().unwrap_or("latest");
        same && wanted.tag.as_deref().is_none_or(|tag| tag == own_tag)
    }
}

/// `alpine` and `index.docker.io/library/alpine` are `docker.io/library/alpine`.
fn full_repository(name: &str) -> String {
    let name = name.trim_start_matches("https://").trim_end_matches('/');
    let has_registry =
        name.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost");
    let full = match (has_registry, name.contains('/')) {
        (true, _) => name.to_owned(),
        (false, true) => format!("docker.io/{name}"),
        (false, false) => format!("docker.io/library/{name}"),
    };
    match full.strip_prefix("index.docker.io/").or_else(|| full.strip_prefix("registry-1.docker.io/")) {
        Some(rest) => format!("docker.io/{rest}"),
        None => full,
    }
}
