//! Dockerfiles and compose files together.

use std::collections::BTreeSet;

use drua_dockerfile::{Check, Kind, Source, Span, nearest};

use super::compose::{add_line, ports};
use super::images::is_wasm;
use crate::compose::{ComposeView, Service, join};
use crate::input::Input;
use crate::report::{Safety, Sink, replace};
use crate::unit::{StageView, View};
use crate::yaml::{Node, Value};

/// A service and the Dockerfile that it builds.
struct Pair<'p> {
    compose: &'p ComposeView<'p>,
    service: Service<'p>,
    view: &'p View<'p>,
    /// Where the build context lies.
    context: String,
}

pub(super) fn check(compose: &ComposeView<'_>, views: &[View<'_>], input: &Input<'_>, sink: &mut Sink<'_>) {
    let services = compose.services();
    for service in &services {
        if let Some(pair) = pair(compose, *service, views) {
            ports_of(&pair, sink);
            build(&pair, sink);
            if let Some(stage) = stage(&pair) {
                watch(&pair, stage, sink);
                mounts(&pair, stage, sink);
                health_tool(&pair, stage, sink);
                wasm(&pair, stage, sink);
            }
        }
        waits(compose, service, &services, (views, input), sink);
    }
}

fn pair<'p>(compose: &'p ComposeView<'p>, service: Service<'p>, views: &'p [View<'p>]) -> Option<Pair<'p>> {
    let (context, dockerfile) = service.build(compose.folder())?;
    let view = views.iter().find(|view| join(".", view.unit.build.dockerfile.path) == dockerfile)?;
    (view.unit.errors.is_empty()).then_some(Pair { compose, service, view, context })
}

/// The stage that the service runs.
fn stage<'p>(pair: &'p Pair<'p>) -> Option<&'p StageView<'p>> {
    let target = pair.service.get("build").and_then(|build| build.get("target")).and_then(Node::as_text);
    match target {
        None => pair.view.last(),
        Some(name) => pair.view.stages.get(pair.view.stage_named(name, pair.view.stages.len())?),
    }
}

fn ports_of(pair: &Pair<'_>, sink: &mut Sink<'_>) {
    let Some(stage) = stage(pair) else { return };
    let mut exposed: BTreeSet<String> = BTreeSet::new();
    for step in pair.view.inherited_steps(stage) {
        if let Kind::Expose(words) = &step.instruction.kind {
            exposed.extend(words.iter().map(|word| word.text.split('/').next().unwrap_or_default().to_owned()));
        }
    }
    let unknown = exposed.iter().any(|port| port.contains(['$', '-']));
    if exposed.is_empty() || unknown {
        return;
    }
    for port in ports(&pair.service) {
        if port.target.parse::<u16>().is_ok() && !exposed.contains(&port.target) {
            let list = exposed.iter().cloned().collect::<Vec<_>>().join(", ");
            let message =
                format!("`{}` publishes port {}, but its Dockerfile exposes {list}", pair.service.name, port.target);
            sink.add("DR4001", port.span, message);
        }
    }
}

fn build(pair: &Pair<'_>, sink: &mut Sink<'_>) {
    let Some(build) = pair.service.get("build") else { return };
    let view = pair.view;
    let path = view.unit.build.dockerfile.path;
    if let Some(node) = build.get("target")
        && let Some(name) = node.as_text().filter(|name| !name.contains('$'))
        && view.stage_named(name, view.stages.len()).is_none()
    {
        let names: Vec<String> = view.stages.iter().filter_map(|stage| stage.stage.name()).collect();
        let found = sink.add("DR4003", node.span, format!("`{path}` has no stage `{name}`"));
        if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
            let edit = replace(node.span, near);
            found.help(format!("did you mean `{near}`?")).fix(Safety::Unsafe, format!("target `{near}`"), vec![edit]);
        } else if !names.is_empty() {
            found.help(format!("its stages are {}", names.join(", ")));
        }
    }
    let Some(args) = build.get("args") else { return };
    let mut declared: BTreeSet<String> = view.globals.keys().cloned().collect();
    for step in &view.steps {
        if let Kind::Arg(definitions) = &step.instruction.kind {
            declared.extend(definitions.iter().map(|definition| definition.name.text.clone()));
        }
    }
    for (name, _, span) in args.pairs() {
        let predefined =
            name.starts_with("BUILDKIT_") || name == "SOURCE_DATE_EPOCH" || name.to_lowercase().ends_with("_proxy");
        if predefined || declared.contains(&name) {
            continue;
        }
        let found = sink.add("DR4004", span, format!("`{path}` has no `ARG {name}`"));
        if let Some(near) = nearest(&name, declared.iter().map(String::as_str)) {
            found.help(format!("did you mean `{near}`?"));
            let name_span = Span::new(span.start, span.start + name.len());
            if pair.compose.text.text.get(name_span.range()) == Some(name.as_str()) {
                found.fix(Safety::Unsafe, format!("call it `{near}`"), vec![replace(name_span, near)]);
            }
        }
    }
}

