//! `daemon.json`: Docker's keys, as far as they make sense here.
//!
//! A key that nobody knows is an error, with the one that was probably meant. So is a key of Docker's that drua cannot carry
//! out: a daemon that ignores a setting is worse than one that does not start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drua_engine::container::Ulimit;
use drua_engine::{RESERVED_RUNTIMES, Runtime, Settings};
use drua_types::{ByteSize, Hint};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Where the file is looked for unless `--config-file` says otherwise.
pub const DEFAULT_CONFIG_FILE: &str = "/etc/drua/daemon.json";
/// No configuration comes near it.
const MAX_BYTES: u64 = 1 << 20;

/// What a configuration file says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs, reason = "the keys are dockerd's; see its reference")]
pub struct FileConfig {
    pub bridge: Option<String>,
    pub cgroup_parent: Option<String>,
    pub data_root: Option<PathBuf>,
    pub debug: Option<bool>,
    pub default_address_pools: Vec<PoolEntry>,
    pub default_cgroupns_mode: Option<String>,
    pub default_ipc_mode: Option<String>,
    pub default_runtime: Option<String>,
    pub default_shm_size: Option<SizeEntry>,
    pub default_ulimits: BTreeMap<String, UlimitEntry>,
    pub dns: Vec<String>,
    pub dns_opts: Vec<String>,
    pub dns_search: Vec<String>,
    pub exec_opts: Vec<String>,
    pub exec_root: Option<PathBuf>,
    pub experimental: Option<bool>,
    pub group: Option<String>,
    pub hosts: Vec<String>,
    pub init: Option<bool>,
    pub insecure_registries: Vec<String>,
    pub labels: Vec<String>,
    pub live_restore: Option<bool>,
    pub log_driver: Option<String>,
    pub log_level: Option<String>,
    pub log_opts: BTreeMap<String, String>,
    pub network_prefix: Option<String>,
    pub registry_mirrors: Vec<String>,
    pub runtimes: BTreeMap<String, RuntimeEntry>,
    pub storage_driver: Option<String>,
    pub tls: Option<bool>,
    pub tlscacert: Option<PathBuf>,
    pub tlscert: Option<PathBuf>,
    pub tlskey: Option<PathBuf>,
    pub tlsverify: Option<bool>,
    pub userland_proxy: Option<bool>,
}

/// One of `default-address-pools`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as in dockerd")]
pub struct PoolEntry {
    pub base: ipnet::IpNet,
    pub size: u8,
}

/// One of `default-ulimits`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "as in dockerd")]
pub struct UlimitEntry {
    #[serde(default, rename = "Name")]
    _name: String,
    pub hard: i64,
    pub soft: i64,
}

/// One of `runtimes`: an OCI runtime's program, or a shim.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "as in dockerd")]
pub struct RuntimeEntry {
    pub path: PathBuf,
    pub runtime_args: Vec<String>,
    pub runtime_type: String,
    pub options: Map<String, Value>,
}

impl From<&RuntimeEntry> for Runtime {
    fn from(entry: &RuntimeEntry) -> Self {
        Self {
            path: entry.path.clone(),
            args: entry.runtime_args.clone(),
            shim: entry.runtime_type.clone(),
            options: entry.options.clone(),
        }
    }
}

/// Bytes, as a number or as text with a unit.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "as in dockerd")]
pub enum SizeEntry {
    Bytes(u64),
    Text(String),
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("unable to configure the daemon with file {}: it cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is no JSON object.
    #[error("unable to configure the daemon with file {}: invalid JSON", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A key that nobody knows.
    #[error("unable to configure the daemon with file {}: the following directives don't match any configuration option: {key}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// A known key that looks alike.
        meant: Option<&'static str>,
    },
    /// A key of Docker's that drua does not carry out.
    #[error("unable to configure the daemon with file {}: `{key}` is not supported by drua", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// A value that makes no sense.
    #[error("unable to configure the daemon with file {}: `{key}`: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Said twice.
    #[error("unable to configure the daemon with file {}: the following directives are specified both as a flag and in the configuration file: {keys}", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The keys.
        keys: String,
    },
}

