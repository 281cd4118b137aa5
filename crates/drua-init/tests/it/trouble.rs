use drua_init::{Key, Memory, Stack, Tree, Unreadable, survey};

use crate::{memory, plan, today};

#[test]
fn an_empty_folder_is_other() {
    let survey = survey(&memory(&[]), today());
    assert_eq!(survey.places.len(), 1);
    assert_eq!(survey.places[0].candidates[0].stack, Stack::Other);
}

#[test]
fn manifests_that_are_broken_are_noted() {
    let survey = survey(&memory(&[("package.json", "{\"name\": "), ("index.js", "")]), today());
    assert_eq!(survey.places[0].candidates[0].stack, Stack::Node);
    assert!(survey.notes[0].starts_with("cannot read `package.json`: "), "{:?}", survey.notes);
}

/// A tree in which nothing can be read.
struct Locked(Memory);

impl Tree for Locked {
    fn files(&self) -> &[String] {
        self.0.files()
    }

    fn read(&self, path: &str) -> Result<String, Unreadable> {
        Err(Unreadable { path: path.to_owned(), reason: "permission denied".to_owned() })
    }
}

#[test]
fn manifests_that_nobody_may_read_are_noted() {
    for name in crate::projects() {
        let tree = Locked(crate::project(&name));
        let found = survey(&tree, today());
        let reads = ["static", "static-hugo", "wasm-module", "other"].contains(&name.as_str());
        assert!(
            reads || found.notes.iter().any(|note| note.contains("permission denied")),
            "{name}: {:?}",
            found.notes
        );
        drop(drua_init::render(&plan(&found), &drua_init::Templates::default()).unwrap());
    }
}

#[test]
fn versions_that_have_ended_are_noted() {
    let found =
        survey(&memory(&[("requirements.txt", "flask"), ("app.py", ""), (".python-version", "3.8.1")]), today());
    assert_eq!(found.places[0].candidates[0].settings.value(Key::Version), "3.8");
    let note = "Python 3.8 (.python-version: pins 3.8.1) has got no more fixes since 2024-10-07; 3.14 is current";
    assert!(found.notes.contains(&note.to_owned()), "{:?}", found.notes);
}

#[test]
fn several_candidates_are_all_there() {
    let files =
        [("composer.json", "{}"), ("index.php", ""), ("package.json", "{}"), ("index.js", ""), ("index.html", "")];
    let found = survey(&memory(&files), today());
    let stacks: Vec<Stack> = found.places[0].candidates.iter().map(|service| service.stack).collect();
    assert_eq!(stacks, [Stack::Php, Stack::Node, Stack::Static]);
}

#[test]
fn hostile_manifests_stay_inside_their_quotes() {
    let package = r#"{"name": "x", "description": "\"\nRUN evil\n$(evil) ${EVIL}", "license": "a\" b",
        "engines": {"node": "26\nRUN evil"}, "scripts": {"start": "node x.js\nRUN evil"}, "packageManager": "npm@1\nRUN evil"}"#;
    let found = survey(&memory(&[("package.json", package)]), today());
    let rendered = drua_init::render(&plan(&found), &drua_init::Templates::default()).unwrap();
    let text = &rendered.files[0].text;
    assert!(!text.lines().any(|line| line.starts_with("RUN evil")), "{text}");
    assert!(text.contains(r#""\" RUN evil \$(evil) \${EVIL}""#), "{text}");
}

#[test]
fn folders_with_blanks_and_umlauts_become_names() {
    let files = [
        ("Büro eins/go.mod", "module a\n"),
        ("Büro eins/main.go", "package main\n"),
        ("x/go.mod", "module b\n"),
        ("x/main.go", "package main\n"),
    ];
    let found = survey(&memory(&files), today());
    let names: Vec<&str> = found.places.iter().map(|place| place.candidates[0].name()).collect();
    assert_eq!(names, ["b-ro-eins", "x"]);
    drua_init::render(&plan(&found), &drua_init::Templates::default()).unwrap();
}

#[test]
fn services_listening_for_their_own_machine_only_are_noted() {
    let main = "const server = http.createServer();\nserver.listen(3000, '127.0.0.1');\n";
    let found = survey(&memory(&[("package.json", "{}"), ("server.js", main)]), today());
    assert!(
        found.notes.iter().any(|note| note.contains("server.js seems to listen on 127.0.0.1 only")),
        "{:?}",
        found.notes
    );
}
