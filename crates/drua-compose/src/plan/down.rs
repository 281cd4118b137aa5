//! The plan for `down`: everything that belongs to the project goes, dependents before what they depend on.

use std::collections::BTreeSet;

use drua_composefile::Project;

use super::control::stop_in_order;
use super::{Action, Plan, StepId, Target};
use crate::observe::{Observed, ObservedContainer};

/// Which images `down` removes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RemoveImages {
    /// None.
    #[default]
    Keep,
    /// Those without a name in the file, which were built for it. There are none yet.
    Local,
    /// All that the project's containers were created from.
    All,
}

/// How to take a project down.
#[derive(Debug, Clone, Default)]
pub struct DownOptions {
    /// Remove the project's volumes, anonymous ones included.
    pub volumes: bool,
    /// Remove containers of services that are not in the file. Without a file all containers are removed anyway.
    pub remove_orphans: bool,
    /// Remove images.
    pub images: RemoveImages,
    /// Seconds until a container is killed; its own when absent.
    pub timeout_seconds: Option<i64>,
}

/// Plans `down`. Without a file, everything that the engine has of the project goes.
///
/// The order comes from the labels of the containers, so that it is right even if the file has changed since.
pub fn down(name: &str, project: Option<&Project>, observed: &Observed, options: &DownOptions) -> Plan {
    let mut plan = Plan::default();
    let is_known = |container: &ObservedContainer| {
        project.is_none_or(|project| {
            let service = container.service.as_str();
            project.services.contains_key(service) || project.disabled.contains_key(service)
        })
    };
    let (gone, orphans): (Vec<_>, Vec<_>) =
        observed.containers.iter().partition(|container| options.remove_orphans || is_known(container));
    if !orphans.is_empty() {
        let names: Vec<&str> = orphans.iter().map(|container| container.name.as_str()).collect();
        let text = format!(
            "containers of services that are not in the file stay: {}; remove them with `--remove-orphans`",
            names.join(", ")
        );
        plan.warnings.push(text);
    }
    let stopped = stop_in_order(&mut plan, observed, &gone, options.timeout_seconds);
    let removed: Vec<StepId> = gone
        .iter()
        .map(|container| {
            let after: Vec<StepId> = stopped.get(container.id.as_str()).copied().into_iter().collect();
            plan.push(Action::Remove { target: Target::observed(container), volumes: options.volumes }, after)
        })
        .collect();
    for (network, there) in &observed.networks {
        if there.project.as_deref() == Some(name) {
            plan.push(Action::RemoveNetwork(network.clone()), removed.clone());
        }
    }
    if options.volumes {
        for volume in observed.volumes.iter().filter(|(_, owner)| owner.as_deref() == Some(name)).map(|(name, _)| name)
        {
            plan.push(Action::RemoveVolume(volume.clone()), removed.clone());
        }
    }
    if options.images == RemoveImages::All {
        let images: BTreeSet<&String> = gone.iter().map(|container| &container.image).collect();
        for image in images {
            plan.push(Action::RemoveImage(image.clone()), removed.clone());
        }
    }
    plan
}
