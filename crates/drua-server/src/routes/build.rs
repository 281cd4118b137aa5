//! `/build`: builds, their cache, and the builder's ports.
//!
//! The classic endpoint (`version=1`) understands the whole Dockerfile language; what its query has no word for (secrets,
//! contexts of this machine) comes in the header `X-Drua-Build`, which our own CLI sends. `version=2` gets the same answer
//! and one object more, `moby.image.id`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use drua_build::{
    BuildFailure, BuildRequest, Builder, Built, Cancel, ContextDir, Entitlements, Exit, Hosts, ImageSource,
    MountContent, NamedContext, Network, Output, PortError, Provenance, PruneOptions, Received, RunOptions, RunStep,
    StepRunner, Stream,
};
use drua_engine::container::step::{Step, StepMount, StepSource};
use drua_engine::container::{Config, HostConfig, NetworkMode, Resources, Ulimit};
use drua_engine::{Credentials, Engine, PullImage};
use drua_types::{Classify, ErrorKind, Hint as _, ImageRef, Platform, error_chain};
use serde::Deserialize;
use serde_json::{Value, json};

use super::blocking;
use super::build_stream::Report;
use crate::filters::Filters;
use crate::http::{self, Call, Failure, Query, Reply, Sender};

/// The builder of this daemon: one process has one data root.
static BUILDER: OnceLock<Result<Arc<Builder>, String>> = OnceLock::new();

fn builder(engine: &Engine) -> Result<Arc<Builder>, Failure> {
    let opened = BUILDER.get_or_init(|| {
        let builder = Builder::open(&engine.config().data_root);
        builder.map(Arc::new).map_err(|error| error_chain(&error))
    });
    opened.clone().map_err(|error| Failure::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, error))
}

/// What our own CLI says besides: JSON in base64.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extra {
    /// The context's path on this machine, instead of a body.
    context: Option<LocalDir>,
    contexts: BTreeMap<String, ExtraContext>,
    dockerfile_text: Option<String>,
    /// base64
    secrets: BTreeMap<String, String>,
    ssh: BTreeMap<String, PathBuf>,
    no_cache_filter: Vec<String>,
    allow: Vec<String>,
    /// Tell everything, for our own display.
    events: bool,
    cache_only: bool,
    provenance: String,
}

/// A directory that the client says is the same here as there.
#[derive(Debug, Deserialize)]
struct LocalDir {
    path: PathBuf,
    device: u64,
    inode: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExtraContext {
    Dir(LocalDir),
    Image(String),
    Target(String),
}

impl LocalDir {
    /// The path, if it leads to the very directory that the client sees.
    fn verified(self) -> Result<PathBuf, Failure> {
        use std::os::unix::fs::MetadataExt as _;
        match std::fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) && found.is_dir() => Ok(self.path),
            _ => Err(Failure::new(
                hyper::StatusCode::CONFLICT,
                format!("`{}` is not the same directory here as for the client", self.path.display()),
            )),
        }
    }
}

