//! Package managers in RUN: versions, questions, and what they leave behind.

use drua_dockerfile::{Kind, MountKind};

use crate::report::{Safety, Sink, insert, replace};
use crate::shell::{Script, Simple, Word};
use crate::unit::{Step, View};

/// A RUN.
pub(super) struct Run<'r> {
    pub(super) view: &'r View<'r>,
    pub(super) step: &'r Step<'r>,
    pub(super) script: &'r Script,
    pub(super) commands: Vec<&'r Simple>,
    /// Targets of its cache and tmpfs mounts.
    pub(super) caches: Vec<String>,
}

impl<'r> Run<'r> {
    pub(super) fn new(view: &'r View<'r>, step: &'r Step<'r>) -> Option<Self> {
        let Kind::Run(run) = &step.instruction.kind else { return None };
        let script = step.script.as_ref()?;
        let caches = run.mounts.iter().filter_map(|mount| {
            let parsed = drua_dockerfile::Mount::parse(&mount.text).ok()?;
            let keeps_out = matches!(parsed.kind, MountKind::Cache { .. } | MountKind::Tmpfs { .. });
            parsed.target.filter(|_| keeps_out)
        });
        Some(Self { view, step, script, commands: script.list.commands(), caches: caches.collect() })
    }

    /// Whether a cache mount takes a folder out of the layer.
    pub(super) fn caches(&self, path: &str) -> bool {
        self.caches.iter().any(|target| {
            let target = target.trim_end_matches('/');
            path.trim_end_matches('/').starts_with(target) || target.ends_with(path.trim_start_matches('/'))
        })
    }

    /// Whether an ENV in force, or the command itself, sets a variable.
    fn has_variable(&self, name: &str, simple: &Simple) -> bool {
        let stage = self.step.stage.and_then(|index| self.view.stages.get(index));
        let in_stage = stage.is_some_and(|stage| {
            self.view.inherited_steps(stage).iter().any(|step| {
                step.instruction.span.start < self.step.instruction.span.start
                    && crate::unit::defines(step.instruction).iter().any(|known| known == name)
            })
        });
        in_stage
            || simple.assignments.iter().any(|assignment| assignment.name == name)
            || self.commands.iter().any(|command| {
                command.assignments.iter().any(|assignment| assignment.name == name)
                    || command.name() == "export"
                        && command.texts().iter().any(|text| text.starts_with(&format!("{name}=")))
            })
    }
}

/// A package manager: how it is called, how it installs.
struct Manager {
    names: &'static [&'static str],
    /// Words that install.
    verbs: &'static [&'static str],
    /// Options whose value is the next word.
    with_value: &'static [&'static str],
    pin: &'static str,
    /// Whether a package names its version.
    pinned: fn(&str) -> bool,
}

const MANAGERS: &[Manager] = &[
    Manager {
        names: &["apt-get", "aptitude"],
        verbs: &["install"],
        with_value: &["-t", "--target-release", "-o", "-c", "--option", "--default-release"],
        pin: "DL3008",
        pinned: |package| package.contains(['=', '/']) || package.ends_with(".deb"),
    },
    Manager {
        names: &["apk"],
        verbs: &["add"],
        with_value: &["-t", "--virtual", "--repository", "-X", "--keys-dir", "-p", "--root", "--arch", "--cache-dir"],
        pin: "DL3018",
        pinned: |package| {
            package.contains(['=', '~', '<', '>']) || package.ends_with(".apk") || package.starts_with('.')
        },
    },
    Manager {
        names: &["yum"],
        verbs: &["install", "groupinstall", "localinstall"],
        with_value: &["-c", "--enablerepo", "--disablerepo", "-x", "--setopt", "--repo", "--repoid"],
        pin: "DL3033",
        pinned: |package| has_dashed_version(package) || package.ends_with(".rpm") || package.starts_with('@'),
    },
    Manager {
        names: &["dnf", "microdnf"],
        verbs: &["install", "groupinstall", "localinstall"],
        with_value: &["-c", "--enablerepo", "--disablerepo", "-x", "--setopt", "--repo", "--repoid"],
        pin: "DL3041",
        pinned: |package| has_dashed_version(package) || package.ends_with(".rpm") || package.starts_with('@'),
    },
    Manager {
        names: &["zypper"],
        verbs: &["install", "in"],
        with_value: &["-r", "--repo", "--from", "-t", "--type"],
        pin: "DL3037",
        pinned: |package| package.contains(['=', '<', '>', '~']) || package.ends_with(".rpm"),
    },
    Manager {
        names: &["gem"],
        verbs: &["install", "i"],
        with_value: &["-n", "--bindir", "-i", "--install-dir", "-s", "--source", "--document", "-P", "--platform"],
        pin: "DL3028",
        pinned: |package| package.contains(':'),
    },
    Manager {
        names: &["npm"],
        verbs: &["install", "i", "add"],
        with_value: &["--registry", "--prefix", "-C", "--cache", "--loglevel"],
        pin: "DL3016",
        pinned: npm_is_pinned,
    },
];