impl Hint for FileError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unknown { meant: Some(meant), .. } => vec![format!("did you mean `{meant}`?")],
            Self::Unsupported { instead, .. } => vec![(*instead).to_owned()],
            Self::Twice { .. } => vec!["say it in one of the two places".to_owned()],
            _ => Vec::new(),
        }
    }
}

const KNOWN: [&str; 35] = [
    "bridge",
    "cgroup-parent",
    "data-root",
    "debug",
    "default-address-pools",
    "default-cgroupns-mode",
    "default-ipc-mode",
    "default-runtime",
    "default-shm-size",
    "default-ulimits",
    "dns",
    "dns-opts",
    "dns-search",
    "exec-opts",
    "exec-root",
    "experimental",
    "group",
    "hosts",
    "init",
    "insecure-registries",
    "labels",
    "live-restore",
    "log-driver",
    "log-level",
    "log-opts",
    "network-prefix",
    "registry-mirrors",
    "runtimes",
    "storage-driver",
    "tls",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
    "userland-proxy",
];

/// Keys of Docker's that mean something which drua does otherwise, and what to do about it.
const ELSEWHERE: [(&str, &str); 17] = [
    ("authorization-plugins", "drua has no plugins: put a proxy in front of the socket"),
    ("bip", "give the default bridge its addresses with `default-address-pools`"),
    ("containerd", "drua needs no containerd: remove the key"),
    ("default-gateway", "the first address of a subnet is its gateway: remove the key"),
    ("fixed-cidr", "give the default bridge its addresses with `default-address-pools`"),
    ("graph", "it is called `data-root`"),
    ("ip-forward", "drua always forwards between its networks: remove the key"),
    ("iptables", "drua has a firewall table of its own and leaves others alone: remove the key"),
    ("ip6tables", "drua has a firewall table of its own and leaves others alone: remove the key"),
    ("max-concurrent-downloads", "drua chooses by itself: remove the key"),
    ("metrics-addr", "drua has no metrics endpoint: remove the key"),
    ("seccomp-profile", "give containers a profile with `--security-opt seccomp=<file>`"),
    ("selinux-enabled", "drua applies no SELinux labels: remove the key"),
    ("shutdown-timeout", "containers go on when the daemon ends, and nothing waits for them: remove the key"),
    ("storage-opts", "drua's storage has no options: remove the key"),
    ("userns-remap", "drua does not remap users: remove the key"),
    ("features", "drua has no feature switches: remove the key"),
];

