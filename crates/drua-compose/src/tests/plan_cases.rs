use super::*;

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