fn has_dashed_version(package: &str) -> bool {
    package.contains('$')
        || package
            .rsplit('-')
            .take(2)
            .any(|part| part.starts_with(|c: char| c.is_ascii_digit()) && package.contains('-'))
}

/// `@1.2`, a folder, an archive, a repository.
fn npm_is_pinned(package: &str) -> bool {
    let is_place = package.starts_with(['.', '/', '$'])
        || package.contains("://")
        || package.starts_with("git") && package.contains(['+', ':'])
        || package.ends_with(".tgz")
        || package.ends_with(".tar.gz")
        || package.ends_with(".tar")
        || package.starts_with("file:");
    let name = package.strip_prefix('@').unwrap_or(package);
    is_place || name.contains('@')
}

pub(super) fn check(run: &Run<'_>, sink: &mut Sink<'_>) {
    for command in &run.commands {
        for manager in MANAGERS.iter().filter(|manager| manager.names.contains(&command.name())) {
            pins(run, manager, command, sink);
        }
        questions(run, command, sink);
        pip(run, command, sink);
        go(run, command, sink);
    }
    apt(run, sink);
    apk(run, sink);
    cleaning(run, sink);
}

/// The operands of a command when its first one is one of the verbs.
fn installs<'c>(command: &'c Simple, manager: &Manager) -> Option<Vec<&'c Word>> {
    let operands = command.operands(manager.with_value);
    let (verb, packages) = operands.split_first()?;
    manager.verbs.contains(&verb.text.as_str()).then(|| packages.to_vec())
}

fn pins(run: &Run<'_>, manager: &Manager, command: &Simple, sink: &mut Sink<'_>) {
    let Some(packages) = installs(command, manager) else { return };
    let by_option = manager.pin == "DL3028" && command.has_option('v', &["--version"]);
    let first = packages.iter().find(|package| !(manager.pinned)(&package.text) && !package.text.is_empty());
    if let Some(package) = first.filter(|_| !by_option) {
        let all: Vec<&str> = packages.iter().filter(|p| !(manager.pinned)(&p.text)).map(|p| p.text.as_str()).collect();
        let mut names = all.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        if all.len() > 3 {
            names.push_str(", …");
        }
        sink.add(manager.pin, run.script.span(package.span), format!("no version is given for {names}"));
    }
}

fn questions(run: &Run<'_>, command: &Simple, sink: &mut Sink<'_>) {
    let (code, verbs, long): (_, &[&str], &[&str]) = match command.name() {
        "apt-get" | "aptitude" => ("DL3014", &["install"], &["--yes", "--assume-yes", "-qq"]),
        "yum" => ("DL3030", &["install", "groupinstall", "localinstall", "reinstall"], &["--assumeyes"]),
        "dnf" | "microdnf" => ("DL3038", &["install", "groupinstall", "localinstall", "reinstall"], &["--assumeyes"]),
        "zypper" => (
            "DL3034",
            &["install", "in", "remove", "rm", "source-install", "si", "patch"],
            &["--no-confirm", "--non-interactive", "-n"],
        ),
        _ => return,
    };
    let operands = command.operands(&["-t", "-o", "-c", "--setopt", "--enablerepo", "--disablerepo", "-r", "--repo"]);
    let Some(verb) = operands.first().filter(|verb| verbs.contains(&verb.text.as_str())) else { return };
    let quiet = code == "DL3014"
        && (command.texts().iter().filter(|text| matches!(**text, "-q" | "--quiet")).count() >= 2
            || command.texts().iter().any(|text| matches!(*text, "-q=2" | "-qq")));
    if quiet || command.has_option('y', long) || code == "DL3034" && command.has_option('n', &[]) {
        return;
    }
    let verb_end = run.script.after(verb.span.end);
    let message = format!("`{} {}` asks, and nobody can answer", command.name(), verb.text);
    sink.add(code, run.script.span(verb.span), message).fix(Safety::Safe, "add -y", vec![insert(verb_end, " -y")]);
}

