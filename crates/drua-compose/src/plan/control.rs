//! Plans for `start`, `stop`, `restart`, `kill` and `rm`: existing containers only, ordered by the labels on them.

use std::collections::BTreeMap;

use super::order::Dependencies;
use super::{Action, Plan, StepId, Target};
use crate::observe::{Observed, ObservedContainer};

/// Plans `stop`: dependents before what they depend on.
pub fn stop(observed: &Observed, services: &[String], timeout_seconds: Option<i64>) -> Plan {
    let mut plan = Plan::default();
    stop_in_order(&mut plan, observed, &chosen(observed, services), timeout_seconds);
    plan
}

/// Plans `start`: what does not run, dependencies first.
pub fn start(observed: &Observed, services: &[String]) -> Plan {
    let chosen = chosen(observed, services);
    let (running, stopped): (Vec<&ObservedContainer>, Vec<_>) =
        chosen.into_iter().partition(|container| container.running);
    let kept = running.iter().map(|container| (container.service.clone(), container.name.clone())).collect();
    let mut plan = Plan { kept, ..Plan::default() };
    let needs = Dependencies::of(observed);
    let action = |container: &ObservedContainer| Action::Start(Target::observed(container));
    in_order(&mut plan, &stopped, action, |container, other| needs.contains(container, other));
    plan
}

/// Plans `restart`: dependencies first.
pub fn restart(observed: &Observed, services: &[String], timeout_seconds: Option<i64>) -> Plan {
    let mut plan = Plan::default();
    let action =
        |container: &ObservedContainer| Action::Restart { target: Target::observed(container), timeout_seconds };
    let needs = Dependencies::of(observed);
    in_order(&mut plan, &chosen(observed, services), action, |container, other| needs.contains(container, other));
    plan
}

/// Plans `kill`: whatever runs, all at once.
pub fn kill(observed: &Observed, services: &[String], signal: Option<&str>) -> Plan {
    let mut plan = Plan::default();
    for container in chosen(observed, services).into_iter().filter(|container| container.running) {
        let signal = signal.map(str::to_owned);
        plan.push(Action::Kill { target: Target::observed(container), signal }, []);
    }
    plan
}

/// Plans `rm`: what does not run; with `stop` everything, stopped first.
pub fn remove(observed: &Observed, services: &[String], stop: bool, volumes: bool) -> Plan {
    let mut plan = Plan::default();
    let mut chosen = chosen(observed, services);
    let stopped = if stop { stop_in_order(&mut plan, observed, &chosen, None) } else { BTreeMap::new() };
    chosen.retain(|container| stop || !container.running);
    for container in chosen {
        let after: Vec<StepId> = stopped.get(container.id.as_str()).copied().into_iter().collect();
        plan.push(Action::Remove { target: Target::observed(container), volumes }, after);
    }
    plan
}

/// Stops what runs, dependents before what they depend on, and returns the steps by container id.
pub(super) fn stop_in_order<'o>(
    plan: &mut Plan,
    observed: &Observed,
    containers: &[&'o ObservedContainer],
    timeout_seconds: Option<i64>,
) -> BTreeMap<&'o str, StepId> {
    let running: Vec<&ObservedContainer> = containers.iter().copied().filter(|container| container.running).collect();
    let action = |container: &ObservedContainer| Action::Stop { target: Target::observed(container), timeout_seconds };
    let needs = Dependencies::of(observed);
    in_order(plan, &running, action, |container, other| needs.contains(other, container))
}

/// Adds a step for each container after those of the containers for which `comes_after(container, other)` holds.
///
/// Labels may have been written at different times and form a cycle; where nothing is free any more, the first container
/// goes on as if it were.
fn in_order<'o>(
    plan: &mut Plan,
    containers: &[&'o ObservedContainer],
    action: impl Fn(&ObservedContainer) -> Action,
    comes_after: impl Fn(&ObservedContainer, &ObservedContainer) -> bool,
) -> BTreeMap<&'o str, StepId> {
    let mut steps: BTreeMap<&str, StepId> = BTreeMap::new();
    let mut left: Vec<&ObservedContainer> = containers.to_vec();
    while !left.is_empty() {
        let is_free = |container: &&ObservedContainer| !left.iter().any(|other| comes_after(container, other));
        let next = left.iter().position(is_free).unwrap_or(0);
        let container = left.remove(next);
        let before = containers.iter().filter(|other| comes_after(container, other));
        let after: Vec<StepId> = before.filter_map(|other| steps.get(other.id.as_str()).copied()).collect();
        steps.insert(&container.id, plan.push(action(container), after));
    }
    steps
}

fn chosen<'o>(observed: &'o Observed, services: &[String]) -> Vec<&'o ObservedContainer> {
    let is_chosen = |container: &&ObservedContainer| services.is_empty() || services.contains(&container.service);
    let mut chosen: Vec<&ObservedContainer> = observed.containers.iter().filter(is_chosen).collect();
    chosen.sort_by_key(|container| (&container.service, container.number, &container.name));
    chosen
}
