//! The task that owns one container. Everything that changes the container is a [`Command`] to it; everybody else reads
//! the snapshots that it publishes.
//!
//! A command that hangs (a stuck shim) delays the commands of this container only. Teardown after an exit happens in the
//! actor too, after the exit has been published, so a following start or removal finds a clean place.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drua_types::{ContainerName, NetworkId, Signal, error_chain};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::health::{self, Check};
use super::{
    Container, Health, HealthState, ProbeResult, Resources, RestartPolicy, StateEvent, Status, host_files, host_mounts,
    next, spec, state,
};
use crate::engine::Shared;
use crate::events::Scope;
use crate::network::{EndpointRequest, PREDEFINED};
use crate::shim::{AttachStreams, Attached, CreateTask, Exit, Shim};
use crate::{Error, Result, blocking};

/// First delay of the restart policy; doubles up to [`BACKOFF_MAX`] and is reset by a run of [`BACKOFF_RESET`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
const BACKOFF_RESET: Duration = Duration::from_secs(10);

type Reply<T = ()> = oneshot::Sender<Result<T>>;

/// What can be asked of a container.
#[derive(Debug)]
pub(crate) enum Command {
    Start {
        reply: Reply,
    },
    /// `stop` marks the signal as the user's wish that the container ends, for the restart policy.
    Kill {
        signal: Signal,
        stop: bool,
        reply: Reply,
    },
    Pause {
        reply: Reply,
    },
    Resume {
        reply: Reply,
    },
    Resize {
        width: u32,
        height: u32,
        reply: Reply,
    },
    Rename {
        name: ContainerName,
        reply: Reply,
    },
    Remove {
        volumes: bool,
        reply: Reply,
    },
    /// The inner receiver delivers the connection as soon as there is a process; before its first output.
    Attach {
        streams: AttachStreams,
        reply: Reply<oneshot::Receiver<Attached>>,
    },
    Pids {
        reply: Reply<Vec<u32>>,
    },
    Connect {
        network: NetworkId,
        request: EndpointRequest,
        reply: Reply,
    },
    Disconnect {
        network: NetworkId,
        reply: Reply,
    },
    /// New limits and restart policy; `echo` is what inspect shows of them.
    Update {
        resources: Box<Resources>,
        policy: Option<RestartPolicy>,
        echo: Map<String, Value>,
        reply: Reply,
    },
    /// The shim of a container that runs, for work that takes long and changes nothing here.
    Shim {
        reply: Reply<Shim>,
    },
    /// From the task that runs the health check.
    Probed {
        run: u64,
        result: ProbeResult,
    },
    /// From the task that waits for the process.
    Exited {
        run: u64,
        exit: Exit,
    },
    /// From the restart policy's timer.
    RestartDue {
        run: u64,
    },
}

/// How others reach a container.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    snapshots: watch::Receiver<Arc<Container>>,
}

impl Handle {
    /// The present picture.
    pub(crate) fn snapshot(&self) -> Arc<Container> {
        self.snapshots.borrow().clone()
    }

