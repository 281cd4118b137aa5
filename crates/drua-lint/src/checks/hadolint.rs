//! hadolint's rules about instructions.

use std::collections::BTreeSet;

use drua_dockerfile::{Instruction, Kind, Source, Span, Transfer, Word};

use crate::input::Input;
use crate::report::{Safety, Sink, insert, replace};
use crate::unit::{Base, StageView, Step, View};

pub(super) fn check(view: &View<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    for comment in &view.unit.file.comments {
        if comment.text.starts_with("hadolint ignore=") || comment.text.starts_with("hadolint global ignore=") {
            sink.add("DL1001", comment.span, "a comment silences findings").help("put it into `.drua/lint.toml`");
        }
    }
    for stage in &view.stages {
        from(stage, input, sink);
        users(view, stage, sink);
        consecutive(view, stage, sink);
        destinations(view, stage, sink);
        archives(view, stage, sink);
        if !view.inherited_steps(stage).iter().any(|step| matches!(step.instruction.kind, Kind::Healthcheck(_)))
            && stage.stage.index + 1 == view.stages.len()
        {
            sink.add("DL3057", stage.stage.from.base.span, "`HEALTHCHECK` instruction missing");
        }
    }
    for step in &view.steps {
        instruction(view, step, sink);
    }
}

fn from(stage: &StageView<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    let Base::Image(reference) = &stage.base else { return };
    let span = stage.stage.from.base.span;
    let has_variable = stage.stage.from.base.text.contains('$');
    if reference.digest.is_none() {
        match reference.tag.as_deref() {
            None if !has_variable => {
                let help =
                    format!("write `{}:<version>`; without a tag it is whatever `latest` is today", reference.text);
                sink.add("DL3006", span, format!("`{}` has no tag", reference.text)).help(help);
            }
            Some("latest") => {
                sink.add("DL3007", span, format!("`{}` changes under your feet", reference.text))
                    .help("name a release, and pin its digest where it matters");
            }
            _ => {}
        }
    }
    let trusted = &input.config.trusted_registries;
    let registry = reference.registry.as_deref().unwrap_or("docker.io");
    let fits = |allowed: &String| match allowed.strip_prefix('*') {
        Some(end) => registry.ends_with(end),
        None => allowed == registry || allowed == "*",
    };
    if !trusted.is_empty() && !trusted.iter().any(fits) {
        let help = format!("the configuration trusts {}", trusted.join(", "));
        sink.add("DL3026", span, format!("`{registry}` is not among the trusted registries")).help(help);
    }
}

fn users(view: &View<'_>, stage: &StageView<'_>, sink: &mut Sink<'_>) {
    let steps = view.steps_of(stage).iter().filter(|step| !step.is_onbuild);
    let users: Vec<&Word> = steps
        .filter_map(|step| match &step.instruction.kind {
            Kind::User(word) => Some(word),
            _ => None,
        })
        .collect();
    if let Some(last) = users.last() {
        let name = last.text.split(':').next().unwrap_or_default();
        if matches!(name, "root" | "0") {
            sink.add("DL3002", last.span, "the last USER is root")
                .help("end with the user that the program is to run as");
        } else if !name.is_empty() && !name.contains('$') && !name.chars().all(|c| c.is_ascii_digit()) {
            sink.add("DL3066", last.span, format!("`{name}` is a name: a number can be checked without the image"));
        }
    }
}

fn consecutive(view: &View<'_>, stage: &StageView<'_>, sink: &mut Sink<'_>) {
    let mut before: Option<&Step<'_>> = None;
    for step in view.steps_of(stage).iter().filter(|step| !step.is_onbuild) {
        let this = run(step.instruction);
        if let (Some(this), Some(earlier)) = (this, before)
            && let Some(earlier_run) = run(earlier.instruction)
            && earlier_run.mounts == this.mounts
            && (earlier_run.network, earlier_run.security) == (this.network, this.security)
            && step.instruction.heredocs.is_empty()
            && earlier.instruction.heredocs.is_empty()
            && commands_of(step) <= 2
            && commands_of(earlier) <= 2
        {
            let span = step.instruction.keyword.span;
            sink.add("DL3059", span, "this RUN and the one above are two layers")
                .help("join them with `&&`, or use a heredoc");
        }
        before = Some(step);
    }
}

