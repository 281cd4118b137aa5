//! How a guest runs, as annotations say it (see [`drua_types::annotations`]).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use drua_types::Hint;
use drua_types::annotations;
use drua_types::grants::{Grants, InvalidGrant};

/// Grants, limits and how to serve.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What the guest may do.
    pub grants: Grants,
    /// Linear memory that one instance may have, in bytes: the container's limit. Default: no limit.
    pub memory: Option<u64>,
    /// How long a command may run, or a request may take to be answered. Default: no limit.
    pub timeout: Option<Duration>,
    /// Requests that an instance serves before it is replaced. Default 1 (WASI 0.2), 128 (0.3).
    pub reuse: Option<u32>,
    /// Requests at a time. Default 512.
    pub concurrency: Option<u32>,
    /// What `wasi:config` answers. Default: the environment.
    pub config: Option<BTreeMap<String, String>>,
    /// The guest's directories, where no container has any. Default: those of the grants.
    pub directories: Option<Vec<Directory>>,
}

/// A directory that a guest gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub host: PathBuf,
    /// What the guest calls it.
    pub guest: String,
    /// Whether the guest may only read.
    pub read_only: bool,
}

/// An annotation has a value that makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSetting {
    /// A list of grants has a word that is none.
    #[error("the annotation `{0}` cannot be used")]
    Grant(&'static str, #[source] InvalidGrant),
    /// A number is none, or too large.
    #[error("the annotation `{annotation}` is `{value}`, not {wanted}")]
    Number {
        /// Its name.
        annotation: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The configuration is no JSON object of texts.
    #[error("the annotation `{}` is no JSON object of texts", annotations::WASM_CONFIG)]
    Config(#[source] serde_json::Error),
}

impl Hint for InvalidSetting {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Grant(_, error) => error.hints(),
            Self::Number { .. } | Self::Config(_) => Vec::new(),
        }
    }
}

impl Settings {
    /// Reads annotations; `get` gives the value of one.
    ///
    /// # Errors
    /// The first annotation that cannot be understood: a limit or a grant that is not applied would be worse than none.
    pub fn of_annotations<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, InvalidSetting> {
        let list = |name: &str| get(name).unwrap_or_default();
        // Parsed one by one, to name the right annotation.
        Grants::parse(list(annotations::WASM_ALLOW), "")
            .map_err(|error| InvalidSetting::Grant(annotations::WASM_ALLOW, error))?;
        let grants = Grants::parse(list(annotations::WASM_ALLOW), list(annotations::WASM_DENY))
            .map_err(|error| InvalidSetting::Grant(annotations::WASM_DENY, error))?;
        let number = |annotation: &'static str| {
            let fail = |value: &str| InvalidSetting::Number {
                annotation,
                value: value.chars().take(40).collect(),
                wanted: "a number from 1 to 1000000",
            };
            let parse = |value: &str| {
                value.parse().ok().filter(|number| (1..=1_000_000).contains(number)).ok_or_else(|| fail(value))
            };
            get(annotation).map(parse).transpose()
        };
        let timeout = get(annotations::WASM_TIMEOUT).map(|value| {
            let seconds = value.strip_suffix('s').unwrap_or(value).parse().ok();
            let seconds = seconds.filter(|seconds: &f64| (0.001..=1e9).contains(seconds));
            seconds.map(Duration::from_secs_f64).ok_or_else(|| InvalidSetting::Number {
                annotation: annotations::WASM_TIMEOUT,
                value: value.chars().take(40).collect(),
                wanted: "a number of seconds",
            })
        });
        let config = get(annotations::WASM_CONFIG).map(serde_json::from_str);
        Ok(Self {
            grants,
            memory: None,
            timeout: timeout.transpose()?,
            reuse: number(annotations::WASM_REUSE)?,
            concurrency: number(annotations::WASM_CONCURRENCY)?,
            config: config.transpose().map_err(InvalidSetting::Config)?,
            directories: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_read_or_refused() {
        let one = |name: &'static str, value: &'static str| {
            Settings::of_annotations(move |asked| (asked == name).then_some(value))
        };
        assert_eq!(one(annotations::WASM_TIMEOUT, "2.5s").expect("valid").timeout, Some(Duration::from_millis(2500)));
        assert_eq!(one(annotations::WASM_REUSE, "7").expect("valid").reuse, Some(7));
        assert!(!one(annotations::WASM_DENY, "net").expect("valid").grants.is_everything());
        assert_eq!(one(annotations::WASM_CONFIG, r#"{"a":"b"}"#).expect("valid").config.expect("a map")["a"], "b");
        for (name, value) in [
            (annotations::WASM_TIMEOUT, "-1"),
            (annotations::WASM_TIMEOUT, "NaN"),
            (annotations::WASM_REUSE, "0"),
            (annotations::WASM_CONCURRENCY, "many"),
            (annotations::WASM_ALLOW, "everything"),
            (annotations::WASM_CONFIG, "[]"),
        ] {
            assert!(one(name, value).is_err(), "{name}={value}");
        }
    }
}
