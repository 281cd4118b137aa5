use std::collections::VecDeque;
use std::path::Path;

use drua_init::{GeneratedFile, Key, Stack, Templates, survey};
use jiff::civil::Date;

use super::choices::Choices;
use super::dialogue::{self, Verdict};
use super::disk::Disk;
use super::files::{self, Action, Existing, Target};
use super::prompt::{Answer, Prompt};
use crate::failure::Failure;
use crate::ui::Paint;

/// Somebody who answers as a script says: a number, a text, several numbers, or `back`.
struct Script {
    answers: VecDeque<&'static str>,
    asked: Vec<String>,
}

impl Script {
    fn new(answers: &[&'static str]) -> Self {
        Self { answers: answers.iter().copied().collect(), asked: Vec::new() }
    }

    fn next(&mut self, question: &str) -> Answer<&'static str> {
        self.asked.push(question.to_owned());
        match self.answers.pop_front() {
            Some("back") => Answer::Back,
            Some(answer) => Answer::Given(answer),
            None => panic!("no answer for {question:?}; asked were {:?}", self.asked),
        }
    }
}

fn map<T>(answer: Answer<&'static str>, then: impl FnOnce(&'static str) -> T) -> Result<Answer<T>, Failure> {
    Ok(match answer {
        Answer::Given(text) => Answer::Given(then(text)),
        Answer::Back => Answer::Back,
    })
}

impl Prompt for Script {
    fn select(
        &mut self,
        question: &str,
        _: &str,
        options: &[String],
        current: usize,
    ) -> Result<Answer<usize>, Failure> {
        let find = |text: &str| match text {
            "" => current,
            text => options
                .iter()
                .position(|option| option.starts_with(text))
                .unwrap_or_else(|| panic!("{text} of {options:?}")),
        };
        map(self.next(question), find)
    }

    fn several(
        &mut self,
        question: &str,
        _: &str,
        options: &[String],
        current: &[usize],
    ) -> Result<Answer<Vec<usize>>, Failure> {
        let find = |text: &str| match text {
            "" => current.to_vec(),
            text => (0..options.len())
                .filter(|number| text.split(',').any(|word| options[*number].starts_with(word)))
                .collect(),
        };
        map(self.next(question), find)
    }

    fn text(
        &mut self,
        question: &str,
        _: &str,
        current: &str,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<Answer<String>, Failure> {
        loop {
            let answer =
                map(self.next(question), |text| if text.is_empty() { current.to_owned() } else { text.to_owned() })?;
            match answer {
                Answer::Given(text) if check(&text).is_err() => {}
                answer => return Ok(answer),
            }
        }
    }

    fn confirm(&mut self, question: &str, current: bool) -> Result<bool, Failure> {
        Ok(match self.next(question) {
            Answer::Given("") => current,
            Answer::Given(text) => text == "yes",
            Answer::Back => false,
        })
    }

    fn show(&mut self, _: &str) {}
}

fn today() -> Date {
    "2026-11-23".parse().unwrap()
}

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

const FLASK: [(&str, &str); 2] =
    [("requirements.txt", "flask\ngunicorn\n"), ("app.py", "from flask import Flask\napp = Flask(__name__)\n")];

fn choices<'d>(disk: &'d Disk) -> Choices<'d> {
    Choices::new(disk, survey(disk, today()), "shop".to_owned(), today())
}

#[test]
fn one_enter_is_enough() {
    let dir = project(&FLASK);
    let disk = Disk::list(dir.path());
    let mut choices = choices(&disk);
    let mut script = Script::new(&[""]);
    assert_eq!(dialogue::settle(&mut choices, &mut script, Paint::Plain).unwrap(), Verdict::Write);
    assert_eq!(choices.plan().services[0].title, "Python with Flask");
}

#[test]
fn answers_change_settings_and_one_can_go_back() {
    let dir = project(&FLASK);
    let disk = Disk::list(dir.path());
    let mut choices = choices(&disk);
    let answers = [
        "Change",
        "", // the stack stays
        "3.12",
        "",
        "", // version, manager, start
        "back",
        "python app.py", // start again
        "none",
        "9000", // a port that is none, then one
        "",
        "", // health, packages
        "PostgreSQL,Redis",
        "Yes",
    ];
    let mut script = Script::new(&answers);
    assert_eq!(dialogue::settle(&mut choices, &mut script, Paint::Plain).unwrap(), Verdict::Write);
    assert!(script.answers.is_empty(), "{:?}", script.asked);
    let plan = choices.plan();
    let value = |key| plan.services[0].settings.value(key).to_owned();
    assert_eq!(
        (value(Key::Version), value(Key::Start), value(Key::Port)),
        ("3.12".into(), "python app.py".into(), "9000".into())
    );
    assert_eq!(plan.services[0].settings.get(Key::Version).unwrap().evidence.to_string(), "you said so");
    assert_eq!(plan.databases.len(), 2);
}

