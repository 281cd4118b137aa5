//! No template writes what the linter marks.

use drua_init::{Database, Key, Plan, Rendered, Service, Stack, Templates, Tree, render, survey, survey_as};
use drua_lint::{Build, ContextFile, Date, Input, Text, lint};

use crate::{memory, plan, project, projects, today};

#[track_caller]
fn clean(what: &str, services: &[Service], rendered: &Rendered, tree: &dyn Tree) {
    let text = |path: &str| rendered.files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let at = |dir: &str, name: &str| if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    let paths: Vec<(String, String, String, Vec<ContextFile>)> = services
        .iter()
        .map(|service| {
            let prefix = if service.dir.is_empty() { String::new() } else { format!("{}/", service.dir) };
            let own = tree.files().iter().filter_map(|file| file.strip_prefix(&prefix));
            // The module is what the Spin application's own build leaves.
            let made = ["Dockerfile", ".dockerignore", "target/hello.wasm"];
            let files =
                own.chain(made).map(|path| ContextFile { path: path.to_owned(), size: 10, is_dir: false }).collect();
            let context = if service.dir.is_empty() { ".".to_owned() } else { service.dir.clone() };
            (at(&service.dir, "Dockerfile"), at(&service.dir, ".dockerignore"), context, files)
        })
        .collect();
    let builds = paths.iter().map(|(dockerfile, ignore, context, files)| Build {
        dockerfile: Text { path: dockerfile, text: text(dockerfile).unwrap() },
        ignore: Some(Text { path: ignore, text: text(ignore).unwrap() }),
        // Of an empty folder, nothing says what will be in it.
        context: if tree.files().is_empty() { None } else { Some(files) },
        context_path: context,
    });
    let compose = vec![Text { path: "compose.yaml", text: text("compose.yaml").unwrap() }];
    let input = Input { builds: builds.collect(), compose, today: Date::parse("2026-11-23"), ..Input::default() };
    let report = lint(&input);
    let findings: Vec<String> = report
        .diagnostics
        .iter()
        .map(|found| {
            let line =
                text(&found.file).and_then(|text| text.get(..found.span.start)).map_or(0, |text| text.lines().count());
            format!("{} {} line {line}: {}", found.rule.code, found.file, found.message)
        })
        .collect();
    assert!(
        findings.is_empty(),
        "{what}\n{}\n{}",
        findings.join("\n"),
        paths.iter().filter_map(|(path, ..)| text(path)).collect::<String>()
    );
}

#[test]
fn no_template_writes_what_the_linter_marks() {
    let mut dirty = Vec::new();
    for name in projects() {
        let tree = project(&name);
        let plan = plan(&survey(&tree, today()));
        let rendered = render(&plan, &Templates::default()).unwrap();
        let found = std::panic::catch_unwind(|| clean(&name, &plan.services, &rendered, &tree));
        dirty.extend(found.err().and_then(|text| text.downcast::<String>().ok()));
    }
    let texts: Vec<&str> = dirty.iter().map(|text| text.as_str()).collect();
    assert!(dirty.is_empty(), "{}", texts.join("\n\n"));
}

#[test]
fn nor_with_both_hulls_and_every_database() {
    for name in ["go-web", "rust-axum", "c-make", "cpp-cmake"] {
        for target in ["wasm", "both"] {
            let tree = project(name);
            let mut plan = plan(&survey(&tree, today()));
            plan.services[0].set(Key::Target, target).unwrap();
            plan.databases = Database::ALL.to_vec();
            clean(name, &plan.services, &render(&plan, &Templates::default()).unwrap(), &tree);
        }
    }
}

#[test]
fn nor_where_nothing_is_there_yet() {
    for stack in Stack::ALL {
        let tree = memory(&[]);
        let services = vec![survey_as(&tree, "", stack, today())];
        let plan = Plan { project: "new".to_owned(), services, databases: Vec::new() };
        clean(stack.id(), &plan.services, &render(&plan, &Templates::default()).unwrap(), &tree);
    }
}
