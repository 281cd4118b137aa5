//! Our own rules about single instructions and their order.

use std::sync::LazyLock;

use drua_dockerfile::{CommandLine, Kind, Source, Word};
use regex::Regex;

use super::images::is_wasm;
use super::packages::Run;
use crate::report::{Safety, Sink, insert, replace};
use crate::shell::{Dialect, Script, Simple};
use crate::unit::{StageView, Step, View, first_line};

/// What keys look like that somebody gives out.
static KEYS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let forms = [
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
        r"\bgithub_pat_[A-Za-z0-9_]{40,}",
        r"\bglpat-[A-Za-z0-9_-]{20}",
        r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
        r"\bsk_live_[A-Za-z0-9]{20,}",
        r"\bnpm_[A-Za-z0-9]{36}\b",
        r"\bpypi-[A-Za-z0-9_-]{50,}",
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
        r"[a-z]://[^/\s:@$]+:[^/\s:@$]{3,}@",
    ];
    Regex::new(&forms.join("|")).ok()
});

pub(super) fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    for step in &view.steps {
        literals(view, step, sink);
        instruction(view, step, sink);
        if let Some(run) = Run::new(view, step) {
            commands(&run, sink);
        }
    }
    for stage in &view.stages {
        order(view, stage, sink);
        alone(view, stage, sink);
        later(view, stage, sink);
    }
    if let Some(last) = view.last() {
        tools(view, last, sink);
        start(view, last, sink);
    }
}

fn literals(view: &View<'_>, step: &Step<'_>, sink: &mut Sink<'_>) {
    let Some(keys) = KEYS.as_ref() else { return };
    let (span, source) = (step.instruction.span, &view.unit.file.source);
    if step.is_onbuild {
        return;
    }
    if let Some(found) = keys.find(&source[span.range()]) {
        let span = drua_dockerfile::Span::new(span.start + found.start(), span.start + found.end());
        sink.add("DR1008", span, "this looks like a key or a password")
            .help("take it back where it was given out, and use `RUN --mount=type=secret`");
    }
}

/// Files that hold keys, by their names.
pub(super) fn is_secret_file(path: &str) -> bool {
    const NAMES: [&str; 18] = [
        ".env",
        ".npmrc",
        ".netrc",
        ".pypirc",
        ".pgpass",
        ".htpasswd",
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "credentials.json",
        ".git-credentials",
        "service-account.json",
        "secrets.yml",
        "secrets.yaml",
        "secrets.json",
        "kubeconfig",
        ".dockercfg",
    ];
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    let is_public =
        name.contains("example") || name.contains("sample") || name.contains("template") || name.ends_with(".pub");
    let is_env = name.starts_with(".env.") && !is_public;
    let by_end = [".pfx", ".p12", ".keystore", ".jks"].iter().any(|end| name.ends_with(end))
        || name.ends_with("-key.pem")
        || name.ends_with(".key") && !name.contains("pub");
    !is_public
        && (NAMES.contains(&name)
            || is_env
            || by_end
            || path.ends_with(".aws/credentials")
            || path.ends_with(".docker/config.json"))
}

fn instruction(view: &View<'_>, step: &Step<'_>, sink: &mut Sink<'_>) {
    match &step.instruction.kind {
        Kind::Copy(transfer) | Kind::Add(transfer) if transfer.from.is_none() => {
            for source in &transfer.sources {
                let Source::Path(word) = source else { continue };
                if is_secret_file(word.text.trim_matches('"')) {
                    sink.add("DR1007", word.span, format!("`{}` holds what is to be kept secret", word.text))
                        .help("`RUN --mount=type=secret,id=…` hands it to one command and keeps nothing");
                }
                let remote = word.text.starts_with("http://") || word.text.starts_with("https://");
                if remote
                    && transfer.checksum.is_none()
                    && !word.text.ends_with(".git")
                    && matches!(step.instruction.kind, Kind::Add(_))
                {
                    sink.add("DR1015", word.span, "nothing says that this is what was meant")
                        .help("add `--checksum=sha256:…`");
                }
            }
        }
        Kind::Env(pairs) => {
            for pair in pairs.iter().filter(|pair| pair.name.text == "DEBIAN_FRONTEND") {
                let found = sink.add("DR1026", pair.name.span, "this stays set in containers");
                if pairs.len() == 1 && !pair.legacy {
                    let keyword = &step.instruction.keyword;
                    let text = if keyword.text == "env" { "arg" } else { "ARG" };
                    found.fix(Safety::Safe, "make it an ARG", vec![replace(keyword.span, text)]);
                }
            }
        }
        Kind::StopSignal(word)
            if matches!(word.text.as_str(), "SIGKILL" | "KILL" | "9" | "SIGSTOP" | "STOP" | "19") =>
        {
            sink.add("DR1028", word.span, format!("a program cannot handle {}", word.text));
        }
        _ => {}
    }
    let _ = view;
}

