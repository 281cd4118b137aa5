//! Containers that somebody else's shim runs: `containerd-shim-<name>-<version>`, by containerd's shim v2 protocol.
//!
//! ```text
//!   engine ──ttrpc──► shim.sock ─► Bridge ──ttrpc──► their shim ─► their runtime ─► init
//!   engine ◄─frames─► io.sock ───► io ◄───FIFOs────────┘  │
//!                                  events.sock ◄──────────┘ what it publishes
//! ```
//!
//! For the engine it is the shim that it knows: it survives the daemon, writes `json.log` and `exit.json`, serves attached
//! clients, keeps the exit codes of execs. Everything else is the other shim's, and what that refuses is refused in its
//! words. The root filesystem is mounted here, in the mount namespace that both shims share, so that it goes with them.
//!
//! The bundle's `runtime.json` ([`ForeignShim`]) says that a container is such a one.

mod container;
mod events;
mod foreign;
mod service;

use std::io;
use std::path::Path;
use std::sync::Arc;

use containerd_shim_protos::ttrpc::asynchronous::Server;
use containerd_shim_protos::ttrpc::asynchronous::transport::Listener;
use drua_types::ForeignShim;
use tokio::net::UnixListener;

use crate::io::their_log;
use crate::reaper::{Reaper, reap_orphans};
use crate::serve::{Setup, connections};
use crate::service::methods;
use crate::sockets;
use events::EventsServer;
pub(crate) use foreign::{ForeignError, Subject};
use service::Bridge;

/// What the bundle says about the container's shim; `None` when it is our own.
///
/// # Errors
/// When the file is there and makes no sense.
pub(crate) fn foreign(bundle: &Path) -> io::Result<Option<ForeignShim>> {
    let text = match fs_err::read(bundle.join(ForeignShim::FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let runtime: ForeignShim = serde_json::from_slice(&text)?;
    if runtime.version != ForeignShim::VERSION {
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("version {} of runtime.json", runtime.version)));
    }
    Ok(Some(runtime))
}

/// Serves until the container is deleted and `Shutdown` comes.
pub(crate) async fn serve(setup: Setup, runtime: ForeignShim) -> io::Result<()> {
    let Setup { namespace, id, places, listener, .. } = setup;
    let reaper = Reaper::new()?;
    let events_path = sockets::path_for(&places.bundle, "events.sock", Path::new(""), &namespace, &id);
    let bound = sockets::bind(&events_path).map_err(io::Error::other)?;
    let events = EventsServer::start(bound).await?;
    their_log(&places.bundle).map_err(io::Error::other)?;
    let subject = Subject { runtime, namespace, id, bundle: places.bundle.clone() };
    let bridge = Arc::new(Bridge::new(subject, places, events_path.clone(), events.oom.clone()));
    let listener = Listener::new(connections(UnixListener::from_std(listener)?));
    let mut server = Server::new().add_listener(listener).register_service(methods(bridge.clone()));
    server.start().await.map_err(io::Error::other)?;
    loop {
        tokio::select! {
            () = bridge.ended() => break,
            result = reaper.child_ended() => {
                if let Err(error) = result {
                    tracing::warn!(%error, "cannot read SIGCHLD");
                }
                // Their shim and what it leaves: nobody waits for them by pid.
                reap_orphans(|_| false);
            }
        }
    }
    let _ = fs_err::remove_file(&events_path);
    bridge.close().await;
    events.stop().await;
    // The answer to `Shutdown` passes from its handler to the connection's writer: let both run before they are ended.
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    server.shutdown().await.map_err(io::Error::other)
}
