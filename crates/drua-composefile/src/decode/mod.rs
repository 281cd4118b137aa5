//! Nodes to the model: validation by reading.
//!
//! Each object has one reader that takes the attributes it knows out of [`Fields`] and then calls [`Fields::finish`], which
//! reports what is left: attributes of the specification that drua does not implement yet (the [`Later`] tables), and
//! unknown ones with a suggestion. Readers report and go on, so that one run shows every mistake.
//!
//! Nothing here looks from one object to another; that is [`check`](crate::check).

mod attachment;
mod fields;
mod mounts;
mod ports;
mod project;
mod resources;
mod service;
mod values;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

pub(crate) use fields::{Field, Fields, Later};
pub(crate) use project::project;

use crate::diagnostic::{Report, Span};
use crate::model::{Network, Service, Volume};
use crate::names::{ProjectName, ServiceName};

/// A compose file as it was written, in the types of the model.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) name: Option<ProjectName>,
    pub(crate) services: BTreeMap<ServiceName, DecodedService>,
    /// Names are empty where none was given.
    pub(crate) networks: BTreeMap<String, Network>,
    /// Names are empty where none was given.
    pub(crate) volumes: BTreeMap<String, Volume>,
    pub(crate) places: Places,
}

/// A service whose environment files have not been read.
#[derive(Debug)]
pub(crate) struct DecodedService {
    pub(crate) service: Service,
    pub(crate) env_files: Vec<EnvFile>,
}

/// An entry of `env_file`.
#[derive(Debug)]
pub(crate) struct EnvFile {
    pub(crate) path: PathBuf,
    pub(crate) required: bool,
    /// `format: raw`: values are taken as they are.
    pub(crate) raw: bool,
    pub(crate) span: Span,
}

/// Where things were written, by path (`services.web.depends_on.db`), for checks that come later.
#[derive(Debug, Default)]
pub(crate) struct Places(HashMap<String, Span>);

impl Places {
    /// The place of a path, or of the nearest enclosing one that is known.
    pub(crate) fn get(&self, path: &str) -> Span {
        let mut path = path;
        loop {
            if let Some(span) = self.0.get(path) {
                return *span;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return Span::default(),
            }
        }
    }
}

/// What readers share.
pub(crate) struct Decoder<'a> {
    pub(crate) report: &'a mut Report,
    pub(crate) places: Places,
    /// What relative paths are relative to.
    pub(crate) base: &'a Path,
    /// What `~` stands for.
    pub(crate) home: Option<&'a str>,
}

impl Decoder<'_> {
    /// Remembers where a path was written.
    fn place(&mut self, path: &str, span: Span) {
        self.places.0.insert(path.to_owned(), span);
    }

    /// Reports that the field's value has the wrong type.
    fn expected(&mut self, field: &Field<'_>, what: &str) {
        let found = self
            .report
            .error(field.node.span, format!("`{}` must be {what}, not {}", field.path, field.node.describe()));
        if what == "a string" && matches!(field.node.describe(), "a number" | "a boolean") {
            found.hint("put it in quotes");
        }
    }

    /// Reports that the field's value is of the right type and wrong.
    fn invalid(&mut self, field: &Field<'_>, why: impl std::fmt::Display) {
        self.report.error(field.node.span, format!("`{}`: {why}", field.path));
    }

    /// Makes a path absolute: `~` is the home folder, everything else is relative to the project folder. Does not look at
    /// the disk; `.` and `..` are resolved as text, as Docker Compose does.
    fn absolute(&self, path: &str) -> PathBuf {
        let joined = match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                PathBuf::from(format!("{home}{rest}"))
            }
            _ => self.base.join(path),
        };
        clean(&joined)
    }
}

/// Resolves `.` and `..` as text, without looking at the disk.
pub fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(component),
        }
    }
    out
}