impl FileConfig {
    /// Reads a file; one that is not there is empty when `optional`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read(path: &Path, optional: bool) -> Result<Self, FileError> {
        use std::io::Read as _;
        let failed = |source| FileError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        match fs_err::File::open(path) {
            Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            file => file.and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)).map_err(failed)?,
        };
        Self::parse(path, &text)
    }

    /// Reads a text; `path` is for messages.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let owned = || path.to_owned();
        let parse = |source| FileError::Parse { path: owned(), source };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(parse)?;
        for key in fields.keys() {
            if let Some((_, instead)) = ELSEWHERE.iter().find(|(other, _)| other == key) {
                return Err(FileError::Unsupported { path: owned(), key: key.clone(), instead });
            }
            if !KNOWN.contains(&key.as_str()) {
                return Err(FileError::Unknown { path: owned(), key: key.clone(), meant: nearest(key) });
            }
        }
        let config: Self = serde_json::from_value(Value::Object(fields)).map_err(parse)?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), FileError> {
        let invalid = |key, reason: String| Err(FileError::Invalid { path: path.to_owned(), key, reason });
        if let Some(label) = self.labels.iter().find(|label| !label.contains('=')) {
            return invalid("labels", format!("bad attribute format: {label}"));
        }
        for (key, value, allowed) in [
            ("storage-driver", &self.storage_driver, &["overlay2", "overlayfs"][..]),
            ("default-ipc-mode", &self.default_ipc_mode, &["private", "shareable"]),
            ("default-cgroupns-mode", &self.default_cgroupns_mode, &["private", "host"]),
            ("log-level", &self.log_level, &["trace", "debug", "info", "warn", "error", "fatal"]),
        ] {
            if let Some(value) = value.as_deref().filter(|value| !allowed.contains(value)) {
                return invalid(key, format!("`{value}` is none of {}", allowed.join(", ")));
            }
        }
        if self.live_restore == Some(false) {
            return invalid("live-restore", "containers always go on without the daemon".to_owned());
        }
        if self.experimental == Some(true) {
            return invalid("experimental", "there is nothing experimental to turn on".to_owned());
        }
        if self.userland_proxy == Some(true) {
            return invalid("userland-proxy", "ports are published without a proxy".to_owned());
        }
        if let Some(option) = self.exec_opts.iter().find(|option| *option != "native.cgroupdriver=cgroupfs") {
            return invalid("exec-opts", format!("`{option}`: only native.cgroupdriver=cgroupfs is there"));
        }
        for (name, runtime) in &self.runtimes {
            let reason = match (runtime.path.as_os_str().is_empty(), runtime.runtime_type.is_empty()) {
                _ if RESERVED_RUNTIMES.contains(&name.as_str()) => format!("the name `{name}` is drua's own"),
                (true, true) => format!("`{name}` needs a `path` or a `runtimeType`"),
                (false, false) => format!("`{name}` has both a `path` and a `runtimeType`"),
                (true, false) if !runtime.runtime_args.is_empty() => {
                    format!("`{name}`: `runtimeArgs` belong to a `path`; a shim takes `options`")
                }
                (false, true) if !runtime.path.is_absolute() => {
                    format!("`{name}`: `{}` is no absolute path", runtime.path.display())
                }
                _ => continue,
            };
            return invalid("runtimes", reason);
        }
        let runtimes = self.settings().runtimes;
        for name in runtimes.keys() {
            if let Err(error) = drua_engine::check_runtime(name, &runtimes) {
                return invalid("runtimes", error.to_string());
            }
        }
        if let Some(Err(error)) =
            self.default_runtime.as_deref().map(|name| drua_engine::check_runtime(name, &runtimes))
        {
            return invalid("default-runtime", error.to_string());
        }
        if let Some(SizeEntry::Text(text)) = &self.default_shm_size
            && text.parse::<ByteSize>().is_err()
        {
            return invalid("default-shm-size", format!("`{text}` is no size"));
        }
        Ok(())
    }

    /// Refuses what was also said on the command line. Lists add up in no sensible way, so they count, too.
    ///
    /// # Errors
    /// [`FileError::Twice`].
    pub fn conflicts(&self, path: &Path, flags: &[String]) -> Result<(), FileError> {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let list = |list: &[String]| Some(format!("[{}]", list.join(" "))).filter(|_| !list.is_empty());
        let pools = || self.default_address_pools.iter().map(|pool| format!("base={},size={}", pool.base, pool.size));
        let said = [
            ("bridge", self.bridge.clone()),
            ("cgroup-parent", self.cgroup_parent.clone()),
            ("data-root", text(&self.data_root)),
            ("debug", self.debug.map(|on| on.to_string())),
            ("default-address-pool", list(&pools().collect::<Vec<_>>())),
            ("exec-root", text(&self.exec_root)),
            ("group", self.group.clone()),
            ("host", list(&self.hosts)),
            ("log-level", self.log_level.clone()),
            ("network-prefix", self.network_prefix.clone()),
            ("tlscacert", text(&self.tlscacert)),
            ("tlscert", text(&self.tlscert)),
            ("tlskey", text(&self.tlskey)),
            ("tlsverify", self.tlsverify.map(|on| on.to_string())),
        ];
        let twice = said.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let twice = twice.filter(|(key, _)| flags.iter().any(|flag| flag == *key));
        let keys: Vec<String> = twice.map(|(key, value)| format!("{key}: (from file: {value})")).collect();
        if keys.is_empty() {
            return Ok(());
        }
        Err(FileError::Twice { path: path.to_owned(), keys: keys.join(", ") })
    }

    /// The part that may change while the daemon runs.
    pub fn settings(&self) -> Settings {
        let ulimit =
            |(name, limit): (&String, &UlimitEntry)| Ulimit { name: name.clone(), soft: limit.soft, hard: limit.hard };
        Settings {
            labels: self.labels.clone(),
            debug: self.debug.unwrap_or_default(),
            log_driver: self.log_driver.clone().unwrap_or_default(),
            log_options: self.log_opts.clone(),
            default_runtime: self.default_runtime.clone().unwrap_or_default(),
            runtimes: self.runtimes.iter().map(|(name, entry)| (name.clone(), entry.into())).collect(),
            ulimits: self.default_ulimits.iter().map(ulimit).collect(),
            shm_size: self.default_shm_size.as_ref().and_then(|size| match size {
                SizeEntry::Bytes(bytes) => Some(*bytes),
                SizeEntry::Text(text) => text.parse::<ByteSize>().ok().map(ByteSize::bytes),
            }),
            init: self.init.unwrap_or_default(),
            ipc_shareable: self.default_ipc_mode.as_deref() == Some("shareable"),
            cgroupns_host: self.default_cgroupns_mode.as_deref() == Some("host"),
            dns: self.dns.clone(),
            dns_options: self.dns_opts.clone(),
            dns_search: self.dns_search.clone(),
            insecure_registries: self.insecure_registries.clone(),
            registry_mirrors: self.registry_mirrors.clone(),
        }
    }
}

