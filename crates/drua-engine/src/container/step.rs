//! Runs one command in a sandbox that nobody sees: no record, no name, no events. A build's RUN.
//!
//! It is a container in everything that protects the machine: the same shim, namespaces, cgroup, filter and networks. What
//! it leaves when the daemon is killed is found and removed at the next start, since no record names it.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use drua_types::{ContainerId, Platform, Signal};
use jiff::Timestamp;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::{Config, Container, HostConfig, Hull, LogConfig, LogDriver, MountKind, MountPoint, NetworkMode, Seccomp};
use super::{State, host_files, spec};
use crate::engine::{Engine, Shared};
use crate::network::{Endpoint, EndpointRequest, PREDEFINED};
use crate::shim::{AttachStreams, CreateTask, Shim};
use crate::{Error, Result, blocking};

/// A frame of output is at most this long; the shim writes shorter ones.
const MAX_FRAME: usize = 1 << 20;
/// How long a listener may take for one piece of output.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
/// How long output may take to arrive after the command has ended.
const DRAIN: std::time::Duration = std::time::Duration::from_secs(30);

/// A command to run.
#[derive(Debug)]
pub struct Step {
    /// Overlay lower directories, topmost first.
    pub lowers: Vec<PathBuf>,
    /// Takes the changes.
    pub upper: PathBuf,
    /// Overlay's work directory.
    pub work: PathBuf,
    /// What to run: command line, environment, user, working directory, host name.
    pub config: Config,
    /// How to run it: network, limits, hosts.
    pub host: HostConfig,
    /// What is mounted.
    pub mounts: Vec<StepMount>,
    /// All capabilities, no filter.
    pub insecure: bool,
}

/// A mount of a step.
#[derive(Debug)]
pub struct StepMount {
    /// Absolute path in the sandbox.
    pub target: PathBuf,
    /// What is there.
    pub source: StepSource,
    /// Whether the command may not write.
    pub readonly: bool,
}

/// What a step's mount shows.
pub enum StepSource {
    /// A path of the host.
    Path(PathBuf),
    /// Memory, of so many bytes at most.
    Tmpfs(Option<u64>),
    /// A file that lives below the exec root, which is memory, as long as the step runs.
    Secret {
        /// Its content.
        bytes: Vec<u8>,
        /// Its permissions.
        mode: u32,
        /// User and group.
        owner: (u32, u32),
    },
}

impl std::fmt::Debug for StepSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Tmpfs(size) => f.debug_tuple("Tmpfs").field(size).finish(),
            Self::Secret { .. } => f.write_str("Secret"),
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepExit {
    /// Exit code, or 128 and the signal's number.
    pub code: u32,
    /// Whether the kernel killed it for want of memory.
    pub oom_killed: bool,
}

impl Engine {
    /// Runs a command to its end; `output` gets what it writes, with `true` for standard error. Kills it when `cancel`
    /// fires. Leaves nothing behind but the changes in [`Step::upper`].
    ///
    /// # Errors
    /// When it cannot be started: [`Error::Task`] with the reason in Docker's words, [`Error::Network`], a user that does
    /// not exist.
    pub async fn run_step(
        &self,
        step: Step,
        output: mpsc::Sender<(bool, Bytes)>,
        cancel: oneshot::Receiver<()>,
    ) -> Result<StepExit> {
        blocking::beside(drua_runtime::cgroup::expect_joins);
        let id = ContainerId::random();
        let shared = self.shared.clone();
        let run = Run { shared: shared.clone(), id, endpoints: Endpoints::default() };
        let result = run.run(step, output, cancel).await;
        run.clean().await;
        let shims = shared.shims.clone();
        blocking::beside(move || shims.warm());
        result
    }
}

type Endpoints = Arc<Mutex<BTreeMap<String, Endpoint>>>;

struct Run {
    shared: Arc<Shared>,
    id: ContainerId,
    /// Where it is on networks, to be taken off again.
    endpoints: Endpoints,
}

