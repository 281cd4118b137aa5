//! A container's cgroup: who is in it, freezing, limits, statistics and removal, for cgroup v1, v2 and hybrid.
//!
//! Everything goes by path, so the engine can read statistics without asking the shim. libcgroups sets the limits, and
//! nothing else: most containers have none.

mod create;
mod device;
mod entrance;
mod hierarchy;
mod stats;
#[cfg(test)]
mod tests;
mod warm;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
// Not fs-err: it hides error numbers, and the errors here name their cgroup anyway.
use std::{fs, io};

use drua_types::{Classify, ErrorKind, Hint};
use libcgroups::common::{CgroupManager as _, ControllerOpt};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};

pub(crate) use entrance::Entrance;
pub use hierarchy::Hierarchies;
pub(crate) use hierarchy::View;
pub use stats::{BlkioEntry, CpuStats, MemoryStats, PidsStats, Stats};
pub use warm::expect_joins;

/// How long freezing, killing and removing may take before they are an error.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(1);

/// An operation on a cgroup failed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The host's cgroup file systems cannot be found.
    #[error("cannot find the cgroup hierarchies of this host")]
    Hierarchies(#[source] io::Error),
    /// A control file cannot be read or written.
    #[error("cannot {action} of cgroup `{path}`")]
    File {
        /// What was attempted.
        action: &'static str,
        /// The cgroup.
        path: PathBuf,
        /// Why not.
        #[source]
        err: io::Error,
    },
    /// The limits cannot be set.
    #[error("cannot apply limits to cgroup `{path}`: {reason}")]
    Limits {
        /// The cgroup.
        path: PathBuf,
        /// libcgroups' words.
        reason: String,
    },
    /// The program that limits the devices cannot be put in force (cgroup v2).
    #[error("cannot {action} the device filter of cgroup `{path}`")]
    DeviceFilter {
        /// What was attempted.
        action: &'static str,
        /// The cgroup's directory.
        path: PathBuf,
        /// Why not.
        #[source]
        err: io::Error,
    },
    /// The host has no such controller.
    #[error("this host has no `{0}` cgroup controller")]
    NoController(&'static str),
    /// It did not happen in time.
    #[error("cgroup `{path}` did not become {state} in time")]
    Timeout {
        /// The cgroup.
        path: PathBuf,
        /// The state waited for.
        state: &'static str,
    },
}

impl Classify for CgroupError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Limits { .. } => ErrorKind::Invalid,
            Self::NoController(_) => ErrorKind::Unsupported,
            Self::Hierarchies(_) | Self::File { .. } | Self::DeviceFilter { .. } | Self::Timeout { .. } => {
                ErrorKind::Internal
            }
        }
    }
}

