use std::collections::BTreeMap;

use serde_json::Value;

use crate::setting::{Evidence, Key, SettingError, Settings};

/// A family of projects that are built alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stack {
    /// Go modules.
    Go,
    /// Node.js, also where it only builds a site.
    Node,
    /// Python.
    Python,
    /// Rust.
    Rust,
    /// Java and Kotlin, by Maven or Gradle.
    Java,
    /// .NET.
    DotNet,
    /// PHP.
    Php,
    /// Ruby.
    Ruby,
    /// Deno.
    Deno,
    /// Bun.
    Bun,
    /// Elixir.
    Elixir,
    /// C and C++.
    C,
    /// Files that a web server hands out.
    Static,
    /// A prebuilt module of WebAssembly.
    Wasm,
    /// Anything else.
    Other,
}

impl Stack {
    /// Every stack, in the order in which detection prefers them.
    pub const ALL: [Self; 15] = [
        Self::Php,
        Self::Go,
        Self::Java,
        Self::Rust,
        Self::Ruby,
        Self::Elixir,
        Self::Python,
        Self::Deno,
        Self::DotNet,
        Self::Bun,
        Self::Node,
        Self::C,
        Self::Static,
        Self::Wasm,
        Self::Other,
    ];

    /// The word for command lines, and the folder of its templates.
    pub fn id(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Node => "node",
            Self::Python => "python",
            Self::Rust => "rust",
            Self::Java => "java",
            Self::DotNet => "dotnet",
            Self::Php => "php",
            Self::Ruby => "ruby",
            Self::Deno => "deno",
            Self::Bun => "bun",
            Self::Elixir => "elixir",
            Self::C => "c",
            Self::Static => "static",
            Self::Wasm => "wasm",
            Self::Other => "other",
        }
    }

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Go => "Go",
            Self::Node => "Node.js",
            Self::Python => "Python",
            Self::Rust => "Rust",
            Self::Java => "Java",
            Self::DotNet => ".NET",
            Self::Php => "PHP",
            Self::Ruby => "Ruby",
            Self::Deno => "Deno",
            Self::Bun => "Bun",
            Self::Elixir => "Elixir",
            Self::C => "C and C++",
            Self::Static => "Static site",
            Self::Wasm => "WebAssembly module",
            Self::Other => "Other",
        }
    }

    /// The stack of a word on a command line; common other words for it, too.
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let stack = match word.as_str() {
            "golang" => Self::Go,
            "nodejs" | "node.js" | "javascript" | "typescript" | "js" | "ts" => Self::Node,
            "py" => Self::Python,
            "kotlin" | "spring" => Self::Java,
            "csharp" | "c#" | ".net" | "aspnet" => Self::DotNet,
            "rails" => Self::Ruby,
            "phoenix" => Self::Elixir,
            "c++" | "cpp" | "cmake" => Self::C,
            "html" | "site" => Self::Static,
            _ => return Self::ALL.into_iter().find(|stack| stack.id() == word),
        };
        Some(stack)
    }
}

/// A database that a service uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Database {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
    /// Redis or Valkey.
    Redis,
    /// MongoDB.
    Mongodb,
}

impl Database {
    /// Every database.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Mysql, Self::Redis, Self::Mongodb];

    /// Its service's name in the compose file, and the word for command lines.
    pub fn id(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Mongodb => "mongodb",
        }
    }

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Redis => "Redis",
            Self::Mongodb => "MongoDB",
        }
    }

    /// Whether it has a password.
    pub fn has_password(self) -> bool {
        self != Self::Redis
    }
}

/// What a manifest says about the project, for labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// One line.
    pub description: String,
    /// An SPDX expression.
    pub license: String,
    /// Where its source is.
    pub source: String,
}

/// A folder that becomes a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The folder, relative to the project's; empty for that itself.
    pub dir: String,
    /// How it is built.
    pub stack: Stack,
    /// What it is: `Python with Flask`.
    pub title: String,
    /// Why it is taken for that.
    pub evidence: Vec<Evidence>,
    /// What can be chosen.
    pub settings: Settings,
    /// The databases that it uses, with the reason.
    pub databases: Vec<(Database, Evidence)>,
    /// For labels.
    pub about: About,
    /// Whether there is enough to run it, and not only to say what language it is.
    pub runnable: bool,
    /// More that its templates want to know.
    pub facts: BTreeMap<&'static str, Value>,
}

impl Service {
    pub(crate) fn new(stack: Stack, dir: &str, title: impl Into<String>) -> Self {
        Self {
            dir: dir.to_owned(),
            stack,
            title: title.into(),
            evidence: Vec::new(),
            settings: Settings::default(),
            databases: Vec::new(),
            about: About::default(),
            runnable: false,
            facts: BTreeMap::new(),
        }
    }

    /// The service's name.
    pub fn name(&self) -> &str {
        self.settings.value(Key::Name)
    }

    /// Whether its image is WebAssembly, alone or beside Linux.
    pub fn is_wasm(&self) -> bool {
        self.settings.value(Key::Target) == "wasm"
    }

    /// Changes a setting.
    ///
    /// # Errors
    ///
    /// When there is no such setting or the value does not fit.
    pub fn set(&mut self, key: Key, value: &str) -> Result<(), SettingError> {
        self.settings.change(key, value, &self.title)
    }

    /// Adds a fact. Texts go into commands as they are, and some come from manifests: those with anything but letters,
    /// digits and `._/@+-` count as none.
    pub(crate) fn fact(&mut self, key: &'static str, value: impl Into<Value>) {
        let value = match value.into() {
            Value::String(text) if !is_plain(&text) => Value::String(String::new()),
            Value::Array(values) => {
                Value::Array(values.into_iter().filter(|one| one.as_str().is_none_or(is_plain)).collect())
            }
            value => value,
        };
        self.facts.insert(key, value);
    }
}

fn is_plain(text: &str) -> bool {
    !text.starts_with('-') && text.chars().all(|c| c.is_ascii_alphanumeric() || "._/@+-".contains(c))
}
