//! The template: a shim that is loaded and knows nothing, and forks a shim off for every container.
//!
//! ```text
//!   daemon ── `<id> <bundle>` + the pipe for the answer ──► template ── fork ── shim: start, answer, serve
//! ```
//!
//! Executing the binary takes several milliseconds, and relocating it dirties more than a megabyte. A fork of the template
//! takes a fraction of one, and shares these pages with all other shims. The price: all shims of one daemon have one layout
//! of addresses, as the applications of Android have their zygote's.
//!
//! The template ends with the daemon, whose end of the socket closes. Its shims do not.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use drua_sys::fork::{Fork, ForkError, fork_single_threaded};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::args::{Args, ArgsError};
use crate::bootstrap::{self, StartError};
use crate::reaper::reap_orphans;

/// More than an id, a space and the longest path.
const LONGEST_REQUEST: usize = 8192;

/// The template cannot do its work, or a shim of it could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("cannot listen to the daemon: standard input is not its socket")]
    Listen(#[source] io::Error),
    #[error("a request needs `<id> <bundle>`, and a descriptor for the answer")]
    Request,
    #[error(transparent)]
    Args(#[from] ArgsError),
    #[error("cannot fork a shim")]
    Fork(#[from] ForkError),
    #[error("cannot become the shim of `{bundle}`")]
    Become {
        bundle: String,
        #[source]
        err: io::Error,
    },
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Serves the daemon on standard input until it is gone. Returns in every shim that was forked off, too, when its container
/// is gone. Needs root, and one thread.
pub(crate) fn run(args: &Args) -> Result<(), TemplateError> {
    let children = watch_children().map_err(TemplateError::Listen)?;
    while let Some(request) = next_request(rustix::stdio::stdin(), &children)? {
        let fork = fork_single_threaded();
        match fork {
            Ok(Fork::Parent(_)) => {}
            Ok(Fork::Child) => return become_shim(args, request),
            // The daemon reads this, and starts a shim without us.
            Err(error) => request.refuse(&error),
        }
    }
    Ok(())
}

fn watch_children() -> io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// What the daemon asks for.
struct Request {
    line: String,
    answer: OwnedFd,
}

impl Request {
    fn refuse(&self, error: &ForkError) {
        // A daemon that is gone needs no answer.
        let _ = rustix::io::write(&self.answer, format!("error: {error}\n").as_bytes());
    }
}

/// Waits for a request, and reaps shims meanwhile. `None` when the daemon is gone.
fn next_request(socket: BorrowedFd<'_>, children: &SignalFd) -> Result<Option<Request>, TemplateError> {
    loop {
        let mut ready = [PollFd::new(&socket, PollFlags::IN), PollFd::new(children, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(TemplateError::Listen(errno.into())),
        }
        let (asked, ended) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
        if ended {
            let _ = rustix::io::read(children.as_fd(), &mut [0; 128]);
            reap_orphans(|_| false);
        }
        if asked {
            return receive(socket);
        }
    }
}

fn receive(socket: BorrowedFd<'_>) -> Result<Option<Request>, TemplateError> {
    let mut bytes = [0; LONGEST_REQUEST];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
    let length = received.map_err(|errno| TemplateError::Listen(errno.into()))?.bytes;
    let rights = |message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    };
    let answer = ancillary.drain().filter_map(rights).flatten().next();
    match (std::str::from_utf8(&bytes[..length]), answer) {
        (Ok(""), None) => Ok(None),
        (Ok(line), Some(answer)) => Ok(Some(Request { line: line.to_owned(), answer })),
        _ => Err(TemplateError::Request),
    }
}

/// In the fork: what `start` is told on its command line comes from the request, and what it prints goes into the answer.
fn become_shim(args: &Args, Request { line, answer }: Request) -> Result<(), TemplateError> {
    let redirected = rustix::stdio::dup2_stdout(&answer).and_then(|()| rustix::stdio::dup2_stderr(&answer));
    redirected.map_err(|errno| TemplateError::Become { bundle: line.clone(), err: errno.into() })?;
    drop(answer);
    let args = args.clone().for_request(&line)?;
    let bundle = args.bundle.as_deref().unwrap_or(Path::new("/"));
    let moved = std::env::set_current_dir(bundle);
    moved.map_err(|err| TemplateError::Become { bundle: bundle.display().to_string(), err })?;
    Ok(bootstrap::start_here(&args)?)
}
