//! An HTTP server that answers as a test tells it to, and misbehaves as a test tells it to.
//!
//! It is for what no real registry does on demand: reset, stall, lie about lengths, answer with web pages.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::net::{Shutdown, shutdown};

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The path without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// What goes wrong while an answer's body is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The connection is closed after so many bytes.
    CloseAfter(usize),
    /// Nothing more comes after so many bytes, and the connection stays.
    StallAfter(usize),
    /// At most so many bytes come in a second.
    Throttle(usize),
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    fault: Fault,
}

impl Answer {
    /// An answer with this status and body.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), fault: Fault::None }
    }

    /// Adds a header. `Content-Length` replaces the true one.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Makes something go wrong.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    /// The part of the body that the request's `Range` asks for, as a server does that knows ranges.
    #[must_use]
    pub fn ranged(mut self, request: &Request) -> Self {
        let Some(range) = request.header("range").strip_prefix("bytes=") else { return self };
        let (start, end) = range.split_once('-').unwrap_or((range, ""));
        let total = self.body.len();
        let start: usize = start.parse().unwrap_or(0);
        let end = end.parse().map_or(total, |end: usize| (end + 1).min(total));
        self.body = self.body.get(start..end).unwrap_or_default().to_vec();
        self.status = 206;
        self.header("Content-Range", format!("bytes {start}-{}/{total}", end.saturating_sub(1)))
    }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// A server on a loopback port of its own. Dropping it ends it.
pub struct Scripted {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripted").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Scripted {
    /// Starts a server.
    ///
    /// # Panics
    ///
    /// When loopback has no port left.
    #[must_use]
    pub fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let handler: Arc<Handler> = Arc::new(handler);
        let (seen, ended) = (Arc::clone(&requests), Arc::clone(&stop));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (handler, seen, ended) = (Arc::clone(&handler), Arc::clone(&seen), Arc::clone(&ended));
                thread::spawn(move || serve(&stream, &*handler, &seen, &ended));
            }
        });
        Self { address, requests, stop }
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Every request so far.
    ///
    /// # Panics
    ///
    /// Never: nobody panics with the lock held.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("nobody panics with the lock held").clone()
    }

    /// How many requests so far had this method and a path that contains this.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.requests().iter().filter(|request| request.method == method && request.target.contains(path)).count()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: &TcpStream, handler: &Handler, seen: &Mutex<Vec<Request>>, ended: &AtomicBool) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader) {
        seen.lock().expect("nobody panics with the lock held").push(request.clone());
        let answer = handler(&request);
        if !send(stream, &request, &answer, ended) {
            // So that what was sent arrives: data that nobody has read would turn the close into a reset.
            let _ = shutdown(stream, Shutdown::Write);
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    // A client that speaks TLS to us sends no line.
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, target, headers, body })
}

/// Whether the connection goes on.
fn send(mut stream: &TcpStream, request: &Request, answer: &Answer, ended: &AtomicBool) -> bool {
    let mut head = format!("HTTP/1.1 {} x\r\n", answer.status);
    for (name, value) in &answer.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        let _ = write!(head, "Content-Length: {}\r\n", answer.body.len());
    }
    head.push_str("\r\n");
    if stream.write_all(head.as_bytes()).is_err() {
        return false;
    }
    if request.method == "HEAD" {
        return true;
    }
    match answer.fault {
        Fault::None => stream.write_all(&answer.body).is_ok(),
        Fault::CloseAfter(bytes) => {
            let _ = stream.write_all(&answer.body[..bytes.min(answer.body.len())]);
            false
        }
        Fault::StallAfter(bytes) => {
            let _ = stream.write_all(&answer.body[..bytes.min(answer.body.len())]);
            // Until the client gives up.
            while !ended.load(Ordering::Relaxed) && stream.peek(&mut [0]).is_ok_and(|read| read > 0) {
                thread::sleep(Duration::from_millis(5));
            }
            false
        }
        Fault::Throttle(bytes) => answer.body.chunks((bytes / 50).max(1)).all(|piece| {
            thread::sleep(Duration::from_millis(20));
            !ended.load(Ordering::Relaxed) && stream.write_all(piece).is_ok()
        }),
    }
}

/// A proxy that takes every `CONNECT` to one port of this machine, whatever its name; returns its `host:port`. It lives
/// as long as the process.
///
/// # Panics
///
/// When loopback has no port left.
#[must_use]
pub fn tunnel_to(port: u16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || tunnel(&stream, port));
        }
    });
    address.to_string()
}

fn tunnel(mut client: &TcpStream, port: u16) -> Option<()> {
    let mut reader = BufReader::with_capacity(1, client);
    let request = read_request(&mut reader)?;
    if request.method != "CONNECT" {
        return client.write_all(b"HTTP/1.1 405 only CONNECT\r\nContent-Length: 0\r\n\r\n").ok();
    }
    let server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    client.write_all(b"HTTP/1.1 200 go on\r\n\r\n").ok()?;
    thread::scope(|scope| {
        scope.spawn(|| copy_until_end(client, &server));
        copy_until_end(&server, client);
    });
    Some(())
}

fn copy_until_end(mut from: &TcpStream, mut to: &TcpStream) {
    drop(std::io::copy(&mut from, &mut to));
    let _ = shutdown(to, Shutdown::Write);
}
