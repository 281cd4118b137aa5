use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::upgrade::Upgraded;
use hyper::{Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWrite, WriteHalf};

use super::body::{FrameStream, Incoming};
use super::{Call, Client};
use crate::ClientError;
use crate::stream::Framing;

/// A raw connection to a container's standard streams.
#[derive(Debug)]
pub struct Attached {
    /// What the container writes.
    pub output: FrameStream,
    /// What the container reads. Shutting it down closes the container's stdin and keeps the output flowing.
    pub input: AttachedInput,
}

/// The write half of an [`Attached`] connection.
pub struct AttachedInput(WriteHalf<TokioIo<Upgraded>>);

impl fmt::Debug for AttachedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttachedInput")
    }
}

impl AsyncWrite for AttachedInput {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Client {
    /// Sends a request that turns the connection into a raw one.
    pub(super) async fn hijack(&self, call: Call) -> Result<Attached, ClientError> {
        let name = call.name();
        let call = call.header(header::CONNECTION, "Upgrade").header(header::UPGRADE, "tcp");
        let mut response = self.send(call).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(ClientError::NotUpgraded { request: name, status: response.status().as_u16() });
        }
        let framing = framing(&response);
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(|source| ClientError::Transport {
            host: self.host().clone(),
            request: name.clone(),
            source,
        })?;
        let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
        Ok(Attached { output: FrameStream::from_reader(Box::new(reader), framing, name), input: AttachedInput(writer) })
    }
}

pub(super) fn framing(response: &Response<Incoming>) -> Framing {
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Framing::from_content_type(content_type)
}
