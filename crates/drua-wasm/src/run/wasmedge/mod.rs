//! WasmEdge's host interface: sockets in `wasi_snapshot_preview1`, in both versions.
//!
//! WasmEdge registers two types under some names and takes the one that a module asks for (its `*_v2` forms). A linker
//! has one type a name, so the module's own imports decide what is linked. Descriptors of sockets are ours (see
//! [`sockets`]); a call on any other descriptor goes to wasmtime-wasi.
//!
//! Facts: WasmEdge's `lib/host/wasi`, the crate `wasmedge_wasi_socket`. One difference: the port that `sock_recv_from`
//! reports is in host order, as its guests expect it; WasmEdge leaves it in network order.

mod addrinfo;
mod epoll;
mod memory;
mod options;
mod poll;
mod sockets;

use std::net::SocketAddr;

use wasmtime::{Caller, Extern, Linker, Module};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as p1;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1;
use wiggle::GuestMemory;

pub(super) use memory::{Errno, Memory, errno};
pub(super) use sockets::Sockets;

use super::guest::CoreState;
use addrinfo::Question;

/// The module whose functions WasmEdge extends.
const WASI: &str = "wasi_snapshot_preview1";

/// Whether a module wants anything that only WasmEdge has.
pub(super) fn is_wanted(module: &Module) -> bool {
    const OURS: [&str; 11] = [
        "sock_open",
        "sock_bind",
        "sock_connect",
        "sock_listen",
        "sock_getlocaladdr",
        "sock_getpeeraddr",
        "sock_getsockopt",
        "sock_setsockopt",
        "sock_getaddrinfo",
        "sock_recv_from",
        "sock_send_to",
    ];
    module.imports().any(|import| {
        import.module() == WASI && {
            let name = import.name();
            OURS.contains(&name.strip_suffix("_v2").unwrap_or(name)) || name == "epoll_oneoff"
        }
    })
}

/// How many parameters a module gives a function that it imports.
fn parameters(module: &Module, name: &str) -> Option<usize> {
    let import = module.imports().find(|import| import.module() == WASI && import.name() == name)?;
    Some(import.ty().func()?.params().len())
}

/// Adds the extension over a linker that has WASI preview 1 and allows shadowing.
pub(super) fn add_to_linker(linker: &mut Linker<CoreState>, module: &Module) -> wasmtime::Result<()> {
    files(linker)?;
    for suffix in ["", "_v2"] {
        life(linker, suffix)?;
        data(linker, module, suffix)?;
        names(linker, module, suffix)?;
    }
    polling(linker)?;
    linker.func_wrap_async(
        WASI,
        "sock_getaddrinfo",
        |mut caller: Caller<'_, CoreState>, args: (i32, i32, i32, i32, i32, i32, i32, i32)| {
            Box::new(async move { errno(look_up(&mut caller, args).await) })
        },
    )?;
    linker.func_wrap(WASI, "sock_shutdown", |mut caller: Caller<'_, CoreState>, fd: i32, how: i32| {
        with(&mut caller, |state, _| state.sockets.shutdown(fd, how))
    })?;
    linker.func_wrap(
        WASI,
        "sock_getsockopt",
        |mut caller: Caller<'_, CoreState>, fd: i32, level: i32, name: i32, value: u32, length: u32| {
            with(&mut caller, |state, memory| state.sockets.get_option(memory, fd, (level, name), value, length))
        },
    )?;
    linker.func_wrap(
        WASI,
        "sock_setsockopt",
        |mut caller: Caller<'_, CoreState>, fd: i32, level: i32, name: i32, value: u32, length: u32| {
            with(&mut caller, |state, memory| state.sockets.set_option(memory, fd, (level, name), value, length))
        },
    )?;
    Ok(())
}

