//! Names of images, taken apart far enough to judge them.

/// An image's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The whole name.
    pub(crate) text: String,
    /// Registry, when the name has one.
    pub(crate) registry: Option<String>,
    /// Name without registry, tag and digest; `library/` taken off.
    pub(crate) name: String,
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<String>,
}

impl Reference {
    pub(crate) fn parse(text: &str) -> Self {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
            _ => (rest, None),
        };
        let (registry, name) = match path.split_once('/') {
            Some((first, name)) if first.contains(['.', ':']) || first == "localhost" => (Some(first.to_owned()), name),
            _ => (None, path),
        };
        let name = name.strip_prefix("library/").unwrap_or(name).to_owned();
        Self { text: text.to_owned(), registry, name, tag, digest }
    }

    /// The name without its folders: `node` of `docker.io/library/node`.
    pub(crate) fn short(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    /// Whether it is one of Docker Hub's official images.
    pub(crate) fn is_official(&self) -> bool {
        !self.name.contains('/') && matches!(self.registry.as_deref(), None | Some("docker.io" | "index.docker.io"))
    }

    /// The tag, `latest` when there is none.
    pub(crate) fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }
}
