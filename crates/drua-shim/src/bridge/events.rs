//! What somebody else's shim publishes. Exits are learned from `Wait`; only that memory ran out has no other way to us.

use std::collections::HashMap;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use containerd_shim_protos::api::ForwardRequest;
use containerd_shim_protos::protobuf::well_known_types::empty::Empty;
use containerd_shim_protos::shim_async::{Events, create_events};
use containerd_shim_protos::topics;
use containerd_shim_protos::ttrpc::Result;
use containerd_shim_protos::ttrpc::asynchronous::transport::Listener;
use containerd_shim_protos::ttrpc::asynchronous::{Server, Service, TtrpcContext};
use tokio::net::UnixListener;

use crate::serve::connections;

/// Listens to events.
pub(super) struct EventsServer {
    server: Server,
    /// Whether the kernel has killed a process of the container for lack of memory.
    pub(super) oom: Arc<AtomicBool>,
}

struct Ear {
    oom: Arc<AtomicBool>,
}

#[async_trait]
impl Events for Ear {
    async fn forward(&self, _: &TtrpcContext, request: ForwardRequest) -> Result<Empty> {
        let topic = request.envelope.as_ref().map(|envelope| envelope.topic.as_str()).unwrap_or_default();
        tracing::debug!(topic, "their shim says");
        if topic == topics::TASK_OOM_EVENT_TOPIC {
            self.oom.store(true, Ordering::Relaxed);
        }
        Ok(Empty::new())
    }
}

impl EventsServer {
    /// Serves at a socket that is bound. Must be called within the runtime.
    pub(super) async fn start(listener: StdUnixListener) -> std::io::Result<Self> {
        let oom = Arc::new(AtomicBool::new(false));
        let methods: HashMap<String, Service> = create_events(Arc::new(Ear { oom: oom.clone() }));
        let listener = Listener::new(connections(UnixListener::from_std(listener)?));
        let mut server = Server::new().add_listener(listener).register_service(methods);
        server.start().await.map_err(std::io::Error::other)?;
        Ok(Self { server, oom })
    }

    pub(super) async fn stop(mut self) {
        if let Err(error) = self.server.shutdown().await {
            tracing::debug!(%error, "the events' server does not end");
        }
    }
}
