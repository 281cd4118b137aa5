//! BuildKit's checks that look at single instructions.

use std::collections::BTreeSet;

use drua_dockerfile::{CommandLine, Glob, Instruction, Kind, Pair, Source, Span, Transfer, Warning};

use crate::input::Input;
use crate::report::{Edit, Safety, Sink, replace};
use crate::unit::{Base, Step, View, first_line};

pub(super) fn check(view: &View<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    casing(view, sink);
    continuations(view, sink);
    stages(view, input, sink);
    descriptions(view, sink);
    let mut last_of: std::collections::BTreeMap<(Option<usize>, &str), &Step<'_>> = std::collections::BTreeMap::new();
    for step in &view.steps {
        instruction(view, step, sink);
        let keyword = step.instruction.canonical();
        if !step.is_onbuild
            && matches!(keyword, "CMD" | "ENTRYPOINT" | "HEALTHCHECK")
            && let Some(earlier) = last_of.insert((step.stage, keyword), step)
        {
            let span = first_line(&view.unit.file, earlier.instruction.span);
            let message = format!(
                "Multiple {keyword} instructions should not be used in the same stage because only the last one will be used"
            );
            let edit = Edit { span: whole_lines(view, earlier.instruction.span), text: String::new() };
            sink.add("MultipleInstructionsDisallowed", span, message).fix(
                Safety::Safe,
                format!("remove this {keyword}, which does nothing"),
                vec![edit],
            );
        }
    }
    workdirs(view, sink);
}

