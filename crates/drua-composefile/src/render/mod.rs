//! The canonical form of a project, as `docker compose config` prints it.

mod order;
mod yaml;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::model::{Extensions, Project, Service};
use crate::tree::Tree;

/// The order in which Docker Compose prints a service's attributes. It is not the one that it hashes in.
const SERVICE_ORDER: &[&str] = &[
    "profiles",
    "deploy",
    "develop",
    "restart",
    "scale",
    "attach",
    "container_name",
    "provider",
    "external_links",
    "links",
    "pre_start",
    "post_start",
    "pre_stop",
    "annotations",
    "blkio_config",
    "cap_add",
    "cap_drop",
    "cgroup_parent",
    "cgroup",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpus",
    "cpuset",
    "cpu_shares",
    "command",
    "configs",
    "credential_spec",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "environment",
    "env_file",
    "extra_hosts",
    "group_add",
    "gpus",
    "hostname",
    "image",
    "init",
    "ipc",
    "isolation",
    "labels",
    "label_file",
    "logging",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "mem_swappiness",
    "mac_address",
    "models",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "privileged",
    "pull_policy",
    "pull_refresh_after",
    "read_only",
    "runtime",
    "secrets",
    "security_opt",
    "shm_size",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
    "build",
    "depends_on",
    "expose",
    "healthcheck",
    "ports",
    "stdin_open",
    "tty",
];

impl Project {
    /// The project as YAML, with every `$` doubled so that it can be read again.
    pub fn to_yaml(&self) -> String {
        let mut map = vec![("name".to_owned(), Tree::Text(self.name.to_string()))];
        let services = self.services.iter().map(|(name, service)| (name.to_string(), service_yaml(service)));
        map.push(("services".to_owned(), Tree::Map(services.collect())));
        push_all(&mut map, "networks", &self.networks, |network| {
            let mut tree = with_extensions(Tree::of(network), &network.extensions);
            drop_hollow(&mut tree, &["ipam"]);
            tree
        });
        push_all(&mut map, "volumes", &self.volumes, |volume| with_extensions(Tree::of(volume), &volume.extensions));
        push_all(&mut map, "secrets", &self.secrets, |file| with_extensions(Tree::of(file), &file.extensions));
        push_all(&mut map, "configs", &self.configs, |file| with_extensions(Tree::of(file), &file.extensions));
        push_all(&mut map, "models", &self.models, Tree::of);
        map.extend(self.extensions.iter().map(|(key, value)| (key.clone(), value.clone())));
        yaml::write(&Tree::Map(map)).replace('$', "$$")
    }

    /// The project as JSON, with every `$` doubled so that it can be read again.
    pub fn to_json(&self) -> String {
        let mut map: BTreeMap<String, Tree> = BTreeMap::new();
        map.insert("name".to_owned(), Tree::Text(self.name.to_string()));
        let services = self.services.iter().map(|(name, service)| (name.to_string(), in_order(Tree::of(service))));
        map.insert("services".to_owned(), Tree::Map(services.collect()));
        let mut rest = Vec::new();
        push_all(&mut rest, "networks", &self.networks, Tree::of);
        push_all(&mut rest, "volumes", &self.volumes, Tree::of);
        push_all(&mut rest, "secrets", &self.secrets, Tree::of);
        push_all(&mut rest, "configs", &self.configs, Tree::of);
        map.extend(rest);
        map.extend(self.extensions.iter().map(|(key, value)| (key.clone(), value.clone())));
        json(&Tree::Map(map.into_iter().collect())).replace('$', "$$")
    }
}

/// A tree as YAML.
pub fn to_yaml(tree: &Tree) -> String {
    yaml::write(tree)
}

/// A tree as indented JSON, with Go's escapes.
pub fn json(tree: &Tree) -> String {
    let mut out = String::new();
    write_json(&mut out, tree, 0);
    out
}

fn push_all<V>(map: &mut Vec<(String, Tree)>, key: &str, values: &BTreeMap<String, V>, tree: impl Fn(&V) -> Tree) {
    if !values.is_empty() {
        let entries = values.iter().map(|(key, value)| (key.clone(), tree(value))).collect();
        map.push((key.to_owned(), Tree::Map(entries)));
    }
}

