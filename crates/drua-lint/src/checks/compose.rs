//! Compose files by themselves.

use std::collections::BTreeMap;

use drua_dockerfile::Span;

use crate::compose::{ComposeView, Service};
use crate::eol;
use crate::images::Reference;
use crate::input::Input;
use crate::report::{Edit, Safety, Sink, insert, replace};
use crate::yaml::{Node, Value};

/// Images that keep data: short name, port, where the data lies.
const DATABASES: &[(&str, u16)] = &[
    ("postgres", 5432),
    ("postgis", 5432),
    ("timescaledb", 5432),
    ("pgvector", 5432),
    ("mysql", 3306),
    ("mariadb", 3306),
    ("percona", 3306),
    ("mongo", 27017),
    ("mongodb", 27017),
    ("redis", 6379),
    ("valkey", 6379),
    ("elasticsearch", 9200),
    ("opensearch", 9200),
    ("cassandra", 9042),
    ("couchdb", 5984),
    ("influxdb", 8086),
    ("neo4j", 7687),
    ("memcached", 11211),
    ("rabbitmq", 5672),
    ("clickhouse-server", 8123),
    ("cockroach", 26257),
    ("server", 1433),
    ("minio", 9000),
    ("etcd", 2379),
    ("zookeeper", 2181),
    ("kafka", 9092),
    ("mssql", 1433),
];
/// Those that are only caches and queues need no volume.
const KEEP_DATA: [&str; 13] = [
    "postgres",
    "postgis",
    "timescaledb",
    "pgvector",
    "mysql",
    "mariadb",
    "percona",
    "mongo",
    "mongodb",
    "cassandra",
    "couchdb",
    "neo4j",
    "clickhouse-server",
];

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) host_ip: Option<String>,
    pub(super) published: Option<String>,
    pub(super) target: String,
    pub(super) protocol: String,
    pub(super) span: Span,
}

/// Reads an entry of `ports`.
pub(super) fn port(node: &Node) -> Option<Port> {
    if node.entries().is_some() {
        let text = |key: &str| node.get(key).and_then(Node::as_text).map(str::to_owned);
        let protocol = text("protocol").unwrap_or_else(|| "tcp".to_owned());
        return Some(Port {
            host_ip: text("host_ip"),
            published: text("published"),
            target: text("target")?,
            protocol,
            span: node.span,
        });
    }
    let text = node.as_text()?;
    if text.contains('$') {
        return None;
    }
    let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (rest, host_ip) = match rest.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((ip, rest)) => (rest, Some(ip.to_owned())),
        None => (rest, None),
    };
    let parts: Vec<&str> = rest.split(':').collect();
    let owned = |text: &str| Some(text.to_owned());
    let (host_ip, published, target) = match parts.as_slice() {
        [target] => (host_ip, None, *target),
        [published, target] => (host_ip, owned(published), *target),
        [ip, published, target] => (owned(ip), owned(published), *target),
        _ => return None,
    };
    Some(Port {
        host_ip,
        published: published.filter(|text| !text.is_empty()),
        target: target.to_owned(),
        protocol: protocol.to_owned(),
        span: node.span,
    })
}

pub(super) fn ports(service: &Service<'_>) -> Vec<Port> {
    service.get("ports").and_then(Node::items).unwrap_or_default().iter().filter_map(port).collect()
}

pub(super) fn check(view: &ComposeView<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    if let Some(problem) = &view.problem {
        let end = view.text.text[problem.at.min(view.text.text.len())..].chars().next().map_or(0, char::len_utf8);
        sink.add("DC0001", Span::new(problem.at, problem.at + end), format!("not valid YAML: {}", problem.message));
        return;
    }
    let Some(root) = &view.root else { return };
    if let Some(version) = root.entry("version").filter(|_| root.get("services").is_some()) {
        let source = view.text.text;
        let end =
            source[version.value.span.end..].find('\n').map_or(source.len(), |at| version.value.span.end + at + 1);
        let alone = source[..version.key_span.start]
            .rsplit('\n')
            .next()
            .is_none_or(|before| before.trim_start_matches('\u{feff}').is_empty());
        let rest_is_comment = source[version.value.span.end..end].trim_start().is_empty();
        let found = sink.add("DC1001", version.key_span, "`version` does nothing any more");
        if alone && rest_is_comment {
            found.fix(Safety::Safe, "remove it", vec![replace(Span::new(version.key_span.start, end), "")]);
        }
    }
    let services = view.services();
    for service in &services {
        one(view, service, input, sink);
        if let Some(depends) = service.get("depends_on") {
            dependencies(service, depends, &services, sink);
        }
    }
    collisions(&services, sink);
}