impl Run {
    async fn run(
        &self,
        step: Step,
        output: mpsc::Sender<(bool, Bytes)>,
        cancel: oneshot::Receiver<()>,
    ) -> Result<StepExit> {
        let (shared, id, endpoints) = (self.shared.clone(), self.id.clone(), self.endpoints.clone());
        let create = blocking::run(move || prepare(&shared, id, step, &endpoints)).await?;
        let shim = Shim::spawn(&self.shared.config, &self.shared.shims, &self.id).await?;
        shim.create(create).await?;
        let stream = shim.attach(AttachStreams::new(false, true, true), None).await?.stream;
        let copying = tokio::spawn(copy(stream, output));
        shim.start().await?;
        let wait = shim.wait();
        tokio::pin!(wait);
        let exit = tokio::select! {
            exit = &mut wait => exit?,
            Ok(()) = cancel => {
                shim.kill(Signal::KILL, true).await?;
                wait.await?
            }
        };
        let abort = copying.abort_handle();
        if tokio::time::timeout(DRAIN, copying).await.is_err() {
            abort.abort();
        }
        shim.delete_and_shutdown().await;
        Ok(StepExit { code: exit.code, oom_killed: exit.oom_killed })
    }

    /// Removes everything, whatever has come into being.
    async fn clean(&self) {
        let bundle = self.shared.config.bundle(&self.id);
        if bundle.join("config.json").exists() {
            Shim::discard(&self.shared.config, &self.shared.shims, &self.id).await;
        }
        let (shared, id, endpoints) = (self.shared.clone(), self.id.clone(), self.endpoints.clone());
        let cleaned = blocking::run(move || {
            let mut container = bare(&shared, id.clone(), &Step::nothing())?;
            container.endpoints = std::mem::take(&mut *crate::lock(&endpoints));
            shared.networks.detach(&shared.config, &container);
            crate::remove_dir(&secrets_dir(&shared, &id))?;
            crate::remove_dir(&shared.config.bundle(&id))?;
            crate::remove_dir(&shared.config.container_dir(&id))
        });
        if let Err(error) = cleaned.await {
            tracing::warn!(container.id = %self.id, %error, "a build step is not cleaned up");
        }
    }
}

impl Step {
    fn nothing() -> Self {
        Self {
            lowers: Vec::new(),
            upper: PathBuf::new(),
            work: PathBuf::new(),
            config: Config::default(),
            host: HostConfig::default(),
            mounts: Vec::new(),
            insecure: false,
        }
    }
}

fn secrets_dir(shared: &Shared, id: &ContainerId) -> PathBuf {
    // Beside the bundles: what a killed daemon leaves has no configuration and is removed at the next start.
    shared.config.exec_root.join("shim").join(format!("secrets-{}", &id.as_str()[..32]))
}

/// Makes everything that the sandbox needs. Blocking.
fn prepare(shared: &Shared, id: ContainerId, step: Step, endpoints: &Endpoints) -> Result<CreateTask> {
    let dir = shared.config.container_dir(&id);
    std::fs::DirBuilder::new().mode(0o710).create(&dir).map_err(Error::io("create", &dir))?;
    let mut container = bare(shared, id.clone(), &step)?;
    container.mounts = mounts(shared, &id, &step)?;
    let attached = shared.networks.attach(&shared.config, &container)?;
    crate::lock(endpoints).clone_from(&attached.endpoints);
    container.endpoints = attached.endpoints;
    host_files::write(shared, &container)?;
    spec::make_bundle(shared, &container)?;
    spec::write_spec(shared, &container)?;
    let lower: Vec<String> = step.lowers.iter().map(|layer| layer.display().to_string()).collect();
    Ok(CreateTask {
        terminal: false,
        stdin: String::new(),
        output: spec::output_uri(&shared.config, &container),
        overlay: vec![
            format!("lowerdir={}", lower.join(":")),
            format!("upperdir={}", step.upper.display()),
            format!("workdir={}", step.work.display()),
        ],
    })
}

