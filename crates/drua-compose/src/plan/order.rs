//! Orders that dependencies impose.

use std::collections::{BTreeMap, BTreeSet};

use drua_composefile::{Project, ServiceName};

use crate::observe::{Observed, ObservedContainer};

/// The wanted services (all when none are named), with their dependencies if those are wanted too; dependencies first.
pub(super) fn services<'p>(project: &'p Project, wanted: &[String], with_dependencies: bool) -> Vec<&'p ServiceName> {
    let mut ordered = Vec::new();
    let mut seen = BTreeSet::new();
    for name in project.services.keys() {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name.as_str()) {
            visit(project, name, with_dependencies || wanted.is_empty(), &mut seen, &mut ordered);
        }
    }
    if !with_dependencies && !wanted.is_empty() {
        // Among the named ones, dependencies still come first.
        let all = services(project, &[], true);
        ordered = all.into_iter().filter(|name| seen.contains(name)).collect();
    }
    ordered
}

/// Depth is bounded by the number of services, of which a file has at most as many as it has values; the loader has
/// refused cycles.
fn visit<'p>(
    project: &'p Project,
    name: &'p ServiceName,
    follow: bool,
    seen: &mut BTreeSet<&'p ServiceName>,
    ordered: &mut Vec<&'p ServiceName>,
) {
    let mut stack = vec![(name, false)];
    while let Some((name, dependencies_done)) = stack.pop() {
        if dependencies_done {
            ordered.push(name);
            continue;
        }
        if !seen.insert(name) {
            continue;
        }
        stack.push((name, true));
        if follow {
            let dependencies = project.services[name].depends_on.keys();
            stack.extend(
                dependencies.filter_map(|name| project.services.get_key_value(name)).map(|(name, _)| (name, false)),
            );
        }
    }
}

/// Which services depend on which, by the labels on their containers; through any number of others, also stopped ones.
pub(super) struct Dependencies<'o>(BTreeMap<&'o str, BTreeSet<&'o str>>);

impl<'o> Dependencies<'o> {
    pub(super) fn of(observed: &'o Observed) -> Self {
        let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for container in &observed.containers {
            let direct = container.depends_on.iter().map(String::as_str).filter(|name| *name != container.service);
            all.entry(&container.service).or_default().extend(direct);
        }
        // Adds the dependencies of dependencies until there are no more.
        loop {
            let mut grown = false;
            for service in all.keys().copied().collect::<Vec<_>>() {
                let indirect: BTreeSet<&str> =
                    all[service].iter().filter_map(|name| all.get(name)).flatten().copied().collect();
                let known = all.entry(service).or_default();
                let before = known.len();
                known.extend(indirect);
                grown |= known.len() > before;
            }
            if !grown {
                return Self(all);
            }
        }
    }

    /// Whether `dependent` needs `dependency`.
    pub(super) fn contains(&self, dependent: &ObservedContainer, dependency: &ObservedContainer) -> bool {
        let needed = self.0.get(dependent.service.as_str());
        dependent.service != dependency.service && needed.is_some_and(|all| all.contains(dependency.service.as_str()))
    }
}