fn pip(run: &Run<'_>, command: &Simple, sink: &mut Sink<'_>) {
    let name = command.name();
    let is_pip = name.starts_with("pip") && name[3..].chars().all(|c| c.is_ascii_digit() || c == '.');
    let operands = command.operands(&["-m"]);
    let by_module = name.starts_with("python") && command.texts().windows(2).any(|pair| pair == ["-m", "pip"]);
    if !is_pip && !by_module {
        return;
    }
    const WITH_VALUE: [&str; 22] = [
        "-m",
        "-i",
        "--index-url",
        "--extra-index-url",
        "-f",
        "--find-links",
        "-t",
        "--target",
        "--prefix",
        "--root",
        "-c",
        "--constraint",
        "-e",
        "--editable",
        "--no-binary",
        "--only-binary",
        "--platform",
        "--python-version",
        "--trusted-host",
        "--proxy",
        "--src",
        "-b",
    ];
    let with_files: Vec<&str> = WITH_VALUE
        .iter()
        .copied()
        .chain([
            "-r",
            "--requirement",
            "--progress-bar",
            "--timeout",
            "--retries",
            "--cache-dir",
            "--use-feature",
            "--root-user-action",
        ])
        .collect();
    let operands_of = command.operands(&with_files);
    let _ = operands;
    let Some((verb, packages)) = operands_of.split_first() else { return };
    if verb.text != "install" {
        return;
    }
    let packages: Vec<_> = packages.iter().filter(|package| !package.text.is_empty()).collect();
    let pinned = |text: &str| {
        let place = text.contains("://")
            || text.starts_with(['.', '/', '$'])
            || text.starts_with("git+")
            || text.ends_with(".whl")
            || text.ends_with(".tar.gz")
            || text.ends_with(".zip");
        place || text.contains('=') || text.contains("~=") || text.contains(['<', '>', '@']) || text.ends_with('/')
    };
    let from_files = command.has_option('r', &["--requirement"])
        || command.has_option('c', &["--constraint"])
        || command.has_option('e', &["--editable"])
        || command.has("-c");
    if let Some(package) = packages.iter().find(|package| !pinned(&package.text))
        && !from_files
    {
        sink.add("DL3013", run.script.span(package.span), format!("no version is given for {}", package.text));
    }
    let off = command.has_option('\0', &["--no-cache-dir"]) || run.has_variable("PIP_NO_CACHE_DIR", command);
    if !off && !run.caches("/root/.cache/pip") && !run.caches("/.cache") {
        let found = sink.add("DL3042", run.script.span(verb.span), "pip's cache stays in the layer");
        found.help("a cache mount is faster still: `RUN --mount=type=cache,target=/root/.cache/pip pip install …`");
        let at = run.script.after(verb.span.end);
        found.fix(Safety::Safe, "add --no-cache-dir", vec![insert(at, " --no-cache-dir")]);
    }
}

fn go(run: &Run<'_>, command: &Simple, sink: &mut Sink<'_>) {
    if command.name() != "go" {
        return;
    }
    let operands = command.operands(&["-ldflags", "-tags", "-o", "-C", "-gcflags", "-p", "-mod"]);
    let Some((verb, packages)) = operands.split_first() else { return };
    if !matches!(verb.text.as_str(), "install" | "get" | "run") {
        return;
    }
    let loose = |text: &str| {
        let is_remote = text.contains('.') && text.contains('/') && !text.starts_with(['.', '/', '$']);
        is_remote && !text.contains('@') || text.ends_with("@latest") || text.ends_with("@none")
    };
    if let Some(package) = packages.iter().find(|package| loose(&package.text)) {
        sink.add("DL3062", run.script.span(package.span), format!("`{}` names no version", package.text));
    }
}

