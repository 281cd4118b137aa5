//! What can be chosen about a service: found in the project, asked in a dialogue, or given as `key=value`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What a setting is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The service's name in the compose file.
    Name,
    /// Linux, WebAssembly, or both under one tag.
    Target,
    /// The language's release.
    Version,
    /// The package manager.
    Manager,
    /// What is built or run: a Go package, a Cargo binary, a project file, a folder.
    Main,
    /// The command that builds, empty for none.
    Build,
    /// Folders that the build makes.
    Output,
    /// The command that runs the service.
    Start,
    /// The port on which it listens, empty for none.
    Port,
    /// The path that says whether it is well, empty to try the port only.
    Health,
    /// Debian packages that it needs while it runs.
    Packages,
}

/// What values a setting may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any line of text.
    Line,
    /// A name of a compose service.
    Name,
    /// A version, as it stands in an image's tag.
    Version,
    /// A TCP port, or nothing.
    Port,
    /// A path of a URL, or nothing.
    UrlPath,
    /// Words with blanks between them, of letters, digits and `+-._/@=`.
    Words,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// A value that a setting cannot have, or a setting that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Not `key=value`.
    #[error("`{0}` is not of the form key=value")]
    Form(String),
    /// No setting has this name.
    #[error("there is no setting `{0}`")]
    Unknown(String),
    /// The service has no such setting.
    #[error("{stack} has no setting `{key}`")]
    Foreign {
        /// The setting.
        key: Key,
        /// The service's stack, as people write it.
        stack: String,
    },
    /// The value does not fit.
    #[error("`{value}` cannot be the {key}: {reason}")]
    Value {
        /// The setting.
        key: Key,
        /// What was given.
        value: String,
        /// What it should have been.
        reason: String,
    },
}

impl drua_types::Hint for SettingError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Form(_) => vec!["write it as `--set port=8080`".to_owned()],
            Self::Unknown(name) => {
                let names = Key::ALL.map(|key| key.to_string());
                let near = drua_dockerfile::nearest(name, names.iter().map(String::as_str));
                let near = near.map(|near| format!("did you mean `{near}`?"));
                near.into_iter().chain([format!("settings are {}", names.join(", "))]).collect()
            }
            Self::Foreign { .. } => {
                vec!["`drua init --dry-run --json` lists the settings of what was found".to_owned()]
            }
            Self::Value { .. } => Vec::new(),
        }
    }
}

impl Key {
    /// Every key, in the order in which a dialogue asks.
    pub const ALL: [Self; 11] = [
        Self::Name,
        Self::Target,
        Self::Version,
        Self::Manager,
        Self::Main,
        Self::Build,
        Self::Output,
        Self::Start,
        Self::Port,
        Self::Health,
        Self::Packages,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Target => "target",
            Self::Version => "version",
            Self::Manager => "manager",
            Self::Main => "main",
            Self::Build => "build",
            Self::Output => "output",
            Self::Start => "start",
            Self::Port => "port",
            Self::Health => "health",
            Self::Packages => "packages",
        }
    }

    /// The question of a dialogue.
    pub fn question(self) -> &'static str {
        match self {
            Self::Name => "Name of the service?",
            Self::Target => "What should it become?",
            Self::Version => "Which version?",
            Self::Manager => "Which package manager?",
            Self::Main => "What is built or run?",
            Self::Build => "Which command builds it?",
            Self::Output => "Which folders does the build make?",
            Self::Start => "Which command runs it?",
            Self::Port => "On which port does it listen?",
            Self::Health => "Which path tells that it is well?",
            Self::Packages => "Which Debian packages does it need while it runs?",
        }
    }

    /// One line of help.
    pub fn help(self) -> &'static str {
        match self {
            Self::Name => "other services reach it by this name",
            Self::Target => "linux: a container; wasm: WebAssembly; both: one tag, the platform decides",
            Self::Version => "the tag of the base image",
            Self::Manager => "its lock file decides what is installed",
            Self::Main => "a Go package, a Cargo binary, a project file or a folder",
            Self::Build => "nothing for none",
            Self::Output => "with blanks between them; they go into the final image",
            Self::Start => "runs without a shell, so that signals reach it; with && or $ it gets one",
            Self::Port => "nothing for a program that serves nothing",
            Self::Health => "such as /healthz; nothing to see whether the port is open",
            Self::Packages => "with blanks between them; nothing for none",
        }
    }

    /// What values it may have, where the service does not say more.
    pub fn kind(self) -> Kind {
        match self {
            Self::Name => Kind::Name,
            Self::Target => Kind::Choice(&["linux", "wasm", "both"]),
            Self::Version => Kind::Version,
            Self::Manager | Self::Main | Self::Build | Self::Start => Kind::Line,
            Self::Output | Self::Packages => Kind::Words,
            Self::Port => Kind::Port,
            Self::Health => Kind::UrlPath,
        }
    }

    /// Checks a value.
    ///
    /// # Errors
    ///
    /// [`SettingError::Value`] with what would fit.
    pub fn check(self, kind: Kind, value: &str) -> Result<(), SettingError> {
        let fail = |reason: String| Err(SettingError::Value { key: self, value: value.to_owned(), reason });
        let only = |extra: &str| value.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c));
        if value.chars().any(char::is_control) {
            return fail("it must be one line without control characters".to_owned());
        }
        match kind {
            Kind::Line => Ok(()),
            Kind::Name => match value.parse::<drua_composefile::ServiceName>() {
                Ok(_) => Ok(()),
                Err(error) => fail(error.to_string()),
            },
            Kind::Version if !value.is_empty() && only("._-+") && value.len() <= 64 => Ok(()),
            Kind::Version => fail("a version is like 3.14 or 22.1".to_owned()),
            Kind::Port if value.is_empty() || value.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
            Kind::Port => fail("a port is a number between 1 and 65535".to_owned()),
            Kind::UrlPath if value.is_empty() || (value.starts_with('/') && only("/._-~%?=&")) => Ok(()),
            Kind::UrlPath => fail("a path begins with / and has no blanks or quotes".to_owned()),
            Kind::Words if only(" +-._/@=") => Ok(()),
            Kind::Words => fail("only letters, digits, + - . _ / @ = and blanks".to_owned()),
            Kind::Choice(values) if values.contains(&value) => Ok(()),
            Kind::Choice(values) => fail(format!("it is one of {}", values.join(", "))),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Key {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        Self::ALL.into_iter().find(|key| key.as_str() == text).ok_or_else(|| SettingError::Unknown(text.to_owned()))
    }
}

