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

#[test]
fn up_from_nothing_is_ordered_by_dependencies() {
    check_up(
        &project(STACK),
        &Observed::default(),
        &UpOptions::default(),
        "0 create network back
         1 create network front
         2 create volume data
         3 create container p-db-1 after 0 2
         4 start p-db-1 after 3
         5 create container p-job-1 after 0
         6 start p-job-1 after 5 4
         7 wait for db service_healthy after 4
         8 wait for job service_completed_successfully after 6
         9 create container p-web-1 after 0 1
         10 start p-web-1 after 9 7 8
         11 create container p-worker-1 after 0
         12 start p-worker-1 after 11 7",
    );
}

#[test]
fn up_again_does_nothing_but_wait_for_conditions() {
    let project = project("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x}");
    let plan = up_with(&project, &after_up(&project), &UpOptions::default());
    check(&plan, "");
    assert_eq!(plan.kept, [("b".to_owned(), "p-b-1".to_owned()), ("a".to_owned(), "p-a-1".to_owned())]);
}

#[test]
fn only_what_changed_is_recreated() {
    let before = project("services:\n  a: {image: x}\n  b: {image: x}");
    let after = project("services:\n  a: {image: x, user: me}\n  b: {image: x}");
    let id = &after_up(&before).containers[0].id[..12];
    check_up(
        &after,
        &after_up(&before),
        &UpOptions::default(),
        &format!(
            "0 create container {id}_p-a-1
             1 stop p-a-1 after 0
             2 remove p-a-1 after 1
             3 rename {id}_p-a-1 to p-a-1 after 2
             4 start p-a-1 after 3"
        ),
    );
    check_up(&after, &after_up(&before), &UpOptions { no_recreate: true, ..UpOptions::default() }, "");
}

#[test]
fn dependencies_scale_and_profiles_do_not_change_a_container() {
    let before = project("services:\n  a: {image: x}\n  b: {image: x}");
    let after = project(
        "services:\n  a: {image: x, depends_on: [b], scale: 1, pull_policy: never}\n  b: {image: x, deploy: {replicas: 1}}",
    );
    assert_eq!(config_hash(&before.services["a"]), config_hash(&after.services["a"]));
}

#[test]
fn a_new_image_recreates() {
    let project = project("services: {a: {image: x}}");
    let mut observed = after_up(&project);
    observed.containers[0].image_id = Some("sha256:old".to_owned());
    assert_eq!(up_with(&project, &observed, &UpOptions::default()).steps.len(), 5);
}

#[test]
fn a_network_that_was_created_anew_recreates() {
    let project = project("services: {a: {image: x}}");
    let mut observed = after_up(&project);
    observed.networks.get_mut("p_default").unwrap().id = "another".to_owned();
    assert_eq!(up_with(&project, &observed, &UpOptions::default()).steps.len(), 5);
    observed.networks.clear();
    let plan = up_with(&project, &observed, &UpOptions::default());
    assert_eq!(plan.steps[0].action, Action::CreateNetwork("default".to_owned()));
    assert_eq!(plan.steps.len(), 6);
}

#[test]
fn what_the_engine_does_not_list_recreates_nothing() {
    let project = project("services: {a: {image: x, volumes: ['d:/d']}}\nvolumes: {d: }");
    let mut observed = after_up(&project);
    observed.containers[0].networks = None;
    observed.containers[0].volumes = None;
    check_up(&project, &observed, &UpOptions::default(), "");
}

#[test]
fn anonymous_volumes_go_on_in_the_new_container() {
    let project = project("services: {a: {image: x, volumes: ['/anonymous', 'd:/named']}}\nvolumes: {d: }");
    let mut observed = after_up(&project);
    let hex = "ab".repeat(32);
    let mounted = observed.containers[0].volumes.as_mut().unwrap();
    mounted.push((hex.clone(), "/anonymous".to_owned()));
    mounted.push(("p_gone".to_owned(), "/gone".to_owned()));
    let forced = UpOptions { force_recreate: true, ..UpOptions::default() };
    let created = |plan: &Plan| match &plan.steps[0].action {
        Action::CreateContainer(create) => create.clone(),
        other => panic!("{other}"),
    };
    let create = created(&up_with(&project, &observed, &forced));
    assert_eq!(create.inherits, [(hex.clone(), "/anonymous".to_owned())]);
    let body = create::container(&project, &project.services["a"], &create, IMAGE_ID);
    assert_eq!(body.host_config.unwrap().binds.unwrap(), ["p_d:/named:rw".to_owned(), format!("{hex}:/anonymous:rw")]);
    assert_eq!(body.volumes, None);
    let renewed = UpOptions { renew_anonymous_volumes: true, ..forced };
    assert_eq!(created(&up_with(&project, &observed, &renewed)).inherits, []);
}

