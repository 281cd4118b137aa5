//! Credentials of registries, where Docker's clients keep them: `config.json` and the helpers that it names.
//!
//! ```text
//! $DOCKER_CONFIG/config.json            default ~/.docker
//!   auths.<server>.auth                 base64(name:password); or .identitytoken
//!   credHelpers.<server>, credsStore    a program docker-credential-<name> that keeps them instead
//! ```
//!
//! Fields that we do not know stay as they are. The file is replaced in one step and is readable by its owner alone.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use drua_types::env::DOCKER_CONFIG;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Docker Hub's key in `config.json`, for historic reasons.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The user name by which a helper says that its secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Credentials could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("cannot {action} `{}`", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{}` is not the JSON that it should be", path.display())]
    Json {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("the credential helper `{program}` cannot be run")]
    Helper {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the credential helper `{program}` failed: {message}")]
    HelperFailed { program: String, message: String },
    #[error("neither HOME nor DOCKER_CONFIG says where config.json is")]
    NoHome,
}

/// What is kept for one registry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Login {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) password: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) identitytoken: String,
    pub(crate) serveraddress: String,
}

impl Login {
    /// As the API's header carries it.
    pub(crate) fn header(&self) -> String {
        URL_SAFE.encode(serde_json::to_vec(self).expect("four strings serialize"))
    }
}

/// `config.json`, as far as registries go.
#[derive(Debug)]
pub(crate) struct Store {
    /// What the names of helpers begin with.
    pub(crate) helpers: String,
    path: PathBuf,
    fields: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

impl Store {
    /// Reads the file; one that is not there is empty.
    pub(crate) fn open() -> Result<Self, CredentialError> {
        let dir = match std::env::var_os(DOCKER_CONFIG).filter(|dir| !dir.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None => Path::new(&std::env::var_os("HOME").ok_or(CredentialError::NoHome)?).join(".docker"),
        };
        Self::open_at(dir.join("config.json"))
    }

    pub(crate) fn open_at(path: PathBuf) -> Result<Self, CredentialError> {
        let fields = match fs_err::read(&path) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Map::new(),
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| CredentialError::Json { path: path.clone(), source })?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(source) => return Err(CredentialError::File { action: "read", path, source }),
        };
        Ok(Self { helpers: "docker-credential-".to_owned(), path, fields })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is known for a registry, by its domain as image names have it.
    pub(crate) fn get(&self, domain: &str) -> Result<Option<Login>, CredentialError> {
        let key = key(domain);
        if let Some(program) = self.helper(&key) {
            return helper_get(&program, &key);
        }
        let Some(Value::Object(auths)) = self.fields.get("auths") else { return Ok(None) };
        let found = auths.get(&key).or_else(|| {
            // Old clients wrote URLs.
            auths.iter().find(|(known, _)| host(known) == host(&key)).map(|(_, entry)| entry)
        });
        let Some(entry) = found.and_then(|entry| Entry::deserialize(entry).ok()) else { return Ok(None) };
        let (username, password) =
            match STANDARD.decode(&entry.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
                Some(pair) if pair.contains(':') => {
                    let (username, password) = pair.split_once(':').unwrap_or_default();
                    (username.to_owned(), password.trim_matches('\0').to_owned())
                }
                _ => (entry.username, entry.password),
            };
        let login = Login { username, password, identitytoken: entry.identitytoken, serveraddress: key };
        Ok(Some(login).filter(|login| !login.identitytoken.is_empty() || !login.password.is_empty()))
    }

    /// Keeps a login; returns whether its secret stands in the file as it is.
    pub(crate) fn put(&mut self, domain: &str, login: &Login) -> Result<bool, CredentialError> {
        let key = key(domain);
        if let Some(program) = self.helper(&key) {
            let (username, secret) = match login.identitytoken.as_str() {
                "" => (login.username.as_str(), login.password.as_str()),
                token => (TOKEN_USER, token),
            };
            let input = json!({ "ServerURL": key, "Username": username, "Secret": secret }).to_string();
            run_helper(&program, "store", &input)?
                .map_err(|message| CredentialError::HelperFailed { program, message })?;
            // That there is an entry says that there is a login.
            self.auths().insert(key, json!({}));
            self.write()?;
            return Ok(false);
        }
        let auth = STANDARD.encode(format!("{}:{}", login.username, login.password));
        let entry = match login.identitytoken.as_str() {
            "" => json!({ "auth": auth }),
            token => json!({ "auth": STANDARD.encode(format!("{}:", login.username)), "identitytoken": token }),
        };
        self.auths().insert(key, entry);
        self.write()?;
        Ok(true)
    }