#[test]
fn another_stack_brings_other_questions() {
    let dir = project(&FLASK);
    let disk = Disk::list(dir.path());
    let mut choices = choices(&disk);
    let mut script = Script::new(&["Change", "Go", "both", "", "./cmd/x", "", "", "", "Quit"]);
    assert_eq!(dialogue::settle(&mut choices, &mut script, Paint::Plain).unwrap(), Verdict::Quit);
    let service = choices.plan().services.remove(0);
    assert_eq!((service.stack, service.settings.value(Key::Main)), (Stack::Go, "./cmd/x"));
}

#[test]
fn command_lines_change_settings() {
    let dir = project(&[("api/go.mod", "module a\n"), ("api/main.go", "package main\n"), ("web/index.html", "")]);
    let disk = Disk::list(dir.path());
    let mut choices = choices(&disk);
    choices.set("web.port=9000").unwrap();
    choices.set("target=both").unwrap();
    choices.set("databases=postgresql").unwrap();
    let plan = choices.plan();
    assert_eq!(plan.services[0].settings.value(Key::Target), "both");
    assert_eq!(plan.services[1].settings.value(Key::Port), "9000");
    for (assignment, expected) in [
        ("port", "`port` is not of the form key=value"),
        ("prot=1", "there is no setting `prot`"),
        ("api.port=0", "`0` cannot be the port: a port is a number between 1 and 65535"),
        ("shop.port=1", "there is no service `shop`"),
        ("build=x", "no service has a setting `build`"),
        ("databases=oracle", "there is no database `oracle`"),
    ] {
        let failure = choices.set(assignment).unwrap_err();
        assert_eq!((failure.error.to_string().as_str(), failure.code), (expected, 2), "{assignment}");
    }
    assert!(choices.choose(&["nowhere".to_owned()]).is_err());
    choices.choose(&["./web/".to_owned()]).unwrap();
    assert_eq!(choices.plan().services.len(), 1);
}

#[test]
fn ignored_folders_are_not_listed() {
    let files = [
        (".gitignore", "generated/\n"),
        ("generated/package.json", "{}"),
        ("node_modules/x/package.json", "{}"),
        (".git/config", ""),
        (".python-version", "3.13"),
        ("Ordner mit Ümlaut/x.py", ""),
        ("vendor/modules.txt", ""),
    ];
    let dir = project(&files);
    std::os::unix::fs::symlink("/", dir.path().join("loop")).unwrap();
    let disk = Disk::list(dir.path());
    let files: Vec<&str> = drua_init::Tree::files(&disk).iter().map(String::as_str).collect();
    assert_eq!(files, [".gitignore", ".python-version", "Ordner mit Ümlaut/x.py", "loop", "vendor/modules.txt"]);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let dir = project(&[("binary", "")]);
    std::fs::write(dir.path().join("binary"), [0xff, 0xfe]).unwrap();
    rustix::fs::mkdir(dir.path().join("folder"), rustix::fs::Mode::RWXU).unwrap();
    let disk = Disk::list(dir.path());
    let read = |name: &str| drua_init::Tree::read(&disk, name).unwrap_err().to_string();
    assert_eq!(read("binary"), "cannot read `binary`: it is not UTF-8");
    assert_eq!(read("folder"), "cannot read `folder`: it is not a regular file");
    assert_eq!(read("none"), "cannot read `none`: no such file or directory");
}

fn target(dir: &Path, path: &str, text: &str, existing: Existing) -> Target {
    Target::of(dir, GeneratedFile { path: path.to_owned(), text: text.to_owned() }, existing).unwrap()
}