fn apt(run: &Run<'_>, sink: &mut Sink<'_>) {
    for command in run.commands.iter().filter(|command| command.name() == "apt") {
        let word = &command.words[0];
        let found = sink.add("DL3027", run.script.span(word.span), "`apt` is for people");
        if command.operands(&["-t", "-o"]).first().is_some_and(|verb| {
            matches!(verb.text.as_str(), "install" | "update" | "upgrade" | "remove" | "purge" | "autoremove" | "clean")
        }) {
            found.fix(Safety::Safe, "use apt-get", vec![replace(run.script.span(word.span), "apt-get")]);
        }
    }
    let installs: Vec<&&Simple> = run
        .commands
        .iter()
        .filter(|command| {
            command.name() == "apt-get"
                && command.operands(&["-t", "-o", "-c"]).first().is_some_and(|verb| verb.text == "install")
        })
        .collect();
    for command in &installs {
        let off = command.has_option('\0', &["--no-install-recommends"])
            || command
                .texts()
                .iter()
                .any(|text| text.contains("APT::Install-Recommends=") || text.contains("Install-Recommends \"0\""));
        if !off && let Some(verb) = command.operands(&["-t", "-o", "-c"]).first() {
            let at = run.script.after(verb.span.end);
            sink.add("DL3015", run.script.span(verb.span), "recommended packages are installed as well").fix(
                Safety::Unsafe,
                "add --no-install-recommends",
                vec![insert(at, " --no-install-recommends")],
            );
        }
    }
    let updates = run.commands.iter().any(|command| command.name() == "apt-get" && command.has("update"));
    let cleans = run.commands.iter().any(|command| {
        command.name() == "rm"
            && command.texts().iter().any(|text| {
                text.trim_matches('"').starts_with("/var/lib/apt/lists")
                    || text.starts_with("/var/lib/apt/*")
                    || matches!(text.trim_end_matches('/'), "/var/lib/apt" | "/var/lib")
            })
    });
    let sources_only = run.caches("/var/lib/apt") || run.caches("/var/lib/apt/lists");
    if updates && !cleans && !sources_only && is_kept(run) {
        let last = run.commands.iter().rfind(|command| matches!(command.name(), "apt-get"));
        let Some(last) = last else { return };
        let found = sink.add("DL3009", run.script.span(last.words[0].span), "the lists of packages stay in the layer");
        found.saving(Some(20_000_000));
        if let Some(at) = end_of_chain(run) {
            found.fix(Safety::Safe, "delete the lists", vec![insert(at, " && rm -rf /var/lib/apt/lists/*")]);
        }
    }
}

/// Whether the layer becomes part of an image: that of the last stage, or of one that it stands on.
pub(super) fn is_kept(run: &Run<'_>) -> bool {
    let (Some(stage), Some(last)) = (run.step.stage, run.view.last()) else { return false };
    run.view.chain(last).any(|kept| kept.stage.index == stage)
}

/// Where a command can be joined with `&&` to a script that is one chain of them.
fn end_of_chain(run: &Run<'_>) -> Option<usize> {
    use crate::shell::Operator;
    let entries = &run.script.list.entries;
    let (last, before) = entries.split_last()?;
    let joined = before.iter().all(|entry| entry.operator == Operator::And) && last.operator == Operator::End;
    let is_line =
        run.step.instruction.heredocs.is_empty() && run.script.slips.is_empty() && run.script.disabled.is_empty();
    let simple = last.pipeline.commands.len() == 1
        && matches!(last.pipeline.commands.first(), Some(crate::shell::Command::Simple(_)));
    (joined && is_line && simple).then(|| run.script.after(run.script.text.trim_end().len()))
}

