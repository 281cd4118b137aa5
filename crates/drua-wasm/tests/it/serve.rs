//! The HTTP server: real requests over TCP.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::time::Instant;

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{self, DEADLINE, Fixture, Lines, finish, wait};
use crate::test;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("serve::requests_on_one_connection", requests_on_one_connection),
        test("serve::requests_at_the_same_time", requests_at_the_same_time),
        test("serve::a_handler_that_fails", a_handler_that_fails),
        test("serve::termination_waits_for_requests", termination_waits_for_requests),
        test("serve::interruption_is_success", interruption_is_success),
        test("serve::termination_does_not_wait_for_ever", termination_does_not_wait_for_ever),
        test("serve::outgoing_requests", outgoing_requests),
        test("serve::addresses", addresses),
        test("serve::a_deadline_ends_a_request", a_deadline_ends_a_request),
        test("serve::instances_are_kept_when_asked_for", instances_are_kept_when_asked_for),
        test("serve::http2_by_its_preface", http2_by_its_preface),
        test("serve::a_guest_that_computes_holds_up_nobody", a_guest_that_computes_holds_up_nobody),
    ]
}

/// A server under test; ended when dropped.
struct Server {
    child: Child,
    log: Lines,
    address: SocketAddr,
    fixture: Fixture,
}

impl Server {
    fn start() -> Self {
        Self::start_in(Fixture::new(component()))
    }

    fn start_in(fixture: Fixture) -> Self {
        Self::start_with(fixture, &[])
    }

    fn start_with(fixture: Fixture, env: &[&str]) -> Self {
        let env = [&["WASMTIME_HTTP_PROXY_SOCKET_ADDR=127.0.0.1:0"], env].concat();
        let mut child = fixture.command(&["/app.wasm"], &env).spawn().expect("starting");
        let mut log = Lines::of(&mut child);
        let line = log.next();
        let address = line.strip_prefix("serving HTTP on http://").and_then(|rest| rest.strip_suffix('/'));
        let address = address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        Self { child, log, address, fixture }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connecting");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream
    }

    fn get(&self, path: &str) -> String {
        request(&mut self.connect(), path)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signalling");
    }

    fn end(&mut self) -> Option<i32> {
        wait(&mut self.child).code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn component() -> Vec<u8> {
    harness::component(include_str!("fixtures/serve.wat"), include_str!("fixtures/serve.wit"))
}

/// Sends a request and reads its response, whose head and body come back as one text; keeps the connection.
fn request(stream: &mut TcpStream, path: &str) -> String {
    send(stream, path);
    receive(stream)
}

fn send(stream: &mut TcpStream, path: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").expect("sending");
}

fn receive(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    // Bodies are chunked, or of a length that ends with a newline.
    while !(text.ends_with("0\r\n\r\n") || (text.contains("content-length") && text.ends_with('\n') && has_body(&text)))
    {
        let length = stream.read(&mut buffer).expect("receiving");
        if length == 0 {
            break;
        }
        text.push_str(std::str::from_utf8(&buffer[..length]).expect("text"));
    }
    text
}

fn has_body(text: &str) -> bool {
    text.split_once("\r\n\r\n").is_some_and(|(_, body)| !body.is_empty())
}

#[track_caller]
fn is_hello(response: &str) {
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.contains("hello from http\n"), "{response}");
}

fn requests_on_one_connection() {
    let server = Server::start();
    let mut stream = server.connect();
    for _ in 0..50 {
        is_hello(&request(&mut stream, "/"));
    }
}

fn requests_at_the_same_time() {
    let server = Server::start();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let mut stream = server.connect();
                for path in ["/", "/wait", "/", "/"] {
                    is_hello(&request(&mut stream, path));
                }
            });
        }
    });
}

fn a_handler_that_fails() {
    let mut server = Server::start();
    let mut stream = server.connect();
    assert!(request(&mut stream, "/trap?secret").starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
    let line = server.log.next();
    assert!(line.starts_with("request 0 (GET /trap): ") && line.contains("`unreachable`"), "{line}");
    assert!(request(&mut stream, "/none").starts_with("HTTP/1.1 500 "));
    assert_eq!(server.log.next(), "request 1 (GET /none): the handler ended without a response");
    is_hello(&request(&mut stream, "/late"));
    assert!(server.log.next().starts_with("request 2 failed after its response began: "));
    is_hello(&request(&mut stream, "/"));
    let mut rude = server.connect();
    rude.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sending");
    assert!(receive(&mut rude).starts_with("HTTP/1.0 400 Bad Request"));
}

fn termination_waits_for_requests() {
    let mut server = Server::start();
    let mut idle = server.connect();
    is_hello(&request(&mut idle, "/"));
    let mut busy = server.connect();
    send(&mut busy, "/wait");
    // Another request after it shows that the server has read the first.
    is_hello(&server.get("/"));
    server.signal(Signal::TERM);
    is_hello(&receive(&mut busy));
    assert_eq!(server.end(), Some(143));
    assert_eq!(idle.read(&mut [0; 8]).expect("the end of an idle connection"), 0);
}

fn interruption_is_success() {
    let mut server = Server::start();
    server.signal(Signal::INT);
    assert_eq!(server.end(), Some(0));
}

fn termination_does_not_wait_for_ever() {
    let mut server = Server::start();
    let mut stuck = server.connect();
    send(&mut stuck, "/spin");
    is_hello(&server.get("/"));
    let begun = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.end(), Some(143));
    assert!(begun.elapsed() < DEADLINE / 2);
    let mut server = Server::start();
    let mut stuck = server.connect();
    send(&mut stuck, "/spin");
    is_hello(&server.get("/"));
    server.signal(Signal::TERM);
    server.signal(Signal::INT);
    // Whoever insists does not wait; which of the two the kernel hands out first is its own choice.
    assert!(matches!(server.end(), Some(130 | 143)));
}