fn listing(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_there_is_kept_merged_or_backed_up() {
    let dir = project(&[
        ("Dockerfile", "mine\n"),
        ("Dockerfile.bak", "older\n"),
        (".dockerignore", "dist\n"),
        ("README.Docker.md", "same\n"),
    ]);
    let dir = dir.path();
    for (path, existing, action) in [
        ("Dockerfile", Existing::Keep, Action::Keep),
        ("Dockerfile", Existing::Merge, Action::Keep),
        ("Dockerfile", Existing::Replace, Action::Replace),
        ("new", Existing::Keep, Action::Create),
        (".dockerignore", Existing::Merge, Action::Merge("dist\n\n# Added by `drua init`\nnew\n".to_owned())),
    ] {
        assert_eq!(target(dir, path, "new\n", existing).action, action, "{path} {existing:?}");
    }
    assert_eq!(target(dir, "README.Docker.md", "same\n", Existing::Replace).action, Action::Same);
    let targets = [
        target(dir, "Dockerfile", "new\n", Existing::Replace),
        target(dir, "sub/compose.yaml", "services: {}\n", Existing::Keep),
    ];
    let backups = files::write(dir, &targets, &["secrets/postgres-password.txt".to_owned()]).unwrap();
    assert_eq!(backups, [(dir.join("Dockerfile"), dir.join("Dockerfile.bak2"))]);
    let read = |path: &str| std::fs::read_to_string(dir.join(path)).unwrap();
    assert_eq!((read("Dockerfile").as_str(), read("Dockerfile.bak2").as_str()), ("new\n", "mine\n"));
    assert_eq!(read("sub/compose.yaml"), "services: {}\n");
    let password = read("secrets/postgres-password.txt");
    assert_eq!(password.len(), 48);
    files::write(dir, &[], &["secrets/postgres-password.txt".to_owned()]).unwrap();
    assert_eq!(read("secrets/postgres-password.txt"), password, "a password stays");
    assert!(listing(dir).iter().all(|name| !name.starts_with(".drua-init-")));
}

#[test]
fn a_failure_leaves_everything_as_it_was() {
    let dir = project(&[("Dockerfile", "mine\n"), ("sub", "a file where a folder should be\n")]);
    let dir = dir.path();
    let second = Target {
        file: GeneratedFile { path: "sub/x".to_owned(), text: "new\n".to_owned() },
        old: None,
        action: Action::Create,
    };
    let targets = [target(dir, "Dockerfile", "new\n", Existing::Replace), second.clone()];
    let error = files::write(dir, &targets, &[]).unwrap_err();
    assert!(error.to_string().contains("nothing was changed"), "{error:#}");
    // A folder in the way is noticed when files are renamed, after the first is in place.
    std::fs::remove_file(dir.join("sub")).unwrap();
    std::fs::create_dir_all(dir.join("sub/x/y")).unwrap();
    let error = files::write(dir, &[targets[0].clone(), second], &[]).unwrap_err();
    assert!(error.to_string().contains("everything is as it was"), "{error:#}");
    assert_eq!(std::fs::read_to_string(dir.join("Dockerfile")).unwrap(), "mine\n");
    assert_eq!(listing(dir), ["Dockerfile", "sub"]);
    assert_eq!(listing(&dir.join("sub")), ["x"]);
}

#[test]
fn differences_are_settled_one_by_one() {
    let dir = project(&[("Dockerfile", "a\nb\nc\n"), (".dockerignore", "dist\n")]);
    let new = |existing| {
        vec![
            target(dir.path(), "Dockerfile", "a\nB\nc\nd\n", existing),
            target(dir.path(), ".dockerignore", "new\n", existing),
        ]
    };
    let mut targets = new(Existing::Keep);
    let mut script =
        Script::new(&["Choose", "Mine", "The new", "back", "Choose", "The new", "back", "Mine", "The new", "Add"]);
    assert_eq!(dialogue::existing(&mut targets, &mut script, Paint::Plain).unwrap(), Answer::Given(()));
    assert_eq!(targets[0].text(), Some("a\nb\nc\nd\n"));
    assert_eq!(targets[1].text(), Some("dist\n\n# Added by `drua init`\nnew\n"));
    let mut script = Script::new(&["back"]);
    assert_eq!(dialogue::existing(&mut new(Existing::Keep), &mut script, Paint::Plain).unwrap(), Answer::Back);
}

#[test]
fn a_plan_of_a_dialogue_renders() {
    let dir = project(&FLASK);
    let disk = Disk::list(dir.path());
    drua_init::render(&choices(&disk).plan(), &Templates::default()).unwrap();
}
