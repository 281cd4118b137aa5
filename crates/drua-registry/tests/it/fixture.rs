use std::time::Duration;

use drua_e2e::scripted::{Answer, Request, Scripted};
use drua_registry::{Access, Credentials, Registry, Repository, Secret, Settings, Timeouts};
use drua_types::{Digest, ImageRef};

/// Small enough for tests, large enough for a machine that is busy.
pub(crate) fn settings() -> Settings {
    let timeouts = Timeouts {
        connect: Duration::from_secs(20),
        answer: Duration::from_secs(20),
        idle: Duration::from_secs(20),
        back_off: Duration::from_millis(5),
    };
    Settings { timeouts, certificate_dirs: Vec::new(), ..Settings::default() }
}

/// Runs a test's future.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) fn reference(host: &str, path: &str) -> ImageRef {
    format!("{host}/{path}:latest").parse().unwrap()
}

pub(crate) fn pull(host: &str) -> Repository {
    pull_as(host, Credentials::Anonymous)
}

pub(crate) fn pull_as(host: &str, credentials: Credentials) -> Repository {
    Registry::new(settings()).repository(&reference(host, "a/b"), credentials, Access::Pull).unwrap()
}

pub(crate) fn password(username: &str, password: &str) -> Credentials {
    Credentials::Password { username: username.to_owned(), password: Secret::new(password) }
}

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A server that has one blob, served by `blob`.
pub(crate) fn blob_server(
    content: Vec<u8>,
    blob: impl Fn(&Request, Vec<u8>) -> Answer + Send + Sync + 'static,
) -> (Scripted, Digest, u64) {
    let (digest, size) = (Digest::of(&content), content.len() as u64);
    let path = format!("/v2/a/b/blobs/{digest}");
    let server = Scripted::start(move |request| match request.path() {
        "/v2/" => Answer::new(200, "{}"),
        target if target == path => blob(request, content.clone()),
        _ => not_found(),
    });
    (server, digest, size)
}

pub(crate) fn not_found() -> Answer {
    Answer::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#)
}

/// Bytes that do not repeat soon.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A blob as it came, or the error in words.
pub(crate) fn download(repository: &Repository, digest: &Digest, size: u64, start: u64) -> Result<Vec<u8>, String> {
    run(async {
        let mut stream = repository.blob(digest, size, start, size);
        let mut whole = Vec::new();
        while let Some(piece) = stream.next().await {
            whole.extend_from_slice(&piece.map_err(|error| drua_types::error_chain(&error))?);
        }
        Ok(whole)
    })
}
