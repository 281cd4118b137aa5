//! Nodes to the model: validation by reading.
//!
//! Each object has one reader that takes the attributes it knows out of [`Fields`] and then calls [`Fields::finish`], which
//! reports what is left with a suggestion. Readers report and go on, so that one run shows every mistake.
//!
//! Nothing here looks from one object to another; that is [`check`](crate::check).

mod attachment;
mod build;
mod deploy;
mod fields;
mod mounts;
mod objects;
mod ports;
mod project;
mod resources;
mod service;
mod values;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

pub(crate) use fields::{Field, Fields};
pub(crate) use project::project;
pub use values::parse_duration;

use crate::diagnostic::{Report, Span};
use crate::model::{Extensions, FileObject, Model, Network, Service, Volume};
use crate::names::{ProjectName, ServiceName};

/// A compose file as it was written, in the types of the model.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) name: Option<ProjectName>,
    pub(crate) services: BTreeMap<ServiceName, Service>,
    /// Names are empty where none was given.
    pub(crate) networks: BTreeMap<String, Network>,
    /// Names are empty where none was given.
    pub(crate) volumes: BTreeMap<String, Volume>,
    pub(crate) secrets: BTreeMap<String, FileObject>,
    pub(crate) configs: BTreeMap<String, FileObject>,
    pub(crate) models: BTreeMap<String, Model>,
    pub(crate) extensions: Extensions,
    pub(crate) places: Places,
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

/// A mount in its short form, `source:target[:options]`; a relative source is relative to `folder`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_mount(text: &str, folder: &Path) -> Result<crate::model::Mount, String> {
    let list = |text: &str| {
        crate::yaml::Node::new(
            Span::default(),
            crate::yaml::Value::Sequence(vec![crate::yaml::Node::text(Span::default(), text)]),
        )
    };
    let mut service = crate::yaml::Node::mapping(Span::default(), [("volumes", list(text))]);
    let home = std::env::var("HOME").ok();
    crate::paths::Base { folder, home: home.as_deref() }.service(&mut service);
    let mut report = Report::default();
    let mut decoder = Decoder { report: &mut report, places: Places::default() };
    let node = service.get("volumes").cloned().unwrap_or_else(|| list(text));
    let field = Field { path: "volume".to_owned(), node: &node, key_span: Span::default() };
    let mount = mounts::mounts(&mut decoder, &field).pop();
    let complaint = report.into_found().into_iter().next().map(|found| found.message);
    mount.filter(|_| complaint.is_none()).ok_or_else(|| complaint.unwrap_or_default())
}

/// A port in its short form, `[[address:]host:]container[/protocol]`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_ports(text: &str) -> Result<Vec<crate::model::PortMapping>, String> {
    ports::parse_short(text)
}
