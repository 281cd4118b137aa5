//! Sending requests and collecting answers.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{
    Timeout, set_socket_send_buffer_size, set_socket_send_buffer_size_force, set_socket_timeout,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, getsockname, recv, send, socket_with,
};

use super::NetlinkError;
use super::wire::{Message, Received, flags, messages, u32_at};

const ERROR: u16 = 2;
const DONE: u16 = 3;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// Larger than any single answer; the kernel fills dumps up to 32 KiB.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// A batch must fit in the socket's send buffer as one datagram.
const SEND_BUFFER: usize = 8 * 1024 * 1024;
/// Answers are there when `send` returns; this only bounds a kernel that disagrees.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Links, addresses, routes.
    Route,
    /// nftables.
    Netfilter,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Netfilter => "netfilter",
        }
    }
}

/// A message and the words for what it attempts, in the form that follows "failed to".
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) attempted: String,
    pub(crate) message: Message,
}

/// A netlink socket in the namespace where it was opened.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open(family: Family) -> Result<Self, NetlinkError> {
        let open = || -> rustix::io::Result<OwnedFd> {
            let protocol = match family {
                // NETLINK_ROUTE is protocol 0, which is also what no protocol means.
                Family::Route => None,
                Family::Netfilter => Some(NETFILTER),
            };
            let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
            bind(&fd, &SocketAddrNetlink::new(0, 0))?;
            set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
            if family == Family::Netfilter {
                // Without CAP_NET_ADMIN over the host, what the host allows has to do.
                set_socket_send_buffer_size_force(&fd, SEND_BUFFER)
                    .or_else(|_| set_socket_send_buffer_size(&fd, SEND_BUFFER))?;
            }
            Ok(fd)
        };
        open()
            .map(|fd| Self { fd, sequence: 0 })
            .map_err(|errno| NetlinkError::Open { family: family.name(), source: errno.into() })
    }

    /// The socket's number, which names it in notifications.
    pub(crate) fn port(&self) -> io::Result<u32> {
        Ok(SocketAddrNetlink::try_from(getsockname(&self.fd)?)?.pid())
    }

    /// Sends independent requests in one datagram; all are tried, and the first refusal is the error.
    pub(crate) fn apply(&mut self, requests: Vec<Request>) -> Result<(), NetlinkError> {
        if requests.is_empty() {
            return Ok(());
        }
        let first = self.sequence.wrapping_add(1);
        let mut attempted = Vec::with_capacity(requests.len());
        let mut bytes = Vec::new();
        for request in requests {
            bytes.extend(request.message.finish(self.next_sequence(), flags::ACK));
            attempted.push(request.attempted);
        }
        self.send(&bytes, &attempted[0])?;
        let mut refused = None;
        let mut missing = attempted.len();
        while missing > 0 {
            self.receive(&attempted[0], RecvFlags::empty(), |message| {
                let index = message.sequence.wrapping_sub(first) as usize;
                let Some(attempted) = attempted.get(index).filter(|_| message.kind == ERROR) else { return };
                missing -= 1;
                if let Some(source) = errno(message.body) {
                    refused.get_or_insert(NetlinkError::Refused { attempted: attempted.clone(), source });
                }
            })?;
        }
        refused.map_or(Ok(()), Err)
    }

    /// Sends nftables requests as one transaction: all of them take effect, or none.
    pub(crate) fn transact(&mut self, requests: Vec<Request>) -> Result<(), NetlinkError> {
        /// `nfgenmsg` whose resource is the subsystem that the batch is for.
        const NFTABLES: [u8; 4] = [0, 0, 0, 10];
        let Some(last) = requests.len().checked_sub(1) else { return Ok(()) };
        let begin = self.next_sequence();
        let mut attempted = Vec::with_capacity(requests.len());
        let mut bytes = Message::new(BATCH_BEGIN, 0).fixed(&NFTABLES).finish(begin, 0);
        for (index, request) in requests.into_iter().enumerate() {
            // Success is confirmed once, by the last request; refusals are always told.
            let ack = if index == last { flags::ACK } else { 0 };
            bytes.extend(request.message.finish(self.next_sequence(), ack));
            attempted.push(request.attempted);
        }
        bytes.extend(Message::new(BATCH_END, 0).fixed(&NFTABLES).finish(self.next_sequence(), 0));
        self.send(&bytes, &attempted[0])?;

        let mut refused = None;
        let mut confirmed = false;
        while !confirmed && refused.is_none() {
            self.receive(&attempted[0], RecvFlags::empty(), |message| {
                if message.kind != ERROR {
                    return;
                }
                // Sequence `begin` itself stands for the commit as a whole.
                let index = (message.sequence.wrapping_sub(begin) as usize).saturating_sub(1);
                let Some(attempted) = attempted.get(index) else { return };
                match errno(message.body) {
                    Some(source) => {
                        refused.get_or_insert(NetlinkError::Refused { attempted: attempted.clone(), source });
                    }
                    None => confirmed = true,
                }
            })?;
        }
        self.drain();
        refused.map_or(Ok(()), Err)
    }

    /// Asks for one object or for a dump, and returns every answer's type and body.
    pub(crate) fn query(&mut self, request: Request) -> Result<Vec<(u16, Vec<u8>)>, NetlinkError> {
        let sequence = self.next_sequence();
        let Request { attempted, message } = request;
        self.send(&message.finish(sequence, 0), &attempted)?;
        let mut answers = Vec::new();
        let mut refused = None;
        let mut done = false;
        while !done {
            self.receive(&attempted, RecvFlags::empty(), |message| {
                if message.sequence != sequence {
                    return;
                }
                match message.kind {
                    ERROR | DONE => {
                        done = true;
                        refused = errno(message.body);
                    }
                    kind => {
                        answers.push((kind, message.body.to_vec()));
                        done |= message.flags & flags::MULTI == 0;
                    }
                }
            })?;
        }
        match refused {
            Some(source) => Err(NetlinkError::Refused { attempted, source }),
            None => Ok(answers),
        }
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&mut self, bytes: &[u8], attempted: &str) -> Result<(), NetlinkError> {
        // What an earlier, failed exchange left behind must not be taken for an answer to this one.
        self.drain();
        send(&self.fd, bytes, SendFlags::empty())
            .map(drop)
            .map_err(|errno| NetlinkError::Talk { attempted: attempted.to_owned(), source: errno.into() })
    }

    fn receive(
        &self,
        attempted: &str,
        flags: RecvFlags,
        mut each: impl FnMut(&Received<'_>),
    ) -> Result<(), NetlinkError> {
        let mut buffer = vec![0; RECEIVE_BUFFER];
        let len = loop {
            match recv(&self.fd, &mut buffer[..], flags) {
                Ok((len, _)) => break len,
                // ENOBUFS says once that some of very many refusals were lost; the first of them is still in the queue.
                Err(Errno::INTR | Errno::NOBUFS) => {}
                Err(errno) => {
                    return Err(NetlinkError::Talk { attempted: attempted.to_owned(), source: errno.into() });
                }
            }
        };
        let mut count = 0;
        for message in messages(&buffer[..len]) {
            count += 1;
            each(&message);
        }
        if count == 0 {
            return Err(NetlinkError::Malformed { attempted: attempted.to_owned() });
        }
        Ok(())
    }

    fn drain(&self) {
        while self.receive("drain", RecvFlags::DONTWAIT, |_| ()).is_ok() {}
    }
}

/// The errno of an `nlmsgerr`, or of the code at the end of a dump.
fn errno(body: &[u8]) -> Option<io::Error> {
    let code = u32_at(body, 0)? as i32;
    (code != 0).then(|| io::Error::from_raw_os_error(code.saturating_neg()))
}
