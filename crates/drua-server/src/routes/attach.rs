//! Streams of a container's output and input: attach and logs.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use drua_engine::log::{Entry, ReadOptions, Stream, Tail};
use drua_engine::{AttachStreams, Container, Engine, LogQuery};
use hyper::StatusCode;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

use crate::http::{self, Call, Failure, Query, Reply, Sender};

const RAW: &str = "application/vnd.docker.raw-stream";
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
/// docker-py loses output that arrives in one segment with the answer's headers: it takes the raw socket from under a
/// buffered reader. So it gets its output a little later.
const GAP_FOR_DOCKER_PY: Duration = Duration::from_millis(5);

/// Output without a terminal is framed, with one it is not.
fn content_type(container: &Container) -> &'static str {
    if container.config.tty { RAW } else { MULTIPLEXED }
}

pub(crate) async fn attach(engine: &Engine, name: &str, mut call: Call) -> Reply {
    let container = engine.container(name)?;
    let [logs, stream] = ["logs", "stream"].map(|key| call.query.flag(key));
    let [stdin, stdout, stderr] = ["stdin", "stdout", "stderr"].map(|key| call.query.flag(key));
    let keys = detach_keys(call.query.get("detachKeys"))?;
    let keys = if container.config.tty && stdin { keys } else { Vec::new() };
    let replay = if logs {
        let options = ReadOptions::default();
        Some((engine.logs(name, LogQuery { options, follow: false }).await?, LogFormat::new(&container, &call.query)))
    } else {
        None
    };
    let connection = match stream {
        true => Some(engine.attach(name, AttachStreams::new(stdin, stdout, stderr)).await?),
        false => None,
    };
    let gap = call.header("user-agent").is_some_and(|agent| agent.contains("docker-sdk-python"));
    let tty = container.config.tty;
    if !call.header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("tcp")) {
        let (response, sender) = http::stream(content_type(&container));
        tokio::spawn(async move {
            if let Some((mut entries, format)) = replay {
                while let Some(entry) = entries.recv().await {
                    if format.wants(&entry) && sender.send(format.bytes(&entry)).await.is_err() {
                        return;
                    }
                }
            }
            if let Some(connection) = connection
                && let Ok(connection) = connection.await
            {
                let (output, input) = connection.into_split();
                forward_output(output, tty, &sender).await;
                drop(input);
            }
        });
        return Ok(response);
    }
    let upgrade = hyper::upgrade::on(&mut call.request);
    tokio::spawn(async move {
        // The client may go away between its request and our answer.
        let Ok(client) = upgrade.await else { return };
        let mut client = TokioIo::new(client);
        if gap {
            tokio::time::sleep(GAP_FOR_DOCKER_PY).await;
        }
        if let Some((mut entries, format)) = replay {
            while let Some(entry) = entries.recv().await {
                if format.wants(&entry) && client.write_all(&format.bytes(&entry)).await.is_err() {
                    return;
                }
            }
        }
        if let Some(connection) = connection
            && let Ok(connection) = connection.await
        {
            splice(client, connection, tty, &keys).await;
        }
    });
    let mut response = http::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(&container)));
    Ok(response)
}

/// Connects a hijacked client and a container until the container's output ends or the client detaches. The client may
/// close its writing side alone, which says that there is no more input.
async fn splice(client: TokioIo<Upgraded>, container: UnixStream, tty: bool, keys: &[u8]) {
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
        let _ = to_client.shutdown().await;
    };
    tokio::pin!(input, deliver);
    tokio::select! {
        () = &mut deliver => {}
        detached = &mut input => if !detached { deliver.await },
    }
}