/// `POST /build`
pub(crate) async fn build(engine: Engine, call: Call) -> Reply {
    let builder = {
        let engine = engine.clone();
        blocking(move || self::builder(&engine)).await?
    };
    let extra: Extra = match call.header("x-drua-build") {
        None => Extra::default(),
        Some(text) => {
            let bad = |error: &dyn std::fmt::Display| Failure::invalid(format!("invalid X-Drua-Build header: {error}"));
            let json = base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| bad(&error))?;
            serde_json::from_slice(&json).map_err(|error| bad(&error))?
        }
    };
    let quiet = call.query.flag("q");
    let credentials = RegistryConfig::read(&call);
    let version = call.query.get("version").unwrap_or("1").to_owned();
    let events = extra.events;
    let mut request = request(&call.query)?;
    let local = apply(&mut request, extra)?;
    let remote = call.query.get("remote").unwrap_or_default().to_owned();
    if remote == "client-session" {
        let message = "contexts of client sessions are not supported: send the context as the request's body";
        return Err(Failure::new(hyper::StatusCode::NOT_IMPLEMENTED, message));
    }
    if !remote.is_empty() {
        let message =
            format!("building from the remote context `{remote}` is not supported: download it and build there");
        return Err(Failure::new(hyper::StatusCode::NOT_IMPLEMENTED, message));
    }
    if !local && request.dockerfile_text.is_none() {
        let (builder, mut body) = (builder.clone(), call.into_reader());
        let received = blocking(move || builder.receive_context(&mut body).map_err(|error| plain(&error))).await?;
        match received {
            Received::Dir(dir) => request.context = Some(dir),
            Received::Text(text) => request.dockerfile_text = Some(text),
        }
    }
    let context = Context { builder: builder.clone(), dir: request.context.clone() };
    // What can be told at once is a status, not a stream: clients show it as the daemon's answer.
    let (checked, check) = (request, builder.clone());
    let request =
        blocking(move || check.check(&checked).map(|()| checked).map_err(|error| plain(&error.error))).await?;
    let (response, sender) = http::stream("application/json");
    let cancel = Cancel::default();
    let (watched, gone) = (sender.clone(), cancel.clone());
    let done = Arc::new(tokio::sync::Notify::new());
    let ended = done.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = watched.closed() => gone.cancel(),
            () = ended.notified() => {}
        }
    });
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let _context = context;
        let port = Port { engine: engine.clone(), credentials, runtime };
        let hosts = Hosts { store: engine.store(), runner: &port, images: &port };
        let report = Report::new(sender.clone(), quiet, events);
        let built = builder.build(hosts, &request, &|event| report.event(event), &cancel);
        report.finish();
        finish(&engine, &sender, built, quiet, &version, &report);
        done.notify_one();
        drop((sender, report));
        builder.collect_garbage();
    });
    Ok(response)
}

/// An uploaded context, removed when the build is over, whichever way.
struct Context {
    builder: Arc<Builder>,
    dir: Option<ContextDir>,
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            self.builder.release_context(dir);
        }
    }
}

fn plain(error: &drua_build::BuildError) -> Failure {
    Failure::new(http::status_of(error.kind()), error_chain(error))
}

fn finish(
    engine: &Engine,
    sender: &Sender,
    built: Result<Built, Box<BuildFailure>>,
    quiet: bool,
    version: &str,
    report: &Report,
) {
    // The client may have gone; the image stays.
    let send = |value: Value| drop(sender.blocking_json(&value));
    match built {
        Ok(built) => {
            let Some(id) = &built.id else { return };
            engine.image_built(id, &built.names);
            if quiet {
                return send(json!({"stream": format!("{id}\n")}));
            }
            if version == "2" {
                send(json!({"id": "moby.image.id", "aux": {"ID": id}}));
            } else {
                send(json!({"aux": {"ID": id}}));
            }
            let manifests: Vec<Value> = built
                .manifests
                .iter()
                .map(|(platform, digest)| json!({"platform": platform, "digest": digest}))
                .collect();
            if report.tells_events() {
                send(json!({"drua": {"built": {
                    "id": id, "config": built.config, "names": built.names, "manifests": manifests,
                    "mediaType": built.media_type, "size": built.size,
                }}}));
            }
            send(json!({"stream": format!("Successfully built {}\n", id.short())}));
            for name in &built.names {
                send(json!({"stream": format!("Successfully tagged {name}\n")}));
            }
        }
        Err(failure) => {
            let message = message(&failure);
            let mut detail = json!({"message": message});
            if let Some(code) = failure.error.exit_code() {
                detail["code"] = json!(code);
            }
            if report.tells_events() {
                send(json!({"drua": {"failed": {
                    "message": error_chain(&failure.error), "excerpt": failure.excerpt, "output": failure.output,
                    "hints": failure.error.hints(), "code": failure.error.exit_code(),
                }}}));
            } else if !failure.excerpt.is_empty() {
                send(json!({"stream": failure.excerpt}));
            }
            send(json!({"errorDetail": detail, "error": message}));
        }
    }
}

/// One line, as clients match it.
fn message(failure: &BuildFailure) -> String {
    let mut text = error_chain(&failure.error);
    for hint in failure.error.hints() {
        text.push_str("\nhint: ");
        text.push_str(&hint);
    }
    text
}

