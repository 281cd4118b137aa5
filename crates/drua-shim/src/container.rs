//! One container with everything the shim has set up for it; what requests do, without knowing ttrpc.
//!
//! [`Container::create`] registers its undo as it goes: when a step fails, nothing is left of the earlier ones.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use drua_runtime::cgroup::Stats;
use drua_runtime::oci::{LinuxResources, Process, Spec};
use drua_runtime::sandbox::{self, CreateOptions, ExecOptions, Execution, Sandbox, SandboxError, Stdio};
use drua_types::{Signal, annotations};
use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::bootstrap::OOM_SCORE;
use crate::error::TaskError;
use crate::exit::Exit;
use crate::io::{Attach, Control, Drain, ExecWirings, IoRequest, Plan};
use crate::reaper;
use crate::rootfs::{Mount, Rootfs};
use crate::workload::{self, annotation};
use crate::{record, sockets};

/// What to create, in the words of a `CreateTaskRequest`.
#[derive(Debug, Clone)]
pub(crate) struct CreateRequest {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: Vec<Mount>,
    pub(crate) terminal: bool,
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// How the init process ended; its output is stored by then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) status: u32,
    pub(crate) at: Timestamp,
}

/// A container that exists.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) request: CreateRequest,
    /// Where the exit record goes.
    pub(crate) state_dir: PathBuf,
    /// What was created, for the execs.
    pub(crate) spec: Spec,
    /// Whether its workload is WebAssembly, which has no place for other processes.
    pub(crate) is_wasm: bool,
    sandbox: Sandbox,
    rootfs: Rootfs,
    control: Control,
    attach: Attach,
}

impl Container {
    /// Mounts, opens, prepares and creates. The task that is returned ends after the init process.
    pub(crate) fn create(
        request: CreateRequest,
        io_socket: &Path,
        execs: ExecWirings,
    ) -> Result<(Self, JoinHandle<Ended>), TaskError> {
        let mut spec = load_spec(&request.bundle)?;
        keep_own_oom_score_from(&mut spec);
        let state_dir = annotation(&spec, annotations::STATE_DIR).map_or_else(|| request.bundle.clone(), PathBuf::from);
        Exit::forget(&state_dir);
        let stdin_once = annotation(&spec, annotations::STDIN_ONCE) == Some("true");
        let root = root_path(&spec, &request.bundle);
        let (plan, stdio) = Plan::prepare(IoRequest {
            stdin: &request.stdin,
            stdout: &request.stdout,
            stderr: &request.stderr,
            terminal: request.terminal,
            stdin_once,
        })?;
        let mut rootfs = Rootfs::mount(&root, &request.rootfs)?;
        let create = || {
            let listener = sockets::bind(io_socket)?;
            workload::make_cwd(&spec, &root).map_err(|err| TaskError::Cwd { err })?;
            let workload = workload::choose(&spec, &root)?;
            let is_wasm = workload::is_wasm(&*workload);
            let options = CreateOptions {
                id: request.id.clone(),
                bundle: request.bundle.clone(),
                state_dir: runtime_dir(&request.bundle),
                spec: spec.clone(),
                stdio,
                workload,
            };
            let sandbox = sandbox::create(options)?;
            Ok::<_, TaskError>((listener, sandbox, is_wasm))
        };
        let (listener, mut sandbox, is_wasm) = create().inspect_err(|_| {
            let _ = fs_err::remove_file(io_socket);
            log_failure(rootfs.unmount());
        })?;
        let launch = || {
            let pid = sandbox.pid();
            record::write_init(&request.bundle, pid, sandbox.cgroup().path())
                .map_err(|err| TaskError::Watch { pid, err })?;
            let watch = |err| TaskError::Watch { pid, err };
            let pidfd = sandbox.pidfd().try_clone_to_owned().map_err(watch)?;
            Ok::<_, TaskError>((pidfd, plan.launch(sandbox.take_console(), listener, execs)?))
        };
        match launch() {
            Ok((pidfd, io)) => {
                let ended = tokio::spawn(supervise(pidfd, io.drain));
                let (control, attach) = (io.control, io.attach);
                Ok((Self { request, state_dir, spec, is_wasm, sandbox, rootfs, control, attach }, ended))
            }
            Err(error) => {
                let _ = fs_err::remove_file(io_socket);
                log_failure(sandbox.kill(Signal::KILL));
                log_failure(sandbox.delete());
                log_failure(rootfs.unmount());
                Err(error)
            }
        }
    }

