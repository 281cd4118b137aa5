//! What happened, told to whoever listens: a ring of the last events and a broadcast.
//!
//! A publisher never waits: a listener that falls more than [`QUEUE`] events behind loses the oldest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use jiff::Timestamp;
use tokio::sync::broadcast;

/// How many past events `since=` can replay, as in moby.
const REPLAY: usize = 256;
/// How far a listener may fall behind.
const QUEUE: usize = 1024;

/// What kind of object an event is about; the API's `Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

impl Scope {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// What it happened to.
    pub scope: Scope,
    /// Docker's verb: `create`, `start`, `die` …
    pub action: String,
    /// The object's id or name.
    pub id: String,
    /// Labels and details.
    pub attributes: BTreeMap<String, String>,
    /// When.
    pub time: Timestamp,
}

/// Keeps the last events and passes new ones on.
#[derive(Debug)]
pub struct EventBus {
    // The lock also orders sending, so that replay and subscription together have no gap and no double.
    recent: Mutex<VecDeque<Event>>,
    sender: broadcast::Sender<Event>,
}

impl Default for EventBus {
    fn default() -> Self {
        Self { recent: Mutex::default(), sender: broadcast::channel(QUEUE).0 }
    }
}

impl EventBus {
    /// Tells everyone.
    pub(crate) fn publish(&self, scope: Scope, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        let event = Event { scope, action: action.to_owned(), id: id.to_owned(), attributes, time: Timestamp::now() };
        tracing::debug!(action, id, "event");
        let mut recent = crate::lock(&self.recent);
        if recent.len() == REPLAY {
            recent.pop_front();
        }
        recent.push_back(event.clone());
        // No listener is not an error.
        let _ = self.sender.send(event);
    }

    /// The remembered events, and a receiver that goes on exactly after them.
    pub fn subscribe(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let recent = crate::lock(&self.recent);
        (recent.iter().cloned().collect(), self.sender.subscribe())
    }
}
