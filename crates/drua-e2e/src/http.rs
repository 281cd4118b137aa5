//! The few lines of HTTP/1.1 that the tests need, over TCP and unix sockets.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};

/// How long one read or write may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A response: status code and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header lines as they came.
    pub headers: Vec<String>,
    /// The body.
    pub body: String,
}

/// `GET path` from `address` (`host:port`).
///
/// # Errors
///
/// When nobody listens there or the answer is no HTTP.
pub fn get(address: &str, path: &str) -> Result<Response> {
    let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to `{address}`"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange(stream, "GET", path, "")
}

/// `method path` on a unix socket, with a JSON body when it is not empty.
///
/// # Errors
///
/// As [`get`].
pub fn unix(socket: &Path, method: &str, path: &str, body: &str) -> Result<Response> {
    let stream = UnixStream::connect(socket).with_context(|| format!("cannot connect to `{}`", socket.display()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange(stream, method, path, body)
}

fn exchange(mut stream: impl Read + Write, method: &str, path: &str, body: &str) -> Result<Response> {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: drua\r\nConnection: close\r\n{kind}Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("no HTTP status line: {line:?}"))?;
    let headers = read_headers(&mut reader)?;
    let chunked = headers.iter().any(|header| header.eq_ignore_ascii_case("transfer-encoding: chunked"));
    let mut bytes = Vec::new();
    if chunked {
        while let Some(mut chunk) = read_chunk(&mut reader)? {
            bytes.append(&mut chunk);
        }
    } else if method != "HEAD" {
        reader.read_to_end(&mut bytes)?;
    }
    Ok(Response { status, headers, body: String::from_utf8_lossy(&bytes).into_owned() })
}

fn read_headers(reader: &mut BufReader<impl Read>) -> Result<Vec<String>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(headers);
        }
        headers.push(line.trim().to_owned());
    }
}

fn read_chunk(reader: &mut BufReader<impl Read>) -> Result<Option<Vec<u8>>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let size = usize::from_str_radix(line.trim(), 16).with_context(|| format!("no chunk size: {line:?}"))?;
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk)?;
    chunk.truncate(size);
    Ok((size > 0).then_some(chunk))
}
