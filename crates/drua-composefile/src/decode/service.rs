//! One service.

use std::collections::BTreeMap;
use std::net::IpAddr;

use drua_types::{ContainerName, ImageRef, Platform, Signal};

use super::{DecodedService, Decoder, EnvFile, Field, Fields, Later, attachment, mounts, ports};
use crate::model::{Condition, Cpus, Dependency, Deploy, Healthcheck, NetworkMode, Restart, Service, Ulimit};
use crate::names::ServiceName;

/// Attributes of the specification that are not implemented yet.
const LATER: &[(&str, Later)] = &[
    ("annotations", Later::Ignore),
    ("blkio_config", Later::Refuse),
    ("cgroup", Later::Refuse),
    ("cgroup_parent", Later::Refuse),
    ("configs", Later::Refuse),
    ("cpu_count", Later::Refuse),
    ("cpu_percent", Later::Refuse),
    ("cpu_period", Later::Refuse),
    ("cpu_quota", Later::Refuse),
    ("cpu_rt_period", Later::Refuse),
    ("cpu_rt_runtime", Later::Refuse),
    ("cpu_shares", Later::Refuse),
    ("cpuset", Later::Refuse),
    ("credential_spec", Later::Ignore),
    ("develop", Later::Ignore),
    ("device_cgroup_rules", Later::Refuse),
    ("devices", Later::Refuse),
    ("extends", Later::Refuse),
    ("external_links", Later::Refuse),
    ("gpus", Later::Refuse),
    ("ipc", Later::Refuse),
    ("isolation", Later::Ignore),
    ("label_file", Later::Refuse),
    ("links", Later::Refuse),
    ("logging", Later::Ignore),
    ("mac_address", Later::Refuse),
    ("mem_swappiness", Later::Refuse),
    ("memswap_limit", Later::Refuse),
    ("models", Later::Refuse),
    ("oom_kill_disable", Later::Refuse),
    ("oom_score_adj", Later::Refuse),
    ("pid", Later::Refuse),
    ("post_start", Later::Refuse),
    ("pre_start", Later::Refuse),
    ("pre_stop", Later::Refuse),
    ("provider", Later::Refuse),
    ("pull_refresh_after", Later::Ignore),
    ("secrets", Later::Refuse),
    ("security_opt", Later::Refuse),
    ("storage_opt", Later::Refuse),
    ("use_api_socket", Later::Refuse),
    ("userns_mode", Later::Refuse),
    ("uts", Later::Refuse),
    ("volumes_from", Later::Refuse),
];

/// The parts of `deploy` that are not implemented yet. What only means something to Swarm is ignored, as Docker Compose does.
const DEPLOY_LATER: &[(&str, Later)] = &[
    ("endpoint_mode", Later::Ignore),
    ("labels", Later::Ignore),
    ("mode", Later::Ignore),
    ("placement", Later::Ignore),
    ("resources", Later::Refuse),
    ("restart_policy", Later::Refuse),
    ("rollback_config", Later::Ignore),
    ("update_config", Later::Ignore),
];

