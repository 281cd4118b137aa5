//! `poll_oneoff` over sockets, and what both kinds of polling share: subscriptions, deadlines and events.
//!
//! Only a call with a socket among its subscriptions comes here; every other one is wasmtime-wasi's.

use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno as Linux;

use super::memory::{Errno, Memory};
use super::sockets::Sockets;

const SUBSCRIPTION: u32 = 48;
const EVENT: u32 = 32;
const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;
const HANGUP: u16 = 1;
/// More subscriptions than this are refused.
const MAX_SUBSCRIPTIONS: u32 = 1 << 20;

/// What a guest waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Deadline(Instant),
    Read(i32),
    Write(i32),
}

/// One subscription.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscription {
    pub(super) userdata: u64,
    pub(super) wanted: Wanted,
}

/// One event for the guest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) userdata: u64,
    pub(super) errno: u16,
    pub(super) wanted: Wanted,
    pub(super) bytes: u64,
    pub(super) hangup: bool,
}

/// The subscriptions of a call, or `None` when no socket is among them.
pub(super) fn subscriptions(
    sockets: &Sockets,
    memory: &Memory<'_>,
    at: u32,
    count: u32,
) -> Result<Option<Vec<Subscription>>, Errno> {
    if count > MAX_SUBSCRIPTIONS {
        return Err(Errno::INVAL);
    }
    memory.bytes(at, count * SUBSCRIPTION)?;
    let now = Instant::now();
    let mut list = Vec::with_capacity(count as usize);
    let mut any = false;
    for index in 0..count {
        let at = at + index * SUBSCRIPTION;
        let wanted = match memory.read_u8(at + 8)? {
            CLOCK => Wanted::Deadline(deadline(sockets, memory, at, now)?),
            FD_READ => Wanted::Read(memory.read_u32(at + 16)?.cast_signed()),
            FD_WRITE => Wanted::Write(memory.read_u32(at + 16)?.cast_signed()),
            _ => return Err(Errno::INVAL),
        };
        any |= matches!(wanted, Wanted::Read(fd) | Wanted::Write(fd) if Sockets::owns(fd));
        list.push(Subscription { userdata: memory.read_u64(at)?, wanted });
    }
    Ok(any.then_some(list))
}

fn deadline(sockets: &Sockets, memory: &Memory<'_>, at: u32, now: Instant) -> Result<Instant, Errno> {
    // Ten years are for ever, and no sum of them overflows.
    const EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    let timeout = Duration::from_nanos(memory.read_u64(at + 24)?);
    let absolute = memory.read_u16(at + 40)? & 1 != 0;
    let left = match (absolute, memory.read_u32(at + 16)?) {
        (false, _) => timeout,
        (true, 0) => timeout.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
        (true, 1) => timeout.saturating_sub(now.duration_since(sockets.zero)),
        (true, _) => return Err(Errno::NOTSUP),
    };
    Ok(now + left.min(EVER))
}

/// How long to wait for the first deadline.
pub(super) fn patience(subscriptions: &[Subscription]) -> Option<Timespec> {
    let first = subscriptions.iter().filter_map(|subscription| match subscription.wanted {
        Wanted::Deadline(deadline) => Some(deadline),
        Wanted::Read(_) | Wanted::Write(_) => None,
    });
    first.min().map(|first| {
        let left = first.saturating_duration_since(Instant::now());
        Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
    })
}

/// The deadlines that have passed.
pub(super) fn passed(subscriptions: &[Subscription]) -> impl Iterator<Item = Event> {
    let now = Instant::now();
    subscriptions.iter().filter_map(move |&Subscription { userdata, wanted }| match wanted {
        Wanted::Deadline(deadline) if deadline <= now => {
            Some(Event { userdata, errno: 0, wanted, bytes: 0, hangup: false })
        }
        _ => None,
    })
}

pub(super) fn write_events(memory: &mut Memory<'_>, events: &[Event], at: u32, count: u32) -> Result<(), Errno> {
    let mut place = at;
    for event in events {
        let mut bytes = [0u8; EVENT as usize];
        bytes[..8].copy_from_slice(&event.userdata.to_le_bytes());
        bytes[8..10].copy_from_slice(&event.errno.to_le_bytes());
        bytes[10] = match event.wanted {
            Wanted::Deadline(_) => CLOCK,
            Wanted::Read(_) => FD_READ,
            Wanted::Write(_) => FD_WRITE,
        };
        bytes[16..24].copy_from_slice(&event.bytes.to_le_bytes());
        bytes[24..26].copy_from_slice(&(if event.hangup { HANGUP } else { 0 }).to_le_bytes());
        memory.write(place, &bytes)?;
        place = place.checked_add(EVENT).ok_or(Errno::FAULT)?;
    }
    memory.write_u32(count, u32::try_from(events.len()).map_err(|_| Errno::INVAL)?)
}

/// Waits until something that is subscribed to happens, by `ppoll`.
pub(super) fn wait(sockets: &Sockets, subscriptions: &[Subscription]) -> Result<Vec<Event>, Errno> {
    let stdio = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let mut events = Vec::new();
    let (mut polled, mut of) = (Vec::new(), Vec::new());
    for &Subscription { userdata, wanted } in subscriptions {
        let (fd, flags) = match wanted {
            Wanted::Deadline(_) => continue,
            Wanted::Read(fd) => (fd, PollFlags::IN),
            Wanted::Write(fd) => (fd, PollFlags::OUT),
        };
        if Sockets::owns(fd) {
            match sockets.get(fd) {
                Ok(socket) => polled.push(PollFd::from_borrowed_fd(socket.fd.as_fd(), flags)),
                Err(Errno(errno)) => {
                    events.push(Event { userdata, errno, wanted, bytes: 0, hangup: false });
                    continue;
                }
            }
        } else if let Some(fd) = usize::try_from(fd).ok().and_then(|fd| stdio.get(fd)) {
            polled.push(PollFd::from_borrowed_fd(*fd, flags));
        } else {
            // A file is always ready.
            events.push(Event { userdata, errno: 0, wanted, bytes: 0, hangup: false });
            continue;
        }
        of.push((userdata, wanted));
    }
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        let patience = if events.is_empty() { patience(subscriptions) } else { Some(at_once) };
        match rustix::event::poll(&mut polled, patience.as_ref()) {
            Ok(_) => break,
            Err(Linux::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for (fd, &(userdata, wanted)) in polled.iter().zip(&of) {
        if !fd.revents().is_empty() {
            events.push(ready(userdata, wanted, fd.revents(), fd.as_fd()));
        }
    }
    events.extend(passed(subscriptions));
    Ok(events)
}

fn ready(userdata: u64, wanted: Wanted, flags: PollFlags, fd: impl AsFd) -> Event {
    let errno = if flags.contains(PollFlags::NVAL) { Errno::BADF.0 } else { 0 };
    // What is wrong with a socket stays in it, for SO_ERROR or the next call to say.
    let bytes = match wanted {
        Wanted::Read(_) => rustix::io::ioctl_fionread(fd).unwrap_or(0),
        Wanted::Write(_) | Wanted::Deadline(_) => 0,
    };
    Event { userdata, errno, wanted, bytes, hangup: flags.contains(PollFlags::HUP) }
}
