//! A server that answers every connection with one prepared exchange.

use std::future::Future;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::{Client, Host};

pub(super) struct Server {
    dir: TempDir,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves one connection: `exchange` gets the socket and the request's head.
    pub(super) fn new<F>(exchange: impl FnOnce(UnixStream, String) -> F + Send + 'static) -> (Self, Client)
    where
        F: Future<Output = ()> + Send,
    {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path: PathBuf = dir.path().join("api.sock");
        let listener = UnixListener::bind(&path).expect("a fresh path");
        let task = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("a client");
            let head = read_head(&mut socket).await;
            exchange(socket, head).await;
        });
        (Self { dir, task }, Client::connect(&Host::Unix(path)))
    }

    /// Waits for the exchange, so that what it asserts counts.
    pub(super) async fn finish(self) {
        self.task.await.expect("the exchange goes as planned");
        drop(self.dir);
    }
}

async fn read_head(socket: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("a whole head"));
    }
    String::from_utf8(head).expect("a head is text")
}