/// Opening, binding, listening, accepting, connecting.
fn life(linker: &mut Linker<CoreState>, suffix: &str) -> wasmtime::Result<()> {
    let name = |name: &str| format!("{name}{suffix}");
    linker.func_wrap(
        WASI,
        &name("sock_open"),
        |mut caller: Caller<'_, CoreState>, family: i32, kind: i32, out: u32| {
            with(&mut caller, |state, memory| {
                if !state.reach.has_sockets() {
                    return Err(Errno::ACCES);
                }
                state.sockets.open(memory, family, kind, out)
            })
        },
    )?;
    linker.func_wrap(
        WASI,
        &name("sock_bind"),
        |mut caller: Caller<'_, CoreState>, fd: i32, address: u32, port: u32| {
            with(&mut caller, |state, memory| {
                let address = state.sockets.address(fd, memory.address(address)?, port)?;
                if address.port() != 0 && !state.reach.may_listen(address.port()) {
                    return Err(Errno::ACCES);
                }
                state.sockets.bind(fd, address)
            })
        },
    )?;
    linker.func_wrap(WASI, &name("sock_listen"), |mut caller: Caller<'_, CoreState>, fd: i32, backlog: i32| {
        with(&mut caller, |state, _| {
            if !state.reach.may_listen(state.sockets.local(fd)?.port()) {
                return Err(Errno::ACCES);
            }
            state.sockets.listen(fd, backlog)
        })
    })?;
    linker.func_wrap_async(
        WASI,
        &name("sock_connect"),
        |mut caller: Caller<'_, CoreState>, (fd, address, port): (i32, u32, u32)| {
            Box::new(async move { errno(connect(&mut caller, fd, address, port).await) })
        },
    )?;
    Ok(())
}

/// Accepting, receiving and sending, where versions differ in their parameters.
fn data(linker: &mut Linker<CoreState>, module: &Module, suffix: &str) -> wasmtime::Result<()> {
    let name = |name: &str| format!("{name}{suffix}");
    let second = |name: &str, length: usize| parameters(module, name).map_or(suffix == "_v2", |found| found == length);
    let accept = name("sock_accept");
    if second(&accept, 3) {
        linker.func_wrap(WASI, &accept, |mut caller: Caller<'_, CoreState>, fd: i32, flags: i32, out: u32| {
            with(&mut caller, |state, memory| state.sockets.accept(memory, fd, flags, out))
        })?;
    } else {
        linker.func_wrap(WASI, &accept, |mut caller: Caller<'_, CoreState>, fd: i32, out: u32| {
            with(&mut caller, |state, memory| state.sockets.accept(memory, fd, 0, out))
        })?;
    }
    linker.func_wrap(
        WASI,
        &name("sock_recv"),
        |mut caller: Caller<'_, CoreState>, fd: i32, iov: u32, count: u32, flags: i32, length: u32, out: u32| {
            with(&mut caller, |state, memory| receive(state, memory, fd, (iov, count), flags, None, (length, out)))
        },
    )?;
    linker.func_wrap(
        WASI,
        &name("sock_send"),
        |mut caller: Caller<'_, CoreState>, fd: i32, iov: u32, count: u32, _flags: i32, length: u32| {
            with(&mut caller, |state, memory| send(state, memory, fd, (iov, count), None, length))
        },
    )?;
    let receive_from = name("sock_recv_from");
    if second(&receive_from, 8) {
        linker.func_wrap(
            WASI,
            &receive_from,
            |mut caller: Caller<'_, CoreState>,
             fd: i32,
             iov: u32,
             count: u32,
             address: u32,
             flags: i32,
             port: u32,
             length: u32,
             out: u32| {
                with(&mut caller, |state, memory| {
                    receive(state, memory, fd, (iov, count), flags, Some((address, Some(port))), (length, out))
                })
            },
        )?;
    } else {
        linker.func_wrap(
            WASI,
            &receive_from,
            |mut caller: Caller<'_, CoreState>,
             fd: i32,
             iov: u32,
             count: u32,
             address: u32,
             flags: i32,
             length: u32,
             out: u32| {
                with(&mut caller, |state, memory| {
                    receive(state, memory, fd, (iov, count), flags, Some((address, None)), (length, out))
                })
            },
        )?;
    }
    linker.func_wrap_async(
        WASI,
        &name("sock_send_to"),
        |mut caller: Caller<'_, CoreState>,
         (fd, iov, count, address, port, _flags, length): (i32, u32, u32, u32, u32, i32, u32)| {
            Box::new(async move { errno(send_to(&mut caller, fd, (iov, count), address, port, length).await) })
        },
    )?;
    Ok(())
}

