//! Which processes belong to a bundle, for `delete` after the shim has died.
//!
//! `<bundle>/pids.json` = `{"version":1,"shim":{"pid":n,"start":n},"init":{"pid":n,"start":n,"cgroup":"/…"}}`, `init` from
//! Create on; `foreign`, like `shim`, where that is somebody else's. A process id alone could mean another process by then; with its start time (field 22 of
//! `/proc/<pid>/stat`, in clock ticks since boot) it cannot. The bundle lives on a tmpfs, so the record does not outlast
//! the boot that its numbers belong to.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

const FILE: &str = "pids.json";

/// The processes of a bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) shim: Process,
    #[serde(default)]
    pub(crate) init: Option<Init>,
    /// Somebody else's shim that ours drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) foreign: Option<Process>,
}

/// A process that is not mistaken for another one later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    start: u64,
}

/// The container's init.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Init {
    #[serde(flatten)]
    pub(crate) process: Process,
    /// The container's cgroup, as an absolute path within each hierarchy.
    pub(crate) cgroup: PathBuf,
}

/// Records a shim that has just been started.
pub(crate) fn write_shim(bundle: &Path, shim: u32) -> io::Result<()> {
    write(bundle, &Record { version: 1, shim: Process::of(shim)?, init: None, foreign: None })
}

/// Records this process and the init of the container that it has created.
pub(crate) fn write_init(bundle: &Path, init: u32, cgroup: &Path) -> io::Result<()> {
    let init = Init { process: Process::of(init)?, cgroup: cgroup.to_owned() };
    write(bundle, &Record { version: 1, shim: Process::of(std::process::id())?, init: Some(init), foreign: None })
}

/// Records this process, the init, and the shim that has created it for us. A virtual machine's init is no process here.
pub(crate) fn write_foreign(bundle: &Path, init: u32, cgroup: &Path, foreign: Option<u32>) -> io::Result<()> {
    let init = Process::of(init).ok().map(|process| Init { process, cgroup: cgroup.to_owned() });
    let foreign = foreign.map(Process::of).transpose()?;
    write(bundle, &Record { version: 1, shim: Process::of(std::process::id())?, init, foreign })
}

fn write(bundle: &Path, record: &Record) -> io::Result<()> {
    let temporary = bundle.join("pids.json.tmp");
    fs_err::write(&temporary, serde_json::to_vec(record)?)?;
    fs_err::rename(&temporary, bundle.join(FILE))
}

/// Reads the record; `None` when there is none that makes sense.
pub(crate) fn read(bundle: &Path) -> Option<Record> {
    let text = fs_err::read(bundle.join(FILE)).ok()?;
    serde_json::from_slice::<Record>(&text).ok().filter(|record| record.version == 1)
}

impl Process {
    fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { pid, start: start_time(pid)? })
    }

    /// A reference to the process, if it still is the one that was recorded.
    pub(crate) fn open(&self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(self.pid.try_into().ok()?)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // The start time is read after opening: the descriptor cannot come to mean another process any more.
        (start_time(self.pid).ok()? == self.start).then_some(pidfd)
    }
}

/// Kills a process. One that has gone is fine.
pub(crate) fn kill(pidfd: &OwnedFd) -> io::Result<()> {
    match pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn start_time(pid: u32) -> io::Result<u64> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command in parentheses may hold anything; the fields after the last one are plain. State is field 3.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
    let start = fields.and_then(|fields| fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok());
    start.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_recognised_and_another_is_not() {
        let me = Process::of(std::process::id()).unwrap();
        assert!(me.open().is_some());
        assert!(Process { start: me.start + 1, ..me }.open().is_none());
    }

    #[test]
    fn a_record_is_read_back() {
        let bundle = tempfile::tempdir().unwrap();
        assert!(read(bundle.path()).is_none());
        write_shim(bundle.path(), 1).unwrap();
        assert!(read(bundle.path()).is_some_and(|record| record.shim.pid == 1 && record.init.is_none()));
        write_init(bundle.path(), 1, Path::new("/drua/x")).unwrap();
        let record = read(bundle.path()).unwrap();
        assert_eq!(record.shim.pid, std::process::id());
        assert!(record.init.is_some_and(|init| init.process.pid == 1 && init.cgroup == Path::new("/drua/x")));
        std::fs::write(bundle.path().join(FILE), "{}").unwrap();
        assert!(read(bundle.path()).is_none());
    }
}
