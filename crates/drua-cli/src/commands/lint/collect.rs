//! From paths to what is looked at: which files there are, and what belongs to what.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use drua_composefile::{Disk, Request, load};
use drua_dockerfile::{Dockerfile, Ignore, MAX_SOURCE_BYTES, read_ignore_file};
use drua_lint::{Build, Config, ContextFile, Date, Input, KnownImage, Report, Text};

use crate::context::Context;
use crate::failure::Failure;

/// What a Dockerfile from standard input is called.
pub(super) const STDIN: &str = "-";
/// Files of a build context that are looked at; beyond it nothing is said about the context.
const MAX_CONTEXT_FILES: usize = 50_000;
/// Folders that hold other people's Dockerfiles.
const SKIPPED: [&str; 6] = [".git", "node_modules", "vendor", "target", ".venv", "venv"];
/// Files found by walking.
const MAX_FOUND: usize = 20_000;

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    builds: Vec<OwnedBuild>,
    compose: Vec<OwnedText>,
    /// Files that could not be read, and why.
    pub(super) problems: Vec<String>,
    pub(super) images: Vec<KnownImage>,
    /// Contexts that have been listed, by their path and their ignore file's.
    listed: BTreeMap<(String, String), Option<Rc<[ContextFile]>>>,
}

#[derive(Debug, Clone)]
struct OwnedText {
    path: String,
    text: String,
}

#[derive(Debug)]
struct OwnedBuild {
    dockerfile: OwnedText,
    ignore: Option<OwnedText>,
    /// Shared by all that are built with the same context and ignore file.
    context: Option<Rc<[ContextFile]>>,
    context_path: String,
}

/// What a file's name says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    Dockerfile,
    Compose,
    Ignore,
}

/// What kind of file a name is that of.
pub(super) fn kind_of(name: &str) -> Option<FileKind> {
    let lower = name.to_lowercase();
    let yaml = lower.ends_with(".yaml") || lower.ends_with(".yml");
    if lower.ends_with(".dockerignore") {
        return Some(FileKind::Ignore);
    }
    if yaml && (lower.starts_with("compose.") || lower.starts_with("docker-compose")) {
        return Some(FileKind::Compose);
    }
    let by_name =
        |base: &str| lower == base || lower.starts_with(&format!("{base}.")) || lower.ends_with(&format!(".{base}"));
    let backup = [".orig", ".bak", ".j2", ".tmpl", ".template", ".md"].iter().any(|end| lower.ends_with(end));
    (!backup && (by_name("dockerfile") || by_name("containerfile"))).then_some(FileKind::Dockerfile)
}

impl Workspace {
    /// Finds and reads everything that paths mean.
    pub(super) fn collect(paths: &[String]) -> Result<Self, Failure> {
        let mut workspace = Self::default();
        let mut dockerfiles: Vec<PathBuf> = Vec::new();
        let mut compose: Vec<PathBuf> = Vec::new();
        for path in paths {
            if path == STDIN {
                let mut bytes = Vec::new();
                io::stdin().lock().take(MAX_SOURCE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
                workspace.add_stdin(bytes);
                continue;
            }
            let path = Path::new(path);
            let metadata = fs_err::metadata(path)?;
            if metadata.is_dir() {
                walk(path, &mut dockerfiles, &mut compose);
                continue;
            }
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            match kind_of(&name) {
                Some(FileKind::Compose) => compose.push(path.to_owned()),
                Some(FileKind::Ignore) => dockerfiles.push(beside(path)),
                Some(FileKind::Dockerfile) => dockerfiles.push(path.to_owned()),
                None if name.ends_with(".yaml") || name.ends_with(".yml") => compose.push(path.to_owned()),
                None => dockerfiles.push(path.to_owned()),
            }
        }
        for path in &compose {
            workspace.add_compose(path);
        }
        // A compose file that is named alone brings the Dockerfiles that it builds.
        let wanted = drua_lint::builds_of(&workspace.compose_texts());
        for place in &wanted {
            let path = PathBuf::from(&place.dockerfile);
            if path.is_file() && !dockerfiles.iter().any(|known| shown(known) == place.dockerfile) {
                dockerfiles.push(path);
            }
        }
        dockerfiles.sort();
        dockerfiles.dedup_by_key(|path| shown(path));
        for path in dockerfiles {
            let context =
                wanted.iter().find(|place| place.dockerfile == shown(&path)).map(|place| place.context.clone());
            workspace.add_dockerfile(&path, context);
        }
        Ok(workspace)
    }

    /// A document as an editor has it, and the files that belong to it: its folder's Dockerfiles and compose files.
    pub(super) fn beside(path: &Path, text: &str) -> Self {
        let mut workspace = Self::default();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let kind = kind_of(&name);
        let folder = path.parent().unwrap_or(Path::new("/"));
        let (mut dockerfiles, mut compose) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match kind_of(&entry.file_name().to_string_lossy()) {
                Some(FileKind::Dockerfile) => dockerfiles.push(entry.path()),
                Some(FileKind::Compose) => compose.push(entry.path()),
                Some(FileKind::Ignore) | None => {}
            }
        }
        compose.sort();
        compose.iter().for_each(|path| workspace.add_compose(path));
        for place in drua_lint::builds_of(&workspace.compose_texts()) {
            let other = PathBuf::from(&place.dockerfile);
            if other.is_file() && !dockerfiles.contains(&other) {
                dockerfiles.push(other);
            }
        }
        let contexts = drua_lint::builds_of(&workspace.compose_texts());
        for path in &dockerfiles {
            let context =
                contexts.iter().find(|place| place.dockerfile == shown(path)).map(|place| place.context.clone());
            workspace.add_dockerfile(path, context);
        }
        let shown_name = shown(path);
        match workspace.text(&shown_name) {
            Some(_) => workspace.replace(&shown_name, text),
            // Not saved yet, or of a name that says nothing: by its content it is a Dockerfile unless it is YAML.
            None if kind == Some(FileKind::Compose) || name.ends_with(".yaml") || name.ends_with(".yml") => {
                workspace.compose.push(OwnedText { path: shown_name, text: text.to_owned() });
            }
            None if kind == Some(FileKind::Ignore) => {}
            None => {
                let dockerfile = OwnedText { path: shown_name, text: text.to_owned() };
                let context_path = shown(folder);
                workspace.builds.push(OwnedBuild { dockerfile, ignore: None, context: None, context_path });
            }
        }
        workspace
    }

