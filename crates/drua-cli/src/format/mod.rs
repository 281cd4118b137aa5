//! `--format`: tables, JSON and templates in the syntax of Go's `text/template`.
//!
//! Everything here is a pure function from values to text. A listing is a list of [`Row`]s whose fields carry the names
//! that Docker's formatter gives them, so that scripts written for `docker ps --format …` work.

mod json;
mod natural;
mod pretty;
mod table;
mod template;

use std::collections::BTreeMap;

use anyhow::Context as _;

pub(crate) use json::{Escape, Json};
pub(crate) use natural::natural_order;
pub(crate) use pretty::{Style, restyle};
pub(crate) use table::align;
pub(crate) use template::{Mode, Template};

/// One line of a listing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    fields: BTreeMap<&'static str, Json>,
    labels: BTreeMap<String, String>,
}

impl Row {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a field under Docker's name for it.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.fields.insert(name, value.into());
        self
    }

    /// Adds the field `Labels` and the template method `.Label "key"`.
    pub(crate) fn with_labels<'a>(mut self, labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        self.labels = labels.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let joined: Vec<String> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.with("Labels", joined.join(","))
    }

    fn to_json(&self) -> Json {
        Json::Object(self.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn call(&self, method: &str, args: &[Json]) -> Option<Json> {
        match (method, args) {
            ("Label", [Json::String(key)]) => Some(self.labels.get(key).cloned().unwrap_or_default().into()),
            _ => None,
        }
    }
}

/// A kind of listing: the heading of every field, and which of them a plain table shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing {
    /// Field and its heading.
    pub(crate) headings: &'static [(&'static str, &'static str)],
    /// The template of a plain table.
    pub(crate) default: &'static str,
}

/// How a listing is shown.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    Table(Template),
    Json,
    Template(Template),
}

impl Format {
    /// Reads the value of `--format`; `default` is the template of a plain table.
    pub(crate) fn parse(text: Option<&str>, default: &str) -> anyhow::Result<Self> {
        let parse = |text: &str| Template::parse(text).with_context(|| format!("`--format {text}` is not a template"));
        match text.map(str::trim) {
            None | Some("" | "table") => Ok(Self::Table(parse(default)?)),
            Some("json") => Ok(Self::Json),
            Some(text) => match text.strip_prefix("table ") {
                Some(columns) => Ok(Self::Table(parse(columns.trim_start())?)),
                None => Ok(Self::Template(parse(text)?)),
            },
        }
    }
}

impl Listing {
    /// The listing as text, with a final newline unless it is empty.
    pub(crate) fn render(&self, rows: &[Row], format: &Format) -> anyhow::Result<String> {
        match format {
            Format::Json => Ok(rows.iter().map(|row| row.to_json().compact(Escape::Html) + "\n").collect()),
            Format::Template(template) => {
                rows.iter().map(|row| Ok(render_row(template, row)? + "\n")).collect::<anyhow::Result<_>>()
            }
            Format::Table(template) => {
                let mut lines = vec![self.heading(template)?];
                for row in rows {
                    lines.push(render_row(template, row)?);
                }
                Ok(align(&lines))
            }
        }
    }

    /// The template applied to the headings instead of a row.
    fn heading(&self, template: &Template) -> anyhow::Result<String> {
        let headings =
            self.headings.iter().map(|(field, heading)| ((*field).to_owned(), Json::from(*heading))).collect();
        let method = |name: &str, args: &[Json]| match (name, args) {
            ("Label", [Json::String(key)]) => {
                let last = key.rsplit('.').next().unwrap_or_default();
                Some(last.replace(['-', '_'], " ").into())
            }
            _ => None,
        };
        Ok(template.render(&Json::Object(headings), Mode::Headings, &method)?)
    }
}

fn render_row(template: &Template, row: &Row) -> anyhow::Result<String> {
    let method = |name: &str, args: &[Json]| row.call(name, args);
    Ok(template.render(&row.to_json(), Mode::Row, &method)?)
}
