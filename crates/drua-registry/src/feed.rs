//! Plain files by HTTP: feeds of advisories, with the same proxies, trust and time limits as registries.

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};

use crate::error::RegistryError;
use crate::origin::{Origin, Scheme};
use crate::settings::Settings;
use crate::transport::{Outgoing, Transport};

/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// Fetches files by their address.
#[derive(Debug)]
pub struct Fetcher {
    transport: Transport,
}

/// An answer.
#[derive(Debug, Clone)]
pub enum Fetched {
    /// The file is what it was when the validator was given.
    Unchanged,
    /// The file, and by what to ask the next time whether it has changed.
    File {
        /// The whole file.
        bytes: Bytes,
        /// `ETag`, else `Last-Modified`.
        validator: Option<String>,
    },
}

impl Fetcher {
    /// One with these proxies and time limits.
    pub fn new(settings: Settings) -> Self {
        Self { transport: Transport::new(settings) }
    }

    /// Gets a file of at most `limit` bytes, unless it is still what `validator` stands for. `https` is never left for
    /// `http` on the way.
    ///
    /// # Errors
    /// The address is none, the server cannot be reached or is not trusted, answers with another status than success, or
    /// the file is too long.
    pub async fn get(&self, url: &str, validator: Option<&str>, limit: usize) -> Result<Fetched, RegistryError> {
        let protocol = |reason: String| RegistryError::Protocol { request: format!("GET {url}"), reason };
        let mut address = url.to_owned();
        let mut scheme = None;
        for _ in 0..=REDIRECTS {
            let (origin, target) =
                Origin::of_url(&address).ok_or_else(|| protocol(format!("`{address}` is no http or https address")))?;
            if scheme == Some(Scheme::Https) && origin.scheme == Scheme::Http {
                return Err(protocol("it redirects from https to http".to_owned()));
            }
            scheme = Some(origin.scheme);
            let mut outgoing = Outgoing::new(Method::GET, target);
            if let Some(value) = validator.and_then(|text| HeaderValue::from_str(text).ok()) {
                let is_tag = value.as_bytes().ends_with(b"\"");
                outgoing.headers.insert(if is_tag { header::IF_NONE_MATCH } else { header::IF_MODIFIED_SINCE }, value);
            }
            let reply = self.transport.exchange(&origin, &outgoing).await?;
            match reply.status {
                StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
                StatusCode::OK => {
                    let tag = reply.header(header::ETAG).or_else(|| reply.header(header::LAST_MODIFIED));
                    let validator = tag.map(str::to_owned);
                    return Ok(Fetched::File { bytes: reply.collect(limit).await?, validator });
                }
                status if status.is_redirection() => {
                    let location = reply.header(header::LOCATION).unwrap_or_default();
                    address = match location.starts_with('/') {
                        true => format!("{origin}{location}"),
                        false => location.to_owned(),
                    };
                }
                StatusCode::NOT_FOUND => {
                    return Err(RegistryError::NotFound {
                        message: format!("there is no `{address}`"),
                        repository: false,
                    });
                }
                status => {
                    let request = reply.request.clone();
                    let message = String::from_utf8_lossy(&reply.start(300).await).trim().to_owned();
                    return Err(RegistryError::Status { request, status: status.as_u16(), message });
                }
            }
        }
        Err(protocol(format!("it redirects more than {REDIRECTS} times")))
    }
}