#[test]
fn stopped_containers_are_started() {
    let project = project("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x}");
    let mut observed = after_up(&project);
    observed.containers.iter_mut().for_each(|container| container.running = false);
    check_up(&project, &observed, &UpOptions::default(), "0 start p-b-1\n 1 start p-a-1 after 0");
    check_up(&project, &observed, &UpOptions { no_start: true, ..UpOptions::default() }, "");
}

#[test]
fn scaling_up_fills_gaps_and_down_removes_the_last() {
    let three = project("services: {a: {image: x, scale: 3}}");
    let mut observed = after_up(&three);
    observed.containers.remove(1);
    check_up(
        &three,
        &observed,
        &UpOptions::default(),
        "0 create container p-a-2
         1 start p-a-2 after 0",
    );
    let one = UpOptions { scale: BTreeMap::from([("a".to_owned(), 1)]), ..UpOptions::default() };
    check_up(&three, &observed, &one, "0 stop p-a-3\n 1 remove p-a-3 after 0");
}

#[test]
fn orphans_are_named_or_removed() {
    let project = project("services:\n  a: {image: x}\n  off: {image: x, profiles: [off]}");
    let mut observed = after_up(&project);
    for service in ["gone", "off"] {
        let name = format!("p-{service}-1");
        observed.containers.push(ObservedContainer {
            id: name.clone(),
            name,
            service: service.to_owned(),
            running: true,
            ..ObservedContainer::default()
        });
    }
    let plan = up_with(&project, &observed, &UpOptions::default());
    check(&plan, "");
    assert_eq!(
        plan.warnings,
        ["containers of services that are not in the file: p-gone-1; remove them with `--remove-orphans`"]
    );
    let remove = UpOptions { remove_orphans: true, ..UpOptions::default() };
    check_up(&project, &observed, &remove, "0 stop p-gone-1\n 1 remove p-gone-1 after 0");
}

#[test]
fn named_services_bring_their_dependencies() {
    let project = project(STACK);
    let only = |services: &[&str], no_dependencies| UpOptions {
        services: services.iter().map(|name| (*name).to_owned()).collect(),
        no_dependencies,
        ..UpOptions::default()
    };
    check_up(
        &project,
        &Observed::default(),
        &only(&["job"], false),
        "0 create network back
         1 create volume data
         2 create container p-db-1 after 0 1
         3 start p-db-1 after 2
         4 create container p-job-1 after 0
         5 start p-job-1 after 4 3",
    );
    check_up(
        &project,
        &Observed::default(),
        &only(&["job"], true),
        "0 create network back
         1 create container p-job-1 after 0
         2 start p-job-1 after 1",
    );
    let unknown = plan::up(&project, &Observed::default(), &images(&project), &only(&["jbo"], false));
    assert!(matches!(unknown, Err(ComposeError::NoSuchService(name)) if name == "jbo"));
}

#[test]
fn dependents_restart_with_a_recreated_dependency() {
    let text = |user: &str| {
        format!(
            "services:\n  a: {{image: x, depends_on: {{b: {{condition: service_started, restart: true}}}}}}\n  b: {{image: x{user}}}"
        )
    };
    let observed = after_up(&project(&text("")));
    let id = &observed.containers[1].id[..12];
    check_up(
        &project(&text(", user: me")),
        &observed,
        &UpOptions::default(),
        &format!(
            "0 create container {id}_p-b-1
             1 stop p-b-1 after 0
             2 remove p-b-1 after 1
             3 rename {id}_p-b-1 to p-b-1 after 2
             4 start p-b-1 after 3
             5 stop p-a-1
             6 start p-a-1 after 4 5"
        ),
    );
}

#[test]
fn wait_waits_for_what_has_a_healthcheck() {
    let project = project("services:\n  a: {image: x, healthcheck: {test: 'true'}}\n  b: {image: x}");
    let options = UpOptions { wait: true, ..UpOptions::default() };
    let plan = up_with(&project, &after_up(&project), &options);
    check(&plan, "0 wait for a service_healthy");
}

