//! What a stage's instructions say about the image besides its files: its configuration and its history.

use std::collections::BTreeMap;

use drua_types::Platform;
use serde_json::{Map, Value, json};

/// Docker's search path.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What tools recognize the wording of `created_by` by.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// The configuration of an image that is being built. Fields that we know nothing of stay as they are.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) platform: Platform,
    /// The configuration document without `config`, `history` and `rootfs`.
    top: Map<String, Value>,
    config: Map<String, Value>,
    pub(crate) history: Vec<Value>,
    /// ARGs that have been declared, in order, with their values.
    pub(crate) args: Vec<(String, Option<String>)>,
    /// When the last step was made, seconds since 1970: what changes nothing has no time of its own.
    pub(crate) created: Option<i64>,
    /// Whether the stage has set a CMD of its own: an ENTRYPOINT after it leaves it alone.
    cmd_set: bool,
}

impl State {
    /// `FROM scratch`
    pub(crate) fn scratch(platform: &Platform) -> Self {
        let mut config = Map::new();
        if !platform.is_wasm() {
            config.insert("Env".to_owned(), json!([format!("PATH={DEFAULT_PATH}")]));
        }
        config.insert("WorkingDir".to_owned(), json!("/"));
        Self {
            platform: platform.clone(),
            top: Map::new(),
            config,
            history: Vec::new(),
            args: Vec::new(),
            created: None,
            cmd_set: false,
        }
    }

    /// A base image's configuration document.
    pub(crate) fn of_image(document: &[u8], platform: &Platform) -> serde_json::Result<Self> {
        let mut top: Map<String, Value> = serde_json::from_slice(document)?;
        let config = match top.remove("config").or_else(|| top.remove("Config")) {
            Some(Value::Object(config)) => config,
            _ => Map::new(),
        };
        let history = match top.remove("history") {
            Some(Value::Array(history)) => history,
            _ => Vec::new(),
        };
        let created = top.get("created").and_then(Value::as_str).and_then(|text| text.parse::<jiff::Timestamp>().ok());
        for key in ["rootfs", "created", "container", "container_config", "docker_version", "id", "parent"] {
            top.remove(key);
        }
        Ok(Self {
            platform: platform.clone(),
            top,
            config,
            history,
            args: Vec::new(),
            created: created.map(jiff::Timestamp::as_second),
            cmd_set: false,
        })
    }

    /// The state that a stage built on this one begins with.
    pub(crate) fn inherit(&self) -> Self {
        Self { cmd_set: false, ..self.clone() }
    }