fn json_of<T: serde::de::DeserializeOwned + Default>(query: &Query, key: &str) -> Result<T, Failure> {
    let Some(text) = query.get(key) else { return Ok(T::default()) };
    serde_json::from_str(text).map_err(|error| Failure::invalid(format!("invalid value for {key}: {error}")))
}

fn request(query: &Query) -> Result<BuildRequest, Failure> {
    let args: BTreeMap<String, Option<String>> = json_of(query, "buildargs")?;
    // `null`: taken from the client's environment, where it is not set.
    let args: BTreeMap<String, String> = args.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let source_date_epoch = args.get("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
    let platforms = query.get("platform").unwrap_or_default().split(',').filter(|text| !text.is_empty());
    let platforms = platforms.map(|text| text.parse::<Platform>().map_err(Failure::invalid));
    let network = match query.get("networkmode").unwrap_or("default") {
        "default" | "bridge" => Network::Bridge,
        "none" => Network::None,
        "host" => Network::Host,
        name => Network::Named(name.to_owned()),
    };
    let extra_hosts = query.all("extrahosts").into_iter().flat_map(|text| {
        let list: Result<Vec<String>, _> = serde_json::from_str(&text);
        list.unwrap_or_else(|_| text.split(',').map(str::to_owned).collect())
    });
    Ok(BuildRequest {
        dockerfile: query.get("dockerfile").map(str::to_owned),
        args,
        labels: json_of(query, "labels")?,
        target: query.get("target").map(str::to_owned),
        platforms: platforms.collect::<Result<_, _>>()?,
        names: query.all("t").into_iter().filter(|name| !name.is_empty()).collect(),
        no_cache: query.flag("nocache"),
        pull: query.flag("pull"),
        network,
        run: RunOptions {
            extra_hosts: extra_hosts.filter(|host| !host.is_empty()).collect(),
            shm_size: query.number::<u64>("shmsize")?.filter(|size| *size > 0),
            ulimits: ulimits(query)?,
            memory: query.number::<i64>("memory")?.filter(|bytes| *bytes > 0),
            memory_swap: query.number::<i64>("memswap")?.filter(|bytes| *bytes != 0),
            cpu_shares: query.number::<u64>("cpushares")?.filter(|shares| *shares > 0),
            cpu_period: query.number::<u64>("cpuperiod")?.filter(|period| *period > 0),
            cpu_quota: query.number::<i64>("cpuquota")?.filter(|quota| *quota > 0),
            cpuset_cpus: query.get("cpusetcpus").unwrap_or_default().to_owned(),
            cpuset_mems: query.get("cpusetmems").unwrap_or_default().to_owned(),
            hostname: String::new(),
        },
        source_date_epoch,
        ..BuildRequest::default()
    })
}

fn ulimits(query: &Query) -> Result<Vec<(String, i64, i64)>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Wire {
        name: String,
        soft: i64,
        hard: i64,
    }
    let limits: Vec<Wire> = json_of(query, "ulimits")?;
    Ok(limits.into_iter().map(|limit| (limit.name, limit.soft, limit.hard)).collect())
}

/// Takes over what the header says; returns whether the context is a directory of this machine.
fn apply(request: &mut BuildRequest, extra: Extra) -> Result<bool, Failure> {
    let decode = |text: String| {
        let decoded = base64::engine::general_purpose::STANDARD.decode(text);
        decoded.map_err(|error| Failure::invalid(format!("a secret is not base64: {error}")))
    };
    for (id, value) in extra.secrets {
        request.secrets.insert(id, decode(value)?);
    }
    request.ssh = extra.ssh;
    for (name, context) in extra.contexts {
        let context = match context {
            ExtraContext::Dir(dir) => NamedContext::Dir(dir.verified()?),
            ExtraContext::Image(image) => NamedContext::Image(image),
            ExtraContext::Target(target) => NamedContext::Target(target),
        };
        request.contexts.insert(name, context);
    }
    request.no_cache_filter = extra.no_cache_filter;
    request.entitlements = Entitlements {
        network_host: extra.allow.iter().any(|name| name == "network.host"),
        security_insecure: extra.allow.iter().any(|name| name == "security.insecure"),
    };
    request.dockerfile_text = extra.dockerfile_text;
    if extra.cache_only {
        request.output = Output::CacheOnly;
    }
    request.provenance = match extra.provenance.as_str() {
        "min" => Provenance::Min,
        "max" => Provenance::Max,
        _ => Provenance::No,
    };
    let Some(dir) = extra.context else { return Ok(false) };
    request.context = Some(ContextDir { path: dir.verified()?, owned: false });
    Ok(true)
}

