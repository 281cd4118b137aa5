//! The workload of a Linux container: look the command up and execute it.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use oci_spec::runtime::{Process, Spec};
use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, statat};

use super::error::StartError;
use super::workload::{StartSignal, Workload};

/// Executes the specification's `process.args`, with `PATH` looked up as Go's `exec.LookPath` does, which is what runc
/// uses: the error texts are known to Docker's clients.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecWorkload;

impl Workload for ExecWorkload {
    fn validate(&self, spec: &Spec) -> Result<(), StartError> {
        process_of(spec).and_then(|process| look_up(process).map(|_| ()))
    }

    fn run(&self, spec: &Spec, _signal: &mut StartSignal) -> StartError {
        // A successful execve closes the signal's pipe.
        process_of(spec).map_or_else(|error| error, run_program)
    }
}

fn process_of(spec: &Spec) -> Result<&Process, StartError> {
    let missing = || StartError::Confine("the specification has no process".to_owned());
    spec.process().as_ref().ok_or_else(missing)
}

/// Becomes the program; returns only when that fails.
pub(super) fn run_program(process: &Process) -> StartError {
    match look_up(process) {
        Ok(path) => execute(&path, process),
        Err(error) => error,
    }
}

fn execute(path: &Path, process: &Process) -> StartError {
    let command = path.display().to_string();
    let failed = |errno: Errno| StartError::Exec {
        command: command.clone(),
        reason: errno.desc().to_lowercase(),
        missing: matches!(errno, Errno::ENOENT | Errno::ENOTDIR),
    };
    let strings =
        |texts: &[String]| texts.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>();
    let args = process.args().as_deref().unwrap_or_default();
    let env = process.env().as_deref().unwrap_or_default();
    let (Ok(file), Ok(args), Ok(env)) = (CString::new(command.as_str()), strings(args), strings(env)) else {
        return failed(Errno::EINVAL);
    };
    match nix::unistd::execve(&file, &args, &env) {
        Err(errno) => failed(errno),
        Ok(never) => match never {},
    }
}

fn look_up(process: &Process) -> Result<PathBuf, StartError> {
    let command = process.args().as_ref().and_then(|args| args.first().cloned()).unwrap_or_default();
    if command.contains('/') {
        return check(Path::new(&command)).map(|()| PathBuf::from(&command)).map_err(|errno| refusal(command, errno));
    }
    let env = process.env().as_deref().unwrap_or_default();
    // As in a real environment the first of several entries counts.
    let path = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or_default();
    let directories = path.split(':').filter(|directory| directory.starts_with('/') && !command.is_empty());
    let mut candidates = directories.map(|directory| Path::new(directory).join(&command));
    candidates.find(|candidate| check(candidate).is_ok()).ok_or(StartError::NotInPath { command })
}

fn check(path: &Path) -> Result<(), Errno> {
    let to_errno = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
    let stat = statat(CWD, path, AtFlags::empty()).map_err(to_errno)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::EISDIR);
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::empty()).map_err(to_errno)
}

fn refusal(command: String, errno: Errno) -> StartError {
    match errno {
        Errno::EISDIR => StartError::IsDirectory { command },
        Errno::EACCES | Errno::EPERM => StartError::PermissionDenied { command },
        Errno::ENOENT | Errno::ENOTDIR => StartError::NotFound { command },
        other => StartError::Exec { command, reason: other.desc().to_lowercase(), missing: false },
    }
}
