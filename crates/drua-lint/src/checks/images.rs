//! What stages stand on, and whom they run as.

use drua_dockerfile::{Kind, Span};

use super::buildkit::whole_lines;
use crate::eol;
use crate::images::Reference;
use crate::input::Input;
use crate::report::{Safety, Sink, insert, replace};
use crate::unit::{Base, StageView, View, first_line};

/// Tags that say nothing about a version.
const VAGUE: [&str; 14] = [
    "slim", "lts", "stable", "alpine", "current", "edge", "bookworm", "bullseye", "trixie", "main", "master",
    "nightly", "rolling", "mainline",
];

pub(super) fn check(view: &View<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    for stage in &view.stages {
        if let Base::Image(reference) = &stage.base {
            base(stage, reference, input, sink);
        }
        for step in view.steps_of(stage) {
            if let Kind::Copy(copy) = &step.instruction.kind
                && let Some(from) = &copy.from
                && view.stage_named(&from.text, stage.stage.index).is_none()
                && from.text.contains(['/', ':'])
                && !from.text.contains('$')
            {
                let reference = Reference::parse(&from.text);
                if reference.digest.is_none() && reference.tag_or_latest() == "latest" {
                    sink.add("DR1021", from.span, format!("`{}` changes under your feet", from.text))
                        .help("name a release");
                }
            }
        }
        let index = stage.stage.index;
        if !stage.needed && index + 1 < view.stages.len() {
            let name = stage.stage.name().unwrap_or_else(|| index.to_string());
            sink.add(
                "DR1027",
                first_line(&view.unit.file, stage.stage.instruction.span),
                format!("nothing needs the stage `{name}`"),
            );
        }
    }
    user(view, input, sink);
}

fn base(stage: &StageView<'_>, reference: &Reference, input: &Input<'_>, sink: &mut Sink<'_>) {
    let span = stage.stage.from.base.span;
    let is_plain = !stage.stage.from.base.text.contains('$');
    if reference.digest.is_none() {
        let known =
            input.images.iter().find(|image| image.name == reference.text).and_then(|image| image.digest.as_ref());
        let found = sink.add("DR1001", span, format!("`{}` can become another image", reference.text));
        match known {
            Some(digest) if is_plain => {
                found.fix(
                    Safety::Safe,
                    "pin the digest of the image that is here",
                    vec![insert(span.end, format!("@{digest}"))],
                );
            }
            _ => drop(found.help(format!("`drua pull {0}` and `drua images --digests` show it", reference.text))),
        }
    }
    if let Some(end) = input.today.and_then(|today| eol::ended(reference, today)) {
        let found = sink.add("DR1002", span, format!("{} has not got fixes since {}", end.what, end.date));
        let newer = end.instead.map(|release| format!("; {release} still does")).unwrap_or_default();
        found.help(format!("by a table of {}{newer}", eol::TABLE_DATE));
    }
    let tag = reference.tag.as_deref().unwrap_or_default();
    let words: Vec<&str> = tag.split('-').collect();
    let vague = !tag.is_empty()
        && words.iter().all(|word| VAGUE.contains(word))
        && !matches!(reference.short(), "debian" | "buildpack-deps" | "ubuntu" | "scratch");
    if vague && reference.digest.is_none() {
        sink.add("DR1004", span, format!("`{tag}` names no release")).help("the tag should begin with a version");
    }
}

/// Images whose own user is not root, by their names.
fn is_rootless(reference: &Reference) -> bool {
    let tag = reference.tag.as_deref().unwrap_or_default();
    tag.contains("nonroot")
        || tag.contains("rootless")
        || tag.contains("unprivileged")
        || reference.name.contains("unprivileged")
        || reference.name.contains("distroless") && tag.contains("nonroot")
        || reference.registry.as_deref() == Some("cgr.dev") && reference.name.starts_with("chainguard/")
        || reference.registry.as_deref() == Some("dhi.io")
        || matches!(reference.name.as_str(), "grafana/grafana" | "prom/prometheus" | "bitnami/minideb")
}

fn user(view: &View<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    let Some(last) = view.last() else { return };
    let steps = view.inherited_steps(last);
    let mut users = steps.iter().filter_map(|step| match &step.instruction.kind {
        Kind::User(word) => Some(word),
        _ => None,
    });
    let name = users.next_back().map(|word| word.text.split(':').next().unwrap_or_default().to_owned());
    privileged_port(view, last, name.as_deref(), sink);
    let starts_something = steps.iter().any(|step| matches!(step.instruction.kind, Kind::Cmd(_) | Kind::Entrypoint(_)));
    if name.is_some() || !starts_something || last.base == Base::Unknown {
        return;
    }
    if is_wasm(view, last) {
        return;
    }
    let root = view.root_image(last);
    let known = root.and_then(|reference| input.images.iter().find(|image| image.name == reference.text));
    let known_user = known.and_then(|image| image.user.as_deref()).filter(|user| !matches!(*user, "" | "root" | "0"));
    if root.is_some_and(is_rootless) || known_user.is_some() {
        return;
    }
    let span = first_line(&view.unit.file, last.stage.instruction.span);
    let found = sink.add("DR1003", span, "no USER: the program runs as root");
    let ready = root.map(Reference::short);
    let user = match ready {
        Some("node") => "1000",
        _ => "10001",
    };
    found.help(format!(
        "`USER {user}` before CMD; files that the program writes must be its own (`COPY --chown={user}`)"
    ));
    // In front of the last CMD or ENTRYPOINT of the stage, where everything has been installed.
    let own = view.steps_of(last);
    let first_start = own.iter().find(|step| matches!(step.instruction.kind, Kind::Cmd(_) | Kind::Entrypoint(_)));
    let nothing_after = first_start.is_some_and(|start| {
        own.iter().all(|step| {
            step.instruction.span.start <= start.instruction.span.start
                || !matches!(step.instruction.kind, Kind::Run(_) | Kind::Copy(_) | Kind::Add(_))
        })
    });
    if let Some(start) = first_start.filter(|_| nothing_after) {
        let at = whole_lines(view, start.instruction.span).start;
        let keyword = if start.instruction.keyword.text.starts_with(char::is_lowercase) { "user" } else { "USER" };
        let end = line_end(&view.unit.file.source);
        found.fix(Safety::Unsafe, format!("add USER {user}"), vec![insert(at, format!("{keyword} {user}{end}"))]);
    }
}

