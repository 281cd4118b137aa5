//! The load order, from a request to a project.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use drua_types::{Classify, ErrorKind};

use crate::check::check;
use crate::decode::{self, Decoded, Decoder};
use crate::diagnostic::{Diagnostic, Report, Severity};
use crate::environment::Environment;
use crate::loader::Loader;
use crate::model::Project;
use crate::names::ProjectName;
use crate::normalize::{self, normalize};
use crate::sources::{Documents, Sources, Stages};
use crate::tree::Tree;
use crate::{canonical, dotenv, interpolate, merge, yaml};

/// The names under which a compose file is looked for, best first.
pub const DEFAULT_FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// The names of the file that is merged onto the first one where no file was named, best first.
pub const OVERRIDE_FILES: [&str; 4] =
    ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// What to load, and everything that the result depends on besides the files' texts.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Compose files, absolute; later ones are merged onto earlier ones.
    pub files: Vec<PathBuf>,
    /// The folder that relative paths are relative to, absolute; usually that of the first file.
    pub project_dir: PathBuf,
    /// Wins over `COMPOSE_PROJECT_NAME`, the file's `name` and the folder's name.
    pub project_name: Option<String>,
    /// `.env` files, absolute; later ones win. `.env` in the project folder, if it is there, when empty.
    pub env_files: Vec<PathBuf>,
    /// Profiles to enable, besides `COMPOSE_PROFILES`; `*` is all.
    pub profiles: Vec<String>,
    /// Services that were asked for by name, which enables their profiles.
    pub services: Vec<String>,
    /// The process environment.
    pub environment: BTreeMap<String, String>,
    /// What is left out.
    pub skip: Skip,
}

/// Parts of loading that `config` can leave out. None by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Skip {
    /// Variables stay as they are written.
    pub interpolation: bool,
    /// Relative paths stay relative.
    pub path_resolution: bool,
    /// Environment files are not read.
    pub env_resolution: bool,
    /// What is wrong only with the whole project in view is not looked for.
    pub consistency: bool,
    /// Networks, volumes and so on that no service uses are kept.
    pub pruning: bool,
}

/// A project, and what its author should know.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// Warnings in the order of the files.
    pub warnings: Vec<Diagnostic>,
}

