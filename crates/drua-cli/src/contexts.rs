//! Named daemons, in Docker's files: `~/.docker/contexts`.
//!
//! ```text
//! contexts/meta/<sha256 of the name>/meta.json            what docker's CLI reads and writes, too
//! contexts/tls/<sha256 of the name>/docker/{ca,cert,key}.pem
//! drua.json                                               which of them drua uses; docker has its own choice
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use drua_api::{Host, TlsFiles};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The context that is always there: what the environment and the defaults say.
pub(crate) const DEFAULT: &str = "default";
const MAX_META_BYTES: u64 = 1 << 20;

/// A context as Docker stores it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Meta {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) metadata: Map<String, Value>,
    #[serde(default)]
    pub(crate) endpoints: std::collections::BTreeMap<String, Endpoint>,
}

/// Where a context's daemon is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Endpoint {
    #[serde(default)]
    pub(crate) host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    pub(crate) skip_tls_verify: bool,
}

impl Meta {
    pub(crate) fn description(&self) -> &str {
        self.metadata.get("Description").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoints.get("docker").cloned().unwrap_or_default()
    }
}

/// The files.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    /// `$DOCKER_CONFIG`, or `~/.docker`.
    pub(crate) fn open() -> Option<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))?;
        Some(Self { dir })
    }

    fn key(name: &str) -> String {
        use std::fmt::Write as _;
        Sha256::digest(name.as_bytes()).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn meta(&self, name: &str) -> PathBuf {
        self.dir.join("contexts/meta").join(Self::key(name))
    }

    pub(crate) fn tls(&self, name: &str) -> PathBuf {
        self.dir.join("contexts/tls").join(Self::key(name)).join("docker")
    }

    /// One context.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<Meta> {
        self.read(&self.meta(name)).with_context(|| format!("context \"{name}\": context not found"))
    }

    fn read(&self, dir: &Path) -> anyhow::Result<Meta> {
        use std::io::Read as _;
        let mut text = String::new();
        fs_err::File::open(dir.join("meta.json"))?.take(MAX_META_BYTES).read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    }

    /// All contexts by name; those that cannot be read are left out.
    pub(crate) fn list(&self) -> Vec<Meta> {
        let entries = std::fs::read_dir(self.dir.join("contexts/meta")).into_iter().flatten().flatten();
        let mut all: Vec<Meta> = entries.filter_map(|entry| self.read(&entry.path()).ok()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Writes a context, and the TLS files that are given.
    pub(crate) fn put(&self, meta: &Meta, tls: &[(&str, Vec<u8>)]) -> anyhow::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let dir = self.meta(&meta.name);
        fs_err::create_dir_all(&dir)?;
        let part = dir.join(".meta.json");
        fs_err::write(&part, serde_json::to_vec(meta)?)?;
        fs_err::rename(&part, dir.join("meta.json"))?;
        if !tls.is_empty() {
            let dir = self.tls(&meta.name);
            fs_err::create_dir_all(&dir)?;
            for (name, content) in tls {
                use std::io::Write as _;
                let path = dir.join(name);
                let mut file =
                    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
                file.write_all(content)?;
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.get(name)?;
        fs_err::remove_dir_all(self.meta(name))?;
        let tls = self.dir.join("contexts/tls").join(Self::key(name));
        if tls.exists() {
            fs_err::remove_dir_all(tls)?;
        }
        Ok(())
    }

    /// The context that `drua context use` has chosen.
    pub(crate) fn current(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("drua.json")).unwrap_or_default();
        let chosen = serde_json::from_str::<Value>(&text).ok();
        let chosen = chosen.and_then(|value| value["currentContext"].as_str().map(str::to_owned));
        chosen.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT.to_owned())
    }

    pub(crate) fn choose(&self, name: &str) -> anyhow::Result<()> {
        if name != DEFAULT {
            self.get(name)?;
        }
        fs_err::create_dir_all(&self.dir)?;
        fs_err::write(self.dir.join("drua.json"), serde_json::json!({ "currentContext": name }).to_string())?;
        Ok(())
    }

    /// Where a context's daemon is.
    pub(crate) fn host(&self, name: &str) -> anyhow::Result<Host> {
        let endpoint = self.get(name)?.endpoint();
        let host: Host = endpoint.host.parse().with_context(|| format!("context \"{name}\""))?;
        let dir = self.tls(name);
        let files =
            (dir.exists() || endpoint.skip_tls_verify).then(|| TlsFiles::in_dir(&dir, !endpoint.skip_tls_verify));
        Ok(host.with_tls(files))
    }
}

/// Docker's rule for names.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte)) && name.len() > 1;
    if name == DEFAULT {
        bail!("\"default\" is a reserved context name");
    }
    if !first || !rest {
        bail!(
            "context name \"{name}\" is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
        );
    }
    Ok(())
}