fn apk(run: &Run<'_>, sink: &mut Sink<'_>) {
    for command in run.commands.iter().filter(|command| command.name() == "apk") {
        let Some(verb) = command.operands(MANAGERS[1].with_value).first().copied() else { continue };
        if verb.text == "add"
            && !command.has("--no-cache")
            && !run.caches("/var/cache/apk")
            && !run.caches("/etc/apk/cache")
        {
            let at = run.script.after(verb.span.end);
            sink.add("DL3019", run.script.span(verb.span), "the index of packages stays in the layer").fix(
                Safety::Safe,
                "add --no-cache",
                vec![insert(at, " --no-cache")],
            );
        }
    }
}

/// What each manager must be told to clear, in the same RUN.
fn cleaning(run: &Run<'_>, sink: &mut Sink<'_>) {
    let rules: [(&str, &[&str], &[&str], &[&str], &str); 4] = [
        (
            "DL3032",
            &["yum"],
            &["install", "groupinstall", "localinstall"],
            &["/var/cache/yum", "/var/cache/*"],
            "yum clean all",
        ),
        (
            "DL3040",
            &["dnf", "microdnf"],
            &["install", "groupinstall", "localinstall"],
            &["/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/*", "/var/cache/yum"],
            "dnf clean all",
        ),
        ("DL3036", &["zypper"], &["install", "in"], &["/var/cache/zypp"], "zypper clean"),
        (
            "DL3060",
            &["yarn"],
            &["install"],
            &["/usr/local/share/.cache", "~/.cache/yarn", "/root/.cache"],
            "yarn cache clean",
        ),
    ];
    for (code, names, verbs, folders, clean) in rules {
        let is_it = |command: &&&Simple| names.contains(&command.name());
        let installs = run.commands.iter().filter(is_it).rfind(|command| {
            command
                .operands(&["-c", "--setopt", "-r", "--repo"])
                .first()
                .is_some_and(|verb| verbs.contains(&verb.text.as_str()))
        });
        let Some(install) = installs else { continue };
        let cleans = run.commands.iter().any(|command| {
            names.contains(&command.name()) && (command.has("clean") || command.has("cc"))
                || command.name() == "rm"
                    && command.texts().iter().any(|text| folders.iter().any(|folder| text.starts_with(folder)))
        });
        let mounted = folders.iter().any(|folder| run.caches(folder))
            || code == "DL3060" && (run.caches("/.yarn") || run.caches("/.cache/yarn"));
        if cleans || mounted {
            continue;
        }
        let clean = clean.replacen("dnf", install.name(), usize::from(code == "DL3040"));
        let found = sink.add(code, run.script.span(install.words[0].span), format!("`{clean}` is missing"));
        if let Some(at) = end_of_chain(run) {
            found.fix(Safety::Safe, format!("add `{clean}`"), vec![insert(at, format!(" && {clean}"))]);
        }
    }
}

/// Rules about other commands.
pub(super) fn commands(run: &Run<'_>, sink: &mut Sink<'_>) {
    for command in &run.commands {
        let Some(first) = command.words.first() else { continue };
        let span = run.script.span(first.span);
        match command.name() {
            name @ ("ssh" | "vim" | "shutdown" | "service" | "ps" | "free" | "top" | "kill" | "mount" | "ifconfig") => {
                sink.add("DL3001", span, format!("`{name}` makes no sense while an image is built"));
            }
            "cd" => {
                sink.add("DL3003", span, "WORKDIR is kept, `cd` is forgotten at the end of this RUN");
            }
            "sudo" => {
                let found = sink.add("DL3004", span, "RUN is root already, unless USER says otherwise");
                if command.args().first().is_some_and(|word| !word.text.starts_with('-') && !word.text.contains('=')) {
                    let next = run.script.span(command.words[1].span).start;
                    found.fix(
                        Safety::Unsafe,
                        "remove sudo",
                        vec![replace(drua_dockerfile::Span::new(span.start, next), "")],
                    );
                }
            }
            "zypper"
                if command
                    .operands(&[])
                    .first()
                    .is_some_and(|verb| matches!(verb.text.as_str(), "dist-upgrade" | "dup")) =>
            {
                sink.add("DL3035", span, "`zypper dist-upgrade` replaces the release that FROM names");
            }
            "useradd" => useradd(run, command, sink),
            "wget" => wget(run, command, sink),
            "ln" if command.texts().contains(&"/bin/sh") => {
                sink.add("DL4005", span, "the distribution's own scripts need their /bin/sh")
                    .help("`SHELL [\"/bin/bash\", \"-c\"]` changes it for RUN alone");
            }
            _ => {}
        }
    }
    pipes(run, sink);
}

