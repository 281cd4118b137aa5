//! From files to one node tree: documents, interpolation, `include`, `extends`, paths, merging.
//!
//! ```text
//! a file's document ─interpolate→ ─include→ ─extends→ ─absolute paths→ ─merge onto what came before→
//! ```
//!
//! The order is compose-go's: a service extends others of its own file (and of what that file includes), not what an
//! override file makes of them.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Report, Span};
use crate::environment::Environment;
use crate::interpolate;
use crate::loader::{Loader, reason};
use crate::merge::{merge, settle};
use crate::paths::Base;
use crate::yaml::{self, Node, Value};
use crate::{dotenv, suggest};

/// How many files one project may be read from.
const MAX_FILES: usize = 1_000;
/// How deep `include` and `extends` may be nested.
const MAX_CHAIN: usize = 64;

/// The sections that `include` brings in.
const SECTIONS: [&str; 6] = ["services", "volumes", "networks", "secrets", "configs", "models"];

/// Reads files and puts them together.
pub(crate) struct Sources<'a> {
    pub(crate) loader: &'a dyn Loader,
    pub(crate) report: &'a mut Report,
    /// Files below it are shown by their relative path.
    pub(crate) shown_from: &'a Path,
    pub(crate) home: Option<&'a str>,
    /// How much is left out.
    pub(crate) stages: Stages,
    pub(crate) read: usize,
}

/// Which stages are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stages {
    pub(crate) interpolate: bool,
    pub(crate) resolve_paths: bool,
}

/// A file and its documents.
pub(crate) struct Documents {
    pub(crate) path: PathBuf,
    pub(crate) documents: Vec<Node>,
}

