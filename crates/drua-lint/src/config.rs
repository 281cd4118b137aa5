//! Which rules apply: `.drua/lint.toml` and `.hadolint.yaml`, as text in, [`Config`] out.

use std::collections::BTreeMap;

use drua_dockerfile::{Ignore, nearest};
use serde::Deserialize;

use crate::report::Severity;
use crate::rules::{self, Rule};
use crate::yaml;

/// What a rule's findings become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    Off,
    /// Findings of this severity.
    On(Severity),
}

/// What a label's value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelKind {
    /// Anything but nothing.
    Text,
    /// A URL.
    Url,
    /// A date and time, RFC 3339.
    Time,
    /// An SPDX license expression.
    License,
    /// A git commit.
    GitHash,
    /// A semantic version.
    Version,
    /// An e-mail address.
    Email,
}

impl LabelKind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "text" | "rawtext" => Self::Text,
            "url" => Self::Url,
            "rfc3339" => Self::Time,
            "spdx" => Self::License,
            "hash" | "git-hash" => Self::GitHash,
            "semver" => Self::Version,
            "email" => Self::Email,
            _ => return None,
        })
    }
}

/// Which rules apply, and how bad their findings are.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// What rules become, by [`Rule::code`]; rules that are not here keep their own severity.
    pub levels: BTreeMap<String, Level>,
    /// Registries that FROM may name; empty allows all.
    pub trusted_registries: Vec<String>,
    /// Labels that must be there, and what their values are.
    pub labels: BTreeMap<String, LabelKind>,
    /// Whether other labels are findings.
    pub strict_labels: bool,
    /// Whether comments in the files silence nothing.
    pub no_inline: bool,
    /// The least severity at which the command fails; [`Severity::Warning`] when not set.
    pub fail_on: Option<Severity>,
    /// Rules that are off for some files.
    pub per_file: Vec<PerFile>,
}

/// Rules that are off for some files.
#[derive(Debug, Clone)]
pub struct PerFile {
    files: Ignore,
    codes: Vec<String>,
}