/// Where COPY puts files of the context: destination, owner given, source.
fn copies<'v>(view: &'v View<'_>, stage: &'v StageView<'_>) -> Vec<(String, bool, Vec<String>)> {
    let mut workdir = "/".to_owned();
    let mut found = Vec::new();
    let mut user: Option<String> = None;
    for step in view.inherited_steps(stage) {
        match &step.instruction.kind {
            Kind::Workdir(path) => workdir = join(&workdir, path.text.trim_matches('"')),
            Kind::User(word) => user = Some(word.text.clone()),
            Kind::Copy(copy) | Kind::Add(copy) => {
                let sources = copy.sources.iter().filter_map(|source| match source {
                    Source::Path(word) => Some(word.text.clone()),
                    Source::Heredoc(_) => None,
                });
                let target = join(&workdir, copy.destination.text.trim_matches('"'));
                found.push((
                    target,
                    copy.chown.is_some(),
                    if copy.from.is_some() { Vec::new() } else { sources.collect() },
                ));
            }
            _ => {}
        }
    }
    let _ = user;
    found
}

fn user_of(view: &View<'_>, stage: &StageView<'_>) -> Option<String> {
    let steps = view.inherited_steps(stage);
    let mut users = steps.iter().filter_map(|step| match &step.instruction.kind {
        Kind::User(word) => Some(word.text.split(':').next().unwrap_or_default().to_owned()),
        _ => None,
    });
    users.next_back()
}