/// The lines of an instruction, the line end included.
pub(super) fn whole_lines(view: &View<'_>, span: Span) -> Span {
    let source = &view.unit.file.source;
    let start = source[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let start = if source[start..span.start].trim().is_empty() { start } else { span.start };
    let end = source[span.end..].find('\n').map_or(source.len(), |at| span.end + at + 1);
    Span::new(start, end)
}

fn casing(view: &View<'_>, sink: &mut Sink<'_>) {
    let instructions = &view.unit.file.instructions;
    let is_lower = |keyword: &str| keyword.chars().all(|c| c.is_ascii_lowercase());
    let is_upper = |keyword: &str| keyword.chars().all(|c| c.is_ascii_uppercase());
    let lower = instructions.iter().filter(|i| is_lower(&i.keyword.text)).count();
    let upper = instructions.iter().filter(|i| is_upper(&i.keyword.text)).count();
    let majority_is_lower = lower > upper;
    for instruction in instructions {
        let keyword = &instruction.keyword;
        let fits = if majority_is_lower { is_lower(&keyword.text) } else { is_upper(&keyword.text) };
        if fits {
            continue;
        }
        let (name, text) = match majority_is_lower {
            true => ("lowercase", keyword.text.to_ascii_lowercase()),
            false => ("uppercase", keyword.text.to_ascii_uppercase()),
        };
        let message = format!("Command '{}' should match the case of the command majority ({name})", keyword.text);
        let mut edits = vec![replace(keyword.span, text)];
        if let Kind::From(from) = &instruction.kind
            && let Some(word) = &from.as_keyword
        {
            let text = if majority_is_lower { "as" } else { "AS" };
            edits.extend((word.text != text).then(|| replace(word.span, text)));
        }
        sink.add("ConsistentInstructionCasing", keyword.span, message).fix(
            Safety::Safe,
            format!("write it in {name}"),
            edits,
        );
    }
}

fn continuations(view: &View<'_>, sink: &mut Sink<'_>) {
    let source = &view.unit.file.source;
    for warning in &view.unit.file.warnings {
        let Warning::EmptyContinuation { span, .. } = warning;
        let end = source[span.end..].find('\n').map_or(source.len(), |at| span.end + at + 1);
        let edits = vec![replace(Span::new(span.start, end), "")];
        sink.add("NoEmptyContinuation", *span, "Empty continuation line").fix(
            Safety::Safe,
            "remove the empty line",
            edits,
        );
    }
}

fn stages(view: &View<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for stage in &view.stages {
        let from = stage.stage.from;
        if let Some(name) = &from.name {
            stage_name(view, stage.stage.index, name, &mut seen, sink);
        }
        if let Some(word) = &from.as_keyword {
            let keyword = &stage.stage.instruction.keyword.text;
            let is_lower = |text: &str| text == text.to_lowercase();
            let is_upper = |text: &str| text == text.to_uppercase();
            let same = is_lower(keyword) && is_lower(&word.text) || is_upper(keyword) && is_upper(&word.text);
            if !same {
                let text = if is_lower(keyword) { "as" } else { "AS" };
                let message = format!("'{}' and '{keyword}' keywords' casing do not match", word.text);
                let edits = vec![replace(word.span, text)];
                sink.add("FromAsCasing", word.span, message).fix(Safety::Safe, format!("write `{text}`"), edits);
            }
        }
        platform(view, stage.stage.index, sink);
        if let Base::Image(_) = &stage.base {
            known_platform(stage, input, sink);
        }
    }
}

fn stage_name(
    view: &View<'_>,
    index: usize,
    name: &drua_dockerfile::Word,
    seen: &mut BTreeSet<String>,
    sink: &mut Sink<'_>,
) {
    let lower = name.text.to_lowercase();
    if name.text != lower {
        let mut edits = vec![replace(name.span, lower.clone())];
        edits.extend(mentions(view, index, &name.text).into_iter().map(|span| replace(span, lower.clone())));
        sink.add("StageNameCasing", name.span, format!("Stage name '{}' should be lowercase", name.text)).fix(
            Safety::Safe,
            format!("call it `{lower}`"),
            edits,
        );
    }
    if matches!(lower.as_str(), "context" | "scratch") {
        let message = format!("Stage name should not use the same name as reserved stage {:?}", name.text);
        sink.add("ReservedStageName", name.span, message);
    }
    if !seen.insert(lower) {
        let message = format!("Duplicate stage name {:?}, stage names should be unique", name.text);
        sink.add("DuplicateStageName", name.span, message);
    }
}

/// Where a stage's name is written out, beside its own place.
fn mentions(view: &View<'_>, index: usize, name: &str) -> Vec<Span> {
    let after = view.stages.iter().skip(index + 1);
    let bases = after.clone().map(|stage| &stage.stage.from.base);
    let copies = after.flat_map(|stage| view.steps_of(stage)).filter_map(|step| match &step.instruction.kind {
        Kind::Copy(transfer) => transfer.from.as_ref(),
        _ => None,
    });
    bases.chain(copies).filter(|word| word.text == name).map(|word| word.span).collect()
}

fn platform(view: &View<'_>, index: usize, sink: &mut Sink<'_>) {
    let stage = &view.stages[index];
    let Some(word) = &stage.stage.from.platform else { return };
    let text = word.text.as_str();
    let flag = stage.stage.instruction.flags.iter().find(|flag| flag.name == "platform");
    let span = flag.map_or(word.span, |flag| flag.span);
    if matches!(text, "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
        let message =
            format!("Setting platform to predefined {text} in FROM is redundant as this is the default behavior");
        let source = &view.unit.file.source;
        let blank = source[span.end..].len() - source[span.end..].trim_start_matches([' ', '\t']).len();
        let edits = vec![replace(Span::new(span.start, span.end + blank), "")];
        sink.add("RedundantTargetPlatform", span, message).fix(Safety::Safe, "remove the flag", edits);
    } else if !text.contains('$') && !is_platform_name(view, index, text) {
        let message = format!("FROM --platform flag should not use constant value {text:?}");
        let help =
            "leave it out for the platform that is built, or use `$BUILDPLATFORM` for tools that run while building";
        sink.add("FromPlatformFlagConstDisallowed", span, message).help(help);
    }
}

/// A stage that is one of several, named after its platform, may have a constant one.
fn is_platform_name(view: &View<'_>, index: usize, platform: &str) -> bool {
    let Some(name) = view.stages[index].stage.name() else { return false };
    let mut parts = platform.split('/');
    let (os, arch) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    name.contains(os) || !arch.is_empty() && name.contains(arch)
}

fn known_platform(stage: &crate::unit::StageView<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    let expected = match &stage.stage.from.platform {
        Some(word) if !word.text.contains('$') => word.text.as_str(),
        _ => return,
    };
    let known = input.images.iter().find(|image| image.name == stage.base_text);
    if let Some(platform) = known.and_then(|image| image.platform.as_deref())
        && !platform.starts_with(expected)
        && !expected.starts_with(platform)
    {
        let message = format!(
            "Base image {} was pulled with platform {platform:?}, expected {expected:?} for current build",
            stage.base_text
        );
        sink.add("InvalidBaseImagePlatform", stage.stage.from.base.span, message);
    }
}

fn descriptions(view: &View<'_>, sink: &mut Sink<'_>) {
    for instruction in &view.unit.file.instructions {
        let name = match &instruction.kind {
            Kind::From(from) => from.name.as_ref(),
            Kind::Arg(definitions) => definitions.first().map(|definition| &definition.name),
            _ => None,
        };
        let (Some(name), Some(first)) = (name, instruction.doc.first()) else { continue };
        let described = first.split_whitespace().next() == Some(name.text.as_str());
        let is_pragma = first.starts_with("hadolint ") || first.starts_with("drua ") || first.starts_with("check=");
        if !described && !is_pragma {
            let what = if instruction.is_arg() { "ARG" } else { "FROM" };
            let message = format!("Comment for {what} should follow the format: `# {} <description>`", name.text);
            sink.add("InvalidDefinitionDescription", name.span, message);
        }
    }
}

fn instruction(view: &View<'_>, step: &Step<'_>, sink: &mut Sink<'_>) {
    let instruction = step.instruction;
    match &instruction.kind {
        Kind::Cmd(CommandLine::Shell(word)) | Kind::Entrypoint(CommandLine::Shell(word))
            if !step.shell.explicit && !word.text.is_empty() =>
        {
            json_arguments(step, word, sink);
        }
        Kind::Maintainer(name) => maintainer(instruction, name, sink),
        Kind::Env(pairs) => {
            legacy(view, "ENV", instruction, pairs, sink);
            for pair in pairs {
                secret("ENV", &pair.name, sink);
            }
        }
        Kind::Label(pairs) => legacy(view, "LABEL", instruction, pairs, sink),
        Kind::Arg(definitions) => {
            for definition in definitions {
                secret("ARG", &definition.name, sink);
            }
        }
        Kind::Expose(ports) => ports.iter().for_each(|port| expose(port, sink)),
        Kind::Copy(transfer) if transfer.from.is_none() => ignored(view, "Copy", transfer, sink),
        Kind::Add(transfer) => ignored(view, "Add", transfer, sink),
        _ => {}
    }
}

fn json_arguments(step: &Step<'_>, word: &drua_dockerfile::Word, sink: &mut Sink<'_>) {
    let keyword = step.instruction.canonical();
    let message =
        format!("JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals");
    let found = sink.add("JSONArgsRecommended", word.span, message);
    found.help("the shell that runs this does not pass SIGTERM on: `docker stop` waits ten seconds and kills");
    let plain = step.script.as_ref().and_then(plain_words);
    if let Some(words) = plain {
        let list: Vec<String> = words.iter().map(|word| serde_json::Value::from(word.as_str()).to_string()).collect();
        let edits = vec![replace(word.span, format!("[{}]", list.join(", ")))];
        found.fix(Safety::Unsafe, "write it as a JSON array", edits);
    }
}

/// The words of a script that is one command without anything for which a shell is needed.
pub(super) fn plain_words(script: &crate::shell::Script) -> Option<Vec<String>> {
    let [entry] = script.list.entries.as_slice() else { return None };
    let [crate::shell::Command::Simple(simple)] = entry.pipeline.commands.as_slice() else { return None };
    let no_shell = simple.assignments.is_empty()
        && simple.redirects.is_empty()
        && script.slips.is_empty()
        && !entry.pipeline.negated
        && entry.operator == crate::shell::Operator::End;
    let words: Option<Vec<String>> = simple
        .words
        .iter()
        .map(|word| word.literal().filter(|_| !word.is_glob() && !word.text.starts_with('~')).map(str::to_owned))
        .collect();
    let builtin = matches!(
        simple.name(),
        "cd" | "." | "source" | "exec" | "eval" | "export" | "set" | "exit" | "ulimit" | "trap"
    );
    words.filter(|words| no_shell && !builtin && !words.is_empty())
}

fn maintainer(instruction: &Instruction, name: &drua_dockerfile::Word, sink: &mut Sink<'_>) {
    let plain = name.text.trim().trim_matches('"');
    let found = sink.add(
        "MaintainerDeprecated",
        instruction.span,
        "Maintainer instruction is deprecated in favor of using label",
    );
    if !plain.contains(['"', '\\', '$', '\n']) {
        let is_lower = instruction.keyword.text.starts_with('m');
        let label = if is_lower { "label" } else { "LABEL" };
        let text = format!("{label} org.opencontainers.image.authors=\"{plain}\"");
        found.fix(Safety::Safe, "make it a label", vec![replace(instruction.span, text)]);
    }
}

fn legacy(view: &View<'_>, keyword: &str, instruction: &Instruction, pairs: &[Pair], sink: &mut Sink<'_>) {
    for pair in pairs.iter().filter(|pair| pair.legacy) {
        let message =
            format!("\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format");
        let found = sink.add("LegacyKeyValueFormat", instruction.span, message);
        if let Some(value) = quoted_value(&pair.value.text, view.unit.file.escape) {
            let span = Span::new(pair.name.span.end, pair.value.span.end);
            found.fix(Safety::Safe, "write it with `=`", vec![replace(span, format!("={value}"))]);
        }
    }
}

/// The value of `ENV name value` as `name=value` needs it: unquoted blanks get quotes. `None` where that may mean
/// something else.
fn quoted_value(value: &str, escape: char) -> Option<String> {
    let value = value.trim_end();
    if value.contains(escape) || value.contains('\n') {
        return None;
    }
    let quotes = value.matches(['"', '\'']).count();
    match (quotes, value.contains(char::is_whitespace)) {
        (0, false) => Some(value.to_owned()),
        (0, true) => Some(format!("\"{value}\"")),
        // A value that is quoted as a whole means the same in both forms.
        (2, _) if value.len() >= 2 => {
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            value.ends_with(quote).then(|| value.to_owned())
        }
        _ => None,
    }
}

fn secret(keyword: &str, name: &drua_dockerfile::Word, sink: &mut Sink<'_>) {
    if is_secret_name(&name.text) {
        let message = format!("Do not use ARG or ENV instructions for sensitive data ({keyword} {:?})", name.text);
        let help = "hand it over with `RUN --mount=type=secret,id=…`, or when the container starts";
        sink.add("SecretsUsedInArgOrEnv", name.span, message).help(help);
    }
}

/// BuildKit's words, between underscores or ends, unless the name says that it is no secret.
pub(crate) fn is_secret_name(name: &str) -> bool {
    const SECRET: [&str; 10] =
        ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
    const HARMLESS: [&str; 3] = ["public", "file", "version"];
    let lower = name.to_ascii_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let has = |list: &[&str]| lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| list.contains(&word));
    words.any(|word| SECRET.contains(&word)) && !has(&HARMLESS)
}