/// `POST /build/prune`
pub(crate) async fn prune(engine: Engine, call: &Call) -> Reply {
    let filters = Filters::parse(&call.query, &["until", "unused-for", "id", "type", "inuse", "shared", "private"])?;
    let until = filters.until(jiff::Timestamp::now())?;
    let bytes = |key: &str| call.query.number::<u64>(key).map(|bytes| bytes.filter(|bytes| *bytes > 0));
    let options = PruneOptions {
        all: call.query.flag("all"),
        unused_for: until.map(|until| {
            let age = jiff::Timestamp::now().duration_since(until);
            std::time::Duration::try_from(age).unwrap_or_default()
        }),
        keep_bytes: bytes("max-used-space")?.or(bytes("reserved-space")?).or(bytes("keep-storage")?),
        ids: filters.values("id").to_vec(),
    };
    blocking(move || {
        let pruned = builder(&engine)?.prune(&options).map_err(|error| plain(&error))?;
        http::json(&json!({"CachesDeleted": pruned.ids, "SpaceReclaimed": pruned.bytes}))
    })
    .await
}

/// What the build cache keeps, as `system df` shows it.
pub(crate) fn disk_usage(engine: &Engine) -> Vec<Value> {
    let Ok(items) = builder(engine).and_then(|builder| builder.cache_items().map_err(|error| plain(&error))) else {
        return Vec::new();
    };
    let time = |time: std::time::SystemTime| jiff::Timestamp::try_from(time).unwrap_or_default().to_string();
    let item = |item: drua_build::CacheItem| {
        json!({
            "ID": item.id, "Parents": null, "Type": item.kind, "Description": item.description, "InUse": item.in_use,
            "Shared": item.shared, "Size": item.size, "CreatedAt": time(item.last_used),
            "LastUsedAt": time(item.last_used), "UsageCount": 1,
        })
    };
    items.into_iter().map(item).collect()
}

/// The builder's ports: the engine's sandbox and images.
struct Port {
    engine: Engine,
    credentials: RegistryConfig,
    runtime: tokio::runtime::Handle,
}

impl StepRunner for Port {
    fn run(&self, step: &RunStep, output: &mut dyn FnMut(Stream, &[u8]), cancel: &Cancel) -> Result<Exit, PortError> {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        cancel.on_cancel(move || {
            // Its command may have ended just now.
            let _ = stop.send(());
        });
        let engine = self.engine.clone();
        let step = sandbox(step);
        let running = self.runtime.spawn(async move { engine.run_step(step, sender, stopped).await });
        while let Some((is_error, bytes)) = receiver.blocking_recv() {
            output(if is_error { Stream::Err } else { Stream::Out }, &bytes);
        }
        let failed = |message: String, kind| PortError { message, kind };
        match self.runtime.block_on(running) {
            Ok(Ok(exit)) => Ok(Exit { code: exit.code, out_of_memory: exit.oom_killed }),
            Ok(Err(error)) => Err(failed(error_chain(&error), error.kind())),
            Err(panic) => Err(failed(panic.to_string(), ErrorKind::Internal)),
        }
    }
}

