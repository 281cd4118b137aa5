//! A pseudo-terminal of a container's own devpts: made inside, used outside.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use drua_sys::root_fs::Root;
use oci_spec::runtime::Process;
use rustix::fs::{OFlags, fstat, fstatfs, makedev};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// `statfs`'s name for devpts (linux/magic.h).
const DEVPTS: i64 = 0x1cd1;
const NAME: &str = "/dev/pts/ptmx";

/// The inner end: becomes the terminal.
#[derive(Debug)]
pub(super) struct Inside {
    socket: OwnedFd,
    size: Option<Winsize>,
}

/// The outer end: gets the master.
#[derive(Debug)]
pub(super) struct Outside(OwnedFd);

/// Both ends of the way that the master takes.
pub(super) fn channel(process: &Process) -> io::Result<(Inside, Outside)> {
    let (inner, outer) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let clamp = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let size = process.console_size().map(|size| Winsize {
        ws_row: clamp(size.height()),
        ws_col: clamp(size.width()),
        ws_xpixel: 0,
        ws_ypixel: 0,
    });
    Ok((Inside { socket: inner, size }, Outside(outer)))
}

impl Inside {
    /// In the container: makes a terminal, hands its master out, and makes the other side the controlling terminal of the
    /// calling process, which leads a session. Returns that side.
    pub(super) fn open(self) -> io::Result<OwnedFd> {
        let master = open_master()?;
        unlockpt(&master)?;
        // Without a path, which could mean another terminal (CVE-2025-52565).
        let terminal = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        if let Some(size) = self.size {
            tcsetwinsize(&terminal, size)?;
        }
        self.send(master.as_fd())?;
        rustix::process::ioctl_tiocsctty(&terminal)?;
        Ok(terminal)
    }

    fn send(&self, master: BorrowedFd<'_>) -> io::Result<()> {
        let masters = [master];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&masters));
        sendmsg(&self.socket, &[IoSlice::new(b"t")], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

impl Outside {
    /// Waits for the master; `None` when the other side has failed, and says why elsewhere.
    pub(super) fn receive(self) -> io::Result<Option<OwnedFd>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        recvmsg(&self.0, &mut [IoSliceMut::new(&mut [0])], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        Ok(control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        }))
    }
}

/// The container's files are not to be trusted: what is opened must be a master of a devpts.
fn open_master() -> io::Result<OwnedFd> {
    let master = Root::open(Path::new("/"))?.open_no_links(Path::new(NAME), OFlags::RDWR | OFlags::NOCTTY)?;
    if fstatfs(&master)?.f_type != DEVPTS || fstat(&master)?.st_rdev != makedev(5, 2) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("`{NAME}` of the container is no terminal")));
    }
    Ok(master)
}
