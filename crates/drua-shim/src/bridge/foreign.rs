//! The connection to somebody else's shim: starting its program, calling its task service, cleaning up after it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim_async::Client;
use containerd_shim_protos::ttrpc::asynchronous::transport::Socket;
use containerd_shim_protos::ttrpc::{self, context};
use drua_types::{Classify, ErrorKind, ForeignShim};
use serde::Deserialize;
use tokio::net::UnixStream;

/// The longest answer of `start` that makes sense.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Where containerd's shims find the namespace of a request.
const NAMESPACE_HEADER: &str = "containerd-namespace-ttrpc";

/// Somebody else's shim does not do what the protocol asks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForeignError {
    #[error("cannot run the shim `{program}`")]
    Run {
        program: PathBuf,
        #[source]
        err: std::io::Error,
    },
    #[error("the shim `{program}` did not start ({status}): {message}")]
    Start { program: PathBuf, status: std::process::ExitStatus, message: String },
    #[error(
        "the shim `{program}` speaks {protocol}, and drua speaks ttrpc over unix sockets: use a version of the shim that does"
    )]
    Protocol { program: PathBuf, protocol: String },
    #[error("the shim `{program}` cannot be reached at `{address}`")]
    Connect {
        program: PathBuf,
        address: String,
        #[source]
        err: std::io::Error,
    },
}

impl Classify for ForeignError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Run { err, .. } if err.kind() == std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Protocol { .. } => ErrorKind::Unsupported,
            Self::Run { .. } | Self::Start { .. } | Self::Connect { .. } => ErrorKind::Internal,
        }
    }
}

/// Whose shim it is and for what.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) runtime: ForeignShim,
    pub(crate) namespace: String,
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
}

/// A shim that serves.
pub(crate) struct Foreign {
    client: Client,
    service: &'static str,
    namespace: String,
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Foreign").field("service", &self.service).finish_non_exhaustive()
    }
}

/// What `start` prints: a bare address (containerd 1), or this as JSON (containerd 2).
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Bootstrap {
    #[serde(default = "two")]
    version: u32,
    address: String,
    #[serde(default)]
    protocol: String,
}

fn two() -> u32 {
    2
}

impl Subject {
    /// Runs the shim's `start` in the bundle and connects to what it leaves behind. `events` is the socket that its events
    /// go to. Blocks the thread while the program runs, which has nothing else to do then.
    pub(crate) async fn start(&self, events: &Path) -> Result<Foreign, ForeignError> {
        let output = self.run("start", events)?;
        let program = || self.runtime.program.clone();
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(ForeignError::Start { program: program(), status: output.status, message });
        }
        let bootstrap = Bootstrap::parse(&output.stdout);
        let service = match (bootstrap.version, bootstrap.protocol.as_str()) {
            (..=2, "" | "ttrpc") => "containerd.task.v2.Task",
            (3, "" | "ttrpc") => "containerd.task.v3.Task",
            (version, protocol) => {
                let protocol = format!("{protocol} version {version}");
                return Err(ForeignError::Protocol { program: program(), protocol });
            }
        };
        let address = bootstrap.address;
        let Some(path) = address.strip_prefix("unix://") else {
            return Err(ForeignError::Protocol { program: program(), protocol: format!("`{address}`") });
        };
        let connected = UnixStream::connect(path).await;
        let stream = connected.map_err(|err| ForeignError::Connect { program: program(), address, err })?;
        Ok(Foreign { client: Client::new(Socket::from(stream)), service, namespace: self.namespace.clone() })
    }

    /// Runs the shim's `delete`, which kills and removes what it knows of the container; how that ended, if it says.
    pub(crate) fn delete(&self) -> Option<DeleteResponse> {
        let output = match self.run("delete", Path::new("")) {
            Ok(output) => output,
            Err(error) => {
                tracing::warn!(error = drua_types::error_chain(&error), "not cleaned up");
                return None;
            }
        };
        if !output.status.success() {
            tracing::warn!(stderr = %String::from_utf8_lossy(&output.stderr), "their shim does not clean up");
        }
        DeleteResponse::parse_from_bytes(&output.stdout).ok().filter(|_| output.status.success())
    }

    fn run(&self, action: &str, events: &Path) -> Result<Output, ForeignError> {
        let failed = |err| ForeignError::Run { program: self.runtime.program.clone(), err };
        let mut command = Command::new(&self.runtime.program);
        command.args(["-namespace", &self.namespace, "-id", &self.id]);
        command.arg("-address").arg(events).arg("-bundle").arg(&self.bundle).arg("-publish-binary").arg("/bin/true");
        command.arg(action).current_dir(&self.bundle);
        command.env("TTRPC_ADDRESS", events).env("NAMESPACE", &self.namespace).env("GOMAXPROCS", "2");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            let options = self.options().and_then(|options| options.write_to_bytes().ok()).unwrap_or_default();
            // A shim that does not read its options is free not to.
            let _ = stdin.write_all(&options);
        }
        child.wait_with_output().map_err(failed)
    }

    /// The runtime's options, for `start` and for Create.
    pub(crate) fn options(&self) -> Option<Any> {
        let options = self.runtime.options.as_ref()?;
        let mut any = Any::new();
        any.type_url.clone_from(&options.type_url);
        any.value.clone_from(&options.value);
        Some(any)
    }
}

impl Bootstrap {
    fn parse(output: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&output[..output.len().min(MAX_ANSWER_BYTES)]);
        let text = text.trim();
        serde_json::from_str(text).unwrap_or_else(|_| Self {
            version: 2,
            address: text.lines().next().unwrap_or_default().to_owned(),
            protocol: String::new(),
        })
    }
}

impl Foreign {
    /// Calls a method of the task service. No timeout waits for ever.
    pub(crate) async fn call<R: Message>(
        &self,
        method: &str,
        request: &impl Message,
        timeout: Option<Duration>,
    ) -> ttrpc::Result<R> {
        let broken = |error: containerd_shim_protos::protobuf::Error| ttrpc::Error::Others(error.to_string());
        let mut context = timeout.map_or_else(context::Context::default, context::with_duration);
        context.add(NAMESPACE_HEADER.to_owned(), self.namespace.clone());
        let call = ttrpc::Request {
            service: self.service.to_owned(),
            method: method.to_owned(),
            payload: request.write_to_bytes().map_err(broken)?,
            timeout_nano: context.timeout_nano,
            metadata: context::to_pb(context.metadata),
            ..ttrpc::Request::default()
        };
        let response = self.client.request(call).await?;
        R::parse_from_bytes(&response.payload).map_err(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_answers_are_understood() {
        let check = |text: &str, version, address: &str, protocol: &str| {
            let (address, protocol) = (address.to_owned(), protocol.to_owned());
            assert_eq!(Bootstrap::parse(text.as_bytes()), Bootstrap { version, address, protocol });
        };
        check("unix:///run/containerd/s/ab\n", 2, "unix:///run/containerd/s/ab", "");
        check(r#"{"version":3,"address":"unix:///s","protocol":"ttrpc"}"#, 3, "unix:///s", "ttrpc");
        check(r#"{"version":3,"address":"vsock://1:2","protocol":"grpc"}"#, 3, "vsock://1:2", "grpc");
        check("", 2, "", "");
    }
}