    fn add_stdin(&mut self, bytes: Vec<u8>) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let dockerfile = OwnedText { path: STDIN.to_owned(), text };
        self.builds.push(OwnedBuild { dockerfile, ignore: None, context: None, context_path: ".".to_owned() });
    }

    fn add_compose(&mut self, path: &Path) {
        match read(path) {
            Ok(text) => self.compose.push(OwnedText { path: shown(path), text }),
            Err(problem) => self.problems.push(problem),
        }
    }

    fn add_dockerfile(&mut self, path: &Path, context: Option<String>) {
        let text = match read(path) {
            Ok(text) => text,
            Err(problem) => return self.problems.push(problem),
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let context_path = context.unwrap_or_else(|| shown(folder));
        let own = PathBuf::from(format!("{}.dockerignore", path.display()));
        let ignore = [own, Path::new(&context_path).join(".dockerignore")].into_iter().find(|path| path.is_file());
        let ignore = match ignore.map(|path| (shown(&path), read(&path))) {
            Some((path, Ok(text))) => Some(OwnedText { path, text }),
            Some((_, Err(problem))) => {
                self.problems.push(problem);
                None
            }
            None => None,
        };
        let key = (context_path.clone(), ignore.as_ref().map(|ignore| ignore.path.clone()).unwrap_or_default());
        let context = self.listed.entry(key).or_insert_with(|| {
            let patterns = ignore.as_ref().map(|ignore| read_ignore_file(&ignore.text)).unwrap_or_default();
            Ignore::new(&patterns).ok().and_then(|ignore| list_context(Path::new(&context_path), &ignore)).map(Rc::from)
        });
        let context = context.clone();
        let dockerfile = OwnedText { path: shown(path), text };
        self.builds.push(OwnedBuild { dockerfile, ignore, context, context_path });
    }

    /// Puts a text in place of what was read, for editors with unsaved changes.
    pub(super) fn replace(&mut self, path: &str, text: &str) {
        let dockerfiles = self
            .builds
            .iter_mut()
            .flat_map(|build| std::iter::once(&mut build.dockerfile).chain(build.ignore.as_mut()));
        for file in dockerfiles.chain(&mut self.compose).filter(|file| file.path == path) {
            text.clone_into(&mut file.text);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.builds.is_empty() && self.compose.is_empty() && self.problems.is_empty()
    }

    /// How many files are looked at.
    pub(super) fn files(&self) -> usize {
        self.builds.len() + self.compose.len()
    }

    /// A file's text.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        let dockerfiles = self.builds.iter().flat_map(|build| std::iter::once(&build.dockerfile).chain(&build.ignore));
        dockerfiles.chain(&self.compose).find(|file| file.path == path).map(|file| file.text.as_str())
    }

    fn compose_texts(&self) -> Vec<Text<'_>> {
        self.compose.iter().map(|file| Text { path: &file.path, text: &file.text }).collect()
    }

    /// What the linter is given.
    pub(super) fn input(&self, config: &Config) -> Input<'_> {
        let builds = self.builds.iter().map(|build| Build {
            dockerfile: Text { path: &build.dockerfile.path, text: &build.dockerfile.text },
            ignore: build.ignore.as_ref().map(|ignore| Text { path: &ignore.path, text: &ignore.text }),
            context: build.context.as_deref(),
            context_path: &build.context_path,
        });
        Input {
            builds: builds.collect(),
            compose: self.compose_texts(),
            config: config.clone(),
            images: &self.images,
            today: today(),
        }
    }
}

