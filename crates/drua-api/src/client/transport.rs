use std::io;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use crate::{ClientError, Host, SshHost};

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What goes into the `Host` header; a Unix socket has no name of its own.
pub(super) fn authority(host: &Host) -> &str {
    match host {
        Host::Unix(_) | Host::Ssh(_) => "localhost",
        Host::Tcp(authority) | Host::Tls { authority, .. } => authority,
    }
}

/// One HTTP/1.1 connection and the task that drives it; dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<Body>,
    driver: JoinHandle<()>,
}

impl Connection {
    pub(super) async fn open(host: &Host) -> Result<Self, ClientError> {
        let socket =
            Socket::connect(host).await.map_err(|source| ClientError::Connect { host: host.clone(), source })?;
        let handshake = http1::handshake(TokioIo::new(socket)).await;
        let (sender, connection) = handshake.map_err(|source| ClientError::Transport {
            host: host.clone(),
            request: "handshake".to_owned(),
            source,
        })?;
        let driver = tokio::spawn(async move {
            // A broken connection is reported by the request or the body that it breaks.
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to the daemon ended");
            }
        });
        Ok(Self { sender, driver })
    }

    pub(super) async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<hyper::body::Incoming>> {
        self.sender.send_request(request).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    Ssh(Piped),
}

impl Socket {
    async fn connect(host: &Host) -> io::Result<Self> {
        match host {
            Host::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            Host::Tcp(authority) => {
                let stream = TcpStream::connect(authority.as_str()).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Host::Tls { authority, files } => {
                let stream = TcpStream::connect(authority.as_str()).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tls(Box::new(super::tls::handshake(authority, files, stream).await?)))
            }
            Host::Ssh(ssh) => Ok(Self::Ssh(Piped::over_ssh(ssh)?)),
        }
    }
}

/// The two pipes of an `ssh` that carries the connection.
struct Piped {
    input: Option<pipe::Sender>,
    output: pipe::Receiver,
    child: Child,
}

impl Piped {
    fn over_ssh(ssh: &SshHost) -> io::Result<Self> {
        let mut command = Command::new("ssh");
        command.args(["-o", "ConnectTimeout=30", "-T"]);
        if let Some(port) = ssh.port {
            command.arg("-p").arg(port.to_string());
        }
        command.args(["--", &ssh.destination, "drua", "system", "dial-stdio"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lost = || io::Error::other("ssh has no standard streams");
        let input = child.stdin.take().ok_or_else(lost)?;
        let output = child.stdout.take().ok_or_else(lost)?;
        Ok(Self {
            input: Some(pipe::Sender::from_owned_fd(input.into())?),
            output: pipe::Receiver::from_owned_fd(output.into())?,
            child,
        })
    }

    fn input(&mut self) -> io::Result<&mut pipe::Sender> {
        self.input.as_mut().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// The end of the pipe is the end of what we say; `dial-stdio` passes it on.
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // It ends by itself when its pipes close, but not before the other side has noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Ssh(pipes) => Pin::new(&mut pipes.output).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Ssh(pipes) => Pin::new(pipes.input()?).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Ssh(pipes) => Pin::new(pipes.input()?).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Ssh(pipes) => pipes.poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Ssh(pipes) => Pin::new(pipes.input()?).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