fn outgoing_requests() {
    let fixture = Fixture::new(component());
    fs::write(fixture.root().join("etc/hosts"), "127.0.0.1\tother-service\n").expect("writing");
    let other = TcpListener::bind("127.0.0.1:0").expect("listening");
    let port = other.local_addr().expect("an address").port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().expect("accepting");
        let mut head = [0; 1024];
        let length = stream.read(&mut head).expect("reading");
        stream.write_all(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n").expect("answering");
        String::from_utf8_lossy(&head[..length]).to_lowercase()
    });
    let server = Server::start_in(fixture);
    let response = server.get(&format!("/fetch?other-service:{port}"));
    assert!(response.starts_with("HTTP/1.1 418 "), "{response}");
    let head = answering.join().expect("the other server");
    assert!(
        head.starts_with("get / http/1.1\r\n") && head.contains(&format!("host: other-service:{port}\r\n")),
        "{head}"
    );
    // Nobody listens any more; and nobody knows the name, since the root has no resolv.conf.
    assert!(server.get(&format!("/fetch?other-service:{port}")).starts_with("HTTP/1.1 502 "));
    fs::write(server.fixture.root().join("etc/resolv.conf"), "options timeout:1 attempts:1\n").expect("writing");
    assert!(server.get("/fetch?nobody:80").starts_with("HTTP/1.1 502 "));
}

fn addresses() {
    let fixture = Fixture::new(component());
    let fails = |address: &str, expect: &str| {
        let env = format!("WASMTIME_HTTP_PROXY_SOCKET_ADDR={address}");
        let output = finish(fixture.command(&["/app.wasm"], &[&env]).spawn().expect("starting"));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(137) && text.starts_with(expect), "{text}");
    };
    fails("nonsense", "error: `nonsense` is not an address to listen on\n");
    let taken = TcpListener::bind("127.0.0.1:0").expect("listening");
    let address = taken.local_addr().expect("an address").to_string();
    fails(&address, &format!("error: cannot listen on {address}\n  Caused by: Address already in use"));
}

fn a_deadline_ends_a_request() {
    let mut server = Server::start_with(Fixture::new(component()), &["TEST_ANNOTATION_dev.drua.wasm.timeout=0.3"]);
    assert!(server.get("/spin").starts_with("HTTP/1.1 504 Gateway Timeout\r\n"));
    assert!(server.log.next().contains("no answer within the limit of 0.3 s"));
    is_hello(&server.get("/"));
}

fn instances_are_kept_when_asked_for() {
    let server = Server::start_with(Fixture::new(component()), &["TEST_ANNOTATION_dev.drua.wasm.reuse=10"]);
    let mut stream = server.connect();
    for _ in 0..25 {
        is_hello(&request(&mut stream, "/"));
    }
}

fn a_guest_that_computes_holds_up_nobody() {
    let server = Server::start();
    let mut stuck: Vec<TcpStream> = (0..16).map(|_| server.connect()).collect();
    stuck.iter_mut().for_each(|stream| send(stream, "/spin"));
    is_hello(&server.get("/"));
}

/// The preface and an empty SETTINGS frame; the server's own SETTINGS come back.
fn http2_by_its_preface() {
    let server = Server::start();
    let mut stream = server.connect();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("sending");
    let mut head = [0; 9];
    stream.read_exact(&mut head).expect("a frame");
    assert_eq!(head[3], 4, "SETTINGS: {head:?}");
    // HEADERS on stream 1, all by numbers of HPACK's static table but the authority: GET, /, http.
    let headers = b"\x82\x84\x86\x01\x04test";
    let frame = [&[0, 0, headers.len() as u8, 1, 5, 0, 0, 0, 1][..], headers].concat();
    stream.write_all(&frame).expect("sending");
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&text).contains("hello from http") {
        let length = stream.read(&mut buffer).expect("receiving");
        assert!(length > 0, "{text:?}");
        text.extend_from_slice(&buffer[..length]);
    }
}
