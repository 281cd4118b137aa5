use std::io::{self, Read};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

/// How much is read at once.
const CHUNK_BYTES: usize = 128 << 10;
/// How many chunks may wait to be sent.
const CHUNKS: usize = 4;

/// Reads on a thread of its own, since files and terminals cannot be awaited; an empty channel at the end.
///
/// The thread ends with the source, or with the first chunk after the receiver is gone. One that is blocked in a read
/// of standard input ends with the process.
pub(crate) fn read_in_background(mut source: impl Read + Send + 'static) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let chunk = match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => Ok(Bytes::copy_from_slice(&buffer[..count])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// What a channel receives, as a stream.
pub(crate) fn channel_stream<T>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) })
}
