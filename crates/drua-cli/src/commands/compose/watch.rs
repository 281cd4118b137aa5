use std::path::{Path, PathBuf};

use drua_compose::file::{Tree, WatchAction, to_yaml};
use drua_compose::{UpOptions, WatchOptions, infer, watch};
use drua_types::exit;

use super::interrupt::cancellable;
use super::project::ProjectArgs;
use super::report::Report;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Watch build context for service and rebuild/refresh containers when files are updated
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua compose watch               build, start, and follow edits until ctrl-c
  drua compose watch -d            the same in the background; then `watch status` and `watch stop`
  drua compose watch --infer       with rules made of the Dockerfiles' COPY lines")]
pub(super) struct Watch {
    /// Do not build & start services before watching
    #[arg(long)]
    no_up: bool,
    /// Prune dangling images on rebuild
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    prune: bool,
    /// Hide build output
    #[arg(long)]
    quiet: bool,
    /// Watch in the background
    #[arg(short, long)]
    detach: bool,
    /// Make rules of the COPY lines of services that have none, print and use them
    #[arg(long)]
    infer: bool,
    /// `status` or `stop` for a watch in the background; else services [default: all that have rules]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Where a project's background watch leaves its process id and its log.
pub(super) fn state_dir() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || Some(from("HOME")?.join(".local/state"));
    from("XDG_STATE_HOME").or_else(home).unwrap_or_else(std::env::temp_dir).join("drua/watch")
}

impl Watch {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        match self.services.as_slice() {
            [word] if word == "status" || word == "stop" => {
                let (name, project) = args.load_if_there(ctx, &[])?;
                // A service may be called so.
                if !project.is_some_and(|project| project.services.contains_key(word.as_str())) {
                    return if word == "stop" { stop(ctx, &name) } else { status(ctx, &name) };
                }
            }
            _ => {}
        }
        let mut project = args.load(ctx, &self.services)?;
        if self.infer {
            for (service, rules) in infer(&mut project) {
                let rules = rules.iter().map(|rule| {
                    let name =
                        WatchAction::ALL.iter().find(|(_, action)| *action == rule.action).map_or("", |(name, _)| name);
                    let text = |text: &str| Tree::Text(text.to_owned());
                    let mut map = vec![("path".to_owned(), text(&rule.path)), ("action".to_owned(), text(name))];
                    map.extend(rule.target.as_deref().map(|target| ("target".to_owned(), text(target))));
                    if !rule.include.is_empty() {
                        let include = rule.include.iter().map(|pattern| text(pattern)).collect();
                        map.push(("include".to_owned(), Tree::List(include)));
                    }
                    Tree::Map(map)
                });
                let watch = Tree::Map(vec![("watch".to_owned(), Tree::List(rules.collect()))]);
                let develop = Tree::Map(vec![("develop".to_owned(), watch)]);
                ctx.ui.data(to_yaml(&Tree::Map(vec![(service, develop)])).as_bytes())?;
            }
        }
        if self.detach {
            return detach(ctx, project.name.as_str());
        }
        let client = ctx.client().await?;
        let report = Report::new(&ctx.ui).quiet(self.quiet);
        let options = WatchOptions { services: self.services.clone(), prune: self.prune, state_dir: Some(state_dir()) };
        let up = UpOptions { services: self.services.clone(), ..UpOptions::default() };
        cancellable(async |cancel| {
            if !self.no_up {
                drua_compose::up(&client, &project, &up, &report, cancel).await?;
            }
            watch(&client, &project, &options, &report, cancel).await
        })
        .await
        .map(|code| if code == super::interrupt::INTERRUPTED { exit::OK } else { code })
    }
}

fn pid_file(name: &str) -> PathBuf {
    state_dir().join(format!("{name}.pid"))
}

/// The process id of a project's background watch, if it still runs.
fn running(name: &str) -> Option<u32> {
    let pid: u32 = std::fs::read_to_string(pid_file(name)).ok()?.trim().parse().ok()?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    // Another program may have got the number since.
    let is_watch = command.split(|byte| *byte == 0).any(|word| word == b"watch");
    is_watch.then_some(pid)
}

fn detach(ctx: &Context, name: &str) -> Outcome {
    use std::os::unix::process::CommandExt as _;
    if let Some(pid) = running(name) {
        return Err(Failure::message(format!("project `{name}` is being watched already, by process {pid}"))
            .hint("stop it with `drua compose watch stop`"));
    }
    fs_err::create_dir_all(state_dir())?;
    let log = state_dir().join(format!("{name}.log"));
    let output = fs_err::File::create(&log)?.into_file();
    let args = std::env::args_os().skip(1).filter(|word| word != "-d" && word != "--detach");
    let child = std::process::Command::new(std::env::current_exe()?)
        .args(args)
        .stdin(std::process::Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()?;
    fs_err::write(pid_file(name), child.id().to_string())?;
    ctx.ui.line(&format!(
        "watching project {name} in the background, process {}; see {}",
        child.id(),
        log.display()
    ))?;
    Ok(exit::OK)
}

fn status(ctx: &Context, name: &str) -> Outcome {
    let log = state_dir().join(format!("{name}.log"));
    match running(name) {
        Some(pid) => {
            ctx.ui.line(&format!("project {name} is being watched by process {pid}"))?;
            for line in last_lines(&log) {
                ctx.ui.line(&format!("  {line}"))?;
            }
            Ok(exit::OK)
        }
        None => {
            ctx.ui.line(&format!("project {name} is not being watched"))?;
            Ok(exit::FAILURE)
        }
    }
}

fn last_lines(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(5)).map(|line| (*line).to_owned()).collect()
}

fn stop(ctx: &Context, name: &str) -> Outcome {
    let Some(pid) = running(name) else {
        return Err(Failure::message(format!("project `{name}` is not being watched")));
    };
    let process = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(process) = process {
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
    }
    let _ = fs_err::remove_file(pid_file(name));
    ctx.ui.line(&format!("stopped watching project {name}"))?;
    Ok(exit::OK)
}
