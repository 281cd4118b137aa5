use super::*;

/// Made by Docker Compose 5.6.1: `docker compose config --hash '*' | sort` on `hashes.yaml` in `/home/me/p`.
#[test]
fn hashes_are_docker_composes() {
    let project = project(include_str!("../../tests/hashes.yaml"));
    let expected: BTreeMap<&str, &str> =
        include_str!("../../tests/hashes.txt").lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(project.services.len(), expected.len());
    for (name, service) in &project.services {
        assert_eq!(config_hash(service), expected[name.as_str()], "{name}");
    }
}

/// The hashes of the whole corpus of drua-composefile, made by Docker Compose as well.
#[test]
fn hashes_of_the_corpus() {
    /// Serves a case's folder as `/home/me/<case>`.
    struct Rooted(PathBuf, PathBuf);

    impl Loader for Rooted {
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            let relative = path.strip_prefix(&self.1).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
            std::fs::read(self.0.join(relative)).map_err(|error| error.kind().into())
        }
    }

    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drua-composefile/fixtures");
    let mut checked = 0;
    for case in std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()) {
        // Cases with a command line of their own are those of drua-e2e.
        let Ok(expected) = std::fs::read_to_string(case.join("hashes.txt")) else { continue };
        if case.join("args.txt").exists() {
            continue;
        }
        let seen_as = Path::new("/home/me").join(case.file_name().unwrap());
        let environment = [("HOME", "/home/me"), ("FROM_SHELL", "shell"), ("TAG", "1.2"), ("TOKEN", "secret-token")];
        let request = Request {
            files: vec![seen_as.join("compose.yaml")],
            project_dir: seen_as.clone(),
            environment: environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..Request::default()
        };
        let project =
            load(&request, &Rooted(case.clone(), seen_as)).map_err(|error| error.to_string()).unwrap().project;
        for (name, hash) in expected.lines().filter_map(|line| line.split_once(' ')) {
            assert_eq!(config_hash(&project.services[name]), hash, "{name} of {}", case.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn container_bodies() {
    let project = project(include_str!("../../tests/bodies.yaml"));
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
                let mut body = create::network(&project, key, &project.networks[key]);
                body.labels.as_mut().unwrap().remove(labels::CONFIG_HASH);
                bodies.insert(format!("network {key}"), serde_json::to_value(body).unwrap());
            }
            Action::CreateVolume(key) => {
                let mut body = create::volume(&project, key, &project.volumes[key]);
                body.labels.as_mut().unwrap().remove(labels::CONFIG_HASH);
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