/// The project cannot be loaded.
///
/// `Display` shows every error with its excerpt, separated by blank lines.
#[derive(Debug, Clone)]
pub struct LoadError {
    /// Everything found, warnings included; at least one error.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.diagnostics.iter().filter(|found| found.severity == Severity::Error);
        for (index, error) in errors.enumerate() {
            f.write_str(if index == 0 { "" } else { "\n\n" })?;
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

impl Classify for LoadError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Loads a project.
///
/// # Errors
/// [`LoadError`] with every mistake that was found.
pub fn load(request: &Request, loader: &dyn Loader) -> Result<Loaded, LoadError> {
    let mut report = Report::default();
    let project = load_into(request, loader, &mut report);
    let failed = report.has_errors();
    let diagnostics = report.into_found();
    match project {
        Some(project) if !failed => Ok(Loaded { project, warnings: diagnostics }),
        _ => Err(LoadError { diagnostics }),
    }
}

fn load_into(request: &Request, loader: &dyn Loader, report: &mut Report) -> Option<Project> {
    let (mut root, environment, environment_files, name) = whole_tree(request, loader, report)?;
    merge::enforce_unicity(&mut root);
    let decoder = Decoder { report, places: decode::Places::default() };
    let decoded = decode::project(decoder, &root);
    let profiles = profiles(request, &environment, &decoded);
    let cx = normalize::Context {
        name,
        environment: &environment,
        base: &request.project_dir,
        profiles,
        loader,
        read_env_files: !request.skip.env_resolution,
        resolve_paths: !request.skip.path_resolution,
    };
    let (mut project, places) = normalize(decoded, &cx, report);
    project.working_dir.clone_from(&request.project_dir);
    project.config_files.clone_from(&request.files);
    project.environment_files = environment_files;
    project.environment = environment.dotenv;
    project.environment.extend(environment.process);
    if !request.skip.consistency {
        check(&project, &places, report);
    }
    check_asked(request, &project, report);
    if !request.skip.pruning {
        normalize::drop_unused(&mut project);
    }
    Some(project)
}

/// Everything up to the single tree of all files.
type WholeTree = (yaml::Node, Environment, Vec<PathBuf>, ProjectName);

fn whole_tree(request: &Request, loader: &dyn Loader, report: &mut Report) -> Option<WholeTree> {
    if request.files.is_empty() {
        report.error_nowhere("no compose file was given");
        return None;
    }
    let mut environment = Environment { process: request.environment.clone(), ..Environment::default() };
    let environment_files = read_dotenv(request, loader, &mut environment, report);
    let home = request.environment.get("HOME").map(String::as_str);
    let stages = Stages { interpolate: !request.skip.interpolation, resolve_paths: !request.skip.path_resolution };
    let mut sources = Sources { loader, report, shown_from: &request.project_dir, home, stages, read: 0 };
    let mut files = Vec::new();
    for path in &request.files {
        files.push(sources.documents(path, None)?);
    }
    if files.iter().all(|file| file.documents.is_empty()) {
        sources.report.error_nowhere(format!("`{}` is empty", request.files[0].display()));
        return None;
    }
    // The project's name can be used in the files, so that it is found out before the rest is interpolated.
    let name = project_name(request, &environment, &files, sources.report)?;
    environment.process.insert("COMPOSE_PROJECT_NAME".to_owned(), name.to_string());
    let root = sources.model(files, &request.project_dir, &environment, &[]);
    Some((root, environment, environment_files, name))
}

/// The files as one tree, neither interpolated nor normalised: what `config --no-interpolate` prints.
///
/// # Errors
/// [`LoadError`] with every mistake that was found.
pub fn load_tree(request: &Request, loader: &dyn Loader) -> Result<Tree, LoadError> {
    let mut report = Report::default();
    let tree = whole_tree(request, loader, &mut report).map(|(mut root, _, _, name)| {
        merge::enforce_unicity(&mut root);
        canonical::long_forms(&mut root, &name);
        Tree::of_node(&root)
    });
    match tree {
        Some(tree) if !report.has_errors() => Ok(tree),
        _ => Err(LoadError { diagnostics: report.into_found() }),
    }
}

/// Reads the project's `.env` files and returns those that were there.
fn read_dotenv(
    request: &Request,
    loader: &dyn Loader,
    environment: &mut Environment,
    report: &mut Report,
) -> Vec<PathBuf> {
    let mut files = request.env_files.clone();
    let is_default = files.is_empty();
    let disabled = |value: Option<&String>| {
        value.is_some_and(|value| matches!(value.as_str(), "1" | "true" | "TRUE" | "True" | "t" | "T"))
    };
    if is_default && disabled(request.environment.get("COMPOSE_DISABLE_ENV_FILE")) {
        return Vec::new();
    }
    if is_default {
        files.push(request.project_dir.join(".env"));
    }
    let stages = Stages { interpolate: true, resolve_paths: true };
    let mut sources = Sources { loader, report, shown_from: &request.project_dir, home: None, stages, read: 0 };
    let mut read = Vec::new();
    for path in files {
        if is_default && matches!(loader.read(&path), Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
            continue;
        }
        let Some(text) = sources.text(&path, None) else { continue };
        let number = sources.report.add_file(sources.shown(&path), &text);
        let values = dotenv::parse(number, &text, &|name| environment.get(name).map(str::to_owned), sources.report);
        environment.dotenv.extend(values);
        read.push(path);
    }
    if is_default { Vec::new() } else { read }
}

fn project_name(
    request: &Request,
    environment: &Environment,
    files: &[Documents],
    report: &mut Report,
) -> Option<ProjectName> {
    let given = request.project_name.as_deref().or_else(|| environment.get("COMPOSE_PROJECT_NAME"));
    if let Some(given) = given.filter(|given| !given.is_empty()) {
        return match given.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                report.error_nowhere(error.to_string());
                None
            }
        };
    }
    let folder = request.project_dir.file_name().map(|name| name.to_string_lossy().into_owned());
    let roots = files.iter().flat_map(|file| &file.documents);
    let in_files = roots.rev().find_map(|root| name_in_file(root, environment));
    let name = in_files.or_else(|| folder.as_deref().and_then(ProjectName::normalize));
    if name.is_none() {
        let found = report.error_nowhere("the folder's name cannot be the project's name");
        found.hint("give one with `-p`, `COMPOSE_PROJECT_NAME` or `name:` in the file");
    }
    name
}

/// The file's `name`, if it is a good one; its reader reports a bad one later.
fn name_in_file(root: &yaml::Node, environment: &Environment) -> Option<ProjectName> {
    let text = root.get("name")?.as_text()?;
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let mut variables = interpolate::Variables { lookup: &lookup, unset: Vec::new() };
    interpolate::substitute(text, &mut variables).ok()?.parse().ok()
}

fn profiles(request: &Request, environment: &Environment, decoded: &Decoded) -> BTreeSet<String> {
    let from_environment = environment.get("COMPOSE_PROFILES").unwrap_or_default().split(',').map(str::trim);
    let mut profiles: BTreeSet<String> = from_environment.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    profiles.extend(request.profiles.iter().cloned());
    for name in &request.services {
        if let Some(decoded) = decoded.services.get(name.as_str()) {
            profiles.extend(decoded.profiles.iter().cloned());
        }
    }
    profiles
}

fn check_asked(request: &Request, project: &Project, report: &mut Report) {
    for name in request.services.iter().filter(|name| !project.services.contains_key(name.as_str())) {
        report.error_nowhere(format!("no such service: {name}"));
    }
}