#[test]
fn external_resources_must_be_there() {
    let project = project(
        "services: {a: {image: x, networks: [n], volumes: ['v:/v']}}\nnetworks: {n: {external: true}}\nvolumes: {v: {external: true}}",
    );
    let mut observed = Observed::default();
    let plan = |observed: &Observed| plan::up(&project, observed, &images(&project), &UpOptions::default());
    let text = |result: Result<Plan, ComposeError>| result.unwrap_err().to_string();
    assert_eq!(text(plan(&observed)), "network `n` is declared external and does not exist");
    observed.networks.insert("n".to_owned(), ObservedNetwork::default());
    assert_eq!(text(plan(&observed)), "volume `v` is declared external and does not exist");
    observed.volumes.insert("v".to_owned(), None);
    check(&plan(&observed).unwrap(), "0 create container p-a-1\n 1 start p-a-1 after 0");
}

#[test]
fn foreign_resources_are_not_taken_over_silently() {
    let project = project("services: {a: {image: x, volumes: ['v:/v']}}\nvolumes: {v: }");
    let mut observed = Observed::default();
    observed.volumes.insert("p_v".to_owned(), Some("other".to_owned()));
    assert_eq!(up_with(&project, &observed, &UpOptions::default()).warnings.len(), 1);
    observed.networks.insert("p_default".to_owned(), ObservedNetwork::default());
    let error = plan::up(&project, &observed, &images(&project), &UpOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "network `p_default` exists already and does not belong to project `p`");
}

#[test]
fn down_takes_dependents_first_and_keeps_volumes() {
    let project = project(STACK);
    let expected = "0 stop p-web-1
         1 stop p-job-1 after 0
         2 stop p-worker-1
         3 stop p-db-1 after 1 0 2
         4 remove p-db-1 after 3
         5 remove p-job-1 after 1
         6 remove p-web-1 after 0
         7 remove p-worker-1 after 2
         8 remove network p_back after 4 5 6 7
         9 remove network p_front after 4 5 6 7";
    let plan = plan::down("p", Some(&project), &after_up(&project), &DownOptions::default());
    assert_eq!(order_of(&plan), order_of_text(expected));
    let plan = plan::down("p", None, &after_up(&project), &DownOptions::default());
    assert_eq!(order_of(&plan), order_of_text(expected));
}

/// The steps without their numbers, each with the steps that it comes after.
fn order_of(plan: &Plan) -> BTreeSet<(String, BTreeSet<String>)> {
    assert_well_formed(plan);
    let name = |step: &usize| plan.steps[*step].action.to_string();
    plan.steps.iter().map(|step| (step.action.to_string(), step.after.iter().map(name).collect())).collect()
}

fn order_of_text(text: &str) -> BTreeSet<(String, BTreeSet<String>)> {
    let split = |line: &str| -> (String, Vec<usize>) {
        let line = line.trim().split_once(' ').unwrap().1;
        let (action, after) = line.split_once(" after ").unwrap_or((line, ""));
        (action.to_owned(), after.split_whitespace().map(|step| step.parse().unwrap()).collect())
    };
    let lines: Vec<(String, Vec<usize>)> = text.lines().map(split).collect();
    let name = |step: &usize| lines[*step].0.clone();
    lines.iter().map(|(action, after)| (action.clone(), after.iter().map(name).collect())).collect()
}

#[test]
fn down_can_remove_everything() {
    let stack = project("services: {a: {image: x, volumes: ['v:/v']}}\nvolumes: {v: }");
    let mut observed = after_up(&stack);
    observed.volumes.insert("others".to_owned(), Some("other".to_owned()));
    observed.networks.insert("bridge".to_owned(), ObservedNetwork::default());
    let options = DownOptions { volumes: true, images: RemoveImages::All, ..DownOptions::default() };
    check(
        &plan::down("p", Some(&stack), &observed, &options),
        "0 stop p-a-1
         1 remove p-a-1 after 0
         2 remove network p_default after 1
         3 remove volume p_v after 1
         4 remove image x after 1",
    );
    let other = project("services: {b: {image: x}}");
    let plan = plan::down("p", Some(&other), &observed, &DownOptions::default());
    check(&plan, "0 remove network p_default");
    assert_eq!(plan.warnings.len(), 1);
    let options = DownOptions { remove_orphans: true, ..DownOptions::default() };
    assert_eq!(plan::down("p", Some(&other), &observed, &options).steps.len(), 3);
}

#[test]
fn start_stop_restart_kill_and_remove() {
    let project = project("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x}");
    let mut observed = after_up(&project);
    check(&plan::stop(&observed, &[], None), "0 stop p-a-1\n 1 stop p-b-1 after 0");
    check(&plan::restart(&observed, &[], None), "0 restart p-b-1\n 1 restart p-a-1 after 0");
    check(&plan::kill(&observed, &["b".to_owned()], None), "0 kill p-b-1");
    check(&plan::start(&observed, &[]), "");
    check(&plan::remove(&observed, &[], false, false), "");
    check(
        &plan::remove(&observed, &[], true, false),
        "0 stop p-a-1
         1 stop p-b-1 after 0
         2 remove p-a-1 after 0
         3 remove p-b-1 after 1",
    );
    observed.containers[0].running = false;
    check(&plan::start(&observed, &[]), "0 start p-a-1");
    check(&plan::remove(&observed, &[], false, false), "0 remove p-a-1");
}