fn commands(run: &Run<'_>, sink: &mut Sink<'_>) {
    for command in &run.commands {
        let Some(first) = command.words.first() else { continue };
        let span = run.script.span(first.span);
        match command.name() {
            "apt-get" | "apt" | "yum" | "dnf" | "apk" | "zypper" => {
                let verb = command.operands(&["-t", "-o", "-c"]).first().map(|verb| verb.text.as_str());
                if matches!(verb, Some("upgrade" | "dist-upgrade" | "full-upgrade" | "distro-sync"))
                    || verb == Some("update") && matches!(command.name(), "yum" | "dnf")
                {
                    sink.add("DR1014", span, "what this installs depends on the day")
                        .help("take a newer base image instead, and pin it");
                }
            }
            "chmod"
                if command.operands(&[]).first().is_some_and(|mode| {
                    matches!(mode.text.as_str(), "777" | "0777" | "a+rwx" | "ugo+rwx" | "a=rwx" | "666" | "o+w" | "a+w")
                }) =>
            {
                sink.add("DR1017", span, "everybody in the container may change these files");
            }
            "curl" => {
                if command.has_option('k', &["--insecure"]) {
                    sink.add("DR1023", span, "certificates are not checked");
                }
                downloads(run, command, sink);
            }
            "wget" => {
                if command.has_option('\0', &["--no-check-certificate"]) {
                    sink.add("DR1023", span, "certificates are not checked");
                }
                downloads(run, command, sink);
            }
            "pip" | "pip3" if command.has_option('\0', &["--trusted-host"]) => {
                sink.add("DR1023", span, "certificates are not checked");
            }
            "npm" if command.texts().windows(2).any(|pair| pair == ["strict-ssl", "false"]) => {
                sink.add("DR1023", span, "certificates are not checked");
            }
            _ => {}
        }
    }
    for entry in run.script.list.entries.iter() {
        let names: Vec<&str> = entry
            .pipeline
            .commands
            .iter()
            .map(|command| match command {
                crate::shell::Command::Simple(simple) => simple.name(),
                crate::shell::Command::Compound(_) => "",
            })
            .collect();
        let fetches = names.first().is_some_and(|name| matches!(*name, "curl" | "wget"));
        let runs = names.last().is_some_and(|name| {
            matches!(*name, "sh" | "bash" | "ash" | "dash" | "zsh" | "python" | "python3" | "perl" | "sudo" | "node")
        });
        if fetches && runs && names.len() > 1 {
            let span = match &entry.pipeline.commands[0] {
                crate::shell::Command::Simple(simple) => simple.span,
                crate::shell::Command::Compound(compound) => compound.span,
            };
            sink.add("DR1016", run.script.span(span), "what is downloaded is run unseen")
                .help("`ADD --checksum=sha256:…`, then run the file");
        }
    }
}