    /// Forgets a login; `false` when there was none.
    pub(crate) fn remove(&mut self, domain: &str) -> Result<bool, CredentialError> {
        let key = key(domain);
        let mut known = false;
        if let Some(program) = self.helper(&key) {
            known = run_helper(&program, "erase", &key)?.is_ok();
        }
        let auths = self.auths();
        let wanted: Vec<String> = auths.keys().filter(|entry| host(entry) == host(&key)).cloned().collect();
        for entry in &wanted {
            auths.remove(entry);
        }
        if !wanted.is_empty() {
            self.write()?;
        }
        Ok(known || !wanted.is_empty())
    }

    fn helper(&self, key: &str) -> Option<String> {
        let named =
            |value: &Value| Some(format!("{}{}", self.helpers, value.as_str().filter(|name| !name.is_empty())?));
        let helpers: BTreeMap<String, Value> = self
            .fields
            .get("credHelpers")
            .and_then(|value| serde_json::from_value(value.clone()).ok())
            .unwrap_or_default();
        let own = helpers.iter().find(|(known, _)| host(known) == host(key)).and_then(|(_, value)| named(value));
        own.or_else(|| self.fields.get("credsStore").and_then(named))
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self.fields.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths.as_object_mut().expect("it was made one above")
    }

    fn write(&self) -> Result<(), CredentialError> {
        let file = |action| {
            let path = self.path.clone();
            move |source| CredentialError::File { action, path, source }
        };
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(dir).map_err(file("create the directory of"))?;
        // Through a link, as Docker's CLI does: people keep the file elsewhere.
        let target = fs_err::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let part = target.with_file_name(format!(".config.json.{}", std::process::id()));
        let text = serde_json::to_string_pretty(&self.fields).expect("JSON values serialize");
        let write = || -> std::io::Result<()> {
            use fs_err::os::unix::fs::OpenOptionsExt as _;
            let mut options = fs_err::OpenOptions::new();
            let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
            out.write_all(text.as_bytes())?;
            out.write_all(b"\n")?;
            out.sync_all()?;
            fs_err::rename(&part, &target)
        };
        write().map_err(|source| {
            let _ = fs_err::remove_file(&part);
            file("write")(source)
        })
    }
}

fn helper_get(program: &str, key: &str) -> Result<Option<Login>, CredentialError> {
    // A failure means that it has nothing; helpers have no other way to say so.
    let Ok(answer) = run_helper(program, "get", key)? else { return Ok(None) };
    let answer: HelperAnswer = serde_json::from_slice(&answer)
        .map_err(|source| CredentialError::Json { path: PathBuf::from(program), source })?;
    let mut login = Login { serveraddress: key.to_owned(), ..Login::default() };
    if answer.username == TOKEN_USER {
        login.identitytoken = answer.secret;
    } else {
        (login.username, login.password) = (answer.username, answer.secret);
    }
    Ok(Some(login))
}

/// Runs a helper with this input: what it prints, or how it complains (docker-credential-helpers' protocol).
fn run_helper(program: &str, verb: &str, input: &str) -> Result<Result<Vec<u8>, String>, CredentialError> {
    let failed = |source| CredentialError::Helper { program: program.to_owned(), source };
    let mut command = Command::new(program);
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not want its input says so by its exit code.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(Ok(output.stdout));
    }
    let words = if output.stderr.is_empty() { output.stdout } else { output.stderr };
    Ok(Err(String::from_utf8_lossy(&words).trim().to_owned()))
}

/// A registry's key in `config.json`.
pub(crate) fn key(domain: &str) -> String {
    match host(domain) {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB_KEY.to_owned(),
        host => host.to_owned(),
    }
}

/// The host and port of a server, however it is written.
fn host(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}
