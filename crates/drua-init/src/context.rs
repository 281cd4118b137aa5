//! What templates are told about a service.

use std::collections::BTreeMap;

use minijinja::Value;
use minijinja::value::Serde;
use serde_json::{Value as Json, json};

use crate::service::{Service, Stack};
use crate::setting::Key;

/// Whether edits reach a running container as copies of files, without a build.
fn is_synced(service: &Service) -> bool {
    if service.is_wasm() {
        return false;
    }
    let built = !service.settings.value(Key::Build).is_empty();
    match service.stack {
        Stack::Python | Stack::Php | Stack::Ruby | Stack::Deno => true,
        Stack::Node | Stack::Bun | Stack::Static => !built,
        Stack::Go
        | Stack::Rust
        | Stack::Java
        | Stack::DotNet
        | Stack::Elixir
        | Stack::C
        | Stack::Wasm
        | Stack::Other => false,
    }
}

/// Memory that a service of this kind does with.
fn memory(service: &Service) -> &'static str {
    if service.is_wasm() {
        return "128M";
    }
    match service.stack {
        Stack::Go | Stack::Rust | Stack::C | Stack::Static | Stack::Wasm => "256M",
        Stack::Java | Stack::Elixir => "1G",
        Stack::Node
        | Stack::Python
        | Stack::DotNet
        | Stack::Php
        | Stack::Ruby
        | Stack::Deno
        | Stack::Bun
        | Stack::Other => "512M",
    }
}

/// Files that say what is installed: another image when they change.
fn manifests(service: &Service) -> Vec<String> {
    let fact = |name: &str| service.facts.get(name);
    let is = |name: &str| fact(name) == Some(&Json::Bool(true));
    let text = |name: &str| fact(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let mut names: Vec<String> = match service.stack {
        Stack::Python => {
            let locks = [
                ("uv_lock", "uv.lock"),
                ("poetry_lock", "poetry.lock"),
                ("pipfile_lock", "Pipfile.lock"),
                ("pyproject", "pyproject.toml"),
            ];
            let locks = locks.iter().filter(|(name, _)| is(name)).map(|(_, file)| (*file).to_owned());
            locks.chain([text("requirements")]).collect()
        }
        Stack::Node if is("package") => {
            vec!["package.json".to_owned(), if is("lock") { text("lock_file") } else { String::new() }]
        }
        Stack::Bun => vec!["package.json".to_owned(), text("bun_lock")],
        Stack::Deno => vec![text("manifest"), if is("lock") { "deno.lock".to_owned() } else { String::new() }],
        Stack::Php if is("composer") => {
            vec!["composer.json".to_owned(), if is("lock") { "composer.lock".to_owned() } else { String::new() }]
        }
        Stack::Ruby if is("has_gemfile") => {
            vec![text("gemfile"), if is("lock") { text("lock_file") } else { String::new() }]
        }
        _ => Vec::new(),
    };
    names.retain(|name| !name.is_empty());
    names
}

/// A path of a service as the compose file writes it.
fn compose_path(dir: &str, path: &str) -> String {
    match (dir.is_empty(), path) {
        (true, "." | "") => ".".to_owned(),
        (false, "." | "") => format!("./{dir}"),
        (true, path) => format!("./{path}"),
        (false, path) => format!("./{dir}/{path}"),
    }
}

/// The variables of a service: `app`, `s` (settings), `f` (facts), and what follows from them.
pub(crate) fn of(service: &Service, published: Option<u16>) -> BTreeMap<&'static str, Value> {
    let settings: BTreeMap<String, String> =
        Key::ALL.into_iter().map(|key| (key.to_string(), service.settings.value(key).to_owned())).collect();
    let app = json!({
        "name": service.name(),
        "title": service.title,
        "stack": service.stack.id(),
        "dir": service.dir,
        "context": compose_path(&service.dir, "."),
        "description": one_line(&service.about.description),
        "license": one_line(&service.about.license),
        "source": one_line(&service.about.source),
    });
    let target = service.settings.value(Key::Target);
    let fact = |name: &str| service.facts.get(name) == Some(&Json::Bool(true));
    let serves = !service.settings.value(Key::Port).is_empty() && (!service.is_wasm() || fact("wasm_serves"));
    let dir = service.dir.clone();
    BTreeMap::from([
        ("app", Value::from(Serde(app))),
        ("s", Value::from(Serde(settings))),
        ("f", Value::from(Serde(&service.facts))),
        ("wasm", Value::from(target == "wasm")),
        ("both", Value::from(target == "both")),
        ("fpm", Value::from(service.stack == Stack::Php && service.settings.value(Key::Manager) == "fpm")),
        ("serves", Value::from(serves)),
        ("published", Value::from(published.filter(|_| serves))),
        ("synced", Value::from(is_synced(service))),
        ("read_only", Value::from(!is_synced(service))),
        ("memory", Value::from(memory(service))),
        // A page in the browser asks no database.
        ("environment", Value::from(service.stack != Stack::Static && !fact("static"))),
        ("manifests", Value::from(Serde(manifests(service)))),
        ("path", Value::from_function(move |path: String| compose_path(&dir, &path))),
    ])
}

/// Text of a manifest for a label.
fn one_line(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}
