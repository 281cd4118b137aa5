//! Publishes task events to containerd over ttrpc (`containerd.services.events.ttrpc.v1.Events`). Our own daemon names no
//! socket for them: it learns all that it wants to know from `Wait`, also after a restart, which events do not.
//!
//! Best effort by design: an event is tried a few times and then dropped, because whoever listens also waits on the task
//! itself. The container never waits for an event, a listener that is away is normal, and a shim with nothing to say does
//! not wake up.

use std::path::PathBuf;
use std::time::Duration;

use containerd_shim_protos::api::ForwardRequest;
use containerd_shim_protos::protobuf::MessageFull;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::shim_async::{Client, EventsClient};
use containerd_shim_protos::ttrpc::asynchronous::transport::Socket;
use containerd_shim_protos::ttrpc::context::with_duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::convert::timestamp;

/// Events that wait while the listener is away.
const QUEUE: usize = 128;
/// How often one event is tried; the pauses between double from [`FIRST_PAUSE`], 3 s in all.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How long the listener may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the last events may take when the shim ends.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The sending end.
#[derive(Debug)]
pub(crate) struct Publisher {
    namespace: String,
    queue: Option<mpsc::Sender<Envelope>>,
    task: Option<JoinHandle<()>>,
}

impl Publisher {
    /// A publisher to the socket that `TTRPC_ADDRESS` names; without one, events are dropped. Must be called within the
    /// runtime.
    pub(crate) fn new(namespace: &str, address: Option<&str>) -> Self {
        let namespace = namespace.to_owned();
        let Some(path) = address.map(|address| PathBuf::from(address.strip_prefix("unix://").unwrap_or(address)))
        else {
            return Self { namespace, queue: None, task: None };
        };
        let (queue, events) = mpsc::channel(QUEUE);
        Self { namespace, queue: Some(queue), task: Some(tokio::spawn(forward(path, events))) }
    }

    /// Queues an event. Never waits.
    pub(crate) fn publish<M: MessageFull>(&self, topic: &str, event: &M) {
        let Some(queue) = &self.queue else { return };
        let mut envelope = Envelope::new();
        envelope.set_timestamp(timestamp(jiff::Timestamp::now()));
        envelope.set_namespace(self.namespace.clone());
        envelope.set_topic(topic.to_owned());
        envelope.set_event(any(event));
        if queue.try_send(envelope).is_err() {
            tracing::debug!(topic, "too many events wait; dropping one");
        }
    }

    /// Gives the last events a moment to get out.
    pub(crate) async fn close(mut self) {
        drop(self.queue.take());
        if let Some(task) = self.task.take() {
            let abort = task.abort_handle();
            if timeout(LAST_WORDS, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

/// Packs a message the way containerd's typeurl does: the bare full name.
pub(crate) fn any<M: MessageFull>(message: &M) -> Any {
    let mut any = Any::new();
    any.type_url = M::descriptor().full_name().to_owned();
    any.value = message.write_to_bytes().expect("all fields of our messages are optional");
    any
}

async fn forward(path: PathBuf, mut events: mpsc::Receiver<Envelope>) {
    let mut connection: Option<EventsClient> = None;
    while let Some(envelope) = events.recv().await {
        let mut request = ForwardRequest::new();
        request.set_envelope(envelope);
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            match attempt_once(&path, &mut connection, &request).await {
                Ok(()) => break,
                Err(error) if attempt == ATTEMPTS => tracing::debug!(error, "dropping an event"),
                Err(_again) => {
                    sleep(pause).await;
                    pause *= 2;
                }
            }
        }
    }
}

async fn attempt_once(
    path: &PathBuf,
    connection: &mut Option<EventsClient>,
    request: &ForwardRequest,
) -> Result<(), String> {
    let client = match connection.take() {
        Some(client) => client,
        // Not ttrpc's own connect: that blocks the thread while the listener's backlog is full.
        None => {
            let stream = UnixStream::connect(path).await.map_err(|error| error.to_string())?;
            EventsClient::new(Client::new(Socket::from(stream)))
        }
    };
    client.forward(with_duration(ANSWER), request).await.map_err(|error| error.to_string())?;
    *connection = Some(client);
    Ok(())
}