/// The line end that a file uses.
pub(super) fn line_end(source: &str) -> &'static str {
    if source.contains("\r\n") { "\r\n" } else { "\n" }
}

fn privileged_port(view: &View<'_>, stage: &StageView<'_>, user: Option<&str>, sink: &mut Sink<'_>) {
    if !user.is_some_and(|user| !matches!(user, "root" | "0") && !user.contains('$')) {
        return;
    }
    for step in view.steps_of(stage) {
        let Kind::Expose(ports) = &step.instruction.kind else { continue };
        for port in ports {
            let number = port.text.split('/').next().and_then(|number| number.parse::<u16>().ok());
            if number.is_some_and(|number| number < 1024 && number > 0) {
                sink.add(
                    "DR1020",
                    port.span,
                    format!("port {} may be refused to `{}`", port.text, user.unwrap_or_default()),
                )
                .help("listen on a port from 1024 on, and publish it as any other: `-p 80:8080`");
            }
        }
    }
}

/// Whether a stage's program is a Wasm module.
pub(super) fn is_wasm(view: &View<'_>, stage: &StageView<'_>) -> bool {
    module(view, stage).is_some()
}

/// Where a stage names the Wasm module that it starts.
pub(super) fn module(view: &View<'_>, stage: &StageView<'_>) -> Option<Span> {
    use drua_dockerfile::CommandLine;
    let commands = view.inherited_steps(stage).into_iter().filter_map(|step| match &step.instruction.kind {
        Kind::Entrypoint(command) => Some(command),
        Kind::Cmd(command) => Some(command),
        _ => None,
    });
    for command in commands {
        let (text, span) = match command {
            CommandLine::Exec(words) => words.first().map(|word| (word.text.as_str(), word.span))?,
            CommandLine::Shell(word) => (word.text.split_whitespace().next().unwrap_or_default(), word.span),
        };
        if text.ends_with(".wasm") || text.ends_with(".wasm\"") {
            return Some(span);
        }
    }
    None
}

/// Rules about WebAssembly inside one Dockerfile.
pub(super) fn wasm(view: &View<'_>, sink: &mut Sink<'_>) {
    for step in &view.steps {
        let Some(run) = super::packages::Run::new(view, step) else { continue };
        for command in &run.commands {
            for word in command.args() {
                let old = word.text == "wasm32-wasi" || word.text == "--target=wasm32-wasi";
                if old {
                    let span = run.script.span(word.span);
                    let text = word.text.replace("wasm32-wasi", "wasm32-wasip1");
                    sink.add("DR3004", span, "Rust has no target `wasm32-wasi` any more").fix(
                        Safety::Safe,
                        "call it wasm32-wasip1",
                        vec![replace(span, text)],
                    );
                }
            }
        }
    }
    let Some(last) = view.last() else { return };
    let Some(span) = module(view, last) else { return };
    match view.root_image(last) {
        Some(image) => {
            let reference = &image.text;
            let has_runtime = ["wasmtime", "wasmedge", "wasmer", "spin"].iter().any(|name| reference.contains(name));
            if !has_runtime {
                let message = format!("`{reference}` is there for nothing: the module needs no Linux");
                sink.add("DR3001", span, message)
                    .help("`FROM scratch`, COPY the module, and build with `--platform wasi/wasm`");
            }
        }
        None if last.base == Base::Scratch => {
            for step in view.steps_of(last) {
                let shell =
                    |command: &drua_dockerfile::CommandLine| matches!(command, drua_dockerfile::CommandLine::Shell(_));
                let (is_wrong, what) = match &step.instruction.kind {
                    Kind::Run(_) => (true, "RUN"),
                    Kind::Cmd(command) => (shell(command), "the shell form of CMD"),
                    Kind::Entrypoint(command) => (shell(command), "the shell form of ENTRYPOINT"),
                    Kind::Healthcheck(check) => (check.check != drua_dockerfile::Check::None, "HEALTHCHECK"),
                    _ => (false, ""),
                };
                if is_wrong {
                    let span = first_line(&view.unit.file, step.instruction.span);
                    sink.add("DR3003", span, format!("{what} needs a program that a WebAssembly image has not"));
                }
            }
        }
        None => {}
    }
}
