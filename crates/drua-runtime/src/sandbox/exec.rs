//! The workload of a Linux container: look the command up and execute it.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use oci_spec::runtime::Spec;
use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, statat};

use super::error::StartError;
use super::workload::{StartSignal, Workload};

/// Executes the specification's `process.args`, with `PATH` looked up as Go's `exec.LookPath` does, which is what runc
/// uses: the error texts are known to Docker's clients.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecWorkload;

impl Workload for ExecWorkload {
    fn validate(&self, spec: &Spec) -> Result<(), StartError> {
        look_up(spec).map(|_| ())
    }

    fn run(&self, spec: &Spec, _signal: &mut StartSignal) -> StartError {
        // A successful execve closes the signal's pipe.
        match look_up(spec) {
            Ok(path) => execute(&path, spec),
            Err(error) => error,
        }
    }
}

fn execute(path: &Path, spec: &Spec) -> StartError {
    let command = path.display().to_string();
    let failed = |errno: Errno| StartError::Exec {
        command: command.clone(),
        reason: errno.desc().to_lowercase(),
        missing: matches!(errno, Errno::ENOENT | Errno::ENOTDIR),
    };
    let strings =
        |texts: &[String]| texts.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>();
    let process = spec.process().as_ref();
    let args = process.and_then(|process| process.args().as_deref()).unwrap_or_default();
    let env = process.and_then(|process| process.env().as_deref()).unwrap_or_default();
    let (Ok(file), Ok(args), Ok(env)) = (CString::new(command.as_str()), strings(args), strings(env)) else {
        return failed(Errno::EINVAL);
    };
    match nix::unistd::execve(&file, &args, &env) {
        Err(errno) => failed(errno),
        Ok(never) => match never {},
    }
}

fn look_up(spec: &Spec) -> Result<PathBuf, StartError> {
    let process = spec.process().as_ref();
    let command = process.and_then(|process| process.args().as_ref()?.first().cloned()).unwrap_or_default();
    if command.contains('/') {
        return check(Path::new(&command)).map(|()| PathBuf::from(&command)).map_err(|errno| refusal(command, errno));
    }
    let env = process.and_then(|process| process.env().as_deref()).unwrap_or_default();
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