fn expose(port: &drua_dockerfile::Word, sink: &mut Sink<'_>) {
    let text = &port.text;
    let (number, protocol) = text.split_once('/').map_or((text.as_str(), None), |(n, p)| (n, Some(p)));
    if let Some(protocol) = protocol
        && protocol != protocol.to_lowercase()
    {
        let message = format!("Defined protocol '{text}' in EXPOSE instruction should be lowercase");
        let edits = vec![replace(port.span, format!("{number}/{}", protocol.to_lowercase()))];
        sink.add("ExposeProtoCasing", port.span, message).fix(Safety::Safe, "write it in lower case", edits);
    }
    if number.contains(':') && !number.contains('$') {
        let message =
            format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'");
        let inner = number.rsplit(':').next().unwrap_or(number);
        let new = protocol.map_or(inner.to_owned(), |protocol| format!("{inner}/{protocol}"));
        let found = sink.add("ExposeInvalidFormat", port.span, message);
        if !inner.is_empty() {
            found.fix(Safety::Safe, format!("expose `{new}`"), vec![replace(port.span, new)]);
        }
    }
}

fn ignored(view: &View<'_>, verb: &str, transfer: &Transfer, sink: &mut Sink<'_>) {
    let Some(ignore) = &view.unit.ignore else { return };
    for source in &transfer.sources {
        let Source::Path(word) = source else { continue };
        let path = word.text.trim_matches(['"', '\'']);
        let is_plain =
            !path.contains('$') && !path.contains("://") && !path.starts_with("git@") && !Glob::is_pattern(path);
        let clean = path.trim_start_matches("./").trim_matches('/');
        if !is_plain || clean.is_empty() || clean == "." || clean.starts_with("..") {
            continue;
        }
        if ignore.matches(clean) && !ignore.may_take_back_below(clean) {
            let message = format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
            let help = format!("take it back at the end of the ignore file with `!{clean}`, or do not copy it");
            sink.add("CopyIgnoredFile", word.span, message).help(help);
        }
    }
}

fn workdirs(view: &View<'_>, sink: &mut Sink<'_>) {
    for stage in &view.stages {
        let mut absolute = false;
        let below: Vec<_> = view.chain(stage).skip(1).flat_map(|stage| view.steps_of(stage)).collect();
        absolute |= below.iter().any(|step| is_absolute_workdir(step));
        for step in view.steps_of(stage).iter().filter(|step| !step.is_onbuild) {
            let Kind::Workdir(path) = &step.instruction.kind else { continue };
            let text = path.text.trim_matches('"');
            if is_absolute_workdir(step) || text.starts_with('$') {
                absolute = true;
            } else if !absolute {
                let message =
                    format!("Relative workdir {text:?} can have unexpected results if the base image changes");
                sink.add("WorkdirRelativePath", path.span, message);
            }
        }
    }
}

fn is_absolute_workdir(step: &Step<'_>) -> bool {
    let Kind::Workdir(path) = &step.instruction.kind else { return false };
    let text = path.text.trim_matches('"');
    text.starts_with('/') || text.starts_with('\\') || text.as_bytes().get(1) == Some(&b':')
}
