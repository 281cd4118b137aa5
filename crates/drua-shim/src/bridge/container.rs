//! One container, or one of its execs, that somebody else's shim runs: its streams, and how it ended.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use containerd_shim_protos::api;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::empty::Empty;
use containerd_shim_protos::ttrpc::Result;
use drua_runtime::cgroup::Cgroup;
use drua_types::{annotations, error_chain, exit as codes};
use jiff::Timestamp;
use tokio::sync::watch;

use super::foreign::{Foreign, Subject};
use crate::bootstrap::Places;
use crate::container::{load_spec, root_path, runtime_dir};
use crate::error::TaskError;
use crate::exit::Exit;
use crate::io::{Attach, Drain, ExecWirings, Feed, IoRequest, Relay};
use crate::rootfs::{Mount, Rootfs};
use crate::service::failed;
use crate::workload::{self, annotation};
use crate::{record, sockets};

/// A shim that does not answer in this time hangs.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// Creating may mean starting a virtual machine, or fetching something.
const CREATE_TIMEOUT: Duration = Duration::from_secs(290);

/// A container that their shim has created.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) foreign: Arc<Foreign>,
    pub(super) exit: watch::Receiver<Option<Exit>>,
    pub(super) pid: u32,
    feed: Mutex<Option<Feed>>,
    attach: Mutex<Option<Attach>>,
    rootfs: Mutex<Rootfs>,
}

/// What creating needs to know besides the request.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) subject: &'a Subject,
    pub(super) places: &'a Places,
    pub(super) events: &'a Path,
    pub(super) oom: &'a Arc<AtomicBool>,
    pub(super) execs: &'a ExecWirings,
}

impl Live {
    /// Mounts, opens the streams, starts their shim and has it create the container.
    pub(super) async fn create(site: Site<'_>, request: api::CreateTaskRequest) -> Result<Self> {
        let bundle = &site.places.bundle;
        let spec = load_spec(bundle).map_err(failed)?;
        let state_dir = annotation(&spec, annotations::STATE_DIR).map_or_else(|| bundle.clone(), PathBuf::from);
        Exit::forget(&state_dir);
        let root = root_path(&spec, bundle);
        let relay = Relay::prepare(
            bundle,
            "init",
            IoRequest {
                stdin: &request.stdin,
                stdout: &request.stdout,
                stderr: &request.stderr,
                terminal: request.terminal,
                stdin_once: annotation(&spec, annotations::STDIN_ONCE) == Some("true"),
            },
        );
        let relay = relay.map_err(|error| failed(error.into()))?;
        let mounts: Vec<Mount> = request.rootfs.iter().map(mount).collect();
        let mut rootfs = Rootfs::mount(&root, &mounts).map_err(|error| failed(error.into()))?;
        let made = workload::make_cwd(&spec, &root).map_err(|err| failed(TaskError::Cwd { err }));
        let created = match made {
            Ok(()) => launch(&site, request, relay).await,
            Err(error) => Err(error),
        };
        let Launched { foreign, pid, drain, feed, attach } = created.inspect_err(|_| {
            let _ = fs_err::remove_file(&site.places.io_socket);
            if let Err(error) = rootfs.unmount() {
                tracing::warn!(error = error_chain(&error), "cannot undo a failed create");
            }
        })?;
        let cgroup = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone()).unwrap_or_default();
        note(bundle, &foreign, &site.subject.id, pid, &cgroup).await;
        let (sender, exit) = watch::channel(None);
        let end = End { foreign: foreign.clone(), subject: site.subject.clone(), oom: site.oom.clone(), cgroup };
        tokio::spawn(async move {
            let ended = end.wait().await;
            drain.finish().await;
            let exit = Exit { oom_killed: end.was_oom_killed(), ..ended };
            if let Err(error) = exit.record(&state_dir) {
                tracing::warn!(error = error_chain(&error), "a daemon that is away will not learn of this exit");
            }
            sender.send_replace(Some(exit));
        });
        let (feed, attach) = (Mutex::new(feed), Mutex::new(Some(attach)));
        Ok(Self { foreign, exit, pid, feed, attach, rootfs: Mutex::new(rootfs) })
    }

    /// Lets clients' input through, from the start on.
    pub(super) fn feed(&self, id: &str) {
        if let Some(feed) = lock(&self.feed).take() {
            tokio::spawn(feed.run(close_stdin(self.foreign.clone(), id.to_owned(), String::new())));
        }
    }

    /// Takes the mounts away. Their shim has unmounted them already, most likely.
    pub(super) fn unmount(&self) {
        if let Err(error) = lock(&self.rootfs).unmount() {
            tracing::debug!(error = error_chain(&error), "not unmounted here");
        }
    }

    /// Waits, for a limited time, until attached clients have got the last output.
    pub(super) async fn close(&self) {
        let attach = lock(&self.attach).take();
        if let Some(attach) = attach {
            attach.close().await;
        }
    }
}

