//! The task that feeds the container's standard input, from attached clients or from containerd's FIFO.
//!
//! Closing follows what was written: everything that came before is delivered first. With a terminal there is nothing to
//! close, because a terminal has no half-closed state; moby does the same.

use std::io;

use tokio::sync::mpsc;

use crate::fd::{Reader, Writer};

/// What may be in flight towards the container, times the size of one read of a client.
const QUEUE: usize = 4;

/// Something for standard input.
#[derive(Debug)]
pub(crate) enum Input {
    /// Bytes.
    Data(Vec<u8>),
    /// Nothing more will come from anybody.
    Close,
}

/// The sending end; the task ends when all of them are gone.
pub(crate) type InputSender = mpsc::Sender<Input>;

/// Whether the end of input can be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    Pipe,
    Terminal,
}

/// A queue for input.
pub(crate) fn queue() -> (InputSender, mpsc::Receiver<Input>) {
    mpsc::channel(QUEUE)
}

/// Writes input to the container until every sender is gone.
///
/// After the end, or when the container has closed its side, input is read and dropped: a client that sends more must
/// not hang.
pub(crate) async fn feed(writer: Writer, device: Device, mut input: mpsc::Receiver<Input>) {
    let mut open = Some(writer);
    while let Some(next) = input.recv().await {
        match (next, device) {
            (Input::Close, Device::Pipe) => open = None,
            (Input::Close, Device::Terminal) => {}
            (Input::Data(bytes), _) => {
                let Some(writer) = &open else { continue };
                if let Err(error) = writer.write_all(&bytes).await {
                    if error.kind() != io::ErrorKind::BrokenPipe {
                        tracing::debug!(%error, "cannot write the container's standard input");
                    }
                    open = None;
                }
            }
        }
    }
}

/// Copies a FIFO into the queue until its last writer has closed it.
pub(crate) async fn copy_from(fifo: Reader, input: InputSender) {
    let mut chunk = vec![0; 32 << 10];
    loop {
        let next = match fifo.read(&mut chunk).await {
            Ok(0) => Input::Close,
            Ok(length) => Input::Data(chunk[..length].to_owned()),
            Err(error) => {
                tracing::warn!(%error, "cannot read the FIFO for standard input");
                Input::Close
            }
        };
        let end = matches!(next, Input::Close);
        if input.send(next).await.is_err() || end {
            return;
        }
    }
}
