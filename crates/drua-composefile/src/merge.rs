//! Merging of node trees: override files, `extends` and `include`.
//!
//! Mappings merge key by key, lists are appended, scalars are replaced, and an empty value changes nothing. Some paths have
//! rules of their own ([`rule`]); `!reset` and `!override` come before all rules. Rules: compose-go's `override` package.

use crate::diagnostic::Report;
use crate::yaml::{Entry, Kind, Node, Scalar, Tag, Value};

/// Which rule a path has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// What is above.
    Ordinary,
    /// The override alone counts.
    Replace,
    /// Mapping or list of `K=V`, merged by key.
    Pairs,
    /// String or list, appended.
    Strings,
    /// Mapping or list of `host=address`: appended, duplicates dropped.
    Hosts,
    /// A string is the context.
    Build,
    /// Mapping or list of services.
    Dependencies,
    /// Mapping or list of keys.
    Keys,
    /// Options of another driver are not kept.
    Logging,
    /// By subnet.
    Pools,
}

fn rule(path: &[&str]) -> Rule {
    match path {
        ["services", _, "command" | "entrypoint"]
        | ["services", _, "healthcheck", "test"]
        | ["services", _, "ulimits", _] => Rule::Replace,
        ["services", _, "annotations" | "environment" | "labels" | "sysctls"]
        | ["services", _, "build", "args" | "additional_contexts" | "labels"]
        | ["services", _, "deploy", "labels"]
        | ["networks" | "volumes", _, "labels"] => Rule::Pairs,
        ["services", _, "dns" | "dns_opt" | "dns_search" | "env_file" | "label_file" | "tmpfs"] => Rule::Strings,
        ["services", _, "extra_hosts"] | ["services", _, "build", "extra_hosts"] => Rule::Hosts,
        ["services", _, "build"] => Rule::Build,
        ["services", _, "depends_on"] => Rule::Dependencies,
        ["services", _, "networks" | "models"] => Rule::Keys,
        ["services", _, "logging"] => Rule::Logging,
        ["networks", _, "ipam", "config"] => Rule::Pools,
        _ => Rule::Ordinary,
    }
}

/// Merges `over` onto `base`. What does not fit together is reported, and `over` wins.
pub(crate) fn merge(base: Node, over: Node, path: &[&str], report: &mut Report) -> Option<Node> {
    match over.tag {
        Tag::Reset => return None,
        Tag::Override => return Some(Node { tag: Tag::Plain, ..over }),
        Tag::Plain => {}
    }
    if base.tag == Tag::Reset {
        return Some(over);
    }
    let rule = rule(path);
    if over.is_null() && rule != Rule::Replace {
        return Some(base);
    }
    let merged = match rule {
        Rule::Replace => over,
        Rule::Ordinary => return ordinary(base, over, path, report),
        Rule::Pairs => overlay(pairs(base), pairs(over)),
        Rule::Strings => append(strings(base), strings(over)),
        Rule::Hosts => {
            let base = hosts(base);
            let mut over = hosts(over);
            let known: Vec<Option<String>> =
                base.items().unwrap_or_default().iter().map(|item| item.as_text().map(str::to_owned)).collect();
            if let Some(items) = over.items_mut() {
                items.retain(|item| !known.contains(&item.as_text().map(str::to_owned)));
            }
            append(base, over)
        }
        Rule::Build => return mappings(build(base), build(over), path, report),
        Rule::Dependencies => {
            let dependency = |span| {
                Node::mapping(
                    span,
                    [("condition", Node::text(span, "service_started")), ("required", Node::boolean(span, true))],
                )
            };
            return mappings(keys(base, &dependency), keys(over, &dependency), path, report);
        }
        Rule::Keys => return mappings(keys(base, &Node::null), keys(over, &Node::null), path, report),
        Rule::Logging => {
            let driver = |node: &Node| node.get("driver").and_then(Node::as_text).map(str::to_owned);
            let (left, right) = (driver(&base), driver(&over));
            if left.is_some() && right.is_some() && left != right {
                over
            } else {
                return mappings(base, over, path, report);
            }
        }
        Rule::Pools => pools(base, over, path, report),
    };
    Some(merged)
}

