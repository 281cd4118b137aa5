use std::fmt::Write as _;

use drua_composefile::Service;
use sha2::{Digest as _, Sha256};

/// The hash by which a container's configuration is compared with its service's; the same as Docker Compose's.
///
/// SHA-256 of the service's canonical JSON without what does not shape a single container: `build`, `pull_policy`, `scale`,
/// `deploy.replicas`, `depends_on`, `profiles`.
pub fn config_hash(service: &Service) -> String {
    let mut service = service.clone();
    service.pull_policy = None;
    service.scale = None;
    service.depends_on.clear();
    service.profiles.clear();
    if let Some(deploy) = &mut service.deploy {
        deploy.replicas = None;
    }
    let json = serde_json::to_string(&service).expect("a service has string keys and finite numbers only");
    Sha256::digest(go_escaped(&json)).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Go's `encoding/json` escapes what HTML and JavaScript trip over. None of it occurs in JSON outside of strings.
fn go_escaped(json: &str) -> String {
    let escapes =
        [("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e"), ("\u{2028}", "\\u2028"), ("\u{2029}", "\\u2029")];
    escapes.iter().fold(json.to_owned(), |json, (from, to)| json.replace(from, to))
}