fn downloads(run: &Run<'_>, command: &Simple, sink: &mut Sink<'_>) {
    let names = ["amd64", "x86_64", "x86-64", "arm64", "aarch64"];
    let script = &run.script.text;
    let asks = script.contains("TARGETARCH")
        || script.contains("uname -m")
        || script.contains("--print-architecture")
        || script.contains("TARGETPLATFORM")
        || script.contains("$(arch)")
        || script.contains("apk --print-arch");
    if asks {
        return;
    }
    let word = command
        .args()
        .iter()
        .find(|word| word.text.contains("://") && names.iter().any(|name| word.text.contains(name)));
    if let Some(word) = word {
        sink.add("DR1013", run.script.span(word.span), "this is for one architecture, whichever one is built")
            .help("`ARG TARGETARCH` has `amd64` or `arm64`; map it where the address says otherwise");
    }
}

/// Install commands, and the files that they read.
fn installs_dependencies(script: &Script) -> Option<(&Simple, &'static str)> {
    script.list.commands().into_iter().find_map(|command| {
        let words = command.texts();
        let verb = command.operands(&["--prefix", "-C"]).first().map(|word| word.text.clone()).unwrap_or_default();
        let verb = verb.as_str();
        let files = match command.name() {
            "npm" if matches!(verb, "ci" | "install" | "i") && command.operands(&[]).len() == 1 => {
                "package.json package-lock.json"
            }
            "yarn" if verb == "install" || words.is_empty() => "package.json yarn.lock",
            "pnpm" if verb == "install" || verb == "i" => "package.json pnpm-lock.yaml",
            "pip" | "pip3" if words.contains(&"-r") || words.contains(&"--requirement") => "requirements.txt",
            "poetry" if verb == "install" => "pyproject.toml poetry.lock",
            "uv" if verb == "sync" => "pyproject.toml uv.lock",
            "go" if verb == "mod" && words.contains(&"download") => "go.mod go.sum",
            "bundle" if verb == "install" => "Gemfile Gemfile.lock",
            "composer" if verb == "install" => "composer.json composer.lock",
            "mvn" | "mvnw" if words.iter().any(|word| word.contains("dependency:")) => "pom.xml",
            "dotnet" if verb == "restore" => "the project files",
            _ => return None,
        };
        Some((command, files))
    })
}

fn order(view: &View<'_>, stage: &StageView<'_>, sink: &mut Sink<'_>) {
    let mut everything: Option<&Word> = None;
    for step in view.steps_of(stage).iter().filter(|step| !step.is_onbuild) {
        match &step.instruction.kind {
            Kind::Copy(copy) | Kind::Add(copy) if copy.from.is_none() => {
                let whole = copy.sources.iter().find_map(|source| match source {
                    Source::Path(word) if matches!(word.text.trim_matches('"'), "." | "./" | "*" | "./*") => Some(word),
                    _ => None,
                });
                everything = everything.or(whole);
            }
            _ => {}
        }
        let (Some(copied), Some(script)) = (everything, &step.script) else { continue };
        let mounted = matches!(&step.instruction.kind, Kind::Run(run) if run.mounts.iter().any(|mount| mount.text.contains("type=bind")));
        if let Some((command, files)) = installs_dependencies(script).filter(|_| !mounted) {
            let line = view.unit.index.position(script.span(command.span).start).line;
            let message = format!("every change of any file installs all dependencies again (line {line})");
            sink.add("DR1009", copied.span, message).help(format!("copy {files} first, install, then copy the rest"));
            break;
        }
    }
}

/// apt-get update in one RUN, install in another.
fn alone(view: &View<'_>, stage: &StageView<'_>, sink: &mut Sink<'_>) {
    for step in view.steps_of(stage) {
        let Some(run) = Run::new(view, step) else { continue };
        let has = |verb: &str| {
            run.commands.iter().find(|command| {
                matches!(command.name(), "apt-get" | "apt")
                    && command.operands(&["-o", "-t"]).first().is_some_and(|word| word.text == verb)
            })
        };
        if let Some(update) = has("update").filter(|_| {
            run.commands
                .iter()
                .all(|command| !matches!(command.name(), "apt-get" | "apt" | "aptitude") || command.has("update"))
        }) {
            sink.add(
                "DR1012",
                run.script.span(update.span),
                "the lists are cached here while packages are installed elsewhere",
            )
            .help("join update and install with `&&`");
        }
    }
}

