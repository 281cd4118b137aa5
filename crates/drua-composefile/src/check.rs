//! What can only be judged with the whole project in view: references, cycles, names that clash.

use std::collections::{BTreeMap, BTreeSet};

use crate::decode::Places;
use crate::diagnostic::{Diagnostic, Report};
use crate::model::{MountKind, NetworkMode, Project, Service, WatchAction};
use crate::names::ServiceName;
use crate::suggest;

pub(crate) fn check(project: &Project, places: &Places, report: &mut Report) {
    if !report.has_errors() {
        // A missing image may be what is left of a mistake that has been reported, such as `imag: nginx`.
        let bare = |service: &Service| service.image.is_none() && service.build.is_none() && service.provider.is_none();
        for (name, _) in project.services.iter().filter(|(_, service)| bare(service)) {
            let at = places.get(&format!("services.{name}"));
            report.error(at, format!("service `{name}` has neither an `image` nor a `build`"));
        }
    }
    for (name, service) in &project.services {
        let at = format!("services.{name}");
        check_networks(&at, name, service, project, places, report);
        check_volumes(&at, name, service, project, places, report);
        check_dependencies(&at, name, project, places, report);
        check_scale(&at, name, service, places, report);
        check_limits(&at, name, service, places, report);
        check_build(&at, name, service, project, places, report);
        check_references(&at, name, service, project, places, report);
    }
    check_container_names(project, places, report);
    check_cycles(project, places, report);
}

fn check_networks(
    at: &str,
    name: &ServiceName,
    service: &Service,
    project: &Project,
    places: &Places,
    report: &mut Report,
) {
    for key in service.networks.keys().filter(|key| !project.networks.contains_key(*key)) {
        let message = format!("service `{name}` refers to the undefined network `{key}`");
        let found = report.error(places.get(&format!("{at}.networks.{key}")), message);
        define_it(found, "networks", key, project.networks.keys());
    }
    if let Some(NetworkMode::Service(target)) = &service.network_mode
        && !project.services.contains_key(target)
    {
        let message = format!("service `{name}` shares the network of the undefined service `{target}`");
        report.error(places.get(&format!("{at}.network_mode")), message);
    }
    if matches!(service.network_mode, Some(NetworkMode::None | NetworkMode::Host)) && !service.ports.is_empty() {
        let message = format!("service `{name}` publishes ports, which its `network_mode` has no effect on or forbids");
        report.warning(places.get(at), message);
    }
    if service.network_mode.is_some() && !service.networks.is_empty() {
        let message = format!("service `{name}` has both `network_mode` and `networks`");
        report.error(places.get(at), message);
    }
}

fn check_volumes(
    at: &str,
    name: &ServiceName,
    service: &Service,
    project: &Project,
    places: &Places,
    report: &mut Report,
) {
    let mut targets: BTreeSet<&str> = service.tmpfs.iter().filter_map(|entry| entry.split(':').next()).collect();
    for mount in &service.volumes {
        let place = places.get(&format!("{at}.volumes#{}", mount.target));
        if !targets.insert(mount.target.as_str()) {
            report.error(place, format!("service `{name}` mounts two things at `{}`", mount.target));
        }
        let Some(source) = mount.source.as_deref().filter(|_| mount.kind == MountKind::Volume) else { continue };
        if !project.volumes.contains_key(source) {
            let found = report.error(place, format!("service `{name}` refers to the undefined volume `{source}`"));
            define_it(found, "volumes", source, project.volumes.keys());
        }
    }
}

fn define_it<'a>(found: &mut Diagnostic, section: &str, key: &str, known: impl Iterator<Item = &'a String>) {
    match suggest::nearest(key, known.map(String::as_str)) {
        Some(nearest) => found.hint(format!("did you mean `{nearest}`?")),
        None => found.hint(format!("define it at the top level: `{section}: {{{key}: }}`")),
    };
}

fn check_dependencies(at: &str, name: &ServiceName, project: &Project, places: &Places, report: &mut Report) {
    for (dependency, how) in project.services[name].depends_on.iter() {
        let disabled = project.disabled.contains_key(dependency);
        // `required: false` onto a disabled service means nothing.
        if project.services.contains_key(dependency) || (disabled && !how.required) {
            continue;
        }
        let place = places.get(&format!("{at}.depends_on.{dependency}"));
        if disabled {
            let message = format!("service `{name}` depends on `{dependency}`, which no active profile enables");
            report.error(place, message).hint("enable its profile with `--profile`, or add `required: false`");
            continue;
        }
        let found = report.error(place, format!("service `{name}` depends on the undefined service `{dependency}`"));
        if let Some(nearest) = suggest::nearest(dependency.as_str(), project.services.keys().map(ServiceName::as_str)) {
            found.hint(format!("did you mean `{nearest}`?"));
        }
    }
}

fn check_scale(at: &str, name: &ServiceName, service: &Service, places: &Places, report: &mut Report) {
    let replicas = service.deploy.as_ref().and_then(|deploy| deploy.replicas);
    if let (Some(scale), Some(replicas)) = (service.scale, replicas)
        && scale != replicas
    {
        let message = format!("service `{name}` has `scale: {scale}` and `deploy.replicas: {replicas}`");
        report.error(places.get(&format!("{at}.scale")), message);
    }
    if service.container_name.is_some() && service.replicas() > 1 {
        let message = format!("service `{name}` cannot have {} containers of one `container_name`", service.replicas());
        report.error(places.get(&format!("{at}.container_name")), message);
    }
}

