//! A compose file as it is written: services, what they build, and where it stands.

use drua_dockerfile::{LineIndex, Span};

use crate::input::Text;
use crate::yaml::{self, Entry, Node};

/// A compose file.
#[derive(Debug)]
pub(crate) struct ComposeView<'i> {
    pub(crate) text: Text<'i>,
    pub(crate) index: LineIndex,
    pub(crate) root: Option<Node>,
    pub(crate) problem: Option<yaml::Problem>,
}

/// A service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service<'c> {
    pub(crate) name: &'c str,
    pub(crate) name_span: Span,
    pub(crate) node: &'c Node,
}

/// What a service builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPlace {
    /// The compose file.
    pub compose: String,
    /// The service.
    pub service: String,
    /// Path of the Dockerfile, like [`Text::path`].
    pub dockerfile: String,
    /// Path of the build context.
    pub context: String,
}

impl<'i> ComposeView<'i> {
    pub(crate) fn new(text: Text<'i>) -> Self {
        let index = LineIndex::new(text.text);
        match yaml::parse(text.text) {
            Ok(root) => Self { text, index, root, problem: None },
            Err(problem) => Self { text, index, root: None, problem: Some(problem) },
        }
    }

    pub(crate) fn services(&self) -> Vec<Service<'_>> {
        let entries = self.root.as_ref().and_then(|root| root.get("services")).and_then(Node::entries);
        let maps = entries.unwrap_or_default().iter().filter(|entry| entry.value.entries().is_some());
        maps.map(|entry| Service { name: &entry.key, name_span: entry.key_span, node: &entry.value }).collect()
    }

    /// The folder of the file, `.` for the project's root.
    pub(crate) fn folder(&self) -> &str {
        self.text.path.rsplit_once('/').map_or(".", |(folder, _)| folder)
    }
}

impl<'c> Service<'c> {
    pub(crate) fn get(&self, key: &str) -> Option<&'c Node> {
        self.node.get(key)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&'c Entry> {
        self.node.entry(key)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&'c str> {
        self.get(key).and_then(Node::as_text)
    }

    /// Context and Dockerfile, as paths from the project's root; `None` when it builds nothing here, or variables decide.
    pub(crate) fn build(&self, folder: &str) -> Option<(String, String)> {
        let build = self.get("build")?;
        let (context, dockerfile) = match build.as_text() {
            Some(context) => (context, None),
            None => {
                if build.get("dockerfile_inline").is_some() {
                    return None;
                }
                let context = build.get("context").and_then(Node::as_text).unwrap_or(".");
                (context, build.get("dockerfile").and_then(Node::as_text))
            }
        };
        let dockerfile = dockerfile.unwrap_or("Dockerfile");
        let is_elsewhere = |text: &str| text.contains('$') || text.contains("://") || text.starts_with("git@");
        if is_elsewhere(context) || is_elsewhere(dockerfile) {
            return None;
        }
        let context = join(folder, context);
        Some((context.clone(), join(&context, dockerfile)))
    }

    /// Where a finding about the service as such stands.
    pub(crate) fn span(&self) -> Span {
        self.name_span
    }
}

/// Joins paths by their text; `.` is the root.
pub(crate) fn join(folder: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let rooted = whole.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// What the services of compose files build, so that a caller knows which Dockerfiles and contexts belong to them.
pub fn builds_of(compose: &[Text<'_>]) -> Vec<BuildPlace> {
    let mut places = Vec::new();
    for text in compose {
        let view = ComposeView::new(*text);
        for service in view.services() {
            if let Some((context, dockerfile)) = service.build(view.folder()) {
                let (compose, service) = (text.path.to_owned(), service.name.to_owned());
                places.push(BuildPlace { compose, service, dockerfile, context });
            }
        }
    }
    places
}
