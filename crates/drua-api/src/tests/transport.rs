use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::server::Server;
use crate::client::{AttachOptions, EventsOptions, ListContainers, LogsOptions, RequestBody, WaitCondition};
use crate::stream::{Framing, StreamType, encode};
use crate::{Client, ClientError, Filters, Host};

const DEADLINE: Duration = Duration::from_secs(10);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("no deadlock")
}

fn json_response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn requests_are_versioned_and_filtered() {
    let (server, client) = Server::new(|mut socket, head| async move {
        assert!(
            head.starts_with(
                "GET /v1.50/containers/json?all=1&filters=%7B%22name%22%3A%7B%22x%22%3Atrue%7D%7D HTTP/1.1"
            ),
            "{head}"
        );
        socket
            .write_all(json_response("200 OK", r#"[{"Id":"abc","State":"running"}]"#).as_bytes())
            .await
            .expect("sent");
    });
    let options = ListContainers { all: true, filters: Filters::new().with("name", "x"), ..ListContainers::default() };
    let list = within(client.container_list(&options)).await.expect("listed");
    assert_eq!(list[0].id.as_deref(), Some("abc"));
    server.finish().await;
}

#[tokio::test]
async fn error_bodies_become_api_errors() {
    for (body, content_type, expect) in [
        ("{\"message\":\"No such container: x\"}\n", "application/json", "No such container: x"),
        ("plain words\n", "text/plain", "plain words"),
        ("", "application/json", "the daemon answered 404 Not Found without saying why"),
        ("not json", "application/json", "not json"),
    ] {
        let (server, client) = Server::new(move |mut socket, _| async move {
            let head = format!(
                "HTTP/1.1 404 Not Found\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            socket.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
        });
        let error = within(client.container_inspect("x")).await.expect_err("refused");
        assert!(error.is_not_found());
        assert_eq!(error.to_string(), expect);
        server.finish().await;
    }
}

#[tokio::test]
async fn not_modified_is_success() {
    let (server, client) = Server::new(|mut socket, _| async move {
        socket.write_all(b"HTTP/1.1 304 Not Modified\r\n\r\n").await.expect("sent");
    });
    within(client.container_start("x", None)).await.expect("already running is fine");
    server.finish().await;
}

#[tokio::test]
async fn wait_returns_with_the_headers_and_exits_with_the_body() {
    let (started, start) = tokio::sync::oneshot::channel::<()>();
    let (server, client) = Server::new(|mut socket, head| async move {
        assert!(head.starts_with("POST /v1.50/containers/x/wait?condition=next-exit "), "{head}");
        let headers = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        socket.write_all(headers).await.expect("sent");
        start.await.expect("the client got the headers");
        socket.write_all(b"11\r\n{\"StatusCode\":3}\n\r\n0\r\n\r\n").await.expect("sent");
    });
    let mut waiter = within(client.container_wait("x", WaitCondition::NextExit)).await.expect("registered");
    started.send(()).expect("the server waits for this");
    let exit = within(waiter.exit()).await.expect("no error").expect("an exit");
    assert_eq!(exit.status_code, 3);
    server.finish().await;
}

#[tokio::test]
async fn json_objects_may_be_cut_anywhere() {
    let (server, client) = Server::new(|mut socket, _| async move {
        socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.expect("sent");
        let body = br#"{"Type":"container","Action":"start","Actor":{"ID":"a"}}"#;
        let last = br#"{"Type":"network","Action":"new-kind-of-action","Actor":{"ID":"b"}}"#;
        for byte in body.iter().chain(b"\r\n").chain(last) {
            socket.write_all(format!("1\r\n{}\r\n", *byte as char).as_bytes()).await.expect("sent");
        }
        socket.write_all(b"0\r\n\r\n").await.expect("sent");
    });
    let mut events = within(client.events(&EventsOptions::default())).await.expect("subscribed");
    let first = within(events.next()).await.expect("one").expect("valid");
    assert_eq!((first.kind.as_str(), first.actor.id.as_str()), ("container", "a"));
    let second = within(events.next()).await.expect("two").expect("valid without a final newline");
    assert_eq!(second.action, "new-kind-of-action");
    assert!(within(events.next()).await.is_none());
    server.finish().await;
}

#[tokio::test]
async fn logs_are_taken_apart() {
    let (server, client) = Server::new(|mut socket, head| async move {
        assert!(head.contains("?follow=1&stdout=1&stderr=1&tail=5 "), "{head}");
        let mut body = BytesMut::new();
        encode(StreamType::Stdout, b"out", &mut body);
        encode(StreamType::Stderr, b"err", &mut body);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\n\r\n", Framing::Multiplexed.content_type());
        socket.write_all(head.as_bytes()).await.expect("sent");
        socket.write_all(&body).await.expect("sent");
    });
    let options = LogsOptions { follow: true, tail: Some("5".to_owned()), ..LogsOptions::default() };
    let mut logs = within(client.container_logs("x", &options)).await.expect("logs");
    for (stream, text) in [(StreamType::Stdout, "out"), (StreamType::Stderr, "err")] {
        let frame = within(logs.next()).await.expect("a frame").expect("well framed");
        assert_eq!((frame.stream, frame.payload.as_ref()), (stream, text.as_bytes()));
    }
    assert!(within(logs.next()).await.is_none());
    server.finish().await;
}

#[tokio::test]
async fn attach_half_closes() {
    let (server, client) = Server::new(|mut socket, head| async move {
        assert!(head.to_ascii_lowercase().contains("upgrade: tcp"), "{head}");
        let head = format!(
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: {}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
            Framing::Multiplexed.content_type()
        );
        // The first frame comes in the same segment as the headers: it must not be lost.
        let mut first = BytesMut::from(head.as_bytes());
        encode(StreamType::Stdout, b"hello ", &mut first);
        socket.write_all(&first).await.expect("sent");
        let mut input = String::new();
        socket.read_to_string(&mut input).await.expect("the client half-closes");
        let mut answer = BytesMut::new();
        encode(StreamType::Stdout, input.to_uppercase().as_bytes(), &mut answer);
        socket.write_all(&answer).await.expect("output flows after the input is closed");
    });
    let options = AttachOptions { stdin: true, stdout: true, ..AttachOptions::default() };
    let mut attached = within(client.container_attach("x", &options)).await.expect("attached");
    within(attached.input.write_all(b"world")).await.expect("written");
    within(attached.input.shutdown()).await.expect("half-closed");
    let mut output = Vec::new();
    while let Some(frame) = within(attached.output.next()).await {
        output.extend_from_slice(&frame.expect("well framed").payload);
    }
    assert_eq!(output, b"hello WORLD");
    server.finish().await;
}

#[tokio::test]
async fn attach_refuses_anything_but_101() {
    let (server, client) = Server::new(|mut socket, _| async move {
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("sent");
    });
    let error = within(client.container_attach("x", &AttachOptions::default())).await.expect_err("refused");
    assert!(matches!(error, ClientError::NotUpgraded { status: 200, .. }), "{error}");
    server.finish().await;
}

#[tokio::test]
async fn bodies_are_streamed_in_chunks() {
    let (server, client) = Server::new(|mut socket, head| async move {
        assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            socket.read_buf(&mut body).await.expect("a chunk");
        }
        assert!(body.len() > 1_000_000, "{} bytes", body.len());
        socket
            .write_all(json_response("200 OK", "{\"stream\":\"Loaded image: x:latest\\n\"}\n").as_bytes())
            .await
            .expect("sent");
    });
    let body = RequestBody::from_reader(io::Cursor::new(vec![7u8; 1_000_000]));
    let mut progress = within(client.image_load(body, false, None)).await.expect("accepted");
    let line = within(progress.next()).await.expect("a line").expect("valid");
    assert_eq!(line.stream.as_deref(), Some("Loaded image: x:latest\n"));
    server.finish().await;
}

#[tokio::test]
async fn a_body_that_fails_fails_the_request() {
    let (got_head, head_arrived) = tokio::sync::oneshot::channel::<()>();
    let (server, client) = Server::new(|mut socket, _| async move {
        got_head.send(()).expect("the client's body waits for this");
        let mut body = Vec::new();
        let _ = socket.read_to_end(&mut body).await;
        assert!(!body.ends_with(b"0\r\n\r\n"), "an aborted body must not look complete");
    });
    let failure = async {
        head_arrived.await.expect("the server got the request");
        Err(io::Error::other("disk gone"))
    };
    let source =
        futures_util::stream::once(async { Ok(Bytes::from_static(b"x")) }).chain(futures_util::stream::once(failure));
    let error = within(client.image_load(RequestBody::from_stream(source), false, None)).await.expect_err("aborted");
    assert!(matches!(error, ClientError::Transport { .. }), "{error:?}");
    server.finish().await;
}

#[tokio::test]
async fn dropping_a_stream_closes_the_connection() {
    let (server, client) = Server::new(|mut socket, _| async move {
        socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.expect("sent");
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
    });
    let events = within(client.events(&EventsOptions::default())).await.expect("subscribed");
    drop(events);
    within(server.finish()).await;
}

#[tokio::test]
async fn no_daemon_is_a_connection_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let client = Client::connect(&Host::Unix(dir.path().join("none.sock")));
    let error = within(client.ping()).await.expect_err("nobody there");
    assert!(
        matches!(&error, ClientError::Connect { source, .. } if source.kind() == io::ErrorKind::NotFound),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refusal_before_the_body_is_read_is_understood() {
    let (server, client) = Server::new(|mut socket, _| async move {
        let refusal = json_response("400 Bad Request", "{\"message\":\"not an image\"}");
        socket.write_all(refusal.as_bytes()).await.expect("sent");
    });
    let body = RequestBody::from_reader(io::Cursor::new(vec![7u8; 20_000_000]));
    let error = within(client.image_load(body, false, None)).await.expect_err("refused");
    assert_eq!(error.to_string(), "not an image", "{error:?}");
    server.finish().await;
}