impl Hint for CgroupError {
    fn hints(&self) -> Vec<String> {
        let Self::DeviceFilter { action: "load", err, .. } = self else { return Vec::new() };
        let hint = match err.raw_os_error() {
            Some(nix::libc::EPERM) => {
                "run the daemon outside of user namespaces, with CAP_BPF and CAP_NET_ADMIN or with CAP_SYS_ADMIN"
            }
            Some(nix::libc::EINVAL | nix::libc::ENOSYS) => {
                "use a kernel that is built with CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// A cgroup, by the same path in each hierarchy.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: PathBuf,
    hierarchies: Hierarchies,
}

impl Cgroup {
    /// The cgroup at `path`, absolute within each hierarchy. It need not exist.
    ///
    /// # Errors
    /// When the host's hierarchies cannot be found.
    pub fn open(path: &Path) -> Result<Self, CgroupError> {
        let hierarchies = Hierarchies::of_host().map_err(CgroupError::Hierarchies)?;
        Ok(Self { path: path.to_owned(), hierarchies })
    }

    /// Its path within each hierarchy.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The way in, for a process that is about to be made; `init` is a process of the container if there is one.
    ///
    /// # Errors
    /// [`CgroupError::File`] when the cgroup does not exist.
    pub(crate) fn entrance(&self, init: Option<u32>) -> Result<Entrance, CgroupError> {
        Entrance::of(&self.hierarchies, &self.path, init).map_err(|err| self.file_error("open the way in", err))
    }

    /// Every process in it and in the cgroups below it. Empty when the cgroup does not exist.
    pub fn pids(&self) -> Result<Vec<u32>, CgroupError> {
        let mut pids = Vec::new();
        if let Some(directory) = self.tracking_directory() {
            collect_pids(&directory, &mut pids).map_err(|err| self.file_error("read the processes", err))?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Stops all processes until [`thaw`](Self::thaw). Returns when they have stopped.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen(true)?;
        self.wait_until("frozen", || self.is_frozen())
    }

    /// Lets the processes go on.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.set_frozen(false)
    }

    /// Whether all processes are stopped by [`freeze`](Self::freeze).
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        let text = match &self.hierarchies {
            Hierarchies::Unified(_) => self.read_control("freezer", "cgroup.events")?,
            Hierarchies::Split { .. } => self.read_control("freezer", "freezer.state")?,
        };
        Ok(text.lines().any(|line| line == "frozen 1" || line == "FROZEN"))
    }

    /// Sends a signal to every process. With SIGKILL, returns when none is left, however fast they fork.
    pub fn kill_all(&self, signal: drua_types::Signal) -> Result<(), CgroupError> {
        if signal != drua_types::Signal::KILL {
            return self.signal_each(signal.number());
        }
        if let Hierarchies::Unified(root) = &self.hierarchies
            && fs::write(hierarchy::join(root, &self.path).join("cgroup.kill"), "1").is_ok()
        {
            return self.wait_until("empty", || Ok(self.pids()?.is_empty()));
        }
        // Frozen processes cannot fork; the signal takes effect when they are thawed.
        let frozen = self.freeze().is_ok();
        let sent = self.signal_each(signal.number());
        if frozen {
            self.thaw()?;
        }
        sent?;
        self.wait_until("empty", || {
            let empty = self.pids()?.is_empty();
            if !empty {
                self.signal_each(signal.number())?;
            }
            Ok(empty)
        })
    }

    /// Sets limits; fields that are `None` keep their value, and so do the device rules.
    pub fn apply(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        // libcgroups takes whatever it is given for a reason to set the devices to its own list.
        let rules = self.device_rules()?;
        self.set_limits(resources)?;
        self.restore_device_rules(rules)
    }

    fn set_limits(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let failed = |reason: String| CgroupError::Limits { path: self.path.clone(), reason };
        let config = libcgroups::common::CgroupConfig {
            cgroup_path: self.path.clone(),
            systemd_cgroup: false,
            container_name: String::new(),
        };
        let manager = libcgroups::common::create_cgroup_manager(config).map_err(|err| failed(err.to_string()))?;
        let options = ControllerOpt { resources, disable_oom_killer: false, oom_score_adj: None, freezer_state: None };
        manager.apply(&options).map_err(|err| failed(err.to_string()))
    }

    /// With cgroup v1, the list in force; with v2 it is a program that nothing here touches.
    fn device_rules(&self) -> Result<Option<String>, CgroupError> {
        match &self.hierarchies {
            Hierarchies::Split { .. } if self.hierarchies.controller("devices", &self.path).is_some() => {
                self.read_control("devices", "devices.list").map(Some)
            }
            Hierarchies::Split { .. } | Hierarchies::Unified(_) => Ok(None),
        }
    }

    fn restore_device_rules(&self, rules: Option<String>) -> Result<(), CgroupError> {
        let Some(rules) = rules else { return Ok(()) };
        let directory = self.controller("devices")?;
        let now = self.read_control("devices", "devices.list")?;
        if now == rules {
            return Ok(());
        }
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let (before, now) = (lines(&rules), lines(&now));
        for (file, from, without) in [("devices.deny", &now, &before), ("devices.allow", &before, &now)] {
            for line in from.iter().filter(|line| !without.contains(line)) {
                fs::write(directory.join(file), line).map_err(|err| self.file_error("limit the devices", err))?;
            }
        }
        Ok(())
    }

    /// Makes it, with its limits and device rules in force.
    ///
    /// # Errors
    /// [`CgroupError::Limits`] for limits that the kernel refuses. The directories stay.
    pub(crate) fn create(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        create::directories(&self.hierarchies, &self.path)
            .map_err(|err| self.file_error("make the directories", err))?;
        let mut limits = resources.clone();
        let devices = resources.devices().clone().unwrap_or_default();
        limits.set_devices(None);
        if limits != LinuxResources::default() {
            self.set_limits(&limits)?;
        }
        self.limit_devices(&devices)
    }

    /// Limits the devices to `rules`, before anything of the container's own runs.
    fn limit_devices(&self, rules: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
        if let Hierarchies::Unified(root) = &self.hierarchies {
            return device::limit(&hierarchy::join(root, &self.path), rules);
        }
        let Some(directory) = self.hierarchies.controller("devices", &self.path) else { return Ok(()) };
        create::limit_devices(&directory, rules).map_err(|err| self.file_error("limit the devices", err))
    }

    /// What the container sees of its own cgroup, by the names of the host's hierarchies.
    pub(crate) fn views(&self) -> Vec<View> {
        match &self.hierarchies {
            Hierarchies::Unified(root) => {
                let directory = hierarchy::join(root, &self.path);
                vec![View { name: None, directory, links: Vec::new() }]
            }
            Hierarchies::Split { mounts, .. } => {
                let view = |(controllers, root): &(Vec<String>, PathBuf)| {
                    let name = root.file_name()?.to_str()?.to_owned();
                    let links = controllers.iter().filter(|controller| **controller != name).cloned().collect();
                    Some(View { name: Some(name), directory: hierarchy::join(root, &self.path), links })
                };
                mounts.iter().filter_map(view).collect()
            }
        }
    }

    /// What the container has used. Controllers that the host lacks read as zero.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        stats::read(&self.hierarchies, &self.path).map_err(|err| self.file_error("read the statistics", err))
    }

    /// How many processes the kernel killed because the memory limit was reached.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        Ok(self.stats()?.memory.oom_kills)
    }

