//! A Dockerfile with what checks ask of it again and again: stages and their bases, scripts, variables in scope.

use std::collections::{BTreeMap, BTreeSet};

use drua_dockerfile::{
    CommandLine, Dockerfile, Ignore, Instruction, Kind, LineIndex, ParseError, Span, Stage, read_ignore_file,
};

use crate::images::Reference;
use crate::input::Build;
use crate::shell::{Dialect, Script};

/// A parsed Dockerfile and its surroundings.
#[derive(Debug)]
pub(crate) struct Unit<'i> {
    pub(crate) build: Build<'i>,
    pub(crate) file: Dockerfile,
    pub(crate) errors: Vec<ParseError>,
    pub(crate) index: LineIndex,
    /// The ignore file's patterns, when it has some and they can be read.
    pub(crate) ignore: Option<Ignore>,
}

/// What a stage is made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    Scratch,
    Stage(usize),
    Image(Reference),
    /// A name with variables that only the build knows.
    Unknown,
}

/// A stage.
#[derive(Debug)]
pub(crate) struct StageView<'u> {
    pub(crate) stage: Stage<'u>,
    pub(crate) base: Base,
    /// The base's name with its variables expanded by their defaults.
    pub(crate) base_text: String,
    /// Its steps among [`View::steps`].
    pub(crate) steps: std::ops::Range<usize>,
    /// Whether the last stage needs it.
    pub(crate) needed: bool,
}

/// An instruction other than FROM; what ONBUILD triggers stands for itself.
#[derive(Debug)]
pub(crate) struct Step<'u> {
    pub(crate) instruction: &'u Instruction,
    pub(crate) is_onbuild: bool,
    /// `None` before the first FROM.
    pub(crate) stage: Option<usize>,
    /// What a shell would run.
    pub(crate) script: Option<Script>,
    /// The shell in force.
    pub(crate) shell: Shell,
}

/// What SHELL says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shell {
    pub(crate) dialect: Dialect,
    pub(crate) pipefail: bool,
    /// Whether a SHELL instruction set it.
    pub(crate) explicit: bool,
}

impl Shell {
    const DEFAULT: Self = Self { dialect: Dialect::Posix, pipefail: false, explicit: false };
}

/// A Dockerfile taken apart.
#[derive(Debug)]
pub(crate) struct View<'u> {
    pub(crate) unit: &'u Unit<'u>,
    pub(crate) stages: Vec<StageView<'u>>,
    pub(crate) steps: Vec<Step<'u>>,
    /// ARGs before the first FROM, with their expanded defaults.
    pub(crate) globals: BTreeMap<String, Option<String>>,
}

impl<'i> Unit<'i> {
    pub(crate) fn new(build: Build<'i>) -> Self {
        let (file, errors) = Dockerfile::read(build.dockerfile.text);
        let index = LineIndex::new(build.dockerfile.text);
        let ignore = build.ignore.and_then(|ignore| Ignore::new(&read_ignore_file(ignore.text)).ok());
        Self { build, file, errors, index, ignore }
    }
}

impl<'u> View<'u> {
    pub(crate) fn new(unit: &'u Unit<'u>) -> Self {
        let globals = globals(&unit.file);
        let mut stages: Vec<StageView<'u>> = Vec::new();
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let mut steps = Vec::new();
        let before = unit.file.instructions.iter().take_while(|instruction| !instruction.is_from());
        steps.extend(before.map(|i| step(unit, i, None, Shell::DEFAULT, false)));
        let hinted = shell_comment(&unit.file);
        let mut shells: Vec<Shell> = Vec::new();
        for stage in unit.file.stages() {
            let text = expand_with(&unit.file, &stage.from.base.text, &globals);
            let base = match &text {
                None => Base::Unknown,
                Some(text) if text.eq_ignore_ascii_case("scratch") => Base::Scratch,
                Some(text) => match names.get(&text.to_lowercase()) {
                    Some(index) => Base::Stage(*index),
                    None => Base::Image(Reference::parse(text)),
                },
            };
            let mut shell = match &base {
                Base::Stage(index) => shells[*index],
                _ if is_windows(text.as_deref().unwrap_or_default()) => {
                    Shell { dialect: Dialect::Other, ..Shell::DEFAULT }
                }
                _ => Shell { dialect: hinted.unwrap_or(Dialect::Posix), ..Shell::DEFAULT },
            };
            let first = steps.len();
            for instruction in stage.body {
                if let Kind::Shell(words) = &instruction.kind {
                    let words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                    shell = shell_of(&words);
                }
                steps.push(step(unit, instruction, Some(stage.index), shell, false));
                if let Kind::Onbuild(inner) = &instruction.kind {
                    steps.push(step(unit, inner, Some(stage.index), shell, true));
                }
            }
            shells.push(shell);
            if let Some(name) = stage.name() {
                names.insert(name, stage.index);
            }
            let base_text = text.unwrap_or_else(|| stage.from.base.text.clone());
            stages.push(StageView { stage, base, base_text, steps: first..steps.len(), needed: false });
        }
        let mut view = Self { unit, stages, steps, globals };
        view.mark_needed();
        view
    }