/// chown and rm of what an earlier layer has.
fn later(view: &View<'_>, stage: &StageView<'_>, sink: &mut Sink<'_>) {
    let mut copied: Vec<String> = Vec::new();
    let mut workdir = String::from("/");
    for step in view.steps_of(stage).iter().filter(|step| !step.is_onbuild) {
        match &step.instruction.kind {
            Kind::Workdir(path) => workdir = crate::compose::join(&workdir, &path.text),
            Kind::Copy(copy) | Kind::Add(copy) => {
                let target = crate::compose::join(&workdir, copy.destination.text.trim_matches('"'));
                let single = copy.sources.len() == 1 && !copy.destination.text.ends_with('/');
                for source in &copy.sources {
                    if let Source::Path(word) = source {
                        let name = word.text.rsplit('/').next().unwrap_or_default();
                        copied.push(if single { target.clone() } else { crate::compose::join(&target, name) });
                    }
                }
                copied.push(target);
            }
            _ => {}
        }
        let Some(run) = Run::new(view, step) else { continue };
        for command in &run.commands {
            let operands = command.operands(&[]);
            let path = |word: &crate::shell::Word| crate::compose::join(&workdir, &word.text);
            match command.name() {
                "chown" if command.has_option('R', &["--recursive"]) => {
                    let hit = operands.iter().skip(1).find(|word| copied.contains(&path(word)));
                    if let Some(word) = hit {
                        sink.add(
                            "DR1018",
                            run.script.span(command.words[0].span),
                            format!("`{}` is stored a second time, with its new owner", word.text),
                        )
                        .help("`COPY --chown=…` sets the owner while it copies");
                    }
                }
                "rm" => {
                    let hit = operands
                        .iter()
                        .find(|word| copied.contains(&path(word)) && path(word) != workdir && path(word) != "/");
                    if let Some(word) = hit {
                        sink.add("DR1025", run.script.span(word.span), "an earlier layer keeps this")
                            .help("`RUN --mount=type=bind,source=…` shows a file to one command without copying it");
                    }
                }
                _ => {}
            }
        }
    }
}

fn is_compiler(package: &str) -> bool {
    let name = package.split(['=', ':']).next().unwrap_or(package);
    matches!(
        name,
        "build-essential"
            | "build-base"
            | "gcc"
            | "g++"
            | "clang"
            | "make"
            | "cmake"
            | "cargo"
            | "rustc"
            | "golang"
            | "golang-go"
            | "go"
            | "default-jdk"
            | "maven"
            | "gradle"
            | "musl-dev"
            | "alpine-sdk"
            | "llvm"
            | "bison"
            | "flex"
            | "autoconf"
            | "automake"
            | "ninja-build"
            | "meson"
    ) || name.starts_with("openjdk-") && name.contains("-jdk")
}

fn tools(view: &View<'_>, last: &StageView<'_>, sink: &mut Sink<'_>) {
    for step in view.inherited_steps(last) {
        let Some(run) = Run::new(view, step) else { continue };
        let removes = run.commands.iter().any(|command| {
            matches!(command.name(), "apt-get" | "apk" | "yum" | "dnf")
                && command
                    .texts()
                    .iter()
                    .any(|text| matches!(*text, "purge" | "remove" | "del" | "autoremove" | "--auto-remove"))
        });
        if removes {
            continue;
        }
        for command in run
            .commands
            .iter()
            .filter(|command| matches!(command.name(), "apt-get" | "apt" | "apk" | "yum" | "dnf" | "microdnf"))
        {
            let packages = command.operands(&["-t", "-o", "--virtual"]);
            if let Some(word) = packages.iter().skip(1).find(|word| is_compiler(&word.text)) {
                let found = sink.add("DR1005", run.script.span(word.span), format!("the image keeps `{}`", word.text));
                found.help("build in a stage of its own and `COPY --from` the result").saving(Some(250_000_000));
            }
        }
    }
    single_stage(view, last, sink);
}

