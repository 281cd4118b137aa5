//! The owner of the container: one task that takes requests in turn, and the end of the init process.
//!
//! It is the future that the runtime blocks on, so everything that forks happens on the main thread. Requests are answered
//! over one-shot channels: a client that hangs up in the middle of a request does not interrupt it.

use std::time::Duration;

use containerd_shim_protos::cgroups::metrics::Metrics;
use containerd_shim_protos::events::task as events;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::topics;
use drua_runtime::oci::LinuxResources;
use drua_types::{Signal, error_chain};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::bootstrap::Places;
use crate::container::{Container, CreateRequest, Ended};
use crate::convert::{metrics, timestamp};
use crate::error::TaskError;
use crate::events::Publisher;
use crate::exec::{ExecRequest, Execs};
use crate::exit::Exit;
use crate::io::Control;
use crate::reaper::{Reaper, reap_orphans};
use crate::state::{Event, State, next};

/// How long a container that is deleted before it was started may take to die.
const DEATH: Duration = Duration::from_secs(10);

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, TaskError>>;

/// What the service asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Create(Box<CreateRequest>, Reply<u32>),
    Start(Reply<u32>),
    State(Reply<Snapshot>),
    Wait(Reply<watch::Receiver<Option<Exit>>>),
    Kill {
        signal: Signal,
        all: bool,
        reply: Reply<()>,
    },
    Pause(Reply<()>),
    Resume(Reply<()>),
    Pids(Reply<Vec<u32>>),
    Stats(Reply<Box<Metrics>>),
    Update(Box<LinuxResources>, Reply<()>),
    Resize {
        columns: u16,
        rows: u16,
        reply: Reply<()>,
    },
    CloseStdin(Reply<()>),
    Delete(Reply<Deleted>),
    /// For the exec of this id.
    Exec(String, ForExec),
    /// Whether the shim really ends is the answer.
    Shutdown {
        now: bool,
        reply: Reply<bool>,
    },
}

/// What the service asks for about an exec.
#[derive(Debug)]
pub(crate) enum ForExec {
    Add(Box<ExecRequest>, Reply<()>),
    Start(Reply<u32>),
    State(Reply<Snapshot>),
    Wait(Reply<watch::Receiver<Option<Exit>>>),
    /// `all`: its process group too.
    Kill {
        signal: Signal,
        all: bool,
        reply: Reply<()>,
    },
    Resize {
        columns: u16,
        rows: u16,
        reply: Reply<()>,
    },
    CloseStdin(Reply<()>),
    Delete(Reply<Deleted>),
}

/// The container, for `State` and `Connect`.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) request: CreateRequest,
    pub(crate) state: State,
    pub(crate) pid: u32,
    pub(crate) exit: Option<Exit>,
}

/// What is reported of a container that was deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deleted {
    pub(crate) pid: u32,
    pub(crate) exit: Exit,
}

/// The container and its state.
#[derive(Debug)]
pub(crate) struct Task {
    id: String,
    places: Places,
    state: State,
    container: Option<Container>,
    /// Ends when the init process has ended and its output is stored.
    ending: Option<JoinHandle<Ended>>,
    exit: watch::Sender<Option<Exit>>,
    execs: Execs,
    reaper: Reaper,
    publisher: Publisher,
}

impl Task {
    /// No container yet.
    pub(crate) fn new(id: String, places: Places, reaper: Reaper, publisher: Publisher) -> Self {
        let (exit, _) = watch::channel(None);
        let execs = Execs::new();
        Self { id, places, state: State::Absent, container: None, ending: None, exit, execs, reaper, publisher }
    }