    /// The steps of a stage.
    pub(crate) fn steps_of(&self, stage: &StageView<'_>) -> &[Step<'u>] {
        &self.steps[stage.steps.clone()]
    }

    /// The stage that an image is made of when nobody names another.
    pub(crate) fn last(&self) -> Option<&StageView<'u>> {
        self.stages.last()
    }

    /// A stage and those that it is made on, the stage itself first.
    pub(crate) fn chain<'v>(&'v self, stage: &'v StageView<'u>) -> impl Iterator<Item = &'v StageView<'u>> {
        std::iter::successors(Some(stage), |stage| match stage.base {
            Base::Stage(index) => self.stages.get(index),
            _ => None,
        })
    }

    /// The image at the bottom of a stage.
    pub(crate) fn root_image<'v>(&'v self, stage: &'v StageView<'u>) -> Option<&'v Reference> {
        match &self.chain(stage).last()?.base {
            Base::Image(reference) => Some(reference),
            _ => None,
        }
    }

    /// The steps of a stage and of those that it is made on, in the order in which they are carried out.
    pub(crate) fn inherited_steps<'v>(&'v self, stage: &'v StageView<'u>) -> Vec<&'v Step<'u>> {
        let mut chain: Vec<_> = self.chain(stage).collect();
        chain.reverse();
        chain.into_iter().flat_map(|stage| self.steps_of(stage)).filter(|step| !step.is_onbuild).collect()
    }

    /// The stage that a `--from` or a base means, at a place in the file.
    pub(crate) fn stage_named(&self, name: &str, before: usize) -> Option<usize> {
        if let Ok(number) = name.parse::<usize>() {
            return (number < before).then_some(number);
        }
        let name = name.to_lowercase();
        self.stages[..before.min(self.stages.len())]
            .iter()
            .rposition(|stage| stage.stage.name().as_ref() == Some(&name))
    }

    fn mark_needed(&mut self) {
        let Some(last) = self.stages.len().checked_sub(1) else { return };
        let mut queue = vec![last];
        while let Some(index) = queue.pop() {
            if std::mem::replace(&mut self.stages[index].needed, true) {
                continue;
            }
            if let Base::Stage(base) = self.stages[index].base {
                queue.push(base);
            }
            let steps = self.stages[index].steps.clone();
            for step in &self.steps[steps] {
                queue.extend(sources_of(step.instruction).iter().filter_map(|name| self.stage_named(name, index)));
            }
        }
    }

    /// Variables that a stage starts with: those of the stages that it is made on.
    pub(crate) fn variables_at_start(&self, stage: &StageView<'u>) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for below in self.chain(stage).skip(1) {
            for step in self.steps_of(below).iter().filter(|step| !step.is_onbuild) {
                names.extend(defines(step.instruction));
            }
        }
        names
    }
}

/// The names of ARGs and ENVs that an instruction defines.
pub(crate) fn defines(instruction: &Instruction) -> Vec<String> {
    match &instruction.kind {
        Kind::Arg(definitions) => definitions.iter().map(|arg| arg.name.text.clone()).collect(),
        Kind::Env(pairs) => pairs.iter().map(|pair| pair.name.text.clone()).collect(),
        _ => Vec::new(),
    }
}

