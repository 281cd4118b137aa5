//! One log record as one line of JSON, byte for byte as Docker's json-file driver writes it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Where output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output; everything with a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A piece of output to be written: a line with its newline, or a part of a long line without.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The bytes, as the container wrote them.
    pub log: &'a [u8],
    /// Where they came from.
    pub stream: Stream,
    /// When they came.
    pub time: Timestamp,
    /// Attributes from the log options `labels` and `env`.
    pub attrs: Option<&'a BTreeMap<String, String>>,
}

/// A record as read back. Invalid UTF-8 has become U+FFFD when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// The text, with its newline unless it is a part of a long line.
    #[serde(default)]
    pub log: String,
    /// Where it came from.
    pub stream: Stream,
    /// Attributes, empty unless the log options ask for some.
    #[serde(default)]
    pub attrs: BTreeMap<String, String>,
    /// When it came.
    #[serde(deserialize_with = "timestamp")]
    pub time: Timestamp,
}

fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// Appends `record` to `out` as one line, newline included.
pub fn encode(record: &Record<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"log\":");
    encode_string(record.log, out);
    out.extend_from_slice(b",\"stream\":\"");
    out.extend_from_slice(record.stream.as_str().as_bytes());
    out.push(b'"');
    if let Some(attrs) = record.attrs.filter(|attrs| !attrs.is_empty()) {
        out.extend_from_slice(b",\"attrs\":{");
        for (index, (key, value)) in attrs.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            encode_string(key.as_bytes(), out);
            out.push(b':');
            encode_string(value.as_bytes(), out);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(record.time.to_string().as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// Reads one line. `None` for anything that is not a whole record, such as a line torn by a crash.
pub fn decode(line: &[u8]) -> Option<Entry> {
    serde_json::from_slice(line).ok()
}

/// A JSON string as Go's encoder writes it: `<`, `>`, `&`, U+2028 and U+2029 escaped, each invalid byte as `\ufffd`.
fn encode_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        encode_valid(chunk.valid(), out);
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

fn encode_valid(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let mut hex = [0; 6];
        let (escape, length): (&[u8], usize) = match byte {
            b'"' => (b"\\\"", 1),
            b'\\' => (b"\\\\", 1),
            b'\n' => (b"\\n", 1),
            b'\r' => (b"\\r", 1),
            0..=0x1f | b'<' | b'>' | b'&' => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                hex = [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xf)];
                (&hex, 1)
            }
            // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
            0xe2 => match bytes[index..] {
                [_, 0x80, 0xa8, ..] => (b"\\u2028", 3),
                [_, 0x80, 0xa9, ..] => (b"\\u2029", 3),
                _ => continue,
            },
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain_from..index]);
        out.extend_from_slice(escape);
        plain_from = index + length;
        let _ = hex;
    }
    out.extend_from_slice(&bytes[plain_from..]);
}
