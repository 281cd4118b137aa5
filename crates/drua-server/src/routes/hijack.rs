//! Connections that carry a container's input and output: taken over after `101 UPGRADED`, or a plain body that lasts.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::StatusCode;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

use crate::http::{self, Call, Failure, Reply, Sender};

const RAW: &str = "application/vnd.docker.raw-stream";
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
/// docker-py loses output that arrives in one segment with the answer's headers: it takes the raw socket from under a
/// buffered reader. So it gets its output a little later.
const GAP_FOR_DOCKER_PY: Duration = Duration::from_millis(5);

/// A client's end of a connection that was taken over.
pub(super) type Client = TokioIo<Upgraded>;

/// Output without a terminal is framed, with one it is not; before API 1.42 both had one name.
pub(super) fn content_type(tty: bool, call: &Call) -> &'static str {
    if tty || call.is_older_than((1, 42)) { RAW } else { MULTIPLEXED }
}

/// Whether the client asks for the connection itself.
pub(super) fn wants_upgrade(call: &Call) -> bool {
    call.header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("tcp"))
}

/// Answers `101 UPGRADED` and hands the connection to `serve`, after a pause where the client needs one.
pub(super) fn upgrade<F>(
    mut call: Call,
    content_type: &'static str,
    serve: impl FnOnce(Client) -> F + Send + 'static,
) -> Reply
where
    F: Future<Output = ()> + Send,
{
    let gap = call.header("user-agent").is_some_and(|agent| agent.contains("docker-sdk-python"));
    let upgrade = hyper::upgrade::on(&mut call.request);
    tokio::spawn(async move {
        // The client may go away between its request and our answer.
        let Ok(client) = upgrade.await else { return };
        if gap {
            tokio::time::sleep(GAP_FOR_DOCKER_PY).await;
        }
        serve(TokioIo::new(client)).await;
    });
    let mut response = http::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// How a spliced connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// There is no more output, or nobody to take it.
    Output,
    /// The user left with the detach keys.
    Detached,
}

/// Connects a hijacked client and a container until the container's output ends or the client detaches. The client may
/// close its writing side alone, which says that there is no more input. `last` is waited for between the end of the
/// output and the end of the connection.
pub(super) async fn splice(
    client: Client,
    container: UnixStream,
    tty: bool,
    keys: &[u8],
    last: impl Future<Output = ()>,
) -> Ended {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut output, mut to_container) = container.into_split();
    let input = async {
        let mut buffer = vec![0u8; 16 << 10];
        let mut matched = 0;
        loop {
            let len = match from_client.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(len) => len,
            };
            let (pass, detached) = scan_for_keys(&buffer[..len], keys, &mut matched);
            if to_container.write_all(&pass).await.is_err() {
                break;
            }
            if detached {
                return true;
            }
        }
        let _ = to_container.shutdown().await;
        false
    };
    let deliver = async {
        let _ = copy_output(&mut output, tty, &mut to_client).await;
        last.await;
        let _ = to_client.shutdown().await;
    };
    let (mut input, mut deliver) = (pin!(input), pin!(deliver));
    tokio::select! {
        () = &mut deliver => Ended::Output,
        detached = &mut input => {
            if detached {
                return Ended::Detached;
            }
            deliver.await;
            Ended::Output
        }
    }
}

/// Takes the detach sequence out of input: what to pass on, and whether the sequence is complete. A beginning of it is
/// held back until the next byte decides.
pub(super) fn scan_for_keys(input: &[u8], keys: &[u8], matched: &mut usize) -> (Vec<u8>, bool) {
    if keys.is_empty() {
        return (input.to_vec(), false);
    }
    let mut pass = Vec::with_capacity(input.len());
    for &byte in input {
        if byte == keys[*matched] {
            *matched += 1;
            if *matched == keys.len() {
                return (pass, true);
            }
            continue;
        }
        pass.extend_from_slice(&keys[..*matched]);
        *matched = usize::from(byte == keys[0]);
        if *matched == 0 {
            pass.push(byte);
        }
    }
    (pass, false)
}