/// Both ends of a connection.
fn names(linker: &mut Linker<CoreState>, module: &Module, suffix: &str) -> wasmtime::Result<()> {
    for (base, end) in [("sock_getlocaladdr", Sockets::local as End), ("sock_getpeeraddr", Sockets::peer as End)] {
        let name = format!("{base}{suffix}");
        if parameters(module, &name).map_or(suffix == "_v2", |found| found == 3) {
            linker.func_wrap(
                WASI,
                &name,
                move |mut caller: Caller<'_, CoreState>, fd: i32, address: u32, port: u32| {
                    with(&mut caller, |state, memory| {
                        let buffer = memory.address_buffer(address)?;
                        if buffer.length != 128 {
                            return Err(Errno::INVAL);
                        }
                        let end = end(&state.sockets, fd)?;
                        memory.write_address(buffer, end.ip())?;
                        memory.write_u32(port, end.port().into())
                    })
                },
            )?;
        } else {
            linker.func_wrap(
                WASI,
                &name,
                move |mut caller: Caller<'_, CoreState>, fd: i32, address: u32, kind: u32, port: u32| {
                    with(&mut caller, |state, memory| {
                        let buffer = memory.address_buffer(address)?;
                        let end = end(&state.sockets, fd)?;
                        memory.write_address(buffer, end.ip())?;
                        memory.write_u32(kind, if end.is_ipv4() { 4 } else { 6 })?;
                        memory.write_u32(port, end.port().into())
                    })
                },
            )?;
        }
    }
    Ok(())
}

type End = fn(&Sockets, i32) -> Result<SocketAddr, Errno>;

/// What a descriptor of any kind has in preview 1 and a socket has, too.
fn files(linker: &mut Linker<CoreState>) -> wasmtime::Result<()> {
    macro_rules! delegate {
        ($name:ident, ($($arg:ident),*), $socket:expr) => {
            linker.func_wrap_async(
                WASI,
                stringify!($name),
                |mut caller: Caller<'_, CoreState>, (fd, $($arg,)*): (i32, $(delegate!(@i32 $arg),)*)| {
                    Box::new(async move {
                        if Sockets::owns(fd) {
                            let on_socket: fn(&mut CoreState, &mut Memory<'_>, i32, $(delegate!(@i32 $arg),)*) -> Result<(), Errno> = $socket;
                            return Ok(with(&mut caller, |state, memory| on_socket(state, memory, fd, $($arg,)*)));
                        }
                        let (mut memory, state) = guest_memory(&mut caller)?;
                        p1::$name(&mut state.wasi, &mut memory, fd, $($arg,)*).await
                    })
                },
            )?;
        };
        (@i32 $arg:ident) => { i32 };
    }
    delegate!(fd_read, (iov, count, out), |state, memory, fd, iov, count, out| {
        let pieces = memory.pieces(iov.cast_unsigned(), count.cast_unsigned())?;
        let received = state.sockets.receive(memory, fd, &pieces, 0)?;
        write_length(memory, out.cast_unsigned(), received.length)
    });
    delegate!(fd_write, (iov, count, out), |state, memory, fd, iov, count, out| {
        send(state, memory, fd, (iov.cast_unsigned(), count.cast_unsigned()), None, out.cast_unsigned())
    });
    delegate!(fd_close, (), |state, _, fd| state.sockets.close(fd));
    delegate!(fd_fdstat_get, (out), |state, memory, fd, out| state.sockets.write_fdstat(
        memory,
        fd,
        out.cast_unsigned()
    ));
    delegate!(fd_filestat_get, (out), |state, memory, fd, out| {
        state.sockets.write_filestat(memory, fd, out.cast_unsigned())
    });
    linker.func_wrap(
        WASI,
        "fd_fdstat_set_flags",
        |mut caller: Caller<'_, CoreState>, fd: i32, flags: i32| -> wasmtime::Result<i32> {
            if Sockets::owns(fd) {
                return Ok(with(&mut caller, |state, _| state.sockets.set_flags(fd, flags)));
            }
            let (mut memory, state) = guest_memory(&mut caller)?;
            p1::fd_fdstat_set_flags(&mut state.wasi, &mut memory, fd, flags)
        },
    )?;
    linker.func_wrap_async(WASI, "fd_renumber", |mut caller: Caller<'_, CoreState>, (from, to): (i32, i32)| {
        Box::new(async move {
            if Sockets::owns(from) || Sockets::owns(to) {
                return Ok(errno(Err(Errno::NOTSUP)));
            }
            let (mut memory, state) = guest_memory(&mut caller)?;
            p1::fd_renumber(&mut state.wasi, &mut memory, from, to).await
        })
    })?;
    Ok(())
}

