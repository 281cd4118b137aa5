use super::*;

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
