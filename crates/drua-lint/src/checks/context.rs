//! What COPY takes from the build context, and what the ignore file keeps out of it.

use drua_dockerfile::{Glob, Ignore, IgnoreError, Kind, LineIndex, Source, Span, Word, nearest, read_ignore_file};

use super::practice::is_secret_file;
use crate::input::{Build, ContextFile};
use crate::report::{Diagnostic, Edit, Safety, Sink, insert, replace};
use crate::unit::View;

/// Bytes of a file from which on it is worth a word.
const LARGE: u64 = 50_000_000;

/// Findings in the Dockerfile.
pub(super) fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let build = &view.unit.build;
    let Some(files) = build.context else { return };
    let whole = whole_context(view);
    if let Some(word) = whole {
        if build.ignore.is_none() {
            let found =
                sink.add("DR2001", word.span, "everything in the folder is copied, and there is no .dockerignore");
            found.help("begin with `.git`, `**/node_modules`, `**/.env*`, and what builds leave behind");
        }
        if let Some(ignore) = effective(view) {
            let large: Vec<&ContextFile> =
                files.iter().filter(|file| file.size >= LARGE && !ignore.matches(&file.path)).collect();
            if let Some(first) = large.iter().max_by_key(|file| file.size) {
                let total: u64 = large.iter().map(|file| file.size).sum();
                let message = format!("`{}` is copied along: {} MB", first.path, first.size / 1_000_000);
                sink.add("DR2006", word.span, message).saving(Some(total));
            }
        }
    }
    missing(view, files, sink);
}

/// The COPY that takes everything.
fn whole_context<'v>(view: &'v View<'_>) -> Option<&'v Word> {
    view.steps.iter().find_map(|step| {
        let (Kind::Copy(transfer) | Kind::Add(transfer)) = &step.instruction.kind else { return None };
        if transfer.from.is_some() {
            return None;
        }
        transfer.sources.iter().find_map(|source| match source {
            Source::Path(word) if matches!(word.text.trim_matches('"'), "." | "./" | "/" | "*" | "./*") => Some(word),
            _ => None,
        })
    })
}

/// The ignore file's patterns, none when there is no file; `None` when they cannot be read.
fn effective(view: &View<'_>) -> Option<Ignore> {
    match view.unit.build.ignore {
        None => Some(Ignore::default()),
        Some(_) => view.unit.ignore.clone(),
    }
}