    /// Follows the pictures.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Container>> {
        self.snapshots.clone()
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn call<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T> {
        let gone = || Error::NoSuchContainer(self.snapshot().id.to_string());
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Starts the actor of a container. `shim` is given for one that runs already (after a restart of the daemon).
pub(crate) fn spawn(shared: Arc<Shared>, container: Container, shim: Option<Shim>) -> Handle {
    let (sender, commands) = mpsc::channel(64);
    let (snapshot, snapshots) = watch::channel(Arc::new(container.clone()));
    let mut actor = Actor {
        shared,
        container,
        snapshot,
        itself: sender.downgrade(),
        shim: None,
        waiter: None,
        monitor: None,
        pending: Vec::new(),
        run: 0,
        backoff: BACKOFF_MIN,
    };
    if let Some(shim) = shim {
        actor.supervise(shim);
        actor.monitor_health();
    }
    tokio::spawn(actor.serve(commands));
    Handle { commands: sender, snapshots }
}

struct Actor {
    shared: Arc<Shared>,
    container: Container,
    snapshot: watch::Sender<Arc<Container>>,
    itself: mpsc::WeakSender<Command>,
    shim: Option<Shim>,
    waiter: Option<JoinHandle<()>>,
    /// Runs the health check while the container runs.
    monitor: Option<JoinHandle<()>>,
    pending: Vec<(AttachStreams, oneshot::Sender<Attached>)>,
    /// Counts starts, so that a late message about an earlier run is recognised.
    run: u64,
    backoff: Duration,
}

impl Drop for Actor {
    fn drop(&mut self) {
        for task in [self.waiter.take(), self.monitor.take()].into_iter().flatten() {
            task.abort();
        }
    }
}

impl Actor {
    async fn serve(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.recv().await {
            self.handle(command).await;
            if self.container.removed {
                break;
            }
        }
        // Nobody waits for what is left on disk; after a crash here, the next daemon sweeps it.
        self.bury().await;
        let dir = self.shared.config.container_dir(&self.container.id);
        self.remove_dir(dir).await;
    }

    /// Does what a command says. Whoever asked may have gone away meanwhile: unanswered replies are fine.
    async fn handle(&mut self, command: Command) {
        match command {
            Command::Start { reply } => {
                if state::may_start(&self.container.id, self.container.state.status).is_ok() {
                    // The restart policy begins anew.
                    (self.container.restart_count, self.backoff) = (0, BACKOFF_MIN);
                }
                let result = self.start().await;
                let failed = result.is_err();
                let _ = reply.send(result);
                if failed && self.container.host.auto_remove && self.container.state.status == Status::Created {
                    let _ = self.remove(true).await;
                }
            }
            Command::Kill { signal, stop, reply } => drop(reply.send(self.kill(signal, stop).await)),
            Command::Pause { reply } => drop(reply.send(self.pause().await)),
            Command::Resume { reply } => drop(reply.send(self.resume().await)),
            Command::Resize { width, height, reply } => {
                let result = match &self.shim {
                    Some(shim) => shim.resize(width, height, "").await,
                    None => Err(self.not_running()),
                };
                let _ = reply.send(result);
            }
            Command::Rename { name, reply } => drop(reply.send(self.rename(name))),
            Command::Remove { volumes, reply } => drop(reply.send(self.remove(volumes).await)),
            Command::Attach { streams, reply } => drop(reply.send(self.attach(streams).await)),
            Command::Pids { reply } => {
                let result = match &self.shim {
                    Some(shim) => shim.pids().await,
                    None => Err(self.not_running()),
                };
                let _ = reply.send(result);
            }
            Command::Connect { network, request, reply } => {
                drop(reply.send(self.connect(network, request).await));
            }
            Command::Disconnect { network, reply } => drop(reply.send(self.disconnect(network).await)),
            Command::Update { resources, policy, echo, reply } => {
                drop(reply.send(self.update(*resources, policy, echo).await));
            }
            Command::Shim { reply } => drop(reply.send(self.running_shim())),
            Command::Probed { run, result } if run == self.run => self.probed(result),
            Command::Exited { run, exit } if run == self.run => self.exited(exit).await,
            Command::RestartDue { run } if run == self.run => self.restart().await,
            Command::Exited { .. } | Command::RestartDue { .. } | Command::Probed { .. } => {}
        }
    }

    async fn start(&mut self) -> Result<()> {
        state::may_start(&self.container.id, self.container.state.status)?;
        self.container.manually_stopped = false;
        blocking::beside(drua_runtime::cgroup::expect_joins);
        let _files = self.shared.leases.own(&self.container.id).await;
        let started = self.try_start().await;
        let shims = self.shared.shims.clone();
        blocking::beside(move || shims.warm());
        match started {
            Ok((shim, pid)) => {
                // Whatever else fails from here on, its end must not be missed.
                self.container.health = Check::of(&self.container).map(|_| HealthState::starting());
                self.supervise(shim);
                match next(&self.container.state, StateEvent::Started { pid, at: Timestamp::now() }) {
                    Ok(state) => self.container.state = state,
                    Err(error) => return Err(Error::Conflict(error.to_string())),
                }
                self.log_commit();
                self.monitor_health();
                self.emit("start", &[]);
                Ok(())
            }
            Err(error) => {
                let error = crate::foreign::explain(error, &self.container.platform);
                tracing::warn!(container.id = %self.container.id, error = error_chain(&error), "start failed");
                self.tear_down().await;
                self.pending.clear();
                let exit_code = error.start_exit_code();
                self.container.exits += 1;
                self.apply(StateEvent::Failed { exit_code, error: error_chain(&error) })?;
                Err(error)
            }
        }
    }

    /// Builds everything that a running container needs, bottom up. The caller tears down on failure.
    async fn try_start(&mut self) -> Result<(Shim, u32)> {
        let (shared, id) = (self.shared.clone(), self.container.id.clone());
        spec::make_bundle(&shared, &self.container)?;
        // The shim reads the bundle when it is told to create the container, and comes up beside what fills it.
        let spawned = Shim::spawn(&shared.config, &shared.shims, &id);
        let (spawned, prepared) = tokio::join!(spawned, self.attach_and_prepare());
        self.shim = spawned.as_ref().ok().cloned();
        let (shim, create) = (spawned?, prepared?);
        shim.create(create).await?;
        for (streams, client) in self.pending.drain(..).filter(|(_, client)| !client.is_closed()) {
            match shim.attach(streams, None).await {
                // The client may have gone; that is its business.
                Ok(connection) => drop(client.send(connection)),
                Err(error) => {
                    tracing::warn!(container.id = %self.container.id, error = error_chain(&error), "a client is not attached");
                }
            }
        }
        let pid = shim.start().await?;
        Ok((shim, pid))
    }

    /// The networks, then what the container's process finds: mounts, files, the specification.
    async fn attach_and_prepare(&mut self) -> Result<CreateTask> {
        let shared = self.shared.clone();
        let container = self.container.clone();
        let attached = blocking::run(move || shared.networks.attach(&shared.config, &container)).await?;
        for (name, endpoint) in &attached.endpoints {
            self.emit_network("connect", name, &endpoint.network);
        }
        self.container.endpoints = attached.endpoints;
        self.container.published = attached.published;
        let shared = self.shared.clone();
        let container = self.container.clone();
        blocking::run(move || prepare(&shared, &container)).await
    }

    /// Takes over a shim with a running process and waits for its end.
    fn supervise(&mut self, shim: Shim) {
        self.run += 1;
        let (run, itself, id) = (self.run, self.itself.clone(), self.container.id.clone());
        let shared = self.shared.clone();
        self.shim = Some(shim.clone());
        self.waiter = Some(tokio::spawn(async move {
            let exit = match shim.wait().await {
                Ok(exit) => exit,
                Err(error) => {
                    tracing::warn!(container.id = %id, %error, "the shim went away before its container ended");
                    // The container may well run on without it, and nobody would ever reap it.
                    Shim::discard(&shared.config, &shared.shims, &id).await;
                    crate::recover::exit_without_shim(&shared.config.container_dir(&id))
                }
            };
            if let Some(itself) = itself.upgrade() {
                // Fails only when the actor has ended.
                let _ = itself.send(Command::Exited { run, exit }).await;
            }
        }));
    }

    async fn exited(&mut self, exit: Exit) {
        let ran_for = self
            .container
            .state
            .started_at
            .map_or(Duration::ZERO, |start| Duration::try_from(exit.at.duration_since(start)).unwrap_or_default());
        if ran_for >= BACKOFF_RESET {
            self.backoff = BACKOFF_MIN;
        }
        if exit.oom_killed {
            self.emit("oom", &[]);
        }
        if let Some(monitor) = self.monitor.take() {
            monitor.abort();
        }
        if let Some(health) = &mut self.container.health {
            // As moby has it: nobody vouches for a container that does not run.
            health.status = Health::Unhealthy;
        }
        self.container.exits += 1;
        let again = self.wants_restart(exit.code);
        let event = StateEvent::Exited { code: exit.code, at: exit.at, oom_killed: exit.oom_killed };
        let ended = next(&self.container.state, event);
        let ended = ended.and_then(|ended| if again { next(&ended, StateEvent::Backoff) } else { Ok(ended) });
        match ended {
            Ok(state) => self.container.state = state,
            Err(error) => return tracing::error!(container.id = %self.container.id, %error, "impossible exit"),
        }
        let goes = self.container.host.auto_remove && !again;
        if goes {
            // Its removal is saved in a moment; a daemon that dies before finds the exit again, and removes it then.
            self.show();
        } else {
            self.log_commit();
        }
        let duration = ran_for.as_secs().to_string();
        self.emit("die", &[("exitCode", &exit.code.to_string()), ("execDuration", &duration)]);
        if goes {
            self.release_network().await;
            if let Err(error) = self.remove(true).await {
                tracing::error!(container.id = %self.container.id, error = error_chain(&error), "not removed");
            }
            return;
        }
        self.tear_down().await;
        self.log_commit();
        if again {
            self.schedule_restart();
        }
    }

    /// Runs the health check for as long as this run lasts.
    fn monitor_health(&mut self) {
        let Some((check, shim)) = Check::of(&self.container).zip(self.shim.clone()) else { return };
        let (run, itself, shared) = (self.run, self.itself.clone(), self.shared.clone());
        let mut snapshots = self.snapshot.subscribe();
        self.monitor = Some(tokio::spawn(async move {
            health::clear(&shim).await;
            loop {
                let container = snapshots.borrow_and_update().clone();
                let Some(health) = &container.health else { return };
                let pause = check.pause(health.status, container.state.started_at, Timestamp::now());
                tokio::time::sleep(pause).await;
                let container = snapshots.borrow_and_update().clone();
                if container.state.status != Status::Running {
                    continue;
                }
                let result = health::probe(&shared, &shim, &container, &check).await;
                let Some(itself) = itself.upgrade() else { return };
                if itself.send(Command::Probed { run, result }).await.is_err() {
                    return;
                }
                // The next pause depends on what the actor makes of it.
                let _ = snapshots.changed().await;
            }
        }));
    }

    fn probed(&mut self, result: ProbeResult) {
        let Some((health, check)) = self.container.health.clone().zip(Check::of(&self.container)) else { return };
        if !matches!(self.container.state.status, Status::Running | Status::Paused) {
            return;
        }
        let early = check.in_start_period(self.container.state.started_at, result.start);
        let after = health.after(result, check.retries(), early);
        let changed = after.status != health.status;
        let action = format!("health_status: {}", after.status.as_str());
        self.container.health = Some(after);
        if changed {
            self.log_commit();
            self.emit(&action, &[]);
        } else {
            // Not worth a write: what matters has not changed.
            self.show();
        }
    }

    fn running_shim(&self) -> Result<Shim> {
        match (&self.shim, self.container.state.status) {
            (Some(shim), Status::Running | Status::Paused) => Ok(shim.clone()),
            _ => Err(self.not_running()),
        }
    }

    async fn update(
        &mut self,
        resources: Resources,
        policy: Option<RestartPolicy>,
        echo: Map<String, Value>,
    ) -> Result<()> {
        if self.container.state.status == Status::Removing {
            return Err(Error::MarkedForRemoval(self.container.id.clone()));
        }
        if policy.is_some_and(|policy| policy != RestartPolicy::No) && self.container.host.auto_remove {
            let message = "Restart policy cannot be updated because AutoRemove is enabled for the container".to_owned();
            return Err(Error::Invalid(message));
        }
        if resources != self.container.host.resources
            && let Ok(shim) = self.running_shim()
        {
            shim.update(&spec::limits(&resources)?).await?;
        }
        self.container.host.resources = resources;
        if let Some(policy) = policy {
            self.container.host.restart = policy;
        }
        if let Value::Object(known) = &mut self.container.echo {
            known.extend(echo);
        }
        self.commit()?;
        self.emit("update", &[]);
        Ok(())
    }

    fn wants_restart(&self, code: u32) -> bool {
        if self.container.manually_stopped {
            return false;
        }
        match self.container.host.restart {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure(max) => code != 0 && (max == 0 || self.container.restart_count < max),
        }
    }

    fn schedule_restart(&mut self) {
        let (run, itself, delay) = (self.run, self.itself.clone(), self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        self.waiter = Some(tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if let Some(itself) = itself.upgrade() {
                let _ = itself.send(Command::RestartDue { run }).await;
            }
        }));
    }

    async fn restart(&mut self) {
        if self.container.state.status != Status::Restarting {
            return;
        }
        self.container.restart_count += 1;
        // A failed start is recorded in the state; the policy gives up on it as moby does.
        let _ = self.start().await;
    }

    async fn kill(&mut self, signal: Signal, stop: bool) -> Result<()> {
        if stop {
            self.container.manually_stopped = true;
        }
        if self.container.state.status == Status::Restarting && stop {
            if let Some(timer) = self.waiter.take() {
                timer.abort();
            }
            return self.apply(StateEvent::GaveUp);
        }
        let Some(shim) = self.shim.clone().filter(|_| self.container.state.status.is_running()) else {
            let (name, id) = (self.container.id.to_string(), self.container.id.clone());
            return Err(Error::KillNotRunning { name, id });
        };
        if self.container.state.status == Status::Paused && signal == Signal::KILL {
            // A frozen process on cgroup v1 does not even take SIGKILL.
            shim.resume().await?;
            self.apply(StateEvent::Resumed)?;
        }
        shim.kill(signal, false).await?;
        self.emit("kill", &[("signal", &signal.number().to_string())]);
        Ok(())
    }

    async fn pause(&mut self) -> Result<()> {
        let id = || self.container.id.clone();
        match (&self.shim, self.container.state.status) {
            (Some(shim), Status::Running) => shim.pause().await?,
            (_, Status::Paused) => return Err(Error::Paused(id())),
            _ => return Err(self.not_running()),
        }
        self.apply(StateEvent::Paused)?;
        self.emit("pause", &[]);
        Ok(())
    }

    async fn resume(&mut self) -> Result<()> {
        match (&self.shim, self.container.state.status) {
            (Some(shim), Status::Paused) => shim.resume().await?,
            _ => return Err(Error::NotPaused(self.container.id.clone())),
        }
        self.apply(StateEvent::Resumed)?;
        self.emit("unpause", &[]);
        Ok(())
    }

    fn rename(&mut self, name: ContainerName) -> Result<()> {
        self.shared.registry.rename(&self.container.id, &self.container.name, &name)?;
        let old = std::mem::replace(&mut self.container.name, name);
        self.commit()?;
        self.shared.networks.rename(&self.container);
        self.emit("rename", &[("oldName", &format!("/{old}"))]);
        Ok(())
    }

    async fn attach(&mut self, streams: AttachStreams) -> Result<oneshot::Receiver<Attached>> {
        let (client, connection) = oneshot::channel();
        match (&self.shim, self.container.state.status) {
            (_, Status::Paused) => return Err(Error::AttachPaused(self.container.id.clone())),
            (_, Status::Restarting) => return Err(Error::AttachRestarting(self.container.id.clone())),
            (_, Status::Removing) => return Err(Error::MarkedForRemoval(self.container.id.clone())),
            (Some(shim), Status::Running) => drop(client.send(shim.attach(streams, None).await?)),
            (_, Status::Created | Status::Exited | Status::Running) => {
                self.pending.retain(|(_, client)| !client.is_closed());
                self.pending.push((streams, client));
            }
        }
        self.emit("attach", &[]);
        Ok(connection)
    }

    async fn connect(&mut self, network: NetworkId, mut request: EndpointRequest) -> Result<()> {
        request.network = Some(network.clone());
        let shared = self.shared.clone();
        let container = self.container.clone();
        let name = self.shared.networks.get(&network)?.name.to_string();
        if self.container.requests.contains_key(&name) {
            let message = format!("endpoint with name {} already exists in network {name}", self.container.name);
            return Err(Error::Denied(message));
        }
        if self.container.state.status.is_running() && self.container.state.pid != 0 {
            let wanted = request.clone();
            let endpoint =
                blocking::run(move || shared.networks.connect(&shared.config, &container, &network, &wanted)).await?;
            self.emit_network("connect", &name, &endpoint.network);
            let resolved = self.container.endpoints.keys().any(|name| name != PREDEFINED[0]);
            self.container.endpoints.insert(name.clone(), endpoint);
            if !resolved && name != PREDEFINED[0] {
                let (shared, container) = (self.shared.clone(), self.container.clone());
                blocking::run(move || host_files::rewrite_resolv_conf(&shared, &container)).await?;
            }
        }
        self.container.requests.insert(name, request);
        self.commit()
    }

    async fn disconnect(&mut self, network: NetworkId) -> Result<()> {
        let name = self.shared.networks.get(&network)?.name.to_string();
        let requested = self.container.requests.remove(&name).is_some();
        let endpoint = self.container.endpoints.remove(&name);
        if !requested && endpoint.is_none() {
            let message = format!("container {} is not connected to network {name}", self.container.id);
            return Err(Error::Denied(message));
        }
        if let Some(endpoint) = endpoint {
            let shared = self.shared.clone();
            let container = self.container.clone();
            let id = endpoint.network.clone();
            blocking::run(move || shared.networks.disconnect(&shared.config, &container, &endpoint)).await?;
            self.emit_network("disconnect", &name, &id);
        }
        self.commit()
    }

    /// Removes what the last run has: network, shim, bundle. Goes on after failures: each is logged, and start and
    /// recovery cope with leftovers.
    async fn tear_down(&mut self) {
        self.release_network().await;
        self.bury().await;
    }

    /// Gives addresses, ports and the network namespace back.
    async fn release_network(&mut self) {
        let released = self.container.clone();
        for (name, endpoint) in std::mem::take(&mut self.container.endpoints) {
            self.emit_network("disconnect", &name, &endpoint.network);
        }
        self.container.published.clear();
        let shared = self.shared.clone();
        let done = blocking::run(move || {
            shared.networks.detach(&shared.config, &released);
            Ok(())
        });
        if let Err(error) = done.await {
            tracing::error!(container.id = %self.container.id, %error, "network is not released");
        }
    }

    /// Ends the shim and removes the bundle.
    async fn bury(&mut self) {
        let bundle = self.shared.config.bundle(&self.container.id);
        let deleted = match self.shim.take() {
            Some(shim) => shim.delete_and_shutdown().await,
            None => !bundle.exists(),
        };
        if !deleted {
            Shim::discard(&self.shared.config, &self.shared.shims, &self.container.id).await;
        }
        self.remove_dir(bundle).await;
        let (shared, container) = (self.shared.clone(), self.container.clone());
        let released = blocking::run(move || {
            host_mounts::release(&shared, &container);
            Ok(())
        });
        if let Err(error) = released.await {
            tracing::warn!(container.id = %self.container.id, error = error_chain(&error), "left mounted");
        }
    }

    async fn remove_dir(&self, dir: PathBuf) {
        if let Err(error) = blocking::run(move || crate::remove_dir(&dir)).await {
            tracing::warn!(container.id = %self.container.id, error = error_chain(&error), "left behind");
        }
    }

    async fn remove(&mut self, volumes: bool) -> Result<()> {
        match self.container.state.status {
            Status::Running => return Err(Error::RemoveRunning(self.container.name.to_string())),
            Status::Paused => return Err(Error::RemovePaused(self.container.name.to_string())),
            Status::Created | Status::Exited | Status::Restarting | Status::Removing => {}
        }
        if let Some(timer) = self.waiter.take() {
            timer.abort();
        }
        let _files = self.shared.leases.own(&self.container.id).await;
        let before = self.container.state.clone();
        let shared = self.shared.clone();
        let forgotten = match self.apply(StateEvent::Removing) {
            Ok(()) => {
                let container = self.container.clone();
                blocking::run(move || crate::engine::forget_container(&shared, &container, volumes)).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = forgotten {
            // It can be removed again when the cause is gone, a full disk for instance.
            self.container.state = before;
            self.log_commit();
            return Err(error);
        }
        self.emit("destroy", &[]);
        self.container.removed = true;
        self.show();
        Ok(())
    }

    fn not_running(&self) -> Error {
        Error::NotRunning(self.container.id.clone())
    }

    fn apply(&mut self, event: StateEvent) -> Result<()> {
        match next(&self.container.state, event) {
            Ok(state) => self.container.state = state,
            Err(rejected) => return Err(Error::Conflict(rejected.to_string())),
        }
        self.commit()
    }

    /// Saves the record, then shows it.
    fn commit(&mut self) -> Result<()> {
        let saved = self.shared.save(&self.container);
        self.show();
        saved
    }

    /// Shows the record to whoever looks or waits.
    fn show(&self) {
        self.snapshot.send_replace(Arc::new(self.container.clone()));
    }

    /// Commits where nobody could be told of a failure: a full disk must not keep an exit from being seen.
    fn log_commit(&mut self) {
        if let Err(error) = self.commit() {
            tracing::error!(container.id = %self.container.id, error = error_chain(&error), "state is not saved");
        }
    }

    fn emit(&self, action: &str, details: &[(&str, &str)]) {
        let mut attributes = self.container.event_attributes();
        attributes.extend(details.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.shared.events.publish(Scope::Container, action, self.container.id.as_str(), attributes);
    }

    fn emit_network(&self, action: &str, name: &str, network: &NetworkId) {
        let attributes = [("container", self.container.id.as_str()), ("name", name), ("type", "bridge")];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        self.shared.events.publish(Scope::Network, action, network.as_str(), attributes);
    }
}

/// Writes host files and the bundle, and says how to create the task. Blocking.
fn prepare(shared: &Shared, container: &Container) -> Result<CreateTask> {
    let config = &shared.config;
    let dir = config.container_dir(&container.id);
    // An exit record of an earlier run must not be taken for this one's.
    match fs_err::remove_file(dir.join("exit.json")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::Io { action: "remove the old exit record in", path: dir, source: error });
        }
        _ => {}
    }
    host_mounts::prepare(shared, container)?;
    host_files::write(shared, container)?;
    spec::write_spec(shared, container)?;
    let lower: Vec<String> = container.layers.iter().map(|layer| layer.display().to_string()).collect();
    Ok(CreateTask {
        terminal: container.config.tty,
        stdin: if container.config.open_stdin { "drua-stdin:".to_owned() } else { String::new() },
        output: spec::output_uri(config, container),
        overlay: vec![
            format!("lowerdir={}", lower.join(":")),
            format!("upperdir={}", dir.join("upper").display()),
            format!("workdir={}", dir.join("work").display()),
        ],
    })
}
