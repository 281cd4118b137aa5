//! What is looked at: texts, and what the caller knows about their surroundings.

use crate::config::Config;

/// A text and its name.
#[derive(Debug, Clone, Copy)]
pub struct Text<'i> {
    /// What diagnostics call it, and how it is found from other files: a path relative to the project with `/`.
    pub path: &'i str,
    /// The text.
    pub text: &'i str,
}

/// A file in a build context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextFile {
    /// Path from the context's root, with `/`, folders without one at the end.
    pub path: String,
    /// Bytes; 0 for a folder.
    pub size: u64,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// A Dockerfile and what it is built with.
#[derive(Debug, Clone, Copy)]
pub struct Build<'i> {
    /// The Dockerfile.
    pub dockerfile: Text<'i>,
    /// Its ignore file, when there is one.
    pub ignore: Option<Text<'i>>,
    /// The files of the build context, ignored ones included; `None` when nobody looked. Folders may be left unlisted
    /// below ignored ones.
    pub context: Option<&'i [ContextFile]>,
    /// Path of the context, like [`Text::path`]; `.` is the project's root.
    pub context_path: &'i str,
}

/// An image of which something is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownImage {
    /// Its name as a FROM writes it.
    pub name: String,
    /// Bytes of all layers, unpacked.
    pub size: Option<u64>,
    /// The configuration's user; empty is root.
    pub user: Option<String>,
    /// The digest, `sha256:…`.
    pub digest: Option<String>,
    /// Whether its configuration has a health check.
    pub healthcheck: Option<bool>,
    /// The platform that is here, `linux/amd64`.
    pub platform: Option<String>,
}

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// The year.
    pub year: u16,
    /// The month, 1–12.
    pub month: u8,
    /// The day, 1–31.
    pub day: u8,
}

impl Date {
    /// Reads `2026-04-30`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        let date = Self { year: year.parse().ok()?, month: month.parse().ok()?, day: day.parse().ok()? };
        let fits = (1..=12).contains(&date.month) && (1..=31).contains(&date.day);
        (fits && parts.next().is_none()).then_some(date)
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Everything that is looked at together. `Input::default()` with one [`Build`] is enough.
#[derive(Debug, Clone, Default)]
pub struct Input<'i> {
    /// Dockerfiles.
    pub builds: Vec<Build<'i>>,
    /// Compose files; the rules between files join them to the Dockerfiles by `build`.
    pub compose: Vec<Text<'i>>,
    /// Which rules, and how bad.
    pub config: Config,
    /// Images of which something is known.
    pub images: &'i [KnownImage],
    /// Today, for dates of end of life; without it those rules are silent.
    pub today: Option<Date>,
}

impl<'i> Input<'i> {
    /// A Dockerfile alone.
    pub fn dockerfile(path: &'i str, text: &'i str) -> Self {
        let dockerfile = Text { path, text };
        let build = Build { dockerfile, ignore: None, context: None, context_path: "." };
        Self { builds: vec![build], ..Self::default() }
    }
}