/// The Dockerfile that an ignore file belongs to.
fn beside(ignore: &Path) -> PathBuf {
    let name = ignore.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let dockerfile = name.strip_suffix(".dockerignore").filter(|name| !name.is_empty()).unwrap_or("Dockerfile");
    ignore.with_file_name(dockerfile)
}

/// A path as it is shown and compared: relative, without `./`.
pub(super) fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let text = text.strip_prefix("./").unwrap_or(&text);
    if text.is_empty() { ".".to_owned() } else { text.to_owned() }
}

fn today() -> Option<Date> {
    Date::parse(&jiff::Zoned::now().date().to_string())
}

/// Reads a text, with a limit.
fn read(path: &Path) -> Result<String, String> {
    let shown = shown(path);
    let failed = |error: io::Error| format!("cannot read `{shown}`: {error}");
    let file = std::fs::File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > MAX_SOURCE_BYTES as u64 {
        return Err(format!(
            "`{shown}` has {size} bytes; no Dockerfile or compose file has more than {MAX_SOURCE_BYTES}"
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_SOURCE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("`{shown}` is not text: byte {at} is not UTF-8")
    })
}

fn walk(folder: &Path, dockerfiles: &mut Vec<PathBuf>, compose: &mut Vec<PathBuf>) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A folder that cannot be read holds nothing for us.
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(entry.path());
                }
                continue;
            }
            match kind_of(&name) {
                Some(FileKind::Dockerfile) => dockerfiles.push(entry.path()),
                Some(FileKind::Compose) => compose.push(entry.path()),
                Some(FileKind::Ignore) | None => {}
            }
        }
        if dockerfiles.len() + compose.len() > MAX_FOUND {
            break;
        }
    }
    compose.sort();
}

/// The files of a context; what is ignored as a whole folder is not listed below it. `None` when there are too many.
fn list_context(root: &Path, ignore: &Ignore) -> Option<Vec<ContextFile>> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(root.join(&folder)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let Ok(metadata) = entry.metadata() else { continue };
            let is_dir = metadata.is_dir();
            if is_dir && (!ignore.matches(&path) || ignore.may_take_back_below(&path)) {
                folders.push(path.clone());
            }
            files.push(ContextFile { path, size: if is_dir { 0 } else { metadata.len() }, is_dir });
        }
        if files.len() > MAX_CONTEXT_FILES {
            return None;
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Some(files)
}

/// Adds what the loader of compose files finds: it knows every attribute.
pub(super) fn check_compose(workspace: &Workspace, input: &Input<'_>, report: &mut Report) {
    for file in &workspace.compose {
        let is_override =
            Path::new(&file.path).file_name().is_some_and(|name| name.to_string_lossy().contains("override"));
        let Ok(path) = fs_err::canonicalize(&file.path) else { continue };
        if is_override {
            continue;
        }
        let request = Request {
            project_dir: path.parent().map(Path::to_owned).unwrap_or_default(),
            files: vec![path],
            environment: std::env::vars().collect::<BTreeMap<_, _>>(),
            profiles: vec!["*".to_owned()],
            ..Request::default()
        };
        let found = match load(&request, &Disk) {
            Ok(_) => continue,
            Err(error) => error.diagnostics,
        };
        for found in found.into_iter().filter(|found| found.severity == drua_composefile::Severity::Error) {
            let place = found.location.as_ref().map_or((1, 1, 1), |at| (at.line, at.column, at.length));
            // A file that this one includes is reported at its own place only when it is among those that are looked at.
            report.add_compose_error(input, &file.path, place, &found.message, found.hints.first().map(String::as_str));
        }
    }
}

/// What a running engine knows of the images that Dockerfiles stand on; nothing when none runs. None is pulled.
pub(super) async fn known_images(ctx: &Context, workspace: &Workspace) -> Vec<KnownImage> {
    const MOST: usize = 100;
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut names = BTreeSet::new();
    for build in &workspace.builds {
        let (file, _) = Dockerfile::read(&build.dockerfile.text);
        names.extend(file.stages().iter().map(|stage| stage.from.base.text.clone()).filter(|name| !name.contains('$')));
    }
    let Some(client) = ctx.running_client().await else { return Vec::new() };
    let ask = async {
        let mut images = Vec::new();
        for name in names.into_iter().filter(|name| name != "scratch").take(MOST) {
            let Ok(found) = client.image_inspect(&name).await else { continue };
            let config = found.config.unwrap_or_default();
            let digest = found
                .repo_digests
                .unwrap_or_default()
                .first()
                .and_then(|name| name.split_once('@'))
                .map(|(_, d)| d.to_owned());
            let platform = found.os.zip(found.architecture).map(|(os, architecture)| format!("{os}/{architecture}"));
            images.push(KnownImage {
                name,
                size: found.size.and_then(|size| u64::try_from(size).ok()),
                user: config.user,
                digest,
                healthcheck: Some(config.healthcheck.is_some()),
                platform,
            });
        }
        images
    };
    tokio::time::timeout(PATIENCE, ask).await.unwrap_or_default()
}
