//! Files on the web, for `import`: by the same proxies, certificates and time limits as images, and without credentials.

use bytes::Bytes;
use hyper::header;
use hyper::{Method, StatusCode};

use crate::RegistryError;
use crate::origin::Origin;
use crate::repository::Registry;
use crate::request;
use crate::transport::{Outgoing, Reply};

/// A file on its way here.
pub struct FileStream {
    reply: Reply,
    length: Option<u64>,
    came: u64,
}

impl std::fmt::Debug for FileStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStream").field("length", &self.length).field("came", &self.came).finish_non_exhaustive()
    }
}

impl Registry {
    /// Asks for the file at an `http` or `https` URL; one without either is taken for `http`, as Docker does.
    ///
    /// # Errors
    /// [`RegistryError::Unsupported`] for what is no URL, and what the network and the server do.
    pub async fn fetch(&self, url: &str) -> Result<FileStream, RegistryError> {
        let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let invalid = || RegistryError::Unsupported { reason: format!("`{url}` is no http or https URL") };
        let (origin, target) = Origin::of_url(&whole).ok_or_else(invalid)?;
        let reply = request::follow(&self.transport, &origin, Outgoing::new(Method::GET, target)).await?;
        if reply.status != StatusCode::OK {
            return Err(request::answer_error(reply).await);
        }
        let length = reply.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        Ok(FileStream { reply, length, came: 0 })
    }
}

impl FileStream {
    /// Bytes of the file, where the server says so.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece; `None` at the end. A file that ends early is an error. Not cancellation safe.
    pub async fn next(&mut self) -> Option<Result<Bytes, RegistryError>> {
        let piece = self.reply.next().await?;
        if let Ok(piece) = &piece {
            self.came += piece.len() as u64;
        }
        Some(piece)
    }
}
