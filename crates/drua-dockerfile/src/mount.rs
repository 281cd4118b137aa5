//! `RUN --mount=type=…,…`

use crate::suggest::nearest;

/// A mount of RUN. Paths, identifiers and owners are texts as written, with variables expanded by the caller beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where in the filesystem; `None` for what has a default or needs none.
    pub target: Option<String>,
    /// The kind and its own options.
    pub kind: MountKind,
}

/// The kinds of mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the build context, a stage, an image or a named context. Writes are dropped.
    Bind {
        /// Stage, image or context; the build context by default.
        from: Option<String>,
        /// Path in there, default its root.
        source: Option<String>,
        /// Whether the command may write.
        writable: bool,
    },
    /// A directory that later builds find again.
    Cache {
        /// Its name, default its target.
        id: Option<String>,
        /// What it starts as.
        from: Option<String>,
        /// Path in there.
        source: Option<String>,
        /// Who may use it at the same time.
        sharing: CacheSharing,
        /// Whether the command may not write.
        readonly: bool,
        /// Permissions of a new one, default 0755.
        mode: Option<u32>,
        /// Owner of a new one.
        uid: Option<u32>,
        /// Group of a new one.
        gid: Option<u32>,
    },
    /// Memory.
    Tmpfs {
        /// Bytes at most.
        size: Option<u64>,
    },
    /// A secret, as a file or as a variable.
    Secret {
        /// Its name, default the target's file name.
        id: Option<String>,
        /// The variable.
        env: Option<String>,
        /// Whether its absence is an error.
        required: bool,
        /// Permissions, default 0400.
        mode: Option<u32>,
        /// Owner.
        uid: Option<u32>,
        /// Group.
        gid: Option<u32>,
    },
    /// The socket of an SSH agent.
    Ssh {
        /// Its name, `default` by default.
        id: Option<String>,
        /// Whether its absence is an error.
        required: bool,
        /// Permissions, default 0600.
        mode: Option<u32>,
        /// Owner.
        uid: Option<u32>,
        /// Group.
        gid: Option<u32>,
    },
}

/// `sharing=` of cache mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheSharing {
    /// Anybody at any time.
    #[default]
    Shared,
    /// A new one for everybody who finds it in use.
    Private,
    /// One at a time; others wait.
    Locked,
}

/// A mount's options are wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// The kind is none.
    #[error("unsupported mount type \"{0}\"; the types are bind, cache, tmpfs, secret and ssh")]
    Kind(String),
    /// No such option.
    #[error("unexpected key '{key}' for mount type \"{kind}\"{}", suggestion.as_ref().map(|s| format!(" (did you mean {s}?)")).unwrap_or_default())]
    Key {
        /// The option.
        key: String,
        /// The mount's type.
        kind: String,
        /// What may be meant.
        suggestion: Option<String>,
    },
    /// The value is wrong.
    #[error("invalid value for {key}: {value}")]
    Value {
        /// The option.
        key: String,
        /// Its value.
        value: String,
    },
    /// An option without value.
    #[error("invalid field '{0}' must be a key=value pair")]
    Pair(String),
    /// A target is needed.
    #[error("mount type \"{0}\" requires a target")]
    Target(&'static str),
    /// A secret needs a name.
    #[error("a secret mount needs an id or a target")]
    SecretId,
    /// A quote is not closed.
    #[error("`{0}` has a quote that is not closed")]
    Quote(String),
}

impl Mount {
    /// Reads the value of `--mount`, whose variables have been expanded.
    ///
    /// # Errors
    /// An unknown type or option, a bad value, no target where one is needed.
    pub fn parse(value: &str) -> Result<Self, MountError> {
        let mut fields = Fields(csv_fields(value)?.into_iter().map(Field::new).collect());
        let kind = fields.text(&["type"])?.unwrap_or_else(|| "bind".to_owned()).to_lowercase();
        let target = fields.text(&["target", "dst", "destination"])?;
        let kind_of = fields.kind(&kind, target.as_deref())?;
        fields.finish(&kind)?;
        let needs = match &kind_of {
            MountKind::Bind { .. } => Some("bind"),
            MountKind::Cache { .. } => Some("cache"),
            MountKind::Tmpfs { .. } => Some("tmpfs"),
            MountKind::Secret { .. } | MountKind::Ssh { .. } => None,
        };
        match (needs, &target) {
            (Some(kind), None) => Err(MountError::Target(kind)),
            _ => Ok(Self { target, kind: kind_of }),
        }
    }
}

struct Field {
    key: String,
    value: Option<String>,
    taken: bool,
}

impl Field {
    fn new(text: String) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Self { key: key.trim().to_lowercase(), value: Some(value.to_owned()), taken: false },
            None => Self { key: text.trim().to_lowercase(), value: None, taken: false },
        }
    }
}

struct Fields(Vec<Field>);

impl Fields {
    /// The last field with one of these names.
    fn take(&mut self, keys: &[&str]) -> Option<&Field> {
        let mut found = None;
        for (index, field) in self.0.iter_mut().enumerate() {
            if keys.contains(&field.key.as_str()) {
                field.taken = true;
                found = Some(index);
            }
        }
        found.map(|index| &self.0[index])
    }