/// Takes the detach sequence out of input: what to pass on, and whether the sequence is complete. A beginning of it is
/// held back until the next byte decides.
fn scan_for_keys(input: &[u8], keys: &[u8], matched: &mut usize) -> (Vec<u8>, bool) {
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
fn detach_keys(text: Option<&str>) -> Result<Vec<u8>, Failure> {
    let invalid = || Failure::invalid("Invalid detach keys provided");
    let key = |word: &str| match (word.strip_prefix("ctrl-"), word.as_bytes()) {
        (Some(control), _) => match control.to_ascii_uppercase().as_bytes() {
            [byte @ b'@'..=b'_'] => Ok(byte - b'@'),
            _ => Err(invalid()),
        },
        (None, [byte]) => Ok(*byte),
        (None, _) => Err(invalid()),
    };
    text.unwrap_or("ctrl-p,ctrl-q").split(',').map(key).collect()
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
    while let Some(payload) = read_payload(output).await? {
        client.write_all(&payload).await?;
        client.flush().await?;
    }
    Ok(())
}

async fn forward_output(mut output: OwnedReadHalf, tty: bool, client: &Sender) {
    if tty {
        while let Ok(Some(payload)) = read_payload(&mut output).await {
            if client.send(payload).await.is_err() {
                return;
            }
        }
        return;
    }
    let mut buffer = BytesMut::with_capacity(16 << 10);
    while let Ok(1..) = output.read_buf(&mut buffer).await {
        if client.send(buffer.split().freeze()).await.is_err() {
            return;
        }
        buffer.reserve(16 << 10);
    }
}

/// The payload of the next frame from the shim.
async fn read_payload(output: &mut OwnedReadHalf) -> std::io::Result<Option<Bytes>> {
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
    Ok(Some(payload.freeze()))
}

pub(crate) async fn logs(engine: &Engine, name: &str, call: &Call) -> Reply {
    let container = engine.container(name)?;
    let query = &call.query;
    if !query.flag("stdout") && !query.flag("stderr") {
        return Err(Failure::invalid("Bad parameters: you must choose at least one stream"));
    }
    let time = |key| query.get(key).filter(|text| *text != "0").map(parse_time).transpose();
    let tail = match query.get("tail").map(str::parse::<u64>) {
        Some(Ok(count)) => Tail::Last(count),
        // "all", -1 and whatever else is no number, as in moby.
        Some(Err(_)) | None => Tail::All,
    };
    let options = ReadOptions { tail, since: time("since")?, until: time("until")? };
    let format = LogFormat::new(&container, query);
    let mut entries = engine.logs(name, LogQuery { options, follow: query.flag("follow") }).await?;
    let (response, sender) = http::stream(content_type(&container));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = sender.closed() => return,
                entry = entries.recv() => match entry {
                    Some(entry) if format.wants(&entry) => {
                        if sender.send(format.bytes(&entry)).await.is_err() {
                            return;
                        }
                    }
                    Some(_) => {}
                    None => return,
                },
            }
        }
    });
    Ok(response)
}

/// `seconds[.nanoseconds]` since the epoch, or RFC 3339.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, Failure> {
    let invalid = || Failure::invalid(format!("invalid time: {text}"));
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: i64 = seconds.parse().map_err(|_| invalid())?;
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanos: i32 = digits.parse().map_err(|_| invalid())?;
    Timestamp::new(seconds, nanos).map_err(|_| invalid())
}

/// How log records are written to a client.
struct LogFormat {
    tty: bool,
    stdout: bool,
    stderr: bool,
    timestamps: bool,
    details: bool,
}

impl LogFormat {
    fn new(container: &Container, query: &Query) -> Self {
        Self {
            tty: container.config.tty,
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
            timestamps: query.flag("timestamps"),
            details: query.flag("details"),
        }
    }

    fn wants(&self, entry: &Entry) -> bool {
        match entry.stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    fn bytes(&self, entry: &Entry) -> Bytes {
        let mut text = String::new();
        if self.timestamps {
            text = format!("{:.9} ", entry.time);
        }
        if self.details {
            let attributes: Vec<String> = entry.attrs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            text.push_str(&attributes.join(","));
            text.push(' ');
        }
        text.push_str(&entry.log);
        if self.tty {
            return text.into();
        }
        let kind = match entry.stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        let mut frame = BytesMut::with_capacity(8 + text.len());
        frame.put_slice(&[kind, 0, 0, 0]);
        frame.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        frame.put_slice(text.as_bytes());
        frame.freeze()
    }
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
    fn times_are_read_in_both_forms() {
        let time = |text| parse_time(text).ok().map(|time| time.to_string());
        assert_eq!(time("1.5").as_deref(), Some("1970-01-01T00:00:01.5Z"));
        assert_eq!(time("2024-01-02T03:04:05Z").as_deref(), Some("2024-01-02T03:04:05Z"));
        assert_eq!(time("yesterday"), None);
    }
}
