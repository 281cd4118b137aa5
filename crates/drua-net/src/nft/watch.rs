//! Notices when others take something out of our table: `nft flush ruleset`, a firewall that reloads.
//!
//! The kernel tells every change of every table to whoever listens to its group (linux/netfilter/nfnetlink.h), together
//! with the socket that asked for it; what the daemon itself changes is passed over. So an idle host costs nothing.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{Builder, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::netlink::{attributes, notifications};

/// `NFNLGRP_NFTABLES`, as a bit.
const GROUP: u32 = 1 << (7 - 1);
/// `NFT_MSG_DELTABLE`, `DELCHAIN`, `DELRULE`, `DELSET`, `DELSETELEM`.
const DELETIONS: [u16; 5] = [2, 5, 8, 11, 14];
const SUBSYSTEM: u16 = 10;
/// The first attribute of each of these messages is the table's name.
const TABLE: u16 = 1;

/// Owns the thread; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Calls `damaged` whenever a socket other than `ours` took something out of `table`, in the network namespace of the
    /// calling thread.
    pub(crate) fn start(table: &str, ours: u32, damaged: impl Fn() + Send + 'static) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(NETFILTER))?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUP))?;
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC)?;
        let name = [table.as_bytes(), b"\0"].concat();
        let run = move || {
            let mut buffer = vec![0; 64 << 10];
            while wait(&socket, &stopped) {
                let touched = match recv(&socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                    Ok((len, _)) => notifications(&buffer[..len]).any(|message| {
                        message.sender != ours
                            && message.kind >> 8 == SUBSYSTEM
                            && DELETIONS.contains(&(message.kind & 0xff))
                            && attributes(message.body.get(4..).unwrap_or_default()).next() == Some((TABLE, &name))
                    }),
                    // More changes than the socket holds: ours may be among those that were lost.
                    Err(Errno::NOBUFS) => true,
                    Err(_) => false,
                };
                if touched {
                    damaged();
                }
            }
        };
        let thread = Builder::new().name("net-firewall".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits for a message; false when it is time to end.
fn wait(socket: &OwnedFd, stopped: &OwnedFd) -> bool {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Err(Errno::INTR) => {}
            Ok(_) if fds[1].revents().is_empty() => return true,
            _ => return false,
        }
    }
}
