//! ADD of URLs, by the machine's own curl: TLS roots and proxies are as the administrator has set them.

use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::error::{BuildError, Result};

/// The content behind an address.
pub(crate) fn get(url: &str, limit: u64) -> Result<Vec<u8>> {
    let failed = |reason: String| BuildError::Fetch { url: url.to_owned(), reason };
    let mut child = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--location", "--max-redirs", "10", "--proto", "=http,https"])
        .args(["--proto-redir", "=http,https", "--connect-timeout", "30", "--max-filesize"])
        .arg(limit.to_string())
        .arg("--")
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot run curl: {error}; install curl, or COPY a downloaded file")))?;
    let mut bytes = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(limit + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    }
    if bytes.len() as u64 > limit {
        let _ = child.kill();
        let _ = child.wait();
        return Err(failed(format!("it has more than {limit} bytes")));
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(bytes),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
