//! Our own `wasi:sockets/ip-name-lookup`, in place of wasmtime-wasi's.
//!
//! Theirs calls glibc's `getaddrinfo`, which would read the container's `/etc/nsswitch.conf` and load the NSS libraries
//! that it names from the container's file system into this process (the class of CVE-2019-14271).

use std::net::IpAddr;
use std::pin::Pin;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as NewerErrorCode;
use wasmtime_wasi::p3::bindings::sockets::types as newer;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, poll_noop, spawn};

use super::guest::State;
use super::resolve::ResolveError;

/// The interface as wasmtime-wasi registers it; a test fails when their version moves.
const INTERFACE: &str = "wasi:sockets/ip-name-lookup@0.2.12";

const NEWER: &str = "wasi:sockets/ip-name-lookup@0.3.0";

type Answer = Result<std::vec::IntoIter<IpAddr>, ErrorCode>;

/// `resolve-address-stream`: an answer that may still be on its way.
pub(super) enum AddressStream {
    Pending(AbortOnDropJoinHandle<Answer>),
    Ready(Answer),
}

#[wasmtime_wasi::async_trait]
impl Pollable for AddressStream {
    async fn ready(&mut self) {
        if let Self::Pending(answer) = self {
            *self = Self::Ready(Pin::new(answer).await);
        }
    }
}

/// Replaces the interface in a linker that allows shadowing.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(INTERFACE)?;
    interface.resource("resolve-address-stream", ResourceType::host::<AddressStream>(), |mut store, stream| {
        store.data_mut().table().delete(Resource::<AddressStream>::new_own(stream))?;
        Ok(())
    })?;
    interface.func_wrap("resolve-addresses", |mut store: StoreContextMut<'_, State>, (network, name)| {
        Ok((resolve_addresses(store.data_mut(), &network, name)?,))
    })?;
    interface.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, State>, (stream,): (Resource<AddressStream>,)| {
            Ok((next_address(store.data_mut().table().get_mut(&stream)?),))
        },
    )?;
    interface.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, State>, (stream,): (Resource<AddressStream>,)| {
            let pollable: Resource<DynPollable> = subscribe(store.data_mut().table(), stream)?;
            Ok((pollable,))
        },
    )
}

/// The same for WASI 0.3, where looking up is one asynchronous function.
pub(super) fn add_newer_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(NEWER)?;
    interface.func_wrap_concurrent("resolve-addresses", |store, (name,): (String,)| {
        Box::pin(async move {
            let reach = store.with(|mut store| store.data_mut().reach());
            let found = reach.resolve(&name).await;
            let found = found.map(|addresses| addresses.into_iter().map(newer::IpAddress::from).collect::<Vec<_>>());
            Ok((found.map_err(|error| newer_error_code(&error)),))
        })
    })
}

fn resolve_addresses(
    state: &mut State,
    network: &Resource<Network>,
    name: String,
) -> wasmtime::Result<Result<Resource<AddressStream>, ErrorCode>> {
    // The network resource is the capability to look up names.
    state.table().get(network)?;
    let reach = state.reach();
    let stream = AddressStream::Pending(spawn(async move {
        match reach.resolve(&name).await {
            Ok(addresses) => Ok(addresses.into_iter()),
            Err(error) => Err(error_code(&error)),
        }
    }));
    Ok(Ok(state.table().push(stream)?))
}

fn next_address(stream: &mut AddressStream) -> Result<Option<IpAddress>, ErrorCode> {
    if let AddressStream::Pending(answer) = stream {
        match poll_noop(Pin::new(answer)) {
            Some(answer) => *stream = AddressStream::Ready(answer),
            None => return Err(ErrorCode::WouldBlock),
        }
    }
    match stream {
        AddressStream::Ready(Ok(addresses)) => Ok(addresses.next().map(Into::into)),
        AddressStream::Ready(Err(error)) => Err(*error),
        AddressStream::Pending(_) => Err(ErrorCode::WouldBlock),
    }
}

fn error_code(error: &ResolveError) -> ErrorCode {
    match error {
        ResolveError::Name(_) => ErrorCode::InvalidArgument,
        ResolveError::NotFound(_) => ErrorCode::NameUnresolvable,
        ResolveError::NoAnswer(_) => ErrorCode::TemporaryResolverFailure,
        ResolveError::Server { .. } => ErrorCode::TemporaryResolverFailure,
    }
}

fn newer_error_code(error: &ResolveError) -> NewerErrorCode {
    match error {
        ResolveError::Name(_) => NewerErrorCode::InvalidArgument,
        ResolveError::NotFound(_) => NewerErrorCode::NameUnresolvable,
        ResolveError::NoAnswer(_) | ResolveError::Server { .. } => NewerErrorCode::TemporaryResolverFailure,
    }
}
