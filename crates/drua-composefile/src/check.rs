//! What can only be judged with the whole project in view: references, cycles, names that clash.

use std::collections::{BTreeMap, BTreeSet};

use crate::decode::Places;
use crate::diagnostic::{Diagnostic, Report};
use crate::model::{MountKind, NetworkMode, Project, Service};
use crate::names::ServiceName;
use crate::suggest;

pub(crate) fn check(project: &Project, places: &Places, report: &mut Report) {
    if !report.has_errors() {
        // A missing image may be what is left of a mistake that has been reported, such as `imag: nginx`.
        for (name, _) in project.services.iter().filter(|(_, service)| service.image.is_none()) {
            report.error(places.get(&format!("services.{name}")), format!("service `{name}` has no `image`"));
        }
    }
    for (name, service) in &project.services {
        let at = format!("services.{name}");
        check_networks(&at, name, service, project, places, report);
        check_volumes(&at, name, service, project, places, report);
        check_dependencies(&at, name, project, places, report);
        check_scale(&at, name, service, places, report);
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
    if service.network_mode.is_some_and(|mode| mode != NetworkMode::Bridge) && !service.ports.is_empty() {
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
    let mut targets = BTreeSet::new();
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
    for dependency in project.services[name].depends_on.keys().filter(|name| !project.services.contains_key(*name)) {
        let place = places.get(&format!("{at}.depends_on.{dependency}"));
        if project.disabled.contains(dependency) {
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
