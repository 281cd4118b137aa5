use std::collections::HashSet;

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use serde_json::Value;

use super::*;
use crate::users::ResolvedUser;

fn host() -> HostFacts {
    let capabilities = caps::all();
    HostFacts {
        cgroup: CgroupLayout::Unified,
        kernel: (6, 1),
        capabilities: capabilities::from_caps(capabilities.iter()),
        swap_limit: true,
        has_mqueue: true,
        thermal_throttle_cpus: vec![0, 1],
    }
}

fn spec() -> ContainerSpec {
    ContainerSpec { hostname: Some("0123456789ab".to_owned()), ..ContainerSpec::new("0123", vec!["sh".to_owned()]) }
}

fn built(spec: &ContainerSpec) -> Spec {
    build(spec, &host()).expect("a valid specification")
}

/// As JSON with everything in order that the specification leaves unordered; system calls are only counted.
fn stable(spec: &Spec) -> Value {
    let mut json = serde_json::to_value(spec).expect("JSON");
    if let Some(sets) = json.pointer_mut("/process/capabilities").and_then(Value::as_object_mut) {
        for set in sets.values_mut().filter_map(Value::as_array_mut) {
            set.sort_by_key(Value::to_string);
        }
    }
    if let Some(syscalls) = json.pointer_mut("/linux/seccomp/syscalls") {
        *syscalls = format!("{} rules", syscalls.as_array().map_or(0, Vec::len)).into();
    }
    json
}

#[test]
fn an_ordinary_container() {
    insta::assert_json_snapshot!(stable(&built(&spec())));
}

#[test]
fn a_privileged_container() {
    let spec = ContainerSpec { privileged: true, tty: true, ..spec() };
    insta::assert_json_snapshot!(stable(&built(&spec)));
}

#[test]
fn a_container_with_everything() {
    let mut spec = spec();
    spec.env = vec!["PATH=/bin".to_owned(), "A=1".to_owned(), "A=2".to_owned(), "HOSTNAME".to_owned()];
    spec.cwd = "/work".to_owned();
    spec.user = ResolvedUser { uid: 33, gid: 34, additional_gids: vec![34, 44], home: "/var/www".to_owned() };
    spec.readonly_rootfs = true;
    spec.domainname = Some("example".to_owned());
    spec.cap_drop = vec!["ALL".to_owned()];
    spec.cap_add = vec!["CAP_NET_ADMIN".to_owned(), "chown".to_owned()];
    spec.masked_paths = Some(Vec::new());
    spec.readonly_paths = Some(vec!["/proc/sys".to_owned()]);
    spec.devices = vec![DeviceMapping {
        path: "/dev/fuse".into(),
        kind: DeviceKind::Char,
        major: 10,
        minor: 229,
        file_mode: 0o666,
        uid: 0,
        gid: 0,
        access: "rw".to_owned(),
    }];
    spec.device_cgroup_rules = vec!["c 189:* rwm".to_owned()];
    let bind = |destination: &str, propagation, readonly| MountSpec {
        destination: destination.to_owned(),
        source: MountSource::Bind { source: "/srv".into(), propagation, recursive: true },
        readonly,
        options: Vec::new(),
    };
    spec.mounts = vec![
        bind("/a/b", Propagation::RSlave, false),
        bind("/a", Propagation::RPrivate, true),
        MountSpec {
            destination: "/dev/shm".to_owned(),
            source: MountSource::Tmpfs { size: Some(4096) },
            readonly: false,
            options: vec!["mode=1777".to_owned()],
        },
    ];
    spec.network = Namespace::Path("/run/drua/netns/x".into());
    spec.ipc = Namespace::Host;
    spec.cgroupns = Some(Namespace::Host);
    spec.sysctls = BTreeMap::from([("net.ipv4.ip_unprivileged_port_start".to_owned(), "1024".to_owned())]);
    spec.ulimits = vec![Ulimit { name: "nofile".to_owned(), soft: 1024, hard: -1 }];
    spec.resources = Resources {
        memory: Some(64 << 20),
        memory_reservation: Some(32 << 20),
        cpu_shares: Some(512),
        nano_cpus: Some(1_500_000_000),
        cpuset_cpus: Some("0-1".to_owned()),
        pids_limit: Some(-1),
        blkio_weight: Some(300),
        ..Resources::default()
    };
    spec.oom_score_adj = Some(-500);
    spec.no_new_privileges = true;
    spec.seccomp = SeccompMode::Unconfined;
    spec.cgroup_parent = Some("test/parent".to_owned());
    spec.annotations = BTreeMap::from([("dev.drua.state-dir".to_owned(), "/x".to_owned())]);
    let mut json = stable(&built(&spec));
    // A map without order.
    json["linux"]["sysctl"] =
        serde_json::to_value(json["linux"]["sysctl"].as_object().expect("sysctls").iter().collect::<BTreeMap<_, _>>())
            .expect("JSON");
    insta::assert_json_snapshot!(json);
}

