use drua_api::models;
use serde_json::{Value, json};

use super::{host, mounts, network, resources, security};

/// The refusal of a host configuration, or its warnings.
fn read(host: Value) -> Result<Vec<String>, String> {
    let host: models::HostConfig = serde_json::from_value(host).expect("a host configuration");
    let mut warnings = Vec::new();
    let text = |failure: crate::http::Failure| format!("{failure:?}");
    host::verify(&host).map_err(text)?;
    resources::resources(&host, &mut warnings).map_err(text)?;
    security::options(&host.security_opt.clone().unwrap_or_default(), &mut warnings).map_err(text)?;
    crate::wire::log_options::parse(host.log_config.clone()).map_err(text)?;
    network::extra_hosts(host.extra_hosts.clone().unwrap_or_default()).map_err(text)?;
    for bind in host.binds.clone().unwrap_or_default() {
        mounts::bind(&bind).map_err(text)?;
    }
    for (path, options) in host.tmpfs.clone().unwrap_or_default() {
        mounts::tmpfs(&path, &options).map_err(text)?;
    }
    for mount in host.mounts.clone().unwrap_or_default() {
        mounts::long(mount).map_err(text)?;
    }
    Ok(warnings)
}

#[test]
fn what_cannot_be_carried_out_is_refused_in_dockers_words() {
    for (host, expect) in [
        (json!({ "DeviceRequests": [{ "Count": -1, "Capabilities": [["gpu"]] }] }), "could not select device driver"),
        (json!({ "UsernsMode": "private" }), "invalid user namespace mode"),
        (json!({ "Isolation": "hyperv" }), "invalid isolation 'hyperv' on linux"),
        (json!({ "StorageOpt": { "size": "10G" } }), "--storage-opt size=10G is not supported"),
        (json!({ "CgroupParent": "/../x" }), "invalid cgroup parent"),
        (json!({ "CpuCount": 2 }), "Windows"),
        (json!({ "BlkioWeight": 5 }), "Range of blkio weight is from 10 to 1000"),
        (json!({ "Memory": 1024 }), "Minimum memory limit allowed is 6MB"),
        (json!({ "MemorySwap": 1 << 30 }), "You should always set the Memory limit when using Memoryswap limit"),
        (json!({ "Memory": 1 << 30, "MemorySwap": 1 << 29 }), "Minimum memoryswap limit should be larger"),
        (json!({ "MemoryReservation": 1 }), "Minimum memory reservation allowed is 6MB"),
        (json!({ "MemorySwappiness": 101 }), "valid memory swappiness range is 0-100"),
        (json!({ "NanoCpus": 1, "CpuPeriod": 1000 }), "Nano CPUs and CPU Period"),
        (json!({ "NanoCpus": 1, "CpuQuota": 1000 }), "Nano CPUs and CPU Quota"),
        (json!({ "NanoCpus": 9_000_000_000_000_i64 }), "Range of CPUs is from 0.01"),
        (json!({ "CpuPeriod": 10 }), "CPU cfs period can not be less than 1ms"),
        (json!({ "CpuQuota": 10 }), "CPU cfs quota can not be less than 1ms"),
        (json!({ "CpusetCpus": "a" }), "Invalid value a for cpuset cpus"),
        (json!({ "CpusetCpus": "4000" }), "Requested CPUs are not available"),
        (json!({ "CpusetMems": "4000" }), "Requested memory nodes are not available"),
        (json!({ "ShmSize": -1 }), "SHM size can not be less than 0"),
        (json!({ "OomScoreAdj": 1001 }), "range for oom score adj is [-1000, 1000]"),
        (json!({ "Sysctls": { "kernel.panic": "1" } }), "is not in a separate kernel namespace"),
        (json!({ "Sysctls": { "net.core.somaxconn": "1" }, "NetworkMode": "host" }), "host network namespace"),
        (json!({ "DeviceCgroupRules": ["x"] }), "invalid device cgroup rule format"),
        (json!({ "Annotations": { "dev.drua.state-dir": "/" } }), "invalid annotation"),
        (json!({ "SecurityOpt": ["seccomp=nope"] }), "opening seccomp profile failed"),
        (json!({ "SecurityOpt": ["what"] }), "invalid --security-opt"),
        (json!({ "LogConfig": { "Type": "asdf" } }), "no log driver named 'asdf' is registered"),
        (json!({ "ExtraHosts": ["a"] }), "bad format for add-host"),
        (json!({ "ExtraHosts": ["a:b"] }), "invalid IP address in add-host"),
        (json!({ "Binds": ["/a:/b:what"] }), "invalid mode: what"),
        (json!({ "Binds": ["a:b:c:d"] }), "invalid volume specification"),
        (json!({ "Tmpfs": { "/x": "what" } }), "invalid tmpfs option"),
        (json!({ "Mounts": [{ "Type": "bind", "Target": "/x" }] }), "field Source must not be empty"),
        (json!({ "Mounts": [{ "Type": "bind", "Source": "x", "Target": "/x" }] }), "mount path must be absolute"),
        (json!({ "Mounts": [{ "Type": "volume" }] }), "field Target must not be empty"),
        (
            json!({ "Mounts": [{ "Type": "tmpfs", "Source": "x", "Target": "/x" }] }),
            "field Source must not be specified",
        ),
        (
            json!({ "Mounts": [{ "Type": "tmpfs", "Target": "/x", "BindOptions": {} }] }),
            "field BindOptions must not be",
        ),
        (json!({ "Mounts": [{ "Type": "npipe", "Target": "/x" }] }), "mount type unknown"),
        (
            json!({ "Mounts": [{ "Type": "bind", "Source": "/", "Target": "/x", "BindOptions": { "ReadOnlyNonRecursive": true } }] }),
            "!ReadOnly && BindOptions.ReadOnlyNonRecursive",
        ),
        (
            json!({ "Mounts": [{ "Type": "volume", "Source": "v", "Target": "/x", "VolumeOptions": { "Subpath": "../x" } }] }),
            "invalid subpath",
        ),
    ] {
        let refusal = read(host.clone()).expect_err("it is refused");
        assert!(refusal.contains(expect), "{host}: {refusal}");
    }
}

#[test]
fn what_is_discarded_is_said() {
    let warnings = read(json!({ "SecurityOpt": ["apparmor=mine"] })).expect("accepted");
    assert!(warnings[0].contains("`mine` is discarded"), "{warnings:?}");
}

/// As `docker run` and Compose send it: everything, mostly empty.
#[test]
fn empty_fields_ask_for_nothing() {
    let host = r#"{
        "Binds": null, "ContainerIDFile": "", "LogConfig": { "Type": "", "Config": {} }, "NetworkMode": "default",
        "PortBindings": {}, "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 }, "AutoRemove": false,
        "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [0, 0], "CapAdd": null, "CapDrop": null,
        "CgroupnsMode": "", "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": null, "GroupAdd": null,
        "IpcMode": "", "Cgroup": "", "Links": null, "OomScoreAdj": 0, "PidMode": "", "Privileged": false,
        "UTSMode": "", "UsernsMode": "", "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0,
        "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [], "CpuPeriod": 0,
        "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "",
        "Devices": [], "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": 0,
        "MemorySwappiness": -1, "OomKillDisable": false, "PidsLimit": 0, "Ulimits": [], "CpuCount": 0,
        "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "StorageOpt": {}, "MaskedPaths": null,
        "Mounts": [{ "Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": { "Labels": null } }]
    }"#;
    assert_eq!(read(serde_json::from_str(host).expect("JSON")), Ok(Vec::new()));
}