/// How many commands a script has on its top level.
fn commands_of(step: &Step<'_>) -> usize {
    step.script.as_ref().map_or(1, |script| script.list.entries.len())
}

fn run(instruction: &Instruction) -> Option<&drua_dockerfile::Run> {
    if let Kind::Run(run) = &instruction.kind { Some(run) } else { None }
}

fn destinations(view: &View<'_>, stage: &StageView<'_>, sink: &mut Sink<'_>) {
    let inherited = view.chain(stage).skip(1).flat_map(|below| view.steps_of(below));
    let mut workdir = inherited.into_iter().any(|step| matches!(step.instruction.kind, Kind::Workdir(_)));
    for step in view.steps_of(stage) {
        match &step.instruction.kind {
            Kind::Workdir(_) => workdir = true,
            Kind::Copy(copy) if !workdir => {
                let text = copy.destination.text.trim_matches(['"', '\'']);
                let is_absolute = text.starts_with(['/', '$', '\\']) || text.as_bytes().get(1) == Some(&b':');
                if !is_absolute {
                    sink.add(
                        "DL3045",
                        copy.destination.span,
                        format!("`{text}` is relative, and no WORKDIR says to what"),
                    );
                }
            }
            _ => {}
        }
    }
}

const ARCHIVES: [&str; 14] =
    [".tar", ".gz", ".bz2", ".xz", ".zip", ".tgz", ".tb2", ".tbz", ".tbz2", ".tz2", ".lz", ".lzma", ".tlz", ".txz"];

/// Whether a name is that of an archive that ADD unpacks, or that people believe it does.
pub(super) fn is_archive(path: &str) -> bool {
    ARCHIVES.iter().chain(&[".Z", ".tZ", ".taz", ".tzst", ".zst"]).any(|end| path.ends_with(end))
}

fn archives(view: &View<'_>, stage: &StageView<'_>, sink: &mut Sink<'_>) {
    let steps = view.steps_of(stage);
    for (index, step) in steps.iter().enumerate() {
        let Kind::Copy(copy) = &step.instruction.kind else { continue };
        if copy.from.is_some() {
            continue;
        }
        for source in &copy.sources {
            let Source::Path(word) = source else { continue };
            let name = word.text.rsplit('/').next().unwrap_or_default();
            if !is_archive(name) {
                continue;
            }
            let target = copy.destination.text.rsplit('/').next().unwrap_or_default();
            let unpacked = steps[index + 1..].iter().filter_map(|step| step.script.as_ref()).any(|script| {
                script.list.commands().iter().any(|command| {
                    let unpacks = matches!(
                        command.name(),
                        "tar" | "unzip" | "gunzip" | "bunzip2" | "unxz" | "unlzma" | "xz" | "gzip"
                    );
                    let file = |word: &&crate::shell::Word| {
                        word.text.rsplit('/').next().unwrap_or_default() == name
                            || !target.is_empty() && word.text.ends_with(target)
                    };
                    unpacks && command.args().iter().any(|word| file(&word))
                })
            });
            if unpacked && !name.ends_with(".zip") {
                sink.add("DL3010", word.span, format!("`{name}` is copied and unpacked in two layers"))
                    .help("`ADD` unpacks while it copies; or take it with `RUN --mount=type=bind`");
            }
        }
    }
}

fn instruction(view: &View<'_>, step: &Step<'_>, sink: &mut Sink<'_>) {
    match &step.instruction.kind {
        Kind::Workdir(path) => {
            let text = path.text.trim_matches(['"', '\'']);
            let is_windows = text.as_bytes().get(1) == Some(&b':') || text.starts_with('\\');
            if !text.starts_with(['/', '$']) && !is_windows {
                sink.add("DL3000", path.span, format!("`{text}` is not absolute"));
            }
        }
        Kind::Expose(ports) => ports.iter().for_each(|port| valid_port(port, sink)),
        Kind::Add(add) => add_or_copy(step, add, sink),
        Kind::Copy(copy) => copies(view, step, copy, sink),
        Kind::Env(pairs) => {
            // Values are expanded with what was set before the instruction.
            let mut earlier: BTreeSet<&str> = BTreeSet::new();
            let known = already_set(view, step);
            for pair in pairs {
                let uses = |name: &&&str| refers(&pair.value.text, name) && !known.contains(**name);
                if let Some(name) = earlier.iter().find(uses) {
                    sink.add("DL3044", pair.value.span, format!("`{name}` is set by this same ENV, and empty here"));
                }
                earlier.insert(&pair.name.text);
            }
        }
        _ => {}
    }
}