fn useradd(run: &Run<'_>, command: &Simple, sink: &mut Sink<'_>) {
    let texts = command.texts();
    let uid = texts.iter().enumerate().find_map(|(index, text)| match *text {
        "-u" | "--uid" => texts.get(index + 1).copied(),
        text => text
            .strip_prefix("--uid=")
            .or_else(|| text.strip_prefix("-u").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))),
    });
    let is_high = uid.is_some_and(|uid| uid.len() > 5 && uid.chars().all(|c| c.is_ascii_digit()));
    if is_high && !command.has_option('l', &["--no-log-init"]) {
        let word = &command.words[0];
        let at = run.script.after(word.span.end);
        sink.add("DL3046", run.script.span(word.span), "without `-l` this writes a log as long as the UID is high")
            .fix(Safety::Safe, "add -l", vec![insert(at, " -l")]);
    }
}

fn wget(run: &Run<'_>, command: &Simple, sink: &mut Sink<'_>) {
    const QUIET: [&str; 9] = [
        "--progress",
        "--quiet",
        "--no-verbose",
        "--output-file",
        "--append-output",
        "-nv",
        "--help",
        "--version",
        "--non-verbose",
    ];
    let short = ['q', 'o', 'a'].iter().any(|c| command.has_option(*c, &[]));
    let nv = command.texts().iter().any(|text| text.starts_with("-nv"));
    if short || nv || command.has_option('\0', &QUIET) || command.operands(&["-O", "-P"]).is_empty() {
        return;
    }
    let word = &command.words[0];
    let at = run.script.after(word.span.end);
    let found = sink.add("DL3047", run.script.span(word.span), "its progress bar fills the log");
    // busybox's wget has no such option.
    let root = run.step.stage.and_then(|index| run.view.stages.get(index)).and_then(|stage| run.view.root_image(stage));
    if root.is_some_and(|image| !image.text.contains("alpine") && !image.text.contains("busybox")) {
        found.fix(Safety::Safe, "add --progress=dot:giga", vec![insert(at, " --progress=dot:giga")]);
    }
}

fn pipes(run: &Run<'_>, sink: &mut Sink<'_>) {
    if run.step.shell.pipefail {
        return;
    }
    let sets = run.commands.iter().any(|command| command.name() == "set" && command.has("pipefail"));
    let piped = run.script.list.entries.iter().find(|entry| entry.pipeline.commands.len() > 1);
    if let Some(entry) = piped.filter(|_| !sets) {
        let span = match &entry.pipeline.commands[0] {
            crate::shell::Command::Simple(simple) => simple.span,
            crate::shell::Command::Compound(compound) => compound.span,
        };
        sink.add("DL4006", run.script.span(span), "a failure before the last `|` is not noticed")
            .help("`SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]`, or `/bin/ash` with `-eo pipefail` on Alpine");
    }
}

/// wget and curl in one stage.
pub(super) fn downloaders(view: &View<'_>, sink: &mut Sink<'_>) {
    for stage in &view.stages {
        let mut seen: [Option<drua_dockerfile::Span>; 2] = [None, None];
        for step in view.steps_of(stage) {
            let Some(run) = Run::new(view, step) else { continue };
            for command in &run.commands {
                let which = match command.name() {
                    "wget" => 0,
                    "curl" => 1,
                    _ => continue,
                };
                seen[which] = Some(run.script.span(command.words[0].span));
                if let [Some(_), Some(_)] = seen {
                    sink.add(
                        "DL4001",
                        run.script.span(command.words[0].span),
                        "this stage uses wget and curl: one of them is enough",
                    );
                    seen = [None, None];
                }
            }
        }
    }
}
