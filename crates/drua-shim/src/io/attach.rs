//! `io.sock`: clients that watch the container's output and feed its input.
//!
//! ```text
//!   client                                            shim
//!     ── {"version":1,"stdin":b,"stdout":b,"stderr":b,"exec":"…"}\n ──►   `exec`: not the container, but that exec of it
//!     ◄── {"version":1,"log":{"inode":n,"bytes":n}}\n ──      registered: output from now on will come as frames;
//!                                                             `log` (absent without one) says where the log ended then
//!     ◄── Docker frames: type 1|2, 0 0 0, u32 length, payload ──
//!     ── raw bytes for standard input ──►
//! ```
//!
//! The end of a client's input (a half-close or a disconnect) ends the container's input when the specification says
//! `dev.drua.stdin-once` = `true` and there is no terminal; otherwise the next client can go on. The shim closes the
//! connection when the container has ended and all output is delivered. Nothing a client does harms the container: an
//! invalid or late greeting closes the connection, and one that does not read is dropped (see [`super::client`]).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drua_runtime::logs::LogPosition;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::Frames;
use super::output::{Registered, Registration};
use super::stdin::{Input, InputSender};
use crate::sockets;

/// How many clients there may be; further connections are closed.
const MAX_CLIENTS: usize = 2048;
/// How long a client may take to say what it wants.
const GREETING: Duration = Duration::from_secs(5);
/// The longest greeting.
const MAX_GREETING_BYTES: usize = 4096;
/// How long the last frames of a container that has ended may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// What connections need to reach the container.
#[derive(Debug, Clone)]
pub(crate) struct Wiring {
    pub(crate) registrations: mpsc::Sender<Registration>,
    /// `None` when the container has no input to feed.
    pub(crate) input: Option<InputSender>,
    pub(crate) stdin_once: bool,
}

/// How clients reach the execs of the container, by exec id.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExecWirings(Arc<Mutex<HashMap<String, Wiring>>>);

impl ExecWirings {
    pub(crate) fn insert(&self, id: &str, wiring: Wiring) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), wiring);
    }

    pub(crate) fn remove(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn get(&self, id: &str) -> Option<Wiring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

#[derive(Debug, Deserialize)]
struct Hello {
    version: u32,
    #[serde(default)]
    stdin: bool,
    #[serde(default)]
    stdout: bool,
    #[serde(default)]
    stderr: bool,
    #[serde(default)]
    exec: Option<String>,
}

#[derive(Debug, Serialize)]
struct Welcome {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogPosition>,
}

/// Serves clients until `closing` fires, then lets those that are there finish.
pub(crate) async fn serve(
    listener: UnixListener,
    wiring: Wiring,
    execs: ExecWirings,
    mut closing: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = sockets::accept(&listener) => match accepted {
                Ok(stream) if connections.len() < MAX_CLIENTS => {
                    let (wiring, execs) = (wiring.clone(), execs.clone());
                    connections.spawn(async move {
                        if let Err(error) = client(stream, wiring, execs).await {
                            tracing::debug!(%error, "an attached client has gone");
                        }
                    });
                }
                Ok(_refused) => tracing::warn!("too many attached clients"),
                Err(error) => {
                    // Out of file descriptors, most likely: the listener stays readable, so do not spin.
                    tracing::warn!(%error, "cannot accept a client");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
            _ = &mut closing => break,
        }
    }
    drop((listener, wiring));
    let finish = async { while connections.join_next().await.is_some() {} };
    if timeout(GOODBYE, finish).await.is_err() {
        tracing::warn!("attached clients did not read the last output");
    }
}

async fn client(mut stream: UnixStream, wiring: Wiring, execs: ExecWirings) -> io::Result<()> {
    let Ok(hello) = timeout(GREETING, greeting(&mut stream)).await else {
        return Err(io::ErrorKind::TimedOut.into());
    };
    let hello = hello?;
    let wiring = match &hello.exec {
        None => Some(wiring),
        // The container's own must not be kept from ending by a client of an exec.
        Some(id) => {
            drop(wiring);
            execs.get(id)
        }
    };
    let Some(Wiring { registrations, input, stdin_once }) = wiring else { return Err(io::ErrorKind::NotFound.into()) };
    let (reply, registered) = oneshot::channel();
    let registration = Registration { stdout: hello.stdout, stderr: hello.stderr, reply };
    // Nobody to register with: the container has ended.
    let ended = || io::Error::from(io::ErrorKind::NotConnected);
    registrations.send(registration).await.map_err(|_| ended())?;
    drop(registrations);
    let Registered { frames, abandonment, log } = registered.await.map_err(|_| ended())?;
    let mut welcome = serde_json::to_vec(&Welcome { version: 1, log })?;
    welcome.push(b'\n');
    stream.write_all(&welcome).await?;
    let (reading, writing) = stream.into_split();
    tokio::select! {
        written = write(writing, frames) => written,
        () = abandonment.wait() => Err(io::ErrorKind::TimedOut.into()),
        () = read(reading, input.filter(|_| hello.stdin), stdin_once) => Ok(()),
    }
}

/// Reads one line of JSON, byte by byte: what follows is standard input already.
async fn greeting(stream: &mut UnixStream) -> io::Result<Hello> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => break,
            byte if line.len() < MAX_GREETING_BYTES => line.push(byte),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    let hello: Hello = serde_json::from_slice(&line)?;
    if hello.version == 1 { Ok(hello) } else { Err(io::ErrorKind::Unsupported.into()) }
}

async fn write(mut stream: OwnedWriteHalf, mut frames: Frames) -> io::Result<()> {
    while let Some(frame) = frames.next().await {
        stream.write_all(frame.bytes()).await?;
    }
    stream.shutdown().await
}

/// Passes the client's bytes on. Returns only when the client is gone for good; a client that has merely closed its
/// writing half goes on to get output.
async fn read(mut stream: OwnedReadHalf, input: Option<InputSender>, stdin_once: bool) {
    let mut chunk = vec![0; 32 << 10];
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                let Some(input) = &input else { continue };
                // A task that is gone means that the container has ended; the writer will end this connection.
                let _ = input.send(Input::Data(chunk[..length].to_owned())).await;
            }
        }
    }
    if let Some(input) = input.filter(|_| stdin_once) {
        let _ = input.send(Input::Close).await;
    }
    let gone = stream.as_ref().ready(Interest::READABLE | Interest::WRITABLE).await;
    if !gone.is_ok_and(|ready| !ready.is_write_closed()) {
        return;
    }
    std::future::pending::<()>().await;
}
