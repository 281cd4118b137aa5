//! The `delete` action: cleans up after a shim that has died.
//!
//! Everything is best effort and all of it is tried: kill the shim (it may hang rather than be dead) and the init by their
//! recorded pids, let drua-runtime kill and remove the cgroup and its state, unmount, and leave an exit record for the
//! daemon if the shim left none. A second run finds nothing to do and succeeds.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::MessageField;
use drua_types::{annotations, error_chain, exit};
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{UnmountFlags, unmount};

use crate::args::Args;
use crate::bootstrap::{Places, StartError};
use crate::bridge;
use crate::container::{load_spec, runtime_dir};
use crate::convert::timestamp;
use crate::exit::Exit;
use crate::record;
use crate::workload::annotation;

/// How long a killed process may take to end.
const DEATH: Duration = Duration::from_secs(10);

/// Something of the container is still there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteError {
    #[error(transparent)]
    Place(#[from] StartError),
    #[error("cannot clean up after the shim: {}", .0.join("; "))]
    Left(Vec<String>),
}

/// Cleans up and says how the container ended. Needs root.
pub(crate) fn delete(args: &Args) -> Result<DeleteResponse, DeleteError> {
    let places = Places::of(args)?;
    let record = record::read(&places.bundle);
    let mut failures = Vec::new();
    let init = record.as_ref().and_then(|record| record.init.as_ref());
    let foreign = record.as_ref().and_then(|record| record.foreign);
    let own = record.iter().map(|record| record.shim);
    // What a runtime of theirs keeps elsewhere, only their program knows.
    if let Ok(Some(runtime)) = bridge::foreign(&places.bundle) {
        kill_all(own.clone().chain(foreign), &mut failures);
        let (namespace, id) = (args.namespace.clone(), args.id.clone());
        bridge::Subject { runtime, namespace, id, bundle: places.bundle.clone() }.delete();
    }
    kill_all(own.chain(init.map(|init| init.process)), &mut failures);
    if let Some(init) = init
        && let Err(error) = drua_runtime::sandbox::destroy(&runtime_dir(&places.bundle), &init.cgroup)
    {
        failures.push(error_chain(&error));
    }
    // The mounts were in the shim's own namespace and have gone with it; a bundle from elsewhere may have its own.
    while unmount(places.bundle.join("rootfs"), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
    let (status, exited_at) = exit_of(&state_dir(&places.bundle));
    for socket in [&places.socket, &places.io_socket] {
        let _ = fs_err::remove_file(socket);
    }
    if !failures.is_empty() {
        return Err(DeleteError::Left(failures));
    }
    Ok(DeleteResponse {
        pid: init.map_or(0, |init| init.process.pid),
        exit_status: status,
        exited_at: MessageField::some(timestamp(exited_at)),
        ..DeleteResponse::default()
    })
}

fn kill_all(processes: impl Iterator<Item = record::Process>, failures: &mut Vec<String>) {
    for process in processes {
        if let Some(pidfd) = process.open()
            && let Err(error) = record::kill(&pidfd).and_then(|()| wait(&pidfd))
        {
            failures.push(format!("cannot kill process {}: {error}", process.pid));
        }
    }
}

fn state_dir(bundle: &Path) -> PathBuf {
    let spec = load_spec(bundle).ok();
    let named = spec.as_ref().and_then(|spec| annotation(spec, annotations::STATE_DIR));
    named.map_or_else(|| bundle.to_owned(), PathBuf::from)
}

/// What the shim recorded; or, when it could not, that the container was killed just now, which is then recorded.
fn exit_of(directory: &Path) -> (u32, Timestamp) {
    if let Some(exit) = Exit::read(directory) {
        return (exit.status, exit.exited_at);
    }
    let exit = Exit { status: exit::from_signal(9), exited_at: Timestamp::now(), oom_killed: false };
    if let Err(error) = exit.record(directory) {
        tracing::warn!(error = error_chain(&error), "the daemon will not learn of this exit");
    }
    (exit.status, exit.exited_at)
}

fn wait(pidfd: &OwnedFd) -> std::io::Result<()> {
    let timeout = Timespec { tv_sec: DEATH.as_secs().cast_signed(), tv_nsec: 0 };
    match rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)))? {
        0 => Err(std::io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
