//! A body whose every frame must come within a time of the one before.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::Error;

/// A body with a limit to the time that it may stand still. The clock starts when somebody waits for a frame.
pub(in crate::run) struct Patient {
    body: Incoming,
    patience: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Patient {
    pub(in crate::run) fn new(body: Incoming, patience: Duration) -> Self {
        Self { body, patience, deadline: None, waiting: false }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        let this = &mut *self;
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(this.patience)));
        if !this.waiting {
            this.waiting = true;
            deadline.as_mut().reset(Instant::now() + this.patience);
        }
        deadline.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
