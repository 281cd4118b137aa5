//! One service.

use std::collections::BTreeMap;
use std::net::IpAddr;

use drua_types::{ContainerName, ImageRef, Platform, Signal};

use super::values::parse_duration;
use super::{Decoder, Field, Fields, attachment, build, deploy, mounts, objects, ports};
use crate::model::{Condition, Dependency, EnvFile, Healthcheck, NetworkMode, Restart, Service, Ulimit};
use crate::names::ServiceName;

pub(super) fn service(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Service> {
    let mut fields = Fields::open(cx, field)?;
    let f = &mut fields;
    let service = Service {
        profiles: f.take("profiles").map(|field| cx.string_set(&field)).unwrap_or_default(),
        annotations: f.labels(cx, "annotations"),
        attach: f.take("attach").and_then(|field| cx.boolean(&field)),
        build: f.take("build").and_then(|field| build::build(cx, &field)),
        develop: f.take("develop").or_else(|| f.take("x-develop")).and_then(|field| build::develop(cx, &field)),
        blkio_config: f.take("blkio_config").and_then(|field| deploy::blkio(cx, &field)),
        cap_add: f.take("cap_add").map(|field| cx.string_set(&field)).unwrap_or_default(),
        cap_drop: f.take("cap_drop").map(|field| cx.string_set(&field)).unwrap_or_default(),
        cgroup_parent: f.string(cx, "cgroup_parent"),
        cgroup: f.take("cgroup").and_then(|field| cx.one_of(&field, &["host", "private"])),
        cpu_count: f.integer(cx, "cpu_count"),
        cpu_percent: f.take("cpu_percent").and_then(|field| deploy::cpus(cx, &field)),
        cpu_period: f.integer(cx, "cpu_period"),
        cpu_quota: f.integer(cx, "cpu_quota"),
        cpu_rt_period: f.integer(cx, "cpu_rt_period"),
        cpu_rt_runtime: f.integer(cx, "cpu_rt_runtime"),
        cpus: f.take("cpus").and_then(|field| {
            cx.place(&field.path, field.node.span);
            deploy::cpus(cx, &field)
        }),
        cpuset: f.string(cx, "cpuset"),
        cpu_shares: f.integer(cx, "cpu_shares"),
        command: f.take("command").and_then(|field| cx.command(&field)),
        configs: f.take("configs").map(|field| objects::references(cx, &field, None)).unwrap_or_default(),
        container_name: f.take("container_name").and_then(|field| {
            cx.place(&field.path, field.node.span);
            cx.parsed::<ContainerName>(&field)
        }),
        credential_spec: f.take("credential_spec").and_then(|field| objects::credential_spec(cx, &field)),
        depends_on: f.take("depends_on").map(|field| depends_on(cx, &field)).unwrap_or_default(),
        deploy: f.take("deploy").and_then(|field| deploy::deploy(cx, &field)),
        device_cgroup_rules: f.strings(cx, "device_cgroup_rules"),
        devices: f.take("devices").map(|field| objects::devices(cx, &field)).unwrap_or_default(),
        dns: f.take("dns").map(|field| addresses(cx, &field)).unwrap_or_default(),
        dns_opt: f.take("dns_opt").map(|field| cx.string_set(&field)).unwrap_or_default(),
        dns_search: f.take("dns_search").map(|field| cx.string_or_strings(&field)).unwrap_or_default(),
        domain_name: f.string(cx, "domainname"),
        entrypoint: f.take("entrypoint").and_then(|field| cx.command(&field)),
        provider: f.take("provider").and_then(|field| objects::provider(cx, &field)),
        environment: f.take("environment").map(|field| cx.dictionary(&field)).unwrap_or_default(),
        env_file: f.take("env_file").map(|field| env_files(cx, &field)).unwrap_or_default(),
        expose: f.take("expose").map(|field| ports::expose(cx, &field)).unwrap_or_default(),
        external_links: f.strings(cx, "external_links"),
        extra_hosts: f.take("extra_hosts").map(|field| attachment::extra_hosts(cx, &field)).unwrap_or_default(),
        group_add: f.take("group_add").map(|field| groups(cx, &field)).unwrap_or_default(),
        gpus: f.take("gpus").map(|field| objects::gpus(cx, &field)).unwrap_or_default(),
        hostname: f.string(cx, "hostname"),
        healthcheck: f.take("healthcheck").and_then(|field| healthcheck(cx, &field)),
        image: f.take("image").and_then(|field| cx.parsed::<ImageRef>(&field)),
        init: f.take("init").and_then(|field| cx.boolean(&field)),
        ipc: f.string(cx, "ipc"),
        isolation: f.string(cx, "isolation"),
        labels: f.take("labels").map(|field| cx.labels(&field)).unwrap_or_default(),
        label_file: f
            .take("label_file")
            .map(|field| {
                cx.place(&field.path, field.node.span);
                cx.string_or_strings(&field)
            })
            .unwrap_or_default(),
        links: f.strings(cx, "links"),
        logging: f.take("logging").and_then(|field| objects::logging(cx, &field)),
        mem_limit: f.take("mem_limit").and_then(|field| cx.bytes(&field)),
        mem_reservation: f.take("mem_reservation").and_then(|field| cx.bytes(&field)),
        memswap_limit: f.take("memswap_limit").and_then(|field| cx.bytes(&field)),
        mem_swappiness: f.take("mem_swappiness").and_then(|field| cx.bytes(&field)),
        mac_address: f.string(cx, "mac_address"),
        models: f.take("models").map(|field| objects::model_uses(cx, &field)).unwrap_or_default(),
        network_mode: f.take("network_mode").and_then(|field| network_mode(cx, &field)),
        networks: f.take("networks").map(|field| attachment::networks(cx, &field)).unwrap_or_default(),
        oom_kill_disable: f.boolean(cx, "oom_kill_disable"),
        oom_score_adj: f.integer(cx, "oom_score_adj"),
        pid: f.string(cx, "pid"),
        pids_limit: f.take("pids_limit").and_then(|field| cx.integer(&field)),
        platform: f.take("platform").and_then(|field| cx.parsed::<Platform>(&field)),
        ports: f.take("ports").map(|field| ports::ports(cx, &field)).unwrap_or_default(),
        privileged: f.boolean(cx, "privileged"),
        pull_policy: f.take("pull_policy").and_then(|field| pull_policy(cx, &field)),
        pull_refresh_after: f.string(cx, "pull_refresh_after"),
        read_only: f.boolean(cx, "read_only"),
        restart: f.take("restart").and_then(|field| restart(cx, &field)),
        runtime: f.string(cx, "runtime"),
        scale: f.take("scale").and_then(|field| {
            cx.place(&field.path, field.node.span);
            cx.integer_as(&field)
        }),
        secrets: f
            .take("secrets")
            .map(|field| objects::references(cx, &field, Some("/run/secrets")))
            .unwrap_or_default(),
        security_opt: f.strings(cx, "security_opt"),
        shm_size: f.take("shm_size").and_then(|field| cx.bytes(&field)),
        stdin_open: f.boolean(cx, "stdin_open"),
        stop_grace_period: f.take("stop_grace_period").and_then(|field| cx.duration(&field)),
        stop_signal: f.take("stop_signal").and_then(|field| cx.parsed::<Signal>(&field)),
        storage_opt: f.labels(cx, "storage_opt"),
        sysctls: f.take("sysctls").map(|field| cx.labels(&field)).unwrap_or_default(),
        tmpfs: f.take("tmpfs").map(|field| mounts::tmpfs(cx, &field)).unwrap_or_default(),
        tty: f.boolean(cx, "tty"),
        ulimits: f.take("ulimits").map(|field| ulimits(cx, &field)).unwrap_or_default(),
        use_api_socket: f.boolean(cx, "use_api_socket"),
        user: f.string(cx, "user"),
        userns_mode: f.string(cx, "userns_mode"),
        uts: f.string(cx, "uts"),
        volumes: f.take("volumes").map(|field| mounts::mounts(cx, &field)).unwrap_or_default(),
        volumes_from: f.strings(cx, "volumes_from"),
        working_dir: f.string(cx, "working_dir"),
        pre_start: f.take("pre_start").map(|field| build::hooks(cx, &field)).unwrap_or_default(),
        post_start: f.take("post_start").map(|field| build::hooks(cx, &field)).unwrap_or_default(),
        pre_stop: f.take("pre_stop").map(|field| build::hooks(cx, &field)).unwrap_or_default(),
        extensions: f.extensions(),
    };
    fields.finish(cx);
    Some(service)
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
    fields.finish(cx);
    let condition = condition.and_then(|name| known.into_iter().find(|condition| condition.to_string() == name))?;
    Some(Dependency { condition, restart, required })
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
    fields.finish(cx);
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
    cx.place(&field.path, field.node.span);
    let mode = match (text.as_str(), text.split_once(':')) {
        ("none", _) => NetworkMode::None,
        ("host", _) => NetworkMode::Host,
        ("bridge", _) => NetworkMode::Bridge,
        (_, Some(("service", name))) => match name.parse() {
            Ok(name) => NetworkMode::Service(name),
            Err(error) => {
                cx.invalid(field, error);
                return None;
            }
        },
        (_, Some(("container", name))) => NetworkMode::Container(name.to_owned()),
        _ if text.is_empty() => return None,
        _ => NetworkMode::Named(text),
    };
    Some(mode)
}

const PULL_POLICIES: [&str; 7] = ["always", "never", "missing", "build", "refresh", "daily", "weekly"];

fn pull_policy(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<String> {
    let text = cx.string(field)?;
    if text == "if_not_present" {
        return Some("missing".to_owned());
    }
    if let Some(every) = text.strip_prefix("every_") {
        if parse_duration(every).is_none() {
            cx.invalid(field, format!("`{every}` is not a duration; write for example `every_12h`"));
        }
        return Some(text);
    }
    cx.one_of(field, &PULL_POLICIES)
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

pub(super) fn ulimits(cx: &mut Decoder<'_>, field: &Field<'_>) -> BTreeMap<String, Ulimit> {
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
    fields.finish(cx);
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
    let plain = |path: &str| EnvFile { path: path.to_owned(), required: true, format: None };
    if let Some(path) = field.text() {
        cx.place(&format!("{}#{path}", field.path), field.node.span);
        return vec![plain(path)];
    }
    let Some(items) = field.items() else {
        cx.expected(field, "a string or a list");
        return Vec::new();
    };
    let mut files = Vec::new();
    for item in items {
        let file =
            if item.entries().is_none() { cx.string(&item).map(|path| plain(&path)) } else { env_file(cx, &item) };
        if let Some(file) = &file {
            cx.place(&format!("{}#{}", field.path, file.path), item.node.span);
        }
        files.extend(file);
    }
    files
}

fn env_file(cx: &mut Decoder<'_>, item: &Field<'_>) -> Option<EnvFile> {
    let mut fields = Fields::open(cx, item)?;
    let path = fields.required(cx, item, "path").and_then(|field| cx.string(&field));
    let required = fields.take("required").and_then(|field| cx.boolean(&field)).unwrap_or(true);
    let format = fields.take("format").and_then(|field| cx.one_of(&field, &["raw"]));
    fields.finish(cx);
    Some(EnvFile { path: path?, required, format })
}
