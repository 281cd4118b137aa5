//! The daemon itself: `/_ping`, `/version`, `/info`, `/events`, `/system/df`.

use bytes::Bytes;

use super::{Call, Client, JsonStream};
use crate::models::{DiskUsage, Event, SystemInfo, SystemVersion};
use crate::{ClientError, Filters, Query};

/// What a ping says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// The newest API version that the daemon speaks; empty when it did not say.
    pub api_version: String,
    /// Its operating system.
    pub os_type: String,
    /// What it calls itself, for example `Docker/28.2.2 (linux)`.
    pub server: String,
}

/// Which events to stream.
#[derive(Debug, Clone, Default)]
pub struct EventsOptions {
    /// Begin with those since then: Unix time or RFC 3339.
    pub since: Option<String>,
    /// End then; in the past the stream ends after the replay.
    pub until: Option<String>,
    /// Only those that match.
    pub filters: Filters,
}

/// What `POST /drua/v1/system/check` found.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckReport {
    /// Blobs that were verified.
    pub blobs: u64,
    /// Unpacked layers that were compared with their blobs.
    pub layers: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// What is or was wrong.
    pub problems: Vec<CheckProblem>,
}

/// Something that is wrong in the image store.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckProblem {
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub text: String,
    /// What was done about it.
    pub repaired: Option<String>,
}

/// Every method fails with [`ClientError`]; the daemon's refusals are [`ClientError::Api`].
#[expect(clippy::missing_errors_doc, reason = "said once for all on the impl block")]
impl Client {
    /// Asks whether the daemon answers, and which API it speaks.
    pub async fn ping(&self) -> Result<Ping, ClientError> {
        let response = self.send(Call::get("/_ping")).await?;
        let header = |name| {
            let value = response.headers().get(name).and_then(|value: &hyper::header::HeaderValue| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Ok(Ping { api_version: header("api-version"), os_type: header("ostype"), server: header("server") })
    }

    /// Versions of the daemon and its components.
    pub async fn version(&self) -> Result<SystemVersion, ClientError> {
        self.decode(Call::get("/version")).await
    }

    /// Versions of the daemon and its components, as it wrote them.
    pub async fn version_raw(&self) -> Result<Bytes, ClientError> {
        self.bytes(Call::get("/version")).await
    }

    /// The daemon's configuration and state.
    pub async fn info(&self) -> Result<SystemInfo, ClientError> {
        self.decode(Call::get("/info")).await
    }

    /// The daemon's configuration and state, as it wrote them.
    pub async fn info_raw(&self) -> Result<Bytes, ClientError> {
        self.bytes(Call::get("/info")).await
    }

    /// What happens from now on; returns when the daemon has subscribed us.
    pub async fn events(&self, options: &EventsOptions) -> Result<JsonStream<Event>, ClientError> {
        let query = Query::new()
            .with_some("since", options.since.as_deref())
            .with_some("until", options.until.as_deref())
            .filters(&options.filters);
        let response = self.send(Call::get("/events").query(query)).await?;
        Ok(JsonStream::new(response.into_body()))
    }

    /// Verifies the image store, and repairs it if asked to. Takes as long as reading all of it.
    pub async fn system_check(&self, repair: bool) -> Result<CheckReport, ClientError> {
        self.decode(Call::post("/drua/v1/system/check").query(Query::new().flag("repair", repair))).await
    }

    /// What uses the disk.
    pub async fn disk_usage(&self) -> Result<DiskUsage, ClientError> {
        self.decode(Call::get("/system/df")).await
    }
}