struct Launched {
    foreign: Arc<Foreign>,
    pid: u32,
    drain: Drain,
    feed: Option<Feed>,
    attach: Attach,
}

async fn launch(site: &Site<'_>, mut request: api::CreateTaskRequest, relay: Relay) -> Result<Launched> {
    let subject = site.subject;
    request.bundle = site.places.bundle.display().to_string();
    // Mounted already.
    request.rootfs.clear();
    request.stdin.clone_from(&relay.stdin);
    request.stdout.clone_from(&relay.stdout);
    request.stderr.clone_from(&relay.stderr);
    request.options = subject.options().map_or_else(MessageField::none, MessageField::some);
    let listener = sockets::bind(&site.places.io_socket).map_err(|error| failed(error.into()))?;
    let launched = relay.launch(listener, site.execs.clone());
    let (relayed, attach) = launched.map_err(|error| failed(error.into()))?;
    let foreign = subject.start(site.events).await.map_err(|error| failed(error.into()))?;
    let created: Result<api::CreateTaskResponse> = foreign.call("Create", &request, Some(CREATE_TIMEOUT)).await;
    match created {
        Ok(created) => Ok(Launched {
            foreign: Arc::new(foreign),
            pid: created.pid,
            drain: relayed.drain,
            feed: relayed.feed,
            attach,
        }),
        Err(error) => {
            let shutdown = api::ShutdownRequest { id: subject.id.clone(), now: true, ..Default::default() };
            // It may be gone; what it has left is `delete`'s.
            let _: Result<Empty> = foreign.call("Shutdown", &shutdown, Some(TIMEOUT)).await;
            subject.delete();
            Err(error)
        }
    }
}

/// Notes the processes, for a cleaning up without this one.
async fn note(bundle: &Path, foreign: &Foreign, id: &str, pid: u32, cgroup: &Path) {
    let connect = api::ConnectRequest { id: id.to_owned(), ..Default::default() };
    let connected: Result<api::ConnectResponse> = foreign.call("Connect", &connect, Some(TIMEOUT)).await;
    let shim = connected.map(|connected| connected.shim_pid).ok().filter(|&pid| pid != 0);
    if let Err(error) = record::write_foreign(bundle, pid, cgroup, shim) {
        tracing::warn!(%error, "the container's processes are not recorded");
    }
}

/// Waits for the end of a container.
struct End {
    foreign: Arc<Foreign>,
    subject: Subject,
    oom: Arc<AtomicBool>,
    cgroup: PathBuf,
}

impl End {
    async fn wait(&self) -> Exit {
        match wait(&self.foreign, &self.subject.id, "").await {
            Ok(exit) => exit,
            Err(error) => {
                tracing::warn!(%error, "their shim went away before the container ended");
                let deleted = self.subject.delete();
                // Where that has killed nobody.
                if let Err(error) = drua_runtime::sandbox::destroy(&runtime_dir(&self.subject.bundle), &self.cgroup) {
                    tracing::warn!(error = error_chain(&error), "the container's processes may still run");
                }
                let status = deleted.map(|deleted| deleted.exit_status).filter(|&status| status != 0);
                let status = status.unwrap_or(codes::from_signal(9));
                Exit { status, exited_at: Timestamp::now(), oom_killed: false }
            }
        }
    }

    fn was_oom_killed(&self) -> bool {
        let kills = || Cgroup::open(&self.cgroup).and_then(|cgroup| cgroup.oom_kills());
        self.oom.load(Ordering::Relaxed) || kills().is_ok_and(|kills| kills > 0)
    }
}