    fn text(&self, key: &str) -> &str {
        self.config.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(&self, key: &str) -> Vec<String> {
        let items = self.config.get(key).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    pub(crate) fn user(&self) -> &str {
        self.text("User")
    }

    pub(crate) fn cwd(&self) -> &str {
        match self.text("WorkingDir") {
            "" => "/",
            cwd => cwd,
        }
    }

    pub(crate) fn env(&self) -> Vec<String> {
        self.list("Env")
    }

    pub(crate) fn env_value(&self, name: &str) -> Option<String> {
        let items = self.config.get("Env").and_then(Value::as_array)?;
        let mut pairs = items.iter().filter_map(|item| item.as_str()?.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    }

    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        let mut env = self.env();
        let entry = format!("{name}={value}");
        match env.iter_mut().find(|old| old.split('=').next() == Some(name)) {
            Some(old) => *old = entry,
            None => env.push(entry),
        }
        self.config.insert("Env".to_owned(), json!(env));
    }

    /// The shell of shell-form commands.
    pub(crate) fn shell(&self) -> Vec<String> {
        let shell = self.list("Shell");
        if shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { shell }
    }

    pub(crate) fn on_build(&self) -> Vec<String> {
        self.list("OnBuild")
    }

    pub(crate) fn clear_on_build(&mut self) {
        self.config.remove("OnBuild");
    }

    pub(crate) fn add_on_build(&mut self, expression: String) {
        let mut all = self.on_build();
        all.push(expression);
        self.config.insert("OnBuild".to_owned(), json!(all));
    }

    pub(crate) fn set(&mut self, key: &str, value: Value) {
        self.config.insert(key.to_owned(), value);
    }

    pub(crate) fn set_cmd(&mut self, command: Vec<String>) {
        self.config.insert("Cmd".to_owned(), json!(command));
        self.cmd_set = true;
    }

    /// Sets the entrypoint; a command that comes from the base image would not fit it any more.
    pub(crate) fn set_entrypoint(&mut self, command: Vec<String>) {
        self.config.insert("Entrypoint".to_owned(), json!(command));
        if !self.cmd_set {
            self.config.remove("Cmd");
        }
    }

    /// Adds keys to an object like `ExposedPorts`.
    pub(crate) fn add_keys(&mut self, key: &str, names: impl IntoIterator<Item = String>) {
        let entry = self.config.entry(key).or_insert_with(|| json!({}));
        if !entry.is_object() {
            *entry = json!({});
        }
        if let Value::Object(object) = entry {
            object.extend(names.into_iter().map(|name| (name, json!({}))));
        }
    }

    pub(crate) fn add_labels(&mut self, labels: impl IntoIterator<Item = (String, String)>) {
        let entry = self.config.entry("Labels").or_insert_with(|| json!({}));
        if !entry.is_object() {
            *entry = json!({});
        }
        if let Value::Object(object) = entry {
            object.extend(labels.into_iter().map(|(key, value)| (key, json!(value))));
        }
    }

    /// Labels of the build itself.
    pub(crate) fn add_labels_if_any(&mut self, labels: &BTreeMap<String, String>) {
        if !labels.is_empty() {
            self.add_labels(labels.clone());
        }
    }

    pub(crate) fn set_author(&mut self, author: &str) {
        self.top.insert("author".to_owned(), json!(author));
    }

    /// Notes an instruction, with the time of its layer if it made one.
    pub(crate) fn note(&mut self, created_by: String, layer: Option<i64>) {
        let mut entry = Map::new();
        self.created = layer.or(self.created);
        if let Some(created) = self.created {
            let created = jiff::Timestamp::from_second(created).unwrap_or_default();
            entry.insert("created".to_owned(), json!(created.to_string()));
        }
        entry.insert("created_by".to_owned(), json!(created_by));
        entry.insert("comment".to_owned(), json!(COMMENT));
        if layer.is_none() {
            entry.insert("empty_layer".to_owned(), json!(true));
        }
        self.history.push(Value::Object(entry));
    }

    /// The value of a declared ARG.
    pub(crate) fn arg(&self, name: &str) -> Option<String> {
        self.args.iter().rev().find(|(known, _)| known == name).and_then(|(_, value)| value.clone())
    }

    pub(crate) fn declare(&mut self, name: &str, value: Option<String>) {
        self.args.retain(|(known, _)| known != name);
        self.args.push((name.to_owned(), value));
    }

    /// ARGs that a command sees: those with a value, which ENV does not hide.
    pub(crate) fn visible_args(&self) -> Vec<(String, String)> {
        let visible = self.args.iter().filter(|(name, _)| self.env_value(name).is_none());
        visible.filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
    }

    /// The configuration document.
    pub(crate) fn document(&self, diff_ids: &[String], created: i64, epoch: Option<i64>) -> Vec<u8> {
        let time = |seconds: i64| json!(jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string());
        let mut fields: BTreeMap<String, Value> = self.top.clone().into_iter().collect();
        fields.insert("architecture".to_owned(), json!(self.platform.architecture()));
        fields.insert("os".to_owned(), json!(self.platform.os()));
        match self.platform.variant() {
            Some(variant) => drop(fields.insert("variant".to_owned(), json!(variant))),
            None => drop(fields.remove("variant")),
        }
        let created = self.created.unwrap_or(created);
        fields.insert("created".to_owned(), time(epoch.map_or(created, |epoch| created.min(epoch))));
        fields.insert("config".to_owned(), Value::Object(self.config.clone()));
        let mut history = self.history.clone();
        if let Some(epoch) = epoch {
            for entry in &mut history {
                let later = entry["created"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
                if later.is_some_and(|at| at.as_second() > epoch) {
                    entry["created"] = time(epoch);
                }
            }
        }
        fields.insert("history".to_owned(), json!(history));
        fields.insert("rootfs".to_owned(), json!({"type": "layers", "diff_ids": diff_ids}));
        serde_json::to_vec(&fields).expect("a JSON value serializes")
    }
}
