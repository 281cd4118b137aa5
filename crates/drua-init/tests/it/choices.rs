use drua_init::{Database, Key, Plan, SettingError, Stack, Templates, render, survey, survey_as};

use crate::{memory, plan, project, projects, today};

#[test]
fn every_stack_can_be_asked_for_where_nothing_is() {
    for stack in Stack::ALL {
        let service = survey_as(&memory(&[]), "", stack, today());
        assert_eq!(service.stack, stack, "{}", stack.id());
        assert!(!service.name().is_empty());
        let plan = Plan { project: "new".to_owned(), services: vec![service], databases: Database::ALL.to_vec() };
        let rendered = render(&plan, &Templates::default()).unwrap();
        assert_eq!(rendered.passwords.len(), 3, "{}", stack.id());
    }
}

#[test]
fn words_for_stacks() {
    for (word, stack) in [("go", Stack::Go), ("C++", Stack::C), ("rails", Stack::Ruby), ("TypeScript", Stack::Node)] {
        assert_eq!(Stack::from_word(word), Some(stack));
    }
    assert_eq!(Stack::from_word("cobol"), None);
}

#[test]
fn settings_change_what_is_written() {
    let survey = survey(&project("python-flask"), today());
    let mut plan = plan(&survey);
    for (key, value) in
        [(Key::Port, "9000"), (Key::Version, "3.12"), (Key::Start, "python -m http.server 9000"), (Key::Health, "/up")]
    {
        plan.services[0].set(key, value).unwrap();
    }
    let rendered = render(&plan, &Templates::default()).unwrap();
    let text = |path: &str| rendered.files.iter().find(|file| file.path == path).unwrap().text.clone();
    for part in [
        "ARG PYTHON_VERSION=3.12\n",
        "EXPOSE 9000\n",
        r#"CMD ["python", "-m", "http.server", "9000"]"#,
        "127.0.0.1:9000/up",
    ] {
        assert!(text("Dockerfile").contains(part), "{part}\n{}", text("Dockerfile"));
    }
    assert!(text("compose.yaml").contains("127.0.0.1:9000:9000"));
    assert_eq!(rendered.addresses, [("web".to_owned(), "http://127.0.0.1:9000".to_owned())]);
}

#[test]
fn settings_that_cannot_be() {
    let survey = survey(&project("python-flask"), today());
    let mut service = plan(&survey).services.remove(0);
    for (key, value) in [
        (Key::Port, "0"),
        (Key::Port, "70000"),
        (Key::Port, "http"),
        (Key::Version, "3.13\nRUN evil"),
        (Key::Version, ""),
        (Key::Start, "a\nRUN evil"),
        (Key::Health, "healthz"),
        (Key::Health, "/a'; evil"),
        (Key::Packages, "libpq5; evil"),
        (Key::Manager, "conda"),
        (Key::Name, "with space"),
    ] {
        let error = service.set(key, value).unwrap_err();
        assert!(matches!(error, SettingError::Value { .. }), "{key} {value}: {error}");
    }
    let error = service.set(Key::Build, "make").unwrap_err();
    assert_eq!(error.to_string(), "Python with Flask has no setting `build`");
    assert_eq!("prot".parse::<Key>().unwrap_err().to_string(), "there is no setting `prot`");
}

#[test]
fn both_hulls_under_one_tag() {
    for name in ["go-web", "rust-axum", "c-make"] {
        let survey = survey(&project(name), today());
        let mut plan = plan(&survey);
        plan.services[0].set(Key::Target, "both").unwrap();
        let rendered = render(&plan, &Templates::default()).unwrap();
        let text = &rendered.files[0].text;
        assert!(text.contains("FROM scratch AS final-wasi") && text.contains("AS final-linux"), "{text}");
        assert!(text.ends_with("FROM final-${TARGETOS} AS final\n"), "{text}");
        plan.services[0].set(Key::Target, "wasm").unwrap();
        let rendered = render(&plan, &Templates::default()).unwrap();
        let compose = &rendered.files.iter().find(|file| file.path == "compose.yaml").unwrap().text;
        assert!(compose.contains("platform: wasi/wasm"), "{compose}");
    }
}

#[test]
fn templates_of_a_user() {
    let plan = plan(&survey(&project("static"), today()));
    let mine = [
        ("static/Dockerfile.j2".to_owned(), "FROM ours/web:{{ s.port }}\nCOPY . /srv\n".to_owned()),
        ("ci.yaml.j2".to_owned(), "project: {{ project }}\n".to_owned()),
    ];
    let rendered = render(&plan, &Templates::with(mine)).unwrap();
    assert_eq!(rendered.files[0].text, "FROM ours/web:8080\nCOPY . /srv\n");
    let last = rendered.files.last().unwrap();
    assert_eq!((last.path.as_str(), last.text.as_str()), ("ci.yaml", "project: shop\n"));
    for (text, expected) in [
        ("{{ s.port", "cannot render the template `Dockerfile.j2`"),
        ("{{ nothing.at.all }}", "cannot render the template `Dockerfile.j2`"),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}.{% endfor %}{% endfor %}",
            "cannot render the template `Dockerfile.j2`",
        ),
        ("FORM x", "gave a Dockerfile that cannot be parsed"),
    ] {
        let error = render(&plan, &Templates::with([("Dockerfile.j2".to_owned(), text.to_owned())])).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
}

#[test]
fn reasons_are_given_for_everything() {
    for name in projects() {
        for place in survey(&project(&name), today()).places {
            for service in place.candidates {
                assert!(!service.evidence.is_empty(), "{name}");
                let bare: Vec<_> =
                    service.settings.iter().filter(|(_, setting)| setting.evidence.what.is_empty()).collect();
                assert!(bare.is_empty(), "{name}: {bare:?}");
            }
        }
    }
}