fn missing(view: &View<'_>, files: &[ContextFile], sink: &mut Sink<'_>) {
    for step in &view.steps {
        let (Kind::Copy(transfer) | Kind::Add(transfer)) = &step.instruction.kind else { continue };
        if transfer.from.is_some() || step.is_onbuild {
            continue;
        }
        for source in &transfer.sources {
            let Source::Path(word) = source else { continue };
            let text = word.text.trim_matches(['"', '\'']);
            let is_other =
                text.contains('$') || text.contains("://") || text.starts_with("git@") || text.contains("/./");
            let clean = crate::compose::join(".", text.trim_start_matches('/'));
            if is_other || clean == "." || clean.starts_with("..") {
                continue;
            }
            // What lies below an ignored folder is not listed; the rule about ignored files speaks there.
            if view.unit.ignore.as_ref().is_some_and(|ignore| ignore.matches(&clean)) {
                continue;
            }
            let there = match Glob::is_pattern(&clean) {
                true => Glob::new(&clean).is_ok_and(|glob| files.iter().any(|file| glob.matches(&file.path))),
                false => files.iter().any(|file| file.path == clean || is_below(&file.path, &clean)),
            };
            if !there {
                let near = nearest(&clean, files.iter().map(|file| file.path.as_str()));
                let found = sink.add("DR2008", word.span, format!("`{text}` is not in the build context"));
                if let Some(near) = near {
                    found.help(format!("did you mean `{near}`?"));
                    if word.text == clean {
                        found.fix(Safety::Unsafe, format!("copy `{near}`"), vec![replace(word.span, near)]);
                    }
                }
            }
        }
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Findings in the ignore file.
pub(crate) fn ignore_file(view: &View<'_>) -> Vec<Diagnostic> {
    let build: &Build<'_> = &view.unit.build;
    let Some(ignore) = build.ignore else { return Vec::new() };
    let index = LineIndex::new(ignore.text);
    let mut sink = Sink::new(ignore.path, &index, ignore.text.len());
    let lines = lines(ignore.text);
    patterns(&lines, &mut sink);
    let (Some(files), Some(compiled)) = (build.context, &view.unit.ignore) else { return sink.found };
    if whole_context(view).is_some() {
        leaks(ignore.text, files, compiled, &mut sink);
    }
    root_only(&lines, files, compiled, &mut sink);
    sink.found
}

/// The patterns and where they stand.
fn lines(text: &str) -> Vec<(String, Span)> {
    let mut at = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start_matches('\u{feff}').trim();
        if !trimmed.is_empty() && !line.starts_with('#') {
            let start = at + line.find(trimmed).unwrap_or(0);
            lines.push((trimmed.to_owned(), Span::new(start, start + trimmed.len())));
        }
        at += line.len();
    }
    lines
}

fn patterns(lines: &[(String, Span)], sink: &mut Sink<'_>) {
    for (pattern, span) in lines {
        let read = read_ignore_file(pattern);
        match Ignore::new(&read) {
            Ok(_) => {}
            Err(error @ (IgnoreError::OnlyNot | IgnoreError::Pattern(_) | IgnoreError::TooMany(_))) => {
                sink.add("DR2007", *span, error.to_string());
            }
        }
    }
}

/// What is copied along that should not be, and the line that keeps it out.
fn leaks(text: &str, files: &[ContextFile], ignore: &Ignore, sink: &mut Sink<'_>) {
    let whole = Span::new(0, text.find('\n').unwrap_or(text.len()));
    let append = |pattern: &str| -> Vec<Edit> {
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let before = if text.is_empty() || text.ends_with('\n') { "" } else { end };
        vec![insert(text.len(), format!("{before}{pattern}{end}"))]
    };
    let copied = |file: &&ContextFile| !ignore.matches(&file.path);
    if files.iter().filter(copied).any(|file| file.path == ".git") {
        let size: u64 = files.iter().filter(|file| file.path.starts_with(".git/")).map(|file| file.size).sum();
        sink.add("DR2002", whole, "`.git` is copied along").saving((size > 0).then_some(size)).fix(
            Safety::Unsafe,
            "ignore .git",
            append(".git"),
        );
    }
    let secret = files.iter().filter(copied).find(|file| !file.is_dir && is_secret_file(&file.path));
    if let Some(file) = secret {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        let pattern = format!("**/{name}");
        sink.add("DR2003", whole, format!("`{}` is copied along", file.path)).fix(
            Safety::Unsafe,
            format!("ignore `{pattern}`"),
            append(&pattern),
        );
    }
    const INSTALLED: [&str; 7] =
        ["node_modules", ".venv", "venv", "__pycache__", "bower_components", ".tox", ".gradle"];
    for name in INSTALLED {
        let is_it = |file: &&ContextFile| file.is_dir && file.path.rsplit('/').next() == Some(name);
        if let Some(file) = files.iter().filter(copied).find(is_it) {
            let size: u64 = files
                .iter()
                .filter(|other| other.path.starts_with(&format!("{}/", file.path)))
                .map(|file| file.size)
                .sum();
            let pattern = format!("**/{name}");
            let found = sink.add("DR2004", whole, format!("`{}` is copied along", file.path));
            found.saving((size > 0).then_some(size)).fix(
                Safety::Unsafe,
                format!("ignore `{pattern}`"),
                append(&pattern),
            );
        }
    }
}

/// Patterns that git would apply in every folder.
fn root_only(lines: &[(String, Span)], files: &[ContextFile], ignore: &Ignore, sink: &mut Sink<'_>) {
    for (pattern, span) in lines {
        let name = pattern.trim_end_matches('/');
        if name.starts_with('!') || name.contains('/') || name.contains("**") || matches!(name, "*" | "." | "..") {
            continue;
        }
        let Ok(glob) = Glob::new(name) else { continue };
        let deeper = files.iter().find(|file| {
            let (folder, last) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
            !folder.is_empty() && glob.matches(last) && !ignore.matches(&file.path)
        });
        if let Some(file) = deeper {
            let message = format!("`{}` is not ignored: the pattern means the root alone", file.path);
            sink.add("DR2005", *span, message).fix(
                Safety::Unsafe,
                format!("write `**/{name}`"),
                vec![insert(span.start, "**/")],
            );
        }
    }
}
