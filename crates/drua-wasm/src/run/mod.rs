//! Runs a prepared module as the program of a container.
//!
//! ```text
//!  init's only thread ── run(): blocks the signals, then waits for one of ──┬─ a signal → 128 + n, at once for commands
//!                                                                           └─ the guest's end → its status
//!  thread "wasm" ── a fresh one, for its tokio runtime: the forked process may carry a stale context in thread-locals
//!      ├─ command: one thread, the guest on a fiber
//!      └─ serve:   a worker per processor, one instance per request
//! ```
//!
//! A guest cannot handle signals, and PID 1 ignores every signal that nobody handles. Therefore the first thread reads
//! them from a signalfd and never runs guest code, so that a guest that loops for ever still stops at once.

mod body;
mod call;
mod config;
mod guest;
mod keyvalue;
mod limits;
mod links;
mod lookup;
mod outgoing;
mod reach;
mod report;
mod resolve;
mod serve;
mod settings;
mod signals;
mod stdio;
mod wasmedge;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread::JoinHandle;

use tokio::sync::watch;

pub use settings::{Directory, InvalidSetting, Settings};

use crate::Prepared;
use crate::artifact::{Kind, Target};
use limits::LimitReached;
use report::RunError;
use signals::{Event, Signals};

/// Processor time is used up (`--ulimit cpu`).
const SIGXCPU: i32 = nix::sys::signal::Signal::SIGXCPU as i32;

/// A prepared module with the process that it is to be.
///
/// The guest is given: its arguments and environment, stdio (descriptors 0, 1, 2), the whole file system of the
/// container as `/`, TCP, UDP, name look-up and outgoing HTTP in the network namespace it runs in. The walls are the
/// container's: namespaces, cgroup, capabilities and seccomp.
#[derive(Debug, Clone)]
pub struct WasmRun {
    /// The module.
    pub prepared: Prepared,
    /// The guest's arguments: `process.args` of the OCI specification, unchanged.
    pub args: Vec<String>,
    /// The guest's environment as `NAME=value`: `process.env`.
    pub env: Vec<String>,
    /// The guest's working directory: `process.cwd`. WASI preview 1 has no such thing and starts at `/`.
    pub cwd: PathBuf,
    /// Grants, limits and how to serve.
    pub settings: Settings,
}

impl WasmRun {
    /// The value of an environment variable; the last one wins, as in a shell. What the guest is not granted, too.
    fn variable(&self, name: &str) -> Option<&str> {
        let mut pairs = self.env.iter().rev().filter_map(|entry| entry.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Runs the guest to its end and returns the status to exit with; whatever went wrong is on descriptor 2 already.
    ///
    /// Call it in the container's init process, confined and with the container's root as `/`, and exit afterwards:
    /// threads of the guest may still run when it returns. Needs no privilege. The status is the guest's own exit code;
    /// 137 for a trap, a missing import or a failure of the engine; 128 + n for signal n. An HTTP server first finishes
    /// its requests, and exits 0 on SIGINT and 143 on SIGTERM.
    ///
    /// A signal that arrives before this call is lost unless the caller has blocked it.
    pub fn run(self) -> i32 {
        self.supervise().unwrap_or_else(|error| {
            report::print(&error);
            drua_types::exit::WASM_TRAP.into()
        })
    }

    fn supervise(self) -> Result<i32, RunError> {
        let signals = Signals::block().map_err(RunError::Signals)?;
        let serves = self.serves();
        // A server's limit is for each request.
        let limit = self.settings.timeout.filter(|_| !serves);
        let (drain, drained) = watch::channel(false);
        let (end, guest_has_it) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| RunError::Thread(error.into()))?;
        let guest = self.spawn(drained, guest_has_it).map_err(RunError::Thread)?;
        let mut first: Option<i32> = None;
        loop {
            let patience = first.map(|_| signals::DRAIN_TIMEOUT).or(limit);
            match (signals.wait(&end, patience).map_err(RunError::Signals)?, first) {
                (Event::End, None) => return join(guest),
                (Event::Signal(SIGXCPU), _) => return Err(RunError::Limit(LimitReached::Cpu)),
                (Event::Signal(number), None) if serves => {
                    first = Some(number);
                    drain.send_replace(true);
                }
                // The bounded time is over, or the user insists.
                (Event::Signal(number), _) => return Ok(128 + number),
                (Event::End | Event::Timeout, Some(number)) => return Ok(signals::status_after_drain(number)),
                (Event::Timeout, None) => {
                    let seconds = limit.unwrap_or_default().as_secs_f64();
                    return Err(RunError::Limit(LimitReached::Time { seconds }));
                }
            }
        }
    }

    fn spawn(self, drained: watch::Receiver<bool>, end: OwnedFd) -> io::Result<JoinHandle<Result<i32, RunError>>> {
        std::thread::Builder::new().name("wasm".to_owned()).spawn(move || {
            // Closed on every way out, a panic included: that is how the first thread hears of the end.
            let _end = end;
            if self.serves() { serve::serve(&self, drained) } else { call::call(&self) }
        })
    }

    fn serves(&self) -> bool {
        self.prepared.metadata.kind == Kind::Component && self.prepared.metadata.target == Target::Serve
    }
}

fn join(guest: JoinHandle<Result<i32, RunError>>) -> Result<i32, RunError> {
    // The panic's own message is on stderr already.
    guest.join().unwrap_or(Err(RunError::Panicked))
}
