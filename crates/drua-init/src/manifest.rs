//! Small readers of manifests. None of them fails: what cannot be understood is left out.

use std::collections::BTreeMap;

use serde_json::Value;

/// JSON without comments and trailing commas, as `deno.jsonc` and `tsconfig.json` have them.
pub(crate) fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut in_text = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_text => {
                plain.push(c);
                plain.extend(chars.next());
            }
            '"' => {
                in_text = !in_text;
                plain.push(c);
            }
            '/' if !in_text && chars.peek() == Some(&'/') => while chars.next_if(|c| *c != '\n').is_some() {},
            '/' if !in_text && chars.peek() == Some(&'*') => {
                let mut last = ' ';
                chars.next();
                for c in chars.by_ref() {
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
            }
            ']' | '}' if !in_text => {
                let end = plain.trim_end().len();
                if plain[..end].ends_with(',') {
                    plain.truncate(end - 1);
                }
                plain.push(c);
            }
            _ => plain.push(c),
        }
    }
    plain
}

/// A text in a JSON document.
pub(crate) fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    path.iter().try_fold(value, |value, key| value.get(key)).and_then(Value::as_str)
}

/// The keys of an object in a JSON document.
pub(crate) fn keys<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v String> {
    value.get(key).and_then(Value::as_object).into_iter().flat_map(|object| object.keys())
}

/// A text in a TOML document.
pub(crate) fn toml_text<'t>(table: &'t toml::Table, path: &[&str]) -> Option<&'t str> {
    let (last, above) = path.split_last()?;
    above.iter().try_fold(table, |table, key| table.get(*key)?.as_table())?.get(*last)?.as_str()
}

/// The name of a Python requirement, as PyPI normalises it: `Flask[async]>=3` is `flask`.
pub(crate) fn requirement_name(line: &str) -> Option<String> {
    let line = line.split('#').next()?.trim();
    if line.is_empty() || line.starts_with('-') {
        return None;
    }
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(line.len());
    let name = line[..end].to_ascii_lowercase().replace(['_', '.'], "-");
    (!name.is_empty()).then_some(name)
}

/// Elements of an XML document: their path from the root and their text.
pub(crate) fn xml(text: &str) -> Vec<(String, String)> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let name = |name: &str| name.to_owned();
    // Documents that people write are not deeper than a few dozen elements.
    while found.len() < 20_000 && path.len() < 64 {
        let element =
            |path: &[String], start: &quick_xml::events::BytesStart<'_>, found: &mut Vec<(String, String)>| {
                for attribute in start.attributes().flatten() {
                    let key = name(attribute.key.local_name().as_ref());
                    found.push((format!("{}@{key}", path.join("/")), attribute.value.clone().into_owned()));
                }
            };
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                path.push(name(start.local_name().as_ref()));
                element(&path, &start, &mut found);
            }
            Ok(Event::Empty(start)) => {
                path.push(name(start.local_name().as_ref()));
                element(&path, &start, &mut found);
                path.pop();
            }
            Ok(Event::End(_)) => drop(path.pop()),
            Ok(Event::Text(text)) => {
                let text = text.trim().to_owned();
                if !text.is_empty() {
                    found.push((path.join("/"), text));
                }
            }
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    found
}

/// The first text at a path of [`xml`]'s.
pub(crate) fn xml_text<'x>(elements: &'x [(String, String)], path: &str) -> Option<&'x str> {
    elements.iter().find(|(at, _)| at == path).map(|(_, text)| text.as_str())
}

/// `KEY: value` lines at the outermost level of a YAML file, and of `key=value` files.
pub(crate) fn pairs(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (key, value) = line.split_once([':', '='])?;
        let plain = !key.starts_with([' ', '#', '-']);
        plain.then(|| (key.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// The first line of a file that pins a version: `v22.1.0`, `ruby-3.3`, `python-3.12`, `lts/*`.
pub(crate) fn pinned_version(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let at = line.find(|c: char| c.is_ascii_digit())?;
    let prefix = line[..at].trim_end_matches(['-', 'v', '=']).to_ascii_lowercase();
    let known = ["", "ruby", "python", "node", "go", "cpython", "temurin"].contains(&prefix.as_str());
    let version: String = line[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || ".-+".contains(*c)).collect();
    known.then_some(version)
}

/// A tool's version in `.tool-versions` or `mise.toml`.
pub(crate) fn tool_version(tool_versions: &str, tools: &[&str]) -> Option<String> {
    let find = |line: &str| {
        let (name, version) = line.trim().split_once([' ', '='])?;
        let version = version.trim().trim_matches(['"', '=', ' ']);
        tools.contains(&name.trim()).then(|| pinned_version(version)).flatten()
    };
    tool_versions.lines().find_map(find)
}

/// The first two numbers of a version, which is what tags of images need.
pub(crate) fn minor(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// The first number of a version.
pub(crate) fn major(version: &str) -> String {
    version.split('.').next().unwrap_or_default().to_owned()
}