    /// The init's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.sandbox.pid()
    }

    /// Lets the workload run; returns when it has begun.
    pub(crate) fn start(&mut self) -> Result<(), TaskError> {
        Ok(self.sandbox.start()?)
    }

    /// Signals the init, or every process of the container.
    pub(crate) fn kill(&self, signal: Signal, all: bool) -> Result<(), TaskError> {
        let killed = if all { self.sandbox.kill_all(signal) } else { self.sandbox.kill(signal) };
        Ok(killed?)
    }

    /// Stops all processes.
    pub(crate) fn pause(&self) -> Result<(), TaskError> {
        Ok(self.sandbox.pause()?)
    }

    /// Lets the processes go on.
    pub(crate) fn resume(&self) -> Result<(), TaskError> {
        Ok(self.sandbox.resume()?)
    }

    /// Every process of the container.
    pub(crate) fn pids(&self) -> Result<Vec<u32>, TaskError> {
        Ok(self.sandbox.cgroup().pids().map_err(SandboxError::from)?)
    }

    /// What the container has used.
    pub(crate) fn stats(&self) -> Result<Stats, TaskError> {
        Ok(self.sandbox.stats()?)
    }

    /// Changes the limits.
    pub(crate) fn update(&self, resources: &LinuxResources) -> Result<(), TaskError> {
        Ok(self.sandbox.update(resources)?)
    }

    /// Whether the kernel has killed a process of the container for lack of memory.
    pub(crate) fn was_oom_killed(&self) -> bool {
        self.sandbox.cgroup().oom_kills().is_ok_and(|kills| kills > 0)
    }

    /// Starts one more process in the container.
    pub(crate) fn exec(&self, process: Process, stdio: Stdio) -> Result<Execution, TaskError> {
        let (id, pid, init) = (self.request.id.as_str(), self.sandbox.pid(), self.sandbox.pidfd());
        Ok(sandbox::exec(ExecOptions { id, pid, init, spec: &self.spec, process, stdio })?)
    }

    /// The container's input and terminal.
    pub(crate) fn io(&self) -> &Control {
        &self.control
    }

    /// Removes the cgroup, the runtime's state and the mounts of a container whose init has ended. What fails is tried
    /// again by the next call.
    pub(crate) fn delete(&mut self) -> Result<(), TaskError> {
        let deleted = sandbox::destroy(&runtime_dir(&self.request.bundle), self.sandbox.cgroup().path());
        let unmounted = self.rootfs.unmount();
        deleted?;
        Ok(unmounted?)
    }

    /// Waits, for a limited time, until attached clients have got the last output.
    pub(crate) async fn close(self) {
        self.attach.close().await;
    }
}

/// Where the runtime keeps its state of the container in `bundle`.
pub(crate) fn runtime_dir(bundle: &Path) -> PathBuf {
    bundle.join("runtime")
}

/// Reads the bundle's `config.json`.
pub(crate) fn load_spec(bundle: &Path) -> Result<Spec, TaskError> {
    let path = bundle.join("config.json");
    let text = fs_err::read(&path).map_err(|err| TaskError::ReadSpec { path, err })?;
    serde_json::from_slice(&text).map_err(|err| TaskError::Parse { what: "specification", err })
}

/// Where the container's root filesystem is, or will be mounted.
pub(crate) fn root_path(spec: &Spec, bundle: &Path) -> PathBuf {
    // `join` lets an absolute path win.
    bundle.join(spec.root().as_ref().map_or(Path::new("rootfs"), |root| root.path()))
}

/// The container must not inherit the shim's protection from the out-of-memory killer.
fn keep_own_oom_score_from(spec: &mut Spec) {
    let is_protected = || fs_err::read_to_string("/proc/self/oom_score_adj").is_ok_and(|own| own.trim() == OOM_SCORE);
    if let Some(process) = spec.process_mut()
        && process.oom_score_adj().is_none()
        && is_protected()
    {
        process.set_oom_score_adj(Some(0));
    }
}

/// Waits for a process (the init, or an exec's) to end, then for its output.
pub(crate) async fn supervise(pidfd: OwnedFd, drain: Drain) -> Ended {
    let status = reaper::collect(pidfd).await.unwrap_or_else(|error| {
        tracing::error!(%error, "cannot learn how the container's process ended");
        255
    });
    let at = Timestamp::now();
    drain.finish().await;
    Ended { status, at }
}

fn log_failure<E: std::error::Error>(result: Result<(), E>) {
    if let Err(error) = result {
        tracing::warn!(error = drua_types::error_chain(&error), "cannot undo a failed create");
    }
}