/// What can be said in two places must not be said differently.
fn check_limits(at: &str, name: &ServiceName, service: &Service, places: &Places, report: &mut Report) {
    let Some(deploy) = &service.deploy else { return };
    let mut differ = |key: &str, other: &str| {
        let message = format!("service `{name}` has different values for `{key}` and `deploy.resources.{other}`");
        report.error(places.get(&format!("{at}.{key}")), message);
    };
    if let Some(limits) = &deploy.resources.limits {
        if service.cpus.is_some() && limits.cpus != service.cpus {
            differ("cpus", "limits.cpus");
        }
        if service.mem_limit.is_some() && limits.memory != service.mem_limit {
            differ("mem_limit", "limits.memory");
        }
        if service.pids_limit.is_some_and(|pids| pids != limits.pids) {
            differ("pids_limit", "limits.pids");
        }
    }
    if let Some(reservations) = &deploy.resources.reservations
        && service.mem_reservation.is_some()
        && reservations.memory != service.mem_reservation
    {
        differ("mem_reservation", "reservations.memory");
    }
}

fn check_build(
    at: &str,
    name: &ServiceName,
    service: &Service,
    project: &Project,
    places: &Places,
    report: &mut Report,
) {
    let Some(build) = &service.build else { return };
    let place = places.get(&format!("{at}.build"));
    for (context, target) in &build.additional_contexts {
        let Some(target) = target.strip_prefix("service:") else { continue };
        match project.services.get(target) {
            None => {
                let message =
                    format!("service `{name}` takes the context `{context}` from the undefined service `{target}`");
                report.error(place, message);
            }
            Some(other) if other.build.is_none() => {
                let message =
                    format!("service `{name}` takes the context `{context}` from `{target}`, which is not built");
                report.error(place, message);
            }
            Some(_) => {}
        }
    }
    if let Some(platform) = &service.platform
        && !build.platforms.is_empty()
        && !build.platforms.contains(platform)
    {
        report.error(place, format!("`build.platforms` of service `{name}` lacks its `platform`, `{platform}`"));
    }
    for secret in build.secrets.iter().filter_map(|secret| secret.source.as_ref()) {
        if !project.secrets.contains_key(secret) {
            let found =
                report.error(place, format!("service `{name}` refers to the undefined build secret `{secret}`"));
            define_it(found, "secrets", secret, project.secrets.keys());
        }
    }
}

fn check_references(
    at: &str,
    name: &ServiceName,
    service: &Service,
    project: &Project,
    places: &Places,
    report: &mut Report,
) {
    let kinds = [
        ("secret", "secrets", &service.secrets, &project.secrets),
        ("config", "configs", &service.configs, &project.configs),
    ];
    for (kind, section, references, known) in kinds {
        for source in references.iter().filter_map(|reference| reference.source.as_ref()) {
            if !known.contains_key(source) {
                let place = places.get(&format!("{at}.{section}#{source}"));
                let found = report.error(place, format!("service `{name}` refers to the undefined {kind} `{source}`"));
                define_it(found, section, source, known.keys());
            }
        }
    }
    for model in service.models.keys().filter(|model| !project.models.contains_key(*model)) {
        let place = places.get(&format!("{at}.models.{model}"));
        let found = report.error(place, format!("service `{name}` refers to the undefined model `{model}`"));
        define_it(found, "models", model, project.models.keys());
    }
    for rule in service.develop.iter().flat_map(|develop| &develop.watch) {
        if rule.action == WatchAction::Rebuild && service.build.is_none() {
            let message = format!("service `{name}` has a rule that rebuilds `{}`, and no `build`", rule.path);
            report.warning(places.get(at), message);
        }
    }
}

/// Two services may not have the same container name, given or made from the project's name.
fn check_container_names(project: &Project, places: &Places, report: &mut Report) {
    let mut owners: BTreeMap<&str, &ServiceName> = BTreeMap::new();
    for (name, service) in &project.services {
        let Some(container) = service.container_name.as_deref() else { continue };
        if let Some(other) = owners.insert(container, name) {
            let place = places.get(&format!("services.{name}.container_name"));
            report.error(place, format!("services `{other}` and `{name}` have the same container name `{container}`"));
        }
    }
}

/// Reports each cycle once, with its members in order.
fn check_cycles(project: &Project, places: &Places, report: &mut Report) {
    let mut done = BTreeSet::new();
    for start in project.services.keys() {
        // Depth first with an explicit stack of (service, its remaining dependencies): files may be hostile.
        let mut path: Vec<(&ServiceName, Vec<&ServiceName>)> = Vec::new();
        let dependencies = |name: &ServiceName| -> Vec<&ServiceName> {
            project.services.get(name).map(|service| service.depends_on.keys().rev().collect()).unwrap_or_default()
        };
        if done.insert(start) {
            path.push((start, dependencies(start)));
        }
        while let Some((name, remaining)) = path.last_mut() {
            let name = *name;
            let Some(next) = remaining.pop() else {
                path.pop();
                continue;
            };
            if let Some(first) = path.iter().position(|(visited, _)| *visited == next) {
                let cycle: Vec<&str> =
                    path[first..].iter().map(|(name, _)| name.as_str()).chain([next.as_str()]).collect();
                let place = places.get(&format!("services.{name}.depends_on.{next}"));
                report.error(place, format!("services depend on each other in a cycle: {}", cycle.join(" → ")));
            } else if let Some((next, _)) = project.services.get_key_value(next)
                && done.insert(next)
            {
                path.push((next, dependencies(next)));
            }
        }
    }
}
