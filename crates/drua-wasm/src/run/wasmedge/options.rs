//! Socket options by WasmEdge's numbers. Values are what the host has: `int`, `struct linger`, `struct timeval` of 64 bits.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use rustix::net::sockopt as host;
use rustix::net::sockopt::Timeout;

use super::memory::{Errno, Memory};
use super::sockets::{Socket, Sockets};

/// WasmEdge knows one level, `SOL_SOCKET`; wasi-libc's number for it is the other.
const LEVELS: [i32; 2] = [0, 0x7fff_ffff];
/// No option is longer, in bytes.
const MAX_VALUE: u32 = 64;

impl Sockets {
    pub(super) fn get_option(
        &self,
        memory: &mut Memory<'_>,
        fd: i32,
        (level, name): (i32, i32),
        value: u32,
        length: u32,
    ) -> Result<(), Errno> {
        if !LEVELS.contains(&level) {
            return Err(Errno::NOPROTOOPT);
        }
        let bytes = get(self.get(fd)?, name)?;
        let room = memory.read_u32(length)?;
        let written = bytes.len().min(room as usize);
        if written < bytes.len() && written < 4 && name != BIND_TO_DEVICE {
            return Err(Errno::INVAL);
        }
        memory.write(value, &bytes[..written])?;
        memory.write_u32(length, u32::try_from(written).map_err(|_| Errno::INVAL)?)
    }

    pub(super) fn set_option(
        &self,
        memory: &Memory<'_>,
        fd: i32,
        (level, name): (i32, i32),
        value: u32,
        length: u32,
    ) -> Result<(), Errno> {
        if !LEVELS.contains(&level) {
            return Err(Errno::NOPROTOOPT);
        }
        if length > MAX_VALUE {
            return Err(Errno::INVAL);
        }
        set(self.get(fd)?, name, memory.bytes(value, length)?)
    }
}

const REUSE_ADDRESS: i32 = 0;
const TYPE: i32 = 1;
const ERROR: i32 = 2;
const DONT_ROUTE: i32 = 3;
const BROADCAST: i32 = 4;
const SEND_BUFFER: i32 = 5;
const RECEIVE_BUFFER: i32 = 6;
const KEEP_ALIVE: i32 = 7;
const OUT_OF_BAND_INLINE: i32 = 8;
const LINGER: i32 = 9;
const RECEIVE_TIMEOUT: i32 = 11;
const SEND_TIMEOUT: i32 = 12;
const ACCEPTS: i32 = 13;
const BIND_TO_DEVICE: i32 = 14;

fn get(socket: &Socket, name: i32) -> Result<Vec<u8>, Errno> {
    let fd = &socket.fd;
    let number = |value: i32| value.to_le_bytes().to_vec();
    let size = |value: usize| number(i32::try_from(value).unwrap_or(i32::MAX));
    Ok(match name {
        REUSE_ADDRESS => number(host::socket_reuseaddr(fd)?.into()),
        TYPE => number(if socket.stream { 2 } else { 1 }),
        ERROR => number(host::socket_error(fd)?.err().map_or(0, |error| Errno::from(error).0.into())),
        DONT_ROUTE => number(getsockopt(fd, sockopt::DontRoute)?.into()),
        BROADCAST => number(host::socket_broadcast(fd)?.into()),
        SEND_BUFFER => size(host::socket_send_buffer_size(fd)?),
        RECEIVE_BUFFER => size(host::socket_recv_buffer_size(fd)?),
        KEEP_ALIVE => number(host::socket_keepalive(fd)?.into()),
        OUT_OF_BAND_INLINE => number(host::socket_oobinline(fd)?.into()),
        LINGER => {
            let linger = host::socket_linger(fd)?;
            let seconds = linger.map_or(0, |linger| i32::try_from(linger.as_secs()).unwrap_or(i32::MAX));
            [number(linger.is_some().into()), number(seconds)].concat()
        }
        RECEIVE_TIMEOUT => timeval(host::socket_timeout(fd, Timeout::Recv)?),
        SEND_TIMEOUT => timeval(host::socket_timeout(fd, Timeout::Send)?),
        ACCEPTS => number(host::socket_acceptconn(fd)?.into()),
        BIND_TO_DEVICE => getsockopt(fd, sockopt::BindToDevice)?.as_bytes().to_vec(),
        _ => return Err(Errno::NOPROTOOPT),
    })
}

fn set(socket: &Socket, name: i32, value: &[u8]) -> Result<(), Errno> {
    let fd = &socket.fd;
    let number = || value.first_chunk().map(|bytes| i32::from_le_bytes(*bytes)).ok_or(Errno::INVAL);
    let flag = || Ok::<bool, Errno>(number()? != 0);
    let size = || usize::try_from(number()?).map_err(|_| Errno::INVAL);
    match name {
        REUSE_ADDRESS => host::set_socket_reuseaddr(fd, flag()?)?,
        DONT_ROUTE => setsockopt(fd, sockopt::DontRoute, &flag()?)?,
        BROADCAST => host::set_socket_broadcast(fd, flag()?)?,
        SEND_BUFFER => host::set_socket_send_buffer_size(fd, size()?)?,
        RECEIVE_BUFFER => host::set_socket_recv_buffer_size(fd, size()?)?,
        KEEP_ALIVE => host::set_socket_keepalive(fd, flag()?)?,
        OUT_OF_BAND_INLINE => host::set_socket_oobinline(fd, flag()?)?,
        LINGER => {
            let seconds = value.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(i32::from_le_bytes);
            let seconds = u64::try_from(seconds.ok_or(Errno::INVAL)?).map_err(|_| Errno::INVAL)?;
            host::set_socket_linger(fd, flag()?.then(|| Duration::from_secs(seconds)))?;
        }
        RECEIVE_TIMEOUT => host::set_socket_timeout(fd, Timeout::Recv, duration(value)?)?,
        SEND_TIMEOUT => host::set_socket_timeout(fd, Timeout::Send, duration(value)?)?,
        BIND_TO_DEVICE => {
            let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
            setsockopt(fd, sockopt::BindToDevice, &OsString::from_vec(name.to_vec()))?;
        }
        _ => return Err(Errno::NOPROTOOPT),
    }
    Ok(())
}

fn timeval(duration: Option<Duration>) -> Vec<u8> {
    let duration = duration.unwrap_or_default();
    [duration.as_secs().to_le_bytes(), u64::from(duration.subsec_micros()).to_le_bytes()].concat()
}

/// A `struct timeval`; zero is no limit.
fn duration(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let (seconds, rest) = value.split_first_chunk().ok_or(Errno::INVAL)?;
    let (micros, _) = rest.split_first_chunk().ok_or(Errno::INVAL)?;
    let seconds = u64::try_from(i64::from_le_bytes(*seconds)).map_err(|_| Errno::INVAL)?;
    let micros = u32::try_from(i64::from_le_bytes(*micros)).map_err(|_| Errno::INVAL)?;
    if micros >= 1_000_000 {
        return Err(Errno::INVAL);
    }
    let duration = Duration::new(seconds, micros * 1000);
    Ok((!duration.is_zero()).then_some(duration))
}