    fn text(&mut self, keys: &[&str]) -> Result<Option<String>, MountError> {
        match self.take(keys) {
            None => Ok(None),
            Some(field) => field.value.clone().map(Some).ok_or_else(|| MountError::Pair(field.key.clone())),
        }
    }

    /// A switch: alone it is on.
    fn switch(&mut self, keys: &[&str]) -> Result<Option<bool>, MountError> {
        let Some(field) = self.take(keys) else { return Ok(None) };
        match field.value.as_deref().map(str::to_lowercase).as_deref() {
            None | Some("" | "1" | "t" | "true") => Ok(Some(true)),
            Some("0" | "f" | "false") => Ok(Some(false)),
            Some(value) => Err(MountError::Value { key: field.key.clone(), value: value.to_owned() }),
        }
    }

    fn number(&mut self, key: &str, radix: u32) -> Result<Option<u32>, MountError> {
        let Some(text) = self.text(&[key])? else { return Ok(None) };
        let digits = text.strip_prefix("0o").unwrap_or(&text);
        match u32::from_str_radix(digits, radix) {
            Ok(number) if radix != 8 || number <= 0o7777 => Ok(Some(number)),
            _ => Err(MountError::Value { key: key.to_owned(), value: text }),
        }
    }

    fn kind(&mut self, kind: &str, target: Option<&str>) -> Result<MountKind, MountError> {
        Ok(match kind {
            "bind" => {
                let writable = self.switch(&["rw", "readwrite"])?;
                let readonly = self.switch(&["ro", "readonly"])?;
                MountKind::Bind {
                    from: self.text(&["from"])?,
                    source: self.text(&["source", "src"])?,
                    writable: writable.unwrap_or(false) && !readonly.unwrap_or(false) || readonly == Some(false),
                }
            }
            "cache" => {
                let writable = self.switch(&["rw", "readwrite"])?;
                let readonly = self.switch(&["ro", "readonly"])?;
                let sharing = match self.text(&["sharing"])?.map(|text| text.to_lowercase()).as_deref() {
                    None | Some("shared") => CacheSharing::Shared,
                    Some("private") => CacheSharing::Private,
                    Some("locked") => CacheSharing::Locked,
                    Some(other) => {
                        return Err(MountError::Value { key: "sharing".to_owned(), value: other.to_owned() });
                    }
                };
                MountKind::Cache {
                    id: self.text(&["id"])?,
                    from: self.text(&["from"])?,
                    source: self.text(&["source", "src"])?,
                    sharing,
                    readonly: readonly.unwrap_or(writable == Some(false)),
                    mode: self.number("mode", 8)?,
                    uid: self.number("uid", 10)?,
                    gid: self.number("gid", 10)?,
                }
            }
            "tmpfs" => {
                let size = self.text(&["size"])?;
                let bad = |value: String| MountError::Value { key: "size".to_owned(), value };
                let size = size.map(|text| bytes(&text).ok_or_else(|| bad(text))).transpose()?;
                MountKind::Tmpfs { size }
            }
            "secret" => {
                let id = self.text(&["id"])?;
                let source = self.text(&["source", "src"])?;
                let id = id.or(source).or_else(|| target.and_then(|t| t.rsplit('/').next()).map(str::to_owned));
                if id.as_deref().is_none_or(str::is_empty) {
                    return Err(MountError::SecretId);
                }
                MountKind::Secret {
                    id,
                    env: self.text(&["env"])?,
                    required: self.switch(&["required"])?.unwrap_or(false),
                    mode: self.number("mode", 8)?,
                    uid: self.number("uid", 10)?,
                    gid: self.number("gid", 10)?,
                }
            }
            "ssh" => MountKind::Ssh {
                id: self.text(&["id"])?.or(self.text(&["source", "src"])?),
                required: self.switch(&["required"])?.unwrap_or(false),
                mode: self.number("mode", 8)?,
                uid: self.number("uid", 10)?,
                gid: self.number("gid", 10)?,
            },
            other => return Err(MountError::Kind(other.to_owned())),
        })
    }

    fn finish(&self, kind: &str) -> Result<(), MountError> {
        const KEYS: [&str; 19] = [
            "type",
            "from",
            "source",
            "src",
            "target",
            "dst",
            "destination",
            "readonly",
            "ro",
            "rw",
            "readwrite",
            "id",
            "sharing",
            "required",
            "size",
            "mode",
            "uid",
            "gid",
            "env",
        ];
        match self.0.iter().find(|field| !field.taken) {
            None => Ok(()),
            Some(field) => Err(MountError::Key {
                key: field.key.clone(),
                kind: kind.to_owned(),
                suggestion: nearest(&field.key, KEYS).map(str::to_owned),
            }),
        }
    }
}

/// Fields between commas; a field in double quotes may have commas, and `""` inside is one quote.
fn csv_fields(text: &str) -> Result<Vec<String>, MountError> {
    let mut fields = vec![String::new()];
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    match quoted {
        true => Err(MountError::Quote(text.to_owned())),
        false => Ok(fields),
    }
}

/// `64m`, `1GiB`, `1000`.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let unit = lower[digits..].trim().trim_end_matches('b').trim_end_matches('i');
    let factor = match unit {
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1024.0 * 1024.0,
        "g" => 1024.0_f64.powi(3),
        "t" => 1024.0_f64.powi(4),
        _ => return None,
    };
    Some((lower[..digits].parse::<f64>().ok()? * factor) as u64)
}