/// Why something is believed: a file and what it says, or a rule of thumb where the file is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Path in the project; empty for what no file says.
    pub file: String,
    /// What was seen, as the end of a sentence.
    pub what: String,
}

impl Evidence {
    pub(crate) fn of(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: file.into(), what: what.into() }
    }

    /// Nothing in the project says so.
    pub(crate) fn usual(what: impl Into<String>) -> Self {
        Self::of("", what)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_empty() { f.write_str(&self.what) } else { write!(f, "{}: {}", self.file, self.what) }
    }
}

/// A value with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value, empty for none.
    pub value: String,
    /// What values it may have.
    pub kind: Kind,
    /// Why it is so.
    pub evidence: Evidence,
}

/// The settings of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<Key, Setting>);

impl Settings {
    /// The settings in the order in which a dialogue asks.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Setting)> {
        self.0.iter().map(|(key, setting)| (*key, setting))
    }

    /// One setting.
    pub fn get(&self, key: Key) -> Option<&Setting> {
        self.0.get(&key)
    }

    /// A setting's value, empty where there is none.
    pub fn value(&self, key: Key) -> &str {
        self.0.get(&key).map_or("", |setting| setting.value.as_str())
    }

    /// Changes a setting.
    ///
    /// # Errors
    ///
    /// When there is no such setting or the value does not fit.
    pub fn change(&mut self, key: Key, value: &str, stack: &str) -> Result<(), SettingError> {
        let foreign = || SettingError::Foreign { key, stack: stack.to_owned() };
        let setting = self.0.get_mut(&key).ok_or_else(foreign)?;
        key.check(setting.kind, value.trim())?;
        value.trim().clone_into(&mut setting.value);
        setting.evidence = Evidence::usual("you said so");
        Ok(())
    }

    /// Adds what a detector has found. A value that does not fit, which comes from some manifest, counts as none.
    pub(crate) fn found(&mut self, key: Key, value: impl Into<String>, evidence: Evidence) {
        self.found_of(key, key.kind(), value, evidence);
    }

    pub(crate) fn found_of(&mut self, key: Key, kind: Kind, value: impl Into<String>, evidence: Evidence) {
        let value: String = value.into();
        let value = if key.check(kind, value.trim()).is_ok() { value.trim().to_owned() } else { String::new() };
        self.0.insert(key, Setting { value, kind, evidence });
    }

    pub(crate) fn remove(&mut self, key: Key) {
        self.0.remove(&key);
    }
}
