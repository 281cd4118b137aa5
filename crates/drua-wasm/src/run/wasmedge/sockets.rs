//! The guest's sockets: a descriptor table of our own over real sockets of the container's network namespace.
//!
//! Their numbers begin far above those of files, which wasmtime-wasi hands out. A socket blocks the guest's thread unless
//! the guest made it non-blocking; signals are read by another thread, so that a guest that waits still stops.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType};

use super::epoll::Epoll;
use super::memory::{Errno, INET4, INET6, Memory, Piece};

/// The first number of a socket.
const FIRST: u32 = 1 << 24;
/// How many sockets one guest may have; the process's own limit of open files is usually lower.
const MAX_SOCKETS: usize = 1 << 20;
/// What one call moves at most when its buffers are in pieces, in bytes.
const MAX_GATHERED: usize = 1 << 20;

const DATAGRAM: i32 = 1;
const STREAM: i32 = 2;
/// `__WASI_FDFLAGS_NONBLOCK`.
pub(super) const NONBLOCK: u16 = 1 << 2;

/// All sockets of a guest.
#[derive(Debug)]
pub(in crate::run) struct Sockets {
    slots: Vec<Option<Socket>>,
    free: Vec<u32>,
    pub(super) epoll: Option<Epoll>,
    /// The zero of the guest's monotonic clock.
    pub(in crate::run) zero: Instant,
}

/// One socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    family: AddressFamily,
    pub(super) stream: bool,
    nonblocking: bool,
}

