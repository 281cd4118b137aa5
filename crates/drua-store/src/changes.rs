//! Instructions that change an image's configuration: `docker import --change`, `docker commit --change`.
//!
//! A subset of Dockerfile syntax, one instruction a string. Does not substitute variables: there are none at this point.

use std::collections::{BTreeMap, HashMap};

use drua_types::{Classify, ErrorKind, Port, Signal};
use oci_spec::image::Config;
use serde_json::Value;

/// An instruction that is none, or not one that can change a configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChangeError {
    /// Not an instruction that `--change` takes.
    #[error("{instruction} is not a valid change command")]
    Unknown {
        /// The first word.
        instruction: String,
    },
    /// The instruction's arguments are wrong.
    #[error("invalid change `{change}`: {reason}")]
    Invalid {
        /// The whole text.
        change: String,
        /// What is wrong.
        reason: String,
    },
}

impl Classify for ChangeError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Applies instructions to the `config` object of an image's configuration; what OCI does not know in it stays.
///
/// # Errors
/// [`ChangeError`].
pub fn apply_changes(config: Value, changes: &[String]) -> Result<Value, ChangeError> {
    if changes.is_empty() {
        return Ok(config);
    }
    let invalid = |error: serde_json::Error| ChangeError::Invalid {
        change: changes.join("; ").chars().take(200).collect(),
        reason: format!("the configuration that it changes is damaged: {error}"),
    };
    let mut typed: Config = serde_json::from_value(config.clone()).map_err(invalid)?;
    changes.iter().try_for_each(|change| apply(&mut typed, change))?;
    let (Value::Object(mut all), Value::Object(changed)) = (config, serde_json::to_value(typed).map_err(invalid)?)
    else {
        return Ok(Value::Null);
    };
    all.extend(changed);
    Ok(Value::Object(all))
}

/// Applies one instruction.
pub(crate) fn apply(config: &mut Config, change: &str) -> Result<(), ChangeError> {
    let trimmed = change.trim();
    let (word, rest) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
    let rest = rest.trim();
    let invalid =
        |reason: &str| ChangeError::Invalid { change: trimmed.chars().take(200).collect(), reason: reason.to_owned() };
    let instruction = word.to_ascii_uppercase();
    if rest.is_empty() && !matches!(instruction.as_str(), "CMD" | "ENTRYPOINT") {
        return Err(invalid("it needs an argument"));
    }
    match instruction.as_str() {
        "CMD" => drop(config.set_cmd(Some(command(rest)))),
        "ENTRYPOINT" => drop(config.set_entrypoint(Some(command(rest)))),
        "USER" => drop(config.set_user(Some(rest.to_owned()))),
        "WORKDIR" => {
            let directory = join(config.working_dir().as_deref().unwrap_or("/"), rest);
            config.set_working_dir(Some(directory));
        }
        "STOPSIGNAL" => {
            rest.parse::<Signal>().map_err(|error| invalid(&error.to_string()))?;
            config.set_stop_signal(Some(rest.to_owned()));
        }
        "ENV" => {
            let mut env = config.env().clone().unwrap_or_default();
            for (name, value) in pairs(rest).map_err(&invalid)? {
                let prefix = format!("{name}=");
                env.retain(|old| !old.starts_with(&prefix));
                env.push(format!("{prefix}{value}"));
            }
            config.set_env(Some(env));
        }
        "LABEL" => {
            let mut labels: HashMap<String, String> = config.labels().clone().unwrap_or_default();
            labels.extend(pairs(rest).map_err(&invalid)?);
            config.set_labels(Some(labels));
        }
        "EXPOSE" => {
            let mut ports = config.exposed_ports().clone().unwrap_or_default();
            for port in rest.split_whitespace() {
                ports.push(port.parse::<Port>().map_err(|error| invalid(&error.to_string()))?.to_string());
            }
            config.set_exposed_ports(Some(sorted(ports)));
        }
        "VOLUME" => {
            let mut volumes = config.volumes().clone().unwrap_or_default();
            match json_list(rest) {
                Some(list) => volumes.extend(list),
                None => volumes.extend(words(rest).map_err(&invalid)?),
            }
            config.set_volumes(Some(sorted(volumes)));
        }
        "ONBUILD" => {}
        _ => return Err(ChangeError::Unknown { instruction: word.chars().take(40).collect() }),
    }
    Ok(())
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

/// JSON form, or a command line for the shell.
fn command(text: &str) -> Vec<String> {
    match json_list(text) {
        Some(list) => list,
        None if text.is_empty() => Vec::new(),
        None => vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()],
    }
}

/// What looks like JSON but is none is shell form, as in a Dockerfile.
fn json_list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

/// `NAME=value …`, or the old `NAME the rest`.
fn pairs(text: &str) -> Result<BTreeMap<String, String>, &'static str> {
    let first = text.split_whitespace().next().unwrap_or("");
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace).ok_or("expected `NAME=value`")?;
        return Ok([(name.to_owned(), value.trim().to_owned())].into());
    }
    words(text)?
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err("expected `NAME=value`"),
        })
        .collect()
}

/// Splits at blanks outside quotes; a backslash takes the next character as it is, except within single quotes.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { Err("a quote is not closed") } else { Ok(words) }
}

/// A directory relative to another, cleaned of `.` and `..`.
fn join(base: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{base}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
