//! The process that stands between the engine and one container: containerd's shim v2.
//!
//! ```text
//!   engine ──ttrpc──► shim.sock ─► service ─► task (owner) ─► container ─► drua-runtime ─► init
//!   engine ◄─frames─► io.sock ───► io ◄── pipes or terminal ──────────────────────────────┘
//!   containerd ◄─events── events   (only where `TTRPC_ADDRESS` names its socket)
//! ```
//!
//! It owns the container's mounts, standard streams, log and exit status, so that a daemon can be killed and replaced
//! without the container noticing: nothing here depends on a daemon that is there.
//!
//! The process has **one thread** for all its life, because creating a container forks and goes on to run Rust code in the
//! child. So: a current-thread runtime, no `spawn_blocking`, no `tokio::fs`, no signal handlers (see [`reaper`]).
//!
//! When the shim itself is killed, the container loses the readers of its output; it is not killed with it. The engine (or
//! containerd) sees the ttrpc connection break and runs the `delete` action, which kills and removes what is left. A
//! parent-death signal would be quicker, but the kernel clears it whenever a process changes its credentials, which is
//! what the container's init does before it runs the workload.
//!
//! On disk, in the bundle: `shim.sock`, `io.sock` (0600; under a hash in `<dir of -address>/s/` when the bundle's path is
//! too long for a socket), `address`, `shim.log`, `pids.json` (see [`record`]), `runtime/` (drua-runtime's), and `exit.json`
//! in the directory that the annotation `dev.drua.state-dir` names.

mod args;
mod bootstrap;
mod bridge;
mod container;
mod convert;
mod delete;
mod error;
mod events;
mod exec;
mod exit;
mod fd;
mod io;
mod reaper;
mod record;
mod rootfs;
mod serve;
mod service;
mod sockets;
mod state;
mod task;
mod template;
mod workload;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};
use tracing::level_filters::LevelFilter;

use args::{Action, Args, ArgsError};
use bootstrap::StartError;
use delete::DeleteError;
use template::TemplateError;

/// The name under which containerd knows this runtime.
const RUNTIME: &str = "io.containerd.drua.v1";

#[derive(Debug, thiserror::Error)]
enum MainError {
    #[error(transparent)]
    Args(#[from] ArgsError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Delete(#[from] DeleteError),
    #[error("cannot speak with the caller")]
    Print(#[from] std::io::Error),
}

/// The shim role: `args` are the words after the program's name (and after the hidden subcommand).
///
/// Call it before any thread exists. `start` returns twice: at once in the calling process, and when the container is gone
/// in the shim that it left behind. Needs root.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let usage = matches!(error, MainError::Args(_));
            // In a shim that serves, this is its log.
            let _ = writeln!(std::io::stderr(), "error: {}", drua_types::error_chain(&error));
            ExitCode::from(if usage { drua_types::exit::USAGE } else { drua_types::exit::FAILURE })
        }
    }
}

fn run(args: impl IntoIterator<Item = OsString>) -> Result<(), MainError> {
    let args = Args::parse(args)?;
    log_to_stderr(args.debug);
    keep_open_files();
    match args.action {
        Action::Start => bootstrap::start(&args)?,
        Action::Template => template::run(&args)?,
        Action::Delete => print(&delete::delete(&args)?)?,
        Action::Info => print(&info())?,
        Action::Version => {
            writeln!(std::io::stdout(), "{RUNTIME}:\n  Version:  {}", env!("CARGO_PKG_VERSION"))?;
        }
    }
    Ok(())
}

/// Goes back to the limit of open files that the daemon had before it took more: containers inherit ours.
fn keep_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = std::env::var(drua_types::env::SHIM_OPEN_FILES).ok().and_then(|text| text.parse().ok());
    if let Some(limit) = limit {
        let hard = getrlimit(Resource::Nofile).maximum;
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: hard }) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
}

fn info() -> RuntimeInfo {
    let version = RuntimeVersion { version: env!("CARGO_PKG_VERSION").to_owned(), ..RuntimeVersion::default() };
    RuntimeInfo { name: RUNTIME.to_owned(), version: MessageField::some(version), ..RuntimeInfo::default() }
}

fn print(message: &impl Message) -> std::io::Result<()> {
    let bytes = message.write_to_bytes().map_err(std::io::Error::other)?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&bytes)?;
    stdout.flush()
}

/// Without `tracing-subscriber`'s filter language: it costs more memory than all the rest of an idle shim.
fn log_to_stderr(debug: bool) {
    let level = if debug { LevelFilter::DEBUG } else { LevelFilter::WARN };
    let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(std::io::stderr);
    // Fails when the caller has installed one of its own, which is as good.
    let _ = subscriber.try_init();
}