/// The known key that a mistyped one is nearest to, if it is near at all.
fn nearest(key: &str) -> Option<&'static str> {
    let key: Vec<char> = key.to_lowercase().replace('_', "-").chars().take(64).collect();
    let distances = KNOWN.iter().map(|known| (distance(&key, &known.chars().collect::<Vec<_>>()), *known));
    distances.min().filter(|(distance, known)| *distance <= known.len() / 3).map(|(_, known)| known)
}

/// Levenshtein's distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut left = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = left + usize::from(x != y);
            left = row[j + 1];
            row[j + 1] = replaced.min(left + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FileConfig, FileError> {
        FileConfig::parse(Path::new("/etc/drua/daemon.json"), text)
    }

    #[test]
    fn dockers_keys_are_read() {
        let config = parse(
            r#"{ "data-root": "/d", "hosts": ["unix:///s"], "debug": true, "labels": ["a=b"],
                 "default-ulimits": { "nofile": { "Name": "nofile", "Hard": 64, "Soft": 32 } },
                 "default-shm-size": "32m", "log-driver": "local", "log-opts": { "max-size": "10m" },
                 "default-runtime": "io.containerd.runc.v2",
                 "default-address-pools": [{ "base": "10.0.0.0/8", "size": 24 }] }"#,
        )
        .expect("valid");
        let settings = config.settings();
        assert_eq!(settings.shm_size, Some(32 << 20));
        assert_eq!(settings.ulimits[0].soft, 32);
        assert_eq!(settings.default_runtime, "io.containerd.runc.v2");
        assert!(settings.debug && parse("").is_ok() && parse("{}").is_ok());
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, expect, hint) in [
            (r#"{"data-rot": "/d"}"#, "don't match any configuration option: data-rot", "did you mean `data-root`?"),
            (r#"{"insecure-registry": []}"#, "insecure-registry", "did you mean `insecure-registries`?"),
            (r#"{"whatever-else": 1}"#, "don't match any", ""),
            (r#"{"userns-remap": "x"}"#, "`userns-remap` is not supported", "does not remap users"),
            (r#"{"labels": ["a"]}"#, "bad attribute format: a", ""),
            (r#"{"storage-driver": "zfs"}"#, "`zfs` is none of overlay2, overlayfs", ""),
            (r#"{"live-restore": false}"#, "always go on", ""),
            (r#"{"default-runtime": "mine"}"#, "unknown or invalid runtime name: mine", ""),
            (r#"{"debug": 1}"#, "invalid JSON", ""),
            (r#"{"debug": true} x"#, "invalid JSON", ""),
            ("[]", "invalid JSON", ""),
        ] {
            let error = parse(text).expect_err(text);
            let hints = error.hints().join(" ");
            assert!(error.to_string().contains(expect) && hints.contains(hint), "{text}: {error} {hints}");
        }
    }

    #[test]
    fn what_is_said_twice_is_refused() {
        let config = parse(r#"{"data-root": "/d", "debug": true}"#).expect("valid");
        let path = Path::new("/etc/drua/daemon.json");
        assert!(config.conflicts(path, &["bridge".to_owned()]).is_ok());
        let error = config.conflicts(path, &["data-root".to_owned()]).expect_err("twice");
        assert!(error.to_string().contains("data-root: (from file: /d)"), "{error}");
    }
}
