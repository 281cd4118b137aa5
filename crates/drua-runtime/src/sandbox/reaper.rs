//! drua's own PID 1 for `--init`: starts the program as its child, passes signals on, reaps orphans.

use drua_sys::child::exit_now;
use drua_sys::fork::{Fork, fork_single_threaded};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, setpgid, tcsetpgrp};
use oci_spec::runtime::Spec;

use super::error::StartError;
use super::exec::ExecWorkload;
use super::workload::{StartSignal, Workload};

/// Runs the specification's program as the child of a small init, as `docker run --init` does with tini.
///
/// PID 1 has no default signal actions and inherits every orphan; most programs are made for neither.
#[derive(Debug, Clone, Copy)]
pub struct InitWorkload;

impl Workload for InitWorkload {
    fn validate(&self, spec: &Spec) -> Result<(), StartError> {
        ExecWorkload.validate(spec)
    }

    fn run(&self, spec: &Spec, signal: &mut StartSignal) -> StartError {
        // Blocked signals wait for the init instead of being ignored by the kernel for want of a handler.
        let _ = SigSet::all().thread_block();
        match fork_single_threaded() {
            Ok(Fork::Child) => {
                lead_group();
                let _ = SigSet::empty().thread_set_mask();
                ExecWorkload.run(spec, signal)
            }
            Ok(Fork::Parent(program)) => {
                // The child holds the other end until its `execve`; here it would only keep `start` waiting.
                signal.started();
                exit_now(serve(program))
            }
            Err(error) => StartError::Workload(drua_types::error_chain(&error)),
        }
    }
}

/// Makes the program the terminal's foreground group, so that Ctrl-C reaches it once and not also through the init.
fn lead_group() {
    // Each fails only where there is no terminal to lead.
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    let _ = tcsetpgrp(std::io::stdin(), getpid());
}

/// Waits for signals until the program ends; returns its exit code.
fn serve(program: Pid) -> i32 {
    loop {
        match SigSet::all().wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap(program) {
                    return code;
                }
            }
            // The program may just have ended: its SIGCHLD is next.
            Ok(other) => drop(kill(program, other)),
            // Real-time signals, which have no name here, are not passed on.
            Err(_) => {}
        }
    }
}

/// Reaps whoever has ended; the program's exit code when it was among them.
fn reap(program: Pid) -> Option<i32> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == program => return Some(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => return Some(128 + signal as i32),
            Ok(WaitStatus::StillAlive) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}
