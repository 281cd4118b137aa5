//! `POST /containers/{}/attach` and `GET /containers/{}/attach/ws`.

use bytes::Bytes;
use drua_engine::log::ReadOptions;
use drua_engine::{AttachStreams, Attached, Container, Engine, LogQuery};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, oneshot};

use super::hijack::{self, Ended};
use super::logs::LogFormat;
use super::websocket;
use crate::http::{self, Call, Failure, Reply};

/// What an attached client gets: what was logged, then what comes, without a gap and without a double.
struct Attachment {
    replay: Option<(mpsc::Receiver<drua_engine::log::Entry>, LogFormat)>,
    /// There is a process.
    connected: Option<Attached>,
    /// There will be one.
    pending: Option<oneshot::Receiver<Attached>>,
}

/// Registers first and replays only what is older: the shim says where the log ended at that moment.
async fn prepare(
    engine: &Engine,
    container: &Container,
    streams: AttachStreams,
    call: &Call,
) -> Result<Attachment, Failure> {
    let name = container.id.as_str();
    let [logs, stream] = ["logs", "stream"].map(|key| call.query.flag(key));
    let mut pending = match stream {
        true => Some(engine.attach(name, streams).await?),
        false => None,
    };
    let connected = pending.as_mut().and_then(|pending| pending.try_recv().ok());
    if connected.is_some() {
        pending = None;
    }
    let replay = if logs {
        let end = connected.as_ref().and_then(|attached| attached.log);
        let options = ReadOptions { end, ..ReadOptions::default() };
        Some((engine.logs(name, LogQuery { options, follow: false }).await?, LogFormat::new(container, &call.query)))
    } else {
        None
    };
    Ok(Attachment { replay, connected, pending })
}

impl Attachment {
    /// The next piece of the replay.
    async fn replayed(&mut self) -> Option<Bytes> {
        let (entries, format) = self.replay.as_mut()?;
        loop {
            let entry = entries.recv().await?;
            if format.wants(&entry) {
                return Some(format.bytes(&entry));
            }
        }
    }

    async fn connection(self) -> Option<Attached> {
        match (self.connected, self.pending) {
            (Some(attached), _) => Some(attached),
            (None, Some(pending)) => pending.await.ok(),
            (None, None) => None,
        }
    }
}

fn streams(call: &Call) -> [bool; 3] {
    ["stdin", "stdout", "stderr"].map(|key| call.query.flag(key))
}

pub(crate) async fn attach(engine: Engine, name: &str, call: Call) -> Reply {
    let container = engine.container(name)?;
    let [stdin, stdout, stderr] = streams(&call);
    let tty = container.config.tty;
    let keys = hijack::detach_keys(call.query.get("detachKeys"))?;
    let keys = if tty && stdin { keys } else { Vec::new() };
    let mut attachment = prepare(&engine, &container, AttachStreams::new(stdin, stdout, stderr), &call).await?;
    let content_type = hijack::content_type(tty, &call);
    if !hijack::wants_upgrade(&call) {
        let (response, sender) = http::stream(content_type);
        tokio::spawn(async move {
            while let Some(bytes) = attachment.replayed().await {
                if sender.send(bytes).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = sender.closed() => {}
                attached = attachment.connection() => if let Some(attached) = attached {
                    hijack::forward(attached.stream, tty, &sender).await;
                }
            }
        });
        return Ok(response);
    }
    hijack::upgrade(call, content_type, move |mut client| async move {
        while let Some(bytes) = attachment.replayed().await {
            if client.write_all(&bytes).await.is_err() {
                return;
            }
        }
        if let Some(attached) = attachment.connection().await
            && hijack::splice(client, attached.stream, tty, &keys, std::future::ready(())).await == Ended::Detached
        {
            engine.announce(container.id.as_str(), "detach");
        }
    })
}

pub(crate) async fn attach_ws(engine: Engine, name: &str, call: Call) -> Reply {
    let container = engine.container(name)?;
    // Which streams has counted since 1.42; before, it was all of them.
    let all = call.is_older_than((1, 42));
    let [stdin, stdout, stderr] = streams(&call).map(|wanted| wanted || all);
    let keys = hijack::detach_keys(call.query.get("detachKeys"))?;
    let keys = if container.config.tty && stdin { keys } else { Vec::new() };
    let key = websocket::key(&call)?;
    let mut attachment = prepare(&engine, &container, AttachStreams::new(stdin, stdout, stderr), &call).await?;
    // Never framed: WebSocket has messages of its own.
    if let Some((_, format)) = &mut attachment.replay {
        format.unframed();
    }
    websocket::upgrade(call, &key, move |mut socket| async move {
        while let Some(bytes) = attachment.replayed().await {
            if socket.send(&bytes).await.is_err() {
                return;
            }
        }
        if let Some(attached) = attachment.connection().await
            && socket.splice(attached.stream, &keys).await == Ended::Detached
        {
            engine.announce(container.id.as_str(), "detach");
        }
    })
}