impl Sockets {
    pub(in crate::run) fn new(zero: Instant) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), epoll: None, zero }
    }

    /// Whether a number is one of ours, open or not.
    pub(super) fn owns(fd: i32) -> bool {
        fd.cast_unsigned() >= FIRST && fd >= 0
    }

    pub(super) fn get(&self, fd: i32) -> Result<&Socket, Errno> {
        self.slots.get(slot(fd)?).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    fn get_mut(&mut self, fd: i32) -> Result<&mut Socket, Errno> {
        self.slots.get_mut(slot(fd)?).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    fn insert(&mut self, socket: Socket) -> Result<u32, Errno> {
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Some(socket);
            return Ok(FIRST + index);
        }
        if self.slots.len() >= MAX_SOCKETS {
            return Err(Errno::MFILE);
        }
        let index = u32::try_from(self.slots.len()).map_err(|_| Errno::MFILE)?;
        self.slots.push(Some(socket));
        Ok(FIRST + index)
    }

    pub(super) fn close(&mut self, fd: i32) -> Result<(), Errno> {
        let index = slot(fd)?;
        let socket = self.slots.get_mut(index).and_then(Option::take).ok_or(Errno::BADF)?;
        self.free.push(u32::try_from(index).map_err(|_| Errno::BADF)?);
        if let Some(epoll) = &mut self.epoll {
            epoll.forget(fd);
        }
        drop(socket);
        Ok(())
    }

    pub(super) fn open(&mut self, memory: &mut Memory<'_>, family: i32, kind: i32, out: u32) -> Result<(), Errno> {
        let family = match u16::try_from(family) {
            Ok(INET4 | 0) => AddressFamily::INET,
            Ok(INET6) => AddressFamily::INET6,
            _ => return Err(Errno::AFNOSUPPORT),
        };
        let (host, stream) = match kind {
            DATAGRAM => (SocketType::DGRAM, false),
            STREAM | 0 => (SocketType::STREAM, true),
            _ => return Err(Errno::INVAL),
        };
        memory.write_u32(out, 0)?;
        let fd = rustix::net::socket_with(family, host, SocketFlags::CLOEXEC, None)?;
        let fd = self.insert(Socket { fd, family, stream, nonblocking: false })?;
        memory.write_u32(out, fd)
    }

    /// Where a call with an address and a port goes; an IPv4 address fits an IPv6 socket, too.
    pub(super) fn address(&self, fd: i32, address: IpAddr, port: u32) -> Result<SocketAddr, Errno> {
        let port = u16::try_from(port).map_err(|_| Errno::INVAL)?;
        let address = match (self.get(fd)?.family, address) {
            (AddressFamily::INET6, IpAddr::V4(address)) if !address.is_unspecified() => {
                IpAddr::V6(address.to_ipv6_mapped())
            }
            (AddressFamily::INET, IpAddr::V6(_)) => return Err(Errno::AFNOSUPPORT),
            (_, address) => address,
        };
        Ok(SocketAddr::new(address, port))
    }

    pub(super) fn bind(&self, fd: i32, address: SocketAddr) -> Result<(), Errno> {
        Ok(rustix::net::bind(&self.get(fd)?.fd, &address)?)
    }

    pub(super) fn listen(&self, fd: i32, backlog: i32) -> Result<(), Errno> {
        Ok(rustix::net::listen(&self.get(fd)?.fd, backlog)?)
    }

    pub(super) fn accept(&mut self, memory: &mut Memory<'_>, fd: i32, flags: i32, out: u32) -> Result<(), Errno> {
        memory.write_u32(out, 0)?;
        let listener = self.get(fd)?;
        let nonblocking = flags & i32::from(NONBLOCK) != 0;
        let mut wanted = SocketFlags::CLOEXEC;
        wanted.set(SocketFlags::NONBLOCK, nonblocking);
        let accepted = rustix::net::accept_with(&listener.fd, wanted)?;
        let socket = Socket { fd: accepted, family: listener.family, stream: listener.stream, nonblocking };
        let fd = self.insert(socket)?;
        memory.write_u32(out, fd)
    }

    pub(super) fn connect(&self, fd: i32, address: SocketAddr) -> Result<(), Errno> {
        Ok(rustix::net::connect(&self.get(fd)?.fd, &address)?)
    }

    pub(super) fn shutdown(&self, fd: i32, how: i32) -> Result<(), Errno> {
        let how = match how {
            1 => Shutdown::Read,
            2 => Shutdown::Write,
            3 => Shutdown::Both,
            _ => return Err(Errno::INVAL),
        };
        Ok(rustix::net::shutdown(&self.get(fd)?.fd, how)?)
    }

    /// Receives into pieces of memory: how many bytes, whether a datagram lost some, and who sent it.
    pub(super) fn receive(
        &self,
        memory: &mut Memory<'_>,
        fd: i32,
        pieces: &[Piece],
        flags: i32,
    ) -> Result<Received, Errno> {
        let socket = self.get(fd)?;
        let mut host = RecvFlags::empty();
        host.set(RecvFlags::PEEK, flags & 1 != 0);
        host.set(RecvFlags::WAITALL, flags & 2 != 0);
        // The length of a whole datagram is how we learn that some of it was lost.
        host.set(RecvFlags::TRUNC, !socket.stream);
        let (length, whole, from) = if let [piece] = pieces {
            rustix::net::recvfrom(&socket.fd, memory.bytes_mut(piece.at, piece.length)?, host)?
        } else {
            let wanted: usize = pieces.iter().map(|piece| piece.length as usize).sum();
            let mut buffer = vec![0; wanted.min(MAX_GATHERED)];
            let (length, whole, from) = rustix::net::recvfrom(&socket.fd, buffer.as_mut_slice(), host)?;
            let mut rest = &buffer[..length];
            for piece in pieces {
                let (now, later) = rest.split_at(rest.len().min(piece.length as usize));
                memory.write(piece.at, now)?;
                rest = later;
            }
            (length, whole, from)
        };
        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
        Ok(Received { length, truncated: !socket.stream && whole > length, from })
    }

    /// Sends pieces of memory: how many bytes went.
    pub(super) fn send(
        &self,
        memory: &Memory<'_>,
        fd: i32,
        pieces: &[Piece],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        let socket = self.get(fd)?;
        let gathered;
        let bytes = if let [piece] = pieces {
            memory.bytes(piece.at, piece.length)?
        } else {
            gathered = gather(memory, pieces, socket.stream)?;
            &gathered
        };
        Ok(match to {
            Some(to) => rustix::net::sendto(&socket.fd, bytes, SendFlags::NOSIGNAL, &to)?,
            None => rustix::net::send(&socket.fd, bytes, SendFlags::NOSIGNAL)?,
        })
    }

    pub(super) fn local(&self, fd: i32) -> Result<SocketAddr, Errno> {
        SocketAddr::try_from(rustix::net::getsockname(&self.get(fd)?.fd)?).map_err(|_| Errno::AFNOSUPPORT)
    }

    pub(super) fn peer(&self, fd: i32) -> Result<SocketAddr, Errno> {
        let peer = rustix::net::getpeername(&self.get(fd)?.fd)?.ok_or(Errno::NOTCONN)?;
        SocketAddr::try_from(peer).map_err(|_| Errno::AFNOSUPPORT)
    }

    pub(super) fn set_flags(&mut self, fd: i32, flags: i32) -> Result<(), Errno> {
        let socket = self.get_mut(fd)?;
        let nonblocking = flags & i32::from(NONBLOCK) != 0;
        rustix::io::ioctl_fionbio(&socket.fd, nonblocking)?;
        socket.nonblocking = nonblocking;
        Ok(())
    }

    /// `__wasi_fdstat_t`.
    pub(super) fn write_fdstat(&self, memory: &mut Memory<'_>, fd: i32, out: u32) -> Result<(), Errno> {
        let socket = self.get(fd)?;
        let mut stat = [0u8; 24];
        stat[0] = socket.file_type();
        let flags = if socket.nonblocking { NONBLOCK } else { 0 };
        stat[2..4].copy_from_slice(&flags.to_le_bytes());
        stat[8..16].copy_from_slice(&SOCKET_RIGHTS.to_le_bytes());
        memory.write(out, &stat)
    }

    /// `__wasi_filestat_t`.
    pub(super) fn write_filestat(&self, memory: &mut Memory<'_>, fd: i32, out: u32) -> Result<(), Errno> {
        let mut stat = [0u8; 64];
        stat[16] = self.get(fd)?.file_type();
        memory.write(out, &stat)
    }
}

/// Everything that a socket can: read, write, flags, poll, shutdown, accept, and WasmEdge's own.
const SOCKET_RIGHTS: u64 = (1 << 1) | (1 << 3) | (1 << 6) | (1 << 21) | (1 << 27) | (0xff << 28);

impl Socket {
    fn file_type(&self) -> u8 {
        if self.stream { 6 } else { 5 }
    }
}

/// What [`Sockets::receive`] got.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) length: usize,
    pub(super) truncated: bool,
    pub(super) from: Option<SocketAddr>,
}

/// The pieces as one buffer. A stream may send less than was asked for; a datagram goes whole or not at all.
fn gather(memory: &Memory<'_>, pieces: &[Piece], stream: bool) -> Result<Vec<u8>, Errno> {
    let mut gathered = Vec::new();
    for piece in pieces {
        let bytes = memory.bytes(piece.at, piece.length)?;
        let room = MAX_GATHERED - gathered.len();
        if bytes.len() > room && !stream {
            return Err(Errno::MSGSIZE);
        }
        gathered.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    Ok(gathered)
}

fn slot(fd: i32) -> Result<usize, Errno> {
    if !Sockets::owns(fd) {
        // A file, a directory or stdio, or nothing at all.
        return Err(Errno::NOTSOCK);
    }
    Ok((fd.cast_unsigned() - FIRST) as usize)
}
