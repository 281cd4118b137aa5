//! `epoll_oneoff`: the same call as `poll_oneoff`, but edge-triggered and remembered from one call to the next.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno as Linux;

use super::memory::Errno;
use super::poll::{Event, Subscription, Wanted, passed, patience};
use super::sockets::Sockets;

/// How many events one call returns at most; the others come with the next.
const BATCH: usize = 1024;

/// The kernel's list, and what we know to be in it.
#[derive(Debug)]
pub(super) struct Epoll {
    fd: OwnedFd,
    interests: HashMap<i32, Interest>,
}

/// What the guest waits for on one socket, with its own names for the two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Interest {
    read: Option<u64>,
    write: Option<u64>,
}

impl Interest {
    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::ET;
        flags.set(EventFlags::IN | EventFlags::RDHUP, self.read.is_some());
        flags.set(EventFlags::OUT, self.write.is_some());
        flags
    }
}

impl Epoll {
    fn new() -> Result<Self, Errno> {
        Ok(Self { fd: epoll::create(CreateFlags::CLOEXEC)?, interests: HashMap::new() })
    }

    /// A socket is closed; the kernel forgets it by itself.
    pub(super) fn forget(&mut self, fd: i32) {
        self.interests.remove(&fd);
    }
}

/// Waits like `epoll_wait`. Every subscription is a socket or a deadline.
pub(super) fn wait(sockets: &mut Sockets, subscriptions: &[Subscription]) -> Result<Vec<Event>, Errno> {
    let mut epoll = match sockets.epoll.take() {
        Some(epoll) => epoll,
        None => Epoll::new()?,
    };
    let result = update(&mut epoll, sockets, subscriptions).and_then(|mut events| {
        let patience =
            if events.is_empty() { patience(subscriptions) } else { Some(Timespec { tv_sec: 0, tv_nsec: 0 }) };
        events.extend(collect(&epoll, patience)?);
        events.extend(passed(subscriptions));
        Ok(events)
    });
    sockets.epoll = Some(epoll);
    result
}

/// Tells the kernel what changed since the last call, and answers for sockets that are not there.
fn update(epoll: &mut Epoll, sockets: &Sockets, subscriptions: &[Subscription]) -> Result<Vec<Event>, Errno> {
    let mut events = Vec::new();
    let mut wanted: HashMap<i32, Interest> = HashMap::new();
    for &Subscription { userdata, wanted: what } in subscriptions {
        match what {
            Wanted::Deadline(_) => {}
            Wanted::Read(fd) | Wanted::Write(fd) if sockets.get(fd).is_err() => {
                events.push(Event { userdata, errno: Errno::BADF.0, wanted: what, bytes: 0, hangup: false });
            }
            Wanted::Read(fd) => wanted.entry(fd).or_default().read = Some(userdata),
            Wanted::Write(fd) => wanted.entry(fd).or_default().write = Some(userdata),
        }
    }
    let gone: Vec<i32> = epoll.interests.keys().filter(|fd| !wanted.contains_key(fd)).copied().collect();
    for fd in gone {
        epoll.interests.remove(&fd);
        if let Ok(socket) = sockets.get(fd) {
            epoll::delete(&epoll.fd, &socket.fd)?;
        }
    }
    for (fd, interest) in wanted {
        let socket = sockets.get(fd)?;
        let data = EventData::new_u64(u64::from(fd.cast_unsigned()));
        match epoll.interests.insert(fd, interest) {
            Some(known) if known.flags() == interest.flags() => {}
            Some(_) => epoll::modify(&epoll.fd, &socket.fd, data, interest.flags())?,
            None => epoll::add(&epoll.fd, &socket.fd, data, interest.flags())?,
        }
    }
    Ok(events)
}

fn collect(epoll: &Epoll, patience: Option<Timespec>) -> Result<Vec<Event>, Errno> {
    let mut ready = Vec::with_capacity(BATCH);
    match epoll::wait(&epoll.fd, rustix::buffer::spare_capacity(&mut ready), patience.as_ref()) {
        Ok(_) | Err(Linux::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut events = Vec::new();
    for entry in ready {
        let (data, flags) = (entry.data, entry.flags);
        let fd = u32::try_from(data.u64()).map_err(|_| Errno::IO)?.cast_signed();
        let Some(interest) = epoll.interests.get(&fd) else { continue };
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        let hangup = flags.intersects(EventFlags::HUP | EventFlags::RDHUP);
        if let Some(userdata) = interest.read.filter(|_| broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP))
        {
            events.push(Event { userdata, errno: 0, wanted: Wanted::Read(fd), bytes: 0, hangup });
        }
        if let Some(userdata) = interest.write.filter(|_| broken || flags.contains(EventFlags::OUT)) {
            let hangup = flags.contains(EventFlags::HUP);
            events.push(Event { userdata, errno: 0, wanted: Wanted::Write(fd), bytes: 0, hangup });
        }
    }
    Ok(events)
}
