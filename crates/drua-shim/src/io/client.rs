//! One attached client as the output task sees it: a queue with a budget of bytes.
//!
//! The budget is what keeps a client that does not read from taking the shim's memory; the deadline is what keeps it from
//! stopping the container for ever. A frame holds its share of the budget until it has been written to the socket.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// How many bytes wait for one client at most.
const BUDGET_BYTES: usize = 1 << 20;
/// How long the container may be held up by one client that does not read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which stream a chunk of output belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The output task's end of a client.
#[derive(Debug)]
pub(crate) struct Client {
    stdout: bool,
    stderr: bool,
    queue: mpsc::UnboundedSender<Frame>,
    budget: Arc<Semaphore>,
    abandon: oneshot::Sender<()>,
}

/// The connection's end of a client.
#[derive(Debug)]
pub(crate) struct Frames {
    queue: mpsc::UnboundedReceiver<Frame>,
    budget: Arc<Semaphore>,
}

/// Tells the connection that its client was given up, in the midst of a write that may never end.
#[derive(Debug)]
pub(crate) struct Abandonment(oneshot::Receiver<()>);

/// One Docker frame (`type, 0, 0, 0, length as u32 big endian, payload`), ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct Encoded(Arc<[u8]>);

/// A frame in a queue, with the share of the budget that it uses.
#[derive(Debug)]
pub(crate) struct Frame {
    encoded: Encoded,
    _share: Option<OwnedSemaphorePermit>,
}

/// Whether a full queue may hold up the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// Wait, then give the client up.
    Wait,
    /// Queue the frame all the same: the container has ended and what it left is small.
    Exceed,
}

/// Both ends of a new client.
pub(crate) fn client(stdout: bool, stderr: bool) -> (Client, Frames, Abandonment) {
    // Bounded by the budget, not by the number of frames.
    let (sender, receiver) = mpsc::unbounded_channel();
    let budget = Arc::new(Semaphore::new(BUDGET_BYTES));
    let (abandon, abandonment) = oneshot::channel();
    let client = Client { stdout, stderr, queue: sender, budget: Arc::clone(&budget), abandon };
    (client, Frames { queue: receiver, budget }, Abandonment(abandonment))
}

impl Encoded {
    /// Encodes `payload`, which is at most 4 GiB long.
    pub(crate) fn new(stream: Stream, payload: &[u8]) -> Self {
        let length = u32::try_from(payload.len()).expect("a chunk is one read from a pipe");
        let kind = match stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        let mut bytes = Vec::with_capacity(8 + payload.len());
        bytes.extend_from_slice(&[kind, 0, 0, 0]);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(payload);
        Self(bytes.into())
    }
}

impl Client {
    /// Whether the client asked for this stream.
    pub(crate) fn wants(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    /// Queues a frame. `false` when the client is gone or was given up.
    pub(crate) async fn send(&self, frame: &Encoded, when_full: WhenFull) -> bool {
        let share = match when_full {
            WhenFull::Exceed => None,
            WhenFull::Wait => match self.reserve(frame.0.len()).await {
                Some(share) => Some(share),
                None => return false,
            },
        };
        self.queue.send(Frame { encoded: frame.clone(), _share: share }).is_ok()
    }

    /// Closes the connection without waiting for what is queued.
    pub(crate) fn abandon(self) {
        // A connection that is gone already needs no word.
        let _ = self.abandon.send(());
    }

    async fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(BUDGET_BYTES)).expect("the budget is small");
        let share = Arc::clone(&self.budget).acquire_many_owned(bytes);
        match tokio::time::timeout(PATIENCE, share).await {
            Ok(share) => share.ok(),
            Err(_elapsed) => {
                tracing::warn!("an attached client does not read its output; dropping it");
                None
            }
        }
    }
}

impl Frames {
    /// The next frame; `None` when the output has ended or the client was given up.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        self.queue.recv().await
    }
}

impl Abandonment {
    /// Returns only when the client was given up.
    pub(crate) async fn wait(self) {
        if self.0.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        // An output task that waits for room must not wait for a client that is gone.
        self.budget.close();
    }
}

impl Frame {
    /// What goes over the wire.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.encoded.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn a_frame_is_dockers() {
        assert_eq!(&*Encoded::new(Stream::Stderr, b"ab").0, b"\x02\0\0\0\0\0\0\x02ab");
    }

    #[test]
    fn a_client_that_does_not_read_is_given_up() {
        runtime().block_on(async {
            let (client, frames, abandonment) = client(true, false);
            assert!(client.wants(Stream::Stdout) && !client.wants(Stream::Stderr));
            let frame = Encoded::new(Stream::Stdout, &[0; BUDGET_BYTES / 2 - 8]);
            assert!(client.send(&frame, WhenFull::Wait).await);
            assert!(client.send(&frame, WhenFull::Wait).await);
            let before = tokio::time::Instant::now();
            assert!(!client.send(&frame, WhenFull::Wait).await);
            assert!(before.elapsed() >= PATIENCE);
            let before = tokio::time::Instant::now();
            assert!(client.send(&frame, WhenFull::Exceed).await);
            drop(frames);
            assert!(!client.send(&frame, WhenFull::Wait).await);
            assert!(before.elapsed() < PATIENCE, "at once, because nobody is there");
            client.abandon();
            abandonment.wait().await;
        });
    }

    #[test]
    fn written_frames_give_their_share_back() {
        runtime().block_on(async {
            let (client, mut frames, _abandonment) = client(true, true);
            let frame = Encoded::new(Stream::Stdout, &[0; BUDGET_BYTES - 8]);
            for _ in 0..3 {
                assert!(client.send(&frame, WhenFull::Wait).await);
                assert_eq!(frames.next().await.unwrap().bytes().len(), BUDGET_BYTES);
            }
            drop(client);
            assert!(frames.next().await.is_none());
        });
    }
}