    /// Serves requests until one of them ends the shim; then lets attached clients and events finish.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Shutdown { now, reply }) => {
                        let end = self.may_end(now).await;
                        if end {
                            self.leave_bundle();
                        }
                        let _ = reply.send(Ok(end));
                        if end {
                            break;
                        }
                    }
                    Some(request) => self.answer(request).await,
                    None => break,
                },
                ended = ended(&mut self.ending) => self.exited(ended),
                (id, ended) = self.execs.next_ended() => self.exec_ended(&id, ended),
                result = self.reaper.child_ended() => {
                    if let Err(error) = result {
                        tracing::warn!(%error, "cannot read SIGCHLD");
                    }
                    self.reap();
                }
            }
        }
        requests.close();
        if let Some(container) = self.container.take() {
            container.close().await;
        }
        self.publisher.close().await;
    }

    /// A client that has hung up needs no answer: sending to it fails, and nothing else does.
    async fn answer(&mut self, request: Request) {
        match request {
            Request::Create(request, reply) => drop(reply.send(self.create(*request))),
            Request::Start(reply) => drop(reply.send(self.start())),
            Request::State(reply) => drop(reply.send(self.snapshot())),
            Request::Wait(reply) => drop(reply.send(self.container().map(|_| self.exit.subscribe()))),
            Request::Kill { signal, all, reply } => drop(reply.send(self.kill(signal, all))),
            Request::Pause(reply) => drop(reply.send(self.pause())),
            Request::Resume(reply) => drop(reply.send(self.resume())),
            Request::Pids(reply) => drop(reply.send(self.container().and_then(Container::pids))),
            Request::Stats(reply) => drop(reply.send(self.stats())),
            Request::Update(resources, reply) => {
                drop(reply.send(self.container().and_then(|container| container.update(&resources))));
            }
            Request::Resize { columns, rows, reply } => {
                let resize = |container: &Container| Ok(container.io().resize(columns, rows)?);
                drop(reply.send(self.container().and_then(resize)));
            }
            Request::CloseStdin(reply) => {
                drop(reply.send(self.container().map(|container| container.io().close_stdin())));
            }
            Request::Delete(reply) => drop(reply.send(self.delete().await)),
            Request::Exec(id, request) => self.answer_exec(&id, request),
            Request::Shutdown { reply, .. } => drop(reply.send(Err(TaskError::ShuttingDown))),
        }
    }

    fn answer_exec(&mut self, id: &str, request: ForExec) {
        match request {
            ForExec::Add(request, reply) => drop(reply.send(self.add_exec(*request))),
            ForExec::Start(reply) => drop(reply.send(self.start_exec(id))),
            ForExec::State(reply) => drop(reply.send(self.exec_snapshot(id))),
            ForExec::Wait(reply) => {
                let wait = |container| Ok(self.execs.get(id, container)?.exit.subscribe());
                drop(reply.send(self.container().and_then(wait)));
            }
            ForExec::Kill { signal, all, reply } => {
                let kill = |container| self.execs.kill(id, signal, all, container);
                drop(reply.send(self.container().and_then(kill)));
            }
            ForExec::Resize { columns, rows, reply } => {
                let resize = |container| Ok(self.execs.control(id, container)?.resize(columns, rows)?);
                drop(reply.send(self.container().and_then(resize)));
            }
            ForExec::CloseStdin(reply) => {
                let close = |container| self.execs.control(id, container).map(Control::close_stdin);
                drop(reply.send(self.container().and_then(close)));
            }
            ForExec::Delete(reply) => drop(reply.send(self.delete_exec(id))),
        }
    }

    fn add_exec(&mut self, request: ExecRequest) -> Result<(), TaskError> {
        let container = self.container()?;
        if container.is_wasm {
            return Err(TaskError::ExecWasm);
        }
        let event = events::TaskExecAdded {
            container_id: self.id.clone(),
            exec_id: request.id.clone(),
            ..events::TaskExecAdded::default()
        };
        self.execs.add(request)?;
        self.publisher.publish(topics::TASK_EXEC_ADDED_EVENT_TOPIC, &event);
        Ok(())
    }

    /// A frozen process would never begin, so the container has to run.
    fn start_exec(&mut self, id: &str) -> Result<u32, TaskError> {
        self.container()?;
        if self.state != State::Running {
            return Err(TaskError::ExecRejected { action: "start", state: self.state });
        }
        let container = self.container.as_ref().ok_or_else(|| TaskError::NoContainer(self.id.clone()))?;
        let pid = self.execs.start(id, container)?;
        let event = events::TaskExecStarted {
            container_id: self.id.clone(),
            exec_id: id.to_owned(),
            pid,
            ..events::TaskExecStarted::default()
        };
        self.publisher.publish(topics::TASK_EXEC_STARTED_EVENT_TOPIC, &event);
        Ok(pid)
    }

    fn exec_snapshot(&self, id: &str) -> Result<Snapshot, TaskError> {
        let container = self.container()?;
        let exec = self.execs.get(id, container)?;
        let request = CreateRequest {
            terminal: exec.request.terminal,
            stdin: exec.request.stdin.clone(),
            stdout: exec.request.stdout.clone(),
            stderr: exec.request.stderr.clone(),
            ..container.request.clone()
        };
        Ok(Snapshot { request, state: exec.state, pid: exec.pid, exit: *exec.exit.borrow() })
    }

    fn delete_exec(&mut self, id: &str) -> Result<Deleted, TaskError> {
        let exists = !matches!(self.state, State::Absent | State::Deleted);
        let container = self.container.as_ref().filter(|_| exists);
        let container = container.ok_or_else(|| TaskError::NoContainer(self.id.clone()))?;
        let (pid, exit) = self.execs.delete(id, container)?;
        Ok(Deleted { pid, exit })
    }

    fn exec_ended(&mut self, id: &str, ended: Ended) {
        if let Some(exec) = self.execs.record(id, ended) {
            let event = events::TaskExit {
                container_id: self.id.clone(),
                id: id.to_owned(),
                pid: exec.pid,
                exit_status: ended.status,
                exited_at: MessageField::some(timestamp(ended.at)),
                ..events::TaskExit::default()
            };
            self.publisher.publish(topics::TASK_EXIT_EVENT_TOPIC, &event);
        }
        self.reap();
    }

    fn create(&mut self, request: CreateRequest) -> Result<u32, TaskError> {
        let created = next(self.state, Event::Create)?;
        let mut event = events::TaskCreate {
            container_id: self.id.clone(),
            bundle: request.bundle.display().to_string(),
            ..events::TaskCreate::default()
        };
        event.io = MessageField::some(events::TaskIO {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
            ..events::TaskIO::default()
        });
        let (container, ending) = Container::create(request, &self.places.io_socket, self.execs.wirings.clone())?;
        let pid = container.pid();
        (self.state, self.container, self.ending) = (created, Some(container), Some(ending));
        event.pid = pid;
        self.publisher.publish(topics::TASK_CREATE_EVENT_TOPIC, &event);
        Ok(pid)
    }

    fn start(&mut self) -> Result<u32, TaskError> {
        let running = self.next(Event::Start)?;
        let container = self.container.as_mut().ok_or_else(|| TaskError::NoContainer(self.id.clone()))?;
        container.start()?;
        self.state = running;
        let pid = container.pid();
        let event = events::TaskStart { container_id: self.id.clone(), pid, ..events::TaskStart::default() };
        self.publisher.publish(topics::TASK_START_EVENT_TOPIC, &event);
        Ok(pid)
    }

    fn kill(&mut self, signal: Signal, all: bool) -> Result<(), TaskError> {
        let container = self.container()?;
        if self.state == State::Stopped {
            return Err(TaskError::Finished);
        }
        self.next(Event::Signal)?;
        container.kill(signal, all)?;
        if self.state == State::Paused && signal == Signal::KILL {
            // A frozen process does not die: the sandbox has thawed it.
            self.state = State::Running;
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), TaskError> {
        let paused = self.next(Event::Pause)?;
        self.container()?.pause()?;
        self.state = paused;
        let event = events::TaskPaused { container_id: self.id.clone(), ..events::TaskPaused::default() };
        self.publisher.publish(topics::TASK_PAUSED_EVENT_TOPIC, &event);
        Ok(())
    }

    fn resume(&mut self) -> Result<(), TaskError> {
        let running = self.next(Event::Resume)?;
        self.container()?.resume()?;
        self.state = running;
        let event = events::TaskResumed { container_id: self.id.clone(), ..events::TaskResumed::default() };
        self.publisher.publish(topics::TASK_RESUMED_EVENT_TOPIC, &event);
        Ok(())
    }

    fn stats(&self) -> Result<Box<Metrics>, TaskError> {
        Ok(Box::new(metrics(&self.container()?.stats()?)))
    }

    fn snapshot(&self) -> Result<Snapshot, TaskError> {
        let container = self.container()?;
        let request = container.request.clone();
        Ok(Snapshot { request, state: self.state, pid: container.pid(), exit: *self.exit.borrow() })
    }

    async fn delete(&mut self) -> Result<Deleted, TaskError> {
        if self.state == State::Created {
            self.kill(Signal::KILL, false)?;
            self.until_exited().await?;
        }
        let deleted = self.next(Event::Delete)?;
        let container = self.container.as_mut().ok_or_else(|| TaskError::NoContainer(self.id.clone()))?;
        container.delete()?;
        self.state = deleted;
        let pid = container.pid();
        let exit = self.exit.borrow().expect("a container is deleted only after its exit");
        let event = events::TaskDelete {
            container_id: self.id.clone(),
            pid,
            exit_status: exit.status,
            exited_at: MessageField::some(timestamp(exit.exited_at)),
            ..events::TaskDelete::default()
        };
        self.publisher.publish(topics::TASK_DELETE_EVENT_TOPIC, &event);
        Ok(Deleted { pid, exit })
    }

    /// containerd asks after every delete, whether or not there is another container: a shim with a container goes on.
    /// `now` means that the container has to go as well.
    async fn may_end(&mut self, now: bool) -> bool {
        let living = matches!(self.state, State::Created | State::Running | State::Paused | State::Stopped);
        if !living || !now {
            return !living;
        }
        if self.state != State::Stopped {
            let killed = self.kill(Signal::KILL, false);
            if let Err(error) = killed.and(self.until_exited().await) {
                tracing::warn!(error = error_chain(&error), "cannot end the container");
            }
        }
        if let Err(error) = self.delete().await {
            tracing::warn!(error = error_chain(&error), "cannot delete the container");
        }
        true
    }

    /// Gives the bundle up before `Shutdown` is answered: the next shim of a container that is restarted may come at once,
    /// while this one still waits for the last client to read.
    fn leave_bundle(&self) {
        for socket in [&self.places.socket, &self.places.io_socket] {
            let _ = fs_err::remove_file(socket);
        }
    }

    async fn until_exited(&mut self) -> Result<(), TaskError> {
        let pid = self.container()?.pid();
        let ended = timeout(DEATH, ended(&mut self.ending)).await.map_err(|_| TaskError::Undead(pid))?;
        self.exited(ended);
        Ok(())
    }

    /// The init has ended and its output is stored: record it, then tell everybody.
    fn exited(&mut self, ended: Ended) {
        self.ending = None;
        self.state = next(self.state, Event::Exited).expect("an exit is never refused");
        let container = self.container.as_ref().expect("only a container's process ends");
        let exit = Exit { status: ended.status, exited_at: ended.at, oom_killed: container.was_oom_killed() };
        if let Err(error) = exit.record(&container.state_dir) {
            tracing::warn!(error = error_chain(&error), "a daemon that is away will not learn of this exit");
        }
        self.exit.send_replace(Some(exit));
        if exit.oom_killed {
            let event = events::TaskOOM { container_id: self.id.clone(), ..events::TaskOOM::default() };
            self.publisher.publish(topics::TASK_OOM_EVENT_TOPIC, &event);
        }
        let event = events::TaskExit {
            container_id: self.id.clone(),
            id: self.id.clone(),
            pid: container.pid(),
            exit_status: exit.status,
            exited_at: MessageField::some(timestamp(exit.exited_at)),
            ..events::TaskExit::default()
        };
        self.publisher.publish(topics::TASK_EXIT_EVENT_TOPIC, &event);
        self.reap();
    }

    /// Collects whoever nobody else collects.
    fn reap(&self) {
        let init = self.living_init();
        reap_orphans(|pid| init == Some(pid) || self.execs.awaits(pid));
    }

    fn next(&self, event: Event) -> Result<State, TaskError> {
        self.container()?;
        Ok(next(self.state, event)?)
    }

    fn container(&self) -> Result<&Container, TaskError> {
        let exists = !matches!(self.state, State::Absent | State::Deleted);
        self.container.as_ref().filter(|_| exists).ok_or_else(|| TaskError::NoContainer(self.id.clone()))
    }

    /// The init as long as somebody else is going to collect it.
    fn living_init(&self) -> Option<u32> {
        self.ending.as_ref().and(self.container.as_ref()).map(Container::pid)
    }
}

/// Waits for the end of the init process; for ever, when there is none.
async fn ended(ending: &mut Option<JoinHandle<Ended>>) -> Ended {
    match ending {
        Some(handle) => handle.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the supervisor failed");
            Ended { status: 255, at: jiff::Timestamp::now() }
        }),
        None => std::future::pending().await,
    }
}
