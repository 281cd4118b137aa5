//! `HostConfig` as inspect gives it back: the client's own words, with every field that there is.

use drua_engine::container::{HostConfig, IpcMode, LogDriver};
use serde_json::{Value, json};

/// Every field with the value that Docker shows for one that was left out. What the client sent besides is dropped.
fn zero() -> Value {
    let mut fields = json!({
        "Binds": null,
        "ContainerIDFile": "",
        "LogConfig": {},
        "NetworkMode": "",
        "PortBindings": {},
        "RestartPolicy": {},
        "AutoRemove": false,
        "VolumeDriver": "",
        "VolumesFrom": null,
        "ConsoleSize": [0, 0],
        "CapAdd": null,
        "CapDrop": null,
        "CgroupnsMode": "",
        "Dns": [],
        "DnsOptions": [],
        "DnsSearch": [],
        "ExtraHosts": null,
        "GroupAdd": null,
        "IpcMode": "",
        "Cgroup": "",
        "Links": null,
        "OomScoreAdj": 0,
        "PidMode": "",
        "Privileged": false,
        "PublishAllPorts": false,
        "ReadonlyRootfs": false,
        "SecurityOpt": null,
        "UTSMode": "",
        "UsernsMode": "",
        "ShmSize": 0,
        "Runtime": "",
        "Isolation": "",
        "MaskedPaths": null,
        "ReadonlyPaths": null,
    });
    let limits = json!({
        "CpuShares": 0,
        "Memory": 0,
        "NanoCpus": 0,
        "CgroupParent": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [],
        "CpuPeriod": 0,
        "CpuQuota": 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": "",
        "CpusetMems": "",
        "Devices": [],
        "DeviceCgroupRules": null,
        "DeviceRequests": null,
        "MemoryReservation": 0,
        "MemorySwap": 0,
        "MemorySwappiness": null,
        "OomKillDisable": null,
        "PidsLimit": null,
        "Ulimits": [],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    });
    if let (Value::Object(fields), Value::Object(limits)) = (&mut fields, limits) {
        fields.extend(limits);
    }
    fields
}

/// Fields that Docker leaves out where nobody asks for them.
const OPTIONAL: [&str; 6] = ["Annotations", "Init", "Mounts", "StorageOpt", "Sysctls", "Tmpfs"];

/// What inspect shows of a container that was created with `asked` and is run as `host`.
pub(super) fn host_config(asked: &Value, host: &HostConfig) -> Value {
    let mut echo = zero();
    for (key, value) in asked.as_object().into_iter().flatten() {
        let known = echo.get(key).is_some() || OPTIONAL.contains(&key.as_str());
        if known && !value.is_null() {
            echo[key] = value.clone();
        }
    }
    materialise(&mut echo, host);
    echo
}

/// The defaults that are in force although the client left them out.
fn materialise(echo: &mut Value, host: &HostConfig) {
    let log = |driver: LogDriver| match driver {
        LogDriver::JsonFile => "json-file",
        LogDriver::Local => "local",
        LogDriver::None => "none",
    };
    let is_empty = |value: &Value| value.is_null() || *value == json!("") || *value == json!(0);
    let mut default = |key: &str, value: Value| {
        let slot = &mut echo[key];
        if is_empty(slot) {
            *slot = value;
        }
    };
    default("ShmSize", json!(64 << 20));
    default("Runtime", json!(if host.runtime.is_empty() { "drua" } else { &host.runtime }));
    default("NetworkMode", json!("bridge"));
    default("IpcMode", json!(if host.ipc_mode == IpcMode::Shareable { "shareable" } else { "private" }));
    default("CgroupnsMode", json!("private"));
    default("RestartPolicy", json!({ "Name": "no", "MaximumRetryCount": 0 }));
    if echo["RestartPolicy"]["Name"] == json!("") {
        echo["RestartPolicy"]["Name"] = json!("no");
    }
    if echo["NetworkMode"] == json!("default") {
        echo["NetworkMode"] = json!("bridge");
    }
    if !echo["LogConfig"].is_object() {
        echo["LogConfig"] = json!({});
    }
    echo["LogConfig"]["Type"] = json!(log(host.log.driver));
    if !echo["LogConfig"]["Config"].is_object() {
        echo["LogConfig"]["Config"] = json!({});
    }
    let (masked, readonly) = (&host.masked_paths, &host.readonly_paths);
    if masked.is_none() && !host.privileged {
        echo["MaskedPaths"] = json!(drua_engine::DEFAULT_MASKED_PATHS);
    }
    if readonly.is_none() && !host.privileged {
        echo["ReadonlyPaths"] = json!(drua_engine::DEFAULT_READONLY_PATHS);
    }
    // As in Docker: what stands for "nothing said" reads as nothing.
    for (key, unset) in [("MemorySwappiness", json!(-1)), ("PidsLimit", json!(0)), ("OomKillDisable", json!(false))] {
        if echo[key] == unset {
            echo[key] = Value::Null;
        }
    }
    if !host.resources.oom_kill_disable {
        echo["OomKillDisable"] = Value::Null;
    }
    if host.resources.memory_swappiness.is_none() {
        echo["MemorySwappiness"] = Value::Null;
    }
    if host.resources.blkio_weight.is_none() {
        echo["BlkioWeight"] = json!(0);
    }
    if host.resources.memory.is_some() && echo["MemorySwap"] == json!(0) {
        // Docker's default, made visible.
        echo["MemorySwap"] = json!(host.resources.memory.map(|bytes| bytes.saturating_mul(2)));
    }
    for key in ["Dns", "DnsOptions", "DnsSearch", "Devices", "Ulimits", "BlkioWeightDevice"] {
        if echo[key].is_null() {
            echo[key] = json!([]);
        }
    }
    if host.privileged && echo["SecurityOpt"].is_null() {
        echo["SecurityOpt"] = json!(["label=disable"]);
    }
}