fn polling(linker: &mut Linker<CoreState>) -> wasmtime::Result<()> {
    for name in ["poll_oneoff", "epoll_oneoff"] {
        linker.func_wrap_async(
            WASI,
            name,
            move |mut caller: Caller<'_, CoreState>, (from, to, count, out): (u32, u32, u32, u32)| {
                Box::new(async move {
                    let mut ours = true;
                    let result = with(&mut caller, |state, memory| {
                        let Some(subscriptions) = poll::subscriptions(&state.sockets, memory, from, count)? else {
                            ours = false;
                            return Ok(());
                        };
                        let socket = |wanted| match wanted {
                            poll::Wanted::Read(fd) | poll::Wanted::Write(fd) => Sockets::owns(fd),
                            poll::Wanted::Deadline(_) => true,
                        };
                        let edges = name == "epoll_oneoff" && subscriptions.iter().all(|one| socket(one.wanted));
                        let events = if edges {
                            epoll::wait(&mut state.sockets, &subscriptions)?
                        } else {
                            poll::wait(&state.sockets, &subscriptions)?
                        };
                        // There is room for as many as were subscribed.
                        let events = &events[..events.len().min(count as usize)];
                        poll::write_events(memory, events, to, out)
                    });
                    if ours {
                        return Ok(result);
                    }
                    let (mut memory, state) = guest_memory(&mut caller)?;
                    let [from, to, count, out] = [from, to, count, out].map(u32::cast_signed);
                    p1::poll_oneoff(&mut state.wasi, &mut memory, from, to, count, out).await
                })
            },
        )?;
    }
    Ok(())
}

/// Runs a call that needs the guest's memory and gives its error number.
fn with(
    caller: &mut Caller<'_, CoreState>,
    call: impl FnOnce(&mut CoreState, &mut Memory<'_>) -> Result<(), Errno>,
) -> i32 {
    // Memory that is shared between threads cannot be borrowed, and WasmEdge has no threads with sockets either.
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else { return errno(Err(Errno::FAULT)) };
    let (bytes, state) = memory.data_and_store_mut(caller);
    errno(call(state, &mut Memory(bytes)))
}

/// The guest's memory in the form that wasmtime-wasi takes.
fn guest_memory<'a>(caller: &'a mut Caller<'_, CoreState>) -> wasmtime::Result<(GuestMemory<'a>, &'a mut CoreState)> {
    const FUEL: usize = 128 << 20;
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        wasmtime::bail!("the module exports no memory");
    };
    let (bytes, state) = memory.data_and_store_mut(caller);
    state.wasi.set_hostcall_fuel(FUEL);
    Ok((GuestMemory::Unshared(bytes), state))
}