fn ordinary(base: Node, over: Node, path: &[&str], report: &mut Report) -> Option<Node> {
    match (&base.value, &over.value) {
        (Value::Mapping(_), Value::Mapping(_)) => mappings(base, over, path, report),
        (Value::Sequence(_), Value::Sequence(_)) => Some(append(base, over)),
        (Value::Scalar(_), _) => Some(over),
        (Value::Mapping(_), _) | (Value::Sequence(_), _) => {
            let message =
                format!("`{}` is {} here and {} in the other file", path.join("."), over.describe(), base.describe());
            report.error(over.span, message).hint("to replace it, write `!override` before the value");
            Some(over)
        }
    }
}

fn mappings(mut base: Node, over: Node, path: &[&str], report: &mut Report) -> Option<Node> {
    let span = over.span;
    let (Value::Mapping(entries), Some(merged)) = (over.value, base.entries_mut()) else {
        // One of them is neither of the forms that the attribute has; its reader will say so.
        return Some(base);
    };
    let mut index: std::collections::HashMap<String, usize> =
        merged.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
    let mut gone = Vec::new();
    for entry in entries {
        let Some(at) = index.get(&entry.key).copied() else {
            index.insert(entry.key.clone(), merged.len());
            merged.push(entry);
            continue;
        };
        let below = std::mem::replace(&mut merged[at].value, Node::null(span));
        let key = entry.key;
        let deeper = [path, &[key.as_str()]].concat();
        match merge(below, entry.value, &deeper, report) {
            Some(value) => merged[at] = Entry { key, key_span: entry.key_span, value },
            None => gone.push(at),
        }
    }
    gone.sort_unstable();
    for at in gone.into_iter().rev() {
        merged.remove(at);
    }
    Some(base)
}

/// By key; unlike elsewhere, a key without a value hides what was below it.
fn overlay(mut base: Node, over: Node) -> Node {
    let Value::Mapping(entries) = over.value else { return base };
    for entry in entries {
        if entry.value.tag == Tag::Reset {
            base.remove(&entry.key);
        } else {
            base.set(&entry.key, entry.value);
        }
    }
    base
}

fn append(mut base: Node, over: Node) -> Node {
    let span = over.span;
    match (base.items_mut(), over.value) {
        (Some(items), Value::Sequence(more)) => {
            items.extend(more);
            base
        }
        (None, value) | (Some(_), value) => Node::new(span, value),
    }
}

/// A list of `K=V` as a mapping.
fn pairs(node: Node) -> Node {
    let Value::Sequence(items) = node.value else { return node };
    let entries = items.into_iter().filter_map(|item| {
        let text = item.as_text()?.to_owned();
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Node::text(item.span, value)),
            None => (text.as_str(), Node::null(item.span)),
        };
        Some(Entry { key: key.to_owned(), key_span: item.span, value })
    });
    let mut merged: Vec<Entry> = Vec::new();
    for entry in entries {
        match merged.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => *known = entry,
            None => merged.push(entry),
        }
    }
    Node::new(node.span, Value::Mapping(merged))
}

/// A string as a list of one.
fn strings(node: Node) -> Node {
    match node.value {
        Value::Scalar(Scalar { kind: Kind::Null, .. }) | Value::Sequence(_) | Value::Mapping(_) => node,
        Value::Scalar(_) => Node::new(node.span, Value::Sequence(vec![node])),
    }
}

/// A mapping of hosts as a list of `host=address`.
fn hosts(node: Node) -> Node {
    let Value::Mapping(entries) = node.value else { return node };
    let mut list = Vec::new();
    for entry in entries {
        let addresses = match entry.value.value {
            Value::Sequence(items) => items,
            Value::Scalar(_) | Value::Mapping(_) => vec![entry.value],
        };
        for address in addresses {
            let text = format!("{}={}", entry.key, address.as_text().unwrap_or_default());
            list.push(Node::text(address.span, text));
        }
    }
    Node::new(node.span, Value::Sequence(list))
}

fn build(node: Node) -> Node {
    let span = node.span;
    match node.value {
        Value::Scalar(Scalar { kind: Kind::Text, .. }) => Node::mapping(span, [("context", node)]),
        Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_) => node,
    }
}