/// `ctrl-p,ctrl-q`: letters as they are, `ctrl-` with a letter or one of `@[\]^_`.
pub(super) fn detach_keys(text: Option<&str>) -> Result<Vec<u8>, Failure> {
    let invalid = || Failure::invalid("Invalid detach keys provided");
    let key = |word: &str| match (word.strip_prefix("ctrl-"), word.as_bytes()) {
        (Some(control), _) => match control.to_ascii_uppercase().as_bytes() {
            [byte @ b'@'..=b'_'] => Ok(byte - b'@'),
            _ => Err(invalid()),
        },
        (None, [byte]) => Ok(*byte),
        (None, _) => Err(invalid()),
    };
    text.filter(|text| !text.is_empty()).unwrap_or("ctrl-p,ctrl-q").split(',').map(key).collect()
}

/// Copies a container's frames to a client; with a terminal only their payloads.
async fn copy_output(
    output: &mut OwnedReadHalf,
    tty: bool,
    client: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    if !tty {
        tokio::io::copy(output, client).await?;
        return Ok(());
    }
    while let Some((_, payload)) = read_frame(output).await? {
        client.write_all(&payload).await?;
        client.flush().await?;
    }
    Ok(())
}

/// As [`splice`], for a client that did not ask for the connection: output only.
pub(super) async fn forward(container: UnixStream, tty: bool, client: &Sender) {
    let (mut output, _input) = container.into_split();
    if tty {
        loop {
            tokio::select! {
                () = client.closed() => return,
                frame = read_frame(&mut output) => match frame {
                    Ok(Some((_, payload))) if client.send(payload.clone()).await.is_ok() => {}
                    _ => return,
                },
            }
        }
    }
    let mut buffer = BytesMut::with_capacity(16 << 10);
    loop {
        tokio::select! {
            () = client.closed() => return,
            read = output.read_buf(&mut buffer) => match read {
                Ok(1..) => {
                    if client.send(buffer.split().freeze()).await.is_err() {
                        return;
                    }
                    buffer.reserve(16 << 10);
                }
                Ok(0) | Err(_) => return,
            },
        }
    }
}

/// The next frame from the shim: its type and payload.
pub(super) async fn read_frame(output: &mut OwnedReadHalf) -> std::io::Result<Option<(u8, Bytes)>> {
    let mut header = [0u8; 8];
    match output.read_exact(&mut header).await {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    };
    let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    // The shim's frames are as long as its reads, some 64 KiB.
    if len > 1 << 20 {
        return Err(std::io::Error::other("a frame of over 1 MiB"));
    }
    let mut payload = BytesMut::zeroed(len as usize);
    output.read_exact(&mut payload).await?;
    Ok(Some((header[0], payload.freeze())))
}

/// A text of ours in a container's output: framed as standard output, or bare with a terminal.
pub(super) fn message(tty: bool, text: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(text.len() + 8);
    if !tty {
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_sequence_is_found_across_reads_and_false_starts_pass() {
        let keys = detach_keys(None).expect("the default is valid");
        assert_eq!(keys, [16, 17]);
        let mut matched = 0;
        assert_eq!(scan_for_keys(&[b'a', 16], &keys, &mut matched), (vec![b'a'], false));
        assert_eq!(scan_for_keys(&[b'b', 16], &keys, &mut matched), (vec![16, b'b'], false));
        assert_eq!(scan_for_keys(&[16, 17, b'c'], &keys, &mut matched), (vec![16], true));
        assert!(detach_keys(Some("ctrl-")).is_err() && detach_keys(Some("ab")).is_err());
    }

    #[test]
    fn our_own_words_are_framed() {
        assert_eq!(&message(false, "no")[..], b"\x01\0\0\0\0\0\0\x02no");
        assert_eq!(&message(true, "no")[..], b"no");
    }
}
