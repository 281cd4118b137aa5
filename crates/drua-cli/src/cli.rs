//! The command line as a whole: global options, the list of commands, and the way from one to the other.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches as _, Parser};
use drua_types::exit;

use crate::commands::{self, Command};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::plugin;
use crate::ui::Printer;

/// Linux containers and WebAssembly side by side
#[derive(Debug, Parser)]
#[command(
    name = "drua",
    version,
    disable_version_flag = true,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 120,
    after_help = "Run `drua <command> --help` for more about a command.

Examples:
  drua run --rm -it busybox sh                     a Linux container with a terminal
  drua run --rm --platform wasi/wasm hello         a WebAssembly container
  drua compose up -d                               all services of ./compose.yaml"
)]
pub(crate) struct Cli {
    /// Daemon to talk to: unix:///path, tcp://host:port or ssh://user@host [default: $DRUA_HOST, $DOCKER_HOST, the context, then unix:///run/drua/drua.sock]
    #[arg(short = 'H', long, value_name = "ADDRESS")]
    host: Option<String>,

    /// Context to use, see `drua context`
    #[arg(short = 'c', long, value_name = "NAME")]
    context: Option<String>,

    /// Say what is asked of the daemon; the same as DRUA_LOG=debug
    #[arg(short = 'D', long)]
    debug: bool,

    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    command: Command,
}

/// Runs a command line and returns the exit code.
pub(crate) fn main(args: Vec<OsString>) -> u8 {
    let ui = Printer::new();
    let args = match plugin::called(&args) {
        plugin::Called::Plainly => args,
        plugin::Called::As(line) => line,
        // Nothing can be done about a docker CLI that is gone.
        plugin::Called::ForMetadata => {
            return if ui.line(&plugin::metadata()).is_ok() { exit::OK } else { exit::FAILURE };
        }
    };
    let cli = match parse(&args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, usage_code(&args)),
    };
    init_logging(cli.debug);
    match run(cli, ui) {
        Ok(code) => code,
        Err(failure) if failure.is_broken_pipe() => 128 + 13,
        Err(failure) => {
            ui.failure(&failure);
            failure.code
        }
    }
}

/// The list of all commands, with what they are about, is made only for those who are going to read it.
fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    let parsed =
        |command: clap::Command| command.try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    parsed(Cli::command()).or_else(|_| parsed(grouped()))
}

fn run(cli: Cli, ui: Printer) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
    // Managing contexts must work while the one in use is broken.
    let chosen = if cli.command.needs_daemon() { cli.context.as_deref() } else { Some(crate::contexts::DEFAULT) };
    let context = Context::new(ui, cli.host.as_deref().filter(|_| cli.command.needs_daemon()), chosen)?;
    let outcome = runtime.block_on(Box::pin(cli.command.run(&context)));
    // A thread may be blocked reading standard input: it must not hold up the exit.
    runtime.shutdown_background();
    outcome
}

/// Prints what clap has to say: help to stdout with success, mistakes to stderr.
pub(crate) fn usage(error: &clap::Error, code: u8) -> u8 {
    // Nothing can be done about a terminal that is gone.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => exit::OK,
        _ => code,
    }
}

/// A wrong command line is 2, and 125 for `run` and `create`, where 2 could come from the container.
fn usage_code(args: &[OsString]) -> u8 {
    let mut words = args.iter().skip(1).filter(|word| *word != "container");
    let runs = words.next().is_some_and(|word| word == "run" || word == "create");
    if runs { exit::ENGINE } else { exit::USAGE }
}

/// The command with its commands listed in groups.
pub(crate) fn grouped() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    let groups = commands::help_groups(&command);
    command.help_template(format!("{{about}}\n\nUsage: {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}"))
}

fn init_logging(debug: bool) {
    let filter = match std::env::var(drua_types::env::DRUA_LOG) {
        Ok(filter) if !filter.is_empty() => filter,
        _ if debug => "debug".to_owned(),
        _ => return,
    };
    // A second subscriber in the same process (tests) is refused, which is fine.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().try_init();
}