#[test]
fn order_goes_through_what_is_stopped() {
    let project =
        project("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [c]}\n  c: {image: x}");
    let mut observed = after_up(&project);
    observed.containers[1].running = false;
    check(&plan::stop(&observed, &[], None), "0 stop p-a-1\n 1 stop p-c-1 after 0");
}

#[test]
fn labels_that_form_a_cycle_do_not_hang() {
    let project = project("services:\n  a: {image: x}\n  b: {image: x}");
    let mut observed = after_up(&project);
    observed.containers[0].depends_on = vec!["b".to_owned()];
    observed.containers[1].depends_on = vec!["a".to_owned()];
    assert_eq!(plan::stop(&observed, &[], None).steps.len(), 2);
}

/// Made by Docker Compose 5.6.1: `docker compose config --hash '*' | sort` on `hashes.yaml` in `/home/me/p`.
#[test]
fn hashes_are_docker_composes() {
    let project = project(include_str!("../tests/hashes.yaml"));
    let expected: BTreeMap<&str, &str> =
        include_str!("../tests/hashes.txt").lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(project.services.len(), expected.len());
    for (name, service) in &project.services {
        assert_eq!(config_hash(service), expected[name.as_str()], "{name}");
    }
}

#[test]
fn container_bodies() {
    let project = project(include_str!("../tests/bodies.yaml"));
    let plan = up_with(&project, &Observed::default(), &UpOptions::default());
    let mut bodies = serde_json::Map::new();
    for step in &plan.steps {
        match &step.action {
            Action::CreateContainer(create) => {
                let mut body = create::container(&project, &project.services[&create.service], create, IMAGE_ID);
                // Checked against Docker Compose elsewhere, and sensitive to every detail.
                body.labels.as_mut().unwrap().remove(labels::CONFIG_HASH);
                bodies.insert(create.name.clone(), serde_json::to_value(body).unwrap());
            }
            Action::CreateNetwork(key) => {
                let body = create::network(&project, key, &project.networks[key]);
                bodies.insert(format!("network {key}"), serde_json::to_value(body).unwrap());
            }
            Action::CreateVolume(key) => {
                let body = create::volume(&project, key, &project.volumes[key]);
                bodies.insert(format!("volume {key}"), serde_json::to_value(body).unwrap());
            }
            _ => {}
        }
    }
    let actual = serde_json::to_string_pretty(&bodies).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bodies.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &actual).unwrap();
    }
    // As values: maps of the generated types have no order.
    let expected: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&actual).unwrap(), expected, "{actual}");
}