fn already_set(view: &View<'_>, step: &Step<'_>) -> BTreeSet<String> {
    let stage = step.stage.and_then(|index| view.stages.get(index));
    let Some(stage) = stage else { return BTreeSet::new() };
    let mut known = view.variables_at_start(stage);
    let before =
        view.steps_of(stage).iter().take_while(|other| other.instruction.span.start < step.instruction.span.start);
    known.extend(before.flat_map(|step| crate::unit::defines(step.instruction)));
    known
}

/// Whether a text has `$name` or `${name…}`.
pub(super) fn refers(text: &str, name: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        let inner = rest.strip_prefix('{').unwrap_or(rest);
        let length = inner.len() - inner.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        if &inner[..length] == name {
            return true;
        }
    }
    false
}

fn valid_port(port: &Word, sink: &mut Sink<'_>) {
    let number = port.text.split('/').next().unwrap_or_default();
    if port.text.contains('$') {
        return;
    }
    let too_high = |text: &str| {
        text.chars().all(|c| c.is_ascii_digit()) && text.parse::<u32>().map_or(!text.is_empty(), |n| n > 65_535)
    };
    if number.split('-').any(too_high) {
        sink.add("DL3011", port.span, format!("`{number}` is no port: they end at 65535"));
    }
}

fn add_or_copy(step: &Step<'_>, add: &Transfer, sink: &mut Sink<'_>) {
    let needs_add = add.checksum.is_some() || add.keep_git_dir.is_some() || add.unpack.is_some();
    let plain = |source: &Source| match source {
        Source::Heredoc(_) => true,
        Source::Path(word) => {
            let text = word.text.trim_matches(['"', '\'']);
            let is_remote = text.contains("://") || text.starts_with("git@") || text.contains('$');
            !is_remote && !is_archive(text)
        }
    };
    if needs_add || !add.sources.iter().any(plain) {
        return;
    }
    let keyword = &step.instruction.keyword;
    let found = sink.add("DL3020", keyword.span, "COPY does what is needed here, and nothing more");
    let mixed = !add.sources.iter().all(plain)
        || add.sources.iter().any(|source| matches!(source, Source::Path(word) if word.text.contains(['*', '?', '['])));
    if !mixed {
        let text = if keyword.text == "add" { "copy" } else { "COPY" };
        found.fix(Safety::Safe, "use COPY", vec![replace(keyword.span, text)]);
    }
}

fn copies(view: &View<'_>, step: &Step<'_>, copy: &Transfer, sink: &mut Sink<'_>) {
    let text = copy.destination.text.trim_matches(['"', '\'']);
    if copy.sources.len() > 1 && !text.ends_with('/') && !matches!(text, "." | "..") && !text.starts_with('$') {
        let is_plain = copy.destination.text == text && !text.ends_with("/.");
        let found = sink.add(
            "DL3021",
            copy.destination.span,
            format!("several files go to `{text}`, which is no folder without a `/`"),
        );
        if is_plain {
            found.fix(Safety::Safe, "add the slash", vec![insert(copy.destination.span.end, "/")]);
        }
    }
    let (Some(from), Some(stage)) = (&copy.from, step.stage) else { return };
    let own = view.stages.get(stage).and_then(|stage| stage.stage.name());
    if own.as_deref() == Some(from.text.to_lowercase().as_str()) || from.text.parse() == Ok(stage) {
        sink.add("DL3023", from.span, format!("`{}` is this stage itself", from.text));
    } else if view.stage_named(&from.text, stage).is_none() && !from.text.contains([':', '/', '$', '@']) {
        sink.add("DL3022", from.span, format!("no stage above is called `{}`", from.text))
            .help("for an image, write its name with a tag");
    }
    let whole = |source: &Source| matches!(source, Source::Path(word) if word.text.trim_matches('"') == "/");
    let Span { start, end } = step.instruction.span;
    let from_stage = view.stage_named(&from.text, stage);
    if copy.sources.iter().any(whole) && text == "/" && from_stage.is_some() {
        sink.add("DL3067", Span::new(start, end), format!("everything of `{}` is copied", from.text));
    }
}