/// What stages or images an instruction takes files from.
pub(crate) fn sources_of(instruction: &Instruction) -> Vec<String> {
    match &instruction.kind {
        Kind::Copy(transfer) => transfer.from.iter().map(|from| from.text.clone()).collect(),
        Kind::Run(run) => run.mounts.iter().filter_map(|mount| option_of(&mount.text, "from")).collect(),
        Kind::Onbuild(inner) => sources_of(inner),
        _ => Vec::new(),
    }
}

/// An option in the value of `--mount`.
pub(crate) fn option_of(mount: &str, name: &str) -> Option<String> {
    let field = mount.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
    field.map(str::to_owned)
}

fn globals(file: &Dockerfile) -> BTreeMap<String, Option<String>> {
    let mut globals: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (_, definition) in file.global_args() {
        let value = definition.value.as_ref().and_then(|value| expand_with(file, &value.text, &globals));
        globals.insert(definition.name.text.clone(), value);
    }
    globals
}

/// Expands with the defaults of global ARGs; `None` when a variable is not known.
fn expand_with(file: &Dockerfile, text: &str, globals: &BTreeMap<String, Option<String>>) -> Option<String> {
    let lookup = |name: &str| globals.get(name).cloned().flatten();
    let expanded = file.expander().expand(text, &lookup).ok()?;
    let has_default = |name: &String| ["-", ":-", "+", ":+"].iter().any(|op| text.contains(&format!("${{{name}{op}")));
    (expanded.unset.iter().all(has_default) && !expanded.text.is_empty()).then_some(expanded.text)
}

fn step<'u>(
    unit: &Unit<'_>,
    instruction: &'u Instruction,
    stage: Option<usize>,
    shell: Shell,
    is_onbuild: bool,
) -> Step<'u> {
    let script = (shell.dialect != Dialect::Other && unit.file.escape == '\\')
        .then(|| script(unit, instruction, shell.dialect))
        .flatten();
    Step { instruction, is_onbuild, stage, script, shell }
}

fn script(unit: &Unit<'_>, instruction: &Instruction, dialect: Dialect) -> Option<Script> {
    let command = match &instruction.kind {
        Kind::Run(run) => &run.command,
        Kind::Cmd(command) | Kind::Entrypoint(command) => command,
        Kind::Healthcheck(check) => match &check.check {
            drua_dockerfile::Check::Command(command) => command,
            drua_dockerfile::Check::None => return None,
        },
        _ => return None,
    };
    let CommandLine::Shell(word) = command else { return None };
    // A RUN that is nothing but a heredoc runs the heredoc.
    if let ([heredoc], Some("<<")) = (instruction.heredocs.as_slice(), word.text.get(..2))
        && !word.text.trim().contains(char::is_whitespace)
    {
        return Script::of_source(&heredoc.content, heredoc.span.start, dialect, &unit.file.source);
    }
    let start = instruction.text.len().checked_sub(word.text.len())?;
    Script::of_instruction(&word.text, start, instruction.places.clone(), dialect)
}

/// `# hadolint shell=bash`
fn shell_comment(file: &Dockerfile) -> Option<Dialect> {
    let words = file.comments.iter().filter_map(|comment| comment.text.strip_prefix("hadolint "));
    let name = words.filter_map(|text| text.trim().strip_prefix("shell=")).next()?;
    Some(dialect_of(name.trim()))
}

fn dialect_of(program: &str) -> Dialect {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program).to_lowercase();
    match name.as_str() {
        "bash" | "ksh" | "zsh" | "mksh" => Dialect::Bash,
        "sh" | "ash" | "dash" | "busybox" => Dialect::Posix,
        _ => Dialect::Other,
    }
}

fn shell_of(words: &[&str]) -> Shell {
    let dialect = words.first().map_or(Dialect::Posix, |program| dialect_of(program));
    let bundled = words.iter().any(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('o'));
    let pipefail = bundled && words.contains(&"pipefail");
    Shell { dialect, pipefail, explicit: true }
}

fn is_windows(base: &str) -> bool {
    let base = base.to_lowercase();
    base.contains("windows") || base.contains("nanoserver") || base.contains("/powershell")
}

/// The whole of a stage or step, for findings about it as such.
pub(crate) fn first_line(file: &Dockerfile, span: Span) -> Span {
    let text = &file.source[span.range()];
    let end = text.find('\n').map_or(span.end, |at| span.start + at);
    Span::new(span.start, end)
}