fn one(view: &ComposeView<'_>, service: &Service<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    let image = service.get("image").and_then(|node| Some((Reference::parse(node.as_text()?), node.span)));
    if let Some((reference, span)) = image.as_ref().filter(|(reference, _)| !reference.text.contains('$')) {
        let built = service.get("build").is_some();
        if reference.digest.is_none() && reference.tag_or_latest() == "latest" && !built {
            sink.add("DC1002", *span, format!("`{}` is whatever `latest` is today", reference.text))
                .help("name a release");
        }
        if let Some(end) = input.today.and_then(|today| eol::ended(reference, today)) {
            let newer = end.instead.map(|release| format!("; {release} still does")).unwrap_or_default();
            sink.add("DC1014", *span, format!("{} has not got fixes since {}", end.what, end.date))
                .help(format!("by a table of {}{newer}", eol::TABLE_DATE));
        }
    }
    for node in service.get("ports").and_then(Node::items).unwrap_or_default() {
        if !node.is_quoted() && node.as_text().is_some_and(|text| text.contains(':')) {
            let text = node.as_text().unwrap_or_default();
            let sixty = text.split(':').all(|part| part.parse::<u32>().is_ok_and(|number| number < 60));
            if sixty {
                sink.add("DC1003", node.span, format!("`{text}` is a number for YAML 1.1")).fix(
                    Safety::Safe,
                    "quote it",
                    vec![replace(node.span, format!("\"{text}\""))],
                );
            }
        }
    }
    if let Some((reference, _)) = &image {
        database(service, reference, sink);
    }
    environment(service, sink);
    rights(service, sink);
    limits(service, sink);
    if let Some(entry) = service.entry("links") {
        sink.add("DC1011", entry.key_span, "services reach each other by name without this");
    }
    if let Some(node) = service.get("container_name") {
        sink.add("DC1013", node.span, "the service cannot be scaled, and the name is taken for the whole machine");
    }
    command(service, sink);
    let _ = view;
}

fn database(service: &Service<'_>, reference: &Reference, sink: &mut Sink<'_>) {
    let short = reference.short();
    let Some((_, known_port)) = DATABASES.iter().find(|(name, _)| *name == short) else { return };
    if short == "server" && !reference.name.contains("mssql") {
        return;
    }
    for node in service.get("ports").and_then(Node::items).unwrap_or_default() {
        let Some(port) = port(node) else { continue };
        let is_database = port.target.parse() == Ok(*known_port);
        let open = matches!(port.host_ip.as_deref(), None | Some("0.0.0.0" | "::" | ""));
        if !is_database || !open || port.published.is_none() && port.host_ip.is_none() && node.entries().is_some() {
            continue;
        }
        let message =
            format!("port {} of `{}` is open to everybody who reaches this machine", port.target, service.name);
        let found = sink.add("DC1005", port.span, message);
        found.help("other services need no `ports`; for tools on this machine put 127.0.0.1: in front");
        if let (None, Some(published), true) = (&port.host_ip, &port.published, node.as_text().is_some()) {
            let suffix = if port.protocol == "tcp" && !node.as_text().unwrap_or_default().contains('/') {
                String::new()
            } else {
                format!("/{}", port.protocol)
            };
            let text = format!("\"127.0.0.1:{published}:{}{suffix}\"", port.target);
            found.fix(Safety::Unsafe, "publish it on 127.0.0.1 only", vec![replace(port.span, text)]);
        }
    }
    let keeps = KEEP_DATA.contains(&short);
    let has_volume = ["volumes", "volumes_from", "tmpfs", "extends"].iter().any(|key| service.get(key).is_some());
    if keeps && !has_volume {
        sink.add("DC1012", service.span(), format!("the data of `{}` ends with its container", service.name))
            .help("add a named volume at the image's data folder");
    }
}

fn environment(service: &Service<'_>, sink: &mut Sink<'_>) {
    let Some(node) = service.get("environment") else { return };
    for (name, value, span) in node.pairs() {
        let Some(value) = value else { continue };
        let harmless = value.is_empty()
            || value.contains("${")
            || value.starts_with('$')
            || value.starts_with('/')
            || matches!(value.as_str(), "true" | "false" | "yes" | "no" | "0" | "1");
        let lower = name.to_lowercase();
        let named = super::buildkit::is_secret_name(&name)
            || ["password", "passwd", "secret", "token"].iter().any(|word| lower.ends_with(word));
        if named && !harmless && !lower.ends_with("_file") && !lower.contains("allow_empty") {
            sink.add("DC1004", span, format!("`{name}` is written down here"))
                .help(format!("`${{{name}:?}}` takes it from outside; images that know `{name}_FILE` read a secret"));
        }
    }
}