/// An exec that their shim knows.
#[derive(Debug)]
pub(super) struct Exec {
    foreign: Arc<Foreign>,
    container: String,
    id: String,
    fifos: Vec<PathBuf>,
    exit: watch::Sender<Option<Exit>>,
    /// Until the start.
    waiting: Mutex<Option<(Drain, Option<Feed>)>>,
}

impl Exec {
    /// Opens its streams and tells their shim.
    pub(super) async fn add(
        live: &Live,
        bundle: &Path,
        mut request: api::ExecProcessRequest,
        execs: &ExecWirings,
    ) -> Result<Self> {
        let (container, id) = (request.id.clone(), request.exec_id.clone());
        let relay = Relay::prepare(
            bundle,
            &format!("exec-{id}"),
            IoRequest {
                stdin: &request.stdin,
                stdout: &request.stdout,
                stderr: &request.stderr,
                terminal: request.terminal,
                stdin_once: true,
            },
        );
        let relay = relay.map_err(|error| failed(error.into()))?;
        request.stdin.clone_from(&relay.stdin);
        request.stdout.clone_from(&relay.stdout);
        request.stderr.clone_from(&relay.stderr);
        let fifos = [&relay.stdin, &relay.stdout, &relay.stderr].map(PathBuf::from).to_vec();
        let relayed = relay.launch_exec(&id, execs);
        let exec = Self {
            foreign: live.foreign.clone(),
            container,
            id,
            fifos,
            exit: watch::Sender::new(None),
            waiting: Mutex::new(Some((relayed.drain, relayed.feed))),
        };
        let added: Result<Empty> = exec.foreign.call("Exec", &request, Some(TIMEOUT)).await;
        added.map(|_| exec)
    }

    /// Starts it and waits for its end in the background.
    pub(super) async fn start(self: Arc<Self>) -> Result<u32> {
        let request = api::StartRequest { id: self.container.clone(), exec_id: self.id.clone(), ..Default::default() };
        let started: Result<api::StartResponse> = self.foreign.call("Start", &request, Some(TIMEOUT)).await;
        let waiting = lock(&self.waiting).take();
        let pid = started.inspect_err(|_| {
            let status = codes::NOT_EXECUTABLE.into();
            self.exit.send_replace(Some(Exit { status, exited_at: Timestamp::now(), oom_killed: false }));
        })?;
        if let Some((mut drain, feed)) = waiting {
            if let Some(feed) = feed {
                let close = close_stdin(self.foreign.clone(), self.container.clone(), self.id.clone());
                drain.accompany(tokio::spawn(feed.run(close)));
            }
            tokio::spawn(async move {
                let lost = || Exit { status: codes::from_signal(9), exited_at: Timestamp::now(), oom_killed: false };
                let exit = wait(&self.foreign, &self.container, &self.id).await.unwrap_or_else(|_| lost());
                drain.finish().await;
                self.exit.send_replace(Some(exit));
            });
        }
        Ok(pid.pid)
    }

    /// How it ended.
    pub(super) fn exit(&self) -> watch::Receiver<Option<Exit>> {
        self.exit.subscribe()
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        for fifo in &self.fifos {
            // An empty path is no stream; a bundle that is gone has taken the rest along.
            let _ = fs_err::remove_file(fifo);
        }
    }
}

async fn wait(foreign: &Foreign, id: &str, exec_id: &str) -> Result<Exit> {
    let request = api::WaitRequest { id: id.to_owned(), exec_id: exec_id.to_owned(), ..Default::default() };
    let ended: api::WaitResponse = foreign.call("Wait", &request, None).await?;
    let at = ended.exited_at.as_ref().filter(|at| at.seconds > 0);
    let at = at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok()).unwrap_or_else(Timestamp::now);
    Ok(Exit { status: ended.exit_status, exited_at: at, oom_killed: false })
}

async fn close_stdin(foreign: Arc<Foreign>, id: String, exec_id: String) {
    let request = api::CloseIORequest { id, exec_id, stdin: true, ..Default::default() };
    let closed: Result<Empty> = foreign.call("CloseIO", &request, Some(TIMEOUT)).await;
    if let Err(error) = closed {
        tracing::debug!(%error, "their shim does not close standard input");
    }
}

fn mount(mount: &containerd_shim_protos::types::mount::Mount) -> Mount {
    Mount { kind: mount.type_.clone(), source: mount.source.clone(), options: mount.options.clone() }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
