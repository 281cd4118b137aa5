//! What the log options `labels`, `labels-regex`, `env`, `env-regex` and `tag` add to each record of a container's log.

use std::collections::BTreeMap;

use regex::Regex;

use super::Container;
use crate::{Error, Result};

/// A pattern longer than this is no pattern for names of labels.
const MAX_PATTERN_BYTES: usize = 1024;

/// A field of the markup, and what it stands for.
type Field = (&'static str, fn(&Container) -> String);

/// Docker's markup for `tag`.
const MARKUP: [Field; 7] = [
    ("ID", |container| container.id.short().to_owned()),
    ("FullID", |container| container.id.to_string()),
    ("Name", |container| container.name.to_string()),
    ("ImageName", |container| container.config.image.clone()),
    ("ImageID", |container| container.image.hex().chars().take(12).collect()),
    ("ImageFullID", |container| container.image.to_string()),
    ("DaemonName", |_| "docker".to_owned()),
];

/// Checks log options that only count when a container starts.
///
/// # Errors
/// [`Error::Invalid`] for a pattern that is none, and for markup that nobody knows.
pub fn check(options: &BTreeMap<String, String>) -> Result<()> {
    for key in ["labels-regex", "env-regex"] {
        pattern(options, key)?;
    }
    tag(options, |_| String::new()).map(drop)
}

/// The attributes of a container's log records; none unless its log options ask for some.
pub(super) fn of(container: &Container) -> BTreeMap<String, String> {
    let options = &container.host.log.options;
    let listed = |key: &str, name: &str| options.get(key).is_some_and(|list| list.split(',').any(|word| word == name));
    // Checked when the container was created.
    let matched = |key: &str| pattern(options, key).ok().flatten();
    let (labels, env) = (matched("labels-regex"), matched("env-regex"));
    let fits = |pattern: &Option<Regex>, name: &str| pattern.as_ref().is_some_and(|pattern| pattern.is_match(name));
    let mut attributes = BTreeMap::new();
    for (name, value) in &container.config.labels {
        if listed("labels", name) || fits(&labels, name) {
            attributes.insert(name.clone(), value.clone());
        }
    }
    for (name, value) in container.config.env.iter().filter_map(|variable| variable.split_once('=')) {
        if listed("env", name) || fits(&env, name) {
            attributes.insert(name.to_owned(), value.to_owned());
        }
    }
    let value = |field: &str| MARKUP.iter().find(|(known, _)| *known == field).map(|(_, value)| value(container));
    if let Ok(Some(tag)) = tag(options, |field| value(field).unwrap_or_default()) {
        attributes.insert("tag".to_owned(), tag);
    }
    attributes
}

fn pattern(options: &BTreeMap<String, String>, key: &str) -> Result<Option<Regex>> {
    let Some(text) = options.get(key).filter(|text| !text.is_empty()) else { return Ok(None) };
    let invalid = |why: &dyn std::fmt::Display| Error::Invalid(format!("invalid log option {key}={text}: {why}"));
    if text.len() > MAX_PATTERN_BYTES {
        return Err(invalid(&"it is too long"));
    }
    Regex::new(text).map(Some).map_err(|error| invalid(&error))
}

/// The tag with its markup filled in.
fn tag(options: &BTreeMap<String, String>, value: impl Fn(&str) -> String) -> Result<Option<String>> {
    let Some(template) = options.get("tag").filter(|text| !text.is_empty()) else { return Ok(None) };
    let invalid = || {
        Error::Invalid(format!(
            "invalid log option tag={template}: it may use {{{{.ID}}}}, {{{{.FullID}}}}, {{{{.Name}}}}, {{{{.ImageName}}}}, {{{{.ImageID}}}}, {{{{.ImageFullID}}}} and {{{{.DaemonName}}}}"
        ))
    };
    let mut text = String::new();
    let mut rest = template.as_str();
    while let Some((plain, after)) = rest.split_once("{{") {
        let (field, after) = after.split_once("}}").ok_or_else(invalid)?;
        let field = field.trim().strip_prefix('.').ok_or_else(invalid)?;
        if !MARKUP.iter().any(|(known, _)| *known == field) {
            return Err(invalid());
        }
        text.push_str(plain);
        text.push_str(&value(field));
        rest = after;
    }
    text.push_str(rest);
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_filled_in_or_refused() {
        let tag =
            |text: &str| tag(&BTreeMap::from([("tag".to_owned(), text.to_owned())]), |field| format!("<{field}>"));
        assert_eq!(tag("{{.Name}}/{{ .ID }}").expect("valid").as_deref(), Some("<Name>/<ID>"));
        assert_eq!(tag("plain").expect("valid").as_deref(), Some("plain"));
        assert_eq!(tag("").expect("valid"), None);
        for bad in ["{{.Nope}}", "{{.Name", "{{Name}}"] {
            assert!(tag(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_are_checked() {
        let check = |key: &str, text: &str| check(&BTreeMap::from([(key.to_owned(), text.to_owned())]));
        assert!(check("labels-regex", "^com\\.").is_ok());
        assert!(check("labels-regex", "(").is_err());
        assert!(check("env-regex", &"x".repeat(2000)).is_err());
    }
}
