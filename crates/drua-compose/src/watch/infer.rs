//! Rules out of a Dockerfile: what its last stage copies.
//!
//! A file that is copied before some `RUN` may change what that makes: it rebuilds. What is copied after the last `RUN` is
//! in the image as it is here: it is synced, and the container restarted.

use std::path::Path;

use drua_composefile::{Hook, Project, WatchAction, WatchRule, is_remote};
use drua_dockerfile::{Dockerfile, Kind, Source};

/// Adds inferred rules to the services that are built and have none. Returns what was added, by service.
pub fn infer(project: &mut Project) -> Vec<(String, Vec<WatchRule>)> {
    let mut inferred = Vec::new();
    for (name, service) in &mut project.services {
        let Some(build) = &service.build else { continue };
        if service.develop.as_ref().is_some_and(|develop| !develop.watch.is_empty()) {
            continue;
        }
        let context = build.context.clone().unwrap_or_default();
        if is_remote(&context) {
            continue;
        }
        let dockerfile = build.dockerfile.as_deref().unwrap_or("Dockerfile");
        let text = match &build.dockerfile_inline {
            Some(text) => Some(text.clone()),
            None => std::fs::read_to_string(Path::new(&context).join(dockerfile)).ok(),
        };
        let Some(text) = text else { continue };
        let mut rules = of_dockerfile(&text, &context, build.target.as_deref());
        if build.dockerfile_inline.is_none() {
            let path = drua_composefile::clean_path(&Path::new(&context).join(dockerfile));
            rules.push(rule(path.to_string_lossy().into_owned(), WatchAction::Rebuild, None));
        }
        service.develop.get_or_insert_default().watch.clone_from(&rules);
        inferred.push((name.to_string(), rules));
    }
    inferred
}

fn rule(path: String, action: WatchAction, target: Option<String>) -> WatchRule {
    WatchRule {
        path,
        action,
        target,
        exec: Hook::default(),
        include: Vec::new(),
        ignore: Vec::new(),
        initial_sync: false,
    }
}

fn of_dockerfile(text: &str, context: &str, target: Option<&str>) -> Vec<WatchRule> {
    let (file, _) = Dockerfile::read(text);
    let stages = file.stages();
    let named = |name: &str| stages.iter().position(|stage| stage.name().as_deref() == Some(&name.to_lowercase()));
    let Some(last) = target.and_then(named).or_else(|| stages.len().checked_sub(1)) else { return Vec::new() };
    let mut rules = Vec::new();
    for (index, stage) in stages.iter().enumerate().take(last + 1) {
        let last_run = stage.body.iter().rposition(|instruction| matches!(instruction.kind, Kind::Run(_)));
        let mut workdir = "/".to_owned();
        for (at, instruction) in stage.body.iter().enumerate() {
            let transfer = match &instruction.kind {
                Kind::Workdir(word) => {
                    workdir = join(&workdir, &word.text);
                    continue;
                }
                Kind::Copy(transfer) | Kind::Add(transfer) if transfer.from.is_none() => transfer,
                _ => continue,
            };
            let syncs = index == last && last_run.is_none_or(|run| run < at);
            let many = transfer.sources.len() > 1 || transfer.destination.text.ends_with('/');
            for source in &transfer.sources {
                let Source::Path(word) = source else { continue };
                if word.text.contains("://") || word.text.contains('$') || transfer.destination.text.contains('$') {
                    continue;
                }
                let (path, include) = place(context, &word.text);
                let destination = join(&workdir, &transfer.destination.text);
                let is_file = Path::new(&path).is_file();
                let name = path.rsplit('/').next().unwrap_or_default();
                let to = if is_file && many { join(&destination, name) } else { destination };
                let mut inferred = if syncs {
                    rule(path.clone(), WatchAction::SyncRestart, Some(to))
                } else {
                    rule(path.clone(), WatchAction::Rebuild, None)
                };
                inferred.include.extend(include);
                if !rules.contains(&inferred) {
                    rules.push(inferred);
                }
            }
        }
    }
    rules
}

/// The path to watch for a source; a pattern is a folder and what to include of it.
fn place(context: &str, source: &str) -> (String, Option<String>) {
    let source = source.trim_start_matches('/');
    match source.find(['*', '?', '[']) {
        None => {
            let path = drua_composefile::clean_path(&Path::new(context).join(source));
            (path.to_string_lossy().into_owned(), None)
        }
        Some(at) => {
            let folder = source[..at].rfind('/').map_or("", |slash| &source[..slash]);
            let pattern = source[folder.len()..].trim_start_matches('/').to_owned();
            let path = drua_composefile::clean_path(&Path::new(context).join(folder));
            (path.to_string_lossy().into_owned(), Some(pattern))
        }
    }
}

fn join(folder: &str, path: &str) -> String {
    drua_composefile::clean_path(&Path::new(folder).join(path)).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_copy_lines() {
        let text = "FROM a AS build\nCOPY go.mod ./\nRUN x\nFROM b\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip\n\
                    COPY --from=build /x /x\nCOPY src/ static/*.css ./web/\nCOPY . /srv\n";
        let rules = of_dockerfile(text, "/c", None);
        let shown: Vec<String> = rules
            .iter()
            .map(|rule| {
                let target = rule.target.as_deref().unwrap_or("-");
                format!("{:?} {} {target} {}", rule.action, rule.path, rule.include.join(","))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "Rebuild /c/go.mod - ",
                "Rebuild /c/requirements.txt - ",
                "SyncRestart /c/src /app/web ",
                "SyncRestart /c/static /app/web *.css",
                "SyncRestart /c /srv ",
            ]
        );
    }
}