fn capabilities_of(add: &[&str], drop: &[&str]) -> HashSet<Capability> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let spec = ContainerSpec { cap_add: names(add), cap_drop: names(drop), ..spec() };
    let process = built(&spec).process().clone().expect("a process");
    process.capabilities().as_ref().and_then(|sets| sets.bounding().clone()).expect("a set")
}

#[test]
fn capabilities_follow_docker() {
    let default = HashSet::from(DEFAULT_CAPABILITIES);
    assert_eq!(capabilities_of(&[], &[]), default);
    assert_eq!(capabilities_of(&["all"], &[]), host().capabilities);
    assert_eq!(capabilities_of(&[], &["ALL"]), HashSet::new());
    assert_eq!(capabilities_of(&["kill"], &["ALL"]), HashSet::from([Capability::Kill]));
    assert_eq!(capabilities_of(&["ALL", "KILL"], &["ALL"]), HashSet::from([Capability::Kill]));
    let all_but_kill: HashSet<_> = host().capabilities.into_iter().filter(|cap| *cap != Capability::Kill).collect();
    assert_eq!(capabilities_of(&["ALL"], &["KILL"]), all_but_kill);
    let swapped = capabilities_of(&["SYS_PTRACE"], &["MKNOD"]);
    assert!(swapped.contains(&Capability::SysPtrace) && !swapped.contains(&Capability::Mknod));
    assert_eq!(swapped.len(), 14);
}

#[track_caller]
fn refused(change: impl FnOnce(&mut ContainerSpec), text: &str) {
    let mut spec = spec();
    change(&mut spec);
    let error = build(&spec, &host()).expect_err(text);
    assert_eq!(drua_types::error_chain(&error), text);
}

#[test]
fn nonsense_is_refused() {
    refused(|spec| spec.args.clear(), "no command specified");
    refused(
        |spec| spec.cap_add = vec!["NOPE".to_owned()],
        "invalid capability in container specification: unknown capability: \"NOPE\"",
    );
    refused(|spec| spec.cwd = "x".to_owned(), "working directory `x` is not an absolute path");
    for rule in ["", "c 1:2", "x 1:2 r", "c 1 r", "c a:b r", "c 1:2 q", "c 1:2 rrrr", "c -1:2 r"] {
        let text = format!("invalid device cgroup rule format: '{rule}'");
        refused(|spec| spec.device_cgroup_rules = vec![rule.to_owned()], &text);
    }
    refused(
        |spec| spec.ulimits = vec![Ulimit { name: "nope".to_owned(), soft: 1, hard: 1 }],
        "invalid ulimit type: nope",
    );
    refused(
        |spec| (spec.resources.nano_cpus, spec.resources.cpu_quota) = (Some(1), Some(1)),
        "conflicting options: nano CPUs and CPU quota or period cannot both be set",
    );
    let profile = SeccompMode::Custom("{}".to_owned());
    assert!(build(&ContainerSpec { seccomp: profile, ..spec() }, &host()).is_err());
}

#[test]
fn shared_namespaces_are_left_out() {
    let spec = ContainerSpec { network: Namespace::Host, uts: Namespace::Host, ..spec() };
    let built = built(&spec);
    assert_eq!(built.hostname(), &None);
    let linux = built.linux().as_ref().expect("linux");
    let kinds: Vec<_> = linux.namespaces().iter().flatten().map(|namespace| namespace.typ()).collect();
    assert_eq!(
        kinds,
        [LinuxNamespaceType::Mount, LinuxNamespaceType::Pid, LinuxNamespaceType::Ipc, LinuxNamespaceType::Cgroup]
    );
    assert!(linux.sysctl().as_ref().is_some_and(std::collections::HashMap::is_empty));
}

#[test]
fn privileged_containers_see_the_hosts_cgroups_on_v1() {
    let facts = HostFacts { cgroup: CgroupLayout::Hybrid, swap_limit: false, ..host() };
    let mut spec = ContainerSpec { privileged: true, ..spec() };
    spec.resources.memory = Some(1 << 30);
    let built = build(&spec, &facts).expect("valid");
    let linux = built.linux().clone().expect("linux");
    assert!(linux.namespaces().iter().flatten().all(|namespace| namespace.typ() != LinuxNamespaceType::Cgroup));
    let memory = linux.resources().as_ref().and_then(|resources| *resources.memory()).expect("memory");
    assert_eq!((memory.limit(), memory.swap()), (Some(1 << 30), None), "swap cannot be limited here");
}

#[test]
fn kernel_versions() {
    for (text, version) in [("6.18.44-x", (6, 18)), ("5.10.0", (5, 10)), ("6.1-rc1", (6, 1)), ("nonsense", (0, 0))] {
        assert_eq!(host::kernel_version(text), version);
    }
}