pub(super) fn service(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<DecodedService> {
    let mut fields = Fields::open(cx, field)?;
    let f = &mut fields;
    let service = Service {
        profiles: f.take("profiles").map(|field| cx.string_set(&field)).unwrap_or_default(),
        attach: f.take("attach").and_then(|field| cx.boolean(&field)),
        cap_add: f.take("cap_add").map(|field| cx.string_set(&field)).unwrap_or_default(),
        cap_drop: f.take("cap_drop").map(|field| cx.string_set(&field)).unwrap_or_default(),
        cpus: f.take("cpus").and_then(|field| cpus(cx, &field)),
        command: f.take("command").and_then(|field| cx.command(&field)),
        container_name: f.take("container_name").and_then(|field| {
            cx.place(&field.path, field.node.span);
            cx.parsed::<ContainerName>(&field)
        }),
        depends_on: f.take("depends_on").map(|field| depends_on(cx, &field)).unwrap_or_default(),
        deploy: f.take("deploy").and_then(|field| deploy(cx, &field)),
        dns: f.take("dns").map(|field| addresses(cx, &field)).unwrap_or_default(),
        dns_opt: f.take("dns_opt").map(|field| cx.string_set(&field)).unwrap_or_default(),
        dns_search: f.take("dns_search").map(|field| cx.string_or_strings(&field)).unwrap_or_default(),
        domain_name: f.take("domainname").and_then(|field| cx.string(&field)),
        entrypoint: f.take("entrypoint").and_then(|field| cx.command(&field)),
        environment: f.take("environment").map(|field| cx.dictionary(&field)).unwrap_or_default(),
        expose: f.take("expose").map(|field| ports::expose(cx, &field)).unwrap_or_default(),
        extra_hosts: f.take("extra_hosts").map(|field| attachment::extra_hosts(cx, &field)).unwrap_or_default(),
        group_add: f.take("group_add").map(|field| groups(cx, &field)).unwrap_or_default(),
        hostname: f.take("hostname").and_then(|field| cx.string(&field)),
        healthcheck: f.take("healthcheck").and_then(|field| healthcheck(cx, &field)),
        image: f.take("image").and_then(|field| cx.parsed::<ImageRef>(&field)),
        init: f.take("init").and_then(|field| cx.boolean(&field)),
        labels: f.take("labels").map(|field| cx.labels(&field)).unwrap_or_default(),
        mem_limit: f.take("mem_limit").and_then(|field| cx.bytes(&field)),
        mem_reservation: f.take("mem_reservation").and_then(|field| cx.bytes(&field)),
        network_mode: f.take("network_mode").and_then(|field| network_mode(cx, &field)),
        networks: f.take("networks").map(|field| attachment::networks(cx, &field)).unwrap_or_default(),
        pids_limit: f.take("pids_limit").and_then(|field| cx.integer(&field)),
        platform: f.take("platform").and_then(|field| cx.parsed::<Platform>(&field)),
        ports: f.take("ports").map(|field| ports::ports(cx, &field)).unwrap_or_default(),
        privileged: f.take("privileged").and_then(|field| cx.boolean(&field)).unwrap_or(false),
        pull_policy: f.take("pull_policy").and_then(|field| pull_policy(cx, &field)),
        read_only: f.take("read_only").and_then(|field| cx.boolean(&field)).unwrap_or(false),
        restart: f.take("restart").and_then(|field| restart(cx, &field)),
        runtime: f.take("runtime").and_then(|field| cx.string(&field)),
        scale: f.take("scale").and_then(|field| {
            cx.place(&field.path, field.node.span);
            cx.integer_as(&field)
        }),
        shm_size: f.take("shm_size").and_then(|field| cx.bytes(&field)),
        stdin_open: f.take("stdin_open").and_then(|field| cx.boolean(&field)).unwrap_or(false),
        stop_grace_period: f.take("stop_grace_period").and_then(|field| cx.duration(&field)),
        stop_signal: f.take("stop_signal").and_then(|field| cx.parsed::<Signal>(&field)),
        sysctls: f.take("sysctls").map(|field| cx.labels(&field)).unwrap_or_default(),
        tmpfs: f.take("tmpfs").map(|field| mounts::tmpfs(cx, &field)).unwrap_or_default(),
        tty: f.take("tty").and_then(|field| cx.boolean(&field)).unwrap_or(false),
        ulimits: f.take("ulimits").map(|field| ulimits(cx, &field)).unwrap_or_default(),
        user: f.take("user").and_then(|field| cx.string(&field)),
        volumes: f.take("volumes").map(|field| mounts::mounts(cx, &field)).unwrap_or_default(),
        working_dir: f.take("working_dir").and_then(|field| cx.string(&field)),
    };
    let env_files = f.take("env_file").map(|field| env_files(cx, &field)).unwrap_or_default();
    if let Some(build) = f.take_nullable("build") {
        build_is_for_later(cx, &build, service.image.as_deref());
    }
    fields.finish(cx, LATER);
    Some(DecodedService { service, env_files })
}

fn build_is_for_later(cx: &mut Decoder<'_>, field: &Field<'_>, image: Option<&str>) {
    match image {
        Some(image) => {
            let message = format!("`{}` is not supported yet; the image `{image}` must be there already", field.path);
            cx.report.warning(field.key_span, message);
        }
        None => {
            let message = format!("`{}` is not supported yet", field.path);
            cx.report.error(field.key_span, message).hint("build the image first and name it with `image`");
        }
    }
}

fn cpus(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Cpus> {
    let cpus = cx.number(field)?;
    if !(0.0..=1e6).contains(&cpus) {
        cx.invalid(field, format!("{cpus} is out of range"));
        return None;
    }
    Some(Cpus(cpus as f32))
}

fn depends_on(cx: &mut Decoder<'_>, field: &Field<'_>) -> BTreeMap<ServiceName, Dependency> {
    let mut dependencies = BTreeMap::new();
    let started = Dependency { condition: Condition::Started, restart: false, required: true };
    if let Some(items) = field.items() {
        for item in items {
            let Some(name) = cx.parsed::<ServiceName>(&item).and_then(|name| name.parse().ok()) else { continue };
            cx.place(&format!("{}.{name}", field.path), item.node.span);
            dependencies.insert(name, started);
        }
    } else if let Some(entries) = field.entries() {
        for (name, entry) in entries.filter(|(name, _)| !name.starts_with("x-")) {
            cx.place(&entry.path, entry.key_span);
            match name.parse::<ServiceName>() {
                Ok(name) => dependencies.extend(dependency(cx, &entry).map(|dependency| (name, dependency))),
                Err(error) => {
                    cx.report.error(entry.key_span, error.to_string());
                }
            }
        }
    } else {
        cx.expected(field, "a list or a mapping");
    }
    dependencies
}

fn dependency(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Dependency> {
    let mut fields = Fields::open(cx, field)?;
    let condition = fields.take("condition");
    if condition.is_none() {
        let found = cx.report.error(field.key_span, format!("`{}.condition` is missing", field.path));
        found.hint("write for example `condition: service_started`");
    }
    let known = [Condition::Started, Condition::Healthy, Condition::CompletedSuccessfully];
    let names = known.map(|condition| condition.to_string());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let condition = condition.and_then(|field| cx.one_of(&field, &names));
    let restart = fields.take("restart").and_then(|field| cx.boolean(&field)).unwrap_or(false);
    let required = fields.take("required").and_then(|field| cx.boolean(&field)).unwrap_or(true);
    fields.finish(cx, &[]);
    let condition = condition.and_then(|name| known.into_iter().find(|condition| condition.to_string() == name))?;
    Some(Dependency { condition, restart, required })
}

fn deploy(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Deploy> {
    let mut fields = Fields::open(cx, field)?;
    let replicas = fields.take("replicas").and_then(|field| {
        cx.place(&field.path, field.node.span);
        cx.integer_as(&field)
    });
    fields.finish(cx, DEPLOY_LATER);
    Some(Deploy { replicas })
}

fn addresses(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<String> {
    let list = cx.string_or_strings(field);
    for address in list.iter().filter(|address| address.parse::<IpAddr>().is_err()) {
        cx.invalid(field, format!("`{address}` is not an address"));
    }
    list
}

/// Groups may be numbers.
fn groups(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<String> {
    let Some(items) = field.items() else {
        cx.expected(field, "a list");
        return Vec::new();
    };
    items.filter_map(|item| cx.scalar_text(&item, "a group")).collect()
}

fn healthcheck(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Healthcheck> {
    let mut fields = Fields::open(cx, field)?;
    let healthcheck = Healthcheck {
        test: fields.take("test").map(|field| test(cx, &field)).unwrap_or_default(),
        timeout: fields.take("timeout").and_then(|field| cx.duration(&field)),
        interval: fields.take("interval").and_then(|field| cx.duration(&field)),
        retries: fields.take("retries").and_then(|field| cx.integer_as(&field)),
        start_period: fields.take("start_period").and_then(|field| cx.duration(&field)),
        start_interval: fields.take("start_interval").and_then(|field| cx.duration(&field)),
        disable: fields.take("disable").and_then(|field| cx.boolean(&field)).unwrap_or(false),
    };
    fields.finish(cx, &[]);
    Some(healthcheck)
}

fn test(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<String> {
    if let Some(command) = field.text() {
        return vec!["CMD-SHELL".to_owned(), command.to_owned()];
    }
    if field.items().is_none() {
        cx.expected(field, "a string or a list");
        return Vec::new();
    }
    let test = cx.strings(field);
    if !matches!(test.first().map(String::as_str), Some("NONE" | "CMD" | "CMD-SHELL")) {
        cx.invalid(field, "the first item must be `NONE`, `CMD` or `CMD-SHELL`");
    }
    test
}

fn network_mode(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<NetworkMode> {
    let text = cx.string(field)?;
    match text.as_str() {
        "none" => Some(NetworkMode::None),
        "host" => Some(NetworkMode::Host),
        "bridge" => Some(NetworkMode::Bridge),
        _ if text.starts_with("service:") || text.starts_with("container:") => {
            cx.invalid(field, "sharing another container's network is not supported yet");
            None
        }
        _ => cx.one_of(field, &["none", "host", "bridge"]).and(None),
    }
}

fn pull_policy(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<String> {
    let text = cx.string(field)?;
    match text.as_str() {
        "if_not_present" => Some("missing".to_owned()),
        "missing" | "never" => Some(text),
        "always" | "build" | "refresh" | "daily" | "weekly" => {
            cx.invalid(field, format!("the policy `{text}` is not supported yet"));
            None
        }
        _ if text.starts_with("every_") => {
            cx.invalid(field, format!("the policy `{text}` is not supported yet"));
            None
        }
        _ => cx.one_of(field, &["missing", "never"]).and(None),
    }
}

fn restart(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Restart> {
    // An unquoted `no` is a boolean to many people and to YAML 1.1.
    if matches!(&field.node.value, crate::yaml::Value::Scalar(scalar) if scalar.kind == crate::yaml::Kind::Bool(false))
    {
        return Some(Restart::No);
    }
    let text = cx.string(field)?;
    match (text.as_str(), text.strip_prefix("on-failure:")) {
        ("no", _) => Some(Restart::No),
        ("always", _) => Some(Restart::Always),
        ("unless-stopped", _) => Some(Restart::UnlessStopped),
        ("on-failure", _) => Some(Restart::OnFailure(None)),
        (_, Some(times)) => {
            let parsed = times.parse().ok();
            if parsed.is_none() {
                cx.invalid(field, format!("`{times}` is not a number of times"));
            }
            parsed.map(|times| Restart::OnFailure(Some(times)))
        }
        _ => cx.one_of(field, &["no", "always", "on-failure", "unless-stopped"]).and(None),
    }
}

fn ulimits(cx: &mut Decoder<'_>, field: &Field<'_>) -> BTreeMap<String, Ulimit> {
    let Some(entries) = field.entries() else {
        cx.expected(field, "a mapping");
        return BTreeMap::new();
    };
    let mut limits = BTreeMap::new();
    for (name, entry) in entries.filter(|(name, _)| !name.starts_with("x-")) {
        if let Some(limit) = ulimit(cx, &entry) {
            limits.insert(name.to_owned(), limit);
        }
    }
    limits
}

fn ulimit(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Ulimit> {
    if field.entries().is_none() {
        return cx.integer(field).map(Ulimit::Single);
    }
    let mut fields = Fields::open(cx, field)?;
    let soft = fields.take("soft").and_then(|field| cx.integer(&field));
    let hard = fields.take("hard").and_then(|field| cx.integer(&field));
    fields.finish(cx, &[]);
    match (soft, hard) {
        (Some(soft), Some(hard)) => Some(Ulimit::Range { soft, hard }),
        _ => {
            cx.invalid(field, "both `soft` and `hard` are needed");
            None
        }
    }
}

/// A path, a list of paths, or a list of `{path, required, format}`.
fn env_files(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<EnvFile> {
    if let Some(path) = field.text() {
        return vec![EnvFile { path: cx.absolute(path), required: true, raw: false, span: field.node.span }];
    }
    let Some(items) = field.items() else {
        cx.expected(field, "a string or a list");
        return Vec::new();
    };
    items.filter_map(|item| env_file(cx, &item)).collect()
}

fn env_file(cx: &mut Decoder<'_>, item: &Field<'_>) -> Option<EnvFile> {
    if item.entries().is_none() {
        let path = cx.string(item)?;
        return Some(EnvFile { path: cx.absolute(&path), required: true, raw: false, span: item.node.span });
    }
    let mut fields = Fields::open(cx, item)?;
    let path = fields.take("path");
    if path.is_none() {
        cx.report.error(item.node.span, format!("`{}.path` is missing", item.path));
    }
    let span = path.as_ref().map_or(item.node.span, |field| field.node.span);
    let path = path.and_then(|field| cx.string(&field));
    let required = fields.take("required").and_then(|field| cx.boolean(&field)).unwrap_or(true);
    let raw = fields.take("format").and_then(|field| cx.one_of(&field, &["raw"])).is_some();
    fields.finish(cx, &[]);
    Some(EnvFile { path: cx.absolute(&path?), required, raw, span })
}
