mod bodies;
mod output;
mod plan_cases;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use drua_api::models::{ContainerState, ContainerStateStatusEnum as State, Health, HealthStatusEnum};
use drua_api::stream::{Frame, StreamType};
use drua_composefile::{Condition, Loader, Project, Request, load};
use proptest::prelude::*;

use crate::observer::{Observer, OutputLine, Resource, Status};
use crate::plan::{self, Action, DownOptions, Plan, RemoveImages, Target, UpOptions};
use crate::wait::{Verdict, judge};
use crate::{ComposeError, Observed, ObservedContainer, ObservedNetwork, ProjectOptions, config_hash, create, labels};

struct Only(String);

impl Loader for Only {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path.ends_with("compose.yaml") {
            Ok(self.0.clone().into_bytes())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

/// A project named `p` in `/home/me/p`.
#[track_caller]
fn project(services: &str) -> Project {
    let request = Request {
        files: vec![PathBuf::from("/home/me/p/compose.yaml")],
        project_dir: PathBuf::from("/home/me/p"),
        ..Request::default()
    };
    load(&request, &Only(services.to_owned())).map_err(|error| error.to_string()).unwrap().project
}

const IMAGE_ID: &str = "sha256:1111";

fn images(project: &Project) -> BTreeMap<String, String> {
    project.services.values().filter_map(|service| Some((service.image.clone()?, IMAGE_ID.to_owned()))).collect()
}

fn network_id(name: &str) -> String {
    format!("id-of-{name}")
}

/// What the engine has after `up` of this project.
fn after_up(project: &Project) -> Observed {
    let mut observed = Observed::default();
    let owner = Some(project.name.to_string());
    for network in project.networks.values() {
        let there = ObservedNetwork { id: network_id(&network.name), project: owner.clone() };
        observed.networks.insert(network.name.clone(), there);
    }
    for volume in project.volumes.values() {
        observed.volumes.insert(volume.name.clone(), owner.clone());
    }
    for (name, service) in &project.services {
        let full_name = |key: &String| project.networks[key].name.clone();
        let volume = |mount: &drua_composefile::Mount| {
            Some((project.volumes.get(mount.source.as_ref()?)?.name.clone(), mount.target.clone()))
        };
        for number in 1..=service.replicas() {
            observed.containers.push(ObservedContainer {
                id: format!("{name}{number}{}", "0".repeat(64))[..64].to_owned(),
                name: service.container_name.clone().unwrap_or_else(|| format!("p-{name}-{number}")),
                service: name.to_string(),
                number,
                image: service.image.clone().unwrap(),
                config_hash: Some(config_hash(service)),
                image_id: Some(IMAGE_ID.to_owned()),
                depends_on: service.depends_on.keys().map(ToString::to_string).collect(),
                running: true,
                networks: Some(
                    service.networks.keys().map(|key| (full_name(key), network_id(&full_name(key)))).collect(),
                ),
                volumes: Some(service.volumes.iter().filter_map(volume).collect()),
            });
        }
    }
    observed
}

fn up_with(project: &Project, observed: &Observed, options: &UpOptions) -> Plan {
    plan::up(project, observed, &images(project), options).unwrap()
}

#[track_caller]
fn check_up(project: &Project, observed: &Observed, options: &UpOptions, expected: &str) {
    check(&up_with(project, observed, options), expected);
}

#[track_caller]
fn check(plan: &Plan, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let actual = plan.to_string();
    assert_eq!(actual.lines().collect::<Vec<_>>(), expected, "\n{actual}");
    assert_well_formed(plan);
}

/// Steps come after those that they need.
#[track_caller]
fn assert_well_formed(plan: &Plan) {
    for (index, step) in plan.steps.iter().enumerate() {
        assert!(step.after.iter().all(|before| *before < index), "{plan}");
        let unique: BTreeSet<_> = step.after.iter().collect();
        assert_eq!(unique.len(), step.after.len(), "{plan}");
    }
}

const STACK: &str = "
services:
  web:
    image: web
    networks: [front, back]
    depends_on:
      db: {condition: service_healthy}
      job: {condition: service_completed_successfully}
  worker: {image: worker, networks: [back], depends_on: {db: {condition: service_healthy}}}
  db: {image: db, networks: [back], volumes: ['data:/data'], healthcheck: {test: 'true'}}
  job: {image: job, networks: [back], depends_on: [db]}
networks: {front: , back: }
volumes: {data: }
";