#[test]
fn verdicts() {
    let state = |status, exit_code, health: Option<HealthStatusEnum>| ContainerState {
        status: Some(status),
        running: Some(status == State::RUNNING),
        exit_code: Some(exit_code),
        health: health.map(|status| Health { status: Some(status), ..Health::default() }),
        ..ContainerState::default()
    };
    use Condition::{CompletedSuccessfully as Completed, Healthy, Started};
    use HealthStatusEnum as H;
    let cases = [
        (state(State::RUNNING, 0, None), Started, Verdict::Fulfilled),
        (state(State::CREATED, 0, None), Started, Verdict::NotYet),
        (state(State::EXITED, 1, None), Started, Verdict::Fulfilled),
        (state(State::RUNNING, 0, None), Completed, Verdict::NotYet),
        (state(State::RESTARTING, 1, None), Completed, Verdict::NotYet),
        (state(State::EXITED, 0, None), Completed, Verdict::Fulfilled),
        (state(State::EXITED, 3, None), Completed, Verdict::Exited(3)),
        (state(State::RUNNING, 0, Some(H::STARTING)), Healthy, Verdict::NotYet),
        (state(State::RUNNING, 0, Some(H::HEALTHY)), Healthy, Verdict::Fulfilled),
        (state(State::RUNNING, 0, Some(H::UNHEALTHY)), Healthy, Verdict::Unhealthy),
        (state(State::RUNNING, 0, Some(H::NONE)), Healthy, Verdict::NoHealthcheck),
        (state(State::RUNNING, 0, None), Healthy, Verdict::NoHealthcheck),
        (state(State::EXITED, 0, Some(H::STARTING)), Healthy, Verdict::Exited(0)),
    ];
    for (state, condition, expected) in cases {
        assert_eq!(judge(&state, condition), expected, "{:?} {condition}", state.status);
    }
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Observer for Recorder {
    fn status(&self, resource: &Resource, status: Status) {
        self.0.lock().unwrap().push(format!("{} {status:?}", resource.name));
    }

    fn warning(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }

    fn output(&self, line: OutputLine<'_>) {
        let text = format!("{} {:?} {}", line.label, line.stream, String::from_utf8_lossy(line.line));
        self.0.lock().unwrap().push(text);
    }

    fn exited(&self, label: &str, status: i64) {
        self.0.lock().unwrap().push(format!("{label} exited {status}"));
    }
}

#[test]
fn output_becomes_lines() {
    let recorder = Recorder::default();
    let target = Target { container: "id".to_owned(), name: "p-web-1".to_owned(), service: "web".to_owned() };
    let mut lines = crate::output::Lines::new(&recorder, "p", &target);
    let frames: [(StreamType, &[u8]); 5] = [
        (StreamType::Stdout, b"one\ntw"),
        (StreamType::Stderr, b"oops\n"),
        (StreamType::Stdout, b"o\r\n\nthr"),
        (StreamType::Stderr, b"last"),
        (StreamType::Stdout, b"ee"),
    ];
    for (stream, payload) in frames {
        lines.push(&Frame { stream, payload: payload.to_vec().into() });
    }
    lines.finish();
    let expected = [
        "web-1 Stdout one",
        "web-1 Stderr oops",
        "web-1 Stdout two",
        "web-1 Stdout ",
        "web-1 Stdout three",
        "web-1 Stderr last",
    ];
    assert_eq!(*recorder.0.lock().unwrap(), expected);
}

#[test]
fn labels_of_output() {
    for (container, expected) in [("p-web-1", "web-1"), ("the-web", "the-web"), ("p2-web-1", "p2-web-1")] {
        assert_eq!(crate::output::label("p", container), expected);
    }
}

#[test]
fn compose_files_are_found_above() {
    let root = tempfile::tempdir().unwrap();
    let inner = root.path().join("proj/a/b");
    std::fs::create_dir_all(&inner).unwrap();
    std::fs::write(root.path().join("proj/docker-compose.yml"), "services: {old: {image: x}}").unwrap();
    std::fs::write(root.path().join("proj/compose.yaml"), "services: {new: {image: x}}").unwrap();
    let options = ProjectOptions { working_dir: inner.clone(), ..ProjectOptions::default() };
    let project = options.load().unwrap().project;
    assert_eq!(project.name.as_str(), "proj");
    assert_eq!(project.working_dir, root.path().join("proj"));
    assert!(project.services.contains_key("new"));

    let named = ProjectOptions { files: vec!["../../docker-compose.yml".into()], ..options.clone() };
    assert_eq!(named.load().unwrap().project.config_files, [root.path().join("proj/docker-compose.yml")]);
    let environment = BTreeMap::from([
        ("COMPOSE_FILE".to_owned(), "../../docker-compose.yml".to_owned()),
        ("COMPOSE_PROJECT_NAME".to_owned(), "given".to_owned()),
    ]);
    let project = ProjectOptions { environment, ..options }.load().unwrap().project;
    assert!(project.services.contains_key("old"));
    assert_eq!(project.name.as_str(), "given");
}

proptest! {
    /// Whatever the engine has, a plan's steps refer backwards, and what is created ends up started exactly once.
    #[test]
    fn plans_are_well_formed(running in proptest::collection::vec(any::<(bool, bool, bool)>(), 5), scale in 0u32..4) {
        let project = project(STACK);
        let mut observed = after_up(&project);
        let mut fate = running.iter();
        observed.containers.retain_mut(|container| {
            let (there, running, same) = *fate.next().unwrap();
            container.running = running;
            if !same {
                container.config_hash = None;
            }
            there
        });
        let options = UpOptions { scale: BTreeMap::from([("worker".to_owned(), scale)]), ..UpOptions::default() };
        let plan = up_with(&project, &observed, &options);
        assert_well_formed(&plan);
        let mut started: Vec<String> = plan.kept.iter().map(|(_, name)| name.clone()).collect();
        for step in &plan.steps {
            if let Action::Start(target) = &step.action {
                started.push(target.name.clone());
            }
        }
        started.sort();
        let mut expected: Vec<String> = (1..=scale).map(|number| format!("p-worker-{number}")).collect();
        expected.extend(["p-db-1", "p-job-1", "p-web-1"].map(str::to_owned));
        expected.sort();
        prop_assert_eq!(started, expected);
    }
}
