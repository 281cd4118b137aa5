//! The standard mounts, the container's own, and the paths to hide.

use std::path::PathBuf;

use oci_spec::runtime::Mount;

use super::host::thermal_throttle_path;
use super::{ContainerSpec, DEFAULT_SHM_SIZE, HostFacts, MountSource, MountSpec, Namespace, Propagation, Shm};

/// What nobody in a container sees, besides the thermal throttle counters of each processor.
pub const DEFAULT_MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What nobody in a container changes.
pub const DEFAULT_READONLY_PATHS: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// All mounts in the order in which they are made: a mount below another comes after it.
pub(super) fn of_container(spec: &ContainerSpec, host: &HostFacts) -> Vec<Mount> {
    let is_replaced =
        |mount: &Mount| spec.mounts.iter().any(|own| own.destination.trim_end_matches('/') == path_text(mount));
    let mut mounts: Vec<Mount> = standard(spec, host).into_iter().filter(|mount| !is_replaced(mount)).collect();
    let mut own: Vec<&MountSpec> = spec.mounts.iter().collect();
    own.sort_by_key(|mount| depth(&mount.destination));
    mounts.extend(own.into_iter().map(convert));
    mounts
}

/// What the root mount's propagation has to be so that the mounts' own can work.
pub(super) fn rootfs_propagation(spec: &ContainerSpec) -> Option<&'static str> {
    let any = |wanted: &[Propagation]| {
        spec.mounts.iter().any(|mount| match mount.source {
            MountSource::Bind { propagation, .. } => wanted.contains(&propagation),
            MountSource::Tmpfs { .. } | MountSource::Image { .. } => false,
        })
    };
    if any(&[Propagation::RShared, Propagation::Shared]) {
        Some("shared")
    } else if any(&[Propagation::RSlave, Propagation::Slave]) {
        Some("slave")
    } else {
        None
    }
}

pub(super) fn masked_paths(spec: &ContainerSpec, host: &HostFacts) -> Vec<String> {
    match &spec.masked_paths {
        Some(paths) => paths.clone(),
        None if spec.privileged => Vec::new(),
        None => {
            let fixed = DEFAULT_MASKED_PATHS.iter().map(|path| (*path).to_owned());
            fixed.chain(host.thermal_throttle_cpus.iter().map(|cpu| thermal_throttle_path(*cpu))).collect()
        }
    }
}

pub(super) fn readonly_paths(spec: &ContainerSpec) -> Vec<String> {
    match &spec.readonly_paths {
        Some(paths) => paths.clone(),
        None if spec.privileged => Vec::new(),
        None => DEFAULT_READONLY_PATHS.iter().map(|path| (*path).to_owned()).collect(),
    }
}

fn standard(spec: &ContainerSpec, host: &HostFacts) -> Vec<Mount> {
    let access = if spec.privileged { "rw" } else { "ro" };
    let guarded = ["nosuid", "noexec", "nodev"];
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &guarded),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", access]),
    ];
    if spec.ipc == Namespace::Host {
        for path in ["/dev/mqueue", "/dev/shm"].into_iter().filter(|path| *path != "/dev/mqueue" || host.has_mqueue) {
            mounts.push(mount(path, "bind", path, &["rbind", "nosuid", "noexec", "nodev", "rprivate"]));
        }
    } else {
        let size = format!("size={}", spec.shm_size.unwrap_or(DEFAULT_SHM_SIZE));
        mounts.push(mount("/dev/mqueue", "mqueue", "mqueue", &guarded));
        match &spec.shm {
            Shm::Own => {
                mounts.push(mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &size]));
            }
            Shm::None => {}
            Shm::Shared(path) => {
                let path = path.to_string_lossy();
                mounts.push(mount("/dev/shm", "bind", &path, &["rbind", "nosuid", "noexec", "nodev", "rprivate"]));
            }
        }
    }
    mounts
}

fn convert(own: &MountSpec) -> Mount {
    let mut options = Vec::new();
    let (kind, source) = match &own.source {
        MountSource::Bind { source, propagation, recursive } => {
            options.push(if *recursive { "rbind" } else { "bind" }.to_owned());
            options.push(propagation.as_str().to_owned());
            if own.readonly && *recursive {
                // "ro" alone would leave what is mounted below writable.
                options.push("rro".to_owned());
            }
            ("bind", source.clone())
        }
        MountSource::Tmpfs { size } => {
            options.extend(["noexec", "nosuid", "nodev"].map(str::to_owned));
            options.extend(size.map(|size| format!("size={size}")));
            ("tmpfs", PathBuf::from("tmpfs"))
        }
        MountSource::Image { lowers } => {
            let lowers: Vec<String> = lowers.iter().map(|path| path.display().to_string()).collect();
            options.push(format!("lowerdir={}", lowers.join(":")));
            ("overlay", PathBuf::from("overlay"))
        }
    };
    let readonly = own.readonly || matches!(own.source, MountSource::Image { .. });
    options.push(if readonly { "ro" } else { "rw" }.to_owned());
    options.extend(own.options.iter().cloned());
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(&own.destination))
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source))
        .set_options(Some(options));
    mount
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(destination))
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(PathBuf::from(source)))
        .set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
    mount
}

fn path_text(mount: &Mount) -> &str {
    mount.destination().to_str().unwrap_or_default()
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|component| !component.is_empty()).count()
}
