//! `drua init`: from a folder to files that make it run. What they are is drua-init's; asking, reading and writing is ours.

mod choices;
mod dialogue;
mod disk;
mod files;
mod prompt;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use drua_init::{GeneratedFile, Rendered, Stack, TEMPLATE_ENDING, Templates, render, survey};
use drua_types::exit;
use tokio::signal::unix::{SignalKind, signal};

use choices::Choices;
use dialogue::Verdict;
use disk::Disk;
use files::{Existing, Target};
use prompt::{Answer, Prompt, Terminal};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::ui::Paint;

/// Templates of a user that are read, and bytes of each.
const MAX_TEMPLATES: usize = 200;
const MAX_TEMPLATE_BYTES: u64 = 1 << 20;

/// Write the Dockerfile, .dockerignore, compose.yaml and README for a project
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua init                                         look, ask, write
  drua init --yes                                   without questions
  drua init --dry-run                               only show what would be written
  drua init --yes --set version=3.13 --set databases=postgres
  drua init --wasm                                  as WebAssembly
  drua init --yes --lang go --port 9000 ./service
  drua init --template ./our-templates              with templates of your own

Settings for --set: name, target, version, manager, main, build, output, start, port, health, packages; and databases.
With several services, write `--set api.port=8081`.")]
pub(crate) struct Init {
    /// Folder of the project
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    /// Take what was found, ask nothing
    #[arg(short, long)]
    yes: bool,
    /// Take the project for this: go, node, python, rust, java, dotnet, php, ruby, deno, bun, elixir, c, static, wasm, other
    #[arg(long, value_name = "STACK")]
    lang: Option<String>,
    /// Port on which the service listens
    #[arg(long)]
    port: Option<String>,
    /// Change a setting; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Make it WebAssembly: the same as --set target=wasm
    #[arg(long)]
    wasm: bool,
    /// Folders that become services, instead of those that were found; may be repeated
    #[arg(long = "service", value_name = "DIR")]
    services: Vec<String>,
    /// What to do with files that are there and differ [default: ask; keep with --yes]
    #[arg(long, value_name = "HOW")]
    existing: Option<Existing>,
    /// Print what would be written, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print how files would change, write nothing
    #[arg(long)]
    diff: bool,
    /// Print what was found and written as JSON, ask nothing
    #[arg(long)]
    json: bool,
    /// Folder with templates that come before ours
    #[arg(long, value_name = "DIR")]
    template: Option<PathBuf>,
}

