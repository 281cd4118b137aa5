//! WebSocket (RFC 6455), as much of it as attach needs: binary messages both ways, pings, close.

use std::io;
use std::pin::pin;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use hyper_util::rt::TokioIo;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::hijack::{self, Client, Ended};
use crate::http::{self, Call, Failure, Reply};

/// What the answer to a key is made with.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A message of a client's is something typed or pasted.
const MAX_FRAME_BYTES: u64 = 1 << 20;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A connection after the handshake.
pub(super) struct Socket {
    reading: ReadHalf<Client>,
    writing: WriteHalf<Client>,
}

/// The client's key, when it asks for a WebSocket at all.
pub(super) fn key(call: &Call) -> Result<String, Failure> {
    let is = |name: &str, wanted: &str| {
        call.header(name).is_some_and(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case(wanted)))
    };
    let key = call
        .header("sec-websocket-key")
        .filter(|_| is("upgrade", "websocket") && is("connection", "upgrade") && is("sec-websocket-version", "13"));
    key.map(str::to_owned).ok_or_else(|| Failure::invalid("not a WebSocket handshake (RFC 6455, version 13)"))
}

fn accept(key: &str) -> String {
    BASE64_STANDARD.encode(Sha1::digest(format!("{key}{GUID}")))
}

/// Completes the handshake and hands the connection to `serve`.
pub(super) fn upgrade<F>(mut call: Call, key: &str, serve: impl FnOnce(Socket) -> F + Send + 'static) -> Reply
where
    F: Future<Output = ()> + Send,
{
    let upgrade = hyper::upgrade::on(&mut call.request);
    tokio::spawn(async move {
        let Ok(client) = upgrade.await else { return };
        let (reading, writing) = tokio::io::split(TokioIo::new(client));
        serve(Socket { reading, writing }).await;
    });
    let mut response = http::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept(key)).expect("base64 is a header value"));
    Ok(response)
}

impl Socket {
    /// Sends one binary message.
    pub(super) async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.writing.write_all(&frame(BINARY, payload)).await
    }

    /// Connects the client and a container until either ends or the client detaches.
    pub(super) async fn splice(self, container: UnixStream, keys: &[u8]) -> Ended {
        let Self { mut reading, mut writing } = self;
        let (mut output, mut to_container) = container.into_split();
        // Answers to pings go out between the container's messages.
        let (pongs, mut pending) = mpsc::channel::<Bytes>(4);
        let input = async {
            let mut matched = 0;
            while let Ok(Some((kind, payload))) = read_frame(&mut reading).await {
                match kind {
                    CLOSE => break,
                    PING => drop(pongs.send(payload).await),
                    PONG => {}
                    _ => {
                        let (pass, detached) = hijack::scan_for_keys(&payload, keys, &mut matched);
                        if to_container.write_all(&pass).await.is_err() || detached {
                            return detached;
                        }
                    }
                }
            }
            let _ = to_container.shutdown().await;
            false
        };
        let deliver = async {
            loop {
                let bytes = tokio::select! {
                    Some(payload) = pending.recv() => frame(PONG, &payload),
                    read = hijack::read_frame(&mut output) => match read {
                        Ok(Some((_, payload))) => frame(BINARY, &payload),
                        Ok(None) | Err(_) => break,
                    },
                };
                if writing.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            // 1000: normal.
            let _ = writing.write_all(&frame(CLOSE, &1000u16.to_be_bytes())).await;
            let _ = writing.shutdown().await;
        };
        let (input, deliver) = (pin!(input), pin!(deliver));
        tokio::select! {
            () = deliver => Ended::Output,
            // A WebSocket has no half-closed state: whoever stops to send is gone.
            detached = input => if detached { Ended::Detached } else { Ended::Output },
        }
    }
}

/// One unfragmented frame of a server.
fn frame(kind: u8, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.len() + 10);
    bytes.put_u8(0x80 | kind);
    match payload.len() {
        length @ ..=125 => bytes.put_u8(u8::try_from(length).unwrap_or(125)),
        length @ 126..=0xffff => {
            bytes.put_u8(126);
            bytes.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
        }
        length => {
            bytes.put_u8(127);
            bytes.put_u64(length as u64);
        }
    }
    bytes.put_slice(payload);
    bytes.freeze()
}

/// The next frame of a client: its kind and unmasked payload. Fragments are passed on as they come: this is a stream.
async fn read_frame(client: &mut ReadHalf<Client>) -> io::Result<Option<(u8, Bytes)>> {
    let mut head = [0; 2];
    match client.read_exact(&mut head).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    };
    let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    if head[1] & 0x80 == 0 {
        return Err(invalid("a client's frame is masked"));
    }
    let length = match head[1] & 0x7f {
        126 => u64::from(client.read_u16().await?),
        127 => client.read_u64().await?,
        length => u64::from(length),
    };
    if length > MAX_FRAME_BYTES {
        return Err(invalid("a frame of over 1 MiB"));
    }
    let mut mask = [0; 4];
    client.read_exact(&mut mask).await?;
    let mut payload = BytesMut::zeroed(usize::try_from(length).map_err(|_| invalid("too long"))?);
    client.read_exact(&mut payload).await?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(Some((head[0] & 0x0f, payload.freeze())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_the_standards() {
        // RFC 6455 §1.3.
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        for (length, head) in [(0, vec![0x82, 0]), (125, vec![0x82, 125]), (126, vec![0x82, 126, 0, 126])] {
            assert_eq!(frame(BINARY, &vec![0; length])[..head.len()], head);
        }
        assert_eq!(frame(BINARY, &vec![0; 0x10000])[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