fn with_extensions(mut tree: Tree, extensions: &Extensions) -> Tree {
    if let Some(entries) = tree.entries_mut() {
        entries.extend(extensions.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    tree
}

/// In YAML, unlike in JSON, empty structures are left out.
fn drop_hollow(tree: &mut Tree, keys: &[&str]) {
    if let Some(entries) = tree.entries_mut() {
        entries.retain(|(key, value)| !(keys.contains(&key.as_str()) && value.is_hollow()));
    }
}

fn in_order(mut tree: Tree) -> Tree {
    if let Some(entries) = tree.entries_mut() {
        let rank = |key: &str| SERVICE_ORDER.iter().position(|known| *known == key).unwrap_or(SERVICE_ORDER.len());
        entries.sort_by_key(|(key, _)| rank(key));
    }
    tree
}

fn service_yaml(service: &Service) -> Tree {
    let mut tree = in_order(Tree::of(service));
    let absent = |key: &str, absent: bool| absent.then(|| key.to_owned());
    let gone: Vec<String> =
        [absent("command", service.command.is_none()), absent("entrypoint", service.entrypoint.is_none())]
            .into_iter()
            .flatten()
            .collect();
    if let Some(entries) = tree.entries_mut() {
        entries.retain(|(key, _)| !gone.contains(key));
    }
    if let (Some(build), Some(own)) = (tree.get_mut("build"), &service.build) {
        *build = with_extensions(std::mem::replace(build, Tree::Null), &own.extensions);
    }
    if let (Some(deploy), Some(own)) = (tree.get_mut("deploy"), &service.deploy) {
        drop_hollow(deploy, &["resources", "placement"]);
        *deploy = with_extensions(std::mem::replace(deploy, Tree::Null), &own.extensions);
    }
    if let Some(Tree::List(rules)) = tree.get_mut("develop").and_then(|develop| develop.get_mut("watch")) {
        for rule in rules {
            if let Some(exec) = rule.get_mut("exec") {
                drop_hollow(exec, &["command"]);
            }
            drop_hollow(rule, &["exec"]);
        }
    }
    if let Some(Tree::Map(blkio)) = tree.get_mut("blkio_config") {
        for (_, value) in blkio {
            let Tree::List(devices) = value else { continue };
            for (key, _) in devices.iter_mut().filter_map(Tree::entries_mut).flatten() {
                *key = key.to_lowercase();
            }
        }
    }
    with_extensions(tree, &service.extensions)
}

/// A number as Go writes it.
fn number(value: f64) -> String {
    if value.is_nan() {
        ".nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { ".inf".to_owned() } else { "-.inf".to_owned() }
    } else if value != 0.0 && !(1e-4..1e21).contains(&value.abs()) {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) => {
                let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
                format!("{digits}e{sign}{exponent:0>2}")
            }
            None => text,
        }
    } else {
        value.to_string()
    }
}

fn write_json(out: &mut String, tree: &Tree, indent: usize) {
    let line = |out: &mut String, indent: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent));
    };
    match tree {
        Tree::Null => out.push_str("null"),
        Tree::Bool(value) => out.push_str(&value.to_string()),
        Tree::Int(value) => out.push_str(&value.to_string()),
        Tree::Float(value) => out.push_str(&number(*value)),
        Tree::Text(text) => json_text(out, text),
        Tree::List(items) if items.is_empty() => out.push_str("[]"),
        Tree::Map(entries) if entries.is_empty() => out.push_str("{}"),
        Tree::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(out, indent + 2);
                write_json(out, item, indent + 2);
            }
            line(out, indent);
            out.push(']');
        }
        Tree::Map(entries) => {
            out.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(out, indent + 2);
                json_text(out, key);
                out.push_str(": ");
                write_json(out, value, indent + 2);
            }
            line(out, indent);
            out.push('}');
        }
    }
}

/// A string with the escapes of Go's `encoding/json`.
fn json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Compact JSON with Go's escapes: what Docker Compose hashes.
pub fn compact_json<T: Serialize>(value: &T) -> String {
    let mut out = String::new();
    compact(&mut out, &Tree::of(value));
    out
}

fn compact(out: &mut String, tree: &Tree) {
    match tree {
        Tree::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                compact(out, item);
            }
            out.push(']');
        }
        Tree::Map(entries) => {
            out.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                json_text(out, key);
                out.push(':');
                compact(out, value);
            }
            out.push('}');
        }
        other => write_json(out, other, 0),
    }
}
