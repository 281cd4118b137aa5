//! The life of the serving shim: one thread, one runtime, until the container is deleted and `Shutdown` comes.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;
use std::time::Duration;

use containerd_shim_protos::ttrpc::asynchronous::Server;
use containerd_shim_protos::ttrpc::asynchronous::transport::Listener;
use futures_util::stream::{self, Stream};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::bootstrap::Places;
use crate::bridge;
use crate::events::Publisher;
use crate::reaper::Reaper;
use crate::service::{Service, methods};
use crate::sockets;
use crate::task::Task;
use crate::workload;

/// Requests that wait for the owner.
const QUEUE: usize = 32;

/// What a shim needs to serve.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) namespace: String,
    pub(crate) id: String,
    /// Where events go.
    pub(crate) events: Option<String>,
    pub(crate) places: Places,
    pub(crate) listener: StdUnixListener,
}

/// Serves until the end of the container. The process must have one thread, and keeps to it.
pub(crate) fn serve(setup: Setup) -> io::Result<()> {
    let before = workload::open_fds();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    workload::keep_sockets_since(&before);
    runtime.block_on(run(setup))
}

async fn run(setup: Setup) -> io::Result<()> {
    if let Some(runtime) = bridge::foreign(&setup.places.bundle)? {
        return bridge::serve(setup, runtime).await;
    }
    let Setup { namespace, id, events, places, listener } = setup;
    let reaper = Reaper::new()?;
    let publisher = Publisher::new(&namespace, events.as_deref());
    let (requests, queue) = mpsc::channel(QUEUE);
    let service = Service::new(id.clone(), places.bundle.clone(), requests);
    let listener = Listener::new(connections(UnixListener::from_std(listener)?));
    let mut server = Server::new().add_listener(listener).register_service(methods(Arc::new(service)));
    server.start().await.map_err(io::Error::other)?;
    Task::new(id, places, reaper, publisher).run(queue).await;
    // The answer to `Shutdown` passes from its handler to the connection's writer: let both run before they are ended.
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    server.shutdown().await.map_err(io::Error::other)
}

/// The connections of processes that may talk to us.
pub(crate) fn connections(listener: UnixListener) -> impl Stream<Item = io::Result<UnixStream>> + Send {
    stream::unfold(listener, |listener| async {
        loop {
            match sockets::accept(&listener).await {
                Ok(stream) => return Some((Ok(stream), listener)),
                Err(error) => {
                    // Out of file descriptors, most likely: the listener stays readable, so do not spin.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })
}