/// A configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not TOML, or has other keys.
    #[error("`{file}` is not a lint configuration")]
    Toml {
        /// The file.
        file: String,
        /// What is wrong where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// It is not YAML.
    #[error("`{file}` line {line} is not a hadolint configuration: {problem}")]
    Yaml {
        /// The file.
        file: String,
        /// The line.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// No such rule.
    #[error("`{file}`: there is no rule `{rule}`{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Rule {
        /// The file.
        file: String,
        /// What it says.
        rule: String,
        /// What may be meant.
        suggestion: Option<String>,
    },
    /// A word that is none of those that can be there.
    #[error("`{file}`: `{key}` cannot be `{value}`; it is one of {expected}")]
    Value {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// What it says.
        value: String,
        /// What it can say.
        expected: &'static str,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Toml {
    fail_on: Option<String>,
    ignore: Vec<String>,
    enable: Vec<String>,
    rules: BTreeMap<String, String>,
    trusted_registries: Vec<String>,
    labels: BTreeMap<String, String>,
    strict_labels: bool,
    no_inline: bool,
    per_file: Vec<TomlFiles>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlFiles {
    files: Vec<String>,
    ignore: Vec<String>,
}

const SEVERITIES: &str = "error, warning, info, style";

impl Config {
    /// Reads `.drua/lint.toml` over what is set already.
    ///
    /// # Errors
    /// It is not TOML, has keys that mean nothing, or names rules that do not exist.
    pub fn read_toml(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        let toml: Toml = toml::from_str(text)
            .map_err(|source| ConfigError::Toml { file: file.to_owned(), source: Box::new(source) })?;
        if let Some(name) = &toml.fail_on {
            self.fail_on = Some(severity(file, "fail-on", name)?);
        }
        for name in &toml.ignore {
            self.off(rule(file, name)?);
        }
        for name in &toml.enable {
            let rule = rule(file, name)?;
            self.levels.insert(rule.code.to_owned(), Level::On(rule.severity));
        }
        for (name, level) in &toml.rules {
            let rule = rule(file, name)?;
            let level = if level == "off" { Level::Off } else { Level::On(severity(file, name, level)?) };
            self.levels.insert(rule.code.to_owned(), level);
        }
        self.trusted_registries.extend(toml.trusted_registries);
        for (label, kind) in &toml.labels {
            self.labels.insert(label.clone(), label_kind(file, label, kind)?);
        }
        self.strict_labels |= toml.strict_labels;
        self.no_inline |= toml.no_inline;
        for entry in &toml.per_file {
            let mut codes = Vec::new();
            for name in &entry.ignore {
                codes.push(rule(file, name)?.code.to_owned());
            }
            let files = Ignore::new(&entry.files).map_err(|_| ConfigError::Value {
                file: file.to_owned(),
                key: "files".to_owned(),
                value: entry.files.join(", "),
                expected: "patterns as in .dockerignore",
            })?;
            self.per_file.push(PerFile { files, codes });
        }
        Ok(())
    }

    /// Reads `.hadolint.yaml` over what is set already. Its rules that we do not know are passed over, since ShellCheck has
    /// many.
    ///
    /// # Errors
    /// It is not YAML, or a severity is none.
    pub fn read_hadolint(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        let node = yaml::parse(text).map_err(|problem| ConfigError::Yaml {
            file: file.to_owned(),
            line: problem.line,
            problem: problem.message,
        })?;
        let Some(node) = node else { return Ok(()) };
        let texts = |key: &str| node.get(key).map(yaml::Node::texts).unwrap_or_default();
        for name in texts("ignored") {
            if let Some(rule) = rules::find(&name) {
                self.off(rule);
            }
        }
        for severity in Severity::ALL {
            let names = node.get("override").and_then(|node| node.get(severity.name())).map(yaml::Node::texts);
            for rule in names.unwrap_or_default().iter().filter_map(|name| rules::find(name)) {
                self.levels.insert(rule.code.to_owned(), Level::On(severity));
            }
        }
        self.trusted_registries.extend(texts("trustedRegistries"));
        for entry in node.get("label-schema").and_then(yaml::Node::entries).unwrap_or_default() {
            let kind = entry.value.as_text().unwrap_or_default();
            self.labels.insert(entry.key.clone(), label_kind(file, &entry.key, kind)?);
        }
        let is = |key: &str| node.get(key).and_then(yaml::Node::as_text) == Some("true");
        self.strict_labels |= is("strict-labels");
        self.no_inline |= is("disable-ignore-pragma");
        match node.get("failure-threshold").and_then(yaml::Node::as_text) {
            None | Some("none" | "ignore") => {}
            Some(name) => self.fail_on = Some(severity(file, "failure-threshold", name)?),
        }
        Ok(())
    }

    /// Turns a rule off.
    pub fn off(&mut self, rule: &Rule) {
        self.levels.insert(rule.code.to_owned(), Level::Off);
    }

    /// The severity of a rule's findings in a file; `None` when it is off there.
    pub(crate) fn severity(&self, rule: &Rule, file: &str) -> Option<Severity> {
        if self
            .per_file
            .iter()
            .any(|entry| entry.codes.iter().any(|code| code == rule.code) && entry.files.matches(file))
        {
            return None;
        }
        match self.levels.get(rule.code) {
            Some(Level::Off) => None,
            Some(Level::On(severity)) => Some(*severity),
            None if !rule.on => None,
            None => Some(rule.severity),
        }
    }
}

fn rule(file: &str, name: &str) -> Result<&'static Rule, ConfigError> {
    rules::find(name).ok_or_else(|| {
        let names = rules::all().flat_map(|rule| [rule.code, rule.name]);
        let suggestion = nearest(name, names).map(str::to_owned);
        ConfigError::Rule { file: file.to_owned(), rule: name.to_owned(), suggestion }
    })
}

fn severity(file: &str, key: &str, name: &str) -> Result<Severity, ConfigError> {
    Severity::of(name).ok_or_else(|| ConfigError::Value {
        file: file.to_owned(),
        key: key.to_owned(),
        value: name.to_owned(),
        expected: SEVERITIES,
    })
}

fn label_kind(file: &str, label: &str, kind: &str) -> Result<LabelKind, ConfigError> {
    LabelKind::of(kind).ok_or_else(|| ConfigError::Value {
        file: file.to_owned(),
        key: label.to_owned(),
        value: kind.to_owned(),
        expected: "text, url, rfc3339, spdx, hash, semver, email",
    })
}
