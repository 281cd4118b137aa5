//! The load order, from a request to a project.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use drua_types::{Classify, ErrorKind};

use crate::check::check;
use crate::decode::{self, Decoded, Decoder};
use crate::diagnostic::{Diagnostic, Report, Severity};
use crate::environment::Environment;
use crate::loader::{Loader, reason};
use crate::model::Project;
use crate::names::ProjectName;
use crate::normalize::{self, normalize};
use crate::{dotenv, interpolate, yaml};

/// The names under which a compose file is looked for, best first.
pub const DEFAULT_FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// What to load, and everything that the result depends on besides the files' texts.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Compose files, absolute. Exactly one for now.
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
    let [file] = request.files.as_slice() else {
        let message = match request.files.len() {
            0 => "no compose file was given",
            _ => "more than one compose file is not supported yet",
        };
        report.error_nowhere(message);
        return None;
    };
    let mut environment = Environment { process: request.environment.clone(), ..Environment::default() };
    let environment_files = read_dotenv(request, loader, &mut environment, report);
    let text = read_text(file, loader, report)?;
    let number = report.add_file(shown(file, request), &text);
    let mut root = yaml::parse(number, &text, report).or_else(|| {
        if !report.has_errors() {
            report.error_nowhere(format!("`{}` is empty", file.display()));
        }
        None
    })?;

    // The project's name can be used in the file, so that it is found out before the rest is interpolated.
    let name = project_name(request, &environment, &root, report)?;
    environment.process.insert("COMPOSE_PROJECT_NAME".to_owned(), name.to_string());
    interpolate::interpolate(&mut root, &|name| environment.get(name).map(str::to_owned), report);

    let home = request.environment.get("HOME").map(String::as_str);
    let decoder = Decoder { report, places: decode::Places::default(), base: &request.project_dir, home };
    let decoded = decode::project(decoder, &root);
    let profiles = profiles(request, &environment, &decoded);
    let cx = normalize::Context { name, environment: &environment, base: &request.project_dir, profiles, loader };
    let (mut project, places) = normalize(decoded, &cx, report);
    project.working_dir.clone_from(&request.project_dir);
    project.config_files.clone_from(&request.files);
    project.environment_files = environment_files;
    check(&project, &places, report);
    check_asked(request, &project, report);
    normalize::drop_unused(&mut project);
    Some(project)
}

/// Files in the project folder are shown by their relative path.
fn shown<'a>(path: &'a Path, request: &Request) -> &'a Path {
    path.strip_prefix(&request.project_dir).unwrap_or(path)
}

fn read_text(path: &Path, loader: &dyn Loader, report: &mut Report) -> Option<String> {
    let bytes = match loader.read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.error_nowhere(format!("cannot read `{}`: {}", path.display(), reason(&error)));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            report.error_nowhere(format!("`{}` is not UTF-8 text, from byte {at} on", path.display()));
            None
        }
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
    if is_default {
        files.push(request.project_dir.join(".env"));
    }
    let mut read = Vec::new();
    for path in files {
        if is_default && matches!(loader.read(&path), Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
            continue;
        }
        let Some(text) = read_text(&path, loader, report) else { continue };
        let number = report.add_file(shown(&path, request), &text);
        let values = dotenv::parse(number, &text, &|name| environment.get(name).map(str::to_owned), report);
        environment.dotenv.extend(values);
        read.push(path);
    }
    if is_default { Vec::new() } else { read }
}

fn project_name(
    request: &Request,
    environment: &Environment,
    root: &yaml::Node,
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
    let name = name_in_file(root, environment).or_else(|| folder.as_deref().and_then(ProjectName::normalize));
    if name.is_none() {
        let found = report.error_nowhere("the folder's name cannot be the project's name");
        found.hint("give one with `-p`, `COMPOSE_PROJECT_NAME` or `name:` in the file");
    }
    name
}

/// The file's `name`, if it is a good one; its reader reports a bad one later.
fn name_in_file(root: &yaml::Node, environment: &Environment) -> Option<ProjectName> {
    let yaml::Value::Mapping(entries) = &root.value else { return None };
    let entry = entries.iter().find(|entry| entry.key == "name")?;
    let yaml::Value::Scalar(scalar) = &entry.value.value else { return None };
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let mut variables = interpolate::Variables { lookup: &lookup, unset: Vec::new() };
    interpolate::substitute(&scalar.text, &mut variables).ok()?.parse().ok()
}

fn profiles(request: &Request, environment: &Environment, decoded: &Decoded) -> BTreeSet<String> {
    let from_environment = environment.get("COMPOSE_PROFILES").unwrap_or_default().split(',').map(str::trim);
    let mut profiles: BTreeSet<String> = from_environment.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    profiles.extend(request.profiles.iter().cloned());
    for name in &request.services {
        if let Some(decoded) = decoded.services.get(name.as_str()) {
            profiles.extend(decoded.service.profiles.iter().cloned());
        }
    }
    profiles
}

fn check_asked(request: &Request, project: &Project, report: &mut Report) {
    for name in request.services.iter().filter(|name| !project.services.contains_key(name.as_str())) {
        report.error_nowhere(format!("no such service: {name}"));
    }
}
