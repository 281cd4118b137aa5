use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

/// Bytes of one manifest that are read; lock files of large projects have some megabytes.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// The files of a project, as detection sees them: the port behind which a disk or a test stands.
pub trait Tree {
    /// Every file that counts, relative to the project's folder, with `/` between names, sorted by bytes.
    ///
    /// What version control ignores and what package managers install does not count.
    fn files(&self) -> &[String];

    /// The text of a file.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] when it cannot be read, is larger than [`MAX_FILE_BYTES`] or is not UTF-8.
    fn read(&self, path: &str) -> Result<String, Unreadable>;
}

/// Why a file of a project cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read `{path}`: {reason}")]
pub struct Unreadable {
    /// The file.
    pub path: String,
    /// What is wrong with it, in the system's or the parser's words.
    pub reason: String,
}

/// A tree in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    files: Vec<String>,
    texts: BTreeMap<String, String>,
}

impl Memory {
    /// A tree of these files.
    pub fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let texts: BTreeMap<String, String> = files.into_iter().collect();
        Self { files: texts.keys().cloned().collect(), texts }
    }
}

impl Tree for Memory {
    fn files(&self) -> &[String] {
        &self.files
    }

    fn read(&self, path: &str) -> Result<String, Unreadable> {
        let missing = || Unreadable { path: path.to_owned(), reason: "no such file".to_owned() };
        self.texts.get(path).cloned().ok_or_else(missing)
    }
}

/// What went wrong while looking, collected on the way: a manifest that cannot be read stops nobody.
#[derive(Debug, Default)]
pub(crate) struct Notes(RefCell<Vec<String>>);

impl Notes {
    /// Adds a remark, each once.
    pub(crate) fn add(&self, note: impl Into<String>) {
        let note = note.into();
        let mut notes = self.0.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    pub(crate) fn into_inner(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// One folder of a tree.
#[derive(Clone, Copy)]
pub(crate) struct Folder<'a> {
    tree: &'a dyn Tree,
    /// Relative to the project's folder, which is empty.
    pub(crate) dir: &'a str,
    pub(crate) notes: &'a Notes,
}

impl std::fmt::Debug for Folder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl<'a> Folder<'a> {
    pub(crate) fn new(tree: &'a dyn Tree, dir: &'a str, notes: &'a Notes) -> Self {
        Self { tree, dir, notes }
    }

    /// The project's own folder.
    pub(crate) fn root(&self) -> Folder<'a> {
        Folder { dir: "", ..*self }
    }

    /// A name in this folder as a path of the project.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.dir.is_empty() { name.to_owned() } else { format!("{}/{name}", self.dir) }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        let path = self.path(name);
        self.tree.files().binary_search(&path).is_ok()
    }

    /// The first of these names that exists.
    pub(crate) fn first_of<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.has(name))
    }

    /// Every file in this folder and below, relative to it.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let prefix = if self.dir.is_empty() { String::new() } else { format!("{}/", self.dir) };
        let files = self.tree.files();
        let start = files.partition_point(|file| file.as_str() < prefix.as_str());
        let length = prefix.len();
        files[start..].iter().take_while(move |file| file.starts_with(&prefix)).map(move |file| &file[length..])
    }

    /// Files directly in this folder that end like this.
    pub(crate) fn ending(&self, suffix: &str) -> Vec<&'a str> {
        self.all().filter(|file| !file.contains('/') && file.ends_with(suffix)).collect()
    }

    /// Whether there is a folder of this name with something in it.
    pub(crate) fn has_dir(&self, name: &str) -> bool {
        let prefix = self.path(&format!("{name}/"));
        let files = self.tree.files();
        let start = files.partition_point(|file| *file < prefix);
        files.get(start).is_some_and(|file| file.starts_with(&prefix))
    }

    /// The text of a file; what cannot be read is noted and counts as missing.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        if !self.has(name) {
            return None;
        }
        match self.tree.read(&self.path(name)) {
            Ok(text) => Some(text),
            Err(error) => {
                self.notes.add(error.to_string());
                None
            }
        }
    }

    /// A JSON file, with comments and trailing commas as JSONC allows them; what is malformed is noted.
    pub(crate) fn json(&self, name: &str) -> Option<Value> {
        let text = self.text(name)?;
        match serde_json::from_str(&text).or_else(|_| serde_json::from_str(&crate::manifest::plain_json(&text))) {
            Ok(value) => Some(value),
            Err(error) => self.malformed(name, &error),
        }
    }

    /// A TOML file; what is malformed is noted.
    pub(crate) fn toml(&self, name: &str) -> Option<toml::Table> {
        match self.text(name)?.parse() {
            Ok(table) => Some(table),
            Err(error) => self.malformed(name, &error),
        }
    }

    fn malformed<T>(&self, name: &str, error: &dyn std::fmt::Display) -> Option<T> {
        let reason = error.to_string();
        let reason = reason.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        self.notes.add(format!("cannot read `{}`: {reason}", self.path(name)));
        None
    }
}
