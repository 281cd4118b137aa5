//! `GET /containers/{}/logs`.

use bytes::{BufMut as _, Bytes, BytesMut};
use drua_engine::log::{Entry, ReadOptions, Stream, Tail};
use drua_engine::{Container, Engine, LogQuery};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

use super::hijack;
use crate::http::{self, Call, Failure, Query, Reply};

/// What Go's `url.QueryEscape` leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

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
    let options = ReadOptions { tail, since: time("since")?, until: time("until")?, end: None };
    let format = LogFormat::new(&container, query);
    let mut entries = engine.logs(name, LogQuery { options, follow: query.flag("follow") }).await?;
    let (response, sender) = http::stream(hijack::content_type(container.config.tty, call));
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
pub(super) struct LogFormat {
    tty: bool,
    stdout: bool,
    stderr: bool,
    timestamps: bool,
    details: bool,
}

impl LogFormat {
    pub(super) fn new(container: &Container, query: &Query) -> Self {
        Self {
            tty: container.config.tty,
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
            timestamps: query.flag("timestamps"),
            details: query.flag("details"),
        }
    }

    /// For clients that never want frames.
    pub(super) fn unframed(&mut self) {
        self.tty = true;
    }

    pub(super) fn wants(&self, entry: &Entry) -> bool {
        match entry.stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    pub(super) fn bytes(&self, entry: &Entry) -> Bytes {
        let mut text = String::new();
        if self.timestamps {
            text = format!("{:.9} ", entry.time);
        }
        if self.details {
            let encode = |text: &str| percent_encoding::utf8_percent_encode(text, UNRESERVED).to_string();
            let attribute = |(key, value): (&String, &String)| format!("{}={}", encode(key), encode(value));
            let attributes: Vec<String> = entry.attrs.iter().map(attribute).collect();
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
    fn times_are_read_in_both_forms() {
        let time = |text| parse_time(text).ok().map(|time| time.to_string());
        assert_eq!(time("1.5").as_deref(), Some("1970-01-01T00:00:01.5Z"));
        assert_eq!(time("2024-01-02T03:04:05Z").as_deref(), Some("2024-01-02T03:04:05Z"));
        assert_eq!(time("yesterday"), None);
    }
}
