//! Which rules a path matches, and where it goes. Pure, but for the `.dockerignore` files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use drua_composefile::{Project, Service, ServiceName, WatchAction, WatchRule, is_remote};
use drua_dockerfile::{Ignore, read_ignore_file};

use crate::build::ignore_of;
use crate::error::ComposeError;

/// Names that editors and tools write beside the file that is meant, as gitignore-like patterns.
const TEMPORARY: [&str; 14] = [
    "**/*~",
    "**/.*.swp",
    "**/.*.swx",
    "**/.*.swo",
    "**/.*.swn",
    "**/4913",
    "**/.#*",
    "**/#*#",
    "**/___jb_*___",
    "**/.idea",
    "**/*.kate-swp",
    "**/.*.kate-swp",
    "**/*-go-tmp-umask",
    "**/.git",
];

/// One rule of a service, ready to match.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) service: ServiceName,
    pub(super) rule: WatchRule,
    /// The watched path, symbolic links resolved.
    pub(super) path: PathBuf,
    include: Option<Ignore>,
    ignore: Ignore,
    temporary: Ignore,
    /// The build context and what it ignores.
    context: Option<(PathBuf, Ignore)>,
}

/// Compiles the rules of these services; all that have rules when empty.
pub(super) fn compile(project: &Project, services: &[String]) -> Result<Vec<Compiled>, ComposeError> {
    let mut compiled = Vec::new();
    for (name, service) in &project.services {
        if !services.is_empty() && !services.iter().any(|wanted| wanted == name.as_str()) {
            continue;
        }
        for rule in service.develop.iter().flat_map(|develop| &develop.watch) {
            compiled.push(one(name, service, rule)?);
        }
    }
    Ok(compiled)
}

fn one(name: &ServiceName, service: &Service, rule: &WatchRule) -> Result<Compiled, ComposeError> {
    let wrong = |why: String| ComposeError::Watch { service: name.clone(), why };
    let path = std::fs::canonicalize(&rule.path);
    let path = path.map_err(|error| wrong(format!("cannot watch `{}`: {error}", rule.path)))?;
    let patterns =
        |texts: &[String]| Ignore::new(&read_ignore_file(&texts.join("\n"))).map_err(|error| wrong(error.to_string()));
    let context = match service.build.as_ref().map(|build| (build, build.context.as_deref().unwrap_or("."))) {
        Some((build, context)) if !is_remote(context) => {
            let dockerfile = build.dockerfile.as_deref().unwrap_or("Dockerfile");
            let folder = std::fs::canonicalize(context);
            let folder =
                folder.map_err(|error| wrong(format!("cannot read the build context `{context}`: {error}")))?;
            let ignore = ignore_of(&folder, dockerfile).map_err(wrong)?;
            Some((folder, ignore))
        }
        Some(_) | None => None,
    };
    if rule.action == WatchAction::Rebuild && service.build.is_none() {
        return Err(wrong(format!("the rule for `{}` rebuilds, and the service has no `build`", rule.path)));
    }
    let mut rule = rule.clone();
    if is_wasm(service) && rule.action == WatchAction::Sync {
        // A module is read when its container starts.
        rule.action = WatchAction::SyncRestart;
    }
    Ok(Compiled {
        service: name.clone(),
        path,
        include: if rule.include.is_empty() { None } else { Some(patterns(&rule.include)?) },
        ignore: patterns(&rule.ignore)?,
        temporary: Ignore::new(&TEMPORARY).map_err(|error| wrong(error.to_string()))?,
        rule,
        context,
    })
}

fn is_wasm(service: &Service) -> bool {
    let platform = service.platform.as_deref().is_some_and(|platform| platform.to_lowercase().starts_with("wasi"));
    let runtimes = ["wasmtime", "wasmedge", "spin", "slight", "drua"];
    let runtime = service.runtime.as_deref().is_some_and(|runtime| runtimes.iter().any(|name| runtime.contains(name)));
    platform || runtime
}

impl Compiled {
    /// The path relative to the rule's own, where the rule counts it.
    pub(super) fn matches(&self, path: &Path) -> Option<PathBuf> {
        let relative = path.strip_prefix(&self.path).ok()?;
        let text = relative.to_string_lossy();
        if self.ignore.matches(&text) || self.temporary.matches(&path.file_name()?.to_string_lossy()) {
            return None;
        }
        if relative.components().any(|part| part.as_os_str() == ".git") {
            return None;
        }
        if let Some((folder, ignore)) = &self.context
            && let Ok(inside) = path.strip_prefix(folder)
            && ignore.matches(&inside.to_string_lossy())
        {
            return None;
        }
        if let Some(include) = &self.include {
            // A pattern without a slash means the name, wherever it is.
            let name = path.file_name()?.to_string_lossy();
            if !include.matches(&text) && !include.matches(&name) {
                return None;
            }
        }
        Some(relative.to_owned())
    }

    /// Whether something below a folder may count.
    pub(super) fn reaches(&self, folder: &Path) -> bool {
        let Ok(relative) = folder.strip_prefix(&self.path) else { return self.path.starts_with(folder) };
        if relative.components().any(|part| part.as_os_str() == ".git") {
            return false;
        }
        let text = relative.to_string_lossy();
        if self.ignore.matches(&text) && !self.ignore.may_take_back_below(&text) {
            return false;
        }
        match &self.context {
            Some((context, ignore)) => match folder.strip_prefix(context) {
                Ok(inside) => {
                    let text = inside.to_string_lossy();
                    !ignore.matches(&text) || ignore.may_take_back_below(&text)
                }
                Err(_) => true,
            },
            None => true,
        }
    }

    /// Where a path goes in the container.
    pub(super) fn target(&self, relative: &Path) -> Option<String> {
        let target = self.rule.target.as_deref()?;
        if relative.as_os_str().is_empty() {
            // A single file: into the folder that the target names, or as the file that it names.
            let name = self.path.file_name()?.to_string_lossy();
            let joined = if target.ends_with('/') { format!("{target}{name}") } else { target.to_owned() };
            return Some(joined);
        }
        Some(format!("{}/{}", target.trim_end_matches('/'), relative.to_string_lossy()))
    }
}

/// The folders to watch: rules' paths, and for files the folders they are in.
pub(super) fn roots(rules: &[Compiled]) -> BTreeSet<PathBuf> {
    let folder = |path: &Path| if path.is_dir() { Some(path.to_owned()) } else { path.parent().map(Path::to_owned) };
    let all: BTreeSet<PathBuf> = rules.iter().filter_map(|rule| folder(&rule.path)).collect();
    all.iter().filter(|path| !path.ancestors().skip(1).any(|above| all.contains(above))).cloned().collect()
}
