//! BuildKit's checks about variables.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use drua_dockerfile::{Instruction, Kind, Source, Word, nearest};

use crate::report::Sink;
use crate::unit::{Base, View, defines};

/// Declared by the builder for FROM, and for every stage that asks for them.
pub(crate) const PLATFORM_ARGS: [&str; 11] = [
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETSTAGE",
];

/// Known in every stage without being declared.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

pub(super) fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    for stage in &view.stages {
        from(view, stage.stage.index, sink);
        in_stage(view, stage.stage.index, sink);
    }
}

fn from(view: &View<'_>, index: usize, sink: &mut Sink<'_>) {
    let from = view.stages[index].stage.from;
    let mut undeclared = false;
    for word in [Some(&from.base), from.platform.as_ref()].into_iter().flatten() {
        let names = view.globals.keys().map(String::as_str).chain(PLATFORM_ARGS);
        for name in unset(view, word, &|name| view.globals.contains_key(name) || PLATFORM_ARGS.contains(&name)) {
            undeclared = true;
            let mut message = format!("FROM argument '{name}' is not declared");
            if let Some(near) = nearest(&name, names.clone()) {
                let _ = write!(message, " (did you mean {near}?)");
            }
            let help = "FROM sees the ARGs that stand before the first FROM, and no others";
            sink.add("UndefinedArgInFrom", word.span, message).help(help);
        }
    }
    if !undeclared {
        invalid_default(view, &from.base, sink);
    }
}

fn invalid_default(view: &View<'_>, base: &Word, sink: &mut Sink<'_>) {
    let lookup = |name: &str| match PLATFORM_ARGS.contains(&name) {
        true => Some("linux".to_owned()),
        false => view.globals.get(name).cloned().flatten(),
    };
    let Ok(expanded) = view.unit.file.expander().expand(&base.text, &lookup) else { return };
    if expanded.unset.is_empty() && expanded.used.is_empty() || is_image_name(&expanded.text) {
        return;
    }
    let message = format!("Default value for ARG {} results in empty or invalid base image name", base.text);
    sink.add("InvalidDefaultArgInFrom", base.span, message);
}

/// Whether a text can be the name of an image.
pub(crate) fn is_image_name(text: &str) -> bool {
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (rest, None),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let part = |part: &str| {
        !part.is_empty()
            && part.chars().all(word)
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let path_is_fine = match path.split_once('/') {
        Some((host, rest)) if host.contains(':') => rest.split('/').all(part),
        _ => path.split('/').all(part),
    };
    path_is_fine
        && tag.is_none_or(|tag| {
            !tag.is_empty() && tag.len() <= 128 && tag.chars().all(word) && !tag.starts_with(['.', '-'])
        })
        && digest.is_none_or(|digest| digest.contains(':'))
}

/// Variables that a word uses, that `is_known` does not know, and for which it has no default itself.
fn unset(view: &View<'_>, word: &Word, is_known: &dyn Fn(&str) -> bool) -> Vec<String> {
    if !word.text.contains('$') {
        return Vec::new();
    }
    let lookup = |name: &str| is_known(name).then(|| "x".to_owned());
    let Ok(expanded) = view.unit.file.expander().expand(&word.text, &lookup) else { return Vec::new() };
    let has_default =
        |name: &str| ["-", ":-", "+", ":+", "?", ":?"].iter().any(|op| word.text.contains(&format!("${{{name}{op}")));
    expanded.unset.into_iter().filter(|name| !has_default(name)).collect()
}

fn in_stage(view: &View<'_>, index: usize, sink: &mut Sink<'_>) {
    let stage = &view.stages[index];
    let mut known: BTreeSet<String> = view.variables_at_start(stage);
    known.extend(PROXIES.iter().flat_map(|name| [(*name).to_owned(), name.to_lowercase()]));
    // What an image's ENV sets is not known here; PATH nearly always is.
    let below_is_known = view.chain(stage).last().is_some_and(|stage| stage.base == Base::Scratch);
    if !below_is_known {
        known.insert("PATH".to_owned());
    }
    for step in view.steps_of(stage) {
        if step.is_onbuild {
            continue;
        }
        for word in expanded_words(step.instruction) {
            for name in unset(view, word, &|name| known.contains(name)) {
                // An image may define what it likes: only names that look like one that is known here are findings.
                let near = nearest(&name, known.iter().map(String::as_str)).map(str::to_owned);
                let is_global = view.globals.contains_key(&name);
                let mut message = format!("Usage of undefined variable '${name}'");
                if let Some(near) = &near {
                    let _ = write!(message, " (did you mean ${near}?)");
                }
                let found = sink.add("UndefinedVar", word.span, message);
                if is_global {
                    found.help(format!(
                        "the ARG before FROM is not seen in stages: add `ARG {name}` after this stage's FROM"
                    ));
                }
            }
        }
        known.extend(defines(step.instruction));
    }
}

/// The words of an instruction that the builder expands.
fn expanded_words(instruction: &Instruction) -> Vec<&Word> {
    match &instruction.kind {
        Kind::Add(transfer) | Kind::Copy(transfer) => {
            let sources = transfer.sources.iter().filter_map(|source| match source {
                Source::Path(word) => Some(word),
                Source::Heredoc(_) => None,
            });
            let flags = [&transfer.from, &transfer.chown, &transfer.chmod].into_iter().flatten();
            sources.chain([&transfer.destination]).chain(flags).collect()
        }
        Kind::Env(pairs) | Kind::Label(pairs) => pairs.iter().map(|pair| &pair.value).collect(),
        Kind::Arg(definitions) => definitions.iter().filter_map(|definition| definition.value.as_ref()).collect(),
        Kind::Expose(words) | Kind::Volume(words) => words.iter().collect(),
        Kind::StopSignal(word) | Kind::User(word) | Kind::Workdir(word) => vec![word],
        _ => Vec::new(),
    }
}