impl Init {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let root = self.root()?;
        let disk = Disk::list(&root);
        let templates = self.templates()?;
        let today = jiff::Zoned::now().date();
        let project = root.file_name().map_or_else(|| "project".to_owned(), |name| name.to_string_lossy().into_owned());
        let mut choices = Choices::new(&disk, survey(&disk, today), project, today);
        choices.notes.extend(disk.notes.iter().cloned());
        self.apply(&mut choices)?;
        let asks = !self.yes && !self.json && !self.dry_run && !self.diff;
        if asks && !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            return Err(Failure::message("there is no terminal to ask at")
                .hint("`drua init --yes` takes what was found; `drua init --dry-run` shows it"));
        }
        let mut terminal = Terminal { ui: ctx.ui };
        let prompt: Option<&mut dyn Prompt> = if asks { Some(&mut terminal) } else { None };
        let Some((rendered, targets)) = self.settle(&root, &mut choices, &templates, prompt, ctx.ui.paint())? else {
            ctx.ui.note("Nothing was written.");
            return Ok(exit::OK);
        };
        if self.dry_run || self.diff {
            return self.show(ctx, &choices, &rendered, &targets);
        }
        self.write(ctx, &root, &choices, &rendered, &targets)?;
        if asks {
            return offer(&root, &mut terminal);
        }
        Ok(exit::OK)
    }

    /// The project's folder.
    fn root(&self) -> Result<PathBuf, Failure> {
        let root = fs_err::canonicalize(&self.path)
            .map_err(|error| Failure::new(error).hint("give the folder of a project that exists: `drua init PATH`"))?;
        if !root.is_dir() {
            return Err(Failure::message(format!("`{}` is not a folder", self.path.display())).with_code(exit::USAGE));
        }
        let listed = std::fs::read_dir(&root);
        listed.with_context(|| format!("cannot look into `{}`", root.display()))?;
        Ok(root)
    }

    /// The user's templates, by their names below the folder.
    fn templates(&self) -> Result<Templates, Failure> {
        let Some(dir) = &self.template else { return Ok(Templates::default()) };
        let mut found = BTreeMap::new();
        read_templates(dir, dir, &mut found)
            .with_context(|| format!("cannot read templates in `{}`", dir.display()))?;
        if found.is_empty() {
            return Err(Failure::message(format!("`{}` has no templates", dir.display())).with_code(exit::USAGE).hint(
                "their names end with `.j2`: Dockerfile.j2, python/Dockerfile.j2, compose.yaml.j2; see docs/init.md",
            ));
        }
        Ok(Templates::with(found))
    }

    /// What the command line says instead of what was found.
    fn apply(&self, choices: &mut Choices<'_>) -> Result<(), Failure> {
        if !self.services.is_empty() {
            choices.choose(&self.services)?;
        }
        if let Some(word) = &self.lang {
            let stack = Stack::from_word(word).ok_or_else(|| {
                let known = Stack::ALL.map(Stack::id);
                let near = drua_dockerfile::nearest(word, known).map(|near| format!("did you mean `{near}`?"));
                let failure = Failure::message(format!("there is no stack `{word}`")).with_code(exit::USAGE);
                near.into_iter().chain([format!("stacks are {}", known.join(", "))]).fold(failure, Failure::hint)
            })?;
            let places: Vec<usize> = choices.services().map(|(place, _)| place).collect();
            for place in places {
                choices.take_stack(place, stack);
            }
        }
        if self.wasm {
            choices.set("target=wasm").map_err(|failure| {
                failure.hint(
                    "Rust, Go and C can become WebAssembly, and components in Python and JavaScript: see docs/init.md",
                )
            })?;
        }
        if let Some(port) = &self.port {
            choices.set(&format!("port={port}"))?;
        }
        self.settings.iter().try_for_each(|assignment| choices.set(assignment))
    }

    /// From what was found to what is written; `None` when the user quits.
    fn settle(
        &self,
        root: &Path,
        choices: &mut Choices<'_>,
        templates: &Templates,
        mut prompt: Option<&mut dyn Prompt>,
        paint: Paint,
    ) -> Result<Option<(Rendered, Vec<Target>)>, Failure> {
        loop {
            if let Some(prompt) = prompt.as_deref_mut()
                && dialogue::settle(choices, prompt, paint)? == Verdict::Quit
            {
                return Ok(None);
            }
            if choices.services().next().is_none() {
                return Err(Failure::message("no folder was chosen: there is nothing to write"));
            }
            let rendered = render(&choices.plan(), templates)?;
            let existing = self.existing.unwrap_or(Existing::Keep);
            let files = rendered.files.iter().map(|file| named_as_before(root, file));
            let mut targets: Vec<Target> =
                files.map(|file| Target::of(root, file, existing)).collect::<Result<_, _>>()?;
            if let Some(prompt) = prompt.as_deref_mut()
                && self.existing.is_none()
                && dialogue::existing(&mut targets, prompt, paint)? == Answer::Back
            {
                continue;
            }
            return Ok(Some((rendered, targets)));
        }
    }

    fn show(&self, ctx: &Context, choices: &Choices<'_>, rendered: &Rendered, targets: &[Target]) -> Outcome {
        if self.json {
            print_json(ctx, &report::json(choices, rendered, targets, false))?;
            return Ok(exit::OK);
        }
        ctx.ui.note(&report::overview(choices, ctx.ui.paint()));
        for target in targets {
            let text = match self.diff {
                true => report::difference(target, Paint::for_stdout()),
                false => format!("--- {} ({})\n{}", target.file.path, target.word(), target.file.text),
            };
            if !text.is_empty() {
                ctx.ui.line(&text)?;
            }
        }
        Ok(exit::OK)
    }

    fn write(
        &self,
        ctx: &Context,
        root: &Path,
        choices: &Choices<'_>,
        rendered: &Rendered,
        targets: &[Target],
    ) -> Result<(), Failure> {
        // From here on Ctrl-C waits until everything is in place, which takes a moment.
        let _held = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        let backups = files::write(root, targets, &rendered.passwords)?;
        let name = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
        let backups: Vec<(String, String)> = backups.iter().map(|(old, new)| (name(old), name(new))).collect();
        if self.json {
            return Ok(print_json(ctx, &report::json(choices, rendered, targets, true))?);
        }
        if self.yes {
            ctx.ui.note(&report::overview(choices, ctx.ui.paint()));
        }
        ctx.ui.note(&report::outcome(targets, &backups, ctx.ui.paint()));
        for (service, url) in &rendered.addresses {
            ctx.ui.note(&format!("{service} will answer on {url}"));
        }
        if !rendered.passwords.is_empty() {
            ctx.ui.note("Passwords are in secrets/, for this machine only and ignored by git.");
        }
        ctx.ui.note(&format!("Start it: {}", ctx.ui.paint().cyan("drua compose up --build --watch")));
        Ok(())
    }
}

/// A compose file that has another of its usual names keeps that.
fn named_as_before(root: &Path, file: &GeneratedFile) -> GeneratedFile {
    let mut file = file.clone();
    if file.path == "compose.yaml" && !root.join("compose.yaml").exists() {
        let other = ["compose.yml", "docker-compose.yml", "docker-compose.yaml"]
            .into_iter()
            .find(|name| root.join(name).exists());
        file.path = other.unwrap_or("compose.yaml").to_owned();
    }
    file
}

fn print_json(ctx: &Context, value: &serde_json::Value) -> anyhow::Result<()> {
    Ok(ctx.ui.line(&serde_json::to_string_pretty(value)?)?)
}

fn read_templates(root: &Path, dir: &Path, found: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        let metadata = fs_err::metadata(&path)?;
        let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
        if metadata.is_dir() && name.matches('/').count() < 4 {
            read_templates(root, &path, found)?;
        } else if metadata.is_file() && name.ends_with(TEMPLATE_ENDING) {
            anyhow::ensure!(metadata.len() <= MAX_TEMPLATE_BYTES, "`{name}` has more than 1 MiB");
            anyhow::ensure!(found.len() < MAX_TEMPLATES, "there are more than {MAX_TEMPLATES} templates");
            found.insert(name, fs_err::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// Starts it, where the user wants that.
fn offer(root: &Path, prompt: &mut dyn Prompt) -> Outcome {
    if !prompt.confirm("Start it now, and follow what you edit?", true)? {
        return Ok(exit::OK);
    }
    let program = std::env::current_exe().context("cannot find drua's own program")?;
    let mut command = std::process::Command::new(program);
    command.args(["compose", "up", "--build", "--watch"]).current_dir(root);
    // Becomes that command: signals and the terminal are its own.
    let error = std::os::unix::process::CommandExt::exec(&mut command);
    Err(Failure::new(error))
}