/// A container that is in no registry.
fn bare(shared: &Shared, id: ContainerId, step: &Step) -> Result<Container> {
    let mut host = step.host.clone();
    host.log = LogConfig { driver: LogDriver::None, ..LogConfig::default() };
    if step.insecure {
        host.privileged = true;
        host.seccomp = Seccomp::Unconfined;
    }
    let mut config = step.config.clone();
    if config.hostname.is_empty() {
        config.hostname = "buildkitsandbox".to_owned();
    }
    let network = match &host.network_mode {
        NetworkMode::Default => Some(PREDEFINED[0].to_owned()),
        NetworkMode::Named(name) => Some(name.clone()),
        NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => None,
    };
    let mut requests = BTreeMap::new();
    if let Some(name) = network {
        let network = shared.networks.find(&name)?;
        let request = EndpointRequest { network: Some(network.id.clone()), ..EndpointRequest::default() };
        requests.insert(network.name.to_string(), request);
    }
    let name = id.short().parse().map_err(|error: drua_types::InvalidName| Error::Invalid(error.to_string()))?;
    let image = drua_types::Digest::of(b"");
    Ok(Container {
        id,
        name,
        created: Timestamp::now(),
        manifest: image.clone(),
        image,
        platform: Platform::host(),
        hull: Hull::Linux,
        config,
        host,
        echo: serde_json::Value::Null,
        wasm_module: None,
        mounts: Vec::new(),
        requests,
        endpoints: BTreeMap::new(),
        published: Vec::new(),
        layers: step.lowers.clone(),
        state: State::default(),
        health: None,
        restart_count: 0,
        manually_stopped: false,
        exits: 0,
        removed: false,
    })
}

fn mounts(shared: &Shared, id: &ContainerId, step: &Step) -> Result<Vec<MountPoint>> {
    let secrets = secrets_dir(shared, id);
    let mut mounts = Vec::new();
    for (number, mount) in step.mounts.iter().enumerate() {
        let mut options = Vec::new();
        let (kind, source) = match &mount.source {
            StepSource::Path(path) => (MountKind::Bind, path.clone()),
            StepSource::Tmpfs(size) => {
                options.extend(size.map(|size| format!("size={size}")));
                (MountKind::Tmpfs, PathBuf::new())
            }
            StepSource::Secret { bytes, mode, owner } => {
                let path = secrets.join(number.to_string());
                let write = || -> std::io::Result<()> {
                    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&secrets)?;
                    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                    std::io::Write::write_all(&mut file, bytes)?;
                    std::os::unix::fs::fchown(&file, Some(owner.0), Some(owner.1))?;
                    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(*mode))
                };
                write().map_err(Error::io("write", &path))?;
                (MountKind::Bind, path)
            }
        };
        mounts.push(MountPoint {
            kind,
            name: None,
            source,
            destination: mount.target.clone(),
            writable: !mount.readonly,
            propagation: "rprivate".to_owned(),
            mode: String::new(),
            tmpfs_options: options,
            anonymous: false,
            no_copy: true,
            lowers: Vec::new(),
            non_recursive: false,
            read_only_depth: super::ReadOnlyDepth::default(),
            subpath: None,
        });
    }
    // Outer directories first, so that inner ones are mounted on top of them.
    mounts.sort_by_key(|mount| mount.destination.components().count());
    Ok(mounts)
}

/// Takes Docker's frames apart.
async fn copy(mut stream: UnixStream, output: mpsc::Sender<(bool, Bytes)>) {
    loop {
        let mut header = [0; 8];
        if stream.read_exact(&mut header).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if length > MAX_FRAME {
            return;
        }
        let mut bytes = vec![0; length];
        if stream.read_exact(&mut bytes).await.is_err() {
            return;
        }
        // A listener that has gone does not stop the command, and one that stalls loses output rather than all that follows:
        // the shim gives clients up that do not read for some seconds.
        let _ = tokio::time::timeout(PATIENCE, output.send((header[0] == 2, bytes.into()))).await;
    }
}