fn is_below(path: &str, folder: &str) -> bool {
    folder == "/" || path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn watch(pair: &Pair<'_>, stage: &StageView<'_>, sink: &mut Sink<'_>) {
    let rules = pair.service.get("develop").and_then(|develop| develop.get("watch")).and_then(Node::items);
    let copies = copies(pair.view, stage);
    let user = pair.service.text("user").map(str::to_owned).or_else(|| user_of(pair.view, stage));
    for rule in rules.unwrap_or_default() {
        let action = rule.get("action").and_then(Node::as_text).unwrap_or_default();
        let Some(path) = rule.get("path").and_then(Node::as_text) else { continue };
        let path_span = rule.get("path").map_or(rule.span, |node| node.span);
        let watched = join(pair.compose.folder(), path);
        let inside = match pair.context.as_str() {
            "." => Some(watched.as_str()).filter(|path| *path != "."),
            context => {
                watched.strip_prefix(context).map(|rest| rest.trim_start_matches('/')).filter(|rest| !rest.is_empty())
            }
        };
        if let (Some(ignore), Some(inside)) = (&pair.view.unit.ignore, inside)
            && ignore.matches(inside)
            && !ignore.may_take_back_below(inside)
        {
            sink.add("DR4008", path_span, format!("`{path}` is in the ignore file, so nothing is ever watched"));
        }
        let Some(target) = rule.get("target").and_then(Node::as_text).filter(|_| action.starts_with("sync")) else {
            continue;
        };
        if target.contains('$') || copies.is_empty() {
            continue;
        }
        let hit =
            copies.iter().filter(|(place, ..)| is_below(target, place) || is_below(place, target)).collect::<Vec<_>>();
        if hit.is_empty() {
            let span = rule.get("target").map_or(rule.span, |node| node.span);
            let places: Vec<&str> = copies
                .iter()
                .filter(|(_, _, sources)| !sources.is_empty())
                .map(|(place, ..)| place.as_str())
                .take(3)
                .collect();
            let found = sink.add("DR4005", span, format!("the Dockerfile copies nothing to `{target}`"));
            if !places.is_empty() {
                found.help(format!("it copies to {}", places.join(", ")));
            }
            continue;
        }
        let rootless = user.as_deref().is_some_and(|user| !matches!(user, "root" | "0" | "") && !user.contains('$'));
        let owned = hit.iter().any(|(_, chown, _)| *chown) || chowns(pair.view, stage);
        if rootless && !owned {
            let user = user.as_deref().unwrap_or_default();
            let span = rule.get("target").map_or(rule.span, |node| node.span);
            sink.add("DR4006", span, format!("`{user}` may not write to `{target}`, which is root's"))
                .help(format!("`COPY --chown={user}` makes it theirs"));
        }
    }
}

fn chowns(view: &View<'_>, stage: &StageView<'_>) -> bool {
    let runs = view.inherited_steps(stage).into_iter().filter_map(|step| step.script.as_ref());
    runs.flat_map(|script| script.list.commands()).any(|command| matches!(command.name(), "chown" | "chmod"))
}

/// Folders that installers make in the working directory.
const INSTALLED: [(&str, &str); 6] = [
    ("npm", "node_modules"),
    ("yarn", "node_modules"),
    ("pnpm", "node_modules"),
    ("composer", "vendor"),
    ("bundle", "vendor"),
    ("uv", ".venv"),
];

fn mounts(pair: &Pair<'_>, stage: &StageView<'_>, sink: &mut Sink<'_>) {
    let volumes = pair.service.get("volumes").and_then(Node::items).unwrap_or_default();
    let place = |node: &Node| -> Option<(Option<String>, String)> {
        match &node.value {
            Value::Map(_) => {
                let source = node.get("source").and_then(Node::as_text).map(str::to_owned);
                let is_bind = node.get("type").and_then(Node::as_text) == Some("bind");
                Some((source.filter(|_| is_bind), node.get("target").and_then(Node::as_text)?.to_owned()))
            }
            _ => {
                let text = node.as_text()?;
                let mut parts = text.split(':');
                let first = parts.next()?;
                match parts.next() {
                    None => Some((None, first.to_owned())),
                    Some(target) => Some((
                        Some(first.to_owned()).filter(|source| source.starts_with(['.', '/', '~'])),
                        target.to_owned(),
                    )),
                }
            }
        }
    };
    let all: Vec<(Option<String>, String)> = volumes.iter().filter_map(place).collect();
    let mut workdir = "/".to_owned();
    let mut made: Vec<(String, &str)> = Vec::new();
    for step in pair.view.inherited_steps(stage) {
        if let Kind::Workdir(path) = &step.instruction.kind {
            workdir = join(&workdir, path.text.trim_matches('"'));
        }
        let (Kind::Run(_), Some(script)) = (&step.instruction.kind, &step.script) else { continue };
        for command in script.list.commands() {
            let installs = command
                .args()
                .first()
                .is_some_and(|verb| matches!(verb.text.as_str(), "install" | "ci" | "i" | "sync"))
                || command.name() == "yarn" && command.args().is_empty();
            let global = command.has_option('g', &["--global"]);
            if let Some((_, folder)) = INSTALLED.iter().find(|(name, _)| *name == command.name() && installs && !global)
            {
                made.push((join(&workdir, folder), folder));
            }
        }
    }
    for node in volumes {
        let Some((Some(_), target)) = place(node) else { continue };
        for (folder, name) in &made {
            let kept = all.iter().any(|(_, other)| other.trim_end_matches('/') == folder);
            if is_below(folder, target.trim_end_matches('/')) && *folder != target && !kept {
                sink.add("DR4007", node.span, format!("the mount hides `{folder}`, which the build has made")).help(format!("add a volume for it (`{folder}`), or use `develop.watch`; {name} of the host is for another machine"));
                break;
            }
        }
    }
}

fn health_tool(pair: &Pair<'_>, stage: &StageView<'_>, sink: &mut Sink<'_>) {
    let Some(test) = pair.service.get("healthcheck").and_then(|check| check.get("test")) else { return };
    let words: Vec<String> = match test.as_text() {
        Some(text) => text.split_whitespace().map(str::to_owned).collect(),
        None => {
            let texts = test.texts();
            texts.iter().skip(1).flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
        }
    };
    let Some(tool) = words.first().filter(|tool| matches!(tool.as_str(), "curl" | "wget" | "nc" | "bash")) else {
        return;
    };
    let Some(image) = pair.view.root_image(stage) else { return };
    let base = image.text.as_str();
    // What these bases bring along is known; of others nothing is said.
    let has = match tool.as_str() {
        "wget" | "nc" => base.contains("alpine") || base.contains("busybox"),
        _ => false,
    };
    let small = base.contains("alpine")
        || base.contains("slim")
        || base.contains("distroless")
        || base.starts_with("debian")
        || base.starts_with("ubuntu")
        || base.contains("busybox");
    let installed = pair
        .view
        .inherited_steps(stage)
        .iter()
        .filter_map(|step| step.script.as_ref())
        .any(|script| script.text.contains(tool.as_str()));
    if small && !has && !installed {
        sink.add("DR4010", test.span, format!("`{base}` has no {tool}"))
            .help(format!("install {tool} in the Dockerfile, or check with what the image has"));
    }
}

fn wasm(pair: &Pair<'_>, stage: &StageView<'_>, sink: &mut Sink<'_>) {
    if !is_wasm(pair.view, stage) {
        return;
    }
    let platforms = pair.service.get("build").and_then(|build| build.get("platforms"));
    if pair.service.get("platform").is_none() && platforms.is_none() {
        let message = format!("`{}` runs a WebAssembly module, and does not say so", pair.service.name);
        let found = sink.add("DR3002", pair.service.span(), message);
        if let Some(edit) = add_line(pair.compose, &pair.service, "platform: wasi/wasm") {
            found.fix(Safety::Safe, "add platform: wasi/wasm", vec![edit]);
        }
    }
}

/// `service_healthy` of a service that nothing checks.
fn waits(
    compose: &ComposeView<'_>,
    service: &Service<'_>,
    services: &[Service<'_>],
    (views, input): (&[View<'_>], &Input<'_>),
    sink: &mut Sink<'_>,
) {
    let Some(depends) = service.get("depends_on").and_then(Node::entries) else { return };
    for entry in depends {
        let Some(condition) = entry.value.get("condition").filter(|node| node.as_text() == Some("service_healthy"))
        else {
            continue;
        };
        let Some(other) = services.iter().find(|other| other.name == entry.key) else { continue };
        let disabled =
            other.get("healthcheck").is_some_and(|check| check.get("disable").and_then(Node::as_text) == Some("true"));
        if other.get("healthcheck").is_some() && !disabled || other.get("extends").is_some() {
            continue;
        }
        let by_image = pair(compose, *other, views).and_then(|pair| {
            let stage = stage(&pair)?;
            let steps = pair.view.inherited_steps(stage);
            let mut last = steps.iter().filter_map(|step| match &step.instruction.kind {
                Kind::Healthcheck(check) => Some(check.check != Check::None),
                _ => None,
            });
            let base = pair.view.root_image(stage).and_then(|image| known_check(input, &image.text));
            Some(last.next_back().or(base).unwrap_or(false))
        });
        // An image that is not built here may have a check of its own, unless it is known to have none.
        let by_image = by_image.or_else(|| known_check(input, other.text("image")?));
        if disabled || by_image == Some(false) {
            let message = format!("`{}` has no health check, so `{}` never starts", other.name, service.name);
            sink.add("DR4002", condition.span, message)
                .help(format!("add `healthcheck` to `{}`, or wait for `service_started`", other.name));
        }
    }
}

/// Whether an image that is known has a health check.
fn known_check(input: &Input<'_>, name: &str) -> Option<bool> {
    input.images.iter().find(|image| image.name == name)?.healthcheck
}