impl ImageSource for Port {
    fn pull(&self, name: &str, platform: &Platform, cancel: &Cancel) -> Result<(), PortError> {
        let failed = |message: String, kind| PortError { message, kind };
        let image: ImageRef = name.parse().map_err(|error| failed(format!("{error}"), ErrorKind::Invalid))?;
        // The builder's own platform is what a pull takes without one; then any image that runs here will do.
        let platform = Some(platform.clone()).filter(|platform| *platform != Platform::host());
        let credentials = self.credentials.of(&image);
        let request = PullImage { image, all_tags: false, platform, credentials };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        cancel.on_cancel(move || {
            // The pull may have ended just now.
            let _: Result<(), ()> = stop.send(());
        });
        let (sender, mut events) = tokio::sync::mpsc::channel(64);
        let engine = self.engine.clone();
        let pulling = self.runtime.spawn(async move {
            tokio::select! {
                pulled = engine.pull(request, sender) => pulled.map_err(|error| (error_chain(&error), error.kind())),
                Ok(()) = stopped => Err(("canceled".to_owned(), ErrorKind::Unavailable)),
            }
        });
        while events.blocking_recv().is_some() {}
        match self.runtime.block_on(pulling) {
            Ok(pulled) => pulled.map_err(|(message, kind)| failed(message, kind)),
            Err(panic) => Err(failed(panic.to_string(), ErrorKind::Internal)),
        }
    }
}

/// What the client says about registries: `X-Registry-Config`, one entry a registry.
#[derive(Debug, Default)]
struct RegistryConfig(BTreeMap<String, Value>);

impl RegistryConfig {
    fn read(call: &Call) -> Self {
        let Some(text) = call.header("x-registry-config") else { return Self::default() };
        let engines = [&base64::engine::general_purpose::URL_SAFE, &base64::engine::general_purpose::STANDARD];
        let decoded = engines.iter().find_map(|engine| engine.decode(text).ok());
        // Without it images are pulled as by anybody.
        Self(decoded.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default())
    }

    fn of(&self, image: &ImageRef) -> Credentials {
        let names = match image.domain() {
            "docker.io" => vec!["https://index.docker.io/v1/", "docker.io"],
            domain => vec![domain],
        };
        let https = format!("https://{}", image.domain());
        let entry = names.into_iter().chain([https.as_str()]).find_map(|name| self.0.get(name));
        let header = entry.map(|entry| base64::engine::general_purpose::URL_SAFE.encode(entry.to_string()));
        header.and_then(|header| Credentials::from_header(&header).ok()).unwrap_or_default()
    }
}

fn sandbox(step: &RunStep) -> Step {
    let options = &step.options;
    let resources = Resources {
        memory: options.memory,
        memory_swap: options.memory_swap,
        cpu_shares: options.cpu_shares,
        cpu_period: options.cpu_period,
        cpu_quota: options.cpu_quota,
        cpuset_cpus: options.cpuset_cpus.clone(),
        cpuset_mems: options.cpuset_mems.clone(),
        ..Resources::default()
    };
    let ulimit = |(name, soft, hard): &(String, i64, i64)| Ulimit { name: name.clone(), soft: *soft, hard: *hard };
    let host = HostConfig {
        network_mode: match &step.network {
            Network::Bridge => NetworkMode::Default,
            Network::None => NetworkMode::None,
            Network::Host => NetworkMode::Host,
            Network::Named(name) => NetworkMode::Named(name.clone()),
        },
        resources,
        ulimits: options.ulimits.iter().map(ulimit).collect(),
        shm_size: options.shm_size,
        extra_hosts: options.extra_hosts.clone(),
        ..HostConfig::default()
    };
    let config = Config {
        cmd: step.args.clone(),
        env: step.env.clone(),
        user: step.user.clone(),
        working_dir: step.cwd.clone(),
        hostname: options.hostname.clone(),
        ..Config::default()
    };
    let mount = |mount: &drua_build::StepMount| StepMount {
        target: PathBuf::from(&mount.target),
        readonly: mount.readonly,
        source: match &mount.content {
            MountContent::Path(path) => StepSource::Path(path.clone()),
            MountContent::Tmpfs { size } => StepSource::Tmpfs(*size),
            MountContent::Secret { bytes, mode, owner } => {
                StepSource::Secret { bytes: bytes.clone(), mode: *mode, owner: *owner }
            }
        },
    };
    Step {
        lowers: step.lowers.clone(),
        upper: step.upper.clone(),
        work: step.work.clone(),
        config,
        host,
        mounts: step.mounts.iter().map(mount).collect(),
        insecure: step.insecure,
    }
}