    /// Kills what is left in the cgroup and removes it, with all cgroups below it. Missing is success.
    pub fn remove(&self) -> Result<(), CgroupError> {
        if !self.pids()?.is_empty() {
            self.kill_all(drua_types::Signal::KILL)?;
        }
        for directory in self.hierarchies.directories(&self.path) {
            let deadline = Instant::now() + PATIENCE;
            while let Err(err) = remove_tree(&directory) {
                // A process that has just been killed still counts until the kernel has buried it.
                if err.raw_os_error() != Some(nix::libc::EBUSY) || Instant::now() > deadline {
                    return Err(self.file_error("remove a directory", err));
                }
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), CgroupError> {
        let (file, text) = match (&self.hierarchies, frozen) {
            (Hierarchies::Unified(_), true) => ("cgroup.freeze", "1"),
            (Hierarchies::Unified(_), false) => ("cgroup.freeze", "0"),
            (Hierarchies::Split { .. }, true) => ("freezer.state", "FROZEN"),
            (Hierarchies::Split { .. }, false) => ("freezer.state", "THAWED"),
        };
        let directory = self.controller("freezer")?;
        fs::write(directory.join(file), text).map_err(|err| self.file_error("change the freezer state", err))
    }

    fn signal_each(&self, signal: i32) -> Result<(), CgroupError> {
        let signal = nix::sys::signal::Signal::try_from(signal)
            .map_err(|errno| self.file_error("signal the processes", errno.into()))?;
        for pid in self.pids()? {
            // A process that is gone needs no signal.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
        Ok(())
    }

    fn wait_until(
        &self,
        state: &'static str,
        mut reached: impl FnMut() -> Result<bool, CgroupError>,
    ) -> Result<(), CgroupError> {
        let deadline = Instant::now() + PATIENCE;
        while !reached()? {
            if Instant::now() > deadline {
                return Err(CgroupError::Timeout { path: self.path.clone(), state });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn controller(&self, name: &'static str) -> Result<PathBuf, CgroupError> {
        self.hierarchies.controller(name, &self.path).ok_or(CgroupError::NoController(name))
    }

    fn read_control(&self, controller: &'static str, file: &str) -> Result<String, CgroupError> {
        let path = self.controller(controller)?.join(file);
        fs::read_to_string(path).map_err(|err| self.file_error("read a control file", err))
    }

    /// The hierarchy whose `cgroup.procs` says who belongs to the container.
    fn tracking_directory(&self) -> Option<PathBuf> {
        ["freezer", "pids", "devices", "memory", "cpu"]
            .into_iter()
            .find_map(|controller| self.hierarchies.controller(controller, &self.path))
    }

    fn file_error(&self, action: &'static str, err: io::Error) -> CgroupError {
        CgroupError::File { action, path: self.path.clone(), err }
    }
}

fn collect_pids(directory: &Path, pids: &mut Vec<u32>) -> io::Result<()> {
    let text = match fs::read_to_string(directory.join("cgroup.procs")) {
        Ok(text) => text,
        Err(err) if is_gone(&err) => return Ok(()),
        Err(err) => return Err(err),
    };
    // 0 stands for a process of another pid namespace, which we cannot name.
    pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
    for child in children(directory)? {
        collect_pids(&child, pids)?;
    }
    Ok(())
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    for child in children(directory)? {
        remove_tree(&child)?;
    }
    match fs::remove_dir(directory) {
        Err(err) if !is_gone(&err) => Err(err),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(err) if is_gone(&err) => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Reading a cgroup that is removed meanwhile fails with ENODEV.
fn is_gone(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::NotFound || err.raw_os_error() == Some(nix::libc::ENODEV)
}