impl Sources<'_> {
    /// Reads and parses a file.
    pub(crate) fn documents(&mut self, path: &Path, asked_at: Option<Span>) -> Option<Documents> {
        self.read += 1;
        if self.read > MAX_FILES {
            self.error(asked_at, format!("more than {MAX_FILES} files are read"));
            return None;
        }
        let text = self.text(path, asked_at)?;
        let number = self.report.add_file(self.shown(path), &text);
        let documents = yaml::parse(number, &text, self.report)?;
        for document in &documents {
            if document.entries().is_none() {
                let message = format!("a compose file must be a mapping, not {}", document.describe());
                self.report.error(document.span, message);
                return None;
            }
        }
        Some(Documents { path: path.to_owned(), documents })
    }

    pub(crate) fn text(&mut self, path: &Path, asked_at: Option<Span>) -> Option<String> {
        let bytes = match self.loader.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let message = format!("cannot read `{}`: {}", path.display(), reason(&error));
                self.error(asked_at, message);
                return None;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                self.error(asked_at, format!("`{}` is not UTF-8 text, from byte {at} on", path.display()));
                None
            }
        }
    }

    /// One tree of several files, each merged onto those before it. `folder` is what their paths are relative to.
    pub(crate) fn model(
        &mut self,
        files: Vec<Documents>,
        folder: &Path,
        environment: &Environment,
        chain: &[PathBuf],
    ) -> Node {
        let mut whole = Node::mapping(Span::default(), []);
        for Documents { path, documents } in files {
            for mut document in documents {
                self.interpolate(&mut document, environment);
                let base = Base { folder, home: self.home };
                self.include(&mut document, &base, environment, chain, &path);
                self.extend_all(&mut document, &base, environment, &path);
                if self.stages.resolve_paths {
                    base.resolve(&mut document);
                }
                let span = document.span;
                if whole.span == Span::default() {
                    whole.span = span;
                }
                whole = merge(whole, document, &[], self.report).unwrap_or_else(|| Node::mapping(span, []));
            }
        }
        settle(&mut whole);
        whole
    }

    fn interpolate(&mut self, document: &mut Node, environment: &Environment) {
        if self.stages.interpolate {
            let lookup = |name: &str| environment.get(name).map(str::to_owned);
            interpolate::interpolate(document, &lookup, self.report);
        }
    }

    fn include(
        &mut self,
        document: &mut Node,
        base: &Base<'_>,
        environment: &Environment,
        chain: &[PathBuf],
        file: &Path,
    ) {
        let Some(include) = document.remove("include") else { return };
        let Value::Sequence(entries) = include.value.value else {
            if !include.value.is_null() {
                self.report
                    .error(include.value.span, format!("`include` must be a list, not {}", include.value.describe()));
            }
            return;
        };
        let mut chain = chain.to_vec();
        chain.push(file.to_owned());
        for (index, entry) in entries.into_iter().enumerate() {
            if let Some(included) = self.included(&entry, index, base, environment, &chain) {
                self.import(document, included);
            }
        }
    }

    /// The tree of one entry of `include`.
    fn included(
        &mut self,
        entry: &Node,
        index: usize,
        base: &Base<'_>,
        environment: &Environment,
        chain: &[PathBuf],
    ) -> Option<Node> {
        let (paths, folder, env_files) = if entry.entries().is_some() {
            for unknown in entry.entries()?.iter().filter(|known| {
                !["path", "project_directory", "env_file"].contains(&known.key.as_str()) && !known.key.starts_with("x-")
            }) {
                let found =
                    self.report.error(unknown.key_span, format!("unknown key `{}` in `include[{index}]`", unknown.key));
                if let Some(nearest) = suggest::nearest(&unknown.key, ["path", "project_directory", "env_file"]) {
                    found.hint(format!("did you mean `{nearest}`?"));
                }
            }
            let folder = entry.get("project_directory").and_then(Node::as_text).map(|text| base.absolute(text));
            (self.words(entry.get("path"), entry.span, "include.path"), folder, entry.get("env_file"))
        } else {
            (self.words(Some(entry), entry.span, "include"), None, None)
        };
        let paths: Vec<PathBuf> = paths.iter().map(|path| base.absolute(path)).collect();
        let first = paths.first()?.clone();
        if chain.contains(&first) || chain.len() > MAX_CHAIN {
            let mut names: Vec<String> = chain.iter().map(|path| self.shown(path).display().to_string()).collect();
            names.push(self.shown(&first).display().to_string());
            self.report.error(entry.span, format!("files include each other in a cycle: {}", names.join(" → ")));
            return None;
        }
        let folder = folder.or_else(|| first.parent().map(Path::to_owned)).unwrap_or_default();
        let env_files = match env_files {
            Some(node) => {
                let words = self.words(Some(node), node.span, "include.env_file");
                let words = words.iter().filter(|word| *word != "/dev/null");
                words.map(|word| (base.absolute(word), true)).collect()
            }
            None => vec![(folder.join(".env"), false)],
        };
        let mut environment = environment.clone();
        for (path, required) in env_files {
            self.add_env_file(&path, required, &mut environment, entry.span);
        }
        let mut files = Vec::new();
        for path in &paths {
            files.push(self.documents(path, Some(entry.span))?);
        }
        Some(self.model(files, &folder, &environment, chain))
    }

    /// What is known already wins over the file.
    fn add_env_file(&mut self, path: &Path, required: bool, environment: &mut Environment, at: Span) {
        if !required && matches!(self.loader.read(path), Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
            return;
        }
        let Some(text) = self.text(path, Some(at)) else { return };
        let number = self.report.add_file(self.shown(path), &text);
        let values = dotenv::parse(number, &text, &|name| environment.get(name).map(str::to_owned), self.report);
        for (name, value) in values {
            environment.dotenv.entry(name).or_insert(value);
        }
    }

    /// Puts what was included below what the file says itself.
    fn import(&mut self, document: &mut Node, mut included: Node) {
        for section in SECTIONS {
            let Some(entry) = included.remove(section) else { continue };
            let Value::Mapping(resources) = entry.value.value else { continue };
            if document.get(section).is_none_or(Node::is_null) {
                document.set(section, Node::mapping(entry.value.span, []));
            }
            for resource in resources {
                let Some(own) = document.get_mut(section) else { continue };
                let merged = match own.remove(&resource.key) {
                    None => Some(resource.value),
                    Some(local) => merge(resource.value, local.value, &[section, &resource.key], self.report),
                };
                if let Some(merged) = merged {
                    own.set(&resource.key, merged);
                }
            }
        }
    }

    fn extend_all(&mut self, document: &mut Node, base: &Base<'_>, environment: &Environment, file: &Path) {
        let Some(services) = document.get("services").and_then(Node::entries) else { return };
        let names: Vec<String> = services
            .iter()
            .filter(|entry| entry.value.get("extends").is_some())
            .map(|entry| entry.key.clone())
            .collect();
        let Some(mut services) = document.remove("services").map(|entry| entry.value) else { return };
        for name in names {
            self.extend(&name, &mut services, base, environment, &mut vec![(file.to_owned(), name.clone())]);
        }
        document.set("services", services);
    }

    /// Replaces a service of a mapping of services by what it is with all that it extends.
    fn extend(
        &mut self,
        name: &str,
        services: &mut Node,
        base: &Base<'_>,
        environment: &Environment,
        chain: &mut Vec<(PathBuf, String)>,
    ) {
        let Some(extends) = services.get_mut(name).and_then(|service| service.remove("extends")) else { return };
        let at = extends.value.span;
        let (target, path) = match extends.value.entries() {
            None => (extends.value.as_text().map(str::to_owned), None),
            Some(_) => {
                let text = |key: &str| extends.value.get(key).and_then(Node::as_text).map(str::to_owned);
                (text("service"), text("file"))
            }
        };
        let Some(target) = target else {
            if !extends.value.is_null() {
                self.report.error(at, format!("`services.{name}.extends.service` is missing"));
            }
            return;
        };
        let file = path.as_deref().map_or_else(|| chain[chain.len() - 1].0.clone(), |path| base.absolute(path));
        let link = (file.clone(), target.clone());
        if chain.contains(&link) || chain.len() > MAX_CHAIN {
            let mut names: Vec<&str> = chain.iter().map(|(_, name)| name.as_str()).collect();
            names.push(&target);
            self.report.error(at, format!("services extend each other in a cycle: {}", names.join(" → ")));
            return;
        }
        chain.push(link);
        let parent = if path.is_some() {
            self.parent_in_file(&file, &target, environment, chain, at)
        } else {
            self.parent_here(name, &target, services, base, environment, chain, at)
        };
        chain.pop();
        let (Some(parent), Some(own)) = (parent, services.remove(name)) else { return };
        let merged = merge(parent, own.value, &["services", name], self.report);
        services.set(name, merged.unwrap_or_else(|| Node::null(at)));
    }

    #[expect(clippy::too_many_arguments, reason = "one recursion's state, named one by one")]
    fn parent_here(
        &mut self,
        name: &str,
        target: &str,
        services: &mut Node,
        base: &Base<'_>,
        environment: &Environment,
        chain: &mut Vec<(PathBuf, String)>,
        at: Span,
    ) -> Option<Node> {
        if services.get(target).is_none() {
            let found = self.report.error(at, format!("service `{name}` extends the undefined service `{target}`"));
            let known = services.entries().unwrap_or_default().iter().map(|entry| entry.key.as_str());
            if let Some(nearest) = suggest::nearest(target, known) {
                found.hint(format!("did you mean `{nearest}`?"));
            }
            return None;
        }
        self.extend(target, services, base, environment, chain);
        services.get(target).cloned()
    }

    fn parent_in_file(
        &mut self,
        file: &Path,
        target: &str,
        environment: &Environment,
        chain: &mut Vec<(PathBuf, String)>,
        at: Span,
    ) -> Option<Node> {
        let Documents { documents, .. } = self.documents(file, Some(at))?;
        let folder = file.parent().unwrap_or(file);
        let base = Base { folder, home: self.home };
        let mut whole = Node::mapping(at, []);
        for mut document in documents {
            self.interpolate(&mut document, environment);
            whole = merge(whole, document, &[], self.report)?;
        }
        let mut services = whole.remove("services")?.value;
        if services.get(target).is_none() {
            let message = format!("there is no service `{target}` in `{}`", self.shown(file).display());
            let found = self.report.error(at, message);
            let known = services.entries().unwrap_or_default().iter().map(|entry| entry.key.as_str());
            if let Some(nearest) = suggest::nearest(target, known) {
                found.hint(format!("did you mean `{nearest}`?"));
            }
            return None;
        }
        self.extend(target, &mut services, &base, environment, chain);
        let mut parent = services.remove(target)?.value;
        if self.stages.resolve_paths {
            base.service(&mut parent);
        }
        Some(parent)
    }

    /// A string or a list of strings.
    fn words(&mut self, node: Option<&Node>, at: Span, what: &str) -> Vec<String> {
        let wrong = |report: &mut Report, at| {
            report.error(at, format!("`{what}` must be a string or a list of strings"));
        };
        match node {
            Some(node) => match (node.as_text(), node.items()) {
                (Some(text), _) => vec![text.to_owned()],
                (None, Some(items)) => {
                    items.iter().filter(|item| item.as_text().is_none()).for_each(|item| wrong(self.report, item.span));
                    items.iter().filter_map(|item| item.as_text().map(str::to_owned)).collect()
                }
                (None, None) => {
                    wrong(self.report, node.span);
                    Vec::new()
                }
            },
            None => {
                wrong(self.report, at);
                Vec::new()
            }
        }
    }

    fn error(&mut self, at: Option<Span>, message: String) {
        match at {
            Some(at) => self.report.error(at, message),
            None => self.report.error_nowhere(message),
        };
    }

    pub(crate) fn shown<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(self.shown_from).unwrap_or(path)
    }
}