/// A list of keys as a mapping.
fn keys(node: Node, value: &dyn Fn(crate::diagnostic::Span) -> Node) -> Node {
    let Value::Sequence(items) = node.value else { return node };
    let entries = items.into_iter().filter_map(|item| {
        let key = item.as_text()?.to_owned();
        Some(Entry { key, key_span: item.span, value: value(item.span) })
    });
    Node::new(node.span, Value::Mapping(entries.collect()))
}

fn pools(base: Node, over: Node, path: &[&str], report: &mut Report) -> Node {
    let span = base.span;
    let (Value::Sequence(mut pools), Value::Sequence(more)) = (base.value, over.value) else {
        return Node::new(span, Value::Sequence(Vec::new()));
    };
    let subnet = |node: &Node| node.get("subnet").and_then(Node::as_text).map(str::to_owned);
    for pool in more {
        match pools.iter().position(|known| subnet(known) == subnet(&pool)) {
            Some(at) => {
                let known = pools.remove(at);
                pools.extend(mappings(known, pool, path, report));
            }
            None => pools.push(pool),
        }
    }
    Node::new(span, Value::Sequence(pools))
}

/// Drops what `!reset` marks and nothing was merged with, and forgets the tags.
pub(crate) fn settle(node: &mut Node) {
    node.tag = Tag::Plain;
    match &mut node.value {
        Value::Mapping(entries) => {
            entries.retain(|entry| entry.value.tag != Tag::Reset);
            entries.iter_mut().for_each(|entry| settle(&mut entry.value));
        }
        Value::Sequence(items) => {
            items.retain(|item| item.tag != Tag::Reset);
            items.iter_mut().for_each(settle);
        }
        Value::Scalar(_) => {}
    }
}

/// Entries of lists that mean the same thing: the last one wins, at the place of the first.
pub(crate) fn enforce_unicity(root: &mut Node) {
    let Some(services) = root.get_mut("services").and_then(Node::entries_mut) else { return };
    for service in services {
        for (key, index) in UNIQUE {
            if let Some(items) = service.value.get_mut(key).and_then(Node::items_mut) {
                unique(items, *index);
            }
        }
        if let Some(build) = service.value.get_mut("build")
            && let Some(items) = build.get_mut("tags").and_then(Node::items_mut)
        {
            unique(items, word);
        }
    }
}

type Index = fn(&Node) -> Option<String>;

const UNIQUE: &[(&str, Index)] = &[
    ("cap_add", word),
    ("cap_drop", word),
    ("configs", reference),
    ("devices", device),
    ("dns", word),
    ("dns_opt", word),
    ("dns_search", word),
    ("env_file", file),
    ("expose", word),
    ("links", word),
    ("profiles", word),
    ("secrets", reference),
    ("tmpfs", word),
    ("volumes", mount),
];

fn unique(items: &mut Vec<Node>, index: Index) {
    let mut at: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        match index(&item) {
            Some(key) => match at.get(&key) {
                Some(at) => kept[*at] = item,
                None => {
                    at.insert(key, kept.len());
                    kept.push(item);
                }
            },
            None => kept.push(item),
        }
    }
    *items = kept;
}

fn word(node: &Node) -> Option<String> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar.text.split('=').next().unwrap_or_default().to_owned()),
        Value::Sequence(_) | Value::Mapping(_) => None,
    }
}

fn member(node: &Node, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| node.get(key).and_then(Node::as_text)).map(str::to_owned)
}

fn reference(node: &Node) -> Option<String> {
    match node.as_text() {
        Some(source) => Some(format!("/run/secrets/{source}")),
        None => match member(node, &["target"]) {
            Some(target) => Some(target),
            None => member(node, &["source"]).map(|source| format!("/run/secrets/{source}")),
        },
    }
}

fn file(node: &Node) -> Option<String> {
    node.as_text().map(str::to_owned).or_else(|| member(node, &["path"]))
}

fn device(node: &Node) -> Option<String> {
    match node.as_text() {
        Some(text) => {
            let mut parts = text.split(':');
            let first = parts.next();
            parts.next().or(first).map(str::to_owned)
        }
        None => member(node, &["target"]),
    }
}

fn mount(node: &Node) -> Option<String> {
    let target = match node.as_text() {
        Some(text) => device(&Node::text(node.span, text)),
        None => member(node, &["target"]),
    };
    target.map(|target| crate::clean_path(std::path::Path::new(&target)).to_string_lossy().into_owned())
}
