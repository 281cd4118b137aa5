//! `/_ping`, `/version`, `/info`, `/events`, `/system/df`.

use drua_api::models::{Actor, Event as WireEvent};
use drua_api::{API_VERSION, MIN_API_VERSION};
use drua_engine::{Engine, Event, Scope, Settings, Status};
use drua_types::Platform;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, HeaderValue, PRAGMA};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{blocking, logs};
use crate::filters::Filters;
use crate::http::{self, Body, Call, Reply};
use crate::wire;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Which source it was built of, and when: what the environment of the build says.
const COMMIT: &str = match option_env!("DRUA_BUILD_COMMIT") {
    Some(commit) => commit,
    None => "",
};
const BUILD_TIME: &str = match option_env!("DRUA_BUILD_TIME") {
    Some(time) => time,
    None => "",
};
/// The names of the runtimes, so that users can discover them.
const RUNTIMES: [&str; 5] =
    ["drua", "io.containerd.runc.v2", "io.containerd.wasmtime.v1", "io.containerd.wasmedge.v1", "runc"];

pub(crate) fn ping(head: bool) -> Response<Body> {
    let mut response = if head { http::empty(hyper::StatusCode::OK) } else { http::text("OK") };
    let headers = response.headers_mut();
    headers.insert("builder-version", HeaderValue::from_static("1"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn architecture() -> String {
    Platform::host().architecture().to_owned()
}

pub(crate) fn version() -> Reply {
    http::json(&json!({
        "Platform": { "Name": "drua" },
        "Components": [
            {
                "Name": "Engine",
                "Version": VERSION,
                "Details": {
                    "ApiVersion": API_VERSION,
                    "MinAPIVersion": MIN_API_VERSION,
                    "Arch": architecture(),
                    "BuildTime": BUILD_TIME,
                    "Experimental": "false",
                    "GitCommit": COMMIT,
                    "GoVersion": "none (Rust)",
                    "KernelVersion": kernel(),
                    "Os": "linux",
                },
            },
        ],
        "Version": VERSION,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "GitCommit": COMMIT,
        "GoVersion": "none (Rust)",
        "Os": "linux",
        "Arch": architecture(),
        "KernelVersion": kernel(),
        "BuildTime": BUILD_TIME,
    }))
}

/// What this host cannot do, and what to do about it.
fn warnings(kernel: &wire::create::Kernel, v2: bool) -> Value {
    let on = if v2 {
        "enable the controller in /sys/fs/cgroup/cgroup.subtree_control"
    } else {
        "boot with systemd.unified_cgroup_hierarchy=1 for cgroups v2"
    };
    let missing = [
        (kernel.swap_limit, "No swap limit support", "boot with swapaccount=1"),
        (kernel.cpu_shares, "No cpu shares support", on),
        (kernel.cpu_quota, "No cpu cfs quota support", on),
        (kernel.cpuset, "No cpuset support", on),
        (kernel.pids, "No pids limit support", on),
    ];
    let said = missing.iter().filter(|(there, ..)| !there).map(|(_, what, how)| format!("WARNING: {what}: {how}"));
    let forwarding = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|on| on.trim() == "0");
    let forwarding = forwarding.then(|| {
        "WARNING: IPv4 forwarding is disabled, so containers do not reach other hosts: sysctl -w net.ipv4.ip_forward=1"
            .to_owned()
    });
    let said: Vec<String> = said.chain(forwarding).collect();
    if said.is_empty() { Value::Null } else { json!(said) }
}

/// drua's own runtimes, shims on PATH, and what the configuration adds; a later one hides an earlier one.
fn runtimes(settings: &Settings) -> serde_json::Map<String, Value> {
    let own = RUNTIMES.iter().map(|name| ((*name).to_owned(), json!({ "path": "drua" })));
    let installed = drua_engine::installed_shims().into_iter().filter(|(name, _)| !name.contains(".wasm"));
    let installed = installed.map(|(name, path)| (name, json!({ "path": path })));
    let configured = settings.runtimes.iter().map(|(name, runtime)| {
        let mut shown = serde_json::Map::new();
        if runtime.shim.is_empty() {
            shown.insert("path".to_owned(), json!(runtime.path));
            shown.insert("runtimeArgs".to_owned(), json!(runtime.args));
        } else {
            shown.insert("runtimeType".to_owned(), json!(runtime.shim));
            shown.insert("options".to_owned(), json!(runtime.options));
        }
        (name.clone(), Value::Object(shown))
    });
    own.chain(installed).chain(configured).collect()
}

pub(crate) async fn info(engine: &Engine) -> Reply {
    let containers = engine.containers();
    let count = |status: Status| containers.iter().filter(|container| container.state.status == status).count();
    let (running, paused) = (count(Status::Running) + count(Status::Restarting), count(Status::Paused));
    let store = engine.clone();
    let images = blocking(move || Ok(store.store().list()?.len())).await?;
    let uname = rustix::system::uname();
    let memory = meminfo("MemTotal:");
    let v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let os = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let os_field = |key: &str| {
        let line = os.lines().find_map(|line| line.strip_prefix(key));
        line.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
    };
    let security = ["name=seccomp,profile=builtin", "name=cgroupns"];
    let kernel_limits = wire::create::Kernel::read();
    let settings = engine.settings();
    let runtimes = runtimes(&settings);
    let mut info = json!({
        "ID": engine.config().data_root.display().to_string(),
        "Containers": containers.len(),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": containers.len() - running - paused,
        "Images": images,
        "Driver": "overlayfs",
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": null,
            "Log": ["json-file", "local", "none"],
        },
        "MemoryLimit": true,
        "SwapLimit": kernel_limits.swap_limit,
        "CpuCfsPeriod": kernel_limits.cpu_quota,
        "CpuCfsQuota": kernel_limits.cpu_quota,
        "CPUShares": kernel_limits.cpu_shares,
        "CPUSet": kernel_limits.cpuset,
        "PidsLimit": kernel_limits.pids,
        "IPv4Forwarding": true,
        "Debug": settings.debug,
        "NFd": std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        "OomKillDisable": kernel_limits.oom_kill_disable,
        "NGoroutines": 0,
    });
    // In two pieces: one is too long for the macro.
    let rest = json!({
        "SystemTime": wire::time(Some(Timestamp::now())),
        "LoggingDriver": if settings.log_driver.is_empty() { "json-file" } else { &settings.log_driver },
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": if v2 { "2" } else { "1" },
        "NEventsListener": 0,
        "KernelVersion": kernel(),
        "OperatingSystem": os_field("PRETTY_NAME="),
        "OSVersion": os_field("VERSION_ID="),
        "OSType": "linux",
        "Architecture": uname.machine().to_string_lossy(),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": { "InsecureRegistryCIDRs": settings.insecure_registries, "IndexConfigs": {}, "Mirrors": settings.registry_mirrors },
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": memory,
        "GenericResources": null,
        "DockerRootDir": engine.config().data_root,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": uname.nodename().to_string_lossy(),
        "Labels": settings.labels,
        "ExperimentalBuild": false,
        "ServerVersion": VERSION,
        "Runtimes": runtimes,
        "DefaultRuntime": if settings.default_runtime.is_empty() { "drua" } else { &settings.default_runtime },
        "Swarm": { "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "", "RemoteManagers": null },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "drua",
        "ContainerdCommit": { "ID": "" },
        "RuncCommit": { "ID": "" },
        "InitCommit": { "ID": "" },
        "SecurityOptions": security,
        "FirewallBackend": { "Driver": "nftables" },
        "CDISpecDirs": null,
        "Warnings": warnings(&kernel_limits, v2),
    });
    if let (Value::Object(info), Value::Object(rest)) = (&mut info, rest) {
        info.extend(rest);
    }
    http::json(&info)
}

/// A value of /proc/meminfo in bytes.
fn meminfo(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

const EVENT_FILTERS: [&str; 14] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

pub(crate) fn events(engine: &Engine, call: &Call) -> Reply {
    let filters = Filters::parse(&call.query, &EVENT_FILTERS)?;
    let time = |key| call.query.get(key).map(logs::parse_time).transpose();
    let (since, until): (Option<Timestamp>, Option<Timestamp>) = (time("since")?, time("until")?);
    let (past, mut receiver) = engine.events().subscribe();
    let (response, sender) = http::stream("application/json");
    tokio::spawn(async move {
        if let Some(since) = since {
            for event in
                past.iter().filter(|event| event.time >= since && until.is_none_or(|until| event.time <= until))
            {
                if matches(event, &filters) && sender.json(&wire_event(event)).await.is_err() {
                    return;
                }
            }
        }
        let end = async {
            match until {
                Some(until) => {
                    let left = until.duration_since(Timestamp::now());
                    tokio::time::sleep(std::time::Duration::try_from(left).unwrap_or_default()).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        loop {
            let event = tokio::select! {
                () = sender.closed() => return,
                () = &mut end => return,
                event = receiver.recv() => event,
            };
            match event {
                Ok(event) if matches(&event, &filters) => {
                    if sender.json(&wire_event(&event)).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "an events client is too slow"),
                Err(RecvError::Closed) => return,
            }
        }
    });
    Ok(response)
}

/// Kinds of objects that we never have events about: a filter for one lets nothing pass.
const WITHOUT_EVENTS: [&str; 6] = ["config", "daemon", "node", "plugin", "secret", "service"];

fn matches(event: &Event, filters: &Filters) -> bool {
    let object = |kind: Scope, name: &str| {
        filters.any(name, |wanted| {
            let named = event.attributes.get("name").is_some_and(|name| name == wanted);
            let by_image = name == "image" && event.attributes.get("image").is_some_and(|image| image == wanted);
            let by_id = event.id.starts_with(wanted) && !wanted.is_empty();
            (event.scope == kind && (by_id || named)) || by_image
        })
    };
    filters.any("type", |wanted| event.scope.as_str() == wanted)
        && filters.any("event", |wanted| {
            event.action == wanted || event.action.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(':'))
        })
        && filters.any("scope", |wanted| wanted == "local")
        && filters.labels(&event.attributes)
        && object(Scope::Container, "container")
        && object(Scope::Image, "image")
        && object(Scope::Network, "network")
        && object(Scope::Volume, "volume")
        && WITHOUT_EVENTS.iter().all(|kind| filters.values(kind).is_empty())
}

fn wire_event(event: &Event) -> WireEvent {
    let legacy = matches!(event.scope, Scope::Container | Scope::Image);
    let copy = |text: &str| if legacy { text.to_owned() } else { String::new() };
    let nanos = event.time.as_nanosecond();
    WireEvent {
        status: copy(&event.action),
        id: copy(&event.id),
        from: copy(event.attributes.get("image").map_or("", String::as_str)),
        kind: event.scope.as_str().to_owned(),
        action: event.action.clone(),
        actor: Actor { id: event.id.clone(), attributes: event.attributes.clone() },
        scope: "local".to_owned(),
        time: event.time.as_second(),
        time_nano: i64::try_from(nanos).unwrap_or(i64::MAX),
    }
}

pub(crate) async fn disk_usage(engine: Engine) -> Reply {
    blocking(move || {
        let now = Timestamp::now();
        let images = engine.store().list()?;
        let usage = engine.store().disk_usage()?;
        let containers = engine.containers();
        let of_image = |id: &drua_types::Digest| containers.iter().filter(|container| container.image == *id).count();
        let shares = engine.store().usage()?;
        let images = images.iter().map(|image| {
            let share = shares.get(&image.id).copied().unwrap_or_default();
            let mut summary = wire::image::summary(image, share);
            summary["SharedSize"] = json!(share.shared);
            summary["Containers"] = json!(of_image(&image.id));
            summary
        });
        let images: Vec<Value> = images.collect();
        let listed = containers.iter().map(|container| {
            let mut summary = wire::container::summary(container, &container.config.image, now);
            summary["SizeRw"] =
                json!(tree_size(&engine.config().data_root.join("containers").join(container.id.as_str())));
            summary
        });
        let volumes = engine.volumes().into_iter().map(|volume| {
            let mut value = super::volumes::volume_json(&volume);
            let users = engine.volume_users(&volume.name);
            value["UsageData"] = json!({ "Size": tree_size(&volume.mountpoint), "RefCount": users });
            value
        });
        let answer = json!({
            "LayersSize": usage.content_bytes + usage.layers_bytes + usage.partial_bytes,
            "Images": images,
            "Containers": listed.collect::<Vec<_>>(),
            "Volumes": volumes.collect::<Vec<_>>(),
            "BuildCache": super::build::disk_usage(&engine),
        });
        http::json(&answer)
    })
    .await
}

/// Bytes of all files below a directory, hard links counted each time.
pub(super) fn tree_size(dir: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => tree_size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