fn rights(service: &Service<'_>, sink: &mut Sink<'_>) {
    if let Some(node) = service.get("privileged").filter(|node| node.as_text() == Some("true")) {
        sink.add("DC1008", node.span, format!("`{}` is root of the machine", service.name))
            .help("`cap_add` and `devices` give what is needed and no more");
    }
    for volume in service.get("volumes").and_then(Node::items).unwrap_or_default() {
        let source = match &volume.value {
            Value::Map(_) => volume.get("source").and_then(Node::as_text),
            _ => volume.as_text().and_then(|text| text.split(':').next()),
        };
        if source.is_some_and(|source| {
            source.ends_with("docker.sock") || source.ends_with("containerd.sock") || source.ends_with("podman.sock")
        }) {
            sink.add("DC1009", volume.span, format!("`{}` is given the machine", service.name))
                .help("put a proxy in between that lets only some requests through");
        }
    }
}

fn limits(service: &Service<'_>, sink: &mut Sink<'_>) {
    let deploy = service.get("deploy").and_then(|deploy| deploy.get("resources")?.get("limits")?.get("memory"));
    let has = service.get("mem_limit").is_some()
        || deploy.is_some()
        || service.get("extends").is_some()
        || service.get("provider").is_some();
    if !has {
        sink.add("DC1006", service.span(), format!("`{}` may take all memory", service.name))
            .help("`mem_limit: 512m`, or what it needs: `drua stats` shows it");
    }
}

fn command(service: &Service<'_>, sink: &mut Sink<'_>) {
    if service.text("init") == Some("true") {
        return;
    }
    let Some(node) = service.get("command") else { return };
    let words: Vec<String> = match node.as_text() {
        Some(text) => text.split_whitespace().map(str::to_owned).collect(),
        None => node.texts(),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let [program, rest @ ..] = words.as_slice()
        && super::practice::is_runner(program, rest)
    {
        sink.add("DC1015", node.span, format!("{program} does not pass signals on as the program expects them"))
            .help("start the program itself, or set `init: true`");
    }
}

fn dependencies(service: &Service<'_>, depends: &Node, services: &[Service<'_>], sink: &mut Sink<'_>) {
    let find = |name: &str| services.iter().find(|other| other.name == name);
    if let Some(items) = depends.items() {
        for item in items {
            let Some(other) = item.as_text().and_then(find) else { continue };
            let check = other.get("healthcheck").filter(|check| check.get("disable").is_none());
            if check.is_some() {
                let message =
                    format!("`{}` starts before `{}` is healthy, though it has a check", service.name, other.name);
                sink.add("DC1016", item.span, message)
                    .help(format!("write `{}: {{condition: service_healthy}}`", other.name));
            }
        }
    }
    for entry in depends.entries().unwrap_or_default() {
        let condition = entry.value.get("condition").and_then(Node::as_text);
        let Some(other) = find(&entry.key).filter(|_| condition == Some("service_completed_successfully")) else {
            continue;
        };
        if let Some(restart) =
            other.get("restart").filter(|node| matches!(node.as_text(), Some("always" | "unless-stopped")))
        {
            let message = format!(
                "`{}` is started again whenever it has completed, and `{}` waits for ever",
                other.name, service.name
            );
            let edits: Vec<Edit> = vec![replace(restart.span, "\"no\"")];
            sink.add("DC1007", restart.span, message).fix(Safety::Unsafe, "set restart to \"no\"", edits);
        }
    }
}

fn collisions(services: &[Service<'_>], sink: &mut Sink<'_>) {
    let mut taken: BTreeMap<(String, String), &str> = BTreeMap::new();
    for service in services.iter().filter(|service| service.get("profiles").is_none()) {
        for port in ports(service) {
            let Some(published) = port.published.filter(|text| text.parse::<u16>().is_ok_and(|number| number > 0))
            else {
                continue;
            };
            let address = port.host_ip.unwrap_or_default();
            let key = (format!("{address}:{published}"), port.protocol);
            if let Some(other) = taken.insert(key, service.name).filter(|other| *other != service.name) {
                sink.add("DC1010", port.span, format!("port {published} is published by `{other}` already"));
            }
        }
    }
}

/// An edit at the end of a mapping's entry, for checks between files.
pub(super) fn add_line(view: &ComposeView<'_>, service: &Service<'_>, line: &str) -> Option<Edit> {
    let first = service.node.entries()?.first()?;
    let source = view.text.text;
    let start = source[..first.key_span.start].rfind('\n').map_or(0, |at| at + 1);
    let indent = &source[start..first.key_span.start];
    if !indent.trim().is_empty() {
        return None;
    }
    let end = super::images::line_end(source);
    Some(insert(start, format!("{indent}{line}{end}")))
}
