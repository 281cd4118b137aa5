//! Long forms on nodes: what `config --no-interpolate` prints, where values may still be templates.

use crate::names::ProjectName;
use crate::yaml::{Entry, Kind, Node, Scalar, Value};

/// Turns the short forms that the loader itself would into long ones.
pub(crate) fn long_forms(root: &mut Node, name: &ProjectName) {
    let span = root.span;
    root.remove("version");
    root.set("name", Node::text(span, name.to_string()));
    for entry in root.get_mut("services").and_then(Node::entries_mut).into_iter().flatten() {
        service(&mut entry.value);
    }
    let uses_default = root.get("services").and_then(Node::entries).is_some_and(|services| {
        services
            .iter()
            .any(|entry| entry.value.get("networks").is_some_and(|networks| networks.get("default").is_some()))
    });
    if uses_default {
        if root.get("networks").is_none() {
            root.set("networks", Node::mapping(span, []));
        }
        if let Some(networks) = root.get_mut("networks").filter(|networks| networks.get("default").is_none()) {
            networks.set("default", Node::null(span));
        }
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        for entry in root.get_mut(section).and_then(Node::entries_mut).into_iter().flatten() {
            named(entry, name);
        }
    }
}

fn named(entry: &mut Entry, project: &ProjectName) {
    let span = entry.value.span;
    if entry.value.is_null() {
        entry.value = Node::mapping(span, []);
    }
    if entry.value.get("name").is_some() {
        return;
    }
    let external = entry.value.get("external").is_some_and(|node| match &node.value {
        Value::Scalar(scalar) => scalar.kind == Kind::Bool(true) || scalar.text == "true",
        Value::Mapping(_) => true,
        Value::Sequence(_) => false,
    });
    let full = if external { entry.key.clone() } else { format!("{project}_{}", entry.key) };
    entry.value.set("name", Node::text(span, full));
}

fn service(node: &mut Node) {
    let span = node.span;
    if node.get("networks").is_none() && node.get("network_mode").is_none() && node.get("provider").is_none() {
        node.set("networks", Node::mapping(span, [("default", Node::null(span))]));
    }
    if let Some(build) = node.get_mut("build") {
        if build.as_text().is_some() {
            let context = build.clone();
            *build = Node::mapping(span, [("context", context)]);
        }
        if build.get("dockerfile").is_none() && build.get("dockerfile_inline").is_none() {
            build.set("dockerfile", Node::text(span, "Dockerfile"));
        }
    }
    for key in ["networks", "models"] {
        keyed(node.get_mut(key), &|span| Node::null(span));
    }
    keyed(node.get_mut("depends_on"), &|span| {
        Node::mapping(
            span,
            [("condition", Node::text(span, "service_started")), ("required", Node::boolean(span, true))],
        )
    });
    for dependency in node.get_mut("depends_on").and_then(Node::entries_mut).into_iter().flatten() {
        if dependency.value.get("required").is_none() {
            dependency.value.set("required", Node::boolean(span, true));
        }
    }
    for key in ["env_file", "label_file", "dns", "dns_search", "tmpfs"] {
        if let Some(value) =
            node.get_mut(key).filter(|value| matches!(value.value, Value::Scalar(Scalar { kind: Kind::Text, .. })))
        {
            *value = Node::new(value.span, Value::Sequence(vec![value.clone()]));
        }
    }
    if let Some(files) = node.get_mut("env_file").and_then(Node::items_mut) {
        for file in files.iter_mut().filter(|file| file.as_text().is_some()) {
            *file = Node::mapping(file.span, [("path", file.clone())]);
        }
    }
    for key in ["secrets", "configs"] {
        for item in node.get_mut(key).and_then(Node::items_mut).into_iter().flatten() {
            if item.as_text().is_some() {
                *item = Node::mapping(item.span, [("source", item.clone())]);
            }
            if key == "secrets"
                && item.get("target").is_none()
                && let Some(source) = item.get("source").and_then(Node::as_text)
            {
                let target = format!("/run/secrets/{source}");
                item.set("target", Node::text(span, target));
            }
        }
    }
    for device in node.get_mut("devices").and_then(Node::items_mut).into_iter().flatten() {
        if let Some(text) = device.as_text() {
            let parts: Vec<&str> = text.split(':').collect();
            let part = |index: usize, other: &str| Node::text(device.span, parts.get(index).copied().unwrap_or(other));
            let entries = [("source", part(0, "")), ("target", part(1, parts[0])), ("permissions", part(2, "rwm"))];
            *device = Node::mapping(device.span, entries);
        }
    }
}

fn keyed(node: Option<&mut Node>, value: &dyn Fn(crate::diagnostic::Span) -> Node) {
    let Some(node) = node else { return };
    let Some(items) = node.items() else { return };
    let entries = items.iter().filter_map(|item| {
        Some(Entry { key: item.as_text()?.to_owned(), key_span: item.span, value: value(item.span) })
    });
    node.value = Value::Mapping(entries.collect());
}