fn single_stage(view: &View<'_>, last: &StageView<'_>, sink: &mut Sink<'_>) {
    if view.stages.len() > 1 {
        return;
    }
    for step in view.steps_of(last) {
        let Some(run) = Run::new(view, step) else { continue };
        let compiles = run.commands.iter().find(|command| {
            let verb =
                command.operands(&["--prefix", "-f", "-C"]).first().map(|word| word.text.as_str()).unwrap_or_default();
            match command.name() {
                "go" => matches!(verb, "build" | "install"),
                "cargo" => matches!(verb, "build" | "install"),
                "mvn" | "mvnw" => command.texts().iter().any(|text| matches!(*text, "package" | "install" | "verify")),
                "gradle" | "gradlew" => command
                    .texts()
                    .iter()
                    .any(|text| text.contains("build") || text.contains("assemble") || text.contains("bootJar")),
                "dotnet" => matches!(verb, "publish" | "build"),
                _ => false,
            }
        });
        if let Some(command) = compiles {
            sink.add("DR1006", run.script.span(command.span), "the image keeps the compiler and the sources")
                .help("name this stage `AS build`, and `COPY --from=build` what it made into a small image");
            return;
        }
    }
}

/// What the container starts, and whether signals reach it.
fn start(view: &View<'_>, last: &StageView<'_>, sink: &mut Sink<'_>) {
    if is_wasm(view, last) {
        return;
    }
    for step in view.steps_of(last).iter().filter(|step| !step.is_onbuild) {
        let (Kind::Cmd(command) | Kind::Entrypoint(command)) = &step.instruction.kind else { continue };
        match command {
            CommandLine::Exec(words) => {
                let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                match texts.as_slice() {
                    [program, rest @ ..] if is_runner(program, rest) => {
                        let span = first_line(&view.unit.file, step.instruction.span);
                        sink.add(
                            "DR1010",
                            span,
                            format!("{program} does not pass signals on as the program expects them"),
                        )
                        .help("start the program itself: `CMD [\"node\", \"server.js\"]`");
                    }
                    [shell, flags, script]
                        if matches!(shell.rsplit('/').next(), Some("sh" | "bash" | "ash" | "dash"))
                            && flags.starts_with('-')
                            && flags.ends_with('c') =>
                    {
                        wrapper(&words[2], script, sink);
                    }
                    _ => {}
                }
            }
            CommandLine::Shell(word) => {
                let mut words = word.text.split_whitespace();
                let (program, rest) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
                if is_runner(program, &rest) {
                    sink.add(
                        "DR1010",
                        word.span,
                        format!("{program} does not pass signals on as the program expects them"),
                    )
                    .help("start the program itself: `CMD [\"node\", \"server.js\"]`");
                }
            }
        }
    }
}

/// npm and its like, when they run a script.
pub(super) fn is_runner(program: &str, rest: &[&str]) -> bool {
    match program {
        "npm" => matches!(rest.first(), Some(&("start" | "run" | "run-script" | "exec"))),
        "yarn" | "pnpm" => !rest.is_empty() && !matches!(rest.first(), Some(&("install" | "node"))),
        "npx" | "nodemon" => true,
        _ => false,
    }
}

fn wrapper(word: &Word, text: &str, sink: &mut Sink<'_>) {
    let places = drua_dockerfile::Places::default();
    let Some(script) = Script::of_instruction(text, 0, places, Dialect::Posix) else { return };
    let Some(entry) = script.list.entries.last() else { return };
    let [crate::shell::Command::Simple(simple)] = entry.pipeline.commands.as_slice() else { return };
    let ends = matches!(simple.name(), "exec" | "exit" | "true" | "echo" | "sleep" | "wait" | "");
    if ends || entry.operator == crate::shell::Operator::Background || !script.slips.is_empty() {
        return;
    }
    let found = sink.add("DR1011", word.span, format!("the shell stays process 1 in front of `{}`", simple.name()));
    // The word stands in the file with its quotes; an edit is exact only where nothing in it is escaped.
    let raw_length = word.span.end - word.span.start;
    if raw_length == text.len() + 2 && !text.contains(['\\', '"']) {
        let at = word.span.start + 1 + simple.span.start;
        found.fix(Safety::Unsafe, "add exec", vec![insert(at, "exec ")]);
    }
}