async fn connect(caller: &mut Caller<'_, CoreState>, fd: i32, address: u32, port: u32) -> Result<(), Errno> {
    let mut to = None;
    let found = with(caller, |state, memory| {
        to = Some(state.sockets.address(fd, memory.address(address)?, port)?);
        Ok(())
    });
    let Some(to) = to else { return Err(Errno(u16::try_from(found).unwrap_or(Errno::FAULT.0))) };
    let reach = caller.data().reach.clone();
    if !reach.may_connect(to).await {
        return Err(Errno::ACCES);
    }
    caller.data().sockets.connect(fd, to)
}

async fn send_to(
    caller: &mut Caller<'_, CoreState>,
    fd: i32,
    pieces: (u32, u32),
    address: u32,
    port: u32,
    length: u32,
) -> Result<(), Errno> {
    let mut to = None;
    let found = with(caller, |state, memory| {
        to = Some(state.sockets.address(fd, memory.address(address)?, port)?);
        Ok(())
    });
    let Some(to) = to else { return Err(Errno(u16::try_from(found).unwrap_or(Errno::FAULT.0))) };
    let reach = caller.data().reach.clone();
    if !reach.may_connect(to).await {
        return Err(Errno::ACCES);
    }
    let sent = with(caller, |state, memory| send(state, memory, fd, pieces, Some(to), length));
    u16::try_from(sent).ok().filter(|errno| *errno != 0).map_or(Ok(()), |errno| Err(Errno(errno)))
}

async fn look_up(
    caller: &mut Caller<'_, CoreState>,
    (node, node_length, service, service_length, hints, list, room, count): (i32, i32, i32, i32, i32, i32, i32, i32),
) -> Result<(), Errno> {
    let pair = |at: i32, length: i32| (at.cast_unsigned(), length.cast_unsigned());
    let mut question = None;
    let found = with(caller, |_, memory| {
        let read =
            Question::read(memory, pair(node, node_length), pair(service, service_length), hints.cast_unsigned());
        question = Some(read?);
        Ok(())
    });
    let Some(question) = question else { return Err(Errno(u16::try_from(found).unwrap_or(Errno::FAULT.0))) };
    let reach = caller.data().reach.clone();
    let addresses = question.answer(&reach).await?;
    let [list, room, count] = [list, room, count].map(i32::cast_unsigned);
    let written = with(caller, |_, memory| question.write(memory, &addresses, list, room, count));
    u16::try_from(written).ok().filter(|errno| *errno != 0).map_or(Ok(()), |errno| Err(Errno(errno)))
}

/// Receives; `from` is where an address and a port go, `results` where the length and the flags go.
fn receive(
    state: &mut CoreState,
    memory: &mut Memory<'_>,
    fd: i32,
    (iov, count): (u32, u32),
    flags: i32,
    from: Option<(u32, Option<u32>)>,
    (length, out): (u32, u32),
) -> Result<(), Errno> {
    let pieces = memory.pieces(iov, count)?;
    // Wrong places are found before a datagram is taken from the kernel.
    memory.bytes(length, 4)?;
    let buffer = from.map(|(address, port)| memory.address_buffer(address).map(|buffer| (buffer, port))).transpose()?;
    let received = state.sockets.receive(memory, fd, &pieces, flags)?;
    if let (Some((buffer, port)), Some(sender)) = (buffer, received.from) {
        memory.write_address(buffer, sender.ip().to_canonical())?;
        if let Some(port) = port {
            // Sixteen bits of the 32 that the guest has set to zero.
            memory.write_u16(port, sender.port())?;
        }
    }
    write_length(memory, length, received.length)?;
    memory.write_u16(out, received.truncated.into())
}

fn send(
    state: &mut CoreState,
    memory: &mut Memory<'_>,
    fd: i32,
    (iov, count): (u32, u32),
    to: Option<SocketAddr>,
    length: u32,
) -> Result<(), Errno> {
    let pieces = memory.pieces(iov, count)?;
    memory.bytes(length, 4)?;
    let sent = state.sockets.send(memory, fd, &pieces, to)?;
    write_length(memory, length, sent)
}

fn write_length(memory: &mut Memory<'_>, at: u32, length: usize) -> Result<(), Errno> {
    memory.write_u32(at, u32::try_from(length).map_err(|_| Errno::IO)?)
}
